"""Who makes an object: names that are tried in turn, each with what its result hangs on. Knows backends, no files of assets.

A maker turns an `ObjectSpec` into a `Shape`. Those that work from pictures get one first: a user's photo, or a model's drawing.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from . import generated, mesh, mesh_read, mesh_solid, photos, pictures, store, vocabulary
from .backends import image_diffusers, judge_openai, mesh_http, mesh_procedural, mesh_shap_e, mesh_silhouette
from .errors import AssetError
from .making import Images, Server, ShapE
from .photos import Cutout
from .shapes import Provenance, Shape
from .spec import ObjectSpec

PLAIN = {"procedural": "worldgen.backends.mesh_procedural:make"}
"""Name → "module:function", imported on use; any dotted path of that form is a name too."""
PICTURED: dict[str, tuple[ModuleType, ...]] = {
    "silhouette": (mesh_silhouette, mesh_procedural),
    "shap-e": (mesh_shap_e, generated),
    "http": (mesh_http, generated, mesh_read),
}
"""Makers that work from pictures, and whose code their results hang on besides."""


@dataclass(frozen=True)
class Makers:
    """How the objects of a library are made."""

    chain: tuple[str, ...] = ("procedural",)
    """Makers that are tried in turn."""
    photos: Path | None = None
    """Folder of photos, for those that work from pictures."""
    images: Images = field(default_factory=Images)
    """Who draws pictures where there are no photos."""
    shap_e: ShapE = field(default_factory=ShapE)
    server: Server = field(default_factory=Server)
    any_licence: bool = False
    """Also make what no other model may be trained on."""

    @classmethod
    def of(cls, names: str, **settings: Any) -> Makers:
        """Read a command line's names, with commas between them; `http:URL` names a server.

        Args:
            names: Such as "http:http://127.0.0.1:8080,silhouette,procedural".
            settings: The other fields.

        Raises:
            AssetError: When a maker is unknown, there are no pictures for one that works from them, or the licence of one forbids training.
        """
        made = cls(**settings)
        chain = []
        for name in (part.strip() for part in names.split(",")):
            kind, _, address = name.partition(":")
            if kind == "http" and address:
                made = replace(made, server=replace(made.server, url=address))
            chain.append("http" if kind == "http" else name)
        made = replace(made, chain=tuple(chain))
        for name in made.chain:
            code(name)
        made._require_pictures()
        made._require_licence()
        return made

    def _require_pictures(self) -> None:
        wanting = [name for name in self.chain if name in PICTURED]
        if wanting and self.photos is None and not self.images.model:
            raise AssetError(
                f"--assets {wanting[0]} works from pictures. Give a folder of photos with --photos, or a model that draws with --image.model."
            )
        if (self.photos or self.images.model) and not wanting:
            raise AssetError(f"Pictures are for makers that work from them: {', '.join(PICTURED)}. Add --assets.")
        if self.photos is not None:
            pictures.album(self.photos)

    def _require_licence(self) -> None:
        if self.any_licence:
            return
        terms = {name: self.terms(name) for name in self.chain if name in PICTURED}
        for name, (licence, may_train) in terms.items():
            if not may_train:
                raise AssetError(
                    f"What {name} makes here is under '{licence}', which is not known to let other models be trained on it, and a library is for "
                    f"training. Say so where it does (--{'server' if name == 'http' else 'image'}.licence NAME "
                    f"--{'server' if name == 'http' else 'image'}.may-train), or make one for other ends with --any-licence."
                )

    def terms(self, name: str) -> tuple[str, bool]:
        """Return the licences of what a maker makes here, and whether models may be trained on that."""
        found = [] if self.photos or not self.images.model else [self.images.terms()]
        found += {"http": [self.server.terms()], "shap-e": [(mesh_shap_e.LICENCE, True)]}.get(name, [])
        return " and ".join(dict.fromkeys(licence for licence, _ in found)) or "user-supplied", all(
            may for _, may in found
        )

    @property
    def heavy(self) -> bool:
        """Whether models run in this process, so that several processes would each hold them."""
        return "shap-e" in self.chain or bool(self.images.model)

    def version(self) -> list[Any]:
        """Return what all that they make hangs on, as JSON can say it."""
        album = [photo.digest for photo in pictures.album(self.photos).photos] if self.photos else []
        return [[name, code(name), self._settings(name)] for name in self.chain] + album

    def looks(self) -> dict[str, tuple[str, ...]]:
        """Return the categories that there are photos of, each with its colours: what a designer chooses where nothing is said."""
        return pictures.album(self.photos).looks() if self.photos else {}

    def _settings(self, name: str) -> dict[str, Any]:
        """Return the settings that a maker's results hang on, as JSON can say them."""
        found: dict[str, Any] = {}
        if name == "shap-e":
            found |= {key: getattr(self.shap_e, key) for key in ("model", "revision", "steps", "grid")}
        if name == "http":
            found |= {key: getattr(self.server, key) for key in ("dialect", "faces", "texture")}
        if name in PICTURED:
            found["terms"] = self.terms(name)
        return found


@dataclass(frozen=True)
class Candidate:
    """One maker's way to an object."""

    name: str
    inputs: dict[str, Any]
    """What the result hangs on besides the object's words, as JSON can say it."""
    make: Callable[[], Shape]
    """Makes it; raises AssetError where that cannot be."""


def candidates(makers: Makers, item: ObjectSpec, failed: list[str]) -> Iterator[Candidate]:
    """Yield the ways to make an object, in the order of the chain; what keeps a maker from trying is added to `failed`."""
    for name in item.makers or makers.chain:
        inputs: dict[str, Any] = {"maker": name, "code": code(name), **makers._settings(name)}
        if name not in PICTURED:
            yield Candidate(name, inputs, partial(_target(name), item))
            continue
        try:
            picture, pictured = _picture(makers, item)
        except AssetError as error:
            failed.append(f"{name}: {error}")
            continue
        yield Candidate(name, {**inputs, "picture": picture}, partial(_make, makers, name, item, pictured))


def _picture(makers: Makers, item: ObjectSpec) -> tuple[Any, Callable[[], tuple[Cutout, Provenance]]]:
    """Return what the picture of an object hangs on, and what gets it."""
    if makers.photos is not None:
        photo = pictures.album(makers.photos).find(item)
        origin = Provenance(
            backend="photo", model=photo.path.name, revision=photo.digest, licence="user-supplied", may_train=True
        )
        return photo.digest, lambda: (photo.cutout, origin)
    if makers.images.model:
        judge = partial(judge_openai.judge, makers.images.judge) if makers.images.judge else None
        return image_diffusers.inputs(makers.images, item), lambda: image_diffusers.draw(makers.images, item, judge)
    raise AssetError("it works from pictures, and there are none. Give a folder of photos with --photos.")


def _make(makers: Makers, name: str, item: ObjectSpec, pictured: Callable[[], tuple[Cutout, Provenance]]) -> Shape:
    """Make an object of its picture."""
    cutout, origin = pictured()
    licence, may_train = makers.terms(name)
    if name == "silhouette":
        return mesh_silhouette.make(item, cutout, origin.model_copy(update={"backend": name}))
    if name == "shap-e":
        vertices, faces, colours = mesh_shap_e.mesh_of(makers.shap_e, cutout, item.variant)
        uv, texture = mesh_solid.paint_vertices(faces, colours)
        raw, model, up = mesh_read.RawMesh(vertices, faces, uv, texture), makers.shap_e.model.rpartition("/")[2], "z"
    else:
        raw, model, up = _from_server(makers.server, cutout, item), makers.server.dialect, "y"
    update = {"backend": name, "model": f"{model}, from {origin.model}", "licence": licence, "may_train": may_train}
    return generated.shape_of(raw, item, origin.model_copy(update=update), "y" if up == "y" else "z")


def _from_server(server: Server, cutout: Cutout, item: ObjectSpec) -> mesh_read.RawMesh:
    """Return the mesh that a server makes of the object alone, on nothing."""
    crop, buffer = cutout.cropped(), io.BytesIO()
    room = max(crop.mask.shape) // 8
    pixels = np.dstack([crop.picture, np.where(crop.mask, 255, 0).astype(np.uint8)])
    Image.fromarray(np.pad(pixels, ((room, room), (room, room), (0, 0)))).save(buffer, "PNG")
    content = mesh_http.fetch(server, buffer.getvalue(), item.variant)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "made.glb"
        file.write_bytes(content)
        try:
            return mesh_read.read(file)
        except AssetError as error:
            raise AssetError(str(error).replace(str(file), server.url)) from error


@cache
def _target(name: str) -> Callable[..., Shape]:
    path = PLAIN.get(name, name)
    module_name, _, function = path.partition(":")
    if not function:
        known = vocabulary.valid_names(name, [*PLAIN, *PICTURED])
        raise AssetError(f"Unknown asset backend '{name}'. {known} Or give 'http:URL' or 'module:function'.")
    try:
        found: Callable[..., Shape] = getattr(import_module(module_name), function)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise AssetError(f"Asset backend '{name}' cannot be imported: {error}.") from error
    return found


@cache
def code(name: str) -> str:
    """Return a digest of the code that makes an object.

    Raises:
        AssetError: When there is no such maker.
    """
    if name in PICTURED:
        return store.code_digest(*PICTURED[name], photos, pictures, mesh, mesh_solid)
    return store.code_digest(sys.modules[_target(name).__module__])

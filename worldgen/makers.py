"""Who makes an object: names that are tried in turn, each with what its result hangs on. Knows backends, no files of assets.

A maker turns an `ObjectSpec` into a `Shape`. Those that work from pictures get one first: a user's photo, or a model's drawing.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from . import mesh_read, mesh_solid, store, vocabulary
from .errors import AssetError
from .making import Images, Server, ShapE
from .shapes import Provenance, Shape
from .spec import ObjectSpec

if TYPE_CHECKING:  # pictures are few, and what reads, draws and judges them starts slowly
    from .photos import Cutout
    from .pictures import Album

PLAIN = {"procedural": "worldgen.backends.mesh_procedural:make"}
"""Name → "module:function", imported on use; any dotted path of that form is a name too."""
PICTURED: dict[str, tuple[str, ...]] = {
    "silhouette": ("worldgen.backends.mesh_silhouette", "worldgen.backends.mesh_procedural"),
    "shap-e": ("worldgen.backends.mesh_shap_e", "worldgen.generated"),
    "http": ("worldgen.backends.mesh_http", "worldgen.generated", "worldgen.mesh_read"),
}
"""Makers that work from pictures, and the modules whose code their results hang on besides, imported on use."""
SHARED = (
    "worldgen.backends.image_diffusers",
    "worldgen.backends.judge_openai",
    "worldgen.making",
    "worldgen.mesh",
    "worldgen.mesh_solid",
    "worldgen.photos",
    "worldgen.pictures",
)
"""Modules whose code all of their results hang on."""
_TOOLS = ("diffusers", "torch", "transformers")


def _tools(name: str) -> dict[str, str]:
    """Return the versions of the libraries that can change what a maker makes of pictures; those that are not installed have none."""
    import cv2

    found = {"opencv": cv2.__version__}
    for tool in ("rembg", *_TOOLS) if name == "shap-e" else ("rembg",):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[tool] = importlib.metadata.version(tool)
    return found


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
    eyes: str = ""
    """Vision model at OPENAI_BASE_URL that narrows what an object of a picture may weigh and how it slides; empty for none."""
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
            MakerError: When a server has no address.
        """
        made = cls(**settings)
        parts = [name.strip() for name in names.split(",")]
        urls = [part.partition(":")[2] for part in parts if part.startswith("http:")]
        if len(urls) > 1:
            raise AssetError(f"--assets {names} names {len(urls)} servers. One server at most makes a library.")
        server = replace(made.server, url=urls[0]) if urls else made.server
        made = replace(made, server=server, chain=tuple("http" if part.startswith("http:") else part for part in parts))
        for name in made.chain:
            code(name)
        if "http" in made.chain:
            from .backends import mesh_http

            mesh_http.address(made.server.url)
        made._require_pictures()
        made._require_licence()
        return made

    def _require_pictures(self) -> None:
        wanting = [name for name in self.chain if name in PICTURED]
        if wanting and self.photos is None and not self.images.model:
            raise AssetError(
                f"--assets {wanting[0]} works from pictures. Give a folder of photos with --photos, or a model that draws with --image.model."
            )
        if (self.photos or self.images.model or self.eyes) and not wanting:
            raise AssetError(f"Pictures are for makers that work from them: {', '.join(PICTURED)}. Add --assets.")
        if self.photos is not None:
            _album(self.photos)

    def _require_licence(self) -> None:
        """Refuse at once what `require_licence` would refuse of each object."""
        for name in self.chain if not self.any_licence else ():
            if name in PICTURED:
                drawn = self.images.terms() if self.images.model else _OWN
                for flag, terms in (("image", drawn), (_FLAGS.get(name, ""), self._terms(name))):
                    if not terms[1]:
                        raise AssetError(_refusal(name, terms[0], flag))

    def require_licence(self, name: str, made: Provenance) -> None:
        """Refuse an object that models may not be trained on, where a library is for training.

        Raises:
            AssetError: Which licence it is, and which option accepts it.
        """
        if not (made.may_train or self.any_licence):
            raise AssetError(_refusal(name, made.licence, _FLAGS.get(name, "")))

    def require_reach(self) -> None:
        """Look whether the servers and models that objects are made by can be asked at all.

        Raises:
            MakerError: When one cannot.
        """
        from .backends import judge_openai, mesh_http

        for option, model in (("--eyes", self.eyes), ("--image.judge", self.images.judge)):
            if model:
                judge_openai.require_endpoint(option)
        if "http" in self.chain:
            mesh_http.require_reach(self.server.url)

    def _terms(self, name: str) -> tuple[str, bool]:
        """Return the licence of what a maker adds to a picture, and whether models may be trained on that."""
        return {"http": self.server.terms(), "shap-e": self.shap_e.terms()}.get(name, _OWN)

    @property
    def heavy(self) -> bool:
        """Whether models run in this process, so that several processes would each hold them."""
        return "shap-e" in self.chain or bool(self.images.model)

    def settings(self) -> dict[str, Any]:
        """Return what all that they make hangs on but for their code, as JSON can say it."""
        chain = [[name, self._settings(name)] for name in self.chain]
        if not set(self.chain) & set(PICTURED):
            return {"chain": chain}
        from .backends import image_diffusers

        images = image_diffusers.settings(self.images) if self.images.model else None
        return {"chain": chain, "photos": _album(self.photos).told() if self.photos else [], "images": images}

    def version(self) -> list[Any]:
        """Return all that what they make hangs on, as JSON can say it."""
        return [self.settings(), [code(name) for name in self.chain]]

    def looks(self) -> dict[str, tuple[str, ...]]:
        """Return the categories that there are photos of, each with its colours: what a designer chooses where nothing is said."""
        return _album(self.photos).looks() if self.photos else {}

    def _settings(self, name: str) -> dict[str, Any]:
        """Return the settings that a maker's results hang on, as JSON can say them."""
        found: dict[str, Any] = {}
        if name == "shap-e":
            found = {key: getattr(self.shap_e, key) for key in ("model", "revision", "steps", "grid")}
        if name == "http":
            from .backends import mesh_http

            found = {key: getattr(self.server, key) for key in ("model", "dialect", "faces", "texture")}
            found["url"] = "" if self.server.model else mesh_http.address(self.server.url)  # a named model may move
        if name in PICTURED:
            found["terms"] = self._terms(name)
            if self.eyes:
                found["eyes"] = self.eyes
        return found


_OWN = ("", True)
_FLAGS = {"http": "server", "shap-e": "shap-e"}
"""Makers whose licence a user may tell, and the group of options that does."""


def _album(folder: Path) -> Album:
    from . import pictures

    return pictures.album(folder)


def _refusal(name: str, licence: str, flag: str) -> str:
    told = f"Say so where it does (--{flag}.licence NAME --{flag}.may-train True), or make one" if flag else "Make one"
    return (
        f"What {name} makes here is under '{licence}', which is not known to let other models be trained on it, and a library is for training. "
        f"{told} for other ends with --any-licence."
    )


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
        if name not in {*PLAIN, *PICTURED, *makers.chain}:  # a scene's text must not name code to be run
            failed.append(f"{name}: it is not among {', '.join(dict.fromkeys((*PLAIN, *PICTURED, *makers.chain)))}.")
            continue
        inputs: dict[str, Any] = {"maker": name, "code": code(name), **makers._settings(name)}
        if name not in PICTURED:
            yield Candidate(name, inputs, partial(_target(name), item))
            continue
        try:
            picture, pictured = _picture(makers, name, item)
        except AssetError as error:
            failed.append(f"{name}: {error}")
            continue
        yield Candidate(name, {**inputs, "picture": picture}, partial(_make, makers, name, item, pictured))


def _picture(makers: Makers, name: str, item: ObjectSpec) -> tuple[Any, Callable[[], tuple[Cutout, Provenance]]]:
    """Return what the picture of an object hangs on, and what gets it: a photo where there is one, else a drawing."""
    if makers.photos is not None:
        try:
            photo = _album(makers.photos).find(item)
        except AssetError:
            if not makers.images.model:
                raise
        else:
            origin = Provenance(
                backend="photo", model=photo.path.name, revision=photo.digest, licence="user-supplied", may_train=True
            )
            return [photo.digest, photo.path.name], lambda: (photo.cutout(), origin)
    if makers.images.model:
        from .backends import image_diffusers, mesh_silhouette

        view = mesh_silhouette.wanted_view(item) if name == "silhouette" else "corner"
        drawn = image_diffusers.inputs(makers.images, item, view)
        return drawn, partial(image_diffusers.draw, makers.images, item, view)
    raise AssetError("it works from pictures, and there are none. Give a folder of photos with --photos.")


def _make(makers: Makers, name: str, item: ObjectSpec, pictured: Callable[[], tuple[Cutout, Provenance]]) -> Shape:
    """Make an object of its picture."""
    from .backends import judge_openai

    cutout, origin = pictured()
    shape = _shape(makers, name, item, cutout, origin)
    return judge_openai.look(makers.eyes, shape, item, cutout.picture) if makers.eyes else shape


def _shape(makers: Makers, name: str, item: ObjectSpec, cutout: Cutout, origin: Provenance) -> Shape:
    from . import generated
    from .backends import mesh_shap_e, mesh_silhouette

    if name == "silhouette":
        return mesh_silhouette.make(item, cutout, origin.model_copy(update={"backend": name}))
    up: Literal["y", "z"] = "y"
    if name == "shap-e":
        vertices, faces, colours = mesh_shap_e.mesh_of(makers.shap_e, cutout, item.variant)
        raw = mesh_read.RawMesh(vertices, faces, *mesh_solid.paint_vertices(faces, colours))
        model, up = makers.shap_e.model, "z"
    else:
        raw, model = _from_server(makers.server, cutout, item), makers.server.model or makers.server.dialect
    licence, may_train = makers._terms(name)
    update = {
        "backend": name,
        "model": f"{model.rstrip('/').rpartition('/')[2]}, from {origin.model}",
        "licence": " and ".join(dict.fromkeys((origin.licence, licence))),
        "may_train": may_train and origin.may_train,
    }
    return generated.shape_of(raw, item, origin.model_copy(update=update), up)


def _from_server(server: Server, cutout: Cutout, item: ObjectSpec) -> mesh_read.RawMesh:
    """Return the mesh that a server makes of the object alone, on nothing."""
    from .backends import mesh_http

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
        modules = [import_module(module) for module in (__name__, *PICTURED[name], *SHARED)]
        return store.key([store.code_digest(*modules), _tools(name)])
    return store.code_digest(sys.modules[_target(name).__module__])

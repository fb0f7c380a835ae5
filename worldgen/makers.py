"""Who makes an object: names that are tried in turn, each with what its result hangs on. Knows backends, no files of assets.

A maker turns an `ObjectSpec` into a `Shape`. Those that work from pictures find one first, in the user's photos.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from . import mesh, mesh_solid, photos, pictures, store, vocabulary
from .errors import AssetError
from .shapes import Provenance, Shape
from .spec import ObjectSpec

PLAIN = {"procedural": "worldgen.backends.mesh_procedural:make"}
"""Name → "module:function", imported on use; any dotted path of that form is a name too."""
PICTURED = {"silhouette": "worldgen.backends.mesh_silhouette:make"}
"""The same, of functions of an object, the cut-out of its picture, and where that comes from."""


@dataclass(frozen=True)
class Makers:
    """How the objects of a library are made."""

    chain: tuple[str, ...] = ("procedural",)
    """Makers that are tried in turn."""
    photos: Path | None = None
    """Folder of photos, for those that work from pictures."""

    @classmethod
    def of(cls, names: str, photos: Path | None = None) -> Makers:
        """Read a command line's names, with commas between them.

        Raises:
            AssetError: When a maker is unknown, or there are no pictures for one that works from them.
        """
        made = cls(tuple(name.strip() for name in names.split(",")), photos)
        for name in made.chain:
            code(name)
            if name in PICTURED and photos is None:
                raise AssetError(f"--assets {name} works from pictures. Give a folder of photos with --photos.")
        if photos is not None:
            pictures.album(photos)
            if not set(made.chain) & set(PICTURED):
                raise AssetError(
                    f"--photos is for makers that work from pictures: {', '.join(PICTURED)}. Add --assets."
                )
        return made

    def version(self) -> list[Any]:
        """Return what all that they make hangs on, as JSON can say it."""
        album = [photo.digest for photo in pictures.album(self.photos).photos] if self.photos else []
        return [[name, code(name)] for name in self.chain] + album

    def looks(self) -> dict[str, tuple[str, ...]]:
        """Return the categories that there are pictures of, each with its colours: what a designer chooses where nothing is said."""
        return pictures.album(self.photos).looks() if self.photos else {}


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
        target = _target(name)
        inputs: dict[str, Any] = {"backend": name, "code": code(name)}
        if name not in PICTURED:
            yield Candidate(name, inputs, partial(target, item))
            continue
        try:
            if makers.photos is None:
                raise AssetError("it works from pictures, and there are none. Give a folder of photos with --photos.")
            photo = pictures.album(makers.photos).find(item)
        except AssetError as error:
            failed.append(f"{name}: {error}")
            continue
        origin = Provenance(
            backend=name, model=photo.path.name, revision=photo.digest, licence="user-supplied", may_train=True
        )
        yield Candidate(name, inputs | {"photo": photo.digest}, partial(target, item, photo.cutout, origin))


@cache
def _target(name: str) -> Callable[..., Shape]:
    path = (PLAIN | PICTURED).get(name, name)
    module_name, _, function = path.partition(":")
    if not function:
        known = vocabulary.valid_names(name, list(PLAIN | PICTURED))
        raise AssetError(f"Unknown asset backend '{name}'. {known} Or give 'module:function'.")
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
    modules: list[ModuleType] = [sys.modules[_target(name).__module__]]
    if name in PICTURED:
        modules += [photos, pictures, mesh, mesh_solid, sys.modules["worldgen.backends.mesh_procedural"]]
    return store.code_digest(*modules)


__all__ = ["Candidate", "Makers", "candidates", "code"]

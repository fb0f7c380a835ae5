"""A user's own mesh, or a photo, becomes an asset: read with care, closed, in metres, weighed, with convex parts. Knows one file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from . import assets, mesh, mesh_read, photos, pictures, store, vocabulary
from .assets import Asset
from .errors import AssetError
from .generated import VISUAL_FACES, sites
from .shapes import Part, Provenance, Shape
from .spec import MAX_SIZE, MIN_SIZE, ObjectSpec

STRANGE = 2.0
"""How many times longer or shorter than usual a thing is before that is said."""
MAX_NAME = 255
"""Longest name of a file or folder [bytes]."""


def import_mesh(
    file: Path,
    category: str,
    size: tuple[float, ...],
    out: Path,
    colour: str = "natural",
    material: str = "plastic",
    up: Literal["y", "z"] = "z",
    licence: str = "user-supplied",
    may_train: bool = True,
) -> Asset:
    """Make an asset of a mesh file in a new folder.

    Args:
        file: .obj, .glb, .gltf, .stl or .ply; it is read in a process of its own, with limits.
        category: What it is.
        size: Longest side, or extents along x, y, z [m].
        out: Folder to make.
        colour: Main colour, a word of the vocabulary; paints a mesh without texture.
        material: Gives density and friction.
        up: Axis of the file that points up.
        licence: Of the mesh.
        may_train: Whether that licence allows training other models on it.

    Raises:
        AssetError: When the file is no usable mesh, a word is unknown, the size is out of bounds, or `out` exists.
    """
    _check_words(category, colour, material)
    extents = _checked(file, size, out)
    raw = mesh.clean(mesh_read.read(file))
    raw = mesh.solidify(raw)
    made = raw.made
    raw = mesh.to_metres(mesh.simplify(raw, VISUAL_FACES), extents, up)
    vertices, faces = raw.vertices, raw.faces
    uv, texture = raw.uv, raw.texture
    if uv is None or texture is None:
        given = vocabulary.colours()[colour]
        texture = np.full((8, 8, 3), given if colour != "natural" else raw.colour, np.uint8)
        uv = np.full((len(faces), 3, 2), 0.5)
    x, y, z = (float(extent) for extent in np.ptp(vertices, axis=0))
    digest = store.file_digest(file)
    shape = Shape(
        parts=(Part("", vertices, faces, uv),),
        texture=texture,
        provenance=Provenance(
            backend="import", model=_printable(file.name), revision=digest, licence=licence, may_train=may_train
        ),
        sites=sites(x, y, z),
        description=f"{colour} {material} {category}" if colour != "natural" else f"{material} {category}",
        notes=(
            f"solid {made}",
            *filter(None, [raw.note]),
            *_doubts(category, max(x, y, z), "nothing is known of its usual size"),
        ),
    )
    item = ObjectSpec(
        name="imported",
        category=category,
        colour=colour,
        material=material,
        size=(round(x, 4), round(y, 4), round(z, 4)),
        role="target",
    )
    key = store.key({"import": digest, "item": item.model_dump(mode="json"), "up": up})

    return _published(shape, item, key, out)


def from_image(
    file: Path,
    category: str,
    height: float,
    out: Path,
    colour: str = "",
    material: str = "",
    licence: str = "user-supplied",
    may_train: bool = True,
    eyes: str = "",
) -> Asset:
    """Make an asset of a photo of one object on a plain background, in a new folder.

    Args:
        file: PNG, JPEG or WebP.
        category: What it is; what the vocabulary knows gets that thing's usual proportions where the photo does not show them.
        height: Of the thing as it stands or lies [m].
        out: Folder to make.
        colour: Main colour, a word of the vocabulary; empty for what the photo shows.
        material: Gives density and friction; empty for the category's usual one, or plastic.
        licence: Of the photo.
        may_train: Whether that licence allows training models on what is made of it.
        eyes: Vision model that narrows the ranges in the record; empty for none.

    Raises:
        MakerError: When the vision model cannot be asked.
        AssetError: When the photo shows no single whole object, a word is unknown, the height is out of bounds, or `out` exists.
    """
    from .backends import judge_openai, mesh_silhouette

    known = vocabulary.categories().get(category)
    material = material or (known.materials[0] if known else "plastic")
    _check_words(category, colour or "natural", material)
    _checked(file, (height,), out)
    if eyes:
        judge_openai.require_endpoint("--eyes")
    cutout = photos.read(file)
    colour = colour or pictures.nearest_colour(cutout.colour(), pictures.colours_of(category))
    digest = store.file_digest(file)
    origin = Provenance(
        backend="silhouette", model=_printable(file.name), revision=digest, licence=licence, may_train=may_train
    )
    size = mesh_silhouette.usual_size(category, cutout, height)
    item = ObjectSpec(name="pictured", category=category, colour=colour, material=material, size=size, role="target")
    shape = mesh_silhouette.make(item, cutout, origin)
    more = height / float(np.ptp(shape.parts[0].vertices[:, 2]))  # it was fitted into the usual size: take a larger one
    item = item.model_copy(update={"size": tuple(round(float(side) * more, 4) for side in size)})
    shape = mesh_silhouette.make(item, cutout, origin)
    shape = replace(
        shape, notes=(*shape.notes, *_doubts(category, max(item.size), "its form is guessed from the outline"))
    )
    if eyes:
        shape = judge_openai.look(eyes, shape, item, cutout.picture)
    key = store.key({"photo": digest, "item": item.model_dump(mode="json"), "eyes": eyes})
    return _published(shape, item, key, out)


def _doubts(category: str, longest: float, so: str) -> tuple[str, ...]:
    """Return the note that a category is no word of the vocabulary, and what follows, or that things of it are of another size [m]."""
    known = vocabulary.categories().get(category)
    if known is None:
        guess = vocabulary.guess(category, vocabulary.categories())
        return (f"'{category}' is no word of the vocabulary: {so}.{guess}",)
    low, high = max(known.small), max(known.large)
    if low / STRANGE <= longest <= high * STRANGE:
        return ()
    return (f"{longest:g} m is no usual size of a {category}, which is {low:g} to {high:g} m long.",)


def _printable(name: str) -> str:
    """Return a file's name as text: systems allow bytes that are none."""
    return os.fsencode(name).decode("utf-8", "replace")


def _published(shape: Shape, item: ObjectSpec, key: str, out: Path) -> Asset:
    def build(folder: Path) -> None:
        assets.finish(shape, item, key, folder)
        store.write_manifest(folder)

    return Asset.load(store.publish(out, build))


def _check_words(category: str, colour: str, material: str) -> None:
    if not category.strip() or len(category) > 64:
        raise AssetError(
            f"Category '{category[:70]}' must have 1 to 64 characters. Say what the object is, e.g. 'mug'."
        )
    for what, word, known in (("colour", colour, vocabulary.colours()), ("material", material, vocabulary.materials())):
        if word not in known:
            raise AssetError(f"Unknown {what} '{word}'. {vocabulary.valid_names(word, known)}")


def _checked(file: Path, size: tuple[float, ...], out: Path) -> float | tuple[float, float, float]:
    """Return the wanted size, one number or three, when all arguments are in order."""
    if not file.is_file():
        raise AssetError(f"There is no file '{file}'.")
    if longest := max((part for part in out.parts if len(os.fsencode(part)) > MAX_NAME), default=""):
        raise AssetError(
            f"Name '{longest[:40]}...' has {len(os.fsencode(longest))} bytes, which no file system takes: at most {MAX_NAME} a name. Give a shorter one with --out."
        )
    if out.exists():
        raise AssetError(f"'{out}' exists. Give a new folder with --out.")
    if len(size) not in (1, 3):
        raise AssetError(f"--size takes one number (longest side) or three (x y z) in metres, got {len(size)}.")
    for extent in size:
        if not MIN_SIZE <= extent <= MAX_SIZE:
            raise AssetError(f"Size {extent:g} m is outside [{MIN_SIZE:g}, {MAX_SIZE:g}] m. Give metres: 9 cm is 0.09.")
    return size[0] if len(size) == 1 else (size[0], size[1], size[2])

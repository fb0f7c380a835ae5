"""A user's panorama becomes the six faces of a sky box. Knows pictures, not scenes.

Faces follow MuJoCo's order right, left, up, down, front, back: seen from the robot's base they lie along +x, -x, +y, -y, ... as
`FACES` says, in the world frame of a scene (x forward, z up).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import store
from .errors import SceneError
from .files import png

SIZE = 256
"""Edge of a face [px]."""
MAX_PIXELS = 64_000_000
LAYOUT = "RLUDFB"
"""Order of the faces in a stored column."""
GRID, GRID_LAYOUT = [6, 1], [*LAYOUT, *6 * "."]
"""The same for a MuJoCo texture: rows and columns, and twelve marks of which the first six count."""
FACES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]] = {
    "R": ((1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "L": ((-1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "U": ((0, 0, 1), (1, 0, 0), (0, -1, 0)),
    "D": ((0, 0, -1), (1, 0, 0), (0, 1, 0)),
    "F": ((0, -1, 0), (1, 0, 0), (0, 0, -1)),
    "B": ((0, 1, 0), (-1, 0, 0), (0, 0, -1)),
}
"""Face → where its centre, its right edge and its lower edge point, in the world frame."""
_CROSS = {"U": (0, 1), "L": (1, 0), "F": (1, 1), "R": (1, 2), "B": (1, 3), "D": (2, 1)}
"""Face → row and column in a 3 x 4 cross."""


def key_of(file: Path) -> str:
    """Return the key that a picture gets as a panorama, after a look at it.

    Raises:
        SceneError: When the file is no such picture.
    """
    _faces(_read(file), file)
    return store.key({"panorama": store.file_digest(file), "code": store.code_digest(sys.modules[__name__])})


def add(file: Path, entries: store.Store) -> None:
    """Store a panorama, as six faces in a column, under its key.

    Args:
        file: A PNG or JPEG: twice as wide as high (equirectangular, its middle straight ahead of the robot), six square faces in a
            column (right, left, up, down, front, back), or a cross of three rows and four columns.
        entries: Store of the assets.

    Raises:
        SceneError: When the file is no such picture.
    """
    faces = _faces(_read(file), file)
    column = np.concatenate([faces[name] for name in LAYOUT])

    def build(folder: Path) -> None:
        (folder / "texture.png").write_bytes(png(np.ascontiguousarray(column)))

    entries.put(key_of(file), build)


def _read(file: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise SceneError(
                    f"Panorama '{file}' has {picture.width} x {picture.height} pixels; {MAX_PIXELS} are allowed. Shrink it."
                )
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise SceneError(f"Panorama '{file}' cannot be read as a picture: {error}.") from error


def _faces(picture: NDArray[np.uint8], file: Path) -> dict[str, NDArray[np.uint8]]:
    height, width = picture.shape[:2]
    if width == 2 * height:
        return {name: _project(picture, name) for name in LAYOUT}
    if height == 6 * width:
        return {name: _resized(picture[i * width : (i + 1) * width]) for i, name in enumerate(LAYOUT)}
    if 3 * width == 4 * height:
        edge = height // 3
        return {
            name: _resized(picture[r * edge : (r + 1) * edge, c * edge : (c + 1) * edge])
            for name, (r, c) in _CROSS.items()
        }
    raise SceneError(
        f"Panorama '{file}' is {width} x {height} px. Give one that is twice as wide as high, six square faces in a column, or a cross of "
        "three rows and four columns."
    )


def _resized(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(face).resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def _project(picture: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Look into an equirectangular picture through one face of the cube."""
    middle, right, down = (np.array(axis, float) for axis in FACES[name])
    steps = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    ray = middle + steps[None, :, None] * right + steps[:, None, None] * down
    ray /= np.linalg.norm(ray, axis=2, keepdims=True)
    height, width = picture.shape[:2]
    column = (0.5 - np.arctan2(ray[..., 1], ray[..., 0]) / (2 * np.pi)) * width
    row = (0.5 - np.arcsin(ray[..., 2]) / np.pi) * height
    return picture[np.clip(row.astype(int), 0, height - 1), column.astype(int) % width]

"""Pictures and meshes as the bytes of their files: the same input, the same bytes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def obj_text(vertices: NDArray[np.float64], faces: NDArray[np.int64], uv: NDArray[np.float64] | None = None) -> str:
    """Return a Wavefront OBJ; equal texture coordinates are written once."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    if uv is None:
        lines += [f"f {a} {b} {c}" for a, b, c in faces + 1]
        return "\n".join(lines) + "\n"
    unique, index = np.unique(np.round(uv.reshape(-1, 2), 5), axis=0, return_inverse=True)
    lines += [f"vt {u:.5f} {v:.5f}" for u, v in unique]
    corner = index.reshape(-1, 3) + 1
    lines += [f"f {a}/{d} {b}/{e} {c}/{f}" for (a, b, c), (d, e, f) in zip(faces + 1, corner, strict=True)]
    return "\n".join(lines) + "\n"


def png(image: NDArray[np.uint8], colours: int = 0) -> bytes:
    """Return an image as PNG; `colours` > 0 makes it a palette image of at most so many."""
    picture = Image.fromarray(image)
    if colours:
        picture = picture.quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


_OWNED = frozenset(
    {
        "library.json",
        "scene.json",
        "scene.xml",
        "preview.png",
        "manifest.json",
        "asset.json",
        "texture.png",
        "robot.json",
    }
)


def refusal_to_overwrite(path: Path) -> str:
    """Return why a file that a user names must not be written over, or nothing: devices, folders, a library's own files."""
    if path.exists() and not path.is_file():
        return f"'{path}' is no ordinary file. Choose another name."
    if path.exists() and path.name in _OWNED:
        return f"'{path}' belongs to a library. Choose another name."
    if any((folder / "manifest.json").exists() for folder in path.resolve().parents[:2]):
        return f"'{path}' lies among the files of a library, which are checked. Choose another folder."
    return ""

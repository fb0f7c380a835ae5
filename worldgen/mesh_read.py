"""Read a mesh file that anyone may have made: caps before parsing, parsing in a child that may be killed.

Knows file formats and their traps; what comes back is plain arrays, not yet clean. The child's side is `mesh_parse`.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from . import child
from .errors import AssetError, printable

Array = NDArray[np.float64]
Faces = NDArray[np.int64]
Made = Literal["as-is", "united", "holes-filled", "remeshed"]

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl")
MAX_BYTES = 256 << 20
"""Size of the largest file that is opened."""


@dataclass(frozen=True)
class RawMesh:
    """A triangle mesh with at most one texture, in whatever units and pose it came."""

    vertices: Array
    """(V, 3)."""
    faces: Faces
    """(F, 3), counter-clockwise from outside if the maker kept to that."""
    uv: Array | None = None
    """(F, 3, 2) of each face corner in [0, 1], v upwards; None without a texture."""
    texture: NDArray[np.uint8] | None = None
    """(H, W, 3) sRGB."""
    colour: tuple[int, int, int] = (180, 180, 180)
    """Base colour (sRGB), the mean of the texture if there is one."""
    made: Made = "as-is"
    """How the solid came about: untouched, overlapping pieces united, small holes filled, or built anew around the surface."""
    note: str = ""
    """What could not be done; empty when all went well."""


def read(path: Path | str, *, seconds: float = 60.0, memory: int = 4 << 30) -> RawMesh:
    """Return the mesh in a file of untrusted origin, all objects of its scene merged under one texture.

    Args:
        path: A .glb, .gltf, .obj, .ply or .stl file. Files that it names are read only from its own folder.
        seconds: Time limit [s].
        memory: Limit of the parser [bytes].

    Raises:
        AssetError: When it is no such file, too large, damaged, or reaches outside its folder.
    """
    path = Path(path)
    try:
        info = path.lstat()
    except OSError as error:
        raise _refusal(f"mesh file '{path}' cannot be read: {error.strerror}. Give the path of a file.") from error
    if not stat.S_ISREG(info.st_mode):
        raise _refusal(f"mesh file '{path}' is a link, folder or device; give the regular file itself.")
    if path.suffix.lower() not in SUFFIXES:
        raise _refusal(
            f"mesh file '{path}' has suffix '{path.suffix}'; allowed are {', '.join(SUFFIXES)}. Export it as one of them."
        )
    if not info.st_size:
        raise _refusal(f"mesh file '{path}' is empty (0 bytes). Download or export it again.")
    if info.st_size > MAX_BYTES:
        raise _refusal(
            f"mesh file '{path}' has {info.st_size} bytes; allowed are at most {MAX_BYTES} (256 MiB). Simplify it first."
        )
    try:
        parsed = child.run(
            "worldgen.mesh_parse:parse", {"path": np.array(str(path.absolute()))}, seconds=seconds, memory=memory
        )
    except child.Refusal as error:
        raise _refusal(f"mesh file '{path}': {error}") from error
    except child.ChildError as error:
        raise _refusal(f"mesh file '{path}' cannot be parsed: the parser {error}. Re-export or simplify it.") from error
    red, green, blue = (int(value) for value in parsed["colour"])
    return RawMesh(
        vertices=parsed["vertices"],
        faces=parsed["faces"],
        uv=parsed.get("uv"),
        texture=parsed.get("texture"),
        colour=(red, green, blue),
    )


def _refusal(text: str) -> AssetError:
    """Return an error of one line, whatever a file's name is and what it holds."""
    return AssetError(printable(text))

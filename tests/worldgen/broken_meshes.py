"""A corpus of broken mesh files, and a runner that imports one as `worldgen assets import` does, in a process that may be killed.

A case says what its file must come to: an asset of a known size and volume, or a refusal in one line. Bytes are made when asked for, the same ones
always, so that tests can be named without any.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import manifold3d
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Vertices = NDArray[np.float64]
Faces = NDArray[np.int64]
Mesh = tuple[Vertices, Faces]
Expected = Literal["asset", "refused", "either"]
LONG = 0.1
"""Longest side that is asked for [m], and that of the shapes."""
SECONDS = 45.0
"""Processor time that an import may take, all its processes together [s]; it does not grow on a busy machine."""
REBUILT = 400.0
"""Processor time where the surface has to be built anew: two cores split it until the product's own limit of 180 s [s]."""
PATIENCE = 300.0
"""Wall-clock time after which an import is killed [s]: more than the product's own limits, 60 s for parsing and 180 s for splitting."""
DRAWN = 50_000
"""Most faces of what is drawn: 3 ms a frame on a processor, where 2,000 are aimed at."""
MEMORY = 2 << 30
"""Largest resident memory of any process of an import [bytes]."""


class Link(NamedTuple):
    """A symbolic link in place of a file."""

    target: str


Files = dict[str, bytes | Link]


@dataclass(frozen=True)
class Case:
    """One broken input and what must come of it."""

    name: str
    """"family/what", unique."""
    make: Callable[[], Files]
    """Makes the mesh file, the first one, and those beside it."""
    expect: Expected
    says: str = ""
    """What the refusal, or the notes of the asset, must match, a regular expression."""
    of: str = ""
    """Shape whose sides the asset must have; empty for unknown sides."""
    volume: float | None = None
    """Volume that the asset must have, as a share of that of `of`."""
    within: float = 0.02
    """Relative tolerance of the volume; of the sides it is 4 %."""
    why: str = ""
    """Why either is fine."""
    fast: bool = False
    """Whether it belongs to the selection that always runs."""
    size: tuple[float, ...] = (LONG,)
    seconds: float = SECONDS

    @property
    def family(self) -> str:
        return self.name.partition("/")[0]


# Shapes, the longest side 0.1 m


def _arrays(solid: manifold3d.Manifold) -> Mesh:
    mesh = solid.to_mesh64()
    return np.array(mesh.vert_properties[:, :3], float), np.array(mesh.tri_verts, np.int64)


def _mug() -> manifold3d.Manifold:
    cup = manifold3d.Manifold.cylinder(0.09, 0.04, 0.04, 32)
    cup -= manifold3d.Manifold.cylinder(0.09, 0.036, 0.036, 32).translate([0, 0, 0.005])
    ring = manifold3d.CrossSection.circle(0.005, 8).translate([0.025, 0]).revolve(24).rotate([90, 0, 0])
    return cup + (ring.translate([0.042, 0, 0.045]) - manifold3d.Manifold.cylinder(0.09, 0.038, 0.038, 32))


def _bowl() -> manifold3d.Manifold:
    wall = manifold3d.Manifold.sphere(0.05, 32) - manifold3d.Manifold.sphere(0.044, 32)
    return wall.trim_by_plane([0, 0, -1], 0)


def _composite() -> list[manifold3d.Manifold]:
    return [
        manifold3d.Manifold.cube([0.1, 0.06, 0.03]),
        manifold3d.Manifold.cylinder(0.05, 0.02, 0.02, 24).translate([0.03, 0.03, 0.02]),
        manifold3d.Manifold.sphere(0.02, 20).translate([0.075, 0.03, 0.035]),
    ]


def _fine_box() -> manifold3d.Manifold:
    return manifold3d.Manifold.cube([0.1, 0.06, 0.08]).refine(6)


SOLIDS: dict[str, Callable[[], manifold3d.Manifold]] = {
    "box": lambda: manifold3d.Manifold.cube([0.1, 0.06, 0.08]),
    "fine-box": _fine_box,
    "mug": _mug,
    "bowl": _bowl,
    "plate": lambda: manifold3d.Manifold.cylinder(0.003, 0.05, 0.05, 48),
    "sphere": lambda: manifold3d.Manifold.sphere(0.05, 32),
    "hollow": lambda: manifold3d.Manifold.sphere(0.05, 32) - manifold3d.Manifold.sphere(0.035, 32),
    "composite": lambda: manifold3d.Manifold.batch_boolean(_composite(), manifold3d.OpType.Add),
    "ell": lambda: manifold3d.CrossSection(
        [[(0, 0), (0.1, 0), (0.1, 0.03), (0.03, 0.03), (0.03, 0.08), (0, 0.08)]]
    ).extrude(0.04),
}


@cache
def solid(name: str) -> tuple[Vertices, Faces, float]:
    """Return vertices [m] and faces of a shape, its longest side 0.1 m, and its volume [m3]. A composite is several closed pieces that overlap."""
    whole = SOLIDS[name]()
    scale = LONG / float(np.ptp(_arrays(whole)[0], axis=0).max())
    vertices, faces = _together(*map(_arrays, _composite())) if name == "composite" else _arrays(whole)
    vertices, faces = vertices * scale, faces.copy()
    vertices.flags.writeable = faces.flags.writeable = False
    return vertices, faces, whole.volume() * scale**3


def shape(name: str) -> Mesh:
    """Return vertices and faces of a shape, that may be changed."""
    vertices, faces, _ = solid(name)
    return vertices.copy(), faces.copy()


def _together(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(
        [faces + start for (_, faces), start in zip(meshes, starts, strict=False)]
    )


def _box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Mesh:
    vertices, faces = _arrays(manifold3d.Manifold.cube([1, 1, 1]))
    return np.array(low) + vertices * (np.array(high) - np.array(low)), faces


# Files

ENDINGS = ("obj", "stl", "ply", "glb", "gltf")
FORMATS = ("obj", "stl-ascii", "stl", "ply-ascii", "ply", "glb", "gltf")


def encode(kind: str, vertices: Vertices, faces: Faces) -> bytes:
    """Return a mesh in a format as its plainest writer would, whatever nonsense it holds."""
    return {
        "obj": _obj,
        "stl-ascii": _stl_ascii,
        "stl": _stl,
        "ply-ascii": _ply_ascii,
        "ply": _ply,
        "glb": _glb_of,
        "gltf": _gltf_of,
    }[kind](vertices, faces)


def _numbers(row: Any) -> str:
    return " ".join(f"{float(value):.9g}" for value in row)


def _obj(vertices: Vertices, faces: Faces) -> bytes:
    lines = [f"v {_numbers(row)}" for row in vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in faces + 1]
    return ("\n".join(lines) + "\n").encode()


def _stl_ascii(vertices: Vertices, faces: Faces) -> bytes:
    lines = ["solid broken"]
    for face in faces:
        lines += ["facet normal 0 0 0", "outer loop"]
        lines += [f"vertex {_numbers(vertices[corner])}" for corner in face]
        lines += ["endloop", "endfacet"]
    return ("\n".join([*lines, "endsolid broken"]) + "\n").encode()


def _stl(vertices: Vertices, faces: Faces) -> bytes:
    record = np.zeros(len(faces), np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]))
    with np.errstate(over="ignore"):
        record["corners"] = vertices[faces]
    return b"a broken mesh".ljust(80, b"\0") + struct.pack("<I", len(faces)) + record.tobytes()


def _ply_header(style: str, vertices: int | str, faces: int | str, extra: str = "") -> bytes:
    return (
        f"ply\nformat {style} 1.0\nelement vertex {vertices}\nproperty float x\nproperty float y\nproperty float z\n{extra}"
        f"element face {faces}\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()


def _ply_ascii(vertices: Vertices, faces: Faces) -> bytes:
    lines = [_numbers(row) for row in vertices] + [f"3 {a} {b} {c}" for a, b, c in faces]
    return _ply_header("ascii", len(vertices), len(faces)) + ("\n".join(lines) + "\n").encode()


def _ply(vertices: Vertices, faces: Faces) -> bytes:
    rows = np.zeros(len(faces), np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    rows["count"], rows["corners"] = 3, faces
    with np.errstate(over="ignore"):
        points = vertices.astype("<f4")
    return _ply_header("binary_little_endian", len(vertices), len(faces)) + points.tobytes() + rows.tobytes()


def glb(tree: Any, binary: bytes = b"") -> bytes:
    """Return a GLB of any JSON and bytes."""
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(binary), 0x004E4942) + binary if binary else b""
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def gltf_tree(vertices: Vertices, faces: Faces) -> tuple[dict[str, Any], bytes]:
    """Return the JSON and the buffer of a glTF scene of one mesh."""
    with np.errstate(over="ignore"):
        points = vertices.astype("<f4")
    corners = faces.astype("<u4").tobytes()
    low, high = (np.nan_to_num(edge, posinf=0, neginf=0).tolist() for edge in (points.min(axis=0), points.max(axis=0)))
    tree: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(vertices), "type": "VEC3", "min": low, "max": high},
            {"bufferView": 1, "componentType": 5125, "count": 3 * len(faces), "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": points.nbytes},
            {"buffer": 0, "byteOffset": points.nbytes, "byteLength": len(corners)},
        ],
        "buffers": [{"byteLength": points.nbytes + len(corners)}],
    }
    return tree, points.tobytes() + corners


def data_uri(data: bytes, kind: str = "application/octet-stream") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def gltf(tree: dict[str, Any], binary: bytes) -> bytes:
    """Return a glTF with its buffer inside."""
    return json.dumps(tree | {"buffers": [{"byteLength": len(binary), "uri": data_uri(binary)}]}).encode()


def _glb_of(vertices: Vertices, faces: Faces) -> bytes:
    return glb(*gltf_tree(vertices, faces))


def _gltf_of(vertices: Vertices, faces: Faces) -> bytes:
    return gltf(*gltf_tree(vertices, faces))


def png(width: int, height: int, *, declared: tuple[int, int] | None = None) -> bytes:
    """Return a PNG with a pattern; with a declared size, one that holds next to nothing of it."""
    if declared is None:
        buffer = io.BytesIO()
        pattern = np.full((height, width, 3), 90, np.uint8)
        pattern[..., 0], pattern[..., 1] = np.linspace(0, 255, width), np.linspace(0, 255, height)[:, None]
        Image.fromarray(pattern).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *declared, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (16, 16)) -> bytes:
    """Return a small picture in a format and mode of Pillow's."""
    buffer = io.BytesIO()
    Image.effect_mandelbrot(size, (-2, -1, 1, 1), 20).convert(mode).save(buffer, kind)
    return buffer.getvalue()


# How cases are written

Change = Callable[..., Mesh]
"""From the vertices and faces of a mesh."""
Damage = Callable[..., bytes]
"""From the bytes of a file."""


def ending(kind: str) -> str:
    return kind.partition("-")[0]


def changed(
    name: str,
    of: str,
    kind: str,
    expect: Expected,
    *,
    change: Change | None = None,
    damage: Damage | None = None,
    volume: float | None = None,
    sides: bool = True,
    **more: Any,
) -> Case:
    """Return a case of a shape that is changed as a mesh, then as bytes, in one format."""

    def make() -> Files:
        mesh = shape(of)
        data = encode(kind, *(change(*mesh) if change else mesh))
        return {f"mesh.{ending(kind)}": damage(data) if damage else data}

    volume = 1.0 if volume is None and expect == "asset" and sides else volume
    return Case(f"{name}/{of}.{kind}", make, expect, of=of if sides else "", volume=volume, **more)


def bare(name: str, kind: str, data: bytes | Callable[..., bytes], expect: Expected, **more: Any) -> Case:
    """Return a case of the bytes of one file."""

    def make() -> Files:
        return {f"mesh.{kind}": data if isinstance(data, bytes) else data()}

    return Case(f"{name}.{kind}", make, expect, **more)


def beside(name: str, files: Callable[..., Files], expect: Expected, **more: Any) -> Case:
    """Return a case of a file with others beside it."""
    return Case(name, files, expect, **more)


def _seeded(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


# A case is a line or two, as in a table.
# fmt: off

# Numbers that are none


def not_a_number() -> Iterator[Case]:
    def poison(value: float, index: int = 3) -> Change:
        def change(vertices: Vertices, faces: Faces) -> Mesh:
            vertices[index, 1] = value
            return vertices, faces

        return change

    bases = ("box", "mug", "bowl", "plate", "sphere", "composite", "ell")
    for kind, of in zip(FORMATS, bases, strict=True):
        yield changed("nan/vertex", of, kind, "refused", change=poison(np.nan), says="NaN or infinite", fast=kind == "ply")
    for kind, of in zip(FORMATS, bases[::-1], strict=True):
        yield changed("inf/vertex", of, kind, "refused", change=poison(np.inf), says="NaN or infinite", fast=kind == "obj")
    yield changed("inf/negative", "box", "stl", "refused", change=poison(-np.inf), says="NaN or infinite")
    yield changed("nan/all", "sphere", "glb", "refused", change=lambda v, f: (v * np.nan, f), says="NaN or infinite")
    box = _obj(*shape("box"))
    yield bare("nan/unused vertex", "obj", b"".join([*box.splitlines(True), b"v nan nan nan\n"]), "asset", of="box", volume=1)
    for word in (b"nan(ind)", b"-1.#IND", b"1.#QNAN", b"NULL", b"0x1p3"):
        text = box.replace(b"0.1", word, 1)
        yield bare(f"nan/{word.decode()}", "obj", text, "refused")
    yield bare("inf/1e400", "obj", box.replace(b"0.1", b"1e400", 1), "refused", says="NaN or infinite")
    ply = _ply_ascii(*shape("box"))
    yield bare("inf/1e39 as float", "ply", ply.replace(b"0.1", b"1e39", 1), "refused", says="NaN or infinite|units long")

    def normals(kind: str) -> bytes:
        vertices, faces = shape("box")
        if kind == "stl":
            data = np.frombuffer(_stl(vertices, faces), np.uint8).copy()
            rows = data[84:].reshape(-1, 50)
            rows[:, :12] = np.frombuffer(np.full(3, np.nan, "<f4").tobytes(), np.uint8)
            return data.tobytes()
        if kind == "obj":
            lines = [f"v {_numbers(row)}" for row in vertices] + ["vn nan nan nan"]
            return "\n".join(lines + [f"f {a}//1 {b}//1 {c}//1" for a, b, c in faces + 1]).encode()
        extra = "property float nx\nproperty float ny\nproperty float nz\n"
        lines = [f"{_numbers(row)} nan nan nan" for row in vertices] + [f"3 {a} {b} {c}" for a, b, c in faces]
        return _ply_header("ascii", len(vertices), len(faces), extra) + "\n".join(lines).encode() + b"\n"

    for kind in ("stl", "obj", "ply"):
        yield bare(f"nan/normals in {kind}", kind, lambda kind=kind: normals(kind), "asset", of="box", volume=1)

    def colours() -> bytes:
        vertices, faces = shape("box")
        extra = "property float red\nproperty float green\nproperty float blue\n"
        lines = [f"{_numbers(row)} nan nan 7e9" for row in vertices] + [f"3 {a} {b} {c}" for a, b, c in faces]
        return _ply_header("ascii", len(vertices), len(faces), extra) + "\n".join(lines).encode() + b"\n"

    yield bare("nan/vertex colours", "ply", colours, "asset", of="box", volume=1)
    for key, value in (("translation", [float("nan"), 0, 0]), ("matrix", [float("nan")] * 16), ("scale", [1e308] * 3)):
        yield bare(f"nan/node {key}", "glb", lambda k=key, v=value: _with_node({k: v}), "refused", fast=key == "translation")
    yield bare("nan/node rotation", "glb", lambda: _with_node({"rotation": [float("nan"), 0, 0, 1]}), "refused")
    yield bare("nan/rotation of no length", "glb", lambda: _with_node({"rotation": [0, 0, 0, 0]}), "either", why="a quaternion of zero may be read as no turn, or refused")


def _with_node(fields: dict[str, Any], of: str = "box") -> bytes:
    tree, binary = gltf_tree(*shape(of))
    tree["nodes"] = [{"mesh": 0, **fields}]
    return glb(tree, binary)


# Files that end too soon, or hold nothing


def too_little() -> Iterator[Case]:
    for kind in ENDINGS:
        yield bare("empty/no bytes", kind, b"", "refused", says="0 bytes", fast=kind == "stl")
        yield bare("empty/zeros", kind, bytes(1000), "refused")
    for kind in ("obj", "ply", "gltf"):
        yield bare("empty/white space", kind, b" \n\t\r\n" * 50, "refused")
    yield bare("header only/ascii stl", "stl", b"solid nothing\nendsolid nothing\n", "refused")
    yield bare("header only/ascii stl without a name", "stl", b"solid\nendsolid\n", "refused")
    yield bare("header only/binary stl", "stl", bytes(84), "refused")
    yield bare("header only/half a header", "stl", bytes(42), "refused")
    for style in ("ascii", "binary_little_endian", "binary_big_endian"):
        yield bare(f"header only/ply of nothing {style}", "ply", _ply_header(style, 0, 0), "refused")
    yield bare("header only/ply of points", "ply", _ply_header("ascii", 3, 0) + b"0 0 0\n1 0 0\n0 1 0\n", "refused")
    yield bare("header only/ply without elements", "ply", b"ply\nformat ascii 1.0\nend_header\n", "refused")
    yield bare("header only/obj of comments", "obj", b"# Blender 4.2\nmtllib none.mtl\no Cube\ns off\n", "refused")
    yield bare("header only/obj of points", "obj", _obj(shape("sphere")[0], np.zeros((0, 3), int)), "refused")
    yield bare("header only/obj of lines", "obj", _obj(shape("box")[0], np.zeros((0, 3), int)) + b"l 1 2 3 4\n", "refused")
    yield bare("header only/glb header", "glb", struct.pack("<4sII", b"glTF", 2, 12), "refused", fast=True)
    for label, tree in (
        ("nothing", {}),
        ("an asset", {"asset": {"version": "2.0"}}),
        ("an empty scene", {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": []}]}),
        ("a camera", {"asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "nodes": [{"camera": 0}]}),
        ("a list", []),
        ("a number", 5),
        ("null", None),
        ("a word", "glTF"),
    ):
        yield bare(f"header only/{label}", "glb", glb(tree), "refused")
        yield bare(f"header only/{label}", "gltf", json.dumps(tree).encode(), "refused")
    bases = ("sphere", "mug", "box", "bowl", "composite", "ell", "plate")
    for kind, of in zip(FORMATS, bases, strict=True):
        for share in (0.1, 0.5, 0.9):
            if kind == "obj" and share == 0.9:
                continue
            yield changed(f"truncated/{share:.0%}", of, kind, "refused", damage=lambda data, s=share: data[: int(s * len(data))], fast=kind in ("stl", "ply") and share == 0.5)
        text = kind in ("obj", "stl-ascii", "ply-ascii")  # the last byte is a line's end
        yield changed("truncated/one byte", of, kind, "asset" if text else "refused", damage=lambda data: data[:-1], volume=1 if text else None)
    yield changed(
        "truncated/in a face",
        "box",
        "obj",
        "either",
        damage=lambda data: data[:-4],
        volume=1,
        why="a face of two corners is none: as one that is missing it may be filled, or the file refused",
    )
    yield changed(
        "truncated/90%",
        "sphere",
        "obj",
        "either",
        damage=lambda data: data[: int(0.9 * len(data))],
        sides=False,
        why="nothing in an OBJ tells where it ends: what is left may be an open mesh, closed as one",
    )
    yield changed(
        "truncated/no endsolid",
        "box",
        "stl-ascii",
        "either",
        damage=lambda data: data.replace(b"endsolid broken\n", b""),
        says="endsolid|ends|solid as-is",
        why="every face is there, but a file that is cut looks the same; that it holds no triangles is wrong",
    )


# Bytes that changed on the way


def corrupted() -> Iterator[Case]:
    def overwrite(at: float, count: int, byte: int = 0xFF) -> Damage:
        def damage(data: bytes) -> bytes:
            start = int(at * len(data))
            return data[:start] + bytes([byte]) * count + data[start + count :]

        return damage

    bases = ("composite", "ell", "mug", "sphere", "bowl", "box", "plate")
    for kind, of in zip(FORMATS, bases, strict=True):
        if kind not in ("obj", "stl"):
            yield changed("corrupted/a run of 0xFF near the end", of, kind, "refused", damage=overwrite(0.97, 16))
        yield changed(
            "corrupted/the first bytes",
            of,
            kind,
            "refused" if kind not in ("obj", "stl") else "either",
            damage=overwrite(0, 6),
            sides=False,
            fast=kind == "ply",
            why="the first line of an OBJ may be left out or refused; an STL's header is any bytes" if kind in ("obj", "stl") else "",
        )

        def sprinkle(data: bytes, name: str = f"{kind}{of}") -> bytes:
            rng = _seeded(name)
            broken = np.frombuffer(data, np.uint8).copy()
            where = rng.choice(len(broken), len(broken) // 100, replace=False)
            broken[where] = rng.integers(0, 256, len(where))
            return broken.tobytes()

        yield changed("corrupted/1 % of all bytes", of, kind, "refused", damage=sprinkle, fast=kind == "obj")
    yield changed("corrupted/floats of 0xFF", "mug", "stl", "refused", damage=overwrite(0.5, 60), says="NaN or infinite")
    for kind in ("stl", "glb"):
        yield changed(
            "corrupted/a run of zeros", "sphere", kind, "asset", damage=overwrite(0.3, 24, 0), sides=False
        )  # two corners pulled to the origin, or some: torn, but all of it finite

    def far(data: bytes) -> bytes:
        return data[:96] + struct.pack("<f", 3e30) + data[100:]

    yield changed("corrupted/one corner far away", "sphere", "stl", "refused", damage=far, says="units long")

    def spike(vertices: Vertices, faces: Faces) -> Mesh:
        vertices[5] *= 3e4
        return vertices, faces

    yield changed("corrupted/a spike of 1 km", "sphere", "ply", "refused", change=spike, says="flat|thick")
    box = _obj(*shape("box"))
    lost = "a face that cannot be read is as one that is missing, which is filled; refusing the file is as good"
    yield bare("corrupted/a word for an index", "obj", re.sub(rb"\nf \d+", b"\nf one", box, count=1), "either", why=lost, of="box", volume=1)
    yield bare("corrupted/an index cut in two", "obj", re.sub(rb"\nf (\d+) ", b"\nf 1\0\xff ", box, count=1), "either", why=lost, of="box", volume=1)
    yield bare("corrupted/a word for a coordinate", "obj", re.sub(rb"\nv \S+", b"\nv one", box, count=1), "refused")


# Headers that lie


def lying() -> Iterator[Case]:
    vertices, faces = shape("box")
    stl = _stl(vertices, faces)
    for label, count in (("4 billion", 2**32 - 1), ("2 million", 2_000_000), ("one more", 13), ("one less", 11), ("none", 0)):
        yield bare(f"lying/stl of {label}", "stl", stl[:80] + struct.pack("<I", count) + stl[84:], "refused", says="declares", fast=count > 2**31)
    yield bare(
        "lying/stl with bytes behind",
        "stl",
        stl + b"(c) someone",
        "either",
        why="all faces that are declared are there: reading them or saying that the length is wrong are both honest",
    )
    for style in ("ascii", "binary_little_endian", "binary_big_endian"):
        for counts in ((10**9, 12), (8, 10**9), (2**63, 1), (10**30, 10**30), (-8, 12), (8, -12)):
            head = _ply_header(style, *counts)
            yield bare(
                f"lying/ply {style} of {counts[0]:.0e} and {counts[1]:.0e}",
                "ply",
                head + bytes(300),
                "refused",
                fast=counts == (10**30, 10**30) and style == "binary_little_endian",
            )
    for word in ("1e9", "0x7fffffff", "many", "8.5", "8 8"):
        yield bare(f"lying/ply of {word}", "ply", _ply_ascii(vertices, faces).replace(b"vertex 8", b"vertex " + word.encode()), "refused")
    yield bare(
        "lying/ply of fewer faces",
        "ply",
        _ply(vertices, faces).replace(b"face 12", b"face 11"),
        "either",
        why="a face that is missing is filled; saying that bytes are left over is as good",
    )
    yield bare("lying/ply of fewer vertices", "ply", _ply(vertices, faces).replace(b"vertex 8", b"vertex 7"), "refused")
    rows = np.zeros(12, np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    rows["count"], rows["corners"] = 255, faces
    head = _ply_header("binary_little_endian", 8, 12)
    yield bare("lying/ply faces of 255 corners", "ply", head + vertices.astype("<f4").tobytes() + rows.tobytes(), "refused")
    long_list = head.replace(b"list uchar int", b"list uint int")
    body = vertices.astype("<f4").tobytes() + struct.pack("<I3i", 2**31, 0, 1, 2) * 12
    yield bare("lying/ply face of 2 billion corners", "ply", long_list + body, "refused", fast=True)
    many = head.replace(b"end_header", b"".join(b"property float p%d\n" % k for k in range(5000)) + b"end_header")
    yield bare("lying/ply with 5000 properties", "ply", many + body, "refused")
    two = _ply_ascii(vertices, faces).replace(b"element face", b"element vertex 1000000000\nproperty float q\nelement face")
    yield bare("lying/ply with two vertex elements", "ply", two, "refused")

    tree, binary = gltf_tree(vertices, faces)
    data = glb(tree, binary)
    yield bare("lying/glb longer than it is", "glb", data[:8] + struct.pack("<I", 2**32 - 1) + data[12:], "refused")
    yield bare("lying/glb json of 4 GiB", "glb", data[:12] + struct.pack("<I", 2**32 - 1) + data[16:], "refused")
    yield bare("lying/glb json too short", "glb", data[:12] + struct.pack("<I", 40) + data[16:], "refused")
    start = 20 + struct.unpack_from("<I", data, 12)[0]
    yield bare("lying/glb binary of 4 GiB", "glb", data[:start] + struct.pack("<I", 2**32 - 1) + data[start + 4 :], "refused")
    yield bare("lying/glb of version 1", "glb", data[:4] + struct.pack("<I", 1) + data[8:], "refused", says="version 1")
    for label, where, value in (
        ("accessor of a billion", ("accessors", 0, "count"), 10**9),
        ("accessor of minus one", ("accessors", 0, "count"), -1),
        ("accessor of 10^400", ("accessors", 0, "count"), 10**400),
        ("accessor of 1.5", ("accessors", 0, "count"), 1.5),
        ("accessor of words", ("accessors", 0, "count"), "eight"),
        ("accessor of nothing", ("accessors", 0, "count"), None),
        ("indices of a few more", ("accessors", 1, "count"), 48),
        ("indices of 35", ("accessors", 1, "count"), 35),
        ("view of a gigabyte", ("bufferViews", 0, "byteLength"), 2**30),
        ("view that starts behind the end", ("bufferViews", 0, "byteOffset"), 10**6),
        ("view that starts before the beginning", ("bufferViews", 0, "byteOffset"), -40),
        ("accessor that starts behind the end", ("accessors", 0, "byteOffset"), 10**6),
        ("accessor that starts before the beginning", ("accessors", 1, "byteOffset"), -8),
        ("stride of a gigabyte", ("bufferViews", 0, "byteStride"), 2**30),
        ("stride of minus 12", ("bufferViews", 0, "byteStride"), -12),
        ("stride of 1", ("bufferViews", 0, "byteStride"), 1),
        ("unknown number type", ("accessors", 0, "componentType"), 9999),
        ("unknown element type", ("accessors", 0, "type"), "VEC7"),
        ("matrices for points", ("accessors", 0, "type"), "MAT4"),
        ("no such view", ("accessors", 0, "bufferView"), 77),
        ("view minus one", ("accessors", 0, "bufferView"), -1),
        ("no such buffer", ("bufferViews", 0, "buffer"), 3),
        ("no such accessor", ("meshes", 0, "primitives", 0, "indices"), 9),
        ("no such mesh", ("nodes", 0, "mesh"), 9),
        ("no such node", ("scenes", 0, "nodes"), [9]),
        ("no such scene", ("scene",), 9),
    ):
        yield bare(f"lying/{label}", "glb", lambda w=where, v=value: _with_value(w, v), "refused", fast=label in ("accessor of 10^400", "stride of a gigabyte"))


def _with_value(where: tuple[str | int, ...], value: Any) -> bytes:
    tree, binary = gltf_tree(*shape("box"))
    inner: Any = tree
    for step in where[:-1]:
        inner = inner[step]
    inner[where[-1]] = value
    return glb(tree, binary)


# Faces and vertices too many, or turned


def repeated() -> Iterator[Case]:
    def faces_twice(vertices: Vertices, faces: Faces) -> Mesh:
        return vertices, np.concatenate([faces, faces, np.roll(faces, 1, axis=1)])

    def both_sides(vertices: Vertices, faces: Faces) -> Mesh:
        return vertices, np.concatenate([faces, faces[:, ::-1]])

    def apart(vertices: Vertices, faces: Faces) -> Mesh:
        return vertices[faces].reshape(-1, 3), np.arange(3 * len(faces)).reshape(-1, 3)

    for kind, of in zip(FORMATS, ("mug", "box", "plate", "ell", "composite", "bowl", "sphere"), strict=True):
        yield changed("duplicates/faces", of, kind, "asset", change=faces_twice, fast=of == "box")
    for kind, of in zip(FORMATS, ("plate", "sphere", "ell", "mug", "box", "composite", "box"), strict=True):
        yield changed("duplicates/vertices", of, kind, "asset", change=apart, fast=of == "ell")
    for kind, of in (("obj", "box"), ("glb", "sphere"), ("ply", "mug"), ("stl", "ell")):
        # a mesh that is drawn from both sides: the same solid
        yield changed("duplicates/both sides", of, kind, "asset", change=both_sides, within=0.1)
    yield changed("duplicates/one face a hundred times", "box", "obj", "asset", change=lambda v, f: (v, np.concatenate([f, np.repeat(f[:1], 100, axis=0)])))
    yield changed(
        "duplicates/vertices a hair apart",
        "sphere",
        "ply-ascii",
        "asset",
        change=lambda v, f: (apart(v, f)[0] + _seeded("hair").normal(size=(3 * len(f), 3)) * 2e-9, apart(v, f)[1]),
        says="solid as-is",  # it is closed but for rounding: no reason to build it anew
    )


def turned() -> Iterator[Case]:
    def inverted(vertices: Vertices, faces: Faces) -> Mesh:
        return vertices, faces[:, ::-1]

    def half(vertices: Vertices, faces: Faces) -> Mesh:
        flip = _seeded(f"half {len(faces)}").random(len(faces)) < 0.5
        return vertices, np.where(flip[:, None], faces[:, ::-1], faces)

    for kind, of in zip(FORMATS, ("box", "mug", "composite", "plate", "bowl", "ell", "sphere"), strict=True):
        yield changed("inverted/all faces", of, kind, "asset", change=inverted, fast=of == "ell")
    for kind, of in zip(FORMATS, ("ell", "plate", "mug", "composite", "sphere", "box", "bowl"), strict=True):
        yield changed("inverted/half the faces", of, kind, "asset", change=half, fast=of == "plate")
    yield changed("inverted/none, but hollow", "hollow", "stl", "asset")
    # turned inside out as a whole: the void is still a void
    yield changed("inverted/all faces, and hollow", "hollow", "stl", "asset", change=inverted)

    def one_piece(vertices: Vertices, faces: Faces) -> Mesh:
        first = len(_arrays(_composite()[0])[1])
        return vertices, np.concatenate([faces[:first, ::-1], faces[first:]])

    yield changed("inverted/one piece of three", "composite", "obj", "asset", change=one_piece)
    yield bare("inverted/mirrored by its node", "glb", lambda: _with_node({"scale": [-1, 1, 1]}, "ell"), "asset", of="ell", volume=1)
    yield bare("inverted/mirrored twice", "glb", lambda: _with_node({"scale": [-1, -1, 1]}, "ell"), "asset", of="ell", volume=1)


# Edges of other than two faces


def tangled_edges() -> Iterator[Case]:
    def fin(vertices: Vertices, faces: Faces) -> Mesh:
        a, b = faces[0, 0], faces[0, 1]
        tip = vertices[[a, b]].mean(axis=0) + [0, 0, -0.01]
        tip = np.clip(tip, vertices.min(axis=0), vertices.max(axis=0))
        return np.vstack([vertices, tip]), np.vstack([faces, [a, b, len(vertices)]])

    for kind, of in (("obj", "box"), ("stl", "sphere"), ("ply", "mug"), ("glb", "ell"), ("gltf", "bowl")):
        yield changed("non-manifold/a fin", of, kind, "asset", change=fin, within=0.15, fast=of == "box")

    def asset(what: str, mesh: Callable[[], Mesh], volume: float, kind: str = "obj", **more: Any) -> Case:
        # `volume` is that of the mesh as it is given, its longest side 1: a share of the box's would say little
        return bare(f"non-manifold/{what}", kind, lambda: encode(kind, *mesh()), "asset", volume=volume, of="unit", **more)

    yield asset("two boxes with an edge in common", lambda: _together(_box((0, 0, 0), (0.5, 0.5, 1)), _box((0.5, 0.5, 0), (1, 1, 1))), 0.5)
    yield asset("two boxes with a corner in common", lambda: _together(_box((0, 0, 0), (0.5, 0.5, 0.5)), _box((0.5, 0.5, 0.5), (1, 1, 1))), 0.25)
    yield asset("two boxes with a face in common", lambda: _together(_box((0, 0, 0), (0.5, 1, 1)), _box((0.5, 0, 0), (1, 1, 1))), 1.0, fast=True)

    def wall() -> Mesh:
        vertices, faces = _together(_box((0, 0, 0), (0.5, 1, 1)), _box((0.5, 0, 0), (1, 1, 1)))
        corners = vertices[faces]
        inner = (corners[..., 0] == 0.5).all(axis=1)
        inner[len(faces) // 2 :] = False  # one of the two walls between them
        return vertices, faces[~inner]

    yield asset("a wall inside", wall, 1.0, within=0.1)

    def book() -> Mesh:
        pages = [_box((0, 0, 0), (1, 0.001, 0.7))]
        for angle in (40.0, 80.0, 120.0, 160.0):
            vertices, faces = pages[0]
            c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            pages.append((vertices @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]), faces))
        return _together(*pages)

    yield bare("non-manifold/pages of a book.glb", "glb", lambda: encode("glb", *book()), "asset")

    def junction() -> Mesh:
        """A box with an edge that is split on one side only."""
        vertices, faces = _box((0, 0, 0), (1, 1, 1))
        a, b, c = faces[0]
        middle = (vertices[a] + vertices[b]) / 2
        return np.vstack([vertices, middle]), np.vstack([[[a, 8, c], [8, b, c]], faces[1:]])

    yield asset("a T-junction", junction, 1.0)

    def strip(whole: bool) -> Mesh:
        """A Möbius strip, or a Klein bottle."""
        u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 49)[:-1], np.linspace(0, 2 * np.pi, 17)[:-1], indexing="ij")
        if whole:
            r = 2 + np.cos(u / 2) * np.sin(v) - np.sin(u / 2) * np.sin(2 * v)
            z = np.sin(u / 2) * np.sin(v) + np.cos(u / 2) * np.sin(2 * v)
        else:
            v = (v - np.pi) / 8
            r, z = 2 + v * np.cos(u / 2), v * np.sin(u / 2)
        points = np.stack([r * np.cos(u), r * np.sin(u), z], axis=-1)
        count, width = u.shape
        index = np.arange(count * width).reshape(count, width)
        faces = []
        for i in range(count):
            row, after = index[i], index[(i + 1) % count]
            if i == count - 1:  # the other way round
                after = np.roll(after[::-1], 1) if whole else after[::-1]
            pairs = [*pairwise(range(width)), (width - 1, 0)] if whole else pairwise(range(width))
            for j, k in pairs:
                faces += [[row[j], after[j], row[k]], [row[k], after[j], after[k]]]
        return points.reshape(-1, 3), np.array(faces)

    for whole in (False, True):
        label = "Klein bottle" if whole else "Moebius strip"
        yield bare(f"non-manifold/{label}", "stl", lambda w=whole: _stl(*strip(w)), "asset")


# Triangles without order


def soups() -> Iterator[Case]:
    def jitter(share: float) -> Change:
        def change(vertices: Vertices, faces: Faces) -> Mesh:
            corners = vertices[faces] + _seeded(f"jitter {share}").normal(size=(len(faces), 1, 3)) * share * LONG
            return corners.reshape(-1, 3), np.arange(3 * len(faces)).reshape(-1, 3)

        return change

    for kind, of in (("stl", "box"), ("ply", "sphere"), ("glb", "mug"), ("obj", "bowl"), ("stl", "composite"), ("gltf", "ell")):
        yield changed("soup/torn by 0.3 %", of, kind, "asset", change=jitter(0.003), volume=1, within=0.35, fast=of == "box")

    def random(count: int, length: float) -> Mesh:
        rng = _seeded(f"random {count}")
        corners = rng.random((count, 1, 3)) + rng.normal(size=(count, 3, 3)) * length
        return corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3)

    for count, length, kind in ((30, 0.5, "obj"), (300, 0.2, "stl"), (3000, 0.05, "ply"), (3000, 0.5, "glb"), (30_000, 0.1, "stl")):
        yield bare(
            f"soup/{count} random triangles of {length}",
            kind,
            lambda c=count, s=length, k=kind: encode(k, *random(c, s)),
            "either",
            why="such a tangle may enclose something or be too crumpled to rebuild",
            seconds=90,
        )

    def needles() -> Mesh:
        rng = _seeded("needles")
        start, end = rng.random((500, 3)), rng.random((500, 3))
        corners = np.stack([start, end, end + 1e-5], axis=1)
        return corners.reshape(-1, 3), np.arange(1500).reshape(-1, 3)

    yield bare("soup/500 needles", "stl", lambda: _stl(*needles()), "either", why="wires without area have no volume of their own", seconds=60)


# Sizes


def sizes() -> Iterator[Case]:
    def scaled(factor: float) -> Change:
        return lambda vertices, faces: (vertices * factor, faces)

    for factor, kind, of in (
        (1e3, "stl", "mug"),
        (1e3, "obj", "box"),
        (1e6, "ply", "ell"),
        (1e7, "glb", "sphere"),
        (1e8, "stl-ascii", "bowl"),
        (1e-3, "gltf", "plate"),
        (1e-6, "obj", "composite"),
        (1e-6, "stl", "ell"),
        (1e-7, "ply-ascii", "box"),
    ):
        yield changed(f"scale/{factor:.0e}", of, kind, "asset", change=scaled(factor), fast=factor in (1e6, 1e-7))
    for factor, kind, of in (
        (1e-9, "obj", "box"),
        (1e-9, "stl", "mug"),
        (1e-40, "ply", "sphere"),
        (1e-310, "obj", "plate"),
        (1e11, "glb", "ell"),
        (1e200, "obj", "box"),
        (1e30, "stl", "sphere"),
    ):
        yield changed(f"scale/{factor:.0e}", of, kind, "refused", change=scaled(factor), says="units long|NaN or infinite|identical|too small", fast=factor == 1e200)
    yield changed("scale/1 km from the origin", "mug", "obj", "asset", change=lambda v, f: (v + 1000, f), within=0.05)
    yield changed("scale/10 m from the origin in single precision", "ell", "stl", "asset", change=lambda v, f: (v + 10, f), within=0.05)
    yield changed("scale/lost in single precision", "sphere", "stl", "refused", change=lambda v, f: (v + 1e9, f))  # all vertices are one
    yield bare("scale/a node of 1e-30", "glb", lambda: _with_node({"scale": [1e-30] * 3}), "refused", says="units long")
    yield bare("scale/a node of 1000", "glb", lambda: _with_node({"scale": [1000] * 3}), "asset", of="box", volume=1)

    def stretched(name: str, by: tuple[float, float, float], expect: Expected, **more: Any) -> Case:
        def make() -> Files:
            vertices, faces = shape("box")
            return {"mesh.obj": _obj(vertices * by, faces)}

        return Case(f"thin/{name}", make, expect, **more)

    # what is asked for is the longest side alone, so that the others may be thinner than the least size of a side
    yield stretched("a card of 0.8 mm", (1, 1, 0.01), "asset")
    yield stretched("a sheet of paper, 0.08 mm", (1, 1, 0.001), "asset")
    yield stretched("a foil of 0.04 mm", (1, 1, 0.0005), "asset")
    yield stretched("a foil of 0.01 mm", (1, 1, 0.00014), "asset")
    yield stretched("a foil of a nanometre", (1, 1, 1e-8), "refused", says="flat")
    yield stretched("a wall of 0.05 mm", (0.0005, 1, 1), "asset")
    yield stretched("a wire of 0.05 mm", (1, 0.001, 0.0007), "refused", says="too thin", fast=True)
    yield stretched("a wire that stands", (0.0008, 0.001, 1), "refused", says="too thin")
    yield stretched("a wire of 12 um", (1, 0.0002, 0.00015), "refused", says="too thin")
    yield stretched("a crumb of a foil", (1, 1, 0.00014), "either", size=(0.005,), why="it weighs less than a microgram: too little for a solver")
    yield stretched("a crumb of a wire", (1, 0.0003, 0.0003), "either", size=(0.005,), why="it weighs less than a microgram: too little for a solver")
    yield stretched("as small as may be", (1, 1, 1), "asset", size=(0.005,))
    yield stretched("as large as may be", (1, 1, 1), "asset", size=(2.0,))
    yield stretched("three sides that fit", (1, 1, 1), "asset", size=(0.1, 0.06, 0.08), of="box", volume=1)
    yield stretched("three sides that do not", (1, 1, 1), "refused", size=(0.1, 0.1, 0.1), says="does not fit the mesh")


# Pieces


def pieces() -> Iterator[Case]:
    def unit(what: str, mesh: Callable[[], Mesh], volume: float, kind: str = "stl", **more: Any) -> Case:
        return bare(f"pieces/{what}", kind, lambda: encode(kind, *mesh()), "asset", of="unit", volume=volume, **more)

    yield unit("two apart", lambda: _together(_box((0, 0, 0), (0.4, 0.5, 0.5)), _box((0.6, 0, 0), (1, 0.5, 0.5))), 0.2, fast=True)
    yield unit("two that overlap", lambda: _together(_box((0, 0, 0), (0.6, 0.5, 0.5)), _box((0.4, 0.1, 0.1), (1, 0.6, 0.6))), 0.268)
    yield unit("one within another", lambda: _together(_box((0, 0, 0), (1, 1, 1)), _box((0.3, 0.3, 0.3), (0.6, 0.6, 0.6))), 1.0)
    yield unit("one that shares a corner with what it is within", lambda: _together(_box((0, 0, 0), (1, 1, 1)), _box((0, 0, 0), (0.5, 0.5, 0.5))), 1.0)
    yield unit("a top on legs that share its corners", _table, 0.05 + 4 * 0.01 * 0.5 - 4 * 0.01 * 0.05, kind="obj")

    def rattle() -> Mesh:
        outer, (corners, faces), block = _box((0, 0, 0), (1, 1, 1)), _box((0.1, 0.1, 0.1), (0.9, 0.9, 0.9)), _box((0.2, 0.2, 0.2), (0.8, 0.8, 0.8))
        return _together(outer, (corners, faces[:, ::-1]), block)

    yield unit("a block inside a sealed box", rattle, 1 - 0.512 + 0.216, kind="ply")

    def slabs(count: int) -> Mesh:
        return _together(*(_box((0, 0, 0.5 * k / count), (1, 1, 0.5 * k / count + 0.5)) for k in range(count)))

    yield unit("60 that overlap", lambda: slabs(60), 0.5 + 0.5 * 59 / 60, kind="obj")
    yield unit("600 that overlap", lambda: slabs(600), 0.5 + 0.5 * 599 / 600, kind="ply", seconds=60)

    def chain() -> Mesh:
        ring = manifold3d.CrossSection.circle(0.1, 12).translate([0.3, 0]).revolve(24)
        return _together(_arrays(ring), _arrays(ring.rotate([90, 0, 0]).translate([0.4, 0, 0])))

    yield bare("pieces/links of a chain", "glb", lambda: encode("glb", *chain()), "asset")
    yield bare(
        "pieces/two grains 1 km apart",
        "stl",
        lambda: _stl(*_together(_box((0, 0, 0), (0.1, 0.1, 0.1)), _box((1000, 0, 0), (1000.1, 0.1, 0.1)))),
        "either",
        why="0.1 m at 1 km is on the limit of what is flat",
    )
    yield bare(
        "pieces/many objects in one OBJ",
        "obj",
        lambda: b"".join(
            b"o part%d\n" % k
            + b"".join(b"v %f %f %f\n" % tuple(row) for row in _box((k, 0, 0), (k + 0.9, 5, 5))[0])
            + b"".join(b"f %d %d %d\n" % tuple(face) for face in _box((0, 0, 0), (1, 1, 1))[1] + 1 + 8 * k)
            for k in range(30)
        ),
        "asset",
    )


def _table() -> Mesh:
    legs = [_box((x, y, 0), (x + 0.1, y + 0.1, 0.5)) for x in (0, 0.9) for y in (0, 0.9)]
    return _together(_box((0, 0, 0.45), (1, 1, 0.5)), *legs)


# Sheets, and what has no area


def flat() -> Iterator[Case]:
    def grid(height: Callable[[Vertices, Vertices], Vertices], count: int = 24) -> Mesh:
        x, y = np.meshgrid(np.linspace(0, 1, count), np.linspace(0, 1, count), indexing="ij")
        index = np.arange(count * count).reshape(count, count)
        a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
        return np.stack([x, y, height(x, y)], axis=-1).reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])

    for kind in FORMATS:
        yield bare(f"sheet/flat {kind}", ending(kind), lambda k=kind: encode(k, *grid(lambda x, y: 0 * x)), "refused", says="flat", fast=kind == "glb")
    yield bare("sheet/flat and askew", "obj", lambda: _obj(*grid(lambda x, y: 0.3 * x - 0.7 * y)), "refused", says="flat")
    yield bare("sheet/one square", "obj", b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n", "refused")
    for label, mesh, kind in (
        ("waves", lambda: grid(lambda x, y: 0.1 * np.sin(7 * x) * np.cos(5 * y)), "stl"),
        ("folded", lambda: grid(lambda x, y: np.maximum(x - 0.5, 0) * 2), "ply"),
        ("half a ball", lambda: _half("sphere"), "obj"),
        ("a tube", _tube, "glb"),
        ("two sheets", lambda: _together(grid(lambda x, y: 0 * x), grid(lambda x, y: 0 * x + 0.4)), "stl"),
        ("a crumpled paper", lambda: grid(lambda x, y: _seeded("paper").random(x.shape) * 0.2), "gltf"),
    ):
        yield bare(f"sheet/{label}", kind, lambda m=mesh, k=kind: encode(k, *m()), "asset", seconds=60)

    def open_box(vertices: Vertices, faces: Faces) -> Mesh:
        top = (vertices[faces][..., 2] > vertices[:, 2].max() - 1e-6).all(axis=1)
        return vertices, faces[~top]

    for kind, of in (("stl", "box"), ("obj", "fine-box")):
        yield changed("sheet/a box without its top", of, kind, "asset", change=open_box, volume=0.05, within=0.6, seconds=60)

    def with_zero_area(vertices: Vertices, faces: Faces) -> Mesh:
        middle = (vertices[faces[:, 0]] + vertices[faces[:, 1]]) / 2
        lines = np.stack([faces[:, 0], faces[:, 1], len(vertices) + np.arange(len(faces))], axis=1)
        return np.vstack([vertices, middle]), np.concatenate([faces, np.repeat(faces[:, :1], 3, axis=1), faces[:, [0, 1, 1]], lines[:3]])

    for kind, of in zip(FORMATS, ("sphere", "ell", "box", "mug", "plate", "box", "composite"), strict=True):
        yield changed("zero area/some faces", of, kind, "asset", change=with_zero_area, within=0.1, fast=of == "plate", seconds=60)
    for label, change in (
        ("collinear", lambda v: v * [1, 0, 0]),
        ("on a slanted line", lambda v: v[:, :1] * [1.0, 2.0, 3.0]),
        ("coplanar", lambda v: v * [1, 1, 0]),
        ("on a slanted plane", lambda v: v @ np.array([[1, 0, 1], [0, 1, 1], [0, 0, 0]])),
        ("identical", lambda v: v * 0 + 0.3),
    ):
        for kind, of in (("obj", "mug"), ("stl", "box"), ("glb", "sphere"), ("ply", "ell")):
            yield changed(
                f"degenerate/all {label}",
                of,
                kind,
                "refused",
                change=lambda v, f, c=change: (c(v), f),
                says="flat|units long|faces with an area",
                fast=label == "identical" and kind == "glb",
            )
    yield bare("degenerate/one triangle", "obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "refused")
    yield bare(
        "degenerate/three faces of a tetrahedron",
        "obj",
        b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\n",
        "either",
        why="fewer than four faces are no solid, but a missing triangle is filled elsewhere",
    )
    yield bare("degenerate/corners all the same", "obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n" + b"f 1 1 1\nf 2 2 2\nf 1 2 2\nf 4 4 1\n", "refused")


def _half(of: str) -> Mesh:
    vertices, faces = shape(of)
    return vertices, faces[vertices[faces].mean(axis=1)[:, 2] < np.median(vertices[:, 2])]


def _tube() -> Mesh:
    vertices, faces = _arrays(manifold3d.Manifold.cylinder(1, 0.3, 0.3, 48).refine(3))
    normal = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    return vertices, faces[np.abs(normal[:, 2]) < 1e-9]


# Indices


def indices() -> Iterator[Case]:
    box = _obj(*shape("box"))
    for label, line in (
        ("9", b"f 1 2 9\n"),
        ("a billion", b"f 1 2 1000000000\n"),
        ("10^30", b"f 1 2 " + b"9" * 30 + b"\n"),
        ("0", b"f 0 1 2\n"),
        ("-9", b"f -1 -2 -9\n"),
        ("1.5", b"f 1 2 1.5\n"),
        ("nan", b"f 1 2 nan\n"),
    ):
        yield bare(f"indices/obj {label}", "obj", box + line, "refused", fast=label in ("9", "-9"))
    for label, line in (("nothing", b"f\n"), ("two", b"f 1 2\n")):
        yield bare(f"indices/obj {label}", "obj", box + line, "either", of="box", volume=1, why="such a face is none, and nothing is lost with it")
    yield bare("indices/obj texture 99", "obj", re.sub(rb"\nf (\d+)", rb"\nf \1/99", box, count=1), "either", of="box", volume=1, why="a texture coordinate that is missing is no fault of the solid")

    def relative() -> bytes:
        vertices, faces = shape("ell")
        return _obj(vertices, np.zeros((0, 3), int)) + b"".join(b"f %d %d %d\n" % tuple(row) for row in faces - len(vertices))

    yield bare("indices/obj relative", "obj", relative, "asset", of="ell", volume=1)

    def wrong(value: int) -> Change:
        def change(vertices: Vertices, faces: Faces) -> Mesh:
            faces[5, 1] = value
            return vertices, faces

        return change

    for value in (10**6, 2**31 - 1, -1, -(2**31)):
        for kind, of in (("ply", "mug"), ("ply-ascii", "sphere"), ("glb", "plate")):
            yield changed(f"indices/{value}", of, kind, "refused", change=wrong(value), fast=value == -1 and kind == "ply")
    yield changed("indices/one more than there are", "ell", "gltf", "refused", change=lambda v, f: wrong(len(v))(v, f))


# Holes, and surfaces that cross themselves


def holes() -> Iterator[Case]:
    def without(share: float) -> Change:
        def change(vertices: Vertices, faces: Faces) -> Mesh:
            count = max(int(share * len(faces)), 1)
            gone = _seeded(f"holes {len(faces)} {share}").choice(len(faces), count, replace=False)
            return vertices, np.delete(faces, gone, axis=0)

        return change

    for kind, of in (("obj", "sphere"), ("stl", "mug"), ("ply", "bowl"), ("glb", "fine-box"), ("ply-ascii", "ell"), ("stl-ascii", "plate"), ("gltf", "composite")):
        yield changed("holes/2 %", of, kind, "asset", change=without(0.02), within=0.1, fast=of == "ell")
    for kind, of in (("stl", "fine-box"), ("obj", "mug"), ("glb", "bowl"), ("ply", "sphere"), ("gltf", "composite")):
        # so much is missing that what is left is a sieve: it must become a solid, but whether a filled one is open
        yield changed("holes/30 %", of, kind, "asset", change=without(0.3), volume=1, within=1.0, seconds=60)
    yield changed("holes/one face of a box", "box", "stl", "asset", change=without(0.08), fast=True)
    yield changed("holes/one face of an L", "ell", "glb", "asset", change=without(0.05), within=0.15)


def crossing() -> Iterator[Case]:
    def bow(share: float) -> Mesh:
        """A prism over a figure of eight, whose smaller lobe, `share` of its length, is inside out."""
        a, b = 0.3, 0.3 * share / (1 - share)
        outline = np.array([(0, -a), (1, b), (1, -b), (0, a)])
        low, high = np.column_stack([outline, np.zeros(4)]), np.column_stack([outline, np.full(4, 0.5)])
        sides = [[k, (k + 1) % 4, 4 + k] for k in range(4)] + [[(k + 1) % 4, 4 + (k + 1) % 4, 4 + k] for k in range(4)]
        return np.concatenate([low, high]), np.array([*sides, [0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7]])

    for share in (0.2, 0.4):
        area = 0.3 * (1 - share) + 0.3 * share / (1 - share) * share  # of two triangles that meet where the sides cross
        yield bare(f"crossing/a figure of eight, {share:.0%} inside out", "obj", lambda s=share: _obj(*bow(s)), "asset", of="unit", volume=area * 0.5, within=0.2)

    def pushed(vertices: Vertices, faces: Faces) -> Mesh:
        top = vertices[:, 2] > np.quantile(vertices[:, 2], 0.97)
        vertices[top, 2] -= 0.9 * np.ptp(vertices[:, 2])
        return vertices, faces

    yield changed("crossing/pushed in", "sphere", "ply", "asset", change=pushed, sides=False)

    def spindle() -> Mesh:
        """A torus whose tube is thicker than its ring."""
        u, v = np.meshgrid(np.arange(40) * 2 * np.pi / 40, np.arange(30) * 2 * np.pi / 30, indexing="ij")
        r = 0.15 + 0.35 * np.cos(v)
        points = np.stack([r * np.cos(u), r * np.sin(u), 0.35 * np.sin(v)], axis=-1).reshape(-1, 3)
        index = np.arange(1200).reshape(40, 30)
        a, b = index, np.roll(index, -1, axis=0)
        c, d = np.roll(b, -1, axis=1), np.roll(index, -1, axis=1)
        return points, np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])

    # where the tube has gone through itself it is turned inside out: a void, by any way to count
    yield bare("crossing/a spindle torus", "stl", lambda: _stl(*spindle()), "asset", of="unit", volume=2 * np.pi**2 * 0.15 * 0.35**2, within=0.05)

    for label, by in (("exactly", 0.0), ("by a nanometre", 1e-9), ("by a micrometre", 1e-6), ("by 1 %", 1e-3)):
        for kind, of in (("obj", "box"), ("stl", "mug")):
            yield changed(
                f"crossing/two copies that overlap {label}",
                of,
                kind,
                "asset",
                change=lambda v, f, b=by: _together((v, f), (v + [b, b, b / 2], f)),
                volume=1.25 if of == "mug" and by == 1e-3 else 1,  # walls of 4 mm and 1 mm
                within=0.1,
                fast=of == "box" and by == 1e-6,
            )
    yield changed(
        "crossing/two copies, one turned", "box", "ply", "asset", sides=False, change=lambda v, f: _together((v, f), ((v - v.mean(axis=0)) @ _turn(0.3).T + v.mean(axis=0), f))
    )


def _turn(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


# Too many


def many() -> Iterator[Case]:
    def dust(count: int, size: float, turned: bool = False) -> Mesh:
        """Grains of so much of its sides, in the unit cube."""
        corners = _seeded(f"dust {count}").random((count, 1, 3)) * (1 - size) + np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) * size
        faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
        faces = faces[:, ::-1] if turned else faces
        return corners.reshape(-1, 3), (faces + 4 * np.arange(count)[:, None, None]).reshape(-1, 3)

    def with_dust(count: int) -> Change:
        def change(vertices: Vertices, faces: Faces) -> Mesh:
            grains, corners = dust(count, 0.0005)
            return _together((vertices, faces), (vertices.min(axis=0) + grains * np.ptp(vertices, axis=0), corners))

        return change

    for count, of, kind in ((300, "sphere", "stl"), (3000, "box", "obj"), (3000, "mug", "ply"), (20_000, "box", "stl")):
        # it floats in the box around the thing, in part within it
        yield changed(f"dust/{count} grains", of, kind, "asset", change=with_dust(count), within=0.05, seconds=90)
    yield changed("dust/40 grains", "box", "glb", "asset", change=with_dust(40), within=0.05, fast=True)
    for count, turned_in, kind in ((2000, False, "glb"), (20_000, True, "stl"), (100_000, True, "ply")):
        yield bare(
            f"dust/{count} grains {'inside out ' if turned_in else ''}alone",
            kind,
            lambda c=count, t=turned_in, k=kind: encode(k, *dust(c, 0.003, t)),
            "either",
            why="a cloud of grains is many solids and no object: it may be one or be refused",
            seconds=90,
        )

    def ball(segments: int) -> Mesh:
        return _arrays(manifold3d.Manifold.sphere(0.05, segments))

    for kind in ("stl", "obj", "glb", "ply"):
        yield bare(f"many faces/a ball of 200k in {kind}", kind, lambda k=kind: encode(k, *ball(640)), "asset", of="ball", volume=1, seconds=60)

    def rough(segments: int) -> Mesh:
        vertices, faces = ball(segments)
        return vertices * (1 + 0.02 * _seeded("rough").normal(size=(len(vertices), 1))), faces

    yield bare("many faces/a rough ball of 200k", "ply", lambda: _ply(*rough(640)), "asset", seconds=120)

    # noise that cannot be thinned: 100 times what a camera can draw in time
    yield bare("many faces/a rough ball of 1.9 million", "ply", lambda: _ply(*rough(1960)), "asset", seconds=150)

    def mug() -> Mesh:
        return _arrays(SOLIDS["mug"]().refine(20))

    yield bare("many faces/a mug of 200k", "glb", lambda: encode("glb", *mug()), "asset", of="mug", volume=1, seconds=90)
    yield bare("many faces/a mug of 200k with holes", "stl", lambda: _stl(*_sieve(*mug(), 0.02)), "asset", of="mug", volume=1, within=0.1, seconds=120)
    yield bare("many faces/a ball of 200k as a soup", "stl", lambda: _stl(*_sieve(*rough(640), 0.4)), "asset", seconds=120)
    yield bare("many faces/2.1 million lines", "obj", lambda: b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" + b"f 1 2 3\n" * 2_100_000, "refused", says="2,100,000 faces", fast=True)
    yield bare("many faces/7 million vertices", "obj", lambda: b"\nv 0 0 0" * 7_000_000 + b"\nf 1 2 3\n", "refused", says="7,000,000 vertices")

    def polygon(count: int) -> bytes:
        angle = np.arange(count) * 2 * np.pi / count
        low = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        lines = [f"v {_numbers(row)}" for row in np.concatenate([low, low + [0, 0, 1]])]
        corners = np.arange(1, count + 1)
        lines += ["f " + " ".join(map(str, corners[::-1])), "f " + " ".join(map(str, corners + count))]
        lines += [f"f {a} {b} {b + count} {a + count}" for a, b in zip(corners, np.roll(corners, -1), strict=True)]
        return ("\n".join(lines) + "\n").encode()

    for count in (500, 20_000):
        yield bare(f"many faces/a polygon of {count} corners", "obj", lambda c=count: polygon(c), "asset", seconds=60)
    one = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
    yield bare("many faces/one face of a million corners", "obj", lambda: one + b"f" + b" 1 2 3" * 1_000_000 + b"\n", "refused", seconds=60)
    yield bare("many faces/a line of 50 MB", "obj", lambda: one + b"# " + b"x" * 50_000_000 + b"\nf 1 2 3\n", "refused", seconds=60)


def _sieve(vertices: Vertices, faces: Faces, share: float) -> Mesh:
    return vertices, faces[_seeded("sieve").random(len(faces)) >= share]


# Textures

WITH_UV = """mtllib look.mtl
usemtl look
"""


def _painted_obj(uv: str = "") -> bytes:
    vertices, faces = shape("box")
    lines = [f"v {_numbers(row)}" for row in vertices]
    lines += [uv or f"vt {k / 8:.4f} {1 - k / 8:.4f}" for k in range(len(vertices))]
    lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in faces + 1]
    return (WITH_UV + "\n".join(lines) + "\n").encode()


def _painted_tree(image: dict[str, Any], extra: bytes = b"") -> tuple[dict[str, Any], bytes]:
    vertices, faces = shape("box")
    tree, binary = gltf_tree(vertices, faces)
    uv = (vertices[:, :2] / LONG).astype("<f4").tobytes()
    tree["bufferViews"] += [{"buffer": 0, "byteOffset": len(binary), "byteLength": len(uv)}, {"buffer": 0, "byteOffset": len(binary) + len(uv), "byteLength": len(extra)}]
    binary += uv + extra
    tree["buffers"] = [{"byteLength": len(binary)}]
    tree["accessors"].append({"bufferView": 2, "componentType": 5126, "count": len(vertices), "type": "VEC2"})
    tree["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"] = 2
    tree["meshes"][0]["primitives"][0]["material"] = 0
    tree |= {"materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}], "textures": [{"source": 0}], "images": [image]}
    return tree, binary


def textures() -> Iterator[Case]:
    asset: dict[str, Any] = {"of": "box", "volume": 1}

    def painted(what: str, data: bytes | Link | Callable[..., bytes] | None, expect: Expected, *, named: str = "look.png", uv: str = "", **more: Any) -> Case:
        def make() -> Files:
            files: Files = {"mesh.obj": _painted_obj(uv), "look.mtl": f"newmtl look\nmap_Kd {named}\n".encode()}
            if data is not None:
                files[named] = data() if callable(data) else data
            return files

        return beside(f"texture/{what} beside an OBJ", make, expect, **(asset if expect == "asset" else {}), **more)

    def embedded(what: str, data: Callable[[], bytes], expect: Expected, **more: Any) -> Iterator[Case]:
        more |= asset if expect == "asset" else {}
        yield bare(f"texture/{what} in a view of a GLB", "glb", lambda: glb(*_painted_tree({"bufferView": 3, "mimeType": "image/png"}, data())), expect, **more)
        yield bare(f"texture/{what} in a view", "gltf", lambda: gltf(*_painted_tree({"bufferView": 3, "mimeType": "image/png"}, data())), expect, **more)
        yield bare(f"texture/{what} in a URI", "gltf", lambda: gltf(*_painted_tree({"uri": data_uri(data(), "image/png")})), expect, **more)

    yield painted("a picture", lambda: png(32, 32), "asset")
    yield painted("no picture at all", None, "asset", fast=True)
    yield painted("a NaN uv", lambda: png(32, 32), "asset", uv="vt nan nan", fast=True)
    yield painted("an infinite uv", lambda: png(32, 32), "asset", uv="vt inf -inf")
    yield painted("a uv of 1e30", lambda: png(32, 32), "asset", uv="vt 1e30 -1e30")
    yield painted("a uv of one number", lambda: png(32, 32), "asset", uv="vt 0.5")
    yield painted("a uv without numbers", lambda: png(32, 32), "either", uv="vt", why="no coordinate at all is damage, or no texture")
    yield painted("text", b"this is no picture\n" * 50, "refused", says=r"look\.png", fast=True)
    yield painted("no bytes", b"", "refused", says=r"look\.png")
    yield painted("half a picture", lambda: png(64, 64)[:200], "refused")
    yield painted("a picture that claims 50,000 px", lambda: png(0, 0, declared=(50_000, 50_000)), "refused", says="pixels", fast=True)
    yield painted("a picture that claims 7,000 px", lambda: png(0, 0, declared=(7000, 7000)), "refused")
    yield painted("a picture of no pixels", lambda: png(0, 0, declared=(0, 7)), "refused")
    yield painted("a picture of 7,900 px", lambda: png(7900, 7900), "asset", seconds=60)
    yield painted("a picture 1 px high", lambda: png(4000, 1), "asset")
    yield painted("a picture of one pixel", lambda: png(1, 1), "asset")
    yield painted("text named .txt", b"this is no picture\n" * 50, "either", named="look.txt", why="what is not named like a picture may be left out")
    yield painted("a huge picture named .dat", lambda: png(0, 0, declared=(50_000, 50_000)), "either", named="look.dat", why="what is not named like a picture may be left out")
    yield painted("a program for Ghostscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "refused", named="look.eps")
    yield painted("a program named .png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "refused")
    for kind, mode in (("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "1"), ("PNG", "I;16"), ("JPEG", "CMYK"), ("WEBP", "RGB"), ("BMP", "RGB")):
        yield painted(f"{kind} of {mode.replace(';', '')}", lambda k=kind, m=mode: picture(k, m), "asset")
    yield painted("a GIF", lambda: picture("GIF", "P"), "refused", named="look.gif", says="image; allowed are PNG")
    yield painted("a TIFF named .png", lambda: picture("TIFF"), "refused", says="image; allowed are PNG")
    yield painted("a folder of that name", None, "asset", named=".")
    yield painted("a name of 5000 letters", None, "asset", named="x" * 5000)
    yield painted("a name with a NUL", None, "either", named="a\0b.png", why="such a file can neither be there nor be asked for")

    for what, data, expect in (
        ("a picture", lambda: png(32, 32), "asset"),
        ("text", lambda: b"this is no picture\n" * 50, "refused"),
        ("half a picture", lambda: png(64, 64)[:200], "refused"),
        ("a claim of 50,000 px", lambda: png(0, 0, declared=(50_000, 50_000)), "refused"),
    ):
        yield from embedded(what, data, expect)  # type: ignore[arg-type]
    for what, fields in (("a picture that is missing", {"uri": "none.png"}), ("a picture without a source", {})):
        yield bare(f"texture/{what}", "gltf", lambda x=fields: gltf(*_painted_tree(x)), "asset", **asset)
    yield bare("texture/a view that is not there", "glb", lambda: glb(*_painted_tree({"bufferView": 33, "mimeType": "image/png"})), "refused")
    yield bare("texture/a URI that is not base64", "gltf", lambda: gltf(*_painted_tree({"uri": "data:image/png;base64,@@@@"})), "refused")
    yield bare("texture/a URI cut short", "gltf", lambda: gltf(*_painted_tree({"uri": data_uri(png(32, 32), "image/png")[:-3]})), "refused")

    def nan_uv() -> bytes:
        tree, binary = _painted_tree({"bufferView": 3, "mimeType": "image/png"}, png(16, 16))
        start = tree["bufferViews"][2]["byteOffset"]
        return glb(tree, binary[:start] + b"\xff" * 64 + binary[start + 64 :])

    yield bare("texture/a NaN uv", "glb", nan_uv, "asset", **asset)
    for what, where, value in (
        ("a material that is not there", ("meshes", 0, "primitives", 0, "material"), 7),
        ("a texture that is not there", ("materials", 0, "pbrMetallicRoughness", "baseColorTexture", "index"), 7),
        ("a texture of no image", ("textures", 0, "source"), 7),
        ("a colour of words", ("materials", 0, "pbrMetallicRoughness", "baseColorFactor"), ["red", 0, 0, 1]),
        ("a colour of NaN", ("materials", 0, "pbrMetallicRoughness", "baseColorFactor"), [float("nan"), 0, 0, 1]),
        ("a colour of one number", ("materials", 0, "pbrMetallicRoughness", "baseColorFactor"), [1]),
        ("a colour of 1e30", ("materials", 0, "pbrMetallicRoughness", "baseColorFactor"), [1e30, 1, 1, 1]),
    ):

        def odd(where: tuple[str | int, ...] = where, value: Any = value) -> bytes:
            tree, binary = _painted_tree({"bufferView": 3, "mimeType": "image/png"}, png(16, 16))
            inner: Any = tree
            for step in where[:-1]:
                inner = inner[step]
            inner[where[-1]] = value
            return glb(tree, binary)

        yield bare(f"texture/{what}", "glb", odd, "either", why="the solid is whole: its look may be left out, or the file refused")


# Ways out of the folder


def traversal() -> Iterator[Case]:
    box = _obj(*shape("box"))
    for label, name in (
        ("up", "../../etc/passwd"),
        ("absolute", "/etc/passwd"),
        ("encoded", "%2e%2e/%2e%2e/secret.mtl"),
        ("backslashes", "..\\..\\secret.mtl"),
        ("a drive", "C:\\secret.mtl"),
        ("a URL", "http://127.0.0.1:9/look.mtl"),
        ("a file URL", "file:///etc/passwd"),
        ("in the middle", "a/../../secret.mtl"),
    ):
        yield bare(f"traversal/mtllib {label}", "obj", f"mtllib {name}\n".encode() + box, "refused", says="own folder", fast=label == "up")
        yield beside(f"traversal/map_Kd {label}", lambda n=name: {"mesh.obj": _painted_obj(), "look.mtl": f"newmtl look\nmap_Kd {n}\n".encode()}, "refused", says="own folder")
        yield bare(f"traversal/image {label}", "gltf", lambda n=name: gltf(*_painted_tree({"uri": n})), "refused", says="own folder", fast=label == "encoded")

        def buffer(name: str = name) -> bytes:
            tree, binary = gltf_tree(*shape("box"))
            return json.dumps(tree | {"buffers": [{"byteLength": len(binary), "uri": name}]}).encode()

        yield bare(f"traversal/buffer {label}", "gltf", buffer, "refused", says="own folder")
    plain = _ply_ascii(*shape("box"))
    for label, name in (("up", "../../etc/passwd"), ("absolute", "/etc/passwd"), ("a URL", "http://127.0.0.1:9/look.png")):
        yield bare(f"traversal/TextureFile {label}", "ply", plain.replace(b"element vertex", f"comment TextureFile {name}\nelement vertex".encode()), "refused", says="own folder")
    named = plain.replace(b"element vertex", b"comment TextureFile look.png\nelement vertex")
    yield beside("texture/TextureFile that is missing", lambda: {"mesh.ply": named}, "asset", of="box", volume=1)
    yield beside("texture/TextureFile of text", lambda: {"mesh.ply": named, "look.png": b"no picture"}, "refused", says=r"look\.png")
    yield beside("traversal/a link out", lambda: {"mesh.obj": _painted_obj(), "look.mtl": Link("/etc/passwd")}, "refused", says="link", fast=True)
    yield beside(
        "traversal/a link to itself",
        lambda: {"mesh.obj": _painted_obj(), "look.mtl": Link("look.mtl")},
        "either",
        why="a file that cannot be opened is missing, or a reason to refuse",
    )
    yield beside("traversal/a link to zeros without end", lambda: {"mesh.obj": _painted_obj(), "look.mtl": Link("/dev/zero")}, "refused", says="link")
    yield beside("traversal/the mesh is a link", lambda: {"mesh.obj": Link("true.obj"), "true.obj": box}, "refused", says="link")
    yield beside("traversal/the mesh is a link to a device", lambda: {"mesh.stl": Link("/dev/zero")}, "refused")
    yield beside("traversal/a material of itself", lambda: {"mesh.obj": b"mtllib mesh.obj\n" * 500 + box}, "asset", of="box", volume=1)
    yield beside(
        "traversal/a folder below", lambda: {"mesh.obj": _painted_obj().replace(b"look.mtl", b"a/look.mtl"), "a/look.mtl": b"newmtl look\nKd 1 0 0\n"}, "asset", of="box", volume=1
    )


# JSON and scenes


def scenes() -> Iterator[Case]:
    def deep(count: int) -> bytes:
        tree, binary = gltf_tree(*shape("box"))
        text = json.dumps(tree)
        return glb((text[:-1] + ', "extras": ' + "[" * count + "]" * count + "}").encode(), binary)

    yield bare("json/500 deep", "glb", lambda: deep(500), "asset", of="box", volume=1)
    yield bare("json/900 deep", "glb", lambda: deep(900), "either", why="near Python's own limit, which is no part of glTF")
    yield bare("json/100,000 deep", "glb", lambda: deep(100_000), "refused", fast=True)
    yield bare("json/a million deep", "gltf", lambda: b'{"a":' * 1_000_000, "refused")
    yield bare("json/a number of 5000 digits", "gltf", lambda: b'{"asset": {"version": "2.0"}, "scene": ' + b"9" * 5000 + b"}", "refused")
    yield bare("json/keys twice", "gltf", lambda: gltf(*gltf_tree(*shape("box"))).replace(b'"scene": 0', b'"scene": 9, "scene": 0'), "asset", of="box", volume=1)
    yield bare("json/UTF-16", "gltf", lambda: gltf(*gltf_tree(*shape("box"))).decode().encode("utf-16"), "either", why="JSON is UTF-8, but Python reads both")
    yield bare("json/a byte-order mark", "gltf", lambda: b"\xef\xbb\xbf" + gltf(*gltf_tree(*shape("box"))), "either", why="glTF forbids it, readers forgive it")
    yield bare("json/Latin-1", "gltf", lambda: gltf(*gltf_tree(*shape("box"))).replace(b'"2.0"', b'"2.0", "generator": "M\xf6bel"'), "refused")
    yield bare("json/20 MB of it", "glb", lambda: glb(b'{"extras": "' + b"x" * 20_000_000 + b'"}'), "refused", says="bytes of JSON")

    def nodes(what: str, nodes: list[dict[str, Any]], roots: list[int], expect: Expected, **more: Any) -> Case:
        def make() -> bytes:
            tree, binary = gltf_tree(*shape("box"))
            return glb(tree | {"nodes": nodes, "scenes": [{"nodes": roots}]}, binary)

        return bare(f"nodes/{what}", "glb", make, expect, **more)

    yield nodes("its own child", [{"mesh": 0, "children": [0]}], [0], "refused", fast=True)
    yield nodes("a ring of two", [{"mesh": 0, "children": [1]}, {"children": [0]}], [0], "refused")
    yield nodes(
        "a ring of three beside the scene",
        [{"mesh": 0}, {"children": [2]}, {"children": [3]}, {"children": [1]}],
        [0],
        "either",
        why="what is in no scene does no harm, but glTF forbids it",
    )
    yield nodes("a ring with a way in", [{"children": [1]}, {"mesh": 0, "children": [2]}, {"children": [1]}], [0], "refused")
    yield nodes("two parents", [{"children": [2]}, {"children": [2]}, {"mesh": 0}], [0, 1], "refused")
    yield nodes("a root twice", [{"mesh": 0}], [0, 0], "either", why="the same thing at the same place is once or twice there", of="box", volume=1)
    yield nodes("a child that is not there", [{"mesh": 0, "children": [7]}], [0], "refused")
    yield nodes("a child that is no number", [{"mesh": 0, "children": ["a"]}], [0], "refused")
    yield nodes("a name for two", [{"mesh": 0, "name": "a"}, {"mesh": 0, "name": "a", "translation": [0.2, 0, 0]}], [0, 1], "asset")
    yield nodes("named world", [{"mesh": 0, "name": "world"}], [0], "asset", of="box", volume=1)
    yield nodes("named nothing", [{"mesh": 0, "name": ""}], [0], "asset", of="box", volume=1)
    yield nodes("named with a number", [{"mesh": 0, "name": 7}], [0], "either", why="a name must be text, but nothing hangs on it")
    yield nodes("a chain of 300", [*({"children": [k + 1]} for k in range(300)), {"mesh": 0}], [0], "asset", of="box", volume=1)
    yield nodes(
        "a chain of 4000", [*({"children": [k + 1]} for k in range(4000)), {"mesh": 0}], [0], "either", why="a tree, if an absurd one: deeper than a reader must go", seconds=60
    )
    yield nodes(
        "a chain of 2000 meshes",
        [*({"mesh": 0, "children": [k + 1], "translation": [0.1, 0, 0]} for k in range(2000)), {"mesh": 0}],
        [0],
        "either",
        why="a tree, if an absurd one: deeper than a reader must go",
        seconds=90,
    )
    yield nodes("a scale of zero", [{"mesh": 0, "scale": [0, 0, 0]}], [0], "refused", fast=True)
    yield nodes("a scale of zero along one axis", [{"mesh": 0, "scale": [1, 0, 1]}], [0], "refused", says="flat")
    yield nodes("a matrix of zeros", [{"mesh": 0, "matrix": [0] * 16}], [0], "refused")
    yield nodes("a matrix of 3 numbers", [{"mesh": 0, "matrix": [1, 2, 3]}], [0], "refused")
    yield nodes("a matrix of words", [{"mesh": 0, "matrix": ["one"] * 16}], [0], "refused")
    yield nodes(
        "a matrix with a perspective",
        [{"mesh": 0, "matrix": [1, 0, 0, 5, 0, 1, 0, 5, 0, 0, 1, 5, 0, 0, 0, 1]}],
        [0],
        "either",
        why="glTF forbids it; its last row may be taken for what it must be",
    )
    yield nodes("one of two scaled to nothing", [{"mesh": 0}, {"mesh": 0, "scale": [0, 0, 0]}], [0, 1], "asset", of="box", volume=1)
    yield nodes("5000 copies", [{"mesh": 0, "translation": [0.2 * k, 0, 0]} for k in range(5000)], list(range(5000)), "refused", says="objects")

    def primitive(what: str, fields: dict[str, Any], expect: Expected, **more: Any) -> Case:
        def make() -> bytes:
            tree, binary = gltf_tree(*shape("box"))
            tree["meshes"][0]["primitives"][0] |= fields
            return glb(tree, binary)

        return bare(f"primitives/{what}", "glb", make, expect, **more)

    for mode, label in ((0, "points"), (1, "lines"), (2, "a loop"), (3, "a line")):
        yield primitive(label, {"mode": mode}, "refused", fast=mode == 1)
    yield primitive("a strip", {"mode": 5}, "either", why="the box's indices as a strip are a tangle")
    yield primitive("an unknown mode", {"mode": 99}, "refused")
    yield primitive("no positions", {"attributes": {}}, "refused")
    yield primitive("positions for indices", {"indices": 0}, "refused")
    yield primitive("no indices", {"indices": None}, "either", why="null is no index: as if there were none, or an error")
    yield primitive("a morph target that is not there", {"targets": [{"POSITION": 99}]}, "either", why="morph targets may be left out or looked up")
    yield primitive(
        "Draco, not required",
        {"extensions": {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}},
        "either",
        why="without the extension the plain data is used",
    )

    def sparse(fields: dict[str, Any]) -> bytes:
        tree, binary = gltf_tree(*shape("box"))
        tree["accessors"][0]["sparse"] = fields
        return glb(tree, binary)

    yield bare(
        "primitives/sparse of a billion",
        "glb",
        lambda: sparse({"count": 10**9, "indices": {"bufferView": 1, "componentType": 5125}, "values": {"bufferView": 0}}),
        "either",
        why="sparse values may be left out; they must not be made",
    )

    def external(files: Files, what: str, expect: Expected, uri: str = "data.bin", **more: Any) -> Case:
        def make() -> Files:
            tree, binary = gltf_tree(*shape("box"))
            text = json.dumps(tree | {"buffers": [{"byteLength": len(binary), "uri": uri}]}).encode()
            return {"mesh.gltf": text} | {name: binary if data == b"true" else data for name, data in files.items()}

        return beside(f"buffers/{what}", make, expect, **more)

    yield external({"data.bin": b"true"}, "in a file beside", "asset", of="box", volume=1)
    yield external({"my data (1).bin": b"true"}, "in a file with spaces", "asset", uri="my%20data%20(1).bin", of="box", volume=1)
    yield external({"dätä ☕.bin": b"true"}, "in a file with letters of all kinds", "asset", uri="dätä ☕.bin", of="box", volume=1)
    yield external({}, "in a file that is missing", "refused", says=r"data\.bin", fast=True)
    yield external({"data.bin": b""}, "in an empty file", "refused")
    yield external({"data.bin": bytes(50)}, "in a file too short", "refused")
    yield external({"data.bin": Link("/dev/zero")}, "in zeros without end", "refused")
    yield external({}, "in a URI of nothing", "refused", uri="")
    yield external({}, "in a URI of no data", "refused", uri="data:")
    yield external({}, "in a URI that is not base64", "refused", uri="data:application/octet-stream;base64,!!!!")
    for extension, expect in (("KHR_draco_mesh_compression", "refused"), ("EXT_meshopt_compression", "refused"), ("KHR_mesh_quantization", "either"), ("ACME_secret", "either")):

        def required(extension: str = extension) -> bytes:
            tree, binary = gltf_tree(*shape("box"))
            return glb(tree | {"extensionsRequired": [extension], "extensionsUsed": [extension]}, binary)

        yield bare(
            f"extensions/{extension} is required",
            "glb",
            required,
            expect,  # type: ignore[arg-type]
            fast="draco" in extension,
            says=extension if expect == "refused" else "",
            why="" if expect == "refused" else "the plain data is there all the same",
        )
    yield bare("extensions/words for a list", "glb", lambda: glb(gltf_tree(*shape("box"))[0] | {"extensionsRequired": 5}), "refused")


# What is no mesh


def strangers() -> Iterator[Case]:
    def noise(count: int) -> bytes:
        return _seeded("noise").bytes(count)

    for kind in ENDINGS:
        yield bare("garbage/random bytes", kind, lambda: noise(5000), "refused", fast=kind == "obj")
        yield bare("garbage/prose", kind, b"It was a dark and stormy night; the rain fell in torrents.\n" * 40, "refused")
    yield bare("garbage/random bytes behind a header", "ply", lambda: _ply_header("binary_little_endian", 8, 12) + noise(252), "refused")
    yield bare("garbage/random bytes of a right length", "stl", lambda: bytes(80) + struct.pack("<I", 100) + noise(5000), "refused")
    yield bare("garbage/random bytes behind a header", "glb", lambda: glb(gltf_tree(*shape("box"))[0], noise(240)), "refused")
    for of, named in (
        ("stl", "obj"),
        ("stl-ascii", "obj"),
        ("obj", "stl"),
        ("obj", "ply"),
        ("ply", "stl"),
        ("glb", "stl"),
        ("glb", "gltf"),
        ("gltf", "glb"),
        ("ply-ascii", "obj"),
        ("stl", "glb"),
    ):
        yield bare(f"wrong ending/{of} named {named}", named, lambda k=of: encode(k, *shape("mug")), "refused")
    yield bare("wrong ending/a picture", "obj", lambda: png(32, 32), "refused")
    yield bare("wrong ending/a web page", "stl", b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 9, "refused", fast=True)
    yield bare("wrong ending/a web page", "glb", b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 9, "refused")
    yield bare("wrong ending/an LFS pointer", "glb", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 12345\n", "refused")
    yield bare("wrong ending/FBX", "fbx", b"Kaydara FBX Binary  \x00\x1a\x00" + bytes(200), "refused", says="allowed are")
    yield bare("wrong ending/none at all", "", lambda: _obj(*shape("box")), "refused", says="allowed are")
    yield bare("wrong ending/upper case", "OBJ", lambda: _obj(*shape("ell")), "asset", of="ell", volume=1)


# Names


def names() -> Iterator[Case]:
    for label, name in (
        ("spaces", " my mesh (1) .obj"),
        ("letters of all kinds", "Tässchen für Öl – 杯子 ☕🫖.obj"),
        ("quotes", 'it\'s "a" `mesh`.obj'),
        ("percent signs", "100%s %d {x} %2e.obj"),
        ("brackets", "[bold]mesh[/bold].obj"),
        ("a hash", "mesh#1?.obj"),
        ("a dash", "-mesh.obj"),
        ("dots", "...obj.tar.obj"),
        ("a backslash", "a\\b.obj"),
        ("250 letters", "x" * 246 + ".obj"),
        ("a new line", "two\nlines.obj"),
        ("right to left", "\u202egnp.obj"),
        ("combining marks", "Ma\u0308dchen.obj"),
        ("control characters", "a\x1b[31mb.obj"),
    ):
        yield beside(f"names/{label}", lambda n=name: {n: _obj(*shape("box"))}, "asset", of="box", volume=1, fast=label == "letters of all kinds")
        yield beside(f"names/{label}, refused", lambda n=name: {n: b"no mesh"}, "refused")
    yield beside("names/no UTF-8", lambda: {os.fsdecode(b"M\xf6bel.obj"): _obj(*shape("box"))}, "asset", of="box", volume=1, fast=True)
    yield beside("names/in deep folders", lambda: {"a b/ö/c.obj": _obj(*shape("box"))}, "asset", of="box", volume=1)

    def spaced() -> Files:
        text = _painted_obj().replace(b"look.mtl", "mein Ü look.mtl".encode())
        return {"mesh.obj": text, "mein Ü look.mtl": "newmtl look\nmap_Kd tex ture ß.png\n".encode(), "tex ture ß.png": png(16, 16)}

    yield beside("names/of materials and textures", spaced, "asset", of="box", volume=1)


# Dialects that real exporters write


def dialects() -> Iterator[Case]:
    box = _obj(*shape("ell"))
    asset: dict[str, Any] = {"of": "ell", "volume": 1}
    for label, data in (
        ("CRLF", box.replace(b"\n", b"\r\n")),
        ("a byte-order mark", b"\xef\xbb\xbf" + box),
        ("a byte-order mark and a comment", b"\xef\xbb\xbf# made by hand\n" + box),
        ("Latin-1 comments", "# Möbel\no Stühle\n".encode("latin-1") + box),
        ("tabs", box.replace(b" ", b"\t")),
        ("two spaces", box.replace(b" ", b"  ")),
        ("spaces at line ends", box.replace(b"\n", b"  \n")),
        ("spaces at line starts", box.replace(b"\n", b"\n  ")),
        ("a fourth number", re.sub(rb"(v [^\n]*)\n", rb"\1 1.0\n", box)),
        ("vertex colours", re.sub(rb"(v [^\n]*)\n", rb"\1 0.5 0.2 0.9\n", box)),
        ("no last line end", box.rstrip(b"\n")),
        ("empty lines", box.replace(b"\n", b"\n\n")),
        ("a smoothing group and names", b"g a\ns 1\no b\n" + box.replace(b"f ", b"s off\ng c d\nf ", 1)),
        ("comments behind faces", re.sub(rb"(f [^\n]*)\n", rb"\1 # a face\n", box)),
        ("faces of slashes", re.sub(rb"(\d+) (\d+) (\d+)\n(?=f|$)", rb"\1// \2// \3//\n", box)),
        ("a curve", box + b"vp 0.5 0.2\ncstype bezier\ndeg 3\ncurv 0 1 1 2 3 4\nend\n"),
    ):
        yield bare(f"dialect/{label}", "obj", data, "asset", fast=label in ("CRLF", "tabs"), **asset)
    yield bare("dialect/old Mac line ends", "obj", box.replace(b"\n", b"\r"), "either", why="OBJ has no such line ends, but some writers had")
    yield bare("dialect/lines that go on", "obj", re.sub(rb"(f \d+)", rb"\1 \\\n", box), "either", why="a backslash at a line's end is in the format, if rare")
    yield bare("dialect/commas in numbers", "obj", re.sub(rb"0\.(\d)", rb"0,\1", box), "refused")
    yield bare("dialect/a vertex of two numbers", "obj", re.sub(rb"(v \S+ \S+) \S+\n", rb"\1\n", box, count=1), "refused")
    quads = b"".join(b"v %f %f %f\n" % (x, y, z) for x in (0, 0.1) for y in (0, 0.06) for z in (0, 0.08))
    quads += b"f 1 2 4 3\nf 5 7 8 6\nf 1 5 6 2\nf 3 4 8 7\nf 1 3 7 5\nf 2 6 8 4\n"
    yield bare("dialect/quads", "obj", quads, "asset", of="box", volume=1)

    vertices, faces = shape("ell")
    stl, text = _stl(vertices, faces), _stl_ascii(vertices, faces)
    for label, data in (
        ("binary that begins with solid", b"solid in name only".ljust(80) + stl[80:]),
        ("binary of no header", bytes(80) + stl[80:]),
        ("binary with colours", stl[:84] + re.sub(b"(?s)(.{48})..", lambda found: found[1] + b"\xff\xff", stl[84:])),
        ("CRLF", text.replace(b"\n", b"\r\n")),
        ("indented", text.replace(b"vertex", b"\t\tvertex")),
        ("two solids", text + _stl_ascii(vertices + [0, 0, 0], faces)),
        ("a long name", text.replace(b"solid broken", b"solid " + b"x" * 400, 1)),
        ("exponents", re.sub(rb"-?\d+\.\d+", lambda found: b"%+.8E" % float(found[0]), text)),
        ("a name of its own words", text.replace(b"solid broken", b"solid vertex endloop facet")),
        ("a name that begins with solid", text.replace(b"solid broken", b"solid solid")),
    ):
        yield bare(f"dialect/{label}", "stl", data, "asset", **asset)
    yield bare("dialect/upper case", "stl", text.upper(), "asset", **asset)
    yield bare("dialect/a byte-order mark", "stl", b"\xef\xbb\xbf" + text, "either", why="no STL has one, but editors add it", **asset)
    yield bare("dialect/commas in numbers", "stl", re.sub(rb"0\.(\d)", rb"0,\1", text), "refused")

    rows = np.zeros(len(faces), np.dtype([("count", "u1"), ("corners", ">i4", 3)]))
    rows["count"], rows["corners"] = 3, faces
    ply = _ply_ascii(vertices, faces)
    head = _ply_header("binary_big_endian", len(vertices), len(faces))
    for label, data in (
        ("big-endian", head + vertices.astype(">f4").tobytes() + rows.tobytes()),
        ("doubles", head.replace(b"property float", b"property double") + vertices.astype(">f8").tobytes() + rows.tobytes()),
        ("CRLF", ply.replace(b"\n", b"\r\n")),
        ("comments", ply.replace(b"element vertex", b"comment M\xf6bel\nobj_info num 1\nelement vertex")),
        ("vertex_index", ply.replace(b"vertex_indices", b"vertex_index")),
        ("another element between", ply.replace(b"end_header\n", b"element camera 1\nproperty float fov\nend_header\n") + b"1.5\n"),
        ("number types of C", ply.replace(b"uchar int", b"uint8 int32").replace(b"property float", b"property float32")),
    ):
        yield bare(f"dialect/{label}", "ply", data, "asset", **asset)
    yield bare(
        "dialect/faces before vertices",
        "ply",
        (
            b"ply\nformat ascii 1.0\nelement face %d\nproperty list uchar int vertex_indices\nelement vertex %d\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
            % (len(faces), len(vertices))
            + b"".join(b"3 %d %d %d\n" % tuple(row) for row in faces)
            + b"".join(b"%f %f %f\n" % tuple(row) for row in vertices)
        ),
        "asset",
        **asset,
    )
    yield bare("dialect/without z", "ply", ply.replace(b"property float z\n", b"property float w\n"), "refused")
    yield bare("dialect/an unknown number type", "ply", ply.replace(b"property float x", b"property quad x"), "refused")
    yield bare("dialect/an unknown format", "ply", ply.replace(b"format ascii", b"format binary_middle_endian"), "refused")


FAMILIES: tuple[Callable[[], Iterator[Case]], ...] = (
    not_a_number,
    too_little,
    corrupted,
    lying,
    repeated,
    turned,
    tangled_edges,
    soups,
    sizes,
    pieces,
    flat,
    indices,
    holes,
    crossing,
    many,
    textures,
    traversal,
    scenes,
    strangers,
    names,
    dialects,
)


@cache
def corpus() -> dict[str, Case]:
    """Return all cases by name."""
    cases = [case for family in FAMILIES for case in family()]
    named = {case.name: case for case in cases}
    if len(named) < len(cases):
        seen: set[str] = set()
        raise ValueError(f"twice: {[case.name for case in cases if case.name in seen or seen.add(case.name)]}")  # type: ignore[func-returns-value]
    return named


# fmt: on
# What must come of a case


def _sides(of: str) -> Vertices | None:
    """Return the sides of a shape [m]; None where they are not known."""
    if of in SOLIDS:
        return np.asarray(np.ptp(solid(of)[0], axis=0), float)
    return np.full(3, LONG) if of == "ball" else None


def _volume(of: str) -> float:
    """Return the volume of a shape [m3]; "unit" is a cube of the length that is asked for."""
    return {"unit": LONG**3, "ball": np.pi / 6 * LONG**3}.get(of) or solid(of)[2]


TO_DO = re.compile(
    r"\b(Re-export|Export|Simplify|Download|Copy|Give|Convert|Scale|Extrude|Close|Free|Choose|Say|Use|Save|Add|Move|Remove|Triangulate|Mend|allowed are|give|There is no file)\b"
)
JARGON = re.compile(
    r"\b[A-Z][A-Za-z]+(Error|Exception|Warning)\b|Traceback|NoneType|object has no|not subscriptable|broadcast|numpy|dtype|for axis|unhashable|\bnan to int|buffer size|literal for|codec can't"
)


def complaints(message: str) -> list[str]:
    """Return what is unclear in a refusal: it must be one line that names a file or a value and says what to do."""
    found = []
    if not message.strip() or len(message.splitlines()) != 1 or not message.isprintable():
        found.append("not one printable line")
    if len(message) > 500:
        found.append(f"{len(message)} letters long")
    if not re.search(r"[0-9'\"]", message):
        found.append("names neither a file nor a value")
    if not TO_DO.search(message):
        found.append("does not say what to do")
    if jargon := JARGON.search(message):
        found.append(f"speaks Python: {jargon[0]}")
    return found


def faults(case: Case, folder: Path) -> list[str]:
    """Return what is wrong with the asset in a folder: its files, its solid, its size, its mass, its collision, its life in MuJoCo."""
    import mujoco

    from worldgen import mesh, store, vocabulary
    from worldgen.assets import COLLISION_GROUP, Asset

    asset, found = Asset.load(folder), list[str]()
    found += store.damage(folder)
    density = vocabulary.materials()[asset.material].density
    volume = 0.0
    for part in asset.parts:
        vertices, faces, uv = _read_obj(folder / part.visual)
        if open_edges := mesh.count_open_edges(faces):
            found.append(f"{part.visual} is open at {open_edges} edges")
        if len(faces) > DRAWN:
            found.append(f"{len(faces):,} faces to draw; allowed are {DRAWN:,}")
        own, rounding = (
            mesh.signed_volume(vertices, faces),
            1e-6 * _area(vertices, faces),
        )  # it is written to the micrometre
        volume += own
        if not abs(own * density - part.mass) <= 0.02 * part.mass + rounding * density:
            found.append(f"{part.visual} has {own:.4g} m3, which is {own * density:.4g} kg, not {part.mass:.4g}")
        if not (np.isfinite(uv).all() and uv.min() >= 0 and uv.max() <= 1):
            found.append(f"uv from {uv.min()} to {uv.max()}")
        if not np.allclose(np.ptp(vertices, axis=0), asset.size, rtol=0.01, atol=1e-5):
            found.append(f"{part.visual} is {np.ptp(vertices, axis=0)} m, its record says {asset.size}")
        if abs(vertices[:, 2].min()) > 5e-4:
            found.append(f"it does not stand on z = 0 but {vertices[:, 2].min()}")
    with Image.open(folder / asset.texture) as look:
        look.load()
    sides = _sides(case.of)
    if len(case.size) == 3:
        sides = np.array(case.size)
    elif sides is not None:
        sides = sides * case.size[0] / LONG
    if sides is not None and not np.allclose(asset.size, sides, rtol=0.04, atol=2e-6):
        found.append(f"size {asset.size} m, not {sides}")
    if abs(max(asset.size) / max(case.size) - 1) > 0.035:
        found.append(f"longest side {max(asset.size)} m, not {max(case.size)}")
    if not (np.isfinite(asset.mass) and asset.mass > 0):
        found.append(f"mass {asset.mass} kg")
    elif case.volume is not None:
        share = volume / _volume(case.of)
        if not abs(share / case.volume - 1) <= case.within:
            found.append(f"volume {share:.3f} of the true one where {case.volume:g} is expected")
    if not any(part.collision for part in asset.parts):
        found.append("no collision")
    if len(asset.footprint) < 3:
        found.append(f"footprint of {len(asset.footprint)} corners")
    if asset.fidelity is None:
        found.append("no fidelity")

    world = mujoco.MjSpec()
    world.compiler.degree = False
    world.option.timestep, world.option.integrator = 0.002, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    world.meshdir = world.texturedir = str(folder.parent)
    world.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1])
    asset.add_to(world, "object", folder.name, (0.0, 0.0, 0.001), 0.0, fixed=False)
    model = world.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    if not abs(model.body_mass[1] - asset.mass) <= 0.01 * asset.mass + 1e-6:
        found.append(f"MuJoCo weighs {model.body_mass[1]} kg, the record {asset.mass}")
    low, high = _bounds(model, data, COLLISION_GROUP)
    off = np.maximum(np.abs(high - low - asset.size) - 0.003 * max(asset.size) / LONG, 0) / max(asset.size)
    if off.max() > 0.12:
        found.append(f"collision is {high - low} m around what is {asset.size} m")
    start = data.xipos[1].copy()
    mujoco.mj_step(model, data, 250)
    if any(warning.number for warning in data.warning) or not np.isfinite(data.qpos).all():
        found.append("the simulation diverges")
    elif (
        data.xipos[1][2] < -1e-3
        or data.xipos[1][2] > start[2] + 0.02
        or np.abs(data.xipos[1][:2] - start[:2]).max() > 0.5
    ):
        found.append(f"half a second later it is at {data.xipos[1]}, from {start}")
    return found


def _area(vertices: Vertices, faces: Faces) -> float:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def _read_obj(path: Path) -> tuple[Vertices, Faces, NDArray[np.float64]]:
    lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    vertices = np.array([line[1:4] for line in lines if line[0] == "v"], float)
    uv = np.array([line[1:3] for line in lines if line[0] == "vt"], float)
    faces = np.array([[corner.split("/")[0] for corner in line[1:4]] for line in lines if line[0] == "f"], int)
    return vertices, faces - 1, uv


def _bounds(model: Any, data: Any, group: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest corner of the box around all geoms of a group, exactly."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for geom in np.flatnonzero(model.geom_group == group):
        size, turn, centre = model.geom_size[geom], data.geom_xmat[geom].reshape(3, 3), data.geom_xpos[geom]
        kind, along = int(model.geom_type[geom]), np.abs(turn[:, 2])
        if kind == MESH:
            mesh = model.geom_dataid[geom]
            start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
            points = model.mesh_vert[start : start + count] @ turn.T + centre
            low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
            continue
        half = {
            SPHERE: np.full(3, size[0]),
            CAPSULE: size[0] + size[1] * along,
            ELLIPSOID: np.linalg.norm(turn * size, axis=1),
            CYLINDER: size[1] * along + size[0] * np.sqrt(np.maximum(1 - along**2, 0)),
            BOX: np.abs(turn) @ size,
        }[kind]
        low, high = np.minimum(low, centre - half), np.maximum(high, centre + half)
    return low, high


SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX, MESH = 2, 3, 4, 5, 6, 7
"""MuJoCo's types of geoms."""


# Imports in processes of their own


@dataclass(frozen=True)
class Outcome:
    """What an import came to."""

    kind: Literal["asset", "refused", "crashed"]
    """"crashed": an exception that is none of worldgen's, a signal, or a process that had to be killed."""
    message: str = ""
    """Of the refusal, or the trace of the crash."""
    problems: tuple[str, ...] = ()
    """What is wrong with the asset, the refusal, or what was left behind."""
    notes: tuple[str, ...] = ()
    """Of the asset."""
    seconds: float = 0.0
    """Processor time of the import and all its processes [s]."""
    wall: float = 0.0
    memory: int = 0
    """Largest resident memory of any of them [bytes]."""


def _import(case: Case, folder: Path, file: Path) -> Outcome:
    """Import a file that was written before, and look at what came of it."""
    from worldgen import importing
    from worldgen.errors import WorldgenError

    os.chdir(folder)
    before = {path: path.lstat().st_size for path in folder.rglob("*")}
    out, kind, message, notes = folder / "asset", "asset", "", tuple[str, ...]()
    screen = os.open("screen", os.O_RDWR | os.O_CREAT)
    os.dup2(screen, 1)
    os.dup2(screen, 2)
    begun = time.perf_counter()
    try:
        notes = importing.import_mesh(file, "toy", case.size, out).notes
    except WorldgenError as error:
        kind, message = "refused", str(error)
    except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
        kind, message = "crashed", traceback.format_exc()
    wall = time.perf_counter() - begun
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    problems = []
    if printed := (folder / "screen").read_text(errors="replace").strip():
        problems.append(f"prints {printed[-300:]!r}")
    (folder / "screen").unlink()
    left = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path not in before and path != out and out not in path.parents
    )
    if left:
        problems.append(f"leaves {left}")
    if changed := [
        path.name
        for path, size in before.items()
        if not path.is_symlink() and path.is_file() and path.lstat().st_size != size
    ]:
        problems.append(f"changes {changed}")
    if kind == "refused":
        problems += complaints(message)
        if out.exists():
            problems.append("refuses, and leaves a folder")
    if kind == "asset":
        try:
            problems += faults(case, out)
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            problems.append(f"the asset cannot be used: {traceback.format_exc(limit=-2)}")
    return Outcome(
        kind,  # type: ignore[arg-type]
        message,
        tuple(problems),
        notes,
        seconds=own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime,
        wall=wall,
        memory=max(own.ru_maxrss, others.ru_maxrss) << 10,
    )


def write(files: Files, folder: Path) -> Path:
    """Write the files of a case and return the first one."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content.target)
        elif not path.is_dir():
            path.write_bytes(content)
    return folder / next(iter(files))


def _forked(work: Callable[[], object], seconds: float) -> str:
    """Run something in a process of its own with its own group; return what ended it, nothing when it ended well."""
    process = os.fork()
    if process == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY))
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing may get out of a fork
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}" if code else ""
        if time.monotonic() > end:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return f"killed after {seconds:g} s"
        time.sleep(0.01)


def attempt(case: Case, folder: Path) -> Outcome:
    """Write the files of a case and import them, in processes that cannot harm this one."""
    inputs, result = folder / "in", folder / "outcome.json"
    inputs.mkdir(parents=True)
    if failed := _forked(lambda: (folder / "file").write_bytes(os.fsencode(write(case.make(), inputs))), PATIENCE):
        return Outcome("crashed", f"the corpus itself: {failed}")
    file = Path(os.fsdecode((folder / "file").read_bytes()))
    failed = _forked(lambda: result.write_text(json.dumps(asdict(_import(case, inputs, file)))), PATIENCE)
    if failed:
        return Outcome("crashed", failed)
    fields = json.loads(result.read_text())
    return Outcome(**fields | {name: tuple(fields[name]) for name in ("problems", "notes")})


class Importer:
    """A process that has loaded all it takes and imports one case after another, each in a fork of its own.

    It is not the test's own process, whose threads a fork would not copy.
    """

    def __init__(self) -> None:
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.worldgen.broken_meshes"],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, case: Case, folder: Path) -> Outcome:
        """Return what an import of a case came to."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([case.name, str(folder)]) + "\n")
        self._process.stdin.flush()
        fields = json.loads(self._process.stdout.readline())
        return Outcome(**fields | {name: tuple(fields[name]) for name in ("problems", "notes")})

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def verdict(case: Case, outcome: Outcome) -> list[str]:
    """Return what is not as it must be."""
    found = list(outcome.problems)
    if outcome.kind == "crashed":
        found.append(f"crashes: {outcome.message}")
    elif case.expect not in (outcome.kind, "either"):
        found.append(
            f"is {outcome.kind} where it must be {case.expect}"
            + (f": {outcome.message}" if outcome.message else f": {outcome.notes}")
        )
    said = outcome.message if outcome.kind == "refused" else "; ".join(outcome.notes)
    if case.expect in (outcome.kind, "either") and not re.search(case.says, said):
        found.append(f"says {said!r}, not what matches {case.says!r}")
    limit = max(case.seconds, REBUILT) if "solid remeshed" in outcome.notes else case.seconds
    if outcome.seconds > limit:
        found.append(f"takes {outcome.seconds:.1f} s of processor time; allowed are {limit:g}")
    if outcome.memory > MEMORY:
        found.append(f"takes {outcome.memory / 2**30:.2f} GiB; allowed are {MEMORY / 2**30:g}")
    return found


def _serve() -> None:
    import worldgen.importing  # noqa: F401  # once, for all forks

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, folder = json.loads(line)
        answers.write(json.dumps(asdict(attempt(corpus()[name], Path(folder)))) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()

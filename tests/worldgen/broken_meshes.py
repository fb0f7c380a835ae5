"""A corpus of broken mesh files, and a runner that imports them as `worldgen assets import` does, one process each.

A case says what its file must come to: an asset of known size and volume, or a refusal in one line.
"""

from __future__ import annotations

import base64
import io
import json
import multiprocessing
import os
import pickle
import re
import resource
import signal
import struct
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import trimesh
from manifold3d import CrossSection, Manifold, OpType
from numpy.typing import NDArray
from PIL import Image

from worldgen.mesh_solid import arrays

Array = NDArray[Any]
Mesh = tuple[Array, Array]
Expected = Literal["asset", "refused", "either"]
LONG = 0.1
"""Longest side that is asked for [m], and that of the shapes."""
SECONDS, REBUILT, PATIENCE, DRAWN, MEMORY = 45.0, 400.0, 300.0, 50_000, 2 << 30
"""Processor time of an import, all its processes together, and where the surface is built anew; wall-clock time [s];
most faces of what is drawn; and the largest resident memory of any process of an import [bytes]."""


@dataclass(frozen=True)
class Case:
    """One broken input, "family/what", and what must come of it. Its first file is the mesh; a path is a link."""

    name: str
    files: dict[str, bytes | Path | Callable[[], bytes | Mesh]]
    expect: Expected
    says: str = ""  # what the refusal, or the notes of the asset, must match, a regular expression
    of: str = ""  # shape whose sides the asset must have within 4 %; empty where they are not known
    volume: float = 1.0  # as a share of that shape's
    within: float = 0.02  # relative tolerance of the volume
    why: str = ""  # either is fine
    fast: bool = False  # it belongs to the selection that always runs
    size: tuple[float, ...] = (LONG,)
    seconds: float = SECONDS

    @property
    def family(self) -> str:
        return self.name.partition("/")[0]


# Shapes, the longest side 0.1 m
def _mug() -> Manifold:
    cup = Manifold.cylinder(0.09, 0.04, 0.04, 32) - Manifold.cylinder(0.09, 0.036, 0.036, 32).translate([0, 0, 0.005])
    ring = CrossSection.circle(0.005, 8).translate([0.025, 0]).revolve(24).rotate([90, 0, 0])
    return cup + (ring.translate([0.042, 0, 0.045]) - Manifold.cylinder(0.09, 0.038, 0.038, 32))


def _composite() -> list[Manifold]:
    stub = Manifold.cylinder(0.05, 0.02, 0.02, 24).translate([0.03, 0.03, 0.02])
    return [Manifold.cube([0.1, 0.06, 0.03]), stub, Manifold.sphere(0.02, 20).translate([0.075, 0.03, 0.035])]


SOLIDS: dict[str, Callable[[], Manifold]] = {
    "unit": lambda: Manifold.cube([0.1, 0.1, 0.1]),  # for its volume alone
    "box": lambda: Manifold.cube([0.1, 0.06, 0.08]),
    "mug": _mug,
    "bowl": lambda: (Manifold.sphere(0.05, 32) - Manifold.sphere(0.044, 32)).trim_by_plane([0, 0, -1], 0),
    "plate": lambda: Manifold.cylinder(0.003, 0.05, 0.05, 48),
    "sphere": lambda: Manifold.sphere(0.05, 32),
    "ball": lambda: Manifold.sphere(0.05, 640),
    "hollow": lambda: Manifold.sphere(0.05, 32) - Manifold.sphere(0.035, 32),
    "composite": lambda: Manifold.batch_boolean(_composite(), OpType.Add),  # as a mesh, its pieces overlap
    "ell": lambda: Manifold.cube([0.1, 0.03, 0.04]) + Manifold.cube([0.03, 0.08, 0.04]),
}


@cache
def solid(name: str) -> tuple[Array, Array, float]:
    """Return a shape's vertices [m], faces and volume [m3]."""
    whole = SOLIDS[name]()
    scale = LONG / float(np.ptp(arrays(whole)[0], axis=0).max())
    vertices, faces = together(*map(arrays, _composite())) if name == "composite" else arrays(whole)
    return vertices * scale, faces, whole.volume() * scale**3


def shape(name: str) -> Mesh:
    """Return vertices and faces of a shape, that may be changed."""
    return solid(name)[0].copy(), solid(name)[1].copy()


def together(*meshes: Mesh) -> Mesh:
    whole = trimesh.util.concatenate([trimesh.Trimesh(*mesh, process=False) for mesh in meshes])
    return np.array(whole.vertices), np.array(whole.faces)


def boxes(*bounds: tuple[float, ...]) -> Mesh:
    """Return boxes, each from its lowest corner to its highest."""
    solids = (trimesh.creation.box(bounds=(corners[:3], corners[3:])) for corners in bounds)
    return together(*((solid.vertices, solid.faces) for solid in solids))


def seeded(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


# Files, as the plainest writer would make them, whatever nonsense a mesh holds
FORMATS = ("obj", "stl-ascii", "stl", "ply-ascii", "ply", "glb", "gltf")
KINDS = "obj stl ply glb gltf"
STYLES = ("ascii", "binary_little_endian", "binary_big_endian")
XYZ = "%.9g %.9g %.9g"
FACET = f"facet normal 0 0 0\nouter loop\nvertex {XYZ}\nvertex {XYZ}\nvertex {XYZ}\nendloop\nendfacet"


def encode(kind: str, vertices: Array, faces: Array) -> bytes:
    """Return a mesh in a format."""
    with np.errstate(all="ignore"):
        if kind == "obj":
            return text(f"v {XYZ}", vertices) + text("f %d %d %d", faces + 1)
        if kind == "stl-ascii":
            return b"solid broken\n" + text(FACET, vertices[faces].reshape(-1, 9)) + b"endsolid broken\n"
        if kind == "stl":
            return bytes(trimesh.exchange.stl.export_stl(trimesh.Trimesh(vertices, faces, process=False)))
        if kind == "ply-ascii":
            return ply_text(vertices, faces)
        if kind == "ply":
            return ply_header(STYLES[1], len(vertices), len(faces)) + ply_body(vertices, faces)
        return edited(kind, {}, (vertices, faces))


def plain(kind: str, of: str = "box") -> bytes:
    return encode(kind, *shape(of))


def text(form: str, rows: Array) -> bytes:
    np.savetxt(buffer := io.BytesIO(), rows, form)
    return buffer.getvalue()


def ply_header(style: str, vertices: int, faces: int, extra: str = "") -> bytes:
    """Return a PLY's header; each word of `extra` is one more number of a vertex."""
    properties = "".join(f"property float {word}\n" for word in ["x", "y", "z", *extra.split()])
    start = f"ply\nformat {style} 1.0\nelement vertex {vertices}\n{properties}element face {faces}\n"
    return f"{start}property list uchar int vertex_indices\nend_header\n".encode()


def ply_text(vertices: Array, faces: Array, extra: str = "", values: str = "") -> bytes:
    lines = text(XYZ + values, vertices) + text("3 %d %d %d", faces)
    return ply_header("ascii", len(vertices), len(faces), extra) + lines


def ply_body(vertices: Array, faces: Array, form: str = "<f4", count: int = 3) -> bytes:
    rows = np.zeros(len(faces), np.dtype([("count", "u1"), ("corners", form[0] + "i4", 3)]))
    rows["count"], rows["corners"] = count, faces
    return vertices.astype(form).tobytes() + rows.tobytes()


def glb(tree: Any, binary: bytes = b"") -> bytes:
    """Return a GLB of any JSON and bytes."""
    start, chunks = tree if isinstance(tree, bytes) else json.dumps(tree).encode(), b""
    for data, kind in ((start + b" " * (-len(start) % 4), b"JSON"), (binary + b"\0" * (-len(binary) % 4), b"BIN\0")):
        chunks += struct.pack("<I4s", len(data), kind) + data if data else b""
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


# fmt: off
def gltf_tree(vertices: Array, faces: Array, image: dict[str, Any] | None, extra: bytes) -> tuple[Any, bytes]:
    """Return the JSON and the buffer of a scene of one mesh; with an image there are its coordinates and view 3."""
    points, count = vertices.astype("<f4"), len(vertices)
    low, high = (np.nan_to_num(edge, posinf=0, neginf=0).tolist() for edge in (points.min(axis=0), points.max(axis=0)))
    views = [points.tobytes(), faces.astype("<u4").tobytes()]
    views += [] if image is None else [(vertices[:, :2] / LONG).astype("<f4").tobytes(), extra]
    starts = np.cumsum([0, *map(len, views)]).tolist()
    primitive: dict[str, Any] = {"attributes": {"POSITION": 0}, "indices": 1}
    tree: dict[str, Any] = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3", "min": low, "max": high},
                      {"bufferView": 1, "componentType": 5125, "count": 3 * len(faces), "type": "SCALAR"}],
        "bufferViews": [{"buffer": 0, "byteOffset": start, "byteLength": len(view)}
                        for view, start in zip(views, starts[:-1], strict=True)],
        "buffers": [{"byteLength": starts[-1]}],
    }
    if image is not None:
        tree["accessors"].append({"bufferView": 2, "componentType": 5126, "count": count, "type": "VEC2"})
        primitive |= {"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "material": 0}
        materials = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        tree |= {"materials": materials, "textures": [{"source": 0}], "images": [image]}
    return tree, b"".join(views)
# fmt: on


def edited(kind: str, edits: dict[str, Any], of: str | Mesh = "box", image: Any = None, extra: bytes = b"") -> bytes:
    """Return a GLB or a glTF in which the values at some paths of its JSON are others."""
    tree, binary = gltf_tree(*(shape(of) if isinstance(of, str) else of), image, extra)
    for path, value in edits.items():
        *way, last = [int(step) if step.isdigit() else step for step in path.split()]
        inner = tree
        for step in way:
            inner = inner[step]
        inner[last] = value
    if kind == "glb":
        return glb(tree, binary)
    tree["buffers"][0].setdefault("uri", data_uri(binary))
    return json.dumps(tree).encode()


def data_uri(data: bytes) -> str:
    return f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"


def painted_obj(uv: str = "") -> bytes:
    vertices, faces = shape("box")
    uvs = "".join(f"{uv or f'vt {k / 8:.4f} {1 - k / 8:.4f}'}\n" for k in range(8)).encode()
    corners = text("f %d/%d %d/%d %d/%d", np.repeat(faces + 1, 2, axis=1))
    return b"mtllib look.mtl\nusemtl look\n" + text(f"v {XYZ}", vertices) + uvs + corners


def picture(kind: str = "PNG", mode: str = "RGB", width: int = 32, height: int = 32) -> bytes:
    """Return a gradient in a format and mode of Pillow's."""
    Image.linear_gradient("L").resize((width, height)).convert(mode).save(buffer := io.BytesIO(), kind)
    return buffer.getvalue()


def claim(width: int, height: int) -> bytes:
    """Return a PNG that declares a size and holds next to nothing of it."""
    header = b"IHDR" + struct.pack(">II", width, height) + picture()[24:29]
    return picture()[:12] + header + struct.pack(">I", zlib.crc32(header)) + picture()[33:]


class Corpus(dict[str, Case]):
    """Cases by name. A star in a name puts a case into the selection that always runs."""

    def add(self, name: str, expect: Expected, files: dict[str, Any], fields: dict[str, Any]) -> None:
        expect, fast = "either" if fields.get("why") else expect, "*" in name
        case = Case(name.replace("*", ""), files, expect, **{"fast": fast} | fields)
        assert case.name not in self, f"{case.name} is there twice"
        self[case.name] = case

    def rows(self, family: str, expect: Expected, rows: dict[str, Any], **more: Any) -> None:
        """Add a case of every row: files, or what one holds; before it why either is fine, or a volume."""
        for name, row in rows.items():
            first, content = row if isinstance(row, tuple) else ("", row)
            files = content if isinstance(content, dict) else {f"mesh.{name.rpartition('.')[2]}": content}
            own = {"why": first} if isinstance(first, str) else {"of": "unit", "volume": first}
            self.add(f"{family}/{name}", expect, files, own | more)

    def edits(self, family: str, expect: Expected, paths: dict[str, Any], kind: str = "glb", **more: Any) -> None:
        """Add a scene for every value at a path of its JSON; a star is for the first of them."""
        for path, values in paths.items():
            for at, value in enumerate(values):
                name = f"{path if at == 0 else path.strip('*')} {str(value)[:24]}.{kind}"
                self.rows(family, expect, {name: edited(kind, {path.strip("*"): value})}, **more)

    def over(self, name: str, expect: Expected, on: str, change: Any = None, damage: Any = None, **more: Any) -> None:
        """Add a case of every "shape.format", one of each format if none is named: changed as a mesh, then as bytes."""

        def make(of: str, kind: str) -> bytes:
            data = encode(kind, *(change(*shape(of)) if change else shape(of)))
            return bytes(damage(data)) if damage else data

        for at, word in enumerate(on.split()):
            word += "" if "." in word else f".{FORMATS[at]}"
            of, _, kind = word.strip("*").partition(".")
            files = {f"mesh.{kind.partition('-')[0]}": partial(make, of, kind)}
            self.add(f"{name}/{word}", expect, files, {"of": of} | more)


# A case is a line or less, as in a table.
# fmt: off
def wrong_files(c: Corpus) -> None:
    odd, data, nan, inf = "NaN or infinite", plain("obj"), float("nan"), float("inf")
    for value, on in ((nan, "box mug bowl plate *sphere composite ell"), (inf, "*ell composite sphere mug bowl plate")):
        c.over(f"{value}/vertex", "refused", on, lambda v, f, x=value: (np.insert(v[1:], 3, [x, 0, 0], 0), f), says=odd)
    words = (b"nan(ind)", b"-1.#IND", b"1.#QNAN", b"NULL", b"0x1p3")
    c.rows("nan", "refused", {f"{word.decode()}.obj": data.replace(b"0.1", word, 1) for word in words})
    c.rows("nan", "asset", {"unused vertex.obj": data + b"v nan nan nan\n",
        "normals in ply.ply": ply_text(*shape("box"), "nx ny nz", " nan nan nan"),
        "vertex colours.ply": ply_text(*shape("box"), "red green blue", " nan nan 7e9")}, of="box")
    c.edits("nan", "refused", {"nodes 0 translation*": ([nan, 0, 0],), "nodes 0 scale": ([1e308] * 3,),
        "nodes 0 matrix": ([nan] * 16,), "nodes 0 rotation": ([nan, 0, 0, 1],)})
    ends = ("9*", "1000000000", "9" * 30, "0", "-9*", "1.5", "nan")
    c.rows("indices", "refused", {f"obj {end}.obj": data + f"f 1 2 {end.strip('*')}\n".encode() for end in ends})
    for value in (10**6, 2**31 - 1, -1, -(2**31)):
        on = f"{'*' * (value == -1)}mug.ply sphere.ply-ascii plate.glb"
        c.over(f"indices/{value}", "refused", on, lambda v, f, x=value: (v, np.insert(f[1:], 3, [0, 1, x], 0)))
    start, asset, kinds = data.partition(b"f")[0], {"asset": {"version": "2.0"}}, KINDS.split()
    c.rows("empty", "refused", {f"{'*' * (kind == 'stl')}no bytes.{kind}": b"" for kind in kinds}, says="0 bytes")
    c.rows("empty", "refused", {f"zeros.{kind}": bytes(1000) for kind in kinds})
    c.rows("header only", "refused", {f"ply of nothing {style}.ply": ply_header(style, 0, 0) for style in STYLES} | {
        "ascii.stl": b"solid nothing\nendsolid nothing\n", "binary.stl": bytes(84), "half a header.stl": bytes(42),
        "points.obj": start, "lines.obj": start + b"l 1 2 3 4\n", "*glb header.glb": glb(b"")[:12]})
    trees: dict[str, Any] = {"nothing": {}, "an asset": asset, "an empty scene": asset | {"scenes": [{"nodes": []}]},
        "a camera": asset | {"scenes": [{"nodes": [0]}], "nodes": [{"camera": 0}]}, "a list": [], "a word": "glTF"}
    c.rows("header only", "refused", {f"{k}.glb": glb(tree) for k, tree in trees.items()})
    c.rows("header only", "refused", {f"{k}.gltf": json.dumps(tree).encode() for k, tree in trees.items()})
    most = "mug.stl-ascii *box.stl bowl.ply-ascii composite.ply ell.glb plate.gltf"
    for share, on in ((10, most.replace("*", "")), (50, f"sphere.obj {most}"), (90, most.replace("*", ""))):
        c.over(f"truncated/{share}%", "refused", on, damage=lambda d, s=share: d[:s * len(d) // 100])
    c.over("truncated/one byte", "asset", "sphere.obj mug.stl-ascii bowl.ply-ascii", damage=lambda d: d[:-1])
    c.over("truncated/one byte", "refused", "box.stl composite.ply ell.glb plate.gltf", damage=lambda d: d[:-1])
    def over(share: float, run: bytes) -> Callable[[bytes], bytes]:
        return lambda d: d[:int(share * len(d))] + run + d[int(share * len(d)) + len(run):]
    most = "ell.stl-ascii *sphere.ply-ascii *bowl.ply box.glb plate.gltf"
    c.over("corrupted/a run of 0xFF near the end", "refused", most.replace("*", ""), damage=over(0.97, b"\xff" * 16))
    c.over("corrupted/the first bytes", "refused", most, damage=over(0, b"\xff" * 6))
    c.over("corrupted/floats of 0xFF", "refused", "mug.stl", damage=over(0.5, b"\xff" * 60), says=odd)
    stl, ply, data, head = plain("stl"), plain("ply-ascii"), plain("glb"), ply_header(STYLES[1], 8, 12)
    def number(data: bytes, at: int, value: int) -> bytes:
        return data[:at] + struct.pack("<I", value) + data[at + 4:]
    counts = (("*4 billion", 2**32 - 1), ("2 million", 2_000_000), ("one more", 13), ("one less", 11), ("none", 0))
    c.rows("lying", "refused", {f"stl of {what}.stl": number(stl, 80, n) for what, n in counts}, says="declares")
    c.rows("lying", "refused", {f"ply {style} of {a:.0e} and {b:.0e}.ply": ply_header(style, a, b) + bytes(300)
        for a, b in ((10**9, 12), (8, 10**9), (2**63, 1), (10**30, 10**30), (-8, 12), (8, -12)) for style in STYLES})
    c.rows("lying", "refused", {f"ply of {word}.ply": ply.replace(b"vertex 8", b"vertex " + word.encode())
        for word in ("1e9", "0x7fffffff", "many", "8.5", "8 8", "7")})
    c.rows("lying", "refused", {f"glb {what}.glb": number(data, at, count) for what, at, count in (
        ("longer than it is", 8, 2**32 - 1), ("json of 4 GiB", 12, 2**32 - 1), ("json too short", 12, 40),
        ("of version 1", 4, 1), ("binary of 4 GiB", data.index(b"BIN\0") - 4, 2**32 - 1))})
    body = shape("box")[0].astype("<f4").tobytes() + struct.pack("<I3i", 2**31, 0, 1, 2) * 12
    c.rows("lying", "refused", {"*ply face of 2 billion corners.ply": head.replace(b"uchar", b"uint") + body})
    c.edits("lying", "refused", {
        "accessors 0 count*": (10**400, 10**9, -1, 1.5, "eight", None), "accessors 1 count": (48, 35), "scene": (9,),
        "accessors 0 byteOffset": (10**6,), "accessors 1 byteOffset": (-8,), "accessors 0 componentType": (9999,),
        "accessors 0 type": ("VEC7", "MAT4"), "accessors 0 bufferView": (77, -1), "bufferViews 0 byteLength": (2**30,),
        "bufferViews 0 byteOffset": (10**6, -40), "bufferViews 0 byteStride*": (2**30, -12, 1), "nodes 0 mesh": (9,),
        "bufferViews 0 buffer": (3,), "scenes 0 nodes": ([9],), "meshes 0 primitives 0 indices": (9,)})


def wrong_solids(c: Corpus) -> None:
    def apart(v: Array, f: Array) -> Mesh:
        return v[f].reshape(-1, 3), np.arange(3 * len(f)).reshape(-1, 3)
    def fin(v: Array, f: Array) -> Mesh:
        tip = np.clip(v[f[0, :2]].mean(axis=0) + [0, 0, -0.01], v.min(axis=0), v.max(axis=0))
        return np.vstack([v, tip]), np.vstack([f, [f[0, 0], f[0, 1], len(v)]])
    def draw(f: Array) -> Array:
        return seeded(f"{len(f)}").permutation(len(f))[:, None] / len(f)
    for name, within, on, change in (
        ("duplicates/faces", 0.02, "mug *box plate ell composite bowl sphere", lambda v, f: (v, np.vstack([f, f, f]))),
        ("duplicates/vertices", 0.02, "plate sphere *ell mug box composite box", apart),
        ("duplicates/both sides", 0.1, "box.obj sphere.glb mug.ply", lambda v, f: (v, np.vstack([f, f[:, ::-1]]))),
        ("inverted/all faces", 0.02, "box mug composite plate bowl *ell hollow", lambda v, f: (v, f[:, ::-1])),
        ("inverted/half the faces", 0.02, "ell *plate mug composite sphere box bowl",
         lambda v, f: (v, np.where(draw(f) < 0.5, f[:, ::-1], f))),
        ("non-manifold/a fin", 0.15, "*box.obj sphere.stl mug.ply ell.glb bowl.gltf", fin),
        ("soup/torn by 0.3 %", 0.35, "*box.stl sphere.ply mug.glb bowl.obj composite.stl ell.gltf",
         lambda v, f: apart(v[f].reshape(-1, 3) + np.repeat(draw(f) - 0.5, 3, axis=0) * 1e-3, apart(v, f)[1])),
        ("holes/2 %", 0.1, "sphere.obj mug.stl bowl.ply plate.stl-ascii", lambda v, f: (v, f[draw(f)[:, 0] >= 0.02])),
        ("holes/one face", 0.15, "*box.stl ell.ply-ascii", lambda v, f: (v, f[draw(f)[:, 0] > 0])),
        ("holes/30 %", 1.0, "mug.obj bowl.glb sphere.ply composite.gltf", lambda v, f: (v, f[draw(f)[:, 0] >= 0.3])),
        ("zero area/some faces", 0.1, "sphere ell box mug *plate box composite",
         lambda v, f: (v, np.vstack([f, f[:, [0, 0, 0]], f[:, [0, 1, 1]]]))),
        ("crossing/two copies", 0.1, "box.obj mug.stl", lambda v, f: together((v, f), (v, f))),
        ("crossing/two copies 1 um apart", 0.1, "*box.obj mug.stl", lambda v, f: together((v, f), (v + 1e-6, f))),
    ):
        c.over(name, "asset", on, change, within=within, seconds=60)
    for name, (volume, *bounds) in {
        "non-manifold/a face in common*": (1.0, (0, 0, 0, 0.5, 1, 1), (0.5, 0, 0, 1, 1, 1)),
        "non-manifold/an edge in common": (0.5, (0, 0, 0, 0.5, 0.5, 1), (0.5, 0.5, 0, 1, 1, 1)),
        "pieces/two apart*": (0.2, (0, 0, 0, 0.4, 0.5, 0.5), (0.6, 0, 0, 1, 0.5, 0.5)),
        "pieces/two that overlap": (0.268, (0, 0, 0, 0.6, 0.5, 0.5), (0.4, 0.1, 0.1, 1, 0.6, 0.6)),
        "pieces/one within another": (1.0, (0, 0, 0, 1, 1, 1), (0.3, 0.3, 0.3, 0.6, 0.6, 0.6)),
    }.items():
        family, _, what = name.partition("/")
        c.rows(family, "asset", {f"{what}.obj": (volume, partial(boxes, *bounds))})
    good = {1e3: "mug.stl box.obj", 1e6: "*ell.ply", 1e8: "bowl.stl-ascii", 1e-6: "composite.obj", 1e-7: "*box.ply-ascii"}
    bad = {1e-9: "box.obj mug.stl", 1e-40: "sphere.ply", 1e-310: "plate.obj", 1e11: "ell.glb", 1e200: "*box.obj"}
    for factor, on in (good | bad).items():
        c.over(f"scale/{factor:.0e}", "asset" if factor in good else "refused", on, lambda v, f, by=factor: (v * by, f),
               says="" if factor in good else "units long|NaN or infinite|identical|too small")
    # what is asked for is the longest side alone, so that the others may be thinner than the least size of a side
    for name, by, says in (("*a wire", (1, 0.001, 0.0007), "too thin"), ("upright", (0.0008, 0.001, 1), "too thin"),
                           ("1 nm", (1, 1, 1e-8), "flat"), ("card", (1, 1, 0.01), ""), ("paper", (1, 1, 0.001), ""),
                           ("a foil", (1, 1, 0.00014), ""), ("a wall", (0.0005, 1, 1), "")):
        c.over("thin/" + name, "refused" if says else "asset", "box.obj", lambda v, f, b=by: (v * b, f), says=says, of="")
    for size, says in (((0.005,), ""), ((2.0,), ""), ((0.1, 0.06, 0.08), ""), ((0.1, 0.1, 0.1), "does not fit")):
        c.over(f"thin/a box of {size} m", "refused" if says else "asset", "box.obj", size=size, says=says)
    c.over("sheet/flat", "refused", "plate plate plate plate plate *plate plate", says="flat",
           change=lambda v, f: (v, f[(v[f][..., 2] < 1e-6).all(axis=1)]))
    c.over("sheet/half", "asset", "sphere.stl ell.obj bowl.glb mug.ply", of="", seconds=60,
           change=lambda v, f: (v, f[v[f].mean(axis=1)[:, 2] < np.ptp(v[:, 2]) / 2 + v[:, 2].min()]))
    for label, by in {"collinear": (1, 0, 0), "coplanar": (1, 1, 0), "identical*": (0, 0, 0)}.items():
        c.over(f"degenerate/all {label.strip('*')}", "refused", f"{label[9:]}mug.obj box.stl sphere.glb ell.ply",
               lambda v, f, by=by: (v * np.array(by), f), says="flat|units long|faces with an area")
    def dust(count: int, v: Array, f: Array) -> Mesh:  # around the thing, in part within it
        low = v.min(axis=0) + seeded("dust").random((count, 3)) * np.ptp(v, axis=0) * 0.999
        return together((v, f), boxes(*np.hstack([low, low + 5e-5])))
    for count, on in ((40, "*box.glb"), (300, "sphere.stl"), (3000, "box.obj mug.ply")):
        c.over(f"dust/{count} grains", "asset", on, partial(dust, count), within=0.05, seconds=90)
    c.over("many faces/a ball of 200k", "asset", "ball.stl ball.obj ball.glb ball.ply", seconds=60)
    c.over("many faces/2.1 million", "refused", "*box.obj", damage=lambda d: d + b"f 1 2 3\n" * 2_100_000, says="faces")
    c.over("many faces/7 million", "refused", "box.obj", damage=lambda d: b"v 0 0 0\n" * 7_000_000 + d, says="vert")


def scenes(c: Corpus) -> None:
    prose, mesh, view = b"this is no picture\n" * 50, plain("obj"), {"bufferView": 3, "mimeType": "image/png"}
    modes = ("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "CMYK"), ("WEBP", "RGB"), ("BMP", "1")
    def painted(expect: Expected, rows: dict[str, Any], uv: str = "", **more: Any) -> None:
        files = {"mesh.obj": painted_obj(uv), "look.mtl": b"newmtl look\nmap_Kd look.png\n"}
        looks = {f"{what} beside an OBJ": {"look.png": data} if data else {} for what, data in rows.items()}
        c.rows("texture", expect, {what: files | look for what, look in looks.items()}, **more)
    painted("asset", {f"{kind} of {mode.replace(';', '')}": picture(kind, mode) for kind, mode in modes}, of="box")
    painted("asset", {"*no picture at all": b"", "a picture 1 px high": picture(width=4000, height=1)}, of="box")
    for uv in ("vt nan nan*", "vt inf -inf", "vt 1e30 -1e30", "vt 0.5"):
        painted("asset", {uv: picture()}, uv.strip("*"), of="box")
    painted("refused", {"*text": prose}, says=r"look\.png")
    painted("refused", {"*a picture that claims 50,000 px": claim(50_000, 50_000)}, says="pixels")
    painted("refused", {"half a picture": picture()[:55], "no pixels": claim(0, 7), "a program": b"%!PS-Adobe-3.0\n"})
    painted("refused", {"a TIFF": picture("TIFF"), "a GIF": picture("GIF", "P")}, says="image; allowed are PNG")
    for what, image in {"whole": picture(), "text": prose, "half": picture()[:55], "a claim": claim(9, 50_000)}.items():
        c.rows("texture", "asset" if what == "whole" else "refused", {
            f"{what} in a view of a GLB.glb": edited("glb", {}, image=view, extra=image),
            f"{what} in a view.gltf": edited("gltf", {}, image=view, extra=image),
            f"{what} in a URI.gltf": edited("gltf", {}, image={"uri": data_uri(image)})}, of="box")
    ways = {"*up": "../../etc/passwd", "absolute": "/etc/passwd", "encoded": "%2e%2e/%2e%2e/a", "a drive": "C:\\a",
        "backslashes": "..\\..\\a", "a URL": "http://127.0.0.1:9/a", "a file": "file:///etc/a", "within": "a/../../a"}
    c.rows("traversal", "refused", {kind % way: files for way, name in ways.items() for kind, files in {
        "mtllib %s.obj": {"mesh.obj": f"mtllib {name}\n".encode() + mesh},
        "map_Kd %s": {"mesh.obj": painted_obj(), "look.mtl": f"newmtl look\nmap_Kd {name}\n".encode()},
        "image %s.gltf": {"mesh.gltf": edited("gltf", {}, image={"uri": name})},
        "buffer %s.gltf": {"mesh.gltf": edited("gltf", {"buffers 0 uri": name})},
        "TextureFile %s.ply": {"mesh.ply": plain("ply").replace(b"el", f"comment TextureFile {name}\nel".encode(), 1)}
    }.items()}, says="own folder")
    c.rows("traversal", "refused", {"a link out*": {"mesh.obj": painted_obj(), "look.mtl": Path("/etc/passwd")},
        "the mesh is a link": {"mesh.obj": Path("true.obj"), "true.obj": mesh}}, says="link")
    c.rows("json", "refused", {"*100,000 deep.glb": glb(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "a million deep.gltf": b'{"a":' * 1_000_000, "of 5000 digits.gltf": b'{"scene": ' + b"9" * 5000 + b"}"})
    one, root = {"mesh": 0}, "nodes 0 "
    chain = [*({"children": [k + 1]} for k in range(300)), one]
    c.edits("nodes", "asset", {f"{root}name": ("world", ""), "nodes": (chain,)}, of="box")
    c.edits("nodes", "refused", {f"{root}children*": ([0], [7], ["a"]), f"{root}scale*": ([0, 0, 0], [1, 0, 1]),
        f"{root}matrix": ([0] * 16, [1, 2, 3], ["one"] * 16),
        "nodes": ([one | {"children": [1]}, {"children": [0]}], [{"children": [1, 2]}, {"children": [2]}, one])})
    part = "meshes 0 primitives 0 "
    c.edits("primitives", "refused", {f"{part}mode*": (1, 0, 99), f"{part}attributes": ({},), f"{part}indices": (0,)})
    c.edits("primitives", "asset", {f"{part}mode": (5,), f"{part}indices": (None,)}, why="what is odd may be left out")
    required, packed = "extensionsRequired", (["KHR_draco_mesh_compression"], ["EXT_meshopt_compression"])
    c.edits("extensions", "refused", {f"{required}*": packed}, says="_compression")
    c.edits("extensions", "asset", {required: (["KHR_mesh_quantization"], ["ACME_secret"])}, why="plain data is there")
    binary = gltf_tree(*shape("box"), None, b"")[1]
    files = {"data.bin": binary, "dätä ☕.bin": binary, "short.bin": bytes(50), "zeros.bin": Path("/dev/zero")}
    for name, content in files.items():
        both = {"mesh.gltf": edited("gltf", {"buffers 0 uri": name}), name: content}
        c.rows("buffers", "asset" if content is binary else "refused", {f"in {name}": both}, of="box")
    c.edits("buffers", "refused", {"buffers 0 uri*": ("none.bin", "", "data:", "data:;base64,!!!!")}, kind="gltf")
    page, noise = b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 9, seeded("noise").bytes(5000)
    c.rows("garbage", "refused", {f"a web page.{kind}": page for kind in KINDS.split()})
    c.rows("garbage", "refused", {f"{'*' * (kind == 'obj')}random bytes.{kind}": noise for kind in KINDS.split()})
    mixed = {"obj": "stl ply-ascii", "stl": "obj ply *glb", "ply": "obj", "glb": "stl gltf", "gltf": "glb"}
    c.rows("wrong ending", "refused", {f"{of} named {kind}.{kind}": plain(of.strip("*"), "mug")
        for kind, others in mixed.items() for of in others.split()})
    c.rows("wrong ending", "asset", {"upper case.OBJ": plain("obj")}, of="box")
    for name in (" my mesh (1) .obj", "Öl – 杯子 ☕🫖.obj", 'it\'s "a" `mesh`.obj', "100%s %d {x} %2e.obj", "-mesh.obj",
                 "[bold]a[/bold].obj", "mesh#1?.obj", "..obj.a.obj", "a\\b.obj", "x" * 246 + ".obj", "two\nlines.obj",
                 "\u202egnp.obj", "Ma\u0308dchen.obj", "a\x1b[31mb.obj", os.fsdecode(b"M\xf6bel.obj"), "a b/ö/c.obj"):
        label = ascii(name)[1:20].replace("/", ":")
        c.rows("names", "asset", {f"{label}{'*' * ('Öl' in name)}": {name: plain("obj")}}, of="box")
        c.rows("names", "refused", {f"{label}, refused": {name: b"no mesh"}})
    (obj, stl, ply), (v, f) = (plain(kind, "ell") for kind in ("obj", "stl-ascii", "ply-ascii")), shape("ell")
    head = ply_header(STYLES[2], len(v), len(f))
    c.rows("dialect", "asset", {
        "*CRLF.obj": obj.replace(b"\n", b"\r\n"), "a.obj": b"\xef\xbb\xbf" + obj, "*tab.obj": obj.replace(b" ", b"\t"),
        "Latin-1.obj": b"o St\xfchle\n" + obj, "two spaces.obj": obj.replace(b" ", b"  "), "no end.obj": obj.rstrip(),
        "indented.obj": obj.replace(b"\n", b" \n "), "colours.obj": re.sub(rb"(?m)(v .*)$", rb"\1 0.5 0.2 0.9", obj),
        "named solid.stl": b"solid".ljust(80) + plain("stl", "ell")[80:], "CRLF.stl": stl.replace(b"\n", b"\r\n"),
        "upper case.stl": stl.upper(), "two.stl": stl + stl, "a long name.stl": stl.replace(b"broken", b"x" * 400, 1),
        "big-endian.ply": head + ply_body(v, f, ">f4"), "CRLF.ply": ply.replace(b"\n", b"\r\n"),
        "doubles.ply": head.replace(b"float", b"double") + ply_body(v, f, ">f8"),
        "one.ply": ply.replace(b"indices", b"index"), "C.ply": ply.replace(b"uchar int", b"uint8 int32")}, of="ell")
    c.rows("dialect", "refused", {"commas.obj": obj.replace(b".", b","), "commas.stl": stl.replace(b".", b","),
        "without z.ply": ply.replace(b"float z", b"float w"), "a strange type.ply": ply.replace(b"float x", b"quad x")})


@cache
def corpus() -> Corpus:
    """Return all cases by name."""
    whole = Corpus()
    for families in (wrong_files, wrong_solids, scenes):
        families(whole)
    return whole


# fmt: on
# What must come of a case
TO_DO = re.compile(
    r"\b(Re-export|Export|Simplify|Download|Copy|Give|Convert|Scale|Extrude|Close|Free|Choose|Say|Use|Save|Add|Move"
    r"|Remove|Triangulate|Mend|allowed are|give|There is no file)\b"
)
JARGON = re.compile(
    r"\b[A-Z][A-Za-z]+(Error|Exception|Warning)\b|Traceback|NoneType|object has no|not subscriptable|broadcast|numpy"
    r"|dtype|for axis|unhashable|\bnan to int|buffer size|literal for|codec can't"
)


def complaints(message: str) -> list[str]:
    """Return what is unclear in a refusal: it must be one line that names a file or a value and says what to do."""
    jargon = JARGON.search(message)
    faults = {
        "not one printable line": not message.strip() or len(message.splitlines()) != 1 or not message.isprintable(),
        f"{len(message)} letters long": len(message) > 500,
        "names neither a file nor a value": not re.search(r"[0-9'\"]", message),
        "does not say what to do": not TO_DO.search(message),
        f"speaks Python: {jargon}": bool(jargon),
    }
    return [fault for fault, there in faults.items() if there]


def faults(case: Case, folder: Path) -> list[str]:
    """Return what is wrong with the asset in a folder: its files, solid, size, mass, collision, and life in MuJoCo."""
    import mujoco

    from worldgen import mesh_solid, store, vocabulary
    from worldgen.assets import Asset
    from worldgen.sim import grasps

    asset, volume = Asset.load(folder), 0.0
    found, density = store.damage(folder), vocabulary.materials()[asset.material].density

    def must(fine: Any, fault: str) -> None:
        found.extend([] if fine else [fault])

    for part in asset.parts:
        lines = [line.split() for line in (folder / part.visual).read_text(encoding="ascii").splitlines()]
        vertices, uv = (np.array([line[1:] for line in lines if line[0] == kind], float) for kind in ("v", "vt"))
        faces = np.array([[end.split("/")[0] for end in line[1:]] for line in lines if line[0] == "f"], int) - 1
        own, area = mesh_solid.signed_volume(vertices, faces), trimesh.Trimesh(vertices, faces, process=False).area
        volume, sides = volume + own, np.ptp(vertices, axis=0)
        must(not mesh_solid.count_open_edges(faces), f"{part.visual} is open")
        must(len(faces) <= DRAWN, f"{len(faces):,} faces to draw; allowed are {DRAWN:,}")
        slack = 0.02 * part.mass + 1e-6 * area * density  # it is written to the micrometre
        must(abs(own * density - part.mass) <= slack, f"{own:.4g} m3 are {own * density:.4g} kg, not {part.mass:.4g}")
        must(np.isfinite(uv).all() and uv.min() >= 0 and uv.max() <= 1, f"uv from {uv.min()} to {uv.max()}")
        must(np.allclose(sides, asset.size, rtol=0.01, atol=1e-5), f"is {sides} m, its record says {asset.size}")
        must(abs(vertices[:, 2].min()) <= 5e-4, f"does not stand on z = 0 but {vertices[:, 2].min()}")
    Image.open(folder / asset.texture).load()
    if case.of not in ("", "unit") or len(case.size) == 3:
        wanted = case.size if len(case.size) == 3 else np.ptp(solid(case.of)[0], axis=0) * (case.size[0] / LONG)
        must(np.allclose(asset.size, wanted, rtol=0.04, atol=2e-6), f"size {asset.size} m, not {wanted}")
    must(abs(max(asset.size) / max(case.size) - 1) <= 0.035, f"longest side {max(asset.size)} m, not {case.size}")
    must(np.isfinite(asset.mass) and asset.mass > 0, f"mass {asset.mass} kg")
    share = volume / (solid(case.of or "unit")[2] * (max(case.size) / LONG) ** 3)
    fits = not case.of or abs(share / case.volume - 1) <= case.within
    must(fits, f"volume {share:.3f} of the true one where {case.volume:g} is expected")
    must(any(part.collision for part in asset.parts) and asset.fidelity is not None, "no collision, or no fidelity")
    must(len(asset.footprint) >= 3, f"footprint of {len(asset.footprint)} corners")

    world = mujoco.MjSpec()
    world.compiler.degree = False
    world.option.timestep, world.option.integrator = 0.002, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    world.meshdir = world.texturedir = str(folder.parent)
    world.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1])
    asset.add_to(world, "object", folder.name, (0.0, 0.0, 0.001), 0.0, fixed=False)
    model = world.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    weight = float(model.body_mass[1])
    must(abs(weight - asset.mass) <= 0.01 * asset.mass + 1e-6, f"MuJoCo weighs {weight} kg, the record {asset.mass}")
    extent = np.ptp(grasps.world_points(grasps.surface_points(model, 1, max(asset.size)), data), axis=0)
    off = np.maximum(np.abs(extent - asset.size) - 0.003 * max(asset.size) / LONG, 0) / max(asset.size)
    must(off.max() <= 0.12, f"collision is {extent} m around what is {asset.size} m")
    start = data.xipos[1].copy()
    mujoco.mj_step(model, data, 250)
    end = data.xipos[1]
    must(not any(warning.number for warning in data.warning) and np.isfinite(end).all(), "the simulation diverges")
    stays = -1e-3 <= end[2] <= start[2] + 0.02 and np.abs(end[:2] - start[:2]).max() <= 0.5
    must(stays, f"half a second later it is at {end}, from {start}")
    return found


@dataclass(frozen=True)
class Outcome:
    """What an import came to, in how much processor time of all its processes and in how much memory of any [bytes]."""

    kind: Literal["asset", "refused", "crashed"]
    message: str = ""  # of the refusal, or the trace of the crash: a stranger's exception, a signal, or no end
    problems: tuple[str, ...] = ()  # with the asset, the refusal, or what was left behind
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    memory: int = 0


def _import(case: Case, file: Path, folder: Path) -> None:
    """Import a file that was written before, look at what came of it, and leave the outcome in a file."""
    from worldgen import importing
    from worldgen.errors import WorldgenError

    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY))
    os.chdir(folder / "in")
    out, screen, problems = Path.cwd() / "asset", folder / "screen", list[str]()
    for stream in (1, 2):
        os.dup2(os.open(screen, os.O_RDWR | os.O_CREAT | os.O_APPEND), stream)

    def there() -> set[tuple[Path, int]]:
        kept = (path for path in Path.cwd().rglob("*") if path != out and out not in path.parents)
        return {(path, 0 if path.is_dir() else path.lstat().st_size) for path in kept}

    kind, message, notes, before = "asset", "", tuple[str, ...](), there()
    try:
        notes = importing.import_mesh(file, "toy", case.size, out).notes
    except WorldgenError as error:
        kind, message = "refused", str(error)
    except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
        kind, message = "crashed", traceback.format_exc()
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    if printed := screen.read_text(errors="replace").strip():
        problems.append(f"prints {printed[-300:]!r}")
    if left := there() ^ before:
        problems.append(f"leaves or changes {sorted(str(path) for path, _ in left)}")
    if kind == "refused":
        problems += complaints(message) + (["refuses, and leaves a folder"] if out.exists() else [])
    try:
        problems += faults(case, out) if kind == "asset" else []
    except Exception:  # noqa: BLE001 - whatever it is, it is a finding
        problems.append(f"the asset cannot be used: {traceback.format_exc(limit=-2)}")
    seconds = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    memory = max(own.ru_maxrss, others.ru_maxrss) << 10
    outcome = Outcome(kind, message, tuple(problems), notes, seconds, memory)  # type: ignore[arg-type]
    (folder / "outcome").write_bytes(pickle.dumps(outcome))


class Importer:
    """Imports one case after another, each in a fork of a process without threads that has loaded all it takes."""

    def run(self, case: Case, folder: Path) -> Outcome:
        """Return what an import of a case came to."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, "worldgen.importing", "mujoco"])
        for name, content in case.files.items():
            path = folder / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            made = content() if callable(content) else content
            if isinstance(made, Path):
                path.symlink_to(made)
            else:
                path.write_bytes(made if isinstance(made, bytes) else encode(path.suffix[1:], *made))
        mesh = folder / "in" / next(iter(case.files))
        process = context.Process(target=_import, args=(replace(case, files={}), mesh, folder))
        process.start()
        process.join(PATIENCE)
        if process.exitcode is None:
            os.killpg(process.pid or 0, signal.SIGKILL)
        elif process.exitcode == 0:
            return Outcome(**vars(pickle.loads((folder / "outcome").read_bytes())))
        return Outcome("crashed", f"ended with {process.exitcode}")


def verdict(case: Case, outcome: Outcome) -> list[str]:
    """Return what is not as it must be."""
    found, said = list(outcome.problems), outcome.message or "; ".join(outcome.notes)
    if outcome.kind == "crashed":
        found.append(f"crashes: {said}")
    elif case.expect not in (outcome.kind, "either"):
        found.append(f"is {outcome.kind} where it must be {case.expect}: {said}")
    elif not re.search(case.says, said):
        found.append(f"says {said!r}, not what matches {case.says!r}")
    limit = max(case.seconds, REBUILT) if "solid remeshed" in outcome.notes else case.seconds
    if outcome.seconds > limit:
        found.append(f"takes {outcome.seconds:.1f} s of processor time; allowed are {limit:g}")
    if outcome.memory > MEMORY:
        found.append(f"takes {outcome.memory / 2**30:.2f} GiB; allowed are {MEMORY / 2**30:g}")
    return found

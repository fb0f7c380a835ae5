"""The dialects of mesh files that are read, and the one line that says why a file is not."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from worldgen.errors import AssetError
from worldgen.importing import import_mesh
from worldgen.mesh_read import read

from .test_mesh import glb, parse, png

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
STL = (
    b"solid a\n"
    + b"".join(
        b"facet normal 0 0 0\nouter loop\n%bendloop\nendfacet\n"
        % b"".join(b"vertex %g %g %g\n" % tuple(p) for p in corners)
        for corners in POINTS[FACES]
    )
    + b"endsolid a\n"
)
BINARY_STL = (
    bytes(80) + struct.pack("<I", 4) + b"".join(bytes(12) + c.astype("<f4").tobytes() + bytes(2) for c in POINTS[FACES])
)
PLY = b"""ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
element face 4
property list uchar int vertex_indices
end_header
0 0 0
1 0 0
0 1 0
0 0 1
3 0 2 1
3 0 1 3
3 0 3 2
3 1 2 3
"""
BIG_PLY = (
    PLY.partition(b"0 0 0")[0].replace(b"ascii", b"binary_big_endian")
    + POINTS.astype(">f4").tobytes()
    + b"".join(b"\3" + face.astype(">i4").tobytes() for face in FACES)
)


def corners(path: Path) -> list[list[list[float]]]:
    """Return the corners of each triangle of a file, in order of their faces."""
    found = parse(path)
    triangles: list[list[list[float]]] = found["vertices"][found["faces"]].tolist()
    return sorted(triangles)


def uri(data: bytes, kind: str = "application/octet-stream") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def painted(picture: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the JSON of a glTF with a picture in its last view, and its buffer."""
    uv = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    blobs = [POINTS.astype("<f4").tobytes(), FACES.astype("<u4").tobytes(), uv.astype("<f4").tobytes(), picture]
    offsets = np.cumsum([0, *map(len, blobs)]).tolist()
    tree = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1, "material": 0}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5125, "count": 12, "type": "SCALAR"},
            {"bufferView": 2, "componentType": 5126, "count": 4, "type": "VEC2"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": start, "byteLength": len(blob)}
            for start, blob in zip(offsets, blobs, strict=False)
        ],
        "buffers": [{"byteLength": offsets[-1]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": 3, "mimeType": "image/png"}],
    }
    return tree, b"".join(blobs)


def saved(kind: str) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


def in_glb(tree: dict[str, Any], binary: bytes, folder: Path) -> Path:
    (folder / "a.glb").write_bytes(glb(tree, binary))
    return folder / "a.glb"


def in_view(tree: dict[str, Any], binary: bytes, folder: Path) -> Path:
    tree["buffers"][0]["uri"] = uri(binary)
    (folder / "a.gltf").write_text(json.dumps(tree))
    return folder / "a.gltf"


def in_file(tree: dict[str, Any], binary: bytes, folder: Path) -> Path:
    tree["buffers"][0]["uri"] = "a.bin"
    (folder / "a.bin").write_bytes(binary)
    (folder / "a.gltf").write_text(json.dumps(tree))
    return folder / "a.gltf"


def in_uri(tree: dict[str, Any], binary: bytes, folder: Path) -> Path:
    tree["images"] = [{"uri": uri(binary[tree["bufferViews"][3]["byteOffset"] :], "image/png")}]
    return in_view(tree, binary, folder)


def in_odd_uri(tree: dict[str, Any], binary: bytes, folder: Path) -> Path:
    """What does not begin with "data:" names a file, whatever follows."""
    tree["images"] = [{"uri": "x;base64," + base64.b64encode(binary[tree["bufferViews"][3]["byteOffset"] :]).decode()}]
    return in_view(tree, binary, folder)


Place = Callable[[dict[str, Any], bytes, Path], Path]


class TestPictures:
    """Wherever a glTF keeps a picture, the same formats and sizes are allowed."""

    @pytest.mark.parametrize("place", [in_glb, in_view, in_file, in_uri])
    def test_a_picture_is_read(self, place: Place, tmp_path: Path) -> None:
        assert parse(place(*painted(saved("PNG")), tmp_path))["texture"][0, 0].tolist() == [200, 30, 30]

    @pytest.mark.parametrize("place", [in_glb, in_view, in_file, in_uri])
    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (saved("GIF"), r"texture 'images\[0\]' is no readable image; allowed are PNG, .*Convert it"),
            (b"no picture", r"texture 'images\[0\]' is no readable image"),
            (png(50_000, 50_000), r"texture 'images\[0\]' has too many pixels; allowed are 64,000,000"),
        ],
        ids=["GIF", "text", "bomb"],
    )
    def test_others_are_refused(self, place: Place, data: bytes, says: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=says):
            parse(place(*painted(data), tmp_path))

    def test_what_only_looks_like_a_uri_of_data_is_not_decoded(self, tmp_path: Path) -> None:
        assert "texture" not in parse(in_odd_uri(*painted(saved("PNG")), tmp_path))

    def test_a_picture_beside_an_obj_may_have_any_name_but_not_any_size(self, tmp_path: Path) -> None:
        (tmp_path / "a.obj").write_bytes(b"mtllib a.mtl\nusemtl m\n" + OBJ)
        (tmp_path / "a.mtl").write_bytes(b"newmtl m\nmap_Kd look.dat\n")
        (tmp_path / "look.dat").write_bytes(png(50_000, 50_000))
        with pytest.raises(ValueError, match=r"'look\.dat' has too many pixels"):
            parse(tmp_path / "a.obj")


def each(pattern: bytes, by: bytes, data: bytes) -> bytes:
    return re.sub(pattern, by, data)


DIALECTS = {
    "byte-order mark.obj": b"\xef\xbb\xbf" + OBJ,
    "indented.obj": OBJ.replace(b"\n", b"\n \t"),
    "tabs.obj": OBJ.replace(b" ", b"\t"),
    "CRLF.obj": OBJ.replace(b"\n", b"\r\n"),
    "CR.obj": OBJ.replace(b"\n", b"\r"),
    "comments.obj": each(rb"\n(f [^\n]*)", rb"\n\1 # top\n # v 9 9 9", each(rb"(v [^\n]*)", rb"\1# corner", OBJ)),
    "continued.obj": each(rb"f (\d) (\d) (\d)", rb"f \1\\\n\2 \\ \n\3 # behind", OBJ),
    "comment that ends in a backslash.obj": b"# C:\\meshes\\\n" + OBJ,
    "mixed.obj": b"\xef\xbb\xbf#  M\xf6bel\r\n" + each(rb"f (\d)", rb"\tf\t\1 \\\r\n", OBJ).replace(b"\nv", b"\r\n  v"),
    "upper case.stl": STL.upper(),
    "capitals.stl": STL.title(),
    "no endsolid.stl": STL.replace(b"endsolid a\n", b""),
    "no end of the second.stl": STL + STL.replace(b"endsolid a\n", b""),
    "name.stl": STL.replace(b"solid a", b"solid vertex facet endsolid"),
    "byte-order mark.stl": b"\xef\xbb\xbf" + STL,
    "CR.stl": STL.replace(b"\n", b"\r"),
    "tabs.stl": STL.replace(b" ", b"\t"),
    "binary.stl": BINARY_STL,
    "binary named solid.stl": b"solid vertex".ljust(80) + BINARY_STL[80:],
    "binary named facet.stl": b"solid x\nfacet vertex endfacet endsolid".ljust(80) + BINARY_STL[80:],
    "Latin-1.ply": PLY.replace(b"element v", b"comment M\xf6bel end_header\nobj_info \xe4\nelement v"),
    "comment first.ply": PLY.replace(b"format", b"comment by hand\n\nformat"),
    "big-endian.ply": BIG_PLY,
    "big-endian, Latin-1.ply": BIG_PLY.replace(b"element v", b"comment M\xf6bel\nelement v"),
    "CRLF.ply": PLY.replace(b"\n", b"\r\n"),
    "blank lines.ply": PLY.replace(b"0 0 1\n", b"\n 0 0 1\n\n"),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_are_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(DIALECTS[name])
    times = 2 if "second" in name else 1
    assert corners(tmp_path / name) == sorted(POINTS[FACES].tolist() * times)


def test_names_may_hold_what_begins_a_comment_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_bytes(b"mtllib a#1.mtl\nusemtl red#2\n" + OBJ)
    (tmp_path / "a#1.mtl").write_bytes(b"\xef\xbb\xbfnewmtl red#2\nKd 1 0 0\n")
    assert parse(tmp_path / "a.obj")["colour"].tolist() == [255, 0, 0]


REFUSED = {
    "two numbers.obj": (OBJ.replace(b"v 1 0 0", b"v 1 0"), "fewer than three numbers: 'v 1 0'. Re-export"),
    "two numbers at the end.obj": (OBJ + b"v 1 0", "fewer than three numbers: 'v 1 0'. Re-export"),
    "two numbers.stl": (
        STL.replace(b"vertex 1 0 0", b"vertex 1 0"),
        "fewer than three numbers: 'vertex 1 0'. Re-export",
    ),
    "two numbers.ply": (PLY.replace(b"\n1 0 0", b"\n1 0"), "a vertex has fewer than 3 numbers: '1 0'. Re-export"),
    "two corners.obj": (OBJ + b"f 1 2 # 3\n", "fewer than three corners: 'f 1 2'. Re-export"),
    "zero byte.obj": (OBJ.replace(b"1 0 0", b"1\0 0 0"), "byte 11 is zero, which no text has. Save it as UTF-8"),
    "zero byte.stl": (STL.replace(b"vertex", b"vertex\0"), "byte 44 is zero, which no text has"),
    "zero byte.ply": (PLY.replace(b"\n1 0 0", b"\n1 \0 0"), "is zero, which no text has"),
    "UTF-16.obj": (OBJ.decode().encode("utf-16"), "byte 3 is zero, which no text has. Save it as UTF-8"),
    "prose.obj": (b"It was a dark night.\n" * 99, "no line 'v x y z' and none 'f a b c': not an OBJ file"),
    "prose.stl": (b"It was a dark night.\n" * 99, "without a line 'facet': not an STL file"),
    "prose.ply": (b"It was a dark night.\n" * 99, "no PLY header"),
    "prose.glb": (b"It was a dark night.\n" * 99, "not a GLB file. Export it as one"),
    "prose.gltf": (b"It was a dark night.\n" * 99, "its JSON cannot be read at character 0"),
    "cut within a facet.stl": (
        STL[: STL.rindex(b"vertex")],
        "4 'facet', 11 'vertex' and 3 'endfacet'; each facet has three vertices",
    ),
    "cut within a line.stl": (STL[: STL.rindex(b"\nendsolid")], "it ends within a line behind 4 facets"),
    "cut.stl": (BINARY_STL[:-1], "declares 4 faces, 284 bytes, but has 283. Download"),
    "cut, named solid.stl": (
        b"solid vertex".ljust(80) + BINARY_STL[80:-50],
        "declares 4 faces, 284 bytes, but has 234. Download",
    ),
    "a face too far.obj": (OBJ + b"f 1 2 9\n", "is no OBJ"),
    "negative.ply": (PLY.replace(b"3 0 2 1", b"3 0 -2 1"), "names vertex -2 of 4"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_line_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    data, says = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        parse(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1


def test_vertices_of_two_numbers_are_refused_in_a_gltf(tmp_path: Path) -> None:
    tree, binary = painted(saved("PNG"))
    tree["accessors"][0]["type"] = "VEC2"
    with pytest.raises(ValueError, match="2 numbers each; allowed are three"):
        parse(in_glb(tree, binary, tmp_path))


def test_a_whole_number_may_be_written_as_a_float(tmp_path: Path) -> None:
    tree, binary = painted(saved("PNG"))
    tree["accessors"][1] |= {"count": 12.0, "byteOffset": 0.0}
    tree["meshes"][0]["primitives"][0]["indices"] = 1.0
    tree["bufferViews"][1]["byteLength"] = 48.0
    found = parse(in_glb(tree, binary, tmp_path))
    assert found["faces"].tolist() == FACES.tolist()
    tree["accessors"][1]["count"] = 11.5
    with pytest.raises(ValueError, match=r"declares 11\.5 elements in accessors\[1\]"):
        parse(in_glb(tree, binary, tmp_path))


def test_a_buffer_whose_name_no_file_can_have_is_missing(tmp_path: Path) -> None:
    for name in ("x" * 300, "a\0b", "\ud800"):
        tree, _ = painted(saved("PNG"))
        tree["buffers"][0]["uri"] = name
        (tmp_path / "a.gltf").write_text(json.dumps(tree))
        with pytest.raises(ValueError, match=r"which is not there\. Copy the file"):
            parse(tmp_path / "a.gltf")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("two\nlines.obj", r"two\nlines.obj"), ("a\x1b[31mb.obj", r"a\x1b[31mb.obj"), ("\u202egnp.obj", r"\u202egnp.obj")],
)
def test_names_are_shown_without_control_characters(name: str, shown: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(AssetError, match=re.escape(f"{shown}' is empty (0 bytes). Download or export it again.")):
        read(tmp_path / name)


def test_names_inside_a_file_are_shown_without_control_characters(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_bytes(b"mtllib ../\x1b[31m.mtl\n" + OBJ)
    with pytest.raises(AssetError, match=r"a\.obj': it refers to '\.\./\\x1b\[31m\.mtl'; only files") as caught:
        read(tmp_path / "a.obj")
    assert str(caught.value).isprintable()


def test_a_folder_of_300_letters_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_bytes(OBJ)
    for out in (tmp_path / ("x" * 300), tmp_path / ("ä" * 128) / "a"):
        with pytest.raises(
            AssetError, match=r"has (300|256) bytes.* at most 255 a name\. Give a shorter one with --out"
        ):
            import_mesh(tmp_path / "a.obj", "box", (0.1,), out)

"""Parse one untrusted mesh file into arrays. Runs in a child process; `mesh_read` is the way in.

Each refusal is a ValueError whose message is a whole sentence. Sizes are checked from headers, before anything of that size
is made. A file is first put into the one dialect of its format that trimesh reads (`plain_...`).
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .child import Arrays

MAX_FACES = 2_000_000
MAX_VERTICES = 3 * MAX_FACES
MAX_PIXELS = 64_000_000
MAX_HEADER = 16 << 20
"""Size of a GLB's JSON [bytes]."""
MAX_TEXTURE = 2048
"""Longest side of the texture that is kept [px]."""
MAX_PIECES = 4096
"""Placed meshes in one scene."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
UNREADABLE = {"KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression", "KHR_texture_basisu"}


class Piece(NamedTuple):
    """One mesh of a scene, where it stands, with an image of its own."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    uv: NDArray[np.float64]
    """(F, 3, 2)."""
    image: NDArray[np.uint8]
    """(H, W, 3); 1 x 1 for a plain colour."""
    tiny: bool
    """Whether each texel is a colour of its own, not to be blended with its neighbours."""


def parse(arrays: Arrays) -> Arrays:
    """Return vertices, faces, colour and, if there is one, uv and texture of the file at `path`."""
    path = Path(str(arrays["path"]))
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    return _merge(_load(path.read_bytes(), path.suffix.lower()[1:], Folder(path.parent)))


class Folder:
    """The files beside a mesh, as trimesh's resolver: plain names only, no way out of the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.held: dict[str, bytes] = {}
        """What a glTF holds itself, already checked, by the names that its plain form uses."""
        self.refused: list[str] = []
        """trimesh swallows errors in here, so they are kept."""

    def __getitem__(self, name: str) -> bytes:
        """Return the bytes of a file in the folder or below."""
        with self._remembered():
            return self.held[name] if name in self.held else self._read(unquote(name).strip().replace("\\", "/"))

    def get(self, name: str) -> bytes:
        """Return a picture in the folder or below; trimesh asks for pictures, and nothing else, by this method."""
        data = self[name]
        with self._remembered():
            check_image(data, name)
        return data

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            self.refused.append(str(error))
            raise

    def _read(self, name: str) -> bytes:
        pure = PurePosixPath(name.removeprefix("./"))
        if pure.is_absolute() or ".." in pure.parts or ":" in name:
            raise ValueError(f"it refers to '{name[:80]}'; only files in its own folder are read. Copy the file there.")
        path = self.root / pure
        try:
            inside, there = path.resolve().is_relative_to(self.root.resolve()), path.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # too long, a link to itself, or with a zero byte
            raise FileNotFoundError(name) from error
        if not inside:
            raise ValueError(f"it refers to '{name[:80]}', a link out of its folder. Copy the file there.")
        if not there:
            raise FileNotFoundError(name)  # trimesh goes on without: a missing texture is no reason to refuse
        if path.stat().st_size > 256 << 20:
            raise ValueError(f"it refers to '{name[:80]}', {path.stat().st_size} bytes; at most 256 MiB are read.")
        data = path.read_bytes()
        return _utf8(data) if path.suffix.lower() == ".mtl" else data


def check_count(what: str, count: object, limit: int) -> int:
    """Return a number, unless it is too large or not one."""
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"it declares {str(count)[:20]} {what}, which is no number of them. Export it again.")
    if count > limit:
        told = f"{count:,}" if count < 10**18 else "more than 10^18"
        raise ValueError(f"it declares {told} {what}; allowed are at most {limit:,}. Simplify it first.")
    return count


def check_image(data: bytes, name: str) -> None:
    """Refuse an image by its header: unknown formats and more pixels than anyone needs."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"texture '{name[:80]}' has too many pixels; allowed are {MAX_PIXELS:,}. Scale it down."
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise ValueError(
            f"texture '{name[:80]}' is no readable image; allowed are {', '.join(FORMATS)}. Convert it."
        ) from error
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"texture '{name[:80]}' has {width} x {height} pixels; allowed are {MAX_PIXELS:,} in all. Scale it down."
        )


def check_rows(text: bytes, key: bytes, what: str) -> None:
    """Refuse a line of fewer than three values behind its key word."""
    if short := re.search(rb"\n *(" + key + rb"(?: +[^ \n]++){0,2}) *(?:\n|$)", text):
        raise ValueError(f"{what}: '{short[1][:40].decode(errors='replace')}'. Re-export it.")


def plain_stl(data: bytes, folder: Folder) -> bytes:
    """Return a binary STL as it is, and text in lower case without names; its length is what its header says."""
    count = struct.unpack_from("<I", data, 80)[0] if len(data) >= 84 else 0
    if count and len(data) == 84 + 50 * count:
        check_count("faces", count, MAX_FACES)
        return data
    if b"\0" in data[:84] and b"facet" not in data[:4096].lower().replace(b"\0", b""):  # text may be UTF-16
        raise ValueError(
            f"it declares {count:,} faces, {84 + 50 * count:,} bytes, but has {len(data):,}. Download it again."
        )
    text = re.sub(rb"\n *(end)?solid\b[^\n]*", rb"\n\1solid", _text(data).lower())
    whole, begun, corners = text.count(b"endfacet"), text.count(b"facet"), text.count(b"vertex")
    check_count("faces", whole, MAX_FACES)
    if not begun:
        raise ValueError("it is text without a line 'facet': not an STL file, or an empty one. Export it as one.")
    check_rows(text, b"vertex", "a vertex has fewer than three numbers")
    if begun != 2 * whole or corners != 3 * whole:
        raise ValueError(
            f"it has {begun - whole:,} 'facet', {corners:,} 'vertex' and {whole:,} 'endfacet'; each facet has three vertices and an end. Download or export it again."
        )
    if text.rfind(b"endsolid") > text.rfind(b"facet"):
        return text
    if not text.endswith(b"\n"):
        raise ValueError(
            f"it ends within a line behind {whole:,} facets, so it was cut off. Download or export it again."
        )
    return text + b"endsolid\n"  # not all writers end their solids


def plain_ply(data: bytes, folder: Folder) -> bytes:
    """Return a PLY without comments and blank lines; the element counts of its header are ones that it can hold."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    end = re.search(rb"(?:^|\r)end_header[ \t]*(?:\r?\n|\r|\Z)", data[: 64 << 10], re.MULTILINE)
    if not data.startswith(b"ply") or not end:
        raise ValueError("it has no PLY header ('ply' ... 'end_header' within 64 KiB). Export it again.")
    lines = [line.strip() for line in _utf8(data[: end.start()]).splitlines()]
    lines = [line for line in lines if not re.match(rb"(?i)(?:comment|obj_info)\b(?!\s+texturefile)|$", line)]
    elements = list[tuple[str, int, list[bytes]]]()
    for line in lines:
        if element := re.match(rb"element\s+(\S+)\s*(.*)", line):
            name, told = (part.decode("ascii", "replace") for part in element.groups())
            count = int(told[:20]) if re.fullmatch(r"\d+", told) else told
            what, limit = ("faces", MAX_FACES) if name == "face" else (f"{name[:40]} elements", MAX_VERTICES)
            elements.append((name, check_count(what, count, limit), []))
        elif line.startswith(b"property") and elements:
            elements[-1][2].append(line)
    total, body = sum(count for _, count, _ in elements), data[end.end() :]
    if total > len(data):
        raise ValueError(f"it declares {total:,} elements but has {len(data):,} bytes. Download it again.")
    if any(re.match(rb"format\s+ascii", line) for line in lines):
        body = re.sub(rb"\n\s+", b"\n", _text(body, end.end())).strip()
        _check_ply_rows(elements, body.split(b"\n"))
    return b"\n".join([*lines, b"end_header", body])


def _check_ply_rows(elements: list[tuple[str, int, list[bytes]]], rows: list[bytes]) -> None:
    """Refuse text with fewer lines than elements, or fewer numbers in a line than properties."""
    total, start = sum(count for _, count, _ in elements), 0
    if len(rows) < total:
        raise ValueError(f"it declares {total:,} elements but has {len(rows):,} lines. Download it again.")
    for name, count, properties in elements:
        if not any(re.match(rb"property\s+list\b", each) for each in properties):
            for row in rows[start : start + count]:
                if len(row.split()) < len(properties):
                    raise ValueError(
                        f"a {name[:40]} has fewer than {len(properties)} numbers: '{row[:40].decode(errors='replace')}'. Re-export it."
                    )
        start += count


def plain_obj(data: bytes, folder: Folder) -> bytes:
    """Return an OBJ with one statement a line and no comments; it has no index 0, which would silently mean the last vertex."""
    text = re.sub(rb"\n *((?:(?:v[tn]?|f) |[-\d])[^#\n]*+)?#[^\n]*", rb"\n\1", _text(data))
    text = re.sub(rb"\\ *\n", b" ", text)
    text = re.sub(rb"\n +", b"\n", text)
    if not re.search(rb"\n[vf] ", text):
        raise ValueError(
            "it has no line 'v x y z' and none 'f a b c': not an OBJ file, or an empty one. Export it as one."
        )
    check_count("vertices", text.count(b"\nv "), MAX_VERTICES)
    check_count("faces", text.count(b"\nf "), MAX_FACES)
    if re.search(rb"\nf[^\n]* 0(?:[/ \n]|$)", text):
        raise ValueError("a face has vertex index 0; OBJ counts from 1. Re-export it.")
    check_rows(text, b"f", "a face has fewer than three corners")
    check_rows(text, b"v", "a vertex has fewer than three numbers")
    return text


def _text(data: bytes, start: int = 0) -> bytes:
    """Return text, at this byte of its file, as UTF-8 with plain line ends and blanks, a line end before the first line."""
    if (at := data.find(b"\0")) >= 0:
        raise ValueError(f"byte {start + at:,} is zero, which no text has. Save it as UTF-8 text, or export it again.")
    return b"\n" + _utf8(data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\t", b" ")


def _utf8(text: bytes) -> bytes:
    return text.decode("utf-8-sig", errors="replace").encode()  # comments in other encodings stop trimesh


def plain_glb(data: bytes, folder: Folder) -> bytes:
    """Return a GLB as glTF; its chunks are what its bytes hold."""
    if len(data) < 20 or data[:4] != b"glTF":
        raise ValueError("it does not start with 'glTF': not a GLB file. Export it as one.")
    version, total, length, kind = struct.unpack_from("<IIII", data, 4)
    if version != 2 or total > len(data) or kind != 0x4E4F534A or length > len(data) - 20:
        raise ValueError(
            f"its header (version {version}, {total:,} bytes, JSON {length:,}) does not fit {len(data):,} bytes. Download it again."
        )
    check_count("bytes of JSON", length, MAX_HEADER)
    binary = 0
    if len(data) >= 28 + length:
        binary = struct.unpack_from("<I", data, 20 + length)[0]
        if binary > len(data) - 28 - length:
            raise ValueError(f"its binary chunk declares {binary:,} bytes, more than the file has. Download it again.")
    return plain_gltf(data[20 : 20 + length], folder, data[28 + length : 28 + length + binary])


def plain_gltf(data: bytes, folder: Folder, binary: bytes = b"") -> bytes:
    """Return a glTF whose buffers and images the folder holds, the images checked; its counts fit its bytes."""
    tree = _tree(data)
    try:
        _check_accessors(tree)
        _check_scene(tree)
        _hold_buffers(tree, folder, binary)
        return json.dumps(tree).encode()
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            "its JSON is not glTF: something in it is missing or of another kind. Export it again."
        ) from error


def _hold_buffers(tree: dict[str, Any], folder: Folder, binary: bytes) -> None:
    buffers, images = list[bytes](), tree.get("images", [])
    for buffer in tree.get("buffers", []):
        found = _fetched(buffer["uri"], folder) if "uri" in buffer else binary
        if found is None:
            raise ValueError(f"it refers to '{buffer['uri'][:80]}', which is not there. Copy the file beside it.")
        buffers.append(found)
    check_count("images", len(images), MAX_PIECES)
    for index, image in enumerate(images):
        name, uri = f"images[{index}]", image.get("uri", "")
        if "bufferView" in image:
            view = tree["bufferViews"][image["bufferView"]]
            start = view.get("byteOffset", 0)
            found = buffers[view["buffer"]][start : start + view["byteLength"]]
        else:
            found = _fetched(uri, folder)
        images[index] = {}
        if found is not None:  # a missing texture is no reason to refuse
            check_image(found, uri if uri and not uri.startswith("data:") else name)
            folder.held[name], images[index] = found, {"uri": name}
    folder.held |= {f"buffers[{index}]": held for index, held in enumerate(buffers)}
    tree["buffers"] = [{"uri": f"buffers[{index}]"} for index in range(len(buffers))]


def _fetched(uri: str, folder: Folder) -> bytes | None:
    """Return what a URI holds or names; None when there is no such file."""
    try:
        return base64.b64decode(uri.partition(",")[2]) if uri.startswith("data:") else folder[uri]
    except FileNotFoundError:
        return None
    except binascii.Error as error:
        raise ValueError(f"'{uri[:40]}...' is not base64: {error}. Re-export it.") from error


def _tree(text: bytes) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = json.loads(text, parse_float=_number)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos:,}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"its JSON cannot be read{where}. Download or export it again.") from error
    return tree


def _number(text: str) -> float:
    """Return a number of JSON, which knows no other kind: 36.0 may be a count."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _check_accessors(tree: dict[str, Any]) -> None:
    if blocked := sorted(UNREADABLE & set(tree.get("extensionsRequired", []))):
        raise ValueError(f"it needs {', '.join(blocked)}, which is not supported. Export without compression.")
    for index, accessor in enumerate(tree.get("accessors", [])):
        # Elements that no bytes stand behind are zeros by definition: a few characters could ask for gigabytes.
        check_count(f"elements in accessors[{index}]", accessor["count"], 3 * MAX_FACES)
        if "bufferView" in accessor:
            length = tree["bufferViews"][accessor["bufferView"]]["byteLength"]
            if accessor["count"] > length:
                raise ValueError(
                    f"accessors[{index}] declares {accessor['count']:,} elements in {length:,} bytes. Export it again."
                )
    total = sum(accessor["count"] for accessor in tree.get("accessors", []))
    check_count("elements in all accessors", total, 8 * MAX_VERTICES)


def _check_scene(tree: dict[str, Any]) -> None:
    """Refuse a scene that is no tree, or that repeats its meshes into more faces than allowed."""
    nodes, accessors = tree.get("nodes", []), tree.get("accessors", [])
    children = [child for node in nodes for child in node.get("children", [])]
    inner = set(children)
    if inner and not 0 <= min(inner) <= max(inner) < len(nodes):
        raise ValueError(f"a node of its scene has child {max(inner)} of {len(nodes)} nodes. Re-export it.")
    front, reached = [index for index in range(len(nodes)) if index not in inner], 0
    while front and len(inner) == len(children):
        reached += 1
        front += nodes[front.pop()].get("children", [])
    if reached < len(nodes):  # from the roots: what is its own ancestor has none
        raise ValueError(
            "a node of its scene has two parents or is its own ancestor; glTF scenes are trees. Re-export it."
        )
    check_count("nodes", len(nodes), MAX_PIECES * 4)
    faces = 0
    for node in nodes:
        if "mesh" in node:
            for primitive in tree["meshes"][node["mesh"]]["primitives"]:
                corners = primitive.get("indices", primitive["attributes"].get("POSITION"))
                faces += accessors[corners]["count"] if corners is not None else 0
    check_count("face corners", faces, 3 * MAX_FACES)


PLAIN: dict[str, Callable[[bytes, Folder], bytes]] = {
    "glb": plain_glb,
    "gltf": plain_gltf,
    "obj": plain_obj,
    "ply": plain_ply,
    "stl": plain_stl,
}
UNFIT = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    NameError,
    NotImplementedError,
    ArithmeticError,
    struct.error,
)
"""What trimesh raises when it cannot make sense of a file."""


def _load(data: bytes, kind: str, folder: Folder) -> list[Piece]:
    import trimesh  # takes a second and is needed in the child only

    text, scene, cause = PLAIN[kind](data, folder), None, None
    form = "gltf" if kind == "glb" else kind
    try:
        scene = trimesh.load_scene(io.BytesIO(text), file_type=form, resolver=folder, process=False)
    except UNFIT as error:
        cause = error
    if folder.refused:
        raise ValueError(folder.refused[0]) from cause
    if scene is None:
        raise ValueError(
            f"its content is no {kind.upper()}: numbers or names in it do not fit. Export it again."
        ) from cause
    placed = [(name, scene.graph[name]) for name in scene.graph.nodes_geometry]
    placed = [(scene.geometry[key], matrix) for _, (matrix, key) in sorted(placed, key=lambda item: item[0])]
    placed = [(mesh, matrix) for mesh, matrix in placed if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)]
    check_count("objects", len(placed), MAX_PIECES)
    check_count("faces", sum(len(mesh.faces) for mesh, _ in placed), MAX_FACES)
    check_count("vertices", sum(len(mesh.vertices) for mesh, _ in placed), MAX_VERTICES)
    if not placed:
        raise ValueError("it holds no triangles; points and lines are no solid. Export its surface.")
    return [_piece(mesh, np.asarray(matrix, float), form == "gltf") for mesh, matrix in placed]


def _piece(mesh: Any, matrix: NDArray[np.float64], linear: bool) -> Piece:
    vertices, faces = np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int64)
    if vertices.shape[1:] != (3,):
        raise ValueError(f"its vertices have {vertices.shape[-1]} numbers each; allowed are three. Re-export it.")
    if (lost := faces[(faces < 0) | (faces >= len(vertices))]).size:
        raise ValueError(f"a face names vertex {lost[0]} of {len(vertices)}. Re-export it.")
    vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
    uv, image, tiny = _look(mesh, faces, linear)
    if np.linalg.det(matrix[:3, :3]) < 0:  # a mirror turns faces inside out
        faces, uv = faces[:, ::-1], uv[:, ::-1]
    return Piece(vertices, faces, uv, image, tiny)


def _look(mesh: Any, faces: NDArray[np.int64], linear: bool) -> tuple[NDArray[np.float64], NDArray[np.uint8], bool]:
    """Return uv of each corner and the image it points into; glTF's factors and vertex colours are linear light."""
    visual = mesh.visual
    if visual.kind in ("vertex", "face"):
        colours = np.asarray(visual.face_colors if visual.kind == "face" else visual.vertex_colors)[:, :3]
        per_face = colours if visual.kind == "face" else colours[faces].mean(axis=1)
        return _palette(_encode(per_face / 255) if linear else per_face.astype(np.uint8))
    material = getattr(visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", None)
    if factor is None:
        factor = getattr(material, "diffuse", None) if image is None else None
    plain = np.array([180, 180, 180] if factor is None and image is None else 255 if factor is None else factor[:3])
    plain = np.broadcast_to(plain, 3)
    plain = _encode(plain / 255) if linear and factor is not None else plain.astype(np.uint8)
    uv = getattr(visual, "uv", None)
    if image is None or uv is None or len(np.shape(uv)) != 2 or np.shape(uv)[1] < 2 or not np.isfinite(uv).all():
        return np.full((len(faces), 3, 2), 0.5), plain.reshape(1, 1, 3), True
    pixels = _pixels(image)
    if (plain < 255).any():
        pixels = (pixels * (plain / 255)).astype(np.uint8)
    corners = np.asarray(uv, float)[faces][..., :2]
    corners -= np.floor(corners.min(axis=1, keepdims=True) + 1e-6)  # repeated tiles: shift each face into the first
    return np.clip(corners, 0, 1), pixels, False


def _encode(linear: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(255 * np.clip(linear, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def _pixels(image: Any) -> NDArray[np.uint8]:
    if image.format not in (*FORMATS, None):  # some others start programs when they are decoded
        raise ValueError(f"a texture is {image.format}; allowed are {', '.join(FORMATS)}. Convert it.")
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"a texture has {image.width} x {image.height} pixels; allowed are {MAX_PIXELS:,} in all. Scale it down."
        )
    try:
        image = image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"a texture is damaged: {str(error)[:80]}. Re-export it.") from error
    image.thumbnail((MAX_TEXTURE, MAX_TEXTURE))
    return np.asarray(image, np.uint8)


def _palette(colours: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.uint8], bool]:
    """Return a small image of the colours of faces, one texel each, and uv that point at texel centres."""
    coarse = np.asarray(colours & 0xF0 | 0x08, np.uint8)  # 4 bits a channel: at most 4096 texels
    if (colours == colours[0]).all():
        coarse = colours
    texels, index = np.unique(coarse, axis=0, return_inverse=True)
    side = int(np.ceil(np.sqrt(len(texels))))
    image = np.zeros((side * side, 3), np.uint8)
    image[: len(texels)] = texels
    row, column = np.divmod(index.ravel(), side)
    uv = np.stack([(column + 0.5) / side, 1 - (row + 0.5) / side], axis=1)
    return np.repeat(uv[:, None], 3, axis=1), image.reshape(side, side, 3), True


def _merge(pieces: list[Piece]) -> Arrays:
    """Return all pieces as one mesh; several images become the cells of a square atlas."""
    offsets = np.cumsum([0, *(len(piece.vertices) for piece in pieces[:-1])])
    result: Arrays = {
        "vertices": np.concatenate([piece.vertices for piece in pieces]),
        "faces": np.concatenate([piece.faces + offset for piece, offset in zip(pieces, offsets, strict=True)]),
    }
    images: dict[bytes, int] = {}
    which = [images.setdefault(_digest(piece.image), len(images)) for piece in pieces]
    distinct = {index: piece for piece, index in zip(reversed(pieces), reversed(which), strict=True)}
    weights = np.bincount(which, [len(piece.faces) for piece in pieces])
    means = np.array([distinct[k].image.reshape(-1, 3).mean(axis=0) for k in range(len(images))])
    result["colour"] = np.rint(np.average(means, axis=0, weights=weights)).astype(np.uint8)
    if len(images) == 1 and pieces[0].image.size == 3:
        return result
    if len(images) == 1:
        return result | {"uv": np.concatenate([piece.uv for piece in pieces]), "texture": pieces[0].image}
    side = int(np.ceil(np.sqrt(len(images))))
    largest = max(max(piece.image.shape[:2]) for piece in pieces)
    cell = int(np.clip(largest, 4, max(MAX_TEXTURE // side, 4)))
    atlas = np.zeros((side * cell, side * cell, 3), np.uint8)
    for index, piece in distinct.items():
        row, column = divmod(index, side)
        way = Image.Resampling.NEAREST if piece.tiny else Image.Resampling.BILINEAR
        small = np.asarray(Image.fromarray(piece.image).resize((cell, cell), way))
        atlas[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = small
    uvs = []
    for piece, index in zip(pieces, which, strict=True):
        row, column = divmod(index, side)
        inset = (0.5 + piece.uv * (cell - 1)) / cell  # half a texel from the border, so that neighbours do not bleed in
        uvs.append((inset + np.array([column, side - 1 - row])) / side)
    return result | {"uv": np.concatenate(uvs), "texture": atlas}


def _digest(image: NDArray[np.uint8]) -> bytes:
    return repr(image.shape).encode() + image.tobytes()

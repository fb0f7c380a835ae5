"""Parse one untrusted mesh file into arrays. Runs in a child process; `mesh_read` is the way in.

Each refusal is a ValueError whose message is a whole sentence. Sizes are checked from headers, before anything of that size
is made.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import struct
import warnings
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
    data, kind = path.read_bytes(), path.suffix.lower()[1:]
    folder = Folder(path.parent)
    {"glb": check_glb, "gltf": check_gltf, "obj": check_obj, "ply": check_ply, "stl": check_stl}[kind](data)
    pieces = _load(data, kind, folder)
    if folder.refused:
        raise ValueError(folder.refused[0])
    return _merge(pieces)


class Folder:
    """The files beside a mesh, as trimesh's resolver: plain names only, no way out of the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.refused: list[str] = []
        """trimesh swallows errors in here, so they are kept."""

    def get(self, name: str) -> bytes:
        """Return the bytes of a file in the folder or below."""
        try:
            return self._get(unquote(str(name)).strip().replace("\\", "/"))
        except ValueError as error:
            self.refused.append(str(error))
            raise

    __getitem__ = get

    def _get(self, name: str) -> bytes:
        pure = PurePosixPath(name.removeprefix("./"))
        if pure.is_absolute() or ".." in pure.parts or ":" in name:
            raise ValueError(f"it refers to '{name[:80]}'; only files in its own folder are read. Copy the file there.")
        path = self.root / pure
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ValueError(f"it refers to '{name[:80]}', a link out of its folder. Copy the file there.")
        if not path.is_file():
            raise FileNotFoundError(name)  # trimesh goes on without: a missing texture is no reason to refuse
        if path.stat().st_size > 256 << 20:
            raise ValueError(f"it refers to '{name[:80]}', {path.stat().st_size} bytes; at most 256 MiB are read.")
        data = path.read_bytes()
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tga", ".tif", ".tiff", ".gif"):
            check_image(data, name)
        return _utf8(data) if path.suffix.lower() == ".mtl" else data


def check_count(what: str, count: object, limit: int) -> None:
    """Refuse a number that is too large or not one."""
    if not isinstance(count, int) or count < 0:
        raise ValueError(f"it declares {str(count)[:20]} {what}, which is no number of them. Export it again.")
    if count > limit:
        told = f"{count:,}" if count < 10**18 else "more than 10^18"
        raise ValueError(f"it declares {told} {what}; allowed are at most {limit:,}. Simplify it first.")


def check_image(data: bytes, name: str) -> None:
    """Refuse an image by its header: unknown formats and more pixels than anyone needs."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"texture '{name[:80]}' has too many pixels; allowed are {MAX_PIXELS:,}.") from error
    except (OSError, SyntaxError, struct.error) as error:
        raise ValueError(f"texture '{name[:80]}' is no readable image; allowed are {', '.join(FORMATS)}.") from error
    if width * height > MAX_PIXELS:
        raise ValueError(f"texture '{name[:80]}' has {width} x {height} pixels; allowed are {MAX_PIXELS:,} in all.")


def check_stl(data: bytes) -> None:
    """Refuse a binary STL whose length is not what its header says; text is bounded by its size."""
    count = struct.unpack_from("<I", data, 80)[0] if len(data) >= 84 else 0
    if len(data) == 84 + 50 * count and count:
        return check_count("faces", count, MAX_FACES)
    if data[:512].lstrip()[:5].lower() == b"solid" and b"facet" in data[:4096]:
        return check_count("faces", data.count(b"endfacet"), MAX_FACES)
    check_count("faces", count, MAX_FACES)
    raise ValueError(
        f"it declares {count:,} faces, {84 + 50 * count:,} bytes, but has {len(data):,}. Download it again."
    )


def check_ply(data: bytes) -> None:
    """Refuse a PLY by the element counts in its header."""
    head, found, _ = data[: 64 << 10].partition(b"end_header")
    if not data.startswith(b"ply") or not found:
        raise ValueError("it has no PLY header ('ply' ... 'end_header' within 64 KiB). Export it again.")
    counts = dict[bytes, int]()
    for name, told in re.findall(rb"^element[ \t]+(\w+)[ \t]*(.*?)[ \t\r]*$", head, re.MULTILINE):
        if not re.fullmatch(rb"\d{1,18}", told):
            raise ValueError(
                f"it declares '{told[:20].decode('ascii', 'replace')}' {name.decode('ascii', 'replace')} elements. Export it again."
            )
        counts[name] = int(told)
    for name, count in counts.items():
        limit = MAX_FACES if name == b"face" else MAX_VERTICES
        check_count("faces" if name == b"face" else name.decode("ascii", "replace") + " elements", count, limit)
    if sum(counts.values()) > len(data):
        raise ValueError(
            f"it declares {sum(counts.values()):,} elements but has {len(data):,} bytes. Download it again."
        )
    lines = data.count(b"\n", len(head))
    if re.search(rb"^format[ \t]+ascii", head, re.MULTILINE) and lines < sum(counts.values()):
        raise ValueError(f"it declares {sum(counts.values()):,} elements but has {lines:,} lines. Download it again.")


def check_obj(data: bytes) -> None:
    """Refuse an OBJ by its line counts, and index 0, which would silently mean the last vertex."""
    check_count("vertices", data.count(b"\nv "), MAX_VERTICES)
    check_count("faces", data.count(b"\nf "), MAX_FACES)
    if re.search(rb"\nf[^\n]*[ \t]0(?:/|[ \t\r]|\n|$)", data):
        raise ValueError("a face has vertex index 0; OBJ counts from 1. Re-export it.")
    if re.search(rb"\nf(?:[ \t]+[^\s\\]+){0,2}[ \t\r]*(?:\n|$)", data):
        raise ValueError("a face has fewer than three corners. Re-export it.")


def check_glb(data: bytes) -> None:
    """Refuse a GLB whose chunks or JSON declare what its bytes do not hold."""
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
    _check_tree(data[20 : 20 + length], data[28 + length : 28 + length + binary])


def check_gltf(data: bytes) -> None:
    """Refuse a glTF by its JSON; buffers in other files are checked as they are read."""
    check_count("bytes of JSON", len(data), 256 << 20)
    _check_tree(data, b"")


def _check_tree(text: bytes, binary: bytes) -> None:
    tree = _tree(text)
    try:
        _check_accessors(tree)
        _check_scene(tree)
        for index, image in enumerate(tree.get("images", [])):
            _check_embedded(tree, image, binary, f"images[{index}]")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(
            "its JSON is not glTF: something in it is missing or of another kind. Export it again."
        ) from error


def _tree(text: bytes) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos:,}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"its JSON cannot be read{where}. Download or export it again.") from error
    return tree


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


def _check_embedded(tree: dict[str, Any], image: dict[str, Any], binary: bytes, name: str) -> None:
    if "bufferView" in image and binary:
        view = tree["bufferViews"][image["bufferView"]]
        start = view.get("byteOffset", 0)
        if start < 0 or view["byteLength"] < 0:
            raise ValueError(f"{name} lies at a negative offset. Re-export it.")
        check_image(binary[start : start + view["byteLength"]], name)
    elif str(image.get("uri", "")).startswith("data:"):
        try:
            check_image(base64.b64decode(image["uri"].partition(",")[2]), name)
        except binascii.Error as error:
            raise ValueError(f"{name} is not base64: {error}. Re-export it.") from error


def _load(data: bytes, kind: str, folder: Folder) -> list[Piece]:
    import trimesh  # takes a second and is needed in the child only

    if kind == "obj" or (kind == "stl" and b"endfacet" in data):
        data = _utf8(data).replace(b"\t", b" ")  # trimesh knows blanks alone
    try:
        scene = trimesh.load_scene(io.BytesIO(data), file_type=kind, resolver=folder, process=False)
    except FileNotFoundError as error:  # a texture may be missing, this is geometry
        raise ValueError(f"it refers to '{str(error)[:80]}', which is not there. Copy the file beside it.") from error
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, struct.error) as error:
        if folder.refused:
            raise ValueError(folder.refused[0]) from error
        raise ValueError(
            f"its content is no {kind.upper()}: numbers or names in it do not fit. Export it again."
        ) from error
    placed = [(name, scene.graph[name]) for name in scene.graph.nodes_geometry]
    placed = [(scene.geometry[key], matrix) for _, (matrix, key) in sorted(placed, key=lambda item: item[0])]
    placed = [(mesh, matrix) for mesh, matrix in placed if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)]
    check_count("objects", len(placed), MAX_PIECES)
    check_count("faces", sum(len(mesh.faces) for mesh, _ in placed), MAX_FACES)
    check_count("vertices", sum(len(mesh.vertices) for mesh, _ in placed), MAX_VERTICES)
    if not placed:
        raise ValueError("it holds no triangles; points and lines are no solid. Export its surface.")
    return [_piece(mesh, np.asarray(matrix, float), kind in ("glb", "gltf")) for mesh, matrix in placed]


def _utf8(text: bytes) -> bytes:
    return text.decode("utf-8", errors="replace").encode()  # comments in other encodings stop trimesh


def _piece(mesh: Any, matrix: NDArray[np.float64], linear: bool) -> Piece:
    vertices, faces = np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int64)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"a face names vertex {faces.max()} of {len(vertices)}. Re-export it.")
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
        raise ValueError(f"a texture has {image.width} x {image.height} pixels; allowed are {MAX_PIXELS:,} in all.")
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

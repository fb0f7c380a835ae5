"""Is a scene file safe to hand to MuJoCo? Reads text and file headers only; knows nothing of what a scene means.

A scene may come from a stranger. The loader opens any path that it is told to and builds whatever is asked for, so paths, sizes
and counts are looked at first. What such limits cannot foresee, a first compile in a child with limits finds (`require_compiles`).
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from . import child
from .errors import Problem, SceneError

MAX_XML = 4_000_000
"""[bytes]"""
MAX_ELEMENTS = 20_000
"""After all copies are made."""
MAX_FILE, MAX_FILES = 64_000_000, 256_000_000
"""Of one mesh, skin or height field, and of all together [bytes]."""
MAX_PIXELS, MAX_ALL_PIXELS = 16_000_000, 64_000_000
"""Of one texture, and of all together."""
MAX_NUMBERS = 10_000_000
"""That height fields, sensors, actuators and user data ask for, all copies together."""
MAX_POINTS = 1000
"""Of all flexible and composite objects together: MuJoCo's compiler takes more than a millisecond for each."""
MIN_TIMESTEP = 1e-4
"""[s]"""
COMPILE_SECONDS, COMPILE_MEMORY = 60.0, 4 << 30
"""What the first compile of a scene may take: time [s] and memory [bytes]."""

_FORBIDDEN = {
    "extension": "plugins are not allowed",
    "plugin": "plugins are not allowed",
    "include": "a scene is one file",
    "model": "a scene is one file",
    "attach": "a scene is one file",
}
_LIMITS: dict[str, dict[str, float]] = {
    "replicate": {"count": 500},
    "composite": {"count": 500},
    "flexcomp": {"count": 500, "cellcount": 500},
    "flex": {"cellcount": 500},
    "skin": {"subgrid": 16},
    "size": {"memory": 1 << 30, "nkey": 1000, "nstack": 10**8, "njmax": 10**5, "nconmax": 10**5, "nuserdata": 10**6},
    "option": dict.fromkeys(
        ("iterations", "ls_iterations", "noslip_iterations", "ccd_iterations", "sdf_iterations", "sdf_initpoints"), 1e3
    ),
    "global": {"offwidth": 4096, "offheight": 4096},
    "quality": {"shadowsize": 8192, "offsamples": 16, "numslices": 512, "numstacks": 512, "numquads": 512},
    "camera": {"resolution": 4_000_000},
    "texture": {"width": 4096, "height": 4096 * 6, "gridsize": 100, "nchannel": 4},
    "hfield": {"nrow": 1024, "ncol": 1024},
    "mesh": {"params": 100, "maxhullvert": 10_000},
    "numeric": {"size": 500},
}
_LIMITS["size"] |= {
    f"nuser_{kind}": 1000 for kind in ("actuator", "body", "cam", "geom", "jnt", "sensor", "site", "tendon")
}
"""Element → attribute → largest product of its numbers."""
_COUNTS = dict.fromkeys(("dim", "num", "actdim", "nsample"), 1000.0)
"""The same for every element: how many numbers a sensor or an actuator holds is their product."""
_SOLID = {"count": "10 10 10"}
"""How many points a flexcomp has when it does not say."""
_RANGE_DATA = 8
"""Numbers that a range finder may give for one pixel of its camera, with room."""
_KEY_DATA = 10
"""Numbers that a keyframe may hold for one element, with room."""
_COPIES = ("replicate", "composite", "flexcomp")
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50, "e": 2**60}
_WORDS = frozenset(
    ["name", "class", "childclass", "mesh", "hfield", "material", "texture", "model", "joint", "body", "site", "geom"]
    + ["target", "prefix", "tendon", "actuator", "camera", "objname", "refname", "key", "slidersite", "cranksite"]
)
"""Attributes that hold names: "nan" and "inf" are names like others there."""
_NOT_FINITE = re.compile(r"[-+]?(nan(\(.*\))?|inf(inity)?)", re.IGNORECASE)
_DIRECTORIES = ("meshdir", "texturedir", "assetdir")


def problems(scene_xml: Path, root: Path) -> list[Problem]:
    """Return every reason not to open a scene file of the library at `root`; empty when it is safe.

    Raises:
        SceneError: When the file cannot be read at all.
    """
    name, root, file = scene_xml.name, root.resolve(), scene_xml.resolve()
    if not file.is_relative_to(root) or scene_xml.is_symlink():
        return [Problem(name, "it lies outside the library.", "Copy the file into the library.")]
    if file.exists() and not file.is_file():
        return [Problem(name, "it is no file.", "Build the scene again.")]
    try:
        if (size := file.stat().st_size) > MAX_XML:
            return [Problem(name, f"{size} bytes are more than {MAX_XML}.", "Split or simplify the scene.")]
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(f"'{scene_xml}' cannot be read: {error}.") from error
    if "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():
        return [Problem(name, "a DOCTYPE or entity is not allowed.", "Remove it.")]
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        return [Problem(name, f"not well-formed XML: {error}.", "Build the scene again.")]
    count = _count(tree)
    if count.elements > MAX_ELEMENTS:
        return [
            Problem(name, f"{count.elements:g} elements are more than {MAX_ELEMENTS}.", "Split or simplify the scene.")
        ]
    found = [problem for element in tree.iter() for problem in _element_problems(element)]
    found += [*_file_problems(tree, file.parent, root), *_drawn_problems(tree)]
    if count.points > MAX_POINTS:
        what = f"{count.points:g} points of flexible and composite objects are more than {MAX_POINTS}."
        found.append(Problem(name, what, "Use fewer or coarser ones."))
    if (numbers := _numbers(tree, count)) > MAX_NUMBERS:
        what = f"{numbers:g} numbers in height fields, sensors, actuators, keyframes and user data are more than {MAX_NUMBERS}."
        found.append(Problem(name, what, "Use fewer or smaller ones."))
    return found


def require_safe(scene_xml: Path, root: Path) -> None:
    """Raise SceneError with all reasons when a scene file is not safe to open."""
    if found := problems(scene_xml, root):
        raise SceneError(f"{scene_xml.name} is not safe to open: " + " ".join(str(problem) for problem in found))


def read(path: Path, root: Path) -> bytes:
    """Return the content of a file of the library at `root`; `path` begins with `root`.

    Raises:
        SceneError: When it is missing, unreadable, leads outside or goes through a symbolic link.
    """
    require_inside(path, root)
    try:
        return path.read_bytes()
    except OSError as error:
        raise SceneError(f"'{path}' cannot be read ({error.strerror}). Build the scene again.") from error


def require_inside(path: Path, root: Path) -> None:
    """Raise SceneError unless a path that begins with `root` is a file there that no symbolic link leads to."""
    within = path.relative_to(root)
    if problem := _path_problem(path.name, within.as_posix(), root.resolve() / within, root.resolve()):
        raise SceneError(str(problem))


def require_compiles(scene_xml: Path) -> None:
    """Compile a scene in a child with limits, unless this process did so with the same files.

    Raises:
        ValueError: With MuJoCo's words, when it refuses the scene.
        SceneError: When the compiler crashes or needs more time or memory than it may have.
    """
    digest = _digest(scene_xml)
    if digest in _compiled:
        return
    given: child.Arrays = {"path": np.array(str(scene_xml.resolve()))}
    try:
        child.run(f"{__name__}:compile_file", given, seconds=COMPILE_SECONDS, memory=COMPILE_MEMORY)
    except child.Refusal as error:
        raise ValueError(str(error)) from error
    except child.ChildError as error:
        raise SceneError(
            f"'{scene_xml}' is not safe to open: MuJoCo's compiler {error}; {COMPILE_SECONDS:g} s and "
            f"{COMPILE_MEMORY / 2**30:g} GiB are allowed. Simplify the scene."
        ) from error
    _compiled.add(digest)


_compiled: set[str] = set()


def compile_file(arrays: child.Arrays) -> child.Arrays:
    """Compile the scene at `path` and make its state; to be run in a child."""
    os.environ["MUJOCO_GL"] = "disable"  # nothing is drawn; spares the child the search for a display
    import mujoco

    try:
        data = mujoco.MjData(mujoco.MjModel.from_xml_path(str(arrays["path"])))
    except ValueError as error:
        if "allocate memory" in str(error):
            raise MemoryError from error
        raise
    return {"nq": np.array(len(data.qpos))}


def _digest(scene_xml: Path) -> str:
    """Return a digest of a safe scene, of all files that it names and of where they lie."""
    digest = hashlib.sha256(str(scene_xml.resolve()).encode())
    try:
        digest.update(text := scene_xml.read_bytes())
        for _, _, path in named_files(ElementTree.fromstring(text)):
            with (scene_xml.parent / path).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise SceneError(f"'{error.filename}' cannot be read ({error.strerror}). Build the scene again.") from error
    return digest.hexdigest()


def named_files(tree: Element) -> Iterator[tuple[Element, str, Path]]:
    """Yield each file that a scene names: element, attribute and path as seen from the scene's folder."""
    base = {key: item.attrib[key] for item in tree.iter("compiler") for key in _DIRECTORIES if key in item.attrib}
    for element in tree.iter():
        start = base.get("texturedir" if element.tag == "texture" else "meshdir", base.get("assetdir", ""))
        for key, value in element.attrib.items():
            if key.startswith("file") and element.tag not in _FORBIDDEN:
                yield element, key, Path(start) / value


@dataclass
class _Count:
    elements: float = 0.0
    """Once every copy is made."""
    points: float = 0.0
    """Of flexible and composite objects."""
    copies: float = 1.0
    """The most that is made of one element; sensors and actuators of a body are copied with it."""


def _count(tree: Element) -> _Count:
    found, rest = _Count(), [(tree, 1.0)]
    while rest:
        element, copies = rest.pop()
        if element.tag in _COPIES:
            solid = element.tag == "flexcomp" and not {"point", "file"} & set(element.attrib)
            many = _product(element.get("count", _SOLID["count"] if solid else "1"))
            if element.tag != "replicate":
                found.points += copies * max(many, len(element.get("point", "").split()) / 3)
            copies *= many
        found.elements += copies
        found.copies = max(found.copies, copies)
        rest += [(inner, copies) for inner in element]
    return found


def _numbers(tree: Element, count: _Count) -> float:
    """Return about how many numbers a scene asks for beside its elements; a count left out is the largest of any default."""
    defaults = [element for default in tree.iter("default") for element in default.iter()]
    usual = {key: max((_product(item.get(key, "1")) for item in defaults), default=1.0) for key in _COUNTS}
    pixels = max((_product(item.get("resolution", "1")) for item in tree.iter("camera")), default=1.0)
    total = sum(_product(item.get("nrow", "1")) * _product(item.get("ncol", "1")) for item in tree.iter("hfield"))
    for section in (*tree.iter("actuator"), *tree.iter("sensor")):
        for item in section:
            own = math.prod(_product(item.get(key, "1")) if key in item.attrib else usual[key] for key in _COUNTS)
            seen = pixels * _RANGE_DATA if item.tag == "rangefinder" and "camera" in item.attrib else 1.0
            total += own * seen * count.copies
    keys, extra = float(sum(1 for _ in tree.iter("key"))), 0.0
    for item in tree.iter("size"):
        keys = max(keys, _product(item.get("nkey", "1")))
        extra += sum(_product(value) for key, value in item.attrib.items() if key.startswith("nuser_"))
    return total + (keys * _KEY_DATA + extra) * count.elements


def _product(text: str) -> float:
    """Return the product of the numbers in an attribute, none taken as less than 1; infinity for what is no number."""
    product = 1.0
    for word in text.lower().split():
        unit = _UNITS.get(word[-1], 1)
        product *= max(abs(_number(word if unit == 1 else word[:-1])) * unit, 1.0)
    return product


def _number(word: str) -> float:
    """Return the value of a word, infinity for what is no finite number."""
    try:
        value = float(word)
    except ValueError:
        return math.inf
    return value if math.isfinite(value) else math.inf


def _element_problems(element: Element) -> Iterator[Problem]:
    tag = element.tag
    if tag in _FORBIDDEN:
        yield Problem(tag, f"{_FORBIDDEN[tag]}.", "Remove it.")
    if "{" in tag or any("{" in key for key in element.attrib):  # would hide what MuJoCo reads all the same
        yield Problem(tag, "XML namespaces are not allowed.", "Remove them.")
    for key, value in element.attrib.items():
        words = value.split()
        infinite = [word for word in words if _NOT_FINITE.fullmatch(word) or _overflows(word)]
        if infinite and key.rstrip("12") not in _WORDS and not key.startswith("file"):
            yield Problem(f"{tag}.{key}", f"'{infinite[0][:60]}' is not finite.", "Use finite numbers.")
        limit = _LIMITS.get(tag, {}).get(key, _COUNTS.get(key))
        if limit is not None and (product := _product(value)) > limit:
            yield Problem(f"{tag}.{key}", f"{product:g} is more than {limit:g}.", "Lower it.")
    if tag == "option" and not MIN_TIMESTEP <= _number(element.get("timestep", "1")) <= 1:
        yield Problem(
            "option.timestep", f"'{element.get('timestep')}' is outside [{MIN_TIMESTEP:g}, 1] s.", "Use 0.002."
        )
    if tag == "compiler" and element.get("strippath", "false") != "false":
        yield Problem("compiler.strippath", "paths are used as they are written.", "Remove it.")


def _overflows(word: str) -> bool:
    try:
        return math.isinf(float(word))
    except ValueError:
        return False


def _drawn_problems(tree: Element) -> Iterator[Problem]:
    """Limit the textures that the loader draws itself; sizes may come from the element or from any default."""
    textures = [element.attrib for element in tree.iter("texture")]
    default = {
        key: max((_product(item[key]) for item in textures if key in item), default=0.0) for key in ("width", "height")
    }
    total = 0.0
    for item in textures:
        width, height = (_product(item[key]) if key in item else default[key] for key in ("width", "height"))
        total += 0.0 if "file" in item else width * (height if item.get("type") == "2d" else max(height, 6 * width))
    if total > MAX_ALL_PIXELS:
        yield Problem("texture", f"{total:g} pixels are more than {MAX_ALL_PIXELS}.", "Use smaller textures.")


def _file_problems(tree: Element, folder: Path, root: Path) -> Iterator[Problem]:
    """Look at each file that an element names: where it is, what it is, how large, and how large all are together."""
    places = [(key, item.attrib[key]) for item in tree.iter("compiler") for key in _DIRECTORIES if key in item.attrib]
    base = dict(places)
    if len(base) < len(places) or ("assetdir" in base and len(base) > 1):  # which one counts is the loader's secret
        yield Problem("compiler", "the folder of meshes or textures is given twice.", "Give it once.")
        return
    size = pixels = 0
    for element, key, path in named_files(tree):
        where, value = f"{element.tag}.{key}", element.attrib[key]
        if problem := _path_problem(where, value, folder / path, root, start=path):
            yield problem
        elif element.tag == "texture" or (element.tag == "hfield" and path.suffix.lower() == ".png"):
            area = _area(folder / path)
            pixels += area
            if not 0 < area <= MAX_PIXELS:
                what = f"has {area} pixels, more than {MAX_PIXELS}" if area else "is no readable PNG"
                yield Problem(where, f"'{value[:_SHOWN]}' {what}.", "Use a smaller PNG.")
        else:
            size += (own := (folder / path).stat().st_size)
            if own > MAX_FILE:
                yield Problem(where, f"'{value[:_SHOWN]}' has {own} bytes, more than {MAX_FILE}.", "Simplify it.")
    if pixels > MAX_ALL_PIXELS:
        yield Problem("texture", f"{pixels} pixels are more than {MAX_ALL_PIXELS}.", "Use smaller textures.")
    if size > MAX_FILES:
        yield Problem("mesh", f"{size} bytes are more than {MAX_FILES}.", "Simplify the meshes.")


_SHOWN = 200
"""Characters of a path that a message repeats."""


def _path_problem(where: str, value: str, path: Path, root: Path, start: Path | None = None) -> Problem | None:
    """Return what is wrong with a path whose folder has no symbolic links left in it; `start` is the path as it is given."""
    shown, given = f"'{value[:_SHOWN]}'", start or Path(value)
    if given.is_absolute() or "\\" in str(given) or ":" in str(given):
        return Problem(where, f"{shown} is no plain relative path.", "Use a path inside the library.")
    plain = Path(os.path.normpath(path))
    if not plain.is_relative_to(root):
        return Problem(where, f"{shown} leaves the library.", "Use a path inside the library.")
    try:
        if path.resolve() != plain:
            return Problem(where, f"{shown} goes through a symbolic link.", "Copy the file into the library.")
        if not path.is_file():  # not `plain`: the loader does not shorten `absent/../file`
            return Problem(where, f"{shown} does not exist.", "Build the scene again.")
        with path.open("rb"):
            return None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
        reason = error.strerror if isinstance(error, OSError) else error
        return Problem(where, f"{shown} cannot be looked at ({reason}).", "Build the scene again.")


def _area(path: Path) -> int:
    """Return the number of pixels that a PNG declares; 0 for what is no PNG."""
    with path.open("rb") as file:
        head = file.read(24)
    if len(head) < 24 or not head.startswith(b"\x89PNG\r\n\x1a\n") or head[12:16] != b"IHDR":
        return 0
    return int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big")

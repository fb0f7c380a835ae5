"""Is a scene file safe to hand to MuJoCo? Reads text and file headers only; knows nothing of what a scene means.

A scene may come from a stranger. The loader opens any path that it is told to and builds whatever is asked for, so paths, sizes
and counts are looked at first.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from .errors import Problem, SceneError

MAX_XML = 4_000_000
"""[bytes]"""
MAX_ELEMENTS = 20_000
"""After all copies are made."""
MAX_FILE, MAX_FILES = 64_000_000, 256_000_000
"""Of one mesh, skin or height field, and of all together [bytes]."""
MAX_PIXELS, MAX_ALL_PIXELS = 16_000_000, 64_000_000
"""Of one texture, and of all together."""
MIN_TIMESTEP = 1e-4
"""[s]"""

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
    "global": {"offwidth": 8192, "offheight": 8192},
    "quality": {"shadowsize": 16384, "offsamples": 64, "numslices": 512, "numstacks": 512, "numquads": 512},
    "camera": {"resolution": 4_000_000},
    "texture": {"width": 4096, "height": 4096 * 6, "gridsize": 100},
    "hfield": {"nrow": 1024, "ncol": 1024},
    "mesh": {"params": 100, "maxhullvert": 10_000},
    "geom": {"nsample": 1000},
}
_LIMITS["size"] |= {
    f"nuser_{kind}": 1000 for kind in ("actuator", "body", "cam", "geom", "jnt", "sensor", "site", "tendon")
}
_LIMITS |= {tag: {"nsample": 1000} for tag in ("position", "velocity", "motor", "general", "intvelocity", "damper")}
"""Element → attribute → largest product of its numbers."""
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
    if (count := _expanded(tree)) > MAX_ELEMENTS:
        return [Problem(name, f"{count:g} elements are more than {MAX_ELEMENTS}.", "Split or simplify the scene.")]
    found = [problem for element in tree.iter() for problem in _element_problems(element)]
    return found + list(_file_problems(tree, file.parent, root)) + list(_drawn_problems(tree))


def require_safe(scene_xml: Path, root: Path) -> None:
    """Raise SceneError with all reasons when a scene file is not safe to open."""
    if found := problems(scene_xml, root):
        raise SceneError(f"{scene_xml.name} is not safe to open: " + " ".join(str(problem) for problem in found))


def _expanded(tree: Element) -> float:
    """Return how many elements there are once every copy is made."""
    total, rest = 0.0, [(tree, 1.0)]
    while rest:
        element, copies = rest.pop()
        if element.tag in _COPIES:
            copies *= max(_product(element.get("count", "1")), 1.0)
        total += copies
        rest += [(child, copies) for child in element]
    return total


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
        limit = _LIMITS.get(tag, {}).get(key)
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
    for element in tree.iter():
        for key, value in element.attrib.items():
            if not key.startswith("file") or element.tag in _FORBIDDEN:
                continue
            where, texture = f"{element.tag}.{key}", element.tag == "texture"
            start = base.get("texturedir" if texture else "meshdir", base.get("assetdir", ""))
            path = folder / start / value
            if problem := _path_problem(where, value, path, start, root):
                yield problem
            elif texture or (element.tag == "hfield" and path.suffix.lower() == ".png"):
                area = _area(path)
                pixels += area
                if not 0 < area <= MAX_PIXELS:
                    what = f"has {area} pixels, more than {MAX_PIXELS}" if area else "is no readable PNG"
                    yield Problem(where, f"'{value}' {what}.", "Use a smaller PNG.")
            else:
                size += (own := path.stat().st_size)
                if own > MAX_FILE:
                    yield Problem(where, f"'{value}' has {own} bytes, more than {MAX_FILE}.", "Simplify it.")
    if pixels > MAX_ALL_PIXELS:
        yield Problem("texture", f"{pixels} pixels are more than {MAX_ALL_PIXELS}.", "Use smaller textures.")
    if size > MAX_FILES:
        yield Problem("mesh", f"{size} bytes are more than {MAX_FILES}.", "Simplify the meshes.")


def _path_problem(where: str, value: str, path: Path, start: str, root: Path) -> Problem | None:
    """Return what is wrong with a path whose folder has no symbolic links left in it."""
    if any(Path(part).is_absolute() or "\\" in part or ":" in part for part in (value, start)):
        return Problem(where, f"'{value}' is no plain relative path.", "Use a path inside the library.")
    plain = Path(os.path.normpath(path))
    if not plain.is_relative_to(root):
        return Problem(where, f"'{value}' leaves the library.", "Use a path inside the library.")
    if path.resolve() != plain:
        return Problem(where, f"'{value}' goes through a symbolic link.", "Copy the file into the library.")
    if not plain.is_file():
        return Problem(where, f"'{value}' does not exist.", "Build the scene again.")
    return None


def _area(path: Path) -> int:
    """Return the number of pixels that a PNG declares; 0 for what is no PNG."""
    with path.open("rb") as file:
        head = file.read(24)
    if len(head) < 24 or not head.startswith(b"\x89PNG\r\n\x1a\n") or head[12:16] != b"IHDR":
        return 0
    return int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big")

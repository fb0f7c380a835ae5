"""Is a scene file safe to hand to MuJoCo? Reads text and file headers only; knows nothing of what a scene means.

A scene may come from a stranger. The loader opens any path that it is told to and builds whatever is asked for, so paths, sizes
and counts are looked at first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from .errors import Problem, SceneError

MAX_XML = 4_000_000
"""[bytes]"""
MAX_ELEMENTS = 20_000
MAX_COUNT = 500
"""Copies that one `replicate`, `composite` or `flexcomp` may make."""
MAX_MESH = 64_000_000
"""[bytes]"""
MAX_PIXELS = 16_000_000
MAX_CELLS = 1_000_000
"""Of a height field."""

_FORBIDDEN = {"extension": "plugins are not allowed", "plugin": "plugins are not allowed"}
_NUMBERS = re.compile(r"(?<![\w.])[-+]?(?:nan|inf(?:inity)?)(?![\w.])", re.IGNORECASE)
_NAMES = {
    "name",
    "class",
    "childclass",
    "file",
    "mesh",
    "material",
    "texture",
    "model",
    "joint",
    "body",
    "site",
    "geom",
    "target",
    "prefix",
}


def problems(scene_xml: Path, root: Path) -> list[Problem]:
    """Return every reason not to open a scene file of the library at `root`; empty when it is safe.

    Raises:
        SceneError: When the file cannot be read at all.
    """
    try:
        if scene_xml.stat().st_size > MAX_XML:
            return [
                Problem(
                    scene_xml.name,
                    f"{scene_xml.stat().st_size} bytes are more than {MAX_XML}.",
                    "Split or simplify the scene.",
                )
            ]
        text = scene_xml.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SceneError(f"'{scene_xml}' cannot be read: {error}.") from error
    if "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():
        return [Problem(scene_xml.name, "a DOCTYPE or entity is not allowed.", "Remove it.")]
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        return [Problem(scene_xml.name, f"not well-formed XML: {error}.", "Build the scene again.")]
    elements = list(tree.iter())
    if len(elements) > MAX_ELEMENTS:
        return [
            Problem(
                scene_xml.name,
                f"{len(elements)} elements are more than {MAX_ELEMENTS}.",
                "Split or simplify the scene.",
            )
        ]
    found = [problem for element in elements for problem in _element_problems(element)]
    return found + list(_path_problems(tree, scene_xml.parent, root.resolve()))


def require_safe(scene_xml: Path, root: Path) -> None:
    """Raise SceneError with all reasons when a scene file is not safe to open."""
    if found := problems(scene_xml, root):
        raise SceneError(f"'{scene_xml}' is not safe to open: " + " ".join(str(problem) for problem in found))


def _element_problems(element: ElementTree.Element) -> Iterator[Problem]:
    tag = element.tag
    if tag in _FORBIDDEN:
        yield Problem(tag, f"{_FORBIDDEN[tag]}.", "Remove it.")
    for key, value in element.attrib.items():
        if key not in _NAMES and _NUMBERS.search(value):
            yield Problem(f"{tag}.{key}", f"'{value[:60]}' is not finite.", "Use finite numbers.")
    count = math.prod(_integers(element.get("count", "1")))
    if tag in ("replicate", "composite", "flexcomp") and count > MAX_COUNT:
        yield Problem(f"{tag}.count", f"{count} copies are more than {MAX_COUNT}.", "Lower the count.")
    if tag == "hfield" and math.prod(_integers(f"{element.get('nrow', '0')} {element.get('ncol', '0')}")) > MAX_CELLS:
        yield Problem("hfield", f"more than {MAX_CELLS} cells.", "Use a coarser field.")
    if (
        tag == "texture"
        and math.prod(_integers(f"{element.get('width', '1')} {element.get('height', '1')}")) > MAX_PIXELS
    ):
        yield Problem("texture", f"more than {MAX_PIXELS} pixels.", "Use a smaller texture.")
    if tag == "size" and element.get("memory", "").upper().endswith(("G", "T", "P", "E")):
        yield Problem("size.memory", f"'{element.get('memory')}' is too much.", "Remove it.")


def _integers(text: str) -> list[int]:
    return [int(float(word)) for word in text.split() if re.fullmatch(r"\d+(\.\d*)?", word)] or [1]


def _path_problems(tree: ElementTree.Element, folder: Path, root: Path) -> Iterator[Problem]:
    compilers = tree.findall(".//compiler")
    base = {
        kind: next(
            (c.get(f"{kind}dir") or c.get("assetdir") for c in compilers if c.get(f"{kind}dir") or c.get("assetdir")),
            "",
        )
        for kind in ("mesh", "texture")
    }
    for element in tree.iter():
        for key, value in element.attrib.items():
            if not (key.startswith("file") or (element.tag == "model" and key == "file")):
                continue
            kind = "texture" if element.tag == "texture" else "mesh"
            start = folder if element.tag in ("include", "model") else folder / (base[kind] or "")
            yield from _file_problems(f"{element.tag}.{key}", value, start, root)


def _file_problems(where: str, value: str, start: Path, root: Path) -> Iterator[Problem]:
    if Path(value).is_absolute() or start.is_absolute() != root.is_absolute():
        yield Problem(where, f"'{value}' is an absolute path.", "Use a path inside the library.")
        return
    literal = Path(_normal(start / value))
    if not literal.is_relative_to(root):
        yield Problem(where, f"'{value}' leaves the library.", "Use a path inside the library.")
        return
    inside = literal.relative_to(root)
    steps = [root.joinpath(*inside.parts[: n + 1]) for n in range(len(inside.parts))]
    if any(step.is_symlink() for step in steps):
        yield Problem(where, f"'{value}' goes through a symbolic link.", "Copy the file into the library.")
    elif not literal.is_file():
        yield Problem(where, f"'{value}' does not exist.", "Build the scene again.")
    elif literal.suffix.lower() == ".png":
        yield from _picture_problems(where, literal)
    elif literal.stat().st_size > MAX_MESH:
        yield Problem(where, f"'{value}' has {literal.stat().st_size} bytes, more than {MAX_MESH}.", "Simplify it.")


def _normal(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and len(parts) > 1:
            parts.pop()
        elif part not in ("..", "."):
            parts.append(part)
    return str(Path(*parts))


def _picture_problems(where: str, path: Path) -> Iterator[Problem]:
    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        yield Problem(where, f"'{path.name}' is no readable PNG ({error}).", "Build the scene again.")
        return
    if width * height > MAX_PIXELS:
        yield Problem(
            where, f"'{path.name}' has {width} x {height} pixels, more than {MAX_PIXELS}.", "Use a smaller texture."
        )

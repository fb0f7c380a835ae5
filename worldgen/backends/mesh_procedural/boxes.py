"""Templates of blocks, packets and other boxes with rounded edges."""

from __future__ import annotations

from ...shapes import Geom, Site
from .collide import box as solid_box
from .draft import Brief, Draft, mix, shade
from .mesh_tools import Solid, box, stack


def _solid(b: Brief, height: float | None = None) -> list[Geom]:
    """Return one box of the object's size, or lower."""
    x, y, z = b.size
    return [solid_box((-x / 2, -y / 2, 0), (x / 2, y / 2, height or z))]


def _top(b: Brief, height: float | None = None, share: float = 0.9) -> dict[str, Site]:
    x, y, z = b.size
    return {"top": Site(pos=(0, 0, height or z), size=(x / 2 * share, y / 2 * share, 0.001))}


def _body(b: Brief, bevel: float, **sides: Solid) -> Solid:
    x, y, z = b.size
    return box((x, y, z), bevel, b.base, (0, 0, z / 2), sides or None)


def cube(b: Brief) -> Draft:
    """A toy block with rounded edges; some carry a frame of another colour on their sides."""
    x, y, z = b.size
    bevel = min(b.size) * b.vary(0.05, 0.16)
    body = _body(b, bevel)
    if b.chance(0.35):
        mark = b.tile(b.contrast)
        inlay = min(b.size) * b.vary(0.2, 0.32)
        parts = [box((inlay * 2, inlay * 2, 0.0006), 0.0002, mark, (0, 0, z))]
        parts += [box((0.0006, inlay * 2, inlay * 2), 0.0002, mark, (s * x / 2, 0, z / 2)) for s in (-1, 1)]
        parts += [box((inlay * 2, 0.0006, inlay * 2), 0.0002, mark, (0, s * y / 2, z / 2)) for s in (-1, 1)]
        body = stack(body, *parts)
    return Draft(body, _solid(b), _top(b, share=0.85))


def parcel(b: Brief) -> Draft:
    """A closed cardboard box with a strip of tape and an address label."""
    x, y, z = b.size
    tape = b.tile(mix(b.colour, (226, 206, 160), 0.6) if b.chance(0.5) else shade(b.colour, 0.7))
    body = box((x, y, z), 0.0012, b.base, (0, 0, z / 2)) - box((x - 0.006, y - 0.006, z - 0.006), 0.0005, b.base, (0, 0, z / 2))
    wide = y * b.vary(0.14, 0.22)
    parts = [body, box((x + 0.0006, wide, 0.0006), 0.0002, tape, (0, 0, z))]
    parts += [box((0.0006, wide, z * 0.25), 0.0002, tape, (s * x / 2, 0, z * 0.875)) for s in (-1, 1)]
    paper = b.tile((244, 242, 234), "label", (60, 60, 64))
    parts.append(box((x * 0.34, y * 0.26, 0.0006), 0.0002, paper, (x * b.vary(-0.25, 0.25), y * 0.32, z)))
    return Draft(stack(*parts), _solid(b), _top(b))

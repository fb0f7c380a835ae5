"""Templates of angular containers and flat supports: walls about a free space, boards, mats."""

from __future__ import annotations

from ...shapes import Site
from .collide import shell
from .draft import Brief, Draft, grip, shade
from .mesh_tools import Region, Solid, loft, prism, rectangle, stack, tube


def _open_box(
    b: Brief, thickness: float, floor: float, corner: float, draft: float, inside: Region | None = None, lip: float = 0.0
) -> Solid:
    """Return an open box whose walls lean outwards: `draft` is the share by which the base is smaller."""
    import numpy as np

    x, y, z = b.size
    lining = inside or b.base
    layers = [(1 - draft, 0.0, 0.0), (1.0, 0.0, z - lip if lip else z), (1.0, thickness, z)]
    levels = [(x / 2 * (1 - draft), y / 2 * (1 - draft), 0.0, corner)]
    if lip:
        levels += [(x / 2 - lip, y / 2 - lip, z - lip * 0.8, corner), (x / 2, y / 2, z - lip * 0.8, corner)]
    levels += [(x / 2, y / 2, z, corner), (x / 2 - thickness - lip, y / 2 - thickness - lip, z, corner * 0.8)]
    low = (1 - draft) + draft * floor / z
    levels += [(x / 2 * low - thickness - lip, y / 2 * low - thickness - lip, floor, corner * 0.8)]
    del layers
    rings = [np.column_stack([rectangle(hx, hy, radius, 3), np.full(16, height)]) for hx, hy, height, radius in levels]
    outer = len(levels) - 2
    return loft(rings, [b.base] * outer + [lining], lining if inside else None)


def _room(b: Brief, thickness: float, floor: float, share: float = 1.0) -> dict[str, Site]:
    x, y, z = b.size
    half_x, half_y = (x / 2 - thickness) * share, (y / 2 - thickness) * share
    return {
        "inside": Site(pos=(0, 0, (floor + z) / 2), size=(half_x, half_y, (z - floor) / 2)),
        "bottom": Site(pos=(0, 0, 0), size=(half_x, half_y, 0.001)),
        "top": Site(pos=(0, 0, z), size=(0.002, 0.002, 0.001)),
        "grasp": grip((0, -y / 2 + thickness / 2, z - 0.012), thickness),
    }


def basket(b: Brief) -> Draft:
    """A woven basket with a plaited rim."""
    import numpy as np

    x, y, z = b.size
    t, floor, corner = 0.004, 0.005, min(x, y) * b.vary(0.18, 0.42)
    brown = b.tile(shade(b.colour, 0.62), "weave", shade(b.colour, 0.9))
    body = _open_box(b, t, floor, corner, b.vary(0.08, 0.16), b.tile(shade(b.colour, 0.72), "weave", shade(b.colour, 0.5)))
    outline = rectangle(x / 2 - 0.003, y / 2 - 0.003, corner, 3)
    rim = tube(np.column_stack([outline, np.full(len(outline), z - 0.003)]), 0.0034, brown, 8, closed=True)
    return Draft(stack(body, rim), shell(b.size, t, floor), _room(b, t, floor, 0.86))


_ = prism

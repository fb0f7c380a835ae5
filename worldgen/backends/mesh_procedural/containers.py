"""Templates of angular containers and flat supports: walls about a free space, boards, mats."""

from __future__ import annotations

import numpy as np

from ...shapes import Site
from .collide import box as solid_box
from .collide import shell, upright
from .curves import tube
from .draft import Brief, Draft, grip, mix, shade
from .mesh_tools import Array, Region, Solid, box, lathe, loft, prism, rectangle, stack


def _ring(half_x: float, half_y: float, z: float, corner: float) -> Array:
    outline = rectangle(half_x, half_y, corner, 3)
    return np.column_stack([outline, np.full(len(outline), z)])


def _open_box(
    b: Brief, wall: float, floor: float, corner: float, lean: float, inside: Region, lip: float = 0.0
) -> Solid:
    """Return an open box.

    Args:
        b: Gives the size.
        wall: Thickness of the walls [m].
        floor: Thickness of the floor [m].
        corner: Radius of the upright edges [m].
        lean: Share by which the base is smaller than the rim.
        inside: Texture of the inner faces.
        lip: Width of an outward rim [m].
    """
    x, y, z = b.size
    half_x, half_y = x / 2 - lip, y / 2 - lip
    low, up = 1 - lean, (1 - lean) + lean * floor / z
    rings = [_ring(half_x * low, half_y * low, 0, corner)]
    if lip:
        rings += [_ring(half_x, half_y, z - lip, corner), _ring(x / 2, y / 2, z - lip * 0.8, corner)]
    rings += [_ring(x / 2, y / 2, z, corner), _ring(half_x - wall, half_y - wall, z, corner * 0.8)]
    rings.append(_ring(half_x * up - wall, half_y * up - wall, floor, corner * 0.8))
    return loft(rings, [b.base] * (len(rings) - 2) + [inside], inside)


def _room(b: Brief, wall: float, floor: float, share: float = 1.0, height: float | None = None) -> dict[str, Site]:
    x, y, _ = b.size
    z = height or b.size[2]
    half_x, half_y = (x / 2 - wall) * share, (y / 2 - wall) * share
    return {
        "inside": Site(pos=(0, 0, (floor + z) / 2), size=(half_x, half_y, (z - floor) / 2)),
        "bottom": Site(pos=(0, 0, 0), size=(half_x, half_y, 0.001)),
        "top": Site(pos=(0, 0, z), size=(0.002, 0.002, 0.001)),
        "grasp": grip((0, -y / 2 + wall / 2, z - 0.012), wall),
    }


def basket(b: Brief) -> Draft:
    """A woven basket with a plaited rim."""
    x, y, z = b.size
    t, floor, corner = 0.004, 0.005, min(x, y) * b.vary(0.18, 0.42)
    lining = b.tile(shade(b.colour, 0.72), "weave", shade(b.colour, 0.5))
    body = _open_box(b, t, floor, corner, b.vary(0.08, 0.16), lining)
    path = _ring(x / 2 - 0.003, y / 2 - 0.003, z - 0.003, corner)
    rim = tube(path, 0.0034, b.tile(shade(b.colour, 0.62), "weave", shade(b.colour, 0.9)), 8, closed=True)
    return Draft(stack(body, rim), shell(b.size, t, floor), _room(b, t, floor, 0.86))


def tray(b: Brief) -> Draft:
    """A serving tray: a low wall, two grips at the ends."""
    x, y, z = b.size
    t, floor, tall = 0.004, 0.004, z * b.vary(0.55, 0.7)
    inner = b.tile(b.contrast) if b.chance(0.3) else b.tile(shade(b.colour, 1.25))
    low = b.resized((x, y, tall))
    body = _open_box(low, t, floor, b.vary(0.006, 0.02), 0.05, inner)
    parts = [body]
    for side in (-1, 1):
        at, span = side * (x / 2 - 0.004), y * 0.2
        path = [(at, -span, tall * 0.7), (at, -span, z - 0.0035), (at, span, z - 0.0035), (at, span, tall * 0.7)]
        parts.append(tube(path, 0.0034, b.base, 8))
    collision = shell((x, y, tall), t, floor)
    collision += [
        solid_box(
            (s * x / 2 - (0 if s < 0 else 0.007), -y * 0.21, tall), (s * x / 2 + (0.007 if s < 0 else 0), y * 0.21, z)
        )
        for s in (-1, 1)
    ]
    sites = _room(b, t, floor, 0.95, tall)
    sites["top"] = Site(pos=(0, 0, floor), size=((x / 2 - t) * 0.92, (y / 2 - t) * 0.92, 0.001))
    return Draft(stack(*parts), collision, sites)


def crate(b: Brief) -> Draft:
    """A crate of slats between four corner posts."""
    x, y, z = b.size
    t, floor, post = 0.005, 0.005, 0.012
    rows = 3 if z > 0.06 or b.chance(0.5) else 2
    gap = z * b.vary(0.07, 0.1)
    slat = (z - gap * (rows - 1)) / rows
    base = box((x - 0.002, y - 0.002, floor), 0.0005, b.tile(shade(b.colour, 0.85), "wood"), (0, 0, floor / 2))
    parts = [base]
    for row in range(rows):
        middle = row * (slat + gap) + slat / 2
        parts += [box((x, t, slat), 0.0006, b.base, (0, s * (y - t) / 2, middle)) for s in (-1, 1)]
        parts += [box((t, y, slat), 0.0006, b.base, (s * (x - t) / 2, 0, middle)) for s in (-1, 1)]
    parts += [
        box(
            (post, post, z - 0.001),
            0.0006,
            b.tile(shade(b.colour, 0.72), "wood"),
            (s * (x / 2 - t - post / 2 + 0.001), u * (y / 2 - t - post / 2 + 0.001), z / 2),
        )
        for s in (-1, 1)
        for u in (-1, 1)
    ]
    collision = shell(b.size, t, floor)
    collision += [
        solid_box(
            (s * (x / 2 - t) - (post if s > 0 else 0), u * (y / 2 - t) - (post if u > 0 else 0), floor),
            (s * (x / 2 - t) + (0 if s > 0 else post), u * (y / 2 - t) + (0 if u > 0 else post), z),
        )
        for s in (-1, 1)
        for u in (-1, 1)
    ]
    return Draft(stack(*parts), collision, _room(b, t + post * 0.5, floor))


def bin_(b: Brief) -> Draft:
    """A storage bin: leaning walls, an outward rim, a low front with a label."""
    x, y, z = b.size
    t, floor, lip = 0.003, 0.004, 0.005
    lean = b.vary(0.1, 0.2)
    body = _open_box(b, t, floor, 0.008, lean, b.tile(shade(b.colour, 0.8)), lip)
    cut = z * b.vary(0.3, 0.42)
    notch = (
        prism(
            [(-y * 0.34, z - cut), (y * 0.34, z - cut), (y * 0.42, z + 0.01), (-y * 0.42, z + 0.01)],
            -x * 0.1,
            x * 0.1,
            b.base,
        )
        .rotate((90, 0, 90))
        .translate((-x / 2, 0, 0))
    )
    paper = box(
        (0.004, y * 0.34, z * 0.24),
        0.0002,
        b.tile((244, 244, 240), "label", (60, 60, 66)),
        (-(x / 2 - lip) * (1 - 0.62 * lean), 0, z * 0.36),
    )
    collision = shell((x - lip, y - lip, z), t + lip * 0.5, floor)
    low, high = (-x / 2 + lip * 0.5, -y / 2 + lip * 0.5, 0.002), (-x / 2 + lip + t, y / 2 - lip * 0.5, z - cut)
    collision[1] = solid_box(low, high)
    return Draft(stack(body - notch, paper), collision, _room(b, t + lip, floor, 0.84))


def organiser(b: Brief) -> Draft:
    """A drawer organiser: one wide compartment and two narrow ones."""
    x, y, z = b.size
    t, floor = 0.003, 0.003
    inner = b.tile(shade(b.colour, 0.82))
    body = _open_box(b, t, floor, 0.004, 0.03, inner)
    split, narrow = x * b.vary(0.17, 0.22), b.vary(-0.12, 0.12) * y
    across = box((t, y - t, z * 0.9), 0.0006, b.base, (split, 0, z * 0.45))
    along = box((x / 2 - split, t, z * 0.9), 0.0006, b.base, ((x / 2 + split) / 2 - 0.001, narrow, z * 0.45))
    collision = shell(b.size, t, floor)
    collision.append(solid_box((split - t / 2, -y / 2 + t, floor), (split + t / 2, y / 2 - t, z * 0.9)))
    collision.append(solid_box((split, narrow - t / 2, floor), (x / 2 - t, narrow + t / 2, z * 0.9)))
    sites = _room(b, t, floor)
    left, right = -x / 2 * 0.97 + t, split - t / 2
    sites["inside"] = Site(
        pos=((left + right) / 2, 0, (floor + z) / 2), size=((right - left) / 2, y / 2 * 0.96 - t, (z - floor) / 2)
    )
    return Draft(stack(body, across, along), collision, sites)


def dish(b: Brief) -> Draft:
    """An oven dish: thick leaning walls and two tabs."""
    x, y, z = b.size
    tab = 0.014
    t, floor = 0.004, 0.005
    inner = b.tile((240, 236, 226)) if b.chance(0.6) else b.tile(shade(b.colour, 1.3))
    tub = _open_box(b.resized((x - 2 * tab, y, z)), t, floor, min(x, y) * b.vary(0.12, 0.3), b.vary(0.1, 0.18), inner)
    wide = y * b.vary(0.16, 0.24)
    tabs = [
        prism(rectangle(tab, wide, tab * 0.8, 3), z - 0.007, z - 0.0006, b.base, 0.001).translate(
            (s * (x / 2 - tab), 0, 0)
        )
        for s in (-1, 1)
    ]
    half = x / 2 - tab
    collision = shell((x - 2 * tab, y, z), t, floor)
    collision += [
        solid_box((min(s * half, s * x / 2), -wide, z - 0.007), (max(s * half, s * x / 2), wide, z)) for s in (-1, 1)
    ]
    core = box((x - 2 * tab - 2 * t - 0.01, y * 0.3, 0.02), 0.001, inner, (0, 0, z))
    sites = _room(b.resized((x - 2 * tab, y, z)), t, floor, 0.86)
    return Draft(stack(tub, *(one - core for one in tabs)), collision, sites)


def shoebox(b: Brief) -> Draft:
    """An open cardboard box with a folded rim and a label on its end."""
    x, y, z = b.size
    t, floor = 0.0025, 0.003
    inner = b.tile(mix(b.colour, (206, 186, 156), 0.75), "speckle")
    body = _open_box(b, t, floor, 0.0008, 0.0, inner)
    band = z * b.vary(0.16, 0.26)
    stripe = b.tile(b.contrast if b.chance(0.6) else shade(b.colour, 0.7))
    parts = [body]
    parts += [box((0.001, y + 0.0006, band), 0.0002, stripe, (s * x / 2, 0, z - band / 2)) for s in (-1, 1)]
    parts += [box((x + 0.0006, 0.001, band), 0.0002, stripe, (0, s * y / 2, z - band / 2)) for s in (-1, 1)]
    parts.append(
        box((0.0012, y * 0.4, z * 0.36), 0.0002, b.tile((244, 244, 240), "label", (60, 60, 66)), (-x / 2, 0, z * 0.42))
    )
    return Draft(stack(*parts), shell(b.size, t, floor), _room(b, t, floor))


def caddy(b: Brief) -> Draft:
    """A tub with a round bottom edge and a handle that lies over its middle."""
    x, y, z = b.size
    t, floor, tall = 0.004, 0.005, z * 0.62
    body = _open_box(
        b.resized((x, y, tall)), t, floor, min(x, y) * 0.2, b.vary(0.05, 0.14), b.tile(shade(b.colour, 0.8))
    )
    arc = np.linspace(0, np.pi, 13)
    r = 0.0045
    path = np.stack(
        [
            -(x / 2 - min(x, y) * 0.2) * np.cos(arc),
            0 * arc + y / 2 - r,
            tall * 0.8 + (z - tall * 0.8 - r) * np.sin(arc) ** b.vary(0.4, 0.8),
        ],
        1,
    )
    collision = shell((x, y, tall), t, floor)
    collision.append(solid_box((-x * 0.35, y / 2 - 2 * r, tall), (x * 0.35, y / 2, z)))
    return Draft(stack(body, tube(path, r, b.tile(b.contrast), 8)), collision, _room(b, t, floor, 0.88, tall))


def board(b: Brief) -> Draft:
    """A cutting board with a hole in its handle."""
    x, y, z = b.size
    handle = x * b.vary(0.2, 0.26)
    half = y * b.vary(0.18, 0.24)
    left, right = -x / 2, x / 2
    slab = prism(rectangle((x - handle) / 2, y / 2, y * 0.1, 3) + (-handle / 2, 0), 0, z, b.base, z * 0.12)
    neck = prism(
        rectangle(handle / 2 + 0.01, half, half * 0.7, 3) + (right - handle / 2 - 0.01, 0), 0, z, b.base, z * 0.12
    )
    bore = half * 0.4
    hole = lathe(
        [(0, -0.001), (bore, -0.001), (bore, z + 0.001), (0, z + 0.001)], b.tile(shade(b.colour, 0.6)), 16
    ).translate((right - handle * 0.42, 0, 0))
    body = stack(slab, neck) - hole
    if b.chance(0.5):
        groove = prism(
            rectangle((x - handle) / 2 * 0.9, y / 2 * 0.88, y * 0.08, 3) + (-handle / 2, 0),
            z - 0.001,
            z + 0.001,
            b.tile(shade(b.colour, 0.7)),
        )
        island = prism(
            rectangle((x - handle) / 2 * 0.84, y / 2 * 0.8, y * 0.06, 3) + (-handle / 2, 0),
            z - 0.002,
            z + 0.002,
            b.base,
        )
        body = body - (groove - island)
    collision = [
        solid_box((left, -y / 2, 0), (right - handle, y / 2, z)),
        solid_box((right - handle, -half, 0), (right, half, z)),
    ]
    top = Site(pos=(-handle / 2, 0, z), size=((x - handle) / 2 * 0.85, y / 2 * 0.85, 0.001))
    return Draft(body, collision, {"top": top, "grasp": grip((right - handle / 2, 0, z / 2), half * 2)})


def mat(b: Brief) -> Draft:
    """A place mat: a thin rounded sheet with a border."""
    x, y, z = b.size
    round_ = b.vary(0.05, 0.5)
    outline = rectangle(x / 2, y / 2, min(x, y) * round_, 6)
    edge = b.tile(b.contrast) if b.chance(0.6) else b.tile(shade(b.colour, 0.75), "weave")
    base = prism(outline, 0, z * 0.8, edge)
    middle = prism(outline * b.vary(0.86, 0.92), 0, z, b.base)
    collision = [solid_box((-x / 2, -y / 2, 0), (x / 2, y / 2, z))] if round_ < 0.3 else [upright(min(x, y) / 2, 0, z)]
    share = 0.85 if round_ < 0.3 else 0.65
    return Draft(
        stack(base, middle), collision, {"top": Site(pos=(0, 0, z), size=(x / 2 * share, y / 2 * share, 0.001))}
    )


def rack(b: Brief) -> Draft:
    """A wire trivet: bars on a frame with four feet."""
    x, y, z = b.size
    r = 0.0025
    turn = np.append(np.arange(0, 28), 0)[:-1] * 2 * np.pi / 28
    power = b.vary(0.5, 1.0)
    path = np.stack(
        [
            np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power * (x / 2 - r),
            np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power * (y / 2 - r),
            0 * turn + z - r,
        ],
        1,
    )
    parts = [tube(path, r, b.base, 6, closed=True)]
    bars = int(b.vary(6, 8.99))
    for k in range(bars):
        at = (k - (bars - 1) / 2) / (bars / 2) * 0.92
        half = (1 - abs(at) ** (2 / power)) ** (power / 2) * (x / 2 - r)
        parts.append(tube([(-half, at * (y / 2 - r), z - r), (half, at * (y / 2 - r), z - r)], r * 0.8, b.base, 6))
    tip = b.tile((40, 40, 42))
    spots = [(s * x * 0.27, t * y * 0.27) for s in (-1, 1) for t in (-1, 1)]
    legs = [
        lathe(
            [(0, 0), (0.004, 0), (0.004, z * 0.3), (0.003, z - r), (0, z - r)], [tip, tip, b.base, b.base], 8
        ).translate((u, v, 0))
        for u, v in spots
    ]
    braces = [tube([(s * x * 0.27, -y * 0.3, z - r), (s * x * 0.27, y * 0.3, z - r)], r, b.base, 6) for s in (-1, 1)]
    collision = [upright(min(x, y) / 2, z - 2 * r, z)] + [
        solid_box((u - 0.0035, v - 0.0035, 0), (u + 0.0035, v + 0.0035, z - 2 * r)) for u, v in spots[:3]
    ]
    collision.append(
        solid_box(
            (spots[3][0] - 0.0035, spots[3][1] - 0.0035, 0.0002),
            (spots[3][0] + 0.0035, spots[3][1] + 0.0035, z - 2 * r),
        )
    )
    top = Site(pos=(0, 0, z), size=(x / 2 * 0.65, y / 2 * 0.65, 0.001))
    return Draft(stack(*parts, *legs, *braces), collision, {"top": top})

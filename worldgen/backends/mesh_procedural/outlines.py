"""Templates of flat things: an outline extruded upwards, lying on the table."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom, Site
from .collide import box as solid_box
from .collide import raised, rod, upright, wall
from .curves import blob
from .draft import Brief, Draft, grip, mix, shade, turn_about_z
from .mesh_tools import Array, Region, Solid, box, lathe, loft, offset, prism, stack


def _slab(low: tuple[float, float], high: tuple[float, float], z: float) -> Geom:
    return solid_box((*low, 0), (*high, z))


def _bar(start: tuple[float, float], end: tuple[float, float], width: float, z: float) -> Geom:
    """Return a flat bar of a width between two points of the ground."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, z / 2)
    return Geom(
        type="box", size=(math.hypot(dx, dy) / 2, width / 2, z / 2), pos=middle, quat=turn_about_z(math.atan2(dy, dx))
    )


def _fit(points: Array, b: Brief) -> Array:
    """Return an outline stretched to the object's extents about the origin."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((points - (low + high) / 2) * (np.asarray(b.size[:2]) / (high - low)))


def _plateau(b: Brief, outline: Array, region: Region | None = None) -> Solid:
    """Return an outline extruded to the object's height with small bevels; at times a raised rim or an inlay tells variants apart."""
    z = b.size[2]
    bevel = min(z, *b.size[:2]) * b.vary(0.03, 0.07)
    body = prism(outline, 0, z - 0.0005, region or b.base, bevel)
    inner = outline * b.vary(0.6, 0.75)
    mark = (
        b.tile(shade(b.colour, 0.7) if b.chance(0.5) else mix(b.colour, b.contrast, 0.7)) if b.chance(0.6) else b.base
    )
    return stack(body, prism(inner, z * 0.5, z, mark))


def _flat_top(b: Brief, half: float) -> Site:
    return Site(pos=(0, 0, b.size[2]), size=(half, half, 0.001))


def _around(radius: float) -> list[tuple[float, float]]:
    return [(radius * math.cos(a), radius * math.sin(a)) for a in (0.0, 2 * math.pi / 3, 4 * math.pi / 3)]


def star(b: Brief) -> Draft:
    """A five-pointed star."""
    x, _, z = b.size
    inner = b.vary(0.42, 0.55)
    turn = np.arange(10) * np.pi / 5 + np.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, 1.0, inner)
    outline = _fit(np.stack([np.cos(turn) * radius, np.sin(turn) * radius], 1), b)
    core = x / 2 * inner * 0.95
    rays = [_bar((0, 0), (float(p[0]) * 0.82, float(p[1]) * 0.82), core * 0.5, z) for p in outline[::2]]
    return Draft(
        _plateau(b, outline),
        raised(
            [upright(core, 0, z), *rays], [(float(p[0]) * 0.65, float(p[1]) * 0.65) for p in outline[[0, 4, 6]]], 0.003
        ),
        {"top": _flat_top(b, core * 0.6)},
    )


def heart(b: Brief) -> Draft:
    """A heart."""
    x, y, z = b.size
    t = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    deep = b.vary(3.6, 5.6)
    outline = np.stack(
        [16 * np.sin(t) ** 3, 13 * np.cos(t) - deep * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)], 1
    )
    outline = _fit(outline, b)
    r = x * 0.245
    lobes = [upright(r, 0, z, s * x * 0.25, y / 2 - r * 1.02) for s in (-1, 1)]
    tip = [_bar((s * x * 0.1, y * 0.2), (0, -y * 0.44), x * 0.28, z) for s in (-1, 1)]
    return Draft(
        _plateau(b, outline),
        raised([*lobes, *tip], [(-x * 0.3, y * 0.3), (x * 0.3, y * 0.3), (0, -y * 0.3)], 0.003),
        {"top": _flat_top(b, x * 0.2)},
    )


def cross(b: Brief) -> Draft:
    """A plus sign."""
    x, y, z = b.size
    w = b.vary(0.28, 0.4)
    arms = [(1, w), (w, w), (w, 1), (-w, 1), (-w, w), (-1, w), (-1, -w), (-w, -w), (-w, -1), (w, -1), (w, -w), (1, -w)]
    outline = np.array(arms) * (x / 2, y / 2)
    collision = [_slab((-x / 2, -w * y / 2), (x / 2, w * y / 2), z), _slab((-w * x / 2, -y / 2), (w * x / 2, y / 2), z)]
    return Draft(
        _plateau(b, outline),
        collision,
        {"top": _flat_top(b, w * x / 2), "grasp": grip((0, -y * 0.3, z / 2), w * x, False)},
    )


def crescent(b: Brief) -> Draft:
    """A crescent moon, open towards +x."""
    z = b.size[2]
    cut, tip = b.vary(0.34, 0.5), 0.42
    arc = np.linspace(np.pi * tip, 2 * np.pi - np.pi * tip, 22)
    outer = np.stack([np.cos(arc), np.sin(arc)], 1)
    across = np.linspace(-1, 1, 16)[1:-1]
    inner = np.stack([math.cos(np.pi * tip) - cut * (1 - across**2) * 1.1, across * math.sin(np.pi * tip)], 1)
    outline = _fit(np.concatenate([outer, inner]), b)
    edges = outline[:22][::-1], outline[22:]  # both upwards in y
    slices, middles = [], []
    reach = b.size[1] / 2
    for low, high in ((-0.85, -0.6), (-0.6, -0.3), (-0.3, 0.3), (0.3, 0.6), (0.6, 0.85)):
        middle = (low + high) / 2 * reach
        left, right = (float(np.interp(middle, edge[:, 1], edge[:, 0])) for edge in edges)
        slices.append(_slab((left, low * reach), (right, high * reach), z))
        middles.append(((left + right) / 2, middle))
    width = 2 * slices[2].size[0]
    sites = {
        "grasp": grip((middles[2][0], 0.0, z / 2), width, False),
        "top": Site(pos=(middles[2][0], 0, z), size=(width / 3, width / 3, 0.001)),
    }
    return Draft(prism(outline, 0, z, b.base, z * 0.05), raised(slices, [middles[k] for k in (0, 2, 4)], 0.003), sites)


def gear(b: Brief) -> Draft:
    """A toothed wheel with a hole."""
    x, _, z = b.size
    r, teeth = x / 2, 4 * int(b.vary(2, 3.99))
    root = b.vary(0.74, 0.82)
    points = []
    for k in range(teeth):
        for part, radius in ((-0.32, root), (-0.16, 1.0), (0.16, 1.0), (0.32, root)):
            angle = 2 * math.pi * (k + part) / teeth
            points.append((r * radius * math.cos(angle), r * radius * math.sin(angle)))
    bore = r * b.vary(0.16, 0.26)
    hub = lathe([(0, z * 0.5), (bore * 1.9, z * 0.5), (bore * 1.8, z), (0, z)], b.tile(shade(b.colour, 0.8)), 20)
    body = stack(prism(points, 0, z * 0.85, b.base, z * 0.03), hub) - upright_hole(bore, z, b)
    collision = [upright(r * (root + 0.12), 0, z * 0.85), upright(bore * 1.9, z * 0.85, z)]
    return Draft(body, collision, {"top": _flat_top(b, bore)})


def upright_hole(radius: float, z: float, b: Brief, sides: int = 20) -> Solid:
    """Return what to take out for a hole along z."""
    return lathe(
        [(0, -0.001), (radius, -0.001), (radius, z + 0.001), (0, z + 0.001)], b.tile(shade(b.colour, 0.5)), sides
    )


def nut(b: Brief) -> Draft:
    """A hexagon nut with a round hole."""
    x, y, z = b.size
    turn = np.arange(6) * np.pi / 3
    outline = np.stack([np.cos(turn) * x / 2, np.sin(turn) * y / 2 / math.sin(np.pi / 3)], 1)
    bore = min(x, y) / 2 * b.vary(0.46, 0.6)
    body = prism(outline, 0, z, b.base, z * b.vary(0.06, 0.12)) - upright_hole(bore, z, b, 24)
    ring = min(x, y) / 2
    return Draft(
        body,
        raised(wall((ring, 0), (ring, z), ring - bore, 8), _around((ring + bore) / 2), 0.002),
        {"grasp": grip((0, 0, z / 2), y)},
    )


def triangle(b: Brief) -> Draft:
    """A triangular building block standing on its long side."""
    x, y, z = b.size
    bevel = min(b.size) * 0.04
    skew = b.vary(-0.16, 0.16)
    body = prism([(-x / 2, 0), (x / 2, 0), (skew * x, z)], -y / 2, y / 2, b.base, bevel).rotate((90, 0, 0))
    collision = []
    for low, high in ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.95)):
        left, right = (-x / 2 + (skew * x + x / 2) * (low + high) / 2, x / 2 + (skew * x - x / 2) * (low + high) / 2)
        collision.append(solid_box((left, -y / 2, z * low), (right, y / 2, z * high)))
    return Draft(body, collision, {"grasp": grip((skew * x * 0.4, 0, z * 0.4), y)})


def arch(b: Brief) -> Draft:
    """A bridge block with a round opening."""
    x, y, z = b.size
    r = min(x * b.vary(0.26, 0.32), z * 0.7)
    turn = np.linspace(0, np.pi, 13)
    inner = np.stack([r * np.cos(turn), r * np.sin(turn)], 1)
    outline = np.concatenate([[(x / 2, 0), (x / 2, z), (-x / 2, z), (-x / 2, 0)], inner[::-1]])
    body = prism(outline, -y / 2, y / 2, b.base).rotate((90, 0, 0))
    if b.chance(0.5):
        trim = b.tile(b.contrast)
        body = stack(body, box((x, y + 0.0006, z * 0.06), 0.0003, trim, (0, 0, z * 0.88)))
    collision = [solid_box((s * x / 2 if s < 0 else r, -y / 2, 0), (-r if s < 0 else x / 2, y / 2, z)) for s in (-1, 1)]
    collision.append(solid_box((-r, -y / 2, r), (r, y / 2, z)))
    for s in (-1, 1):
        corner = sorted((s * r, s * r * 0.72))
        collision.append(solid_box((corner[0], -y / 2, r * 0.7), (corner[1], y / 2, r)))
    return Draft(
        body,
        collision,
        {"top": Site(pos=(0, 0, z), size=(x * 0.45, y * 0.45, 0.001)), "grasp": grip((0, 0, z * 0.85), y)},
    )


def toast(b: Brief) -> Draft:
    """A slice of toast: crust around, a crumb of its own colour, a knob of butter."""
    x, y, z = b.size
    t = np.linspace(0, np.pi, 9)
    lobe = b.vary(0.14, 0.2)
    head = [np.stack([s * 0.25 + 0.27 * np.cos(t), 0.3 + lobe * np.sin(t)], 1) for s in (1, -1)]
    body = np.concatenate(
        [
            [(-0.44, -0.46), (-0.4, -0.5), (0.4, -0.5), (0.44, -0.46)],
            [(0.44, 0.2)],
            head[0][:6],
            head[1][3:],
            [(-0.44, 0.2)],
        ]
    )
    outline = _fit(body, b)
    butter = b.chance(0.6)
    height = z * (0.78 if butter else 1.0)
    crust = b.tile(shade(b.colour, 0.62))
    crumb = b.base
    b.dress("speckle", shade(b.colour, 0.82))
    slice_ = prism(outline, 0, height, crust, height * 0.1, crumb)
    inner = prism(offset(outline, -0.004), height * 0.4, height + 0.0004, crumb)
    parts = [slice_, inner]
    if butter:
        parts.append(
            box(
                (x * 0.24, y * 0.2, z - height + 0.002),
                0.001,
                b.tile((250, 226, 120)),
                (x * b.vary(-0.1, 0.1), 0, (z + height) / 2 - 0.001),
            ).rotate((0, 0, b.vary(-30, 30)))
        )
    collision = [
        _slab((-x * 0.45, -y / 2), (x * 0.45, y * 0.45), height),
        _slab((-x / 2, y * 0.12), (x / 2, y * 0.4), height),
    ]
    return Draft(
        stack(*parts),
        collision,
        {
            "top": Site(pos=(0, 0, z), size=(x * 0.1, y * 0.08, 0.001)),
            "grasp": grip((0, 0, height / 2), y if y <= x else x, y <= x),
        },
    )


def cookie(b: Brief) -> Draft:
    """A round biscuit with chocolate chips."""
    x, _, z = b.size
    r = x / 2
    chips = b.tile((70, 44, 30))
    height = z * 0.86
    line = [(0, 0), (r * 0.94, 0), (r, height * 0.35), (r * 0.95, height * 0.75), (r * 0.7, height * 0.96), (0, height)]
    b.dress("speckle", shade(b.colour, 0.8))
    body = lathe(line, b.base, 28)
    parts = [body]
    for k in range(int(b.vary(7, 11))):
        angle, out = k * 2.4 + b.vary(0, 0.4), r * math.sqrt((k + 0.5) / 11) * 0.9
        chip = blob((b.vary(0.05, 0.08) * x, 0.05 * x, z - height * 0.97), chips, rows=4, segments=8)
        parts.append(
            chip.translate((out * math.cos(angle), out * math.sin(angle), height * (0.97 if out < r * 0.65 else 0.9)))
        )
    return Draft(stack(*parts), [upright(r * 0.97, 0, height)], {"top": _flat_top(b, r * 0.6)})


def cutter(b: Brief) -> Draft:
    """A biscuit cutter: a thin flower- or star-shaped band with a rolled upper edge."""
    x, _, z = b.size
    t = np.arange(48) * 2 * np.pi / 48
    lobes = int(b.vary(5, 7.99))
    wave = 1 + (0.13 * np.cos(lobes * t) if b.chance(0.5) else 0.2 * (np.abs(np.cos(lobes * t / 2)) - 0.5))
    outline = _fit(np.stack([np.cos(t) * wave, np.sin(t) * wave], 1), b)
    thin, lip = 0.0024, 0.0045
    solid = []
    for low, high, width in ((0, z * 0.9, thin), (z * 0.86, z, lip)):
        outer = outline if width == lip else offset(outline, -(lip - thin) / 2)
        solid.append(
            prism(outer, low, high, b.base)
            - prism(offset(outer, -width), low - 0.001, high + 0.001, b.tile(shade(b.colour, 0.75)))
        )
    r = x / 2
    collision = raised(wall((r * 0.86, 0), (r * 0.86, z), 0.004, 12), _around(r * 0.84), 0.0015)
    return Draft(stack(*solid), collision, {"grasp": grip((0, -r * 0.86, z * 0.6), 0.005)})


def bone(b: Brief) -> Draft:
    """A dog's bone: a shaft with two knobs at each end."""
    x, y, z = b.size
    r = y / 2 * b.vary(0.54, 0.62)
    knob_x = x / 2 - r
    slim = b.vary(0.55, 0.75)
    knob = blob((r, r, z / 2), b.base, powers=(0.7, 1.0), rows=8, segments=18)
    parts = [knob.translate((s * knob_x, t * (y / 2 - r), z / 2)) for s in (-1, 1) for t in (-1, 1)]
    section = np.arange(14) * 2 * np.pi / 14
    rings = [
        np.stack([np.full(14, u * knob_x), np.cos(section) * w * r, z / 2 + np.sin(section) * z * 0.47 * min(w, 1)], 1)
        for u, w in ((-1, 0.95), (-0.5, slim), (0.5, slim), (1, 0.95))
    ]
    parts.append(loft(rings, b.base))
    collision = [upright(r * 0.95, 0, z, s * knob_x, t * (y / 2 - r)) for s in (-1, 1) for t in (-1, 1)]
    collision.append(rod((-knob_x, 0, z / 2), (knob_x, 0, z / 2), min(r * slim, z / 2) * 0.98))
    return Draft(stack(*parts), collision, {"grasp": grip((0, 0, z / 2), 2 * r * slim)})


def flower(b: Brief) -> Draft:
    """A flower cut from a board: petals about a round middle."""
    x, _, z = b.size
    petals = int(b.vary(5, 7.99))
    t = np.arange(60) * 2 * np.pi / 60
    wave = 0.62 + 0.38 * np.abs(np.cos(petals * t / 2)) ** b.vary(0.5, 0.8)
    outline = _fit(np.stack([np.cos(t) * wave, np.sin(t) * wave], 1), b)
    r = x * b.vary(0.15, 0.2)
    middle = lathe([(0, z * 0.4), (r, z * 0.4), (r, z * 0.94), (r * 0.7, z), (0, z)], b.tile(b.contrast), 20)
    body = prism(outline, 0, z * 0.84, b.base, z * 0.07)
    return Draft(
        stack(body, middle), [upright(x * 0.44, 0, z * 0.84), upright(r, z * 0.84, z)], {"top": _flat_top(b, r * 0.6)}
    )

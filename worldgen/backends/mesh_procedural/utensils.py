"""Templates of cutlery, kitchen utensils, pens and brushes, lying along x."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom
from .collide import LIFT, foot, rod
from .collide import box as solid_box
from .curves import bend, blob, tube
from .draft import Brief, Draft, mix, shade
from .mesh_tools import Array, Region, Solid, arrays, box, build, flatten_base, loft, prism, rectangle, stack
from .tools import METAL, held, long_rest, turned_x


def spoon(b: Brief) -> Draft:
    """A spoon: an oval bowl and a widening handle."""
    x, y, z = b.size
    long, depth = x * b.vary(0.3, 0.36), z * 0.75
    centre = x / 2 - long / 2
    t = 0.0022
    outer = (
        blob((long / 2, y / 2, depth), b.base, rows=12, segments=24)
        .translate((centre, 0, depth + 0.0001))
        .trim_by_plane((0, 0, -1), -depth)
    )
    inner = blob((long / 2 - t, y / 2 - t, depth - t), b.tile(shade(b.colour, 0.82)), rows=10, segments=20).translate(
        (centre, 0, depth)
    )
    path = bend(
        [
            (-x / 2, 0, z * 0.55),
            (-x * 0.2, 0, z - t),
            (centre - long * 0.52, 0, depth - 0.001),
            (centre - long * 0.42, 0, depth * 0.6),
        ],
        9,
    )
    width = np.array([0.9, 1.1, 1.0, 0.8, 0.65, 0.55, 0.5, 0.5, 0.45]) * y * b.vary(0.2, 0.26)
    handle = tube(path, width, b.base, 12, flat=0.32)
    body = flatten_base(stack(outer - inner, handle), 0.0012)
    collision = [foot(long * 0.16, y * 0.16, 0.002, centre), foot(0.003, 0.004, 0.002, -x / 2 + 0.008)]
    collision += [
        Geom(type="box", size=(long * 0.42, y * 0.36, t), pos=(centre, 0, depth * 0.45)),
        rod(path[0], path[-3], float(width.mean()) * 0.7),
    ]
    collision.append(solid_box((-x / 2 + 0.002, -y * 0.12, 0.0008), (-x / 2 + 0.014, y * 0.12, z * 0.5)))
    return Draft(body, collision, held(z * 0.6, -x * 0.12, float(width[4]) * 2))


def _flat_tool(
    b: Brief, outline: Array, handle: tuple[float, float], handle_region: Region | None, thick: float
) -> tuple[Solid, list[Geom]]:
    """Return a thin metal sheet along x with a round-edged handle between two x, both resting on z = 0."""
    _, y, z = b.size
    low, high = handle
    width = y * b.vary(0.4, 0.52) if handle_region else y * 0.3
    sheet = prism(outline, z / 2 - thick / 2, z / 2 + thick / 2, b.base)
    section = rectangle(width / 2, z / 2, min(width, z) * 0.42, 3)
    stations = np.linspace(0, 1, 5)
    waist = 1 - b.vary(0.1, 0.25) * np.sin(np.pi * stations)
    rings = []
    for s, w in zip(stations, waist, strict=True):
        end = 0.75 if s in (0.0, 1.0) else 1.0
        rings.append(
            np.stack(
                [
                    np.full(len(section), low + (high - low) * s),
                    section[:, 0] * w * end,
                    section[:, 1] * (end + 1) / 2 + z / 2,
                ],
                1,
            )
        )
    shaft = loft(rings, handle_region or b.base)
    collision = [solid_box((low, -width / 2 * 0.9, 0), (high, width / 2 * 0.9, z))]
    return stack(shaft, sheet), collision


def fork(b: Brief) -> Draft:
    """A table fork with tines."""
    x, y, z = b.size
    tines = 4 if b.chance(0.5) else 3
    head, root = x * 0.18, x * 0.2
    points = [(-x * 0.1, -y * 0.12), (root * 0.3, -y * 0.14), (root * 0.8, -y / 2)]
    wide = y / (2 * tines - 1)
    for k in range(tines):
        left = -y / 2 + 2 * k * wide
        points += [(x / 2 - 0.004, left + wide * 0.15), (x / 2, left + wide / 2), (x / 2 - 0.004, left + wide * 0.85)]
        if k < tines - 1:
            points += [(root + head * 0.35, left + wide), (root + head * 0.35, left + 2 * wide)]
    points += [(root * 0.8, y / 2), (root * 0.3, y * 0.14), (-x * 0.1, y * 0.12)]
    solid, collision = _flat_tool(
        b,
        np.array(points),
        (-x / 2, root * 0.25),
        b.tile(b.contrast, "wood") if b.chance(0.5) else None,
        min(z * 0.5, 0.004),
    )
    collision.append(solid_box((root * 0.25, -y * 0.45, z * 0.28), (x / 2, y * 0.45, z * 0.72)))
    return Draft(solid, collision, held(z / 2, -x * 0.15, y * 0.35))


def knife(b: Brief) -> Draft:
    """A blunt table knife with a dark handle."""
    x, y, z = b.size
    top = y / 2
    tip = b.vary(0.4, 0.46)
    blade = [
        (-x * 0.1, -y * 0.3),
        (x * 0.3, -y * 0.42),
        (x * tip, -y * 0.3),
        (x / 2, y * 0.2),
        (x * 0.44, top),
        (-x * 0.1, top * 0.9),
    ]
    solid, collision = _flat_tool(b, np.array(blade), (-x / 2, 0.0), b.tile((66, 50, 40), "wood"), min(z * 0.4, 0.004))
    collision.append(solid_box((0, -y * 0.4, z * 0.3), (x * 0.45, y * 0.5, z * 0.7)))
    return Draft(solid, collision, held(z / 2, -x * 0.15, y * 0.45))


def spatula(b: Brief) -> Draft:
    """A turner: a slotted blade on a long handle."""
    x, y, z = b.size
    front = x * 0.42
    slim = y * b.vary(0.38, 0.46)
    blade = np.array(
        [
            (x / 2 - front, -slim * 0.6),
            (x / 2 - 0.004, -y / 2),
            (x / 2, -y / 2 + 0.004),
            (x / 2, y / 2 - 0.004),
            (x / 2 - 0.004, y / 2),
            (x / 2 - front, slim * 0.6),
        ]
    )
    sheet = prism(blade, 0, 0.0032, b.base, 0.0006)
    slots = int(b.vary(2, 4.99))
    hole = box((front * 0.5, y * 0.07, 0.01), 0.0005, b.base)
    cut = [
        hole.translate((x / 2 - front * 0.42, y * 0.62 * (k / (slots - 1) - 0.5) if slots > 1 else 0, 0))
        for k in range(slots)
    ]
    path = bend(
        [
            (x / 2 - front + 0.008, 0, 0.003),
            (x / 2 - front - 0.02, 0, z * 0.45),
            (-x * 0.2, 0, z - 0.006),
            (-x / 2, 0, 0.0055),
        ],
        9,
    )
    dark = b.tile((52, 50, 48)) if sum(b.colour) > 240 else b.tile((200, 196, 188))
    width = np.array([0.006, 0.005, 0.0045, 0.005, 0.006, 0.007, 0.0072, 0.007, 0.005])
    shaft = tube(path, width, [b.base] * 3 + [dark] * 5, 10, flat=0.8)
    peg = foot(0.004, 0.004, 0.006, -x / 2 + 0.004)
    collision = [
        solid_box((x / 2 - front, -y * 0.44, 0), (x / 2, y * 0.44, 0.0032)),
        peg,
        rod(path[2], path[5], 0.006),
        rod(path[5], path[-1], 0.005),
    ]
    return Draft(flatten_base(stack(sheet - stack(*cut), shaft), 0.0003), collision, held(z - 0.006, -x * 0.2, 0.014))


def whisk(b: Brief) -> Draft:
    """A balloon whisk: wire loops on a handle."""
    x, _y, z = b.size
    shaft = x * b.vary(0.4, 0.48)
    r = z / 2
    start = -x / 2 + shaft
    metal = b.tile(METAL, "brushed")
    handle_r = r * b.vary(0.34, 0.42)
    stick = turned_x(
        [
            (-x / 2, 0),
            (-x / 2, handle_r * 0.7),
            (-x * 0.46, handle_r),
            (start - 0.01, handle_r * 0.85),
            (start, handle_r * 0.6),
            (start, 0),
        ],
        b.base,
    )
    wires = []
    balloon = x / 2 - start - 0.0015
    t = np.linspace(0, np.pi, 13)
    for angle in (0, 45, 90, 135):
        along = start - 0.004 + (balloon + 0.004) * (1 - np.abs(np.cos(t)) ** 1.6)
        spread = (r - 0.0015) * np.cos(t) * np.sin(t) ** 0.4 * 1.5
        spread = np.clip(spread, -(r - 0.0015), r - 0.0015)
        path = np.stack([along, spread, 0 * t], 1)
        wires.append(tube(path, 0.0014, metal, 5).rotate((angle, 0, 0)))
    vertices, faces, uv = arrays(stick)
    vertices[:, 2] -= (start - vertices[:, 0]) / shaft * (r - handle_r)  # the end of the handle lies on the ground too
    body = stack(build(vertices, faces, uv), *wires).translate((0, 0, r))
    collision = [
        foot(balloon * 0.2, r * 0.35, r * 0.8, start + balloon * 0.55),
        foot(0.004, handle_r * 0.6, 0.002, -x / 2 + 0.006),
    ]
    collision.append(Geom(type="ellipsoid", size=(balloon * 0.5, r * 0.9, r - LIFT), pos=(start + balloon * 0.5, 0, r)))
    collision += [rod((-x / 2, 0, handle_r + LIFT), (start, 0, r), handle_r * 0.95)]
    return Draft(flatten_base(body, 0.0008), collision, held((r + handle_r) / 2, -x * 0.28, handle_r * 2))


def marker(b: Brief) -> Draft:
    """A felt pen with a cap and a clip."""
    x, y, _ = b.size
    r, cap = y / 2, x * b.vary(0.1, 0.18)
    barrel = b.base
    pale = b.tile(b.contrast)
    line = [
        (-x / 2, 0.0),
        (-x / 2, r * 0.7),
        (-x * 0.48, r * 0.86),
        (cap - 0.001, r * 0.88),
        (cap, r),
        (x * 0.46, r * 0.95),
        (x / 2, r * 0.6),
        (x / 2, 0.0),
    ]
    body = turned_x(
        line, [pale, pale, pale if b.chance(0.4) else barrel, barrel, barrel, barrel, barrel], 20
    ).translate((0, 0, r))
    ring = turned_x([(-x * 0.4, 0), (-x * 0.4, r * 0.9), (-x * 0.37, r * 0.9), (-x * 0.37, 0)], barrel, 20).translate(
        (0, 0, r)
    )
    clip = box((x * 0.2, r * 0.4, 0.0018), 0.0004, barrel, (x * 0.34, 0, 2 * r))
    body = flatten_base(stack(body, ring, clip), r * 0.1)
    return Draft(body, long_rest(x, r * 0.93, (-x / 2, x / 2)), held(r, -x * 0.05, y))


def pencil(b: Brief) -> Draft:
    """A thick hexagonal pencil with a sharpened tip and a rubber."""
    x, y, z = b.size
    r, cone = y / 2, x * b.vary(0.14, 0.18)
    wood, lead = b.tile((222, 184, 130), "wood"), b.tile(mix(b.colour, (30, 30, 34), 0.3))
    band, pink = b.tile(METAL, "stripes"), b.tile((226, 140, 140))
    turn = np.arange(6) * np.pi / 3
    sides = [(x / 2 - cone, 1.0), (-x * 0.36, 1.0), (-x * 0.36, 0.96), (-x * 0.43, 0.96)]
    rings = [
        np.stack([np.full(6, at), r * k * np.cos(turn), z / 2 * k * np.sin(turn) / math.sin(np.pi / 3)], 1)
        for at, k in sides
    ]
    rings.insert(0, np.stack([np.full(6, x / 2 - cone * 0.25), 0.25 * r * np.cos(turn), 0.25 * r * np.sin(turn)], 1))
    rings.insert(0, np.tile([x / 2, 0.0, 0.0], (6, 1)))
    body = loft(rings, [lead, wood, b.base, band, band], band)
    tail = turned_x(
        [(-x / 2, 0), (-x / 2, r * 0.75), (-x * 0.48, r * 0.92), (-x * 0.42, r * 0.92), (-x * 0.42, 0)], pink, 14
    )
    solid = stack(body, tail).translate((0, 0, z / 2))
    collision = [
        solid_box((-x / 2, -r * 0.62, 0), (x / 2 - cone, r * 0.62, z)),
        solid_box((-x / 2, -r, z * 0.25), (x / 2 - cone, r, z * 0.75)),
        rod((x / 2 - cone, 0, z / 2), (x / 2, 0, z / 2), r * 0.4),
    ]
    return Draft(solid, collision, held(z / 2, -x * 0.05, y))


def toothbrush(b: Brief) -> Draft:
    """A toothbrush lying bristles up."""
    x, y, z = b.size
    neck = y * b.vary(0.24, 0.32)
    height = z * 0.45
    side = [
        (x / 2, 0.3),
        (x * 0.47, 0.42),
        (x * 0.3, 0.42),
        (x * 0.24, neck / y),
        (x * 0.05, neck / y * 0.8),
        (-x * 0.1, 0.46),
        (-x * 0.4, 0.5),
        (-x / 2, 0.3),
    ]
    outline = np.array([(u, y * w) for u, w in side] + [(u, -y * w) for u, w in reversed(side)])
    handle = prism(outline, 0, height, b.base, height * 0.15)
    pad = prism(outline[[5, 6, 9, 10]] * (0.9, 0.5), height * 0.8, height + 0.0012, b.tile(b.contrast))
    white, tinted = b.tile((246, 246, 244), "checks", (214, 220, 224)), b.tile(mix(b.contrast, (255, 255, 255), 0.3))
    tufts = [
        box(
            (x * 0.024, y * 0.62, z - height + 0.001),
            0.0006,
            tinted if k in (0, 5) else white,
            (x * (0.32 + 0.027 * k), 0, (z + height) / 2),
        )
        for k in range(6)
    ]
    collision = [
        solid_box((-x / 2, -y * 0.42, 0), (-x * 0.1, y * 0.42, height)),
        solid_box((-x * 0.1, -neck * 0.8, 0), (x * 0.3, neck * 0.8, height)),
        solid_box((x * 0.3, -y * 0.4, 0), (x * 0.48, y * 0.4, z)),
    ]
    return Draft(stack(handle, pad, *tufts), collision, held(height * 0.6, -x * 0.22, y))


def toothpaste(b: Brief) -> Draft:
    """A tube of paste lying down: round at the cap, flat at the fold."""
    x, y, z = b.size
    turn = np.arange(20) * 2 * np.pi / 20
    cap = x * b.vary(0.13, 0.18)
    front = x / 2 - cap
    r = z / 2 * 0.98
    rings = []
    for at, wide, tall in (
        (-x / 2, y / 2, 0.0012),
        (-x * 0.45, y / 2, 0.0012),
        (-x * 0.1, y / 2 * 0.98, r * 0.72),
        (front - 0.012, r * 1.05, r),
        (front - 0.006, r, r * 0.96),
        (front, r * 0.5, r * 0.5),
    ):
        rings.append(np.stack([np.full(20, at), wide * np.cos(turn), tall * np.sin(turn) + max(tall, 0.0012)], 1))
    fold = b.tile(b.contrast)
    body = loft(rings, [fold, b.base, b.base, b.base, b.base])
    white = b.tile((240, 240, 238), "stripes", (210, 212, 214))
    screw = turned_x([(0, 0), (0, r * 0.8), (cap, r * 0.62), (cap, 0)], white, 18).translate(
        (front - 0.0005, 0, r * 0.9)
    )
    band = b.tile(b.contrast, "label", (246, 246, 244)) if b.spec.pattern == "plain" else b.base
    print_ = box((x * 0.34, y * 0.36, 0.0006), 0.0001, band).rotate((0, -6, 0)).translate((-x * 0.04, 0, r * 1.66))
    base = solid_box((-x * 0.48, -y * 0.3, 0), (front, y * 0.3, 0.003))
    collision = [
        base,
        Geom(type="ellipsoid", size=(x * 0.42, y * 0.46, z * 0.42), pos=(-x * 0.05, 0, z * 0.46)),
        rod((front, 0, r), (x / 2 - 0.001, 0, r), r * 0.6, "cylinder"),
    ]
    return Draft(stack(flatten_base(body, 0.0004), screw, print_), collision, held(r, x * 0.1, 2 * r))

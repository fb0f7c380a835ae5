"""Templates of workshop tools: long straight things with a handle along x, lying on the table."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom, Site
from .collide import LIFT, foot, rod, upright
from .collide import box as solid_box
from .curves import tube
from .draft import Brief, Draft, grip, shade
from .mesh_tools import Array, Region, Solid, box, flatten_base, lathe, loft, prism, rectangle, stack

METAL = (178, 182, 188)


def _along_x(solid: Solid, start: float) -> Solid:
    """Lay a solid turned about z along x, its z = 0 at x = start."""
    return solid.rotate((0, 90, 0)).translate((start, 0, 0))


def turned_x(line: list[tuple[float, float]], regions: Region | list[Region], segments: int = 16) -> Solid:
    """Turn a profile of (x, radius) points about the x axis."""
    low = line[0][0]
    return _along_x(lathe([(r, x - low) for x, r in line], regions, segments), low)


def held(z: float, at: float, width: float) -> dict[str, Site]:
    return {"grasp": grip((at, 0, z), width)}


def long_rest(x: float, radius: float, at: tuple[float, float]) -> list[Geom]:
    """Return a cylinder along x on a flat foot, both between the two places."""
    low, high = at
    half = (high - low) / 2
    bar = rod((low, 0, radius), (high, 0, radius), radius - LIFT, "cylinder")
    return [bar, foot(half * 0.9, radius * 0.4, min(0.003, radius * 0.5), (low + high) / 2)]


def hammer(b: Brief) -> Draft:
    """A claw hammer lying on its side."""
    x, y, z = b.size
    head_x = x * b.vary(0.16, 0.2)
    r = z / 2
    metal = b.tile((112, 116, 122), "brushed")
    middle = x / 2 - head_x / 2
    face = y * b.vary(0.28, 0.34)
    neck = (
        lathe(
            [(0, 0), (r * 0.95, 0), (r, 0.002), (r, face * 0.4), (r * 0.66, face * 0.6), (r * 0.66, face), (0, face)],
            metal,
            18,
        )
        .rotate((-90, 0, 0))
        .translate((middle, -y / 2, r))
    )
    block = box((head_x, y * 0.34, z * 0.9), 0.0015, metal, (middle, -y / 2 + face + y * 0.12, r))
    claw = prism(
        [
            (middle - head_x * 0.45, y * 0.1 - 0.01),
            (middle + head_x * 0.45, y * 0.1 - 0.01),
            (middle + head_x * 0.2, y * 0.36),
            (middle - head_x * 0.3, y / 2),
            (middle - head_x * 0.2, y * 0.3),
        ],
        r - z * 0.4,
        r + z * 0.4,
        metal,
    )
    grip_r = r * 0.84
    wood = turned_x(
        [
            (-x / 2, 0),
            (-x / 2, grip_r * 0.8),
            (-x * 0.47, grip_r),
            (-x * 0.2, grip_r * 0.85),
            (x * 0.1, grip_r * 0.62),
            (middle, grip_r * 0.6),
            (middle, 0),
        ],
        b.base,
    ).translate((0, -y * 0.07, r))
    body = flatten_base(stack(neck, block, claw, wood), z * 0.03)
    collision = [
        solid_box((middle - head_x / 2, -y / 2 + face * 0.5, 0), (middle + head_x / 2, y * 0.1, z * 0.95)),
        rod((middle, -y / 2, r), (middle, -y / 2 + face, r), r * 0.95 - LIFT, "cylinder"),
    ]
    collision += [
        solid_box((middle - head_x * 0.35, y * 0.1, z * 0.1), (middle + head_x * 0.2, y * 0.44, z * 0.9)),
        rod((-x / 2, -y * 0.07, r), (middle, -y * 0.07, r), grip_r * 0.85),
    ]
    collision.append(foot(0.005, grip_r * 0.4, r * 0.5, -x * 0.46, -y * 0.07))
    return Draft(body, collision, {"grasp": grip((-x * 0.1, -y * 0.07, r), grip_r * 1.6)})


def screwdriver(b: Brief) -> Draft:
    """A screwdriver with a fluted handle."""
    x, y, _ = b.size
    r, split = y / 2, x * b.vary(-0.06, 0.04)
    steel = b.tile(METAL, "brushed")
    blade_r = r * 0.26
    butt = b.tile(b.contrast)
    turn = np.arange(18) * 2 * np.pi / 18
    flutes = 1 - 0.1 * (np.cos(6 * turn) > 0.4)
    rings = []
    for at, radius in (
        (-x / 2, 0.6),
        (-x * 0.485, 0.85),
        (-x * 0.44, 0.95),
        (-x * 0.2, 1.0),
        (split - 0.012, 0.85),
        (split - 0.005, 0.6),
        (split, 0.66),
    ):
        k = r * radius * (flutes if abs(at) < x * 0.46 else 1)
        rings.append(np.stack([np.full(18, at), np.cos(turn) * k, np.sin(turn) * k + r], 1))
    handle = loft(rings, [butt, butt, b.base, b.base, b.base, b.base])
    shaft = turned_x(
        [(split - 0.005, 0), (split - 0.005, blade_r), (x * 0.42, blade_r), (x * 0.42, 0)], steel, 10
    ).translate((0, 0, r))
    tip = loft(
        [
            np.column_stack([np.full(8, at), rectangle(w, h, 0.0003, 1)])
            for at, w, h in ((x * 0.41, blade_r, blade_r), (x / 2, blade_r * 1.2, blade_r * 0.3))
        ],
        steel,
    ).translate((0, 0, r))
    body = flatten_base(stack(handle, shaft, tip), r * 0.1)
    collision = [*long_rest(x, r * 0.95, (-x / 2, split)), rod((split, 0, r), (x / 2, 0, r), blade_r)]
    return Draft(body, collision, held(r, (-x / 2 + split) / 2, y))


def wrench(b: Brief) -> Draft:
    """An open-ended spanner with a ring at its other end."""
    x, y, z = b.size
    head = y / 2
    ring_r = head * b.vary(0.78, 0.9)
    jaw, bar = head * b.vary(0.44, 0.52), head * b.vary(0.4, 0.52)
    left, right = -x / 2 + ring_r, x / 2 - head
    disc = lathe([(0, 0), (head, 0), (head, z), (0, z)], b.base, 28).translate((right, 0, 0))
    ring = lathe([(0, 0), (ring_r, 0), (ring_r, z), (0, z)], b.base, 28).translate((left, 0, 0))
    stem = box((right - left, bar * 2, z * 0.7), 0.001, b.base, ((left + right) / 2, 0, z * 0.35))
    inlay = box(
        ((right - left) * 0.5, bar * 0.9, 0.001),
        0.0002,
        b.tile(shade(b.colour, 0.65)),
        ((left + right) / 2, 0, z * 0.7),
    )
    dark = b.tile(shade(b.colour, 0.5))
    mouth = (
        box((head * 1.6, jaw * 2, z * 3), 0.001, dark)
        .translate((head * 0.85, 0, z / 2))
        .rotate((0, 0, b.vary(-18, 18)))
        .translate((right, 0, 0))
    )
    hole = lathe([(0, -0.001), (ring_r * 0.58, -0.001), (ring_r * 0.58, z + 0.001), (0, z + 0.001)], dark, 6).translate(
        (left, 0, 0)
    )
    body = stack(disc, ring, stem, inlay) - stack(mouth, hole)
    wide = (head - jaw) / 2
    collision = [
        solid_box((left, -bar, 0.0006), (right, bar, z * 0.7)),
        upright(ring_r, 0, z, left),
        solid_box((right - head * 0.8, -head * 0.7, 0), (right + 0.001, head * 0.7, z)),
    ]
    collision += [
        solid_box(
            (right, s * (jaw + wide) - wide * 0.8, 0.0006), (right + head * 0.75, s * (jaw + wide) + wide * 0.8, z)
        )
        for s in (-1, 1)
    ]
    return Draft(body, collision, held(z * 0.4, (left + right) / 2, bar * 2))


def key(b: Brief) -> Draft:
    """A large old key: a ring bow, a round shank, a bit with notches."""
    x, y, z = b.size
    bow = y / 2
    left = -x / 2 + bow
    t = np.arange(20) * 2 * np.pi / 20
    r = z / 2
    tall = b.vary(0.8, 1.0)
    ring = tube(
        np.stack([left + (bow - r) * np.cos(t), (bow - r) * tall * np.sin(t), 0 * t + r], 1), r, b.base, 10, closed=True
    )
    shank = tube([(left + bow - r * 1.5, 0, r), (x / 2, 0, r)], r * 0.95, b.base, 12)
    collar = turned_x([(0.0, 0), (0.0, r), (0.003, r * 1.0), (0.003, 0)], b.tile(shade(b.colour, 0.7)), 12).translate(
        (left + bow, 0, r)
    )
    far = y * b.vary(0.4, 0.5)
    bit = box((x * 0.16, far, z * 0.7), 0.0006, b.base, (x * 0.39, far / 2, r))
    notch = box((x * 0.03, far * 0.5, z * 2), 0.0002, b.base, (x * b.vary(0.37, 0.41), far * 0.85, r))
    body = flatten_base(stack(ring, shank, collar, bit - notch), z * 0.04)
    collision = [
        upright(bow * 0.95, 0, z * 0.96, left),
        rod((left, 0, r), (x / 2, 0, r), r * 0.95 - LIFT, "cylinder"),
        solid_box((x * 0.31, 0, z * 0.12), (x * 0.47, far, z * 0.88)),
    ]
    collision.append(foot(0.004, r * 0.4, 0.002, x * 0.46))
    return Draft(body, collision, held(r, x * 0.08, z))


def scissors(b: Brief) -> Draft:
    """Scissors, closed: two finger rings, a rivet, pointed blades."""
    x, y, z = b.size
    ring_x, ring_y = x * 0.2, y / 4
    wire = min(y * b.vary(0.09, 0.11), z * 0.5)
    steel = b.tile(METAL, "brushed")
    t = np.arange(18) * 2 * np.pi / 18
    parts: list[Solid] = []
    for side in (-1, 1):
        path = np.stack(
            [-x / 2 + ring_x + (ring_x - wire) * np.cos(t), side * ring_y + (ring_y - wire) * np.sin(t), 0 * t + z / 2],
            1,
        )
        parts.append(tube(path, wire, b.base, 8, closed=True, flat=z / 2 / wire))
        arm = [
            (-x * 0.13, side * y * 0.2),
            (-x * 0.1, side * y * 0.06),
            (x * 0.08, -side * y * 0.1),
            (x * 0.1, side * 0.001 - side * y * 0.02),
            (-x * 0.08, side * y * 0.3),
        ]
        parts.append(prism(arm if side > 0 else arm[::-1], z * 0.1, z * 0.9, b.base))
    spread = b.vary(0.03, 0.08) * y
    for side in (-1, 1):
        blade = [
            (-x * 0.02, -y * 0.1),
            (x * 0.1, -y * 0.13),
            (x / 2, side * spread),
            (x * 0.1, y * 0.13),
            (-x * 0.02, y * 0.1),
        ]
        parts.append(prism(blade, z * 0.2 if side < 0 else z * 0.45, z * 0.5 if side < 0 else z * 0.8, steel))
    rivet = lathe([(0, z * 0.2), (y * 0.07, z * 0.2), (y * 0.06, z), (0, z)], b.tile((90, 92, 96)), 12).translate(
        (x * 0.05, 0, 0)
    )
    collision = [
        solid_box((-x / 2, side * ring_y - ring_y * 0.95, 0), (-x * 0.1, side * ring_y + ring_y * 0.95, z))
        for side in (-1, 1)
    ]
    collision.append(solid_box((-x * 0.1, -y * 0.13, z * 0.05), (x * 0.3, y * 0.13, z * 0.8)))
    return Draft(stack(*parts, rivet), collision, held(z / 2, x * 0.05, y * 0.26))


def paintbrush(b: Brief) -> Draft:
    """A flat decorator's brush: bristles, a metal band, a waisted handle."""
    x, y, z = b.size
    tip, band = x * b.vary(0.22, 0.28), x * 0.12
    bristle, metal = b.tile((92, 68, 48), "brushed"), b.tile(METAL, "brushed")
    paint_colour = b.tile(b.contrast)
    front = x / 2

    def ring(at: float, wide: float, tall: float) -> Array:
        return np.column_stack([np.full(12, at), rectangle(y / 2 * wide, z / 2 * tall, z * 0.16, 2) + (0, z / 2)])

    hair = loft(
        [
            ring(front - tip - 0.003, 0.94, 0.9),
            ring(front - tip * 0.35, 1.0, 0.86),
            ring(front - tip * 0.3, 1.0, 0.86),
            ring(front, 0.9, 0.5),
        ],
        [bristle, bristle, paint_colour],
    )
    ferrule = loft([ring(front - tip - band, 0.92, 1.0), ring(front - tip, 0.98, 1.0)], metal)
    waist = b.vary(0.24, 0.32)
    handle = loft(
        [
            ring(-x / 2, 0.22, 0.7),
            ring(-x * 0.46, 0.34, 0.95),
            ring(-x * 0.25, waist + 0.06, 1.0),
            ring(-x * 0.02, waist, 0.9),
            ring(front - tip - band * 1.4, 0.8, 0.95),
            ring(front - tip - band + 0.002, 0.86, 0.95),
        ],
        b.base,
    )
    collision = [
        solid_box((front - tip - band, -y * 0.46, 0), (front - tip, y * 0.46, z)),
        solid_box((front - tip, -y * 0.47, z * 0.12), (front, y * 0.47, z * 0.85)),
    ]
    collision.append(solid_box((-x / 2, -y * waist / 2, 0), (front - tip - band, y * waist / 2, z * 0.98)))
    return Draft(stack(hair, ferrule, handle), collision, held(z / 2, -x * 0.15, y * (waist + 0.04)))


def rolling_pin(b: Brief) -> Draft:
    """A rolling pin with two knobbed handles."""
    x, y, _ = b.size
    r, roll = y / 2, x * b.vary(0.56, 0.64) / 2
    half = [
        (x / 2, 0.0),
        (x / 2, 0.22),
        (x * 0.485, 0.4),
        (x * 0.44, 0.45),
        (roll + 0.006, 0.32),
        (roll, 0.3),
        (roll, 0.92),
        (roll - 0.002, 1.0),
    ]
    line = [(-u, r * k) for u, k in half] + [(u, r * k) for u, k in reversed(half)]
    knob = b.tile(b.contrast) if b.chance(0.6) else b.tile(shade(b.colour, 0.6), "wood")
    body = turned_x(line, [knob] * 5 + [b.base] * 5 + [knob] * 5, 26).translate((0, 0, r))
    body = flatten_base(body, r * 0.07)
    collision = [*long_rest(x, r * 0.965, (-roll, roll)), rod((-x / 2, 0, r), (x / 2, 0, r), r * 0.4, "cylinder")]
    return Draft(body, collision, held(r, 0.0, y))


def dumbbell(b: Brief) -> Draft:
    """A hand weight: a bar between two six-sided heads."""
    x, y, z = b.size
    head = x * b.vary(0.24, 0.3)
    turn = np.arange(6) * np.pi / 3
    section = np.stack([np.cos(turn) * y / 2, np.sin(turn) * z / 2 / math.sin(np.pi / 3) + z / 2], 1)
    middle = np.array([0, z / 2])
    parts = []
    for side in (-1, 1):
        far, near = side * x / 2, side * (x / 2 - head)
        rings = [
            np.column_stack([np.full(6, at), (section - middle) * k + middle])
            for at, k in ((far, 0.84), (far - side * 0.003, 1.0), (near + side * 0.003, 1.0), (near, 0.84))
        ]
        parts.append(loft(rings, b.base, b.tile(b.contrast)))
    bar_r = z * b.vary(0.16, 0.2)
    bar = tube(
        [(-x / 2 + head - 0.002, 0, z / 2), (x / 2 - head + 0.002, 0, z / 2)],
        bar_r,
        b.tile(METAL, "checks", (120, 122, 126)),
        14,
    )
    collision = []
    for side in (-1, 1):
        ends = sorted((side * x / 2, side * (x / 2 - head)))
        collision += [
            solid_box((ends[0], -y * 0.26, 0), (ends[1], y * 0.26, z)),
            solid_box((ends[0], -y * 0.42, z * 0.2), (ends[1], y * 0.42, z * 0.8)),
        ]
    collision.append(rod((-x / 2 + head, 0, z / 2), (x / 2 - head, 0, z / 2), bar_r, "cylinder"))
    return Draft(stack(*parts, bar), collision, held(z / 2, 0.0, bar_r * 2))

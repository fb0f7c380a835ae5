"""Templates of other round things: egg, potato, loaf, ball, duck, cactus."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom, Site
from .collide import LIFT, ellipsoid, foot, upright
from .curves import bend, blob, tube
from .draft import Brief, Draft, grip, mix, shade
from .mesh_tools import Array, flatten_base, lathe, stack
from .solids import resting, waves


def egg(b: Brief) -> Draft:
    """An egg lying down."""
    x, y, z = b.size
    point = b.vary(0.12, 0.2)

    def shape(points: Array, turn: Array) -> Array:
        points[..., :2] *= 1 - point * points[..., 2:] / (x / 2)
        return points

    body = flatten_base(blob((z / 2, y / 2, x / 2), b.base, shape, rows=14).rotate((0, 90, 0)), z * 0.035)
    return Draft(body, resting(b, x * 0.15, y * 0.17, slim=0.98), fitted=True)


def potato(b: Brief) -> Draft:
    """A lumpy potato."""
    x, y, z = b.size
    body = blob((x / 2, y / 2, z / 2), b.base, waves(b, b.vary(0.05, 0.09)), (0.85, 0.9), 12, 24)
    return Draft(flatten_base(body, z * 0.06), resting(b, x * 0.2, y * 0.2, slim=0.97), fitted=True)


def bread(b: Brief) -> Draft:
    """A loaf with slashes across its crust."""
    x, y, z = b.size
    powers = (b.vary(0.6, 0.85), b.vary(0.5, 0.75))
    body = flatten_base(blob((x / 2, y / 2, z / 2), b.base, None, powers, 14, 28), z * 0.2)
    pale = b.tile(mix(b.colour, (250, 232, 190), 0.65), "speckle")
    count = int(b.vary(3, 5))
    lean = b.vary(-25, 25)
    slash = blob((x * 0.028, y * 0.3, z * 0.05), pale, rows=6, segments=12)
    cuts = [
        slash.rotate((0, 0, lean)).translate((x * (k / (count - 1) - 0.5) * 0.6, 0, z * 0.955)) for k in range(count)
    ]
    collision = [
        foot(x * 0.36, y * 0.34, z * 0.4),
        Geom(type="box", size=(x * 0.4, y * 0.42, z * 0.3), pos=(0, 0, z * 0.3 + LIFT)),
        ellipsoid((x / 2, y / 2, z / 2 - LIFT), (0, 0, z / 2 + LIFT)),
    ]
    return Draft(stack(body, *cuts), collision, {"grasp": grip((0, 0, z * 0.55), y)}, fitted=True)


def ball(b: Brief) -> Draft:
    """A play ball with two coloured zones and a ring between them."""
    x, _, z = b.size
    r = x / 2
    other, line = b.tile(b.contrast), b.tile((244, 244, 240))
    tilt = np.linspace(-np.pi / 2, np.pi / 2, 15)
    profile = [(r * math.cos(t) if 0 < k < 14 else 0.0, r + r * math.sin(t)) for k, t in enumerate(tilt)]
    kinds = b.vary(0, 1)
    regions = [b.base if abs(k - 6.5) > 1 else (line if kinds < 0.5 else other) for k in range(14)]
    if kinds > 0.7:
        regions[0] = regions[1] = regions[12] = regions[13] = line
    body = lathe(profile, regions, 28).translate((0, 0, -r)).rotate((b.vary(15, 40), b.vary(-20, 20), 0))
    return Draft(flatten_base(body, z * 0.035), resting(b, r * 0.42, r * 0.42), fitted=True)


def duck(b: Brief) -> Draft:
    """A bath duck: body, head, bill, eyes, a raised tail."""
    x, y, z = b.size
    head_r, tail = z * b.vary(0.26, 0.3), b.vary(0.2, 0.34)

    def shape(points: Array, turn: Array) -> Array:
        points[..., 2] += tail * z * np.clip(-points[..., 0] / (x / 2) - 0.25, 0, 1) ** 1.5
        return points

    body = blob((x * 0.46, y / 2, z * 0.32), b.base, shape, (0.85, 0.9), 12, 22).translate((-x * 0.03, 0, z * 0.3))
    at = np.array([x * 0.2, 0, z - head_r])
    head = blob((head_r,) * 3, b.base, rows=10, segments=18).translate(at)
    bill = blob((x * 0.14, y * 0.13, z * 0.045), b.tile((240, 130, 30)), rows=6, segments=12).translate(
        at + (head_r, 0, -head_r * 0.15)
    )
    dark = b.tile((24, 22, 22))
    eye = blob((head_r * 0.17,) * 3, dark, rows=4, segments=8)
    eyes = [eye.translate(at + (head_r * 0.72, s * head_r * 0.55, head_r * 0.4)) for s in (-1, 1)]
    wing = blob((x * 0.17, 0.004, z * 0.13), b.tile(shade(b.colour, 0.85)), rows=6, segments=12)
    wings = [wing.rotate((0, 12, 0)).translate((-x * 0.1, s * y * 0.46, z * 0.36)) for s in (-1, 1)]
    collision = [foot(x * 0.2, y * 0.26, z * 0.25), ellipsoid((x * 0.44, y * 0.47, z * 0.28), (-x * 0.04, 0, z * 0.29))]
    collision += [Geom(type="sphere", size=(head_r,), pos=(float(at[0]), 0, float(at[2])))]
    duck_body = flatten_base(stack(body, head, bill, *eyes, *wings), z * 0.05)
    return Draft(duck_body, collision, {"grasp": grip((0, 0, z * 0.35), y)})


def cactus(b: Brief) -> Draft:
    """A small cactus with two arms in a pot."""
    x, y, z = b.size
    r, pot_h = y / 2, z * b.vary(0.34, 0.4)
    clay = b.tile((188, 102, 66))
    rim = pot_h * 0.72
    pot = lathe(
        [
            (0, 0),
            (r * 0.7, 0),
            (r * 0.86, rim),
            (r, rim),
            (r, pot_h),
            (r * 0.86, pot_h),
            (r * 0.84, pot_h - 0.003),
            (0, pot_h - 0.003),
        ],
        [clay] * 6 + [b.tile((84, 62, 44))],
        24,
    )
    ribs = int(b.vary(7, 10))

    def shape(points: Array, turn: Array) -> Array:
        points[..., :2] *= 1 + 0.08 * np.cos(ribs * turn[..., None])
        return points

    trunk = blob((r * 0.46, r * 0.46, (z - pot_h) / 2 + 0.004), b.base, shape, (0.6, 1.0), 10, 20).translate(
        (0, 0, (z + pot_h) / 2 - 0.004)
    )
    arms = []
    for side, level in ((-1, b.vary(0.4, 0.55)), (1, b.vary(0.25, 0.5))):
        start = pot_h + (z - pot_h) * level
        line = bend(
            [
                (0, 0, start),
                (side * (x / 2 - 0.007), 0, start),
                (side * (x / 2 - 0.005), 0, start + (z - pot_h) * 0.32),
            ],
            7,
        )
        arms.append(tube(line, np.array([1, 1, 1, 1, 1, 0.9, 0.4]) * r * 0.2, b.base, 8))
    flower = blob((0.005, 0.005, 0.003), b.tile((232, 92, 140)), rows=4, segments=8).translate((0, 0, z - 0.002))
    collision = [upright(r * 0.74, 0, rim), upright(r * 0.98, rim, pot_h), upright(r * 0.44, pot_h, z * 0.96)]
    return Draft(
        stack(pot, trunk, *arms, flower),
        collision,
        {"grasp": grip((0, 0, pot_h * 0.85), y), "top": Site(pos=(0, 0, z), size=(0.002, 0.002, 0.001))},
    )

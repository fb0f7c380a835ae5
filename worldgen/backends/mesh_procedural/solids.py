"""Templates of fruit, bread and other round lumps: deformed superellipsoids on a slightly flattened base."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...shapes import Geom, Site
from .collide import LIFT, ellipsoid, foot, upright
from .draft import Brief, Draft, grip, mix, shade
from .mesh_tools import Array, Solid, bend, blob, flatten_base, lathe, stack, tube

STEM, LEAF = (104, 72, 44), (66, 124, 52)
Deform = Callable[[Array, Array], Array]


def _resting(b: Brief, base_x: float, base_y: float, top: float | None = None, slim: float = 1.0) -> list[Geom]:
    """Return an ellipsoid of the object's size on a flat foot of the given half-extents."""
    x, y, z = b.size
    height = top or z
    return [
        foot(base_x, base_y, min(0.004, height * 0.15)),
        ellipsoid((x / 2 * slim, y / 2 * slim, (height - LIFT) / 2), (0, 0, (height + LIFT) / 2)),
    ]


def _waves(b: Brief, strength: float) -> Deform:
    """Return a deformation that pushes points in and out by a few broad waves."""
    directions = b.rng.normal(size=(3, 3))
    phases = b.rng.uniform(0, 2 * np.pi, 3)

    def shape(points: Array, turn: Array) -> Array:
        unit = points / np.maximum(np.abs(points).max(axis=(0, 1)), 1e-9)
        total = np.zeros(turn.shape)
        for k in range(3):
            total += np.sin(unit @ directions[k] * (1.2 + k * 0.6) + phases[k]) / (k + 1)
        return np.asarray(points * (1 + strength * total[..., None]))

    return shape


def _stem(b: Brief, start: float, end: float, lean: float, radius: float = 0.0018) -> Solid:
    """Return a stalk from height `start` to `end`."""
    path = bend([(0, 0, start), (lean * 0.3, 0, (start + end) / 2), (lean, 0, end)], 4)
    return tube(path, np.linspace(0.8, 1.25, 4) * radius, b.tile(STEM), 6)


def _leaf(b: Brief, base: tuple[float, float, float], length: float, turn: float, droop: float = -18) -> Solid:
    """Return a small leaf: a flat pointed blob."""
    leaf = blob((length / 2, length * 0.22, 0.0009), b.tile(LEAF), powers=(1.0, 1.4), rows=4, segments=10)
    return leaf.translate((length / 2, 0, 0)).rotate((0, droop, math.degrees(turn))).translate(base)


def _dimple(radius: float, height: float, top: float, bottom: float = 0.0) -> Deform:
    """Return a deformation that presses the poles in by `top` and `bottom` (shares of the height)."""

    def shape(points: Array, turn: Array) -> Array:
        near = np.clip(1 - np.hypot(points[..., 0], points[..., 1]) / (radius * 0.55), 0, 1) ** 1.6
        points[..., 2] -= height * np.where(points[..., 2] > 0, top, -bottom) * near
        return points

    return shape


def apple(b: Brief) -> Draft:
    """An apple: dimples at both ends, a stalk, at times a leaf."""
    x, y, z = b.size
    r, h, taper = x / 2, z * b.vary(0.86, 0.92), b.vary(0.05, 0.16)
    lobes, lean = b.vary(0.0, 0.05), b.vary(-0.004, 0.004)
    dimple = _dimple(r, h, 0.17, 0.08)

    def shape(points: Array, turn: Array) -> Array:
        height = points[..., 2:] / (h / 2)
        points = dimple(points, turn)
        points[..., :2] *= 1 + taper * height + lobes * np.cos(5 * turn[..., None]) * (height < 0)
        return points

    body = flatten_base(blob((r, r, h / 2), b.base, shape, rows=14), h * 0.03)
    parts = [body, _stem(b, h * 0.72, z, lean)]
    if b.chance(0.5):
        parts.append(_leaf(b, (lean * 0.6, 0, h * 0.92), r * 0.75, b.vary(0, 6)))
    return Draft(stack(*parts), _resting(b, r * 0.42, r * 0.42, h), {"grasp": grip((0, 0, h * 0.52), y)})


def tangerine(b: Brief) -> Draft:
    """A citrus fruit, a little flat, with a green button."""
    x, y, z = b.size
    r, knob = x / 2, z * b.vary(0.03, 0.05)
    body = blob((r, r, z / 2 - knob / 2), b.base, _dimple(r, z, 0.06, 0.03), rows=14)
    body = flatten_base(body, z * 0.03)
    top = z - knob
    star = [_leaf(b, (0, 0, top * 0.97), r * 0.3, k * 2 * math.pi / 5, 4) for k in range(5)] if b.chance(0.6) else []
    stub = lathe([(0, top * 0.9), (r * 0.1, top * 0.9), (r * 0.08, z), (0, z)], b.tile((88, 128, 50)), 8)
    return Draft(stack(body, stub, *star), _resting(b, r * 0.42, r * 0.42, top))


def tomato(b: Brief) -> Draft:
    """A ribbed tomato with a star of green sepals."""
    x, y, z = b.size
    r, h, ribs = x / 2, z * 0.9, int(b.vary(5, 8))
    depth, dimple = b.vary(0.015, 0.06), _dimple(x / 2, z * 0.9, 0.12, 0.05)

    def shape(points: Array, turn: Array) -> Array:
        points = dimple(points, turn)
        points[..., :2] *= 1 + depth * np.abs(np.cos(ribs * turn / 2))[..., None]
        return points

    body = flatten_base(blob((r, r, h / 2), b.base, shape, rows=14), h * 0.03)
    leaves = [_leaf(b, (0, 0, h * 0.9), r * b.vary(0.6, 0.8), k * 2 * math.pi / 5, -4) for k in range(5)]
    return Draft(stack(body, *leaves, _stem(b, h * 0.75, z, 0.003)), _resting(b, r * 0.42, r * 0.42, h))


def pumpkin(b: Brief) -> Draft:
    """A deeply ribbed squash with a thick stalk."""
    x, y, z = b.size
    r, h, ribs = x / 2, z * b.vary(0.76, 0.82), int(b.vary(8, 11))
    depth, dimple = b.vary(0.1, 0.16), _dimple(x / 2, z * 0.8, 0.16, 0.05)

    def shape(points: Array, turn: Array) -> Array:
        points = dimple(points, turn)
        points[..., :2] *= 1 - depth * (1 - np.abs(np.sin(ribs * turn / 2)) ** 0.7)[..., None]
        return points

    body = flatten_base(blob((r, r, h / 2), b.base, shape, rows=12, segments=40), h * 0.03)
    green = b.tile((92, 112, 54))
    stalk = tube(
        bend([(0, 0, h * 0.7), (0, 0, h), (b.vary(-0.006, 0.006), 0.003, z)], 4),
        np.array([1.5, 1, 0.9, 1.1]) * r * 0.16,
        green,
        6,
    )
    return Draft(stack(body, stalk), _resting(b, r * 0.42, r * 0.42, h, 0.96))


def pepper(b: Brief) -> Draft:
    """A bell pepper standing up: lobes, a sunken crown, a green stalk."""
    x, y, z = b.size
    r, h, lobes = x / 2, z * b.vary(0.84, 0.9), int(b.vary(3, 4.99))
    taper, dimple = b.vary(0.1, 0.24), _dimple(x / 2, z * 0.87, 0.16, 0.05)

    def shape(points: Array, turn: Array) -> Array:
        points = dimple(points, turn)
        height = points[..., 2:] / (h / 2)
        points[..., :2] *= (1 + taper * height) * (1 - 0.13 * np.cos(lobes * turn[..., None]))
        return points

    body = flatten_base(blob((r, r, h / 2), b.base, shape, (0.75, 1.0), 14, 28), h * 0.03)
    green = b.tile((72, 126, 50))
    stalk = tube(
        bend([(0, 0, h * 0.78), (0, 0, h * 0.95), (0.004, 0, z)], 4),
        np.array([2.2, 1.0, 0.8, 1.0]) * r * 0.14,
        green,
        8,
    )
    return Draft(stack(body, stalk), [*_resting(b, r * 0.4, r * 0.4, h, 0.9), upright(r * 0.72, h * 0.2, h * 0.85)])


def lemon(b: Brief) -> Draft:
    """A lemon lying down, with a nipple at each end."""
    x, y, z = b.size
    tip, bumps = b.vary(0.1, 0.16), _waves(b, 0.012)

    def shape(points: Array, turn: Array) -> Array:
        height = points[..., 2:] / (x / 2)
        points[..., 2:] *= 1 + tip * np.abs(height) ** 8
        points[..., :2] *= 1 - 0.1 * np.abs(height) ** 3
        return bumps(points, turn)

    body = blob((z / 2, y / 2, x / 2), b.base, shape, (1.15, 1.0), 16, 24).rotate((0, 90, 0))
    body = flatten_base(body, z * 0.04)
    return Draft(body, _resting(b, x * 0.16, y * 0.18, slim=0.97))


def pear(b: Brief) -> Draft:
    """A pear: a wide base, a narrow neck, a stalk."""
    x, y, z = b.size
    r, h = x / 2, z * b.vary(0.87, 0.92)
    neck, lean = b.vary(0.42, 0.55), b.vary(-0.1, 0.1)
    dimple = _dimple(r, h, 0.0, 0.04)

    def shape(points: Array, turn: Array) -> Array:
        points = dimple(points, turn)
        s = (points[..., 2:] / h) + 0.5
        points[..., :2] *= 1 - (1 - neck) / (1 + np.exp(-(s - 0.62) * 13))
        points[..., 0] += lean * r * np.clip(s[..., 0] - 0.5, 0, 1)
        return points

    body = blob((r, r, h / 2), b.base, shape, (0.72, 1.0), 16).translate((0, 0, h / 2))
    body = flatten_base(body, h * 0.025)
    collision = [foot(r * 0.4, r * 0.4, 0.004), ellipsoid((r, r, h * 0.33), (0, 0, h * 0.33 + LIFT))]
    collision.append(ellipsoid((r * neck * 1.1, r * neck * 1.1, h * 0.36), (lean * r * 0.3, 0, h * 0.64)))
    hold = grip((0, 0, h * 0.36), y)
    return Draft(stack(body, _stem(b, h * 0.9, z, lean * r * 0.6 + 0.003)), collision, {"grasp": hold})


def egg(b: Brief) -> Draft:
    """An egg lying down."""
    x, y, z = b.size
    point = b.vary(0.12, 0.2)

    def shape(points: Array, turn: Array) -> Array:
        points[..., :2] *= 1 - point * points[..., 2:] / (x / 2)
        return points

    body = flatten_base(blob((z / 2, y / 2, x / 2), b.base, shape, rows=14).rotate((0, 90, 0)), z * 0.035)
    return Draft(body, _resting(b, x * 0.15, y * 0.17, slim=0.98))


def potato(b: Brief) -> Draft:
    """A lumpy potato."""
    x, y, z = b.size
    body = blob((x / 2, y / 2, z / 2), b.base, _waves(b, b.vary(0.05, 0.09)), (0.85, 0.9), 12, 24)
    return Draft(flatten_base(body, z * 0.06), _resting(b, x * 0.2, y * 0.2, slim=0.97))


def avocado(b: Brief) -> Draft:
    """Half an avocado, cut side up: dark skin, green flesh, a round stone."""
    x, y, z = b.size
    h, narrow = z * 0.82, b.vary(0.25, 0.36)

    def shape(points: Array, turn: Array) -> Array:
        s = points[..., 0] / (x / 2)
        points[..., 1] *= 1 - narrow * np.clip(s, 0, 1) ** 1.2
        points[..., 2] *= 1 - 0.25 * np.clip(s, 0, 1)
        return points

    whole = blob((x / 2, y / 2, h), b.base, shape, rows=16)
    half = whole.trim_by_plane((0, 0, -1), 0)
    rim = whole.scale((0.9, 0.88, 0.5)).trim_by_plane((0, 0, -1), 0)
    flesh = lathe(
        [(0, -0.002), (1, -0.002), (1, 0.0006), (0, 0.0006)], b.tile((206, 210, 112), "gradient", (232, 226, 150)), 32
    )
    lid = flesh.scale((x, y, 1.0)) ^ rim.translate((0, 0, h * 0.2)).scale((1.0, 1.0, 6.0))
    stone = blob((y * 0.2, y * 0.2, z - h), b.tile((112, 70, 40)), rows=8, segments=16).translate((-x * 0.12, 0, 0))
    body = flatten_base(stack(half, lid, stone), h * 0.05)
    collision = [foot(x * 0.14, y * 0.18, 0.004), upright(y * 0.2, h * 0.8, z * 0.96, -x * 0.12)]
    collision.append(ellipsoid((x * 0.42, y * 0.42, (h - LIFT) / 2), (-x * 0.02, 0, (h + LIFT) / 2)))
    return Draft(body, collision, {"grasp": grip((0, 0, h * 0.6), y)})


def strawberry(b: Brief) -> Draft:
    """A strawberry on its leafy top, point up, with pale seeds."""
    x, y, z = b.size
    r, leaf = x / 2, z * 0.1
    h = z - leaf * 0.6
    point = b.vary(0.5, 0.64)
    b.dress("speckle", mix(b.colour, (250, 226, 120), 0.75))

    def shape(points: Array, turn: Array) -> Array:
        points[..., :2] *= 1 - point * np.clip(points[..., 2:] / h + 0.28, 0, 1)
        return points

    body = blob((r, r, h / 2), b.base, shape, (0.8, 1.0), 14).translate((0, 0, h / 2 + leaf * 0.6))
    sepals = [_leaf(b, (0, 0, leaf * 0.6), r * 0.95, k * math.pi / 3 + 0.2, -4) for k in range(6)]
    hat = lathe([(0, 0), (r * 0.6, 0), (r * 0.7, leaf), (0, leaf)], b.tile(LEAF), 16)
    collision = [upright(r * 0.62, 0, leaf), ellipsoid((r * 0.9, r * 0.9, h * 0.36), (0, 0, leaf + h * 0.34))]
    collision.append(ellipsoid((r * 0.6, r * 0.6, h * 0.3), (0, 0, z - h * 0.32)))
    return Draft(flatten_base(stack(hat, body, *sepals), 0.0008), collision, {"grasp": grip((0, 0, z * 0.42), y)})


def eggplant(b: Brief) -> Draft:
    """An aubergine lying down: a long drop with a green cap."""
    x, y, z = b.size
    thin, bow = b.vary(0.36, 0.5), b.vary(-0.1, 0.1) * y
    along = np.linspace(0, 1, 14)
    radii = z / 2 * np.sin(np.pi * along**0.62) ** 0.6 * (1 - (1 - thin) * along**1.3)
    radii /= radii.max() / (z / 2)
    radii[0], radii[-1] = 1e-4, z * 0.17
    path = np.stack([-x / 2 + x * 0.82 * along, bow * np.sin(along * 3), radii], 1)
    green = b.tile((84, 128, 62))
    body = tube(path, radii, b.base, 18)
    end = path[-1]
    cap = tube(
        [end - (x * 0.07, 0, -0.001), end + (x * 0.01, 0, 0), end + (x * 0.06, 0, 0), end + (x * 0.18, 0, z * 0.08)],
        np.array([0.24, 0.2, 0.07, 0.06]) * z,
        green,
        10,
    )
    body = flatten_base(stack(body, cap), z * 0.04)
    k = int(radii.argmax())
    collision = [
        foot(x * 0.14, y * 0.2, 0.004, float(path[k, 0])),
        ellipsoid((x * 0.3, y / 2, z / 2 - LIFT), (float(path[k, 0]) + x * 0.04, 0, z / 2 + LIFT)),
    ]
    tail = Geom(
        type="capsule",
        size=(z * 0.2, x * 0.18),
        pos=(x * 0.2, 0, z * 0.24),
        quat=(math.sqrt(0.5), 0, math.sqrt(0.5), 0),
    )
    return Draft(body, [*collision, tail], {"grasp": grip((float(path[k, 0]), 0, z / 2), y)})


def onion(b: Brief) -> Draft:
    """A round bulb drawn out to a papery tip, with roots below."""
    x, y, z = b.size
    r, tip = x / 2, b.vary(0.2, 0.3)

    def shape(points: Array, turn: Array) -> Array:
        s = np.clip(points[..., 2:] / (z / 2), 0, 1)
        points[..., :2] *= 1 - 0.55 * s**2.5
        points[..., 2:] *= 1 + tip * s**4
        return points

    body = flatten_base(blob((r, r, z * 0.42), b.base, shape, (0.95, 1.0), 16), z * 0.03)
    tuft = lathe(
        [(0, z * 0.8), (r * 0.22, z * 0.8), (r * 0.12, z * 0.97), (r * 0.16, z), (0, z)], b.tile((206, 172, 116)), 10
    )
    collision = [
        foot(r * 0.4, r * 0.4, 0.004),
        ellipsoid((r, r, z * 0.41), (0, 0, z * 0.41 + LIFT)),
        upright(r * 0.2, z * 0.7, z * 0.97),
    ]
    return Draft(stack(body, tuft), collision, {"grasp": grip((0, 0, z * 0.4), y)})


def bread(b: Brief) -> Draft:
    """A loaf with slashes across its crust."""
    x, y, z = b.size
    body = blob((x / 2, y / 2, z * 0.62), b.base, None, (0.75, 0.62), 14, 28)
    body = flatten_base(body, z * 0.24)
    pale = b.tile(mix(b.colour, (250, 232, 190), 0.65), "speckle")
    count = int(b.vary(3, 5))
    lean = b.vary(-25, 25)
    slash = blob((x * 0.028, y * 0.3, z * 0.05), pale, rows=6, segments=12)
    cuts = [
        slash.rotate((0, 0, lean)).translate((x * (k / (count - 1) - 0.5) * 0.6, 0, z * 0.98)) for k in range(count)
    ]
    collision = [
        foot(x * 0.36, y * 0.34, 0.004),
        Geom(type="box", size=(x * 0.4, y * 0.42, z * 0.3), pos=(0, 0, z * 0.3 + LIFT)),
        ellipsoid((x / 2, y / 2, z / 2 - LIFT), (0, 0, z / 2 + LIFT)),
    ]
    return Draft(stack(body, *cuts), collision, {"grasp": grip((0, 0, z * 0.55), y)})


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
    return Draft(flatten_base(body, z * 0.035), _resting(b, r * 0.42, r * 0.42))


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
    collision = [foot(x * 0.2, y * 0.26, 0.004), ellipsoid((x * 0.44, y * 0.47, z * 0.28), (-x * 0.04, 0, z * 0.29))]
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

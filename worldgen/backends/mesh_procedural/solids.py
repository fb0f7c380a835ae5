"""Templates of fruit and vegetables: deformed superellipsoids on a slightly flattened base."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...shapes import Geom
from .collide import LIFT, ellipsoid, foot, upright
from .curves import bend, blob, tube
from .draft import Brief, Draft, grip, mix
from .mesh_tools import Array, Solid, flatten_base, lathe, stack

STEM, LEAF = (104, 72, 44), (66, 124, 52)
Deform = Callable[[Array, Array], Array]


def resting(b: Brief, base_x: float, base_y: float, top: float | None = None, slim: float = 1.0) -> list[Geom]:
    """Return an ellipsoid of the object's size on a flat foot of the given half-extents."""
    x, y, z = b.size
    height = top or z
    return [
        foot(base_x, base_y, height * 0.45),
        ellipsoid((x / 2 * slim, y / 2 * slim, (height - LIFT) / 2), (0, 0, (height + LIFT) / 2)),
    ]


def waves(b: Brief, strength: float) -> Deform:
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
    return Draft(stack(*parts), resting(b, r * 0.42, r * 0.42, h), {"grasp": grip((0, 0, h * 0.52), y)}, fitted=True)


def tangerine(b: Brief) -> Draft:
    """A citrus fruit, a little flat, with a green button."""
    x, _y, z = b.size
    r, knob = x / 2, z * b.vary(0.03, 0.05)
    body = blob((r, r, z / 2 - knob / 2), b.base, _dimple(r, z, 0.06, 0.03), rows=14)
    body = flatten_base(body, z * 0.03)
    top = z - knob
    star = [_leaf(b, (0, 0, top * 0.97), r * 0.3, k * 2 * math.pi / 5, 4) for k in range(5)] if b.chance(0.6) else []
    stub = lathe([(0, top * 0.9), (r * 0.1, top * 0.9), (r * 0.08, z), (0, z)], b.tile((88, 128, 50)), 8)
    return Draft(stack(body, stub, *star), resting(b, r * 0.42, r * 0.42, top), fitted=True)


def tomato(b: Brief) -> Draft:
    """A ribbed tomato with a star of green sepals."""
    x, _y, z = b.size
    r, h, ribs = x / 2, z * 0.9, int(b.vary(5, 8))
    depth, dimple = b.vary(0.015, 0.06), _dimple(x / 2, z * 0.9, 0.12, 0.05)

    def shape(points: Array, turn: Array) -> Array:
        points = dimple(points, turn)
        points[..., :2] *= 1 + depth * np.abs(np.cos(ribs * turn / 2))[..., None]
        return points

    body = flatten_base(blob((r, r, h / 2), b.base, shape, rows=14), h * 0.03)
    leaves = [_leaf(b, (0, 0, h * 0.9), r * b.vary(0.6, 0.8), k * 2 * math.pi / 5, -4) for k in range(5)]
    return Draft(stack(body, *leaves, _stem(b, h * 0.75, z, 0.003)), resting(b, r * 0.42, r * 0.42, h), fitted=True)


def pumpkin(b: Brief) -> Draft:
    """A deeply ribbed squash with a thick stalk."""
    x, _y, z = b.size
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
    return Draft(stack(body, stalk), resting(b, r * 0.42, r * 0.42, h, 0.96), fitted=True)


def pepper(b: Brief) -> Draft:
    """A bell pepper standing up: lobes, a sunken crown, a green stalk."""
    x, _y, z = b.size
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
    return Draft(
        stack(body, stalk), [*resting(b, r * 0.4, r * 0.4, h, 0.9), upright(r * 0.72, h * 0.2, h * 0.85)], fitted=True
    )


def lemon(b: Brief) -> Draft:
    """A lemon lying down, with a nipple at each end."""
    x, y, z = b.size
    tip, bumps = b.vary(0.1, 0.16), waves(b, 0.012)

    def shape(points: Array, turn: Array) -> Array:
        height = points[..., 2:] / (x / 2)
        points[..., 2:] *= 1 + tip * np.abs(height) ** 8
        points[..., :2] *= 1 - 0.1 * np.abs(height) ** 3
        return bumps(points, turn)

    body = blob((z / 2, y / 2, x / 2), b.base, shape, (1.15, 1.0), 16, 24).rotate((0, 90, 0))
    body = flatten_base(body, z * 0.04)
    return Draft(body, resting(b, x * 0.16, y * 0.18, slim=0.97), fitted=True)


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
    collision = [foot(r * 0.4, r * 0.4, h * 0.3), ellipsoid((r, r, h * 0.33), (0, 0, h * 0.33 + LIFT))]
    collision.append(ellipsoid((r * neck * 1.1, r * neck * 1.1, h * 0.36), (lean * r * 0.3, 0, h * 0.64)))
    hold = grip((0, 0, h * 0.36), y)
    return Draft(stack(body, _stem(b, h * 0.9, z, lean * r * 0.6 + 0.003)), collision, {"grasp": hold})


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
    collision = [foot(x * 0.14, y * 0.18, h * 0.4), upright(y * 0.2, h * 0.8, z * 0.96, -x * 0.12)]
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
        foot(x * 0.14, y * 0.2, z * 0.4, float(path[k, 0])),
        ellipsoid((x * 0.3, y * 0.45, z / 2 - LIFT), (float(path[k, 0]) + x * 0.04, 0, z / 2 + LIFT)),
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
        foot(r * 0.4, r * 0.4, z * 0.35),
        ellipsoid((r, r, z * 0.41), (0, 0, z * 0.41 + LIFT)),
        upright(r * 0.2, z * 0.7, z * 0.97),
    ]
    return Draft(stack(body, tuft), collision, {"grasp": grip((0, 0, z * 0.4), y)})

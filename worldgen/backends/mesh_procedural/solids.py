"""Templates of fruit, bread and other round lumps: deformed superellipsoids on a slightly flattened base."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom, Site
from .collide import ellipsoid, foot
from .draft import Brief, Draft, grip, shade
from .mesh_tools import Array, Solid, bend, blob, flatten_base, stack, tube

STEM, LEAF = (104, 72, 44), (66, 124, 52)
LIFT = 0.0006
"""How far a round collision geom stays above the flat foot that carries it [m]."""


def _resting(b: Brief, base_x: float, base_y: float, top: float | None = None) -> list[Geom]:
    """Return an ellipsoid of the object's size on a flat foot of the given half-extents."""
    x, y, z = b.size
    height = z if top is None else top
    return [
        foot(base_x, base_y, min(0.004, height * 0.15)),
        ellipsoid((x / 2, y / 2, (height - LIFT) / 2), (0, 0, (height + LIFT) / 2)),
    ]


def _lump(points: Array, strength: float, seed: Array) -> Array:
    """Push points in and out by a few broad waves."""
    unit = points / np.maximum(np.abs(points).max(axis=(0, 1)), 1e-9)
    waves = sum(
        math_sin(unit @ direction[:3] * (1.6 + k) + direction[3] * 6) / (k + 1) for k, direction in enumerate(seed)
    )
    return np.asarray(points * (1 + strength * waves[..., None]))


math_sin = np.sin


def _stem(b: Brief, start: float, height: float, lean: float, radius: float = 0.0017) -> Solid:
    """Return a short stalk from (0, 0, start), `height` high."""
    path = bend([(0, 0, start), (lean * 0.3, 0, start + height * 0.5), (lean, 0, start + height)], 4)
    return tube(path, np.linspace(0.8, 1.25, 4) * radius, b.tile(STEM), 6)


def _leaf(b: Brief, base: tuple[float, float, float], length: float, turn: float) -> Solid:
    """Return a small leaf: a flat pointed blob."""
    leaf = blob((length / 2, length * 0.22, 0.0009), b.tile(LEAF), powers=(1.0, 1.4), rows=4, segments=12)
    return leaf.translate((length / 2, 0, 0)).rotate((0, -18, math.degrees(turn))).translate(base)


def apple(b: Brief) -> Draft:
    """An apple: dimples at both ends, a stalk, at times a leaf."""
    x, y, z = b.size
    stalk = z * b.vary(0.1, 0.16)
    r, h, taper = x / 2, z - stalk * 0.75, b.vary(0.06, 0.16)
    lobes, lean = b.vary(0.0, 0.04), b.vary(-0.004, 0.004)

    def shape(points: Array, turn: Array) -> Array:
        height = points[..., 2] / (h / 2)
        near = np.clip(1 - np.hypot(points[..., 0], points[..., 1]) / (r * 0.52), 0, 1) ** 1.6
        points[..., 2] -= h * np.where(height > 0, 0.17, -0.1) * near
        points[..., :2] *= (1 + taper * height + lobes * np.cos(5 * turn) * (height < 0))[..., None]
        return points

    body = flatten_base(blob((r, r, h / 2), b.base, shape, rows=14), h * 0.03)
    parts = [body, _stem(b, h * 0.72, z - h * 0.72, lean)]
    if b.chance(0.4):
        parts.append(_leaf(b, (lean * 0.6, 0, h * 0.92), r * 0.75, b.vary(0, 6)))
    return Draft(stack(*parts), _resting(b, r * 0.42, r * 0.42, h), {"grasp": grip((0, 0, h * 0.52), y)})


_ = Site, shade

"""Closed textured solids about curves: swept tubes, rings, superellipsoids. Knows no categories, no colours, no collision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .mesh_tools import Array, Region, Solid, build, corner_uv, loft


def tube(
    path: ArrayLike,
    radii: ArrayLike,
    region: Region | Sequence[Region],
    segments: int = 12,
    closed: bool = False,
    flat: float = 1.0,
    ends: Region | None = None,
) -> Solid:
    """Sweep a circle along a path.

    Args:
        path: (K, 3) points [m].
        radii: One radius, or one a point [m].
        region: Texture; u around, v along.
        segments: Corners of the circle.
        closed: Whether the path returns to its start.
        flat: Height of the section over its width, for a path that lies in a plane z = constant.
        ends: Texture of the flat ends.
    """
    points = np.asarray(path, np.float64)
    radius = np.broadcast_to(np.asarray(radii, np.float64), (len(points),))
    tangent = np.roll(points, -1, 0) - np.roll(points, 1, 0) if closed else np.gradient(points, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    side = np.empty_like(points)
    up = np.array([0.0, 0.0, 1.0]) if abs(tangent[0, 2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    for k, direction in enumerate(tangent):  # parallel transport: no twist along the path
        up = up - direction * (up @ direction)
        up /= np.linalg.norm(up)
        side[k] = up
    across = np.cross(tangent, side)
    angle = np.arange(segments) * 2 * np.pi / segments
    rings = points[:, None] + radius[:, None, None] * (
        np.cos(angle)[None, :, None] * across[:, None] + flat * np.sin(angle)[None, :, None] * side[:, None]
    )
    if not closed:
        return loft(rings, region, ends)
    return _torus(rings, region if isinstance(region, Region) else region[0])


def _torus(rings: Array, region: Region) -> Solid:
    count, size = rings.shape[:2]
    k, i = (grid.reshape(-1) for grid in np.meshgrid(np.arange(count), np.arange(size), indexing="ij"))
    a, b = k * size + i, k * size + (i + 1) % size
    c, d = (k + 1) % count * size + (i + 1) % size, (k + 1) % count * size + i
    u0, u1, v0, v1 = k / count, (k + 1) / count, i / size, (i + 1) / size
    uv = np.concatenate([corner_uv((u0, v0), (u0, v1), (u1, v1)), corner_uv((u0, v0), (u1, v1), (u1, v0))])
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return build(rings.reshape(-1, 3), faces, region.place(uv))


def blob(
    radii: ArrayLike,
    region: Region,
    shape: Callable[[Array, Array], Array] | None = None,
    powers: tuple[float, float] = (1.0, 1.0),
    rows: int = 12,
    segments: int = 24,
) -> Solid:
    """Return a superellipsoid about the origin.

    Args:
        radii: Half-extents [m].
        region: Texture; u around, v from pole to pole.
        shape: Maps (points (R, S, 3), azimuth (R, S)) to deformed points.
        powers: Squareness seen from the side and from above: 1 is round, 0.3 almost a box.
        rows: Rings from pole to pole.
        segments: Corners of a ring.
    """
    tilt = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)[:, None]
    turn = (np.arange(segments) * 2 * np.pi / segments)[None, :]
    side, top = (lambda x, p=powers[i]: np.sign(x) * np.abs(x) ** p for i in (0, 1))
    level = side(np.where(np.abs(np.cos(tilt)) < 1e-9, 0.0, np.cos(tilt)))
    points = np.stack(np.broadcast_arrays(level * top(np.cos(turn)), level * top(np.sin(turn)), side(np.sin(tilt))), -1)
    points = points * np.asarray(radii, np.float64)
    if shape is not None:
        points = shape(points, np.broadcast_to(turn, points.shape[:2]))
    return loft(points, region)


def bend(line: Sequence[tuple[float, float, float]], count: int) -> Array:
    """Return `count` points on a smooth curve (Catmull-Rom) through the given ones."""
    points = np.asarray(line, np.float64)
    padded = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    at = np.linspace(0, len(points) - 1, count)
    k = np.minimum(at.astype(int), len(points) - 2)
    t = (at - k)[:, None]
    a, b, c, d = (padded[k + j] for j in range(4))
    return np.asarray(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))

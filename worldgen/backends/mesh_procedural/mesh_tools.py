"""Closed textured solids from rings, profiles, paths and outlines. Knows no categories, no colours, no collision.

A solid is a `manifold3d.Manifold` whose vertices carry five numbers: x, y, z [m] and the texture coordinates u, v. Union and
difference keep the coordinates, so a cut shows what the cutter was painted with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from manifold3d import Error, Manifold, Mesh64, OpType, triangulate
from numpy.typing import ArrayLike, NDArray

from ...errors import AssetError

Solid = Any
"""A `manifold3d.Manifold` (the package has no types)."""
Array = NDArray[np.float64]
SEGMENTS = 32
"""Segments of a full turn: round things look round at 160 px."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the object's texture, in texture coordinates."""

    low: tuple[float, float]
    high: tuple[float, float]

    def place(self, uv: Array) -> Array:
        """Map coordinates in [0, 1] into the rectangle."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        return low + np.clip(uv, 0.0, 1.0) * (high - low)


def build(vertices: Array, faces: NDArray[np.int64], uv: Array) -> Solid:
    """Return a solid from a closed mesh, turned right side out if need be.

    Args:
        vertices: (V, 3), shared between faces.
        faces: (F, 3).
        uv: (F, 3, 2), already inside a region.
    """
    corners = vertices[faces]
    if np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0:
        faces, uv = faces[:, ::-1], uv[:, ::-1]
    flat = np.ascontiguousarray(faces.reshape(-1))
    _, first, inverse = np.unique(flat, return_index=True, return_inverse=True)
    target = first[inverse]
    corner = np.arange(len(flat))
    merged = corner != target
    mesh = Mesh64(
        np.ascontiguousarray(np.hstack([vertices[flat], uv.reshape(-1, 2)])),
        corner.reshape(-1, 3).astype(np.uint64),
        merge_from_vert=corner[merged].astype(np.uint64),
        merge_to_vert=target[merged].astype(np.uint64),
    )
    solid = Manifold(mesh)
    if solid.status() != Error.NoError:
        raise AssetError(f"A template made a mesh that is not closed ({solid.status()}).")
    return solid


def arrays(solid: Solid) -> tuple[Array, NDArray[np.int64], Array]:
    """Return vertices (V, 3), faces (F, 3) and corner coordinates (F, 3, 2) of a solid."""
    mesh = solid.to_mesh64()
    properties = np.asarray(mesh.vert_properties, np.float64)
    triangles = np.asarray(mesh.tri_verts, np.int64)
    target = np.arange(len(properties))
    target[np.asarray(mesh.merge_from_vert, np.int64)] = np.asarray(mesh.merge_to_vert, np.int64)
    while (target != target[target]).any():
        target = target[target]
    used, faces = np.unique(target[triangles], return_inverse=True)
    return properties[used, :3], faces.reshape(-1, 3).astype(np.int64), properties[triangles][:, :, 3:5]


def bounds(solid: Solid) -> tuple[Array, Array]:
    """Return the lowest and highest corner of a solid."""
    box = np.asarray(solid.bounding_box(), np.float64)
    return box[:3], box[3:]


def loft(
    rings: ArrayLike, regions: Region | Sequence[Region], ends: Region | None = None, repeat: float = 1.0
) -> Solid:
    """Join rings of points into a closed solid; a first or last ring of no size ends in a point, others in a flat cap.

    Args:
        rings: (K, N, 3), each ring in the same sense.
        regions: Texture of all bands, or one region for each of the K - 1 bands. u runs once around, v along each run of
            bands that share a region.
        ends: Texture of the caps; None takes the neighbouring band's.
        repeat: How often u runs through the region.
    """
    return build(*_loft_mesh(np.asarray(rings, np.float64), regions, ends, repeat))


def _loft_mesh(
    points: Array, regions: Region | Sequence[Region], ends: Region | None = None, repeat: float = 1.0
) -> tuple[Array, NDArray[np.int64], Array]:
    count, size = points.shape[:2]
    bands = [regions] * (count - 1) if isinstance(regions, Region) else list(regions)
    pole = [bool(np.ptp(points[k], axis=0).max() < 1e-9) for k in (0, count - 1)]
    vertices = [points.reshape(-1, 3), points[[0, -1]].mean(axis=1)]
    step = np.arange(size)
    after = (step + 1) % size
    faces, uv = [], []
    heights = _band_heights(points, bands)
    u0, u1 = (step / size * repeat) % 1.000001, ((step + 1) / size * repeat - 1e-9) % 1.000001
    u0 = np.where(u0 > u1, 0.0, u0)
    middle = (u0 + u1) / 2
    for k, region in enumerate(bands):
        v0, v1 = (np.full(size, value) for value in heights[k])
        low, high = k * size, (k + 1) * size
        lower_pole, upper_pole = k == 0 and pole[0], k == count - 2 and pole[1]
        if lower_pole:
            faces.append(np.stack([np.full(size, count * size), high + after, high + step], 1))
            uv.append(region.place(corner_uv((middle, v0), (u1, v1), (u0, v1))))
            continue
        if upper_pole:
            faces.append(np.stack([low + step, low + after, np.full(size, count * size + 1)], 1))
            uv.append(region.place(corner_uv((u0, v0), (u1, v0), (middle, v1))))
            continue
        faces.append(np.stack([low + step, low + after, high + after], 1))
        uv.append(region.place(corner_uv((u0, v0), (u1, v0), (u1, v1))))
        faces.append(np.stack([low + step, high + after, high + step], 1))
        uv.append(region.place(corner_uv((u0, v0), (u1, v1), (u0, v1))))
    for end, ring, is_pole in ((0, 0, pole[0]), (1, (count - 1) * size, pole[1])):
        if not is_pole:
            cap = np.stack([ring + step, ring + after, np.full(size, count * size + end)], 1)
            cap = cap[:, [1, 0, 2]] if end == 0 else cap
            faces.append(cap)
            uv.append((ends or bands[-end]).place(flat_uv(np.concatenate(vertices)[cap], points[-end])))
    all_vertices, all_faces = np.concatenate(vertices), np.concatenate(faces)
    used, compact = np.unique(all_faces, return_inverse=True)
    return all_vertices[used], compact.reshape(-1, 3), np.concatenate(uv)


def corner_uv(*corners: tuple[Array, Array]) -> Array:
    """Stack (u, v) of the corners of many triangles."""
    return np.stack([np.stack(corner, 1) for corner in corners], 1)


def _band_heights(points: Array, bands: Sequence[Region]) -> list[tuple[float, float]]:
    """Return v at both edges of each band: arc length along a run of bands of one region, from 0 to 1."""
    lengths = np.maximum(np.linalg.norm(np.diff(points, axis=0), axis=2).mean(axis=1), 1e-9)
    heights: list[tuple[float, float]] = []
    start = 0
    for k in range(1, len(bands) + 1):
        if k == len(bands) or bands[k] is not bands[start]:
            edges = np.concatenate([[0.0], np.cumsum(lengths[start:k])])
            edges /= edges[-1]
            heights += list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
            start = k
    return heights


def flat_uv(corners: Array, extent: Array) -> Array:
    """Return coordinates of points seen along the thinnest axis of `extent`, which spans [0, 1]."""
    low, span = extent.min(axis=0), np.ptp(extent, axis=0)
    axes = np.sort(np.argsort(span)[-2:])
    return np.asarray((corners[..., axes] - low[axes]) / np.maximum(span[axes], 1e-9))


def lathe(
    profile: Sequence[tuple[float, float]], regions: Region | Sequence[Region], segments: int = SEGMENTS
) -> Solid:
    """Turn a profile of (radius, z) points about z; it starts and ends on the axis, or in a flat cap."""
    line = np.asarray(profile, np.float64)
    angle = np.arange(segments) * 2 * np.pi / segments
    rings = np.empty((len(line), segments, 3))
    rings[..., 0] = line[:, :1] * np.cos(angle)
    rings[..., 1] = line[:, :1] * np.sin(angle)
    rings[..., 2] = line[:, 1:]
    return loft(rings, regions)


def rectangle(half_x: float, half_y: float, radius: float, steps: int = 2) -> Array:
    """Return the outline (4 (steps + 1), 2) of a rectangle with round corners, counter-clockwise."""
    radius = min(radius, half_x * 0.999, half_y * 0.999)
    turn = np.linspace(0, np.pi / 2, steps + 1)
    corner = radius * np.stack([np.cos(turn), np.sin(turn)], 1)
    parts = []
    for quarter, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter]
        turned = corner @ np.array([[cosine, sine], [-sine, cosine]])
        parts.append(turned + (sx * (half_x - radius), sy * (half_y - radius)))
    return np.concatenate(parts)


def box(
    size: ArrayLike, bevel: float, region: Region, centre: ArrayLike = (0, 0, 0), sides: dict[str, Region] | None = None
) -> Solid:
    """Return a box with rounded edges; each face shows the whole region.

    Args:
        size: Full extents [m].
        bevel: Radius of the edges [m].
        region: Texture of the faces.
        centre: Centre [m].
        sides: Other textures for some of "+x", "-x", "+y", "-y", "+z", "-z".
    """
    half = np.asarray(size, np.float64) / 2
    middle = np.asarray(centre, np.float64)
    bevel = float(min(bevel, half.min() * 0.98))
    if bevel < SHARP:
        vertices, faces = half * _CORNERS, _CORNER_FACES
    else:
        steps = 1 if bevel < 0.003 else 2
        turn = np.linspace(0, np.pi / 2, steps + 1)
        levels = [(-1, t) for t in turn] + [(1, t) for t in turn[::-1]]
        rings = np.empty((len(levels), 4 * (steps + 1), 3))
        for ring, (sign, t) in zip(rings, levels, strict=True):
            inset = bevel * (1 - np.sin(t))
            ring[:, :2] = rectangle(half[0] - inset, half[1] - inset, max(bevel - inset, bevel * 0.3), steps)
            ring[:, 2] = sign * (half[2] - bevel + bevel * np.cos(t))
        vertices, faces, _ = _loft_mesh(rings, region)
    return build(vertices + middle, faces, _six_sided(vertices, faces, region, sides))


SHARP = 0.00035
"""Below this radius an edge is drawn sharp [m]."""
_CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
_CORNER_FACES = np.array(
    [
        (0, 1, 3),
        (0, 3, 2),
        (4, 6, 7),
        (4, 7, 5),
        (0, 4, 5),
        (0, 5, 1),
        (2, 3, 7),
        (2, 7, 6),
        (0, 2, 6),
        (0, 6, 4),
        (1, 5, 7),
        (1, 7, 3),
    ]
)
_SIDES = ("+x", "-x", "+y", "-y", "+z", "-z")


def wrap(solid: Solid, region: Region, sides: dict[str, Region] | None = None) -> Solid:
    """Paint a solid from six sides: each triangle by the axis that it faces most."""
    vertices, faces, _ = arrays(solid)
    return build(vertices, faces, _six_sided(vertices, faces, region, sides))


def _six_sided(vertices: Array, faces: NDArray[np.int64], region: Region, sides: dict[str, Region] | None) -> Array:
    low, span = vertices.min(axis=0), np.maximum(np.ptp(vertices, axis=0), 1e-9)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    axis = np.abs(normals).argmax(axis=1)
    sign = np.take_along_axis(normals, axis[:, None], 1)[:, 0] < 0
    unit = (corners - low) / span
    uv = np.empty((len(faces), 3, 2))
    for number, side in enumerate(_SIDES):
        chosen = (axis == number // 2) & (sign == bool(number % 2))
        across, up = ((1, 2), (0, 2), (0, 1))[number // 2]
        u = unit[chosen][:, :, across]
        u = 1 - u if side in ("-x", "+y") else u
        uv[chosen] = (sides or {}).get(side, region).place(np.stack([u, unit[chosen][:, :, up]], -1))
    return uv


def prism(
    outline: ArrayLike, z0: float, z1: float, region: Region, bevel: float = 0.0, faces: Region | None = None
) -> Solid:
    """Extrude an outline (N, 2) from z0 to z1; `bevel` insets the two end faces. `faces` paints these, `region` the sides."""
    points = np.asarray(outline, np.float64)
    if _area(points) < 0:
        points = points[::-1]
    inner = offset(points, -bevel) if bevel else points
    layers = (
        [(inner, z0), (points, z0 + bevel), (points, z1 - bevel), (inner, z1)]
        if bevel
        else [(points, z0), (points, z1)]
    )
    size, count = len(points), len(layers)
    vertices = np.concatenate([np.column_stack([line, np.full(size, z)]) for line, z in layers])
    step = np.arange(size)
    after = (step + 1) % size
    lengths = np.linalg.norm(points[after] - points, axis=1)
    edges = np.concatenate([[0.0], np.cumsum(lengths)]) / lengths.sum()
    heights = (vertices[::size, 2] - z0) / (z1 - z0)
    triangles, uv = [], []
    for k in range(count - 1):
        low, high = k * size, (k + 1) * size
        v0, v1 = np.full(size, heights[k]), np.full(size, heights[k + 1])
        triangles += [
            np.stack([low + step, low + after, high + after], 1),
            np.stack([low + step, high + after, high + step], 1),
        ]
        uv += [
            region.place(corner_uv((edges[:-1], v0), (edges[1:], v0), (edges[1:], v1))),
            region.place(corner_uv((edges[:-1], v0), (edges[1:], v1), (edges[:-1], v1))),
        ]
    cap = np.asarray(triangulate([inner]), np.int64)
    for tris in (cap[:, ::-1], cap + (count - 1) * size):
        triangles.append(tris)
        uv.append((faces or region).place(flat_uv(vertices[tris][..., :2], points)))
    return build(vertices, np.concatenate(triangles), np.concatenate(uv))


def _area(points: Array) -> float:
    x, y = points.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def offset(points: Array, distance: float) -> Array:
    """Move each corner of a counter-clockwise outline outwards along its mean normal; small distances only."""
    edge = np.roll(points, -1, axis=0) - points
    normal = np.stack([edge[:, 1], -edge[:, 0]], 1) / np.linalg.norm(edge, axis=1, keepdims=True)
    mean = normal + np.roll(normal, 1, axis=0)
    mean /= np.maximum((mean**2).sum(axis=1, keepdims=True) / 2, 0.3)
    return np.asarray(points + distance * mean)


def flatten_base(solid: Solid, height: float) -> Solid:
    """Press everything below `height` [m] above a solid's lowest point up to that plane, then stretch it back to its height.

    The plane becomes z = 0.
    """
    vertices, faces, uv = arrays(solid)
    low, high = vertices[:, 2].min(), vertices[:, 2].max()
    plane = low + height
    vertices[:, 2] = (np.maximum(vertices[:, 2], plane) - plane) * (high - low) / (high - plane)
    return build(vertices, faces, uv)


def stack(*solids: Solid) -> Solid:
    """Return the union of solids."""
    return Manifold.batch_boolean(list(solids), OpType.Add) if len(solids) > 1 else solids[0]

"""Solids as points and distances: what a closed mesh encloses, how far a point is from convex geoms.

Knows geometry alone: no files, no scores, no MuJoCo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from .errors import AssetError
from .shapes import Geom, Vector3

Array = NDArray[np.float64]
Faces = NDArray[np.int64]
Hull = tuple[Array, Faces]
"""Vertices (V, 3) [m] and faces (F, 3), counter-clockwise from outside, of one convex polyhedron."""

SAMPLES = 16_000
"""Points that volumes are compared on."""
_LEAST_CELLS, _MOST_CELLS = 6, 200
"""Along a side."""
SURFACE_SAMPLES = 2_000
"""Points of the visual surface that distances are measured from."""


@dataclass(frozen=True)
class Grid:
    """Stratified points: one jittered column along z in each cell of a regular grid over x and y."""

    low: Array
    cell: Array
    shape: NDArray[np.int64]
    columns: Array
    """(nx * ny, 2) x and y of each column."""
    phase: Array
    """(nx * ny,) height of a column's first point over `low`, in cells."""
    points: Array
    """(nx * ny * nz, 3), column by column, upwards."""

    def occupied(self, vertices: Array, faces: Faces) -> NDArray[np.bool_]:
        """Return which points a closed mesh encloses: where the signed crossings above a point sum to more than none."""
        triangles = vertices[faces]
        nx, ny, nz = self.shape
        first, last = (
            np.clip(((edge[:, :2] - self.low[:2]) // self.cell[:2]).astype(int), 0, self.shape[:2] - 1)
            for edge in (triangles.min(axis=1), triangles.max(axis=1))
        )
        width = last - first + 1
        count = width[:, 0] * width[:, 1]
        face = np.repeat(np.arange(len(faces)), count)  # every (face, column) whose boxes meet
        step = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
        column = (first[face, 0] + step // width[face, 1]) * ny + first[face, 1] + step % width[face, 1]

        to_a, to_b, to_c = (triangles[face, k, :2] - self.columns[column] for k in range(3))
        weight = np.stack([_cross(to_b, to_c), _cross(to_c, to_a), _cross(to_a, to_b)])
        area = weight.sum(axis=0)
        hit = (np.all(weight >= 0, axis=0) | np.all(weight <= 0, axis=0)) & (area != 0)
        weight, area, face, column = weight[:, hit], area[hit], face[hit], column[hit]
        height = np.einsum("kn,nk->n", weight, triangles[face, :, 2]) / area

        below = np.ceil((height - self.low[2]) / self.cell[2] - self.phase[column])
        below = np.clip(below, 0, nz).astype(int)
        crossings = np.bincount(column * (nz + 1) + below, weights=np.sign(area), minlength=nx * ny * (nz + 1))
        winding = np.cumsum(crossings.reshape(nx * ny, nz + 1)[:, ::-1], axis=1)[:, ::-1]
        return (winding[:, 1:] > 0.5).ravel()


def _cross(a: Array, b: Array) -> Array:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def make_grid(around: Array) -> Grid:
    """Return about `SAMPLES` points in the box around points, in cells as cubic as they can be."""
    low, high = around.min(axis=0), around.max(axis=0)
    extent = high - low
    edge = (np.prod(extent) / SAMPLES) ** (1 / 3)
    for _ in range(2):  # what is thinner than its least cells leaves fewer to its other sides
        flat = extent < _LEAST_CELLS * edge
        edge = (np.prod(extent[~flat]) * _LEAST_CELLS ** int(flat.sum()) / SAMPLES) ** (1 / int((~flat).sum()))
    shape = np.clip(np.rint(extent / edge), _LEAST_CELLS, _MOST_CELLS).astype(int)
    cell = extent / shape
    nx, ny, nz = shape
    rng = np.random.default_rng(0)  # jitter: a regular grid would alias with flat walls
    index = np.stack(np.meshgrid(np.arange(nx), np.arange(ny), indexing="ij"), axis=-1).reshape(-1, 2)
    columns = low[:2] + cell[:2] * (index + rng.uniform(1e-6, 1 - 1e-6, index.shape))
    phase = rng.uniform(1e-6, 1 - 1e-6, len(columns))
    heights = low[2] + cell[2] * (phase[:, None] + np.arange(nz))
    points = np.concatenate([np.repeat(columns, nz, axis=0), heights.reshape(-1, 1)], axis=1)
    return Grid(low, cell, shape, columns, phase, points)


@dataclass(frozen=True)
class PlacedGeom:
    """A geom in the object's frame, ready to measure distances from."""

    geom: Geom
    centre: Array
    object_from_geom: Array
    """(3, 3) rotation."""
    low: Array
    high: Array
    hull: tuple[Array, Array] | None = None
    """Of a mesh, in the object's frame: (F, 4) outward normals and offsets of its planes, (F, 3, 3) corners of its triangles."""

    def depth(self, points: Array) -> Array:
        """Return the signed distance of each point from the surface [m], negative inside.

        Exact but for a point outside a hull, where it is the largest distance from a plane: a lower bound.
        """
        if self.hull:
            planes, _ = self.hull
            return np.max(points @ planes[:, :3].T + planes[:, 3], axis=1)
        local = (points - self.centre) @ self.object_from_geom
        return _PRIMITIVES[self.geom.type](local, np.asarray(self.geom.size))


def _box_depth(points: Array, half: Array) -> Array:
    excess = np.abs(points) - half
    return np.linalg.norm(np.maximum(excess, 0), axis=1) + np.minimum(excess.max(axis=1), 0)


def _sphere_depth(points: Array, radius: Array) -> Array:
    return np.linalg.norm(points, axis=1) - radius[0]


def _capsule_depth(points: Array, size: Array) -> Array:
    axial = points[:, 2] - np.clip(points[:, 2], -size[1], size[1])
    return np.sqrt(points[:, 0] ** 2 + points[:, 1] ** 2 + axial**2) - size[0]


def _cylinder_depth(points: Array, size: Array) -> Array:
    excess = np.stack([np.hypot(points[:, 0], points[:, 1]), np.abs(points[:, 2])], axis=1) - size
    return np.linalg.norm(np.maximum(excess, 0), axis=1) + np.minimum(excess.max(axis=1), 0)


def _ellipsoid_depth(points: Array, radii: Array) -> Array:
    # The nearest point is e^2 y / (t + e^2) with the largest t that puts it on the surface. The start makes the largest single
    # term 1, so it lies left of the root of a convex falling function, and Newton climbs to it without overshoot.
    y = np.abs(points) + 1e-9 * radii  # off the symmetry planes, where the root runs into a pole
    square = radii**2
    t = np.max(radii * y - square, axis=1)
    for _ in range(10):
        ratio = radii * y / (t[:, None] + square)
        value = np.sum(ratio**2, axis=1) - 1
        t = t + value / (2 * np.sum(ratio**2 / (t[:, None] + square), axis=1))
    nearest = square * y / (t[:, None] + square)
    return np.sign(t) * np.linalg.norm(y - nearest, axis=1)


_PRIMITIVES = {
    "box": _box_depth,
    "sphere": _sphere_depth,
    "capsule": _capsule_depth,
    "cylinder": _cylinder_depth,
    "ellipsoid": _ellipsoid_depth,
}
_SIZES = {"box": 3, "sphere": 1, "capsule": 2, "cylinder": 2, "ellipsoid": 3, "mesh": 0}


def _rotation(quat: Sequence[float]) -> Array:
    w, x, y, z = np.asarray(quat, float) / np.linalg.norm(quat)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def place(geom: Geom, pos: Vector3, hulls: Mapping[str, Hull]) -> PlacedGeom:
    """Return a geom of a part in the object's frame, where the part stands at `pos` [m]; a mesh geom's file names its hull.

    Raises:
        AssetError: When its sizes are too many or too few, or its hull is not given or flat.
    """
    if len(geom.size) != _SIZES[geom.type]:
        raise AssetError(f"a {geom.type} geom has {len(geom.size)} sizes; give {_SIZES[geom.type]}.")
    rotation = _rotation(geom.quat)
    centre = np.add(geom.pos, pos)
    if geom.type == "mesh":
        if geom.file is None or geom.file not in hulls:
            raise AssetError(f"collision hull '{geom.file}' is not among {sorted(hulls) or 'the hulls (none)'}.")
        vertices, faces = convex_hull(np.asarray(hulls[geom.file][0], float), f"collision hull '{geom.file}'")
        triangles = (vertices @ rotation.T + centre)[faces]
        normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        triangles, normals = triangles[length[:, 0] > 0], normals[length[:, 0] > 0] / length[length[:, 0] > 0]
        planes = np.column_stack([normals, -np.einsum("ij,ij->i", normals, triangles[:, 0])])
        corners = triangles.reshape(-1, 3)
        return PlacedGeom(geom, centre, rotation, corners.min(axis=0), corners.max(axis=0), (planes, triangles))
    size = np.asarray(geom.size)
    if geom.type == "box":
        reach = np.abs(rotation) @ size
    elif geom.type == "sphere":
        reach = np.full(3, size[0])
    elif geom.type == "ellipsoid":
        reach = np.sqrt(rotation**2 @ size**2)
    else:
        along = np.abs(rotation[:, 2])
        across = np.sqrt(np.maximum(1 - along**2, 0)) if geom.type == "cylinder" else 1.0
        reach = along * size[1] + across * size[0]
    return PlacedGeom(geom, centre, rotation, centre - reach, centre + reach)


def convex_hull(vertices: Array, name: str) -> Hull:
    """Return the convex hull of points, faces outwards, in an order that depends on the points alone."""
    try:
        hull = ConvexHull(vertices, qhull_options="Qt")
    except (QhullError, ValueError) as error:
        raise AssetError(
            f"{name} has no volume: {len(vertices)} points in a plane or fewer than 4; thicken it."
        ) from error
    index = np.full(len(vertices), -1)
    index[hull.vertices] = np.arange(len(hull.vertices))
    corners = vertices[hull.simplices]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.einsum("ij,ij->i", normals, hull.equations[:, :3]) < 0
    faces = np.where(inward[:, None], hull.simplices[:, ::-1], hull.simplices)
    return vertices[hull.vertices], index[faces].astype(np.int64)


def surface_points(vertices: Array, faces: Faces) -> Array:
    """Return `SURFACE_SAMPLES` points spread over a surface by area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    steps = np.arange(SURFACE_SAMPLES) + 0.5
    face = np.minimum(np.searchsorted(area, area[-1] * steps / SURFACE_SAMPLES), len(faces) - 1)
    u, v = (steps * 0.7548776662466927) % 1, (steps * 0.5698402909980532) % 1  # plastic number: evenly spread in 2-D
    u, v = np.where(u + v > 1, 1 - u, u)[:, None], np.where(u + v > 1, 1 - v, v)[:, None]
    return a[face] + u * (b - a)[face] + v * (c - a)[face]


def surface_distance(points: Array, placed: Sequence[PlacedGeom]) -> Array:
    """Return each point's distance to the surface of the union of geoms [m]."""
    depth = np.stack([geom.depth(points) for geom in placed])
    inside = depth.min(axis=0) <= 0
    result = np.abs(depth.min(axis=0))
    exact = np.array([geom.hull is None for geom in placed])
    best = depth[exact].min(axis=0) if exact.any() else np.full(len(points), np.inf)
    # Outside a hull its planes give a lower bound: measure to the triangles, first of the nearest hull, then of all that could
    # still be nearer.
    hulls = np.flatnonzero(~exact)
    nearest = hulls[np.argmin(depth[hulls], axis=0)] if len(hulls) else None
    for first in (True, False):
        for index in hulls:
            here = np.flatnonzero(~inside & (depth[index] < best) & ((nearest == index) == first))
            if len(here) and (hull := placed[int(index)].hull):
                best[here] = np.minimum(best[here], _hull_distance(points[here], *hull))
    return np.where(inside, result, best)


def _hull_distance(points: Array, planes: Array, triangles: Array) -> Array:
    """Return the exact distance of points outside a hull from it [m]."""
    height = points @ planes[:, :3].T + planes[:, 3]
    point, face = np.nonzero(height > 0)
    distance = np.full(len(points), np.inf)
    np.minimum.at(distance, point, _triangle_distance(points[point], triangles[face], height[point, face]))
    return distance


def _triangle_distance(points: Array, triangles: Array, height: Array) -> Array:
    """Return the distance of each point from its own triangle [m], `height` [m] over its plane."""
    inside = np.ones(len(points), bool)
    edges = np.full(len(points), np.inf)
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    for k in range(3):
        start = triangles[:, k]
        along = triangles[:, (k + 1) % 3] - start
        to_point = points - start
        inside &= np.einsum("ij,ij->i", np.cross(normal, along), to_point) >= 0
        share = np.einsum("ij,ij->i", to_point, along) / np.maximum(np.einsum("ij,ij->i", along, along), 1e-300)
        edges = np.minimum(edges, np.linalg.norm(to_point - np.clip(share, 0, 1)[:, None] * along, axis=1))
    return np.where(inside, np.abs(height), edges)

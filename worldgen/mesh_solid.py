"""Topology of a mesh: turn faces one way, fill small holes, wrap a closed surface around a soup, carry a texture over.

Knows vertices, faces and pixels; decides nothing: `mesh` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .errors import AssetError
from .mesh_read import Array, Faces

CELLS = 64
"""Grid cells along the longest side of a mesh that is built anew."""
REACH = 0.9
"""Distance of the wrap from the old surface [cells]; gaps up to twice as wide are bridged."""
SHEET = 0.25
"""Half the thickness that a sheet without any gets [cells]."""
CROWDED = 20_000
"""Most half-edges at which more than two faces meet where touching pieces are told apart."""
_SAME_ANGLE = 1e-4
"""Of faces that lie on each other [rad]."""
MAX_SAMPLES = 3_000_000


def count_open_edges(faces: Faces) -> int:
    """Return how many edges are not passed equally often in both directions: 0 for a closed, consistently oriented mesh."""
    edge, forward, _ = _edges(faces)
    return int(np.count_nonzero(np.bincount(edge, np.where(forward, 1, -1)))) if len(edge) else 0


def signed_volume(vertices: Array, faces: Faces) -> float:
    """Return the volume that a closed mesh encloses, negative when it is inside out."""
    a, b, c = (vertices[faces[:, k]] - vertices.mean(axis=0) for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _edges(faces: Faces) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Return, for each of 3 F half-edges in face order, its edge's number, whether it runs up, and the count of its edge."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    key = np.minimum(start, end) * (int(faces.max(initial=0)) + 1) + np.maximum(start, end)
    _, edge, count = np.unique(key, return_inverse=True, return_counts=True)
    return edge, start < end, count[edge]


def pieces(faces: Faces) -> NDArray[np.int64]:
    """Return the number of the connected piece that each face belongs to."""
    size = int(faces.max()) + 1
    links = coo_matrix((np.ones(2 * len(faces)), (faces[:, [0, 0]].ravel(), faces[:, 1:].ravel())), (size, size))
    _, label = connected_components(links, directed=False)
    return np.unique(label[faces[:, 0]], return_inverse=True)[1]


def shells(vertices: Array, faces: Faces) -> NDArray[np.int64]:
    """Return the number of the surface that each face of a closed mesh belongs to: what only touches, at corners, edges or sides, is not joined.

    Where more than two faces meet at an edge, those are joined that have the solid between them; all of them where there are very many such edges.
    """
    edge, forward, count = _edges(faces)
    if np.count_nonzero(count > 2) > CROWDED:
        return pieces(faces)
    order = np.argsort(edge, kind="stable")
    joined = [order[count[order] == 2].reshape(-1, 2)]
    crowded = order[count[order] > 2]
    for group in np.split(crowded, np.flatnonzero(np.diff(edge[crowded])) + 1):
        if len(group):
            joined.append(_wedges(vertices, faces, group, forward[group]))
    one, other = (np.concatenate(joined) // 3).T
    _, label = connected_components(coo_matrix((np.ones(len(one)), (one, other)), (len(faces),) * 2), directed=False)
    return np.asarray(label, np.int64)


def _wedges(vertices: Array, faces: Faces, group: NDArray[np.int64], forward: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return pairs (N, 2) of the half-edges at one edge whose faces have the solid between them, going round it."""
    face, corner = np.divmod(group, 3)
    start, end, apex = (vertices[faces[face, (corner + k) % 3]] for k in range(3))
    origin, axis = (start[0], end[0] - start[0]) if forward[0] else (end[0], start[0] - end[0])
    axis = axis / np.linalg.norm(axis)
    side = apex - origin - ((apex - origin) @ axis)[:, None] * axis
    angle = np.arctan2(side @ np.cross(axis, side[0]), side @ side[0])
    steps = np.rint(angle / _SAME_ANGLE).astype(int) % round(2 * np.pi / _SAME_ANGLE)
    # with the faces outwards, the solid is behind a face that runs along the axis and before one that runs against it
    turns = np.lexsort([~forward, steps]).tolist()
    opened: list[int] = []
    pairs: dict[int, int] = {}
    seen: set[int] = set()
    for k in turns * 2:
        if forward[k] and k not in pairs and opened:
            pairs[k] = opened.pop()
        elif not forward[k] and k not in seen:
            seen.add(k)
            opened.append(k)
    return group[np.array(list(pairs.items()), int).reshape(-1, 2)]


def piece_volumes(vertices: Array, faces: Faces, label: NDArray[np.int64]) -> Array:
    """Return the volume that each piece encloses, negative where it is inside out."""
    a, b, c = (vertices[faces[:, k]] - vertices.mean(axis=0) for k in range(3))
    return np.asarray(np.bincount(label, np.einsum("ij,ij->i", a, np.cross(b, c)) / 6), float)


def piece_boxes(vertices: Array, faces: Faces, label: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return the lowest and the highest corner of the box around each piece."""
    count, corners = int(label.max()) + 1, vertices[faces]
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, label, corners.min(axis=1))
    np.maximum.at(high, label, corners.max(axis=1))
    return low, high


def outside(vertices: Array, faces: Faces) -> tuple[Array, Faces]:
    """Return a solid without its sealed voids: nothing gets into a closed can, so filling it is no fault of its collision."""
    label = pieces(faces)
    kept = (piece_volumes(vertices, faces, label) > 0)[label]
    return vertices, faces[kept] if kept.any() else faces


def orient(faces: Faces) -> NDArray[np.bool_] | None:
    """Return which faces to flip so that neighbours agree, or None where that is impossible (a Möbius strip).

    Each face is two nodes, as it is and flipped; a shared edge links the two nodes that agree. A face in one component with its
    own mirror contradicts itself.
    """
    edge, forward, count = _edges(faces)
    order = np.argsort(edge, kind="stable")
    order = order[count[order] == 2].reshape(-1, 2)
    one, other = order[:, 0] // 3, order[:, 1] // 3
    twist = np.where(forward[order[:, 0]] == forward[order[:, 1]], len(faces), 0)
    rows = np.concatenate([one, one + len(faces)])
    columns = np.concatenate([other + twist, other + len(faces) - twist])
    size = 2 * len(faces)
    _, label = connected_components(coo_matrix((np.ones(len(rows)), (rows, columns)), (size, size)), directed=False)
    straight, flipped = label[: len(faces)], label[len(faces) :]
    return None if (straight == flipped).any() else flipped < straight


def face_outwards(vertices: Array, faces: Faces) -> NDArray[np.bool_]:
    """Return which faces to flip so that every closed piece encloses a positive volume, but a void nested in another stays one.

    A void is turned against the piece around it: where that is turned inside out, so is its void.
    """
    label = pieces(faces)
    volumes = piece_volumes(vertices, faces, label)
    flipped, around = np.zeros(len(volumes), bool), enclosing(vertices, faces, label)
    for index in np.argsort(-np.abs(volumes)):
        flipped[index] = not len(around[index]) if volumes[index] < 0 else flipped[around[index]].any()
    return np.asarray(flipped[label], bool)


def enclosing(vertices: Array, faces: Faces, label: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return for each closed piece the pieces around it."""
    low, high = piece_boxes(vertices, faces, label)
    found = []
    for index in range(len(low)):
        near = np.flatnonzero((low < low[index]).all(axis=1) & (high[index] < high).all(axis=1))
        corner = vertices[faces[label == index][0, 0]]
        found.append(
            near[[_encloses(vertices[faces[label == other]], corner) for other in near]] if len(near) else near
        )
    return found


def _encloses(corners: Array, point: Array) -> bool:
    """Tell whether a closed surface (F, 3, 3) encloses a point: by the solid angle that it fills (Van Oosterom and Strackee 1983)."""
    a, b, c = np.moveaxis(corners - point, 1, 0)
    x, y, z = (np.linalg.norm(side, axis=1) for side in (a, b, c))
    dots = x * y * z + (a * b).sum(1) * z + (b * c).sum(1) * x + (c * a).sum(1) * y
    angle = 2 * np.arctan2(np.einsum("ij,ij->i", a, np.cross(b, c)), dots).sum()
    return bool(abs(angle) > 2 * np.pi)


def holes(faces: Faces) -> list[NDArray[np.int64]] | None:
    """Return the half-edges around each hole, in the order of the loop; None where an edge has three faces.

    Where holes touch at a corner, the shortest way back to it is a hole: a face that is missing, before two that are.
    """
    edge, forward, count = _edges(faces)
    if (count > 2).any() or np.bincount(edge, np.where(forward, 1, -1))[edge[count == 2]].any():
        return None
    border = np.flatnonzero(count == 1)
    start, end = faces.ravel()[border].tolist(), np.roll(faces, -1, axis=1).ravel()[border].tolist()
    leaving: dict[int, dict[int, None]] = {}
    for index, corner in enumerate(start):
        leaving.setdefault(corner, {})[index] = None
    if set(start) != set(end):
        return None
    loops = []
    touching = [corner for corner, ways in leaving.items() if len(ways) > 1]
    for corner in (*touching, *leaving):
        while leaving[corner]:
            loop = _way_back(corner, end, leaving)
            if not loop:
                return None
            for index in loop:
                del leaving[start[index]][index]
            loops.append(border[loop])
    return loops


def _way_back(corner: int, end: list[int], leaving: dict[int, dict[int, None]]) -> list[int]:
    """Return the fewest half-edges that lead from a corner back to it, first found of equally many; empty for none (breadth first)."""
    came: dict[int, tuple[int, int]] = {}  # corner → the one before it, and the half-edge between
    front = [corner]
    while front:
        reached = []
        for here in front:
            for index in leaving[here]:
                there = end[index]
                if there == corner:
                    loop = [index]
                    while here != corner:
                        here, before = came[here]
                        loop.append(before)
                    return loop[::-1]
                if there not in came:
                    came[there] = here, index
                    reached.append(there)
        front = reached
    return []


def fill(
    vertices: Array, faces: Faces, uv: Array | None, loops: list[NDArray[np.int64]]
) -> tuple[Array, Faces, Array | None]:
    """Return the mesh with a fan over each hole; its texture is that of the hole's rim."""
    new_vertices, new_faces, new_uv = [vertices], [faces], [] if uv is None else [uv]
    for loop in loops:
        start, end = faces.ravel()[loop], np.roll(faces, -1, axis=1).ravel()[loop]
        centre = len(vertices) + len(new_vertices) - 1
        new_vertices.append(vertices[start].mean(axis=0, keepdims=True))
        new_faces.append(np.stack([end, start, np.full(len(loop), centre)], axis=1))
        if uv is not None:
            at_start, at_end = uv.reshape(-1, 2)[loop], np.roll(uv, -1, axis=1).reshape(-1, 2)[loop]
            new_uv.append(np.stack([at_end, at_start, at_start], axis=1))  # not the mean: charts may differ
    return np.concatenate(new_vertices), np.concatenate(new_faces), None if uv is None else np.concatenate(new_uv)


def sample(vertices: Array, faces: Faces, spacing: float, limit: int = MAX_SAMPLES) -> tuple[Array, NDArray[np.int64]]:
    """Return points over every face, no wider than `spacing` apart, and the face of each."""
    corners = vertices[faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    parts = np.maximum(np.ceil(longest / spacing), 1).astype(int)
    total = int(((parts + 1) * (parts + 2) // 2).sum())
    if total > limit:
        raise AssetError(
            f"the surface is too crumpled to rebuild: {total:,} samples, allowed are {limit:,}. Simplify it."
        )
    points, owner = [], []
    for count in np.unique(parts):
        mine = np.flatnonzero(parts == count)
        i, j = np.nonzero(np.add.outer(np.arange(count + 1), np.arange(count + 1)) <= count)
        weight = np.stack([i, j, count - i - j], axis=1) / count
        points.append(np.einsum("wk,fkd->fwd", weight, corners[mine]).reshape(-1, 3))
        owner.append(np.repeat(mine, len(weight)))
    return np.concatenate(points), np.concatenate(owner)


def wrap(vertices: Array, faces: Faces) -> tuple[Array, Faces]:
    """Return a closed surface around any triangles: what cannot be reached from outside is solid, sheets get a thickness.

    The wrap is made at a small distance, where it is closed whatever the gaps, and then drawn back onto the old surface.
    """
    import manifold3d

    low, high = vertices.min(axis=0), vertices.max(axis=0)
    cell = float((high - low).max() / CELLS)
    points, _ = sample(vertices, faces, cell / 2)
    tree = cKDTree(points)
    origin = low - 3 * cell
    shape = np.ceil((high - low) / cell).astype(int) + 7
    distance = _distances(points, tree, origin, cell, shape)
    clear = distance > REACH * cell
    label, _ = ndimage.label(clear)
    outside = label == label[0, 0, 0]
    # Positive in the solid. The clear space inside has no crossing of its own, so that its distance does not matter.
    field = np.where(clear & ~outside, distance, REACH * cell - distance)
    values, (_, ny, nz) = field.ravel().tolist(), shape

    def at(x: float, y: float, z: float) -> float:
        x, y, z = (x - origin[0]) / cell, (y - origin[1]) / cell, (z - origin[2]) / cell
        i, j, k = min(max(int(x), 0), shape[0] - 2), min(max(int(y), 0), ny - 2), min(max(int(z), 0), nz - 2)
        x, y, z, at = x - i, y - j, z - k, (i * ny + j) * nz + k
        a = (values[at] * (1 - z) + values[at + 1] * z) * (1 - y) + (
            values[at + nz] * (1 - z) + values[at + nz + 1] * z
        ) * y
        at += ny * nz
        b = (values[at] * (1 - z) + values[at + 1] * z) * (1 - y) + (
            values[at + nz] * (1 - z) + values[at + nz + 1] * z
        ) * y
        return float(a * (1 - x) + b * x)

    bounds = [*(origin + cell / 2), *(origin + cell * (shape - 1.5))]
    mesh = manifold3d.Manifold.level_set(at, bounds, 1.2 * cell).to_mesh64()
    hull, triangles = np.array(mesh.vert_properties[:, :3]), np.array(mesh.tri_verts, np.int64)
    return _draw_back(hull, tree, points, outside, origin, cell), triangles


def _distances(points: Array, tree: cKDTree, origin: Array, cell: float, shape: NDArray[np.int64]) -> Array:
    """Return the distance of each grid point from the samples: exact within two cells, rough beyond."""
    empty = np.ones(shape, bool)
    index = np.rint((points - origin) / cell).astype(int)
    empty[tuple(index.T)] = False
    distance = ndimage.distance_transform_edt(empty) * cell
    near = np.argwhere(distance < 2.5 * cell)
    distance[tuple(near.T)] = tree.query(origin + near * cell)[0]
    return distance


def _draw_back(
    hull: Array, tree: cKDTree, points: Array, outside: NDArray[np.bool_], origin: Array, cell: float
) -> Array:
    gap, nearest = tree.query(hull)
    foot = points[nearest]
    outward = (hull - foot) / np.maximum(gap, 1e-12)[:, None]
    behind = np.rint((foot - 1.5 * cell * outward - origin) / cell).astype(int)
    behind = np.clip(behind, 0, np.array(outside.shape) - 1)
    sheet = outside[tuple(behind.T)]
    return foot + np.where(sheet, SHEET * cell, 0.02 * cell)[:, None] * outward


def bake(
    vertices: Array, faces: Faces, old: tuple[Array, Faces, Array, NDArray[np.uint8]], size: int = 1024
) -> tuple[Array, NDArray[np.uint8]]:
    """Return uv and a texture for a new surface, coloured from the nearest points of an old one.

    Args:
        vertices: (V, 3) of the new surface.
        faces: Of the new surface.
        old: Vertices, faces, uv of corners and texture of the old one.
        size: Side of the new texture [px]; smaller where the faces are few.
    """
    return _atlas(faces, vertices, lambda points: _colours(points, *old), size)


def paint_vertices(faces: Faces, colours: NDArray[np.uint8], size: int = 1024) -> tuple[Array, NDArray[np.uint8]]:
    """Return uv and a texture that show colours (V, 3) of vertices, mixed over each face."""
    return _atlas(faces, colours.astype(float), lambda mixed: np.clip(np.rint(mixed), 0, 255).astype(np.uint8), size)


def _atlas(
    faces: Faces, values: Array, paint: Callable[[Array], NDArray[np.uint8]], size: int
) -> tuple[Array, NDArray[np.uint8]]:
    """Return uv and a texture with a triangle for each face, painted by what `paint` says of values (V, 3) that are mixed over it.

    Two faces share a square of the texture, so that no seam can smear over a face.
    """
    side = int(np.ceil(np.sqrt((len(faces) + 1) // 2)))
    cell = int(np.clip(size // side, 6, 64))  # texels a square
    number = np.arange(len(faces))
    row, column = np.divmod(number // 2, side)
    # Lower-left and upper-right triangle of a square, a texel in from its border and from each other.
    far = cell - 3.0
    lower = np.array([[1.0, 1.0], [far, 1.0], [1.0, far]])
    local = np.where((number % 2 == 0)[:, None, None], lower, cell - lower)
    pixel_uv = local + cell * np.stack([column, row], axis=1)[:, None]
    total = side * cell

    y, x = np.mgrid[0:cell, 0:cell] + 0.5
    first = x + y < cell
    flip = np.where(first[..., None], np.stack([x, y], -1), cell - np.stack([x, y], -1))
    b, c = (flip[..., 0] - 1) / (far - 1), (flip[..., 1] - 1) / (far - 1)
    weight = np.clip(np.stack([1 - b - c, b, c], -1), 0, 1)
    weight /= weight.sum(-1, keepdims=True)
    picture = np.zeros((side, side, cell, cell, 3), np.uint8)
    corners = values[faces]
    for half, mask in enumerate((first, ~first)):
        mine = np.flatnonzero(number % 2 == half)
        points = np.einsum("wk,fkd->fwd", weight[mask], corners[mine])
        colours = paint(points.reshape(-1, 3)).reshape(len(mine), -1, 3)
        block = picture[row[mine], column[mine]]
        block[:, mask] = colours
        picture[row[mine], column[mine]] = block
    texture = picture.transpose(0, 2, 1, 3, 4).reshape(total, total, 3)[::-1]  # rows of an image run down, v runs up
    return pixel_uv / total, np.ascontiguousarray(texture)


def _colours(points: Array, vertices: Array, faces: Faces, uv: Array, texture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the texture's colours at the points of a surface nearest to others."""
    extent = float(np.ptp(vertices[faces.ravel()], axis=0).max())
    samples, owner = sample(vertices, faces, extent / 100, limit=10 * MAX_SAMPLES)
    face = owner[cKDTree(samples).query(points)[1]]
    corners = vertices[faces[face]]
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    out = points - a
    dot = [[np.einsum("ij,ij->i", one, other) for other in (ab, ac)] for one in (ab, ac, out)]
    determinant = np.maximum(dot[0][0] * dot[1][1] - dot[0][1] ** 2, 1e-300)
    b = np.clip((dot[2][0] * dot[1][1] - dot[2][1] * dot[0][1]) / determinant, 0, 1)
    c = np.clip((dot[2][1] * dot[0][0] - dot[2][0] * dot[0][1]) / determinant, 0, 1 - b)
    at = np.einsum("nk,nkd->nd", np.stack([1 - b - c, b, c], axis=1), uv[face])
    height, width = texture.shape[:2]
    column = np.clip((at[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - at[:, 1]) * height).astype(int), 0, height - 1)
    return texture[row, column]


def manifold(vertices: Array, faces: Faces) -> Any:
    """Return manifold3d's solid of a mesh, or None when it is none."""
    import manifold3d

    mesh = manifold3d.Mesh64(np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.uint64))
    solid = manifold3d.Manifold(mesh)
    return solid if solid.status() == manifold3d.Error.NoError and not solid.is_empty() else None


def arrays(solid: Any) -> tuple[Array, Faces]:
    """Return the triangles of manifold3d's solid, its vertices shared between faces."""
    mesh = solid.to_mesh64()
    vertices, faces = np.array(mesh.vert_properties[:, :3], np.float64), np.array(mesh.tri_verts, np.int64)
    merged = np.arange(len(vertices))
    merged[np.asarray(mesh.merge_from_vert, int)] = np.asarray(mesh.merge_to_vert, int)
    return vertices, merged[faces]

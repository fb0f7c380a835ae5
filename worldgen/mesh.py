"""Make a mesh fit for physics: clean it, close it, scale it to metres, weigh it, thin it out.

Knows geometry and textures as arrays; knows no assets, no collision shapes, no MuJoCo. Files are read in `mesh_read`, the
topology is in `mesh_solid`. The order of use is read, clean, solidify, simplify, to_metres, mass_properties.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, cKDTree

from . import mesh_solid
from .errors import AssetError
from .mesh_read import Array, Faces, RawMesh, read
from .mesh_solid import arrays, count_open_edges, manifold, signed_volume

__all__ = [
    "MassProperties",
    "RawMesh",
    "clean",
    "count_open_edges",
    "flipped",
    "mass_properties",
    "read",
    "signed_volume",
    "simplify",
    "solidify",
    "standing",
    "to_metres",
]

SMALL_HOLE = 0.15
"""Holes up to this share of the longest side are filled, and all triangles; wider ones may be meant, as a cup's opening is."""
PIECES = 2_000
"""What is in more of them is wrapped as a whole: uniting so many takes minutes."""
DUST, SURFACE = 0.03, 0.8
"""Pieces shorter than this share of a mesh in so many pieces are crumbs, where all else is this share of its surface at least."""
THIN, HOLES, SKIN = 0.02, 2, 2.0
"""Mean thickness of a sheet, as a share of its longest side, least holes through it, and how many times its volume it must enclose to be but a skin."""
FEW, OPENINGS, MOST = 6, 4, 0.4
"""Wider ones show that faces are missing, and are filled, where they have so few edges or the mesh has more of them than things have openings: up
to this share of the longest side."""
REBUILT_FACES, REBUILT_DETAIL = 20_000, (0.05, 0.15, 0.45)
"""Most faces of what is built anew, and how far its surface may be moved to have no more [cells], first to last."""
PROPORTION = 1.05
"""Largest ratio between the scales of two axes when three extents are given."""
SIMPLIFIED = 0.03
"""Relative change of volume that simplification may cause."""
LARGEST = 10.0
"""Largest extent of an object [m]."""


@dataclass(frozen=True)
class MassProperties:
    """What a rigid body weighs and where, in the frame of its mesh."""

    volume: float
    """[m3]"""
    mass: float
    """[kg]"""
    com: Array
    """(3,) centre of mass [m]."""
    inertia: Array
    """(3, 3) about the centre of mass, along the axes of the mesh's frame [kg m2]."""

    def full_inertia(self) -> tuple[float, float, float, float, float, float]:
        """Return MuJoCo's `fullinertia`: xx, yy, zz, xy, xz, yz [kg m2]."""
        i = self.inertia
        return tuple(float(i[k]) for k in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)))  # type: ignore[return-value]


def mass_properties(vertices: Array, faces: Faces, density: float) -> MassProperties:
    """Weigh a closed mesh of uniform density [kg/m3], exactly: the signed sum over tetrahedra from one point to each face.

    Raises:
        AssetError: When the mesh is open, inside out or so tangled that its inertia is not that of any body.
    """
    if not (np.isfinite(density) and density > 0):
        raise AssetError(f"density {density:g} kg/m3 must be positive and finite; take it from the material.")
    vertices = np.asarray(vertices, float)
    if open_edges := count_open_edges(faces):
        raise AssetError(
            f"the mesh is not closed: {open_edges} of its edges lack the opposite face; solidify it first."
        )
    origin = vertices.mean(axis=0)  # near the body, so that nothing cancels far from the frame's origin
    corners = vertices[faces] - origin
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    six = np.einsum("ij,ij->i", a, np.cross(b, c))
    volume = float(six.sum() / 6)
    if not volume > 1e-12 * float(np.ptp(vertices, axis=0).max()) ** 3:  # so little is rounding
        raise AssetError(
            f"the mesh has volume {volume:.3g} m3, not a positive one; it is inside out or flat: solidify it."
        )
    total = a + b + c
    com = six @ total / (24 * volume)
    second = np.einsum("n,nki,nkj->ij", six, corners, corners) + np.einsum("n,ni,nj->ij", six, total, total)
    second = second / 120 - volume * np.outer(com, com)
    inertia = density * (np.trace(second) * np.eye(3) - second)
    inertia = (inertia + inertia.T) / 2
    small, middle, large = np.linalg.eigvalsh(inertia)
    if not (small > 0 and small + middle >= large * (1 - 1e-9)):
        raise AssetError(
            f"the mesh's principal inertias {small:.3g}, {middle:.3g}, {large:.3g} kg m2 are those of no body: parts of it are "
            "inside out; solidify it first."
        )
    return MassProperties(volume, density * volume, com + origin, inertia)


def clean(raw: RawMesh) -> RawMesh:
    """Return the mesh with equal vertices merged, without collapsed or repeated faces and vertices of no face.

    Raises:
        AssetError: When nothing of use is left: no faces, coordinates that are no numbers, fewer than four faces, no thickness.
    """
    vertices, faces = np.asarray(raw.vertices, float), np.asarray(raw.faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise AssetError(f"a mesh is (V, 3) vertices and (F, 3) faces, not {vertices.shape} and {faces.shape}.")
    if not len(faces):
        raise AssetError("the mesh is empty: it has no faces. Export triangles, not points or curves.")
    if not np.issubdtype(faces.dtype, np.integer) or faces.min() < 0 or faces.max() >= len(vertices):
        raise AssetError(f"faces must be whole numbers in [0, {len(vertices) - 1}], the vertices that there are.")
    used, index = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], index.reshape(-1, 3)
    if bad := np.count_nonzero(~np.isfinite(vertices).all(axis=1)):
        raise AssetError(f"{bad} of {len(vertices)} vertices are NaN or infinite. Re-export the mesh.")
    extent = float(np.ptp(vertices, axis=0).max())
    if not 1e-9 < extent < 1e9:
        raise AssetError(f"the mesh is {extent:.3g} units long; allowed are 1e-9 to 1e9. Scale it first.")

    steps = np.rint((vertices - vertices.min(axis=0)) * (1e6 / extent)).astype(np.int64)
    key = (steps[:, 0] << 42) | (steps[:, 1] << 21) | steps[:, 2]
    _, kept, index = np.unique(key, return_index=True, return_inverse=True)
    vertices, faces = vertices[kept], index[faces].astype(np.int64)
    pairs = cKDTree(vertices).query_pairs(1e-6 * extent, output_type="ndarray")  # on two sides of a step
    if len(pairs):
        _, label = connected_components(
            coo_matrix((np.ones(len(pairs)), pairs.T), (len(vertices),) * 2), directed=False
        )
        _, kept, index = np.unique(label, return_index=True, return_inverse=True)
        vertices, faces = vertices[kept], index[faces]
    whole = (faces != np.roll(faces, 1, axis=1)).all(
        axis=1
    )  # thin faces stay: without them their neighbours would gape
    first = np.take_along_axis(faces, (faces.argmin(axis=1)[:, None] + np.arange(3)) % 3, axis=1)
    _, single = np.unique(first, axis=0, return_index=True)
    keep = np.zeros(len(faces), bool)
    keep[single] = True
    keep &= whole
    if np.count_nonzero(keep) < 4:
        raise AssetError(
            f"the mesh has {np.count_nonzero(keep)} faces with an area; a solid has at least 4. Export a whole solid."
        )
    used, index = np.unique(faces[keep], return_inverse=True)
    vertices, faces = vertices[used], index.reshape(-1, 3).astype(np.int64)
    middle = vertices - vertices.mean(axis=0)
    axes = np.linalg.eigh(middle.T @ middle)[1]
    thickness = float(np.ptp(middle @ axes, axis=0).min())
    if thickness < 1e-4 * extent:
        raise AssetError(
            f"the mesh is flat: {thickness:.3g} thick at {extent:.3g} long; a solid is at least 1/10000. Extrude it."
        )
    uv = None if raw.uv is None else np.asarray(raw.uv, float)[keep]
    return replace(raw, vertices=vertices, faces=faces, uv=uv)


def solidify(raw: RawMesh) -> RawMesh:
    """Return a closed solid whose faces look outwards; `made` says how it came about.

    A closed mesh stays as it is, overlapping closed pieces are united, holes up to 15 % of its length are filled, and up to 40 % where faces seem to
    be missing. Of very many pieces crumbs are dropped. Anything else, and what is still in very many pieces, is wrapped anew on a grid of 64 cells,
    its texture baked over: gaps up to 2 cells are bridged, sheets get half a cell of thickness, what lies inside is filled.

    Raises:
        AssetError: When not even that encloses a volume.
    """
    raw = _without_dust(clean(raw))
    closed = _closed(raw)
    if closed is None or not _has_mass(closed):
        return _rebuilt(raw)
    if _is_thin(closed):
        filled = _rebuilt(raw)
        if signed_volume(filled.vertices, filled.faces) > SKIN * signed_volume(closed.vertices, closed.faces):
            return filled  # a double wall with holes through it, around what is meant
    united = _united(closed)
    return closed if united is None else united


def _without_dust(raw: RawMesh) -> RawMesh:
    """Return a mesh in very many pieces without those that are crumbs, where they are little of its surface."""
    label = mesh_solid.pieces(raw.faces)
    if label.max() < PIECES:
        return raw
    low, high = mesh_solid.piece_boxes(raw.vertices, raw.faces, label)
    large = np.linalg.norm(high - low, axis=1) >= DUST * float(np.linalg.norm(np.ptp(raw.vertices, axis=0)))
    area = _areas(raw)
    if not area[large[label]].sum() >= SURFACE * area.sum():
        return raw
    return replace(clean(_kept(raw, large[label])), note=f"{np.count_nonzero(~large):,} crumbs around it were dropped")


def _areas(raw: RawMesh) -> Array:
    corners = raw.vertices[raw.faces]
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2


def _has_mass(raw: RawMesh) -> bool:
    """Tell whether a closed mesh has the volume and the inertia of a body: not where most of it is inside out."""
    try:
        mass_properties(raw.vertices, raw.faces, 1.0)
    except AssetError:
        return False
    return True


def _is_thin(raw: RawMesh) -> bool:
    """Tell whether a closed mesh is a thin sheet with holes through it, so that it may be but a skin; one with a sealed void is as it was meant."""
    label = mesh_solid.pieces(raw.faces)
    whole = (mesh_solid.piece_volumes(raw.vertices, raw.faces, label) > 0).all()
    euler = len(np.unique(raw.faces)) - len(raw.faces) / 2  # 2 for each piece, less 2 for each hole through it
    holes = int(label.max()) + 1 - euler / 2
    thickness = 2 * signed_volume(raw.vertices, raw.faces) / _areas(raw).sum()
    return bool(whole and holes >= HOLES and thickness < THIN * float(np.ptp(raw.vertices, axis=0).max()))


def _closed(raw: RawMesh) -> RawMesh | None:
    """Return the mesh closed by turning faces and filling small holes, or None where that is not enough or it is in too many pieces."""
    if mesh_solid.pieces(raw.faces).max() >= PIECES:
        return None
    if count_open_edges(raw.faces):
        flip = mesh_solid.orient(raw.faces)
        if flip is None:
            return None
        raw = flipped(raw, flip)
        loops = mesh_solid.holes(raw.faces)
        if loops is None or _has_openings(raw, loops):
            return None
        if loops:
            vertices, faces, uv = mesh_solid.fill(raw.vertices, raw.faces, raw.uv, loops)
            raw = replace(raw, vertices=vertices, faces=faces, uv=uv, made="holes-filled")
    raw = flipped(raw, mesh_solid.face_outwards(raw.vertices, raw.faces))
    if raw.made == "holes-filled":  # it was a skin with pinholes, so what it encloses is no void
        label = mesh_solid.pieces(raw.faces)
        raw = _kept(raw, mesh_solid.piece_volumes(raw.vertices, raw.faces, label)[label] >= 0)
    extent = float(np.ptp(raw.vertices, axis=0).max())
    return raw if signed_volume(raw.vertices, raw.faces) > 1e-9 * extent**3 else None


def _has_openings(raw: RawMesh, loops: list[NDArray[np.int64]]) -> bool:
    """Tell whether a hole may be an opening: it is wide, and no sign of a piece that is torn."""
    extent, label = float(np.ptp(raw.vertices, axis=0).max()), mesh_solid.pieces(raw.faces)
    count = np.bincount([label[loop[0] // 3] for loop in loops], minlength=int(label.max()) + 1)
    for loop in loops:
        width = float(np.ptp(raw.vertices[raw.faces.ravel()[loop]], axis=0).max()) / extent
        torn = len(loop) <= FEW or count[label[loop[0] // 3]] > OPENINGS
        if width > SMALL_HOLE and len(loop) > 3 and not (torn and width <= MOST):
            return True
    return False


def _kept(raw: RawMesh, faces: NDArray[np.bool_]) -> RawMesh:
    """Return a mesh with some of its faces (F,)."""
    return replace(raw, faces=raw.faces[faces], uv=None if raw.uv is None else raw.uv[faces])


def flipped(raw: RawMesh, flip: NDArray[np.bool_]) -> RawMesh:
    """Return a mesh with some faces (F,) turned over, their texture with them."""
    if not flip.any():
        return raw
    faces = np.where(flip[:, None], raw.faces[:, ::-1], raw.faces)
    uv = None if raw.uv is None else np.where(flip[:, None, None], raw.uv[:, ::-1], raw.uv)
    return replace(raw, faces=faces, uv=uv)


def _united(raw: RawMesh) -> RawMesh | None:
    """Return the union of pieces that overlap, whose shared volume would weigh twice; None where none do."""
    label = mesh_solid.shells(raw.vertices, raw.faces)
    if not 0 < label.max() < PIECES:
        return None
    volumes = mesh_solid.piece_volumes(raw.vertices, raw.faces, label)
    low, high = (corner[volumes > 0] for corner in mesh_solid.piece_boxes(raw.vertices, raw.faces, label))
    meet = np.all((low[:, None] <= high) & (low <= high[:, None]), axis=2)
    if np.count_nonzero(meet) == len(low):
        return None
    import manifold3d

    solids = [
        manifold(raw.vertices, raw.faces[label == index][:, :: 1 if volume > 0 else -1])
        for index, volume in enumerate(volumes)
    ]
    if None in solids:
        return None
    for void, around in enumerate(mesh_solid.enclosing(raw.vertices, raw.faces, label)):
        holders = [piece for piece in around if volumes[piece] > 0]
        if volumes[void] < 0 and holders:  # of what is right around it: other pieces may reach into it
            solids[min(holders, key=lambda piece: float(volumes[piece]))] -= solids[void]
    whole = manifold3d.Manifold.batch_boolean(
        [solid for solid, volume in zip(solids, volumes, strict=True) if volume > 0], manifold3d.OpType.Add
    )
    vertices, faces = arrays(whole)
    if (
        not len(faces)
        or count_open_edges(faces)
        or abs(signed_volume(vertices, faces) / signed_volume(raw.vertices, raw.faces) - 1) < 1e-6
    ):
        return None
    return replace(_textured(raw, vertices, faces), made="united")


def _rebuilt(raw: RawMesh) -> RawMesh:
    vertices, faces = mesh_solid.wrap(raw.vertices, raw.faces)
    found = manifold(vertices, faces)
    if found is not None:
        cell = float(np.ptp(raw.vertices, axis=0).max()) / mesh_solid.CELLS
        for share in REBUILT_DETAIL:
            simple = found.simplify(share * cell)
            if simple.num_tri() <= REBUILT_FACES:
                break
        vertices, faces = arrays(simple)
    try:
        new = clean(RawMesh(vertices, faces))
    except AssetError as error:
        raise AssetError(f"the mesh encloses nothing even when built anew: {error}") from error
    if count_open_edges(new.faces):  # faces so small that they collapse: then they stay
        new = RawMesh(vertices, faces)
    if count_open_edges(new.faces) or signed_volume(new.vertices, new.faces) <= 0:
        raise AssetError("the mesh encloses nothing even when built anew. Close it in a 3D editor.")
    return replace(_textured(raw, new.vertices, new.faces), made="remeshed")


def _textured(raw: RawMesh, vertices: Array, faces: Faces) -> RawMesh:
    """Return new geometry with the old look baked onto it."""
    if raw.uv is None or raw.texture is None:
        return replace(raw, vertices=vertices, faces=faces, uv=None)
    uv, texture = mesh_solid.bake(vertices, faces, (raw.vertices, raw.faces, raw.uv, raw.texture))
    return replace(raw, vertices=vertices, faces=faces, uv=uv, texture=texture)


def standing(vertices: Array, faces: Faces) -> tuple[Array, Faces]:
    """Return a closed solid with as little cut off below as it takes to stand on the rest: nothing of what stands, at most 8 % of its height.

    It stands where tilting it by 10 degrees, any way, does not make it fall. What never does so is cut all the same, and lies down in a scene.
    """
    solid = manifold(vertices, faces)
    if solid is None:
        return vertices, faces
    bottom, height = float(vertices[:, 2].min()), float(np.ptp(vertices[:, 2]))
    for share in _CUTS:
        cut = solid.trim_by_plane((0, 0, 1), bottom + share * height) if share else solid
        points, triangles = arrays(cut)
        if cut.is_empty() or len(triangles) < 4:
            continue
        if _stands(points, triangles, 0.004 * height):
            break
    return (vertices, faces) if share == 0 else (points, triangles)


_CUTS = (0.0, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08)
_TILT = float(np.tan(np.radians(10)))


def _stands(vertices: Array, faces: Faces, near: float) -> bool:
    """Tell whether the centre of mass stays above what stands on the table, vertices up to `near` above the lowest, when tilted."""
    low = vertices[:, 2].min()
    base = np.unique(np.round(vertices[vertices[:, 2] <= low + near, :2], 6), axis=0)
    com = mass_properties(vertices, faces, 1.0).com
    if len(base) < 3 or np.linalg.matrix_rank(base - base[0], tol=1e-5) < 2:
        return False
    equations = ConvexHull(base).equations  # outward normals: n x + d <= 0 within
    return bool((equations[:, :2] @ com[:2] + equations[:, 2] <= -_TILT * (com[2] - low)).all())


def to_metres(raw: RawMesh, size: float | tuple[float, float, float], up: Literal["y", "z"] = "z") -> RawMesh:
    """Return the mesh upright, in metres, its base on z = 0 and its footprint centred on the z axis.

    Args:
        raw: A mesh in any unit.
        size: Its longest extent [m], or all three along x, y, z once upright [m].
        up: Axis that points up in the mesh; glTF's is y.

    Raises:
        AssetError: When an extent is not in (0, 10] m, or the three differ from the mesh's own proportions by more than 5 %.
    """
    wanted = np.atleast_1d(np.asarray(size, float))
    if wanted.shape not in ((1,), (3,)) or not (
        np.isfinite(wanted).all() and (wanted > 0).all() and wanted.max() <= LARGEST
    ):
        raise AssetError(f"size {size} m must be one number or three, each above 0 and at most {LARGEST:g} m.")
    if up not in ("y", "z"):
        raise AssetError(f"up axis '{up}' must be 'y' or 'z'.")
    vertices = np.asarray(raw.vertices, float)
    if up == "y":
        vertices = vertices[:, [0, 2, 1]] * [1, -1, 1]
    extents = np.ptp(vertices, axis=0)
    if not (extents > 0).all():
        raise AssetError(f"the mesh is flat: its extents are {_by(extents)}. Give it a thickness.")
    scale = wanted / extents if len(wanted) == 3 else np.full(3, wanted[0] / extents.max())
    if scale.max() > PROPORTION * scale.min():
        longest = float(wanted.max())
        raise AssetError(
            f"size {_by(wanted)} m does not fit the mesh, which is {_by(extents / extents.max() * longest)} m at that length; "
            f"proportions may differ by 5 %. Give these, or the longest extent alone."
        )
    vertices = (vertices - vertices.min(axis=0)) * scale
    return replace(raw, vertices=vertices - [*np.ptp(vertices, axis=0)[:2] / 2, 0])


def _by(extents: Array) -> str:
    return " x ".join(f"{extent:.4g}" for extent in extents)


def simplify(raw: RawMesh, faces: int = 2000) -> RawMesh:
    """Return the mesh with at most so many faces where that keeps it closed and its volume within 3 %, its texture baked over.

    Where neither quadric nor tolerance-based simplification does, the mesh is kept and `note` says so.
    """
    if faces < 4:
        raise AssetError(f"{faces} faces make no solid; allow at least 4.")
    if len(raw.faces) <= faces:
        return raw
    for attempt in (_quadric, _tolerant):
        found = attempt(raw, faces)
        if found is not None and len(found[1]) <= faces and _same_solid(raw, *found):
            return _textured(raw, *found)
    return replace(raw, note=f"simplification to {faces} faces would open or deform it: kept {len(raw.faces)}")


def _quadric(raw: RawMesh, target: int) -> tuple[Array, Faces] | None:
    import fast_simplification

    points, triangles = fast_simplification.simplify(raw.vertices, raw.faces, target_count=target)[:2]
    try:
        found = clean(RawMesh(np.asarray(points, float), np.asarray(triangles, np.int64)))
    except AssetError:
        return None
    return found.vertices, found.faces


def _tolerant(raw: RawMesh, target: int) -> tuple[Array, Faces] | None:
    solid = manifold(raw.vertices, raw.faces)
    if solid is None:
        return None
    extent = float(np.ptp(raw.vertices, axis=0).max())
    for tolerance in (0.001, 0.002, 0.004, 0.008, 0.016):
        found = solid.simplify(tolerance * extent)
        if 0 < found.num_tri() <= target:
            return arrays(found)
    return None


def _same_solid(raw: RawMesh, vertices: Array, faces: Faces) -> bool:
    before, after = signed_volume(raw.vertices, raw.faces), signed_volume(vertices, faces)
    sides = np.ptp(vertices, axis=0) / np.ptp(raw.vertices, axis=0)
    same = abs(after - before) <= SIMPLIFIED * before and bool((abs(sides - 1) <= SIMPLIFIED).all())
    return same and (count_open_edges(raw.faces) > 0 or count_open_edges(faces) == 0)

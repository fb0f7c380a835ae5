"""Collision shapes: split a mesh into convex hulls, and score how well any set of convex geoms stands for a solid.

Knows what a good collision shape is; distances are in `solids`, the process that may crash in `child`. Knows no MuJoCo.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from . import child, mesh_solid
from .errors import AssetError
from .shapes import Geom, Strict, Vector3
from .solids import Array, Faces, Hull, convex_hull, make_grid, place, surface_distance, surface_points

__all__ = ["Decomposition", "Fidelity", "FidelityPart", "Hull", "decompose", "fidelity", "hull_text"]

VERTICES = 64
"""Limit of one hull."""
FINEST, RELATIVE = 0.002, 0.015
"""Concavity that may stay unsplit: so much [m], and more where an object is large, as a share of its longest side."""
MAX_HULLS = 64
"""A foot keeps contacts few however many there are (`fitting`)."""
GROWN = 1.08
"""Most that a hull of few corners grows to have the volume of the hull of all."""
FACES = 6_000
"""Faces that a mesh is thinned to before decomposition, whose time grows faster than their number."""
MAX_FACES = 1_000_000
"""Faces of the largest mesh that is taken at all."""
DETAIL = 0.125
"""Share of the threshold that a surface may be moved by to have fewer faces."""
DENSEST = 100_000
"""Faces of the densest mesh that is split where thinning fails."""
THINNING_ERROR = 0.03
"""Relative change of volume that thinning may cause."""
CAVITY_MINIMUM = 0.05
"""Free share of an object's convex hull below which it counts as having no cavity."""
SMALLEST = 1e-10
"""Hulls of less volume [m3], half a cubic millimetre, are dropped: MuJoCo refuses flat ones."""
Method = Literal["coacd", "vhacd", "hull"]


@dataclass(frozen=True)
class Decomposition:
    """Convex hulls that stand for a mesh, largest first."""

    hulls: tuple[Hull, ...]
    method: Method
    """How they were made; "hull" is one hull around everything."""
    reason: str = ""
    """Why it was not "coacd": that the mesh is convex, or what each better method died of."""


def decompose(
    vertices: Array,
    faces: Faces,
    *,
    threshold: float = 0.0,
    max_hulls: int = MAX_HULLS,
    seconds: float = 180.0,
    memory: int = 4 << 30,
) -> Decomposition:
    """Split a mesh into convex hulls: by CoACD, else by V-HACD where `vhacdx` is installed, else its single hull.

    The same mesh gives the same hulls unless the time limit cuts a method short.

    Args:
        vertices: (V, 3) [m].
        faces: (F, 3), best of a closed mesh.
        threshold: Concavity that may stay unsplit [m]; 0 for what suits the size.
        max_hulls: Upper limit of their number; more are merged.
        seconds: Time limit of each method [s]; long, so that a busy machine makes the same hulls as an idle one.
        memory: Limit of each method [bytes].

    Raises:
        AssetError: When the mesh is empty, not finite, too large or flat, or its faces point nowhere.
    """
    if not (threshold >= 0 and max_hulls >= 1 and seconds > 0):
        raise AssetError(
            f"threshold {threshold:g} m must not be negative, max_hulls {max_hulls} and seconds {seconds:g} must be positive."
        )
    vertices, faces = _valid(vertices, faces)
    threshold = threshold or max(FINEST, RELATIVE * float(np.ptp(vertices, axis=0).max()))
    whole = _few(vertices, VERTICES, "the mesh")
    if max_hulls == 1:
        return Decomposition((whole,), "hull", "one hull is allowed")
    if (
        abs(
            mesh_solid.signed_volume(vertices, faces) / mesh_solid.signed_volume(*convex_hull(vertices, "the mesh")) - 1
        )
        < 0.005
    ):
        return Decomposition((whole,), "hull", "the mesh is convex")
    mesh = {"vertices": vertices, "faces": faces, "threshold": np.array(threshold), "max_hulls": np.array(max_hulls)}
    reasons = []
    methods: tuple[Method, ...] = ("coacd", "vhacd") if importlib.util.find_spec("vhacdx") else ("coacd",)
    for method in methods:
        try:
            found = child.run(f"{__name__}:run_{method}", mesh, seconds=seconds, memory=memory)
        except child.ChildError as error:
            reasons.append(f"{method} {error}")
            continue
        if hulls := _tidy(found):
            return Decomposition(hulls, method, "; ".join(reasons))
        reasons.append(f"{method} gave no hull with a volume")
    return Decomposition((whole,), "hull", "; ".join(reasons))


def hull_text(hull: Hull) -> str:
    """Return the OBJ text of a hull. Coordinates are written to 0.1 µm, so the same hull gives the same bytes."""
    vertices, faces = hull
    # Adding 0 turns a -0 that rounding left into 0.
    lines = [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in np.round(vertices, 7) + 0.0]
    lines += [f"f {a} {b} {c}" for a, b, c in np.asarray(faces) + 1]
    return "\n".join(lines) + "\n"


def _valid(vertices: Array, faces: Faces) -> tuple[Array, Faces]:
    """Return a mesh that cannot abort a decomposer: finite, indices in range, no degenerate face."""
    vertices, faces = np.asarray(vertices, float), np.asarray(faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3 or not len(faces):
        raise AssetError(f"a mesh is (V, 3) vertices and (F, 3) faces, F > 0, not {vertices.shape} and {faces.shape}.")
    if len(faces) > MAX_FACES or len(vertices) > 3 * MAX_FACES:
        raise AssetError(f"{len(faces)} faces are more than {MAX_FACES}; simplify the mesh before decomposition.")
    if not np.isfinite(vertices).all():
        raise AssetError(f"{np.count_nonzero(~np.isfinite(vertices))} coordinates are NaN or infinite; clean the mesh.")
    if not np.issubdtype(faces.dtype, np.integer) or faces.min() < 0 or faces.max() >= len(vertices):
        raise AssetError(f"faces must be whole numbers in [0, {len(vertices) - 1}], the vertices that there are.")
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    faces = faces[np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0]
    if not len(faces):
        raise AssetError("every face is degenerate (no area); clean the mesh.")
    used, index = np.unique(faces, return_inverse=True)
    return np.ascontiguousarray(vertices[used]), index.reshape(-1, 3).astype(np.int64)


def _few(points: Array, limit: int, name: str) -> Hull:
    """Return the hull of the few points that reach farthest, by adding the one farthest outside until none is left; then as large as the hull of all.

    Corners of a round thing lie on it, so that their hull is smaller by a tenth: grown to the same volume it is as much too large here as too
    small there.
    """
    vertices, faces = convex_hull(points, name)
    if len(vertices) <= limit:
        return vertices, faces
    chosen = sorted({int(k) for k in (*vertices.argmin(axis=0), *vertices.argmax(axis=0))})
    while len(chosen) < limit:
        outside = np.linalg.norm(vertices - vertices[chosen].mean(axis=0), axis=1)  # until there is a volume
        if len(chosen) >= 4 and np.linalg.matrix_rank(vertices[chosen] - vertices[chosen[0]], tol=1e-7) == 3:
            corners = (lambda hull: hull[0][hull[1]])(convex_hull(vertices[chosen], name))
            normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
            outside = np.max(vertices @ normals.T - np.einsum("ij,ij->i", normals, corners[:, 0]), axis=1)
        outside[chosen] = -np.inf
        chosen.append(int(outside.argmax()))
    few = convex_hull(vertices[sorted(chosen)], name)
    grown = (mesh_solid.signed_volume(vertices, faces) / mesh_solid.signed_volume(*few)) ** (1 / 3)
    middle = few[0].mean(axis=0)
    return convex_hull(middle + min(grown, GROWN) * (few[0] - middle), name)


def _tidy(found: child.Arrays) -> tuple[Hull, ...]:
    """Return hulls with a volume and few vertices, in an order that depends on their shape alone."""
    hulls = []
    for points in np.split(found["points"], np.cumsum(found["counts"])[:-1]):
        try:
            hull = _few(np.round(points, 7), VERTICES, "a hull")
        except AssetError:  # flat: nothing to collide with
            continue
        if mesh_solid.signed_volume(*hull) > SMALLEST:
            hulls.append(hull)
    return tuple(
        sorted(
            hulls,
            key=lambda hull: (-round(mesh_solid.signed_volume(*hull), 12), *hull[0].min(axis=0), *hull[0].max(axis=0)),
        )
    )


def run_coacd(mesh: child.Arrays) -> child.Arrays:
    """Return the hulls that CoACD makes of a mesh, in metres; to be run in a child, which it may abort."""
    import coacd

    threshold = float(mesh["threshold"])
    vertices, faces = _thin(mesh["vertices"], mesh["faces"], threshold)
    settings = {"real_metric": True}
    if "real_metric" not in inspect.signature(coacd.run_coacd).parameters:  # older: relative to half the longest side
        settings, threshold = {}, float(np.clip(2 * threshold / np.ptp(vertices, axis=0).max(), 0.01, 1))
    coacd.set_log_level("off")
    hulls = coacd.run_coacd(
        coacd.Mesh(vertices, faces),
        threshold=threshold,
        max_convex_hull=int(mesh["max_hulls"]),
        resolution=1000,  # these four: a short search, several times cheaper and hardly less true
        mcts_iterations=30,
        mcts_nodes=10,
        mcts_max_depth=2,
        decimate=False,  # to few corners of the same volume: `_few`
        seed=0,
        **settings,
    )
    return _pack([np.asarray(points, float) for points, _ in hulls])


def run_vhacd(mesh: child.Arrays) -> child.Arrays:
    """Return the hulls that V-HACD makes of a mesh; to be run in a child."""
    vhacdx = importlib.import_module("vhacdx")  # optional: not among the requirements
    vertices, faces = _thin(mesh["vertices"], mesh["faces"], float(mesh["threshold"]))
    flat = np.column_stack([np.full(len(faces), 3), faces]).ravel().astype(np.uint32)
    hulls = vhacdx.compute_vhacd(vertices, flat, maxConvexHulls=int(mesh["max_hulls"]), maxNumVerticesPerCH=VERTICES)
    return _pack([np.asarray(points, float) for points, _ in hulls])


def _pack(clouds: Sequence[Array]) -> child.Arrays:
    points = np.concatenate(clouds) if clouds else np.zeros((0, 3))
    return {"points": points, "counts": np.array([len(cloud) for cloud in clouds], int)}


def _thin(vertices: Array, faces: Faces, threshold: float) -> tuple[Array, Faces]:
    """Return the mesh without details far below the threshold, whose search would cost most of the time, and with at most `FACES` faces.

    Where thinning would change its volume it stays as it is.

    Raises:
        ValueError: When it is too dense to be split as it is.
    """
    before = mesh_solid.signed_volume(vertices, faces)
    if solid := mesh_solid.manifold(vertices, faces):
        simple = solid.simplify(DETAIL * threshold)
        if abs(simple.volume() - before) <= THINNING_ERROR * abs(before):
            vertices, faces = mesh_solid.arrays(simple)
    if len(faces) <= FACES:
        return vertices, faces
    import fast_simplification

    few, fewer = fast_simplification.simplify(vertices, faces, target_count=FACES)
    after = mesh_solid.signed_volume(few, fewer)
    if abs(after - before) <= THINNING_ERROR * abs(before):
        return few, fewer
    if len(faces) > DENSEST:
        raise ValueError(f"would take hours for {len(faces):,} faces, which cannot be fewer")
    return vertices, faces


class Fidelity(Strict):
    """How well collision geoms stand for the solid that is seen."""

    iou: Annotated[float, Field(ge=0, le=1)]
    """Volume of the intersection over volume of the union."""
    cavity: Annotated[float, Field(ge=0, le=1)]
    """Share of the free space inside the solid's convex hull that collision leaves free: 1 for a mug that can be filled, 0 for
    its hull. 1 where under 5 % of the hull is free."""
    distance_p99_mm: Annotated[float, Field(ge=0)]
    """99th percentile of the distance from the visual surface to the collision surface [mm]."""


class FidelityPart(NamedTuple):
    """One rigid part to score: its solid and what stands for it in contacts."""

    vertices: Array
    """(V, 3) of a closed mesh, in the part's frame [m]."""
    faces: Faces
    geoms: Sequence[Geom]
    hulls: Mapping[str, Hull] = {}
    """Hull of each `Geom.file`."""
    pos: Vector3 = (0.0, 0.0, 0.0)
    """Origin of the part in the object's frame [m]."""


def fidelity(parts: Sequence[FidelityPart]) -> Fidelity:
    """Score the collision of a whole object, its parts in their rest pose.

    Volumes are compared on fixed stratified points in a box around everything: the same object gives the same score. Inside the
    collision, the distance to its surface is that to the deepest geom's surface, a lower bound where geoms overlap.

    Raises:
        AssetError: When there is nothing to score, or a mesh geom names a hull that is not given.
    """
    solids = [mesh_solid.outside(np.asarray(p.vertices, float) + p.pos, np.asarray(p.faces)) for p in parts]
    geoms = [place(geom, part.pos, part.hulls) for part in parts for geom in part.geoms]
    if not solids or not geoms:
        raise AssetError(f"{len(solids)} parts with {len(geoms)} collision geoms cannot be scored: give both.")
    hull = convex_hull(np.concatenate([vertices for vertices, _ in solids]), "the object")
    grid = make_grid(np.concatenate([hull[0], *((geom.low, geom.high) for geom in geoms)]))

    solid, collision = np.zeros(len(grid.points), bool), np.zeros(len(grid.points), bool)
    for vertices, faces in solids:
        solid |= grid.occupied(vertices, faces)
    for geom in geoms:
        near = np.flatnonzero(~collision & np.all((grid.points >= geom.low) & (grid.points <= geom.high), axis=1))
        collision[near] = geom.depth(grid.points[near]) <= 0
    inside_hull = grid.occupied(*hull)
    free = inside_hull & ~solid
    hollow = _count(free) > CAVITY_MINIMUM * _count(inside_hull)
    distances = surface_distance(np.concatenate([surface_points(*item) for item in solids]), geoms)
    return Fidelity(
        iou=_count(solid & collision) / max(_count(solid | collision), 1),
        cavity=_count(free & ~collision) / _count(free) if hollow else 1.0,
        distance_p99_mm=1000 * float(np.percentile(distances, 99)),
    )


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))

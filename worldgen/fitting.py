"""Collision shapes that are as true and cheaper: one primitive for a thing that is nearly one, primitives in place of hulls, one foot to stand on.

Knows solids and geoms; hulls are made in `convex`. What costs a simulator is contacts, and most contacts are those of things at rest: where twenty
hulls touch the table each makes some, where one foot does it makes four.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.transform import Rotation

from . import mesh, mesh_solid
from .shapes import Geom, Vector3
from .solids import Array, Faces, Grid, Hull, convex_hull, make_grid, place

WHOLE, PART = 0.93, 0.92
"""Share in common (IoU) from which a primitive stands for a whole solid, and for one of its hulls."""
FOOT, RECESS = 0.0003, 0.001
"""Height up to which a solid stands on the table, and that of the foot, above which everything else begins; at most an eighth of the solid's [m]."""
NARROW = 0.15
"""What is narrower, as a share of the solid, is no base: an egg stands on a point."""
FOOT_VERTICES = 8
HAIR = 0.0002
"""Height of the foot's outline over the box that bears [m]: more than a thing at rest sinks in, less than one sees it tilt."""
ROCK = 0.03
"""Slope by which a thing may tilt from the box that bears it onto its outline."""
LEAST = 1e-5
"""Height below which nothing is left of a geom that is cut [m]."""
BEARING = 0.3
"""Share of its base that the box must cover to bear a solid: half of a circle is."""
CLEARANCE, ROOM = 0.01, 0.45
"""What is free up to this height [m] in more than this share of what a solid stands around is no base: there is a foot below nothing of it."""
ROUND, SQUARE = 0.95, 0.95
"""Share of its circle and of its rectangle that a foot fills to be a cylinder or a box."""
_ROOM = 0.1
"""How much larger than a solid the box is in which it is compared, as a share of its sides."""
_STEPS = 80
"""Of the search that polishes a primitive."""


@dataclass(frozen=True)
class Fit:
    """What stands for a solid in contacts."""

    geoms: tuple[Geom, ...]
    hulls: dict[str, Hull]
    """Hull of each mesh geom's file."""


def whole(vertices: Array, faces: Faces) -> Geom | None:
    """Return the primitive that stands for a whole closed solid; None where none is near enough."""
    found = _best(vertices, faces)
    return found[1] if found and found[0] >= WHOLE else None


def parts(hulls: Mapping[str, Hull]) -> Fit:
    """Return primitives in place of those hulls that are nearly one, and the others as they are."""
    geoms, kept = list[Geom](), dict[str, Hull]()
    for file, hull in hulls.items():
        found = _best(*hull)
        if found and found[0] >= PART:
            geoms.append(found[1])
        else:
            geoms.append(Geom(type="mesh", file=file))
            kept[file] = hull
    return Fit(tuple(geoms), kept)


def on_a_foot(vertices: Array, faces: Faces, fit: Fit, file: str) -> Fit:
    """Return a fit that stands on a foot alone: all else is lifted off the table by the foot's height.

    The foot has the outline of what the solid stands on. Below it, by a hair, a box within that outline bears the weight on its four corners: a
    box is what simulators find contacts of fastest, and where the solid tilts the true outline takes over. What stands around a room, as a chair
    does and a cup upside down, bears on points. Where a solid stands on no area, or is a box of its own, nothing of the fit reaches lower than it.

    Args:
        vertices: Of the solid.
        faces: Of the solid, which is closed.
        fit: Of it.
        file: Name of the foot's file, where it is a hull.
    """
    low, width = float(vertices[:, 2].min()), float(np.ptp(vertices[:, :2], axis=0).min())
    base = vertices[vertices[:, 2] <= low + FOOT, :2]
    recess = min(RECESS, float(np.ptp(vertices[:, 2])) / 8)
    alone = fit.geoms[0].type if len(fit.geoms) == 1 else ""
    if alone in ("sphere", "ellipsoid", "capsule"):  # what is round rolls
        return _above(fit, low)
    own = alone in ("box", "cylinder") and place(fit.geoms[0], (0, 0, 0), {}).low[2] <= low + FOOT
    narrow = len(base) < 3 or np.ptp(base, axis=0).min() < NARROW * width
    if own and narrow:  # so does a cylinder on its side
        return _above(fit, low)
    foot = _above(fit, low) if own else None if narrow else _foot(base, low, recess, file)
    middle = mesh.mass_properties(vertices, faces, 1.0).com[:2]
    if foot is None or (not own and _room_below(vertices, faces, base, low) > ROOM):
        points = _points(base, middle, NARROW * width, low, recess / 2)
        lifted = _above(fit, low + min(HAIR, recess / 4) if points else low)
        return Fit((*points, *lifted.geoms), lifted.hulls)
    rest, feet = Fit((), {}) if own else _above(fit, low + recess), foot.geoms
    if feet[0].type != "box" and (box := _bearing(base, middle, low, recess)):
        reach = np.linalg.norm(base - np.array(box.pos[:2]), axis=1).max() - min(box.size[:2])
        foot = _above(foot, low + min(HAIR, recess / 4, ROCK * float(reach)))
        feet = (box, *foot.geoms)
    return Fit((*feet, *rest.geoms), foot.hulls | rest.hulls)


def _room_below(vertices: Array, faces: Faces, base: Array, low: float) -> float:
    """Return the share of what a solid stands around, the convex outline of its base, that is free up to `CLEARANCE`: other things may be there."""
    try:
        outline = ConvexHull(base).equations
    except QhullError:  # an edge
        return 0.0
    vertices, faces = mesh_solid.outside(vertices, faces)
    free = []
    for top in (low + FOOT, min(low + CLEARANCE, float(vertices[:, 2].max()))):  # however thin a floor is, it is one
        grid = make_grid(np.array([[*base.min(axis=0), low], [*base.max(axis=0), top]]))
        around = (grid.columns @ outline[:, :2].T + outline[:, 2] <= 0).all(axis=1)
        taken = grid.occupied(vertices, faces).reshape(len(grid.columns), -1).any(axis=1)
        free.append(float((around & ~taken).sum() / max(int(around.sum()), 1)))
    return min(free)


def _points(base: Array, middle: Array, least: float, low: float, radius: float) -> tuple[Geom, ...]:
    """Return three or four small balls at a base's outmost points that bear a solid; none where its centre of mass is not so far [m] within them."""
    best: tuple[float, Array] = (0.0, base[:0])
    for turn in np.radians(np.arange(0, 90, 5.0)):
        ways = np.array([[np.cos(turn + k), np.sin(turn + k)] for k in np.arange(4) * np.pi / 2])
        far = base[(base @ ways.T).argmax(axis=0)]
        sides = np.roll(far, -1, axis=0) - far
        length = np.linalg.norm(sides, axis=1)
        kept = length > 0
        if kept.sum() < 3:  # it stands on a point or an edge
            return ()
        room = ((sides[:, 0] * (middle - far)[:, 1] - sides[:, 1] * (middle - far)[:, 0])[kept] / length[kept]).min()
        if room > best[0] + 1e-9:
            best = float(room), (far + radius * (middle - far) / np.linalg.norm(middle - far, axis=1)[:, None])[kept]
    if best[0] < least:
        return ()
    return tuple(
        Geom(type="sphere", size=(radius,), pos=(round(float(x), 6), round(float(y), 6), low + radius))
        for x, y in best[1]
    )


def _above(fit: Fit, height: float) -> Fit:
    """Return what is left of a fit above a height."""
    geoms, hulls = list[Geom](), dict[str, Hull]()
    for geom in fit.geoms:
        lifted = _lifted(geom, fit.hulls, height)
        if lifted is not None:
            geoms.append(lifted[0])
            hulls |= lifted[1]
    return Fit(tuple(geoms), hulls)


def _bearing(base: Array, middle: Array, low: float, height: float) -> Geom | None:
    """Return the largest flat box in a convex outline that has the centre of mass above its middle; None where it would stand narrowly."""
    try:
        outline = ConvexHull(base)
    except QhullError:  # an edge
        return None
    normals, room = outline.equations[:, :2], -outline.equations[:, :2] @ middle - outline.equations[:, 2]
    if room.min() <= 0:
        return None
    turns = np.radians(np.arange(0, 90, 3.0))[:, None, None]
    ratios = np.exp(np.linspace(-3, 3, 49))[None, :, None]
    along = abs(normals[:, 0] * np.cos(turns) + normals[:, 1] * np.sin(turns))
    across = abs(normals[:, 1] * np.cos(turns) - normals[:, 0] * np.sin(turns))
    short = (room / (ratios * along + across)).min(axis=2)
    area = 4 * ratios[..., 0] * short**2
    turn, ratio = np.unravel_index(int(area.argmax()), area.shape)
    if area[turn, ratio] < BEARING * outline.volume:
        return None
    half = float(turns[turn, 0, 0]) / 2
    x, y = (round(float(value), 6) for value in middle)
    width = float(short[turn, ratio])
    return Geom(
        type="box",
        size=(round(float(ratios[0, ratio, 0]) * width, 6), round(width, 6), height / 2),
        pos=(x, y, round(low + height / 2, 9)),
        quat=(round(float(np.cos(half)), 9), 0.0, 0.0, round(float(np.sin(half)), 9)),
    )


def _best(vertices: Array, faces: Faces) -> tuple[float, Geom] | None:
    """Return the primitive that has most in common with a solid, and how much."""
    extent = np.ptp(vertices, axis=0)
    grid = make_grid(np.stack([vertices.min(axis=0) - _ROOM * extent, vertices.max(axis=0) + _ROOM * extent]))
    inside = grid.occupied(vertices, faces)
    if not inside.any():
        return None
    scored = sorted(
        ((_alike(geom, grid, inside), index, geom) for index, geom in enumerate(_guesses(vertices, faces))),
        reverse=True,
    )
    alike, _, geom = scored[0]
    return (alike, geom) if alike < PART - 0.1 else _polished(geom, grid, inside)


def _alike(geom: Geom, grid: Grid, inside: NDArray[np.bool_]) -> float:
    here = place(geom, (0, 0, 0), {}).depth(grid.points) <= 0
    return float((here & inside).sum() / max(int((here | inside).sum()), 1))


def _guesses(vertices: Array, faces: Faces) -> Iterator[Geom]:
    """Yield primitives of a solid's volume and extents, along its principal axes and upright."""
    known = mesh.mass_properties(vertices, faces, 1.0)
    principal = np.linalg.eigh(known.inertia)[1]
    principal[:, 2] *= np.sign(np.linalg.det(principal))
    for axes in (np.eye(3), principal):
        local = vertices @ axes
        low, high = local.min(axis=0), local.max(axis=0)
        half, centre = (high - low) / 2, axes @ ((low + high) / 2)
        yield _geom("box", half, centre, axes)
        radii = half * (known.volume / (4 / 3 * np.pi * np.prod(half))) ** (1 / 3)
        yield _geom("ellipsoid", radii, centre, axes)
        for axis in range(3):
            turned = axes[:, [(axis + 1) % 3, (axis + 2) % 3, axis]]
            long = half[axis]
            yield _geom("cylinder", [np.sqrt(known.volume / (2 * np.pi * long)), long], centre, turned)
            radius = float(np.delete(half, axis).mean())
            if long > radius:
                yield _geom("capsule", [radius, long - radius], centre, turned)


def _geom(kind: str, size: Sequence[float] | Array, centre: Array, axes: NDArray[np.float64]) -> Geom:
    x, y, z = (round(float(value), 6) for value in centre)
    sizes = tuple(max(round(float(value), 6), 1e-5) for value in size)
    quat = Rotation.from_matrix(axes).as_quat(scalar_first=True).round(9).tolist()
    return Geom.model_validate({"type": kind, "size": sizes, "pos": (x, y, z), "quat": quat})


def _polished(geom: Geom, grid: Grid, inside: NDArray[np.bool_]) -> tuple[float, Geom]:
    """Return a primitive moved and scaled to have as much as it can in common with a solid."""
    size, pos = np.array(geom.size), np.array(geom.pos)
    scale = float(size.max())

    def made(x: Array) -> Geom:
        sizes = np.maximum(size * np.exp(x[: len(size)]), 1e-5)
        x_, y_, z_ = (float(value) for value in pos + scale * x[len(size) :])
        return geom.model_copy(update={"size": tuple(float(value) for value in sizes), "pos": (x_, y_, z_)})

    start = np.zeros(len(size) + 3)
    simplex = np.vstack([start, 0.04 * np.eye(len(start))])

    def off(x: Array) -> float:
        return -_alike(made(x), grid, inside)

    options: Any = {"maxfev": _STEPS, "initial_simplex": simplex}
    found = minimize(off, start, method="Nelder-Mead", options=options)
    best = made(found.x)
    x, y, z = (round(value, 6) for value in best.pos)
    best = best.model_copy(update={"size": tuple(round(value, 6) for value in best.size), "pos": (x, y, z)})
    return max((_alike(best, grid, inside), best), (_alike(geom, grid, inside), geom), key=lambda item: item[0])


def _foot(base: Array, low: float, height: float, file: str) -> Fit | None:
    """Return what a solid stands on: a thin cylinder or box where its base is nearly round or square, else the hull of a few corners."""
    points = np.ascontiguousarray(base * 1000, np.float32)  # [mm]: OpenCV works in single precision
    outline = cv2.convexHull(points)
    area = cv2.contourArea(outline)
    (x, y), radius = cv2.minEnclosingCircle(outline)
    (u, v), (long, short), angle = cv2.minAreaRect(outline)
    if area < 1.0:  # a point or an edge: it does not stand on that
        return None
    middle = low + height / 2
    if area >= ROUND * np.pi * radius**2:
        return Fit((Geom(type="cylinder", size=(radius / 1000, height / 2), pos=(x / 1000, y / 1000, middle)),), {})
    if area >= SQUARE * long * short:
        half = np.radians(angle) / 2
        quat = float(np.cos(half)), 0.0, 0.0, float(np.sin(half))
        size = (long / 2000, short / 2000, height / 2)
        return Fit((Geom(type="box", size=size, pos=(u / 1000, v / 1000, middle), quat=quat),), {})
    corners = _few(outline[:, 0].astype(float)) / 1000
    ring = np.concatenate([np.column_stack([corners, np.full(len(corners), z)]) for z in (low, low + height)])
    return Fit((Geom(type="mesh", file=file),), {file: convex_hull(ring, "the foot")})


def _few(outline: Array) -> Array:
    """Return a convex outline with so few corners, by leaving out those that matter least."""
    points = outline
    while len(points) > FOOT_VERTICES:
        one, other = np.roll(points, 1, axis=0) - points, np.roll(points, -1, axis=0) - points
        lost = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0])
        points = np.delete(points, lost.argmin(), axis=0)
    return points


def _lifted(geom: Geom, hulls: Mapping[str, Hull], height: float) -> tuple[Geom, dict[str, Hull]] | None:
    """Return a geom that begins at a height; None where nothing is left of it."""
    if geom.type == "mesh" and geom.file is not None:
        points = hulls[geom.file][0]
        if points[:, 2].min() >= height:
            return geom, {geom.file: hulls[geom.file]}
        if points[:, 2].max() <= height + LEAST:
            return None
        return geom, {geom.file: convex_hull(_cut(hulls[geom.file], height), "a hull")}
    placed = place(geom, (0, 0, 0), {})
    low, high = float(placed.low[2]), float(placed.high[2])
    if low >= height:
        return geom, {}
    if high <= height + LEAST:
        return None
    # shorter by what is gone, and moved up to begin there
    up = np.abs(placed.object_from_geom[2])
    share = (high - height) / (high - low)
    sizes = np.array(geom.size)
    if geom.type in ("box", "ellipsoid"):
        sizes = sizes * (1 - up * (1 - share))
    elif geom.type == "sphere":
        sizes = sizes * share
    else:
        sizes = sizes * [1 - (1 - up[2]) * (1 - share), 1 - up[2] * (1 - share)]
    smaller = geom.model_copy(update={"size": tuple(round(float(size), 6) for size in sizes)})
    x, y, z = geom.pos
    moved: Vector3 = (x, y, round(z + height - float(place(smaller, (0, 0, 0), {}).low[2]), 9))
    return smaller.model_copy(update={"pos": moved}), {}


def _cut(hull: Hull, height: float) -> Array:
    """Return the corners of what a convex polyhedron is above a height."""
    points, faces = hull
    above = points[points[:, 2] >= height]
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    one, other = points[edges[:, 0]], points[edges[:, 1]]
    crossing = (one[:, 2] - height) * (other[:, 2] - height) < 0
    one, other = one[crossing], other[crossing]
    share = ((height - one[:, 2]) / (other[:, 2] - one[:, 2]))[:, None]
    return np.concatenate([above, one + share * (other - one)])

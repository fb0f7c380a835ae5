"""Where objects stand. `place` is pure and seeded, and the only source of object poses: at building and at every reset.

Frame: the robot's base frame, z = 0 on the table top, x forward. Knows footprints and relations, not meshes or MuJoCo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon, affinity

from .errors import LayoutError
from .shapes import Site, Strict, Vector3
from .spec import TABLE, ClosedGoal, In, Near, ObjectSpec, On, SceneSpec, supporter

GAP = 0.008
"""Free space between any two footprints [m]."""
GRASP_GAP = 0.025
"""Free space around what a goal names, for the fingers [m]."""
DROP = 0.0005
"""Height above its support at which an object is put [m]."""
TRIES = 400
"""Candidate poses for one object before it counts as not fitting."""
_ATTEMPTS = 12
"""Whole layouts tried before giving up: an early object may block a later one."""


class Pose(Strict):
    """Where an object stands."""

    pos: Vector3
    """Origin (middle of the base) [m]."""
    yaw: float = 0.0
    """About z [rad]."""
    opening: float = 0.0
    """Share of its joint's range at which a jointed object starts."""


@dataclass(frozen=True)
class Body:
    """What the layout must know of an object."""

    footprint: NDArray[np.float64]
    """(N, 2) convex outline about the origin, counter-clockwise [m]; for a drawer, with the room that it opens into."""
    height: float
    """[m]"""
    top: Site | None = None
    inside: Site | None = None


@dataclass(frozen=True)
class Workspace:
    """Where objects may stand."""

    reach: tuple[float, float, float, float]
    """x_min, x_max, y_min, y_max that the arm works in [m]."""
    annulus: tuple[float, float]
    """Inner and outer radius about the base that the tool reaches from above [m]."""
    table: tuple[float, float, float, float]
    """Where clutter may stand: visible table around `reach` [m]."""
    keep_out: tuple[tuple[float, float, float], ...] = ()
    """Discs x, y, radius that stay free: the arm's base [m]."""
    hover: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 10.0)
    """Disc x, y, radius under the home gripper, and its height: nothing taller stands there [m]."""


@dataclass
class _Board:
    """What stands where, while a layout is being made."""

    workspace: Workspace
    rng: np.random.Generator
    taken: dict[str, Polygon] = field(default_factory=dict)
    gaps: dict[str, float] = field(default_factory=dict)
    poses: dict[str, Pose] = field(default_factory=dict)
    carried: dict[str, list[Polygon]] = field(default_factory=dict)
    """Outlines of what stands on or in each object, in that object's frame."""


def place(spec: SceneSpec, bodies: Mapping[str, Body], workspace: Workspace, seed: int) -> dict[str, Pose]:
    """Return a pose for every object, the same for the same arguments.

    What a goal names comes first and stands within reach; fixtures face the robot at the back; clutter stands elsewhere where
    it can, and within reach only when there is no other room. Footprints never overlap.

    Raises:
        LayoutError: Naming the object that found no room.
    """
    failure: LayoutError | None = None
    for attempt in range(_ATTEMPTS):
        board = _Board(workspace, np.random.default_rng([seed, attempt]))
        try:
            for item in _order(spec, bodies):
                _put(board, spec, item, bodies)
            return board.poses
        except LayoutError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _order(spec: SceneSpec, bodies: Mapping[str, Body]) -> list[ObjectSpec]:
    """Return objects so that supports and neighbours come before what needs them, the critical and the large first."""
    named = spec.goal_names()

    def rank(item: ObjectSpec) -> tuple[int, int, float, str]:
        depth, current = 0, item
        while (below := _needs(current)) != TABLE and depth < len(spec.objects):
            depth, current = depth + 1, spec.object(below)
        critical = item.name in named or _carries(spec, item, named)
        urgency = 0 if item.role == "fixture" and item.category != "zone" else 1 if critical else 2
        return depth, urgency, -float(np.ptp(bodies[item.name].footprint, axis=0).prod()), item.name

    return sorted(spec.objects, key=rank)


def _needs(item: ObjectSpec) -> str:
    return item.place.other if isinstance(item.place, Near) else supporter(item.place)


def _carries(spec: SceneSpec, item: ObjectSpec, named: frozenset[str]) -> bool:
    return any(other.name in named and _needs(other) == item.name for other in spec.objects)


def _put(board: _Board, spec: SceneSpec, item: ObjectSpec, bodies: Mapping[str, Body]) -> None:
    body = bodies[item.name]
    if isinstance(item.place, In) or (isinstance(item.place, On) and item.place.support != TABLE):
        below = supporter(item.place)
        board.poses[item.name] = _upon(board, item, body, below, bodies[below])
        return
    critical = item.name in spec.goal_names() or _carries(spec, item, spec.goal_names())
    gap = GRASP_GAP if critical else GAP
    xy, yaw = _on_table(board, item, body, gap, critical)
    opening = 0.0
    if any(isinstance(goal, ClosedGoal) and goal.target == item.name for goal in spec.task.goals):
        opening = float(board.rng.uniform(0.75, 0.95))
    board.poses[item.name] = Pose(
        pos=(float(xy[0]), float(xy[1]), DROP if item.role != "fixture" else 0.0), yaw=yaw, opening=opening
    )


def outline(body: Body, x: float, y: float, yaw: float) -> Polygon:
    """Return a body's footprint in the world."""
    return affinity.translate(affinity.rotate(Polygon(body.footprint), yaw, origin=(0, 0), use_radians=True), x, y)


def _on_table(
    board: _Board, item: ObjectSpec, body: Body, gap: float, critical: bool
) -> tuple[NDArray[np.float64], float]:
    """Find a free place on the table for one object and mark it as taken."""
    fixture = item.role == "fixture" and item.category != "zone"
    areas = [board.workspace.reach] if critical else [board.workspace.table, board.workspace.reach]
    for index, area in enumerate(areas):
        avoid_reach = not critical and index == 0
        for xy, yaw in zip(*_candidates(board, item, area, fixture), strict=True):
            shape = outline(body, *xy, yaw)
            if _fits(board, shape, body, xy, gap, critical and not fixture, avoid_reach):
                board.taken[item.name], board.gaps[item.name] = shape, gap
                return xy, yaw
    size = " x ".join(f"{extent * 100:.0f}" for extent in np.ptp(body.footprint, axis=0))
    where = "within the arm's reach" if critical else "on the table"
    raise LayoutError(
        item.name,
        f"'{item.name}' ({size} cm) finds no free place {where} beside {', '.join(board.taken) or 'nothing'}. "
        "Ask for fewer or smaller objects.",
    )


def _candidates(
    board: _Board, item: ObjectSpec, area: tuple[float, float, float, float], fixture: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = board.rng
    low, high = np.array([area[0], area[2]]), np.array([area[1], area[3]])
    if fixture:  # at the back, its front towards the arm
        low = np.array([low[0] + 0.55 * (high[0] - low[0]), low[1] * 0.6])
        high = np.array([high[0] + 0.06, high[1] * 0.6])
        xy = rng.uniform(low, high, (TRIES, 2))
        return xy, np.arctan2(xy[:, 1], xy[:, 0]) + rng.uniform(-0.15, 0.15, TRIES)
    xy = rng.uniform(low, high, (TRIES, 2))
    if isinstance(item.place, Near):
        other = shapely.get_coordinates(board.taken[item.place.other].centroid)[0]
        radius = np.sqrt(board.taken[item.place.other].area / np.pi) + item.place.distance
        angle = rng.uniform(-np.pi, np.pi, TRIES)
        xy = other + (radius * rng.uniform(0.4, 1.1, TRIES))[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return xy, rng.uniform(-np.pi, np.pi, TRIES)


def _fits(
    board: _Board, shape: Polygon, body: Body, xy: NDArray[np.float64], gap: float, critical: bool, avoid_reach: bool
) -> bool:
    space = board.workspace
    x0, x1, y0, y1 = space.table
    bounds = shape.bounds
    if bounds[0] < x0 - 0.03 or bounds[2] > x1 + 0.1 or bounds[1] < y0 - 0.03 or bounds[3] > y1 + 0.03:
        return False
    radius = float(np.hypot(*xy))
    if critical and not (space.annulus[0] <= radius <= space.annulus[1]):
        return False
    if avoid_reach:
        a0, a1, b0, b1 = space.reach
        if shape.intersects(shapely.box(a0 + 0.06, b0 + 0.06, a1 - 0.06, b1 - 0.06)):
            return False
    if any(shape.distance(shapely.Point(x, y)) < r for x, y, r in space.keep_out):
        return False
    hx, hy, hr, clearance = space.hover
    if body.height > clearance and shape.distance(shapely.Point(hx, hy)) < hr:
        return False
    return all(shape.distance(other) >= max(gap, board.gaps[name]) for name, other in board.taken.items())


def _upon(board: _Board, item: ObjectSpec, body: Body, below: str, support: Body) -> Pose:
    """Put an object on or in another one, wholly within its free area where it fits, else in its middle."""
    site = support.inside if isinstance(item.place, In) else support.top
    if site is None:
        verb = "hollow" if isinstance(item.place, In) else "flat on top"
        raise LayoutError(
            item.name, f"'{item.name}' cannot be placed: '{below}' is not {verb}. Choose another support."
        )
    base = board.poses[below]
    half = np.array(site.size[:2])
    others = board.carried.setdefault(below, [])
    room = shapely.box(*(-half - 1e-6), *(half + 1e-6))
    for _ in range(TRIES // 4):
        yaw = float(board.rng.uniform(-np.pi, np.pi))
        xy = board.rng.uniform(-half, half)
        shape = outline(body, *xy, yaw)
        if room.contains(shape) and all(shape.distance(other) >= GAP for other in others):
            break
    else:
        radius = float(np.linalg.norm(body.footprint, axis=1).max())
        if others or radius > float(half.min()) * 1.6:
            raise LayoutError(
                item.name,
                f"'{item.name}' does not fit {'in' if isinstance(item.place, In) else 'on'} '{below}'. Make it smaller.",
            )
        xy, yaw = np.zeros(2), float(board.rng.uniform(-np.pi, np.pi))
        shape = outline(body, 0.0, 0.0, yaw)
    others.append(shape)
    pos = upon(base, site, isinstance(item.place, In), (float(xy[0]), float(xy[1])))
    return Pose(pos=pos, yaw=yaw)


def upon(base: Pose, site: Site, inside: bool, offset: tuple[float, float] = (0.0, 0.0)) -> Vector3:
    """Return where an object's base goes to stand on a site of a standing object, or on the floor of its free space [m].

    Args:
        base: Pose of the object that carries the site.
        site: Its `top` or `inside`.
        inside: Whether `site` is the middle of a free space, whose floor is `site.size[2]` lower.
        offset: Along the site's x and y [m].
    """
    c, s = np.cos(base.yaw), np.sin(base.yaw)
    x, y = site.pos[0] + offset[0], site.pos[1] + offset[1]
    z = site.pos[2] - (site.size[2] if inside else 0.0)
    return (float(base.pos[0] + c * x - s * y), float(base.pos[1] + s * x + c * y), float(base.pos[2] + z + 2 * DROP))

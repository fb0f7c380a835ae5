"""Where objects stand. `place` is pure and seeded, and the only source of object poses: at building and at every reset.

Frame: the robot's base frame, z = 0 on the table top, x forward. Knows footprints and relations, not meshes or MuJoCo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from .errors import LayoutError
from .shapes import Site, Strict, Vector3
from .spec import TABLE, ClosedGoal, In, Near, NearGoal, ObjectSpec, On, SceneSpec, anchor, supporter

GAP = 0.008
"""Free space between any two footprints [m]."""
GRASP_GAP = 0.025
"""Free space around what a goal names, for the fingers [m]."""
AWAY = 0.03
"""How much farther than a goal's distance two objects start that it brings together [m]."""
DROP = 0.0005
"""Height above its support at which an object is put [m]."""
TRIES = 400
"""Candidate poses for one object before it counts as not fitting."""
_SKEW = 0.15
"""Largest turn of a fixture away from facing the robot [rad]."""
_TURNS = 20
"""Turns tried in the middle of a support that an object hangs over."""
_CHUNK = 5
"""Candidate poses looked at together."""
_ATTEMPTS = 12
"""Whole layouts tried before giving up: an early object may block a later one."""

Array = NDArray[np.float64]
Polygons = NDArray[Any]
"""(N,) objects of shapely."""


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

    footprint: Array
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


@dataclass(frozen=True)
class Around:
    """Poses that a layout stays close to: those that a scene was recorded with."""

    poses: Mapping[str, Pose]
    """Of every object."""
    shift: float
    """Largest distance from the recorded position along x, and along y [m]."""
    turn: float
    """Largest turn from the recorded yaw [rad]; pi and more is the whole circle."""


@dataclass
class _Board:
    """What stands where, while a layout is being made."""

    workspace: Workspace
    rng: np.random.Generator
    around: Around | None = None
    taken: dict[str, Polygon] = field(default_factory=dict)
    gaps: dict[str, float] = field(default_factory=dict)
    poses: dict[str, Pose] = field(default_factory=dict)
    apart: dict[frozenset[str], float] = field(default_factory=dict)
    """Gap that two objects start with at least, because the goal is to bring them together [m]."""


def place(
    spec: SceneSpec, bodies: Mapping[str, Body], workspace: Workspace, seed: int, around: Around | None = None
) -> dict[str, Pose]:
    """Return a pose for every object, the same for the same arguments.

    What a goal names comes first and stands within reach; fixtures face the robot at the back; clutter stands elsewhere where
    it can, and within reach only when there is no other room. Footprints never overlap.

    `around` keeps what stands on the table close to recorded poses; what stands on or in another object is put anywhere on it.
    Where no such layout is found, the recorded poses themselves are returned: they are known to fit.

    Raises:
        LayoutError: Naming the object that found no room; never with `around`.
    """
    failure: LayoutError | None = None
    for attempt in range(_ATTEMPTS):
        board = _Board(workspace, np.random.default_rng([seed, attempt]), around, apart=_apart(spec))
        try:
            for item in _order(spec, bodies):
                _put(board, spec, item, bodies)
            return board.poses
        except LayoutError as error:
            failure = failure or error
    if around:
        return {item.name: around.poses[item.name] for item in spec.objects}
    assert failure is not None
    raise failure


def _apart(spec: SceneSpec) -> dict[frozenset[str], float]:
    nears = (goal for goal in spec.task.goals if isinstance(goal, NearGoal))
    return {frozenset((goal.target, goal.other)): goal.distance + AWAY for goal in nears}


def _order(spec: SceneSpec, bodies: Mapping[str, Body]) -> list[ObjectSpec]:
    """Return objects so that supports and neighbours come before what needs them, the critical and the large first."""
    critical = _critical(spec)

    def rank(item: ObjectSpec) -> tuple[int, int, float, str]:
        depth, current = 0, item
        while (below := anchor(current.place)) != TABLE and depth < len(spec.objects):
            depth, current = depth + 1, spec.object(below)
        urgency = 0 if _faces(item) else 1 if item.name in critical else 2
        return depth, urgency, -float(np.ptp(bodies[item.name].footprint, axis=0).prod()), item.name

    return sorted(spec.objects, key=rank)


def _faces(item: ObjectSpec) -> bool:
    """Return whether an object stands at the back with its front towards the robot."""
    return item.role == "fixture" and item.category != "zone"


def _critical(spec: SceneSpec) -> frozenset[str]:
    """Return what must stand within reach: what a goal names and all that it stands on, in or near."""
    found, rest = set(), sorted(spec.goal_names())
    while rest:
        if (name := rest.pop()) not in found and name != TABLE:
            found.add(name)
            rest.append(anchor(spec.object(name).place))
    return frozenset(found)


def _put(board: _Board, spec: SceneSpec, item: ObjectSpec, bodies: Mapping[str, Body]) -> None:
    body = bodies[item.name]
    if isinstance(item.place, In) or (isinstance(item.place, On) and item.place.support != TABLE):
        board.poses[item.name] = _upon(board, spec, item, body, bodies[supporter(item.place)])
        return
    critical = item.name in _critical(spec)
    near = None
    if isinstance(item.place, Near):
        other = [item.place.other, *_beneath(spec, item.place.other)][-1]
        near = _Vicinity(board.taken[other], item.place.distance)
    xy, yaw = _on_table(board, item, body, critical, near)
    opening = 0.0
    if any(isinstance(goal, ClosedGoal) and goal.target == item.name for goal in spec.task.goals):
        opening = float(board.rng.uniform(0.75, 0.95))
    board.poses[item.name] = Pose(
        pos=(float(xy[0]), float(xy[1]), DROP if item.role != "fixture" else 0.0), yaw=yaw, opening=opening
    )


def outline(body: Body, x: float, y: float, yaw: float) -> Polygon:
    """Return a body's footprint in the world."""
    return _outlines(body, np.array([[x, y]]), np.array([yaw]))[0]


def _outlines(body: Body, xy: Array, yaw: Array) -> Polygons:
    """Return a body's footprint at each of several poses."""
    c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y = body.footprint.T
    corners = np.stack([xy[:, :1] + c * x - s * y, xy[:, 1:] + s * x + c * y], axis=-1)
    return np.asarray(shapely.polygons(corners))


@dataclass(frozen=True)
class _Vicinity:
    """Where an object stands that is near another one."""

    outline: Polygon
    distance: float
    """Largest gap [m]."""


def _beneath(spec: SceneSpec, name: str) -> list[str]:
    """Return what an object stands on or in, from its support down to what stands on the table."""
    below = []
    while (name := supporter(spec.object(name).place)) != TABLE:
        below.append(name)
    return below


def _on_table(
    board: _Board, item: ObjectSpec, body: Body, critical: bool, near: _Vicinity | None
) -> tuple[Array, float]:
    """Find a free place on the table for one object and mark it as taken."""
    gap = GRASP_GAP if critical else GAP
    apart = {name: board.apart.get(frozenset((item.name, name)), 0.0) for name in board.taken}
    gaps = {name: max(gap, board.gaps[name], apart[name]) for name in board.taken}
    areas = [board.workspace.reach] if critical or near else [board.workspace.table, board.workspace.reach]
    for index, area in enumerate(areas):
        avoid_reach = not critical and not near and index == 0
        xy, yaw = _candidates(board, item, body, area, near)
        for start in range(0, len(xy), _CHUNK):
            some = slice(start, start + _CHUNK)
            shapes = _outlines(body, xy[some], yaw[some])
            fitting = _fitting(board, shapes, xy[some], gaps, critical and not _faces(item), avoid_reach)
            if near:
                fitting &= shapely.distance(shapes, near.outline) <= near.distance
            if fitting.any():
                first = int(fitting.argmax())
                board.taken[item.name], board.gaps[item.name] = shapes[first], gap
                return xy[start + first], float(yaw[start + first])
    size = " x ".join(f"{extent * 100:.0f}" for extent in np.ptp(body.footprint, axis=0))
    where = "within the arm's reach" if critical else "on the table"
    raise LayoutError(
        item.name,
        f"'{item.name}' ({size} cm) finds no free place {where} beside {', '.join(board.taken) or 'nothing'}. "
        "Ask for fewer or smaller objects.",
    )


def _candidates(
    board: _Board, item: ObjectSpec, body: Body, area: tuple[float, float, float, float], near: _Vicinity | None
) -> tuple[Array, Array]:
    rng, fixture = board.rng, _faces(item)
    low, high = np.array([area[0], area[2]]), np.array([area[1], area[3]])
    if fixture:  # at the back, its front towards the arm
        low = np.array([low[0] + 0.8 * (high[0] - low[0]), low[1] * 0.6])
        high = np.array([high[0] + 0.06, high[1] * 0.6])
    elif near:
        centre = shapely.get_coordinates(near.outline.centroid)[0]
        closest = np.sqrt(near.outline.area / np.pi) / 2
        farthest = shapely.minimum_bounding_radius(near.outline) + near.distance + _radius(body)
        if board.around:
            low, high = centre - farthest, centre + farthest
    if board.around:
        return _candidates_around(rng, board.around.poses[item.name], board.around, low, high, fixture)
    if fixture:
        xy = rng.uniform(low, high, (TRIES, 2))
        return xy, np.arctan2(xy[:, 1], xy[:, 0]) + rng.uniform(-_SKEW, _SKEW, TRIES)
    if near:
        angle, away = rng.uniform(-np.pi, np.pi, TRIES), rng.uniform(closest, farthest, TRIES)
        return centre + away[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), rng.uniform(-np.pi, np.pi, TRIES)
    return rng.uniform(low, high, (TRIES, 2)), rng.uniform(-np.pi, np.pi, TRIES)


def _candidates_around(
    rng: np.random.Generator, pose: Pose, around: Around, low: Array, high: Array, fixture: bool
) -> tuple[Array, Array]:
    """Draw from what a box and the surroundings of a recorded pose share, which may lie at the box's edge or just outside."""
    at, turn = np.array(pose.pos[:2]), min(around.turn, np.pi)
    low, high = np.maximum(np.minimum(low, at), at - around.shift), np.minimum(np.maximum(high, at), at + around.shift)
    xy = rng.uniform(low, high, (TRIES, 2))
    if not fixture:
        return xy, pose.yaw + rng.uniform(-turn, turn, TRIES)
    facing = np.arctan2(xy[:, 1], xy[:, 0]) - pose.yaw
    facing = np.arctan2(np.sin(facing), np.cos(facing))
    least, most = np.maximum(facing - _SKEW, -turn), np.minimum(facing + _SKEW, turn)
    able = least <= most
    return xy[able], pose.yaw + rng.uniform(least[able], most[able])


def _radius(body: Body) -> float:
    return float(np.linalg.norm(body.footprint, axis=1).max())


def _fitting(
    board: _Board, shapes: Polygons, xy: Array, gaps: Mapping[str, float], critical: bool, avoid_reach: bool
) -> NDArray[np.bool_]:
    """Return which outlines of a body are free."""
    space = board.workspace
    x0, x1, y0, y1 = space.table
    low_x, low_y, high_x, high_y = shapely.bounds(shapes).T
    free = (low_x >= x0 - 0.03) & (high_x <= x1 + 0.1) & (low_y >= y0 - 0.03) & (high_y <= y1 + 0.03)
    if critical:
        radius = np.hypot(*xy.T)
        free &= (space.annulus[0] <= radius) & (radius <= space.annulus[1])
    if avoid_reach:
        a0, a1, b0, b1 = space.reach
        free &= ~shapely.intersects(shapes, shapely.box(a0 + 0.06, b0 + 0.06, a1 - 0.06, b1 - 0.06))
    for x, y, radius in space.keep_out:
        free &= shapely.distance(shapes, shapely.Point(x, y)) >= radius
    for name, other in board.taken.items():
        free[free] = shapely.distance(shapes[free], other) >= gaps[name]
    return free


def _upon(board: _Board, spec: SceneSpec, item: ObjectSpec, body: Body, support: Body) -> Pose:
    """Put an object on or in another one, wholly within its free area where it fits, else in its middle."""
    below, inside = supporter(item.place), isinstance(item.place, In)
    site = support.inside if inside else support.top
    if site is None:
        verb = "hollow" if inside else "flat on top"
        raise LayoutError(
            item.name, f"'{item.name}' cannot be placed: '{below}' is not {verb}. Choose another support."
        )
    base, half = board.poses[below], np.array(site.size[:2])
    beneath = _beneath(spec, item.name)
    others = shapely.union_all([shape for name, shape in board.taken.items() if name not in beneath])
    room = shapely.box(*(-half - 1e-6), *(half + 1e-6))
    alone = not any(supporter(spec.object(name).place) == below for name in board.taken)
    middle = [np.zeros(2)] * (_TURNS if alone and _radius(body) <= float(half.min()) * 1.6 else 0)
    for index, xy in enumerate([*board.rng.uniform(-half, half, (TRIES // 4, 2)), *middle]):
        x, y, yaw = float(xy[0]), float(xy[1]), float(board.rng.uniform(-np.pi, np.pi))
        if index < TRIES // 4 and not room.contains(outline(body, x, y, yaw)):
            continue
        pose = Pose(pos=upon(base, site, inside, (x, y)), yaw=base.yaw + yaw)
        shape = outline(body, *pose.pos[:2], pose.yaw)
        if others.is_empty or shape.distance(others) >= GAP:
            board.taken[item.name], board.gaps[item.name] = shape, GAP
            return pose
    verb = "in" if inside else "on"
    raise LayoutError(item.name, f"'{item.name}' does not fit {verb} '{below}'. Make it smaller.")


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

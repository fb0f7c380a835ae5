"""Where a gripper that points down can take hold of an object: candidates from its collision shapes, checked with the arm in the scene.

Knows geometry at one moment; nothing of goals, plans or time. Frame: the robot's base frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import trimesh
from numpy.typing import NDArray

from ..kinematics import PoseSolver, down, free_pose, rotation_about
from ..robots import Array
from ..shapes import TOUCHED
from .control import Target
from .stage import Stage

PAD = 0.01
"""Half the height and width of what the pads touch [m]."""
SLACK = 0.006
"""How much wider than the object the fingers open at least [m]."""
_ROOM = 0.012
"""How much wider than the object the fingers open where neighbours stand close, to each side [m]."""
_YAWS = np.arange(16) * np.pi / 16
"""Directions in which the fingers may close, off the y axis [rad]."""
_TRIES, _LEANING, _BEYOND = 60, 8, 6
"""Candidates that are tried with the arm: straight down, leaning, and how many may be out of reach before the rest count as such."""
_LEANS = (0.35, -0.35, 0.6)
"""Tilts of the hand, away from the base positive, for what cannot be taken from above [rad]."""
_OFF_CENTRE = 0.2
"""How far off its middle an object is taken where something stands beside that, as a share of its length."""
_DEEP = -0.002
"""Overlap from which what is carried counts as touching something, where it is only thought to be [m]."""
_SWING = 2.6
"""Farthest that a joint may have to go [rad]."""
_MARGIN = 0.02
"""Distance that joints keep from their limits: beside one the controller loses its way [rad]."""


@dataclass(frozen=True)
class Grasp:
    """A tool pose at which closing the fingers takes hold of something."""

    position: Array
    """Tool point [m]."""
    rotation: Array
    """Of the tool (3, 3)."""
    opened: float
    """Gripper before it closes, 0 … 1."""


@dataclass(frozen=True)
class Candidate:
    """Where closing the fingers might take hold of something from above."""

    position: Array
    """Tool point [m]."""
    yaw: float
    """At which the fingers close [rad]."""
    width: float
    """What is between them then [m]."""
    cost: float


def surface_points(model: mujoco.MjModel, body: int, edge: float) -> dict[int, Array]:
    """Return points on what can be touched of the object that has `body`: geom → (N, 3) in the geom's frame [m].

    They are at most `edge` apart [m], and hold all corners.
    """
    found = {}
    for geom in np.flatnonzero(
        (model.body_rootid[model.geom_bodyid] == model.body_rootid[body]) & (model.geom_contype & TOUCHED > 0)
    ):
        found[int(geom)] = _spread(np.asarray(_solid(model, int(geom)).triangles, np.float64), edge)
    return found


def _spread(triangles: Array, edge: float) -> Array:
    """Return points on triangles (T, 3, 3), corners and all, at most `edge` apart [m]."""
    sides = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(axis=1)
    parts, found = np.maximum(np.ceil(sides / edge), 1).astype(int), []
    for count in np.unique(parts):
        steps = np.arange(count + 1)
        shares = np.array([(a, b, count - a - b) for a in steps for b in steps[: count + 1 - a]]) / count
        found.append((shares @ triangles[parts == count]).reshape(-1, 3))
    points = np.concatenate(found)
    cells = np.round(points * 1e4).astype(np.int64) @ np.array([1, 1 << 20, 1 << 40])  # triangles share their edges
    return points[np.unique(cells, return_index=True)[1]]


def world_points(points: dict[int, Array], data: mujoco.MjData) -> Array:
    """Return surface points in the base frame, (N, 3) [m]."""
    placed = [local @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom] for geom, local in points.items()]
    return np.concatenate(placed) if placed else np.zeros((0, 3))


def _solid(model: mujoco.MjModel, geom: int) -> trimesh.Trimesh:
    kind, size = mujoco.mjtGeom(model.geom_type[geom]), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return trimesh.creation.box(2 * size)
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return trimesh.creation.cylinder(size[0], 2 * size[1], sections=24)
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return trimesh.creation.capsule(2 * size[1], size[0], count=[12, 12])
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        return trimesh.convex.convex_hull(model.mesh_vert[first : first + count])
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.apply_scale(size if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID else np.repeat(size[0], 3))
    return ball


@dataclass(frozen=True)
class Carried:
    """What is in the hand, in the tool's frame."""

    body: int
    offset: Array
    """(3,) [m]"""
    turn: Array
    """(3, 3)"""
    alone: bool = False
    """Whether it may not touch anything else either."""


def yaw_of(rotation: Array) -> float:
    """Return the yaw at which a tool's fingers close [rad]; see `kinematics.solve_ik`."""
    return float(np.arctan2(-rotation[0, 1], rotation[1, 1]))


class Hand:
    """The arm's hand in one stage, to try poses with."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._scratch = mujoco.MjData(stage.model)
        self.solve = PoseSolver(stage.controller.model, stage.recipe)
        model, arm = stage.model, stage.controller.model
        self._arm = model.body_rootid[model.site_bodyid[stage.at.tool]]
        limits = np.array([arm.joint(name).range for name in stage.recipe.joints])
        self._low, self._high = limits[:, 0], limits[:, 1]
        fingers = [model.jnt_bodyid[model.joint("robot/" + name).id] for name in stage.recipe.gripper.joints]
        hand = [model.body_parentid[body] for body in fingers]
        corners = self._corners(fingers)
        self.breadth, self.tip = float(corners[corners[:, 2] > -0.02, 0].max()), float(corners[:, 2].max())
        """How far the fingers stand out beyond the tool point, across the closing axis and along the approach [m]."""
        corners = self._corners(hand)
        self.bulk, self.palm = float(corners[:, 0].max()), -float(corners[:, 2].max())
        """How far the hand itself stands out across the closing axis, and begins behind the tool point [m]."""

    def _corners(self, bodies: list[int]) -> Array:
        """Return the corners of what can be touched of bodies, in the tool's frame, fingers open, (N, 3) [m]."""
        model, data, at = self.stage.model, self._scratch, self.stage.at
        mujoco.mj_resetDataKeyframe(model, data, self.stage.home.id)
        mujoco.mj_kinematics(model, data)
        tool, rotation = data.site_xpos[at.tool], data.site_xmat[at.tool].reshape(3, 3)
        geoms = np.flatnonzero(np.isin(model.geom_bodyid, bodies) & (model.geom_contype & TOUCHED > 0))
        corners = world_points({int(geom): np.asarray(_solid(model, int(geom)).vertices) for geom in geoms}, data)
        return np.asarray((corners - tool) @ rotation)

    def joints(self, position: Array, rotation: Array, start: Target, margin: float = _MARGIN) -> Array | None:
        """Return arm joint positions [rad] that put the tool at a pose [m], (3, 3), `margin` within their limits, or None."""
        found = self.solve(position, rotation, start.joints)
        if found is None or (found < self._low + margin).any() or (found > self._high - margin).any():
            return None
        # The hand turns the shorter way round. Joints that would have to go the other way end at a limit.
        return found if np.abs(found - start.joints).max() < _SWING else None

    def reach(
        self,
        data: mujoco.MjData,
        position: Array,
        rotation: Array,
        opened: float,
        start: Target,
        carried: Carried | None = None,
        ignored: int = -1,
    ) -> Array | None:
        """Return the rotation with which the arm reaches a tool pose and touches nothing there, or None.

        The gripper is symmetric: of the two rotations that do the same, the one that needs the smaller turn is tried first.

        Args:
            data: Where everything stands.
            position: Tool point [m].
            rotation: Of the tool (3, 3).
            opened: Gripper, 0 … 1.
            start: Where the arm comes from.
            carried: What is in the hand; what touches it does not count.
            ignored: Body of an object that may be touched.
        """
        for turned in alike(rotation, start):
            if self.fits(data, position, turned, opened, start, carried, ignored):
                return turned
        return None

    def fits(
        self,
        data: mujoco.MjData,
        position: Array,
        rotation: Array,
        opened: float,
        start: Target,
        carried: Carried | None = None,
        ignored: int = -1,
    ) -> bool:
        """Return whether the arm reaches just this tool pose and touches nothing there; see `reach`."""
        joints = self.joints(position, rotation, start)
        return joints is not None and self._free(data, position, rotation, joints, opened, carried, ignored)

    def _free(
        self,
        data: mujoco.MjData,
        position: Array,
        rotation: Array,
        joints: Array,
        opened: float,
        carried: Carried | None = None,
        ignored: int = -1,
    ) -> bool:
        """Return whether the arm touches nothing with these joint positions; see `reach`."""
        stage, scratch = self.stage, self._scratch
        mujoco.mj_copyData(scratch, stage.model, data)
        scratch.qpos[stage.at.qpos] = joints
        scratch.qpos[stage.at.fingers] = stage.recipe.fingers_at(opened)
        if carried:
            self.carry(scratch, position, rotation, carried)
        mujoco.mj_kinematics(stage.model, scratch)
        mujoco.mj_collision(stage.model, scratch)
        roots = stage.model.body_rootid[stage.model.geom_bodyid[scratch.contact.geom[: scratch.ncon]]]
        mine = roots == self._arm
        outside = mine.any(axis=1) & ~mine.all(axis=1)
        touched = (roots == (carried.body if carried else ignored)).any(axis=1)
        if carried and carried.alone and (touched & ~mine.any(axis=1) & (scratch.contact.dist < _DEEP)).any():
            return False
        return not (outside & ~touched).any()

    def carry(self, data: mujoco.MjData, position: Array, rotation: Array, carried: Carried) -> None:
        """Put what is in the hand where it is when the tool is at a pose [m], (3, 3)."""
        pose = free_pose(self.stage.model, data, carried.body)
        pose[:3] = position + rotation @ carried.offset
        mujoco.mju_mat2Quat(pose[3:], (rotation @ carried.turn).ravel())

    def search(self, data: mujoco.MjData, points: Array, start: Target, skip: int = 0) -> Grasp | None:
        """Return a grasp of the object whose surface points are given, or None.

        Args:
            data: Where everything stands.
            points: (N, 3) [m].
            start: Where the arm comes from; of equal grasps the one that needs the smaller turn is taken.
            skip: How many good grasps to pass over: those that have failed.
        """
        candidates = self.candidates(points, yaw_of(start.rotation))
        straight = [(each, down(each.yaw)) for each in candidates[:_TRIES]]
        leaning = [(each, self._leaning(each, lean)) for lean in _LEANS for each in candidates[:_LEANING]]
        for group in (straight, leaning):
            beyond = 0
            for candidate, wanted in group:
                solved = [(each, self.joints(candidate.position, each, start)) for each in alike(wanted, start)]
                beyond += all(joints is None for _, joints in solved)
                if beyond > _BEYOND:
                    break
                grasp = self._take(data, candidate, solved, start)
                if grasp is None:
                    continue
                if not skip:
                    return grasp
                skip -= 1
        return None

    def _leaning(self, candidate: Candidate, lean: float) -> Array:
        """Return the rotation of a candidate with the hand leaning back towards the base."""
        x, y = candidate.position[:2] / max(float(np.linalg.norm(candidate.position[:2])), 1e-6)
        return rotation_about([y, -x, 0.0], lean) @ down(candidate.yaw)

    def _take(
        self, data: mujoco.MjData, candidate: Candidate, solved: list[tuple[Array, Array | None]], start: Target
    ) -> Grasp | None:
        """Return the grasp of a candidate with the fingers wide or narrow, free there and just before it, or None."""
        for rotation, joints in solved:
            if joints is None:
                continue
            before = candidate.position - 0.03 * rotation[:, 2]
            for opened in (1.0, self._narrow(candidate)):
                if self._free(data, candidate.position, rotation, joints, opened) and self.fits(
                    data, before, rotation, opened, start
                ):
                    return Grasp(candidate.position, rotation, opened)
        return None

    def _narrow(self, candidate: Candidate) -> float:
        return min(1.0, (candidate.width + 2 * _ROOM) / self.stage.recipe.gripper.opening)

    def candidates(self, points: Array, yaw: float) -> list[Candidate]:
        """Return where closing would take hold of the object whose surface points (N, 3) [m] are given, the most promising first.

        Only what is not too wide; whether the arm gets there is not looked at. `yaw` [rad] is the one from which turns are counted.
        """
        low, high = float(points[:, 2].min()), float(points[:, 2].max())
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        floor = low + self.tip + 0.002
        wanted = np.array([high - 0.004, high - 0.012, high - 0.02, (low + high) / 2, low + 0.35 * (high - low)])
        heights = np.unique(np.maximum(floor, wanted[wanted >= high - 0.045]))
        heights = heights[np.diff(heights, append=1.0) > 0.003]
        length = float(np.linalg.norm(np.ptp(points[:, :2], axis=0)))
        found = [
            each
            for height in heights
            for shift in (0.0, _OFF_CENTRE * length, -_OFF_CENTRE * length)
            for each in self._level(points, middle, height, yaw, shift)
        ]
        return sorted(found, key=lambda candidate: candidate.cost)

    def _level(self, points: Array, middle: Array, height: float, yaw: float, shift: float) -> list[Candidate]:
        """Return what closing at a height, `shift` off the middle [m], would meet: for each yaw at which that is not too wide."""
        near = points[np.abs(points[:, 2] - height) < PAD]
        if not len(near):
            return []
        closing = np.stack([-np.sin(_YAWS), np.cos(_YAWS)])
        along = np.stack([np.cos(_YAWS), np.sin(_YAWS)])
        across, beside = (near[:, :2] - middle[:2]) @ closing, (near[:, :2] - middle[:2]) @ along
        centre = (beside.min(axis=0) + beside.max(axis=0)) / 2 + shift
        touched = np.abs(beside - centre) < PAD
        low, high = _extent(across, touched)
        width = high - low
        # On a slope the fingers slide off upwards: compare what they meet above and below the middle.
        upper_low, upper_high = _extent(across, touched & (near[:, 2] > height)[:, None])
        taper = np.where(upper_high >= upper_low, width - (upper_high - upper_low), width)
        nearest = (_YAWS - yaw + np.pi / 2) % np.pi - np.pi / 2  # the gripper is symmetric
        cost = (
            bool(shift)
            + 4 * taper
            + 2 * width
            + abs(height - middle[2])
            + 0.01 * np.abs(nearest)
            + 0.5 * np.abs(centre)
        )
        xy = middle[:2] + (closing * (low + high) / 2 + along * centre).T
        fits = (width >= 0) & (width <= self.stage.recipe.gripper.opening - SLACK)
        return [
            Candidate(np.array([*xy[i], height]), float(yaw + nearest[i]), float(width[i]), float(cost[i]))
            for i in np.flatnonzero(fits)
        ]


def _extent(values: Array, chosen: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return the smallest and largest of what is chosen in each column; where nothing is, the largest is below the smallest."""
    return np.where(chosen, values, 1e3).min(axis=0), np.where(chosen, values, -1e3).max(axis=0)


def alike(rotation: Array, start: Target) -> list[Array]:
    """Return the two rotations that are the same to a symmetric gripper, the one that needs the smaller turn first."""
    now = start.rotation
    return sorted((rotation, rotation * [-1, -1, 1]), key=lambda each: -float(np.sum(each * now)))

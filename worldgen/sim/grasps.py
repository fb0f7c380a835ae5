"""Where a gripper that points down can take hold of an object: candidates from its collision shapes, checked with the arm in the scene.

Knows geometry at one moment; nothing of goals, plans or time. Frame: the robot's base frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import trimesh

from ..kinematics import PoseSolver, down
from ..robots import Array
from .control import Target
from .stage import Stage

PAD = 0.01
"""Half the height and width of what the pads touch [m]."""
SLACK = 0.006
"""How much wider than the object the fingers open at least [m]."""
_ROOM = 0.012
"""How much wider than the object the fingers open where neighbours stand close, to each side [m]."""
_EDGE = 0.005
"""Distance of the points that stand for a surface [m]."""
_YAWS = 16
_TRIES = 30
"""Candidates that are tried with the arm."""


@dataclass(frozen=True)
class Grasp:
    """A tool pose at which closing the fingers takes hold of something."""

    position: Array
    """Tool point [m]."""
    rotation: Array
    """Of the tool (3, 3)."""
    opened: float
    """Gripper before it closes, 0 … 1."""


def surface_points(model: mujoco.MjModel, body: int) -> dict[int, Array]:
    """Return points on what can be touched of the object that has `body`: geom → (N, 3) in the geom's frame [m]."""
    found = {}
    for geom in np.flatnonzero(
        (model.body_rootid[model.geom_bodyid] == model.body_rootid[body]) & (model.geom_contype != 0)
    ):
        solid = _solid(model, int(geom))
        vertices, _ = trimesh.remesh.subdivide_to_size(solid.vertices, solid.faces, _EDGE, max_iter=20)
        found[int(geom)] = np.asarray(vertices, np.float64)
    return found


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


def yaw_of(rotation: Array) -> float:
    """Return the yaw at which a tool's fingers close [rad]; see `kinematics.solve_ik`."""
    return float(np.arctan2(-rotation[0, 1], rotation[1, 1]))


class Hand:
    """The arm's hand in one stage, to try poses with."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._scratch = mujoco.MjData(stage.model)
        self._solve = PoseSolver(stage.controller.model, stage.recipe)
        model = stage.model
        self._arm = model.body_rootid[model.site_bodyid[stage.at.tool]]
        self.breadth, self.tip = self._fingers()
        """How far the fingers stand out beyond the tool point, across the closing axis and along the approach [m]."""

    def _fingers(self) -> tuple[float, float]:
        model, data, at = self.stage.model, self._scratch, self.stage.at
        mujoco.mj_resetDataKeyframe(model, data, self.stage.home.id)
        mujoco.mj_kinematics(model, data)
        tool, rotation = data.site_xpos[at.tool], data.site_xmat[at.tool].reshape(3, 3)
        fingers = [model.jnt_bodyid[model.joint("robot/" + name).id] for name in self.stage.recipe.gripper.joints]
        geoms = np.flatnonzero(np.isin(model.geom_bodyid, fingers) & (model.geom_contype != 0))
        corners = world_points({int(geom): np.asarray(_solid(model, int(geom)).vertices) for geom in geoms}, data)
        local = (corners - tool) @ rotation
        return float(local[local[:, 2] > -0.02, 0].max()), float(local[:, 2].max())

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
        stage, scratch = self.stage, self._scratch
        now = start.rotation
        for turned in sorted((rotation, rotation * [-1, -1, 1]), key=lambda each: -float(np.sum(each * now))):
            joints = self._solve(position, turned, start.joints)
            if joints is None:
                continue
            mujoco.mj_copyData(scratch, stage.model, data)
            scratch.qpos[stage.at.qpos] = joints
            scratch.qpos[stage.at.fingers] = stage.recipe.fingers_at(opened)
            if carried:
                self._carry(scratch, position, turned, carried)
            mujoco.mj_kinematics(stage.model, scratch)
            mujoco.mj_collision(stage.model, scratch)
            roots = stage.model.body_rootid[stage.model.geom_bodyid[scratch.contact.geom[: scratch.ncon]]]
            mine = roots == self._arm
            outside = mine.any(axis=1) & ~mine.all(axis=1)
            outside &= ~(roots == (carried.body if carried else ignored)).any(axis=1)
            if not outside.any():
                return turned
        return None

    def _carry(self, data: mujoco.MjData, position: Array, rotation: Array, carried: Carried) -> None:
        at = self.stage.model.jnt_qposadr[self.stage.model.body_jntadr[carried.body]]
        data.qpos[at : at + 3] = position + rotation @ carried.offset
        mujoco.mju_mat2Quat(data.qpos[at + 3 : at + 7], (rotation @ carried.turn).ravel())

    def search(self, data: mujoco.MjData, points: Array, start: Target, skip: int = 0) -> Grasp | None:
        """Return a grasp of the object whose surface points are given, or None.

        Args:
            data: Where everything stands.
            points: (N, 3) [m].
            start: Where the arm comes from; of equal grasps the one that needs the smaller turn is taken.
            skip: How many good grasps to pass over: those that have failed.
        """
        for candidate in self._candidates(points, yaw_of(start.rotation))[:_TRIES]:
            for opened in (1.0, self._narrow(candidate)):
                rotation = self.reach(data, candidate.position, down(candidate.yaw), opened, start)
                if (
                    rotation is None
                    or self.reach(data, candidate.position + [0, 0, 0.03], rotation, opened, start) is None
                ):
                    continue
                if skip:
                    skip -= 1
                    break
                return Grasp(candidate.position, rotation, opened)
        return None

    def _narrow(self, candidate: _Candidate) -> float:
        return min(1.0, (candidate.width + 2 * _ROOM) / self.stage.recipe.gripper.opening)

    def _candidates(self, points: Array, yaw: float) -> list[_Candidate]:
        """Return candidates, the most promising first."""
        low, high = float(points[:, 2].min()), float(points[:, 2].max())
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        floor = low + self.tip + 0.002
        heights = np.unique(
            np.maximum(floor, [high - 0.004, high - 0.012, high - 0.02, (low + high) / 2, low + 0.35 * (high - low)])
        )
        found = [
            candidate
            for height in heights[heights >= high - 0.045]
            for turn in np.arange(_YAWS) * np.pi / _YAWS
            if (candidate := self._candidate(points, middle, float(height), float(turn), yaw)) is not None
        ]
        return sorted(found, key=lambda candidate: candidate.cost)

    def _candidate(self, points: Array, middle: Array, height: float, turn: float, yaw: float) -> _Candidate | None:
        """Return what closing at a height and yaw would meet, or None where it is too wide or there is nothing."""
        closing, along = np.array([-np.sin(turn), np.cos(turn)]), np.array([np.cos(turn), np.sin(turn)])
        flat = points[:, :2] - middle[:2]
        across, beside = flat @ closing, flat @ along
        near = np.abs(points[:, 2] - height) < PAD
        if not near.any():
            return None
        centre = (beside[near].min() + beside[near].max()) / 2
        touched = near & (np.abs(beside - centre) < PAD)
        if not touched.any():
            return None
        low, high = float(across[touched].min()), float(across[touched].max())
        width = high - low
        if width > self.stage.recipe.gripper.opening - SLACK:
            return None
        # On a slope the fingers slide off upwards: compare what they meet above and below the middle.
        upper = touched & (points[:, 2] > height)
        taper = width - float(np.ptp(across[upper])) if upper.any() else width
        position = np.array([*(middle[:2] + closing * (low + high) / 2 + along * centre), height])
        nearest = (turn - yaw + np.pi / 2) % np.pi - np.pi / 2  # the gripper is symmetric
        cost = 4 * taper + 2 * width + 1.0 * abs(height - middle[2]) + 0.01 * abs(nearest) + 0.5 * abs(centre)
        return _Candidate(position, yaw + nearest, width, cost)


@dataclass(frozen=True)
class _Candidate:
    position: Array
    yaw: float
    width: float
    cost: float

"""Goal predicates over a compiled scene: how far, and done or not. Knows names and contacts, not how the scene was made.

A scene names each object's body like the object, its sites `<object>/<site>`, its joint `<object>/<part>`; the table is the
body `table`, and every body of the arm starts with `robot/`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from .errors import SceneError
from .shapes import TOUCHED
from .spec import ClosedGoal, Goal, InGoal, LiftedGoal, NearGoal, OnGoal, OpenGoal, PushedGoal

ROBOT = "robot/"
_FAR = 0.3
"""Distance at which progress is 0 [m]."""
_BEYOND, _OVER = 0.01, 0.005
"""How far beyond the edge of a support's top, or of a free space, the middle of what is on or in it may be [m]."""


@dataclass(frozen=True)
class Progress:
    """`value` in [0, 1] grows towards the goal and is 1 exactly when `done`."""

    value: float
    done: bool


class GoalCheck:
    """One goal bound to one compiled model; call it with the model's data.

    Pick-and-place follows the contact rule of "Scaling Sim-to-Real RL for Robot VLAs with Generative 3D Worlds": the target
    touches its support, and neither the table nor the robot.

    Raises:
        SceneError: When the model lacks a body, site or joint that the goal names.
    """

    def __init__(self, goal: Goal, model: mujoco.MjModel) -> None:
        self.goal = goal
        self.model = model
        self.target = self._id(mujoco.mjtObj.mjOBJ_BODY, goal.target)
        self._root = model.body_rootid
        names = [model.body(i).name for i in range(model.nbody)]
        self._robot = np.array([name.startswith(ROBOT) for name in names])
        self._table = self._id(mujoco.mjtObj.mjOBJ_BODY, "table")
        other = {"on": "support", "in": "container", "near": "other", "pushed": "region"}.get(goal.kind)
        self.other = self._id(mujoco.mjtObj.mjOBJ_BODY, getattr(goal, other)) if other else -1
        if isinstance(goal, InGoal):
            self.site = self._id(mujoco.mjtObj.mjOBJ_SITE, f"{goal.container}/inside")
        elif isinstance(goal, OnGoal):
            self.site = self._id(mujoco.mjtObj.mjOBJ_SITE, f"{goal.support}/top")
        elif isinstance(goal, PushedGoal):
            self.site = self._id(mujoco.mjtObj.mjOBJ_SITE, f"{goal.region}/top")
        elif isinstance(goal, OpenGoal | ClosedGoal):
            self.joint = self._jointed(goal.target)
        self._half: list[float] = model.site_size[self.site].tolist() if hasattr(self, "site") else []
        self._target_half_height = self._half_height(goal.target)
        self._target_geoms = self._geoms(self.target)
        self.start_height = self._height_at_home()

    def __call__(self, data: mujoco.MjData) -> Progress:
        """Return the progress of a state whose positions and contacts are up to date (`mj_forward` or `mj_step`)."""
        value, fits = getattr(self, f"_{self.goal.kind}")(data)
        done = bool(fits) and self._contacts_fit(data)
        return Progress(1.0 if done else float(min(max(value, 0.0), 0.99)), done)

    def fits(self, data: mujoco.MjData) -> bool:
        """Return whether positions alone would let the goal hold, whatever touches what."""
        return bool(getattr(self, f"_{self.goal.kind}")(data)[1])

    def _contacts_fit(self, data: mujoco.MjData) -> bool:
        """Return whether the target touches what it has to, and nothing that it must not."""
        if isinstance(self.goal, OpenGoal | ClosedGoal):
            return True
        if isinstance(self.goal, LiftedGoal):
            return self.held(data)
        touches, table, robot = self._contacts(data)
        if isinstance(self.goal, NearGoal | PushedGoal):
            return table
        return touches and not table and not robot

    def centre(self, data: mujoco.MjData) -> NDArray[np.float64]:
        """Return the middle of the target in the world [m]: half its height above its base along its own axis."""
        rotation = data.xmat[self.target].reshape(3, 3)
        return data.xpos[self.target] + rotation[:, 2] * self._target_half_height

    def _id(self, kind: mujoco.mjtObj, name: str) -> int:
        found = mujoco.mj_name2id(self.model, kind, name)
        if found < 0:
            raise SceneError(
                f"The scene has no {kind.name[6:].lower()} '{name}', which the goal '{self.goal.kind}' needs."
            )
        return found

    def _jointed(self, name: str) -> int:
        body = self._id(mujoco.mjtObj.mjOBJ_BODY, name)
        for joint in range(self.model.njnt):
            inside = self.model.jnt_bodyid[joint]
            if self.model.body_parentid[inside] == body and np.ptp(self.model.jnt_range[joint]) > 0:
                return joint
        raise SceneError(f"'{name}' has nothing that opens or closes.")

    def _half_height(self, name: str) -> float:
        try:
            return float(self.model.site(f"{name}/top").pos[2]) / 2
        except KeyError:
            return 0.0

    def _contacts(self, data: mujoco.MjData) -> tuple[bool, bool, bool]:
        """Return whether the target touches the other object, the table, the robot."""
        if not data.ncon:
            return False, False, False
        bodies = self.model.geom_bodyid[data.contact.geom]
        touching = data.contact.dist <= 1e-4
        mine = (self._top(bodies) == self.target) & touching[:, None]
        others = bodies[:, ::-1][mine]
        return (
            bool((self._top(others) == self.other).any()),
            bool((others == self._table).any()),
            bool(self._robot[others].any()),
        )

    def _top(self, bodies: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the object that each body belongs to: its ancestor just below the world."""
        return self._root[bodies]

    def _local(self, data: mujoco.MjData) -> list[float]:
        """Return the target's middle in the frame of the goal's site [m]."""
        away = self.centre(data) - data.site_xpos[self.site]
        local: list[float] = (away @ data.site_xmat[self.site].reshape(3, 3)).tolist()
        return local

    def _on(self, data: mujoco.MjData) -> tuple[float, bool]:
        x, y, z = self._local(data)
        half = self._half
        above = z > 0 and abs(x) <= half[0] + _BEYOND and abs(y) <= half[1] + _BEYOND
        return 1 - math.hypot(x, y, z - self._target_half_height) / _FAR, above

    def _in(self, data: mujoco.MjData) -> tuple[float, bool]:
        x, y, z = self._local(data)
        half = self._half
        # Its lowest point must be in the lower half of the free space: what lies across the rim is not inside.
        inside = abs(x) <= half[0] + _OVER and abs(y) <= half[1] + _OVER and z > -half[2]
        inside = inside and self._lowest(data) <= data.site_xpos[self.site, 2]
        return 1 - math.hypot(x, y, z + half[2] - self._target_half_height) / _FAR, inside  # to its floor

    def _near(self, data: mujoco.MjData) -> tuple[float, bool]:
        assert isinstance(self.goal, NearGoal)
        gap = self.gap(data, self.goal.distance + _FAR)
        return 1 - max(gap - self.goal.distance, 0) / _FAR, gap <= self.goal.distance

    def gap(self, data: mujoco.MjData, limit: float) -> float:
        """Return the smallest distance between the two objects' collision geoms, at most `limit` [m]."""
        pairs = ((a, b) for a in self._geoms(self.target) for b in self._geoms(self.other))
        return min((mujoco.mj_geomDistance(self.model, data, a, b, limit, None) for a, b in pairs), default=limit)

    def _geoms(self, body: int) -> NDArray[np.int64]:
        return np.flatnonzero((self._root[self.model.geom_bodyid] == body) & (self.model.geom_contype & TOUCHED > 0))

    def _lowest(self, data: mujoco.MjData) -> float:
        """Return the height of the target's lowest point in the world, by the boxes around its collision geoms [m]."""
        geoms = self._target_geoms
        rotation = data.geom_xmat[geoms].reshape(-1, 3, 3)[:, 2]
        centre, half = self.model.geom_aabb[geoms, :3], self.model.geom_aabb[geoms, 3:]
        low = data.geom_xpos[geoms, 2] + (rotation * centre).sum(axis=1) - (np.abs(rotation) * half).sum(axis=1)
        return float(low.min()) if len(geoms) else float(data.xpos[self.target][2])

    def _height_at_home(self) -> float:
        """Return the height of the target's origin in the scene's home keyframe, or where it was built [m]."""
        data = mujoco.MjData(self.model)
        if self.model.nkey:
            mujoco.mj_resetDataKeyframe(self.model, data, 0)
        mujoco.mj_kinematics(self.model, data)
        return float(data.xpos[self.target][2])

    def _lifted(self, data: mujoco.MjData) -> tuple[float, bool]:
        assert isinstance(self.goal, LiftedGoal)
        height = float(data.xpos[self.target][2]) - self.start_height
        return height / self.goal.height, height >= self.goal.height

    def held(self, data: mujoco.MjData) -> bool:
        """Return whether the robot and nothing else touches the target."""
        bodies = self.model.geom_bodyid[data.contact.geom[: data.ncon]].reshape(-1, 2)
        others = bodies[:, ::-1][self._top(bodies) == self.target]
        others = others[self._top(others) != self.target]
        return bool(len(others)) and bool(self._robot[others].all())

    def _pushed(self, data: mujoco.MjData) -> tuple[float, bool]:
        x, y, _ = self._local(data)
        return 1 - math.hypot(x, y) / _FAR, math.hypot(x / self._half[0], y / self._half[1]) <= 1

    def _opening(self, data: mujoco.MjData) -> float:
        low, high = self.model.jnt_range[self.joint]
        far = high if abs(high) >= abs(low) else low
        return float(data.qpos[self.model.jnt_qposadr[self.joint]] / far)

    def _open(self, data: mujoco.MjData) -> tuple[float, bool]:
        assert isinstance(self.goal, OpenGoal)
        opening = self._opening(data)
        return opening / self.goal.fraction, opening >= self.goal.fraction

    def _closed(self, data: mujoco.MjData) -> tuple[float, bool]:
        assert isinstance(self.goal, ClosedGoal)
        opening = self._opening(data)
        return (1 - opening) / (1 - self.goal.fraction), opening <= self.goal.fraction

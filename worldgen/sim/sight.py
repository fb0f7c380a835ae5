"""Pictures with exact labels: where each object is, and where the picture was taken from. For teaching a network to see; nothing moves here.

Frame: the robot's base frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from ..kinematics import PoseSolver, down, rotation_about
from ..robots import Array
from .optics import pose
from .stage import Stage
from .world import Observation, World

_BANK = 400
"""Arm poses to choose from: solving for one costs as much as a picture."""
_LEAN = 0.35
"""Farthest that the hand leans off straight down [rad]."""
_CLOSE = 0.07
"""How far from an object the hand is shown "near" it [m]."""
_NEAR, _HELD = 0.45, 0.3
"""Shares of pictures with the hand near an object that could be taken, and, of those, with that between its fingers."""


@dataclass(frozen=True)
class Sight:
    """One picture and what is to be known of it."""

    observation: Observation
    points: dict[str, Array]
    """Object → its middle (3,) [m]; of what opens, its handle."""
    camera: Array
    """(CAMERA,) of the first view; see `worldgen.sim.optics`."""


class Scatter:
    """Draws pictures of one scene with the objects, the arm and the looks anywhere.

    Args:
        stage: The scene; its settings need a view.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage, self.world = stage, World(stage)
        self._bank = _poses(stage)
        self._heights = {item.name: item.size[2] for item in stage.scene.record.spec.objects}

    def pictures(self, seed: int, count: int) -> list[Sight]:
        """Return `count` pictures of one arrangement of the objects, each with another pose of the arm."""
        rng = np.random.default_rng([seed, 1])
        self.world.scatter(seed)
        before = self.world.data.qpos.copy()
        found = []
        for _ in range(count):
            self.world.data.qpos[:] = before
            self._pose(rng)
            mujoco.mj_forward(self.stage.model, self.world.data)
            found.append(self._label(self.world.observe()))
        return found

    def _pose(self, rng: np.random.Generator) -> None:
        """Put the arm anywhere, often near an object, sometimes with that in its hand."""
        data, stage = self.world.data, self.stage
        tools, rotations, joints = self._bank
        gripper, index = float(rng.choice([0.0, 1.0, rng.uniform()])), int(rng.integers(len(joints)))
        movable = sorted(stage.free)
        if movable and rng.uniform() < _NEAR:
            name = movable[int(rng.integers(len(movable)))]
            body = stage.free[name]
            wanted = data.xpos[body] + [*rng.uniform(-_CLOSE, _CLOSE, 2), rng.uniform(0.0, 0.12)]
            index = int(np.argmin(np.linalg.norm(tools - wanted, axis=1) + 0.01 * rng.uniform(size=len(tools))))
            if rng.uniform() < _HELD:
                at = stage.model.jnt_qposadr[stage.model.body_jntadr[body]]
                turn, quaternion = rotations[index] @ down(0.0).T, np.empty(4)
                sink = [0.0, 0.0, rng.uniform(0.3, 0.8) * self._heights[name]]
                data.qpos[at : at + 3] = tools[index] - turn @ sink
                mujoco.mju_mat2Quat(quaternion, turn.ravel())
                mujoco.mju_mulQuat(data.qpos[at + 3 : at + 7], quaternion, data.qpos[at + 3 : at + 7].copy())
                gripper = float(rng.uniform(0.1, 0.8))
        data.qpos[stage.at.qpos] = joints[index]
        data.qpos[stage.at.fingers] = stage.recipe.fingers_at(gripper)

    def _label(self, observation: Observation) -> Sight:
        data, stage = self.world.data, self.stage
        camera = stage.model.camera(stage.settings.views[0].camera).id
        return Sight(
            observation, {name: stage.truth.middle(data, name) for name in stage.ids}, pose(stage.model, data, camera)
        )


_banks: dict[str, tuple[Array, Array, Array]] = {}
"""Recipe → what `_poses` found for it."""


def _poses(stage: Stage) -> tuple[Array, Array, Array]:
    """Return tool points (N, 3) [m], rotations (N, 3, 3) and joints (N, J) [rad] all over the workspace and above it."""
    key = stage.recipe.model_dump_json()
    if key not in _banks:
        _banks[key] = _solved(stage)
    return _banks[key]


def _solved(stage: Stage) -> tuple[Array, Array, Array]:
    rng, recipe = np.random.default_rng(0), stage.recipe
    solve, area = PoseSolver(stage.controller.model, recipe), recipe.workspace
    tools, rotations, joints = list[Array](), list[Array](), list[Array]()
    for _ in range(3 * _BANK):
        height = 0.005 + 0.25 * rng.uniform() ** 1.5
        point = np.array([rng.uniform(area.x_min, area.x_max), rng.uniform(area.y_min, area.y_max), height])
        axis = np.array([*rng.normal(size=2), 0.0])
        lean = rng.choice([0.0, rng.uniform(0, _LEAN)])
        rotation = rotation_about(axis / np.linalg.norm(axis), lean) @ down(rng.uniform(-np.pi / 2, np.pi / 2))
        found = solve(point, rotation, np.array(recipe.home))
        if found is not None:
            tools.append(point)
            rotations.append(rotation)
            joints.append(found)
        if len(joints) == _BANK:
            break
    return np.array(tools), np.array(rotations), np.array(joints)

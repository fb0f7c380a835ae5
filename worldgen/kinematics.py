"""Inverse kinematics of an arm that points straight down: joint positions for a tool point and a yaw. And rotations and poses in MuJoCo's terms.

Knows recipes and compiled models; nothing of objects, actions or time.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from .robots import Addresses, Array, RobotRecipe, addresses

GRASP_HEIGHTS = (0.02, 0.25)
"""Tool heights above the table over which a recipe promises top-down reach [m]."""
_POSITION_TOLERANCE, _ANGLE_TOLERANCE = 2e-4, 2e-3  # [m], [rad] where the search stops
_ITERATIONS = 80
_PATIENCE = 5
"""Steps of a quick search that may bring it no nearer."""


def solve_ik(
    model: mujoco.MjModel,
    recipe: RobotRecipe,
    position: ArrayLike,
    yaw: float,
    prefix: str = "",
    start: ArrayLike | None = None,
) -> Array | None:
    """Find arm joint positions [rad] that put the tool at `position` [m, base frame] pointing straight down, or None.

    At `yaw` = 0 the fingers close along the base's y axis; positive turns them about z. The gripper is symmetric, so
    yaw counts modulo pi and the turn nearer to the starting pose is tried first. The answer respects joint limits and
    has no self-collision with open fingers. Starts are `start` if given, home turned towards the point, home, then
    random ones from a fixed seed: the same call gives the same answer.
    """
    at, state, rng = addresses(model, recipe, prefix), mujoco.MjData(model), np.random.default_rng(0)
    state.qpos[at.fingers] = recipe.fingers_at(1)
    target, home = np.asarray(position, dtype=np.float64), np.array(recipe.home)
    guesses = [] if start is None else [np.asarray(start, dtype=np.float64)]
    guesses += [_turned(home, target), home]
    guesses += [rng.uniform(np.maximum(at.low, -np.pi), np.minimum(at.high, np.pi)) for _ in range(5)]
    for guess in guesses:
        guess = np.clip(guess, at.low, at.high)
        for rotation in _nearest_first(model, state, at, guess, (down(yaw), down(yaw + np.pi))):
            found = _descend(model, state, at, guess, target, rotation, home)
            if found is not None and not _self_collides(model, state, at.tool):
                return found
    return None


class PoseSolver:
    """Inverse kinematics for any tool rotation, asked many times: keeps what it needs, and gives up once it gets no nearer.

    `model` is the bare arm's.
    """

    def __init__(self, model: mujoco.MjModel, recipe: RobotRecipe) -> None:
        self._model, self._at, self._state = model, addresses(model, recipe), mujoco.MjData(model)
        self._home = np.array(recipe.home)
        self._state.qpos[self._at.fingers] = recipe.fingers_at(1)

    def __call__(self, position: Array, rotation: Array, start: Array) -> Array | None:
        """Return arm joint positions [rad] that put the tool at `position` [m] with `rotation` (3, 3), or None.

        Tried from `start` [rad], then from home turned towards the point; self-collisions with open fingers do not count as found.
        """
        for guess in (start, _turned(self._home, position)):
            guess = np.clip(guess, self._at.low, self._at.high)
            found = _descend(self._model, self._state, self._at, guess, position, rotation, self._home, _PATIENCE)
            if found is not None and not _self_collides(self._model, self._state, self._at.tool):
                return found
        return None


def sample_reach(recipe: RobotRecipe, count: int, seed: int) -> list[tuple[Array, float]]:
    """Draw (tool position [m], yaw [rad]) pairs uniformly over the promised reach, for checks and tests."""
    rng = np.random.default_rng(seed)
    reach, poses = recipe.reach, []
    for _ in range(count):
        radius = np.sqrt(rng.uniform(reach.inner**2, reach.outer**2))
        azimuth, height = rng.uniform(-reach.half_angle, reach.half_angle), rng.uniform(*GRASP_HEIGHTS)
        position = np.array([radius * np.cos(azimuth), radius * np.sin(azimuth), height])
        poses.append((position, float(rng.uniform(-np.pi / 2, np.pi / 2))))
    return poses


def down(yaw: float) -> Array:
    """Return the tool's rotation matrix in the base frame, pointing down, closing axis at `yaw` [rad] from y."""
    return np.array([[-np.cos(yaw), -np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, -1]])


def rotation_about(axis: ArrayLike, angle: float) -> Array:
    """Return the rotation (3, 3) about a unit axis [rad]."""
    quaternion, matrix = np.empty(4), np.empty(9)
    mujoco.mju_axisAngle2Quat(quaternion, np.asarray(axis, np.float64), angle)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


def turn_between(to: Array, rotation: Array) -> Array:
    """Return the rotation vector [rad, base frame] that takes `rotation` to `to`."""
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, (to @ rotation.T).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1)
    return vector


def _turned(home: Array, position: Array) -> Array:
    """Return the home pose turned towards a point [rad]."""
    turned = home.copy()
    turned[0] += np.arctan2(position[1], position[0])
    return turned


def _nearest_first(
    model: mujoco.MjModel, state: mujoco.MjData, at: Addresses, joints: Array, rotations: Sequence[Array]
) -> list[Array]:
    """Return rotations of the tool, the one nearest to that at `joints` first."""
    state.qpos[at.qpos] = joints
    mujoco.mj_kinematics(model, state)
    now = state.site_xmat[at.tool].reshape(3, 3)
    return sorted(rotations, key=lambda rotation: -float(np.sum(rotation * now)))


def _descend(
    model: mujoco.MjModel,
    state: mujoco.MjData,
    at: Addresses,
    joints: Array,
    position: Array,
    rotation: Array,
    home: Array,
    patience: int = _ITERATIONS,
) -> Array | None:
    """Walk from `joints` to the tool pose by damped least squares; leave `state` there, or return None.

    Gives up after `patience` steps that bring it no nearer.
    """
    jacobian, best, waited = np.zeros((6, model.nv)), np.inf, 0
    for _ in range(_ITERATIONS):
        state.qpos[at.qpos] = joints
        mujoco.mj_kinematics(model, state)
        mujoco.mj_comPos(model, state)
        turn = turn_between(rotation, state.site_xmat[at.tool].reshape(3, 3))
        error = np.concatenate((position - state.site_xpos[at.tool], turn))
        if np.linalg.norm(error[:3]) < _POSITION_TOLERANCE and np.linalg.norm(error[3:]) < _ANGLE_TOLERANCE:
            return joints
        if (size := float(error @ error)) < 0.9 * best:
            best, waited = size, 0
        elif (waited := waited + 1) > patience:
            return None
        mujoco.mj_jacSite(model, state, jacobian[:3], jacobian[3:], at.tool)
        arm = jacobian[:, at.dofs]
        # Damping that shrinks with the error: safe far away and at the edge of reach, quadratic convergence at the end.
        pseudo = arm.T @ np.linalg.inv(arm @ arm.T + (1e-3 * size + 1e-7) * np.eye(6))
        step = pseudo @ error
        if len(joints) > 6:
            step += 0.1 * (home - joints - pseudo @ (arm @ (home - joints)))
        joints = np.clip(joints + step * min(1.0, 0.4 / np.abs(step).max()), at.low, at.high)
    return None


def _self_collides(model: mujoco.MjModel, state: mujoco.MjData, tool: int) -> bool:
    mujoco.mj_collision(model, state)
    roots = model.body_rootid[model.geom_bodyid[state.contact.geom[: state.ncon]]]
    return bool(np.any(np.all(roots == model.body_rootid[model.site_bodyid[tool]], axis=-1)))


def free_pose(model: mujoco.MjModel, data: mujoco.MjData, body: int) -> Array:
    """Return where a body is that moves freely: a view (7,) of `qpos` that can be written, position [m] and quaternion."""
    at = model.jnt_qposadr[model.body_jntadr[body]]
    return data.qpos[at : at + 7]

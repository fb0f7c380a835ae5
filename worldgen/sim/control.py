"""End-effector actions ↔ joint targets of one arm. Knows a recipe and its bare arm; nothing of scenes, goals or time.

The arm stands alone in a model of its own, so that the same code serves a simulated and a physical one. Frame: the
recipe's base frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ActionError
from ..kinematics import down, turn_between
from ..robots import Addresses, Array, Robot, addresses

ACTION = 7
"""Numbers of an action: Δx Δy Δz [m], a rotation vector [rad], gripper (0 closed … 1 open)."""
_ITERATIONS = 12
_ENOUGH = np.array([5e-4] * 3 + [2e-3] * 3)
"""Errors at which the search for joint positions stops [m], [rad]."""
_NEARER, _PATIENCE = 0.9, 3
"""Share of the least squared error that a step must get below, and how many may not: at limits and the edge of reach."""


@dataclass(frozen=True)
class Target:
    """Where the arm was last told to be. The next action starts from here, not from where the arm sags to."""

    position: Array
    """(3,) tool point [m]."""
    quaternion: Array
    """(4,) tool rotation, w x y z."""
    gripper: float
    """0 closed … 1 open."""
    joints: Array
    """(J,) arm joint positions [rad] that put the tool there, or as near as the limits let it."""

    @property
    def rotation(self) -> Array:
        """Tool rotation (3, 3)."""
        matrix = np.empty(9)
        mujoco.mju_quat2Mat(matrix, self.quaternion)
        return matrix.reshape(3, 3)


class Controller:
    """Turns actions into joint targets by damped least squares with joint and speed limits and a pull to home.

    A step solves  min |J·dq - e|² + λ²|dq - p|²,  p = share of the way home:  dq = p + Jᵀ(J·Jᵀ + λ²)⁻¹(e - J·p)  (Nakamura and
    Hanafusa 1986, with the posture p where the tool does not notice). λ shrinks with the error: safe far away and at the edge
    of reach, fast at the end.
    """

    def __init__(self, robot: Robot) -> None:
        self.recipe = robot.recipe
        self.period = 1.0 / robot.recipe.control.rate_hz
        """Time that one action takes [s]."""
        self.model, self._at, self.lead = _bare(robot)
        self._data = mujoco.MjData(self.model)
        self._point, self._turn = self._data.site_xpos[self._at.tool], self._data.site_xmat[self._at.tool]
        self._jacobian = np.zeros((6, self.model.nv))
        self._error, self._quaternion = np.zeros(6), np.zeros(4)
        self._home = np.array(robot.recipe.home)
        limits = robot.recipe.control
        self._scale = np.array([limits.max_translation, limits.max_rotation])
        self._stride = np.array(limits.max_speed) * self.period

    @property
    def low(self) -> Array:
        """Smallest action, (7,)."""
        return np.concatenate([np.repeat(-self._scale, 3), [0.0]])

    @property
    def high(self) -> Array:
        """Largest action along each axis, (7,); moves and turns in several at once are limited by their length."""
        return np.concatenate([np.repeat(self._scale, 3), [1.0]])

    def at(self, joints: ArrayLike, gripper: float) -> Target:
        """Return the target of an arm that rests at these joint positions [rad]."""
        angles = np.clip(np.asarray(joints, np.float64), self._at.low, self._at.high)
        self._forward(angles)
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self._turn)
        return Target(self._point.copy(), quaternion, float(gripper), angles)

    def clamp(self, action: ArrayLike) -> tuple[Array, bool]:
        """Return an action within the recipe's limits, direction kept, and whether it had to be changed.

        Raises:
            ActionError: When it does not hold seven finite numbers.
        """
        values = np.array(action, np.float64)
        if values.shape != (ACTION,) or not np.isfinite(values).all():
            got = f"shape {values.shape}" if values.shape != (ACTION,) else str(values.tolist())
            raise ActionError(
                f"An action has {ACTION} finite numbers (xyz m, rotation vector rad, gripper); got {got}."
            )
        clamped = False
        for part, limit in ((slice(0, 3), self._scale[0]), (slice(3, 6), self._scale[1])):
            length = float(np.sqrt(values[part] @ values[part]))
            if length > limit * (1 + 1e-6):
                values[part] *= limit / length
                clamped = True
        if not 0 <= values[6] <= 1:
            clamped |= not -1e-6 <= values[6] <= 1 + 1e-6
            values[6] = min(max(values[6], 0.0), 1.0)
        return values, clamped

    def advance(self, target: Target, action: Array) -> Target:
        """Return the target after one clamped action: moved and turned in the base frame, joints solved for.

        Where joint or speed limits or the edge of reach stop the arm short, the target stays there with it, so that
        turning back answers at once.
        """
        position = target.position + action[:3]
        position[2] = max(position[2], 0.0)
        turn, quaternion = np.empty(4), np.empty(4)
        angle = float(np.sqrt(action[3:6] @ action[3:6]))
        mujoco.mju_axisAngle2Quat(turn, action[3:6] / angle if angle > 0 else np.array([1.0, 0, 0]), angle)
        mujoco.mju_mulQuat(quaternion, turn, target.quaternion)
        mujoco.mju_normalize4(quaternion)
        joints = self._solve(position, quaternion, target.joints)
        hurry = float((np.abs(joints - target.joints) / self._stride).max())
        if hurry > 1:
            joints = target.joints + (joints - target.joints) / hurry
        elif self._close():
            return Target(position, quaternion, float(action[6]), joints)
        return self._above(self.at(joints, action[6]), target)

    def _above(self, reached: Target, before: Target) -> Target:
        """Return a target that is not below the table: the farthest on the joints' way to it, where it is."""
        if reached.position[2] >= 0:
            return reached
        low, high = 0.0, 1.0
        for _ in range(12):
            share = (low + high) / 2
            tried = self.at(before.joints + share * (reached.joints - before.joints), reached.gripper)
            low, high = (share, high) if tried.position[2] >= 0 else (low, share)
        return self.at(before.joints + low * (reached.joints - before.joints), reached.gripper)

    def path(self, before: Target, after: Target, parts: int) -> Array:
        """Return what to ask of the servos during one action, (parts, J + 1): joints [rad], then the gripper's control.

        Joints move evenly. Each is asked for `lead` seconds ahead, the time by which its servo trails a steady motion.
        """
        move = after.joints - before.joints
        share = (np.arange(parts)[:, None] + 0.5) / parts  # each part holds its middle
        asked = np.empty((parts, len(move) + 1))
        asked[:, :-1] = before.joints + self.lead / self.period * move + share * move
        np.maximum(asked[:, :-1], self._at.low, out=asked[:, :-1])
        np.minimum(asked[:, :-1], self._at.high, out=asked[:, :-1])
        asked[:, -1] = self.recipe.gripper_ctrl(after.gripper)
        return asked

    def action_to(self, target: Target, position: Array, rotation: Array, gripper: float) -> Array:
        """Return the unclamped action that leads from a target to a tool pose [m, 3x3] in the base frame."""
        return np.concatenate([position - target.position, turn_between(rotation, target.rotation), [gripper]])

    def _forward(self, joints: Array) -> None:
        self._data.qpos[self._at.qpos] = joints
        mujoco.mj_kinematics(self.model, self._data)

    def _close(self) -> bool:
        """Return whether the last search ended at its goal."""
        return bool((np.abs(self._error) < 4 * _ENOUGH).all())

    def _solve(self, position: Array, quaternion: Array, start: Array) -> Array:
        """Return joint positions [rad] that bring the tool to a pose, or near it, from `start`."""
        joints, damping, jacobian = start, self.recipe.control.damping, self._jacobian
        posture = self.recipe.control.nullspace * (self._home - joints) if len(joints) > 6 else None
        solved, best, stalled = np.empty(6), np.inf, 0
        for _ in range(_ITERATIONS):
            size = self._measure(joints, position, quaternion)
            if (np.abs(self._error) < _ENOUGH).all():
                break
            if size < _NEARER * best:
                best, stalled = size, 0
            elif (stalled := stalled + 1) > _PATIENCE:
                break
            mujoco.mj_comPos(self.model, self._data)
            mujoco.mj_jacSite(self.model, self._data, jacobian[:3], jacobian[3:], self._at.tool)
            arm = jacobian[:, self._at.dofs]
            square, wanted = arm @ arm.T, self._error
            square.flat[::7] += damping**2 * size + 1e-7
            if posture is not None:
                wanted = wanted - arm @ posture
            mujoco.mju_cholFactor(square, 0.0)
            mujoco.mju_cholSolve(solved, square, wanted)
            joints = joints + solved @ arm
            if posture is not None:
                joints, posture = joints + posture, None  # home pulls once an action
            joints = np.minimum(np.maximum(joints, self._at.low), self._at.high)
        else:
            self._measure(joints, position, quaternion)
        return joints

    def _measure(self, joints: Array, position: Array, quaternion: Array) -> float:
        """Put the distance of the bare arm's tool from a pose into `_error`: [m], then a rotation vector [rad]; return its square."""
        self._forward(joints)
        self._error[:3] = position - self._point
        mujoco.mju_mat2Quat(self._quaternion, self._turn)
        mujoco.mju_negQuat(self._quaternion, self._quaternion)
        mujoco.mju_mulQuat(self._quaternion, quaternion, self._quaternion)
        mujoco.mju_quat2Vel(self._error[3:], self._quaternion, 1)
        return float(self._error @ self._error)


def tool_pose(position: Array, rotation: Array) -> NDArray[np.float64]:
    """Return a tool pose as six numbers: position [m], and the rotation vector from pointing straight down [rad]."""
    return np.concatenate([position, turn_between(rotation, down(0.0))])


def _bare(robot: Robot) -> tuple[mujoco.MjModel, Addresses, Array]:
    """Return the arm alone, where its parts are, and by how long each servo trails a steady motion [s]."""
    spec = robot.spec()
    for geom in list(spec.geoms):
        if not geom.contype and not geom.conaffinity and not geom.mass:
            spec.delete(geom)
    model = spec.compile()
    at = addresses(model, robot.recipe)
    stiffness = model.actuator_gainprm[at.actuators, 0]
    damping = model.dof_damping[at.dofs] - model.actuator_biasprm[at.actuators, 2]
    lead = np.where(stiffness > 0, damping / np.maximum(stiffness, 1e-9), 0.0)
    return model, at, lead

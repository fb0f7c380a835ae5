"""What opens and closes: ways to take a handle, and the way of the handle. Knows one moment, as `motions` does.

Frame: the robot's base frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np

from ..goals import GoalCheck
from ..kinematics import down, rotation_about
from ..robots import Array
from ..spec import ClosedGoal, OpenGoal
from .grasps import Grasp, alike
from .motions import Motions, Way

_TILTS = (0.0, 0.2, 0.3, 0.36, 0.42, 0.5, 0.58, 0.7, 0.9, 1.1)
"""How far the hand leans back to reach under what hangs over a handle [rad]."""


class Handles:
    """Handles in one stage."""

    def __init__(self, motions: Motions) -> None:
        self._motions = motions

    def grasps(self, goal: GoalCheck, site: int) -> Iterator[Grasp]:
        """Yield ways to take a handle, the best first.

        Beside those that close around the middle: one that straddles the bar, the hand as far before it as it goes. The finger behind
        the bar then pulls the drawer out as it closes. It suits a hand that is too broad to come near the front.
        """
        data, gripper = self._motions.data, self._motions.stage.recipe.gripper
        frame, at = data.site_xmat[site].reshape(3, 3), data.site_xpos[site].copy()
        yaw = float(np.arctan2(frame[1, 0], frame[0, 0]) - np.pi / 2)
        away = data.xpos[goal.target] - at
        lean = np.cross([0.0, 0.0, -1.0], [*away[:2], 0.0]) / max(float(np.linalg.norm(away[:2])), 1e-6)
        bar = float(self._motions.stage.model.site_size[site][0])
        slide = self.slides(goal)
        for tilt in _TILTS:
            rotation = rotation_about(lean, tilt) @ down(yaw)
            if all(
                self._motions.hand.joints(at, each, self._motions.target) is None
                for each in alike(rotation, self._motions.target)
            ):
                continue
            for room in (0.010, 0.014, 0.006):
                for beyond in (0.0, -0.005, 0.005, -0.009):
                    yield Grasp(at + beyond * rotation[:, 2], rotation, min(1.0, (2 * bar + room) / gripper.opening))
            if slide and isinstance(goal.goal, OpenGoal):
                for share, gap in ((1.0, 0.004), (1.0, 0.002), (0.7, 0.002)):
                    shift = share * gripper.opening / 2 - bar - gap
                    before = -np.sign(rotation[:, 1] @ away) * rotation[:, 1] * shift
                    for beyond in (-0.002, -0.007):
                        yield Grasp(at + before + beyond * rotation[:, 2], rotation, share)

    def pulls(self, goal: GoalCheck, position: Array, rotation: Array) -> bool:
        """Return whether the arm still reaches a handle where its drawer is far enough open."""
        if not self.slides(goal):
            return True
        pull = self._motions.data.xaxis[goal.joint] * self.travel(goal)
        return self._motions.hand.joints(position + pull, rotation, self._motions.target) is not None

    def slides(self, goal: GoalCheck) -> bool:
        """Return whether what is opened or closed moves straight."""
        return bool(self._motions.stage.model.jnt_type[goal.joint] == mujoco.mjtJoint.mjJNT_SLIDE)

    def travel(self, goal: GoalCheck) -> float:
        """Return how far the joint of what is opened or closed is still to go [m or rad]."""
        model, joint, item = self._motions.stage.model, goal.joint, goal.goal
        far = max(model.jnt_range[joint], key=abs)
        assert isinstance(item, OpenGoal | ClosedGoal)
        share = min(1.0, item.fraction + 0.08) if isinstance(item, OpenGoal) else max(0.0, item.fraction - 0.1)
        return float(far * share - self._motions.data.qpos[model.jnt_qposadr[joint]])

    def along(self, goal: GoalCheck) -> list[Way]:
        """Return the way of a held handle to where its joint is to be."""
        data, joint, travel = self._motions.data, goal.joint, self.travel(goal)
        axis, anchor = data.xaxis[joint], data.xanchor[joint]
        start, rotation = self._motions.target.position, self._motions.target.rotation
        stops = []
        count = 1 if self.slides(goal) else 8
        for share in np.arange(1, count + 1) / count:
            move = travel * share
            if self.slides(goal):
                stops.append(Way(start + axis * move, rotation, 0.0, speed=0.7))
                continue
            turn = rotation_about(axis, move)
            turned = turn @ rotation if abs(axis[2]) > 0.9 else rotation  # a level bar turns between the fingers
            stops.append(Way(anchor + turn @ (start - anchor), turned, 0.0, speed=0.6))
        return stops

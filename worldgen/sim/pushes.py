"""Pushes: the hand as a fork behind an object, or as a fist before a drawer. Knows one moment, as `motions` does.

Frame: the robot's base frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from ..goals import GoalCheck
from ..kinematics import down, turn_between
from ..robots import Array
from ..shapes import TOUCHED
from .motions import Motions, Way

_SIDES = (0.0, 0.4, -0.4, 0.8, -0.8)
"""Directions to push in, off the straight line to the goal [rad]."""
_STAND_OFF = 0.012
"""Gap that is left behind an object when the hand comes down there [m]."""
_LATERAL, _LEVEL, _TURN = 0.01, 0.008, 0.5
"""How far off its line a push goes on, to the side and in height [m], and turned [rad]."""
_BEFORE = 0.06
"""How far from its start, before or after, a push goes on [m]."""
_BAR = 0.005
"""Radius of a handle [m]."""


@dataclass(frozen=True)
class _Line:
    """A straight push."""

    behind: Array
    """Tool point from which it starts [m]."""
    direction: Array
    """(2,) Level unit vector."""
    length: float
    """From `behind` to its end [m]."""
    gripper: float
    """0 closed … 1 open."""
    body: int
    """What is pushed, and may be touched."""

    @property
    def end(self) -> Array:
        """Tool point at its end [m]."""
        return np.array([*(self.behind[:2] + self.length * self.direction), self.behind[2]])


class Pushes:
    """Pushes in one stage."""

    def __init__(self, motions: Motions) -> None:
        self._motions = motions

    def push(self, goal: GoalCheck, spot: Array) -> list[Way] | None:
        """Return the way of the open hand, held like a fork behind the target, until that stands at a spot; None where there is no room.

        Args:
            goal: Whose target is pushed.
            spot: (2,) where its middle is to go [m].
        """
        motions = self._motions
        points, centre = motions.cloud(goal.goal.target), goal.centre(motions.data)[:2]
        gap, here = spot - centre, motions.target.position
        bearing, behind = float(np.arctan2(gap[1], gap[0])), centre - here[:2]
        now = (float(np.arctan2(behind[1], behind[0])) - bearing + np.pi) % (2 * np.pi) - np.pi
        # What is being pushed is pushed on, as long as that brings it nearer; else from straight behind, or from the side.
        low = here[2] < max(float(points[:, 2].max()), self._height(points) + 0.01)
        ongoing = [now] if abs(now) < 0.9 and low else []
        for turn in (*ongoing, *_SIDES):
            direction = np.array([np.cos(bearing + turn), np.sin(bearing + turn)])
            way = self._shove(self._line(goal, points, centre, direction, float(gap @ direction)))
            if way is not None:
                return way
        return None

    def shut(self, goal: GoalCheck, direction: Array, length: float) -> list[Way] | None:
        """Return the way of the closed fingers against a handle's bar that pushes a drawer in, or None where the arm cannot.

        Args:
            goal: Whose target is closed.
            direction: (3,) in which the drawer closes.
            length: How far [m].
        """
        motions = self._motions
        hand, at = motions.hand, motions.truth.handled(motions.data, goal)
        level = direction[:2] / np.linalg.norm(direction[:2])
        back = _BAR + hand.breadth + _STAND_OFF
        behind = np.array([*(at[:2] - back * level), max(hand.tip + 0.006, at[2] - 0.002)])
        return self._shove(_Line(behind, level, length + _STAND_OFF, 0.0, goal.target))

    def draw(self, goal: GoalCheck, direction: Array, length: float) -> list[Way] | None:
        """Return the way of the closed fingers inside a drawer that push its front out, or None where there is no room yet.

        Args:
            goal: Whose target is opened.
            direction: (3,) in which the drawer opens.
            length: How far [m].
        """
        motions, name = self._motions, goal.goal.target
        hand, data, model = motions.hand, motions.data, motions.stage.model
        site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, f"{name}/inside")
        if site < 0 or model.body_jntadr[model.site_bodyid[site]] != goal.joint:
            return None
        level = direction[:2] / np.linalg.norm(direction[:2])
        front = data.site_xpos[site] + model.site_size[site][0] * np.array([*level, 0.0])
        back = hand.breadth + 0.5 * _STAND_OFF
        top = _top(model, data, int(model.jnt_bodyid[goal.joint]))
        for depth in (0.03, 0.02):
            behind = np.array([*(front[:2] - back * level), top - depth])
            way = self._shove(_Line(behind, level, length + 0.5 * _STAND_OFF, 0.0, goal.target))
            if way is not None:
                return way
        return None

    def _height(self, points: Array) -> float:
        """Return the height of the tool at which an object is pushed: low, yet with the palm above it [m]."""
        hand, top = self._motions.hand, float(points[:, 2].max())
        low = max(hand.tip + 0.006, min(float(points[:, 2].mean()), hand.tip + 0.012))
        return max(low, min(top - hand.palm + 0.005, 0.6 * top + hand.tip))

    def _line(self, goal: GoalCheck, points: Array, centre: Array, direction: Array, length: float) -> _Line:
        """Return the push of an object in a direction, `length` far [m]."""
        hand, height = self._motions.hand, self._height(points)
        met = points[np.abs(points[:, 2] - height) < 0.02]  # a cone is narrower where the fingers are
        flat = (met if len(met) else points)[:, :2] - centre
        across = flat @ np.array([-direction[1], direction[0]])
        reach = hand.breadth if height + hand.palm > float(points[:, 2].max()) else hand.bulk
        facing = flat[np.abs(across) < 0.03]
        back = float(-((facing if len(facing) else flat) @ direction).min()) + reach
        fork = min(1.0, 0.6 * float(np.ptp(across)) / self._motions.stage.recipe.gripper.opening)
        behind = np.array([*(centre - direction * (back + _STAND_OFF)), height])
        return _Line(behind, direction, length + _STAND_OFF, fork, goal.target)

    def _shove(self, line: _Line) -> list[Way] | None:
        """Return the way behind what is pushed and along the line, or None where the arm cannot."""
        motions, behind, direction = self._motions, line.behind, line.direction
        hand, target, data = motions.hand, motions.target, motions.data
        rotation = down(float(np.arctan2(direction[1], direction[0])))
        if np.sum(rotation * target.rotation) < np.sum(rotation * [-1, -1, 1] * target.rotation):
            rotation = rotation * [-1, -1, 1]
        near = target.position - behind
        lateral, along = float(near[:2] @ [-direction[1], direction[0]]), float(near[:2] @ direction)
        turned = float(np.linalg.norm(turn_between(rotation, target.rotation)))
        if abs(lateral) < _LATERAL and abs(along) < _BEFORE and abs(near[2]) < _LEVEL and turned < _TURN:
            further = max(along - _STAND_OFF, 0.0) * direction  # a slanting side was met later than thought
            return [Way(line.end + [*further, 0.0], rotation, line.gripper, speed=0.6)]
        reached = hand.reach(data, behind, rotation, line.gripper, target)
        if reached is None or not hand.fits(data, line.end, reached, line.gripper, target, None, line.body):
            return None
        stop = Way(behind, reached, line.gripper, speed=0.7)
        go = Way(line.end, reached, line.gripper, speed=0.6)
        if motions.before(behind, reached):
            return [stop, go]
        return [*motions.across(behind, reached, line.gripper), stop, go]


def _top(model: mujoco.MjModel, data: mujoco.MjData, body: int) -> float:
    """Return the height of the highest point of a body, by the boxes around its collision geoms [m]."""
    geoms = np.flatnonzero((model.geom_bodyid == body) & (model.geom_contype & TOUCHED > 0))
    up = data.geom_xmat[geoms].reshape(-1, 3, 3)[:, 2]
    centre, half = model.geom_aabb[geoms, :3], model.geom_aabb[geoms, 3:]
    return float((data.geom_xpos[geoms, 2] + (up * centre).sum(axis=1) + (np.abs(up) * half).sum(axis=1)).max())

"""Ways of the hand: over what stands between, in along the tool's axis, out again; and the actions that follow them.

Knows where things are at one moment and where the arm was last told to be; nothing of goals. Frame: the robot's base frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from ..kinematics import turn_between
from ..robots import Array
from .control import Target
from .grasps import Hand, surface_points, world_points
from .stage import Stage

CLEARANCE = 0.02
"""Free height between what moves and what it passes over [m]."""
CEILING = 0.25
"""Highest tool point, the top of the promised reach [m]."""
APPROACH = 0.04
"""Length of the straight way in to a pose, along the tool's axis [m]."""
AT, ANGLE = 0.006, 0.08
"""When the tool counts as being on a line [m], and turned as wanted [rad]."""
SHUT = 0.05
"""Gripper below which the fingers were told to shut."""
LOOSE = 0.12
"""How much farther the fingers open to let go; no more, for there may be walls beside them."""
_CORRIDOR = 0.05
"""Half the width of the way that must be free [m]."""
_FINE, _COARSE = 0.005, 0.015
"""Distance of the points that stand for the surface of what is handled, and of all else [m]."""
_ROUNDED = 1e-6
"""How far the gripper may be from what it was told: policies and datasets hold single precision."""
_LEVELS = 5
"""Heights that are tried where the clear one is out of reach."""


@dataclass(frozen=True)
class Way:
    """One stop on the way."""

    position: Array
    """Tool point [m]."""
    rotation: Array
    """(3, 3)"""
    gripper: float
    """0 closed … 1 open, on the way there."""
    wait: int = 0
    """Actions to stay."""
    speed: float = 1.0
    """Share of the largest action."""


class Motions:
    """Ways in one stage. Call `look` before anything else whenever time has passed.

    Args:
        stage: Where.
        hand: Of the arm in that stage.
        handled: Objects whose surface must be known finely.
        slack: How much farther off its line [m] and turned [rad] the tool may be: what mistakes on purpose need.
    """

    def __init__(
        self, stage: Stage, hand: Hand, handled: Sequence[str], slack: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        self.stage, self.hand, self.truth, self._handled = stage, hand, stage.truth, frozenset(handled)
        self._near, self._turned = AT + slack[0], ANGLE + slack[1]
        self._surfaces: dict[str, dict[int, Array]] = {}
        self._clouds: dict[str, tuple[bytes, Array]] = {}
        self.data: mujoco.MjData
        self.target: Target

    def look(self, data: mujoco.MjData, target: Target) -> None:
        """Take this moment for now."""
        self.data, self.target = data, target

    def cloud(self, name: str) -> Array:
        """Return points on an object's surface, (N, 3) [m]."""
        if name not in self._surfaces:
            edge = _FINE if name in self._handled else _COARSE
            self._surfaces[name] = surface_points(self.stage.model, self.stage.ids[name], edge)
        surface = self._surfaces[name]
        geoms = list(surface)
        pose = self.data.geom_xpos[geoms].tobytes() + self.data.geom_xmat[geoms].tobytes()
        if name not in self._clouds or self._clouds[name][0] != pose:
            self._clouds[name] = pose, world_points(surface, self.data)
        return self._clouds[name][1]

    # --- ways ---------------------------------------------------------------------------------------------------------------

    def across(
        self, position: Array, rotation: Array, gripper: float, hang: float | None = None, skip: str = ""
    ) -> list[Way]:
        """Return stops that lead over what stands between here and a point before a pose, on the tool's axis."""
        here = self.target.position
        before = position - APPROACH * rotation[:, 2]
        clear = max(self.clear(before, hang, skip), before[2])
        height = self._reachable_height(before, rotation, max(clear, here[2]))
        rise = [Way(at_height(here, clear), self.target.rotation, gripper)] if here[2] < clear - AT else []
        over = Way(at_height(before, height), rotation, gripper)
        return [*rise, over, *([Way(before, rotation, gripper)] if leans(rotation) else [])]

    def before(self, position: Array, rotation: Array) -> bool:
        """Return whether the tool is on its axis before a pose, turned as wanted, so that it can go straight in."""
        gap = position - self.target.position
        along = float(gap @ rotation[:, 2])
        return bool(
            np.linalg.norm(gap - along * rotation[:, 2]) < self._near
            and along > -self._near
            and np.linalg.norm(turn_between(rotation, self.target.rotation)) < self._turned
        )

    def clear(self, position: Array, hang: float | None = None, skip: str = "") -> float:
        """Return the height of the tool at which nothing is in the way to above a point [m].

        Args:
            position: Where to [m].
            hang: How far what is held reaches below the tool [m]; None for empty fingers.
            skip: Object that does not count: what is held or taken.
        """
        here = self.target.position
        below = self.hand.tip if hang is None else max(hang, self.hand.tip)
        start, end = here[:2], position[:2]
        span = end - start
        length = max(float(np.linalg.norm(span)), 1e-6)
        top = 0.0
        for name in self.stage.ids:
            cloud = self.cloud(name)
            if name == skip or not len(cloud) or cloud[:, 2].max() <= top:
                continue
            share = np.clip((cloud[:, :2] - start) @ span / length**2, 0, 1)
            near = np.linalg.norm(cloud[:, :2] - start - share[:, None] * span, axis=1) < _CORRIDOR
            if near.any():
                top = max(top, float(cloud[near, 2].max()))
        return min(top + below + CLEARANCE, CEILING)

    def _reachable_height(self, before: Array, rotation: Array, wanted: float) -> float:
        """Return the height above a point nearest to the one wanted that the arm reaches: its reach is a dome [m]."""
        for height in np.linspace(wanted, before[2], _LEVELS):
            if self.hand.joints(at_height(before, height), rotation, self.target) is not None:
                return float(height)
        return float(before[2])

    def away(self) -> Way:
        """Return the way back out along the tool's axis, open, until the hand is high."""
        here, axis = self.target.position, self.target.rotation[:, 2]
        back = min(max(0.16 - here[2], 0.0) / max(-float(axis[2]), 0.3), 0.15)
        return Way(here - back * axis, self.target.rotation, max(self.target.gripper, LOOSE))

    def leave(self) -> list[Way]:
        """Return the opening of the fingers, no wider than needed, and the way out."""
        if self.target.gripper >= SHUT:
            return [self.away()]
        opened = min(1.0, self.truth.opening(self.data) + LOOSE)
        away = self.away()
        return [self.stay(opened, 1), Way(away.position, away.rotation, opened)]

    def stay(self, gripper: float, wait: int) -> Way:
        """Return a stop here."""
        return Way(self.target.position, self.target.rotation, gripper, wait=wait)

    # --- actions ------------------------------------------------------------------------------------------------------------

    def follow(self, way: Sequence[Way], count: int) -> Array:
        """Return the first actions along a way from where the arm was last told to be, (count, 7)."""
        controller, limits = self.stage.controller, self.stage.recipe.control
        target, index, waited = self.target, 0, 0
        actions = np.zeros((count, 7))
        for row in actions:
            while index < len(way) and waited >= way[index].wait and _arrived(target, way[index]):
                index, waited = index + 1, 0
            if index >= len(way):
                row[6] = target.gripper
                continue
            stop = way[index]
            waited = waited + 1 if _there(target, stop) else 0
            row[:] = controller.action_to(target, stop.position, stop.rotation, stop.gripper)
            move, turn = np.linalg.norm(row[:3]), np.linalg.norm(row[3:6])
            row[:6] *= min(
                1.0,
                stop.speed * limits.max_translation / max(float(move), 1e-9),
                stop.speed * limits.max_rotation / max(float(turn), 1e-9),
            )
            target = controller.advance(target, row)
        return actions


def _there(target: Target, stop: Way) -> bool:
    return bool(
        np.linalg.norm(target.position - stop.position) < 0.002
        and np.linalg.norm(turn_between(stop.rotation, target.rotation)) < 0.03
    )


def _arrived(target: Target, stop: Way) -> bool:
    return abs(target.gripper - stop.gripper) < _ROUNDED and _there(target, stop)


def leans(rotation: Array) -> bool:
    """Return whether a tool does not point straight down."""
    return bool(rotation[2, 2] > -0.98)


def at_height(position: Array, height: float) -> Array:
    """Return the point above or below another one [m]."""
    return np.array([position[0], position[1], height])

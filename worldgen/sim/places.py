"""Where to put down what is in the hand: in, on or beside something. Knows one moment, as `motions` does.

Frame: the robot's base frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..goals import GoalCheck
from ..kinematics import rotation_about
from ..robots import Array
from ..spec import InGoal, NearGoal, OnGoal, PushedGoal, goal_names
from .motions import Motions

_TURNS = (0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, 1.57)
"""Turns about the vertical that are tried for putting something down [rad]."""
_FINE_TURNS = np.linspace(-np.pi / 2, np.pi / 2, 25)
"""The same where walls stand around, among which the best are taken."""
_SPOTS, _BEST = 9, 3
"""Places that are tried, and turns where walls stand around."""
_LIFTS = (0.0, 0.006, 0.015, 0.03, 0.05)
"""Heights above the floor of a container from which something is let go [m]."""


class Places:
    """Places in one stage."""

    def __init__(self, motions: Motions) -> None:
        self._motions = motions

    def drops(self, goal: GoalCheck, points: Array, offset: Array) -> Iterator[tuple[Array, Array]]:
        """Yield tool points [m] and rotations to let go at, the best first: low ones before high ones.

        Args:
            goal: Whose target is in the hand.
            points: Its surface in the tool's frame, (N, 3) [m].
            offset: Its origin there [m].
        """
        spots, rotations = self.spots(goal, points)[:_SPOTS], self._rotations(goal, points)
        rotations = rotations[:_BEST] if isinstance(goal.goal, InGoal) else rotations
        for lift in _LIFTS if isinstance(goal.goal, InGoal) else _LIFTS[:1]:
            for spot, height in spots:
                for rotation in rotations:
                    turned = points @ rotation.T
                    # an object's outline need not be centred on its origin: its middle comes over the spot
                    middle = (turned[:, :2].min(axis=0) + turned[:, :2].max(axis=0)) / 2
                    if not isinstance(goal.goal, InGoal | OnGoal):
                        middle = (rotation @ offset)[:2]
                    yield np.array([*(spot - middle), height - turned[:, 2].min() + lift]), rotation

    def _rotations(self, goal: GoalCheck, points: Array) -> list[Array]:
        """Return tool rotations to let go with, the best first: long things along long containers, else the smallest turn."""
        now, up = self._motions.target.rotation, np.array([0.0, 0.0, 1.0])
        if not isinstance(goal.goal, InGoal):
            return [rotation_about(up, angle) @ now for angle in _TURNS]
        frame, half = (
            self._motions.data.site_xmat[goal.site].reshape(3, 3),
            self._motions.stage.model.site_size[goal.site],
        )

        def overhang(rotation: Array) -> float:
            return float(np.maximum(np.ptp((points @ rotation.T @ frame)[:, :2], axis=0) / 2 - half[:2], 0).sum())

        turns = [rotation_about(up, angle) @ now for angle in sorted(_FINE_TURNS, key=abs)]
        return sorted(turns, key=lambda rotation: round(overhang(rotation), 3))

    def spots(self, goal: GoalCheck, points: Array) -> list[tuple[Array, float]]:
        """Return where the middle of what is in the hand may go (x, y) and the height that it stands on [m], the best first."""
        model, data, item = self._motions.stage.model, self._motions.data, goal.goal
        if isinstance(item, NearGoal):
            return self._beside(goal)
        site = data.site_xpos[goal.site]
        half, turn = model.site_size[goal.site], data.site_xmat[goal.site].reshape(3, 3)
        height = site[2] + 0.002
        if isinstance(item, InGoal):
            height = site[2] - half[2] + 0.004
        elif isinstance(item, PushedGoal):
            height = 0.003
        others = [
            self._motions.cloud(name)
            for name in self._motions.stage.free
            if name not in (item.target, goal_names(item)[1])
        ]
        room = np.concatenate(others)[:, :3] if others else np.zeros((0, 3))
        room = room[room[:, 2] > height - 0.02]
        size = np.ptp(points[:, :2], axis=0).min() / 2
        spread = np.maximum(half[:2] - size, 0) if isinstance(item, InGoal) else half[:2] * 0.6
        grid = [np.zeros(2)] + [
            np.array([np.cos(a), np.sin(a)]) * share for share in (0.5, 0.9) for a in np.arange(8) * np.pi / 4
        ]
        spots = [site[:2] + turn[:2, :2] @ (spread * cell) for cell in grid]

        def crowded(spot: Array) -> float:
            gap = np.linalg.norm(room[:, :2] - spot, axis=1).min() - size if len(room) else 1.0
            return max(0.004 - gap, 0.0)

        return sorted(((spot, float(height)) for spot in spots), key=lambda pair: (round(crowded(pair[0]), 3),))

    def _beside(self, goal: GoalCheck) -> list[tuple[Array, float]]:
        """Return places beside the other object of a `near` goal, those on this side of it first."""
        assert isinstance(goal.goal, NearGoal)
        other = self._motions.cloud(goal.goal.other)[:, :2]
        middle = (other.min(axis=0) + other.max(axis=0)) / 2
        towards = np.arctan2(*(self._motions.data.xpos[goal.target][:2] - middle)[::-1])
        own = (
            self._motions.cloud(goal.goal.target)[:, :2] - self._motions.data.xpos[goal.target][:2]
        )  # kept turned as it is
        found = []
        for angle in towards + np.array([0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, 1.6, -1.6, 2.2, -2.2, 3.1]):
            direction = np.array([np.cos(angle), np.sin(angle)])
            reach = float(((other - middle) @ direction).max())
            gap = float((own @ -direction).max()) + 0.4 * goal.goal.distance
            found.append((middle + direction * (reach + gap), 0.003))
        return found

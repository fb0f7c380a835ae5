"""Rewards as a union of records: a field exists only where it means something. Knows the state of one world, not of policies."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from ..goals import GoalCheck
from ..spec import InGoal, LiftedGoal, OnGoal
from .truth import Truth

_NEAR = 0.1
"""Distance at which reaching is worth a quarter of what it is worth at the goal [m]."""
_LIFT = 0.05
"""Height at which lifting counts in full [m]."""


@dataclass(frozen=True)
class Sparse:
    """1 at success, else 0."""

    success: float = 1.0

    def potential(self, truth: Truth, data: mujoco.MjData) -> float:
        """Return 0: nothing but success counts."""
        return 0.0


@dataclass(frozen=True)
class Staged:
    """Differences of a potential over reach, grasp, lift and place, and a bonus at success.

    Undiscounted, a hand that goes to and fro earns nothing, and failures are ranked: an episode that ends near the goal is worth more than one
    that ends far from it. Who discounts is paid a little for being early where the potential is high (15 % of it a decision of four steps at .96);
    without that, by γ Φ' - Φ, reinforcement learning did no better.
    """

    reach: float = 0.2
    """Weight of the tool's closeness to the target."""
    grasp: float = 0.2
    """Weight of fingers touching the target; only for what is grasped."""
    lift: float = 0.2
    """Weight of the target's height; only for what is grasped, and kept once it is placed."""
    place: float = 0.4
    """Weight of the goal's own progress."""
    success: float = 1.0
    """Reward at success."""

    def potential(self, truth: Truth, data: mujoco.MjData) -> float:
        """Return the potential of a state, in [0, reach + grasp + lift + place]: the mean over the goals."""
        return float(np.mean([self._of(truth, data, goal) for goal in truth.goals]))

    def _of(self, truth: Truth, data: mujoco.MjData, goal: GoalCheck) -> float:
        progress = truth.progress(data, goal)
        if progress.done:
            return self.reach + self.grasp + self.lift + self.place
        position, _ = truth.tool(data)
        near = 1 - float(np.tanh(np.linalg.norm(truth.handled(data, goal) - position) / _NEAR))
        found = self.reach * near + self.place * progress.value
        if isinstance(goal.goal, OnGoal | InGoal | LiftedGoal):
            touching = truth.touching_fingers(data, goal.target) / len(truth.recipe.gripper.joints)
            height = float(np.clip((data.xpos[goal.target][2] - goal.start_height) / _LIFT, 0, 1))
            found += self.grasp * touching + self.lift * height * (touching > 0)
        else:  # nothing to grasp: its share goes to progress, so that every family sums to the same
            found += (self.grasp + self.lift) * progress.value
        return found


Reward = Sparse | Staged

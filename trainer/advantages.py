"""How much better each decision turned out than was expected of it. Knows arrays, no worlds and no networks.

Sources: Schulman et al. 2016 (GAE), Shao et al. 2024 (GRPO). A decision executes 0 to C actions; discounts count actions, so that they mean
the same whatever a chunk's length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_TINY = 1e-6


@dataclass(frozen=True)
class Decided:
    """N decisions, episode after episode, each episode's in their order."""

    rewards: Floats
    """(N, C) what each action was paid; what was not executed counts for nothing."""
    steps: NDArray[np.int64]
    """(N,) actions that were executed."""
    last: NDArray[np.bool_]
    """(N,) which decision is its episode's last."""
    terminated: NDArray[np.bool_]
    """(N,) where the episode is over for good; one that was only stopped would have gone on earning."""

    def __post_init__(self) -> None:
        if (self.terminated & ~self.last).any() or (len(self.last) and not self.last[-1]):
            raise ValueError("Only an episode's last decision may terminate, and the last of all decisions ends one.")
        if (self.steps < 0).any() or (self.steps > self.rewards.shape[1]).any():
            raise ValueError(f"steps must be from 0 to {self.rewards.shape[1]}.")

    def paid(self, discount: float) -> Floats:
        """Return what each decision was paid, (N,): R = Σ γ^j r_j over its executed actions."""
        index = np.arange(self.rewards.shape[1])
        executed = index < self.steps[:, None]
        return np.where(executed, self.rewards, 0.0) @ discount**index

    def episodes(self) -> NDArray[np.int64]:
        """Return the number of each decision's episode, (N,)."""
        return np.cumsum(self.last) - self.last


def gae(decided: Decided, values: Floats, final: Floats, discount: float, trace: float) -> tuple[Floats, Floats]:
    """Return generalised advantages (N,) and what a critic should have said (N,).

    δ_t = R_t + γ^{n_t} (1 - terminated_t) V_{t+1} - V_t and A_t = δ_t + γ^{n_t} λ A_{t+1} within an episode.

    Args:
        decided: What was paid.
        values: (N,) what the critic says of what was seen at each decision.
        final: (N,) what it says of what was seen after the last decision of an episode; elsewhere anything.
        discount: γ, of one action.
        trace: λ, of one decision.
    """
    after = np.where(decided.last, final, np.append(values[1:], 0.0))
    shrink = discount**decided.steps
    miss = decided.paid(discount) + shrink * np.where(decided.terminated, 0.0, after) - values
    carry = np.where(decided.last, 0.0, shrink * trace)
    advantages, ahead = np.zeros(len(values)), 0.0
    for index in range(len(values) - 1, -1, -1):
        ahead = miss[index] + carry[index] * ahead
        advantages[index] = ahead
    return advantages, advantages + values


def among(scores: Floats, group: NDArray[np.int64], spread: bool = True) -> tuple[Floats, NDArray[np.bool_]]:
    """Return how much better each of E episodes did than those that began alike, and which groups tell anything.

    Args:
        scores: (E,)
        group: (E,) number of each episode's group.
        spread: Whether to divide by the group's standard deviation; not to (Dr. GRPO) weighs easy and hard groups alike.

    Returns:
        (E,) advantages, exactly 0 in a group of equal scores, and (E,) whether the group has different ones.
    """
    advantages, mixed = np.zeros(len(scores)), np.zeros(len(scores), bool)
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        if np.ptp(scores[rows]) == 0:
            continue
        mixed[rows] = True
        off = scores[rows] - scores[rows].mean()
        advantages[rows] = off / (scores[rows].std(ddof=1) + _TINY) if spread else off
    return advantages, mixed


def normalised(advantages: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Return advantages (N,) with mean 0 and spread 1 over all that is valid; 0 elsewhere."""
    if not valid.any():
        return np.zeros(len(advantages))
    chosen = advantages[valid]
    return np.where(valid, (advantages - chosen.mean()) / (chosen.std() + 1e-5), 0.0)

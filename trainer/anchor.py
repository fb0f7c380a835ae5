"""Demonstrations that a policy goes on imitating while it learns otherwise: RL-Co's real data, or those that it began with.

Knows a dataset and a policy, no rewards. Source: RL-Co (2602.12628), L = L_RL + β L_SFT.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .config import Anchored
from .dataset import read, require_fits
from .windows import Windows


class Anchor:
    """A dataset to be imitated besides.

    Args:
        config: Which, and how much of it.
        policy: Who imitates.

    Raises:
        DatasetError: When the dataset is damaged, or of another arm, rate, camera or action space.
        RunError: When it holds nothing to imitate.
    """

    def __init__(self, config: Anchored, policy: Any) -> None:
        self.config, self._data = config, read(Path(config.data))
        require_fits(self._data.interface, policy.interface, Path(config.data))
        self._windows = Windows.of(self._data, policy.horizon)

    def loss(self, policy: Any, rng: torch.Generator, sight: bool = True) -> Tensor:
        """Return how far a policy is from what was done in some frames, with gradients; without `sight` of what decides alone."""
        config = self.config
        rows = torch.randint(len(self._windows.frames), (config.batch,), generator=rng).numpy()
        said = self._data.instructions
        batch, _ = self._windows.batch(policy, rows, said, rng, config.shift, config.colour, config.strange)
        with torch.set_grad_enabled(sight):
            tokens, points = policy.look(batch.inputs)
        loss: Tensor = policy.imitation_loss(batch, rng, policy.memory(tokens, points, batch.inputs.state))
        return loss

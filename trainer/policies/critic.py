"""What an episode is still worth. Knows rows of numbers, not where they come from."""

from __future__ import annotations

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_FAR = 6.0
"""Nothing counts as farther off its mean, in standard deviations: what falls off a table falls far."""
_LEAST = 1e-3
"""Least standard deviation: what hardly changes is not blown up."""


class Critic(nn.Module):
    """A perceptron from N rows to N values.

    In simulation the rows are privileged vectors (`worldgen.sim.truth.Truth.vector`): an actor that sees pictures needs no critic that does.

    Args:
        given: Numbers of a row.
        width: Of both hidden layers.
    """

    def __init__(self, given: int, width: int = 256) -> None:
        super().__init__()
        for name, start in (("mean", 0.0), ("std", 1.0)):
            self.register_buffer(name, torch.full((given,), start))
        self.mean: Tensor
        self.std: Tensor
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(
            nn.Linear(given, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), last
        )

    def fit(self, rows: Tensor | NDArray) -> None:
        """Take mean and standard deviation of rows (N, G), once; they are kept with the weights."""
        values = torch.as_tensor(rows, dtype=torch.float64)
        self.mean.copy_(values.mean(dim=0))
        self.std.copy_(values.std(dim=0, correction=0).clamp_min(_LEAST))

    def forward(self, rows: Tensor) -> Tensor:
        """Return values (N,) of rows (N, G); before any training 0."""
        values: Tensor = self.net(((rows - self.mean) / self.std).clamp(-_FAR, _FAR))[:, 0]
        return values

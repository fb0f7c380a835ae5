"""A policy that decides in words of its own: each number of an action is one of 256 bins (OpenVLA's shape), all chosen at once (as in OpenVLA-OFT,
Kim et al. 2025): told one after the other, numbers were learned from those before them, less from what is seen.

Knows no training loop. Bins lie evenly over what was demonstrated of each number; all of them are legal at each place.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldgen.sim.worlds import Observations

from ..config import Sampler, TrunkSettings, Zero
from ..records import Decisions, Interface
from .base import Acting, Batch, Inputs
from .text import Words
from .vision import Block, offers

BINS = 256
_TAIL = 1e-3
"""Share of the demonstrations whose number is beyond the first bin, and beyond the last one."""
_REACH = 4.0
"""Standard deviations between the middle and either end, where nothing was demonstrated yet; and at least a quarter of that."""
_WAVES = 64
"""Cosines over the bins that bins are chosen by. What is learned of one bin is then learned of its neighbours too; with a weight
of its own for each, every one of 256 would have to be seen."""
_BLUR = 4.0
"""Standard deviation that a demonstrated number is learned with, in bins: for most numbers a tenth of a standard deviation of actions, as much as a flow
policy explores with. Bins learned to the letter are learned by heart."""


class TokenPolicy(Acting):
    """The trunk of `flow`, with the numbers of actions as tokens, each independent of the others given what is seen.

    Args:
        interface: What is seen and done.
        trunk: Sizes of what sees and reads.
        words: Tokenizer.
        horizon: Actions that are predicted.
        chunk: Actions that are executed, the first of them.
        layers: Layers of the decoder, in which each action is one place.
        temperature: That tokens are drawn with, and scored with.
    """

    kind: ClassVar[str] = "token"

    def __init__(
        self,
        interface: Interface,
        trunk: TrunkSettings = TrunkSettings(),
        words: Words | None = None,
        horizon: int = 4,
        chunk: int = 4,
        layers: int = 3,
        temperature: float = 1.0,
    ) -> None:
        if not 1 <= chunk <= horizon:
            raise ValueError(f"chunk {chunk} must be between 1 and the horizon {horizon}.")
        if temperature <= 0:
            raise ValueError(f"temperature {temperature} must be above 0.")
        super().__init__(interface, trunk, words)
        self.horizon, self.chunk, self.layers, self.temperature = horizon, chunk, layers, temperature
        self.places = nn.Parameter(0.02 * torch.randn(horizon, trunk.width))
        self.decoder = nn.ModuleList([Block(trunk.width, trunk.heads, across=True) for _ in range(layers)])
        self.norm, self.leave = nn.LayerNorm(trunk.width), nn.Linear(trunk.width, len(interface.action) * _WAVES)
        self.register_buffer("waves", _cosines(), persistent=False)
        self.waves: Tensor
        for name, end in (("low", -_REACH), ("high", _REACH)):  # of each number, normalised
            self.register_buffer(name, torch.full((len(interface.action),), end))
        self.low: Tensor
        self.high: Tensor

    @classmethod
    def own_settings(cls) -> tuple[str, ...]:
        """See `Sighted`."""
        return "horizon", "chunk", "layers", "temperature"

    def measure(self, actions: NDArray[np.floating], floor: ArrayLike) -> None:
        """See `Acting.measure`; also lay the bins."""
        super().measure(actions, floor)
        ends = np.quantile(actions, (_TAIL, 1 - _TAIL), axis=0)
        low, high = self.statistics.action(torch.from_numpy(ends).float())
        room = (_REACH / 4 - (high - low) / 2).clamp_min(0)
        room += 2 * _BLUR / BINS * (high - low)  # for the blur of the last ones
        self.low.copy_(low - room)
        self.high.copy_(high + room)

    def tokens(self, actions: Tensor) -> Tensor:
        """Return the bins (N, H * 7) of actions (N, H, 7) in physical units."""
        share = (self.statistics.action(actions) - self.low) / (self.high - self.low)
        return (share * BINS).floor().clamp(0, BINS - 1).long().flatten(1)

    def actions(self, tokens: Tensor) -> Tensor:
        """Return the middles (N, H, 7) of bins (N, H * 7) in physical units."""
        share = ((tokens + 0.5) / BINS).unflatten(1, (-1, len(self.interface.action)))
        return self.statistics.physical(self.low + share * (self.high - self.low))

    def imitation_loss(self, batch: Batch, rng: torch.Generator, memory: Tensor | None = None) -> Tensor:
        """Return the mean cross-entropy of the blurred tokens of valid actions [nats]."""
        memory = self.recall(batch.inputs) if memory is None else memory
        off = torch.arange(BINS) - self.tokens(batch.actions)[..., None]
        aims = (-0.5 * (off / _BLUR) ** 2).softmax(dim=-1)
        miss = F.cross_entropy(self._logits(memory).transpose(1, 2), aims.transpose(1, 2), reduction="none")
        valid = batch.valid.repeat_interleave(len(self.interface.action), dim=1)
        return (miss * valid).sum() / valid.sum().clamp_min(1)

    @torch.no_grad()
    def act(self, observations: Observations, rng: torch.Generator | None, sampler: Sampler | None = None) -> Decisions:
        """Decide for each of N observations; see `Policy.act`. With `Zero`: the middle one, as likely passed as not, in each place."""
        inputs = self.inputs(observations)
        seen, points = self.look(inputs)
        memory = self.memory(seen, points, inputs.state)
        share, greedy = self._shares(memory)[:, : self.chunk * len(self.interface.action)], isinstance(sampler, Zero)
        if greedy:
            tokens = (share.exp().cumsum(dim=-1) < 0.5).sum(dim=-1).clamp(max=BINS - 1)
        else:
            tokens = torch.multinomial(share.exp().flatten(0, 1), 1, generator=rng).view(share.shape[:2])
        trace = {"seen": seen, "points": points, "tokens": tokens, "greedy": greedy}
        logp, _ = self.density(memory, trace)
        actions = self.actions(tokens).numpy().astype(np.float32)
        return Decisions(actions, {"inputs": inputs, **trace}, logp.sum(dim=(1, 2)).numpy().astype(np.float32))

    def score(self, inputs: Inputs, trace: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return log-probability (N, C, 7) and entropy (N,) of the tokens that `act` drew, with gradients; see `Policy.score`."""
        memory = self.recall(inputs)
        return self.density(memory, trace)

    def density(self, memory: Tensor, trace: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return log-probability (N, C, 7) and entropy (N,) of the tokens that were drawn; see `Policy.density`."""
        tokens = trace["tokens"]
        if trace["greedy"]:
            return torch.zeros(len(tokens), 1, 1), torch.zeros(len(tokens))
        share = self._shares(memory)[:, : tokens.shape[1]]
        logp = share.gather(2, tokens[..., None])[..., 0]
        return logp.unflatten(1, (-1, len(self.interface.action))), -(share.exp() * share).sum(dim=(1, 2))

    def _shares(self, memory: Tensor) -> Tensor:
        """Return log-probabilities (N, H * 7, BINS) of each token, at the policy's temperature."""
        return (self._logits(memory) / self.temperature).log_softmax(dim=-1)

    def _logits(self, memory: Tensor) -> Tensor:
        """Return logits (N, H * 7, BINS) of each token."""
        now = self.places.expand(len(memory), -1, -1)
        for layer, found in zip(self.decoder, offers(self.decoder, memory), strict=True):
            now = layer(now, offered=found)
        waves = self.leave(self.norm(now)).unflatten(2, (len(self.interface.action), _WAVES)).flatten(1, 2)
        logits: Tensor = waves @ self.waves.T
        return logits


def _cosines() -> Tensor:
    """Return (BINS, _WAVES) cosines over the bins, from a constant on; the faster, the weaker, so that what is learned first is smooth."""
    place, wave = (torch.arange(BINS) + 0.5) / BINS, torch.arange(_WAVES)
    return torch.cos(torch.pi * place[:, None] * wave) / (1 + wave / 2)

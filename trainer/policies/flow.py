"""The default policy: a flow-matching expert over a chunk of actions, behind the trunk. Knows no training loop.

Convention: time τ goes from 0 (noise) to 1 (action); x_τ = τ·a + (1 - τ)·ε and the network learns v = a - ε. With K steps, δ = 1/K and
τ_k = k/K. Actions inside are normalised. Sources: Lipman et al. 2023; Flow-SDE and Flow-Noise as in pi_RL (arXiv 2510.25889).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from worldgen.sim.worlds import Observations

from ..config import Learned, Ode, Sampler, Sde, TrunkSettings, Zero
from ..records import Decisions, Interface
from .base import Acting, Batch, Inputs
from .text import Words
from .vision import Block, Offered, offers

_DRAWS = 2
"""Times and noises that each demonstration is shown with: the expert is cheap beside the trunk."""
_TIMES = 32
"""Numbers that a time is told with."""
_LEAST = 1e-4
"""Least standard deviation of a transition: below it a density means nothing."""


class Expert(nn.Module):
    """Velocity of noisy actions, given the trunk's memory."""

    def __init__(self, action: int, horizon: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(action, width), nn.Linear(width, action)
        self.places = nn.Parameter(0.02 * torch.randn(horizon, width))
        self.clock = nn.Sequential(nn.Linear(_TIMES, width), nn.GELU(), nn.Linear(width, width))
        self.layers = nn.ModuleList([Block(width, heads, across=True) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("rates", 2 * math.pi * torch.exp(torch.linspace(-1.0, 4.0, _TIMES // 2)), persistent=False)
        self.rates: Tensor

    def offered(self, memory: Tensor) -> list[Offered]:
        """Return what the layers find in a memory (N, M, W)."""
        return offers(self.layers, memory)

    def forward(
        self, noisy: Tensor, time: Tensor, offered: list[Offered], hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return velocities (R * N, H, 7) and features (R * N, H, W) of actions (R * N, H, 7) at times (R * N,).

        R rows next to each other look at the same memory, given by what is `offered` of it. `hidden` (R * N, H) says which actions the others
        must not see: what lies beyond an episode's end is no action.
        """
        phase = time[:, None] * self.rates
        clock = self.clock(torch.cat([phase.sin(), phase.cos()], dim=-1))
        tokens = self.enter(noisy) + self.places + clock[:, None]
        for layer, found in zip(self.layers, offered, strict=True):
            tokens = layer(tokens, hidden, found)
        tokens = self.norm(tokens)
        return self.leave(tokens), tokens


class FlowPolicy(Acting):
    """A small vision-language-action policy in the shape of pi0.

    Args:
        interface: What is seen and done.
        trunk: Sizes of what sees and reads.
        words: Tokenizer.
        horizon: Actions that are predicted.
        chunk: Actions that are executed, the first of them.
        layers: Layers of the expert.
    """

    kind: ClassVar[str] = "flow"

    def __init__(
        self,
        interface: Interface,
        trunk: TrunkSettings = TrunkSettings(),
        words: Words | None = None,
        horizon: int = 4,
        chunk: int = 4,
        layers: int = 3,
    ) -> None:
        if not 1 <= chunk <= horizon:
            raise ValueError(f"chunk {chunk} must be between 1 and the horizon {horizon}.")
        super().__init__(interface, trunk, words)
        self.horizon, self.chunk, self.layers = horizon, chunk, layers
        self.expert = Expert(len(interface.action), horizon, trunk.width, trunk.heads, layers)
        self.loudness = nn.Linear(trunk.width, len(interface.action))
        nn.init.zeros_(self.loudness.weight)
        nn.init.zeros_(self.loudness.bias)

    @classmethod
    def own_settings(cls) -> tuple[str, ...]:
        """See `Sighted`."""
        return "horizon", "chunk", "layers"

    # --- imitation ----------------------------------------------------------------------------------------------------------

    def imitation_loss(self, batch: Batch, rng: torch.Generator, memory: Tensor | None = None) -> Tensor:
        """Return the mean of |v - (a - ε)|² over valid actions; times favour noise, as in pi0 (1 - τ ~ Beta(1.5, 1))."""
        memory = self.recall(batch.inputs) if memory is None else memory
        actions = self.statistics.action(batch.actions).repeat_interleave(_DRAWS, dim=0)
        counts = batch.valid.repeat_interleave(_DRAWS, dim=0)
        hidden, valid = ~counts, counts.to(actions.dtype)[..., None]
        hidden[:, 0] = False  # somebody must be seen, also by those that do not count
        noise = torch.randn(actions.shape, generator=rng)
        time = 1 - torch.rand(len(actions), generator=rng) ** (1 / 1.5)  # u^(1/a) is Beta(a, 1)
        share = time[:, None, None]
        velocity, _ = self.expert(share * actions + (1 - share) * noise, time, self.expert.offered(memory), hidden)
        miss = (velocity - (actions - noise)) ** 2 * valid
        return miss.sum() / (valid.sum() * actions.shape[-1]).clamp_min(1)

    # --- decisions ----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def act(self, observations: Observations, rng: torch.Generator | None, sampler: Sampler | None = None) -> Decisions:
        """Decide for each of N observations; see `Policy.act`. Without a sampler: `Ode()`."""
        inputs = self.inputs(observations)
        return self.decision(inputs, *self.look(inputs), rng, sampler or Ode())

    @torch.no_grad()
    def decision(
        self, inputs: Inputs, tokens: Tensor, points: Tensor, rng: torch.Generator | None, sampler: Sampler
    ) -> Decisions:
        """Decide for each of N observations, of which sight makes (N, M, W) and (N, 2, 3); see `Acting.look`."""
        trace = self.sample(self.memory(tokens, points, inputs.state), rng, sampler)
        logp = trace.pop("logp")
        actions = self.statistics.physical(trace["chain"][:, -1, : self.chunk])
        trace |= {"inputs": inputs, "seen": tokens, "points": points}
        return Decisions(actions.numpy().astype(np.float32), trace, logp.numpy().astype(np.float32))

    def score(self, inputs: Inputs, trace: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return log-density (N, 1, 1) and entropy (N,) of what `act` sampled, with gradients; see `Policy.score`."""
        memory = self.recall(inputs)
        return self.density(memory, trace)

    def sample(self, memory: Tensor, rng: torch.Generator | None, sampler: Sampler) -> dict[str, Any]:
        """Return a denoising chain (N, K + 1, H, 7), which of its steps were random (N, K), and the log-density (N,) of what these drew."""
        count, steps = len(memory), sampler.steps
        if steps < 1:
            raise ValueError(f"steps {steps} must be at least 1.")
        shape = (count, self.horizon, len(self.interface.action))
        x = torch.zeros(shape) if isinstance(sampler, Zero) else torch.randn(shape, generator=rng)
        random = torch.zeros(count, steps, dtype=torch.bool)
        if isinstance(sampler, Learned) or (isinstance(sampler, Sde) and sampler.every):
            random[:] = True
        elif isinstance(sampler, Sde):
            random[torch.arange(count), torch.randint(steps, (count,), generator=rng)] = True
        chain, offered, logp = [x], self.expert.offered(memory), torch.zeros(count)
        for step in range(steps):
            now = torch.full((count,), step / steps)
            straight, mean, spread = self._transition(x, now, offered, sampler)
            drawn = random[:, step]
            if drawn.any():
                x = torch.where(drawn[:, None, None], mean + spread * torch.randn(shape, generator=rng), straight)
                dense = self._logp(x, mean, spread, torch.full((count,), step), sampler)
                logp = torch.where(drawn, logp + dense, logp)
            else:
                x = straight
            chain.append(x)
        return {"chain": torch.stack(chain, dim=1), "random": random, "sampler": sampler, "logp": logp}

    def _transition(
        self, x: Tensor, time: Tensor, offered: list[Offered], sampler: Sampler
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return where a step from x (R * N, H, 7) at times (R * N,) leads without noise, and mean and spread of where it leads with noise."""
        delta, share = 1 / sampler.steps, time[:, None, None]
        velocity, features = self.expert(x, time, offered)
        straight = x + delta * velocity
        if isinstance(sampler, Sde):
            sigma2 = sampler.level**2 * (1 - share) / share.clamp_min(delta)
            drift = (x - share * velocity) / (1 - share)
            return straight, straight - delta * sigma2 / 2 * drift, (sigma2 * delta).sqrt().expand_as(x)
        if isinstance(sampler, Learned):
            low, high = 2 * math.log(sampler.low), 2 * math.log(sampler.high)
            loud = (torch.tanh(self.loudness(features)) + 1) / 2
            return straight, straight, torch.exp(0.5 * (low + (high - low) * loud))
        return straight, straight, torch.zeros_like(x)

    def _logp(self, after: Tensor, mean: Tensor, spread: Tensor, step: Tensor, sampler: Sampler) -> Tensor:
        """Return log-densities (N,) of where steps (N,) led."""
        if (least := float(spread.detach().min())) < _LEAST:
            raise ValueError(f"A transition's spread {least:g} is below {_LEAST:g}: raise the noise level.")
        each = -0.5 * ((after - mean) / spread) ** 2 - spread.log() - 0.5 * math.log(2 * math.pi)
        return (each.sum(dim=2) * self._counts(step, sampler)).sum(dim=1)

    def _counts(self, step: Tensor, sampler: Sampler) -> Tensor:
        """Return (N, H) which actions count in the density of steps (N,)."""
        return (step + 1 < sampler.steps)[:, None] | (torch.arange(self.horizon) < self.chunk)

    def density(self, memory: Tensor, trace: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return log-density (N, 1, 1) and entropy (N,) of the random steps of a chain; see `Policy.density`.

        Actions beyond the chunk count until the last step, for those that are executed look at them; in that one they do not.
        """
        chain, random, sampler = trace["chain"], trace["random"], trace["sampler"]
        if not random.any():
            return chain.new_zeros(len(chain), 1, 1), chain.new_zeros(len(chain))
        row, step = random.nonzero().T
        x, after = chain[row, step], chain[row, step + 1]
        _, mean, spread = self._transition(x, step / sampler.steps, self.expert.offered(memory), sampler)
        entropy = spread.log() + 0.5 * math.log(2 * math.pi * math.e)
        loose = (entropy.sum(dim=2) * self._counts(step, sampler)).sum(dim=1)
        logp = self._logp(after, mean, spread, step, sampler)
        return logp.view(len(chain), -1).sum(dim=1)[:, None, None], loose.view(len(chain), -1).sum(dim=1)

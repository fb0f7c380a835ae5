"""What all policies have in common: the protocol, what goes into the trunk, frozen statistics, the folder they live in.

A folder holds model.safetensors, config.json, tokenizer.json, and what a stranger needs to use them: policy_preprocessor.json,
policy_postprocessor.json and README.md. Never a pickle.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldgen.sim.worlds import Observations

from ..config import Sampler, TrunkSettings
from ..records import Decisions, Interface
from .text import LENGTH, Words
from .vision import OTHER, TARGET, Seen, Trunk

_METRE = 0.1
"""Length that positions are counted in [m]."""
_FAR = 10.0
"""Nothing is told as farther off than so many of those."""
_AIMS = 2
"""Tokens that say it."""


@dataclass(frozen=True)
class Inputs:
    """What the trunk takes: N observations as tensors."""

    images: Tensor
    """(N, V, 3, S, S) in [-1, 1]."""
    state: Tensor
    """(N, S) in physical units."""
    pieces: Tensor
    """(N, L) numbers of pieces."""

    def __len__(self) -> int:
        return len(self.state)

    def rows(self, index: Tensor | slice) -> Inputs:
        """Return some of the observations."""
        return Inputs(self.images[index], self.state[index], self.pieces[index])


@dataclass(frozen=True)
class Batch:
    """Observations, and what was done there."""

    inputs: Inputs
    actions: Tensor
    """(N, H, 7) in physical units."""
    valid: Tensor
    """(N, H) which of them are to be imitated."""


class Policy(Protocol):
    """What sees, reads and decides."""

    interface: Interface
    chunk: int
    """Actions that are executed of each decision."""

    def act(self, observations: Observations, rng: torch.Generator | None, sampler: Sampler | None = None) -> Decisions:
        """Decide for each of N observations. A sampler that draws nothing, such as `Zero`, needs no `rng`."""

    def score(self, inputs: Inputs, trace: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the log-density of decisions that `act` made, and the entropy (N,), with gradients.

        The density comes in parts (N, A, D) that add up: of each action, of each of its numbers. A policy that only knows that of a whole
        decision gives (N, 1, 1).
        """

    def density(self, memory: Tensor, trace: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return what `score` does, from `Acting.recall` of the inputs."""

    def imitation_loss(self, batch: Batch, rng: torch.Generator, memory: Tensor | None = None) -> Tensor:
        """Return how far the policy is from doing what the batch did: a mean over what is valid.

        `memory` is what `Acting.recall` makes of the batch's inputs; made anew where it is not given.
        """


class Statistics(nn.Module):
    """Frozen mean and spread of states and actions; set once, from what the first training set holds."""

    def __init__(self, state: int, action: int) -> None:
        super().__init__()
        for name, size in (("state", state), ("action", action)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.state_mean: Tensor
        self.state_std: Tensor
        self.action_mean: Tensor
        self.action_std: Tensor

    def fit(self, name: str, values: ArrayLike, floor: ArrayLike) -> None:
        """Take mean and standard deviation of values (N, D); a spread below `floor` counts as that."""
        array = np.asarray(values, np.float64)
        getattr(self, f"{name}_mean").copy_(torch.as_tensor(array.mean(axis=0)))
        getattr(self, f"{name}_std").copy_(torch.as_tensor(np.maximum(array.std(axis=0), floor)))

    def state(self, values: Tensor) -> Tensor:
        """Return normalised states."""
        return ((values - self.state_mean) / self.state_std).clamp(-6, 6)

    def action(self, values: Tensor) -> Tensor:
        """Return normalised actions."""
        return (values - self.action_mean) / self.action_std

    def physical(self, values: Tensor) -> Tensor:
        """Return actions in physical units."""
        return values * self.action_std + self.action_mean


class Where(nn.Module):
    """Reads off the trunk's tokens where things are: what pre-training teaches, and a check of sight at any time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3)) for _ in range(2)]
        )

    def forward(self, seen: Seen) -> Tensor:
        """Return the positions of target and other in the base frame, (N, 2, 3) [m].

        They are where the first camera's slots look at the table, and how far off that the thing is because it stands above it.
        """
        off = [head(seen.tokens[:, slot]) for slot, head in zip((TARGET, OTHER), self.heads, strict=True)]
        return F.pad(seen.points[:, 0, [TARGET, OTHER]], (0, 1)) + _METRE * torch.stack(off, dim=1)


class Sighted(nn.Module):
    """Trunk, read-out, words and statistics: what pre-training makes and every policy is built on.

    Args:
        interface: What is seen and done.
        trunk: Sizes.
        words: Tokenizer; None learns the default one.
    """

    kind: ClassVar[str] = "base"
    """How config.json calls it."""

    def __init__(
        self, interface: Interface, trunk: TrunkSettings = TrunkSettings(), words: Words | None = None
    ) -> None:
        super().__init__()
        self.interface, self.sizes, self.words = interface, trunk, words or Words.learn()
        self.trunk = Trunk(len(interface.cameras), interface.size, len(interface.state), self.words.size, LENGTH, trunk)
        self.where = Where(trunk.width)
        self.statistics = Statistics(len(interface.state), len(interface.action))

    @classmethod
    def own_settings(cls) -> tuple[str, ...]:
        """Return the names of further arguments of the constructor, which are attributes too."""
        return ()

    def settings(self) -> dict[str, Any]:
        """Return what the constructor needs, as JSON values."""
        own = {name: getattr(self, name) for name in self.own_settings()}
        return {"interface": asdict(self.interface), "trunk": asdict(self.sizes), **own}

    def remember(self, inputs: Inputs) -> Seen:
        """Return what the trunk makes of observations."""
        state = self.statistics.state(inputs.state)
        found: Seen = self.trunk(inputs.images, state, inputs.state[:, :6], inputs.pieces)
        return found

    def inputs(self, observations: Observations) -> Inputs:
        """Return observations as tensors."""
        images = np.stack([observations.images[camera] for camera in self.interface.cameras], axis=1)
        pieces = torch.from_numpy(self.words(observations.instruction))
        return Inputs(as_pictures(images), torch.from_numpy(observations.state.astype(np.float32)), pieces)


class Acting(Sighted):
    """What every policy is: it sees and reads, and is told in numbers how far it is to what it saw.

    A network learns slowly to measure with tokens that are made for recognising; what pre-training taught it to say in metres is the
    shorter way.
    """

    def __init__(
        self, interface: Interface, trunk: TrunkSettings = TrunkSettings(), words: Words | None = None
    ) -> None:
        super().__init__(interface, trunk, words)
        width, told = trunk.width, 2 * 3 + 2 * 3 + len(interface.state)
        self.aims = nn.Sequential(
            nn.Linear(told, 2 * width), nn.GELU(), nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, _AIMS * width)
        )  # fmt: skip

    def sees(self) -> list[nn.Parameter]:
        """Return the parameters that see and read."""
        return [*self.trunk.parameters(), *self.where.parameters()]

    def decides(self) -> list[nn.Parameter]:
        """Return the others."""
        known = {id(value) for value in self.sees()}
        return [value for value in self.parameters() if id(value) not in known]

    def measure(self, actions: NDArray[np.floating], floor: ArrayLike) -> None:
        """Take the statistics of actions (N, 7) that are to be imitated; a spread below `floor` counts as that."""
        self.statistics.fit("action", actions, floor)

    def memory(self, tokens: Tensor, points: Tensor, state: Tensor) -> Tensor:
        """Return what decisions are made from: (N, M + 2, W).

        Args:
            tokens: (N, M, W) `Seen.tokens`.
            points: (N, 2, 3) where target and other were seen, in the base frame [m].
            state: (N, S) in physical units; its first three are the tool's place.
        """
        away = points - state[:, None, :3]
        told = torch.cat([points.flatten(1) / _METRE, away.flatten(1) / _METRE, self.statistics.state(state)], dim=1)
        return torch.cat([tokens, self.aims(told.clamp(-_FAR, _FAR)).unflatten(1, (_AIMS, -1))], dim=1)

    def summary(self, memory: Tensor) -> Tensor:
        """Return a few numbers (N, 3 W) of a memory (N, M + 2, W): its mean token, and those that say how far it is."""
        return torch.cat([memory.mean(dim=1), memory[:, -_AIMS:].flatten(1)], dim=1)

    def look(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return what sight makes of observations: tokens (N, M, W), and where target and other are (N, 2, 3) [m]."""
        seen = self.remember(inputs)
        return seen.tokens, self.where(seen)

    def recall(self, inputs: Inputs) -> Tensor:
        """Return `memory` of observations."""
        return self.memory(*self.look(inputs), inputs.state)


def as_pictures(images: np.ndarray[Any, np.dtype[np.uint8]] | Tensor) -> Tensor:
    """Return pictures (…, H, W, 3) uint8 as (…, 3, H, W) in [-1, 1]."""
    tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.ascontiguousarray(images))
    return tensor.movedim(-1, -3).float().mul_(2 / 255).sub_(1)

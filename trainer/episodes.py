"""Which starts an iteration of reinforcement learning plays, and which of its episodes count. Knows policies and worlds, no losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldgen.sim import domains
from worldgen.sim.rewards import Sparse, Staged
from worldgen.sim.stage import Settings
from worldgen.sim.worlds import ProcessWorlds, Start

from .advantages import among
from .config import Grpo, Learned, Rl, Sampler, Sde
from .errors import RunError
from .evaluate import FIRST
from .metrics import Share
from .play import Course, Slotted
from .rollout import Rollout, collect, joined

SEEDS = FIRST["report"] + 10**6
"""Seeds of reinforcement learning are this one and those above it."""
_ROOM = 10**7
"""Seeds of one root seed."""
_FORGET, _FLOOR = 0.2, 0.05
"""What the last episode of a scene counts in its success, and what a scene that is always or never solved is drawn at least like."""

_BOUNDS = (0.8, 1.4)
"""Of noise that a network chooses, as shares of what is asked for: those of the generative-worlds result, for a noise of .1."""


class Scenes:
    """The scenes that are learned from, and how often each was solved lately.

    Args:
        names: All of them.
        uncertain: Draw a scene the oftener the less certain its end is, p (1 - p); else all alike.
    """

    def __init__(self, names: Sequence[str], uncertain: bool = False) -> None:
        self.names, self.uncertain = sorted(names), uncertain
        self._at = {name: index for index, name in enumerate(self.names)}
        self.rate, self.played = np.full(len(names), 0.5), np.zeros(len(names), np.int64)

    def starts(self, config: Rl, iteration: int, count: int) -> list[Start]:
        """Return an iteration's starts, each with a seed of its own; scenes repeat only where there are no others, or uncertain ones."""
        rng = np.random.default_rng([config.seed, iteration, 1])
        first = SEEDS + config.seed * _ROOM + iteration * count
        if self.uncertain:
            weight = self.rate * (1 - self.rate) + _FLOOR
            order = rng.choice(len(self.names), count, p=weight / weight.sum())
        else:
            rounds = -(-count // len(self.names))
            order = np.concatenate([rng.permutation(len(self.names)) for _ in range(rounds)])[:count]
        return [Start(self.names[scene], first + index) for index, scene in enumerate(order)]

    def note(self, courses: Sequence[Course]) -> None:
        """Take account of episodes that are over."""
        for course in courses:
            scene = self._at[course.start.scene]
            self.rate[scene] += _FORGET * ((course.end == "success") - self.rate[scene])
            self.played[scene] += 1

    def numbers(self) -> dict[str, Any]:
        """Return what is known of the scenes, by name, as JSON can say it."""
        return {
            name: {"rate": rate, "played": played}
            for name, rate, played in zip(self.names, self.rate.tolist(), self.played.tolist(), strict=True)
        }

    def restore(self, numbers: Mapping[str, Any]) -> None:
        """Take back what `numbers` gave."""
        self.rate[:] = [numbers[name]["rate"] for name in self.names]
        self.played[:] = [numbers[name]["played"] for name in self.names]


def played(
    policy: Any, worlds: Slotted, scenes: Scenes, config: Rl, iteration: int
) -> tuple[Rollout, dict[str, float]]:
    """Return an iteration's episodes and what came of them; with GRPO only groups that ended both ways, where there are so many."""
    rng, noise = generator(config, iteration, 0), exploring(config, config.noise)
    if not isinstance(config.algorithm, Grpo):
        whole = collect(policy, worlds, scenes.starts(config, iteration, config.episodes), noise, rng, config.strange)
        scenes.note(whole.courses)
        return whole, _figures(whole.courses)
    size, wanted = config.algorithm.group, config.episodes // config.algorithm.group
    parts, courses, found = list[Rollout](), list[Any](), 0
    starts = scenes.starts(config, iteration, wanted * config.algorithm.tries)
    for begin in range(0, len(starts), wanted):
        group = [start for start in starts[begin : begin + wanted] for _ in range(size)]
        part = collect(policy, worlds, group, noise, rng, config.strange)
        courses += part.courses
        numbers = groups(part)
        _require_alike(part, numbers)
        _, mixed = among(scores(part), numbers)
        if mixed.any():
            parts.append(part.of(mixed))
        found += len(np.unique(numbers[mixed]))
        if found >= wanted:
            break
    scenes.note(courses)
    figures = _figures(courses) | {"groups": found, "groups played": begin // wanted + 1.0}
    return joined(parts) if parts else part.of(np.arange(len(part.courses)) < 1), figures


def stage_of(policy: Any, config: Rl) -> Settings:
    """Return what worlds show and pay while a policy plays to learn."""
    sparse = isinstance(config.algorithm, Grpo) or config.algorithm.reward == "sparse"
    reward = Sparse() if sparse else Staged()
    return Settings(domains.load(config.domain), reward, policy.interface.views(), privileged=True, chunk=policy.chunk)


def worlds_of(library: Path, policy: Any, config: Rl) -> ProcessWorlds:
    """Return the worlds of a library in which a policy plays to learn, to be closed by the caller."""
    slots = min(config.slots, config.episodes)
    return ProcessWorlds(library, stage_of(policy, config), slots, config.workers, trusted=True)


def exploring(config: Rl, noise: float) -> Sampler:
    """Return how a flow policy decides while it plays to learn."""
    if config.exploration == "sde":
        return Sde(config.steps, noise)
    low, high = (1.0, 1.0) if config.exploration == "fixed" else _BOUNDS
    return Learned(config.steps, low * noise, high * noise)


def _figures(courses: Sequence[Any]) -> dict[str, float]:
    won = Share.of(sum(course.end == "success" for course in courses), len(courses))
    paid = float(np.mean([course.reward for course in courses]))
    decisions = sum(len(course.moments) for course in courses)
    return {"success": won.rate, "low": won.low, "high": won.high, "return": paid, "decisions": decisions}


def scores(rollout: Rollout) -> NDArray[np.float64]:
    """Return 1 for each episode that succeeded, (E,)."""
    return np.array([course.end == "success" for course in rollout.courses], float)


def groups(rollout: Rollout) -> NDArray[np.int64]:
    """Return a number for each episode that those of the same start share, (E,), in the order of first appearance."""
    known = {start: number for number, start in enumerate(dict.fromkeys(course.start for course in rollout.courses))}
    return np.array([known[course.start] for course in rollout.courses])


def _require_alike(rollout: Rollout, group: NDArray[np.int64]) -> None:
    """Refuse groups whose episodes did not begin alike."""
    firsts = np.flatnonzero(np.append(True, rollout.decided.last[:-1]))
    known: dict[int, bytes] = {}
    for row, number in zip(firsts, group.tolist(), strict=True):
        seen = rollout.images[row].tobytes() + rollout.privileged[row].numpy().tobytes()
        if known.setdefault(number, seen) != seen:
            raise RunError(f"Episodes of group {number} did not begin alike.")


def generator(config: Rl, iteration: int, purpose: int) -> torch.Generator:
    """Return random numbers that hang on the number of an iteration and on what they are for."""
    words = np.random.SeedSequence([config.seed, iteration, purpose]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))

"""Before hours are spent: does the policy succeed now and then, does it still with noise, how long will it take.

Knows policies and worlds; nothing is learned here.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldgen.sim.worlds import Observations, Start
from worldgen.store import write_file

from .config import Grpo, Ode, Rl, Sampler
from .demos import require_suits
from .episodes import Scenes, exploring
from .errors import RunError
from .evaluate import FIRST
from .limits import require
from .metrics import Share
from .play import Course, Slotted, play
from .policies.store import load_acting
from .rollout import collect
from .sets import drawn, scenes_of
from .sight import taught

_STARTS = 48
"""Episodes that are played with and without noise."""
_FIRST = FIRST["selection"] + 5 * 10**5
"""Their first seed."""
_KEEPS, _LESS, _TIMES = 0.6, 0.6, 4
"""Share of its successes that a policy must keep when noise is added, what the noise is taken times where it surely does not, and how often."""
_HOPELESS = 0.05
"""Success that nothing can be learned from, where it is surely lower."""


def admitted(library: Path, config: Rl) -> tuple[Any, list[str]]:
    """Return the policy to start from and the names of the scenes to learn in.

    Raises:
        RunError: When settings make no sense, or the library lacks scenes or is for another arm.
        CheckpointError: When the policy cannot be read.
    """
    require(config)
    if isinstance(config.algorithm, Grpo) and config.episodes % config.algorithm.group:
        raise RunError(f"episodes {config.episodes} must be a multiple of group {config.algorithm.group}.")
    policy = load_acting(config.init)
    chosen = scenes_of(library, "train")
    require_suits(chosen, library, "train", policy.interface)
    names = [scene.name for scene in drawn(chosen, config.scenes, config.seed)]
    if config.every and not scenes_of(library, "unseen"):
        raise RunError(
            f"'{library}' has only scenes of split train, so nothing to look at on the way. Make some with `worldgen make --splits ...`, "
            "or say --every 0."
        )
    return policy, names


@dataclass(frozen=True)
class Preflight:
    """What was found."""

    quiet: int
    """Successes without noise."""
    noisy: int
    """Successes with `noise`."""
    starts: int
    noise: float
    """Standard deviation to play with."""
    seconds: float
    """Predicted, of an iteration."""
    updates: int
    """Optimiser steps of the policy in an iteration."""
    megabytes: float
    """Predicted peak of memory."""

    def words(self) -> str:
        """Return one line."""
        return (
            f"Before learning {self.quiet} of {self.starts} without noise, {self.noisy} with noise {self.noise:.3g}; "
            f"an iteration makes {self.updates} steps and takes about {self.seconds:.0f} s; about {self.megabytes:.0f} MB."
        )


def preflight(policy: Any, worlds: Slotted, scenes: Scenes, config: Rl, tell: Callable[[str], None]) -> Preflight:
    """Play a policy with and without noise and return what came of it; one that was made before is read again.

    Noise that breaks the policy is made less.

    Raises:
        RunError: When it succeeds so seldom that there is nothing to learn from.
    """
    note = config.out / "preflight.json"
    if note.exists():
        try:
            return Preflight(**json.loads(note.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"'{note}' cannot be read: {error}. Delete it, and it is made again.") from error
    order = np.random.default_rng(config.seed).permutation(scenes.names).tolist()
    starts = [Start(order[index % len(order)], _FIRST + index) for index in range(_STARTS)]
    tell(f"Before learning: {_STARTS} episodes without noise, then with noise {config.noise:g}")
    quiet = _won(policy, worlds, starts, Ode(config.steps))  # from random starts, as it will play
    noise, begun = config.noise, time.monotonic()
    noisy = _won(policy, worlds, starts, exploring(config, noise))
    played = (time.monotonic() - begun) / len(starts)
    for _ in range(_TIMES):
        if policy.kind == "token" or Share.of(noisy, _STARTS).high >= _KEEPS * Share.of(quiet, _STARTS).low:
            break
        tell(f"Noise {noise:.3g} leaves {noisy} of {quiet} successes: trying {_LESS * noise:.3g}.")
        noise *= _LESS
        noisy = _won(policy, worlds, starts, exploring(config, noise))
    both = Share.of(quiet + noisy, 2 * len(starts))
    if both.high < _HOPELESS or (quiet and not noisy):
        raise RunError(
            f"The policy succeeds in {quiet} of {_STARTS} episodes of the training scenes without noise and in {noisy} with noise {noise:.3g}: too "
            "seldom to learn from. Show it more (`trainer demos`, `trainer sft`) or give it easier scenes; --no-preflight tries all the same."
        )
    found = _predicted(policy, worlds, starts, config, noise, played)
    made = Preflight(quiet, noisy, len(starts), noise, *found)
    write_file(note, json.dumps(asdict(made), indent=1) + "\n")
    tell(made.words())
    return made


def _won(policy: Any, worlds: Slotted, starts: list[Start], sampler: Sampler) -> int:
    rng = torch.Generator().manual_seed(0)

    def decide(seen: Observations, _: list[Course]) -> NDArray[np.float32]:
        return np.asarray(policy.act(seen, rng, sampler).actions)

    return sum(course.end == "success" for course in play(decide, worlds, starts))


def _predicted(
    policy: Any, worlds: Slotted, starts: list[Start], config: Rl, noise: float, played: float
) -> tuple[float, int, float]:
    """Return seconds and optimiser steps of an iteration, and megabytes at most."""
    few = starts[: min(len(starts), worlds.slots)]
    rollout = collect(policy, worlds, few, exploring(config, noise), torch.Generator().manual_seed(0))
    decisions = len(rollout) / len(few) * config.episodes
    rows = torch.arange(min(len(rollout), config.batch))
    step = _timed(policy, lambda: rollout.density(policy, rows)[0])
    updates = config.epochs * math.ceil(decisions / config.batch)
    tries = config.algorithm.tries if isinstance(config.algorithm, Grpo) else 1  # at most
    passes = config.epochs + 0.4  # densities are looked at once more
    learning = step / len(rows) * decisions * passes
    if config.trunk_lr:
        pictures, known = rollout.inputs(rows[: config.frames]), rollout.privileged[: config.frames].numpy()
        learning += updates * _timed(policy, lambda: taught(policy, pictures, known)[0])
    seconds = tries * played * config.episodes + learning
    unit = 1024 if sys.platform != "darwin" else 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    kept = rollout.images.nbytes + sum(part.nbytes for part in rollout.trace.values() if isinstance(part, Tensor))
    rollouts = 2 * kept * tries * decisions / len(rollout)  # twice while it is put together
    return seconds, updates, (peak + rollouts) / 2**20


def _timed(policy: Any, made: Callable[[], Tensor]) -> float:
    """Return seconds of making something with gradients, forth and back."""
    begun = time.monotonic()
    made().sum().backward()
    policy.zero_grad()
    return time.monotonic() - begun

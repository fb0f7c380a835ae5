"""Where the time of reinforcement learning goes: `python -m benchmarks.train LIBRARY RUN`. Prints Markdown for docs/performance.md.

The first table is of a whole iteration, with as many processes and threads as asked for; the second of one process, where every part can be
timed. Every scene is compiled before the clock starts. Each figure is of this machine; compare shares, not seconds.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tyro.conf import Positional

from benchmarks.play import _PARTS, _divided, _timed
from trainer.config import Rl
from trainer.episodes import Scenes, played, stage_of, worlds_of
from trainer.policies.store import load_acting
from trainer.rl import Learner
from worldgen.library import SceneLibrary
from worldgen.sim.worlds import LocalWorlds, ProcessWorlds

_PRODUCTS = ("mm", "convolution", "attention", "linear")
"""Parts of the names of what multiplies matrices, among what the profiler of torch counts."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    library: Positional[Path]
    """Made by `worldgen make`."""
    run: Positional[Path]
    """What to start from, made by `trainer sft`."""
    scenes: int = 24
    """Different ones that are played."""
    iterations: int = 3
    """That are timed, after two without."""
    rl: Annotated[Rl, tyro.conf.arg(name="rl")] = field(default_factory=Rl)


def main(config: Config) -> None:
    """Measure and print everything."""
    torch.set_num_threads(config.rl.threads)
    policy = load_acting(config.run)
    size = sum(value.numel() for value in policy.parameters()) / 1e6
    print(f"Policy of {size:.1f} million parameters, {config.rl.workers} processes, {config.rl.threads} threads.\n")
    names = [scene.name for scene in SceneLibrary.open(config.library).scenes("train")][: config.scenes]
    learner, scenes = Learner(policy, config.rl), Scenes(names)
    with worlds_of(config.library, policy, config.rl) as worlds:
        _whole(learner, worlds, scenes, config)
    torch.set_num_threads(1)
    settings, slots = stage_of(policy, config.rl), min(config.rl.slots, config.rl.episodes)
    with _timed() as spent, LocalWorlds(config.library, settings, slots, trusted=True) as worlds:
        _single(learner, worlds, scenes, config, spent)


def _whole(learner: Learner, worlds: ProcessWorlds, scenes: Scenes, config: Config) -> None:
    """Print the phases of an iteration."""
    spent, decisions = defaultdict[str, float](float), 0
    for iteration in range(2 + config.iterations):
        if iteration == 2:
            spent.clear()
            decisions = 0
        decisions += _iteration(learner, worlds, scenes, config, iteration, spent)
    total = sum(spent.values())
    print("| phase | ms a decision | share |\n|---|---|---|")
    for name, seconds in spent.items():
        print(f"| {name} | {1e3 * seconds / decisions:.2f} | {seconds / total:.0%} |")
    print(f"\n{decisions / total:.0f} decisions/s, learning included.\n", flush=True)


def _single(learner: Learner, worlds: LocalWorlds, scenes: Scenes, config: Config, spent: dict[str, float]) -> None:
    """Print where one process spends its time, and how much of learning multiplies matrices."""
    phases = defaultdict[str, float](float)
    _iteration(learner, worlds, scenes, config, 0, phases)
    for counted in (spent, phases):
        counted.clear()
    decisions = _iteration(learner, worlds, scenes, config, 1, phases, profiled=True)
    parts = _divided(spent)
    rows = {name: parts[name] for name in _PARTS}
    rows |= {"deciding": phases["deciding"], "other playing": phases["playing"] - sum(rows.values())}
    rows |= {name: phases[name] for name in ("products of learning", "other learning")}
    total = sum(rows.values())
    print("| part, one process and one thread | ms a decision | share |\n|---|---|---|")
    for name, seconds in rows.items():
        print(f"| {name} | {1e3 * seconds / decisions:.2f} | {seconds / total:.0%} |")
    useful = rows["physics"] + rows["render"] + rows["deciding"] + rows["products of learning"]
    print(f"\nPhysics, drawing, deciding and products: {useful / total:.0%}.", flush=True)


def _iteration(
    learner: Learner,
    worlds: Any,
    scenes: Scenes,
    config: Config,
    iteration: int,
    spent: dict[str, float],
    profiled: bool = False,
) -> int:
    """Play and learn once, add the time of each phase, and return the number of decisions."""
    act = learner.policy.act
    if profiled:
        learner.policy.act = lambda *arguments: _clocked(act, arguments, spent)
    begun = time.perf_counter()
    rollout, _ = played(learner.policy, worlds, scenes, config.rl, iteration)
    spent["playing"] += time.perf_counter() - begun - spent.get("deciding", 0.0) * profiled
    learner.policy.act = act
    rng = torch.Generator().manual_seed(iteration)
    with _products(spent) if profiled else contextlib.nullcontext():
        begun = time.perf_counter()
        old, _ = learner.look(rollout)
        spent["densities of what was done"] += time.perf_counter() - begun
        begun = time.perf_counter()
        judged = learner.judge(rollout, iteration, rng)
        spent["critic"] += time.perf_counter() - begun
        begun = time.perf_counter()
        learner.improve(rollout, old, judged, learner.pace * config.rl.lr, rng, rng)
        spent["policy"] += time.perf_counter() - begun
    return len(rollout)


def _clocked(act: Any, arguments: Any, spent: dict[str, float]) -> Any:
    begun = time.perf_counter()
    made = act(*arguments)
    spent["deciding"] += time.perf_counter() - begun
    return made


@contextlib.contextmanager
def _products(spent: dict[str, float]) -> Iterator[None]:
    """Measure how much of what torch does in here multiplies matrices."""
    begun = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        yield
    whole = time.perf_counter() - begun
    events = [(event.key, event.self_cpu_time_total) for event in profile.key_averages()]
    share = sum(t for key, t in events if any(name in key for name in _PRODUCTS)) / max(1, sum(t for _, t in events))
    spent["products of learning"] += share * whole
    spent["other learning"] += (1 - share) * whole


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

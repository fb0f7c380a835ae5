"""What reinforcement learning reaches when nothing has to be seen: `python -m benchmarks.perfect_rl LIBRARY DATA`. Prints a Markdown table.

The trainer's own loop, but the policy is told by the simulator what the first goal's target and destination are and where, as in
`benchmarks.perfect_sight`. Pictures are as small as can be and nobody looks at them, so that settings can be compared in minutes; what a policy with
pictures falls short of this by is lost on sight.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tyro.conf import Positional

from benchmarks.cells import solved
from benchmarks.perfect_sight import Config as Sight
from benchmarks.perfect_sight import trained
from trainer.config import Evaluate, Rl, Zero
from trainer.dataset import read
from trainer.episodes import Scenes, played, worlds_of
from trainer.evaluate import rollout, starts_of
from trainer.metrics import Share
from trainer.rl import Learner
from trainer.sets import scenes_of
from worldgen.library import SceneLibrary


@dataclass(frozen=True)
class Config:
    """What to measure."""

    library: Positional[Path]
    """Made by `worldgen make`."""
    data: Positional[Path]
    """Demonstrations in it, made by `trainer demos`."""
    out: Path = Path("perfect-rl")
    demonstrations: int = 25
    """That imitation starts from."""
    steps: int = 800
    """Optimiser steps of imitation."""
    every: int = 10
    """Iterations between two evaluations."""
    trials: int = 400
    """Episodes of each of them, in never-trained scenes."""
    rl: Annotated[Rl, tyro.conf.arg(name="rl")] = field(default_factory=lambda: Rl(iterations=50))


def main(config: Config) -> None:
    """Train, evaluate now and then, and print the table."""
    torch.set_num_threads(1)
    imitation = Sight(config.library, config.data, config.out, steps=config.steps, workers=config.rl.workers)
    policy: Any = trained(read(config.data, limit=config.demonstrations), imitation, config.demonstrations)
    learner, spent, decisions = Learner(policy, config.rl), 0.0, 0
    scenes = Scenes([scene.name for scene in SceneLibrary.open(config.library).scenes("train")])
    print(
        "| iterations | decisions | seconds | with noise | never-trained scenes | 95 % | n |\n|---|---|---|---|---|---|---|"
    )
    with worlds_of(config.library, policy, config.rl) as worlds:
        for iteration in range(config.rl.iterations):
            begun = time.monotonic()
            made, figures = played(policy, worlds, scenes, config.rl, iteration)
            learner.learn(made, iteration)
            spent, decisions = spent + time.monotonic() - begun, decisions + len(made)
            if (iteration + 1) % config.every == 0 or not iteration:
                share = _won(policy, config)
                print(
                    f"| {iteration + 1} | {decisions} | {spent:.0f} | {figures['success']:.0%} | {share.rate:.1%} | "
                    f"{100 * share.low:.1f} to {100 * share.high:.1f} | {share.trials} |",
                    flush=True,
                )


def _won(policy: Any, config: Config) -> Share:
    asked = Evaluate(split="unseen", purpose="selection", episodes=config.trials, workers=config.rl.workers)
    starts = starts_of(scenes_of(config.library, asked.split), asked)
    return solved(rollout(policy, config.library, starts, asked, Zero(config.rl.steps)))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

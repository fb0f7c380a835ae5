"""How much of a policy gradient is signal: `python -m benchmarks.gradient LIBRARY RUN`. Prints Markdown for docs/results.md.

Plays the episodes of an iteration several times and compares the gradients that each of them gives. If a share s of a gradient's squared length is
signal, two of them have a cosine of s. A critic is the same for all, so what it gets wrong counts as signal too: compare with what needs none.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor
from tyro.conf import Positional

from trainer.advantages import among, gae, normalised
from trainer.config import Ppo, Rl
from trainer.episodes import Scenes, exploring, generator, groups, scores, worlds_of
from trainer.policies.store import load_acting
from trainer.rl import Learner
from trainer.rollout import Rollout, collect
from worldgen.library import SceneLibrary

_ROUNDS = 3
"""Further rounds over all that was played in which the critic learns."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    library: Positional[Path]
    """Made by `worldgen make`."""
    run: Positional[Path]
    """What plays, made by `trainer sft`."""
    times: int = 10
    """That an iteration's episodes are played."""
    group: int = 8
    """Episodes of each start, so that they can be compared with each other."""
    traces: tuple[float, ...] = (0.0, 0.3, 0.5, 0.8, 0.95, 1.0)
    """λ to compare."""
    rl: Annotated[Rl, tyro.conf.arg(name="rl")] = field(default_factory=Rl)


def main(config: Config) -> None:
    """Measure and print everything."""
    torch.set_num_threads(config.rl.threads)
    policy, names = load_acting(config.run), [s.name for s in SceneLibrary.open(config.library).scenes("train")]
    learner, scenes, rollouts = Learner(policy, config.rl), Scenes(names), list[Rollout]()
    with worlds_of(config.library, policy, config.rl) as worlds:
        for time in range(config.times):
            starts = scenes.starts(config.rl, time, config.rl.episodes // config.group)
            many = [start for start in starts for _ in range(config.group)]
            rng = generator(config.rl, time, 0)
            rollouts.append(collect(policy, worlds, many, exploring(config.rl, config.rl.noise), rng))
            print(f"{time + 1} of {config.times} played: {scores(rollouts[-1]).mean():.2f}", file=sys.stderr)
    for turn in range(1 + _ROUNDS):
        for rollout in rollouts:
            learner.judge(rollout, turn, generator(config.rl, turn, 2))
    print("| how decisions are judged | cosine of two gradients | standard error |\n|---|---|---|")
    for trace in config.traces:
        _row(
            f"critic, staged reward, trace {trace:g}",
            learner,
            rollouts,
            [_by_critic(learner, r, trace) for r in rollouts],
        )
    _row("success, others of the same start", learner, rollouts, [_among(r) for r in rollouts])
    _row(
        "chance",
        learner,
        rollouts,
        [np.random.default_rng(i).normal(size=len(r)) for i, r in enumerate(rollouts)],
    )


def _by_critic(learner: Learner, rollout: Rollout, trace: float) -> NDArray[np.float64]:
    algorithm = learner.config.algorithm
    assert isinstance(algorithm, Ppo)
    with torch.no_grad():
        values = learner.net["critic"](rollout.privileged).double().numpy()
    return gae(rollout.decided, values, np.zeros(len(rollout)), algorithm.discount, trace)[0]


def _among(rollout: Rollout) -> NDArray[np.float64]:
    each, _ = among(scores(rollout), groups(rollout), spread=False)
    return each[rollout.decided.episodes()]


def _row(what: str, learner: Learner, rollouts: list[Rollout], judged: list[NDArray[np.float64]]) -> None:
    """Print how alike the gradients of what decides are, where sight stays as it is."""
    found = torch.stack([_gradient(learner, *each) for each in zip(rollouts, judged, strict=True)])
    found = found / found.norm(dim=1, keepdim=True)
    alike = found @ found.T
    count = len(found)
    others = alike[~torch.eye(count, dtype=torch.bool)].view(count, -1)
    without = [
        float(np.delete(np.delete(alike.numpy(), i, 0), i, 1)[~np.eye(count - 1, dtype=bool)].mean())
        for i in range(count)
    ]
    # jackknife over rollouts: pairs that share one are not independent
    error = float(np.sqrt((count - 1) * np.var(without)))
    print(f"| {what} | {float(others.mean()):.3f} | {error:.3f} |", flush=True)


def _gradient(learner: Learner, rollout: Rollout, judged: NDArray[np.float64]) -> Tensor:
    policy = learner.policy
    gain = torch.from_numpy(normalised(judged, np.ones(len(judged), bool))).float()
    policy.zero_grad()
    for rows in torch.arange(len(rollout)).split(learner.config.batch):
        logp, _ = rollout.density(policy, rows)
        (logp.sum(dim=(1, 2)) * gain[rows]).sum().backward()
    return torch.cat([value.grad.flatten() for value in policy.parameters() if value.grad is not None])


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

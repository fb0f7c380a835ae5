"""What imitation reaches when nothing has to be seen: `python -m benchmarks.perfect_sight LIBRARY DATA`. Prints a Markdown table.

The same flow-matching expert as the default policy's, trained on the same demonstrations, but told by the simulator what the first goal's
target and destination are and where: what a policy with pictures falls short of this by is lost on sight. With `--noise` that is told wrongly, by
an error drawn anew for each decision: how exact sight has to be.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.cells import solved
from trainer.config import Evaluate, Sampler, TrunkSettings, Zero
from trainer.dataset import Dataset, read
from trainer.evaluate import rollout, starts_of
from trainer.fit import Plan, fit
from trainer.folders import claim
from trainer.policies.base import Batch, Inputs
from trainer.policies.flow import FlowPolicy
from trainer.records import SIDE, Decisions
from trainer.sets import scenes_of
from trainer.sft import FLOOR
from trainer.windows import Windows
from worldgen.sim.worlds import Observations

_TOLD = np.r_[0:10, 12:27, 30:37]
"""Of a privileged vector: the arm, and of the first goal all but how far it has got; see `worldgen.sim.truth.Truth.vector`."""
_PLACES = ((12, 13), (15, 16))
"""Where x and y of the target and of the point to grasp stand in it; the destination is given from the target."""
_AWAY = (24, 25)


@dataclass(frozen=True)
class Config:
    """What to measure."""

    library: tyro.conf.Positional[Path]
    """Library of the demonstrations."""
    data: tyro.conf.Positional[Path]
    """Demonstrations of `trainer demos`."""
    out: Path = Path("perfect")
    demonstrations: tuple[int, ...] = (200, 1000)
    noise: tuple[float, ...] = (0.0, 0.005, 0.01, 0.02)
    """Standard deviation of the error in x and in y of what is told [m]."""
    episodes: int = 200
    steps: int = 4_000
    split: str = "unseen"
    """Of the library, that is evaluated."""
    workers: int = 2


class Informed(FlowPolicy):
    """A flow policy that is told what the simulator knows in place of seeing it; its pictures are as small as can be, and not looked at."""

    def __init__(self, data: Dataset) -> None:
        if data.privileged is None:
            raise SystemExit(
                "These demonstrations do not hold what the simulator knows. Collect them with `trainer demos`."
            )
        super().__init__(replace(data.interface, size=SIDE), TrunkSettings(layers=0, text_layers=0))
        self.noise = 0.0
        self.measure(data.action[~data.perturbed], FLOOR)
        told = data.privileged[:, _TOLD]
        self.register_buffer("mean", torch.from_numpy(told.mean(axis=0)))
        self.register_buffer("spread", torch.from_numpy(np.maximum(told.std(axis=0), 0.02)))
        self.mean: Tensor
        self.spread: Tensor
        width = self.sizes.width
        self.knows = nn.Sequential(
            nn.Linear(len(_TOLD), 3 * width), nn.GELU(), nn.Linear(3 * width, 3 * width), nn.GELU(), nn.Linear(3 * width, 4 * width)
        )  # fmt: skip

    def memory(self, tokens: Tensor, points: Tensor, state: Tensor) -> Tensor:
        """Return memory (N, 4, W) made of what was told (N, 1, T), the only token; see `Acting.memory`."""
        known = (tokens[:, 0] - self.mean) / self.spread
        found: Tensor = self.knows(known.clamp(-6, 6)).unflatten(1, (4, -1))
        return found

    def told(self, privileged: NDArray[np.float32]) -> Tensor:
        """Return tokens (N, 1, T) that say what privileged vectors (N, P) do."""
        return torch.from_numpy(privileged[:, None, _TOLD])

    @torch.no_grad()
    def act(self, observations: Observations, rng: torch.Generator | None, sampler: Sampler | None = None) -> Decisions:
        """See `trainer.policies.base.Policy`."""
        assert observations.privileged is not None
        assert rng
        privileged = observations.privileged.copy()
        for places in (*_PLACES, _AWAY):
            privileged[:, places] += (self.noise * torch.randn(len(privileged), 2, generator=rng)).numpy()
        tokens = self.told(privileged)
        return self.decision(self.inputs(observations), tokens, tokens, rng, sampler or Zero())


def main(config: Config) -> None:
    """Train and evaluate, and print the table."""
    torch.set_num_threads(1)
    asked = Evaluate(split=config.split, episodes=config.episodes, workers=config.workers)
    scenes = scenes_of(config.library, asked.split)
    print("| demonstrations | error of what is told [mm] | success | 95 % | n |\n|---|---|---|---|---|")
    for count in config.demonstrations:
        policy: Any = trained(read(config.data, limit=count), config, count)
        for noise in config.noise:
            policy.noise = noise
            share = solved(rollout(policy, config.library, starts_of(scenes, asked), asked, Zero()))
            print(
                f"| {count} | {1e3 * noise:.0f} | {share.rate:.1%} | {100 * share.low:.1f} to {100 * share.high:.1f} | {share.trials} |",
                flush=True,
            )


def trained(data: Dataset, config: Config, count: int) -> Informed:
    """Return what imitates so many demonstrations."""
    torch.manual_seed(0)
    policy = Informed(data)
    windows, told = Windows.of(data, policy.horizon), data.privileged
    assert told is not None

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = torch.Generator().manual_seed(step)
        rows = torch.randint(len(windows.frames), (256,), generator=rng).numpy()
        actions, valid = (torch.from_numpy(part) for part in windows.actions(rows))
        batch = Batch(_nothing(rows), actions, valid)
        known = policy.told(told[windows.frames[rows]])
        return policy.imitation_loss(batch, rng, policy.memory(known, known, known)), {}

    plan, out = Plan(config.steps, (1e-3,), 0.01, 0.999), config.out / f"{count}-{config.steps}"
    with claim(out, {"data": data.digest()}):
        policy.load_state_dict(fit(policy, [policy.decides()], loss, plan, out, _tell))
    return policy.eval()


def _nothing(rows: Sequence[int] | NDArray[Any]) -> Inputs:
    none = torch.zeros(len(rows), 0)
    return Inputs(none, none, none)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

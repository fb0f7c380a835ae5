"""Settings: every number is in its bounds by default, and what is out of them is named."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainer.config import Anchored, Demos, Evaluate, Grpo, Ppo, Pretrain, Rl, Sft, TrunkSettings
from trainer.errors import RunError
from trainer.limits import require
from trainer.rl import rl

ALL: tuple[Any, ...] = (Pretrain(), Demos(), Sft(), Rl(), Rl(algorithm=Grpo()), Evaluate())


@pytest.mark.parametrize("config", ALL, ids=lambda config: type(config).__name__)
def test_defaults_are_allowed_and_no_number_may_be_none(config: Any) -> None:
    require(config)
    for name, value in vars(config).items():
        if isinstance(value, float) and not isinstance(value, bool):
            for odd in (math.nan, math.inf, -math.inf):
                with pytest.raises(RunError, match=rf"^{name.replace('_', '-')} {odd} must be"):
                    require(replace(config, **{name: odd}))
        if isinstance(value, int) and not isinstance(value, bool):
            with pytest.raises(RunError, match=rf"^{name.replace('_', '-')} -1 must be"):
                require(replace(config, **{name: -1}))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (Rl(noise=0.0), "noise 0.0 must be from 0.001 to 1"),
        (Rl(guard=20.0), "guard 20.0 must be from 0 to 1"),
        (Rl(seed=100), "seed 100 must be from 0 to 99"),
        (Rl(scenes=0), "scenes 0 must be at least 1"),
        (
            Rl(anchor=Anchored(batch=0, weight=-1)),
            r"anchor\.weight -1 must be at least 0; anchor\.batch 0 must be at least 1",
        ),
        (Rl(algorithm=Ppo(critic_passes=0)), "critic-passes 0 must be at least 1"),
        (Rl(algorithm=Ppo(discount=1.1)), "discount 1.1"),
        (Rl(algorithm=Ppo(critic_lr=math.nan)), "critic-lr nan"),
        (Rl(algorithm=Grpo(tries=0)), "tries 0"),
        (Rl(algorithm=Grpo(group=1)), "group 1 must be at least 2"),
        (Sft(horizon=0, limit=0), "horizon 0 must be from 4 to 64; limit 0 must be at least 1"),
        (Sft(trunk=TrunkSettings(width=0)), r"trunk\.width 0 must be at least 1"),
        (Demos(episodes=200_000), "episodes 200000 must be from 1 to 75000"),
        (Demos(seed=10), "seed 10 must be from 0 to 9"),
        (Evaluate(films=-1, threads=0), "films -1 must be at least 0; .*threads 0 must be at least 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_sense_is_named(config: Any, told: str) -> None:
    with pytest.raises(RunError, match=told):
        require(config)


@pytest.mark.parametrize(("group", "episodes"), [(8, 20), (99, 8)])
def test_groups_are_whole(tmp_path: Path, group: int, episodes: int) -> None:
    with pytest.raises(RunError, match=f"episodes {episodes} must be a multiple of group {group}"):
        rl(tmp_path, Rl(out=tmp_path / "run", episodes=episodes, algorithm=Grpo(group=group)))
    assert not (tmp_path / "run").exists()

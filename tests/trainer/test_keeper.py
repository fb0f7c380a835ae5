"""The best policy is kept, and a fall is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainer import keeper as module
from trainer.checkpoint import read_config
from trainer.config import Evaluate, Rl
from trainer.keeper import Keeper
from trainer.metrics import Log, Share
from trainer.policies.store import load_policy
from trainer.rl import Learner

from .reach import config, policy


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Evaluate]:
    """What was asked of evaluations, which succeed 10, 60, 50 and 30 of 100 times."""
    found: list[Evaluate] = []

    def evaluate(run: Path, library: Path, config: Evaluate, tell: Any) -> Any:
        found.append(config)
        return SimpleNamespace(total=Share.of((10, 60, 50, 30)[len(found) - 1], 100))

    monkeypatch.setattr(module, "evaluate", evaluate)
    return found


def run(out: Path, count: int, settings: Rl, said: list[str], last: int = 0) -> list[bool]:
    """Look `count` times, ten iterations apart; return whether success has fallen."""
    keeper, learner, found = Keeper(out, settings, last, said.append), Learner(policy(), settings), []
    with Log(out / "metrics.jsonl") as log:
        for number in range(last // 10, last // 10 + count):
            figures = keeper.look(learner, 10 * number)
            log.append({"step": 10 * number + 1, **figures})
            found.append(keeper.fallen(figures))
    return found


def test_the_best_is_kept_and_a_fall_is_told(tmp_path: Path, asked: list[Evaluate]) -> None:
    said: list[str] = []
    assert run(tmp_path, 4, config(out=tmp_path), said) == [False, False, False, True]
    assert read_config(tmp_path / "best" / "policy")["facts"]["iterations"] == 10
    assert "60%" in said[-1]
    assert "30%" in said[-1]
    assert str(tmp_path / "best") in said[-1]
    assert all(each.purpose == "selection" for each in asked)
    assert len({each.out for each in asked}) == 4
    assert all(not each.split and each.domain == "paper" and not each.set for each in asked)


def test_who_goes_on_knows_what_was_best(tmp_path: Path, asked: list[Evaluate]) -> None:
    assert run(tmp_path, 3, config(out=tmp_path), []) == [False] * 3
    assert run(tmp_path, 1, config(out=tmp_path), [], last=30) == [True]
    assert read_config(tmp_path / "best" / "policy")["facts"]["iterations"] == 10


def test_what_comes_again_is_not_counted(tmp_path: Path, asked: list[Evaluate]) -> None:
    run(tmp_path, 3, config(out=tmp_path), [])
    assert Keeper(tmp_path, config(out=tmp_path), 5, print).best == 0.1


def test_no_guard(tmp_path: Path, asked: list[Evaluate]) -> None:
    assert run(tmp_path, 4, replace(config(out=tmp_path), guard=0.0), []) == [False] * 4


def test_the_best_is_what_was_played_and_the_last_is_there_too(tmp_path: Path, asked: list[Evaluate]) -> None:
    settings, actor = config(out=tmp_path), policy()
    keeper, learner = Keeper(tmp_path, settings, 0, print), Learner(actor, settings)
    kept = []
    for iteration in range(3):
        with torch.no_grad():
            next(iter(actor.parameters())).add_(1.0)
        kept.append(next(iter(actor.parameters())).clone())
        keeper.look(learner, iteration)
    for name, number in (("policy", 2), ("best/policy", 1)):
        assert torch.equal(next(iter(load_policy(tmp_path / name).parameters())), kept[number])
    assert keeper.chosen == tmp_path / "best"


def test_a_run_that_is_not_looked_at_is_published(tmp_path: Path) -> None:
    settings = config(out=tmp_path, every=0)
    keeper = Keeper(tmp_path, settings, 0, print)
    assert keeper.look(Learner(policy(), settings), 3) == {}
    assert read_config(tmp_path / "policy")["facts"]["iterations"] == 3
    assert keeper.chosen == tmp_path


def test_a_run_is_done_when_its_last_look_is_logged(tmp_path: Path) -> None:
    settings = config(out=tmp_path, iterations=5)
    with Log(tmp_path / "metrics.jsonl") as log:
        log.append({"step": 5})
        assert not Keeper(tmp_path, settings, 5, print).done
        log.append({"step": 5, "done": 1})
    assert Keeper(tmp_path, settings, 5, print).done
    assert not Keeper(tmp_path, replace(settings, iterations=9), 5, print).done

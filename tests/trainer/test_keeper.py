"""The best policy is kept, and a fall is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainer import keeper as module
from trainer.checkpoint import read_config
from trainer.config import Evaluate, Rl
from trainer.keeper import Keeper
from trainer.metrics import Log, Share

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
    keeper, actor, found = Keeper(out, settings, last, said.append), policy(), []
    with Log(out / "metrics.jsonl") as log:
        for number in range(last // 10, last // 10 + count):
            figures = keeper.look(actor, 10 * number, {"iterations": 10 * number})
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


def test_who_goes_on_knows_what_was_best(tmp_path: Path, asked: list[Evaluate]) -> None:
    assert run(tmp_path, 3, config(out=tmp_path), []) == [False] * 3
    assert run(tmp_path, 1, config(out=tmp_path), [], last=30) == [True]
    assert read_config(tmp_path / "best" / "policy")["facts"]["iterations"] == 10


def test_what_comes_again_is_not_counted(tmp_path: Path, asked: list[Evaluate]) -> None:
    run(tmp_path, 3, config(out=tmp_path), [])
    assert Keeper(tmp_path, config(out=tmp_path), 5, print).best == 0.1


def test_no_guard(tmp_path: Path, asked: list[Evaluate]) -> None:
    assert run(tmp_path, 4, replace(config(out=tmp_path), guard=0.0), []) == [False] * 4

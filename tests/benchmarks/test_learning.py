"""Each row of the table is learned and judged as it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks import learning
from benchmarks.learning import Cell, Config
from trainer.config import Evaluate, Sft


@dataclass
class Seen:
    """What was asked for."""

    data: Path
    sft: Sft
    evaluate: Evaluate


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a cell with nothing learned and nothing played; return what was asked for."""
    config = Config(out=tmp_path, results=tmp_path / "cells")

    def make(cell: Cell) -> Seen:
        asked: list[Any] = []
        monkeypatch.setattr(learning, "sft", lambda data, config, tell: asked.extend((data, config)))
        monkeypatch.setattr(learning, "demonstrate", lambda library, config, tell: None)
        total = type("Share", (), {"successes": 1, "trials": 2})()

        def play(run: Path, library: Path, config: Evaluate, tell: Any) -> Any:
            asked.append(config)
            return type("Report", (), {"total": total})()

        monkeypatch.setattr(learning, "evaluate", play)
        monkeypatch.setattr(learning, "kept", lambda report: {})
        learning._made(config, "a base", cell)
        return Seen(*asked)

    return make


def test_every_row_is_learned_as_it_says(made: Any, tmp_path: Path) -> None:
    seen = {cell.name: made(cell) for cell in learning._cells(Config())}
    assert {one.evaluate for one in seen.values()} == {Evaluate(episodes=500, workers=1)}, "all from the same starts"
    for name, one in seen.items():
        assert one.sft.limit == int(name.split("-")[2])
        assert one.sft.policy == name.split("-")[0]
        assert one.sft.base == ("none" if "-none-" in name else "a base")
        assert one.sft.shuffle_instructions == name.endswith("shuffled")
        assert one.data == tmp_path / ("mended" if name.endswith("mended") else "data")
    whole, plain, shuffled = (seen[f"flow-base-3000{how}"].sft for how in ("", "-without-lessons", "-shuffled"))
    assert whole.library
    assert {**vars(shuffled), "out": 0, "shuffle_instructions": False} == {**vars(plain), "out": 0}
    assert {**vars(whole), "out": 0, "library": "", "workers": 0} == {**vars(plain), "out": 0, "workers": 0}
    for count in (1000, 3000):
        bare, base = (seen[f"flow-{start}-{count}"].sft for start in ("none", "base"))
        assert bare.steps == base.steps, "no fewer steps of the whole than with a base"
        assert not bare.library
        assert not bare.strange

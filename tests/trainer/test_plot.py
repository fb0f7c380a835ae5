"""Curves show what logs hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.errors import RunError
from trainer.metrics import Log
from trainer.plot import plot


def log(run: Path, figures: bool = True) -> Path:
    with Log(run / "metrics.jsonl") as lines:
        for step in range(1, 30):
            looked = {"looked": step - 1, "unseen": 0.2, "unseen low": 0.1, "unseen high": 0.3} if step % 5 == 1 else {}
            lines.append({"step": step, **({"success": step / 30, "kl": 0.01} if figures else {}), **looked})
    return run


def test_runs_beside_each_other(tmp_path: Path) -> None:
    plot([log(tmp_path / "one"), log(tmp_path / "two")], tmp_path / "deep" / "curves.png")
    drawn = np.asarray(Image.open(tmp_path / "deep" / "curves.png").convert("RGB"))
    assert drawn.shape[1] > 1000
    assert drawn.std() > 5


def test_a_log_without_curves(tmp_path: Path) -> None:
    with Log(tmp_path / "metrics.jsonl") as lines:
        lines.append({"step": 1, "loss": 1.0})
    with pytest.raises(RunError, match="hold none of unseen"):
        plot([tmp_path], tmp_path / "curves.png")


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"metrics\.jsonl"):
        plot([tmp_path], tmp_path / "curves.png")

"""Learning to see: labels become the right targets, figures count what they say, a killed run goes on exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer import checkpoint, fit, pretrain
from trainer.config import Pretrain
from trainer.pictures import Pictures
from trainer.policies.base import Sighted
from trainer.policies.vision import Seen, TrunkSettings
from trainer.records import Interface
from worldgen.sim.optics import CAMERA, on_table

SMALL = TrunkSettings(channels=16, blocks=1, width=32, slots=8, layers=1, heads=2)


ABOVE = np.array([0.3, 0, 0.5, 0, 1, 0, -1, 0, 0, 0.8], np.float32)
"""A camera that looks straight down."""
assert len(ABOVE) == CAMERA


def made(count: int = 24, seed: int = 0) -> Pictures:
    """Pictures of a bright square on grey, as a camera above a table sees it."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0.1, 0.9, (count, 3, 2, 2)).astype(np.float32)
    pixels[:] = pixels[:, :1]
    images = np.full((count, 1, 32, 32, 3), 90, np.uint8)
    for image, pixel in zip(images, pixels[:, 0, 0], strict=True):
        x, y = (pixel * 32).astype(int)
        image[0, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 250
    table = on_table(np.tile(ABOVE, (count, 1)), pixels.reshape(count, 6, 2)).reshape(count, 3, 2, 2)
    points = np.concatenate([table, np.zeros((count, 3, 2, 1))], axis=-1).astype(np.float32)
    sentences = np.array([["lift the mug", "lift the cup", "put the mug on the plate"]] * count)
    points[:, :2, 1] = np.nan
    return Pictures(
        images, rng.normal(size=(count, 7)).astype(np.float32), sentences, points,
        np.tile(ABOVE, (count, 1)), np.full((count, 3, 3), np.nan, np.float32),
    )  # fmt: skip


def net() -> Sighted:
    torch.manual_seed(0)
    return Sighted(Interface(size=32), SMALL)


def test_figures_are_those_of_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = made(40), net()
    data.rivals[:20, 0] = data.points[:20, 0, 0] + [0.05, 0, 0]
    off = np.where(np.arange(40) < 10, 0.04, 0.004)[:, None] * [1, 0, 0]  # ten answers are nearer to the rival
    answers = torch.from_numpy((data.points[:, 0, 0] + off).astype(np.float32))
    calls: list[int] = []

    def answer(seen: Seen) -> torch.Tensor:
        first, count = sum(calls), len(seen.tokens)
        calls.append(count)
        return answers[first : first + count, None].repeat(1, 2, 1)

    monkeypatch.setattr(model.where, "forward", answer)
    found = pretrain.measure(model, data)
    assert found.median_mm == pytest.approx(4, abs=1e-3)
    assert found.within_15_mm == pytest.approx(30 / 40)
    assert (found.pictures, found.rivals) == (40, 20)
    assert found.right_of_rivals == pytest.approx(10 / 20)


def test_it_learns_and_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_SAVE", 40)
    data, whole = made(), Pretrain(out=tmp_path / "whole", steps=80, batch=16, lr=3e-3)
    weights = pretrain._train(net(), data, whole, print)
    killed, saves = Pretrain(out=tmp_path / "killed", steps=80, batch=16, lr=3e-3), [0]
    save = checkpoint.save_training

    def once(*arguments: Any, **named: Any) -> None:
        save(*arguments, **named)
        saves[0] += 1
        if saves[0] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_training", once)
    with pytest.raises(KeyboardInterrupt):
        pretrain._train(net(), data, killed, print)
    again = pretrain._train(net(), data, killed, print)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    rows, which = np.arange(24), np.zeros((24, 1), int)
    before, model = float(pretrain._loss(net(), data, rows, which)[0].detach()), net()
    model.load_state_dict(weights)
    assert float(pretrain._loss(model, data, rows, which)[0].detach()) < 0.8 * before

"""The loop of training: its schedule, its running mean, whose folder it is."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer import fit
from trainer.errors import RunError
from trainer.metrics import read_log


def test_cosine_rises_and_falls() -> None:
    values = [fit.cosine(step, 1000) for step in range(1000)]
    assert values[0] == pytest.approx(1 / 30, rel=0.01)
    assert max(values) > 0.99
    assert values[-1] < 1e-4
    assert int(np.argmax(values)) in range(28, 33)


def test_running_mean_is_the_mean_that_its_decay_says() -> None:
    layer = torch.nn.Linear(2, 1)
    mean = {name: torch.zeros_like(value) for name, value in layer.state_dict().items()}
    for _ in range(10):
        fit.follow(mean, layer, 0.9)
    assert torch.allclose(mean["weight"], layer.weight * (1 - 0.9**10), atol=1e-6)


def line(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Linear(2, 1)


def train(net: torch.nn.Module, out: Path, steps: int = 50, stop: int = 10**9, peak: float = 0.1) -> list[str]:
    """Learn x + y, told two numbers; stop at a step as a kill would."""
    told: list[str] = []

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        if step == stop:
            raise KeyboardInterrupt
        data = torch.randn(16, 2, generator=torch.Generator().manual_seed(step))
        return ((net(data) - data.sum(dim=1, keepdim=True)) ** 2).mean(), {"step again": float(step)}

    out.mkdir(exist_ok=True)
    weights = fit.fit(net, [list(net.parameters())], loss, fit.Plan(steps, (peak,), 0.0, 0.9), out, told.append)
    net.load_state_dict(weights)
    return told


def test_it_learns_and_writes_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_TELL", 20)
    net = line()
    told = train(net, tmp_path, steps=200)
    assert isinstance(net, torch.nn.Linear)
    assert net.weight.detach().numpy() == pytest.approx(np.ones((1, 2)), abs=0.02)
    rows = read_log(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(20, 201, 20)) == [20 * (1 + n) for n in range(len(told))]
    assert rows[-1]["step again"] == 199
    assert rows[-1]["loss"] < 1e-3 < rows[0]["loss"]


@pytest.mark.parametrize("stop", [1, 10, 29])
def test_a_killed_run_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    monkeypatch.setattr(fit, "_SAVE", 10)
    whole, killed, again = line(), line(), line()
    train(whole, tmp_path / "whole", steps=30)
    with pytest.raises(KeyboardInterrupt):
        train(killed, tmp_path / "killed", steps=30, stop=stop)
    train(again, tmp_path / "killed", steps=30)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_gradient_that_is_no_number_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_TELL", 1)
    net, weights = line(), list[torch.Tensor]()

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        weights.append(next(net.parameters()).detach().clone())
        return net(torch.full((1, 2), float("nan") if step == 1 else 1.0)).sum(), {}

    fit.fit(net, [list(net.parameters())], loss, fit.Plan(4, (0.1,), 0.0, 0.9), tmp_path, lambda _: None)
    assert [torch.equal(one, two) for one, two in itertools.pairwise(weights)] == [False, True, False]
    assert [row.get("skipped") for row in read_log(tmp_path / "metrics.jsonl")] == [None, 1, 1, 1]


@pytest.mark.parametrize("steps", [4, 200])
def test_a_training_that_only_fails_is_given_up(tmp_path: Path, steps: int) -> None:
    net, done = line(), []

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        done.append(step)
        return net(torch.full((1, 2), float("inf"))).sum(), {}

    with pytest.raises(RunError, match=r"no finite gradient.*smaller learning rate"):
        fit.fit(net, [list(net.parameters())], loss, fit.Plan(steps, (0.1,), 0.0, 0.9), tmp_path, lambda _: None)
    assert len(done) == min(steps, fit._PATIENCE)

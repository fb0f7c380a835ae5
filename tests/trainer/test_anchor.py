"""Imitation beside reinforcement learning: exactly as much of it as was asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer.anchor import Anchor
from trainer.config import Anchored, Ppo, Rl
from trainer.dataset import read
from trainer.errors import DatasetError
from trainer.records import Interface
from trainer.rl import Learner

from .handmade import write
from .policies.handmade import FACE
from .reach import config, policy, rollout


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset of noise. Read only."""
    root = tmp_path_factory.mktemp("anchor") / "data"
    write(root, 4, face=FACE)
    return str(root)


def learned(settings: Rl, rounds: int = 1) -> tuple[list[torch.Tensor], dict[str, float]]:
    """Return the weights after an iteration on the same episodes, and the figures of it."""
    actor = policy()
    made = rollout(actor)
    figures: dict[str, float] = {}
    learner = Learner(actor, settings)
    for iteration in range(rounds):
        figures = learner.learn(made, iteration)
    return [value.detach().clone() for value in actor.parameters()], figures


def test_no_weight_is_no_anchor(data: str) -> None:
    """To the bit, random numbers and all."""
    plain, _ = learned(config())
    weightless, figures = learned(config(anchor=Anchored(data, weight=0.0)))
    assert all(torch.equal(one, two) for one, two in zip(plain, weightless, strict=True))
    assert "imitation" not in figures


@pytest.mark.parametrize("sight", [True, False])
def test_it_reaches_sight_only_where_that_learns(data: str, sight: bool) -> None:
    actor = policy()
    Anchor(Anchored(data), actor).loss(actor, torch.Generator().manual_seed(0), sight).backward()
    assert any(value.grad is not None for value in actor.sees()) == sight
    assert any(value.grad is not None for value in actor.decides())


def test_sight_stays_while_the_critic_warms_up(data: str) -> None:
    before = list(policy().parameters())
    after, _ = learned(config(algorithm=Ppo(warm=1), anchor=Anchored(data), trunk_lr=1e-3))
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


def test_the_gradient_is_the_sum_of_both(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step on one batch: g = g_rl + β g_sft."""
    found: dict[float, list[torch.Tensor]] = {}

    def note(loss: torch.Tensor, optimiser: torch.optim.Optimizer, net: torch.nn.Module) -> torch.Tensor:
        optimiser.zero_grad()
        loss.backward()
        if net is learner.policy:
            found[weight] = [torch.zeros_like(v) if v.grad is None else v.grad.clone() for v in net.parameters()]
        return torch.tensor(1.0)

    monkeypatch.setattr("trainer.rl.descend", note)
    monkeypatch.setattr("trainer.policies.vision._HALF", False)  # sums are rounded too coarsely there to be told apart
    for weight in (0.0, 0.5, 3.0):
        actor = policy()
        made = rollout(actor)
        learner = Learner(actor, config(epochs=1, batch=10_000, anchor=Anchored(data, weight, batch=8)))
        learner.learn(made, 0)
    both = [(half - none) / 0.5 for half, none in zip(found[0.5], found[0.0], strict=True)]
    more = [(three - none) / 3.0 for three, none in zip(found[3.0], found[0.0], strict=True)]
    assert sum(float(part.norm()) for part in both) > 0.1
    for one, two in zip(both, more, strict=True):
        assert torch.allclose(one, two, atol=2e-4, rtol=1e-3)


def test_what_is_imitated_is_not_forgotten(data: str) -> None:
    """Episodes pull elsewhere; the more the demonstrations weigh, the better they stay imitated."""
    missed = []
    for weight in (0.0, 3.0):
        actor = policy()
        actor.statistics.fit("action", read(Path(data)).action, 1e-3)
        made = rollout(actor)
        anchor = Anchored(data, weight, batch=32, shift=0, colour=0.0)
        learner = Learner(actor, config(lr=3e-3, epochs=8, anchor=anchor))
        learner.learn(made, 0)
        measure = Anchor(replace(anchor, weight=1.0, batch=64), actor)
        with torch.no_grad():
            missed.append(float(measure.loss(actor, torch.Generator().manual_seed(5))))
    assert missed[1] < 0.9 * missed[0], missed


def test_a_dataset_of_another_camera_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "data", 2, face=Interface(cameras=("robot/wrist",), size=FACE.size))
    with pytest.raises(DatasetError, match="camera"):
        Learner(policy(), config(anchor=Anchored(str(tmp_path / "data"))))

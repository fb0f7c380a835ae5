"""Losses of reinforcement learning: where gradients are zero, what masked rows may hold, parts against the whole."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trainer.losses import Clip, explained, policy_loss, value_loss

ALL = torch.ones(1, 1)


def slope(ratio: float, advantage: float, clip: Clip) -> float:
    """Return the derivative of the loss by the log-density at a ratio."""
    new = torch.tensor([math.log(ratio) / clip.power], dtype=torch.float64, requires_grad=True)
    policy_loss(new[:, None], torch.zeros(1, 1, dtype=torch.float64), torch.tensor([advantage]), ALL, clip)[
        0
    ].backward()
    assert new.grad is not None
    return float(new.grad)


@pytest.mark.parametrize("power", [1.0, 0.25])
def test_where_the_gradient_is_zero(power: float) -> None:
    clip = Clip(0.2, 0.28, 3.0, power)
    for ratio, advantage, moves in [
        (1.27, 1.0, True), (1.29, 1.0, False), (0.5, 1.0, True),
        (0.81, -1.0, True), (0.79, -1.0, False), (2.9, -1.0, True), (3.1, -1.0, False), (3.1, 1.0, False),
    ]:  # fmt: skip
        found = slope(ratio, advantage, clip)
        assert found == pytest.approx(-power * ratio * advantage if moves else 0.0, abs=1e-6), (ratio, advantage)


def test_nothing_moved() -> None:
    same = torch.randn(50, 2)
    loss, parts = policy_loss(same, same, torch.randn(50), torch.ones(50, 2), Clip())
    assert (parts["kl"], parts["clipped"], parts["ratio"]) == (0, 0, pytest.approx(1))
    assert loss.isfinite()


def test_figures_by_hand() -> None:
    new = torch.tensor([math.log(1.5), math.log(0.5), 0.0, 9.0])
    gain, weight = torch.tensor([1.0, -1.0, 2.0, 1.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    loss, parts = policy_loss(new[:, None], torch.zeros(4, 1), gain, weight[:, None], Clip(0.2, 0.2))
    assert float(loss) == pytest.approx(-(1.2 - 0.8 + 2.0) / 3)
    assert parts["clipped"] == pytest.approx(2 / 3)
    assert parts["ratio"] == pytest.approx(1.0)
    assert parts["kl"] == pytest.approx((math.log(1.5) ** 2 + math.log(0.5) ** 2) / 6, abs=1e-6)


def test_one_decision_that_became_another_is_not_all_of_the_divergence() -> None:
    new = torch.full((100, 1), 0.1)
    new[7] = -40.0
    _, parts = policy_loss(new, torch.zeros(100, 1), torch.ones(100), torch.ones(100, 1), Clip(0.2, 0.2))
    assert parts["kl"] == pytest.approx((99 * 0.1**2 / 2 + 1) / 100)


def test_parts_of_a_decision_are_clipped_apart_and_diverge_together() -> None:
    new = torch.tensor([[math.log(1.5), math.log(1.1)]], requires_grad=True)
    loss, parts = policy_loss(new, torch.zeros(1, 2), torch.ones(1), torch.ones(1, 2), Clip(0.2, 0.2))
    loss.backward()
    assert float(loss) == pytest.approx(-(1.2 + 1.1) / 2)
    assert new.grad is not None
    assert new.grad[0].tolist() == pytest.approx([0, -0.55])
    assert parts["clipped"] == 0.5
    assert parts["kl"] == pytest.approx(math.log(1.5 * 1.1) ** 2 / 2)


def test_masked_rows_may_hold_anything() -> None:
    valid = torch.tensor([True, False, True])

    def both(junk: float) -> list[Tensor]:
        new = torch.tensor([0.1, junk, -0.2], requires_grad=True)
        value = torch.tensor([0.5, junk, 0.1], requires_grad=True)
        other = torch.tensor([0.0, junk, 0.0])
        gain, weight = torch.tensor([1.0, junk, -1.0]), valid.float()[:, None]
        loss = policy_loss(new[:, None], other[:, None], gain, weight, Clip())[0]
        loss = loss + value_loss(value, other, torch.tensor([1.0, junk, 0.3]), valid, 0.2)[0]
        loss.backward()
        assert new.grad is not None
        assert value.grad is not None
        return [loss.detach(), new.grad, value.grad]

    for plain, spoilt in zip(both(0.0), both(float("nan")), strict=True):
        assert torch.equal(plain, spoilt)


def test_parts_add_up_to_the_whole() -> None:
    torch.manual_seed(0)
    new, old, gain, weight = torch.randn(60, 3), torch.randn(60, 3), torch.randn(60), torch.rand(60, 3)
    whole = policy_loss(new, old, gain, weight, Clip())[0]
    parts = [
        policy_loss(new[r], old[r], gain[r], weight[r], Clip())[0] * weight[r].sum() / weight.sum()
        for r in torch.arange(60).split(17)
    ]
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-5)


def test_nobody_counts() -> None:
    none, some = torch.zeros(3, dtype=torch.bool), torch.randn(3)
    assert float(policy_loss(some[:, None], some[:, None], some, none.float()[:, None], Clip())[0]) == 0
    assert float(value_loss(some, some, some, none, 0.2)[0]) == 0


class TestValues:
    def test_a_value_that_ran_away_is_held(self) -> None:
        """Clipping takes the gradient where moving by the clip alone would still be worse."""
        old, target = torch.zeros(2), torch.tensor([1.0, 1.0])
        new = torch.tensor([0.5, 0.1], requires_grad=True)
        loss, moved = value_loss(new, old, target, torch.ones(2, dtype=torch.bool), 0.2)
        loss.backward()
        assert new.grad is not None
        assert moved == 0.5
        assert float(new.grad[0]) == 0
        assert float(new.grad[1]) == pytest.approx(-0.9 / 2)

    def test_explained(self) -> None:
        target = torch.randn(100)
        assert explained(target, target) == pytest.approx(1)
        assert explained(torch.zeros(100), target) == pytest.approx(0)
        assert explained(target, torch.ones(100)) == 0

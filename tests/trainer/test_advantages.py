"""Advantages against their definitions: sums over whole episodes, Monte Carlo, temporal differences, groups by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer.advantages import Decided, among, gae, normalised

CHUNK = 4


def decided(seed: int, lengths: list[int]) -> tuple[Decided, NDArray[np.float64], NDArray[np.float64]]:
    """Return random decisions of episodes of some lengths, values and final values."""
    rng, count = np.random.default_rng(seed), sum(lengths)
    last = np.zeros(count, bool)
    last[np.cumsum(lengths) - 1] = True
    return (
        Decided(
            rng.normal(size=(count, CHUNK)), rng.integers(0, CHUNK + 1, count), last, last & (rng.random(count) < 0.5)
        ),
        rng.normal(size=count),
        rng.normal(size=count),
    )


def by_definition(
    made: Decided, values: NDArray[np.float64], final: NDArray[np.float64], discount: float, trace: float
) -> NDArray[np.float64]:
    """Return Σ_l (Π γ^n λ) δ, each sum over the rest of the episode anew."""
    found = []
    for start in range(len(values)):
        total, factor, index = 0.0, 1.0, start
        while True:
            paid = sum(discount**j * made.rewards[index, j] for j in range(made.steps[index]))
            if made.terminated[index]:
                after = 0.0
            else:
                after = final[index] if made.last[index] else values[index + 1]
            total += factor * (paid + discount ** made.steps[index] * after - values[index])
            if made.last[index]:
                break
            factor *= discount ** made.steps[index] * trace
            index += 1
        found.append(total)
    return np.array(found)


lengths = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@given(st.integers(0, 10**6), lengths, st.floats(0.5, 1), st.floats(0, 1))
def test_against_the_definition(seed: int, each: list[int], discount: float, trace: float) -> None:
    made, values, final = decided(seed, each)
    advantages, targets = gae(made, values, final, discount, trace)
    assert advantages == pytest.approx(by_definition(made, values, final, discount, trace), abs=1e-9)
    assert targets == pytest.approx(advantages + values)


@given(st.integers(0, 10**6), lengths)
def test_ends_of_lambda(seed: int, each: list[int]) -> None:
    """0: one temporal difference; 1: all that was paid, less the value."""
    made, values, final = decided(seed, each)
    first = 0
    for length in each:
        rows = slice(first, first + length)
        tail = 0.0 if made.terminated[rows][-1] else final[rows][-1]
        for index in range(first + length - 1, first - 1, -1):
            paid = made.paid(0.9)[index]
            tail = paid + 0.9 ** made.steps[index] * tail
            assert gae(made, values, final, 0.9, 1.0)[1][index] == pytest.approx(tail)
        first += length
    one = gae(made, values, final, 0.9, 0.0)[0]
    after = np.where(made.last, np.where(made.terminated, 0, final), np.append(values[1:], 0))
    assert one == pytest.approx(made.paid(0.9) + 0.9**made.steps * after - values)


def test_the_length_of_a_chunk_changes_nothing_where_decisions_meet() -> None:
    """The same 12 rewards, decided in chunks of 1, 2 and 4, with a critic that is exact at each decision."""
    rewards, discount, rng = np.arange(12.0) ** 1.5, 0.95, np.random.default_rng(0)
    worth = np.array([sum(discount**j * rewards[i + j] for j in range(12 - i)) for i in range(12)]) + rng.normal()
    found = {}
    for chunk in (1, 2, 4):
        count = 12 // chunk
        last = np.arange(count) == count - 1
        made = Decided(rewards.reshape(count, chunk), np.full(count, chunk), last, last)
        found[chunk] = gae(made, worth[::chunk], np.zeros(count), discount, 1.0)[0]
    assert found[2] == pytest.approx(found[1][::2])
    assert found[4] == pytest.approx(found[1][::4])


def test_what_was_not_executed_is_not_paid() -> None:
    made, values, final = decided(3, [4, 2])
    spoilt = made.rewards.copy()
    spoilt[np.arange(CHUNK) >= made.steps[:, None]] = np.nan
    again = Decided(spoilt, made.steps, made.last, made.terminated)
    assert np.array_equal(gae(made, values, final, 0.9, 0.9)[0], gae(again, values, final, 0.9, 0.9)[0])


def test_episodes_do_not_touch() -> None:
    made, values, final = decided(4, [3, 4])
    whole = gae(made, values, final, 0.9, 0.9)[0]
    for rows in (slice(0, 3), slice(3, 7)):
        part = Decided(made.rewards[rows], made.steps[rows], made.last[rows], made.terminated[rows])
        assert gae(part, values[rows], final[rows], 0.9, 0.9)[0] == pytest.approx(whole[rows])
    assert made.episodes().tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_nonsense_is_refused() -> None:
    ends, none = np.array([False, True]), np.zeros(2, bool)
    with pytest.raises(ValueError, match="last decision"):
        Decided(np.zeros((2, 1)), np.ones(2, int), none, none)
    with pytest.raises(ValueError, match="last decision"):
        Decided(np.zeros((2, 1)), np.ones(2, int), ends, ~ends)
    with pytest.raises(ValueError, match="0 to 1"):
        Decided(np.zeros((2, 1)), np.array([1, 2]), ends, ends)


class TestGroups:
    @given(st.integers(0, 10**6), st.integers(2, 6), st.integers(2, 8))
    def test_mean_spread_order_and_units(self, seed: int, groups: int, size: int) -> None:
        rng = np.random.default_rng(seed)
        group, scores = np.repeat(np.arange(groups), size), rng.normal(size=groups * size)
        found, mixed = among(scores, group)
        assert mixed.all()
        each = found.reshape(groups, size)
        assert each.mean(axis=1) == pytest.approx(0, abs=1e-9)
        assert each.std(axis=1, ddof=1) == pytest.approx(1, abs=1e-3)
        order = rng.permutation(len(scores))
        assert among(scores[order], group[order])[0] == pytest.approx(found[order])
        assert among(3 * scores + 5, group)[0] == pytest.approx(found, abs=1e-3)
        assert among(3 * scores + 5, group, spread=False)[0] == pytest.approx(3 * among(scores, group, spread=False)[0])

    def test_equal_scores_tell_nothing(self) -> None:
        found, mixed = among(np.array([1.0, 1, 1, 0, 1, 0]), np.array([0, 0, 0, 1, 1, 1]))
        assert found[:3].tolist() == [0, 0, 0]
        assert mixed.tolist() == [False] * 3 + [True] * 3
        assert found[4] > 0 > found[3] == found[5]


def test_normalised_over_all_that_is_valid() -> None:
    rng = np.random.default_rng(0)
    values, valid = rng.normal(3, 5, 100), rng.random(100) < 0.7
    values[~valid] = np.nan
    found = normalised(values, valid)
    assert found[valid].mean() == pytest.approx(0, abs=1e-9)
    assert found[valid].std() == pytest.approx(1, abs=1e-4)
    assert not found[~valid].any()
    assert not normalised(values, np.zeros(100, bool)).any()

"""Intervals against the literature, scipy and simulation; the log against kills."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trainer.errors import RunError
from trainer.metrics import (
    Log,
    Mean,
    Median,
    Paired,
    Share,
    design_effect,
    mcnemar,
    mean_interval,
    plain,
    read_log,
    wilson,
)


def paired(both: int, only_first: int, only_second: int, neither: int) -> Paired:
    pairs = [(True, True)] * both + [(True, False)] * only_first + [(False, True)] * only_second
    pairs += [(False, False)] * neither
    return mcnemar([one for one, _ in pairs], [two for _, two in pairs])


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(successes: int, trials: int, low: float, high: float) -> None:
    """Table I, method 3 of Newcombe (1998), Statistics in Medicine 17:857."""
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@settings(max_examples=40)
@given(st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_against_scipy(counts: tuple[int, int]) -> None:
    expected = stats.binomtest(*counts, p=0.5).proportion_ci(method="wilson")
    assert wilson(*counts) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= wilson(*counts)[0] <= counts[0] / counts[1] <= wilson(*counts)[1] <= 1


def test_wilson_at_the_edges() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0
    for wrong in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="successes of"):
            wilson(*wrong)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_against_all_outcomes(only_first: int, only_second: int) -> None:
    total = only_first + only_second
    extreme = abs(only_first - total / 2)
    likely = [math.comb(total, k) for k in range(total + 1) if abs(k - total / 2) >= extreme]
    assert paired(3, only_first, only_second, 2).p_value == pytest.approx(sum(likely) / 2**total)


def test_mcnemar_against_scipy() -> None:
    assert paired(10, 12, 3, 40).p_value == pytest.approx(stats.binomtest(3, 15, 0.5).pvalue)


@pytest.mark.parametrize(
    ("table", "low", "high"), [((36, 12, 2, 0), 5.69, 34.04), ((1, 1, 7, 12), -50.7, -2.6), ((0, 0, 0, 9), -29.9, 29.9)]
)
def test_difference_as_published(table: tuple[int, int, int, int], low: float, high: float) -> None:
    """Method 10 of Newcombe (1998), Statistics in Medicine 17:2635; Fagerland et al. (2014), same 33:2850.

    The last by hand: without a correlation the two Wilson margins of 0 of 9, 0 and 0.2991, are squared and added.
    """
    found = paired(*table)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05)
    assert found.difference == pytest.approx(100 * (table[1] - table[2]) / sum(table))


@given(st.tuples(*[st.integers(0, 30)] * 4))
def test_difference_is_antisymmetric_and_inside(table: tuple[int, int, int, int]) -> None:
    both, one, two, neither = table
    found, turned = paired(*table), paired(both, two, one, neither)
    assert -100 <= found.low <= found.difference <= found.high <= 100
    assert (found.low, found.high) == pytest.approx((-turned.high, -turned.low))
    assert found.p_value == turned.p_value
    assert (found.both, found.only_first, found.only_second, found.neither, found.pairs) == (*table, sum(table))


def test_nothing_and_unequal_lengths() -> None:
    nothing = mcnemar([], [])
    assert (nothing.difference, nothing.low, nothing.high, nothing.p_value) == (0, -100, 100, 1)
    with pytest.raises(ValueError, match="shorter"):
        mcnemar([True], [])


def test_intervals_hold_what_they_promise() -> None:
    """95 % of seeded simulations, within what 2000 of them can tell."""
    rng = np.random.default_rng(0)
    cells = np.array([0.4, 0.2, 0.1, 0.3])
    tables = rng.multinomial(60, cells, size=2000)
    held = [found.low <= 10 <= found.high for found in (paired(*map(int, table)) for table in tables)]
    true = rng.random(2000)  # at a single rate the steps of the binomial distribution make it up to 2 % more or less
    rates = [wilson(int(count), 60) for count in rng.binomial(60, true)]
    means = [mean_interval(values) for values in rng.normal(5, 2, (2000, 8))]
    assert 0.935 < np.mean(held) < 0.975
    assert 0.935 < np.mean([low <= rate <= high for rate, (low, high) in zip(true, rates, strict=True)]) < 0.975
    assert 0.935 < np.mean([low <= 5 <= high for _, low, high in means]) < 0.965


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 1)), max_size=11))
def test_signs_of_scenes_against_all_of_them(rows: list[tuple[int, int]]) -> None:
    first, second = ([ahead == sign for _, ahead in rows] for sign in (1, -1))
    found = mcnemar(first, second, [scene for scene, _ in rows])
    sums = [sum(ahead for other, ahead in rows if other == scene) for scene in {scene for scene, _ in rows}]
    totals = [
        sum(map(math.prod, zip(signs, sums, strict=True))) for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    assert found.p_value == pytest.approx(np.mean([abs(total) >= abs(sum(sums)) for total in totals]))


def test_trials_that_share_scenes_tell_less() -> None:
    """Scenes that are always or never solved: what counts is their number."""
    outcomes, scenes = np.repeat([True, False], 50).tolist(), np.repeat(np.arange(20), 5).tolist()
    share = Share.over(outcomes, scenes)
    assert design_effect(outcomes, scenes) == pytest.approx(5 * (99 / 100) / (19 / 20))
    assert (share.low, share.high) == pytest.approx(wilson(10, 20), abs=0.01)
    assert share.words()[2] == "50 of 100 in 20 scenes"
    assert Share.over(outcomes, range(100)) == Share.of(50, 100)
    assert Share.over([True] * 4, [0, 0, 1, 1]).high == 1
    assert Share.over([], []) == Share.of(0, 0)
    assert design_effect([1, 0, 1, 0], [0] * 4) == 1


def test_intervals_hold_what_they_promise_with_few_scenes() -> None:
    """Scenes of different difficulty, each played five times."""
    rng, held, alone, ties = np.random.default_rng(0), [], [], []
    for _ in range(1000):
        rates = rng.beta(1, 1, 40).repeat(5)
        one, two = (
            (rng.random(200) < rates).tolist(),
            (rng.random(200) < rng.permutation(rates[::5]).repeat(5)).tolist(),
        )
        scenes = np.arange(40).repeat(5).tolist()
        share, bare = Share.over(one, scenes), Share.of(sum(one), 200)
        held.append(share.low <= 0.5 <= share.high)
        alone.append(bare.low <= 0.5 <= bare.high)
        ties.append(mcnemar(one, two, scenes).p_value < 0.05)
    assert 0.92 < np.mean(held) < 0.97
    assert np.mean(alone) < 0.85, "what this is for"
    assert np.mean(ties) < 0.07


def test_a_mean_of_values_that_come_in_equal_pairs_is_as_sure_as_that_of_half_of_them() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400).tolist()
    alone, pairs = Mean.of(values), Mean.of([*values, *values], [*range(400), *range(400)])
    assert alone.low is not None
    assert pairs.low is not None
    assert pairs.mean == pytest.approx(alone.mean)
    assert pairs.low == pytest.approx(alone.low, abs=0.01)
    assert Mean.of(values, range(400)) == alone


def test_the_interval_of_a_median_holds_it_as_often_as_it_says_also_where_values_share_scenes() -> None:
    rng, holds = np.random.default_rng(0), 0
    for _ in range(200):
        scenes = rng.normal(0, 1, 30).repeat(8)
        found = Median.over((scenes + rng.normal(0, 0.3, 240)).tolist(), np.arange(30).repeat(8).tolist())
        assert found.low is not None
        assert found.high is not None
        holds += found.low <= 0 <= found.high
    assert 0.88 < holds / 200 < 0.99
    assert (found.values, found.groups) == (240, 30)
    assert Median.over([], []) == Median()
    assert Median.over([1.0, 2.0, 4.0], "aab").median == 2


def test_mean_interval_against_scipy() -> None:
    values = [1.0, 2.5, 2.0, 7.0]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx((np.mean(values), low, high))


def test_too_few_values_for_an_interval() -> None:
    assert all(map(math.isnan, mean_interval([])))
    mean, low, high = mean_interval([3.0])
    assert mean == 3.0
    assert math.isnan(low)
    assert math.isnan(high)
    assert Mean.of([]) == Mean()
    assert Mean.of([3.0]) == Mean(mean=3.0)


def test_words() -> None:
    assert Share.of(199, 200).words() == ("99.5 %", "97 to 99.9 %", "199 of 200")
    assert Share.of(0, 0).words() == ("-", "no valid trial", "0 of 0")
    assert Share.of(0, 0).rate == 0
    assert Mean().words("s") == "-"
    assert Mean.of([2.0]).words("s") == "2.0 s"
    assert Mean.of([2.0, 3.0]).words("s") == "2.5 s (-3.9 to 8.9)"
    assert paired(0, 20, 0, 0).words() == (
        "Better than the other run",
        "+100.0 points, 95 % interval +77.2 to +100.0; exact sign-flip test by scene p < 0.001; 20 shared starts, 0 left out",
    )
    assert paired(0, 0, 20, 0).words()[0] == "Worse than the other run"
    assert paired(5, 3, 2, 5).words()[0] == "No clear difference from the other run"


def test_few_scenes_are_told() -> None:
    assert Share.over([True, False], "aa").words()[2] == "1 of 2 in one scene, which says nothing of others"
    five, six = (mcnemar([True] * 12, [False] * 12, [index % count for index in range(12)]) for count in (5, 6))
    assert five.p_value > 0.05 > six.p_value
    assert "12 shared starts in 5 scenes, too few for a clear difference, 0 left out" in five.words()[1]
    assert "12 shared starts, 0 left out" in six.words()[1]


def test_plain_values() -> None:
    value = {"a": np.float32(0.5), "b": (np.arange(2), math.inf), 3: {"c": [math.nan, True, None, Path("x")]}}
    assert plain(value) == {"a": 0.5, "b": [[0, 1], None], "3": {"c": [None, True, None, "x"]}}
    assert plain(np.bool_(True)) is True


def test_log_is_out_at_once_and_has_finite_numbers(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    log = Log(path)
    log.append({"step": 1, "loss": math.nan, "rate": np.float64(0.25), "note": "größer\n"})
    assert read_log(path) == [{"step": 1, "loss": None, "rate": 0.25, "note": "größer\n"}]
    assert path.read_bytes().count(b"\n") == 1
    log.close()
    log.close()


@pytest.mark.parametrize("torn", [b'{"step": 3, "lo', b'{"step": 3}', b"\xff\x00"])
def test_torn_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    with Log(path) as log:
        log.append({"step": 1})
        log.append({"step": 2})
    path.write_bytes(path.read_bytes() + torn)
    assert read_log(path) == [{"step": 1}, {"step": 2}]
    with Log(path) as log:
        log.append({"step": 4})
    assert [line["step"] for line in read_log(path)] == [1, 2, 4]


@pytest.mark.parametrize("last", [0, 2, 3, 9, None])
def test_a_resumed_run_writes_no_step_twice(tmp_path: Path, last: int | None) -> None:
    path = tmp_path / "metrics.jsonl"
    with Log(path) as log:
        log.append({"note": "begun"})
        for step in range(1, 6):
            log.append({"loss": 0.5, "step": step})
    with Log(path, last=last) as log:
        log.append({"step": 7})
    steps = [line.get("step") for line in read_log(path)]
    assert steps == [None, *range(1, 1 + min(5, 5 if last is None else last)), 7]


def test_file_with_nothing_but_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"st')
    with Log(path):
        pass
    assert path.read_bytes() == b""
    assert read_log(path) == []


def test_damaged_and_missing_logs_are_told(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(RunError, match="cannot be read"):
        read_log(path)
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(RunError, match="line 2"):
        read_log(path)
    path.write_text("[1]\n")
    with pytest.raises(RunError, match="line 1: no object"):
        read_log(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        Log(tmp_path / "file" / "metrics.jsonl")


def test_tensorboard_mirror(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    with Log(tmp_path / "metrics.jsonl", tmp_path / "board") as log:
        log.append({"step": 7, "loss": 0.5, "note": "text", "bad": math.inf, "on": True})
        log.append({"loss": 2})
    (file,) = (tmp_path / "board").iterdir()
    events = [event for event in EventFileLoader(str(file)).Load() if event.summary.value]
    shown = [(event.step, value.tag, value.tensor.float_val[0]) for event in events for value in event.summary.value]
    assert shown == [(7, "loss", 0.5), (0, "loss", 2.0)]


def test_missing_tensorboard_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(RunError, match="not installed"):
        Log(tmp_path / "metrics.jsonl", tmp_path / "board")


def test_lines_are_plain_json(tmp_path: Path) -> None:
    with Log(tmp_path / "metrics.jsonl") as log:
        log.append({"a": [1, 2.5], "b": {"c": -math.inf}})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"a": [1, 2.5], "b": {"c": None}}

"""What cells of tables keep of an evaluation, and what is said of several of them."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.cells import apart, gained, kept, pooled, rates, seconds, words
from trainer.metrics import Share
from trainer.records import Played
from trainer.report import Report, Seeds, summarise


def report(ends: dict[str, str]) -> Report:
    """Return the report of episodes: scene → the first letters of their ends."""
    said = {"s": "success", "t": "timeout", "i": "invalid"}
    played = [
        Played(
            scene,
            seed,
            "unseen-objects",
            "stack",
            "mug",
            "lift it",
            said[end],
            "" if end == "s" else "timed out",
            2.0 + seed,
            3,
        )
        for scene, letters in ends.items()
        for seed, end in enumerate(letters)
    ]
    return summarise(played, run="run", library="library", digest="0" * 64, splits=("unseen-objects",), policy={}, domain={},
        sampler="Zero(steps=4)", seeds=Seeds(purpose="report", first=0, last=9))  # fmt: skip


ONE, TWO = {"a": "sst", "b": "ti", "c": "tt"}, {"a": "sss", "b": "st", "c": "it"}


def test_a_cell_keeps_what_its_report_says() -> None:
    whole = report(ONE)
    cell = kept(whole)
    assert (cell["successes"], cell["trials"], cell["seconds"]) == (2, 6, whole.seconds.mean)
    assert cell["scenes"] == {"a": [2, 3], "b": [0, 1], "c": [0, 2]}
    assert pooled([cell]) == whole.total
    assert cell["splits"] == {"unseen-objects": [2, 6]}
    assert cell["failures"] == {"timed out": 4}


def test_runs_are_pooled_start_by_start() -> None:
    cells: list[dict[str, Any]] = [kept(report(ends)) for ends in (ONE, TWO)]
    outcomes = [True, True, False, False, False, False, True, True, True, True, False, False]
    assert pooled(cells) == Share.over(outcomes, [*"aaabcc", *"aaabbc"])
    assert rates(cells) == pytest.approx([100 * 2 / 6, 100 * 4 / 6])
    assert words(cells).startswith("50.0 % (")
    assert words(cells).endswith("runs 33.3 to 66.7")
    assert "runs" not in words(cells[:1])


def test_seconds_of_runs_that_had_successes() -> None:
    never = kept(report({"a": "tt"}))
    assert seconds([never]) == "-"
    assert seconds([never, kept(report(ONE))]) == "2.5"


def test_differences_of_runs() -> None:
    one, two = kept(report(ONE)), kept(report(TWO))
    told = "+27.8 points (-35.5 to +91.0)"
    assert gained([two], [one]) == gained([two, two], [one]) == told, "1/3, 1/2 and 0 of scenes"
    assert gained([one], [one]) == "+0.0 points (+0.0 to +0.0)"
    many, few = (kept(report({f"{index}": ends for index in range(100)})) for ends in ("st", "tt"))
    assert apart([many], [many]) == "+0.0 points (-9.7 to +9.7)"
    assert apart([many], [few]).startswith("+50.0 points (+4")

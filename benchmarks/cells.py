"""Cells of a table that takes hours: each is made by one process of one thread, several side by side, and kept as a small JSON file.

Two processes of one thread are quicker than one after the other with two.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from trainer.metrics import Share, mean_interval
from trainer.play import Course
from trainer.report import Report
from worldgen.store import write_file

Tell = Callable[[str], None]


def tell(line: str) -> None:
    """Print a line about the progress."""
    print(line, file=sys.stderr, flush=True)


def side_by_side(work: Callable[..., str], jobs: Sequence[tuple[Any, ...]], workers: int) -> None:
    """Call `work` for each job, several at once, and say what they say. Nothing more is begun after one has failed or somebody stopped it."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            for done in as_completed([pool.submit(work, *job) for job in jobs]):
                tell(done.result())
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def logged(path: Path) -> Iterator[Tell]:
    """Give what takes lines about the progress of a cell, into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as log:
        yield lambda line: print(line, file=log, flush=True)


def save(path: Path, cell: dict[str, Any]) -> None:
    """Write a cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(cell, indent=1) + "\n")


def kept(report: Report) -> dict[str, Any]:
    """Return what a cell keeps of an evaluation: successes and trials, of each split, family and scene too, what failed, and seconds to success."""
    scenes: dict[str, list[int]] = {}
    for one in report.episodes:
        if one.end != "invalid":
            solved, played = scenes.get(one.scene, (0, 0))
            scenes[one.scene] = [solved + (one.end == "success"), played + 1]
    splits, families = (
        {name: [share.successes, share.trials] for name, share in by.items()}
        for by in (report.by_split, report.by_family)
    )
    return {
        "successes": report.total.successes,
        "trials": report.total.trials,
        "seconds": report.seconds.mean,
        "splits": splits,
        "families": families,
        "failures": report.failures,
        "scenes": scenes,
    }


def pooled(several: Sequence[dict[str, Any]]) -> Share:
    """Return the share of successes of all that was kept of several runs; its interval knows that starts share scenes, not that runs differ."""
    outcomes, scenes = list[bool](), list[str]()
    for one in several:
        for scene, (solved, played) in one["scenes"].items():
            outcomes += [index < solved for index in range(played)]
            scenes += [scene] * played
    return Share.over(outcomes, scenes)


def apart(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> str:
    """Return in words how far runs on some scenes are from runs on others [points]: by both intervals (MOVER; Newcombe 1998, Stat. Med. 17:873)."""
    one, two = pooled(first), pooled(second)
    difference = one.rate - two.rate
    low = difference - math.hypot(one.rate - one.low, two.high - two.rate)
    high = difference + math.hypot(one.high - one.rate, two.rate - two.low)
    return f"{100 * difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"


def gained(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> str:
    """Return in words how far runs are from others on the same scenes [points]: the mean over scenes of the difference of their rates."""
    one, two = _by_scene(first), _by_scene(second)
    mean, low, high = mean_interval([100 * (one[scene] - two[scene]) for scene in sorted(one.keys() & two.keys())])
    return f"{mean:+.1f} points ({low:+.1f} to {high:+.1f})"


def _by_scene(several: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the share of successes in each scene, of all runs."""
    found: dict[str, list[int]] = {}
    for one in several:
        for scene, (won, played) in one["scenes"].items():
            before = found.get(scene, [0, 0])
            found[scene] = [before[0] + won, before[1] + played]
    return {scene: won / played for scene, (won, played) in found.items()}


def solved(courses: Iterable[Course]) -> Share:
    """Return the share of episodes that succeeded, without invalid ones; its interval knows that starts share scenes."""
    valid = [course for course in courses if course.end != "invalid"]
    return Share.over([course.end == "success" for course in valid], [course.start.scene for course in valid])


def rates(several: Sequence[dict[str, Any]]) -> list[float]:
    """Return the share of successes of each of several runs [%]."""
    return [100 * one["successes"] / one["trials"] for one in several]


def seconds(several: Sequence[dict[str, Any]]) -> str:
    """Return the mean seconds to success of several runs in words."""
    known = [one["seconds"] for one in several if one["seconds"]]
    return f"{sum(known) / len(known):.1f}" if known else "-"


def words(several: Sequence[dict[str, Any]]) -> str:
    """Return that share in words, and of several runs the least and the greatest."""
    share, each = pooled(several), rates(several)
    told = f"{100 * share.rate:.1f} % ({100 * share.low:.0f} to {100 * share.high:.0f})"
    return told + (f"; runs {min(each):.1f} to {max(each):.1f}" if len(several) > 1 else "")

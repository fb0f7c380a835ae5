"""Rates and means with intervals, a paired test, a log of JSON lines. Knows neither policies nor torch."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from worldgen.shapes import Strict

from .errors import RunError

Z = float(special.ndtri(0.975))
"""Two-sided 95 % point of the normal distribution."""


_DRAWS = 1000
"""Of a bootstrap."""
_CLEAR = 6
"""Least groups whose signs can tell anything at the 5 % level: all of one sign has a chance of 2 / 2^6."""


class Share(Strict):
    """Successes of so many trials; invalid episodes are none."""

    successes: int
    trials: int
    low: float
    """Lower end of the 95 % interval, 0 … 1."""
    high: float
    """Upper end of the 95 % interval, 0 … 1."""
    groups: int = 0
    """Scenes that the trials share; 0 where each has its own. The interval knows that those of a scene are alike."""

    @property
    def rate(self) -> float:
        """Successes per trial, 0 … 1; 0 for no trials."""
        return self.successes / self.trials if self.trials else 0.0

    @classmethod
    def of(cls, successes: int, trials: int) -> Share:
        """Return the share with its interval."""
        low, high = wilson(successes, trials)
        return cls(successes=successes, trials=trials, low=low, high=high)

    @classmethod
    def over(cls, outcomes: Sequence[bool], groups: Sequence[Hashable]) -> Share:
        """Return the share of successes among trials, given which of them share a scene."""
        low, high = wilson(sum(outcomes), len(outcomes), design_effect(outcomes, groups))
        count = len(set(groups))
        shared = count if count < len(outcomes) else 0
        return cls(successes=sum(outcomes), trials=len(outcomes), low=low, high=high, groups=shared)

    def words(self) -> tuple[str, str, str]:
        """Return the rate, its interval and the counts in words."""
        many = {0: "", 1: " in one scene, which says nothing of others"}
        counts = f"{self.successes} of {self.trials}" + many.get(self.groups, f" in {self.groups} scenes")
        if not self.trials:
            return "-", "no valid trial", counts
        return f"{_percent(self.rate)} %", f"{_percent(self.low)} to {_percent(self.high)} %", counts


def _percent(share: float) -> str:
    text = f"{100 * share:.0f}"
    return f"{100 * share:.1f}" if text in ("0", "100") and 0 < share < 1 else text


class Mean(Strict):
    """A mean and its 95 % interval; null where there are too few values."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, values: Sequence[float], groups: Sequence[Hashable] | None = None) -> Mean:
        """Return the mean of values with its interval, which knows what values share, such as a scene."""
        effect = design_effect(values, groups) if groups is not None else 1.0
        mean, low, high = plain(mean_interval(values, effect))
        return cls(mean=mean, low=low, high=high)

    def words(self, unit: str) -> str:
        """Return the mean and its interval in words."""
        if self.mean is None:
            return "-"
        between = "" if self.low is None or self.high is None else f" ({self.low:.1f} to {self.high:.1f})"
        return f"{self.mean:.1f} {unit}{between}"


class Median(Strict):
    """A median and its 95 % interval."""

    median: float | None = None
    """Null where there are no values."""
    low: float | None = None
    high: float | None = None
    values: int = 0
    groups: int = 0
    """Scenes that the values share."""

    @classmethod
    def over(cls, values: Sequence[float], groups: Sequence[Hashable]) -> Median:
        """Return the median of values, given which of them share a scene.

        The interval is that of 1,000 draws of as many scenes, with replacement: percentiles of a bootstrap by cluster (Field and Welsh
        2007, JRSS B 69:369).
        """
        if not len(values):
            return cls()
        data = np.asarray(values, np.float64)
        index, rng = _numbered(groups), np.random.default_rng(0)
        parts = [data[index == number] for number in range(index.max() + 1)]
        draws = (rng.integers(len(parts), size=len(parts)) for _ in range(_DRAWS))
        low, high = np.percentile(
            [np.median(np.concatenate([parts[part] for part in draw])) for draw in draws], [2.5, 97.5]
        )
        return cls(median=float(np.median(data)), low=low, high=high, values=len(data), groups=len(parts))

    def words(self, unit: str) -> str:
        """Return the median and its interval in words."""
        return "-" if self.median is None else f"{self.median:.1f} {unit} ({self.low:.1f} to {self.high:.1f})"


class Paired(Strict):
    """Two policies on the same starts: the 2x2 table of who succeeds, and what it says."""

    both: int
    only_first: int
    only_second: int
    neither: int
    difference: float
    """Success of the first minus that of the second [percentage points]."""
    low: float
    """Lower end of the 95 % interval of the difference [percentage points]."""
    high: float
    """Upper end of the 95 % interval of the difference [percentage points]."""
    p_value: float
    """Exact two-sided test that both succeed equally often: of all signs that the scenes' differences might have; McNemar's where each start has its own."""
    groups: int = 0
    """Scenes that the starts share; 0 where each has its own."""
    other: str = ""
    """Name of the second run; empty where nobody gave one."""
    left_out: int = 0
    """Starts that only one of the two played, or that were invalid for one."""

    @property
    def pairs(self) -> int:
        """Number of starts that both played."""
        return self.both + self.only_first + self.only_second + self.neither

    def words(self) -> tuple[str, str]:
        """Return what the comparison says about the first, at the 5 % level, and what that rests on."""
        better = "Better" if self.difference > 0 else "Worse"
        verdict = f"{better} than" if self.p_value < 0.05 else "No clear difference from"
        p_value = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        few = f" in {self.groups} scenes, too few for a clear difference" if 0 < self.groups < _CLEAR else ""
        return (
            f"{verdict} {self.other or 'the other run'}",
            f"{self.difference:+.1f} points, 95 % interval {self.low:+.1f} to {self.high:+.1f}; exact sign-flip test by scene "
            f"{p_value}; {self.pairs} shared starts{few}, {self.left_out} left out",
        )


def design_effect(values: Sequence[float], groups: Sequence[Hashable]) -> float:
    """Return how many trials that share groups tell as much as one trial of its own; at least 1.

    The variance of a mean from sums over groups, G / (G - 1) Σ_g (Σ_i (x_i - x̄))² / n², over that of independent values,
    n / (n - 1) Σ_i (x_i - x̄)² / n² (Kish 1965, Survey Sampling). 1 where it cannot be known: for a single group, or equal values.
    """
    index = _numbered(groups)
    off = np.asarray(values, np.float64) - (np.mean(values) if len(values) else 0.0)
    sums, alone = np.bincount(index, off), float((off**2).sum())
    if len(sums) < 2 or not alone:
        return 1.0
    few = (1 - 1 / len(off)) / (1 - 1 / len(sums))
    return max(1.0, few * float((sums**2).sum()) / alone)


def _numbered(groups: Sequence[Hashable]) -> NDArray[np.int64]:
    """Return a number for each value's group, from 0 on, in the order of first appearance."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[group] for group in groups], np.int64)


def wilson(successes: float, trials: float, effect: float = 1.0) -> tuple[float, float]:
    """Return the 95 % score interval of a rate, in 0 … 1 (Wilson 1927, JASA 22:209); all of it for no trials.

    `effect` trials tell as much as one of its own (see `design_effect`; Korn and Graubard 1998, Survey Methodology 24:193).

    Raises:
        ValueError: When there are more successes than trials, or a negative number.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if trials == 0:
        return 0.0, 1.0
    rate, square, trials = successes / trials, Z * Z, trials / effect
    centre = (rate + square / (2 * trials)) / (1 + square / trials)
    half = Z * math.sqrt(rate * (1 - rate) / trials + square / (4 * trials**2)) / (1 + square / trials)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if rate == 1 else min(1.0, centre + half)


def mcnemar(first: Sequence[bool], second: Sequence[bool], groups: Sequence[Hashable] | None = None) -> Paired:
    """Compare the outcomes of two policies, start by start.

    The test is the exact one of all signs: were both equally good, then in each group of starts (each start, without groups) the first
    would be ahead by as much as it is behind, with equal chances. For starts alone that is McNemar's (1947, Psychometrika 12:153). It is 1
    where they never differ.

    Args:
        first: Whether the first succeeded, of each start.
        second: Whether the second did.
        groups: What starts share, such as a scene.

    Raises:
        ValueError: When they are not equally long.
    """
    groups = range(len(first)) if groups is None else groups
    ahead = [int(one) - int(two) for one, two, _ in zip(first, second, groups, strict=True)]
    pairs = [(bool(one), bool(two)) for one, two in zip(first, second, strict=True)]
    both, only_first = pairs.count((True, True)), pairs.count((True, False))
    only_second, neither = pairs.count((False, True)), pairs.count((False, False))
    effect = design_effect(ahead, groups)
    difference, low, high = _newcombe(*(count / effect for count in (both, only_first, only_second, neither)))
    return Paired(
        both=both,
        only_first=only_first,
        only_second=only_second,
        neither=neither,
        difference=100 * difference,
        low=100 * low,
        high=100 * high,
        p_value=_signs(ahead, groups),
        groups=count if (count := len(set(groups))) < len(ahead) else 0,
    )


def _signs(ahead: Sequence[int], groups: Sequence[Hashable]) -> float:
    """Return the chance that sums over groups, each with a sign of its own, add up to as much or more, either way."""
    sums = Counter[Hashable]()
    for value, group in zip(ahead, groups, strict=True):
        sums[group] += value
    chance = np.ones(1)  # of each total, from the least to the greatest
    for size in filter(None, map(abs, sums.values())):
        chance = 0.5 * (np.pad(chance, (0, 2 * size)) + np.pad(chance, (2 * size, 0)))
    totals = np.arange(len(chance)) - len(chance) // 2
    return min(1.0, float(chance[np.abs(totals) >= abs(sum(sums.values()))].sum()))


def _newcombe(both: float, only_first: float, only_second: float, neither: float) -> tuple[float, float, float]:
    """Return the difference of two paired rates and its 95 % interval, in -1 … 1: method 10 of Newcombe (1998).

    Statistics in Medicine 17:2635. The Wilson intervals of the two rates are squared and added, less what the
    correlation φ of the outcomes, corrected for continuity, takes away.
    """
    total = both + only_first + only_second + neither
    if total == 0:
        return 0.0, -1.0, 1.0
    ones, twos = both + only_first, both + only_second
    (low_1, high_1), (low_2, high_2) = wilson(ones, total), wilson(twos, total)
    rate_1, rate_2 = ones / total, twos / total
    margins = math.prod((ones, total - ones, twos, total - twos))
    covariance: float = both * neither - only_first * only_second
    if covariance > 0:
        covariance = max(covariance - total / 2, 0.0)
    phi = covariance / math.sqrt(margins) if margins else 0.0
    difference = (only_first - only_second) / total
    below = _added(rate_1 - low_1, high_2 - rate_2, phi)
    above = _added(high_1 - rate_1, rate_2 - low_2, phi)
    return difference, max(-1.0, difference - below), min(1.0, difference + above)


def _added(one: float, two: float, phi: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * two + two**2))


def mean_interval(values: Sequence[float], effect: float = 1.0) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval (Student's t, n - 1 degrees of freedom), in the unit of the values.

    A single value has no interval (nan, nan); no value has no mean either. `effect` values tell as much as one of its own (see `design_effect`).
    """
    data = np.asarray(values, np.float64)
    if data.size < 2:
        return (float(data[0]) if data.size else math.nan), math.nan, math.nan
    mean = float(data.mean())
    half = float(special.stdtrit(data.size - 1, 0.975) * data.std(ddof=1) / math.sqrt(data.size / effect))
    return mean, mean - half, mean + half


def plain(value: Any) -> Any:
    """Return a value as JSON can say it: arrays as lists, NaN and infinities as None, the unknown as its text."""
    if callable(getattr(value, "tolist", None)):  # numpy's arrays and numbers, and torch's without importing it
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


class Log:
    """A file of one JSON object a line. Each line is out when `append` returns; a kill tears the last one at most."""

    def __init__(self, path: Path, tensorboard: Path | None = None, last: int | None = None) -> None:
        """Open a log to append to it; a torn last line of a killed run is cut off.

        Args:
            path: The file, `metrics.jsonl`; its folder is made.
            tensorboard: Folder of a mirror for TensorBoard; None for none.
            last: Step that a resumed run goes on from: later lines are cut off, as they will come again; None keeps all.

        Raises:
            RunError: When the file cannot be written, or TensorBoard is asked for and not installed.
        """
        self.path = path
        self._mirror = _Mirror(tensorboard) if tensorboard else None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            self._file.seek(0)
            self._file.truncate(_kept(self._file.read(), last))
        except OSError as error:
            raise self._refusal(error) from error

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a line. TensorBoard gets its numbers under `record["step"]`.

        Raises:
            RunError: When the file cannot be written.
        """
        values = plain(record)
        line = json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            self._file.write(line.encode())
            self._file.flush()
        except OSError as error:
            raise self._refusal(error) from error
        if self._mirror:
            self._mirror.add(values)

    def close(self) -> None:
        """Close the file and its mirror; a second time does nothing."""
        self._file.close()
        if self._mirror:
            self._mirror.close()
            self._mirror = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refusal(self, error: OSError) -> RunError:
        return RunError(f"'{self.path}' cannot be written ({error.strerror or error}).")


def _kept(content: bytes, last: int | None) -> int:
    """Return how many bytes of a log stay: whole lines, up to the first of a step after `last`."""
    kept = 0
    for line in content.split(b"\n")[:-1]:
        if last is not None and _step(line) > last:
            break
        kept += len(line) + 1
    return kept


def _step(line: bytes) -> int:
    """Return the step of a line; 0 where it names none."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 0


class _Mirror:
    """The numbers of a log as TensorBoard reads them, written without torch."""

    def __init__(self, folder: Path) -> None:
        try:
            writer = import_module("tensorboard.summary.writer.event_file_writer")
            self._event = import_module("tensorboard.compat.proto.event_pb2").Event
            self._summary = import_module("tensorboard.compat.proto.summary_pb2").Summary
        except ImportError as error:
            raise RunError("TensorBoard is not installed: pip install 'worldgen-trainer[train]'.") from error
        self._writer = writer.EventFileWriter(str(folder), flush_secs=10)

    def add(self, values: Mapping[str, Any]) -> None:
        numbers = {
            name: float(value)
            for name, value in values.items()
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool)
        }
        shown = [self._summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        summary = self._summary(value=shown)
        self._writer.add_event(self._event(wall_time=time.time(), step=int(values.get("step") or 0), summary=summary))

    def close(self) -> None:
        self._writer.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log, the oldest first; a torn last one is left out.

    Raises:
        RunError: When the file cannot be read or another line is damaged.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise RunError(f"'{path}' cannot be read ({error.strerror or error}).") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RunError(f"'{path}' is damaged in line {number}: {error}.") from error
        if not isinstance(record, dict):
            raise RunError(f"'{path}' is damaged in line {number}: no object.")
        found.append(record)
    return found

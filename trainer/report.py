"""What came of an evaluation, as a record, a page and a text. Knows episodes that are over, not how they were played.

`report.json` is the record; `index.html` shows it and needs nothing but the films beside it. The same episodes give
the same bytes, in whatever order they were played.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, JsonValue, ValidationError
from pydantic.dataclasses import dataclass

from worldgen.errors import StoreError
from worldgen.shapes import Strict
from worldgen.store import write_file
from worldgen.wire import SPLITS

from .errors import RunError
from .metrics import Mean, Paired, Share, mcnemar, plain
from .records import Played


class Seeds(Strict):
    """Which seeds were played: those a policy may be selected by, or those that only reports may use."""

    purpose: Literal["selection", "report"]
    first: int
    last: int


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class PlayedRecord(Played):
    """One episode, checked when it is read."""

    @property
    def outcome(self) -> str:
        """ "success", "invalid", or what failed."""
        return self.end if self.end in ("success", "invalid") else self.failure or "unknown"

    @property
    def kind(self) -> str:
        """ "success", "invalid" or "failed"."""
        return self.end if self.end in ("success", "invalid") else "failed"


class Report(Strict):
    """An evaluation of one policy."""

    format: Literal[1] = 1
    run: str
    """Name of what was evaluated."""
    library: str
    digest: str
    """Digest of the library's index."""
    splits: tuple[str, ...]
    """Splits that were asked for."""
    policy: dict[str, JsonValue]
    """What the policy is, as it describes itself."""
    sampler: str
    seeds: Seeds
    domain: dict[str, JsonValue] = Field(default_factory=dict)
    """What was drawn anew at each start."""
    set_name: str = ""
    """Name of the out-of-distribution set; empty for none."""
    total: Share
    seconds: Mean
    """Simulated time of successes [s]."""
    by_family: dict[str, Share]
    by_split: dict[str, Share]
    by_target: dict[str, Share]
    failures: dict[str, int]
    """What failed → number of episodes; invalid ones are not among them."""
    invalid: int
    """Episodes that say nothing about the policy: they count nowhere else."""
    episodes: tuple[PlayedRecord, ...]
    """By scene and seed."""
    comparison: Paired | None = None
    """This run as the first against another as the second."""

    def save(self, folder: Path) -> None:
        """Write `index.html` and `report.json`, each whole or not at all, the record last.

        Raises:
            RunError: When the folder cannot be written.
        """
        from .report_page import html  # the page knows the record; here its text is all that is wanted

        record = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / "index.html", html(self))
            write_file(folder / "report.json", record + "\n")
        except (OSError, StoreError) as error:
            raise RunError(f"The report '{folder}' cannot be written: {error}") from error

    @classmethod
    def load(cls, folder: Path) -> Report:
        """Read a report.

        Raises:
            RunError: When there is none, it is damaged, or of another format.
        """
        path = folder / "report.json"
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise RunError(f"The report '{path}' cannot be read ({error.strerror or error}).") from error
        except ValidationError as error:
            first = error.errors()[0]
            what = "is of another format" if first["loc"] == ("format",) else "is damaged"
            where = ".".join(str(part) for part in first["loc"])
            raise RunError(f"The report '{path}' {what}: {where} {first['msg']}.") from error


def summarise(played: Iterable[Played], **facts: Any) -> Report:
    """Count what came of the episodes.

    Args:
        played: In any order.
        facts: The other fields of a report: run, library, digest, splits, policy, sampler, seeds; as needed set_name
            and comparison.
    """
    records = (PlayedRecord(**plain(asdict(one))) for one in played)
    episodes = tuple(sorted(records, key=lambda one: (one.scene, one.seed, one.end, one.seconds, one.instruction)))
    kinds = Counter(one.kind for one in episodes)
    failures = Counter(one.outcome for one in episodes if one.kind == "failed")
    won = [one for one in episodes if one.kind == "success"]
    return Report(
        **{**facts, "policy": plain(facts["policy"])},
        total=_share(episodes),
        seconds=Mean.of([one.seconds for one in won], [one.scene for one in won]),
        by_family=_shares(episodes, lambda one: one.family),
        by_split=_shares(episodes, lambda one: one.split),
        by_target=_shares(episodes, lambda one: one.target),
        failures=dict(sorted(failures.items())),
        invalid=kinds["invalid"],
        episodes=episodes,
    )


def _share(episodes: Iterable[PlayedRecord]) -> Share:
    valid = [one for one in episodes if one.kind != "invalid"]
    return Share.over([one.kind == "success" for one in valid], [one.scene for one in valid])


def _shares(episodes: Sequence[PlayedRecord], group: Callable[[PlayedRecord], str]) -> dict[str, Share]:
    names = sorted({group(one) for one in episodes})
    return {name: _share(one for one in episodes if group(one) == name) for name in names}


def compare(first: Report, second: Report) -> Paired:
    """Compare two reports on the starts (scene, seed) that are valid trials in both.

    Raises:
        RunError: When they are of different libraries or domains, one played a start twice, or they share no start.
    """
    require_alike(second, first.digest, first.domain, f"'{second.run}'")
    ones, twos = _starts(first), _starts(second)
    shared = sorted(start for start in ones.keys() & twos.keys() if "invalid" not in (ones[start], twos[start]))
    left_out = len(ones.keys() | twos.keys()) - len(shared)
    if not shared:
        raise RunError(
            f"'{first.run}' and '{second.run}' cannot be compared: they share no valid start ({left_out} left out). "
            "Play the same scenes and seeds with both."
        )
    one, two = ([kinds[start] == "success" for start in shared] for kinds in (ones, twos))
    paired = mcnemar(one, two, [scene for scene, _ in shared])
    return paired.model_copy(update={"other": second.run, "left_out": left_out})


def require_alike(report: Report, digest: str, domain: dict[str, Any], name: str) -> None:
    """Refuse to compare a report with one of another library or domain.

    Raises:
        RunError: Which of the two it is.
    """
    if report.digest != digest or report.domain != domain:
        what = "another library" if report.digest != digest else "another domain or test set"
        raise RunError(
            f"{name} cannot be compared, it is of {what}: evaluate both runs on the same one, with the same settings."
        )


def _starts(report: Report) -> dict[tuple[str, int], str]:
    starts = {(one.scene, one.seed): one.kind for one in report.episodes}
    if len(starts) < len(report.episodes):
        again = len(report.episodes) - len(starts)
        raise RunError(
            f"'{report.run}' cannot be compared: {again} of its episodes have the scene and seed of another."
        )
    return starts


def by_count(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Return names and counts, the most frequent first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def split_order(shares: dict[str, Share]) -> list[tuple[str, Share]]:
    """Return splits and shares in the order of the library's splits, unknown ones last."""
    return sorted(shares.items(), key=lambda item: [*SPLITS, item[0]].index(item[0]))


def text(report: Report) -> str:
    """Return success by family and split and the failures as a plain table for a terminal."""
    rows = [("all", "", *report.total.words())]
    rows += [("family", name, *share.words()) for name, share in sorted(report.by_family.items())]
    rows += [("split", name, *share.words()) for name, share in split_order(report.by_split)]
    rows += [("failure", name, str(count), "", "") for name, count in by_count(report.failures)]
    rows += [("invalid", "", str(report.invalid), "", "")] if report.invalid else []
    lines = [f"{report.run}: success with 95 % interval; {report.seconds.words('s')} to success"]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if report.comparison:
        lines.append(": ".join(report.comparison.words()))
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines) + "\n"

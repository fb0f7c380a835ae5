"""Reports: totals against brute force, the same bytes, harmless pages, damaged files, comparisons."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer.errors import RunError
from trainer.metrics import Share
from trainer.records import Played
from trainer.report import Report, compare, summarise, text
from trainer.report_page import html

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> push \" onclick='x' & {x} $y"
FACTS: dict[str, Any] = {
    "run": "run",
    "library": "kitchen",
    "digest": "ab12",
    "splits": ("train", "unseen-objects"),
    "policy": {"kind": "act", "chunk": 8, "cameras": ("policy",)},
    "sampler": "mean",
    "seeds": {"purpose": "report", "first": 0, "last": 99},
}
VOID = {"meta", "input", "br", "img", "rect", "line", "circle"}


def played(scene: str = "a", seed: int = 0, end: str = "success", **values: Any) -> Played:
    failure = {"success": "", "invalid": "invalid"}.get(end, "missed")
    fields: dict[str, Any] = {"split": "train", "family": "stack", "target": "mug", "instruction": "stack the mug"}
    fields |= {"failure": failure, "seconds": 4.0, "decisions": 3} | values
    return Played(scene=scene, seed=seed, end=end, **fields)  # type: ignore[arg-type]


def report(*episodes: Played, **facts: Any) -> Report:
    return summarise(episodes, **{**FACTS, **facts})


words = st.sampled_from(["", "x", "y", "z <&>"])
many = st.lists(
    st.builds(
        played,
        scene=st.sampled_from("abcdef"),
        seed=st.integers(0, 9),
        end=st.sampled_from(["success", "timeout", "fell", "invalid", ""]),
        split=st.sampled_from(["train", "unseen-objects", "other"]),
        family=words,
        target=words,
        instruction=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        seconds=st.floats(0, 100),
    ),
    max_size=25,
    unique_by=lambda one: (one.scene, one.seed),
)


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails when they do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [value for found, key, value in self.attributes if (found, key) == (tag, name)]


def alike(share: Share, valid: list[Played]) -> None:
    wanted = Share.over([one.success for one in valid], [one.scene for one in valid])
    assert share.model_dump() == pytest.approx(wanted.model_dump())


@given(many)
@settings(max_examples=40, deadline=None)
def test_totals_against_brute_force(episodes: list[Played]) -> None:
    found = report(*episodes)
    valid = [one for one in episodes if one.end != "invalid"]
    assert (found.total.successes, found.total.trials) == (sum(one.success for one in valid), len(valid))
    alike(found.total, valid)
    assert found.invalid == len(episodes) - len(valid)
    assert found.failures == Counter(one.failure for one in valid if not one.success)
    assert sum(found.failures.values()) + found.total.successes + found.invalid == len(found.episodes)
    for name, shares in (("family", found.by_family), ("split", found.by_split), ("target", found.by_target)):
        assert set(shares) == {getattr(one, name) for one in episodes}
        for value, share in shares.items():
            alike(share, [one for one in valid if getattr(one, name) == value])
    seconds = [one.seconds for one in valid if one.success]
    assert (found.seconds.mean is None) == (not seconds)
    assert found.seconds.mean == (pytest.approx(sum(seconds) / len(seconds)) if seconds else None)
    assert (found.seconds.low is None) == (len(seconds) < 2)


@given(many, st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_of_play_changes_no_byte(tmp_path: Path, episodes: list[Played], order: random.Random) -> None:
    report(*episodes).save(tmp_path / "one")
    shuffled = order.sample(episodes, len(episodes))
    report(*shuffled, policy=dict(reversed(FACTS["policy"].items()))).save(tmp_path / "two")
    for name in ("report.json", "index.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    loaded = Report.load(tmp_path / "one")
    assert loaded == report(*episodes)
    assert html(loaded) == html(report(*episodes))
    Page(html(loaded))
    assert text(loaded).endswith("\n")


def test_same_bytes_in_another_process(tmp_path: Path) -> None:
    episodes = [played(seed=seed, end=end) for seed, end in enumerate(("success", "timeout", "invalid"))]
    code = (
        "import sys; from pathlib import Path; from trainer.report import Report;"
        "Report.load(Path(sys.argv[1])).save(Path(sys.argv[2]))"
    )
    report(*episodes).save(tmp_path / "one")
    subprocess.run([sys.executable, "-c", code, tmp_path / "one", tmp_path / "two"], check=True)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["index.html", "report.json"]
    for name in ("report.json", "index.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_no_episodes(tmp_path: Path) -> None:
    empty = report()
    assert empty.total == Share(successes=0, trials=0, low=0.0, high=1.0)
    assert (empty.invalid, empty.failures, empty.by_split, empty.seconds.mean) == (0, {}, {}, None)
    empty.save(tmp_path)
    assert Report.load(tmp_path) == empty
    assert "no valid trial" in "".join(Page(html(empty)).words)
    assert "0 of 0" in text(empty)


def test_everything_invalid(tmp_path: Path) -> None:
    found = report(played(seed=1, end="invalid"), played(seed=2, end="invalid"))
    assert (found.total.trials, found.invalid, found.failures) == (0, 2, {})
    assert found.by_family == {"stack": Share.of(0, 0)}
    found.save(tmp_path)
    assert Report.load(tmp_path) == found
    assert re.search(r"invalid\s+2\n", text(found))
    with pytest.raises(RunError, match=r"no valid start \(2 left out\)"):
        compare(found, found)


def test_everything_written_is_text_on_the_page() -> None:
    one = played(
        scene=HOSTILE, split=HOSTILE, family=HOSTILE, target=HOSTILE, instruction=HOSTILE, video=HOSTILE + ".mp4"
    )
    two = replace(one, seed=1, end="timeout", failure=HOSTILE)
    facts = dict.fromkeys(("run", "library", "sampler", "set_name"), HOSTILE)
    found = report(one, two, splits=(HOSTILE,), policy={HOSTILE: HOSTILE}, **facts)
    found = found.model_copy(update={"comparison": compare(found, found)})
    harmless = report(
        *(replace(each, instruction="x", video="x.mp4") for each in (played(), played(seed=1, end="fell")))
    )
    page, plain_page = (
        Page(html(found)),
        Page(html(harmless.model_copy(update={"comparison": compare(harmless, harmless)}))),
    )
    assert page.tags == plain_page.tags
    assert page.tags["script"] == 1
    assert {name for _, name, _ in page.attributes} == {name for _, name, _ in plain_page.attributes}
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert HOSTILE in page.words


def test_page_needs_nothing_from_outside() -> None:
    films = [
        "films/a b.mp4",
        "javascript:alert(1)",
        "//elsewhere.org/x.mp4",
        "http://elsewhere.org/x.mp4",
        "/etc/x.mp4",
    ]
    page = Page(html(report(*(played(seed=seed, video=film) for seed, film in enumerate(films)))))
    expected = ["./films/a%20b.mp4", "./javascript%3Aalert%281%29", "./" + films[2], "./http%3A//elsewhere.org/x.mp4"]
    assert page.values("video", "src") == [*expected, ".//etc/x.mp4"]
    assert page.values("a", "href") == ["#episodes", *page.values("video", "src")]
    assert not page.tags.keys() & {"link", "img", "iframe", "object"}
    assert all(value == "none" for value in page.values("video", "preload"))
    (policy,) = [value for value in page.values("meta", "content") if "default-src" in value]
    assert policy.startswith("default-src 'none'")
    assert "--accent: #" in "".join(page.words), "the gallery's style sheet"
    assert re.search(r"script-src 'sha256-[^' ]+'$", policy)


def test_films_of_failures_come_first() -> None:
    ends = ("success", "invalid", "timeout", "success", "fell")
    page = Page(html(report(*(played(seed=seed, end=end, video=f"{seed}.mp4") for seed, end in enumerate(ends)))))
    assert page.values("video", "src") == ["./2.mp4", "./4.mp4", "./1.mp4", "./0.mp4", "./3.mp4"]
    assert all(page.values("video", "aria-label"))
    assert page.values("tr", "data-outcome")[:3] == ["success|success", "invalid|invalid", "failed|missed"]


def test_page_shows_the_comparison() -> None:
    first = report(*(played(f"s{seed}", seed) for seed in range(9)), run="new")
    second = report(*(played(f"s{seed}", seed, end="timeout") for seed in range(9)), run="old")
    found = first.model_copy(update={"comparison": compare(first, second)})
    one_scene = (report(*(played(seed=seed, end=end) for seed in range(9))) for end in ("success", "timeout"))
    assert compare(*one_scene).p_value == 1, "nine starts of one scene say what happens in one scene"
    shown = "".join(Page(html(found)).words)
    assert "Better than old" in shown
    assert "p = 0.004" in shown
    assert "new succeeds" in shown
    assert "Better than old: +100.0 points" in text(found)


def test_comparison_of_partly_shared_starts() -> None:
    first = report(*(played(seed=seed, end="success" if seed < 4 else "fell") for seed in range(6)))
    second = report(
        *(played(seed=seed, end="fell" if seed == 3 else "success") for seed in range(2, 8)),
        played(seed=1, end="invalid"),
        played(scene="b", seed=0),
        run="other",
    )
    found = compare(first, second)
    assert (found.both, found.only_first, found.only_second, found.neither) == (1, 1, 2, 0)
    assert (found.other, found.left_out) == ("other", 5)


def test_what_cannot_be_compared() -> None:
    one, two = report(played(seed=1)), report(played(seed=2), played(seed=3))
    with pytest.raises(RunError, match=r"share no valid start \(3 left out\)"):
        compare(one, two)
    with pytest.raises(RunError, match="another library"):
        compare(one, report(played(seed=1), digest="cd34"))
    with pytest.raises(RunError, match="another domain"):
        compare(one, report(played(seed=1), domain={"name": "paper"}))
    with pytest.raises(RunError, match="1 of its episodes"):
        compare(one, report(played(seed=1), played(seed=1)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record.update(format=2), "of another format"),
        (lambda record: record.pop("total"), "damaged: total"),
        (lambda record: record.update(more=1), "damaged: more"),
        (lambda record: record["episodes"][0].update(end="won"), r"damaged: episodes\.0\.end"),
        (lambda record: record["episodes"][0].update(more=1), r"damaged: episodes\.0\.more"),
    ],
)
def test_other_and_damaged_records_are_told(tmp_path: Path, change: Any, told: str) -> None:
    report(played()).save(tmp_path)
    path = tmp_path / "report.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(RunError, match=told):
        Report.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": NaN}'])
def test_what_is_no_record_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(RunError, match="The report"):
        Report.load(tmp_path)


def test_missing_and_unwritable_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        Report.load(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        report().save(tmp_path / "file")


def test_text_has_no_control_characters() -> None:
    shown = text(report(played(family="\x1b[31mred\n"), run="\x07"))
    assert all(char.isprintable() for line in shown.split("\n") for char in line)
    assert re.search(r"all\s+100 %  21 to 100 %  1 of 1\n", shown)


def test_schema_is_closed() -> None:
    schema = Report.model_json_schema()
    assert schema["additionalProperties"] is False
    assert all(
        part["additionalProperties"] is False for part in schema["$defs"].values() if part.get("type") == "object"
    )

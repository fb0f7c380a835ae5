"""What imitation reaches with and without a pretrained base: `python -m benchmarks.learning`. Prints Markdown for docs/results.md.

In turn, each kept and gone on with after a kill: a library of all task families; a base that learns to see on its training split;
demonstrations; fine-tuning on the first 30, 200, 1000 and 3000 of them, from the base and from random weights, a control that gets
the sentences of other episodes beside a row that lacks the same lessons, and one whose last 2000 demonstrations mend what the policy of
the first 1000 does; evaluation on scenes of the other splits, which nothing was trained on, from starts that nothing was chosen by. Every
cell is a small JSON file under docs/results/learning; the table is made of those that are there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import tyro

from benchmarks.cells import Tell, kept, logged, save, seconds, side_by_side, tell, words
from benchmarks.certify import SENTENCES
from trainer.config import Demos, Evaluate, Pretrain, Sft
from trainer.demos import demonstrate
from trainer.evaluate import evaluate
from trainer.folders import claim
from trainer.policies.store import load_policy, policy_digest, policy_folder
from trainer.pretrain import figures, pretrain
from trainer.sft import sft
from worldgen import pipeline

SPLITS = ("unseen-objects", "unseen-backgrounds", "unseen-instructions", "unseen-categories")


@dataclass(frozen=True)
class Config:
    """What to measure."""

    out: Path = Path("learning")
    """Folder of everything that is made on the way."""
    results: Path = Path("docs/results/learning")
    """Folder of the cells."""
    scenes: int = 700
    seed: int = 31
    base: str = ""
    """Base to start from; empty makes one here."""
    demonstrations: tuple[int, ...] = (30, 200, 1000, 3000)
    episodes: int = 500
    """Of each evaluation."""
    purpose: Literal["report", "selection"] = "report"
    """From which starts: to choose settings by, take those for selection and another folder of cells."""
    mended: float = 0.5
    """Share of the steps of those that the policy to be mended drives."""
    warm: tuple[int, ...] = (1_500, 3_000, 4_000, 5_000)
    """Optimiser steps of what decides alone, for each number of demonstrations."""
    steps: tuple[int, ...] = (0, 0, 6_000, 14_000)
    """Optimiser steps of the whole, which asks about pictures of the library's training scenes meanwhile: few demonstrations spoil what the base sees."""
    strange: float = 0.15
    """Share of names that are words nobody knows."""
    bare: tuple[int, ...] = (800, 1_600, 6_000, 14_000)
    """Steps from random weights, where nothing can be warmed up: no fewer of the whole; without those pictures and words, which are pre-training."""
    pretrain: Pretrain = field(default_factory=Pretrain)
    cells: tuple[str, ...] = ()
    """Only these, such as flow-base-3000, token-base-1000, flow-base-3000-shuffled. Empty for all."""
    workers: int = 2
    """Cells at once."""


@dataclass(frozen=True)
class Cell:
    """A row."""

    policy: str
    start: str
    """base or none."""
    count: int
    """Demonstrations."""
    how: str = ""
    """What is special."""

    @property
    def name(self) -> str:
        """Name of its files."""
        return "-".join(filter(None, (self.policy, self.start, f"{self.count}", *self.how.split())))


def main(config: Config) -> None:
    """Make what is missing and print the tables; cells of other settings are refused."""
    config.out.mkdir(parents=True, exist_ok=True)
    library, base = config.out / "library", config.base or str(config.out / "base")
    sentences = tuple(sentence for group in SENTENCES.values() for sentence in group)
    settings = pipeline.Settings(sentences, config.scenes, config.seed, splits=(0.7, 0.075, 0.075, 0.075, 0.075))
    pipeline.make(settings, library, workers=config.workers)
    if not config.base and not (Path(base) / "policy").exists():
        pretrain([library], replace(config.pretrain, out=config.out / "base"), tell)
    if not (config.out / "data" / "meta" / "info.json").exists():
        asked = Demos(out=config.out / "data", episodes=max(config.demonstrations), workers=config.workers)
        demonstrate(library, asked, tell)
    unsaid = ("out", "results", "cells", "workers", "base")
    known = {name: value for name, value in asdict(config).items() if name not in unsaid}
    cells = [cell for cell in _cells(config) if not config.cells or cell.name in config.cells]
    if not cells:
        raise SystemExit(f"There is none of these cells. There are: {', '.join(cell.name for cell in _cells(config))}.")
    with claim(config.results, known | {"base": policy_digest(base)}):
        for some in (  # to mend a policy takes one
            [cell for cell in cells if cell.how != "mended"],
            [cell for cell in cells if cell.how == "mended"],
        ):
            waiting = [cell for cell in some if not _path(config, cell).exists()]
            side_by_side(_made, [(config, base, cell) for cell in waiting], config.workers)
    if not config.cells:
        _sight(config, library, base)
    print(f"| start | demonstrations | policy | never-trained scenes | n | {' | '.join(SPLITS)} | seconds |")
    print("|---|---|---|---|---|" + "---|" * len(SPLITS) + "---|")
    for cell in (cell for cell in _cells(config) if _path(config, cell).exists()):
        found: dict[str, Any] = json.loads(_path(config, cell).read_text())
        splits = " | ".join("{} of {}".format(*found["splits"].get(split, (0, 0))) for split in SPLITS)
        what = f"{cell.start}, {cell.how}" if cell.how else cell.start
        print(
            f"| {what} | {cell.count} | {cell.policy} | {words([found])} | {found['trials']} | {splits} | {seconds([found])} |"
        )


def _cells(config: Config) -> list[Cell]:
    """Return all rows."""
    counts, most = config.demonstrations, max(config.demonstrations)
    rows = [Cell("flow", start, count) for start in ("base", "none") for count in counts]
    rows += [Cell("flow", "base", most, how) for how in ("without lessons", "shuffled")]
    if 1000 in counts:
        rows.append(Cell("token", "base", 1000))
        rows += [Cell("flow", "base", most, "mended")] * (most > 1000)
    return rows


def _path(config: Config, cell: Cell) -> Path:
    return config.results / f"{cell.name}.json"


def _made(config: Config, base: str, cell: Cell) -> str:
    """Make a cell; return it in words."""
    library, place = config.out / "library", config.demonstrations.index(cell.count)
    with logged(config.out / f"{cell.name}.log") as note:
        asked = Sft(out=config.out / cell.name, policy=cell.policy, limit=cell.count, threads=1)  # type: ignore[arg-type]
        if cell.start == "none":
            asked = replace(asked, base="none", steps=config.bare[place], strange=0.0)
        else:
            steps = config.steps[place]
            asked = replace(asked, base=base, warm=config.warm[place], steps=steps, strange=config.strange)
            if cell.how == "shuffled":  # and without lessons: they say what things are called
                asked = replace(asked, shuffle_instructions=True)
            elif steps and cell.how != "without lessons":
                asked = replace(asked, library=str(library), workers=1)
        sft(_mended(config, library, note) if cell.how == "mended" else config.out / "data", asked, note)
        report = evaluate(
            asked.out, library, Evaluate(episodes=config.episodes, purpose=config.purpose, workers=1), note
        )
    save(_path(config, cell), kept(report))
    return f"{cell.name}: {report.total.successes} of {report.total.trials}"


def _mended(config: Config, library: Path, note: Tell) -> Path:
    """Return data whose first 1000 demonstrations are those of the others, and whose others begin where the policy learned from these leads."""
    asked = Demos(out=config.out / "mended", episodes=1000, workers=1)
    demonstrate(library, asked, note)
    pilot = str(config.out / "flow-base-1000")
    most = max(config.demonstrations)
    demonstrate(library, replace(asked, episodes=most, disturb=config.mended, pilot=pilot), note)
    return asked.out


def _sight(config: Config, library: Path, base: str) -> None:
    """Print how well the base sees, in the domain that it learned in and in the one that policies are evaluated in."""
    print("| domain | split | median | within 15 mm | right of two alike | second object, median | n | scenes |")
    print("|---|---|---|---|---|---|---|---|")
    net = load_policy(policy_folder(base))
    for domain in (config.pretrain.domain, "paper"):
        settings = replace(config.pretrain, out=config.out / "sight" / domain, domain=domain, workers=config.workers)
        for split, found in figures(net, [library], settings, tell).items():
            near, right = found.within_15_mm, found.right_of_rivals
            shares = " | ".join("{} ({})".format(*share.words()[:2]) for share in (near, right))
            told = f"{found.off_mm.words('mm')} | {shares} | {found.other_off_mm.words('mm')}"
            print(f"| {domain} | {split} | {told} | {near.trials} | {near.groups} |", flush=True)
    print()


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

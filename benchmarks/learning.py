"""What imitation reaches with and without a pretrained base: `python -m benchmarks.learning`. Prints Markdown for docs/results.md.

In turn, each kept and gone on with after a kill: a library of all task families; a base that learns to see on its training split;
demonstrations; fine-tuning on the first 30, 200, 1000 and 3000 of them, from the base and from random weights, a control that gets
the sentences of other episodes, and one whose last 2000 demonstrations mend what the policy of the first 1000 does; evaluation on scenes
of the other splits, which nothing was trained on.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro

from benchmarks.certify import SENTENCES
from trainer.config import Demos, Evaluate, Pretrain, Sft
from trainer.demos import demonstrate
from trainer.evaluate import evaluate
from trainer.metrics import Share
from trainer.policies.store import load_policy
from trainer.pretrain import figures, pretrain
from trainer.report import Report
from trainer.sft import sft
from worldgen import pipeline

SPLITS = ("unseen-objects", "unseen-backgrounds", "unseen-instructions", "unseen-categories")


@dataclass(frozen=True)
class Config:
    """What to measure."""

    out: Path = Path("learning")
    """Folder of everything."""
    scenes: int = 700
    seed: int = 31
    base: str = ""
    """Base to start from; empty makes one here."""
    demonstrations: tuple[int, ...] = (30, 200, 1000, 3000)
    episodes: int = 500
    """Of each evaluation."""
    controls: bool = True
    """Also random weights, shuffled instructions, tokens, and demonstrations that mend."""
    mended: float = 0.5
    """Share of the steps of those that the policy to be mended drives."""
    warm: tuple[int, ...] = (1_500, 3_000, 4_000, 5_000)
    """Optimiser steps of what decides alone, for each number of demonstrations."""
    steps: tuple[int, ...] = (300, 600, 1_200, 2_000)
    """Optimiser steps of the whole."""
    bare: tuple[int, ...] = (800, 1_600, 2_500, 3_500)
    """Those from random weights, where nothing can be warmed up: as many as take the time of the other two together."""
    pretrain: Pretrain = field(default_factory=Pretrain)
    cells: tuple[str, ...] = ()
    """Only these cells, such as flow-base-3000, token-base-1000, flow-base-3000-shuffled; two processes with a thread each, that share
    the cells, are done before one with two. Empty for all."""
    workers: int = 2
    threads: int = 2
    """Threads that learn."""


def main(config: Config) -> None:
    """Make what is missing and print the table."""
    library, base = config.out / "library", config.base or str(config.out / "base" / "policy")
    sentences = tuple(sentence for group in SENTENCES.values() for sentence in group)
    settings = pipeline.Settings(sentences, config.scenes, config.seed, splits=(0.7, 0.075, 0.075, 0.075, 0.075))
    pipeline.make(settings, library, workers=config.workers)
    if not config.base and not Path(base).exists():
        pretrain([library], replace(config.pretrain, out=config.out / "base"), _tell)
    data = config.out / "data"
    if not (data / "meta" / "info.json").exists():
        demonstrate(library, Demos(out=data, episodes=max(config.demonstrations), workers=config.workers), _tell)
    if not config.cells:
        _sight(config, library, base)
    print(f"| start | demonstrations | policy | never-trained scenes | 95 % | n | {' | '.join(SPLITS)} |")
    print("|---|---|---|---|---|---|" + "---|" * len(SPLITS))
    for start, count, kind, how in _cells(config):
        name = f"{kind}-{start}-{count}{how and '-'}{how}"
        if config.cells and name not in config.cells:
            continue
        place, based = config.demonstrations.index(count), start == "base"
        chosen = Sft(
            base=base if based else "none",
            policy=kind,  # type: ignore[arg-type]
            limit=count,
            warm=config.warm[place],
            steps=config.steps[place] if based else config.bare[place],
            strange=0.0,  # as the published rows were made
            shuffle_instructions=how == "shuffled",
            threads=config.threads,
        )
        made = config.out / name
        shown = _mended(config, library) if how == "mended" and not (made / "policy").exists() else data
        report = _measured(config, library, shown, replace(chosen, out=made))
        share = report.total
        what = f"{start}, {how}" if how else start
        each = " | ".join(f"{report.by_split[split].rate:.1%}" if split in report.by_split else "-" for split in SPLITS)
        interval = f"{100 * share.low:.1f} to {100 * share.high:.1f}"
        print(f"| {what} | {count} | {kind} | {share.rate:.1%} | {interval} | {share.trials} | {each} |", flush=True)


def _sight(config: Config, library: Path, base: str) -> None:
    """Print how well the base sees, in the domain that it learned in and in the one that policies are evaluated in."""
    print(
        "| domain | split | median [mm] | within 15 mm | right of two alike | second object, median [mm] | n | of two alike |"
    )
    print("|---|---|---|---|---|---|---|---|")
    net = load_policy(Path(base))
    for domain in (config.pretrain.domain, "paper"):
        settings = replace(config.pretrain, out=config.out / "sight" / domain, domain=domain, workers=config.workers)
        for split, found in figures(net, [library], settings, _tell).items():
            right = Share.of(round(found.right_of_rivals * found.rivals), found.rivals) if found.rivals else None
            print(
                f"| {domain} | {split} | {found.median_mm:.1f} | {found.within_15_mm:.1%} | "
                + (f"{right.rate:.1%} ({100 * right.low:.1f} to {100 * right.high:.1f})" if right else "-")
                + f" | {found.other_median_mm:.1f} | {found.pictures} | {found.rivals} |",
                flush=True,
            )
    print()


def _cells(config: Config) -> list[tuple[str, int, str, str]]:
    """Return start, demonstrations, policy and what is special, of each row."""
    rows, most = [("base", count, "flow", "") for count in config.demonstrations], max(config.demonstrations)
    if config.controls:
        rows += [("none", count, "flow", "") for count in config.demonstrations]
        rows += [("base", most, "flow", "shuffled")]
        if 1000 in config.demonstrations:
            rows += [("base", 1000, "token", "")]
            rows += [("base", most, "flow", "mended")] * (most > 1000)  # made last: it needs the policy of 1000
    return rows


def _mended(config: Config, library: Path) -> Path:
    """Return data whose first 1000 demonstrations are those of the others, and whose others begin where the policy learned from these leads."""
    asked = Demos(out=config.out / "mended", episodes=1000, workers=config.workers)
    demonstrate(library, asked, _tell)
    pilot = str(config.out / "flow-base-1000")
    more = replace(asked, episodes=max(config.demonstrations), disturb=config.mended, pilot=pilot)
    demonstrate(library, more, _tell)
    return asked.out


def _measured(config: Config, library: Path, data: Path, chosen: Sft) -> Report:
    folder = chosen.out / "eval-unseen"
    if (folder / "report.json").exists():
        return Report.load(folder)
    if not (chosen.out / "policy").exists():
        sft(data, chosen, _tell)
    return evaluate(
        chosen.out, library, Evaluate(split="unseen", episodes=config.episodes, workers=config.workers), _tell
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

"""What reinforcement learning over generated scenes reaches, and what their number buys: `python -m benchmarks.generative_worlds`.

In turn, each kept and gone on with after a kill: a library of pick-and-place scenes of five objects, 100 to train on and 100 never trained
on; a few demonstrations in the training scenes; imitation; then, from that same start and with the same number of episodes, reinforcement
learning on the first 1, 3, 10 ... of the training scenes. Every cell is a small JSON file under docs/results/generative_worlds; the table
and the plot are made of those that are there. Prints Markdown for docs/results.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from trainer.config import Demos, Evaluate, Rl, Sft
from trainer.demos import demonstrate
from trainer.evaluate import evaluate
from trainer.folders import claim
from trainer.metrics import Mean, Share
from trainer.rl import rl
from trainer.sft import sft
from worldgen import pipeline
from worldgen.store import write_file

SENTENCES = (
    "put the red mug on the plate, cluttered table",
    "put an apple into the bowl, cluttered table",
    "put a toy into the basket, cluttered table",
    "put the banana in the basket, cluttered kitchen",
    "put the lemon in the pot, cluttered kitchen",
    "put the can on the tray, messy desk",
)
SPLITS = (0.5, 0.2, 0.15, 0.15, 0.0)
"""Training scenes, and never-trained ones: other objects, categories, backgrounds."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    out: Path = Path("generative-worlds")
    """Folder of everything that is made on the way."""
    results: Path = Path("docs/results/generative_worlds")
    """Folder of the cells."""
    scenes: int = 200
    """In the library, half of them for training."""
    seed: int = 41
    """Of the library."""
    demonstrations: int = 16
    """That imitation starts from."""
    counts: tuple[int, ...] = (0, 1, 3, 10, 25, 50, 100)
    """Training scenes of each cell; 0: imitation alone."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the cells that are repeated."""
    repeated: tuple[int, ...] = (1, 10, 100)
    """Cells that are run with all seeds; the others with the first."""
    episodes: int = 500
    """Of each evaluation."""
    sft: Sft = field(default_factory=lambda: Sft(warm=1_000, steps=0))
    rl: Rl = field(default_factory=lambda: Rl(iterations=180, every=0, noise=0.25, kl=0.2, episodes=96))
    workers: int = 2


def main(config: Config) -> None:
    """Make what is missing and print the table; cells of other settings are refused."""
    unsaid = ("out", "results", "counts", "seeds", "repeated", "workers")
    settings = {name: value for name, value in asdict(config).items() if name not in unsaid}
    with claim(config.out, settings), claim(config.results, settings):
        _made(config)
    cells = [json.loads(path.read_text()) for path in sorted(config.results.glob("scenes-*.json"))]
    _table(cells)
    _plot(cells, config.results / "scenes.png")


def _made(config: Config) -> None:
    library, data, start = (config.out / name for name in ("library", "data", "start"))
    settings = pipeline.Settings(SENTENCES, config.scenes, config.seed, splits=SPLITS)
    pipeline.make(settings, library, workers=config.workers)
    if not (data / "meta" / "info.json").exists():
        demonstrate(library, Demos(out=data, episodes=config.demonstrations, workers=config.workers), _tell)
    if not (start / "policy").exists():
        sft(data, replace(config.sft, out=start), _tell)
    for count in config.counts:
        for seed in config.seeds if count in config.repeated else config.seeds[:1]:
            cell = config.results / f"scenes-{count:03d}-seed-{seed}.json"
            if not cell.exists():
                _save(cell, _cell(config, library, start, count, seed))


def _cell(config: Config, library: Path, start: Path, count: int, seed: int) -> dict[str, Any]:
    """Return what a policy does on the scenes it was trained on, on others, and when told something else."""
    run = start if not count else config.out / f"scenes-{count:03d}-seed-{seed}"
    if count:
        rl(library, replace(config.rl, out=run, init=start, scenes=count, seed=seed, workers=config.workers), _tell)
    found: dict[str, Any] = {"scenes": count, "seed": seed, "iterations": config.rl.iterations if count else 0}
    asked = Evaluate(episodes=config.episodes, workers=config.workers, films=0)
    for name, evaluation in (
        ("trained", replace(asked, split="train")),
        ("unseen", asked),
        ("unseen shuffled", replace(asked, shuffle_instructions=True)),
    ):
        report = evaluate(run, library, evaluation, _tell)
        found[name] = {
            "successes": report.total.successes,
            "trials": report.total.trials,
            "seconds": report.seconds.mean,
            "splits": {split: [share.successes, share.trials] for split, share in report.by_split.items()},
        }
    return found


def _save(path: Path, cell: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(cell, indent=1) + "\n")


def _pooled(cells: Sequence[dict[str, Any]], name: str) -> Share:
    return Share.of(sum(cell[name]["successes"] for cell in cells), sum(cell[name]["trials"] for cell in cells))


def _table(cells: Sequence[dict[str, Any]]) -> None:
    print(
        "| training scenes | seeds | trained scenes | never-trained scenes | 95 % | told of another scene | seconds | n |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for count in sorted({cell["scenes"] for cell in cells}):
        group = [cell for cell in cells if cell["scenes"] == count]
        trained, unseen, other = (_pooled(group, name) for name in ("trained", "unseen", "unseen shuffled"))
        interval = f"{100 * unseen.low:.1f} to {100 * unseen.high:.1f}"
        if len(group) > 1:  # what differs between seeds is more than chance within one
            mean = Mean.of([100 * cell["unseen"]["successes"] / cell["unseen"]["trials"] for cell in group])
            interval += f"; over seeds {mean.words('%')}"
        seconds = np.mean([cell["unseen"]["seconds"] for cell in group if cell["unseen"]["seconds"]])
        print(
            f"| {count} | {len(group)} | {trained.rate:.1%} | {unseen.rate:.1%} | {interval} | {other.rate:.1%} | {seconds:.1f} | {unseen.trials} |"
        )


def _plot(cells: Sequence[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4), layout="constrained")
    counts = sorted({cell["scenes"] for cell in cells})
    for name, label in (("trained", "trained scenes"), ("unseen", "never-trained scenes")):
        shares = [_pooled([cell for cell in cells if cell["scenes"] == count], name) for count in counts]
        axis.plot(counts, [100 * share.rate for share in shares], marker="o", label=label)
        axis.fill_between(counts, [100 * s.low for s in shares], [100 * s.high for s in shares], alpha=0.2)
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.set(xlabel="scenes of reinforcement learning", ylabel="success [%]", ylim=(0, 100))
    axis.legend()
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

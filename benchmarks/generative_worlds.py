"""What reinforcement learning over generated scenes reaches, and what their number buys: `python -m benchmarks.generative_worlds`.

In turn, each kept and gone on with after a kill: a library of pick-and-place scenes of five objects, 100 to train on and 100 never trained
on; a few demonstrations in the training scenes; imitation; then, from that same start and with the same number of episodes, reinforcement
learning on 1, 3, 10 ... of the training scenes. Every cell is a small JSON file under docs/results/generative_worlds; the table
and the plot are made of those that are there. Prints Markdown for docs/results.md; intervals of several runs know that starts share scenes, and
beside them stand the least and the greatest run. What a cell says meanwhile goes to OUT/CELL.log.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.cells import apart, gained, kept, logged, rates, save, seconds, side_by_side, tell, words
from trainer.config import Demos, Evaluate, Rl, Sft
from trainer.demos import demonstrate
from trainer.evaluate import evaluate
from trainer.folders import claim
from trainer.policies.store import policy_digest
from trainer.rl import rl
from trainer.sft import sft
from worldgen import pipeline

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

RL = Rl(iterations=180, every=0, noise=0.25, kl=0.2, episodes=96, preflight=False)
"""How cells learn, all with the same noise."""


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
    repeated: tuple[int, ...] = (0, 1, 10, 50, 100)
    """Cells that are run with all seeds; the others with the first."""
    episodes: int = 500
    """Of each evaluation."""
    sft: Sft = field(default_factory=lambda: Sft(warm=1_000, steps=0))
    rl: Rl = RL
    workers: int = 2
    """Cells at once."""


def main(config: Config) -> None:
    """Make what is missing and print the table; cells of other settings are refused."""
    unsaid = ("out", "results", "counts", "seeds", "repeated", "workers")
    settings = {name: value for name, value in asdict(config).items() if name not in unsaid}
    settings["base"] = policy_digest(config.sft.base)
    with claim(config.out, settings), claim(config.results, settings):
        _made(config)
    cells = [json.loads(path.read_text()) for path in sorted(config.results.glob("scenes-*.json"))]
    _table(cells)
    _aims(cells)
    _plot(cells, config.results / "scenes.png")


def _made(config: Config) -> None:
    library, data = config.out / "library", config.out / "data"
    settings = pipeline.Settings(SENTENCES, config.scenes, config.seed, splits=SPLITS)
    pipeline.make(settings, library, workers=config.workers)
    if not (data / "meta" / "info.json").exists():
        demonstrate(library, Demos(out=data, episodes=config.demonstrations, workers=config.workers), tell)
    wanted = [(count, config.seeds[0]) for count in config.counts]
    wanted += [(count, seed) for seed in config.seeds[1:] for count in config.repeated]
    waiting = [(count, seed) for count, seed in wanted if not _path(config, count, seed).exists()]
    side_by_side(_start, [(config, seed) for seed in sorted({seed for _, seed in waiting})], config.workers)
    side_by_side(_cell, [(config, *job) for job in waiting], config.workers)


def _path(config: Config, count: int, seed: int) -> Path:
    return config.results / f"scenes-{count:03d}-seed-{seed}.json"


def _start(config: Config, seed: int) -> str:
    """Make the imitation that the cells of a seed start from; return that in words."""
    run = config.out / f"start-{seed}"
    with logged(config.out / f"{run.name}.log") as note:
        if not (run / "policy").exists():
            sft(config.out / "data", replace(config.sft, out=run, seed=seed, threads=1), note)
    return f"{run.name}: imitated"


def _cell(config: Config, count: int, seed: int) -> str:
    """Find out what a policy does on the scenes it was trained on, on others, and when told something else; return that in words."""
    library, start, cell = config.out / "library", config.out / f"start-{seed}", _path(config, count, seed)
    run, found = config.out / cell.stem if count else start, dict[str, Any](scenes=count, seed=seed)
    with logged(config.out / f"{cell.stem}.log") as note:
        if count:
            asked = replace(config.rl, out=run, init=start, scenes=count, seed=seed, workers=1, threads=1)
            rl(library, asked, note)
        usual = Evaluate(episodes=config.episodes, workers=1, films=0)
        drawn = replace(usual, scenes=count, seed=seed) if count else usual
        for name, evaluation in (
            ("trained", replace(drawn, split="train")),
            ("unseen", usual),
            ("unseen shuffled", replace(usual, shuffle_instructions=True)),
        ):
            found[name] = kept(evaluate(run, library, evaluation, note))
    save(cell, found)
    trained, unseen = rates([found["trained"], found["unseen"]])
    return f"{cell.stem}: {trained:.1f} % of trained and {unseen:.1f} % of never-trained scenes"


def _table(cells: Sequence[dict[str, Any]]) -> None:
    print(
        "| training scenes | runs | trained scenes | never-trained scenes | words ever heard | unheard categories | told of another scene | seconds | "
        "n each |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for count in sorted({cell["scenes"] for cell in cells}):
        group = _of(cells, count)
        trained, unseen, shuffled = (
            [cell[name] for cell in group] for name in ("trained", "unseen", "unseen shuffled")
        )
        strange = [sum(one["splits"].get("unseen-categories", (0, 0))[place] for one in unseen) for place in (0, 1)]
        whole = [sum(one[name] for one in unseen) for name in ("successes", "trials")]
        parts = [f"{won} of {tried}" for won, tried in ((whole[0] - strange[0], whole[1] - strange[1]), strange)]
        told = " | ".join((words(trained), words(unseen), *parts, words(shuffled), seconds(unseen)))
        print(f"| {count} | {len(group)} | {told} | {unseen[0]['trials']} |")


def _aims(cells: Sequence[dict[str, Any]]) -> None:
    """Print what the table says of trained against never-trained scenes, and of many scenes against few, where the cells are there."""
    print()
    for count, some in ((count, _of(cells, count)) for count in sorted({cell["scenes"] for cell in cells})):
        print(
            f"- {count} scenes: trained less never-trained {apart([one['trained'] for one in some], [one['unseen'] for one in some])}"
        )
    for less, more in ((0, 100), (1, 50), (1, 100)):
        if (few := _of(cells, less)) and (many := _of(cells, more)):
            gain = gained([one["unseen"] for one in many], [one["unseen"] for one in few])
            print(f"- never-trained scenes, {less} → {more} scenes: {gain}")


def _of(cells: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return the cells with so many training scenes."""
    return [cell for cell in cells if cell["scenes"] == count]


def _plot(cells: Sequence[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4), layout="constrained")
    counts = sorted({cell["scenes"] for cell in cells})
    for name, label in (("trained", "trained scenes"), ("unseen", "never-trained scenes")):
        means = [np.mean(rates([cell[name] for cell in _of(cells, count)])) for count in counts]
        (line,) = axis.plot(counts, means, marker="o", label=label)
        each = rates([cell[name] for cell in cells])
        axis.scatter([cell["scenes"] for cell in cells], each, s=12, color=line.get_color(), alpha=0.5)
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.set(xlabel="scenes of reinforcement learning", ylabel="success [%]", ylim=(0, 100))
    axis.legend()
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

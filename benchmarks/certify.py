"""How many scenes the expert solves, by task family and arm: `python -m benchmarks.certify`. Prints Markdown for docs/performance.md.

A library of 100 scenes is made for each. A scene counts as tried when it passed every other gate; it is certified when the expert
solves at least 3 of 4 episodes. Episodes of rejected attempts count too. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from trainer.metrics import wilson
from worldgen import pipeline
from worldgen.certificate import EPISODES
from worldgen.library import Rejection, SceneLibrary

SENTENCES: dict[str, tuple[str, ...]] = {
    "pick": (
        "put the red mug on the plate",
        "put an apple into the bowl",
        "put a toy into the basket",
        "put the banana in the basket, cluttered kitchen",
        "put the spoon on the tray, messy desk",
        "put the carrot on the cutting board",
        "put the lemon in the pot",
    ),
    "stack": (
        "stack the blue cube on the green cube",
        "stack a cube on a book",
        "stack the red block on the blue block",
        "stack a can on a box",
    ),
    "push": (
        "push the yellow cube to the red zone",
        "push the yellow box to the red zone",
        "push a book to the blue zone",
        "push the soap to the green zone",
        "push the can next to the bottle",
    ),
    "open": ("open the drawer",),
    "close": ("close the drawer",),
    "lift": ("lift the apple", "lift the can", "lift a toy", "lift the red mug"),
}
_TOLD = re.compile(r"in (\d+) of (\d+) episodes")


@dataclass(frozen=True)
class Config:
    """What to measure."""

    out: Path = Path("certified")
    """Folder of the libraries; those that are there are read, the others made."""
    count: int = 100
    seed: int = 9157
    workers: int = os.cpu_count() or 1
    robots: tuple[str, ...] = ("widowx", "panda")


@dataclass(frozen=True)
class Tally:
    """What came of one library."""

    scenes: int
    tried: int
    """Attempts that passed every other gate."""
    solved: int
    episodes: int
    seconds: float
    """Mean time of a solved episode, of the accepted scenes [s]."""
    attempts: int


def main(config: Config) -> None:
    """Make what is missing and print the table."""
    print("| family | arm | scenes | certified | 95 % | episodes solved | 95 % | mean time | attempts a scene |")
    print("|---|---|---|---|---|---|---|---|---|")
    for family, sentences in SENTENCES.items():
        for robot in config.robots:
            root = config.out / f"{family}-{robot}"
            if not (root / "library.json").exists():
                settings = pipeline.Settings(sentences, config.count, config.seed, robot, splits=(1, 0, 0, 0, 0))
                start = time.perf_counter()
                pipeline.make(settings, root, workers=config.workers, cache_root=config.out / "store")
                print(f"<!-- {family} {robot}: made in {time.perf_counter() - start:.0f} s -->")
            print(_row(family, robot, tally(SceneLibrary.open(root))), flush=True)


def tally(library: SceneLibrary) -> Tally:
    """Count scenes, attempts and episodes of a library, rejected ones too."""
    scenes = tried = solved = episodes = attempts = 0
    seconds: list[float] = []
    for scene in library.scenes():
        found = {check.name: check for check in scene.record.checks}
        won = int(found["solved"].value or 0)
        scenes, tried, attempts = scenes + 1, tried + 1, attempts + 1
        solved, episodes = solved + won, episodes + EPISODES
        seconds.append(found["time"].value or 0.0)
        attempts += len({item.attempt for item in scene.record.rejections})
    for rejection in _rejections(library):
        if rejection.gate == "solved" and (told := _TOLD.search(rejection.message)):
            tried, solved, episodes = tried + 1, solved + int(told[1]), episodes + int(told[2])
    return Tally(scenes, tried, solved, episodes, float(np.mean(seconds)) if seconds else 0.0, attempts)


def _rejections(library: SceneLibrary) -> Iterator[Rejection]:
    for scene in library.scenes():
        yield from scene.record.rejections
    for file in sorted((library.root / "rejected").glob("*.json")):
        if found := library.rejected(file.stem):
            yield from found.rejections


def _row(family: str, robot: str, found: Tally) -> str:
    scenes = [f"{100 * share:.1f}" for share in wilson(found.scenes, found.tried)]
    episodes = [f"{100 * share:.1f}" for share in wilson(found.solved, found.episodes)]
    return (
        f"| {family} | {robot} | {found.scenes} | {found.scenes}/{found.tried} = {found.scenes / found.tried:.1%} | {' to '.join(scenes)} | "
        f"{found.solved}/{found.episodes} = {found.solved / found.episodes:.1%} | {' to '.join(episodes)} | "
        f"{found.seconds:.1f} s | {found.attempts / max(found.scenes, 1):.2f} |"
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

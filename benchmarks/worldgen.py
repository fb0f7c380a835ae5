"""How fast scenes are made and how many pass: `python -m benchmarks.worldgen [--scaling]`. Prints Markdown for docs/performance.md.

Cold and warm runs share nothing but the store. Each figure is of this machine; compare ratios, not seconds.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import tyro

from trainer.metrics import wilson
from worldgen import pipeline
from worldgen.library import SceneLibrary

SENTENCE = "put the red mug on the plate, cluttered kitchen"
SENTENCES = (
    SENTENCE,
    "stack the blue cube on the green cube",
    "push the yellow cube to the red zone",
    "open the drawer",
    "close the drawer",
    "put an apple into the bowl on a wooden table",
    "put a toy into the basket",
    "a messy desk",
)


@dataclass(frozen=True)
class Config:
    """What to measure."""

    count: int = 100
    """Scenes of the main runs."""
    workers: int = os.cpu_count() or 1
    runs: int = 1
    """Repetitions of the main runs; the median is reported."""
    scaling: bool = False
    """Instead make libraries of all `sizes` and plot time and memory."""
    sizes: tuple[int, ...] = (10, 30, 100, 300, 1000)
    plot: Path = Path("docs/scaling.png")
    size: int = 0
    """Only make so many scenes in `out` and print seconds and peak memory: one point of --scaling."""
    out: Path = Path("scaling")


def make(requests: tuple[str, ...], count: int, workers: int, out: Path, store: Path, robot: str = "widowx") -> float:
    """Make a library and return the wall time [s]."""
    start = time.perf_counter()
    pipeline.make(pipeline.Settings(requests, count, robot=robot), out, workers=workers, cache_root=store)
    return time.perf_counter() - start


def realtime(library: Path) -> list[float]:
    """Return how many times faster than real time each resting scene steps on one core."""
    factors = []
    for scene in SceneLibrary.open(library).scenes():
        model = scene.model(trusted=True)
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        mujoco.mj_step(model, data, 100)
        start = time.thread_time()
        mujoco.mj_step(model, data, 400)
        factors.append(400 * model.opt.timestep / (time.thread_time() - start))
    return factors


def speed(config: Config, folder: Path) -> None:
    """Report cold and warm batches, accept rates and stepping speed."""
    cold, warm = [], []
    for run in range(config.runs):
        store = folder / f"store{run}"
        cold.append(make((SENTENCE,), config.count, config.workers, folder / f"cold{run}", store))
        warm.append(make((SENTENCE,), config.count, config.workers, folder / f"warm{run}", store))
    again = make((SENTENCE,), config.count, config.workers, folder / "cold0", folder / "store0")
    counts = SceneLibrary.open(folder / "cold0").index().counts
    factors = realtime(folder / "cold0")
    print(f"| {config.count} scenes, {config.workers} workers | |\n|---|---|")
    print(f"| cold store | {np.median(cold):.1f} s = {60 * config.count / np.median(cold):.0f} scenes/min |")
    print(f"| new library, warm store | {np.median(warm):.2f} s, {np.median(cold) / np.median(warm):.0f} x faster |")
    print(f"| finished library, run again | {again:.2f} s, {np.median(cold) / again:.0f} x faster |")
    print(f"| distinct assets | {counts['assets']} |")
    print(f"| resting scene, x real time, one core | median {np.median(factors):.0f}, slowest {min(factors):.0f} |")


def accepted(config: Config, folder: Path) -> None:
    """Report the accept rate at first try over many kinds of request and both arms."""
    print("\n| accepted at first try | scenes | share | 95 % interval | rejections |\n|---|---|---|---|---|")
    for robot in ("widowx", "panda"):
        make(SENTENCES, config.count, config.workers, folder / robot, folder / "store0", robot)
        counts = SceneLibrary.open(folder / robot).index().counts
        tried = counts["scenes"] + len(counts["given_up"])
        first = round(counts["accepted_at_first_try"] * tried)
        low, high = wilson(first, tried)
        print(f"| {robot} | {tried} | {first / tried:.1%} | {low:.1%} to {high:.1%} | {counts['rejections']} |")


def scaling(config: Config, folder: Path) -> None:
    """Report and plot time and peak memory from 10 to 1000 scenes, each size in a process of its own."""
    sizes, seconds, memory = list(config.sizes), [], []
    for size in sizes:
        command = [
            sys.executable,
            "-m",
            "benchmarks.worldgen",
            "--size",
            str(size),
            "--workers",
            str(config.workers),
            "--out",
            str(folder / str(size)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        took, own, child = map(float, done.stdout.split()[-3:])
        seconds.append(took)
        memory.append((own, child))
        print(f"{size} scenes: {took:.1f} s, {own:.0f} MB parent, {child:.0f} MB largest worker", file=sys.stderr)
    print("\n| scenes | s | s a scene | parent MB | largest worker MB |\n|---|---|---|---|---|")
    for size, took, (own, child) in zip(sizes, seconds, memory, strict=True):
        print(f"| {size} | {took:.1f} | {took / size:.3f} | {own:.0f} | {child:.0f} |")
    plot(config.plot, sizes, seconds, memory)


def point(config: Config) -> None:
    """Print the wall time [s] and the peak memory of this process and of its largest worker [MB]."""
    took = make(SENTENCES, config.size, config.workers, config.out / "library", config.out / "store")
    usage = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(took, *usage)


def plot(path: Path, sizes: list[int], seconds: list[float], memory: list[tuple[float, float]]) -> None:
    """Draw time and memory against the number of scenes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    left.loglog(sizes, seconds, "o-", label="measured")
    left.loglog(sizes, [seconds[-1] * size / sizes[-1] for size in sizes], "--", color="grey", label="linear")
    left.set(xlabel="scenes", ylabel="wall time [s]")
    left.legend()
    right.semilogx(sizes, [own for own, _ in memory], "o-", label="parent")
    right.semilogx(sizes, [child for _, child in memory], "s-", label="largest worker")
    right.set(xlabel="scenes", ylabel="peak memory [MB]", ylim=(0, None))
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print("\n![time and memory](" + path.name + ")")


def main(config: Config) -> None:
    """Run what is asked for."""
    if config.size:
        return point(config)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, MuJoCo {mujoco.__version__}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        if config.scaling:
            return scaling(config, Path(folder))
        speed(config, Path(folder))
        accepted(config, Path(folder))


if __name__ == "__main__":
    main(tyro.cli(Config))

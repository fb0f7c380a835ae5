"""How fast scenes are played: `python -m benchmarks.play [--library LIBRARY]`. Prints Markdown for docs/performance.md.

A decision is a chunk of 4 actions at 5 Hz (0.8 s) and one 64 px picture. Two ways to act: `expert` replays what the scripted expert
did, so that hands close and objects move, and episodes are short; `random` moves the arm about until time runs out. Resets count.
Each figure is of this machine; compare ratios, not seconds.
"""

from __future__ import annotations

import itertools
import os
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import tyro

from benchmarks.worldgen import SENTENCES
from worldgen import pipeline
from worldgen.camera import Camera
from worldgen.library import SceneLibrary
from worldgen.sim import control, domains, truth, world
from worldgen.sim.stage import Settings
from worldgen.sim.worlds import LocalWorlds, ProcessWorlds, Start

Plan = dict[Start, list[np.ndarray]]
"""Start → the chunks to execute there."""
_WARM = 3
"""Rounds that are played before the clock starts."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    library: Path | None = None
    """Library to play; made anew where none is given."""
    scenes: tuple[int, ...] = (1, 10, 100)
    """Numbers of different scenes."""
    workers: tuple[int, ...] = (1, 2)
    slots: int = 32
    """Worlds at once."""
    seconds: float = 15.0
    """Wall time of each measurement [s]."""
    runs: int = 3
    """Measurements of each setting, taken in turn; the median is reported."""
    domain: str = "paper"


def main(config: Config) -> None:
    """Measure and print everything."""
    with tempfile.TemporaryDirectory() as folder:
        root = config.library or _library(Path(folder), max(config.scenes))
        names = SceneLibrary.open(root).index().scenes
        plans = {"random": _random(root, names), "expert": _expert(root, names, config)}
        print(f"{platform.machine()}, {os.cpu_count()} cores, MuJoCo {mujoco.__version__}, {len(names)} scenes,")
        print(
            f"{config.slots} worlds, domain '{config.domain}', median of {config.runs} runs of {config.seconds:g} s\n"
        )
        _throughput(root, plans, config)
        _shares(root, plans, config)
        _neighbours(root, plans["random"], config)


def _library(folder: Path, count: int) -> Path:
    settings = pipeline.Settings(SENTENCES[:-1], count, splits=(1, 0, 0, 0, 0))
    pipeline.make(settings, folder / "library", workers=os.cpu_count() or 1)
    return folder / "library"


def _settings(config: Config) -> Settings:
    return Settings(domains.load(config.domain))


def _random(root: Path, names: tuple[str, ...]) -> Plan:
    """Return smooth random chunks for one start of each scene."""
    rng, found = np.random.default_rng(0), {}
    for name in names:
        drift, rows = np.zeros(7), []
        for _ in range(100):
            drift = 0.8 * drift + rng.normal(0, 0.3, 7)
            rows.append(np.tanh(drift) * [0.03, 0.03, 0.03, 0.1, 0.1, 0.1, 0.5] + [0, 0, 0, 0, 0, 0, 0.5])
        found[Start(name, 0)] = list(np.array(rows).reshape(25, 4, 7))
    return found


def _expert(root: Path, names: tuple[str, ...], config: Config) -> Plan:
    """Return what the expert does from one start of each scene."""
    found: Plan = {}
    settings = Settings(domains.load(config.domain), views=())
    with ProcessWorlds(root, settings, len(names), os.cpu_count() or 1, trusted=True) as worlds:
        starts = [Start(name, 0) for name in names]
        worlds.reset(starts)
        found = {start: [] for start in starts}
        while live := [slot for slot, end in enumerate(worlds.ends()) if not end]:
            chunks = worlds.advise(live)
            worlds.step(chunks, live)
            for slot, chunk in zip(live, chunks, strict=True):
                found[starts[slot]].append(chunk)
    return found


def _run(
    worlds: Any, plan: Plan, count: int, seconds: float, workers: int = 1, begun: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """Play episodes of the first `count` scenes for so long, and return decisions and resets a second; `begun` is told of the start."""
    starts = list(plan)[:count]
    crew = list(range(workers))  # slot i lives in worker i % workers
    for start in starts:  # every worker compiles every scene before the clock starts
        worlds.reset([start] * workers, crew)
    queue = itertools.cycle(starts)
    now = [next(queue) for _ in range(worlds.slots)]
    at = [0] * worlds.slots
    worlds.reset(now)
    decisions = resets = rounds = 0
    begin = time.perf_counter()
    while (spent := time.perf_counter() - begin) < seconds:
        ends = worlds.ends()
        over = [slot for slot in range(worlds.slots) if ends[slot] or at[slot] >= len(plan[now[slot]])]
        if over:
            for slot in over:
                now[slot], at[slot] = next(queue), 0
            worlds.reset([now[slot] for slot in over], over)
            resets += len(over)
        worlds.step(np.array([plan[now[slot]][at[slot]] for slot in range(worlds.slots)]))
        at = [index + 1 for index in at]
        decisions += worlds.slots
        rounds += 1
        if rounds == _WARM:
            begun()
            begin, decisions, resets = time.perf_counter(), 0, 0
    return decisions / spent, resets / spent


def _throughput(root: Path, plans: dict[str, Plan], config: Config) -> None:
    print("| acting | workers | scenes | decisions/s | control steps/s | resets/s | MB a worker |")
    print("|---|---|---|---|---|---|---|")
    rates: dict[tuple[str, int, int], list[tuple[float, float]]] = defaultdict(list)
    memory: dict[tuple[str, int, int], float] = {}
    for _ in range(config.runs):
        for kind, plan in plans.items():
            for workers in config.workers:
                for count in config.scenes:
                    with ProcessWorlds(root, _settings(config), config.slots, workers, trusted=True) as worlds:
                        rates[kind, workers, count].append(_run(worlds, plan, count, config.seconds, workers))
                        memory[kind, workers, count] = max(_resident(pid) for pid in worlds.pids)
    for (kind, workers, count), found in rates.items():
        decisions, resets = np.median(found, axis=0)
        span = f"{min(rate for rate, _ in found):.0f} to {max(rate for rate, _ in found):.0f}"
        row = f"| {kind} | {workers} | {count} | {decisions:.0f} ({span}) | {4 * decisions:.0f} | {resets:.0f} |"
        print(f"{row} {memory[kind, workers, count]:.0f} |")
    print(flush=True)


def _resident(pid: int | None) -> float:
    """Return the memory of a process that no other shares [MB]."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024


def _shares(root: Path, plans: dict[str, Plan], config: Config) -> None:
    """Print where one process spends its time; physics and render together are what bare calls would take."""
    print("| acting | ms a decision | " + " | ".join(_PARTS) + " | other | bare calls / all |")
    print("|---|---|" + "---|" * (len(_PARTS) + 2))
    for kind, plan in plans.items():
        with _timed() as spent, LocalWorlds(root, _settings(config), config.slots, trusted=True) as worlds:
            rate, _ = _run(worlds, plan, max(config.scenes), config.seconds, begun=spent.clear)
            per = _divided(spent)
        shares = {name: per[name] / per["all"] for name in _PARTS}
        cells = " | ".join(f"{share:.0%}" for share in shares.values())
        bare = (per["bare"]) / per["all"]
        print(f"| {kind} | {1e3 / rate:.2f} | {cells} | {1 - sum(shares.values()):.0%} | {bare:.0%} |")
    print(flush=True)


_PARTS = ("physics", "render", "control", "goals", "reset")


def _divided(spent: dict[str, float]) -> dict[str, float]:
    """Return the time of each part [s], what is nested in a reset counted there only."""
    found = {name: spent[name] - spent[f"{name} in reset"] for name in _PARTS if name != "reset"}
    return found | {
        "reset": spent["reset"],
        "bare": spent["physics"] + spent["render"],
        "all": sum(spent[part] - spent[f"{part} in reset"] for part in ("execute", "observe")) + spent["reset"],
    }


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Measure the time of the calls that matter, in this process."""
    spent: dict[str, float] = defaultdict(float)
    depth = {"reset": 0}
    targets: list[tuple[Any, str, str]] = [
        (mujoco, "mj_step", "physics"),
        (Camera, "picture", "render"),
        (control.Controller, "advance", "control"),
        (control.Controller, "path", "control"),
        (control.Controller, "clamp", "control"),
        (truth.Truth, "done", "goals"),
        (world.World, "reset", "reset"),
        (world.World, "execute", "execute"),
        (world.World, "observe", "observe"),
    ]
    # a worker's own world inherits these
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in targets]

    def timed(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            depth["reset"] += part == "reset"
            try:
                return function(*arguments, **named)
            finally:
                depth["reset"] -= part == "reset"
                taken = time.perf_counter() - start
                spent[part] += taken
                if depth["reset"]:
                    spent[f"{part} in reset"] += taken

        return call

    for owner, name, part in targets:
        setattr(owner, name, timed(getattr(owner, name), part))
    try:
        yield spent
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def _neighbours(root: Path, plan: Plan, config: Config) -> None:
    """Print what others reach on the same machine with one process, or one a core."""
    print("| what | decisions/s |")
    print("|---|---|")
    for lean in (False, True):
        what = "no shadows, no anti-aliasing, sleeping objects" if lean else "as it comes: shadows, anti-aliasing"
        print(
            f"| plain MuJoCo in a loop: scene as on disk, mj_step, mujoco.Renderer 64 px, {what} | {_plain(root, lean):.0f} |"
        )
    for name, rate in (*_gymnasium(root, plan, config), *_robosuite(config)):
        print(f"| {name} | {rate} |")


def _plain(root: Path, lean: bool) -> float:
    """Return decisions a second of the plain calls: every scene as it is on disk, a random servo command a control step."""
    rng, taken, decisions = np.random.default_rng(0), 0.0, 0
    for scene in list(SceneLibrary.open(root).scenes())[:10]:
        model = scene.model(trusted=True)
        if lean:
            model.vis.quality.offsamples = 0
            model.light_castshadow[:] = False
            model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_SLEEP
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        home = data.ctrl.copy()
        with mujoco.Renderer(model, 64, 64) as renderer:
            for index in range(13):
                if index == 3:
                    start = time.perf_counter()
                for _ in range(4):
                    data.ctrl[:] = home + rng.normal(0, 0.05, model.nu)
                    mujoco.mj_step(model, data, round(0.2 / model.opt.timestep))
                renderer.update_scene(data, "policy")
                renderer.render()
        taken, decisions = taken + time.perf_counter() - start, decisions + 10
    return decisions / taken


def _gymnasium(root: Path, plan: Plan, config: Config) -> Iterator[tuple[str, str]]:
    """Yield what Gymnasium's own vector environments reach around one world each."""
    try:
        import gymnasium

        import worldgen.sim.gym  # noqa: F401
    except ImportError:
        yield "gymnasium", "not installed"
        return
    for mode in ("sync", "async"):
        environments = gymnasium.make_vec(
            "worldgen/Scene-v0", num_envs=8, vectorization_mode=mode, library=str(root), chunk=4, domain=config.domain,
            vector_kwargs={"context": "spawn"} if mode == "async" else {},
        )  # fmt: skip
        chunks = list(plan.values())[:8]
        environments.reset(seed=0)
        decisions, start = 0, None
        for index in range(10**9):
            environments.step(np.array([rows[index % 25] for rows in chunks], np.float32))
            if index == 5:
                start, decisions = time.perf_counter(), 0
            decisions += 8
            if start and time.perf_counter() - start > config.seconds:
                break
        assert start is not None
        yield f"gymnasium {mode} vector of 8 of our worlds", f"{decisions / (time.perf_counter() - start):.0f}"
        environments.close()


def _robosuite(config: Config) -> Iterator[tuple[str, str]]:
    """Yield what robosuite's Lift with one 64 px camera reaches; four control steps at 5 Hz are a decision."""
    try:
        import robosuite
    except ImportError:
        yield "robosuite Lift, one process", "not installed"
        return
    environment = robosuite.make(
        "Lift", robots="Panda", has_renderer=False, has_offscreen_renderer=True, use_camera_obs=True, camera_names="agentview",
        camera_heights=64, camera_widths=64, control_freq=5, ignore_done=True,
    )  # fmt: skip
    environment.reset()
    rng, steps, start = np.random.default_rng(0), 0, time.perf_counter()
    while time.perf_counter() - start < config.seconds:
        environment.step(rng.uniform(-0.5, 0.5, environment.action_dim))
        steps += 1
    yield (
        "robosuite Lift (1 object; a picture each step), one process",
        f"{steps / 4 / (time.perf_counter() - start):.0f}",
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

"""What else the same time buys: `python -m benchmarks.alternatives`, after `benchmarks.generative_worlds`. Prints Markdown for docs/results.md.

From the imitation, the library and the demonstrations of that benchmark, each alternative learns for so many minutes of one process of one
thread: PPO as there and with one thing changed, GRPO, more steps of imitation, and an expert who takes over from the policy (DAgger: in rounds,
all that was ever shown is imitated anew after each; what the last round that ended in time learned counts). Minutes of reinforcement learning are
those of playing and learning, others all from the first to the last step. Each is one run: intervals know that starts share scenes, not
that runs differ. Every cell is a small JSON file under docs/results/alternatives; cells that are there stay.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import tyro

from benchmarks.cells import Tell, kept, logged, save, side_by_side, words
from benchmarks.generative_worlds import RL
from trainer.config import Demos, Evaluate, Grpo, Ppo, Rl, Sft
from trainer.demos import demonstrate
from trainer.evaluate import evaluate
from trainer.folders import claim
from trainer.metrics import read_log
from trainer.policies.store import policy_digest
from trainer.rl import rl
from trainer.sft import sft
from worldgen.store import file_digest, write_file

BARE = "ppo, imitation without a base"
REINFORCED: dict[str, dict[str, Any]] = {
    "ppo": {},
    "ppo, sparse reward": {"algorithm": Ppo(reward="sparse", discount=0.9975, trace=0.95)},
    "ppo, one denoising step": {"steps": 1},
    "ppo, four denoising steps": {"steps": 4},
    "ppo, critic that sees what the policy sees": {"algorithm": Ppo(critic="shared")},
    "ppo, sight taught meanwhile": {"trunk_lr": 1e-5},
    "ppo, uncertain scenes oftener": {"draw": "uncertain"},
    "grpo": {"algorithm": Grpo()},
    BARE: {},
}
"""What each changes of the settings of the first."""
OTHERS = ("more imitation", "dagger")


@dataclass(frozen=True)
class Config:
    """What to measure."""

    worlds: Path = Path("generative-worlds")
    """Folder of `benchmarks.generative_worlds`, with its library, demonstrations and first imitation."""
    out: Path = Path("alternatives")
    """Folder of everything that is made on the way."""
    results: Path = Path("docs/results/alternatives")
    """Folder of the cells."""
    minutes: float = 25.0
    """That each learns; evaluations do not count."""
    cells: tuple[str, ...] = (*REINFORCED, *OTHERS)
    """Which alternatives."""
    episodes: int = 500
    """Of each evaluation."""
    imitation: Sft = field(default_factory=lambda: Sft(warm=7_000, steps=0))
    """More of it: as many steps as take the time."""
    bare: Sft = field(default_factory=lambda: Sft(base="none", warm=0, steps=1_500, strange=0.0))
    """Imitation without a base, which comes before the minutes."""
    dagger: Sft = field(default_factory=lambda: Sft(warm=1_000, steps=0))
    """Of each round."""
    round: int = 100
    """Demonstrations that each round adds."""
    rl: Rl = field(default_factory=lambda: replace(RL, iterations=10_000))
    workers: int = 2
    """Cells at once."""


class _Over(Exception):
    """The time is over."""


def main(config: Config) -> None:
    """Make what is missing and print the table; cells of other settings are refused."""
    if unknown := set(config.cells) - {*REINFORCED, *OTHERS}:
        raise SystemExit(f"There is no {', '.join(sorted(unknown))}. There are: {', '.join((*REINFORCED, *OTHERS))}.")
    unsaid = ("worlds", "out", "results", "cells", "workers")
    settings = {name: value for name, value in asdict(config).items() if name not in unsaid} | {
        "library": file_digest(config.worlds / "library" / "library.json"),
        "start": policy_digest(str(config.worlds / "start-0")),
        "reinforced": {name: repr(changed) for name, changed in REINFORCED.items()},
    }
    with claim(config.out, settings), claim(config.results, settings):
        side_by_side(
            _cell, [(config, name) for name in config.cells if not _path(config, name).exists()], config.workers
        )
    print("| | never-trained scenes | trained scenes | minutes | denoising steps | n each |\n|---|---|---|---|---|---|")
    for name in (name for name in (*REINFORCED, *OTHERS) if _path(config, name).exists()):
        cell = json.loads(_path(config, name).read_text())
        shares = " | ".join(words([cell[split]]) for split in ("unseen", "train"))
        print(f"| {name} | {shares} | {cell['minutes']:.0f} | {cell['denoising steps']} | {cell['unseen']['trials']} |")


def _path(config: Config, name: str) -> Path:
    return config.results / f"{_plain(name)}.json"


def _plain(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


def _cell(config: Config, name: str) -> str:
    """Learn in one way and find out what that brought; return it in words."""
    run, steps = config.out / _plain(name), Evaluate.steps
    with logged(config.out / f"{run.name}.log") as note:
        if name in REINFORCED:
            minutes, steps = _reinforced(config, name, run, note), REINFORCED[name].get("steps", config.rl.steps)
        else:
            clock = _Clock(config.out / f"{run.name}.minutes", note)
            if name == "dagger":
                run = _taught(config, run, clock)
            else:
                sft(config.worlds / "data", replace(config.imitation, out=run, threads=1), clock)
            minutes = clock.minutes
        found: dict[str, Any] = {"name": name, "minutes": minutes, "denoising steps": steps}
        for split in ("unseen", "train"):
            asked = Evaluate(split=split, episodes=config.episodes, workers=1, films=0, steps=steps)
            found[split] = kept(evaluate(run, config.worlds / "library", asked, note))
    save(_path(config, name), found)
    return f"{name}: {found['unseen']['successes']} of {found['unseen']['trials']} in never-trained scenes"


def _reinforced(config: Config, name: str, run: Path, tell: Tell) -> float:
    """Learn by reinforcement until the time is over; return the minutes that took."""
    start = config.worlds / "start-0"
    if name == BARE:
        start = config.out / "start-without-a-base"
        sft(config.worlds / "data", replace(config.bare, out=start, threads=1), tell)
    asked = replace(config.rl, **REINFORCED[name], out=run, init=start, workers=1, threads=1)

    def watch(line: str) -> None:
        tell(line)
        if _minutes(run) >= config.minutes:
            raise _Over

    try:
        rl(config.worlds / "library", asked, watch)
    except _Over:  # ends the run where it is: nothing more is learned
        rl(config.worlds / "library", replace(asked, iterations=len(_lines(run))), tell)
    return _minutes(run)


def _lines(run: Path) -> list[dict[str, Any]]:
    log = run / "metrics.jsonl"
    return [line for line in read_log(log) if "playing" in line] if log.exists() else []


def _minutes(run: Path) -> float:
    return float(sum(line["playing"] + line["learning"] for line in _lines(run)) / 60)


class _Clock:
    """Passes lines on, and counts minutes as they come, in a file: those of a process that was killed count too.

    Args:
        path: Where the minutes are kept.
        tell: Takes the lines.
    """

    def __init__(self, path: Path, tell: Tell) -> None:
        self._path, self._tell, self._last = path, tell, time.monotonic()
        self.minutes = float(path.read_text()) if path.exists() else 0.0

    def __call__(self, line: str) -> None:
        self._tell(line)
        now = time.monotonic()
        self.minutes, self._last = self.minutes + (now - self._last) / 60, now
        write_file(self._path, f"{self.minutes}\n")


def _taught(config: Config, run: Path, clock: _Clock) -> Path:
    """Let the expert take over from the policy, round after round until the time is over; return the last one's run."""
    data, policy, number = run / "data", config.worlds / "start-0", 0
    if not data.exists():
        shutil.copytree(config.worlds / "data", copy := data.with_suffix(".tmp"), dirs_exist_ok=True)
        copy.rename(data)
    shown = json.loads((config.worlds / "data" / "meta" / "info.json").read_text())["total_episodes"]
    library, over = config.worlds / "library", 0.0
    while over < config.minutes:
        number += 1
        made = run / f"round-{number}"
        ended = run / f"round-{number}.minutes"
        if not ended.exists():
            wanted = shown + number * config.round
            demonstrate(library, Demos(out=data, episodes=wanted, pilot=str(policy), disturb=0.5, workers=1), clock)
            sft(data, replace(config.dagger, out=made, threads=1), clock)
            clock(f"round {number} is over")
            write_file(ended, f"{clock.minutes}\n")
        over = float(ended.read_text())
        if over <= config.minutes or number == 1:
            policy = made
    return policy


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

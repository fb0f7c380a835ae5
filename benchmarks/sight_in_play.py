"""How well policies see while one of them plays: `python -m benchmarks.sight_in_play LIBRARY RUN OTHER...`. Prints Markdown for docs/results.md.

In demonstrations everything goes as it should, and what is to be seen is seen well. What counts is what is seen where a policy itself leads:
the first run's policy plays, and it and all others (runs, policy folders, or `shipped`) say where the target is in each picture it decided on.
Who plays dwells where it errs, so compare those who only look, or let each of them play; pictures of one episode are alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from tyro.conf import Positional

from trainer.config import Evaluate, Rl, Zero
from trainer.episodes import scores, stage_of
from trainer.evaluate import starts_of
from trainer.metrics import Median, Share
from trainer.policies.store import load_acting, load_policy, policy_folder
from trainer.rollout import Rollout, collect
from trainer.sets import scenes_of
from trainer.sight import Labels, in_sight
from worldgen.sim.worlds import ProcessWorlds

_BATCH = 128
_BOUNDS = (15.0, 40.0)
"""What is seen so far off is grasped badly, or is something else [mm]."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    library: Positional[Path]
    """Made by `worldgen make`."""
    runs: Positional[tuple[str, ...]]
    """Who plays, and who else looks."""
    split: str = "train"
    """Of the library."""
    episodes: int = 200
    workers: int = 2


def main(config: Config) -> None:
    """Play and print the table."""
    torch.set_num_threads(config.workers)
    policy = load_acting(Path(config.runs[0]))
    asked = Evaluate(split=config.split, episodes=config.episodes)
    starts = starts_of(scenes_of(config.library, config.split), asked)
    with ProcessWorlds(config.library, stage_of(policy, Rl()), asked.slots, config.workers, trusted=True) as worlds:
        rollout = collect(policy, worlds, starts, Zero(), torch.Generator())
    labels = Labels.of(rollout.privileged.numpy(), rollout.state.numpy())
    episode, won = rollout.decided.episodes(), scores(rollout)
    scenes = np.array([course.start.scene for course in rollout.courses])
    shown, where = in_sight(labels.places())[:, :2], scenes[episode]
    print(f"{(~shown[:, 0]).mean():.1%} of {len(shown)} pictures do not have the target inside; they do not count.\n")
    print("| who looks | median | four fifths within [mm] | beyond 15 mm | beyond 40 mm | second thing, median | n |")
    print("|---|---|---|---|---|---|---|")
    offs = [1e3 * np.linalg.norm(_seen(run, rollout) - labels.points, axis=2) for run in config.runs]
    for run, off in zip(config.runs, offs, strict=True):
        off[~shown] = np.nan
        (first, at), (second, other) = ((off[shown[:, slot], slot], where[shown[:, slot]].tolist()) for slot in (0, 1))
        beyond = " | ".join("{} ({})".format(*Share.over((first > far).tolist(), at).words()[:2]) for far in _BOUNDS)
        print(
            f"| {run} | {Median.over(first.tolist(), at).words('mm')} | {np.percentile(first, 80):.1f} | {beyond} | "
            f"{Median.over(second.tolist(), other).words('mm')} | {len(first)} |",
            flush=True,
        )
    looks = [offs[0][episode == number, 0] for number in range(len(won))]
    middle, begun = np.array([np.nanmedian(off) for off in looks]), np.array([off[0] for off in looks])
    near, far = _BOUNDS
    print(f"\n| half of an episode's looks are | episodes | beyond {far:.0f} mm at the first look | succeed | 95 % |")
    print("|---|---|---|---|---|")
    for what, some in (
        (f"within {near:.0f} mm", middle <= near),
        (f"{near:.0f} to {far:.0f} mm off", (middle > near) & (middle <= far)),
        (f"beyond {far:.0f} mm", middle > far),
    ):
        share = Share.over((won[some] > 0).tolist(), scenes[some].tolist())
        astray = int((begun[some] > far).sum())
        print(
            f"| {what} | {share.trials} of {len(won)} | {astray} | {share.successes} | {100 * share.low:.0f} to {100 * share.high:.0f} |"
        )


@torch.no_grad()
def _seen(run: str, rollout: Rollout) -> NDArray[np.float32]:
    """Return where a network sees the two things (N, 2, 3) [m]."""
    net = load_policy(policy_folder(run))
    if net.interface.size != rollout.images.shape[-2]:
        raise SystemExit(f"'{run}' looks at {net.interface.size} px, the first at {rollout.images.shape[-2]}.")
    rows = torch.arange(len(rollout)).split(_BATCH)
    found: NDArray[np.float32] = torch.cat([net.where(net.remember(rollout.inputs(some))) for some in rows]).numpy()
    return found


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

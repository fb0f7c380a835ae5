"""The last gate: a scripted expert plays the scene from a few starts and has to reach the goal. Knows worlds and the expert."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .library import Check, Scene
from .sim import domains
from .sim.expert import Expert
from .sim.stage import Settings, Stage
from .sim.world import World

EPISODES, SUCCESSES = 4, 3
"""Starts that are played, and how many of them have to succeed."""
DOMAIN = "paper"
"""What is drawn anew at each start: the places of objects and the arm's joints, beside what only a camera sees."""


def certify(scene: Scene) -> tuple[Check, ...]:
    """Return how many episodes the expert solved, and how long it took on average.

    The scene must have been compiled safely before. Starts are the seeds 0 to 3; a scene that can no longer pass is not played on.
    """
    stage = Stage(scene, Settings(domains.load(DOMAIN), views=()), trusted=True)
    try:
        return _certify(World(stage))
    finally:
        stage.close()


def _certify(world: World) -> tuple[Check, ...]:
    expert, seconds, troubles = Expert(world), list[float](), list[str]()
    for seed in range(EPISODES):
        world.reset(seed)
        expert.reset(seed)
        while not world.end:
            world.step(expert.act())
        if world.end == "success":
            seconds.append(world.elapsed * world.limit * world.stage.controller.period)
        else:
            troubles.append(_reason(world, expert))
        if len(troubles) > EPISODES - SUCCESSES:
            break
    ok = len(seconds) >= SUCCESSES
    played = len(seconds) + len(troubles)
    detail = "" if ok else f"the expert reached the goal in {len(seconds)} of {played} episodes: {_told(troubles)}."
    solved = Check(
        name="solved", ok=ok, value=len(seconds), limit=SUCCESSES, unit=f"episodes of {EPISODES}", detail=detail
    )
    if not ok:
        return (solved,)
    limit = world.stage.scene.record.spec.task.seconds
    return solved, Check(name="time", ok=True, value=round(float(np.mean(seconds)), 2), limit=limit, unit="s")


def _reason(world: World, expert: Expert) -> str:
    """Return in words why an episode failed."""
    known = {"fell": "an object fell off the table", "invalid": "the physics diverged"}
    return known.get(world.end) or expert.trouble or "time ran out"


def _told(troubles: list[str]) -> str:
    return "; ".join(trouble + (f" ({count} x)" if count > 1 else "") for trouble, count in Counter(troubles).items())

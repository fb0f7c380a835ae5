"""Named test sets: each takes a policy away from what it was trained on along one axis. Knows scenes and domains, no policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldgen.library import Scene, SceneLibrary
from worldgen.sim import domains
from worldgen.sim.domains import CameraRanges, Domain, LightRanges, Placement, TextureRanges
from worldgen.spec import InGoal, OnGoal, Range, goal_names
from worldgen.wire import SPLITS

from .errors import RunError

UNSEEN = "unseen"
"""All splits but train."""
_CROWD = 4
"""Objects beside those of the task that make a scene crowded."""


@dataclass(frozen=True)
class TestSet:
    """Scenes and a domain."""

    __test__ = False  # pytest takes the name for a test's

    about: str
    split: str
    domain: Callable[[], Domain]
    fits: Callable[[Scene], bool] = lambda scene: True


def _paper(**changes: object) -> Callable[[], Domain]:
    return lambda: domains.load("paper").model_copy(update=changes)


def _received(scene: Scene) -> bool:
    return isinstance(scene.record.spec.task.goals[0], OnGoal | InGoal)


def _movable(scene: Scene) -> bool:
    spec = scene.record.spec
    return spec.object(goal_names(spec.task.goals[0])[0]).role != "fixture"


def _crowded(scene: Scene) -> bool:
    named = {name for goal in scene.record.spec.task.goals for name in goal_names(goal)}
    return len({item.name for item in scene.record.spec.objects} - named) >= _CROWD


# What looks another way lies outside of what pre-training draws, too. Where objects lie does not: scenes have them all over the table.
SETS: dict[str, TestSet] = {
    "objects": TestSet("objects of known categories, never seen", "unseen-objects", _paper()),
    "containers": TestSet("what receives an object, never seen", "unseen-objects", _paper(), _received),
    "categories": TestSet("categories never seen or read of", "unseen-categories", _paper()),
    "instructions": TestSet("sentences of forms never read", "unseen-instructions", _paper()),
    "backgrounds": TestSet("tables and rooms never seen", "unseen-backgrounds", _paper()),
    "textures": TestSet(
        "tables, walls and floors repainted", "train", _paper(texture=TextureRanges(repaint=1.0, first=2000))
    ),
    "light": TestSet(
        "light from where it never came, weaker or stronger",
        "train",
        _paper(
            light=LightRanges(
                ambient=Range(low=0.0, high=0.8),
                azimuth=Range(low=90.0, high=270.0),
                elevation=Range(low=-30.0, high=10.0),
                strength=Range(low=0.4, high=1.6),
            )
        ),
    ),
    "camera": TestSet(
        "camera shifted, turned and with another lens, by more than was ever trained with",
        "train",
        _paper(
            camera=CameraRanges(
                position=Range(low=0.05, high=0.09),
                rotation=Range(low=0.03, high=0.06),
                fov=Range(low=2.0, high=6.0),
            )
        ),
    ),
    "positions": TestSet(
        "objects farther from where their scene has them", "train", _paper(objects=Placement(xy=0.3, yaw=3.15))
    ),
    "arm": TestSet("arm starts elsewhere", "train", _paper(joints=Range(low=-0.25, high=0.25))),
    "moved": TestSet("the object is shifted after .8 s", "train", _paper(nudge=Range(low=0.04, high=0.08)), _movable),
    "distractors": TestSet(
        "scenes never seen, with four and more objects that do not matter", "unseen", _paper(), _crowded
    ),
}


def chosen(name: str) -> TestSet:
    """Return a test set.

    Raises:
        RunError: When there is none of that name.
    """
    if name not in SETS:
        raise RunError(f"There is no test set '{name}'. There are: {', '.join(SETS)}.")
    return SETS[name]


def scenes_of(library: Path, split: str) -> list[Scene]:
    """Return the scenes of a split, of `all`, or of `unseen`: all but train.

    Raises:
        RunError: When there is no such split.
    """
    if split in SPLITS:
        return list(SceneLibrary.open(library).scenes(split))
    if split not in ("all", UNSEEN):
        raise RunError(f"There is no split '{split}'. There are: unseen (all but train), all, {', '.join(SPLITS)}.")
    return [scene for scene in SceneLibrary.open(library).scenes() if split == "all" or scene.record.split != "train"]


def drawn(scenes: Sequence[Scene], count: int | None, seed: int) -> list[Scene]:
    """Return so many of some scenes, drawn by a seed: the same ones for learning and for evaluating, and more of them contain fewer. None for all.

    Raises:
        RunError: When there are fewer.
    """
    if count is None:
        return list(scenes)
    if count > len(scenes):
        raise RunError(f"There are {len(scenes)} such scenes, not {count}. Ask for fewer, or make a larger library.")
    by_name = {scene.name: scene for scene in scenes}
    return [by_name[name] for name in np.random.default_rng([seed, 3]).permutation(sorted(by_name)).tolist()[:count]]


def scenes_of_set(library: Path, name: str, split: str = "") -> Sequence[Scene]:
    """Return the scenes of a library that belong to a test set: of its own split, or of another one where scenes are not what makes it.

    Raises:
        RunError: When there are none, or the set is of one split only.
    """
    wanted = chosen(name)
    if split and split != wanted.split and wanted.split != "train":
        raise RunError(f"--set {name} is {wanted.about}, of split '{wanted.split}': leave --split {split} out.")
    split = split or wanted.split
    found = [scene for scene in scenes_of(library, split) if wanted.fits(scene)]
    if not found:
        raise RunError(
            f"'{library}' has no scene for the test set '{name}': {wanted.about}, of split '{split}'. "
            "Make a larger library, with --splits that hold some out."
        )
    return found

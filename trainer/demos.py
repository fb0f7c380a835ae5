"""Demonstrations: the scripted expert plays scenes, and what it does becomes a dataset. Knows no networks.

At times the arm is pushed off its way on purpose. What follows shows how to come back; the push itself is marked and not imitated.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldgen import robots
from worldgen.library import Scene, SceneLibrary
from worldgen.sim import domains
from worldgen.sim.stage import Settings
from worldgen.sim.truth import PRIVILEGED
from worldgen.sim.worlds import Observations, ProcessWorlds, Start
from worldgen.store import file_digest

from .config import Demos
from .errors import RunError
from .folders import held
from .limits import require
from .play import Course, play
from .recorder import Writer
from .records import Demonstration, Interface, require_size

_LONGEST = 3
"""Most steps of a disturbance."""
_MEAN = (1 + _LONGEST) / 2
_ROOM = 100_000
"""Seeds of one root seed; ten of those come before what evaluation has."""
_PER_FILE = 50
"""Episodes a file of the dataset: what a kill costs at most."""
_PUSH = np.array([0.03, 0.03, 0.025, 0.08, 0.08, 0.15, 0.0])
"""Largest disturbance of one step [m], [rad]."""
SEEDS = 10**6
"""Seeds of demonstrations are below this one; evaluation has those above."""


def demonstrate(library: Path, config: Demos, tell: Callable[[str], None] = print) -> int:
    """Write a dataset of `config.episodes` successful demonstrations, or add what is missing to one. Return how many were tried.

    Raises:
        RunError: When the library has no scene of the split, the expert solves too few, or the folder was begun with other settings or is in
            another process's hands.
        DatasetError: When the folder holds another dataset.
    """
    require(config)
    require_size(config.size)
    scenes = list(SceneLibrary.open(library).scenes(config.split))
    interface = interface_of(scenes, library, config.split, config.size, config.cameras)
    families, tried, solved = {scene.name: scene.record.family for scene in scenes}, Counter[str](), Counter[str]()
    digest = file_digest(library / "library.json")
    with held(config.out), Writer(config.out, interface, per_file=_PER_FILE, privileged=PRIVILEGED) as writer:
        count, first = writer.episodes, _resumed(writer, sorted(families), digest, config)
        starts = _starts(sorted(families), config, first) if count < config.episodes else []
        with contextlib.closing(_shown(library, interface, families, starts, digest, config)) as shown:
            for start, demonstration in zip(starts, shown, strict=False):
                tried[families[start.scene]] += 1
                if demonstration is not None:
                    solved[families[start.scene]] += 1
                    writer.add(demonstration)
                    count += 1
                    if count % 25 == 0:
                        tell(f"{count} of {config.episodes} demonstrations; {tried.total()} starts were tried now")
                if count >= config.episodes:
                    break
        if count < config.episodes:
            raise RunError(
                f"The expert solved too few starts: {count} of {config.episodes} demonstrations. "
                f"Look at the library with `worldgen check {library}`, or finish with what there is: --episodes {count}."
            )
    if tried:
        tell(
            f"solved: {', '.join(f'{family} {solved[family]} of {number}' for family, number in sorted(tried.items()))}"
        )
    return tried.total()


def interface_of(
    scenes: Sequence[Scene], library: Path, split: str, size: int, cameras: tuple[str, ...] = ("policy",)
) -> Interface:
    """Return what a policy for these scenes sees and does.

    Raises:
        RunError: When there are none, or they are of different arms.
    """
    if not scenes:
        raise RunError(f"'{library}' has no scene of split '{split}'. Make one with `worldgen make --splits ...`.")
    found = {scene.record.spec.robot for scene in scenes}
    if len(found) > 1:
        raise RunError(f"'{library}' has scenes of several arms: {', '.join(sorted(found))}. Take a library of one.")
    name = found.pop()
    recipe = robots.read_recipe(library / "robots" / name / "robot.json", name)
    try:
        return Interface(robot=name, rate_hz=recipe.control.rate_hz, cameras=cameras, size=size)
    except ValueError as error:
        raise RunError(f"{error}.") from error


def in_order(courses: Iterator[Course]) -> Iterator[Course]:
    """Yield episodes in the order of their starts: what comes of them then does not depend on who was quicker."""
    early: dict[int, Course] = {}
    wanted = 0
    for course in courses:
        early[course.index] = course
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1


def _shown(
    library: Path, interface: Interface, families: dict[str, str], starts: Sequence[Start], digest: str, config: Demos
) -> Generator[Demonstration | None, None, None]:
    """Yield for each start what the expert showed; None where it failed."""
    if not starts:
        return
    settings = Settings(domains.load(config.domain), views=interface.views(), privileged=True, chunk=1)
    with ProcessWorlds(library, settings, min(config.slots, len(starts)), config.workers, trusted=True) as worlds:
        pushes = _Pushes(worlds, config.disturb)
        for course in in_order(play(pushes, worlds, starts)):
            won = course.end == "success"
            yield _demonstration(course, pushes, families[course.start.scene], digest, config) if won else None


def _resumed(writer: Writer, names: Sequence[str], digest: str, config: Demos) -> int:
    """Return the number of the first start that was not played yet.

    Raises:
        RunError: When the dataset was begun with other settings.
    """
    if not writer.episodes:
        return 0
    last, index = writer.last, int(writer.last["seed"]) - _seed(config, 0)
    before = (last["scene"], last["domain"], last.get("disturb"), last.get("library", digest))
    mine = 0 <= index < _ROOM and before == (names[index % len(names)], config.domain, config.disturb, digest)
    if not mine:
        raise RunError(
            f"'{config.out}' was begun with another library, split, domain, seed or disturb: its last episode is of scene "
            f"'{last['scene']}', domain '{last['domain']}', seed {last['seed']}, disturb {last['disturb']}. "
            "Use another --out or delete it."
        )
    return index + 1


def _seed(config: Demos, index: int) -> int:
    return config.seed * _ROOM + index


def _starts(names: Sequence[str], config: Demos, first: int) -> list[Start]:
    """Return starts from number `first` on, a third more than are wanted: every scene once, then every scene again."""
    last = min(_ROOM, config.episodes + config.episodes // 3 + 20)
    return [Start(names[index % len(names)], _seed(config, index)) for index in range(first, last)]


class _Pushes:
    """Asks the expert, and pushes the arm off its way now and then; an episode's pushes hang on its start alone."""

    def __init__(self, worlds: ProcessWorlds, share: float) -> None:
        self._worlds, self._chance = worlds, share / (_MEAN * (1 - share) + share)
        self._now: dict[int, tuple[np.random.Generator, int, NDArray[np.float64]]] = {}
        self.pushed: dict[int, list[bool]] = {}
        """Episode → whether each of its steps was a push."""

    def __call__(self, _: Observations, courses: list[Course]) -> NDArray[np.float32]:
        # as executed, in float32, no advice is the expert's own to the bit: it takes each step for somebody else's and keeps no memory of
        # its ways. What it shows then hangs on what is seen, which is all that a policy can learn from.
        advice = self._worlds.advise([course.slot for course in courses]).astype(np.float32)
        for row, course in zip(advice, courses, strict=True):
            rng, left, push = self._now.get(
                course.index, (np.random.default_rng([course.start.seed, 7]), 0, np.zeros(7))
            )
            if not left and rng.uniform() < self._chance:
                left, push = int(rng.integers(1, _LONGEST + 1)), rng.uniform(-1, 1, 7) * _PUSH
            self.pushed.setdefault(course.index, []).append(left > 0)
            if left:
                row[0, :6] = push[:6]
            self._now[course.index] = rng, max(0, left - 1), push
        return advice


def _demonstration(course: Course, pushes: _Pushes, family: str, digest: str, config: Demos) -> Demonstration:
    moments = course.moments
    return Demonstration(
        images={camera: np.stack([moment.images[camera] for moment in moments]) for camera in moments[0].images},
        state=np.stack([moment.state for moment in moments]),
        action=np.stack([moment.chunk[0] for moment in moments]),
        perturbed=np.array(pushes.pushed[course.index]),
        instruction=course.instruction,
        success=True,
        source={
            "scene": course.start.scene,
            "seed": course.start.seed,
            "family": family,
            "domain": config.domain,
            "disturb": config.disturb,
            "library": digest,
        },
        privileged=np.stack([moment.privileged for moment in moments if moment.privileged is not None]),
    )

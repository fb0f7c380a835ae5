"""Demonstrations: the scripted expert plays scenes, and what it does becomes a dataset. Knows no networks; a pilot is only asked.

At times somebody else has the arm on purpose: it is pushed off its way, or a policy drives (DAgger, Ross et al. 2011, with an expert that takes
over). What follows shows how to come back; what somebody else does is marked and not imitated.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldgen import robots
from worldgen.library import Scene, SceneLibrary
from worldgen.sim import domains
from worldgen.sim.stage import Settings
from worldgen.sim.truth import PRIVILEGED
from worldgen.sim.worlds import Observations, ProcessWorlds, Start
from worldgen.store import file_digest

from .config import Demos, Zero
from .errors import RunError
from .folders import held
from .limits import require
from .play import Course, play
from .recorder import Writer
from .records import Demonstration, Interface, require_size

_PUSHES, _CHUNKS = 3, 4
"""Most steps of a push, and most chunks that a policy drives on end."""
_ROOM = 100_000
"""Seeds of one root seed; ten of those come before what evaluation has."""
_PER_FILE = 50
"""Episodes a file of the dataset: what a kill costs at most."""
_PUSH = np.array([0.03, 0.03, 0.025, 0.08, 0.08, 0.15, np.nan])
"""Largest push of one step [m], [rad]; the gripper is the expert's."""
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
    pilot = _pilot(config, interface)
    facts = {
        "domain": config.domain,
        "disturb": config.disturb,
        "pilot": pilot.digest if pilot else "",
        "library": file_digest(library / "library.json"),
    }
    with held(config.out), Writer(config.out, interface, per_file=_PER_FILE, privileged=PRIVILEGED) as writer:
        count, first = writer.episodes, _resumed(writer, sorted(families), facts, config, tell)
        starts = _starts(sorted(families), config, first) if count < config.episodes else []
        with contextlib.closing(_shown(library, interface, starts, pilot, config)) as shown:
            for start, played in zip(starts, shown, strict=False):
                tried[families[start.scene]] += 1
                if played is not None:
                    solved[families[start.scene]] += 1
                    source = {"scene": start.scene, "seed": start.seed, "family": families[start.scene], **facts}
                    writer.add(_demonstration(*played, source))
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


def require_suits(scenes: Sequence[Scene], library: Path, split: str, face: Interface) -> None:
    """Refuse scenes that a policy is not made for.

    Raises:
        RunError: Naming every difference, or when there are no scenes.
    """
    if other := interface_of(scenes, library, split, face.size, face.cameras).differences(face):
        raise RunError(f"The library '{library}' is not for this policy: {'; '.join(other)} (the library's first).")


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
    library: Path, interface: Interface, starts: Sequence[Start], pilot: Pilot | None, config: Demos
) -> Generator[tuple[Course, list[bool]] | None, None, None]:
    """Yield for each start what the expert showed, and where somebody else had the arm; None where it failed."""
    if not starts:
        return
    settings = Settings(domains.load(config.domain), views=interface.views(), privileged=True, chunk=1)
    with ProcessWorlds(library, settings, min(config.slots, len(starts)), config.workers, trusted=True) as worlds:
        drivers = _Drivers(worlds, config.disturb, pilot)
        for course in in_order(play(drivers, worlds, starts)):
            driven = drivers.driven.pop(course.index, [])
            yield (course, driven) if course.end == "success" else None


def _resumed(
    writer: Writer, names: Sequence[str], facts: Mapping[str, Any], config: Demos, tell: Callable[[str], None]
) -> int:
    """Return the number of the first start that was not played yet. How the arm is disturbed may change within a dataset: each episode says it.

    Raises:
        RunError: When the dataset was begun with other settings.
    """
    if not writer.episodes:
        return 0
    last, index = writer.last, int(writer.last["seed"]) - _seed(config, 0)
    before = (last["scene"], last["domain"], last.get("library", facts["library"]))
    mine = 0 <= index < _ROOM and before == (names[index % len(names)], facts["domain"], facts["library"])
    if not mine:
        raise RunError(
            f"'{config.out}' was begun with another library, split, domain or seed: its last episode is of scene "
            f"'{last['scene']}', domain '{last['domain']}', seed {last['seed']}. Use another --out or delete it."
        )
    if changed := [name for name in ("disturb", "pilot") if last.get(name, "") not in (facts[name], None)]:
        by = f" by {config.pilot}" if config.pilot else ""
        tell(f"from here on with another {' and '.join(changed)}: {config.disturb:g}{by}")
    return index + 1


def _seed(config: Demos, index: int) -> int:
    return config.seed * _ROOM + index


def _starts(names: Sequence[str], config: Demos, first: int) -> list[Start]:
    """Return starts from number `first` on, a third more than are wanted: every scene once, then every scene again."""
    last = min(_ROOM, config.episodes + config.episodes // 3 + 20)
    return [Start(names[index % len(names)], _seed(config, index)) for index in range(first, last)]


class _Drivers:
    """Asks the expert, and gives the arm to somebody else now and then; when, and what a push is, hangs on an episode's start alone.

    Args:
        worlds: Whose expert is asked.
        share: Share of the steps that somebody else has.
        pilot: Who that is, from one observation to a chunk (C, 7); None for pushes.
    """

    def __init__(self, worlds: ProcessWorlds, share: float, pilot: Pilot | None = None) -> None:
        self._worlds, self._pilot = worlds, pilot
        mean = (1 + _PUSHES) / 2 if pilot is None else pilot.chunk * (1 + _CHUNKS) / 2
        self._chance = share / (mean * (1 - share) + share)
        self._now: dict[int, _Aside] = {}
        self.driven: dict[int, list[bool]] = {}
        """Episode → whether somebody else had the arm at each of its steps."""

    def __call__(self, seen: Observations, courses: list[Course]) -> NDArray[np.float32]:
        # as executed, in float32, no advice is the expert's own to the bit: it takes each step for somebody else's and keeps no memory of
        # its ways. What it shows then hangs on what is seen, which is all that a policy can learn from.
        advice = self._worlds.advise([course.slot for course in courses]).astype(np.float32)
        for row, course in enumerate(courses):
            aside = self._now.setdefault(course.index, _Aside(np.random.default_rng([course.start.seed, 7])))
            if not aside.busy and aside.rng.uniform() < self._chance:
                self._begin(aside)
            if aside.chunks and not aside.actions and self._pilot:
                aside.chunks -= 1
                aside.actions = list(self._pilot.decide(seen.row(row)))
            self.driven.setdefault(course.index, []).append(bool(aside.actions))
            if aside.actions:
                action = aside.actions.pop(0)
                advice[row, 0] = np.where(np.isfinite(action), action, advice[row, 0])
        return advice

    def _begin(self, aside: _Aside) -> None:
        """Say for how long somebody else has the arm, and how it is pushed."""
        if self._pilot:
            aside.chunks = int(aside.rng.integers(1, _CHUNKS + 1))
        else:
            steps = int(aside.rng.integers(1, _PUSHES + 1))
            aside.actions = [aside.rng.uniform(-1, 1, 7) * _PUSH] * steps


@dataclass
class _Aside:
    """What somebody else still does in an episode."""

    rng: np.random.Generator
    chunks: int = 0
    """Chunks to be decided yet."""
    actions: list[NDArray[np.floating]] = field(default_factory=list)
    """(7,) each; what is NaN is the expert's."""

    @property
    def busy(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self.chunks or self.actions)


@dataclass(frozen=True)
class Pilot:
    """A policy that drives, as it does when it is evaluated."""

    decide: Callable[[Observations], NDArray[np.float32]]
    """From one observation to a chunk (C, 7)."""
    chunk: int
    digest: str
    """Which weights it has."""


def _pilot(config: Demos, interface: Interface) -> Pilot | None:
    """Return who drives now and then; None for nobody.

    Raises:
        CheckpointError: When the policy cannot be read.
        RunError: When it is made for another arm or camera, or never drives.
    """
    run = config.pilot
    if not run:
        return None
    if not config.disturb:
        raise RunError(f"--pilot {run} never drives with --disturb 0: give it a share, such as 0.5.")
    from .policies.store import load_acting, policy_digest, threads  # needs torch, which demonstrations do without

    policy = load_acting(Path(run))
    if differences := interface.differences(policy.interface):
        raise RunError(
            f"--pilot {run} does not fit: {'; '.join(differences)} (what is asked for first). Use its --size and --cameras."
        )
    threads(1)  # it decides for one world at a time, so that what it does hangs on no other
    return Pilot(lambda seen: policy.act(seen, None, Zero()).actions[0], policy.chunk, policy_digest(run))


def _demonstration(course: Course, driven: Sequence[bool], source: dict[str, Any]) -> Demonstration:
    moments = course.moments
    return Demonstration(
        images={camera: np.stack([moment.images[camera] for moment in moments]) for camera in moments[0].images},
        state=np.stack([moment.state for moment in moments]),
        action=np.stack([moment.chunk[0] for moment in moments]),
        perturbed=np.array(driven),
        instruction=course.instruction,
        success=True,
        source=source,
        privileged=np.stack([moment.privileged for moment in moments if moment.privileged is not None]),
    )

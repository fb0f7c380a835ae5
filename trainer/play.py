"""The only loop in which somebody who decides meets worlds. Knows neither policies nor what the episodes are for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worldgen.camera import Image
from worldgen.sim.world import End
from worldgen.sim.worlds import Observations, Start, Worlds


@dataclass(frozen=True)
class Moment:
    """What was seen at one decision, and what was decided."""

    images: dict[str, Image]
    state: NDArray[np.float32]
    privileged: NDArray[np.float32] | None
    chunk: NDArray[np.float32]
    """(C, 7) as decided."""
    reward: float = 0.0
    """What was paid for it."""
    steps: int = 0
    """Actions of it that were executed."""


@dataclass
class Course:
    """One episode."""

    index: int
    """Which of the starts."""
    start: Start
    slot: int
    instruction: str = ""
    moments: list[Moment] = field(default_factory=list)
    last: Moment | None = None
    """What was seen after the last decision; its chunk is empty."""
    end: End = ""
    steps: int = 0
    """Actions executed."""
    reward: float = 0.0

    def forget(self) -> None:
        """Drop the pictures: many of them are many megabytes."""
        for moment in (*self.moments, self.last):
            if moment:
                moment.images.clear()


Decide = Callable[[Observations, list[Course]], NDArray[np.float32]]
"""From what n worlds show, and the episodes there so far, to chunks (n, C, 7)."""


class Slotted(Worlds, Protocol):
    """Worlds that say how many slots they have."""

    slots: int


def play(decide: Decide, worlds: Slotted, starts: Sequence[Start]) -> Iterator[Course]:
    """Play an episode from each start, as many at once as there are slots, and yield each when it is over.

    Args:
        decide: Who acts.
        worlds: Where.
        starts: Taken in order; episodes end in any order.
    """
    waiting = iter(enumerate(starts))
    courses: dict[int, Course] = {}
    shown: dict[int, tuple[Observations, int]] = {}
    free = list(range(worlds.slots))
    while True:
        begun = [(slot, *item) for slot, item in zip(free, waiting, strict=False)]
        free = free[len(begun) :]
        if begun:
            slots = [slot for slot, _, _ in begun]
            seen = worlds.reset([start for _, _, start in begun], slots)
            for row, (slot, index, start) in enumerate(begun):
                courses[slot] = Course(index, start, slot, seen.instruction[row])
                shown[slot] = seen, row
        over = [slot for slot, end in zip(courses, worlds.ends(list(courses)), strict=True) if end]
        for slot in over:  # also those that never began: quarantined
            yield _ended(courses.pop(slot), worlds.ends([slot])[0], *shown.pop(slot))
            free.append(slot)
        if over:  # others begin there before anybody goes on
            continue
        if not courses:
            return
        _step(decide, worlds, sorted(courses), courses, shown)


def _step(
    decide: Decide,
    worlds: Slotted,
    live: list[int],
    courses: dict[int, Course],
    shown: dict[int, tuple[Observations, int]],
) -> None:
    now = _joined([shown[slot] for slot in live])
    chunks = decide(now, [courses[slot] for slot in live])
    done = worlds.step(chunks, live)
    for row, slot in enumerate(live):
        course = courses[slot]
        reward, steps = float(done.reward[row]), int(done.steps[row])
        course.moments.append(replace(_moment(now, row, chunks[row]), reward=reward, steps=steps))
        course.steps += steps
        course.reward += reward
        shown[slot] = done.observations, row


def _ended(course: Course, end: End, seen: Observations, row: int) -> Course:
    course.end, course.last = end, _moment(seen, row, np.zeros((0, 7), np.float32))
    return course


def _moment(seen: Observations, row: int, chunk: NDArray[np.float32]) -> Moment:
    images = {camera: pictures[row] for camera, pictures in seen.images.items()}
    return Moment(images, seen.state[row], None if seen.privileged is None else seen.privileged[row], np.asarray(chunk))


def _joined(parts: Sequence[tuple[Observations, int]]) -> Observations:
    """Return one row of each of several observations as one."""
    first = parts[0][0]
    return Observations(
        {camera: np.stack([seen.images[camera][row] for seen, row in parts]) for camera in first.images},
        np.stack([seen.state[row] for seen, row in parts]),
        [seen.instruction[row] for seen, row in parts],
        None
        if first.privileged is None
        else np.stack([seen.privileged[row] for seen, row in parts if seen.privileged is not None]),
    )

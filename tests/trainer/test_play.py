"""The loop in which somebody meets worlds: every start once, each episode with what was its own, whoever ends first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.play import Course, play
from worldgen.sim.world import End
from worldgen.sim.worlds import Observations, Start, Transitions

from .handmade import Imagined

BROKEN = "broken"
"""A scene whose episodes are over at the reset."""


class Fake(Imagined):
    """Worlds whose episodes are as long as their seed, and show which one it is and how far: state (scene, seed, looks)."""

    def __init__(self, slots: int, privileged: bool = True) -> None:
        self.slots, self.privileged = slots, privileged
        self.now: dict[int, list[int | str]] = {}
        """Slot → scene, seed, looks."""
        self.over: dict[int, End] = {}
        self.begun: list[Start] = []

    def reset(self, starts: Sequence[Start], slots: Sequence[int] | None = None) -> Observations:
        assert slots is not None
        assert len(starts) == len(slots) > 0
        for start, slot in zip(starts, slots, strict=True):
            assert self.over.get(slot, "fresh"), "a slot is taken only after its episode"
            self.begun.append(start)
            self.now[slot] = [start.scene, start.seed, 0]
            self.over[slot] = "invalid" if start.scene == BROKEN else ""
        return self._show(slots)

    def step(self, chunks: np.ndarray, slots: Sequence[int] | None = None) -> Transitions:
        assert slots is not None
        assert not any(self.over[slot] for slot in slots)
        assert chunks.shape == (len(slots), 2, 7)
        steps = []
        for slot, chunk in zip(slots, chunks, strict=True):
            scene, seed, looks = self.now[slot]
            assert chunk[0, :2].tolist() == [seed, looks], "the decision for this slot, made on what it showed last"
            self.now[slot] = [scene, seed, looks + 1]
            last = looks + 1 >= seed
            steps.append(1 if last else 2)
            self.over[slot] = ("success" if seed % 2 else "timeout") if last else ""
        counts = np.array(steps)
        ends = [self.over[slot] for slot in slots]
        return Transitions(self._show(slots), (counts / 4).astype(np.float32), ends, counts, counts * 0)

    def _show(self, slots: Sequence[int]) -> Observations:
        state = np.array([self.now[slot][1:] for slot in slots], np.float32)
        images = np.zeros((len(slots), 4, 4, 3), np.uint8) + state[:, 1, None, None, None].astype(np.uint8)
        told = [f"{self.now[slot][0]} {self.now[slot][1]}" for slot in slots]
        return Observations({"policy": images}, state, told, state + 0.5 if self.privileged else None)


def decide(seen: Observations, courses: list[Course]) -> np.ndarray:
    """Answer with the state; require that what is seen and the episodes belong together."""
    for row, course in enumerate(courses):
        assert seen.state[row].tolist() == [course.start.seed, len(course.moments)]
        assert seen.instruction[row] == course.instruction == f"{course.start.scene} {course.start.seed}"
        assert (seen.images["policy"][row] == len(course.moments)).all()
        if seen.privileged is not None:
            assert seen.privileged[row].tolist() == [course.start.seed + 0.5, len(course.moments) + 0.5]
    chunks = np.zeros((len(courses), 2, 7), np.float32)
    chunks[:, 0, :2] = seen.state
    return chunks


def require_whole(course: Course, start: Start, privileged: bool) -> None:
    """Raise AssertionError unless an episode holds exactly what happened in it."""
    assert course.start == start
    assert course.last is not None
    assert len(course.last.chunk) == 0
    looks = 0 if start.scene == BROKEN else start.seed
    assert len(course.moments) == looks
    for index, moment in enumerate([*course.moments, course.last]):
        assert moment.state.tolist() == [start.seed, index]
        assert (moment.images["policy"] == index).all()
        assert (moment.privileged is not None) == privileged
    assert [moment.chunk[0, :2].tolist() for moment in course.moments] == [[start.seed, i] for i in range(looks)]
    assert course.steps == max(0, 2 * looks - 1)
    assert course.reward == pytest.approx(course.steps / 4)
    assert [moment.steps for moment in course.moments] == [*[2] * (looks - 1), *[1] * (looks > 0)]
    assert all(moment.reward == moment.steps / 4 for moment in course.moments)
    assert course.end == ("invalid" if start.scene == BROKEN else "success" if start.seed % 2 else "timeout")


@given(
    slots=st.integers(1, 6),
    starts=st.lists(st.builds(Start, st.sampled_from(["a", "b", BROKEN]), st.integers(1, 5)), max_size=20),
    privileged=st.booleans(),
)
def test_every_start_is_played_once_with_its_own_moments(slots: int, starts: list[Start], privileged: bool) -> None:
    worlds = Fake(slots, privileged)
    courses = list(play(decide, worlds, starts))
    assert sorted(course.index for course in courses) == list(range(len(starts)))
    assert worlds.begun == starts
    for course in courses:
        require_whole(course, starts[course.index], privileged)


def test_a_slot_is_taken_again_as_soon_as_it_is_free() -> None:
    """Two slots, one long episode: the short ones all go through the other slot meanwhile."""
    starts = [Start("a", 5), *(Start("a", 1) for _ in range(4))]
    courses = list(play(decide, Fake(2), starts))
    assert [course.index for course in courses] == [1, 2, 3, 4, 0]
    assert {course.slot for course in courses[:4]} == {1}


def test_nobody_is_asked_for_what_is_over_at_the_start() -> None:
    def never(seen: Observations, courses: list[Course]) -> np.ndarray:
        raise AssertionError("nothing is to be decided")

    courses = list(play(never, Fake(2), [Start(BROKEN, seed) for seed in range(5)]))
    assert [course.end for course in courses] == ["invalid"] * 5
    assert not any(course.moments for course in courses)


def test_all_slots_are_asked_at_once() -> None:
    asked: list[list[int]] = []

    def note(seen: Observations, courses: list[Course]) -> np.ndarray:
        asked.append([course.index for course in courses])
        return decide(seen, courses)

    list(play(note, Fake(3), [Start("a", 2) for _ in range(4)]))
    assert asked == [[0, 1, 2], [0, 1, 2], [3], [3]]


def test_who_stops_listening_stops_the_play() -> None:
    worlds = Fake(2)
    first = next(play(decide, worlds, [Start("a", 1) for _ in range(9)]))
    assert first.index == 0
    assert len(worlds.begun) == 2

"""Demonstrations: in the order of their starts, the same bytes with any number of workers and after any kill, pushes marked."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import demos
from trainer.config import Demos, TrunkSettings
from trainer.dataset import Dataset, read
from trainer.demos import SEEDS, Pilot, _Drivers, _starts, demonstrate, in_order
from trainer.errors import RunError
from trainer.play import Course
from trainer.policies.store import new_policy, policy_digest, save_policy
from trainer.recorder import Writer
from trainer.records import Demonstration, Interface
from trainer.sight import Labels, in_sight
from worldgen.errors import LibraryError
from worldgen.library import SceneLibrary
from worldgen.sim.truth import PRIVILEGED
from worldgen.sim.worlds import Observations, Start

from .handmade import files


def quiet(_: str) -> None:
    pass


@given(st.integers(0, 30).flatmap(lambda count: st.permutations(range(count))))
def test_any_order_becomes_the_order_of_the_starts(order: list[int]) -> None:
    courses = (Course(index, Start("a", index), 0) for index in order)
    assert [course.index for course in in_order(courses)] == list(range(len(order)))


@given(st.permutations(range(12)))
def test_nothing_is_held_back_for_longer_than_it_must_be(order: list[int]) -> None:
    played: list[int] = []

    def courses() -> Iterator[Course]:
        for index in order:
            played.append(index)
            yield Course(index, Start("a", index), 0)

    for course in in_order(courses()):
        assert set(range(course.index + 1)) <= set(played)
        first = next(count for count in range(13) if set(range(course.index + 1)) <= set(order[:count]))
        assert len(played) == first


class TestStarts:
    def test_every_scene_once_then_again(self) -> None:
        starts = _starts(["a", "b", "c"], Demos(episodes=3), 0)
        assert [start.scene for start in starts[:4]] == ["a", "b", "c", "a"]
        assert [start.seed for start in starts] == list(range(24))

    @given(first=st.integers(0, 40), seed=st.integers(0, 9), episodes=st.integers(1, 50))
    def test_what_is_left_is_the_end_of_the_whole(self, first: int, seed: int, episodes: int) -> None:
        config = Demos(episodes=episodes, seed=seed)
        whole = _starts(["a", "b", "c"], config, 0)
        assert _starts(["a", "b", "c"], config, first) == whole[first:]
        assert all(0 <= start.seed < SEEDS for start in whole)


class Advisor:
    """Worlds whose expert always says the same."""

    def advise(self, slots: list[int]) -> np.ndarray:
        return np.full((len(slots), 1, 7), 0.5)


SEEN: Any = Observations({}, np.zeros((0, 7), np.float32), [])


def pushed(share: float, seeds: range, steps: int, order: int = 0) -> dict[int, tuple[list[bool], np.ndarray]]:
    """Return for each seed which steps were pushes, and what was done; episodes are asked for in any order."""
    pushes = _Drivers(Advisor(), share)  # type: ignore[arg-type]
    courses, rng = [Course(index, Start("a", seed), index) for index, seed in enumerate(seeds)], random.Random(order)
    done: dict[int, list[np.ndarray]] = {course.index: [] for course in courses}
    for _ in range(steps):
        for course, chunk in zip(some := rng.sample(courses, len(courses)), pushes(SEEN, some), strict=True):
            done[course.index].append(chunk[0])
    return {course.start.seed: (pushes.driven[course.index], np.array(done[course.index])) for course in courses}


class TestPushes:
    @pytest.mark.parametrize("share", [0.05, 0.12, 0.2])
    def test_their_share_is_near_the_one_asked_for(self, share: float) -> None:
        found = [flags for flags, _ in pushed(share, range(200), 60).values()]
        assert np.mean(found) == pytest.approx(share, rel=0.2)

    def test_none_where_none_are_asked_for(self) -> None:
        for flags, done in pushed(0.0, range(20), 30).values():
            assert not any(flags)
            assert (done == 0.5).all()

    def test_only_they_differ_from_the_advice_and_they_stay_in_bounds(self) -> None:
        for flags, done in pushed(0.3, range(50), 40).values():
            marked = np.array(flags)
            assert (done[~marked] == 0.5).all()
            assert (np.abs(done[marked, :6]) <= demos._PUSH[:6] + 1e-6).all()
            assert (done[:, 6] == 0.5).all(), "the gripper is never pushed"

    def test_they_hang_on_the_start_alone(self) -> None:
        many, few = pushed(0.3, range(30), 20), pushed(0.3, range(5, 8), 20, order=4)
        for seed, (flags, done) in few.items():
            assert flags == many[seed][0]
            assert (done == many[seed][1]).all()


class TestPilot:
    @staticmethod
    def driven(share: float, seeds: range, steps: int) -> dict[int, tuple[list[bool], np.ndarray]]:
        pilot = Pilot(lambda seen: np.tile(np.arange(4)[:, None], 7) + seen.state[0, 0], 4, "")
        drivers = _Drivers(Advisor(), share, pilot)  # type: ignore[arg-type]
        courses = [Course(index, Start("a", seed), index) for index, seed in enumerate(seeds)]
        seen = Observations(
            {}, np.arange(len(courses))[:, None] * np.full((1, 7), 10.0, np.float32), [""] * len(courses)
        )
        done = np.stack([drivers(seen, courses)[:, 0] for _ in range(steps)], axis=1)
        return {index: (drivers.driven[index], done[index]) for index in range(len(courses))}

    def test_one_that_never_drives_is_refused(self, library: SceneLibrary, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="never drives"):
            demonstrate(library.root, replace(CONFIG, out=tmp_path / "data", pilot="any", disturb=0), quiet)

    @pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
    def test_its_share_is_near_the_one_asked_for(self, share: float) -> None:
        found = [flags for flags, _ in self.driven(share, range(150), 100).values()]
        assert np.mean(found) == pytest.approx(share, rel=0.15)

    def test_it_drives_whole_chunks_by_what_it_sees_and_the_expert_has_the_rest(self) -> None:
        for index, (flags, done) in self.driven(0.5, range(40), 60).items():
            marked = np.array(flags)
            assert (done[~marked] == 0.5).all()
            assert (done[marked] == 10 * index + np.arange(marked.sum())[:, None] % 4).all()
            edges = np.flatnonzero(np.diff(np.concatenate([[0], marked, [0]])))
            lengths = (edges[1::2] - edges[::2])[: None if not marked[-1] else -1]
            assert (lengths % 4 == 0).all()

    def test_a_policy_drives_and_the_expert_finishes(self, library: SceneLibrary, tmp_path: Path) -> None:
        policy = new_policy("flow", Interface(size=32), trunk=TrunkSettings(width=32, layers=1))
        save_policy(policy, tmp_path / "run/policy", {})
        config = replace(CONFIG, out=tmp_path / "data", domain="none", disturb=0.12)
        demonstrate(library.root, replace(config, episodes=1), quiet)
        demonstrate(library.root, replace(config, episodes=2, disturb=0.5, pilot=str(tmp_path / "run")), quiet)
        data = read(tmp_path / "data")
        assert [source["pilot"] for source in data.sources] == ["", policy_digest(str(tmp_path / "run"))]
        second = slice(data.starts[1], data.starts[2])
        assert 0.2 < data.perturbed[second].mean() < 0.8
        assert data.success.all()

    def test_one_of_another_camera_is_refused(self, library: SceneLibrary, tmp_path: Path) -> None:
        policy = new_policy("flow", Interface(size=64), trunk=TrunkSettings(width=32, layers=1))
        save_policy(policy, tmp_path / "policy", {})
        with pytest.raises(RunError, match="size 32 against 64"):
            demonstrate(library.root, replace(CONFIG, out=tmp_path / "data", pilot=str(tmp_path / "policy")), quiet)


CONFIG = Demos(episodes=3, domain="none", size=32, disturb=0.3, slots=3, workers=1)


@pytest.fixture
def _one_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demos, "_PER_FILE", 1)


@pytest.fixture(scope="module")
def made(library: SceneLibrary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three demonstrations, each in a file. Read only."""
    root = tmp_path_factory.mktemp("demos") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demos, "_PER_FILE", 1)
        assert demonstrate(library.root, replace(CONFIG, out=root), quiet) >= 3
    return root


class TestRun:
    @pytest.fixture
    def data(self, made: Path) -> Dataset:
        return read(made)

    def test_what_is_read_back(self, data: Dataset, library: SceneLibrary) -> None:
        scenes = {scene.name: scene.record for scene in library.scenes()}
        assert data.episodes == 3
        assert data.success.all()
        assert data.interface.size == data.images["policy"].shape[1] == 32
        seeds = [source["seed"] for source in data.sources]
        assert seeds == sorted(set(seeds))
        for source, told in zip(data.sources, data.instructions, strict=True):
            record = scenes[source["scene"]]
            assert source["scene"] == sorted(scenes)[source["seed"] % len(scenes)]
            assert (source["family"], source["domain"]) == (record.family, "none")
            assert told in record.spec.task.sentences()

    def test_pictures_state_and_action_belong_together(self, data: Dataset) -> None:
        """The gripper follows what it was told; the tool moves along what was done."""
        for start, end in zip(data.starts[:-1], data.starts[1:], strict=True):
            moved = np.diff(data.state[start:end, :3], axis=0)
            asked = data.action[start : end - 1, :3]
            assert np.corrcoef(moved.ravel(), asked.ravel())[0, 1] > 0.7
            pictures = data.images["policy"][start:end].astype(int)
            assert (np.abs(np.diff(pictures, axis=0)).sum(axis=(1, 2, 3)) > 0).mean() > 0.8

    def test_what_the_simulator_knows_is_in_them(self, data: Dataset) -> None:
        assert data.privileged is not None
        assert data.privileged.shape == (len(data.state), PRIVILEGED)
        assert data.privileged[:, :3] == pytest.approx(data.state[:, :3], abs=1e-5), "the tool"
        assert in_sight(Labels.of(data.privileged, data.state).places()).mean() > 0.5

    def test_pushes_are_marked(self, data: Dataset) -> None:
        assert 0.1 < data.perturbed.mean() < 0.5
        pushes = data.action[data.perturbed]
        assert (np.abs(pushes[:, :6]) <= demos._PUSH[:6] + 1e-6).all()

    @pytest.mark.slow
    @pytest.mark.usefixtures("_one_a_file")
    @pytest.mark.parametrize("kill", [0, 1, 2])
    def test_after_a_kill_it_becomes_the_same(
        self, made: Path, library: SceneLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: int
    ) -> None:
        real, left = Writer.add, iter(range(kill))

        def add(writer: Writer, demonstration: Demonstration) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            real(writer, demonstration)

        config = replace(CONFIG, out=tmp_path / "data")
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "add", add)
            with pytest.raises(KeyboardInterrupt):
                demonstrate(library.root, config, quiet)
        demonstrate(library.root, config, quiet)
        assert files(tmp_path / "data") == files(made)

    @pytest.mark.slow
    @pytest.mark.usefixtures("_one_a_file")
    def test_the_same_bytes_with_more_workers_and_fewer_slots(
        self, made: Path, library: SceneLibrary, tmp_path: Path
    ) -> None:
        demonstrate(library.root, replace(CONFIG, out=tmp_path / "data", workers=2, slots=2), quiet)
        assert files(tmp_path / "data") == files(made)

    @pytest.mark.slow
    @pytest.mark.usefixtures("_one_a_file")
    @pytest.mark.parametrize("change", [{"seed": 1}, {"domain": "paper"}])
    def test_other_settings_in_the_same_folder_are_refused(
        self, library: SceneLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], made: Path
    ) -> None:
        config = replace(CONFIG, out=tmp_path / "data")
        monkeypatch.setattr(Writer, "finish", lambda _: None)
        demonstrate(library.root, replace(config, episodes=1), quiet)
        with pytest.raises(RunError, match="another library, split, domain or seed"):
            demonstrate(library.root, replace(config, **change), quiet)

    def test_a_finished_dataset_has_enough(self, made: Path, library: SceneLibrary) -> None:
        before = files(made)
        assert demonstrate(library.root, replace(CONFIG, out=made), quiet) == 0
        assert files(made) == before

    @pytest.mark.usefixtures("_one_a_file")
    def test_more_are_added_to_a_finished_dataset(self, made: Path, library: SceneLibrary, tmp_path: Path) -> None:
        config = replace(CONFIG, out=tmp_path / "data")
        demonstrate(library.root, replace(config, episodes=CONFIG.episodes - 1), quiet)
        assert demonstrate(library.root, config, quiet) >= 1
        assert files(tmp_path / "data") == files(made)

    def test_other_settings_leave_a_finished_dataset_as_it_is(self, made: Path, library: SceneLibrary) -> None:
        before = files(made)
        with pytest.raises(RunError, match="another library"):
            demonstrate(library.root, replace(CONFIG, out=made, domain="paper", episodes=99), quiet)
        assert files(made) == before

    def test_another_library_leaves_a_finished_dataset_as_it_is(
        self, made: Path, library: SceneLibrary, tmp_path: Path
    ) -> None:
        """Also one whose scenes have the same names."""
        other = tmp_path / "library"
        shutil.copytree(library.root, other)
        index = other / "library.json"
        index.write_text(index.read_text() + "\n")
        before = files(made)
        with pytest.raises(RunError, match="another library"):
            demonstrate(other, replace(CONFIG, out=made, episodes=99), quiet)
        assert files(made) == before

    def test_what_failed_is_left_out_and_counted(
        self, library: SceneLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def play(_: Any, __: Any, starts: list[Start]) -> Iterator[Course]:
            for index, start in enumerate(starts):
                yield Course(index, start, 0, end="timeout")

        monkeypatch.setattr(demos, "play", play)
        with pytest.raises(RunError, match=r"too few starts: 0 of 3.*worldgen check"):
            demonstrate(library.root, replace(CONFIG, out=tmp_path / "data"), quiet)
        assert not (tmp_path / "data/meta/info.json").exists()


def test_a_library_without_the_split(library: SceneLibrary, tmp_path: Path) -> None:
    with pytest.raises((RunError, LibraryError), match="unseen"):
        demonstrate(library.root, replace(CONFIG, out=tmp_path / "data", split="unseen-objects"), quiet)

"""Evaluation: seeds that nobody else uses, and why an episode failed, from what only the simulator knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer import demos, evaluate
from trainer.config import Demos, Evaluate, Rl
from trainer.errors import RunError
from trainer.evaluate import FIRST, _others, failure, judge, starts_of
from trainer.play import Course, Moment
from trainer.policies.base import Sighted
from trainer.policies.flow import FlowPolicy
from trainer.policies.store import save_policy
from trainer.preflight import admitted
from trainer.report import Report
from worldgen.errors import LibraryError
from worldgen.library import Scene, SceneLibrary
from worldgen.sim.domains import Domain
from worldgen.sim.stage import Settings, Stage
from worldgen.sim.truth import PRIVILEGED, goals_of
from worldgen.sim.world import World
from worldgen.sim.worlds import Start
from worldgen.spec import LiftedGoal

from .policies.handmade import FACE, SMALL, words


def scenes(count: int) -> list[Any]:
    return [SimpleNamespace(name=f"{index:04d}") for index in range(count)]


def scene_that_says(index: int, words: str, split: str = "unseen-objects") -> Any:
    thing = SimpleNamespace(name="thing", category=words.lower(), colour="red")
    goals = [LiftedGoal(target="thing", height=0.1)]
    task = SimpleNamespace(instruction=words, goals=goals, sentences=lambda: (words, f"{words}, please"))
    spec = SimpleNamespace(task=task, objects=[thing])
    return SimpleNamespace(name=f"{index:04d}", record=SimpleNamespace(spec=spec, split=split))


class TestStarts:
    @given(count=st.integers(1, 9), episodes=st.integers(1, 300), seed=st.integers(0, 9))
    def test_purposes_share_no_seed_with_each_other_nor_with_demonstrations(
        self, count: int, episodes: int, seed: int
    ) -> None:
        seeds = [
            {start.seed for start in starts_of(scenes(count), Evaluate(episodes=episodes, purpose=purpose))}
            for purpose in ("selection", "report")
        ]
        seeds.append({start.seed for start in demos._starts(["a"], Demos(episodes=episodes, seed=seed), 0)})
        assert [len(group) for group in seeds[:2]] == [episodes] * 2
        assert len(set.union(*seeds)) == sum(map(len, seeds))

    @pytest.mark.slow
    def test_also_the_largest_number_stays_among_its_own(self) -> None:
        starts = starts_of(scenes(2), Evaluate(episodes=demos.SEEDS, purpose="selection"))
        assert demos.SEEDS <= starts[0].seed == FIRST["selection"]
        assert starts[-1].seed < FIRST["report"]
        assert FIRST["report"] + demos.SEEDS < 2**31

    def test_scenes_take_turns(self) -> None:
        starts = starts_of(scenes(3), Evaluate(episodes=7))
        assert [start.scene for start in starts] == ["0000", "0001", "0002", "0000", "0001", "0002", "0000"]
        assert starts == starts_of(scenes(3), Evaluate(episodes=9))[:7], "more episodes only add some"


SHUT, OPEN = 0.0, 1.0


def moment(
    centre: tuple[float, float] = (0.3, 0.0),
    away: tuple[float, float] = (0.2, 0.0),
    fingers: float = 0.0,
    told: float | None = OPEN,
    gripper: float = OPEN,
    before: bool = False,
) -> Moment:
    """Return a look with the target at `centre`, the goal `away` from it [m], and a share of the fingers on the target.

    `before`: after a first goal that was reached.
    """
    truth, at = np.zeros(PRIVILEGED, np.float32), 25 * before
    truth[12 + at : 14 + at], truth[24 + at : 26 + at], truth[29 + at], truth[30 + at] = centre, away, fingers, 1
    if before:
        truth[28], truth[30] = 1, 1
    state = np.zeros(7, np.float32)
    state[6] = gripper
    chunk = np.zeros((0 if told is None else 4, 7), np.float32)
    chunk[:, 6] = told or 0.0
    return Moment({}, state, truth, chunk)


def course(*moments: Moment, end: Any = "timeout") -> Course:
    *before, last = moments
    return Course(0, Start("0000", 7), 0, "move it", before, last, end, steps=4 * len(before))


HELD = moment(fingers=1.0, told=SHUT, gripper=0.4)
LIFTED = moment(away=(0, 0), fingers=1.0, told=SHUT, gripper=0.4)
HELD_LATER = moment(fingers=1.0, told=SHUT, gripper=0.4, before=True)


class TestOtherInstructions:
    def test_each_scene_gets_one_that_says_something_else(self) -> None:
        said = ["a", "b", "b", "c", "b", "b"]
        shown = [scene_that_says(index, words) for index, words in enumerate(said)]
        found = _others(shown)
        assert len(found) == 6
        for index, own in enumerate(said):
            other, *forms = found[f"{index:04d}"]
            assert other in set(said) - {own}
            assert forms == [f"{other}, please"]

    def test_it_is_one_of_its_split(self) -> None:
        shown = [scene_that_says(index, f"{'ab'[index % 2]}{index // 4}", "xy"[index // 4]) for index in range(8)]
        assert all(other[-1] == "01"[int(name) // 4] for name, (other, _) in _others(shown).items())

    def test_other_words_for_the_same_are_not_another_one(self) -> None:
        found = _others([scene_that_says(index, words) for index, words in enumerate(["a", "A", "A", "b"])])
        assert [found[f"{index:04d}"][0] for index in range(3)] == ["b"] * 3

    def test_there_must_be_another_one(self) -> None:
        with pytest.raises(RunError, match="ask for the same"):
            _others([scene_that_says(index, "a") for index in range(3)])


class TestFailure:
    @pytest.mark.parametrize(
        ("wanted", "moments"),
        [
            ("never touched", [moment()] * 3),
            ("never touched", [moment(), moment(centre=(0.305, 0.0)), moment(centre=(0.305, 0.0))]),
            ("wrong object", [moment(), moment(told=SHUT, gripper=0.2), moment(told=None, gripper=0.3)]),
            ("never touched", [moment(), moment(told=SHUT, gripper=0.2), moment(told=None, gripper=0.05)]),
            ("never touched", [moment(told=SHUT), moment(told=None, gripper=0.6)]),
            ("timed out", [moment(), moment(centre=(0.35, 0.0)), moment(centre=(0.35, 0.0))]),
            ("timed out", [moment(), moment(fingers=0.5), moment()]),
            ("timed out", [moment(), HELD, HELD]),
            ("missed", [moment(), HELD, moment(away=(0.03, -0.04))]),
            ("dropped", [moment(), HELD, moment(away=(0.06, 0.04))]),
            ("timed out", [moment(), HELD, moment(), HELD]),
            ("dropped", [moment(away=(0, 0)), LIFTED, moment(away=(0, 0))]),
            ("missed", [moment(before=True), HELD_LATER, moment(away=(0.03, -0.04), before=True)]),
        ],
    )
    def test_kinds(self, wanted: str, moments: list[Moment]) -> None:
        assert failure(course(*moments)) == wanted

    def test_what_fell_was_dropped(self) -> None:
        assert failure(course(moment(), HELD, end="fell")) == "dropped"
        assert failure(course(moment(), moment(), end="fell")) == "dropped"

    def test_what_never_began_says_nothing(self) -> None:
        assert failure(course(moment(told=None), end="invalid")) == "invalid"
        assert failure(course(moment(), HELD, HELD, end="invalid")) == "invalid"


@pytest.fixture(scope="module")
def scene(library: SceneLibrary) -> Scene:
    return next(scene for scene in library.scenes() if scene.record.family == "pick-and-place")


@pytest.fixture(scope="module")
def world(scene: Scene) -> Iterator[World]:
    stage = Stage(scene, Settings(Domain(), views=(), privileged=True), trusted=True)
    world = World(stage)
    world.reset(0)
    yield world
    stage.close()


class TestScenes:
    """What is assumed of scenes, against real ones."""

    def test_the_privileged_vector_is_laid_out_as_thought(self, world: World) -> None:
        truth, goal, data = world.stage.truth, world.stage.goals[0], world.data
        vector = goals_of(truth.vector(data, 0.5)[None])[0, 0]
        centre = goal.centre(data)
        assert vector[evaluate._CENTRE] == pytest.approx(centre, abs=1e-6)
        assert vector[evaluate._AWAY] == pytest.approx(truth.destination(data, goal) - centre, abs=1e-6)
        assert np.linalg.norm(vector[evaluate._AWAY]) > 0.03
        assert vector[evaluate._TOUCH] == 0

    def test_fingers_on_the_target_are_counted_there(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        truth = world.stage.truth
        for fingers in range(3):
            monkeypatch.setattr(type(truth), "touching_fingers", lambda *_, fingers=fingers: fingers)
            vector = truth.vector(world.data, 0.5)
            assert goals_of(vector[None])[0, 0, evaluate._TOUCH] == pytest.approx(fingers / 2)
            monkeypatch.undo()
            plain = truth.vector(world.data, 0.5)
            changed = set(np.flatnonzero(vector != plain).tolist())
            assert changed <= {10, 12 + evaluate._TOUCH}

    def test_the_gripper_is_where_it_is_thought_in_the_state(self, world: World) -> None:
        opened = world.observe().state[6]
        world.step(np.array([[0, 0, 0, 0, 0, 0, 0.0]] * 4))
        assert opened > 0.9
        assert world.observe().state[6] < 0.1

    def test_a_verdict_says_what_was_played(self, scene: Scene) -> None:
        failed = judge(course(moment(), HELD, moment()), scene, 5.0)
        won = judge(course(moment(), HELD, moment(), end="success"), scene, 5.0)
        assert (failed.scene, failed.seed, failed.split, failed.family) == (scene.name, 7, "train", "pick-and-place")
        assert (failed.target, failed.instruction, failed.decisions, failed.seconds) == ("mug", "move it", 2, 1.6)
        assert (failed.end, failed.failure, failed.success) == ("timeout", "dropped", False)
        assert (won.end, won.failure, won.success) == ("success", "", True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of a policy that has learned nothing."""
    torch.manual_seed(0)
    save_policy(FlowPolicy(FACE, SMALL, words()), tmp_path / "run/policy", {})
    return tmp_path / "run"


class TestEvaluate:
    CONFIG = Evaluate(split="train", episodes=3, domain="none", films=1, slots=2, workers=1)

    @pytest.mark.slow
    def test_it_plays_counts_films_and_gives_the_same_again(self, library: SceneLibrary, run: Path) -> None:
        lines: list[str] = []
        report = evaluate.evaluate(run, library.root, self.CONFIG, lines.append)
        assert [one.seed for one in sorted(report.episodes, key=lambda one: one.seed)] == [
            2_010_000,
            2_010_001,
            2_010_002,
        ]
        assert report.total.trials + report.invalid == 3
        assert lines[-1].startswith("3 of 3 episodes")
        folder = run / "eval-train-none"
        films = [one.video for one in report.episodes if one.video]
        assert len(films) == (1 if report.total.successes in (0, 3) else 2)
        assert all((folder / film).stat().st_size > 1000 for film in films)
        assert Report.load(folder) == report
        other = replace(self.CONFIG, slots=3, films=0, out=run / "again", versus=folder)
        again = evaluate.evaluate(run, library.root, other, lines.append)
        ends = [[(one.scene, one.seed, one.end, one.seconds) for one in each.episodes] for each in (report, again)]
        assert ends[0] == ends[1]
        assert again.comparison is not None
        assert (again.comparison.only_first, again.comparison.only_second) == (0, 0)

    def test_scenes_are_those_that_reinforcement_learns_in(self, library: SceneLibrary, run: Path) -> None:
        report = evaluate.evaluate(run, library.root, replace(self.CONFIG, films=0, episodes=2, scenes=1, seed=3))
        _, names = admitted(library.root, Rl(init=run, scenes=1, seed=3, every=0))
        assert {one.scene for one in report.episodes} == set(names)
        assert (run / "eval-train-1-scenes-seed-3-none" / "report.json").exists()
        with pytest.raises(RunError, match="--seed 3 says which scenes are drawn, and all are played"):
            evaluate.evaluate(run, library.root, replace(self.CONFIG, seed=3))

    @pytest.mark.slow
    def test_what_was_told_is_reported(self, library: SceneLibrary, run: Path) -> None:
        asked = replace(self.CONFIG, films=0, shuffle_instructions=True)
        report = evaluate.evaluate(run, library.root, asked, lambda _: None)
        scenes = {scene.name: scene.record.spec.task for scene in library.scenes()}
        assert all(one.instruction != scenes[one.scene].instruction for one in report.episodes)
        assert {one.instruction for one in report.episodes} <= {
            sentence for task in scenes.values() for sentence in task.sentences()
        }
        assert report.set_name == "instructions of other scenes"
        assert "shuffled" in evaluate.folder_of(run, asked).name

    def test_a_base_does_not_act(self, library: SceneLibrary, tmp_path: Path) -> None:
        save_policy(Sighted(FACE, SMALL, words()), tmp_path / "base", {})
        with pytest.raises(RunError, match=r"does not act.*trainer sft"):
            evaluate.evaluate(tmp_path / "base", library.root, self.CONFIG)

    def test_a_policy_of_another_arm_is_refused(self, panda_library: SceneLibrary, run: Path) -> None:
        with pytest.raises(RunError, match="not for this policy: robot"):
            evaluate.evaluate(run, panda_library.root, self.CONFIG)

    def test_a_set_that_scenes_make_has_a_split_of_its_own(self, library: SceneLibrary, run: Path) -> None:
        with pytest.raises(RunError, match="leave --split train out"):
            evaluate.evaluate(run, library.root, replace(self.CONFIG, set="objects", split="train"), lambda _: None)
        with pytest.raises(
            (RunError, LibraryError), match="unseen-objects"
        ):  # it has none; train is not played instead
            evaluate.evaluate(run, library.root, replace(self.CONFIG, set="light", split="unseen-objects"))

    def test_a_report_of_another_library_or_sampler_stays(
        self, library: SceneLibrary, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = replace(self.CONFIG, films=0, episodes=1)
        first = evaluate.evaluate(run, library.root, asked, lambda _: None)
        assert evaluate.evaluate(run, library.root, asked, lambda _: None) == first, "the same may be done again"
        with pytest.raises(RunError, match=r"decided by Zero\(steps=4\), not Zero\(steps=1\)\. It stays: .*--out"):
            evaluate.evaluate(run, library.root, replace(asked, steps=1), lambda _: None)
        more = replace(asked, episodes=2)
        first = evaluate.evaluate(run, library.root, more, lambda _: None)
        with pytest.raises(RunError, match=r"of 2 episodes, more than 1\. It stays"):
            evaluate.evaluate(run, library.root, asked, lambda _: None)
        monkeypatch.setattr(evaluate, "file_digest", lambda _: "another")
        asked = more
        with pytest.raises(RunError, match=r"of another library \("):
            evaluate.evaluate(run, library.root, asked, lambda _: None)
        assert Report.load(run / "eval-train-none") == first

    def test_a_report_of_other_starts_is_refused_before_anything_is_played(
        self, library: SceneLibrary, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = replace(self.CONFIG, purpose="selection", out=tmp_path / "other")
        evaluate.evaluate(run, library.root, replace(other, episodes=1), lambda _: None)
        monkeypatch.setattr(evaluate, "rollout", None)
        with pytest.raises(RunError, match=r"no start in common.*--purpose"):
            evaluate.evaluate(run, library.root, replace(self.CONFIG, versus=tmp_path / "other"), lambda _: None)

    @pytest.mark.parametrize(
        "change", [{"split": "unseen"}, {"split": "unseen-objects"}, {"set": "objects", "split": "unseen"}]
    )
    def test_a_library_without_such_scenes(self, library: SceneLibrary, run: Path, change: dict[str, Any]) -> None:
        with pytest.raises((RunError, LibraryError), match="unseen"):
            evaluate.evaluate(run, library.root, replace(self.CONFIG, **change))

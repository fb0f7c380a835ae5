"""One world: a start fixes an episode bit for bit, whatever runs beside it; what counts as its end; what it pays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from worldgen.errors import ActionError, RenderError, SceneError
from worldgen.goals import GoalCheck
from worldgen.library import Scene, SceneLibrary
from worldgen.sim import domains
from worldgen.sim.domains import Domain
from worldgen.sim.optics import pose
from worldgen.sim.rewards import Sparse, Staged
from worldgen.sim.stage import Settings, Stage, View
from worldgen.sim.truth import GOALS, PRIVILEGED, SIGHT, in_turn
from worldgen.sim.world import MAX_SEED, Observation, Transition, World, WorldState
from worldgen.spec import Range, goal_names

PRESETS = domains.names(deployment=True)
FAMILIES = ("pick-and-place", "stack", "push", "open")
NONE, FULL, PAPER = Domain(), domains.load("full"), domains.load("paper")
VIEWS = (View(), View("robot/wrist", 40, 24))
RICH = Settings(FULL, Staged(), VIEWS, joints=True, privileged=True)
STILL = np.array([[0, 0, 0, 0, 0, 0, 1.0]])
STRAY = 0.02
"""As far as an object may creep while it comes to rest at a reset, each axis [m]."""


@pytest.fixture(scope="module")
def scenes(library: SceneLibrary) -> dict[str, Scene]:
    """A scene of each task family."""
    return {scene.record.family: scene for scene in library.scenes()}


@pytest.fixture(scope="module")
def stage_of(scenes: dict[str, Scene]) -> Iterator[Callable[[str, Settings], Stage]]:
    """A function from a task family and settings to a compiled scene; made once."""
    made: dict[tuple[str, int], tuple[Stage, Settings]] = {}

    def find(family: str, settings: Settings) -> Stage:
        key = family, id(settings)
        if key not in made:
            made[key] = Stage(scenes[family], settings, trusted=True), settings
        return made[key][0]

    yield find
    for stage, _ in made.values():
        stage.close()


PLAIN = Settings(NONE, views=())


@pytest.fixture
def world(stage_of: Callable[[str, Settings], Stage]) -> Callable[..., World]:
    """A function from a task family and settings to a world, reset to seed 0."""

    def make(family: str, settings: Settings = PLAIN, seed: int = 0) -> World:
        made = World(stage_of(family, settings))
        made.reset(seed)
        return made

    return make


def chunk(seed: int, count: int = 4, size: float = 0.03) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(-size, size, (count, 6)), rng.uniform(0, 1, (count, 1))], axis=1)


def seen(observation: Observation) -> list[Any]:
    """Return everything in an observation, to be compared exactly."""
    pictures = {name: (image.shape, image.tobytes()) for name, image in observation.images.items()}
    privileged = None if observation.privileged is None else observation.privileged.tobytes()
    return [pictures, observation.state.tobytes(), observation.instruction, privileged]


def told(result: Observation | Transition) -> list[Any]:
    if isinstance(result, Observation):
        return seen(result)
    return [*seen(result.observation), result.reward, result.end, result.steps, result.clamped]


def physics(world: World) -> list[bytes]:
    data = world.data
    return [np.asarray(getattr(data, name)).tobytes() for name in ("qpos", "qvel", "ctrl", "act", "time", "tree_asleep", "xpos", "qacc_warmstart")]  # fmt: skip


def run(world: World, steps: int, first: int = 0) -> list[Any]:
    """Return all that comes of some chunks."""
    found = []
    for index in range(first, first + steps):
        if world.end:
            break
        found.append([told(world.step(chunk(index))), physics(world)])
    return found


def put(world: World, name: str, place: np.ndarray) -> None:
    """Put an object elsewhere, upright and at rest."""
    model, body = world.model, world.stage.free[name]
    joint = model.body_jntadr[body]
    at, dof = model.jnt_qposadr[joint], model.jnt_dofadr[joint]
    world.data.qpos[at : at + len(place)] = place
    world.data.qvel[dof : dof + 6] = 0


class TestNudge:
    NUDGED = replace(PLAIN, domain=Domain(nudge=Range(low=0.05, high=0.05)))

    def places(self, made: World) -> dict[str, np.ndarray]:
        return {name: made.data.xpos[body].copy() for name, body in made.stage.free.items()}

    @pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("open", "close")])
    def test_the_target_alone_is_shifted_once_and_stays_upright(self, world: Callable[..., World], family: str) -> None:
        made, still = world(family, self.NUDGED), np.zeros((4, 7))
        still[:, 6] = 1
        target = made.stage.scene.record.spec.task.goals[0].target
        start = self.places(made)
        made.step(still)
        before = self.places(made)
        made.step(still)
        after = self.places(made)
        for name in start:
            assert before[name] == pytest.approx(start[name], abs=2e-3)
            shift = np.linalg.norm((after[name] - before[name])[:2])
            assert shift == pytest.approx(0.05 if name == target else 0, abs=3e-3), name
        made.step(still)
        assert self.places(made)[target] == pytest.approx(after[target], abs=2e-3)

    def test_a_seed_fixes_it_and_others_draw_as_without(self, world: Callable[..., World]) -> None:
        one, other, without = world("stack", self.NUDGED), world("stack", self.NUDGED), world("stack", PLAIN)
        assert physics(one) == physics(other) == physics(without)
        assert run(one, 3) == run(other, 3)

    def test_without_room_nothing_moves(self, world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
        made = world("stack", self.NUDGED)
        calls = itertools.count()
        monkeypatch.setattr(made.stage.truth, "touched", lambda data, body: {next(calls)})
        without = world("stack", PLAIN)
        assert run(made, 3) == run(without, 3)


class TestReset:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_seed_fixes_everything(self, world: Callable[..., World], family: str) -> None:
        one, other = world(family, RICH), world(family, RICH)
        run(other, 2)  # whatever went before
        first, again = one.reset(7), other.reset(7)
        assert seen(first) == seen(again)
        assert physics(one) == physics(other)
        assert run(one, 2) == run(other, 2)

    def test_another_seed_is_another_episode(self, world: Callable[..., World]) -> None:
        made = world("stack", RICH)
        first, second = made.reset(1), None
        start = made.data.qpos.copy()
        second = made.reset(2)
        assert (start != made.data.qpos).sum() > 10
        for name, image in first.images.items():
            assert (image != second.images[name]).any()

    def test_scenes_draw_differently_from_one_seed(self, world: Callable[..., World]) -> None:
        latencies = {world(family, RICH, 5)._now().draw.latency for family in FAMILIES}
        assert len(latencies) == len(FAMILIES)

    @pytest.mark.parametrize("seed", [0, MAX_SEED, np.int64(3)])
    def test_seeds(self, world: Callable[..., World], seed: int) -> None:
        world("stack").reset(seed)

    @pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 1.0, "1", None])
    def test_no_seeds(self, world: Callable[..., World], seed: Any) -> None:
        made = world("stack")
        with pytest.raises(ActionError, match="is no integer in"):
            made.reset(seed)

    def test_before_the_first_there_is_nothing(self, stage_of: Callable[[str, Settings], Stage]) -> None:
        made = World(stage_of("stack", PLAIN))
        for attempt in (made.observe, made.state, lambda: made.end, lambda: made.step(STILL), made.picture):
            with pytest.raises(ActionError, match="Reset it first"):
                attempt()

    @pytest.mark.parametrize("preset", PRESETS)
    @pytest.mark.parametrize("family", FAMILIES)
    def test_objects_stay_near_where_they_were_recorded(
        self, scenes: dict[str, Scene], preset: str, family: str
    ) -> None:
        domain = domains.load(preset, deployment=True)
        stage = Stage(scenes[family], Settings(domain, views=()), trusted=True)
        made, recorded, moved = World(stage), scenes[family].record.poses, []
        for seed in range(8):
            made.reset(seed)
            assert made.end == ""
            assert not stage.truth.done(made.data)
            for name, body in stage.ids.items():
                shift = np.abs(made.data.xpos[body, :2] - recorded[name].pos[:2])
                assert (shift <= domain.objects.xy + STRAY).all(), name
                moved.append(shift.max())
        assert max(moved) <= (0.005 if not domain.objects.xy else domain.objects.xy + STRAY)
        if domain.objects.xy:
            assert max(moved) > 0.3 * domain.objects.xy
        stage.close()

    def test_everything_rests(self, world: Callable[..., World]) -> None:
        for seed in range(5):
            made = world("pick-and-place", RICH, seed)
            bodies = list(made.stage.free.values())
            before = made.data.xpos[bodies].copy()
            mujoco.mj_step(made.model, made.data, 60)
            assert np.abs(made.data.xpos[bodies] - before).max() < 2e-3

    def test_a_fixture_moves_with_all_its_parts(self, world: Callable[..., World]) -> None:
        """With sleeping enabled MuJoCo works out where static bodies are only when data is reset."""
        made = world("open", Settings(PAPER, views=()))
        (name,) = set(made.stage.ids) - set(made.stage.free)
        body, places = made.stage.ids[name], []
        for seed in range(5):
            made.reset(seed)
            places.append(made.data.xpos[body].copy())
            fresh = mujoco.MjData(made.model)
            fresh.qpos[:] = made.data.qpos
            mujoco.mj_kinematics(made.model, fresh)
            parts = np.flatnonzero(made.model.body_rootid == body)
            assert len(parts) > 1
            assert np.abs(made.data.xpos[parts] - fresh.xpos[parts]).max() < 1e-9
            assert np.abs(made.data.xquat[parts] - fresh.xquat[parts]).max() < 1e-9
            geoms = np.isin(made.model.geom_bodyid, parts)
            assert np.abs(made.data.geom_xpos[geoms] - fresh.geom_xpos[geoms]).max() < 1e-9
            assert (places[-1] == made.model.body_pos[body]).all()
        assert np.ptp(np.array(places)[:, :2], axis=0).max() > 0.01

    def test_what_opens_starts_as_far_open_as_recorded(self, world: Callable[..., World]) -> None:
        made = world("open")
        goal = made.stage.goals[0]
        assert abs(goal._opening(made.data)) < 0.02

    def test_the_instruction_depends_on_the_seed_only(self, world: Callable[..., World]) -> None:
        for family in FAMILIES:
            plain, rich = world(family), world(family, RICH)
            task = plain.stage.scene.record.spec.task
            said = [plain.reset(seed).instruction for seed in range(60)]
            assert said[:12] == [rich.reset(seed).instruction for seed in range(12)]
            assert set(said) == {task.instruction, *task.paraphrases}
            assert plain.instruction == said[-1]


class TestState:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_to_go_on_from_a_moment_twice_is_the_same_twice(self, world: Callable[..., World], family: str) -> None:
        """With noise on actions and pictures, delayed commands, and objects that sleep."""
        made = world(family, RICH)
        late = (seed for seed in range(11, 99) if made.reset(seed) and made.state().episode.pending)
        next(late)
        run(made, 2)
        moment = made.state()
        episode = moment.episode
        assert any(episode.draw.action_noise)
        assert episode.draw.noise
        assert episode.pending
        if family != "open":
            assert (moment.data.tree_asleep >= 0).any()
        first = run(made, 3, first=2)
        made.restore(moment)
        assert run(made, 3, first=2) == first
        assert len(first) == 3

    def test_the_way_to_the_end_is_kept(self, world: Callable[..., World]) -> None:
        made = world("push", Settings(NONE, views=()))
        goal = made.stage.goals[0]
        put(made, goal.goal.target, made.data.site_xpos[goal.site][:2].copy())
        made.step(STILL)
        made.step(STILL)
        moment = made.state()
        ends = [made.step(STILL).end for _ in range(2)]
        made.restore(moment)
        assert made.end == ""
        assert [made.step(STILL).end for _ in range(2)] == ends == ["", "success"]

    def test_another_world_of_the_stage_can_go_on_from_it(
        self, world: Callable[..., World], stage_of: Callable[[str, Settings], Stage]
    ) -> None:
        made, other = world("open", RICH, 3), world("open", RICH, 4)
        run(made, 1)
        moment = made.state()
        run(other, 2)
        first = run(made, 2, first=1)
        other.restore(moment)
        assert run(other, 2, first=1) == first
        unborn = World(stage_of("open", RICH))
        unborn.restore(moment)
        assert run(unborn, 2, first=1) == first

    def test_a_state_stays_as_it_was(self, world: Callable[..., World]) -> None:
        made = world("stack", RICH)
        moment = made.state()
        first = run(made, 2)
        for _ in range(2):
            made.restore(moment)
            assert run(made, 2) == first
        made.reset(9)
        made.restore(moment)
        assert run(made, 2) == first

    def test_of_another_scene(self, world: Callable[..., World]) -> None:
        moment: WorldState = world("stack").state()
        with pytest.raises(SceneError, match="does not fit"):
            world("push").restore(moment)


@pytest.mark.parametrize("family", ["stack", "open"])
def test_worlds_that_share_a_stage_do_not_notice_each_other(world: Callable[..., World], family: str) -> None:
    def episode(made: World, seed: int) -> Iterator[list[Any]]:
        yield [told(made.reset(seed)), physics(made)]
        for index in range(4):
            yield [told(made.step(chunk(index + seed))), physics(made)]
            yield [told(made.observe())]

    alone = [list(episode(world(family, RICH), seed)) for seed in (3, 4)]
    worlds = [world(family, RICH, 8), world(family, RICH, 9)]
    together = zip(*(episode(made, seed) for made, seed in zip(worlds, (3, 4), strict=True)), strict=True)
    for ours, theirs in zip(zip(*alone, strict=True), together, strict=True):
        assert ours == theirs


class TestEnds:
    def test_success_once_all_goals_have_held_for_half_a_second(self, world: Callable[..., World]) -> None:
        made = world("push", Settings(NONE, views=(), chunk=8))
        goal = made.stage.goals[0]
        place = made.data.site_xpos[goal.site][:2].copy()
        away = made.data.xpos[goal.target][:2].copy()
        put(made, goal.goal.target, place)
        assert [made.step(STILL).end for _ in range(2)] == ["", ""]
        put(made, goal.goal.target, away)
        assert made.step(STILL).end == ""
        put(made, goal.goal.target, place)
        done = made.step(np.repeat(STILL, 8, axis=0))
        assert (done.end, done.steps, done.reward) == ("success", 4, 1.0)  # 0.6 s after it was first seen
        assert made.end == "success"
        with pytest.raises(ActionError, match="over \\(success\\)"):
            made.step(STILL)

    def test_a_goal_that_hangs_on_contacts_is_seen_asleep(self, world: Callable[..., World]) -> None:
        made = world("stack")
        goal = made.stage.goals[0]
        top = made.data.site_xpos[goal.site].copy()
        put(made, goal.goal.target, np.array([*top[:2], top[2] + 0.001, 1, 0, 0, 0]))
        tree = made.model.body_treeid[goal.target]
        made.data.qvel[made.model.jnt_dofadr[made.model.body_jntadr[goal.target]] + 2] = -0.01  # wakes it
        for _ in range(400):
            mujoco.mj_step(made.model, made.data)
            if made.data.tree_asleep[tree] >= 0 and made.data.tree_asleep[made.model.body_treeid[goal.other]] >= 0:
                break
        else:
            pytest.fail("it never falls asleep")
        mujoco.mj_step(made.model, made.data, 5)
        assert goal.fits(made.data)
        assert not goal(made.data).done  # no contacts are looked for between sleepers
        kept = physics(made)
        assert made.stage.truth.progress(made.data, goal).done
        assert made.stage.truth.done(made.data)
        assert physics(made) == kept
        assert made.model.opt.enableflags & mujoco.mjtEnableBit.mjENBL_SLEEP
        assert [made.step(STILL).end for _ in range(4)] == ["", "", "", "success"]

    def test_fell(self, world: Callable[..., World]) -> None:
        made = world("pick-and-place")
        target = made.stage.goals[0].goal.target
        put(made, target, np.array([0.0, 0.0, -0.3]) + made.data.xpos[made.stage.free[target]])
        done = made.step(np.repeat(STILL, 4, axis=0))
        assert (done.end, done.steps, done.reward) == ("fell", 1, 0.0)

    @pytest.mark.parametrize("seconds", [1.0, 1.1, 1.2])
    def test_timeout_after_the_tasks_time(self, scenes: dict[str, Scene], seconds: float) -> None:
        found = scenes["stack"]
        task = found.record.spec.task.model_copy(update={"seconds": seconds})
        spec = found.record.spec.model_copy(update={"task": task})
        short = Scene(found.folder, found.record.model_copy(update={"spec": spec}))
        made = World(Stage(short, PLAIN, trusted=True))
        made.reset(0)
        rate = made.stage.recipe.control.rate_hz
        assert made.limit == math.ceil(seconds * rate - 1e-9)
        ends = [made.step(STILL).end for _ in range(made.limit)]
        assert ends == [""] * (made.limit - 1) + ["timeout"]
        assert made.elapsed == 1
        with pytest.raises(ActionError, match="over \\(timeout\\)"):
            made.step(STILL)
        made.reset(0)
        assert made.elapsed == 0
        assert made.step(STILL).end == ""

    @pytest.mark.parametrize("poison", [np.nan, np.inf, 1e12, 1e3])
    def test_invalid(
        self, world: Callable[..., World], poison: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)  # MuJoCo writes a log where it is
        made = world("stack", Settings(NONE, Staged(), privileged=True))
        start = made.data.qpos.copy()
        made.data.qvel[made.stage.at.dofs] = poison
        done = made.step(np.repeat(STILL, 4, axis=0))
        assert done.end == made.end == "invalid"
        assert done.steps == 1
        assert np.isfinite(done.reward)
        assert made.data.time > 0  # MuJoCo would start anew by itself, and nobody would know
        assert done.observation.images["policy"].shape == (64, 64, 3)
        assert done.observation.privileged is not None
        assert np.isfinite(done.observation.privileged).all()
        assert np.isfinite(done.observation.state).all()
        summary = made.summary()
        assert (summary["scene"], summary["seed"], summary["steps"]) == (made.stage.scene.name, 0, 1)
        with pytest.raises(ActionError, match="over \\(invalid\\)"):
            made.step(STILL)
        made.reset(0)
        assert made.end == ""
        assert (made.data.qpos == start).all()
        assert not made.data.warning.number.any()


class TestStep:
    @pytest.mark.parametrize("shape", [(7,), (0, 7), (5, 7), (1, 6), (1, 8), (1, 1, 7), ()])
    def test_shapes(self, world: Callable[..., World], shape: tuple[int, ...]) -> None:
        made = world("stack")
        kept = physics(made)
        with pytest.raises(ActionError, match="shape"):
            made.step(np.zeros(shape))
        assert physics(made) == kept

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_numbers_that_are_none_stop_it_before_anything_is_done(
        self, world: Callable[..., World], bad: float
    ) -> None:
        made = world("stack")
        kept, actions = physics(made), np.repeat(STILL, 4, axis=0)
        actions[3, 2] = bad
        with pytest.raises(ActionError, match="finite"):
            made.step(actions)
        assert physics(made) == kept
        assert made.elapsed == 0

    def test_a_chunk_is_its_actions(self, world: Callable[..., World]) -> None:
        one, other = world("stack", RICH), world("stack", RICH)
        whole = one.step(chunk(0))
        # pictures are drawn once a look, so noise on them differs; physics does not
        parts = [other.step(action[None]) for action in chunk(0)]
        assert physics(one) == physics(other)
        assert whole.steps == sum(part.steps for part in parts) == 4
        assert whole.clamped == sum(part.clamped for part in parts)
        assert whole.reward == pytest.approx(sum(part.reward for part in parts))

    def test_clamped_actions_are_counted(self, world: Callable[..., World]) -> None:
        made = world("stack")
        actions = np.repeat(STILL, 4, axis=0)
        actions[0, 0], actions[2, 5], actions[3, 6] = 1, -3, 2
        done = made.step(actions)
        assert (done.clamped, done.steps) == (3, 4)
        assert made.step(STILL).clamped == 0

    def test_the_tool_goes_where_it_is_sent(self, world: Callable[..., World]) -> None:
        made = world("stack")
        before = made.observe().state
        action = np.array([[0.0, 0.02, 0.02, 0, 0, 0.1, 0.0]] * 4)
        after = made.step(action).observation.state
        assert after[:3] - before[:3] == pytest.approx([0, 0.08, 0.08], abs=3e-3)
        turned = (after[5] - before[5] + np.pi) % (2 * np.pi) - np.pi
        assert turned == pytest.approx(0.4, abs=0.04)
        assert before[6] == pytest.approx(1, abs=0.05)
        assert after[6] < 0.1

    def test_latency_delays(self, world: Callable[..., World]) -> None:
        slow = Domain(action=domains.ActionRanges(latency=Range(low=0.2, high=0.2)))
        made, late = world("stack"), world("stack", Settings(slow, views=()))
        action = np.array([[0, 0.04, 0, 0, 0, 0, 1.0]])
        start = made.observe().state[1]
        moved = [item.step(action).observation.state[1] - start for item in (made, late)]
        assert moved[0] > 0.03
        assert abs(moved[1]) < 1e-3
        assert late.step(STILL).observation.state[1] - start == pytest.approx(moved[0], abs=3e-3)

    def test_noise_moves_the_target_and_stays_within_the_limits(self, world: Callable[..., World]) -> None:
        noisy = Domain(action=domains.ActionRanges(translation=Range(low=0.02, high=0.02)))
        made, still = world("stack", Settings(noisy, views=())), world("stack")
        for _ in range(5):
            before = made.target.position
            made.step(STILL)
            assert 0 < np.linalg.norm(made.target.position - before) <= made.stage.controller.high[0] * (1 + 1e-6)
            still.step(STILL)
        assert still.target.position == pytest.approx(still.stage.controller.at(still.stage.recipe.home, 1).position)


class TestObservation:
    def test_parts(self, world: Callable[..., World]) -> None:
        observation = world("stack", RICH).observe()
        assert {name: image.shape for name, image in observation.images.items()} == {
            "policy": (64, 64, 3),
            "robot/wrist": (24, 40, 3),
        }
        assert all(image.dtype == np.uint8 and image.std() > 5 for image in observation.images.values())
        assert observation.state.shape == (13,)
        assert observation.state.dtype == np.float32

    def test_only_what_is_asked_for(self, world: Callable[..., World]) -> None:
        observation = world("stack").observe()
        assert observation.images == {}
        assert observation.state.shape == (7,)
        assert observation.privileged is None

    def test_joints_are_those_of_the_arm(self, world: Callable[..., World]) -> None:
        made = world("stack", RICH)
        assert made.observe().state[7:] == pytest.approx(made.data.qpos[made.stage.at.qpos])

    @pytest.mark.parametrize("family", FAMILIES)
    def test_the_privileged_vector(self, world: Callable[..., World], family: str) -> None:
        made = world(family, RICH)
        goals = made.stage.goals
        for index in range(3):
            vector = made.observe().privileged
            assert vector is not None
            assert vector.shape == (PRIVILEGED,)
            assert vector.dtype == np.float32
            assert np.isfinite(vector).all()
            rows = vector[12:-SIGHT].reshape(GOALS, -1)
            assert not rows[len(goals) :].any()
            for row, goal in zip(rows, goals, strict=False):
                assert row[:3] == pytest.approx(goal.centre(made.data), abs=1e-6)
                assert row[15] == pytest.approx(made.stage.truth.progress(made.data, goal).value, abs=1e-6)
                assert row[18:].sum() == 1
            assert vector[11] == pytest.approx(4 * index / made.limit)
            names = goal_names(made.stage.scene.record.spec.task.goals[0])
            for place, name in zip((-SIGHT, 3 - SIGHT), (*names, "")[:2], strict=True):
                middle = made.stage.truth.middle(made.data, name) if name else np.zeros(3)
                assert vector[place : place + 3] == pytest.approx(middle, abs=1e-6)
            camera = made.stage.model.camera("policy").id
            assert vector[-10:] == pytest.approx(pose(made.stage.model, made.data, camera), abs=1e-6)
            made.step(chunk(index))

    @pytest.mark.parametrize(
        ("done", "held", "wanted"),
        [
            ((0, 0, 0), (0, 0, 0), 1),  # the tray is still to be moved itself
            ((0, 1, 0), (0, 0, 0), 0),
            ((1, 1, 0), (0, 0, 0), 2),
            ((0, 0, 0), (0, 0, 1), 2),
            ((1, 0, 0), (1, 0, 0), 1),
            ((1, 1, 1), (1, 0, 0), None),
        ],
    )
    def test_goals_are_seen_to_in_turn(
        self, done: tuple[bool, ...], held: tuple[bool, ...], wanted: int | None
    ) -> None:
        assert in_turn((("mug", "tray"), ("tray", "mat"), ("can", "mat")), done, held) == wanted
        if not any(held):
            assert in_turn((("mug", "tray"), ("tray", "mug")), (False, False), (False, False)) == 0, "a circle"

    def test_no_such_camera(self, stage_of: Callable[[str, Settings], Stage], scenes: dict[str, Scene]) -> None:
        made = World(Stage(scenes["stack"], Settings(NONE, views=(View("ceiling"),)), trusted=True))
        with pytest.raises(RenderError, match=r"no camera 'ceiling'. It has: .*policy"):
            made.reset(0)

    def test_a_scene_alone_does_not_say_how_it_is_played(self, scenes: dict[str, Scene]) -> None:
        with pytest.raises(SceneError, match="needs settings"):
            World(scenes["stack"])


class TestPicture:
    def test_it_has_shadows_and_no_noise(self, world: Callable[..., World]) -> None:
        made = world("stack", Settings(NONE, views=(View("preview", 480, 360),)))
        picture, seen_by_policy = made.picture(), made.observe().images["preview"]
        assert picture.shape == (360, 480, 3)
        darker = picture.astype(int).sum(axis=2) < seen_by_policy.astype(int).sum(axis=2) - 30
        assert 0.005 < darker.mean() < 0.6
        noisy = world("stack", Settings(Domain(image=domains.ImageRanges(noise=Range(low=30, high=30)))))
        assert (noisy.picture() == picture).mean() > 0.99

    def test_it_shows_what_is_drawn_whoever_looked_before(self, world: Callable[..., World]) -> None:
        """The film's camera may be made before or after a texture is repainted, and another world may draw in between."""
        repaint = Settings(Domain(texture=domains.TextureRanges(repaint=0.6)), views=())
        early, late = world("stack", repaint, 0), world("push", repaint, 0)
        expected = {}
        for seed in range(4):
            early.reset(seed)
            expected[seed] = early.picture()
        fresh = World(Stage(early.stage.scene, repaint, trusted=True))
        for seed in (2, 0, 3, 1):
            fresh.reset(seed)
            assert (fresh.picture() == expected[seed]).all()
            late.picture()
        assert len({picture.tobytes() for picture in expected.values()}) > 1
        fresh.stage.close()
        assert (fresh.picture() == expected[1]).all()

    def test_sizes(self, world: Callable[..., World]) -> None:
        made = world("stack")
        for size in ((64, 48), (640, 100), (100, 400), (64, 48)):
            assert made.picture("policy", *size).shape == (*size[::-1], 3)
        with pytest.raises(RenderError, match="no camera"):
            made.picture("ceiling")

    def test_looking_changes_nothing(self, world: Callable[..., World]) -> None:
        one, other = world("stack", RICH, 2), world("stack", RICH, 2)
        first = run(one, 2)
        other.picture()
        found = run(other, 1)
        other.picture()
        assert found + run(other, 1, first=1) == first


class TestReward:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_staged_telescopes(self, world: Callable[..., World], family: str) -> None:
        made = world(family, Settings(PAPER, Staged(), views=()), 1)
        potential = lambda: made.settings.reward.potential(made.stage.truth, made.data)  # noqa: E731
        start, paid = potential(), 0.0
        for index in range(6):
            done = made.step(chunk(index, size=0.05))
            paid += done.reward
            assert 0 <= potential() <= 1
            if done.end:
                break
        assert paid == pytest.approx(potential() - start + (made.end == "success"))
        assert paid != 0

    def test_staged_pays_the_bonus_at_success(self, world: Callable[..., World]) -> None:
        made = world("push", Settings(NONE, Staged(success=3.0), views=()))
        goal, reward = made.stage.goals[0], made.settings.reward
        start = reward.potential(made.stage.truth, made.data)
        put(made, goal.goal.target, made.data.site_xpos[goal.site][:2].copy())
        paid = sum(made.step(STILL).reward for _ in range(4))
        assert made.end == "success"
        assert paid == pytest.approx(1.0 - start + 3.0)

    def test_staged_pays_for_coming_closer(self, world: Callable[..., World]) -> None:
        made = world("pick-and-place", Settings(NONE, Staged(), views=()))
        goal = made.stage.goals[0]
        paid = 0.0
        for _ in range(6):
            gap = made.stage.truth.handled(made.data, goal) + [0, 0, 0.05] - made.target.position
            paid += made.step(np.array([[*gap, 0, 0, 0, 1]])).reward
        assert paid > 0.05

    def test_sparse_is_one_at_success_and_nothing_else(self, world: Callable[..., World]) -> None:
        made = world("push", Settings(NONE, Sparse(), views=()))
        rewards = [made.step(chunk(index)).reward for index in range(3)]
        goal = made.stage.goals[0]
        put(made, goal.goal.target, made.data.site_xpos[goal.site][:2].copy())
        while not made.end:
            rewards.append(made.step(STILL).reward)
        assert made.end == "success"
        assert rewards == [0.0] * (len(rewards) - 1) + [1.0]


def test_a_time_step_that_does_not_fit_is_refused(scenes: dict[str, Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldgen.sim.stage.PART", 7)
    with pytest.raises(SceneError, match=r"time step 0\.008 s does not divide.*Make the library again"):
        Stage(scenes["stack"], PLAIN, trusted=True)


def test_the_other_arm(panda_library: SceneLibrary) -> None:
    made = World(Stage(next(panda_library.scenes()), RICH, trusted=True))
    first = [told(made.reset(1)), *run(made, 2)]
    assert [told(made.reset(1)), *run(made, 2)] == first
    assert made.observe().state.shape == (14,)
    assert isinstance(made.stage.goals[0], GoalCheck)

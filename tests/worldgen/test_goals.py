"""Goal predicates on tiny hand-written models: states that must count as done, and their look-alikes that must not."""

from __future__ import annotations

import itertools
import math

import mujoco
import numpy as np
import pytest

from worldgen.errors import SceneError
from worldgen.goals import GoalCheck, Progress
from worldgen.library import SceneLibrary
from worldgen.spec import ClosedGoal, Goal, InGoal, LiftedGoal, NearGoal, OnGoal, OpenGoal, PushedGoal

WORLD = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.005" gravity="0 0 0"/>
  <worldbody>
    <body name="table" pos="0 0 -0.05"><geom name="table/collision" type="box" size="1 1 0.05"/></body>
    <body name="robot/base" pos="0 0 1">
      <body name="robot/hand" mocap="false"><joint name="robot/z" type="slide" axis="0 0 1" range="-2 2"/>
        <geom name="robot/pad" type="box" size="0.01 0.01 0.01"/></body>
    </body>
    <body name="cube"><freejoint name="cube"/><geom type="box" size="0.02 0.02 0.02" pos="0 0 0.02"/>
      <site name="cube/top" pos="0 0 0.04"/></body>
    <body name="ball"><freejoint name="ball"/><geom type="box" size="0.02 0.02 0.02" pos="0 0 0.02"/>
      <site name="ball/top" pos="0 0 0.04"/></body>
    <body name="plate"><freejoint name="plate"/><geom type="box" size="0.08 0.08 0.01" pos="0 0 0.01"/>
      <site name="plate/top" type="box" pos="0 0 0.02" size="0.06 0.06 0.001"/></body>
    <body name="crate"><freejoint name="crate"/>
      <geom type="box" size="0.06 0.06 0.005" pos="0 0 0.005"/>
      <geom type="box" size="0.005 0.06 0.05" pos="0.06 0 0.06"/><geom type="box" size="0.005 0.06 0.05" pos="-0.06 0 0.06"/>
      <geom type="box" size="0.06 0.005 0.05" pos="0 0.06 0.06"/><geom type="box" size="0.06 0.005 0.05" pos="0 -0.06 0.06"/>
      <site name="crate/inside" type="box" pos="0 0 0.06" size="0.05 0.05 0.05"/></body>
    <body name="zone" pos="0.3 0.3 0"><site name="zone/top" type="box" size="0.06 0.03 0.001"/></body>
    <body name="cabinet" pos="-0.5 0 0.1"><geom type="box" size="0.05 0.05 0.05"/>
      <body name="cabinet/drawer"><joint name="cabinet/drawer" type="slide" axis="-1 0 0" range="0 0.2"/>
        <geom type="box" size="0.01 0.01 0.01" contype="0" conaffinity="0"/></body></body>
    <body name="chest" pos="-0.5 0.5 0.1"><geom type="box" size="0.05 0.05 0.05"/>
      <body name="chest/lid"><joint name="chest/lid" type="hinge" axis="0 1 0" range="-1.5 0"/>
        <geom type="box" size="0.01 0.01 0.01" contype="0" conaffinity="0"/></body></body>
  </worldbody>
</mujoco>
"""
MODEL = mujoco.MjModel.from_xml_string(WORLD)
APART = {"cube": (0.5, -0.5), "ball": (0.6, 0.5), "plate": (0.0, 0.0), "crate": (-0.3, -0.4)}
"""Where things stand unless a test says otherwise."""


def state(
    hand: float = 0.0, quat: dict[str, tuple[float, ...]] | None = None, **where: tuple[float, ...]
) -> mujoco.MjData:
    """Return a state with objects at x, y[, z] (base; on the table by default), the hand raised by so much."""
    data = mujoco.MjData(MODEL)
    for name, place in (APART | where).items():
        address = MODEL.jnt_qposadr[MODEL.joint(name).id]
        data.qpos[address : address + 3] = (*place, 0.0)[:3]
        data.qpos[address + 3 : address + 7] = (quat or {}).get(name, (1, 0, 0, 0))
    data.qpos[MODEL.jnt_qposadr[MODEL.joint("robot/z").id]] = hand
    mujoco.mj_forward(MODEL, data)
    return data


def result(goal: Goal, data: mujoco.MjData) -> Progress:
    found = GoalCheck(goal, MODEL)(data)
    assert 0 <= found.value <= 1
    assert (found.value == 1) == found.done
    return found


def about_y(angle: float) -> tuple[float, ...]:
    return math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0


ON, IN = OnGoal(target="cube", support="plate"), InGoal(target="cube", container="crate")
NEAR, LIFTED = NearGoal(target="cube", other="ball", distance=0.05), LiftedGoal(target="cube", height=0.1)
PUSHED, OPEN = PushedGoal(target="cube", region="zone"), OpenGoal(target="cabinet", fraction=0.7)
CLOSED = ClosedGoal(target="cabinet", fraction=0.1)


class TestOn:
    def test_resting_on_it(self) -> None:
        assert result(ON, state(cube=(0, 0, 0.02))).done
        assert result(ON, state(cube=(0.05, -0.06, 0.02))).done

    @pytest.mark.parametrize(
        ("why", "data"),
        [
            ("on the table", state()),
            ("hovering above it", state(cube=(0, 0, 0.025))),
            ("beside it, touching it and the table", state(cube=(0.1, 0, 0))),
            ("leaning on its edge from the table", state(cube=(0.095, 0, 0.006), quat={"cube": about_y(-0.35)})),
            ("beyond the area of its top", state(cube=(0.075, 0, 0.02))),
            ("under it", state(cube=(0, 0, 0), plate=(0, 0, 0.04))),
            ("held by the robot on it", state(hand=-0.9305, cube=(0, 0, 0.02))),
            ("another object on it", state(ball=(0, 0, 0.02))),
            ("on another object on it", state(ball=(0, 0, 0.02), cube=(0, 0, 0.06))),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_not(self, why: str, data: mujoco.MjData) -> None:
        assert not result(ON, data).done, why

    def test_the_support_may_stand_on_something(self) -> None:
        assert result(ON, state(plate=(0, 0, 0.04), ball=(0, 0, 0), cube=(0, 0, 0.06))).done


class TestIn:
    def test_on_its_floor(self) -> None:
        assert result(IN, state(crate=(0, 0), plate=(0.5, 0), cube=(0, 0, 0.01))).done

    @pytest.mark.parametrize(
        ("why", "data"),
        [
            ("beside it, touching it", state(crate=(0, 0), plate=(0.5, 0), cube=(0.085, 0, 0))),
            ("on the rim", state(crate=(0, 0), plate=(0.5, 0), cube=(0.06, 0, 0.11))),
            ("floating inside", state(crate=(0, 0), plate=(0.5, 0), cube=(0, 0, 0.04))),
            ("under it", state(crate=(0, 0, 0.04), plate=(0.5, 0), cube=(0, 0, 0))),
            ("under it, off the table", state(crate=(0, 0, 0.15), plate=(0.5, 0), cube=(0, 0, 0.11))),
            ("another object in it", state(crate=(0, 0), plate=(0.5, 0), ball=(0, 0, 0.01))),
            ("held in it", state(hand=-0.9405, crate=(0, 0), plate=(0.5, 0), cube=(0, 0, 0.01))),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_not(self, why: str, data: mujoco.MjData) -> None:
        assert not result(IN, data).done, why

    def test_a_turned_container_still_holds(self) -> None:
        quat = (math.cos(0.5), 0.0, 0.0, math.sin(0.5))
        assert result(IN, state(crate=(0, 0), plate=(0.5, 0), cube=(0.02, 0.01, 0.01), quat={"crate": quat})).done


class TestNear:
    @pytest.mark.parametrize(("gap", "done"), [(0.0, True), (0.0499, True), (0.0501, False), (0.2, False)])
    def test_the_gap_is_between_surfaces(self, gap: float, done: bool) -> None:
        data = state(ball=(0.3, -0.3), cube=(0.34 + gap, -0.3))
        assert GoalCheck(NEAR, MODEL).gap(data, 1.0) == pytest.approx(gap, abs=1e-6)
        assert result(NEAR, data).done is done

    def test_it_must_stand_on_the_table(self) -> None:
        assert not result(NEAR, state(ball=(0.3, -0.3), cube=(0.36, -0.3, 0.01))).done

    def test_another_one_does_not_count(self) -> None:
        assert not result(NEAR, state(plate=(0.6, 0.4))).done


class TestLifted:
    def test_held_high_enough(self) -> None:
        assert result(LIFTED, state(hand=-0.8505, cube=(0, 0, 0.1001))).done

    @pytest.mark.parametrize(
        ("why", "data"),
        [
            ("too low", state(hand=-0.91, cube=(0, 0, 0.04), plate=(0.5, 0))),
            ("thrown", state(cube=(0, 0, 0.3))),
            ("on the table", state()),
            ("another one is held", state(hand=-0.8505, ball=(0, 0, 0.1))),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_not(self, why: str, data: mujoco.MjData) -> None:
        assert not result(LIFTED, data).done, why


class TestPushed:
    @pytest.mark.parametrize(
        ("offset", "done"),
        [((0, 0), True), ((0.059, 0), True), ((0, 0.029), True), ((0.061, 0), False), ((0.05, 0.025), False)],
    )
    def test_its_middle_stands_on_the_ellipse(self, offset: tuple[float, float], done: bool) -> None:
        assert result(PUSHED, state(cube=(0.3 + offset[0], 0.3 + offset[1]))).done is done

    def test_hovering_or_another_one_does_not_count(self) -> None:
        assert not result(PUSHED, state(cube=(0.3, 0.3, 0.01))).done
        assert not result(PUSHED, state(ball=(0.3, 0.3))).done


class TestJoints:
    @pytest.mark.parametrize(
        ("goal", "opening", "done"),
        [
            (OPEN, 0.0, False), (OPEN, 0.69, False), (OPEN, 0.71, True), (OPEN, 1.0, True),
            (CLOSED, 1.0, False), (CLOSED, 0.11, False), (CLOSED, 0.09, True), (CLOSED, 0.0, True), (CLOSED, -0.01, True),
            (OpenGoal(target="cabinet", fraction=1.0), 1.0, True), (ClosedGoal(target="cabinet", fraction=0.0), 0.0, True),
        ],
    )  # fmt: skip
    def test_fractions(self, goal: Goal, opening: float, done: bool) -> None:
        data = state()
        data.qpos[MODEL.jnt_qposadr[MODEL.joint("cabinet/drawer").id]] = 0.2 * opening
        mujoco.mj_forward(MODEL, data)
        assert result(goal, data).done is done

    @pytest.mark.parametrize(("angle", "done"), [(0.0, False), (-1.0, False), (-1.1, True)])
    def test_a_hinge_that_opens_backwards(self, angle: float, done: bool) -> None:
        data = state()
        data.qpos[MODEL.jnt_qposadr[MODEL.joint("chest/lid").id]] = angle
        mujoco.mj_forward(MODEL, data)
        assert result(OpenGoal(target="chest", fraction=0.7), data).done is done


def approach(goal: Goal) -> list[mujoco.MjData]:
    """Return states on a straight way to a goal."""
    steps = np.linspace(0, 1, 40)
    if isinstance(goal, OpenGoal | ClosedGoal):
        found = []
        for step in steps:
            data = state()
            data.qpos[MODEL.jnt_qposadr[MODEL.joint("cabinet/drawer").id]] = 0.2 * (step if goal == OPEN else 1 - step)
            mujoco.mj_forward(MODEL, data)
            found.append(data)
        return found
    start, end = {
        "on": ((0.25, 0, 0.0199), (0, 0, 0.0199)),
        "in": ((-0.3, -0.4, 0.35), (-0.3, -0.4, 0.01)),
        "near": ((0.3, 0.5, 0), (0.55, 0.5, 0)),
        "lifted": ((0, 0, 0), (0, 0, 0.11)),
        "pushed": ((0.55, 0.3, 0), (0.3, 0.3, 0)),
    }[goal.kind]
    plate = (0.0, 0.0) if goal.kind == "on" else (0.0, 0.5)
    ways = [tuple(np.add(np.multiply(start, 1 - step), np.multiply(end, step))) for step in steps]
    return [state(hand=way[2] - 0.9505 if goal.kind == "lifted" else 0.0, cube=way, plate=plate) for way in ways]


@pytest.mark.parametrize("goal", [ON, IN, NEAR, LIFTED, PUSHED, OPEN, CLOSED], ids=lambda goal: goal.kind)
def test_progress_grows_on_the_way_and_ends_at_one(goal: Goal) -> None:
    found = [result(goal, data) for data in approach(goal)]
    values = [progress.value for progress in found]
    assert not found[0].done
    assert found[-1] == Progress(1.0, True)
    assert all(after >= before - 1e-9 for before, after in itertools.pairwise(values)), values
    assert values[0] < 0.5


@pytest.mark.parametrize(
    ("goal", "why", "data", "fits"),
    [
        (ON, "resting on it", state(cube=(0, 0, 0.02)), True),
        (ON, "hovering above it", state(cube=(0, 0, 0.025)), True),
        (ON, "held on it", state(hand=-0.9305, cube=(0, 0, 0.02)), True),
        (ON, "beside it", state(cube=(0.1, 0, 0)), False),
        (ON, "beyond the area of its top", state(cube=(0.075, 0, 0.02)), False),
        (IN, "on its floor", state(crate=(0, 0), plate=(0.5, 0), cube=(0, 0, 0.01)), True),
        (IN, "floating above its floor", state(crate=(0, 0), plate=(0.5, 0), cube=(0, 0, 0.03)), True),
        (IN, "on the rim", state(crate=(0, 0), plate=(0.5, 0), cube=(0.06, 0, 0.11)), False),
        (NEAR, "close by, in the air", state(ball=(0.3, -0.3), cube=(0.36, -0.3, 0.01)), True),
        (NEAR, "far", state(ball=(0.3, -0.3), cube=(0.5, -0.3)), False),
        (LIFTED, "thrown", state(cube=(0, 0, 0.3)), True),
        (LIFTED, "too low", state(cube=(0, 0, 0.09), plate=(0.5, 0)), False),
        (PUSHED, "hovering over it", state(cube=(0.3, 0.3, 0.01)), True),
        (PUSHED, "beside it", state(cube=(0.4, 0.3)), False),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "kind", ""),
)
def test_fits_asks_where_things_are_and_not_what_they_touch(
    goal: Goal, why: str, data: mujoco.MjData, fits: bool
) -> None:
    check, asleep = GoalCheck(goal, MODEL), mujoco.MjData(MODEL)
    asleep.qpos[:] = data.qpos
    mujoco.mj_kinematics(MODEL, asleep)  # no contacts are known
    assert asleep.ncon == 0
    assert check.fits(data) is check.fits(asleep) is fits, why
    assert fits or not check(data).done


@pytest.mark.parametrize(("opening", "fits"), [(0.0, {CLOSED}), (0.5, set()), (0.8, {OPEN})])
def test_what_opens_fits_when_it_is_done(opening: float, fits: set[Goal]) -> None:
    data = state()
    data.qpos[MODEL.jnt_qposadr[MODEL.joint("cabinet/drawer").id]] = 0.2 * opening
    mujoco.mj_forward(MODEL, data)
    for goal in (OPEN, CLOSED):
        check = GoalCheck(goal, MODEL)
        assert check.fits(data) is check(data).done is (goal in fits)


@pytest.mark.parametrize("goal", [ON, IN, NEAR, LIFTED, PUSHED, OPEN, CLOSED], ids=lambda goal: goal.kind)
def test_whatever_is_done_fits(goal: Goal) -> None:
    check = GoalCheck(goal, MODEL)
    found = [(check(data).done, check.fits(data)) for data in approach(goal)]
    assert all(fits for done, fits in found if done)
    assert found[-1] == (True, True)
    assert found[0] == (False, False)


@pytest.mark.parametrize(
    ("goal", "missing"),
    [
        (OnGoal(target="absent", support="plate"), "body 'absent'"),
        (OnGoal(target="cube", support="absent"), "body 'absent'"),
        (OnGoal(target="cube", support="crate"), "site 'crate/top'"),
        (InGoal(target="cube", container="plate"), "site 'plate/inside'"),
        (PushedGoal(target="cube", region="crate"), "site 'crate/top'"),
        (NearGoal(target="cube", other="absent"), "body 'absent'"),
    ],
)
def test_what_a_scene_lacks_is_named(goal: Goal, missing: str) -> None:
    with pytest.raises(SceneError, match=rf"The scene has no {missing}, which the goal '{goal.kind}' needs"):
        GoalCheck(goal, MODEL)


@pytest.mark.parametrize("name", ["cube", "zone"])
def test_what_has_no_joint_cannot_open(name: str) -> None:
    with pytest.raises(SceneError, match=f"'{name}' has nothing that opens"):
        GoalCheck(OpenGoal(target=name), MODEL)


def test_a_joint_without_a_range_cannot_open() -> None:
    text = WORLD.replace('type="slide" axis="-1 0 0" range="0 0.2"', 'type="slide" axis="-1 0 0"')
    with pytest.raises(SceneError, match="'cabinet' has nothing that opens"):
        GoalCheck(OPEN, mujoco.MjModel.from_xml_string(text))


def test_a_model_without_a_table_is_refused() -> None:
    text = WORLD.replace('<body name="table"', '<body name="desk"')
    with pytest.raises(SceneError, match="no body 'table'"):
        GoalCheck(ON, mujoco.MjModel.from_xml_string(text))


def test_no_goal_of_a_library_holds_at_the_start(library: SceneLibrary) -> None:
    for scene in library.scenes():
        model = scene.model()
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
        mujoco.mj_forward(model, data)
        for goal in scene.record.spec.task.goals:
            progress = GoalCheck(goal, model)(data)
            assert not progress.done
            assert 0 <= progress.value < 1

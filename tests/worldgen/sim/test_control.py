"""Control: the tool follows its target, the target follows the actions, and no limit is ever exceeded."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldgen import robots
from worldgen.errors import ActionError
from worldgen.kinematics import down, sample_reach, turn_between
from worldgen.robots import Array, Robot
from worldgen.sim.control import ACTION, Controller, Target, tool_pose
from worldgen.sim.stage import PART

from ..test_robots import Toy

ARMS = ("widowx", "panda", "toy")
STILL = np.array([0, 0, 0, 0, 0, 0, 1.0])


@pytest.fixture(scope="module")
def robot_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Robot]:
    """A function from a name to an arm: a shipped one, or one of a user's own."""
    toy = Toy(tmp_path_factory.mktemp("toy"))

    def find(name: str) -> Robot:
        if name != "toy":
            return robots.load(name)
        return Robot(robots.read_recipe(toy.json, "toy"), toy.xml.parent)

    (toy.xml.parent / "robot.xml").write_bytes(toy.xml.read_bytes())
    return find


@pytest.fixture(scope="module", params=ARMS)
def robot(request: pytest.FixtureRequest, robot_of: Callable[[str], Robot]) -> Robot:
    return robot_of(request.param)


@pytest.fixture(scope="module")
def controller(robot: Robot) -> Controller:
    return Controller(robot)


class Arm:
    """An arm in free space, driven as a world drives it."""

    def __init__(self, robot: Robot) -> None:
        self.controller = Controller(robot)
        self.model = robot.spec().compile()
        self.data, self.at = mujoco.MjData(self.model), robots.addresses(self.model, robot.recipe)
        assert self.model.opt.timestep == robots.TIMESTEP
        robots.set_home(self.model, self.data, robot.recipe)
        mujoco.mj_forward(self.model, self.data)
        self.target = self.controller.at(robot.recipe.home, robot.recipe.home_gripper)
        self.parts = round(self.controller.period / robots.TIMESTEP) // PART

    def act(self, action: Array) -> None:
        after = self.controller.advance(self.target, self.controller.clamp(action)[0])
        for command in self.controller.path(self.target, after, self.parts):
            self.data.ctrl[self.at.actuators], self.data.ctrl[self.at.gripper] = command[:-1], command[-1]
            mujoco.mj_step(self.model, self.data, PART)
        mujoco.mj_kinematics(self.model, self.data)
        self.target = after

    def miss(self) -> tuple[float, float]:
        """Return how far the tool is from the target [m], [deg]."""
        rotation = self.data.site_xmat[self.at.tool].reshape(3, 3)
        turn = turn_between(self.target.rotation, rotation)
        away = self.data.site_xpos[self.at.tool] - self.target.position
        return float(np.linalg.norm(away)), float(np.degrees(np.linalg.norm(turn)))


def moves(controller: Controller, target: Callable[[], Target], count: int, seed: int) -> Iterator[Array]:
    """Yield actions of any size towards random points within reach, a few for each point."""
    rng = np.random.default_rng(seed)
    for position, yaw in sample_reach(controller.recipe, count // 5, seed):
        for _ in range(5):
            action = controller.action_to(target(), position, down(yaw), rng.uniform())
            action = controller.clamp(action)[0]
            action[:6] *= rng.uniform(0.3, 1)
            yield action


def far_out(target: Target) -> Array:
    """Return an action straight away from the base."""
    way = target.position * [1, 1, 0]
    return np.concatenate([0.05 * way / np.linalg.norm(way), [0, 0, 0, 1]])


class TestTracking:
    def test_the_tool_is_where_it_was_told_to_be(self, robot: Robot) -> None:
        arm = Arm(robot)
        misses, before = [], arm.target.position
        travelled = 0.0
        for action in moves(arm.controller, lambda: arm.target, 200, seed=1):
            arm.act(action)
            misses.append(arm.miss())
            travelled += float(np.linalg.norm(arm.target.position - before))
            before = arm.target.position
        far, turned = np.array(misses).T
        assert far.max() < 3e-3
        assert turned.max() < 2
        assert np.median(far) < 1.5e-3
        assert travelled > 2

    def test_the_gripper_follows_too(self, robot: Robot) -> None:
        arm = Arm(robot)
        for opened in (0.0, 1.0, 0.3):
            for _ in range(5):
                arm.act(np.append(np.zeros(6), opened))
            assert arm.data.qpos[arm.at.fingers] == pytest.approx(robot.recipe.fingers_at(opened), abs=1.5e-3)

    def test_a_held_target_is_held(self, robot: Robot) -> None:
        arm = Arm(robot)
        for _ in range(10):
            arm.act(STILL)
        assert arm.miss()[0] < 1e-3
        assert arm.target.position == pytest.approx(arm.controller.at(robot.recipe.home, 1).position, abs=1e-9)


class TestTarget:
    def test_it_accumulates_from_the_last_target_and_not_from_where_the_arm_is(self, robot: Robot) -> None:
        pushed, free = Arm(robot), Arm(robot)
        hand = pushed.model.site_bodyid[pushed.at.tool]
        sagged = []
        for _ in range(6):
            pushed.data.xfrc_applied[hand, :3] = [4, 4, -20]
            pushed.act(np.array([0, 0.01, 0.005, 0, 0, 0, 1]))
            free.act(np.array([0, 0.01, 0.005, 0, 0, 0, 1]))
            sagged.append(pushed.miss()[0])
            assert (pushed.target.position == free.target.position).all()
            assert (pushed.target.joints == free.target.joints).all()
        assert max(sagged) > 3 * free.miss()[0]
        assert max(sagged) > 2e-3
        start = pushed.controller.at(robot.recipe.home, 1).position
        assert pushed.target.position == pytest.approx(start + [0, 0.06, 0.03], abs=1e-9)
        pushed.data.xfrc_applied[:] = 0
        for _ in range(5):
            pushed.act(STILL)
        assert pushed.miss()[0] < 1e-3

    def test_turns_are_about_the_base_frame(self, controller: Controller) -> None:
        start = controller.at(controller.recipe.home, 1)
        turned = controller.advance(start, np.array([0, 0, 0, 0, 0, 0.2, 1]))
        cosine, sine = np.cos(0.2), np.sin(0.2)
        expected = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ start.rotation
        assert np.abs(turned.rotation - expected).max() < 1e-9
        assert turned.position == pytest.approx(start.position, abs=1e-9)

    def test_there_and_back_is_nowhere(self, controller: Controller) -> None:
        start = target = controller.at(controller.recipe.home, 1)
        way = np.array([0.02, -0.03, 0.01, 0.1, 0.05, -0.2, 0])
        for action in (way, way, -way, -way):
            target = controller.advance(target, action)
        assert target.position == pytest.approx(start.position, abs=1e-9)

    def test_its_joints_put_the_tool_there(self, controller: Controller) -> None:
        trail = [controller.at(controller.recipe.home, 1)]
        for action in moves(controller, lambda: trail[-1], 100, seed=2):
            target = controller.advance(trail[-1], action)
            trail.append(target)
            reached = controller.at(target.joints, 1)
            assert np.linalg.norm(reached.position - target.position) < 2e-3
            assert np.linalg.norm(turn_between(target.rotation, reached.rotation)) < np.radians(1)

    def test_it_never_sinks_below_the_table(self, controller: Controller) -> None:
        target = controller.at(controller.recipe.home, 1)
        for _ in range(30):
            target = controller.advance(target, np.array([0, 0, -0.05, 0, 0, 0, 1]))
        assert 0 <= target.position[2] < 0.02

    def test_no_wind_up_beyond_reach(self, robot: Robot) -> None:
        arm = Arm(robot)
        for _ in range(20):
            arm.act(far_out(arm.target))
        assert np.linalg.norm(arm.target.position) < 2
        edge = arm.data.site_xpos[arm.at.tool].copy()
        assert np.linalg.norm(edge - arm.target.position) < 0.02
        back = far_out(arm.target)
        back[:3] *= -1
        arm.act(back)
        moved = (arm.data.site_xpos[arm.at.tool] - edge) @ back[:3] / np.linalg.norm(back[:3])
        assert (
            moved > 5e-3
        )  # a stretched arm cannot be quick; one that was told to go a metre further would not move at all
        assert moved > 0.5 * np.linalg.norm(arm.target.position - edge)

    def test_no_wind_up_of_turns(self, controller: Controller) -> None:
        target = controller.at(controller.recipe.home, 1)
        turn = np.array([0, 0, 0, 0.35, 0, 0, 1])
        for _ in range(20):
            target = controller.advance(target, turn)
        back = controller.advance(target, -turn * [1, 1, 1, 1, 1, 1, 0])
        assert np.degrees(np.linalg.norm(turn_between(back.rotation, target.rotation))) > 3


class TestClamp:
    def test_what_fits_is_left_alone(self, controller: Controller) -> None:
        rng = np.random.default_rng(0)
        for _ in range(50):
            action = rng.uniform(controller.low, controller.high)
            action[:6] /= np.sqrt(3)
            values, clamped = controller.clamp(action)
            assert (values == action).all()
            assert not clamped

    @pytest.mark.parametrize("part", [slice(0, 3), slice(3, 6)])
    def test_what_is_too_long_keeps_its_direction(self, controller: Controller, part: slice) -> None:
        action = STILL.copy()
        action[part] = [0.3, -1.2, 2.0]
        values, clamped = controller.clamp(action)
        limit = controller.high[part][0]
        assert clamped
        assert np.linalg.norm(values[part]) == pytest.approx(limit)
        assert values[part] / limit == pytest.approx(action[part] / np.linalg.norm(action[part]))
        assert (np.delete(values, np.r_[part]) == np.delete(action, np.r_[part])).all()

    @pytest.mark.parametrize(("gripper", "expected"), [(-3.0, 0.0), (7.0, 1.0), (0.4, 0.4)])
    def test_the_gripper(self, controller: Controller, gripper: float, expected: float) -> None:
        values, clamped = controller.clamp([0, 0, 0, 0, 0, 0, gripper])
        assert values[6] == expected
        assert clamped == (gripper != expected)

    def test_rounding_to_float32_is_no_reason_to_count(self, controller: Controller) -> None:
        for corner in (controller.low, controller.high):
            action = corner.copy()
            action[[1, 2, 4, 5]] = 0
            assert not controller.clamp(action.astype(np.float32))[1]

    def test_the_argument_is_left_alone(self, controller: Controller) -> None:
        action = np.full(ACTION, 9.0)
        controller.clamp(action)
        assert (action == 9).all()

    @pytest.mark.parametrize(
        "action",
        [np.zeros(6), np.zeros(8), np.zeros((1, 7)), 0.0, [], *(np.where(np.arange(7) == at, bad, 0) for at in (0, 4, 6) for bad in (np.nan, np.inf, -np.inf))],
    )  # fmt: skip
    def test_nonsense_is_refused(self, controller: Controller, action: object) -> None:
        with pytest.raises(ActionError, match="7 finite numbers"):
            controller.clamp(action)  # type: ignore[arg-type]


actions = st.lists(st.lists(st.floats(-0.5, 0.5), min_size=ACTION, max_size=ACTION), min_size=1, max_size=12)


@pytest.mark.parametrize("name", ARMS)
@settings(max_examples=40)
@given(actions=actions)
def test_no_joint_or_speed_limit_is_ever_exceeded(
    robot_of: Callable[[str], Robot], name: str, actions: list[list[float]]
) -> None:
    controller = _controller(robot_of, name)
    recipe, at = controller.recipe, robots.addresses(controller.model, controller.recipe)
    target = controller.at(recipe.home, 1)
    fastest = np.array(recipe.control.max_speed) * controller.period
    for action in actions:
        after = controller.advance(target, controller.clamp(action)[0])
        assert np.isfinite(after.joints).all()
        assert np.isfinite(after.position).all()
        assert (after.joints >= at.low - 1e-12).all()
        assert (after.joints <= at.high + 1e-12).all()
        assert (np.abs(after.joints - target.joints) <= fastest * (1 + 1e-9)).all()
        assert np.linalg.norm(after.quaternion) == pytest.approx(1)
        for command in controller.path(target, after, 5):
            assert (command[:-1] >= at.low - 1e-12).all()
            assert (command[:-1] <= at.high + 1e-12).all()
        target = after


_made: dict[str, Controller] = {}


def _controller(robot_of: Callable[[str], Robot], name: str) -> Controller:
    return _made.setdefault(name, Controller(robot_of(name)))


class TestPath:
    def test_it_is_even_and_ends_ahead_of_the_target_by_what_servos_trail(self, controller: Controller) -> None:
        before = controller.at(controller.recipe.home, 1)
        after = controller.advance(before, np.array([0.02, 0.03, -0.01, 0, 0, 0.2, 0.25]))
        path = controller.path(before, after, 5)
        assert path.shape == (5, len(before.joints) + 1)
        steps = np.diff(path[:, :-1], axis=0)
        assert np.abs(steps - steps[0]).max() < 1e-12
        assert steps[0] * 5 == pytest.approx(after.joints - before.joints, abs=1e-9)
        ahead = controller.lead * (after.joints - before.joints) / controller.period
        assert path[-1, :-1] + steps[0] / 2 == pytest.approx(after.joints + ahead, abs=1e-9)
        assert path[0, :-1] - steps[0] / 2 == pytest.approx(before.joints + ahead, abs=1e-9)
        assert (path[:, -1] == controller.recipe.gripper_ctrl(0.25)).all()

    def test_it_is_continuous_from_action_to_action(self, controller: Controller) -> None:
        """Each seam is a step of one part, as within an action, while speed is constant."""
        target, paths = controller.at(controller.recipe.home, 1), []
        for _ in range(3):
            after = controller.advance(target, np.array([0, 0.01, 0, 0, 0, 0, 1]))
            paths.append(controller.path(target, after, 5)[:, :-1])
            target = after
        steps = np.abs(np.diff(np.concatenate(paths), axis=0))
        assert steps.max() < 2.5 * np.abs(np.diff(paths[0], axis=0)).max()

    def test_whoever_stands_still_is_asked_to(self, controller: Controller) -> None:
        target = controller.at(controller.recipe.home, 0.5)
        path = controller.path(target, target, 5)
        assert (path[:, :-1] == target.joints).all()


class TestPure:
    def test_history_does_not_count(self, robot: Robot) -> None:
        """A fresh controller, and one that has been elsewhere, answer bit for bit alike."""
        fresh, used = Controller(robot), Controller(robot)
        trail, elsewhere = [used.at(robot.recipe.home, 1)], np.array(robot.recipe.home) + 0.3
        for action in moves(used, lambda: trail[-1], 40, seed=3):
            used.advance(used.at(elsewhere, 0), -action)
            one, same = used.advance(trail[-1], action), fresh.advance(trail[-1], action)
            for field in ("position", "quaternion", "joints"):
                assert getattr(one, field).tobytes() == getattr(same, field).tobytes()
            assert one.gripper == same.gripper
            trail.append(one)

    def test_arguments_and_results_stay_as_they_are(self, controller: Controller) -> None:
        target = controller.at(controller.recipe.home, 1)
        before, action = copy.deepcopy(target), np.array([0.01, 0, 0, 0, 0.1, 0, 1])
        after = controller.advance(target, action)
        kept = copy.deepcopy(after)
        controller.advance(after, np.array([0, 0.05, 0, 0.3, 0, 0, 0]))
        for now, then in ((target, before), (after, kept)):
            for field in ("position", "quaternion", "joints"):
                assert (getattr(now, field) == getattr(then, field)).all()
        assert (action == [0.01, 0, 0, 0, 0.1, 0, 1]).all()


def test_an_action_to_a_pose_leads_there(controller: Controller) -> None:
    target = controller.at(controller.recipe.home, 1)
    cosine, sine = np.cos(0.2), np.sin(0.2)
    position = target.position + [0.01, -0.02, 0.015]
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ target.rotation
    action = controller.action_to(target, position, rotation, 0.0)
    assert action == pytest.approx([0.01, -0.02, 0.015, 0, 0, 0.2, 0], abs=1e-9)
    target = controller.advance(target, action)
    assert target.position == pytest.approx(position, abs=1e-9)
    assert np.abs(target.rotation - rotation).max() < 1e-9


def test_a_pose_as_numbers() -> None:
    assert tool_pose(np.array([0.1, 0.2, 0.3]), down(0.4)) == pytest.approx([0.1, 0.2, 0.3, 0, 0, 0.4])
    assert tool_pose(np.zeros(3), down(0)) == pytest.approx(np.zeros(6), abs=1e-12)


def test_the_box_of_actions_is_that_of_the_recipe(robot_of: Callable[[str], Robot], tmp_path: Path) -> None:
    robot = robot_of("widowx")
    limits = robot.recipe.control.model_copy(update={"max_translation": 0.02, "max_rotation": 0.1})
    made = Controller(Robot(robot.recipe.model_copy(update={"control": limits}), robot.folder))
    assert made.high == pytest.approx([0.02] * 3 + [0.1] * 3 + [1])
    assert made.low == pytest.approx([-0.02] * 3 + [-0.1] * 3 + [0])
    assert np.linalg.norm(made.clamp([1, 0, 0, 0, 0, 0, 0])[0][:3]) == pytest.approx(0.02)

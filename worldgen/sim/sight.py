"""Pictures with exact labels: where each object is, and where the picture was taken from. For teaching a network to see; nothing moves here.

Frame: the robot's base frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import mujoco
import numpy as np

from ..kinematics import PoseSolver, down, free_pose, rotation_about
from ..robots import Array
from .grasps import Carried, Grasp, Hand, yaw_of
from .motions import Motions
from .optics import pose
from .stage import Stage
from .world import Observation, World

_BANK = 400
"""Arm poses to choose from: solving for one costs as much as a picture."""
_LEAN = 0.35
"""Farthest that the hand leans off straight down [rad]."""
_HELD, _ROUND, _ONTO = 0.4, 0.3, 0.35
"""Shares of pictures with an object between the fingers, with the hand over or beside one, and with that in or on another:
in demonstrations the hand is within 3 cm of the target in three frames of five."""
_ABOVE, _CLOSE, _OFF = 0.12, 0.07, 0.01
"""How far the hand is then above a grasp at most, beside it at most, and beside it where it is straight over that [m]."""
_LIFTED = 0.1
"""How far what is held is above what it goes into or onto, at most [m]."""
_WAYS = 4
"""Ways of taking one object that are shown."""
_UNDER = 0.02
"""How far to the side something still carries what is put there [m]."""
_ASTRAY = 0.2
"""Share of the objects that lie where no episode begins: things roll away and fall over where a policy is not good yet."""
_FALLEN, _TALL = 0.7, 0.6
"""Share of these that lie on one of their sides, where their height is at least so much of their width: plates do not fall over."""
_BEYOND = 0.14
"""How far around the workspace they may lie [m]."""
_FOOT = 0.09
"""No object's middle is nearer to the arm's axis than so [m]."""
_TRIES = 5
"""Places to try for each."""
_UPRIGHT = 0.8
"""Cosine of how far off straight down the hand takes things at most."""


@dataclass(frozen=True)
class Sight:
    """One picture and what is to be known of it."""

    observation: Observation
    points: dict[str, Array]
    """Object → its middle (3,) [m]; of what opens, its handle."""
    camera: Array
    """(CAMERA,) of the first view; see `worldgen.sim.optics`."""


@dataclass(frozen=True)
class _Reached:
    """A pose of the tool and the arm's joints there."""

    grasp: Grasp
    joints: Array
    """[rad]"""


class Scatter:
    """Draws pictures of one scene with the objects, the arm and the looks anywhere.

    Args:
        stage: The scene; its settings need a view.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage, self.world = stage, World(stage)
        self._bank = _poses(stage)
        self._hand = Hand(stage)
        self._motions = Motions(stage, self._hand, list(stage.free))
        self._ways: dict[str, list[Grasp]] = {}
        """Object → ways to take it, in its own frame."""

    def pictures(self, seed: int, count: int) -> list[Sight]:
        """Return `count` pictures of one arrangement of the objects, each with another pose of the arm."""
        rng = np.random.default_rng([seed, 1])
        self.world.scatter(seed)
        self._know_ways()
        for name in sorted(self.stage.free):
            if rng.uniform() < _ASTRAY:
                self._stray(name, rng)
        before = self.world.data.qpos.copy()
        found = []
        for _ in range(count):
            self.world.data.qpos[:] = before
            self._pose(rng)
            mujoco.mj_forward(self.stage.model, self.world.data)
            found.append(self._label(self.world.observe()))
        return found

    def _pose(self, rng: np.random.Generator) -> None:
        """Put the arm anywhere, often over or beside an object, often with that in its hand, in or on another object, or both."""
        data, stage = self.world.data, self.stage
        self._look()
        name, kind = str(rng.choice(sorted(stage.ids))), rng.uniform()
        onto = name in stage.free and rng.uniform() < _ONTO
        if onto:
            self._put_onto(name, rng)
        hand = self._anywhere(rng)
        if kind < _HELD and (taken := self._take(name, rng)):
            hand = self._hold(name, taken, self._lifted(taken, rng) if onto else hand) or hand
        elif kind < _HELD + _ROUND:
            hand = self._round(name, rng) or hand
        data.qpos[stage.at.qpos] = hand.joints
        data.qpos[stage.at.fingers] = stage.recipe.fingers_at(hand.grasp.opened)

    def _anywhere(self, rng: np.random.Generator) -> _Reached:
        tools, rotations, joints = self._bank
        index, opened = int(rng.integers(len(joints))), float(rng.choice([0.0, 1.0, rng.uniform()]))
        return _Reached(Grasp(tools[index], rotations[index], opened), joints[index])

    def _reached(self, grasp: Grasp) -> _Reached | None:
        """Return a pose of the tool with the arm's joints there; None where it does not reach."""
        tools, _, joints = self._bank
        nearest = int(np.argmin(np.linalg.norm(tools - grasp.position, axis=1)))
        found = self._hand.solve(grasp.position, grasp.rotation, joints[nearest])
        return None if found is None else _Reached(grasp, found)

    def _round(self, name: str, rng: np.random.Generator) -> _Reached | None:
        """Return a pose straight above where an object is taken, or beside that."""
        turned = down(rng.uniform(-np.pi / 2, np.pi / 2))
        taken = self._take(name, rng) or Grasp(self.stage.truth.middle(self.world.data, name), turned, 0.0)
        aside = rng.normal(0, _OFF, 2) if rng.uniform() < 0.5 else rng.uniform(-_CLOSE, _CLOSE, 2)
        up = rng.uniform(0, _ABOVE) * rng.integers(2)
        opened = float(rng.choice([0.0, 1.0, rng.uniform(taken.opened, 1.0)], p=[0.25, 0.25, 0.5]))
        return self._reached(Grasp(taken.position + [*aside, up], taken.rotation, opened))

    def _lifted(self, taken: Grasp, rng: np.random.Generator) -> _Reached | None:
        return self._reached(replace(taken, position=taken.position + [0.0, 0.0, rng.uniform(0, _LIFTED)]))

    def _hold(self, name: str, taken: Grasp, hand: _Reached | None) -> _Reached | None:
        """Move an object along with the hand that has taken it, and return the hand with its fingers about that."""
        if hand is None:
            return None
        data, body, turn = self.world.data, self.stage.free[name], taken.rotation.T
        carried = Carried(body, turn @ (data.xpos[body] - taken.position), turn @ data.xmat[body].reshape(3, 3))
        self._hand.carry(data, hand.grasp.position, hand.grasp.rotation, carried)
        return replace(hand, grasp=replace(hand.grasp, opened=taken.opened))

    def _take(self, name: str, rng: np.random.Generator) -> Grasp | None:
        """Return one of the ways to take an object, with the fingers on it; None where it has fallen over, is too wide or fixed."""
        ways = self._ways.get(name)
        if not ways:
            return None
        body = self.stage.ids[name]
        at, turn = self.world.data.xpos[body], self.world.data.xmat[body].reshape(3, 3)
        way = ways[int(rng.integers(len(ways)))]
        rotation = turn @ way.rotation
        if rotation[:, 2] @ down(0.0)[:, 2] < _UPRIGHT:
            return None
        if abs(yaw_of(rotation)) > np.pi / 2:  # the gripper is symmetric; no arm turns so far
            rotation = rotation * [-1, -1, 1]
        return Grasp(at + turn @ way.position, rotation, way.opened)

    def _know_ways(self) -> None:
        """Find out how each object is taken, while all stand upright."""
        if self._ways:
            return
        data, stage = self.world.data, self.stage
        self._look()
        for name, body in stage.free.items():
            at, turn = data.xpos[body], data.xmat[body].reshape(3, 3)
            self._ways[name] = [
                Grasp(turn.T @ (each.position - at), turn.T @ down(each.yaw), each.width / stage.recipe.gripper.opening)
                for each in self._hand.candidates(self._motions.cloud(name), 0.0)[:_WAYS]
            ]

    def _stray(self, name: str, rng: np.random.Generator) -> None:
        """Let an object lie anywhere on the table where there is room, often on a side of it."""
        stage, pose = self.stage, free_pose(self.stage.model, self.world.data, self.stage.free[name])
        before = pose.copy()
        self._look()
        wide, deep, high = np.ptp(self._motions.cloud(name), axis=0)
        if rng.uniform() < _FALLEN and high > _TALL * max(wide, deep):
            _tip(pose[3:], rng)
            self._look()
        cloud = self._motions.cloud(name)
        middle = (cloud.min(axis=0) + cloud.max(axis=0))[:2] / 2
        radius = np.linalg.norm(cloud[:, :2] - middle, axis=1).max()
        area, others = stage.recipe.workspace, self._others(name)
        low, high = np.array([[area.x_min, area.y_min], [area.x_max, area.y_max]])
        for place in rng.uniform(low - _BEYOND, high + _BEYOND, (_TRIES, 2)):
            gaps = [np.linalg.norm(other[:, :2] - place, axis=1).min() for other in others]
            if np.linalg.norm(place) > _FOOT + radius and min(gaps, default=np.inf) > radius:
                pose[:3] += [*(place - middle), -float(cloud[:, 2].min())]
                return
        pose[:] = before

    def _look(self) -> None:
        """Take this moment for now, wherever things were put."""
        mujoco.mj_kinematics(self.stage.model, self.world.data)
        self._motions.look(self.world.data, self.world.target)

    def _others(self, name: str) -> list[Array]:
        """Return points on the surface of every object but one, each (N, 3) [m]."""
        clouds = [self._motions.cloud(other) for other in sorted(self.stage.ids) if other != name]
        return [cloud for cloud in clouds if len(cloud)]

    def _put_onto(self, name: str, rng: np.random.Generator) -> None:
        """Put an object into or onto another one."""
        data, stage = self.world.data, self.stage
        cloud, others = self._motions.cloud(name), self._others(name)
        if not others:
            return
        below = others[int(rng.integers(len(others)))]
        low, high = below.min(axis=0)[:2], below.max(axis=0)[:2]
        place = (low + high) / 2 + np.clip(rng.normal(0, 0.3, 2), -1, 1) * (high - low) / 2
        under = below[np.linalg.norm(below[:, :2] - place, axis=1) < _UNDER]
        height = float(under[:, 2].max()) if len(under) else 0.0
        pose = free_pose(stage.model, data, stage.free[name])
        pose[:3] += [*(place - data.xpos[stage.ids[name]][:2]), height - float(cloud[:, 2].min())]
        mujoco.mj_kinematics(stage.model, data)

    def _label(self, observation: Observation) -> Sight:
        data, stage = self.world.data, self.stage
        camera = stage.model.camera(stage.settings.views[0].camera).id
        return Sight(
            observation, {name: stage.truth.middle(data, name) for name in stage.ids}, pose(stage.model, data, camera)
        )


def _tip(quaternion: Array, rng: np.random.Generator) -> None:
    """Lay what stands onto one of its sides, turned any way; about an axis of its own, for else it would be on an edge."""
    tipped, turned, side = np.empty(4), np.empty(4), np.zeros(3)
    side[rng.integers(2)] = rng.choice([-1.0, 1.0])
    mujoco.mju_axisAngle2Quat(tipped, side, np.pi / 2)
    mujoco.mju_axisAngle2Quat(turned, np.array([0.0, 0.0, 1.0]), rng.uniform(0, 2 * np.pi))
    mujoco.mju_mulQuat(tipped, quaternion.copy(), tipped.copy())
    mujoco.mju_mulQuat(quaternion, turned, tipped)


_banks: dict[str, tuple[Array, Array, Array]] = {}
"""Recipe → what `_poses` found for it."""


def _poses(stage: Stage) -> tuple[Array, Array, Array]:
    """Return tool points (N, 3) [m], rotations (N, 3, 3) and joints (N, J) [rad] all over the workspace and above it."""
    key = stage.recipe.model_dump_json()
    if key not in _banks:
        _banks[key] = _solved(stage)
    return _banks[key]


def _solved(stage: Stage) -> tuple[Array, Array, Array]:
    rng, recipe = np.random.default_rng(0), stage.recipe
    solve, area = PoseSolver(stage.controller.model, recipe), recipe.workspace
    tools, rotations, joints = list[Array](), list[Array](), list[Array]()
    for _ in range(3 * _BANK):
        height = 0.005 + 0.25 * rng.uniform() ** 1.5
        point = np.array([rng.uniform(area.x_min, area.x_max), rng.uniform(area.y_min, area.y_max), height])
        axis = np.array([*rng.normal(size=2), 0.0])
        lean = rng.choice([0.0, rng.uniform(0, _LEAN)])
        rotation = rotation_about(axis / np.linalg.norm(axis), lean) @ down(rng.uniform(-np.pi / 2, np.pi / 2))
        found = solve(point, rotation, np.array(recipe.home))
        if found is not None:
            tools.append(point)
            rotations.append(rotation)
            joints.append(found)
        if len(joints) == _BANK:
            break
    return np.array(tools), np.array(rotations), np.array(joints)

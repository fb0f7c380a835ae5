"""A scripted expert: from goals and privileged poses to actions, for every task family. Looks again before each chunk.

It keeps no plan. At each call it looks at what the hand holds and where things stand, lays out the way from there to the goal, and
gives the first actions of it; so it goes on from any state, after a slip, a push or another policy's actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import mujoco
import numpy as np

from ..goals import GoalCheck
from ..kinematics import down, turn_between
from ..robots import Array
from ..spec import ClosedGoal, InGoal, LiftedGoal, NearGoal, OnGoal, OpenGoal, PushedGoal, goal_names
from .control import Target
from .grasps import Carried, Grasp, Hand, surface_points, world_points
from .world import World

CLEARANCE = 0.02
"""Free height between what moves and what it passes over [m]."""
CEILING = 0.25
"""Highest tool point, the top of the promised reach [m]."""
_CORRIDOR = 0.05
"""Half the width of the way that must be free [m]."""
_AT, _ANGLE = 0.006, 0.08
"""When the tool counts as being at a pose [m], [rad]."""
_SHUT = 0.05
"""Gripper below which the fingers were told to shut."""
_RELEASE = 0.12
"""How much farther the fingers open to let go; no more, for there may be walls beside them."""
_SQUEEZE = 2
"""Actions for which the fingers close before they lift."""
_TURNS = (0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, 1.57)
"""Turns about the vertical that are tried for putting something down [rad]."""
_TILTS = (0.0, 0.35, 0.7, 0.9, 1.1)
"""How far the hand leans back to reach under what hangs over a handle [rad]."""
_SIDES = (0.0, 0.4, -0.4, 0.8, -0.8)
"""Directions to push in, off the straight line to the goal [rad]."""
_STALE = 0.012
"""How far an object may move before its grasp is looked for anew [m]."""


@dataclass(frozen=True)
class Noise:
    """Mistakes on purpose, so that demonstrations show how to recover. Actions stay as they would be without."""

    move: float = 0.0
    """Standard deviation of each action's move, each axis [m]."""
    turn: float = 0.0
    """Standard deviation of each action's turn, each axis [rad]."""


@dataclass(frozen=True)
class Way:
    """One stop on the way."""

    position: Array
    """Tool point [m]."""
    rotation: Array
    """(3, 3)"""
    gripper: float
    """0 closed … 1 open, on the way there."""
    wait: int = 0
    """Actions to stay."""
    speed: float = 1.0
    """Share of the largest action."""


@dataclass
class _Memory:
    """What the expert remembers of an episode: only choices that would otherwise waver."""

    grasp: dict[str, tuple[Grasp, Array, Array]] = field(default_factory=dict)
    """Target → its grasp, and the target's position and rotation when it was chosen."""
    hopeless: dict[str, Array] = field(default_factory=dict)
    """Target → where everything stood when no grasp was found."""
    failed: dict[str, int] = field(default_factory=dict)
    """Target → grasps that did not hold."""
    place: tuple[str, Array, Array, Array] | None = None
    """Of what is held: name, tool point and rotation to let go at, offset in the hand."""
    patience: int = 0
    """Calls for which nothing new is begun, so that what was let go comes to rest."""
    trouble: str = ""
    """The last thing that went wrong."""


class Expert:
    """Solves the episode that a world is in. Make a new one, or call `reset`, for each episode.

    Args:
        world: To act in; it is only looked at.
        noise: Mistakes to make.
        seed: Of the mistakes.
    """

    def __init__(self, world: World, noise: Noise = Noise(), seed: int = 0) -> None:
        self.world, self.stage, self.noise = world, world.stage, noise
        self.hand = Hand(world.stage)
        self._points = {name: surface_points(world.model, body) for name, body in world.stage.ids.items()}
        self._speed = world.stage.recipe.control
        self.reset(seed)

    def reset(self, seed: int = 0) -> None:
        """Forget the last episode."""
        self._memory, self._rng = _Memory(), np.random.default_rng(seed)

    @property
    def trouble(self) -> str:
        """What went wrong last, in words; empty while all goes well."""
        return self._memory.trouble

    def act(self, count: int | None = None) -> Array:
        """Return the next actions, (count, 7), in the form that `World.step` takes; `settings.chunk` of them by default."""
        count = count or self.world.settings.chunk
        self._data, self._target = self.world.data, self.world.target
        actions = self._follow(self._plan(), count)
        if self.noise.move or self.noise.turn:
            spread = np.repeat([self.noise.move, self.noise.turn], 3)
            actions[:, :6] += self._rng.normal(0, 1, (count, 6)) * spread
        return actions

    # --- what to do ---------------------------------------------------------------------------------------------------------

    def _plan(self) -> list[Way]:
        """Return the way from here to the first goal that does not hold."""
        memory = self._memory
        goal = self._open_goal()
        if memory.patience > 0:
            memory.patience -= 1
            return [self._away()]
        if goal is None:  # what is held up or held open stays so
            held = isinstance(self.stage.goals[-1].goal, LiftedGoal | OpenGoal | ClosedGoal)
            return [] if held else self._leave()
        if self._closed():
            if self.stage.truth.holds(self._data, goal.target):
                return self._along(goal) if isinstance(goal.goal, OpenGoal | ClosedGoal) else self._carry(goal)
            if self._closing():
                return [self._stay(0.0, 1)]
            self._missed(goal)
            return self._leave()
        if isinstance(goal.goal, OpenGoal | ClosedGoal):
            grasp = self._handle(goal)
            return self._take(grasp, goal) if grasp else [self._away()]
        if isinstance(goal.goal, PushedGoal) and (way := self._push(goal)):
            return way
        if grasp := self._grasp(goal):
            return self._take(grasp, goal)
        return (self._push(goal) if isinstance(goal.goal, NearGoal) else None) or [self._away()]

    def _open_goal(self) -> GoalCheck | None:
        """Return the first goal to see to: one whose support is still to be moved itself comes later."""
        waiting = [goal for goal in self.stage.goals if not self.stage.truth.progress(self._data, goal).done]
        movers = {goal.goal.target for goal in waiting}
        ready = [goal for goal in waiting if not movers & set(goal_names(goal.goal)[1:])]
        held = [
            goal for goal in waiting if self._target.gripper < 0.5 and self.stage.truth.holds(self._data, goal.target)
        ]
        return next(iter([*held, *ready, *waiting]), None)

    def _closed(self) -> bool:
        """Return whether the fingers were told to shut."""
        return self._target.gripper < _SHUT

    def _closing(self) -> bool:
        """Return whether the fingers still move."""
        at = self.stage.at.fingers
        joints = [self.stage.model.joint("robot/" + name) for name in self.stage.recipe.gripper.joints]
        speeds = [abs(self._data.qvel[self.stage.model.jnt_dofadr[joint.id]]) for joint in joints]
        return len(at) > 0 and max(speeds) > 0.01

    def _missed(self, goal: GoalCheck) -> None:
        memory, name = self._memory, goal.goal.target
        memory.failed[name] = memory.failed.get(name, 0) + 1
        memory.grasp.pop(name, None)
        memory.place = None
        memory.trouble = f"the grasp of '{name}' slipped"

    # --- take and bring -----------------------------------------------------------------------------------------------------

    def _take(self, grasp: Grasp, goal: GoalCheck) -> list[Way]:
        """Return the way to a grasp, in along the tool's axis, the closing of the fingers, and a little up for what is carried."""
        end = [
            Way(grasp.position, grasp.rotation, grasp.opened, speed=0.7),
            Way(grasp.position, grasp.rotation, 0.0, wait=_SQUEEZE),
        ]
        carried = not isinstance(goal.goal, OpenGoal | ClosedGoal)
        if carried:
            end.append(Way(grasp.position + [0, 0, 0.05], grasp.rotation, 0.0, speed=0.7))
        if self._before(grasp.position, grasp.rotation):
            return end
        skip = goal.goal.target if carried else ""
        return [*self._across(grasp.position, grasp.rotation, grasp.opened, skip=skip), *end]

    def _grasp(self, goal: GoalCheck) -> Grasp | None:
        """Return how to take the goal's target as it lies now."""
        name, memory = goal.goal.target, self._memory
        position, rotation = self._data.xpos[goal.target], self._data.xmat[goal.target].reshape(3, 3)
        if known := memory.grasp.get(name):
            grasp, before, turned = known
            if np.linalg.norm(position - before) < _STALE and np.linalg.norm(turn_between(rotation, turned)) < 0.1:
                return Grasp(grasp.position + position - before, grasp.rotation, grasp.opened)
        everything = self._data.xpos[list(self.stage.ids.values())]
        if (hopeless := memory.hopeless.get(name)) is not None and np.abs(hopeless - everything).max() < _STALE:
            return None
        points = world_points(self._points[name], self._data)
        found = self.hand.search(self._data, points, self._target, memory.failed.get(name, 0))
        if found is None and memory.failed.get(name, 0):
            memory.failed[name] = 0
            found = self.hand.search(self._data, points, self._target)
        if found is None:
            memory.trouble = f"no grasp of '{name}' is within reach and free"
            memory.hopeless[name] = everything.copy()
            return None
        memory.grasp[name] = (found, position.copy(), rotation.copy())
        return found

    def _carry(self, goal: GoalCheck) -> list[Way]:
        """Return the way of what is in the hand to its goal."""
        if isinstance(goal.goal, LiftedGoal):
            height = goal.start_height + goal.goal.height + 0.02
            rise = height - self._data.xpos[goal.target][2]
            up = self._target.position + [0, 0, max(rise, 0)]
            return [Way(up, self._target.rotation, 0.0, speed=0.7)]
        place = self._place(goal)
        if place is None:
            return self._leave()
        position, rotation = place
        opened = min(1.0, self.stage.truth.opening(self._data) + 2 * _RELEASE)
        lower = Way(position, rotation, 0.0, speed=0.5)
        release = Way(position, rotation, opened, wait=2)
        way = [lower, release, Way(position - 0.06 * rotation[:, 2], rotation, opened)]
        if self._rests(goal) and self._before(position, rotation) and self._target.position[2] < position[2] + 0.05:
            return self._leave()  # on something that lies there already: pressing on would push it aside
        if not self._before(position, rotation):
            hang = self._target.position[2] - float(
                world_points(self._points[goal.goal.target], self._data)[:, 2].min()
            )
            return [*self._across(position, rotation, 0.0, hang, goal.goal.target), *way]
        if np.linalg.norm(self._target.position - position) < _AT:
            self._memory.patience = 1
        return way

    def _rests(self, goal: GoalCheck) -> bool:
        """Return whether what is in the hand touches anything but the hand."""
        roots = self.stage.model.body_rootid[self.stage.model.geom_bodyid[self._data.contact.geom[: self._data.ncon]]]
        others = roots[:, ::-1][roots == goal.target]
        return bool((others != self.stage.model.body_rootid[self.stage.model.site_bodyid[self.stage.at.tool]]).any())

    def _place(self, goal: GoalCheck) -> tuple[Array, Array] | None:
        """Return the tool point [m] and rotation at which to let go of what is in the hand."""
        name, memory, data = goal.goal.target, self._memory, self._data
        tool, now = self.stage.truth.tool(data)
        offset, turn = now.T @ (data.xpos[goal.target] - tool), now.T @ data.xmat[goal.target].reshape(3, 3)
        if memory.place and memory.place[0] == name and np.linalg.norm(memory.place[3] - offset) < _STALE:
            return memory.place[1], memory.place[2]
        points = (world_points(self._points[name], data) - tool) @ now
        opened = min(1.0, self.stage.truth.opening(data) + 2 * _RELEASE)
        carried = Carried(goal.target, offset, turn)
        lifts = (0.0, 0.01, 0.02, 0.035, 0.05, 0.07) if isinstance(goal.goal, InGoal) else (0.0,)
        for spot, height in self._spots(goal, points):
            for rotation in self._rotations(goal, points):
                turned = points @ rotation.T
                # an object's outline need not be centred on its origin: its middle comes over the spot
                middle = (turned[:, :2].min(axis=0) + turned[:, :2].max(axis=0)) / 2
                if not isinstance(goal.goal, InGoal | OnGoal):
                    middle = (rotation @ offset)[:2]
                for lift in lifts:
                    point = np.array([*(spot - middle), height - turned[:, 2].min() + lift])
                    reached = self.hand.reach(data, point, rotation, opened, self._target, carried)
                    if reached is not None and np.allclose(reached, rotation):
                        memory.place = (name, point, rotation, offset)
                        return point, rotation
        memory.trouble = f"no free place for '{name}' is within reach"
        return None

    def _rotations(self, goal: GoalCheck, points: Array) -> list[Array]:
        """Return tool rotations to let go with, the best first: long things along long containers, else the smallest turn."""
        now = self._target.rotation
        turns = [_rotation_about(np.array([0.0, 0.0, 1.0]), angle) @ now for angle in _TURNS]
        if not isinstance(goal.goal, InGoal):
            return turns
        frame, half = self._data.site_xmat[goal.site].reshape(3, 3), self.stage.model.site_size[goal.site]

        def overhang(rotation: Array) -> float:
            return float(np.maximum(np.ptp((points @ rotation.T @ frame)[:, :2], axis=0) / 2 - half[:2], 0).sum())

        return sorted(turns, key=lambda rotation: round(overhang(rotation), 3))

    def _spots(self, goal: GoalCheck, points: Array) -> list[tuple[Array, float]]:
        """Return where the middle of what is in the hand may go (x, y) and the height that it stands on [m], the best first."""
        model, data, item = self.stage.model, self._data, goal.goal
        if isinstance(item, NearGoal):
            return self._beside(goal, points)
        site = data.site_xpos[goal.site]
        half, turn = model.site_size[goal.site], data.site_xmat[goal.site].reshape(3, 3)
        height = site[2] + 0.002
        if isinstance(item, InGoal):
            height = site[2] - half[2] + 0.004
        elif isinstance(item, PushedGoal):
            height = 0.003
        others = [
            world_points(self._points[name], data)
            for name in self.stage.free
            if name not in (item.target, goal_names(item)[1])
        ]
        room = np.concatenate(others)[:, :3] if others else np.zeros((0, 3))
        room = room[room[:, 2] > height - 0.02]
        size = np.ptp(points[:, :2], axis=0).min() / 2
        spread = np.maximum(half[:2] - size, 0) if isinstance(item, InGoal) else half[:2] * 0.6
        grid = [np.zeros(2)] + [
            np.array([np.cos(a), np.sin(a)]) * share for share in (0.5, 0.9) for a in np.arange(8) * np.pi / 4
        ]
        spots = [site[:2] + turn[:2, :2] @ (spread * cell) for cell in grid]

        def crowded(spot: Array) -> float:
            gap = np.linalg.norm(room[:, :2] - spot, axis=1).min() - size if len(room) else 1.0
            return max(0.004 - gap, 0.0)

        return sorted(((spot, float(height)) for spot in spots), key=lambda pair: (round(crowded(pair[0]), 3),))

    def _beside(self, goal: GoalCheck, points: Array) -> list[tuple[Array, float]]:
        """Return places beside the other object of a `near` goal, those on this side of it first."""
        assert isinstance(goal.goal, NearGoal)
        other = world_points(self._points[goal.goal.other], self._data)[:, :2]
        middle = (other.min(axis=0) + other.max(axis=0)) / 2
        towards = np.arctan2(*(self._data.xpos[goal.target][:2] - middle)[::-1])
        radius = float(np.linalg.norm(points[:, :2] - points[:, :2].mean(axis=0), axis=1).max())
        found = []
        for angle in towards + np.array([0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, 1.6, -1.6, 2.2, -2.2, 3.1]):
            direction = np.array([np.cos(angle), np.sin(angle)])
            reach = float(((other - middle) @ direction).max())
            found.append((middle + direction * (reach + radius + 0.4 * goal.goal.distance), 0.003))
        return found

    # --- push ---------------------------------------------------------------------------------------------------------------

    def _push(self, goal: GoalCheck) -> list[Way] | None:
        """Return the way of the open hand, held like a fork behind the target, towards its goal; None where there is no room."""
        points = world_points(self._points[goal.goal.target], self._data)
        centre = goal.centre(self._data)[:2]
        spot = self._spots(goal, points - points.mean(axis=0))[0][0]
        gap = spot - centre
        bearing, here = float(np.arctan2(gap[1], gap[0])), self._target.position
        behind = centre - here[:2]
        now = (float(np.arctan2(behind[1], behind[0])) - bearing + np.pi) % (2 * np.pi) - np.pi
        # What is being pushed is pushed on, as long as that brings it nearer; else from straight behind, or from the side.
        ongoing = [now] if abs(now) < 0.9 and self._low(points) else []
        for turn in (*ongoing, *_SIDES):
            direction = np.array([np.cos(bearing + turn), np.sin(bearing + turn)])
            shove = self._shove(goal, points, centre, direction, float(gap @ direction))
            if shove is not None:
                return shove
        self._memory.trouble = f"no room to push '{goal.goal.target}'"
        return None

    def _low(self, points: Array) -> bool:
        return bool(self._target.position[2] < max(float(points[:, 2].max()), self._push_height(points) + 0.01))

    def _push_height(self, points: Array) -> float:
        return max(self.hand.tip + 0.006, min(float(points[:, 2].mean()), self.hand.tip + 0.012))

    def _shove(
        self, goal: GoalCheck, points: Array, centre: Array, direction: Array, length: float
    ) -> list[Way] | None:
        """Return the way behind the target and along a direction [m], or None where the arm cannot."""
        side = np.array([-direction[1], direction[0]])
        flat = points[:, :2] - centre
        across = flat @ side
        back = float(-(flat[np.abs(across) < 0.03] @ direction).min()) + self.hand.breadth
        fork = min(1.0, 0.6 * float(np.ptp(across)) / self.stage.recipe.gripper.opening)
        rotation = down(float(np.arctan2(direction[1], direction[0])))
        height = self._push_height(points)
        behind = np.array([*(centre - direction * (back + 0.012)), height])
        end = np.array([*(centre + direction * (length - back)), height])
        near = self._target.position - behind
        lateral, along = float(near[:2] @ side), float(near[:2] @ direction)
        turned = np.linalg.norm(turn_between(rotation, self._target.rotation))
        turned = min(turned, abs(np.pi - turned))
        if abs(lateral) < 0.01 and -0.03 < along < 0.03 and abs(near[2]) < 0.008 and turned < 0.25:
            ahead = rotation if turned == 0 or np.sum(rotation * self._target.rotation) > 0 else rotation * [-1, -1, 1]
            return [Way(end, ahead, fork, speed=0.6)]
        reached = self.hand.reach(self._data, behind, rotation, fork, self._target)
        if reached is None or self.hand.reach(self._data, end, reached, fork, self._target, None, goal.target) is None:
            return None
        if self._before(behind, reached):
            return [Way(behind, reached, fork, speed=0.7), Way(end, reached, fork, speed=0.6)]
        return [
            *self._across(behind, reached, fork),
            Way(behind, reached, fork, speed=0.7),
            Way(end, reached, fork, speed=0.6),
        ]

    # --- open and close -----------------------------------------------------------------------------------------------------

    def _handle(self, goal: GoalCheck) -> Grasp | None:
        """Return how to take a handle: from above, or leaning back where something hangs over it."""
        data, memory, name = self._data, self._memory, goal.goal.target
        site = self.stage.model.site(f"{name}/grasp").id
        frame, at = data.site_xmat[site].reshape(3, 3), data.site_xpos[site].copy()
        if (known := memory.grasp.get(name)) and np.linalg.norm(known[1] - at) < 0.003:
            return known[0]
        yaw = float(np.arctan2(frame[1, 0], frame[0, 0]) - np.pi / 2)
        away = data.xpos[self.stage.ids[name]] - at
        lean = np.cross([0.0, 0.0, -1.0], [*away[:2], 0.0]) / max(float(np.linalg.norm(away[:2])), 1e-6)
        width, skip = 2 * self.stage.model.site_size[site][0], memory.failed.get(name, 0)
        for tilt in _TILTS:
            rotation = _rotation_about(lean, tilt) @ down(yaw)
            for room in (0.010, 0.014, 0.006):
                opened = min(1.0, (width + room) / self.stage.recipe.gripper.opening)
                for beyond in (0.0, -0.005, 0.005, -0.009):
                    point = at + beyond * rotation[:, 2]
                    reached = self.hand.reach(data, point, rotation, opened, self._target)
                    if (
                        reached is None
                        or self.hand.reach(data, point - 0.04 * rotation[:, 2], reached, opened, self._target) is None
                    ):
                        continue
                    if skip:
                        skip -= 1
                        break
                    memory.grasp[name] = (Grasp(point, reached, opened), at, np.eye(3))
                    return memory.grasp[name][0]
        memory.failed[name] = 0
        memory.trouble = f"the handle of '{name}' is out of reach or blocked"
        return None

    def _along(self, goal: GoalCheck) -> list[Way]:
        """Return the way of a held handle to where its joint is to be."""
        model, data, joint = self.stage.model, self._data, goal.joint
        far = max(model.jnt_range[joint], key=abs)
        now = float(data.qpos[model.jnt_qposadr[joint]])
        if isinstance(goal.goal, OpenGoal):
            end = far * min(1.0, goal.goal.fraction + 0.12)
        else:
            assert isinstance(goal.goal, ClosedGoal)
            end = far * max(0.0, goal.goal.fraction - 0.1)
        axis, anchor = data.xaxis[joint], data.xanchor[joint]
        start, rotation = self._target.position, self._target.rotation
        stops = []
        count = 1 if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE else 8
        for share in np.arange(1, count + 1) / count:
            move = (end - now) * share
            if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE:
                stops.append(Way(start + axis * move, rotation, 0.0, speed=0.7))
                continue
            turn = _rotation_about(axis, move)
            turned = turn @ rotation if abs(axis[2]) > 0.9 else rotation  # a level bar turns between the fingers
            stops.append(Way(anchor + turn @ (start - anchor), turned, 0.0, speed=0.6))
        return stops

    # --- ways ---------------------------------------------------------------------------------------------------------------

    def _across(
        self, position: Array, rotation: Array, gripper: float, hang: float | None = None, skip: str = ""
    ) -> list[Way]:
        """Return stops that lead over what stands between here and a point before a pose, on the tool's axis."""
        here = self._target.position
        before = position - 0.04 * rotation[:, 2]
        height = max(self._clear(before, hang, skip), before[2])
        rise = [Way(_at_height(here, height), self._target.rotation, gripper)] if here[2] < height - _AT else []
        over = Way(_at_height(before, max(height, here[2])), rotation, gripper)
        return [*rise, over, *([Way(before, rotation, gripper)] if rotation[2, 2] > -0.98 else [])]

    def _before(self, position: Array, rotation: Array) -> bool:
        """Return whether the tool is on its axis before a pose, turned as wanted, so that it can go straight in."""
        gap = position - self._target.position
        along = float(gap @ rotation[:, 2])
        return bool(
            np.linalg.norm(gap - along * rotation[:, 2]) < _AT
            and along > -_AT
            and np.linalg.norm(turn_between(rotation, self._target.rotation)) < _ANGLE
        )

    def _clear(self, position: Array, hang: float | None = None, skip: str = "") -> float:
        """Return the height of the tool at which nothing is in the way to above a point [m].

        Args:
            position: Where to [m].
            hang: How far what is held reaches below the tool [m]; None for empty fingers.
            skip: Object that does not count: what is held or taken.
        """
        here = self._target.position
        below = self.hand.tip if hang is None else max(hang, self.hand.tip)
        start, end = here[:2], position[:2]
        span = end - start
        length = max(float(np.linalg.norm(span)), 1e-6)
        top = 0.0
        for name, points in self._points.items():
            if name == skip or not points:
                continue
            cloud = world_points(points, self._data)
            share = np.clip((cloud[:, :2] - start) @ span / length**2, 0, 1)
            near = np.linalg.norm(cloud[:, :2] - start - share[:, None] * span, axis=1) < _CORRIDOR
            if near.any():
                top = max(top, float(cloud[near, 2].max()))
        return min(top + below + CLEARANCE, CEILING)

    def _away(self) -> Way:
        """Return the way back out along the tool's axis, open, until the hand is high."""
        here, axis = self._target.position, self._target.rotation[:, 2]
        back = min(max(0.16 - here[2], 0.0) / max(-float(axis[2]), 0.3), 0.15)
        return Way(here - back * axis, self._target.rotation, max(self._target.gripper, _RELEASE))

    def _leave(self) -> list[Way]:
        """Return the opening of the fingers, no wider than needed, and the way out."""
        if self._target.gripper >= _SHUT:
            return [self._away()]
        opened = min(1.0, self.stage.truth.opening(self._data) + _RELEASE)
        away = self._away()
        return [self._stay(opened, 1), Way(away.position, away.rotation, opened)]

    def _stay(self, gripper: float, wait: int) -> Way:
        return Way(self._target.position, self._target.rotation, gripper, wait=wait)

    def _follow(self, way: Sequence[Way], count: int) -> Array:
        """Return the first actions along a way from where the arm was last told to be."""
        controller, target = self.stage.controller, self._target
        actions = np.zeros((count, 7))
        actions[:, 6] = target.gripper
        index, waited = 0, 0
        for row in actions:
            while (
                index < len(way)
                and self._arrived(target, way[index])
                and waited >= way[index].wait
                and target.gripper == way[index].gripper
            ):
                index, waited = index + 1, 0
            if index >= len(way):
                row[6] = target.gripper
                continue
            stop = way[index]
            waited = waited + 1 if self._arrived(target, stop) else 0
            row[:] = controller.action_to(target, stop.position, stop.rotation, stop.gripper)
            move, turn = np.linalg.norm(row[:3]), np.linalg.norm(row[3:6])
            share = min(
                1.0,
                stop.speed * self._speed.max_translation / max(move, 1e-9),
                stop.speed * self._speed.max_rotation / max(turn, 1e-9),
            )
            row[:6] *= share
            target = controller.advance(target, row)
        return actions

    def _arrived(self, target: Target, stop: Way) -> bool:
        return bool(
            np.linalg.norm(target.position - stop.position) < 0.002
            and np.linalg.norm(turn_between(stop.rotation, target.rotation)) < 0.03
        )


def _at_height(position: Array, height: float) -> Array:
    return np.array([position[0], position[1], height])


def _rotation_about(axis: Array, angle: float) -> Array:
    quaternion, matrix = np.empty(4), np.empty(9)
    mujoco.mju_axisAngle2Quat(quaternion, np.asarray(axis), angle)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)

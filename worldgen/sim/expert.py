"""A scripted expert: from goals and privileged poses to actions, for every task family. Looks again before each chunk.

It keeps no plan. At each call it looks at what the hand holds and where things stand, lays out the way from there to the goal, and
gives the first actions of it; so it goes on from any state, after a slip, a push or another policy's actions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import mujoco
import numpy as np

from ..goals import GoalCheck
from ..kinematics import down, rotation_about, turn_between
from ..robots import Array
from ..spec import ClosedGoal, InGoal, LiftedGoal, NearGoal, OnGoal, OpenGoal, PushedGoal, goal_names
from .control import Target
from .grasps import Carried, Grasp, Hand, alike
from .motions import AT, LOOSE, SHUT, Motions, Way
from .pushes import Pushes
from .world import World

_SQUEEZE = 2
"""Actions for which the fingers close before they lift."""
_TURNS = (0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, 1.57)
"""Turns about the vertical that are tried for putting something down [rad]."""
_FINE_TURNS = np.linspace(-np.pi / 2, np.pi / 2, 25)
"""The same where walls stand around, among which the best are taken."""
_SPOTS, _BEST = 9, 3
"""Places that are tried, and turns where walls stand around."""
_LIFTS = (0.0, 0.006, 0.015, 0.03, 0.05)
"""Heights above the floor of a container from which something is let go [m]."""
_TILTS = (0.0, 0.2, 0.3, 0.36, 0.42, 0.5, 0.58, 0.7, 0.9, 1.1)
"""How far the hand leans back to reach under what hangs over a handle [rad]."""
_ROOMY = 0.1
"""Distance of joints from their limits at which the way to a handle is sure to succeed [rad]."""
_ENOUGH = 16
"""Ways to take a handle among which the best is chosen."""
_STALE = 0.012
"""How far an object may move before its grasp is looked for anew [m]."""
_STUCK = 0.2
"""Share of the way asked for below which the arm counts as stuck."""
_WEIGHTS = np.array([1.0, 1.0, 1.0, 0.15, 0.15, 0.15])
"""What moving and turning count for when that is measured [m/m], [m/rad]."""
_TRIES = 8
"""Calls that a grasp may be on the way before another one is looked for."""
_RETREAT = 2
"""Calls for which a stuck arm goes back towards home."""
_FALLEN = -0.02
"""Height of an object's origin below which it has left the table [m]."""


@dataclass(frozen=True)
class Noise:
    """Mistakes on purpose, so that demonstrations show how to recover. Actions stay as they would be without."""

    move: float = 0.0
    """Standard deviation of each action's move, each axis [m]."""
    turn: float = 0.0
    """Standard deviation of each action's turn, each axis [rad]."""


@dataclass
class _Memory:
    """What the expert remembers of an episode: only choices that would otherwise waver."""

    grasp: dict[str, tuple[Grasp, Array, Array]] = field(default_factory=dict)
    """Target → its grasp, and the target's position and rotation when it was chosen."""
    hopeless: dict[str, Array] = field(default_factory=dict)
    """Target → where everything stood when no grasp was found."""
    failed: dict[str, int] = field(default_factory=dict)
    """Target → grasps that did not hold."""
    tries: dict[str, int] = field(default_factory=dict)
    """Target → calls that its grasp has been on the way."""
    place: tuple[str, Array, Array, Array] | None = None
    """Of what is held: name, tool point and rotation to let go at, offset in the hand."""
    patience: int = 0
    """Calls for which nothing new is begun, so that what was let go comes to rest."""
    asked: tuple[Target, Array] | None = None
    """Where the arm was told to be before the last actions, and how far these were to move and turn it, (6,) [m], [rad]."""
    retreat: int = 0
    """Calls for which the arm goes back towards home."""
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
        handled = [name for goal in world.stage.goals for name in goal_names(goal.goal)]
        self._motions = Motions(world.stage, self.hand, [name for name in handled if name in world.stage.free])
        self._pushes = Pushes(self._motions)
        self._home = world.stage.controller.at(world.stage.recipe.home, 1.0)
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
        self._motions.look(self._data, self._target)
        actions = self._motions.follow(self._retreat() or self._plan(), count)
        self._memory.asked = self._target, actions[:, :6].sum(axis=0)
        if self.noise.move or self.noise.turn:
            spread = np.repeat([self.noise.move, self.noise.turn], 3)
            actions[:, :6] += self._rng.normal(0, 1, (count, 6)) * spread
            actions = np.stack([self.stage.controller.clamp(action)[0] for action in actions])
        return actions

    # --- what to do ---------------------------------------------------------------------------------------------------------

    def _retreat(self) -> list[Way]:
        """Return the way towards home where joint limits keep the arm from going on; else nothing."""
        memory, target = self._memory, self._target
        if memory.asked and not memory.retreat and (goal := self._open_goal()):
            before, asked = memory.asked
            moved = np.array([*(target.position - before.position), *turn_between(target.rotation, before.rotation)])
            wanted = float(np.abs(asked) @ _WEIGHTS)
            if wanted > 0.02 and float(np.abs(moved) @ _WEIGHTS) < _STUCK * wanted:
                self._missed(goal)
                memory.trouble = f"the arm got stuck on its way to '{goal.goal.target}'"
                memory.retreat = _RETREAT
        if not memory.retreat:
            return []
        memory.retreat -= 1
        return [Way(self._home.position, self._home.rotation, target.gripper)]

    def _plan(self) -> list[Way]:
        """Return the way from here to the first goal that does not hold."""
        memory = self._memory
        goal = self._open_goal()
        if memory.patience > 0:
            memory.patience -= 1
            return [self._motions.away()]
        if goal is None:  # what is held up or held open stays so
            held = isinstance(self.stage.goals[-1].goal, LiftedGoal | OpenGoal | ClosedGoal)
            return [] if held else self._motions.leave()
        name = goal.goal.target
        if self._data.xpos[goal.target][2] < _FALLEN:
            memory.trouble = f"'{name}' fell off the table"
            return [self._motions.away()]
        if isinstance(goal.goal, OpenGoal | ClosedGoal) and not self._holds(goal) and (way := self._slide(goal)):
            return way
        if not self._closed() and not isinstance(goal.goal, OpenGoal | ClosedGoal) and goal.held(self._data):
            return [self._motions.stay(0.0, _SQUEEZE)]  # it hangs on a finger
        if self._closed():
            if self._holds(goal):
                memory.tries.pop(name, None)
                return self._joint(goal) if isinstance(goal.goal, OpenGoal | ClosedGoal) else self._carry(goal)
            if self._closing():
                return [self._motions.stay(0.0, 1)]
            self._missed(goal)
            return self._motions.leave()
        if isinstance(goal.goal, OpenGoal | ClosedGoal):
            grasp = self._handle(goal)
            return self._take(grasp, goal) if grasp else [self._motions.away()]
        if isinstance(goal.goal, PushedGoal) and (way := self._push(goal)):
            return way
        if grasp := self._grasp(goal):
            return self._take(grasp, goal)
        return (self._push(goal) if isinstance(goal.goal, NearGoal) else None) or [self._motions.away()]

    def _open_goal(self) -> GoalCheck | None:
        """Return the first goal to see to: one whose support is still to be moved itself comes later."""
        waiting = [goal for goal in self.stage.goals if not self.stage.truth.progress(self._data, goal).done]
        movers = {goal.goal.target for goal in waiting}
        ready = [goal for goal in waiting if not movers & set(goal_names(goal.goal)[1:])]
        held = [
            goal for goal in waiting if self._target.gripper < 0.5 and self.stage.truth.holds(self._data, goal.target)
        ]
        return next(iter([*held, *ready, *waiting]), None)

    def _holds(self, goal: GoalCheck) -> bool:
        """Return whether the fingers were told to shut and all touch a goal's target."""
        return self._closed() and self.stage.truth.holds(self._data, goal.target)

    def _closed(self) -> bool:
        """Return whether the fingers were told to shut."""
        return self._target.gripper < SHUT

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
        memory.tries.pop(name, None)
        memory.place = None
        memory.trouble = f"the grasp of '{name}' slipped"

    # --- take and bring -----------------------------------------------------------------------------------------------------

    def _take(self, grasp: Grasp, goal: GoalCheck) -> list[Way]:
        """Return the way to a grasp, in along the tool's axis, the closing of the fingers, and a little up for what is carried."""
        name, memory = goal.goal.target, self._memory
        memory.tries[name] = memory.tries.get(name, 0) + 1
        if memory.tries[name] > _TRIES:  # joint limits lead it aside again and again
            self._missed(goal)
            memory.trouble, memory.retreat = f"the arm does not get to '{name}'", _RETREAT
        end = [
            Way(grasp.position, grasp.rotation, grasp.opened, speed=0.7),
            Way(grasp.position, grasp.rotation, 0.0, wait=_SQUEEZE),
        ]
        carried = not isinstance(goal.goal, OpenGoal | ClosedGoal)
        if carried:
            end.append(Way(grasp.position + [0, 0, 0.05], grasp.rotation, 0.0, speed=0.7))
        if self._motions.before(grasp.position, grasp.rotation):
            return end
        skip = goal.goal.target if carried else ""
        return [*self._motions.across(grasp.position, grasp.rotation, grasp.opened, skip=skip), *end]

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
        points = self._motions.cloud(name)
        found = self.hand.search(self._data, points, self._target, memory.failed.get(name, 0))
        if found is None and memory.failed.get(name, 0):
            memory.failed[name] = 0
            found = self.hand.search(self._data, points, self._target)
        if found is None:
            above = (points.min(axis=0) + points.max(axis=0)) / 2
            reached = self.hand.joints(above, down(0.0), self._target) is not None
            memory.trouble = (
                f"'{name}' cannot be grasped for what stands around it" if reached else f"'{name}' is out of reach"
            )
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
            return self._motions.leave()
        position, rotation = place
        opened = min(1.0, self.stage.truth.opening(self._data) + 2 * LOOSE)
        lower = Way(position, rotation, 0.0, speed=0.5)
        release = Way(position, rotation, opened, wait=2)
        way = [lower, release, Way(position - 0.06 * rotation[:, 2], rotation, opened)]
        if (
            self._rests(goal)
            and self._motions.before(position, rotation)
            and self._target.position[2] < position[2] + 0.05
        ):
            return self._motions.leave()  # on something that lies there already: pressing on would push it aside
        if not self._motions.before(position, rotation):
            hang = self._target.position[2] - float(self._motions.cloud(goal.goal.target)[:, 2].min())
            return [*self._motions.across(position, rotation, 0.0, hang, goal.goal.target), *way]
        if np.linalg.norm(self._target.position - position) < AT:
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
        points = (self._motions.cloud(name) - tool) @ now
        opened = min(1.0, self.stage.truth.opening(data) + 2 * LOOSE)
        for alone in (True, False):
            carried = Carried(goal.target, offset, turn, alone)
            for point, rotation in self._drops(goal, points, offset):
                if self.hand.fits(data, point, rotation, opened, self._target, carried):
                    memory.place = (name, point, rotation, offset)
                    return point, rotation
        memory.trouble = f"no free place for '{name}' is within reach"
        return None

    def _drops(self, goal: GoalCheck, points: Array, offset: Array) -> Iterator[tuple[Array, Array]]:
        """Yield tool points [m] and rotations to let go at, the best first: low ones before high ones.

        Args:
            goal: Whose target is in the hand.
            points: Its surface in the tool's frame, (N, 3) [m].
            offset: Its origin there [m].
        """
        spots, rotations = self._spots(goal, points)[:_SPOTS], self._rotations(goal, points)
        rotations = rotations[:_BEST] if isinstance(goal.goal, InGoal) else rotations
        for lift in _LIFTS if isinstance(goal.goal, InGoal) else _LIFTS[:1]:
            for spot, height in spots:
                for rotation in rotations:
                    turned = points @ rotation.T
                    # an object's outline need not be centred on its origin: its middle comes over the spot
                    middle = (turned[:, :2].min(axis=0) + turned[:, :2].max(axis=0)) / 2
                    if not isinstance(goal.goal, InGoal | OnGoal):
                        middle = (rotation @ offset)[:2]
                    yield np.array([*(spot - middle), height - turned[:, 2].min() + lift]), rotation

    def _rotations(self, goal: GoalCheck, points: Array) -> list[Array]:
        """Return tool rotations to let go with, the best first: long things along long containers, else the smallest turn."""
        now, up = self._target.rotation, np.array([0.0, 0.0, 1.0])
        if not isinstance(goal.goal, InGoal):
            return [rotation_about(up, angle) @ now for angle in _TURNS]
        frame, half = self._data.site_xmat[goal.site].reshape(3, 3), self.stage.model.site_size[goal.site]

        def overhang(rotation: Array) -> float:
            return float(np.maximum(np.ptp((points @ rotation.T @ frame)[:, :2], axis=0) / 2 - half[:2], 0).sum())

        turns = [rotation_about(up, angle) @ now for angle in sorted(_FINE_TURNS, key=abs)]
        return sorted(turns, key=lambda rotation: round(overhang(rotation), 3))

    def _spots(self, goal: GoalCheck, points: Array) -> list[tuple[Array, float]]:
        """Return where the middle of what is in the hand may go (x, y) and the height that it stands on [m], the best first."""
        model, data, item = self.stage.model, self._data, goal.goal
        if isinstance(item, NearGoal):
            return self._beside(goal)
        site = data.site_xpos[goal.site]
        half, turn = model.site_size[goal.site], data.site_xmat[goal.site].reshape(3, 3)
        height = site[2] + 0.002
        if isinstance(item, InGoal):
            height = site[2] - half[2] + 0.004
        elif isinstance(item, PushedGoal):
            height = 0.003
        others = [
            self._motions.cloud(name) for name in self.stage.free if name not in (item.target, goal_names(item)[1])
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

    def _beside(self, goal: GoalCheck) -> list[tuple[Array, float]]:
        """Return places beside the other object of a `near` goal, those on this side of it first."""
        assert isinstance(goal.goal, NearGoal)
        other = self._motions.cloud(goal.goal.other)[:, :2]
        middle = (other.min(axis=0) + other.max(axis=0)) / 2
        towards = np.arctan2(*(self._data.xpos[goal.target][:2] - middle)[::-1])
        own = self._motions.cloud(goal.goal.target)[:, :2] - self._data.xpos[goal.target][:2]  # kept turned as it is
        found = []
        for angle in towards + np.array([0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2, 1.6, -1.6, 2.2, -2.2, 3.1]):
            direction = np.array([np.cos(angle), np.sin(angle)])
            reach = float(((other - middle) @ direction).max())
            gap = float((own @ -direction).max()) + 0.4 * goal.goal.distance
            found.append((middle + direction * (reach + gap), 0.003))
        return found

    def _push(self, goal: GoalCheck) -> list[Way] | None:
        """Return the way that pushes a goal's target to its place; None where there is no room."""
        points = self._motions.cloud(goal.goal.target)
        way = self._pushes.push(goal, self._spots(goal, points - points.mean(axis=0))[0][0])
        if way is None:
            self._memory.trouble = f"no room to push '{goal.goal.target}'"
        return way

    # --- open and close -----------------------------------------------------------------------------------------------------

    def _handle(self, goal: GoalCheck) -> Grasp | None:
        """Return how to take a handle: from above, or leaning back where something hangs over it."""
        data, memory, name = self._data, self._memory, goal.goal.target
        site = self.stage.model.site(f"{name}/grasp").id
        at = data.site_xpos[site].copy()
        if (known := memory.grasp.get(name)) and np.linalg.norm(known[1] - at) < 0.003:
            return known[0]
        everything = data.xpos.copy()
        if (hopeless := memory.hopeless.get(name)) is not None and np.abs(hopeless - everything).max() < _STALE:
            return None
        found, skip = list[tuple[int, Grasp]](), memory.failed.get(name, 0)
        for grasp in self._handle_grasps(goal, site):
            before = grasp.position - 0.04 * grasp.rotation[:, 2]
            reached = self.hand.reach(data, grasp.position, grasp.rotation, grasp.opened, self._target)
            if reached is None or not self.hand.fits(data, before, reached, grasp.opened, self._target):
                continue
            roomy = self.hand.joints(grasp.position, reached, self._target, _ROOMY) is not None
            grade = roomy + self._pulls(goal, grasp.position, reached)
            found.append((grade, Grasp(grasp.position, reached, grasp.opened)))
            if sum(each == 2 for each, _ in found) > skip or len(found) >= _ENOUGH:
                break
        if not found:
            memory.trouble = f"the handle of '{name}' is out of reach or blocked"
            memory.hopeless[name] = everything
            return None
        if len(found) <= skip:
            memory.failed[name] = skip = 0
        best = sorted(found, key=lambda each: -each[0])[skip][1]
        memory.grasp[name] = (best, at, np.eye(3))
        return best

    def _handle_grasps(self, goal: GoalCheck, site: int) -> Iterator[Grasp]:
        """Yield ways to take a handle, the best first.

        Beside those that close around the middle: one that straddles the bar, the hand as far before it as it goes. The finger behind
        the bar then pulls the drawer out as it closes. It suits a hand that is too broad to come near the front.
        """
        data, gripper = self._data, self.stage.recipe.gripper
        frame, at = data.site_xmat[site].reshape(3, 3), data.site_xpos[site].copy()
        yaw = float(np.arctan2(frame[1, 0], frame[0, 0]) - np.pi / 2)
        away = data.xpos[goal.target] - at
        lean = np.cross([0.0, 0.0, -1.0], [*away[:2], 0.0]) / max(float(np.linalg.norm(away[:2])), 1e-6)
        bar = float(self.stage.model.site_size[site][0])
        slide = self._slides(goal)
        for tilt in _TILTS:
            rotation = rotation_about(lean, tilt) @ down(yaw)
            if all(self.hand.joints(at, each, self._target) is None for each in alike(rotation, self._target)):
                continue
            for room in (0.010, 0.014, 0.006):
                for beyond in (0.0, -0.005, 0.005, -0.009):
                    yield Grasp(at + beyond * rotation[:, 2], rotation, min(1.0, (2 * bar + room) / gripper.opening))
            if slide and isinstance(goal.goal, OpenGoal):
                for share, gap in ((1.0, 0.004), (1.0, 0.002), (0.7, 0.002)):
                    shift = share * gripper.opening / 2 - bar - gap
                    before = -np.sign(rotation[:, 1] @ away) * rotation[:, 1] * shift
                    for beyond in (-0.002, -0.007):
                        yield Grasp(at + before + beyond * rotation[:, 2], rotation, share)

    def _pulls(self, goal: GoalCheck, position: Array, rotation: Array) -> bool:
        """Return whether the arm still reaches a handle where its drawer is far enough open."""
        if not self._slides(goal):
            return True
        pull = self._data.xaxis[goal.joint] * self._travel(goal)
        return self.hand.joints(position + pull, rotation, self._target) is not None

    def _slides(self, goal: GoalCheck) -> bool:
        return bool(self.stage.model.jnt_type[goal.joint] == mujoco.mjtJoint.mjJNT_SLIDE)

    def _travel(self, goal: GoalCheck) -> float:
        """Return how far the joint of what is opened or closed is still to go [m or rad]."""
        model, joint, item = self.stage.model, goal.joint, goal.goal
        far = max(model.jnt_range[joint], key=abs)
        assert isinstance(item, OpenGoal | ClosedGoal)
        share = min(1.0, item.fraction + 0.08) if isinstance(item, OpenGoal) else max(0.0, item.fraction - 0.1)
        return float(far * share - self._data.qpos[model.jnt_qposadr[joint]])

    def _slide(self, goal: GoalCheck) -> list[Way] | None:
        """Return the way that pushes a drawer in from before its handle, or out from within; None where the hand finds no room."""
        if not self._slides(goal):
            return None
        travel = self._travel(goal)
        direction = np.sign(travel) * self._data.xaxis[goal.joint]
        if isinstance(goal.goal, ClosedGoal):
            return self._pushes.shut(goal, direction, abs(travel))
        return self._pushes.draw(goal, direction, abs(travel))

    def _joint(self, goal: GoalCheck) -> list[Way]:
        """Return the way of a held handle; out of it, where the arm does not reach far enough and there is another."""
        position, rotation = self._target.position, self._target.rotation
        if isinstance(goal.goal, OpenGoal) and not self._pulls(goal, position, rotation) and self._slide(goal):
            return self._motions.leave()
        return self._along(goal)

    def _along(self, goal: GoalCheck) -> list[Way]:
        """Return the way of a held handle to where its joint is to be."""
        model, data, joint = self.stage.model, self._data, goal.joint
        travel = self._travel(goal)
        axis, anchor = data.xaxis[joint], data.xanchor[joint]
        start, rotation = self._target.position, self._target.rotation
        stops = []
        count = 1 if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE else 8
        for share in np.arange(1, count + 1) / count:
            move = travel * share
            if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE:
                stops.append(Way(start + axis * move, rotation, 0.0, speed=0.7))
                continue
            turn = rotation_about(axis, move)
            turned = turn @ rotation if abs(axis[2]) > 0.9 else rotation  # a level bar turns between the fingers
            stops.append(Way(anchor + turn @ (start - anchor), turned, 0.0, speed=0.6))
        return stops

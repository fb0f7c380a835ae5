"""A scripted expert: from goals and privileged poses to actions, for every task family. Looks again before each chunk.

It keeps no plan. At each call it looks at what the hand holds and where things stand, lays out the way from there to the goal, and
gives the first actions of it; so it goes on from any state, after a slip, a push or another policy's actions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..goals import GoalCheck
from ..kinematics import down, turn_between
from ..robots import Array
from ..spec import ClosedGoal, LiftedGoal, NearGoal, OpenGoal, PushedGoal, goal_names
from .control import Target
from .grasps import Carried, Grasp, Hand
from .handles import Handles
from .motions import AT, LOOSE, SHUT, Motions, Way
from .places import Places
from .pushes import Pushes
from .truth import in_turn
from .world import World

_SQUEEZE = 2
"""Actions for which the fingers close before they lift."""
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
    """Mistakes on purpose, so that demonstrations show how to recover. `Expert.act` returns actions with them, `Expert.meant` without."""

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
    asked: tuple[Target, Array, Array] | None = None
    """Where the arm was told to be before the last actions, how far these were to move and turn it, (6,) [m], [rad], and they."""
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
        handled = [goal.goal.target for goal in world.stage.goals]
        slack = (2 * noise.move, 2 * noise.turn)
        self._motions = Motions(world.stage, self.hand, [name for name in handled if name in world.stage.free], slack)
        self._pushes, self._places, self._handles = Pushes(self._motions), Places(self._motions), Handles(self._motions)
        self._home = world.stage.controller.at(world.stage.recipe.home, 1.0)
        self.reset(seed)

    def reset(self, seed: int = 0) -> None:
        """Forget the last episode."""
        self._memory, self._rng = _Memory(), np.random.default_rng(seed)
        self.meant = np.zeros((0, 7))
        """The last actions without mistakes, (count, 7): labels for what `act` returned with them."""

    @property
    def trouble(self) -> str:
        """What went wrong last, in words; empty while all goes well."""
        return self._memory.trouble

    def act(self, count: int | None = None) -> Array:
        """Return the next actions, (count, 7), in the form that `World.step` takes; `settings.chunk` of them by default."""
        count = count or self.world.settings.chunk
        self.world.activate()
        self._data, self._target = self.world.data, self.world.target
        self._motions.look(self._data, self._target)
        memory = self._memory
        if memory.asked and not self._followed():  # somebody else acts: what did not happen says nothing about the way
            memory.asked, memory.retreat, memory.patience = None, 0, 0
            memory.tries.clear()
        goal = self._open_goal()
        actions = self._motions.follow(self._retreat(goal) or self._plan(goal), count)
        self.meant = actions.copy()
        if self.noise.move or self.noise.turn:
            spread = np.repeat([self.noise.move, self.noise.turn], 3)
            actions[:, :6] += self._rng.normal(0, 1, (count, 6)) * spread
            actions = np.stack([self.stage.controller.clamp(action)[0] for action in actions])
        memory.asked = self._target, self.meant[:, :6].sum(axis=0), actions
        return actions

    def _followed(self) -> bool:
        """Return whether the world has executed what was advised last."""
        assert self._memory.asked
        done, asked = self.world.executed, self._memory.asked[2]
        return done is not None and len(done) <= len(asked) and np.array_equal(done, asked[: len(done)])

    # --- what to do ---------------------------------------------------------------------------------------------------------

    def _retreat(self, goal: GoalCheck | None) -> list[Way]:
        """Return the way towards home where joint limits keep the arm from going on; else nothing."""
        memory, target = self._memory, self._target
        if memory.asked and not memory.retreat and goal:
            before, asked, _ = memory.asked
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

    def _plan(self, goal: GoalCheck | None) -> list[Way]:
        """Return the way from here to a goal, or to rest where all goals hold."""
        memory = self._memory
        if memory.patience > 0:
            memory.patience -= 1
            return [self._motions.away()]
        if goal is None:  # what is held up or held open stays so
            held = isinstance(self.stage.goals[-1].goal, LiftedGoal | OpenGoal | ClosedGoal)
            return [] if held else self._motions.leave()
        name, opens = goal.goal.target, isinstance(goal.goal, OpenGoal | ClosedGoal)
        if self._data.xpos[goal.target][2] < _FALLEN:
            memory.trouble = f"'{name}' fell off the table"
            return [self._motions.away()]
        if self._holds(goal):
            memory.tries.pop(name, None)
            return self._joint(goal) if opens else self._carry(goal)
        if opens and (way := self._slide(goal)):
            return way
        if self._closed():
            if self._closing():
                return [self._motions.stay(0.0, 1)]
            self._missed(goal)
            return self._motions.leave()
        return self._begin(goal, opens)

    def _begin(self, goal: GoalCheck, opens: bool) -> list[Way]:
        """Return the way of the open hand to what is to be taken or pushed."""
        if opens:
            grasp = self._handle(goal)
            return self._take(grasp, goal) if grasp else [self._motions.away()]
        if goal.held(self._data):  # it hangs on a finger
            return [self._motions.stay(0.0, _SQUEEZE)]
        if isinstance(goal.goal, PushedGoal) and (way := self._push(goal)):
            return way
        if grasp := self._grasp(goal):
            return self._take(grasp, goal)
        return (self._push(goal) if isinstance(goal.goal, NearGoal) else None) or [self._motions.away()]

    def _open_goal(self) -> GoalCheck | None:
        """Return the goal to see to; see `in_turn`."""
        goals, truth, shut = self.stage.goals, self.stage.truth, self._target.gripper < 0.5
        done = [truth.progress(self._data, goal).done for goal in goals]
        held = [shut and truth.holds(self._data, goal.target) for goal in goals]
        found = in_turn([goal_names(goal.goal) for goal in goals], done, held)
        return None if found is None else goals[found]

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
            for point, rotation in self._places.drops(goal, points, offset):
                if self.hand.fits(data, point, rotation, opened, self._target, carried):
                    memory.place = (name, point, rotation, offset)
                    return point, rotation
        memory.trouble = f"no free place for '{name}' is within reach"
        return None

    def _push(self, goal: GoalCheck) -> list[Way] | None:
        """Return the way that pushes a goal's target to its place; None where there is no room."""
        points = self._motions.cloud(goal.goal.target)
        way = self._pushes.push(goal, self._places.spots(goal, points - points.mean(axis=0))[0][0])
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
        for grasp in self._handles.grasps(goal, site):
            before = grasp.position - 0.04 * grasp.rotation[:, 2]
            reached = self.hand.reach(data, grasp.position, grasp.rotation, grasp.opened, self._target)
            if reached is None or not self.hand.fits(data, before, reached, grasp.opened, self._target):
                continue
            roomy = self.hand.joints(grasp.position, reached, self._target, _ROOMY) is not None
            grade = roomy + self._handles.pulls(goal, grasp.position, reached)
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

    def _slide(self, goal: GoalCheck) -> list[Way] | None:
        """Return the way that pushes a drawer in from before its handle, or out from within; None where the hand finds no room."""
        if not self._handles.slides(goal):
            return None
        travel = self._handles.travel(goal)
        direction = np.sign(travel) * self._data.xaxis[goal.joint]
        if isinstance(goal.goal, ClosedGoal):
            return self._pushes.shut(goal, direction, abs(travel))
        return self._pushes.draw(goal, direction, abs(travel))

    def _joint(self, goal: GoalCheck) -> list[Way]:
        """Return the way of a held handle; out of it, where the arm does not reach far enough and there is another."""
        position, rotation = self._target.position, self._target.rotation
        if isinstance(goal.goal, OpenGoal) and not self._handles.pulls(goal, position, rotation) and self._slide(goal):
            return self._motions.leave()
        return self._handles.along(goal)

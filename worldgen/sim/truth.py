"""What a simulator knows and a camera does not: where things are, what the hand holds. For rewards, critics and the expert only.

Frame: the robot's base frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..goals import ROBOT, GoalCheck, Progress
from ..robots import Addresses, Array, RobotRecipe
from ..spec import ClosedGoal, OpenGoal, SceneSpec, goal_names
from .optics import CAMERA, pose

GOALS = 4
"""Goals that a privileged vector has room for; as many as a task may have."""
_ARM = 12
_GOAL = 25
_DONE, _TOUCH, _KIND = 16, 17, 18
SIGHT = 6 + CAMERA
"""Numbers at the end of a privileged vector that sight is taught from."""
PRIVILEGED = _ARM + GOALS * _GOAL + SIGHT
"""Numbers of a privileged vector."""
_KINDS = ("on", "in", "near", "lifted", "pushed", "open", "closed")


class Truth:
    """Reads one compiled scene's data; holds no state of its own.

    Objects at rest sleep, and MuJoCo finds no contacts between sleepers: a goal that hangs on them is asked on a copy that is awake.

    Args:
        model: The scene, compiled.
        recipe: Its arm.
        at: Where the arm is in the model.
        goals: What is to be done.
        spec: The scene as it was designed.
        camera: What a policy looks through first; empty for nothing.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        recipe: RobotRecipe,
        at: Addresses,
        goals: tuple[GoalCheck, ...],
        spec: SceneSpec,
        camera: str = "",
    ) -> None:
        self.model, self.recipe, self.arm, self.goals = model, recipe, at, goals
        self._camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
        self._named = [goal_names(goal) for goal in spec.task.goals]
        self._things = {item.name: (model.body(item.name).id, item.size[2] / 2) for item in spec.objects}
        opening = {model.body_rootid[model.jnt_bodyid[joint]] for joint in range(model.njnt) if not _free(model, joint)}
        sites = {name: mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, f"{name}/handle") for name in self._things}
        self._handles = {  # a mug has a handle, too
            name: site for name, site in sites.items() if site >= 0 and self._things[name][0] in opening
        }
        bodies = np.array([model.body(index).name.startswith(ROBOT) for index in range(model.nbody)])
        self._robot = bodies[model.geom_bodyid]
        fingers = [model.jnt_bodyid[model.joint(ROBOT + name).id] for name in recipe.gripper.joints]
        self._finger = np.full(model.nbody, -1)
        for index, body in enumerate(fingers):
            self._finger[body] = index
        self._fingers = len(fingers)
        self._awake = mujoco.MjData(model)

    def progress(self, data: mujoco.MjData, goal: GoalCheck) -> Progress:
        """Return the progress of a goal, whether or not its target sleeps."""
        found = goal(data)
        tree = self.model.body_treeid[goal.target]
        if found.done or tree < 0 or data.tree_asleep[tree] < 0 or not goal.fits(data):
            return found
        return goal(self._roused(data))

    def touched(self, data: mujoco.MjData, body: int) -> set[int]:
        """Return the bodies that an object touches where the positions in `data` have it."""
        awake = self._roused(data)
        pairs = self.model.body_rootid[self.model.geom_bodyid[awake.contact.geom]]
        mine = (pairs == body).any(axis=1)
        return set(pairs[mine].ravel().tolist()) - {body}

    def _roused(self, data: mujoco.MjData) -> mujoco.MjData:
        """Return a copy in which nothing sleeps: between two sleepers no contacts are found."""
        mujoco.mj_copyData(self._awake, self.model, data)
        flags = self.model.opt.enableflags
        self.model.opt.enableflags &= ~int(mujoco.mjtEnableBit.mjENBL_SLEEP)
        try:
            mujoco.mj_fwdPosition(self.model, self._awake)
        finally:
            self.model.opt.enableflags = flags
        return self._awake

    def done(self, data: mujoco.MjData) -> bool:
        """Return whether all goals hold."""
        return all(goal.fits(data) and self.progress(data, goal).done for goal in self.goals)

    def tool(self, data: mujoco.MjData) -> tuple[Array, Array]:
        """Return the tool point (3,) [m] and its rotation (3, 3)."""
        return data.site_xpos[self.arm.tool].copy(), data.site_xmat[self.arm.tool].reshape(3, 3).copy()

    def opening(self, data: mujoco.MjData) -> float:
        """Return how far the gripper is open, 0 closed … 1 open."""
        closed, opened = self.recipe.fingers_at(0), self.recipe.fingers_at(1)
        return float(np.mean((data.qpos[self.arm.fingers] - closed) / (opened - closed)))

    def touching_fingers(self, data: mujoco.MjData, body: int) -> int:
        """Return how many fingers touch the object that has `body`."""
        contacts = data.contact.geom[: data.ncon]
        if not len(contacts):
            return 0
        bodies = self.model.geom_bodyid[contacts]
        mine = self.model.body_rootid[bodies] == self.model.body_rootid[body]
        touching = self._finger[bodies[:, ::-1][mine]]
        return len(set(touching[touching >= 0].tolist()))

    def holds(self, data: mujoco.MjData, body: int) -> bool:
        """Return whether all fingers touch the object that has `body`."""
        return self.touching_fingers(data, body) == self._fingers

    def handled(self, data: mujoco.MjData, goal: GoalCheck) -> Array:
        """Return the point of a goal's target that a hand goes to [m]: its grasp site, or the handle of what opens."""
        name = f"{goal.goal.target}/{'handle' if isinstance(goal.goal, OpenGoal | ClosedGoal) else 'grasp'}"
        site = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_SITE, name)
        return data.site_xpos[site].copy() if site >= 0 else goal.centre(data)

    def destination(self, data: mujoco.MjData, goal: GoalCheck) -> Array:
        """Return the point that a goal's target is to be brought to [m]; its own place where there is none."""
        if hasattr(goal, "site"):
            return data.site_xpos[goal.site].copy()
        return data.xpos[goal.other].copy() if goal.other >= 0 else goal.centre(data)

    def middle(self, data: mujoco.MjData, name: str) -> Array:
        """Return where sight is to look for an object [m]: its middle; of what opens, its handle."""
        if name in self._handles:
            return data.site_xpos[self._handles[name]].copy()
        body, half = self._things[name]
        middle: Array = data.xpos[body] + data.xmat[body].reshape(3, 3)[:, 2] * half
        return middle

    def vector(self, data: mujoco.MjData, elapsed: float) -> NDArray[np.float32]:
        """Return (PRIVILEGED,) numbers for a critic; equal in layout for every scene.

        Args:
            data: State.
            elapsed: Share of the episode's time that is over.

        Returns:
            Tool position (3) [m], approach and closing axes (6), gripper (1), whether it holds any target (1), `elapsed`; then for each of
            `GOALS` goals, zeros where there is none: target's centre (3) [m], from tool to its handling point (3), its x and z axes
            (6), from its centre to the destination (3), progress, done, fingers touching, and its kind (7, one-hot); last, `SIGHT`
            numbers: `middle` of the two things that the goal to see to names (6), zeros where it names one, and where the first view
            is seen from (CAMERA), zeros where there is none.
        """
        found = np.zeros(PRIVILEGED, np.float32)
        position, rotation = self.tool(data)
        found[:3], found[3:6], found[6:9], found[9] = position, rotation[:, 2], rotation[:, 1], self.opening(data)
        found[11] = elapsed
        for index, goal in enumerate(self.goals):
            row = found[_ARM + index * _GOAL : _ARM + (index + 1) * _GOAL]
            centre, axes, progress = goal.centre(data), data.xmat[goal.target].reshape(3, 3), self.progress(data, goal)
            fingers = self.touching_fingers(data, goal.target)
            row[:3], row[3:6] = centre, self.handled(data, goal) - position
            row[6:9], row[9:12] = axes[:, 0], axes[:, 2]
            row[12:15] = self.destination(data, goal) - centre
            row[15:18] = progress.value, progress.done, fingers / self._fingers
            row[_KIND + _KINDS.index(goal.goal.kind)] = 1
            found[10] = max(found[10], fingers == self._fingers)
        rows = goals_of(found[None])[0]
        current = in_turn(self._named, rows[:, _DONE] > 0, rows[:, _TOUCH] >= 1)
        for index, name in enumerate(self._named[current or 0][:2]):
            found[-SIGHT + 3 * index : -SIGHT + 3 * index + 3] = self.middle(data, name)
        if self._camera >= 0:
            found[-CAMERA:] = pose(self.model, data, self._camera)
        return found


def goals_of(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return what privileged vectors (T, PRIVILEGED) say of each goal of their scene, (T, G, 25)."""
    rows = vectors[:, _ARM:-SIGHT].reshape(len(vectors), GOALS, _GOAL)
    return rows[:, rows[0, :, _KIND:].any(axis=1)]


def in_turn(names: Sequence[Sequence[str]], done: Sequence[bool], held: Sequence[bool]) -> int | None:
    """Return the number of the goal to see to; None where all are done.

    One whose target is in the hand, else the first whose support is not still to be moved itself, else the first that is open.

    Args:
        names: What each goal names, its target first.
        done: Which goals hold.
        held: Whose targets are held.
    """
    waiting = [number for number in range(len(names)) if not done[number]]
    movers = {names[number][0] for number in waiting}
    ready = [number for number in waiting if not movers & set(names[number][1:])]
    return next(iter([*(number for number in waiting if held[number]), *ready, *waiting]), None)


def _free(model: mujoco.MjModel, joint: int) -> bool:
    return bool(model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE)

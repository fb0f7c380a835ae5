"""One scene as a world: reset with a seed, act in chunks, observe. Knows one scene; `worlds` plays many at once.

A start, (scene, seed), fixes everything that is drawn: the same actions then give the same episode, bit for bit on one machine,
whatever else runs beside it.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..camera import Image
from ..errors import ActionError, SceneError
from ..kinematics import free_pose
from ..layout import Around, Pose, place
from ..library import Scene
from ..robots import Array
from .control import ACTION, Target, tool_pose
from .domains import Draw
from .stage import PART, Settings, Stage

HOLD = 0.5
"""How long all goals must hold before an episode counts as a success [s]."""
SETTLE = 0.2
"""Time that a reset lets pass, so that objects come to rest where they were put [s]."""
MAX_SEED = 2**63 - 1
_LAYOUTS = 5
"""Layouts tried at a reset before the objects are put where the scene was recorded."""
_NUDGED = 4
"""Actions after which an object is shifted, where the domain asks for that: the arm is on its way."""
_TRIES = 24
"""Directions that are tried for that."""
_FALLEN = -0.05
"""Height of the base of an object that has left the table [m]."""
_STRAY = 0.02
"""How far an object may creep while it comes to rest at a reset [m]."""
_FAST = 200.0
"""Joint speed that no real contact gives [m/s or rad/s]: the simulation is about to diverge."""
_FAR = 1e4
"""As far as anything can be [m or rad]."""

End = Literal["", "success", "fell", "timeout", "invalid"]
"""Why an episode is over; empty while it goes on. An invalid one says nothing about the policy: leave it out."""


@dataclass(frozen=True)
class Observation:
    """What a policy gets at the end of a chunk."""

    images: dict[str, Image]
    """Camera → (H, W, 3) sRGB."""
    state: NDArray[np.float32]
    """(7,) tool position [m], rotation vector from pointing down [rad], gripper 0 closed … 1 open; then joints [rad] where asked for."""
    instruction: str
    privileged: NDArray[np.float32] | None = None
    """See `Truth.vector`; for critics only."""


@dataclass(frozen=True)
class Transition:
    """What a chunk led to."""

    observation: Observation
    reward: float
    end: End
    steps: int
    """Actions executed; fewer than given when the episode ended within the chunk."""
    clamped: int
    """Actions that went beyond the recipe's limits and were shortened."""


@dataclass(frozen=True)
class Executed:
    """What a chunk led to, before anybody looks; see `Transition`."""

    reward: float
    end: End
    steps: int
    clamped: int


@dataclass
class _Episode:
    """Everything that changes while a world is played, physics aside."""

    seed: int
    draw: Draw
    instruction: str
    target: Target
    pending: deque[Array]
    """Servo commands that the latency still holds back."""
    action_rng: np.random.Generator
    image_rng: np.random.Generator
    fixtures: dict[int, tuple[Array, Array]] = field(default_factory=dict)
    """Fixed body → position [m] and quaternion."""
    nudged: bool = False
    """Whether the time to shift the object has come."""
    steps: int = 0
    executed: Array | None = None
    """The last chunk, as it was given."""
    held: int = 0
    """Control steps for which all goals have held."""
    potential: float = 0.0
    end: End = ""


@dataclass(frozen=True)
class WorldState:
    """A moment of an episode; `World.restore` goes on from it exactly. Lives in the process that made it."""

    scene: Path
    """Its folder."""
    settings: Settings
    episode: _Episode
    data: mujoco.MjData


class World:
    """One scene that can be acted in.

    Args:
        scene: A scene of a library, or a `Stage` that several worlds share.
        settings: How it is played.

    Raises:
        SceneError: When the scene cannot be compiled or does not fit its record.
        RenderError: When a camera does not exist or the machine cannot draw.
    """

    def __init__(self, scene: Scene | Stage, settings: Settings | None = None) -> None:
        if isinstance(scene, Scene):
            if settings is None:
                raise SceneError("A world of a scene needs settings: which domain, which pictures.")
            scene = Stage(scene, settings)
        self.stage, self.settings = scene, scene.settings
        self.model, self.data = scene.model, mujoco.MjData(scene.model)
        self.limit = scene.scene.record.spec.task.actions(scene.controller.period)
        """Actions in an episode."""
        self._hold = math.ceil(HOLD / scene.controller.period - 1e-9)
        self._episode: _Episode | None = None

    @property
    def end(self) -> End:
        """Why the episode is over, or empty."""
        return self._now().end

    @property
    def target(self) -> Target:
        """Where the arm was last told to be."""
        return self._now().target

    @property
    def instruction(self) -> str:
        """What is to be done."""
        return self._now().instruction

    @property
    def executed(self) -> Array | None:
        """The last chunk that was executed, (n, 7); None at the start."""
        return self._now().executed

    @property
    def elapsed(self) -> float:
        """Share of the episode's time that is over."""
        return self._now().steps / self.limit

    def reset(self, seed: int) -> Observation:
        """Start the episode of a seed: draw, place the objects, let them come to rest, look.

        Raises:
            ActionError: When the seed is no integer in [0, 2^63).
        """
        episode = self._begin(seed)
        self._settle(episode)
        episode.potential = self.settings.reward.potential(self.stage.truth, self.data)
        if not self._valid():
            episode.end = "invalid"
        return self.observe()

    def scatter(self, seed: int) -> None:
        """Put the objects where the episode of a seed has them and let no time pass: for pictures, not for acting.

        Raises:
            ActionError: See `reset`.
        """
        episode = self._begin(seed)
        self._put(episode, self._poses(episode.draw.layout))

    def step(self, chunk: ArrayLike, watch: Callable[[], None] | None = None) -> Transition:
        """Execute the actions of a chunk until the episode ends, then look once: `execute` and `observe`."""
        done = self.execute(chunk, watch)
        return Transition(self.observe(), done.reward, done.end, done.steps, done.clamped)

    def execute(self, chunk: ArrayLike, watch: Callable[[], None] | None = None) -> Executed:
        """Execute the actions of a chunk until the episode ends.

        Args:
            chunk: (n, 7) actions, 1 ≤ n ≤ `settings.chunk`: Δxyz [m], rotation vector [rad] in the base frame, gripper 0 … 1.
            watch: Called every `PART` time steps: for films.

        Raises:
            ActionError: When the shape is wrong, a number is not finite, or the episode is over or was never started.
        """
        episode = self._now()
        actions = np.asarray(chunk, np.float64)
        if actions.ndim != 2 or actions.shape[1] != ACTION or not 1 <= len(actions) <= self.settings.chunk:
            raise ActionError(
                f"A chunk has shape (n, {ACTION}) with 1 <= n <= {self.settings.chunk}; got {actions.shape}."
            )
        if episode.end:
            raise ActionError(f"This episode is over ({episode.end}). Reset the world first.")
        if episode.draw.nudge and not episode.nudged and episode.steps >= _NUDGED:
            episode.nudged = True
            self._nudge(episode)
        ready = [self.stage.controller.clamp(action) for action in actions]
        episode.executed = actions.copy()
        # All joint targets first: Python that runs between two stretches of physics finds the processor's caches cold.
        planned = self._planned(episode, [action for action, _ in ready])
        self.activate()
        done = 0
        for target, commands in planned:
            self._act(episode, target, commands, watch)
            done += 1
            if episode.end:
                break
        if self.data.warning.number.any():
            episode.end = "invalid"
        return Executed(self._reward(episode), episode.end, done, sum(clamped for _, clamped in ready[:done]))

    def observe(self) -> Observation:
        """Return what a policy sees now. Image noise is drawn anew at each look."""
        episode, stage = self._now(), self.stage
        self.activate()
        position, rotation = stage.truth.tool(self.data)
        parts = [tool_pose(position, rotation), np.array([stage.truth.opening(self.data)])]
        if self.settings.joints:
            parts.append(self.data.qpos[stage.at.qpos])
        images: dict[str, Image] = {}
        if self.settings.views:
            lens = stage.lens()
            stage.paint(dict(episode.draw.textures))
            for view in self.settings.views:
                picture = lens.picture(self.data, view.camera, view.width, view.height)
                images[view.camera] = stage.randomiser.look(episode.draw, picture, episode.image_rng)
        state = _finite(np.concatenate(parts).astype(np.float32))
        privileged = _finite(stage.truth.vector(self.data, self.elapsed)) if self.settings.privileged else None
        return Observation(images, state, episode.instruction, privileged)

    def picture(self, camera: str = "preview", width: int = 480, height: int = 360) -> Image:
        """Return what a spectator sees: with shadows, and without what the domain's lens and sensor would do to it.

        Raises:
            RenderError: When the scene has no such camera, or the machine cannot draw that.
        """
        episode = self._now()
        self.activate()
        self.stage.paint(dict(episode.draw.textures))
        return self.stage.film(camera, width, height).picture(self.data, camera, width, height, shadows=True)

    def state(self) -> WorldState:
        """Return this moment, to come back to."""
        data = mujoco.MjData(self.model)
        mujoco.mj_copyData(data, self.model, self.data)  # the compact state leaves out who sleeps
        return WorldState(self.stage.scene.folder, self.settings, copy.deepcopy(self._now()), data)

    def restore(self, state: WorldState) -> None:
        """Go back to a moment of an episode of this scene.

        Raises:
            SceneError: When the state is of another scene, or of one that was played otherwise.
        """
        if state.scene != self.stage.scene.folder:
            raise SceneError(f"A state of scene '{state.scene.name}' does not fit '{self.stage.scene.name}'.")
        if state.settings != self.settings:
            raise SceneError(f"A state of scene '{state.scene.name}' that was played with other settings does not fit.")
        self._episode = copy.deepcopy(state.episode)
        mujoco.mj_copyData(self.data, self.model, state.data)
        self.stage.active = None

    def activate(self) -> None:
        """Write what this world has drawn into the model that it shares; whoever computes with `model` calls this first."""
        if self.stage.active is not self:
            episode = self._now()
            self.stage.randomiser.apply(episode.draw)
            for body, (position, quaternion) in episode.fixtures.items():
                self.model.body_pos[body], self.model.body_quat[body] = position, quaternion
            self.stage.active = self

    def summary(self) -> dict[str, Any]:
        """Return what a dump of a broken episode records: start, time, positions and speeds."""
        episode = self._now()
        return {
            "scene": self.stage.scene.name,
            "seed": episode.seed,
            "domain": self.settings.domain.name,
            "steps": episode.steps,
            "samples": dict(episode.draw.samples),
            "qpos": self.data.qpos.tolist(),
            "qvel": self.data.qvel.tolist(),
            "warnings": self.data.warning.number.tolist(),
        }

    def _now(self) -> _Episode:
        if self._episode is None:
            raise ActionError("This world has no episode yet. Reset it first.")
        return self._episode

    def _begin(self, seed: int) -> _Episode:
        """Draw everything that the episode of a seed is about."""
        if not isinstance(seed, int | np.integer) or not 0 <= seed <= MAX_SEED:
            raise ActionError(f"Seed {seed!r} is no integer in [0, {MAX_SEED}].")
        name = zlib.crc32(self.stage.scene.name.encode())
        streams = [np.random.default_rng(item) for item in np.random.SeedSequence([int(seed), name]).spawn(4)]
        draw = self.stage.randomiser.draw(streams[0])
        sentences = self.stage.scene.record.spec.task.sentences()
        recipe = self.stage.recipe
        joints = np.array(recipe.home) + draw.joints
        episode = _Episode(
            seed=int(seed),
            draw=draw,
            instruction=sentences[int(streams[1].integers(len(sentences)))],
            target=self.stage.controller.at(joints, recipe.home_gripper),
            pending=deque(),
            action_rng=streams[2],
            image_rng=streams[3],
        )
        self._episode = episode
        self.stage.active = None
        return episode

    def _planned(self, episode: _Episode, actions: Sequence[Array]) -> list[tuple[Target, Array]]:
        """Return for each clamped action the target that it leads to and the servo commands on the way, (parts, J + 1)."""
        controller, target, found = self.stage.controller, episode.target, []
        spread = np.repeat(episode.draw.action_noise, 3)
        for action in actions:
            if spread.any():
                action = controller.clamp(action + np.append(episode.action_rng.normal(0, 1, 6) * spread, 0))[0]
            after = controller.advance(target, action)
            found.append((after, controller.path(target, after, self.stage.steps // PART)))
            target = after
        return found

    def _act(self, episode: _Episode, target: Target, commands: Array, watch: Callable[[], None] | None) -> None:
        """Let the time of one action pass and see what came of it."""
        ctrl, at, pending = self.data.ctrl, self.stage.at, episode.pending
        for command in commands:
            pending.append(command)
            now = pending.popleft()
            ctrl[at.actuators], ctrl[at.gripper] = now[:-1], now[-1]
            mujoco.mj_step(self.model, self.data, PART)
            if watch:
                watch()
        episode.target = target
        episode.steps += 1
        episode.end = self._verdict(episode)

    def _nudge(self, episode: _Episode) -> None:
        """Shift the first goal's object by the drawn distance to where it stands on the same and touches nothing else, if it can be."""
        stage, data = self.stage, self.data
        body = stage.goals[0].target
        if body not in stage.free.values():
            return
        pose, rng = free_pose(self.model, data, body), np.random.default_rng([episode.seed, 13])
        before, supports = pose[:3].copy(), stage.truth.touched(data, body)
        (x_min, x_max, y_min, y_max), (near, far) = stage.workspace.reach, stage.workspace.annulus
        for angle in rng.uniform(0, 2 * np.pi, _TRIES):
            pose[:2] = before[:2] + episode.draw.nudge * np.array([np.cos(angle), np.sin(angle)])
            x, y = pose[:2]
            inside = x_min < x < x_max and y_min < y < y_max and near < np.hypot(x, y) < far
            if inside and stage.truth.touched(data, body) == supports and not stage.truth.done(data):
                break
        else:
            pose[:3] = before  # no room
        mujoco.mj_forward(self.model, data)

    def _verdict(self, episode: _Episode) -> End:
        if not self._finite():
            return "invalid"
        episode.held = episode.held + 1 if self.stage.truth.done(self.data) else 0
        if episode.held > self._hold:
            return "success"
        watched = self.stage.watched
        if len(watched) and self.data.xpos[watched, 2].min() < _FALLEN:
            return "fell"
        return "timeout" if episode.steps >= self.limit else ""

    def _finite(self) -> bool:
        """Return whether all is where it can be and no faster than it can be."""
        speed, place = self.data.qvel, self.data.qpos  # no sum is below a limit when one of its parts is not a number
        return bool(speed @ speed < _FAST**2 and place @ place < _FAR**2)

    def _valid(self) -> bool:
        """Return whether the physics can be believed."""
        return self._finite() and not self.data.warning.number.any()

    def _reward(self, episode: _Episode) -> float:
        reward = self.settings.reward
        before = episode.potential
        if episode.end != "invalid":
            episode.potential = reward.potential(self.stage.truth, self.data)
        return episode.potential - before + (reward.success if episode.end == "success" else 0.0)

    def _settle(self, episode: _Episode) -> None:
        """Place the objects, let them come to rest; where one strays or the goal holds already, place them anew."""
        layout = episode.draw.layout
        seeds: list[int | None] = [None] if layout is None else [*range(layout, layout + _LAYOUTS), None]
        for seed in seeds:
            self._put(episode, self._poses(seed))
            start = self.data.xpos[list(self.stage.free.values())].copy()
            mujoco.mj_step(self.model, self.data, round(SETTLE / self.model.opt.timestep))
            moved = np.abs(self.data.xpos[list(self.stage.free.values())] - start)
            calm = not len(moved) or bool(moved.max() < _STRAY)
            if calm and self._valid() and not self.stage.truth.done(self.data):
                return
        episode.end = "invalid"

    def _poses(self, seed: int | None) -> dict[str, Pose]:
        """Return a layout near the recorded one; where there is no room for another, or no seed, that itself."""
        stage, shift = self.stage, self.settings.domain.objects
        if seed is None:
            return stage.scene.record.poses
        around = Around(stage.scene.record.poses, shift.xy, shift.yaw)
        return place(stage.scene.record.spec, stage.bodies, stage.workspace, seed, around)

    def _put(self, episode: _Episode, poses: dict[str, Pose]) -> None:
        """Put arm and objects where an episode starts: each object turned and moved as it lay when the scene was recorded."""
        stage, model, data = self.stage, self.model, self.data
        recorded = stage.scene.record.poses
        episode.fixtures.clear()
        turns = {name: _about_z(poses[name].yaw - recorded[name].yaw) for name in poses}
        for name, body in stage.ids.items():
            if name not in stage.free:
                quaternion = np.empty(4)
                mujoco.mju_mulQuat(quaternion, turns[name], stage.body_quat[body])
                episode.fixtures[body] = np.array([*poses[name].pos[:2], stage.body_pos[body][2]]), quaternion
        self.stage.active = None
        self.activate()  # before the data is reset: a body that cannot move is put into its place only then
        mujoco.mj_resetDataKeyframe(model, data, stage.home.id)
        for name, body in stage.free.items():
            pose = free_pose(model, data, body)
            pose[:2] = poses[name].pos[:2]
            mujoco.mju_mulQuat(pose[3:], turns[name], pose[3:].copy())
        for joint, far in stage.openings:
            name = model.body(model.body_rootid[model.jnt_bodyid[joint]]).name
            if poses[name].opening:
                data.qpos[model.jnt_qposadr[joint]] = poses[name].opening * far
        data.qpos[stage.at.qpos] = data.ctrl[stage.at.actuators] = episode.target.joints
        mujoco.mj_forward(model, data)
        held = np.append(episode.target.joints, stage.recipe.gripper_ctrl(episode.target.gripper))
        # servos hear every 40 ms: between two such delays one is drawn, so that the mean is the latency
        delay = int(episode.draw.latency / (PART * model.opt.timestep) + episode.action_rng.random())
        episode.pending = deque([held] * delay)


def _finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put 0 for what is no number in an invalid episode: one of those in a batch would spoil it even with weight 0."""
    return np.nan_to_num(values, nan=0, posinf=0, neginf=0)


def _about_z(angle: float) -> Array:
    return np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])

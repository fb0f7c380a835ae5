"""Scenes of a library as a Gymnasium environment. Importing this registers `worldgen/Scene-v0`; worldgen itself does without Gymnasium.

    gymnasium.make("worldgen.sim.gym:worldgen/Scene-v0", library="library")

Knows one world at a time; `worlds` plays many faster than Gymnasium's vector environments do.
"""

from __future__ import annotations

import functools
import string
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import mujoco
import numpy as np
from numpy.typing import NDArray

from .. import robots
from ..camera import Image, require_size
from ..errors import ActionError, LibraryError
from ..library import Scene, SceneLibrary
from ..robots import Addresses, Robot
from . import domains
from .control import Controller
from .domains import Domain
from .rewards import Reward, Sparse, Staged
from .stage import Settings, Stage, View
from .world import MAX_SEED, Observation, World

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector.utils import read_from_shared_memory
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "worldgen.sim.gym needs Gymnasium, which is not installed: pip install 'worldgen-trainer[gym]'.",
        name=error.name,
    ) from error

ID = "worldgen/Scene-v0"
MAX_INSTRUCTION = 300
"""As long as an instruction may be."""
_SLACK = 0.1
"""Soft limits yield: by how much more than it should a state may hold [m], [rad]."""
_TURNS = 100.0
"""Farther than a joint without limits is ever wound [rad]."""
_OPTIONS = {"scene", "seed"}


class Instruction(spaces.Text):
    """A sentence. A kind of its own so that `AsyncVectorEnv` shows the present one: it reads a `Text` once, when it is made."""

    def __init__(self, sentences: Iterable[str]) -> None:
        charset = frozenset(string.printable[:95]).union(*map(frozenset, sentences))
        super().__init__(MAX_INSTRUCTION, charset=charset)


class _Shared(Sequence[str]):
    """The sentences that several processes have in shared memory now; a copy of it is a tuple that stays."""

    def __init__(self, space: Instruction, memory: Any, count: int) -> None:
        self._read, self._count = functools.partial(_read_text, space, memory, count), count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return self._read()[index]

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self._read())


_read_text = read_from_shared_memory.dispatch(spaces.Text)


@read_from_shared_memory.register(Instruction)
def _read_instructions(space: Instruction, shared_memory: Any, n: int = 1) -> _Shared:
    return _Shared(space, shared_memory, n)


Views = str | Sequence[str] | Mapping[str, tuple[int, int]]
"""Cameras, or cameras with width and height [px]."""


class SceneEnv(gymnasium.Env[dict[str, Any], NDArray[np.float32]]):
    """A scene, or one of several that is drawn at each reset.

    An action is Δxyz [m], a rotation vector [rad] and the gripper, 0 closed … 1 open, at the recipe's rate. An episode terminates
    with success or when an object fell off the table. It is truncated when time is up, or when it is invalid: then the simulation
    broke down, and what it showed is best left out. `info["scene"]` and `info["seed"]`, given to `reset` as options, bring an
    episode back.

    Args:
        library: Folder of a library.
        scene: Name of a scene, or names to draw from; None for all of `split`.
        split: Split to draw from; None for all.
        domain: What is drawn anew at each reset: a preset's name, the path of a .json file, or a `Domain`.
        reward: "sparse", "staged", or a record.
        cameras: What an observation shows; where nothing, it has no `images`.
        size: Width and height where `cameras` gives none [px].
        joints: Whether `state` also holds the arm's joint positions.
        chunk: Actions that one step takes.
        render_mode: "rgb_array", for pictures with shadows from the scene's preview camera.
        max_scenes: Scenes that stay compiled.
        trusted: Whether the caller made the library; else each scene is compiled in a child first, once.

    Raises:
        LibraryError: When the library has no such scene or split, or its scenes are played with several kinds of arm.
        DomainError: When the domain is unknown, makes no sense, or is held out from training.
        RenderError: When a picture cannot have such a size.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012

    def __init__(
        self,
        library: str | Path,
        scene: str | Sequence[str] | None = None,
        split: str | None = None,
        domain: str | Path | Domain = "none",
        reward: Literal["sparse", "staged"] | Reward = "sparse",
        cameras: Views = ("policy",),
        size: int = 64,
        joints: bool = False,
        chunk: int = 1,
        render_mode: str | None = None,
        max_scenes: int = 16,
        trusted: bool = False,
    ) -> None:
        if chunk < 1 or max_scenes < 1:
            raise ActionError(f"chunk {chunk} and max_scenes {max_scenes} must be at least 1.")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise LibraryError(f"Unknown render_mode {render_mode!r}. It is None or 'rgb_array'.")
        self.library, self.render_mode = SceneLibrary.open(Path(library).resolve()), render_mode
        self.settings = Settings(
            domain if isinstance(domain, Domain) else domains.load(domain),
            _reward(reward),
            _views(cameras, size),
            joints,
            chunk=chunk,
        )
        scenes = _scenes(self.library, scene, split)
        self.names = tuple(item.name for item in scenes)
        """Scenes that are drawn from."""
        self._cache, self._trusted = max_scenes, trusted
        self._stages: OrderedDict[str, Stage] = OrderedDict()
        self._world: World | None = None
        self._seed = self._steps = self._clamped = 0
        self._over = False
        controller = Controller(_arm(self.library, scenes))
        texts = [text for item in scenes for text in item.record.spec.task.sentences()]
        self.max_steps = max(item.record.spec.task.actions(controller.period) for item in scenes)
        """Actions in the longest episode."""
        self.metadata = {**self.metadata, "render_fps": max(round(1 / controller.period / chunk), 1)}
        self.action_space = cast(spaces.Space[NDArray[np.float32]], _actions(controller, chunk))
        pictures: dict[str, spaces.Space[Any]] = {
            view.camera: spaces.Box(0, 255, (view.height, view.width, 3), np.uint8) for view in self.settings.views
        }
        parts: dict[str, spaces.Space[Any]] = {"state": _states(controller, joints), "instruction": Instruction(texts)}
        self.observation_space = spaces.Dict(({"images": spaces.Dict(pictures)} if pictures else {}) | parts)

    @property
    def instruction(self) -> str:
        """What is to be done in this episode; empty before the first."""
        return self._world.instruction if self._world else ""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Fixes this episode and all that follow until the next seed.
            options: `scene` and `seed` fix what else would be drawn: the scene, and the seed of its world.

        Raises:
            ActionError: When an option is unknown or its seed is none.
            LibraryError: When this environment does not play such a scene.
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := options.keys() - _OPTIONS:
            raise ActionError(f"Unknown option {sorted(unknown)[0]!r}. Options: {', '.join(sorted(_OPTIONS))}.")
        drawn = self.names[int(self.np_random.integers(len(self.names)))], int(self.np_random.integers(MAX_SEED))
        name = options.get("scene", drawn[0])
        if name not in self.names:
            raise LibraryError(f"This environment does not play scene {name!r}. It plays: {_some(self.names)}.")
        stage, chosen = self._stage(name), options.get("seed", drawn[1])
        world = self._world if self._world and self._world.stage is stage else World(stage)
        observation = world.reset(chosen)  # a seed that is none leaves the episode that was under way
        self._world, self._seed, self._steps, self._clamped, self._over = world, chosen, 0, 0, False
        return self._shown(observation), self._info(world)

    def step(self, action: NDArray[np.floating[Any]]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Execute an action, or a chunk of them until the episode ends.

        Raises:
            ActionError: When the shape is wrong, a number is not finite, or the episode is over or was never started.
        """
        world = self._started()
        if world.end == "invalid" and not self._over:  # from the start, but Gymnasium's reset cannot say so
            self._over = True
            return self._shown(world.observe()), 0.0, False, True, self._info(world)
        values = np.asarray(action, np.float64)
        if values.shape != self.action_space.shape:
            raise ActionError(f"An action has shape {self.action_space.shape}; got {values.shape}.")
        done = world.step(np.atleast_2d(values))
        self._steps += done.steps
        self._clamped += done.clamped
        self._over = bool(done.end)
        terminated, truncated = done.end in ("success", "fell"), done.end in ("timeout", "invalid")
        return self._shown(done.observation), float(done.reward), terminated, truncated, self._info(world)

    def render(self) -> Image | None:
        """Return a picture, (360, 480, 3) sRGB with shadows, from the scene's preview camera; None without `render_mode`."""
        return self._started().picture() if self.render_mode else None

    def close(self) -> None:
        """Free all scenes; once is enough."""
        self._world = None
        while self._stages:
            self._stages.popitem()[1].close()

    def _started(self) -> World:
        if self._world is None:
            raise ActionError("This environment has no episode yet. Reset it first.")
        return self._world

    def _stage(self, name: str) -> Stage:
        if name not in self._stages:
            while len(self._stages) >= self._cache:
                self._stages.popitem(last=False)[1].close()
            folder = self.library.root / "scenes" / name
            self._stages[name] = Stage.open(folder, self.settings, trusted=self._trusted)
        self._stages.move_to_end(name)
        return self._stages[name]

    def _shown(self, observation: Observation) -> dict[str, Any]:
        """Return an observation as Gymnasium has it, within its space also where the simulation broke down."""
        space = self.observation_space["state"]  # type: ignore[index]
        state = np.clip(np.nan_to_num(observation.state), space.low, space.high)
        images = {"images": dict(observation.images)} if observation.images else {}  # a space may not be empty
        return {**images, "state": state, "instruction": observation.instruction}

    def _info(self, world: World) -> dict[str, Any]:
        truth = world.stage.truth
        return {
            "scene": world.stage.scene.name,
            "seed": int(self._seed),
            "instruction": world.instruction,
            "steps": self._steps,
            "clamped": self._clamped,
            "progress": float(np.nan_to_num(np.mean([truth.progress(world.data, goal).value for goal in truth.goals]))),
            "end": world.end,
            "success": world.end == "success",
            "invalid": world.end == "invalid",
        }


def _reward(reward: str | Reward) -> Reward:
    named: dict[str, Reward] = {"sparse": Sparse(), "staged": Staged()}
    if isinstance(reward, str) and reward not in named:
        raise ActionError(f"Unknown reward {reward!r}. Rewards: {', '.join(named)}.")
    return named[reward] if isinstance(reward, str) else reward


def _views(cameras: Views, size: int) -> tuple[View, ...]:
    names = (cameras,) if isinstance(cameras, str) else tuple(cameras)
    sizes = cameras if isinstance(cameras, Mapping) else dict.fromkeys(names, (size, size))
    views = tuple(View(name, *sizes[name]) for name in names)
    for view in views:
        require_size(view.width, view.height)
    return views


def _scenes(library: SceneLibrary, scene: str | Sequence[str] | None, split: str | None) -> list[Scene]:
    """Return the scenes that an environment plays."""
    if scene is None:
        found = list(library.scenes(split))
        if not found:
            where = f"in split '{split}'" if split else "to play"
            raise LibraryError(f"'{library.root}' holds no scenes {where}.")
        return found
    found = [library.scene(name) for name in ([scene] if isinstance(scene, str) else scene)]
    if not found:
        raise LibraryError("No scene is named. Leave `scene` out to play all.")
    if wrong := [item.name for item in found if split is not None and item.record.split != split]:
        raise LibraryError(f"Scene '{wrong[0]}' is not in split '{split}'.")
    return found


def _arm(library: SceneLibrary, scenes: list[Scene]) -> Robot:
    arms = sorted({item.record.spec.robot for item in scenes})
    if len(arms) > 1:
        raise LibraryError(f"These scenes are for several arms: {', '.join(arms)}. Name scenes of one of them.")
    folder = library.root / "robots" / arms[0]
    return Robot(robots.read_recipe(folder / "robot.json", arms[0]), folder)


def _actions(controller: Controller, chunk: int) -> spaces.Box:
    low, high = controller.low.astype(np.float32), controller.high.astype(np.float32)
    return spaces.Box(low, high) if chunk == 1 else spaces.Box(np.tile(low, (chunk, 1)), np.tile(high, (chunk, 1)))


def _states(controller: Controller, joints: bool) -> spaces.Box:
    """Return bounds of states: the stretched arm's tool, any rotation vector, gripper, joint limits."""
    model, at = controller.model, robots.addresses(controller.model, controller.recipe)
    far = np.repeat(_stretch(model, at) + _SLACK, 3)
    high = np.concatenate([far, np.repeat(np.pi + _SLACK, 3), [1 + _SLACK]])
    low = np.append(-high[:-1], -_SLACK)
    if joints:
        low = np.append(low, np.maximum(at.low - _SLACK, -_TURNS))
        high = np.append(high, np.minimum(at.high + _SLACK, _TURNS))
    return spaces.Box(low.astype(np.float32), high.astype(np.float32))


def _stretch(model: mujoco.MjModel, at: Addresses) -> float:
    """Return a distance from the base [m] that no tool at the end of hinges can be beyond."""
    body, length = int(model.site_bodyid[at.tool]), float(np.linalg.norm(model.site_pos[at.tool]))
    while body:
        length += float(np.linalg.norm(model.body_pos[body]))
        first = model.body_jntadr[body]
        for joint in range(first, first + model.body_jntnum[body]):  # turns about a point beside the frame
            length += 2 * float(np.linalg.norm(model.jnt_pos[joint]))
        body = int(model.body_parentid[body])
    return length


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


if ID not in gymnasium.registry:
    gymnasium.register(ID, entry_point=f"{__name__}:SceneEnv")

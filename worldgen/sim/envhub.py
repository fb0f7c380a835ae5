"""A library as an environment on LeRobot's EnvHub: the file `env.py` that is put into it, and what that file calls.

    suite = a split, task = a task family of it: each reset draws one of its scenes.

Knows LeRobot's names for things, not LeRobot.
"""

from __future__ import annotations

import functools
import importlib
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import gymnasium
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from .. import data, store
from ..errors import LibraryError
from ..library import INDEX, SceneLibrary
from .gym import SceneEnv

FILE = "env.py"
_FIRST = '"""Environments of this scene library for LeRobot'
_TEMPLATE = string.Template(
    _FIRST
    + ''' (EnvHub), written by worldgen; edit the settings below as you like.

    from lerobot.envs.factory import make_env
    envs = make_env("<user>/<repository>", n_envs=2, trust_remote_code=True)

Needs: pip install "worldgen-trainer[gym]"
"""

from pathlib import Path

from worldgen.sim import envhub

SETTINGS = {
    "cameras": $cameras,
    "size": $size,  # width and height of a picture [px]
    "joints": $joints,  # whether the state also holds the arm's joint positions
    "domain": $domain,  # what is drawn anew at each reset: none, paper or full
}


def make_env(n_envs=1, use_async_envs=False, cfg=None):
    """Return {split: {task: vector environment}}; each reset draws one of the scenes of that task."""
    return envhub.make(envhub.home(Path(__file__)), n_envs, use_async_envs, SETTINGS)
'''
)


def write(
    library: SceneLibrary,
    cameras: tuple[str, ...] = ("policy",),
    size: int = 256,
    *,
    joints: bool = False,
    domain: str = "none",
) -> Path:
    """Write `env.py` into a library and return its path; then the folder can be uploaded as a repository of kind "model".

    Raises:
        LibraryError: When the folder is no library, or holds an `env.py` of somebody else's.
    """
    library.index()
    path = library.root / FILE
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(_FIRST):
        raise LibraryError(f"'{path}' was not written by worldgen. Move it away first.")
    values = {"cameras": tuple(cameras), "size": size, "joints": joints, "domain": domain}
    store.write_file(path, _TEMPLATE.substitute({key: repr(value) for key, value in values.items()}))
    return path


def home(file: Path) -> Path:
    """Return the library that an `env.py` belongs to: its folder, or else a copy of the repository that it was downloaded from.

    LeRobot downloads `env.py` alone, into a cache of links; a library has neither.

    Raises:
        LibraryError: When there is no library beside the file and it does not lie in Hugging Face's cache.
    """
    if (file.parent / INDEX).is_file() and not file.is_symlink():
        return file.parent
    parts = file.absolute().parts
    if len(parts) < 4 or parts[-3] != "snapshots" or not parts[-4].startswith("models--"):
        raise LibraryError(f"There is no library beside '{file}'. Keep {FILE} in the library's folder.")
    repository, revision = parts[-4].removeprefix("models--").replace("--", "/", 1), parts[-2]
    folder = data.cache_folder() / "envhub" / parts[-4] / revision
    hub = importlib.import_module("huggingface_hub")  # whoever downloaded the file has it
    hub.snapshot_download(repository, revision=revision, local_dir=folder)
    return folder


def make(root: Path, n_envs: int, use_async_envs: bool, settings: Mapping[str, Any]) -> dict[str, dict[int, VectorEnv]]:
    """Return {split: {task: vector environment}}; tasks are the split's families, numbered by name.

    Args:
        root: The library.
        n_envs: Environments in each vector.
        use_async_envs: Whether each runs in a process of its own.
        settings: Arguments of `SceneEnv`.
    """
    groups: dict[str, dict[str, list[str]]] = {}
    for scene in SceneLibrary.open(root).scenes():
        groups.setdefault(scene.record.split, {}).setdefault(scene.record.family, []).append(scene.name)
    return {
        split: {
            number: _vector(root, families[family], family, n_envs, use_async_envs, settings)
            for number, family in enumerate(sorted(families))
        }
        for split, families in sorted(groups.items())
    }


def _vector(
    root: Path, names: list[str], family: str, n_envs: int, use_async_envs: bool, settings: Mapping[str, Any]
) -> VectorEnv:
    one = functools.partial(HubEnv, root, tuple(names), family, dict(settings))
    if use_async_envs:  # a forked process could not draw once its parent has
        return AsyncVectorEnv([one] * n_envs, context="spawn")
    return SyncVectorEnv([one] * n_envs)


class HubEnv(gymnasium.Wrapper[dict[str, Any], Any, dict[str, Any], Any]):
    """A `SceneEnv` by LeRobot's names.

    Observations hold `pixels` {camera: image} and `agent_pos`; the sentence is the attribute `task_description`. A camera that the
    arm carries goes without the arm's name, for names of LeRobot's features have no slashes.
    """

    def __init__(self, root: Path, names: tuple[str, ...], family: str, settings: Mapping[str, Any]) -> None:
        env = SceneEnv(root, names, render_mode="rgb_array", **settings)
        super().__init__(env)
        self.task = family
        self._max_episode_steps = -(-env.max_steps // env.settings.chunk)
        parts = _renamed(cast(spaces.Dict, env.observation_space).spaces)
        self.observation_space = spaces.Dict(
            {name: spaces.Dict(part) if isinstance(part, dict) else part for name, part in parts.items()}
        )

    @property
    def task_description(self) -> str:
        """What the robot is told in this episode."""
        return self.env.unwrapped.instruction  # type: ignore[attr-defined]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; options of others are left alone."""
        known = {key: value for key, value in (options or {}).items() if key in ("scene", "seed")}
        observation, info = self.env.reset(seed=seed, options=known)
        return _renamed(observation), info | {"is_success": info["success"]}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Execute an action."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return _renamed(observation), float(reward), terminated, truncated, info | {"is_success": info["success"]}


def _renamed(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return an observation, or the spaces of one, by LeRobot's names."""
    images = dict(parts.get("images", {})).items()
    pixels = {"pixels": {_plain(name): image for name, image in images}} if images else {}
    return {**pixels, "agent_pos": parts["state"]}


def _plain(camera: str) -> str:
    return camera.rpartition("/")[2]

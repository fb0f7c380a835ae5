"""robomimic and LIBERO files (HDF5) → demonstrations. Needs h5py only when one is read. Knows no other format.

What a simulator's file holds are a controller's inputs, and places in the simulator's world: a policy of another kind than ours. A file whose
numbers are those of `Interface` says so in `data`'s attributes `state_names` and `action_names` (lists as JSON).
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DatasetError
from .lerobot import AGAIN, Array, parsing
from .records import ACTION, Demonstration, Interface

_ALIASES = {
    "position": ("robot0_eef_pos", "eef_pos", "ee_pos"),
    "rotation": ("robot0_eef_quat", "eef_quat", "ee_quat", "ee_ori"),
    "gripper": ("robot0_gripper_qpos", "gripper_qpos", "gripper_states"),
}
_EEF_NAMES = ("eef_x", "eef_y", "eef_z", "eef_rx", "eef_ry", "eef_rz", "gripper_width")
_RAW_ACTION = tuple(f"controller_{index}" for index in range(ACTION))
"""Names that are not those of `Interface`: a controller's input is no distance, and the frame is the simulator's."""


def read(path: Path, limit: int | None) -> tuple[Interface, list[Demonstration]]:
    """Read `data/demo_*`, all or the first `limit`.

    The state is position [m], rotation vector [rad] and opening [m], the action the controller's input.

    Raises:
        DatasetError: When h5py is missing, or the file is damaged or lacks what cannot be done without.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise DatasetError(f"'{path}' needs h5py to be read: pip install h5py.") from error
    with parsing(path), h5py.File(path) as file:
        data = file["data"]
        names = sorted((name for name in data if name.startswith("demo_")), key=lambda name: int(name[5:]))[:limit]
        if not names:
            raise DatasetError(f"'{path}' is empty: it has no 'data/demo_0'. Give another file.")
        env = json.loads(data.attrs["env_args"])
        problem = json.loads(data.attrs.get("problem_info", "{}"))
        instruction = "".join(problem.get("language_instruction", env.get("env_name", "")))
        demos = [_demonstration(path, name, data[name], instruction) for name in names]
        kwargs = env["env_kwargs"]
        robots, rate = kwargs.get("robots", ""), float(kwargs["control_freq"])
        names_of = {"state_names": _EEF_NAMES, "action_names": _RAW_ACTION}
        state, action = (
            tuple(json.loads(data.attrs[key])) if key in data.attrs else own for key, own in names_of.items()
        )
    cameras = tuple(demos[0].images)
    if other := [name for name, demo in zip(names, demos, strict=True) if tuple(demo.images) != cameras]:
        raise DatasetError(f"'{path}': 'data/{other[0]}' has other cameras than 'data/{names[0]}'. {AGAIN}")
    sizes = {images.shape[1:] for demo in demos for images in demo.images.values()}
    if len(sizes) > 1 or (size := sizes.pop())[0] != size[1] or size[2] != 3:
        raise DatasetError(f"'{path}': pictures must be square and of one size. Crop and resize them.")
    robot = robots if isinstance(robots, str) else "+".join(robots)
    with parsing(path):
        return Interface(robot, rate, cameras, int(size[0]), state, action), demos


def _demonstration(path: Path, name: str, demo: Any, instruction: str) -> Demonstration:
    """Return an episode; a file says neither what was pushed nor what failed."""
    obs = demo["obs"]
    found = {part: next((key for key in keys if key in obs), None) for part, keys in _ALIASES.items()}
    suffixes = ("_image", "_rgb")
    pictures = {key.removesuffix(end): key for end in suffixes for key in sorted(obs) if key.endswith(end)}
    missing = [f"{part} (one of {', '.join(_ALIASES[part])})" for part, key in found.items() if key is None]
    missing += [] if pictures else ["pictures (<camera>_image)"]
    if missing:
        raise DatasetError(
            f"'{path}': 'data/{name}/obs' lacks {' and '.join(missing)}. "
            "Extract the observations with robomimic's dataset_states_to_obs.py and give that file."
        )
    position, rotation, gripper = (np.asarray(obs[key], np.float64) for key in found.values())
    state = np.column_stack([position, _rotation_vector(rotation), gripper[:, 0] - gripper[:, 1:].sum(1)])
    action = np.asarray(demo["actions"], np.float32)
    if state.shape[1] != ACTION or action.shape[1:] != (ACTION,) or not len(action):
        raise DatasetError(
            f"'{path}': 'data/{name}' has states of {state.shape[1]} and actions of shape {action.shape}; "
            f"{ACTION} numbers each are allowed. Give a file of one arm with a gripper."
        )
    images = {camera: np.asarray(obs[key], np.uint8) for camera, key in pictures.items()}
    if wrong := [camera for camera in images if len(images[camera]) != len(action)] or len(state) != len(action):
        raise DatasetError(f"'{path}': 'data/{name}' has arrays of different lengths ({wrong or 'state'}). {AGAIN}")
    return Demonstration(images, state.astype(np.float32), action, np.zeros(len(action), bool), instruction, True)


def _rotation_vector(rotation: Array) -> Array:
    """Return (T, 3) rotation vectors [rad] of quaternions (T, 4), x y z w; vectors are returned as they are."""
    if rotation.shape[1] == 3:
        return rotation
    rotation = rotation * np.where(rotation[:, 3:] < 0, -1, 1)
    sine = np.linalg.norm(rotation[:, :3], axis=1, keepdims=True)
    angle = 2 * np.arctan2(sine, rotation[:, 3:])
    return rotation[:, :3] * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2)

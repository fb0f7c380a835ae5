"""Robot arms: recipes that say how to use one, and loading them as MjSpec. Inverse kinematics is in `kinematics`.

Knows nothing of scenes, actions or policies. The base stands on the table at the world's origin: base frame = world
frame, z = 0 is the table top, x points forward. Names in a recipe are the model's own; functions that take a compiled
model also take the `prefix` ("robot/") under which the arm was attached to it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from . import data, vocabulary
from .errors import Problem, RobotError

Array = NDArray[np.float64]
TIMESTEP = 0.008
"""Of every scene [s]."""
NAME = r"[a-z][a-z0-9_]{0,31}"

Metres = Annotated[float, Field(ge=-3, le=3)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class RobotRefused(RobotError):
    """A robot that does not fit its recipe; `problems` holds every reason."""

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"Robot '{name}' does not fit: " + " ".join(str(problem) for problem in problems))


class Gripper(_Record):
    """A parallel gripper that one actuator opens and closes."""

    actuator: str
    """Actuator that moves all fingers."""
    open_ctrl: float
    """Control value that opens it fully, in the actuator's own unit."""
    closed_ctrl: float
    """Control value that closes it fully, in the actuator's own unit."""
    opening: float = Field(gt=0, le=0.5)
    """Distance between the pads when fully open [m]."""
    joints: tuple[str, ...] = Field(min_length=1)
    """Finger joints; their bodies are the fingers."""
    open_joints: tuple[float, ...]
    """Position of each finger joint when fully open [m or rad]."""
    closed_joints: tuple[float, ...]
    """Position of each finger joint when fully closed [m or rad]."""


class Reach(_Record):
    """Ring sector around the base axis where the tool, pointing down at any yaw, reaches all of `GRASP_HEIGHTS`."""

    inner: float = Field(gt=0)
    """Smallest distance from the base axis [m]."""
    outer: float = Field(gt=0)
    """Largest distance from the base axis [m]."""
    half_angle: float = Field(gt=0, le=3.1416)
    """Largest azimuth to either side of the forward axis [rad]."""


class Workspace(_Record):
    """Rectangle on the table for objects that the robot must handle, in the base frame [m]."""

    x_min: Metres
    """Near edge [m]."""
    x_max: Metres
    """Far edge [m]."""
    y_min: Metres
    """Right edge, seen from the base [m]."""
    y_max: Metres
    """Left edge, seen from the base [m]."""


class CameraMount(_Record):
    """A camera fixed to a body; it looks along its own -z with y up, as all MuJoCo cameras."""

    body: str
    """Body that carries it."""
    position: tuple[Metres, Metres, Metres]
    """Position in the body's frame [m]."""
    quaternion: tuple[float, float, float, float]
    """Rotation in the body's frame, w x y z."""
    fovy: float = Field(gt=1, lt=179)
    """Vertical field of view [degrees]."""


class Control(_Record):
    """Gains of the end-effector controller (damped least squares)."""

    rate_hz: float = Field(default=5, gt=0, le=1000)
    """Actions per second [1/s]."""
    damping: float = Field(default=0.05, gt=0)
    """Damping of the pseudo-inverse (unit: that of a singular value of the Jacobian, m/rad and rad/rad mixed)."""
    nullspace: float = Field(default=0.1, ge=0, le=1)
    """Share of the distance to home [rad] that is undone a step where the tool does not notice."""
    max_speed: tuple[Annotated[float, Field(gt=0)], ...]
    """Largest speed of each arm joint [rad/s]."""
    max_translation: float = Field(default=0.05, gt=0, le=1)
    """Largest move of the tool in one action [m]; a larger one is shortened."""
    max_rotation: float = Field(default=0.35, gt=0, le=3)
    """Largest turn of the tool in one action [rad]."""


class RobotRecipe(_Record):
    """How to use one arm model: everything that scenes, control and checks need to know beyond the MJCF."""

    name: str = Field(pattern=f"^{NAME}$")
    """Short name, also the folder's."""
    title: str = Field(min_length=1, max_length=100)
    """Name for people."""
    model: str = Field(default="robot.xml", pattern=r"^[A-Za-z0-9_.-]+\.xml$")
    """MJCF file beside the recipe."""
    joints: tuple[str, ...] = Field(min_length=4, max_length=12)
    """Arm hinge joints from the base to the tool; each is driven by one position actuator."""
    gripper: Gripper
    """The gripper."""
    tool: str
    """Site at the tool point between the pads: z = approach direction (out of the gripper), y = closing axis."""
    home: tuple[float, ...]
    """Arm joint positions at the start of an episode [rad]."""
    home_gripper: float = Field(default=1, ge=0, le=1)
    """Gripper at the start of an episode: 0 closed … 1 open."""
    reach: Reach
    """Where the tool can grasp from above."""
    workspace: Workspace
    """Where objects to handle are placed."""
    cameras: dict[str, CameraMount]
    """Cameras that the robot carries, by name; `wrist` is required."""
    control: Control
    """Controller gains."""

    @model_validator(mode="after")
    def _consistent(self) -> RobotRecipe:
        arm, fingers = len(self.joints), len(self.gripper.joints)
        lengths = [("home", self.home, arm), ("control.max_speed", self.control.max_speed, arm)]
        lengths += [("gripper.open_joints", self.gripper.open_joints, fingers)]
        lengths += [("gripper.closed_joints", self.gripper.closed_joints, fingers)]
        wrong = [f"{path} has {len(values)} values, needs {n}." for path, values, n in lengths if len(values) != n]
        if len(set(self.joints + self.gripper.joints)) != arm + fingers:
            wrong.append("joints and gripper.joints name a joint twice.")
        if "wrist" not in self.cameras:
            wrong.append("cameras has no 'wrist'.")
        if self.reach.inner >= self.reach.outer:
            wrong.append(f"reach.inner {self.reach.inner} must be below reach.outer {self.reach.outer} m.")
        area = self.workspace
        if area.x_min >= area.x_max or area.y_min >= area.y_max:
            wrong.append("workspace is empty: x_min < x_max and y_min < y_max are needed.")
        elif not all(reachable(self, xy) for xy in _border(area)):
            wrong.append("workspace leaves the ring sector of reach; make it smaller.")
        if wrong:
            raise ValueError(" ".join(wrong))
        return self

    def fingers_at(self, opened: float) -> Array:
        """Return the finger joint positions at `opened` in [0, 1] (1 = open), in the order of `gripper.joints`."""
        closed, opening = np.array(self.gripper.closed_joints), np.array(self.gripper.open_joints)
        return np.asarray(closed + opened * (opening - closed), dtype=np.float64)

    def gripper_ctrl(self, opened: float) -> float:
        """Return the gripper actuator's control value at `opened` in [0, 1] (1 = open)."""
        return self.gripper.closed_ctrl + opened * (self.gripper.open_ctrl - self.gripper.closed_ctrl)


@dataclass(frozen=True)
class Robot:
    """One arm on disk: its recipe and the folder that holds `robot.json`, the MJCF and the MJCF's files."""

    recipe: RobotRecipe
    folder: Path

    def spec(self) -> mujoco.MjSpec:
        """Load a fresh MjSpec, ready to attach: absolute file paths, cameras mounted, scenes' options, no keyframes."""
        try:
            spec = mujoco.MjSpec.from_file(str(self.folder / self.recipe.model))
        except ValueError as error:
            raise RobotError(f"Robot '{self.recipe.name}': {self.recipe.model} cannot be read: {error}") from error
        # An attached child loses its meshdir, so each file is made absolute and the folders are cleared.
        files = [(element, spec.meshdir) for element in (*spec.meshes, *spec.hfields)]
        for element, folder in files + [(texture, spec.texturedir) for texture in spec.textures]:
            if element.file:
                element.file = str(self.folder.resolve() / folder / element.file)
        spec.meshdir = spec.texturedir = ""
        # A child's options never count, but MuJoCo warns of each that differs from the scene's.
        spec.option = mujoco.MjSpec().option
        spec.option.timestep, spec.option.integrator = TIMESTEP, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
        for key in list(spec.keys):
            spec.delete(key)
        for name, mount in self.recipe.cameras.items():
            body = spec.body(mount.body)
            if body is None:
                raise RobotError(f"Robot '{self.recipe.name}': camera '{name}' is on unknown body '{mount.body}'.")
            body.add_camera(name=name, pos=mount.position, quat=mount.quaternion, fovy=mount.fovy)
        return spec


@dataclass(frozen=True)
class Addresses:
    """Where a recipe's parts are in one compiled model; arrays follow the order of the recipe's names."""

    qpos: NDArray[np.int_]
    dofs: NDArray[np.int_]
    actuators: NDArray[np.int_]
    fingers: NDArray[np.int_]
    """Finger joints' indices into qpos."""
    gripper: int
    tool: int
    low: Array
    """Lower limit of each arm joint [rad]; -inf where it has none."""
    high: Array
    """Upper limit of each arm joint [rad]; inf where it has none."""


def names() -> list[str]:
    """Return the names of all robots, shipped and added by the user, sorted."""
    return sorted({folder.name for root in roots() if root.is_dir() for folder in root.iterdir() if is_robot(folder)})


def load(name: str) -> Robot:
    """Load a robot's recipe; its model is read by `Robot.spec`."""
    valid = names()
    if name not in valid:
        raise RobotError(
            f"Unknown robot '{name}'.{vocabulary.guess(name, valid)} Available: {', '.join(valid)}. Add one with `worldgen robots add`."
        )
    folder = next(root / name for root in roots() if is_robot(root / name))
    return Robot(read_recipe(folder / "robot.json", name), folder)


def reachable(recipe: RobotRecipe, xy: ArrayLike) -> bool:
    """Tell whether a point on the table [m, base frame] is in the ring sector where the tool can grasp from above."""
    x, y = np.asarray(xy, dtype=np.float64)[:2]
    return bool(
        recipe.reach.inner <= np.hypot(x, y) <= recipe.reach.outer and abs(np.arctan2(y, x)) <= recipe.reach.half_angle
    )


def addresses(model: mujoco.MjModel, recipe: RobotRecipe, prefix: str = "") -> Addresses:
    """Find the recipe's parts in a compiled model; a missing one is a RobotError that lists what the model has."""
    problems = missing_names(model, recipe, prefix)
    if problems:
        raise RobotRefused(recipe.name, problems)
    joints = [model.joint(prefix + name).id for name in recipe.joints]
    limited, span = model.jnt_limited[joints].astype(bool), model.jnt_range[joints]
    return Addresses(
        qpos=model.jnt_qposadr[joints],
        dofs=model.jnt_dofadr[joints],
        actuators=np.array([_servo(model, joint) for joint in joints]),
        fingers=np.array([model.jnt_qposadr[model.joint(prefix + name).id] for name in recipe.gripper.joints]),
        gripper=model.actuator(prefix + recipe.gripper.actuator).id,
        tool=model.site(prefix + recipe.tool).id,
        low=np.where(limited, span[:, 0], -np.inf),
        high=np.where(limited, span[:, 1], np.inf),
    )


def set_home(model: mujoco.MjModel, state: mujoco.MjData, recipe: RobotRecipe, prefix: str = "") -> None:
    """Put the arm and the fingers at home, at rest, with their servos asked to stay there."""
    at = addresses(model, recipe, prefix)
    state.qpos[at.qpos] = state.ctrl[at.actuators] = recipe.home
    state.qpos[at.fingers] = recipe.fingers_at(recipe.home_gripper)
    state.qvel[at.dofs] = 0
    state.ctrl[at.gripper] = recipe.gripper_ctrl(recipe.home_gripper)


def roots() -> tuple[Path, Path]:
    """Return the folders of the shipped robots and of the user's."""
    return data.path("assets", "robots"), data.user_folder() / "robots"


def is_robot(folder: Path) -> bool:
    """Tell whether a folder holds a robot of a valid name."""
    return re.fullmatch(NAME, folder.name) is not None and (folder / "robot.json").is_file()


def read_recipe(file: Path, name: str) -> RobotRecipe:
    """Read a recipe for a robot of that name; RobotRefused with every problem of it."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(values, dict):
            values |= {"name": name, "model": "robot.xml"}
        return RobotRecipe.model_validate(values)
    except (OSError, ValueError) as error:
        if not isinstance(error, ValidationError):
            raise RobotError(f"Robot '{name}': recipe {file} cannot be read: {error}") from error
        found = [Problem(".".join(map(str, item["loc"])) or "recipe", item["msg"] + ".") for item in error.errors()]
        raise RobotRefused(name, found) from error


def _border(area: Workspace) -> Array:
    """Return points on the rectangle's border; the near edge's middle, not its corners, is what leaves a ring."""
    x, y = np.linspace(area.x_min, area.x_max, 9), np.linspace(area.y_min, area.y_max, 9)
    near, far, right, left = (np.full(9, edge) for edge in (area.x_min, area.x_max, area.y_min, area.y_max))
    return np.concatenate([np.column_stack(side) for side in ((near, y), (far, y), (x, right), (x, left))])


def _servo(model: mujoco.MjModel, joint: int) -> int:
    """Return the actuator on a joint, or -1."""
    found = (model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT) & (model.actuator_trnid[:, 0] == joint)
    return int(np.flatnonzero(found)[0]) if found.any() else -1


def missing_names(model: mujoco.MjModel, recipe: RobotRecipe, prefix: str) -> list[Problem]:
    """Return what a recipe names that a compiled model lacks, or has of another kind."""
    kinds = mujoco.mjtObj
    wanted = [("joints", kinds.mjOBJ_JOINT, name) for name in recipe.joints]
    wanted += [("gripper.joints", kinds.mjOBJ_JOINT, name) for name in recipe.gripper.joints]
    wanted += [
        ("gripper.actuator", kinds.mjOBJ_ACTUATOR, recipe.gripper.actuator),
        ("tool", kinds.mjOBJ_SITE, recipe.tool),
    ]
    counts = {kinds.mjOBJ_JOINT: model.njnt, kinds.mjOBJ_ACTUATOR: model.nu, kinds.mjOBJ_SITE: model.nsite}
    problems = []
    for path, kind, name in wanted:
        if mujoco.mj_name2id(model, kind, prefix + name) < 0:
            have = [mujoco.mj_id2name(model, kind, i) for i in range(counts[kind])]
            message = f"the model has no '{prefix + name}'; it has {', '.join(filter(None, have)) or 'none'}."
            problems.append(Problem(path, message, "Correct the name in the recipe or add it to the model."))
    for name in recipe.joints:
        joint = mujoco.mj_name2id(model, kinds.mjOBJ_JOINT, prefix + name)
        if joint >= 0 and model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE:
            problems.append(Problem("joints", f"'{name}' is not a hinge.", "Name the arm's hinge joints only."))
        elif joint >= 0 and _servo(model, joint) < 0:
            problems.append(Problem("joints", f"no actuator drives '{name}'.", "Give the joint a position actuator."))
    return problems

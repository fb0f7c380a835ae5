"""Robot arms: recipes that say how to use one, loading as MjSpec, top-down inverse kinematics, adding one's own.

Knows nothing of scenes, actions or policies. The base stands on the table at the world's origin: base frame = world
frame, z = 0 is the table top, x points forward. Names in a recipe are the model's own; functions that take a compiled
model also take the `prefix` ("robot/") under which the arm was attached to it.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from . import data
from .errors import Problem, RobotError

Array = NDArray[np.float64]
GRASP_HEIGHTS = (0.02, 0.25)  # [m] tool heights above the table over which a recipe promises top-down reach
_POSITION_TOLERANCE, _ANGLE_TOLERANCE = 2e-4, 2e-3  # [m], [rad] where inverse kinematics stops
_DRIVE_POSES, _DRIVE_SECONDS, _DRIVE_METRES, _DRIVE_RADIANS = 20, 3.0, 0.005, 0.035
_MAX_XML_BYTES, _MAX_FILES, _MAX_BYTES = 5_000_000, 500, 200_000_000
_ASSET_TAGS = {"mesh": "meshdir", "hfield": "meshdir", "texture": "texturedir"}
_FORBIDDEN_TAGS = {"include", "attach", "model", "replicate", "composite", "flexcomp", "extension", "plugin"}
_NAME = r"[a-z][a-z0-9_]{0,31}"

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


class RobotRecipe(_Record):
    """How to use one arm model: everything that scenes, control and checks need to know beyond the MJCF."""

    name: str = Field(pattern=f"^{_NAME}$")
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
        spec.option.timestep, spec.option.integrator = 0.005, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
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
    return sorted({folder.name for root in _roots() if root.is_dir() for folder in root.iterdir() if _is_robot(folder)})


def load(name: str) -> Robot:
    """Load a robot's recipe; its model is read by `Robot.spec`."""
    valid = names()
    if name not in valid:
        close = difflib.get_close_matches(name, valid, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise RobotError(
            f"Unknown robot '{name}'.{hint} Available: {', '.join(valid)}. Add one with `worldgen robots add`."
        )
    folder = next(root / name for root in _roots() if _is_robot(root / name))
    return Robot(_read_recipe(folder / "robot.json", name), folder)


def reachable(recipe: RobotRecipe, xy: ArrayLike) -> bool:
    """Tell whether a point on the table [m, base frame] is in the ring sector where the tool can grasp from above."""
    x, y = np.asarray(xy, dtype=np.float64)[:2]
    return bool(
        recipe.reach.inner <= np.hypot(x, y) <= recipe.reach.outer and abs(np.arctan2(y, x)) <= recipe.reach.half_angle
    )


def sample_reach(recipe: RobotRecipe, count: int, seed: int) -> list[tuple[Array, float]]:
    """Draw (tool position [m], yaw [rad]) pairs uniformly over the promised reach, for checks and tests."""
    rng = np.random.default_rng(seed)
    reach, poses = recipe.reach, []
    for _ in range(count):
        radius = np.sqrt(rng.uniform(reach.inner**2, reach.outer**2))
        azimuth, height = rng.uniform(-reach.half_angle, reach.half_angle), rng.uniform(*GRASP_HEIGHTS)
        position = np.array([radius * np.cos(azimuth), radius * np.sin(azimuth), height])
        poses.append((position, float(rng.uniform(-np.pi / 2, np.pi / 2))))
    return poses


def addresses(model: mujoco.MjModel, recipe: RobotRecipe, prefix: str = "") -> Addresses:
    """Find the recipe's parts in a compiled model; a missing one is a RobotError that lists what the model has."""
    problems = _missing_names(model, recipe, prefix)
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


def solve_ik(
    model: mujoco.MjModel,
    recipe: RobotRecipe,
    position: ArrayLike,
    yaw: float,
    prefix: str = "",
    start: ArrayLike | None = None,
) -> Array | None:
    """Find arm joint positions [rad] that put the tool at `position` [m, base frame] pointing straight down, or None.

    At `yaw` = 0 the fingers close along the base's y axis; positive turns them about z. The gripper is symmetric, so
    yaw counts modulo pi and the turn nearer to the starting pose is tried first. The answer respects joint limits and
    has no self-collision with open fingers. Starts are `start` if given, home turned towards the point, home, then
    random ones from a fixed seed: the same call gives the same answer.
    """
    at, state, rng = addresses(model, recipe, prefix), mujoco.MjData(model), np.random.default_rng(0)
    state.qpos[at.fingers] = recipe.fingers_at(1)
    target, home = np.asarray(position, dtype=np.float64), np.array(recipe.home)
    turned = home.copy()
    turned[0] += np.arctan2(target[1], target[0])
    guesses = ([] if start is None else [np.asarray(start, dtype=np.float64)]) + [turned, home]
    guesses += [rng.uniform(np.maximum(at.low, -np.pi), np.minimum(at.high, np.pi)) for _ in range(5)]
    for guess in guesses:
        guess = np.clip(guess, at.low, at.high)
        for rotation in _down_rotations(model, state, at, guess, yaw):
            found = _descend(model, state, at, guess, target, rotation, home)
            if found is not None and not _self_collides(model, state, at.tool):
                return found
    return None


def add(name: str, model_xml: Path, recipe_json: Path, *, replace: bool = False) -> Robot:
    """Copy a user's MJCF, with the meshes and textures that it names, into the user's robots, if the arm proves itself.

    The model must compile, have every name in the recipe, and drive its tool point to 20 seeded poses inside the
    recipe's reach with its own position servos. A refusal is a `RobotRefused` with all reasons and leaves nothing behind.
    """
    if not re.fullmatch(_NAME, name):
        raise RobotError(
            f"Robot name '{name}' must be 1 to 32 lower-case letters, digits or '_', and begin with a letter."
        )
    if _is_robot(_roots()[0] / name):
        raise RobotError(f"'{name}' is a shipped robot; choose another name.")
    final = _roots()[1] / name
    if final.exists() and not replace:
        raise RobotError(f"Robot '{name}' exists at {final}; pass replace=True to replace it.")
    recipe = _read_recipe(recipe_json, name)
    files = _model_files(name, model_xml)
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".adding-") as scratch:
        staged = Robot(recipe, Path(scratch) / "new")
        for relative, source in files.items():
            (staged.folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, staged.folder / relative, follow_symlinks=False)
        text = json.dumps(recipe.model_dump(mode="json"), indent=2) + "\n"
        (staged.folder / "robot.json").write_text(text, encoding="utf-8")
        problems = problems_of(staged)
        if problems:
            raise RobotRefused(name, problems)
        if final.exists():
            final.rename(Path(scratch) / "old")
        staged.folder.rename(final)
    return Robot(recipe, final)


def problems_of(robot: Robot) -> list[Problem]:
    """Compile a robot alone, compare it with its recipe, drive it to seeded poses; return all that is wrong."""
    try:
        model = robot.spec().compile()
    except (ValueError, RobotError) as error:
        return [Problem("model", f"does not compile: {error}", "Open it in MuJoCo's viewer and mend it.")]
    recipe = robot.recipe
    problems = _missing_names(model, recipe, "")
    if problems:
        return problems
    at = addresses(model, recipe)
    for joint, value, least, most in zip(recipe.joints, recipe.home, at.low, at.high, strict=True):
        if not least <= value <= most:
            message = f"{value} rad is outside the range {least:.4f} … {most:.4f} of joint '{joint}'."
            problems.append(Problem(f"home.{joint}", message, "Choose a value inside."))
    return problems or _drive_problems(model, recipe)


def _roots() -> tuple[Path, Path]:
    return data.path("assets", "robots"), data.user_folder() / "robots"


def _is_robot(folder: Path) -> bool:
    return re.fullmatch(_NAME, folder.name) is not None and (folder / "robot.json").is_file()


def _read_recipe(file: Path, name: str) -> RobotRecipe:
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


def _missing_names(model: mujoco.MjModel, recipe: RobotRecipe, prefix: str) -> list[Problem]:
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


def _down(yaw: float) -> Array:
    """Return the tool's rotation matrix in the base frame, pointing down, closing axis at `yaw` [rad] from y."""
    return np.array([[-np.cos(yaw), -np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, -1]])


def _turn(to: Array, rotation: Array) -> Array:
    """Return the rotation vector [rad, base frame] that takes `rotation` to `to`."""
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, (to @ rotation.T).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1)
    return vector


def _down_rotations(
    model: mujoco.MjModel, state: mujoco.MjData, at: Addresses, joints: Array, yaw: float
) -> list[Array]:
    """Return the two tool rotations that a symmetric gripper allows, the one nearer to that at `joints` first."""
    state.qpos[at.qpos] = joints
    mujoco.mj_kinematics(model, state)
    now = state.site_xmat[at.tool].reshape(3, 3)
    return sorted((_down(yaw), _down(yaw + np.pi)), key=lambda rotation: -float(np.sum(rotation * now)))


def _descend(
    model: mujoco.MjModel,
    state: mujoco.MjData,
    at: Addresses,
    joints: Array,
    position: Array,
    rotation: Array,
    home: Array,
) -> Array | None:
    """Walk from `joints` to the tool pose by damped least squares; leave `state` there, or return None."""
    jacobian = np.zeros((6, model.nv))
    for _ in range(80):
        state.qpos[at.qpos] = joints
        mujoco.mj_kinematics(model, state)
        mujoco.mj_comPos(model, state)
        turn = _turn(rotation, state.site_xmat[at.tool].reshape(3, 3))
        error = np.concatenate((position - state.site_xpos[at.tool], turn))
        if np.linalg.norm(error[:3]) < _POSITION_TOLERANCE and np.linalg.norm(error[3:]) < _ANGLE_TOLERANCE:
            return joints
        mujoco.mj_jacSite(model, state, jacobian[:3], jacobian[3:], at.tool)
        arm = jacobian[:, at.dofs]
        # Damping that shrinks with the error: safe far away and at the edge of reach, quadratic convergence at the end.
        pseudo = arm.T @ np.linalg.inv(arm @ arm.T + (1e-3 * float(error @ error) + 1e-7) * np.eye(6))
        step = pseudo @ error
        if len(joints) > 6:
            step += 0.1 * (home - joints - pseudo @ (arm @ (home - joints)))
        joints = np.clip(joints + step * min(1.0, 0.4 / np.abs(step).max()), at.low, at.high)
    return None


def _self_collides(model: mujoco.MjModel, state: mujoco.MjData, tool: int) -> bool:
    mujoco.mj_collision(model, state)
    roots = model.body_rootid[model.geom_bodyid[state.contact.geom[: state.ncon]]]
    return bool(np.any(np.all(roots == model.body_rootid[model.site_bodyid[tool]], axis=-1)))


def _model_files(name: str, model_xml: Path) -> dict[str, Path]:
    """Return what to copy, relative path → source; refuse a model that reaches outside its folder or is too large."""
    problems: list[Problem] = []
    files = {"robot.xml": model_xml}
    folder = model_xml.parent.resolve()
    root = _parse(name, model_xml)
    folders = {"meshdir": "", "texturedir": ""}
    for compiler in root.iter("compiler"):
        folders |= {key: compiler.get("assetdir", folders[key]) for key in folders}
        folders |= {key: compiler.get(key, folders[key]) for key in folders}
        if compiler.get("strippath") == "true":
            problems.append(Problem("model", "compiler strippath is not supported.", "Write the paths as they are."))
    for element in root.iter():
        if element.tag in _FORBIDDEN_TAGS:
            problems.append(Problem("model", f"<{element.tag}> is not allowed.", "Save a flat MJCF from MuJoCo."))
        for value in (value for key, value in element.attrib.items() if key.startswith("file")):
            kind = _ASSET_TAGS.get(element.tag)
            relative = PurePosixPath(folders[kind] if kind else "", value)
            source = folder / relative
            outside = relative.is_absolute() or ".." in relative.parts or "\\" in str(relative)
            if outside or not source.resolve().is_relative_to(folder) or source.resolve() != source:
                message = f"'{relative}' leaves the model's folder or is a symbolic link."
                problems.append(Problem("model", message, "Put the file beside the model."))
            elif kind is None or not source.is_file():
                problems.append(Problem("model", f"<{element.tag}> '{relative}' is not a mesh or texture there."))
            else:
                files[str(relative)] = source
    size = sum(file.stat().st_size for file in files.values())
    if len(files) > _MAX_FILES or size > _MAX_BYTES:
        message = f"{len(files)} files of {size} bytes; at most {_MAX_FILES} files of {_MAX_BYTES} bytes together."
        problems.append(Problem("model", message, "Simplify the meshes."))
    if problems:
        raise RobotRefused(name, problems)
    return files


def _parse(name: str, model_xml: Path) -> ET.Element:
    """Parse the user's MJCF without entities, from a plain file of bounded size."""
    if model_xml.is_symlink() or not model_xml.is_file() or model_xml.stat().st_size > _MAX_XML_BYTES:
        raise RobotError(f"Robot '{name}': {model_xml} must be a plain MJCF file of at most {_MAX_XML_BYTES} bytes.")
    try:
        text = model_xml.read_text(encoding="utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError("document types and entities are not allowed")
        return ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:
        raise RobotError(f"Robot '{name}': {model_xml} cannot be read: {error}.") from error


def _drive_problems(model: mujoco.MjModel, recipe: RobotRecipe) -> list[Problem]:
    """Run the arm from home to seeded poses, and the gripper both ways."""
    at, state, problems = addresses(model, recipe), mujoco.MjData(model), []
    for position, yaw in sample_reach(recipe, _DRIVE_POSES, seed=0):
        where = f"({position[0]:.3f}, {position[1]:.3f}, {position[2]:.3f}) m, yaw {yaw:.2f} rad"
        joints = solve_ik(model, recipe, position, yaw)
        if joints is None:
            fix = "Shrink reach to what the arm can do, or check the tool site: z must point out of the gripper."
            problems.append(Problem("reach", f"no joint position points the tool down at {where}.", fix))
            continue
        _drive(model, state, recipe, joints, recipe.home_gripper)
        miss = float(np.linalg.norm(state.site_xpos[at.tool] - position))
        tool = state.site_xmat[at.tool].reshape(3, 3)
        turn = min(float(np.linalg.norm(_turn(_down(angle), tool))) for angle in (yaw, yaw + np.pi))
        if not (miss <= _DRIVE_METRES and turn <= _DRIVE_RADIANS):
            message = f"after {_DRIVE_SECONDS} s the tool is {1000 * miss:.1f} mm and {turn:.3f} rad from {where}."
            problems.append(Problem("drive", message, "Use stiff enough position servos and compensate gravity."))
    for opened, path in ((0.0, "gripper.closed_joints"), (1.0, "gripper.open_joints")):
        _drive(model, state, recipe, np.array(recipe.home), opened)
        travel = np.abs(recipe.fingers_at(1) - recipe.fingers_at(0))
        if not np.all(np.abs(state.qpos[at.fingers] - recipe.fingers_at(opened)) <= 0.05 * travel):
            message = f"the fingers go to {np.round(state.qpos[at.fingers], 4).tolist()}."
            problems.append(Problem(path, message, "Correct the values or the actuator's."))
    return problems


def _drive(model: mujoco.MjModel, state: mujoco.MjData, recipe: RobotRecipe, joints: Array, opened: float) -> None:
    """Start at home and let the servos bring the arm to `joints` [rad] and the gripper to `opened`."""
    at = addresses(model, recipe)
    mujoco.mj_resetData(model, state)
    set_home(model, state, recipe)
    state.ctrl[at.actuators], state.ctrl[at.gripper] = joints, recipe.gripper_ctrl(opened)
    mujoco.mj_step(model, state, round(_DRIVE_SECONDS / model.opt.timestep))
    mujoco.mj_kinematics(model, state)

"""Add an arm of one's own: copy its MJCF and files, compare it with its recipe, drive it, refuse it with reasons."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath

import mujoco
import numpy as np

from .errors import Problem, RobotError
from .kinematics import down, sample_reach, solve_ik, turn_between
from .robots import (
    NAME,
    Array,
    Robot,
    RobotRecipe,
    RobotRefused,
    addresses,
    is_robot,
    missing_names,
    read_recipe,
    roots,
    set_home,
)

_POSES, _SECONDS, _METRES, _RADIANS = 20, 3.0, 0.005, 0.035  # of the drive that an arm must pass
_MAX_XML_BYTES, _MAX_FILES, _MAX_BYTES = 5_000_000, 500, 200_000_000
_ASSET_TAGS = {"mesh": "meshdir", "hfield": "meshdir", "texture": "texturedir"}
_FORBIDDEN_TAGS = {"include", "attach", "model", "replicate", "composite", "flexcomp", "extension", "plugin"}


def add(name: str, model_xml: Path, recipe_json: Path, *, replace: bool = False) -> Robot:
    """Copy a user's MJCF, with the meshes and textures that it names, into the user's robots, if the arm proves itself.

    The model must compile, have every name in the recipe, and drive its tool point to 20 seeded poses inside the
    recipe's reach with its own position servos. A refusal is a `RobotRefused` with all reasons and leaves nothing behind.
    """
    if not re.fullmatch(NAME, name):
        raise RobotError(
            f"Robot name '{name}' must be 1 to 32 lower-case letters, digits or '_', and begin with a letter."
        )
    if is_robot(roots()[0] / name):
        raise RobotError(f"'{name}' is a shipped robot; choose another name.")
    final = roots()[1] / name
    if final.exists() and not replace:
        raise RobotError(f"Robot '{name}' exists at {final}; pass replace=True to replace it.")
    recipe = read_recipe(recipe_json, name)
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
    problems = missing_names(model, recipe, "")
    if problems:
        return problems
    at = addresses(model, recipe)
    for joint, value, least, most in zip(recipe.joints, recipe.home, at.low, at.high, strict=True):
        if not least <= value <= most:
            message = f"{value} rad is outside the range {least:.4f} … {most:.4f} of joint '{joint}'."
            problems.append(Problem(f"home.{joint}", message, "Choose a value inside."))
    return problems or _drive_problems(model, recipe)


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
    for position, yaw in sample_reach(recipe, _POSES, seed=0):
        where = f"({position[0]:.3f}, {position[1]:.3f}, {position[2]:.3f}) m, yaw {yaw:.2f} rad"
        joints = solve_ik(model, recipe, position, yaw)
        if joints is None:
            fix = "Shrink reach to what the arm can do, or check the tool site: z must point out of the gripper."
            problems.append(Problem("reach", f"no joint position points the tool down at {where}.", fix))
            continue
        _drive(model, state, recipe, joints, recipe.home_gripper)
        miss = float(np.linalg.norm(state.site_xpos[at.tool] - position))
        tool = state.site_xmat[at.tool].reshape(3, 3)
        turn = min(float(np.linalg.norm(turn_between(down(angle), tool))) for angle in (yaw, yaw + np.pi))
        if not (miss <= _METRES and turn <= _RADIANS):
            message = f"after {_SECONDS} s the tool is {1000 * miss:.1f} mm and {turn:.3f} rad from {where}."
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
    mujoco.mj_step(model, state, round(_SECONDS / model.opt.timestep))
    mujoco.mj_kinematics(model, state)

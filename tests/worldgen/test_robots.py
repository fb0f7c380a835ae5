"""Robots: the shipped arms against the published table, grasping in simulation, and adding an arm of one's own."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from worldgen import data, kinematics, robot_import, robots
from worldgen.errors import RobotError

SHIPPED = ["widowx", "panda"]
Array = robots.Array

# (offset in the parent's frame [m], fixed turn about x [rad], joint axis), from the base to the last arm joint.
WIDOWX_CHAIN = [
    ((0, 0, 0.072), 0, (0, 0, 1)),
    ((0, 0, 0.03865), 0, (0, 1, 0)),
    ((0.04975, 0, 0.25), 0, (0, 1, 0)),
    ((0.175, 0, 0), 0, (1, 0, 0)),
    ((0.075, 0, 0), 0, (0, 1, 0)),
    ((0.065, 0, 0), 0, (1, 0, 0)),
]
Q = np.pi / 2
PANDA_CHAIN = [
    ((0, 0, 0.333), 0, (0, 0, 1)),
    ((0, 0, 0), -Q, (0, 0, 1)),
    ((0, -0.316, 0), Q, (0, 0, 1)),
    ((0.0825, 0, 0), Q, (0, 0, 1)),
    ((-0.0825, 0.384, 0), -Q, (0, 0, 1)),
    ((0, 0, 0), Q, (0, 0, 1)),
    ((0.088, 0, 0), Q, (0, 0, 1)),
]
MASSES = {
    "widowx": {
        "base": 0.539,
        "shoulder": 0.481,
        "upper_arm": 0.431,
        "upper_forearm": 0.235,
        "lower_forearm": 0.221,
        "wrist": 0.085,
        "gripper": 0.110,
        "left_finger": 0.016,
        "right_finger": 0.016,
    },
    "panda": {
        "link1": 4.97,
        "link2": 0.647,
        "link3": 3.229,
        "link4": 3.588,
        "link5": 1.226,
        "link6": 1.667,
        "link7": 0.736,
        "hand": 0.73,
        "left_finger": 0.015,
        "right_finger": 0.015,
    },
}
INERTIAS = {  # principal, ascending [kg m²]
    "base": (0.00069, 0.00212, 0.00253),
    "upper_arm": (0.0004, 0.00346, 0.00364),
    "upper_forearm": (0.00004, 0.00089, 0.00089),
    "lower_forearm": (0.00006, 0.00017, 0.00018),
}


@pytest.fixture(params=SHIPPED)
def robot(request: pytest.FixtureRequest) -> robots.Robot:
    return robots.load(request.param)


def rotation(axis: Sequence[float], angle: float) -> Array:
    """Homogeneous rotation by Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    out = np.eye(4)
    out[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return out


def shift(offset: Sequence[float]) -> Array:
    out = np.eye(4)
    out[:3, 3] = offset
    return out


def expected_tool(name: str, joints: Array) -> Array:
    """base_from_tool from the table alone."""
    pose = np.eye(4)
    for (offset, turn, axis), angle in zip(WIDOWX_CHAIN if name == "widowx" else PANDA_CHAIN, joints, strict=True):
        pose = pose @ shift(offset) @ rotation((1, 0, 0), turn) @ rotation(axis, float(angle))
    if name == "widowx":
        return pose @ shift((0.108, 0, 0)) @ rotation((0, 1, 0), Q)
    return pose @ shift((0, 0, 0.107)) @ rotation((0, 0, 1), -Q / 2) @ shift((0, 0, 0.1034))


def scene(robot: robots.Robot) -> mujoco.MjSpec:
    """Build a table with a 4 cm, 60 g box in the middle of the workspace, and the arm under "robot/"."""
    spec = mujoco.MjSpec()
    spec.option.timestep, spec.option.integrator = robots.TIMESTEP, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10
    spec.worldbody.add_geom(
        name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1], friction=[0.4, 0.005, 1e-4]
    )
    area = robot.recipe.workspace
    box = spec.worldbody.add_body(name="box", pos=[(area.x_min + area.x_max) / 2, 0.1, 0.02])
    box.add_freejoint()
    box.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.02, 0.02, 0.02],
        mass=0.06,
        condim=4,
        friction=[0.4, 0.005, 1e-4],
        solref=[0.006, 1],
        solimp=[0.95, 0.99, 0.001, 0.5, 2],
    )
    spec.attach(robot.spec(), prefix="robot/", frame=spec.worldbody.add_frame())
    return spec


def pad_gap(model: mujoco.MjModel, state: mujoco.MjData) -> float:
    """Distance between the pads' facing sides along the closing axis [m]."""
    left, right = (state.geom(name).xpos for name in ("left_pad", "right_pad"))
    closing = state.site("tool").xmat.reshape(3, 3)[:, 1]
    return float(abs((left - right) @ closing) - 2 * model.geom("left_pad").size[1])


def test_shipped_robots_are_listed() -> None:
    assert set(SHIPPED) <= set(robots.names())


def test_unknown_robot_lists_the_names() -> None:
    with pytest.raises(RobotError, match=r"Did you mean 'panda'.*widowx"):
        robots.load("pandas")


def test_model_stands_alone_and_attached(robot: robots.Robot, tmp_path: Path) -> None:
    alone = robot.spec().compile()
    attached = scene(robot)
    compiled = attached.compile()
    (tmp_path / "scene.xml").write_text(attached.to_xml(), encoding="utf-8")
    reloaded = mujoco.MjModel.from_xml_path(str(tmp_path / "scene.xml"))
    assert reloaded.nq == compiled.nq == alone.nq + 7
    assert reloaded.nexclude == alone.nexclude > 0
    assert np.allclose(
        robots.addresses(reloaded, robot.recipe, "robot/").qpos, robots.addresses(compiled, robot.recipe, "robot/").qpos
    )
    for name in robot.recipe.cameras:
        assert mujoco.mj_name2id(reloaded, mujoco.mjtObj.mjOBJ_CAMERA, f"robot/{name}") >= 0


def test_model_keeps_the_contact_rules(robot: robots.Robot) -> None:
    model = robot.spec().compile()
    visual, collision = model.geom_group == 2, model.geom_group == 3
    assert np.all(visual | collision)
    assert 25 <= visual.sum() <= 70
    assert collision.sum() <= 20
    assert not np.any(model.geom_contype[visual] | model.geom_conaffinity[visual])
    assert np.all(model.geom_margin == 0)
    assert np.all(model.dof_armature > 0)
    assert np.all(model.dof_damping > 0)
    assert np.allclose(model.body_gravcomp[1:], 1)
    for name in ("left_pad", "right_pad"):
        assert model.geom(name).priority == 1
        assert model.geom(name).condim >= 4


def test_masses_are_those_of_the_table(robot: robots.Robot) -> None:
    model = robot.spec().compile()
    for name, mass in MASSES[robot.recipe.name].items():
        assert model.body(name).mass == pytest.approx(mass), name


def test_inertias_are_those_of_the_table() -> None:
    model = robots.load("widowx").spec().compile()
    for name, inertia in INERTIAS.items():
        assert np.sort(model.body(name).inertia) == pytest.approx(inertia), name


def test_forward_kinematics_equal_the_table(robot: robots.Robot) -> None:
    model, rng = robot.spec().compile(), np.random.default_rng(0)
    state, at = mujoco.MjData(model), robots.addresses(model, robot.recipe)
    span = np.array([model.joint(name).range for name in robot.recipe.joints])
    for _ in range(20):
        state.qpos[at.qpos] = rng.uniform(span[:, 0], span[:, 1])
        mujoco.mj_kinematics(model, state)
        expected = expected_tool(robot.recipe.name, state.qpos[at.qpos])
        assert np.allclose(state.site("tool").xpos, expected[:3, 3], atol=1e-6)
        assert np.allclose(state.site("tool").xmat.reshape(3, 3), expected[:3, :3], atol=1e-6)


def test_gripper_opens_to_its_width_and_shuts(robot: robots.Robot) -> None:
    model = robot.spec().compile()
    state, at = mujoco.MjData(model), robots.addresses(model, robot.recipe)
    robots.set_home(model, state, robot.recipe)
    for opened, gap in ((0.0, 0.0), (1.0, robot.recipe.gripper.opening), (0.5, robot.recipe.gripper.opening / 2)):
        state.ctrl[at.gripper] = robot.recipe.gripper_ctrl(opened)
        mujoco.mj_step(model, state, 300)
        mujoco.mj_kinematics(model, state)
        assert pad_gap(model, state) == pytest.approx(gap, abs=1e-3)
        middle = (state.geom("left_pad").xpos + state.geom("right_pad").xpos) / 2 - state.site("tool").xpos
        assert abs(middle @ state.site("tool").xmat.reshape(3, 3)[:, 1]) < 5e-4
        assert state.qpos[at.fingers] == pytest.approx(robot.recipe.fingers_at(opened), abs=5e-4)


def test_home_is_stable_and_points_down(robot: robots.Robot) -> None:
    model = scene(robot).compile()
    state = mujoco.MjData(model)
    robots.set_home(model, state, robot.recipe, "robot/")
    mujoco.mj_kinematics(model, state)
    tool = state.site("robot/tool")
    start = tool.xpos.copy()
    assert tool.xmat[8] < -np.cos(np.radians(5))
    for _ in range(20):
        mujoco.mj_step(model, state, 50)
        assert np.linalg.norm(tool.xpos - start) < 1e-3
        assert np.all(state.contact.geom[: state.ncon] <= 1)  # only the box on the table


def test_reach_is_solvable_and_free_of_self_collision(robot: robots.Robot) -> None:
    recipe = robot.recipe
    model = robot.spec().compile()
    state, at, solved = mujoco.MjData(model), robots.addresses(model, recipe), 0
    poses = kinematics.sample_reach(recipe, 60, seed=1)
    for position, yaw in poses:
        joints = kinematics.solve_ik(model, recipe, position, yaw)
        assert robots.reachable(recipe, position[:2])
        if joints is None:
            continue
        state.qpos[at.qpos], state.qpos[at.fingers] = joints, recipe.fingers_at(1)
        mujoco.mj_forward(model, state)
        tool = state.site_xmat[at.tool].reshape(3, 3)
        closing = abs(float(tool[:, 1] @ [-np.sin(yaw), np.cos(yaw), 0]))
        assert state.ncon == 0
        assert np.linalg.norm(state.site_xpos[at.tool] - position) < 1e-3
        assert min(closing, -tool[2, 2]) > np.cos(np.radians(1))
        solved += 1
    assert solved >= 0.98 * len(poses)


def test_reachable_is_the_ring_sector(robot: robots.Robot) -> None:
    reach = robot.recipe.reach
    middle = (reach.inner + reach.outer) / 2
    assert robots.reachable(robot.recipe, (middle, 0))
    assert not robots.reachable(robot.recipe, (-middle, 0))
    assert not robots.reachable(robot.recipe, (reach.inner - 0.01, 0))
    assert not robots.reachable(robot.recipe, (0, reach.outer + 0.01))


def test_out_of_reach_has_no_solution(robot: robots.Robot) -> None:
    assert kinematics.solve_ik(robot.spec().compile(), robot.recipe, (1.5, 0, 0.1), 0.0) is None


def test_gripper_lifts_a_box(robot: robots.Robot) -> None:
    recipe = robot.recipe
    model = scene(robot).compile()
    state, at = mujoco.MjData(model), robots.addresses(model, recipe, "robot/")
    robots.set_home(model, state, recipe, "robot/")
    box = state.body("box").xpos
    mujoco.mj_forward(model, state)
    grasp = box.copy()

    def move(height: float, opened: float, seconds: float) -> None:
        joints = kinematics.solve_ik(
            model, recipe, grasp + np.array([0, 0, height]), 0.3, "robot/", start=state.qpos[at.qpos]
        )
        assert joints is not None
        begin, steps = state.ctrl[at.actuators].copy(), round(seconds / model.opt.timestep)
        state.ctrl[at.gripper] = recipe.gripper_ctrl(opened)
        for step in range(steps):
            state.ctrl[at.actuators] = begin + (joints - begin) * min(1.0, 2 * (step + 1) / steps)
            mujoco.mj_step(model, state)

    yaw = np.array([np.cos(0.15), 0, 0, np.sin(0.15)])
    state.qpos[3:7] = yaw
    move(0.1, 1.0, 2.0)
    move(0.0, 1.0, 2.0)
    move(0.0, 0.0, 1.0)
    move(0.1, 0.0, 2.0)
    lifted = float(box[2])
    mujoco.mj_step(model, state, 200)
    assert lifted - grasp[2] > 0.09
    assert abs(box[2] - lifted) < 2e-3


# Adding an arm.


def toy_xml(mesh: str = "tip.stl") -> str:
    """A 6-joint arm with thin links: 0.30 m upper arm, 0.30 m forearm, tool 0.15 m past the wrist."""
    arm = ""
    links = [
        ("0 0 0.2", "0 0 1"),
        ("0 0 0", "0 1 0"),
        ("0 0 0.3", "0 1 0"),
        ("0.2 0 0", "1 0 0"),
        ("0.1 0 0", "0 1 0"),
        ("0.03 0 0", "1 0 0"),
    ]
    for i, (offset, axis) in enumerate(links):
        arm += f"""<body name="l{i}" pos="{offset}" gravcomp="1">
          <inertial pos="0 0 0" mass="0.3" diaginertia="1e-3 1e-3 1e-3"/>
          <joint name="j{i}" axis="{axis}" range="-3 3" armature="0.1" damping="1"/>"""
    fingers = "".join(
        f"""<body name="f{side}" pos="0.08 0 0" gravcomp="1">
          <inertial pos="0 0 0" mass="0.02" diaginertia="1e-5 1e-5 1e-5"/>
          <joint name="f{side}" type="slide" axis="0 {side}1 0" range="0 0.03" armature="0.05" damping="30"/>
          <geom type="mesh" mesh="tip" mass="0" contype="0" conaffinity="0"/></body>"""
        for side in ("", "-")
    )
    servos = "".join(f'<position name="a{i}" joint="j{i}" kp="600" kv="60"/>' for i in range(6))
    return f"""<mujoco><compiler angle="radian" meshdir="meshes"/>
      <option timestep="0.001" gravity="0 0 -1"/><asset><mesh name="tip" file="{mesh}"/></asset>
      <worldbody><body name="base">{arm}<site name="tcp" pos="0.12 0 0" quat="0.70710678 0 0.70710678 0"/>{fingers}
      {"</body>" * 6}</body></worldbody>
      <equality><joint joint1="f" joint2="f-"/></equality>
      <actuator>{servos}<position name="grip" joint="f" kp="2000" ctrlrange="0 0.03"/></actuator></mujoco>"""


def toy_recipe(**changes: Any) -> dict[str, Any]:
    recipe = {
        "name": "toy",
        "title": "Toy arm",
        "joints": [f"j{i}" for i in range(6)],
        "gripper": {
            "actuator": "grip",
            "open_ctrl": 0.03,
            "closed_ctrl": 0,
            "opening": 0.06,
            "joints": ["f", "f-"],
            "open_joints": [0.03, 0.03],
            "closed_joints": [0, 0],
        },
        "tool": "tcp",
        "home": [0, -0.5, 0.7, 0, 1.37, 0],
        "reach": {"inner": 0.2, "outer": 0.4, "half_angle": 1.2},
        "workspace": {"x_min": 0.22, "x_max": 0.35, "y_min": -0.15, "y_max": 0.15},
        "cameras": {"wrist": {"body": "l5", "position": [0, 0, 0.08], "quaternion": [1, 0, 0, 0], "fovy": 60}},
        "control": {"max_speed": [2] * 6},
    }
    return recipe | changes


class Toy:
    """A toy arm's files, and the user's empty robot folder."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.xml, self.json = folder / "source" / "toy.xml", folder / "source" / "toy.json"
        (folder / "source" / "meshes").mkdir(parents=True)
        corners = np.array([[0, 0, 0], [0.04, 0, 0], [0, 0.01, 0], [0, 0, 0.01]])
        faces = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
        facets = b"".join(
            np.r_[0, 0, 0, corners[list(face)].ravel()].astype("<f4").tobytes() + bytes(2) for face in faces
        )
        mesh = bytes(80) + np.uint32(len(faces)).tobytes() + facets
        (folder / "source" / "meshes" / "tip.stl").write_bytes(mesh)
        (folder / "outside.stl").write_bytes(mesh)
        self.write()

    def write(self, xml: str | None = None, **changes: Any) -> None:
        self.xml.write_text(xml or toy_xml(), encoding="utf-8")
        self.json.write_text(json.dumps(toy_recipe(**changes)), encoding="utf-8")

    def left_over(self) -> list[Path]:
        return [path for path in self.home.rglob("*") if path != self.home / "robots"]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setenv("WORLDGEN_HOME", str(tmp_path / "home"))
    return Toy(tmp_path)


def test_add_copies_the_arm_and_its_meshes(toy: Toy) -> None:
    added = robot_import.add("toy_arm", toy.xml, toy.json)
    assert robots.load("toy_arm") == added
    assert "toy_arm" in robots.names()
    files = {path.relative_to(added.folder).as_posix() for path in added.folder.rglob("*") if path.is_file()}
    assert files == {"robot.xml", "robot.json", "meshes/tip.stl"}
    with warnings.catch_warnings(action="error"):  # as MuJoCo does where options differ from the scene's
        attached = scene(added).compile()
    assert attached.nmesh == 1
    assert attached.opt.gravity[2] == pytest.approx(-9.81)
    assert [path.name for path in added.folder.parent.iterdir()] == ["toy_arm"]


def test_add_overwrites_only_when_asked(toy: Toy) -> None:
    robot_import.add("toy_arm", toy.xml, toy.json)
    toy.write(title="Second toy")
    with pytest.raises(RobotError, match="replace=True"):
        robot_import.add("toy_arm", toy.xml, toy.json)
    assert robot_import.add("toy_arm", toy.xml, toy.json, replace=True).recipe.title == "Second toy"
    assert robots.names().count("toy_arm") == 1


@pytest.mark.parametrize("name", ["panda", "Bad Name", "../up", ""])
def test_add_refuses_names(toy: Toy, name: str) -> None:
    with pytest.raises(RobotError):
        robot_import.add(name, toy.xml, toy.json)
    assert not toy.left_over()


def test_add_refuses_a_wrong_joint_name(toy: Toy) -> None:
    toy.write(joints=["j0", "j1", "elbow", "j3", "j4", "j5"], tool="nib")
    with pytest.raises(robots.RobotRefused) as caught:
        robot_import.add("toy_arm", toy.xml, toy.json)
    assert [problem.path for problem in caught.value.problems] == ["joints", "tool"]
    assert "elbow" in str(caught.value)
    assert not toy.left_over()


def test_add_refuses_a_reach_beyond_the_arm(toy: Toy) -> None:
    toy.write(reach={"inner": 0.2, "outer": 0.9, "half_angle": 1.2})
    with pytest.raises(robots.RobotRefused) as caught:
        robot_import.add("toy_arm", toy.xml, toy.json)
    assert {problem.path for problem in caught.value.problems} == {"reach"}
    assert len(caught.value.problems) > 3
    assert not toy.left_over()


def test_add_refuses_weak_servos(toy: Toy) -> None:
    toy.write(toy_xml().replace('kp="600"', 'kp="6"'))
    with pytest.raises(robots.RobotRefused) as caught:
        robot_import.add("toy_arm", toy.xml, toy.json)
    assert {problem.path for problem in caught.value.problems} == {"drive"}
    assert not toy.left_over()


@pytest.mark.parametrize("mesh", ["../../outside.stl", "/etc/hostname", "absent.stl"])
def test_add_refuses_files_outside_the_folder(toy: Toy, mesh: str) -> None:
    toy.write(toy_xml(mesh))
    with pytest.raises(robots.RobotRefused, match=mesh.split("/")[-1]):
        robot_import.add("toy_arm", toy.xml, toy.json)
    assert not toy.left_over()


def test_add_refuses_symbolic_links(toy: Toy) -> None:
    mesh = toy.xml.parent / "meshes" / "tip.stl"
    mesh.unlink()
    mesh.symlink_to(toy.xml.parent.parent / "outside.stl")
    with pytest.raises(robots.RobotRefused, match="symbolic link"):
        robot_import.add("toy_arm", toy.xml, toy.json)
    assert not toy.left_over()


@pytest.mark.parametrize(
    "extra", ['<include file="x.xml"/>', "<extension/>", '<keyframe><key qpos="file"/></keyframe><a file="x"/>']
)
def test_add_refuses_what_reaches_further_files(toy: Toy, extra: str) -> None:
    toy.write(toy_xml().replace("<worldbody>", extra + "<worldbody>"))
    with pytest.raises(RobotError):
        robot_import.add("toy_arm", toy.xml, toy.json)
    assert not toy.left_over()


def test_add_refuses_entities(toy: Toy) -> None:
    toy.write('<!DOCTYPE m [<!ENTITY a "b">]>' + toy_xml())
    with pytest.raises(RobotError, match="entities"):
        robot_import.add("toy_arm", toy.xml, toy.json)


def test_add_names_each_fault_of_a_recipe(toy: Toy) -> None:
    toy.write(home=[0, 0], spare=1)
    with pytest.raises(robots.RobotRefused) as caught:
        robot_import.add("toy_arm", toy.xml, toy.json)
    assert "spare" in {problem.path for problem in caught.value.problems}
    toy.write(home=[0, 0], workspace={"x_min": 0.1, "x_max": 0.9, "y_min": -0.15, "y_max": 0.15})
    with pytest.raises(robots.RobotRefused, match=r"home has 2 values, needs 6.*workspace leaves"):
        robot_import.add("toy_arm", toy.xml, toy.json)


def test_recipes_refuse_infinity() -> None:
    values = data.read_json("assets", "robots", "panda", "robot.json")
    with pytest.raises(ValueError, match="finite"):
        robots.RobotRecipe.model_validate(values | {"home": [float("inf")] + [0] * 6})


@pytest.mark.parametrize("size", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("name", ["widowx", "panda"])
def test_servos_come_to_rest_after_a_step(name: str, size: float) -> None:
    """Saturated, over-damped servos chattered for ever: what damping takes off in one step must stay below the speed."""
    robot = robots.load(name)
    model = robot.spec().compile()
    state, at = mujoco.MjData(model), robots.addresses(model, robot.recipe)
    robots.set_home(model, state, robot.recipe)
    target = np.clip(np.array(robot.recipe.home) + size, at.low, at.high)
    state.ctrl[at.actuators] = target
    mujoco.mj_step(model, state, round(1.5 / model.opt.timestep))
    speeds = []
    for _ in range(100):
        mujoco.mj_step(model, state)
        speeds.append(np.abs(state.qvel[at.dofs]).max())
    assert max(speeds) < 0.01
    assert np.abs(state.qpos[at.qpos] - target).max() < 0.005

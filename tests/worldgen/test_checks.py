"""Each gate has a scene that fails it, and an ordinary one that passes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import mujoco
import pytest

from worldgen import checks
from worldgen.checks import GATES, LIMITS, Subject
from worldgen.errors import SceneError
from worldgen.goals import GoalCheck
from worldgen.library import Check, Scene, SceneLibrary

SceneOf = Callable[[str], Scene]


def put(
    scene: Scene, model: mujoco.MjModel, name: str, *, by: tuple[float, float, float] | None = None, at: object = None
) -> None:
    """Move an object in the scene's home state, by or to a position [m]."""
    address = model.jnt_qposadr[model.joint(name).id]
    place = model.key_qpos[0, address : address + 3]
    place[:] = place + by if by is not None else at


def names(scene: Scene) -> tuple[str, str]:
    """Return the target of the first goal and what it goes to."""
    goal = scene.record.spec.task.goals[0]
    return goal.target, goal.support if goal.kind == "on" else goal.container  # type: ignore[union-attr]


def failed(scene: Scene, model: mujoco.MjModel, *, clock: bool = True) -> dict[str, Check]:
    return {check.name: check for check in checks.examine(scene, model, clock=clock) if not check.ok}


def home(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    return data


def test_ordinary_scenes_pass_every_gate(library: SceneLibrary, panda_library: SceneLibrary) -> None:
    for scene in (*library.scenes(), *panda_library.scenes()):
        found = checks.examine(scene)
        assert checks.problems(found) == []
        assert {check.name for check in found} >= {
            "penetration", "drift", "tilt", "path", "goal open", "goal reachable", "graspable", "visible", "occlusion", "speed"
        }  # fmt: skip
        assert [check.name for check in found] == [check.name for check in scene.record.checks]


def test_an_examination_repeats_to_the_last_digit(library: SceneLibrary) -> None:
    scene = next(library.scenes())
    found = [checks.examine(scene, clock=False) for _ in range(2)]
    assert found == [scene.record.checks] * 2


def test_floating(scene_of: SceneOf) -> None:
    scene = scene_of("pick-and-place")
    model, (target, _) = scene.model(), names(scene)
    put(scene, model, target, by=(0, 0, 0.05))
    found = failed(scene, model)
    assert found["drift"].value == pytest.approx(50, abs=8)
    assert f"'{target}' drifts by" in found["drift"].detail


def test_overlapping(scene_of: SceneOf) -> None:
    scene = scene_of("stack")
    model, (target, support) = scene.model(), names(scene)
    address = model.jnt_qposadr[model.joint(support).id]
    put(scene, model, target, at=model.key_qpos[0, address : address + 3] + (0.01, 0, 0))
    found = failed(scene, model)
    assert f"'{target}'" in found["penetration"].detail
    assert f"'{support}'" in found["penetration"].detail
    assert (found["penetration"].value or 0) > LIMITS["penetration"][0]


def test_a_slight_overlap_is_a_warning(scene_of: SceneOf) -> None:
    scene = scene_of("stack")
    model, (target, _) = scene.model(), names(scene)
    put(scene, model, target, by=(0, 0, -0.003))
    (check,) = [check for check in checks.examine(scene, model) if check.name == "penetration"]
    assert (check.ok, check.warning) == (True, True)
    assert check.value == pytest.approx(3, abs=0.5)


def test_under_the_arm(scene_of: SceneOf) -> None:
    scene = scene_of("pick-and-place")
    model, (target, _) = scene.model(), names(scene)
    fingers = [index for index in range(model.nbody) if "finger" in model.body(index).name]
    put(scene, model, target, at=home(model).xpos[fingers].mean(axis=0) - (0, 0, 0.02))
    assert "the arm touches an object at the start" in failed(scene, model)["penetration"].detail


def test_done_at_the_start(scene_of: SceneOf) -> None:
    scene = scene_of("stack")
    model, (target, support) = scene.model(), names(scene)
    top = home(model).site(f"{support}/top").xpos
    put(scene, model, target, at=top - (0, 0, 0.0002))
    assert "the goal holds at the start" in failed(scene, model)["goal open"].detail


def test_unreachable_goal(scene_of: SceneOf) -> None:
    scene = scene_of("stack")
    model, (_, support) = scene.model(), names(scene)
    model.site(f"{support}/top").pos[:] += (0.2, 0, 0)
    assert "the goal does not hold" in failed(scene, model)["goal reachable"].detail


def test_unselective_goal(scene_of: SceneOf, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = next(
        (scene for scene in scene_of("stack").root and [scene_of("stack"), scene_of("pick-and-place")]
         if len([item for item in scene.record.spec.objects if item.role == "distractor"])), None
    )  # fmt: skip
    if scene is None:
        pytest.skip("no scene with clutter")
    monkeypatch.setattr(GoalCheck, "_on", lambda self, data: (0.5, data.time > 0))
    monkeypatch.setattr(GoalCheck, "_contacts_fit", lambda self, data: True)
    assert "counts as done" in failed(scene, scene.model())["goal selective"].detail


def test_out_of_reach(scene_of: SceneOf) -> None:
    scene = scene_of("pick-and-place")
    target, _ = names(scene)
    poses = dict(scene.record.poses)
    poses[target] = poses[target].model_copy(update={"pos": (1.5, 0.0, 0.0)})
    far = replace(scene, record=scene.record.model_copy(update={"poses": poses}))
    assert f"'{target}' is at 1.50, 0.00, " in failed(far, scene.model())["graspable"].detail


def test_too_wide_for_the_gripper(scene_of: SceneOf) -> None:
    scene = scene_of("stack")
    target, _ = names(scene)
    file = scene.root / "assets" / scene.record.assets[target] / "asset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"size": [0.5, 0.5, 0.5]}))
    check = failed(scene, scene.model())["graspable"]
    assert f"'{target}' needs" in check.detail
    assert (check.value or 0) > 1


def test_too_small_to_see(scene_of: SceneOf) -> None:
    scene = scene_of("stack")
    model = scene.model()
    model.cam_pos[model.camera("policy").id] *= 6
    assert (failed(scene, model)["visible"].value or 0) < LIMITS["visible"][0]


def test_hidden_behind_a_box(scene_of: SceneOf) -> None:
    scene = scene_of("stack")
    model, (target, _) = scene.model(), names(scene)
    data = home(model)
    eye, there = data.camera("policy").xpos, data.body(target).xpos
    screen = model.geom("table/leg0").id  # is drawn and touches nothing
    between = there + 0.5 * (eye - there)
    model.geom_pos[screen] = between - data.xpos[model.geom_bodyid[screen]]
    model.geom_size[screen] = (0.05, 0.05, 0.05)
    found = failed(scene, model)
    assert found["occlusion"].value == pytest.approx(1, abs=0.1)
    assert "% hidden" in found["occlusion"].detail


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make every simulation unstable, as MuJoCo tells it; return the list of steps that were asked for."""
    asked: list[int] = []

    def unstable(model: mujoco.MjModel, data: mujoco.MjData, nstep: int = 1) -> None:
        asked.append(nstep)
        data.warning[mujoco.mjtWarning.mjWARN_BADQACC].number += 1

    monkeypatch.setattr(mujoco, "mj_step", unstable)
    return asked


@pytest.mark.usefixtures("steps")
def test_unstable(scene_of: SceneOf) -> None:
    scene = scene_of("stack")
    assert failed(scene, scene.model())["drift"].detail == "the simulation is unstable."


def test_what_is_unstable_is_not_simulated_on(scene_of: SceneOf, steps: list[int]) -> None:
    scene = scene_of("stack")
    failed(scene, scene.model())
    assert sum(steps) <= 20


def test_slow(scene_of: SceneOf, monkeypatch: pytest.MonkeyPatch) -> None:
    def clock() -> Iterator[float]:
        while True:
            yield from (0.0, 1.0)

    ticks = clock()
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks))
    scene = scene_of("stack")
    check = failed(scene, scene.model())["speed"]
    assert "speed" not in failed(scene, scene.model(), clock=False)  # a build must not depend on a busy machine
    assert "runs at 0 x real time" in check.detail


def test_a_record_that_does_not_fit(scene_of: SceneOf) -> None:
    with pytest.raises(SceneError, match=r"does not fit its record|has no body"):
        checks.examine(scene_of("stack"), scene_of("open").model())


def test_problems_are_sentences() -> None:
    found = [
        Check(name="drift", ok=False, value=7.5, limit=5, unit="mm"),
        Check(name="visible", ok=False, detail="'mug' covers 3 px."),
        Check(name="speed", ok=True),
    ]
    assert [str(problem) for problem in checks.problems(found)] == [
        "drift: 7.5 mm, limit 5 Fix: Use objects that stand by themselves.",
        "visible: 'mug' covers 3 px. Fix: Choose larger objects, or fewer in front of them.",
    ]


def test_every_gate_takes_a_subject_and_says_what_it_does() -> None:
    assert all(gate.__doc__ and gate.__annotations__["subject"] == Subject.__name__ for gate in GATES)

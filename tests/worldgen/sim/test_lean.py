"""Merging what is drawn: the picture stays, physics stays bit for bit, and there is less to draw."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from worldgen.assets import VISUAL_GROUP
from worldgen.camera import Camera
from worldgen.library import SceneLibrary
from worldgen.sim.lean import merge_drawn

SHAPES = """
<mujoco>
  <asset>
    <material name="red" rgba=".8 .1 .1 1"/>
    <texture name="checks" type="2d" builtin="checker" rgb1="1 1 1" rgb2="0 0 0" width="16" height="16"/>
    <material name="checked" texture="checks"/>
  </asset>
  <visual><headlight ambient=".3 .3 .3" diffuse=".5 .5 .5" specular="0 0 0"/><quality offsamples="0"/></visual>
  <worldbody>
    <camera name="policy" pos="0 -.5 .4" xyaxes="1 0 0 0 .6 .8"/>
    <body name="thing">
      <freejoint/>
      <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
      <geom type="box" size=".05 .02 .02" group="2" contype="0" conaffinity="0" mass="0" rgba=".1 .7 .2 1" quat=".9 .1 .2 .3"/>
      <geom type="cylinder" size=".03 .04" pos=".1 0 0" group="2" contype="0" conaffinity="0" mass="0" material="red"/>
      <geom type="capsule" size=".02 .04" pos="-.1 0 0" quat=".7 .7 0 0" group="2" contype="0" conaffinity="0" mass="0" rgba=".2 .2 .8 1"/>
      <geom type="sphere" size=".03" pos="0 0 .08" group="2" contype="0" conaffinity="0" mass="0" rgba=".9 .9 .1 1"/>
      <geom type="ellipsoid" size=".02 .03 .04" pos="0 .1 0" group="2" contype="0" conaffinity="0" mass="0" material="red"/>
      {extra}
    </body>
  </worldbody>
</mujoco>
"""
KEPT = {
    "touchable": '<geom name="kept" type="box" size=".02 .02 .02" pos="0 0 -.1" group="2" mass="0"/>',
    "textured": '<geom name="kept" type="box" size=".02 .02 .02" group="2" contype="0" conaffinity="0" mass="0" material="checked"/>',
    "see-through": '<geom name="kept" type="box" size=".02 .02 .02" group="2" contype="0" conaffinity="0" mass="0" rgba="1 0 0 .5"/>',
    "hidden": '<geom name="kept" type="box" size=".02 .02 .02" group="3" contype="0" conaffinity="0" mass="0"/>',
    "heavy": '<geom name="kept" type="box" size=".02 .02 .02" group="2" contype="0" conaffinity="0" mass="1"/>',
}


def picture(model: mujoco.MjModel, size: int = 96) -> np.ndarray:
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    with Camera(model, (size, size)) as lens:
        return lens.picture(data, "policy", size, size).astype(int)


def pair(text: str) -> tuple[mujoco.MjModel, mujoco.MjModel]:
    spec = mujoco.MjSpec.from_string(text)
    merge_drawn(spec)
    return mujoco.MjModel.from_xml_string(text), spec.compile()


def test_one_mesh_takes_the_place_of_five_shapes() -> None:
    before, after = pair(SHAPES.format(extra=""))
    assert (before.ngeom, after.ngeom) == (5, 1)
    difference = np.abs(picture(before) - picture(after)).max(axis=-1)
    assert picture(before).std() > 20
    assert (difference > 24).mean() < 0.03  # outlines of round shapes and highlights


def test_a_wrong_colour_would_be_seen() -> None:
    before, after = pair(SHAPES.format(extra=""))
    other, _ = pair(SHAPES.format(extra="").replace(".1 .7 .2 1", ".7 .1 .2 1"))
    changed = [(np.abs(picture(model) - picture(after)).max(axis=-1) > 24).mean() for model in (before, other)]
    assert changed[1] > changed[0] + 0.01


@pytest.mark.parametrize("extra", KEPT.values(), ids=KEPT)
def test_what_is_more_than_a_plain_colour_is_left_alone(extra: str) -> None:
    _, after = pair(SHAPES.format(extra=extra))
    assert after.geom("kept").id >= 0
    assert after.ngeom == 2


@pytest.mark.parametrize("arm", ["widowx", "panda"])
def test_a_scene_is_drawn_alike_with_fewer_calls(arm: str, library: SceneLibrary, panda_library: SceneLibrary) -> None:
    scene = next(iter((library if arm == "widowx" else panda_library).scenes()))
    before, spec = scene.model(), scene.source()
    merge_drawn(spec)
    after = spec.compile()
    drawn = [int((model.geom_group <= VISUAL_GROUP).sum()) for model in (before, after)]
    assert drawn[1] < 0.5 * drawn[0]
    difference = np.abs(picture(before, 64) - picture(after, 64))
    assert difference.mean() < 0.5
    assert (difference.max(axis=-1) > 24).mean() < 0.01


def test_physics_is_the_same_bit_for_bit(library: SceneLibrary) -> None:
    for scene in library.scenes():
        spec = scene.source()
        merge_drawn(spec)
        ends = []
        for model in (scene.model(), spec.compile()):
            data = mujoco.MjData(model)
            mujoco.mj_resetDataKeyframe(model, data, 0)
            data.ctrl[:3] += 0.2
            mujoco.mj_step(model, data, 200)
            ends.append(data.qpos.copy())
        assert_array_equal(*ends)

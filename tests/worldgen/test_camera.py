"""The camera: one context for many models, exact geom masks, clear errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from worldgen.camera import MAX_HEIGHT, MAX_WIDTH, Camera
from worldgen.errors import RenderError

XML = """<mujoco><visual><quality offsamples="4"/></visual><worldbody>
  <light pos="0 0 3" dir="0 0 -1"/>
  <camera name="policy" pos="0 0 1" fovy="45"/>
  <geom name="floor" type="plane" size="2 2 .1" rgba=".5 .5 .5 1"/>
  <geom name="box" type="box" size=".1 .1 .1" pos=".1 0 .1" rgba="{colour} 1"/>
  <geom name="lid" type="box" size=".1 .1 .01" pos=".1 0 .3" rgba="0 1 0 1"/>
  <geom name="hidden" type="sphere" size=".3" pos="-.2 0 .3" group="3"/>
</worldbody></mujoco>"""


def compiled(colour: str = "1 0 0") -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_string(XML.format(colour=colour))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


@pytest.fixture
def lens() -> Iterator[tuple[Camera, mujoco.MjData]]:
    model, data = compiled()
    with Camera(model) as camera:
        yield camera, data


def test_collision_shapes_are_not_drawn(lens: tuple[Camera, mujoco.MjData]) -> None:
    camera, data = lens
    assert set(np.unique(camera.geoms(data, width=64, height=64))) == {0, 2}  # the lid covers the box
    picture = camera.picture(data, width=64, height=64)
    assert picture.shape == (64, 64, 3)
    assert np.ptp(picture[32, 5]) < 10  # grey floor, no sphere


def test_masks_are_exact_where_pictures_are_smoothed(lens: tuple[Camera, mujoco.MjData]) -> None:
    """A pixel of the lid lies where the lid is: the mask has the size that geometry gives it."""
    camera, data = lens
    mask = camera.geoms(data, width=200, height=200) == 2
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    scale = 100 / np.tan(np.radians(22.5)) / 0.69  # the lid's top is 0.69 m away
    assert len(columns) == pytest.approx(0.2 * scale, abs=2)
    assert len(rows) == pytest.approx(0.2 * scale, abs=2)
    assert columns[0] == pytest.approx(100, abs=2)
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_only_draws_what_is_asked_for_and_leaves_the_model_as_it_was(lens: tuple[Camera, mujoco.MjData]) -> None:
    camera, data = lens
    groups = camera.model.geom_group.copy()
    only = np.array([False, True, False, False])
    assert set(np.unique(camera.geoms(data, only=only))) == {-1, 1}
    assert np.array_equal(camera.model.geom_group, groups)


def test_shadow_and_size_of_one_picture_do_not_reach_the_next(lens: tuple[Camera, mujoco.MjData]) -> None:
    camera, data = lens
    first = camera.picture(data, width=64, height=48)
    camera.picture(data, width=320, height=240, shadows=True)
    camera.geoms(data, width=32, height=32)
    assert np.array_equal(camera.picture(data, width=64, height=48), first)


def test_models_take_turns() -> None:
    """Each model keeps its own colours, whichever was drawn last."""
    everything = np.ones(4, bool)
    everything[2] = False
    shown = []
    for colour in ("1 0 0", "0 0 1", "1 0 0"):
        model, data = compiled(colour)
        model.geom_group[2] = 5
        with Camera(model) as camera:
            shown.append(camera.picture(data, width=32, height=32))
    assert np.array_equal(shown[0], shown[2])
    assert not np.array_equal(shown[0], shown[1])


def test_cameras_live_side_by_side() -> None:
    """One that is made, used and closed while another is open does not change what that one draws."""
    (model, data), (other, moved) = compiled(), compiled("0 0 1")
    with Camera(model) as camera:
        first = camera.picture(data, width=32, height=32)
        mask = camera.geoms(data, width=32, height=32)
        with Camera(other) as second:
            second.picture(moved, width=48, height=48)
            assert np.array_equal(camera.picture(data, width=32, height=32), first)
        assert np.array_equal(camera.picture(data, width=32, height=32), first)
        assert np.array_equal(camera.geoms(data, width=32, height=32), mask)


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (MAX_WIDTH + 1, 1), (1, MAX_HEIGHT + 1)])
def test_impossible_size_is_refused(lens: tuple[Camera, mujoco.MjData], size: tuple[int, int]) -> None:
    with pytest.raises(RenderError, match=str(MAX_WIDTH)):
        lens[0].picture(lens[1], "policy", *size)


IMPORT_ORDER = """
import mujoco
from worldgen.camera import Camera
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><camera name='policy'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with Camera(model) as camera:
    print(camera.picture(data, width=8, height=8).shape)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GLFW is the right choice there")
@pytest.mark.parametrize("backend", ["", "glfw"])
def test_windowed_context_without_a_display_is_an_error_not_an_abort(backend: str) -> None:
    """Whoever imports mujoco before worldgen gets GLFW contexts."""
    environment = {"PYTHONPATH": ":".join(sys.path), **({"MUJOCO_GL": backend} if backend else {})}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ORDER], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == (1 if backend else 0), done.stderr
    assert "(8, 8, 3)" in done.stdout or "RenderError" in done.stderr

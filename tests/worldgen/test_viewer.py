"""The viewer: what it opens, and what it says where it cannot. No window is opened here."""

from __future__ import annotations

from typing import Any

import mujoco
import mujoco.viewer
import numpy as np
import pytest

from worldgen import viewer
from worldgen.errors import RenderError, SceneError
from worldgen.library import Scene

from . import handmade


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return handmade.library(tmp_path_factory.mktemp("viewer") / "library", scenes=1).scene("0000")


def test_without_a_display_it_names_other_ways(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(RenderError, match=r"(?s)no display.*worldgen render.*worldgen gallery"):
        viewer.view(scene)


def test_display_that_does_not_answer_is_an_error_not_an_abort(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(viewer.glfw, "init", lambda: False)
    with pytest.raises(RenderError, match=r"No window.*worldgen render"):
        viewer.view(scene)


def test_scene_opens_at_rest_with_the_arm_held(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(viewer.glfw, "init", lambda: True)
    monkeypatch.setattr(mujoco.viewer, "launch", lambda *, loader: opened.append(loader()))
    viewer.view(scene)
    model, data, path = opened[0]
    home = model.key("home")
    assert path == str(scene.xml)
    assert np.allclose(data.qpos, home.qpos)
    assert np.allclose(data.ctrl, home.ctrl)


def test_viewer_that_fails_is_a_render_error(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(**_: object) -> None:
        raise mujoco.FatalError("could not create window")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(viewer.glfw, "init", lambda: True)
    monkeypatch.setattr(mujoco.viewer, "launch", launch)
    with pytest.raises(RenderError, match="could not create window"):
        viewer.view(scene)


def test_broken_scene_is_told_before_a_window_opens(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    broken = handmade.library(tmp_path / "library", scenes=1).scene("0000")
    broken.xml.write_text("<mujoco><worldbody><geom/></worldbody></mujoco>")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(viewer.glfw, "init", lambda: True)
    monkeypatch.setattr(mujoco.viewer, "launch", lambda **_: pytest.fail("opened"))
    with pytest.raises(SceneError):
        viewer.view(broken)

"""A scene in MuJoCo's own viewer, to push objects around by mouse. Needs a display."""

from __future__ import annotations

import os
import re
import sys
import warnings

import glfw
import mujoco

from .errors import RenderError
from .library import Scene
from .render import at_home

_AZIMUTH, _ELEVATION = 150.0, -28.0
"""Where the first view looks from [deg]: much as the preview."""


def view(scene: Scene) -> None:
    """Open the viewer on a scene, everything at rest and the arm holding its home pose; return when it is closed.

    "Reload" brings this state back. Collision shapes are in group 3, which the viewer hides at first.

    Raises:
        RenderError: When there is no display, or it cannot be drawn on.
    """
    _require_display(scene)
    scene.model()  # a broken scene is an error here, not a message in the window

    def load() -> tuple[mujoco.MjModel, mujoco.MjData, str]:
        model = scene.model()
        model.vis.global_.azimuth, model.vis.global_.elevation = _AZIMUTH, _ELEVATION
        return model, at_home(model), str(scene.xml)  # only a model with a file name gets the view set above

    # The managed viewer, not the passive one: it steps by itself, and on macOS it needs no `mjpython`.
    try:
        import mujoco.viewer

        mujoco.viewer.launch(loader=load)
    except (mujoco.FatalError, ImportError, RuntimeError) as error:
        reason = str(error) or type(error).__name__
        raise RenderError(f"The viewer cannot be opened: {reason}. {_instead(scene)}") from error


def _require_display(scene: Scene) -> None:
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise RenderError(
            f"There is no display (neither DISPLAY nor WAYLAND_DISPLAY is set), and the viewer needs one. {_instead(scene)}"
        )

    with warnings.catch_warnings(record=True) as told:
        # asked here first: where no window can be opened, MuJoCo's viewer ends the whole process
        warnings.simplefilter("always")
        opened = glfw.init()
    if not opened:
        reason = re.sub(r"^\(\d+\) b?['\"](.*)['\"]$", r"\1", str(told[-1].message)) if told else "unknown reason"
        raise RenderError(f"No window can be opened on this display: {reason}. {_instead(scene)}")


def _instead(scene: Scene) -> str:
    return f"Use `worldgen render {scene.folder}` for a picture, or `worldgen gallery {scene.root}` for a page of all scenes."

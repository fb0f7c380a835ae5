"""Pictures of a compiled scene: one GL context a process, one set of uploaded textures a model. Knows no specs.

MuJoCo's own `Renderer` makes a context for every model and every picture size; a batch that draws one scene after the other
would spend most of its time there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from .assets import VISUAL_GROUP
from .errors import RenderError

Image = NDArray[np.uint8]
MAX_WIDTH, MAX_HEIGHT = 1280, 960
_HELP = "Install an OpenGL library for headless drawing (Debian: apt install libegl1 libgl1-mesa-dri; else libosmesa6) or set MUJOCO_GL."


_made_by = [0]
"""The process that made the context; a fork of it inherits the context, but cannot use it."""


@cache
def _new_context() -> Any:
    _made_by[0] = os.getpid()
    try:
        return _context_class()(MAX_WIDTH, MAX_HEIGHT)
    except (ImportError, AttributeError, RuntimeError, OSError, mujoco.FatalError) as error:
        raise RenderError(
            f"No picture can be drawn on this machine: {error or type(error).__name__}. {_HELP}"
        ) from error


def _context_class() -> Any:
    """Return MuJoCo's context class for this machine.

    Whoever imports mujoco before worldgen gets windowed contexts; without a display one of those would abort the interpreter.
    """
    chosen = mujoco.GLContext
    windowed = chosen.__module__.endswith("glfw") and sys.platform.startswith("linux")
    if not windowed or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return chosen
    wanted = os.environ.get("MUJOCO_GL", "")
    if wanted not in ("egl", "osmesa"):
        raise RuntimeError(f"there is no display, and MUJOCO_GL is {wanted!r}")
    return import_module(f"mujoco.{wanted}").GLContext


def _gl_context() -> Any:
    """Return this process's GL context, made on first use and made current."""
    context = _new_context()
    if _made_by[0] != os.getpid():  # OpenGL would wait for ever
        raise RenderError(
            "This process cannot draw: it was forked from one that had drawn before. Start it with the method 'spawn'; "
            'gymnasium.make_vec takes vector_kwargs={"context": "spawn"}.'
        )
    context.make_current()
    return context


def require_size(width: int, height: int, limit: tuple[int, int] = (MAX_WIDTH, MAX_HEIGHT)) -> None:
    """Raise RenderError when a picture cannot have this size [px]."""
    if not (0 < width <= limit[0] and 0 < height <= limit[1]):
        raise RenderError(
            f"A picture of {width} x {height} px cannot be drawn. Width is 1 to {limit[0]}, height 1 to {limit[1]} px."
        )


class Camera:
    """Draws one model; close it, or use it as a context manager, when it is no longer needed.

    Args:
        model: What to draw.
        size: Largest width and height of a picture [px]; small ones save memory.

    Raises:
        RenderError: When the machine has no OpenGL library to draw with.
    """

    def __init__(self, model: mujoco.MjModel, size: tuple[int, int] = (MAX_WIDTH, MAX_HEIGHT)) -> None:
        require_size(*size)
        _gl_context()
        self.model, self.size = model, size
        self._own: dict[str, NDArray[np.uint8]] = {}
        model.vis.global_.offwidth, model.vis.global_.offheight = size
        try:
            self._target = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        except (mujoco.FatalError, RuntimeError) as error:
            raise RenderError(f"The scene cannot be drawn on this machine: {error}. {_HELP}") from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._target)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 100)
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[: VISUAL_GROUP + 1] = 1
        self._perturb = mujoco.MjvPerturb()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free what the model holds on the graphics side."""
        _gl_context()
        self._target.free()

    def picture(
        self,
        data: mujoco.MjData,
        camera: str | mujoco.MjvCamera = "policy",
        width: int = 64,
        height: int = 64,
        *,
        shadows: bool = False,
    ) -> Image:
        """Return an sRGB picture.

        Args:
            data: State to draw; positions must be up to date (`mj_forward`).
            camera: Name of a camera of the model, or a free one.
            width: [px]
            height: [px]
            shadows: Whether light is blocked; costs more than all else on a CPU.

        Returns:
            (height, width, 3) uint8.
        """
        self._update(data, camera)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = shadows
        return self._read(width, height)

    def geoms(
        self,
        data: mujoco.MjData,
        camera: str = "policy",
        width: int = 64,
        height: int = 64,
        only: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int32]:
        """Return which geom each pixel shows.

        Args:
            data: State to draw.
            camera: Name of a camera of the model.
            width: [px]
            height: [px]
            only: (ngeom,) which geoms to draw; None draws all that are visible.

        Returns:
            (height, width) geom ids; -1 where there is none.
        """
        with _hidden(self.model, only):
            self._update(data, camera)
        flags = self._scene.flags
        before = flags.copy()
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        colours = self._read(width, height).astype(np.int32)
        flags[:] = before
        segment = colours[..., 0] + colours[..., 1] * 256 + colours[..., 2] * 65536 - 1
        lookup = np.full(self._scene.ngeom + 2, -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                lookup[geom.segid] = geom.objid
        return lookup[np.clip(segment, -1, len(lookup) - 1)]

    def repaint(self, texture: str, picture: Image | None) -> None:
        """Show another picture as a texture of the model, or its own again.

        Args:
            texture: Name of a texture of the model.
            picture: (height, width, 3) as large as the texture; None for its own.
        """
        found = self.model.texture(texture)
        own = self._own.setdefault(texture, np.array(found.data))
        found.data[:] = own if picture is None else picture.reshape(own.shape)
        _gl_context()
        mujoco.mjr_uploadTexture(self.model, self._target, found.id)

    def _update(self, data: mujoco.MjData, camera: str | mujoco.MjvCamera) -> None:
        if isinstance(camera, str):
            named = mujoco.MjvCamera()
            named.type, named.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, self.model.camera(camera).id
            camera = named
        mujoco.mjv_updateScene(
            self.model, data, self._option, self._perturb, camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )

    def _read(self, width: int, height: int) -> Image:
        require_size(width, height, self.size)
        _gl_context()
        # another camera may have been used or closed in between, and left its own buffer or none
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._target)
        window = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(window, self._scene, self._target)
        pixels = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, window, self._target)
        return np.ascontiguousarray(pixels[::-1])


@contextmanager
def _hidden(model: mujoco.MjModel, only: NDArray[np.bool_] | None) -> Iterator[None]:
    """Move all other geoms into a group that is not drawn."""
    groups = model.geom_group.copy()
    if only is not None:
        model.geom_group[~only] = 5
    try:
        yield
    finally:
        model.geom_group[:] = groups

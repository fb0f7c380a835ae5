"""worldgen: one sentence becomes a library of verified MuJoCo scenes."""

import ctypes.util
import os
import sys

__version__ = "0.1.0"

_KNOWN = (
    "",
    "1",
    "on",
    "enable",
    "enabled",
    "true",
    "0",
    "off",
    "disable",
    "disabled",
    "false",
    "egl",
    "osmesa",
    "glfw",
    "wgl",
    "cgl",
)
if os.environ.get("MUJOCO_GL", "").lower().strip() not in _KNOWN:  # MuJoCo would refuse to be imported at all
    print(
        f"worldgen: MUJOCO_GL={os.environ['MUJOCO_GL']!r} is unknown and ignored; use egl, osmesa or glfw.",
        file=sys.stderr,
    )
    del os.environ["MUJOCO_GL"]

if os.environ.get("MUJOCO_GL", "").lower().strip() == "osmesa" and not ctypes.util.find_library("OSMesa"):
    print("worldgen: MUJOCO_GL=osmesa is ignored, for libOSMesa is not installed.", file=sys.stderr)
    del os.environ["MUJOCO_GL"]

# MuJoCo picks its image backend when it is first imported; without a word from the user, take one that needs no display.
if sys.platform.startswith("linux") and "MUJOCO_GL" not in os.environ:
    for _backend, _library in (("egl", "EGL"), ("osmesa", "OSMesa")):
        if ctypes.util.find_library(_library):
            os.environ["MUJOCO_GL"] = _backend
            break

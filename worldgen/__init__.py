"""worldgen: one sentence becomes a library of verified MuJoCo scenes."""

import ctypes.util
import os
import sys

__version__ = "0.1.0"

# MuJoCo picks its image backend when it is first imported; without a word from the user, take one that needs no display.
if sys.platform.startswith("linux") and "MUJOCO_GL" not in os.environ:
    for _backend, _library in (("egl", "EGL"), ("osmesa", "OSMesa")):
        if ctypes.util.find_library(_library):
            os.environ["MUJOCO_GL"] = _backend
            break

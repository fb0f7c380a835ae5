"""Looks at scenes before they are played: as they were written, and safe to compile. Knows files, not worlds.

A scene from elsewhere may crash MuJoCo's compiler or make it eat all memory, so it is compiled in a killable child before it is
loaded. Starting a child costs ten times what compiling does: one child takes all scenes that a call brings up for the first
time, and only when it fails is each looked at alone, to name the one at fault. What was vetted is then compiled without a child
wherever it is played. That its files are unchanged is looked at again at each load, which costs a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import child, safety, store
from ..errors import SceneError

if TYPE_CHECKING:  # the child that compiles starts in half the time without it
    from ..library import SceneLibrary

_BATCH = 64
"""Most scenes that one child compiles."""
_SCENE = 2.0
"""Time that each scene of a batch may add to what a scene alone may take [s]."""


class Vetting:
    """Knows which scenes of a library have been looked at.

    Args:
        library: Where they are.
        trusted: Whether its scenes were made by the caller: then none is compiled in a child first.
    """

    def __init__(self, library: SceneLibrary, *, trusted: bool = False) -> None:
        self.library, self.trusted = library, trusted
        self.names = library.index().scenes
        self._known = set(self.names)
        self._done: set[str] = set()

    def require(self, names: Iterable[str]) -> None:
        """Look at scenes that have not been looked at yet.

        Raises:
            LibraryError: When the library has no such scene.
            SceneError: When one was changed, is not safe to open, or MuJoCo refuses it.
        """
        fresh = sorted(set(names) - self._done)
        for name in fresh:
            if name not in self._known:
                self.library.scene(name)  # has a library that grows got it by now?
                self._known.add(name)
        files = [self.library.root / "scenes" / name / "scene.xml" for name in fresh]
        for file in files:
            require_whole(file.parent)
            safety.require_safe(file, self.library.root)
        if not self.trusted:
            for first in range(0, len(files), _BATCH):
                _require_compile(files[first : first + _BATCH])
        self._done.update(fresh)


def require_whole(folder: Path) -> None:
    """Raise SceneError when a file of a scene is not as it was written."""
    if found := store.damage(folder, surplus_counts=False):
        raise SceneError(f"Scene '{folder.name}' is damaged: in '{folder}' {found[0]}. Make it again, or leave it out.")


def compile_files(arrays: child.Arrays) -> child.Arrays:
    """Compile the scenes at `paths`; to be run in a child."""
    for path in arrays["paths"]:
        safety.compile_file({"path": path})
    return {}


def _require_compile(files: list[Path]) -> None:
    if len(files) > 1:
        paths = {"paths": np.array([str(file) for file in files])}
        seconds = safety.COMPILE_SECONDS + _SCENE * len(files)
        try:
            child.run(f"{__name__}:compile_files", paths, seconds=seconds, memory=safety.COMPILE_MEMORY)
            return
        except child.ChildError:
            pass
    for file in files:
        try:
            safety.require_compiles(file)
        except ValueError as error:
            raise SceneError(f"MuJoCo refuses scene '{file.parent.name}': {error}") from error

"""The memory that a process and its workers share: one row a slot for all that goes in and out. Knows arrays, not worlds.

A map of a nameless file: it is gone with its last user, however that one ends.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .control import ACTION
from .stage import View
from .truth import PRIVILEGED
from .world import End

ENDS: tuple[End, ...] = get_args(End)
_ALIGN = 64


@dataclass(frozen=True)
class Layout:
    """What a board has room for."""

    slots: int
    views: tuple[View, ...]
    state: int
    """Numbers of a state."""
    privileged: bool
    chunk: int
    """Most actions of a chunk."""

    def arrays(self) -> dict[str, tuple[tuple[int, ...], DTypeLike]]:
        """Return the shape and type of every array, by name; those of pictures begin with "image:"."""
        rows = self.slots
        found: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
            "chunks": ((rows, self.chunk, ACTION), np.float64),
            "advice": ((rows, self.chunk, ACTION), np.float64),
            "state": ((rows, self.state), np.float32),
            "privileged": ((rows, PRIVILEGED if self.privileged else 0), np.float32),
            "reward": ((rows,), np.float32),
            "steps": ((rows,), np.int64),
            "clamped": ((rows,), np.int64),
            "end": ((rows,), np.uint8),
        }
        images = {f"image:{view.camera}": ((rows, view.height, view.width, 3), np.uint8) for view in self.views}
        return found | images

    @property
    def size(self) -> int:
        """All arrays together [bytes]."""
        return sum(_padded(shape, kind) for shape, kind in self.arrays().values())


class Board:
    """The arrays of a layout.

    Args:
        layout: What they are.
        file: Descriptor of `shared_file`; None for memory of this process alone.
    """

    def __init__(self, layout: Layout, file: int | None = None) -> None:
        self._memory: Any = bytearray(layout.size) if file is None else mmap.mmap(file, layout.size)
        found: dict[str, NDArray[Any]] = {}
        offset = 0
        for name, (shape, kind) in layout.arrays().items():
            found[name] = np.ndarray(shape, kind, self._memory, offset)
            offset += _padded(shape, kind)
        self.chunks, self.advice = found["chunks"], found["advice"]
        self.state, self.privileged = found["state"], found["privileged"]
        self.reward, self.steps, self.clamped = found["reward"], found["steps"], found["clamped"]
        self.end = found["end"]
        """Index into `ENDS`."""
        self.images = {view.camera: found[f"image:{view.camera}"] for view in layout.views}

    def clear(self, slot: int, end: End = "") -> None:
        """Forget what a slot showed: black pictures, zeros."""
        for array in (self.state, self.privileged, self.reward, self.steps, self.clamped, *self.images.values()):
            array[slot] = 0
        self.end[slot] = ENDS.index(end)


def shared_file(size: int) -> int:
    """Return the descriptor of a nameless file to share a board through; close it when done."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("worldgen")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, size)
    return file


def _padded(shape: tuple[int, ...], kind: DTypeLike) -> int:
    """Return the room that an array takes [bytes], so that the next one is aligned."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    return -(-size // _ALIGN) * _ALIGN

"""What all kinds of `Worlds` have in common: what goes in and out, and what is checked, kept and counted of each slot. Knows no processes."""

from __future__ import annotations

import json
import math
import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import store
from ..camera import Image
from ..errors import ActionError
from ..library import SceneLibrary
from ..robots import Array
from .board import ENDS, Board, Layout
from .control import ACTION
from .processes import rebuilt
from .vetting import Vetting
from .worker import Event, Jobs, Reply
from .world import End

STRIKES = 3
"""Seeds whose episodes became invalid after which a scene is played no more."""


@dataclass(frozen=True)
class Start:
    """Fixes an episode: nothing else is drawn."""

    scene: str
    seed: int


@dataclass
class Observations:
    """What N worlds show. The arrays are the caller's own."""

    images: dict[str, Image]
    """Camera → (N, H, W, 3) uint8 sRGB; black where the scene is quarantined."""
    state: NDArray[np.float32]
    """(N, S), see `Observation.state`."""
    instruction: list[str]
    privileged: NDArray[np.float32] | None = None
    """(N, P), see `Truth.vector`."""

    def row(self, index: int) -> Observations:
        """Return what one of the worlds shows."""
        one = slice(index, index + 1)
        told = None if self.privileged is None else self.privileged[one]
        images = {camera: pictures[one] for camera, pictures in self.images.items()}
        return Observations(images, self.state[one], self.instruction[one], told)


@dataclass
class Transitions:
    """What a chunk led to in each of N worlds."""

    observations: Observations
    reward: NDArray[np.float32]
    """(N,)"""
    end: list[End]
    """Why each episode is over; empty while it goes on."""
    steps: NDArray[np.int64]
    """(N,) actions executed."""
    clamped: NDArray[np.int64]
    """(N,) actions that were shortened."""


class Worlds(Protocol):
    """Worlds in slots 0 … N - 1. `slots` says which ones a call is about, and in which order; None is all."""

    invalid: Counter[str]
    """Scene → episodes that were invalid."""
    quarantined: set[str]
    """Scenes that are played no more: an episode there is over, and invalid, from the start."""

    def reset(self, starts: Sequence[Start], slots: Sequence[int] | None = None) -> Observations:
        """Start an episode in each slot."""

    def step(self, chunks: ArrayLike, slots: Sequence[int] | None = None) -> Transitions:
        """Execute a chunk, (n, C, 7), in each slot."""

    def advise(self, slots: Sequence[int] | None = None) -> Array:
        """Return the chunks, (n, C, 7), that the scripted expert would execute now."""

    def ends(self, slots: Sequence[int] | None = None) -> list[End]:
        """Return why each episode is over; empty while it goes on."""

    def close(self) -> None:
        """End all worlds."""


@dataclass
class Seat:
    """What the parent keeps of a slot."""

    start: Start
    end: End = ""
    instruction: str = ""
    events: list[Event] = field(default_factory=list)


class Front:
    """What all `Worlds` have in common: what is checked, kept and counted. How jobs are done is up to `_call`."""

    def __init__(self, library: SceneLibrary, layout: Layout, board: Board, dumps: Path | None, trusted: bool) -> None:
        self.slots, self.dumps = layout.slots, dumps
        if dumps:
            dumps.mkdir(parents=True, exist_ok=True)
        self.invalid: Counter[str] = Counter()
        self.quarantined: set[str] = set()
        self._strikes: dict[str, set[int]] = {}
        self._layout, self._board = layout, board
        self._vetting = Vetting(library, trusted=trusted)
        self._seats: list[Seat | None] = [None] * layout.slots

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all worlds; once is enough."""
        raise NotImplementedError

    def reset(self, starts: Sequence[Start], slots: Sequence[int] | None = None) -> Observations:
        """Start an episode in each slot; where the scene is quarantined, it is over at once.

        Raises:
            ActionError: When starts and slots do not match, or a seed is none.
            LibraryError: When the library has no such scene.
            SceneError: When a scene was changed, is not safe, or cannot be compiled.
            RenderError: When a scene has no such camera.
        """
        rows = self._rows(slots)
        if len(starts) != len(rows):
            raise ActionError(f"{len(starts)} starts for {len(rows)} slots. Give one start a slot.")
        self._vetting.require({start.scene for start in starts} - self.quarantined)
        jobs: Jobs = {}
        for row, start in zip(rows, starts, strict=True):
            self._seats[row] = Seat(start)
            if start.scene in self.quarantined:
                self._seats[row] = Seat(start, "invalid")
                self._board.clear(row, "invalid")
            else:
                jobs[row] = (start.scene, start.seed)
        self._book(jobs, self._call("reset", jobs))
        return self._observations(rows)

    def step(self, chunks: ArrayLike, slots: Sequence[int] | None = None) -> Transitions:
        """Execute a chunk in each slot, until its episode ends.

        Args:
            chunks: (n, C, 7) with 1 ≤ C ≤ `settings.chunk`; see `World.step`.
            slots: The n slots.

        Raises:
            ActionError: When the shape is wrong, a number is not finite, or an episode is over or was never started. Nothing is executed.
        """
        rows = self._rows(slots)
        actions = self._checked(np.asarray(chunks, np.float64), rows)
        self._require_live(rows)
        count = actions.shape[1]
        self._board.chunks[rows, :count] = actions
        jobs: Jobs = dict.fromkeys(rows, (count,))
        reply = self._call("step", jobs)
        for row, chunk in zip(rows, actions, strict=True):
            self._seat(row).events.append(chunk.copy())
        self._book(jobs, reply)
        board = self._board
        return Transitions(
            self._observations(rows), board.reward[rows], self.ends(rows), board.steps[rows], board.clamped[rows]
        )

    def advise(self, slots: Sequence[int] | None = None) -> Array:
        """Return what the scripted expert would do now in each slot, (n, C, 7) with C = `settings.chunk`.

        Raises:
            ActionError: When an episode is over or was never started.
        """
        rows = self._rows(slots)
        self._require_live(rows)
        jobs: Jobs = dict.fromkeys(rows, ())
        reply = self._call("advise", jobs)
        for row in rows:
            self._seat(row).events.append(None)
        self._book(jobs, reply)
        return self._board.advice[rows]

    def ends(self, slots: Sequence[int] | None = None) -> list[End]:
        """Return why each episode is over; empty while it goes on."""
        return [self._seat(row).end for row in self._rows(slots)]

    def _call(self, command: str, jobs: Jobs) -> Reply:
        raise NotImplementedError

    def _seat(self, row: int) -> Seat:
        seat = self._seats[row]
        if seat is None:
            raise ActionError(f"Slot {row} has no episode. Reset it first.")
        return seat

    def _rows(self, slots: Iterable[int] | None) -> list[int]:
        rows = [*range(self.slots)] if slots is None else [operator.index(slot) for slot in slots]
        if len(set(rows)) < len(rows) or any(not 0 <= row < self.slots for row in rows):
            raise ActionError(f"Slots {_some(rows)} are not different numbers in [0, {self.slots}).")
        return rows

    def _require_live(self, rows: list[int]) -> None:
        if over := [row for row in rows if self._seat(row).end]:
            raise ActionError(f"The episodes of slots {_some(over)} are over. Reset them first, or leave them out.")

    def _checked(self, chunks: Array, rows: list[int]) -> Array:
        most = self._layout.chunk
        fits = chunks.ndim == 3 and len(chunks) == len(rows) and chunks.shape[2] == ACTION
        if not fits or not 1 <= chunks.shape[1] <= most:
            raise ActionError(
                f"Chunks for {len(rows)} slots have shape ({len(rows)}, C, {ACTION}), 1 <= C <= {most}; got {chunks.shape}."
            )
        if not np.isfinite(chunks).all():
            wrong = [row for row, chunk in zip(rows, chunks, strict=True) if not np.isfinite(chunk).all()]
            raise ActionError(f"The chunks of slots {_some(wrong)} hold numbers that are not finite.")
        return chunks

    def _observations(self, rows: list[int]) -> Observations:
        board = self._board
        return Observations(
            {camera: images[rows] for camera, images in board.images.items()},
            board.state[rows],
            [self._seat(row).instruction for row in rows],
            board.privileged[rows] if self._layout.privileged else None,
        )

    def _book(self, jobs: Jobs, reply: Reply) -> None:
        """Write down what came of a call, then raise the first of its errors; slots with one have no episode any more."""
        for row in jobs:
            seat = self._seat(row)
            seat.instruction = reply.instructions.get(row, seat.instruction)
            seat.end = ENDS[self._board.end[row]]
        for row, summary in reply.broken.items():
            self._count(row, summary)
        for row in reply.errors:
            self._seats[row] = None
        for name, message in reply.errors.values():
            raise rebuilt(name, message)

    def _count(self, row: int, summary: dict[str, Any]) -> None:
        """Count an invalid episode and write its dump: what the world says of itself, and all actions since the start."""
        seat = self._seat(row)
        scene, seed = seat.start.scene, int(seat.start.seed)
        seat.end = "invalid"
        self.invalid[scene] += 1
        if "crash" not in summary:  # a worker may die for want of memory: no fault of the scene
            self._strikes.setdefault(scene, set()).add(seed)
        if len(self._strikes.get(scene, ())) >= STRIKES:
            self.quarantined.add(scene)
        if self.dumps:
            actions = [action for event in seat.events if event is not None for action in event.tolist()]
            dump = {"scene": scene, "seed": seed, **summary, "actions": actions[: summary.get("steps", len(actions))]}
            path = self.dumps / f"{scene}-{seed}-{self.invalid[scene]}.json"
            store.write_file(path, json.dumps(_finite(dump), allow_nan=False) + "\n")


def _some(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")


def _finite(value: Any) -> Any:
    """Return a value as JSON can hold it: null for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Many worlds at once: `ProcessWorlds` in worker processes, `LocalWorlds` in this one. Knows slots and starts; plays through `worker`.

A start gives the same episode bit for bit wherever it is played and whatever runs beside it. So a worker that dies is no loss: its
worlds are played again, without looking, from what the parent keeps of them: the start, and what was done since.
"""

from __future__ import annotations

import json
import math
import operator
import os
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import robots, store
from ..camera import Image, require_size
from ..errors import ActionError, LibraryError, WorldsError
from ..library import Scene, SceneLibrary
from ..robots import Array
from .board import ENDS, Board, Layout, shared_file
from .control import ACTION
from .processes import Dead, Worker, rebuilt
from .stage import Settings
from .vetting import Vetting
from .worker import Event, Jobs, Reply, Setup, Slots
from .world import End

MAX_SLOTS, MAX_WORKERS = 4096, 256
STRIKES = 3
"""Invalid episodes after which a scene is played no more; also, how often a call may kill a worker before the cause is looked for."""
_WORKER, _SCENE, _WORLD = 120, 8, 3
"""Memory that a worker, a scene that stays compiled and a world take, rounded up [MB]; see benchmarks."""


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
class _Seat:
    """What the parent keeps of a slot."""

    start: Start
    end: End = ""
    instruction: str = ""
    events: list[Event] = field(default_factory=list)


class _Front:
    """What all `Worlds` have in common: what is checked, kept and counted. How jobs are done is up to `_call`."""

    def __init__(self, library: SceneLibrary, layout: Layout, board: Board, dumps: Path | None, trusted: bool) -> None:
        self.slots, self.dumps = layout.slots, dumps
        if dumps:
            dumps.mkdir(parents=True, exist_ok=True)
        self.invalid: Counter[str] = Counter()
        self.quarantined: set[str] = set()
        self._layout, self._board = layout, board
        self._vetting = Vetting(library, trusted=trusted)
        self._seats: list[_Seat | None] = [None] * layout.slots

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
            self._seats[row] = _Seat(start)
            if start.scene in self.quarantined:
                self._seats[row] = _Seat(start, "invalid")
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
        jobs: Jobs = {row: (count,) for row in rows}
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
        jobs: Jobs = {row: () for row in rows}
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

    def _seat(self, row: int) -> _Seat:
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
        if self.invalid[scene] >= STRIKES:
            self.quarantined.add(scene)
        if self.dumps:
            actions = [action for event in seat.events if event is not None for action in event.tolist()]
            dump = {"scene": scene, "seed": seed, **summary, "actions": actions[: summary.get("steps", len(actions))]}
            path = self.dumps / f"{scene}-{seed}-{self.invalid[scene]}.json"
            store.write_file(path, json.dumps(_finite(dump), allow_nan=False) + "\n")


class LocalWorlds(_Front):
    """Worlds in this process: for tests, debugging and notebooks. A crash takes the caller along.

    Args:
        library: The scenes.
        settings: How they are played.
        slots: How many worlds.
        cache: Scenes that stay compiled.
        dumps: Folder for a file on each invalid episode.
        trusted: Whether the library was made by the caller; else each scene is compiled in a child first, once.
    """

    def __init__(
        self,
        library: SceneLibrary | Path,
        settings: Settings,
        slots: int,
        *,
        cache: int = 128,
        dumps: Path | None = None,
        trusted: bool = False,
    ) -> None:
        library = _opened(library)
        layout = _layout(library, settings, slots)
        super().__init__(library, layout, Board(layout), dumps, trusted)
        self._worker = Slots(library.root, settings, self._board, cache)

    def close(self) -> None:
        """End all worlds; once is enough."""
        self._worker.close()
        self._seats = [None] * self.slots

    def _call(self, command: str, jobs: Jobs) -> Reply:
        try:
            return self._worker.run(command, jobs)
        except BaseException:
            for row in jobs:
                self._seats[row] = None
            raise


class ProcessWorlds(_Front):
    """Worlds in worker processes, which start at once and run at the same time; slot i lives in worker i % workers.

    Args:
        library: The scenes.
        settings: How they are played.
        slots: How many worlds.
        workers: How many processes; None for one a core. Never more than slots.
        cache: Scenes that stay compiled, in all processes together. Those that are being played stay in any case.
        patience: Time without a sign of life after which a worker counts as hung [s]. One that works gives a sign after each slot.
        dumps: Folder for a file on each invalid episode.
        trusted: Whether the library was made by the caller; else each scene is compiled in a child with limits first, once.

    Raises:
        WorldsError: When the numbers make no sense, memory does not suffice, or a worker does not start.
        RenderError: When the machine cannot draw.
        LibraryError: When the library holds no scenes.
    """

    def __init__(
        self,
        library: SceneLibrary | Path,
        settings: Settings,
        slots: int,
        workers: int | None = None,
        *,
        cache: int = 128,
        patience: float = 60.0,
        dumps: Path | None = None,
        trusted: bool = False,
    ) -> None:
        if os.name == "nt":
            raise WorldsError("Worker processes need Linux or macOS. Take LocalWorlds here.")
        library = _opened(library)
        layout = _layout(library, settings, slots)
        workers = min(os.cpu_count() or 1 if workers is None else workers, slots)
        if not 1 <= workers <= MAX_WORKERS:
            raise WorldsError(f"workers {workers} is outside [1, {MAX_WORKERS}].")
        if not (cache >= 1 and patience > 0):
            raise WorldsError(f"cache {cache} and patience {patience:g} s must be above 0.")
        scenes = len(library.index().scenes)
        _require_memory(layout, workers, min(max(cache, slots), scenes * workers))
        self.restarts = 0
        """Workers that died or hung and were started again."""
        file = shared_file(layout.size)
        setup = Setup(library.root, settings, layout, file, math.ceil(cache / workers))
        self._crew = [Worker(setup, patience) for _ in range(workers)]
        self._stop = weakref.finalize(self, _stop, self._crew, file, os.getpid())
        super().__init__(library, layout, Board(layout, file), dumps, trusted)
        try:
            for worker in self._crew:
                worker.start()
            for worker in self._crew:
                worker.wait_until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int | None]:
        """The worker processes; None for one that is to be started again at the next call."""
        return [worker.pid for worker in self._crew]

    def close(self) -> None:
        """End all processes and free the shared memory; once is enough."""
        self._stop()
        self._seats = [None] * self.slots

    def _call(self, command: str, jobs: Jobs) -> Reply:
        if not self._stop.alive:
            raise WorldsError("These worlds are closed.")
        shares: dict[Worker, Jobs] = {}
        for row, arguments in jobs.items():
            shares.setdefault(self._crew[row % len(self._crew)], {})[row] = arguments
        reply = Reply()
        try:
            for worker, share in shares.items():
                worker.send(command, share)
            for worker, share in shares.items():
                reply.add(self._finish(worker, command, share))
        except BaseException:
            # answers may be under way, and some worlds ahead of what is known of them
            for worker in shares:
                worker.kill()
            for row in jobs:
                self._seats[row] = None
            raise
        return reply

    def _finish(self, worker: Worker, command: str, jobs: Jobs) -> Reply:
        """Return the answer to a command that was sent; when the worker dies of it, start it again, replay and ask again."""
        lost = Reply()
        for attempt in range(STRIKES):
            try:
                if attempt:
                    lost = self._revive(worker, jobs if command == "reset" else {})
                    worker.send(command, {row: jobs[row] for row in jobs if row not in lost.errors})
                reply = worker.answer()
            except Dead:
                continue
            reply.add(lost)
            return reply
        return self._without_culprits(worker, command, jobs)

    def _revive(self, worker: Worker, leave: Iterable[int]) -> Reply:
        """Start a worker again and bring its worlds back, but for some slots; return those that cannot be, as errors."""
        self.restarts += 1
        worker.start()
        worker.wait_until_ready()
        reply = Reply()
        for row in self._crew_rows(worker, leave):
            reply.add(self._replay(worker, row))
        return reply

    def _replay(self, worker: Worker, row: int) -> Reply:
        seat = self._seat(row)
        worker.send("replay", {row: (seat.start.scene, seat.start.seed, seat.events)})
        return worker.answer()

    def _crew_rows(self, worker: Worker, leave: Iterable[int]) -> list[int]:
        """Return the slots of a worker with an episode that goes on."""
        rows = range(self._crew.index(worker), self.slots, len(self._crew))
        live = [row for row in rows if (seat := self._seats[row]) and not seat.end]
        return sorted(set(live) - set(leave))

    def _without_culprits(self, worker: Worker, command: str, jobs: Jobs) -> Reply:
        """Do again what killed a worker, one slot after the other; where it dies, that episode is invalid. Then do the rest."""
        again = set(jobs) if command == "reset" else set()
        rows = self._crew_rows(worker, ())
        culprits = [row for row in rows if self._kills(worker, command, row, jobs, replay=row not in again)]
        for _ in range(2):
            reply = Reply()
            for row in culprits:
                self._board.clear(row, "invalid")
                reply.broken[row] = {"crash": f"The worker died of this, {STRIKES} times and once more alone."}
            try:
                reply.add(self._revive(worker, again | set(culprits)))
                rest = {row: jobs[row] for row in jobs if row not in culprits and row not in reply.errors}
                worker.send(command, rest)
                reply.add(worker.answer())
                return reply
            except Dead:
                culprits = rows  # no single one is to blame
        return reply

    def _kills(self, worker: Worker, command: str, row: int, jobs: Jobs, *, replay: bool) -> bool:
        """Return whether one slot's part of a call alone kills a worker."""
        try:
            if worker.pid is None:
                worker.start()
                worker.wait_until_ready()
            if replay:
                self._replay(worker, row)
            if row in jobs:
                worker.send(command, {row: jobs[row]})
                worker.answer()
        except Dead:
            return True
        return False


def _stop(crew: list[Worker], file: int, owner: int) -> None:
    if os.getpid() == owner:  # a fork must not end its parent's workers
        for worker in crew:
            worker.kill()
        os.close(file)


def _opened(library: SceneLibrary | Path) -> SceneLibrary:
    root = library if isinstance(library, Path) else library.root
    return SceneLibrary.open(root.resolve())


def _layout(library: SceneLibrary, settings: Settings, slots: int) -> Layout:
    if not 1 <= slots <= MAX_SLOTS:
        raise WorldsError(f"slots {slots} is outside [1, {MAX_SLOTS}].")
    if settings.chunk < 1:
        raise WorldsError(f"chunk {settings.chunk} must be at least 1.")
    for view in settings.views:
        require_size(view.width, view.height)
    names = library.index().scenes
    if not names:
        raise LibraryError(f"'{library.root}' holds no scenes to play.")
    joints = 0
    if settings.joints:
        robot = Scene.open(library.root / "scenes" / names[0]).record.spec.robot
        joints = len(robots.read_recipe(library.root / "robots" / robot / "robot.json", robot).joints)
    return Layout(slots, settings.views, ACTION + joints, settings.privileged, settings.chunk)


def _require_memory(layout: Layout, workers: int, scenes: int) -> None:
    free = _available()
    needed = workers * _WORKER + scenes * _SCENE + layout.slots * _WORLD + layout.size / 1e6
    if free is not None and needed > free:
        raise WorldsError(
            f"{layout.slots} worlds of {scenes} scenes in {workers} workers need about {needed:.0f} MB, but {free:.0f} MB are free. "
            "Take fewer slots or workers, or a smaller cache."
        )


def _available() -> float | None:
    """Return the memory that is free here [MB]; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("MemAvailable")), None)


def _some(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")


def _finite(value: Any) -> Any:
    """Return a value as JSON can hold it: null for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

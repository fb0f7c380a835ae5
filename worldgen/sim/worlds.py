"""Many worlds at once: `ProcessWorlds` in worker processes, `LocalWorlds` in this one. Knows slots and starts; plays through `worker`.

A start gives the same episode bit for bit wherever it is played and whatever runs beside it. So a worker that dies is no loss: its
worlds are played again, without looking, from what the parent keeps of them: the start, and what was done since.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Iterable
from pathlib import Path

from .. import robots
from ..camera import require_size
from ..errors import LibraryError, WorldsError
from ..library import Scene, SceneLibrary
from .board import Board, Layout, shared_file
from .control import ACTION
from .front import Front, Observations, Start, Transitions, Worlds
from .processes import Dead, Worker
from .stage import Settings
from .worker import Jobs, Reply, Setup, Slots

__all__ = ["LocalWorlds", "Observations", "ProcessWorlds", "Start", "Transitions", "Worlds"]

MAX_SLOTS, MAX_WORKERS = 4096, 256
_CONTAINER = Path("/sys/fs/cgroup")
_TRIES = 3
"""How often a call may kill a worker before the world that does it is looked for."""
_WORKER, _SCENE, _WORLD = 120, 8, 4
"""Memory that a worker, a scene that stays compiled and a world with its expert take, rounded up [MB]."""


class LocalWorlds(Front):
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
        cache: int = 256,
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


class ProcessWorlds(Front):
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
        cache: int = 256,
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
        for attempt in range(_TRIES):
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
                reply.broken[row] = {"crash": f"The worker died of this, {_TRIES} times and once more alone."}
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
    """Return the memory that is free here [MB], what a container may still take included; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("MemAvailable")), None)
    try:
        most, used = (int((_CONTAINER / name).read_text()) / 1e6 for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return free
    stat = dict(line.split() for line in (_CONTAINER / "memory.stat").read_text().splitlines())
    cached = sum(int(stat.get(name, 0)) for name in ("active_file", "inactive_file")) / 1e6
    return min(free or most, most - used + cached)

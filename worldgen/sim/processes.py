"""A worker process seen from its parent: started, asked, waited for, killed. Knows messages, not worlds.

Workers are fresh interpreters. A fork would share OpenGL's state, and multiprocessing's "spawn" would run the caller's script, with
all that it imports, once more in each worker before its environment could be set.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from .. import errors
from ..errors import WorldgenError, WorldsError
from .worker import Jobs, Reply, Setup

_MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from worldgen.sim.worker import serve
serve(int(sys.argv[1]), int(sys.argv[2]))
"""
"""Ctrl-C is the parent's business, also while imports go on."""
_ENVIRONMENT = {
    "LP_NUM_THREADS": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
"""One thread a worker, drawing included: with all cores busy, more only wait for each other."""
_START = 120.0
"""Time for a worker to import and to open OpenGL [s]."""


class Dead(Exception):
    """The worker has crashed, was killed or gives no answer; it has been ended."""


class Worker:
    """One process.

    Args:
        setup: What it is told at its start.
        patience: Time without a sign of life after which it counts as hung [s].
    """

    def __init__(self, setup: Setup, patience: float) -> None:
        self.setup, self.patience = setup, patience
        self._connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process; `wait_until_ready` before the first command."""
        self.kill()
        ours, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=(theirs.fileno(), self.setup.board),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path)} | _ENVIRONMENT,
            )
        self._connection = ours
        self._send(self.setup)

    def wait_until_ready(self) -> None:
        """Return once the process can take commands.

        Raises:
            RenderError: When the machine cannot draw.
            WorldsError: When it ends or hangs before it is ready.
        """
        process = self._process
        try:
            reply = self._receive(_START)
        except Dead as error:
            code = process.returncode if process else None
            raise WorldsError(f"A worker {error} as it started (code {code}). Is there memory left?") from None
        for name, message in reply.errors.values():
            self.kill()
            raise rebuilt(name, message)

    def send(self, command: str, jobs: Jobs) -> None:
        """Ask for something; a worker that is dead is found out at `answer`."""
        self._send((command, jobs))

    def answer(self) -> Reply:
        """Return what came of the last command.

        Raises:
            Dead: When none comes.
            RuntimeError: When the worker ran into a bug; it has ended.
        """
        return self._receive(self.patience)

    def kill(self) -> None:
        """End the process at once; nothing in it needs care."""
        if self._process:
            self._process.kill()
            self._process.wait()
        if self._connection:
            self._connection.close()
        self._process = self._connection = None

    def _send(self, message: object) -> None:
        if self._connection:
            with contextlib.suppress(OSError):  # found out at `_receive`
                self._connection.send(message)

    def _receive(self, patience: float) -> Reply:
        left = patience
        while self._connection:
            began = time.monotonic()
            try:
                got = self._connection.recv() if self._connection.poll(min(left, 1.0)) else ""
            except (EOFError, OSError):
                break
            if isinstance(got, Reply):
                return got
            if got:
                self.kill()
                raise RuntimeError(f"A worker ran into a bug:\n{got}")
            # in slices, so that time for which this process itself was stopped does not count
            left = patience if got is None else left - min(time.monotonic() - began, 1.0)
            if left <= 0:
                self.kill()
                raise Dead(f"gave no sign of life for {patience:g} s")
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)  # its own end, if it is ending, tells more than ours
        self.kill()
        raise Dead("died")


def rebuilt(name: str, message: str) -> WorldgenError:
    """Return the error that a worker raised, from its class and message."""
    kind: type[WorldgenError] = getattr(errors, name, WorldgenError)
    error = kind.__new__(kind, message)  # some classes take more than a message to be made
    assert isinstance(error, WorldgenError)
    return error

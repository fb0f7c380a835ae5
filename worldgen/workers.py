"""Processes that build scenes, and outlive neither their parent nor each other's crashes. Knows jobs, not plans."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .build import Job, Outcome, build, restore
from .errors import LibraryError
from .library import Rejection
from .makers import Makers

MAX_WORKERS = 256


def check_workers(workers: int) -> None:
    """Refuse a senseless number of processes."""
    if not 1 <= workers <= MAX_WORKERS:
        raise LibraryError(f"workers {workers} is outside [1, {MAX_WORKERS}].")


class Workers:
    """Builds jobs: at once in this process for one worker, else in a pool that survives the death of its workers."""

    def __init__(self, workers: int, root: Path, cache_root: Path | None, makers: Makers) -> None:
        self.workers, self.root, self.cache_root, self.makers = workers, root, cache_root, makers
        self._stack = contextlib.ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def start(self, job: Job) -> Future[Outcome]:
        """Return what becomes of a job, from the cache where it is there."""
        future: Future[Outcome] = Future()
        if self.cache_root and (known := restore(job, self.root, self.cache_root, self.makers)):
            future.set_result(known)
        elif self.workers == 1:
            future.set_result(build(job, self.root, self.cache_root, self.makers))
        else:
            return self._submit(job)
        return future

    def result(self, future: Future[Outcome], job: Job) -> Outcome:
        """Return an outcome. Of a job that was under way when a worker died, find out whether it was the cause: run it alone."""
        for _ in range(2):
            try:
                return future.result()
            except BrokenProcessPool:
                self._pool = None
                future = self._submit(job)
        with contextlib.suppress(BrokenProcessPool):
            return future.result()
        self._pool = None
        message = "the worker died, twice: out of memory, or a crash in native code."
        return Outcome(job.name, False, (*job.earlier, Rejection(attempt=0, gate="crash", message=message)))

    def _submit(self, job: Job) -> Future[Outcome]:
        for _ in range(3):
            if self._pool is None:
                self._pool = self._stack.enter_context(executor(self.workers))
            try:
                return self._pool.submit(build, job, self.root, self.cache_root, self.makers)
            except BrokenProcessPool:
                self._pool = None
        raise LibraryError("Workers die as soon as they start. Is there memory left? Try --workers 1.")


@contextlib.contextmanager
def executor(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool that leaves Ctrl-C to this process and drops what has not begun when an error passes through."""
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(os.getpid(),)
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when it is gone: a killed parent cannot tell its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

"""Whose a folder is: one run's, and one process's at a time. Knows no torch."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worldgen.store import write_file

from .errors import RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def claim(out: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Hold a run's folder, made and noted in it with which settings, or check that they are those it was begun with.

    Raises:
        RunError: When the folder cannot be made, holds something else or a run of other settings, its note cannot be read, or another
            process is at work there.
    """
    note, made = out / "run.json", json.loads(json.dumps(dict(settings), default=str))
    with held(out):
        content = [path for path in out.iterdir() if path != note]
        if content and not note.exists():
            raise RunError(f"'{out}' holds something else than a run, such as '{content[0].name}'. Use another --out.")
        if content:  # where nothing was done yet, it may begin otherwise
            _require_same(note, made)
        else:
            write_file(note, json.dumps(made, indent=1) + "\n")
        yield


def _require_same(note: Path, made: Mapping[str, Any]) -> None:
    try:
        old = dict(json.loads(note.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"'{note}' cannot be read: {error}. Use another --out or delete '{note.parent}'.") from error
    changed = [f"{name} {made[name]!r} instead of {old.get(name)!r}" for name in made if made[name] != old.get(name)]
    if changed:
        raise RunError(
            f"'{note.parent}' is a run with other settings: {'; '.join(changed)}. Use another --out or delete it."
        )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes from writing to it meanwhile, where the system can (not on Windows).

    Raises:
        RunError: When it cannot be made, or another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY) if fcntl else -1
    except OSError as error:
        raise RunError(f"'{folder}' cannot be a folder to write to: {error.strerror}. Use another --out.") from error
    try:
        if fcntl and not _locked(handle):
            raise RunError(f"Another process is at work in '{folder}'. Wait for it, stop it, or use another --out.")
        yield
    finally:
        if fcntl:
            os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

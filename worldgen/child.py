"""Run one function on arrays in another process that may crash, hang or eat memory without harm to the caller.

Knows processes and limits; knows nothing of what runs in them.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


class ChildError(Exception):
    """The child gave no result; the message completes "it ..."."""


class Refusal(ChildError):
    """The child ran well and refused its input; the message is a whole sentence for the user."""


def run(call: str, arrays: Arrays, *, seconds: float, memory: int = 4 << 30) -> Arrays:
    """Return what a function of arrays returns, from a fresh interpreter.

    Args:
        call: "module:function"; the function takes and returns a dict of arrays, and raises ValueError to refuse them.
        arrays: Its argument.
        seconds: Wall-clock limit [s].
        memory: Limit of the address space [bytes].

    Raises:
        Refusal: When the function raised ValueError or a subclass.
        ChildError: When it crashed, was killed, or ran past a limit.
    """
    command = [sys.executable, "-m", __name__, call, str(memory), str(int(np.ceil(seconds)) + 1)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path)}
    with tempfile.TemporaryFile() as log:  # a file, not a pipe: a child that prints without end costs no memory here
        try:
            done = subprocess.run(
                command,
                input=_pack(arrays),
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=seconds,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ChildError(f"ran past {seconds:g} s") from None
        log.seek(max(0, log.seek(0, os.SEEK_END) - 400))
        last = log.read().decode(errors="replace").strip().rpartition("\n")[2]
    if done.returncode == -signal.SIGXCPU:
        raise ChildError(f"used more than {seconds:g} s of processor time")
    if done.returncode < 0:
        raise ChildError(f"was ended by {signal.Signals(-done.returncode).name}")
    try:
        result = _unpack(done.stdout)
    except (ValueError, OSError, EOFError):
        raise ChildError(f"failed: {last[:200] or f'code {done.returncode}'}") from None
    if "refusal" in result:
        raise Refusal(str(result["refusal"]))
    if "error" in result:
        raise ChildError(str(result["error"]))
    return result


def _pack(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the keyword for its own option
    return buffer.getvalue()


def _unpack(data: bytes) -> Arrays:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return dict(stored)


def _limit(memory: int, seconds: int) -> None:
    if sys.platform == "win32":  # no such limits there: the parent's clock still holds
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    cores = os.cpu_count() or 1  # processor time runs on every core at once
    resource.setrlimit(resource.RLIMIT_CPU, (seconds * cores, seconds * cores + 1))


def _main(call: str, memory: str, seconds: str) -> None:
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries that print must not spoil the result
    _limit(int(memory), int(seconds))
    module, function = call.split(":")
    try:
        answer = getattr(importlib.import_module(module), function)(_unpack(sys.stdin.buffer.read()))
    except MemoryError:
        answer = {"error": np.array(f"needed more than {int(memory) / 2**30:.3g} GiB of memory")}
    except ValueError as error:
        answer = {"refusal": np.array(str(error))}
    results.write(_pack(answer))
    results.close()


if __name__ == "__main__":
    _main(*sys.argv[1:])

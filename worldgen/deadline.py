"""One deadline for a whole call, whatever it waits for. Knows threads, not what they do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result], name: str) -> Result:
    """Return what a call returns, or raise what it raises, if it ends in time.

    A network client's own limit is for each read, so that a server which drips could hold a call for ever, and nothing can end it from outside. So it runs
    in a thread, which is left alone when it takes too long and, unlike those of a pool, does not keep the process alive.

    Args:
        seconds: Longest wait [s].
        call: What to run.
        name: Of the thread, for debuggers.

    Raises:
        TimeoutError: When it takes longer.
    """
    answer: Future[Result] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            answer.set_exception(error)

    threading.Thread(target=work, name=name, daemon=True).start()
    return answer.result(seconds)

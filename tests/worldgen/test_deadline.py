"""A call ends as it would without a deadline, or at the deadline."""

from __future__ import annotations

import threading
import time

import pytest

from worldgen.deadline import within


class OwnError(BaseException):
    """Raised by nothing else, and caught by hardly anything."""


def test_what_a_call_returns_is_returned() -> None:
    assert within(60, lambda: (threading.current_thread().name, threading.current_thread().daemon), "caller") == (
        "caller",
        True,
    )


@pytest.mark.parametrize("kind", [ValueError, TimeoutError, SystemExit, OwnError])
def test_what_a_call_raises_is_raised(kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind("its own words")

    with pytest.raises(kind, match="its own words"):
        within(60, fail, "caller")


def test_what_takes_too_long_is_left_alone() -> None:
    release, ended = threading.Event(), threading.Event()

    def stall() -> None:
        release.wait(60)
        ended.set()

    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        within(0.2, stall, "caller")
    assert 0.19 < time.monotonic() - begun < 20, "at the limit, not at the end of the call"
    assert not ended.is_set()
    release.set()
    assert ended.wait(60), "it was left alone, not killed"

"""What many tests of the trainer read, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from .handmade import write


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Small networks in several processes: more threads than cores only wait for each other."""
    set_threads = torch.set_num_threads
    set_threads(1)
    torch.set_num_threads = lambda count: None  # type: ignore[assignment]
    yield
    torch.set_num_threads = set_threads


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two files. Read only."""
    root = tmp_path_factory.mktemp("whole")
    write(root, 4)
    return root

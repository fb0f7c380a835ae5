"""What many tests of the trainer read, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .handmade import write


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two files. Read only."""
    root = tmp_path_factory.mktemp("whole")
    write(root, 4)
    return root

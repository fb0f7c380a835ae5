"""Libraries that many tests read, made once; nothing that a test does reaches the user's own folders."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from worldgen import pipeline
from worldgen.library import Scene, SceneLibrary

hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
"""A run tells of the code, not of luck; HYPOTHESIS_PROFILE=default explores."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell starts what runs in its background deaf to Ctrl-C, and so would be the commands that tests interrupt."""

SENTENCES = (
    "put the red mug on the plate",
    "stack the blue cube on the green cube",
    "push the yellow cube to the red zone",
    "open the drawer",
)
TRAIN_ONLY = (1.0, 0.0, 0.0, 0.0, 0.0)
FAMILIES = {"pick-and-place", "stack", "push", "open"}
SETTINGS = pipeline.Settings(SENTENCES, count=4, splits=TRAIN_ONLY)
PANDA = pipeline.Settings(SENTENCES[1:2], count=1, robot="panda", splits=TRAIN_ONLY)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep robots and caches of the user out of every test."""
    monkeypatch.setenv("WORLDGEN_HOME", str(tmp_path_factory.getbasetemp() / "home"))
    monkeypatch.setenv("WORLDGEN_STORE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder with one store and the two libraries, made by whichever test process comes first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "shared"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for count in range(SETTINGS.count, 3 * SETTINGS.count):  # a scene that was given up leaves its family short
            pipeline.make(replace(SETTINGS, count=count), folder / "library", cache_root=folder / "store")
            if {scene.record.family for scene in SceneLibrary.open(folder / "library").scenes()} == FAMILIES:
                break
        assert pipeline.make(PANDA, folder / "panda", cache_root=folder / "store").complete
    return folder


@pytest.fixture(scope="session")
def library(shared: Path) -> SceneLibrary:
    """A library of four task families. Read only: take `library_copy` to change anything."""
    return SceneLibrary.open(shared / "library")


@pytest.fixture(scope="session")
def panda_library(shared: Path) -> SceneLibrary:
    """A library with one scene for the Panda. Read only."""
    return SceneLibrary.open(shared / "panda")


@pytest.fixture
def library_copy(library: SceneLibrary, tmp_path: Path) -> SceneLibrary:
    """The library in a folder of the test's own, where it may be damaged."""
    return SceneLibrary.open(shutil.copytree(library.root, tmp_path / "library"))


@pytest.fixture
def scene_of(library_copy: SceneLibrary) -> Callable[[str], Scene]:
    """A function from a task family to its scene in `library_copy`."""
    return lambda family: next(scene for scene in library_copy.scenes() if scene.record.family == family)

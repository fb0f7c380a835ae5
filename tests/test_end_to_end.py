"""From a sentence to a page, a table and a zip, by the command line alone, as a user does it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import mujoco
import pytest


def worldgen(*words: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "worldgen.cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sentence", "robot"), [("put the red mug on the plate, cluttered kitchen", "widowx"), ("open the drawer", "panda")]
)
def test_a_sentence_becomes_scenes_that_can_be_seen_checked_and_taken_away(
    sentence: str, robot: str, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    assert "2 of 2 scenes" in worldgen(
        "make", sentence, "--robot", robot, "--count", "2", "--out", library, "--store", tmp_path / "store"
    )
    moved = library.rename(tmp_path / "elsewhere")
    assert "2 of 2 scenes pass" in worldgen("check", moved)
    worldgen("gallery", moved)
    assert all(name in (moved / "gallery.html").read_text() for name in ("0000", "0001"))
    worldgen("export", moved / "scenes/0000", "--out", tmp_path / "scene.zip")
    with zipfile.ZipFile(tmp_path / "scene.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    (xml,) = (tmp_path / "unpacked").rglob("scene.xml")
    model = mujoco.MjModel.from_xml_path(str(xml))
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_step(model, data, 200)
    assert not any(warning.number for warning in data.warning)

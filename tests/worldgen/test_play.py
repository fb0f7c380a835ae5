"""Playing scenes and filming them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from worldgen import play
from worldgen.errors import DomainError, LibraryError, RenderError, SceneError, WorldsError
from worldgen.library import SceneLibrary, open_scenes


def frames(path: Path) -> list[np.ndarray]:
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]


def test_the_expert_solves_and_is_filmed(library: SceneLibrary, tmp_path: Path) -> None:
    scenes = list(library.scenes())[:2]
    told: list[tuple[int, int]] = []
    film = tmp_path / "film.mp4"
    found = play.play(scenes, video=film, size=(96, 72), progress=lambda done, wanted: told.append((done, wanted)))
    assert [played.end for played in found] == ["success", "success"]
    assert told == [(1, 2), (2, 2)]
    pictures = frames(film)
    longest = max(played.seconds for played in found)
    assert len(pictures) == pytest.approx(longest / 0.08 + 12, abs=15)  # a picture every 80 ms, then the end stays
    assert pictures[0].shape == (72, 192, 3)
    last = pictures[-1].astype(int)
    assert (last[5:60, 1, 1] > last[5:60, 1, 0] + 40).mean() > 0.9  # a green frame
    assert np.abs(pictures[0].astype(int) - pictures[len(pictures) // 3]).max() > 60


def test_it_is_the_same_each_time(library: SceneLibrary) -> None:
    scenes = list(library.scenes())[:1]
    once, again = (play.play(scenes, seed=3, episodes=2) for _ in range(2))
    assert once == again
    assert [played.seed for played in once] == [3, 4]


def test_random_arms_move_but_do_not_solve(library: SceneLibrary, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    (played,) = play.play(list(library.scenes())[:1], policy="random", video=film, size=(96, 72))
    pictures = frames(film)
    assert np.abs(pictures[0].astype(int) - pictures[len(pictures) // 2]).max() > 60
    assert played.end in ("timeout", "fell")
    assert played.trouble == ""


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "seed": ({"seed": -1}, WorldsError, "seed -1 is outside"),
    "episodes": ({"episodes": 0}, WorldsError, "episodes 0 is outside"),
    "noise": ({"noise": float("nan")}, WorldsError, "noise nan is outside"),
    "domain": ({"domain": "moon"}, DomainError, "Unknown domain 'moon'"),
    "film": ({"video": Path("film.avi")}, RenderError, "unknown ending"),
    "camera": ({"video": Path("film.gif"), "camera": "moon"}, RenderError, "has no camera 'moon'"),
    "films": ({"video": Path("film.gif"), "episodes": 65}, WorldsError, "episodes in one film"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses(case: str, library: SceneLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, error, message = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        play.play(list(library.scenes())[:1], **options)
    assert list(tmp_path.iterdir()) == []


def test_an_edited_scene_is_not_played(library_copy: SceneLibrary) -> None:
    scene = next(iter(library_copy.scenes()))
    scene.xml.write_text(scene.xml.read_text().replace("0.008", "0.004"))
    with pytest.raises(SceneError, match=r"scene\.xml"):
        play.play([scene])


def test_open_scenes(library: SceneLibrary, tmp_path: Path) -> None:
    names = library.index().scenes
    assert [scene.name for scene in open_scenes(library.root)] == list(names)
    assert [scene.name for scene in open_scenes(library.root, count=2)] == list(names[:2])
    assert [scene.name for scene in open_scenes(library.root / "scenes" / names[0])] == [names[0]]
    with pytest.raises(LibraryError, match="count 0"):
        open_scenes(library.root, count=0)
    with pytest.raises(LibraryError, match="is not a library"):
        open_scenes(tmp_path)

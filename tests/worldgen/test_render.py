"""Pictures: sizes, files, turntables, contact sheets, the dataset card."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from worldgen import camera, render
from worldgen.errors import RenderError
from worldgen.library import Scene, SceneLibrary

from . import handmade


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> SceneLibrary:
    return handmade.library(tmp_path_factory.mktemp("render") / "library")


@pytest.fixture(scope="module")
def scene(library: SceneLibrary) -> Scene:
    return library.scene("0000")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make turntables of four pictures."""
    turn = render.turn
    monkeypatch.setattr(render, "turn", lambda *args, **kwargs: turn(*args, **{**kwargs, "frames": 4}))


def test_still_has_the_size_and_shows_the_objects(scene: Scene) -> None:
    picture = render.still(scene, width=80, height=60)
    assert picture.shape == (60, 80, 3)
    red, blue = picture[..., 0].astype(int), picture[..., 2].astype(int)
    assert (red - blue > 60).sum() > 30  # the mug
    assert (blue - red > 60).sum() > 30  # the cabinet
    assert np.array_equal(picture, render.still(scene, width=80, height=60))


def test_preview_is_a_png_with_the_policy_view_in_its_corner(scene: Scene) -> None:
    content = render.preview(scene, scene.model())
    picture = np.array(Image.open(BytesIO(content)))
    assert picture.shape[:2] == render.PREVIEW[::-1]
    assert (picture[-1] == 255).all(axis=-1).sum() >= render.INSET  # the frame of the inset
    assert content == render.preview(scene, scene.model())


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 5), (1281, 10), (10, 961)])
def test_impossible_size_is_refused_before_anything_is_written(
    scene: Scene, tmp_path: Path, size: tuple[int, int]
) -> None:
    with pytest.raises(RenderError, match="1280"):
        render.write(scene, tmp_path / "new", size=size)
    assert not (tmp_path / "new").exists()


def test_folder_gets_named_files(scene: Scene, tmp_path: Path, quick: None) -> None:
    written = render.write(scene, tmp_path / "deep" / "new", "preview", (32, 24), "gif")
    assert [path.name for path in written] == ["0000-preview.png", "0000-turntable.gif"]
    assert sorted(tmp_path.glob("deep/new/*")) == sorted(written)  # nothing temporary left


def test_gif_has_its_frames_and_turns(scene: Scene, tmp_path: Path, quick: None) -> None:
    (path,) = render.write(scene, tmp_path / "round.gif", size=(48, 36))
    with Image.open(path) as opened:
        assert (opened.n_frames, opened.size, opened.info["loop"]) == (4, (48, 36), 0)
        first = np.array(opened.convert("RGB")).astype(int)
        opened.seek(2)
        assert np.abs(np.array(opened.convert("RGB")) - first).mean() > 3


def test_mp4_plays_everywhere(scene: Scene, tmp_path: Path, quick: None) -> None:
    (path,) = render.write(scene, tmp_path / "round.mp4", size=(47, 35))
    told = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", path], capture_output=True, text=True, check=False
    ).stderr
    assert "h264" in told
    assert "yuv420p" in told
    assert "48x36" in told  # even sides
    frames = list(itertools.islice(imageio_ffmpeg.read_frames(str(path)), 1, None))
    assert len(frames) == 4


def test_turntable_starts_as_the_still_and_holds_one_picture_at_a_time(scene: Scene) -> None:
    pictures = render.turn(scene.model(), "policy", (64, 48), frames=4)
    assert isinstance(pictures, Iterator)
    difference = np.abs(next(pictures).astype(int) - render.still(scene, width=64, height=48))
    assert difference.mean() < 2
    assert len(list(pictures)) == 3


def test_file_and_turntable_side_by_side(scene: Scene, tmp_path: Path, quick: None) -> None:
    written = render.write(scene, tmp_path / "a.png", size=(32, 24), turntable="gif")
    assert [path.name for path in written] == ["a.png", "a.gif"]


@pytest.mark.parametrize(("out", "turntable", "message"), [("a.jpg", "none", "ending"), ("a.gif", "mp4", "ending")])
def test_unknown_or_contradicting_ending_is_refused(
    scene: Scene, tmp_path: Path, out: str, turntable: render.Turntable, message: str
) -> None:
    with pytest.raises(RenderError, match=message):
        render.write(scene, tmp_path / out, turntable=turntable)


def test_unwritable_place_is_a_render_error(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RenderError, match="cannot be written"):
        render.write(scene, tmp_path / "file" / "a.png", size=(8, 8))


def test_unknown_camera_lists_the_cameras(scene: Scene) -> None:
    with pytest.raises(RenderError, match="policy, preview"):
        render.still(scene, "top")


def test_machine_without_opengl_says_what_to_install(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> None:
        raise ImportError("no EGL")

    monkeypatch.setattr(camera, "_context_class", lambda: fail)
    monkeypatch.setattr(camera, "_new_context", camera._new_context.__wrapped__)  # the true context stays as it is
    with pytest.raises(RenderError, match="apt install libegl1"):
        render.still(scene)


def test_contact_sheet_is_a_grid() -> None:
    pictures = [np.full((20, 30, 3), 40 * index, np.uint8) for index in range(5)]
    sheet = render.contact_sheet(pictures, ["name that is much too long for its picture"] * 5, columns=3)
    assert sheet.dtype == np.uint8
    for index, picture in enumerate(pictures):
        y, x = 8 + index // 3 * 50, 8 + index % 3 * 38
        assert np.array_equal(sheet[y : y + 20, x : x + 30], picture)
    assert sheet.shape == (2 * 50 + 8, 3 * 38 + 8, 3)
    with pytest.raises(RenderError, match="label"):
        render.contact_sheet(pictures, ["one"])


def test_card_tells_counts_reasons_and_licences(library: SceneLibrary) -> None:
    index = library.index()
    text = render.dataset_card(library, index)
    assert text == render.dataset_card(library, index)
    assert text.startswith("---\nlicense: cc0-1.0\n")
    assert "| train | 2 | 2 |" in text
    assert "| **all** | 3 | 3 |" in text
    assert "| settle | 2 |" in text
    assert "CC0-1.0" in text
    assert "mujoco 3.17.0" in text
    assert str(library.root) not in text


def test_card_shows_hostile_words_as_words(library: SceneLibrary) -> None:
    request = "a\n---\n| <script>x</script> [b](c) `d`"
    index = library.index().model_copy(
        update={"settings": {"requests": [request], "robot": "x"}, "scenes": (), "counts": {}}
    )
    text = render.dataset_card(library, index)
    assert "<script>" not in text.partition("---\n\n")[2]
    assert text.count("\n---\n") == 1  # the header ends once

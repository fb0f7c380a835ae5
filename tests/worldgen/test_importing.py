"""A photo becomes an asset of the height that was asked for, and a word that nobody knows is said to be one."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldgen.assets import Asset
from worldgen.errors import AssetError, MakerError
from worldgen.importing import from_image
from worldgen.makers import Makers
from worldgen.making import Images

from .test_pictures import shoot


def test_a_photo_becomes_an_asset_of_its_height(tmp_path: Path) -> None:
    shoot(tmp_path / "photo.png")
    made = from_image(tmp_path / "photo.png", "ball", 0.06, tmp_path / "ball")
    assert made.size[2] == pytest.approx(0.06, rel=0.02)
    assert made.colour == "red"
    assert Asset.load(tmp_path / "ball") == made
    assert not any("vocabulary" in note for note in made.notes)


def test_a_category_that_nobody_knows_is_a_guess_and_says_so(tmp_path: Path) -> None:
    shoot(tmp_path / "photo.png")
    made = from_image(tmp_path / "photo.png", "bal", 0.06, tmp_path / "bal")
    assert [note for note in made.notes if "vocabulary" in note] == [
        "'bal' is no word of the vocabulary: its form is guessed from the outline. Did you mean 'ball'?"
    ]


@pytest.mark.parametrize("height", [0.0, -1.0, 9.0, float("nan")])
def test_a_height_that_no_thing_has_is_refused(tmp_path: Path, height: float) -> None:
    shoot(tmp_path / "photo.png")
    with pytest.raises(AssetError, match="Give metres"):
        from_image(tmp_path / "photo.png", "ball", height, tmp_path / "ball")
    assert not (tmp_path / "ball").exists()


def test_a_model_that_cannot_be_asked_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    shoot(tmp_path / "photo.png")
    with pytest.raises(MakerError, match="--eyes needs OPENAI_API_KEY"):
        from_image(tmp_path / "photo.png", "ball", 0.06, tmp_path / "ball", eyes="m")
    assert not (tmp_path / "ball").exists()
    with pytest.raises(MakerError, match=r"--image\.judge needs OPENAI_API_KEY"):
        Makers.of("silhouette", images=Images("FLUX.1-schnell", judge="m")).require_reach()


def test_a_strange_size_is_said(tmp_path: Path) -> None:
    shoot(tmp_path / "photo.png")
    made = from_image(tmp_path / "photo.png", "ball", 0.9, tmp_path / "ball")
    assert any("0.9 m is no usual size of a ball" in note for note in made.notes)

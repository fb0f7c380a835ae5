"""An object is cut out of its picture, or the picture is refused with what is wrong with it."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from worldgen import photos
from worldgen.errors import AssetError
from worldgen.photos import Cutout, cut, lab, problems, read, sharpness

GREY, RED = (190, 195, 200), (180, 40, 30)


def picture(side: int = 256, background: Any = GREY, noise: float = 2.5, seed: int = 0) -> NDArray[np.uint8]:
    image = np.full((side, side, 3), background, float) + np.random.default_rng(seed).normal(0, noise, (side, side, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def disc(image: NDArray[np.uint8], radius: int = 70, centre: tuple[int, int] = (128, 128), colour: Any = RED) -> Any:
    """Draw a disc; return which pixels it has."""
    cv2.circle(image, centre, radius, colour, -1)
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.circle(mask, centre, radius, 1, -1)
    return mask.astype(bool)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("colour", [RED, (240, 240, 240), (20, 20, 25), (60, 140, 60)])
@pytest.mark.parametrize("slope", [0, 40])
def test_an_object_is_told_from_a_background_that_changes_smoothly(colour: Any, slope: int) -> None:
    image = picture()
    image = np.clip(image.astype(int) - np.linspace(0, slope, 256, dtype=int)[:, None, None], 0, 255).astype(np.uint8)
    mask = disc(image, colour=colour)
    found = cut(image)
    assert overlap(found.mask, mask) > 0.97
    assert problems(found) == []


def test_a_soft_shadow_is_no_part_of_it() -> None:
    image = picture()
    shade = np.zeros(image.shape[:2], np.float32)
    cv2.ellipse(shade, (150, 200), (80, 18), 0, 0, 360, 1.0, -1)
    image = np.clip(image * (1 - 0.18 * cv2.GaussianBlur(shade, (0, 0), 8))[..., None], 0, 255).astype(np.uint8)
    mask = disc(image)
    assert overlap(cut(image).mask, mask) > 0.95


class Network(ModuleType):
    """Stands in for rembg, which fetches its network on first use."""

    def __init__(self, answer: Any) -> None:
        super().__init__("rembg")
        self.__spec__ = ModuleSpec("rembg", None)
        self.answer = answer

    def new_session(self, name: str) -> str:
        return name

    def remove(self, image: Image.Image, only_mask: bool, session: str) -> Image.Image:
        assert only_mask
        assert session == "u2net"
        if isinstance(self.answer, BaseException):
            raise self.answer
        assert image.size == self.answer.shape[::-1]
        return Image.fromarray(np.where(self.answer, 255, 0).astype(np.uint8))


def test_rembg_helps_where_the_background_is_not_plain_and_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = np.where((np.indices((256, 256)) // 24).sum(axis=0) % 2, 40, 230)[..., None]
    image = np.repeat(checks, 3, axis=2).astype(np.uint8)
    mask = disc(image)
    assert problems(cut(image))
    photos._network.cache_clear()
    monkeypatch.setitem(sys.modules, "rembg", Network(mask))
    assert overlap(cut(image).mask, mask) == 1
    for answer in (OSError("no network"), SystemExit(1), np.zeros_like(mask), np.ones_like(mask)):
        photos._network.cache_clear()
        monkeypatch.setitem(sys.modules, "rembg", Network(answer))
        assert problems(cut(image))
    photos._network.cache_clear()
    plain = picture()
    alone = disc(plain)
    assert overlap(cut(plain).mask, alone) > 0.97  # what is plain needs no network


def test_a_hole_shows_the_background_and_stays() -> None:
    image = picture()
    mask = disc(image)
    hole = disc(image, 25, colour=GREY)
    assert overlap(cut(image).mask, mask & ~hole) > 0.95


def test_the_same_picture_is_cut_alike() -> None:
    image = picture()
    disc(image)
    assert np.array_equal(cut(image).mask, cut(image).mask)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda image: None, "nothing stands out"),
        (lambda image: disc(image, 60, (40, 128)), "touches the frame"),
        (lambda image: (disc(image, 40, (70, 128)), disc(image, 40, (190, 128))), "2 separate things"),
        (lambda image: disc(image, 20), "16% of the frame"),
        (lambda image: (disc(image), image.__setitem__(..., cv2.GaussianBlur(image, (0, 0), 9))), "blurred"),
    ],
    ids=["nothing", "cut off", "two", "small", "blurred"],
)
def test_what_is_wrong_with_a_picture(tmp_path: Path, change: Any, says: str) -> None:
    image = picture()
    change(image)
    Image.fromarray(image).save(tmp_path / "a.png")
    with pytest.raises(AssetError, match=says):
        read(tmp_path / "a.png")


def test_transparency_says_what_belongs_to_it(tmp_path: Path) -> None:
    image = picture()
    mask = disc(image, 90, colour=GREY)  # as grey as the background
    Image.fromarray(np.dstack([image, 255 * mask.astype(np.uint8)])).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png").mask, mask)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\nrest", b"<svg/>", b"GIF89a" + bytes(40)])
def test_files_that_are_no_pictures(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(AssetError, match=r"a\.png' is no readable PNG, JPEG, WEBP picture"):
        read(tmp_path / "a.png")
    with pytest.raises(AssetError, match=r"no readable"):
        read(tmp_path / "missing.png")


def test_a_picture_lying_on_its_side_is_turned(tmp_path: Path) -> None:
    image = picture()[:, :200]
    cv2.rectangle(image, (60, 40), (140, 210), RED, -1)
    turned = Image.fromarray(np.rot90(image).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise
    turned.save(tmp_path / "a.jpg", exif=exif, quality=95)
    height, width = read(tmp_path / "a.jpg").cropped().mask.shape
    assert height > 2 * width - 4


def test_no_edge_of_a_filled_picture_shows_the_background() -> None:
    image = picture()
    mask = disc(image)
    blurred = cv2.GaussianBlur(image, (0, 0), 0.8)
    filled = Cutout(blurred, mask).filled()
    assert np.abs(filled.astype(int) - RED).max() < 40
    assert Cutout(image, mask).colour() == RED


def test_sharpness_falls_with_blur() -> None:
    image = picture()
    mask = disc(image)
    steep = [sharpness(Cutout(cv2.GaussianBlur(image, (0, 0), blur), mask)) for blur in (0.3, 1, 2, 4, 8)]
    assert steep == sorted(steep, reverse=True)
    assert steep[0] > 0.4
    assert steep[-1] < 0.1


def test_colours_as_people_see_them() -> None:
    black, white, red = (lab(colour) for colour in ((0, 0, 0), (255, 255, 255), (255, 0, 0)))
    assert black == pytest.approx([0, 0, 0], abs=0.1)
    assert white == pytest.approx([100, 0, 0], abs=0.1)
    assert red == pytest.approx([53.2, 80.1, 67.2], abs=0.3)

"""Photos are found by what their names say and what they show."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from worldgen import vocabulary
from worldgen.errors import AssetError
from worldgen.pictures import Album, nearest_colour
from worldgen.spec import ObjectSpec

from .test_photos import GREY, disc, picture


def shoot(path: Path, colour: tuple[int, int, int] = (180, 40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture(128)
    disc(image, 45, (64, 64), colour)
    Image.fromarray(image).save(path)


def item(category: str = "mug", colour: str = "red", variant: int = 1) -> ObjectSpec:
    return ObjectSpec(
        name="a",
        category=category,
        colour=colour,
        material="ceramic",
        size=(0.1, 0.1, 0.1),
        role="target",
        variant=variant,
    )


@pytest.mark.parametrize(
    ("name", "category", "colour"),
    [
        ("mug.png", "mug", ""),
        ("red-mug-2.jpg", "mug", "red"),
        ("Coffee_Mug (3).JPG", "mug", ""),
        ("rolling-pin-1.webp", "rolling pin", ""),
        ("mugs/IMG_0007.png", "mug", ""),
        ("mugs/blue/bowl7.png", "bowl", ""),
        ("red car toy.png", "car", "red"),
    ],
)
def test_names_say_what_photos_show(tmp_path: Path, name: str, category: str, colour: str) -> None:
    shoot(tmp_path / name)
    (photo,) = Album.open(tmp_path).photos
    assert (photo.category, photo.said) == (category, frozenset({colour} - {""}))


def test_a_name_that_says_nothing_is_refused(tmp_path: Path) -> None:
    shoot(tmp_path / "IMG_0007.png")
    with pytest.raises(
        AssetError, match=r"IMG_0007\.png' does not say what it shows\. Begin it with a category, such as mug-1\.png"
    ):
        Album.open(tmp_path)


def test_folders_without_photos_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mug")
    with pytest.raises(AssetError, match="holds 0 photos"):
        Album.open(tmp_path)
    with pytest.raises(AssetError, match="There is no folder"):
        Album.open(tmp_path / "none")


def test_looks_are_what_photos_show(tmp_path: Path) -> None:
    shoot(tmp_path / "mug-1.png", (180, 40, 30))
    shoot(tmp_path / "mug-2.png", (40, 60, 170))
    shoot(tmp_path / "white bowl.png", (30, 90, 40))
    Image.fromarray(picture(128)).save(tmp_path / "cup.png")  # nothing is in it
    looks = Album.open(tmp_path).looks()
    assert looks == {"bowl": ("white",), "mug": ("red", "blue")}, "what a name says counts, else what is seen"


def test_a_photo_is_found_by_category_and_colour(tmp_path: Path) -> None:
    shoot(tmp_path / "red-mug.png")
    shoot(tmp_path / "blue-mug.png", (40, 60, 170))
    album = Album.open(tmp_path)
    assert album.find(item(colour="blue")).path.name == "blue-mug.png"
    with pytest.raises(AssetError, match=r"no photo of a green mug, only in blue, red"):
        album.find(item(colour="green"))
    with pytest.raises(AssetError, match=r"no photo of a red bowl\."):
        album.find(item("bowl"))


def test_photos_that_show_nothing_are_told(tmp_path: Path) -> None:
    Image.fromarray(picture(128, GREY)).save(tmp_path / "red-mug.png")
    with pytest.raises(AssetError, match=r"red-mug\.png' does not show one whole object"):
        Album.open(tmp_path).find(item())


def test_training_never_shares_a_photo_with_what_is_held_out(tmp_path: Path) -> None:
    for index in range(11):
        shoot(tmp_path / f"red-mug-{index:02d}.png", (180 + index, 40, 30))
    shoot(tmp_path / "red-mug-again.png", (180, 40, 30))
    album = Album.open(tmp_path)
    assert len(album.photos) == 11, "the same photo under another name is no other photo"
    seen = {True: set[str](), False: set[str]()}
    for variant in range(100):
        wanted = item(variant=variant)
        seen[wanted.held_out].add(album.find(wanted).path.name)
    assert not seen[True] & seen[False]
    assert len(seen[True] | seen[False]) == 11


def test_all_photos_are_used(tmp_path: Path) -> None:
    for index in range(30):
        shoot(tmp_path / f"red-mug-{index:02d}.png", (170 + index, 40, 30))
    album = Album.open(tmp_path)
    wanted = [item(variant=variant) for variant in range(100)]
    assert len({album.find(one).path.name for one in wanted if not one.held_out}) > 20


@pytest.mark.parametrize(
    ("name", "pattern", "material", "suits"),
    [
        ("red-mug.png", "plain", "ceramic", True),
        ("red-mug.png", "plain", "plastic", True),
        ("red-mug.png", "stripes", "ceramic", False),
        ("red-striped-mug.png", "stripes", "ceramic", True),
        ("red-striped-mug.png", "plain", "ceramic", False),
        ("red plastic mug.png", "plain", "ceramic", False),
        ("red plastic mug.png", "plain", "plastic", True),
    ],
)
def test_a_photo_shows_the_pattern_and_material_that_its_name_says(
    tmp_path: Path, name: str, pattern: str, material: str, suits: bool
) -> None:
    shoot(tmp_path / name)
    (photo,) = Album.open(tmp_path).photos
    assert photo.suits(item().model_copy(update={"pattern": pattern, "material": material})) == suits


def test_without_a_photo_that_is_held_out_there_is_none(tmp_path: Path) -> None:
    shoot(tmp_path / "red-mug.png")
    with pytest.raises(AssetError, match="none of which is kept for the held-out split"):
        Album.open(tmp_path).find(item(variant=5))


@pytest.mark.parametrize("name", [name for name in vocabulary.colours() if name != "natural"])
@pytest.mark.parametrize("light", [0.9, 1.0])
def test_colours_are_named_as_they_are(name: str, light: float) -> None:
    red, green, blue = (min(255, round(light * part)) for part in vocabulary.colours()[name])
    names = tuple(name for name in vocabulary.colours() if name != "natural")
    found = nearest_colour((red, green, blue), names)
    close = {frozenset({"white", "silver"}), frozenset({"grey", "silver"}), frozenset({"black", "navy"})}
    assert found == name or (light < 1 and frozenset({found, name}) in close), found


def test_what_is_never_plain_is_pictured_in_its_own_pattern(tmp_path: Path) -> None:
    shoot(tmp_path / "red-basket-1.png")
    photo = Album.open(tmp_path).photos[0]
    assert photo.suits(item("basket").model_copy(update={"pattern": "weave"}))
    assert not photo.suits(item("basket").model_copy(update={"pattern": "stripes"}))

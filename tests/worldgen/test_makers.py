"""Objects are made by the first of several makers that can, and a library says which one it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldgen import assets, pipeline, store
from worldgen.errors import AssetError
from worldgen.library import SceneLibrary
from worldgen.makers import Makers

from .test_pictures import item, shoot


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    shoot(root / "red-apple-1.png")
    shoot(root / "yellow-lemon.png", (220, 200, 40))
    return root


def test_the_first_that_can_makes_it(tmp_path: Path, album: Path) -> None:
    makers, entries = Makers.of("silhouette,procedural", photos=album), store.Store(tmp_path)
    pictured = assets.make(item("apple"), entries, makers)
    assert (pictured.provenance.backend, pictured.provenance.model) == ("silhouette", "red-apple-1.png")
    assert pictured.provenance.licence == "user-supplied"
    assert pictured.notes[0] == "turned"
    drawn = assets.make(item("bowl"), entries, makers)
    assert drawn.provenance.backend == "procedural"
    assert drawn.key == assets.make(item("bowl"), entries).key, "a fall-back is the very asset that it is elsewhere"
    assert assets.make(item("apple"), entries).key != pictured.key


def test_an_object_may_name_its_own(tmp_path: Path, album: Path) -> None:
    makers, entries = Makers.of("silhouette", photos=album), store.Store(tmp_path)
    own = item("apple").model_copy(update={"makers": ("procedural",)})
    assert assets.make(own, entries, makers).provenance.backend == "procedural"
    with pytest.raises(
        AssetError, match=r"works from pictures, and there are none\. Give a folder of photos with --photos"
    ):
        assets.make(item("apple").model_copy(update={"makers": ("silhouette",)}), entries)


def test_when_none_can_all_reasons_are_given(tmp_path: Path, album: Path) -> None:
    makers = Makers.of("silhouette,procedural", photos=album)
    with pytest.raises(
        AssetError, match=r"silhouette: .* has no photo of a red gizmo\. procedural: No template draws a 'gizmo'"
    ):
        assets.make(item("gizmo"), store.Store(tmp_path), makers)


def test_another_photo_is_another_asset(tmp_path: Path) -> None:
    entries, keys = store.Store(tmp_path / "store"), set()
    for index, radius in enumerate((45, 50)):
        root = tmp_path / f"{index}"
        shoot(root / "red-apple.png", (180 + radius, 40, 30))
        keys.add(assets.make(item("apple"), entries, Makers.of("silhouette", photos=root)).key)
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("names", "photos", "says"),
    [
        ("sillhouette", False, "Unknown asset backend 'sillhouette'.*silhouette"),
        ("silhouette", False, "works from pictures. Give a folder of photos with --photos, or a model"),
        ("procedural", True, "Pictures are for makers that work from them: silhouette"),
        ("json:nothing", False, "cannot be imported"),
    ],
)
def test_what_cannot_be_asked_for(album: Path, names: str, photos: bool, says: str) -> None:
    with pytest.raises(AssetError, match=says):
        Makers.of(names, photos=album if photos else None)


def test_a_library_from_photos(tmp_path: Path, album: Path) -> None:
    """What is not said is chosen as there are photos of it; the record says who made what, and the settings from which photos."""
    settings = pipeline.Settings(
        ("put the lemon on the plate",),
        count=1,
        assets="silhouette,procedural",
        splits=(1, 0, 0, 0, 0),
        photos=str(album),
    )
    assert pipeline.make(settings, tmp_path / "library").complete
    library = SceneLibrary.open(tmp_path / "library")
    (scene,) = library.scenes()
    target = scene.record.spec.task.goals[0].target
    made = assets.Asset.load(library.root / "assets" / scene.record.assets[target])
    assert (made.provenance.backend, made.colour) == ("silhouette", "yellow")
    assert library.index().settings["photos"] == album.name
    assert "photos" not in pipeline.Settings(("put the lemon on the plate",)).stored()

"""Objects are made by the first of several makers that can, and a library says which one it was."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from worldgen import assets, pipeline, store
from worldgen.backends import mesh_procedural
from worldgen.errors import AssetError, MakerError
from worldgen.library import SceneLibrary
from worldgen.makers import Makers
from worldgen.making import Images, Server
from worldgen.shapes import Shape
from worldgen.spec import ObjectSpec

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
        ("http:http://a,http:http://b", True, "names 2 servers"),
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
    told = library.index().settings["makers"]
    assert [name for name, _ in told["chain"]] == ["silhouette", "procedural"]
    assert sorted(photo[1] for photo in told["photos"]) == ["red-apple-1.png", "yellow-lemon.png"]
    again = pipeline.make(settings, tmp_path / "library")
    assert (again.accepted, again.built) == (1, 0), "the same command goes on"
    assert not {"photos", "makers"} & pipeline.Settings(("put the lemon on the plate",)).stored().keys()


def forbidden(item: ObjectSpec) -> Shape:
    """Make what no model may be trained on."""
    made = mesh_procedural.make(item)
    return replace(made, provenance=made.provenance.model_copy(update={"licence": "forbidding", "may_train": False}))


def test_what_no_model_may_be_trained_on_is_refused(tmp_path: Path) -> None:
    name = f"{__name__}:forbidden"
    with pytest.raises(AssetError, match=r"under 'forbidding', .* Make one for other ends with --any-licence"):
        assets.make(item("apple"), store.Store(tmp_path), Makers.of(name))
    assert not assets.make(item("apple"), store.Store(tmp_path), Makers.of(name, any_licence=True)).provenance.may_train


def test_the_text_of_a_scene_names_no_code(tmp_path: Path) -> None:
    own = item("apple").model_copy(update={"makers": (f"{__name__}:forbidden",)})
    with pytest.raises(AssetError, match="it is not among procedural, silhouette"):
        assets.make(own, store.Store(tmp_path))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_is_gone_stops_the_batch(
    tmp_path: Path, album: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of the scenes: nothing is rejected, and the same command goes on. One that was never there leaves nothing behind."""
    settings = pipeline.Settings(
        ("put the lemon on the plate",), count=2, assets=f"http:http://127.0.0.1:{workers},procedural", splits=(1, 0, 0, 0, 0),
        photos=str(album), server=Server(licence="MIT", may_train=True, dialect="generate"),
    )  # fmt: skip
    with pytest.raises(MakerError, match=r"Nothing answers at http://127\.0\.0\.1:.*leave it out of --assets"):
        pipeline.make(settings, tmp_path / "library", workers=workers)
    assert not (tmp_path / "library").exists()
    with monkeypatch.context() as patch:
        patch.setattr(Makers, "require_reach", lambda makers: None)  # as if it went away just then
        with pytest.raises(MakerError, match="Is the server running"):
            pipeline.make(settings, tmp_path / "library", workers=workers)
    assert not list((tmp_path / "library" / "rejected").iterdir())
    assert not list((tmp_path / "library" / "scenes").iterdir())


def test_settings_hold_what_decides(album: Path) -> None:
    """Another model, prompt, photo or name of a photo is another library; where a server runs is not, once its model has a name."""
    base = Makers.of("silhouette", images=Images("m/FLUX.2-klein-4B"))
    assert base.settings() != Makers.of("silhouette", images=Images("m/FLUX.2-klein-4B", steps=7)).settings()
    assert base.settings() != Makers.of("silhouette", images=Images("m/FLUX.1-schnell")).settings()
    assert base.settings() != Makers.of("silhouette", photos=album).settings()
    ours = {"licence": "MIT", "may_train": True}
    named, also = (
        Makers.of(f"http:http://127.0.0.1:{port}", photos=album, server=Server(model="TRELLIS", **ours))
        for port in (1, 2)
    )
    assert named.settings() == also.settings()
    assert named.settings() != Makers.of("http:http://127.0.0.1:1", photos=album, server=Server(**ours)).settings()


def test_what_pictures_need_is_loaded_on_use() -> None:
    code = (
        "import sys\nfrom worldgen import assets, makers\n"
        "heavy = {'openai', 'httpx', 'torch', 'worldgen.photos', 'worldgen.backends.mesh_silhouette'}\n"
        "makers.Makers.of('procedural').version()\nprint(sorted(heavy & set(sys.modules)))\n"
        "makers.code('silhouette')\nprint(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['worldgen.backends.mesh_silhouette', 'worldgen.photos']"]

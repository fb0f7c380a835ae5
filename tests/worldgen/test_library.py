"""The folder on disk: what opens, what does not, and what a user is told."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worldgen.errors import AssetError, LibraryError, SceneError
from worldgen.library import FORMAT, Index, Rejected, Rejection, Scene, SceneLibrary, SceneRecord, open_scene
from worldgen.wire import SPLITS

SETTINGS = {"requests": ["lift the mug"], "count": 3, "seed": 0}


class TestCreate:
    def test_new_folder_and_its_parents(self, tmp_path: Path) -> None:
        found = SceneLibrary.create(tmp_path / "a" / "b", SETTINGS)
        assert found.index() == Index(settings=SETTINGS)
        assert list(found.scenes()) == []

    def test_empty_folder_and_hidden_files(self, tmp_path: Path) -> None:
        (tmp_path / ".cache").touch()
        SceneLibrary.create(tmp_path, SETTINGS)

    def test_again_with_another_count(self, tmp_path: Path) -> None:
        SceneLibrary.create(tmp_path, SETTINGS).write_index(Index(settings=SETTINGS, scenes=("0000",)))
        assert SceneLibrary.create(tmp_path, SETTINGS | {"count": 9}).index().scenes == ("0000",)

    def test_other_settings_are_all_named(self, tmp_path: Path) -> None:
        SceneLibrary.create(tmp_path, SETTINGS)
        words = r"made with other settings: robot 'panda' instead of None; seed 4 instead of 0\. Use the same"
        with pytest.raises(LibraryError, match=words):
            SceneLibrary.create(tmp_path, SETTINGS | {"seed": 4, "robot": "panda"})

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(LibraryError, match=r"file' is a file\. Give a folder"):
            SceneLibrary.create(tmp_path / "file", SETTINGS)
        with pytest.raises(LibraryError, match=r"cannot be written \(Not a directory\)"):
            SceneLibrary.create(tmp_path / "file" / "library", SETTINGS)

    def test_a_folder_of_something_else_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").touch()
        with pytest.raises(LibraryError, match="is not empty and holds no library"):
            SceneLibrary.create(tmp_path, SETTINGS)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", denied)
        with pytest.raises(LibraryError, match=r"cannot be written \(Permission denied\)\. Choose another folder"):
            SceneLibrary.create(tmp_path / "library", SETTINGS)

    @pytest.mark.parametrize("step", range(6))
    def test_an_interrupted_start_can_be_gone_on_with(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
    ) -> None:
        real, left = Path.mkdir, [step]

        def stop(self: Path, *more: Any, **options: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            real(self, *more, **options)

        monkeypatch.setattr(Path, "mkdir", stop)
        with contextlib.suppress(KeyboardInterrupt):
            SceneLibrary.create(tmp_path / "library", SETTINGS)
        monkeypatch.undo()
        found = SceneLibrary.create(tmp_path / "library", SETTINGS)
        assert {path.name for path in found.root.iterdir()} == {
            "library.json",
            "assets",
            "robots",
            "scenes",
            "rejected",
        }


class TestOpen:
    def test_absent(self, tmp_path: Path) -> None:
        with pytest.raises(LibraryError, match=r"is not a library: library.json cannot be read .*Make one with"):
            SceneLibrary.open(tmp_path / "absent")

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(LibraryError, match="is a file, not a library folder"):
            SceneLibrary.open(tmp_path / "file")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b'{"format": 1, "sett', "is damaged"),
            (b"\xff\xfe\x00", "is damaged"),
            (b"", "is damaged"),
            (b"[]", "has format None"),
            (b'{"settings": {}}', "has format None"),
            (f'{{"format": {FORMAT + 1}, "settings": {{}}}}'.encode(), "Update worldgen"),
            (b'{"format": 1}', "is damaged: settings: Field required"),
            (b'{"format": 1, "settings": {}, "more": 1}', "is damaged: more: Extra inputs"),
            (b'{"format": 1, "settings": {}, "scenes": ["../../etc"]}', "is damaged: scenes.0"),
        ],
    )
    def test_damaged(self, tmp_path: Path, content: bytes, words: str) -> None:
        (tmp_path / "library.json").write_bytes(content)
        with pytest.raises(LibraryError, match=words) as caught:
            SceneLibrary.open(tmp_path)
        assert "\n" not in str(caught.value)


class TestScenes:
    def test_by_name(self, library: SceneLibrary) -> None:
        for name in library.index().scenes:
            assert library.scene(name).name == name

    def test_a_missing_one_tells_the_known_ones(self, library: SceneLibrary) -> None:
        known = ", ".join(library.index().scenes)
        with pytest.raises(LibraryError, match=rf"has no scene '9999'\. Scenes: {known}\."):
            library.scene("9999")

    def test_splits(self, library: SceneLibrary) -> None:
        assert [scene.name for scene in library.scenes("train")] == list(library.index().scenes)
        assert list(library.scenes("unseen-objects")) == []
        with pytest.raises(LibraryError, match=rf"Unknown split 'test'\. Splits: {', '.join(SPLITS)}\."):
            list(library.scenes("test"))

    def test_counts_tell_the_truth(self, library: SceneLibrary) -> None:
        index, scenes = library.index(), list(library.scenes())
        assert index.counts["scenes"] == len(scenes) == len(index.scenes)
        assert index.counts["splits"] == {"train": len(scenes)}
        assert sum(index.counts["families"].values()) == len(scenes)
        assert index.counts["assets"] == len({key for scene in scenes for key in scene.record.assets.values()})

    def test_by_folder_xml_or_json(self, library: SceneLibrary) -> None:
        scene = next(library.scenes())
        for path in (scene.folder, scene.xml, scene.folder / "scene.json"):
            assert open_scene(path).record == scene.record
        with pytest.raises(SceneError, match="is not a scene folder"):
            open_scene(library.root)

    def test_records_survive_their_json(self, library: SceneLibrary) -> None:
        for scene in library.scenes():
            assert SceneRecord.model_validate_json(scene.record.model_dump_json()) == scene.record

    def test_every_asset_is_there(self, library: SceneLibrary) -> None:
        for scene in library.scenes():
            for item in scene.record.spec.objects:
                assert scene.asset(item.name).category == item.category

    def test_an_asset_s_record_is_not_read_through_a_link(self, library_copy: SceneLibrary, tmp_path: Path) -> None:
        scene = next(library_copy.scenes())
        name, key = next(iter(scene.record.assets.items()))
        file = library_copy.assets.folder(key) / "asset.json"
        file.rename(tmp_path / "secret.json")
        file.symlink_to(tmp_path / "secret.json")
        with pytest.raises(SceneError, match="symbolic link"):
            scene.asset(name)

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (lambda value: value.pop("seed"), "seed: Field required"),
            (lambda value: value.update(colour="red"), "colour: Extra inputs are not permitted"),
            (lambda value: value["poses"]["0"].update(yaw=float("nan")), "poses.*yaw: Input should be a finite number"),
            (lambda value: value["poses"]["0"].update(pos=[0, 0]), "poses.*pos.2: Field required"),
            (lambda value: value["spec"].update(version=7), "spec.version: Input should be 1"),
            (lambda value: value.update(assets={"mug": "../../../secret"}), "assets.mug: String should match pattern"),
            (lambda value: value.update(format=FORMAT + 1), "format: Input should be less than or equal to 1"),
            (lambda value: value.clear(), "Field required"),
        ],
    )
    def test_a_damaged_record_names_the_field(
        self, library_copy: SceneLibrary, edit: Callable[[Any], Any], words: str
    ) -> None:
        file = next(library_copy.scenes()).folder / "scene.json"
        value = json.loads(file.read_text())
        value["poses"] = {"0": next(iter(value["poses"].values()))}
        edit(value)
        file.write_text(json.dumps(value))
        with pytest.raises(SceneError, match=rf"scene\.json' is damaged or of another format: .*{words}") as caught:
            Scene.open(file.parent)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"null"])
    def test_a_torn_record(self, library_copy: SceneLibrary, content: bytes) -> None:
        scene = next(library_copy.scenes())
        (scene.folder / "scene.json").write_bytes(content)
        with pytest.raises(SceneError, match="is damaged or of another format"):
            Scene.open(scene.folder)

    def test_what_is_missing_on_disk_is_named(self, library_copy: SceneLibrary) -> None:
        scene = next(library_copy.scenes())
        name = next(iter(scene.record.assets))
        shutil.rmtree(library_copy.assets.folder(scene.record.assets[name]))
        with pytest.raises(AssetError, match="holds no readable asset"):
            scene.asset(name)
        with pytest.raises(SceneError, match="does not exist"):
            scene.model()
        scene.xml.write_text("<mujoco><nonsense/></mujoco>")
        with pytest.raises(SceneError, match="MuJoCo refuses"):
            scene.model()
        shutil.rmtree(scene.folder)
        with pytest.raises(SceneError, match="is not a scene folder"):
            library_copy.scene(scene.name)


def test_rejections_are_kept_and_a_torn_one_counts_as_none(tmp_path: Path) -> None:
    found = SceneLibrary.create(tmp_path, SETTINGS)
    rejected = Rejected(
        name="0003", split="train", request="lift the mug", rejections=(Rejection(attempt=0, gate="settle", message="fell"),)
    )  # fmt: skip
    assert found.rejected("0003") is None
    found.reject(rejected)
    assert found.rejected("0003") == rejected
    (tmp_path / "rejected" / "0003.json").write_text("{")
    assert found.rejected("0003") is None

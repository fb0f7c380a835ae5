"""Labelled pictures: each label is where its object is; drawn files stay; scenes are there once."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainer import pictures
from trainer.errors import RunError
from trainer.pictures import Job, Pictures, _jobs, _scene
from worldgen.library import Scene, SceneLibrary
from worldgen.sim import domains
from worldgen.sim.sight import Scatter
from worldgen.sim.stage import Settings, Stage, View
from worldgen.spec import SceneSpec


class TestJobs:
    @staticmethod
    def jobs(count: int, scenes: int) -> list[Job]:
        made: list[Any] = [SimpleNamespace(folder=Path(f"{index}")) for index in range(scenes)]
        return list(_jobs(made, Path("out"), count, 3, "none", 32, ("policy",)))

    @pytest.mark.parametrize(
        ("count", "scenes"),
        [(1, 1), (64, 3), (65, 3), (1000, 4), (3000, 7), (1500, 54), (20_000, 490), (150_000, 2710), (8, 40)],
    )
    def test_enough_pictures_of_all_scenes(self, count: int, scenes: int) -> None:
        jobs = self.jobs(count, scenes)
        drawn = [int(str(folder)) for job in jobs for folder in job.folders]
        assert count <= sum(job.count * len(job.folders) for job in jobs) < count + 5 * 64
        assert drawn == [index % scenes for index in range(len(drawn))]
        assert len({job.path for job in jobs}) == len({job.seed for job in jobs}) == len(jobs)
        kept = np.array(drawn).repeat(jobs[0].count)[:count]  # what `load` reads
        assert len(set(kept.tolist())) == min(scenes, -(-count // jobs[0].count))
        if count >= 4 * scenes:
            assert len(set(kept.tolist())) == scenes, "none is left out"


@pytest.fixture(scope="module")
def scene(library: SceneLibrary) -> Scene:
    return next(scene for scene in library.scenes() if scene.record.family == "stack")


def test_a_scatter_labels_every_object(scene: Scene) -> None:
    stage = Stage(scene, Settings(domains.load("none"), views=(View("policy", 32, 32),)), trusted=True)
    try:
        scatter = Scatter(stage)
        one, again = (scatter.pictures(5, 2) for _ in range(2))
        names = {item.name for item in scene.record.spec.objects}
        for sight, same in zip(one, again, strict=True):
            assert sight.points.keys() == names
            assert all(np.array_equal(sight.points[name], same.points[name]) for name in names)
            assert np.array_equal(sight.observation.images["policy"], same.observation.images["policy"])
        assert not np.array_equal(one[0].observation.state, one[1].observation.state)
    finally:
        stage.close()


def test_rows_hold_each_object_where_the_scatter_put_it(scene: Scene) -> None:
    job = Job(Path("unused"), (scene.folder,), 8, 3, "none", 32, ("policy",))
    drawn, spec = _scene(scene.folder, job, 0), scene.record.spec
    assert drawn.images.shape == (8, 1, 32, 32, 3)
    assert [SceneSpec.model_validate_json(text) for text in drawn.scenes] == [spec]
    stage = Stage(scene, Settings(domains.load("none"), views=(View("policy", 32, 32),)), trusted=True)
    try:
        first = int(np.random.default_rng([3, 0]).integers(2**31))
        for row, sight in enumerate(Scatter(stage).pictures(first, 4)):
            for index, item in enumerate(spec.objects):
                assert drawn.points[row, index] == pytest.approx(sight.points[item.name], abs=1e-6)
            assert np.isnan(drawn.points[row, len(spec.objects) :]).all()
            assert np.array_equal(drawn.images[row, 0], sight.observation.images["policy"])
            assert drawn.camera[row] == pytest.approx(sight.camera, abs=1e-5)
    finally:
        stage.close()


def test_joined_scenes_are_there_once_and_rows_keep_theirs(tmp_path: Path) -> None:
    def part(names: list[str], which: list[int]) -> Pictures:
        count = len(which)
        images, rows = np.zeros((count, 1, 8, 8, 3), np.uint8), np.zeros((count, 7), np.float32)
        return Pictures(
            images, rows, np.zeros((count, 32, 3), np.float32), rows, np.array(which, np.int64), np.array(names)
        )

    parts = [part(["a", "bb"], [0, 1, 1]), part(["bb", "c", "a"], [2, 0, 1])]
    whole, wanted = Pictures.joined(parts, 6), ["a", "bb", "bb", "a", "bb", "c"]
    assert whole.scenes[whole.scene].tolist() == wanted
    assert sorted(whole.scenes.tolist()) == ["a", "bb", "c"]
    for number, one in enumerate(parts):
        np.savez(tmp_path / f"{number}.npz", **{field.name: getattr(one, field.name) for field in fields(Pictures)})  # type: ignore[arg-type]
    for count in (1, 3, 4, 6):
        read = pictures.load(tmp_path, count)
        assert read.scenes[read.scene].tolist() == wanted[:count]
        assert read.images.shape == (count, 1, 8, 8, 3)


class TestDraw:
    @pytest.fixture
    def drawn(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """The files that were drawn; empty ones, by this process."""
        made: list[Path] = []

        def draw(job: Job) -> int:
            made.append(job.path)
            rows = job.count * len(job.folders)
            with job.path.open("wb") as file:
                columns: dict[str, Any] = {name: np.zeros(rows, int) for name in pictures.ROWS}
                np.savez(file, **columns, scenes=np.array(["a scene"]))
            return rows

        class Pool:
            def __init__(self, *_: Any, **__: Any) -> None: ...

            def __enter__(self) -> Pool:
                return self

            def __exit__(self, *_: object) -> None: ...

            def shutdown(self, **_: Any) -> None: ...

            def submit(self, function: Any, job: Job) -> Any:
                return SimpleNamespace(result=lambda: draw(job))

        monkeypatch.setattr(pictures, "ProcessPoolExecutor", Pool)
        monkeypatch.setattr(pictures, "as_completed", iter)
        return made

    def run(self, folder: Path, count: int = 640, manifest: str = "", **changes: Any) -> list[int]:
        settings: dict[str, Any] = {
            "seed": 0,
            "domain": "none",
            "size": 32,
            "cameras": ("policy",),
            "workers": 1,
            **changes,
        }
        scenes: list[Any] = [SimpleNamespace(folder=folder.parent / name, name=name) for name in "ab"]
        for scene in scenes:
            scene.folder.mkdir(exist_ok=True)
            (scene.folder / "manifest.json").write_text(scene.name + manifest)
        return list(pictures.draw(scenes, folder, count, **settings))

    def test_what_is_there_stays(self, tmp_path: Path, drawn: list[Path]) -> None:
        out = tmp_path / "out"
        assert self.run(out) == [0, 320, 640]
        assert self.run(out) == [640]
        (out / "00001.npz").unlink()
        assert self.run(out) == [320, 640]
        assert [path.name for path in drawn] == ["00000.npz", "00001.npz", "00001.npz"]
        assert len(pictures.load(out)) == 640
        assert len(pictures.load(out, 300)) == 300
        assert len(pictures.load(out, 10**6)) == 640

    @pytest.mark.parametrize(
        "change",
        [
            {"seed": 1},
            {"domain": "full"},
            {"size": 64},
            {"cameras": ("policy", "robot/wrist")},
            {"count": 10_000},
            {"manifest": "a scene of that name, made anew"},
        ],
    )
    def test_other_pictures_are_refused(self, tmp_path: Path, drawn: list[Path], change: dict[str, Any]) -> None:
        self.run(tmp_path / "out", 64)
        with pytest.raises(RunError, match="pictures of other scenes"):
            self.run(tmp_path / "out", **{"count": 64, **change})

    def test_no_scenes_and_no_pictures(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="no scenes"):
            list(pictures.draw([], tmp_path, 1, seed=0, domain="none", size=32, cameras=("policy",), workers=1))
        with pytest.raises(RunError, match="no pictures"):
            pictures.load(tmp_path)


@pytest.mark.slow
def test_real_pictures_in_real_processes(scene: Scene, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"seed": 0, "domain": "paper", "size": 32, "cameras": ("policy", "robot/wrist")}
    assert list(pictures.draw([scene], tmp_path / "one", 320, **settings, workers=1)) == [0, 320]
    list(pictures.draw([scene], tmp_path / "two", 320, **settings, workers=2))
    one, two = (pictures.load(tmp_path / name, 320) for name in ("one", "two"))
    for field in fields(Pictures):
        assert np.array_equal(getattr(one, field.name), getattr(two, field.name), equal_nan=field.name != "scenes")
    assert one.images.shape == (320, 2, 32, 32, 3)
    assert (one.images[:, 0] != one.images[:, 1]).any()
    assert one.images.std() > 5
    assert np.isfinite(one.points[:, : len(scene.record.spec.objects)]).all()
    assert len(one) == 320

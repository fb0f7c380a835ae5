"""Labelled pictures: a sentence names what its labels are of; labels are where the picture shows it; drawn files stay."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainer import pictures
from trainer.errors import RunError
from trainer.pictures import ALONE, Job, Pictures, _jobs, _noun, _row, _sentence
from worldgen.library import Scene, SceneLibrary
from worldgen.phrases import is_held_out, phrases, say, templates
from worldgen.sim import domains
from worldgen.sim.sight import Scatter, Sight
from worldgen.sim.stage import Settings, Stage, View
from worldgen.sim.world import Observation
from worldgen.spec import SceneSpec, goal_names

THING = {"size": (0.06, 0.06, 0.08), "material": "plastic"}


def spec() -> SceneSpec:
    """Return a scene with two mugs, a plate and a fixture that opens."""
    objects = [
        {"name": "mug_1", "category": "mug", "colour": "red", "role": "target", **THING},
        {"name": "mug_2", "category": "mug", "colour": "blue", "role": "distractor", **THING},
        {"name": "plate", "category": "plate", "colour": "white", "role": "container", **THING},
        {"name": "cabinet", "category": "drawer", "colour": "green", "role": "fixture", **THING},
    ]
    task = {
        "instruction": "put the red mug on the plate",
        "goals": [{"kind": "on", "target": "mug_1", "support": "plate"}],
    }
    base = {"name": "made", "surface": {"material": "oak"}, "background": {"room": "kitchen"}}
    return SceneSpec.model_validate({**base, "objects": objects, "task": task})


class TestSentences:
    @pytest.mark.parametrize("held_out", [False, True])
    def test_names_what_it_says_in_a_form_of_its_kind(self, monkeypatch: pytest.MonkeyPatch, held_out: bool) -> None:
        monkeypatch.setattr(pictures, "_OWN", 0.0)
        monkeypatch.setattr(pictures, "_LOOSE", 0.0)
        monkeypatch.setattr(pictures, "_noun", lambda item, *_: f"<{item.name}>")
        rng, seen = np.random.default_rng(0), set()
        for _ in range(400):
            sentence, (target, other) = _sentence(spec(), rng, held_out)
            assert f"<{target}>" in sentence
            assert (f"<{other}>" in sentence) if other else sentence.count("<") == 1
            assert sentence.count("<") <= 2
            kinds = [
                kind
                for kind in pictures.KINDS
                for form in templates(kind, held_out)
                if say(form, f"<{target}>", f"<{other}>") == sentence
            ]
            assert kinds, sentence
            assert {kind in ALONE for kind in kinds} == {not other}
            seen |= set(kinds)
        assert seen >= {"on", "in", "near", "lifted", "open", "closed"}

    def test_a_loose_sentence_still_names_what_it_means(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pictures, "_OWN", 0.0)
        monkeypatch.setattr(pictures, "_LOOSE", 1.0)
        monkeypatch.setattr(pictures, "_noun", lambda item, *_: f"<{item.name}>")
        rng = np.random.default_rng(0)
        for _ in range(200):
            sentence, names = _sentence(spec(), rng, False)
            assert all(f"<{name}>" in sentence for name in names if name)

    def test_held_out_forms_are_said_only_where_asked_for(self) -> None:
        rng, made = np.random.default_rng(1), spec()
        own = set(made.task.sentences())
        plain = {_sentence(made, rng, False)[0] for _ in range(300)} - own
        kept = {_sentence(made, rng, True)[0] for _ in range(300)} - own
        assert len(plain) > 50
        assert not any(is_held_out(sentence) for sentence in plain)
        assert sum(is_held_out(sentence) for sentence in kept) > 0.9 * len(kept)

    def test_a_scenes_own_sentence_names_its_goal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pictures, "_OWN", 1.0)
        made = spec()
        for seed in range(20):
            sentence, names = _sentence(made, np.random.default_rng(seed), False)
            assert sentence in made.task.sentences()
            assert names == ("mug_1", "plate") == goal_names(made.task.goals[0])

    def test_words_fit_one_object_only(self) -> None:
        made = spec()
        for seed in range(60):
            rng = np.random.default_rng(seed)
            red, blue = (_noun(made.object(name), made, rng) for name in ("mug_1", "mug_2"))
            assert "red" in red.split()
            assert "blue" in blue.split()
            assert not {"red", "blue"} & set(_noun(made.object("plate"), made, rng).split())

    def test_two_alike_are_never_named_by_what_they_share(self) -> None:
        made = spec()
        alike = made.model_copy(
            update={"objects": tuple(item.model_copy(update={"colour": "red"}) for item in made.objects)}
        )
        rng = np.random.default_rng(0)
        own = set(alike.task.sentences())
        for _ in range(100):
            sentence, (target, other) = _sentence(alike, rng, False)
            if sentence not in own:
                assert not {target, other} & {"mug_1", "mug_2"}

    def test_all_kinds_have_forms(self) -> None:
        assert set(pictures.KINDS) <= set(phrases().templates)


def test_a_row_puts_each_label_where_its_object_is() -> None:
    made = spec()
    names = [item.name for item in made.objects]
    points = {name: np.array([0.3, 0.1 * index, 0.02]) for index, name in enumerate(names)}
    seen = Observation({"policy": np.zeros((8, 8, 3), np.uint8)}, np.zeros(7, np.float32), "")
    sight = Sight(seen, points, np.arange(10.0))
    for seed in range(30):
        image, _, sentences, where, camera, rivals = _row(made, sight, np.random.default_rng(seed), False)
        rng = np.random.default_rng(seed)
        told = [_sentence(made, rng, False) for _ in sentences]
        assert image.shape == (1, 8, 8, 3)
        assert sentences.tolist() == [sentence for sentence, _ in told]
        assert camera.tolist() == list(range(10))
        for index, (_, (target, other)) in enumerate(told):
            assert where[index, 0] == pytest.approx(points[target], abs=1e-6)
            if other:
                assert where[index, 1] == pytest.approx(points[other], abs=1e-6)
            else:
                assert np.isnan(where[index, 1]).all()
            rival = {"mug_1": "mug_2", "mug_2": "mug_1"}.get(target)
            assert np.isnan(rivals[index]).all() if rival is None else rivals[index] == pytest.approx(points[rival])


class TestJobs:
    @staticmethod
    def jobs(count: int, scenes: int) -> list[Job]:
        made: list[Any] = [SimpleNamespace(folder=Path(f"{index}")) for index in range(scenes)]
        return list(_jobs(made, Path("out"), count, 3, "none", 32, ("policy",), False))

    @pytest.mark.parametrize(("count", "scenes"), [(1, 1), (64, 3), (65, 3), (1000, 4), (3000, 7)])
    def test_enough_pictures_of_all_scenes(self, count: int, scenes: int) -> None:
        jobs = self.jobs(count, scenes)
        drawn = [folder for job in jobs for folder in job.folders]
        assert count <= sum(job.count * len(job.folders) for job in jobs) < count + 5 * 64
        assert [int(str(folder)) for folder in drawn] == [index % scenes for index in range(len(drawn))]
        assert len({job.path for job in jobs}) == len({job.seed for job in jobs}) == len(jobs)

    def test_more_pictures_begin_with_the_same_files(self) -> None:
        few, many = self.jobs(640, 4), self.jobs(1280, 4)
        assert many[: len(few)] == few


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


class TestDraw:
    @pytest.fixture
    def drawn(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """The files that were drawn; empty ones, by this process."""
        made: list[Path] = []

        def draw(job: Job) -> int:
            made.append(job.path)
            rows = job.count * len(job.folders)
            with job.path.open("wb") as file:
                np.savez(file, **{field.name: np.full((rows, 2), job.seed, np.float32) for field in fields(Pictures)})  # type: ignore[arg-type]
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

    def run(self, folder: Path, count: int = 640, **changes: Any) -> list[int]:
        settings: dict[str, Any] = {
            "seed": 0,
            "domain": "none",
            "size": 32,
            "cameras": ("policy",),
            "workers": 1,
            **changes,
        }
        scenes: list[Any] = [SimpleNamespace(folder=Path(name)) for name in "ab"]
        return list(pictures.draw(scenes, folder, count, **settings))

    def test_what_is_there_stays(self, tmp_path: Path, drawn: list[Path]) -> None:
        assert self.run(tmp_path) == [0, 320, 640]
        assert self.run(tmp_path) == [640]
        (tmp_path / "00001.npz").unlink()
        assert self.run(tmp_path) == [320, 640]
        assert [path.name for path in drawn] == ["00000.npz", "00001.npz", "00001.npz"]
        assert len(pictures.load(tmp_path)) == 640
        assert len(pictures.load(tmp_path, 300)) == 320

    @pytest.mark.parametrize(
        "change", [{"seed": 1}, {"domain": "full"}, {"size": 64}, {"cameras": ("policy", "robot/wrist")}]
    )
    def test_other_pictures_are_refused(self, tmp_path: Path, drawn: list[Path], change: dict[str, Any]) -> None:
        self.run(tmp_path, 64)
        with pytest.raises(RunError, match="pictures of other scenes"):
            self.run(tmp_path, 64, **change)

    def test_no_scenes_and_no_pictures(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="no scenes"):
            list(pictures.draw([], tmp_path, 1, seed=0, domain="none", size=32, cameras=("policy",), workers=1))
        with pytest.raises(RunError, match="no pictures"):
            pictures.load(tmp_path)


@pytest.mark.slow
def test_real_pictures_in_real_processes(scene: Scene, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"seed": 0, "domain": "paper", "size": 32, "cameras": ("policy", "robot/wrist")}
    assert list(pictures.draw([scene], tmp_path / "one", 320, **settings, workers=1)) == [0, 320]
    list(pictures.draw([scene], tmp_path / "two", 640, **settings, workers=2))
    one, two = pictures.load(tmp_path / "one"), pictures.load(tmp_path / "two", 320)
    for field in fields(Pictures):
        assert np.array_equal(getattr(one, field.name), getattr(two, field.name), equal_nan=field.name != "sentences")
    assert one.images.shape == (320, 2, 32, 32, 3)
    assert (one.images[:, 0] != one.images[:, 1]).any()
    assert one.images.std() > 5
    assert np.isfinite(one.points[:, :, 0]).all()
    assert len(one) == 320

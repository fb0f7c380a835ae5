"""A library is a function of its settings: whatever is killed, full, damaged or run twice, the same bytes come out."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mujoco
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldgen import cli, designer, pipeline, recheck, store
from worldgen.errors import DesignError, LibraryError, SpecError, StoreError
from worldgen.library import SceneLibrary
from worldgen.pipeline import Settings
from worldgen.wire import SPLITS

from ..conftest import SETTINGS, TRAIN_ONLY

CUBES = Settings(("stack the blue cube on the green cube",), count=2, splits=TRAIN_ONLY)
TREE = dict[str, str]


def tree(root: Path) -> TREE:
    """Return the digest of every file and the name of every folder."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in root.rglob("*")
    }


def changed(one: TREE, other: TREE) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


@pytest.fixture(scope="module")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished library of `CUBES` and of the store it was built with."""
    folder = tmp_path_factory.mktemp("cubes")
    assert pipeline.make(CUBES, folder / "library", cache_root=folder / "store").complete
    return folder


@pytest.fixture
def cubes_copy(cubes: Path, tmp_path: Path) -> Path:
    return shutil.copytree(cubes / "library", tmp_path / "library")


def start(out: Path, cache: Path, *more: str, count: int = CUBES.count) -> subprocess.Popen[str]:
    """Start the command line that makes `CUBES`, or more of them."""
    command = [
        sys.executable,
        "-m",
        "worldgen.cli",
        "make",
        CUBES.requests[0],
        "--out",
        str(out),
        "--store",
        str(cache),
    ]
    command += [
        "--count",
        str(count),
        "--splits",
        *(f"{share:g}" for share in TRAIN_ONLY),
        "--workers",
        "1",
        *more,
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=out.parent
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)


class TestSameBytes:
    def test_warm_store_and_cold_store(self, cubes: Path, tmp_path: Path) -> None:
        report = pipeline.make(CUBES, tmp_path / "warm", cache_root=cubes / "store")
        assert (report.complete, report.built) == (True, 0)
        assert changed(tree(cubes / "library"), tree(tmp_path / "warm")) == []

    def test_no_store(self, cubes: Path, tmp_path: Path) -> None:
        assert pipeline.make(CUBES, tmp_path / "alone").complete
        assert changed(tree(cubes / "library"), tree(tmp_path / "alone")) == []

    def test_finished_library_is_left_as_it_is(self, cubes: Path, cubes_copy: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in (cubes_copy / "scenes").rglob("*")}
        report = pipeline.make(CUBES, cubes_copy)
        assert (report.complete, report.built) == (True, 0)
        assert {path: path.stat().st_mtime_ns for path in (cubes_copy / "scenes").rglob("*")} == before
        assert changed(tree(cubes / "library"), tree(cubes_copy)) == []

    @pytest.mark.slow
    def test_any_number_of_workers(self, shared: Path, library: SceneLibrary, tmp_path: Path) -> None:
        settings = replace(SETTINGS, count=library.index().settings["count"])
        for workers in (2, 3):
            out = tmp_path / f"{workers}"
            assert pipeline.make(settings, out, workers=workers, cache_root=tmp_path / f"store{workers}").complete
            assert changed(tree(library.root), tree(out)) == []

    def test_two_workers(self, cubes: Path, tmp_path: Path) -> None:
        assert pipeline.make(CUBES, tmp_path / "two", workers=2, cache_root=tmp_path / "store").complete
        assert changed(tree(cubes / "library"), tree(tmp_path / "two")) == []

    def test_another_seed_gives_another_library(self, cubes: Path, tmp_path: Path) -> None:
        one = [spec.model_dump_json() for spec in pipeline.specs(CUBES)]
        assert one == [spec.model_dump_json() for spec in pipeline.specs(CUBES)]
        other = [spec.model_dump_json() for spec in pipeline.specs(replace(CUBES, seed=1))]
        assert len({*one, *other}) == 4

    def test_a_larger_count_only_adds(self, cubes: Path, tmp_path: Path) -> None:
        pipeline.make(replace(CUBES, count=1), tmp_path / "grown", cache_root=cubes / "store")
        small = tree(tmp_path / "grown")
        assert pipeline.make(CUBES, tmp_path / "grown", cache_root=cubes / "store").complete
        large = tree(tmp_path / "grown")
        assert {name for name in changed(small, large) if name in small} <= {"library.json", "README.md"}
        assert changed(large, tree(cubes / "library")) == []


class TestRepair:
    @pytest.mark.parametrize(
        "harm",
        [
            pytest.param(lambda root: (root / "scenes/0000/scene.xml").write_text("<mujoco/>"), id="scene changed"),
            pytest.param(lambda root: (root / "scenes/0000/scene.json").unlink(), id="record missing"),
            pytest.param(lambda root: shutil.rmtree(root / "scenes/0000"), id="scene missing"),
            pytest.param(lambda root: next((root / "assets").rglob("*.obj")).write_text(""), id="mesh emptied"),
            pytest.param(lambda root: next((root / "assets").rglob("asset.json")).unlink(), id="asset record missing"),
            pytest.param(lambda root: shutil.rmtree(root / "assets"), id="all assets missing"),
            pytest.param(lambda root: (root / "README.md").unlink(), id="card missing"),
            pytest.param(
                lambda root: shutil.rmtree(root / "robots"),
                id="robot missing",
            ),
            pytest.param(
                lambda root: next((root / "robots").rglob("robot.xml")).write_text("<mujoco/>"),
                id="robot changed",
            ),
        ],
    )
    def test_damage_is_rebuilt(self, cubes: Path, cubes_copy: Path, harm: Callable[[Path], None]) -> None:
        harm(cubes_copy)
        assert pipeline.make(CUBES, cubes_copy, cache_root=cubes / "store").complete
        assert changed(tree(cubes / "library"), tree(cubes_copy)) == []

    def test_a_damaged_store_does_no_harm(self, cubes: Path, tmp_path: Path) -> None:
        cache = shutil.copytree(cubes / "store", tmp_path / "store")
        for path in cache.rglob("*"):
            if path.is_file() and path.name != store.MANIFEST:
                path.write_bytes(path.read_bytes()[:-1])
        assert pipeline.make(CUBES, tmp_path / "library", cache_root=cache).complete
        assert changed(tree(cubes / "library"), tree(tmp_path / "library")) == []


class TestInterruption:
    @pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
    def test_killed_at_any_moment(self, cubes: Path, tmp_path: Path, seed: int) -> None:
        out, rng = tmp_path / "library", random.Random(seed)
        more = ("--workers", "2") if seed % 2 else ()
        for _ in range(2):
            process = start(out, tmp_path / "store", *more)
            wait_for((out / "library.json").exists, process)
            time.sleep(rng.uniform(0, 2.5))
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        assert pipeline.make(CUBES, out, cache_root=tmp_path / "store").complete
        assert changed(tree(cubes / "library"), tree(out)) == []

    @pytest.mark.slow
    def test_nobody_survives_a_killed_parent(self, tmp_path: Path) -> None:
        process = start(tmp_path / "library", tmp_path / "store", "--workers", "2")
        wait_for(lambda: any((tmp_path / "store").glob("assets/*/asset.json")), process)
        process.kill()
        try:
            process.communicate(timeout=8)  # the pipes close when the last worker is gone
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    @pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
    def test_ctrl_c_leaves_a_library(self, tmp_path: Path, workers: str) -> None:
        out, whole = tmp_path / "library", replace(CUBES, count=8)  # so many that it is not done before it is stopped
        process = start(out, tmp_path / "store", "--workers", workers, count=whole.count)
        wait_for((out / "scenes" / "0000").exists, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "Traceback" not in errors
        assert errors.strip().splitlines()[-1] == "worldgen: stopped. Run the same command again to go on."
        assert not SceneLibrary.open(out).index().complete
        for scene in SceneLibrary.open(out).scenes():
            assert not store.damage(scene.folder)
        assert pipeline.make(whole, out, cache_root=tmp_path / "store").complete
        assert pipeline.make(whole, tmp_path / "again", cache_root=tmp_path / "store").complete
        assert changed(tree(tmp_path / "again"), tree(out)) == []

    @pytest.mark.slow
    def test_two_processes_build_one_library(self, cubes: Path, tmp_path: Path) -> None:
        processes = [start(tmp_path / "library", tmp_path / "store") for _ in range(2)]
        for process in processes:
            output, errors = process.communicate(timeout=60)
            assert process.returncode == 0, output + errors
        assert changed(tree(cubes / "library"), tree(tmp_path / "library")) == []

    @pytest.mark.parametrize("writes", [0, 15, 35])
    def test_a_full_disk_is_one_line_and_resumes(
        self, cubes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
    ) -> None:
        real, left = os.fsync, [writes]

        def full(file: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(file)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"^The disk is full: .* was not written") as caught:
            pipeline.make(CUBES, tmp_path / "library", cache_root=tmp_path / "store")
        assert "\n" not in str(caught.value)
        monkeypatch.undo()
        assert pipeline.make(CUBES, tmp_path / "library", cache_root=cubes / "store").complete
        assert changed(tree(cubes / "library"), tree(tmp_path / "library")) == []


class TestMoved:
    def test_plain_mujoco_opens_it_and_it_passes(self, library: SceneLibrary, tmp_path: Path) -> None:
        moved = shutil.copytree(library.root, tmp_path / "an other place")
        names = SceneLibrary.open(moved).index().scenes
        for name in names:
            model = mujoco.MjModel.from_xml_path(str(moved / "scenes" / name / "scene.xml"))
            assert model.nkey == 1
            assert model.ncam >= 2
        rows = recheck.check(moved, workers=2)
        assert [row.name for row in rows] == list(names)
        assert all(row.ok for row in rows), [row.problems for row in rows]

    def test_one_scene_can_be_checked_alone(self, library: SceneLibrary) -> None:
        folder = library.root / "scenes" / library.index().scenes[0]
        (row,) = recheck.check(folder)
        assert row.ok
        assert row.checks

    def test_no_path_of_this_machine_is_inside(self, library: SceneLibrary) -> None:
        for path in library.root.rglob("*"):
            if path.suffix in (".xml", ".json", ".md", ".obj"):
                text = path.read_text()
                assert str(library.root) not in text, path
                assert str(Path.home()) not in text, path
                assert "/tmp" not in text, path

    def test_check_finds_what_was_changed(self, library_copy: SceneLibrary) -> None:
        scene = next(library_copy.scenes())
        asset = library_copy.assets.folder(next(iter(scene.record.assets.values())))
        (scene.folder / "preview.png").write_bytes(b"")
        (asset / "texture.png").unlink()
        row = recheck.check_one(scene.folder)
        text = " ".join(map(str, row.problems))
        assert "preview.png was changed" in text
        assert f"assets/{asset.name}: texture.png is missing" in text


BACKEND = """
    from worldgen.backends import mesh_procedural
    from worldgen.errors import AssetError

    def refuse(item):
        raise AssetError("never")

    def make(item):
        if item.colour == "green":
            raise ZeroDivisionError("no green today")
        return mesh_procedural.make(item)

    def offline(item):
        raise ConnectionRefusedError(111, "Connection refused")
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a user's own asset backend importable."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "my_backend.py").write_text(textwrap.dedent(BACKEND))
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.usefixtures("plugins")
class TestFailures:
    def test_scenes_that_look_alike_are_made_once(
        self, cubes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = designer.design
        monkeypatch.setattr(designer, "design", lambda request, *rest: real(replace(request, seed=5), *rest))
        report = pipeline.make(CUBES, tmp_path / "library", cache_root=cubes / "store")
        assert report.accepted == 1
        assert set(report.rejections) == {"duplicate"}
        index = SceneLibrary.open(tmp_path / "library").index()
        assert index.scenes == ("0000",)
        assert index.counts["given_up"] == ["0001", "0002", "0003", "0004"]
        rejected = SceneLibrary.open(tmp_path / "library").rejected("0001")
        assert rejected
        assert "looked like earlier scenes" in rejected.rejections[0].message

    def test_a_backend_that_fails_at_times_is_recorded_and_the_rest_is_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tasks = tmp_path / "tasks.txt"
        tasks.write_text("put the red mug on the plate\nlift the green cube\n")
        command = ["worldgen", "make", "--tasks", str(tasks), "--count", "2", "--assets", "my_backend:make"]
        command += ["--out", str(tmp_path / "library"), "--workers", "1", "--seed", "3"]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        output = capsys.readouterr()
        found = SceneLibrary.open(tmp_path / "library")
        failed = found.rejected("0001")
        assert failed
        assert {item.gate for item in failed.rejections} == {"crash"}
        assert failed.rejections[0].message == "ZeroDivisionError: no green today"
        assert found.index().scenes
        assert stopped.value.code == (0 if found.index().complete else 3)
        assert "no green today" in output.err

    def test_nothing_made_is_exit_code_1_and_a_lost_connection_no_full_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = ["worldgen", "make", CUBES.requests[0], "--count", "1", "--assets", "my_backend:offline"]
        monkeypatch.setattr(sys, "argv", [*command, "--out", str(tmp_path / "library"), "--workers", "1"])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 1
        failed = SceneLibrary.open(tmp_path / "library").rejected("0000")
        assert failed
        assert "Connection refused" in failed.rejections[0].message

    def test_what_is_given_up_has_the_same_bytes_again(self, tmp_path: Path) -> None:
        settings = replace(CUBES, count=1, assets="my_backend:make")
        for name in ("one", "two"):
            assert pipeline.make(settings, tmp_path / name, cache_root=tmp_path / name / ".store").accepted == 0
            shutil.rmtree(tmp_path / name / ".store", ignore_errors=True)
        assert changed(tree(tmp_path / "one"), tree(tmp_path / "two")) == []
        report = pipeline.make(settings, tmp_path / "one", cache_root=tmp_path / "other")
        assert (report.built, report.accepted) == (4, 0)  # a crash may have been the machine's fault: tried again
        assert changed(tree(tmp_path / "one"), tree(tmp_path / "two")) == []

    def test_what_is_given_up_comes_from_the_cache_with_the_same_bytes(self, tmp_path: Path) -> None:
        settings = replace(CUBES, count=1, assets="my_backend:refuse")
        cold = pipeline.make(settings, tmp_path / "cold", cache_root=tmp_path / "store")
        warm = pipeline.make(settings, tmp_path / "warm", cache_root=tmp_path / "store")
        assert (cold.built, warm.built) == (4, 0)
        assert len(list((tmp_path / "warm" / "rejected").iterdir())) == 4
        next((tmp_path / "warm" / "rejected").iterdir()).unlink()  # killed between the verdict and its file
        pipeline.make(settings, tmp_path / "warm", cache_root=tmp_path / "store")
        assert changed(tree(tmp_path / "cold"), tree(tmp_path / "warm")) == []


NAN = pytest.param((float("nan"), 0, 0, 0, 1))


class TestSettings:
    @pytest.mark.parametrize("count", [0, -1, 10**9])
    def test_count(self, count: int) -> None:
        with pytest.raises(LibraryError, match=rf"count {count} is outside \[1, 100000\]"):
            Settings(("lift the mug",), count=count)

    @pytest.mark.parametrize("requests", [(), ("",), ("lift the mug", " \n")])
    def test_request(self, requests: tuple[str, ...]) -> None:
        with pytest.raises(DesignError, match="The request is empty"):
            Settings(requests)

    @pytest.mark.parametrize("splits", [(1.0,), (0.5,) * 5, (1.5, -0.5, 0, 0, 0), NAN])
    def test_splits(self, splits: tuple[float, ...]) -> None:
        with pytest.raises(LibraryError, match="must be 5 shares that sum to 1"):
            Settings(("lift the mug",), splits=splits)

    @pytest.mark.parametrize("workers", [0, -1, 10_000])
    def test_workers(self, tmp_path: Path, workers: int) -> None:
        with pytest.raises(LibraryError, match=r"outside \[1, 256\]"):
            pipeline.make(CUBES, tmp_path / "library", workers=workers)
        assert list(tmp_path.iterdir()) == []

    def test_a_request_that_cannot_be_understood_leaves_no_library(self, tmp_path: Path) -> None:
        with pytest.raises((DesignError, SpecError)):
            pipeline.make(Settings(("qwertz uiop",), count=2), tmp_path / "library")
        assert not (tmp_path / "library").exists()  # nothing stands in the way of the corrected sentence

    def test_other_settings_do_not_mix_into_a_library(self, cubes_copy: Path) -> None:
        before = tree(cubes_copy)
        with pytest.raises(LibraryError, match=r"made with other settings: seed 9 instead of 0"):
            pipeline.make(replace(CUBES, seed=9), cubes_copy)
        assert tree(cubes_copy) == before

    def test_settings_are_kept(self, cubes: Path) -> None:
        text = json.loads((cubes / "library" / "library.json").read_text())
        assert text["settings"] == CUBES.stored()


class TestSplits:
    @given(st.lists(st.integers(0, 20), min_size=5, max_size=5).filter(any), st.integers(1, 400))
    def test_shares_hold_at_every_length(self, weights: list[int], count: int) -> None:
        shares = [weight / sum(weights) for weight in weights]
        found = [pipeline.split_of(index, shares) for index in range(count)]
        for split, share in zip(SPLITS, shares, strict=True):
            assert abs(found.count(split) - share * count) <= 6
            assert share or not found.count(split)

    def test_a_hundred_scenes(self) -> None:
        found = [pipeline.split_of(index, Settings(("lift the mug",)).splits) for index in range(100)]
        assert [found.count(split) for split in SPLITS] == pytest.approx([80, 5, 5, 5, 5], abs=1)

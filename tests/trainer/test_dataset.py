"""Datasets: what is written is read back bit by bit, whatever is killed, full or damaged; two other formats are read."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.dataset import Dataset, Writer, read, require_fits
from trainer.errors import DatasetError
from trainer.records import Demonstration, Interface
from worldgen import store

FACE = Interface(cameras=("policy", "robot/wrist"), size=12)
DATA, ROWS = "data/chunk-000/file-{:03d}.parquet", "meta/episodes/chunk-000/file-{:03d}.parquet"


def demonstration(seed: int, face: Interface = FACE, steps: int | None = None) -> Demonstration:
    rng = np.random.default_rng(seed)
    steps = steps or int(rng.integers(1, 6))
    shape = (steps, face.size, face.size, 3)
    return Demonstration(
        images={camera: rng.integers(0, 256, shape, np.uint8) for camera in face.cameras},
        state=rng.normal(size=(steps, len(face.state))).astype(np.float32),
        action=rng.normal(size=(steps, 7)).astype(np.float32),
        perturbed=rng.random(steps) < 0.3,
        instruction=f"put number {seed % 3} away",
        success=seed % 4 != 3,
        source={"scene": f"scene-{seed}", "seed": seed, "family": "push", "domain": "paper"},
    )


def write(root: Path, count: int, per_file: int = 2, face: Interface = FACE) -> list[Demonstration]:
    demonstrations = [demonstration(seed, face) for seed in range(count)]
    with Writer(root, face, per_file) as writer:
        for each in demonstrations:
            writer.add(each)
    return demonstrations


def require_equal(dataset: Dataset, wanted: list[Demonstration]) -> None:
    lengths = [len(each.state) for each in wanted]
    assert dataset.episodes == len(wanted)
    assert dataset.starts.tolist() == np.cumsum([0, *lengths]).tolist()
    assert dataset.episode.tolist() == np.repeat(np.arange(len(wanted)), lengths).tolist()
    for camera, images in dataset.images.items():
        np.testing.assert_array_equal(images, np.concatenate([each.images[camera] for each in wanted]))
    for name in ("state", "action", "perturbed"):
        found, expected = getattr(dataset, name), np.concatenate([getattr(each, name) for each in wanted])
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert dataset.instructions == [each.instruction for each in wanted]
    assert dataset.success.tolist() == [each.success for each in wanted]
    assert dataset.sources == [each.source for each in wanted]


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def edit_column(path: Path, name: str, values: Any) -> None:
    table = pq.ParquetFile(path).read()
    column = pa.array(values, table.schema.field(name).type)
    pq.write_table(table.set_column(table.column_names.index(name), name, column), path)


def refused(root: Path, *words: str, **options: Any) -> None:
    with pytest.raises(DatasetError) as caught:
        read(root, **options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


class TestRoundTrip:
    def test_bit_by_bit_over_several_files(self, tmp_path: Path) -> None:
        wanted = write(tmp_path, 5)
        dataset = read(tmp_path)
        require_equal(dataset, wanted)
        assert dataset.interface == FACE
        assert len(list((tmp_path / "data").rglob("*.parquet"))) == 3

    @pytest.mark.parametrize("limit", [1, 2, 3, 9])
    def test_limit(self, tmp_path: Path, limit: int) -> None:
        wanted = write(tmp_path, 5)
        require_equal(read(tmp_path, limit), wanted[:limit])

    def test_limit_must_be_positive(self, tmp_path: Path) -> None:
        refused(tmp_path, "0 episodes", limit=0)

    @settings(max_examples=15, deadline=None)
    @given(
        cameras=st.lists(st.text("ab_/", min_size=1, max_size=4), min_size=1, max_size=3, unique=True),
        size=st.integers(1, 9),
        state=st.integers(1, 9),
        rate=st.sampled_from([5.0, 12.5]),
        per_file=st.integers(1, 3),
        seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4),
    )
    def test_any_shape(
        self, cameras: list[str], size: int, state: int, rate: float, per_file: int, seeds: list[int]
    ) -> None:
        names = tuple(f"s{index}" for index in range(state))
        face = Interface(rate_hz=rate, cameras=tuple(cameras), size=size, state=names)
        wanted = [demonstration(seed, face) for seed in seeds]
        with tempfile.TemporaryDirectory() as folder:
            with Writer(Path(folder), face, per_file) as writer:
                for each in wanted:
                    writer.add(each)
            dataset = read(Path(folder))
        require_equal(dataset, wanted)
        assert dataset.interface == face

    def test_other_parts_of_the_source_are_kept(self, tmp_path: Path) -> None:
        source = {"scene": "a", "noise": [0.5, None], "why": {"ünï": True}}
        with Writer(tmp_path, FACE) as writer:
            writer.add(replace(demonstration(0), source=source))
        assert read(tmp_path).sources == [source]

    def test_layout(self, tmp_path: Path) -> None:
        wanted = write(tmp_path, 5)
        info = json.loads((tmp_path / "meta/info.json").read_text())
        frames = sum(len(each.state) for each in wanted)
        assert info["codebase_version"] == "v3.0"
        assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (5, frames, 3)
        assert (info["fps"], info["splits"], info["video_path"]) == (5, {"train": "0:5"}, None)
        assert info["features"]["observation.images.robot.wrist"]["shape"] == [12, 12, 3]
        table = pq.ParquetFile(tmp_path / DATA.format(0)).read()
        assert list(info["features"]) == table.column_names
        assert table.schema.field("action").type == pa.list_(pa.float32(), 7)
        assert table.schema.field("observation.images.policy").type == pa.struct(
            [("bytes", pa.binary()), ("path", pa.string())]
        )
        row = pq.ParquetFile(tmp_path / ROWS.format(1)).read().to_pylist()[0]
        assert (row["episode_index"], row["data/file_index"], row["length"]) == (2, 1, len(wanted[2].state))
        assert row["dataset_to_index"] - row["dataset_from_index"] == row["length"]
        assert (row["scene"], row["seed"]) == ("scene-2", 2)
        assert np.shape(row["stats/observation.images.policy/mean"]) == (3, 1, 1)
        tasks = pq.ParquetFile(tmp_path / "meta/tasks.parquet").read()
        assert tasks["__index_level_0__"].to_pylist() == [each.instruction for each in wanted[:3]]
        assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]

    def test_rewards_say_when_it_is_done(self, tmp_path: Path) -> None:
        wanted = write(tmp_path, 4, per_file=9)
        table = pq.ParquetFile(tmp_path / DATA.format(0)).read()
        ends = np.cumsum([len(each.state) for each in wanted]) - 1
        assert np.flatnonzero(table["next.done"].to_numpy()).tolist() == ends.tolist()
        assert np.flatnonzero(table["next.success"].to_numpy()).tolist() == ends[:3].tolist()
        assert np.flatnonzero(table["next.reward"].to_numpy() == 1).tolist() == ends[:3].tolist()
        steps = np.concatenate([np.arange(len(each.state)) for each in wanted])
        np.testing.assert_allclose(table["timestamp"].to_numpy(), steps / 5, rtol=1e-6)
        assert table["index"].to_pylist() == list(range(len(steps)))


def test_statistics_are_those_of_numpy(tmp_path: Path) -> None:
    wanted = write(tmp_path, 5)
    found = json.loads((tmp_path / "meta/stats.json").read_text())
    columns = {name: np.concatenate([getattr(each, name) for each in wanted]) for name in ("state", "action")}
    columns = {name: values.astype(np.float64) for name, values in columns.items()}
    for camera in FACE.cameras:
        columns[camera] = np.concatenate([each.images[camera] for each in wanted]).reshape(-1, 3) / 255
    keys = {"state": "observation.state", "policy": "observation.images.policy"}
    keys |= {"robot/wrist": "observation.images.robot.wrist"}
    for name, values in columns.items():
        statistics = {key: np.ravel(value) for key, value in found[keys.get(name, name)].items()}
        expected = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
        expected |= {"q01": np.quantile(values, 0.01, axis=0), "q99": np.quantile(values, 0.99, axis=0)}
        for key, value in expected.items():
            np.testing.assert_allclose(statistics[key], value, rtol=1e-9, atol=1e-12, err_msg=f"{name} {key}")
        assert statistics["count"] == len(columns["state"])
    assert found["perturbed"]["mean"] == pytest.approx([np.concatenate([each.perturbed for each in wanted]).mean()])


class TestResume:
    def test_a_dropped_writer_keeps_whole_files(self, tmp_path: Path) -> None:
        wanted = write(tmp_path / "whole", 7)
        writer = Writer(tmp_path / "cut", FACE, 2)
        for each in wanted[:5]:
            writer.add(each)
        assert writer.episodes == 4
        refused(tmp_path / "cut", "not finished", "again")
        with Writer(tmp_path / "cut", FACE, 2) as again:
            assert again.episodes == 4
            for each in wanted[4:]:
                again.add(each)
        assert files(tmp_path / "cut") == files(tmp_path / "whole")

    @pytest.mark.parametrize("damage", ["rows", "data", "half data", "half rows", "temporary"])
    def test_a_half_file_is_deleted(self, tmp_path: Path, damage: str) -> None:
        wanted = write(tmp_path / "whole", 5)
        root = tmp_path / "cut"
        writer = Writer(root, FACE, 2)
        for each in wanted[:4]:
            writer.add(each)
        path = root / (ROWS if "rows" in damage else DATA).format(1)
        if damage == "temporary":
            path.with_name(f".{path.name}.1-0badbeef.tmp").write_bytes(b"half")
        elif "half" in damage:
            path.write_bytes(path.read_bytes()[:-100])
        else:
            path.unlink()
        with Writer(root, FACE, 2) as again:
            assert again.episodes == (4 if damage == "temporary" else 2)
            for each in wanted[again.episodes :]:
                again.add(each)
        assert files(root) == files(tmp_path / "whole")

    def test_killed_at_the_very_end(self, tmp_path: Path) -> None:
        wanted = write(tmp_path, 5)
        before = files(tmp_path)
        face = FACE
        Writer(tmp_path / "other", face)
        shutil.copy(tmp_path / "other/meta/unfinished.json", tmp_path / "meta")
        shutil.rmtree(tmp_path / "other")
        (tmp_path / "meta/info.json").unlink()
        with Writer(tmp_path, face, 2) as writer:
            assert writer.episodes == 5
        assert files(tmp_path) == before
        require_equal(read(tmp_path), wanted)

    @pytest.mark.parametrize("writes", range(8))
    def test_killed_before_any_write(
        self, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
    ) -> None:
        left = iter(range(writes))

        def write_file(path: Path, content: bytes | str) -> None:
            if next(left, None) is None:
                path.with_name(f".{path.name}.1-0badbeef.tmp").write_bytes(b"half")
                raise KeyboardInterrupt
            real(path, content)

        real = store.write_file
        monkeypatch.setattr(store, "write_file", write_file)
        with contextlib.suppress(KeyboardInterrupt):
            write(tmp_path, 4)
        monkeypatch.undo()
        assert not (tmp_path / "meta/info.json").exists()
        with Writer(tmp_path, FACE, 2) as again:
            assert again.episodes == (0, 0, 0, 2, 2, 4, 4, 4)[writes]
            for seed in range(again.episodes, 4):
                again.add(demonstration(seed))
        assert files(tmp_path) == files(whole)

    def test_killed_while_it_writes(self, tmp_path: Path) -> None:
        code = f"""
            import sys
            from pathlib import Path
            sys.path.insert(0, {str(Path(__file__).parents[2])!r})
            from tests.trainer.test_dataset import FACE, demonstration
            from trainer.dataset import Writer
            with Writer(Path({str(tmp_path / "cut")!r}), FACE, 1) as writer:
                for seed in range(100000):
                    writer.add(demonstration(seed))
                    print(writer.episodes, flush=True)
        """
        with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            said = [int(process.stdout.readline()) for _ in range(7)][-1]
            process.send_signal(signal.SIGKILL)
        writer = Writer(tmp_path / "cut", FACE, 1)
        assert writer.episodes >= said
        writer.finish()
        require_equal(read(tmp_path / "cut"), [demonstration(seed) for seed in range(writer.episodes)])

    def test_after_an_error_nothing_is_finished(self, tmp_path: Path) -> None:
        with contextlib.suppress(KeyboardInterrupt), Writer(tmp_path, FACE, 1) as writer:
            writer.add(demonstration(0))
            raise KeyboardInterrupt
        assert not (tmp_path / "meta/info.json").exists()
        assert Writer(tmp_path, FACE, 1).episodes == 1

    def test_of_another_interface(self, tmp_path: Path) -> None:
        Writer(tmp_path, FACE)
        with pytest.raises(DatasetError, match=r"rate_hz 5\.0 against 10\.0"):
            Writer(tmp_path, replace(FACE, rate_hz=10.0))

    def test_of_a_finished_one(self, tmp_path: Path) -> None:
        write(tmp_path, 1)
        with pytest.raises(DatasetError, match=r"finished dataset.*another folder"):
            Writer(tmp_path, FACE)

    def test_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("precious")
        with pytest.raises(DatasetError, match="something else"):
            Writer(tmp_path, FACE)
        assert files(tmp_path) == {"thesis.txt": b"precious"}


class TestFullDisk:
    @pytest.mark.parametrize("call", ["fsync", "mkdir"])
    def test_is_one_line_and_leaves_earlier_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        wanted = write(tmp_path / "whole", 5)
        writer = Writer(tmp_path / "cut", FACE, 2)
        for each in wanted[:3]:
            writer.add(each)
        before = files(tmp_path / "cut")
        with monkeypatch.context() as patch:
            patch.setattr(*((os, "fsync") if call == "fsync" else (Path, "mkdir")), full)
            with pytest.raises(DatasetError, match=r"(?i)space.*resumes") as caught:
                writer.add(wanted[3])
            with pytest.raises(DatasetError):
                writer.finish()
        assert "\n" not in str(caught.value)
        assert files(tmp_path / "cut") == before
        with Writer(tmp_path / "cut", FACE, 2) as again:
            for each in wanted[again.episodes :]:
                again.add(each)
        assert files(tmp_path / "cut") == files(tmp_path / "whole")


class TestAdd:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"images": {"policy": np.zeros((3, 12, 12, 3), np.uint8)}}, "cameras policy"),
            ({"state": np.zeros((0, 7), np.float32)}, "no step"),
            ({"state": np.full((3, 7), np.nan, np.float32)}, "state of step 0 is not finite"),
            ({"action": np.zeros((3, 6), np.float32)}, r"action .*\(3, 6\).*\(3, 7\)"),
            ({"perturbed": np.zeros(2, bool)}, "perturbed"),
            ({"images": dict.fromkeys(FACE.cameras, np.zeros((3, 9, 9, 3), np.uint8))}, "pictures of 'policy'"),
            ({"images": dict.fromkeys(FACE.cameras, np.zeros((3, 12, 12, 3)))}, "float64"),
            ({"source": {"seed": "many"}}, "source"),
            ({"source": {"seed": 2**64}}, "source"),
        ],
    )
    def test_refuses(self, tmp_path: Path, change: dict[str, Any], words: str) -> None:
        writer = Writer(tmp_path, FACE, 1)
        with pytest.raises(DatasetError, match=words):
            writer.add(replace(demonstration(0, steps=3), **change))
        assert writer.episodes == 0

    def test_what_was_refused_leaves_no_trace(self, tmp_path: Path) -> None:
        wanted = write(tmp_path / "plain", 2)
        with Writer(tmp_path / "tried", FACE, 2) as writer:
            for each in wanted:
                with pytest.raises(DatasetError):
                    writer.add(replace(each, instruction="never", source={"seed": "many"}))
                writer.add(each)
        assert files(tmp_path / "tried") == files(tmp_path / "plain")

    def test_actions_of_another_width(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="6 numbers"):
            Writer(tmp_path, replace(FACE, action=FACE.action[:6]))

    def test_names_that_cannot_be_read_back(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="a dot"):
            Writer(tmp_path, replace(FACE, cameras=("a.b",)))

    def test_no_episode(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="without an episode"), Writer(tmp_path, FACE):
            pass

    def test_files_without_episodes(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="0 episodes a file"):
            Writer(tmp_path, FACE, 0)

    def test_after_the_end(self, tmp_path: Path) -> None:
        with Writer(tmp_path, FACE) as writer:
            writer.add(demonstration(0))
        with pytest.raises(DatasetError, match="is finished"):
            writer.add(demonstration(1))


def test_require_fits(tmp_path: Path) -> None:
    require_fits(FACE, FACE, tmp_path)
    other = Interface("panda", 10.0, ("policy",), 64, ("q",), ("a",))
    with pytest.raises(DatasetError) as caught:
        require_fits(FACE, other, tmp_path)
    for word in ("robot", "rate_hz", "cameras", "size", "state", "action", str(tmp_path)):
        assert word in str(caught.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two files. Read only."""
    root = tmp_path_factory.mktemp("whole")
    write(root, 4)
    return root


class TestDamage:
    @pytest.fixture
    def root(self, whole: Path, tmp_path: Path) -> Path:
        return shutil.copytree(whole, tmp_path / "damaged")

    def test_no_dataset(self, tmp_path: Path) -> None:
        refused(tmp_path, "not a dataset", "meta/info.json")
        refused(tmp_path / "nowhere", "not a dataset")

    @pytest.mark.parametrize("name", [DATA.format(1), ROWS.format(0)])
    def test_truncated_file(self, root: Path, name: str) -> None:
        (root / name).write_bytes((root / name).read_bytes()[:-50])
        refused(root, name, "damaged", "again")

    def test_torn_pages(self, root: Path) -> None:
        content = bytearray((root / DATA.format(1)).read_bytes())
        content[100:2000] = bytes(1900)
        (root / DATA.format(1)).write_bytes(content)
        refused(root, DATA.format(1), "damaged")

    def test_missing_file(self, root: Path) -> None:
        (root / DATA.format(1)).unlink()
        refused(root, DATA.format(1), "is missing", "again")
        require_equal(read(root, 2), [demonstration(0), demonstration(1)])

    def test_missing_rows(self, root: Path) -> None:
        shutil.rmtree(root / "meta/episodes")
        refused(root, "meta/episodes", "no file")

    def test_missing_picture(self, root: Path) -> None:
        rows = pq.read_metadata(root / DATA.format(0)).num_rows
        edit_column(root / DATA.format(0), "observation.images.policy", [{"bytes": None, "path": "a.png"}] * rows)
        refused(root, DATA.format(0), "row", "no bytes")

    def test_broken_picture(self, root: Path) -> None:
        rows = pq.read_metadata(root / DATA.format(0)).num_rows
        edit_column(root / DATA.format(0), "observation.images.policy", [{"bytes": b"\x89PNG", "path": None}] * rows)
        refused(root, DATA.format(0), "row", "damaged")

    def test_picture_of_another_size(self, root: Path) -> None:
        file = io.BytesIO()
        Image.new("RGB", (8, 9)).save(file, "PNG")
        rows = pq.read_metadata(root / DATA.format(0)).num_rows
        pictures = [{"bytes": file.getvalue(), "path": None}] * rows
        edit_column(root / DATA.format(0), "observation.images.policy", pictures)
        refused(root, "8 x 9", "12 x 12")

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("name", ["observation.state", "action"])
    def test_no_finite_number(self, root: Path, name: str, value: float) -> None:
        rows = pq.read_metadata(root / DATA.format(1)).num_rows
        values = np.zeros((rows, 7), np.float32)
        values[-1, 3] = value
        edit_column(root / DATA.format(1), name, values.tolist())
        frame = len(demonstration(3).state) - 1
        refused(root, name.split(".")[-1], f"episode 3, frame {frame}", "not finite")

    def test_missing_numbers(self, root: Path) -> None:
        rows = pq.read_metadata(root / DATA.format(1)).num_rows
        edit_column(root / DATA.format(1), "action", [None, *[[0.0] * 7] * (rows - 1)])
        refused(root, DATA.format(1), "damaged")

    def test_action_of_another_width(self, root: Path) -> None:
        info = json.loads((root / "meta/info.json").read_text())
        edit(root / "meta/info.json", features=info["features"] | {"action": {"dtype": "float32", "shape": [6]}})
        refused(root, "[6]", "[7]")

    def test_column_of_another_width(self, root: Path) -> None:
        path = root / DATA.format(0)
        table = pq.ParquetFile(path).read()
        column = pa.array([[0.0] * 6] * table.num_rows, pa.list_(pa.float32()))
        pq.write_table(table.set_column(table.column_names.index("action"), "action", column), path)
        refused(root, DATA.format(0), "'action' has 6 numbers")

    def test_missing_column(self, root: Path) -> None:
        table = pq.ParquetFile(root / DATA.format(0)).read()
        pq.write_table(table.drop_columns(["action"]), root / DATA.format(0))
        refused(root, DATA.format(0), "no column 'action'")

    def test_empty(self, root: Path) -> None:
        edit(root / "meta/info.json", total_episodes=0, total_frames=0)
        refused(root, "empty")

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"codebase_version": "v3.0"}', "\udcff"])
    def test_broken_info(self, root: Path, text: str) -> None:
        (root / "meta/info.json").write_bytes(text.encode(errors="surrogateescape"))
        refused(root, "info.json")

    def test_unknown_version(self, root: Path) -> None:
        edit(root / "meta/info.json", codebase_version="v9.1")
        refused(root, "v9.1", "v3.0 and v2.1", "lerobot")

    @pytest.mark.parametrize("name", ["total_episodes", "total_frames"])
    def test_numbers_that_disagree(self, root: Path, name: str) -> None:
        edit(root / "meta/info.json", **{name: 77})
        refused(root, "info.json", f"{name} = 77")

    def test_rows_that_disagree(self, root: Path) -> None:
        table = pq.ParquetFile(root / DATA.format(1)).read()
        pq.write_table(table.slice(1), root / DATA.format(1))
        refused(root, DATA.format(1), f"{table.num_rows - 1} rows")

    @pytest.mark.parametrize(
        ("shape", "words"), [([12, 16, 3], "square"), ([3, 12, 12], ""), ([10, 10, 3], "one size")]
    )
    def test_shapes_of_pictures(self, root: Path, shape: list[int], words: str) -> None:
        info = json.loads((root / "meta/info.json").read_text())
        info["features"]["observation.images.policy"]["shape"] = shape
        edit(root / "meta/info.json", **info)
        if words:
            refused(root, words, "observation.images.policy")
        else:
            assert read(root).interface == FACE

    def test_without_pictures(self, root: Path) -> None:
        info = json.loads((root / "meta/info.json").read_text())
        features = {key: value for key, value in info["features"].items() if "images" not in key}
        edit(root / "meta/info.json", features=features)
        refused(root, "observation.images")


class TestForeign:
    def test_optional_columns_may_be_absent(self, tmp_path: Path) -> None:
        wanted = write(tmp_path, 2)
        path = tmp_path / DATA.format(0)
        table = pq.ParquetFile(path).read()
        pq.write_table(table.drop_columns(["perturbed", "next.success"]), path)
        rows = pq.ParquetFile(tmp_path / ROWS.format(0)).read()
        pq.write_table(rows.drop_columns(["scene", "seed", "family", "domain", "source"]), tmp_path / ROWS.format(0))
        plain = [replace(each, perturbed=each.perturbed & False, success=True, source={}) for each in wanted]
        require_equal(read(tmp_path), plain)

    def test_names_of_other_shapes(self, tmp_path: Path) -> None:
        write(tmp_path, 1)
        info = json.loads((tmp_path / "meta/info.json").read_text())
        info["features"]["action"]["names"] = {"motors": list("abcdefg")}
        info["features"]["observation.state"]["names"] = None
        edit(tmp_path / "meta/info.json", **info)
        face = read(tmp_path).interface
        assert face.action == tuple("abcdefg")
        assert face.state == tuple("0123456")

    def make_v2(self, root: Path, video: bool = False) -> list[Demonstration]:
        """Write a v2.1 dataset, as the lerobot package of that time did."""
        face = Interface(cameras=("top",), size=32)
        wanted = [demonstration(seed, face, steps=3 + seed) for seed in range(3)]
        key, picture = "observation.images.top", "video" if video else "image"
        for index, each in enumerate(wanted):
            path = root / f"data/chunk-000/episode_{index:06d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            columns: dict[str, Any] = {
                "observation.state": pa.array(each.state.tolist(), pa.list_(pa.float32())),
                "action": pa.array(each.action.tolist(), pa.list_(pa.float32())),
                "episode_index": [index] * len(each.state),
            }
            if video:
                film = root / f"videos/chunk-000/{key}/episode_{index:06d}.mp4"
                make_film(film, each.images["top"])
            else:
                columns[key] = [{"bytes": png(image), "path": "x.png"} for image in each.images["top"]]
            pq.write_table(pa.table(columns), path)
        rows = [{"episode_index": i, "tasks": [e.instruction], "length": len(e.state)} for i, e in enumerate(wanted)]
        (root / "meta").mkdir()
        (root / "meta/episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        tasks = [{"task_index": i, "task": e.instruction} for i, e in enumerate(wanted)]
        (root / "meta/tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tasks))
        vector = {"dtype": "float32", "shape": [7], "names": None}
        info = {
            "codebase_version": "v2.1",
            "robot_type": "so100",
            "total_episodes": 3,
            "total_frames": sum(len(each.state) for each in wanted),
            "chunks_size": 1000,
            "fps": 10,
            "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
            "features": {
                key: {"dtype": picture, "shape": [32, 32, 3], "names": ["height", "width", "channels"]},
                "observation.state": vector,
                "action": vector,
            },
        }
        (root / "meta/info.json").write_text(json.dumps(info))
        return [replace(each, perturbed=each.perturbed & False, success=True, source={}) for each in wanted]

    def test_v2(self, tmp_path: Path) -> None:
        wanted = self.make_v2(tmp_path)
        dataset = read(tmp_path)
        require_equal(dataset, wanted)
        require_equal(read(tmp_path, 2), wanted[:2])
        assert (dataset.interface.robot, dataset.interface.rate_hz) == ("so100", 10.0)
        (tmp_path / "meta/episodes.jsonl").write_text("{")
        refused(tmp_path, "episodes.jsonl", "damaged")

    def test_v2_films(self, tmp_path: Path) -> None:
        wanted = self.make_v2(tmp_path, video=True)
        dataset = read(tmp_path)
        require_equal(replace(dataset, images={}), wanted)
        expected = np.concatenate([each.images["top"] for each in wanted]).mean((1, 2, 3))
        np.testing.assert_allclose(dataset.images["top"].mean((1, 2, 3)), expected, atol=4)

    def test_v3_films_hold_several_episodes(self, tmp_path: Path) -> None:
        key, levels = "observation.images.policy", np.linspace(20, 230, 9)
        face = Interface(size=32)
        with Writer(tmp_path, face) as writer:
            for seed, steps in enumerate((4, 5)):
                writer.add(demonstration(seed, face, steps))
        info = json.loads((tmp_path / "meta/info.json").read_text())
        info["features"][key]["dtype"] = "video"
        info["video_path"] = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
        edit(tmp_path / "meta/info.json", **info)
        path = tmp_path / ROWS.format(0)
        rows = pq.ParquetFile(path).read()
        for name, values in (("chunk_index", [0, 0]), ("file_index", [2, 2]), ("from_timestamp", [0.0, 0.8])):
            rows = rows.append_column(f"videos/{key}/{name}", [values])
        pq.write_table(rows, path)
        film = tmp_path / f"videos/{key}/chunk-000/file-002.mp4"
        refused(tmp_path, "file-002.mp4", "missing")
        make_film(film, np.broadcast_to(levels[:, None, None, None], (9, 32, 32, 3)).astype(np.uint8))
        np.testing.assert_allclose(read(tmp_path).images["policy"].mean((1, 2, 3)), levels, atol=4)
        np.testing.assert_allclose(read(tmp_path, 1).images["policy"].mean((1, 2, 3)), levels[:4], atol=4)
        make_film(film, np.zeros((7, 32, 32, 3), np.uint8))
        refused(tmp_path, "7 pictures, and not 9")
        make_film(film, np.zeros((9, 64, 64, 3), np.uint8))
        refused(tmp_path, "64 x 64", "32 x 32")
        film.write_bytes(b"no film")
        refused(tmp_path, "file-002.mp4", "not a film")


class TestRobomimic:
    def test_without_h5py(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = importlib.import_module

        def absent(name: str, *rest: Any) -> Any:
            if name == "h5py":
                raise ImportError(name)
            return real(name, *rest)

        monkeypatch.setattr(importlib, "import_module", absent)
        refused(tmp_path / "demo.hdf5", "pip install h5py")

    def make(self, path: Path, leave_out: str = "") -> list[Demonstration]:
        h5py = pytest.importorskip("h5py")
        wanted = [demonstration(seed, Interface(cameras=("agentview",), size=16), steps=3) for seed in range(11)]
        env = {"env_name": "Lift", "env_kwargs": {"robots": ["Panda"], "control_freq": 20}}
        with h5py.File(path, "w") as file:
            file.create_group("data").attrs["env_args"] = json.dumps(env)
            for index, each in enumerate(wanted):
                arrays = {
                    "robot0_eef_pos": each.state[:, :3],
                    "robot0_eef_quat": np.tile(np.float32([1, 0, 0, 0]), (3, 1)),
                    "robot0_gripper_qpos": each.state[:, 3:5],
                    "agentview_image": each.images["agentview"],
                }
                for name, array in arrays.items():
                    if name != leave_out:
                        file[f"data/demo_{index}/obs/{name}"] = array
                file[f"data/demo_{index}/actions"] = each.action.astype(np.float64)
        return wanted

    def test_reads(self, tmp_path: Path) -> None:
        wanted = self.make(tmp_path / "demo.hdf5")
        dataset = read(tmp_path / "demo.hdf5")
        assert (dataset.interface.robot, dataset.interface.rate_hz, dataset.interface.size) == ("Panda", 20.0, 16)
        assert (dataset.episodes, dataset.instructions[0]) == (11, "Lift")
        np.testing.assert_array_equal(dataset.action, np.concatenate([each.action for each in wanted]))
        expected = np.concatenate([each.images["agentview"] for each in wanted])
        np.testing.assert_array_equal(dataset.images["agentview"], expected)
        np.testing.assert_allclose(dataset.state[0, :6], [*wanted[0].state[0, :3], np.pi, 0, 0], rtol=1e-6)
        assert read(tmp_path / "demo.hdf5", 2).starts.tolist() == [0, 3, 6]
        with pytest.raises(DatasetError, match="action"):
            require_fits(dataset.interface, FACE, tmp_path)

    @pytest.mark.parametrize("name", ["robot0_eef_pos", "agentview_image"])
    def test_names_what_is_missing(self, tmp_path: Path, name: str) -> None:
        self.make(tmp_path / "demo.hdf5", name)
        refused(tmp_path / "demo.hdf5", name.removeprefix("agentview"), "demo_0", "dataset_states_to_obs")

    def test_broken(self, tmp_path: Path) -> None:
        pytest.importorskip("h5py")
        refused(tmp_path / "demo.h5", "missing")
        (tmp_path / "demo.h5").write_bytes(b"no")
        refused(tmp_path / "demo.h5", "damaged")


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def make_film(path: Path, images: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = images.shape[2], images.shape[1]
    writer = imageio_ffmpeg.write_frames(str(path), size, fps=5, macro_block_size=1, output_params=["-crf", "10"])
    writer.send(None)
    for image in images:
        writer.send(np.ascontiguousarray(image))
    writer.close()

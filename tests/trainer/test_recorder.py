"""Writing datasets: the layout that LeRobot reads, exact statistics, and the same bytes whatever is killed or full."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.dataset import read
from trainer.errors import DatasetError
from trainer.recorder import Writer
from worldgen import store

from .handmade import DATA, FACE, ROWS, demonstration, files, refused, require_equal, write


class TestLayout:
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

    def test_what_only_a_simulator_knows_is_kept_and_read(self, tmp_path: Path) -> None:
        shown = [demonstration(seed) for seed in range(5)]
        told = [np.random.default_rng(9).normal(size=(len(each.state), 3)).astype(np.float32) for each in shown]
        wanted = [replace(each, privileged=numbers) for each, numbers in zip(shown, told, strict=True)]
        writer = Writer(tmp_path, FACE, 2, privileged=3)
        for each in wanted[:3]:
            writer.add(each)
        with pytest.raises(DatasetError, match="begun with 3 privileged numbers a frame, not 4"):
            Writer(tmp_path, FACE, 2, privileged=4)
        with Writer(tmp_path, FACE, 2, privileged=3) as again:
            for each in wanted[again.episodes :]:
                again.add(each)
        found = read(tmp_path)
        assert found.privileged is not None
        np.testing.assert_array_equal(found.privileged, np.concatenate(told))
        require_equal(found, wanted)
        info = json.loads((tmp_path / "meta/info.json").read_text())
        assert info["features"]["privileged"]["shape"] == [3]

    @pytest.mark.parametrize(("has", "wants"), [(0, 3), (3, 0), (2, 3)])
    def test_another_number_of_privileged_numbers_is_refused(self, tmp_path: Path, has: int, wants: int) -> None:
        shown = demonstration(0)
        told = np.zeros((len(shown.state), has), np.float32) if has else None
        with pytest.raises(DatasetError, match="privileged are of shape"):
            Writer(tmp_path, FACE, privileged=wants).add(replace(shown, privileged=told))

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

    def test_where_nothing_was_recorded_another_may_begin(self, tmp_path: Path) -> None:
        Writer(tmp_path, replace(FACE, cameras=("other",)), privileged=3)
        wanted = write(tmp_path, 3)
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
            from tests.trainer.handmade import FACE, demonstration
            from trainer.recorder import Writer
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
        Writer(tmp_path, FACE, per_file=1).add(demonstration(0))
        with pytest.raises(DatasetError, match=r"rate_hz 5\.0 against 10\.0"):
            Writer(tmp_path, replace(FACE, rate_hz=10.0))

    @pytest.mark.parametrize("writes", range(7))
    def test_a_finished_one_is_added_to(
        self, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, writes: int
    ) -> None:
        """What comes of it is what one Writer would have written, wherever the second was killed."""
        write(tmp_path, 2)
        before, left, real = files(tmp_path), iter(range(writes)), store.write_file

        def write_file(path: Path, content: bytes | str) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            real(path, content)

        monkeypatch.setattr(store, "write_file", write_file)
        with contextlib.suppress(KeyboardInterrupt):
            write(tmp_path, 4, first=2)
        monkeypatch.undo()
        assert (files(tmp_path) == before) == (writes == 0)
        with Writer(tmp_path, FACE, 2) as writer:
            for seed in range(writer.episodes, 4):
                writer.add(demonstration(seed))
        assert files(tmp_path) == files(whole)

    @pytest.mark.parametrize("damage", ["cut", "missing", "other rows"])
    @pytest.mark.parametrize("finished", [True, False])
    def test_whole_files_behind_a_damaged_one_are_kept(self, tmp_path: Path, damage: str, finished: bool) -> None:
        """A kill tears the end of a dataset; what else is damaged is nothing to be swept away."""
        write(tmp_path, 7)
        if not finished:
            Writer(tmp_path / "other", FACE)
            shutil.copy(tmp_path / "other/meta/unfinished.json", tmp_path / "meta")
            shutil.rmtree(tmp_path / "other")
            (tmp_path / "meta/info.json").unlink()
        bad = tmp_path / (ROWS if damage == "other rows" else DATA).format(1)
        if damage == "missing":
            bad.unlink()
        elif damage == "cut":
            bad.write_bytes(bad.read_bytes()[:100])
        else:
            shutil.copy(tmp_path / ROWS.format(3), bad)
        before = files(tmp_path)
        with pytest.raises(DatasetError, match=r"missing or damaged, and later files are not"):
            Writer(tmp_path, FACE, 2)
        assert files(tmp_path) == before

    def test_a_finished_one_of_others(self, tmp_path: Path) -> None:
        write(tmp_path, 3)
        before = files(tmp_path)
        with pytest.raises(DatasetError, match=r"rate_hz 5\.0 against 10\.0"):
            Writer(tmp_path, replace(FACE, rate_hz=10.0))
        with pytest.raises(DatasetError, match=r"cannot be added to.*another folder"):
            Writer(tmp_path, FACE, privileged=3)
        with Writer(tmp_path, FACE, 2) as writer:
            assert writer.episodes == 3
        assert files(tmp_path) == before
        (tmp_path / ROWS.format(1)).unlink()
        with pytest.raises(DatasetError, match=r"cannot be added to.*another folder"):
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

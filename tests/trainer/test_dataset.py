"""Datasets in memory: what was written is read bit by bit, what is damaged is named; formats of others."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.dataset import read, require_fits
from trainer.errors import DatasetError
from trainer.recorder import Writer
from trainer.records import Demonstration, Interface

from .handmade import DATA, FACE, ROWS, demonstration, edit, edit_column, make_film, png, refused, require_equal, write


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


def test_require_fits(tmp_path: Path) -> None:
    require_fits(FACE, FACE, tmp_path)
    other = Interface("panda", 10.0, ("policy",), 64, ("q",), ("a",))
    with pytest.raises(DatasetError) as caught:
        require_fits(FACE, other, tmp_path)
    for word in ("robot", "rate_hz", "cameras", "size", "state", "action", str(tmp_path)):
        assert word in str(caught.value)


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
        refused(root, DATA.format(1), "'action' has 1 rows without a value")

    @pytest.mark.parametrize("name", ["perturbed", "next.success"])
    def test_missing_answers(self, root: Path, name: str) -> None:
        rows = pq.read_metadata(root / DATA.format(1)).num_rows
        edit_column(root / DATA.format(1), name, [None, *[False] * (rows - 1)])
        refused(root, DATA.format(1), f"'{name}' has 1 rows without a value")

    @pytest.mark.parametrize("shape", [[100_000, 100_000, 3], ["12", "12", 3], [-12, -12, 3]])
    def test_pictures_of_no_size(self, root: Path, shape: list[object]) -> None:
        info = json.loads((root / "meta/info.json").read_text())
        pictures = {key: value | {"shape": shape} for key, value in info["features"].items() if "images" in key}
        edit(root / "meta/info.json", features=info["features"] | pictures)
        refused(root, "info.json", "make no sense")

    @pytest.mark.parametrize("rate", [0, -5, float("nan")])
    def test_no_rate(self, root: Path, rate: float) -> None:
        edit(root / "meta/info.json", fps=rate)
        refused(root, "info.json", "actions a second make no sense")

    @pytest.mark.parametrize(
        "path", [None, "data/{nosuch}.parquet", "../../{chunk_index}/{file_index}.parquet", "/etc/{file_index}"]
    )
    def test_a_pattern_that_leads_nowhere(self, root: Path, path: str | None) -> None:
        edit(root / "meta/info.json", data_path=path)
        refused(root, "info.json", "data_path")

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

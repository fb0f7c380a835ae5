"""Demonstrations → a LeRobot v3.0 dataset, whatever is killed on the way. Knows files and arrays, no worlds and no torch."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from worldgen import store
from worldgen.errors import StoreError

from .dataset import require_fits
from .errors import DatasetError
from .lerobot import (
    ACTION_KEY,
    BEGUN,
    CHUNK,
    DATA,
    INFO,
    ORIGIN,
    PRIVILEGED_KEY,
    ROWS,
    STATE_KEY,
    STATS,
    TASKS,
    Array,
    arrow_of,
    features_of,
    histogram_of,
    key_of,
    matrix_of,
    parsing,
    picture_statistics,
    place_of,
    read_interface,
    read_json,
    read_table,
    rows_schema,
    source_of,
    statistics_of,
)
from .records import ACTION, Demonstration, Interface


class Writer:
    """Writes a LeRobot v3.0 dataset, a file of `per_file` episodes at a time; goes on with one that a Writer began.

    A data file, then its episode rows, appear by a rename each; the rows say that the data is whole. `meta/info.json` comes last.
    Whatever is killed, what has its rows is kept, and the rest is deleted when a Writer is opened on the folder again; a dataset
    that was resumed is the same as one written in one go. A finished one stays so until a file is added to it. All statistics are
    exact: those of numbers are taken from the files at the end, those of pictures from 256-level histograms that are kept with the
    rows. One Writer at a time to a folder.

    Args:
        root: Folder of the dataset.
        interface: What is recorded.
        per_file: Episodes a file.
        privileged: Numbers of a frame that only a simulator knows; 0 for none.

    Raises:
        DatasetError: When the folder holds a dataset of another interface, one that no Writer wrote, or something else.
    """

    def __init__(self, root: Path, interface: Interface, per_file: int = 100, privileged: int = 0) -> None:
        if per_file < 1:
            raise DatasetError(f"{per_file} episodes a file make no sense: 1 or more are allowed. Leave it at 100.")
        self.root, self.interface, self.per_file = root, interface, per_file
        self.episodes = 0
        """Episodes that are safely on the disk; go on from this one."""
        self.last: dict[str, Any] = {}
        """Source of the last of them; see `Demonstration.source`."""
        self._privileged, self._features = privileged, features_of(interface, privileged)
        self._frames = self._files = 0
        self._tasks: dict[str, int] = {}
        self._histograms: dict[str, Array] = {}
        self._pending: list[tuple[pa.Table, pa.Table, dict[str, Array]]] = []
        """Frames, row and histograms of the episodes of the next file."""
        self._open = True
        with _writing(root):
            self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish; after an error leave what is on the disk, to be resumed."""
        if kind is None and self._open:
            self.finish()

    def add(self, demonstration: Demonstration) -> None:
        """Add an episode; it is on the disk when `episodes` says so.

        Raises:
            DatasetError: When it does not fit the interface, holds NaN, or the disk is full.
        """
        self._require_open()
        number = self.episodes + len(self._pending)
        _require_demonstration(demonstration, self.interface, self._privileged, f"Episode {number} for '{self.root}'")
        try:
            self._pending.append(self._episode(demonstration, number))
        except (pa.ArrowException, OverflowError) as error:
            reason = str(error).splitlines()[0]
            raise DatasetError(
                f"Episode {number} for '{self.root}' has a source that cannot be kept: {reason}."
            ) from error
        self._tasks.setdefault(demonstration.instruction, len(self._tasks))
        if len(self._pending) >= self.per_file:
            self._commit()

    def finish(self) -> None:
        """Write the last file, the statistics and what makes the folder a dataset.

        Raises:
            DatasetError: When there is no episode or the disk is full; a Writer opened again may try again.
        """
        self._require_open()
        if self._pending:
            self._commit()
        if not self.episodes:
            raise DatasetError(f"'{self.root}' would be a dataset without an episode. Collect at least one.")
        if (self.root / INFO).exists():  # was finished before, and nothing was added
            self._open = False
            return
        with _writing(self.root):
            _write_table(self.root / TASKS, _tasks_table(list(self._tasks)))
            store.write_file(self.root / STATS, json.dumps(self._statistics(), indent=2, allow_nan=False))
            store.write_file(self.root / INFO, json.dumps(self._info(), indent=2))
            (self.root / BEGUN).unlink(missing_ok=True)
        self._open = False

    def _require_open(self) -> None:
        if not self._open:
            raise DatasetError(f"'{self.root}' is finished. Write further episodes to another folder.")

    def _begin(self) -> None:
        root = self.root
        info = dict(read_json(root / INFO)) if (root / INFO).exists() else None
        if info is not None:
            with parsing(root / INFO):
                found = read_interface(info, root / INFO)[0]
            require_fits(found, self.interface, root)
        elif self._empty():  # nothing was recorded yet, so it may begin otherwise
            self._note()
        elif (root / BEGUN).exists():
            with parsing(root / BEGUN):
                begun = dict(read_json(root / BEGUN))
                privileged, found = int(begun.pop("privileged", 0)), Interface.parse(begun)
            require_fits(found, self.interface, root)
            if privileged != self._privileged:
                raise DatasetError(
                    f"'{root}' was begun with {privileged} privileged numbers a frame, not {self._privileged}. "
                    "Choose another folder, or delete this one."
                )
        else:
            raise DatasetError(f"'{root}' holds something else than a dataset. Choose an empty or a new folder.")
        while (rows := self._whole(self._files)) is not None:
            self._count(rows)
        self._require_tail()
        if info is None:
            self._sweep()
        elif info != json.loads(json.dumps(self._info())):
            raise DatasetError(
                f"'{root}' is a finished dataset that cannot be added to: its files are not those that belong to this '{INFO}'. "
                "Choose another folder."
            )

    def _empty(self) -> bool:
        """Tell whether nothing is there but what a Writer notes when it begins."""
        note = self.root / BEGUN
        return not any(path.is_file() and path.suffix != ".tmp" and path != note for path in self.root.rglob("*"))

    def _note(self) -> None:
        """Make the folder that of an unfinished dataset."""
        (self.root / BEGUN).parent.mkdir(parents=True, exist_ok=True)
        begun = asdict(self.interface) | {"privileged": self._privileged}
        store.write_file(self.root / BEGUN, json.dumps(begun, indent=2))
        (self.root / INFO).unlink(missing_ok=True)

    def _whole(self, index: int) -> pa.Table | None:
        """Return the rows of a file if it and its data are there and whole."""
        data, rows = (self.root / name.format(**place_of(index)) for name in (DATA, ROWS))
        if not (data.exists() and rows.exists()):
            return None
        try:
            table, frames = pq.read_table(rows, partitioning=None), pq.read_metadata(data).num_rows
        except pa.ArrowInvalid:
            return None
        except OSError as error:
            raise DatasetError(f"'{rows}' or its data cannot be read: {error}. Try again.") from error
        return table if frames == pc.sum(table["length"]).as_py() else None

    def _require_tail(self) -> None:
        """Refuse a dataset with a file that is damaged before others that are whole: a kill does not do that."""
        later = len(list((self.root / ROWS).parents[1].rglob("*.parquet")))
        if any(self._whole(index) is not None for index in range(self._files + 1, later + 1)):
            bad = self.root / DATA.format(**place_of(self._files))
            raise DatasetError(
                f"'{bad}' or its rows are missing or damaged, and later files are not. Put them back, or choose another folder."
            )

    def _sweep(self) -> None:
        """Delete what has no place: files after the last whole one, and halves of a killed writer."""
        kept = {self.root / name.format(**place_of(index)) for index in range(self._files) for name in (DATA, ROWS)}
        for folder in ("data", "meta"):
            for path in list((self.root / folder).rglob("*")):
                if path.suffix == ".tmp" or (path.suffix == ".parquet" and path not in kept):
                    path.unlink()

    def _count(self, rows: pa.Table) -> None:
        """Take note of a file that is on the disk."""
        self.episodes += rows.num_rows
        self.last = source_of(rows.slice(rows.num_rows - 1).to_pylist()[0])
        self._frames += pc.sum(rows["length"]).as_py()
        self._files += 1
        for task in itertools.chain(*rows["tasks"].to_pylist()):
            self._tasks.setdefault(task, len(self._tasks))
        for key, histogram in json.loads((rows.schema.metadata or {}).get(b"histograms", b"{}")).items():
            self._histograms[key] = self._histograms.get(key, 0) + np.array(histogram)

    def _episode(self, demonstration: Demonstration, number: int) -> tuple[pa.Table, pa.Table, dict[str, Array]]:
        """Return the frames, the row and the histograms of the pictures (feature → (3, 256)) of an episode."""
        length = len(demonstration.state)
        start = self._frames + sum(frames.num_rows for frames, _, _ in self._pending)
        task = self._tasks.get(demonstration.instruction, len(self._tasks))
        columns = _columns(demonstration, self.interface, number, start, task)
        numbers = {key: column for key, column in columns.items() if isinstance(column, np.ndarray)}
        histograms = {key_of(camera): histogram_of(demonstration.images[camera]) for camera in self.interface.cameras}
        statistics = {key: statistics_of(column.reshape(length, -1)) for key, column in numbers.items()}
        statistics |= {key: picture_statistics(histogram, length) for key, histogram in histograms.items()}
        place = place_of(self._files)
        row = {
            "episode_index": number,
            "tasks": [demonstration.instruction],
            "length": length,
            **{f"data/{name}": value for name, value in place.items()},
            "dataset_from_index": start,
            "dataset_to_index": start + length,
            **{f"meta/episodes/{name}": value for name, value in place.items()},
            **{name: demonstration.source.get(name) for name in ORIGIN},
            "source": json.dumps({name: v for name, v in demonstration.source.items() if name not in ORIGIN}),
            **{f"stats/{key}/{name}": v for key, values in statistics.items() for name, v in values.items()},
        }
        types = {key: arrow_of(feature) for key, feature in self._features.items()}
        frames = pa.table({key: _column(columns[key], kind) for key, kind in types.items()})
        return frames, pa.Table.from_pylist([row], schema=rows_schema(self._features)), histograms

    def _commit(self) -> None:
        """Put the pending episodes on the disk: the data first, for the rows say that it is whole."""
        tables, rows, histograms = zip(*self._pending, strict=True)
        sums = {key: sum(histogram[key] for histogram in histograms).tolist() for key in histograms[0]}
        table = pa.concat_tables(rows).replace_schema_metadata({"histograms": json.dumps(sums)})
        place = place_of(self._files)
        with _writing(self.root):
            if (self.root / INFO).exists():
                self._note()
            _write_table(self.root / DATA.format(**place), pa.concat_tables(tables))
            _write_table(self.root / ROWS.format(**place), table)
        self._pending = []
        self._count(table)

    def _statistics(self) -> dict[str, dict[str, Any]]:
        """Return exact statistics of all frames; reads the numbers back, a few bytes a frame."""
        keys = [key for key, feature in self._features.items() if feature["dtype"] != "image"]
        files = [self.root / DATA.format(**place_of(index)) for index in range(self._files)]
        table = pa.concat_tables([read_table(file, keys) for file in files])
        numbers = {key: statistics_of(matrix_of(table[key])) for key in keys}
        return numbers | {key: picture_statistics(sums, self._frames) for key, sums in self._histograms.items()}

    def _info(self) -> dict[str, Any]:
        rate = self.interface.rate_hz
        return {
            "codebase_version": "v3.0",
            "robot_type": self.interface.robot,
            "total_episodes": self.episodes,
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": int(rate) if float(rate).is_integer() else rate,
            "splits": {"train": f"0:{self.episodes}"},
            "data_path": DATA,
            "video_path": None,
            "features": self._features,
        }


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    """Turn what a disk says into one line."""
    try:
        yield
    except StoreError as error:
        raise DatasetError(str(error)) from error
    except OSError as error:
        raise DatasetError(
            f"'{root}' cannot be written ({error.strerror or error}). "
            "Free some space or check the folder's permissions, and run the same command again; it resumes."
        ) from error


def _write_table(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    store.write_file(path, buffer.getvalue().to_pybytes())


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), kind.value_type), kind.list_size)
    return pa.array(values.ravel() if isinstance(values, np.ndarray) else values, kind)


def _columns(
    demonstration: Demonstration, interface: Interface, episode: int, start: int, task: int
) -> dict[str, Array | list[dict[str, Any]]]:
    """Return the columns of an episode: numbers with T rows, or what holds T pictures."""
    steps = np.arange(len(demonstration.state))
    done = steps == len(steps) - 1
    won = done & demonstration.success
    return {
        **{
            key_of(camera): [{"bytes": _png(image), "path": None} for image in demonstration.images[camera]]
            for camera in interface.cameras
        },
        STATE_KEY: demonstration.state.astype(np.float32),
        ACTION_KEY: demonstration.action.astype(np.float32),
        **({} if demonstration.privileged is None else {PRIVILEGED_KEY: demonstration.privileged.astype(np.float32)}),
        "perturbed": demonstration.perturbed.astype(bool),
        "next.done": done,
        "next.success": won,
        "next.reward": won.astype(np.float32),
        "timestamp": (steps / interface.rate_hz).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full_like(steps, episode),
        "index": start + steps,
        "task_index": np.full_like(steps, task),
    }


def _png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)  # as LeRobot: a fifth larger, in less than half the time
    return file.getvalue()


def _tasks_table(tasks: list[str]) -> pa.Table:
    """Return what pandas reads as a frame whose index is the task."""
    column = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    index = {"name": None, "field_name": "__index_level_0__", "pandas_type": "unicode", "numpy_type": "object"}
    pandas = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [],
        "columns": [column | {"metadata": None}, index | {"metadata": None}],
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "__index_level_0__": pa.array(tasks)})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def _require_demonstration(demonstration: Demonstration, interface: Interface, privileged: int, what: str) -> None:
    steps, size = len(demonstration.state), interface.size
    if not steps:
        raise DatasetError(f"{what} has no step. Leave it out.")
    told = np.zeros((steps, 0)) if demonstration.privileged is None else demonstration.privileged
    if sorted(demonstration.images) != sorted(interface.cameras):
        has = ", ".join(sorted(demonstration.images)) or "none"
        raise DatasetError(f"{what} has the cameras {has}; wanted are {', '.join(sorted(interface.cameras))}.")
    arrays: dict[str, tuple[Array, tuple[int, ...]]] = {
        **{f"pictures of '{name}'": (v, (steps, size, size, 3)) for name, v in demonstration.images.items()},
        "state": (demonstration.state, (steps, len(interface.state))),
        "action": (demonstration.action, (steps, ACTION)),
        "perturbed": (demonstration.perturbed, (steps,)),
        "privileged": (told, (steps, privileged)),
    }
    for name, (array, shape) in arrays.items():
        if array.shape != shape:
            raise DatasetError(f"{what}: {name} are of shape {array.shape}; wanted is {shape}.")
    for name, images in demonstration.images.items():
        if images.dtype != np.uint8:
            raise DatasetError(f"{what}: pictures of '{name}' are {images.dtype}; wanted is uint8.")
    for name, array in (("state", demonstration.state), ("action", demonstration.action), ("privileged", told)):
        if len(bad := np.flatnonzero(~np.isfinite(array).all(1))):
            raise DatasetError(f"{what}: {name} of step {bad[0]} is not finite. Leave the episode out.")

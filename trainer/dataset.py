"""Demonstrations on disk: LeRobot v3.0 out; LeRobot v3.0 and v2.1 and robomimic HDF5 in. Knows files and arrays, no worlds and no torch."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import imageio_ffmpeg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from worldgen import store
from worldgen.errors import StoreError

from .errors import DatasetError
from .records import ACTION, Demonstration, Interface

Array = NDArray[Any]

VERSIONS = ("v3.0", "v2.1")
_INFO, _STATS, _TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
_BEGUN = "meta/unfinished.json"
"""What an unfinished dataset has in place of `_INFO`."""
_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_ROWS = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_CHUNK = 1000
"""Files of a folder."""
_CAMERA, _STATE, _ACTION = "observation.images.", "observation.state", "action"
_ORIGIN = {"scene": pa.string(), "seed": pa.int64(), "family": pa.string(), "domain": pa.string()}
"""Parts of `Demonstration.source` that have a column; the rest is JSON in the column `source`."""
_AGAIN = "Copy it again from where it came, or collect the demonstrations anew."


@dataclass(frozen=True)
class Dataset:
    """F frames of E episodes, in the order they were collected."""

    interface: Interface
    images: dict[str, NDArray[np.uint8]]
    """Camera → (F, H, W, 3) sRGB, before the action."""
    state: NDArray[np.float32]
    """(F, S), before the action."""
    action: NDArray[np.float32]
    """(F, 7), as executed."""
    perturbed: NDArray[np.bool_]
    """(F,) Whether the action is not to be imitated."""
    episode: NDArray[np.int64]
    """(F,) Episode of each frame, 0 … E - 1."""
    starts: NDArray[np.int64]
    """(E + 1,) First frame of each episode, then F."""
    instructions: list[str]
    """(E,)"""
    success: NDArray[np.bool_]
    """(E,) True where the dataset does not say."""
    sources: list[dict[str, Any]]
    """(E,) See `Demonstration.source`; empty where the dataset does not say."""

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.instructions)


def require_fits(found: Interface, wanted: Interface, where: Path) -> None:
    """Refuse what was recorded with another robot, rate, camera, picture size, state or action.

    Raises:
        DatasetError: Naming every difference.
    """
    if differences := found.differences(wanted):
        raise DatasetError(
            f"'{where}' does not fit what is asked for: {'; '.join(differences)} (the dataset's first). "
            "Choose a dataset that fits, or ask for what this one has."
        )


# --- writing ---


class Writer:
    """Writes a LeRobot v3.0 dataset, a file of `per_file` episodes at a time; goes on with an unfinished one.

    A data file, then its episode rows, appear by a rename each; the rows say that the data is whole. `meta/info.json` comes last.
    Whatever is killed, what has its rows is kept, and the rest is deleted when a Writer is opened on the folder again; a dataset
    that was resumed is the same as one written in one go. All statistics are exact: those of numbers are taken from the files
    at the end, those of pictures from 256-level histograms that are kept with the rows. One Writer at a time to a folder.

    Raises:
        DatasetError: When the folder holds a finished dataset, one of another interface, or something else.
    """

    def __init__(self, root: Path, interface: Interface, per_file: int = 100) -> None:
        if per_file < 1:
            raise DatasetError(f"{per_file} episodes a file make no sense: 1 or more are allowed. Leave it at 100.")
        self.root, self.interface, self.per_file = root, interface, per_file
        self.episodes = 0
        """Episodes that are safely on the disk; go on from this one."""
        self.last: dict[str, Any] = {}
        """Scene, seed, family and domain of the last of them."""
        self._features = _features(interface)
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
        _require_demonstration(demonstration, self.interface, f"Episode {number} for '{self.root}'")
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
        with _writing(self.root):
            _write_table(self.root / _TASKS, _tasks_table(list(self._tasks)))
            store.write_file(self.root / _STATS, json.dumps(self._statistics(), indent=2, allow_nan=False))
            store.write_file(self.root / _INFO, json.dumps(self._info(), indent=2))
            (self.root / _BEGUN).unlink(missing_ok=True)
        self._open = False

    def _require_open(self) -> None:
        if not self._open:
            raise DatasetError(f"'{self.root}' is finished. Write further episodes to another folder.")

    def _begin(self) -> None:
        root = self.root
        if (root / _INFO).exists():
            raise DatasetError(f"'{root}' is a finished dataset. Choose another folder, or delete this one.")
        if (root / _BEGUN).exists():
            with _parsing(root / _BEGUN):
                fields: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in _json(root / _BEGUN).items()}
                begun = Interface(**fields)
            require_fits(begun, self.interface, root)
        elif any(path.is_file() and path.suffix != ".tmp" for path in root.rglob("*")):
            raise DatasetError(f"'{root}' holds something else than a dataset. Choose an empty or a new folder.")
        else:
            (root / _BEGUN).parent.mkdir(parents=True, exist_ok=True)
            store.write_file(root / _BEGUN, json.dumps(asdict(self.interface), indent=2))
        while (rows := self._whole()) is not None:
            self._count(rows)
        self._sweep()

    def _whole(self) -> pa.Table | None:
        """Return the rows of the next file if it and its data are whole."""
        place = _place(self._files)
        try:
            rows = pq.read_table(self.root / _ROWS.format(**place), partitioning=None)
            frames = pq.read_metadata(self.root / _DATA.format(**place)).num_rows
        except (OSError, pa.ArrowException):
            return None
        return rows if frames == pc.sum(rows["length"]).as_py() else None

    def _sweep(self) -> None:
        """Delete what has no place: files after the last whole one, and halves of a killed writer."""
        kept = {self.root / name.format(**_place(index)) for index in range(self._files) for name in (_DATA, _ROWS)}
        for folder in ("data", "meta"):
            for path in list((self.root / folder).rglob("*")):
                if path.suffix == ".tmp" or (path.suffix == ".parquet" and path not in kept):
                    path.unlink()

    def _count(self, rows: pa.Table) -> None:
        """Take note of a file that is on the disk."""
        self.episodes += rows.num_rows
        self.last = {name: rows[name][-1].as_py() for name in _ORIGIN}
        self._frames += pc.sum(rows["length"]).as_py()
        self._files += 1
        for task in itertools.chain(*rows["tasks"].to_pylist()):
            self._tasks.setdefault(task, len(self._tasks))
        for key, histogram in json.loads(rows.schema.metadata[b"histograms"]).items():
            self._histograms[key] = self._histograms.get(key, 0) + np.array(histogram)

    def _episode(self, demonstration: Demonstration, number: int) -> tuple[pa.Table, pa.Table, dict[str, Array]]:
        """Return the frames, the row and the histograms of the pictures (feature → (3, 256)) of an episode."""
        length = len(demonstration.state)
        start = self._frames + sum(frames.num_rows for frames, _, _ in self._pending)
        task = self._tasks.get(demonstration.instruction, len(self._tasks))
        columns = _columns(demonstration, self.interface, number, start, task)
        numbers = {key: column for key, column in columns.items() if isinstance(column, np.ndarray)}
        histograms = {_key(camera): _histogram(demonstration.images[camera]) for camera in self.interface.cameras}
        statistics = {key: _statistics(column.reshape(length, -1)) for key, column in numbers.items()}
        statistics |= {key: _picture_statistics(histogram, length) for key, histogram in histograms.items()}
        place = _place(self._files)
        row = {
            "episode_index": number,
            "tasks": [demonstration.instruction],
            "length": length,
            **{f"data/{name}": value for name, value in place.items()},
            "dataset_from_index": start,
            "dataset_to_index": start + length,
            **{f"meta/episodes/{name}": value for name, value in place.items()},
            **{name: demonstration.source.get(name) for name in _ORIGIN},
            "source": json.dumps({name: v for name, v in demonstration.source.items() if name not in _ORIGIN}),
            **{f"stats/{key}/{name}": v for key, values in statistics.items() for name, v in values.items()},
        }
        types = {key: _arrow(feature) for key, feature in self._features.items()}
        frames = pa.table({key: _column(columns[key], kind) for key, kind in types.items()})
        return frames, pa.Table.from_pylist([row], schema=_rows_schema(self._features)), histograms

    def _commit(self) -> None:
        """Put the pending episodes on the disk: the data first, for the rows say that it is whole."""
        tables, rows, histograms = zip(*self._pending, strict=True)
        sums = {key: sum(histogram[key] for histogram in histograms).tolist() for key in histograms[0]}
        table = pa.concat_tables(rows).replace_schema_metadata({"histograms": json.dumps(sums)})
        place = _place(self._files)
        with _writing(self.root):
            _write_table(self.root / _DATA.format(**place), pa.concat_tables(tables))
            _write_table(self.root / _ROWS.format(**place), table)
        self._pending = []
        self._count(table)

    def _statistics(self) -> dict[str, dict[str, Any]]:
        """Return exact statistics of all frames; reads the numbers back, a few bytes a frame."""
        keys = [key for key, feature in self._features.items() if feature["dtype"] != "image"]
        files = [self.root / _DATA.format(**_place(index)) for index in range(self._files)]
        table = pa.concat_tables([_table(file, keys) for file in files])
        numbers = {key: _statistics(_matrix(table[key])) for key in keys}
        return numbers | {key: _picture_statistics(sums, self._frames) for key, sums in self._histograms.items()}

    def _info(self) -> dict[str, Any]:
        rate = self.interface.rate_hz
        return {
            "codebase_version": "v3.0",
            "robot_type": self.interface.robot,
            "total_episodes": self.episodes,
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": _CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": int(rate) if float(rate).is_integer() else rate,
            "splits": {"train": f"0:{self.episodes}"},
            "data_path": _DATA,
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


def _place(index: int) -> dict[str, int]:
    return {"chunk_index": index // _CHUNK, "file_index": index % _CHUNK}


def _key(camera: str) -> str:
    """Return the feature of a camera: LeRobot allows no slash in it."""
    return _CAMERA + camera.replace("/", ".")


def _camera(key: str) -> str:
    """Return the camera of a feature, also of one called `observation.image`."""
    prefix = _CAMERA if key.startswith(_CAMERA) else "observation."
    return key.removeprefix(prefix).replace(".", "/")


def _features(interface: Interface) -> dict[str, dict[str, Any]]:
    """Return LeRobot's description of every column.

    Raises:
        DatasetError: When a camera's name could not be read back, or an action is not of 7 numbers.
    """
    if len(interface.action) != ACTION:
        raise DatasetError(f"Actions of {len(interface.action)} numbers cannot be kept: {ACTION} are allowed.")
    if wrong := [camera for camera in interface.cameras if _camera(_key(camera)) != camera]:
        raise DatasetError(f"The camera '{wrong[0]}' cannot be named in a dataset: a dot is not allowed. Rename it.")

    def feature(dtype: str, shape: Sequence[int] = (1,), names: Sequence[str] | None = None) -> dict[str, Any]:
        return {"dtype": dtype, "shape": list(shape), "names": names and list(names)}

    picture = feature("image", (interface.size, interface.size, 3), ("height", "width", "channels"))
    return {
        **{_key(camera): picture for camera in interface.cameras},
        _STATE: feature("float32", (len(interface.state),), interface.state),
        _ACTION: feature("float32", (len(interface.action),), interface.action),
        **dict.fromkeys(("perturbed", "next.done", "next.success"), feature("bool")),
        **dict.fromkeys(("next.reward", "timestamp"), feature("float32")),
        **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), feature("int64")),
    }


def _arrow(feature: dict[str, Any]) -> pa.DataType:
    if feature["dtype"] == "image":
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kind, width = pa.type_for_alias(feature["dtype"]), feature["shape"][0]
    return kind if width == 1 else pa.list_(kind, width)


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
            _key(camera): [{"bytes": _png(image), "path": None} for image in demonstration.images[camera]]
            for camera in interface.cameras
        },
        _STATE: demonstration.state.astype(np.float32),
        _ACTION: demonstration.action.astype(np.float32),
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


def _rows_schema(features: dict[str, dict[str, Any]]) -> pa.Schema:
    number, vector = pa.int64(), pa.list_(pa.float64())
    places = [f"{kind}/{name}" for kind in ("data", "meta/episodes") for name in _place(0)]
    names = ("episode_index", "length", "dataset_from_index", "dataset_to_index", *places)
    fields = {"tasks": pa.list_(pa.string()), **dict.fromkeys(names, number), **_ORIGIN, "source": pa.string()}
    for key, feature in features.items():
        kind = pa.list_(pa.list_(vector)) if feature["dtype"] == "image" else vector
        fields |= {f"stats/{key}/{name}": kind for name in ("min", "max", "mean", "std", "q01", "q99")}
        fields[f"stats/{key}/count"] = pa.list_(number)
    return pa.schema(fields)


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


def _statistics(values: Array) -> dict[str, list[Any]]:
    """Return the statistics of (F, D) numbers."""
    values = values.astype(np.float64)
    low, high = np.quantile(values, (0.01, 0.99), axis=0)
    arrays = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    arrays |= {"q01": low, "q99": high}
    return {name: array.tolist() for name, array in arrays.items()} | {"count": [len(values)]}


def _histogram(images: NDArray[np.uint8]) -> Array:
    """Return how many pixels of (T, H, W, 3) have each level, (3, 256)."""
    return np.stack([np.bincount(images[..., channel].ravel(), minlength=256) for channel in range(3)])


def _picture_statistics(histogram: Array, frames: int) -> dict[str, list[Any]]:
    """Return the statistics of the pixels behind a histogram (3, 256), each (3, 1, 1) in 0 … 1."""
    levels, pixels = np.arange(256) / 255, histogram[0].sum()
    mean = histogram @ levels / pixels
    variance = (histogram * (levels - mean[:, None]) ** 2).sum(1) / pixels

    def quantile(part: float) -> Array:
        """Interpolate between neighbours in rank, as NumPy does."""
        rank = part * (pixels - 1)
        low, high = (
            np.array([levels[np.searchsorted(line.cumsum(), r, "right")] for line in histogram])
            for r in (np.floor(rank), np.ceil(rank))
        )
        return low + (high - low) * (rank - np.floor(rank))

    arrays = {"min": quantile(0), "max": quantile(1), "mean": mean, "std": np.sqrt(variance)}
    arrays |= {"q01": quantile(0.01), "q99": quantile(0.99)}
    return {name: array.reshape(3, 1, 1).tolist() for name, array in arrays.items()} | {"count": [frames]}


def _require_demonstration(demonstration: Demonstration, interface: Interface, what: str) -> None:
    steps, size = len(demonstration.state), interface.size
    if not steps:
        raise DatasetError(f"{what} has no step. Leave it out.")
    if sorted(demonstration.images) != sorted(interface.cameras):
        has = ", ".join(sorted(demonstration.images)) or "none"
        raise DatasetError(f"{what} has the cameras {has}; wanted are {', '.join(sorted(interface.cameras))}.")
    arrays: dict[str, tuple[Array, tuple[int, ...]]] = {
        **{f"pictures of '{name}'": (v, (steps, size, size, 3)) for name, v in demonstration.images.items()},
        "state": (demonstration.state, (steps, len(interface.state))),
        "action": (demonstration.action, (steps, ACTION)),
        "perturbed": (demonstration.perturbed, (steps,)),
    }
    for name, (array, shape) in arrays.items():
        if array.shape != shape:
            raise DatasetError(f"{what}: {name} are of shape {array.shape}; wanted is {shape}.")
    for name, images in demonstration.images.items():
        if images.dtype != np.uint8:
            raise DatasetError(f"{what}: pictures of '{name}' are {images.dtype}; wanted is uint8.")
    for name, array in (("state", demonstration.state), ("action", demonstration.action)):
        if len(bad := np.flatnonzero(~np.isfinite(array).all(1))):
            raise DatasetError(f"{what}: {name} of step {bad[0]} is not finite. Leave the episode out.")


# --- reading ---


@dataclass(frozen=True)
class _Episode:
    """Where an episode of a LeRobot dataset is."""

    length: int
    instruction: str
    source: dict[str, Any]
    file: Path
    films: dict[str, tuple[Path, int]]
    """Feature → its film and the frame it begins with; empty where pictures are in `file`."""


def read(root: Path, limit: int | None = None) -> Dataset:
    """Read a LeRobot folder (v3.0 or v2.1) or a robomimic file (.hdf5, .h5); all pictures are decoded into memory.

    Args:
        root: The folder that has `meta/info.json`, or the file.
        limit: Read only so many episodes, the first ones.

    Raises:
        DatasetError: When it is damaged, incomplete or holds what cannot be trained on; says which file and what to do.
    """
    if limit is not None and limit < 1:
        raise DatasetError(f"{limit} episodes cannot be read: 1 or more are allowed, or none given for all.")
    if root.suffix in (".hdf5", ".h5"):
        return _read_robomimic(root, limit)
    info = _read_info(root)
    with _parsing(root / _INFO):
        interface, pictures = _read_interface(info, root / _INFO)
    episodes = _episodes_v3(root, info) if info["codebase_version"] == "v3.0" else _episodes_v2(root, info)
    _require_counts(root, info, episodes)
    chosen = episodes[:limit]
    starts = np.cumsum([0, *(episode.length for episode in chosen)])
    size = interface.size
    images = {key: np.empty((starts[-1], size, size, 3), np.uint8) for key in pictures}
    parts, first = [], 0
    for file, group in itertools.groupby(episodes, lambda episode: episode.file):
        if first >= len(chosen):
            break
        lengths = [episode.length for episode in group]
        rows = sum(lengths[: len(chosen) - first])
        table = _frames(file, pictures, first, lengths).slice(0, rows)
        parts.append(_numbers(file, table, interface))
        for key in pictures:
            if pictures[key] == "image":
                _decode(file, table[key], images[key][starts[first] :][:rows])
        first += len(lengths)
    _read_films(chosen, starts, images)
    return _dataset(
        root,
        interface,
        images={_camera(key): array for key, array in images.items()},
        numbers={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        starts=starts,
        instructions=[episode.instruction for episode in chosen],
        sources=[episode.source for episode in chosen],
    )


def _dataset(
    root: Path,
    interface: Interface,
    images: dict[str, NDArray[np.uint8]],
    numbers: dict[str, Array],
    starts: Array,
    instructions: list[str],
    sources: list[dict[str, Any]],
) -> Dataset:
    """Put a dataset together; `numbers` has state, action, perturbed and success, a row a frame."""
    for name in ("state", "action"):
        if len(bad := np.flatnonzero(~np.isfinite(numbers[name]).all(1))):
            episode = int(np.searchsorted(starts, bad[0], "right")) - 1
            raise DatasetError(
                f"'{root}': {name} of episode {episode}, frame {bad[0] - starts[episode]}, is not finite. "
                "Remove the episode from the dataset, or collect it again."
            )
    return Dataset(
        interface=interface,
        images=images,
        state=numbers["state"],
        action=numbers["action"],
        perturbed=numbers["perturbed"],
        episode=np.repeat(np.arange(len(instructions)), np.diff(starts)),
        starts=starts,
        instructions=instructions,
        success=np.logical_or.reduceat(numbers["success"], starts[:-1]),
        sources=sources,
    )


@contextlib.contextmanager
def _parsing(path: Path) -> Iterator[None]:
    """Turn what comes of a file that is not as it should be into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        missing = "is missing" if isinstance(error, FileNotFoundError) else f"is damaged ({reason})"
        raise DatasetError(f"'{path}' {missing}. {_AGAIN}") from error


def _json(path: Path) -> Any:
    """Return the object of a file."""
    with _parsing(path):
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise TypeError("an object is expected")
        return value


def _table(path: Path, columns: Iterable[str] | None = None, optional: Sequence[str] = ()) -> pa.Table:
    """Read columns of a file: those asked for, and the optional ones it has; None is all but the statistics."""
    with _parsing(path), pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if columns is None:
            columns = [name for name in names if not name.startswith("stats/")]
        if missing := [name for name in columns if name not in names]:
            raise DatasetError(f"'{path}' has no column '{missing[0]}', which 'meta/info.json' promises. {_AGAIN}")
        wanted = [*columns, *(name for name in optional if name in names)]
        return file.read(columns=wanted).select(wanted)


def _read_info(root: Path) -> dict[str, Any]:
    if not (root / _INFO).is_file():
        if (root / _BEGUN).is_file():
            raise DatasetError(f"'{root}' is not finished. Run the command that writes it again; it resumes.")
        raise DatasetError(f"'{root}' is not a dataset: it has no '{_INFO}'. Give the folder that contains 'meta'.")
    info = _json(root / _INFO)
    if (version := info.get("codebase_version")) not in VERSIONS:
        raise DatasetError(
            f"'{root / _INFO}' is of version '{version}'; {' and '.join(VERSIONS)} can be read. "
            "Convert it with the lerobot package."
        )
    return info


def _read_interface(info: dict[str, Any], where: Path) -> tuple[Interface, dict[str, str]]:
    """Return what info.json says of the interface, and its picture features with their kind, image or video."""
    features = info["features"]
    pictures = {key: feature["dtype"] for key, feature in features.items() if feature["dtype"] in ("image", "video")}
    if missing := [key for key in (_STATE, _ACTION) if key not in features] or ([] if pictures else [_CAMERA + "…"]):
        raise DatasetError(f"'{where}' has no feature '{missing[0]}', without which a policy cannot be trained.")
    if (width := features[_ACTION]["shape"]) != [ACTION]:
        raise DatasetError(f"'{where}': actions are of shape {width}, not [{ACTION}]. Choose another dataset.")
    shapes = [features[key]["shape"] for key in pictures]
    sizes = {tuple(shape[:2] if shape[2] == 3 else shape[1:]) for shape in shapes}  # (H, W, 3) or (3, H, W)
    if len(sizes) > 1 or any(height != width for height, width in sizes):
        found = ", ".join(f"{key} {features[key]['shape']}" for key in pictures)
        raise DatasetError(f"'{where}': pictures must be square and of one size, not {found}. Crop and resize them.")
    interface = Interface(
        robot=info.get("robot_type") or "",
        rate_hz=float(info["fps"]),
        cameras=tuple(_camera(key) for key in pictures),
        size=sizes.pop()[0],
        state=_names(features[_STATE]),
        action=_names(features[_ACTION]),
    )
    return interface, pictures


def _names(feature: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of a vector's parts; numbers where there are none that fit."""
    names, width = feature.get("names"), feature["shape"][0]
    if isinstance(names, dict):
        names = next(iter(names.values())) if len(names) == 1 else list(names)
    if isinstance(names, list) and len(names) == width and all(isinstance(name, str) for name in names):
        return tuple(names)
    return tuple(str(index) for index in range(width))


def _episodes_v3(root: Path, info: dict[str, Any]) -> list[_Episode]:
    files = sorted((root / "meta/episodes").glob("*/*.parquet"))
    if not files:
        raise DatasetError(f"'{root / 'meta/episodes'}' has no file. {_AGAIN}")
    videos = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    episodes = []
    for file in files:
        with _parsing(file):
            for row in _table(file).to_pylist():
                films = {}
                for key in videos:
                    place = {name: row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
                    frame = round(row[f"videos/{key}/from_timestamp"] * info["fps"])
                    films[key] = (root / info["video_path"].format(video_key=key, **place), frame)
                place = {name: row[f"data/{name}"] for name in ("chunk_index", "file_index")}
                source = {name: row[name] for name in _ORIGIN if row.get(name) is not None}
                source |= json.loads(row.get("source") or "{}")
                data = root / info["data_path"].format(**place)
                episodes.append(_Episode(int(row["length"]), (row["tasks"] or [""])[0], source, data, films))
    return episodes


def _episodes_v2(root: Path, info: dict[str, Any]) -> list[_Episode]:
    file = root / "meta/episodes.jsonl"
    videos = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    episodes = []
    with _parsing(file):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            index = row["episode_index"]
            place = {"episode_chunk": index // info["chunks_size"], "episode_index": index}
            films = {key: (root / info["video_path"].format(video_key=key, **place), 0) for key in videos}
            data = root / info["data_path"].format(**place)
            episodes.append(_Episode(int(row["length"]), (row["tasks"] or [""])[0], {}, data, films))
    return episodes


def _require_counts(root: Path, info: dict[str, Any], episodes: list[_Episode]) -> None:
    if not episodes or not info.get("total_frames"):
        raise DatasetError(f"'{root}' is empty: it has no episode. Collect some, or give another dataset.")
    frames = sum(episode.length for episode in episodes)
    for name, found in (("total_episodes", len(episodes)), ("total_frames", frames)):
        if info.get(name) != found:
            raise DatasetError(
                f"'{root / _INFO}' says {name} = {info.get(name)}, but 'meta/episodes' lists {found}. {_AGAIN}"
            )
    if short := [index for index, episode in enumerate(episodes) if episode.length < 1]:
        raise DatasetError(f"'{root}': episode {short[0]} has no frame. Remove it from the dataset.")


def _frames(file: Path, pictures: dict[str, str], first: int, lengths: list[int]) -> pa.Table:
    """Read a data file and require that it holds these episodes, all of them and no other."""
    columns = [_STATE, _ACTION, "episode_index", *(key for key in pictures if pictures[key] == "image")]
    table = _table(file, columns, optional=("perturbed", "next.success"))
    wanted = np.repeat(np.arange(first, first + len(lengths)), lengths)
    if not np.array_equal(table["episode_index"].to_numpy(), wanted):
        raise DatasetError(
            f"'{file}' has {table.num_rows} rows, and not the {len(wanted)} of episodes {first} … "
            f"{first + len(lengths) - 1} that 'meta' lists. {_AGAIN}"
        )
    return table


def _matrix(column: pa.ChunkedArray) -> Array:
    """Return a column as (rows, width).

    Raises:
        ValueError: When rows are missing or of different width.
    """
    column = column.combine_chunks()
    if not hasattr(column.type, "value_type"):
        return column.to_numpy(zero_copy_only=False).reshape(-1, 1)
    widths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(widths) != 1 or widths[0] is None:
        raise ValueError(f"rows of widths {widths}")
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, widths[0])


def _numbers(file: Path, table: pa.Table, interface: Interface) -> dict[str, Array]:
    """Return state (F, S), action (F, 7), perturbed (F,) and success (F,) of the rows of a file."""
    numbers = {}
    for name, key, width in (("state", _STATE, len(interface.state)), ("action", _ACTION, ACTION)):
        with _parsing(file):
            numbers[name] = _matrix(table[key]).astype(np.float32)
        if (found := numbers[name].shape[1]) != width:
            raise DatasetError(f"'{file}': '{key}' has {found} numbers; {width} are allowed. {_AGAIN}")
    for name, key, default in (("perturbed", "perturbed", False), ("success", "next.success", True)):
        has = key in table.column_names
        numbers[name] = _matrix(table[key])[:, 0].astype(bool) if has else np.full(table.num_rows, default)
    return numbers


def _decode(file: Path, column: pa.ChunkedArray, into: NDArray[np.uint8]) -> None:
    """Decode the pictures of a column into (rows, H, W, 3)."""

    def decode(row: int, png: bytes | None) -> None:
        where = f"'{file}': the picture in row {row}"
        if not png:
            raise DatasetError(f"{where} has no bytes. {_AGAIN}")
        try:
            with Image.open(io.BytesIO(png)) as image:
                picture = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on a damaged PNG
            raise DatasetError(f"{where} is damaged. {_AGAIN}") from error
        _require_size(where, picture.shape[1::-1], into.shape[1])
        into[row] = picture

    with _parsing(file):
        pngs = pc.struct_field(column, "bytes").to_pylist()
    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(len(pngs)), pngs))


def _require_size(what: str, found: Sequence[int], size: int) -> None:
    if tuple(found) != (size, size):
        raise DatasetError(
            f"{what} is {found[0]} x {found[1]} px; 'meta/info.json' says {size} x {size}. "
            "Correct the shape there, or resize the pictures."
        )


def _read_films(episodes: list[_Episode], starts: Array, images: dict[str, NDArray[np.uint8]]) -> None:
    """Decode the films of the episodes into `images`, each film once."""
    scenes: dict[tuple[str, Path], list[tuple[int, int, int]]] = {}
    for episode, start in zip(episodes, starts.tolist(), strict=False):
        for key, (path, frame) in episode.films.items():
            scenes.setdefault((key, path), []).append((frame, episode.length, start))
    for (key, path), cuts in scenes.items():
        with _parsing(path):
            path.stat()
        last = max(frame + length for frame, length, _ in cuts)
        reader = imageio_ffmpeg.read_frames(str(path))
        try:
            _require_size(f"'{path}'", next(reader)["size"], images[key].shape[1])
            count = 0
            for raw in itertools.islice(reader, last):
                picture = np.frombuffer(raw, np.uint8).reshape(images[key].shape[1:])
                for frame, length, start in cuts:
                    if frame <= count < frame + length:
                        images[key][start + count - frame] = picture
                count += 1
        except (OSError, RuntimeError, StopIteration) as error:
            raise DatasetError(f"'{path}' is not a film that can be read. {_AGAIN}") from error
        finally:
            reader.close()
        if count < last:
            raise DatasetError(f"'{path}' has {count} pictures, and not {last}. {_AGAIN}")


# --- robomimic ---

_ALIASES = {
    "position": ("robot0_eef_pos", "eef_pos", "ee_pos"),
    "rotation": ("robot0_eef_quat", "eef_quat", "ee_quat", "ee_ori"),
    "gripper": ("robot0_gripper_qpos", "gripper_qpos", "gripper_states"),
}
_EEF_NAMES = ("eef_x", "eef_y", "eef_z", "eef_rx", "eef_ry", "eef_rz", "gripper_width")
_RAW_ACTION = tuple(f"controller_{index}" for index in range(ACTION))
"""Names that are not those of `Interface`: a controller's input is no distance, and the frame is the simulator's."""


def _read_robomimic(path: Path, limit: int | None) -> Dataset:
    """Read `data/demo_*`; the state is position [m], rotation vector [rad] and opening [m], the action the controller's input."""
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise DatasetError(f"'{path}' needs h5py to be read: pip install h5py.") from error
    with _parsing(path), h5py.File(path) as file:
        data = file["data"]
        names = sorted((name for name in data if name.startswith("demo_")), key=lambda name: int(name[5:]))[:limit]
        if not names:
            raise DatasetError(f"'{path}' is empty: it has no 'data/demo_0'. Give another file.")
        env = json.loads(data.attrs["env_args"])
        problem = json.loads(data.attrs.get("problem_info", "{}"))
        instruction = "".join(problem.get("language_instruction", env.get("env_name", "")))
        demos = [_robomimic_demo(path, name, data[name]) for name in names]
        kwargs = env["env_kwargs"]
        robots, rate = kwargs.get("robots", ""), float(kwargs["control_freq"])
    cameras = tuple(demos[0][0])
    sizes = {images[camera].shape[1:] for images, _ in demos for camera in images}
    if len(sizes) > 1 or (size := sizes.pop())[0] != size[1] or size[2] != 3:
        raise DatasetError(f"'{path}': pictures must be square and of one size. Crop and resize them.")
    robot = robots if isinstance(robots, str) else "+".join(robots)
    return _dataset(
        path,
        Interface(robot, rate, cameras, size[0], _EEF_NAMES, _RAW_ACTION),
        images={camera: np.concatenate([images[camera] for images, _ in demos]) for camera in cameras},
        numbers={name: np.concatenate([numbers[name] for _, numbers in demos]) for name in demos[0][1]},
        starts=np.cumsum([0, *(len(numbers["action"]) for _, numbers in demos)]),
        instructions=[instruction] * len(demos),
        sources=[{} for _ in demos],
    )


def _robomimic_demo(path: Path, name: str, demo: Any) -> tuple[dict[str, NDArray[np.uint8]], dict[str, Array]]:
    """Return the pictures by camera and the numbers of an episode."""
    obs = demo["obs"]
    found = {part: next((key for key in keys if key in obs), None) for part, keys in _ALIASES.items()}
    suffixes = ("_image", "_rgb")
    pictures = {key.removesuffix(end): key for end in suffixes for key in sorted(obs) if key.endswith(end)}
    missing = [f"{part} (one of {', '.join(_ALIASES[part])})" for part, key in found.items() if key is None]
    missing += [] if pictures else ["pictures (<camera>_image)"]
    if missing:
        raise DatasetError(
            f"'{path}': 'data/{name}/obs' lacks {' and '.join(missing)}. "
            "Extract the observations with robomimic's dataset_states_to_obs.py and give that file."
        )
    position, rotation, gripper = (np.asarray(obs[key], np.float64) for key in found.values())
    state = np.column_stack([position, _rotation_vector(rotation), gripper[:, 0] - gripper[:, 1:].sum(1)])
    action = np.asarray(demo["actions"], np.float32)
    if state.shape[1] != ACTION or action.shape[1:] != (ACTION,) or not len(action):
        raise DatasetError(
            f"'{path}': 'data/{name}' has states of {state.shape[1]} and actions of shape {action.shape}; "
            f"{ACTION} numbers each are allowed. Give a file of one arm with a gripper."
        )
    images = {camera: np.asarray(obs[key], np.uint8) for camera, key in pictures.items()}
    if wrong := [camera for camera in images if len(images[camera]) != len(action)] or len(state) != len(action):
        raise DatasetError(f"'{path}': 'data/{name}' has arrays of different lengths ({wrong or 'state'}). {_AGAIN}")
    flags = {"perturbed": np.zeros(len(action), bool), "success": np.ones(len(action), bool)}
    return images, {"state": state.astype(np.float32), "action": action, **flags}


def _rotation_vector(rotation: Array) -> Array:
    """Return (T, 3) rotation vectors [rad] of quaternions (T, 4), x y z w; vectors are returned as they are."""
    if rotation.shape[1] == 3:
        return rotation
    rotation = rotation * np.where(rotation[:, 3:] < 0, -1, 1)
    sine = np.linalg.norm(rotation[:, :3], axis=1, keepdims=True)
    angle = 2 * np.arctan2(sine, rotation[:, 3:])
    return rotation[:, :3] * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2)

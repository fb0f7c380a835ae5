"""The LeRobot format: names of files and columns, what they hold, their statistics. Knows files and arrays, no datasets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .errors import DatasetError
from .records import ACTION, Interface

Array = NDArray[Any]

VERSIONS = ("v3.0", "v2.1")
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
BEGUN = "meta/unfinished.json"
"""What an unfinished dataset has in place of `INFO`."""
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
ROWS = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
CHUNK = 1000
"""Files of a folder."""
CAMERA_KEY, STATE_KEY, ACTION_KEY = "observation.images.", "observation.state", "action"
PRIVILEGED_KEY = "privileged"
"""No `observation.environment_state`: LeRobot's policies would look at that."""
ORIGIN = {"scene": pa.string(), "seed": pa.int64(), "family": pa.string(), "domain": pa.string()}
"""Parts of `Demonstration.source` that have a column; the rest is JSON in the column `source`."""
AGAIN = "Copy it again from where it came, or collect the demonstrations anew."


def source_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `Demonstration.source` that an episode's row keeps; what it does not say is left out."""
    found = {name: row[name] for name in ORIGIN if row.get(name) is not None}
    return found | json.loads(row.get("source") or "{}")


def place_of(index: int) -> dict[str, int]:
    """Return folder and file of a file's number."""
    return {"chunk_index": index // CHUNK, "file_index": index % CHUNK}


def key_of(camera: str) -> str:
    """Return the feature of a camera: LeRobot allows no slash in it."""
    return CAMERA_KEY + camera.replace("/", ".")


def camera_of(key: str) -> str:
    """Return the camera of a feature, also of one called `observation.image`."""
    prefix = CAMERA_KEY if key.startswith(CAMERA_KEY) else "observation."
    return key.removeprefix(prefix).replace(".", "/")


def features_of(interface: Interface, privileged: int = 0) -> dict[str, dict[str, Any]]:
    """Return LeRobot's description of every column; `privileged` numbers of a frame are what only a simulator knows.

    Raises:
        DatasetError: When a camera's name could not be read back, or an action is not of 7 numbers.
    """
    if len(interface.action) != ACTION:
        raise DatasetError(f"Actions of {len(interface.action)} numbers cannot be kept: {ACTION} are allowed.")
    if wrong := [camera for camera in interface.cameras if camera_of(key_of(camera)) != camera]:
        raise DatasetError(f"The camera '{wrong[0]}' cannot be named in a dataset: a dot is not allowed. Rename it.")

    def feature(dtype: str, shape: Sequence[int] = (1,), names: Sequence[str] | None = None) -> dict[str, Any]:
        return {"dtype": dtype, "shape": list(shape), "names": names and list(names)}

    picture = feature("image", (interface.size, interface.size, 3), ("height", "width", "channels"))
    return {
        **{key_of(camera): picture for camera in interface.cameras},
        STATE_KEY: feature("float32", (len(interface.state),), interface.state),
        ACTION_KEY: feature("float32", (len(interface.action),), interface.action),
        **({PRIVILEGED_KEY: feature("float32", (privileged,))} if privileged else {}),
        **dict.fromkeys(("perturbed", "next.done", "next.success"), feature("bool")),
        **dict.fromkeys(("next.reward", "timestamp"), feature("float32")),
        **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), feature("int64")),
    }


def arrow_of(feature: dict[str, Any]) -> pa.DataType:
    """Return the type of a column."""
    if feature["dtype"] == "image":
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kind, width = pa.type_for_alias(feature["dtype"]), feature["shape"][0]
    return kind if width == 1 else pa.list_(kind, width)


def rows_schema(features: dict[str, dict[str, Any]]) -> pa.Schema:
    """Return the columns of the files that have a row an episode."""
    number, vector = pa.int64(), pa.list_(pa.float64())
    places = [f"{kind}/{name}" for kind in ("data", "meta/episodes") for name in place_of(0)]
    names = ("episode_index", "length", "dataset_from_index", "dataset_to_index", *places)
    fields = {"tasks": pa.list_(pa.string()), **dict.fromkeys(names, number), **ORIGIN, "source": pa.string()}
    for key, feature in features.items():
        kind = pa.list_(pa.list_(vector)) if feature["dtype"] == "image" else vector
        fields |= {f"stats/{key}/{name}": kind for name in ("min", "max", "mean", "std", "q01", "q99")}
        fields[f"stats/{key}/count"] = pa.list_(number)
    return pa.schema(fields)


def read_interface(info: dict[str, Any], where: Path) -> tuple[Interface, dict[str, str]]:
    """Return what info.json says of the interface, and its picture features with their kind, image or video."""
    features = info["features"]
    pictures = {key: feature["dtype"] for key, feature in features.items() if feature["dtype"] in ("image", "video")}
    if missing := [key for key in (STATE_KEY, ACTION_KEY) if key not in features] or (
        [] if pictures else [CAMERA_KEY + "…"]
    ):
        raise DatasetError(f"'{where}' has no feature '{missing[0]}', without which a policy cannot be trained.")
    if (width := features[ACTION_KEY]["shape"]) != [ACTION]:
        raise DatasetError(f"'{where}': actions are of shape {width}, not [{ACTION}]. Choose another dataset.")
    shapes = [features[key]["shape"] for key in pictures]
    sizes = {tuple(shape[:2] if shape[2] == 3 else shape[1:]) for shape in shapes}  # (H, W, 3) or (3, H, W)
    if len(sizes) > 1 or any(height != width for height, width in sizes):
        found = ", ".join(f"{key} {features[key]['shape']}" for key in pictures)
        raise DatasetError(f"'{where}': pictures must be square and of one size, not {found}. Crop and resize them.")
    interface = Interface(
        robot=info.get("robot_type") or "",
        rate_hz=float(info["fps"]),
        cameras=tuple(camera_of(key) for key in pictures),
        size=sizes.pop()[0],
        state=_names(features[STATE_KEY]),
        action=_names(features[ACTION_KEY]),
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


def statistics_of(values: Array) -> dict[str, list[Any]]:
    """Return the statistics of (F, D) numbers."""
    values = values.astype(np.float64)
    low, high = np.quantile(values, (0.01, 0.99), axis=0)
    arrays = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    arrays |= {"q01": low, "q99": high}
    return {name: array.tolist() for name, array in arrays.items()} | {"count": [len(values)]}


def histogram_of(images: NDArray[np.uint8]) -> Array:
    """Return how many pixels of (T, H, W, 3) have each level, (3, 256)."""
    return np.stack([np.bincount(images[..., channel].ravel(), minlength=256) for channel in range(3)])


def picture_statistics(histogram: Array, frames: int) -> dict[str, list[Any]]:
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


@contextlib.contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Turn what comes of a file that is not as it should be into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        missing = "is missing" if isinstance(error, FileNotFoundError) else f"is damaged ({reason})"
        raise DatasetError(f"'{path}' {missing}. {AGAIN}") from error


def read_json(path: Path) -> Any:
    """Return the object of a file."""
    with parsing(path):
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise TypeError("an object is expected")
        return value


def read_table(path: Path, columns: Iterable[str] | None = None, optional: Sequence[str] = ()) -> pa.Table:
    """Read columns of a file: those asked for, and the optional ones it has; None is all but the statistics."""
    with parsing(path), pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if columns is None:
            columns = [name for name in names if not name.startswith("stats/")]
        if missing := [name for name in columns if name not in names]:
            raise DatasetError(f"'{path}' has no column '{missing[0]}', which 'meta/info.json' promises. {AGAIN}")
        wanted = [*columns, *(name for name in optional if name in names)]
        return file.read(columns=wanted).select(wanted)


def matrix_of(column: pa.ChunkedArray) -> Array:
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

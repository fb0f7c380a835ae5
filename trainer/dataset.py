"""Datasets in memory: LeRobot v3.0 and v2.1 and robomimic HDF5 are read. Knows files and arrays, no worlds and no torch."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from . import robomimic
from .errors import DatasetError
from .lerobot import (
    ACTION_KEY,
    AGAIN,
    BEGUN,
    INFO,
    PRIVILEGED_KEY,
    STATE_KEY,
    VERSIONS,
    Array,
    camera_of,
    matrix_of,
    parsing,
    read_interface,
    read_json,
    read_table,
    source_of,
)
from .records import ACTION, Demonstration, Interface

_DAMAGED = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises on a damaged picture."""


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
    privileged: NDArray[np.float32] | None = None
    """(F, P) See `Demonstration.privileged`; None where the dataset does not say."""

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.instructions)

    def digest(self) -> str:
        """Return what tells this dataset from others: how many episodes it has, and a digest of what was done and said in them."""
        parts = [part.tobytes() for part in (self.action, self.state, self.perturbed, self.starts, self.success)]
        digest = hashlib.sha256(b"".join([*parts, "\n".join(self.instructions).encode()])).hexdigest()
        return f"{self.episodes} episodes, {digest[:16]}"


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
        return _joined(root, *robomimic.read(root, limit))
    info = _read_info(root)
    with parsing(root / INFO):
        interface, pictures = read_interface(info, root / INFO)
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
        images={camera_of(key): array for key, array in images.items()},
        numbers={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        starts=starts,
        instructions=[episode.instruction for episode in chosen],
        sources=[episode.source for episode in chosen],
    )


def _joined(root: Path, interface: Interface, demonstrations: list[Demonstration]) -> Dataset:
    """Put a dataset together from episodes."""
    lengths = [len(each.action) for each in demonstrations]
    numbers = {
        name: np.concatenate([getattr(each, name) for each in demonstrations])
        for name in ("state", "action", "perturbed")
    }
    return _dataset(
        root,
        interface,
        images={name: np.concatenate([each.images[name] for each in demonstrations]) for name in interface.cameras},
        numbers=numbers | {"success": np.repeat([each.success for each in demonstrations], lengths)},
        starts=np.cumsum([0, *lengths]),
        instructions=[each.instruction for each in demonstrations],
        sources=[each.source for each in demonstrations],
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
    """Put a dataset together; `numbers` has state, action, perturbed, success, and perhaps privileged, a row a frame."""
    for name in (name for name in ("state", "action", "privileged") if name in numbers):
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
        privileged=numbers.get("privileged"),
    )


def _read_info(root: Path) -> dict[str, Any]:
    if not (root / INFO).is_file():
        if (root / BEGUN).is_file():
            raise DatasetError(f"'{root}' is not finished. Run the command that writes it again; it resumes.")
        raise DatasetError(f"'{root}' is not a dataset: it has no '{INFO}'. Give the folder that contains 'meta'.")
    info = read_json(root / INFO)
    if (version := info.get("codebase_version")) not in VERSIONS:
        raise DatasetError(
            f"'{root / INFO}' is of version '{version}'; {' and '.join(VERSIONS)} can be read. "
            "Convert it with the lerobot package."
        )
    return info


def _episodes_v3(root: Path, info: dict[str, Any]) -> list[_Episode]:
    files = sorted((root / "meta/episodes").glob("*/*.parquet"))
    if not files:
        raise DatasetError(f"'{root / 'meta/episodes'}' has no file. {AGAIN}")
    videos = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    episodes = []
    for file in files:
        with parsing(file):
            for row in read_table(file).to_pylist():
                films = {}
                for key in videos:
                    place = {name: row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
                    frame = round(row[f"videos/{key}/from_timestamp"] * info["fps"])
                    films[key] = (_place(root, info, "video_path", video_key=key, **place), frame)
                place = {name: row[f"data/{name}"] for name in ("chunk_index", "file_index")}
                source = source_of(row)
                data = _place(root, info, "data_path", **place)
                episodes.append(_Episode(int(row["length"]), (row["tasks"] or [""])[0], source, data, films))
    return episodes


def _episodes_v2(root: Path, info: dict[str, Any]) -> list[_Episode]:
    file = root / "meta/episodes.jsonl"
    videos = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    episodes = []
    with parsing(file):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            index = row["episode_index"]
            place = {"episode_chunk": index // info["chunks_size"], "episode_index": index}
            films = {key: (_place(root, info, "video_path", video_key=key, **place), 0) for key in videos}
            data = _place(root, info, "data_path", **place)
            episodes.append(_Episode(int(row["length"]), (row["tasks"] or [""])[0], {}, data, films))
    return episodes


def _place(root: Path, info: dict[str, Any], key: str, **values: Any) -> Path:
    """Return the file that a pattern of info.json names, which must be in the dataset."""
    try:
        path = Path(info[key].format(**values))
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise DatasetError(f"'{root / INFO}': {key} {info.get(key)!r} names no file. {AGAIN}") from error
    if path.is_absolute() or ".." in path.parts:
        raise DatasetError(f"'{root / INFO}': {key} {info[key]!r} leads out of the dataset. {AGAIN}")
    return root / path


def _require_counts(root: Path, info: dict[str, Any], episodes: list[_Episode]) -> None:
    if not episodes or info.get("total_frames") == 0:
        raise DatasetError(f"'{root}' is empty: it has no episode. Collect some, or give another dataset.")
    frames = sum(episode.length for episode in episodes)
    for name, found in (("total_episodes", len(episodes)), ("total_frames", frames)):
        if info.get(name) != found:
            raise DatasetError(
                f"'{root / INFO}' says {name} = {info.get(name)}, but 'meta/episodes' lists {found}. {AGAIN}"
            )
    if short := [index for index, episode in enumerate(episodes) if episode.length < 1]:
        raise DatasetError(f"'{root}': episode {short[0]} has no frame. Remove it from the dataset.")


def _frames(file: Path, pictures: dict[str, str], first: int, lengths: list[int]) -> pa.Table:
    """Read a data file and require that it holds these episodes, all of them and no other."""
    columns = [STATE_KEY, ACTION_KEY, "episode_index", *(key for key in pictures if pictures[key] == "image")]
    table = read_table(file, columns, optional=("perturbed", "next.success", PRIVILEGED_KEY))
    wanted = np.repeat(np.arange(first, first + len(lengths)), lengths)
    if not np.array_equal(table["episode_index"].to_numpy(), wanted):
        raise DatasetError(
            f"'{file}' has {table.num_rows} rows, and not the {len(wanted)} of episodes {first} … "
            f"{first + len(lengths) - 1} that 'meta' lists. {AGAIN}"
        )
    return table


def _numbers(file: Path, table: pa.Table, interface: Interface) -> dict[str, Array]:
    """Return state (F, S), action (F, 7), perturbed (F,), success (F,), and privileged (F, P) where it has that, of a file's rows."""
    numbers = {}
    if empty := [key for key in table.column_names if table[key].null_count]:
        raise DatasetError(f"'{file}': '{empty[0]}' has {table[empty[0]].null_count} rows without a value. {AGAIN}")
    for name, key, width in (("state", STATE_KEY, len(interface.state)), ("action", ACTION_KEY, ACTION)):
        with parsing(file):
            numbers[name] = matrix_of(table[key]).astype(np.float32)
        if (found := numbers[name].shape[1]) != width:
            raise DatasetError(f"'{file}': '{key}' has {found} numbers; {width} are allowed. {AGAIN}")
    for name, key, default in (("perturbed", "perturbed", False), ("success", "next.success", True)):
        has = key in table.column_names
        numbers[name] = matrix_of(table[key])[:, 0].astype(bool) if has else np.full(table.num_rows, default)
    if PRIVILEGED_KEY in table.column_names:
        with parsing(file):
            numbers["privileged"] = matrix_of(table[PRIVILEGED_KEY]).astype(np.float32)
    return numbers


def _decode(file: Path, column: pa.ChunkedArray, into: NDArray[np.uint8]) -> None:
    """Decode the pictures of a column into (rows, H, W, 3)."""

    def decode(row: int, png: bytes | None) -> None:
        where = f"'{file}': the picture in row {row}"
        if not png:
            raise DatasetError(f"{where} has no bytes. {AGAIN}")
        try:
            with Image.open(io.BytesIO(png)) as image:
                picture = np.asarray(image.convert("RGB"))
        except _DAMAGED as error:
            raise DatasetError(f"{where} is damaged. {AGAIN}") from error
        _require_size(where, picture.shape[1::-1], into.shape[1])
        into[row] = picture

    with parsing(file):
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
        with parsing(path):
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
            raise DatasetError(f"'{path}' is not a film that can be read. {AGAIN}") from error
        finally:
            reader.close()
        if count < last:
            raise DatasetError(f"'{path}' has {count} pictures, and not {last}. {AGAIN}")

"""Datasets made by hand, and what tests of them ask: the same numbers, one line for each refusal."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trainer.dataset import Dataset, read
from trainer.errors import DatasetError
from trainer.recorder import Writer
from trainer.records import Demonstration, Interface
from worldgen.sim.world import End


class Imagined:
    """What all worlds without physics have in common."""

    over: dict[int, End]
    """Slot → why its episode is over; empty while it goes on."""

    def advise(self, slots: Sequence[int] | None = None) -> np.ndarray:
        raise NotImplementedError

    def ends(self, slots: Sequence[int] | None = None) -> list[End]:
        assert slots is not None
        return [self.over[slot] for slot in slots]

    def close(self) -> None:
        pass


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


def frames_of(lengths: list[int], perturbed: list[bool], success: list[bool]) -> Dataset:
    """Return episodes without pictures whose actions tell which frame they are of."""
    frames = sum(lengths)
    return Dataset(
        interface=FACE,
        images={},
        state=np.zeros((frames, 7), np.float32),
        action=np.repeat(np.arange(frames, dtype=np.float32)[:, None], 7, axis=1),
        perturbed=np.array(perturbed[:frames]),
        episode=np.repeat(np.arange(len(lengths)), lengths),
        starts=np.cumsum([0, *lengths]),
        instructions=[f"task {index}" for index in range(len(lengths))],
        success=np.array(success[: len(lengths)]),
        sources=[{} for _ in lengths],
    )


def write(root: Path, count: int, per_file: int = 2, face: Interface = FACE, first: int = 0) -> list[Demonstration]:
    demonstrations = [demonstration(seed, face) for seed in range(first, count)]
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

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
from trainer.pictures import Pictures
from trainer.recorder import Writer
from trainer.records import Demonstration, Interface
from worldgen.sim.optics import CAMERA, on_table
from worldgen.sim.world import End
from worldgen.spec import SceneSpec


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


ABOVE = np.array([0.3, 0, 0.5, 0, 1, 0, -1, 0, 0, 0.8], np.float32)
"""A camera that looks straight down."""
assert len(ABOVE) == CAMERA


def scene_of() -> str:
    """A scene of two mugs and two plates, as JSON."""
    kinds = [("mug", "red"), ("mug", "blue"), ("plate", "white"), ("tray", "green")]
    objects = [
        {
            "name": f"{kind}_{colour}",
            "role": "distractor",
            "category": kind,
            "colour": colour,
            "material": "plastic",
            "size": (0.06, 0.06, 0.08),
        }
        for kind, colour in kinds
    ]
    task = {"instruction": "lift the red mug", "goals": [{"kind": "lifted", "target": "mug_red"}]}
    base = {"name": "made", "surface": {"material": "oak"}, "background": {"room": "kitchen"}}
    return SceneSpec.model_validate({**base, "objects": objects, "task": task}).model_dump_json()


def pictures_of(count: int = 24, seed: int = 0) -> Pictures:
    """Pictures of a bright square on grey, as a camera above a table sees it; all objects are there."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0.1, 0.9, (count, 1, 2)).astype(np.float32)
    images = np.full((count, 1, 32, 32, 3), 90, np.uint8)
    for image, pixel in zip(images, pixels[:, 0], strict=True):
        x, y = (pixel * 32).astype(int)
        image[0, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 250
    points = np.full((count, 32, 3), np.nan, np.float32)
    points[:, :4, :2], points[:, :4, 2] = on_table(np.tile(ABOVE, (count, 1)), pixels), 0.0
    return Pictures(
        images, rng.normal(size=(count, 7)).astype(np.float32), points,
        np.tile(ABOVE, (count, 1)), np.zeros(count, np.int64), np.array([scene_of()]),
    )  # fmt: skip


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

"""Labelled pictures for pre-training: drawn by processes into files that stay, so that a killed run goes on. Knows no torch, no words."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldgen import store
from worldgen.library import Scene
from worldgen.sim import domains, optics
from worldgen.sim import sight as drawing
from worldgen.sim.stage import Settings, Stage, View

from .errors import RunError

_EACH = 4
"""Pictures of one arrangement of objects."""
_IN_TURN = 16
"""Most arrangements of one scene that are drawn before the next scene's."""
_MOST = 32
"""Objects that a scene may have."""


ROWS = ("images", "state", "points", "camera", "scene")
"""What `Pictures` has a row of for each of them."""


@dataclass(frozen=True)
class Pictures:
    """N pictures with labels; the arrays are in memory."""

    images: NDArray[np.uint8]
    """(N, V, S, S, 3) sRGB."""
    state: NDArray[np.float32]
    """(N, 7)"""
    points: NDArray[np.float32]
    """(N, MOST, 3) the middle of each object of the scene, of what opens its handle, in the base frame [m]; NaN behind the last."""
    camera: NDArray[np.float32]
    """(N, CAMERA) where the first picture was taken from; see `worldgen.sim.optics`."""
    scene: NDArray[np.int64]
    """(N,) which of `scenes`."""
    scenes: NDArray[np.str_]
    """(M,) spec of each scene, as JSON."""

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def joined(cls, parts: Iterable[Pictures], count: int) -> Pictures:
        """Return the first `count` rows of all parts, which are taken one at a time; a scene that several parts are of is there once."""
        known, at = dict[str, int](), 0
        arrays: dict[str, NDArray[np.generic]] = {}
        for part in parts:
            place = np.array([known.setdefault(text, len(known)) for text in part.scenes.tolist()])
            rows = slice(at, min(count, at + len(part)))
            for name in ROWS:
                values = getattr(part, name)[: rows.stop - rows.start]
                whole = arrays.setdefault(name, np.empty((count, *values.shape[1:]), values.dtype))
                whole[rows] = place[values] if name == "scene" else values
            at = rows.stop
            if at == count:
                break
        return cls(**arrays, scenes=np.array(list(known)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Job:
    """Some pictures of some scenes."""

    path: Path
    folders: tuple[Path, ...]
    count: int
    """Pictures of each scene."""
    seed: int
    domain: str
    size: int
    cameras: tuple[str, ...]


def draw(
    scenes: Sequence[Scene],
    folder: Path,
    count: int,
    *,
    seed: int,
    domain: str,
    size: int,
    cameras: tuple[str, ...],
    workers: int,
) -> Iterator[int]:
    """Draw `count` pictures of scenes into files in a folder, and yield how many there are after each file; those that are there stay.

    They are of all scenes alike, where they are enough for one arrangement of each.

    Raises:
        RunError: When the folder holds pictures of another kind, or there are no scenes.
    """
    if not scenes:
        raise RunError("There are no scenes to draw. Give a library that has the split.")
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "scenes": [f"{scene.name} {store.file_digest(scene.folder / store.MANIFEST)}" for scene in scenes],
        "of each in turn": _of_each(count, len(scenes)),
        "seed": seed,
        "domain": domains.load(domain).model_dump(mode="json"),
        "size": size,
        "cameras": list(cameras),
        "drawn by": store.code_digest(drawing, optics, domains, sys.modules[__name__]),
    }
    note = folder / "pictures.json"
    if note.exists() and json.loads(note.read_text()) != made:
        raise RunError(
            f"'{folder}' holds pictures of other scenes, seed, domain, size or cameras, of a much other number, or of another version. "
            "Give another --out or delete it."
        )
    store.write_file(note, json.dumps(made))
    jobs = list(_jobs(scenes, folder, count, seed, domain, size, cameras))
    done = sum(job.count * len(job.folders) for job in jobs if job.path.exists())
    yield done
    waiting = [job for job in jobs if not job.path.exists()]
    with ProcessPoolExecutor(max(1, min(workers, len(waiting))), mp_context=get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(_draw, job) for job in waiting]):
                done += future.result()
                yield done
        finally:  # of one who is stopped: what is being drawn is finished, the rest is not begun
            pool.shutdown(cancel_futures=True)


def load(folder: Path, count: int | None = None) -> Pictures:
    """Read drawn pictures, all or the first `count`; at no time are they in memory twice.

    Raises:
        RunError: When there are none.
    """
    paths = sorted(folder.glob("*.npz"))
    there = 0
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            there += len(file["scene"])
    if not there:
        raise RunError(f"'{folder}' holds no pictures.")
    return Pictures.joined(map(_read, paths), min(there, count or there))


def _read(path: Path) -> Pictures:
    with np.load(path, allow_pickle=False) as file:
        return Pictures(*(file[name] for name in Pictures.__dataclass_fields__))


def _jobs(
    scenes: Sequence[Scene],
    folder: Path,
    count: int,
    seed: int,
    domain: str,
    size: int,
    cameras: tuple[str, ...],
) -> Iterator[Job]:
    """Yield jobs of five scenes; every round draws each scene once more."""
    group, each = 5, _of_each(count, len(scenes))
    for index in range(-(-count // each)):
        if index % group == 0:
            chosen = [scenes[(index + step) % len(scenes)].folder for step in range(group)]
            yield Job(folder / f"{index // group:05d}.npz", tuple(chosen), each, seed + index, domain, size, cameras)


def _of_each(count: int, scenes: int) -> int:
    """Return how many pictures of a scene are drawn in turn, where `count` are to be of all scenes: many, for to open a scene takes as long as 20."""
    return _EACH * min(max(count // (scenes * _EACH), 1), _IN_TURN)


def _draw(job: Job) -> int:
    parts = [_scene(folder, job, number) for number, folder in enumerate(job.folders)]
    found = Pictures.joined(parts, sum(map(len, parts)))
    temporary = job.path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, **{name: getattr(found, name) for name in Pictures.__dataclass_fields__})
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(job.path)
    return len(found)


def _scene(folder: Path, job: Job, number: int) -> Pictures:
    """Return the pictures of one scene."""
    settings = Settings(
        domains.load(job.domain), views=tuple(View(camera, job.size, job.size) for camera in job.cameras)
    )
    stage = Stage.open(folder, settings, trusted=True)
    try:
        scatter, spec = drawing.Scatter(stage), stage.scene.record.spec
        rng = np.random.default_rng([job.seed, number])
        seen = [sight for _ in range(job.count // _EACH) for sight in scatter.pictures(int(rng.integers(2**31)), _EACH)]
    finally:
        stage.close()
    points = np.full((len(seen), _MOST, 3), np.nan, np.float32)
    for row, sight in zip(points, seen, strict=True):
        row[: len(spec.objects)] = [sight.points[item.name] for item in spec.objects]
    return Pictures(
        np.stack([np.stack(list(sight.observation.images.values())) for sight in seen]),
        np.stack([sight.observation.state for sight in seen]),
        points,
        np.stack([sight.camera for sight in seen]).astype(np.float32),
        np.zeros(len(seen), np.int64),
        np.array([spec.model_dump_json()]),
    )

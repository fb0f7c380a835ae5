"""Labelled pictures for pre-training: drawn by processes into files that stay, so that a killed run goes on. Knows no torch.

A sentence about a picture names one object, and mostly another one, in words that fit nothing else there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldgen import store, vocabulary
from worldgen.errors import DesignError
from worldgen.library import Scene
from worldgen.phrases import loosely, refer, say, templates
from worldgen.sim import domains
from worldgen.sim.sight import Scatter, Sight
from worldgen.sim.stage import Settings, Stage, View
from worldgen.spec import ObjectSpec, SceneSpec, goal_names

from .errors import RunError

ALONE = ("lifted", "open", "closed")
"""Kinds of sentences that name one object only."""
KINDS = ("on", "in", "stack", "near", "pushed", *ALONE)
_EACH = 4
"""Pictures of one arrangement of objects."""
SENTENCES = 8
"""Sentences about each picture."""
_OWN, _SYNONYM, _LOOSE = 0.25, 0.2, 0.6
"""Shares of sentences that are a scene's own, of other words for a thing, and of forms that are said loosely."""


@dataclass(frozen=True)
class Pictures:
    """N pictures with sentences and labels; the arrays are in memory."""

    images: NDArray[np.uint8]
    """(N, V, S, S, 3) sRGB."""
    state: NDArray[np.float32]
    """(N, 7)"""
    sentences: NDArray[np.str_]
    """(N, K)"""
    points: NDArray[np.float32]
    """(N, K, 2, 3) what is named first and second, in the base frame [m]; NaN where no second one is named."""
    camera: NDArray[np.float32]
    """(N, CAMERA) where the first picture was taken from; see `worldgen.sim.optics`."""
    rivals: NDArray[np.float32]
    """(N, K, 3) the nearest other object of the same category as what is named first [m]; NaN where there is none."""

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def joined(cls, parts: Sequence[Pictures]) -> Pictures:
        """Return all parts as one."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


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
    held_out: bool
    """Whether sentences take the forms kept for reports."""


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
    held_out: bool = False,
) -> Iterator[int]:
    """Draw `count` pictures of scenes into files in a folder, and yield how many there are after each file; those that are there stay.

    Raises:
        RunError: When the folder holds pictures of another kind, or there are no scenes.
    """
    if not scenes:
        raise RunError("There are no scenes to draw. Give a library that has the split.")
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "scenes": sorted(str(scene.folder) for scene in scenes),
        "seed": seed,
        "domain": domain,
        "size": size,
        "cameras": list(cameras),
        "held_out": held_out,
    }
    note = folder / "pictures.json"
    if note.exists() and json.loads(note.read_text()) != made:
        raise RunError(
            f"'{folder}' holds pictures of other scenes, seed, domain, size or cameras. Give another --out or delete it."
        )
    store.write_file(note, json.dumps(made))
    jobs = list(_jobs(scenes, folder, count, seed, domain, size, cameras, held_out))
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
    """Read drawn pictures, all or the first `count`."""
    parts, found = [], 0
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            parts.append(Pictures(*(file[name] for name in Pictures.__dataclass_fields__)))
        found += len(parts[-1])
        if count is not None and found >= count:
            break
    if not parts:
        raise RunError(f"'{folder}' holds no pictures.")
    return Pictures.joined(parts)


def _jobs(
    scenes: Sequence[Scene],
    folder: Path,
    count: int,
    seed: int,
    domain: str,
    size: int,
    cameras: tuple[str, ...],
    held_out: bool,
) -> Iterator[Job]:
    """Yield jobs of five scenes; every round draws each scene once more, so that fewer pictures are of all scenes too."""
    group, each = 5, 16 * _EACH
    for index in range(-(-count // each)):
        if index % group == 0:
            chosen = [scenes[(index + step) % len(scenes)].folder for step in range(group)]
            yield Job(
                folder / f"{index // group:05d}.npz", tuple(chosen), each, seed + index, domain, size, cameras, held_out
            )


def _draw(job: Job) -> int:
    parts = [_scene(folder, job, number) for number, folder in enumerate(job.folders)]
    found = Pictures.joined(parts)
    temporary = job.path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, **{name: getattr(found, name) for name in Pictures.__dataclass_fields__})
    temporary.rename(job.path)
    return len(found)


def _scene(folder: Path, job: Job, number: int) -> Pictures:
    """Return the pictures of one scene."""
    settings = Settings(
        domains.load(job.domain), views=tuple(View(camera, job.size, job.size) for camera in job.cameras)
    )
    stage = Stage.open(folder, settings, trusted=True)
    try:
        scatter, spec = Scatter(stage), stage.scene.record.spec
        rng = np.random.default_rng([job.seed, number])
        rows = [
            _row(spec, sight, rng, job.held_out)
            for _ in range(job.count // _EACH)
            for sight in scatter.pictures(int(rng.integers(2**31)), _EACH)
        ]
    finally:
        stage.close()
    return Pictures(*(np.stack(column) for column in zip(*rows, strict=True)))


def _row(spec: SceneSpec, sight: Sight, rng: np.random.Generator, held_out: bool) -> tuple[NDArray[np.generic], ...]:
    """Return one row of each array of `Pictures`."""
    sentences, points, rivals = [], [], []
    for _ in range(SENTENCES):
        sentence, names = _sentence(spec, rng, held_out)
        nothing = np.full(3, np.nan)
        points.append([sight.points.get(name, nothing) for name in names])
        sentences.append(sentence)
        rivals.append(_rival(spec, sight, names[0]))
    image = np.stack(list(sight.observation.images.values()))
    return (
        image, sight.observation.state, np.array(sentences, "U160"), np.array(points, np.float32),
        sight.camera.astype(np.float32), np.array(rivals, np.float32),
    )  # fmt: skip


def _rival(spec: SceneSpec, sight: Sight, name: str) -> NDArray[np.float64]:
    category = spec.object(name).category
    others = [sight.points[item.name] for item in spec.objects if item.category == category and item.name != name]
    return min(others, key=lambda point: float(np.linalg.norm(point - sight.points[name])), default=np.full(3, np.nan))


def _sentence(spec: SceneSpec, rng: np.random.Generator, held_out: bool) -> tuple[str, tuple[str, str]]:
    """Return a sentence about a scene and the two objects that it names; the second is "" where it names one."""
    if rng.uniform() < _OWN:
        told = spec.task.sentences()
        names = goal_names(spec.task.goals[0])
        return told[int(rng.integers(len(told)))], (names[0], names[1] if len(names) > 1 else "")
    for _ in range(20):
        target, other = (
            spec.objects[int(index)] for index in rng.choice(len(spec.objects), 2, replace=len(spec.objects) < 2)
        )
        kind = str(rng.choice(_kinds(target, other)))
        forms = templates(kind, held_out)
        try:
            words = _noun(target, spec, rng), _noun(other, spec, rng)
        except DesignError:  # nothing tells it from another one
            continue
        form = forms[int(rng.integers(len(forms)))]
        sentence = say(loosely(form, rng) if not held_out and rng.uniform() < _LOOSE else form, *words)
        return sentence, (target.name, "" if kind in ALONE else other.name)
    return spec.task.instruction, (goal_names(spec.task.goals[0]) + ("",))[:2]  # type: ignore[return-value]


def _kinds(target: ObjectSpec, other: ObjectSpec) -> list[str]:
    if target.role == "fixture":
        return ["open", "closed"] if target.category != "zone" else ["near"]
    if target.name == other.name:
        return ["lifted"]
    if other.category == "zone":
        return ["pushed", "lifted"]
    return ["on", "in", "stack", "near", "lifted"]


def _noun(item: ObjectSpec, spec: SceneSpec, rng: np.random.Generator) -> str:
    rivals = [other for other in spec.objects if other.name != item.name]
    said = [key for key in ("colour", "pattern", "material") if rng.uniform() < 0.35]
    phrase = refer(item, rivals, said)
    known = vocabulary.categories().get(item.category)
    noun = item.category.replace("_", " ")
    if known and known.synonyms and rng.uniform() < _SYNONYM and phrase.endswith(noun):
        phrase = phrase.removesuffix(noun) + str(rng.choice(known.synonyms)).replace("_", " ")
    return phrase

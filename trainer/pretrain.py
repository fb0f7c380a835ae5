"""Pre-training: a trunk learns to see and read from labelled pictures of generated scenes. Knows no actions.

Losses: each taught slot's attention map against a Gaussian around the true pixel (cross-entropy), and the read-out positions against the
true ones (Huber), and which part of the table the picture shows. Labels come from the simulator and are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from worldgen.library import Scene, SceneLibrary

from . import pictures
from .config import Pretrain
from .demos import interface_of
from .errors import RunError
from .fit import Plan, claim, fit
from .pictures import SENTENCES, Pictures
from .policies.base import Inputs, Sighted, as_pictures
from .policies.store import save_policy
from .policies.vision import CORNERS, GRID, MARKS, TAUGHT
from .records import Interface, require_size

_BLOB = 0.7
"""Standard deviation of the true map [cells]."""
_MAPS, _PIXELS, _WHERE, _GROUND = 0.6, 0.05, 0.1, 0.1
"""Weights of the losses: a map's is in nats, of which two are there to stay; others in units of where they turn straight."""
_BEND = 0.01
"""Where the loss of a position turns from square to straight [m]."""
_PIXEL = 1 / 96
"""Where the loss of a place in the picture does so, as a share of the picture."""
_NAMED = 3.0
"""What a slot whose thing was named counts, against one whose place is always the arm's."""
_FOUND = 10
"""So many of those beside its middle still count as looking at a thing."""
_FLAT = -0.2
"""A ray that falls less steeply counts as falling so: its point on the table is too far off to matter."""
_EMA = 0.999
"""Decay of the running mean of the weights."""


@dataclass(frozen=True)
class Figures:
    """How well a network finds what it is told, on pictures that it was not trained on."""

    median_mm: float
    """Of the distance between said and true middle of what is named first, in the base frame."""
    within_15_mm: float
    """Share."""
    right_of_rivals: float
    """Share of pictures with another object of the category where the answer is nearer to the one that is meant."""
    other_median_mm: float
    """As the first, of what is named second."""
    pictures: int
    rivals: int
    """Pictures with another object of the category."""


def pretrain(libraries: list[Path], config: Pretrain, tell: Callable[[str], None] = print) -> dict[str, Figures]:
    """Draw pictures, train, write the policy folder `OUT/policy`, and return what was measured on each of the other splits.

    Args:
        libraries: Where the scenes are: those of split train are learned from, all others measured on.
        config: See `Pretrain`.
        tell: Takes lines about the progress.

    Raises:
        RunError: When a library lacks a split, or the folder is another run's.
    """
    torch.set_num_threads(config.threads)
    require_size(config.size)
    if config.pictures < 1 or not 1 <= config.asked <= SENTENCES:
        raise RunError(
            f"pictures {config.pictures} must be at least 1, and asked {config.asked} from 1 to {SENTENCES}."
        )
    scenes = _by_split(libraries)
    robots = {scene.record.spec.robot for group in scenes.values() for scene in group}
    if len(robots) > 1:
        raise RunError(f"The libraries are of different arms: {', '.join(sorted(robots))}. Give libraries of one.")
    if "train" not in scenes or len(scenes) < 2:
        raise RunError("Pre-training needs scenes of split 'train' and of another one: `worldgen make --splits ...`.")
    unsaid = ("out", "workers", "threads", "report")
    facts = {name: value for name, value in asdict(config).items() if name not in unsaid}
    claim(config.out, facts)
    data = _drawn(scenes["train"], config, "pictures", config.pictures, tell)
    face = interface_of(scenes["train"], libraries[0], "train", config.size, config.cameras)
    net = _new(data, config, face)
    net.load_state_dict(_train(net, data, config, tell))
    del data
    found = figures(net, libraries, config, tell)
    save_policy(net, config.out / "policy", {"pre-training": facts, **{s: asdict(f) for s, f in found.items()}})
    return found


def figures(
    net: Sighted, libraries: list[Path], config: Pretrain, tell: Callable[[str], None] = print
) -> dict[str, Figures]:
    """Return how well a network sees in each split that nothing is trained on, in the domain of `config`; see `measure`."""
    found = {}
    for split, group in sorted(_by_split(libraries).items()):
        if split != "train":
            found[split] = measure(net, _drawn(group, config, split, config.report, tell))
            tell(f"{split}: {told(found[split])}")
    return found


def _by_split(libraries: list[Path]) -> dict[str, list[Scene]]:
    scenes: dict[str, list[Scene]] = {}
    for scene in (scene for root in libraries for scene in SceneLibrary.open(root).scenes()):
        scenes.setdefault(scene.record.split, []).append(scene)
    return scenes


def measure(net: Sighted, data: Pictures) -> Figures:
    """Return how well a network finds what the first sentence of each picture names; what is out of sight does not count."""
    said, true, second, also = [], [], [], []
    with torch.inference_mode():
        net.eval()
        for index in torch.arange(len(data)).split(256):
            rows = index.numpy()
            inputs = _inputs(net, data, rows, np.zeros((len(rows), 1), int))
            found = net.where(net.remember(inputs)).numpy()
            said.append(found[:, 0])
            second.append(found[:, 1])
            true.append(data.points[rows, 0, 0])
            also.append(data.points[rows, 0, 1])
        net.train()
    answer, truth = np.concatenate(said), np.concatenate(true)
    shown = _in_sight(data.pixels[:, 0, 0])
    error = np.linalg.norm(answer - truth, axis=1)[shown]
    rival = shown & np.isfinite(data.rivals[:, 0]).all(axis=1)
    right = np.linalg.norm(answer - truth, axis=1) < np.linalg.norm(answer - data.rivals[:, 0], axis=1)
    others = np.linalg.norm(np.concatenate(second) - np.concatenate(also), axis=1)[_in_sight(data.pixels[:, 0, 1])]
    return Figures(
        median_mm=1e3 * float(np.median(error)),
        within_15_mm=float((error < 0.015).mean()),
        right_of_rivals=float(right[rival].mean()) if rival.any() else math.nan,
        other_median_mm=1e3 * float(np.median(others)) if len(others) else math.nan,
        pictures=int(shown.sum()),
        rivals=int(rival.sum()),
    )


def _drawn(scenes: list[Scene], config: Pretrain, name: str, count: int, tell: Callable[[str], None]) -> Pictures:
    folder, said = config.out / name, 0.0
    seed = config.seed + (0 if name == "pictures" else 10**9)
    for done in pictures.draw(
        scenes, folder, count, seed=seed, domain=config.domain, size=config.size, cameras=config.cameras, workers=config.workers, held_out=name == "unseen-instructions",
    ):  # fmt: skip
        if done / count >= said:
            tell(f"{name}: {done} of {count} drawn")
            said = done / count + 0.05
    return pictures.load(folder, count)


def _new(data: Pictures, config: Pretrain, face: Interface) -> Sighted:
    torch.manual_seed(config.seed)
    net = Sighted(face)
    net.statistics.fit("state", data.state[:: max(1, len(data) // 10_000)], 0.02)
    return net


def _train(net: Sighted, data: Pictures, config: Pretrain, tell: Callable[[str], None]) -> dict[str, Tensor]:
    """Train a network and return the running mean of its weights."""
    return fit(
        net,
        [list(net.parameters())],
        lambda step: _loss(net, data, *_batch(len(data), data.sentences.shape[1], config, step)),
        Plan(config.steps, (config.lr,), config.weight_decay, _EMA),
        config.out,
        tell,
    )


def _batch(count: int, sentences: int, config: Pretrain, step: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return which pictures a step shows (N,), and which sentences with each (N, K)."""
    rng = np.random.default_rng([config.seed, step])
    which = rng.random((config.batch, sentences)).argsort(axis=1)[:, : config.asked]
    return np.sort(rng.integers(count, size=config.batch)), which


def _inputs(net: Sighted, data: Pictures, rows: NDArray[Any], which: NDArray[Any]) -> Inputs:
    said = data.sentences[rows[:, None], which].ravel()
    pieces = torch.from_numpy(net.words([str(sentence) for sentence in said]))
    return Inputs(as_pictures(data.images[rows]), torch.from_numpy(data.state[rows]), pieces)


def _loss(net: Sighted, data: Pictures, rows: NDArray[Any], which: NDArray[Any]) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of pictures `rows` (N,) and sentences `which` (N, K) of each, and its parts."""
    inputs, asked, pick = _inputs(net, data, rows, which), which.shape[1], (rows[:, None], which)
    view = net.remember(inputs)
    arm = np.concatenate([data.tool[rows, None], marked(data.camera[rows])], axis=1).repeat(asked, axis=0)
    pixels = np.concatenate([data.pixels[pick].reshape(-1, 2, 2), arm], axis=1)
    seen = torch.from_numpy(_in_sight(pixels))
    truth = _blobs(torch.from_numpy(np.nan_to_num(pixels)))
    maps = -(truth * view.maps[:, 0, TAUGHT].log_softmax(dim=-1)).sum(dim=-1)
    looks = _bent(view.places[:, 0, TAUGHT], torch.from_numpy(np.nan_to_num(pixels)), _PIXEL)
    points, answer = torch.from_numpy(np.nan_to_num(data.points[pick].reshape(-1, 2, 3))), net.where(view)
    off = (view.places[:, 0, TAUGHT] - torch.from_numpy(np.nan_to_num(pixels))).norm(dim=-1).detach() / _PIXEL
    weight = seen * torch.where(torch.arange(len(TAUGHT)) < 2, _NAMED, 1.0)
    near = weight * (off < _FOUND)  # what looks elsewhere has to pick another cell first
    found, looked = (maps * weight).sum() / weight.sum().clamp_min(1), (looks * near).sum() / near.sum().clamp_min(1)
    shown = near[:, :2]
    where = (_bent(answer, points, _BEND) * shown).sum() / shown.sum().clamp_min(1)
    table = torch.from_numpy(on_table(data.camera[rows])).float().repeat_interleave(asked, dim=0)
    ground = _bent(view.corners[:, 0], table, _BEND).mean()
    error = (answer[:, 0] - points[:, 0]).norm(dim=-1)[seen[:, 0]].detach()
    parts = {
        "maps": float(found.detach()),
        "found": float((off[:, :2][seen[:, :2]] < _FOUND).float().mean()),
        "arm px": float(off[:, 2:][seen[:, 2:]].median()),
        "where": float(where.detach()),
        "median mm": 1e3 * float(error.median()),
        "within 15 mm": float((error < 0.015).float().mean()),
        "ground mm": 1e3 * float((view.corners[:, 0] - table).norm(dim=-1).detach().median()),
    }
    return _MAPS * found + _PIXELS * looked + _WHERE * where + _GROUND * ground, parts


def _bent(answer: Tensor, truth: Tensor, bend: float) -> Tensor:
    """Return the Huber loss of places, a mean over their coordinates, in units of where it turns straight."""
    return F.huber_loss(answer / bend, truth / bend, reduction="none").mean(dim=-1)


def marked(camera: NDArray[Any]) -> NDArray[np.float32]:
    """Return where cameras (N, CAMERA) see `MARKS`: (N, 4, 2), shares of a square picture's width and height."""
    eye, right, up = camera[:, None, :3], camera[:, 3:6], camera[:, 6:9]
    away = np.array(MARKS) - eye
    x, y, z = (np.einsum("nmi,ni->nm", away, axis) for axis in (right, up, np.cross(up, right)))
    scale = 2 * np.tan(camera[:, 9:] / 2) * np.maximum(z, 1e-6)
    return np.stack([0.5 + x / scale, 0.5 - y / scale], axis=-1).astype(np.float32)


def on_table(camera: NDArray[Any]) -> NDArray[np.float64]:
    """Return where cameras (N, CAMERA) see `CORNERS` on the table's plane: (N, 4, 2) in the base frame [m]."""
    eye, right, up, half = (
        camera[:, None, :3],
        camera[:, None, 3:6],
        camera[:, None, 6:9],
        np.tan(camera[:, None, 9:] / 2),
    )
    u, v = np.array(CORNERS).T[..., None]
    ray = np.cross(up, right) + half * ((2 * u - 1) * right + (1 - 2 * v) * up)
    found: NDArray[np.float64] = (eye - eye[..., 2:] / np.minimum(ray[..., 2:], _FLAT) * ray)[..., :2]
    return found


def _in_sight(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.isfinite(pixels).all(axis=-1) & (np.abs(np.nan_to_num(pixels) - 0.5) < 0.5).all(axis=-1)


def _blobs(pixels: Tensor) -> Tensor:
    """Return a Gaussian over the cells around each pixel, (…, GRID * GRID), that sums to 1."""
    axis = (torch.arange(GRID) + 0.5) / GRID
    x, y = (torch.exp(-0.5 * ((pixels[..., i, None] - axis) * GRID / _BLOB) ** 2) for i in (0, 1))
    blob = (y[..., :, None] * x[..., None, :]).flatten(-2)
    return blob / blob.sum(dim=-1, keepdim=True).clamp_min(1e-9)


def told(found: Figures) -> str:
    """Return figures in words."""
    return (
        f"median {found.median_mm:.1f} mm, within 15 mm {found.within_15_mm:.1%} (n {found.pictures}); "
        f"right of two alike {found.right_of_rivals:.1%} (n {found.rivals}); second object {found.other_median_mm:.1f} mm"
    )

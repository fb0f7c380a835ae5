"""Pre-training: a trunk learns to see and read from labelled pictures of generated scenes. Knows no actions."""

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

from worldgen.library import Scene, SceneLibrary

from . import pictures
from .config import Pretrain
from .demos import interface_of
from .errors import RunError
from .fit import Plan, claim, fit
from .pictures import SENTENCES, Pictures
from .policies.base import Inputs, Sighted, as_pictures
from .policies.store import save_policy
from .records import Interface, require_size
from .sight import Labels, in_sight, sight_loss

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
    labels = Labels(data.points[:, 0], data.state[:, :3], data.camera)
    places = in_sight(labels.places())
    shown = places[:, 0]
    error = np.linalg.norm(answer - truth, axis=1)[shown]
    rival = shown & np.isfinite(data.rivals[:, 0]).all(axis=1)
    right = np.linalg.norm(answer - truth, axis=1) < np.linalg.norm(answer - data.rivals[:, 0], axis=1)
    others = np.linalg.norm(np.concatenate(second) - np.concatenate(also), axis=1)[places[:, 1]]
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
    view, asked = net.remember(_inputs(net, data, rows, which)), which.shape[1]
    labels = Labels(
        data.points[rows[:, None], which].reshape(-1, 2, 3),
        data.state[rows, :3].repeat(asked, axis=0),
        data.camera[rows].repeat(asked, axis=0),
    )
    return sight_loss(view, net.where(view), labels)


def told(found: Figures) -> str:
    """Return figures in words."""
    return (
        f"median {found.median_mm:.1f} mm, within 15 mm {found.within_15_mm:.1%} (n {found.pictures}); "
        f"right of two alike {found.right_of_rivals:.1%} (n {found.rivals}); second object {found.other_median_mm:.1f} mm"
    )

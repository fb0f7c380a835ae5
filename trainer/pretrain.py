"""Pre-training: a trunk learns to see and read from labelled pictures of generated scenes. Knows no actions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldgen.library import INDEX, Scene, SceneLibrary
from worldgen.shapes import Strict
from worldgen.spec import SceneSpec
from worldgen.store import file_digest

from . import checkpoint, pictures
from .config import Pretrain, TrunkSettings
from .demos import interface_of
from .errors import RunError
from .fit import Plan, fit
from .folders import claim
from .limits import require
from .metrics import Median, Share
from .pictures import Pictures
from .policies.base import Inputs, Sighted, as_pictures
from .policies.eye import Eye
from .policies.store import load_policy, new_policy, policy_digest, policy_folder, save_policy
from .records import Interface, require_size
from .sentences import Sentences
from .sight import Labels, in_sight, sight_loss

_EMA = 0.999
"""Decay of the running mean of the weights."""
_AT_ONCE = 256
"""Pictures that are measured at once."""
HELD_OUT_FORMS = "unseen-instructions"
"""Split whose pictures are spoken about in forms of sentences that are kept for reports."""


@dataclass(frozen=True)
class Spoken:
    """N sentences and what they name."""

    sentences: list[str]
    named: NDArray[np.int64]
    """(N, 2) indices of the objects that are named first and second; -1 for none."""
    points: NDArray[np.float32]
    """(N, 2, 3) where these are [m]; NaN for none."""


class Figures(Strict):
    """How well a network finds what it is told, on pictures that it was not trained on; intervals know which pictures share a scene."""

    off_mm: Median
    """Distance between said and true middle of what is named first, in the base frame."""
    within_15_mm: Share
    right_of_rivals: Share
    """Of pictures with another object of the category: those where the answer is nearer to the one that is meant."""
    other_off_mm: Median
    """As the first, of what is named second."""

    def words(self) -> str:
        """Return the figures in words."""
        (near, between, counts), (right, *rest) = self.within_15_mm.words(), self.right_of_rivals.words()
        return (
            f"median {self.off_mm.words('mm')}, within 15 mm {near} ({between}; {counts}); "
            f"right of two alike {right} ({'; '.join(rest)}); second object {self.other_off_mm.words('mm')}"
        )


def pretrain(libraries: list[Path], config: Pretrain, tell: Callable[[str], None] = print) -> dict[str, Figures]:
    """Draw pictures, train, write the policy folder `OUT/policy`, and return what was measured on each of the other splits.

    Args:
        libraries: Where the scenes are: those of split train are learned from, all others measured on.
        config: See `Pretrain`.
        tell: Takes lines about the progress.

    Raises:
        RunError: When a library lacks a split, or the folder is another run's.
    """
    require(config)
    require_size(config.size)
    if len(config.cameras) != 1:
        raise RunError(
            f"Pre-training teaches where things are in one picture, not in those of {', '.join(config.cameras) or 'no camera'}. Give one of "
            "--cameras; a policy that looks through more learns with `trainer sft --base none`."
        )
    torch.set_num_threads(config.threads)
    scenes = _by_split(libraries)
    robots = {scene.record.spec.robot for group in scenes.values() for scene in group}
    if len(robots) > 1:
        raise RunError(f"The libraries are of different arms: {', '.join(sorted(robots))}. Give libraries of one.")
    if "train" not in scenes or len(scenes) < 2:
        raise RunError("Pre-training needs scenes of split 'train' and of another one: `worldgen make --splits ...`.")
    unsaid = ("out", "workers", "threads", "report")
    facts = {name: value for name, value in asdict(config).items() if name not in unsaid} | {
        "libraries": [f"{root.resolve().name} {file_digest(root / INDEX)}" for root in libraries],
        "base": policy_digest(config.base) if config.base else "",
    }
    net = _new(config, interface_of(scenes["train"], libraries[0], "train", config.size, config.cameras))
    with claim(config.out, facts):
        lessons = Lessons(pictured(scenes["train"], config, "pictures", config.pictures, tell), config)
        if not config.base:
            net.statistics.fit("state", lessons.data.state[:: max(1, len(lessons.data) // 10_000)], 0.02)
        net.load_state_dict(_train(net, lessons, config, tell))
        del lessons
        found = figures(net, libraries, config, tell)
        measured = {split: one.model_dump(mode="json") for split, one in found.items()}
        save_policy(net, config.out / "policy", {**_history(config.base, facts), **measured})
        return found


def figures(
    net: Sighted, libraries: list[Path], config: Pretrain, tell: Callable[[str], None] = print
) -> dict[str, Figures]:
    """Return how well a network sees in each split that nothing is trained on, in the domain of `config`; see `measure`."""
    found = {}
    for split, group in sorted(_by_split(libraries).items()):
        if split != "train":
            data = pictured(group, config, split, config.report, tell)
            found[split] = measure(net, data, Speakers(data, held_out=split == HELD_OUT_FORMS))
            tell(f"{split}: {found[split].words()}")
    return found


def _by_split(libraries: list[Path]) -> dict[str, list[Scene]]:
    scenes: dict[str, list[Scene]] = {}
    for scene in (scene for root in libraries for scene in SceneLibrary.open(root).scenes()):
        scenes.setdefault(scene.record.split, []).append(scene)
    return scenes


class Speakers:
    """Say things about pictures.

    Args:
        data: The pictures.
        held_out: See `Sentences`.
        loose: See there.
    """

    def __init__(self, data: Pictures, held_out: bool = False, loose: bool = False) -> None:
        specs = [SceneSpec.model_validate_json(text) for text in data.scenes.tolist()]
        self.scenes = [Sentences(spec, held_out, loose) for spec in specs]
        self._data = data

    def __call__(self, rows: NDArray[Any], count: int, rng: np.random.Generator) -> Spoken:
        """Return `count` sentences about each picture of `rows` (N,)."""
        said = [self.scenes[scene](rng) for scene in self._data.scene[rows] for _ in range(count)]
        named = np.array([names for _, *names in said]).reshape(-1, 2)
        points = self._data.points[rows.repeat(count)[:, None], named]
        return Spoken(
            [sentence for sentence, *_ in said], named, np.where(named[..., None] < 0, np.float32(np.nan), points)
        )

    def rivals(self, rows: NDArray[Any], spoken: Spoken) -> NDArray[np.float32]:
        """Return the nearest other object of the category of what is named first (N, 3) [m], for one sentence about each; NaN for none."""
        found = np.full((len(rows), 3), np.nan, np.float32)
        for place, row, (target, _) in zip(found, rows, spoken.named, strict=True):
            points = self._data.points[row]
            others = points[self.scenes[self._data.scene[row]].rivals(target)]
            if len(others):
                place[:] = others[np.linalg.norm(others - points[target], axis=1).argmin()]
        return found


def measure(net: Sighted, data: Pictures, speakers: Speakers) -> Figures:
    """Return how well a network finds what a sentence about each picture names; what is out of sight does not count."""
    rows, said = np.arange(len(data)), []
    spoken = speakers(rows, 1, np.random.default_rng(0))
    with torch.inference_mode():
        net.eval()
        for part in np.array_split(rows, -(-len(rows) // _AT_ONCE)):
            seen = net.remember(_inputs(net, data, part, [spoken.sentences[row] for row in part]))
            said.append(net.where(seen).numpy())
        net.train()
    answer, truth = np.concatenate(said), spoken.points
    places = in_sight(Labels(truth, data.state[:, :6], data.camera).places())
    error = np.linalg.norm(answer - truth, axis=2)
    shown, rivals = places[:, 0], speakers.rivals(rows, spoken)
    rival = shown & np.isfinite(rivals).all(axis=1)
    right = error[:, 0] < np.linalg.norm(answer[:, 0] - rivals, axis=1)
    both = places[:, 1]
    return Figures(
        off_mm=Median.over((1e3 * error[shown, 0]).tolist(), data.scene[shown].tolist()),
        within_15_mm=Share.over((error[shown, 0] < 0.015).tolist(), data.scene[shown].tolist()),
        right_of_rivals=Share.over(right[rival].tolist(), data.scene[rival].tolist()),
        other_off_mm=Median.over((1e3 * error[both, 1]).tolist(), data.scene[both].tolist()),
    )


class Lessons:
    """Pictures of scenes, and what is asked about them.

    Args:
        data: The pictures.
        config: How many are shown at once, and how much is asked about each; see `Pretrain`.
    """

    def __init__(self, data: Pictures, config: Pretrain) -> None:
        self.data, self._speakers, self._config = data, Speakers(data, loose=True), config

    def loss(self, net: Sighted, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a network that is asked new things about some pictures, and its parts; which ones hangs on the step's number alone."""
        rng = np.random.default_rng([self._config.seed, step])
        rows = np.sort(rng.integers(len(self.data), size=self._config.batch))
        return _loss(net, self.data, rows, self._speakers(rows, self._config.asked, rng))


def pictured(scenes: list[Scene], config: Pretrain, name: str, count: int, tell: Callable[[str], None]) -> Pictures:
    """Return pictures of scenes, drawn into OUT/NAME; those that are there stay.

    Raises:
        RunError: When the folder holds pictures of another kind, or there are no scenes.
    """
    folder, said = config.out / name, 0.0
    seed = config.seed + (0 if name == "pictures" else 10**9)
    for done in pictures.draw(
        scenes, folder, count, seed=seed, domain=config.domain, size=config.size, cameras=config.cameras, workers=config.workers,
    ):  # fmt: skip
        if done / count >= said:
            tell(f"{name}: {done} of {count} drawn")
            said = done / count + 0.05
    return pictures.load(folder, count)


def _history(base: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Return how a base was made: this time, and before that, where it began from another one."""
    known = checkpoint.read_config(policy_folder(base))["facts"] if base else {}
    earlier = [*known.get("before that", []), *([known["pre-training"]] if "pre-training" in known else [])]
    return {"pre-training": facts, **({"before that": earlier} if earlier else {})}


def _new(config: Pretrain, face: Interface) -> Sighted:
    """Return the network before training: random weights, or what an earlier run learned, with a larger eye where one is asked for.

    Raises:
        RunError: When sizes do not fit each other, or another base is for another arm or camera, or of sizes that do not grow to these.
    """
    torch.manual_seed(config.seed)
    if not config.base:
        return cast(Sighted, new_policy("base", face, trunk=config.trunk))
    base = load_policy(policy_folder(config.base))
    other = face.differences(base.interface)
    if not _grows(base.sizes, config.trunk):
        other += [
            f"trunk {base.sizes} does not grow to {config.trunk}: only to a multiple of its channels, and more blocks"
        ]
    if base.kind != "base" or other:
        raise RunError(
            f"'{config.base}' is no base for this: {'; '.join(other) or base.kind}. Ask for what it has, or leave --base out."
        )
    if base.sizes == config.trunk:
        return base.train()
    net = Sighted(face, config.trunk, base.words)
    net.load_state_dict(
        net.state_dict() | {name: value for name, value in base.state_dict().items() if ".eyes." not in name}
    )
    for eye, small in zip(net.trunk.eyes, base.trunk.eyes, strict=True):
        cast(Eye, eye).take_from(cast(Eye, small))
    return net


def _grows(small: TrunkSettings, large: TrunkSettings) -> bool:
    """Return whether sizes are the same, or become them with a larger eye."""
    alike = replace(small, channels=large.channels, blocks=large.blocks) == large
    return alike and large.channels % small.channels == 0 and large.blocks >= small.blocks


def _train(net: Sighted, lessons: Lessons, config: Pretrain, tell: Callable[[str], None]) -> dict[str, Tensor]:
    """Train a network and return the running mean of its weights."""
    plan = Plan(config.steps, (config.lr,), config.weight_decay, _EMA)
    return fit(net, [list(net.parameters())], lambda step: lessons.loss(net, step), plan, config.out, tell)


def _inputs(net: Sighted, data: Pictures, rows: NDArray[Any], sentences: Sequence[str]) -> Inputs:
    pieces = torch.from_numpy(net.words(sentences))
    return Inputs(as_pictures(data.images[rows]), torch.from_numpy(data.state[rows]), pieces)


def _loss(net: Sighted, data: Pictures, rows: NDArray[Any], spoken: Spoken) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of pictures `rows` (N,) and as many sentences about each as were spoken, and its parts."""
    view, asked = net.remember(_inputs(net, data, rows, spoken.sentences)), len(spoken.sentences) // len(rows)
    labels = Labels(spoken.points, data.state[rows, :6].repeat(asked, axis=0), data.camera[rows].repeat(asked, axis=0))
    return sight_loss(view, net.where(view), labels)

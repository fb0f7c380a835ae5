"""Supervised fine-tuning: a policy learns to do what a dataset's episodes do. Knows datasets, policies and pictures of scenes, plays nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldgen.library import Scene
from worldgen.sim.truth import PRIVILEGED
from worldgen.store import file_digest

from .config import Pretrain, Sft, TrunkSettings
from .dataset import Dataset, read, require_fits
from .demos import require_suits
from .errors import DatasetError, RunError
from .fit import Plan, fit
from .folders import claim
from .limits import require
from .policies.base import Batch, Inputs, Sighted
from .policies.store import load_policy, new_policy, policy_digest, policy_folder, save_policy
from .pretrain import Lessons, pictured
from .records import ACTION_NAMES, STATE_NAMES, require_size
from .sets import scenes_of
from .sight import Labels, sight_loss
from .windows import Windows

FLOOR = np.array([2e-3, 2e-3, 2e-3, 0.01, 0.01, 0.01, 0.05])
"""Least spread of actions that they are normalised with [m], [rad]."""
_ASKED = 24
"""Pictures of a library that an optimiser step asks about, four things each."""


def sft(root: Path, config: Sft, tell: Callable[[str], None] = print) -> Sighted:
    """Train a policy on a dataset and write it to `OUT/policy`; a killed run goes on where it was.

    Raises:
        DatasetError: When the dataset is damaged, or of another robot, rate, camera or action space than the policy started from.
        RunError: When the folder holds another run, or the library that is asked about will not do.
        CheckpointError: When what to start from cannot be read.
        LibraryError: When there is no such library.
    """
    require(config)
    torch.set_num_threads(config.threads)
    base = None if config.base == "none" else load_policy(policy_folder(config.base))
    data = read(root, limit=config.limit)
    policy, fresh = _start(config, base, data, root), base is not None and base.kind != config.policy
    scenes = _scenes(policy, config) if config.library else []
    begun = {
        "data": data.digest(),
        "base": policy_digest(config.base) if base else "none",
        "library": file_digest(Path(config.library) / "library.json") if config.library else "",
    }
    with claim(config.out, {**_plain(config), **begun}):
        windows = Windows.of(data, policy.horizon)
        tell(
            f"{data.episodes} episodes, {len(windows.frames)} of {len(data.state)} frames to imitate (not what somebody else did); "
            f"{sum(p.numel() for p in policy.parameters()):,} parameters"
        )
        if fresh and config.warm:
            _warmed(policy, windows, config, tell)
        policy.load_state_dict(_train(policy, windows, scenes, config, tell))
        facts = {
            "fine-tuning": {**_plain(config), **begun, "data": f"{root.resolve().name} {begun['data']}"},
            "episodes": data.episodes,
            "frames": len(windows.frames),
        }
        save_policy(policy, config.out / "policy", facts)
        return policy.eval()


def _start(config: Sft, base: Sighted | None, data: Dataset, root: Path) -> Any:
    """Return the policy before training: from a base, from nothing, or one that goes on."""
    torch.manual_seed(config.seed)
    asked = {"horizon": config.horizon, "layers": config.layers}
    own = {name: value for name, value in asked.items() if value is not None}
    if base is None:
        require_size(data.interface.size)
        # the trunk takes a state for the tool's pose, and worlds take an action for a way: other numbers would mean nothing
        require_fits(data.interface, replace(data.interface, state=STATE_NAMES, action=ACTION_NAMES), root)
        policy = new_policy(config.policy, data.interface, None, config.trunk, own)
        policy.statistics.fit("state", data.state, 0.02)
    else:
        try:
            require_fits(data.interface, base.interface, root)
        except DatasetError as error:
            face = base.interface
            takes = (
                f"`trainer demos --size {face.size} --cameras {' '.join(face.cameras)}` on scenes of the {face.robot}"
            )
            raise DatasetError(
                f"{error} '{config.base}' takes what {takes} shows; other data want another base, --base FOLDER, or --base none."
            ) from None
        going_on = base.kind == config.policy
        given = [f"{name} {value}" for name, value in own.items() if going_on and value != getattr(base, name)]
        if config.trunk not in (base.sizes, TrunkSettings()):
            given.append(str(config.trunk))
        if given:
            raise RunError(
                f"{' and '.join(given)} cannot be had: '{config.base}' has its own. Leave them out, or start from --base none."
            )
        if going_on:
            return base.train()
        policy = new_policy(config.policy, base.interface, base, own=own)
    policy.measure(data.action[~data.perturbed], FLOOR)
    return policy


def _warmed(policy: Any, windows: Windows, config: Sft, tell: Callable[[str], None]) -> None:
    """Train what decides on what an untouched trunk sees, in place."""
    sentences = _sentences(windows.data, config)
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        if not seen:  # a run that goes on behind this needs none of it
            tell(f"looking at {len(windows.frames)} frames once")
            seen.append(_seen(policy, windows, sentences, config))
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        rows = torch.randint(len(windows.frames), (2 * config.batch,), generator=rng)
        tokens, points, state = (part[rows] for part in seen[0])
        actions, valid = (torch.from_numpy(part) for part in windows.actions(rows.numpy()))
        batch = Batch(Inputs(tokens[:0], state, tokens[:0]), actions, valid)
        return policy.imitation_loss(batch, rng, policy.memory(tokens.float(), points, state)), {}

    plan = Plan(config.warm, (config.warm_lr,), config.weight_decay, config.ema)
    policy.load_state_dict(
        fit(policy, [policy.decides()], loss, plan, config.out / "warm", lambda line: tell(f"warming up, {line}"))
    )


def _seen(policy: Any, windows: Windows, sentences: list[str], config: Sft) -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens (N, M, W), in half precision, points (N, 2, 3) and state (N, S) of all windows, their pictures' colours changed."""
    rng, parts = torch.Generator().manual_seed(config.seed), []
    with torch.no_grad():
        for rows in np.array_split(np.arange(len(windows.frames)), -(-len(windows.frames) // 128)):
            batch, _ = windows.batch(policy, rows, sentences, rng, 0, config.colour, config.strange)
            seen = policy.remember(batch.inputs)
            parts.append((seen.tokens.half(), policy.where(seen), batch.inputs.state))
    tokens, points, state = (torch.cat(part) for part in zip(*parts, strict=True))
    return tokens, points, state


def _train(
    policy: Any, windows: Windows, scenes: list[Scene], config: Sft, tell: Callable[[str], None]
) -> dict[str, Tensor]:
    """Train all of a policy and return the running mean of the weights."""
    sentences, labels = _sentences(windows.data, config), _labels(windows, config, tell)
    lessons = _lessons(policy, scenes, config, tell) if scenes else None

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        rows = torch.randint(len(windows.frames), (config.batch,), generator=rng).numpy()
        batch, moved = windows.batch(policy, rows, sentences, rng, config.shift, config.colour, config.strange)
        seen = policy.remember(batch.inputs)
        points = policy.where(seen)
        imitation = policy.imitation_loss(batch, rng, policy.memory(seen.tokens, points, batch.inputs.state))
        whole, shown = imitation, dict[str, float]()
        if labels:
            sight, shown = sight_loss(seen, points, labels(rows), moved)
            whole = whole + config.sight * sight
        if lessons:
            sight, asked = lessons.loss(policy, step)
            whole, shown["asked mm"] = whole + config.sight * sight, asked["median mm"]
        parts = {name: value for name, value in shown.items() if not math.isnan(value)}
        return whole, {"imitation": float(imitation.detach()), **parts} if parts else {}

    groups = [policy.sees(), policy.decides()]
    peaks = (config.lr if config.base == "none" else config.trunk_lr, config.lr)
    plan = Plan(config.steps, peaks, config.weight_decay, config.ema)
    return fit(policy, groups, loss, plan, config.out, tell)


def _scenes(policy: Any, config: Sft) -> list[Scene]:
    """Return the training scenes of the library that is asked about.

    Raises:
        RunError: When there are none, they are of another arm, or nothing would be learned from them.
        LibraryError: When there is no library.
    """
    root = Path(config.library)
    off = [f"--{name} 0" for name in ("steps", "sight") if not getattr(config, name)]
    if config.shuffle_instructions:
        off.append("--shuffle-instructions, a control that must not learn what things are called")
    if off:
        raise RunError(f"--library teaches sight while all of the policy learns: not with {' and '.join(off)}.")
    scenes = scenes_of(root, "train")
    require_suits(scenes, root, "train", policy.interface)
    return scenes


def _lessons(policy: Any, scenes: list[Scene], config: Sft, tell: Callable[[str], None]) -> Lessons:
    """Return what is asked about pictures of scenes, drawn into the run's folder."""
    face = policy.interface
    asked = Pretrain(
        out=config.out,
        pictures=config.pictures,
        batch=_ASKED,
        asked=4,
        domain="full",
        seed=config.seed,
        size=face.size,
        cameras=face.cameras,
        workers=config.workers,
    )
    return Lessons(pictured(scenes, asked, "pictures", asked.pictures, tell), asked)


def _labels(windows: Windows, config: Sft, tell: Callable[[str], None]) -> Callable[[NDArray[np.int64]], Labels] | None:
    """Return what says of windows what is to be seen there; None where nothing does, or nothing is to be made of it."""
    told, state = windows.data.privileged, windows.data.state
    if told is None or not config.sight:
        return None
    if told.shape[1] != PRIVILEGED:
        tell(f"sight is not kept up: the data say {told.shape[1]} numbers of the simulator, this version {PRIVILEGED}")
        return None

    def labels(rows: NDArray[np.int64]) -> Labels:
        found = Labels.of(told[windows.frames[rows]], state[windows.frames[rows]])
        # the control still learns to see the arm; what its sentences name is not what the data say
        return replace(found, points=np.full_like(found.points, np.nan)) if config.shuffle_instructions else found

    return labels


def _sentences(data: Dataset, config: Sft) -> list[str]:
    """Return each episode's sentence; for the control, another one that is said in the data.

    Raises:
        RunError: When there is no other.
    """
    own = data.instructions
    if not config.shuffle_instructions:
        return own
    if len(set(own)) < 2:
        raise RunError(
            f"All {len(own)} episodes say '{own[0]}': for --shuffle-instructions there must be two sentences."
        )
    rng = np.random.default_rng(config.seed)
    made = [own[int(index)] for index in rng.permutation(len(own))]
    for index, sentence in enumerate(own):
        while made[index] == sentence:
            made[index] = own[int(rng.integers(len(own)))]
    return made


def _plain(config: Sft) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name not in ("out", "workers", "threads")}

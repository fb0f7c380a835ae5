"""The loop of every training on fixed data: schedule, clipping, running mean, log, and going on after a kill. Knows no losses, no data."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldgen.store import write_file

from . import checkpoint
from .errors import RunError
from .metrics import Log

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_SAVE = 500
"""Steps between two saved states."""
_TELL = 100
"""Steps between two lines."""
_PATIENCE = 50
"""Steps without a finite gradient, one after another, at which a training is given up."""
_CLIP = 1.0
"""Largest norm of a gradient."""

Loss = Callable[[int], tuple[Tensor, Mapping[str, float]]]
"""From the number of a step to its loss, and what to show of it. A step's data hang on its number alone: a run that was killed goes on
with the same ones."""


@dataclass(frozen=True)
class Plan:
    """How weights are moved."""

    steps: int
    peaks: tuple[float, ...]
    """Peak learning rate of each group of parameters."""
    weight_decay: float
    ema: float
    """Decay of the running mean of the weights."""


def fit(
    net: nn.Module,
    groups: Sequence[Sequence[nn.Parameter]],
    loss: Loss,
    plan: Plan,
    out: Path,
    tell: Callable[[str], None],
) -> dict[str, Tensor]:
    """Minimise a loss with AdamW and return the running mean of the weights.

    Args:
        net: Is trained in place.
        groups: Parameters that share a learning rate.
        loss: What to minimise.
        plan: How.
        out: Folder of the run: holds `metrics.jsonl` and the state to go on from.
        tell: Takes lines about the progress.

    Raises:
        RunError: When the gradients stay infinite or no numbers.
    """
    optimiser = torch.optim.AdamW(
        [{"params": group} for group in groups], plan.peaks[0], weight_decay=plan.weight_decay
    )
    ema = {name: value.clone() for name, value in net.state_dict().items()}
    first, state = 0, out / checkpoint.STATE
    if checkpoint.exists(state):
        numbers, kept = checkpoint.load_training(state, net, optimiser)
        first, ema = int(numbers["step"]), kept["ema"]
        tell(f"going on from step {first}")
    net.train()
    skipped = lost = 0
    begun = time.monotonic()
    with Log(out / "metrics.jsonl", last=first) as log:
        for step in range(first, plan.steps):
            for group, peak in zip(optimiser.param_groups, plan.peaks, strict=True):
                group["lr"] = peak * cosine(step, plan.steps)
            value, parts = loss(step)
            norm = descend(value, optimiser, net)
            finite = bool(torch.isfinite(norm))
            skipped, lost = skipped + (not finite), 0 if finite else lost + 1
            if lost >= min(_PATIENCE, plan.steps):
                raise RunError(
                    f"The last {lost} steps had no finite gradient (loss {float(value.detach()):.3g}). Use a smaller learning rate, and look "
                    f"for values in the data that are far off. '{out}' holds what was before."
                )
            follow(ema, net, min(plan.ema, (1 + step) / (10 + step)))
            if step % _TELL == _TELL - 1 or step + 1 == plan.steps:
                shown = {"loss": float(value.detach()), **parts, "gradient": float(norm)}
                if skipped:
                    shown["skipped"] = skipped
                log.append({"step": step + 1, **shown})
                words = ", ".join(f"{name} {number:.3g}" for name, number in shown.items())
                left = (time.monotonic() - begun) / (step + 1 - first) * (plan.steps - step - 1)
                tell(f"step {step + 1} of {plan.steps}: {words}; {left / 60:.0f} min left")
            if step % _SAVE == _SAVE - 1 or step + 1 == plan.steps:
                checkpoint.save_training(state, net, optimiser, {"step": step + 1}, ema=ema)
    return ema


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, net: nn.Module) -> Tensor:
    """Make one step with a network's gradients, clipped, and return their norm; where that is no number, no step is made."""
    optimiser.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(net.parameters(), _CLIP)
    if torch.isfinite(norm):
        optimiser.step()
    return norm


def cosine(step: int, steps: int, warm: float = 0.03) -> float:
    """Return the share of the peak learning rate at a step: up a line, down a cosine."""
    rise = max(1, round(warm * steps))
    return min(1.0, (step + 1) / rise) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))


def follow(ema: dict[str, Tensor], net: nn.Module, decay: float) -> None:
    """Move a running mean of weights towards a network's, in place."""
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                ema[name].lerp_(value, 1 - decay)
            else:
                ema[name].copy_(value)


@contextlib.contextmanager
def claim(out: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Hold a run's folder, made and noted in it with which settings, or check that they are those it was begun with.

    Raises:
        RunError: When the folder cannot be made, holds something else or a run of other settings, its note cannot be read, or another
            process is at work there.
    """
    note, made = out / "run.json", json.loads(json.dumps(dict(settings), default=str))
    with held(out):
        content = [path for path in out.iterdir() if path != note]
        if content and not note.exists():
            raise RunError(f"'{out}' holds something else than a run, such as '{content[0].name}'. Use another --out.")
        if content:  # where nothing was done yet, it may begin otherwise
            _require_same(note, made)
        else:
            write_file(note, json.dumps(made, indent=1) + "\n")
        yield


def _require_same(note: Path, made: Mapping[str, Any]) -> None:
    try:
        old = dict(json.loads(note.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"'{note}' cannot be read: {error}. Use another --out or delete '{note.parent}'.") from error
    changed = [f"{name} {made[name]!r} instead of {old.get(name)!r}" for name in made if made[name] != old.get(name)]
    if changed:
        raise RunError(
            f"'{note.parent}' is a run with other settings: {'; '.join(changed)}. Use another --out or delete it."
        )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes from writing to it meanwhile, where the system can (not on Windows).

    Raises:
        RunError: When it cannot be made, or another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY) if fcntl else -1
    except OSError as error:
        raise RunError(f"'{folder}' cannot be a folder to write to: {error.strerror}. Use another --out.") from error
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RunError(
            f"Another process is at work in '{folder}'. Wait for it, stop it, or use another --out."
        ) from error
    finally:
        if fcntl:
            os.close(handle)

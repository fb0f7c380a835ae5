"""The loop of every training on fixed data: schedule, clipping, running mean, log, and going on after a kill. Knows no losses, no data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from . import checkpoint
from .errors import RunError
from .metrics import Log

_SAVE = 100
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
                tell(f"step {step + 1} of {plan.steps}: {words}; {lasting(left)} left")
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


def lasting(seconds: float) -> str:
    """Return a duration in words."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


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

"""What reinforcement learning minimises. Knows tensors, no worlds and no policies.

Sources: Schulman et al. 2017 (clipping), Ye et al. 2020 (dual clip), Yu et al. 2025 (clip higher), Schulman 2020 (k2 estimate of KL).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_OTHER = 1.0
"""Most that one decision counts in the divergence [nats]: where another thing is looked at all at once, it is another decision, and its density says
nothing of how far the rest has gone. One such row in a hundred thousand would be all of a mean."""
_HUBER = 10.0
"""Where the loss of a value turns from square to straight."""


@dataclass(frozen=True)
class Clip:
    """How far the density of what was done may move before it counts no more."""

    low: float = 0.2
    high: float = 0.2
    dual: float = 3.0
    """A bad decision that has become likelier counts at most so many times; at least 1."""
    power: float = 1.0
    """κ: ratios are taken to it. 1 for the density of one denoising step; one over their number for a chain of them."""


def policy_loss(
    new: Tensor, old: Tensor, advantages: Tensor, weight: Tensor, clip: Clip
) -> tuple[Tensor, dict[str, float]]:
    """Return the clipped surrogate and what to show of it.

    -min(ρ A, clip(ρ, 1 - low, 1 + high) A), at most `dual` times -A where A < 0, with ρ = exp(κ (new - old)): a weighted mean.

    Args:
        new: (N, P) log-densities under the policy in training, of the parts of each decision whose ratios are clipped apart.
        old: (N, P) those under the policy that acted, by the same forward pass.
        advantages: (N,)
        weight: (N, P) what each part counts; where it is 0, nothing that stands there changes anything.
        clip: Bounds.
    """
    valid = weight > 0
    shift = torch.where(valid, new - old, 0.0)
    gain = torch.where(valid, advantages[:, None], 0.0)
    ratio = torch.exp(clip.power * shift)
    kept = ratio.clamp(1 - clip.low, 1 + clip.high)
    best = torch.minimum(ratio * gain, kept * gain)
    best = torch.where(gain < 0, torch.maximum(best, clip.dual * gain), best)
    share = weight / weight.sum().clamp_min(1e-9)
    with torch.no_grad():
        outside = torch.where(gain > 0, ratio > 1 + clip.high, ratio < 1 - clip.low) & (gain != 0)
        parts = {
            "kl": float(((shift.sum(dim=1) ** 2 / 2).clamp(max=_OTHER) * share.sum(dim=1)).sum()),
            "clipped": float((outside * share).sum()),
            "ratio": float((ratio * share).sum()),
        }
    return -(best * share).sum(), parts


def value_loss(new: Tensor, old: Tensor, target: Tensor, valid: Tensor, clip: float) -> tuple[Tensor, float]:
    """Return the loss of a critic, and the share of values that moved farther than `clip`.

    The larger one of the Huber losses of the value and of the value moved by at most `clip`: a mean over what is valid.
    """
    new, old, target = (torch.where(valid, part, 0.0) for part in (new, old, target))
    near = old + (new - old).clamp(-clip, clip)
    far, close = (F.huber_loss(value, target, reduction="none", delta=_HUBER) for value in (new, near))
    count = valid.sum().clamp_min(1)
    moved = float(((new.detach() - old).abs() > clip).sum() / count)
    return torch.maximum(far, close).sum() / count, moved


def explained(values: Tensor, target: Tensor) -> float:
    """Return the share of the targets' variance that values explain; 0 where there is none."""
    variance = target.var(correction=0)
    return float(1 - (target - values).var(correction=0) / variance) if variance > 0 else 0.0

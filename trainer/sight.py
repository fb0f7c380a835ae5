"""What a network should see, and the loss of its not seeing it. Knows the trunk, no policies and no data sets.

Losses: each taught slot's map against a Gaussian around the true place (cross-entropy), where it looks and the positions that are read off
against the true ones (Huber), and which part of the table the picture shows. Labels come from the simulator and are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from worldgen.sim.optics import CAMERA, on_table, seen_at
from worldgen.sim.truth import SIGHT

from .policies.eye import GRID
from .policies.vision import CORNERS, TAUGHT, Seen, known_points

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
_FAR = 1.5
"""No place of the table counts as farther along x or y than so [m]: at first a camera may look anywhere."""
_FOUND = 10
"""So many of those beside its middle still count as looking at a thing."""


@dataclass(frozen=True)
class Labels:
    """What is to be seen in N pictures."""

    points: NDArray[np.float32]
    """(N, 2, 3) what is named first and second, in the base frame [m]; NaN where nothing is."""
    tool: NDArray[np.float32]
    """(N, 6) the tool's point [m] and its rotation vector from pointing down [rad]."""
    camera: NDArray[np.float32]
    """(N, CAMERA) where the first picture was taken from; see `worldgen.sim.optics`."""

    @classmethod
    def of(cls, privileged: NDArray[np.float32], state: NDArray[np.float32]) -> Labels:
        """Return what privileged vectors (N, PRIVILEGED) and states (N, S) say; see `worldgen.sim.truth.Truth.vector`."""
        told = privileged[:, -SIGHT:]
        points = told[:, :6].reshape(-1, 2, 3)
        nothing = ~points.any(axis=-1, keepdims=True)
        return cls(np.where(nothing, np.float32(np.nan), points), state[:, :6], told[:, -CAMERA:])

    def places(self) -> NDArray[np.float32]:
        """Return where in the picture the things of the slots `TAUGHT` are, as shares of it: (N, TAUGHT, 2)."""
        known = known_points(torch.from_numpy(self.tool).double()).numpy()
        return seen_at(self.camera, np.concatenate([self.points, known], axis=1)).astype(np.float32)


def in_sight(places: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which places (…, 2) are in the picture."""
    found: NDArray[np.bool_] = (np.abs(np.nan_to_num(places, nan=9.0) - 0.5) < 0.5).all(axis=-1)
    return found


def sight_loss(
    seen: Seen, answer: Tensor, labels: Labels, moved: NDArray[np.floating] | None = None
) -> tuple[Tensor, dict[str, float]]:
    """Return how far a network is from seeing what is there, and what to show of it.

    Args:
        seen: What the trunk made of N pictures and sentences.
        answer: (N, 2, 3) positions that were read off that [m].
        labels: What is true.
        moved: (N, 2) how far each picture's content was moved right and down after it was taken, as shares of it; None for not.
    """
    shift = np.zeros((len(labels.tool), 1, 2)) if moved is None else np.asarray(moved)[:, None]
    places = labels.places() + shift
    shown = torch.from_numpy(in_sight(places))
    true = torch.from_numpy(np.nan_to_num(places, nan=0.5).astype(np.float32))
    maps = -(_blobs(true) * seen.maps[:, 0, TAUGHT].log_softmax(dim=-1)).sum(dim=-1)
    looks = _bent(seen.places[:, 0, TAUGHT], true, _PIXEL)
    off = (seen.places[:, 0, TAUGHT] - true).norm(dim=-1).detach() / _PIXEL
    weight = shown * torch.where(torch.arange(len(TAUGHT)) < 2, _NAMED, 1.0)
    near = weight * (off < _FOUND)  # what looks elsewhere has to pick another cell first
    points = torch.from_numpy(np.nan_to_num(labels.points))
    table = torch.from_numpy(on_table(labels.camera, np.array(CORNERS) - shift).astype(np.float32))
    error = (answer - points).norm(dim=-1).detach()[:, 0][shown[:, 0]]
    corners = seen.corners[:, 0].clamp(-_FAR, _FAR)
    found, looked = _mean(maps, weight), _mean(looks, near)
    where, ground = (
        _mean(_bent(answer, points, _BEND), near[:, :2]),
        _bent(corners, table[:, None].expand_as(corners), _BEND).mean(),
    )
    parts = {
        "maps": float(found.detach()),
        "found": float((off[:, :2][shown[:, :2]] < _FOUND).float().mean()),
        "arm px": float(off[:, 2:][shown[:, 2:]].median()),
        "where": float(where.detach()),
        "median mm": 1e3 * float(error.median()),
        "within 15 mm": float((error < 0.015).float().mean()),
        "told mm": 1e3 * float((corners[:, 0] - table).norm(dim=-1).detach().median()),
        "ground mm": 1e3 * float((corners[:, 1] - table).norm(dim=-1).detach().median()),
    }
    return _MAPS * found + _PIXELS * looked + _WHERE * where + _GROUND * ground, parts


def taught(policy: Any, inputs: Any, privileged: NDArray[np.float32]) -> tuple[Tensor, float]:
    """Return `sight_loss` of a policy that looks at N observations, of which privileged vectors (N, PRIVILEGED) say what is there, and its median error [mm]."""
    seen = policy.remember(inputs)
    loss, parts = sight_loss(seen, policy.where(seen), Labels.of(privileged, inputs.state.numpy()))
    return loss, parts["median mm"]


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1)


def _bent(answer: Tensor, truth: Tensor, bend: float) -> Tensor:
    """Return the Huber loss of places, a mean over their coordinates, in units of where it turns straight."""
    return F.huber_loss(answer / bend, truth / bend, reduction="none").mean(dim=-1)


def _blobs(places: Tensor) -> Tensor:
    """Return a Gaussian over the cells around each place, (…, GRID * GRID), that sums to 1."""
    axis = (torch.arange(GRID) + 0.5) / GRID
    x, y = (torch.exp(-0.5 * ((places[..., i, None] - axis) * GRID / _BLOB) ** 2) for i in (0, 1))
    blob = (y[..., :, None] * x[..., None, :]).flatten(-2)
    return blob / blob.sum(dim=-1, keepdim=True).clamp_min(1e-9)

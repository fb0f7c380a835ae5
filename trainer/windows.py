"""Frames of a dataset as a policy learns from them: each with the actions that follow it, its picture a little changed. Knows no losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .dataset import Dataset
from .errors import RunError
from .policies.base import Batch, Inputs, Sighted, as_pictures
from .sentences import unheard


@dataclass(frozen=True)
class Windows:
    """The frames of a dataset that can be learned from, each with the actions that follow it."""

    data: Dataset
    frames: NDArray[np.int64]
    """(N,) frames whose own action is to be imitated."""
    horizon: int

    @classmethod
    def of(cls, data: Dataset, horizon: int) -> Windows:
        """Return all windows of a dataset.

        Raises:
            RunError: When there is nothing to imitate.
        """
        frames = np.flatnonzero(~data.perturbed & data.success[data.episode])
        if not len(frames):
            raise RunError("The dataset holds no successful, undisturbed frame to imitate.")
        return cls(data, frames, horizon)

    def actions(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the actions (N, H, 7) that follow frames, and which count: up to the episode's end and the next push."""
        index = self.frames[rows, None] + np.arange(self.horizon)
        inside = index < self.data.starts[self.data.episode[self.frames[rows]] + 1][:, None]
        index = np.minimum(index, len(self.data.action) - 1)
        valid = np.logical_and.accumulate(inside & ~self.data.perturbed[index], axis=1)
        return self.data.action[index], valid

    def batch(
        self,
        policy: Sighted,
        rows: NDArray[np.int64],
        sentences: Sequence[str],
        rng: torch.Generator,
        shift: int = 0,
        colour: float = 0.0,
        strange: float = 0.0,
    ) -> tuple[Batch, NDArray[np.float64]]:
        """Return windows as a policy learns from them, and how far their pictures were moved (N, 2), as shares of them.

        Args:
            policy: Whose words and cameras count.
            rows: (N,) which windows.
            sentences: Of each episode.
            rng: For what is changed.
            shift: Largest shift of a picture [px].
            colour: Largest change of brightness, contrast and each colour, as a share.
            strange: Share of the names of things that are said as words nobody knows.
        """
        data = self.data
        frames = self.frames[rows]
        pictures = np.stack([data.images[camera][frames] for camera in policy.interface.cameras], axis=1)
        actions, valid = self.actions(rows)
        images, moved = augment(as_pictures(pictures), shift, colour, rng)
        said = [sentences[episode] for episode in data.episode[frames]]
        if strange:
            words = np.random.default_rng(int(torch.randint(2**62, (), generator=rng)))
            said = [unheard(sentence, strange, words) for sentence in said]
        inputs = Inputs(
            images,
            torch.from_numpy(data.state[frames]),
            torch.from_numpy(policy.words(said)),
        )
        return Batch(inputs, torch.from_numpy(actions), torch.from_numpy(valid)), moved / images.shape[-1]


def augment(images: Tensor, shift: int, colour: float, rng: torch.Generator) -> tuple[Tensor, NDArray[np.int64]]:
    """Return pictures (N, V, 3, S, S) in [-1, 1] moved by up to `shift` pixels and with other brightness, contrast and colours.

    Each is moved and coloured by its own numbers, all cameras of one observation alike. Also returns how far what it shows was moved,
    (N, 2) to the right and down [px].
    """
    count, _, _, size, _ = images.shape
    moves = torch.zeros(count, 2, dtype=torch.int64)
    if colour:
        gain = 1 + colour * (2 * torch.rand(count, 1, 3, 1, 1, generator=rng) - 1)
        offset = colour * (2 * torch.rand(count, 1, 1, 1, 1, generator=rng) - 1)
        images = (images * gain + offset).clamp_(-1, 1)
    if shift:
        moves = torch.randint(-shift, shift + 1, (count, 2), generator=rng)
        wide = F.pad(images.flatten(1, 2), (shift,) * 4, mode="replicate").unflatten(1, images.shape[1:3])
        cuts = zip(wide, (shift - moves).tolist(), strict=True)
        images = torch.stack([one[..., y : y + size, x : x + size] for one, (x, y) in cuts])
    return images, moves.numpy()

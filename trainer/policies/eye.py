"""The eye: a picture → features that words are matched with later. Knows no words, no cameras."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TrunkSettings

GRID = 16
"""Cells of an attention map along each side."""
FINE, FINER = 32, 2
"""Channels of the features to look closely with, and how many times finer their grid is."""
_DARK = 0.05
"""Spread of a picture below which it counts as dark, and is not made brighter than so."""
GROUPS = 8
"""Of channels that are normalised together."""
_UNLIKE = 0.3
"""Spread of how much of a weight each copy of a channel gets, on a logarithmic scale."""
_COARSE = 4
"""Cells along each side that the view is told from: where the camera stands shows in the whole picture."""


class _Residual(nn.Module):
    """A convolution added to what it is given."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, grid: Tensor) -> Tensor:
        out: Tensor = grid + self.conv(F.relu(self.norm(grid)))
        return out


class Eye(nn.Module):
    """A square picture → features, coarse and fine, and one vector for where all of it was seen from. Knows no words."""

    def __init__(self, size: int, settings: TrunkSettings) -> None:
        super().__init__()
        if size % (FINER * GRID):
            raise ValueError(f"size {size} px must be a multiple of {FINER * GRID}.")
        step, channels = size // (FINER * GRID), settings.channels
        self.stem = nn.Conv2d(6, FINE, step + 2, stride=step, padding=1)
        self.down = nn.Conv2d(FINE, channels, FINER + 2, stride=FINER, padding=1)
        self.place = nn.Parameter(0.02 * torch.randn(channels, GRID, GRID))
        dilations = [(1, 2, 4)[index % 3] for index in range(settings.blocks)]
        self.blocks = nn.ModuleList([_Residual(channels, dilation) for dilation in dilations])
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.back, self.sharpen = nn.Conv2d(channels, FINE, 1), nn.Conv2d(FINE, FINE, 3, padding=1)
        self.tell = nn.Sequential(
            nn.Linear(channels, settings.width), nn.ReLU(), nn.Linear(settings.width, settings.width)
        )
        self.view = nn.Sequential(
            nn.Linear(channels * _COARSE**2, settings.width), nn.GELU(), nn.Linear(settings.width, settings.width)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features (N, GRID², W), fine ones (N, (FINER * GRID)², FINE) and a view (N, W) of pictures (N, 3, S, S) in [-1, 1]."""
        off = image - image.mean(dim=(2, 3), keepdim=True)
        spread = off.square().mean(dim=(2, 3), keepdim=True).sqrt()
        both = torch.cat([image, off / (spread + _DARK)], dim=1)  # coloured, dim light leaves the second half as it is
        fine = F.relu(self.stem(both.contiguous(memory_format=torch.channels_last)))
        grid = self.down(fine) + self.place
        for block in self.blocks:
            grid = block(grid)
        grid = F.relu(self.norm(grid))
        fine = self.sharpen(F.relu(fine + F.interpolate(self.back(grid), scale_factor=FINER)))
        cells, fine = (features.flatten(2).transpose(1, 2) for features in (grid, fine))
        return self.tell(cells), fine, self.view(F.adaptive_avg_pool2d(grid, _COARSE).flatten(1))

    @torch.no_grad()
    def take_from(self, small: Eye) -> None:
        """See what an eye with fewer blocks, and a whole fraction of the channels, sees; to rounding (Net2Net: Chen et al. 2016).

        Channels are copies, among which what takes them in is shared, unequally, so that they come to differ; added blocks add nothing yet.
        """
        each, mine = (len(eye.place) // GROUPS for eye in (small, self))
        number = torch.arange(len(self.place))
        source = number // mine * each + number % mine % each  # a copy stays in its group: so do the group's statistics
        weights = self.state_dict()
        for name, value in small.state_dict().items():
            if name.startswith(("down", "place", "blocks", "norm")):
                value = value[source]
            if name.endswith("conv.weight") or name in ("back.weight", "tell.0.weight"):
                value = _shared(value, source)
            elif name == "view.0.weight":
                value = _shared(value.unflatten(1, (len(small.place), -1)), source).flatten(1)
            weights[name] = value
        self.load_state_dict(weights)
        for block in list(self.blocks)[len(small.blocks) :]:
            for value in cast(_Residual, block).conv.parameters():
                nn.init.zeros_(value)


def _shared(weight: Tensor, source: Tensor) -> Tensor:
    """Return a weight (O, I, …) for copies of its I inputs, of which `source` (J,) says whose each is: (O, J, …)."""
    part = torch.exp(_UNLIKE * torch.randn(weight[:, source].shape))
    whole = torch.zeros_like(weight).index_add_(1, source, part)
    return weight[:, source] * part / whole[:, source]

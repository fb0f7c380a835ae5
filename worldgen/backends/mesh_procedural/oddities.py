"""Things that nobody has a word for: blocks, drums and bars piled up at random. Pictures of them teach that a word nobody knows means one of these."""

from __future__ import annotations

import numpy as np

from ...shapes import Geom
from .collide import box as solid_box
from .collide import upright
from .draft import Brief, Draft, shade
from .mesh_tools import Region, Solid, box, lathe, stack

_FUSED = 0.0006
"""How far a piece reaches into the one below [m]."""
_MOST = 5
"""Pieces on top of each other."""


def oddity(b: Brief) -> Draft:
    """Two to five pieces, each of its own outline, width and colour; no two variants are alike."""
    x, y, z = b.size
    count = int(b.rng.integers(2, _MOST + 1))
    shares = b.rng.uniform(0.5, 1.5, count)
    tops = z * np.cumsum(shares) / shares.sum()
    others = [b.tile(b.contrast), b.tile(shade(b.colour, 0.55)), b.tile(shade(b.colour, 1.5))]
    wide = b.rng.uniform(0.35, 1.0, (count, 2))
    wide[0] = np.maximum(wide[0], 0.75)  # it stands on the first
    wide[b.rng.integers(count)] = 1.0
    aside = b.rng.uniform(-0.5, 0.5, (count, 2)) * (1 - wide) * (np.arange(count)[:, None] > 0)
    largest = int((shares * wide.prod(axis=1)).argmax())
    solids, collision = list[Solid](), list[Geom]()
    for index, (low, high, size, off) in enumerate(zip([0.0, *tops[:-1]], tops, wide, aside, strict=True)):
        region = b.base if index == largest or b.chance(0.5) else others[int(b.rng.integers(len(others)))]
        middle, bottom = off * (x, y), max(low - _FUSED, 0.0)
        if b.chance(0.5):
            made = _block(size * (x, y) / 2, middle, bottom, high, region)
        else:
            made = _drum(
                float(size.min()) * min(x, y) / 2, middle, bottom, high, region, int(b.rng.choice([5, 6, 8, 24]))
            )
        solids.append(made[0])
        collision.append(made[1])
    return Draft(stack(*solids), collision)


def _block(half: np.ndarray, middle: np.ndarray, low: float, high: float, region: Region) -> tuple[Solid, Geom]:
    bevel = min(*half, high - low) * 0.12
    solid = box((*(2 * half), high - low), bevel, region, (*middle, (low + high) / 2))
    return solid, solid_box((*(middle - half), low), (*(middle + half), high))


def _drum(radius: float, middle: np.ndarray, low: float, high: float, region: Region, sides: int) -> tuple[Solid, Geom]:
    solid = lathe([(0.0, low), (radius, low), (radius, high), (0.0, high)], region, sides)
    return solid.translate((*middle, 0.0)), upright(radius * np.cos(np.pi / sides), low, high, *middle)

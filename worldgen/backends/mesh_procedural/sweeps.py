"""Templates of long bent things: a section swept along a path, lying on the table."""

from __future__ import annotations

import numpy as np

from .collide import chain
from .draft import Brief, Draft, grip, shade
from .mesh_tools import bend, tube


def banana(b: Brief) -> Draft:
    """A banana lying on its side, with a dark tip and a stalk."""
    x, y, z = b.size
    bow, fat = b.vary(0.6, 1.0), z / 2
    inside = y - 2 * fat
    half = x / 2 - fat * 0.25
    path = bend([(-half, inside * 0.55 * bow, 0), (-half * 0.62, -inside * 0.08, 0), (0, -inside * 0.5, 0), (half * 0.6, -inside * 0.1, 0), (half, inside * 0.55, 0)], 15)
    along = np.linspace(0, 1, 15)
    radii = fat * np.clip(1.02 - np.abs(2 * along - 0.94) ** b.vary(3.2, 4.5), 0.24, 1)
    radii[0], radii[1] = fat * 0.2, fat * 0.3
    radii[-1] = fat * 0.24
    tip, stalk = b.tile((70, 52, 34)), b.tile((150, 150, 60))
    regions = [tip] + [b.base] * 11 + [stalk] * 2
    body = tube(path, radii, regions, 10, ends=b.tile((70, 52, 34)))
    hold = grip((0, float(path[7, 1]), fat), 2 * fat)
    return Draft(body, chain(path[1:-1], np.minimum(radii, fat)[1:-1], 4), {"grasp": hold})


_ = shade

"""Paints surface patterns as small sRGB images: of objects, table tops, walls and floors. Knows no meshes and no files.

All patterns repeat in both directions except `gradient`, `band` and `label`, which run once from the bottom (last row) to the
top (first row) and repeat sideways.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .errors import AssetError

Colour = tuple[int, int, int]
Plane = NDArray[np.float32]
"""(H, W) weights, or (H, W, 3) colours in 0..255."""


def paint(pattern: str, colour: Colour, accent: Colour, seed: int, size: int = 128) -> NDArray[np.uint8]:
    """Paint a square image (size, size, 3) in sRGB.

    Args:
        pattern: One of `PATTERNS`.
        colour: Main colour, which keeps the larger share of the area.
        accent: Second colour.
        seed: Same seed, same bytes; another seed moves and scales the pattern.
        size: Width and height [px].

    Raises:
        AssetError: If the pattern is unknown.
    """
    if pattern not in PATTERNS:
        raise AssetError(f"Unknown pattern '{pattern}'. Valid names: {', '.join(sorted(PATTERNS))}.")
    rng = np.random.default_rng(seed)
    base, second = np.asarray(colour, np.float32), np.asarray(accent, np.float32)
    image = PATTERNS[pattern](base, second, rng, size)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def noise(rng: np.random.Generator, size: int, cells_y: int, cells_x: int) -> Plane:
    """Return smooth noise in [-1, 1] that repeats in both directions: random values on a grid, interpolated."""
    grid = rng.uniform(-1, 1, (cells_y, cells_x)).astype(np.float32)
    return _stretch(_stretch(grid, size, 0), size, 1)


def _stretch(grid: Plane, size: int, axis: int) -> Plane:
    cells = grid.shape[axis]
    at = np.arange(size, dtype=np.float32) * cells / size
    low = at.astype(np.int64)
    part = at - low
    part = part * part * (3 - 2 * part)
    part = part[:, None] if axis == 0 else part[None, :]
    return np.asarray(grid.take(low, axis) * (1 - part) + grid.take((low + 1) % cells, axis) * part, np.float32)


def _grid(size: int) -> tuple[Plane, Plane]:
    """Return (u, v) of each pixel's centre, v upwards."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    u, v = np.meshgrid(at, 1 - at)
    return u.astype(np.float32), v.astype(np.float32)


def _blend(base: Plane, second: Plane, weight: Plane) -> Plane:
    return base + (second - base) * weight[..., None]


def _edge(distance: Plane, size: int) -> Plane:
    """Return a soft step: 1 where the distance (in units of the image) is negative, half a pixel of blur."""
    return np.clip(0.5 - distance * size, 0, 1)


def _grain(image: Plane, rng: np.random.Generator, size: int, strength: float) -> Plane:
    """Add broad and fine brightness noise, so that a flat area does not look computed."""
    broad = noise(rng, size, 4, 4) * strength
    fine = (rng.random((size, size), np.float32) - 0.5) * np.float32(1.2 * strength)
    return image + (broad + fine)[..., None]


def _plain(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    return _grain(np.broadcast_to(base, (size, size, 3)), rng, size, 3.0)


def _stripes(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    _, v = _grid(size)
    count, share = int(rng.integers(3, 7)), rng.uniform(0.22, 0.4)
    phase = np.abs((v * count + rng.uniform()) % 1 - 0.5) / count
    return _grain(_blend(base, second, _edge(phase - share / 2 / count, size)), rng, size, 2.0)


def _speckle(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    weight = np.zeros((size, size), np.float32)
    for span, density in ((1, 0.02), (2, 0.008), (3, 0.003)):
        count = int(size * size * density)
        rows, columns = rng.integers(0, size, count), rng.integers(0, size, count)
        strength = rng.uniform(0.4, 1.0, count).astype(np.float32)
        for dy in range(span):
            for dx in range(span):
                weight[(rows + dy) % size, (columns + dx) % size] = strength
    return _grain(_blend(base, second, weight), rng, size, 5.0)


def _dots(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    u, v = _grid(size)
    count, radius = int(rng.integers(2, 4)) * 2, rng.uniform(0.24, 0.32)
    row = np.floor(v * count)
    x = (u * count + 0.5 * (row % 2) + rng.uniform()) % 1 - 0.5
    y = (v * count) % 1 - 0.5
    return _grain(_blend(base, second, _edge((np.hypot(x, y) - radius) / count, size)), rng, size, 2.0)


def _checks(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    # A woven check: one colour where a single band runs, the full accent only where two cross.
    u, v = _grid(size)
    count, share = int(rng.integers(3, 6)), rng.uniform(0.3, 0.42)
    across = _edge((np.abs((u * count) % 1 - 0.5) - share / 2) / count, size)
    along = _edge((np.abs((v * count) % 1 - 0.5) - share / 2) / count, size)
    return _grain(_blend(base, second, 0.5 * (across + along)), rng, size, 2.0)


def _gradient(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    _, v = _grid(size)
    start = rng.uniform(0.35, 0.5)
    weight = np.clip((v - start) / (1 - start), 0, 1) * rng.uniform(0.6, 0.85)
    return _grain(_blend(base, second, weight), rng, size, 2.0)


def _band(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    _, v = _grid(size)
    centre, width = rng.uniform(0.45, 0.7), rng.uniform(0.09, 0.14)
    offset = np.abs(v - centre)
    wide = _edge(offset - width, size)
    lines = _edge(np.abs(offset - width * 1.45) - 0.018, size)
    return _grain(_blend(base, second, np.maximum(wide, lines)), rng, size, 2.0)


def _wood(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    _, v = _grid(size)
    warp = noise(rng, size, 3, 2) * 0.07 + noise(rng, size, 8, 2) * 0.02
    rings = int(rng.integers(5, 9))
    phase = ((v + warp) * rings) % 1
    late = np.where(phase < 0.82, phase / 0.82, (1 - phase) / 0.18) ** 2  # slow to dark, then a sharp year's end
    fibres = noise(rng, size, size, 6)
    dark = np.where(np.abs(second - base).sum() > 12, 0.35 * second + 0.65 * base * 0.72, base * 0.72)
    image = _blend(base * 1.05, np.asarray(dark, np.float32), np.clip(0.12 + 0.6 * late, 0, 1))
    return image * (1 + 0.055 * fibres[..., None] + 0.03 * noise(rng, size, 3, 3)[..., None])


def _label(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    # Two equal labels side by side, so that one shows from each side of a can or carton.
    u, v = _grid(size)
    x, low, high = (u * 2) % 1, rng.uniform(0.14, 0.2), rng.uniform(0.78, 0.86)
    paper = np.asarray((246, 242, 232), np.float32) if base.mean() < 205 else base * 0.9 + second * 0.1
    image = np.broadcast_to(base, (size, size, 3))
    image = _blend(image, second, _edge(np.abs(v - (low + high) / 2) - (high - low) / 2 - 0.03, size))
    inside = np.maximum((np.abs(x - 0.5) - 0.34) / 2, np.abs(v - (low + high) / 2) - (high - low) / 2)
    image = _blend(image, base, _edge(np.abs(v - (low + high) / 2) - (high - low) / 2, size))
    image = _blend(image, paper, _edge(inside, size))
    emblem = (low + high) / 2 + (high - low) * 0.22
    radius = rng.uniform(0.13, 0.2)
    shape = (
        np.hypot((x - 0.5) / 2, v - emblem) - radius / 1.6
        if rng.uniform() < 0.6
        else (np.abs(x - 0.5) / 2 + np.abs(v - emblem) * 0.8 - radius / 1.8)
    )
    vivid = max(base, second, key=lambda colour: float(np.abs(colour - paper).sum()))
    image = _blend(image, vivid, _edge(np.asarray(shape, np.float32), size))
    ink: Plane = np.minimum(second, base) * np.float32(0.45)
    top = low + (high - low) * 0.38
    for line in range(3):
        width = (0.27, 0.2, 0.23)[line] * rng.uniform(0.75, 1.0)
        height = 0.026 if line == 0 else 0.012
        bar = np.maximum((np.abs(x - 0.5) - width) / 2, np.abs(v - (top - line * 0.075)) - height)
        image = _blend(image, vivid if line == 0 else ink, _edge(bar, size))
    return _grain(image, rng, size, 2.0)


def _marble(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    u, v = _grid(size)
    turbulence = noise(rng, size, 3, 3) * 0.5 + noise(rng, size, 7, 7) * 0.25 + noise(rng, size, 15, 15) * 0.12
    turns = rng.integers(1, 3, 2)
    veins = np.abs(np.sin(np.pi * (u * turns[0] + v * turns[1] + 1.6 * turbulence)))
    weight = 0.8 * np.clip(1 - veins * 3.2, 0, 1) ** 1.5 + 0.16 * (noise(rng, size, 4, 4) + 1)
    return _grain(_blend(base, second, np.clip(weight, 0, 1)), rng, size, 2.0)


def _brushed(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    streaks = noise(rng, size, size, 3) * 0.6 + noise(rng, size, size // 2, 7) * 0.4
    sheen = noise(rng, size, 3, 1)
    return base * (1 + 0.09 * streaks + 0.05 * sheen)[..., None]


def _weave(base: Plane, second: Plane, rng: np.random.Generator, size: int) -> Plane:
    u, v = _grid(size)
    count = int(rng.integers(5, 8)) * 2
    x, y = u * count, v * count
    over = ((np.floor(x) + np.floor(y)) % 2).astype(np.float32)
    round_x, round_y = np.sin(np.pi * (x % 1)), np.sin(np.pi * (y % 1))
    light = np.where(over > 0, 0.72 + 0.32 * np.sqrt(round_x), 0.72 + 0.32 * np.sqrt(round_y))
    threads = noise(rng, size, count, count) * 0.05
    image = _blend(base, second, (1 - over) * 0.35)
    return image * np.asarray(light + threads, np.float32)[..., None]


PATTERNS: dict[str, Callable[[Plane, Plane, np.random.Generator, int], Plane]] = {
    "plain": _plain,
    "stripes": _stripes,
    "speckle": _speckle,
    "dots": _dots,
    "checks": _checks,
    "gradient": _gradient,
    "band": _band,
    "wood": _wood,
    "label": _label,
    "marble": _marble,
    "brushed": _brushed,
    "weave": _weave,
}

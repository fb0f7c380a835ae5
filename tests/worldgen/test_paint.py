"""Patterns: every name paints, repeats and keeps its main colour."""

from __future__ import annotations

import time

import numpy as np
import pytest

from worldgen import vocabulary
from worldgen.errors import AssetError
from worldgen.paint import PATTERNS, paint

BLUE, CREAM = (44, 92, 186), (240, 230, 210)


def test_vocabulary_and_painter_know_the_same_patterns() -> None:
    assert set(vocabulary.patterns()) == set(PATTERNS)


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
@pytest.mark.parametrize("size", [32, 96, 128, 256])
def test_image_form(pattern: str, size: int) -> None:
    image = paint(pattern, BLUE, CREAM, 3, size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_seeds(pattern: str) -> None:
    first = paint(pattern, BLUE, CREAM, 1)
    assert (first == paint(pattern, BLUE, CREAM, 1)).all()
    assert (first != paint(pattern, BLUE, CREAM, 2)).any()


@pytest.mark.parametrize("pattern", sorted(set(PATTERNS) - {"wood", "weave", "label"}))
def test_main_colour_is_the_most_frequent(pattern: str) -> None:
    image = paint(pattern, BLUE, CREAM, 5).astype(float)
    to_main = np.abs(image - BLUE).sum(axis=2)
    to_second = np.abs(image - CREAM).sum(axis=2)
    assert (to_main < to_second).mean() > 0.5


@pytest.mark.parametrize("pattern", sorted(set(PATTERNS) - {"label"}))
def test_image_repeats_sideways(pattern: str) -> None:
    image = paint(pattern, BLUE, CREAM, 7).astype(float)
    inside = np.abs(np.diff(image, axis=1)).mean(axis=(0, 2))
    seam = np.abs(image[:, 0] - image[:, -1]).mean()
    assert seam <= max(1.5 * inside.max(), 6)


def test_unknown_pattern_names_the_valid_ones() -> None:
    with pytest.raises(AssetError, match=r"tartan.*checks"):
        paint("tartan", BLUE, CREAM, 0)


def test_speed() -> None:
    start = time.process_time()
    for seed in range(3):
        for pattern in PATTERNS:
            paint(pattern, BLUE, CREAM, seed)
    assert (time.process_time() - start) / (3 * len(PATTERNS)) < 0.02  # about 2 ms on a free core

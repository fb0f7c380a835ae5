"""Policies small enough that a test does not wait for them, and what they look at."""

from __future__ import annotations

from functools import cache

import numpy as np

from trainer.config import TrunkSettings
from trainer.policies.text import Words
from trainer.records import Interface
from worldgen.sim.worlds import Observations

SMALL = TrunkSettings(channels=16, blocks=1, width=32, slots=10, layers=1, heads=2)
FACE = Interface(size=32)


@cache
def words() -> Words:
    """The default tokenizer, learned once."""
    return Words.learn()


def observations(count: int, seed: int = 0) -> Observations:
    rng = np.random.default_rng(seed)
    told = ["put the red mug on the plate", "", "open the drawer", "x" * 10_000, "lift the zxqv ümläut"]
    return Observations(
        {"policy": rng.integers(0, 256, (count, 32, 32, 3), np.uint8)},
        rng.normal(size=(count, 7)).astype(np.float32),
        [told[index % len(told)] for index in range(count)],
    )

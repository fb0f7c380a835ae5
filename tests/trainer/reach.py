"""The smallest worlds that reinforcement learning can be tried on: a tool that should go somewhere, and policies for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trainer.config import Ppo, Rl
from trainer.episodes import exploring
from trainer.policies.flow import FlowPolicy
from trainer.rollout import Rollout, collect
from worldgen.sim.truth import PRIVILEGED
from worldgen.sim.world import End
from worldgen.sim.worlds import Observations, Start, Transitions

from .handmade import Imagined
from .policies.handmade import FACE, SMALL, words

REACH = 0.03
"""How near the tool must come to the target [m]."""


class Reach(Imagined):
    """Worlds whose tool is moved about a square; where it should go stands in the state. An episode is 4 decisions."""

    def __init__(self, slots: int = 64) -> None:
        self.slots = slots
        self.now: dict[int, np.ndarray] = {}
        self.target: dict[int, np.ndarray] = {}
        self.looks: dict[int, int] = {}
        self.over: dict[int, End] = {}

    def reset(self, starts: Sequence[Start], slots: Sequence[int] | None = None) -> Observations:
        assert slots is not None
        for start, slot in zip(starts, slots, strict=True):
            rng = np.random.default_rng(start.seed)
            self.now[slot], self.target[slot] = rng.uniform(-0.1, 0.1, (2, 2))
            self.looks[slot], self.over[slot] = 0, ""
        return self._show(slots)

    def step(self, chunks: np.ndarray, slots: Sequence[int] | None = None) -> Transitions:
        assert slots is not None
        paid, steps = [], []
        for slot, chunk in zip(slots, chunks, strict=True):
            before, done = self._away(slot), 0
            for action in chunk:
                self.now[slot] = np.clip(self.now[slot] + np.clip(action[:2], -0.02, 0.02), -0.2, 0.2)
                done += 1
                if self._away(slot) < REACH:
                    self.over[slot] = "success"
                    break
            self.looks[slot] += 1
            if not self.over[slot] and self.looks[slot] == 4:
                self.over[slot] = "timeout"
            paid.append(5 * (before - self._away(slot)) + (self.over[slot] == "success"))
            steps.append(done)
        count = np.array(steps)
        return Transitions(
            self._show(slots), np.array(paid, np.float32), [self.over[slot] for slot in slots], count, count * 0
        )

    def _away(self, slot: int) -> float:
        return float(np.linalg.norm(self.target[slot] - self.now[slot]))

    def _show(self, slots: Sequence[int]) -> Observations:
        state = np.zeros((len(slots), 7), np.float32)
        for row, slot in enumerate(slots):
            state[row, :4] = [*self.now[slot], *(self.target[slot] - self.now[slot])]
        privileged = np.zeros((len(slots), PRIVILEGED), np.float32)
        privileged[:, :4] = state[:, :4]
        privileged[:, 4] = [self.looks[slot] for slot in slots]
        images = np.full((len(slots), FACE.size, FACE.size, 3), 90, np.uint8)
        return Observations({"policy": images}, state, ["go"] * len(slots), privileged)


def policy(kind: type[Any] = FlowPolicy) -> Any:
    torch.manual_seed(0)
    made = kind(FACE, SMALL, words(), layers=1)
    made.statistics.fit("action", np.random.default_rng(0).normal(0, 0.02, (50, 7)), 1e-3)
    made.statistics.fit("state", np.random.default_rng(0).normal(0, 0.08, (50, 7)), 1e-3)
    for name in ("expert.leave.weight", "leave.weight"):
        if name in (found := dict(made.named_parameters())):
            torch.nn.init.normal_(found[name], std=0.05)
    return made.eval()


def config(**changes: Any) -> Rl:
    made = Rl(algorithm=Ppo(warm=0), episodes=16, batch=32, steps=2, noise=0.3, trunk_lr=0.0, threads=1, kl=9.0)
    return replace(made, **changes)


def rollout(actor: Any, starts: Sequence[Start] | None = None, settings: Rl | None = None) -> Rollout:
    settings = settings or config()
    starts = starts or [Start("a", seed) for seed in range(settings.episodes)]
    noise = exploring(settings, settings.noise)
    return collect(actor, Reach(), starts, noise, torch.Generator().manual_seed(0))

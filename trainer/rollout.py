"""What a policy did in many episodes, with all that learning from it needs. Knows policies and worlds, no losses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldgen.sim.worlds import Observations, Start

from .advantages import Decided
from .config import Sampler
from .demos import in_order
from .errors import RunError
from .play import Course, Slotted, play
from .policies.base import Inputs, as_pictures
from .sentences import unheard


@dataclass(frozen=True)
class Rollout:
    """N decisions of E episodes, episode after episode."""

    images: NDArray[np.uint8]
    """(N, V, S, S, 3)"""
    state: Tensor
    """(N, S)"""
    pieces: Tensor
    """(N, L)"""
    privileged: Tensor
    """(N, PRIVILEGED)"""
    trace: Mapping[str, Any]
    """What `Policy.density` needs, and what was seen: tensors of N rows, and settings."""
    acted: Tensor
    """(N,) log-densities as the policy gave them when it acted."""
    decided: Decided
    """What was paid: a chunk's reward with the last action of it that was executed."""
    courses: Sequence[Course]
    """The E episodes, without their pictures."""

    def __len__(self) -> int:
        return len(self.state)

    def inputs(self, rows: Tensor) -> Inputs:
        """Return what was seen at some decisions."""
        return Inputs(as_pictures(self.images[rows.numpy()]), self.state[rows], self.pieces[rows])

    def traced(self, rows: Tensor) -> dict[str, Any]:
        """Return the trace of some decisions."""
        return {name: part[rows] if isinstance(part, Tensor) else part for name, part in self.trace.items()}

    def density(self, policy: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-densities (R, A, D) and entropies (R,) of some decisions, from what was seen then, with gradients of what decides."""
        trace = self.traced(rows)
        found: tuple[Tensor, Tensor] = policy.density(
            policy.memory(trace["seen"], trace["points"], self.state[rows]), trace
        )
        return found

    @torch.no_grad()
    def remembered(self, policy: Any) -> Tensor:
        """Return (N, F + 1) `Acting.summary` of what was seen, and how many actions had been executed by then."""
        seen = policy.summary(policy.memory(self.trace["seen"], self.trace["points"], self.state))
        before = np.cumsum(self.decided.steps) - self.decided.steps
        firsts = np.append(0, np.flatnonzero(self.decided.last)[:-1] + 1)
        gone = torch.from_numpy(before - before[firsts][self.decided.episodes()])
        return torch.cat([seen, gone[:, None].float()], dim=1)

    def of(self, kept: NDArray[np.bool_]) -> Rollout:
        """Return some of the episodes (E,)."""
        rows = torch.from_numpy(np.flatnonzero(kept[self.decided.episodes()]))
        index = rows.numpy()
        decided = Decided(*(getattr(self.decided, field.name)[index] for field in fields(Decided)))
        return Rollout(
            self.images[index], self.state[rows], self.pieces[rows], self.privileged[rows], self.traced(rows), self.acted[rows],
            decided, [course for course, stays in zip(self.courses, kept, strict=True) if stays],
        )  # fmt: skip


def collect(
    policy: Any, worlds: Slotted, starts: Sequence[Start], sampler: Sampler, rng: torch.Generator, strange: float = 0.0
) -> Rollout:
    """Play each start once and return what was done; episodes that went wrong in the simulator are left out.

    `strange` is the share of the names of things that are said as words nobody knows (see `unheard`), the same each time of a start.

    Raises:
        RunError: When all of them did.
    """
    traces: dict[int, list[tuple[dict[str, Any], float, Tensor]]] = defaultdict(list)

    def decide(seen: Observations, courses: list[Course]) -> NDArray[np.float32]:
        for course in courses:
            if strange and course.index not in traces:
                course.instruction = unheard(
                    course.instruction, strange, np.random.default_rng([course.start.seed, 17])
                )
        made = policy.act(replace(seen, instruction=[course.instruction for course in courses]), rng, sampler)
        pieces = made.trace["inputs"].pieces
        for row, course in enumerate(courses):
            kept = {name: part[row] for name, part in made.trace.items() if isinstance(part, Tensor)}
            traces[course.index].append((kept, float(made.logp[row]), pieces[row]))
        settings.update({name: part for name, part in made.trace.items() if not isinstance(part, Tensor | Inputs)})
        return np.asarray(made.actions)

    settings: dict[str, Any] = {}
    courses = [
        course for course in in_order(play(decide, worlds, starts)) if course.end != "invalid" and course.moments
    ]
    if not courses:
        raise RunError("No episode could be played. Look at the library with `worldgen check`.")
    moments = [moment for course in courses for moment in course.moments]
    made = [item for course in courses for item in traces[course.index]]
    last = np.zeros(len(moments), bool)
    last[np.cumsum([len(course.moments) for course in courses]) - 1] = True
    steps = np.array([moment.steps for moment in moments])
    rewards = np.zeros((len(moments), policy.chunk))
    rewards[np.arange(len(moments)), np.maximum(steps - 1, 0)] = [
        moment.reward for moment in moments
    ]  # paid at its end
    rollout = Rollout(
        images=np.stack(
            [np.stack([moment.images[camera] for camera in policy.interface.cameras]) for moment in moments]
        ),
        state=torch.from_numpy(np.stack([moment.state for moment in moments]).astype(np.float32)),
        pieces=torch.stack([pieces for *_, pieces in made]),
        privileged=torch.from_numpy(np.stack([m.privileged for m in moments if m.privileged is not None])),
        trace={**{name: torch.stack([kept[name] for kept, *_ in made]) for name in made[0][0]}, **settings},
        acted=torch.tensor([logp for _, logp, _ in made]),
        decided=Decided(rewards, steps, last, last),  # the time limit is part of the task, and of what a critic sees
        courses=courses,
    )
    for course in courses:
        course.forget()
    return rollout


def joined(parts: Sequence[Rollout]) -> Rollout:
    """Return several rollouts as one."""
    if len(parts) == 1:
        return parts[0]
    tensors = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in ("state", "pieces", "privileged", "acted")
    }
    trace = {
        name: torch.cat([part.trace[name] for part in parts]) if isinstance(value, Tensor) else value
        for name, value in parts[0].trace.items()
    }
    decided = Decided(
        *(np.concatenate([getattr(part.decided, field.name) for part in parts]) for field in fields(Decided))
    )
    images = np.concatenate([part.images for part in parts])
    return Rollout(
        images=images, trace=trace, decided=decided, courses=[c for part in parts for c in part.courses], **tensors
    )

"""What passes between the trainer's parts: what a policy is made for, what it decides, what came of an episode. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldgen.sim.stage import View
from worldgen.sim.world import End

from .errors import RunError

ACTION = 7
"""Numbers of an action: Δxyz [m], rotation vector [rad] in the base frame, gripper 0 closed … 1 open."""
ACTION_NAMES = ("dx", "dy", "dz", "rx", "ry", "rz", "gripper")
STATE_NAMES = ("x", "y", "z", "rx", "ry", "rz", "gripper")
"""Tool position [m], rotation vector from pointing down [rad], gripper 0 … 1; see `worldgen.sim.world.Observation.state`."""


SIDE = 32
"""Sizes of pictures are multiples of this [px]."""


@dataclass(frozen=True)
class Interface:
    """What a policy sees and does; that of a dataset must be the same for it to be trained on."""

    robot: str = "widowx"
    rate_hz: float = 5.0
    """Actions a second."""
    cameras: tuple[str, ...] = ("policy",)
    size: int = 96
    """Width and height of every picture [px]."""
    state: tuple[str, ...] = STATE_NAMES
    action: tuple[str, ...] = ACTION_NAMES

    def __post_init__(self) -> None:
        if not (isinstance(self.rate_hz, int | float) and 0 < self.rate_hz <= 1e4):
            raise ValueError(f"{self.rate_hz!r} actions a second make no sense")
        if not (isinstance(self.size, int) and 1 <= self.size <= 4096):
            raise ValueError(f"pictures of {self.size!r} px make no sense: 1 to 4096 are allowed")
        if not self.cameras or len(set(self.cameras)) < len(self.cameras):
            raise ValueError(
                f"cameras {' '.join(map(str, self.cameras)) or '(none)'} make no sense: one or more, each once"
            )

    def views(self) -> tuple[View, ...]:
        """Return the pictures that worlds are to show."""
        return tuple(View(camera, self.size, self.size) for camera in self.cameras)

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Interface:
        """Return what `dataclasses.asdict` made JSON of.

        Raises:
            KeyError, TypeError, ValueError: When it is something else.
        """
        if missing := [each.name for each in fields(cls) if each.name not in value]:
            raise KeyError(missing[0])
        own: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
        return cls(**own)

    def differences(self, other: Interface) -> list[str]:
        """Return in words what is not the same; what this one has first."""
        pairs = ((each.name, getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return [f"{name} {own!r} against {others!r}" for name, own, others in pairs if own != others]


def require_size(size: int) -> None:
    """Refuse a size of pictures that no policy looks at.

    Raises:
        RunError: When it is no multiple of `SIDE`.
    """
    if size < SIDE or size % SIDE:
        raise RunError(f"size {size} px is no multiple of {SIDE}: policies look at 32, 64, 96, 128 ... px.")


@dataclass(frozen=True)
class Demonstration:
    """One episode as it is kept in a dataset, a row a control step."""

    images: dict[str, NDArray[np.uint8]]
    """Camera → (T, H, W, 3) sRGB, before the action."""
    state: NDArray[np.float32]
    """(T, S), before the action."""
    action: NDArray[np.float32]
    """(T, 7), as executed."""
    perturbed: NDArray[np.bool_]
    """(T,) Whether the action was a disturbance on purpose: not to be imitated."""
    instruction: str
    success: bool
    source: dict[str, Any] = field(default_factory=dict)
    """Where it comes from: scene, seed, family, domain."""
    privileged: NDArray[np.float32] | None = None
    """(T, P) what only a simulator knows, before the action; see `worldgen.sim.truth.Truth.vector`."""


@dataclass(frozen=True)
class Decisions:
    """What a policy decided for N observations."""

    actions: NDArray[np.float32]
    """(N, C, 7) in physical units."""
    trace: dict[str, Any]
    """What `Policy.score` needs to compute the density of these decisions again: tensors with N rows."""
    logp: NDArray[np.float32]
    """(N,) log-density of what is executed; 0 where the sampler is deterministic."""


@dataclass(frozen=True)
class Played:
    """What came of one episode of an evaluation."""

    scene: str
    seed: int
    split: str
    family: str
    """Task family: pick-and-place, stack, push, open, close, lift."""
    target: str
    """Category of what was to be moved."""
    instruction: str
    end: End
    failure: str
    """"" for a success; else "never touched", "dropped", "wrong object", "missed", "timed out" or "invalid"."""
    seconds: float
    """Simulated time [s]."""
    decisions: int
    video: str = ""
    """Path of its film, relative to the report; empty for none."""

    @property
    def success(self) -> bool:
        """Whether the goals were reached."""
        return self.end == "success"

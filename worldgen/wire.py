"""What passes between the designer and its backends: a request, a brief, a flat draft of a scene, a budget. Knows words only.

`WireScene` is small and closed enough for the strict structured output of language models: every field required, no
defaults, no unions. `designer.to_spec` makes the rich `SceneSpec` from it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from .errors import BudgetError, DesignError, Problem
from .spec import Role

Split = Literal["train", "unseen-objects", "unseen-categories", "unseen-instructions", "unseen-backgrounds"]
SPLITS: tuple[Split, ...] = (
    "train",
    "unseen-objects",
    "unseen-categories",
    "unseen-instructions",
    "unseen-backgrounds",
)


@dataclass(frozen=True)
class Request:
    """What a user wants: a sentence, for a robot, in a split, under a seed."""

    text: str
    robot: str = "widowx"
    split: Split = "train"
    seed: int = 0
    photo: Path | None = None
    """Photo of a real table to rebuild; language models only."""
    looks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Categories that there are pictures of, each with its colours: to be preferred where nothing is said."""


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WireObject(_Wire):
    """One object, in words and one length."""

    name: str = Field(description="unique lower_snake_case name")
    category: str = Field(description="a category from the list")
    colour: str = Field(description="a colour from the list")
    material: str = Field(description="a material from the list")
    pattern: str = Field(description="a pattern from the list; 'plain' when in doubt")
    description: str = Field(description="one short phrase on how it looks")
    longest_cm: float = Field(description="longest side in centimetres; 0 for the usual size")
    role: Role = Field(
        description="target: is moved or opened; container: receives it; distractor: not in the task; fixture: fixed"
    )
    relation: Literal["on", "in", "near", "free"] = Field(
        description="how it stands relative to relative_to; free: anywhere on the table"
    )
    relative_to: str = Field(description="name of another object, or 'table'")


class WireGoal(_Wire):
    """One condition that must hold at the end."""

    kind: Literal["on", "in", "near", "lifted", "pushed", "open", "closed"]
    target: str = Field(description="name of the object that moves, opens or closes")
    other: str = Field(description="name of the support, container, neighbour or zone; '' for lifted, open, closed")


class WireScene(_Wire):
    """A whole scene and its task."""

    surface: str = Field(description="a table surface from the list")
    room: str = Field(description="a room from the list")
    light: Literal["neutral", "bright", "dim", "warm", "cool"]
    objects: list[WireObject]
    instruction: str = Field(description="what the robot is told, one imperative sentence")
    paraphrases: list[str] = Field(
        description="3 to 6 other ways to say it, each naming the same objects unambiguously"
    )
    goals: list[WireGoal]


@dataclass(frozen=True)
class HeldOut:
    """Words of the vocabulary that the training split of a request does without."""

    categories: tuple[str, ...]
    surfaces: tuple[str, ...]
    rooms: tuple[str, ...]


@dataclass(frozen=True)
class Message:
    """One turn of the conversation with a language model."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Brief:
    """Everything that a backend may use for one draft."""

    request: Request
    gripper_opening: float
    """Width between the open gripper's pads [m]."""
    held_out: HeldOut
    categories: tuple[str, ...]
    """Categories that any object may have in this split."""
    task_categories: tuple[str, ...]
    """Categories that the target must have, and its container or support wherever one of them can serve."""
    surfaces: tuple[str, ...]
    rooms: tuple[str, ...]
    messages: tuple[Message, ...] = ()
    """The conversation so far: instructions, request, then each refused reply and what was wrong with it."""
    problems: tuple[Problem, ...] = ()
    """What was wrong with the last draft; empty for the first."""

    def digest(self) -> str:
        """Return the SHA-256 of all that a language model is shown, the schema too: the key of a saved reply."""
        messages = [[message.role, message.text] for message in self.messages]
        shown = json.dumps([WireScene.model_json_schema(), messages], ensure_ascii=False, sort_keys=True)
        photo = self.request.photo.read_bytes() if self.request.photo else b""
        return hashlib.sha256(shown.encode() + hashlib.sha256(photo).digest()).hexdigest()


@dataclass(frozen=True)
class Usage:
    """Tokens of one call."""

    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Draft:
    """One reply of a backend: the JSON text of a `WireScene`, as it came."""

    text: str
    model: str = ""
    usage: Usage = Usage()
    truncated: bool = False
    """The model stopped at its length limit."""


class DeclinedError(DesignError):
    """A language model that answered, and was paid, but would not draft this request."""

    def __init__(self, message: str, model: str = "", usage: Usage = Usage()) -> None:
        self.model, self.usage = model, usage
        super().__init__(message)


@dataclass
class Budget:
    """Caps on what language models may cost, and what they have cost so far. None is no cap."""

    max_calls: int | None = None
    max_tokens: int | None = None
    max_usd: float | None = None
    max_seconds: float | None = None
    """Wall time since the budget was made [s]."""
    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    started: float = field(default=-1.0, repr=False)

    def __post_init__(self) -> None:
        if self.started < 0:
            self.started = self.clock()
        if self.max_usd is not None and not (self.usd_per_million_in or self.usd_per_million_out):
            raise BudgetError(
                f"max_usd is {self.max_usd:g}, but no price is known. Give usd_per_million_in and usd_per_million_out."
            )

    @property
    def usd(self) -> float:
        """Money spent so far."""
        return (self.tokens_in * self.usd_per_million_in + self.tokens_out * self.usd_per_million_out) / 1e6

    def seconds_left(self) -> float:
        """Return the wall time left [s]; infinity without a cap."""
        return float("inf") if self.max_seconds is None else self.max_seconds - (self.clock() - self.started)

    def start_call(self) -> None:
        """Count one call; refuse it with `BudgetError` where a cap is reached."""
        tokens = self.tokens_in + self.tokens_out
        for name, cap, spent in (
            ("max_calls", self.max_calls, self.calls),
            ("max_tokens", self.max_tokens, tokens),
            ("max_usd", self.max_usd, self.usd),
            ("max_seconds", self.max_seconds, self.clock() - self.started),
        ):
            if cap is not None and spent >= cap:
                raise BudgetError(
                    f"The language-model budget is used up: {name} is {cap:g}, {spent:.6g} spent. Raise {name}."
                )
        self.calls += 1

    def charge(self, usage: Usage) -> None:
        """Add the tokens of a finished call."""
        self.tokens_in += usage.tokens_in
        self.tokens_out += usage.tokens_out


@dataclass(frozen=True)
class DrafterSettings:
    """How the designer's backend is reached. The rules use none of it."""

    model: str = ""
    """Model name at the endpoint; empty takes OPENAI_MODEL."""
    base_url: str = ""
    """An OpenAI-compatible endpoint; empty takes OPENAI_BASE_URL, then OpenAI's own. The key comes from OPENAI_API_KEY only."""
    replies: Path | None = None
    """Folder of saved replies: written by language models, read by 'recorded'."""
    timeout: float = 60.0
    """Longest wait for one call [s]."""
    attempts: int = 5
    """Tries of one call when the endpoint is busy or unreachable."""
    temperature: float | None = None
    """Sampling temperature; None leaves the endpoint's own."""


class Drafter(Protocol):
    """A backend of the designer. Its class is called with `DrafterSettings`."""

    name: str
    model: str

    def draft(self, brief: Brief, budget: Budget) -> Draft:
        """Return one draft for the brief; charge what it costs to the budget.

        Raises:
            DeclinedError: When the model will not.
            DesignError: When no draft can come, now or by asking again.
        """
        ...

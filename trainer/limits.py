"""What settings may be: bounds stand with each setting, and are checked before any work is done."""

from __future__ import annotations

import math
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, get_type_hints

from .errors import RunError


@dataclass(frozen=True)
class Within:
    """The least and the greatest that a number may be."""

    low: float
    high: float = math.inf

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"at least {self.low:g}" if math.isinf(self.high) else f"from {self.low:g} to {self.high:g}"


Count = Annotated[int, Within(1)]
Natural = Annotated[int, Within(0)]
Amount = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1)]
Positive = Annotated[float, Within(1e-12)]


def require(config: Any) -> None:
    """Check all numbers of a settings record, those within it too.

    Raises:
        RunError: Naming each that is out of bounds.
    """
    if wrong := broken(config):
        raise RunError(f"{'; '.join(wrong)}.")


def broken(config: Any, prefix: str = "") -> list[str]:
    """Return in words which numbers of a settings record are out of bounds."""
    found = []
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        value = getattr(config, name)
        if is_dataclass(value):
            found += broken(value, "" if name == "algorithm" else f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            bounds = next((each for each in _marks(hint) if isinstance(each, Within)), Within(-math.inf))
            if value not in bounds:
                shown = "a finite number" if math.isinf(bounds.low) else bounds
                found.append(f"{prefix}{name} {value} must be {shown}".replace("_", "-"))
    return found


def _marks(hint: Any) -> tuple[Any, ...]:
    """Return what annotates a type, or a member of a union of types."""
    own = getattr(hint, "__metadata__", ())
    return (*own, *(mark for part in getattr(hint, "__args__", ()) for mark in _marks(part)))

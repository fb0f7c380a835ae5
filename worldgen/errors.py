"""The errors that worldgen raises on purpose, and the sentence form that every finding takes. Knows no other module."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, as a person or a language model can act on it.

    Attributes:
        path: Where, as a dotted path into the spec ("objects.mug.size") or a gate's name ("settle").
        message: What is wrong, with the value and what is allowed.
        fix: What to do about it.
    """

    path: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f" Fix: {self.fix}" if self.fix else "")


class WorldgenError(Exception):
    """Root of all errors that a user can act on. The CLI prints one as one line and exits 1."""


class SpecError(WorldgenError):
    """A scene spec that contradicts itself; `problems` holds every finding, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class DesignError(WorldgenError):
    """A request that no designer backend could turn into a valid spec."""


class EndpointError(DesignError):
    """A language model that cannot be reached or does not let us in: no fault of the request, so a batch stops and resumes."""


class BudgetError(EndpointError):
    """A language-model budget (calls, tokens, money or time) is used up."""


class AssetError(WorldgenError):
    """An object that could not be made, or a mesh that cannot become one."""


class MakerError(WorldgenError):
    """A model or server that makes objects cannot be had: no fault of the object, so a batch stops and resumes."""


class LayoutError(WorldgenError):
    """An object that does not fit; `name` says which."""

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        super().__init__(message)


class RobotError(WorldgenError):
    """An unknown robot or a recipe that does not fit its model."""


class StoreError(WorldgenError):
    """The content-addressed store cannot be read or written."""


class SceneError(WorldgenError):
    """A scene folder that is damaged, unsafe or cannot be compiled."""


class LibraryError(WorldgenError):
    """A library folder that is not one, is newer than this version, or cannot be written."""


class RenderError(WorldgenError):
    """No way to draw on this machine."""


class ActionError(WorldgenError):
    """An action that is no seven finite numbers."""


class DomainError(WorldgenError):
    """An unknown randomisation preset, or one whose ranges make no sense."""


class WorldsError(WorldgenError):
    """Many worlds that cannot be played at once here: no memory left, or a worker that does not start."""


def printable(text: str) -> str:
    """Return text with escapes for what does not print: names of files and what files hold may drive a terminal."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)

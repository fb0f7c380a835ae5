"""Examine finished scenes anew: their files, whether they are safe to open, every gate. Knows libraries, builds nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import checks, store
from .errors import Problem, WorldgenError
from .library import Check, Scene, SceneLibrary
from .workers import check_workers, executor

Tell = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


@dataclass(frozen=True)
class CheckRow:
    """What a new examination of one scene found."""

    name: str
    checks: tuple[Check, ...]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether the scene passes."""
        return not self.problems


def check(path: Path, *, workers: int = 1, progress: Tell | None = None) -> list[CheckRow]:
    """Examine all scenes of a library, or the one scene at `path`, anew: files, safety, gates.

    Raises:
        LibraryError: When the folder is no library.
    """
    check_workers(workers)
    if (path / "scene.json").exists() or (path / "scene.xml").exists():
        return [check_one(path)]
    folders = [path / "scenes" / name for name in SceneLibrary.open(path).index().scenes]
    rows: list[CheckRow] = []
    with executor(workers) as pool:
        for row in pool.map(check_one, folders):
            rows.append(row)
            if progress:
                progress(len(rows), len(folders))
    return rows


def check_one(folder: Path) -> CheckRow:
    """Examine one scene folder anew."""
    found = [
        Problem("files", f"{message}.", "Build the scene again.")
        for message in store.damage(folder, surplus_counts=False)
    ]
    try:
        scene = Scene.open(folder)
        entries = store.Store(scene.root / "assets")
        keys = sorted({*scene.record.assets.values(), *scene.record.textures.values()})
        arm = scene.root / "robots" / scene.record.spec.robot
        found += [
            Problem("files", f"robots/{arm.name}: {what}.", "Make the library again.") for what in store.damage(arm)
        ]
        found += [
            Problem("files", f"assets/{key}: {what}.", "Build the library again.")
            for key in keys
            for what in store.damage(entries.folder(key))
        ]
        examined = checks.examine(scene)
    except WorldgenError as error:
        return CheckRow(folder.name, (), (*found, Problem("load", str(error))))
    except (KeyError, IndexError) as error:  # a record that names what the scene lacks
        return CheckRow(
            folder.name,
            (),
            (*found, Problem("load", f"scene.xml and scene.json do not fit: {error}.", "Build the scene again.")),
        )
    return CheckRow(folder.name, examined, (*found, *checks.problems(examined)))

"""What the command line shows: progress on stderr, tables on stdout. Knows records; decides nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from .assets import Asset
from .build import Outcome
from .errors import printable
from .library import Check, Scene
from .pipeline import Report
from .play import Played
from .recheck import CheckRow
from .robots import Robot

_LOG_SECONDS = 10.0


class Tell(Protocol):
    """What long work calls as it goes on."""

    def __call__(self, done: int, wanted: int, outcome: Outcome | None = None) -> None: ...


@contextmanager
def progress(total: int, verb: str = "making") -> Iterator[Tell]:
    """Show a bar on a terminal, and a line every ten seconds elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(verb)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(verb, total=total or None)

        def tell(done: int, wanted: int, outcome: Outcome | None = None) -> None:
            bar.update(task, completed=done, total=wanted)
            for line in _complaints(outcome):
                bar.console.print(line, style="yellow", highlight=False, markup=False)

        yield tell


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say what takes a while: with a spinner on a terminal, as a line elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(escape(printable(what))):
            yield
    else:
        console.print(printable(what), highlight=False, markup=False, soft_wrap=True)
        yield


class _Lines:
    """Progress for logs."""

    def __init__(self, verb: str) -> None:
        self.verb, self.last = verb, time.monotonic()

    def __call__(self, done: int, wanted: int, outcome: Outcome | None = None) -> None:
        for line in _complaints(outcome):
            print(line, file=sys.stderr)
        if done == wanted or time.monotonic() - self.last >= _LOG_SECONDS:
            self.last = time.monotonic()
            print(f"{self.verb}: {done} of {wanted}", file=sys.stderr, flush=True)


def _complaints(outcome: Outcome | None) -> list[str]:
    if outcome is None or outcome.accepted or outcome.cached:
        return []
    last = outcome.rejections[-1]
    return [f"scene {outcome.name} given up after {last.attempt + 1} tries ({last.gate}): {last.message}"]


def show_report(report: Report) -> None:
    """Print what a batch came to."""
    console = Console()
    console.print(
        f"{report.accepted} of {report.wanted} scenes in [bold]{escape(str(report.root))}[/] ({report.built} tried now)",
        highlight=False,
    )
    if report.rejections:
        reasons = ", ".join(f"{gate} {count}" for gate, count in report.rejections.most_common())
        console.print(f"rejected attempts: {reasons}", highlight=False)
    if report.accepted:
        print(f"look: worldgen gallery {report.root}")
        print(f"play: worldgen view {report.root}/scenes/{report.first}")


_COLUMNS = {
    "over-\nlap mm": "penetration",
    "drift\nmm": "drift",
    "tilt\ndeg": "tilt",
    "path\nmm": "path",
    "goal": "goal",
    "grip\nused": "graspable",
    "seen\npx": "visible",
    "hid-\nden": "occlusion",
    "x real\ntime": "speed",
    "sol-\nved": "solved",
    "sec-\nonds": "time",
}
"""Heading → gate, or the start of the names of several."""


def show_checks(rows: Iterable[CheckRow]) -> None:
    """Print a row a scene and, below, every failure in full."""
    rows = list(rows)
    table = Table("scene", "", *_COLUMNS)
    for row in rows:
        cells = [_cell([check for check in row.checks if check.name.startswith(name)]) for name in _COLUMNS.values()]
        table.add_row(row.name, "[green]ok[/]" if row.ok else "[red]FAIL[/]", *cells)
    console = Console()
    if not console.is_terminal:  # a log has room for all columns
        console = Console(width=max(console.width, 160))
    console.print(table)
    for row in rows:
        for problem in row.problems:
            console.print(f"{row.name}: {problem}", style="red", highlight=False, markup=False)
    console.print(f"{sum(row.ok for row in rows)} of {len(rows)} scenes pass", highlight=False)


def _cell(found: list[Check]) -> str:
    if not found:
        return ""
    value = found[0].value
    if value is None:
        text = "yes" if all(check.ok for check in found) else "no"
    else:
        text = f"{value:.0f}" if value >= 10 or value < 0.005 else f"{value:.2f}"
    if not all(check.ok for check in found):
        return f"[red]{text}[/]"
    return f"[yellow]{text}[/]" if any(check.warning for check in found) else text


def show_played(found: Sequence[Played]) -> None:
    """Print a row an episode, and how many succeeded."""
    table = Table("scene", "seed", "end", "seconds", "")
    for played in found:
        colour = "green" if played.end == "success" else "red"
        row = (played.scene, str(played.seed), f"[{colour}]{played.end}[/]", f"{played.seconds:.1f}", played.trouble)
        table.add_row(*row[:4], escape(row[4]))
    console = Console()
    console.print(table)
    solved = [played for played in found if played.end == "success"]
    mean = f", {sum(played.seconds for played in solved) / len(solved):.1f} s on average" if solved else ""
    console.print(f"{len(solved)} of {len(found)} episodes succeeded{mean}", highlight=False)


def show_scenes(scenes: Iterable[Scene]) -> None:
    """Print a row a scene."""
    table = Table("scene", "split", "task", "instruction", "objects")
    for scene in scenes:
        record = scene.record
        things = ", ".join(f"{item.colour} {item.category}" for item in record.spec.objects)
        table.add_row(*map(escape, (scene.name, record.split, record.family, record.spec.task.instruction, things)))
    Console().print(table)


def show_robots(found: Iterable[Robot]) -> None:
    """Print a row an arm."""
    table = Table("robot", "", "joints", "gripper opens", "reach from above")
    for robot in found:
        recipe = robot.recipe
        reach = f"{recipe.reach.inner:.2f} to {recipe.reach.outer:.2f} m"
        table.add_row(
            recipe.name, recipe.title, str(len(recipe.joints)), f"{1000 * recipe.gripper.opening:.0f} mm", reach
        )
    Console().print(table)


def show_asset(asset: Asset, folder: Path) -> None:
    """Print what an import came to."""
    table = Table(show_header=False)
    size = " x ".join(f"{1000 * extent:.0f}" for extent in asset.size)
    table.add_row("folder", escape(str(folder)))
    table.add_row("size", f"{size} mm")
    table.add_row("mass", f"{1000 * asset.mass:.1f} g of {asset.material}")
    if asset.priors:
        by = f", as {asset.priors.narrowed_by} sees it" if asset.priors.narrowed_by else ""
        density, friction = asset.priors.density, asset.priors.friction
        table.add_row("density", f"{density.low:.0f} to {density.high:.0f} kg/m3{escape(by)}")
        table.add_row("friction", f"{asset.friction:g}; {friction.low:g} to {friction.high:g}{escape(by)}")
    table.add_row("collision parts", str(asset.cost.geoms))
    if asset.fidelity:
        table.add_row("", f"share {asset.fidelity.iou:.0%} of the volume with the mesh (IoU)")
        table.add_row("", f"leave {asset.fidelity.cavity:.0%} of what is hollow free")
        table.add_row("", f"are {asset.fidelity.distance_p99_mm:.1f} mm from its surface at most (99th percentile)")
    table.add_row("cost at rest", f"{asset.cost.step_us:.0f} us a step")
    licence = asset.provenance.licence + ("" if asset.provenance.may_train else " (not for training)")
    table.add_row("licence", escape(licence))
    for note in asset.notes:
        table.add_row("note", escape(note))
    Console().print(table)

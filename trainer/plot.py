"""Learning curves as a picture. Knows logs of runs, not how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import RunError
from .metrics import read_log

_SHOWN = (
    ("unseen", "success on never-trained scenes"),
    ("success", "success while playing, with noise"),
    ("return", "return"),
    ("kl", "divergence from what played"),
    ("clipped", "share of decisions that count no more"),
    ("explained", "variance that the critic explains"),
)
"""Figures that are drawn, where a log has them."""
_ENDS = {"unseen": ("unseen low", "unseen high"), "success": ("low", "high")}
"""The ends of the intervals of those that have any."""
_KINDS = (".png", ".pdf", ".svg")


def plot(runs: Sequence[Path], out: Path) -> None:
    """Draw the curves of runs beside each other.

    Args:
        runs: Folders.
        out: Picture to write.

    Raises:
        RunError: When a folder holds no log, the picture is of no known kind, or matplotlib is not installed.
    """
    if out.suffix not in _KINDS:
        raise RunError(f"'{out}' must end in {', '.join(_KINDS)}.")
    if not runs:
        raise RunError("No run was named. Give the folder of one or more: trainer plot runs/rl.")
    logs = [read_log(run / "metrics.jsonl") for run in runs]
    shown = [(name, title) for name, title in _SHOWN if any(_curve(log, name) for log in logs)]
    if not shown:
        names = ", ".join(map(str, runs))
        raise RunError(
            f"The logs of {names} hold none of {', '.join(name for name, _ in _SHOWN)}: give runs of `trainer rl`."
        )
    try:
        import_module("matplotlib").use("Agg")
        pyplot = import_module("matplotlib.pyplot")
    except ImportError as error:
        raise RunError("matplotlib is not installed: pip install 'worldgen-trainer[train]'.") from error
    rows = -(-len(shown) // 2)
    figure, axes = pyplot.subplots(rows, 2, figsize=(11, 3.2 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(shown) :]:
        axis.remove()
    for axis, (name, title) in zip(axes.flat, shown, strict=False):
        for number, log in enumerate(logs):
            _draw(axis, log, name, f"C{number % 10}")
        axis.set(title=title, xlabel="iterations")
        axis.grid(alpha=0.3)
        if name in ("unseen", "success"):
            axis.set_ylim(0, 1)
    lines = [pyplot.Line2D([], [], color=f"C{number % 10}") for number in range(len(runs))]
    figure.legend(lines, _labels(runs), loc="outside upper center", ncols=4, fontsize=8)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=120)
    except OSError as error:
        raise RunError(f"'{out}' cannot be written: {error.strerror}. Use another --out.") from error
    finally:
        pyplot.close(figure)


def _draw(axis: Any, log: Sequence[dict[str, Any]], name: str, colour: str) -> None:
    points = _curve(log, name)
    if not points:
        return
    steps, values = zip(*points, strict=True)
    axis.plot(steps, values, color=colour, marker="o" if name == "unseen" else None, markersize=3)
    if name in _ENDS:
        low, high = (dict(_curve(log, end)) for end in _ENDS[name])
        known = [step for step in steps if step in low and step in high]
        ends = ([part[step] for step in known] for part in (low, high))
        axis.fill_between(known, *ends, alpha=0.2, color=colour, linewidth=0)


def _labels(runs: Sequence[Path]) -> list[str]:
    """Return names of runs that tell them apart."""
    short = [run.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run) for run in runs]


def _curve(log: Sequence[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    """Return (iterations done, value) of a figure wherever a log has it."""
    when = "looked" if name.startswith("unseen") else "step"
    return [(line[when], line[name]) for line in log if isinstance(line.get(name), int | float) and when in line]

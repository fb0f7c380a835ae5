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


def plot(runs: Sequence[Path], out: Path) -> None:
    """Draw the curves of runs beside each other into a PNG or PDF.

    Raises:
        RunError: When a folder holds no log, or matplotlib is not installed.
    """
    logs = {run.name: read_log(run / "metrics.jsonl") for run in runs}
    shown = [(name, title) for name, title in _SHOWN if any(_curve(log, name) for log in logs.values())]
    if not shown:
        raise RunError(f"The logs of {', '.join(logs)} hold none of {', '.join(name for name, _ in _SHOWN)}.")
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
        for run, log in logs.items():
            if points := _curve(log, name):
                steps, values = zip(*points, strict=True)
                line = axis.plot(steps, values, label=run, marker="o" if name == "unseen" else None, markersize=3)
                if name == "unseen":
                    low, high = ([value for _, value in _curve(log, f"unseen {end}")] for end in ("low", "high"))
                    axis.fill_between(steps, low, high, alpha=0.2, color=line[0].get_color(), linewidth=0)
        axis.set(title=title, xlabel="iterations")
        axis.grid(alpha=0.3)
        if name in ("unseen", "success"):
            axis.set_ylim(0, 1)
    axes.flat[0].legend(fontsize=8)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    pyplot.close(figure)


def _curve(log: Sequence[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    """Return (iterations done, value) of a figure wherever a log has it."""
    return [(line.get("looked", line["step"]), line[name]) for line in log if name in line]

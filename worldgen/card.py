"""The dataset card of a library: a README.md that people and dataset hosts read. Knows counts and records; measures nothing.

The same library gives the same text: no dates, no paths of the machine.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .library import Index, SceneLibrary
from .wire import SPLITS

_SHOWN = 20
"""Requests in full; the rest is in library.json."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_HOST_LICENCES = frozenset(
    {"apache-2.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "mit", "bsd-3-clause"}
)
"""Licences that dataset hosts know by these names; others are called "other"."""


@dataclass
class _Tally:
    """What the records of a library add up to."""

    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Split and family → scenes."""
    sources: Counter[tuple[str, str, str, bool]] = field(default_factory=Counter)
    """Backend, model, licence, whether other models may be trained on it → assets."""
    categories: Counter[str] = field(default_factory=Counter)
    """Category → scenes that show it."""


def text(found: SceneLibrary, index: Index) -> str:
    """Return the README of a library."""
    tally = _count(found, index)
    parts = [
        _header(index, tally),
        _summary(index),
        _contents(index, tally),
        _quality(index),
        _making(index),
        _loading(index),
        _structure(),
        _licences(tally),
        _versions(index),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _count(found: SceneLibrary, index: Index) -> _Tally:
    """Read each record once as plain JSON: validating thousands of them would take longer than all else here."""
    tally, seen = _Tally(), set()
    for name in index.scenes:
        record = _read(found.root / "scenes" / name / "scene.json")
        tally.cells[str(record.get("split")), str(record.get("family"))] += bool(record)
        tally.categories.update({item["category"] for item in record.get("spec", {}).get("objects", ())})
        for key in record.get("assets", {}).values():
            if key in seen:
                continue
            seen.add(key)
            source = _read(found.root / "assets" / key / "asset.json").get("provenance")
            if source:
                place = source["backend"], source["model"], source["licence"], source["may_train"]
                tally.sources[place] += 1
    return tally


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _header(index: Index, tally: _Tally) -> str:
    names = {licence.lower() for _, _, licence, _ in tally.sources}
    name = names.pop() if len(names) == 1 else "other"
    size = next((label for limit, label in _SIZES if len(index.scenes) < limit), "n>1M")
    lines = [
        "---",
        f"license: {name if name in _HOST_LICENCES else 'other'}",
        f"pretty_name: {json.dumps(_title(index), ensure_ascii=False)}",
        "language: [en]",
        "task_categories: [robotics]",
        "tags: [robotics, simulation, mujoco, mjcf, manipulation, vision-language-action, synthetic]",
        f"size_categories: [{size}]",
        "---",
    ]
    return "\n".join(lines)


def _title(index: Index) -> str:
    requests = _requests(index)
    if not requests:
        return "Scene library"
    first = " ".join(requests[0].split())
    first = first if len(first) <= 80 else first[:79] + "…"
    return f"Scenes: {first}" + (f" and {len(requests) - 1} more" if len(requests) > 1 else "")


def _requests(index: Index) -> list[str]:
    return [str(request) for request in index.settings.get("requests", ())]


def _summary(index: Index) -> str:
    counts, robot = index.counts, index.settings.get("robot", "")
    requests = _requests(index)
    assets = f" with {counts['assets']:,} distinct objects" if "assets" in counts else ""
    told = "\n".join(f"> {plain(request)}  " for request in requests[:_SHOWN])
    more = f"\n\nand {len(requests) - _SHOWN} more, in `library.json`." if len(requests) > _SHOWN else ""
    state = "" if index.complete else "\n\n**Unfinished:** fewer scenes are here than were asked for."
    return (
        f"# {plain(_title(index))}\n\n{len(index.scenes):,} verified [MuJoCo](https://mujoco.org) tabletop scenes{assets} for the "
        f"`{plain(str(robot))}` arm, made from language by `worldgen`. Every scene states a task in words, the goal as a test on "
        f"the simulator's state, and what each of its quality gates measured.\n\n{told}{more}{state}"
    )


def _contents(index: Index, tally: _Tally) -> str:
    parts = ["## Contents"]
    cells = tally.cells
    if total := sum(cells.values()):
        families = sorted({family for _, family in cells})
        splits = sorted({split for split, _ in cells}, key=lambda name: [*SPLITS, name].index(name))
        rows = [
            [split, *(cells[split, family] for family in families), sum(cells[split, f] for f in families)]
            for split in splits
        ]
        rows.append(["**all**", *(sum(cells[s, family] for s in splits) for family in families), total])
        parts.append(_table(["split", *families, "all"], rows))
    else:
        counted = {**index.counts.get("splits", {}), **index.counts.get("families", {})}
        parts.append(_table(["split or task", "scenes"], counted.items()))
    if tally.categories:
        often = sorted(tally.categories.items(), key=lambda item: (-item[1], item[0]))
        parts.append("Objects, by the scenes that show them: " + ", ".join(f"{plain(k)} {n}" for k, n in often) + ".")
    if words := {key: value for key, value in index.held_out.items() if value}:
        parts.append(
            "Never in a training scene, so that the `unseen-*` splits are:\n\n"
            + "\n".join(f"- {plain(key)}: {', '.join(map(plain, value))}" for key, value in sorted(words.items()))
        )
    return "\n\n".join(part for part in parts if part)


def _quality(index: Index) -> str:
    counts = index.counts
    lines = [
        "## Quality",
        "Each scene was settled and passed every gate: no overlap at rest, nothing drifts, the goal is open at the start and true "
        "once its objects are put there, the target fits the gripper within reach, the policy camera sees what the task names, "
        "and the scene runs much faster than real time. `scene.json` holds what each gate measured.",
    ]
    shares = [
        f"- {label}: {float(counts[key]):.1%}"
        for key, label in (
            ("accepted_per_attempt", "attempts that passed"),
            ("accepted_at_first_try", "planned scenes that passed at the first attempt"),
        )
        if key in counts
    ]
    if shares:
        lines.append("\n".join([f"- attempts: {counts.get('attempts', '?')}", *shares]))
    if rejections := counts.get("rejections"):
        ordered = sorted(rejections.items(), key=lambda item: (-item[1], item[0]))
        lines.append("Why attempts were rejected:\n\n" + _table(["reason", "attempts"], ordered))
    if given_up := counts.get("given_up"):
        lines.append(f"Scenes given up: {len(given_up)}. `rejected/<name>.json` says why.")
    return "\n\n".join(lines)


def _making(index: Index) -> str:
    rows = [
        (key, value)
        for key, value in sorted(index.settings.items())
        if key not in ("requests", "photo") and value is not None
    ]
    if index.settings.get("photo"):
        rows.append(("photo", Path(str(index.settings["photo"])).name))
    shown = [(key, ", ".join(map(str, value)) if isinstance(value, list | tuple) else value) for key, value in rows]
    note = f"Shares are of {', '.join(f'`{split}`' for split in SPLITS)}. The same settings and versions give the same bytes."
    return "\n\n".join(["## How it was made", _table(["setting", "value"], shown), note]) if rows else ""


def _loading(index: Index) -> str:
    first = index.scenes[0] if index.scenes else "0000"
    return f"""## Use

Plain MuJoCo is enough:

```python
import json, mujoco

folder = "scenes/{first}"
model = mujoco.MjModel.from_xml_path(f"{{folder}}/scene.xml")
data = mujoco.MjData(model)
mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)  # everything at rest, the arm at home
task = json.load(open(f"{{folder}}/scene.json"))["spec"]["task"]
print(task["instruction"], task["goals"])
```

Look at it: `python -m mujoco.viewer --mjcf=scenes/{first}/scene.xml`, or `worldgen gallery .` for one page of all scenes."""


def _structure() -> str:
    return """## Structure

```
library.json           settings, scenes in order, counts, held-out words, versions
scenes/<name>/         scene.xml (MJCF), scene.json (task, objects, poses, checks), preview.png
assets/<key>/          meshes, texture and asset.json (size, mass, collision, licence) of an object; or a painted texture
robots/<name>/         the arm
rejected/<name>.json   why a planned scene is missing
```

All paths are relative: the folder can be moved and zipped. Units are metres, kilograms, seconds and radians; z = 0 is the
table top, the robot's base is the origin and x points forward. Collision geoms are in group 3, what is seen in groups 0 to 2."""


def _licences(tally: _Tally) -> str:
    if not tally.sources:
        return ""
    rows = [
        (f"{backend} {model}".strip(), licence, "yes" if may_train else "**no**", count)
        for (backend, model, licence, may_train), count in sorted(tally.sources.items())
    ]
    return "## Licences of the objects\n\n" + _table(["made by", "licence", "may train models", "objects"], rows)


def _versions(index: Index) -> str:
    if not index.versions:
        return ""
    return (
        "## Versions\n\n" + ", ".join(f"{plain(name)} {plain(v)}" for name, v in sorted(index.versions.items())) + "."
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = list(head)
    lines = ["| " + " | ".join(plain(name) for name in head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [value if str(value).startswith("**") else plain(str(value)) for value in row]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) if len(lines) > 2 else ""


_MARKS: Mapping[int, str] = {ord(mark): "\\" + mark for mark in "\\`*_[]|#$~"}


def plain(words: str) -> str:
    """Return text that Markdown shows as it is: on one line, no markup, no HTML."""
    return html.escape(" ".join(words.split()), quote=False).translate(_MARKS)

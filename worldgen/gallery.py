"""A library as one HTML page: no server, no network, no other file needed. Knows finished scenes and rejected ones.

The page comes from `assets/gallery/`. Whatever stands in a record is text there, never markup: every value is escaped, and the
page's security policy runs no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from PIL import Image, UnidentifiedImageError

from . import data, vocabulary
from .errors import RenderError
from .files import refusal_to_overwrite
from .library import Check, Index, Rejection, Scene, SceneLibrary
from .spec import ObjectSpec
from .wire import SPLITS

MAX_PICTURE = 18_000
"""Largest picture of a card [bytes]; a third more as text."""
_WIDTH, _MAX_PIXELS = 480, 4_000_000
_ROLES = ("target", "container", "fixture", "distractor")
_MARKS = {"ok": "✓", "warning": "!", "failed": "✕"}
_STATES = {"ok": "all checks passed", "warning": "with warnings", "failed": "failed", "rejected": "given up"}
_SHOWN_REQUESTS = 200


@dataclass
class _Seen:
    """Values that the cards have, for the filters: value → number of cards."""

    split: Counter[str] = field(default_factory=Counter)
    task: Counter[str] = field(default_factory=Counter)
    category: Counter[str] = field(default_factory=Counter)
    status: Counter[str] = field(default_factory=Counter)

    def add(self, split: str, task: str, categories: Iterable[str], status: str) -> str:
        """Count a card's values and return them as attributes of its element."""
        categories = sorted(set(categories))
        self.split[split] += 1
        self.task[task] += bool(task)
        self.category.update(categories)
        self.status[status] += 1
        values = {"split": split, "task": task, "category": "|".join(categories), "status": status}
        return " ".join(f'data-{name}="{escape(value)}"' for name, value in values.items())


def write(library: SceneLibrary, out: Path | None = None) -> Path:
    """Write the page and return its path.

    Args:
        library: What to show.
        out: File, or a folder for `gallery.html`; default is in the library itself. Links to files hold as long as page and
            library stay where they are to each other.

    Raises:
        RenderError: When the page cannot be written.
        SceneError: When a scene's record cannot be read.
    """
    page = library.root / "gallery.html" if out is None else out / "gallery.html" if out.is_dir() else out
    if refusal := refusal_to_overwrite(page):
        raise RenderError(refusal)
    temporary = page.with_name(f".{page.name}.{os.getpid()}")
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_parts(library, page))
        temporary.replace(page)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RenderError(f"'{page}' cannot be written ({reason}). Choose another file with --out.") from error
    finally:
        if temporary.exists():
            temporary.unlink()
    return page


def _parts(library: SceneLibrary, page: Path) -> Iterator[str]:
    """Yield the page piece by piece: thousands of pictures are never in memory at once."""
    index = library.index()
    base = _link_base(library.root, page)
    names = [str(name) for name in index.counts.get("given_up", ())]
    seen = _Seen()
    for scene in library.scenes():  # the filters stand before the cards
        _attributes(scene, seen)
    for name in names:
        seen.add(_rejected(library, name)[0], "", (), "rejected")
    script = data.path("assets", "gallery", "page.js").read_text(encoding="utf-8")
    template = Template(data.path("assets", "gallery", "page.html").read_text(encoding="utf-8"))
    text = template.substitute(
        title=escape(_title(index)),
        header=_header(index),
        filters=_filters(seen),
        total=_many(len(index.scenes), "scene") + (f", {len(names)} given up" if names else ""),
        footer=_footer(index),
        script=script,
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    head, _, tail = text.partition("<!-- cards -->")
    yield head
    for scene in library.scenes():
        yield _card(scene, base)
    for name in names:
        yield _rejected_card(library, name, base)
    yield tail


def _link_base(root: Path, page: Path) -> str:
    """Return what a link from the page to a file of the library starts with."""
    try:
        between = Path(os.path.relpath(root.resolve(), page.resolve().parent)).as_posix()
    except ValueError:  # another drive
        return root.resolve().as_uri() + "/"
    return "" if between == "." else quote(between) + "/"


def _title(index: Index) -> str:
    requests = [str(request) for request in index.settings.get("requests", ())]
    more = f" and {len(requests) - 1} more" if len(requests) > 1 else ""
    return requests[0] + more if requests else "Scene library"


def _header(index: Index) -> str:
    counts, settings = index.counts, index.settings
    requests = [str(request) for request in settings.get("requests", ())]
    splits: dict[str, int] = counts.get("splits", {})
    train = splits.get(SPLITS[0], 0)
    figures = [
        ("scenes", f"{len(index.scenes):,}"),
        ("for training", f"{train:,}" if splits else None),
        ("for testing", f"{sum(splits.values()) - train:,}" if splits else None),
        ("distinct objects", f"{counts['assets']:,}" if "assets" in counts else None),
        ("attempts", f"{counts['attempts']:,}" if "attempts" in counts else None),
        ("attempts accepted", _share(counts.get("accepted_per_attempt"))),
        ("given up", f"{len(counts['given_up']):,}" if counts.get("given_up") else None),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in figures if value)
    kind = " · ".join(
        filter(None, ("Scene library", str(settings.get("robot", "")), "" if index.complete else "unfinished"))
    )
    parts = [
        f'<header class="wide">\n<p class="kind">{escape(kind)}</p>\n<h1>{escape(_title(index))}</h1>',
        f'<dl class="figures">{cells}</dl>',
    ]
    if len(requests) > 1:
        listed = "".join(f"<li>{escape(text)}</li>" for text in requests[:_SHOWN_REQUESTS])
        rest = len(requests) - _SHOWN_REQUESTS
        listed += f"<li>and {rest} more, in library.json</li>" if rest > 0 else ""
        parts.append(f"<details><summary>What was asked for</summary><ul>{listed}</ul></details>")
    if rejections := counts.get("rejections"):
        ordered = sorted(rejections.items(), key=lambda item: (-item[1], item[0]))
        listed = "".join(f"<li>{escape(str(gate))}: {number}</li>" for gate, number in ordered)
        parts.append(f"<details><summary>Why attempts were rejected</summary><ul>{listed}</ul></details>")
    return "\n".join([*parts, "</header>"])


def _share(value: Any) -> str | None:
    return f"{value:.0%}" if isinstance(value, int | float) else None


def _filters(seen: _Seen) -> str:
    fields = (
        ("split", "All splits", sorted(seen.split, key=lambda name: [*SPLITS, name].index(name))),
        ("task", "All tasks", sorted(filter(None, seen.task))),
        ("category", "All objects", sorted(seen.category)),
        ("status", "Any state", [name for name in _STATES if name in seen.status]),
    )
    return "\n".join(_select(name, label, values, getattr(seen, name)) for name, label, values in fields)


def _select(name: str, label: str, values: list[str], counts: Counter[str]) -> str:
    options = "".join(
        f'<option value="{escape(value)}">{escape(_STATES.get(value, value).replace("_", " "))} ({counts[value]})</option>'
        for value in values
    )
    return f'<select name="{name}" aria-label="Filter by {name}"><option value="">{label}</option>{options}</select>'


def _footer(index: Index) -> str:
    settings = index.settings
    made = [f"{name} {settings[name]}" for name in ("designer", "assets", "seed") if name in settings]
    versions = [f"{name} {version}" for name, version in sorted(index.versions.items())]
    text = " · ".join([*made, *versions])
    return f'<footer><div class="wide">{escape(text)}</div></footer>'


def _attributes(scene: Scene, seen: _Seen) -> str:
    record = scene.record
    categories = [item.category for item in record.spec.objects]
    return seen.add(record.split, record.family, categories, _status(record.checks))


def _status(checks: Iterable[Check]) -> str:
    states = {_state(check) for check in checks}
    return next((state for state in ("failed", "warning") if state in states), "ok")


def _state(check: Check) -> str:
    return "failed" if not check.ok else "warning" if check.warning else "ok"


def _card(scene: Scene, base: str) -> str:
    record, spec = scene.record, scene.record.spec
    status = _status(record.checks)
    named = spec.goal_names()
    objects = sorted(spec.objects, key=lambda item: (item.name not in named, _ROLES.index(item.role)))
    words = [scene.name, spec.task.instruction, *spec.task.paraphrases, spec.surface.material, spec.background.room]
    words += [f"{item.colour} {item.material} {item.pattern} {item.category} {item.name}" for item in objects]
    facts = [record.split, record.family, f"{spec.surface.material} table", spec.background.room]
    folder = f"{base}scenes/{quote(scene.name)}/"
    links = " ".join(f'<a href="{folder}{name}">{name}</a>' for name in ("scene.xml", "scene.json", "preview.png"))
    parts = [
        f'<article id="scene-{escape(scene.name)}" class="{status}" {_attributes(scene, _Seen())} {_search_text(words)}>',
        f"<figure>{_picture(scene)}{_badges(scene.name, status)}</figure>",
        f'<div class="body"><h2>{escape(spec.task.instruction)}</h2>',
        '<p class="facts">' + "".join(f"<span>{escape(fact.replace('_', ' '))}</span>" for fact in facts) + "</p>",
        '<ul class="things" aria-label="Objects">'
        + "".join(_thing(item, item.name in named, _maker(scene, item)) for item in objects)
        + "</ul>",
        _paraphrases(spec.task.paraphrases),
        _checks(record.checks),
        _tries(record.rejections, "Earlier attempts"),
        f'<div class="files">{links}</div></div></article>\n',
    ]
    return "\n".join(part for part in parts if part)


def _search_text(words: Iterable[str]) -> str:
    return f'data-q="{escape(" ".join(words).replace("_", " ").lower())}"'


def _badges(name: str, status: str) -> str:
    state = f'<span class="badge state" title="{_STATES[status]}">{status}</span>'
    return f'<span class="badge name">{escape(name)}</span>{state}'


def _picture(scene: Scene) -> str:
    """Return the preview as an element that holds the picture itself."""
    try:
        with Image.open(scene.folder / "preview.png") as opened:
            if opened.width * opened.height > _MAX_PIXELS:
                raise OSError("too large")
            picture = opened.convert("RGB")
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return '<div class="none"><b>◫</b>no preview</div>'
    if picture.width > _WIDTH:
        picture = picture.resize((_WIDTH, max(round(picture.height * _WIDTH / picture.width), 1)))
    text = base64.b64encode(_compressed(picture)).decode()
    alt = escape(f"Scene {scene.name}: {scene.record.spec.task.instruction}")
    return f'<img alt="{alt}" loading="lazy" decoding="async" src="data:image/webp;base64,{text}">'


def _compressed(picture: Image.Image) -> bytes:
    """Return a WebP of at most MAX_PICTURE bytes, as good as fits; at the lowest quality the size is what it is."""
    content = b""
    for quality in (84, 76, 66, 54, 40, 25, 10):
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=2)
        content = buffer.getvalue()
        if len(content) <= MAX_PICTURE:
            break
    return content


def _maker(scene: Scene, item: ObjectSpec) -> str:
    """Return who made an object, and of what; nothing where it is drawn, or its record cannot be read. Plain JSON: validating thousands is slow."""
    try:
        key = scene.record.assets[item.name]
        made = json.loads((scene.root / "assets" / key / "asset.json").read_bytes())["provenance"]
        return "" if made["backend"] == "procedural" else f"{made['backend']}, {made['model']}"
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _thing(item: ObjectSpec, in_goal: bool, maker: str) -> str:
    """Return an object as a chip: its colour, what it is, what it is for, who made it; what the goal names stands out."""
    colour = vocabulary.colours().get(item.colour)
    dot = f'<i style="background:rgb{tuple(int(value) for value in colour)}"></i>' if colour else ""
    size = " x ".join(f"{1000 * extent:.0f}" for extent in item.size)
    hint = f"{item.name}: {item.role}, {item.material}, {item.pattern}, {size} mm" + (f", by {maker}" if maker else "")
    told = [*([item.role] if item.role != "distractor" else []), *([maker.partition(",")[0]] if maker else [])]
    role = f" <small>{escape(', '.join(told))}</small>" if told else ""
    name = f"{item.colour} {item.category}".replace("_", " ")
    mark = ' class="goal"' if in_goal else ""
    return f'<li{mark} title="{escape(hint)}">{dot}{escape(name)}{role}</li>'


def _paraphrases(sentences: Iterable[str]) -> str:
    listed = [f"<li>{escape(sentence)}</li>" for sentence in sentences]
    if not listed:
        return ""
    return f"<details><summary>{_many(len(listed), 'paraphrase')}</summary><ul>{''.join(listed)}</ul></details>"


def _checks(checks: tuple[Check, ...]) -> str:
    if not checks:
        return ""
    tally = Counter(_state(check) for check in checks)
    told = [_many(tally["ok"], "check") + " passed"]
    told += [_many(tally["warning"], "warning")] if tally["warning"] else []
    told += [f"{tally['failed']} failed"] if tally["failed"] else []
    dots = "".join(f'<i class="{_state(check)}" title="{escape(_measured(check))}"></i>' for check in checks)
    rows = "".join(map(_check_row, checks))
    head = f'<summary>{", ".join(told)}<span class="dots" aria-hidden="true">{dots}</span></summary>'
    return f"<details>{head}<table>{rows}</table></details>"


def _check_row(check: Check) -> str:
    state = _state(check)
    detail = f'<tr><td></td><td colspan="2">{escape(check.detail)}</td></tr>' if check.detail else ""
    value = _measured(check).partition(": ")[2]
    mark = f'<td class="{state}" aria-label="{state}">{_MARKS[state]}</td>'
    return f"<tr>{mark}<td>{escape(check.name)}</td><td>{escape(value)}</td></tr>{detail}"


def _measured(check: Check) -> str:
    """Return a check as "drift: 0.1 mm, limit 5 mm"."""
    limit = f"limit {check.limit:.4g} {check.unit}".strip() if check.limit is not None else ""
    if check.value is None:
        return f"{check.name}: " + (limit or ("yes" if check.ok else "no"))
    if check.unit.startswith("of "):  # a share
        return f"{check.name}: {check.value:.0%} {check.unit}, limit {check.limit or 0:.0%}"
    unit = f" {check.unit}" if check.unit else ""
    return f"{check.name}: {check.value:.4g}{unit}" + (f", limit {check.limit:.4g}" if limit else "")


def _tries(rejections: Iterable[Rejection], title: str, *, opened: bool = False) -> str:
    listed = [
        f"<li><b>{escape(item.gate)}</b>, attempt {item.attempt + 1}: {escape(item.message)}</li>"
        for item in rejections
    ]
    if not listed:
        return ""
    head = f"<details{' open' if opened else ''}><summary>{title} ({len(listed)})</summary>"
    return f'{head}<ul class="tries">{"".join(listed)}</ul></details>'


def _rejected(library: SceneLibrary, name: str) -> tuple[str, str, tuple[Rejection, ...]]:
    """Return split, request and reasons of a scene that was given up."""
    found = library.rejected(name)
    return (found.split, found.request, found.rejections) if found else ("unknown", "", ())


def _rejected_card(library: SceneLibrary, name: str, base: str) -> str:
    split, request, reasons = _rejected(library, name)
    words = [name, request, *(f"{reason.gate} {reason.message}" for reason in reasons)]
    attributes = _Seen().add(split, "", (), "rejected")
    body = _tries(reasons, "Reasons", opened=True) or "<p>Nothing says why.</p>"
    link = f'<a href="{base}rejected/{quote(name)}.json">{escape(name)}.json</a>'
    return f"""<article id="scene-{escape(name)}" class="rejected" {attributes} {_search_text(words)}>
<figure><div class="none"><b>∅</b>not in the library</div>{_badges(name, "rejected")}</figure>
<div class="body"><h2>{escape(request)}</h2><p class="facts"><span>{escape(split)}</span></p>
{body}
<div class="files">{link}</div></div></article>
"""


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

"""A report as a page: one file that needs nothing but the films beside it. Knows the record, not how it came about."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import quote

from worldgen import data

from .metrics import Share
from .report import PlayedRecord, Report, by_count, split_order

_STYLE = """
main { display: block; padding: 0; }
h1::first-letter { text-transform: none; }
.cards { columns: 400px; column-gap: 22px; padding-block: 22px 6px; }
.card { display: inline-block; width: 100%; margin-bottom: 22px; padding: 17px 19px; background: var(--card);
  border: 1px solid var(--line); border-radius: 15px; box-shadow: var(--shadow); }
.card h2, .episodes h2 { margin-bottom: 10px; }
.card p { margin: 12px 0; color: var(--soft); font-size: 14px; }
small { color: var(--soft); font-size: 12.5px; }
.headline { max-width: 900px; margin-bottom: 26px; }
.headline p { margin: 0 0 10px; font-size: 17px; }
.headline b { font-size: clamp(48px, 9vw, 84px); letter-spacing: -.04em; line-height: 1; margin-right: 12px; }
.headline svg { height: 34px; }
.axis { display: flex; justify-content: space-between; color: var(--soft); font-size: 12px; }
svg { display: block; width: 100%; height: 16px; overflow: visible; }
.track { fill: var(--sunk); } .fill { fill: var(--accent); fill-opacity: .8; } .bad .fill { fill: var(--bad); }
line { stroke: var(--ink); stroke-width: 1.6; } .grid { stroke: var(--line); stroke-width: 1; }
.rows li { display: grid; grid-template-columns: 1fr auto; gap: 2px 14px; align-items: end; padding: 5px 0; }
.rows svg { grid-area: 2 / 1 / 3 / 3; }
.rows span, figcaption, .says { overflow-wrap: anywhere; }
.square { width: auto; }
.square td, .square th { width: auto; padding: 7px 12px; text-align: center; color: inherit; overflow-wrap: anywhere; }
.square td { font-size: 21px; border: 3px solid var(--card); background: var(--sunk); }
.square td:empty { background: none; }
.square .won { background: var(--good-soft); } .square .lost { background: var(--bad-soft); }
.episodes { padding-block: 20px 40px; }
.films, .scroll { overflow: auto; margin-bottom: 26px; }
.films { display: grid; grid-auto-flow: column; grid-auto-columns: min(290px, 80vw); gap: 16px; padding-bottom: 10px; }
.films figure { aspect-ratio: auto; background: none; font-size: 14px; }
video { display: block; width: 100%; aspect-ratio: 4 / 3; background: #000; border-radius: 11px; margin-bottom: 7px; }
.scroll { max-height: 80vh; background: var(--card); border: 1px solid var(--line); border-radius: 15px; }
.scroll td, .scroll th { width: auto; padding: 7px 12px; text-align: left; color: inherit; white-space: nowrap; }
.scroll th { position: sticky; top: 0; background: var(--sunk); color: var(--soft); }
.scroll td { border-top: 1px solid var(--line); }
.scroll .says { white-space: normal; min-width: 16em; }
b.success { color: var(--good); } b.failed { color: var(--bad); } b.invalid { color: var(--warn); }
footer { overflow-wrap: anywhere; }
"""
_SCRIPT = """"use strict";
const bar = document.querySelector(".bar"), fields = [...bar.querySelectorAll("select")];
const items = [...document.querySelectorAll("[data-outcome]")];
const rows = items.filter((item) => item.matches("tr"));
function fits(item, field) {
  return !field.value || item.dataset[field.name].split("|").includes(field.value);
}
function show() {
  for (const item of items) item.hidden = !fields.every((field) => fits(item, field));
  for (const field of fields) field.classList.toggle("chosen", field.value !== "");
  bar.querySelector("output").value = rows.filter((row) => !row.hidden).length + " of " + rows.length + " episodes";
}
bar.addEventListener("input", show);
bar.hidden = false;
show();
const near = new IntersectionObserver((seen) => {
  for (const one of seen) if (one.isIntersecting) one.target.preload = "metadata";
}, { rootMargin: "300px" });
for (const film of document.querySelectorAll("video")) near.observe(film);
"""


def html(report: Report) -> str:
    """Return the page: one file, no network; films are linked relative to it.

    It wears the gallery's style sheet. All values are text, never markup, and no script runs but the page's own.
    """
    gallery = data.path("assets", "gallery", "page.html").read_text(encoding="utf-8")
    style = gallery.partition("<style>")[2].partition("</style>")[0] + _STYLE
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; media-src 'self' file:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )
    targets = sorted(report.by_target.items(), key=lambda item: (-item[1].rate, item[0]))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}; script-src 'sha256-{digest}'">
<title>{escape(report.run)}: {report.total.words()[0]} success</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#episodes">Skip to the episodes</a>
{_header(report)}
<main>
<div class="cards wide">
{_bars("By task", sorted(report.by_family.items()))}
{_bars("By split", split_order(report.by_split))}
{_failures(report)}
{_comparison(report)}
{_bars("By what was to be moved", targets)}
</div>
{_filters(report)}
<section class="episodes wide" id="episodes" tabindex="-1">
{_films(report)}
{_table(report)}
</section>
</main>
<footer><div class="wide">{_facts(report)}</div></footer>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _header(report: Report) -> str:
    rate, interval, counts = report.total.words()
    says = f"{counts} succeeded, 95 % interval {interval}" if report.total.trials else interval
    kind = " · ".join(filter(None, ("Evaluation", report.set_name, ", ".join(report.splits))))
    figures = {
        "to success": report.seconds.words("s"),
        "failures": f"{sum(report.failures.values()):,}",
        "invalid episodes": f"{report.invalid:,}",
        f"{report.seeds.purpose} seeds": f"{report.seeds.first}–{report.seeds.last}",
    }
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in figures.items())
    axis = "".join(f"<span>{tick} %</span>" for tick in (0, 25, 50, 75, 100))
    return f"""<header class="wide">
<p class="kind">{escape(kind)}</p>
<h1>{escape(report.run)}</h1>
<div class="headline">
<p><b>{rate}</b>{says}</p>
{_plot(report.total)}
<div class="axis" aria-hidden="true">{axis}</div>
</div>
<dl class="figures">{cells}</dl>
</header>"""


def _plot(share: Share, *, whisker: bool = True) -> str:
    """Return a bar and its interval; hidden from screen readers, as the numbers stand beside it."""
    parts = ['<rect class="track" width="100%" height="100%" rx="4"/>']
    parts += [f'<line class="grid" x1="{x}%" x2="{x}%" y2="100%"/>' for x in (25, 50, 75)]
    if share.trials:
        parts.append(f'<rect class="fill" width="{100 * share.rate:.2f}%" height="100%" rx="4"/>')
        parts.append(_whisker(share.low, share.high) if whisker else "")
    return f'<svg aria-hidden="true">{"".join(parts)}</svg>'


def _whisker(low: float, high: float) -> str:
    """Return the lines of an interval in 0 … 1 of the width."""
    lines = ((low, high, 50, 50), (low, low, 25, 75), (high, high, 25, 75))
    return "".join(f'<line x1="{100 * a:.2f}%" x2="{100 * b:.2f}%" y1="{y}%" y2="{z}%"/>' for a, b, y, z in lines)


def _card(title: str, body: str, kind: str = "") -> str:
    return f'<section class="card {kind}"><h2>{escape(title)}</h2>{body}</section>'


def _row(name: str, plot: str, number: str, more: str) -> str:
    return f"<li><span>{escape(name or '–')}</span>{plot}<span><b>{number}</b> <small>{more}</small></span></li>"


def _bars(title: str, shares: Iterable[tuple[str, Share]]) -> str:
    rows = ""
    for name, share in shares:
        rate, interval, counts = share.words()
        rows += _row(name, _plot(share), rate, f"{interval} · {counts}")
    return _card(title, f'<ul class="rows">{rows}</ul>') if rows else ""


def _failures(report: Report) -> str:
    failed, rows = sum(report.failures.values()), ""
    for name, count in by_count(report.failures):
        share = Share.of(count, failed)
        rows += _row(name, _plot(share, whisker=False), str(count), f"{share.words()[0]} of failures")
    return _card("What failed", f'<ul class="rows">{rows}</ul>', "bad") if rows else ""


def _comparison(report: Report) -> str:
    if (paired := report.comparison) is None:
        return ""
    this, other, (verdict, evidence) = escape(report.run), escape(paired.other or "the other run"), paired.words()
    body = f"""<table class="square">
<tr><td></td><th scope="col">{other} succeeds</th><th scope="col">{other} fails</th></tr>
<tr><th scope="row">{this} succeeds</th><td>{paired.both}</td><td class="won">{paired.only_first}</td></tr>
<tr><th scope="row">{this} fails</th><td class="lost">{paired.only_second}</td><td>{paired.neither}</td></tr>
</table>
<p>{escape(evidence)}.</p>
<svg aria-hidden="true"><rect class="track" width="100%" height="100%" rx="4"/>
<line class="grid" x1="50%" x2="50%" y2="100%"/>{_whisker(0.5 + paired.low / 200, 0.5 + paired.high / 200)}
<circle class="fill" cx="{50 + paired.difference / 2:.2f}%" cy="50%" r="6"/></svg>
<div class="axis" aria-hidden="true"><span>−100 points</span><span>0</span><span>+100 points</span></div>"""
    return _card(verdict, body)


def _filters(report: Report) -> str:
    outcomes = ["success", "failed", *(name for name, _ in by_count(report.failures)), "invalid"]
    splits = [name for name, _ in split_order(report.by_split)]
    fields = ""
    for name, values in (("outcome", outcomes), ("split", splits), ("family", sorted(report.by_family))):
        options = "".join(f'<option value="{escape(value)}">{escape(value)}</option>' for value in values)
        fields += f'<select name="{name}" aria-label="{name}"><option value="">Any {name}</option>{options}</select>'
    form = f'<form autocomplete="off">{fields}<output aria-live="polite"></output></form>'
    return f'<div class="bar" role="search" hidden><div class="wide">{form}</div></div>'


def _attributes(one: PlayedRecord) -> str:
    values = {"outcome": f"{one.kind}|{one.outcome}", "split": one.split, "family": one.family}
    return " ".join(f'data-{name}="{escape(value)}"' for name, value in values.items())


def _link(one: PlayedRecord) -> str:
    """Return the address of a film: always below the page, whatever the path looks like."""
    return "./" + escape(quote(one.video))


def _films(report: Report) -> str:
    order = ("failed", "invalid", "success")
    films = ""
    for one in sorted((one for one in report.episodes if one.video), key=lambda one: order.index(one.kind)):
        says, source = escape(one.instruction), _link(one)
        label = f'aria-label="Film of {escape(one.scene)}, seed {one.seed}, {escape(one.outcome)}"'
        films += f"""<figure {_attributes(one)}>
<video controls muted playsinline preload="none" src="{source}" {label}></video>
<figcaption><b class="{one.kind}">{escape(one.outcome)}</b> {says}<br><small>{escape(one.scene)}, seed {one.seed},
{one.seconds:.1f} s</small></figcaption></figure>"""
    strip = f'<div class="films" tabindex="0" role="region" aria-label="Films, failures first">{films}</div>'
    return f"<h2>Films, failures first</h2>{strip}" if films else ""


def _table(report: Report) -> str:
    names = ("outcome", "instruction", "scene", "seed", "split", "family", "target", "seconds", "decisions", "film")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "\n".join(f"<tr {_attributes(one)}>{_cells(one)}</tr>" for one in report.episodes)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h2>Episodes</h2><div class="scroll" tabindex="0" role="region" aria-label="Episodes">{table}</div>'


def _cells(one: PlayedRecord) -> str:
    values = (one.scene, str(one.seed), one.split, one.family, one.target, f"{one.seconds:.1f}", str(one.decisions))
    cells = f'<td><b class="{one.kind}">{escape(one.outcome)}</b></td><td class="says">{escape(one.instruction)}</td>'
    cells += "".join(f"<td>{escape(value)}</td>" for value in values)
    return cells + "<td>" + (f'<a href="{_link(one)}">film</a>' if one.video else "") + "</td>"


def _facts(report: Report) -> str:
    facts: dict[str, Any] = {"library": report.library, "digest": report.digest, "sampler": report.sampler}
    facts |= {f"policy {name}": value for name, value in sorted(report.policy.items())}
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for name, value in facts.items()
    }
    return " · ".join(escape(f"{name} {value}") for name, value in texts.items())

"""Request → SceneSpec: the only place that talks to a language model, and the only repair loop. Knows no meshes, poses or robots.

A backend (a `Drafter`) writes a flat draft; `enrich.to_spec` makes the rich spec from it. Whatever is wrong with a draft, from
broken JSON to a scene that does not settle, becomes a list of `Problem` and goes back to the same backend, twice at most.
"""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from . import data, phrases, store, vocabulary
from .enrich import to_spec
from .errors import DesignError, Problem, SpecError, StoreError
from .language import split_words
from .shapes import Strict
from .spec import SceneSpec, schema_problems
from .wire import SPLITS, Brief, Budget, Draft, Drafter, DrafterSettings, HeldOut, Message, Request, Split, WireScene

__all__ = [
    "BACKENDS",
    "Budget",
    "DesignProvenance",
    "Designed",
    "Drafter",
    "DrafterSettings",
    "Request",
    "design",
    "held_out",
    "make_drafter",
    "redesign",
    "to_spec",
]

BACKENDS: dict[str, str] = {
    "rules": "worldgen.backends.llm_rules:RulesDrafter",
    "openai": "worldgen.backends.llm_openai:OpenAIDrafter",
    "recorded": "worldgen.backends.llm_recorded:RecordedDrafter",
}
MAX_ROUNDS = 2
"""Repairs of one request, scene checks included."""
MAX_TEXT = 2000
"""Longest request [characters]."""


class DesignProvenance(Strict):
    """Where a spec comes from. Holds no times: the same design gives the same bytes."""

    backend: str
    model: str = ""
    prompt_sha256: str
    """Of the instructions and the request, as they were sent first."""
    reply_sha256: str
    """Of the reply that the spec was made from."""
    rounds: int
    """How many repairs it took."""
    request: str
    split: Split
    seed: int
    photo_sha256: str = ""


@dataclass(frozen=True)
class Designed:
    """A consistent spec, where it comes from, and what it takes to ask for a repair."""

    spec: SceneSpec
    provenance: DesignProvenance
    brief: Brief
    reply: str


def design(
    request: Request,
    drafter: Drafter,
    gripper_opening: float,
    budget: Budget,
    failures: Path | None = None,
    held: HeldOut | None = None,
) -> Designed:
    """Design one scene.

    Args:
        request: What is wanted.
        drafter: Who drafts; see `make_drafter`.
        gripper_opening: Width between the open gripper's pads of the request's robot [m].
        budget: What language models may cost; shared by all calls that are given the same one.
        failures: Folder for the last reply of a design that failed; None is the `failed_replies` of the cache folder.
        held: What the training splits do without; None is `held_out` of this request alone. A library of many requests
            gives the `held_out` of all of them together, so that its splits stay disjoint across requests.

    Raises:
        DesignError: When the request is empty, contradictory or names unknown things, or no draft became valid.
        BudgetError: When a cap is reached.
        StoreError: When the last reply of a failed design cannot be saved.
    """
    return _loop(make_brief(request, gripper_opening, held), drafter, budget, 0, failures)


def redesign(
    designed: Designed, problems: Sequence[Problem], drafter: Drafter, budget: Budget, failures: Path | None = None
) -> Designed:
    """Ask for another draft because of what later checks found. Rounds go on counting from the first design.

    Raises:
        DesignError: When no round is left, the backend cannot repair, or no draft became valid.
    """
    rounds = designed.provenance.rounds
    if rounds >= MAX_ROUNDS:
        raise _failed(designed.brief, designed.reply, problems, rounds, failures)
    brief = _asked_again(designed.brief, designed.reply, problems)
    return _loop(brief, drafter, budget, rounds + 1, failures)


def _loop(brief: Brief, drafter: Drafter, budget: Budget, rounds: int, failures: Path | None) -> Designed:
    while True:
        draft = drafter.draft(brief, budget)
        try:
            spec = to_spec(_parsed(draft), brief)
        except SpecError as error:
            if rounds >= MAX_ROUNDS:
                raise _failed(brief, draft.text, error.problems, rounds, failures) from None
            brief, rounds = _asked_again(brief, draft.text, error.problems), rounds + 1
            continue
        return Designed(spec, _provenance(brief, drafter, draft, rounds), brief, draft.text)


def _parsed(draft: Draft) -> WireScene:
    if draft.truncated:
        fix = "Send a shorter one: fewer objects, shorter descriptions."
        raise SpecError([Problem("reply", "it was cut off before its end.", fix)])
    try:
        return WireScene.model_validate_json(draft.text)
    except ValidationError as error:
        raise SpecError(schema_problems(error)) from None


def _asked_again(brief: Brief, reply: str, problems: Sequence[Problem]) -> Brief:
    listed = "\n".join(f"- {problem}" for problem in problems)
    ask = render_prompt("repair.txt", {"count": str(len(problems)), "problems": listed})
    messages = (*brief.messages, Message("assistant", reply), Message("user", ask))
    return replace(brief, messages=messages, problems=tuple(problems))


def _failed(brief: Brief, reply: str, problems: Sequence[Problem], rounds: int, failures: Path | None) -> DesignError:
    folder = failures or data.cache_folder() / "failed_replies"
    file = folder / f"{_sha256(reply)[:16]}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"'{folder}' cannot be made: {error.strerror or error}. Choose another folder.") from None
    store.write_file(file, reply.encode(errors="replace"))  # a reply may hold half a surrogate pair
    listed = "; ".join(str(problem) for problem in problems[:5])
    more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
    return DesignError(
        f"'{shown(brief.request.text)}' is still wrong after {rounds} repair(s): {listed}{more}. "
        f"The last reply is in {file}. Say the request in other words, or use another model."
    )


def _provenance(brief: Brief, drafter: Drafter, draft: Draft, rounds: int) -> DesignProvenance:
    request = brief.request
    return DesignProvenance(
        backend=drafter.name,
        model=draft.model,
        prompt_sha256=_sha256("\n".join(message.text for message in brief.messages[:2])),
        reply_sha256=_sha256(draft.text),
        rounds=rounds,
        request=request.text,
        split=request.split,
        seed=request.seed,
        photo_sha256=hashlib.sha256(request.photo.read_bytes()).hexdigest() if request.photo else "",
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------- what a draft may use


def held_out(text: str) -> HeldOut:
    """Return the words that are kept out of the training splits of a request: the vocabulary's, less those that it names."""
    words = split_words(text)

    def unnamed(name: str, others: Iterable[str]) -> bool:
        return not _names(words, name, *others)

    kinds, surfaces, rooms = vocabulary.categories(), vocabulary.surfaces(), vocabulary.rooms()
    return HeldOut(
        tuple(name for name, item in kinds.items() if item.held_out and unnamed(name, item.words(name))),
        tuple(
            name
            for name, item in surfaces.items()
            if item.held_out and unnamed(name, phrases.synonyms("surface", name))
        ),
        tuple(name for name, item in rooms.items() if item.held_out and unnamed(name, phrases.synonyms("room", name))),
    )


def _names(words: list[str], *phrases: str) -> bool:
    return any(_contains(words, split_words(phrase)) for phrase in phrases)


def _contains(words: list[str], phrase: list[str]) -> bool:
    return any(words[at : at + len(phrase)] == phrase for at in range(len(words) - len(phrase) + 1))


def make_brief(request: Request, gripper_opening: float, held: HeldOut | None = None) -> Brief:
    """Return what a draft for the request may use, with the first messages to a language model.

    Raises:
        DesignError: When the request is empty, too long, for an unknown split, or its photo cannot be read.
    """
    check_request(request)
    held = held or held_out(request.text)
    words = split_words(request.text)
    categories = tuple(
        name
        for name, item in vocabulary.categories().items()
        if name not in held.categories and (not item.nameless or _names(words, *item.words(name)))
    )
    surfaces = tuple(name for name in vocabulary.surfaces() if name not in held.surfaces)
    rooms = tuple(name for name in vocabulary.rooms() if name not in held.rooms)
    task_categories = categories
    if request.split == "unseen-categories":
        categories, task_categories = categories + held.categories, held.categories
    if request.split == "unseen-backgrounds":
        surfaces, rooms = held.surfaces, held.rooms
    for what, names in (("category", task_categories), ("surface", surfaces), ("room", rooms)):
        if not names:
            raise DesignError(
                f"Split '{request.split}' has no held-out {what} left: '{shown(request.text)}' names them all."
            )
    brief = Brief(request, gripper_opening, held, categories, task_categories, surfaces, rooms)
    return replace(brief, messages=(Message("system", _instructions(brief)), Message("user", request.text.strip())))


def check_request(request: Request) -> None:
    """Refuse a request that no backend can take."""
    text = check_text(request.text)
    if not any(letter.isalpha() for letter in text):
        raise DesignError("The request is empty. Say what the robot should do, or what is on the table.")
    if len(text) > MAX_TEXT:
        raise DesignError(
            f"The request has {len(text)} characters; {MAX_TEXT} are allowed. Describe one scene and one task."
        )
    if request.split not in SPLITS:
        raise DesignError(f"Unknown split. {vocabulary.valid_names(request.split, SPLITS)}")
    if request.photo is not None and not request.photo.is_file():
        raise DesignError(f"There is no photo {shown(str(request.photo))}. Give the path of a PNG or JPEG file.")


def check_text(text: str) -> str:
    """Return a request without blanks around it; refuse what cannot be written to a file."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DesignError(f"The request is no valid text: {text[:80]!a}. Write it in UTF-8.") from None
    return text.strip()


def shown(text: str) -> str:
    """Return a request as it stands in an error line."""
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."


def _instructions(brief: Brief) -> str:
    request = brief.request
    chance = random.Random(f"hints/{request.seed}/{request.split}/{request.text}")
    task_rule = ""
    if brief.task_categories != brief.categories:
        task_rule = (
            "The object of the task, and what receives it where one of these can, must be one of these, in place of what "
            f"the request names: {', '.join(brief.task_categories)}. The instruction then names these.\n"
        )
    photo_rule = (
        "- A photo of a real table comes with the request: rebuild what stands on it.\n" if request.photo else ""
    )
    return render_prompt(
        "designer.txt",
        {
            "robot": request.robot,
            "opening_mm": f"{brief.gripper_opening * 1000:.0f}",
            "distractors": str(chance.randint(2, 4)),
            "photo_rule": photo_rule,
            "categories": "\n".join(_category_line(name) for name in brief.categories),
            "task_rule": task_rule,
            "colours": ", ".join(vocabulary.colours()),
            "materials": ", ".join(vocabulary.materials()),
            "patterns": ", ".join(vocabulary.patterns()),
            "surfaces": ", ".join(brief.surfaces),
            "rooms": ", ".join(brief.rooms),
            "seed": str(request.seed),
            "surface_hint": chance.choice(brief.surfaces),
            "room_hint": chance.choice(brief.rooms),
        },
    )


def _category_line(name: str) -> str:
    item = vocabulary.categories()[name]
    parts = (item.affordances or ("none",), item.materials, item.colours or ("any",), item.patterns, item.synonyms)
    return f"- {name} ({'; '.join(', '.join(part) for part in parts if part)})"


def render_prompt(name: str, values: dict[str, str]) -> str:
    """Fill a prompt file; a variable that is missing on either side is refused, so that a typo in a prompt shows."""
    template = string.Template(data.path("prompts", name).read_text(encoding="utf-8"))
    wanted = set(template.get_identifiers())
    if not template.is_valid() or wanted != set(values):
        odd = ", ".join(sorted(wanted ^ set(values))) or "a lone '$' (write '$$')"
        raise DesignError(
            f"prompts/{name} and the program differ in: {odd}. It must use all of: {', '.join(sorted(values))}."
        )
    return template.substitute(values)


# ---------------------------------------------------------------- backends


def make_drafter(name: str, settings: DrafterSettings = DrafterSettings()) -> Drafter:
    """Make a backend by its name or by a dotted path "package.module:Class"; imported only now.

    With `settings.replies`, what a language model answers is saved there and never paid for twice.

    Raises:
        DesignError: For an unknown name or a path that cannot be imported.
    """
    if name not in BACKENDS and ":" not in name:
        raise DesignError(
            f"Unknown designer backend '{name}'. {vocabulary.valid_names(name, BACKENDS)} "
            "A dotted path 'package.module:Class' is accepted too."
        )
    drafter = _load(BACKENDS.get(name, name))(settings)
    if settings.replies is None or name in ("rules", "recorded"):
        return drafter
    recording = cast(Callable[..., Drafter], _load("worldgen.backends.llm_recorded:Recording"))
    return recording(drafter, settings.replies, settings.temperature)


def _load(path: str) -> Callable[[DrafterSettings], Drafter]:
    module, _, attribute = path.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise DesignError(f"Designer backend '{path}' cannot be imported: {error}.") from None
    if not callable(getattr(found, "draft", None)):
        raise DesignError(
            f"Designer backend '{path}' has no method `draft`. Name a class like those in worldgen/backends."
        )
    return cast(Callable[[DrafterSettings], Drafter], found)

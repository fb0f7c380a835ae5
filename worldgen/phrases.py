"""The sentences of instructions: templates by goal, and noun phrases that fit one object only. Knows no scenes, no backends.

`assets/vocabulary/phrases.json` holds the templates and the words that the rule-based grammar understands beside the
vocabulary's own.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import combinations
from typing import Annotated, Protocol

import numpy as np
from pydantic import Field

from . import data, vocabulary
from .errors import DesignError
from .shapes import Strict
from .vocabulary import Affordance, Category, pluralise

_LEFT_OUT, _SAID = 0.3, 0.5
"""Shares of idle words that are left out, and of sentences with something before or after them, where one is said loosely."""


class Template(Strict):
    """One way to say a task: text with `$target`, `$other` and `$it`."""

    text: str
    held_out: bool = False
    """Kept for the split of unseen instructions."""


class Hypernym(Strict):
    """A word for many categories: all that meet every given condition."""

    words: Annotated[tuple[str, ...], Field(min_length=1)]
    categories: tuple[str, ...] = ()
    """Only these, where any are given; ones that the vocabulary lacks are passed over."""
    rooms: tuple[str, ...] = ()
    """One of these must be where it is usual."""
    affordances: tuple[Affordance, ...] = ()
    """Any of these must be possible."""

    def covers(self, name: str, item: Category) -> bool:
        """Return whether the word can be said of a category."""
        return (
            (not self.categories or name in self.categories)
            and (not self.rooms or bool(set(self.rooms) & set(item.rooms)))
            and (not self.affordances or bool(set(self.affordances) & set(item.affordances)))
        )


class Asides(Strict):
    """What people say around a request, and what they leave out of it."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    idle: tuple[str, ...]
    """Words of templates that may be missing."""


class Phrases(Strict):
    """The whole of `phrases.json`."""

    templates: dict[str, tuple[Template, ...]]
    """By goal: on, in, stack, near, pushed, lifted, open, closed."""
    lexicon: dict[str, dict[str, tuple[str, ...]] | tuple[str, ...]]
    """Words of requests by the part that they play."""
    hypernyms: dict[str, Hypernym]
    adjectives: dict[str, str]
    """How a material or pattern is said before a noun, where that is another word."""
    usual_colours: dict[str, tuple[str, ...]]
    """Colours to draw for a material when nobody named one."""
    asides: Asides


class Describable(Protocol):
    """What a noun phrase is made for: an object of a spec or of a draft."""

    @property
    def category(self) -> str: ...
    @property
    def colour(self) -> str: ...
    @property
    def material(self) -> str: ...
    @property
    def pattern(self) -> str: ...


@cache
def phrases() -> Phrases:
    """Return the shipped phrases."""
    return Phrases.model_validate(data.read_json("assets", "vocabulary", "phrases.json"))


def synonyms(kind: str, name: str) -> tuple[str, ...]:
    """Return the other words of requests for a room, surface, colour or another kind of the lexicon."""
    words = phrases().lexicon[kind]
    return words.get(name, ()) if isinstance(words, dict) else ()


@cache
def templates(kind: str, held_out: bool) -> tuple[str, ...]:
    """Return the templates of one goal, either those of the training splits or the held-out ones; the plainest first."""
    return tuple(item.text for item in phrases().templates[kind] if item.held_out == held_out)


def say(template: str, target: str, other: str = "", plural: bool = False) -> str:
    """Fill a template with noun phrases that have no article."""
    return string.Template(template).substitute(target=target, other=other, it="them" if plural else "it")


def loosely(template: str, rng: np.random.Generator) -> str:
    """Return a template as it is said in passing: something before or after it, idle words left out.

    Who learns from such sentences learns to pass over what it does not know. None has the form of a held-out one.
    """
    asides = phrases().asides
    words = [word for word in template.split() if word.strip(",") not in asides.idle or rng.uniform() > _LEFT_OUT]
    before, after = (str(rng.choice(part)) if rng.uniform() < _SAID else "" for part in (asides.before, asides.after))
    found = " ".join([*before.split(), *words, *after.split()])
    return template if is_held_out(found) else found


def is_held_out(sentence: str) -> bool:
    """Return whether a sentence has the form of a held-out template."""
    text = " ".join(re.findall(r"[a-z0-9']+", sentence.lower()))
    return any(pattern.fullmatch(text) for pattern in _held_out_forms())


@cache
def _held_out_forms() -> tuple[re.Pattern[str], ...]:
    forms = []
    for items in phrases().templates.values():
        for text in (item.text for item in items if item.held_out):
            words = re.findall(r"\$?[a-z0-9']+", text.lower())
            forms.append(re.compile(" ".join(".+" if word.startswith("$") else re.escape(word) for word in words)))
    return tuple(forms)


def noun(category: str, plural: bool = False) -> str:
    """Return the category as it is written in a sentence."""
    word = category.replace("_", " ")
    return pluralise(word) if plural else word


def nearest(value: str, names: Sequence[str], count: int = 6) -> str:
    """Return the names most like a value, for errors where all of them would fill the screen."""
    close = get_close_matches(value, names, n=count, cutoff=0.0)
    return f"The nearest names are: {', '.join(close)}" + (f" (of {len(names)})." if len(names) > count else ".")


def attributes() -> tuple[str, ...]:
    """Return every word that can be said of a thing before its noun."""
    known = (vocabulary.colours(), vocabulary.materials(), vocabulary.patterns(), phrases().adjectives.values())
    return tuple(word for words in known for word in words)


def attribute(item: Describable, key: str) -> str:
    """Return one attribute as it is said before a noun: "wooden", "striped"; empty for what goes without saying."""
    value: str = getattr(item, key)
    if value in ("plain", "natural") or (key == "material" and value == "fruit"):
        return ""
    return phrases().adjectives.get(value, value)


def telling(item: Describable, rivals: Sequence[Describable]) -> tuple[str, ...]:
    """Return the fewest attributes that tell an object from its rivals, colour preferred.

    Raises:
        DesignError: When no words do.
    """
    rivals = [rival for rival in rivals if rival.category == item.category]
    every = ("colour", "material", "pattern")
    for keys in ([key for key in every if getattr(item, key) != "natural"], every):  # "natural" is said by nobody
        for count in range(len(keys) + 1):
            for chosen in combinations(keys, count):
                if all(any(getattr(rival, key) != getattr(item, key) for key in chosen) for rival in rivals):
                    return chosen
    raise DesignError(
        f"Nothing tells the {item.colour} {item.material} {noun(item.category)} from another one. "
        "Give one of them another colour."
    )


def refer(item: Describable, rivals: Sequence[Describable], said: Iterable[str] = ()) -> str:
    """Return a noun phrase without article that fits `item` and none of `rivals`.

    Args:
        item: What is meant.
        rivals: All objects that it could be mistaken for.
        said: Attributes to mention anyway: "colour", "material", "pattern".
    """
    needed = telling(item, rivals)
    words = []
    for key in ("colour", "pattern", "material"):
        if key in needed:  # the vocabulary's own word: it is what SceneSpec checks
            words.append(getattr(item, key))
        elif key in said:
            words.append(attribute(item, key))
    return " ".join([*(word for word in words if word), noun(item.category)])

"""What can be said about a scene: sentences that name one object and mostly a second one, in words that fit nothing else there.

Knows no pictures: a picture's labels are where its objects are, and what is said about it may be another thing each time it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, cached_property
from typing import TypeVar

import numpy as np

from worldgen import vocabulary
from worldgen.errors import DesignError
from worldgen.phrases import attribute, attributes, loosely, say, telling, templates
from worldgen.spec import ObjectSpec, SceneSpec, goal_names
from worldgen.vocabulary import Affordance, Category

ALONE = ("lifted", "open", "closed")
"""Kinds of sentences that name one object only."""
KINDS = ("on", "in", "stack", "near", "pushed", *ALONE)
_OWN, _TASK, _LOOSE = 0.15, 0.2, 0.6
"""Shares of sentences that are a scene's own, of others that are about what it asks for, and of forms that are said loosely."""
_SYNONYM = 0.2
"""Share of nouns that are another word for the thing."""
_STRANGE, _STRANGE_USED = 0.12, 0.3
"""Shares that are a word nobody knows: where its colour tells what is meant, and where its use does."""
_USES: dict[str, set[Affordance]] = {"in": {"hollow"}, "on": {"hollow", "surface"}}
"""Kind of sentence → what things are put into or onto."""
_MORE = 0.35
"""How often each attribute that is not needed is said."""
_TRIES = 20

_ATTRIBUTES = ("colour", "pattern", "material")
"""In the order in which they are said."""

Rng = np.random.Generator
T = TypeVar("T")


class Sentences:
    """Says things about one scene.

    Args:
        spec: The scene.
        held_out: Whether to use the forms of sentences that are kept for reports, instead of those of training.
        loose: Whether to say much loosely, and some with words that nobody knows.
    """

    def __init__(self, spec: SceneSpec, held_out: bool = False, loose: bool = False) -> None:
        self.objects, self.held_out, self.loose = spec.objects, held_out, loose
        self._index = {item.name: index for index, item in enumerate(spec.objects)}
        self._task, goal = spec.task, spec.task.goals[0]
        self._named = [spec.object(name) for name in goal_names(goal)]
        self._kind = "stack" if spec.family() == "stack" else goal.kind
        self._own = 0.0 if any(known.nameless for item in self._named if (known := _known(item))) else _OWN

    def __call__(self, rng: Rng) -> tuple[str, int, int]:
        """Return a sentence and the indices of the objects that it names first and second; -1 for no second one."""
        if rng.random() >= self._own:
            for _ in range(_TRIES):
                kind, named = self._about(rng)
                uses = ("", kind)  # of what is moved that tells nothing
                nouns = [noun for item, use in zip(named, uses, strict=False) if (noun := self._noun(item, rng, use))]
                if len(nouns) == len(named):  # else nothing tells one of them from another thing
                    form = _one(templates(kind, self.held_out), rng)
                    if self.loose and rng.random() < _LOOSE:
                        form = loosely(form, rng)
                    return say(form, nouns[0], nouns[-1]), *self._which(named)
        return _one(self._task.sentences(), rng), *self._which(self._named)

    def _about(self, rng: Rng) -> tuple[str, list[ObjectSpec]]:
        """Return a kind of sentence and what it names."""
        if rng.random() < _TASK:
            return self._kind, self._named
        count = len(self.objects)
        first = int(rng.integers(count))
        second = (first + int(rng.integers(1, count))) % count if count > 1 else first
        target, other = self.objects[first], self.objects[second]
        kind = _one(_kinds(target, other), rng)
        return kind, [target] if kind in ALONE else [target, other]

    def _which(self, named: Sequence[ObjectSpec]) -> tuple[int, int]:
        first, second = (*(self._index[item.name] for item in named), -1)[:2]
        return first, second

    def rivals(self, index: int) -> list[int]:
        """Return the indices of the other objects of an object's category."""
        category = self.objects[index].category
        return [other for other, item in enumerate(self.objects) if item.category == category and other != index]

    def _noun(self, item: ObjectSpec, rng: Rng, use: str = "") -> str | None:
        """Return a noun phrase without article that fits an object and none of the others; None where there is none.

        `use`: kind of the sentence, where that puts something there.
        """
        index = self._index[item.name]
        needed: tuple[str, ...] | None = ()
        if self.loose and index == self._told_by_use.get(use) and rng.random() < _STRANGE_USED:
            noun = strange(rng)
        elif self.loose and index in self._told_by_colour and rng.random() < _STRANGE:
            needed, noun = ("colour",), strange(rng)
        else:
            needed, noun = self._needed[index], _called(item, rng)
        if needed is None:
            return None
        words = [getattr(item, key) if key in needed else _maybe(item, key, rng) for key in _ATTRIBUTES]
        return " ".join([*filter(None, words), noun])

    @cached_property
    def _told_by_use(self) -> dict[str, int]:
        """Kind of sentence → the only object that this can put things into or onto: that can be named by a word that nobody knows."""
        fit = {
            kind: [
                index
                for index, item in enumerate(self.objects)
                if (known := _known(item)) and uses & {*known.affordances}
            ]
            for kind, uses in _USES.items()
        }
        return {kind: some[0] for kind, some in fit.items() if len(some) == 1}

    @cached_property
    def _told_by_colour(self) -> set[int]:
        """Objects of a colour that no other one has: these can be named by a word that nobody knows."""
        colours = [attribute(item, "colour") for item in self.objects]
        return {index for index, colour in enumerate(colours) if colour and colours.count(colour) == 1}

    @cached_property
    def _needed(self) -> list[tuple[str, ...] | None]:
        """Attributes that tell each object from its rivals; None for one that nothing does."""
        found: list[tuple[str, ...] | None] = []
        for index, item in enumerate(self.objects):
            rivals = [self.objects[other] for other in self.rivals(index)]
            try:
                found.append(telling(item, rivals))
            except DesignError:
                found.append(None)
        return found


def _called(item: ObjectSpec, rng: Rng) -> str:
    """Return a noun for an object: its category or another word for that; for what nobody has a word for, one that means nothing."""
    known, noun = _known(item), item.category
    if known and known.nameless:
        return strange(rng)  # which then means what looks like nothing known
    if known and known.synonyms and rng.random() < _SYNONYM:
        noun = _one(known.synonyms, rng)
    return noun.replace("_", " ")


def _known(item: ObjectSpec) -> Category | None:
    """Return the category of an object; None where it is not of the vocabulary, such as a region."""
    return vocabulary.categories().get(item.category)


def strange(rng: Rng) -> str:
    """Return a word that nobody knows: the beginnings of one or two nouns and the end of another."""
    parts, words = _parts()
    while True:
        starts = [_one(parts, rng)[: int(rng.integers(2, 5))] for _ in range(1 + (rng.random() < 0.3))]
        found = "".join([*starts, _one(parts, rng)[-int(rng.integers(2, 5)) :]])
        if found not in words:
            return found


def unheard(sentence: str, share: float, rng: Rng) -> str:
    """Return a sentence with a share of the names of things replaced by words that nobody knows, where something else may tell what is meant.

    That is a colour, material or another word before it, or that something is put there. Whether another thing has that colour too is not
    known here. Who learns from such sentences learns to go by that when a name means nothing.
    """

    def said(found: re.Match[str]) -> str:
        there, before = found["there"] or "", found["before"]
        return there + before + strange(rng) if (there or before) and rng.random() < share else found[0]

    return _naming().sub(said, sentence)


@cache
def _naming() -> re.Pattern[str]:
    """Return what finds the names of things, the longest that fit ("traffic cone" and not "cone"), and what stands before them."""
    longest = "|".join(map(re.escape, sorted(vocabulary.nouns(), key=lambda noun: (-len(noun), noun))))
    told = "|".join(map(re.escape, attributes()))
    there = r"(?:on|onto|in|into|inside|of|to|over) the "
    return re.compile(rf"\b(?P<there>{there})?(?P<before>(?:(?:{told}) )*)(?:{longest})\b", re.IGNORECASE)


@cache
def _parts() -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the nouns to make words of, none that is kept for reports, and all words that mean something."""
    heard = (name for name, item in vocabulary.categories().items() if not (item.held_out or item.nameless))
    nouns = tuple(name for name in heard if len(name) > 3 and name.isalpha())
    return nouns, frozenset(word for phrase in (*vocabulary.nouns(), *attributes()) for word in phrase.split())


def _maybe(item: ObjectSpec, key: str, rng: Rng) -> str:
    return attribute(item, key) if rng.random() < _MORE else ""


def _one(items: Sequence[T], rng: Rng) -> T:
    return items[int(rng.integers(len(items)))]


def _kinds(target: ObjectSpec, other: ObjectSpec) -> tuple[str, ...]:
    if target.role == "fixture":
        return ("open", "closed") if target.category != "zone" else ("near",)
    if target.name == other.name:
        return ("lifted",)
    if other.category == "zone":
        return "pushed", "lifted"
    return "on", "in", "stack", "near", "lifted"

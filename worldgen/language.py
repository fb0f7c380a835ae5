"""What a sentence says of objects: their mentions, attributes, and which goes where. Knows vocabulary and phrases, not scenes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from . import vocabulary
from .phrases import phrases


@dataclass(frozen=True)
class Mention:
    """A category named in a sentence: its words from `start` to before `end`, and the attributes said of it."""

    start: int
    end: int
    said: frozenset[str]


def split_words(sentence: str) -> list[str]:
    """Return the lower-case words of a sentence without punctuation."""
    return "".join(c if c.isalnum() else " " for c in sentence.lower()).split()


@cache
def categories_by_words() -> dict[tuple[str, ...], str]:
    """Return the category that each noun of the vocabulary names, by its lower-case words."""
    return {tuple(split_words(noun)): name for noun, name in vocabulary.nouns().items()}


def noun_phrases(sentence: str, category: str) -> list[frozenset[str]]:
    """Return, for each mention of a category in a sentence, the attributes said of it.

    "the red wooden mug" and "the wooden mug that is red" name category "mug" with {"red", "wood"}. Synonyms and plurals of the
    vocabulary count, as do other words for an attribute ("metal"); what is no attribute ("big", "nearest") is ignored.
    """
    return [mention.said for mention in mentions(split_words(sentence), category)]


def mentions(words: Sequence[str], category: str) -> list[Mention]:
    """Return all mentions of a category among the words of a sentence."""
    known = vocabulary.categories().get(category)
    nouns = known.words(category) if known else (category, vocabulary.pluralise(category))
    found = []
    for noun in dict.fromkeys(tuple(split_words(noun)) for noun in nouns):
        for start in range(len(words) - len(noun) + 1):
            end = start + len(noun)
            if tuple(words[start:end]) == noun:
                length, after = _attributes_after(words[end:])
                found.append(Mention(start, end + length, _attributes_before(words[:start]) | after))
    return found


def moves(words: Sequence[str], moved: Iterable[Mention], receiver: Iterable[Mention], kind: str) -> bool:
    """Return whether a sentence plainly says that the one shall go on, in or to the other, as a goal of that kind asks.

    Plainly: "put A on B", "take A and put it on B", "A should go on B". Other word orders are not understood: False.
    """
    relations = _ON_IN if kind in ("on", "in") else _ON_IN | _BESIDE
    before_noun = _DETERMINERS | {"top", "of"} | {word for form in _forms() for word in form}
    for end in receiver:
        at = _skip(words, end.start - 1, before_noun)
        if words[at : at + 1] == ["to"] and words[max(0, at - 1)] in ("on", "in"):
            at -= 1
        if at < 0 or words[at] not in relations:
            continue
        for start in moved:
            between = words[start.end : at]
            if start.end > at or not all(word in _BETWEEN or word in _verbs() for word in between):
                continue
            first = _skip(words, start.start - 1, before_noun | {"up"})
            if words[first] in _verbs() if first >= 0 else between:
                return True
    return False


def openings(sentence: str) -> frozenset[str]:
    """Return what a sentence says to do with a joint: "open", "closed", both or nothing."""
    strong, weak = set(), set()
    for clause in re.split(r"[,.;:!?]|\bthen\b|\bso\b", sentence.lower().replace("'", "")):
        words = split_words(clause)
        negated = bool({"not", "dont", "never"} & set(words))
        for at, word in enumerate(words):
            if words[at + 1 : at + 2] == ["to"] and word == "close":  # next to something
                continue
            if at and words[at - 1] in _DETERMINERS and word in ("open", "closed", "shut"):  # "the open drawer"
                continue
            for sense, other in (("open", "closed"), ("closed", "open")):
                if word in _STRONG[sense]:
                    strong.add(other if negated else sense)
                elif word in _WEAK[sense] and not negated:
                    weak.add(sense)
    return frozenset(strong or weak)


def opened_or_closed(words: Sequence[str], mention: Mention) -> bool:
    """Return whether a mention is what a sentence says to open or close: "open the red mug"."""
    at = mention.start - 1
    while at >= 0 and (words[at],) in _forms():
        at -= 1
    return at >= 1 and words[at] in _DETERMINERS and words[at - 1] in ("open", "close", "shut")


def _skip(words: Sequence[str], at: int, passed: Iterable[str]) -> int:
    while at >= 0 and words[at] in passed:
        at -= 1
    return at


@cache
def _forms() -> dict[tuple[str, ...], str]:
    """Return the words for each attribute, the vocabulary's own and others: ("metal",) and ("steel",) are "steel"."""
    known = phrases()
    own = (*vocabulary.colours(), *vocabulary.materials(), *vocabulary.patterns())
    found = {tuple(split_words(adjective)): value for value, adjective in known.adjectives.items()}
    shades = known.lexicon["colour_shades"]
    for kind in ("colour", "material", "pattern"):
        others = known.lexicon[kind]
        assert isinstance(others, dict)
        for value, words in others.items():
            for form in map(tuple, map(split_words, words)):
                if form[0] not in shades:  # "dark blue" is also said of a blue one
                    found.setdefault(form, value)
    return {**found, **{(word,): word for word in own}}


@cache
def _verbs() -> frozenset[str]:
    verbs = phrases().lexicon["verb"]
    assert isinstance(verbs, dict)
    moving = (split_words(verb) for kind in ("move", "lift", "stack", "push") for verb in verbs[kind])
    return frozenset(words[0] for words in moving) | {"get", "want", "find", "shift", "let", "tower"}


def _read(words: Sequence[str]) -> tuple[int, str]:
    """Return how many words at the start name an attribute, and which; 0 when none do."""
    for length in (2, 1):
        if value := _forms().get(tuple(words[:length])):
            return min(length, len(words)), value
    return 0, ""


def _attributes_before(words: Sequence[str]) -> frozenset[str]:
    at = len(words)
    while at > max(0, len(words) - 4) and words[at - 1] not in _PHRASE_ENDS:
        at -= 1
    said = set()
    while at < len(words):
        length, value = _read(words[at:])
        at += length or 1
        said.add(value)
    return frozenset(said - {""})


def _attributes_after(words: Sequence[str]) -> tuple[int, frozenset[str]]:
    """Return what "that is blue", "which are made of wood" or "made of steel" says after a noun, and how many words do."""
    opening = _AFTER.match(" ".join(words))
    if opening is None:
        return 0, frozenset()
    at = last = len(opening[0].split())
    said = set()
    while at < len(words):
        length, value = _read(words[at:])
        if not length and words[at] not in _WITHIN:
            break
        at += length or 1
        if length:
            said.add(value)
            last = at
    return (last if said else 0), frozenset(said)


_PHRASE_ENDS = frozenset(
    split_words("the a an this that your my its of on onto in into to from by with near and or next inside beside over")
)
_DETERMINERS = frozenset(split_words("the a an this that your my its both all two three four"))
_AFTER = re.compile(r"(?:(?:that|which) (?:is|are|s|looks|look) |made (?:of|from) |made out of )")
_WITHIN = frozenset(split_words("made out of from in all very a and coloured colored painted completely entirely"))
_ON_IN = frozenset(split_words("on onto upon atop in into inside within"))
_BESIDE = frozenset(split_words("to near beside by alongside against towards toward besides"))
_BETWEEN = frozenset(
    split_words(
        "and then it them up down over right directly straight gently carefully slowly please next close across along "
        "should must has have needs need ought to be go goes rest rests stand stands sit sits end ends belongs stacked placed"
    )
)
_STRONG = {
    "open": frozenset(split_words("open opens opened opening ajar")),
    "closed": frozenset(split_words("close closes closed closing shut shuts shutting")),
}
_WEAK = {
    "open": frozenset(split_words("pull pulls pulled tug draw out")),
    "closed": frozenset(split_words("push pushes pushed in back")),
}

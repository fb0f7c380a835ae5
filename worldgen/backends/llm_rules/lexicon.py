"""Words of a request → tokens: what each can be, and what it is where it stands. Knows the vocabulary, no grammar."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple, cast

from ... import vocabulary
from ...language import split_words
from ...phrases import phrases

ADJECTIVES = frozenset({"colour", "material", "pattern", "surface", "size", "room"})
"""Kinds of words that can stand before a noun."""
HEADS = frozenset({"noun", "hypernym", "table", "distractors"})
"""Kinds of words that end a noun phrase."""

_GRAMMAR = frozenset({"article", "relation", "and", "with", "without", "pronoun", "filler", "verb"})


class Token(NamedTuple):
    """One word or phrase of a request in the part that it plays there."""

    kind: str
    value: str
    text: str
    plural: bool = False


Lexicon = dict[tuple[str, ...], tuple[Token, ...]]


@cache
def lexicon() -> Lexicon:
    """Return every known phrase with all parts that it can play."""
    found: dict[tuple[str, ...], dict[str, Token]] = {}
    for token in _entries():
        key = tuple(split_words(token.text))
        found.setdefault(key, {}).setdefault(token.kind, token)  # the first of a kind wins: the vocabulary's own
    return {key: tuple(readings.values()) for key, readings in found.items()}


def _entries() -> Iterator[Token]:
    known = phrases().lexicon
    kinds = vocabulary.categories()
    for name, item in kinds.items():
        singular = (name, *item.synonyms)
        for word in item.words(name):
            yield Token("noun", name, word, plural=word not in singular)
    for word in cast(tuple[str, ...], known["zone"]):  # a region has no other category to be
        yield Token("noun", "zone", word)
        yield Token("noun", "zone", vocabulary.pluralise(word), plural=True)
    for name, hypernym in phrases().hypernyms.items():
        for word in hypernym.words:
            yield Token("hypernym", name, word)
            yield Token("hypernym", name, vocabulary.pluralise(word), plural=True)
    for kind, names in (
        ("colour", tuple(vocabulary.colours())),
        ("material", tuple(vocabulary.materials())),
        ("pattern", vocabulary.patterns()),
        ("room", tuple(vocabulary.rooms())),
        ("surface", tuple(vocabulary.surfaces())),
    ):
        for name in names:
            yield Token(kind, name, name)
    for kind, words in known.items():
        if isinstance(words, dict):
            for value, texts in words.items():
                yield from (Token(kind, value, text) for text in texts)
                if kind == "verb":
                    yield from (Token(kind, value, form) for text in texts for form in _inflected(text))
        elif kind not in ("zone", "colour_shades"):
            yield from (Token(kind, text, text) for text in words)
    for shade in cast(tuple[str, ...], known["colour_shades"]):
        for name in vocabulary.colours():
            yield Token("colour", name, f"{shade} {name}")


def _inflected(verb: str) -> Iterator[str]:
    """Return "stacks" and "stacking" for "stack", also before "up"."""
    first, space, rest = verb.partition(" ")
    stem = first[:-1] if first.endswith("e") else first
    doubled = stem + stem[-1] if stem in ("put", "set", "drop", "shut", "grab", "drag") else stem
    for form in (vocabulary.pluralise(first), doubled + "ing"):
        if form not in ("setting", "holding"):  # more often a place and a preposition
            yield form + space + rest


def tokens(text: str) -> list[Token]:
    """Split a request into tokens, the longest known phrase first."""
    words = _words(text)
    found: list[Token] = []
    at = 0
    while at < len(words):
        token, length = _token(words, at, found[-1] if found else None)
        found.append(token)
        at += length
    return found


def _words(text: str) -> list[str]:
    """Return lower-case words; a stop, colon or comma is a word of its own."""
    text = text.lower().replace("’", "'").replace("'s", "").replace("n't", " not").replace("'d ", " would ")
    for mark in ".,;:!?":
        text = text.replace(mark, f" {mark} ")
    words = [word if word in ".,;:!?" else part for word in text.split() for part in (split_words(word) or [word])]
    return [_spelt(word) for word in words]


@cache
def _first_words() -> frozenset[str]:
    return frozenset(word for key in lexicon() for word in key)


def _spelt(word: str) -> str:
    """Return a word with two letters swapped back where that makes a small grammar word of it: "teh", "adn"."""
    if word in _first_words() or len(word) < 3:
        return word
    for at in range(len(word) - 1):
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if any(token.kind in _GRAMMAR for token in lexicon().get((swapped,), ())):
            return swapped
    return word


def _readings(words: list[str], at: int) -> tuple[tuple[Token, ...], int]:
    for length in range(min(5, len(words) - at), 0, -1):
        if readings := lexicon().get(tuple(words[at : at + length])):
            return readings, length
    return (), 1


def _token(words: list[str], at: int, before: Token | None) -> tuple[Token, int]:
    readings, length = _readings(words, at)
    text = " ".join(words[at : at + length])
    if not readings:
        if words[at].isdigit():
            return Token("count", str(int(words[at])), text), 1
        if words[at] in ".,;:!?":
            return Token("stop", words[at], text), 1
        adverb = words[at].endswith("ly") and not _noun_at(words, at + 1)
        kind = "filler" if adverb or not words[at].isalnum() else "unknown"
        return Token(kind, "", text), 1
    token = _chosen(readings, words, at + length, before)._replace(text=text)
    if _noun_at(words, at + length) and length == 1:
        if token.kind == "clutter" and text in ("empty", "clean"):
            return token._replace(kind="looks"), length
        if token.kind in ("light", "clutter") or text == "light":  # "the warm mug", "the full bowl"
            return token._replace(kind="unknown"), length
    return token, length


def _noun_at(words: list[str], at: int) -> bool:
    """Return whether an object is named here."""
    return at < len(words) and any(token.kind in ("noun", "hypernym") for token in _readings(words, at)[0])


def _chosen(readings: tuple[Token, ...], words: list[str], after: int, before: Token | None) -> Token:
    """Pick the part that a phrase plays: "orange" before a noun is a colour, else the fruit."""
    kinds = {token.kind: token for token in readings}
    if "verb" in kinds and before is not None and before.kind in ("article", *ADJECTIVES):
        kinds.pop("verb")  # "the open drawer", "a red stack"
        kinds = kinds or {"filler": Token("filler", "", readings[0].text)}
    following = {token.kind for token in _readings(words, after)[0]} if after < len(words) else set()
    if "anaphor" in kinds and before is not None and before.kind in ("article", *ADJECTIVES):
        return kinds["anaphor"]  # "the blue one"
    if following & HEADS and "noun" in kinds and len(kinds) > 1:
        kinds.pop("noun")
    if "table" in following and "surface" in kinds:
        return kinds["surface"]
    order: tuple[str, ...] = (
        "noun",
        "room",
        "hypernym",
        "verb",
        "relation",
        "colour",
        "material",
        "pattern",
        "surface",
    )
    if following & (HEADS - {"table"}) or "colour" in following:
        order = ("pattern", "material", "colour", "room", "verb", "relation", "surface", "noun")
    elif "surface" in kinds and not ({"noun", "colour"} & set(kinds)):
        return kinds["surface"]
    for kind in order:
        if kind in kinds:
            return kinds[kind]
    return next(iter(kinds.values()))

"""What a sentence says of an object: its mentions and the attributes before them. Knows the vocabulary, not scenes."""

from __future__ import annotations

from . import vocabulary


def split_words(sentence: str) -> list[str]:
    """Return the lower-case words of a sentence without punctuation."""
    return "".join(c if c.isalnum() else " " for c in sentence.lower()).split()


def noun_phrases(sentence: str, category: str) -> list[frozenset[str]]:
    """Return, for each mention of a category in a sentence, the attributes said of it.

    "the red ceramic mug" names category "mug" with {"red", "ceramic"}. Synonyms and plurals of the vocabulary count; words
    that are no colour, material or pattern ("big", "nearest") are ignored.
    """
    words = split_words(sentence)
    known = vocabulary.categories().get(category)
    nouns = known.words(category) if known else (category, vocabulary.pluralise(category))
    found = []
    for noun in dict.fromkeys(tuple(split_words(noun)) for noun in nouns):
        for start in range(len(words) - len(noun) + 1):
            if tuple(words[start : start + len(noun)]) == noun:
                found.append(_attributes_before(words[:start]))
    return found


def _attributes_before(words: list[str]) -> frozenset[str]:
    attributes = {*vocabulary.colours(), *vocabulary.materials(), *vocabulary.patterns()}
    said = []
    for word in reversed(words[-4:]):
        if word in _PHRASE_ENDS:
            break
        if word in attributes:
            said.append(word)
    return frozenset(said)


_PHRASE_ENDS = frozenset(
    split_words("the a an this that your my its of on onto in into to from by with near and or next inside beside over")
)

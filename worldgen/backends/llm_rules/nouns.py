"""Tokens → noun phrases and setting: adjectives find their noun, the rest is handed on. Knows no verbs, draws nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches

from ... import vocabulary
from ...errors import DesignError
from ...phrases import noun, phrases
from .lexicon import ADJECTIVES, HEADS, Token

NEAR = 85.0
"""How unlike a table may look to the colour that was named; see `_unlike`."""
_OF_TABLES = {"steel": "steel", "cloth": "fabric"}
TASKS = "put, stack, push, open, close, lift"


@dataclass(frozen=True)
class Mention:
    """A noun phrase: what a request says of one object or of several alike. Empty words were not said."""

    category: str = ""
    hypernym: str = ""
    colour: str = ""
    material: str = ""
    pattern: str = ""
    size: str = ""
    count: int = 1
    plural: bool = False
    new: bool = False
    """ "a cube", "another cube": not the one named before."""
    looks: str = ""
    """Adjectives beyond the vocabulary, for the description."""
    every: bool = False
    """ "all the fruit": nothing else of the kind is on the table."""

    def text(self) -> str:
        """Return it in words, for errors."""
        words = (self.size, self.looks, self.colour, self.pattern, self.material, noun(self.category or self.hypernym))
        return " ".join(word for word in words if word)


def refers(mention: Mention, earlier: Mention) -> bool:
    """Return whether a mention is a second naming of the same thing: "a mug ... the mug"."""
    return mention is earlier or (not mention.new and replace(mention, new=earlier.new) == earlier)


@dataclass
class Setting:
    """What a request says of table, room, light and clutter."""

    surfaces: tuple[str, ...] = ()
    table_colour: str = ""
    """Colour that was named of the table: `surfaces` are those that have it."""
    room: str = ""
    hinted_room: str = ""
    """Room that goes with the kind of table, where none is named."""
    light: str = ""
    clutter: str = ""
    distractors: int | None = None


@dataclass(frozen=True)
class Element:
    """A token that carries grammar, or a whole noun phrase."""

    kind: str
    value: str = ""
    text: str = ""
    mention: Mention | None = None


class _Phrase:
    """Adjectives and count on their way to a noun."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self.surfaces: list[Token] = []
        self.looks: list[Token] = []
        self.every = False
        self.count: int | None = None
        self.other = False
        self.new = False

    def add(self, token: Token) -> None:
        old = self.words.get(token.kind)
        if old not in (None, token.value):
            raise DesignError(f"'{old} {token.value}': an object has one {token.kind} here. Name one of the two.")
        self.words[token.kind] = token.value

    def empty(self) -> bool:
        return not (self.words or self.surfaces or self.count is not None)


def elements_of(found: list[Token], setting: Setting) -> list[Element]:
    """Group tokens into noun phrases and grammar words; take in the setting on the way."""
    if any(token.kind == "unknown" for token in found):
        raise _unknown(found)
    elements: list[Element] = []
    phrase = _Phrase()
    for token in found:
        if token.kind in ADJECTIVES - {"surface"}:
            phrase.add(token)
        elif token.kind == "surface":
            phrase.surfaces.append(token)
        elif token.kind == "count":
            phrase.count = int(token.value)
        elif token.kind == "looks":
            phrase.looks.append(token)
        elif token.kind == "all":
            phrase.every = True
        elif token.kind == "other":
            phrase.other = True
        elif token.kind in ("noun", "hypernym", "anaphor"):
            element = _thing(_meant(token, elements), phrase, setting)
            if element is not None:
                elements.append(element)
            phrase = _Phrase()
        elif token.kind == "table":
            elements.append(_table(token, phrase, setting))
            phrase = _Phrase()
        elif token.kind == "distractors":
            setting.distractors = _distractors(phrase, elements)
            phrase = _Phrase()
        elif token.kind in ("light", "clutter"):
            setattr(setting, token.kind, token.value)
        elif token.kind == "negation":
            raise DesignError(
                f"'{token.text}': only what to do is understood, not what to leave. Say what the robot should do."
            )
        elif token.kind == "unsupported":
            raise DesignError(f"'{token.text}' is no relation that can be built. Say 'on', 'in' or 'next to'.")
        elif token.kind == "article":
            phrase.new = token.value in ("a", "an")
        elif token.kind != "filler":
            _close(phrase, elements, setting)
            phrase = _Phrase()
            elements.append(Element(token.kind, token.value, token.text))
    _close(phrase, elements, setting)
    return elements


def _meant(token: Token, elements: list[Element]) -> Token:
    """Return the noun that "one" stands for in "the red cube on the blue one"."""
    if token.kind != "anaphor":
        return token
    for element in reversed(elements):
        if element.mention is not None and element.mention.category:
            return Token("noun", element.mention.category, token.text, token.text.endswith("s"))
    return Token("hypernym", "object", token.text, token.text.endswith("s"))


def _thing(token: Token, phrase: _Phrase, setting: Setting) -> Element | None:
    """Make the noun phrase that ends here; "four other objects" are distractors, not things of the request."""
    count = phrase.count if phrase.count is not None else 1
    if token.kind == "hypernym" and token.value == "object" and (phrase.other or phrase.count == 0):
        setting.distractors = count if phrase.count is not None or not token.plural else 3
        return None
    if count == 0:
        raise DesignError(f"'no {token.text}': say what is on the table, not what is missing.")
    if phrase.count is None and (token.plural or phrase.every):
        count = 2
    for surface in phrase.surfaces:  # "marble bowl", "oak cube"
        kind, value = _surface_as_adjective(surface.value)
        if kind:
            phrase.add(Token(kind, value, surface.text))
        else:
            raise DesignError(f"'{surface.text}' is said of tables only, not of a {token.text}. Leave it out.")
    if room := phrase.words.get("room"):  # "garden tool": also a hint of the place
        setting.room = setting.room or room
    words = phrase.words
    mention = Mention(
        category=token.value if token.kind == "noun" else "",
        hypernym=token.value if token.kind == "hypernym" else "",
        colour=words.get("colour", ""),
        material=words.get("material", ""),
        pattern=words.get("pattern", ""),
        size=words.get("size", ""),
        count=count,
        plural=token.plural,
        new=phrase.new or phrase.other,
        looks=" ".join(word.text for word in phrase.looks),
        every=phrase.every,
    )
    return Element("thing", text=token.text, mention=mention)


def _surface_as_adjective(name: str) -> tuple[str, str]:
    if name in vocabulary.patterns():
        return "pattern", name
    if vocabulary.surfaces()[name].pattern == "wood":
        return "material", "wood"
    return next((("material", word) for part, word in _OF_TABLES.items() if part in name.split("_")), ("", ""))


def _table(token: Token, phrase: _Phrase, setting: Setting) -> Element:
    """Take in what is said of the table: "a white marble table", "kitchen counter"."""
    names = _surfaces_like(phrase.words, [surface.value for surface in phrase.surfaces])
    if names:
        setting.table_colour = setting.table_colour or phrase.words.get("colour", "")
    setting.surfaces = setting.surfaces or tuple(names)
    setting.room = phrase.words.get("room", "") or setting.room
    setting.hinted_room = setting.hinted_room or token.value
    return Element("table", text=token.text)


def _surfaces_like(words: dict[str, str], named: list[str]) -> list[str]:
    """Return the table surfaces that a material, pattern or colour fits: a wooden table is oak, walnut or pine."""
    surfaces = vocabulary.surfaces()
    names = named or list(surfaces)
    for kind in ("material", "pattern"):
        if value := words.get(kind):
            synonyms = {"fabric": "cloth"}
            word = synonyms.get(value, value)
            names = [name for name in names if surfaces[name].pattern == value or word in name.split("_")]
    if colour := words.get("colour"):
        wanted = vocabulary.colours()[colour]

        def far(name: str) -> float:
            return max(_unlike(wanted, look) for look in surfaces[name].colours)

        mixed = () if named or "pattern" in words else ("checks", "dots")
        near = [name for name in names if colour in name.split("_") or far(name) < NEAR]
        names = sorted((name for name in near if surfaces[name].pattern not in mixed), key=far)
    if not named and not {"material", "pattern", "colour"} & set(words):
        return []
    if not names:
        said = " ".join([*(words[kind] for kind in ("colour", "pattern", "material") if kind in words), *named])
        raise DesignError(f"There is no {said} table surface. {vocabulary.valid_names(said, surfaces)}")
    return names


def _unlike(one: vocabulary.Colour, two: vocabulary.Colour) -> float:
    """Return how unlike two colours look: a brown is no black, however dark."""
    grey, other = sum(one) / 3, sum(two) / 3
    tint = sum((a - grey - b + other) ** 2 for a, b in zip(one, two, strict=True))
    return float((3 * (grey - other) ** 2 + 6.25 * tint) ** 0.5)


def _distractors(phrase: _Phrase, elements: list[Element]) -> int:
    if phrase.count is not None:
        return phrase.count
    return 0 if elements and elements[-1].kind == "without" else 3


def _close(phrase: _Phrase, elements: list[Element], setting: Setting) -> None:
    """Deal with adjectives that no noun followed: a room, a bare surface, or words said after their noun."""
    if phrase.empty():
        return
    if room := phrase.words.pop("room", ""):
        setting.room = room
    if phrase.surfaces:
        setting.surfaces = tuple(surface.value for surface in phrase.surfaces)
    last = elements[-1] if elements else None
    if phrase.words and last is not None and last.kind == "with":
        elements.pop()  # "a mug with stripes"
        last = elements[-1] if elements else None
    if phrase.words and last is not None and last.mention is not None:
        old = {key: getattr(last.mention, key) for key in phrase.words}
        for key, value in phrase.words.items():
            if old[key] not in ("", value):
                raise DesignError(f"'{old[key]}' and '{value}' are both said of the {last.text}. Name one of the two.")
        mention = last.mention
        for key, value in phrase.words.items():
            mention = replace(mention, **{key: value})  # type: ignore[arg-type]  # keys are those of text fields
        elements[-1] = replace(last, mention=mention)
    elif phrase.words or (phrase.count is not None and phrase.count > 1):
        said = " ".join(phrase.words.values()) or str(phrase.count)
        raise DesignError(f"'{said}' is not followed by an object. Say what it is: '{said} mug'.")


def _unknown(found: list[Token]) -> DesignError:
    """Return the error for all words that nobody knows, with what could stand in their places."""
    found = [token for token in found if token.kind not in ("filler", "looks")]
    texts: list[str] = []
    hints: dict[str, list[str]] = {"verb": [], "adjective": [], "noun": []}
    acts = any(token.kind == "verb" for token in found)
    for at, token in enumerate(found):
        if token.kind != "unknown" or token.text in texts:
            continue
        following = next((later.kind for later in found[at + 1 :] if later.kind != "unknown"), "stop")
        first = at == 0 or found[at - 1].kind in ("stop", "and", "wish")
        determined = following in ("article", "all", "pronoun", "count")
        if first and (determined or (not acts and following in _NAMED)):
            part = "verb"
        else:
            part = "adjective" if following in _NAMED else "noun"
        texts.append(token.text)
        hints[part] += get_close_matches(token.text, _words_of(part), n=3, cutoff=0.78)
        hints[part].append("")  # there is one, even if nothing is like it
    told = [f"The tasks are: {TASKS}."] if hints["verb"] else []
    for part, where in (
        ("adjective", "Objects have a colour, a material, a pattern, and are small or large."),
        ("noun", "All objects are listed in assets/vocabulary/categories.json."),
    ):
        close = [word for word in dict.fromkeys(hints[part]) if word]
        if close:
            told.append(f"Did you mean {' or '.join(repr(word) for word in close)}?")
        elif hints[part]:
            told.append(where)
    quoted = [f"'{text}'" for text in texts]
    if len(quoted) == 1:
        return DesignError(f"The word {quoted[0]} is not understood. {' '.join(told)}")
    return DesignError(f"The words {', '.join(quoted[:-1])} and {quoted[-1]} are not understood. {' '.join(told)}")


_NAMED = ADJECTIVES | HEADS


def _words_of(part: str) -> list[str]:
    kinds = vocabulary.categories()
    if part == "verb":
        return []
    if part == "adjective":
        return [*vocabulary.colours(), *vocabulary.materials(), *vocabulary.patterns(), *_words_of("noun")]
    words = [noun(name) for name in kinds] + [word for item in kinds.values() for word in item.synonyms]
    return words + [word for item in phrases().hypernyms.values() for word in item.words]

"""Tokens → what a request asks for: a task in words, things on the table, the setting. Knows no seeds and draws nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from ... import vocabulary
from ...errors import DesignError
from ...phrases import noun, phrases
from .lexicon import ADJECTIVES, Token, tokens


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

    def text(self) -> str:
        """Return it in words, for errors."""
        words = (self.size, self.looks, self.colour, self.pattern, self.material, noun(self.category or self.hypernym))
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Placed:
    """A thing of the scene and how it stands to another one at the start."""

    what: Mention
    relation: str = ""
    to: Mention | None = None


@dataclass
class Setting:
    """What a request says of table, room, light and clutter."""

    surfaces: tuple[str, ...] = ()
    room: str = ""
    hinted_room: str = ""
    """Room that goes with the kind of table, where none is named."""
    light: str = ""
    clutter: str = ""
    distractors: int | None = None


@dataclass
class Parse:
    """What a request asks for."""

    verb: str = ""
    """move, lift, stack, push, open or close; empty when no task is named."""
    said: str = ""
    """The verb in the request's own word."""
    targets: list[Mention] = field(default_factory=list)
    relation: str = ""
    """on, in, near or to, when the task names a receiver."""
    receiver: Mention | None = None
    start: tuple[str, Mention] | None = None
    """Where the target stands at first."""
    others: list[Placed] = field(default_factory=list)
    setting: Setting = field(default_factory=Setting)


@dataclass(frozen=True)
class Element:
    """A token that carries grammar, or a whole noun phrase."""

    kind: str
    value: str = ""
    text: str = ""
    mention: Mention | None = None


def parse(text: str) -> Parse:
    """Understand a request.

    Raises:
        DesignError: At the first word that is not understood, or at a contradiction.
    """
    setting = Setting()
    elements = _elements(tokens(text), setting)
    found = Parse(setting=setting)
    verbs = [index for index, element in enumerate(elements) if element.kind == "verb"]
    if not verbs:
        found.others = _things(elements)
        return found
    found.others = _things(elements[: verbs[0]])
    _task(elements[verbs[0] :], found)
    return found


# ---------------------------------------------------------------- noun phrases and setting


class _Phrase:
    """Adjectives and count on their way to a noun."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self.surfaces: list[Token] = []
        self.unknown: list[Token] = []
        self.count: int | None = None
        self.other = False
        self.new = False

    def add(self, token: Token) -> None:
        old = self.words.get(token.kind)
        if old not in (None, token.value):
            raise DesignError(f"'{old} {token.value}': an object has one {token.kind} here. Name one of the two.")
        self.words[token.kind] = token.value

    def empty(self) -> bool:
        return not (self.words or self.surfaces or self.unknown or self.count is not None)


def _elements(found: list[Token], setting: Setting) -> list[Element]:
    """Group tokens into noun phrases and grammar words; take in the setting on the way."""
    elements: list[Element] = []
    phrase = _Phrase()
    for token in found:
        if token.kind in ADJECTIVES - {"surface"}:
            phrase.add(token)
        elif token.kind == "surface":
            phrase.surfaces.append(token)
        elif token.kind == "count":
            phrase.count = int(token.value)
        elif token.kind == "unknown":
            phrase.unknown.append(token)
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
    if phrase.count is None and token.plural:
        count = 2
    for surface in phrase.surfaces:  # "marble bowl", "oak cube"
        kind, value = _surface_as_adjective(surface.value)
        if kind:
            phrase.add(Token(kind, value, surface.text))
        else:
            phrase.unknown.append(surface)
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
        looks=" ".join(word.text for word in phrase.unknown),
    )
    return Element("thing", text=token.text, mention=mention)


def _surface_as_adjective(name: str) -> tuple[str, str]:
    if name in vocabulary.patterns():
        return "pattern", name
    return ("material", "wood") if vocabulary.surfaces()[name].pattern == "wood" else ("", "")


def _table(token: Token, phrase: _Phrase, setting: Setting) -> Element:
    """Take in what is said of the table: "a white marble table", "kitchen counter"."""
    if phrase.unknown:
        raise _unknown(phrase.unknown[0])
    names = [surface.value for surface in phrase.surfaces] or _surfaces_like(phrase.words)
    setting.surfaces = setting.surfaces or tuple(names)
    setting.room = phrase.words.get("room", "") or setting.room
    setting.hinted_room = setting.hinted_room or token.value
    return Element("table", text=token.text)


def _surfaces_like(words: dict[str, str]) -> list[str]:
    """Return the table surfaces that a material, pattern or colour fits: a wooden table is oak, walnut or pine."""
    surfaces = vocabulary.surfaces()
    names = list(surfaces)
    for kind in ("material", "pattern"):
        if value := words.get(kind):
            synonyms = {"fabric": "cloth"}
            word = synonyms.get(value, value)
            names = [name for name in names if surfaces[name].pattern == value or word in name.split("_")]
    if colour := words.get("colour"):
        red, green, blue = vocabulary.colours()[colour]

        def far(name: str) -> float:
            return min(
                ((r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2) ** 0.5 for r, g, b in surfaces[name].colours
            )

        names = sorted((name for name in names if colour in name.split("_") or far(name) < 70), key=far)[:2]
    if not {"material", "pattern", "colour"} & set(words):
        return []
    if not names:
        said = " ".join(words[kind] for kind in ("colour", "pattern", "material") if kind in words)
        raise DesignError(f"There is no {said} table surface. {vocabulary.valid_names(said, tuple(surfaces))}")
    return names


def _distractors(phrase: _Phrase, elements: list[Element]) -> int:
    if phrase.count is not None:
        return phrase.count
    return 0 if elements and elements[-1].kind == "without" else 3


def _close(phrase: _Phrase, elements: list[Element], setting: Setting) -> None:
    """Deal with adjectives that no noun followed: a room, a bare surface, or words said after their noun."""
    if phrase.empty():
        return
    if phrase.unknown:
        raise _unknown(phrase.unknown[0])
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


def _unknown(token: Token) -> DesignError:
    nouns = [noun(name) for name in vocabulary.categories()]
    words = nouns + [word for item in vocabulary.categories().values() for word in item.synonyms]
    words += [word for item in phrases().hypernyms.values() for word in item.words]
    close = ", ".join(get_close_matches(token.text, words, n=5, cutoff=0.0))
    return DesignError(
        f"The word '{token.text}' is not understood. The nearest nouns are: {close}. "
        f"{len(nouns)} categories are known, from {nouns[0]} to {nouns[-1]}: see assets/vocabulary/categories.json."
    )


# ---------------------------------------------------------------- sentences


def _things(elements: list[Element]) -> list[Placed]:
    """Read a list of things: "a bowl with two apples next to a mug"."""
    things: list[Placed] = []
    relation = ""
    for element in elements:
        if element.kind == "relation":
            relation = element.value
        elif element.kind == "thing" and element.mention is not None:
            if relation in ("on", "in", "near") and things and things[-1].relation == "":
                things[-1] = replace(things[-1], relation=relation, to=element.mention)
            things.append(Placed(element.mention))
            relation = ""
        elif element.kind == "pronoun" and relation and len(things) > 1:  # "a bowl with an apple in it"
            things[-1] = replace(things[-1], relation=relation, to=things[-2].what)
            relation = ""
        elif element.kind in ("table", "and", "stop", "with"):
            relation = ""
    return _merged(things)


def refers(mention: Mention, earlier: Mention) -> bool:
    """Return whether a mention is a second naming of the same thing: "a mug ... the mug"."""
    return mention is earlier or (not mention.new and replace(mention, new=earlier.new) == earlier)


def _merged(things: list[Placed]) -> list[Placed]:
    """Drop the second naming of the same thing: "a bowl and a mug, the mug next to the bowl"."""
    kept: list[Placed] = []
    for thing in things:
        same = [index for index, old in enumerate(kept) if refers(thing.what, old.what)]
        if not same:
            kept.append(thing)
        elif thing.relation:
            kept[same[0]] = thing
    return kept


def _task(elements: list[Element], found: Parse) -> None:
    """Read an imperative sentence that starts with a verb, with what else it says of the scene."""
    verbs = [element for element in elements if element.kind == "verb"]
    last = next((verb for verb in reversed(verbs) if verb.value != "lift"), verbs[0])
    if any(verb.value in ("open", "close") and verb is not last for verb in verbs):
        raise DesignError(f"'{verbs[0].text} ... {last.text}': one task at a time. Ask for one of them.")
    found.verb, found.said = last.value, last.text
    at = 1
    at = _targets(elements, at, found)
    links: list[tuple[str, Mention]] = []
    table = False
    while at < len(elements):
        element = elements[at]
        following = elements[at + 1] if at + 1 < len(elements) else Element("end")
        if element.kind == "relation" and following.kind == "thing" and following.mention is not None:
            links.append((element.value, following.mention))
            at += 2
        elif element.kind == "relation" and following.kind == "table":
            table, at = True, at + 2
        elif element.kind == "and" and following.kind == "verb":
            at = _skip_verb(elements, at + 1, found)
        elif element.kind in ("verb", "stop", "pronoun", "relation", "table"):
            if element.kind == "verb":
                at = _skip_verb(elements, at, found)
            elif element.kind == "stop" and following.kind == "verb":
                at += 1
            elif element.kind == "stop" and at + 1 < len(elements):
                break
            else:
                at += 1
        else:
            break
    _link(links, found)
    found.others += _things(elements[at:])
    _check_table(found, table)


def _targets(elements: list[Element], at: int, found: Parse) -> int:
    """Read what the verb is said of: one thing, or several joined by "and"."""
    while at < len(elements):
        element = elements[at]
        if element.kind == "thing" and element.mention is not None:
            found.targets.append(element.mention)
            joined = at + 2 < len(elements) and elements[at + 1].text in ("and", ",", "plus", "as well as")
            if joined and elements[at + 2].kind == "thing" and _relation_ahead(elements, at + 2):
                at += 2
                continue
            return at + 1
        if element.kind not in ("pronoun", "stop"):
            return at
        if element.kind == "pronoun" and found.others:  # "a mug and a plate: put it on the plate"
            found.targets.append(found.others.pop(0).what)
            return at + 1
        at += 1
    return at


def _relation_ahead(elements: list[Element], at: int) -> bool:
    """Say whether a receiver follows, so that "the apple and the pear in the bowl" are both moved."""
    for element in elements[at:]:
        if element.kind == "relation":
            return True
        if element.kind not in ("thing", "and", "stop"):
            return False
    return False


def _skip_verb(elements: list[Element], at: int, found: Parse) -> int:
    """Pass a second verb of one task: "pick up the mug and put it on the plate"."""
    following = elements[at + 1] if at + 1 < len(elements) else Element("end")
    if following.kind == "thing" and following.mention is not None:
        if found.targets and following.mention != found.targets[0]:
            raise DesignError(
                f"'{elements[0].text} the {found.targets[0].text()}' and '{elements[at].text} the "
                f"{following.mention.text()}': one task at a time. Ask for one of them."
            )
        found.targets = found.targets or [following.mention]
        return at + 2
    return at + 2 if following.kind == "pronoun" else at + 1


def _link(links: list[tuple[str, Mention]], found: Parse) -> None:
    """Tell the receiver from where target and receiver stand at first."""
    sources = [link for link in links if link[0] == "from"]
    links = [link for link in links if link[0] != "from"]
    if sources:
        found.start = sources[0]
    if len(links) > 1 and links[-1][0] == "near":  # "on the plate next to the bowl"
        found.others.append(Placed(links[-2][1], "near", links[-1][1]))
        found.others.append(Placed(links[-1][1]))
        links = links[:-1]
    if len(links) > 1:  # "the apple in the bowl on the plate"
        found.start = links[0]
        links = links[1:]
    if len(links) > 1:
        raise DesignError(f"Too many places are named: {', '.join(link[1].text() for link in links)}. Name one goal.")
    if not links:
        return
    if found.verb in ("lift", "open", "close"):  # "pick up the apple in the bowl"
        found.start = links[0]
    else:
        found.relation, found.receiver = links[0]


def _check_table(found: Parse, table: bool) -> None:
    if found.verb in ("move", "stack") and table and found.receiver is None and found.targets:
        raise DesignError(
            f"The table is no place to put the {found.targets[0].text()}: things stand there from the start. "
            "Name an object to put it on or in."
        )

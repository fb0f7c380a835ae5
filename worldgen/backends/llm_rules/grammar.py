"""Noun phrases and verbs → what a request asks for: a task in words, things on the table, the setting. Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ... import vocabulary
from ...errors import DesignError
from ...phrases import phrases
from .lexicon import tokens
from .nouns import Element, Mention, Setting, elements_of, refers

_LOOKS = ("colour", "material", "pattern")


@dataclass(frozen=True)
class Placed:
    """A thing of the scene and how it stands to another one at the start."""

    what: Mention
    relation: str = ""
    to: Mention | None = None


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
    every: list[Mention] = field(default_factory=list)
    """What the request says all of: no other one may be on the table."""


def parse(text: str) -> Parse:
    """Understand a request.

    Raises:
        DesignError: At the first word that is not understood, or at a contradiction.
    """
    setting = Setting()
    elements = _granted(elements_of(tokens(text), setting))
    found = Parse(setting=setting)
    found.every = [element.mention for element in elements if element.mention is not None and element.mention.every]
    verbs = [index for index, element in enumerate(elements) if element.kind == "verb"]
    if not verbs:
        found.others = _things(elements)
        return found
    found.others = _things(elements[: verbs[0]])
    before = len(found.others)
    _task(elements[verbs[0] :], found)
    _take_all(found)
    _refer_back(found, before)
    return found


def _granted(elements: list[Element]) -> list[Element]:
    """Make orders of wishes: "I want the apple in the bowl", "the apple should be in the bowl"."""
    found: list[Element] = []
    moved = -1
    for at, element in enumerate(elements):
        if at == moved:
            continue
        kinds = [later.kind for later in elements[at + 1 :]]
        if element.kind == "wish":
            ahead = next((index for index, kind in enumerate(kinds) if kind not in ("thing", "and")), len(kinds))
            if ahead and kinds[ahead : ahead + 2] == ["relation", "thing"]:
                found.append(Element("verb", "move", "put"))
        elif element.kind == "should":
            first = len(found)
            while first and found[first - 1].kind in ("thing", "and", "relation"):
                first -= 1
            if first == len(found) or (kinds[:2] != ["relation", "thing"] and kinds[:1] != ["verb"]):
                raise DesignError(f"'{element.text}' is not clear here. Say it as a task: 'put the apple in the bowl'.")
            if kinds[0] == "verb":  # "the mug should be put on the plate"
                moved = at + 1
            found.insert(first, Element("verb", "move", "put") if kinds[0] == "relation" else elements[moved])
        else:
            found.append(element)
    return found


def _take_all(found: Parse) -> None:
    """Let "all the fruit" be those that the request names elsewhere, where it does."""
    targets: list[Mention] = []
    for mention in found.targets:
        meant = [placed.what for placed in found.others if mention.every and _covers(mention, placed.what)]
        if any(getattr(mention, key) not in ("", getattr(one, key)) for one in meant for key in _LOOKS):
            raise DesignError(
                f"It is not clear which are all of '{mention.text()}'. Name the objects that are to be moved."
            )
        if meant and mention.count > 2 and mention.count != sum(one.count for one in meant):
            raise DesignError(f"All of '{mention.text()}' are not as many as are named. Leave the number out.")
        targets += [one for one in meant if not any(one is old for old in targets)] or [mention]
    found.targets = targets


def _covers(mention: Mention, other: Mention) -> bool:
    if mention.category:
        return mention.category == other.category
    word, kinds = phrases().hypernyms[mention.hypernym], vocabulary.categories()
    if not other.category:
        return mention.hypernym == other.hypernym
    return other.category in kinds and word.covers(other.category, kinds[other.category])


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
        elif (
            element.kind == "pronoun" and relation in ("on", "in", "near") and len(things) > 1
        ):  # "a bowl with an apple in it"
            things[-1] = replace(things[-1], relation=relation, to=things[-2].what)
            relation = ""
        elif element.kind in ("table", "and", "stop", "with"):
            relation = ""
    return _merged(things)


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
    if len(elements) > 1 and elements[1].kind == "table":
        raise DesignError(f"'{elements[0].text} the {elements[1].text}': the table is fixed. Name an object on it.")
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
            elif element.kind == "stop" and following.kind in ("verb", "and"):
                at += 1
            elif element.kind == "stop" and at + 1 < len(elements):
                break
            else:
                at += 1
        else:
            break
    _link(links, found)
    _check_rest(elements, at)
    if found.verb in ("open", "close") and not found.targets and found.others:
        found.targets.append(found.others[-1].what)  # "the drawer should be open"
    found.others += _things(elements[at:])
    _check_table(found, table)


def _check_rest(elements: list[Element], at: int) -> None:
    """Refuse a second task in what follows the first, also one without a verb: "... and the apple in the bowl"."""
    start = at
    while at < len(elements) and (elements[at].kind == "and" or elements[at].text in (",", ";")):
        at += 1
    rest = elements[at:]
    added = any(element.kind == "and" for element in elements[max(0, start - 1) : at])
    kinds = [element.kind for element in rest]
    if rest and rest[0].mention is not None:
        what = rest[0].mention
        placed = kinds[1:3] in (["relation", "thing"], ["relation", "pronoun"]) and not what.new and at > start
        if added or placed:
            raise DesignError(
                f"'{what.text()}' after the task is not clear: one task at a time. "
                f"Ask for one, or say 'with {what.text()} ...' for what stands there from the start."
            )
    verb = next((element for element in rest if element.kind == "verb"), None)
    if verb is not None:
        raise DesignError(f"'{elements[0].text} ... {verb.text}': one task at a time. Ask for one of them.")


def _targets(elements: list[Element], at: int, found: Parse) -> int:
    """Read what the verb is said of: one thing, or several joined by "and"."""
    while at < len(elements):
        element = elements[at]
        if element.kind == "thing" and element.mention is not None:
            found.targets.append(element.mention)
            joined = at + 2 < len(elements) and elements[at + 1].text in ("and", ",", "plus", "as well as")
            listed = joined and elements[at + 2].kind == "thing"
            if listed and (elements[at + 1].text != "," or _relation_ahead(elements, at + 2)):
                at += 2
                continue
            return at + 1
        if element.kind not in ("pronoun", "stop"):
            return at
        if element.kind == "pronoun":  # "a mug and a plate: put it on the plate"
            if not found.others:
                raise DesignError(f"It is not clear what '{element.text}' is. Name the object.")
            found.targets.append(found.others[0].what)
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
    if links and found.verb in ("lift", "open", "close"):  # "pick up the apple in the bowl"
        found.start = links[0]
    elif links:
        found.relation, found.receiver = links[0]
    if found.start is not None and found.start[0] == "to":
        raise DesignError(
            f"'{found.said} ... to the {found.start[1].text()}' is not clear. Say 'put ... on', 'in' or 'next to' it."
        )


def _refer_back(found: Parse, before: int) -> None:
    """Find what the task names among the first `before` things: "a red mug and a plate: put the mug on the plate"."""
    named = [*found.targets, *([found.receiver] if found.receiver else [])]
    replaced: list[Mention] = []
    for mention in named:
        for index, placed in enumerate(found.others[:before]):
            if not _fits(mention, placed.what) or any(placed.what is old for old in replaced):
                continue
            if placed.what.count > mention.count:  # "three apples: put an apple in the bowl"
                less = replace(placed.what, count=placed.what.count - mention.count, new=True)
                found.others[index] = replace(placed, what=less)
            else:
                mention = placed.what
            break
        replaced.append(mention)
    found.targets = replaced[: len(found.targets)]
    found.receiver = replaced[-1] if found.receiver else None


def _fits(mention: Mention, earlier: Mention) -> bool:
    """Return whether a mention can mean what was named earlier."""
    if mention.category != earlier.category or mention.hypernym != earlier.hypernym:
        return False
    pairs = [(getattr(mention, key), getattr(earlier, key)) for key in ("colour", "material", "pattern")]
    several = earlier.count > mention.count
    return all(said in ("", old) or (several and old == "") for said, old in pairs)


def _check_table(found: Parse, table: bool) -> None:
    if found.verb in ("move", "stack") and table and found.receiver is None and found.targets:
        raise DesignError(
            f"The table is no place to put the {found.targets[0].text()}: things stand there from the start. "
            "Name an object to put it on or in."
        )

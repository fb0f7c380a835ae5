"""Which categories a noun phrase can mean, and which can play a part of a task for this robot in this split. Draws nothing."""

from __future__ import annotations

from collections.abc import Iterable

from ... import vocabulary
from ...errors import DesignError
from ...phrases import nearest, noun, phrases
from ...wire import Brief
from .nouns import Mention

FITS = 0.85
"""Share of the gripper's opening that the smallest of a graspable category may fill; a larger one is shrunk to fit."""
SHOWN = 12
"""Names that an error lists."""

_IN_WORDS = {
    "graspable": "the gripper can pick up",
    "stacker": "the gripper can pick up and stack",
    "pushable": "can be pushed",
    "openable": "can be opened",
    "surface": "carry others",
    "hollow": "hold others",
    "stackable": "can be stacked on",
    "base": "can be stacked on",
    "zone": "mark a place",
}
_CANNOT = {
    "graspable": "the gripper cannot pick up {}",
    "stacker": "the gripper cannot pick up and stack {}",
    "pushable": "{} cannot be pushed",
    "openable": "{} cannot be opened or closed",
    "surface": "nothing can be put onto {}",
    "hollow": "nothing can be put into {}",
    "stackable": "nothing can be stacked on {}",
    "base": "nothing can be stacked on {}",
    "zone": "{} marks no place",
}


class Kinds:
    """The vocabulary as one brief may use it."""

    def __init__(self, brief: Brief) -> None:
        self.brief = brief
        self._looks = dict(brief.request.looks)

    def affordances(self, name: str) -> set[str]:
        """Return what a category can do for this robot. Beside the vocabulary's own: "zone", "stacker" (graspable and stackable) and "base"
        (stackable, but nothing that things are put on anyway)."""
        if name == "zone":
            return {"zone"}
        item = vocabulary.categories()[name]
        can: set[str] = set(item.affordances)
        if min(item.small[:2]) > FITS * self.brief.gripper_opening:
            can.discard("graspable")
        stacker = {"stacker"} if can >= {"graspable", "stackable"} else set()
        base = {"base"} if "stackable" in can and "surface" not in can else set()
        return can | stacker | base

    def meant(self, mention: Mention) -> list[str]:
        """Return the categories that a mention can mean."""
        if mention.category:
            if mention.category not in vocabulary.categories():
                known = nearest(mention.category, self.brief.categories)
                raise DesignError(f"The vocabulary has no {noun(mention.category)}. {known}")
            return [mention.category]
        if not mention.hypernym:
            return list(self.brief.categories)
        word, kinds = phrases().hypernyms[mention.hypernym], vocabulary.categories()
        return [name for name in self.brief.categories if name != "zone" and word.covers(name, kinds[name])]

    def can(self, mention: Mention) -> set[str]:
        """Return all that something which fits the mention may be able to do."""
        return {able for name in self.meant(mention) for able in self.affordances(name)}

    def able(self, needed: Iterable[str], names: Iterable[str]) -> list[str]:
        """Return those categories that can do any of `needed`."""
        return [name for name in names if set(needed) & self.affordances(name)]

    def candidates(self, mention: Mention, needed: tuple[str, ...], target: bool) -> list[str]:
        """Return the categories that a part of the task can have: what the mention means, on the split's side.

        In the split of unseen categories a held-out one that can do the same takes the place of what was named; where there is
        none, a target has no candidate and a receiver keeps its own.
        """
        named = self.able(needed, self.meant(mention))
        task = self.brief.task_categories
        if self.brief.request.split != "unseen-categories" or named == ["zone"]:
            return named
        if not named:
            return []
        held = [name for name in named if name in task] or self.able(needed, task)
        return held or ([] if target else named)

    def suits(self, family: str, target: str, receiver: str) -> bool:
        """Return whether most of one category go in or on most of another: what is drawn should."""
        room = {"in": 0.85, "on": 1.2, "stack": 1.2}.get(family)
        kinds = vocabulary.categories()
        return room is None or max(kinds[target].large[:2]) <= room * max(kinds[receiver].small[:2])

    def colours(self, category: str) -> tuple[str, ...]:
        """Return the colours that a category comes in."""
        return vocabulary.categories()[category].colours or tuple(vocabulary.colours())

    def pictured(self, category: str) -> tuple[str, ...]:
        """Return the colours that there are photos of a category in; none where there are no photos of it."""
        return self._looks.get(category, ())

    def unable(self, mention: Mention, needed: Iterable[str]) -> DesignError:
        """Return the error for a mention that cannot play its part."""
        needed = tuple(needed)
        able = sorted(noun(name) for name in self.able(needed, self.brief.categories))
        more = f" and {len(able) - SHOWN} more" if len(able) > SHOWN else ""
        known = f"{', '.join(able[:SHOWN])}{more}." if able else "none."
        wanted = " or ".join(dict.fromkeys(_IN_WORDS[name] for name in needed))
        cannot = _CANNOT["surface" if "surface" in needed else needed[0]].format(an(mention.text() or "thing"))
        return DesignError(f"{cannot[0].upper()}{cannot[1:]}; things that {wanted}: {known}")

    def no_candidate(self, mention: Mention, needed: tuple[str, ...]) -> DesignError:
        """Return the error for a part of the task that nothing can play in this split."""
        if self.able(needed, self.meant(mention)):
            wanted = " or ".join(_IN_WORDS[name] for name in needed)
            return DesignError(f"No held-out category {wanted} is left. Use another split for this request.")
        return self.unable(mention, needed)


def an(words: str) -> str:
    """Return words with their indefinite article."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def unlike(colour: str, others: Iterable[str]) -> bool:
    """Return whether a colour looks unlike all others: the words tell objects apart, so the eye must too."""
    known = vocabulary.colours()
    return all(sum((a - b) ** 2 for a, b in zip(known[colour], known[other], strict=True)) > 110**2 for other in others)

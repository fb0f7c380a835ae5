"""What a request asks for → one task: its family, and the noun phrases that play its parts. Makes no objects yet."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from ...errors import DesignError
from .grammar import Parse
from .kinds import Kinds
from .nouns import Mention, refers

GoalKind = Literal["on", "in", "near", "lifted", "pushed", "open", "closed"]


class Family(NamedTuple):
    """A kind of task: what its two parts must be able to do, and how often it is drawn."""

    goal: GoalKind
    target: tuple[str, ...]
    receiver: tuple[str, ...]
    weight: float


FAMILIES: dict[str, Family] = {
    "in": Family("in", ("graspable",), ("hollow",), 3.0),
    "on": Family("on", ("graspable",), ("surface",), 3.0),
    "stack": Family("on", ("stacker",), ("base",), 2.0),
    "pushed": Family("pushed", ("pushable",), ("zone",), 2.0),
    "near": Family("near", ("graspable", "pushable"), ("graspable", "surface", "hollow", "stackable", "pushable"), 0.0),
    "lifted": Family("lifted", ("graspable",), (), 1.5),
    "open": Family("open", ("openable",), (), 1.0),
    "closed": Family("closed", ("openable",), (), 1.0),
}


class Task(NamedTuple):
    """What a scene is about; a part that nobody named is an empty mention."""

    family: str
    targets: list[Mention]
    receiver: Mention | None


def choose_task(asked: Parse, kinds: Kinds, chance: random.Random) -> Task:
    """Return the task that a request names, or draw one for the things that it names.

    Raises:
        DesignError: When what is named cannot play the part that it is named for.
    """
    if asked.verb == "":
        return _free_task(asked, kinds, chance)
    for mention in asked.targets:
        if asked.receiver is not None and mention.category and refers(asked.receiver, mention):
            raise DesignError(
                f"'the {mention.text()}' is both what moves and where to. Name another object, or say 'another'."
            )
    if len(asked.targets) > 1 and asked.verb not in ("move", "stack"):
        raise DesignError(f"'{asked.said}' is for one object at a time. Name one target.")
    target = asked.targets[0] if asked.targets else Mention()
    family = _family(asked, target, kinds, chance)
    receiver = asked.receiver
    if family == "stack" and receiver is None:
        if len(asked.targets) == 2:  # "stack the cube and the brick"
            return Task(family, [asked.targets[0]], asked.targets[1])
        if target.count == 2:  # "stack two cubes"
            one = replace(target, count=1, plural=False)
            return Task(family, [one], replace(one, new=True))
    if receiver is None and FAMILIES[family].receiver:
        receiver = Mention()
    return Task(family, asked.targets or [target], receiver)


def _family(asked: Parse, target: Mention, kinds: Kinds, chance: random.Random) -> str:
    """Return the family that verb, relation and receiver mean."""
    receiver = asked.receiver
    if asked.verb in ("lift", "open", "close"):
        return {"lift": "lifted", "open": "open", "close": "closed"}[asked.verb]
    if receiver is None:
        return {"stack": "stack", "push": "pushed"}.get(asked.verb) or _drawn(("in", "on"), target, kinds, chance)
    can, what = kinds.can(receiver), f"the {receiver.text()}"
    if can == {"zone"}:
        return "pushed"
    if asked.relation == "near" or (asked.verb == "push" and asked.relation == "to"):
        return "near"
    if asked.verb == "push":
        raise DesignError(f"Pushing ends on a zone or next to something; {what} is neither. Say 'put', or name a zone.")
    if asked.verb == "stack":
        return "on" if "surface" in can and "base" not in can else "stack"
    wanted = {"in": ("in", "on"), "on": ("on", "stack"), "to": ("in", "on", "stack", "near")}[asked.relation]
    for family in wanted:  # "in the plate" is said of plates, "on the bowl" is a mistake
        if set(FAMILIES[family].receiver) & can:
            return family
    raise kinds.unable(receiver, FAMILIES[wanted[0]].receiver)


def _drawn(families: Sequence[str], target: Mention, kinds: Kinds, chance: random.Random) -> str:
    able = [family for family in families if _feasible(family, target, kinds)]
    if not able:
        raise kinds.no_candidate(target, FAMILIES[families[0]].target)
    return chance.choices(able, [FAMILIES[family].weight for family in able])[0]


def _feasible(family: str, target: Mention, kinds: Kinds) -> bool:
    parts = FAMILIES[family]
    receiver = not parts.receiver or kinds.candidates(Mention(), parts.receiver, target=False)
    return bool(kinds.candidates(target, parts.target, target=True) and receiver)


def _free_task(asked: Parse, kinds: Kinds, chance: random.Random) -> Task:
    """Draw a task for the things that a request names, using as many of them as one can."""
    options: dict[str, list[Task]] = {}
    used = 0
    for task in _options(asked, kinds):
        count = sum(mention != Mention() for mention in (*task.targets, task.receiver) if mention is not None)
        if count > used:
            options, used = {}, count
        if count == used:
            options.setdefault(task.family, []).append(task)
    if not options:
        raise DesignError(
            "No task can be made of what is named. Name something that can be picked up, pushed or opened."
        )
    family = chance.choices(list(options), [FAMILIES[name].weight for name in options])[0]
    return chance.choice(options[family])


def _options(asked: Parse, kinds: Kinds) -> list[Task]:
    """Return every task with named things in its parts, or with drawn ones."""
    named = [placed.what for placed in asked.others]
    found = []
    for family, parts in FAMILIES.items():
        if not parts.weight:
            continue
        for target in [*named, Mention()]:
            if not _plays(target, parts.target, True, kinds):
                continue
            if not parts.receiver:
                found.append(Task(family, [target], None))
                continue
            for receiver in [*named, Mention()]:
                apart = target not in named or receiver is not target
                if (
                    apart
                    and not _starts_there(asked, target, receiver)
                    and _plays(receiver, parts.receiver, False, kinds)
                ):
                    found.append(Task(family, [target], receiver))
    return found


def _plays(mention: Mention, needed: tuple[str, ...], target: bool, kinds: Kinds) -> bool:
    """Return whether a mention can play a part; one of several must be tellable from the others by its colour."""
    alike = mention.colour or len(kinds.colours(mention.category)) <= mention.count if mention.category else False
    if mention.count > 1 and alike:
        return False
    return bool(kinds.candidates(mention, needed, target))


def _starts_there(asked: Parse, target: Mention, receiver: Mention) -> bool:
    return any(
        placed.what is target and placed.to is not None and placed.to == receiver and placed.relation in ("on", "in")
        for placed in asked.others
    )

"""A parsed request → a flat draft: draws by seed all that was not said. Knows affordances, no names of categories.

The one category it knows by name is `zone`, the mark on the table that `SceneSpec` knows too.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from ... import vocabulary
from ...errors import DesignError
from ...language import split_words
from ...phrases import noun, phrases
from ...vocabulary import Category
from ...wire import Brief, WireGoal, WireObject, WireScene
from .grammar import Parse, Placed, parse
from .kinds import Kinds, an, unlike
from .nouns import Mention, refers
from .sentences import sentences
from .tasks import FAMILIES, Task, choose_task

MAX_OBJECTS = 12
MAX_TARGETS = 4
BIG = 0.012
"""A footprint that takes much of the work area [m2]."""
FOOTPRINT = 0.075
"""Summed footprints of all objects that a scene is filled up to [m2]; the work area has 0.35 m a side."""
SAME_CLASS = 0.6
"""Share of the scenes with room for it that get a second object of the target's category."""
SECOND_ZONE = 0.5
"""Share of pushing scenes that get a second zone."""
TRUE = (
    "plain",
    "label",
    "band",
    "wood",
    "brushed",
    "weave",
    "gradient",
    "marble",
    "speckle",
    "stripes",
    "dots",
    "checks",
)
"""Patterns by how much of an object they leave in its own colour; the first three leave most."""

Relation = Literal["on", "in", "near", "free"]
Light = Literal["neutral", "bright", "dim", "warm", "cool"]


@dataclass(frozen=True)
class Thing:
    """One object with every word chosen."""

    category: str
    colour: str
    material: str
    pattern: str
    size: str = ""
    looks: str = ""
    said: tuple[str, ...] = ()
    """Attributes that the request named: the instruction names them too."""
    relation: Relation = "free"
    to: int = -1
    """Index of the thing that the relation is to."""


def compose(brief: Brief) -> WireScene:
    """Draft the scene of a brief.

    Raises:
        DesignError: When the request is not understood or asks for what cannot be.
    """
    request = brief.request
    chance = random.Random(f"rules/{request.seed}/{request.split}/{request.text}")
    return _Composer(brief, parse(request.text), chance).scene()


class _Composer:
    """One draft in the making."""

    def __init__(self, brief: Brief, asked: Parse, chance: random.Random) -> None:
        self.brief, self.asked, self.chance = brief, asked, chance
        self.kinds = Kinds(brief)
        self.things: list[Thing] = []
        self.mentions: dict[int, Mention] = {}
        """By index of a thing, the mention that it was made for."""
        self.stacked = False
        """Whether target and receiver may be of one category."""
        self.room = self._room()

    def scene(self) -> WireScene:
        task = choose_task(self.asked, self.kinds, self.chance)
        goals = self._task_things(task)
        self._others()
        self._distractors([target for target, _ in goals])
        objects = _objects(self.things)
        kind = FAMILIES[task.family].goal
        said = [thing.said for thing in self.things]
        told = sentences(task.family, objects, goals, said, self.asked, self.brief)
        if self._true_colours(goals, told):
            objects = _objects(self.things)
            told = sentences(task.family, objects, goals, said, self.asked, self.brief)
        return WireScene(
            surface=self._surface(),
            room=self.room,
            light=self._light(),
            objects=objects,
            instruction=told[0],
            paraphrases=told[1:],
            goals=[
                WireGoal(kind=kind, target=objects[one].name, other="" if two is None else objects[two].name)
                for one, two in goals
            ],
        )

    def _true_colours(self, goals: Sequence[tuple[int, int | None]], told: Sequence[str]) -> bool:
        """Take patterns that hide the colour off whatever the sentences tell by its colour; say if there was any."""
        words = {word for text in told for word in split_words(text)}
        kinds = {self.things[index].category for pair in goals for index in pair if index is not None}
        changed = False
        for index, thing in enumerate(self.things):
            if thing.category in kinds and "pattern" not in thing.said and thing.colour in words:
                pattern = _true(vocabulary.categories()[thing.category], thing.pattern)
                changed |= pattern != thing.pattern
                self.things[index] = replace(thing, pattern=pattern)
        return changed

    # ------------------------------------------------------------ setting

    def _room(self) -> str:
        setting = self.asked.setting
        for room in (setting.room, setting.hinted_room):
            if room in self.brief.rooms:
                return room
        usual = [
            room
            for mention in (*self.asked.targets, *(placed.what for placed in self.asked.others))
            if mention.category in vocabulary.categories()
            for room in vocabulary.categories()[mention.category].rooms
            if room in self.brief.rooms
        ]
        return self.chance.choice(usual if usual and self.chance.random() < 0.7 else self.brief.rooms)

    def _surface(self) -> str:
        setting = self.asked.setting
        named = [name for name in setting.surfaces if name in self.brief.surfaces]
        if setting.table_colour:
            if not named:
                raise DesignError(
                    f"No {setting.table_colour} table is in the split '{self.brief.request.split}', which has: "
                    f"{', '.join(noun(name) for name in self.brief.surfaces)}. Name one of these, or use another split."
                )
            named = named[:2]
        usual = [name for name in self.brief.surfaces if self.room in vocabulary.surfaces()[name].rooms]
        return self.chance.choice(named or usual or self.brief.surfaces)

    def _light(self) -> Light:
        lights: tuple[Light, ...] = ("neutral", "bright", "dim", "warm", "cool")
        said = cast(Light, self.asked.setting.light)
        return said or self.chance.choices(lights, (10, 2, 1, 2, 2))[0]

    # ------------------------------------------------------------ the task's objects

    def _task_things(self, task: Task) -> list[tuple[int, int | None]]:
        """Make the objects of the task; return target and receiver of each goal."""
        parts = FAMILIES[task.family]
        self.stacked = task.family == "stack"
        moved: list[int] = []
        receivers = self.kinds.candidates(task.receiver, parts.receiver, target=False) if task.receiver else []
        for mention in task.targets:
            one = self._one_of(mention) if self.asked.verb == "" else mention
            names = self._able(one, parts.target, target=True)
            suited = [name for name in names if any(self.kinds.suits(task.family, name, other) for other in receivers)]
            if one.every and one.hypernym:  # "all the fruit" are an apple and a pear
                single, left = replace(one, count=1), suited or names
                for _ in range(one.count):
                    category = self._by_room(left)
                    left = [name for name in left if name != category] or left
                    moved += self._make(single, category)
            else:
                moved += self._make(one, self._by_room(suited or names))
        if len(moved) > MAX_TARGETS:
            raise DesignError(f"{len(moved)} objects are to be moved; {MAX_TARGETS} are allowed. Ask for fewer.")
        if len(moved) > 1 and task.family not in ("in", "on"):
            raise DesignError(f"'{self.asked.said}' is for one object at a time; {len(moved)} are named. Name one.")
        receiver = None
        if task.receiver is not None:
            one = self._one_of(task.receiver) if self.asked.verb == "" else task.receiver
            if one.count > 1:
                raise DesignError(f"The goal is one object; '{one.text()}' is asked for {one.count} times. Name one.")
            names = self._able(one, parts.receiver, target=False)
            kinds = {self.things[index].category for index in moved}
            apart = [name for name in names if name not in kinds or task.family == "stack"] or names
            suited = [name for name in apart if all(self.kinds.suits(task.family, kind, name) for kind in kinds)]
            receiver = self._make(one, self._by_room(suited or apart))[0]
        self._start(moved)
        if task.family == "pushed" and self.chance.random() < SECOND_ZONE:
            self.things.append(self._thing(Mention(), "zone", self._colours_of("zone")))
        return [(index, receiver) for index in moved]

    def _one_of(self, mention: Mention) -> Mention:
        """Take one out of a group that a request without a task names: "three apples" are one to move and two others."""
        if mention.count == 1:
            return mention
        rest = replace(mention, count=mention.count - 1, new=True)
        self.asked.others = [
            replace(placed, what=rest) if placed.what is mention else placed for placed in self.asked.others
        ]
        return replace(mention, count=1, plural=False)

    def _able(self, mention: Mention, needed: tuple[str, ...], target: bool) -> list[str]:
        """Return the categories that can play a part of the task."""
        names = self.kinds.candidates(mention, needed, target)
        if not names:
            raise self.kinds.no_candidate(mention, needed)
        return names

    def _by_room(self, names: Sequence[str]) -> str:
        kinds = vocabulary.categories()
        return self.chance.choices(names, [4.0 if self.room in kinds[name].rooms else 1.0 for name in names])[0]

    def _make(self, mention: Mention, category: str) -> list[int]:
        """Make what a mention asks for: unlike all that is there, though a group may look alike."""
        avoid = self._colours_of(category)
        first = len(self.things)
        if first + mention.count > MAX_OBJECTS:
            raise DesignError(
                f"{first + mention.count} objects are asked for; {MAX_OBJECTS} fit the work area. Ask for fewer."
            )
        for index in range(first, first + mention.count):
            self.things.append(self._thing(mention, category, avoid))
            self.mentions[index] = mention
        return list(range(first, first + mention.count))

    def _colours_of(self, category: str) -> list[str]:
        return [thing.colour for thing in self.things if thing.category == category]

    def _start(self, moved: list[int]) -> None:
        """Stand the target where the request says it stands at first."""
        if self.asked.start is None:
            return
        relation, mention = self.asked.start
        needed = {"in": ("hollow",), "on": ("surface", "stackable"), "from": ("hollow", "surface")}.get(relation, ())
        names = self.kinds.able(needed, self.kinds.meant(mention)) if needed else self.kinds.meant(mention)
        if not names:
            raise self.kinds.unable(mention, needed)
        place = self._made_for(mention)
        place = self._make(mention, self._by_room(names))[0] if place is None else place
        if relation == "from":
            relation = "in" if "hollow" in self.kinds.affordances(self.things[place].category) else "on"
        for index in moved:
            self._relate(index, relation, place)

    def _relate(self, index: int, relation: str, to: int) -> None:
        category = self.things[index].category
        if relation in ("on", "in") and {"openable", "zone"} & self.kinds.affordances(category):
            raise DesignError(
                f"{an(noun(category)).capitalize()} stands on the table and nowhere else. Leave its place out."
            )
        self.things[index] = replace(self.things[index], relation=cast(Relation, relation), to=to)

    # ------------------------------------------------------------ words of one object

    def _thing(self, mention: Mention, category: str, avoid: Sequence[str] = ()) -> Thing:
        """Choose every word of one object; `avoid` are colours that would make it look like another."""
        item = vocabulary.categories()[category]
        replaced = mention.category not in ("", category)
        if not replaced:  # words that do not suit a category which the split chose are dropped
            self._check_words(mention, item, category)
        colour = mention.colour if mention.colour in self.kinds.colours(category) else ""
        material = mention.material if mention.material in item.materials else self._material(item, colour)
        pattern = mention.pattern if mention.pattern in item.patterns else ""
        drawn = item.patterns[0] if self.chance.random() < 0.5 else self.chance.choice(item.patterns)
        if self.kinds.pictured(category) and "plain" in item.patterns:
            drawn = "plain"  # as photos are taken to be
        if colour:
            drawn = _true(item, drawn)
        if colour and colour in avoid:
            raise DesignError(
                f"Nothing tells one {colour} {noun(category)} from the other. Give one of them another colour."
            )
        said = {"colour": colour, "material": material, "pattern": pattern}
        return Thing(
            category,
            colour or self._colour(category, material, avoid),
            material,
            pattern or drawn,
            mention.size,
            mention.looks,
            tuple(key for key, value in said.items() if value and value == getattr(mention, key)),
        )

    def _check_words(self, mention: Mention, item: Category, category: str) -> None:
        for key, names in (
            ("colour", self.kinds.colours(category)),
            ("material", item.materials),
            ("pattern", item.patterns),
        ):
            value = getattr(mention, key)
            if value and value not in names:
                raise DesignError(
                    f"'{value}' is no {key} of {an(noun(category))}. {vocabulary.valid_names(value, names)}"
                )

    def _material(self, item: Category, colour: str) -> str:
        usual = phrases().usual_colours
        suits = [name for name in item.materials if not colour or colour in usual.get(name, (colour,))]
        return self.chance.choice(suits or item.materials)

    def _colour(self, category: str, material: str, avoid: Sequence[str]) -> str:
        every = self.kinds.colours(category)
        if avoid or self.stacked or category == "zone" or self._several(category):  # nobody says "the natural cube"
            every = tuple(name for name in every if name != "natural") or every
        usual = vocabulary.categories()[category].colours or phrases().usual_colours.get(material, ()) or every
        usual = tuple(name for name in usual if name in every) or every
        for names in (
            [name for name in self.kinds.pictured(category) if name in every and unlike(name, avoid)],
            [name for name in usual if unlike(name, avoid)],
            [name for name in every if unlike(name, avoid)],
            [name for name in every if name not in avoid],
        ):
            if names:
                return self.chance.choice(names)
        raise DesignError(
            f"There are more objects of category {noun(category)} than colours that tell them apart. Ask for fewer."
        )

    # ------------------------------------------------------------ everything else on the table

    def _others(self) -> None:
        """Add what else the request names, each where it says."""
        for placed in self.asked.others:
            index = self._found_or_made(placed.what)
            if placed.to is None:
                continue
            to = self._found_or_made(placed.to)
            self._check_relation(placed, to)
            group = [other for other, mention in self.mentions.items() if mention is self.mentions.get(index)]
            for member in group or [index]:
                if member != to:
                    self._relate(member, placed.relation, to)

    def _check_relation(self, placed: Placed, to: int) -> None:
        needed = {"in": {"hollow"}, "on": {"surface", "stackable"}}.get(placed.relation, set())
        if needed and placed.to is not None and not needed & self.kinds.affordances(self.things[to].category):
            raise self.kinds.unable(placed.to, sorted(needed))

    def _made_for(self, mention: Mention) -> int | None:
        """Return the thing that was already made for a mention, or that it refers back to."""
        return next((index for index, made in self.mentions.items() if refers(mention, made)), None)

    def _found_or_made(self, mention: Mention) -> int:
        found = self._made_for(mention)
        if found is not None:
            return found
        names = [name for name in self.kinds.meant(mention) if name in self.brief.categories]
        if not names:
            raise DesignError(f"The vocabulary has no {mention.text()}. Name an object in other words.")
        first = len(self.things)
        for _ in range(mention.count if not mention.category else 1):  # "fruits" are an apple and a pear
            one = mention if mention.category else replace(mention, count=1)
            there = {thing.category for thing in self.things}
            made = self._make(one, self._by_room([name for name in names if name not in there] or names))
            self.mentions.update(dict.fromkeys(made, mention))
        return first

    def _distractors(self, moved: list[int]) -> None:
        """Fill the table as the request's setting says, with at most one rival of the target's category."""
        setting = self.asked.setting
        exact = setting.distractors is not None
        low, high = {"cluttered": (4, 6), "tidy": (0, 1)}.get(setting.clutter, (2, 4))
        count = setting.distractors
        if count is None:
            count = max(0, self.chance.randint(low, high) - len(self.asked.others))
        if len(self.things) + count > MAX_OBJECTS:
            raise DesignError(
                f"{len(self.things) + count} objects are asked for; {MAX_OBJECTS} fit the work area. Ask for fewer."
            )
        if count and len(moved) == 1 and self._rival(self.things[moved[0]].category):
            count -= 1
        for _ in range(count):
            names = self._fillers(exact)
            if not names:
                break
            self.things.append(self._thing(Mention(), self._by_room(names)))

    def _several(self, category: str) -> bool:
        """Return whether the request names several objects of a category."""
        start = [self.asked.start[1]] if self.asked.start else []
        receiver = [self.asked.receiver] if self.asked.receiver else []
        named = [*self.asked.targets, *receiver, *start, *(placed.what for placed in self.asked.others)]
        return sum(mention.count for mention in named if mention.category == category) > 1

    def _rival(self, category: str) -> bool:
        """Add a second object of the target's category in another colour, so that the instruction's words matter."""
        avoid = self._colours_of(category)
        if self.asked.every or "natural" in avoid:
            return False
        fits = "openable" not in self.kinds.affordances(category) and len(avoid) == 1
        if not fits or not any(unlike(name, avoid) for name in self.kinds.colours(category)):
            return False
        if self.chance.random() > SAME_CLASS:
            return False
        self.things.append(self._thing(Mention(), category, avoid))
        return True

    def _fillers(self, exact: bool) -> list[str]:
        """Return the categories that may fill the table: movable, none that is there, none from the held-out side."""
        kinds = vocabulary.categories()
        there = {thing.category for thing in self.things}
        there |= {name for mention in self.asked.every for name in self.kinds.meant(mention)}
        names = [
            name
            for name in self.brief.categories
            if name not in there and name not in self.brief.held_out.categories
            if not {"zone", "openable"} & self.kinds.affordances(name)
        ]
        footprints = [kinds[thing.category].large for thing in self.things if thing.category != "zone"]
        used = sum(x * y for x, y, _ in footprints)
        big = any(x * y > BIG for x, y, _ in footprints)
        fitting = [
            name
            for name in names
            for x, y, _ in [kinds[name].large]
            if used + x * y <= FOOTPRINT and not (big and x * y > BIG)
        ]
        small = [name for name in names if kinds[name].large[0] * kinds[name].large[1] <= BIG]
        return fitting or (small if exact else [])


def _true(item: Category, pattern: str) -> str:
    """Return a pattern that leaves an object the colour that it is called by: the given one, where it does."""
    return pattern if pattern in TRUE[:3] else min(item.patterns, key=TRUE.index)


def _objects(things: Sequence[Thing]) -> list[WireObject]:
    names: list[str] = []
    for thing in things:
        base = "_".join(thing.category.replace("-", " ").replace("_", " ").split())
        same = sum(other.category == thing.category for other in things[: len(names)])
        names.append(f"{base}_{same + 1}" if same else base)
    return [_object(thing, name, names) for thing, name in zip(things, names, strict=True)]


def _object(thing: Thing, name: str, names: Sequence[str]) -> WireObject:
    item = vocabulary.categories()[thing.category]
    pattern = "" if thing.pattern == "plain" else f" with {thing.pattern}"
    material = "" if thing.material == "fruit" else thing.material
    looks = " ".join(word for word in (thing.looks, thing.colour, material, noun(thing.category)) if word)
    longest = {"": 0.0, "small": 95 * max(item.small), "large": 105 * max(item.large)}[thing.size]
    return WireObject(
        name=name,
        category=thing.category,
        colour=thing.colour,
        material=thing.material,
        pattern=thing.pattern,
        description=(looks + pattern)[:300],
        longest_cm=round(longest, 1),
        role="distractor",  # roles follow from the goals
        relation=thing.relation,
        relative_to=names[thing.to] if thing.to >= 0 else "table",
    )

"""What a request asks for → a flat draft: draws by seed all that was not said. Knows affordances, no names of categories.

The one category it knows by name is `zone`, the mark on the table that `SceneSpec` knows too.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

from ... import vocabulary
from ...errors import DesignError
from ...phrases import noun, phrases
from ...vocabulary import Category
from ...wire import Brief, WireGoal, WireObject, WireScene
from .grammar import Mention, Parse, Placed, parse, refers
from .sentences import sentences

GoalKind = Literal["on", "in", "near", "lifted", "pushed", "open", "closed"]
MAX_OBJECTS = 12
MAX_TARGETS = 4
FOOTPRINT = 0.075
"""Summed footprints of all objects that a scene is filled up to [m2]; the work area has 0.35 m a side."""
FITS = 0.85
"""Share of the gripper's opening that the smallest of a graspable category may fill; a larger one is shrunk to fit."""
SAME_CLASS = 0.6
"""Share of scenes with room for it that get a second object of the target's category."""


class Family(NamedTuple):
    """A kind of task: what its two parts must be able to do, and how often it is drawn."""

    goal: GoalKind
    target: tuple[str, ...]
    receiver: tuple[str, ...]
    weight: float


FAMILIES: dict[str, Family] = {
    "in": Family("in", ("graspable",), ("hollow",), 3.0),
    "on": Family("on", ("graspable",), ("surface",), 3.0),
    "stack": Family("on", ("stacker",), ("stackable",), 2.0),
    "pushed": Family("pushed", ("pushable",), ("zone",), 2.0),
    "near": Family("near", ("graspable", "pushable"), ("graspable", "surface", "hollow", "stackable"), 0.5),
    "lifted": Family("lifted", ("graspable",), (), 1.5),
    "open": Family("open", ("openable",), (), 1.0),
    "closed": Family("closed", ("openable",), (), 1.0),
}


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
    relation: Literal["on", "in", "near", "free"] = "free"
    to: int = -1
    """Index of the thing that the relation is to."""


class Task(NamedTuple):
    """What a scene is about, before its objects are drawn."""

    family: str
    targets: list[Mention]
    receiver: Mention | None


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
        self.things: list[Thing] = []
        self.mentions: dict[int, Mention] = {}
        """By index of a thing, the mention that it was made for."""
        self.room = self._room()

    def scene(self) -> WireScene:
        task = self._task()
        goals = self._task_things(task)
        self._others(task)
        if len(self.things) > MAX_OBJECTS:
            raise DesignError(
                f"{len(self.things)} objects are asked for; {MAX_OBJECTS} fit the work area. Ask for fewer."
            )
        self._distractors(task, [pair[0] for pair in goals])
        objects = self._objects()
        kind = FAMILIES[task.family].goal
        told = sentences(task.family, objects, goals, [thing.said for thing in self.things], self.asked, self.brief)
        return WireScene(
            surface=self._surface(),
            room=self.room,
            light=cast(Literal["neutral", "bright", "dim", "warm", "cool"], self.asked.setting.light or self._light()),
            objects=objects,
            instruction=told[0],
            paraphrases=told[1:],
            goals=[
                WireGoal(kind=kind, target=objects[one].name, other="" if two is None else objects[two].name)
                for one, two in goals
            ],
        )

    # ------------------------------------------------------------ setting

    def _room(self) -> str:
        setting = self.asked.setting
        for room in (setting.room, setting.hinted_room):
            if room in self.brief.rooms:
                return room
        usual = [
            room
            for mention in (*self.asked.targets, *(placed.what for placed in self.asked.others))
            if mention.category
            for room in vocabulary.categories()[mention.category].rooms
            if room in self.brief.rooms
        ]
        return self.chance.choice(usual if usual and self.chance.random() < 0.7 else self.brief.rooms)

    def _surface(self) -> str:
        named = [name for name in self.asked.setting.surfaces if name in self.brief.surfaces]
        usual = [name for name in self.brief.surfaces if self.room in vocabulary.surfaces()[name].rooms]
        return self.chance.choice(named or usual or self.brief.surfaces)

    def _light(self) -> str:
        return self.chance.choices(("neutral", "bright", "dim", "warm", "cool"), (10, 2, 1, 2, 2))[0]

    # ------------------------------------------------------------ the task

    def _task(self) -> Task:
        """Choose the family, and the mentions that play its parts; a part that nobody named is an empty mention."""
        asked = self.asked
        self._check_pair()
        if len(asked.targets) > 1 and asked.verb not in ("move", "lift", "stack"):
            raise DesignError(f"'{asked.said}' is for one object at a time. Name one target.")
        if asked.verb == "":
            return self._free_task()
        target = asked.targets[0] if asked.targets else Mention(hypernym="")
        family = self._family(target)
        receiver = asked.receiver
        if family == "stack" and len(asked.targets) == 2 and receiver is None:  # "stack the cube and the brick"
            return Task(family, [asked.targets[0]], asked.targets[1])
        if family == "stack" and receiver is None and target.count == 2:  # "stack two cubes"
            one = replace(target, count=1, plural=False)
            return Task(family, [one], replace(one, new=True))
        if receiver is None and FAMILIES[family].receiver:
            receiver = Mention()
        return Task(family, asked.targets or [target], receiver)

    def _family(self, target: Mention) -> str:
        """Return the family that verb, relation and receiver mean."""
        asked, receiver = self.asked, self.asked.receiver
        fixed = {"lift": "lifted", "open": "open", "close": "closed"}.get(asked.verb)
        if fixed:
            return fixed
        if receiver is None:
            if asked.verb == "move":
                return self._drawn(("in", "on"), [target])
            return {"stack": "stack", "push": "pushed"}[asked.verb]
        can = self._can(receiver)
        what = f"the {receiver.text()}"
        if "zone" in can:
            return "pushed"
        if asked.relation == "near":
            return "near"
        if asked.verb == "push":
            if asked.relation == "to":
                return "near"
            raise DesignError(f"Pushing ends on a zone or next to something; {what} is neither. Say 'put', or name a zone.")
        if asked.verb == "stack":
            return "stack" if "stackable" in can or "surface" not in can else "on"
        wanted = {"in": ("in", "on"), "on": ("on", "stack"), "to": ("in", "on", "stack", "near")}[asked.relation]
        for family in wanted:  # "in the plate" is said of plates, "on the bowl" is a mistake
            if set(FAMILIES[family].receiver) & can:
                return family
        raise self._unable(receiver, FAMILIES[wanted[0]].receiver, f"Nothing can be put {asked.relation} {what}")

    def _free_task(self) -> Task:
        """Draw a task for the things that a request names, using as many of them as one can."""
        named = [placed.what for placed in self.asked.others]
        best: dict[str, Task] = {}
        used = -1
        for family, parts in FAMILIES.items():
            for target in [*named, Mention()]:
                if family == "near" or not self._plays(target, parts.target):
                    continue
                rest = [item for item in named if item is not target]
                receivers = [*rest, Mention()] if parts.receiver else [None]
                for receiver in receivers:
                    if receiver is not None and not self._fits(receiver, parts.receiver):
                        continue
                    if receiver is not None and self._starts_there(target, receiver):
                        continue
                    count = sum(1 for item in (target, receiver) if item in named)
                    if count > used:
                        best, used = {}, count
                    if count == used and (family not in best or self.chance.random() < 0.5):
                        best[family] = Task(family, [target], receiver)
        if not best:
            raise DesignError("No task can be made of what is named. Name something that can be picked up, pushed or opened.")
        return best[self._drawn(tuple(best), [])]

    def _drawn(self, families: Sequence[str], targets: list[Mention]) -> str:
        able = [family for family in families if all(self._candidates(t, FAMILIES[family].target) for t in targets)]
        able = [family for family in able if not FAMILIES[family].receiver or self._candidates(Mention(), FAMILIES[family].receiver)]
        if not able:
            raise self._unable(targets[0], FAMILIES[families[0]].target, "There is no such task for it")
        return self.chance.choices(able, [FAMILIES[family].weight for family in able])[0]

    def _plays(self, mention: Mention, needed: tuple[str, ...]) -> bool:
        if mention.count > 1 and mention.category and not self._distinct(mention):
            return False
        return self._fits(mention, needed)

    def _fits(self, mention: Mention, needed: tuple[str, ...]) -> bool:
        return bool(self._candidates(mention, needed, strict=False))

    def _starts_there(self, target: Mention, receiver: Mention) -> bool:
        return any(
            placed.what is target and placed.to == receiver and placed.relation in ("on", "in")
            for placed in self.asked.others
        )

    def _distinct(self, mention: Mention) -> bool:
        """Say whether several of a kind can be told apart by colour."""
        return not mention.colour and len(self._colours(mention.category)) > mention.count

    def _unable(self, mention: Mention, needed: Iterable[str], what: str) -> DesignError:
        able = [noun(name) for name in self.brief.categories if set(needed) & self._affordances(name)]
        close = vocabulary.valid_names(mention.category, able) if able else "The vocabulary has nothing for it."
        wanted = " or ".join(_IN_WORDS[name] for name in needed)
        return DesignError(f"{what}: {_an(mention.text() or 'thing')} is nothing that {wanted}. {close}")

    # ------------------------------------------------------------ categories

    def _affordances(self, name: str) -> set[str]:
        """Return what a category can do for this robot; "zone" and "stacker" (graspable and stackable) beside the vocabulary's."""
        if name == "zone":
            return {"zone"}
        item = vocabulary.categories()[name]
        can: set[str] = set(item.affordances)
        if min(item.small[:2]) > FITS * self.brief.gripper_opening:
            can.discard("graspable")
        return can | {"stacker"} if can >= {"graspable", "stackable"} else can

    def _can(self, mention: Mention) -> set[str]:
        """Return what something that fits the mention may be able to do."""
        return {able for name in self._meant(mention) for able in self._affordances(name)}

    def _meant(self, mention: Mention) -> list[str]:
        """Return the categories that a mention can mean."""
        if mention.category:
            if mention.category not in vocabulary.categories():
                raise DesignError(f"The vocabulary has no {noun(mention.category)}. {vocabulary.valid_names(mention.category, self.brief.categories)}")
            return [mention.category]
        names = [name for name in self.brief.categories if name != "zone"]
        if not mention.hypernym:
            return [*names, *(["zone"] if "zone" in self.brief.categories else [])]
        word = phrases().hypernyms[mention.hypernym]
        return [
            name
            for name in names
            for item in [vocabulary.categories()[name]]
            if (not word.materials or set(word.materials) & set(item.materials))
            and (not word.rooms or set(word.rooms) & set(item.rooms))
            and (not word.affordances or set(word.affordances) & set(item.affordances))
        ]

    def _candidates(self, mention: Mention, needed: tuple[str, ...], strict: bool = True) -> list[str]:
        """Return the categories that a part of the task can have: what the mention means, moved into the split's side."""
        named = [name for name in self._meant(mention) if set(needed) & self._affordances(name)]
        if mention.category and not named:
            return []
        task = self.brief.task_categories
        if self.brief.request.split != "unseen-categories":
            return [name for name in named if name in task or name == mention.category]
        held = [name for name in named if name in task]
        if held or named == ["zone"]:
            return held or named
        held = [name for name in task if set(needed) & self._affordances(name)]
        return held if strict or held else []

    def _category(self, mention: Mention, needed: tuple[str, ...], taken: Iterable[str] = ()) -> str:
        """Draw the category of a part of the task."""
        names = self._candidates(mention, needed)
        if not names and self.brief.request.split == "unseen-categories" and self._meant(mention):
            raise DesignError(f"No held-out category is {' or '.join(needed)}. Use another split for this request.")
        if not names:
            raise self._unable(mention, needed, f"'{self.asked.said or mention.text()}' cannot be done")
        free = [name for name in names if name not in taken] or names
        return self._by_room(free)

    def _by_room(self, names: Sequence[str]) -> str:
        kinds = vocabulary.categories()
        return self.chance.choices(names, [4.0 if self.room in kinds[name].rooms else 1.0 for name in names])[0]

    # ------------------------------------------------------------ things

    def _task_things(self, task: Task) -> list[tuple[int, int | None]]:
        """Make the objects of the task; return target and receiver of each goal."""
        parts = FAMILIES[task.family]
        moved: list[int] = []
        for mention in task.targets:
            if mention.count > 1 and self.asked.verb == "":  # "three apples": one of them is meant
                mention = replace(mention, count=1, plural=False)
                self.asked.others = _fewer(self.asked.others, mention)
            category = self._category(mention, parts.target)
            moved += self._several(mention, category, ("colour",) if mention.colour else ())
        if len(moved) > MAX_TARGETS:
            raise DesignError(f"{len(moved)} objects are to be moved; {MAX_TARGETS} are allowed. Ask for fewer.")
        if len(moved) > 1 and task.family not in ("in", "on"):
            raise DesignError(f"'{self.asked.said}' is for one object at a time; {len(moved)} are named. Name one.")
        receiver = None
        if task.receiver is not None:
            if task.receiver.count > 1:
                raise DesignError(f"'{task.receiver.text()}' is named {task.receiver.count} times as the goal. Name one.")
            taken = {self.things[index].category for index in moved} if task.family != "stack" else ()
            category = self._category(task.receiver, parts.receiver, taken)
            receiver = self._several(task.receiver, category)[0]
        self._start(moved)
        if task.family == "pushed" and self.chance.random() < 0.5 and receiver is not None:
            self.things.append(self._thing(Mention(category="zone"), "zone", self._rival_words("zone")))
        return [(index, receiver) for index in moved]

    def _check_pair(self) -> None:
        """Refuse "put the mug on the mug": the second is no other one."""
        for mention in self.asked.targets:
            receiver = self.asked.receiver
            if receiver is not None and mention.category and refers(receiver, mention):
                raise DesignError(
                    f"'the {mention.text()}' is both what moves and where to. Name another object, or say 'another'."
                )

    def _several(self, mention: Mention, category: str, said: tuple[str, ...] = ()) -> list[int]:
        made: list[int] = []
        for _ in range(min(mention.count, MAX_OBJECTS + 1)):
            same = bool(made)  # a group to be moved may look alike; other rivals may not
            thing = self._thing(mention, category, [] if same else self._rival_words(category))
            self.things.append(thing)
            self.mentions[len(self.things) - 1] = mention
            made.append(len(self.things) - 1)
        return made

    def _rival_words(self, category: str) -> list[str]:
        return [thing.colour for thing in self.things if thing.category == category]

    def _thing(self, mention: Mention, category: str, avoid: Sequence[str] = ()) -> Thing:
        """Choose every word of one object; `avoid` are colours that would make it the same as another."""
        item = vocabulary.categories()[category]
        replaced = bool(mention.category) and category != mention.category
        self._check_words(mention, item, category, replaced)
        material = mention.material if mention.material in item.materials else ""
        colour = mention.colour if mention.colour in self._colours(category) else ""
        if not material:
            material = self._material(item, colour)
        if not colour:
            usual = item.colours or phrases().usual_colours.get(material, ()) or self._colours(category)
            colours = [name for name in usual if _far(name, avoid)]
            colours = colours or [name for name in self._colours(category) if _far(name, avoid)]
            colours = colours or [name for name in self._colours(category) if name not in avoid]
            if not colours:
                raise DesignError(f"There are more objects of category {noun(category)} than colours that tell them apart. Ask for fewer.")
            colour = self.chance.choice(colours)
        elif colour in avoid and (mention.new or not mention.material):
            raise DesignError(
                f"Nothing tells one {colour} {noun(category)} from the other. Give one of them another colour."
            )
        pattern = mention.pattern if mention.pattern in item.patterns else ""
        said = tuple(key for key in ("colour", "material", "pattern") if getattr(mention, key) and not replaced)
        return Thing(
            category,
            colour,
            material,
            pattern or (item.patterns[0] if self.chance.random() < 0.5 else self.chance.choice(item.patterns)),
            mention.size,
            mention.looks,
            said if colour == mention.colour or not mention.colour else (),
        )

    def _check_words(self, mention: Mention, item: Category, category: str, replaced: bool) -> None:
        if replaced:  # the split chose another category: words that do not suit it are dropped
            return
        for key, names in (
            ("colour", self._colours(category)),
            ("material", item.materials),
            ("pattern", item.patterns),
        ):
            value = getattr(mention, key)
            if value and value not in names:
                raise DesignError(
                    f"'{value}' is no {key} of {_an(noun(category))}. {vocabulary.valid_names(value, tuple(names))}"
                )

    def _colours(self, category: str) -> tuple[str, ...]:
        return vocabulary.categories()[category].colours or tuple(vocabulary.colours())

    def _material(self, item: Category, colour: str) -> str:
        usual = phrases().usual_colours
        suits = [name for name in item.materials if not colour or colour in usual.get(name, (colour,))]
        return self.chance.choice(suits or item.materials)

    def _start(self, moved: list[int]) -> None:
        """Stand the target where the request says it stands at first."""
        if self.asked.start is None:
            return
        relation, mention = self.asked.start
        needed = {"in": ("hollow",), "on": ("surface",), "from": ("hollow", "surface")}.get(relation, ())
        categories = [name for name in self._meant(mention) if not needed or set(needed) & self._affordances(name)]
        if not categories:
            raise self._unable(mention, needed, f"Nothing can stand {relation} it")
        found = self._several(mention, self._by_room(categories))[0]
        if relation == "from":
            relation = "in" if "hollow" in self._affordances(self.things[found].category) else "on"
        for index in moved:
            self._relate(index, relation, found)

    def _relate(self, index: int, relation: str, to: int) -> None:
        kind = cast(Literal["on", "in", "near", "free"], relation)
        self.things[index] = replace(self.things[index], relation=kind, to=to)

    def _others(self, task: Task) -> None:
        """Add what else the request names, each where it says."""
        for placed in self.asked.others:
            index = self._found(placed.what)
            if index is None:
                names = self._allowed(placed.what)
                index = self._several_apart(placed.what, self._by_room(names))
            if placed.to is None:
                continue
            to = self._found(placed.to)
            if to is None:
                to = self._several_apart(placed.to, self._by_room(self._allowed(placed.to)))
            if to != index:
                self._check_relation(placed, to)
                self._relate(index, placed.relation, to)

    def _check_relation(self, placed: Placed, to: int) -> None:
        needed = {"in": {"hollow"}, "on": {"surface", "stackable"}}.get(placed.relation, set())
        if needed and placed.to is not None and not needed & self._affordances(self.things[to].category):
            raise self._unable(placed.to, sorted(needed), f"Nothing can stand {placed.relation} it")

    def _allowed(self, mention: Mention) -> list[str]:
        names = [name for name in self._meant(mention) if name in self.brief.categories]
        if not names:
            raise DesignError(
                f"The vocabulary has no {mention.text()}. {vocabulary.valid_names(mention.text(), self.brief.categories)}"
            )
        return names

    def _found(self, mention: Mention) -> int | None:
        """Return the thing that was already made for a mention, or that it refers back to."""
        for index, made in self.mentions.items():
            if refers(mention, made):
                return index
        return None

    def _several_apart(self, mention: Mention, category: str) -> int:
        """Make several things that differ from those of the task in colour, though not from each other."""
        avoid = self._rival_words(category)
        first = len(self.things)
        for _ in range(min(mention.count, MAX_OBJECTS + 1)):
            self.things.append(self._thing(mention, category, avoid))
            self.mentions[len(self.things) - 1] = mention
        return first

    # ------------------------------------------------------------ distractors

    def _distractors(self, task: Task, moved: list[int]) -> None:
        setting = self.asked.setting
        count = setting.distractors
        if count is None:
            low, high = {"cluttered": (4, 6), "tidy": (0, 1)}.get(setting.clutter, (2, 4))
            named = len(self.asked.others)
            count = max(0, self.chance.randint(low, high) - named)
        if len(self.things) + count > MAX_OBJECTS:
            raise DesignError(
                f"{len(self.things) + count} objects are asked for; {MAX_OBJECTS} fit the work area. Ask for fewer."
            )
        exact = setting.distractors is not None
        if count and len(moved) == 1 and self._rival(self.things[moved[0]]):
            count -= 1
        taken = {thing.category for thing in self.things}
        for _ in range(count):
            names = [name for name in self._small() if name not in taken and (exact or self._room_for(name))]
            names = names or [name for name in self._small() if name not in taken]
            if not names or not (exact or self._room_for(names[0])):
                break
            category = self._by_room(names)
            taken.add(category)
            self.things.append(self._thing(Mention(), category))

    def _rival(self, target: Thing) -> bool:
        """Add a second object of the target's category in another colour, so that the instruction's words matter."""
        if "openable" in self._affordances(target.category) or self.chance.random() > SAME_CLASS:
            return False
        avoid = self._rival_words(target.category)
        if len(avoid) > 1 or not any(_far(name, avoid) for name in self._colours(target.category)):
            return False
        self.things.append(self._thing(Mention(), target.category, avoid))
        return True

    def _small(self) -> list[str]:
        """Return the categories that fill a table: no fixtures, and nothing from the split's held-out side."""
        kinds = vocabulary.categories()
        held = set(self.brief.held_out.categories)
        return [
            name
            for name in self.brief.categories
            if name != "zone" and name not in held and "openable" not in kinds[name].affordances
        ]

    def _room_for(self, name: str) -> bool:
        kinds = vocabulary.categories()
        areas = [kinds[thing.category].large for thing in self.things if thing.category != "zone"]
        x, y, _ = kinds[name].large
        big = sum(max(area[:2]) > 0.14 for area in areas)
        return sum(area[0] * area[1] for area in areas) + x * y <= FOOTPRINT and not (big and max(x, y) > 0.14)

    # ------------------------------------------------------------ records

    def _objects(self) -> list[WireObject]:
        names: list[str] = []
        for thing in self.things:
            base = "_".join(thing.category.replace("-", " ").replace("_", " ").split())
            same = sum(old == base or old.rsplit("_", 1)[0] == base for old in names)
            names.append(f"{base}_{same + 1}" if same else base)
        return [self._object(thing, name, names) for thing, name in zip(self.things, names, strict=True)]

    def _object(self, thing: Thing, name: str, names: list[str]) -> WireObject:
        item = vocabulary.categories()[thing.category]
        pattern = "" if thing.pattern == "plain" else f" with {thing.pattern}"
        looks = " ".join(word for word in (thing.looks, thing.colour, thing.material, noun(thing.category)) if word)
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


_IN_WORDS = {
    "graspable": "the gripper can pick up",
    "stacker": "the gripper can pick up and stack",
    "pushable": "can be pushed",
    "openable": "can be opened",
    "surface": "carries things",
    "hollow": "holds things",
    "stackable": "can be stacked on",
    "zone": "marks a place",
}


def _an(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _far(colour: str, others: Iterable[str]) -> bool:
    """Return whether a colour looks unlike all others: the words tell objects apart, so the eye must too."""
    known = vocabulary.colours()
    return all(sum((a - b) ** 2 for a, b in zip(known[colour], known[other], strict=True)) > 80**2 for other in others)


def _fewer(others: list[Placed], mention: Mention) -> list[Placed]:
    """Take one object out of a group that a task's target was taken from."""
    found = []
    for placed in others:
        same = placed.what.category == mention.category and placed.what.count > 1
        if same:
            mention = replace(mention, category="")
            count = placed.what.count - 1
            placed = replace(placed, what=replace(placed.what, count=count, new=True))
        found.append(placed)
    return found

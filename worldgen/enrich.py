"""WireScene → SceneSpec: words become sizes, seeds and ranges. Knows the vocabulary and the splits, not who drafted.

Every finding is a `Problem`, so that a person or a language model can act on all of them at once.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from . import phrases, vocabulary
from .errors import DesignError, Problem, SpecError
from .language import categories_by_words, split_words
from .shapes import Vector3
from .spec import HELD_VARIANT, MIN_SIZE, SceneSpec
from .vocabulary import Category
from .wire import Brief, WireGoal, WireObject, WireScene

VARIANTS = 100
GRIP = 0.88
"""Share of the gripper's opening that a target may fill; the spec refuses more than 0.9."""

_LIGHTS: dict[str, dict[str, tuple[float, float]]] = {
    "neutral": {},
    "bright": {"strength": (0.65, 0.8), "ambient": (0.36, 0.46)},
    "dim": {"strength": (0.22, 0.36), "ambient": (0.14, 0.22)},
    "warm": {"warmth": (0.25, 0.55)},
    "cool": {"warmth": (-0.55, -0.25)},
}
_NEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "on": (("graspable",), ("surface", "stackable")),
    "in": (("graspable",), ("hollow",)),
    "near": (("graspable", "pushable"), ()),
    "lifted": (("graspable",), ()),
    "pushed": (("pushable",), ()),
    "open": (("openable",), ()),
    "closed": (("openable",), ()),
}
"""By goal: affordances of which the target, and its counterpart, must have one."""
_SHARE: dict[str, float] = {"in": 0.85, "on": 1.25, "stack": 1.1}
"""By goal: how long a target may be, as a share of what it goes in or on. A stacked one is measured on both sides."""
_TRIES = 16
CLEAR = 0.0024
"""What an object of the task fills of the view where its category allows it [m2]: about 38 of 64 x 64 pixels of 8 mm."""


def to_spec(wire: WireScene, brief: Brief) -> SceneSpec:
    """Make the rich spec from a flat draft.

    Raises:
        SpecError: With every problem of the draft: words, split, affordances, sizes, goals, language.
    """
    wire = canonical(wire)
    if found := list(_word_problems(wire, brief)):
        raise SpecError(found)  # what follows looks words up
    found = [*_affordance_problems(wire), *_split_problems(wire, brief)]
    if found:
        raise SpecError(found)
    chance = _chance(brief, "scene")
    friction = vocabulary.surfaces()[wire.surface].friction
    value: dict[str, Any] = {
        "name": re.sub(r"[^a-z0-9]+", "-", wire.instruction.lower()).strip("-")[:48].strip("-") or "scene",
        "robot": brief.request.robot,
        "surface": {
            "material": wire.surface,
            "variant": chance.randrange(8),
            "friction": {"low": round(max(0.1, friction - 0.1), 3), "high": round(friction + 0.1, 3)},
        },
        "background": {"room": wire.room, "variant": chance.randrange(8)},
        "light": {key: {"low": low, "high": high} for key, (low, high) in _LIGHTS[wire.light].items()},
        "objects": [_object(item, wire, brief) for item in wire.objects],
        **_camera(wire, chance),
        "task": {**_sentences(wire, brief), "goals": [_goal(goal) for goal in wire.goals], "seconds": _seconds(wire)},
    }
    return SceneSpec.checked(value, brief.gripper_opening)


def _camera(wire: WireScene, chance: random.Random) -> dict[str, Any]:
    """Return a camera over the arm's shoulder for what opens towards the arm; else leave the usual one."""
    if not any(goal.kind in ("open", "closed") for goal in wire.goals):
        return {}
    side = chance.choice((-1, 1))
    low, high = sorted((side * 112, side * 136))
    return {"camera": {"azimuth": {"low": low, "high": high}, "elevation": {"low": 36, "high": 46}}}


def canonical(wire: WireScene) -> WireScene:
    """Return the draft with synonyms replaced by the vocabulary's names, and roles that follow from the goals."""
    names = categories_by_words()
    objects = [
        item.model_copy(
            update={
                "category": names.get(tuple(split_words(item.category)), item.category),
                **{key: getattr(item, key).strip().lower() for key in ("colour", "material", "pattern")},
            }
        )
        for item in wire.objects
    ]
    roles = _roles(wire.goals, objects)
    objects = [item.model_copy(update={"role": roles.get(item.name, "distractor")}) for item in objects]
    return wire.model_copy(update={"objects": objects, "surface": _joined(wire.surface), "room": _joined(wire.room)})


def _joined(words: str) -> str:
    return "_".join(split_words(words))


def _roles(goals: list[WireGoal], objects: list[WireObject]) -> dict[str, str]:
    """Say which part each object plays: it follows from goals and relations, so a draft cannot get it wrong."""
    category = {item.name: item.category for item in objects}
    roles = {item.relative_to: "container" for item in objects if item.relation == "in"}
    for goal in goals:
        if goal.kind in ("on", "in") and goal.other:
            stacked = goal.kind == "on" and "surface" not in _affordances(category.get(goal.other, ""))
            roles[goal.other] = "target" if stacked else "container"
    for goal in goals:
        roles[goal.target] = "fixture" if goal.kind in ("open", "closed") else "target"
    fixed = {name: "fixture" for name, kind in category.items() if kind == "zone" or "openable" in _affordances(kind)}
    return {**roles, **fixed}


def _affordances(category: str) -> tuple[str, ...]:
    known = vocabulary.categories().get(category)
    return known.affordances if known else ()


def _word_problems(wire: WireScene, brief: Brief) -> Iterator[Problem]:
    for path, value, names in (("surface", wire.surface, brief.surfaces), ("room", wire.room, brief.rooms)):
        if value not in names:
            yield Problem(path, f"'{value}' is not allowed here.", vocabulary.valid_names(value, names))
    if not wire.objects:
        yield Problem("objects", "there are none.", "Name at least the object of the task.")
    if not wire.goals:
        yield Problem("goals", "there are none.", "Name at least one.")
    for item in wire.objects:
        path = f"objects.{item.name}"
        known = vocabulary.categories().get(item.category)
        if known is None or item.category not in brief.categories:
            yield Problem(
                f"{path}.category",
                f"'{item.category}' is {'unknown' if known is None else 'not allowed in this split'}.",
                phrases.nearest(item.category, brief.categories),
            )
            continue
        for key, names in (
            ("colour", known.colours or tuple(vocabulary.colours())),
            ("material", known.materials),
            ("pattern", known.patterns),
        ):
            if (value := getattr(item, key)) not in names:
                yield Problem(
                    f"{path}.{key}",
                    f"'{value}' is no {key} of a {phrases.noun(item.category)}.",
                    vocabulary.valid_names(value, names),
                )
        yield from _length_problems(item, known)


def _length_problems(item: WireObject, known: Category) -> Iterator[Problem]:
    low, high = 60 * max(known.small), 160 * max(known.large)
    if item.longest_cm and not low <= item.longest_cm <= high:
        yield Problem(
            f"objects.{item.name}.longest_cm",
            f"{item.longest_cm:g} cm is no size of a {phrases.noun(item.category)}: {low:.1f} to {high:.1f} cm is allowed.",
            "Use a length in that range, or 0 for the usual size.",
        )


def _affordance_problems(wire: WireScene) -> Iterator[Problem]:
    objects = {item.name: item for item in wire.objects}
    for index, goal in enumerate(wire.goals):
        parts = zip((goal.target, goal.other), _NEEDS[goal.kind], strict=True)
        for name, needed in parts:
            if needed and name in objects:
                yield from _cannot(f"goals.{index}", objects[name].category, needed)
        if goal.kind == "in" and goal.target in objects and goal.other in objects:
            yield from _too_long(f"goals.{index}", objects[goal.target].category, objects[goal.other].category)
    for item in wire.objects:
        if item.relation in ("on", "in") and item.relative_to in objects:
            needed = ("hollow",) if item.relation == "in" else ("surface", "stackable")
            yield from _cannot(f"objects.{item.name}.relation", objects[item.relative_to].category, needed)


def _too_long(path: str, inner: str, outer: str) -> Iterator[Problem]:
    shortest = max(vocabulary.categories()[inner].small[:2])
    widest = max(vocabulary.categories()[outer].large[:2])
    if shortest > widest:
        yield Problem(
            path,
            f"a {phrases.noun(inner)} of at least {shortest * 100:.0f} cm does not fit in a {phrases.noun(outer)} of at "
            f"most {widest * 100:.0f} cm.",
            "Choose a smaller target or a larger container.",
        )


def _cannot(path: str, category: str, needed: tuple[str, ...]) -> Iterator[Problem]:
    if not set(needed) & set(_affordances(category)):
        able = [name for name, item in vocabulary.categories().items() if set(needed) & set(item.affordances)]
        yield Problem(
            path,
            f"a {phrases.noun(category)} is not {' or '.join(needed)}.",
            f"Choose one of: {', '.join(sorted(able))}.",
        )


def _split_problems(wire: WireScene, brief: Brief) -> Iterator[Problem]:
    """Check the part of the split that the brief's lists cannot: which object takes which part in the task."""
    if brief.request.split != "unseen-categories":
        return
    category = {item.name: item.category for item in wire.objects}
    for index, goal in enumerate(wire.goals):
        for name, needed in zip((goal.target, goal.other), _NEEDS[goal.kind], strict=True):
            able = [held for held in brief.task_categories if set(needed) & set(_affordances(held))]
            if category.get(name) in (None, "zone") or category[name] in brief.task_categories:
                continue
            if able or name == goal.target:
                yield Problem(
                    f"goals.{index}",
                    f"'{name}' is a {phrases.noun(category[name])}; this split asks for a held-out category.",
                    f"Choose one of: {', '.join(able) or 'none can do this: use another split'}.",
                )


def _object(item: WireObject, wire: WireScene, brief: Brief) -> dict[str, Any]:
    variant, size = _variant(item, wire, brief)
    return {
        **item.model_dump(include={"name", "category", "colour", "material", "pattern", "description", "role"}),
        "size": size,
        "place": _place(item),
        "variant": variant,
    }


def _variant(
    item: WireObject, wire: WireScene, brief: Brief, seen: frozenset[str] = frozenset()
) -> tuple[int, Vector3]:
    """Draw a variant on the split's side, for a target one that suits the gripper and what it goes in or on."""
    chance = _chance(brief, f"{item.name}/{item.category}")
    low, high = (0, 0) if brief.request.split == "unseen-objects" else (1, HELD_VARIANT - 1)
    goal = next((goal for goal in wire.goals if goal.target == item.name), None)
    named = any(item.name in (goal.target, goal.other) for goal in wire.goals) and item.category != "zone"
    seen |= {item.name}  # a draft may go round in circles
    others = {other.name: other for other in wire.objects if other.name not in seen}
    best: tuple[float, int, Vector3] | None = None
    for _ in range(_TRIES):
        variant = HELD_VARIANT * chance.randrange(VARIANTS // HELD_VARIANT) + chance.randint(low, high)
        size = _size(item, variant)
        if not named:
            return variant, size
        misfit = max(0.0, 1 - _outline(size) / CLEAR)
        if goal and goal.kind in ("on", "in", "lifted"):
            size = _fitted(size, vocabulary.categories()[item.category], brief.gripper_opening)
            if goal.other in others:
                other = others[goal.other]
                place = _variant(other, wire, brief, seen)[1]
                misfit = max(misfit, _excess(size, place, goal.kind, other.role) / max(place))
        if best is None or misfit < best[0]:
            best = misfit, variant, size
        if best[0] <= 0:
            break
    assert best is not None
    return best[1], best[2]


def _outline(size: Vector3) -> float:
    """Return about how much of the policy camera's view an object fills, seen from 45 degrees above [m2]."""
    return (size[0] * size[1] + max(size[:2]) * size[2]) * 0.7


def _excess(size: Vector3, place: Vector3, kind: str, role: str) -> float:
    """Return by how much a target is too long for its place [m]; at most 0 when it suits."""
    if kind == "on" and role == "target":
        return max(own - _SHARE["stack"] * its for own, its in zip(size[:2], place[:2], strict=True))
    return max(size[:2]) - _SHARE[kind] * max(place[:2])


def _size(item: WireObject, variant: int) -> Vector3:
    """Draw full extents [m] of a variant: one scale between the category's limits, and 8 % an axis around it.

    They follow from category and variant alone, so that a variant is one object wherever it turns up, and an asset can be
    shared. Extents that are equal in the vocabulary stay equal: a ball stays round.
    """
    known = vocabulary.categories()[item.category]
    chance = random.Random(f"size/{item.category}/{variant}")
    share = chance.random()
    stretch = {pair: chance.uniform(0.92, 1.08) for pair in sorted(set(zip(known.small, known.large, strict=True)))}
    extents = [
        (low + share * (high - low)) * stretch[low, high] for low, high in zip(known.small, known.large, strict=True)
    ]
    scale = item.longest_cm / 100 / max(extents) if item.longest_cm else 1.0
    least = 0.0 if item.category == "zone" else MIN_SIZE
    x, y, z = (max(least, round(extent * scale, 4)) for extent in extents)
    return x, y, z


def _fitted(size: Vector3, known: Category, opening: float) -> Vector3:
    """Shrink a target into the gripper, unless that would take it far below its usual size."""
    limit = GRIP * opening
    if min(size[:2]) <= limit or limit < 0.75 * min(known.small[:2]):
        return size
    x, y, z = (round(extent * limit / min(size[:2]), 4) for extent in size)
    return x, y, z


def _place(item: WireObject) -> dict[str, Any]:
    if item.relation == "free" or (item.relative_to in ("", "table") and item.relation != "in"):
        return {"kind": "free"}
    key = {"on": "support", "in": "container", "near": "other"}[item.relation]
    return {"kind": item.relation, key: item.relative_to}


def _goal(goal: WireGoal) -> dict[str, Any]:
    other = {"on": "support", "in": "container", "near": "other", "pushed": "region"}.get(goal.kind)
    return {"kind": goal.kind, "target": goal.target, **({other: goal.other} if other else {})}


def _seconds(wire: WireScene) -> float:
    return 20.0 + 12.0 * (min(len(wire.goals), 4) - 1)


def _sentences(wire: WireScene, brief: Brief) -> dict[str, Any]:
    """Keep held-out forms out of the training splits and free wording out of the split of unseen instructions."""
    unseen = brief.request.split == "unseen-instructions"
    texts = [wire.instruction, *wire.paraphrases]
    if phrases.is_held_out(wire.instruction) != unseen:
        texts = [*_rendered(wire, unseen), *texts]
    elif unseen:  # only wording that is ours is sure to be disjoint from every other draft's
        texts += _rendered(wire, unseen)
    kept = [text for text in dict.fromkeys(texts) if phrases.is_held_out(text) == unseen]
    if kept:
        return {"instruction": kept[0], "paraphrases": kept[1:]}
    if unseen:
        problem = Problem("goals", f"{len(wire.goals)} goals have no held-out wording in this split.", "Give one goal.")
    else:
        problem = Problem(
            "instruction",
            f"'{wire.instruction}' has a form that is kept for the split of unseen instructions.",
            "Say it as a plain command, such as 'put the ... in the ...'.",
        )
    raise SpecError([problem])


def _rendered(wire: WireScene, held_out: bool) -> list[str]:
    """Say the only goal in all our templates of one side; nothing where there are more, or it cannot be said so."""
    goal, objects = wire.goals[0], {item.name: item for item in wire.objects}
    if len(wire.goals) > 1 or goal.target not in objects or (goal.other and goal.other not in objects):
        return []
    kind = "stack" if goal.kind == "on" and objects[goal.other].role == "target" else goal.kind
    try:
        nouns = [
            phrases.refer(objects[name], [item for item in wire.objects if item.name != name], said)
            for name, said in ((goal.target, ("colour",)), (goal.other, ()))
            if name
        ]
    except DesignError:
        return []
    return [phrases.say(text, nouns[0], nouns[-1]) for text in phrases.templates(kind, held_out)]


def _chance(brief: Brief, purpose: str) -> random.Random:
    request = brief.request
    return random.Random(f"{request.seed}/{request.split}/{request.text}/{purpose}")

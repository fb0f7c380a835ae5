"""The vocabulary agrees with itself: templates, materials, words, sizes, shares."""

from __future__ import annotations

from itertools import permutations

import pytest

from worldgen import vocabulary
from worldgen.backends.mesh_procedural import TEMPLATES
from worldgen.spec import split_words

CATEGORIES = vocabulary.categories()
COMMON = ("mug", "plate", "bowl", "cube", "apple", "banana", "bottle", "can", "box", "drawer", "zone")
GRIPPER = 0.060
"""Widest thing that a target may be where the fingers close [m]."""


def having(affordance: str) -> list[str]:
    """Return the categories with an affordance."""
    return [name for name, known in CATEGORIES.items() if affordance in known.affordances]


def test_enough_to_choose_from() -> None:
    assert len(CATEGORIES) >= 60
    assert len({known.template for known in CATEGORIES.values()}) >= 40


def test_every_template_is_used() -> None:
    assert {known.template for known in CATEGORIES.values()} == set(TEMPLATES)


@pytest.mark.parametrize("name", CATEGORIES)
def test_category_uses_known_words(name: str) -> None:
    known = CATEGORIES[name]
    assert set(known.materials) <= set(vocabulary.materials())
    assert set(known.colours) <= set(vocabulary.colours())
    assert set(known.patterns) <= set(vocabulary.patterns())
    assert set(known.rooms) <= set(vocabulary.rooms())
    assert known.rooms
    assert all(low <= high for low, high in zip(known.small, known.large, strict=True))


@pytest.mark.parametrize("name", having("graspable"))
def test_graspable_fits_a_small_gripper_and_can_be_seen(name: str) -> None:
    known = CATEGORIES[name]
    assert min(known.large[:2]) <= GRIPPER
    assert max(known.small) >= 0.04 or known.template == "cube" or known.template == "dice"
    assert max(known.large) <= 0.18


@pytest.mark.parametrize("name", [*having("surface"), *having("hollow")])
def test_supports_are_wide_and_low(name: str) -> None:
    known = CATEGORIES[name]
    assert min(known.small[:2]) >= 0.11
    assert max(known.large[:2]) <= 0.22
    assert known.large[2] <= 0.09


@pytest.mark.parametrize(
    ("affordance", "least"),
    [("graspable", 6), ("surface", 2), ("hollow", 2), ("stackable", 1), ("pushable", 1), ("openable", 1)],
)
def test_a_share_of_each_kind_is_held_out(affordance: str, least: int) -> None:
    names = having(affordance)
    held = [name for name in names if CATEGORIES[name].held_out]
    assert len(held) >= least
    assert 0.15 <= len(held) / len(names) <= 0.35


def test_common_things_are_never_held_out() -> None:
    assert not [name for name in COMMON if CATEGORIES[name].held_out]


def test_no_phrase_contains_another_categorys_phrase() -> None:
    phrases = {name: {tuple(split_words(word)) for word in known.words(name)} for name, known in CATEGORIES.items()}
    found = []
    for one, other in permutations(CATEGORIES, 2):
        for short in phrases[one]:
            for long in phrases[other]:
                if any(long[k : k + len(short)] == short for k in range(len(long) - len(short) + 1)):
                    found.append((short, one, long, other))
    assert not found


def test_nouns_are_no_attributes() -> None:
    attributes = {*vocabulary.colours(), *vocabulary.materials(), *vocabulary.patterns()}
    nouns = {word for name, known in CATEGORIES.items() for phrase in known.words(name) for word in split_words(phrase)}
    assert not attributes & nouns


@pytest.mark.parametrize(("word", "plural"), [("box", "boxes"), ("berry", "berries"), ("toy", "toys"), ("cup", "cups")])
def test_regular_plurals(word: str, plural: str) -> None:
    assert vocabulary.pluralise(word) == plural


def test_unknown_names_get_a_guess() -> None:
    assert vocabulary.valid_names("mugg", ["mug", "plate"]) == "Did you mean 'mug'? Valid names: mug, plate."

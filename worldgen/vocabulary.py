"""The words that scenes are made of: categories, colours, materials, patterns, from `assets/vocabulary/*.json`. Knows no shapes."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from . import data
from .shapes import Positive, Priors, Range, Strict, Vector3

Affordance = Literal["graspable", "surface", "hollow", "stackable", "pushable", "openable"]


class Category(Strict):
    """A kind of object: its sizes, what it may be made of, what can be done with it."""

    template: str
    """Template of the procedural backend that draws it."""
    small: Vector3
    """Smallest usual full extents along x, y, z [m]."""
    large: Vector3
    """Largest usual full extents [m]."""
    materials: Annotated[tuple[str, ...], Field(min_length=1)]
    colours: tuple[str, ...] = ()
    """Colours that it comes in; empty means any."""
    patterns: tuple[str, ...] = ("plain",)
    affordances: tuple[Affordance, ...] = ()
    """graspable: a parallel gripper lifts it by its sides. surface: things stand on it. hollow: things go into it. stackable:
    flat top and bottom. pushable: slides upright. openable: has a joint."""
    rooms: tuple[str, ...] = ()
    """Settings where it is usual: kitchen, office, workshop, bathroom, nursery, dining, garden, living."""
    synonyms: tuple[str, ...] = ()
    """Other words for it; no word names two categories."""
    plural: str = ""
    """Irregular plural; empty means the regular one."""
    held_out: bool = False
    """Kept out of the training split, unless a request names it."""
    form: Literal["", "hollow", "flat", "turned"] = ""
    """How a picture of it becomes solid: with the cavity of its template, with the same depth everywhere, turned about its upright axis, or as
    its outline suggests."""
    nameless: bool = False
    """Nobody has a word for it: only in scenes of requests that call it by its key, and spoken of in pictures in words that mean nothing."""

    def words(self, name: str) -> tuple[str, ...]:
        """Return every phrase that names it, singular and plural."""
        singular = (name, *self.synonyms)
        return (*singular, *(pluralise(word) for word in singular), *([self.plural] if self.plural else []))


class Material(Strict):
    """What density and friction an object of this material has, and how it shines."""

    density: Positive
    """[kg/m3]"""
    densities: Range
    """Of things that are said to be of it, from light kinds to heavy ones [kg/m3]."""
    friction: Positive
    """Sliding coefficient against the table."""
    frictions: Range
    """The same against smooth and rough tables, clean and worn."""
    specular: Annotated[float, Field(ge=0, le=1)]
    shininess: Annotated[float, Field(ge=0, le=1)]
    reflectance: Annotated[float, Field(ge=0, le=1)] = 0.0


class Surface(Strict):
    """A table top: how it is painted and which look it has."""

    pattern: str
    """A pattern of `paint`."""
    colours: Annotated[tuple[tuple[int, int, int], ...], Field(min_length=1)]
    """Base colours that it comes in, sRGB."""
    accents: tuple[tuple[int, int, int], ...] = ()
    """Second colours of the pattern."""
    reflectance: Annotated[float, Field(ge=0, le=1)] = 0.0
    friction: Positive = 0.5
    rooms: tuple[str, ...] = ()
    held_out: bool = False


class Block(Strict):
    """A silhouette of furniture: a box or upright cylinder that nothing touches."""

    type: Literal["box", "cylinder"] = "box"
    size: tuple[Positive, ...]
    """Half-extents [m] (box), or radius and half-height [m] (cylinder)."""
    pos: Vector3
    """Centre [m]: x forward from the robot, z = 0 at the table top; the floor is at z = -0.75."""
    colour: tuple[int, int, int]


class Room(Strict):
    """A background: walls, floor and furniture silhouettes."""

    wall: tuple[tuple[int, int, int], ...]
    """Colours that the walls come in, sRGB."""
    wall_pattern: str
    floor: tuple[tuple[int, int, int], ...]
    floor_pattern: str
    furniture: tuple[Block, ...] = ()
    held_out: bool = False


Colour = tuple[int, int, int]


@cache
def surfaces() -> dict[str, Surface]:
    """Return all table surfaces by name."""
    return TypeAdapter(dict[str, Surface]).validate_python(data.read_json("assets", "vocabulary", "surfaces.json"))


@cache
def rooms() -> dict[str, Room]:
    """Return all rooms by name."""
    return TypeAdapter(dict[str, Room]).validate_python(data.read_json("assets", "vocabulary", "rooms.json"))


@cache
def categories() -> dict[str, Category]:
    """Return all categories by name."""
    return TypeAdapter(dict[str, Category]).validate_python(data.read_json("assets", "vocabulary", "categories.json"))


@cache
def nouns() -> dict[str, str]:
    """Return every phrase that names a category, in plain words, singular and plural, and which category."""
    return {phrase.replace("_", " "): name for name, item in categories().items() for phrase in item.words(name)}


@cache
def materials() -> dict[str, Material]:
    """Return all materials by name."""
    return TypeAdapter(dict[str, Material]).validate_python(data.read_json("assets", "vocabulary", "materials.json"))


def priors(category: str, material: str, size: Vector3) -> Priors:
    """Return what the vocabulary says of things of a kind and material; sizes are widened to this one, which somebody chose.

    Args:
        category: What it is; a thing nobody knows has its own size alone.
        material: A word of the vocabulary.
        size: Its own extents [m].
    """
    known, made_of = categories().get(category), materials()[material]
    longest = [max(size), *((max(known.small), max(known.large)) if known else ())]
    return Priors(
        longest=Range(low=min(longest), high=max(longest)), density=made_of.densities, friction=made_of.frictions
    )


@cache
def colours() -> dict[str, Colour]:
    """Return all colours by name as sRGB in 0..255."""
    return TypeAdapter(dict[str, Colour]).validate_python(data.read_json("assets", "vocabulary", "colours.json"))


@cache
def patterns() -> tuple[str, ...]:
    """Return all surface patterns."""
    return TypeAdapter(tuple[str, ...]).validate_python(data.read_json("assets", "vocabulary", "patterns.json"))


def pluralise(word: str) -> str:
    """Return the regular English plural."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in ("a", "e", "i", "o", "u"):
        return word[:-1] + "ies"
    return word + "s"


def guess(value: str, names: Iterable[str]) -> str:
    """Return the sentence that asks for the closest name, with a space before it; nothing where none is close."""
    close = get_close_matches(value, list(names), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def valid_names(value: str, names: Iterable[str]) -> str:
    """Return the end of an error sentence: the closest name, then all of them."""
    known = sorted(names)
    return f"{guess(value, known)} Valid names: {', '.join(known)}.".lstrip()

"""SceneSpec: a table-top scene and its task, in words, relations and sizes; never in coordinates.

Knows what is consistent, not what exists: categories, robots, materials and rooms are looked up by those who own them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from .errors import Problem, SpecError
from .language import Mention, mentions, moves, noun_phrases, opened_or_closed, openings, split_words
from .shapes import Positive, Range, Strict

SPEC_VERSION: Literal[1] = 1
MIN_SIZE, MAX_SIZE = 0.005, 2.0
"""Limits of every extent of an object [m]."""
HELD_VARIANT = 5
"""Object variants divisible by this are kept for the split of unseen objects, and one photo in so many for them."""
TABLE = "table"
"""The one support that is not an object."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Word = Annotated[str, Field(min_length=1, max_length=64)]
Sentence = Annotated[str, Field(min_length=3, max_length=300)]
Role = Literal["target", "container", "distractor", "fixture"]
MOVABLE: frozenset[str] = frozenset({"target", "container", "distractor"})


class On(Strict):
    """Stands on the table or on another object's top."""

    kind: Literal["on"] = "on"
    support: Name = TABLE


class In(Strict):
    """Lies inside a container."""

    kind: Literal["in"] = "in"
    container: Name


class Near(Strict):
    """Stands on the table close to another object."""

    kind: Literal["near"] = "near"
    other: Name
    distance: Positive = 0.12
    """Largest gap between the two footprints [m]; beside what carries the other one, where that is not the table."""


class Free(Strict):
    """Stands on the table wherever there is room."""

    kind: Literal["free"] = "free"


Place = Annotated[On | In | Near | Free, Field(discriminator="kind")]


class ObjectSpec(Strict):
    """One object: what it is, how large, which role it plays, where it stands relative to others."""

    name: Name
    """Unique; the body's name in the scene."""
    category: Word
    """What it is: a word of the vocabulary."""
    colour: Word
    """Main colour, a word of the vocabulary."""
    material: Word
    """What it is made of; gives density and friction."""
    pattern: Word = "plain"
    """What is painted on it."""
    size: tuple[float, float, float]
    """Full extents along its own x, y, z [m]."""
    description: Annotated[str, Field(max_length=300)] = ""
    """Free text for image and 3D models."""
    role: Role
    place: Place = Free()
    variant: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of shape and texture: two variants of one description differ visibly."""
    makers: tuple[Word, ...] = ()
    """Who makes it, tried in turn; empty for the library's."""

    @property
    def held_out(self) -> bool:
        """Whether its variant is one that training scenes never show."""
        return self.variant % HELD_VARIANT == 0

    def attributes(self) -> tuple[str, ...]:
        """Return the words that can tell it from another object of its category."""
        return self.colour, self.material, self.pattern


class OnGoal(Strict):
    """`target` rests on `support` and touches neither the table nor the robot."""

    kind: Literal["on"] = "on"
    target: Name
    support: Name


class InGoal(Strict):
    """`target` rests inside `container` and touches neither the table nor the robot."""

    kind: Literal["in"] = "in"
    target: Name
    container: Name


class NearGoal(Strict):
    """`target` stands within `distance` [m] of `other`, footprint to footprint."""

    kind: Literal["near"] = "near"
    target: Name
    other: Name
    distance: Positive = 0.05


class LiftedGoal(Strict):
    """`target` is held `height` [m] above where it stood on the table."""

    kind: Literal["lifted"] = "lifted"
    target: Name
    height: Positive = 0.1


class PushedGoal(Strict):
    """The centre of `target` stands on `region`, an object of category `zone`."""

    kind: Literal["pushed"] = "pushed"
    target: Name
    region: Name


class OpenGoal(Strict):
    """The joint of `target` is open to at least `fraction` of its range."""

    kind: Literal["open"] = "open"
    target: Name
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.7


class ClosedGoal(Strict):
    """The joint of `target` is open to at most `fraction` of its range; it starts open."""

    kind: Literal["closed"] = "closed"
    target: Name
    fraction: Annotated[float, Field(ge=0, lt=0.5)] = 0.1


Goal = Annotated[
    OnGoal | InGoal | NearGoal | LiftedGoal | PushedGoal | OpenGoal | ClosedGoal, Field(discriminator="kind")
]

FAMILIES = ("pick-and-place", "stack", "push", "open", "close", "lift")


class TaskSpec(Strict):
    """What the robot is told and what counts as done."""

    instruction: Sentence
    paraphrases: tuple[Sentence, ...] = ()
    """Other ways to say the same; one is drawn at each reset."""
    goals: Annotated[tuple[Goal, ...], Field(min_length=1, max_length=4)]
    """All must hold."""
    seconds: Annotated[float, Field(gt=0, le=120)] = 20.0
    """Time limit of an episode [s]."""

    def sentences(self) -> tuple[str, ...]:
        """Return every way in which the task may be told."""
        return self.instruction, *self.paraphrases

    def actions(self, period: float) -> int:
        """Return how many actions of `period` [s] an episode may take."""
        return math.ceil(self.seconds / period - 1e-9)


class SurfaceSpec(Strict):
    """The table top."""

    material: Word
    colour: Word = "natural"
    variant: Annotated[int, Field(ge=0, lt=2**32)] = 0
    friction: Range = Range(low=0.4, high=0.6)


class BackgroundSpec(Strict):
    """The room around the table, or a user's panorama."""

    room: Word
    variant: Annotated[int, Field(ge=0, lt=2**32)] = 0
    panorama: str | None = None
    """A user's cube-map PNG (six square faces in a column or a 3x4 cross); replaces walls and floor of the room."""


class LightSpec(Strict):
    """Ranges that the light is drawn from."""

    azimuth: Range = Range(low=-180.0, high=180.0)
    """Direction that the key light comes from, about z from x [deg]."""
    elevation: Range = Range(low=45.0, high=80.0)
    """Above the horizon [deg]."""
    strength: Range = Range(low=0.5, high=0.7)
    """Diffuse intensity of the key light."""
    ambient: Range = Range(low=0.3, high=0.4)
    warmth: Range = Range(low=-0.15, high=0.15)
    """Colour of the light: -1 is blue, 0 white, 1 orange."""


class CameraSpec(Strict):
    """Ranges of the policy camera, which looks at the centre of the robot's workspace."""

    azimuth: Range = Range(low=-20.0, high=20.0)
    """About z, from in front of the robot (0 looks back at it) [deg]."""
    elevation: Range = Range(low=38.0, high=48.0)
    distance: Range = Range(low=0.66, high=0.74)
    """From the workspace's centre [m]."""
    fov: Range = Range(low=38.0, high=42.0)
    """Vertical field of view [deg]."""


class SceneSpec(Strict):
    """A whole scene. Build one through `SceneSpec.checked(...)` to get every contradiction at once."""

    version: Literal[1] = SPEC_VERSION
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")] = "scene"
    robot: Word = "widowx"
    surface: SurfaceSpec
    background: BackgroundSpec
    light: LightSpec = LightSpec()
    camera: CameraSpec = CameraSpec()
    objects: Annotated[tuple[ObjectSpec, ...], Field(min_length=1, max_length=32)]
    task: TaskSpec

    @classmethod
    def checked(cls, value: dict[str, Any] | Self, gripper_opening: float | None = None) -> Self:
        """Return a consistent spec.

        Args:
            value: A spec, or the JSON-like value of one.
            gripper_opening: Width between the open gripper's pads [m]; None skips the grasp check.

        Raises:
            SpecError: With every problem found, schema and cross-field alike.
        """
        try:
            spec = value if isinstance(value, cls) else cls.model_validate(value)
        except ValidationError as error:
            raise SpecError(schema_problems(error)) from None
        if found := problems(spec, gripper_opening):
            raise SpecError(found)
        return spec

    def object(self, name: str) -> ObjectSpec:
        """Return the object of that name; KeyError if there is none."""
        for item in self.objects:
            if item.name == name:
                return item
        raise KeyError(name)

    def goal_names(self) -> frozenset[str]:
        """Return the names of all objects that a goal mentions."""
        return frozenset(name for goal in self.task.goals for name in goal_names(goal))

    def family(self) -> str:
        """Return the task family, one of `FAMILIES`, by the first goal."""
        goal = self.task.goals[0]
        if isinstance(goal, OnGoal):
            return "pick-and-place" if self.object(goal.support).role == "container" else "stack"
        return {
            "in": "pick-and-place",
            "near": "push",
            "pushed": "push",
            "lifted": "lift",
            "open": "open",
            "closed": "close",
        }[goal.kind]


def goal_names(goal: Goal) -> tuple[str, ...]:
    """Return the object names in a goal, the one to be moved first."""
    return tuple(
        getattr(goal, key) for key in ("target", "support", "container", "other", "region") if hasattr(goal, key)
    )


def supporter(place: Place) -> str:
    """Return what an object stands on: the table's name or an object's."""
    if isinstance(place, On):
        return place.support
    return place.container if isinstance(place, In) else TABLE


def anchor(place: Place) -> str:
    """Return what a place is told by: the table's name, a support's or a neighbour's."""
    return place.other if isinstance(place, Near) else supporter(place)


def schema_problems(error: ValidationError) -> list[Problem]:
    """Turn Pydantic's findings into plain sentences."""
    found = error.errors(include_url=False, include_context=False)
    spoilt = {
        item["loc"][:end] for item in found for end in range(len(item["loc"]))
    }  # "too short" for its bad items only
    return [_schema_problem(item) for item in found if item["type"] != "too_short" or item["loc"] not in spoilt]


def _schema_problem(item: Any) -> Problem:
    path = ".".join(str(part) for part in item["loc"]) or "spec"
    shown = repr(item.get("input"))
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    fix = {"missing": "Add this field.", "extra_forbidden": "Remove this field."}.get(
        item["type"], "Correct this value."
    )
    got = "" if item["type"] in ("missing", "extra_forbidden") else f", got {shown}"
    return Problem(path, f"{item['msg']}{got}.", fix)


def problems(spec: SceneSpec, gripper_opening: float | None = None) -> list[Problem]:
    """Return every cross-field contradiction of a spec; empty when it is consistent."""
    found = list(_name_problems(spec))
    if found:  # everything below looks objects up by name
        return found
    found += _support_problems(spec)
    found += _range_problems(spec)
    found += _size_problems(spec, gripper_opening)
    found += _goal_problems(spec)
    found += _language_problems(spec)
    return found


def _name_problems(spec: SceneSpec) -> Iterator[Problem]:
    names = [item.name for item in spec.objects]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(
            f"objects.{name}", f"{names.count(name)} objects are named '{name}'.", "Give each object its own name."
        )
    for reserved in sorted({TABLE, "robot", "world", "room", "wall", "floor", "panorama"} & set(names)):
        yield Problem(f"objects.{reserved}", f"'{reserved}' is a reserved name.", "Choose another name.")
    known = f"Use one of: {', '.join(names)}."
    for item in spec.objects:
        for key, value in (("support", supporter(item.place)), ("other", getattr(item.place, "other", TABLE))):
            if value != TABLE and value not in names:
                yield Problem(f"objects.{item.name}.place.{key}", f"there is no object '{value}'.", known)
    for index, goal in enumerate(spec.task.goals):
        for name in goal_names(goal):
            if name not in names:
                yield Problem(f"task.goals.{index}", f"there is no object '{name}'.", known)


def _support_problems(spec: SceneSpec) -> Iterator[Problem]:
    for item in spec.objects:
        path = f"objects.{item.name}.place"
        seen, current = [item.name], anchor(item.place)
        while current != TABLE and current not in seen:
            seen.append(current)
            current = anchor(spec.object(current).place)
        if current == item.name:
            yield Problem(
                path, f"places form a circle: {' -> '.join([*seen, current])}.", "Let one of them stand on the table."
            )
        if isinstance(item.place, In) and spec.object(item.place.container).role != "container":
            yield Problem(
                path, f"'{item.place.container}' is not a container.", "Give it the role 'container' or use 'on'."
            )
        if item.role == "fixture" and item.category != "zone" and supporter(item.place) != TABLE:
            yield Problem(path, "a fixture is fixed to the table.", "Use 'on' with support 'table', or 'free'.")


def _ranges(value: Strict, path: str) -> Iterator[tuple[str, Range]]:
    for key in type(value).model_fields:
        inner = getattr(value, key)
        if isinstance(inner, Range):
            yield f"{path}.{key}", inner


_ALLOWED: dict[str, tuple[float, float]] = {
    "surface.friction": (0.05, 2.0),
    "light.azimuth": (-360.0, 360.0),
    "light.elevation": (5.0, 90.0),
    "light.strength": (0.0, 2.0),
    "light.ambient": (0.0, 1.0),
    "light.warmth": (-1.0, 1.0),
    "camera.azimuth": (-360.0, 360.0),
    "camera.elevation": (5.0, 90.0),
    "camera.distance": (0.2, 3.0),
    "camera.fov": (10.0, 100.0),
}


def _range_problems(spec: SceneSpec) -> Iterator[Problem]:
    for part in ("surface", "light", "camera"):
        for path, value in _ranges(getattr(spec, part), part):
            low, high = _ALLOWED[path]
            if value.low > value.high:
                yield Problem(path, f"low {value.low:g} is above high {value.high:g}.", "Swap them.")
            elif value.low < low or value.high > high:
                yield Problem(
                    path, f"[{value.low:g}, {value.high:g}] leaves the allowed [{low:g}, {high:g}].", "Narrow it."
                )


def _size_problems(spec: SceneSpec, gripper_opening: float | None) -> Iterator[Problem]:
    movers = {
        goal.target for goal in spec.task.goals if not isinstance(goal, OpenGoal | ClosedGoal | PushedGoal | NearGoal)
    }
    for item in spec.objects:
        path = f"objects.{item.name}.size"
        for axis, extent in zip("xyz", item.size, strict=True):
            if not (math.isfinite(extent) and MIN_SIZE <= extent <= MAX_SIZE) and item.category != "zone":
                yield Problem(
                    f"{path}.{axis}",
                    f"{extent:g} m is outside [{MIN_SIZE:g}, {MAX_SIZE:g}] m.",
                    "Give extents in metres.",
                )
        if gripper_opening is None or item.name not in movers:
            continue
        narrowest = min(item.size[:2])  # a gripper from above closes on the sides
        if narrowest > 0.9 * gripper_opening:
            yield Problem(
                path,
                f"the narrower horizontal extent, {narrowest * 1000:.0f} mm, does not fit 90 % of the {spec.robot} gripper's opening of "
                f"{gripper_opening * 1000:.0f} mm.",
                f"Make x or y at most {0.9 * gripper_opening * 1000:.0f} mm or choose another target.",
            )


def _goal_problems(spec: SceneSpec) -> Iterator[Problem]:
    for index, goal in enumerate(spec.task.goals):
        path = f"task.goals.{index}"
        names = goal_names(goal)
        target = spec.object(goal.target)
        if len(set(names)) < len(names):
            yield Problem(path, f"'{goal.target}' cannot be its own goal.", "Name two different objects.")
        jointed = isinstance(goal, OpenGoal | ClosedGoal)
        if jointed and target.role != "fixture":
            yield Problem(
                path,
                f"'{goal.target}' has role '{target.role}'; what opens and closes is a fixture.",
                "Set its role to 'fixture'.",
            )
        if not jointed and target.role not in MOVABLE:
            yield Problem(path, f"'{goal.target}' is a fixture and cannot be moved.", "Name a movable object.")
        if not jointed and target.role == "distractor":
            yield Problem(
                path, f"'{goal.target}' is to be moved but has role 'distractor'.", "Give it the role 'target'."
            )
        if isinstance(goal, InGoal) and spec.object(goal.container).role not in ("container", "fixture"):
            yield Problem(path, f"'{goal.container}' is not a container.", "Give it the role 'container'.")
        if isinstance(goal, PushedGoal) and spec.object(goal.region).category != "zone":
            yield Problem(
                path,
                f"'{goal.region}' is a {spec.object(goal.region).category}, not a zone.",
                "Add an object of category 'zone'.",
            )
        if isinstance(goal, OnGoal | InGoal) and supporter(target.place) == names[1]:
            yield Problem(path, f"'{goal.target}' starts where the goal wants it.", "Place it on the table.")


def _language_problems(spec: SceneSpec) -> Iterator[Problem]:
    """Check that each sentence names what the goals are about, in words that are true and fit one object only."""
    named = list(dict.fromkeys(spec.object(name) for goal in spec.task.goals for name in goal_names(goal)))
    for index, sentence in enumerate((spec.task.instruction, *spec.task.paraphrases)):
        path = "task.instruction" if index == 0 else f"task.paraphrases.{index - 1}"
        for item in named:
            phrases = noun_phrases(sentence, item.category)
            if not phrases:
                yield Problem(
                    path, f"'{sentence}' does not name '{item.name}', a {item.category}.", f"Say '{item.category}'."
                )
                continue
            fitting = [phrase for phrase in phrases if fits(phrase, item)]
            if not fitting:
                what = f"{item.colour} {item.material} {item.category}"
                yield Problem(
                    path, f"'{sentence}' does not fit '{item.name}', a {what}.", f"Say '{item.colour} {item.category}'."
                )
                continue
            group = _moved_together(spec, item.name)
            others = [other for other in spec.objects if other.name not in group]
            rivals = min((_rivals(others, item, phrase) for phrase in fitting), key=len)
            if rivals:
                yield Problem(
                    path,
                    f"'{sentence}' fits '{item.name}' and also {', '.join(repr(rival.name) for rival in rivals)}.",
                    "Name a colour, material or pattern that only the meant object has, or change the other's.",
                )
        yield from _part_problems(spec, sentence, path)


def _part_problems(spec: SceneSpec, sentence: str, path: str) -> Iterator[Problem]:
    """Check that a sentence does not plainly say another thing to do: the other way round, or open for closed."""
    words = split_words(sentence)
    jointed = {goal.target for goal in spec.task.goals if isinstance(goal, OpenGoal | ClosedGoal)}
    for goal in spec.task.goals:
        target, *receivers = (spec.object(name) for name in goal_names(goal))
        if isinstance(goal, OpenGoal | ClosedGoal) and goal.kind not in openings(sentence):
            verb = "open" if goal.kind == "open" else "close"
            yield Problem(
                path, f"'{sentence}' does not say to {verb} '{target.name}'.", f"Say '{verb} the {target.category}'."
            )
        for receiver in receivers:
            one, other = _told_apart(words, target, receiver), _told_apart(words, receiver, target)
            if moves(words, other, one, goal.kind) and not moves(words, one, other, goal.kind):
                yield Problem(
                    path,
                    f"'{sentence}' moves '{receiver.name}'; the goal moves '{target.name}'.",
                    f"Name the {target.colour} {target.category} as what is moved.",
                )
    for item in (spec.object(name) for name in sorted(spec.goal_names() - jointed)):
        if item.role == "fixture" and item.category != "zone":  # "open the drawer and put the mug in it"
            continue
        if any(opened_or_closed(words, mention) for mention in mentions(words, item.category)):
            yield Problem(
                path,
                f"'{sentence}' says to open or close '{item.name}', which no goal asks.",
                "Say what the goals ask, and nothing else.",
            )


def _told_apart(words: list[str], meant: ObjectSpec, other: ObjectSpec) -> list[Mention]:
    """Return the mentions that fit one object and not the other."""
    return [
        mention
        for mention in mentions(words, meant.category)
        if fits(mention.said, meant) and not (meant.category == other.category and fits(mention.said, other))
    ]


def _moved_together(spec: SceneSpec, name: str) -> frozenset[str]:
    """Return the targets of all goals that say the same as one of this target's: "put the two mugs on the plate" means both."""
    ends = {goal.target: (goal.kind, *goal_names(goal)[1:]) for goal in spec.task.goals}
    return frozenset(other for other, end in ends.items() if end == ends.get(name))


def _rivals(objects: Iterable[ObjectSpec], meant: ObjectSpec, phrase: frozenset[str]) -> list[ObjectSpec]:
    return [
        other
        for other in objects
        if other.name != meant.name and other.category == meant.category and fits(phrase, other)
    ]


def fits(phrase: frozenset[str], item: ObjectSpec) -> bool:
    """Return whether every attribute in a noun phrase (see `noun_phrases`) is true of the object."""
    return phrase <= set(item.attributes())

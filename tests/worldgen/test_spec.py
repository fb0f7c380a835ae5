"""The spec: each rule provoked alone, all problems told at once, valid specs survive their JSON."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldgen import phrases, vocabulary
from worldgen import spec as module
from worldgen.errors import SpecError
from worldgen.spec import ObjectSpec, SceneSpec, noun_phrases, problems


def thing(name: str, category: str, role: str, colour: str = "red", **more: Any) -> dict[str, Any]:
    basic = {"name": name, "category": category, "role": role, "colour": colour, "material": "ceramic"}
    return {**basic, "size": [0.06, 0.08, 0.09], **more}


GOOD: dict[str, Any] = {
    "surface": {"material": "oak"},
    "background": {"room": "kitchen"},
    "objects": [
        thing("mug", "mug", "target"),
        thing("plate", "plate", "container", "white", size=[0.2, 0.2, 0.02]),
        thing("apple", "apple", "distractor", "green"),
        thing("drawer", "drawer", "fixture", "brown", size=[0.2, 0.2, 0.15]),
        thing("zone", "zone", "fixture", "blue", size=[0.12, 0.12, 0.001]),
    ],
    "task": {
        "instruction": "put the red mug on the plate",
        "paraphrases": ["place the mug onto the white plate"],
        "goals": [{"kind": "on", "target": "mug", "support": "plate"}],
    },
}


def edited(*edits: tuple[str, Any]) -> dict[str, Any]:
    """Return the good spec with values at dotted paths replaced; a list index past the end appends."""
    value = copy.deepcopy(GOOD)
    for path, new in edits:
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
        inner: Any = value
        for part in parents:
            inner = inner.setdefault(part, {}) if isinstance(inner, dict) else inner[part]
        if isinstance(inner, list) and last == len(inner):
            inner.append(new)
        else:
            inner[last] = new
    return value


def found(value: dict[str, Any], opening: float | None = None) -> list[str]:
    with pytest.raises(SpecError) as caught:
        SceneSpec.checked(value, opening)
    return [str(problem) for problem in caught.value.problems]


def test_every_fifth_variant_is_held_out() -> None:
    first = ObjectSpec.model_validate(GOOD["objects"][0])
    held = [variant for variant in range(12) if first.model_copy(update={"variant": variant}).held_out]
    assert held == [0, 5, 10]
    assert "held_out" not in first.model_dump()


def test_the_good_one_is_good() -> None:
    spec = SceneSpec.checked(GOOD, 0.074)
    assert spec.family() == "pick-and-place"
    assert spec.goal_names() == {"mug", "plate"}
    assert SceneSpec.checked(spec) == spec


def say(text: str) -> tuple[tuple[str, Any], tuple[str, Any]]:
    return ("task.instruction", text), ("task.paraphrases", [])


def goal(**value: Any) -> tuple[str, Any]:
    return "task.goals.0", value


def place(index: int, kind: str, **value: Any) -> tuple[str, Any]:
    return f"objects.{index}.place", {"kind": kind, **value}


RULES: dict[str, tuple[list[tuple[str, Any]], str]] = {
    "two of one name": ([("objects.2.name", "mug")], r"^objects\.mug: 2 objects are named 'mug'"),
    "reserved name": ([("objects.2.name", "table")], r"^objects\.table: 'table' is a reserved name"),
    "support that is absent": ([place(2, "on", support="shelf")], r"^objects\.apple\.place\.support: there is no object 'shelf'.*Use one of: mug, plate"),
    "container that is absent": ([place(2, "in", container="bag")], r"^objects\.apple\.place\.support: there is no object 'bag'"),
    "neighbour that is absent": ([place(2, "near", other="cat")], r"^objects\.apple\.place\.other: there is no object 'cat'"),
    "goal about what is absent": ([goal(kind="on", target="mug", support="shelf")], r"^task\.goals\.0: there is no object 'shelf'"),
    "on itself": ([place(2, "on", support="apple")], r"^objects\.apple\.place: places form a circle: apple -> apple"),
    "near itself": ([place(2, "near", other="apple")], r"^objects\.apple\.place: places form a circle"),
    "in no container": ([place(2, "in", container="mug")], r"^objects\.apple\.place: 'mug' is not a container"),
    "fixture on an object": ([place(3, "on", support="plate")], r"^objects\.drawer\.place: a fixture is fixed to the table"),
    "range upside down": ([("light.azimuth", {"low": 1, "high": 0})], r"^light\.azimuth: low 1 is above high 0"),
    "range too wide": ([("camera.fov", {"low": 5, "high": 40})], r"^camera\.fov: \[5, 40\] leaves the allowed \[10, 100\]"),
    "surface too slippery": ([("surface.friction", {"low": 0, "high": 0.5})], r"^surface\.friction: \[0, 0\.5\] leaves"),
    "too small": ([("objects.2.size", [0.001, 0.05, 0.05])], r"^objects\.apple\.size\.x: 0\.001 m is outside \[0\.005, 2\] m"),
    "too large": ([("objects.2.size", [0.05, 0.05, 2.5])], r"^objects\.apple\.size\.z: 2\.5 m is outside"),
    "goal with itself": ([goal(kind="near", target="mug", other="mug"), *say("move the mug")], r"^task\.goals\.0: 'mug' cannot be its own goal"),
    "opening a mug": ([goal(kind="open", target="mug"), *say("open the mug")], r"^task\.goals\.0: 'mug' has role 'target'; what opens"),
    "moving a fixture": ([goal(kind="on", target="drawer", support="plate"), *say("put the drawer on the plate")], r"^task\.goals\.0: 'drawer' is a fixture"),
    "moving a distractor": ([goal(kind="on", target="apple", support="plate"), *say("put the apple on the plate")], r"^task\.goals\.0: 'apple' is to be moved but has role 'distractor'"),
    "into what is not hollow": ([goal(kind="in", target="mug", container="apple"), *say("put the mug in the apple")], r"^task\.goals\.0: 'apple' is not a container"),
    "pushing to no zone": ([goal(kind="pushed", target="mug", region="apple"), *say("push the mug to the apple")], r"^task\.goals\.0: 'apple' is a apple, not a zone"),
    "done before it begins": ([place(0, "on", support="plate")], r"^task\.goals\.0: 'mug' starts where the goal wants it"),
    "sentence without the target": ([("task.instruction", "put it on the plate")], r"^task\.instruction: .* does not name 'mug'"),
    "paraphrase without the support": ([("task.paraphrases.0", "pick up the mug")], r"^task\.paraphrases\.0: .* does not name 'plate'"),
    "untrue colour": ([("task.instruction", "put the blue mug on the plate")], r"^task\.instruction: .* does not fit 'mug', a red ceramic mug"),
    "two that fit": ([("objects.5", thing("other", "mug", "distractor"))], r"fits 'mug' and also 'other'"),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_alone(rule: str) -> None:
    edits, words = RULES[rule]
    value = edited(*edits)
    messages = found(value)
    distinct = {
        re.sub(r"task\.paraphrases\.0: '[^']*'|task\.instruction: '[^']*'", "sentence", text) for text in messages
    }
    assert len(distinct) == 1, messages
    assert re.search(words, messages[0]), messages


def test_circles_of_any_length_and_kind() -> None:
    value = edited(place(0, "near", other="apple"), place(2, "on", support="plate"), place(1, "near", other="mug"))
    messages = found(value)
    assert len(messages) == 3
    assert all("places form a circle" in message for message in messages)


def test_the_gripper_s_opening() -> None:
    value = edited(("objects.0.size", [0.08, 0.09, 0.05]))
    assert SceneSpec.checked(value)
    (message,) = found(value, 0.074)
    assert message.startswith(
        "objects.mug.size: the narrower horizontal extent, 80 mm, does not fit 90 % of the widowx"
    )
    assert SceneSpec.checked(edited(("objects.0.size", [0.0665, 0.3, 0.3])), 0.074)
    assert found(edited(("objects.0.size", [0.0667, 0.3, 0.3])), 0.074)
    pushed = edited(goal(kind="pushed", target="mug", region="zone"), ("objects.0.size", [0.1, 0.1, 0.1]), *say("push the mug to the zone"))  # fmt: skip
    assert SceneSpec.checked(pushed, 0.074)  # is never grasped


def test_all_problems_at_once() -> None:
    value = edited(
        place(2, "in", container="mug"),
        ("light.azimuth", {"low": 1, "high": 0}),
        ("camera.fov", {"low": 5, "high": 40}),
        ("objects.2.size", [0.001, 0.05, 0.05]),
        goal(kind="on", target="mug", support="mug"),
        ("task.instruction", "put the blue mug away"),
        ("task.paraphrases", []),
    )
    messages = found(value)
    paths = [message.split(":")[0] for message in messages]
    assert paths == [
        "objects.apple.place", "light.azimuth", "camera.fov", "objects.apple.size.x", "task.goals.0", "task.instruction"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("extra", 1, "extra: Extra inputs are not permitted. Fix: Remove this field."),
        ("objects.0.weight", 1, "objects.0.weight: Extra inputs"),
        ("objects.0.size", [float("nan"), 0.1, 0.1], "objects.0.size.0: Input should be a finite number, got nan"),
        ("objects.0.size", [0.1, float("inf"), 0.1], "objects.0.size.1: Input should be a finite number, got inf"),
        ("objects.0.size", [0.1, 0.1], "objects.0.size.2: Field required"),
        ("objects.0.name", "Mug 1", "objects.0.name: String should match pattern"),
        ("objects.0.name", "x" * 49, "objects.0.name: String should match pattern"),
        ("objects.0.role", "hero", "objects.0.role: Input should be 'target', 'container', 'distractor' or 'fixture'"),
        ("objects.0.variant", -1, "objects.0.variant: Input should be greater than or equal to 0"),
        ("objects.0.place", {"kind": "above"}, "objects.0.place: Input tag 'above'"),
        ("objects.0.place", {"kind": "near", "other": "plate", "distance": 0}, "distance: Input should be greater than 0"),
        ("light.warmth", {"low": float("-inf"), "high": 0}, "light.warmth.low: Input should be a finite number"),
        ("task.goals", [], "task.goals: Tuple should have at least 1 item"),
        ("task.seconds", 1e9, "task.seconds: Input should be less than or equal to 120"),
        ("task.instruction", "x" * 301, "task.instruction: String should have at most 300 characters"),
        ("version", 2, "version: Input should be 1"),
        ("objects", [], "objects: Tuple should have at least 1 item"),
    ],
)  # fmt: skip
def test_schema_problems_name_the_field(path: str, value: Any, words: str) -> None:
    messages = found(edited((path, value)))
    assert any(words in message for message in messages), messages


@pytest.mark.parametrize("path", ["surface", "background", "objects", "task", "objects.0.size", "task.goals.0.support"])
def test_missing_fields_are_named(path: str) -> None:
    value = copy.deepcopy(GOOD)
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    inner: Any = value
    for part in parents:
        inner = inner[part]
    del inner[last]
    messages = found(value)
    assert len(messages) == 1
    assert re.search(rf"^{'.'.join(map(str, parents))}.*{last}: Field required\. Fix: Add this field\.", messages[0])


@pytest.mark.parametrize("value", [None, [], "spec", 3])
def test_what_is_no_spec_at_all(value: Any) -> None:
    assert len(found(value)) == 1


class TestLanguage:
    @pytest.mark.parametrize(
        ("sentence", "category", "phrases"),
        [
            ("put the red ceramic mug on the plate", "mug", [{"red", "ceramic"}]),
            ("put the red mug on the white plate", "plate", [{"white"}]),
            ("Put the RED mug, please!", "mug", [{"red"}]),
            ("the mug", "mug", [set()]),
            ("the big nearest red mug", "mug", [{"red"}]),
            ("red things and the mug", "mug", [set()]),
            ("put both mugs on the plate", "mug", [set()]),
            ("put the red mug next to the blue mug", "mug", [{"red"}, {"blue"}]),
            ("the wooden mug", "mug", [{"wood"}]),
            ("the striped metal mug", "mug", [{"stripes", "steel"}]),
            ("the polka dot navy blue mug", "mug", [{"dots", "navy"}]),
            ("the dark blue mug", "mug", [{"blue"}]),
            ("the mug that is blue", "mug", [{"blue"}]),
            ("the mug which is red and striped goes there", "mug", [{"red", "stripes"}]),
            ("take the mug that's made of wood away", "mug", [{"wood"}]),
            ("the red mug made of steel on the blue plate", "mug", [{"red", "steel"}]),
            ("the mug that is on the blue plate", "mug", [set()]),
            ("the mug that is not blue", "mug", [set()]),
            ("the mugged plate", "mug", []),
            ("a drawing", "drawer", []),
        ],
    )
    def test_what_is_said_of_a_category(self, sentence: str, category: str, phrases: list[set[str]]) -> None:
        assert sorted(map(sorted, noun_phrases(sentence, category))) == sorted(map(sorted, phrases))

    def test_every_word_of_every_category_is_understood(self) -> None:
        for name, category in vocabulary.categories().items():
            for word in category.words(name):
                assert noun_phrases(f"take the red {word} away", name), word

    @pytest.mark.parametrize(
        ("sentence", "ok"),
        [
            ("put the red mug on the plate", True),
            ("put the red ceramic mug on the plate", True),
            ("put the wooden mug on the plate", False),
            ("put the porcelain crimson mug on the plate", True),
            ("put the mug that is red on the plate", True),
            ("put the mug which is blue on the plate", False),
            ("put the ivory red mug on the plate", True),  # a word that is no attribute of the vocabulary says nothing
            ("put the green mug on the plate", False),
            ("put the mug on the plate", False),  # there is another one
        ],
    )
    def test_with_another_of_its_kind(self, sentence: str, ok: bool) -> None:
        other = thing("other", "mug", "distractor", "blue")
        value = edited(("objects.5", other), *say(sentence))
        spec = SceneSpec.model_validate(value)
        assert (problems(spec) == []) is ok, problems(spec)

    @pytest.mark.parametrize(
        ("sentence", "ok"),
        [
            ("put the plate on the mug", False),
            ("take the white plate and put it on the red mug", False),
            ("the plate should go on top of the mug", False),
            ("get the plate onto the mug, please", False),
            ("put the mug on the plate", True),
            ("on the plate, put the red mug", True),
            ("on the plate goes the mug", True),
            ("the plate is where the red mug belongs", True),
            ("take the plate and set the mug on it", True),
            ("bring the plate to the mug and set the mug on it", True),
            ("do not put the plate on the mug, put the mug on the plate", True),
            ("open the plate for the mug", False),
            ("close the red mug and put it on the plate", False),
            ("put the mug close to the middle of the plate", True),
        ],
    )
    def test_which_goes_where(self, sentence: str, ok: bool) -> None:
        assert (problems(SceneSpec.model_validate(edited(*say(sentence)))) == []) is ok

    def test_cubes_are_told_apart_by_colour(self) -> None:
        cubes = [thing("one", "cube", "target", "red"), thing("two", "cube", "target", "blue")]
        goals = [{"kind": "on", "target": "one", "support": "two"}]
        for sentence, ok in (
            ("stack the red cube on the blue cube", True),
            ("stack the blue cube on the red cube", False),
            ("build a small tower: the blue cube on the red cube", False),
            ("with the blue cube below, stack the red cube on the blue one", True),
        ):
            value = edited(("objects.5", cubes[0]), ("objects.6", cubes[1]), ("task.goals", goals), *say(sentence))
            assert (problems(SceneSpec.model_validate(value)) == []) is ok, sentence

    @pytest.mark.parametrize(
        ("sentence", "kind"),
        [
            ("open the drawer", "open"),
            ("pull the drawer out", "open"),
            ("open the closed drawer", "open"),
            ("push the drawer open", "open"),
            ("do not leave the drawer closed", "open"),
            ("close the drawer", "closed"),
            ("close the open drawer", "closed"),
            ("push the drawer in", "closed"),
            ("push the drawer shut", "closed"),
            ("don't leave the drawer open, shut it", "closed"),
            ("look at the drawer", ""),
            ("move something close to the drawer", ""),
        ],
    )
    def test_open_is_not_closed(self, sentence: str, kind: str) -> None:
        for goal in ("open", "closed"):
            value = edited(("task.goals", [{"kind": goal, "target": "drawer"}]), *say(sentence))
            assert (problems(SceneSpec.model_validate(value)) == []) is (goal == kind)

    @pytest.mark.parametrize("kind", list(phrases.phrases().templates))
    def test_every_template_says_its_goal_and_not_the_other_way_round(self, kind: str) -> None:
        receiver = {"pushed": "region", "in": "container", "near": "other"}.get(kind, "support")
        pairs = [("red mug", "mug", "plate", "plate"), ("mug", "mug", "white plate", "plate")]
        pairs = [("red mug", "mug", "blue zone", "zone")] if kind == "pushed" else pairs
        turned = (", place", ", drop", ", put", ", stack", ", push", ", slide", "needs the")  # words in another order
        indirect = ("down there", "put $it in", "along the table", *turned)
        for template in phrases.phrases().templates[kind]:
            for target, name, other, place in pairs:
                goal = {"kind": "on" if kind == "stack" else kind, "target": name, receiver: place}
                if kind in ("lifted", "open", "closed"):
                    target = "drawer" if kind != "lifted" else target
                    goal = {"kind": kind, "target": target.split()[-1]}
                value = edited(("task.goals", [goal]), *say(phrases.say(template.text, target, other)))
                assert problems(SceneSpec.model_validate(value)) == [], template.text
                if receiver in goal and not any(template.text.find(words) > 8 for words in indirect):
                    value = edited(("task.goals", [goal]), *say(phrases.say(template.text, other, target)))
                    found = problems(SceneSpec.model_validate(value))
                    assert ["moves" in problem.message for problem in found] == [True], template.text

    def test_two_targets_of_one_end_may_share_a_name(self) -> None:
        other = thing("other", "mug", "target")
        goals = [{"kind": "on", "target": name, "support": "plate"} for name in ("mug", "other")]
        value = edited(("objects.5", other), ("task.goals", goals), *say("put both red mugs on the plate"))
        assert SceneSpec.checked(value)


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True).filter(
    lambda name: name not in {"table", "robot", "world", "room", "mug", "plate"}
)
NUMBERS = st.floats(module.MIN_SIZE, module.MAX_SIZE)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Consistent specs with anything that may vary."""
    words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
    value = copy.deepcopy(GOOD)
    categories = sorted(set(vocabulary.categories()) - {"mug", "plate"})
    before = ["mug"]
    for name in draw(
        st.lists(NAMES, max_size=6, unique=True).filter(lambda names: not {"apple", "drawer", "zone"} & set(names))
    ):
        where = draw(
            st.sampled_from(
                [{"kind": "free"}, {"kind": "on", "support": draw(st.sampled_from(before))},
                 {"kind": "near", "other": draw(st.sampled_from(before)), "distance": draw(st.floats(0.001, 1))},
                 {"kind": "in", "container": "plate"}]
            )
        )  # fmt: skip
        value["objects"].append(
            thing(name, draw(st.sampled_from(categories)), "distractor", draw(words), place=where,
                  size=[draw(NUMBERS), draw(NUMBERS), draw(NUMBERS)], description=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=50)),
                  variant=draw(st.integers(0, 2**32 - 1)))
        )  # fmt: skip
        before.append(name)
    low, high = sorted((draw(st.floats(0, 2)), draw(st.floats(0, 2))))
    value["light"] = {"strength": {"low": low, "high": high}}
    return value


@given(specs())
def test_valid_specs_survive_their_json(value: dict[str, Any]) -> None:
    spec = SceneSpec.checked(value)
    assert SceneSpec.checked(json.loads(spec.model_dump_json())) == spec
    assert SceneSpec.model_validate_json(spec.model_dump_json()).model_dump_json() == spec.model_dump_json()
    assert hash(spec) == hash(SceneSpec.checked(value))


@given(specs(), st.data())
def test_a_spec_with_one_field_gone_or_spoilt_is_refused_by_name(value: dict[str, Any], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(value["objects"]) - 1))
    key = data.draw(st.sampled_from(["name", "category", "colour", "material", "size", "role"]))
    if data.draw(st.booleans()):
        del value["objects"][index][key]
    else:
        value["objects"][index][key] = data.draw(st.sampled_from([None, {}, float("nan"), True]))
    assert any(message.startswith(f"objects.{index}.{key}") for message in found(value))

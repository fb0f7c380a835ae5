"""The designer: splits, the flat draft made rich, the problems it finds, prompts, backends by name."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worldgen import data, enrich, phrases, vocabulary
from worldgen.backends.llm_rules import compose
from worldgen.designer import (
    BACKENDS,
    Budget,
    Designed,
    DrafterSettings,
    Request,
    design,
    held_out,
    make_brief,
    make_drafter,
    redesign,
    render_prompt,
    to_spec,
)
from worldgen.errors import DesignError, Problem, SpecError, StoreError
from worldgen.shapes import Strict
from worldgen.spec import goal_names
from worldgen.vocabulary import Category
from worldgen.wire import SPLITS, Brief, Draft, Split, WireScene

OPENING = 0.074
REQUESTS = (
    "put the red mug on the plate",
    "kitchen table",
    "a messy desk with a bowl and fruits",
    "stack two cubes",
    "push the cube into the blue zone",
    "pick up the banana",
)


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> dict[str, Category]:
    """Return the vocabulary with a held-out category for every affordance, whatever the shipped one holds out."""
    found = dict(vocabulary.categories())
    needs = ({"graspable"}, {"surface"}, {"hollow"}, {"graspable", "stackable"}, {"pushable"}, {"openable"})
    for index, needed in enumerate(needs):
        names = [name for name, item in found.items() if needed <= set(item.affordances)]
        if not any(found[name].held_out for name in names):
            update = {"held_out": True, "synonyms": (), "plural": ""}
            found[f"spare_{index}"] = found[names[0]].model_copy(update=update)
    monkeypatch.setattr(vocabulary, "categories", lambda: found)
    return found


def designed(text: str, seed: int = 0, split: Split = "train") -> Designed:
    """Design by rules."""
    return design(Request(text, seed=seed, split=split), make_drafter("rules"), OPENING, Budget())


@pytest.mark.parametrize("text", REQUESTS)
@pytest.mark.parametrize("split", SPLITS)
def test_each_split_keeps_its_side(text: str, split: Split, kinds: dict[str, Category]) -> None:
    held = held_out(text)
    for seed in range(6):
        spec = designed(text, seed, split).spec
        target = spec.object(goal_names(spec.task.goals[0])[0])
        named = {spec.object(name).category for name in spec.goal_names()}
        unseen = split == "unseen-categories"
        assert (target.category in held.categories) == unseen
        for item in spec.objects:
            assert item.category not in held.categories or (unseen and item.category in named)
            assert item.held_out == (split == "unseen-objects")
        assert (spec.surface.material in held.surfaces) == (split == "unseen-backgrounds")
        assert (spec.background.room in held.rooms) == (split == "unseen-backgrounds")
        for sentence in (spec.task.instruction, *spec.task.paraphrases):
            assert phrases.is_held_out(sentence) == (split == "unseen-instructions")
        assert len(spec.task.paraphrases) >= 2
        assert 0 <= spec.surface.variant < 8
        assert 0 <= spec.background.variant < 8


def test_unseen_categories_keep_what_the_parts_can_do(kinds: dict[str, Category]) -> None:
    for seed in range(10):
        spec = designed("put the red mug on the plate", seed, "unseen-categories").spec
        target, support = (spec.object(name) for name in goal_names(spec.task.goals[0]))
        assert "graspable" in kinds[target.category].affordances
        assert "surface" in kinds[support.category].affordances
        assert phrases.noun(target.category) in spec.task.instruction
        assert "mug" not in spec.task.instruction or "mug" in target.category


def test_what_a_request_names_is_not_held_out() -> None:
    everything = held_out("")
    assert everything.surfaces == ("cork", "slate", "green_baize")
    assert everything.rooms == ("garden", "laboratory")
    named = held_out("put the mug on the plate on a Slate table, in the garden")
    assert named.surfaces == ("cork", "green_baize")
    assert named.rooms == ("laboratory",)
    assert held_out("a green baize table").surfaces == held_out("a felt table").surfaces == ("cork", "slate")
    assert held_out("a cup in the lab").rooms == ("garden",)
    assert designed("a mug in the lab on a felt table").spec.background.room == "laboratory"
    spec = designed("put the mug on the plate on a slate table in the garden").spec
    assert (spec.surface.material, spec.background.room) == ("slate", "garden")
    other = designed("put the mug on the plate on a slate table in the garden", 0, "unseen-backgrounds").spec
    assert other.surface.material in named.surfaces
    assert other.background.room == "laboratory"
    for name, item in vocabulary.categories().items():
        for word in item.words(name):
            assert name not in held_out(f"lift the {word}").categories


def test_nothing_left_to_hold_out() -> None:
    with pytest.raises(DesignError, match="no held-out room left"):
        designed("a mug in the garden laboratory", 0, "unseen-backgrounds")


# ---------------------------------------------------------------- draft to spec


def draft(text: str = "put the red mug on the plate", seed: int = 1) -> tuple[dict[str, Any], Brief]:
    """Return a valid flat draft as JSON, and its brief."""
    brief = make_brief(Request(text, seed=seed), OPENING)
    return json.loads(compose(brief).model_dump_json()), brief


def problems(change: Callable[[dict[str, Any]], object], text: str = "put the red mug on the plate") -> str:
    """Return what is found in a draft after a change, one finding a line."""
    value, brief = draft(text)
    change(value)
    with pytest.raises(SpecError) as caught:
        to_spec(WireScene.model_validate(value), brief)
    return "\n".join(str(problem) for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda w: w.update(surface="lava"), "surface: 'lava' is not allowed here"),
        (lambda w: w.update(room="kitchn"), "Did you mean 'kitchen'?"),
        (lambda w: w.update(room="garden"), "room: 'garden' is not allowed here"),
        (lambda w: w["objects"][0].update(category="mugg"), "'mugg' is unknown"),
        (lambda w: w["objects"][0].update(colour="reddish"), "objects.mug.colour: 'reddish' is no colour of a mug"),
        (lambda w: w["objects"][0].update(material="fruit"), "objects.mug.material: 'fruit' is no material of a mug"),
        (lambda w: w["objects"][0].update(pattern="paisley"), "objects.mug.pattern: 'paisley'"),
        (lambda w: w["objects"][0].update(longest_cm=90), "90 cm is no size of a mug"),
        (lambda w: w["objects"][0].update(longest_cm=-1), "-1 cm is no size of a mug"),
        (lambda w: w["objects"][0].update(name="Mug 1"), "objects.0.name"),
        (lambda w: w["objects"][0].update(relation="in", relative_to="plate"), "a plate is not hollow"),
        (lambda w: w["objects"][0].update(relation="on", relative_to="plate"), "starts where the goal wants it"),
        (lambda w: w["objects"][0].update(relation="on", relative_to="tray"), "there is no object 'tray'"),
        (lambda w: w["goals"][0].update(target="plate", other="mug"), "goals.0: a plate is not graspable"),
        (lambda w: w["goals"][0].update(kind="open", other=""), "goals.0: a mug is not openable"),
        (lambda w: w["goals"][0].update(kind="pushed"), "goals.0: a mug is not pushable"),
        (lambda w: w["goals"][0].update(other="ghost"), "there is no object 'ghost'"),
        (lambda w: w["goals"].clear(), "goals: there are none"),
        (lambda w: w["objects"].clear(), "objects: there are none"),
        (lambda w: w.update(instruction="move it over there"), "does not name 'mug'"),
        (lambda w: w.update(instruction="put the blue mug on the plate"), "does not fit 'mug', a red"),
        (lambda w: w["paraphrases"].append("tidy up"), "task.paraphrases"),
    ],
)  # fmt: skip
def test_every_problem_of_a_draft_is_a_sentence(change: Callable[[dict[str, Any]], object], expected: str) -> None:
    assert expected in problems(change)


def test_all_word_problems_come_at_once() -> None:
    def change(wire: dict[str, Any]) -> None:
        wire.update(surface="lava", room="moon")
        wire["objects"][0].update(colour="reddish", material="cheese")

    assert len(problems(change).splitlines()) == 4


def test_small_slips_of_a_draft_are_put_right() -> None:
    value, brief = draft("stack the red cube on the blue cube")
    for item in value["objects"]:
        item.update(role="distractor", colour=item["colour"].upper())
    value["objects"][0]["category"] = "Blocks"
    value["surface"] = value["surface"].replace("_", " ").title()
    spec = to_spec(WireScene.model_validate(value), brief)
    assert spec.family() == "stack"
    assert spec.object("cube").role == spec.object("cube_2").role == "target"
    pushed, brief = draft("push the cube into the blue zone")
    assert to_spec(WireScene.model_validate(pushed), brief).object("zone").role == "fixture"


def test_free_wording_of_a_held_out_form_is_replaced() -> None:
    value, brief = draft()
    value["instruction"] = "The red mug should go on the plate."
    value["paraphrases"] = ["I want the red mug to rest on the plate", "pop the red mug onto the plate"]
    task = to_spec(WireScene.model_validate(value), brief).task
    assert task.instruction == "put the red mug on the plate"
    assert "pop the red mug onto the plate" in task.paraphrases
    assert not any(phrases.is_held_out(text) for text in (task.instruction, *task.paraphrases))
    unseen = make_brief(Request("put the red mug on the plate", seed=1, split="unseen-instructions"), OPENING)
    task = to_spec(WireScene.model_validate(value), unseen).task
    assert all(phrases.is_held_out(text) for text in (task.instruction, *task.paraphrases))
    assert len(task.paraphrases) >= 3


def test_held_out_wording_of_many_goals_stays_out_of_train() -> None:
    held_form, plain = "the apple and the lemon should go in the bowl", "put the apple and the lemon in the bowl"
    value, brief = draft("put the apple and the lemon in the bowl")
    assert len(value["goals"]) == 2
    value.update(instruction=held_form, paraphrases=[])
    assert phrases.is_held_out(held_form)
    with pytest.raises(SpecError, match="kept for the split of unseen instructions"):
        to_spec(WireScene.model_validate(value), brief)
    value["paraphrases"] = [held_form, plain]
    task = to_spec(WireScene.model_validate(value), brief).task
    assert (task.instruction, task.paraphrases) == (plain, ())
    unseen = make_brief(Request(plain, seed=1, split="unseen-instructions"), OPENING)
    assert to_spec(WireScene.model_validate(value), unseen).task.instruction == held_form
    value.update(instruction=plain, paraphrases=[])
    with pytest.raises(SpecError, match="no held-out wording"):
        to_spec(WireScene.model_validate(value), unseen)


def test_sizes_keep_proportions_and_fit_the_gripper() -> None:
    for seed in range(30):
        value, brief = draft("put the red mug on the plate", seed)
        spec = to_spec(WireScene.model_validate(value), brief)
        for item in spec.objects:
            known = vocabulary.categories()[item.category]
            for extent, low, high in zip(item.size, known.small, known.large, strict=True):
                assert 0.7 * low <= extent <= 1.09 * high
            if known.small[0] == known.small[1] and known.large[0] == known.large[1]:
                assert item.size[0] == item.size[1]
        assert min(spec.object("mug").size[:2]) <= 0.9 * OPENING
    value, brief = draft()
    value["objects"][1]["longest_cm"] = 15.0
    assert max(to_spec(WireScene.model_validate(value), brief).object("plate").size) == pytest.approx(0.15)
    narrow = make_brief(brief.request, 0.04)
    with pytest.raises(SpecError, match="gripper's opening"):
        to_spec(WireScene.model_validate(value), narrow)


def test_a_variant_is_one_size_wherever_it_turns_up() -> None:
    sizes: dict[tuple[str, int], set[tuple[float, ...]]] = {}
    for seed in range(60):
        for item in designed("kitchen table", seed).spec.objects:
            if item.role == "distractor":
                sizes.setdefault((item.category, item.variant), set()).add(item.size)
    assert all(len(found) == 1 for found in sizes.values())
    assert len(sizes) > 60


@pytest.mark.parametrize("light", list(enrich._LIGHTS))
def test_light_words_give_valid_ranges(light: str) -> None:
    value, brief = draft()
    value["light"] = light
    spec = to_spec(WireScene.model_validate(value), brief)
    assert (spec.light.model_dump() != type(spec.light)().model_dump()) == (light != "neutral")


# ---------------------------------------------------------------- language, prompts, backends


def test_templates_are_many_plain_and_disjoint() -> None:
    assert set(phrases.phrases().templates) == {"on", "in", "stack", "near", "pushed", "lifted", "open", "closed"}
    for kind, items in phrases.phrases().templates.items():
        assert len(items) >= 10
        assert sum(item.held_out for item in items) >= 3
        for item in items:
            said = phrases.say(item.text, "red mug", "plate")
            assert "$" not in said
            assert "red mug" in said
            assert ("plate" in said) == (kind in ("on", "in", "stack", "near", "pushed"))
            assert phrases.is_held_out(said.upper() + ".") == item.held_out


class Box(Strict):
    """The least that a noun phrase needs."""

    category: str = "mug"
    colour: str = "red"
    material: str = "ceramic"
    pattern: str = "plain"


def test_noun_phrases_tell_apart() -> None:
    mug = Box()
    assert phrases.refer(mug, []) == "mug"
    assert phrases.refer(mug, [Box(category="plate")]) == "mug"
    assert phrases.refer(mug, [Box(colour="blue")]) == "red mug"
    assert phrases.refer(mug, [Box(material="steel")]) == "ceramic mug"
    assert phrases.refer(mug, [Box(material="steel"), Box(colour="blue")]) == "red ceramic mug"
    assert phrases.refer(Box(pattern="stripes"), [], ("pattern",)) == "striped mug"
    assert phrases.refer(Box(material="wood"), [], ("colour", "material")) == "red wooden mug"
    with pytest.raises(DesignError, match="Nothing tells"):
        phrases.refer(mug, [Box()])


def test_prompts_refuse_missing_and_unknown_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prompts").mkdir()
    prompt = tmp_path / "prompts" / "repair.txt"
    monkeypatch.setattr(data, "root", lambda: tmp_path)
    prompt.write_text("$count: $problems")
    assert render_prompt("repair.txt", {"count": "1", "problems": "$x"}) == "1: $x"
    for text, odd in (("$count", "problems"), ("$count $problems $mood", "mood"), ("$count $problems $", "lone")):
        prompt.write_text(text)
        with pytest.raises(DesignError, match=odd):
            render_prompt("repair.txt", {"count": "1", "problems": "-"})


def test_the_prompt_holds_the_words_of_the_split(kinds: dict[str, Category]) -> None:
    train = make_brief(Request("a mug"), OPENING).messages[0].text
    assert "$" not in train
    assert "- mug (graspable" in train
    for name, item in kinds.items():
        assert (f"\n- {name} (" in train) == (not item.held_out and not item.nameless)
    unseen = make_brief(Request("a mug", split="unseen-categories"), OPENING).messages[0].text
    assert "must be one of these" in unseen
    assert all((f"\n- {name} (" in unseen) == (not item.nameless) for name, item in kinds.items())
    named = make_brief(Request("two oddities on a plate"), OPENING).messages[0].text
    assert "\n- oddity (graspable" in named
    back = make_brief(Request("a mug", split="unseen-backgrounds"), OPENING).messages[0].text
    assert "Rooms: garden, laboratory\n" in back


def test_a_draft_on_the_wrong_side_of_the_split_is_a_problem(kinds: dict[str, Category]) -> None:
    value, _ = draft()
    brief = make_brief(Request("put the red mug on the plate", seed=1, split="unseen-categories"), OPENING)
    with pytest.raises(SpecError, match="this split asks for a held-out category"):
        to_spec(WireScene.model_validate(value), brief)
    back = make_brief(Request("put the red mug on the plate", seed=1, split="unseen-backgrounds"), OPENING)
    with pytest.raises(SpecError, match="is not allowed here"):
        to_spec(WireScene.model_validate(value), back)


def test_backends_by_name_and_path(tmp_path: Path) -> None:
    assert set(BACKENDS) == {"rules", "openai", "recorded"}
    assert make_drafter("worldgen.backends.llm_rules:RulesDrafter").name == "rules"
    with pytest.raises(DesignError, match=r"Did you mean 'rules'\?.*openai, recorded, rules"):
        make_drafter("rule")
    with pytest.raises(DesignError, match="cannot be imported"):
        make_drafter("worldgen.backends.llm_rules:Nothing")
    with pytest.raises(DesignError, match="cannot be imported"):
        make_drafter("nowhere_at_all:Nothing", DrafterSettings())
    assert make_drafter("tests.worldgen.test_designer:Fixed", DrafterSettings("m", replies=tmp_path)).model == "m"


class Fixed:
    """A backend that says the same whatever it is asked."""

    name = "fixed"

    def __init__(self, settings: DrafterSettings) -> None:
        self.model = settings.model
        self.reply = ""
        self.briefs: list[Brief] = []

    def draft(self, brief: Brief, budget: Budget) -> Draft:
        self.briefs.append(brief)
        return Draft(self.reply, self.model)


def test_problems_reach_the_backend_and_the_reply_is_saved(tmp_path: Path) -> None:
    backend = Fixed(DrafterSettings())
    with pytest.raises(DesignError, match="Invalid JSON") as caught:
        design(Request("a mug"), backend, OPENING, Budget(), tmp_path)
    assert [len(brief.problems) for brief in backend.briefs] == [0, 1, 1]
    (file,) = tmp_path.iterdir()
    assert str(file) in str(caught.value)


def test_a_reply_that_cannot_be_saved_is_an_error_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Fixed(DrafterSettings())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be made"):
        design(Request("a mug"), backend, OPENING, Budget(), tmp_path / "file")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="disk is full"):
        design(Request("a mug"), backend, OPENING, Budget(), tmp_path)


def test_the_rules_fail_at_once(tmp_path: Path) -> None:
    result = designed("put the mug on the plate")
    problem = Problem("settle", "'mug' fell over.", "Move it.")
    with pytest.raises(DesignError, match=r"cannot repair.*'mug' fell over"):
        redesign(result, [problem], make_drafter("rules"), Budget(), tmp_path)
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"")
    with pytest.raises(DesignError, match="cannot see a photo"):
        design(Request("a mug", photo=photo), make_drafter("rules"), OPENING, Budget())
    with pytest.raises(DesignError, match="no photo"):
        design(Request("a mug", photo=tmp_path / "none.png"), make_drafter("rules"), OPENING, Budget())


def test_provenance_is_the_same_for_the_same_design() -> None:
    one, two = (designed("put the mug on the plate", 5).provenance for _ in range(2))
    assert one.model_dump_json() == two.model_dump_json()
    assert (one.backend, one.rounds, one.request, one.split, one.seed) == (
        "rules",
        0,
        "put the mug on the plate",
        "train",
        5,
    )
    assert len(one.prompt_sha256) == len(one.reply_sha256) == 64

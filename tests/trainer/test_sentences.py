"""What is said about a scene: a sentence names what it says it names, in words that fit nothing else; held-out forms only where asked for."""

from __future__ import annotations

import re

import numpy as np
import pytest

from trainer import sentences
from trainer.policies.text import Words
from trainer.sentences import ALONE, KINDS, Sentences, strange, unheard
from worldgen import vocabulary
from worldgen.phrases import attributes, is_held_out, phrases, say, templates
from worldgen.spec import ObjectSpec, SceneSpec

NAMES = {word.replace("_", " ") for name, item in vocabulary.categories().items() for word in item.words(name)}
THING = {"size": (0.06, 0.06, 0.08), "material": "plastic"}


def spec() -> SceneSpec:
    """Return a scene with two mugs, a plate and a fixture that opens."""
    objects = [
        {"name": "mug_1", "category": "mug", "colour": "red", "role": "target", **THING},
        {"name": "mug_2", "category": "mug", "colour": "blue", "role": "distractor", **THING},
        {"name": "plate", "category": "plate", "colour": "white", "role": "container", **THING},
        {"name": "cabinet", "category": "drawer", "colour": "green", "role": "fixture", **THING},
    ]
    task = {
        "instruction": "put the red mug on the plate",
        "goals": [{"kind": "on", "target": "mug_1", "support": "plate"}],
    }
    base = {"name": "made", "surface": {"material": "oak"}, "background": {"room": "kitchen"}}
    return SceneSpec.model_validate({**base, "objects": objects, "task": task})


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sentences of a scene's own, and nouns that are names."""
    monkeypatch.setattr(sentences, "_OWN", 0.0)
    monkeypatch.setattr(Sentences, "_noun", lambda _, item, rng, use: f"<{item.name}>")


@pytest.mark.parametrize("held_out", [False, True])
def test_names_what_it_says_in_a_form_of_its_kind(bare: None, held_out: bool) -> None:
    made, rng, seen = Sentences(spec(), held_out), np.random.default_rng(0), set()
    for _ in range(400):
        sentence, target, other = made(rng)
        first, second = (made.objects[target].name, made.objects[other].name if other >= 0 else "")
        assert sentence.count("<") == 1 + bool(second)
        kinds = {
            kind
            for kind in KINDS
            for form in templates(kind, held_out)
            if say(form, f"<{first}>", f"<{second}>") == sentence
        }
        assert kinds, sentence
        assert {kind in ALONE for kind in kinds} == {not second}
        seen |= kinds
    assert seen >= {"on", "in", "near", "lifted", "open", "closed"}


def test_a_loose_sentence_still_names_what_it_means(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "_LOOSE", 1.0)
    made, rng = Sentences(spec(), loose=True), np.random.default_rng(0)
    for _ in range(200):
        sentence, *named = made(rng)
        assert all(f"<{made.objects[index].name}>" in sentence for index in named if index >= 0)


def test_held_out_forms_are_said_only_where_asked_for() -> None:
    rng, own = np.random.default_rng(1), set(spec().task.sentences())
    for loose in (False, True):
        plain = {Sentences(spec(), loose=loose)(rng)[0] for _ in range(300)} - own
        assert len(plain) > 50
        assert not any(is_held_out(sentence) for sentence in plain)
    kept = {Sentences(spec(), held_out=True)(rng)[0] for _ in range(300)} - own
    assert sum(is_held_out(sentence) for sentence in kept) > 0.9 * len(kept)


def test_a_scenes_own_sentence_names_its_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "_OWN", 1.0)
    made = Sentences(spec())
    for seed in range(20):
        sentence, target, other = made(np.random.default_rng(seed))
        assert sentence in spec().task.sentences()
        assert (made.objects[target].name, made.objects[other].name) == ("mug_1", "plate")


def test_words_fit_one_object_only() -> None:
    made, rng = Sentences(spec()), np.random.default_rng(0)
    for _ in range(60):
        red, blue, plate = (str(made._noun(item, rng)).split() for item in made.objects[:3])
        assert "red" in red
        assert "blue" in blue
        assert not {"red", "blue"} & set(plate)


def test_two_alike_are_never_named_by_what_they_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "_STRANGE", 0.5)
    whole = spec()
    objects = tuple(item.model_copy(update={"colour": "red"}) for item in whole.objects)
    made, rng = Sentences(whole.model_copy(update={"objects": objects}), loose=True), np.random.default_rng(0)
    own = set(whole.task.sentences())
    for _ in range(200):
        sentence, *named = made(rng)
        if sentence not in own:
            assert not {0, 1} & set(named)


def test_a_strange_noun_comes_with_the_colour_and_is_in_no_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "_STRANGE", 1.0)
    made, rng = Sentences(spec(), loose=True), np.random.default_rng(0)
    known = {word for name, item in vocabulary.categories().items() for word in item.words(name)}
    for _ in range(100):
        words = str(made._noun(made.objects[0], rng)).split()
        assert words[0] == "red"
        assert words[-1] not in known


def test_what_is_done_with_a_thing_can_tell_what_a_strange_noun_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is one thing only to put others onto; not of what is moved, nor of what things are near to."""
    monkeypatch.setattr(sentences, "_STRANGE", 0.0)
    monkeypatch.setattr(sentences, "_STRANGE_USED", 1.0)
    monkeypatch.setattr(sentences, "_MORE", 0.0)
    made, rng = Sentences(spec(), loose=True), np.random.default_rng(0)
    mug, _, plate, _ = made.objects
    assert {kind: made._noun(plate, rng, kind) == "plate" for kind in ("", "on", "in", "near")} == {
        "": True, "on": False, "in": True, "near": True,
    }  # fmt: skip
    assert made._noun(mug, rng, "on") in ("red mug", "red coffee mug")
    whole = spec()
    bowl = whole.objects[1].model_copy(update={"category": "bowl"})
    two = Sentences(whole.model_copy(update={"objects": (whole.objects[0], bowl, *whole.objects[2:])}), loose=True)
    assert {two._noun(two.objects[2], rng, "on") for _ in range(30)} <= {"plate", "dish"}, "a bowl would do too"
    assert two._noun(two.objects[1], rng, "in") != "bowl"
    known = {word for name in NAMES for word in name.split()}
    said = [sentence for sentence, target, other in (made(rng) for _ in range(500)) if (target, other) == (0, 2)]
    assert any(not set(sentence.split()[-1:]) & known for sentence in said)
    assert all("red" in sentence for sentence in said)


def test_no_strange_word_means_something() -> None:
    rng = np.random.default_rng(0)
    made = {strange(rng) for _ in range(60_000)}
    known = {
        part for name, item in vocabulary.categories().items() for word in item.words(name) for part in word.split()
    }
    assert len(made) > 20_000
    assert not made & (known | set(vocabulary.colours()) | set(vocabulary.materials()))


def test_what_nobody_has_a_word_for_is_named_by_words_that_mean_nothing() -> None:
    """Not by its key, nor only where its colour tells: that is how a word is learned to mean what looks like nothing known."""
    objects = [
        item.model_copy(update={"category": "oddity"} if item.name == "mug_1" else {}) for item in spec().objects
    ]
    task = spec().task.model_copy(update={"instruction": "put the oddity on the plate"})
    made, rng = Sentences(spec().model_copy(update={"objects": tuple(objects), "task": task})), np.random.default_rng(0)
    said = [sentence for sentence, target, _ in (made(rng) for _ in range(600)) if target == 0]
    assert len(said) > 100
    assert not any("oddit" in sentence for sentence in said)
    plain = [sentence for sentence in said if not set(sentence.split()) & {"red", "plastic"}]
    assert len(plain) > 20, "mostly nothing else is said of it"
    known = {word for name in NAMES for word in name.split()}
    assert not any(set(sentence.split()) & (known - {"plate", "mug", "coffee", "drawer", "unit"}) for sentence in plain)


def test_one_object_alone_and_objects_that_rival() -> None:
    whole = spec()
    made = Sentences(whole)
    assert [made.rivals(index) for index in range(4)] == [[1], [0], [], []]
    objects: tuple[ObjectSpec, ...] = whole.objects[:1]
    task = whole.task.model_validate({"instruction": "lift the mug", "goals": [{"kind": "lifted", "target": "mug_1"}]})
    alone, rng = Sentences(whole.model_copy(update={"objects": objects, "task": task})), np.random.default_rng(0)
    assert {alone(rng)[1:] for _ in range(50)} == {(0, -1)}


def test_all_kinds_have_forms() -> None:
    assert set(KINDS) <= set(phrases().templates)


def test_held_out_nouns_are_no_pieces_of_the_tokenizer() -> None:
    words = Words.learn()
    for name, item in vocabulary.categories().items():
        if (item.held_out and len(name) > 4) or item.nameless:
            assert len(words.pieces(name)) > 1, name
        elif not item.held_out and " " not in name:
            assert len(words.pieces(name)) == 1, name


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_things_are_replaced_and_nothing_else(kind: str) -> None:
    rng = np.random.default_rng(0)
    for template in templates(kind, held_out=False):
        for target, other in (("traffic cone", "cake stand"), ("mug", "drawer"), ("hex nut", "soap")):
            said = say(template, f"red {target}", f"striped wooden {other}")
            assert unheard(said, 0.0, rng) == said
            form = say(template, r"red (\w+)", r"striped wooden (\w+)")
            found = re.fullmatch(form, unheard(said, 1.0, rng))
            assert found, "all words but the names stay"
            assert not NAMES & set(found.groups())


def test_a_name_stays_where_nothing_else_tells_what_is_meant() -> None:
    rng = np.random.default_rng(0)
    for said in ("lift the mug", "lift the plate", "pick the pot up", "open the drawer"):
        assert unheard(said, 1.0, rng) == said
    assert re.fullmatch(r"lift the red \w+", made := unheard("lift the red mug", 1.0, rng))
    assert not made.endswith("mug")
    for said in ("put the bowl on the ", "set the mug inside the ", "on top of the "):
        assert (made := unheard(f"{said}tray", 1.0, rng)).startswith(said), "where things are put is told by that"
        assert not made.endswith("tray")


def test_a_share_of_names_is_replaced() -> None:
    rng, said = np.random.default_rng(0), "put the red cone on the plate"
    made = [unheard(said, 0.25, rng) for _ in range(2000)]
    kept = [("cone" in one.split(), "plate" in one.split()) for one in made]
    assert np.mean(kept, axis=0) == pytest.approx([0.75, 0.75], abs=0.04)
    assert np.mean([all(both) for both in kept]) == pytest.approx(0.75**2, abs=0.04), "each by itself"
    assert len(set(made)) > 700, "another word each time"
    rng = np.random.default_rng(0)
    assert [unheard(said, 0.25, rng) for _ in range(2000)] == made


def test_no_name_is_a_colour_too() -> None:
    assert not NAMES & set(attributes())

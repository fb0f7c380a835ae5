"""Loose speech: the same things are named in the same order, and nothing that is kept for reports is ever said."""

from __future__ import annotations

import re

import numpy as np
import pytest

from worldgen.phrases import is_held_out, loosely, phrases, say, templates


@pytest.mark.parametrize("kind", sorted(phrases().templates))
def test_a_loose_form_names_the_same_in_the_same_order(kind: str) -> None:
    rng, asides = np.random.default_rng(0), phrases().asides
    for form in templates(kind, held_out=False):
        said = {loosely(form, rng) for _ in range(60)}
        assert len(said) > 20
        for loose in said:
            assert re.findall(r"\$target|\$other", loose) == re.findall(r"\$target|\$other", form)
            rest = [word for word in form.split() if word.strip(",") not in asides.idle]
            assert all(word in loose.split() for word in rest), "only idle words are left out"


def test_nothing_held_out_is_said_loosely() -> None:
    rng = np.random.default_rng(1)
    for kind in phrases().templates:
        for form in templates(kind, held_out=False):
            assert not any(is_held_out(say(loosely(form, rng), "red mug", "plate")) for _ in range(30))


def test_what_would_be_held_out_is_said_plainly() -> None:
    """A form from which leaving out a word makes a held-out one."""
    rng, kept = np.random.default_rng(2), templates("near", held_out=True)[0]
    made = kept.replace("should", "should now")
    said = {loosely(made, rng) for _ in range(200)}
    assert made in said
    assert not any(is_held_out(form) for form in said)


def test_asides_hold_no_word_of_held_out_forms_alone() -> None:
    """A word that only held-out forms have stays unknown until the report."""
    forms = [(item.text, item.held_out) for items in phrases().templates.values() for item in items]
    known = {word for text, held in forms if not held for word in re.findall(r"[a-z]+", text.lower())}
    secret = {word for text, held in forms if held for word in re.findall(r"[a-z]+", text.lower())} - known
    asides = phrases().asides
    told = {word for text in (*asides.before, *asides.after) for word in re.findall(r"[a-z]+", text.lower())}
    assert not told & secret

"""Words: any text becomes numbers, the same ones each time; what is kept for reports was not learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import CheckpointError
from trainer.policies.text import LENGTH, PIECES, Words, _corpus
from worldgen.phrases import is_held_out, phrases, say, templates

from .handmade import words

TOLD = ["put the red mug on the plate", "open the drawer", "push the yellow cube to the red zone"]


def test_shape_and_padding() -> None:
    found = words()(["", *TOLD])
    assert found.shape == (4, LENGTH)
    assert found.dtype == np.int64
    assert not found[0].any()
    for row in found[1:]:
        count = int((row > 0).sum())
        assert count > 2
        assert (row[:count] > 0).all(), "padding is at the end only"
    assert found.max() < words().size <= PIECES


def test_no_sentences() -> None:
    assert words()([]).shape == (0, LENGTH)


@pytest.mark.parametrize("sentence", ["", " ", "\n\t", ".", "  !. "])
def test_what_says_nothing_is_padding(sentence: str) -> None:
    assert not words()([sentence]).any()


@pytest.mark.parametrize("sentence", ["x" * 10_000, "put the mug " * 900, "🫖" * 10_000, "\x00" * 10_000])
def test_ten_thousand_characters_are_cut(sentence: str) -> None:
    found = words()([sentence])
    assert (found > 0).all()
    assert (found == words()([sentence[:500]])).all()


@pytest.mark.parametrize(
    "sentence", ["lift the zxqv", "hebe die Tasse über den Löffel", "拿起红色的杯子", "🫖☕", "a\x00b"]
)
def test_unknown_words_are_pieces_of_their_own_text(sentence: str) -> None:
    found = words()([sentence, "lift the mug"])
    assert found[0].any()
    assert (found[0] != found[1]).any()
    if len(words().pieces(sentence)) < LENGTH:
        ids = [int(index) for index in found[0] if index]
        assert words()._tokenizer.decode(ids).strip() == sentence.lower().strip()


@given(st.text(max_size=60))
def test_any_text_has_numbers_in_range_and_neighbours_do_not_matter(sentence: str) -> None:
    found = words()([TOLD[0], sentence, TOLD[1]])
    assert ((found >= 0) & (found < words().size)).all()
    assert (found[1] == words()([sentence])[0]).all()
    assert (found[[0, 2]] == words()(TOLD[:2])).all()


@pytest.mark.parametrize(
    "other", ["Put the RED mug on the plate", "put the red mug on the plate.", " put the red mug on the plate!"]
)
def test_how_it_is_written_does_not_matter(other: str) -> None:
    assert (words()([other]) == words()(TOLD[:1])).all()


def test_what_the_vocabulary_says_is_short() -> None:
    assert (words()(TOLD) > 0).sum(axis=1).tolist() == [7, 3, 8]


def test_learning_is_the_same_each_time() -> None:
    assert Words.learn().dumps() == words().dumps()


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    again = Words.parse(words().dumps(), tmp_path)
    told = [*TOLD, "", "🫖", "lift the zxqv ümläut", "x" * 300]
    assert (again(told) == words()(told)).all()
    assert again.size == words().size
    assert again.dumps() == words().dumps()


@pytest.mark.parametrize("content", ["", "{}", '{"model": 1}', "[]"])
def test_what_is_no_tokenizer_is_told(tmp_path: Path, content: str) -> None:
    with pytest.raises(CheckpointError, match="no tokenizer"):
        Words.parse(content, tmp_path)


def test_no_held_out_form_is_learned_from() -> None:
    corpus = list(_corpus())
    assert len(corpus) > 3000
    held_out = [say(form, "red mug", "blue plate") for kind in phrases().templates for form in templates(kind, True)]
    assert len(held_out) > 5
    assert all(is_held_out(sentence) for sentence in held_out)
    assert not any(is_held_out(sentence) for sentence in corpus)

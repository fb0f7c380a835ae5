"""Words ↔ numbers: byte-pair pieces learned from the vocabulary and the sentences of tasks. Knows no pictures, no networks.

Any text is understood as far as possible: what is no known piece falls apart into bytes, so there is no unknown word.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from worldgen import vocabulary
from worldgen.phrases import attributes, phrases, say, templates

from ..errors import CheckpointError

LENGTH = 32
"""Pieces of an instruction; longer ones are cut."""
PIECES = 1536
PAD = "<pad>"
_READ = 2000
"""Characters of an instruction that are looked at: far more than LENGTH pieces hold."""


class Words:
    """A tokenizer as a policy uses it: sentences to (N, LENGTH) numbers, 0 for padding."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def learn(cls, pieces: int = PIECES) -> Words:
        """Learn pieces from the shipped vocabulary and the training templates; the same each time."""
        return cls(_learned(pieces))

    @classmethod
    def parse(cls, text: str, where: Path) -> Words:
        """Return what the text of a tokenizer.json says.

        Raises:
            CheckpointError: When it is none.
        """
        try:
            return cls(Tokenizer.from_str(text))
        except Exception as error:  # the library raises plain Exception
            raise CheckpointError(f"'{where}' holds no tokenizer: {error}. Copy the policy folder again.") from error

    def dumps(self) -> str:
        """Return the text of a tokenizer.json."""
        return str(self._tokenizer.to_str(pretty=True))

    @cached_property
    def size(self) -> int:
        """Number of pieces."""
        return int(self._tokenizer.get_vocab_size())

    def __call__(self, sentences: Sequence[str]) -> NDArray[np.int64]:
        """Return the pieces of each sentence, (N, LENGTH), with 0 after its end. An empty one is all 0."""
        found = np.zeros((len(sentences), LENGTH), np.int64)
        known: dict[str, list[int]] = {}
        for row, sentence in zip(found, sentences, strict=True):
            if sentence not in known:
                plain = unicodedata.normalize("NFKC", sentence[:_READ]).strip().rstrip(".!")
                known[sentence] = self._tokenizer.encode(plain).ids[:LENGTH] if plain else []
            row[: len(known[sentence])] = known[sentence]
        return found

    def pieces(self, sentence: str) -> list[str]:
        """Return the pieces of a sentence as text, for people."""
        ids = [int(index) for index in self([sentence])[0] if index]
        return [str(self._tokenizer.decode([index])) for index in ids]


@cache
def _learned(pieces: int) -> Tokenizer:
    """Return a tokenizer of so many pieces; a process learns it once."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=[PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return tokenizer


def _corpus() -> Iterator[str]:
    """Yield what a robot may be told in training: templates filled with words of the vocabulary, all words, attributes.

    A word that is kept for reports thus falls into parts, as any word does that nobody has heard.
    """
    rng, known = random.Random(0), vocabulary.categories()
    nouns = sorted(
        noun for noun, name in vocabulary.nouns().items() if not (known[name].held_out or known[name].nameless)
    )
    said = attributes()
    yield from (f" {word}" for word in (*nouns, *said) for _ in range(4))
    for kind in sorted(phrases().templates):
        for template in templates(kind, held_out=False):
            for _ in range(120):
                target, other = (f"{rng.choice(said)} {rng.choice(nouns)}" for _ in range(2))
                yield say(template, target, other)

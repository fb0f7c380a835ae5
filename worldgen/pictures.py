"""Where the picture of an object comes from: a user's folder of photos. Knows files and words, no meshes.

A photo's name says what it shows, and may say its colour, pattern and material: `mug.png`, `red-mug-2.jpg`, `mugs/IMG_7.jpg`. Where it does not, the photo does.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import photos, store, vocabulary
from .errors import AssetError
from .language import categories_by_words, split_words
from .photos import Cutout
from .spec import HELD_VARIANT, ObjectSpec

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
MAX_PHOTOS = 5_000


@dataclass(frozen=True)
class Photo:
    """A picture file of one object."""

    path: Path
    category: str
    said: frozenset[str]
    """Words of the vocabulary in its name: colour, pattern, material."""
    digest: str
    """Of the file's content."""

    def cutout(self) -> Cutout:
        """Return the object in it.

        Raises:
            AssetError: When it shows no single whole object.
        """
        found = _cut(self.path, self.digest)
        if isinstance(found, str):
            raise AssetError(found)
        return found

    def colour(self) -> str:
        """Return its colour, a word of the vocabulary that the category may have.

        Raises:
            AssetError: When its name does not say it, and it shows no single whole object.
        """
        said = sorted(self.said & vocabulary.colours().keys())
        return said[0] if said else nearest_colour(self.cutout().colour(), colours_of(self.category))

    def suits(self, item: ObjectSpec) -> bool:
        """Tell whether it may show an object, by pattern and material: a photo without such words is of a plain thing of any material.

        What is never plain, as a basket is woven, has any of its patterns there.
        """
        known = vocabulary.categories().get(self.category)
        usual = set(known.patterns) if known and "plain" not in known.patterns else {"plain"}
        patterns = self.said & set(vocabulary.patterns()) or usual
        materials = self.said & vocabulary.materials().keys() or {item.material}
        return item.pattern in patterns and item.material in materials


@lru_cache(maxsize=64)
def _cut(path: Path, digest: str) -> Cutout | str:
    """Return what a photo shows, or what is wrong with it."""
    try:
        return photos.read(path)
    except AssetError as error:
        return str(error)


@dataclass(frozen=True)
class Album:
    """The photos of a folder, each content once."""

    root: Path
    photos: tuple[Photo, ...]

    @classmethod
    def open(cls, root: Path) -> Album:
        """Read the names of a folder's photos.

        Raises:
            AssetError: When there is no folder or no photo in it, or a name says of nothing what it shows.
        """
        if not root.is_dir():
            raise AssetError(f"There is no folder '{root}' of photos. Give one with --photos.")
        found = sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        if not found or len(found) > MAX_PHOTOS:
            raise AssetError(
                f"'{root}' holds {len(found)} photos ({', '.join(ENDINGS)}); 1 to {MAX_PHOTOS} are allowed."
            )
        named = [_named(path, root) for path in found]
        return cls(root, tuple({photo.digest: photo for photo in reversed(named)}.values())[::-1])

    def told(self) -> list[list[Any]]:
        """Return all that objects made of it hang on, as JSON can say it."""
        return [[photo.digest, photo.path.name, photo.category, sorted(photo.said)] for photo in self.photos]

    def looks(self) -> dict[str, tuple[str, ...]]:
        """Return the categories that there are good photos of, each with its colours."""
        made: dict[str, dict[str, None]] = {}
        for photo in self.photos:
            with suppress(AssetError):  # whoever wants to use it is told
                made.setdefault(photo.category, {})[photo.colour()] = None
        return {category: tuple(colours) for category, colours in sorted(made.items()) if colours}

    def find(self, item: ObjectSpec) -> Photo:
        """Return the photo of an object, by its category, words and variant; objects of training scenes never share one with held-out ones.

        Of those in one colour, every `HELD_VARIANT`th is for what is held out.

        Raises:
            AssetError: When there is none, or what is wrong with those that there are.
        """
        reasons, fits = list[str](), list[Photo]()
        for photo in self.photos:
            if photo.category == item.category and photo.suits(item):
                try:
                    photo.cutout()
                    fits.append(photo)
                except AssetError as error:
                    reasons.append(str(error))
        alike = sorted((photo for photo in fits if photo.colour() == item.colour), key=lambda photo: photo.digest)
        chosen = [photo for index, photo in enumerate(alike, 1) if (index % HELD_VARIANT == 0) == item.held_out]
        if chosen:
            return chosen[item.variant * 2_654_435_761 % 2**32 * len(chosen) >> 32]  # spread as by chance (Knuth)
        pattern = f"{item.pattern} " if item.pattern != "plain" else ""
        what = f"a {item.colour} {pattern}{item.category}"
        if alike:
            raise AssetError(
                f"'{self.root}' has {len(alike)} photos of {what}, none of which is kept for the {'held-out' if item.held_out else 'training'} split "
                f"(every {HELD_VARIANT}th is held out)."
            )
        if fits:
            colours = ", ".join(dict.fromkeys(photo.colour() for photo in fits))
            raise AssetError(f"'{self.root}' has no photo of {what}, only in {colours}.")
        raise AssetError(" ".join(reasons) or f"'{self.root}' has no photo of {what}.")


_WORDS = {"wooden": "wood", "striped": "stripes", "dotted": "dots", "glassy": "glass", "checked": "checks"}
"""Other forms of words in names."""


@cache
def album(root: Path) -> Album:
    """Return the album of a folder, read once a process."""
    return Album.open(root)


def _named(path: Path, root: Path) -> Photo:
    """Tell what a photo shows from its name, then from the names of the folders that it is in."""
    parts = path.relative_to(root).with_suffix("").parts
    for part in reversed(parts):
        words = split_words("".join(c if c.isalpha() else " " for c in part))
        if category := _category(words):
            known = {*vocabulary.colours(), *vocabulary.patterns(), *vocabulary.materials()}
            said = known & {_WORDS.get(word, word) for word in words}
            return Photo(path, category, frozenset(said), store.file_digest(path))
    raise AssetError(
        f"The name of '{path}' does not say what it shows. Begin it with a category, such as mug-1{path.suffix}."
    )


def _category(words: list[str]) -> str:
    """Return the category that the longest run of words names; empty for none."""
    for length in range(len(words), 0, -1):
        for start in range(len(words) - length + 1):
            if name := categories_by_words().get(tuple(words[start : start + length])):
                return name
    return ""


def colours_of(category: str) -> tuple[str, ...]:
    """Return the colour words that a thing of a category may have; all where the vocabulary does not know it."""
    known = vocabulary.categories().get(category)
    return (known.colours if known else ()) or tuple(name for name in vocabulary.colours() if name != "natural")


def nearest_colour(colour: tuple[int, int, int], names: tuple[str, ...]) -> str:
    """Return the colour word that a colour is most like, by hue rather than by brightness: photos are lit in many ways."""
    wanted = photos.lab(colour)
    off = [float(np.linalg.norm((photos.lab(vocabulary.colours()[name]) - wanted) * (0.6, 1.0, 1.0))) for name in names]
    return names[int(np.argmin(off))]

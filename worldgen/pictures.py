"""Where the picture of an object comes from: a user's folder of photos. Knows files and words, no meshes.

A photo's name says what it shows, and may say its colour: `mug.png`, `red-mug-2.jpg`, `mugs/IMG_7.jpg`. Where it does not, the photo does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from . import photos, store, vocabulary
from .errors import AssetError
from .language import split_words
from .photos import Cutout
from .spec import ObjectSpec

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
MAX_PHOTOS = 5_000
HELD_PHOTO = 5
"""Every fifth photo of a thing in a colour is for objects that training scenes never show."""


@dataclass(frozen=True)
class Photo:
    """A picture file of one object."""

    path: Path
    category: str
    said: str
    """Colour in its name; empty for none."""

    @cached_property
    def cutout(self) -> Cutout:
        """The object in it.

        Raises:
            AssetError: When it shows no single whole object.
        """
        return photos.read(self.path)

    @property
    def colour(self) -> str:
        """Its colour, a word of the vocabulary that the category may have."""
        if self.said:
            return self.said
        return nearest_colour(self.cutout.colour(), colours_of(self.category))

    @cached_property
    def digest(self) -> str:
        """Of the file's content."""
        return store.file_digest(self.path)


@dataclass(frozen=True)
class Album:
    """The photos of a folder."""

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
        return cls(root, tuple(_named(path, root) for path in found))

    def looks(self) -> dict[str, tuple[str, ...]]:
        """Return the categories that there are good photos of, each with its colours."""
        made: dict[str, dict[str, None]] = {}
        for photo in self.photos:
            try:
                made.setdefault(photo.category, {})[photo.colour] = None
            except AssetError:
                continue  # whoever wants to use it is told
        return {category: tuple(colours) for category, colours in sorted(made.items()) if colours}

    def find(self, item: ObjectSpec) -> Photo:
        """Return the photo of an object, by its category, colour and variant; objects of training scenes never share one with held-out ones.

        Raises:
            AssetError: When there is none, or what is wrong with those that there are.
        """
        reasons, fits = list[str](), list[Photo]()
        for photo in self.photos:
            if photo.category == item.category:
                try:
                    photo.cutout  # noqa: B018  # one that shows nothing is as good as none
                    fits.append(photo)
                except AssetError as error:
                    reasons.append(str(error))
        alike = [photo for photo in fits if photo.colour == item.colour]
        held = item.variant % HELD_PHOTO == 0
        chosen = [photo for index, photo in enumerate(alike) if (index % HELD_PHOTO == HELD_PHOTO - 1) == held]
        if chosen:
            return chosen[item.variant // HELD_PHOTO % len(chosen)]
        what = f"a {item.colour} {item.category}"
        if alike:
            raise AssetError(
                f"'{self.root}' has {len(alike)} photos of {what}, none of which is kept for the {'held-out' if held else 'training'} split "
                f"(every {HELD_PHOTO}th is held out)."
            )
        if fits:
            colours = ", ".join(dict.fromkeys(photo.colour for photo in fits))
            raise AssetError(f"'{self.root}' has no photo of {what}, only in {colours}.")
        raise AssetError(" ".join(reasons) or f"'{self.root}' has no photo of {what}.")


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
            colours = [word for word in words if word in vocabulary.colours()]
            return Photo(path, category, colours[0] if colours else "")
    raise AssetError(
        f"The name of '{path}' does not say what it shows. Begin it with a category, such as mug-1{path.suffix}."
    )


def _category(words: list[str]) -> str:
    """Return the category that the longest run of words names; empty for none."""
    nouns = {tuple(split_words(noun)): name for noun, name in vocabulary.nouns().items()}
    for length in range(len(words), 0, -1):
        for start in range(len(words) - length + 1):
            if name := nouns.get(tuple(words[start : start + length])):
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

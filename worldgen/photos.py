"""A picture of one object becomes a cut-out: which pixels are the object. Knows pictures, no models and no meshes.

A plain background is told from the object by its colours, which the border of the picture shows (GrabCut, Rother et al. 2004).
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .errors import AssetError

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]
"""(H, W, 3) sRGB."""
Mask = NDArray[np.bool_]
"""(H, W)"""
SIDE = 512
"""Longest side that a picture is worked on [px]."""
MAX_PIXELS, MAX_BYTES = 64_000_000, 64 << 20
FORMATS = ("PNG", "JPEG", "WEBP")
_BORDER = 0.03
"""Width of the frame that shows nothing but background, as a share of the picture's sides."""
_OTHER, _SPECK = 0.02, 0.002
"""Share of the object's area from which a second piece is another object and below which it is dust, and below which a hole is none."""
_LEVELS = 4.0, 12.0
"""Bounds of how unlike the background an object's colours are at least [CIELAB, weighed by `_WEIGHTS`]."""
_WEIGHTS = 0.3, 2.0, 1.5
"""What a difference counts that is darker, lighter, and of another hue: a soft shadow is darker, a white label hardly lighter."""
_SHARP = 0.12
"""Least steepness of the outline, as a share of its contrast a pixel."""
_CLEAR = 8.0
"""Contrast from which an outline is looked at [of 255]."""
_SMALLEST, _LARGEST = 0.3, 0.95
"""Share of the frame that the longer side of an object takes."""


@dataclass(frozen=True)
class Cutout:
    """An object in a picture."""

    picture: Picture
    mask: Mask
    """Which pixels are the object."""

    def cropped(self) -> Cutout:
        """Return the box around the object alone."""
        rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return Cutout(self.picture[box], self.mask[box])

    def filled(self) -> Picture:
        """Return the picture with the object's colours spread over the background, so that no edge shows it."""
        sure = cv2.erode(self.mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)  # the rim mixes both
        sure = sure if sure.any() else self.mask
        _, nearest = cv2.distanceTransformWithLabels(
            (~sure).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        rows, columns = np.nonzero(sure)
        known = np.zeros((nearest.max() + 1, 3), np.uint8)
        known[nearest[rows, columns]] = self.picture[rows, columns]
        return known[nearest]

    def colour(self) -> tuple[int, int, int]:
        """Return the median colour of the object."""
        red, green, blue = np.median(self.picture[self.mask], axis=0)
        return int(red), int(green), int(blue)


def read(path: Path) -> Cutout:
    """Read a picture of an object and cut it out; a picture with transparency says itself what belongs to it.

    Raises:
        AssetError: When the file is no picture or too large, or no single whole object stands out in it; says what is wrong.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise AssetError(f"'{path}' has more than {MAX_BYTES >> 20} MB. Give a smaller picture.")
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(path, formats=FORMATS) as opened,
        ):
            if opened.width * opened.height > MAX_PIXELS:
                raise AssetError(f"'{path}' has {opened.width} x {opened.height} pixels, more than {MAX_PIXELS:,}.")
            image = ImageOps.exif_transpose(opened).convert("RGBA")
    except Image.DecompressionBombError as error:
        raise AssetError(f"'{path}' has more than {MAX_PIXELS:,} pixels. Give a smaller picture.") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise AssetError(f"'{path}' is no readable {', '.join(FORMATS)} picture: {error}.") from error
    image.thumbnail((SIDE, SIDE))
    pixels = np.asarray(image)
    alpha = pixels[..., 3] > 127
    picture = np.ascontiguousarray(pixels[..., :3])
    if min(picture.shape[:2]) < 32:
        raise AssetError(f"'{path}' has {picture.shape[1]} x {picture.shape[0]} pixels, too few to see an object.")
    made = cut(picture) if alpha.all() else Cutout(picture, _whole(alpha))
    if found := problems(made):
        raise AssetError(f"'{path}' does not show one whole object on a plain background: {'; '.join(found)}.")
    return made


def cut(picture: Picture) -> Cutout:
    """Tell an object from its background, which had best be plain; specks are dropped, holes that show the background stay.

    By colour; where that finds no whole object and `rembg` is installed, by its network, if that does.
    """
    made = _by_colour(picture)
    if problems(made) and importlib.util.find_spec("rembg"):
        other = _by_network(picture)
        return made if other is None or problems(other) else other
    return made


def _by_network(picture: Picture) -> Cutout | None:
    """Return what rembg takes for the object; None where its network cannot be loaded: it is fetched on first use."""
    try:
        rembg = importlib.import_module("rembg")  # optional: not among the requirements
        found = rembg.remove(Image.fromarray(picture), only_mask=True, session=_network())
    except (ImportError, OSError, ValueError, RuntimeError, SystemExit) as error:  # it ends the program that lacks onnx
        log.warning("rembg cannot cut out: %s", error)
        return None
    return Cutout(picture, _whole(np.asarray(found.convert("L")) > 127))


@cache
def _network() -> Any:
    """Return rembg's network, loaded once a process."""
    return importlib.import_module("rembg").new_session("u2net")


def _by_colour(picture: Picture) -> Cutout:
    height, width = picture.shape[:2]
    far = _unlike_border(picture)
    level, _ = cv2.threshold(np.clip(far * 4, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    level = float(np.clip(level / 4, *_LEVELS))
    trimap = np.where(far > level, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[far > 2 * level] = cv2.GC_FGD
    trimap[far < 0.35 * level] = cv2.GC_BGD
    edge = max(1, round(_BORDER * min(height, width)))
    trimap[:edge] = trimap[-edge:] = cv2.GC_BGD
    trimap[:, :edge] = trimap[:, -edge:] = cv2.GC_BGD
    seen = (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)
    if seen.any() and not seen.all():
        cv2.setRNGSeed(0)  # the same picture, the same cut
        cv2.grabCut(
            picture[..., ::-1].copy(),
            trimap,
            [0, 0, 0, 0],
            np.zeros((1, 65)),
            np.zeros((1, 65)),
            3,
            cv2.GC_INIT_WITH_MASK,
        )
    mask = (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)
    # what the border cuts off was called background above: look whether the object goes on there
    beyond = far > level
    frame = np.zeros_like(mask)
    frame[:edge] = frame[-edge:] = frame[:, :edge] = frame[:, -edge:] = True
    touching = frame & beyond & cv2.dilate(mask.astype(np.uint8), np.ones((2 * edge + 1,) * 2, np.uint8)).astype(bool)
    return Cutout(picture, _whole(mask | touching))


def _unlike_border(picture: Picture) -> NDArray[np.float32]:
    """Return how far each pixel's colour is from the background's, which changes smoothly from border to border."""
    calm = cv2.GaussianBlur(picture.astype(np.float32) / 255, (0, 0), 1.0)  # noise is unlike the background, too
    lab = cv2.cvtColor(calm, cv2.COLOR_RGB2LAB)
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
    edge = max(1, round(_BORDER * min(height, width)))
    border = np.ones((height, width), bool)
    border[edge:-edge, edge:-edge] = False
    rows, colours = border.ravel(), lab.reshape(-1, 3)
    kept = rows.copy()
    for _ in range(3):  # without what is not background there
        fit, *_ = np.linalg.lstsq(terms[kept], colours[kept], rcond=None)
        off = np.linalg.norm(colours - terms @ fit, axis=1)
        kept = rows & (off <= max(4.0, 2.5 * float(np.median(off[rows]))))
    difference = colours - terms @ fit
    dark, light, hue = _WEIGHTS
    lightness = difference[:, 0] * np.where(difference[:, 0] < 0, dark, light)
    far: NDArray[np.float32] = np.hypot(lightness, hue * np.linalg.norm(difference[:, 1:], axis=1))
    return far.reshape(height, width).astype(np.float32)


def _whole(mask: Mask) -> Mask:
    """Return a mask without dust beside it and specks in it."""
    mask = _without(mask, _OTHER)
    return ~_without(~mask, _SPECK)


def _without(mask: Mask, share: float) -> Mask:
    """Return a mask without its pieces that are smaller than a share of the largest."""
    count, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count < 2:
        return mask
    return np.isin(label, np.flatnonzero(areas >= max(share * areas.max(), 4)) + 1)


def problems(cutout: Cutout, largest: float = _LARGEST) -> list[str]:
    """Return what keeps a cut-out from showing one whole object well, in words; nothing where it does."""
    mask = cutout.mask
    if not mask.any():
        return ["nothing stands out from the background"]
    found = []
    if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
        found.append("the object touches the frame, part of it is missing")
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = np.sort(stats[1:, cv2.CC_STAT_AREA])[::-1]
    if others := int(np.count_nonzero(areas[1:] >= _OTHER * areas[0])):
        found.append(f"{others + 1} separate things are in the picture, one is wanted")
    inner = cutout.cropped().mask
    share = max(inner.shape[0] / mask.shape[0], inner.shape[1] / mask.shape[1])
    if not _SMALLEST <= share <= largest:
        found.append(f"the object takes {share:.0%} of the frame, {_SMALLEST:.0%} to {largest:.0%} are wanted")
    steep = sharpness(cutout)
    if steep < _SHARP:
        found.append(f"the picture is blurred: its outline is {steep:.2f} steep, at least {_SHARP} is wanted")
    return found


def sharpness(cutout: Cutout) -> float:
    """Return how steep the outline is, as the share of the contrast across it that one pixel makes: 1 for a step, less where it is blurred."""
    mask, kernel = cutout.mask.astype(np.uint8), np.ones((3, 3), np.uint8)
    lab = cv2.cvtColor(cutout.picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    rim = (cv2.dilate(mask, kernel) - cv2.erode(mask, kernel)) > 0
    span = _range(lab, 15)
    channel = int(span[rim].sum(axis=0).argmax())
    step = cv2.dilate(
        _range(lab[..., channel], 3) / 2, np.ones((7, 7), np.uint8)
    )  # the edge is near the cut, not always in it
    clear = rim & (span[..., channel] > _CLEAR)
    return float(np.median(step[clear] / span[clear, channel])) if clear.any() else 0.0


def _range(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return the largest less the smallest value in the square around each pixel."""
    kernel = np.ones((side, side), np.uint8)
    found: NDArray[np.float32] = cv2.dilate(values, kernel) - cv2.erode(values, kernel)
    return found


def lab(colour: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return a colour (3,) in CIELAB, where distances are as people see them."""
    found: NDArray[np.float32] = cv2.cvtColor(np.array([[colour]], np.float32) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    return found

"""What a template gets (`Brief`) and gives (`Draft`), and how a draft becomes a Shape. Knows no template.

A template draws in metres, about to the asked size; `finish` then stretches everything alike, so that the extents are exact.
"""

from __future__ import annotations

import math
import zlib
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import vocabulary
from ...errors import AssetError
from ...paint import paint
from ...shapes import Geom, Joint, Part, Provenance, Shape, Site, Vector3
from ...spec import ObjectSpec
from .mesh_tools import Region, Solid, arrays, bounds

Colour = tuple[int, int, int]
ATLAS, MAIN, TILE = 128, 96, 32
"""Width of the texture, of its main region and of the seven small ones [px]."""
_FINISH = {"steel": "brushed", "fabric": "weave", "cardboard": "speckle", "foam": "speckle"}
_WOODY = ("natural", "brown", "beige")
FINGER = 0.025
"""How far below the top a gripper from above closes [m]."""


def shade(colour: Colour, factor: float) -> Colour:
    """Return a darker (factor < 1) or lighter (> 1) colour."""
    value = np.asarray(colour, float)
    value = value * factor if factor <= 1 else 255 - (255 - value) * (2 - min(factor, 2.0))
    return int(value[0]), int(value[1]), int(value[2])


def mix(one: Colour, other: Colour, weight: float) -> Colour:
    """Return a colour between two, `weight` of the other."""
    value = np.asarray(one, float) * (1 - weight) + np.asarray(other, float) * weight
    return int(value[0]), int(value[1]), int(value[2])


class Brief:
    """An object to draw: its size, its dice, its colours.

    `size` are the full extents [m]; `base` is the region of the main colour and pattern; `tile` adds a small region of another
    colour.
    """

    def __init__(self, spec: ObjectSpec) -> None:
        colours = vocabulary.colours()
        if spec.colour not in colours:
            raise AssetError(f"Unknown colour '{spec.colour}'. {vocabulary.valid_names(spec.colour, colours)}")
        self.spec = spec
        self.size: Vector3 = spec.size
        self.rng = np.random.default_rng([spec.variant, zlib.crc32(spec.category.encode())])
        self.colour = self._jittered(colours[spec.colour])
        self.contrast = self._contrast(colours)
        self._dress: tuple[str, Colour] | None = None
        self._tiles: list[tuple[str, Colour, Colour]] = []
        self.base = _region(0, 0, MAIN)

    def _jittered(self, colour: Colour) -> Colour:
        factors = self.rng.uniform(0.94, 1.05) * self.rng.uniform(0.97, 1.03, 3)
        red, green, blue = (int(value) for value in np.clip(np.asarray(colour) * factors, 0, 255))
        return red, green, blue

    def _contrast(self, colours: dict[str, Colour]) -> Colour:
        """Return a second colour that stands out: mostly light on dark and dark on light, at times another hue."""
        if self.spec.material == "fruit":  # nature paints tone on tone
            return shade(self.colour, self.rng.uniform(0.6, 0.75) if self.rng.uniform() < 0.6 else 1.4)
        brightness = float(np.dot(self.colour, (0.3, 0.59, 0.11)))
        light = [colours["white"], (250, 240, 214), shade(self.colour, 1.65)]
        dark = [shade(self.colour, 0.45), colours["navy"], colours["maroon"], (70, 62, 56)]
        vivid = [colours[name] for name in ("yellow", "turquoise", "orange", "pink")]
        far = [c for c in vivid if sum(abs(a - b) for a, b in zip(c, self.colour, strict=True)) > 200]
        options = (dark if brightness > 150 else light) + (far if self.rng.uniform() < 0.4 else [])
        return options[int(self.rng.integers(len(options)))]

    def resized(self, size: Vector3) -> Brief:
        """Return the same dice and colours for a portion of the object."""
        part = copy(self)
        part.size = size
        return part

    def vary(self, low: float, high: float) -> float:
        """Draw a number of this variant."""
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        """Draw yes or no of this variant."""
        return bool(self.rng.uniform() < share)

    def dress(self, pattern: str, accent: Colour) -> None:
        """Say what a plain one still shows, if not what its material shows: seeds, pores, threads."""
        self._dress = (pattern, accent)

    def tile(self, colour: Colour, pattern: str = "plain", accent: Colour | None = None) -> Region:
        """Return a small region (32 px) of another colour; there are seven."""
        wanted = (pattern, colour, accent or shade(colour, 0.7))
        if wanted not in self._tiles:
            if len(self._tiles) == 7:
                raise ValueError("A texture holds seven small regions.")
            self._tiles.append(wanted)
        number = self._tiles.index(wanted)
        return _region(MAIN, TILE * number, TILE) if number < 4 else _region(TILE * (number - 4), MAIN, TILE)

    def texture(self) -> NDArray[np.uint8]:
        """Paint all regions."""
        image = np.empty((ATLAS, ATLAS, 3), np.uint8)
        image[:] = self.colour
        seed = int(self.rng.integers(2**31))
        pattern, accent = self.spec.pattern, self.contrast
        if pattern == "plain":
            pattern, accent = self._dress or self._finish()
        jobs = [(pattern, self.colour, accent, 0, 0, MAIN)]
        for number, (kind, colour, second) in enumerate(self._tiles):
            x, y = (MAIN, TILE * number) if number < 4 else (TILE * (number - 4), MAIN)
            jobs.append((kind, colour, second, x, y, TILE))
        for kind, colour, second, x, y, size in jobs:  # y counts upwards, rows count downwards
            image[ATLAS - y - size : ATLAS - y, x : x + size] = paint(kind, colour, second, seed, size)
        return image

    def _finish(self) -> tuple[str, Colour]:
        """Return what a plain thing of this material still shows: grain, streaks, threads."""
        material = self.spec.material
        if material == "wood":
            return ("wood", self.colour) if self.spec.colour in _WOODY else ("brushed", self.colour)
        return _FINISH.get(material, "plain"), shade(self.colour, 0.9)


def _region(x: int, y: int, size: int) -> Region:
    margin = 1.5  # texture filtering mixes neighbours
    low, high = (margin / ATLAS, (size - margin) / ATLAS)
    return Region((x / ATLAS + low, y / ATLAS + low), (x / ATLAS + high, y / ATLAS + high))


@dataclass
class Child:
    """A moving part, drawn in its own frame."""

    name: str
    solid: Solid
    collision: list[Geom]
    pos: Vector3
    joint: Joint


@dataclass
class Draft:
    """An object as a template draws it, base on z = 0."""

    solid: Solid
    collision: list[Geom]
    sites: dict[str, Site] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)
    touchable: bool = True
    fitted: bool = False
    """Whether collision is drawn to the exact size and place already, so that only the mesh is stretched."""


def finish(brief: Brief, draft: Draft) -> Shape:
    """Stretch a draft to the asked extents, stand it on z = 0 over the origin, add missing sites, paint it."""
    boxes = [bounds(draft.solid)]
    for child in draft.children:
        low, high = bounds(child.solid)
        boxes.append((low + child.pos, high + child.pos))
    low, high = np.min([box[0] for box in boxes], axis=0), np.max([box[1] for box in boxes], axis=0)
    scale = np.asarray(brief.size) / (high - low)
    move = -scale * np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    root = _part("", draft.solid, draft.collision, scale, move, draft.touchable)
    parts = [replace(root, collision=tuple(draft.collision)) if draft.fitted else root]
    for child in draft.children:
        pos = np.asarray(child.pos) * scale + move
        part = _part(child.name, child.solid, child.collision, scale, np.zeros(3))
        parts.append(replace(part, pos=_triple(pos), joint=_scaled_joint(child.joint, scale)))
    positions = {child.name: np.zeros(3) for child in draft.children} | {"": move}
    sites = {name: _scaled_site(site, scale, positions[site.part]) for name, site in draft.sites.items()}
    spec = brief.spec
    return Shape(
        parts=tuple(parts),
        texture=brief.texture(),
        sites=usual_sites(brief.size) | sites,
        provenance=Provenance(backend="procedural", seed=spec.variant, licence="Apache-2.0", may_train=True),
        description=spec.description or f"{spec.colour} {spec.material} {spec.category}",
    )


def _part(
    name: str,
    solid: Solid,
    collision: list[Geom],
    scale: NDArray[np.float64],
    move: NDArray[np.float64],
    touchable: bool = True,
) -> Part:
    vertices, faces, uv = arrays(solid)
    geoms = tuple(_scaled_geom(geom, scale, move) for geom in collision)
    return Part(
        name=name, vertices=np.round(vertices * scale + move, 7), faces=faces, uv=uv, collision=geoms, solid=touchable
    )


def _triple(values: ArrayLike) -> Vector3:
    x, y, z = (round(float(value), 7) for value in np.asarray(values))
    return x, y, z


def usual_sites(size: Vector3) -> dict[str, Site]:
    """Return sites that fit any simple thing: the middle of its top, of its base, and a grip across its narrower side."""
    x, y, z = size
    height = max(z - FINGER, z / 2)
    return {
        "top": Site(pos=(0, 0, z), size=(0.002, 0.002, 0.001)),
        "bottom": Site(pos=(0, 0, 0), size=(x / 4, y / 4, 0.001)),
        "grasp": grip((0, 0, height), y if y <= x else x, along_y=y <= x),
    }


def grip(pos: Vector3, width: float, along_y: bool = True) -> Site:
    """Return a grasp site: fingers close along its x axis, which is y (or x) of the object, on something `width` [m] wide."""
    quat = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)) if along_y else (1.0, 0.0, 0.0, 0.0)
    return Site(pos=pos, quat=quat, size=(max(width, 1e-3) / 2, 0.008, 0.008))


def _scaled_site(site: Site, scale: NDArray[np.float64], move: NDArray[np.float64]) -> Site:
    turned = abs(site.quat[3]) > 0.5
    factors = scale[[1, 0, 2]] if turned else scale
    return site.model_copy(
        update={"pos": _triple(np.asarray(site.pos) * scale + move), "size": _triple(np.asarray(site.size) * factors)}
    )


def _scaled_joint(joint: Joint, scale: NDArray[np.float64]) -> Joint:
    pos = _triple(np.asarray(joint.pos) * scale)
    if joint.type == "hinge":
        return joint.model_copy(update={"pos": pos})
    factor = float(np.abs(np.asarray(joint.axis)) @ scale)
    return joint.model_copy(update={"pos": pos, "range": (joint.range[0] * factor, joint.range[1] * factor)})


def rotation(quat: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Return the matrix of a unit quaternion."""
    w, x, y, z = quat
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _scaled_geom(geom: Geom, scale: NDArray[np.float64], move: NDArray[np.float64]) -> Geom:
    """Stretch a geom; exact along its own axes, and as close as its type allows otherwise."""
    stretched = np.linalg.norm(scale[:, None] * rotation(geom.quat), axis=0)
    size = np.asarray(geom.size)
    if geom.type in ("box", "ellipsoid"):
        size = size * stretched
    elif geom.type == "sphere":
        size = size * scale.min()
    else:
        size = size * (min(stretched[0], stretched[1]), stretched[2])
    quat = geom.quat
    if geom.type in ("capsule", "cylinder") and np.ptp(scale) > 1e-6:
        axis = scale * rotation(geom.quat)[:, 2]
        quat = turn_z_to(axis)
    return geom.model_copy(
        update={
            "pos": _triple(np.asarray(geom.pos) * scale + move),
            "size": tuple(round(float(value), 7) for value in size),
            "quat": tuple(round(float(value), 9) for value in quat),
        }
    )


def turn_z_to(axis: ArrayLike) -> tuple[float, float, float, float]:
    """Return the shortest rotation that takes z to a direction."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    if z < -0.999999:
        return 0.0, 1.0, 0.0, 0.0
    w = 1 + z
    length = math.sqrt(w * w + x * x + y * y)
    return w / length, float(-y / length), float(x / length), 0.0


def turn_about_z(angle: float) -> tuple[float, float, float, float]:
    """Return the rotation about z by an angle [rad]."""
    return math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)

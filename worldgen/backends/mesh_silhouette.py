"""Objects from one picture each, without any model: what has this outline, this symmetry and this place in the vocabulary?

What is alike all round is turned about its axis, what is flat or square is extruded, other things are inflated; what is hollow gets the
procedural template whose outline is most like the picture's, for a picture hides a cavity. The picture itself is painted on, mirrored on the back.

Frames: a picture is taken level from the front (its right is x, its up is z) or from above (its up is y): the view whose proportions suit
the asked size. Depth is what the asked size says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Literal

import cv2
import manifold3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from .. import mesh, mesh_solid, vocabulary
from ..errors import AssetError
from ..photos import Cutout, Mask
from ..shapes import Part, Provenance, Shape
from ..spec import HELD_VARIANT, ObjectSpec
from . import mesh_procedural

Array = NDArray[np.float64]
Faces = NDArray[np.int64]
View = Literal["front", "above"]

TEXTURE = 256
"""Longest side of the picture that is painted on [px]."""
_SYMMETRIC, _SQUARE, _ROUND = 0.94, 0.93, 1.12
"""Share of an outline that its mirror image covers, share of its rectangle that it fills, and largest ratio of width and depth, of what is
taken for turned, for square, and for as deep as it is wide."""
_DOUBT = 0.15
"""How much better the proportions of the view from above must suit, as a logarithm, before a picture is taken for one."""
_GRID = 96
"""Cells along the longer side of an outline that is inflated."""
_FINE = 40
"""Triangles along the longer side of what is inflated, before it is thinned out."""
_SEGMENTS = 40
"""Of a turned surface."""
_VARIANTS = 24
"""Variants of a template that are compared with the picture."""
_LOW = 0.5
"""What is hollow and lower than this share of its depth may be pictured from above."""
_COMPACT = 0.85
"""Share of its convex hull that the outline of something turned fills, where the vocabulary does not know the thing: a doll has arms."""
_ELEVATIONS = (0.0, 8.0, 16.0, 24.0)
"""From where a picture of something hollow may be taken [deg]: its opening shows."""
_STRANGE = 0.3
"""What unusual proportions count against such a guess, of their logarithm: outlines alone cannot tell height from elevation."""
_SQUEEZED = 1.15
"""How much wider than asked for a thing may look before all of it is made smaller: the camera's height is a guess."""
_FULL = 0.95
"""Share of itself that a template without a sealed void fills."""
_COMPARED = 64
"""Side of the square that outlines are compared in [px]."""


def make(item: ObjectSpec, cutout: Cutout, provenance: Provenance) -> Shape:
    """Make an object of its picture.

    Args:
        item: What it is and how large it may be: it gets as large as fits in `size`.
        cutout: The picture.
        provenance: Where that comes from.

    Raises:
        AssetError: When the outline encloses nothing to speak of.
    """
    known = vocabulary.categories().get(item.category)
    crop = cutout.cropped()
    if known and known.form == "hollow":
        return _hollow(item, crop, provenance)
    outline = _Outline.of(item, crop.mask)
    how = _suits(outline, known)
    solid = {"turned": _turned, "extruded": _extruded, "inflated": _inflated}[how](outline)
    vertices, faces = _closed(solid)
    points, faces = mesh.standing(outline.solid(vertices), faces)
    corners = outline.places(points)[faces]
    height, width = crop.mask.shape
    uv = np.clip(np.stack([corners[..., 0] / width, 1 - corners[..., 1] / height], axis=-1), 0, 1)
    points -= [*(points.min(axis=0) + points.max(axis=0))[:2] / 2, points[:, 2].min()]
    x, y, z = np.ptp(points, axis=0).tolist()
    points = np.round(points, 7)
    return Shape(
        parts=(Part("", points, faces, uv, body=_with_void(points, faces, item) if known else None),),
        texture=_painted(crop),
        provenance=provenance,
        sites=mesh_procedural.usual_sites((x, y, z)),
        description=item.description or f"{item.colour} {item.material} {item.category}",
        notes=(how,),
    )


def usual_size(category: str, cutout: Cutout, height: float) -> tuple[float, float, float]:
    """Return the extents of a thing of a category, so high [m], as wide as its picture shows where that was taken from the front."""
    known = vocabulary.categories().get(category)
    mask = cutout.cropped().mask
    shown = height * mask.shape[1] / mask.shape[0]
    if known is None:
        return round(shown, 4), round(shown, 4), round(height, 4)
    x, y, z = ((low + high) / 2 for low, high in zip(known.small, known.large, strict=True))
    usual = round(x * height / z, 4), round(y * height / z, 4), round(height, 4)
    if known.form == "hollow" or _view(usual, mask) == "above":
        return usual
    return round(shown, 4), round(shown * y / x, 4), round(height, 4)


@dataclass(frozen=True)
class _Outline:
    """An outline with its scale, in a frame of its own: a to the right, b up, c towards who looks [m]."""

    mask: Mask
    view: View
    scale: float
    """[m] a pixel."""
    depth: float
    """Extent along c [m]."""

    @classmethod
    def of(cls, item: ObjectSpec, mask: Mask) -> _Outline:
        """Choose the view whose proportions suit the asked size, and the largest scale that fits into it."""
        x, y, z = item.size
        height, width = mask.shape
        view = _view(item.size, mask)
        side, depth = (y, z) if view == "above" else (z, y)
        scale = min(x / width, side / height)
        return cls(mask, view, scale, depth * scale / math.sqrt(x / width * side / height))

    def solid(self, points: Array) -> Array:
        """Return points (N, 3) of the outline's frame in the object's."""
        a, b, c = points.T
        return np.stack([a, -c, b], axis=1) if self.view == "front" else points.copy()

    def places(self, points: Array) -> Array:
        """Return where points (N, 3) of the object's frame are in the picture (N, 2), to the right and down [px]."""
        up = points[:, 2] if self.view == "front" else points[:, 1]
        height, width = self.mask.shape
        return np.stack([points[:, 0] / self.scale + width / 2, height - up / self.scale], axis=1)

    def polygons(self, mask: Mask) -> list[Array]:
        """Return the borders of a mask in (a, b) [m], smooth to a pixel."""
        height, width = self.mask.shape
        found, _ = cv2.findContours(np.pad(mask.astype(np.uint8), 1), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        made = []
        for line in found:
            points = line[:, 0].astype(float) - 0.5
            if len(points) < 12:
                continue
            points = ndimage.gaussian_filter1d(points, 1.5, axis=0, mode="wrap")
            few = cv2.approxPolyDP(points.astype(np.float32)[:, None], 0.4, True)[:, 0].astype(float)
            if len(few) >= 3:
                made.append(np.stack([few[:, 0] - width / 2, height - few[:, 1]], axis=1) * self.scale)
        if not made:
            raise AssetError("the outline in the picture encloses nothing. Take a larger picture of the object.")
        return made


def _view(size: tuple[float, float, float], mask: Mask) -> View:
    """Return from where the picture of something of this size was taken."""
    x, y, z = size
    front, above = (abs(math.log(mask.shape[1] / mask.shape[0] * side / x)) for side in (z, y))
    return "above" if above + _DOUBT < front else "front"


def wanted_view(item: ObjectSpec) -> View:
    """Return from where a picture of an object is best taken."""
    known = vocabulary.categories().get(item.category)
    x, y, z = item.size
    return "above" if z < _LOW * min(x, y) and not (known and known.form == "hollow") else "front"


def _suits(outline: _Outline, known: vocabulary.Category | None) -> Literal["turned", "extruded", "inflated"]:
    """Return how an outline becomes solid; something turned is seen from the front, alike left and right, and as deep as wide."""
    mask, width = np.asarray(ndimage.binary_fill_holes(outline.mask)), outline.mask.shape[1]
    form = known.form if known else ""
    if form == "flat":
        return "extruded"
    as_deep = 1 / _ROUND <= outline.depth / (outline.scale * width) <= _ROUND
    alike = outline.view == "front" and as_deep and _overlap(mask, mask[:, ::-1]) >= _SYMMETRIC
    if form == "turned" and alike:
        return "turned"
    if _filled_share(mask) >= _SQUARE:  # a can would look so, too: it is known
        return "extruded"
    return "turned" if alike and (known or _compactness(mask) >= _COMPACT) else "inflated"


def _compactness(mask: Mask) -> float:
    """Return the share of its convex hull that a mask fills."""
    hull = cv2.convexHull(np.argwhere(mask).astype(np.int32))
    return float(mask.sum() / max(cv2.contourArea(hull), 1.0))


def _overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / max(int((one | other).sum()), 1))


def _filled_share(mask: Mask) -> float:
    """Return the share of the smallest rectangle around a mask that it fills."""
    points = np.argwhere(mask).astype(np.float32)
    long, short = (float(side) + 1 for side in cv2.minAreaRect(points)[1])
    return len(points) / (long * short)


def _turned(outline: _Outline) -> manifold3d.Manifold:
    """Turn half the width of each row about the upright axis."""
    rows = ndimage.binary_fill_holes(outline.mask)
    height = len(rows)
    radius = ndimage.gaussian_filter1d(rows.sum(axis=1) / 2, 1.0, mode="nearest") * outline.scale
    heights = (height - 0.5 - np.arange(height)) * outline.scale
    top, bottom = height * outline.scale, 0.0
    right = [(0.0, top), (radius[0], top), *zip(radius, heights, strict=True), (radius[-1], bottom), (0.0, bottom)]
    profile = manifold3d.CrossSection([right], manifold3d.FillRule.NonZero).simplify(0.4 * outline.scale)
    # the axis that it is turned about becomes z: lay it into b
    return profile.revolve(_SEGMENTS).rotate([-90, 0, 0])


def _extruded(outline: _Outline) -> manifold3d.Manifold:
    """Give an outline the same depth everywhere; what fills its rectangle has no holes."""
    mask = outline.mask
    if _filled_share(ndimage.binary_fill_holes(mask)) >= _SQUARE:
        mask = ndimage.binary_fill_holes(mask)
    flat = manifold3d.CrossSection(outline.polygons(mask), manifold3d.FillRule.EvenOdd)
    return flat.extrude(outline.depth).translate([0, 0, -outline.depth / 2])


def _inflated(outline: _Outline) -> manifold3d.Manifold:
    """Bulge an outline to its depth: half a circle over a strip or a disc, for the square of the height solves Poisson's equation."""
    height, width = outline.mask.shape
    cell = max(height, width) / _GRID
    shape = max(2, round(height / cell)), max(2, round(width / cell))
    small = cv2.resize(outline.mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    bulge = np.sqrt(_poisson(np.pad(small, 2)))
    bulge *= outline.depth / 2 / max(float(bulge.max()), 1e-12)
    flat = manifold3d.CrossSection(outline.polygons(outline.mask), manifold3d.FillRule.EvenOdd)
    low, high = np.array(flat.bounds()).reshape(2, 2)
    step = float((high - low).max()) / _FINE
    plate = flat.extrude(2 * step).translate([0, 0, -step]).refine_to_length(step)

    def lift(points: Array) -> Array:
        cells = outline.places(outline.solid(points)) * [shape[1] / width, shape[0] / height]
        at = cells + 1.5  # from cells' middles, with two cells of padding
        high = ndimage.map_coordinates(bulge, at[:, ::-1].T, order=1)
        return np.column_stack([points[:, :2], points[:, 2] / step * high])

    return plate.warp_batch(lift)


def _poisson(mask: Mask) -> Array:
    """Return the solution of ∇²u = -1 in a mask, 0 outside."""
    index = np.full(mask.shape, -1)
    index[mask] = np.arange(np.count_nonzero(mask))
    rows, columns = [], []
    for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
        near = np.roll(index, shift, axis=axis)
        both = mask & (near >= 0)
        rows.append(index[both])
        columns.append(near[both])
    count = int(mask.sum())
    row, column = np.concatenate(rows), np.concatenate(columns)
    matrix = sparse.csr_matrix((np.full(len(row), -1.0), (row, column)), (count, count)) + 4 * sparse.eye(count)
    found = np.zeros(mask.shape)
    found[mask] = spsolve(matrix.tocsc(), np.ones(count))
    return found


def _closed(solid: manifold3d.Manifold) -> tuple[Array, Faces]:
    """Return the triangles of a solid, those that have no area dropped."""
    raw = mesh.clean(mesh.RawMesh(*mesh_solid.arrays(solid)))
    raw = mesh.simplify(mesh.solidify(raw), 1500)
    return raw.vertices, raw.faces


def _with_void(points: Array, faces: Faces, item: ObjectSpec) -> tuple[Array, Faces] | None:
    """Return a solid with a sealed void, as large a share of it as its template's is; None where that has none: a can is no lump of steel."""
    template = mesh_procedural.make(item).parts[0].closed
    share = mesh_solid.signed_volume(*template) / mesh_solid.signed_volume(*mesh_solid.outside(*template))
    middle = mesh.mass_properties(points, faces, 1.0).com
    void = middle + (1 - share) ** (1 / 3) * (points - middle)
    whole, inner = mesh_solid.manifold(points, faces), mesh_solid.manifold(void, faces)
    if share > _FULL or whole is None or inner is None or (inner - whole).volume() > 1e-3 * inner.volume():
        return None
    return np.concatenate([points, void]), np.concatenate([faces, faces[:, ::-1] + len(points)])


def _painted(crop: Cutout) -> NDArray[np.uint8]:
    """Return the picture that is painted on, without its background."""
    picture = crop.filled()
    share = min(1.0, TEXTURE / max(picture.shape[:2]))
    shape = max(1, round(picture.shape[1] * share)), max(1, round(picture.shape[0] * share))
    return np.asarray(cv2.resize(picture, shape, interpolation=cv2.INTER_AREA), np.uint8)


def _hollow(item: ObjectSpec, crop: Cutout, provenance: Provenance) -> Shape:
    """Return the template whose outline is most like the picture's, with the picture on its outside."""
    wanted = _square(ndimage.binary_fill_holes(crop.mask))
    best: tuple[float, Shape, float, bool] | None = None
    low = item.size[2] < _LOW * min(item.size[:2])
    for elevation in (*_ELEVATIONS, *([90.0] if low else [])):
        size = _seen_size(item, crop.mask, elevation)
        strange = abs(math.log(size[2] / size[0] * item.size[0] / item.size[2])) + abs(
            math.log(size[1] / size[0] * item.size[0] / item.size[1])
        )
        for shape in _drawn(item, size):
            part = shape.parts[0]
            for mirrored in (False, True):
                seen = _silhouette(part.vertices * [-1 if mirrored else 1, 1, 1], part.faces, elevation)
                alike = _overlap(wanted, seen) - _STRANGE * strange
                if best is None or alike > best[0] + 1e-9:
                    best = alike, shape, elevation, mirrored
    assert best is not None
    return _dressed(best[1], crop, best[2], best[3], provenance)


def _drawn(item: ObjectSpec, size: tuple[float, float, float]) -> Iterator[Shape]:
    """Yield the variants of a template that are on the object's side of the splits."""
    ours = (number for number in count() if (number % HELD_VARIANT == 0) == item.held_out)
    for variant in islice(ours, _VARIANTS):
        yield mesh_procedural.make(item.model_copy(update={"variant": variant, "size": size, "pattern": "plain"}))


def _seen_size(item: ObjectSpec, mask: Mask, elevation: float) -> tuple[float, float, float]:
    """Return the extents of something whose picture has these proportions, as large as fits into what was asked for [m]."""
    x, y, z = item.size
    shown = mask.shape[1] / mask.shape[0]
    if elevation == 90:
        wide, deep, high = x, x / shown, z
    else:  # its picture is as high as z cos + y sin
        angle, ratio = math.radians(elevation), y / x
        wide = shown * z * math.cos(angle) / max(1 - shown * ratio * math.sin(angle), 0.3)
        deep, high = wide * ratio, z
    fits = min(1.0, _SQUEEZED * x / wide, _SQUEEZED * y / deep)
    return round(min(wide * fits, x), 4), round(min(deep * fits, y), 4), round(high * fits, 4)


def _silhouette(vertices: Array, faces: Faces, elevation: float) -> Mask:
    """Return the outline of a mesh seen from the front, so many degrees from above, in a square of its own box."""
    points = _projected(vertices, elevation)
    low, high = points.min(axis=0), points.max(axis=0)
    fine = 16  # OpenCV draws to a sixteenth of a pixel
    drawn = np.round((points - low) / (high - low) * (_COMPARED * fine - 1) - fine / 2).astype(np.int32)
    mask = np.zeros((_COMPARED, _COMPARED), np.uint8)
    for triangle in drawn[faces]:
        cv2.fillConvexPoly(mask, triangle, 1, shift=4)
    return ndimage.binary_fill_holes(mask[::-1] > 0)


def _projected(vertices: Array, elevation: float) -> Array:
    """Return (N, 2) to the right and up, as seen from the front, so many degrees from above."""
    angle = math.radians(elevation)
    return np.stack([vertices[:, 0], vertices[:, 2] * math.cos(angle) + vertices[:, 1] * math.sin(angle)], axis=1)


def _square(mask: Mask) -> Mask:
    return cv2.resize(mask.astype(np.float32), (_COMPARED, _COMPARED), interpolation=cv2.INTER_AREA) > 0.5


def _dressed(shape: Shape, crop: Cutout, elevation: float, mirrored: bool, provenance: Provenance) -> Shape:
    """Return a template with a picture on its outside, and its own colours inside."""
    part = shape.parts[0]
    photo, own = _painted(crop), shape.texture
    side = max(photo.shape[0], own.shape[0])
    texture = np.zeros((side, photo.shape[1] + own.shape[1], 3), np.uint8)
    texture[:] = crop.colour()
    texture[side - photo.shape[0] :, : photo.shape[1]] = photo  # v runs up from the last row
    texture[side - own.shape[0] :, photo.shape[1] :] = own
    share = np.array([photo.shape[1], own.shape[1]]) / texture.shape[1]
    uv = part.uv * [share[1], own.shape[0] / side] + [share[0], 0]
    corners = part.vertices[part.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middle = corners.mean(axis=1)
    length, reach = np.linalg.norm(normal, axis=1), np.maximum(np.linalg.norm(middle[:, :2], axis=1), 1e-9)
    flip = np.array([-1.0 if mirrored else 1.0, 1.0, 1.0])
    if elevation == 90:
        outside = normal[:, 2] > 0.2 * length
        front = corners[outside] * flip
    else:  # what is behind is painted like what is before it: mirrored to the front
        outside = (normal[:, :2] * middle[:, :2]).sum(axis=1) > 0.2 * length * reach
        front = np.where(corners[outside][..., 1:2] > 0, [1.0, -1.0, 1.0], 1.0) * corners[outside] * flip
    points = _projected(front.reshape(-1, 3), elevation)
    whole = _projected(part.vertices * flip, elevation)
    low, high = whole.min(axis=0), whole.max(axis=0)
    seen = ((points - low) / (high - low)).reshape(-1, 3, 2)
    uv[outside] = np.clip(seen, 0, 1) * [share[0], photo.shape[0] / side]
    return Shape(
        parts=(replace(part, uv=uv), *shape.parts[1:]),
        texture=texture,
        provenance=provenance,
        sites=shape.sites,
        description=shape.description,
        notes=("fitted",),
    )

"""Collision primitives of common forms. Knows no meshes and no categories. Lengths in metres."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ...shapes import Geom
from .draft import turn_about_z, turn_z_to

RECESS = 0.002
"""How far walls end above the base, so that one flat bottom touches the ground [m]."""


LIFT = 0.0006
"""How far a round geom stays above the flat foot that carries it [m]."""


def box(low: ArrayLike, high: ArrayLike) -> Geom:
    """Return an upright box between two corners."""
    a, b = np.asarray(low, float), np.asarray(high, float)
    return Geom(type="box", size=tuple((b - a) / 2), pos=tuple((a + b) / 2))


def upright(radius: float, z0: float, z1: float, x: float = 0.0, y: float = 0.0) -> Geom:
    """Return a cylinder along z."""
    return Geom(type="cylinder", size=(radius, (z1 - z0) / 2), pos=(x, y, (z0 + z1) / 2))


def rod(start: ArrayLike, end: ArrayLike, radius: float, kind: str = "capsule") -> Geom:
    """Return a capsule (its ends reach to the two points) or a cylinder between two points."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    half = length / 2 - (radius if kind == "capsule" else 0.0)
    if kind == "capsule" and half < 1e-4:
        return Geom(type="sphere", size=(min(radius, length / 2),), pos=tuple((a + b) / 2))
    return Geom.model_validate(
        {"type": kind, "size": (radius, half), "pos": tuple((a + b) / 2), "quat": turn_z_to(b - a)}
    )


def ellipsoid(radii: ArrayLike, centre: ArrayLike) -> Geom:
    """Return an ellipsoid."""
    return Geom(type="ellipsoid", size=tuple(np.asarray(radii, float)), pos=tuple(np.asarray(centre, float)))


def chain(path: ArrayLike, radii: ArrayLike, links: int, ground: bool = False) -> list[Geom]:
    """Return capsules along a path, each as thick as the path is at its middle; they overlap at the joints.

    Args:
        path: (K, 3) points.
        radii: One radius, or one a point.
        links: Number of capsules.
        ground: Whether to hold the capsules just above z = 0, so that only feet touch the ground.
    """
    points = np.asarray(path, float)
    radius = np.broadcast_to(np.asarray(radii, float), (len(points),))
    cuts = np.linspace(0, len(points) - 1, links + 1).round().astype(int)
    found = []
    for a, b in itertools.pairwise(cuts):
        thickness = float(radius[a : b + 1].mean())
        along = (points[b] - points[a]) / max(float(np.linalg.norm(points[b] - points[a])), 1e-9)
        start = points[a] - along * (0 if a == 0 else thickness * 0.7)
        end = points[b] + along * (0 if b == len(points) - 1 else thickness * 0.7)
        if ground:
            start[2], end[2] = max(start[2], thickness + LIFT), max(end[2], thickness + LIFT)
        found.append(rod(start, end, thickness))
    return found


def feet(path: ArrayLike, half: ArrayLike, at: Sequence[int], height: float) -> list[Geom]:
    """Return small boxes on z = 0 under some points of a path, as high as wide and at least `height` [m]."""
    points, widths = np.asarray(path, float), np.broadcast_to(np.asarray(half, float), (len(np.asarray(path)),))
    return [
        foot(
            float(widths[k]),
            float(widths[k]),
            max(height, 2 * float(widths[k])),
            float(points[k, 0]),
            float(points[k, 1]),
        )
        for k in at
    ]


def wall(
    bottom: tuple[float, float], top: tuple[float, float], thickness: float, count: int = 12, squash: float = 1.0
) -> list[Geom]:
    """Return a ring of boxes: the wall of a round vessel.

    Args:
        bottom: Outer (radius, z) of its lower edge.
        top: Outer (radius, z) of its upper edge.
        thickness: Of the wall.
        count: Boxes around, a multiple of 4: flat sides then face along x and y.
        squash: Extent along y over extent along x.
    """
    (r0, z0), (r1, z1) = bottom, top
    length = math.hypot(r1 - r0, z1 - z0)
    lean = math.atan2(r1 - r0, z1 - z0)
    middle = (r0 + r1) / 2 * (1 + math.cos(math.pi / count)) / 2 - thickness / 2 * math.cos(lean)
    half_width = math.sin(math.pi / count) * max(r0, r1)
    # The box's inner edge stands higher (or, leaning inwards, lower) than its outer one: trim it to the rim.
    trim = min(thickness * abs(math.tan(lean)), length / 2)
    shift = math.copysign(trim / 2, -lean)
    length -= trim
    middle += shift * math.sin(lean)
    height = (z0 + z1) / 2 + thickness / 2 * math.sin(lean) + shift * math.cos(lean)
    found = []
    for k in range(count):
        angle = 2 * math.pi * k / count
        pos = (
            middle * math.cos(angle),
            squash * middle * math.sin(angle),
            height,
        )
        # about z to its place, then tilted outwards about its own tangent
        w, _, _, z = turn_about_z(angle)
        c, s = math.cos(lean / 2), math.sin(lean / 2)
        quat = (w * c, -z * s, w * s, z * c)
        size = (thickness / 2, half_width, length / 2 - 1e-4)
        found.append(Geom(type="box", size=size, pos=pos, quat=quat))
    return found


def shell(size: Sequence[float], thickness: float, floor: float, recess: float = RECESS) -> list[Geom]:
    """Return floor and four walls of an open box, base at z = 0."""
    x, y, z = size[0] / 2, size[1] / 2, size[2]
    return [
        box((-x, -y, 0), (x, y, floor)),
        box((-x, -y, recess), (-x + thickness, y, z)),
        box((x - thickness, -y, recess), (x, y, z)),
        box((-x + thickness, -y, recess), (x - thickness, -y + thickness, z)),
        box((-x + thickness, y - thickness, recess), (x - thickness, y, z)),
    ]


def raised(geoms: Sequence[Geom], spots: Sequence[tuple[float, float]], half: float) -> list[Geom]:
    """Lift the lower ends of upright boxes and cylinders a little and put small feet below: few contacts for many geoms.

    Args:
        geoms: Boxes and cylinders that stand on z = 0, turned about z at most.
        spots: (x, y) of the feet [m].
        half: Half-width of a foot [m].
    """
    found = []
    for geom in geoms:
        *rest, height = geom.size
        x, y, z = geom.pos
        size = (*rest, height - LIFT / 2)
        found.append(geom.model_copy(update={"size": size, "pos": (x, y, z + LIFT / 2)}))
    return [*found, *(foot(half, half, 0.002, x, y) for x, y in spots)]


def foot(half_x: float, half_y: float, height: float, x: float = 0.0, y: float = 0.0) -> Geom:
    """Return a flat box on z = 0: what a round thing rests on.

    It reaches up into what it carries. A thin one slips through the floor of a bowl that it is dropped into: MuJoCo parts two
    convex shapes the shorter way, and for two thin ones that may be downwards.
    """
    return box((x - half_x, y - half_y, 0), (x + half_x, y + half_y, height))

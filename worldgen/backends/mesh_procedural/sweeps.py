"""Templates of long bent things: a section swept along a path, lying on the table."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ...shapes import Geom, Site
from .collide import LIFT, chain, feet, foot, rod
from .curves import bend, blob, tube
from .draft import Brief, Draft, grip, mix, shade
from .mesh_tools import Array, Solid, flatten_base, stack


def _lying(path: ArrayLike, radii: Array) -> Array:
    """Return a path raised so that a tube of these radii lies on z = 0."""
    points = np.asarray(path, float).copy()
    points[:, 2] = radii
    return points


def _widened(path: Array, radii: Array, y: float) -> Array:
    """Return a path stretched along y, so that a tube of these radii is `y` wide."""
    low, high = int((path[:, 1] - radii).argmin()), int((path[:, 1] + radii).argmax())
    rise = float(path[high, 1] - path[low, 1])
    points = path.copy()
    if rise > 1e-6:
        points[:, 1] *= max(y - radii[low] - radii[high], 0.0) / rise
    return points


def _rest(path: Array, radii: Array, links: int, at: tuple[int, ...]) -> list[Geom]:
    """Return capsules along a lying path on small flat feet at some of its points."""
    return [*chain(path, radii - LIFT, links, ground=True), *feet(path, radii * 0.45, at, 0.003)]


def banana(b: Brief) -> Draft:
    """A banana lying on its side, with a dark tip and a stalk."""
    x, y, z = b.size
    bow, fat = b.vary(0.5, 1.0), z / 2
    inside = y - 2 * fat
    half = x / 2 - fat * 0.25
    line = [(-half, inside * 0.6 * bow, 0), (-half * 0.62, -inside * 0.08 * bow, 0), (0, -inside * 0.5, 0)]
    path = bend([*line, (half * 0.6, -inside * 0.1, 0), (half, inside * 0.55, 0)], 15)
    along = np.linspace(0, 1, 15)
    radii = fat * np.clip(1.02 - np.abs(2 * along - 0.94) ** b.vary(3.2, 4.5), 0.24, 1)
    radii[0], radii[1], radii[-1] = fat * 0.2, fat * 0.32, fat * 0.24
    path = _widened(path, radii, y)
    dark, stalk = b.tile((70, 52, 34)), b.tile((150, 150, 60))
    body = tube(path, radii, [dark] + [b.base] * 11 + [stalk] * 2, 12, ends=dark)
    path[:, 2] = fat
    collision = _rest(path[1:-1], radii[1:-1], 4, (3, 6, 9))
    return Draft(flatten_base(body, z * 0.04), collision, {"grasp": grip((0, float(path[7, 1]), fat), 2 * fat)})


def carrot(b: Brief) -> Draft:
    """A tapered root lying down, with a tuft of green."""
    x, y, _ = b.size
    fat, root = y / 2, x * b.vary(0.74, 0.82)
    along = np.linspace(0, 1, 9)
    radii = fat * (0.16 + 0.84 * along ** b.vary(0.6, 0.9))
    radii[-1] = fat * 0.6
    path = _lying(np.stack([-x / 2 + root * along, b.vary(-0.06, 0.06) * fat * np.sin(along * 6), along * 0], 1), radii)
    start = -x / 2 + root
    greens = []
    for side in (-1, 0, 1):
        end = (x / 2 - 0.002 * abs(side), side * fat * 0.6, fat * (1.5 if side == 0 else 1.1))
        line = bend([(start - 0.003, 0, radii[-1]), ((start + x / 2) / 2, side * fat * 0.3, fat), end], 4)
        greens.append(tube(line, np.array([0.6, 1.0, 1.2, 0.5]) * fat * 0.24, b.tile((66, 132, 54), "speckle"), 6))
    body = flatten_base(tube(path, radii, b.base, 16), 0.0008)
    collision = [*chain(path[1:], radii[1:] - LIFT, 2, ground=True), *feet(path, radii * 0.4, (2, 6), 0.003)]
    return Draft(stack(body, *greens), collision, {"grasp": grip((start * 0.5, 0, fat), 2 * fat)})


def chili(b: Brief) -> Draft:
    """A curved thin pepper with a green cap and stalk."""
    x, y, z = b.size
    fat = z / 2
    along = np.linspace(0, 1, 12)
    radii = fat * (0.1 + 0.9 * np.sin(np.clip(along * b.vary(1.8, 2.1), 0, np.pi / 2)))
    radii[-1] = fat * 0.55
    sag = y - 2 * fat
    path = bend(
        [(-x / 2, sag * 0.6, 0), (-x * 0.2, -sag * 0.3, 0), (x * 0.12, -sag * 0.4, 0), (x * 0.32, sag * 0.1, 0)], 12
    )
    path = _widened(_lying(path, radii), radii, y)
    green = b.tile((72, 128, 48))
    end = path[-1]
    stalk = tube(bend([end, (x * 0.42, sag * 0.35, fat), (x / 2, sag * 0.4, fat * 1.2)], 4), fat * 0.22, green, 6)
    body = tube(path, radii, [b.base] * 10 + [green], 12)
    return Draft(stack(flatten_base(body, 0.0008), stalk), _rest(path[2:], radii[2:], 3, (2, 5, 8)))


def sausage(b: Brief) -> Draft:
    """A plump curved sausage with knotted ends."""
    x, y, z = b.size
    fat = z / 2
    sag = (y - 2 * fat) * b.vary(0.8, 1.0)
    half, plump = x / 2 - 0.003, b.vary(0.35, 0.65)
    path = bend(
        [(-half, sag * 0.5, 0), (-half * plump, -sag * 0.3, 0), (half * plump, -sag * 0.3, 0), (half, sag * 0.5, 0)], 15
    )
    radii = fat * np.clip(1 - np.abs(np.linspace(-1, 1, 15)) ** b.vary(4, 8), 0.12, 1)
    radii[[1, -2]] = fat * 0.78
    path = _widened(path, radii, y)
    path[:, 2] = fat
    body = flatten_base(tube(path, radii, b.base, 16), z * 0.03)
    return Draft(body, _rest(path[1:-1], radii[1:-1], 3, (1, 6, 11)))


def cucumber(b: Brief) -> Draft:
    """A long straight cucumber with ridges and pale ends."""
    x, y, z = b.size
    fat = y / 2
    along = np.linspace(-1, 1, 13)
    radii = fat * np.clip(1 - np.abs(along) ** b.vary(4, 7), 0.2, 1)
    path = np.stack([along * x / 2, b.vary(-0.2, 0.2) * fat * along**2, 0 * along + z / 2], 1)
    pale = b.tile(mix(b.colour, (220, 220, 140), 0.45))
    body = tube(path, radii, [pale] * 2 + [b.base] * 8 + [pale] * 2, 14)
    collision = [*chain(path[1:-1], radii[1:-1] * 0.97 - LIFT, 1, ground=True), foot(x * 0.25, fat * 0.4, fat * 0.9)]
    return Draft(flatten_base(body, z * 0.05), collision)


def croissant(b: Brief) -> Draft:
    """A crescent roll with overlapping folds."""
    x, y, z = b.size
    fat = z / 2 * 1.02
    count = 21
    along = np.linspace(-1, 1, count)
    turn = along * b.vary(1.15, 1.35)
    path = np.stack([np.sin(turn) * x / 2, -np.cos(turn) * (y - fat), 0 * along], 1)
    folds = 1 + b.vary(0.1, 0.16) * (1 - np.abs((np.abs(along) * 3.5 + 0.5) % 1 * 2 - 1) ** 0.7)
    radii = fat * (0.2 + 0.72 * np.cos(along * np.pi / 2) ** 0.8) * folds
    path[:, 2] = fat * 0.9
    path = _widened(path, radii, y)
    dark = b.tile(shade(b.colour, 0.72))
    regions = [dark if int((abs(a) * 3.5 + 0.5) % 1 * 6) == 0 else b.base for a in (along[1:] + along[:-1]) / 2]
    body = flatten_base(tube(path, radii, regions, 12), z * 0.12)
    path[:, 2] -= path[:, 2].min() - fat * 0.85
    middle = float(path[count // 2, 1])
    return Draft(body, _rest(path[2:-2], radii[2:-2] * 0.95, 4, (1, 8, 15)), {"grasp": grip((0, middle, fat), 2 * fat)})


def _turn(count: int) -> Array:
    return np.arange(count) * 2 * np.pi / count


def _ring_geoms(x: float, y: float, radius: float, links: int = 8) -> list[Geom]:
    """Return capsules of a lying ring on four feet."""
    turn = np.append(_turn(links), 2 * np.pi)
    path = np.stack([np.cos(turn) * (x / 2 - radius), np.sin(turn) * (y / 2 - radius), 0 * turn + radius], 1)
    inner = [rod(path[k] + (0, 0, LIFT), path[k + 1] + (0, 0, LIFT), radius - LIFT, "cylinder") for k in range(links)]
    return [*inner, *feet(path, radius * 0.3, (0, 3, 5), min(0.003, radius * 0.5))]


def donut(b: Brief) -> Draft:
    """A ring of dough with coloured icing and sprinkles."""
    x, y, z = b.size
    radius = z / 2
    turn = _turn(24)
    path = np.stack([np.cos(turn) * (x / 2 - radius), np.sin(turn) * (y / 2 - radius), 0 * turn + radius], 1)
    dough = b.tile((206, 154, 92))
    ring = tube(path, radius, dough, 14, closed=True)
    lift = np.array([0, 0, radius * 0.12])
    wave = 1 + b.vary(0.01, 0.03) * np.sin(turn * int(b.vary(4, 8)))
    icing = tube(path * (1, 1, 1) + lift, radius * 1.06 * wave, b.base, 14, closed=True)
    sprinkles = b.chance(0.7)
    parts = [flatten_base(ring, z * 0.05), icing.translate((0, 0, -z * 0.05)).trim_by_plane((0, 0, 1), radius * 0.7)]
    if sprinkles:
        grains = [(250, 246, 236), (244, 204, 60), (70, 170, 190)]
        for k in range(9):
            angle, out = k * 0.7 + b.vary(0, 0.3), x / 2 - radius * b.vary(0.75, 1.25)
            grain = blob((0.0035, 0.0012, 0.0012), b.tile(grains[k % 3]), rows=2, segments=6).rotate(
                (0, 0, b.vary(0, 180))
            )
            parts.append(grain.translate((out * math.cos(angle), out * math.sin(angle), z * 0.945)))
    hold = Site(pos=(0, -y / 2 + radius, radius), quat=grip((0, 0, 0), 1).quat, size=(radius, 0.008, 0.008))
    whole = max(stack(*parts).decompose(), key=lambda piece: piece.volume())  # leaves slivers of icing behind
    return Draft(whole, _ring_geoms(x, y, radius * 0.97), {"grasp": hold})


def bracelet(b: Brief) -> Draft:
    """A ring of round beads."""
    x, y, z = b.size
    radius = z / 2
    count = int(b.vary(11, 15))
    other = b.tile(b.contrast)
    step = 2 if b.chance(0.5) else 4
    beads = [
        blob((radius,) * 3, other if k % step == step - 1 and k < count - 1 else b.base, rows=5, segments=8).translate(
            ((x / 2 - radius) * math.cos(a), (y / 2 - radius) * math.sin(a), radius)
        )
        for k, a in enumerate(_turn(count))
    ]
    turn = _turn(24)
    path = np.stack([np.cos(turn) * (x / 2 - radius), np.sin(turn) * (y / 2 - radius), 0 * turn + radius], 1)
    cord = tube(path, radius * 0.5, b.tile(shade(b.colour, 0.5)), 5, closed=True)
    hold = grip((0, -y / 2 + radius, radius), 2 * radius)
    return Draft(flatten_base(stack(cord, *beads), z * 0.05), _ring_geoms(x, y, radius * 0.85), {"grasp": hold})


def _rod_shape(b: Brief, path: Array, radius: float, region: object, ends: object = None) -> Solid:
    return flatten_base(tube(path, radius, region, 12, ends=ends), radius * 0.08)  # type: ignore[arg-type]


def cane(b: Brief) -> Draft:
    """A striped candy cane lying flat."""
    x, y, z = b.size
    radius = z / 2
    bow = (y - 2 * radius) / 2
    straight = x / 2 - radius - bow
    arc = np.linspace(0, np.pi * b.vary(0.95, 1.08), 9)
    hook = np.stack([straight + bow * np.sin(arc), -bow * np.cos(arc)], 1)
    count = int(b.vary(8, 12))
    line = np.stack([np.linspace(-x / 2 + radius * 0.3, straight, count), np.full(count, -bow)], 1)
    points = np.column_stack([np.concatenate([line[:-1], hook]), np.full(count + 8, radius)])
    white = b.tile((246, 244, 238))
    body = _rod_shape(b, points, radius, [b.base if k % 2 == 0 else white for k in range(len(points) - 1)], white)
    collision = [rod(points[0] + (0, 0, LIFT), points[count - 1] + (0, 0, LIFT), radius - LIFT)]
    collision += chain(points[count - 1 :], radius - LIFT, 3, ground=True)
    collision += feet(points, radius * 0.4, (1, count - 1, len(points) - 2), 0.003)
    return Draft(body, collision, {"grasp": grip((-x * 0.1, -bow, radius), 2 * radius)})


def hook(b: Brief) -> Draft:
    """An S-shaped hook lying flat."""
    x, y, z = b.size
    radius = z / 2
    big = (y / 2 - radius) * b.vary(0.85, 1.0)
    half = x / 2 - radius - big
    first, second = np.linspace(-0.1, np.pi, 8), np.linspace(np.pi, -0.1, 8)
    left = np.stack([-half - big * np.sin(first), -big * np.cos(first) * 1.0], 1)
    right = np.stack([half + big * np.sin(second), big * np.cos(second) * -1.0], 1)
    right[:, 1] *= -1
    points = np.concatenate([left, right])
    path = bend([(p[0], p[1], radius) for p in points], 22)
    body = _rod_shape(b, path, radius, b.base)
    tips = b.tile(b.contrast)
    knobs = [blob((radius * 1.05,) * 3, tips, rows=6, segments=12).translate(path[k]) for k in (0, -1)]
    collision = [*chain(path, radius - LIFT, 7, ground=True), *feet(path, radius * 0.4, (1, 10, 20), 0.003)]
    return Draft(flatten_base(stack(body, *knobs), 0.0003), collision, {"grasp": grip((0, 0, radius), 2 * radius)})


def magnet(b: Brief) -> Draft:
    """A horseshoe magnet lying flat, with bare steel poles."""
    x, y, z = b.size
    radius = z / 2
    thick = radius * b.vary(1.0, 1.3)
    bow = y / 2 - thick
    arc = np.linspace(-np.pi / 2, np.pi / 2, 11)
    curve = np.stack([x / 2 - thick - bow + bow * np.cos(arc), bow * np.sin(arc)], 1)
    tips = np.array([[-x / 2, -bow], [-x * b.vary(0.14, 0.32), -bow]])
    plane = np.concatenate([tips, curve, tips[::-1] * (1, -1)])
    path = np.column_stack([plane, np.full(len(plane), radius)])
    steel = b.tile((190, 194, 198), "brushed")
    body = tube(path, thick, [steel] + [b.base] * 12 + [steel], 8, flat=radius / thick)
    poles = [
        rod(path[k] + (0, 0, LIFT), path[k + step] + (0, 0, LIFT), radius - LIFT) for k, step in ((0, 3), (-1, -3))
    ]
    collision = [
        *poles,
        *chain(path[2:-2], radius - LIFT, 4, ground=True),
        *feet(path, radius * 0.5, (1, 7, 13), 0.003),
    ]
    return Draft(flatten_base(body, radius * 0.06), collision, {"grasp": grip((0, -bow, radius), 2 * thick)})

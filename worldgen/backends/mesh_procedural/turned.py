"""Templates of closed round things: a profile turned about z, standing upright."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom, Site
from .collide import box, chain, foot, rod, upright
from .draft import Brief, Draft, grip, mix, shade
from .mesh_tools import Region, Solid, bend, blob, lathe, prism, rectangle, stack, tube
from .mesh_tools import box as rounded

METAL = (176, 180, 186)


def _flat(radius: float, z: float) -> Site:
    return Site(pos=(0, 0, z), size=(radius * 0.7, radius * 0.7, 0.001))


_NOWHERE = Region((0.01, 0.01), (0.02, 0.02))
"""Texture of faces that nobody sees."""


def _core(radius: float, z0: float, z1: float, segments: int = 12) -> Solid:
    """Return what to take out of a thick thing, so that it weighs like a filled vessel; nobody sees it."""
    return lathe([(0, z0), (radius, z0), (radius, z1), (0, z1)], _NOWHERE, segments)


def can(b: Brief) -> Draft:
    """A tin with rolled edges and a ring-pull or a plain lid."""
    x, _, z = b.size
    r, metal = x / 2, b.tile(METAL, "brushed", (200, 204, 208))
    neck = b.vary(0.86, 0.97)
    line = [(0, 0.001), (r * neck * 0.9, 0.001), (r * neck * 0.93, 0), (r * neck, 0.001), (r, z * 0.06), (r, z * 0.94)]
    line += [(r * neck, z * 0.985), (r * neck, z), (r * neck * 0.95, z), (r * neck * 0.92, z - 0.002), (0, z - 0.002)]
    body = lathe(line, [metal] * 4 + [b.base] + [metal] * 5)
    parts = [body - _core(r - 0.0016, 0.0025, z - 0.0042)]
    if b.chance(0.7):
        tab = rounded((r * 0.7, r * 0.4, 0.0015), 0.0004, b.tile(shade(METAL, 0.6)), (r * 0.22, 0, z - 0.0015))
        parts.append(tab)
    return Draft(stack(*parts), [upright(r * 0.98, 0, z)], {"top": _flat(r * neck, z)})


def bottle(b: Brief) -> Draft:
    """A bottle with shoulder, neck and screw cap; plain ones carry a paper label."""
    x, _, z = b.size
    r = x / 2
    shoulder, neck, cap = z * b.vary(0.52, 0.66), r * b.vary(0.34, 0.46), z * 0.88
    power = b.vary(0.6, 1.4)
    capped = b.tile(b.contrast)
    belt = b.tile((244, 240, 230), "label", mix(b.colour, (40, 40, 60), 0.3)) if b.spec.pattern == "plain" else b.base
    line = [(0.0, 0.0), (r * 0.9, 0), (r, z * 0.03), (r, z * 0.12), (r * 1.004, z * 0.121)]
    line += [(r * 1.004, shoulder * 0.84), (r, shoulder * 0.845), (r, shoulder * 0.95)]
    regions = [b.base] * 4 + [belt] + [b.base] * 2
    for s in np.linspace(0.2, 1, 5):
        line.append(
            (
                neck + (r - neck) * math.cos(s * math.pi / 2) ** power,
                shoulder * 0.95 + (cap * 0.93 - shoulder * 0.95) * s,
            )
        )
        regions.append(b.base)
    line += [(neck, cap), (neck * 1.18, cap), (neck * 1.18, z * 0.99), (neck * 1.05, z), (0, z)]
    regions += [b.base] + [capped] * 4
    body = lathe(line, regions, 28)
    collision = [
        upright(r, 0, shoulder),
        upright((r + neck) / 2, shoulder, (shoulder + cap) / 2),
        upright(neck * 1.1, shoulder, z),
    ]
    hold = grip((0, 0, shoulder * 0.75), 2 * r)
    return Draft(body - _core(r - 0.004, 0.006, shoulder * 0.9), collision, {"grasp": hold, "top": _flat(neck, z)})


def vase(b: Brief) -> Draft:
    """A slender vase with a free-form belly and a flared lip."""
    x, _, z = b.size
    r, t = x / 2, 0.004
    heights = np.array([0, 0.12, 0.3, 0.45, 0.6, 0.74, 0.86, 0.95, 1.0])
    belly, waist, lip = b.vary(0.25, 0.5), b.vary(0.42, 0.55), b.vary(0.62, 0.85)
    radii = 0.58 + 0.42 * np.exp(-(((heights - belly) / 0.24) ** 2))
    radii = radii * (1 - (1 - waist) * np.exp(-(((heights - 0.84) / 0.13) ** 2)))
    radii[-1], radii[0] = lip, min(radii[0], 0.75)
    outer = list(zip((radii / radii.max() * r).tolist(), (heights * z).tolist(), strict=True))
    inner = [(max(p - t, 0.003), max(h, 0.008)) for p, h in reversed(outer)][:-1]
    line = [(0.0, 0.0), *outer, *inner, (0.0, 0.008)]
    body = lathe(line, [b.base] * (len(outer) + 1) + [b.tile(shade(b.colour, 0.5))] * len(inner), 28)
    collision: list[Geom] = []
    for low, high in ((0, 2), (2, 4), (4, 6), (6, 8)):
        mean = float(np.mean([outer[k][0] for k in range(low, high + 1)]))
        collision.append(upright(mean, heights[low] * z + (0.001 if low else 0.0), heights[high] * z))
    widest = heights[int(radii.argmax())] * z
    return Draft(body, collision, {"grasp": grip((0, 0, max(widest, 0.03)), 2 * r)})


def jar(b: Brief) -> Draft:
    """A round jar under a wide ribbed lid, with a paper label."""
    x, _, z = b.size
    r, lid = x / 2, z * b.vary(0.72, 0.8)
    label = b.tile((244, 238, 224), "label", mix(b.colour, (60, 40, 30), 0.5))
    top = b.tile(b.contrast, "checks" if b.chance(0.5) else "brushed", shade(b.contrast, 0.7))
    belt = label if b.spec.pattern == "plain" else b.base
    line = [
        (0, 0),
        (r * 0.88, 0),
        (r, z * 0.06),
        (r, z * 0.16),
        (r * 1.005, z * 0.161),
        (r * 1.005, z * 0.52),
        (r, z * 0.53),
        (r, lid * 0.86),
    ]
    line += [(r * 0.86, lid), (r * 0.96, lid + 0.001), (r * 0.97, z * 0.98), (r * 0.93, z), (0, z)]
    body = lathe(line, [b.base] * 4 + [belt] + [b.base] * 3 + [top] * 4)
    collision = [upright(r, 0, lid), upright(r * 0.96, lid, z)]
    return Draft(body - _core(r - 0.004, 0.005, lid * 0.86), collision, {"top": _flat(r * 0.9, z)})


def candle(b: Brief) -> Draft:
    """A pillar candle with a melted rim, a wick and a flame-blackened tip."""
    x, _, z = b.size
    r, wick = x / 2, b.vary(0.008, 0.012)
    height, dip = z - wick, b.vary(0.002, 0.005)
    line = [
        (0, 0),
        (r * 0.98, 0),
        (r, 0.002),
        (r, height - 0.003),
        (r * 0.94, height),
        (r * 0.8, height - dip * 0.6),
        (0, height - dip),
    ]
    body = lathe(line, b.base)
    string = lathe(
        [(0, height - dip - 0.002), (0.0016, height - dip - 0.002), (0.0013, z), (0, z)], b.tile((42, 36, 32)), 8
    )
    return Draft(stack(body, string), [upright(r, 0, height)], {"grasp": grip((0, 0, height * 0.6), 2 * r)})


def shaker(b: Brief) -> Draft:
    """A salt shaker: a waisted body under a domed metal cap with holes."""
    x, _, z = b.size
    r, cap, waist = x / 2, z * b.vary(0.66, 0.74), b.vary(0.74, 0.88)
    metal = b.tile(METAL, "brushed", (220, 222, 226))
    line = [
        (0, 0),
        (r * 0.93, 0),
        (r, z * 0.05),
        (r * waist, cap * 0.6),
        (r * waist, cap),
        (r * waist * 1.08, cap),
        (r * waist * 1.08, cap + 0.004),
    ]
    line += [(r * waist * 0.96, z * 0.88), (r * waist * 0.66, z * 0.96), (r * waist * 0.3, z * 0.995), (0, z)]
    body = lathe(line, [b.base] * 4 + [metal] * 6)
    dark = b.tile((40, 40, 42))
    holes = [lathe([(0, z * 0.9), (0.0017, z * 0.9), (0.0017, z * 1.02), (0, z * 1.02)], dark, 6)]
    hub = holes[0]
    ring = [
        hub.translate((r * 0.38 * math.cos(a), r * 0.38 * math.sin(a), -z * 0.02)) for a in np.arange(5) * 2 * np.pi / 5
    ]
    collision = [upright(r * 0.96, 0, cap * 0.3), upright(r * waist * 1.02, cap * 0.3, z * 0.95)]
    return Draft(body - stack(hub, *ring, _core(r * waist - 0.004, 0.004, cap * 0.95)), collision)


def grinder(b: Brief) -> Draft:
    """A turned pepper mill with a knob."""
    x, _, z = b.size
    r, waist, head = x / 2, b.vary(0.5, 0.66), b.vary(0.8, 0.95)
    profile = [
        (0.0, 0.0),
        (0.98, 0.0),
        (1.0, 0.1),
        (0.92, 0.16),
        (waist, 0.4),
        (waist * 1.05, 0.52),
        (0.8, 0.6),
        (0.82, 0.63),
        (0.6, 0.65),
    ]
    profile += [
        (0.62, 0.66),
        (head, 0.74),
        (head * 0.85, 0.84),
        (0.42, 0.9),
        (0.3, 0.92),
        (0.36, 0.95),
        (0.24, 0.99),
        (0.0, 1.0),
    ]
    metal = b.tile(METAL, "brushed", (220, 222, 226))
    body = lathe([(p * r, h * z) for p, h in profile], [b.base] * 8 + [metal] * 2 + [b.base] * 3 + [metal] * 3, 28)
    collision = [
        upright(r * 0.97, 0, z * 0.2),
        upright(r * (waist + 0.1), z * 0.2, z * 0.6),
        upright(r * head * 0.92, z * 0.6, z * 0.88),
        upright(r * 0.32, z * 0.88, z),
    ]
    return Draft(body, collision)


def pawn(b: Brief) -> Draft:
    """A chess pawn."""
    x, _, z = b.size
    r, ball = x / 2, b.vary(0.46, 0.58)
    waist = b.vary(0.3, 0.42)
    profile = [
        (0.0, 0.0),
        (0.98, 0.0),
        (1.0, 0.06),
        (0.9, 0.13),
        (0.66, 0.2),
        (0.62, 0.25),
        (waist, 0.45),
        (waist * 0.9, 0.6),
        (0.55, 0.63),
        (0.58, 0.66),
        (0.3, 0.68),
    ]
    for s in np.linspace(-0.75, 0.97, 7):
        profile.append((ball * math.sqrt(1 - s * s), 0.82 + 0.18 * s))
    profile.append((0.0, 1.0))
    felt = b.tile((52, 92, 64))
    body = lathe([(p * r, h * z) for p, h in profile], [felt] + [b.base] * (len(profile) - 2), 28)
    collision = [
        upright(r * 0.97, 0, z * 0.14),
        upright(r * 0.5, z * 0.14, z * 0.66),
        Geom(type="sphere", size=(ball * r,), pos=(0, 0, z - ball * r)),
    ]
    return Draft(body, collision)


def bulb(b: Brief) -> Draft:
    """A light bulb on its screw cap."""
    x, _, z = b.size
    r, screw = x / 2, z * b.vary(0.26, 0.32)
    metal, foot_r = b.tile(METAL, "stripes", (120, 124, 130)), r * b.vary(0.44, 0.52)
    line = [(0, 0), (foot_r * 0.9, 0), (foot_r, 0.002), (foot_r, screw), (foot_r * 1.05, screw + 0.002)]
    centre = z - r
    for s in np.linspace(-0.8, 0.96, 8):
        line.append((max(r * math.sqrt(1 - s * s), foot_r * 1.05), centre + r * s))
    line.append((0, z))
    body = lathe(line, [b.tile((46, 46, 48))] + [metal] * 2 + [b.base] * (len(line) - 4), 28)
    collision = [
        upright(foot_r, 0, screw),
        Geom(type="sphere", size=(r,), pos=(0, 0, centre)),
        upright(foot_r * 1.1, screw, centre),
    ]
    core = blob((r - 0.003,) * 3, _NOWHERE, rows=6, segments=10).translate((0, 0, centre))
    return Draft(body - core, collision, {"grasp": grip((0, 0, centre), 2 * r)})


def cupcake(b: Brief) -> Draft:
    """A cake in a pleated paper, a swirl of icing and a cherry."""
    x, _, z = b.size
    r, rim, cherry = x / 2, z * b.vary(0.4, 0.48), b.vary(0.006, 0.008)
    paper = b.tile(b.contrast, "checks", shade(b.contrast, 0.75))
    line = [(0, 0), (r * 0.66, 0), (r * 0.94, rim)]
    peak = z - cherry
    turns = 3
    for k in range(turns):
        low, high = rim + (peak - rim) * k / turns, rim + (peak - rim) * (k + 1) / turns
        wide = r * (1 - 0.24 * k)
        line += [(wide, low + (high - low) * 0.35), (wide * 0.94, low + (high - low) * 0.75), (wide * 0.76, high)]
    line.append((0, peak))
    body = lathe(line, [paper] * 2 + [b.base] * (len(line) - 3), 28)
    top = blob((cherry,) * 3, b.tile((196, 28, 40)), rows=6, segments=12).translate((0, 0, peak))
    collision = [
        upright(r * 0.68, 0, rim * 0.5),
        upright(r * 0.86, rim * 0.5, rim),
        upright(r * 0.97, rim, rim + (peak - rim) * 0.33),
    ]
    collision += [upright(r * 0.68, rim, rim + (peak - rim) * 0.7), upright(r * 0.4, rim, peak)]
    return Draft(stack(body, top), collision, {"grasp": grip((0, 0, rim), 2 * r)})


def mushroom(b: Brief) -> Draft:
    """A mushroom with a thick stem and a domed cap."""
    x, _, z = b.size
    r, stem, edge = x / 2, b.vary(0.42, 0.56), b.vary(0.45, 0.56)
    pale, gills = b.tile((238, 228, 206)), b.tile((206, 178, 146))
    line = [
        (0, 0),
        (r * stem * 1.05, 0),
        (r * stem * 1.15, z * 0.08),
        (r * stem * 0.9, z * edge),
        (r * 0.9, z * (edge - 0.04)),
        (r, z * (edge + 0.03)),
    ]
    regions = [pale] * 3 + [gills] + [b.base]
    for s in np.linspace(0.25, 0.92, 5):
        line.append((r * math.cos(s * math.pi / 2), z * (edge + 0.03 + (0.97 - edge) * math.sin(s * math.pi / 2))))
        regions.append(b.base)
    line.append((0, z))
    body = lathe(line, [*regions, b.base], 28)
    collision = [
        upright(r * stem * 1.05, 0, z * edge),
        upright(r * 0.96, z * (edge - 0.03), z * (edge + 0.26)),
        upright(r * 0.66, z * edge, z * 0.94),
    ]
    return Draft(body, collision, {"grasp": grip((0, 0, z * (edge + 0.1)), 2 * r)})


def bell(b: Brief) -> Draft:
    """A hand bell with a turned wooden handle."""
    x, _, z = b.size
    r, crown = x / 2, z * b.vary(0.46, 0.54)
    shape = [(1.0, 0.0), (0.98, 0.06), (0.78, 0.25), (0.66, 0.6), (0.56, 0.85), (0.3, 1.0)]
    dark = b.tile(shade(b.colour, 0.45))
    grip_r, wood = r * b.vary(0.24, 0.3), b.tile((112, 72, 42), "wood")
    line = [(0.0, crown * 0.7), (r * 0.5, crown * 0.68), (r * 0.86, 0.0), *[(r * p, crown * h) for p, h in shape]]
    handle = [
        (grip_r * 0.6, crown * 1.01),
        (grip_r * 0.7, crown * 1.1),
        (grip_r, crown + (z - crown) * 0.6),
        (grip_r * 0.9, z * 0.94),
        (grip_r * 0.4, z * 0.995),
        (0.0, z),
    ]
    body = lathe(line + handle, [dark] * 2 + [b.base] * len(shape) + [wood] * len(handle), 28)
    collision = [
        upright(r * 0.98, 0, crown * 0.25),
        upright(r * 0.74, 0.003, crown * 0.9),
        upright(grip_r * 0.9, crown * 0.9, z),
    ]
    return Draft(body, collision, {"grasp": grip((0, 0, crown + (z - crown) * 0.5), grip_r * 2)})


def hourglass(b: Brief) -> Draft:
    """An hourglass: two wooden discs, two bulbs of glass, sand, three posts."""
    x, _, z = b.size
    r, disc, neck = x / 2, 0.006, 0.0035
    pale, sand = b.tile((206, 224, 228)), b.tile((222, 190, 130), "speckle", (190, 150, 90))
    bulb_r, fill = r * 0.7, b.vary(0.35, 0.65)
    middle = z / 2
    half = middle - disc
    line = [
        (0, 0),
        (r * 0.96, 0),
        (r, 0.0015),
        (r, disc),
        (bulb_r * 0.7, disc),
        (bulb_r, disc + half * 0.3),
        (bulb_r * 0.9, disc + half * fill),
    ]
    line += [
        (neck, middle - 0.001),
        (neck, middle + 0.001),
        (bulb_r * 0.9, middle + half * 0.42),
        (bulb_r, middle + half * 0.7),
        (bulb_r * 0.7, z - disc),
    ]
    line += [(r, z - disc), (r, z - 0.0015), (r * 0.96, z), (0, z)]
    body = lathe(line, [b.base] * 4 + [sand] * 2 + [pale] * 2 + [sand] + [pale] * 2 + [b.base] * 4, 24)
    post = lathe([(0, disc / 2), (0.0022, disc / 2), (0.0022, z - disc / 2), (0, z - disc / 2)], b.base, 8)
    turn = b.vary(0, 2)
    posts = [
        post.translate((r * 0.84 * math.cos(a), r * 0.84 * math.sin(a), 0)) for a in turn + np.arange(3) * 2 * np.pi / 3
    ]
    collision = [
        upright(r, 0, disc),
        upright(bulb_r, disc, middle * 0.8),
        upright(bulb_r * 0.5, middle * 0.8, middle * 1.2),
        upright(bulb_r, middle * 1.2, z - disc),
        upright(r, z - disc, z),
    ]
    return Draft(stack(body, *posts), collision, {"top": _flat(r, z), "grasp": grip((0, 0, z * 0.72), 2 * r)})


def spool(b: Brief) -> Draft:
    """A reel of thread: coloured thread between two wooden flanges."""
    x, _, z = b.size
    r, flange, fill = x / 2, z * b.vary(0.12, 0.16), b.vary(0.78, 0.92)
    wood, hole = b.tile((206, 172, 124), "wood"), b.tile((80, 60, 40))
    b.dress("brushed", b.colour)
    line = [
        (0, 0),
        (r * 0.97, 0),
        (r, 0.001),
        (r, flange * 0.6),
        (r * fill * 0.96, flange),
        (r * fill, flange * 1.3),
        (r * fill, z - flange * 1.3),
        (r * fill * 0.96, z - flange),
    ]
    line += [(r, z - flange * 0.6), (r, z - 0.001), (r * 0.97, z), (r * 0.26, z), (r * 0.26, z * 0.7), (0, z * 0.7)]
    body = lathe(line, [wood] * 4 + [b.base] * 3 + [wood] * 4 + [hole] * 2)
    collision = [upright(r, 0, flange), upright(r * fill, flange, z - flange), upright(r, z - flange, z)]
    return Draft(body, collision, {"top": _flat(r, z)})


def cone(b: Brief) -> Draft:
    """A traffic cone on a square foot, with a white band."""
    x, _, z = b.size
    base, r, tip = x / 2, x / 2 * b.vary(0.68, 0.78), x * b.vary(0.07, 0.1)
    white, plate = b.tile((240, 240, 236)), 0.005
    low, high = b.vary(0.3, 0.4), b.vary(0.55, 0.68)
    at = lambda s: (r + (tip - r) * s, plate + (z - plate) * s)  # noqa: E731
    body = lathe(
        [
            (0, 0.002),
            (r, 0.002),
            at(0),
            at(low),
            at(high),
            at(1),
            (tip * 0.6, z),
            (tip * 0.6, z - 0.004),
            (0, z - 0.004),
        ],
        [b.base, b.base, b.base, white, b.base, b.base, b.tile(shade(b.colour, 0.3)), b.tile(shade(b.colour, 0.3))],
        28,
    )
    slab = prism(rectangle(base, base, 0.006, 3), 0, plate, b.base, 0.0008)
    collision = [
        box((-base, -base, 0), (base, base, plate)),
        upright(r * 0.86, plate, z * 0.35),
        upright(r * 0.58, z * 0.35, z * 0.68),
        upright(r * 0.3, z * 0.68, z),
    ]
    return Draft(stack(slab, body), collision, {"grasp": grip((0, 0, z * 0.55), r * 1.1)})


def barrel(b: Brief) -> Draft:
    """A cask of staves with metal hoops."""
    x, _, z = b.size
    r, end = x / 2, b.vary(0.76, 0.86)
    hoop = b.tile((84, 86, 90), "brushed")
    levels = [0.0, 0.07, 0.13, 0.28, 0.34, 0.5, 0.66, 0.72, 0.87, 0.93, 1.0]
    line = [(r * (end + (1 - end) * math.sin(math.pi * h)), z * h) for h in levels]
    top = b.tile(shade(b.colour, 0.8), "wood")
    regions = [top] + [hoop if k in (1, 3, 6, 8) else b.base for k in range(10)] + [b.base, top, top]
    line = [(0.0, 0.0), *line, (line[-1][0] * 0.9, z), (line[-1][0] * 0.9, z - 0.003), (0.0, z - 0.003)]
    body = lathe(line, regions, 28)
    collision = [
        upright(r * (end + 0.04), 0, z * 0.25),
        upright(r * 0.97, z * 0.25, z * 0.75),
        upright(r * (end + 0.04), z * 0.75, z),
    ]
    return Draft(body, collision, {"top": _flat(r * end, z - 0.003), "grasp": grip((0, 0, z / 2), 2 * r)})


def teapot(b: Brief) -> Draft:
    """A round pot with a spout, an ear and a lid with a knob."""
    x, y, z = b.size
    r, rim = y / 2, z * b.vary(0.72, 0.78)
    belly = b.vary(0.4, 0.52)
    line = [(0.0, 0.0), (r * 0.62, 0.0), (r * 0.66, 0.003)]
    for s in np.linspace(0.12, 0.94, 7):
        line.append(
            (r * (0.55 + 0.45 * math.sin(math.pi * min(1.0, s ** math.log(0.5, belly * 1.15))) ** 0.8), rim * s)
        )
    lid = b.base if b.chance(0.5) else b.tile(b.contrast)
    knob = r * b.vary(0.15, 0.2)
    line += [
        (r * 0.56, rim),
        (r * 0.54, rim + 0.002),
        (r * 0.3, z * 0.86),
        (knob * 0.5, z * 0.88),
        (knob, z * 0.94),
        (knob * 0.7, z * 0.99),
        (0.0, z),
    ]
    body = lathe(line, [b.base] * (len(line) - 7) + [lid] * 6, 28)
    back, front = -x / 2 + 0.003, x / 2
    spout = bend([(r * 0.7, 0, z * 0.3), (r + (front - r) * 0.5, 0, z * 0.42), (front - 0.004, 0, rim)], 7)
    ear = bend(
        [(-r * 0.85, 0, rim * 0.86), (back * 0.85, 0, rim * 0.95), (back, 0, rim * 0.6), (-r * 0.8, 0, rim * 0.3)], 9
    )
    spout_mesh = tube(spout, np.linspace(0.3, 0.14, 7) * r, b.base, 10, ends=b.tile(shade(b.colour, 0.4)))
    collision = [
        foot(r * 0.44, r * 0.44, 0.004),
        upright(r * 0.75, 0.002, rim * 0.3),
        upright(r * 0.96, rim * 0.25, rim * 0.75),
        upright(r * 0.62, rim * 0.7, z * 0.9),
    ]
    collision += [rod(spout[0], spout[-1], r * 0.17), *chain(ear, 0.003, 3)]
    pot = stack(body, spout_mesh, tube(ear, 0.0032, b.base, 8))
    core = blob((r * 0.8, r * 0.8, rim * 0.36), _NOWHERE, rows=6, segments=10).translate((0, 0, rim * 0.48))
    return Draft(pot - core, collision, {"grasp": grip((0, 0, z * 0.93), knob * 2)})

"""Templates of turned things of all kinds: chess piece, bulb, cake, bell, cone."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom
from .collide import box, upright
from .curves import blob
from .draft import Brief, Draft, grip, shade
from .mesh_tools import lathe, prism, rectangle, stack
from .turned import METAL, NOWHERE, flat


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
    core = blob((r - 0.003,) * 3, NOWHERE, rows=6, segments=10).translate((0, 0, centre))
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
    return Draft(stack(body, *posts), collision, {"top": flat(r, z), "grasp": grip((0, 0, z * 0.72), 2 * r)})


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
    return Draft(body, collision, {"top": flat(r, z)})


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
    return Draft(body, collision, {"top": flat(r * end, z - 0.003), "grasp": grip((0, 0, z / 2), 2 * r)})

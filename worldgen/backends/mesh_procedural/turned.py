"""Templates of closed vessels and table ware: a profile turned about z, standing upright."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom, Site
from .collide import chain, foot, rod, upright
from .curves import bend, blob, tube
from .draft import Brief, Draft, grip, mix, shade
from .mesh_tools import Region, Solid, lathe, stack
from .mesh_tools import box as rounded

METAL = (176, 180, 186)


def flat(radius: float, z: float) -> Site:
    return Site(pos=(0, 0, z), size=(radius * 0.7, radius * 0.7, 0.001))


NOWHERE = Region((0.01, 0.01), (0.02, 0.02))
"""Texture of faces that nobody sees."""


def core(radius: float, z0: float, z1: float, segments: int = 12) -> Solid:
    """Return what to take out of a thick thing, so that it weighs like a filled vessel; nobody sees it."""
    return lathe([(0, z0), (radius, z0), (radius, z1), (0, z1)], NOWHERE, segments)


def can(b: Brief) -> Draft:
    """A tin with rolled edges and a ring-pull or a plain lid."""
    x, _, z = b.size
    r, metal = x / 2, b.tile(METAL, "brushed", (200, 204, 208))
    neck = b.vary(0.86, 0.97)
    line = [(0, 0.001), (r * neck * 0.9, 0.001), (r * neck * 0.93, 0), (r * neck, 0.001), (r, z * 0.06), (r, z * 0.94)]
    line += [(r * neck, z * 0.985), (r * neck, z), (r * neck * 0.95, z), (r * neck * 0.92, z - 0.002), (0, z - 0.002)]
    body = lathe(line, [metal] * 4 + [b.base] + [metal] * 5)
    thin = [core(r * neck * 0.9, 0.0025, z - 0.0042), core(r - 0.0016, z * 0.075, z * 0.925)]
    parts = [body - stack(*thin)]
    if b.chance(0.7):
        tab = rounded((r * 0.7, r * 0.4, 0.0015), 0.0004, b.tile(shade(METAL, 0.6)), (r * 0.22, 0, z - 0.0015))
        parts.append(tab)
    return Draft(stack(*parts), [upright(r * 0.98, 0, z)], {"top": flat(r * neck, z)})


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
    return Draft(body - core(r - 0.004, 0.006, shoulder * 0.9), collision, {"grasp": hold, "top": flat(neck, z)})


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
    return Draft(body - core(r - 0.004, 0.005, lid * 0.86), collision, {"top": flat(r * 0.9, z)})


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
    return Draft(body - stack(hub, *ring, core(r * waist - 0.004, 0.004, cap * 0.95)), collision)


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
        foot(r * 0.44, r * 0.44, rim * 0.3),
        upright(r * 0.75, 0.002, rim * 0.3),
        upright(r * 0.96, rim * 0.25, rim * 0.75),
        upright(r * 0.62, rim * 0.7, z * 0.9),
    ]
    collision += [rod(spout[0], spout[-1], r * 0.17), *chain(ear, 0.003, 3)]
    pot = stack(body, spout_mesh, tube(ear, 0.0032, b.base, 8))
    core = blob((r * 0.8, r * 0.8, rim * 0.36), NOWHERE, rows=6, segments=10).translate((0, 0, rim * 0.48))
    return Draft(pot - core, collision, {"grasp": grip((0, 0, z * 0.93), knob * 2)})

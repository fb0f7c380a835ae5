"""Templates of round open vessels and flat round ware: a profile turned about z. Their cavity is free in collision too."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom, Site
from .collide import RECESS, box, chain, foot, rod, upright, wall
from .curves import bend, tube
from .draft import Brief, Draft, grip, shade
from .mesh_tools import Region, Solid, lathe, stack

Profile = list[tuple[float, float]]


def _cup(outer: Profile, thickness: float, floor: float, outside: Region, inside: Region, segments: int = 32) -> Solid:
    """Turn a vessel: its outer profile goes from the edge of the base up to the rim; the inner one follows it."""
    inner = [(max(r - thickness, 0.001), max(z, floor)) for r, z in reversed(outer)]
    kept = [inner[0]]
    for point in inner[1:]:  # points below the floor all end on it
        if point[1] < kept[-1][1] - 1e-6:
            kept.append(point)
    if kept[-1][1] > floor + 1e-6:
        kept.append((kept[-1][0], floor))
    rim = (outer[-1][0] - thickness / 2, outer[-1][1] + thickness * 0.35)
    line = [(0.0, 0.0), *outer, rim, *kept, (0.0, floor)]
    regions = [outside] * (len(outer) + 1) + [inside] * (len(line) - len(outer) - 2)
    return lathe(line, regions, segments)


def _cavity(radius: float, floor: float, height: float) -> Site:
    half = radius / math.sqrt(2)
    return Site(pos=(0, 0, (floor + height) / 2), size=(half, half, (height - floor) / 2))


def _pinch(radius: float, thickness: float, height: float) -> Site:
    """Return a grip on the rim of a vessel too wide to be held across: on its -y side, fingers along y."""
    return grip((0.0, -(radius - thickness / 2), max(height - 0.012, height / 2)), thickness)


def _round_sites(radius: float, inner: float, floor: float, height: float, thickness: float) -> dict[str, Site]:
    fits = radius <= 0.033
    return {
        "top": Site(pos=(0, 0, height), size=(0.002, 0.002, 0.001)),
        "bottom": Site(pos=(0, 0, 0), size=(inner * 0.6, inner * 0.6, 0.001)),
        "inside": _cavity(inner, floor, height),
        "grasp": grip((0, 0, max(height - 0.025, height / 2)), 2 * radius)
        if fits
        else _pinch(radius, thickness, height),
    }


def mug(b: Brief) -> Draft:
    """A straight or waisted cup with an ear."""
    _, y, z = b.size
    r, t, floor = y / 2, 0.0035, 0.005
    low, waist = b.vary(0.82, 1.0), b.vary(0.9, 1.0)
    outer = [(r * low * 0.94, 0), (r * low, z * 0.05), (r * waist, z * 0.45), (r * 0.99, z * 0.8), (r, z * 0.985)]
    inside = b.tile(shade(b.colour, 1.6) if b.chance(0.4) else (240, 238, 230))
    body = _cup(outer, t, floor, b.base, inside)
    reach, top, thick = b.size[0] - y, z * b.vary(0.78, 0.86), b.vary(0.0036, 0.0046)
    bottom, square = z * b.vary(0.18, 0.3), b.vary(0.75, 1.0)
    start = r * min(low, waist) - t * 0.6
    ear = [(start, 0, top), (r + reach * square * 0.8, 0, top + 0.001), (r + reach - thick, 0, (top + bottom) / 2)]
    ear += [(r + reach * square * 0.7, 0, bottom), (start, 0, bottom + 0.002)]
    handle = bend(ear, 11)
    collision = [upright(r * low * 0.94, 0, floor), *wall((r * low, RECESS), (r, z), t), *chain(handle[1:-1], thick, 3)]
    sites = _round_sites(r, r * min(low, waist) - t, floor, z, t)
    sites["handle"] = Site(pos=(r + reach - thick, 0, (top + bottom) / 2), size=(thick, thick, (top - bottom) / 3))
    return Draft(stack(body, tube(handle, thick, b.base, 8)), collision, sites)


def cup(b: Brief) -> Draft:
    """A tumbler: a plain conical cup without an ear."""
    _, y, z = b.size
    r, t, floor = y / 2, 0.003, 0.005
    low = b.vary(0.62, 0.82)
    ridge = r * b.vary(0.0, 0.03)
    outer = [(r * low * 0.95, 0), (r * low, z * 0.03), (r * (low + 0.55 * (1 - low)), z * 0.55)]
    outer += [
        (r * (low + 0.62 * (1 - low)) + ridge, z * 0.6),
        (r - ridge * 0.5, z * 0.9),
        (r, z * 0.96),
        (r, z * 0.985),
    ]
    body = _cup(outer, t, floor, b.base, b.tile(shade(b.colour, 0.75)))
    collision = [upright(r * low * 0.95, 0, floor), *wall((r * low, RECESS), (r, z), t)]
    return Draft(body, collision, _round_sites(r, r * low - t, floor, z, t))


def bowl(b: Brief) -> Draft:
    """A wide round bowl on a foot ring."""
    x, _, z = b.size
    r, t, floor = x / 2, 0.004, 0.008
    foot_r, belly = r * b.vary(0.42, 0.55), b.vary(0.72, 0.9)
    outer = [(foot_r * 0.97, 0), (foot_r, 0.003), (foot_r, 0.005)]
    for s in (0.12, 0.3, 0.55, 0.8, 0.975):
        outer.append((foot_r + (r - foot_r) * math.sin(s * math.pi / 2) ** belly, max(z * s**1.7, 0.006 + s * 0.01)))
    outer[-1] = (r, z * 0.975)
    body = _cup(outer, t, floor, b.base, b.tile(shade(b.colour, 1.35)) if b.chance(0.6) else b.base)
    middle = outer[5]
    lower, upper = wall((foot_r, RECESS), middle, t), wall(middle, (r, z), t)
    sites = _round_sites(r, (foot_r + r) / 2 - t, floor, z, t)
    return Draft(body, [upright(foot_r, 0, floor), *lower, *upper], sites)


def plate(b: Brief) -> Draft:
    """A shallow plate with a wide rim."""
    x, _, z = b.size
    r, t = x / 2, 0.004
    flat = r * b.vary(0.58, 0.7)
    foot_r = flat * 0.92
    line = [(0, 0), (foot_r, 0), (flat + 0.004, 0.002), (r, z - 0.002), (r - 0.001, z)]
    top = [
        (r - 0.003, z),
        (r * 0.93, t + (z - t) * 0.72),
        (flat + (r - flat) * 0.3, t + (z - t) * 0.2),
        (flat * 0.97, t),
        (flat * 0.5, t),
        (0, t),
    ]
    edge, groove = b.tile(b.contrast), b.tile(shade(b.colour, 0.72))
    ringed = b.spec.pattern == "plain" and b.chance(0.6)
    body = lathe(line + top, [b.base] * 4 + [edge if ringed else b.base] * 2 + [b.base, groove] + [b.base] * 2)
    collision = [upright(foot_r, 0, t), *wall((flat, RECESS), (r, z), t * 0.8)]
    sites = {"top": Site(pos=(0, 0, t), size=(flat * 0.7, flat * 0.7, 0.001)), "grasp": _pinch(r, t, z)}
    return Draft(body, collision, sites)


def pot(b: Brief) -> Draft:
    """A flower pot: a cone with a thick collar."""
    x, _, z = b.size
    r, t, floor = x / 2, 0.003, 0.005
    low, collar, line = b.vary(0.78, 0.86), b.vary(0.62, 0.76), b.vary(0.03, 0.045)
    outer = [(r * low, 0), (r * (1 - line), z * collar), (r, z * collar + 0.001), (r, z * 0.98)]
    soil = b.tile(shade(b.colour, 0.6))
    body = _cup(outer, t + r * line, floor, b.base, soil)
    inner = r * (low - line) - t
    collision = [upright(r * low, 0, floor), *wall((r * low, RECESS), (r * 0.985, z), t + r * line)]
    return Draft(body, collision, _round_sites(r, inner, floor, z, t))


def bucket(b: Brief) -> Draft:
    """A pail with a bail handle folded down to one side."""
    x, y, z = b.size
    r, t, floor = y / 2 * 0.97, 0.003, 0.005
    low = b.vary(0.82, 0.9)
    outer = [(r * low, 0), (r * (low + (1 - low) * 0.9), z * 0.88), (r, z * 0.89), (r, z * 0.98)]
    body = _cup(outer, t, floor, b.base, b.tile(shade(b.colour, 0.75)))
    turn = np.linspace(-np.pi / 2, np.pi / 2, 13)
    reach = x - r - r * 0.98
    path = np.stack(
        [np.cos(turn) * (r * 0.98 + reach - 0.004), np.sin(turn) * (r + 0.002), z * (0.9 - 0.3 * np.cos(turn))], 1
    )
    wire = tube(path, 0.0024, b.tile(shade(b.contrast, 0.9)), 8)
    collision = [upright(r * low, 0, floor), *wall((r * low, RECESS), (r, z), t)]
    return Draft(stack(body, wire), collision, _round_sites(r, r * low - t, floor, z, t))


def pan(b: Brief) -> Draft:
    """A frying pan with a long handle along x."""
    x, y, z = b.size
    r, t, floor = y / 2, 0.0018, 0.0025
    low = b.vary(0.8, 0.9)
    height = z * 0.86
    body = _cup([(r * low, 0), (r * (low + 0.04), 0.003), (r, height)], t, floor, b.base, b.tile(shade(b.colour, 0.55)))
    length = x - 2 * r
    half = b.vary(0.007, 0.01)
    path = bend([(r - 0.004, 0, height * 0.75), (r + length * 0.4, 0, z - 0.007), (r + length, 0, z - 0.006)], 7)
    grip_region = b.tile((50, 48, 46) if sum(b.colour) > 250 else (120, 84, 52))
    stick = tube(path, np.array([0.75, 0.8, 1, 1, 1, 1, 0.8]) * half, grip_region, 10, flat=0.6)
    collision = [
        upright(r * low, 0, floor),
        *wall((r * low, RECESS), (r, height), t),
        rod(path[0], path[-1], half * 0.6),
    ]
    sites = _round_sites(r, r * low - t, floor, height, t)
    sites["grasp"] = grip((r + length * 0.6, 0, z - 0.006), half * 2)
    return Draft(stack(body, stick), collision, sites)


def coaster(b: Brief) -> Draft:
    """A flat disc with a raised edge."""
    x, _, z = b.size
    r = x / 2
    edge, lip = r * b.vary(0.06, 0.1), z * b.vary(0.12, 0.25)
    rim = b.tile(b.contrast) if b.chance(0.5) else b.base
    line = [
        (0.0, 0.0),
        (r * 0.98, 0),
        (r, z * 0.2),
        (r, z * 0.9),
        (r - edge * 0.3, z),
        (r - edge, z),
        (r - edge * 1.2, z - lip),
    ]
    line += [(r * 0.5, z - lip), (0, z - lip)]
    body = lathe(line, [b.base, rim, rim, rim, rim, rim, b.base, b.base])
    half = (r - edge * 1.3) / math.sqrt(2)
    sites = {"top": Site(pos=(0, 0, z - lip), size=(half, half, 0.001)), "grasp": _pinch(r, z, z)}
    return Draft(body, [upright(r, 0, z - lip)], sites)


def stand(b: Brief) -> Draft:
    """A cake stand: a plate on a stem with a wide foot."""
    x, _, z = b.size
    r, t = x / 2, 0.005
    base, stem = r * b.vary(0.55, 0.68), r * b.vary(0.1, 0.16)
    knob = stem * b.vary(1.2, 2.0)
    rise = z - t - 0.004
    line = [
        (0, 0),
        (base, 0),
        (base * 0.97, 0.004),
        (stem * 1.6, rise * 0.25),
        (stem, rise * 0.45),
        (knob, rise * 0.6),
        (stem, rise * 0.75),
    ]
    line += [
        (stem * 2.2, rise),
        (r * 0.97, rise + 0.001),
        (r, z),
        (r * 0.96, z),
        (r * 0.93, z - 0.003),
        (r * 0.4, z - 0.003),
        (0, z - 0.003),
    ]
    body = lathe(line, b.base)
    collision = [upright(base, 0, 0.006), upright(stem * 1.4, 0.006, rise), upright(r, rise, z - 0.003)]
    half = r * 0.9 / math.sqrt(2)
    sites = {
        "top": Site(pos=(0, 0, z - 0.003), size=(half, half, 0.001)),
        "grasp": grip((0, 0, rise * 0.55), stem * 2.4),
    }
    return Draft(body, collision, sites)


def goblet(b: Brief) -> Draft:
    """A stemmed drinking cup."""
    _, y, z = b.size
    r, t = y / 2, 0.0025
    base, stem, start = r * b.vary(0.78, 0.95), b.vary(0.0035, 0.005), z * b.vary(0.36, 0.46)
    belly = b.vary(0.94, 1.0)
    outer = [(base, 0), (base * 0.95, 0.0025), (stem * 1.6, 0.008), (stem, start * 0.5), (stem * 1.1, start - 0.004)]
    curve = [(0.3, 0.0), (0.72, 0.08), (0.95, 0.25), (1.0, 0.45), (belly, 0.75), (belly * 0.94, 0.98)]
    outer += [(max(r * k, stem * 1.4), start + (z - start) * s) for k, s in curve]
    inner = [(max(r * k - t, 0.003), start + 0.004 + (z - start - 0.004) * s) for k, s in reversed(curve)]
    line = [(0.0, 0.0), *outer, *inner[:-1], (0.0, start + 0.004)]
    inside = b.tile(shade(b.colour, 0.7))
    body = lathe(line, [b.base] * (len(outer) + 1) + [inside] * (len(line) - len(outer) - 2), 28)
    middle = start + (z - start) * 0.3
    collision: list[Geom] = [upright(base, 0, 0.004), upright(stem * 1.2, 0.004, start + 0.004)]
    collision += wall((r * 0.4, start), (r, middle), t, 8) + wall(
        (r, middle), (r * belly, start + (z - start) * 0.98), t
    )
    sites = {
        "inside": _cavity(r * 0.8, start + 0.006, z),
        "bottom": Site(pos=(0, 0, 0), size=(base * 0.6, base * 0.6, 0.001)),
    }
    return Draft(body, collision, sites)


def funnel(b: Brief) -> Draft:
    """A funnel that stands on its wide mouth, spout up."""
    x, _, z = b.size
    r, t = x / 2, 0.003
    spout, shoulder = r * b.vary(0.16, 0.22), z * b.vary(0.5, 0.6)
    outer = [(r, 0.0), (r, z * 0.08), (spout * 1.15, shoulder), (spout * 0.8, z)]
    inner = [(spout * 0.8 - 0.002, z), (spout * 1.15 - 0.002, shoulder - t), (r - t, z * 0.08 - 0.002), (r - t, 0.0)]
    rings = [*inner[::-1], *outer[::-1]]
    line = [*rings, rings[0]]
    body = _ring_solid(line, b)
    lean = [(0.0, 0.12, 1.0), (0.12, 0.45, 0.82), (0.45, 0.75, 0.55), (0.75, 1.0, 0.3)]
    collision = [upright(r * share, shoulder * low, shoulder * high) for low, high, share in lean]
    collision.append(upright(spout * 0.95, shoulder, z))
    return Draft(body, collision, {"grasp": grip((0, 0, shoulder * 0.8), spout * 2.6)})


def _ring_solid(line: Profile, b: Brief) -> Solid:
    """Turn a closed profile that never meets the axis, as the difference of two turned solids."""
    half = (len(line) - 1) // 2
    inner, outer = line[:half], line[half : 2 * half][::-1]
    low, high = inner[0][1], inner[-1][1]
    core = lathe(
        [(0, low - 0.001), (inner[0][0], low - 0.001), *inner, (inner[-1][0], high + 0.001), (0, high + 0.001)],
        b.tile(shade(b.colour, 0.7)),
    )
    return lathe([(0, outer[0][1]), *outer, (0, outer[-1][1])], b.base) - core


def candle_holder(b: Brief) -> Draft:
    """A candlestick: a saucer with a socket and a finger ring."""
    x, y, z = b.size
    r = y / 2
    socket = r * b.vary(0.34, 0.42)
    line = [
        (0, 0),
        (r * 0.8, 0),
        (r, 0.007),
        (r * 0.96, 0.008),
        (r * 0.75, 0.003),
        (socket * 1.1, 0.004),
        (socket * 0.8, z * 0.5),
    ]
    line += [(socket * 1.2, z * 0.85), (socket * 1.2, z), (socket * 0.8, z), (socket * 0.8, z * 0.6), (0, z * 0.6)]
    body = lathe(line, b.base)
    ring_r = (x - y) / 2 + 0.002
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    path = np.stack([r + ring_r - 0.006 + ring_r * np.cos(turn), 0 * turn, 0.006 + ring_r + ring_r * np.sin(turn)], 1)
    collision = [foot(r * 0.56, r * 0.56, 0.003), upright(r * 0.9, 0.001, 0.006), upright(socket, 0.006, z)]
    collision.append(box((r - 0.002, -0.002, 0.005), (r + 2 * ring_r - 0.004, 0.002, 0.006 + ring_r)))
    return Draft(stack(body, tube(path, 0.0025, b.base, 8, closed=True)), collision)

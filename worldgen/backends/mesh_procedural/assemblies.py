"""Templates of things with a moving part and of the painted zone. Fronts and handles face -x of the object's own frame."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom, Joint, Site
from .collide import box as solid_box
from .collide import rod
from .curves import tube
from .draft import Brief, Child, Draft, shade
from .mesh_tools import Region, Solid, box, prism, rectangle, stack

REACH = 0.028
"""How far a handle stands out before its front: room for a finger behind it [m]."""
BAR = 0.005
"""Radius of a handle [m]."""


def _carcass(b: Brief, size: tuple[float, float, float], wall: float) -> tuple[Solid, list[Geom]]:
    """Return a cabinet that is open towards -x, centred in x."""
    x, y, z = size
    body = box(size, 0.002, b.base, (0, 0, z / 2))
    room = box((x, y - 2 * wall, z - 2 * wall), 0.0005, b.tile(shade(b.colour, 0.4)), (-wall, 0, z / 2))
    half_x, half_y = x / 2, y / 2
    geoms = [
        solid_box((-half_x, -half_y, 0), (half_x, half_y, wall)),
        solid_box((-half_x, -half_y, z - wall), (half_x, half_y, z)),
        solid_box((-half_x, -half_y, wall), (half_x, -half_y + wall, z - wall)),
        solid_box((-half_x, half_y - wall, wall), (half_x, half_y, z - wall)),
        solid_box((half_x - wall, -half_y + wall, wall), (half_x, half_y - wall, z - wall)),
    ]
    return body - room, geoms


def _bow(
    start: tuple[float, float, float], end: tuple[float, float, float], out: tuple[float, float, float], region: Region
) -> tuple[Solid, list[Geom]]:
    """Return a handle: a bar between two posts that stand on `start` and `end` and point along `out`."""
    a, c, away = np.asarray(start), np.asarray(end), np.asarray(out)
    along = (c - a) / np.linalg.norm(c - a)
    sink = -0.002 * away / np.linalg.norm(away)
    tip = away * (1 - BAR / np.linalg.norm(away))
    path = [a + sink, a + tip - 0.002 * along * 0, a + tip + 0.004 * along, c + tip - 0.004 * along, c + tip, c + sink]
    path[1] = a + tip * 0.9
    path[4] = c + tip * 0.9
    geoms = [
        rod(a + tip - BAR * along, c + tip + BAR * along, BAR),
        rod(a, a + away, BAR * 0.9),
        rod(c, c + away, BAR * 0.9),
    ]
    return tube(path, BAR, region, 8), geoms


def drawer(b: Brief) -> Draft:
    """A small cabinet with one drawer."""
    full_x, y, z = b.size
    x, wall, gap = full_x - REACH, 0.008, 0.0015
    body, geoms = _carcass(b, (x, y, z), wall)
    room = (x - wall - 0.004, y - 2 * (wall + gap), z - 2 * (wall + gap))
    child, sites = _drawer_box(b, room, (-x / 2, 0.0, wall + gap), min(0.11, x * 0.55))
    sites["top"] = Site(pos=(0, 0, z), size=(x / 2 * 0.9, y / 2 * 0.9, 0.001))
    return Draft(body, geoms, sites, [child])


def _drawer_box(
    b: Brief, room: tuple[float, float, float], pos: tuple[float, float, float], travel: float
) -> tuple[Child, dict[str, Site]]:
    """Return a drawer, drawn from the middle of its front's lower edge, and its sites."""
    depth, y, z = room
    t, front, height, hy = 0.004, 0.009, z * 0.8, y / 2
    pale, dark = b.tile((214, 190, 150), "wood"), b.tile((190, 164, 124), "wood")
    tray = box((depth, y - 0.002, height), 0.0008, pale, (depth / 2, 0, height / 2))
    middle = (front + depth - t) / 2
    hollow = box((depth - front - t, y - 2 * t - 0.002, height), 0.0005, dark, (middle, 0, height / 2 + t))
    face = b.tile(shade(b.colour, 1.22), "wood" if b.spec.material == "wood" else "plain", shade(b.colour, 1.1))
    plate = box((front, y, z), 0.0015, face, (front / 2, 0, z / 2))
    panel = b.chance(0.5)
    inset = box((0.001, y * 0.86, z * 0.78), 0.0003, b.tile(shade(b.colour, 1.1)), (0, 0, z / 2)) if panel else plate
    span, level = y * b.vary(0.16, 0.22), z * b.vary(0.5, 0.62)
    metal = b.tile(b.contrast if b.chance(0.5) else (60, 60, 64), "brushed")
    handle, handle_geoms = _bow((0, -span, level), (0, span, level), (-REACH, 0, 0), metal)
    collision = [
        solid_box((0, -hy, 0), (front, hy, z)),
        solid_box((front, -hy + 0.001, 0), (depth, hy - 0.001, t)),
        solid_box((front, -hy + 0.001, t), (depth, -hy + t, height)),
        solid_box((front, hy - t, t), (depth, hy - 0.001, height)),
        solid_box((depth - t, -hy + t, t), (depth, hy - t, height)),
        *handle_geoms,
    ]
    joint = Joint(type="slide", axis=(-1, 0, 0), range=(0, travel), damping=2.0, frictionloss=0.3)
    child = Child("drawer", stack(tray - hollow, plate, inset, handle), collision, pos, joint)
    size = ((depth - t - front) / 2, hy - t, (height - t) / 2)
    inside = Site(pos=(middle, 0, (t + height) / 2), size=size, part="drawer")
    return child, {"inside": inside, **_pulls((-REACH + BAR, 0, level), (BAR, span, BAR), "drawer", upright=False)}


def _pulls(
    pos: tuple[float, float, float], size: tuple[float, float, float], part: str, upright: bool
) -> dict[str, Site]:
    """Return sites for a handle; fingers close along x over a level bar, along y over an upright one."""
    turn = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)) if upright else (1.0, 0.0, 0.0, 0.0)
    return {
        "handle": Site(pos=pos, size=size, part=part),
        "grasp": Site(pos=pos, quat=turn, size=(BAR, 0.008, 0.008), part=part),
    }


def cupboard(b: Brief) -> Draft:
    """A cupboard with one door that turns about an upright hinge; its handle is on the free edge."""
    full_x, y, z = b.size
    x, wall, gap, thick = full_x - REACH, 0.008, 0.0015, 0.008
    depth = x - thick - gap
    body, geoms = _carcass(b, (depth, y, z), wall)
    move = np.array([x / 2 - depth / 2, 0, 0])
    geoms = [geom.model_copy(update={"pos": tuple((np.asarray(geom.pos) + move).tolist())}) for geom in geoms]
    left = 1 if b.chance(0.5) else -1  # the hinge's side; the door's frame is on the hinge
    face = b.tile(shade(b.colour, 1.22), "wood" if b.spec.material == "wood" else "plain", shade(b.colour, 1.1))
    panel = b.tile(b.contrast) if b.chance(0.3) else b.tile(shade(b.colour, 0.9))
    door = box((thick, y, z - 0.002), 0.0015, face, (0, -left * y / 2, z / 2 - 0.001))
    inset = box((0.001, y * 0.7, z * 0.7), 0.0003, panel, (-thick / 2, -left * y / 2, z / 2 - 0.001))
    at, span, level = -left * y * 0.88, z * b.vary(0.14, 0.2), z * 0.52
    metal = b.tile((60, 60, 64), "brushed")
    front = -thick / 2
    handle, handle_geoms = _bow((front, at, level - span), (front, at, level + span), (-REACH, 0, 0), metal)
    collision = [
        solid_box((-thick / 2, min(0, -left * y), 0), (thick / 2, max(0, -left * y), z - 0.002)),
        *handle_geoms,
    ]
    pos = (-x / 2 + thick / 2, left * y / 2, 0.001)
    joint = Joint(
        type="hinge", axis=(0, 0, -left), range=(0, 1.75), pos=(thick / 2, 0, 0), damping=0.05, frictionloss=0.02
    )
    sites = _pulls((front - REACH + BAR, at, level), (BAR, BAR, span), "door", upright=True)
    sites["inside"] = Site(
        pos=(float(move[0]) - wall / 2, 0, z / 2), size=((depth - wall) / 2 - 0.002, y / 2 - wall, z / 2 - wall)
    )
    sites["top"] = Site(pos=(float(move[0]), 0, z), size=(depth / 2 * 0.9, y / 2 * 0.9, 0.001))
    return Draft(body.translate(move), geoms, sites, [Child("door", stack(door, inset, handle), collision, pos, joint)])


def chest(b: Brief) -> Draft:
    """A chest whose lid turns about its back edge; the handle stands out before the lid."""
    full_x, y, z = b.size
    reach = 0.022
    x, wall, floor = full_x - reach, 0.007, 0.007
    lid_h, gap = z * b.vary(0.2, 0.3), 0.001
    rim = z - lid_h - gap
    inner = b.tile(shade(b.colour, 0.5))
    room = box((x - 2 * wall, y - 2 * wall, rim), 0.0005, inner, (0, 0, rim / 2 + floor))
    metal = b.tile((198, 164, 84) if b.chance(0.5) else (90, 92, 96), "brushed")
    bands = [box((x + 0.001, y * 0.07, rim * 0.98), 0.0004, metal, (0, s * y * 0.36, rim / 2)) for s in (-1, 1)]
    body = stack(box((x, y, rim), 0.0015, b.base, (0, 0, rim / 2)), *bands) - room
    hx, hy = x / 2, y / 2
    geoms = [
        solid_box((-hx, -hy, 0), (hx, hy, floor)),
        solid_box((-hx, -hy, floor), (-hx + wall, hy, rim)),
        solid_box((hx - wall, -hy, floor), (hx, hy, rim)),
        solid_box((-hx + wall, -hy, floor), (hx - wall, -hy + wall, rim)),
        solid_box((-hx + wall, hy - wall, floor), (hx - wall, hy, rim)),
    ]
    vault = b.chance(0.6)
    arc = np.linspace(0, np.pi, 11) if vault else np.array([0, 0.001, np.pi - 0.001, np.pi])
    flat = lid_h * (0.35 if vault else 1.0)
    outline = [(-x, 0), (0, 0)] + [(-x / 2 + x / 2 * math.cos(a), flat + (lid_h - flat) * math.sin(a)) for a in arc]
    if not vault:
        outline = [(-x, 0), (0, 0), (0, lid_h - 0.003), (-0.003, lid_h), (-x + 0.003, lid_h), (-x, lid_h - 0.003)]
    lid = prism(outline, -y / 2, y / 2, b.base).rotate((90, 0, 0))
    straps = [
        prism(np.asarray(outline) * (1.003, 1.01), s * y * 0.36 - y * 0.035, s * y * 0.36 + y * 0.035, metal).rotate(
            (90, 0, 0)
        )
        for s in (-1, 1)
    ]
    span = y * b.vary(0.14, 0.2)
    level = min(flat * 0.6, lid_h * 0.4) + 0.002
    handle, handle_geoms = _bow((-x, -span, level), (-x, span, level), (-reach, 0, 0), metal)
    blocks = [solid_box((-x, -hy, 0), (0, hy, flat if vault else lid_h))]
    blocks += (
        [
            solid_box((-x * 0.9, -hy, flat), (-x * 0.1, hy, flat + (lid_h - flat) * 0.6)),
            solid_box((-x * 0.72, -hy, flat), (-x * 0.28, hy, lid_h * 0.96)),
        ]
        if vault
        else []
    )
    joint = Joint(type="hinge", axis=(0, 1, 0), range=(0, 1.5), damping=0.05, frictionloss=0.35)
    child = Child("lid", stack(lid, *straps, handle), [*blocks, *handle_geoms], (x / 2, 0.0, rim + gap), joint)
    sites = _pulls((-x - reach + BAR, 0, level), (BAR, span, BAR), "lid", upright=False)
    sites["inside"] = Site(pos=(0, 0, (floor + rim) / 2), size=(hx - wall, hy - wall, (rim - floor) / 2))
    return Draft(body, geoms, sites, [child])


def zone(b: Brief) -> Draft:
    """A flat mark on the table, round or square with a border; nothing touches it."""
    x, y, z = b.size
    edge = b.tile(shade(b.colour, 0.6) if b.chance(0.6) else (245, 245, 240))
    if b.chance(0.5):
        turn = np.arange(32) * 2 * np.pi / 32
        outline = np.stack([np.cos(turn) * x / 2, np.sin(turn) * y / 2], 1)
    else:
        outline = rectangle(x / 2, y / 2, min(x, y) * b.vary(0.04, 0.2), 4)
    base = prism(outline, 0, z * 0.7, edge)
    mark = prism(outline * b.vary(0.84, 0.9), 0, z, b.base)
    top = Site(pos=(0, 0, z), size=(x / 2 * 0.7, y / 2 * 0.7, 0.001))
    return Draft(stack(base, mark), [], {"top": top}, touchable=False)

"""Templates of things with moving parts, which open towards -x of their own frame, and of the painted zone."""

from __future__ import annotations

import numpy as np

from ...shapes import Geom, Joint, Site
from .collide import box as solid_box
from .collide import rod
from .draft import Brief, Child, Draft, grip, shade
from .mesh_tools import box, prism, rectangle, stack, tube


def _carcass(b: Brief, wall: float) -> tuple[list[Geom], tuple[float, float, float]]:
    """Return collision of a cabinet that is open at -x, and the size of its free space."""
    x, y, z = b.size
    half = (x / 2, y / 2)
    geoms = [
        solid_box((-half[0], -half[1], 0), (half[0], half[1], wall)),
        solid_box((-half[0], -half[1], z - wall), (half[0], half[1], z)),
        solid_box((-half[0], -half[1], wall), (half[0], -half[1] + wall, z - wall)),
        solid_box((-half[0], half[1] - wall, wall), (half[0], half[1], z - wall)),
        solid_box((half[0] - wall, -half[1] + wall, wall), (half[0], half[1] - wall, z - wall)),
    ]
    return geoms, (x - wall, y - 2 * wall, z - 2 * wall)


def drawer(b: Brief) -> Draft:
    """A small cabinet with one drawer, whose front and handle face -x."""
    full_x, y, z = b.size
    reach = 0.028  # of the handle before the front
    x = full_x - reach
    wall, gap, front = 0.008, 0.0015, 0.009
    frame = Brief.__new__(Brief)
    frame.__dict__.update(b.__dict__)
    frame.size = (x, y, z)
    geoms, (_, room_y, room_z) = _carcass(frame, wall)
    feet = b.tile(shade(b.colour, 0.5))
    body = box((x, y, z), 0.002, b.base, (0, 0, z / 2)) - box((x, room_y, room_z), 0.0005, b.tile(shade(b.colour, 0.4)), (-wall, 0, z / 2))
    del feet
    child, handle = _drawer_child(b, (x, room_y - 2 * gap, room_z - 2 * gap), wall, front, reach)
    pos = (-x / 2, 0.0, wall + gap)
    travel = min(0.11, x * 0.5)
    joint = Joint(type="slide", axis=(-1, 0, 0), range=(0, travel), damping=2.0, frictionloss=0.3)
    solid, collision, inside = child
    sites = {"handle": handle, "inside": inside, "top": Site(pos=(0, 0, z), size=(x / 2 * 0.9, y / 2 * 0.9, 0.001))}
    sites["grasp"] = handle
    return Draft(body, geoms, sites, [Child("drawer", solid, collision, pos, joint)])


def _drawer_child(b: Brief, room: tuple[float, float, float], wall: float, front: float, reach: float):  # type: ignore[no-untyped-def]
    """Return (solid, collision, inside site) and handle site of a drawer; its frame is the middle of its front's lower edge."""
    x, y, z = room
    depth, t, height = x - wall - 0.004, 0.004, z * 0.8
    face = b.tile(shade(b.colour, 1.25), "wood" if b.spec.material == "wood" else "plain", b.colour)
    tray = box((depth, y - 0.002, height), 0.0008, b.tile((214, 190, 150), "wood"), (depth / 2, 0, height / 2))
    hollow = box((depth - front - t, y - 2 * t - 0.002, height), 0.0005, b.tile((190, 164, 124), "wood"), (front + (depth - front - t) / 2, 0, height / 2 + t))
    plate = box((front, y, z), 0.0015, face, (front / 2, 0, z / 2))
    metal, bar = b.tile(b.contrast if b.chance(0.5) else (60, 60, 64), "brushed"), 0.005
    span, level = y * b.vary(0.16, 0.2), z * 0.55
    path = np.array([(0.002, -span, level), (-reach + bar + 0.002, -span, level), (-reach + bar, -span + 0.003, level), (-reach + bar, span - 0.003, level), (-reach + bar + 0.002, span, level), (0.002, span, level)])
    solid = stack(tray - hollow, plate, tube(path, bar, metal, 8))
    hy = y / 2
    collision = [
        solid_box((0, -hy, 0), (front, hy, z)),
        solid_box((front, -hy + 0.001, 0), (depth, hy - 0.001, t)),
        solid_box((front, -hy + 0.001, t), (depth, -hy + t, height)),
        solid_box((front, hy - t, t), (depth, hy - 0.001, height)),
        solid_box((depth - t, -hy + t, t), (depth, hy - t, height)),
        rod((-reach + bar, -span - bar, level), (-reach + bar, span + bar, level), bar),
        rod((0.002, -span, level), (-reach, -span, level), bar * 0.9),
        rod((0.002, span, level), (-reach, span, level), bar * 0.9),
    ]
    handle = Site(pos=(-reach + bar, 0, level), size=(bar, span, bar), part="drawer")
    middle = (front + depth - t) / 2
    inside = Site(pos=(middle, 0, (t + height) / 2), size=((depth - t - front) / 2, hy - t, (height - t) / 2), part="drawer")
    return (solid, collision, inside), handle


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


_ = grip

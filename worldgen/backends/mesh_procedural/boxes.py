"""Templates of packets, slabs and other boxes with rounded edges, and what such templates share."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom, Site
from .collide import box as solid_box
from .curves import blob
from .draft import Brief, Draft, grip, mix, shade
from .mesh_tools import Array, Solid, box, flatten_base, lathe, loft, prism, rectangle, stack, wrap


def whole(b: Brief, height: float | None = None) -> list[Geom]:
    """Return one box of the object's size, or lower."""
    x, y, z = b.size
    return [solid_box((-x / 2, -y / 2, 0), (x / 2, y / 2, height or z))]


def upper(b: Brief, height: float | None = None, share: float = 0.9) -> dict[str, Site]:
    x, y, z = b.size
    return {"top": Site(pos=(0, 0, height or z), size=(x / 2 * share, y / 2 * share, 0.001))}


def _body(b: Brief, bevel: float, **sides: Solid) -> Solid:
    x, y, z = b.size
    return box((x, y, z), bevel, b.base, (0, 0, z / 2), sides or None)


def cube(b: Brief) -> Draft:
    """A toy block with rounded edges; some carry a frame of another colour on their sides."""
    x, y, z = b.size
    bevel = min(b.size) * b.vary(0.05, 0.16)
    body = _body(b, bevel)
    if b.chance(0.35):
        mark = b.tile(b.contrast)
        inlay = min(b.size) * b.vary(0.2, 0.32)
        parts = [box((inlay * 2, inlay * 2, 0.0006), 0.0002, mark, (0, 0, z))]
        parts += [box((0.0006, inlay * 2, inlay * 2), 0.0002, mark, (s * x / 2, 0, z / 2)) for s in (-1, 1)]
        parts += [box((inlay * 2, 0.0006, inlay * 2), 0.0002, mark, (0, s * y / 2, z / 2)) for s in (-1, 1)]
        body = stack(body, *parts)
    return Draft(body, whole(b), upper(b, share=0.85))


def parcel(b: Brief) -> Draft:
    """A closed cardboard box with a strip of tape and an address label."""
    x, y, z = b.size
    tape = b.tile(mix(b.colour, (226, 206, 160), 0.6) if b.chance(0.5) else shade(b.colour, 0.7))
    body = box((x, y, z), 0.0012, b.base, (0, 0, z / 2)) - box(
        (x - 0.006, y - 0.006, z - 0.006), 0.0005, b.base, (0, 0, z / 2)
    )
    wide = y * b.vary(0.14, 0.22)
    parts = [body, box((x + 0.0006, wide, 0.0006), 0.0002, tape, (0, 0, z))]
    parts += [box((0.0006, wide, z * 0.25), 0.0002, tape, (s * x / 2, 0, z * 0.875)) for s in (-1, 1)]
    paper = b.tile((244, 242, 234), "label", (60, 60, 64))
    parts.append(box((x * 0.34, y * 0.26, 0.0006), 0.0002, paper, (x * b.vary(-0.25, 0.25), y * 0.32, z)))
    return Draft(stack(*parts), whole(b), upper(b))


def book(b: Brief) -> Draft:
    """A closed book lying down: cover, spine, a block of pages."""
    x, y, z = b.size
    cover = min(0.0028, z * 0.16)
    pages = b.tile((236, 228, 208), "stripes", (206, 196, 172))
    block = box((x - 0.004, y - 0.005, z - cover * 1.2), 0.0005, pages, (0.0005, 0, z / 2))
    title = b.tile(b.contrast)
    parts = [block]
    parts += [box((x, y, cover), 0.0008, b.base, (0, 0, h)) for h in (cover / 2, z - cover / 2)]
    parts.append(box((cover, y, z), 0.0008, b.base, (-x / 2 + cover / 2, 0, z / 2)))
    if b.chance(0.7):
        parts.append(
            box((x * b.vary(0.08, 0.14), y * b.vary(0.5, 0.7), 0.0006), 0.0001, title, (x * b.vary(0.05, 0.25), 0, z))
        )
    else:
        parts.append(box((x * 0.4, y * 0.4, 0.0006), 0.0001, title, (x * 0.05, 0, z)))
    parts += [box((0.0006, y * 0.12, z * 0.7), 0.0001, title, (-x / 2, s * y * 0.32, z / 2)) for s in (-1, 1)]
    return Draft(stack(*parts), whole(b), upper(b))


def phone(b: Brief) -> Draft:
    """A telephone lying on its back: a dark screen with a bright picture, side keys."""
    x, y, z = b.size
    frame = prism(rectangle(x / 2, y / 2, y * b.vary(0.1, 0.2), 4), 0, z - 0.0004, b.base, min(0.0016, z * 0.2))
    dark = b.tile((26, 28, 32))
    glass = prism(rectangle(x / 2 - 0.002, y / 2 - 0.002, y * 0.1, 3), z - 0.002, z, dark)
    icons = [(90, 170, 230), (250, 200, 70), (110, 200, 120)]
    parts = [frame, glass]
    for k in range(6):
        centre = (x * (-0.28 + 0.17 * (k // 2)), y * (0.18 if k % 2 else -0.18), z)
        parts.append(box((x * 0.09, y * 0.2, 0.0004), 0.0001, b.tile(icons[k % 3]), centre))
    parts.append(box((x * 0.05, y * 0.3, 0.0004), 0.0001, b.tile((220, 224, 228)), (x * 0.4, 0, z)))
    return Draft(stack(*parts), whole(b), upper(b))


def remote(b: Brief) -> Draft:
    """A remote control: a rounded bar with rows of keys and a red one."""
    x, y, z = b.size
    height = z - 0.0025
    body = prism(rectangle(x / 2, y / 2, y * b.vary(0.2, 0.48), 4), 0, height, b.base, 0.003)
    key, keys = b.tile(b.contrast), []
    rows = int(b.vary(4, 6.9))
    for i in range(rows):
        for j in (-1, 0, 1):
            centre = (x * (-0.38 + 0.5 * i / (rows - 1)), j * y * 0.24, height)
            keys.append(box((x * 0.055, y * 0.15, 0.0024), 0.0006, key, centre))
    disc = lathe(
        [(0, height - 0.001), (y * 0.28, height - 0.001), (y * 0.25, z - 0.0006), (0, z - 0.0006)], key, 16
    ).translate((x * 0.27, 0, 0))
    red = lathe(
        [(0, height - 0.001), (y * 0.1, height - 0.001), (y * 0.09, z), (0, z)], b.tile((206, 44, 40)), 10
    ).translate((x * 0.43, 0, 0))
    return Draft(stack(body, *keys, disc, red), whole(b, height + 0.001), upper(b))


def sponge(b: Brief) -> Draft:
    """A kitchen sponge: a soft waisted block with a rough layer on top."""
    x, y, z = b.size
    waist, layer = b.vary(0.0, 0.1), z * b.vary(0.72, 0.8)
    outline = rectangle(x / 2, y / 2, y * 0.12, 2)
    turn = np.linspace(-1, 1, 7)[1:-1]
    side = np.stack([turn * (x / 2 - y * 0.12), y / 2 - waist * y * np.cos(turn * np.pi / 2)], 1)
    half = len(outline) // 4
    outline = np.concatenate(
        [outline[:half], side[::-1], outline[half : 3 * half], side * (1, -1), outline[3 * half :]]
    )
    rough = b.tile(b.contrast if b.chance(0.3) else (70, 120, 72), "speckle")
    b.dress("speckle", shade(b.colour, 0.72))
    body = prism(outline, 0, layer + 0.0005, b.base, 0.002)
    scour = prism(outline, layer, z, rough, 0.001)
    return Draft(stack(body, scour), whole(b), upper(b, share=0.8))


def soap(b: Brief) -> Draft:
    """A bar of soap with pillowed sides and a pressed oval."""
    x, y, z = b.size
    body = blob((x / 2, y / 2, z / 2), b.base, None, (0.5, b.vary(0.3, 0.55)), 10, 28).translate((0, 0, z / 2))
    body = flatten_base(body, z * 0.02)
    press = blob((x * 0.27, y * 0.25, z * 0.08), b.tile(shade(b.colour, 0.86)), rows=6, segments=24).translate(
        (0, 0, z * 0.985)
    )
    foot_box = solid_box((-x * 0.36, -y * 0.34, 0), (x * 0.36, y * 0.34, z * 0.95))
    wide = solid_box((-x * 0.47, -y * 0.46, z * 0.2), (x * 0.47, y * 0.46, z * 0.8))
    return Draft(body - press, [foot_box, wide], upper(b, z * 0.96, 0.6))


def carton(b: Brief) -> Draft:
    """A milk carton with a gable top and a screw cap."""
    x, y, z = b.size
    shoulder, ridge = z * b.vary(0.68, 0.74), z * 0.92
    half_x, half_y, fin = x / 2, y / 2, 0.0015

    def ring(hx: float, hy: float, h: float) -> Array:
        return np.column_stack([rectangle(hx, hy, 0.0005, 1), np.full(8, h)])

    roof = b.tile(b.contrast)
    levels = [ring(half_x, half_y, 0), ring(half_x, half_y, shoulder), ring(half_x, fin, ridge), ring(half_x, fin, z)]
    body = loft(levels, b.base)
    body = wrap(body.trim_by_plane((0, 0, -1), -shoulder), b.base)
    top = loft([levels[1], levels[2], levels[3]], roof)
    cap_r = y * b.vary(0.13, 0.18)
    cap = lathe(
        [(0, -0.004), (cap_r, -0.004), (cap_r, 0.004), (cap_r * 0.9, 0.005), (0, 0.005)], b.tile((236, 236, 232)), 16
    )
    slope = math.degrees(math.atan2(ridge - shoulder, half_y))
    cap = cap.rotate((slope, 0, 0)).translate((0, -half_y * 0.5, (shoulder + ridge) / 2 + 0.001))
    collision = [
        *whole(b, shoulder),
        solid_box((-half_x, -half_y * 0.55, shoulder), (half_x, half_y * 0.55, (shoulder + ridge) / 2)),
    ]
    collision.append(solid_box((-half_x, -half_y * 0.2, shoulder), (half_x, half_y * 0.2, z)))
    core = box((x - 0.004, y - 0.004, shoulder - 0.01), 0.0005, b.base, (0, 0, shoulder / 2))
    return Draft(stack(body - core, top, cap), collision, {"grasp": grip((0, 0, shoulder * 0.7), y)})


def eraser(b: Brief) -> Draft:
    """A slanted rubber in a printed sleeve."""
    x, y, z = b.size
    lean = x * b.vary(0.06, 0.14)
    outline = np.array([(-x / 2, 0), (x / 2 - lean, 0), (x / 2, z), (-x / 2 + lean, z)])
    rubber = wrap(
        prism(outline, -y / 2 + 0.001, y / 2 - 0.001, b.tile((238, 232, 224)), 0.001).rotate((90, 0, 0)),
        b.tile((238, 232, 224)),
    )
    low, high = -x / 2 + lean + 0.002, x * b.vary(0.12, 0.22)
    sleeve = box((high - low, y, z), 0.0006, b.base, ((low + high) / 2, 0, z / 2))
    stripe = box(
        ((high - low) * 0.16, y + 0.0006, z + 0.0006), 0.0006, b.tile(b.contrast), (low + (high - low) * 0.7, 0, z / 2)
    )
    collision = [solid_box((-x / 2 + lean * 0.5, -y / 2, 0), (x / 2 - lean * 0.5, y / 2, z))]
    return Draft(stack(rubber, sleeve, stripe), collision, upper(b, share=0.7))


def cheese(b: Brief) -> Draft:
    """A wedge of cheese with round holes."""
    x, y, z = b.size
    arc = np.linspace(-0.5, 0.5, 7)
    back = np.stack([x / 2 - 0.12 * x * (2 * arc) ** 2, y * arc], 1)
    body = prism(np.concatenate([[(-x / 2, 0)], back]), 0, z, b.base, 0.0008)
    dark = b.tile(shade(b.colour, 0.72))
    holes = []
    for k in range(6):
        radius = b.vary(0.1, 0.18) * z
        u = b.vary(-0.1, 0.42)
        side = (-1, 1, 0)[k % 3]
        centre = (
            (u * x, side * (u + 0.5) * y * 0.47, b.vary(0.25, 0.7) * z) if side else (u * x, b.vary(-0.2, 0.2) * y, z)
        )
        holes.append(blob((radius,) * 3, dark, rows=6, segments=10).translate(centre))
    collision = [
        solid_box((x * low, -y / 2 * wide, 0), (x * high, y / 2 * wide, z))
        for low, high, wide in ((-0.44, -0.14, 0.26), (-0.14, 0.16, 0.56), (0.16, 0.46, 0.84))
    ]
    hold = grip((x * 0.05, 0, z * 0.6), y * 0.5)
    return Draft(
        body - stack(*holes),
        collision,
        {"grasp": hold, "top": Site(pos=(x * 0.15, 0, z), size=(x * 0.2, y * 0.2, 0.001))},
    )


def chocolate(b: Brief) -> Draft:
    """A slab of chocolate squares, half in its wrapper."""
    x, y, z = b.size
    columns, rows, brown = 5, 3, b.tile((84, 52, 34))
    slab = box((x * 0.6, y * 0.94, z * 0.5), 0.0006, brown, (x * 0.2, 0, z * 0.25))
    parts = [slab]
    step_x, step_y = x / columns, y * 0.94 / rows
    for i in range(2, columns):
        for j in range(rows):
            centre = (x * ((i + 0.5) / columns - 0.5) - 0.0005, (j - 1) * step_y, z * 0.48)
            parts.append(loft(_pyramid(step_x * 0.88, step_y * 0.88, z * 0.46), brown).translate(centre))
    wrapper = x * b.vary(0.42, 0.52)
    foil = b.tile((206, 208, 212), "brushed")
    parts.append(box((wrapper + 0.004, y * 0.97, z * 0.95), 0.001, foil, (-x / 2 + wrapper / 2 + 0.002, 0, z * 0.5)))
    parts.append(box((wrapper, y, z), 0.001, b.base, (-x / 2 + wrapper / 2, 0, z / 2)))
    parts.append(box((wrapper * 0.3, y * 0.6, 0.0005), 0.0001, b.tile(b.contrast), (-x / 2 + wrapper * 0.5, 0, z)))
    return Draft(stack(*parts), whole(b, z * 0.97), upper(b))


def _pyramid(x: float, y: float, z: float) -> list[Array]:
    """Return rings of a low block whose top is smaller."""
    return [
        np.column_stack([rectangle(x / 2 * s, y / 2 * s, 0.0003, 0), np.full(4, h)]) for s, h in ((1.0, 0.0), (0.72, z))
    ]

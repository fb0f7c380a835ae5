"""Templates of toys and small devices: built from boxes, prisms and wheels."""

from __future__ import annotations

import math

import numpy as np

from ...shapes import Geom
from .boxes import upper, whole
from .collide import box as solid_box
from .collide import rod
from .curves import blob, tube
from .draft import Brief, Draft, grip, shade
from .mesh_tools import Solid, box, lathe, prism, stack, wrap


def brick(b: Brief) -> Draft:
    """A building brick with round studs."""
    x, y, z = b.size
    stud_h = min(z * 0.14, 0.003)
    height, columns = z - stud_h, 3 if b.chance(0.4) else 4
    radius = min(x / columns, y / 2) * b.vary(0.28, 0.34)
    body = box((x, y, height), 0.0008, b.base, (0, 0, height / 2))
    stud = lathe(
        [(0, height - 0.001), (radius, height - 0.001), (radius, z - 0.0004), (radius * 0.92, z), (0, z)], b.base, 14
    )
    studs = [
        stud.translate((x * ((i + 0.5) / columns - 0.5), y * (0.25 if j else -0.25), 0))
        for i in range(columns)
        for j in (0, 1)
    ]
    return Draft(stack(body, *studs), whole(b), upper(b))


_PIPS = {
    1: [(0, 0)],
    2: [(-1, -1), (1, 1)],
    3: [(-1, -1), (0, 0), (1, 1)],
    4: [(-1, -1), (-1, 1), (1, -1), (1, 1)],
    5: [(-1, -1), (-1, 1), (1, -1), (1, 1), (0, 0)],
    6: [(-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)],
}


def dice(b: Brief) -> Draft:
    """A die with round corners and pips."""
    x, y, z = b.size
    edge = min(b.size)
    body = box((x, y, z), edge * b.vary(0.12, 0.22), b.base, (0, 0, z / 2))
    pip_r, far = edge * b.vary(0.085, 0.11), edge * 0.25
    pip = lathe([(0, -0.0008), (pip_r, -0.0008), (pip_r, 0.0004), (0, 0.0004)], b.tile(b.contrast), 12)
    turns = [(0, 0, 0), (0, 90, 0), (90, 0, 0), (-90, 0, 0), (0, -90, 0), (180, 0, 0)]
    order = b.rng.permutation(6) + 1
    pips = []
    for turn, count in zip(turns, order.tolist(), strict=True):
        side = [pip.translate((far * u, far * v, edge / 2)) for u, v in _PIPS[count]]
        pips += [one.rotate(turn).translate((0, 0, z / 2)) for one in side]
    return Draft(stack(body, *pips), whole(b), upper(b, share=0.75))


def domino(b: Brief) -> Draft:
    """A domino tile: a line across and two groups of pips."""
    x, y, z = b.size
    body = box((x, y, z), 0.0015, b.base, (0, 0, z / 2))
    ink = b.tile(b.contrast)
    pip_r = y * 0.075
    pip = lathe([(0, z - 0.0006), (pip_r, z - 0.0006), (pip_r, z + 0.0003), (0, z + 0.0003)], ink, 10)
    parts = [body, box((0.0016, y * 0.8, 0.0006), 0.0001, ink, (0, 0, z))]
    for side in (-1, 1):
        count = int(b.vary(1, 6.99))
        parts += [pip.translate((side * x / 4 + u * x * 0.12, v * y * 0.24, 0)) for u, v in _PIPS[count]]
    return Draft(stack(*parts), whole(b), upper(b))


def gift(b: Brief) -> Draft:
    """A wrapped present with a ribbon and a bow."""
    x, y, z = b.size
    height = z * b.vary(0.74, 0.82)
    ribbon = b.tile(b.contrast)
    wide = min(x, y) * b.vary(0.16, 0.22)
    body = box((x - 0.001, y - 0.001, height), 0.0015, b.base, (0, 0, height / 2))
    band = [
        box((x, wide, height + 0.0006), 0.0008, ribbon, (0, 0, height / 2 + 0.0003)),
        box((wide, y, height + 0.0006), 0.0008, ribbon, (0, 0, height / 2 + 0.0003)),
    ]
    loop_r = (z - height) * 0.62
    turn = np.arange(14) * 2 * np.pi / 14
    loops = []
    for side in (-1, 1):
        path = np.stack(
            [
                side * loop_r * (1.2 + 1.2 * np.cos(turn)),
                0 * turn,
                height + loop_r * 0.75 + loop_r * 0.7 * np.sin(turn),
            ],
            1,
        )
        loops.append(
            tube(path, 0.0026, ribbon, 6, closed=True).scale((1, 2.2, 1)).rotate((0, 0, 45 if b.chance(0.5) else 0))
        )
    knot = blob((loop_r * 0.35, loop_r * 0.4, loop_r * 0.35), ribbon, rows=6, segments=10).translate(
        (0, 0, height + loop_r * 0.5)
    )
    collision = [*whole(b, height), solid_box((-loop_r * 1.6, -0.006, height), (loop_r * 1.6, 0.006, z))]
    return Draft(stack(body, *band, *loops, knot), collision, {"grasp": grip((0, 0, height * 0.65), y)})


def house(b: Brief) -> Draft:
    """A toy house: walls, a pitched roof, door, windows, chimney."""
    x, y, z = b.size
    eaves, over = z * b.vary(0.5, 0.6), 0.003
    peak = z * 0.97
    walls = prism(
        [(-y / 2 + over, 0), (y / 2 - over, 0), (y / 2 - over, eaves), (0, peak - 0.005), (-y / 2 + over, eaves)],
        -x / 2 + over,
        x / 2 - over,
        b.base,
    )
    walls = wrap(walls.rotate((90, 0, 90)), b.base)
    tiles = b.tile(b.contrast if sum(b.contrast) < 560 else (164, 66, 48), "stripes")
    thick = 0.004
    section = [
        (-y / 2, eaves - 0.004),
        (0, peak - thick),
        (y / 2, eaves - 0.004),
        (y / 2, eaves),
        (0, peak),
        (-y / 2, eaves),
    ]
    roof = prism(section, -x / 2, x / 2, tiles).rotate((90, 0, 90))
    door_y = y * b.vary(-0.15, 0.15)
    door = box((0.001, y * 0.2, eaves * 0.62), 0.0002, b.tile((110, 68, 40)), (-x / 2 + over, door_y, eaves * 0.31))
    glass = b.tile((150, 200, 226), "checks", (250, 250, 250))
    panes = [
        box((x * 0.2, 0.001, eaves * 0.36), 0.0002, glass, (u * x * 0.22, s * (y / 2 - over), eaves * 0.58))
        for u in (-1, 1)
        for s in (-1, 1)
    ]
    chimney = box(
        (x * 0.12, y * 0.14, z * 0.3), 0.0006, b.tile((150, 70, 56)), (x * b.vary(0.15, 0.3), y * 0.2, z * 0.85)
    )
    half = (x / 2 - over, y / 2 - over)
    collision = [solid_box((-half[0], -half[1], 0), (half[0], half[1], eaves))]
    collision += [
        solid_box((-half[0], -half[1] * s, eaves), (half[0], half[1] * s, eaves + (peak - eaves) * (1 - s)))
        for s in (0.75, 0.4, 0.12)
    ]
    core = box((x * 0.7, y * 0.7, eaves * 0.8), 0.0005, b.base, (0, 0, eaves * 0.5))
    return Draft(stack(walls, roof, door, *panes, chimney) - core, collision, {"grasp": grip((0, 0, eaves * 0.7), y)})


def _wheels(b: Brief, axles: tuple[float, ...], radius: float, track: float, width: float) -> list[Solid]:
    """Return wheels with bright hubs, standing on z = 0."""
    tyre, hub = b.tile((34, 34, 36)), b.tile((208, 208, 204))
    line = [
        (0, -width / 2),
        (radius * 0.5, -width / 2),
        (radius * 0.94, -width / 2),
        (radius, -width * 0.3),
        (radius, width * 0.3),
        (radius * 0.94, width / 2),
        (radius * 0.5, width / 2),
        (0, width / 2),
    ]
    wheel = lathe(line, [hub, tyre, tyre, tyre, tyre, tyre, hub], 18).rotate((90, 0, 0))
    return [wheel.translate((at, s * (track - width / 2), radius)) for at in axles for s in (-1, 1)]


def _wheel_geoms(axles: tuple[float, ...], radius: float, track: float, width: float) -> list[Geom]:
    """Return one box an axle: wheels that stand, with a flat contact instead of a rolling one."""
    return [solid_box((at - radius * 0.55, -track, 0), (at + radius * 0.55, track, radius)) for at in axles]


def car(b: Brief) -> Draft:
    """A toy car: body, cabin with windows, wheels, lamps."""
    x, y, z = b.size
    radius, deck = z * b.vary(0.2, 0.24), z * b.vary(0.52, 0.6)
    nose, tail = b.vary(0.08, 0.2), b.vary(-0.32, -0.24)
    side = [
        (-0.5, 0.22),
        (0.5, 0.22),
        (0.5, deck / z * 0.78),
        (nose + 0.18, deck / z),
        (-0.46, deck / z),
        (-0.5, deck / z * 0.9),
    ]
    body = prism(np.array(side) * (x, z), -y / 2 + 0.002, y / 2 - 0.002, b.base, 0.0015).rotate((90, 0, 0))
    cabin = np.array(
        [(tail - 0.1, deck / z - 0.02), (nose + 0.14, deck / z - 0.02), (nose - 0.03, 0.97), (tail, 0.97)]
    ) * (x, z)
    glass = b.tile((52, 66, 82))
    room = prism(cabin, -y * 0.4, y * 0.4, glass, 0.001).rotate((90, 0, 0))
    roof = box((x * (nose - tail), y * 0.8, z * 0.08), 0.0015, b.base, (x * (nose + tail) / 2 - 0.01 * x, 0, z * 0.96))
    axles = (-x * 0.29, x * 0.3)
    lamps = [
        box((0.0012, y * 0.16, z * 0.1), 0.0003, b.tile((250, 240, 190)), (x / 2, s * y * 0.3, deck * 0.7))
        for s in (-1, 1)
    ]
    rear = [
        box((0.0012, y * 0.14, z * 0.08), 0.0003, b.tile((190, 30, 30)), (-x / 2, s * y * 0.32, deck * 0.75))
        for s in (-1, 1)
    ]
    solid = stack(body, room, roof, *_wheels(b, axles, radius, y / 2, y * 0.17), *lamps, *rear)
    collision = _wheel_geoms(axles, radius, y / 2, y * 0.17)
    collision += [solid_box((-x / 2, -y / 2 + 0.002, z * 0.22), (x / 2, y / 2 - 0.002, deck))]
    collision.append(solid_box((x * (tail - 0.06), -y * 0.4, deck), (x * (nose + 0.04), y * 0.4, z)))
    return Draft(solid, collision, {"grasp": grip((0, 0, deck), y)})


def truck(b: Brief) -> Draft:
    """A toy lorry: a cab in front, a box behind, three axles."""
    x, y, z = b.size
    radius, cab = z * 0.17, x * b.vary(0.26, 0.32)
    paint = b.tile(b.contrast) if b.chance(0.5) else b.base
    chassis = box((x * 0.96, y * 0.8, z * 0.12), 0.001, b.tile((60, 60, 64)), (0, 0, z * 0.24))
    front = x / 2 - cab
    top = z * b.vary(0.76, 0.9)
    side = np.array(
        [
            (front + 0.001, z * 0.18),
            (x / 2, z * 0.18),
            (x / 2, top * 0.62),
            (x / 2 - cab * 0.22, top),
            (front + 0.001, top),
        ]
    )
    head = prism(side, -y / 2, y / 2, paint, 0.0012).rotate((90, 0, 0))
    body = box(
        (x - cab - 0.003, y, z * 0.72),
        0.0012,
        b.base,
        (-x / 2 + (x - cab - 0.003) / 2, 0, z * 0.64),
    )
    glass = b.tile((52, 66, 82))
    slope = math.degrees(math.atan2(top * 0.38, cab * 0.22))
    pane = (
        box((0.001, y * 0.8, top * 0.3), 0.0003, glass)
        .rotate((0, -(90 - slope), 0))
        .translate((x / 2 - cab * 0.11, 0, top * 0.81))
    )
    doors = [
        box((cab * 0.45, 0.001, top * 0.26), 0.0003, glass, (front + cab * 0.4, s * y / 2, top * 0.78)) for s in (-1, 1)
    ]
    axles = (-x * 0.34, -x * 0.1, x * 0.34)
    solid = stack(chassis, head, body, pane, *doors, *_wheels(b, axles, radius, y / 2, y * 0.18))
    collision = _wheel_geoms((-x * 0.22, x * 0.34), radius, y / 2, y * 0.18)
    collision += [
        solid_box((-x / 2, -y / 2, z * 0.26), (front, y / 2, z)),
        solid_box((front, -y / 2, z * 0.18), (x / 2, y / 2, top * 0.9)),
    ]
    return Draft(solid, collision, {"grasp": grip((-x * 0.1, 0, z * 0.6), y)})


def camera(b: Brief) -> Draft:
    """A photo camera: body, lens, viewfinder, shutter key."""
    x, y, z = b.size
    depth, height = y * 0.6, z * 0.84
    back = (y - depth) / 2
    body = box((x, depth, height), 0.003, b.base, (0, back, height / 2))
    top = box(
        (x * 0.34, depth * 0.8, z - height + 0.004),
        0.002,
        b.tile(shade(b.colour, 0.6)),
        (x * b.vary(-0.05, 0.05), back, (z + height) / 2 - 0.002),
    )
    dark, glass, ring = (
        b.tile((34, 34, 38)),
        b.tile((70, 90, 140), "gradient", (190, 210, 240)),
        b.tile((150, 152, 156)),
    )
    r, reach = height * b.vary(0.36, 0.42), y - depth
    line = [
        (0, 0),
        (r, 0),
        (r, reach * 0.5),
        (r * 0.88, reach * 0.5),
        (r * 0.88, reach),
        (r * 0.7, reach),
        (r * 0.62, reach * 0.7),
        (0, reach * 0.75),
    ]
    lens = (
        lathe(line, [dark, dark, ring, dark, ring, dark, glass], 24)
        .rotate((90, 0, 0))
        .translate((0, back - depth / 2, height * 0.5))
    )
    key = lathe([(0, 0), (0.005, 0), (0.005, 0.004), (0, 0.004)], b.tile((200, 60, 50)), 12).translate(
        (x * 0.34, back, height - 0.001)
    )
    grip_skin = box((x * 0.96, 0.001, height * 0.56), 0.0004, dark, (0, back - depth / 2, height * 0.45))
    collision = [
        solid_box((-x / 2, back - depth / 2, 0), (x / 2, back + depth / 2, height)),
        solid_box((-x * 0.17, back - depth * 0.4, height), (x * 0.17, back + depth * 0.4, z)),
    ]
    collision.append(rod((0, back - depth / 2, height * 0.5), (0, -y / 2, height * 0.5), r * 0.95, "cylinder"))
    return Draft(
        stack(body, top, grip_skin, lens, key), collision, {"grasp": grip((-x * 0.3, back, height * 0.6), depth)}
    )


def clock(b: Brief) -> Draft:
    """An alarm clock: a round face, two bells, two feet."""
    _x, y, z = b.size
    leg, bell = z * 0.09, z * b.vary(0.13, 0.17)
    r = (z - leg - bell * 0.7) / 2
    middle = leg + r
    face, dark = b.tile((246, 244, 236)), b.tile((36, 36, 40))
    line = [
        (0, -y / 2),
        (r * 0.92, -y / 2),
        (r, -y * 0.4),
        (r, y * 0.42),
        (r * 0.93, y / 2),
        (r * 0.88, y / 2 - 0.003),
        (0, y / 2 - 0.003),
    ]
    case = lathe(line, [b.base] * 5 + [face]).rotate((90, 0, 0)).translate((0, 0, middle))
    front = -y / 2 + 0.003
    hands = []
    for length, wide, angle in ((0.45, 0.005, b.vary(0, 360)), (0.68, 0.0035, b.vary(0, 360))):
        hand = box((wide, 0.0014, r * length), 0.0003, dark, (0, front - 0.0005, r * length / 2)).rotate((0, angle, 0))
        hands.append(hand.translate((0, 0, middle)))
    marks = [
        box((0.003, 0.001, r * 0.14), 0.0002, dark, (0, front - 0.0004, r * 0.72))
        .rotate((0, k * 30, 0))
        .translate((0, 0, middle))
        for k in range(0, 12, 3)
    ]
    metal = b.tile((196, 180, 120), "brushed")
    cup = lathe([(0, 0), (bell * 1.1, 0), (bell * 0.8, bell * 0.6), (0, bell * 0.85)], metal, 16)
    bells = [cup.rotate((0, s * 32, 0)).translate((s * r * 0.56, 0, middle + r * 0.82)) for s in (-1, 1)]
    peg = lathe([(0, 0), (0.003, 0), (0.0045, leg * 2.6), (0, leg * 2.6)], dark, 10)
    legs = [peg.translate((s * r * 0.6, t * y * 0.3, 0)) for s in (-1, 1) for t in (-1, 1)]
    collision = [
        solid_box((-r * 0.66, -y * 0.38, 0), (r * 0.66, y * 0.38, leg * 1.6)),
        rod((0, -y / 2, middle), (0, y / 2, middle), r, "cylinder"),
    ]
    collision.append(solid_box((-r * 0.8, -y * 0.2, middle + r * 0.6), (r * 0.8, y * 0.2, z - 0.005)))
    return Draft(stack(case, *hands, *marks, *bells, *legs), collision, {"grasp": grip((0, 0, middle + r * 0.3), y)})


def radio(b: Brief) -> Draft:
    """A portable radio: a round grille, a dial, knobs, an aerial folded along its top."""
    x, y, z = b.size
    height = z - 0.006
    body = box((x, y - 0.004, height), 0.004, b.base, (0, 0.002, height / 2))
    front = -y / 2 + 0.0045
    dark, metal = b.tile((44, 44, 48), "checks", (90, 90, 94)), b.tile((190, 192, 196), "brushed")
    r = min(height * 0.38, x * 0.22)
    side = 1 if b.chance(0.5) else -1
    grille = (
        lathe([(0, 0), (r, 0), (r, 0.0022), (r * 0.92, 0.0022), (0, 0.0018)], [metal, metal, metal, dark], 28)
        .rotate((90, 0, 0))
        .translate((-side * x * 0.24, front, height * 0.5))
    )
    dial = box(
        (x * 0.34, 0.0012, height * 0.26),
        0.0003,
        b.tile((240, 232, 200), "label", (120, 60, 40)),
        (side * x * 0.24, front, height * 0.68),
    )
    knob = lathe([(0, 0), (0.006, 0), (0.005, 0.004), (0, 0.004)], metal, 14).rotate((90, 0, 0))
    knobs = [knob.translate((side * x * (0.24 + s * 0.1), front, height * 0.3)) for s in (-1, 1)]
    aerial = tube([(-x * 0.42, 0.004, z - 0.0025), (x * 0.42, 0.004, z - 0.0025)], 0.0022, metal, 8)
    pegs = [box((0.006, 0.006, 0.008), 0.001, metal, (s * x * 0.4, 0.004, height)) for s in (-1, 1)]
    collision = [
        solid_box((-x / 2, -y / 2 + 0.003, 0), (x / 2, y / 2, height)),
        solid_box((-x * 0.42, 0.001, height), (x * 0.42, 0.007, z)),
    ]
    return Draft(stack(body, grille, dial, *knobs, aerial, *pegs), collision, {"grasp": grip((0, 0, height * 0.6), y)})

"""Primitives stand for what is nearly one, and things stand on one foot."""

from __future__ import annotations

import manifold3d
import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from worldgen import convex, fitting, mesh, mesh_solid
from worldgen.shapes import Geom
from worldgen.solids import convex_hull, place

Solid = tuple[NDArray[np.float64], NDArray[np.int64]]


BOX = manifold3d.Manifold.cube([0.08, 0.05, 0.03], True)
ROD = manifold3d.Manifold.cylinder(0.09, 0.02, 0.02, 48, True)
EGG = manifold3d.Manifold.sphere(0.02, 48).scale([1.5, 1.1, 1.0])
PILL = manifold3d.Manifold.sphere(0.02, 48).scale([1, 1, 1]) + manifold3d.Manifold.cylinder(0.05, 0.02, 0.02, 48)
PILL = PILL + manifold3d.Manifold.sphere(0.02, 48).translate([0, 0, 0.05])


@pytest.mark.parametrize(("solid", "kind"), [(BOX, "box"), (ROD, "cylinder"), (EGG, "ellipsoid"), (PILL, "capsule")])
@pytest.mark.parametrize("turn", [(0, 0, 0), (0, 0, 40), (30, 50, 10)])
def test_a_primitive_is_found_however_it_lies(
    solid: manifold3d.Manifold, kind: str, turn: tuple[float, float, float]
) -> None:
    vertices, faces = mesh_solid.arrays(solid.rotate(turn).translate([0.1, -0.05, 0.2]))
    found = fitting.whole(vertices, faces)
    assert found is not None
    assert found.type == kind
    assert convex.fidelity([convex.FidelityPart(vertices, faces, [found])]).iou > 0.95


def test_what_is_none_is_not_taken_for_one() -> None:
    cup = manifold3d.Manifold.cylinder(0.08, 0.03, 0.03, 32) - manifold3d.Manifold.cylinder(
        0.08, 0.027, 0.027, 32
    ).translate([0, 0, 0.004])
    wedge = manifold3d.Manifold.hull_points(np.array([(0, 0, 0), (0.1, 0, 0), (0, 0.1, 0), (0, 0, 0.05)]))
    for solid in (cup, wedge):
        assert fitting.whole(*mesh_solid.arrays(solid)) is None


def table(legs: int = 4) -> tuple[Solid, dict[str, convex.Hull]]:
    """Return a plate on legs, and the hulls that it is made of."""
    parts = [manifold3d.Manifold.cube([0.1, 0.1, 0.01]).translate([-0.05, -0.05, 0.06])]
    angles = 2 * np.pi * np.arange(legs) / legs + np.pi / 4
    places = zip(0.055 * np.cos(angles), 0.055 * np.sin(angles), strict=True)
    parts += [manifold3d.Manifold.cylinder(0.062, 0.004, 0.004, 12).translate([x, y, 0]) for x, y in places]
    hulls = {f"hull_{index}.obj": convex_hull(mesh_solid.arrays(part)[0], "a part") for index, part in enumerate(parts)}
    return mesh_solid.arrays(manifold3d.Manifold.batch_boolean(parts, manifold3d.OpType.Add)), hulls


def test_hulls_that_are_nearly_primitives_become_such() -> None:
    _, hulls = table()
    fit = fitting.parts(hulls)
    assert sorted(geom.type for geom in fit.geoms) == ["box", *["cylinder"] * 4]
    assert fit.hulls == {}


@pytest.mark.parametrize("legs", [3, 4])
def test_a_table_bears_on_points_and_leaves_room_below(legs: int) -> None:
    solid, hulls = table(legs)
    fit = fitting.on_a_foot(
        *solid, fitting.Fit(tuple(Geom(type="mesh", file=file) for file in hulls), hulls), "foot.obj"
    )
    lows = [float(place(geom, (0, 0, 0), fit.hulls).low[2]) for geom in fit.geoms]
    points = [geom for geom in fit.geoms if geom.type == "sphere"]
    assert 3 <= len(points) <= 4
    assert sorted(lows) == pytest.approx([*[0] * len(points), *[fitting.HAIR] * legs, 0.06], abs=1e-6)
    below = np.array([[0.0, 0.0, 0.005]])
    assert min(place(geom, (0, 0, 0), fit.hulls).depth(below)[0] for geom in fit.geoms) > 0.02, "a coin lies there"
    contacts, moved = at_rest(fit)
    before, _ = at_rest(fitting.Fit(tuple(Geom(type="mesh", file=file) for file in hulls), hulls))
    assert contacts <= 8 < before
    assert moved < 0.001


PRISM = manifold3d.Manifold.cylinder(0.05, 0.02, 0.02, 5, True)


@pytest.mark.parametrize(
    ("solid", "kinds"),
    [(ROD, ["box", "cylinder", "mesh"]), (BOX, ["box", "mesh"]), (PRISM, ["box", "mesh", "mesh"])],
)
def test_feet_are_as_simple_as_bases(solid: manifold3d.Manifold, kinds: list[str]) -> None:
    vertices, faces = mesh_solid.arrays(solid)
    hull = convex_hull(vertices, "a hull")
    fit = fitting.on_a_foot(
        vertices, faces, fitting.Fit((Geom(type="mesh", file="a.obj"),), {"a.obj": hull}), "foot.obj"
    )
    assert [geom.type for geom in fit.geoms] == kinds
    lows = [float(place(geom, (0, 0, 0), fit.hulls).low[2]) - vertices[:, 2].min() for geom in fit.geoms]
    assert [lows[0], lows[-1]] == pytest.approx([0, fitting.RECESS], abs=2e-6)
    assert all(0.00005 < low <= fitting.HAIR + 1e-9 for low in lows[1:-1])
    outline = convex_hull(np.r_[vertices, vertices + [0, 0, 1.0]], "the outline")  # nothing sticks out below
    assert (place(Geom(type="mesh", file="o"), (0, 0, 0), {"o": outline}).depth(_corners(fit.geoms[0])) < 1e-6).all()


def _corners(box: Geom) -> NDArray[np.float64]:
    placed = place(box, (0, 0, 0), {})
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    return placed.centre + signs * box.size @ placed.object_from_geom.T


def test_a_round_thing_at_rest_costs_a_box_and_falls_where_its_rim_ends() -> None:
    """A box bears it; pushed over, it turns about its true rim: by the angle that geometry says, not that of the box."""
    vertices, faces = mesh_solid.arrays(ROD.translate([0, 0, 0.045]))
    found = fitting.whole(vertices, faces)
    assert found is not None
    fit = fitting.on_a_foot(vertices, faces, fitting.Fit((found,), {}), "foot.obj")
    contacts, moved = at_rest(fit)
    assert contacts == 4
    assert moved < 2e-4
    true = np.degrees(np.arctan2(0.02, 0.045))
    for turn in (0.0, 22.5, 45.0):  # along a side of the box, between, and over its corner
        stands, falls = (upright_after(fit, turn, true + more) for more in (-1.5, 1.5))
        assert stands
        assert not falls


def upright_after(fit: fitting.Fit, turn: float, tilt: float) -> bool:
    """Tell whether a rod of 9 cm comes to stand when let go while tilted over its rim."""
    model = mujoco.MjSpec.from_string(
        '<mujoco><option timestep=".002" integrator="implicitfast" cone="elliptic"/><worldbody><geom type="box" size="1 1 .1" pos="0 0 -.1"/>'
        "</worldbody></mujoco>"
    )
    way, angle = np.radians(turn), np.radians(tilt)
    axis = np.array([-np.sin(way), np.cos(way), 0])
    quat = [np.cos(angle / 2), *(np.sin(angle / 2) * axis)]
    body = model.worldbody.add_body(name="rod", pos=[0, 0, 0.02 * np.sin(angle) + 1e-4], quat=quat)
    body.add_freejoint()
    body.explicitinertial, body.mass, body.ipos, body.inertia = True, 0.1, [0, 0, 0.045], [8e-5, 8e-5, 2e-5]
    for geom in fit.geoms:
        body.add_geom(
            type=getattr(mujoco.mjtGeom, f"mjGEOM_{geom.type.upper()}"), size=[*geom.size, 0, 0][:3], pos=geom.pos, quat=geom.quat, mass=0, friction=[2, 0.005, 0.0001]
        )  # fmt: skip
    compiled = model.compile()
    data = mujoco.MjData(compiled)
    mujoco.mj_step(compiled, data, 600)
    return bool(data.body("rod").xmat.reshape(3, 3)[2, 2] > 0.99)


def test_what_stands_on_a_point_has_no_foot_and_reaches_no_lower() -> None:
    vertices, faces = mesh_solid.arrays(EGG)
    larger = convex_hull(1.02 * vertices, "a hull")
    fit = fitting.on_a_foot(
        vertices, faces, fitting.Fit((Geom(type="mesh", file="a.obj"),), {"a.obj": larger}), "foot.obj"
    )
    assert [geom.file for geom in fit.geoms] == ["a.obj"]
    assert fit.hulls["a.obj"][0][:, 2].min() == pytest.approx(vertices[:, 2].min(), abs=1e-9)


def test_what_stands_on_its_tip_has_no_foot() -> None:
    vertices, faces = mesh_solid.arrays(manifold3d.Manifold.cylinder(0.05, 0.0, 0.03, 32))
    hull = {"a.obj": convex_hull(vertices, "a hull")}
    fit = fitting.on_a_foot(vertices, faces, fitting.Fit((Geom(type="mesh", file="a.obj"),), hull), "foot.obj")
    assert [geom.type for geom in fit.geoms] == ["mesh"]


def test_a_cylinder_on_its_side_has_no_foot() -> None:
    vertices, faces = mesh_solid.arrays(manifold3d.Manifold.cylinder(0.09, 0.03, 0.03, 96, True).rotate([90, 0, 0]))
    found = fitting.whole(vertices, faces)
    assert found is not None
    assert fitting.on_a_foot(vertices, faces, fitting.Fit((found,), {}), "foot.obj").geoms == (found,)


@pytest.mark.parametrize(("floor", "down", "points"), [(0.0003, False, 0), (0.004, False, 0), (0.0003, True, 4)])
def test_a_cup_bears_on_points_when_it_is_upside_down_alone(floor: float, down: bool, points: int) -> None:
    """However thin its floor is."""
    cylinder = manifold3d.Manifold.cylinder
    cup = cylinder(0.08, 0.03, 0.03, 32) - cylinder(0.08, 0.028, 0.028, 32).translate([0, 0, floor])
    vertices, faces = mesh_solid.arrays(cup.rotate([180, 0, 0]).translate([0, 0, 0.08]) if down else cup)
    ring = convex_hull(vertices, "a hull")
    fit = fitting.on_a_foot(vertices, faces, fitting.Fit((Geom(type="mesh", file="a"),), {"a": ring}), "foot.obj")
    assert [geom.type for geom in fit.geoms].count("sphere") == points


def test_nothing_is_below_what_is_sealed() -> None:
    """A bottle with a double wall is hollow, and stands on its bottom."""
    cylinder = manifold3d.Manifold.cylinder
    bottle = cylinder(0.08, 0.03, 0.03, 32) - cylinder(0.079, 0.0295, 0.0295, 32).translate([0, 0, 0.0005])
    vertices, faces = mesh_solid.arrays(bottle)
    hull = convex_hull(vertices, "a hull")
    fit = fitting.on_a_foot(vertices, faces, fitting.Fit((Geom(type="mesh", file="a"),), {"a": hull}), "foot.obj")
    assert [geom.type for geom in fit.geoms] == ["box", "cylinder", "mesh"]


@pytest.mark.parametrize("radius", [0.008, 0.02, 0.04])
def test_a_ball_has_no_foot_and_rolls(radius: float) -> None:
    vertices, faces = mesh_solid.arrays(manifold3d.Manifold.sphere(radius, 64))
    found = fitting.whole(vertices, faces)
    assert found is not None
    fit = fitting.on_a_foot(vertices, faces, fitting.Fit((found,), {}), "foot.obj")
    assert [geom.type for geom in fit.geoms] == [found.type]


def test_a_block_on_short_legs_stands_on_its_legs() -> None:
    places = [(x, y) for x in (-0.04, 0.04) for y in (-0.04, 0.04)]
    legs = [manifold3d.Manifold.cylinder(0.004, 0.004, 0.004, 16).translate([*xy, 0]) for xy in places]
    block = manifold3d.Manifold.cube([0.1, 0.1, 0.097]).translate([-0.05, -0.05, 0.003])
    vertices, faces = mesh_solid.arrays(manifold3d.Manifold.batch_boolean([block, *legs], manifold3d.OpType.Add))
    found = fitting.whole(vertices, faces)
    assert found is not None
    fit = fitting.on_a_foot(vertices, faces, fitting.Fit((found,), {}), "foot.obj")
    assert min(place(geom, (0, 0, 0), fit.hulls).low[2] for geom in fit.geoms) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("turn", [0.0, 30.0, 45.0, 90.0])
@pytest.mark.parametrize(
    ("kind", "size"), [("capsule", (0.02, 0.03)), ("box", (0.02, 0.03, 0.05)), ("cylinder", (0.02, 0.03)), ("ellipsoid", (0.01, 0.02, 0.04))]
)  # fmt: skip
def test_what_is_lifted_begins_at_the_height(kind: str, size: tuple[float, ...], turn: float) -> None:
    half = np.radians(turn) / 2
    geom = Geom.model_validate(
        {"type": kind, "size": size, "quat": (float(np.cos(half)), float(np.sin(half)), 0.0, 0.0)}
    )
    low = float(place(geom, (0, 0, 0), {}).low[2])
    lifted = fitting._lifted(geom, {}, low + 0.004)
    assert lifted is not None
    assert place(lifted[0], (0, 0, 0), {}).low[2] == pytest.approx(low + 0.004, abs=1e-6)


def test_a_box_is_its_own_foot() -> None:
    vertices, faces = mesh_solid.arrays(BOX)
    found = fitting.whole(vertices, faces)
    assert found is not None
    assert [geom.type for geom in fitting.on_a_foot(vertices, faces, fitting.Fit((found,), {}), "foot.obj").geoms] == [
        "box"
    ]


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_a_hull_is_cut_at_a_height(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hull = convex_hull(rng.normal(size=(20, 3)), "a hull")
    height = float(rng.uniform(*np.quantile(hull[0][:, 2], [0.2, 0.8])))
    cut = convex_hull(fitting._cut(hull, height), "what is left")
    solid = manifold3d.Manifold(
        manifold3d.Mesh64(np.ascontiguousarray(hull[0]), np.ascontiguousarray(hull[1], np.uint64))
    )
    assert mesh.signed_volume(*cut) == pytest.approx(solid.trim_by_plane((0, 0, 1), height).volume(), rel=1e-6)


def at_rest(fit: fitting.Fit) -> tuple[int, float]:
    """Put a fit on a plane for a second; return its contacts then, and how far it moved [m]."""
    model = mujoco.MjSpec()
    model.compiler.degree = False
    model.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1])
    body = model.worldbody.add_body(name="a", pos=[0, 0, 0.0005])
    body.add_freejoint()
    body.explicitinertial, body.mass, body.ipos = True, 0.2, [0, 0, 0.05]
    body.fullinertia = [1e-4, 1e-4, 1e-4, 0, 0, 0]
    for index, geom in enumerate(fit.geoms):
        name = ""
        if geom.type == "mesh":
            name = f"mesh{index}"
            model.add_mesh(name=name, uservert=fit.hulls[str(geom.file)][0].ravel().tolist())
        kind = getattr(mujoco.mjtGeom, f"mjGEOM_{geom.type.upper()}")
        body.add_geom(type=kind, meshname=name, size=[*geom.size, 0, 0, 0][:3], pos=geom.pos, quat=geom.quat, mass=0)
    compiled = model.compile()
    data = mujoco.MjData(compiled)
    mujoco.mj_step(compiled, data, 500)
    return int(data.ncon), float(np.linalg.norm(data.qpos[:2]) + abs(data.qpos[2]))

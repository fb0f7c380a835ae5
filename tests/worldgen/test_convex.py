"""Collision shapes against analytic volumes and distances, brute force, and children that abort, hang and starve."""

import math
import os
import time

import manifold3d
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from worldgen import child, convex, solids
from worldgen.convex import FidelityPart, decompose, fidelity, hull_text
from worldgen.errors import AssetError
from worldgen.shapes import Geom


def arrays(solid):
    mesh = solid.to_mesh64()
    return np.array(mesh.vert_properties[:, :3]), np.array(mesh.tri_verts, np.int64)


def box(*size):
    mesh = trimesh.creation.box(size)
    return np.array(mesh.vertices), np.array(mesh.faces, np.int64)


def mug(sides=48):
    """Return a cup of 0.1 m, radius 0.04 m, wall 4 mm, floor 5 mm, and the 12 wall boxes and floor that stand for it."""
    whole = manifold3d.Manifold.cylinder(0.1, 0.04, 0.04, sides)
    geoms = [Geom(type="cylinder", size=(0.04, 0.0025), pos=(0, 0, 0.0025))]
    for step in range(12):
        a, r = (step + 0.5) * math.pi / 6, 0.038
        size = (0.002, r * math.tan(math.pi / 12), 0.0475)
        quat = (math.cos(a / 2), 0, 0, math.sin(a / 2))
        geoms.append(Geom(type="box", size=size, pos=(r * math.cos(a), r * math.sin(a), 0.0525), quat=quat))
    return *arrays(whole - manifold3d.Manifold.cylinder(0.1, 0.036, 0.036, sides).translate((0, 0, 0.005))), geoms


def elbow():
    """Return an L of two 0.1 x 0.03 x 0.03 m arms."""
    return arrays(manifold3d.Manifold.cube((0.1, 0.03, 0.03)) + manifold3d.Manifold.cube((0.03, 0.1, 0.03)))


def named(hulls):
    """Return a geom for each hull, and the hulls by the files that they name."""
    files = {f"hull_{index}.obj": hull for index, hull in enumerate(hulls)}
    return tuple(Geom(type="mesh", file=file) for file in files), files


def with_hulls(vertices, faces, hulls):
    return FidelityPart(vertices, faces, *named(hulls))


# Fidelity


@pytest.mark.parametrize("size", [(0.1, 0.2, 0.3), (0.3, 0.3, 0.004), (0.01, 0.01, 0.5)])
def test_a_box_is_its_own_box(size):
    half = tuple(s / 2 for s in size)
    found = fidelity([FidelityPart(*box(*size), [Geom(type="box", size=half)])])
    assert (found.iou, found.cavity) == (1.0, 1.0)
    assert found.distance_p99_mm < 1e-6


def test_a_sphere_in_its_bounding_box():
    ball = trimesh.creation.icosphere(4, 0.05)
    found = fidelity([FidelityPart(ball.vertices, ball.faces, [Geom(type="box", size=(0.05, 0.05, 0.05))])])
    assert found.iou == pytest.approx(math.pi / 6, rel=0.01)
    # The centre of a face is nearest to the box; the farthest is a corner of the cube, 0.05 (1 - 1/sqrt 3) from it.
    assert 15 < found.distance_p99_mm < 50 * (1 - 1 / math.sqrt(3))


@pytest.mark.parametrize("geom", [Geom(type="sphere", size=(0.05,)), Geom(type="ellipsoid", size=(0.05, 0.05, 0.05))])
def test_a_sphere_is_its_own_sphere(geom):
    ball = trimesh.creation.icosphere(4, 0.05)
    found = fidelity([FidelityPart(ball.vertices, ball.faces, [geom])])
    assert found.iou > 0.995
    assert found.distance_p99_mm < 0.2


def test_a_mug_of_walls_can_be_filled_and_its_hull_cannot():
    vertices, faces, geoms = mug()
    walls = fidelity([FidelityPart(vertices, faces, geoms)])
    assert walls.cavity > 0.95
    assert walls.iou > 0.8
    hull = trimesh.Trimesh(vertices, faces).convex_hull
    filled = fidelity([with_hulls(vertices, faces, [(np.array(hull.vertices), np.array(hull.faces))])])
    assert filled.cavity < 0.01
    assert filled.iou == pytest.approx(1 - (0.036 / 0.04) ** 2 * 0.95, abs=0.01)
    assert filled.distance_p99_mm == pytest.approx(5, abs=0.1)  # the floor of the cavity, from below


def test_parts_are_placed_and_united():
    vertices, faces = box(0.1, 0.1, 0.1)
    geom = Geom(type="box", size=(0.05, 0.05, 0.05))
    two = [FidelityPart(vertices, faces, [geom]), FidelityPart(vertices, faces, [geom], pos=(0.2, 0.0, 0.0))]
    found = fidelity(two)
    assert found.iou == 1.0
    assert found.cavity == 1.0
    half = fidelity([two[0], two[1]._replace(geoms=[])])
    assert half.iou == pytest.approx(0.5, abs=0.01)


def test_fidelity_is_fast_and_repeats():
    vertices, faces, geoms = mug()
    vertices, faces = trimesh.remesh.subdivide(vertices, faces)
    part = FidelityPart(vertices, faces, geoms)
    first, times = fidelity([part]), []
    for _ in range(5):
        start = time.process_time()
        assert fidelity([part]) == first
        times.append(time.process_time() - start)
    assert min(times) < 0.4  # 25 ms alone; shared machines are slower


def test_fidelity_refuses_what_it_cannot_score():
    vertices, faces = box(1, 1, 1)
    with pytest.raises(AssetError, match="0 collision geoms"):
        fidelity([FidelityPart(vertices, faces, [])])
    with pytest.raises(AssetError, match=r"'a\.obj' is not among"):
        fidelity([FidelityPart(vertices, faces, [Geom(type="mesh", file="a.obj")])])
    with pytest.raises(AssetError, match="box geom has 2 sizes; give 3"):
        fidelity([FidelityPart(vertices, faces, [Geom(type="box", size=(1, 1))])])
    with pytest.raises(AssetError, match="no volume"):
        fidelity([FidelityPart(vertices * [1, 1, 0], faces, [Geom(type="box", size=(1, 1, 1))])])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.integers(5, 40))
def test_a_convex_polyhedron_is_its_own_hull(seed, count):
    points = np.random.default_rng(seed).normal(size=(count, 3)) * [0.02, 0.05, 0.1]
    vertices, faces = solids.convex_hull(points, "it")
    found = fidelity([with_hulls(vertices, faces, [(vertices, faces)])])
    assert found.iou > 0.999
    assert found.cavity == 1.0
    assert found.distance_p99_mm < 1e-3


# Distances

SURFACES = {
    "box": (0.03, 0.02, 0.05),
    "sphere": (0.04,),
    "capsule": (0.02, 0.03),
    "cylinder": (0.03, 0.02),
    "ellipsoid": (0.05, 0.03, 0.01),
}


def reference(kind, size):
    make = trimesh.creation
    if kind == "box":
        return make.box(2 * np.array(size))
    if kind == "capsule":
        return make.capsule(height=2 * size[1], radius=size[0], count=[96, 96])
    if kind == "cylinder":
        return make.cylinder(size[0], 2 * size[1], sections=256)
    ball = make.icosphere(5)
    ball.apply_scale(size if len(size) == 3 else size[0])
    return ball


@pytest.mark.parametrize("kind", SURFACES)
def test_depth_equals_brute_force(kind):
    size, quat, pos = SURFACES[kind], (0.8, 0.2, -0.4, 0.4), (0.01, -0.02, 0.03)
    geom = solids.place(Geom(type=kind, size=size, pos=pos, quat=quat), (0.0, 0.0, 0.1), {})
    mesh = reference(kind, size)
    matrix = trimesh.transformations.quaternion_matrix(quat)
    matrix[:3, 3] = np.add(pos, (0, 0, 0.1))
    mesh.apply_transform(matrix)
    assert np.allclose([geom.low, geom.high], mesh.bounds, atol=2e-4)
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (200, 3)) + matrix[:3, 3]
    triangles = mesh.triangles
    brute = np.array(
        [trimesh.triangles.closest_point(triangles, np.tile(p, (len(triangles), 1))) - p for p in points[:40]]
    )
    depth = geom.depth(points[:40])
    assert np.allclose(np.abs(depth), np.linalg.norm(brute, axis=2).min(axis=1), atol=3e-4)
    grid = solids.make_grid(np.array([geom.low, geom.high]))
    agree = grid.occupied(mesh.vertices, mesh.faces) == (geom.depth(grid.points) <= 0)
    assert agree.mean() > 0.99


def test_distance_to_hulls_equals_brute_force():
    rng = np.random.default_rng(1)
    hulls = [
        solids.convex_hull(rng.normal(size=(20, 3)) * 0.02 + shift, "it") for shift in rng.normal(size=(4, 3)) * 0.05
    ]
    geoms, files = named(hulls)
    placed = [solids.place(geom, (0.0, 0.0, 0.0), files) for geom in geoms]
    points = rng.normal(size=(60, 3)) * 0.1
    points = points[np.min([geom.depth(points) for geom in placed], axis=0) > 0]
    triangles = np.concatenate([vertices[faces] for vertices, faces in hulls])
    brute = [trimesh.triangles.closest_point(triangles, np.tile(p, (len(triangles), 1))) - p for p in points]
    expected = np.linalg.norm(brute, axis=2).min(axis=1)
    assert np.allclose(solids.surface_distance(points, placed), expected, atol=1e-6)


# Decomposition


def test_an_elbow_needs_two_hulls_always_the_same():
    vertices, faces = elbow()
    found = decompose(vertices, faces, threshold=0.002)
    assert (found.method, found.reason) == ("coacd", "")
    assert 2 <= len(found.hulls) <= 4
    assert all(len(points) <= 32 and trimesh.Trimesh(points, tri).is_watertight for points, tri in found.hulls)
    assert all(trimesh.Trimesh(points, tri).volume > 0 for points, tri in found.hulls)
    score = fidelity([with_hulls(vertices, faces, found.hulls)])
    assert score.iou > 0.97
    assert score.cavity > 0.97
    again = decompose(vertices, faces, threshold=0.002)
    assert [hull_text(hull) for hull in again.hulls] == [hull_text(hull) for hull in found.hulls]


def test_a_convex_mesh_is_its_hull_at_once():
    ball = trimesh.creation.icosphere(3, 0.05)
    found = decompose(ball.vertices, ball.faces)
    assert (found.method, found.reason, len(found.hulls)) == ("hull", "the mesh is convex", 1)
    assert len(found.hulls[0][0]) <= 64
    # 64 vertices on the ball have a hull of about 0.92 of it.
    assert trimesh.Trimesh(*found.hulls[0]).volume == pytest.approx(ball.volume, rel=0.01)
    assert fidelity([with_hulls(np.asarray(ball.vertices), np.asarray(ball.faces), found.hulls)]).iou > 0.93
    cube = decompose(*box(0.1, 0.1, 0.1)).hulls[0]
    assert trimesh.Trimesh(*cube).volume == pytest.approx(1e-3)


def test_hull_files_have_stable_text():
    vertices, faces = box(0.2, 0.2, 0.2)
    first, second = hull_text((vertices, faces)), hull_text((vertices - 1e-9, faces))
    assert first == second
    assert first.startswith("v -0.1000000 -0.1000000")
    assert "-0.0000000" not in hull_text((vertices * 0, faces))
    assert first.count("\nf ") == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v, f: (v * np.nan, f), "NaN or infinite"),
        (lambda v, f: (np.where(v > 0.04, np.inf, v), f), "NaN or infinite"),
        (lambda v, f: (v, f + 1), r"in \[0, 7\]"),
        (lambda v, f: (v, f - 1), r"in \[0, 7\]"),
        (lambda v, f: (v, f[:0]), r"F > 0"),
        (lambda v, f: (v[:0], f[:0]), r"F > 0"),
        (lambda v, f: (v, f[:1]), "no volume"),
        (lambda v, f: (v * [1, 1, 0], f), "no volume"),
        (lambda v, f: (v, f * 0), "degenerate"),
        (lambda v, f: (v, np.zeros((convex.MAX_FACES + 1, 3), int)), "more than 1000000"),
    ],
)
def test_decompose_refuses(change, message):
    with pytest.raises(AssetError, match=message):
        decompose(*change(*box(0.1, 0.1, 0.1)))
    with pytest.raises(AssetError, match="must be positive"):
        decompose(*box(1, 1, 1), seconds=0)


def test_an_abort_in_the_child_leaves_a_single_hull(monkeypatch):
    """CoACD ends its interpreter on what validation should have caught."""
    vertices, faces = elbow()
    real = child.run

    def poisoned(call, given, **limits):
        return real(call, given | {"vertices": given["vertices"] * np.nan}, **limits)

    monkeypatch.setattr(child, "run", poisoned)
    found = decompose(vertices, faces, seconds=20)
    assert found.method == "hull"
    assert found.reason == "coacd was ended by SIGABRT"
    assert trimesh.Trimesh(*found.hulls[0]).is_convex


def test_a_hang_ends_at_the_time_limit():
    vertices, faces = elbow()
    start = time.monotonic()
    found = decompose(vertices, faces, seconds=0.05)
    assert time.monotonic() - start < 20
    assert (found.method, found.reason) == ("hull", "coacd ran past 0.05 s")


def hang(_):
    while True:
        pass


def starve(_):
    return {"big": np.ones(1 << 34)}


def abort(_):
    os.abort()


def refuse(_):
    raise ValueError("This is refused.")


def stumble(_):
    raise KeyError("missing")


def shout(given):
    os.write(1, b"noise on stdout")
    print("noise" * 100_000)
    return given


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (hang, child.ChildError, "ran past 1 s"),
        (starve, child.ChildError, "needed more than 1 GiB of memory"),
        (abort, child.ChildError, "was ended by SIGABRT"),
        (refuse, child.Refusal, r"^This is refused\.$"),
        (stumble, child.ChildError, "failed: KeyError: 'missing'"),
    ],
)
def test_a_child_fails_alone(function, error, message):
    seconds = 1 if function is hang else 20
    start = time.monotonic()
    with pytest.raises(error, match=message):
        child.run(f"{__name__}:{function.__name__}", {}, seconds=seconds, memory=1 << 30)
    assert time.monotonic() - start < 30


def test_a_child_that_prints_still_answers():
    given = {"a": np.arange(3), "b": np.array(["x"])}
    answer = child.run(f"{__name__}:shout", given, seconds=20)
    assert answer["a"].tolist() == [0, 1, 2]
    assert answer["b"].tolist() == ["x"]


def test_a_sealed_void_counts_as_solid() -> None:
    outer, inner = trimesh.creation.box((0.1, 0.1, 0.1)), trimesh.creation.box((0.09, 0.09, 0.09))
    inner.invert()
    shell = trimesh.util.concatenate([outer, inner])
    score = convex.fidelity(
        [convex.FidelityPart(shell.vertices, shell.faces, (Geom(type="box", size=(0.05, 0.05, 0.05)),))]
    )
    assert score.iou > 0.98
    assert score.cavity == 1.0

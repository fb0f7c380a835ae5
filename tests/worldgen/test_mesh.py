"""Meshes against analytic mass, mujoco's own limits, and files that lie about what they hold."""

import base64
import json
import struct
import zlib

import manifold3d
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks import solids as torn
from worldgen import mesh_parse, mesh_solid, solids
from worldgen.errors import AssetError
from worldgen.mesh import (
    RawMesh,
    clean,
    count_open_edges,
    mass_properties,
    read,
    signed_volume,
    simplify,
    solidify,
    standing,
    to_metres,
)


def raw(mesh, **fields):
    return RawMesh(np.array(mesh.vertices), np.array(mesh.faces, np.int64), **fields)


def soup(vertices, faces):
    """Return the same triangles without shared vertices."""
    return RawMesh(vertices[faces].reshape(-1, 3), np.arange(3 * len(faces)).reshape(-1, 3))


BOX = trimesh.creation.box((1, 2, 3))
BALL = trimesh.creation.icosphere(3)


# Mass


def test_the_mass_of_a_box_is_exact():
    found = mass_properties(np.add(BOX.vertices, [10, -20, 30]), BOX.faces, 600.0)
    mass = 600 * 6.0
    expected = mass / 12 * np.diag([2**2 + 3**2, 1 + 3**2, 1 + 2**2])
    assert found.volume == pytest.approx(6)
    assert found.mass == pytest.approx(mass)
    assert np.allclose(found.com, [10, -20, 30])
    assert np.allclose(found.inertia, expected)
    assert np.allclose(found.full_inertia(), [*np.diag(expected), 0, 0, 0])


def test_the_mass_of_round_bodies_converges():
    ball, radius = trimesh.creation.icosphere(5, 0.05), 0.05
    found = mass_properties(ball.vertices, ball.faces, 1000.0)
    assert found.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=2e-3)
    assert np.allclose(found.inertia, 0.4 * found.mass * radius**2 * np.eye(3), rtol=2e-3, atol=1e-9)
    rod = trimesh.creation.cylinder(0.02, 0.3, sections=256)
    found = mass_properties(rod.vertices, rod.faces, 1000.0)
    across, along = found.mass * (3 * 0.02**2 + 0.3**2) / 12, found.mass * 0.02**2 / 2
    assert np.allclose(np.diag(found.inertia), [across, across, along], rtol=1e-3)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.floats(0.001, 10))
def test_mass_of_polyhedra(seed, scale):
    rng = np.random.default_rng(seed)
    vertices, faces = solids.convex_hull(rng.normal(size=(12, 3)) * scale + rng.normal(size=3), "it")
    found = mass_properties(vertices, faces, 700.0)
    oracle = trimesh.Trimesh(vertices, faces, process=False)
    oracle.density = 700.0
    assert found.mass == pytest.approx(oracle.mass, rel=1e-6)
    assert np.allclose(found.com, oracle.center_mass, atol=1e-6 * scale + 1e-9)

    turn = trimesh.transformations.random_rotation_matrix(rng.random(3))[:3, :3]
    turned = mass_properties(vertices @ turn.T, faces, 700.0)
    assert np.allclose(turned.inertia, turn @ found.inertia @ turn.T, rtol=1e-6, atol=1e-9 * np.trace(found.inertia))
    small, middle, large = np.linalg.eigvalsh(found.inertia)
    assert small > 0
    assert small + middle >= large

    shift = np.array([100 * scale, 0, 0])  # two apart weigh as much as each, about a common centre
    both = mass_properties(
        np.concatenate([vertices, vertices + shift]), np.concatenate([faces, faces + len(vertices)]), 700.0
    )
    assert both.mass == pytest.approx(2 * found.mass, rel=1e-6)
    steiner = found.mass * (50 * scale) ** 2 * np.diag([0, 1, 1])
    assert np.allclose(both.inertia, 2 * (found.inertia + steiner), rtol=1e-4, atol=1e-6 * np.trace(both.inertia))


@pytest.mark.parametrize(
    ("vertices", "faces", "density", "message"),
    [
        (BOX.vertices, BOX.faces[1:], 600, "not closed: 3 of its edges"),
        (BOX.vertices, BOX.faces[:, ::-1], 600, "inside out"),
        (BOX.vertices * [1, 1, 0], BOX.faces, 600, "not a positive one"),
        (BOX.vertices, np.zeros((0, 3), int), 600, "not a positive one"),
        (BOX.vertices, BOX.faces, 0, "density 0"),
        (BOX.vertices, BOX.faces, np.nan, "density nan"),
    ],
)
def test_mass_needs_a_solid(vertices, faces, density, message):
    with pytest.raises(AssetError, match=message):
        mass_properties(vertices, faces, density)


def test_mass_needs_an_inertia_that_a_body_can_have():
    """A large box less two outlying inside-out ones has positive volume and an impossible inertia."""
    parts = [(BOX.vertices, BOX.faces)]
    parts += [(BOX.vertices * 0.5 + [x, 0, 0], BOX.faces[:, ::-1]) for x in (-20, 20)]
    vertices = np.concatenate([v for v, _ in parts])
    faces = np.concatenate([f + 8 * k for k, (_, f) in enumerate(parts)])
    with pytest.raises(AssetError, match="those of no body"):
        mass_properties(vertices, faces, 600.0)


# Clean and solid


def test_clean_merges_and_drops():
    start = soup(BOX.vertices, BOX.faces)
    faces = np.concatenate([start.faces, start.faces[:2], [[0, 0, 1]]])
    uv = np.arange(len(faces) * 6, dtype=float).reshape(-1, 3, 2)
    vertices = np.concatenate([start.vertices, [[np.nan] * 3]])  # of no face, so of no harm
    found = clean(RawMesh(vertices, faces, uv))
    assert (found.vertices.shape, found.faces.shape) == ((8, 3), (12, 3))
    assert np.allclose(found.uv, uv[:12])
    assert count_open_edges(found.faces) == 0


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (BOX.vertices, BOX.faces[:0], "empty"),
        (np.where(BOX.vertices > 1, np.nan, BOX.vertices), BOX.faces, "4 of 8 vertices are NaN"),
        (np.where(BOX.vertices > 1, np.inf, BOX.vertices), BOX.faces, "4 of 8 vertices are NaN"),
        (BOX.vertices, BOX.faces + 1, r"in \[0, 7\]"),
        (BOX.vertices, BOX.faces - 1, r"in \[0, 7\]"),
        (BOX.vertices, BOX.faces * 1.0, "whole numbers"),
        (BOX.vertices, BOX.faces[:1], "1 faces with an area"),
        (BOX.vertices * 0, BOX.faces, "0 units long"),
        (BOX.vertices * [1, 0, 1], BOX.faces, "flat: 0 thick at 3 long"),
        (BOX.vertices @ [[1, 0, 1], [0, 1, 1], [0, 0, 0]], BOX.faces, "flat"),
        (BOX.vertices[:, :2], BOX.faces, r"not \(8, 2\)"),
    ],
)
def test_clean_refuses(vertices, faces, message):
    with pytest.raises(AssetError, match=message):
        clean(RawMesh(vertices, faces))


def assert_solid(found, volume, tolerance):
    assert count_open_edges(found.faces) == 0
    assert signed_volume(found.vertices, found.faces) == pytest.approx(volume, rel=tolerance)
    mass_properties(found.vertices, found.faces, 1000.0)


def test_what_is_closed_stays():
    for faces in (BOX.faces, BOX.faces[:, ::-1]):
        found = solidify(RawMesh(BOX.vertices, faces))
        assert found.made == "as-is"
        assert_solid(found, 6, 1e-9)
    assert_solid(solidify(soup(BOX.vertices, BOX.faces)), 6, 1e-9)


def test_mixed_winding_is_turned_with_its_texture():
    flip = np.random.default_rng(0).random(len(BALL.faces)) < 0.5
    faces = np.where(flip[:, None], BALL.faces[:, ::-1], BALL.faces)
    uv = BALL.vertices[faces][..., :2] / 2 + 0.5  # so that a corner's uv tells its place
    found = solidify(RawMesh(BALL.vertices, faces, uv, np.zeros((4, 4, 3), np.uint8)))
    assert found.made == "as-is"
    assert_solid(found, BALL.volume, 1e-9)
    assert np.allclose(found.uv, found.vertices[found.faces][..., :2] / 2 + 0.5, atol=1e-5)


def test_a_void_stays_a_void_and_a_stray_piece_is_turned():
    count = len(BALL.vertices)
    hollow = RawMesh(
        np.concatenate([BALL.vertices, BALL.vertices * 0.5]), np.concatenate([BALL.faces, BALL.faces[:, ::-1] + count])
    )
    assert_solid(solidify(hollow), BALL.volume * 7 / 8, 1e-6)
    beside = RawMesh(np.concatenate([BALL.vertices, BALL.vertices + 5]), hollow.faces)
    assert_solid(solidify(beside), BALL.volume * 2, 1e-6)


def box(side: float, *at: float, inside_out: bool = False, flat: float = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return a cube about a point, or a plate."""
    made = trimesh.creation.box((side, side, flat * side), trimesh.transformations.translation_matrix(at or (0, 0, 0)))
    return np.array(made.vertices), np.array(made.faces)[:, :: -1 if inside_out else 1]


def together(pieces: list[tuple[np.ndarray, np.ndarray]]) -> RawMesh:
    """Return several meshes as one."""
    whole = trimesh.util.concatenate([trimesh.Trimesh(*piece, process=False) for piece in pieces])
    return RawMesh(np.array(whole.vertices), np.array(whole.faces))


@pytest.mark.parametrize(
    ("pieces", "made", "volume"),
    [
        ([box(1), box(0.5, 0.25, 0.25, 0.25)], "united", 1),  # one in the corner of the other
        ([box(1), box(1, 1, 1, 0)], "as-is", 2),  # an edge in common
        ([box(1), box(1, 1, 1, 1)], "as-is", 2),
        ([box(1), box(1, 0, 0, 1), box(1, 0, 0, 0.5)], "united", 2),  # a tower, and one across its joint
        ([box(1, 0, 0, 0.5 * k) for k in range(40)], "united", 20.5),  # each shares sides with others
        ([box(4), box(3, inside_out=True), box(1)], "as-is", 64 - 27 + 1),
        ([box(4), box(3, inside_out=True), box(1), box(1, 0.5, 0, 0)], "united", 64 - 27 + 1.5),
        ([box(4), box(3, inside_out=True), box(10, flat=0.05)], "united", 64 - 27 + 50 - 0.5 * (16 - 9)),
    ],
)
def test_what_pieces_share_counts_once(pieces: list[tuple[np.ndarray, np.ndarray]], made: str, volume: float):
    """Whether they cross, touch or nest."""
    found = solidify(together(pieces))
    assert found.made == made
    assert signed_volume(found.vertices, found.faces) == pytest.approx(volume)
    assert count_open_edges(found.faces) == 0


def test_vertices_on_two_sides_of_a_step_are_merged():
    ball = trimesh.creation.icosphere(3)
    rng = np.random.default_rng(0)
    soup = np.asarray(ball.triangles).reshape(-1, 3) + rng.uniform(-3e-7, 3e-7, (3 * len(ball.faces), 3))
    found = clean(RawMesh(soup, np.arange(len(soup)).reshape(-1, 3)))
    assert len(found.vertices) == len(ball.vertices)


def test_overlapping_pieces_are_united():
    shifted = np.add(BOX.vertices, [0.5, 0.3, 0.1])
    found = solidify(RawMesh(np.concatenate([BOX.vertices, shifted]), np.concatenate([BOX.faces, BOX.faces + 8])))
    assert found.made == "united"
    assert_solid(found, 12 - 0.5 * 1.7 * 2.9, 1e-9)


def test_small_holes_are_filled():
    faces = np.delete(BALL.faces, [0, 300, 700], axis=0)
    found = solidify(RawMesh(BALL.vertices, faces, np.zeros((len(faces), 3, 2)), np.zeros((4, 4, 3), np.uint8)))
    assert found.made == "holes-filled"
    assert found.uv.shape == (len(found.faces), 3, 2)
    assert_solid(found, BALL.volume, 0.01)


def test_an_open_bowl_gets_a_thickness_and_keeps_its_opening():
    bowl = RawMesh(BALL.vertices, BALL.faces[BALL.triangles_center[:, 2] < 0.3], colour=(1, 2, 3))
    found = solidify(bowl)
    assert (found.made, found.colour) == ("remeshed", (1, 2, 3))
    area = 2 * np.pi * 1.3
    assert_solid(found, area * 2 / 64 * 0.5, 0.25)  # half a cell thick
    assert np.linalg.norm(found.vertices, axis=1).min() > 0.9  # nothing spans the opening


def test_a_torn_soup_is_rebuilt_with_its_texture():
    rng = np.random.default_rng(0)
    corners = BALL.vertices[BALL.faces] + rng.normal(size=(len(BALL.faces), 1, 3)) * 0.005
    uv = np.repeat(np.where(BALL.triangles_center[:, 2:] > 0, 0.25, 0.75), 3, axis=1)[..., None] * [1, 1]
    texture = np.zeros((4, 4, 3), np.uint8)
    texture[2:, :2], texture[:2, 2:] = (255, 0, 0), (0, 0, 255)  # red above, blue below
    found = solidify(RawMesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3), uv, texture))
    assert found.made == "remeshed"
    assert_solid(found, BALL.volume, 0.02)
    assert_looks(found, lambda points: np.where(points[:, 2:] > 0, [255, 0, 0], [0, 0, 255]), 0.97)
    assert np.allclose(np.ptp(found.vertices, axis=0), 2, atol=0.05)


def assert_looks(found, expected, share):
    """Check the texture at face centres."""
    centre, uv = found.vertices[found.faces].mean(axis=1), found.uv.mean(axis=1)
    height, width = found.texture.shape[:2]
    seen = found.texture[((1 - uv[:, 1]) * height).astype(int), (uv[:, 0] * width).astype(int)]
    assert (np.abs(seen.astype(int) - expected(centre)).max(axis=1) < 40).mean() > share
    assert found.uv.min() >= 0
    assert found.uv.max() <= 1


def test_a_strip_with_one_side_has_no_orientation():
    count = 12
    faces = [[2 * k, 2 * k + 1, 2 * k + 2] for k in range(count - 1)] + [
        [2 * k + 1, 2 * k + 3, 2 * k + 2] for k in range(count - 1)
    ]
    end = 2 * count - 2
    assert mesh_solid.orient(np.array(faces)) is not None
    faces += [[end, end + 1, 1], [end + 1, 0, 1]]
    assert mesh_solid.orient(np.array(faces)) is None


# Scale and simplify


def test_to_metres_stands_on_the_ground():
    found = to_metres(RawMesh(BOX.vertices * 1000 + 77, BOX.faces), 0.3)
    assert np.allclose([found.vertices.min(axis=0), found.vertices.max(axis=0)], [[-0.05, -0.1, 0], [0.05, 0.1, 0.3]])
    upright = to_metres(raw(BOX), (0.1, 0.3, 0.2), up="y")
    assert np.allclose(np.ptp(upright.vertices, axis=0), [0.1, 0.3, 0.2])
    assert signed_volume(upright.vertices, upright.faces) == pytest.approx(0.006)
    near = to_metres(raw(BOX), (0.1, 0.204, 0.3))
    assert np.allclose(np.ptp(near.vertices, axis=0), [0.1, 0.204, 0.3])


def test_up_y_turns_the_top_up():
    cone = trimesh.creation.cone(0.5, 1)  # the tip along z; lay it along y
    cone.vertices = cone.vertices[:, [1, 2, 0]]
    found = to_metres(raw(cone), 0.2, up="y")
    assert np.count_nonzero(found.vertices[:, 2] > 0.19) == 1


@pytest.mark.parametrize(
    ("size", "up", "message"),
    [
        ((0.1, 0.1, 0.3), "z", r"it is|which is 0\.1 x 0\.2 x 0\.3 m"),
        (0, "z", "above 0"),
        (-1, "z", "above 0"),
        (np.nan, "z", "above 0"),
        (11, "z", "at most 10 m"),
        ((0.1, 0.2), "z", "one number or three"),
        (0.1, "x", "up axis 'x'"),
    ],
)
def test_to_metres_refuses(size, up, message):
    with pytest.raises(AssetError, match=message):
        to_metres(raw(BOX), size, up)


def test_simplify_keeps_the_solid_and_the_look():
    ball = trimesh.creation.icosphere(5)
    angle = np.stack(
        [np.arctan2(ball.vertices[:, 1], ball.vertices[:, 0]) / 6.2832 + 0.5, np.arccos(ball.vertices[:, 2]) / np.pi], 1
    )
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:32], texture[32:] = (255, 0, 0), (0, 255, 0)  # v runs up, so red where arccos z is large: below
    found = simplify(raw(ball, uv=angle[ball.faces], texture=texture), 1500)
    assert (len(found.faces) <= 1500, found.note) == (True, "")
    assert_solid(found, ball.volume, 0.03)
    assert_looks(found, lambda points: np.where(points[:, 2:] < 0, [255, 0, 0], [0, 255, 0]), 0.98)
    assert simplify(found, 1500) is found


def test_simplify_keeps_what_it_would_destroy():
    """A sponge of thin bars has no version with so few faces."""
    bars = [
        manifold3d.Manifold.cube((1, 0.02, 0.02)).translate((0, y, z))
        for y in np.arange(0, 1, 0.1)
        for z in (0, 0.1, 0.2)
    ]
    mesh = manifold3d.Manifold.batch_boolean(bars, manifold3d.OpType.Add).to_mesh64()
    comb = RawMesh(np.array(mesh.vert_properties[:, :3]), np.array(mesh.tri_verts, np.int64))
    found = simplify(comb, 50)
    assert found.faces is comb.faces
    assert "kept 360" in found.note


# Files


def png(width, height):
    """Return a PNG that declares a size and holds next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def glb(tree, binary=b""):
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = (
        struct.pack("<II", len(text), 0x4E4F534A)
        + text
        + (struct.pack("<II", len(binary), 0x004E4942) + binary if binary else b"")
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def parse(path):
    """Parse without a child: faster, and the same code."""
    return mesh_parse.parse({"path": np.array(str(path))})


@pytest.mark.parametrize("suffix", ["glb", "stl", "ply", "obj"])
def test_each_format_reads_back(suffix, tmp_path):
    BOX.export(tmp_path / f"box.{suffix}")
    found = clean(RawMesh(*(parse(tmp_path / f"box.{suffix}")[key] for key in ("vertices", "faces"))))
    assert len(found.vertices) == 8
    assert_solid(found, 6, 1e-6)


def test_read_is_the_same_through_a_child(tmp_path):
    path = tmp_path / "ball.obj"
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8))
    visual = trimesh.visual.TextureVisuals(uv=BALL.vertices[:, :2] / 2 + 0.5, image=picture)
    trimesh.Trimesh(BALL.vertices, BALL.faces, visual=visual, process=False).export(path)
    found, direct = read(path), parse(path)
    assert np.array_equal(found.vertices, direct["vertices"])
    assert np.allclose(found.texture, np.asarray(picture))
    assert found.uv.shape == (len(found.faces), 3, 2)
    assert_solid(solidify(found), BALL.volume, 1e-6)


def test_a_scene_is_merged_under_one_atlas(tmp_path):
    def part(mesh, at, **look):
        copy = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        copy.visual = trimesh.visual.TextureVisuals(
            uv=np.full((len(mesh.vertices), 2), 0.5), material=trimesh.visual.material.PBRMaterial(**look)
        )
        scene.add_geometry(copy, transform=trimesh.transformations.translation_matrix(at))

    scene = trimesh.Scene()
    picture = Image.new("RGB", (32, 16), (10, 200, 30))
    part(BALL, (0, 0, 0), baseColorTexture=picture)
    part(BALL, (5, 0, 0), baseColorTexture=Image.new("RGB", (8, 8), (200, 10, 30)))
    part(BALL, (10, 0, 0), baseColorFactor=[0, 0, 255, 255])
    scene.export(tmp_path / "three.glb", extension_webp=True)
    found = parse(tmp_path / "three.glb")
    assert np.allclose(found["vertices"].max(axis=0), [11, 1, 1], atol=0.01)
    merged = RawMesh(found["vertices"], found["faces"], found["uv"], found["texture"])
    colours = np.array([(10, 200, 30), (200, 10, 30), (0, 0, 255)])
    assert_looks(merged, lambda points: colours[np.rint(points[:, 0] / 5).astype(int)], 0.999)


def test_face_colours_become_a_small_texture(tmp_path):
    box = BOX.copy()
    box.visual.face_colors = np.where(BOX.triangles_center[:, 2:] > 0, [255, 0, 0, 255], [0, 0, 255, 255])
    box.export(tmp_path / "box.ply")
    found = parse(tmp_path / "box.ply")
    assert_looks(
        RawMesh(found["vertices"], found["faces"], found["uv"], found["texture"]),
        lambda p: np.where(p[:, 2:] > 0, [255, 0, 0], [0, 0, 255]),
        0.999,
    )
    assert found["texture"].size < 100


def test_a_mirrored_instance_is_not_inside_out(tmp_path):
    scene = trimesh.Scene()
    scene.add_geometry(BOX, transform=np.diag([-1.0, 1, 1, 1]))
    scene.export(tmp_path / "mirror.glb")
    found = parse(tmp_path / "mirror.glb")
    assert signed_volume(found["vertices"], found["faces"]) == pytest.approx(6)


ACCESSOR = {"count": 3, "componentType": 5126, "type": "VEC3"}
SCENE = {
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "nodes": [{"mesh": 0}],
    "scenes": [{"nodes": [0]}],
}
OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
ELSEWHERE = {
    "images": [{"uri": "../secret.png"}],
    "textures": [{"source": 0}],
    "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
}
PICTURE = {"images": [{"uri": "data:image/png;base64," + base64.b64encode(png(50_000, 50_000)).decode()}]}
TRIANGLE = {
    **SCENE,
    "asset": {"version": "2.0"},
    "accessors": [ACCESSOR | {"bufferView": 0}],
    "bufferViews": [{"buffer": 0, "byteLength": 36}],
    "buffers": [{"byteLength": 36, "uri": "data:;base64," + base64.b64encode(bytes(36)).decode()}],
}
BAD = {
    "stl declares what it lacks": (
        "a.stl",
        bytes(80) + struct.pack("<I", 10_000_000) + bytes(100),
        "declares 10,000,000 faces, 500,000,084 bytes, but has 184",
    ),
    "stl truncated": ("a.stl", bytes(80) + struct.pack("<I", 1000) + bytes(100), "declares 1,000 faces, 50,084 bytes"),
    "stl of nothing": ("a.stl", b"hello", "without a line 'facet': not an STL"),
    "ply bomb": (
        "a.ply",
        b"ply\nformat ascii 1.0\nelement vertex 3\nelement face 10000000\nend_header\n",
        "10,000,000 faces",
    ),
    "ply list bomb": ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 900\nend_header\n", "declares 900 elements"),
    "ply no header": ("a.ply", b"ply" + bytes(1000), "no PLY header"),
    "obj index": ("a.obj", OBJ + b"f 1 2 99\n", "is no OBJ: numbers or names in it do not fit. Export it again"),
    "obj zero": ("a.obj", OBJ + b"f 0 2 3\n", "counts from 1"),
    "obj points": ("a.obj", b"v 0 0 0\n" * 5, "no triangles|empty|geometry"),
    "obj leaves its folder": (
        "a.obj",
        b"mtllib ../../etc/passwd\n" + OBJ,
        r"'\.\./\.\./etc/passwd'; only files in its own",
    ),
    "obj absolute": ("a.obj", b"mtllib /etc/passwd\n" + OBJ, "'/etc/passwd'; only files in its own"),
    "glb of nothing": ("a.glb", b"glTF" + bytes(4), "not a GLB"),
    "glb header": ("a.glb", struct.pack("<4sIIII", b"glTF", 2, 20, 10**9, 0x4E4F534A), "does not fit 20 bytes"),
    "glb no json": (
        "a.glb",
        struct.pack("<4sIIII", b"glTF", 2, 24, 4, 0x4E4F534A) + b"}{}{",
        "cannot be read at character 0. Download or export it again",
    ),
    "glb wrong json": (
        "a.glb",
        glb({"accessors": 5}),
        "not glTF: something in it is missing or of another kind. Export it again",
    ),
    "glb bomb": (
        "a.glb",
        glb({**SCENE, "accessors": [ACCESSOR | {"count": 10**9}]}),
        "1,000,000,000 elements in accessors",
    ),
    "glb many": ("a.glb", glb({"accessors": [ACCESSOR | {"count": 6_000_000}] * 20}), "elements in all accessors"),
    "glb short": (
        "a.glb",
        glb(
            {
                **SCENE,
                "accessors": [ACCESSOR | {"count": 999, "bufferView": 0}],
                "bufferViews": [{"buffer": 0, "byteLength": 36}],
                "buffers": [{"byteLength": 36}],
            },
            bytes(36),
        ),
        "declares 999 elements in 36 bytes",
    ),
    "glb repeats": (
        "a.glb",
        glb({**SCENE, "accessors": [ACCESSOR | {"count": 3_000_000}], "nodes": [{"mesh": 0}] * 1000}),
        "3,000,000,000 face corners",
    ),
    "glb graph": (
        "a.glb",
        glb({**SCENE, "accessors": [], "nodes": [{"children": [1, 1]}, {"children": [0]}]}),
        "two parents",
    ),
    "glb draco": ("a.glb", glb({"extensionsRequired": ["KHR_draco_mesh_compression"]}), "without compression"),
    "glb picture": ("a.glb", glb(PICTURE), "too many pixels; allowed are 64,000,000"),
    "gltf picture elsewhere": (
        "a.gltf",
        json.dumps({**TRIANGLE, **ELSEWHERE}).encode(),
        r"'\.\./secret\.png'; only files",
    ),
    "gltf buffer elsewhere": (
        "a.gltf",
        json.dumps({**TRIANGLE, "buffers": [{"byteLength": 36, "uri": "file:///etc/passwd"}]}).encode(),
        "'file:///etc/passwd'; only files",
    ),
    "gltf deep": ("a.gltf", b"[" * 100_000, "cannot be read. Download or export it again"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_name(case, tmp_path):
    name, data, message = BAD[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises((ValueError, IndexError), match=message):
        parse(tmp_path / name)


def test_a_picture_bomb_beside_an_obj(tmp_path):
    (tmp_path / "a.obj").write_bytes(b"mtllib a.mtl\nusemtl m\n" + OBJ)
    (tmp_path / "a.mtl").write_bytes(b"newmtl m\nmap_Kd big.png\n")
    (tmp_path / "big.png").write_bytes(png(50_000, 50_000))
    with pytest.raises(ValueError, match=r"'big\.png' has too many pixels"):
        parse(tmp_path / "a.obj")
    (tmp_path / "big.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")  # would start another program
    with pytest.raises(ValueError, match=r"'big\.png' is no readable image; allowed are PNG"):
        parse(tmp_path / "a.obj")
    (tmp_path / "big.png").unlink()
    assert "texture" not in parse(tmp_path / "a.obj")
    (tmp_path / "big.png").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="a link out of its folder"):
        parse(tmp_path / "a.obj")


def test_comments_may_be_in_any_encoding(tmp_path):
    (tmp_path / "a.obj").write_bytes("# Möbel\n".encode("latin-1") + OBJ)
    assert len(parse(tmp_path / "a.obj")["faces"]) == 4


def test_read_refuses_before_it_parses(tmp_path):
    cases = {
        "none.stl": "No such file",
        "folder.stl": "folder or device",
        "link.stl": "is a link",
        "a.fbx": "suffix '.fbx'",
    }
    cases |= {"empty.stl": "0 bytes", "huge.stl": "268435457 bytes"}
    (tmp_path / "folder.stl").mkdir()
    (tmp_path / "link.stl").symlink_to("/dev/zero")
    (tmp_path / "a.fbx").write_bytes(b"x")
    (tmp_path / "empty.stl").touch()
    with (tmp_path / "huge.stl").open("wb") as file:
        file.truncate((256 << 20) + 1)  # sparse
    for name, message in cases.items():
        with pytest.raises(AssetError, match=message):
            read(tmp_path / name)


def test_read_outlives_its_parser(tmp_path):
    path = tmp_path / "a.obj"
    path.write_bytes(OBJ + b"f 1 2 99\n")
    with pytest.raises(AssetError, match=r"a\.obj': its content is no OBJ"):
        read(path)
    path.write_bytes(b"v 0 0 0\n" * 10 + b"f 0 1 2\n")
    with pytest.raises(AssetError, match=r"a\.obj': a face has vertex index 0"):
        read(path)
    with pytest.raises(AssetError, match=r"the parser ran past 0\.01 s"):
        read(path, seconds=0.01)


ORDINARY = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    NameError,
    ArithmeticError,
    struct.error,
)


def test_random_damage_never_escapes(tmp_path):
    """Whatever byte is wrong, parsing ends with a result or an exception, not with a crash or a lack of memory."""
    rng, kinds = np.random.default_rng(0), ("glb", "ply", "stl", "obj")
    for kind in kinds:
        buffer = BOX.export(file_type=kind)
        data = np.frombuffer(buffer.encode() if isinstance(buffer, str) else buffer, np.uint8)
        for _ in range(25):
            broken = data.copy()
            broken[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
            path = tmp_path / f"a.{kind}"
            path.write_bytes(broken.tobytes())
            try:
                found = parse(path)
            except ORDINARY:
                continue
            assert found["faces"].max() < len(found["vertices"])


class TestStanding:
    """As little is cut off below as it takes to stand."""

    @staticmethod
    def ball(squash=1.0):
        solid = manifold3d.Manifold.sphere(0.03, 64).scale([1, 1, squash]).to_mesh64()
        return np.array(solid.vert_properties[:, :3]), np.array(solid.tri_verts, np.int64)

    def test_a_box_stays_as_it_is(self):
        box = trimesh.creation.box((0.1, 0.05, 0.04))
        vertices, faces = np.asarray(box.vertices), np.asarray(box.faces)
        same, also = standing(vertices, faces)
        assert same is vertices
        assert also is faces

    @pytest.mark.parametrize("squash", [1.0, 0.6])
    def test_a_ball_is_cut_until_it_stands(self, squash):
        vertices, faces = self.ball(squash)
        cut, left = standing(vertices, faces)
        assert count_open_edges(left) == 0
        gone = 1 - np.ptp(cut[:, 2]) / np.ptp(vertices[:, 2])
        assert 0.005 < gone <= 0.08 + 1e-6
        flat = cut[cut[:, 2] <= cut[:, 2].min() + 1e-9, :2]
        com = mass_properties(cut, left, 1000.0).com
        assert np.hypot(*flat.T).min() >= np.tan(np.radians(10)) * (com[2] - cut[:, 2].min()) * 0.95

    def test_what_never_stands_is_given_up(self):
        vertices, faces = self.ball()
        leaning = vertices + vertices[:, [2]] * [3.0, 0, 0]
        cut, left = standing(leaning, faces)
        assert count_open_edges(left) == 0
        assert np.ptp(cut[:, 2]) >= 0.9 * np.ptp(leaning[:, 2])


class TestTornSolids:
    """What generators make: faces that are missing here and there, walls that are double, holes through both."""

    @pytest.mark.parametrize("name", ["bowl", "plate", "scissors", "duck"])
    def test_missing_faces_are_filled(self, name):
        true = torn.solid_of(name, 6000)
        made = solidify(torn.removed(*true, 0.02, np.random.default_rng(0)))
        assert made.made == "holes-filled"
        assert count_open_edges(made.faces) == 0
        assert torn.alike(true, (made.vertices, made.faces)) > 0.99

    @pytest.mark.parametrize("through", [False, True])
    @pytest.mark.parametrize(("name", "least"), [("donut", 0.95), ("bowl", 0.9), ("duck", 0.95)])
    def test_a_double_wall_is_filled(self, name, least, through):
        true = torn.solid_of(name, 6000)
        made = solidify(torn.skin(*true, np.random.default_rng(0), through=through))
        assert count_open_edges(made.faces) == 0
        assert torn.alike(true, (made.vertices, made.faces)) > least

    @pytest.mark.parametrize("thickness", [0.0003, 0.0005, 0.001, 0.002])
    def test_a_thin_sheet_stays_what_it_is(self, thickness):
        box = trimesh.creation.box((0.2, 0.15, thickness))
        made = solidify(raw(box))
        assert made.made == "as-is"
        assert signed_volume(made.vertices, made.faces) == pytest.approx(0.2 * 0.15 * thickness)


def test_pieces_are_solid_or_void_by_what_encloses_them():
    """Boxes around pieces are not enough: a ball in a bowl is no void, however either is turned."""
    bowl = (manifold3d.Manifold.sphere(0.05, 32) - manifold3d.Manifold.sphere(0.044, 32)).trim_by_plane([0, 0, -1], 0)
    ball = manifold3d.Manifold.sphere(0.01, 16).translate([0, 0, -0.03])
    shell = manifold3d.Manifold.sphere(0.05, 32) - manifold3d.Manifold.sphere(0.03, 32)
    (a, outer), (b, inner) = mesh_solid.arrays(bowl), mesh_solid.arrays(ball)
    true = bowl.volume() + ball.volume()
    for outer_turn in (1, -1):
        for inner_turn in (1, -1):
            faces = np.concatenate([outer[:, ::outer_turn], inner[:, ::inner_turn] + len(a)])
            made = solidify(RawMesh(np.concatenate([a, b]), faces))
            assert signed_volume(made.vertices, made.faces) == pytest.approx(true, rel=1e-9)
    vertices, faces = mesh_solid.arrays(shell)
    made = solidify(RawMesh(vertices, faces[:, ::-1]))
    assert signed_volume(made.vertices, made.faces) == pytest.approx(shell.volume(), rel=1e-9)


@pytest.mark.parametrize("share", [0.02, 0.1])
@pytest.mark.parametrize("segments", [24, 64])
def test_torn_meshes_of_few_faces_become_full_again(segments, share):
    """Missing faces that touch at a corner are holes of their own."""
    ball = manifold3d.Manifold.sphere(0.05, segments)
    vertices, faces = mesh_solid.arrays(ball)
    torn = faces[np.random.default_rng(0).uniform(size=len(faces)) >= share]
    made = solidify(RawMesh(vertices, torn))
    assert made.made == "holes-filled"
    assert signed_volume(made.vertices, made.faces) == pytest.approx(ball.volume(), rel=0.02)


def test_openings_stay_open():
    """A vase of five sides: its rim is an opening, not where faces are missing."""
    vase = np.array([[x, y, z] for z in (0, 0.2) for x, y in ((0, 0), (0.1, 0), (0.1, 0.1), (0, 0.1))], float)
    sides = [q for i in range(4) for q in ([i, (i + 1) % 4, (i + 1) % 4 + 4], [i, (i + 1) % 4 + 4, i + 4])]
    made = solidify(RawMesh(vase, np.array([[0, 2, 1], [0, 3, 2], *sides])))
    assert signed_volume(made.vertices, made.faces) < 0.2 * 0.002


def test_crumbs_around_a_solid_are_dropped() -> None:
    """Where there are thousands; the solid's size is its own, and the note says so."""
    rng = np.random.default_rng(0)
    grains = [box(0.01, *rng.uniform(-3, 3, 3)) for _ in range(2_500)]
    found = solidify(together([box(1), *grains]))
    assert signed_volume(found.vertices, found.faces) == pytest.approx(1)
    assert np.ptp(found.vertices, axis=0) == pytest.approx([1, 1, 1])
    assert "crumbs around it were dropped" in found.note

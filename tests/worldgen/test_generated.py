"""What a model made becomes an object that stands, in metres, with a closed body, whatever state it came in."""

from __future__ import annotations

from pathlib import Path

import manifold3d
import numpy as np
import pytest
import trimesh

from worldgen import assets, mesh
from worldgen.assets import Asset
from worldgen.errors import AssetError
from worldgen.generated import shape_of
from worldgen.mesh_read import RawMesh
from worldgen.shapes import Provenance, Shape
from worldgen.spec import ObjectSpec

ORIGIN = Provenance(backend="http", licence="MIT", may_train=True)


def item(size: tuple[float, float, float] = (0.1, 0.06, 0.08)) -> ObjectSpec:
    return ObjectSpec(name="a", category="mug", colour="red", material="ceramic", size=size, role="target")


def raw(solid: trimesh.Trimesh | manifold3d.Manifold) -> RawMesh:
    if isinstance(solid, manifold3d.Manifold):
        made = solid.to_mesh64()
        return RawMesh(np.array(made.vert_properties[:, :3]), np.array(made.tri_verts, np.int64))
    return RawMesh(np.asarray(solid.vertices, float), np.asarray(solid.faces, np.int64))


def mug() -> manifold3d.Manifold:
    """Return a cup with an ear along x, 1 high, without units."""
    cup = manifold3d.Manifold.cylinder(1.0, 0.4, 0.4, 48) - manifold3d.Manifold.cylinder(1.0, 0.36, 0.36, 48).translate(
        [0, 0, 0.08]
    )
    ring = (
        manifold3d.CrossSection.circle(0.05, 16)
        .translate([0.25, 0])
        .revolve(32)
        .rotate([90, 0, 0])
        .translate([0.45, 0, 0.5])
    )
    return cup + (ring - manifold3d.Manifold.cylinder(1.0, 0.38, 0.38, 48).translate([0, 0, 0.08]))


def body(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    found = shape.parts[0].body
    assert found is not None
    return found


@pytest.mark.parametrize("up", ["y", "z"])
@pytest.mark.parametrize("yaw", [0, 35, 90, 160])
def test_it_stands_in_metres_along_the_longer_side(up: str, yaw: float) -> None:
    solid = mug().rotate([0, 0, yaw]).scale([7, 7, 7]).translate([3, -2, 5])
    made = shape_of(raw(solid.rotate([-90, 0, 0]) if up == "y" else solid), item(), ORIGIN, "y" if up == "y" else "z")
    points, faces = body(made)
    x, y, z = np.ptp(points, axis=0)
    assert x > y
    assert (np.ptp(points, axis=0) <= np.array([0.1, 0.06, 0.08]) * 1.001).all()
    assert max(x / 0.1, y / 0.06, z / 0.08) == pytest.approx(1, abs=0.01), "as large as fits"
    assert points[:, 2].min() == pytest.approx(0, abs=1e-6)
    assert (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2 == pytest.approx([0, 0], abs=1e-4)
    assert mesh.count_open_edges(faces) == 0
    assert mesh.signed_volume(points, faces) > 0


@pytest.mark.parametrize("lean", [8, 20])
def test_what_leans_is_set_upright(lean: float) -> None:
    made = shape_of(raw(mug().rotate([0, lean, 0])), item(), ORIGIN, "z")
    points, _ = body(made)
    base = points[points[:, 2] < 1e-5, :2]
    assert np.ptp(base, axis=0).min() > 0.02, "it stands on its base, not on an edge"


def test_small_pieces_around_it_are_dropped() -> None:
    dust = [manifold3d.Manifold.sphere(0.01, 8).translate([x, 1.5, 1.2]) for x in (-1.0, 0.0, 1.0)]
    made = shape_of(raw(manifold3d.Manifold.compose([mug(), *dust])), item(), ORIGIN, "z")
    alone = shape_of(raw(mug()), item(), ORIGIN, "z")
    assert np.ptp(body(made)[0], axis=0) == pytest.approx(np.ptp(body(alone)[0], axis=0), rel=1e-3)
    assert len(made.parts[0].faces) == len(alone.parts[0].faces)


def test_the_mesh_that_is_seen_stays_as_it_was_made() -> None:
    """Only what is weighed and split is closed."""
    whole = raw(mug().refine_to_length(0.17))
    torn = RawMesh(whole.vertices, np.delete(whole.faces, [100, 1500, 3000], axis=0))
    made = shape_of(torn, item(), ORIGIN, "z")
    assert mesh.count_open_edges(made.parts[0].faces) > 0
    points, faces = body(made)
    assert mesh.count_open_edges(faces) == 0
    true = body(shape_of(whole, item(), ORIGIN, "z"))
    assert mesh.signed_volume(points, faces) == pytest.approx(mesh.signed_volume(*true), rel=0.02)


def test_something_else_is_refused() -> None:
    rod = trimesh.creation.cylinder(0.01, 1.0)
    with pytest.raises(
        AssetError, match=r"a mug of 100 x 60 x 80 mm was asked for, what was made is .* something else"
    ):
        shape_of(raw(rod), item(), ORIGIN, "z")


def test_it_becomes_an_asset_of_true_mass(tmp_path: Path) -> None:
    folder = tmp_path / "asset"
    folder.mkdir()
    made = shape_of(raw(trimesh.creation.box((2, 1, 1))), item((0.08, 0.04, 0.04)), ORIGIN, "z")
    asset = assets.finish(made, item((0.08, 0.04, 0.04)), "key", folder)
    assert asset.mass == pytest.approx(0.08 * 0.04 * 0.04 * 2400, rel=0.01)
    assert asset.fidelity is not None
    assert asset.fidelity.iou > 0.98
    assert Asset.load(folder) == asset

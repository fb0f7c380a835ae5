"""Objects made from one picture are closed, stand, and are near the true ones in volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.silhouettes import overlap, photograph, spec
from worldgen import assets, mesh, store
from worldgen.backends import mesh_procedural, mesh_silhouette
from worldgen.errors import AssetError
from worldgen.photos import Cutout, cut
from worldgen.shapes import Provenance, Shape
from worldgen.spec import ObjectSpec

ORIGIN = Provenance(backend="silhouette", licence="CC0-1.0", may_train=True)


def made_of(mask: np.ndarray, category: str = "toy", size: tuple[float, float, float] = (0.06, 0.06, 0.06)) -> Shape:
    """Make an object of an outline alone."""
    picture = np.full((*mask.shape, 3), 90, np.uint8)
    item = ObjectSpec(name="a", category=category, colour="grey", material="wood", size=size, role="target")
    return mesh_silhouette.make(item, Cutout(picture, np.asarray(mask, bool)), ORIGIN)


def grid(side: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return x to the right and y up, from -1 to 1, of a picture's pixels."""
    y, x = np.mgrid[1 : -1 : side * 1j, -1 : 1 : side * 1j]
    return x, y


def volume(shape: Shape) -> float:
    return mesh.signed_volume(shape.parts[0].vertices, shape.parts[0].faces)


def test_a_disc_becomes_a_ball() -> None:
    x, y = grid()
    ball = made_of(x**2 + y**2 < 0.81)
    assert ball.notes == ("turned",)
    assert volume(ball) == pytest.approx(4 / 3 * np.pi * 0.03**3, rel=0.06)


def test_a_square_becomes_a_box_where_it_is_not_as_deep() -> None:
    x, y = grid()
    box = made_of((abs(x) < 0.9) & (abs(y) < 0.6), size=(0.09, 0.03, 0.06))
    assert box.notes == ("extruded",)
    assert volume(box) == pytest.approx(0.09 * 0.03 * 0.06, rel=0.04)
    assert np.ptp(box.parts[0].vertices, axis=0) == pytest.approx([0.09, 0.03, 0.06], rel=0.03)


def test_an_ellipse_becomes_an_ellipsoid() -> None:
    x, y = grid()
    egg = made_of(x**2 / 0.81 + y**2 / 0.25 < 1, size=(0.09, 0.04, 0.05))
    assert egg.notes == ("inflated",)
    assert volume(egg) == pytest.approx(4 / 3 * np.pi * 0.045 * 0.02 * 0.025, rel=0.08)


def test_a_ring_keeps_its_hole() -> None:
    x, y = grid()
    radius = np.hypot(x, y)
    ring = made_of((radius < 0.9) & (radius > 0.5), size=(0.08, 0.08, 0.02))
    part = ring.parts[0]
    euler = len(part.vertices) - len(part.faces) / 2
    assert euler == 0, "a torus: vertices, edges and faces cancel"
    assert volume(ring) == pytest.approx(2 * np.pi**2 * 0.7 / 0.9 * 0.04 * 0.2 / 0.9 * 0.04 * 0.01, rel=0.12)


@pytest.mark.parametrize(
    ("category", "least"),
    [
        ("banana", 0.85), ("apple", 0.8), ("lemon", 0.85), ("can", 0.75), ("bottle", 0.8), ("star", 0.9), ("book", 0.9), ("duck", 0.75),
        ("donut", 0.8), ("mug", 0.5), ("bowl", 0.4), ("shoebox", 0.5), ("bell", 0.7), ("box", 0.9),
    ],
)  # fmt: skip
def test_photographed_objects_come_out_alike(tmp_path: Path, category: str, least: float) -> None:
    entries, item = store.Store(tmp_path), spec(category, 41)
    asset = assets.make(item, entries)
    made = mesh_silhouette.make(item, cut(photograph(asset, entries.root / asset.key)), ORIGIN)
    truth = mesh_procedural.make(item)
    assert overlap(truth, made) >= least
    weights = [mesh.mass_properties(*shape.parts[0].closed, 1.0).mass for shape in (made, truth)]
    assert 0.6 < weights[0] / weights[1] < 1.4, "a can is no lump of steel, a box no block of cardboard"
    for part in made.parts:
        assert mesh.count_open_edges(part.faces) == 0
        assert volume(made) > 0
    points = made.parts[0].vertices
    assert points[:, 2].min() == pytest.approx(0, abs=1e-5)
    assert (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2 == pytest.approx([0, 0], abs=2e-4)
    assert (np.ptp(points, axis=0) <= np.array(item.size) * 1.01).all(), "no larger than asked for"
    assert {"top", "bottom", "grasp"} <= set(made.sites)
    assert "inside" in made.sites or made.notes != ("fitted",) or category not in ("mug", "bowl", "shoebox")


def test_the_picture_is_painted_on() -> None:
    x, y = grid()
    mask = np.asarray((abs(x) < 0.9) & (abs(y) < 0.6))
    picture = np.zeros((*mask.shape, 3), np.uint8)
    picture[..., 0] = np.where(x < 0, 250, 10)  # left red, right black
    item = ObjectSpec(name="a", category="toy", colour="red", material="wood", size=(0.09, 0.03, 0.06), role="target")
    made = mesh_silhouette.make(item, Cutout(picture, mask), ORIGIN)
    part, (height, width, _) = made.parts[0], made.texture.shape
    corners, uv = part.vertices[part.faces].reshape(-1, 3), part.uv.reshape(-1, 2)
    seen = made.texture[((1 - uv[:, 1]) * (height - 1)).astype(int), (uv[:, 0] * (width - 1)).astype(int), 0]
    assert (seen[corners[:, 0] < -0.004] > 200).all()
    assert (seen[corners[:, 0] > 0.004] < 50).all()


def test_nothing_to_speak_of_is_refused() -> None:
    mask = np.zeros((64, 64), bool)
    mask[30:32, 30:32] = True
    with pytest.raises(AssetError, match="encloses nothing"):
        made_of(mask, size=(0.06, 0.01, 0.06))


def test_the_same_picture_gives_the_same_object() -> None:
    x, y = grid()
    one, two = (made_of((abs(x) + y**2 < 0.8), size=(0.06, 0.03, 0.06)) for _ in range(2))
    assert np.array_equal(one.parts[0].vertices, two.parts[0].vertices)
    assert np.array_equal(one.parts[0].uv, two.parts[0].uv)

"""Cameras: points are seen where pictures show them, and a place in a picture leads back to the table."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from worldgen.camera import Camera
from worldgen.library import Scene, SceneLibrary
from worldgen.render import at_home
from worldgen.sim.optics import CAMERA, on_table, pose, seen_at


@pytest.fixture(scope="module")
def scene(library: SceneLibrary) -> Scene:
    return next(scene for scene in library.scenes() if scene.record.family == "stack")


def cameras(count: int) -> NDArray[np.float64]:
    """Return cameras around a table, all looking at it."""
    rng = np.random.default_rng(3)
    eye = rng.uniform([0.5, -0.3, 0.4], [0.9, 0.3, 0.6], (count, 3))
    ahead = np.array([0.2, 0, 0]) + rng.uniform(-0.05, 0.05, (count, 3)) - eye
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    found = np.concatenate([eye, right, np.cross(right, ahead), rng.uniform(0.6, 0.75, (count, 1))], axis=1)
    assert found.shape == (count, CAMERA)
    return found


def test_a_point_is_seen_where_the_picture_shows_it(scene: Scene) -> None:
    """Balls over the table: the middle of the pixels that one changes is what `seen_at` says of it."""
    source = scene.source(trusted=True)
    for index in range(3):
        source.worldbody.add_geom(
            name=f"dot{index}", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.012, 0, 0],
            pos=[0.22 + 0.08 * index, 0.1 * index - 0.1, 0.2], rgba=[1, 0, 1, 0], contype=0, conaffinity=0,
        )  # fmt: skip
    model = source.compile()
    data = at_home(model)
    camera = model.camera("policy").id
    found = 0
    with Camera(model) as lens:
        before = lens.picture(data, "policy", 240, 240).astype(int)
        for index in range(3):
            geom = model.geom(f"dot{index}").id
            model.geom_rgba[geom, 3] = 1
            changed = np.abs(lens.picture(data, "policy", 240, 240) - before).sum(axis=2) > 30
            model.geom_rgba[geom, 3] = 0
            rows, columns = np.nonzero(changed)
            if len(rows) > 20:
                said = 240 * seen_at(pose(model, data, camera)[None], data.geom_xpos[geom])[0, 0]
                assert said == pytest.approx([columns.mean() + 0.5, rows.mean() + 0.5], abs=1.5)
                found += 1
    assert found >= 2


def test_the_middle_of_the_picture_is_what_the_camera_looks_at(scene: Scene) -> None:
    model = scene.source(trusted=True).compile()
    data = at_home(model)
    camera = model.camera("policy").id
    ahead = data.cam_xpos[camera] - 0.6 * data.cam_xmat[camera].reshape(3, 3)[:, 2]
    assert seen_at(pose(model, data, camera)[None], ahead)[0, 0] == pytest.approx([0.5, 0.5])


def test_a_place_leads_back_to_the_table() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform([0.05, -0.15], [0.35, 0.15], (40, 6, 2)), np.zeros((40, 6, 1))], axis=2)
    seen = seen_at(cameras(40), points)
    assert np.ptp(seen) > 0.3
    assert on_table(cameras(40), seen) == pytest.approx(points[..., :2], abs=1e-9)


def test_a_ray_over_the_horizon_leads_nowhere_far() -> None:
    level = np.array([[0.5, 0, 0.3, 0, 1, 0, 0, 0, 1, 0.8]])
    assert np.abs(on_table(level, [[0.5, 0.1]])).max() < 2

"""A user's panorama: its faces end up where they belong."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
from PIL import Image

from worldgen import panorama, pipeline, store
from worldgen.camera import Camera
from worldgen.errors import SceneError

COLOURS = {
    "R": (255, 0, 0),
    "L": (0, 255, 0),
    "U": (0, 0, 255),
    "D": (255, 255, 0),
    "F": (255, 0, 255),
    "B": (0, 255, 255),
}
VIEWS = {"R": (0, 0), "L": (180, 0), "U": (0, 89), "D": (0, -89), "F": (-90, 0), "B": (90, 0)}
"""Face → azimuth and elevation to look at [deg], about z from x."""


def column(edge: int = 32) -> np.ndarray:
    return np.concatenate([np.full((edge, edge, 3), COLOURS[name], np.uint8) for name in panorama.LAYOUT])


def equirectangular() -> np.ndarray:
    """Paint each direction in the colour of the face it falls on."""
    height, width = 128, 256
    azimuth = np.pi - (np.arange(width) + 0.5) / width * 2 * np.pi
    elevation = np.pi / 2 - (np.arange(height) + 0.5) / height * np.pi
    c = np.cos(elevation)[:, None]
    ray = np.stack(
        [c * np.cos(azimuth), c * np.sin(azimuth), np.broadcast_to(np.sin(elevation)[:, None], (height, width))], -1
    )
    middles = np.array([panorama.FACES[name][0] for name in panorama.LAYOUT], float)
    colours = np.array([COLOURS[name] for name in panorama.LAYOUT], np.uint8)
    return colours[np.argmax(ray @ middles.T, axis=-1)]


@pytest.mark.parametrize("picture", [column(), equirectangular()], ids=["column", "equirectangular"])
def test_each_face_is_seen_in_its_direction(picture: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "room.png"
    Image.fromarray(picture).save(file)
    entries = store.Store(tmp_path / "assets")
    panorama.add(file, entries)
    spec = mujoco.MjSpec()
    spec.texturedir = str(entries.folder(panorama.key_of(file)))
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        file="texture.png",
        gridsize=panorama.GRID,
        gridlayout=panorama.GRID_LAYOUT,
    )
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.001, 0, 0])
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with Camera(model) as camera:
        for name, (azimuth, elevation) in VIEWS.items():
            free = mujoco.MjvCamera()
            free.distance, free.azimuth, free.elevation = 0.5, azimuth, elevation
            assert np.abs(camera.picture(data, free, 64, 64)[8, 8].astype(int) - COLOURS[name]).max() <= 2, name


@pytest.mark.parametrize("shape", [(10, 10), (30, 100), (1, 1)])
def test_a_picture_of_another_shape_is_refused(shape: tuple[int, int], tmp_path: Path) -> None:
    file = tmp_path / "room.png"
    Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(file)
    with pytest.raises(SceneError, match="twice as wide as high"):
        panorama.key_of(file)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "room.png").write_text("no picture")
    with pytest.raises(SceneError, match="cannot be read"):
        panorama.key_of(tmp_path / "room.png")


def test_a_library_with_a_panorama_loads_from_disk(tmp_path: Path) -> None:
    file = tmp_path / "room.png"
    Image.fromarray(column()).save(file)
    settings = pipeline.Settings(("lift the red mug",), count=1, panorama=str(file))
    assert pipeline.make(settings, tmp_path / "library", cache_root=tmp_path / "store").complete
    assert pipeline.make(settings, tmp_path / "again", cache_root=tmp_path / "store").built == 0
    mujoco.MjModel.from_xml_path(str(tmp_path / "again/scenes/0000/scene.xml"))

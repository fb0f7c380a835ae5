"""Exports, read back: a zip by plain MuJoCo elsewhere, URDF with the asset's own numbers."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from worldgen import export, urdf
from worldgen.errors import SceneError, StoreError
from worldgen.library import Scene, open_scene

from . import handmade


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return handmade.library(tmp_path_factory.mktemp("export") / "library", scenes=2).scene("0001")


@pytest.fixture
def copy(scene: Scene, tmp_path: Path) -> Scene:
    return Scene.open(shutil.copytree(scene.root, tmp_path / "copy") / "scenes" / "0001")


@pytest.fixture(scope="module")
def folder(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export.write(scene, "urdf", tmp_path_factory.mktemp("urdf") / "out")


def read(path: Path) -> mujoco.MjModel:
    """Open an object's URDF."""
    return mujoco.MjModel.from_xml_path(str(path))


def alone(scene: Scene, name: str) -> mujoco.MjModel:
    """Compile an object of a scene by itself."""
    model = mujoco.MjSpec()
    model.compiler.degree = False
    model.meshdir = model.texturedir = str(scene.root / "assets")
    scene.asset(name).add_to(model, name, scene.record.assets[name], (0, 0, 0), 0.0, fixed=True)
    return model.compile()


def test_zip_opens_elsewhere_with_plain_mujoco(scene: Scene, tmp_path: Path) -> None:
    written = export.write(scene, "zip", tmp_path / "scene.zip")
    with zipfile.ZipFile(written) as archive:
        archive.extractall(tmp_path / "else where")
        assert not [name for name in archive.namelist() if name.startswith("/") or ".." in name]
    path = tmp_path / "else where" / "scenes" / "0001" / "scene.xml"
    model = mujoco.MjModel.from_xml_path(str(path))
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_step(model, data, 50)
    assert np.isfinite(data.qpos).all()
    again = open_scene(path)
    assert again.record == scene.record
    assert again.asset("mug") == scene.asset("mug")
    assert (tmp_path / "else where" / "robots" / "widowx" / "robot.xml").is_file()


def test_zip_has_the_same_bytes_each_time_and_no_other_scene(scene: Scene, copy: Scene, tmp_path: Path) -> None:
    first = export.write(scene, "zip", tmp_path / "a.zip")
    second = export.write(copy, "zip", tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()
    assert not [name for name in zipfile.ZipFile(first).namelist() if "0000" in name]


def test_zip_has_a_default_name_and_takes_a_folder(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert export.write(scene) == Path("0001.zip")
    assert export.write(scene, "zip", tmp_path) == tmp_path / "0001.zip"
    assert export.write(scene, "urdf") == Path("0001-urdf")


def test_urdf_has_one_folder_an_object(folder: Path, scene: Scene) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["cabinet", "mug", "objects.json"]
    for name in ("cabinet", "mug"):
        text = (folder / name / f"{name}.urdf").read_text()
        assert "package:" not in text
        assert str(scene.root) not in text
        assert "mtllib surface.mtl" in (folder / name / "visual.obj").read_text()
        assert "map_Kd texture.png" in (folder / name / "surface.mtl").read_text()


@pytest.mark.parametrize("name", ["mug", "cabinet"])
def test_urdf_has_the_same_masses_and_inertia(folder: Path, scene: Scene, name: str) -> None:
    model, asset = read(folder / name / f"{name}.urdf"), scene.asset(name)
    assert model.nbody == 1 + len(asset.parts)
    for part in asset.parts:
        body = model.body(f"{name}_{part.name}" if part.name else name)
        turn = urdf.rotation_of(tuple(body.iquat))
        full = turn @ np.diag(body.inertia) @ turn.T
        xx, yy, zz, xy, xz, yz = part.inertia
        assert body.mass[0] == pytest.approx(part.mass)
        assert full == pytest.approx(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]), rel=1e-6, abs=1e-12)
        assert body.ipos == pytest.approx(np.array(part.com) - urdf._anchor(part))


def test_urdf_moves_as_the_asset(folder: Path, scene: Scene) -> None:
    """Body, joint and visual positions agree over the whole range of both joints."""
    models = read(folder / "cabinet" / "cabinet.urdf"), alone(scene, "cabinet")
    ranges = [model.jnt_range.copy() for model in models]
    assert np.allclose(*ranges)
    assert list(models[0].jnt_type) == list(models[1].jnt_type)
    for share in (0.0, 0.4, 1.0):
        clouds = []
        for model in models:
            data = mujoco.MjData(model)
            data.qpos[:] = model.jnt_range[:, 0] + share * np.ptp(model.jnt_range, axis=1)
            mujoco.mj_forward(model, data)
            clouds.append((data.xipos[1:], visible_points(model, data)))
        assert clouds[0][0] == pytest.approx(clouds[1][0], abs=1e-6)
        assert clouds[0][1] == pytest.approx(clouds[1][1], abs=1e-6)


def visible_points(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """Return the extents of what is seen, one row a part, in the world [m]."""
    rows = []
    for geom in range(model.ngeom):
        if model.geom_contype[geom] or model.geom_conaffinity[geom]:
            continue
        mesh = model.geom_dataid[geom]
        start = model.mesh_vertadr[mesh]
        vertices = model.mesh_vert[start : start + model.mesh_vertnum[mesh]]
        points = vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
        rows.append([*points.min(0), *points.max(0)])
    return np.array(sorted(rows))


def test_urdf_collides_as_the_asset(folder: Path, scene: Scene) -> None:
    """Rays from all sides hit the collision shapes at the same places; an ellipsoid's mesh lies a little inside."""
    models = read(folder / "cabinet" / "cabinet.urdf"), alone(scene, "cabinet")
    states = []
    for model in models:
        seen = (model.geom_contype == 0) & (model.geom_conaffinity == 0)
        model.geom_group[:] = np.where(seen, 5, 0)
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        states.append(data)
    rng, groups = np.random.default_rng(0), np.array([1, 0, 0, 0, 0, 0], np.uint8)
    differences, hits = [], 0
    for _ in range(300):
        start = rng.normal(size=3)
        start *= 0.5 / np.linalg.norm(start)
        aim = np.array([0.02, 0.05, 0.03]) + rng.normal(size=3) * 0.03 - start
        aim /= np.linalg.norm(aim)
        first, second = (
            mujoco.mj_ray(model, data, start, aim, groups, 1, -1, np.zeros(1, np.int32))
            for model, data in zip(models, states, strict=True)
        )
        if (first < 0) == (second < 0):
            hits += first >= 0
            differences.append(abs(first - second))
    assert hits > 100
    assert len(differences) > 290  # the rest graze an edge
    assert np.quantile(differences, 0.9) < 1e-5
    assert max(differences) < 0.02


@pytest.mark.parametrize(
    "quat", [(1, 0, 0, 0), handmade.TURNED, (0.5, 0.5, 0.5, 0.5), (0.7071068, 0, 0.7071068, 0), (0.5, -0.5, -0.5, 0.5)]
)
def test_rpy_is_the_same_rotation(quat: tuple[float, float, float, float]) -> None:
    roll, pitch, yaw = urdf.rpy_of(quat)
    built = np.eye(3)
    for axis, angle in ((2, yaw), (1, pitch), (0, roll)):
        half = np.zeros(3)
        half[axis] = np.sin(angle / 2)
        built = built @ urdf.rotation_of((float(np.cos(angle / 2)), *half))
    assert built == pytest.approx(urdf.rotation_of(quat), abs=1e-7)


def test_record_that_leads_outside_is_refused(copy: Scene, tmp_path: Path) -> None:
    """`Scene.open` refuses such a record already; one made otherwise goes no further."""
    bad = replace(copy, record=copy.record.model_copy(update={"assets": {"mug": "../..", "cabinet": "b" * 24}}))
    for form in ("zip", "urdf"):
        with pytest.raises(SceneError, match="no name of a file"):
            export.write(bad, form, tmp_path / form)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["zip", "urdf"])
@pytest.mark.parametrize("linked", ["file", "folder", "asset.json"])
def test_link_is_not_exported(copy: Scene, tmp_path: Path, form: str, linked: str) -> None:
    folder, secret = copy.root / "assets" / ("a" * 24), tmp_path / "secret"
    shutil.copytree(folder, secret)
    if linked == "folder":
        shutil.rmtree(folder)
        folder.symlink_to(secret)
    elif linked == "file":
        (secret / "key.txt").write_text("secret")
        (folder / "key.txt").symlink_to(secret / "key.txt")
        record = folder / "asset.json"
        record.write_text(record.read_text().replace('"texture.png"', '"key.txt"'))
    else:
        (folder / linked).unlink()
        (folder / linked).symlink_to(secret / linked)
    with pytest.raises(SceneError, match="symbolic link"):
        export.write(copy, form, tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out" / "mug" / "key.txt").exists()


def test_missing_file_and_unwritable_place_are_told(copy: Scene, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((SceneError, StoreError), match="file"):
        export.write(copy, "zip", tmp_path / "file" / "x.zip")
    with pytest.raises((SceneError, StoreError), match="file"):
        export.write(copy, "urdf", tmp_path / "file")
    (copy.root / "assets" / ("a" * 24) / "visual.obj").unlink()
    with pytest.raises(SceneError, match=r"visual\.obj"):
        export.write(copy, "zip", tmp_path / "x.zip")

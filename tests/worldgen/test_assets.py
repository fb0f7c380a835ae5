"""What an asset weighs in MuJoCo is what its solid weighs: against formulas, and swung as a pendulum."""

from __future__ import annotations

from pathlib import Path

import manifold3d
import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from worldgen import assets, vocabulary
from worldgen.assets import Asset
from worldgen.shapes import Part, Provenance, Shape
from worldgen.spec import ObjectSpec

ORIGIN = Provenance(backend="test", licence="CC0-1.0", may_train=True)
X, Y, Z = 0.08, 0.05, 0.12
BOX = manifold3d.Manifold.cube([X, Y, Z]).translate([-X / 2, -Y / 2, 0])
R, H = 0.03, 0.1
ROD = manifold3d.Manifold.cylinder(H, R, R, 96)
TUBE = ROD - manifold3d.Manifold.cylinder(H, R / 2, R / 2, 96)
BALL = manifold3d.Manifold.sphere(R, 96).translate([0, 0, R])
SOLIDS: dict[str, tuple[manifold3d.Manifold, float, tuple[float, float, float]]] = {
    # solid, volume [m3], moments about the centre of mass along x, y, z for a mass of 1 [m2]
    "box": (BOX, X * Y * Z, ((Y * Y + Z * Z) / 12, (X * X + Z * Z) / 12, (X * X + Y * Y) / 12)),
    "rod": (ROD, np.pi * R**2 * H, ((3 * R**2 + H**2) / 12, (3 * R**2 + H**2) / 12, R**2 / 2)),
    "tube": (
        TUBE, np.pi * R**2 * 0.75 * H, ((3 * 1.25 * R**2 + H**2) / 12, (3 * 1.25 * R**2 + H**2) / 12, 1.25 * R**2 / 2),
    ),
    "ball": (BALL, 4 / 3 * np.pi * R**3, (0.4 * R**2,) * 3),
}  # fmt: skip


def made(solid: manifold3d.Manifold, folder: Path, material: str = "wood") -> Asset:
    mesh = solid.to_mesh64()
    vertices, faces = np.array(mesh.vert_properties[:, :3]), np.array(mesh.tri_verts, np.int64)
    part = Part("", vertices, faces, np.full((len(faces), 3, 2), 0.5))
    shape = Shape((part,), np.full((8, 8, 3), 128, np.uint8), ORIGIN)
    x, y, z = np.ptp(vertices, axis=0)
    item = ObjectSpec(name="a", category="toy", colour="red", material=material, size=(x, y, z), role="target")
    folder.mkdir(parents=True)
    return assets.finish(shape, item, "key", folder)


def compiled(asset: Asset, folder: Path, pivot: NDArray[np.float64] | None = None) -> mujoco.MjModel:
    """Return a model of an asset alone; with a pivot, hung there on a hinge along y."""
    model = mujoco.MjSpec()
    model.compiler.degree = False
    model.option.timestep, model.option.integrator = 0.0005, mujoco.mjtIntegrator.mjINT_RK4
    model.meshdir = model.texturedir = str(folder.parent)
    body = asset.add_to(model, "object", folder.name, (0, 0, 0), 0.0, fixed=True)
    if pivot is not None:
        body.add_joint(name="hinge", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0], pos=pivot)
    return model.compile()


@pytest.mark.parametrize("name", SOLIDS)
@pytest.mark.parametrize("material", ["wood", "steel"])
def test_mass_and_inertia_in_mujoco_are_those_of_the_solid(tmp_path: Path, name: str, material: str) -> None:
    solid, volume, moments = SOLIDS[name]
    asset = made(solid, tmp_path / "a", material)
    model = compiled(asset, tmp_path / "a")
    mass = volume * vocabulary.materials()[material].density
    assert asset.mass == pytest.approx(mass, rel=0.02)
    assert model.body_mass[1] == pytest.approx(asset.mass, rel=1e-4)
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.body_iquat[1])
    turn = turn.reshape(3, 3)
    inertia = turn @ np.diag(model.body_inertia[1]) @ turn.T
    assert np.diag(inertia) == pytest.approx(mass * np.array(moments), rel=0.02)
    xx, yy, zz, xy, xz, yz = asset.parts[0].inertia
    assert inertia == pytest.approx(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]), rel=1e-3, abs=1e-9)
    assert model.body_ipos[1] == pytest.approx(asset.parts[0].com, abs=1e-5)


@pytest.mark.parametrize("name", SOLIDS)
def test_it_swings_as_a_pendulum_does(tmp_path: Path, name: str) -> None:
    """A small swing about a point above the centre of mass takes 2π √(I / m g d), I about the pivot."""
    solid, _, moments = SOLIDS[name]
    asset = made(solid, tmp_path / "a")
    com = np.array(asset.parts[0].com)
    pivot = np.array([com[0], com[1], com[2] + 0.09])
    model = compiled(asset, tmp_path / "a", pivot)
    data = mujoco.MjData(model)
    data.qpos[0] = 0.05
    crossings, before = [], data.qpos[0]
    while len(crossings) < 5:
        mujoco.mj_step(model, data)
        if before > 0 >= data.qpos[0]:
            share = before / (before - data.qpos[0])
            crossings.append(data.time - (1 - share) * model.opt.timestep)
        before = float(data.qpos[0])
        assert data.time < 10
    period = (crossings[-1] - crossings[0]) / (len(crossings) - 1)
    expected = 2 * np.pi * np.sqrt((moments[1] + 0.09**2) / (9.81 * 0.09))
    assert period == pytest.approx(expected, rel=0.02)

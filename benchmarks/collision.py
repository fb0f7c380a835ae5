"""How true and how cheap collision shapes are: `python -m benchmarks.collision`. Prints Markdown for docs/assets.md and draws fidelity against cost.

One solid after the other, in one run: ours; CoACD at .05 with at most 100 hulls, else its defaults; V-HACD where `vhacdx` is installed; obj2mjcf as it
comes and with `--decompose`, where that command is named; the single hull. Of each: seconds to make it, geoms and corners, the volume in common with the
solid (IoU), the share of its cavity that is left free, the distance of surfaces, contacts and microseconds of a step with eight of them at rest, how far
one moves in three seconds, and whether a two-finger gripper lifts it.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import trimesh
import tyro
from tyro.conf import Positional

from benchmarks.machine import processor
from benchmarks.solids import SHAPES, solid_of
from worldgen import assets, child, convex, fitting, mesh, mesh_solid
from worldgen.assets import CONTACT
from worldgen.errors import AssetError
from worldgen.robots import TIMESTEP
from worldgen.shapes import Geom, Part
from worldgen.solids import Array, Faces, Hull, convex_hull

MORE = ("chest_of_blocks", "chair", "ring", "thin_plate")
"""Solids that are no procedural object: made here."""
_COUNT, _STEPS = 8, 2000
"""Copies at rest, and steps over which they are clocked."""
_DENSITY = 700.0


@dataclass(frozen=True)
class Config:
    """What to compare."""

    meshes: Positional[tuple[Path, ...]] = ()
    """Further meshes, closed, in metres: .obj .glb .stl .ply."""
    shapes: tuple[str, ...] = (*SHAPES, *MORE)
    obj2mjcf: str = ""
    """The command, such as ENVIRONMENT/bin/obj2mjcf; empty leaves it out."""
    results: Path = Path("docs/results/collision.json")
    plot: Path = Path("docs/results/collision.png")


@dataclass(frozen=True)
class Row:
    """What one method made of one solid."""

    shape: str
    method: str
    seconds: float
    geoms: int
    corners: int
    iou: float
    cavity: float
    p99_mm: float
    contacts: int
    step_us: float
    drift_mm: float
    lifted: bool


def main(config: Config) -> None:
    """Compare, print the table of each solid and of the medians, and draw the plot."""
    solids = {name: _solid(name) for name in config.shapes}
    solids |= {path.stem: _read(path) for path in config.meshes}
    methods: dict[str, Callable[[Array, Faces], fitting.Fit]] = {"ours": ours, "CoACD .05": coacd, "hull": single}
    if find_spec("vhacdx"):
        methods["V-HACD"] = vhacd
    if config.obj2mjcf:
        methods["obj2mjcf"] = partial(obj2mjcf, config.obj2mjcf, ())
        methods["obj2mjcf --decompose"] = partial(obj2mjcf, config.obj2mjcf, ("--decompose",))
    rows = []
    print(_HEAD)
    for name, (vertices, faces) in solids.items():
        for method, make in methods.items():
            try:
                rows.append(_measured(name, method, vertices, faces, make))
                print(_line(rows[-1]), flush=True)
            except (AssetError, child.ChildError, subprocess.SubprocessError, ValueError) as error:
                print(f"| {name} | {method} | {str(error)[:60]} |", flush=True)
    print(f"\n{_HEAD}")
    for method in methods:
        mine = [row for row in rows if row.method == method]
        print(_medians(method, mine))
    for method in [name for name in methods if name != "ours"]:
        print(_against(method, rows))
    print(f"\n{processor()}")
    config.results.parent.mkdir(parents=True, exist_ok=True)
    config.results.write_text(json.dumps([row.__dict__ for row in rows], indent=1) + "\n")
    _plot(rows, config.plot)


_HEAD = (
    "| solid | method | s | geoms | corners | IoU | cavity | p99 [mm] | contacts | step [µs] | drift [mm] | lifted |\n|"
    + "---|" * 12
)


def _line(row: Row) -> str:
    told = f"{row.seconds:.1f} | {row.geoms} | {row.corners} | {row.iou:.2f} | {row.cavity:.2f} | {row.p99_mm:.1f} | {row.contacts}"
    return f"| {row.shape} | {row.method} | {told} | {row.step_us:.0f} | {row.drift_mm:.1f} | {'yes' if row.lifted else 'no'} |"


def _medians(method: str, rows: Sequence[Row]) -> str:
    if not rows:
        return f"| **median** | {method} |"
    names = ("seconds", "geoms", "corners", "iou", "cavity", "p99_mm", "contacts", "step_us", "drift_mm")
    found = [float(np.median([getattr(row, name) for row in rows])) for name in names]
    told = " | ".join(f"{value:.{digits}f}" for value, digits in zip(found, (1, 0, 0, 2, 2, 1, 0, 0, 1), strict=True))
    return f"| **median of {len(rows)}** | {method} | {told} | {sum(row.lifted for row in rows)} of {len(rows)} |"


def _against(method: str, rows: Sequence[Row]) -> str:
    """Return how ours does beside another method, solid by solid: medians of ratios with 95 % intervals (bootstrap over solids)."""
    mine, other = ({row.shape: row for row in rows if row.method == name} for name in ("ours", method))
    pairs = [(mine[shape], other[shape]) for shape in mine if shape in other]
    if len(pairs) < 2:
        return ""
    draws = np.random.default_rng(0).integers(len(pairs), size=(10_000, len(pairs)))
    told = []
    for name in ("seconds", "step_us"):
        ratios = np.array([getattr(a, name) / getattr(b, name) for a, b in pairs])
        low, high = np.percentile(np.median(ratios[draws], axis=1), (2.5, 97.5))
        told.append(f"{name} {np.median(ratios):.2f} ({low:.2f} to {high:.2f})")
    true = sum(a.iou >= b.iou - 0.01 and a.cavity >= b.cavity - 0.01 for a, b in pairs)
    cheap = sum(a.step_us <= b.step_us for a, b in pairs)
    return f"\nAgainst {method}: {', '.join(told)}; as true in {true} of {len(pairs)}, as cheap a step in {cheap}"


def _solid(name: str) -> tuple[Array, Faces]:
    if name not in MORE:
        return solid_of(name, 4000)
    import manifold3d

    cube = manifold3d.Manifold.cube
    made = {
        "chair": [cube([0.1, 0.1, 0.01]).translate([0, 0, 0.06]), cube([0.1, 0.01, 0.08]).translate([0, 0.09, 0.06])]
        + [cube([0.012, 0.012, 0.062]).translate([x, y, 0]) for x in (0, 0.088) for y in (0, 0.088)],
        "chest_of_blocks": [
            cube([0.03, 0.03, 0.03]).translate([0.025 * i, 0.025 * (i % 2), 0.02 * (i % 3)]) for i in range(5)
        ],
        "ring": [manifold3d.CrossSection.circle(0.008, 24).translate([0.04, 0]).revolve(48).translate([0, 0, 0.008])],
        "thin_plate": [manifold3d.Manifold.cylinder(0.003, 0.08, 0.09, 48)],
    }[name]
    vertices, faces = mesh_solid.arrays(manifold3d.Manifold.batch_boolean(made, manifold3d.OpType.Add))
    return vertices - [*(vertices.min(axis=0) + vertices.max(axis=0))[:2] / 2, vertices[:, 2].min()], faces


def _read(path: Path) -> tuple[Array, Faces]:
    raw = mesh.solidify(mesh.read(path))
    low, high = raw.vertices.min(axis=0), raw.vertices.max(axis=0)
    return raw.vertices - [*(low + high)[:2] / 2, low[2]], raw.faces


def ours(vertices: Array, faces: Faces) -> fitting.Fit:
    """Return what an asset gets."""
    part = Part("", vertices, faces, np.zeros((len(faces), 3, 2)))
    with tempfile.TemporaryDirectory() as folder:
        geoms, hulls, _ = assets.collide(part, "collision", Path(folder))
    return fitting.Fit(geoms, hulls)


def coacd(vertices: Array, faces: Faces) -> fitting.Fit:
    """Return CoACD's hulls at a relative threshold of .05, at most 100, its defaults otherwise."""
    found = child.run("benchmarks.collision:run_coacd", {"vertices": vertices, "faces": faces}, seconds=600)
    return _hulls(np.split(found["points"], np.cumsum(found["counts"])[:-1]))


def run_coacd(arrays: child.Arrays) -> child.Arrays:
    """Do so, in a child."""
    import coacd as library

    library.set_log_level("off")
    made = library.run_coacd(library.Mesh(arrays["vertices"], arrays["faces"]), threshold=0.05, max_convex_hull=100)
    clouds = [np.asarray(points, float) for points, _ in made]
    return {"points": np.concatenate(clouds), "counts": np.array([len(cloud) for cloud in clouds])}


def vhacd(vertices: Array, faces: Faces) -> fitting.Fit:
    """Return V-HACD's hulls, with its defaults."""
    import importlib

    flat = np.column_stack([np.full(len(faces), 3), faces]).ravel().astype(np.uint32)
    return _hulls(
        [np.asarray(points, float) for points, _ in importlib.import_module("vhacdx").compute_vhacd(vertices, flat)]
    )


def single(vertices: Array, faces: Faces) -> fitting.Fit:
    """Return the hull of all."""
    return _hulls([vertices])


def obj2mjcf(command: str, more: Sequence[str], vertices: Array, faces: Faces) -> fitting.Fit:
    """Return what obj2mjcf makes of the solid as an OBJ file: its collision meshes, or the mesh itself, whose hull MuJoCo takes."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        trimesh.Trimesh(vertices, faces, process=False).export(root / "thing.obj")
        subprocess.run(
            [command, "--obj-dir", str(root), "--save-mjcf", *more], check=True, capture_output=True, timeout=600
        )
        found = sorted((root / "thing").glob("*collision*.obj")) or sorted((root / "thing").glob("thing*.obj"))
        return _hulls([np.asarray(trimesh.load(path, force="mesh").vertices) for path in found])


def _hulls(clouds: Sequence[Array]) -> fitting.Fit:
    named: dict[str, Hull] = {}
    for index, cloud in enumerate(clouds):
        with suppress(AssetError):  # flat: MuJoCo would refuse it, nothing collides with it
            named[f"{index}.obj"] = convex_hull(cloud, "a hull")
    return fitting.Fit(tuple(Geom(type="mesh", file=file) for file in named), named)


def _measured(
    shape: str, method: str, vertices: Array, faces: Faces, make: Callable[[Array, Faces], fitting.Fit]
) -> Row:
    begun = time.perf_counter()
    fit = make(vertices, faces)
    spent = time.perf_counter() - begun
    score = convex.fidelity([convex.FidelityPart(vertices, faces, fit.geoms, fit.hulls)])
    contacts, step, drift = _at_rest(vertices, faces, fit)
    corners = sum(len(hull[0]) for hull in fit.hulls.values())
    return Row(
        shape, method, spent, len(fit.geoms), corners, score.iou, score.cavity, score.distance_p99_mm, contacts, step, drift,
        _lifts(vertices, faces, fit),
    )  # fmt: skip


def _world() -> mujoco.MjSpec:
    model = mujoco.MjSpec()
    model.compiler.degree = False
    model.option.timestep, model.option.integrator = TIMESTEP, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    model.option.cone, model.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10
    model.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, size=[1, 1, 0.05], pos=[0, 0, -0.05], friction=[0.5, 0.005, 0.0001]
    )
    return model


def _put(model: mujoco.MjSpec, name: str, pos: Sequence[float], vertices: Array, faces: Faces, fit: fitting.Fit) -> Any:
    """Add a free body of true mass with these geoms."""
    known = mesh.mass_properties(vertices, faces, _DENSITY)
    body = model.worldbody.add_body(name=name, pos=pos)
    body.add_freejoint(name=name)
    body.explicitinertial, body.mass, body.ipos = True, known.mass, known.com
    body.fullinertia = known.full_inertia()
    settings = {**CONTACT, "friction": [0.5, 0.005, 0.0001]}
    for index, geom in enumerate(fit.geoms):
        label = f"{name}/{index}"
        if geom.type == "mesh":
            model.add_mesh(
                name=label,
                uservert=fit.hulls[str(geom.file)][0].ravel().tolist(),
                inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
            )
        body.add_geom(
            type=getattr(mujoco.mjtGeom, f"mjGEOM_{geom.type.upper()}"), meshname=label if geom.type == "mesh" else "",
            size=[*geom.size, 0, 0, 0][:3], pos=geom.pos, quat=geom.quat, **settings,
        )  # fmt: skip
    return body


def _at_rest(vertices: Array, faces: Faces, fit: fitting.Fit) -> tuple[int, float, float]:
    """Return contacts of one, microseconds of a step of eight, and how far one moves in three seconds after the first [mm]."""
    model, far = _world(), 1.6 * float(np.ptp(vertices, axis=0)[:2].max())
    for index in range(_COUNT):
        _put(model, f"thing{index}", (far * (index % 3 - 1), far * (index // 3 - 1), 0.0005), vertices, faces, fit)
    compiled = model.compile()
    data = mujoco.MjData(compiled)
    mujoco.mj_step(compiled, data, round(1 / TIMESTEP))
    before = data.qpos[:3].copy()
    mujoco.mj_step(compiled, data, round(3 / TIMESTEP))
    drift = 1000 * float(np.linalg.norm(data.qpos[:3] - before))
    contacts = data.ncon / _COUNT
    spent = []
    for _ in range(5):
        begun = time.perf_counter()
        mujoco.mj_step(compiled, data, _STEPS // 5)
        spent.append((time.perf_counter() - begun) / (_STEPS // 5))
    return round(contacts), 1e6 * float(np.median(spent)), drift


def _lifts(vertices: Array, faces: Faces, fit: fitting.Fit) -> bool:
    """Tell whether two fingers that close on its narrower side, at its middle, lift it by 10 cm and hold it for a second."""
    x, y, z = np.ptp(vertices, axis=0)
    along = 0 if x <= y else 1
    width = float((x, y)[along])
    model = _world()
    _put(model, "thing", (0, 0, 0.0005), vertices, faces, fit)
    hand = model.worldbody.add_body(name="hand", pos=[0, 0, z * 0.55])
    hand.explicitinertial, hand.mass, hand.inertia = True, 0.1, [1e-4] * 3
    hand.add_joint(name="up", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[0, 0, 1], damping=[50, 0, 0], armature=1)
    axis = np.eye(3)[along]
    for side in (-1, 1):
        finger = hand.add_body(name=f"finger{side}", pos=side * (width / 2 + 0.02) * axis)
        finger.add_joint(
            name=f"close{side}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=-side * axis, damping=[20, 0, 0], armature=0.2
        )
        size = [0.01, 0.01, min(0.015, z * 0.4)]
        finger.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=size,
            friction=[1, 0.05, 0.001],
            condim=4,
            priority=1,
            mass=0.05,
            solref=[2 * TIMESTEP, 1],
        )
        drive = model.add_actuator(name=f"close{side}", target=f"close{side}", trntype=mujoco.mjtTrn.mjTRN_JOINT)
        drive.set_to_motor()
    lift = model.add_actuator(name="up", target="up", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    lift.set_to_position(kp=4000)
    compiled = model.compile()
    data = mujoco.MjData(compiled)
    start = float(data.qpos[2])
    for second, (squeeze, height) in enumerate(((15.0, 0.0), (15.0, 0.1), (15.0, 0.1))):
        data.ctrl[:2] = squeeze
        steps = round(1 / TIMESTEP)
        for step in range(steps):
            data.ctrl[2] = height if second == 2 else height * step / steps
            mujoco.mj_step(compiled, data)
    return bool(np.isfinite(data.qpos).all() and data.body("thing").xpos[2] > start + 0.07)


def _plot(rows: Sequence[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharex=True)
    for axis, name in zip(axes, ("iou", "cavity"), strict=True):
        for number, method in enumerate(dict.fromkeys(row.method for row in rows)):
            mine = [row for row in rows if row.method == method]
            steps, values = [row.step_us for row in mine], [getattr(row, name) for row in mine]
            axis.scatter(steps, values, s=14, alpha=0.5, color=f"C{number}")
            axis.scatter(
                [np.median(steps)], [np.median(values)], s=90, color=f"C{number}", label=method, edgecolor="black"
            )
        axis.set(
            xscale="log",
            xlabel="µs a step, eight at rest",
            ylabel={"iou": "IoU", "cavity": "share of the cavity kept"}[name],
        )
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

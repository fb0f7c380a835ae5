"""What an object costs the simulator at rest: fits `assets.Cost.step_us` from geoms and contacts. `python -m benchmarks.asset_cost`.

Eight copies of every category stand on a plane; the time of a step, less that of an empty plane, is shared among them. Prints
Markdown for docs/performance.md and the two coefficients for worldgen/assets.py.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import tyro

from worldgen import assets, store, vocabulary
from worldgen.spec import ObjectSpec

COPIES = 8


@dataclass(frozen=True)
class Config:
    """What to measure."""

    variants: int = 2
    """Objects of each category."""
    repeats: int = 9
    """The fastest of so many timings counts."""


def step_us(model: mujoco.MjModel, repeats: int) -> tuple[float, int]:
    """Return the fastest time of a step at rest [us] and the number of contacts."""
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, 100)
    best = np.inf
    for _ in range(repeats):
        start = time.thread_time()
        mujoco.mj_step(model, data, 50)
        best = min(best, (time.thread_time() - start) / 50)
    return 1e6 * best, int(data.ncon)


def table(asset: assets.Asset | None, folder: Path) -> mujoco.MjModel:
    """Return a plane with eight copies of an asset, or with none."""
    model = mujoco.MjSpec()
    model.option.timestep, model.option.integrator = 0.005, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    model.option.cone, model.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    model.meshdir = model.texturedir = str(folder)
    model.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[2, 2, 0.05], pos=[0, 0, -0.05])
    for index in range(COPIES if asset else 0):
        assert asset is not None
        asset.add_to(
            model, f"item{index}", asset.key, (0.4 * (index % 4), 0.4 * (index // 4), 0.0005), 0.0, fixed=not asset.mass
        )
    return model.compile()


def main(config: Config) -> None:
    """Measure every category and fit."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        entries = store.Store(Path(folder))
        empty, _ = step_us(table(None, Path(folder)), config.repeats)
        for name, category in vocabulary.categories().items():
            for variant in range(config.variants):
                size = tuple((a + b) / 2 for a, b in zip(category.small, category.large, strict=True))
                colour = category.colours[0] if category.colours else "red"
                spec = ObjectSpec(
                    name="item",
                    category=name,
                    colour=colour,
                    material=category.materials[0],
                    size=size,
                    role="target",
                    variant=variant,
                )
                asset = assets.make(spec, entries)
                took, contacts = step_us(table(asset, Path(folder)), config.repeats)
                geoms = sum(len(part.collision) for part in asset.parts)
                rows.append((name, geoms, contacts / COPIES, (took - empty) / COPIES, asset))
    values = np.array([row[1:4] for row in rows])
    fit, *_ = np.linalg.lstsq(values[:, :2], values[:, 2], rcond=None)
    predicted = values[:, :2] @ fit
    error = np.abs(predicted - values[:, 2])
    fidelity = [row[4].fidelity for row in rows if row[4].fidelity]
    print(f"| objects measured | {len(rows)}, of {len(vocabulary.categories())} categories |\n|---|---|")
    print(f"| empty table | {empty:.1f} us a step |")
    print(
        f"| an object at rest | median {np.median(values[:, 2]):.1f} us, 95th percentile {np.percentile(values[:, 2], 95):.1f} us |"
    )
    print(f"| contacts at rest | median {np.median(values[:, 1]):.0f}, most {values[:, 1].max():.0f} |")
    print(f"| fit | {fit[0]:.3f} us a geom + {fit[1]:.2f} us a contact; median error {np.median(error):.1f} us |")
    print(
        f"| volume IoU | median {np.median([f.iou for f in fidelity]):.2f}, least {min(f.iou for f in fidelity):.2f} |"
    )
    print(
        f"| cavity | median {np.median([f.cavity for f in fidelity]):.2f}, least {min(f.cavity for f in fidelity):.2f} |"
    )
    print(f"| surface distance, 99th percentile | median {np.median([f.distance_p99_mm for f in fidelity]):.1f} mm |")


if __name__ == "__main__":
    main(tyro.cli(Config))

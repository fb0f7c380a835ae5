"""What an object costs the simulator at rest: fits `assets.Cost.step_us` from geoms and contacts. `python -m benchmarks.asset_cost`.

Eight copies of every category stand on a table; the time of a step, less that of an empty table, is shared among them. Then they lie in a heap
in a box, where many touch. Prints Markdown for docs/performance.md and the two coefficients for worldgen/assets.py.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mujoco
import numpy as np
import tyro

from benchmarks.machine import processor
from worldgen import assets, store, vocabulary
from worldgen.backends import mesh_procedural
from worldgen.spec import ObjectSpec

COPIES = 8


@dataclass(frozen=True)
class Config:
    """What to measure."""

    variants: int = 2
    """Objects of each category."""
    every: int = 9
    """Of so many objects one is also measured as if its mesh were all that is known."""
    repeats: int = 9
    """The fastest of so many timings counts."""


def step_us(model: mujoco.MjModel, repeats: int, settle: int = 100) -> tuple[float, int]:
    """Return the fastest time of a step at rest, after so many steps [us], and the number of contacts."""
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, settle)
    best = np.inf
    for _ in range(repeats):
        start = time.thread_time()
        mujoco.mj_step(model, data, 50)
        best = min(best, (time.thread_time() - start) / 50)
    return 1e6 * best, int(data.ncon)


def table(asset: assets.Asset | None, folder: Path, heap: bool = False) -> mujoco.MjModel:
    """Return a table with eight copies of an asset, or with none; side by side, or above each other in a box twice as wide as they are."""
    model = mujoco.MjSpec()
    model.option.timestep, model.option.integrator = 0.005, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    model.option.cone, model.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    model.meshdir = model.texturedir = str(folder)
    model.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[2, 2, 0.05], pos=[0, 0, -0.05])
    if asset is None:
        return model.compile()
    wide = max(asset.size)
    for index in range(COPIES):
        pos = (0.4 * (index % 4), 0.4 * (index // 4), 0.0005)
        if heap:
            pos = (0.3 * wide * (index % 2), 0.2 * wide * (index % 3), 0.01 + 1.05 * wide * index)
        asset.add_to(model, f"item{index}", asset.key, pos, float(index) if heap else 0.0, fixed=not asset.mass)
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)) if heap else ():
        model.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[0.005 if x else wide, 0.005 if y else wide, 4 * wide],
            pos=[x * wide, y * wide, 4 * wide],
        )
    return model.compile()


@dataclass(frozen=True)
class Row:
    """What one object costs."""

    asset: assets.Asset
    geoms: int
    contacts: float
    us: float
    """A step of one, at rest [us]."""
    heaped: float
    """In a heap."""
    touching: float
    """Contacts in a heap."""


def main(config: Config) -> None:
    """Measure every category and fit."""
    drawn, split = list[Row](), list[Row]()
    with tempfile.TemporaryDirectory() as name:
        folder, entries = Path(name), store.Store(Path(name))
        empty, _ = step_us(table(None, folder), config.repeats)

        def row(asset: assets.Asset) -> Row:
            took, contacts = step_us(table(asset, folder), config.repeats)
            heaped, many = step_us(table(asset, folder, heap=True), config.repeats, settle=500)
            geoms = sum(len(part.collision) for part in asset.parts)
            each = [value / COPIES for value in (contacts, took - empty, heaped - empty, many)]
            return Row(asset, geoms, *each)

        for number, item in enumerate(objects(config.variants)):
            drawn.append(row(assets.make(item, entries)))
            if number % config.every == 0:
                split.append(row(as_imported(item, folder)))
    print(f"| | {len(drawn)} drawn | {len(split)} split |\n|---|---|---|")
    for what, told in (
        ("a step of one at rest [µs], median, 95th percentile", lambda r: f"{_middle(r, 'us'):.1f}, {np.percentile([x.us for x in r], 95):.1f}"),
        ("of one of eight in a heap", lambda r: f"{_middle(r, 'heaped'):.1f}"),
        ("geoms", lambda r: f"{_middle(r, 'geoms'):.0f}"),
        ("contacts at rest, in a heap", lambda r: f"{_middle(r, 'contacts'):.0f}, {_middle(r, 'touching'):.0f}"),
        ("volume in common (IoU)", lambda r: f"{_fidelity(r, 'iou'):.2f}"),
        ("cavity kept free", lambda r: f"{_fidelity(r, 'cavity'):.2f}"),
        ("surfaces, 99th percentile [mm]", lambda r: f"{_fidelity(r, 'distance_p99_mm'):.1f}"),
    ):  # fmt: skip
        print(f"| {what} | {' | '.join(told(rows) for rows in (drawn, split))} |")
    rows = drawn + split
    values = np.array([(row.geoms, row.contacts) for row in rows], float)
    measured = np.array([row.us for row in rows])
    fit, *_ = np.linalg.lstsq(values, measured, rcond=None)
    error = np.abs(values @ fit - measured)
    draws = np.random.default_rng(0).integers(len(rows), size=(2_000, len(rows)))
    fits = [np.linalg.lstsq(values[draw], measured[draw], rcond=None)[0] for draw in draws]
    (a, b), (c, d) = np.percentile(fits, (2.5, 97.5), axis=0)
    print(
        f"\nFit of both: {fit[0]:.3f} µs a geom ({a:.3f} to {c:.3f}) + {fit[1]:.2f} µs a contact ({b:.2f} to {d:.2f}; 95 %, bootstrap over "
        f"objects); median error {np.median(error):.1f} µs\n\n{processor()}"
    )


def _middle(rows: list[Row], field: str) -> float:
    return float(np.median([getattr(row, field) for row in rows]))


def _fidelity(rows: list[Row], field: str) -> float:
    """Return the median of a figure of the collision, of what has any."""
    return float(np.median([getattr(row.asset.fidelity, field) for row in rows if row.asset.fidelity]))


def objects(variants: int) -> Iterator[ObjectSpec]:
    """Yield objects of every category, of the usual size."""
    for name, category in vocabulary.categories().items():
        for variant in range(variants):
            size = tuple((a + b) / 2 for a, b in zip(category.small, category.large, strict=True))
            colour = category.colours[0] if category.colours else "red"
            yield ObjectSpec(
                name="item", category=name, colour=colour, material=category.materials[0], size=size, role="target", variant=variant
            )  # fmt: skip


def as_imported(item: ObjectSpec, root: Path) -> assets.Asset:
    """Return an object without the collision that its maker knows: split, as what comes from a mesh or a photo is."""
    shape = mesh_procedural.make(item)
    bare = replace(shape, parts=tuple(replace(part, collision=()) for part in shape.parts))
    folder = root / f"split-{item.category}-{item.variant}"
    folder.mkdir()
    return assets.finish(bare, item, folder.name, folder)


if __name__ == "__main__":
    main(tyro.cli(Config))

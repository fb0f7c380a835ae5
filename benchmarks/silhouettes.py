"""How true objects made from one picture each are: `python -m benchmarks.silhouettes`. Prints Markdown for docs/assets.md.

Photographs procedural objects as a shop would, on a plain background that none of them has the colour of, with noise: what stands
upright level from the front, what is flat from above. Makes an object of each picture and compares the two solids; the templates that hollow
things are fitted with do not hold the variant that was photographed. With `--photos FOLDER` the photos are kept, named as `worldgen make --photos` wants them.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import tyro
from numpy.typing import NDArray
from PIL import Image

from worldgen import assets, store, vocabulary
from worldgen.assets import Asset
from worldgen.backends import mesh_procedural, mesh_silhouette
from worldgen.errors import AssetError
from worldgen.mesh_solid import outside, signed_volume
from worldgen.photos import Cutout, cut, problems
from worldgen.shapes import Provenance, Shape
from worldgen.solids import convex_hull, make_grid
from worldgen.spec import ObjectSpec

BACKGROUND = (170, 195, 215)
_FLAT = 0.7
"""What is lower than this share of its depth lies, and is photographed from above."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    categories: tuple[str, ...] = ()
    """Only these; empty for all that do not open."""
    variants: tuple[int, ...] = (41,)
    """Of each."""
    elevation: float = 8.0
    """From how far above the front pictures are taken [deg]."""
    above: bool = False
    """Also photograph what is hollow and flat, such as plates and trays, from above."""
    photos: Path | None = None
    """Folder to keep the photos in."""


def main(config: Config) -> None:
    """Print a row for each category and the medians."""
    known = vocabulary.categories()
    usual = [
        name
        for name, kind in known.items()
        if "openable" not in kind.affordances and name != "zone" and not kind.nameless
    ]
    found: dict[str, list[float]] = {}
    print("| category | made by | IoU | IoU of hulls | mass, of the true one | seconds |\n" + "|---" * 6 + "|")
    with tempfile.TemporaryDirectory() as folder:
        entries = store.Store(Path(folder))
        for name in config.categories or usual:
            rows = []
            for variant in config.variants:
                item = spec(name, variant)
                asset = assets.make(item, entries)
                picture = photograph(
                    asset, entries.root / asset.key, config.elevation, seed=variant, above=config.above
                )
                if config.photos:
                    config.photos.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture).save(
                        config.photos / f"{item.colour}-{name.replace(' ', '-')}-{variant}.png"
                    )
                rows.append(_row(item, cut(picture)))
            how, shares = rows[0][0], np.mean([row[1:] for row in rows], axis=0)
            found.setdefault(how, []).append(shares[0])
            print(
                f"| {name} | {how} | {shares[0]:.2f} | {shares[1]:.2f} | {shares[2]:.2f} | {shares[3]:.1f} |",
                flush=True,
            )
    for how, values in sorted(found.items()):
        print(f"| **{how}, median of {len(values)}** | | **{np.median(values):.2f}** | | | |")


def spec(category: str, variant: int) -> ObjectSpec:
    """Return an object of a category, of its usual size."""
    kind, chance = vocabulary.categories()[category], random.Random(f"{category}/{variant}")
    share = chance.random()
    x, y, z = (round(low + share * (high - low), 4) for low, high in zip(kind.small, kind.large, strict=True))
    return ObjectSpec(
        name="object",
        category=category,
        colour=chance.choice(kind.colours or [name for name in vocabulary.colours() if name != "natural"]),
        material=chance.choice(kind.materials),
        pattern=chance.choice(kind.patterns),
        size=(x, y, z),
        role="target",
        variant=variant,
    )


def photograph(
    asset: Asset, folder: Path, elevation: float = 8.0, side: int = 512, seed: int = 0, above: bool = False
) -> NDArray[np.uint8]:
    """Return a picture (side, side, 3) of an asset as a shop would show it: from above where it is flat, with its shadow, else from the front.

    `above` also takes what is hollow and flat so.
    """
    width, depth, height = asset.size
    flat = height < _FLAT * depth and (above or vocabulary.categories()[asset.category].form != "hollow")
    model = mujoco.MjSpec()
    model.compiler.degree = False
    model.meshdir = model.texturedir = str(folder.parent)
    model.visual.global_.offwidth = model.visual.global_.offheight = side
    model.visual.global_.fovy = 20
    model.visual.headlight.ambient, model.visual.headlight.diffuse = [0.45] * 3, [0.2] * 3
    model.visual.headlight.specular = [0.0] * 3
    colour = np.array(BACKGROUND) / 255
    model.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=colour, rgb2=colour, width=8, height=48,
    )  # fmt: skip
    if flat:
        model.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[5, 5, 0.1], rgba=[*colour, 1])
    model.worldbody.add_light(pos=[-0.6, -1, 1.6], dir=[0.35, 0.5, -0.8], diffuse=[0.45] * 3, castshadow=True)
    asset.add_to(model, "object", folder.name, (0, 0, 0), 0.0, fixed=True)
    compiled = model.compile()
    data = mujoco.MjData(compiled)
    mujoco.mj_forward(compiled, data)
    view = mujoco.MjvCamera()
    view.lookat[:] = 0, 0, height / 2
    view.azimuth, view.elevation = 90, -89.9 if flat else -elevation
    seen = max(width, depth if flat else 1.1 * height)
    view.distance = 1.45 * seen / 2 / np.tan(np.radians(10)) + (height if flat else depth) / 2
    shown = mujoco.MjvOption()
    shown.geomgroup[:] = [1, 1, 1, 0, 0, 0]
    shown.sitegroup[:] = 0
    with mujoco.Renderer(compiled, side, side) as renderer:
        renderer.update_scene(data, view, shown)
        picture = renderer.render().astype(float)
    picture += np.random.default_rng(seed).normal(0, 2.5, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _row(item: ObjectSpec, cutout: Cutout) -> tuple[str, float, float, float, float]:
    """Return how an object was made of its picture, how much it and the true one have in common, also their hulls, its mass over the true one's, and seconds."""
    if wrong := problems(cutout):
        print(f"{item.category}: {'; '.join(wrong)}", file=sys.stderr)
    truth, begun = mesh_procedural.make(item), time.perf_counter()
    origin = Provenance(backend="silhouette", licence="Apache-2.0", may_train=True)
    try:
        made = mesh_silhouette.make(item, cutout, origin)
    except AssetError as error:
        print(f"{item.category}: {error}", file=sys.stderr)
        return "nothing", 0.0, 0.0, 0.0, time.perf_counter() - begun
    spent = time.perf_counter() - begun
    volumes = [sum(signed_volume(*part.closed) for part in shape.parts) for shape in (made, truth)]
    how = made.notes[0] if made.notes else ""
    return how, overlap(truth, made), overlap(truth, made, hulls=True), volumes[0] / volumes[1], spent


def overlap(one: Shape, other: Shape, hulls: bool = False) -> float:
    """Return the volume that two objects, or their convex hulls, share over what they have together; of what can be touched, so without sealed voids."""
    clouds = [shape.points for shape in (one, other)]
    grid = make_grid(np.concatenate(clouds))
    inside = []
    for shape, cloud in zip((one, other), clouds, strict=True):
        mask = np.zeros(len(grid.points), bool)
        solids = [outside(part.vertices + part.pos, part.faces) for part in shape.parts]
        for solid in [convex_hull(cloud, "an object")] if hulls else solids:
            mask |= grid.occupied(*solid)
        inside.append(mask)
    return float((inside[0] & inside[1]).sum() / max((inside[0] | inside[1]).sum(), 1))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

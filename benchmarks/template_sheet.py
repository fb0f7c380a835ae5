"""Draw every category of the vocabulary as the procedural backend makes it, on one contact sheet.

    python -m benchmarks.template_sheet --out templates.png
    python -m benchmarks.template_sheet --out mug.png --category mug --variants 6

Each cell shows one variant, with a 40 px thumbnail in its corner. `--joint` opens what opens; `--collision` shows collision.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import mujoco
import numpy as np
from PIL import Image, ImageDraw

from worldgen import vocabulary
from worldgen.backends.mesh_procedural import make
from worldgen.files import obj_text
from worldgen.shapes import Shape
from worldgen.spec import ObjectSpec

CELL, THUMBNAIL, SPACING = 160, 40, 0.7


def spec_of(name: str, variant: int) -> ObjectSpec:
    """Return a spec within the vocabulary's ranges, with colour, material, pattern and size drawn from the variant."""
    known = vocabulary.categories()[name]
    rng = np.random.default_rng(variant + 17)
    colours = known.colours or tuple(vocabulary.colours())[:11]
    size = np.asarray(known.small) + rng.uniform(0, 1) * (np.asarray(known.large) - np.asarray(known.small))
    return ObjectSpec(
        name="object",
        category=name,
        colour=colours[int(rng.integers(len(colours))) if variant else 0],
        material=known.materials[variant % len(known.materials)],
        pattern=known.patterns[variant % len(known.patterns)],
        size=tuple(float(value) for value in size),
        role="target",
        variant=variant,
    )


def add_shape(model: mujoco.MjSpec, shape: Shape, material: str, name: str, pos: np.ndarray, folder: Path) -> None:
    """Add a shape's visuals and collision, welded to the world."""
    look = vocabulary.materials()[material]
    Image.fromarray(shape.texture).save(folder / f"{name}.png")
    model.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, file=f"{name}.png")
    paint = model.add_material(name=name, specular=look.specular, shininess=look.shininess)
    paint.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    root = model.worldbody.add_body(name=name, pos=pos)
    for part in shape.parts:
        label = f"{name}_{part.name}"
        (folder / f"{label}.obj").write_text(obj_text(part.vertices, part.faces, part.uv))
        model.add_mesh(name=label, file=f"{label}.obj", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
        body = root if not part.name else root.add_body(name=label, pos=part.pos, mass=1, inertia=[1, 1, 1])
        if part.joint:
            kind = mujoco.mjtJoint.mjJNT_SLIDE if part.joint.type == "slide" else mujoco.mjtJoint.mjJNT_HINGE
            body.add_joint(name=label, type=kind, axis=part.joint.axis, pos=part.joint.pos, range=part.joint.range)
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=label, material=name, group=2, mass=0)
        for geom in part.collision:
            kind = getattr(mujoco.mjtGeom, f"mjGEOM_{geom.type.upper()}")
            size = [*geom.size, 0, 0, 0][:3]
            body.add_geom(type=kind, size=size, pos=geom.pos, quat=geom.quat, group=3, rgba=[0.3, 0.6, 0.9, 1])


def scene(jobs: list[tuple[str, int]], folder: Path) -> tuple[mujoco.MjModel, list[ObjectSpec]]:
    """Return a model with all objects on a wide table, SPACING apart."""
    model = mujoco.MjSpec()
    model.meshdir = model.texturedir = str(folder)
    model.compiler.degree = False
    model.stat.extent = 1.0
    model.visual.map.znear = 0.01
    model.visual.headlight.ambient = [0.42, 0.42, 0.42]
    model.visual.headlight.diffuse = [0.25, 0.25, 0.25]
    model.visual.global_.offwidth = model.visual.global_.offheight = CELL * 2
    light = model.worldbody.add_light(pos=[0, 0, 2], dir=[0.45, -0.15, -0.9], diffuse=[0.6, 0.6, 0.58])
    light.castshadow = False
    light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    model.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[50, 50, 1], rgba=[0.74, 0.7, 0.64, 1])
    specs = []
    for index, (name, variant) in enumerate(jobs):
        spec = spec_of(name, variant)
        pos = np.array([(index % 16) * SPACING, (index // 16) * SPACING, 0.0])
        add_shape(model, make(spec), spec.material, f"item{index}", pos, folder)
        specs.append(spec)
    return model.compile(), specs


def cells(jobs: list[tuple[str, int]], joint: float, collision: bool) -> list[Image.Image]:
    """Render one cell a job."""
    with tempfile.TemporaryDirectory() as folder:
        model, specs = scene(jobs, Path(folder))
    data = mujoco.MjData(model)
    data.qpos[:] = joint * model.jnt_range[:, 1]
    mujoco.mj_forward(model, data)
    option = mujoco.MjvOption()
    option.geomgroup[2], option.geomgroup[3] = not collision, collision
    images = []
    with mujoco.Renderer(model, CELL * 2, CELL * 2) as renderer:
        for index, spec in enumerate(specs):
            camera = mujoco.MjvCamera()
            camera.lookat[:] = data.body(f"item{index}").xpos + [0, 0, spec.size[2] * 0.45]
            camera.distance = 1.75 * float(np.linalg.norm(spec.size)) * (1.4 if joint and model.njnt else 1)
            camera.azimuth, camera.elevation = 62, -36
            renderer.update_scene(data, camera, option)
            image = Image.fromarray(renderer.render()).resize((CELL, CELL), Image.Resampling.LANCZOS)
            thumbnail = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
            image.paste(thumbnail, (CELL - THUMBNAIL, CELL - THUMBNAIL))
            ImageDraw.Draw(image).text((3, 2), spec.category, fill=(20, 20, 20))
            images.append(image)
    return images


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--category", nargs="*", help="only these categories")
    parser.add_argument("--variants", type=int, default=2, help="variants of each category")
    parser.add_argument("--columns", type=int, default=12, help="cells in a row")
    parser.add_argument("--joint", type=float, default=0.0, help="how far joints are open, 0 to 1")
    parser.add_argument("--collision", action="store_true", help="show collision geoms")
    options = parser.parse_args()
    names = options.category or list(vocabulary.categories())
    images = cells([(name, k) for name in names for k in range(options.variants)], options.joint, options.collision)
    columns = min(options.columns, len(images))
    sheet = Image.new("RGB", (columns * CELL, -(-len(images) // columns) * CELL), "white")
    for index, image in enumerate(images):
        sheet.paste(image, (index % columns * CELL, index // columns * CELL))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out)


if __name__ == "__main__":
    main()

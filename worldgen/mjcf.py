"""A scene as MJCF that plain MuJoCo opens: table, room, light, cameras, robot, objects. Knows how to write, not what is good.

Frame: the robot's base frame, z = 0 on the table top, x forward. Every path in the file is relative to the scene's folder, so
a library can be moved as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from . import paint, panorama, robots, store, vocabulary
from .assets import CONTACT, VISUAL_GROUP, Asset, Painted, store_texture
from .errors import SceneError
from .layout import Body, Pose, Workspace
from .shapes import BACKING, TOUCHED, Vector3
from .spec import TABLE, Range, SceneSpec, supporter

FLOOR = -0.75
"""Height of the floor [m]; the table top is 0."""
WALLS = (-1.3, 2.6, -1.8, 1.8)
"""x and y of the room's walls [m]."""
ROOT = "../.."
"""The library's folder, seen from a scene's."""
FILL = 0.1
"""Diffuse light from the camera, so that what the key light leaves dark keeps its shape."""
THIN, DEPTH = 0.025, 0.012
"""Floors of containers that are lower than the first are backed down to the second below the table [m]."""
MARGIN = 0.07
"""How far around the arm's workspace clutter stands [m]."""


@dataclass(frozen=True)
class Look:
    """What was drawn from the spec's ranges for one scene."""

    sun: Vector3
    """Unit vector that the key light shines along."""
    diffuse: Vector3
    ambient: Vector3
    camera: Vector3
    """Position of the policy camera [m]."""
    centre: Vector3
    """What it looks at [m]."""
    fov: float
    """Vertical [deg]."""
    friction: float
    """Of the table."""


def workspace(recipe: robots.RobotRecipe) -> Workspace:
    """Return where objects may stand before a robot."""
    area, reach = recipe.workspace, recipe.reach
    rectangle = (area.x_min, area.x_max, area.y_min, area.y_max)
    table = (max(area.x_min - 0.02, 0.14), area.x_max + MARGIN, area.y_min - MARGIN, area.y_max + MARGIN)
    return Workspace(reach=rectangle, annulus=(reach.inner, reach.outer), table=table, keep_out=((0.0, 0.0, 0.15),))


def body_of(asset: Asset) -> Body:
    """Return what the layout needs to know of an asset."""
    return Body(np.array(asset.footprint), asset.size[2], asset.sites.get("top"), asset.sites.get("inside"))


def draw_look(spec: SceneSpec, recipe: robots.RobotRecipe, seed: int) -> Look:
    """Draw light and camera from the spec's ranges."""
    rng = np.random.default_rng([seed, 7])

    def pick(value: Range) -> float:
        return float(rng.uniform(value.low, value.high))

    light, camera, area = spec.light, spec.camera, recipe.workspace
    azimuth, elevation, strength = (
        np.radians(pick(light.azimuth)),
        np.radians(pick(light.elevation)),
        pick(light.strength),
    )
    ambient, warmth = pick(light.ambient), pick(light.warmth)
    tint = np.array([1 + 0.5 * warmth, 1.0, 1 - 0.7 * warmth])
    # Without shadows OpenGL clips the sum of all light at white before it meets a texture: more light would shift the colours.
    tint *= min(1.0, (1.0 - FILL) / float(((strength + ambient) * tint).max()))
    centre = np.array([(area.x_min + area.x_max) / 2, (area.y_min + area.y_max) / 2, 0.03])
    turn, lift, distance = np.radians(pick(camera.azimuth)), np.radians(pick(camera.elevation)), pick(camera.distance)
    direction = np.array([np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)])
    sun = -np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    return Look(
        sun=_vector(sun),
        diffuse=_vector(np.clip(strength * tint, 0, 1)),
        ambient=_vector(np.clip(ambient * tint, 0, 1)),
        camera=_vector(centre + distance * direction),
        centre=_vector(centre),
        fov=round(pick(camera.fov), 3),
        friction=round(pick(spec.surface.friction), 4),
    )


def _vector(values: NDArray[np.float64]) -> Vector3:
    x, y, z = (round(float(value), 5) for value in values)
    return x, y, z


def look_at(position: Vector3, target: Vector3) -> NDArray[np.float64]:
    """Return the quaternion of a camera that looks from a position at a target, upright."""
    back = np.subtract(position, target)
    back = back / np.linalg.norm(back)
    right = np.cross([0.0, 0.0, 1.0], back)
    right = right / np.linalg.norm(right) if np.linalg.norm(right) > 1e-6 else np.array([0.0, 1.0, 0.0])
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.stack([right, np.cross(back, right), back], axis=1).ravel())
    return quat


def textures(spec: SceneSpec, entries: store.Store) -> dict[str, Painted]:
    """Return the painted table, wall and floor of a scene, from the store or newly drawn."""
    surface, room = vocabulary.surfaces().get(spec.surface.material), vocabulary.rooms().get(spec.background.room)
    if surface is None:
        raise SceneError(
            f"Unknown surface '{spec.surface.material}'. {vocabulary.valid_names(spec.surface.material, vocabulary.surfaces())}"
        )
    if room is None:
        raise SceneError(
            f"Unknown room '{spec.background.room}'. {vocabulary.valid_names(spec.background.room, vocabulary.rooms())}"
        )
    variant, other = spec.surface.variant, spec.background.variant
    base = vocabulary.colours().get(spec.surface.colour, surface.colours[variant % len(surface.colours)])
    base = surface.colours[variant % len(surface.colours)] if spec.surface.colour == "natural" else base
    accent = surface.accents[variant % len(surface.accents)] if surface.accents else _darker(base)
    wall, floor = room.wall[other % len(room.wall)], room.floor[other % len(room.floor)]
    wanted = {
        "table": (surface.pattern, base, accent, variant, 256),
        "wall": (room.wall_pattern, wall, _darker(wall, 0.94), other, 128),
        "floor": (room.floor_pattern, floor, _darker(floor), other, 128),
    }
    version = store.code_digest(paint)
    return {
        name: store_texture(entries, {"paint": list(arguments), "code": version}, lambda a=arguments: paint.paint(*a))  # type: ignore[misc]
        for name, arguments in wanted.items()
    }


def _darker(colour: vocabulary.Colour, share: float = 0.85) -> vocabulary.Colour:
    r, g, b = (int(value * share) for value in colour)
    return r, g, b


def build(
    spec: SceneSpec,
    assets: Mapping[str, Asset],
    poses: Mapping[str, Pose],
    robot: robots.Robot,
    look: Look,
    painted: Mapping[str, Painted],
) -> mujoco.MjSpec:
    """Return the scene as an MjSpec whose file paths are relative to a scene folder (`compile_in`, `text`)."""
    model = mujoco.MjSpec()
    model.modelname = spec.name
    model.meshdir = model.texturedir = ROOT
    model.compiler.degree = False
    option = model.option
    option.timestep, option.integrator = robots.TIMESTEP, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    _light(model, look)
    _table(model, robot.recipe, look, painted["table"], vocabulary.surfaces()[spec.surface.material])
    _room(model, spec, painted)
    _cameras(model, look)
    _robot(model, robot)
    for item in spec.objects:
        pose, asset = poses[item.name], assets[item.name]
        fixed = item.role == "fixture" or not asset.mass
        body = asset.add_to(model, item.name, f"assets/{asset.key}", pose.pos, pose.yaw, fixed=fixed)
        if item.role == "container" and supporter(item.place) == TABLE:
            _back(body, item.name, asset)
    return model


def _back(body: mujoco.MjsBody, name: str, asset: Asset) -> None:
    """Thicken the floor of what things are put into or on, downwards into the table, for objects alone to feel.

    MuJoCo parts two convex shapes the shorter way: a spoon that is dropped onto a floor of 5 mm may leave it below.
    """
    site = asset.sites.get("inside") or asset.sites.get("top")
    if site is None or site.part:
        return
    floor = site.pos[2] - (site.size[2] if "inside" in asset.sites else 0.0)
    if floor > THIN:
        return
    body.add_geom(
        name=f"{name}/backing",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[site.size[0], site.size[1], (floor + DEPTH) / 2],
        pos=[site.pos[0], site.pos[1], (floor - DEPTH) / 2],
        quat=site.quat,
        friction=[asset.friction, 0.005, 0.0001],
        **{**CONTACT, "contype": BACKING, "conaffinity": 0},
    )


def _light(model: mujoco.MjSpec, look: Look) -> None:
    headlight = model.visual.headlight
    headlight.ambient, headlight.diffuse, headlight.specular = look.ambient, [FILL] * 3, [0, 0, 0]
    quality = model.visual.quality
    quality.shadowsize = 2048
    quality.numslices, quality.numstacks, quality.numquads = (
        16,
        8,
        1,
    )  # the arms' capsules and the planes cost most of a small picture
    model.visual.map.znear, model.visual.map.zfar = 0.01, 20.0
    model.stat.extent, model.stat.center = 1.0, look.centre
    model.visual.global_.offwidth, model.visual.global_.offheight = 1280, 960
    position = np.array(look.centre) - 2.0 * np.array(look.sun)
    model.worldbody.add_light(
        name="key",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=position,
        dir=look.sun,
        diffuse=look.diffuse,
        specular=[0.25, 0.25, 0.25],
        castshadow=True,
    )


def _paint(
    model: mujoco.MjSpec, name: str, painted: Painted, repeat: tuple[float, float], reflectance: float = 0.0
) -> None:
    model.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, file=f"assets/{painted.key}/{painted.file}")
    material = model.add_material(
        name=name, reflectance=reflectance, specular=0.15, shininess=0.3, texrepeat=repeat, texuniform=True
    )
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def _table(
    model: mujoco.MjSpec, recipe: robots.RobotRecipe, look: Look, painted: Painted, surface: vocabulary.Surface
) -> None:
    _paint(model, "table", painted, (1.6, 1.6), surface.reflectance)
    far, side = recipe.workspace.x_max + 0.3, max(recipe.workspace.y_max, -recipe.workspace.y_min) + 0.35
    middle, half = (far - 0.3) / 2, (far + 0.3) / 2
    table = model.worldbody.add_body(name="table", pos=[middle, 0, 0])
    top = [half, side, 0.02]
    table.add_geom(
        name="table/top",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=top,
        pos=[0, 0, -0.02],
        material="table",
        group=VISUAL_GROUP,
        contype=0,
        conaffinity=0,
    )
    contact = {**CONTACT, "conaffinity": TOUCHED, "mass": 1.0, "rgba": [0.5, 0.5, 0.5, 0.3]}
    table.add_geom(
        name="table/collision",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[half, side, 0.05],
        pos=[0, 0, -0.05],
        friction=[look.friction, 0.005, 0.0001],
        **contact,
    )
    for index, (x, y) in enumerate(((1, 1), (1, -1), (-1, 1), (-1, -1))):
        leg = [x * (half - 0.05), y * (side - 0.05), FLOOR / 2 - 0.02]
        table.add_geom(
            name=f"table/leg{index}", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.025, 0.025, -FLOOR / 2 - 0.02], pos=leg, rgba=[0.25, 0.25, 0.26, 1],
            group=VISUAL_GROUP, contype=0, conaffinity=0,
        )  # fmt: skip


def _room(model: mujoco.MjSpec, spec: SceneSpec, painted: Mapping[str, Painted]) -> None:
    """Add walls, floor and furniture that are seen and never touched; a panorama stands in for walls and floor."""
    room = model.worldbody.add_body(name="room")
    seen = {"group": VISUAL_GROUP, "contype": 0, "conaffinity": 0}
    if spec.background.panorama:
        model.add_texture(
            name="panorama",
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            file=f"assets/{spec.background.panorama}/texture.png",
            gridsize=panorama.GRID,
            gridlayout=panorama.GRID_LAYOUT,
        )
    else:
        _paint(model, "wall", painted["wall"], (1.2, 1.2))
        _paint(model, "floor", painted["floor"], (1.0, 1.0))
        x0, x1, y0, y1 = WALLS
        middle, half = [(x0 + x1) / 2, (y0 + y1) / 2], [(x1 - x0) / 2, (y1 - y0) / 2]
        room.add_geom(
            name="room/floor",
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[*half, 1],
            pos=[*middle, FLOOR],
            material="floor",
            **seen,
        )
        height, level = 1.3, FLOOR + 1.3
        root = np.sqrt(0.5)
        for name, pos, quat, width in (
            ("back", [x0, middle[1], level], [0.5, 0.5, 0.5, 0.5], half[1]),
            ("front", [x1, middle[1], level], [0.5, 0.5, -0.5, -0.5], half[1]),
            ("right", [middle[0], y0, level], [0, 0, root, root], half[0]),
            ("left", [middle[0], y1, level], [root, root, 0, 0], half[0]),
        ):
            room.add_geom(
                name=f"room/{name}",
                type=mujoco.mjtGeom.mjGEOM_PLANE,
                size=[width, height, 1],
                pos=pos,
                quat=quat,
                material="wall",
                **seen,
            )
    for index, block in enumerate(vocabulary.rooms()[spec.background.room].furniture):
        kind = mujoco.mjtGeom.mjGEOM_BOX if block.type == "box" else mujoco.mjtGeom.mjGEOM_CYLINDER
        rgba = [*(value / 255 for value in block.colour), 1.0]
        room.add_geom(
            name=f"room/furniture{index}", type=kind, size=[*block.size, 0, 0][:3], pos=block.pos, rgba=rgba, **seen
        )


def _cameras(model: mujoco.MjSpec, look: Look) -> None:
    world = model.worldbody
    world.add_camera(name="policy", pos=look.camera, quat=look_at(look.camera, look.centre), fovy=look.fov)
    side = np.arctan2(look.camera[1] - look.centre[1], look.camera[0] - look.centre[0]) + np.radians(30)
    away = (look.centre[0] + 0.88 * float(np.cos(side)), look.centre[1] + 0.88 * float(np.sin(side)), 0.62)
    aim = (look.centre[0] - 0.08, look.centre[1], 0.08)
    world.add_camera(name="preview", pos=away, quat=look_at(away, aim), fovy=42)


def _robot(model: mujoco.MjSpec, robot: robots.Robot) -> None:
    arm = robot.spec()
    home = robot.folder.resolve()
    for element in (*arm.meshes, *arm.hfields, *arm.textures):
        if element.file:
            element.file = f"robots/{robot.recipe.name}/{Path(element.file).relative_to(home).as_posix()}"
    model.attach(arm, prefix="robot/", frame=model.worldbody.add_frame())


def compile_in(model: mujoco.MjSpec, root: Path) -> mujoco.MjModel:
    """Compile a built scene with the files of the library at `root`.

    Raises:
        SceneError: When MuJoCo refuses it.
    """
    model.meshdir = model.texturedir = str(root.resolve())
    try:
        return model.compile()
    except ValueError as error:
        raise SceneError(f"MuJoCo refuses scene '{model.modelname}': {error}") from error


def text(model: mujoco.MjSpec) -> str:
    """Return the MJCF of a compiled scene, its paths relative to a scene's folder."""
    absolute = model.meshdir
    # MjSpec wants twelve marks for a grid, writes them all, and its own parser takes only as many as the grid has cells.
    grid = "".join(panorama.GRID_LAYOUT)
    written = model.to_xml().replace(f'gridlayout="{grid}"', f'gridlayout="{panorama.LAYOUT}"')
    return written.replace(f'"{absolute}"', f'"{ROOT}"').replace(f'"{absolute}/"', f'"{ROOT}/"')


def set_home(model: mujoco.MjSpec, qpos: NDArray[np.float64], ctrl: NDArray[np.float64]) -> None:
    """Make a settled state the scene's `home` keyframe."""
    for key in list(model.keys):
        model.delete(key)
    model.add_key(name="home", qpos=np.round(qpos, 6), ctrl=np.round(ctrl, 6))

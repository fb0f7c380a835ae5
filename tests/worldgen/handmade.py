"""A library of a few scenes made by hand, so that tests of what reads libraries do not wait for what builds them."""

from __future__ import annotations

import json
from pathlib import Path

import mujoco
import numpy as np

from worldgen import store
from worldgen.assets import Asset, AssetPart, Cost
from worldgen.files import obj_text, png
from worldgen.layout import Pose
from worldgen.library import Check, Index, Rejected, Rejection, Scene, SceneLibrary, SceneRecord
from worldgen.shapes import Geom, Joint, Provenance
from worldgen.spec import SceneSpec

TURNED = (0.8001031451912656, 0.31, 0.3, 0.4178516)
"""A quaternion about no axis of the frame."""
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)  # fmt: skip
UV = np.tile([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], (12, 1, 1))


def block(half: tuple[float, float, float], lift: float = 0.0) -> np.ndarray:
    """Return the corners of a box [m]."""
    return CORNERS * half + [0, 0, lift]


def part(
    folder: Path, name: str, half: tuple[float, float, float], collision: tuple[Geom, ...], **fields: object
) -> AssetPart:
    """Write a box-shaped part of an asset."""
    visual = f"visual_{name}.obj" if name else "visual.obj"
    (folder / visual).write_text(obj_text(block(half, half[2]), FACES, UV))
    mass = 0.2
    x, y, z = (mass * (2 * extent) ** 2 / 12 for extent in half)
    values = {"pos": (0.0, 0.0, 0.0), "joint": None, **fields}
    inertia = (y + z, x + z, x + y, 1e-6, -2e-6, 5e-7)
    return AssetPart(
        name=name,
        visual=visual,
        collision=collision,
        mass=mass,
        com=(0.001, -0.002, half[2]),
        inertia=inertia,
        **values,
    )  # type: ignore[arg-type]


def asset(
    library: SceneLibrary, key: str, category: str, colour: tuple[int, int, int], *, jointed: bool = False
) -> Asset:
    """Write an asset: a box, or a cabinet with a drawer and a door and every kind of collision geom."""
    half = (0.03, 0.03, 0.04)
    folder = library.root / "assets" / key
    folder.mkdir(parents=True)
    body = (Geom(type="box", size=half, pos=(0, 0, half[2])),)
    parts = [part(folder, "", half, body)]
    if jointed:
        (folder / "hull.obj").write_text(obj_text(block((0.01, 0.02, 0.005)), FACES))
        drawer = (
            Geom(type="capsule", size=(0.005, 0.02), pos=(0.01, 0, 0.02), quat=TURNED),
            Geom(type="ellipsoid", size=(0.01, 0.02, 0.005), pos=(0, 0.01, 0.02), quat=TURNED),
        )
        door = (
            Geom(type="mesh", file="hull.obj", pos=(0.01, 0.02, 0.03), quat=TURNED),
            Geom(type="cylinder", size=(0.01, 0.02), quat=(0.7071067811865476, 0, 0.7071067811865476, 0)),
            Geom(type="sphere", size=(0.01,)),
        )
        slide = Joint(type="slide", axis=(1, 0, 0), range=(0, 0.05))
        hinge = Joint(type="hinge", axis=(0, 0, 1), range=(-1.5, 0), pos=(0.02, -0.03, 0))
        parts.append(part(folder, "drawer", (0.02, 0.02, 0.01), drawer, pos=(0.05, 0, 0.01), joint=slide))
        parts.append(part(folder, "door", (0.02, 0.01, 0.03), door, pos=(0, 0.1, 0.01), joint=hinge))
    (folder / "texture.png").write_bytes(png(np.full((4, 4, 3), colour, np.uint8)))
    made = Asset(
        key=key, category=category, colour="red", material="plastic", description="", size=(0.06, 0.06, 0.08), mass=0.2 * len(parts),
        friction=0.4, texture="texture.png", parts=tuple(parts), sites={}, footprint=((-0.03, -0.03), (0.03, -0.03), (0, 0.03)),
        fidelity=None, cost=Cost(geoms=1, contacts=4, step_us=1), provenance=Provenance(backend="hand", licence="CC0-1.0", may_train=True),
    )  # fmt: skip
    made.save(folder)
    store.write_manifest(folder)
    return made


def spec(name: str, instruction: str) -> SceneSpec:
    """Return a spec: bring the mug to the cabinet."""
    thing = {"size": (0.06, 0.06, 0.08), "material": "plastic"}
    objects = [
        {"name": "mug", "category": "mug", "colour": "red", "role": "target", **thing},
        {"name": "cabinet", "category": "drawer", "colour": "blue", "role": "fixture", **thing},
    ]
    task = {
        "instruction": instruction,
        "paraphrases": ["bring the mug"],
        "goals": [{"kind": "near", "target": "mug", "other": "cabinet"}],
    }
    value = {
        "name": name,
        "surface": {"material": "oak"},
        "background": {"room": "kitchen"},
        "objects": objects,
        "task": task,
    }
    return SceneSpec.model_validate(value)


def library(root: Path, scenes: int = 3, instruction: str = "push the red mug to the drawer") -> SceneLibrary:
    """Write a library; scene 1 has a warning and an earlier attempt, and one more was given up."""
    made = SceneLibrary.create(root, {"requests": ["push the red mug to the drawer"], "robot": "widowx", "seed": 0})
    assets = {
        "mug": asset(made, "a" * 24, "mug", (200, 30, 30)),
        "cabinet": asset(made, "b" * 24, "drawer", (30, 30, 200), jointed=True),
    }
    (root / "robots" / "widowx").mkdir()
    (root / "robots" / "widowx" / "robot.xml").write_text("<mujoco/>\n")
    names = tuple(f"{index:04d}" for index in range(scenes))
    for index, name in enumerate(names):
        _scene(made, name, assets, instruction, troubled=index == 1)
    reasons = (Rejection(attempt=2, gate="settle", message="'mug' <fell> over."),)
    given_up = Rejected(name="0099", split="train", request="push it", rejections=reasons)
    (root / "rejected" / "0099.json").write_text(given_up.model_dump_json())
    splits = {"train": scenes - scenes // 2, "unseen-objects": scenes // 2}
    counts = {
        "scenes": scenes, "splits": splits, "families": {"push": scenes}, "assets": 2, "attempts": 5, "accepted_at_first_try": 0.5,
        "accepted_per_attempt": 0.6, "rejections": {"settle": 2}, "given_up": ["0099"],
    }  # fmt: skip
    index = made.index().model_copy(
        update={"scenes": names, "counts": counts, "complete": True, "versions": {"mujoco": "3.17.0"}}
    )
    made.write_index(Index.model_validate(index.model_dump()))
    return made


def _scene(found: SceneLibrary, name: str, assets: dict[str, Asset], instruction: str, *, troubled: bool) -> Scene:
    model = mujoco.MjSpec()
    model.compiler.degree = False
    model.worldbody.add_light(pos=[0, 0, 2], dir=[0, 0, -1])
    model.worldbody.add_geom(
        name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1], group=2, rgba=[0.6, 0.6, 0.5, 1]
    )
    # both look along -x, tilted down by atan(.6 / .6), at (0.3, 0, 0)
    quat = np.zeros(4)
    tilt = np.sqrt(0.5)
    mujoco.mju_mat2Quat(quat, np.array([[0, -tilt, tilt], [1, 0, 0], [0, tilt, tilt]]).ravel())
    for camera in ("policy", "preview"):
        model.worldbody.add_camera(name=camera, pos=[0.9, 0, 0.6], quat=quat, fovy=40)
    model.stat.center, model.stat.extent = [0.3, 0, 0], 1.0
    poses = {
        "mug": Pose(pos=(0.3, 0.1, 0.0), yaw=0.0, opening=0.0),
        "cabinet": Pose(pos=(0.3, -0.1, 0.0), yaw=0.5, opening=0.0),
    }
    for thing, made in assets.items():
        made.add_to(model, thing, f"assets/{made.key}", poses[thing].pos, poses[thing].yaw, fixed=thing == "cabinet")
    model.meshdir = model.texturedir = str(found.root.resolve())
    model.compile()
    model.add_key(name="home", qpos=[0.3, 0.1, 0.001, 1, 0, 0, 0, 0, 0])
    text = model.to_xml().replace(str(found.root.resolve()), "../..")
    folder = found.root / "scenes" / name
    folder.mkdir(parents=True)
    (folder / "scene.xml").write_text(text)
    checks = (
        Check(name="penetration", ok=True, value=2.31 if troubled else 0.1, limit=5, unit="mm", warning=troubled, detail="touches" if troubled else ""),
        Check(name="goal open", ok=True),
    )  # fmt: skip
    record = SceneRecord(
        name=name, split="unseen-objects" if int(name) % 2 else "train", family="push", seed=int(name), spec=spec(name, instruction),
        assets={thing: made.key for thing, made in assets.items()}, textures={}, poses=poses, checks=checks,
        rejections=(Rejection(attempt=0, gate="visible", message="too small"),) if troubled else (), provenance={},
    )  # fmt: skip
    (folder / "scene.json").write_text(record.model_dump_json(indent=1))
    (folder / "preview.png").write_bytes(png(np.random.default_rng(int(name)).integers(0, 255, (48, 64, 3), np.uint8)))
    store.write_manifest(folder)
    return Scene(folder, record)


def edit(scene: Scene, **fields: object) -> Scene:
    """Change fields of a scene's record on disk."""
    value = json.loads((scene.folder / "scene.json").read_text())
    (scene.folder / "scene.json").write_text(json.dumps({**value, **fields}))
    return Scene.open(scene.folder)

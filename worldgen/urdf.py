"""The objects of a scene as URDF: one folder an object, every path in it relative. Knows assets, not what a scene asks for.

Mass, centre and inertia are the asset's own numbers. URDF knows boxes, cylinders, spheres and meshes: a capsule becomes a cylinder
and two spheres, an ellipsoid a convex mesh.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import mujoco
import numpy as np
import trimesh

from . import safety, store
from .assets import Asset, AssetPart
from .errors import SceneError
from .files import obj_text
from .library import Scene
from .shapes import Geom, Quaternion, Vector3

_MATERIAL, _SPHERE_STEPS = "surface", 2
_EFFORT, _SPEED = 50.0, 2.0
"""Limits that URDF demands of a joint: [N] or [Nm], [m/s] or [rad/s]."""


def write(scene: Scene, out: Path) -> Path:
    """Write every object of a scene into a folder of its own below `out`, and `objects.json` with where each stands.

    Raises:
        SceneError: When an asset cannot be read.
        StoreError: When a file cannot be written.
    """
    placed = {}
    for item in scene.record.spec.objects:
        source = scene.root / "assets" / own_name(scene.record.assets[item.name])
        asset = scene.asset(item.name)
        _write_object(asset, source, out / own_name(item.name), item.name)
        pose = scene.record.poses[item.name]
        placed[item.name] = {
            "urdf": f"{item.name}/{item.name}.urdf",
            "position": pose.pos,
            "yaw": pose.yaw,
            "opening": pose.opening,
            "fixed": item.role == "fixture" or not asset.mass,
            "mass": asset.mass,
        }
    _put(out / "objects.json", json.dumps(placed, indent=1) + "\n")
    return out


def _write_object(asset: Asset, source: Path, folder: Path, name: str) -> None:
    for named in (asset.texture, *(part.visual for part in asset.parts)):
        own_name(named)
    _put(folder / asset.texture, _get(source / asset.texture))
    _put(folder / "asset.json", _get(source / "asset.json"))
    _put(folder / f"{_MATERIAL}.mtl", f"newmtl {_MATERIAL}\nKa 1 1 1\nKd 1 1 1\nmap_Kd {asset.texture}\n")
    robot = Element("robot", name=name)
    # what MuJoCo needs to read this as it is meant; others pass over it
    kept = {"strippath": "false", "discardvisual": "false", "fusestatic": "false", "balanceinertia": "false"}
    SubElement(SubElement(robot, "mujoco"), "compiler", kept)
    material = SubElement(robot, "material", name=_MATERIAL)
    SubElement(material, "texture", filename=asset.texture)
    root = asset.parts[0]
    for part in asset.parts:
        _add_link(robot, asset, part, source, folder, _link(name, part))
        if part is not root:
            _add_joint(robot, part, name, _link(name, part))
    ElementTree.indent(robot, " ")
    text = ElementTree.tostring(robot, encoding="unicode")
    _put(folder / f"{name}.urdf", f'<?xml version="1.0"?>\n{text}\n')


def _link(name: str, part: AssetPart) -> str:
    return f"{name}_{part.name}" if part.name else name


def _anchor(part: AssetPart) -> Vector3:
    """Return where the link's frame lies in the part's: URDF turns a link about its own origin."""
    return part.joint.pos if part.joint else (0.0, 0.0, 0.0)


def _add_link(robot: Element, asset: Asset, part: AssetPart, source: Path, folder: Path, name: str) -> None:
    link = SubElement(robot, "link", name=name)
    shift = -np.array(_anchor(part))
    if part.mass:
        inertial = SubElement(link, "inertial")
        SubElement(inertial, "origin", xyz=_numbers(shift + part.com), rpy="0 0 0")
        SubElement(inertial, "mass", value=f"{part.mass:.9g}")
        xx, yy, zz, xy, xz, yz = (f"{value:.9g}" for value in part.inertia)
        SubElement(inertial, "inertia", ixx=xx, ixy=xy, ixz=xz, iyy=yy, iyz=yz, izz=zz)
    visual = SubElement(link, "visual")
    SubElement(visual, "origin", xyz=_numbers(shift), rpy="0 0 0")
    SubElement(SubElement(visual, "geometry"), "mesh", filename=part.visual)
    SubElement(visual, "material", name=_MATERIAL)
    looks = f"mtllib {_MATERIAL}.mtl\nusemtl {_MATERIAL}\n".encode()
    _put(folder / part.visual, looks + _get(source / part.visual))
    for index, geom in enumerate(part.collision):
        for kind, sizes, origin, mesh in _shapes(geom, source, f"{Path(part.visual).stem}_collision{index}.obj"):
            collision = SubElement(link, "collision")
            rpy = _numbers(rpy_of(geom.quat))
            SubElement(collision, "origin", xyz=_numbers(shift + origin), rpy=rpy)
            SubElement(SubElement(collision, "geometry"), kind, sizes)
            if mesh is not None:
                _put(folder / sizes["filename"], mesh)
    if part.collision:
        SubElement(SubElement(link, "contact"), "lateral_friction", value=f"{asset.friction:.6g}")


_Piece = tuple[str, dict[str, str], np.ndarray, bytes | None]
"""Element, its attributes, position in the part's frame [m], content of its mesh file."""


def _shapes(geom: Geom, source: Path, mesh_name: str) -> Iterator[_Piece]:
    """Yield the URDF shapes that stand for a collision geom; all have its orientation."""
    pos, size = np.array(geom.pos), geom.size
    if geom.type == "box":
        yield "box", {"size": _numbers(2 * np.array(size))}, pos, None
    elif geom.type == "sphere":
        yield "sphere", {"radius": f"{size[0]:.9g}"}, pos, None
    elif geom.type in ("cylinder", "capsule"):
        yield "cylinder", {"radius": f"{size[0]:.9g}", "length": f"{2 * size[1]:.9g}"}, pos, None
        if geom.type == "capsule":
            axis = rotation_of(geom.quat)[:, 2]
            for side in (-1, 1):
                yield "sphere", {"radius": f"{size[0]:.9g}"}, pos + side * size[1] * axis, None
    elif geom.type == "ellipsoid":
        ball = trimesh.creation.icosphere(subdivisions=_SPHERE_STEPS)
        yield "mesh", {"filename": mesh_name}, pos, obj_text(ball.vertices * np.array(size), ball.faces).encode()
    else:
        yield "mesh", {"filename": mesh_name}, pos, _get(source / own_name(geom.file or ""))


def _add_joint(robot: Element, part: AssetPart, parent: str, child: str) -> None:
    kind = {"slide": "prismatic", "hinge": "revolute"}[part.joint.type] if part.joint else "fixed"
    joint = SubElement(robot, "joint", name=f"{child}_joint", type=kind)
    SubElement(joint, "parent", link=parent)
    SubElement(joint, "child", link=child)
    SubElement(joint, "origin", xyz=_numbers(np.array(part.pos) + _anchor(part)), rpy="0 0 0")
    if part.joint:
        low, high = part.joint.range
        SubElement(joint, "axis", xyz=_numbers(part.joint.axis))
        limit = {"lower": f"{low:.9g}", "upper": f"{high:.9g}", "effort": f"{_EFFORT:g}", "velocity": f"{_SPEED:g}"}
        SubElement(joint, "limit", limit)
        SubElement(joint, "dynamics", damping=f"{part.joint.damping:.9g}", friction=f"{part.joint.frictionloss:.9g}")


def rotation_of(quat: Quaternion) -> np.ndarray:
    """Return the rotation matrix of a quaternion (w, x, y, z)."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.array(quat, np.float64) / np.linalg.norm(quat))
    return matrix.reshape(3, 3)


def rpy_of(quat: Quaternion) -> Vector3:
    """Return a quaternion (w, x, y, z) as URDF's roll, pitch and yaw about fixed axes [rad]."""
    turn = rotation_of(quat)
    across = float(np.hypot(turn[0, 0], turn[1, 0]))
    pitch = float(np.arctan2(-turn[2, 0], across))
    if across < 1e-9:  # straight up or down: roll and yaw turn about one axis, so roll takes both
        return float(np.arctan2(-turn[1, 2], turn[1, 1])), pitch, 0.0
    return float(np.arctan2(turn[2, 1], turn[2, 2])), pitch, float(np.arctan2(turn[1, 0], turn[0, 0]))


def own_name(name: str) -> str:
    """Return the name of a file or folder; refuse one that leads elsewhere, as a stranger's record may.

    Raises:
        SceneError: When it is no plain name.
    """
    if name != Path(name).name or name.startswith(".") or "\\" in name:
        raise SceneError(
            f"'{name}' is no name of a file inside its folder. The record is damaged; build the scene again."
        )
    return name


def _numbers(values: object) -> str:
    return " ".join(f"{value:.9g}" for value in np.asarray(values, np.float64) + 0.0)


def _get(path: Path) -> bytes:
    """Return the content of `assets/<key>/<name>` of a library."""
    return safety.read(path, path.parents[2])


def _put(path: Path, content: bytes | str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SceneError(f"'{path.parent}' cannot be made ({error.strerror}). Choose another --out.") from error
    store.write_file(path, content)

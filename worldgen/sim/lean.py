"""The same picture with fewer draw calls: what a body shows in plain colours becomes one mesh with a palette for a texture.

On a CPU a draw call costs as much as some hundred triangles; an arm of 60 shapes is 50 calls too many. Fewer geoms also make each time
step shorter. Physics is untouched: only geoms that nothing can touch are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import mujoco
import numpy as np
import trimesh
from numpy.typing import NDArray

from ..assets import VISUAL_GROUP

_TEXELS = 4
"""Side of one colour in the palette [px]: filtering never reaches the next one."""
_SHARP = 0.77
"""Cosine of the angle from which an edge stays an edge."""
_SECTIONS = 16
"""Corners of a round shape, as MuJoCo draws it in scenes."""
_KINDS = frozenset(
    {
        mujoco.mjtGeom.mjGEOM_BOX,
        mujoco.mjtGeom.mjGEOM_CYLINDER,
        mujoco.mjtGeom.mjGEOM_CAPSULE,
        mujoco.mjtGeom.mjGEOM_SPHERE,
        mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    }
)


def merge_drawn(spec: mujoco.MjSpec) -> None:
    """Replace the plainly coloured, untouchable shapes of each body by one mesh, in place."""
    groups = [(body, [geom for geom in body.geoms if _plain(spec, geom)]) for body in spec.bodies]
    groups = [(body, geoms) for body, geoms in groups if len(geoms) > 1]
    colours = sorted({_colour(spec, geom) for _, geoms in groups for geom in geoms})
    if not colours:
        return
    _add_palette(spec, colours)
    for index, (body, geoms) in enumerate(groups):
        parts = [(*_part(geom), (colours.index(_colour(spec, geom)) + 0.5) / len(colours)) for geom in geoms]
        name = f"drawn/{index}"
        _add_mesh(spec, name, parts)
        for geom in geoms:
            spec.delete(geom)
        body.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=name,
            material="drawn",
            group=VISUAL_GROUP,
            contype=0,
            conaffinity=0,
            mass=0,
        )


def _plain(spec: mujoco.MjSpec, geom: mujoco.MjsGeom) -> bool:
    """Return whether a geom is seen, never touched, opaque, weightless and of one colour."""
    material = spec.material(geom.material) if geom.material else None
    textured = material is not None and any(material.textures)
    return (
        geom.type in _KINDS
        and not geom.contype
        and not geom.conaffinity
        and geom.group <= VISUAL_GROUP
        and not textured
        and _colour(spec, geom)[3] == 1
        and geom.mass == 0
        and np.isnan(geom.fromto[0])  # MuJoCo writes scenes with plain poses; others are left as they are
        and geom.alt.type == mujoco.mjtOrientation.mjORIENTATION_QUAT
    )


def _colour(spec: mujoco.MjSpec, geom: mujoco.MjsGeom) -> tuple[float, ...]:
    """Return a geom's colour, as MuJoCo draws it: its own where it was given one, else its material's."""
    own = tuple(round(float(value), 4) for value in geom.rgba)
    if geom.material and own == (0.5, 0.5, 0.5, 1.0):  # MuJoCo's mark for "not given"
        return tuple(round(float(value), 4) for value in spec.material(geom.material).rgba)
    return own


def _add_palette(spec: mujoco.MjSpec, colours: Sequence[tuple[float, ...]]) -> None:
    row = np.repeat((np.array(colours)[:, :3] * 255).round().astype(np.uint8), _TEXELS, axis=0)
    pixels = np.repeat(row[None], _TEXELS, axis=0)
    spec.add_texture(
        name="drawn",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=pixels.shape[1],
        height=pixels.shape[0],
        nchannel=3,
        data=pixels.ravel().tolist(),
    )
    material = spec.add_material(name="drawn", specular=0.3, shininess=0.3)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "drawn"


def _part(geom: mujoco.MjsGeom) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a shape's corners, one for each corner of each triangle, and their normals, in the body's frame."""
    rotation = np.empty(9)
    mujoco.mju_quat2Mat(rotation, np.asarray(geom.quat) / np.linalg.norm(geom.quat))
    return _shaped(geom.type, tuple(geom.size), tuple(rotation), tuple(geom.pos))


@lru_cache(maxsize=4096)  # the arm's shapes are the same in every scene, and most of all
def _shaped(
    kind: mujoco.mjtGeom, half: tuple[float, ...], rotation: tuple[float, ...], place: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """See `_part`."""
    size, matrix = np.array(half), np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.reshape(rotation, (3, 3)), place
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        solid = trimesh.creation.box(2 * size)
    elif kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        solid = trimesh.creation.cylinder(size[0], 2 * size[1], sections=_SECTIONS)
    elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        solid = trimesh.creation.capsule(2 * size[1], size[0], count=[_SECTIONS // 2, _SECTIONS])
    else:
        solid = trimesh.creation.uv_sphere(1.0, count=[_SECTIONS // 2, _SECTIONS])
        solid.apply_scale(np.repeat(size[0], 3) if kind == mujoco.mjtGeom.mjGEOM_SPHERE else size)
    solid.apply_transform(matrix)
    return solid.triangles.reshape(-1, 3), _normals(solid)


def _normals(solid: trimesh.Trimesh) -> NDArray[np.float64]:
    """Return a normal for each corner of each triangle: smooth but across sharp edges."""
    flat = np.repeat(solid.face_normals, 3, axis=0)
    smooth = np.asarray(solid.vertex_normals)[solid.faces].reshape(-1, 3)
    return np.where((flat * smooth).sum(axis=1, keepdims=True) > _SHARP, smooth, flat)


def _add_mesh(
    spec: mujoco.MjSpec, name: str, parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64], float]]
) -> None:
    corners, normals = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    uv = np.concatenate([np.tile([part[2], 0.5], (len(part[0]), 1)) for part in parts])
    index = np.arange(len(corners), dtype=np.int32)
    spec.add_mesh(
        name=name,
        uservert=corners.ravel().astype(np.float32),
        usernormal=normals.ravel().astype(np.float32),
        usertexcoord=uv.ravel().astype(np.float32),
        userface=index,
        userfacenormal=index,
        userfacetexcoord=index,
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )

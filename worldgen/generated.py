"""What a model made becomes an object: one piece, upright, in metres, standing, with a closed body to weigh. Knows meshes, no models.

The mesh that is seen stays as it was made, but for fewer faces; what is weighed and split is a closed body around it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from . import mesh, mesh_solid
from .errors import AssetError
from .mesh_read import Array, RawMesh
from .shapes import Part, Provenance, Shape, Site
from .spec import ObjectSpec

VISUAL_FACES, BODY_FACES = 2000, 6000
"""Faces kept for drawing, and of the body."""
MAX_FACES = 300_000
"""Faces that a mesh is thinned to before anything is done with it."""
FLOATER = 0.05
"""What is not joined to the rest and is shorter than this share of the whole is dropped."""
LEANING = 30.0
"""A mesh leans at most so far from how it stands [deg]; else it is taken to stand as it was made."""
PROPORTION = 0.3
"""Least share of an asked extent that a mesh scaled to fit may have."""


def shape_of(raw: RawMesh, item: ObjectSpec, provenance: Provenance, up: Literal["y", "z"]) -> Shape:
    """Return the object that a mesh shows, as large as fits into the asked size, its longer side along the longer one.

    Args:
        raw: In any unit; open, self-crossing or in pieces as it may be.
        item: What it is and how large it may be.
        provenance: Who made it.
        up: Axis of the mesh that points up.

    Raises:
        AssetError: When it encloses nothing, or its proportions are far from those of what was asked for.
    """
    raw = _upright(_one_piece(mesh.clean(mesh.simplify(raw, MAX_FACES) if len(raw.faces) > MAX_FACES else raw)), up)
    body = mesh.solidify(raw)
    turn = _resting(body)
    raw, body = (replace(part, vertices=part.vertices @ turn.T) for part in (raw, body))
    yaw = _aligned(body.vertices, item.size)
    raw, body = (replace(part, vertices=part.vertices @ yaw.T) for part in (raw, body))
    scale = _scale(np.ptp(body.vertices, axis=0), item)
    move = -np.array([*(body.vertices.min(axis=0) + body.vertices.max(axis=0))[:2] / 2, body.vertices[:, 2].min()])
    raw, body = (replace(part, vertices=(part.vertices + move) * scale) for part in (raw, body))
    solid = mesh.simplify(replace(body, uv=None, texture=None), BODY_FACES)
    points, faces = mesh.standing(solid.vertices, solid.faces)
    seen = _seen(raw, body)
    low = float(points[:, 2].min())
    visual = np.maximum(seen.vertices, [-np.inf, -np.inf, low]) - [0, 0, low]  # what the table would hide is flat
    points = points - [0, 0, low]
    uv, texture = seen.uv, seen.texture
    if uv is None or texture is None:
        uv, texture = np.full((len(seen.faces), 3, 2), 0.5), np.full((8, 8, 3), seen.colour, np.uint8)
    x, y, z = (float(extent) for extent in np.ptp(points, axis=0))
    return Shape(
        parts=(Part("", np.round(visual, 7), seen.faces, uv, body=(np.round(points, 7), faces)),),
        texture=texture,
        provenance=provenance,
        sites=sites(x, y, z),
        description=item.description or f"{item.colour} {item.material} {item.category}",
        notes=tuple(filter(None, (f"solid {body.made}", seen.note))),
    )


def sites(x: float, y: float, z: float) -> dict[str, Site]:
    """Return sites of a thing of which nothing but its extents [m] is known: a grip along the narrower horizontal side, a third below the top."""
    half = float(np.sqrt(0.5))
    turn = (1.0, 0.0, 0.0, 0.0) if x <= y else (half, 0.0, 0.0, half)
    return {
        "top": Site(pos=(0, 0, z), size=(x / 4, y / 4, 0.001)),
        "bottom": Site(pos=(0, 0, 0)),
        "grasp": Site(pos=(0, 0, z * 2 / 3), quat=turn, size=(min(x, y) / 2, 0.005, 0.005)),
    }


def _one_piece(raw: RawMesh) -> RawMesh:
    """Return a mesh without the small pieces that float around it, its faces turned one way."""
    label = mesh_solid.pieces(raw.faces)
    low, high = mesh_solid.piece_boxes(raw.vertices, raw.faces, label)
    whole = float(np.linalg.norm(np.ptp(raw.vertices, axis=0)))
    kept = (np.linalg.norm(high - low, axis=1) >= FLOATER * whole)[label]
    if not kept.any():  # a cloud of crumbs
        kept[:] = True
    used, index = np.unique(raw.faces[kept], return_inverse=True)
    faces, uv = index.reshape(-1, 3), None if raw.uv is None else raw.uv[kept]
    made = replace(raw, vertices=raw.vertices[used], faces=faces, uv=uv)
    flip = mesh_solid.orient(faces)
    made = made if flip is None else mesh.flipped(made, flip)
    return mesh.flipped(made, mesh_solid.face_outwards(made.vertices, made.faces))


def _upright(raw: RawMesh, up: Literal["y", "z"]) -> RawMesh:
    return replace(raw, vertices=raw.vertices[:, [0, 2, 1]] * [1, -1, 1]) if up == "y" else raw


def _resting(body: RawMesh) -> NDArray[np.float64]:
    """Return the shortest rotation (3, 3) to a pose in which a body rests, that nearest to how it was made; none where all are far.

    It rests on a facet of its convex hull where its centre of mass is above that facet.
    """
    hull = ConvexHull(body.vertices)
    com = mesh.mass_properties(body.vertices, body.faces, 1.0).com
    for index in np.argsort(hull.equations[:, 2]):  # outward normals, the steepest down first
        normal = hull.equations[index, :3]
        if -normal[2] < np.cos(np.radians(LEANING)):
            break
        flat = np.abs(hull.equations - hull.equations[index]).max(axis=1) < 1e-6  # triangles of one facet
        if any(_above(com, normal, body.vertices[corners]) for corners in hull.simplices[flat]):
            return _turned(normal, np.array([0.0, 0.0, -1.0]))
    return np.eye(3)


def _above(point: Array, normal: Array, corners: Array) -> bool:
    """Tell whether a point is straight above a triangle (3, 3)."""
    sides = np.roll(corners, -1, axis=0) - corners
    turns = np.cross(sides, point - corners) @ normal
    return bool((turns >= 0).all() or (turns <= 0).all())


def _turned(one: Array, other: Array) -> NDArray[np.float64]:
    """Return the shortest rotation (3, 3) from one direction to another that is not opposite (Rodrigues)."""
    x, y, z = np.cross(one, other)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + skew + skew @ skew / (1 + float(one @ other)))


def _aligned(vertices: Array, size: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the rotation (3, 3) about z that lays the longer side of the footprint along x, or along y where that is asked to be longer."""
    points = np.ascontiguousarray(vertices[:, :2] / np.ptp(vertices, axis=0).max(), np.float32)
    corners = cv2.boxPoints(cv2.minAreaRect(points))
    sides = np.diff(corners[:3], axis=0)
    long = sides[np.linalg.norm(sides, axis=1).argmax()]
    angle = (0.0 if size[0] >= size[1] else np.pi / 2) - np.arctan2(long[1], long[0])
    angle = (angle + np.pi / 2) % np.pi - np.pi / 2  # the shorter way: its front stays in front
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _scale(extents: Array, item: ObjectSpec) -> float:
    """Return what makes a mesh as large as fits into the asked size."""
    scale = float((np.array(item.size) / extents).min())
    share = extents * scale / item.size
    if share.min() < PROPORTION:
        made, asked = (" x ".join(f"{1000 * side:.0f}" for side in sides) for sides in (extents * scale, item.size))
        raise AssetError(
            f"a {item.category} of {asked} mm was asked for, what was made is {made} mm at its largest: something else."
        )
    return scale


def _seen(raw: RawMesh, body: RawMesh) -> RawMesh:
    """Return what is drawn: the mesh itself with fewer faces, or its body where they cannot be fewer."""
    few = mesh.simplify(raw, VISUAL_FACES)
    return few if len(few.faces) <= 2 * VISUAL_FACES else mesh.simplify(body, VISUAL_FACES)

"""The outline that an object needs on the table: all its parts, closed and open. Knows shapes, not where they stand."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from .shapes import Part, Shape

MAX_VERTICES = 12


def footprint(shape: Shape) -> tuple[tuple[float, float], ...]:
    """Return the convex outline of all parts, closed and open, with few vertices, never smaller than the true one [m]."""
    clouds = [shape.points[:, :2]]
    for part in shape.parts:
        if part.joint and part.joint.type == "slide":
            far = max(part.joint.range, key=abs)
            clouds.append((part.vertices + part.pos + far * np.array(part.joint.axis))[:, :2])
        elif part.joint:
            clouds.append(_swept(part)[:, :2])
    cloud = np.concatenate(clouds)
    corners = cloud[ConvexHull(cloud).vertices]
    if len(corners) > MAX_VERTICES:
        corners = _around(corners)
    return tuple((round(float(x), 5), round(float(y), 5)) for x, y in corners)


def _swept(part: Part) -> NDArray[np.float64]:
    """Return the vertices of a hinged part at several openings [m]."""
    assert part.joint is not None
    axis, anchor = np.array(part.joint.axis), np.array(part.joint.pos)
    clouds = []
    for angle in np.linspace(0, max(part.joint.range, key=abs), 7):
        turn = np.zeros(9)
        quat = np.zeros(4)
        mujoco.mju_axisAngle2Quat(quat, axis, angle)
        mujoco.mju_quat2Mat(turn, quat)
        clouds.append((part.vertices - anchor) @ turn.reshape(3, 3).T + anchor + part.pos)
    return np.concatenate(clouds)


def _around(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a polygon of a few fixed directions around a convex outline."""
    angles = np.arange(MAX_VERTICES) * 2 * np.pi / MAX_VERTICES
    normals = np.stack([np.cos(angles), np.sin(angles)], 1)
    support = (corners @ normals.T).max(axis=0)
    following = np.roll(normals, -1, axis=0)
    # each vertex is where two neighbouring supporting lines meet
    return np.array(
        [
            np.linalg.solve(np.stack([n, m]), [a, b])
            for n, m, a, b in zip(normals, following, support, np.roll(support, -1), strict=True)
        ]
    )

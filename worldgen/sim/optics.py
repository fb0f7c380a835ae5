"""Where a camera sees a point, and which point of the table a place in its picture shows. Knows arrays and one MuJoCo camera, no scenes.

Frame: the robot's base frame. Places in a square picture are counted from its upper left corner, as shares of its width and height.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

CAMERA = 10
"""Numbers that say where a picture was taken from: position [m], axes to the right and up (6), vertical field of view [rad]."""
_FLAT = -0.2
"""A ray that falls less steeply counts as falling so: its point on the table is too far off to matter."""
_LEAST = 1e-6
"""Least distance in front of a camera [m]."""


def pose(model: mujoco.MjModel, data: mujoco.MjData, camera: int) -> NDArray[np.float64]:
    """Return (CAMERA,) numbers of a camera of a model."""
    axes = data.cam_xmat[camera].reshape(3, 3)
    return np.concatenate([data.cam_xpos[camera], axes[:, 0], axes[:, 1], [np.radians(model.cam_fovy[camera])]])


def seen_at(cameras: NDArray[np.floating], points: ArrayLike) -> NDArray[np.float64]:
    """Return where cameras (N, CAMERA) see points (P, 3) or (N, P, 3) [m]: (N, P, 2)."""
    eye, right, up, fov = _parts(cameras)
    away = np.asarray(points, np.float64) - eye
    x, y, z = ((away * axis).sum(axis=-1) for axis in (right, up, np.cross(up, right)))
    scale = 2 * np.tan(fov[..., 0] / 2) * np.maximum(z, _LEAST)
    return np.stack([0.5 + x / scale, 0.5 - y / scale], axis=-1)


def on_table(cameras: NDArray[np.floating], places: ArrayLike) -> NDArray[np.float64]:
    """Return which points of the table's plane, z = 0, cameras (N, CAMERA) show at places (P, 2) or (N, P, 2): x and y, (N, P, 2) [m]."""
    eye, right, up, fov = _parts(cameras)
    u, v = np.moveaxis(np.asarray(places, np.float64), -1, 0)[..., None]
    ray = np.cross(up, right) + np.tan(fov / 2) * ((2 * u - 1) * right + (1 - 2 * v) * up)
    found: NDArray[np.float64] = (eye - eye[..., 2:] / np.minimum(ray[..., 2:], _FLAT) * ray)[..., :2]
    return found


def _parts(cameras: NDArray[np.floating]) -> tuple[NDArray[np.float64], ...]:
    """Return position, axes to the right and up, and field of view, (N, 1, 3) and (N, 1, 1)."""
    wide = np.asarray(cameras, np.float64)[..., None, :]
    return wide[..., :3], wide[..., 3:6], wide[..., 6:9], wide[..., 9:]

"""Cameras as tensors: where they see points, which points of the table they show, and which camera sees points where they are seen.

The same geometry as `worldgen.sim.optics` has for arrays, with gradients. Frame: the robot's base frame. Places in a square picture are counted
from its upper left corner, as shares of its width and height.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST = 0.05
"""Least distance in front of a camera [m]."""
_FLAT = -0.2
"""A ray that falls less steeply counts as falling so: its point on the table is too far off to matter."""
NUMBERS = 7
"""What tells one camera from another: position (3) [m], rotation vector in the base frame (3) [rad], logarithm of the tangent of half the field of view."""


@dataclass(frozen=True)
class Cameras:
    """N cameras."""

    eye: Tensor
    """(N, 3) where they are [m]."""
    axes: Tensor
    """(N, 3, 3) rows: to the right, up, and ahead."""
    wide: Tensor
    """(N,) tangent of half the field of view."""

    def moved(self, by: Tensor) -> Cameras:
        """Return cameras moved, turned and widened by (N, NUMBERS)."""
        return Cameras(self.eye + by[:, :3], turned(by[:, None, 3:6], self.axes), self.wide * by[:, 6].exp())

    def places(self, points: Tensor) -> Tensor:
        """Return where points (N, P, 3) [m] are seen, (N, P, 2)."""
        x, y, z = self._ahead(points)
        scale = 2 * self.wide[:, None] * z
        return torch.stack([0.5 + x / scale, 0.5 - y / scale], dim=-1)

    def table(self, places: Tensor) -> Tensor:
        """Return which points of the table's plane, z = 0, places (N, P, 2) show: x and y, (N, P, 2) [m]."""
        right, up, ahead = self.axes[:, None].unbind(dim=2)
        across, down = (2 * places - 1).split(1, dim=-1)
        ray = ahead + self.wide[:, None, None] * (across * right - down * up)
        return self.eye[:, None, :2] - self.eye[:, None, 2:] / ray[..., 2:].clamp_max(_FLAT) * ray[..., :2]

    def slopes(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return `places` of points (N, P, 3), and their derivatives by what cameras are `moved` by, (N, P, 2, NUMBERS)."""
        x, y, z = self._ahead(points)
        away, scale = points - self.eye[:, None], 2 * self.wide[:, None] * z
        turns = [torch.linalg.cross(axis.expand_as(away), away, dim=-1) for axis in self.axes[:, None].unbind(dim=2)]
        parts = [
            torch.cat([-axis.expand_as(away), turn], dim=-1)
            for axis, turn in zip(self.axes[:, None].unbind(dim=2), turns, strict=True)
        ]
        off = torch.stack([x, -y], dim=-1) / scale[..., None]
        by = torch.stack([parts[0], -parts[1]], dim=-2) / scale[..., None, None]
        by = by - (off / z[..., None])[..., None] * parts[2][..., None, :]
        return 0.5 + off, torch.cat([by, -off[..., None]], dim=-1)

    def _ahead(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return points as the cameras have them: to the right, up, and ahead, (N, P) each."""
        x, y, z = (points - self.eye[:, None]).matmul(self.axes.transpose(1, 2)).unbind(dim=-1)
        return x, y, z.clamp_min(_LEAST)


def corrected(told: Cameras, points: Tensor, seen: Tensor, trust: Tensor, doubt: Tensor, steps: int = 2) -> Cameras:
    """Return the cameras near `told` ones that see points where they are seen: Gauss-Newton on a sum of squares.

    Args:
        told: N cameras.
        points: (N, P, 3) [m].
        seen: (N, P, 2) where they are seen.
        trust: (N, P) one over the standard deviation of these; 0 for a point that is not to be looked at.
        doubt: (NUMBERS,) one over the standard deviations of what is told.
        steps: Of Gauss-Newton.
    """
    now, total = told, seen.new_zeros(len(seen), NUMBERS)
    hold = torch.diag(doubt**2)
    for _ in range(steps):
        places, slopes = now.slopes(points)
        weighed = (slopes * trust[..., None, None] ** 2).flatten(1, 2)
        pull = weighed.transpose(1, 2) @ (seen - places).flatten(1)[..., None]
        pull = pull - hold @ total[..., None]
        step = torch.linalg.solve(weighed.transpose(1, 2) @ slopes.flatten(1, 2) + hold, pull)[..., 0]
        now, total = now.moved(step), total + step
    return now


def turned(by: Tensor, vectors: Tensor) -> Tensor:
    """Return vectors (…, 3) turned by rotation vectors (…, 3) [rad]. Formula: Rodrigues 1840."""
    angle2 = (by**2).sum(dim=-1, keepdim=True)
    angle = (angle2 + 1e-12).sqrt()
    cross = torch.linalg.cross(by.expand_as(vectors), vectors, dim=-1)
    along = (by * vectors).sum(dim=-1, keepdim=True) * by
    return vectors * angle.cos() + cross * (angle.sin() / angle) + along * ((1 - angle.cos()) / (angle2 + 1e-12))

"""What an object is made of, as numbers: collision geoms, joints, parts. Knows no files, no backends, no MuJoCo.

Frames: an object stands in its own frame with its base on z = 0 and its footprint centred on the z axis. A part has a frame
of its own, offset from its parent's. Lengths in metres, angles in radians, quaternions (w, x, y, z).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Vector3 = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Positive = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    """Base of every record on disk: immutable, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


TOUCHED, BACKING = 1, 2
"""Contact bits in a scene: of all that can be touched, and of what only objects feel, the backing of thin floors."""


class Geom(Strict):
    """One convex collision geom in the frame of its part."""

    type: Literal["box", "sphere", "capsule", "cylinder", "ellipsoid", "mesh"]
    size: tuple[Positive, ...] = ()
    """MuJoCo's sizes [m]: box half-extents (3), sphere radius (1), capsule and cylinder radius and half-length (2), ellipsoid
    radii (3). Empty for a mesh."""
    pos: Vector3 = (0.0, 0.0, 0.0)
    quat: Quaternion = (1.0, 0.0, 0.0, 0.0)
    file: str | None = None
    """OBJ of a convex hull, relative to the asset's folder; only for a mesh."""


class Joint(Strict):
    """How a part moves against its parent: one hinge or slide, 0 = closed."""

    type: Literal["hinge", "slide"]
    axis: Vector3
    range: tuple[float, float]
    """[rad] or [m]; the end far from 0 is fully open."""
    pos: Vector3 = (0.0, 0.0, 0.0)
    """Anchor of a hinge in the part's frame [m]."""
    damping: float = 0.1
    frictionloss: float = 0.05


class Site(Strict):
    """A named place on an object: `top`, `bottom`, `grasp`, `inside`, `handle`."""

    pos: Vector3
    quat: Quaternion = (1.0, 0.0, 0.0, 0.0)
    size: Vector3 = (0.005, 0.005, 0.005)
    """Half-extents of the region around it [m]: of the free space for `inside`, of the flat area for `top`."""
    part: str = ""
    """Name of the part that it rides on; empty is the root part."""


class Range(Strict):
    """A closed interval that a value lies in, or is drawn from uniformly."""

    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Return whether the value lies inside, with a rounding allowance."""
        return self.low - 1e-9 <= value <= self.high + 1e-9

    def nearest(self, value: float) -> float:
        """Return the value inside that is nearest."""
        return min(max(value, self.low), self.high)


class Priors(Strict):
    """Ranges of what a picture or a name does not tell exactly. Every object's own values lie in its own."""

    longest: Range
    """Longest side [m]."""
    density: Range
    """Of what its closed mesh encloses [kg/m3]: its mass is proportional."""
    friction: Range
    """Sliding coefficient against a table. MuJoCo takes the larger of the two that touch: it counts where the table's is not above it."""
    narrowed_by: str = ""
    """Who looked at the object and narrowed them; empty for nobody."""

    def narrowed(self, said: dict[str, tuple[float, float]], by: str) -> Priors:
        """Return what is left of the ranges where another estimate holds, too; a range that has nothing in common with it stays.

        Args:
            said: Field → low and high, in the field's unit; what is missing is not estimated.
            by: Who says so.
        """
        kept: dict[str, Range] = {}
        for name, (low, high) in said.items():
            own: Range = getattr(self, name)
            shared = Range(low=max(own.low, low), high=min(own.high, high))
            if shared.low <= shared.high and shared != own:
                kept[name] = shared
        return self.model_copy(update={**kept, "narrowed_by": by}) if kept else self


class Provenance(Strict):
    """Where an asset comes from, and what may be done with it."""

    backend: str
    model: str = ""
    """Model id of a generator, file name of an import; empty for procedural."""
    revision: str = ""
    prompt: str = ""
    seed: int = 0
    licence: str
    """SPDX identifier, or the name of the licence."""
    may_train: bool
    """Whether the licence lets other models be trained on it."""


@dataclass(frozen=True)
class Part:
    """One rigid body of an object, as a backend makes it."""

    name: str
    """"" for the root part."""
    vertices: NDArray[np.float64]
    """(V, 3) [m], in the part's frame. Vertices are shared between faces: the mesh is closed."""
    faces: NDArray[np.int64]
    """(F, 3), counter-clockwise from outside."""
    uv: NDArray[np.float64]
    """(F, 3, 2) texture coordinates of each face corner in [0, 1], v upwards. Per corner, so that seams need no split vertex."""
    collision: tuple[Geom, ...] = ()
    """Exact primitives where the maker knows them; empty asks for convex decomposition."""
    pos: Vector3 = (0.0, 0.0, 0.0)
    """Origin of the part in the frame of the root part [m]."""
    joint: Joint | None = None
    body: tuple[NDArray[np.float64], NDArray[np.int64]] | None = None
    """Vertices and faces of a closed mesh that stands for it where it is weighed and split, in the part's frame; None where it is closed itself."""
    solid: bool = True
    """False for a mark without mass or contact (a zone painted on the table)."""

    @property
    def closed(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The closed mesh that is weighed and split: `body`, else what is seen."""
        return self.body or (self.vertices, self.faces)


@dataclass(frozen=True)
class Shape:
    """A whole object as a backend makes it: parts, one texture for all of them, sites."""

    parts: tuple[Part, ...]
    """The root part first; the others are its children."""
    texture: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    provenance: Provenance
    sites: dict[str, Site] = field(default_factory=dict)
    description: str = ""
    notes: tuple[str, ...] = ()
    """How it came about where that was not straightforward."""
    priors: Priors | None = None
    """Ranges that somebody who saw it narrowed; None for those of its words."""

    @property
    def points(self) -> NDArray[np.float64]:
        """Vertices of all parts, joints closed, in the object's frame (V, 3) [m]."""
        return np.concatenate([part.vertices + part.pos for part in self.parts])

"""ObjectSpec → Asset: choose a backend, run it, weigh it, give it collision, store it under its key. One folder an asset.

Knows how an asset enters a MuJoCo model; does not know scenes.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from . import (
    child,
    convex,
    fitting,
    mesh,
    mesh_parse,
    mesh_read,
    mesh_solid,
    paint,
    shapes,
    solids,
    spec,
    store,
    vocabulary,
)
from .convex import Fidelity
from .errors import AssetError
from .files import obj_text, png
from .footprint import footprint
from .makers import Candidate, Makers, candidates
from .robots import TIMESTEP
from .shapes import BACKING, TOUCHED, Geom, Joint, Part, Priors, Provenance, Shape, Site, Strict, Vector3
from .spec import ObjectSpec

VISUAL_GROUP, COLLISION_GROUP = 2, 3


class AssetPart(Strict):
    """One rigid body of an asset."""

    name: str
    """"" for the root part."""
    visual: str
    """OBJ, relative to the asset's folder."""
    collision: tuple[Geom, ...]
    pos: Vector3
    joint: Joint | None
    mass: float
    """[kg]; 0 for a mark without mass."""
    com: Vector3
    """Centre of mass in the part's frame [m]."""
    inertia: tuple[float, float, float, float, float, float]
    """xx, yy, zz, xy, xz, yz about the centre of mass [kg m2]."""


class Cost(Strict):
    """What the object costs the simulator, at rest on a plane."""

    geoms: int
    contacts: int
    step_us: float
    """Microseconds a step on the reference machine, predicted from geoms and contacts (see docs/performance.md). Predicted, not
    clocked, so that the same object always gives the same bytes."""


class Asset(Strict):
    """A physical object on disk: what it looks like, weighs, collides as, and where it comes from."""

    format: int = 1
    key: str
    category: str
    colour: str
    material: str
    description: str
    size: Vector3
    """Full extents with all joints closed [m]."""
    mass: float
    """[kg]"""
    friction: float
    priors: Priors | None = None
    """What its size, density and friction may be, for randomisation; None in records of earlier versions."""
    texture: str
    parts: tuple[AssetPart, ...]
    """The root part first; the others are its children."""
    sites: dict[str, Site]
    footprint: tuple[tuple[float, float], ...]
    """Convex outline on the table, counter-clockwise, with the room that a joint opens into [m]."""
    fidelity: Fidelity | None
    """None for a mark without collision."""
    cost: Cost
    provenance: Provenance
    notes: tuple[str, ...] = ()
    """How it came about where that was not straightforward: how an open mesh was closed, which decomposition was used."""

    @classmethod
    def load(cls, folder: Path) -> Asset:
        """Read an asset's record.

        Raises:
            AssetError: When it is missing or not one of this version.
        """
        try:
            return cls.model_validate_json((folder / "asset.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise AssetError(
                f"'{folder}' holds no readable asset ({str(error).splitlines()[0]}). Build it again."
            ) from error

    def save(self, folder: Path) -> None:
        """Write the record beside the asset's files."""
        (folder / "asset.json").write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def add_to(
        self, model: mujoco.MjSpec, name: str, folder: str, pos: Vector3, yaw: float, *, fixed: bool
    ) -> mujoco.MjsBody:
        """Add the object to a MuJoCo model as a child of the world.

        Args:
            model: Gets bodies, geoms, sites, and the assets that they use.
            name: Of the body; all else is named `<name>/<...>`.
            folder: The asset's folder, relative to the model's `meshdir` and `texturedir`.
            pos: Origin in the world [m].
            yaw: About z [rad].
            fixed: Whether it is welded to the world instead of free.
        """
        look = vocabulary.materials().get(self.material) or vocabulary.materials()["plastic"]
        model.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, file=f"{folder}/{self.texture}")
        painted = model.add_material(
            name=name, specular=look.specular, shininess=look.shininess, reflectance=look.reflectance
        )
        painted.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        quat = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        root = model.worldbody.add_body(name=name, pos=pos, quat=quat)
        if not fixed:
            root.add_freejoint(name=name)
        for part in self.parts:
            body = root if part is self.parts[0] else root.add_body(name=f"{name}/{part.name}", pos=part.pos)
            self._add_part(model, body, name, folder, part)
        for key, site in self.sites.items():
            carrier = root if not site.part else model.body(f"{name}/{site.part}")
            size = [max(extent, 1e-4) for extent in site.size]
            carrier.add_site(
                name=f"{name}/{key}", pos=site.pos, quat=site.quat, size=size, type=mujoco.mjtGeom.mjGEOM_BOX, group=4
            )
        return root

    def _add_part(self, model: mujoco.MjSpec, body: mujoco.MjsBody, name: str, folder: str, part: AssetPart) -> None:
        full = f"{name}/{part.name}" if part.name else name
        if part.joint:
            body.add_joint(
                name=full,
                type=mujoco.mjtJoint.mjJNT_SLIDE if part.joint.type == "slide" else mujoco.mjtJoint.mjJNT_HINGE,
                axis=part.joint.axis,
                pos=part.joint.pos,
                range=part.joint.range,
                limited=mujoco.mjtLimited.mjLIMITED_TRUE,
                damping=[part.joint.damping, 0, 0],
                frictionloss=part.joint.frictionloss,
                armature=0.005,
            )
        if part.mass:
            body.explicitinertial = True
            body.mass, body.ipos, body.fullinertia = part.mass, part.com, part.inertia
        model.add_mesh(name=full, file=f"{folder}/{part.visual}", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
        body.add_geom(
            name=f"{full}/visual",
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=full,
            material=name,
            group=VISUAL_GROUP,
            contype=0,
            conaffinity=0,
            mass=0,
        )
        for index, geom in enumerate(part.collision):
            label = f"{full}/collision{index}"
            if geom.type == "mesh":
                model.add_mesh(
                    name=label, file=f"{folder}/{geom.file}", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
                )
            body.add_geom(
                name=label,
                type=getattr(mujoco.mjtGeom, f"mjGEOM_{geom.type.upper()}"),
                meshname=label if geom.type == "mesh" else "",
                size=[*geom.size, 0, 0, 0][:3],
                pos=geom.pos,
                quat=geom.quat,
                friction=[self.friction, 0.005, 0.0001],
                **CONTACT,
            )


CONTACT = {
    "group": COLLISION_GROUP,
    "contype": TOUCHED,
    "conaffinity": TOUCHED | BACKING,
    "condim": 4,
    "solref": [2 * TIMESTEP, 1.0],  # twice the time step: MuJoCo clamps what is stiffer
    "solimp": [0.95, 0.99, 0.001, 0.5, 2.0],
    "mass": 0,
    "rgba": [0.3, 0.6, 0.9, 0.5],
}
"""How every object touches (physics.md: contacts that grasp)."""


def make(item: ObjectSpec, assets: store.Store, makers: Makers = Makers()) -> Asset:
    """Return the asset of an object, from the store or newly made by the first maker that can.

    Name, role and place do not matter: two objects that look alike share one asset.

    Raises:
        AssetError: When no maker can make the object; says what kept each.
    """
    failed: list[str] = []
    for candidate in candidates(makers, item, failed):
        inputs = item.model_dump(mode="json", exclude={"name", "role", "place", "makers"})
        key = store.key(
            {
                "object": inputs,
                "words": _meanings(item),
                "maker": candidate.inputs,
                "code": shared_code(),
                "tools": tool_versions(),
            }
        )
        try:
            made = Asset.load(assets.put(key, partial(_build, candidate, item, key)))
            makers.require_licence(candidate.name, made.provenance)
            return made
        except AssetError as error:
            failed.append(f"{candidate.name}: {error}")
    raise AssetError(failed[0].partition(": ")[2] if len(failed) == 1 else " ".join(failed))


def _build(candidate: Candidate, item: ObjectSpec, key: str, folder: Path) -> None:
    finish(candidate.make(), item, key, folder)


def _meanings(item: ObjectSpec) -> list[object]:
    """Return what the vocabulary says of an object's words: a new density or shade is another asset."""
    known = vocabulary.categories().get(item.category), vocabulary.materials().get(item.material)
    return [*(word.model_dump(mode="json") if word else None for word in known), vocabulary.colours().get(item.colour)]


@cache
def shared_code() -> str:
    """Return a digest of the code that all assets are finished by."""
    return store.code_digest(sys.modules[__name__], *_SHARED_CODE)


_TOOLS = ("coacd", "fast-simplification", "manifold3d", "mujoco", "numpy", "pillow", "scipy", "shapely", "trimesh")
_SHARED_CODE = (
    sys.modules[footprint.__module__],
    sys.modules[png.__module__],
    child,
    convex,
    fitting,
    mesh,
    mesh_parse,
    mesh_read,
    mesh_solid,
    paint,
    shapes,
    solids,
    spec,
)


@cache
def tool_versions() -> dict[str, str]:
    """Return the versions of the libraries that can change an asset's bytes."""
    return {name: importlib.metadata.version(name) for name in _TOOLS}


def finish(shape: Shape, item: ObjectSpec, key: str, folder: Path) -> Asset:
    """Write a backend's shape as an asset into a folder: meshes, texture, collision, record.

    Raises:
        AssetError: When a part is not a closed solid, or nothing stands for it in contacts.
    """
    material = vocabulary.materials().get(item.material)
    if material is None:
        raise AssetError(
            f"Unknown material '{item.material}' of '{item.name}'. {vocabulary.valid_names(item.material, vocabulary.materials())}"
        )
    size = _vector(np.ptp(shape.points, axis=0))
    priors = shape.priors or vocabulary.priors(item.category, item.material, size)
    finished = [_finish_part(part, priors.density.nearest(material.density), folder) for part in shape.parts]
    parts, hulls = tuple(part for part, _, _ in finished), [hulls for _, hulls, _ in finished]
    (folder / "texture.png").write_bytes(png(shape.texture))
    scored = [
        convex.FidelityPart(*part.closed, done.collision, part_hulls, part.pos)
        for part, done, part_hulls in zip(shape.parts, parts, hulls, strict=True)
        if part.solid
    ]
    asset = Asset(
        key=key,
        category=item.category,
        colour=item.colour,
        material=item.material,
        description=shape.description or item.description,
        size=size,
        mass=round(sum(part.mass for part in parts), 6),
        friction=round(priors.friction.nearest(material.friction), 4),
        priors=priors,
        texture="texture.png",
        parts=parts,
        sites=shape.sites,
        footprint=footprint(shape),
        fidelity=convex.fidelity(scored) if scored else None,
        notes=(*shape.notes, *(note for _, _, note in finished if note)),
        cost=Cost(geoms=sum(len(part.collision) for part in parts), contacts=0, step_us=0),
        provenance=shape.provenance,
    )
    asset = asset.model_copy(update={"cost": measure_cost(asset, folder)})
    asset.save(folder)
    return asset


def _finish_part(part: Part, density: float, folder: Path) -> tuple[AssetPart, dict[str, convex.Hull], str]:
    suffix = f"_{part.name}" if part.name else ""
    visual = f"visual{suffix}.obj"
    (folder / visual).write_text(obj_text(part.vertices, part.faces, part.uv), encoding="ascii")
    mass, com, inertia = 0.0, np.zeros(3), (0.0,) * 6
    collision, note = part.collision, ""
    hulls: dict[str, convex.Hull] = {}
    if part.solid:
        weighed = mesh.mass_properties(*part.closed, density)
        if weighed.mass < LIGHTEST or np.linalg.eigvalsh(weighed.inertia)[0] < SLIMMEST:
            raise AssetError(
                f"it weighs {1e6 * weighed.mass:.3g} mg and is too thin or small to be simulated. Give a larger size or a thicker mesh."
            )
        mass, com, inertia = weighed.mass, weighed.com, weighed.full_inertia()
    if part.solid and not collision:
        collision, hulls, note = collide(part, f"collision{suffix}", folder)
    done = AssetPart(
        name=part.name,
        visual=visual,
        collision=collision,
        pos=part.pos,
        joint=part.joint,
        mass=round(mass, 9),
        com=_vector(com, 9),
        inertia=tuple(float(f"{value:.9g}") for value in inertia),
    )
    return done, hulls, note


def collide(part: Part, prefix: str, folder: Path) -> tuple[tuple[Geom, ...], dict[str, convex.Hull], str]:
    """Find what stands for a part in contacts, write its hulls, and say how they were made."""
    vertices, faces = mesh_solid.outside(*part.closed)
    if geom := fitting.whole(vertices, faces):
        fit, how = fitting.Fit((geom,), {}), f"collision by one {geom.type}"
    else:
        done = convex.decompose(vertices, faces)
        named = {f"{prefix}_{index:02d}.obj": hull for index, hull in enumerate(done.hulls)}
        how = f"collision by {done.method}" + (f" ({done.reason})" if done.reason else "")
        fit = fitting.Fit(tuple(Geom(type="mesh", file=file) for file in named), named)
        cheap = fitting.parts(named)
        if cheap != fit and _as_true(part, cheap, fit):
            fit = cheap
    fit = fitting.on_a_foot(*part.closed, fit, f"{prefix}_foot.obj")
    for file, hull in fit.hulls.items():
        (folder / file).write_text(convex.hull_text(hull), encoding="ascii")
    return fit.geoms, fit.hulls, how


LIGHTEST, SLIMMEST = 1e-6, 1e-14
"""Least mass [kg] and principal moment of inertia [kg m2] of a part: with less, simulators divide by nothing."""
_AS_TRUE = 0.01
"""How much less a cheaper fit may have in common with a solid, and keep of its cavity."""


def _as_true(part: Part, cheap: fitting.Fit, dear: fitting.Fit) -> bool:
    """Tell whether the cheaper of two fits is about as true."""
    one, other = (convex.fidelity([convex.FidelityPart(*part.closed, fit.geoms, fit.hulls)]) for fit in (cheap, dear))
    return one.iou >= other.iou - _AS_TRUE and one.cavity >= other.cavity - _AS_TRUE


def _vector(values: NDArray[np.float64], digits: int = 6) -> Vector3:
    x, y, z = (round(float(value), digits) for value in values)
    return x, y, z


def measure_cost(asset: Asset, folder: Path) -> Cost:
    """Put the asset on a plane, let it come to rest and predict what a step of it costs.

    Raises:
        AssetError: When MuJoCo refuses it.
    """
    model = mujoco.MjSpec()
    model.compiler.degree = False
    model.option.timestep, model.option.integrator = TIMESTEP, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    model.meshdir = model.texturedir = str(folder.parent.resolve())
    model.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1])
    massless = not any(part.mass for part in asset.parts)
    asset.add_to(model, "object", folder.name, (0, 0, 0.0005), 0.0, fixed=massless)
    try:
        compiled = model.compile()
    except ValueError as error:
        raise AssetError(f"MuJoCo refuses the {asset.category}: {error}.") from error
    data = mujoco.MjData(compiled)
    mujoco.mj_step(compiled, data, 60)
    geoms = sum(len(part.collision) for part in asset.parts)
    return Cost(geoms=geoms, contacts=int(data.ncon), step_us=round(_US_GEOM * geoms + _US_CONTACT * data.ncon, 1))


_US_GEOM, _US_CONTACT = 0.09, 0.75
"""Fitted by `benchmarks/asset_cost.py`."""


@dataclass(frozen=True)
class Painted:
    """A texture in the store."""

    key: str
    file: str = "texture.png"


def store_texture(assets: store.Store, inputs: dict[str, object], draw: Callable[[], NDArray[np.uint8]]) -> Painted:
    """Return a texture from the store, drawing it when it is not there."""
    key = store.key(
        {"texture": inputs, "tools": tool_versions(), "code": store.code_digest(sys.modules[png.__module__])}
    )

    def build(folder: Path) -> None:
        (folder / "texture.png").write_bytes(png(draw(), colours=96))

    assets.put(key, build)
    return Painted(key)

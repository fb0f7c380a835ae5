"""What is drawn anew at each reset of a scene: ranges on disk (`Domain`), one episode's values (`Draw`), and what joins both to
a compiled scene (`Randomiser`). Knows models, not worlds: it places nothing and steps nothing.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path
from typing import Annotated, Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from scipy.ndimage import gaussian_filter

from .. import data, paint, robots, vocabulary
from ..camera import Image
from ..errors import DomainError, Problem
from ..goals import ROBOT
from ..robots import Array, RobotRecipe
from ..shapes import Strict
from ..spec import Range, schema_problems

SURFACES = ("table", "wall", "floor")
"""Textures and materials that may be repainted."""
FRICTION = (0.05, 2.0)
"""Sliding friction never leaves this."""
PAINTINGS = 64
"""Most paintings of one domain; a process keeps them all."""
_Fields = dict[str, NDArray[Any]]
ZERO, ONE = Range(low=0.0, high=0.0), Range(low=1.0, high=1.0)
_ELEVATION = np.radians([15.0, 90.0])
"""The key light stays that far above the horizon [rad]."""
_ONCE = {"gradient", "band", "label"}
"""Patterns with seams where they repeat."""


class Placement(Strict):
    """How far objects are put from where they were when the scene was recorded."""

    xy: float = 0.0
    """Largest shift along x, and along y [m]."""
    yaw: float = 0.0
    """Largest turn [rad]; pi and more is the whole circle. Both 0: exactly as recorded."""


class CameraRanges(Strict):
    """Of the policy camera and of those that the arm carries."""

    position: Range = ZERO
    """Shift of the policy camera along each axis [m]."""
    mounted: Range = ZERO
    """Shift of the arm's cameras along each axis of the body that carries them [m]."""
    rotation: Range = ZERO
    """Rotation vector in the camera's own frame, each component [rad]."""
    fov: Range = ZERO
    """Added to the vertical field of view [deg]."""


class LightRanges(Strict):
    """Of ambient and key light. All light is dimmed together where its sum would clip."""

    ambient: Range | None = None
    """Each colour channel; null keeps the scene's own."""
    azimuth: Range = ZERO
    """Added to the direction that the key light comes from, about z [deg]."""
    elevation: Range = ZERO
    """Added to its height above the horizon, which stays in [15, 90] [deg]."""
    strength: Range = ONE
    """Factor on the key light."""


class TextureRanges(Strict):
    """Of table, walls and floor."""

    repaint: float = 0.0
    """Probability that one of them gets another painting."""
    first: int = 0
    """Number of the first painting. Domains without a common number share no painting."""
    count: int = PAINTINGS
    """How many paintings there are."""
    tint: Range = ONE
    """Factor on each colour channel of each; at most 1, for more would clip."""


class PhysicsRanges(Strict):
    """Factors on what bodies and servos are made of."""

    friction: Range = ONE
    """On the sliding friction of the table and of each object; what results stays in [0.05, 2]."""
    fingers: Range = ONE
    """On the sliding friction of the gripper's fingers and pads; what results stays in [0.05, 2]."""
    mass: Range = ONE
    """On the mass of each object; its inertia follows."""
    inertia: Range = ONE
    """On how widely each object's mass is spread (second moment) along each principal axis, on top of `mass`."""
    kp: Range = ONE
    """On the stiffness of each servo, the gripper's included."""
    kv: Range = ONE
    """On the damping of each servo."""


class ActionRanges(Strict):
    """Of what happens to actions on their way to the arm."""

    latency: Range = ZERO
    """[s]"""
    translation: Range = ZERO
    """Standard deviation of noise on each action's move, each axis [m]."""
    rotation: Range = ZERO
    """Standard deviation of noise on each action's turn, each axis [rad]."""


class ImageRanges(Strict):
    """Of lens and sensor."""

    noise: Range = ZERO
    """Standard deviation, each pixel and channel, of 255."""
    blur: Range = ZERO
    """Standard deviation of a Gaussian [px]."""
    exposure: Range = ONE
    """Factor on all colours."""


class Domain(Strict):
    """Ranges that each reset draws from, uniformly; the defaults change nothing."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = "custom"
    held_out: bool = False
    """Kept for deployment: never trained in."""
    objects: Placement = Placement()
    nudge: Range = ZERO
    """How far what is to be moved is shifted under the arm's nose, once, early in the episode [m]; where there is room."""
    joints: Range = ZERO
    """Added to each arm joint at home [rad]."""
    camera: CameraRanges = CameraRanges()
    light: LightRanges = LightRanges()
    texture: TextureRanges = TextureRanges()
    physics: PhysicsRanges = PhysicsRanges()
    action: ActionRanges = ActionRanges()
    image: ImageRanges = ImageRanges()

    def leaves(self) -> Iterator[tuple[str, Range | float]]:
        """Yield every range and number with its dotted path."""
        for key in type(self).model_fields:
            part = getattr(self, key)
            if isinstance(part, Range):
                yield key, part
            elif isinstance(part, Strict):
                inner = {f"{key}.{name}": getattr(part, name) for name in type(part).model_fields}
                yield from ((path, value) for path, value in inner.items() if value is not None)


_NEUTRAL = dict(Domain().leaves())
_DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0")
"""What `mj_setConst` works out from masses, but for what only tracking cameras read."""
_SHINE, _SUN = ("vis.headlight.ambient", "light_diffuse"), ("light_dir", "light_pos")
_RULES: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "objects.xy": (0, 1, ()),
    "objects.yaw": (0, 7, ()),
    "nudge": (0, 0.3, ()),
    "joints": (-1, 1, ()),
    "camera.position": (-0.5, 0.5, ("cam_pos",)),
    "camera.mounted": (-0.1, 0.1, ("cam_pos",)),
    "camera.rotation": (-0.5, 0.5, ("cam_quat",)),
    "camera.fov": (-30, 30, ("cam_fovy",)),
    "light.ambient": (0, 1, _SHINE),
    "light.azimuth": (-360, 360, _SUN),
    "light.elevation": (-90, 90, _SUN),
    "light.strength": (0, 2, _SHINE),
    "texture.repaint": (0, 1, ()),
    "texture.first": (0, 2**31, ()),
    "texture.count": (1, PAINTINGS, ()),
    "texture.tint": (0.1, 1, ("mat_rgba",)),
    "physics.friction": (0.1, 5, ("geom_friction",)),
    "physics.fingers": (0.1, 5, ("geom_friction",)),
    "physics.mass": (0.1, 10, ("body_mass", "body_inertia", *_DERIVED)),
    "physics.inertia": (0.5, 2, ("body_inertia", *_DERIVED)),
    "physics.kp": (0.2, 3, ("actuator_gainprm", "actuator_biasprm")),
    "physics.kv": (0.2, 3, ("actuator_biasprm",)),
    "action.latency": (0, 0.2, ()),
    "action.translation": (0, 0.02, ()),
    "action.rotation": (0, 0.2, ()),
    "image.noise": (0, 64, ()),
    "image.blur": (0, 5, ()),
    "image.exposure": (0.2, 3, ()),
}
"""Path in a domain → lowest and highest sensible value, arrays of the model that it changes."""


def problems(domain: Domain) -> list[Problem]:
    """Return every value that makes no sense; empty when all do."""
    found = []
    for path, value in domain.leaves():
        least, most, _ = _RULES[path]
        low, high = (value.low, value.high) if isinstance(value, Range) else (value, value)
        if low > high:
            found.append(Problem(path, f"low {low:g} is above high {high:g}.", "Swap them."))
        if min(low, high) < least or max(low, high) > most:
            shown = f"[{low:g}, {high:g}]" if isinstance(value, Range) else f"{value:g}"
            found.append(Problem(path, f"{shown} leaves the allowed [{least:g}, {most:g}].", "Correct it."))
    return found


def names(*, deployment: bool = False) -> list[str]:
    """Return the shipped presets, sorted; with `deployment` also those that are held out from training."""
    files = {file.stem: file.name for file in data.path("assets", "domains").glob("*.json")}
    held = {name for name, file in files.items() if data.read_json("assets", "domains", file).get("held_out")}
    return sorted(files if deployment else files.keys() - held)


def load(name: str | Path, *, deployment: bool = False) -> Domain:
    """Return a preset, or the domain in a file.

    Args:
        name: Of a preset, or a path that ends in .json.
        deployment: Whether a domain that is held out from training may be loaded.

    Raises:
        DomainError: When it is unknown, unreadable or held out, or with everything that is wrong with its values.
    """
    file = Path(name) if str(name).endswith(".json") else data.path("assets", "domains", f"{name}.json")
    if file != Path(name) and str(name) not in names(deployment=True):
        hint = vocabulary.valid_names(str(name), names(deployment=deployment))
        raise DomainError(f"Unknown domain '{name}'. {hint} Or give the path of a .json file.")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DomainError(f"Domain '{name}' cannot be read: {error}. Presets: {', '.join(names())}.") from error
    if not isinstance(value, dict):
        raise DomainError(f"Domain '{name}' is no JSON object with names of ranges.")
    try:
        domain = Domain.model_validate({"name": file.stem[:64]} | value)
    except ValidationError as error:
        raise _refused(str(name), schema_problems(error)) from None
    if found := problems(domain):
        raise _refused(str(name), found)
    if domain.held_out and not deployment:
        raise DomainError(f"Domain '{name}' is held out: nothing trains in it. Choose one of: {', '.join(names())}.")
    return domain


def _refused(name: str, found: list[Problem]) -> DomainError:
    return DomainError(f"Domain '{name}' makes no sense. " + " ".join(map(str, found)))


@lru_cache(maxsize=4 * PAINTINGS)
def painting(number: int, height: int, width: int) -> Image:
    """Return a painting, (height, width, 3) sRGB, read-only: a pattern that repeats, in two colours of the vocabulary.

    The colours are muted, so that what an instruction tells by its colour stays visible on a table of that colour.
    """
    rng = np.random.default_rng([number, 11])
    patterns, colours = sorted(paint.PATTERNS.keys() - _ONCE), list(vocabulary.colours().values())
    first, second = rng.choice(len(colours), 2, replace=False)
    pattern = patterns[int(rng.integers(len(patterns)))]
    base, accent = _muted(colours[first]), _muted(colours[second])
    image = paint.paint(pattern, base, accent, number, max(height, width))[:height, :width]
    image.setflags(write=False)
    return image


def _muted(colour: vocabulary.Colour) -> vocabulary.Colour:
    grey = sum(colour) / 3
    r, g, b = (round(0.5 * value + 0.5 * grey) for value in colour)
    return r, g, b


@dataclass(frozen=True)
class Draw:
    """What was drawn for one episode."""

    layout: int | None
    """Seed for `layout.place`; None leaves objects as recorded."""
    joints: Array
    """(J,) offsets from home [rad]."""
    nudge: float
    """How far the first goal's object is shifted [m]."""
    latency: float
    """[s]"""
    action_noise: tuple[float, float]
    """Standard deviations of an action's move [m] and turn [rad], each axis."""
    fields: Mapping[str, NDArray[Any]]
    """Dotted name of an array of the model → its values; only what the domain changes."""
    textures: Mapping[str, Image]
    """Repainted textures, (H, W, 3) as in the model; a painting is the same array whenever it comes up."""
    noise: float
    """Standard deviation, of 255."""
    blur: float
    """Standard deviation [px]."""
    exposure: float
    """Factor."""
    samples: Mapping[str, float | tuple[float, ...]]
    """All that was drawn, by the path of its range, before limits. `texture.painting`: its number; -1 is the scene's own."""

    def __deepcopy__(self, _: object) -> Draw:
        return self  # nothing in it changes; a painting must stay the same array


class _Stream:
    """Random numbers for one group of a domain; notes in `samples` what it drew."""

    def __init__(
        self, spans: Mapping[str, Any], seed: np.random.SeedSequence, samples: dict[str, float | tuple[float, ...]]
    ) -> None:
        self.rng, self.samples, self._spans = np.random.default_rng(seed), samples, spans

    def pick(self, path: str, count: int) -> Array:
        """Draw from a range, neutral ones too, so that one range's width moves no other's values."""
        span = self._spans.get(path, ZERO)
        values = self.rng.uniform(span.low, span.high, count)
        if span != _NEUTRAL.get(path, ZERO):
            self.samples[path] = tuple(values.tolist())
        return values

    def one(self, path: str) -> float:
        """Draw a single number."""
        value = float(self.pick(path, 1)[0])
        if path in self.samples:
            self.samples[path] = value
        return value


class Randomiser:
    """Draws from a domain for one compiled scene; make it before anything in the model is changed.

    Raises:
        DomainError: When values of the domain make no sense, or the scene lacks the camera or light that it changes.
    """

    def __init__(self, domain: Domain, model: mujoco.MjModel, recipe: RobotRecipe) -> None:
        if found := problems(domain):
            raise _refused(domain.name, found)
        self.domain, self.model, self._spans = domain, model, dict(domain.leaves())
        changed = [path for path, value in self._spans.items() if value != _NEUTRAL.get(path)]
        fields = sorted({field for path in changed for field in _RULES[path][2]})
        self._views = {field: reduce(getattr, field.split("."), model) for field in fields}
        self._own = {field: view.copy() for field, view in self._views.items()}
        self._joints, self._textures = len(recipe.joints), _surfaces(model)
        mounted = [index for index in range(model.ncam) if model.camera(index).name.startswith(ROBOT)]
        self._cameras = [_find(model.camera, "policy", domain), *mounted] if domain.camera != CameraRanges() else []
        self._key = _find(model.light, "key", domain) if domain.light != LightRanges() else -1
        self._group, self._objects = _groups(model)
        fingers = [model.jnt_bodyid[model.joint(ROBOT + name).id] for name in recipe.gripper.joints]
        self._fingers = np.isin(model.geom_bodyid, fingers)
        at = robots.addresses(model, recipe, ROBOT)
        self._servos = np.array([*at.actuators, at.gripper])
        # draws work out what follows from masses on a copy: `apply` then only writes, and no history is left in the model
        self._scratch = copy.copy(model) if "body_inertia" in fields else None
        self._data = mujoco.MjData(self._scratch) if self._scratch else None

    def draw(self, rng: np.random.Generator) -> Draw:
        """Draw one episode; `rng` moves on by as much whatever the domain, and each group has a stream of its own."""
        seeds = np.random.SeedSequence(rng.integers(2**32, size=4).tolist()).spawn(9)
        samples: dict[str, float | tuple[float, ...]] = {}
        place, joints, camera, light, texture, physics, action, image, event = (
            _Stream(self._spans, seed, samples) for seed in seeds
        )
        fields = {field: values.copy() for field, values in self._own.items()}
        self._draw_camera(camera, fields)
        self._draw_light(light, fields)
        self._draw_physics(physics, fields)
        return Draw(
            layout=int(place.rng.integers(2**31)) if self.domain.objects != Placement() else None,
            joints=joints.pick("joints", self._joints),
            nudge=event.one("nudge"),
            latency=action.one("action.latency"),
            action_noise=(action.one("action.translation"), action.one("action.rotation")),
            fields=fields,
            textures=self._draw_textures(texture, fields),
            noise=image.one("image.noise"),
            blur=image.one("image.blur"),
            exposure=image.one("image.exposure"),
            samples=samples,
        )

    def apply(self, draw: Draw) -> None:
        """Write a draw into the model; what an earlier one changed and this one does not gets its own value back."""
        for field, view in self._views.items():
            view[...] = draw.fields.get(field, self._own[field])

    def look(self, draw: Draw, image: Image, rng: np.random.Generator) -> Image:
        """Return a picture as the draw's lens and sensor see it; the picture itself when they change nothing."""
        if draw.exposure == 1 and not draw.blur and not draw.noise:
            return image
        seen = image.astype(np.float32) * np.float32(draw.exposure)
        if draw.blur:
            seen = gaussian_filter(seen, (draw.blur, draw.blur, 0), mode="nearest")
        if draw.noise:
            seen += np.float32(draw.noise) * rng.standard_normal(seen.shape, np.float32)
        return np.clip(seen + 0.5, 0, 255).astype(np.uint8)

    def _draw_camera(self, stream: _Stream, fields: _Fields) -> None:
        cameras, others = self._cameras, max(len(self._cameras) - 1, 0)
        shift = [stream.pick("camera.position", 3), stream.pick("camera.mounted", 3 * others)]
        turns, fov = stream.pick("camera.rotation", 3 * (others + 1)), stream.pick("camera.fov", others + 1)
        if "cam_pos" in fields:
            fields["cam_pos"][cameras] += np.concatenate(shift).reshape(-1, 3)
        if "cam_fovy" in fields:
            fields["cam_fovy"][cameras] = np.clip(fields["cam_fovy"][cameras] + fov, 5, 150)
        if "cam_quat" in fields:
            for camera, turn in zip(cameras, turns.reshape(-1, 3), strict=True):
                fields["cam_quat"][camera] = _turned(fields["cam_quat"][camera], turn)

    def _draw_light(self, stream: _Stream, fields: _Fields) -> None:
        ambient, azimuth = stream.pick("light.ambient", 3), np.radians(stream.one("light.azimuth"))
        elevation, strength = np.radians(stream.one("light.elevation")), stream.one("light.strength")
        if "light_diffuse" in fields:
            glow, lamps = (fields[field] for field in _SHINE)
            if self.domain.light.ambient:
                glow[:] = ambient
            lamps[self._key] *= strength
            total = np.maximum(glow + lamps.sum(axis=0), 1e-6)
            room = 1.0 - self.model.vis.headlight.diffuse  # OpenGL clips the sum of all light: see mjcf.draw_look
            dim = min(1.0, float((room / total).min()))
            glow *= dim
            lamps *= dim
        if "light_dir" in fields:
            x, y, z = -fields["light_dir"][self._key]
            around, up = np.arctan2(y, x) + azimuth, np.clip(np.arctan2(z, np.hypot(x, y)) + elevation, *_ELEVATION)
            sun = -np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
            position, centre = fields["light_pos"][self._key], self.model.stat.center
            fields["light_dir"][self._key] = sun
            fields["light_pos"][self._key] = centre - sun * np.linalg.norm(position - centre)

    def _draw_textures(self, stream: _Stream, fields: _Fields) -> dict[str, Image]:
        ranges, tint = self.domain.texture, stream.pick("texture.tint", 3 * len(SURFACES)).reshape(-1, 3)
        chances, numbers = stream.rng.uniform(size=len(SURFACES)), stream.rng.integers(ranges.count, size=len(SURFACES))
        chosen = np.where(chances < ranges.repaint, numbers + ranges.first, -1)
        if ranges.repaint:
            stream.samples["texture.painting"] = tuple(chosen.tolist())
        for name, factor in zip(SURFACES, tint, strict=True):
            material = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_MATERIAL, name)
            if "mat_rgba" in fields and material >= 0:
                fields["mat_rgba"][material, :3] *= factor
        wanted = {name: int(number) for name, number in zip(SURFACES, chosen, strict=True) if number >= 0}
        return {
            name: painting(number, *self._textures[name]) for name, number in wanted.items() if name in self._textures
        }

    def _draw_physics(self, stream: _Stream, fields: _Fields) -> None:
        count, servos = self._objects, len(self._servos)
        friction, fingers = stream.pick("physics.friction", 1 + count), stream.one("physics.fingers")
        mass, spread = stream.pick("physics.mass", count), stream.pick("physics.inertia", 3 * count).reshape(-1, 3)
        kp, kv = stream.pick("physics.kp", servos), stream.pick("physics.kv", servos)
        if "geom_friction" in fields:
            factor = np.append(friction, 1.0)[self._group][self.model.geom_bodyid]
            factor[self._fingers] = fingers
            sliding, touched = fields["geom_friction"][:, 0], (factor != 1) & (self.model.geom_contype > 0)
            sliding[touched] = np.clip(sliding[touched] * factor[touched], *FRICTION)
        if "body_inertia" in fields:
            things = np.flatnonzero(self._group > 0)
            which = self._group[things] - 1
            fields["body_inertia"][things] = _spread(fields["body_inertia"][things], spread[which]) * mass[which, None]
            if "body_mass" in fields:
                fields["body_mass"][things] *= mass[which]
            self._derive(fields)
        if "actuator_gainprm" in fields:
            fields["actuator_gainprm"][self._servos, 0] *= kp
        if "actuator_biasprm" in fields:
            fields["actuator_biasprm"][self._servos, 1] *= kp
            fields["actuator_biasprm"][self._servos, 2] *= kv

    def _derive(self, fields: _Fields) -> None:
        """Work out what follows from masses."""
        for field in ("body_mass", "body_inertia"):
            getattr(self._scratch, field)[...] = fields.get(field, getattr(self.model, field))
        mujoco.mj_setConst(self._scratch, self._data)
        for field in _DERIVED:
            fields[field][...] = getattr(self._scratch, field)


def _surfaces(model: mujoco.MjModel) -> dict[str, tuple[int, int]]:
    """Return height and width [px] of each texture that may be repainted; a panorama leaves walls and floor out."""
    found = {name: mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_TEXTURE, name) for name in SURFACES}
    return {
        name: (int(model.tex_height[index]), int(model.tex_width[index]))
        for name, index in found.items()
        if index >= 0 and model.tex_nchannel[index] == 3
    }


def _groups(model: mujoco.MjModel) -> tuple[NDArray[np.int_], int]:
    """Return of each body: 0 table, 1 ... an object with all its parts, -1 anything else; and how many objects there are."""
    roots = [model.body(int(root)).name for root in model.body_rootid]
    others = {root for root in roots if root in ("world", "table", "room") or root.startswith(ROBOT)}
    number = {name: index + 1 for index, name in enumerate(sorted(set(roots) - others))}
    return np.array([number.get(root, 0 if root == "table" else -1) for root in roots]), len(number)


def _find(lookup: Callable[[str], Any], name: str, domain: Domain) -> int:
    try:
        return int(lookup(name).id)
    except KeyError as error:
        raise DomainError(f"Domain '{domain.name}' does not fit the scene: {error.args[0]}.") from error


def _turned(quaternion: Array, vector: Array) -> Array:
    """Return a rotation followed, in its own frame, by a rotation vector [rad]."""
    turn, result, angle = np.empty(4), np.empty(4), float(np.linalg.norm(vector))
    mujoco.mju_axisAngle2Quat(turn, vector / max(angle, 1e-12), angle)
    mujoco.mju_mulQuat(result, quaternion, turn)
    return result


def _spread(inertia: Array, factor: Array) -> Array:
    """Scale each principal second moment of mass: whatever the factors, some body has the inertia that comes of it."""
    moments = np.maximum(inertia.sum(axis=1, keepdims=True) / 2 - inertia, 0.0) * factor
    return np.asarray(moments.sum(axis=1, keepdims=True) - moments)

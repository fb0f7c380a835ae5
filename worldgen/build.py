"""Build one planned scene: assets, layout, MJCF, settling, gates, files. Knows one job; `pipeline` knows them all.

A job's result depends on nothing but the job, so that workers, kills and reruns cannot change a byte of it.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from pydantic import TypeAdapter

import worldgen

from . import (
    assets,
    camera,
    certificate,
    checks,
    data,
    files,
    goals,
    kinematics,
    layout,
    library,
    mjcf,
    paint,
    render,
    robots,
    shapes,
    store,
    vocabulary,
)
from . import spec as spec_module
from .errors import AssetError, LayoutError, MakerError, RenderError, SceneError, StoreError, WorldgenError
from .library import Rejection, Scene, SceneRecord
from .makers import Makers
from .sim import (
    control,
    domains,
    expert,
    grasps,
    handles,
    lean,
    motions,
    places,
    pushes,
    rewards,
    stage,
    truth,
    world,
)
from .spec import SceneSpec
from .wire import Split

ATTEMPTS = 3
"""Seeds tried for one scene before it is given up."""


@dataclass(frozen=True)
class Job:
    """One planned scene, or why there is none."""

    name: str
    split: Split
    request: str
    seed: int
    spec: SceneSpec | None
    design: dict[str, Any] = field(default_factory=dict)
    failure: Rejection | None = None
    earlier: tuple[Rejection, ...] = ()
    """Of designs that this one takes the place of."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    name: str
    accepted: bool
    rejections: tuple[Rejection, ...]
    cached: bool = False


@cache
def code_version() -> str:
    """Return a digest of all code and words that decide what a scene looks like."""
    modules = (
        *(assets, camera, checks, files, goals, layout, library, mjcf, paint, render, robots, shapes),
        *(spec_module, vocabulary, sys.modules[__name__], certificate, kinematics),
        *(control, domains, expert, grasps, handles, lean, motions, places, pushes, rewards, stage, truth, world),
    )
    folders = [data.path("assets", part) for part in ("vocabulary", "robots", "domains")]
    words = [store.file_digest(path) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return store.key([store.code_digest(*modules), words, os.environ.get("MUJOCO_GL", "")])


def job_key(job: Job, spec: SceneSpec, makers: Makers) -> str:
    """Return the key of everything that decides the bytes of a job's scene."""
    arm = robots.load(spec.robot).folder
    return store.key(
        {
            "job": [job.name, job.split, job.seed, job.design, [item.model_dump() for item in job.earlier]],
            "spec": spec.model_dump(mode="json"),
            "robot": [store.file_digest(path) for path in sorted(arm.rglob("*")) if path.is_file()],
            "assets": [makers.version(), assets.shared_code()],
            "code": code_version(),
            "tools": assets.tool_versions(),
        }
    )


def restore(job: Job, root: Path, cache_root: Path, makers: Makers = Makers()) -> Outcome | None:
    """Bring what an earlier build made of a job from the cache, with all assets; None when the cache lacks any of it."""
    found = store.Store(cache_root / "scenes").get(job_key(job, job.spec, makers)) if job.spec else None
    if found is None:
        return None
    if (found / _GIVEN_UP).exists():
        given_up = TypeAdapter(tuple[Rejection, ...]).validate_json((found / _GIVEN_UP).read_bytes())
        return Outcome(job.name, False, given_up, cached=True)
    record = Scene.open(found).record
    shared, entries = store.Store(cache_root / "assets"), store.Store(root / "assets")
    for key in sorted({*record.assets.values(), *record.textures.values()}):
        if not shared.copy_to(key, entries):
            return None
    store.publish(root / "scenes" / job.name, partial(store.copy_files, found, manifest=True), sync=False)
    return Outcome(job.name, True, record.rejections, cached=True)


FLEETING = frozenset({"crash"})
"""Verdicts that may be the machine's fault: kept out of the cache, and tried again by the next run."""
_GIVEN_UP = "rejections.json"


def build(job: Job, root: Path, cache_root: Path | None, makers: Makers = Makers()) -> Outcome:
    """Build the scene of a job into the library at `root`, trying a few seeds.

    Whatever goes wrong with one scene is recorded and ends there; only what would stop every scene passes through: a full disk, no
    memory, no way to draw.
    """
    if job.spec is None:
        assert job.failure is not None
        return Outcome(job.name, False, (job.failure,))
    mujoco.mj_clearCache(mujoco.mj_getCache())  # it would keep the meshes of every scene so far, up to 500 MB
    rejections, cached = job.earlier, store.Store(cache_root / "scenes") if cache_root else None
    for attempt in range(ATTEMPTS):
        try:
            folder = _build_once(job, job.spec, root, cache_root, makers, attempt, rejections)
            if cached:
                cached.put(job_key(job, job.spec, makers), partial(store.copy_files, folder))
            return Outcome(job.name, True, rejections)
        except (StoreError, RenderError, MakerError, MemoryError):
            raise
        except GateError as error:
            found = [Rejection(attempt=attempt, gate=gate, message=message) for gate, message in error.failures]
        except (AssetError, LayoutError, SceneError) as error:
            gate = {AssetError: "asset", LayoutError: "layout"}.get(type(error), "compile")
            found = [Rejection(attempt=attempt, gate=gate, message=str(error))]
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise StoreError(f"This machine is out of resources: {error}. Use fewer --workers.") from error
            found = [Rejection(attempt=attempt, gate="crash", message=f"{type(error).__name__}: {error}")]
        rejections += tuple(found)
    if cached and not FLEETING & {item.gate for item in rejections}:
        cached.put(job_key(job, job.spec, makers), partial(_write_rejections, rejections))
    return Outcome(job.name, False, rejections)


def _write_rejections(rejections: tuple[Rejection, ...], folder: Path) -> None:
    (folder / _GIVEN_UP).write_bytes(TypeAdapter(tuple[Rejection, ...]).dump_json(rejections, indent=1))


class GateError(WorldgenError):
    """A scene that does not pass its gates."""

    def __init__(self, failures: list[tuple[str, str]]) -> None:
        self.failures = failures
        super().__init__("; ".join(f"{gate}: {message}" for gate, message in failures))


def _build_once(
    job: Job,
    spec: SceneSpec,
    root: Path,
    cache_root: Path | None,
    makers: Makers,
    attempt: int,
    earlier: tuple[Rejection, ...],
) -> Path:
    """Build one attempt and return the scene's folder."""
    entries = store.Store(root / "assets")
    shared = store.Store(cache_root / "assets") if cache_root else entries
    made = {item.name: assets.make(item, shared, makers) for item in spec.objects}
    painted = mjcf.textures(spec, shared)
    if spec.background.panorama:
        entries.copy_to(spec.background.panorama, shared)
        painted["panorama"] = assets.Painted(spec.background.panorama)
    if shared is not entries:
        for key in sorted({*(asset.key for asset in made.values()), *(texture.key for texture in painted.values())}):
            shared.copy_to(key, entries)
    robot = install_robot(spec.robot, root)
    seed = int(np.random.SeedSequence([job.seed, attempt]).generate_state(1)[0])

    def construct(folder: Path) -> None:
        _write_scene(folder, job, spec, made, painted, robot, root, seed, attempt, earlier)
        store.write_manifest(folder)

    return store.publish(root / "scenes" / job.name, construct)


def install_robot(name: str, root: Path) -> robots.Robot:
    """Copy an arm into the library, where it is missing or damaged, and return it."""
    robot = robots.load(name)
    store.Store(root / "robots").put(name, partial(store.copy_files, robot.folder))
    return robot


def _write_scene(
    folder: Path, job: Job, spec: SceneSpec, made: dict[str, assets.Asset], painted: dict[str, assets.Painted], robot: robots.Robot,
    root: Path, seed: int, attempt: int, earlier: tuple[Rejection, ...],
) -> None:  # fmt: skip
    """Write one attempt at a scene into an empty folder, and raise GateError when it fails a gate."""
    bodies = {name: mjcf.body_of(asset) for name, asset in made.items()}
    poses = layout.place(spec, bodies, mjcf.workspace(robot.recipe), seed)
    model = mjcf.build(spec, made, poses, robot, mjcf.draw_look(spec, robot.recipe, seed), painted)
    compiled = mjcf.compile_in(model, root)
    settled, state = settle(compiled, poses, robot)
    mjcf.set_home(model, state.qpos, state.ctrl)
    mjcf.compile_in(model, root)
    (folder / "scene.xml").write_text(mjcf.text(model), encoding="utf-8")
    record = SceneRecord(
        name=job.name,
        split=job.split,
        family=spec.family(),
        seed=seed,
        attempt=attempt,
        spec=spec,
        assets={name: asset.key for name, asset in made.items()},
        textures={name: texture.key for name, texture in painted.items()},
        poses=settled,
        checks=(),
        rejections=earlier,
        provenance={
            "design": job.design,
            "worldgen": worldgen.__version__,
            "mujoco": mujoco.__version__,
            "code": code_version(),
            "may_train": all(asset.provenance.may_train for asset in made.values()),
        },
    )
    scene = Scene(folder, record)
    examined = scene.model(trusted=True)  # from disk, as a user will load it
    found = checks.examine(scene, examined, clock=False)
    if failed := checks.problems(found):
        raise GateError([(problem.path, problem.message) for problem in failed])
    (folder / "preview.png").write_bytes(render.preview(scene, examined))
    record = record.model_copy(update={"checks": found})
    (folder / "scene.json").write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")


MAX_SETTLING = (0.02, 10.0)
"""How far an object may move [m] and turn [deg] between where it was put and where it comes to rest."""


def settle(
    model: mujoco.MjModel, poses: dict[str, layout.Pose], robot: robots.Robot
) -> tuple[dict[str, layout.Pose], mujoco.MjData]:
    """Let a new scene come to rest with the arm at home; return the poses and the state then.

    Raises:
        GateError: When an object falls, rolls or is thrown from where it was put.
    """
    state = mujoco.MjData(model)
    robots.set_home(model, state, robot.recipe, "robot/")
    for name, pose in poses.items():
        if pose.opening and (joint := _joint(model, name)) is not None:
            state.qpos[model.jnt_qposadr[joint]] = pose.opening * max(model.jnt_range[joint], key=abs)
    mujoco.mj_forward(model, state)
    upright = {name: state.body(name).xmat[8] for name in poses}
    for _ in range(round(checks.SETTLE / robots.TIMESTEP / 20)):
        mujoco.mj_step(model, state, 20)
    settled, failures = {}, []
    for name, pose in poses.items():
        body = state.body(name)
        moved = float(np.linalg.norm(body.xpos - pose.pos))
        tilted = float(np.degrees(np.arccos(np.clip(body.xmat[8] * upright[name], -1, 1))))
        if not moved <= MAX_SETTLING[0] or not tilted <= MAX_SETTLING[1]:
            failures.append(
                ("settle", f"'{name}' moved {100 * moved:.1f} cm and tilted {tilted:.0f} deg from where it was put.")
            )
        yaw = float(np.arctan2(body.xmat[3], body.xmat[0]))
        place = tuple(round(float(value), 6) for value in body.xpos)
        opening = _opening(model, state, name) if pose.opening else 0.0
        settled[name] = layout.Pose(pos=place, yaw=round(yaw, 6), opening=opening)
    if failures:
        raise GateError(failures)
    state.qvel[:] = 0
    return settled, state


def _joint(model: mujoco.MjModel, name: str) -> int | None:
    """Return the joint by which an object opens."""
    return next((joint for joint in range(model.njnt) if model.joint(joint).name.startswith(f"{name}/")), None)


def _opening(model: mujoco.MjModel, state: mujoco.MjData, name: str) -> float:
    """Return the share of its range by which an object is open."""
    joint = _joint(model, name)
    if joint is None:
        return 0.0
    return round(float(state.qpos[model.jnt_qposadr[joint]] / max(model.jnt_range[joint], key=abs)), 6)

"""From sentences to a library: plan every scene, build each once, in parallel, resumable. Knows all stages, does none itself.

A plan is a list of jobs, the same for the same settings. A job's result depends on nothing but the job, so that workers, kills and
reruns cannot change a byte of it.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import worldgen

from . import assets, data, designer, panorama, render, robots, store
from .build import ATTEMPTS, FLEETING, Job, Outcome, install_robot
from .designer import Designed
from .errors import AssetError, DesignError, EndpointError, LibraryError, Problem, SceneError, SpecError
from .library import INDEX, Index, Rejected, Rejection, Scene, SceneLibrary
from .makers import Makers
from .making import Images, Server, ShapE
from .spec import SceneSpec, goal_names
from .wire import SPLITS, Budget, DrafterSettings, Request, Split
from .workers import Workers, check_workers

MAX_SCENES = 100_000
MAX_TASKS = 500_000
"""Largest file of sentences [bytes]."""
SPARE = 0.25
"""Share of extra scenes planned at most, to make up for those given up."""
_MADE = ("photos", "image", "shap_e", "server", "eyes", "any_licence")
"""Settings of makers, which libraries of procedural objects do without."""


@dataclass(frozen=True)
class Settings:
    """What a library is made from. The same settings give the same bytes."""

    requests: tuple[str, ...]
    count: int = 20
    seed: int = 0
    robot: str = "widowx"
    designer: str = "rules"
    assets: str = "procedural"
    """Makers of objects that are tried in turn, with commas between them."""
    splits: tuple[float, ...] = (0.8, 0.05, 0.05, 0.05, 0.05)
    """Shares of `wire.SPLITS`, in their order."""
    photo: str | None = None
    """Photo of a real table to rebuild; language models only."""
    panorama: str | None = None
    """Picture of a real room around the table, in place of the drawn rooms."""
    photos: str | None = None
    """Folder of photos of objects, for makers that work from pictures."""
    image: Images = field(default_factory=Images)
    """Who draws pictures of objects where there are no photos."""
    shap_e: ShapE = field(default_factory=ShapE)
    server: Server = field(default_factory=Server)
    eyes: str = ""
    """Vision model that narrows what objects of pictures may weigh and how they slide."""
    any_licence: bool = False
    """Whether objects may be made that no other model may be trained on."""

    def __post_init__(self) -> None:
        if not self.requests or any(not designer.check_text(text) for text in self.requests):
            raise DesignError(
                'The request is empty. Say what the robot shall do, for example "put the red mug on the plate".'
            )
        if not 1 <= self.count <= MAX_SCENES:
            raise LibraryError(f"count {self.count} is outside [1, {MAX_SCENES}]. Make several libraries for more.")
        if not 0 <= self.seed < 2**63:
            raise LibraryError(f"seed {self.seed} is outside [0, 2^63).")
        if len(self.splits) != len(SPLITS) or min(self.splits) < 0 or not abs(sum(self.splits) - 1) <= 1e-6:
            raise LibraryError(
                f"splits {self.splits} must be {len(SPLITS)} shares that sum to 1, for {', '.join(SPLITS)}."
            )

    def stored(self) -> dict[str, Any]:
        """Return the settings as they stand in library.json: a picture by its name and content, not by where it lies."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # as it is read again: lists in place of tuples
        for key, path in (("photo", self.photo), ("panorama", self.panorama)):
            if path and Path(path).is_file():
                found[key] = {"name": Path(path).name, "sha256": store.file_digest(Path(path))}
        makers = self.makers()
        if makers.chain == ("procedural",):  # such libraries are as they always were
            return {key: value for key, value in found.items() if key not in _MADE}
        told = {"assets": ",".join(makers.chain), "makers": makers.settings(), "any_licence": makers.any_licence}
        return {key: value for key, value in found.items() if key not in _MADE} | json.loads(json.dumps(told))

    def makers(self) -> Makers:
        """Return who makes the objects.

        Raises:
            AssetError: When one is unknown, or lacks pictures.
        """
        return Makers.of(
            self.assets,
            photos=Path(self.photos) if self.photos else None,
            images=self.image,
            shap_e=self.shap_e,
            server=self.server,
            eyes=self.eyes,
            any_licence=self.any_licence,
        )


@dataclass(frozen=True)
class Report:
    """What `make` did."""

    root: Path
    wanted: int
    accepted: int
    built: int
    rejections: Counter[str]
    first: str = ""
    """Name of the first scene."""

    @property
    def complete(self) -> bool:
        """Whether every wanted scene is there."""
        return self.accepted >= self.wanted


Tell = Callable[[int, int, Outcome], None]
"""Called with how many are done, how many are wanted, and each outcome as it comes."""


def split_of(index: int, shares: Sequence[float]) -> Split:
    """Return the split of the scene with an index; shares hold over any run of indices, so a larger count only adds scenes."""
    # The golden ratio spreads a sequence evenly at every length; the offset puts the first six scenes into `train`.
    position = (0.15 + index * 0.6180339887498949) % 1.0
    for split, edge in zip(SPLITS, np.cumsum(shares), strict=True):
        if position < edge:
            return split
    return SPLITS[0]


def sentences(request: str, file: Path | None) -> tuple[str, ...]:
    """Return the requests of a command line: one sentence, or the non-empty lines of a file that do not start with `#`.

    Raises:
        DesignError: When both or neither are given, or the file cannot be read or is empty.
    """
    if (file is None) == (not request.strip()):
        raise DesignError("Give either a request in quotes or a file of sentences (--tasks FILE).")
    if file is None:
        return (request,)
    try:
        if file.exists() and (not file.is_file() or file.stat().st_size > MAX_TASKS):
            raise DesignError(f"'{file}' is no text file of at most {MAX_TASKS} bytes. Give one sentence a line.")
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DesignError(f"'{file}' cannot be read: {error}.") from error
    if not (found := tuple(line for line in lines if line and not line.startswith("#"))):
        raise DesignError(f"'{file}' holds no sentence. Write one a line.")
    return found


class Planner:
    """Designs one scene after the other; one that looks like an earlier one is drawn again.

    Keeps a short digest of each design and nothing else, so that memory stays flat.
    """

    def __init__(self, settings: Settings, endpoint: DrafterSettings, budget: Budget, failures: Path) -> None:
        self.settings, self.budget, self.failures = settings, budget, failures
        self.drafter = designer.make_drafter(settings.designer, endpoint)
        self.opening = robots.load(settings.robot).recipe.gripper.opening
        self.held = designer.held_out(" ".join(settings.requests))
        self.seen: set[str] = set()
        self.looks = tuple(settings.makers().looks().items())
        self.panorama = panorama.key_of(Path(settings.panorama)) if settings.panorama else None

    def plan(self, index: int) -> tuple[Job, Designed | None]:
        """Design the scene with an index. Call with 0, 1, 2 ... in order.

        Raises:
            EndpointError: When the language model is out of reach or the budget is used up.
            DesignError: When the only request there is cannot be understood.
        """
        settings = self.settings
        name, split = f"{index:04d}", split_of(index, settings.splits)
        text = settings.requests[index % len(settings.requests)]
        photo = Path(settings.photo) if settings.photo else None
        for attempt in range(ATTEMPTS):
            seed = int(np.random.SeedSequence([settings.seed, index, attempt]).generate_state(1)[0])
            request = Request(text, settings.robot, split, seed, photo, self.looks)
            try:
                designed = designer.design(request, self.drafter, self.opening, self.budget, self.failures, self.held)
            except EndpointError:
                raise  # the whole batch waits; the rerun goes on from here
            except (DesignError, SpecError) as error:
                if index == 0 and len(settings.requests) == 1:
                    raise  # no other scene would fare better
                failure = Rejection(attempt=attempt, gate="design", message=str(error))
                return Job(name, split, text, seed, None, failure=failure), None
            if job := self._job(designed, name):
                return job, designed
        message = f"{ATTEMPTS} designs in a row looked like earlier scenes: same objects, goal, table and room."
        return Job(
            name, split, text, seed, None, failure=Rejection(attempt=ATTEMPTS - 1, gate="duplicate", message=message)
        ), None

    def repair(self, designed: Designed, outcome: Outcome) -> tuple[Job, Designed] | None:
        """Ask for another design of a scene that failed its gates; None when there is none to be had.

        Raises:
            EndpointError: As `plan`.
        """
        last = outcome.rejections[-1].attempt
        found = [Problem(item.gate, item.message) for item in outcome.rejections if item.attempt == last]
        try:
            again = designer.redesign(designed, found, self.drafter, self.budget, self.failures)
        except EndpointError:
            raise
        except (DesignError, SpecError):
            return None
        # Not among the planned ones: repairs end in any order, and no plan may depend on that.
        return self._made(again, outcome.name, outcome.rejections), again

    def _job(self, designed: Designed, name: str) -> Job | None:
        likeness = signature(designed.spec)
        if likeness in self.seen:
            return None
        self.seen.add(likeness)
        return self._made(designed, name)

    def _made(self, designed: Designed, name: str, earlier: tuple[Rejection, ...] = ()) -> Job:
        origin, spec = designed.provenance, designed.spec
        background = spec.background.model_copy(update={"panorama": self.panorama})
        spec = spec.model_copy(update={"name": name, "background": background})
        return Job(
            name, origin.split, origin.request, origin.seed, spec, origin.model_dump(mode="json"), earlier=earlier
        )


def signature(spec: SceneSpec) -> str:
    """Return a digest that two scenes share when only places, shades and the shapes of the clutter tell them apart.

    Places are drawn anew at every reset, so they make no difference to a policy.
    """
    named = spec.goal_names()
    kinds = {
        item.name: [
            item.category,
            item.colour,
            item.material,
            item.pattern,
            item.role,
            item.variant if item.name in named else 0,
        ]
        for item in spec.objects
    }
    goals = [[goal.kind, *(kinds[name] for name in goal_names(goal))] for goal in spec.task.goals]
    where = [spec.robot, spec.surface.material, spec.background.room]
    return store.key([sorted(kinds.values()), goals, where])


def specs(
    settings: Settings, endpoint: DrafterSettings = DrafterSettings(), budget: Budget | None = None
) -> Iterator[SceneSpec]:
    """Yield `settings.count` different designs, unbuilt.

    Raises:
        DesignError: When a request cannot be designed.
    """
    folder = data.cache_folder()
    planner = Planner(
        settings,
        replace(endpoint, replies=endpoint.replies or folder / "replies"),
        budget or Budget(),
        folder / "failed",
    )
    for index in range(settings.count):
        job, _ = planner.plan(index)
        if job.spec is None:
            assert job.failure is not None
            raise DesignError(f"scene {job.name}: {job.failure.message}")
        yield job.spec


def make(
    settings: Settings,
    out: Path,
    *,
    workers: int = 1,
    cache_root: Path | None = None,
    endpoint: DrafterSettings = DrafterSettings(),
    budget: Budget | None = None,
    progress: Tell | None = None,
) -> Report:
    """Make or finish the library at `out`.

    A scene is skipped when it is there and whole, or when its rejection is; all others are built. The result does not depend on
    `workers`, on where a run was stopped, or on what the cache holds.

    Raises:
        LibraryError: When `out` cannot hold this library.
        StoreError: When the disk is full. The rerun goes on from there.
        EndpointError: When the language model is out of reach or the budget is used up. The rerun goes on from there.
    """
    check_workers(workers)
    makers = settings.makers()  # an unknown one is an error here, not in every scene
    workers = 1 if makers.heavy else workers  # each process would hold the models
    spoken = cache_root or data.cache_folder()  # what language models said outlives a library
    endpoint = replace(endpoint, replies=endpoint.replies or spoken / "replies")
    planner = Planner(settings, endpoint, budget or Budget(), spoken / "failed")
    first = planner.plan(0)  # a request that nobody understands leaves no library behind,
    if not (out / INDEX).exists():  # nor does a server that is not there; what is finished needs none
        makers.require_reach()
    found = SceneLibrary.create(out, settings.stored())
    for folder in (out, *(out / part for part in ("assets", "scenes", "rejected", "robots"))):
        store.sweep(folder)
    if cache_root:
        for part in ("assets", "scenes", "replies"):
            store.sweep(cache_root / part)
    install_robot(settings.robot, out)
    if settings.panorama:
        panorama.add(Path(settings.panorama), found.assets)
    outcomes: dict[str, Outcome] = {}
    built = accepted = 0
    try:
        with Workers(workers, out, cache_root, makers) as pool:
            for outcome in _run(planner, first, found, pool):
                outcomes[outcome.name] = outcome
                built += not outcome.cached
                accepted += outcome.accepted
                if progress:
                    progress(accepted, settings.count, outcome)
    finally:  # also after Ctrl-C: what is there can be looked at
        store.sweep(out / "scenes")
        index = summarise(found, settings, outcomes)
        found.write_index(index)
        store.write_file(out / "README.md", render.dataset_card(found, index))
    reasons = Counter(item.gate for outcome in outcomes.values() for item in outcome.rejections)
    return Report(out, settings.count, len(index.scenes), built, reasons, index.scenes[0] if index.scenes else "")


def _run(planner: Planner, first: tuple[Job, Designed | None], found: SceneLibrary, pool: Workers) -> Iterator[Outcome]:
    """Yield outcomes until enough scenes are accepted or too many were given up.

    A job starts only when all running and accepted ones together could still fall short, so the scenes built are the shortest
    prefix of the plan that suffices: the same for any number of workers.
    """
    count = planner.settings.count
    limit = count + max(3, int(count * SPARE))
    running: dict[Future[Outcome], tuple[Job, Designed | None]] = {}
    planned = accepted = 0
    while True:
        while planned < limit and accepted + len(running) < count and len(running) < 3 * pool.workers:
            job, designed = first if planned == 0 else planner.plan(planned)
            planned += 1
            if done := _finished(job, found):
                accepted += done.accepted
                yield done
            else:
                running[pool.start(job)] = job, designed
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            job, designed = running.pop(future)
            outcome = pool.result(future, job)
            if not outcome.accepted:
                if designed and (repaired := planner.repair(designed, outcome)):
                    running[pool.start(repaired[0])] = repaired
                    continue
                found.reject(
                    Rejected(name=job.name, split=job.split, request=job.request, rejections=outcome.rejections)
                )
            accepted += outcome.accepted
            yield outcome


def _finished(job: Job, found: SceneLibrary) -> Outcome | None:
    """Return what an earlier run made of a job; a damaged scene is moved aside and counts as missing.

    Files that somebody else put into a scene's folder are left alone.
    """
    folder = found.root / "scenes" / job.name
    if folder.is_dir():
        if not store.damage(folder, surplus_counts=False):
            with contextlib.suppress(SceneError, AssetError):
                scene = Scene.open(folder)
                if all(
                    found.assets.get(key) for key in {*scene.record.assets.values(), *scene.record.textures.values()}
                ):
                    return Outcome(job.name, True, scene.record.rejections, cached=True)
        found.discard(job.name)
    rejected = found.rejected(job.name)
    if rejected and not FLEETING & {item.gate for item in rejected.rejections}:
        return Outcome(job.name, False, rejected.rejections, cached=True)
    return None


def summarise(found: SceneLibrary, settings: Settings, outcomes: dict[str, Outcome]) -> Index:
    """Return the index of a library from what became of its jobs. Reads records; measures nothing."""
    names = [name for name in sorted(outcomes, key=lambda name: (len(name), name)) if outcomes[name].accepted][
        : settings.count
    ]
    splits: Counter[str] = Counter()
    families: Counter[str] = Counter()
    objects: set[str] = set()
    for name in names:
        record = Scene.open(found.root / "scenes" / name).record
        splits[record.split] += 1
        families[record.family] += 1
        objects |= set(record.assets.values())
    tried = list(outcomes.values())
    first = sum(outcome.accepted and not outcome.rejections for outcome in tried)
    attempts = sum(len({item.attempt for item in outcome.rejections}) + outcome.accepted for outcome in tried)
    held = designer.held_out(" ".join(settings.requests))
    return Index(
        settings=settings.stored(),
        complete=len(names) >= settings.count,
        scenes=tuple(names),
        counts={
            "scenes": len(names),
            "splits": dict(sorted(splits.items())),
            "families": dict(sorted(families.items())),
            "assets": len(objects),
            "attempts": attempts,
            "accepted_at_first_try": round(first / max(len(tried), 1), 4),
            "accepted_per_attempt": round(len(names) / max(attempts, 1), 4),
            "rejections": dict(sorted(Counter(item.gate for outcome in tried for item in outcome.rejections).items())),
            "given_up": sorted(outcome.name for outcome in tried if not outcome.accepted),
        },
        held_out={"categories": tuple(held.categories), "surfaces": tuple(held.surfaces), "rooms": tuple(held.rooms)},
        versions={"worldgen": worldgen.__version__, **assets.tool_versions()},
    )

"""Evaluation: a policy plays from many starts; what came of each, why it failed, and films. Knows policies and worlds, no training.

Seeds below 10^6 are for demonstrations, the next 10^6 for choosing between policies, the next for reports, all above for reinforcement learning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from worldgen.camera import Image
from worldgen.library import Scene
from worldgen.play import EVERY
from worldgen.render import write_film
from worldgen.sim import domains
from worldgen.sim.domains import Domain
from worldgen.sim.stage import PART, Settings, Stage
from worldgen.sim.truth import goals_of
from worldgen.sim.world import World
from worldgen.sim.worlds import Observations, ProcessWorlds, Start
from worldgen.spec import goal_names
from worldgen.store import file_digest

from . import checkpoint
from .config import Evaluate, Ode, Sampler, Zero
from .demos import SEEDS, require_suits
from .errors import RunError
from .folders import held
from .limits import require
from .play import Course, Moment, play
from .policies.base import Policy
from .policies.store import load_acting, policy_digest
from .records import Played
from .report import Report, Seeds, compare, require_alike, summarise
from .sets import UNSEEN, chosen, drawn, scenes_of, scenes_of_set

FIRST = {"selection": SEEDS, "report": 2 * SEEDS + 10_000}
"""First seed of each purpose. The 10,000 before reports were looked at while the recipes of docs/results.md were chosen."""
_FILM = (240, 180)
_NEAR = 0.06
"""How far beside the goal what was put down counts as having missed it, not as dropped on the way [m]."""
_STILL = 0.01
"""How far a target may be moved without having been touched, by what settles [m]."""
_SHUT, _FULL = 0.3, 0.12
"""Gripper that was told to shut, and opening at which it then holds something."""
# Where things stand in what a privileged vector says of a goal: see worldgen.sim.truth.Truth.vector
_CENTRE, _AWAY, _DONE, _TOUCH = slice(0, 3), slice(12, 15), 16, 17


def evaluate(run: Path, library: Path, config: Evaluate, tell: Callable[[str], None] = print) -> Report:
    """Play a policy and write a report with films.

    Args:
        run: Folder of a run, or of a policy.
        library: Scenes.
        config: See `Evaluate`.
        tell: Takes lines about the progress.

    Raises:
        RunError: When the library lacks the split or is for another arm, settings do not go together, the report to compare with is of other
            starts, or the folder holds a report of another library or way of deciding, or of more episodes.
        CheckpointError: When the policy cannot be read.
    """
    require(config)
    if config.seed and config.scenes is None:
        raise RunError(f"--seed {config.seed} says which scenes are drawn, and all are played: give --scenes too.")
    torch.set_num_threads(config.threads)
    policy, out, split = load_acting(run), folder_of(run, config), config.split or UNSEEN
    scenes = scenes_of_set(library, config.set, config.split) if config.set else scenes_of(library, split)
    scenes = drawn(scenes, config.scenes, config.seed)
    require_suits(scenes, library, split, policy.interface)
    digest = file_digest(library / "library.json")
    starts, sampler = starts_of(scenes, config), Zero(config.steps) if config.zero else Ode(config.steps)
    versus = _versus(config, digest, starts) if config.versus else None
    others = _others(scenes) if config.shuffle_instructions else {}
    with held(out):
        _require_own(out, library, digest, f"{sampler}", len(starts))
        courses = list(_told(rollout(policy, library, starts, config, sampler, others), len(starts), tell))
        by_name = {scene.name: scene for scene in scenes}
        still = _STILL + domain_of(config).nudge.high
        played = [judge(course, by_name[course.start.scene], policy.interface.rate_hz, still) for course in courses]
        played = _filmed(courses, played, by_name, config, out)
        first = FIRST[config.purpose]
        name = ", ".join(filter(None, (config.set, "instructions of other scenes" * config.shuffle_instructions)))
        report = summarise(
            played, run=run.name, library=library.name, digest=digest,
            splits=tuple(sorted({one.split for one in played})), policy={"kind": policy.kind, **policy.settings(), "weights": policy_digest(str(run))},
            domain=domain_of(config).model_dump(mode="json"), set_name=name, sampler=f"{sampler}", seeds=Seeds(purpose=config.purpose, first=first, last=first + len(starts) - 1),
        )  # fmt: skip
        report.save(out)
        if versus:
            report = report.model_copy(update={"comparison": compare(report, versus)})
            report.save(out)
    return report


def _versus(config: Evaluate, digest: str, starts: Sequence[Start]) -> Report:
    """Return the report to compare with; one of other starts is refused before anything is played."""
    place = Path(config.versus or "")
    found = Report.load(place.parent if place.name == "report.json" else place)
    require_alike(found, digest, domain_of(config).model_dump(mode="json"), f"--versus '{place}'")
    if not {(one.scene, one.seed) for one in found.episodes} & {(start.scene, start.seed) for start in starts}:
        raise RunError(
            f"--versus '{place}' has no start in common with this evaluation: it is of {', '.join(found.splits)}"
            f"{found.set_name and ' and set '}{found.set_name}. Use the same --split or --set, and the same --purpose."
        )
    return found


def _require_own(out: Path, library: Path, digest: str, sampler: str, episodes: int) -> None:
    """Keep a report that answers another question, or has more episodes; one of the same, of an older policy, makes room."""
    try:
        there = Report.load(out)
    except RunError:  # none, or one that cannot be read
        return
    other = [f"of another library ('{there.library}' then, '{library}' now)"] * (there.digest != digest)
    other += [f"decided by {there.sampler}, not {sampler}"] * (there.sampler != sampler)
    other += [f"of {len(there.episodes)} episodes, more than {episodes}"] * (len(there.episodes) > episodes)
    if other:
        raise RunError(f"'{out}' holds a report {' and '.join(other)}. It stays: give another --out, or delete it.")


def folder_of(run: Path, config: Evaluate) -> Path:
    """Return where the report of an evaluation goes."""
    parts = ["eval", *filter(None, (config.set, config.split or UNSEEN * (not config.set)))]
    parts += [f"{config.scenes}-scenes-seed-{config.seed}"] * (config.scenes is not None)
    parts += ["shuffled"] * config.shuffle_instructions
    parts += [config.domain] * (not config.set and config.domain != "paper") + [config.purpose] * (
        config.purpose != "report"
    )
    home = run if checkpoint.exists(run / "policy") else run.parent
    return config.out or home / "-".join(parts)


def domain_of(config: Evaluate) -> Domain:
    """Return what is drawn anew at each start: the test set's domain, or the named one."""
    return chosen(config.set).domain() if config.set else domains.load(config.domain, deployment=True)


def starts_of(scenes: Sequence[Scene], config: Evaluate) -> list[Start]:
    """Return the starts of an evaluation: the scenes in turn, each time with the next seed of its purpose."""
    first = FIRST[config.purpose]
    return [Start(scenes[index % len(scenes)].name, first + index) for index in range(config.episodes)]


def rollout(
    policy: Policy,
    library: Path,
    starts: Sequence[Start],
    config: Evaluate,
    sampler: Sampler,
    others: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Iterator[Course]:
    """Yield the episodes of a policy as they end; `others`: scene → what it may be told there, where that is not what is to be done."""
    face = policy.interface
    settings = Settings(domain_of(config), views=face.views(), privileged=True, chunk=policy.chunk)
    rng = torch.Generator().manual_seed(FIRST[config.purpose])

    def decide(seen: Observations, courses: list[Course]) -> NDArray[np.float32]:
        for course in courses:
            if said := others.get(course.start.scene):
                course.instruction = said[course.start.seed % len(said)]
        return policy.act(replace(seen, instruction=[course.instruction for course in courses]), rng, sampler).actions

    with ProcessWorlds(library, settings, min(config.slots, len(starts)), config.workers) as worlds:
        yield from play(decide, worlds, starts)


def _others(scenes: Sequence[Scene]) -> dict[str, tuple[str, ...]]:
    """Return for each scene the sentences of another one that asks for something else: far from it in the library, of its split where there is one.

    Raises:
        RunError: When all ask for the same.
    """
    found, half, asked = {}, len(scenes) // 2, [_asked(scene) for scene in scenes]
    for index, scene in enumerate(scenes):
        turned = [(index + half + step) % len(scenes) for step in range(len(scenes))]
        others = [scenes[each].record for each in turned if asked[each] != asked[index]]
        if not others:
            raise RunError(
                "All scenes ask for the same thing: none can be given the sentence of another. Take a library of several tasks."
            )
        near = next((each for each in others if each.split == scene.record.split), others[0])
        found[scene.name] = near.spec.task.sentences()
    return found


def _asked(scene: Scene) -> list[object]:
    """Return what is to be done in a scene, in whatever words: the kinds of its goals, and what the things in them are."""
    spec = scene.record.spec
    known = {item.name: (item.category, item.colour) for item in spec.objects}
    return [(type(goal), [known.get(name) for name in goal_names(goal)]) for goal in spec.task.goals]


def judge(course: Course, scene: Scene, rate_hz: float, still: float = _STILL) -> Played:
    """Return what came of an episode, and in one word why it failed; see `failure` for `still`."""
    spec = scene.record.spec
    target = spec.object(goal_names(spec.task.goals[0])[0])
    return Played(
        scene=scene.name,
        seed=course.start.seed,
        split=scene.record.split,
        family=scene.record.family,
        target=target.category,
        instruction=course.instruction,
        end=course.end,
        failure="" if course.end == "success" else failure(course, still),
        seconds=round(course.steps / rate_hz, 3),
        decisions=len(course.moments),
    )


def failure(course: Course, still: float = _STILL) -> str:
    """Return why an episode failed, from what only the simulator knows.

    `still` is how far the target may be moved without the arm's doing [m].
    """
    if course.end == "invalid" or not course.moments or course.last is None:
        return "invalid"
    moments = [*course.moments, course.last]
    told = goals_of(np.stack([moment.privileged for moment in moments if moment.privileged is not None]))
    truth = told[:, int(np.argmin(told[-1, :, _DONE]))]  # the first goal that is open
    moved = float(np.linalg.norm(truth[:, _CENTRE] - truth[0, _CENTRE], axis=1).max())
    touched, held = truth[:, _TOUCH] > 0, truth[:, _TOUCH] >= 1
    if course.end == "fell":
        return "dropped"
    if not touched.any() and moved < still:
        return "wrong object" if _grasped(moments) else "never touched"
    if held.any() and not held[-1]:
        goes = truth[:, _AWAY].any()  # what is lifted or opened is brought nowhere
        return "missed" if goes and float(np.linalg.norm(truth[-1, _AWAY][:2])) < _NEAR else "dropped"
    return "timed out"


def _grasped(moments: Sequence[Moment]) -> bool:
    """Return whether the gripper, told to shut, stayed open around something: the target it was not."""
    return any(
        len(before.chunk) > 0
        and float(before.chunk[-1, 6]) < _SHUT
        and float(after.state[6]) > _FULL
        and float(before.state[6]) < _SHUT + _FULL
        for before, after in pairwise(moments)
    )


def _told(courses: Iterator[Course], count: int, tell: Callable[[str], None]) -> Iterator[Course]:
    won, said = 0, 0
    for number, course in enumerate(courses, 1):
        won += course.end == "success"
        if 10 * number // count > said or number == count:
            said = 10 * number // count
            tell(f"{number} of {count} episodes are over, {won} successes, which take less time than failures")
        course.forget()
        yield course


def _filmed(
    courses: Sequence[Course], played: Sequence[Played], scenes: dict[str, Scene], config: Evaluate, out: Path
) -> list[Played]:
    """Play some episodes again for a film, failures first; return all episodes, those with the name of theirs."""
    order = sorted(range(len(played)), key=lambda index: (played[index].success, courses[index].index))
    failed = [index for index in order if not played[index].success and played[index].end != "invalid"][: config.films]
    won = [index for index in order if played[index].success][: config.films]
    found = list(played)
    for film in (out / "films").glob("*.mp4") if (out / "report.json").exists() else ():  # of an earlier report
        film.unlink()
    for index in [*failed, *won]:
        name = f"films/{played[index].scene}-{played[index].seed}.mp4"
        (out / "films").mkdir(parents=True, exist_ok=True)
        _film(courses[index], scenes[played[index].scene], config, out / name)
        found[index] = replace(played[index], video=name)
    return found


def _film(course: Course, scene: Scene, config: Evaluate, path: Path) -> None:
    """Write the film of an episode, by doing again what was done."""
    chunk = max(len(moment.chunk) for moment in course.moments)
    stage = Stage(scene, Settings(domain_of(config), views=(), chunk=chunk), trusted=True)
    try:
        world = World(stage)
        rate = 1 / (EVERY * PART * world.model.opt.timestep)
        write_film(path, _FILM, _pictures(world, course), rate)
    finally:
        stage.close()


def _pictures(world: World, course: Course) -> Iterator[Image]:
    world.reset(course.start.seed)
    seen, looks = list[Image](), 0

    def watch() -> None:
        nonlocal looks
        if looks % EVERY == 0:
            seen.append(world.picture("preview", *_FILM))
        looks += 1

    for moment in course.moments:
        if world.end:
            break
        world.step(moment.chunk, watch)
        yield from seen
        seen.clear()
    last = world.picture("preview", *_FILM)
    yield from [last] * 8

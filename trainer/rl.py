"""Reinforcement learning over a library of scenes: play, judge what was done, make what was better likelier.

One iteration: starts → `play` → densities of what was done, by the forward pass that learns → advantages → updates → log; now and then an
evaluation on scenes that nothing is trained on. PPO and GRPO differ in which starts are played and in `Learner.judge`. Everything random hangs
on the number of the iteration: a run that was killed goes on to the same weights.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worldgen.library import SceneLibrary
from worldgen.sim import domains
from worldgen.sim.rewards import Sparse, Staged
from worldgen.sim.stage import Settings
from worldgen.sim.truth import PRIVILEGED
from worldgen.sim.worlds import ProcessWorlds, Start

from . import checkpoint
from .advantages import among, gae, normalised
from .config import Evaluate, Grpo, Learned, Rl
from .dataset import require_fits
from .demos import interface_of
from .errors import RunError
from .evaluate import FIRST, evaluate
from .fit import claim, descend
from .losses import Clip, explained, policy_loss, value_loss
from .metrics import Log, Share
from .policies.critic import Critic
from .policies.store import load_acting, save_policy
from .rollout import Rollout, collect, joined
from .sets import scenes_of
from .sight import Labels, sight_loss

SEEDS = FIRST["report"] + 10**6
"""Seeds of reinforcement learning are this one and those above it."""
_ROOM = 10**7
"""Seeds of one root seed."""
_VALUE_CLIP = 0.2
"""Largest change of a value in an iteration that the policy already learns by."""
_EXACT, _MOST = 1e-4, 0.99
"""How far ratios may be off 1 before anything was learned, and the share of them that must be so near: now and then two cells of a picture
are equally likely, and another batch decides between them."""


def rl(library: Path, config: Rl, tell: Callable[[str], None] = print) -> None:
    """Train a policy on the scenes of a library and write it to `OUT/policy`; a killed run goes on where it was.

    Raises:
        RunError: When settings make no sense, the library lacks a split, the folder holds another run, or densities do not repeat.
        CheckpointError: When what to start from cannot be read.
        DatasetError: When that is made for another arm or camera.
    """
    torch.set_num_threads(config.threads)
    _require(config)
    policy = load_acting(config.init)
    scenes, face = list(SceneLibrary.open(library).scenes("train")), policy.interface
    require_fits(interface_of(scenes, library, "train", face.size, face.cameras), face, library)
    if config.every:
        interface_of(scenes_of(library, "unseen"), library, "unseen", face.size, face.cameras)
    claim(config.out, {**_plain(config), "library": str(library)})
    learner = Learner(policy, config)
    first = learner.resume(config.out / checkpoint.STATE)
    sparse = isinstance(config.algorithm, Grpo) or config.algorithm.reward == "sparse"
    reward = Sparse() if sparse else Staged()
    settings = Settings(domains.load(config.domain), reward, face.views(), privileged=True, chunk=policy.chunk)
    names, slots = sorted(scene.name for scene in scenes), min(config.slots, config.episodes)
    with (
        ProcessWorlds(library, settings, slots, config.workers, trusted=True) as worlds,
        Log(config.out / "metrics.jsonl", last=first) as log,
    ):
        for iteration in range(first, config.iterations):
            line: dict[str, float] = {"step": iteration + 1}
            if config.every and iteration % config.every == 0:
                learner.publish(iteration)
                line |= _unseen(config, library, iteration, tell)
            begun = time.monotonic()
            rollout, figures = _played(policy, worlds, names, config, iteration)
            line |= figures | {"playing": time.monotonic() - begun}
            begun = time.monotonic()
            line |= learner.learn(rollout, iteration) | {"learning": time.monotonic() - begun}
            del rollout
            log.append(line)
            learner.save(config.out / checkpoint.STATE, iteration + 1)
            tell(", ".join(f"{name} {value:.3g}" for name, value in line.items()))
    if first < config.iterations:
        learner.publish(config.iterations)
        figures = _unseen(config, library, config.iterations, tell) if config.every else {}
        with Log(config.out / "metrics.jsonl") as log:
            log.append({"step": config.iterations, **figures})


def _require(config: Rl) -> None:
    """Raises RunError when settings make no sense."""
    whole = ("iterations", "episodes", "steps", "batch", "epochs", "trials", "slots", "workers", "threads")
    wrong = [f"{name} {getattr(config, name)} must be at least 1" for name in whole if getattr(config, name) < 1]
    if not 1e-3 <= config.noise <= 1:
        wrong.append(f"noise {config.noise} must be from 0.001 to 1")
    if not 0 <= config.seed < 100:
        wrong.append(f"seed {config.seed} must be from 0 to 99")
    if isinstance(config.algorithm, Grpo) and not 2 <= config.algorithm.group <= config.episodes:
        wrong.append(f"group {config.algorithm.group} must be from 2 to the {config.episodes} episodes of an iteration")
    if wrong:
        raise RunError(f"{'; '.join(wrong)}.")


def _unseen(config: Rl, library: Path, iteration: int, tell: Callable[[str], None]) -> dict[str, float]:
    """Return the success of the policy that was published last, on scenes that nothing is trained on, from seeds that choose between policies."""
    asked = Evaluate(
        episodes=config.trials, purpose="selection", domain=config.domain, steps=config.steps, films=0,
        slots=config.slots, workers=config.workers, threads=config.threads,
    )  # fmt: skip
    share = evaluate(config.out, library, asked, lambda _: None).total
    tell(
        f"{iteration}: never-trained scenes {share.rate:.1%} ({100 * share.low:.0f} to {100 * share.high:.0f}, n {share.trials})"
    )
    return {"unseen": share.rate, "unseen low": share.low, "unseen high": share.high}


# --- playing ------------------------------------------------------------------------------------------------------------------


def _played(
    policy: Any, worlds: ProcessWorlds, names: Sequence[str], config: Rl, iteration: int
) -> tuple[Rollout, dict[str, float]]:
    """Return an iteration's episodes and what came of them; with GRPO only groups that ended both ways, where there are so many."""
    rng, noise = _generator(config, iteration, 0), Learned(config.steps, config.noise, config.noise)
    if not isinstance(config.algorithm, Grpo):
        whole = collect(policy, worlds, _starts(names, config, iteration, config.episodes), noise, rng)
        return whole, _figures(whole.courses)
    size, wanted = config.algorithm.group, config.episodes // config.algorithm.group
    parts, courses, found = list[Rollout](), list[Any](), 0
    starts = _starts(names, config, iteration, wanted * config.algorithm.tries)
    for begin in range(0, len(starts), wanted):
        group = [start for start in starts[begin : begin + wanted] for _ in range(size)]
        part = collect(policy, worlds, group, noise, rng)
        courses += part.courses
        numbers = _groups(part)
        _require_alike(part, numbers)
        _, mixed = among(_scores(part), numbers)
        kept = mixed & np.isin(numbers, np.unique(numbers[mixed])[: wanted - found])
        if kept.any():
            parts.append(part.of(kept))
        found += len(np.unique(numbers[kept]))
        if found >= wanted:
            break
    figures = _figures(courses) | {"groups": found, "groups played": begin // wanted + 1.0}
    return joined(parts) if parts else part.of(np.arange(len(part.courses)) < 1), figures


def _figures(courses: Sequence[Any]) -> dict[str, float]:
    won = Share.of(sum(course.end == "success" for course in courses), len(courses))
    paid = float(np.mean([course.reward for course in courses]))
    decisions = sum(len(course.moments) for course in courses)
    return {"success": won.rate, "low": won.low, "high": won.high, "return": paid, "decisions": decisions}


def _scores(rollout: Rollout) -> NDArray[np.float64]:
    return np.array([course.end == "success" for course in rollout.courses], float)


def _groups(rollout: Rollout) -> NDArray[np.int64]:
    """Return a number for each episode that those of the same start share, (E,), in the order of first appearance."""
    known = {start: number for number, start in enumerate(dict.fromkeys(course.start for course in rollout.courses))}
    return np.array([known[course.start] for course in rollout.courses])


def _require_alike(rollout: Rollout, group: NDArray[np.int64]) -> None:
    """Refuse groups whose episodes did not begin alike."""
    firsts = np.flatnonzero(np.append(True, rollout.decided.last[:-1]))
    known: dict[int, bytes] = {}
    for row, number in zip(firsts, group.tolist(), strict=True):
        seen = rollout.images[row].tobytes() + rollout.privileged[row].numpy().tobytes()
        if known.setdefault(number, seen) != seen:
            raise RunError(f"Episodes of group {number} did not begin alike.")


def _starts(names: Sequence[str], config: Rl, iteration: int, count: int) -> list[Start]:
    """Return an iteration's starts: scenes drawn without repetition as long as there are others, each with a seed of its own."""
    rng = np.random.default_rng([config.seed, iteration, 1])
    order = np.concatenate([rng.permutation(len(names)) for _ in range(-(-count // len(names)))])[:count]
    first = SEEDS + config.seed * _ROOM + iteration * count
    return [Start(names[scene], first + index) for index, scene in enumerate(order)]


def _generator(config: Rl, iteration: int, purpose: int) -> torch.Generator:
    words = np.random.SeedSequence([config.seed, iteration, purpose]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))


# --- learning -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """What each decision was worth."""

    advantages: Tensor
    """(N,)"""
    weight: Tensor
    """(N,) what it counts; 0 for not."""
    figures: dict[str, float]


class Learner:
    """A policy, its critic where the algorithm has one, and their optimiser.

    Args:
        policy: What learns, in place.
        config: See `Rl`.
    """

    def __init__(self, policy: Any, config: Rl) -> None:
        torch.manual_seed(config.seed)
        self.policy, self.config = policy, config
        groups: list[dict[str, Any]] = [{"params": list(policy.parameters()), "lr": config.lr}]
        self.net = nn.ModuleDict({"policy": policy})
        if not isinstance(config.algorithm, Grpo):
            self.net["critic"] = Critic(PRIVILEGED)
            groups.append({"params": list(self.net["critic"].parameters()), "lr": config.algorithm.critic_lr})
        self.optimiser = torch.optim.AdamW(groups, weight_decay=0.0)

    def resume(self, state: Path) -> int:
        """Go on from a saved state, if there is one; return the iteration to begin with."""
        if not checkpoint.exists(state):
            return 0
        numbers, _ = checkpoint.load_training(state, self.net, self.optimiser)
        return int(numbers["iteration"])

    def save(self, state: Path, iteration: int) -> None:
        """Write all that is needed to go on."""
        checkpoint.save_training(state, self.net, self.optimiser, {"iteration": iteration})

    def publish(self, iteration: int) -> None:
        """Write the policy to `OUT/policy`."""
        facts = {"reinforcement": _plain(self.config), "iterations": iteration}
        save_policy(self.policy, self.config.out / "policy", facts)

    def learn(self, rollout: Rollout, iteration: int) -> dict[str, float]:
        """Move the weights by what an iteration's episodes tell, and return what to show of it.

        Raises:
            RunError: When the densities of what was done do not repeat.
        """
        rng, old = _generator(self.config, iteration, 2), self.look(rollout)
        off = ((old - rollout.acted).exp() - 1).abs()
        figures = {"off": float(off.max())}
        if not float(off.quantile(_MOST)) <= _EXACT:
            raise RunError(
                f"The densities of what was done do not repeat: ratios are off by {float(off.quantile(_MOST)):.2g} before anything was "
                f"learned, at most {_EXACT:g} is right. The policy's sampler and its `density` disagree."
            )
        judged = self.judge(rollout, iteration, rng)
        figures |= judged.figures
        alone = not isinstance(self.config.algorithm, Grpo) and iteration < self.config.algorithm.warm
        if not alone and judged.weight.any():
            figures |= self.improve(rollout, old, judged, rng)
        return figures

    @torch.no_grad()
    def look(self, rollout: Rollout) -> Tensor:
        """Return the log-densities (N,) of what was done, by the forward pass that learns."""
        rows = torch.arange(len(rollout)).split(self.config.batch)
        return torch.cat([self.policy.score(rollout.inputs(some), rollout.traced(some))[0] for some in rows])

    def judge(self, rollout: Rollout, iteration: int, rng: torch.Generator) -> Judged:
        """Return what each decision was worth: the one place where algorithms differ. A critic learns here, too."""
        algorithm, decided = self.config.algorithm, rollout.decided
        if isinstance(algorithm, Grpo):
            each, mixed = among(_scores(rollout), _groups(rollout), algorithm.spread)
            episode = decided.episodes()
            weight = np.where(mixed, 1 / np.bincount(episode), 0.0)[episode]
            return Judged(torch.from_numpy(each[episode]).float(), torch.from_numpy(weight).float(), {})
        critic, rows = cast(Critic, self.net["critic"]), rollout.privileged
        if iteration == 0:
            critic.fit(rows)
        with torch.no_grad():
            values = critic(rows)
        nothing = np.zeros(len(rollout))  # every episode ends for good: the time limit is part of the task
        advantages, targets = gae(decided, values.double().numpy(), nothing, algorithm.discount, algorithm.trace)
        target, moved = torch.from_numpy(targets).float(), list[float]()
        near = math.inf if iteration < algorithm.warm else _VALUE_CLIP
        for _ in range(algorithm.critic_passes):
            for some in self._parts(torch.arange(len(rows)), rng):
                loss, far = value_loss(
                    critic(rows[some]), values[some], target[some], torch.ones(len(some), dtype=torch.bool), near
                )
                descend(loss, self.optimiser, critic)
                moved.append(far)
        figures = {"explained": explained(values, target), "values clipped": float(np.mean(moved))}
        whole = torch.from_numpy(normalised(advantages, np.ones(len(rollout), bool))).float()
        return Judged(whole, torch.ones(len(rollout)), figures)

    def improve(self, rollout: Rollout, old: Tensor, judged: Judged, rng: torch.Generator) -> dict[str, float]:
        """Move the policy, until it has gone as far as it may; return means over the steps, and whether it was stopped."""
        algorithm, seen, stopped = self.config.algorithm, defaultdict[str, list[float]](list), False
        drawn = rollout.trace.get("random")
        power = 1.0 if drawn is None else 1 / max(1, int(drawn.sum(dim=1).max()))
        clip = Clip(algorithm.low, algorithm.high, power=power)
        counted = judged.weight.nonzero()[:, 0]
        for rows in (some for _ in range(self.config.epochs) for some in self._parts(counted, rng)):
            inputs = rollout.inputs(rows)
            view = self.policy.remember(inputs)
            points = self.policy.where(view)
            new, _ = self.policy.density(self.policy.memory(view.tokens, points, inputs.state), rollout.traced(rows))
            loss, parts = policy_loss(new, old[rows], judged.advantages[rows], judged.weight[rows], clip)
            stopped = parts["kl"] > self.config.kl
            if stopped:
                break
            parts["policy"] = float(loss.detach())
            if self.config.sight:
                labels = Labels.of(rollout.privileged[rows].numpy(), inputs.state.numpy())
                sight, figures = sight_loss(view, points, labels)
                loss, parts["sight mm"] = loss + self.config.sight * sight, figures["median mm"]
            parts["skipped"] = float(not torch.isfinite(descend(loss, self.optimiser, self.policy)))
            for name, value in parts.items():
                seen[name].append(value)
        return {**{name: float(np.mean(values)) for name, values in seen.items()}, "stopped": float(stopped)}

    def _parts(self, rows: Tensor, rng: torch.Generator) -> Sequence[Tensor]:
        """Return rows in a new order, in parts of one size: a small rest would move the weights as far as a whole batch."""
        order: Tensor = rows[torch.randperm(len(rows), generator=rng)]
        return order.tensor_split(-(-len(rows) // self.config.batch))


def _plain(config: Rl) -> dict[str, Any]:
    unsaid = ("out", "threads", "workers", "iterations")
    made = {name: value for name, value in asdict(config).items() if name not in unsaid}
    return {
        **made,
        "init": str(config.init),
        "algorithm": {"name": type(config.algorithm).__name__.lower(), **made["algorithm"]},
    }

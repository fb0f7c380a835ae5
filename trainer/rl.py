"""Reinforcement learning over a library of scenes: play, judge what was done, make what was better likelier.

One iteration: starts → `play` → densities of what was done, by the forward pass that learns → advantages → updates → log; now and then an
evaluation on scenes that nothing is trained on. PPO and GRPO differ in which starts are played (`episodes.played`) and in `Learner.judge`. Everything random hangs
on the number of the iteration: a run that was killed goes on to the same weights.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from worldgen.sim.truth import PRIVILEGED
from worldgen.sim.worlds import ProcessWorlds
from worldgen.store import file_digest, write_file

from . import checkpoint
from .advantages import among, gae, normalised
from .anchor import Anchor
from .config import Grpo, Rl
from .episodes import Scenes, generator, groups, played, scores, worlds_of
from .errors import RunError
from .fit import descend, follow, lasting
from .folders import claim
from .keeper import Keeper
from .losses import Clip, explained, policy_loss, value_loss
from .metrics import Log
from .policies.critic import Critic
from .policies.store import policy_digest, save_policy
from .preflight import admitted, preflight
from .rollout import Rollout
from .sight import taught

_VALUE_CLIP = 0.2
"""Largest change of a value in an iteration that the policy already learns by."""
_MEAN = 0.9
"""Decay of the running mean of the weights, an iteration."""
_EXACT, _LOUD = 1e-4, 0.3
"""How far ratios may be off 1 before anything was learned, with noise so strong: with less noise rounding weighs more."""
_SLOWER, _FASTER, _BEGIN, _LEAST, _HIGHEST = 0.7, 1.3, 0.4, 0.1, 4.0
"""What the learning rate is taken times where an iteration had to stop early, or went less than half as far as it might, and the share of it at
first (where runs come to by themselves: larger first steps, by a critic that knows little, undid imitation), at least and at most. Many small steps lead farther than a few large ones of the same divergence: they share less of what is chance."""


def rl(library: Path, config: Rl, tell: Callable[[str], None] = print) -> Path:
    """Train a policy on the scenes of a library and return the run to go on with; a killed one goes on where it was.

    `OUT/policy` is what was learned last, `OUT/best` the best of the evaluations on the way, `OUT/ema` the running mean of the weights.

    Raises:
        RunError: When settings make no sense, the library lacks a split or is for another arm, the folder holds another run, the policy
            succeeds too seldom to learn, or densities do not repeat.
        CheckpointError: When what to start from cannot be read.
    """
    policy, names = admitted(library, config)
    torch.set_num_threads(config.threads)
    begun = {
        "digest": file_digest(library / "library.json"),
        "init": policy_digest(str(config.init)),
    }
    with claim(config.out, {**config.facts(), **begun}):
        return _run(library, config, policy, names, tell)


def _run(library: Path, config: Rl, policy: Any, names: list[str], tell: Callable[[str], None]) -> Path:
    """Go on until the end, or until the policy falls; return the run to go on with."""
    scenes = Scenes(names, config.draw == "uncertain")
    learner = Learner(policy, config)
    first = learner.resume(config.out / checkpoint.STATE, scenes)
    if first:
        tell(f"going on from iteration {first}")
    keeper = Keeper(library, config, first, tell)
    if keeper.done:
        return keeper.chosen
    with worlds_of(library, policy, config) as worlds:
        if config.preflight:
            config = learner.config = replace(config, noise=preflight(policy, worlds, scenes, config, tell).noise)
        mirror, begun = config.out / "tensorboard" if config.tensorboard else None, time.monotonic()
        with Log(config.out / "metrics.jsonl", mirror, first) as log:
            for iteration in range(first, config.iterations):
                line: dict[str, float] = {"step": iteration + 1}
                if config.every and iteration % config.every == 0:
                    line |= keeper.look(learner, iteration)
                    if keeper.fallen(line):
                        log.append(line)
                        return keeper.chosen
                line |= _iterate(learner, worlds, scenes, iteration)
                log.append(line)
                learner.save(config.out / checkpoint.STATE, iteration + 1, scenes)
                left = (time.monotonic() - begun) / (iteration + 1 - first) * (config.iterations - iteration - 1)
                tell(f"{', '.join(f'{name} {value:.3g}' for name, value in line.items())}; {lasting(left)} left")
            log.append({"step": config.iterations, **keeper.look(learner, config.iterations), "done": 1})
    return keeper.chosen


def _iterate(learner: Learner, worlds: ProcessWorlds, scenes: Scenes, iteration: int) -> dict[str, float]:
    """Play and learn once; return what to log."""
    begun = time.monotonic()
    rollout, figures = played(learner.policy, worlds, scenes, learner.config, iteration)
    playing = time.monotonic() - begun
    figures |= learner.learn(rollout, iteration)
    whole = time.monotonic() - begun
    figures |= {"noise": learner.config.noise, "rate": figures["decisions"] / whole}
    return figures | {"playing": playing, "learning": whole - playing}


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
        groups: list[dict[str, Any]] = [
            {"params": policy.decides(), "lr": config.lr},
            {"params": policy.sees(), "lr": config.trunk_lr},
        ]
        self.net = nn.ModuleDict({"policy": policy})
        if not isinstance(config.algorithm, Grpo):
            seen = 3 * policy.sizes.width + 1  # see `Rollout.remembered`
            self.net["critic"] = Critic(PRIVILEGED if config.algorithm.critic == "privileged" else seen)
            groups.append({"params": list(self.net["critic"].parameters()), "lr": config.algorithm.critic_lr})
        self.optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
        self.anchor = Anchor(config.anchor, policy) if config.anchor.data and config.anchor.weight else None
        self.mean = {name: value.clone() for name, value in policy.state_dict().items()}
        """Running mean of the policy's weights over the iterations."""
        self.pace = _BEGIN
        """Share of the learning rate that the policy learns with."""

    def resume(self, state: Path, scenes: Scenes) -> int:
        """Go on from a saved state, if there is one; return the iteration to begin with."""
        if not checkpoint.exists(state):
            return 0
        numbers, kept = checkpoint.load_training(state, self.net, self.optimiser)
        self.mean, self.pace = kept["mean"], float(numbers["pace"])
        scenes.restore(numbers["scenes"])
        return int(numbers["iteration"])

    def save(self, state: Path, iteration: int, scenes: Scenes) -> None:
        """Write all that is needed to go on, and for people how often each scene was played and solved lately."""
        numbers = {"iteration": iteration, "scenes": scenes.numbers(), "pace": self.pace}
        checkpoint.save_training(state, self.net, self.optimiser, numbers, mean=self.mean)
        write_file(self.config.out / "scenes.json", json.dumps(numbers["scenes"], indent=1) + "\n")

    def publish(self, iteration: int) -> dict[str, Any]:
        """Write the policy to `OUT/policy`, and with the running mean of its weights to `OUT/ema`; return what is to be known of it."""
        facts = {"reinforcement": self.config.facts(), "iterations": iteration}
        save_policy(self.policy, self.config.out / "policy", facts)
        now = {name: value.clone() for name, value in self.policy.state_dict().items()}
        self.policy.load_state_dict(self.mean)
        save_policy(self.policy, self.config.out / "ema" / "policy", facts)
        self.policy.load_state_dict(now)
        return facts

    def learn(self, rollout: Rollout, iteration: int) -> dict[str, float]:
        """Move the weights by what an iteration's episodes tell, and return what to show of it.

        Raises:
            RunError: When the densities of what was done do not repeat, or no gradient is finite.
        """
        rng, (old, entropy) = generator(self.config, iteration, 2), self.look(rollout)
        off = ((old.sum(dim=(1, 2)) - rollout.acted).exp() - 1).abs()
        figures = {"off": float(off.max()), "entropy": float(entropy.mean())}
        exact = _EXACT * max(1.0, _LOUD / self.config.noise)
        if not figures["off"] <= exact:
            found = f"ratios are off by {figures['off']:.2g} before anything was learned, at most {exact:.2g} is right"
            raise RunError(f"Densities do not repeat: {found}. The policy's sampler and its `density` disagree.")
        judged = self.judge(rollout, iteration, rng)
        figures |= judged.figures
        alone = not isinstance(self.config.algorithm, Grpo) and iteration < self.config.algorithm.warm
        # alone, the optimiser learns how large the policy's gradients are
        rate = 0.0 if alone else self.pace * self.config.lr
        if judged.weight.any():
            figures |= self.improve(rollout, old, judged, rate, rng, generator(self.config, iteration, 4))
            if figures["skipped"] and figures["skipped"] >= figures["updates"]:
                raise RunError("No update had a finite gradient. Use a smaller --lr, and start from a sound policy.")
            if alone:  # and not where they point: the critic knows too little yet
                figures["updates"] = 0.0
                for value in self.policy.parameters():
                    if "exp_avg" in (moments := self.optimiser.state[value]):
                        moments["exp_avg"].zero_()
            follow(self.mean, self.policy, _MEAN)
        return figures

    @torch.no_grad()
    def look(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Return the log-densities (N, A, D) of what was done and the entropies (N,), by the forward pass that learns."""
        rows = torch.arange(len(rollout)).split(self.config.batch)
        densities, entropies = zip(*(rollout.density(self.policy, some) for some in rows), strict=True)
        return torch.cat(densities), torch.cat(entropies)

    def judge(self, rollout: Rollout, iteration: int, rng: torch.Generator) -> Judged:
        """Return what each decision was worth, the heart of what algorithms differ in. A critic learns here, too."""
        algorithm, decided = self.config.algorithm, rollout.decided
        if isinstance(algorithm, Grpo):
            each, mixed = among(scores(rollout), groups(rollout), algorithm.spread)
            episode = decided.episodes()
            weight = np.where(mixed, 1 / np.bincount(episode), 0.0)[episode]
            return Judged(torch.from_numpy(each[episode]).float(), torch.from_numpy(weight).float(), {})
        critic, rows = cast(Critic, self.net["critic"]), rollout.privileged
        if algorithm.critic == "shared":
            rows = rollout.remembered(self.policy)
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

    def improve(
        self,
        rollout: Rollout,
        old: Tensor,
        judged: Judged,
        rate: float,
        rng: torch.Generator,
        anchored: torch.Generator,
    ) -> dict[str, float]:
        """Move the policy until it has gone as far as it may; return means over the batches, how far it went, and how many steps were made."""
        algorithm, seen = self.config.algorithm, defaultdict[str, list[float]](list)
        drawn = rollout.trace.get("random")
        power = 1.0 if drawn is None else 1 / max(1, int(drawn.sum(dim=1).max()))
        clip = Clip(algorithm.low, algorithm.high, power=power)
        counted, stopped, skipped = judged.weight.nonzero()[:, 0], False, 0
        self.optimiser.param_groups[0]["lr"] = rate
        for rows in (some for _ in range(self.config.epochs) for some in self._parts(counted, rng)):
            new, _ = rollout.density(self.policy, rows)
            loss, parts = policy_loss(
                self._apart(new),
                self._apart(old[rows]),
                judged.advantages[rows],
                self._weight(rollout, judged, rows, new),
                clip,
            )
            parts["policy"] = float(loss.detach())
            stopped = parts["kl"] > self.config.kl
            if not stopped:
                if self.anchor:
                    miss = self.anchor.loss(self.policy, anchored, sight=bool(self.config.trunk_lr and rate))
                    loss, parts["imitation"] = loss + self.config.anchor.weight * miss, float(miss.detach())
                parts["gradient"] = float(descend(loss, self.optimiser, self.policy))
                skipped += not math.isfinite(parts["gradient"])
                if self.config.trunk_lr and rate:  # a step of its own: its gradient is far larger
                    few = rows[: self.config.frames]
                    sight, parts["sight mm"] = taught(self.policy, rollout.inputs(few), rollout.privileged[few].numpy())
                    descend(sight, self.optimiser, self.policy)
            for name, value in parts.items():
                seen[name].append(value)
            if stopped:
                break
        if rate:
            self._adapt(max(seen["kl"]), stopped)
        made = {
            name: float(np.mean([v for v in values if not math.isnan(v)] or values)) for name, values in seen.items()
        }
        return made | {
            "kl": max(seen["kl"]), "updates": len(seen["kl"]) - stopped, "skipped": float(skipped), "pace": self.pace,
        }  # fmt: skip

    def _apart(self, logp: Tensor) -> Tensor:
        """Return the densities (N, P) whose ratios are clipped apart: of actions, with GRPO of all their numbers."""
        return logp.flatten(1) if isinstance(self.config.algorithm, Grpo) else logp.sum(dim=2)

    def _weight(self, rollout: Rollout, judged: Judged, rows: Tensor, logp: Tensor) -> Tensor:
        """Return what each of these counts: an action that was not executed counts for nothing."""
        actions = torch.arange(logp.shape[1])
        done = (actions < torch.from_numpy(rollout.decided.steps)[rows][:, None]) | (logp.shape[1] == 1)
        each = judged.weight[rows][:, None, None] * done[..., None] / done.sum(dim=1).clamp_min(1)[:, None, None]
        return self._apart(each.expand_as(logp))

    def _adapt(self, far: float, stopped: bool) -> None:
        """Take smaller steps where an iteration was stopped before it had learned from all, larger ones where it hardly moved."""
        factor = _SLOWER if stopped else _FASTER if far < self.config.kl / 2 else 1.0
        self.pace = min(max(self.pace * factor, _LEAST), _HIGHEST)

    def _parts(self, rows: Tensor, rng: torch.Generator) -> Sequence[Tensor]:
        """Return rows in a new order, in parts of one size: a small rest would move the weights as far as a whole batch."""
        order: Tensor = rows[torch.randperm(len(rows), generator=rng)]
        return order.tensor_split(-(-len(rows) // self.config.batch))

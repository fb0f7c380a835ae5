"""Reinforcement learning: densities repeat, nothing moves that must not, a killed run goes on exactly, and something is learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer import evaluate as evaluation
from trainer import preflight
from trainer.config import Grpo, Ppo
from trainer.episodes import Scenes, played
from trainer.errors import RunError
from trainer.metrics import read_log
from trainer.policies.base import Batch
from trainer.policies.flow import FlowPolicy
from trainer.policies.store import save_policy
from trainer.policies.token import TokenPolicy
from trainer.rl import _BEGIN, Judged, Learner, rl
from trainer.rollout import joined
from worldgen.library import SceneLibrary
from worldgen.sim.worlds import Start

from .reach import Reach, config, policy, rollout


@pytest.mark.parametrize("kind", [FlowPolicy, TokenPolicy])
class TestInvariants:
    def test_densities_repeat_before_anything_is_learned(self, kind: type[Any]) -> None:
        actor = policy(kind)
        made = rollout(actor)
        old, _ = Learner(actor, config()).look(made)
        assert float(((old.sum(dim=(1, 2)) - made.acted).exp() - 1).abs().max()) < 1e-4
        assert old.std() > 0.1

    def test_nothing_moves_without_a_learning_rate(self, kind: type[Any]) -> None:
        actor = policy(kind)
        learner = Learner(actor, config(lr=0.0))
        before = [value.clone() for value in actor.parameters()]
        figures = learner.learn(rollout(actor), 0)
        assert (figures["clipped"], figures["skipped"]) == (0, 0)
        assert abs(figures["kl"]) < 1e-6
        assert all(torch.equal(one, two) for one, two in zip(before, actor.parameters(), strict=True))

    def test_the_critic_warms_up_alone(self, kind: type[Any]) -> None:
        actor = policy(kind)
        learner = Learner(actor, config(algorithm=Ppo(warm=1)))
        before = [value.clone() for value in actor.parameters()]
        critic = [value.clone() for value in learner.net["critic"].parameters()]
        figures = learner.learn(rollout(actor), 0)
        assert figures["kl"] < 1e-6
        assert figures["pace"] == _BEGIN, "a step that was none says nothing of its size"
        assert all(torch.equal(one, two) for one, two in zip(before, actor.parameters(), strict=True))
        moments = learner.optimiser.state[
            next(actor.expert.parameters() if kind is FlowPolicy else actor.decoder.parameters())
        ]
        assert moments["exp_avg_sq"].any(), "how large gradients are is learned meanwhile"
        assert not moments["exp_avg"].any(), "not where they point"
        assert not all(
            torch.equal(one, two) for one, two in zip(critic, learner.net["critic"].parameters(), strict=True)
        )
        learner.learn(rollout(actor), 1)
        assert not all(torch.equal(one, two) for one, two in zip(before, actor.parameters(), strict=True))


def test_a_policy_that_does_not_repeat_itself_is_refused() -> None:
    actor = policy()
    made = rollout(actor)
    Learner(actor, config(lr=0.0)).learn(made, 0)
    made.acted[3] = float("nan")
    with pytest.raises(RunError, match="do not repeat"):
        Learner(actor, config()).learn(made, 0)


@pytest.mark.parametrize("rate", [0.0, 1e-3])
def test_what_pays_moves_what_decides_and_the_simulator_what_sees(rate: float) -> None:
    actor = policy()
    learner = Learner(actor, config(trunk_lr=rate, lr=1e-300 if rate else 1e-3))
    before = [[value.clone() for value in part] for part in (actor.sees(), actor.decides())]
    figures = learner.learn(rollout(actor), 0)
    same = [
        all(torch.equal(one, two) for one, two in zip(was, now, strict=True))
        for was, now in zip(before, (actor.sees(), actor.decides()), strict=True)
    ]
    assert same == [not rate, bool(rate)]
    assert ("sight mm" in figures) == bool(rate)
    assert rate or all(value.grad is None for value in actor.sees())
    assert len(actor.sees()) + len(actor.decides()) == len(list(actor.parameters()))


@pytest.mark.parametrize("exploration", ["fixed", "learned", "sde"])
def test_all_ways_to_explore(exploration: Any) -> None:
    actor, settings = policy(), config(exploration=exploration, steps=3)
    made = rollout(actor, settings=settings)
    learner = Learner(actor, settings)
    off = ((learner.look(made)[0].sum(dim=(1, 2)) - made.acted).exp() - 1).abs()
    assert float(off.max()) < 1e-4
    assert made.trace["random"].sum(dim=1).eq(1 if exploration == "sde" else 3).all()
    loud = actor.loudness.weight.clone()
    learner.learn(made, 0)
    assert torch.equal(loud, actor.loudness.weight) == (exploration != "learned"), (
        "only what chooses the noise learns to"
    )


def test_a_critic_that_sees_what_the_policy_sees() -> None:
    actor = policy()
    settings = config(algorithm=Ppo(critic="shared", critic_passes=20), episodes=64, batch=64)
    made, learner = rollout(actor, settings=settings), Learner(actor, settings)
    rows = made.remembered(actor)
    for course, elapsed in zip(
        made.courses, rows[:, -1].split([len(each.moments) for each in made.courses]), strict=True
    ):
        assert elapsed.tolist() == np.cumsum([0, *[moment.steps for moment in course.moments]])[:-1].tolist()
    rng = torch.Generator().manual_seed(0)
    explained = [learner.judge(made, iteration, rng).figures["explained"] for iteration in range(3)]
    assert explained[0] == 0
    assert explained[-1] > 0.2, explained


def test_it_stops_where_it_has_gone_far_enough() -> None:
    actor = policy()
    learner = Learner(actor, config(lr=1e-2, kl=1e-4, epochs=8))
    figures = learner.learn(rollout(actor), 0)
    assert 1 <= figures["updates"] < 8
    assert figures["kl"] > 1e-4, "what was too far is told"
    assert learner.pace == pytest.approx(0.7 * _BEGIN)


def test_steps_become_larger_where_hardly_anything_moves() -> None:
    actor = policy()
    learner = Learner(actor, config(lr=1e-10, kl=9.0))
    before = rollout(actor)
    for iteration in range(10):
        learner.learn(before, iteration)
    assert learner.pace == 4.0


@pytest.mark.parametrize(("algorithm", "parts"), [(Ppo(), 4), (Grpo(), 28)])
def test_tokens_of_what_was_not_executed_count_for_nothing(algorithm: Any, parts: int) -> None:
    actor, settings = policy(TokenPolicy), config(algorithm=algorithm)
    learner, made = Learner(actor, settings), rollout(actor)
    steps = torch.from_numpy(made.decided.steps)
    assert (steps < 4).any()
    (logp, _), rows = learner.look(made), torch.arange(len(made))
    judged = Judged(torch.ones(len(made)), torch.rand(len(made)), {})
    weight = learner._weight(made, judged, rows, logp)
    assert learner._apart(logp).shape == weight.shape == (len(made), parts)
    assert torch.equal((weight > 0).sum(dim=1), steps * parts // 4)
    made.decided.steps[0] = 0
    assert (learner._weight(made, judged, rows, logp)[0] == 0).all()
    flow = policy()
    done = Learner(flow, settings)._weight(rollout(flow), judged, torch.arange(5), torch.zeros(5, 1, 1))
    assert torch.equal(done[:, 0], judged.weight[:5])


def test_one_density_that_is_a_little_off_is_refused() -> None:
    actor = policy()
    made = rollout(actor)
    made.acted[0] += 0.001
    with pytest.raises(RunError, match=r"off by 0\.001 .* at most 0\.0001"):
        Learner(actor, config()).learn(made, 0)


def test_updates_that_are_no_numbers_are_skipped_and_counted() -> None:
    actor = policy()
    learner, made = Learner(actor, config(epochs=1)), rollout(actor)
    before = [value.clone() for value in actor.parameters()]
    judged = learner.judge(made, 0, torch.Generator().manual_seed(0))
    judged.advantages[:] = float("nan")
    figures = learner.improve(
        made, learner.look(made)[0], judged, 1e-3, *(torch.Generator().manual_seed(0) for _ in range(2))
    )
    assert figures["skipped"] == figures["updates"] >= 1
    assert all(torch.equal(one, two) for one, two in zip(before, actor.parameters(), strict=True))


class TestRollout:
    def test_rows_are_what_happened(self) -> None:
        made = rollout(policy())
        first = 0
        for course in made.courses:
            count = len(course.moments)
            rows = slice(first, first + count)
            assert made.state[rows].numpy() == pytest.approx(np.stack([moment.state for moment in course.moments]))
            assert made.decided.rewards[rows].sum() == pytest.approx(course.reward, abs=1e-5)
            assert made.decided.steps[rows].sum() == course.steps
            assert made.decided.last[rows].tolist() == [*[False] * (count - 1), True]
            assert not any(moment.images for moment in course.moments)
            assert course.last is not None
            assert not course.last.images
            first += count
        assert first == len(made)

    def test_parts_join(self) -> None:
        actor = policy()
        parts = [rollout(actor, [Start("a", seed) for seed in seeds]) for seeds in (range(5), range(5, 9))]
        whole = joined(parts)
        assert len(whole) == sum(map(len, parts))
        assert len(whole.courses) == 9
        old, _ = Learner(actor, config()).look(whole)
        assert float(((old.sum(dim=(1, 2)) - whole.acted).exp() - 1).abs().max()) < 1e-4


@pytest.fixture(scope="module")
def beginners() -> dict[type[Any], dict[str, torch.Tensor]]:
    """Weights of policies that have seen where to go, from somebody who goes there far too slowly."""
    found = {}
    for kind, steps in ((FlowPolicy, 70), (TokenPolicy, 250)):
        actor, worlds, rng = policy(kind), Reach(), torch.Generator().manual_seed(0)
        optimiser = torch.optim.Adam(actor.parameters(), 4e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for step in range(steps):
            seen = worlds.reset([Start("a", 10**6 + 64 * step + slot) for slot in range(64)], list(range(64)))
            actions = np.random.default_rng(step).normal(0, 0.006, (64, 4, 7))
            actions[:, :, :2] += 0.03 * seen.state[:, None, 2:4]
            valid = torch.ones(64, 4, dtype=torch.bool)
            loss = actor.imitation_loss(Batch(actor.inputs(seen), torch.from_numpy(actions).float(), valid), rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        found[kind] = actor.state_dict()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "algorithm", "lr"),
    [
        (FlowPolicy, Ppo(warm=1), 5e-4),
        (FlowPolicy, Ppo(warm=1, critic="shared"), 5e-4),
        (FlowPolicy, Grpo(), 5e-4),
        (TokenPolicy, Ppo(warm=1), 3e-4),
    ],
)
def test_it_learns_to_reach(
    kind: type[Any], algorithm: Any, lr: float, beginners: dict[type[Any], dict[str, torch.Tensor]]
) -> None:
    """From a fifth of all starts to most of them."""
    actor = policy(kind)
    actor.load_state_dict(beginners[kind])
    settings = config(algorithm=algorithm, episodes=128, batch=128, lr=lr, epochs=3, kl=0.1)
    learner, worlds, rates = Learner(actor, settings), Reach(128), []
    scenes = Scenes([f"{index}" for index in range(50)])
    for iteration in range(20):
        made, figures = played(actor, worlds, scenes, settings, iteration)
        rates.append(figures["success"])
        learner.learn(made, iteration)
    assert np.mean(rates[-3:]) > np.mean(rates[:2]) + 0.3, rates


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "trunk"), [(Ppo(warm=1), 1e-4), (Grpo(group=2, tries=1), 0.0)], ids=["ppo", "grpo"]
)
def test_a_killed_run_goes_on_to_the_same_weights(
    library: SceneLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: Any, trunk: float
) -> None:
    monkeypatch.setattr(preflight, "scenes_of", lambda root, split: list(SceneLibrary.open(root).scenes("train")))
    monkeypatch.setattr(evaluation, "scenes_of", lambda root, split: list(SceneLibrary.open(root).scenes("train")))
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    save_policy(policy(), tmp_path / "init", {})
    settings = config(
        init=tmp_path / "init",
        iterations=3,
        episodes=4,
        slots=4,
        every=2,
        trials=2,
        preflight=False,
        draw="uncertain",
        algorithm=algorithm,
        trunk_lr=trunk,
        threads=2,
    )
    rl(library.root, replace(settings, out=tmp_path / "whole"), lambda _: None)
    assert set(asked) == {2}, "an evaluation on the way does not change how the rest is computed"
    saves, save = [0], Learner.save

    def once(self: Learner, *arguments: Any) -> None:
        save(self, *arguments)
        saves[0] += 1
        if saves[0] in (1, 3):  # the second time in what comes after the last iteration
            raise KeyboardInterrupt

    monkeypatch.setattr(Learner, "save", once)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            rl(library.root, replace(settings, out=tmp_path / "killed"), lambda _: None)
    rl(library.root, replace(settings, out=tmp_path / "killed"), lambda _: None)
    for name in ("policy", "ema/policy", "best/policy", "training_state"):
        for file in ("model.safetensors", "config.json"):
            one, two = ((tmp_path / run / name / file).read_text("latin1") for run in ("whole", "killed"))
            assert one == two.replace("/killed", "/whole"), name
    logs = [read_log(tmp_path / run / "metrics.jsonl") for run in ("whole", "killed")]
    assert [line["step"] for line in logs[1]] == [1, 2, 3, 3]
    assert ["unseen" in line for line in logs[1]] == [True, False, True, True]
    for name in ("success", "return", "unseen"):
        assert [line.get(name) for line in logs[0]] == [line.get(name) for line in logs[1]]
    said: list[str] = []
    assert rl(library.root, replace(settings, out=tmp_path / "killed"), said.append) == tmp_path / "killed" / "best"
    assert len(read_log(tmp_path / "killed" / "metrics.jsonl")) == 4, "a run that is done stays as it is"

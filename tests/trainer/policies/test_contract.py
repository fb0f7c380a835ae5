"""What every policy promises."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer.config import Learned, Ode, Sampler, Sde, Zero
from trainer.errors import CheckpointError
from trainer.policies.base import Batch
from trainer.policies.flow import FlowPolicy
from trainer.policies.store import load_policy, save_policy
from trainer.policies.token import TokenPolicy
from worldgen.sim.worlds import Observations

from .handmade import FACE, SMALL, observations, words


def make(kind: type[Any], **settings: Any) -> Any:
    torch.manual_seed(0)
    policy = kind(FACE, SMALL, words(), **settings)
    for name, value in policy.named_parameters():  # heads start at zero: then nothing would hang on the observation
        if value.abs().max() == 0:
            torch.nn.init.normal_(value, std=0.2)
        assert value.isfinite().all(), name
    policy.statistics.fit("action", np.random.default_rng(0).normal(0.01, 0.02, (50, 7)), 1e-3)
    return policy.eval()


def batch(policy: Any, count: int = 6) -> Batch:
    rng = np.random.default_rng(1)
    actions = torch.from_numpy(rng.normal(0.01, 0.02, (count, policy.horizon, 7)).astype(np.float32))
    valid = torch.arange(policy.horizon) < torch.from_numpy(rng.integers(1, policy.horizon + 1, (count, 1)))
    return Batch(policy.inputs(observations(count)), actions, valid)


KINDS = [pytest.param(FlowPolicy, id="flow"), pytest.param(TokenPolicy, id="token")]
SAMPLERS: list[tuple[type[Any], Sampler]] = [
    (FlowPolicy, Sde(3)),
    (FlowPolicy, Sde(3, every=True)),
    (FlowPolicy, Learned(3)),
    (TokenPolicy, Ode()),
]
CASES = [pytest.param(kind, sampler, id=f"{kind.kind}-{sampler}") for kind, sampler in SAMPLERS]


@pytest.mark.parametrize("kind", KINDS)
class TestEveryPolicy:
    def test_decisions_have_the_shape_that_worlds_take(self, kind: type[Any]) -> None:
        policy = make(kind, horizon=6, chunk=4)
        found = policy.act(observations(5), torch.Generator().manual_seed(0))
        assert found.actions.shape == (5, 4, 7)
        assert found.actions.dtype == np.float32
        assert np.isfinite(found.actions).all()
        assert found.logp.shape == (5,)

    def test_the_same_generator_gives_the_same_decisions(self, kind: type[Any]) -> None:
        policy = make(kind)
        one, two, other = (policy.act(observations(4), torch.Generator().manual_seed(s)).actions for s in (0, 0, 1))
        assert (one == two).all()
        assert (one != other).any()

    def test_zero_noise_needs_no_generator(self, kind: type[Any]) -> None:
        policy = make(kind)
        one, two = (policy.act(observations(4), torch.Generator().manual_seed(s), Zero(3)).actions for s in (0, 1))
        assert (one == two).all()

    def test_neighbours_do_not_matter(self, kind: type[Any]) -> None:
        policy = make(kind)
        together = policy.act(observations(5), torch.Generator(), Zero(3)).actions
        seen = observations(5)
        for row in range(5):
            alone = Observations({"policy": seen.images["policy"][[row]]}, seen.state[[row]], [seen.instruction[row]])
            assert policy.act(alone, torch.Generator(), Zero(3)).actions[0] == pytest.approx(together[row], abs=1e-5)

    @pytest.mark.parametrize("part", ["images", "state", "instruction"])
    def test_each_sense_is_used(self, kind: type[Any], part: str) -> None:
        policy, seen, other = make(kind), observations(3), observations(3, seed=9)
        changed = {"images": seen.images, "state": seen.state, "instruction": seen.instruction}
        changed[part] = ["close the oven"] * 3 if part == "instruction" else getattr(other, part)
        inputs = [policy.inputs(item) for item in (seen, Observations(**changed))]
        memories = [policy.recall(item) for item in inputs]
        assert not torch.allclose(*memories, atol=1e-4)

    def test_what_is_not_valid_changes_neither_loss_nor_gradient(self, kind: type[Any]) -> None:
        policy, data = make(kind), batch(make(kind))
        spoilt = Batch(data.inputs, torch.where(data.valid[..., None], data.actions, torch.tensor(7.0)), data.valid)
        found = []
        for item in (data, spoilt):
            policy.zero_grad()
            loss = policy.imitation_loss(item, torch.Generator().manual_seed(3))
            loss.backward()
            found.append((loss.item(), policy.trunk.queries.grad.clone()))
        assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
        assert torch.allclose(found[0][1], found[1][1], atol=1e-7)

    def test_imitation_learns(self, kind: type[Any]) -> None:
        policy, data = make(kind).train(), batch(make(kind))
        optimiser, rng = torch.optim.Adam(policy.parameters(), 3e-3), torch.Generator().manual_seed(0)
        losses = []
        for _ in range(60):
            loss = policy.imitation_loss(data, rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:5])

    def test_saving_and_loading_is_exact(self, kind: type[Any], tmp_path: Path) -> None:
        policy = make(kind, horizon=5, chunk=3)
        save_policy(policy, tmp_path / "policy", {"note": 1})
        again = load_policy(tmp_path / "policy")
        assert type(again) is kind
        one, two = (item.act(observations(4), torch.Generator().manual_seed(0)) for item in (policy, again))
        assert (one.actions == two.actions).all()
        assert (one.logp == two.logp).all()
        assert {path.name for path in (tmp_path / "policy").iterdir()} == {
            "model.safetensors", "config.json", "tokenizer.json", "README.md", "policy_preprocessor.json", "policy_postprocessor.json",
        }  # fmt: skip

    def test_a_flipped_bit_is_found(self, kind: type[Any], tmp_path: Path) -> None:
        save_policy(make(kind), tmp_path / "policy", {})
        path = tmp_path / "policy" / "model.safetensors"
        blob = bytearray(path.read_bytes())
        blob[len(blob) // 2] ^= 1
        path.write_bytes(blob)
        with pytest.raises(CheckpointError, match="is not what it was"):
            load_policy(tmp_path / "policy")


@pytest.mark.parametrize(("kind", "sampler"), CASES)
class TestScoring:
    def test_the_ratio_is_one(self, kind: type[Any], sampler: Sampler) -> None:
        policy = make(kind, horizon=6, chunk=4)
        found = policy.act(observations(5), torch.Generator().manual_seed(0), sampler)
        logp, entropy = policy.score(found.trace["inputs"], found.trace)
        assert logp.shape in ((5, 1, 1), (5, 4, 7))
        assert np.abs(np.exp(logp.sum(dim=(1, 2)).detach().numpy() - found.logp) - 1).max() < 1e-5
        assert entropy.isfinite().all()
        assert (found.logp != 0).all()

    def test_gradients_agree_with_differences(self, kind: type[Any], sampler: Sampler) -> None:
        policy = make(kind).double()
        seen = observations(2)
        inputs = policy.inputs(seen)
        found = policy.float().act(seen, torch.Generator().manual_seed(0), sampler)
        trace = {k: v.double() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in found.trace.items()}
        policy.double()
        inputs = type(inputs)(inputs.images.double(), inputs.state.double(), inputs.pieces)
        weight = policy.trunk.queries

        def total() -> torch.Tensor:
            return policy.score(inputs, trace)[0].sum()

        policy.zero_grad()
        total().backward()
        direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        slope = float((weight.grad * direction).sum())
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * 1e-5 * direction
                values.append(float(total()))
                weight -= sign * 1e-5 * direction
        assert slope == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-6)


class TestTokens:
    @pytest.mark.slow
    def test_probabilities_sum_to_one_and_are_frequencies(self) -> None:
        policy = make(TokenPolicy, horizon=1, chunk=1)
        seen = observations(1)
        many = Observations(
            {"policy": np.repeat(seen.images["policy"], 4000, 0)},
            np.repeat(seen.state, 4000, 0),
            seen.instruction * 4000,
        )
        drawn = policy.act(many, torch.Generator().manual_seed(0)).trace["tokens"][:, 0]
        memory = policy.recall(policy.inputs(seen))
        share = policy._shares(memory)[0, 0].exp().detach()
        assert float(share.sum()) == pytest.approx(1, abs=1e-5)
        counted = torch.bincount(drawn, minlength=256) / 4000
        assert float((counted - share).abs().sum() / 2) < 0.15

    def test_without_noise_the_middle_is_chosen_not_the_likeliest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        policy = make(TokenPolicy)
        share = torch.full((2, 28, 256), 1e-9)
        share[..., 10], share[..., 100], share[..., 120] = 0.4, 0.3, 0.3
        monkeypatch.setattr(policy, "_logits", lambda _: share.log())
        assert (policy.act(observations(2), None, Zero()).trace["tokens"] == 100).all()

    def test_a_near_miss_is_better_than_a_far_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        policy = make(TokenPolicy)
        shown = batch(policy)
        aims, losses = policy.tokens(shown.actions), []
        for off in (0, 3, 40):
            spike = 20.0 * torch.nn.functional.one_hot((aims + off).clamp(max=255), 256)
            monkeypatch.setattr(policy, "_logits", lambda _, spike=spike: spike)
            losses.append(float(policy.imitation_loss(shown, torch.Generator())))
        assert losses[0] < losses[1] < losses[2] - 1, "to the letter, one miss is like another"

    def test_bins_are_finer_than_any_servo(self) -> None:
        policy = make(TokenPolicy)
        actions = batch(policy).actions
        back = policy.actions(policy.tokens(actions))
        assert ((back - actions).abs() <= policy.statistics.action_std * 4 / 256 + 1e-7).all()


class TestFlow:
    def test_density_integrates_to_one(self) -> None:
        """One dimension, one step: the density of the transition on a grid."""
        policy = make(FlowPolicy, horizon=1, chunk=1)
        found = policy.act(observations(1), torch.Generator().manual_seed(0), Learned(1))
        inputs, chain = found.trace["inputs"], found.trace["chain"]
        grid = torch.linspace(-6, 6, 2001)
        rows = type(inputs)(
            *(item.expand(len(grid), *item.shape[1:]) for item in (inputs.images, inputs.state, inputs.pieces))
        )
        moved = chain.repeat(len(grid), 1, 1, 1)
        moved[:, 1, 0, 0] = grid
        trace = {**found.trace, "chain": moved, "random": found.trace["random"].expand(len(grid), -1)}
        with torch.no_grad():
            logp, _ = policy.score(rows, trace)
            base, _ = policy.score(inputs, found.trace)
        memory = policy.recall(inputs)
        _, mean, spread = policy._transition(chain[:, 0], torch.zeros(1), policy.expert.offered(memory), Learned(1))
        own = -0.5 * ((chain[:, 1] - mean) / spread) ** 2 - spread.log() - 0.5 * math.log(2 * math.pi)
        others = float((base[0, 0, 0] - own[0, 0, 0]).detach())
        assert float(torch.trapezoid((logp[:, 0, 0] - others).exp(), grid)) == pytest.approx(1, abs=1e-3)

    @pytest.mark.parametrize("sampler", [Learned(2, 0.3, 0.6), Sde(2, level=0.6, every=True)], ids=["learned", "sde"])
    def test_the_density_of_two_steps_is_what_is_sampled(
        self, sampler: Sampler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each number moves by itself, bent; summed over where it began and went through, the density is that of where it is sampled."""
        policy = make(FlowPolicy, horizon=1, chunk=1)

        def bent(x: torch.Tensor, time: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.sin(2 * x) - x / 2 + time[:, None, None], x

        monkeypatch.setattr(policy.expert, "forward", bent)
        monkeypatch.setattr(policy.loudness, "forward", torch.sin)
        count, held = 91, 0.3
        grid = torch.linspace(-4.5, 4.5, count)
        chain = torch.full((count**3, 3, 1, 7), held)
        chain[:, :, 0, 0] = torch.cartesian_prod(grid, grid, grid)
        memory = torch.zeros(1, 1, policy.sizes.width)

        def dense(chain: torch.Tensor) -> torch.Tensor:
            random = torch.ones(len(chain), 2, dtype=torch.bool)
            rows = memory.expand(len(chain), -1, -1)
            return policy.density(rows, {"chain": chain, "random": random, "sampler": sampler})[0][:, 0, 0].detach()

        others = 6 / 7 * dense(torch.full((1, 3, 1, 7), held))
        step = float(grid[1] - grid[0])
        begun = torch.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
        each = ((dense(chain) - others).exp().view(count, count, count) * begun[:, None, None]).sum(
            dim=(0, 1)
        ) * step**2
        assert float(each.sum() * step) == pytest.approx(1, abs=1e-3)
        drawn = policy.sample(memory.expand(4000, -1, -1), torch.Generator().manual_seed(0), sampler)["chain"][:, -1]
        due = np.interp(np.sort(drawn.flatten().numpy()), grid + step / 2, (each.cumsum(0) * step).numpy())
        assert np.abs(due - (np.arange(28_000) + 0.5) / 28_000).max() < 1.63 / math.sqrt(28_000), (
            "Kolmogorov-Smirnov, 1 %"
        )

    def test_the_gradient_of_the_density_is_nothing_in_the_mean(self) -> None:
        policy = make(FlowPolicy, horizon=1, chunk=1)
        memory = policy.recall(policy.inputs(observations(1))).detach().expand(20_000, -1, -1)
        with torch.no_grad():
            found = policy.sample(memory, torch.Generator().manual_seed(0), Learned(2, 0.3, 0.6))
        logp, _ = policy.density(memory, found)
        bias = policy.expert.leave.bias
        (slope,) = torch.autograd.grad(logp.mean(), bias, retain_graph=True)
        spread = math.sqrt(2 * 0.5**2 / 0.3**2 / len(memory))  # of this mean at most, were all noise the least there is
        assert slope.abs().max() < 4 * spread
        (wrong,) = torch.autograd.grad((logp * found["chain"][:, -1, :, :1]).mean(), bias)
        assert wrong.abs().max() > 4 * spread, "where what was drawn counts, it is not"

    def test_without_noise_the_sde_is_the_ode(self) -> None:
        policy = make(FlowPolicy)
        one = policy.act(observations(3), torch.Generator().manual_seed(0), Ode(4)).actions
        memory = policy.recall(policy.inputs(observations(3)))
        offered = policy.expert.offered(memory)
        x = torch.randn((3, 4, 7), generator=torch.Generator().manual_seed(0))
        for step in range(4):
            x, mean, _ = policy._transition(x, torch.full((3,), step / 4), offered, Sde(4, level=1e-9))
            assert torch.allclose(x, mean, atol=1e-6)
        assert policy.statistics.physical(x).detach().numpy() == pytest.approx(one, abs=1e-5)

    @pytest.mark.parametrize("level", [0.3, 0.7])
    def test_noise_on_the_way_leaves_a_known_distribution_as_it_is(
        self, level: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Actions of spread s about 0: the exact velocity is linear, and what comes out must have that spread."""
        policy, spread = make(FlowPolicy, horizon=1, chunk=1), 0.3

        def exact(x: torch.Tensor, time: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            t = time[:, None, None]
            return x * (t * spread**2 - (1 - t)) / (t**2 * spread**2 + (1 - t) ** 2), x

        monkeypatch.setattr(policy.expert, "forward", exact)
        memory = torch.zeros(4000, 1, policy.sizes.width)
        for sampler in (Ode(128), Sde(128, level=level, every=True)):
            found = policy.sample(memory, torch.Generator().manual_seed(0), sampler)["chain"][:, -1]
            assert float(found.std()) == pytest.approx(spread, rel=0.03), sampler

    def test_a_level_too_low_to_have_a_density_is_refused(self) -> None:
        policy = make(FlowPolicy)
        with pytest.raises(ValueError, match="raise the noise level"):
            policy.act(observations(1), torch.Generator().manual_seed(0), Sde(4, level=1e-6, every=True))

    def test_what_lies_beyond_the_chunk_does_not_count(self) -> None:
        policy = make(FlowPolicy, horizon=6, chunk=2)
        found = policy.act(observations(3), torch.Generator().manual_seed(0), Sde(3, every=True))
        moved = found.trace["chain"].clone()
        moved[:, -1, 2:] += 5
        logp, _ = policy.score(found.trace["inputs"], {**found.trace, "chain": moved})
        assert logp[:, 0, 0].detach().numpy() == pytest.approx(found.logp, rel=1e-5)

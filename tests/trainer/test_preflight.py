"""Before learning: noise that breaks a policy is made less, hopeless ones are refused, and all is looked at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer import preflight as module
from trainer.config import Learned, Ode, Sampler
from trainer.episodes import Scenes
from trainer.errors import RunError
from trainer.preflight import preflight

from .reach import Reach, config, policy

SCENES = Scenes(["a", "b", "c"])


@pytest.fixture
def wins(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What a policy that is quiet wins, and how that shrinks with noise: linearly, to nothing at `broken`."""
    known = {"quiet": 40.0, "broken": 0.2}

    def won(policy: Any, worlds: Any, starts: Any, sampler: Sampler) -> int:
        if isinstance(sampler, Ode):
            return int(known["quiet"])
        assert isinstance(sampler, Learned)
        return int(known["quiet"] * max(0.0, 1 - sampler.high / known["broken"]))

    monkeypatch.setattr(module, "_won", won)
    return known


def test_noise_that_breaks_the_policy_is_made_less(tmp_path: Path, wins: dict[str, float]) -> None:
    said: list[str] = []
    found = preflight(policy(), Reach(), SCENES, config(out=tmp_path, noise=0.15), said.append)
    assert found.noise == pytest.approx(0.15 * 0.6)
    assert (found.quiet, found.noisy) == (40, 22)
    assert len(said) == 3
    assert "0.15" in said[1]


def test_noise_is_not_made_less_by_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 policies that noise takes a fifth of the successes from: 20 % without, 16 % with."""
    rng, cut = np.random.default_rng(0), 0
    monkeypatch.setattr(
        module, "_won", lambda *given: int(rng.binomial(48, 0.2 if isinstance(given[3], Ode) else 0.16))
    )
    monkeypatch.setattr(module, "_predicted", lambda *_: (1.0, 1, 1.0))
    monkeypatch.setattr(module, "_HOPELESS", 0.0)
    for _ in range(200):
        found = preflight(policy(), Reach(), SCENES, config(out=tmp_path, noise=0.25), lambda _: None)
        cut += found.noise < 0.25
        (tmp_path / "preflight.json").unlink()
    assert cut <= 4


def test_noise_that_does_no_harm_stays(tmp_path: Path, wins: dict[str, float]) -> None:
    assert preflight(policy(), Reach(), SCENES, config(out=tmp_path, noise=0.05), print).noise == 0.05


def test_what_never_succeeds_is_refused(tmp_path: Path, wins: dict[str, float]) -> None:
    wins["quiet"] = 0
    with pytest.raises(RunError, match="0 of 48"):
        preflight(policy(), Reach(), SCENES, config(out=tmp_path), print)
    assert not (tmp_path / "preflight.json").exists()


def test_what_any_noise_breaks_is_refused(tmp_path: Path, wins: dict[str, float]) -> None:
    wins["broken"] = 1e-6
    with pytest.raises(RunError, match=r"40 of 48 .* in 0 with noise"):
        preflight(policy(), Reach(), SCENES, config(out=tmp_path), print)


def test_what_was_found_is_found_again(tmp_path: Path, wins: dict[str, float]) -> None:
    settings = config(out=tmp_path, noise=0.15)
    before = preflight(policy(), Reach(), SCENES, settings, print)
    wins["quiet"] = 0
    assert preflight(policy(), Reach(), SCENES, settings, print) == before


def test_it_plays_and_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in place of anything: 16 episodes of at most 4 decisions in batches of 32, four times over."""
    monkeypatch.setattr(module, "_HOPELESS", 0.0)
    actor = policy()
    before = [value.clone() for value in actor.parameters()]
    found = preflight(actor, Reach(), SCENES, config(out=tmp_path), print)
    assert found.updates in (4, 8)
    assert 0 < found.seconds < 20
    assert 50 < found.megabytes < 20_000
    assert all((one == two).all() for one, two in zip(before, actor.parameters(), strict=True))
    assert all(value.grad is None or not value.grad.any() for value in actor.parameters())

"""Learning to see: labels become the right targets, figures count what they say, a killed run goes on exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer import checkpoint, fit, pretrain
from trainer.config import Pretrain, TrunkSettings
from trainer.errors import RunError
from trainer.metrics import Share
from trainer.policies import vision
from trainer.policies.base import Sighted
from trainer.policies.store import load_policy, save_policy
from trainer.policies.vision import Seen
from trainer.records import Interface
from trainer.sentences import Sentences
from worldgen.library import Scene, SceneLibrary
from worldgen.spec import SceneSpec
from worldgen.store import file_digest

from .handmade import pictures_of, scene_of

SMALL = TrunkSettings(channels=16, blocks=1, width=32, slots=10, layers=1, heads=2)


def net(sizes: TrunkSettings = SMALL) -> Sighted:
    torch.manual_seed(0)
    return Sighted(Interface(size=32), sizes)


def test_figures_are_those_of_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = pictures_of(40), net()
    speakers = pretrain.Speakers(data)
    speakers.scenes[0] = _Fixed(SceneSpec.model_validate_json(scene_of()))
    data.points[:20, 1] += [0.05, 0, 0]  # the blue mug stands 5 cm beside the red one
    data.points[20:, 1] = [9, 9, 9]
    off = np.where(np.arange(40) < 10, 0.04, 0.004)[:, None] * [1, 0, 0]  # ten answers are nearer to the blue one
    answers = torch.from_numpy((data.points[:, 0] + off).astype(np.float32))
    calls: list[int] = []

    def answer(seen: Seen) -> torch.Tensor:
        first, count = sum(calls), len(seen.tokens)
        calls.append(count)
        return answers[first : first + count, None].repeat(1, 2, 1)

    monkeypatch.setattr(model.where, "forward", answer)
    monkeypatch.setattr(pretrain, "_AT_ONCE", 16)
    found = pretrain.measure(model, data, speakers)
    assert len(calls) == 3
    assert found.off_mm.median == found.other_off_mm.median == pytest.approx(4, abs=1e-3)
    assert found.within_15_mm == found.right_of_rivals == Share.over([index >= 10 for index in range(40)], data.scene)


class _Fixed(Sentences):
    """Always says the same."""

    def __call__(self, rng: np.random.Generator) -> tuple[str, int, int]:
        return "put the red mug on the plate", 0, 2


def test_labels_are_those_of_what_was_named() -> None:
    data = pictures_of(6)
    data.points[:, :4] = np.arange(24).reshape(6, 4, 1)
    rows = np.array([1, 1, 4])
    spoken = pretrain.Speakers(data, loose=True)(rows, 5, np.random.default_rng(0))
    assert len(spoken.sentences) == len(spoken.points) == 15
    for row, named, points in zip(rows.repeat(5), spoken.named, spoken.points, strict=True):
        for index, point in zip(named, points, strict=True):
            assert np.isnan(point).all() if index < 0 else (point == data.points[row, index]).all()
    assert (spoken.named[:, 1] < 0).any()
    assert (spoken.named[:, 1] >= 0).any()


def test_a_base_knows_what_it_began_from(tmp_path: Path) -> None:
    history: dict[str, Any] = {}
    for steps in (1, 2, 3):
        history = pretrain._history(str(tmp_path / "base") if history else "", {"steps": steps})
        save_policy(net(), tmp_path / "base", history)
    assert history == {"pre-training": {"steps": 3}, "before that": [{"steps": 1}, {"steps": 2}]}


def test_it_learns_and_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_SAVE", 40)
    data, whole = pictures_of(), Pretrain(out=tmp_path / "whole", steps=80, batch=16, lr=3e-3)
    weights = pretrain._train(net(), pretrain.Lessons(data, whole), whole, print)
    killed, saves = Pretrain(out=tmp_path / "killed", steps=80, batch=16, lr=3e-3), [0]
    save = checkpoint.save_training

    def once(*arguments: Any, **named: Any) -> None:
        save(*arguments, **named)
        saves[0] += 1
        if saves[0] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_training", once)
    with pytest.raises(KeyboardInterrupt):
        pretrain._train(net(), pretrain.Lessons(data, killed), killed, print)
    again = pretrain._train(net(), pretrain.Lessons(data, killed), killed, print)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    rows = np.arange(24)
    spoken = pretrain.Speakers(data)(rows, 1, np.random.default_rng(0))
    before, model = float(pretrain._loss(net(), data, rows, spoken)[0].detach()), net()
    model.load_state_dict(weights)
    assert float(pretrain._loss(model, data, rows, spoken)[0].detach()) < 0.8 * before


def test_from_libraries_to_a_base(library: SceneLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, drawn = list(library.scenes()), []

    def draw(group: list[Scene], folder: Path, count: int, seed: int, **_: object) -> Iterator[int]:
        drawn.append((folder.name, seed, {scene.name for scene in group}))
        yield count

    monkeypatch.setattr(pretrain, "_by_split", lambda _: {"train": scenes[:2], "unseen-objects": scenes[2:]})
    monkeypatch.setattr(pretrain.pictures, "draw", draw)
    monkeypatch.setattr(pretrain.pictures, "load", lambda _, count: pictures_of(count))
    config = Pretrain(
        tmp_path / "base", pictures=24, steps=2, batch=4, asked=2, size=32, report=12, threads=1, trunk=SMALL
    )
    found = pretrain.pretrain([library.root], config, lambda _: None)
    (one, seed, mine), (other, another, theirs) = drawn
    assert (one, other) == ("pictures", "unseen-objects")
    assert seed != another
    assert not mine & theirs
    assert found.keys() == {"unseen-objects"}
    base = load_policy(tmp_path / "base/policy")
    assert (base.kind, base.sizes) == ("base", SMALL)
    assert torch.allclose(base.statistics.state_mean, torch.from_numpy(pictures_of(24).state).mean(dim=0), atol=1e-5)
    facts = checkpoint.read_config(tmp_path / "base/policy")["facts"]
    assert facts["unseen-objects"]["within_15_mm"]["trials"] == found["unseen-objects"].within_15_mm.trials
    assert facts["pre-training"]["libraries"] == [f"{library.root.name} {file_digest(library.root / 'library.json')}"]
    drawn.clear()
    again = Pretrain(
        tmp_path / "more", base=str(tmp_path / "base"), pictures=24, steps=1, batch=4, size=64, trunk=SMALL
    )
    with pytest.raises(RunError, match="is no base for this"):
        pretrain.pretrain([library.root], again, lambda _: None)
    assert not drawn, "what it starts from is looked at before pictures are drawn"


def test_a_larger_eye_goes_on_from_what_a_smaller_one_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "_HALF", False)
    base = net().eval()
    save_policy(base, tmp_path / "base/policy", {})
    asked = Pretrain(
        base=str(tmp_path / "base"), trunk=replace(SMALL, channels=2 * SMALL.channels, blocks=SMALL.blocks + 1)
    )
    large = pretrain._new(asked, base.interface).eval()
    data = pictures_of(6)
    inputs = pretrain._inputs(base, data, np.arange(6), ["put the red mug on the plate"] * 6)
    assert large.sizes == asked.trunk
    with torch.no_grad():
        first, second = (one.remember(inputs) for one in (base, large))
        for one, other in ((getattr(seen, name) for seen in (first, second)) for name in ("maps", "points", "tokens")):
            assert torch.allclose(one, other, atol=1e-3 * float(one.std()))
    narrow = replace(TrunkSettings(), channels=64)
    save_policy(net(narrow), tmp_path / "narrow/policy", {})
    assert pretrain._new(Pretrain(base=str(tmp_path / "narrow")), base.interface).sizes == TrunkSettings()
    for trunk in (replace(SMALL, channels=SMALL.channels + 8), replace(SMALL, width=2 * SMALL.width)):
        with pytest.raises(
            RunError, match=r"is no base for this: trunk .* does not grow to .*a multiple of its channels"
        ):
            pretrain._new(replace(asked, trunk=trunk), base.interface)


def test_libraries_that_will_not_do(library: SceneLibrary, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="and of another one"):
        pretrain.pretrain([library.root], Pretrain(tmp_path / "base"), lambda _: None)
    with pytest.raises(RunError, match=r"one picture, not in those of policy, robot/wrist"):
        pretrain.pretrain(
            [library.root], Pretrain(tmp_path / "base", cameras=("policy", "robot/wrist")), lambda _: None
        )
    assert not (tmp_path / "base").exists()

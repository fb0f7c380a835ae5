"""Fine-tuning: what is imitated, how pictures are changed, and the same weights whatever is killed on the way."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer import fit
from trainer import sft as module
from trainer.config import Pretrain, Sft, TrunkSettings
from trainer.dataset import read
from trainer.errors import DatasetError, RunError
from trainer.metrics import read_log
from trainer.pictures import Pictures
from trainer.policies.base import Sighted
from trainer.policies.flow import FlowPolicy
from trainer.policies.store import load_policy, save_policy
from trainer.policies.text import Words
from trainer.recorder import Writer
from trainer.sft import _sentences, sft
from worldgen.errors import LibraryError
from worldgen.library import Scene, SceneLibrary
from worldgen.sim.truth import PRIVILEGED, SIGHT

from .handmade import demonstration, frames_of, pictures_of, write
from .policies.handmade import FACE, SMALL, words


def test_shuffled_instructions_are_other_ones() -> None:
    data = frames_of([1] * 30, [False] * 30, [True] * 30)
    data = replace(data, instructions=[f"say {index % 4}" for index in range(30)])
    assert _sentences(data, Sft()) == data.instructions
    one, again, other = (_sentences(data, Sft(shuffle_instructions=True, seed=seed)) for seed in (0, 0, 1))
    assert set(one) <= set(data.instructions)
    assert one == again != other
    assert all(mine != its for mine, its in zip(one, data.instructions, strict=True))
    with pytest.raises(RunError, match=r"All 30 episodes say 'go'.*two sentences"):
        _sentences(replace(data, instructions=["go"] * 30), Sft(shuffle_instructions=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of noise, as small as policies allow. Read only."""
    root = tmp_path_factory.mktemp("sft") / "data"
    write(root, 6, face=FACE)
    return root


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that sees and reads. Read only."""
    torch.manual_seed(3)
    net = Sighted(FACE, SMALL, words())
    net.statistics.fit("state", np.random.default_rng(0).normal(size=(50, 7)), 0.02)
    folder = tmp_path_factory.mktemp("sft") / "base"
    save_policy(net, folder, {})
    return folder


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_SAVE", 2)
    monkeypatch.setattr(fit, "_TELL", 1)


def config(out: Path, base: Path, **changes: Any) -> Sft:
    return replace(Sft(out, str(base), warm=3, steps=6, batch=4, threads=1), **changes)


def quiet(_: str) -> None:
    pass


def same(one: Sighted, other: Sighted) -> bool:
    ones, others = one.state_dict(), other.state_dict()
    return ones.keys() == others.keys() and all(torch.equal(ones[name], others[name]) for name in ones)


@pytest.mark.parametrize("kind", ["flow", "token"])
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, data: Path, base: Path, kind: Any) -> None:
    whole = sft(data, config(tmp_path / "whole", base, policy=kind), quiet)
    said: list[str] = []

    def kill(line: str) -> None:
        said.append(line)
        if line.startswith("step 5"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sft(data, config(tmp_path / "cut", base, policy=kind), kill)
    assert not (tmp_path / "cut/policy").exists()
    again = sft(data, config(tmp_path / "cut", base, policy=kind), said.append)
    assert "going on from step 4" in said
    assert same(again, whole)
    assert same(load_policy(tmp_path / "cut/policy"), whole)
    for name in ("policy/model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(("steps", "warm"), [(6, 0), (0, 3)])
def test_some_names_are_said_as_words_nobody_knows(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, steps: int, warm: int
) -> None:
    root, said = tmp_path / "data", list[str]()
    with Writer(root, FACE) as writer:
        for seed in (0, 1, 2):
            writer.add(replace(demonstration(seed, FACE, 5), instruction="put the red mug on the plate"))

    read_words = Words.__call__

    def overheard(words: Words, sentences: Sequence[str]) -> Any:
        said.extend(sentences)
        return read_words(words, sentences)

    monkeypatch.setattr(Words, "__call__", overheard)
    sft(root, config(tmp_path / "plain", base, steps=steps, warm=warm, strange=0.0), quiet)
    assert set(said) == {"put the red mug on the plate"}
    said.clear()
    sft(root, config(tmp_path / "run", base, steps=steps, warm=warm, strange=0.5), quiet)
    assert all(re.fullmatch(r"put the red \w+ on the \w+", sentence) for sentence in said)
    assert len({sentence.split()[3] for sentence in said}) > 3
    assert sum(sentence.split()[3] == "mug" for sentence in said) > len(said) / 5


class TestLessons:
    """What else is in a library's pictures is asked for meanwhile."""

    @pytest.fixture(autouse=True)
    def drawn(self, monkeypatch: pytest.MonkeyPatch) -> list[Pretrain]:
        asked: list[Pretrain] = []

        def draw(scenes: list[Scene], how: Pretrain, name: str, count: int, tell: Any) -> Pictures:
            asked.append(how)
            return pictures_of(count)

        monkeypatch.setattr(module, "pictured", draw)
        monkeypatch.setattr(module, "_ASKED", 3)
        return asked

    def test_what_sees_learns_from_them(
        self, tmp_path: Path, data: Path, base: Path, library: SceneLibrary, drawn: list[Pretrain]
    ) -> None:
        plain = sft(data, config(tmp_path / "plain", base), quiet)
        assert not drawn
        asked = config(tmp_path / "asked", base, library=str(library.root), pictures=24)
        policy = sft(data, asked, quiet)
        assert [(how.out, how.pictures, how.size, how.cameras) for how in drawn] == [(asked.out, 24, 32, FACE.cameras)]
        assert not torch.equal(policy.where.heads[0][0].weight, plain.where.heads[0][0].weight)
        assert "asked mm" in read_log(asked.out / "metrics.jsonl")[0]

    def test_a_killed_run_goes_on_to_the_same_weights(
        self, tmp_path: Path, data: Path, base: Path, library: SceneLibrary
    ) -> None:
        asked = config(tmp_path / "whole", base, library=str(library.root), pictures=24)
        whole = sft(data, asked, quiet)

        def kill(line: str) -> None:
            if line.startswith("step 5"):
                raise KeyboardInterrupt

        cut, said = replace(asked, out=tmp_path / "cut"), list[str]()
        with pytest.raises(KeyboardInterrupt):
            sft(data, cut, kill)
        assert same(sft(data, cut, said.append), whole)
        assert "going on from step 4" in said

    def test_a_library_that_will_not_do_is_refused_before_anything_is_made(
        self, tmp_path: Path, data: Path, base: Path, library: SceneLibrary, panda_library: SceneLibrary
    ) -> None:
        for root, changes, error, message in (
            (tmp_path / "gone", {}, LibraryError, "gone"),
            (panda_library.root, {}, RunError, "is not for this policy: .*panda"),
            (library.root, {"steps": 0}, RunError, "not with --steps 0"),
            (library.root, {"sight": 0.0}, RunError, "not with --sight 0"),
            (library.root, {"shuffle_instructions": True}, RunError, "must not learn what things are called"),
        ):
            with pytest.raises(error, match=message):
                sft(data, config(tmp_path / "run", base, library=str(root), **changes), quiet)
            assert not (tmp_path / "run").exists()


def test_data_of_a_simulator_teach_sight_too(tmp_path: Path, base: Path) -> None:
    def run(name: str, privileged: int, **changes: Any) -> tuple[Sighted, set[str]]:
        root = tmp_path / f"data-{privileged}"
        if not root.exists():
            told = np.zeros(PRIVILEGED, np.float32)
            told[-SIGHT:] = [0.2, 0, 0, 0, 0, 0, 0.7, 0, 0.5, 0, 1, 0, -0.6, 0, 0.8, 0.8]
            with Writer(root, FACE, privileged=privileged) as writer:
                for seed in (0, 1, 2):
                    shown = demonstration(seed, FACE)
                    many = np.tile(told[:privileged], (len(shown.state), 1)) if privileged else None
                    writer.add(replace(shown, privileged=many))
        policy = sft(root, config(tmp_path / name, base, **changes), quiet)
        return policy, set(read_log(tmp_path / name / "metrics.jsonl")[0])

    plain, parts = run("plain", 0)
    assert "median mm" not in parts
    taught, parts = run("taught", PRIVILEGED)
    assert {"imitation", "found", "median mm"} <= parts
    assert not same(taught, plain)
    for name, privileged, changes in (
        ("off", PRIVILEGED, {"sight": 0.0}),
        ("other", 5, {}),
        ("shuffled", PRIVILEGED, {"shuffle_instructions": True}),
    ):
        _, parts = run(name, privileged, **changes)
        assert "median mm" not in parts, name


def test_warming_up_leaves_the_base_as_it_is(tmp_path: Path, data: Path, base: Path) -> None:
    net, said = load_policy(base), list[str]()
    mine = config(tmp_path / "run", base, steps=0)
    policy = sft(data, mine, said.append)
    for part in ("trunk", "where"):
        for name, value in getattr(net, part).state_dict().items():
            assert torch.equal(getattr(policy, part).state_dict()[name], value), name
    again = sft(data, config(tmp_path / "other", base, steps=0, warm=0), quiet)
    assert not torch.equal(policy.aims[0].weight, again.aims[0].weight)
    assert len([line for line in said if line.startswith("warming up, step")]) == mine.warm
    said.clear()
    assert same(sft(data, mine, said.append), policy)
    assert not [line for line in said if "frames once" in line], "what is done is not looked at again"


def test_who_has_learned_to_decide_is_not_warmed_up(tmp_path: Path, data: Path, base: Path) -> None:
    sft(data, config(tmp_path / "run", base), quiet)
    said: list[str] = []
    sft(data, config(tmp_path / "more", tmp_path / "run/policy"), said.append)
    assert not [line for line in said if "warming" in line]


def test_a_finished_run_is_only_written_again(tmp_path: Path, data: Path, base: Path) -> None:
    first = sft(data, config(tmp_path / "run", base), quiet)
    said: list[str] = []
    assert same(sft(data, config(tmp_path / "run", base), said.append), first)
    assert not [line for line in said if line.startswith("step")]


def test_a_run_killed_between_two_renames_goes_on(tmp_path: Path, data: Path, base: Path) -> None:
    whole = sft(data, config(tmp_path / "run", base), quiet)
    (tmp_path / "run/training_state").rename(tmp_path / "run/.training_state.old")
    said: list[str] = []
    assert same(sft(data, config(tmp_path / "run", base), said.append), whole)
    assert "going on from step 6" in said


def test_another_seed_gives_other_weights(tmp_path: Path, data: Path, base: Path) -> None:
    one, two = (sft(data, config(tmp_path / str(seed), base, seed=seed), quiet) for seed in (0, 1))
    assert not same(one, two)


@pytest.mark.parametrize("change", [{"steps": 9}, {"seed": 1}, {"policy": "token"}, {"shuffle_instructions": True}])
def test_a_folder_of_other_settings_is_refused(tmp_path: Path, data: Path, base: Path, change: dict[str, Any]) -> None:
    mine = config(tmp_path / "run", base, steps=1)
    sft(data, mine, quiet)
    with pytest.raises(RunError, match=rf"other settings: {next(iter(change))}.*--out"):
        sft(data, replace(mine, **change), quiet)
    sft(data, replace(mine, threads=2), quiet)


def test_a_dataset_that_grew_is_another_one(tmp_path: Path, base: Path) -> None:
    write(tmp_path / "data", 4, face=FACE)
    sft(tmp_path / "data", config(tmp_path / "run", base, steps=1), quiet)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    sft(tmp_path / "elsewhere", config(tmp_path / "run", base, steps=1), quiet)
    write(tmp_path / "elsewhere", 6, face=FACE, first=4)
    with pytest.raises(RunError, match="other settings: data"):
        sft(tmp_path / "elsewhere", config(tmp_path / "run", base, steps=1), quiet)


def test_settings_that_make_no_sense(tmp_path: Path, data: Path, base: Path) -> None:
    with pytest.raises(RunError, match="shift -1 must be from 0 to 16"):
        sft(data, config(tmp_path / "run", base, shift=-1), quiet)
    assert not (tmp_path / "run").exists()


def test_another_dataset_in_the_same_folder_is_refused(tmp_path: Path, data: Path, base: Path) -> None:
    sft(data, config(tmp_path / "run", base, steps=1), quiet)
    write(tmp_path / "other", 2, face=FACE)
    with pytest.raises(RunError, match="other settings: data"):
        sft(tmp_path / "other", config(tmp_path / "run", base, steps=1), quiet)


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_damaged_note_is_told(tmp_path: Path, data: Path, base: Path, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text(content)
    (tmp_path / "run/metrics.jsonl").touch()
    with pytest.raises(RunError, match=r"run\.json' cannot be read"):
        sft(data, config(tmp_path / "run", base), quiet)


def test_a_dataset_of_another_camera_is_refused(tmp_path: Path, base: Path) -> None:
    face = replace(FACE, cameras=("top",))
    write(tmp_path / "data", 1, face=face)
    with pytest.raises(DatasetError, match="cameras"):
        sft(tmp_path / "data", config(tmp_path / "run", base), quiet)


def test_numbers_that_are_no_pose_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "data", 1, face=replace(FACE, state=tuple(f"joint{index}" for index in range(7))))
    with pytest.raises(DatasetError, match=r"state .*joint0"):
        sft(tmp_path / "data", config(tmp_path / "run", Path("none")), quiet)


def test_nothing_to_imitate(tmp_path: Path, base: Path) -> None:
    with Writer(tmp_path / "data", FACE) as writer:
        writer.add(replace(demonstration(0, FACE), success=False))
    with pytest.raises(RunError, match="no successful"):
        sft(tmp_path / "data", config(tmp_path / "run", base), quiet)


def test_what_it_starts_from(data: Path, base: Path, tmp_path: Path) -> None:
    """The base's trunk and state statistics, the dataset's undisturbed actions; a policy of the kind goes on whole."""
    found, net = read(data), load_policy(base)
    policy = module._start(config(tmp_path, base), net, found, data)
    for name, value in net.trunk.state_dict().items():
        assert torch.equal(policy.trunk.state_dict()[name], value)
    assert torch.equal(policy.statistics.state_mean, net.statistics.state_mean)
    mean = found.action[~found.perturbed].mean(axis=0)
    assert policy.statistics.action_mean.numpy() == pytest.approx(mean, abs=1e-5)
    save_policy(policy, tmp_path / "policy", {})
    again = module._start(config(tmp_path, base, limit=1), load_policy(tmp_path / "policy"), read(data, 1), data)
    assert same(again, policy)


def test_sizes_are_asked_for_where_they_can_be_had(data: Path, base: Path, tmp_path: Path) -> None:
    found, wide = read(data), TrunkSettings(width=64)
    policy = module._start(config(tmp_path, base, horizon=6, layers=1), load_policy(base), found, data)
    assert (policy.horizon, policy.layers, policy.chunk) == (6, 1, 4)
    bare = module._start(config(tmp_path, Path("none"), trunk=wide), None, found, data)
    assert bare.sizes.width == 64
    with pytest.raises(RunError, match="has its own"):
        module._start(config(tmp_path, base, trunk=wide), load_policy(base), found, data)
    save_policy(policy, tmp_path / "policy", {})
    with pytest.raises(RunError, match="layers 3 cannot be had"):
        module._start(config(tmp_path, base, layers=3), load_policy(tmp_path / "policy"), found, data)
    assert module._start(config(tmp_path, base), load_policy(tmp_path / "policy"), found, data).horizon == 6
    with pytest.raises(RunError, match=r"multiple of trunk\.heads"):
        module._start(config(tmp_path, Path("none"), trunk=TrunkSettings(width=66)), None, found, data)


def test_from_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "new_policy", lambda kind, face, *_, **__: FlowPolicy(face, SMALL, words()))
    policy = module._start(config(tmp_path, tmp_path), None, read(data), data)
    assert policy.statistics.state_mean.numpy() == pytest.approx(read(data).state.mean(axis=0), abs=1e-5)


def test_steps_without_a_finite_loss_are_skipped(
    tmp_path: Path, data: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = FlowPolicy.imitation_loss, iter(range(99))
    before: list[Tensor] = []

    def loss(self: FlowPolicy, *arguments: Any) -> Tensor:
        before.append(torch.cat([value.detach().flatten() for value in self.parameters()]))
        return real(self, *arguments) * (float("nan") if next(calls) == 2 else 1.0)

    monkeypatch.setattr(FlowPolicy, "imitation_loss", loss)
    policy = sft(data, config(tmp_path / "run", base, warm=0), quiet)
    assert all(value.isfinite().all() for value in policy.parameters())
    unchanged = [torch.equal(one, two) for one, two in itertools.pairwise(before)]
    assert unchanged == [False, False, True, False, False]
    log = read_log(tmp_path / "run/metrics.jsonl")
    assert [line["step"] for line in log if line["loss"] is None] == [3]


def test_the_note_and_the_card_say_what_was_done(tmp_path: Path, data: Path, base: Path) -> None:
    sft(data, config(tmp_path / "run", base, steps=1, limit=2), quiet)
    note = json.loads((tmp_path / "run/run.json").read_text())
    assert (note["data"], note["limit"]) == (read(data, 2).digest(), 2)
    assert note["data"].startswith("2 episodes, ")
    facts = json.loads((tmp_path / "run/policy/config.json").read_text())["facts"]
    assert (facts["episodes"], facts["fine-tuning"]["data"]) == (2, f"data {note['data']}")
    assert facts["fine-tuning"]["base"] == note["base"] != str(base), "by its digest: a path says nothing elsewhere"

"""Policy folders: the old or the new one, bit by bit, whatever is full, killed or damaged; training goes on as if nothing had been."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainer import checkpoint
from trainer.errors import CheckpointError

from .handmade import files

CONFIG = {"kind": "toy", "width": 3}


def weights(seed: int = 0) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {"a.weight": torch.randn(3, 2, generator=rng), "a.bias": torch.randn(3, generator=rng), "n": torch.tensor(7)}


def write(folder: Path, seed: int = 0) -> None:
    checkpoint.write(folder, weights(seed), CONFIG, {"README.md": f"# {seed}\n"})


def read(folder: Path) -> dict[str, Tensor]:
    config = checkpoint.read_config(folder)
    checkpoint.read_file(folder, "README.md", config)
    return checkpoint.read_weights(folder, config["sha256"])


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(folder)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


class TestFolder:
    def test_round_trip(self, tmp_path: Path) -> None:
        write(tmp_path / "policy")
        assert same(read(tmp_path / "policy"), weights())
        config = checkpoint.read_config(tmp_path / "policy")
        assert {name: config[name] for name in CONFIG} == CONFIG
        assert config["format"] == checkpoint.FORMAT
        assert files(tmp_path / "policy").keys() == {checkpoint.WEIGHTS, checkpoint.CONFIG, "README.md"}

    def test_the_same_gives_the_same_bytes(self, tmp_path: Path) -> None:
        write(tmp_path / "one")
        write(tmp_path / "two")
        assert files(tmp_path / "one") == files(tmp_path / "two")

    def test_a_new_one_takes_the_place_and_leaves_nothing_beside_it(self, tmp_path: Path) -> None:
        write(tmp_path / "policy", 0)
        write(tmp_path / "policy", 1)
        assert same(read(tmp_path / "policy"), weights(1))
        assert [path.name for path in tmp_path.iterdir()] == ["policy"]

    @settings(max_examples=75)
    @given(
        name=st.sampled_from([checkpoint.WEIGHTS, checkpoint.CONFIG, "README.md"]),
        share=st.floats(0, 1, exclude_max=True),
        flip=st.booleans(),
    )
    def test_no_damaged_byte_goes_unseen(
        self, tmp_path_factory: pytest.TempPathFactory, name: str, share: float, flip: bool
    ) -> None:
        folder = tmp_path_factory.mktemp("damage") / "policy"
        write(folder)
        blob = bytearray((folder / name).read_bytes())
        place = int(share * len(blob))
        if flip:
            blob[place] ^= 1
        else:
            del blob[place:]
        (folder / name).write_bytes(blob)
        refused(folder, name)

    def test_missing_weights(self, tmp_path: Path) -> None:
        write(tmp_path / "policy")
        (tmp_path / "policy" / checkpoint.WEIGHTS).unlink()
        refused(tmp_path / "policy", checkpoint.WEIGHTS, "cannot be read")

    def test_what_is_no_safetensors_is_told(self, tmp_path: Path) -> None:
        write(tmp_path / "policy")
        (tmp_path / "policy" / checkpoint.WEIGHTS).write_bytes(b"no weights")
        config = json.loads((tmp_path / "policy" / checkpoint.CONFIG).read_text())
        config["sha256"] = hashlib.sha256(b"no weights").hexdigest()
        del config["files"], config["digest"]
        (tmp_path / "policy" / checkpoint.CONFIG).write_text(json.dumps(config))
        refused(tmp_path / "policy", "holds no weights")

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "7", '{"format": "1"}', '{"format": 99}', '{"format": 1}', "\udcff"]
    )
    def test_another_config(self, tmp_path: Path, text: str) -> None:
        write(tmp_path / "policy")
        (tmp_path / "policy" / checkpoint.CONFIG).write_bytes(text.encode(errors="surrogateescape"))
        refused(tmp_path / "policy", checkpoint.CONFIG)

    def test_no_folder(self, tmp_path: Path) -> None:
        refused(tmp_path / "nowhere", "no policy folder", "nowhere")
        (tmp_path / "file").write_text("")
        refused(tmp_path / "file", "no policy folder")


class TestPickles:
    @pytest.mark.parametrize("name", ["model.pt", "model.bin", "model.ckpt", "model.pkl"])
    @pytest.mark.parametrize("inside", [False, True])
    def test_are_refused_by_name_and_never_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, inside: bool
    ) -> None:
        (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))
        monkeypatch.setattr(pickle, "Unpickler", None)
        monkeypatch.setattr(torch, "load", None)
        refused(tmp_path if inside else tmp_path / name, "is a pickle", "can run any code")


class TestFill:
    def net(self, width: int = 3) -> nn.Module:
        net = nn.Module()
        net.a = nn.Linear(2, width)
        net.register_buffer("n", torch.tensor(0))
        return net

    def test_puts_every_number_in(self) -> None:
        net = self.net()
        checkpoint.fill(net, weights(), Path("here"))
        assert same(dict(net.state_dict()), weights())

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"a.weight": torch.zeros(4, 2)}, r"a\.weight \(4, 2\) instead of \(3, 2\)"),
            ({"more": torch.zeros(1)}, "surplus more"),
            ({"a.bias": None}, r"no a\.bias"),
        ],
    )
    def test_another_networks_are_refused(self, change: dict[str, Tensor | None], words: str) -> None:
        net = self.net()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        given = {name: value for name, value in {**weights(), **change}.items() if value is not None}
        with pytest.raises(CheckpointError, match=rf"'here'.*another network.*{words}"):
            checkpoint.fill(net, given, Path("here"))
        assert same(dict(net.state_dict()), before)

    def test_many_differences_are_counted(self) -> None:
        with pytest.raises(CheckpointError, match="and 1 more"):
            checkpoint.fill(self.net(), {"x": torch.zeros(1)}, Path("here"))


class TestKilled:
    @pytest.mark.parametrize("call", ["fsync", "mkdir", "open"])
    def test_a_full_disk_leaves_the_one_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        write(tmp_path / "policy", 0)
        before = files(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(*((os, "fsync") if call == "fsync" else (Path, call)), full)
            with pytest.raises(CheckpointError, match=r"(?i)no space.*kept") as caught:
                write(tmp_path / "policy", 1)
        assert "\n" not in str(caught.value)
        assert files(tmp_path) == before
        write(tmp_path / "policy", 1)
        assert same(read(tmp_path / "policy"), weights(1))

    def test_a_full_disk_at_the_third_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fsync(number: int) -> None:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device")

        write(tmp_path / "policy", 0)
        before, left = files(tmp_path), iter(range(2))
        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(CheckpointError):
            write(tmp_path / "policy", 1)
        assert files(tmp_path) == before

    @pytest.mark.parametrize("renames", [0, 1])
    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
    def test_at_any_rename_there_is_one_to_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int, error: type[BaseException]
    ) -> None:
        """KeyboardInterrupt stands for a kill: nothing is cleaned up after it."""
        real, left = Path.rename, iter(range(renames))

        def rename(path: Path, target: Path) -> Path:
            if path.name.endswith(".old") or next(left, None) is not None:
                return real(path, target)
            raise error

        write(tmp_path / "policy", 0)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else CheckpointError):
                write(tmp_path / "policy", 1)
        assert checkpoint.exists(tmp_path / "policy")
        assert same(read(tmp_path / "policy"), weights(0))
        write(tmp_path / "policy", 2)
        assert same(read(tmp_path / "policy"), weights(2))
        assert [path.name for path in tmp_path.iterdir()] == ["policy"]

    def test_between_the_renames_a_writer_keeps_the_old_one_until_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        write(tmp_path / "policy", 0)
        (tmp_path / "policy").rename(tmp_path / ".policy.old")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError):
            write(tmp_path / "policy", 1)
        assert same(read(tmp_path / "policy"), weights(0))

    def test_nothing_at_all(self, tmp_path: Path) -> None:
        assert not checkpoint.exists(tmp_path / "policy")


def trained(folder: Path, steps: int, kill: int | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Train a toy network, saving each step; return its weights and moments. A killed one goes on from its folder."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimiser = torch.optim.AdamW(net.parameters(), 0.01)
    first, mean = 0, {name: value.clone() for name, value in net.state_dict().items()}
    if checkpoint.exists(folder):
        torch.nn.init.zeros_(net[0].weight)
        numbers, groups = checkpoint.load_training(folder, net, optimiser)
        first, mean = numbers["step"], groups["mean"]
    for step in range(first, steps):
        rng = torch.Generator().manual_seed(step)
        x = torch.randn(16, 4, generator=rng)
        loss = ((net(x) - x.sum(dim=1, keepdim=True)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for name, value in net.state_dict().items():
            mean[name].lerp_(value, 0.1)
        if step + 1 == kill:
            break
        checkpoint.save_training(folder, net, optimiser, {"step": step + 1, "best": 0.1 + 0.2}, mean=mean)
    moments = {
        f"{index}.{name}": value
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }
    return {**net.state_dict(), **{f"mean.{name}": value for name, value in mean.items()}}, moments


class TestTraining:
    def test_moments_and_numbers_come_back_exactly(self, tmp_path: Path) -> None:
        ended, moments = trained(tmp_path / "state", 5)
        again, others = trained(tmp_path / "state", 5)
        assert same(again, ended)
        assert len(moments) == 4 * 3
        assert same(others, moments)
        net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        numbers, groups = checkpoint.load_training(tmp_path / "state", net, torch.optim.AdamW(net.parameters()))
        assert numbers == {"step": 5, "best": 0.1 + 0.2}
        assert groups.keys() == {"mean"}

    def test_a_resumed_run_equals_an_uninterrupted_one(self, tmp_path: Path) -> None:
        whole, _ = trained(tmp_path / "whole", 9)
        trained(tmp_path / "cut", 9, kill=5)
        again, _ = trained(tmp_path / "cut", 9)
        assert same(again, whole)
        assert files(tmp_path / "cut") == files(tmp_path / "whole")

    def test_learning_rates_are_the_optimisers_own(self, tmp_path: Path) -> None:
        trained(tmp_path / "state", 2)
        net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        optimiser = torch.optim.AdamW(net.parameters(), 0.5)
        checkpoint.load_training(tmp_path / "state", net, optimiser)
        assert [group["lr"] for group in optimiser.param_groups] == [0.5]

    def test_of_another_network(self, tmp_path: Path) -> None:
        trained(tmp_path / "state", 1)
        net = nn.Linear(3, 3)
        with pytest.raises(CheckpointError, match="another network"):
            checkpoint.load_training(tmp_path / "state", net, torch.optim.AdamW(net.parameters()))

    def test_a_policy_is_no_training_state(self, tmp_path: Path) -> None:
        write(tmp_path / "policy")
        net = nn.Linear(2, 3)
        with pytest.raises(CheckpointError):
            checkpoint.load_training(tmp_path / "policy", net, torch.optim.AdamW(net.parameters()))

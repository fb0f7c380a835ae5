"""robomimic files: read without their library being needed by others; what is missing is named."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.dataset import read, require_fits
from trainer.errors import DatasetError
from trainer.records import ACTION_NAMES, STATE_NAMES, Demonstration, Interface

from .handmade import FACE, demonstration, refused


class TestRobomimic:
    def test_without_h5py(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = importlib.import_module

        def absent(name: str, *rest: Any) -> Any:
            if name == "h5py":
                raise ImportError(name)
            return real(name, *rest)

        monkeypatch.setattr(importlib, "import_module", absent)
        refused(tmp_path / "demo.hdf5", "pip install h5py")

    def make(self, path: Path, leave_out: str = "", **says: object) -> list[Demonstration]:
        h5py = pytest.importorskip("h5py")
        wanted = [demonstration(seed, Interface(cameras=("agentview",), size=16), steps=3) for seed in range(11)]
        env = {"env_name": "Lift", "env_kwargs": {"robots": ["Panda"], "control_freq": 20}}
        with h5py.File(path, "w") as file:
            file.create_group("data").attrs["env_args"] = json.dumps(env)
            file["data"].attrs.update({key: json.dumps(value) for key, value in says.items()})
            for index, each in enumerate(wanted):
                arrays = {
                    "robot0_eef_pos": each.state[:, :3],
                    "robot0_eef_quat": np.tile(np.float32([1, 0, 0, 0]), (3, 1)),
                    "robot0_gripper_qpos": each.state[:, 3:5],
                    "agentview_image": each.images["agentview"],
                }
                for name, array in arrays.items():
                    if name != leave_out:
                        file[f"data/demo_{index}/obs/{name}"] = array
                file[f"data/demo_{index}/actions"] = each.action.astype(np.float64)
        return wanted

    def test_reads(self, tmp_path: Path) -> None:
        wanted = self.make(tmp_path / "demo.hdf5")
        dataset = read(tmp_path / "demo.hdf5")
        assert (dataset.interface.robot, dataset.interface.rate_hz, dataset.interface.size) == ("Panda", 20.0, 16)
        assert (dataset.episodes, dataset.instructions[0]) == (11, "Lift")
        np.testing.assert_array_equal(dataset.action, np.concatenate([each.action for each in wanted]))
        expected = np.concatenate([each.images["agentview"] for each in wanted])
        np.testing.assert_array_equal(dataset.images["agentview"], expected)
        np.testing.assert_allclose(dataset.state[0, :6], [*wanted[0].state[0, :3], np.pi, 0, 0], rtol=1e-6)
        assert read(tmp_path / "demo.hdf5", 2).starts.tolist() == [0, 3, 6]
        with pytest.raises(DatasetError, match="action"):
            require_fits(dataset.interface, FACE, tmp_path)

    def test_a_file_may_say_that_its_numbers_are_ours(self, tmp_path: Path) -> None:
        self.make(tmp_path / "demo.hdf5", state_names=STATE_NAMES, action_names=ACTION_NAMES)
        found = read(tmp_path / "demo.hdf5").interface
        assert found.differences(replace(FACE, robot="Panda", rate_hz=20.0, cameras=("agentview",), size=16)) == []

    @pytest.mark.parametrize("name", ["robot0_eef_pos", "agentview_image"])
    def test_names_what_is_missing(self, tmp_path: Path, name: str) -> None:
        self.make(tmp_path / "demo.hdf5", name)
        refused(tmp_path / "demo.hdf5", name.removeprefix("agentview"), "demo_0", "dataset_states_to_obs")

    def test_broken(self, tmp_path: Path) -> None:
        pytest.importorskip("h5py")
        refused(tmp_path / "demo.h5", "missing")
        (tmp_path / "demo.h5").write_bytes(b"no")
        refused(tmp_path / "demo.h5", "damaged")

    def test_other_cameras_in_one_episode(self, tmp_path: Path) -> None:
        path = tmp_path / "demo.hdf5"
        self.make(path)
        with importlib.import_module("h5py").File(path, "a") as file:
            file.move("data/demo_3/obs/agentview_image", "data/demo_3/obs/wrist_image")
        refused(path, "data/demo_3", "other cameras")

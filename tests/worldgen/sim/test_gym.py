"""Gymnasium: the checker is content, observations lie in their space, an episode can be brought back; LeRobot's names for it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

from worldgen import store
from worldgen.errors import ActionError, DomainError, LibraryError, RenderError
from worldgen.library import Scene, SceneLibrary
from worldgen.sim import envhub
from worldgen.sim.gym import ID, SceneEnv
from worldgen.sim.rewards import Staged

SPAWN = {"context": "spawn"}
"""The test process has drawn, so a fork of it cannot."""


@pytest.fixture
def env(library: SceneLibrary) -> Iterator[Callable[..., SceneEnv]]:
    """A function from settings to an environment, closed at the end."""
    made: list[SceneEnv] = []

    def make(**settings: Any) -> SceneEnv:
        made.append(gymnasium.make(ID, library=library.root, **{"trusted": True, **settings}).unwrapped)  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


def scene_of(library: SceneLibrary, family: str) -> Scene:
    return next(scene for scene in library.scenes() if scene.record.family == family)


def still(env: SceneEnv) -> np.ndarray:
    shape = env.action_space.shape
    assert shape
    return np.broadcast_to(np.array([0, 0, 0, 0, 0, 0, 1], np.float32), shape)


def play(env: SceneEnv, steps: int) -> list[Any]:
    env.action_space.seed(5)
    return [env.step(env.action_space.sample()) for _ in range(steps)]


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


class TestRegistration:
    def test_worldgen_does_without_gymnasium(self) -> None:
        code = "import sys, worldgen, worldgen.cli, worldgen.sim.world, worldgen.sim.worlds; print('gymnasium' in sys.modules)"
        assert python(code) == "False"

    def test_an_id_that_names_the_module_is_enough(self, library: SceneLibrary) -> None:
        code = f"""import gymnasium
env = gymnasium.make("worldgen.sim.gym:worldgen/Scene-v0", library={str(library.root)!r}, cameras=(), trusted=True)
print(env.reset(seed=1)[1]["scene"] in env.unwrapped.names, env.spec.id)"""
        assert python(code) == "True worldgen/Scene-v0"

    def test_without_gymnasium_it_says_what_to_install(self) -> None:
        code = """import sys
sys.modules["gymnasium"] = None
try:
    import worldgen.sim.gym
except ModuleNotFoundError as error:
    print(error)"""
        assert "pip install 'worldgen-trainer[gym]'" in python(code)


class TestSpaces:
    @pytest.mark.parametrize(
        "settings",
        [
            {"scene": "0001"},
            {},
            {"domain": "full", "reward": "staged", "joints": True, "chunk": 3, "cameras": {"policy": (64, 48), "robot/wrist": (20, 30)}},
        ],
        ids=["one", "all", "rich"],
    )  # fmt: skip
    def test_the_checker_is_content(self, env: Callable[..., SceneEnv], settings: dict[str, Any]) -> None:
        with warnings.catch_warnings(action="error"):
            check_env(env(render_mode="rgb_array", **settings))

    def test_of_the_panda(self, panda_library: SceneLibrary) -> None:
        with warnings.catch_warnings(action="error"):
            made = gymnasium.make(ID, library=panda_library.root, joints=True, trusted=True)
            check_env(made.unwrapped)
            assert made.observation_space["state"].shape == (14,)  # type: ignore[index]
            made.close()

    def test_shapes(self, env: Callable[..., SceneEnv]) -> None:
        made = env(scene="0000", cameras={"policy": (64, 48)}, joints=True, chunk=2)
        observation, _ = made.reset(seed=0)
        assert observation["images"]["policy"].shape == (48, 64, 3)
        assert observation["state"].shape == (13,)
        assert made.action_space.shape == (2, 7)
        assert env(cameras="policy", size=32).reset(seed=0)[0]["images"]["policy"].shape == (32, 32, 3)
        assert set(env(cameras=()).reset(seed=0)[0]) == {"state", "instruction"}  # a space may not be empty
        assert np.isfinite(made.observation_space["state"].low).all()  # type: ignore[index]
        assert np.isfinite(made.observation_space["state"].high).all()  # type: ignore[index]
        assert made.action_space.high[0] == pytest.approx([0.05] * 3 + [0.35] * 3 + [1])  # type: ignore[attr-defined]
        assert made.metadata["render_fps"] == 2
        assert env().metadata["render_fps"] == 5

    def test_observations_always_lie_in_their_space(self, env: Callable[..., SceneEnv]) -> None:
        """Also where the arm is thrown about at its limits."""
        made = env(domain="full", joints=True, chunk=4, cameras=())
        rng = np.random.default_rng(0)
        for seed in range(6):
            observation, _ = made.reset(seed=seed)
            assert observation in made.observation_space
            way = rng.choice([-1, 1], 7).astype(np.float32)
            over = False
            while not over:
                observation, _, terminated, truncated, info = made.step(np.tile(way, (4, 1)) * 9)
                assert observation in made.observation_space
                assert info["clamped"] > 0
                over = terminated or truncated or info["steps"] >= 24

    def test_an_instruction_in_any_script_fits(self, library_copy: SceneLibrary) -> None:
        scene = next(iter(library_copy.scenes()))
        task = scene.record.spec.task.model_copy(
            update={"instruction": "stelle die Schüssel auf 机器人", "paraphrases": ()}
        )
        spec = scene.record.spec.model_copy(update={"task": task})
        record = scene.record.model_copy(update={"spec": spec})
        (scene.folder / "scene.json").write_text(record.model_dump_json(), encoding="utf-8")
        store.write_manifest(scene.folder)
        made = SceneEnv(library_copy.root, scene.name, cameras=(), trusted=True)
        observation, info = made.reset(seed=0)
        assert observation["instruction"] == info["instruction"] == task.instruction
        assert observation in made.observation_space
        made.close()


class TestEpisodes:
    def test_a_seed_fixes_all_that_follows(self, env: Callable[..., SceneEnv]) -> None:
        one, other = env(domain="full"), env(domain="full")
        other.reset(seed=9)
        for made in (one, other):
            made.reset(seed=3)
        assert data_equivalence(play(one, 3), play(other, 3), exact=True)
        assert data_equivalence(one.reset(), other.reset(), exact=True)
        assert data_equivalence(play(one, 2), play(other, 2), exact=True)

    def test_scenes_are_drawn_by_the_seed(self, env: Callable[..., SceneEnv], library: SceneLibrary) -> None:
        made = env(cameras=(), max_scenes=2)
        seen = [made.reset(seed=seed)[1]["scene"] for seed in range(24)]
        assert set(seen) == set(library.index().scenes)
        assert seen == [made.reset(seed=seed)[1]["scene"] for seed in range(24)]
        assert len(made._stages) == 2

    def test_options_bring_an_episode_back(self, env: Callable[..., SceneEnv]) -> None:
        made = env(domain="full")
        made.reset(seed=1)
        first = made.reset()
        steps = play(made, 2)
        made.reset(seed=77)
        again = made.reset(options={"scene": first[1]["scene"], "seed": first[1]["seed"]})
        assert data_equivalence(first, again, exact=True)
        assert data_equivalence(steps, play(made, 2), exact=True)

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"scnee": "0000"}, ActionError, "Unknown option 'scnee'. Options: scene, seed"),
            ({"scene": "9999"}, LibraryError, "does not play scene '9999'. It plays: 0000"),
            ({"seed": -1}, ActionError, "is no integer"),
        ],
    )
    def test_options_that_make_no_sense(
        self, env: Callable[..., SceneEnv], options: dict[str, Any], error: type[Exception], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            env(cameras=()).reset(options=options)

    def test_success_terminates(self, env: Callable[..., SceneEnv], library: SceneLibrary) -> None:
        made = env(scene=scene_of(library, "push").name, cameras=())
        _, info = made.reset(seed=0)
        assert (info["success"], info["end"], info["steps"]) == (False, "", 0)
        assert 0 <= info["progress"] < 1
        _move_target(made, "goal")
        found = [made.step(still(made)) for _ in range(4)]
        assert [(reward, terminated, truncated) for _, reward, terminated, truncated, _ in found] == [(0.0, False, False)] * 3 + [(1.0, True, False)]  # fmt: skip
        info = found[-1][4]
        assert (info["success"], info["end"], info["steps"], info["progress"]) == (True, "success", 4, 1.0)
        with pytest.raises(ActionError, match="over"):
            made.step(still(made))
        assert made.reset()[1]["end"] == ""

    def test_what_fell_terminates_without_success(self, env: Callable[..., SceneEnv], library: SceneLibrary) -> None:
        made = env(scene=scene_of(library, "stack").name, cameras=())
        made.reset(seed=0)
        _move_target(made, "floor")
        _, reward, terminated, truncated, info = made.step(still(made))
        assert (reward, terminated, truncated, info["success"], info["end"]) == (0.0, True, False, False, "fell")

    def test_time_truncates(self, env: Callable[..., SceneEnv]) -> None:
        made = env(scene="0000", cameras=(), chunk=8)
        made.reset(seed=0)
        limit, steps = made._started().limit, 0
        assert made.max_steps == limit
        truncated = False
        while not truncated:
            _, _, terminated, truncated, info = made.step(still(made))
            assert not terminated
            steps += 1
        assert info["end"] == "timeout"
        assert info["steps"] == limit
        assert steps == -(-limit // 8)

    @pytest.mark.parametrize("poison", [np.nan, 1e9])
    def test_what_is_invalid_truncates_within_the_space(
        self, env: Callable[..., SceneEnv], poison: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)  # MuJoCo writes a log where it is
        made = env(scene="0000", joints=True)
        made.reset(seed=0)
        world = made._started()
        world.data.qpos[world.stage.at.qpos] = poison
        world.data.qvel[:] = poison
        observation, reward, terminated, truncated, info = made.step(still(made))
        assert (terminated, truncated, info["invalid"], info["end"]) == (False, True, True, "invalid")
        assert observation in made.observation_space
        assert np.isfinite([reward, info["progress"]]).all()

    def test_what_is_invalid_from_the_start_truncates_at_the_first_step(
        self, env: Callable[..., SceneEnv], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = env(scene="0000")
        with monkeypatch.context() as patch:
            patch.setattr("worldgen.sim.world.World._valid", lambda self: False)
            assert made.reset(seed=0)[1]["invalid"]
        observation, reward, terminated, truncated, info = made.step(still(made))
        assert (reward, terminated, truncated, info["invalid"], info["steps"]) == (0.0, False, True, True, 0)
        assert observation in made.observation_space
        with pytest.raises(ActionError, match="over"):
            made.step(still(made))
        made.reset(seed=0)
        assert made.step(still(made))[3] is False

    @pytest.mark.parametrize("action", [np.zeros(6), np.zeros((1, 7)), np.full(7, np.nan)])
    def test_actions_that_are_none(self, env: Callable[..., SceneEnv], action: np.ndarray) -> None:
        made = env(scene="0000", cameras=())
        with pytest.raises(ActionError, match="Reset it first"):
            made.step(still(made))
        made.reset(seed=0)
        with pytest.raises(ActionError, match=r"shape|finite"):
            made.step(action)

    def test_rewards(self, env: Callable[..., SceneEnv]) -> None:
        staged, own = (
            env(scene="0000", reward="staged", cameras=()),
            env(scene="0000", reward=Staged(reach=2.0), cameras=()),
        )
        for made in (staged, own):
            made.reset(seed=0)
        down = np.array([0, 0, -0.04, 0, 0, 0, 1], np.float32)
        assert staged.step(down)[1] != 0
        assert own.step(down)[1] != staged.step(down)[1]


def _move_target(env: SceneEnv, where: str) -> None:
    world = env._started()
    goal = world.stage.goals[0]
    at = world.model.jnt_qposadr[world.model.body_jntadr[goal.target]]
    if where == "floor":
        world.data.qpos[at + 2] -= 0.3
    else:
        world.data.qpos[at : at + 2] = world.data.site_xpos[goal.site][:2]
    mujoco.mj_forward(world.model, world.data)


class TestRender:
    def test_a_picture_with_shadows(self, env: Callable[..., SceneEnv]) -> None:
        made = env(scene="0000", render_mode="rgb_array", cameras=())
        with pytest.raises(ActionError, match="Reset it first"):
            made.render()
        made.reset(seed=0)
        picture = made.render()
        assert picture is not None
        assert picture.shape == (360, 480, 3)
        assert picture.std() > 20
        made.close()
        made.close()
        made.reset(seed=0)
        assert (made.render() == picture).all()

    def test_none_where_none_is_asked_for(self, env: Callable[..., SceneEnv]) -> None:
        made = env(scene="0000", cameras=())
        made.reset(seed=0)
        assert made.render() is None


class TestChoices:
    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"scene": "9999"}, LibraryError, "no scene '9999'"),
            ({"scene": ()}, LibraryError, "No scene is named"),
            ({"split": "tarin"}, LibraryError, "Unknown split 'tarin'"),
            ({"split": "unseen-objects"}, LibraryError, "no scenes in split 'unseen-objects'"),
            ({"scene": "0000", "split": "unseen-objects"}, LibraryError, "'0000' is not in split"),
            ({"domain": "real"}, DomainError, "held out"),
            ({"domain": "papr"}, DomainError, "Did you mean 'paper'"),
            ({"reward": "dense"}, ActionError, "Unknown reward 'dense'. Rewards: sparse, staged"),
            ({"chunk": 0}, ActionError, "chunk 0"),
            ({"size": 0}, RenderError, "0 x 0 px"),
            ({"cameras": {"policy": (9999, 1)}}, RenderError, "9999 x 1 px"),
        ],
    )  # fmt: skip
    def test_that_make_no_sense(
        self, library: SceneLibrary, settings: dict[str, Any], error: type[Exception], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            SceneEnv(library.root, **settings)

    def test_several_scenes(self, env: Callable[..., SceneEnv], library: SceneLibrary) -> None:
        names = library.index().scenes[1:3]
        made = env(scene=names, split="train", cameras=())
        assert {made.reset(seed=seed)[1]["scene"] for seed in range(12)} == set(names)

    def test_a_scene_that_was_changed_is_refused(self, library_copy: SceneLibrary) -> None:
        made = SceneEnv(library_copy.root, "0000", cameras=(), trusted=True)
        file = library_copy.root / "scenes" / "0000" / "scene.xml"
        file.write_text(file.read_text() + " ")
        with pytest.raises(Exception, match="is damaged"):
            made.reset(seed=0)


class TestVectors:
    @pytest.mark.parametrize("mode", ["sync", "async"])
    def test_many_at_once(self, library: SceneLibrary, env: Callable[..., SceneEnv], mode: Any) -> None:
        keywords = SPAWN if mode == "async" else {}
        many = gymnasium.make_vec(ID, 2, mode, vector_kwargs=keywords, library=library.root, trusted=True, chunk=2)
        try:
            single = [env(chunk=2), env(chunk=2)]
            observations, infos = many.reset(seed=[3, 4])
            alone = [made.reset(seed=seed) for made, seed in zip(single, (3, 4), strict=True)]
            for index in range(3):
                assert tuple(observations["instruction"]) == tuple(shown["instruction"] for shown, _ in alone)
                assert infos["scene"].tolist() == [info["scene"] for _, info in alone]
                for row, (shown, _) in enumerate(alone):
                    assert (observations["state"][row] == shown["state"]).all()
                    assert (observations["images"]["policy"][row] == shown["images"]["policy"]).all()
                if index == 1:
                    kept, said = observations, [*observations["instruction"]]
                    observations, infos = many.reset(seed=[8, 9])
                    assert [*kept["instruction"]] == said  # what was seen stays as it was
                    alone = [made.reset(seed=seed) for made, seed in zip(single, (8, 9), strict=True)]
                else:
                    actions = np.stack([still(made) for made in single])
                    observations, _, _, _, infos = many.step(actions)
                    alone = [(result[0], result[4]) for result in (made.step(still(made)) for made in single)]
        finally:
            many.close()

    def test_a_fork_that_cannot_draw_says_so(self, library: SceneLibrary) -> None:
        code = f"""import gymnasium, worldgen.sim.gym
settings = dict(library={str(library.root)!r}, trusted=True)
gymnasium.make("worldgen/Scene-v0", **settings).reset(seed=0)
many = gymnasium.make_vec("worldgen/Scene-v0", 1, "async", vector_kwargs=dict(context="fork"), **settings)
try:
    many.reset(seed=0)
except Exception as error:
    print(error)
many.close(terminate=True)"""
        assert "method 'spawn'" in python(code)


class TestEnvHub:
    @pytest.fixture
    def hub(self, library_copy: SceneLibrary) -> Path:
        return envhub.write(library_copy, ("policy", "robot/wrist"), 48, joints=True)

    def test_the_file_is_all_that_is_needed(self, hub: Path, library_copy: SceneLibrary) -> None:
        environments = _load(hub).make_env(n_envs=2, use_async_envs=False)
        families = sorted({scene.record.family for scene in library_copy.scenes()})
        assert set(environments) == {"train"}
        assert [*environments["train"]] == list(range(len(families)))
        for number, many in environments["train"].items():
            observations, infos = many.reset(seed=[0, 1])
            assert set(observations) == {"pixels", "agent_pos"}
            assert {name: image.shape for name, image in observations["pixels"].items()} == {
                "policy": (2, 48, 48, 3),
                "wrist": (2, 48, 48, 3),
            }
            assert observations["agent_pos"].shape == (2, 13)
            assert observations in many.observation_space
            assert many.call("task_description") == tuple(infos["instruction"])
            assert many.call("task") == (families[number],) * 2
            assert many.call("_max_episode_steps")[0] >= 50
            assert many.unwrapped.metadata["render_fps"] == 5
            assert many.envs[0].render().shape == (360, 480, 3)
            observations, rewards, terminated, _, infos = many.step(np.zeros((2, 7), np.float32))
            assert infos["is_success"].tolist() == terminated.tolist() == [False, False]
            assert rewards.shape == (2,)
            many.close()

    def test_success_is_told_at_the_end(self, hub: Path, library_copy: SceneLibrary) -> None:
        scene = scene_of(library_copy, "push")
        made = envhub.HubEnv(hub.parent, (scene.name,), "push", {"cameras": (), "domain": "none"})
        made.reset(seed=0, options={"lerobot_new_rollout": True})
        _move_target(made.unwrapped, "goal")  # type: ignore[arg-type]
        ends = [made.step(still(made.unwrapped)) for _ in range(4)]  # type: ignore[arg-type]
        assert [end[4]["is_success"] for end in ends] == [False, False, False, True]
        made.close()

    def test_in_processes(self, library_copy: SceneLibrary) -> None:
        for scene in [*library_copy.scenes()][1:]:  # each task has processes of its own
            library_copy.discard(scene.name)
        index = library_copy.index()
        library_copy.write_index(index.model_copy(update={"scenes": index.scenes[:1]}))
        many = _load(envhub.write(library_copy)).make_env(n_envs=1, use_async_envs=True)["train"][0]
        observations, infos = many.reset(seed=[0])
        assert observations["pixels"]["policy"].mean() > 10
        assert many.call("task_description") == tuple(infos["instruction"])
        many.close()

    def test_a_file_of_ones_own_is_left_alone(self, hub: Path, library_copy: SceneLibrary) -> None:
        envhub.write(library_copy)
        assert '"size": 256' in hub.read_text()
        hub.write_text("print()\n")
        with pytest.raises(LibraryError, match="Move it away"):
            envhub.write(library_copy)
        assert hub.read_text() == "print()\n"

    def test_only_a_library_gets_one(self, tmp_path: Path) -> None:
        with pytest.raises(LibraryError):
            envhub.write(SceneLibrary(tmp_path))

    def test_a_download_of_the_file_alone_fetches_the_library(
        self, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The cache that LeRobot loads from holds links, and only to what was asked for."""
        snapshot = tmp_path / "cache" / "models--me--my--scenes" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot / "env.py").symlink_to(hub)
        asked: list[Any] = []

        def snapshot_download(repository: str, *, revision: str, local_dir: Path) -> None:
            asked.append((repository, revision))
            shutil.copytree(hub.parent, local_dir)

        module = types.ModuleType("huggingface_hub")
        module.snapshot_download = snapshot_download  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "huggingface_hub", module)
        found = envhub.home(snapshot / "env.py")
        assert asked == [("me/my--scenes", "abc")]
        assert (found / "library.json").is_file()
        assert envhub.home(hub) == hub.parent

    def test_a_file_that_has_lost_its_library(self, hub: Path, tmp_path: Path) -> None:
        lost = shutil.copy(hub, tmp_path / "env.py")
        with pytest.raises(LibraryError, match="no library beside"):
            envhub.home(Path(lost))


def _load(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location("hub_env", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

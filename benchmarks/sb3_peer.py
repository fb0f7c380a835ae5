"""A public trainer in the same worlds: `python -m benchmarks.sb3_peer`, after `benchmarks.generative_worlds`. Prints Markdown for docs/results.md.

PPO of Stable-Baselines3 (`pip install stable-baselines3`; nothing else of the project needs it) with its Gaussian head, on what the same frozen
sight says, in one vector: the mean of the tokens that a decision of ours looks at one by one, and what is told in metres. Its perceptron learns
the same demonstrations first, then plays the same training scenes for the same staged reward, as many at once; its critic learns alone in the
first two rollouts. It sees what the actor sees, so the row to compare with is `alternatives`' "critic that sees what the policy sees", which is
told how much time is gone besides. Success in never-trained scenes against minutes of learning; evaluations do not count.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cells import solved
from trainer.config import Evaluate, Ppo, Rl, Sampler, Zero
from trainer.dataset import read
from trainer.episodes import Scenes, stage_of
from trainer.evaluate import rollout, starts_of
from trainer.policies.flow import FlowPolicy
from trainer.policies.store import load_acting
from trainer.records import Decisions
from trainer.sets import scenes_of
from trainer.windows import Windows
from worldgen.sim.worlds import Observations, ProcessWorlds, Start

_BOUND = 6.0
"""No normalised action is larger than so."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    worlds: Path = Path("generative-worlds")
    """Folder of `benchmarks.generative_worlds`."""
    minutes: float = 25.0
    """That it learns."""
    looks: int = 4
    """Evaluations on the way, the one at the start not counted."""
    imitation: int = 2_000
    """Steps of imitation before, of 256 frames at 1e-3."""
    noise: float = 0.25
    """Standard deviation at first."""
    lr: float = 1e-4
    warm: int = 2
    """Rollouts at the start in which the critic learns alone."""
    slots: int = 48
    """Episodes at once."""
    episodes: int = 500
    """Of each evaluation."""
    workers: int = 1
    threads: int = 1
    seed: int = 0


class Heard:
    """What the frozen sight of a policy says, as one vector.

    Args:
        policy: Whose sight.
    """

    def __init__(self, policy: FlowPolicy) -> None:
        self.policy = policy
        self.size = 3 * policy.sizes.width + 12 + len(policy.interface.state)

    @torch.no_grad()
    def __call__(self, tokens: Tensor, points: Tensor, state: Tensor) -> Tensor:
        """Return (N, size)."""
        summary = self.policy.summary(self.policy.memory(tokens, points, state))
        near = torch.cat([points, points - state[:, None, :3]], dim=1).flatten(1) / 0.1
        return torch.cat([summary, near.clamp(-_BOUND, _BOUND), self.policy.statistics.state(state)], dim=1)

    def of(self, seen: Observations) -> NDArray[np.float32]:
        """Return (N, size) of what is seen."""
        inputs = self.policy.inputs(seen)
        with torch.no_grad():
            return np.asarray(self(*self.policy.look(inputs), inputs.state).numpy(), np.float32)

    def chunks(self, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return normalised actions (N, C * 7) as arms take them, (N, C, 7)."""
        normal = torch.from_numpy(actions.reshape(len(actions), self.policy.chunk, 7))
        return self.policy.statistics.physical(normal).numpy().astype(np.float32)


class Played(VecEnv):
    """The worlds as Stable-Baselines3 takes them.

    Args:
        worlds: Where.
        heard: What is seen there.
        scenes: Which scenes are played.
        config: Of the starts.
    """

    def __init__(self, worlds: ProcessWorlds, heard: Heard, scenes: Scenes, config: Rl) -> None:
        self.worlds, self.heard, self._config = worlds, heard, config
        seen = gymnasium.spaces.Box(-np.inf, np.inf, (heard.size,), np.float32)
        done = gymnasium.spaces.Box(-_BOUND, _BOUND, (heard.policy.chunk * 7,), np.float32)
        super().__init__(worlds.slots, seen, done)
        self._starts = self._all(scenes)
        self.ended, self.solved = 0, 0

    def _all(self, scenes: Scenes) -> Iterator[Start]:
        for iteration in range(10**6):
            yield from scenes.starts(self._config, iteration, self._config.episodes)

    def _begun(self, slots: Sequence[int]) -> NDArray[np.float32]:
        """Begin an episode in each slot and return what is seen; one that cannot be played is replaced."""
        found, waiting = np.zeros((self.num_envs, self.heard.size), np.float32), list(slots)
        while waiting:
            found[waiting] = self.heard.of(self.worlds.reset([next(self._starts) for _ in waiting], waiting))
            waiting = [slot for slot, end in zip(waiting, self.worlds.ends(waiting), strict=True) if end]
        return found[list(slots)]

    def reset(self) -> NDArray[np.float32]:
        """Begin everywhere."""
        return self._begun(range(self.num_envs))

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Take (N, C * 7) normalised actions."""
        self._chunks = self.heard.chunks(actions)

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Execute them."""
        made = self.worlds.step(self._chunks)
        seen, ends = self.heard.of(made.observations), self.worlds.ends()
        done = np.array([bool(end) for end in ends])
        self.ended += int(done.sum()) - ends.count("invalid")
        self.solved += ends.count("success")
        infos: list[dict[str, Any]] = [
            {"terminal_observation": seen[slot].copy()} if end else {} for slot, end in enumerate(done)
        ]
        if done.any():
            over = np.flatnonzero(done)
            seen[over] = self._begun(over.tolist())
        return seen, np.asarray(made.reward, np.float32), done, infos

    def close(self) -> None:
        """The worlds are their owner's."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """There is none but what everybody has."""
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Nothing can be set."""
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """There is none."""
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Nothing is."""
        return [False] * self.num_envs


class Peer:
    """What Stable-Baselines3 learned, as a policy that can be evaluated."""

    def __init__(self, heard: Heard, model: PPO) -> None:
        self.heard, self.model = heard, model
        self.interface, self.chunk = heard.policy.interface, heard.policy.chunk

    def act(self, seen: Observations, rng: torch.Generator | None, sampler: Sampler | None = None) -> Decisions:
        """Return the mean of each decision."""
        actions, _ = self.model.predict(self.heard.of(seen), deterministic=True)
        return Decisions(self.heard.chunks(actions), {}, np.zeros(len(actions), np.float32))


class Watch(BaseCallback):
    """Evaluates now and then, and ends when the time is over.

    Args:
        config: See `Config`.
        peer: Who learns.
        played: Where.
    """

    def __init__(self, config: Config, peer: Peer, played: Played) -> None:
        super().__init__()
        self.config, self.peer, self.played = config, peer, played
        self._asked = Evaluate(episodes=config.episodes, workers=config.workers)
        self._starts = starts_of(scenes_of(config.worlds / "library", "unseen"), self._asked)
        self.spent, self.looked, self.rollouts, self._last = 0.0, 0, 0, time.monotonic()

    def look(self) -> None:
        """Print a row."""
        share = solved(rollout(self.peer, self.config.worlds / "library", self._starts, self._asked, Zero()))  # type: ignore[arg-type]
        training = f"{self.played.solved / self.played.ended:.2f}" if self.played.ended else "-"
        self.played.solved = self.played.ended = 0
        told = f"{share.rate:.1%} | {100 * share.low:.0f} to {100 * share.high:.0f} | {share.trials} | {training}"
        print(f"| {self.spent / 60:.1f} | {self.num_timesteps} | {told} |", flush=True)
        self.looked, self._last = self.looked + 1, time.monotonic()

    def _on_rollout_start(self) -> None:
        self.rollouts += 1
        for name, value in self.model.policy.named_parameters():
            value.requires_grad_(self.rollouts > self.config.warm or "value" in name or "vf" in name)

    def _on_step(self) -> bool:
        now = time.monotonic()
        self.spent, self._last = self.spent + now - self._last, now
        if self.spent >= 60 * self.config.minutes * self.looked / self.config.looks:
            self.look()
        return self.spent < 60 * self.config.minutes


def main(config: Config) -> None:
    """Learn and print the table."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    policy = load_acting(config.worlds / "start-0").eval()
    heard, library = Heard(policy), config.worlds / "library"
    scenes = Scenes([scene.name for scene in scenes_of(library, "train")])
    asked, judged = Rl(seed=config.seed), Ppo()
    with ProcessWorlds(library, stage_of(policy, asked), config.slots, config.workers, trusted=True) as worlds:
        played = Played(worlds, heard, scenes, asked)
        model = PPO(
            "MlpPolicy", played, learning_rate=config.lr, n_steps=25, batch_size=256, n_epochs=4, gamma=judged.discount**policy.chunk,
            gae_lambda=judged.trace,
            policy_kwargs={"net_arch": [256, 256], "log_std_init": float(np.log(config.noise))}, seed=config.seed, device="cpu",
        )  # fmt: skip
        error = _imitated(model.policy, heard, config)
        size = sum(value.numel() for value in model.policy.parameters())
        print(
            f"{size / 1e6:.2f} million parameters that learn; {error:.3f} standard deviations of actions off the demonstrations it learned.\n"
        )
        print(
            "| minutes | decisions | never-trained scenes | 95 % | n | in training, with noise, since the row before |"
        )
        print("|---|---|---|---|---|---|")
        model.learn(10**9, callback=Watch(config, Peer(heard, model), played))


def _imitated(actor: Any, heard: Heard, config: Config) -> float:
    """Let the mean of a Gaussian head imitate the demonstrations; return its error on the frames it learned from."""
    data = read(config.worlds / "data")
    windows = Windows.of(data, heard.policy.chunk)
    rows = np.arange(len(windows.frames))
    batch, _ = windows.batch(heard.policy, rows, data.instructions, torch.Generator())
    with torch.no_grad():
        parts = [batch.inputs.rows(some) for some in torch.arange(len(rows)).split(128)]
        seen = torch.cat([heard(*heard.policy.look(part), part.state) for part in parts])
    wanted = heard.policy.statistics.action(batch.actions).flatten(1)
    kept = batch.valid[..., None].expand(-1, -1, 7).flatten(1).float()
    optimiser = torch.optim.Adam([value for name, value in actor.named_parameters() if "log_std" not in name], 1e-3)
    rng = torch.Generator().manual_seed(config.seed)
    for _ in range(config.imitation):
        some = torch.randint(len(seen), (256,), generator=rng)
        mean = actor.get_distribution(seen[some]).distribution.mean
        loss = (F.mse_loss(mean, wanted[some], reduction="none") * kept[some]).sum() / kept[some].sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(actor.parameters(), 1.0)
        optimiser.step()
    return float(loss.detach().sqrt())


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

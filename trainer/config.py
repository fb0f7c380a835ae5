"""Settings of every command, as frozen dataclasses whose docstrings are the `--help`. Knows no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .limits import Amount, Count, Natural, Positive, Share, Within


@dataclass(frozen=True)
class Ode:
    """Follow the learned velocity from random noise."""

    steps: Count = 4
    """Denoising steps."""


@dataclass(frozen=True)
class Zero:
    """Follow the learned velocity from zero noise, one fixed answer to each observation: how a policy is evaluated."""

    steps: Count = 4
    """Denoising steps."""


@dataclass(frozen=True)
class Sde:
    """Add noise on the way that leaves the distribution as it is when steps are many (Flow-SDE)."""

    steps: Count = 4
    """Denoising steps."""
    level: Positive = 0.5
    """Strength of the noise."""
    every: bool = False
    """Noise at all steps; else at one, drawn at random."""


@dataclass(frozen=True)
class Learned:
    """Add noise at every step whose strength a small network chooses within bounds (Flow-Noise)."""

    steps: Count = 4
    """Denoising steps."""
    low: Positive = 0.08
    """Least standard deviation, of a normalised action."""
    high: Positive = 0.14
    """Greatest standard deviation."""


Sampler = (
    Annotated[Ode, tyro.conf.subcommand("ode")]
    | Annotated[Zero, tyro.conf.subcommand("zero")]
    | Annotated[Sde, tyro.conf.subcommand("sde")]
    | Annotated[Learned, tyro.conf.subcommand("learned")]
)


@dataclass(frozen=True)
class TrunkSettings:
    """Sizes of what sees and reads."""

    channels: Count = 128
    """Of the picture's features; a multiple of 8."""
    blocks: Count = 4
    """Convolutions at the grid's resolution."""
    width: Count = 128
    """Of every token; a multiple of heads."""
    slots: Count = 10
    """Queries that look at each picture; ten are taught what to look at, more are free."""
    layers: Natural = 2
    """Of the transformer over the tokens."""
    text_layers: Natural = 1
    """Of the one over the words."""
    heads: Count = 4
    """Of every attention."""


@dataclass(frozen=True)
class Pretrain:
    """Teach a network to see and read on pictures of generated scenes; the result is what policies start from."""

    out: Path = Path("runs/base")
    """Folder of the run; run again to go on."""
    base: str = ""
    """What to start from: nothing, `shipped`, or the policy folder of an earlier run, such as runs/base/policy. Where --trunk.blocks is more, or
    --trunk.channels a multiple of what that has, a larger eye grows from it; for an eye of other sizes than the default, say which."""
    pictures: Count = 100_000
    """Pictures to draw; they are kept in OUT/pictures."""
    steps: Count = 8_000
    """Optimiser steps."""
    batch: Count = 48
    """Pictures an optimiser step."""
    asked: Count = 4
    """Sentences about each of them, new ones each time."""
    lr: Amount = 1e-3
    """Peak learning rate; it rises over the first 3 % of the steps and falls along a cosine."""
    weight_decay: Amount = 0.01
    """Of AdamW."""
    size: Count = 96
    """Width and height of a picture [px]."""
    cameras: tuple[str, ...] = ("policy",)
    """Camera of the scene that is looked through; where things are is taught in one picture, so one."""
    domain: str = "full"
    """What is drawn anew in each picture."""
    seed: Annotated[int, Within(0, 10**8)] = 0
    """Fixes the first weights, what is drawn, and the order of learning."""
    workers: Count = 2
    """Processes that draw."""
    threads: Count = 2
    """Threads that learn."""
    report: Count = 1_500
    """Pictures of each of the other splits that the figures are measured on."""
    trunk: TrunkSettings = TrunkSettings()
    """Sizes of what sees and reads."""


@dataclass(frozen=True)
class Demos:
    """Let the scripted expert show how each scene is solved; writes a LeRobot v3.0 dataset."""

    out: Path = Path("data")
    """Folder of the dataset; an unfinished one is finished, and where more episodes are wanted than it has, they are added."""
    episodes: Annotated[int, Within(1, 75_000)] = 200
    """Successful demonstrations wanted."""
    split: str = "train"
    """Split of the library."""
    domain: str = "paper"
    """What is drawn anew at each start."""
    size: Count = 96
    """Width and height of a picture [px]."""
    cameras: tuple[str, ...] = ("policy",)
    """Cameras of the scene that a policy looks through, such as policy and robot/wrist. The shipped base looks through the first alone: what
    looks through two learns with `trainer sft --base none`, and is taught where things are in the first picture only."""
    disturb: Annotated[float, Within(0, 0.9)] = 0.12
    """Share of the steps at which the arm is pushed off its way, so that the data holds recoveries; 0 for none."""
    pilot: str = ""
    """Run or policy folder that drives at those steps in place of pushes, so that the data shows how to mend its own mistakes (DAgger; with a
    share of 0.5 it has two fifths of the steps, for every episode begins with the expert). Empty for none."""
    slots: Count = 16
    """Episodes at once."""
    workers: Count = 2
    """Processes."""
    seed: Annotated[int, Within(0, 9)] = 0
    """0 to 9. Fixes each start and what is pushed."""


@dataclass(frozen=True)
class Sft:
    """Supervised fine-tuning: imitate a dataset."""

    out: Path = Path("runs/sft")
    """Folder of the run; run again to go on."""
    base: str = "shipped"
    """What to start from: `shipped` sees and reads already; a policy folder such as RUN/policy; `none` is random weights."""
    policy: Literal["flow", "token"] = "flow"
    """Kind of policy."""
    horizon: Annotated[int, Within(4, 64)] | None = None
    """Actions that are predicted at each look, of which the first four are executed; default 4, or what the policy has that goes on."""
    layers: Annotated[int, Within(1, 64)] | None = None
    """Of the transformer that decides; default 3, or what that policy has."""
    warm: Natural = 3_000
    """Optimiser steps before those: what decides learns alone, from what the base sees in each frame, which is computed once. Many times
    cheaper than with the base in motion; not done from random weights, nor where a policy goes on that has learned to decide."""
    warm_lr: Amount = 1e-3
    """Peak learning rate of these."""
    steps: Natural = 2_000
    """Optimiser steps of the whole."""
    batch: Count = 64
    """Decisions an optimiser step; twice as many while warming up."""
    lr: Amount = 5e-4
    """Peak learning rate of what decides."""
    trunk_lr: Amount = 2e-4
    """Peak learning rate of what sees and reads."""
    weight_decay: Amount = 0.01
    """Of AdamW."""
    ema: Annotated[float, Within(0, 0.9999999)] = 0.999
    """Decay of the running mean of the weights, which is what is saved."""
    sight: Amount = 0.3
    """Weight of the loss of sight, on data of a simulator, which says what is to be seen, and on pictures of a library; 0 for none."""
    library: str = ""
    """Library that the data come from: pictures of its training scenes are drawn, and what else is in them is asked for meanwhile. Demonstrations ask
    for one thing a scene, so that a policy soon goes for what is usually asked for. Empty for none."""
    pictures: Count = 20_000
    """Pictures of it to draw; they are kept in OUT/pictures."""
    shift: Annotated[int, Within(0, 16)] = 4
    """Largest shift of a picture [px]."""
    colour: Annotated[float, Within(0, 0.9)] = 0.2
    """Largest change of brightness, contrast and each colour, as a share."""
    strange: Share = 0.15
    """Share of the names of things that are replaced by words nobody knows, after a colour or the like and where something is put: so the policy
    learns to go by that when a name means nothing."""
    shuffle_instructions: bool = False
    """Control: give each episode the sentence of another one."""
    limit: Count | None = None
    """Only the first so many episodes."""
    seed: Annotated[int, Within(0, 10**8)] = 0
    """Fixes the first weights and the order of learning."""
    workers: Count = 2
    """Processes that draw."""
    threads: Count = 2
    """Threads that learn."""
    trunk: TrunkSettings = TrunkSettings()
    """Sizes of what sees and reads, where there is no base; a base has its own."""


@dataclass(frozen=True)
class Ppo:
    """Proximal policy optimisation: what happened is compared with what a critic expected."""

    reward: Literal["staged", "sparse"] = "staged"
    """What is paid: success alone, or also the way there."""
    discount: Annotated[float, Within(1e-6, 1)] = 0.96
    """What a reward is worth one action later. What comes much later is mostly chance; but with a sparse reward, take 0.9975."""
    trace: Share = 0.7
    """λ of the generalised advantage, of one decision: the less, the more the critic is believed."""
    low: Annotated[float, Within(1e-6, 0.999999)] = 0.2
    """How far a ratio may fall below 1 before it counts no more."""
    high: Positive = 0.2
    """How far it may rise above 1."""
    critic: Literal["privileged", "shared"] = "privileged"
    """What it judges by: what only a simulator knows, or what the policy makes of what it sees and reads."""
    critic_lr: Amount = 1e-3
    """Its learning rate."""
    critic_passes: Count = 15
    """Passes over the decisions of an iteration that it learns in."""
    warm: Natural = 2
    """Iterations at the start in which it learns alone."""


@dataclass(frozen=True)
class Grpo:
    """Group-relative policy optimisation: an episode's success is compared with that of others from the same start."""

    group: Annotated[int, Within(2)] = 8
    """Episodes of each start."""
    low: Annotated[float, Within(1e-6, 0.999999)] = 0.2
    """How far a ratio may fall below 1 before it counts no more."""
    high: Positive = 0.28
    """How far it may rise above 1."""
    spread: bool = True
    """Divide by the spread of a group's successes."""
    tries: Count = 3
    """Where all episodes of a group end alike, other starts are played, up to so many times as many as are wanted."""


Algorithm = (
    Annotated[Ppo, tyro.conf.subcommand("ppo", prefix_name=False)]
    | Annotated[Grpo, tyro.conf.subcommand("grpo", prefix_name=False)]
)


@dataclass(frozen=True)
class Anchored:
    """Demonstrations that are imitated besides."""

    data: str = ""
    """Folder of a LeRobot dataset, or a robomimic file; empty for none."""
    weight: Amount = 0.05
    """β: what imitating them counts."""
    batch: Count = 64
    """Frames an optimiser step."""
    shift: Annotated[int, Within(0, 16)] = 4
    """Largest shift of a picture [px]."""
    colour: Annotated[float, Within(0, 0.9)] = 0.2
    """Largest change of brightness, contrast and each colour, as a share."""
    strange: Share = 0.15
    """Share of the names of things that are replaced by words nobody knows, as in `trainer sft`."""


@dataclass(frozen=True)
class Rl:
    """Reinforcement learning over the scenes of split train of a library."""

    out: Path = Path("runs/rl")
    """Folder of the run; run again to go on."""
    init: Path = Path("runs/sft")
    """Run or policy folder to start from."""
    algorithm: Annotated[Algorithm, tyro.conf.arg(name="")] = Ppo()
    """How what was done is judged."""
    iterations: Count = 100
    """Times of playing and learning."""
    episodes: Count = 128
    """Episodes of an iteration."""
    domain: str = "paper"
    """What is drawn anew at each start."""
    noise: Annotated[float, Within(1e-3, 1)] = 0.2
    """Standard deviation of a flow policy's denoising step while playing, of a normalised action. So little that nothing goes wrong tells nothing."""
    exploration: Literal["fixed", "learned", "sde"] = "fixed"
    """Whether that is the same at all steps (fixed), a small network chooses it from four fifths to seven fifths of it (learned: Flow-Noise), or
    one step drawn at random is noisy, the first as much as that and the others less (sde: Flow-SDE)."""
    steps: Count = 2
    """Denoising steps of a flow policy."""
    lr: Amount = 3e-5
    """Learning rate of what decides; it becomes larger where an iteration goes less than half as far as `kl`, smaller where it has to stop there."""
    batch: Count = 256
    """Most decisions an optimiser step."""
    epochs: Count = 4
    """Passes over the decisions of an iteration."""
    kl: Positive = 0.1
    """Divergence from the policy that played at which an iteration stops learning [nats]; a decision counts at most 1."""
    trunk_lr: Amount = 0.0
    """Learning rate of what sees and reads, which is taught by the simulator where things are, and by what is imitated besides, not by what pays;
    0: it stays as it is."""
    frames: Count = 32
    """Pictures of each optimiser step that it is taught with."""
    anchor: Anchored = Anchored()
    """Demonstrations that are imitated besides, so that they are not forgotten."""
    strange: Share = 0.15
    """Share of the names of things that are said as words nobody knows, as in `trainer sft`: what decides goes on learning what to do then."""
    scenes: Count | None = None
    """Only so many scenes of split train, drawn by the seed."""
    draw: Literal["uniform", "uncertain"] = "uniform"
    """Play all scenes alike, or those oftener that are solved about half of the time."""
    preflight: bool = True
    """Look before learning: success with and without noise, time and memory; noise that breaks the policy is made less."""
    every: Natural = 10
    """Iterations between two evaluations on scenes that nothing is trained on; 0 for none."""
    trials: Count = 100
    """Episodes of each of them."""
    films: Natural = 2
    """Failures, and as many successes, of each of them that are filmed."""
    guard: Share = 0.2
    """Stop when they succeed so much less often than at their best; 0 for never."""
    tensorboard: bool = False
    """Also log for TensorBoard, to OUT/tensorboard."""
    slots: Count = 48
    """Episodes at once."""
    workers: Count = 2
    """Processes."""
    threads: Count = 2
    """Threads that learn."""
    seed: Annotated[int, Within(0, 99)] = 0
    """0 to 99. Fixes starts, noise and order."""

    def facts(self) -> dict[str, Any]:
        """Return what a run hangs on, as JSON can say it: not where it is kept, how long it lasts and who works for it."""
        unsaid = ("out", "threads", "workers", "iterations", "tensorboard", "films", "guard")
        made = {name: value for name, value in asdict(self).items() if name not in unsaid}
        algorithm = {"name": type(self.algorithm).__name__.lower(), **made["algorithm"]}
        return {**made, "init": self.init.name, "algorithm": algorithm}


@dataclass(frozen=True)
class Evaluate:
    """Play a policy from many starts and report its success with intervals."""

    split: str = ""
    """Split of the library, `all`, or `unseen`: all but train, which is the default without a set."""
    set: str = ""
    """Named test set, with a domain of its own: objects, containers, categories, instructions, backgrounds, distractors, of certain splits; and
    textures, light, camera, positions, arm, moved, of split train unless another one is given."""
    episodes: Annotated[int, Within(1, 10**6)] = 200
    """Starts that are played: the scenes in turn, each with another seed."""
    scenes: Count | None = None
    """Only so many scenes, drawn by the seed: with --split train those that `trainer rl` learns in with the same --scenes and --seed."""
    seed: Annotated[int, Within(0, 99)] = 0
    """0 to 99. Fixes which these are, and nothing else."""
    out: Path | None = None
    """Folder of the report; default RUN/eval-SPLIT or RUN/eval-SET, with scenes, domain and purpose where they are not the usual ones. One of
    another library or way of deciding, or of more episodes, stays."""
    domain: str = "paper"
    """What is drawn anew at each start."""
    purpose: Literal["report", "selection"] = "report"
    """Seeds for reports are never to be used to choose between policies: that is what those for selection are for."""
    steps: Count = 4
    """Denoising steps of a flow policy."""
    shuffle_instructions: bool = False
    """Control: give each episode the sentence of another scene."""
    zero: bool = True
    """Start denoising from zero noise: one fixed answer to each observation."""
    films: Natural = 6
    """Failures, and as many successes, that are filmed again."""
    slots: Count = 32
    """Episodes at once."""
    workers: Count = 2
    """Processes."""
    threads: Count = 1
    """Threads that decide."""
    versus: Path | None = None
    """Report of another run on the same starts, to compare with."""

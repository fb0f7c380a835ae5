"""The `trainer` command: each sub-command is a function here, and does nothing but call the library and print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from worldgen.errors import WorldgenError

from .config import Demos, Evaluate, Pretrain, Rl, Sft
from .errors import TrainerError

FLAGS = arg(name="")
"""A setting's flag is its own name, without that of the parameter that holds all of them."""


def pretrain(libraries: Positional[tuple[Path, ...]], config: Annotated[Pretrain, FLAGS] = Pretrain()) -> None:
    """Teach a network to see and read on pictures of generated scenes; policies start from the result, OUT/policy.

    Scenes of split `train` are learned from; all other splits are for the figures that are printed at the end.

    Args:
        libraries: Folders made by `worldgen make`.
        config: Settings.
    """
    from .pretrain import pretrain as run

    for split, found in run(list(libraries), config, _tell).items():
        print(f"{split}: {found.words()}")
    print(f"{config.out / 'policy'}: trained. Next: trainer sft DATA --base {config.out}")


def demos(library: Positional[Path], config: Annotated[Demos, FLAGS] = Demos()) -> None:
    """Let the scripted expert show how each scene is solved, and write a LeRobot v3.0 dataset.

    Args:
        library: Folder made by `worldgen make`.
        config: Settings.
    """
    from .demos import demonstrate

    tried = demonstrate(library, config, _tell)
    done = f"{config.episodes} demonstrations. {tried} starts were tried now" if tried else "has as many already"
    print(f"{config.out}: {done}. Next: trainer sft {config.out}")


def sft(data: Positional[Path], config: Annotated[Sft, FLAGS] = Sft()) -> None:
    """Train a policy to imitate a dataset; the result is OUT/policy.

    Args:
        data: Folder of a LeRobot dataset (v3.0 or v2.1), or a robomimic .hdf5 file.
        config: Settings.
    """
    from .sft import sft as run

    run(data, config, _tell)
    print(f"{config.out / 'policy'}: trained. Next: trainer evaluate {config.out} LIBRARY")


def rl(library: Positional[Path], config: Annotated[Rl, FLAGS] = Rl()) -> None:
    """Make a policy better by reinforcement learning on the scenes of split train; the result is OUT/policy.

    `trainer rl LIBRARY --init runs/sft` uses PPO; settings of the algorithm follow its name: `trainer rl LIBRARY grpo --group 8`.

    Args:
        library: Folder made by `worldgen make`.
        config: Settings.
    """
    from .rl import rl as run

    chosen = run(library, config, _tell)
    print(f"{chosen / 'policy'}: trained. Next: trainer evaluate {chosen} {library}; curves: trainer plot {config.out}")


def plot(runs: Positional[tuple[Path, ...]], out: Path = Path("curves.png")) -> None:
    """Draw the learning curves of runs of `trainer rl` beside each other.

    Args:
        runs: Folders of runs.
        out: Picture to write, .png, .pdf or .svg.
    """
    from .plot import plot as draw

    draw(runs, out)
    print(out)


def evaluate(run: Positional[Path], library: Positional[Path], config: Annotated[Evaluate, FLAGS] = Evaluate()) -> None:
    """Play a policy from many starts; print its success with a 95 % interval and write a page with films.

    Args:
        run: Folder of a run or of a policy.
        library: Folder made by `worldgen make`.
        config: Settings.
    """
    from .evaluate import evaluate as play
    from .evaluate import folder_of
    from .report import text

    report = play(run, library, config, _tell)
    print(text(report))
    print(f"Page: {folder_of(run, config) / 'index.html'}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


COMMANDS: dict[str, Callable[..., None]] = {
    "pretrain": pretrain,
    "demos": demos,
    "sft": sft,
    "rl": rl,
    "evaluate": evaluate,
    "plot": plot,
}


def main() -> None:
    """Run the command line; an error of the user's is one line."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="trainer", description=_ABOUT, config=(tyro.conf.CascadeSubcommandArgs,)
        )
    except (TrainerError, WorldgenError) as error:
        print(f"trainer: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("trainer: stopped. Run the same command again to go on; `evaluate` begins anew.", file=sys.stderr)
        sys.exit(1)


_ABOUT = (
    "A directory of scenes becomes a better vision-language-action policy. In order: demos (the expert shows), sft (imitate), "
    "rl (get better by trying), evaluate (success with intervals). Scenes come from `worldgen make`."
)


if __name__ == "__main__":
    main()

"""Looks after a run while it learns: plays what was learned on scenes that nothing is trained on, keeps the best, and sees when it falls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from . import checkpoint
from .config import Evaluate, Rl
from .errors import RunError
from .evaluate import evaluate
from .metrics import read_log
from .policies.store import save_policy

Tell = Callable[[str], None]


class Published(Protocol):
    """Who learns."""

    policy: Any

    def publish(self, iteration: int) -> dict[str, Any]:
        """Write the policy to `OUT/policy`; return what is to be known of it."""


class Keeper:
    """Chooses among the policies of a run, by their success from seeds that reports never use.

    Args:
        library: Scenes.
        config: Of the run, `OUT/metrics.jsonl` of which tells what was best so far.
        last: Iterations that are done; what is logged of later ones will come again.
        tell: Takes lines.
    """

    def __init__(self, library: Path, config: Rl, last: int, tell: Tell) -> None:
        self._library, self._config, self._tell = library, config, tell
        self.best, self.at = -1.0, 0
        """Highest success so far, and after how many iterations."""
        self.done = False
        """Whether the run had come to its end."""
        log = config.out / "metrics.jsonl"
        for line in read_log(log) if log.exists() else []:
            step = line.get("step")
            if not isinstance(step, int):
                raise RunError(f"'{log}' is damaged: a line has the step {step!r}. Use another --out.")
            if step <= last:
                self._note(line.get("unseen", -1.0), line.get("looked", 0))
            self.done = self.done or ("done" in line and step >= config.iterations)

    @property
    def chosen(self) -> Path:
        """The run to go on with: the best, where something was looked at."""
        best = self._config.out / "best"
        return best if checkpoint.exists(best / "policy") else self._config.out

    def look(self, learner: Published, iteration: int) -> dict[str, float]:
        """Publish the policy and play it, keep it as `OUT/best` where none was better, and return what to log."""
        config = self._config
        facts = learner.publish(iteration)
        if not config.every:
            return {}
        asked = Evaluate(
            out=config.out / "looks" / f"{iteration:05d}", episodes=config.trials, purpose="selection", domain=config.domain,
            steps=config.steps, films=config.films, slots=config.slots, workers=config.workers, threads=config.threads,
        )  # fmt: skip
        share = evaluate(config.out, self._library, asked, lambda _: None).total
        self._tell(
            f"{iteration}: never-trained scenes {share.rate:.1%} ({100 * share.low:.0f} to {100 * share.high:.0f}, n {share.trials})"
        )
        if self._note(share.rate, iteration):
            save_policy(learner.policy, config.out / "best" / "policy", {**facts, "selection": share.model_dump()})
        return {"looked": iteration, "unseen": share.rate, "unseen low": share.low, "unseen high": share.high}

    def fallen(self, figures: dict[str, float]) -> bool:
        """Tell whether success is so far below the best that going on makes no sense, and say what to do."""
        guard = self._config.guard
        if not guard or figures["unseen"] > self.best - guard:
            return False
        self._tell(
            f"Stopped: success on never-trained scenes fell from {self.best:.0%} after {self.at} iterations to {figures['unseen']:.0%}. "
            f"Go on from the best with --init '{self.chosen}' and a smaller --lr, or with --guard 0 here."
        )
        return True

    def _note(self, rate: float, iteration: int) -> bool:
        if rate <= self.best:
            return False
        self.best, self.at = rate, iteration
        return True

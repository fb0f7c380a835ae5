"""The designer's offline backend: a small grammar of requests, and draws by seed for what they leave open."""

from __future__ import annotations

from ...errors import DesignError
from ...wire import Brief, Budget, Draft, DrafterSettings
from .compose import compose
from .grammar import Parse, parse

HINT = "A language model understands free text: --designer openai."
"""How every refusal ends."""

__all__ = ["Parse", "RulesDrafter", "compose", "parse"]


class RulesDrafter:
    """Drafts without a language model, at once and for nothing."""

    name = "rules"
    model = ""

    def __init__(self, settings: DrafterSettings = DrafterSettings()) -> None:
        del settings  # no option changes the rules

    def draft(self, brief: Brief, budget: Budget) -> Draft:
        """Return the draft of the brief's request; the same request, split and seed give the same bytes."""
        del budget
        try:
            return self._draft(brief)
        except DesignError as error:
            raise DesignError(f"{error} {HINT}") from None

    def _draft(self, brief: Brief) -> Draft:
        if brief.problems:
            raise DesignError(
                "The rules cannot repair their own draft: "
                + "; ".join(str(problem) for problem in brief.problems)
                + " Try another seed or other words."
            )
        if brief.request.photo is not None:
            raise DesignError("The rules cannot see a photo.")
        return Draft(compose(brief).model_dump_json())

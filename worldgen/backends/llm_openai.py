"""The designer's backend for any OpenAI-compatible endpoint: one strict JSON reply a call. Owns the one retry policy.

The key comes from OPENAI_API_KEY and stays inside the client: no file, log, error or repr holds it.
"""

from __future__ import annotations

import base64
import io
import logging
import os
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import openai
from PIL import Image

from ..deadline import within
from ..errors import BudgetError, DesignError, EndpointError
from ..wire import Brief, Budget, DeclinedError, Draft, DrafterSettings, Usage, WireScene

RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""HTTP statuses that may pass by themselves. Others, 400, 401 and 403 above all, never do."""
CLOSED = frozenset({401, 402, 403, 404, 405})
"""Statuses that no other request would fare better with."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Bounds of the wait between two tries [s]."""
MAX_PHOTO = 8 * 1024 * 1024
"""Largest photo [bytes]."""
_NO_KEY = "none"
"""What local servers, which ask for no key, are sent."""

log = logging.getLogger(__name__)


class OpenAIDrafter:
    """Drafts with a language model behind `chat/completions`."""

    name = "openai"

    def __init__(
        self,
        settings: DrafterSettings = DrafterSettings(),
        sleep: Callable[[float], None] = time.sleep,
        chance: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self.model = settings.model or os.environ.get("OPENAI_MODEL", "")
        self._sleep, self._chance = sleep, chance or random.Random()
        base_url = settings.base_url or os.environ.get("OPENAI_BASE_URL", "")
        key = os.environ.get("OPENAI_API_KEY", "")
        if not self.model:
            raise DesignError("No model is named. Set OPENAI_MODEL or give one.")
        if not key and not base_url:
            raise DesignError("OPENAI_API_KEY is not set. Set it, or give the base_url of a server that needs none.")
        if settings.attempts < 1:
            raise DesignError(f"attempts is {settings.attempts}; at least 1 is needed.")
        self._client = openai.OpenAI(
            api_key=key or _NO_KEY,
            base_url=base_url or None,
            max_retries=0,  # the policy below is the only one
            timeout=settings.timeout,
        )

    def __repr__(self) -> str:
        return f"OpenAIDrafter(model={self.model!r}, endpoint={self._endpoint()!r})"

    def draft(self, brief: Brief, budget: Budget) -> Draft:
        """Return one reply; broken or truncated JSON is returned as it came, for the repair loop.

        Raises:
            EndpointError: When the endpoint is out of reach, does not let us in, or every try failed.
            DeclinedError: When the model declines.
            DesignError: When the endpoint refuses this request.
            BudgetError: Before a call that a cap does not allow.
        """
        reply = self._completion(self._arguments(brief), budget)
        try:
            return self._draft(reply, budget)
        except (AttributeError, TypeError, IndexError, KeyError):
            raise EndpointError(
                f"{self._where()} sent a reply of another form. Is it an OpenAI-compatible endpoint?"
            ) from None

    def _draft(self, reply: Any, budget: Budget) -> Draft:
        usage = getattr(reply, "usage", None)
        tokens = Usage(getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0)
        budget.charge(tokens)
        if not getattr(reply, "choices", None):
            raise EndpointError(f"{self._where()} sent a reply without choices. Is it an OpenAI-compatible endpoint?")
        choice = reply.choices[0]
        if choice.message.refusal or choice.finish_reason == "content_filter":
            reason = choice.message.refusal or "its content filter stopped the reply"
            said = f"Model '{self.model}' declined: {self._clean(reason)[:300]} Ask for something else."
            raise DeclinedError(said, reply.model or self.model, tokens)
        return Draft(choice.message.content or "", reply.model or self.model, tokens, choice.finish_reason == "length")

    def _arguments(self, brief: Brief) -> dict[str, Any]:
        messages: list[dict[str, Any]] = [{"role": message.role, "content": message.text} for message in brief.messages]
        if brief.request.photo is not None:
            request = next(message for message in messages if message["role"] == "user")
            request["content"] = [
                {"type": "text", "text": request["content"]},
                {"type": "image_url", "image_url": {"url": photo_uri(brief.request.photo)}},
            ]
        scene = {"name": "scene", "strict": True, "schema": WireScene.model_json_schema()}
        arguments: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "response_format": {"type": "json_schema", "json_schema": scene},
        }
        if self.settings.temperature is not None:
            arguments["temperature"] = self.settings.temperature
        return arguments

    def _completion(self, arguments: dict[str, Any], budget: Budget) -> Any:
        """Call the endpoint, again after what may pass by itself; each try counts as a call."""
        problem = ""
        for attempt in range(self.settings.attempts):
            budget.start_call()
            timeout = min(self.settings.timeout, max(0.1, budget.seconds_left()))
            wait = 0.0
            call = partial(self._client.chat.completions.create, **arguments, timeout=timeout)
            try:
                return within(timeout, call, "language-model-call")
            except openai.APIStatusError as error:
                problem = f"HTTP {error.status_code}: {self._clean(error.message)[:300]}"
                if error.status_code not in RETRIED:
                    kind = EndpointError if error.status_code in CLOSED else DesignError
                    raise kind(f"{self._where()} refused the call. {problem}{_hint(error.status_code)}") from None
                wait = _asked_wait(error.response.headers)
            except (openai.APITimeoutError, TimeoutError):
                problem = f"no answer within {timeout:g} s"
            except openai.APIConnectionError as error:
                problem = f"no connection ({self._clean(str(error.__cause__ or error))[:200]})"
            except (openai.OpenAIError, ValueError) as error:  # a reply that is no chat completion
                raise EndpointError(f"{self._where()} cannot be understood: {self._clean(str(error))[:300]}") from None
            if attempt + 1 < self.settings.attempts:
                self._wait(attempt, wait, problem, budget)
        raise EndpointError(f"{self._where()} failed {self.settings.attempts} time(s), last with {problem}. Try later.")

    def _wait(self, attempt: int, asked: float, problem: str, budget: Budget) -> None:
        """Sleep as long as the server asked, else a random share of a doubling bound ("full jitter")."""
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)
        seconds = min(asked, LONGEST_WAIT) if asked > 0 else self._chance.uniform(0.0, longest)
        if seconds >= budget.seconds_left():
            raise BudgetError(
                f"The language-model budget is used up: max_seconds is {budget.max_seconds:g}, and {self._where()} asks "
                f"to wait {seconds:.1f} s more after {problem}. Raise max_seconds."
            )
        log.warning("%s: %s; trying again in %.1f s", self._where(), problem, seconds)
        self._sleep(seconds)

    def _where(self) -> str:
        return f"Model '{self.model}' at {self._endpoint()}"

    def _endpoint(self) -> str:
        """Return the address without a user name and password that it may hold."""
        url = self._client.base_url
        return f"{url.scheme}://{url.host}{f':{url.port}' if url.port else ''}{url.path}"

    def _clean(self, text: str) -> str:
        """Take the key out of what a server says: some repeat it."""
        key = self._client.api_key
        return " ".join(text.split()).replace(key, "[key]") if key != _NO_KEY else " ".join(text.split())


def _hint(status: int) -> str:
    hints = {
        400: " Does the model support JSON schemas?",
        401: " Check OPENAI_API_KEY.",
        403: " Check what OPENAI_API_KEY allows.",
        404: " Check model and base_url.",
    }
    return hints.get(status, "")


def _asked_wait(headers: Any) -> float:
    """Return how long Retry-After asks to wait [s]: seconds or a date; 0 without one."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def photo_uri(path: Path) -> str:
    """Return a photo as a data URI.

    Raises:
        DesignError: When it is larger than `MAX_PHOTO`, or neither PNG nor JPEG.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_PHOTO else b""
    except OSError as error:
        raise DesignError(f"Photo {path} cannot be read: {error.strerror or error}.") from None
    if size > MAX_PHOTO:
        raise DesignError(
            f"Photo {path} has {size / 2**20:.1f} MiB; {MAX_PHOTO / 2**20:.0f} are allowed. Scale it down."
        )
    kinds = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
    kind = next((name for magic, name in kinds.items() if content.startswith(magic)), None)
    if kind is None:
        raise DesignError(f"Photo {path} is neither PNG nor JPEG. Convert it.")
    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DesignError(f"Photo {path} is damaged: {reason}. Give another one.") from None
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

"""Looks at a picture with a vision model behind any OpenAI-compatible endpoint, and says whether it shows what was asked for.

The key comes from OPENAI_API_KEY and stays inside the client.
"""

from __future__ import annotations

import base64
import io
import os
from functools import lru_cache
from typing import Any

import numpy as np
import openai
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from ..errors import MakerError

_TRIES, _SECONDS = 4, 60.0
"""Tries of a call, and the longest wait for one [s]."""
_ASK = (
    "This picture was made for: {text} Does it show exactly one such object, whole, of that kind, colour and material, with nothing else? "
    "Say no where anything is wrong or left out."
)


class Verdict(BaseModel):
    """What a model says of a picture."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(description="what is wrong, or what is right, in one short sentence")
    shows_it: bool


@lru_cache(maxsize=1)
def _client() -> Any:
    key, base_url = os.environ.get("OPENAI_API_KEY", ""), os.environ.get("OPENAI_BASE_URL", "")
    if not key and not base_url:
        raise MakerError(
            "A judge needs OPENAI_API_KEY, or OPENAI_BASE_URL of a server that asks for none. Or leave --image.judge out."
        )
    return openai.OpenAI(api_key=key or "none", base_url=base_url or None, max_retries=_TRIES - 1, timeout=_SECONDS)


def judge(model: str, picture: NDArray[np.uint8], text: str) -> str:
    """Return what is wrong with a picture; nothing where it shows what was asked for.

    Raises:
        MakerError: When the model cannot be asked, or does not answer as it should.
    """
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    image = {"url": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"}
    content = [{"type": "text", "text": _ASK.format(text=text)}, {"type": "image_url", "image_url": image}]
    try:
        reply = _client().chat.completions.parse(
            model=model, messages=[{"role": "user", "content": content}], response_format=Verdict
        )
        found = reply.choices[0].message.parsed
    except (openai.OpenAIError, ValueError, LookupError, AttributeError) as error:
        said = " ".join(str(error).replace(os.environ.get("OPENAI_API_KEY") or "\0", "[key]").split())
        raise MakerError(f"Judge '{model}' cannot be asked: {said[:300]}.") from None
    if found is None:
        raise MakerError(
            f"Judge '{model}' gave no verdict. Choose a model that sees and writes JSON, or leave --image.judge out."
        )
    return "" if found.shows_it else f"judged wrong: {' '.join(found.reason.split())[:200]}"

"""Looks at a picture with a vision model behind any OpenAI-compatible endpoint: does it show what was asked for, how heavy and slippery is that?

The key comes from OPENAI_API_KEY and stays inside the client. The client's library is imported on use: most pictures are not judged.
"""

from __future__ import annotations

import base64
import io
import os
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from .. import vocabulary
from ..errors import MakerError
from ..shapes import Shape
from ..spec import ObjectSpec

_TRIES, _SECONDS = 4, 60.0
"""Tries of a call, and the longest wait for one [s]."""
_ASK = (
    "This picture was made for: {text} Does it show exactly one such object, whole, of that kind, colour and material, with nothing else? "
    "Say no where anything is wrong or left out."
)
_GUESS = (
    "The picture shows a {what}. Things of that kind have: {ranges}. Narrow each of these ranges as far as the picture allows, and no further: "
    "low and high in the same units. Where the picture does not tell, repeat the range."
)
_UNITS = {
    "density": "a density of material [kg/m3] of",
    "friction": "sliding friction of",
}


class Verdict(BaseModel):
    """What a model says of a picture."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(description="what is wrong, or what is right, in one short sentence")
    shows_it: bool


class Interval(BaseModel):
    """An estimate."""

    model_config = ConfigDict(extra="forbid")

    low: float
    high: float


class Guess(BaseModel):
    """What a model takes an object for."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(description="what the object seems to be made of and for, in one short sentence")
    density: Interval = Field(description="density of its material [kg/m3]")
    friction: Interval = Field(description="sliding friction coefficient against a table")


Answer = TypeVar("Answer", bound=BaseModel)


def require_endpoint(option: str) -> tuple[str, str]:
    """Return the key and the address of the endpoint, either of them empty where the other will do.

    Args:
        option: Who asks for it.

    Raises:
        MakerError: When neither is set.
    """
    key, base_url = os.environ.get("OPENAI_API_KEY", ""), os.environ.get("OPENAI_BASE_URL", "")
    if not key and not base_url:
        raise MakerError(
            f"{option} needs OPENAI_API_KEY, or OPENAI_BASE_URL of a server that asks for none. Set one, or leave {option} out."
        )
    return key, base_url


@lru_cache(maxsize=2)
def _client(key: str, base_url: str) -> Any:
    import openai

    return openai.OpenAI(api_key=key or "none", base_url=base_url or None, max_retries=_TRIES - 1, timeout=_SECONDS)


def judge(model: str, picture: NDArray[np.uint8], text: str) -> str:
    """Return what is wrong with a picture; nothing where it shows what was asked for.

    Args:
        model: Name of a vision model.
        picture: (H, W, 3) sRGB.
        text: What it was made for.

    Raises:
        MakerError: When the model cannot be asked, or does not answer as it should.
    """
    found = _asked(model, picture, _ASK.format(text=text), Verdict, "--image.judge")
    return "" if found.shows_it else f"judged wrong: {' '.join(found.reason.split())[:200]}"


def look(model: str, shape: Shape, item: ObjectSpec, picture: NDArray[np.uint8]) -> Shape:
    """Return a shape whose ranges of density and friction are narrowed to what a model takes it for; what the model puts outside them stays.

    Args:
        model: Name of a vision model.
        shape: What was made.
        item: What it is to be.
        picture: (H, W, 3) sRGB, what it was made of.

    Raises:
        MakerError: As `judge`.
    """
    x, y, z = np.ptp(shape.points, axis=0).tolist()
    what = f"{item.colour} {item.material} {item.category.replace('_', ' ')}"
    priors = vocabulary.priors(item.category, item.material, (x, y, z))
    told = {name: getattr(priors, name) for name in _UNITS}
    ranges = "; ".join(f"{_UNITS[name]} {known.low:g} to {known.high:g}" for name, known in told.items())
    found = _asked(model, picture, _GUESS.format(what=what, ranges=ranges), Guess, "--eyes")
    said = {name: (getattr(found, name).low, getattr(found, name).high) for name in _UNITS}
    return replace(shape, priors=priors.narrowed(said, model))


def _asked(model: str, picture: NDArray[np.uint8], text: str, form: type[Answer], option: str) -> Answer:
    """Return a model's answer about a picture, in a form."""
    import openai

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    image = {"url": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"}
    content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": image}]
    try:
        reply = _client(*require_endpoint(option)).chat.completions.parse(
            model=model, messages=[{"role": "user", "content": content}], response_format=form
        )
        found: Answer | None = reply.choices[0].message.parsed
    except (openai.OpenAIError, ValueError, LookupError, AttributeError) as error:
        said = " ".join(str(error).replace(os.environ.get("OPENAI_API_KEY") or "\0", "[key]").split())
        raise MakerError(f"Vision model '{model}' cannot be asked: {said[:300]}.") from None
    if found is None:
        raise MakerError(
            f"Vision model '{model}' gave no answer. Choose one that sees and writes JSON, or leave {option} out."
        )
    return found

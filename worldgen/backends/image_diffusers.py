"""Pictures of objects from a text-to-image model of the `diffusers` library: many candidates, of which only those that pass are used.

Knows pipelines and prompts, no meshes. Heavy libraries are imported on use.
"""

from __future__ import annotations

import inspect
import string
from functools import lru_cache
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import data, vocabulary
from ..errors import AssetError, MakerError
from ..making import FEW_STEPS, Images
from ..photos import Cutout, cut, problems
from ..shapes import Provenance
from ..spec import ObjectSpec
from . import judge_openai

Picture = NDArray[np.uint8]
LARGEST = 0.85
"""Share of the frame that an object in a picture takes at most."""
View = Literal["corner", "front", "above"]
VIEWS: dict[View, str] = {
    "corner": "seen from slightly above in three-quarter view",
    "front": "seen straight from the front, level with its middle",
    "above": "lying flat, seen straight from above",
}
"""From where a picture shows a thing, in words."""
BACKGROUNDS = {"light grey": (211, 211, 211), "sky blue": (135, 206, 235), "beige": (222, 206, 180)}
"""Backgrounds that are asked for: the one least like the object's own colour."""


def settings(images: Images) -> dict[str, Any]:
    """Return what all pictures hang on, as JSON can say it."""
    asked = {name: getattr(images, name) for name in ("revision", "side", "steps", "candidates", "tries", "judge")}
    return {"model": images.name, **asked, "prompt": _template(), "terms": images.terms()}


def inputs(images: Images, item: ObjectSpec, view: View) -> dict[str, Any]:
    """Return what a picture hangs on, as JSON can say it."""
    return {**settings(images), "prompt": prompt(item, view), "seed": item.variant}


def _template() -> str:
    return data.path("prompts", "object_image.txt").read_text(encoding="utf-8")


def prompt(item: ObjectSpec, view: View) -> str:
    """Return what is asked for, seen as who makes it solid wants it."""
    words = (
        item.pattern if item.pattern != "plain" else "",
        item.colour if item.colour != "natural" else "",
        item.material,
    )
    named = " ".join([*filter(None, words), item.category.replace("_", " ")])
    what = f"{named}, {item.description}" if item.description and item.description != named else named
    return string.Template(_template()).substitute(object=what, view=VIEWS[view], background=_background(item)).strip()


def _background(item: ObjectSpec) -> str:
    own = np.array(vocabulary.colours().get(item.colour, (128, 128, 128)))
    return max(BACKGROUNDS, key=lambda name: float(np.linalg.norm(own - BACKGROUNDS[name])))


def draw(settings: Images, item: ObjectSpec, view: View) -> tuple[Cutout, Provenance]:
    """Return the first picture of an object that passes: one whole thing, sharp, of a fitting size; then, where there is a judge, the right thing.

    Raises:
        AssetError: When none of them passes; says what was wrong with each.
        MakerError: When the model cannot be loaded or run, or the judge not be asked.
    """
    found = _tried(settings, prompt(item, view), item.variant)
    if isinstance(found, str):
        raise AssetError(found)
    return found


@lru_cache(maxsize=16)
def _tried(settings: Images, text: str, seed: int) -> tuple[Cutout, Provenance] | str:
    """Return the first picture that passes, or what was wrong with all: several makers may ask for the same one."""
    found = list[str]()
    for attempt in range(settings.tries):
        first = (seed * settings.tries + attempt) * settings.candidates
        for number, picture in enumerate(_drawn(settings, text, first)):
            cutout = cut(picture)
            wrong = problems(cutout, LARGEST)
            if not wrong and settings.judge and (said := judge_openai.judge(settings.judge, picture, text)):
                wrong = [said]
            if not wrong:
                licence, may_train = settings.terms()
                return cutout, Provenance(
                    backend="diffusers", model=settings.name, revision=settings.revision, prompt=text, seed=first + number,
                    licence=licence, may_train=may_train,
                )  # fmt: skip
            found.append(f"{attempt * settings.candidates + number}: {', '.join(wrong)}")
    return f"none of {len(found)} pictures of '{text}' will do ({'; '.join(found[:8])}). Try another model or words."


def _drawn(settings: Images, text: str, first: int) -> list[Picture]:
    """Return the candidates of one try; `first` is the seed of the first of them."""
    pipe = pipeline(settings.model, settings.revision, settings.device)
    torch = import_module("torch")
    known = FEW_STEPS.get(settings.name)
    asked: dict[str, Any] = {"height": settings.side, "width": settings.side, "output_type": "pil"}
    if settings.steps or known:
        asked["num_inference_steps"] = settings.steps or (known[0] if known else 0)
    if known:
        asked["guidance_scale"] = known[1]
    taken = inspect.signature(pipe.__call__).parameters
    pictures = []
    for number in range(settings.candidates):  # one at a time: memory, and each has a seed of its own
        rng = torch.Generator("cpu").manual_seed(first + number)
        try:
            made = pipe(prompt=text, generator=rng, **{name: value for name, value in asked.items() if name in taken})
        except (RuntimeError, ValueError) as error:
            raise MakerError(
                f"'{settings.model}' cannot draw: {str(error).splitlines()[0]} Try a smaller --image.side or --image.device cpu."
            ) from error
        pictures.append(np.asarray(made.images[0].convert("RGB"), np.uint8))
    return pictures


@lru_cache(maxsize=2)  # one that draws, one that makes solid
def pipeline(model: str, revision: str, device: str, kind: str = "DiffusionPipeline") -> Any:
    """Return a pipeline of `diffusers`, loaded once a process, on the best device that there is.

    Raises:
        MakerError: When the library is not installed, or the model cannot be found or loaded.
    """
    try:
        torch, diffusers = import_module("torch"), import_module("diffusers")
    except ImportError as error:
        raise MakerError(
            f"Models need more than is installed ({error}): pip install 'worldgen-trainer[gen]'."
        ) from error
    device = device or best_device(torch)
    half = torch.float32 if device == "cpu" else torch.bfloat16
    try:
        loaded = getattr(diffusers, kind).from_pretrained(model, revision=revision or None, dtype=half)
        loaded.set_progress_bar_config(disable=True)
        return loaded.to(device)
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, ImportError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise MakerError(
            f"Model '{model}' cannot be loaded on {device}: {reason}. Give an id of the hub or a folder of `save_pretrained`."
        ) from error


def best_device(torch: Any) -> str:
    """Return the fastest device that there is."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"

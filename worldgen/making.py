"""Settings of the models and servers that make objects, and what their licences allow. Knows no libraries: they are imported on use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dialect = Literal["auto", "generate", "send", "job"]

FEW_STEPS: dict[str, tuple[int, float, str]] = {
    "FLUX.2-klein-4B": (4, 1.0, "Apache-2.0"),
    "Z-Image-Turbo": (9, 0.0, "Apache-2.0"),
    "FLUX.1-schnell": (4, 0.0, "Apache-2.0"),
}
"""Last part of a model's id → denoising steps, guidance, licence. Those distilled to few steps come out wrong with a pipeline's defaults."""


_SHAP_E = "openai/shap-e-img2img"


@dataclass(frozen=True)
class Images:
    """A text-to-image model, and how long it may try."""

    model: str = ""
    """Id on the Hugging Face hub or local folder, e.g. black-forest-labs/FLUX.2-klein-4B. Empty for none: there are photos."""
    revision: str = ""
    """Of the model; empty for the newest."""
    device: str = ""
    """cuda, mps or cpu; empty takes the first that there is."""
    side: int = 512
    """Width and height of a picture [px]."""
    steps: int = 0
    """Denoising steps; 0 for the model's own."""
    candidates: int = 4
    """Pictures that are drawn at once; the first that passes is used."""
    tries: int = 3
    """Times that so many are drawn before an object is given up."""
    judge: str = ""
    """Vision model at OPENAI_BASE_URL that looks whether a picture shows the right thing; empty for none."""
    licence: str = ""
    """Of the model; empty for what is known of it."""
    may_train: bool | None = None
    """Whether that licence lets other models be trained on what it makes; None for what is known."""

    @property
    def name(self) -> str:
        """The last part of its id or folder."""
        return self.model.rstrip("/").rpartition("/")[2]

    def terms(self) -> tuple[str, bool]:
        """Return the licence and whether other models may be trained on it: unknown terms allow nothing."""
        known = FEW_STEPS.get(self.name)
        return _terms(self.licence, self.may_train, (known[2], True) if known else ("unknown", False))


@dataclass(frozen=True)
class ShapE:
    """The model, and how long it works."""

    model: str = _SHAP_E
    """Id on the Hugging Face hub or local folder."""
    revision: str = ""
    """Of the model; empty for the newest."""
    device: str = ""
    """cuda, mps or cpu; empty takes the first that there is."""
    steps: int = 64
    """Denoising steps."""
    grid: int = 128
    """Cells along each side of the grid that the surface is read off."""
    licence: str = ""
    """Of the model; empty for what is known of it."""
    may_train: bool | None = None
    """Whether that licence lets other models be trained on what it makes; None for what is known."""

    def terms(self) -> tuple[str, bool]:
        """Return the licence and whether other models may be trained on it: unknown terms allow nothing."""
        return _terms(self.licence, self.may_train, ("MIT", True) if self.model == _SHAP_E else ("unknown", False))


@dataclass(frozen=True)
class Server:
    """Where a model runs, and what may be done with what it makes."""

    url: str = ""
    """Such as http://127.0.0.1:8080."""
    model: str = ""
    """Name of the model that runs there, for the record; another one gives other objects."""
    dialect: Dialect = "auto"
    """How it is spoken to: generate or send (Hunyuan3D), job (TRELLIS); auto asks it."""
    seconds: float = 600.0
    """Longest wait for one object, all tries together [s]."""
    faces: int = 40_000
    """Asked for; servers may pay no heed."""
    texture: bool = True
    """Whether it is to be painted."""
    licence: str = ""
    """Of the model; empty for what is known of the servers that speak so."""
    may_train: bool | None = None
    """Whether that licence lets other models be trained on what it makes; None for what is known."""

    def terms(self) -> tuple[str, bool]:
        """Return the licence and whether other models may be trained on it: unknown terms allow nothing."""
        known = _HUNYUAN if self.dialect in ("generate", "send") else ("unknown", False)
        return _terms(self.licence, self.may_train, known)


_HUNYUAN = ("tencent-hunyuan-community", False)


def _terms(licence: str, may_train: bool | None, known: tuple[str, bool]) -> tuple[str, bool]:
    """Return what a user says of a licence; what is known where nothing is said."""
    return known if not licence and may_train is None else (licence or known[0], bool(may_train))

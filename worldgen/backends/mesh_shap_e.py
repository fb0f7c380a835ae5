"""Meshes from pictures with Shap-E (Jun & Nichol 2023), in this process, through `diffusers`. Knows pictures and arrays."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import AssetError, MakerError
from ..making import ShapE
from ..photos import Cutout
from .image_diffusers import pipeline

_GUIDANCE = 3.0
_NOTHING = "Shap-E made no surface of the picture. Try another picture or seed."


def mesh_of(
    settings: ShapE, cutout: Cutout, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8]]:
    """Return vertices (V, 3), z upwards, faces (F, 3) and colours (V, 3) of the object in a picture.

    Raises:
        AssetError: When there is no surface in what the model made.
        MakerError: When the model cannot be loaded or run.
    """
    pipe = pipeline(settings.model, settings.revision, settings.device, "ShapEImg2ImgPipeline")
    torch = import_module("torch")
    try:
        latents = pipe(
            _square(cutout), generator=torch.Generator("cpu").manual_seed(seed), num_inference_steps=settings.steps,
            guidance_scale=_GUIDANCE, output_type="latent",
        ).images  # fmt: skip
        pipe.shap_e_renderer.float()  # in half precision its grid would be coarser than its cells
        with torch.no_grad():
            made = pipe.shap_e_renderer.decode_to_mesh(latents[0][None].float(), pipe.device, grid_size=settings.grid)
    except (RuntimeError, ValueError) as error:
        if "non-empty list" in str(error):  # of the pieces of the surface
            raise AssetError(_NOTHING) from None
        raise MakerError(
            f"'{settings.model}' cannot make a mesh: {str(error).splitlines()[0]}. Try --shap-e.device cpu."
        ) from error
    vertices, faces = (_array(part) for part in (made.verts, made.faces))
    if not len(faces) or not np.isfinite(vertices).all():
        raise AssetError(_NOTHING)
    colours = np.stack([_array(made.vertex_channels[name]) for name in "RGB"], axis=1)
    return vertices.astype(np.float64), faces.astype(np.int64), _encoded(colours)


def _encoded(light: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return linear light as sRGB (IEC 61966-2-1)."""
    light = np.clip(light, 0, 1)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    return np.rint(255 * shown).astype(np.uint8)


def _array(part: Any) -> NDArray[Any]:
    found: NDArray[Any] = part.detach().cpu().float().numpy()
    return found


def _square(cutout: Cutout) -> Image.Image:
    """Return the object on white, in the middle of a square that it fills four fifths of, as the model was trained."""
    crop = cutout.cropped()
    side = round(1.25 * max(crop.mask.shape))
    picture = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - crop.mask.shape[0]) // 2, (side - crop.mask.shape[1]) // 2
    box = picture[top : top + crop.mask.shape[0], left : left + crop.mask.shape[1]]
    box[crop.mask] = crop.picture[crop.mask]
    return Image.fromarray(picture).resize((256, 256))

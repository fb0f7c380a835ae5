"""What people look at: stills, turntables, contact sheets, the gallery page, the dataset card. Knows finished scenes only."""

from __future__ import annotations

import mujoco
import numpy as np

from .assets import png
from .camera import Camera, Image
from .library import Index, Scene, SceneLibrary

PREVIEW = (480, 360)
"""Width and height of a preview [px]."""


def still(scene: Scene, camera: str = "policy", width: int = 224, height: int = 224, *, shadows: bool = True, model: mujoco.MjModel | None = None) -> Image:
    """Return a picture of a scene at rest, (height, width, 3)."""
    model = model or scene.model()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)
    with Camera(model) as lens:
        return lens.picture(data, camera, width, height, shadows=shadows)


def preview(scene: Scene, model: mujoco.MjModel) -> bytes:
    """Return the PNG that stands beside a scene: the preview camera, with the policy camera's view in its corner."""
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)
    with Camera(model) as lens:
        picture = lens.picture(data, "preview", *PREVIEW, shadows=True)
        inset = lens.picture(data, "policy", 112, 112)
    picture[-116:, -116:] = 255
    picture[-114:-2, -114:-2] = inset
    return png(np.ascontiguousarray(picture))


def dataset_card(found: SceneLibrary, index: Index) -> str:
    """Return the library's README."""
    return f"# Scene library\n\n{index.counts}\n"

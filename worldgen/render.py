"""What people look at: stills, turntables, contact sheets, the dataset card. Knows finished scenes only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import imageio_ffmpeg
import mujoco
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from . import card
from .camera import Camera, Image, require_size
from .errors import RenderError
from .files import png, refusal_to_overwrite
from .library import Index, Scene, SceneLibrary

PREVIEW = (480, 360)
"""Width and height of a preview [px]."""
INSET = 112
"""Side of the policy camera's view inside a preview [px]."""
FRAMES, RATE = 48, 16
"""Pictures of a turntable, and how many are shown a second [1/s]."""

Turntable = Literal["none", "gif", "mp4"]


def still(
    scene: Scene,
    camera: str = "policy",
    width: int = 224,
    height: int = 224,
    *,
    shadows: bool = True,
    model: mujoco.MjModel | None = None,
) -> Image:
    """Return a picture of a scene at rest, (height, width, 3).

    Raises:
        RenderError: When the size is not allowed, the scene has no such camera, or this machine cannot draw.
    """
    require_size(width, height)
    model = model or scene.model()
    data = at_home(model)
    _camera_id(model, camera)
    with Camera(model) as lens:
        return lens.picture(data, camera, width, height, shadows=shadows)


def preview(scene: Scene, model: mujoco.MjModel) -> bytes:
    """Return the PNG that stands beside a scene: the preview camera, with the policy camera's view in its corner."""
    data = at_home(model)
    with Camera(model) as lens:
        picture = lens.picture(data, "preview", *PREVIEW, shadows=True)
        inset = lens.picture(data, "policy", INSET, INSET)
    picture[-INSET - 4 :, -INSET - 4 :] = 255
    picture[-INSET - 2 : -2, -INSET - 2 : -2] = inset
    return png(picture)


def at_home(model: mujoco.MjModel) -> mujoco.MjData:
    """Return a scene's state at rest: its `home` keyframe, or where its bodies are written when it has none."""
    data = mujoco.MjData(model)
    home = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_KEY, "home")
    if home >= 0:
        mujoco.mj_resetDataKeyframe(model, data, home)
    mujoco.mj_forward(model, data)
    return data


def write(
    scene: Scene,
    out: Path = Path(),
    camera: str = "policy",
    size: tuple[int, int] = (224, 224),
    turntable: Turntable = "none",
    shadows: bool = True,
) -> list[Path]:
    """Draw a scene into files and return their paths.

    Args:
        scene: What to draw.
        out: A folder, made where it is missing, or a file: .png for the still, .gif or .mp4 for a turntable alone.
        camera: Name of a camera of the scene; a turntable circles at its height and distance.
        size: Width and height [px]; video needs even ones and gets the next larger.
        turntable: Also go once around the table.
        shadows: Whether light is blocked.

    Raises:
        RenderError: When the size is not allowed, the machine cannot draw, or `out` cannot be written.
    """
    require_size(*size)
    picture, circle = _targets(scene, out, camera, turntable)
    for target in (picture, circle):
        if target and (refusal := refusal_to_overwrite(target)):
            raise RenderError(refusal)
    written = []
    model = scene.model()
    if picture:
        content = png(still(scene, camera, *size, shadows=shadows, model=model))
        with _Written(picture) as temporary:
            temporary.write_bytes(content)
        written.append(picture)
    if circle:
        video = circle.suffix.lower() == ".mp4"
        even = (size[0] + size[0] % 2, size[1] + size[1] % 2) if video else size
        write_film(circle, even, turn(model, camera, even, shadows=shadows))
        written.append(circle)
    return written


def write_film(path: Path, size: tuple[int, int], pictures: Iterable[Image], rate: float = RATE) -> None:
    """Write pictures, (height, width, 3) each, as a .gif or .mp4.

    Args:
        path: File to write; its ending says which.
        size: Width and height [px]; both even for .mp4.
        pictures: One at a time: memory does not grow with their number.
        rate: Pictures a second [1/s].

    Raises:
        RenderError: When the file cannot be written or belongs to a library.
    """
    if refusal := refusal_to_overwrite(path):
        raise RenderError(refusal)
    if path.suffix.lower() not in (".gif", ".mp4"):
        raise RenderError(f"'{path}' has an unknown ending. Use a file ending in .gif or .mp4.")
    with _Written(path) as temporary:
        if path.suffix.lower() == ".gif":
            _write_gif(temporary, pictures, rate)
        else:
            _write_mp4(temporary, size, pictures, rate)


def _targets(scene: Scene, out: Path, camera: str, turntable: str) -> tuple[Path | None, Path | None]:
    """Return the files to write: of the still and of the turntable."""
    kind = out.suffix.lower()
    if out.is_dir() or not kind:
        circle = None if turntable == "none" else out / f"{scene.name}-turntable.{turntable}"
        return out / f"{scene.name}-{camera}.png", circle
    if kind == ".png":
        return out, None if turntable == "none" else out.with_suffix(f".{turntable}")
    if kind not in (".gif", ".mp4"):
        raise RenderError(f"'{out}' has an unknown ending. Use a folder, or a file ending in .png, .gif or .mp4.")
    if turntable not in ("none", kind[1:]):
        raise RenderError(f"'{out}' is no .{turntable} file. Give one ending to both, or a folder.")
    return None, out


class _Written:
    """A temporary file that takes the place of `target` when all went well; what the disk refuses is a RenderError."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")

    def __enter__(self) -> Path:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.temporary.touch()  # found out before minutes of drawing, not after
        except OSError as error:
            raise self._refusal(error) from error
        return self.temporary

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if error is None:
                self.temporary.replace(self.target)
        except OSError as failure:
            raise self._refusal(failure) from failure
        finally:
            self.temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> RenderError:
        reason = error.strerror or str(error)
        return RenderError(f"'{self.target}' cannot be written ({reason}). Choose another place with --out.")


def _camera_id(model: mujoco.MjModel, camera: str) -> int:
    found = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
    if found < 0:
        names = ", ".join(model.camera(index).name for index in range(model.ncam))
        raise RenderError(f"The scene has no camera '{camera}'. It has: {names or 'none'}.")
    return int(found)


def turn(
    model: mujoco.MjModel, camera: str, size: tuple[int, int], *, frames: int = FRAMES, shadows: bool = True
) -> Iterator[Image]:
    """Yield pictures once around the table, one at a time: memory does not grow with their number.

    The circle starts at the named camera and keeps its height, distance and field of view.
    """
    data = at_home(model)
    named = _camera_id(model, camera)
    position, forward = data.cam_xpos[named], -data.cam_xmat[named].reshape(3, 3)[:, 2]
    # circle about the point of the line of sight that is nearest to the vertical axis through the workspace
    level = max(float(forward[:2] @ forward[:2]), 1e-9)
    distance = float((model.stat.center[:2] - position[:2]) @ forward[:2]) / level
    free = mujoco.MjvCamera()
    free.type = mujoco.mjtCamera.mjCAMERA_FREE
    free.lookat[:] = position + distance * forward
    free.distance = distance
    free.elevation = np.degrees(np.arcsin(np.clip(forward[2], -1, 1)))
    start = np.degrees(np.arctan2(forward[1], forward[0]))
    model.vis.global_.fovy = model.cam_fovy[named]
    with Camera(model) as lens:
        for index in range(frames):
            free.azimuth = start + 360 * index / frames
            yield lens.picture(data, free, *size, shadows=shadows)


def _write_gif(path: Path, pictures: Iterable[Image], rate: float) -> None:
    """Write an endless GIF. One palette for all pictures, from the first: colours that change by themselves would flicker."""
    frames = (Pillow.fromarray(picture) for picture in pictures)
    first = next(frames)
    palette = first.quantize(256, method=Pillow.Quantize.MEDIANCUT)
    rest = (frame.quantize(palette=palette, dither=Pillow.Dither.NONE) for frame in frames)
    start = first.quantize(palette=palette, dither=Pillow.Dither.NONE)
    start.save(path, "GIF", save_all=True, append_images=rest, duration=round(1000 / rate), loop=0, optimize=False)


def _write_mp4(path: Path, size: tuple[int, int], pictures: Iterable[Image], rate: float) -> None:
    """Write H.264 that every browser plays; no library versions inside, so that the same pictures give the same bytes."""
    plain = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart", "-crf", "18"]
    try:
        video = imageio_ffmpeg.write_frames(
            str(path),
            size,
            fps=rate,
            codec="libx264",
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            quality=None,
            ffmpeg_log_level="error",
            output_params=plain,
        )
        video.send(None)
        sent = 0
        try:
            for picture in pictures:
                video.send(np.ascontiguousarray(picture))
                sent += 1
        finally:
            video.close()
        # ffmpeg ends quietly when the disk is full
        if path.stat().st_size == 0 or imageio_ffmpeg.count_frames_and_secs(str(path))[0] != sent:
            raise RuntimeError("the file is not whole; is the disk full?")
    except RuntimeError as error:
        raise RenderError(
            f"No video can be written: {error}. Use a GIF, or install ffmpeg and name it in IMAGEIO_FFMPEG_EXE."
        ) from error


_LINE, _GAP = 22, 8
_INK, _PAPER = (28, 30, 34), (250, 250, 248)


def contact_sheet(pictures: Sequence[Image], labels: Sequence[str], columns: int = 4) -> Image:
    """Return pictures side by side with captions, to look at many scenes at once.

    Raises:
        RenderError: When there is no picture, or not one label for each.
    """
    if not pictures or len(pictures) != len(labels) or columns < 1:
        raise RenderError(
            f"A contact sheet needs a label for each picture and a column: got {len(pictures)} pictures, {len(labels)} labels, "
            f"{columns} columns."
        )
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    step_x, step_y = width + _GAP, height + _LINE + _GAP
    sheet = Pillow.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        x, y = _GAP + index % columns * step_x, _GAP + index // columns * step_y
        middle = (x + (width - picture.shape[1]) // 2, y + (height - picture.shape[0]) // 2)
        sheet.paste(Pillow.fromarray(np.ascontiguousarray(picture)), middle)
        pen.text((x + 2, y + height + 3), _fitting(label, width - 4, font), _INK, font)
    return np.array(sheet)


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return as much of a caption as its picture is wide [px]."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def dataset_card(found: SceneLibrary, index: Index) -> str:
    """Return the library's README."""
    return card.text(found, index)

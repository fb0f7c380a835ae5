"""A scene for use elsewhere: a zip that plain MuJoCo opens. `urdf` writes its objects for other simulators."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from . import safety, store, urdf
from .errors import SceneError
from .files import refusal_to_overwrite
from .library import Scene

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can state: the same files give the same bytes."""
_STORED = {".png", ".jpg", ".webp"}


def write(scene: Scene, to: Literal["zip", "urdf"] = "zip", out: Path | None = None) -> Path:
    """Write a scene in another form and return the path.

    Args:
        scene: What to write.
        to: zip: MJCF with the files it needs, in the places they have in the library. urdf: one folder an object.
        out: Zip file or URDF folder; default beside you, named like the scene. In an existing folder, a zip gets that name too.

    Raises:
        SceneError: When the scene is unsafe or a file of it is missing.
        StoreError: When `out` cannot be written.
    """
    safety.require_safe(scene.xml, scene.root)
    if to == "urdf":
        return urdf.write(scene, out or Path(f"{scene.name}-urdf"))
    place = Path(f"{scene.name}.zip") if out is None else out / f"{scene.name}.zip" if out.is_dir() else out
    if refusal := refusal_to_overwrite(place):
        raise SceneError(refusal)
    content = _zipped(scene)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SceneError(f"'{place.parent}' cannot be made ({error.strerror}). Choose another --out.") from error
    store.write_file(place, content)
    return place


def _zipped(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _add(archive, "README.txt", _readme(scene).encode())
        for name in sorted(set(_files(scene))):
            _add(archive, name, safety.read(scene.root / name, scene.root))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system, entry.external_attr = 3, 0o100644 << 16
    entry.compress_type = zipfile.ZIP_STORED if Path(name).suffix in _STORED else zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def _files(scene: Scene) -> Iterator[str]:
    """Yield all files that belong to a scene, relative to the library: its own, its assets', its arm's, and any that its MJCF names."""
    record = scene.record
    keys = {*record.assets.values(), *record.textures.values()}
    folders = [f"assets/{urdf.own_name(key)}" for key in keys]
    for folder in (f"scenes/{scene.folder.name}", f"robots/{urdf.own_name(record.spec.robot)}", *folders):
        for path in (scene.root / folder).rglob("*"):
            if (path.is_file() or path.is_symlink()) and not path.name.startswith("."):  # a link is refused when read
                yield path.relative_to(scene.root).as_posix()
    root = scene.root.resolve()
    for _, _, path in safety.named_files(ElementTree.parse(scene.xml).getroot()):
        yield (scene.folder / path).resolve().relative_to(root).as_posix()


def _readme(scene: Scene) -> str:
    xml = f"scenes/{scene.folder.name}/scene.xml"
    return f"""{scene.record.spec.task.instruction}

Open it with MuJoCo:   python -m mujoco.viewer --mjcf={xml}
The keyframe "home" holds the arm's pose and everything at rest; scene.json beside it says what counts as done.
"""

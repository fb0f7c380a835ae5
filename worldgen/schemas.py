"""JSON Schemas of every record on disk, made from the classes that read them. Knows only which class is which file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from . import data, store
from .assets import Asset
from .library import Index, Rejected, SceneRecord
from .robots import RobotRecipe
from .sim.domains import Domain
from .spec import SceneSpec
from .wire import WireScene

RECORDS: dict[str, type[BaseModel]] = {
    "asset.json": Asset,
    "domain.json": Domain,
    "library.json": Index,
    "rejected.json": Rejected,
    "robot.json": RobotRecipe,
    "scene_record.json": SceneRecord,
    "scene_spec.json": SceneSpec,
    "wire_scene.json": WireScene,
}
"""File in `schemas/` → what it describes; `scene_record.json` is a scene's scene.json, `wire_scene.json` what a language model
fills in."""
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def texts() -> dict[str, str]:
    """Return the text of every schema by file name."""
    return {name: _text(model.model_json_schema()) for name, model in sorted(RECORDS.items())}


def _text(schema: dict[str, Any]) -> str:
    return json.dumps({"$schema": _DIALECT, **schema}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write() -> list[Path]:
    """Write all schemas into `schemas/` and return their paths.

    Raises:
        StoreError: When the folder cannot be written, as where worldgen is installed for all users.
    """
    written = []
    for name, text in texts().items():
        path = data.path("schemas", name)
        store.write_file(path, text)
        written.append(path)
    return written

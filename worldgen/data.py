"""Where the shipped data folders (`assets/`, `prompts/`, `schemas/`) and the user's own folders are. Knows no formats."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent


@cache
def root() -> Path:
    """Return the folder that holds `assets/`, `prompts/` and `schemas/`.

    An installed wheel carries them inside the package; a checkout or an editable install has them beside it.
    """
    installed = _PACKAGE / "_data"
    return installed if installed.is_dir() else _PACKAGE.parent


def path(*parts: str) -> Path:
    """Return a shipped file or folder: `path("assets", "robots", "panda")`. It need not exist."""
    return root().joinpath(*parts)


@cache
def read_json(*parts: str) -> Any:
    """Read a shipped JSON file once: `read_json("assets", "vocabulary", "colours.json")`. Treat the value as read-only."""
    return json.loads(path(*parts).read_text(encoding="utf-8"))


def user_folder() -> Path:
    """Return the folder for what a user adds (robots); `WORLDGEN_HOME` overrides `~/.local/share/worldgen`."""
    return Path(os.environ.get("WORLDGEN_HOME") or Path.home() / ".local" / "share" / "worldgen")


def cache_folder() -> Path:
    """Return the default folder of the content-addressed store; `WORLDGEN_STORE` overrides `~/.cache/worldgen`."""
    return Path(os.environ.get("WORLDGEN_STORE") or Path.home() / ".cache" / "worldgen")

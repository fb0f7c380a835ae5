"""The data folders are found from a checkout, an editable install and a wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from worldgen import data

CHECKOUT = Path(__file__).resolve().parent.parent
PROBE = """
import json, sys
import worldgen
from worldgen import data, robots, vocabulary
names = ["assets/vocabulary/categories.json", "assets/robots/widowx/robot.json", "prompts/designer.txt", "schemas"]
print(json.dumps({
    "package": worldgen.__file__, "root": str(data.root()), "robots": robots.names(), "categories": len(vocabulary.categories()),
    "missing": [name for name in names if not data.path(*name.split("/")).exists()],
    "files": sorted(p.relative_to(data.root()).as_posix() for f in ("assets", "prompts", "schemas") for p in data.path(f).rglob("*") if p.is_file()),
}))
"""


def probe(folder: Path, cwd: Path) -> dict[str, object]:
    """Return what a fresh interpreter finds with a folder first on its path, from another working folder."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=cwd, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True
    )  # fmt: skip
    return json.loads(done.stdout)


def test_from_the_checkout_in_any_folder(tmp_path: Path) -> None:
    found = probe(CHECKOUT, tmp_path)
    assert found["root"] == str(CHECKOUT)
    assert found["missing"] == []
    assert {"panda", "widowx"} <= set(found["robots"])  # type: ignore[call-overload]


def test_from_a_wheel(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        str(tmp_path),
        str(CHECKOUT),
    ]
    subprocess.run([*command, "--no-index", "--disable-pip-version-check"], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 30_000_000
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        inside = archive.namelist()
    assert not [name for name in inside if name.startswith(("tests/", "benchmarks/")) or "__pycache__" in name]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    found, here = probe(tmp_path / "site", elsewhere), probe(CHECKOUT, elsewhere)
    assert found["package"] == str(tmp_path / "site" / "worldgen" / "__init__.py")
    assert found["root"] == str(tmp_path / "site" / "worldgen" / "_data")
    assert found["missing"] == []
    for key in ("robots", "categories", "files"):
        assert found[key] == here[key]


def test_the_user_s_folders_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLDGEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORLDGEN_STORE", str(tmp_path / "store"))
    assert data.user_folder() == tmp_path / "home"
    assert data.cache_folder() == tmp_path / "store"
    for name in ("WORLDGEN_HOME", "WORLDGEN_STORE"):
        monkeypatch.setenv(name, "")  # set but empty is as good as not set
    assert data.user_folder() == Path.home() / ".local" / "share" / "worldgen"
    assert data.cache_folder() == Path.home() / ".cache" / "worldgen"


def test_shipped_json_is_read_once() -> None:
    assert data.read_json("assets", "vocabulary", "colours.json") is data.read_json(
        "assets", "vocabulary", "colours.json"
    )

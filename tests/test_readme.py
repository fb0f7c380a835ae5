"""The README tells the truth: its commands exist, its options exist, its code runs, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import trimesh

from worldgen import importing
from worldgen.library import SceneLibrary

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = sorted(
    {
        " ".join(line.split("#")[0].split())
        for _, block in BLOCKS
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith(("worldgen ", "trainer ", "make "))
    }
    | set(re.findall(r"`((?:worldgen|trainer) [^`]+)`", README))
)


@cache
def help_of(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"{words[0]}.cli", *words[1:], "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_names_commands() -> None:
    assert len(COMMANDS) > 12


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("make ")])
def test_a_command_has_what_is_said_of_it(command: str) -> None:
    words = command.split()
    path = words[:3] if words[1] in ("robots", "assets") else words[:2]
    shown = help_of(*path)
    for option in re.findall(r"--[a-z][a-z.-]+", command):
        assert option in shown, f"{' '.join(path)} has no {option}"


@pytest.mark.parametrize("target", [line.split()[1] for line in COMMANDS if line.startswith("make ")])
def test_a_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_code_runs(
    library: SceneLibrary, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [block for language, block in BLOCKS if language == "python"]
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    trimesh.creation.box((0.1, 0.06, 0.08)).export("mug.stl")
    importing.import_mesh(tmp_path / "mug.stl", "mug", (0.1,), tmp_path / "my-mug")
    name, known = library.index().scenes[0], dict[str, Any]()
    for block in blocks:  # each goes on from those before it
        exec(block.replace('"library"', repr(str(library.root))).replace('"0007"', repr(name)), known)
    said, goals, *seen, played, many = capsys.readouterr().out.splitlines()
    assert library.scene(name).record.spec.task.instruction in said
    assert goals.startswith("False [0.")
    assert "(64, 64, 3)" in seen[0]
    assert played == "success 1.0"
    assert many.startswith("(8, 64, 64, 3)")
    assert known["model"].body("mug").mass[0] == pytest.approx(0.1 * 0.06 * 0.08 * 950, rel=1e-3)

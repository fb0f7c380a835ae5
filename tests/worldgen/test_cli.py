"""The command line: what it says, how it ends. One line for a user's mistake, never a trace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from worldgen import cli
from worldgen.library import SceneLibrary

COMMANDS = [[name] for name in cli.COMMANDS] + [[group, name] for group, inner in cli.GROUPS.items() for name in inner]
REQUEST = "put the red mug on the plate"


class Ended:
    """How a command ended."""

    def __init__(self, code: object, out: str, err: str) -> None:
        self.code = 1 if isinstance(code, str) else (code or 0)
        self.out, self.err = out, err + (code if isinstance(code, str) else "")


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs the command line in this process."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["worldgen", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as stopped:
            code = stopped.code
        output = capsys.readouterr()
        return Ended(code, output.out, output.err)

    return run


def refused(ended: Ended, *words: str) -> None:
    """Raise AssertionError unless a command ended with one line on stderr that has these words."""
    assert ended.code == 1
    assert ended.out == ""
    lines = ended.err.strip().splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("worldgen: ")
    for word in words:
        assert word in lines[0], lines[0]


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, runpy; sys.argv = ['worldgen', '--help']\n"
        "try: runpy.run_module('worldgen.cli', run_name='__main__')\n"
        "except SystemExit as stopped: code = stopped.code\n"
        "heavy = {'torch', 'mujoco', 'trimesh', 'coacd', 'openai', 'scipy', 'shapely'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else code)"
    )
    before = os.times()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 2, "of a processor, however many share it"
    for name in cli.COMMANDS:
        assert re.search(rf"\b{name}\b", done.stdout)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_each_option(run: Run, command: list[str]) -> None:
    ended = run(*command, "--help")
    assert ended.code == 0
    text = re.sub(r"[│╭╮╰╯─]", " ", ended.out)
    assert "Traceback" not in text
    options = re.findall(r"^ +(--[a-z][a-z0-9.-]*)(.*)$", text, re.MULTILINE)
    blocks = re.split(r"^ +(?=--[a-z])", text, flags=re.MULTILINE)[1:]
    assert options or command in (["robots"], ["assets"], ["schema"], ["view"], ["robots", "list"]), ended.out
    for block in blocks:
        words = re.sub(
            r"\(default: [^)]*\)|\(required\)|\{[^}]*\}|--[\w.,-]+|\b[A-Z|\[\]_]{2,}\b|\b[A-Z]\b", " ", block
        )
        assert re.search(r"[A-Za-z]{4,}", words), block


def test_no_command_shows_the_help(run: Run) -> None:
    ended = run()
    assert ended.code == 0
    assert "make" in ended.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--robot", "widow"], ["widow", "widowx", "panda"]),
        (["--designer", "rule"], ["Unknown designer backend 'rule'", "rules", "openai", "recorded"]),
        (["--designer", "no_module:Class"], ["no_module:Class"]),
        (["--assets", "procedure"], ["Unknown asset backend 'procedure'", "procedural"]),
        (["--assets", "no_module:make"], ["no_module"]),
        (["--count", "0"], ["count 0 is outside [1, 100000]"]),
        (["--count", "-3"], ["count -3 is outside"]),
        (["--count", "1000000000"], ["count 1000000000 is outside"]),
        (["--workers", "0"], ["workers 0 is outside [1, 256]"]),
        (["--splits", "1", "1", "0", "0", "0"], ["5 shares that sum to 1"]),
        (["--tasks", "absent.txt"], ["either a request in quotes or a file"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)  # fmt: skip
def test_wrong_options_of_make(run: Run, tmp_path: Path, options: list[str], words: list[str]) -> None:
    more = [] if "--workers" in options else ["--workers", "1"]
    ended = run("make", REQUEST, "--out", tmp_path / "library", *options, *more)
    refused(ended, *words)
    if (tmp_path / "library").exists():
        assert SceneLibrary.open(tmp_path / "library").index().scenes == ()


@pytest.mark.parametrize("request_", ["", "   ", "\n"])
def test_an_empty_request(run: Run, tmp_path: Path, request_: str) -> None:
    refused(run("make", request_, "--out", tmp_path / "library"), "Give either a request in quotes or a file")
    refused(run("design", request_), "The request is empty")
    assert list(tmp_path.iterdir()) == []


NOT_UTF8 = pytest.param("\udcff mug", id="not UTF-8")


@pytest.mark.parametrize("request_", ["put the unicornlike on the plate", "asdf qwer", "🤖", "x" * 5000, NOT_UTF8])
def test_a_request_that_nobody_understands(run: Run, tmp_path: Path, request_: str) -> None:
    refused(run("make", request_, "--out", tmp_path / "library", "--count", "1", "--workers", "1"))


def test_an_unknown_category_lists_what_is_near(run: Run) -> None:
    refused(run("design", "put the red muggg on the plate"), "mug")


class TestPlaces:
    def test_out_is_a_file(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        refused(run("make", REQUEST, "--out", tmp_path / "file"), "is a file. Give a folder")
        refused(run("make", REQUEST, "--out", tmp_path / "file" / "library"), "cannot be written (Not a directory)")

    def test_out_is_a_folder_of_something_else(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").touch()
        refused(run("make", REQUEST, "--out", tmp_path), "is not empty and holds no library")

    def test_store_is_a_file(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        command = ["make", REQUEST, "--out", tmp_path / "library", "--store", tmp_path / "file", "--workers", "1"]
        refused(run(*command), "could not be written: Not a directory")

    def test_tasks(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty.txt").write_text("# nothing\n\n")
        (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
        for name, words in (("absent", "cannot be read"), ("empty", "holds no sentence"), ("binary", "cannot be read")):
            refused(run("make", "--tasks", tmp_path / f"{name}.txt", "--out", tmp_path / "library"), words)

    @pytest.mark.parametrize("command", ["check", "list", "gallery"])
    def test_no_library(self, run: Run, tmp_path: Path, command: str) -> None:
        refused(run(command, tmp_path / "absent"), "is not a library")
        (tmp_path / "file").touch()
        refused(run(command, tmp_path / "file"), "is a file")

    @pytest.mark.parametrize("command", ["render", "export", "view"])
    def test_no_scene(self, run: Run, tmp_path: Path, command: str) -> None:
        refused(run(command, tmp_path / "absent"), "is not a scene folder")


class TestOutput:
    def test_design_prints_one_json_a_line(self, run: Run) -> None:
        ended = run("design", REQUEST, "--count", "3")
        assert ended.code == 0
        specs = [json.loads(line) for line in ended.out.splitlines()]
        assert len(specs) == 3
        assert run("design", REQUEST, "--count", "3").out == ended.out

    def test_list(self, run: Run, library: SceneLibrary) -> None:
        ended = run("list", library.root)
        assert ended.code == 0
        assert all(name in ended.out for name in library.index().scenes)
        refused(run("list", library.root, "--split", "test"), "Unknown split 'test'", "train, unseen-objects")

    def test_check_of_a_damaged_scene(self, run: Run, library_copy: SceneLibrary) -> None:
        scene = next(library_copy.scenes())
        assert run("check", scene.folder, "--workers", "1").code == 0
        (scene.folder / "preview.png").unlink()
        ended = run("check", scene.folder, "--workers", "1")
        assert ended.code == 1
        assert "preview.png is missing" in ended.out

    def test_make_again_says_that_all_is_there(self, run: Run, library: SceneLibrary, shared: Path) -> None:
        settings = library.index().settings
        tasks = shared / "tasks.txt"
        tasks.write_text("\n".join(settings["requests"]))
        count = len(library.index().scenes)
        command = ["make", "--tasks", tasks, "--out", library.root, "--count", settings["count"], "--workers", "1"]
        ended = run(*command, "--splits", *settings["splits"], "--store", shared / "store")
        assert ended.code == 0
        assert f"{count} of {count} scenes" in ended.out
        assert "(0 tried now)" in ended.out

    def test_robots(self, run: Run) -> None:
        ended = run("robots", "list")
        assert ended.code == 0
        assert "widowx" in ended.out
        assert "panda" in ended.out

    def test_a_closed_pipe_is_no_trace(self) -> None:
        command = f"{sys.executable} -m worldgen.cli design '{REQUEST}' --count 30 | head -c 10"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr


def test_no_command_writes_over_a_library_or_a_device(run: Run, library_copy: SceneLibrary) -> None:
    root, scene = library_copy.root, library_copy.root / "scenes" / library_copy.index().scenes[0]
    before = (root / "library.json").read_bytes()
    refused(run("gallery", root, "--out", root / "library.json"))
    refused(run("export", scene, "--out", root / "library.json"))
    refused(run("render", scene, "--out", scene / "preview.png"))
    assert (root / "library.json").read_bytes() == before


def test_a_file_of_somebody_else_in_a_scene_folder_is_left_alone(run: Run, library_copy: SceneLibrary) -> None:
    scene = library_copy.root / "scenes" / library_copy.index().scenes[0]
    (scene / "notes.txt").write_text("mine")
    assert run("check", scene, "--workers", "1").code == 0
    (scene / "scene.xml").write_text("<mujoco/>")
    library_copy.discard(scene.name)
    assert (library_copy.root / "aside" / scene.name / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", [":", "..x:y", "os:system"])
def test_what_is_no_backend(run: Run, tmp_path: Path, name: str) -> None:
    refused(run("make", "lift the red mug", "--designer", name, "--out", tmp_path / "a", "--workers", "1"))
    refused(
        run("make", "lift the red mug", "--assets", name, "--count", "1", "--out", tmp_path / "b", "--workers", "1")
    )

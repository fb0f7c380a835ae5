"""The command line: every setting is explained, a user's mistake is one line."""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainer import cli, config
from trainer.policies.flow import FlowPolicy
from trainer.policies.store import save_policy

from .policies.handmade import FACE, SMALL, words

SETTINGS = {
    "pretrain": config.Pretrain, "demos": config.Demos, "sft": config.Sft, "rl": config.Rl, "evaluate": config.Evaluate,
    "rl - ppo": config.Ppo, "rl - grpo": config.Grpo,
}  # fmt: skip
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs the command line in this process and returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trainer", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "100")
        capsys.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as stopped:
            code = stopped.code
        output = capsys.readouterr()
        return int(str(code or 0)), output.out, output.err

    return run


def refused(ended: tuple[int, str, str], *told: str) -> None:
    """Raise AssertionError unless a command ended with one line on stderr that has these words."""
    code, out, err = ended
    assert (code, out) == (1, "")
    assert len(err.strip().splitlines()) == 1, err
    assert err.startswith("trainer: ")
    for word in told:
        assert word in err


def explanations(kind: type) -> dict[str, str]:
    """Return the text below each field of a class of settings; empty for none."""
    tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__]
    found = {}
    for index, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            after = body[index + 1] if index + 1 < len(body) else None
            text = after.value if isinstance(after, ast.Expr) else None
            found[node.target.id] = str(text.value) if isinstance(text, ast.Constant) else ""
    return found


def plain(text: str) -> str:
    """Return a help page without boxes, colours and line ends."""
    return " ".join(re.sub(r"\x1b\[[\d;]*m|[│╭╮╰╯─]", " ", text).split())


def test_all_commands_have_settings() -> None:
    assert {name.split()[0] for name in SETTINGS} | {"plot"} == cli.COMMANDS.keys()


def test_help_names_all_commands(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name in cli.COMMANDS:
        assert name in out


@pytest.mark.parametrize("name", SETTINGS)
def test_help_explains_every_setting(run: Run, name: str) -> None:
    code, out, err = run(*name.split(), "--help")
    assert (code, err) == (0, "")
    page = plain(out)
    texts = explanations(SETTINGS[name])
    assert texts.keys() == {field.name for field in dataclasses.fields(SETTINGS[name])}
    for field, text in texts.items():
        assert f"--{field.replace('_', '-')}" in page or field in ("trunk", "algorithm")  # these are groups of flags
        assert text, f"{name}: {field} is not explained"
        assert " ".join(text.split()) in page, f"{name}: {field}"


def test_help_imports_no_torch() -> None:
    code = (
        "import sys\nsys.argv = ['trainer', 'sft', '--help']\nfrom trainer import cli\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


class TestMistakes:
    @pytest.mark.parametrize("name", ["demos", "pretrain"])
    def test_unknown_library(self, run: Run, tmp_path: Path, name: str) -> None:
        refused(run(name, tmp_path / "nowhere", "--out", tmp_path / "out"), "nowhere")
        assert not (tmp_path / "out").exists()

    def test_unknown_dataset(self, run: Run, tmp_path: Path) -> None:
        refused(run("sft", tmp_path / "nowhere", "--out", tmp_path / "out"), "nowhere", "not a dataset")

    def test_unknown_run(self, run: Run, tmp_path: Path) -> None:
        refused(run("evaluate", tmp_path / "nowhere", tmp_path / "library"), "nowhere", "no policy folder")

    def test_unknown_library_of_an_evaluation(self, run: Run, tmp_path: Path) -> None:
        torch.manual_seed(0)
        save_policy(FlowPolicy(FACE, SMALL, words()), tmp_path / "run/policy", {})
        refused(run("evaluate", tmp_path / "run", tmp_path / "nowhere"), "nowhere")

    @pytest.mark.parametrize(
        "arguments", [["fly"], ["sft"], ["sft", "data", "--steps", "many"], ["demos", "x", "--no"]]
    )
    def test_what_cannot_be_understood(self, run: Run, arguments: list[str]) -> None:
        code, out, err = run(*arguments)
        assert code == 2
        assert out == ""
        assert "Traceback" not in err

    def test_an_interrupt_says_how_to_go_on(self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("trainer.demos.demonstrate", stop)
        refused(run("demos", tmp_path), "stopped", "again")

    def test_a_bug_shows_its_trace(self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr("trainer.demos.demonstrate", fail)
        with pytest.raises(ZeroDivisionError):
            run("demos", tmp_path)

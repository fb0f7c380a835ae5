"""Whose a folder is: nothing of somebody else's is touched, and two processes do not meet."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from trainer import folders
from trainer.errors import RunError


def test_a_folder_is_one_run_s(tmp_path: Path) -> None:
    settings = {"lr": 0.1, "steps": 5, "data": Path("d")}

    def claim(found: dict[str, Any]) -> None:
        with folders.claim(tmp_path / "run", found):
            pass

    claim({"lr": 0.3})
    claim(settings)  # nothing was done with the others
    (tmp_path / "run" / "metrics.jsonl").touch()
    claim(settings)
    with pytest.raises(RunError, match=r"lr 0.2 instead of 0.1. Use another --out"):
        claim({**settings, "lr": 0.2})
    (tmp_path / "run/run.json").write_text("[")
    with pytest.raises(RunError, match="cannot be read"):
        claim(settings)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine/policy").mkdir(parents=True)
    with (
        pytest.raises(RunError, match=r"holds something else than a run, such as 'policy'.*--out"),
        folders.claim(tmp_path / "mine", {}),
    ):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot be a folder.*--out"), folders.claim(tmp_path / "file", {}):
        pass
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"policy"}


def test_two_processes_do_not_work_in_one_folder(tmp_path: Path) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from trainer.folders import claim
        with claim(Path({str(tmp_path / "run")!r}), {{}}):
            print("here", flush=True)
            time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with (
            pytest.raises(RunError, match=r"Another process is at work in '.*run'"),
            folders.claim(tmp_path / "run", {}),
        ):
            pass
        other.kill()
    with folders.claim(tmp_path / "run", {}):
        pass

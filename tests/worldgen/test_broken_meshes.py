"""Broken mesh files through `worldgen assets import`: each becomes a valid asset or is refused in one clear line, in time and in memory.

A selection of every family always runs; `pytest -m slow tests/worldgen/test_broken_meshes.py` runs the others.
"""

from pathlib import Path

import pytest

from tests.worldgen.broken_meshes import Importer, corpus, verdict


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if case.fast else pytest.mark.slow) for name, case in corpus().items()]
)
def test_a_broken_mesh_is_mended_or_refused(name: str, tmp_path: Path) -> None:
    case = corpus()[name]
    assert verdict(case, Importer().run(case, tmp_path / "case")) == []


def test_the_corpus_is_broad_and_says_what_it_expects() -> None:
    cases = corpus().values()
    assert len(cases) >= 400
    assert all(case.why for case in cases if case.expect == "either")
    assert {case.family for case in cases if case.fast} == {case.family for case in cases}

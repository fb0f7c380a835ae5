"""The files in schemas/ are what the records say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worldgen import data, schemas
from worldgen.errors import StoreError


@pytest.mark.parametrize("name", sorted(schemas.RECORDS))
def test_schema_on_disk_is_current(name: str) -> None:
    path = data.path("schemas", name)
    assert path.is_file(), "run `worldgen schema --write`"
    assert path.read_text(encoding="utf-8") == schemas.texts()[name], "run `worldgen schema --write`"


@pytest.mark.parametrize("name", sorted(schemas.RECORDS))
def test_schema_is_closed_and_sorted(name: str) -> None:
    text = schemas.texts()[name]
    schema = json.loads(text)
    assert text.endswith("}\n")
    assert list(schema) == sorted(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    references = [word for word in text.split('"') if word.startswith("#/$defs/")]
    assert {reference.rpartition("/")[2] for reference in references} <= set(schema.get("$defs", {}))


def test_write_makes_the_same_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "schemas").mkdir()
    monkeypatch.setattr(data, "root", lambda: tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in schemas.write()} == schemas.texts()


def test_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "root", lambda: tmp_path / "missing")
    with pytest.raises(StoreError, match="missing"):
        schemas.write()

"""The store: keys that never change, entries that are whole or absent, whatever is killed or full or damaged."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldgen import store
from worldgen.errors import StoreError
from worldgen.store import Store

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def fill(folder: Path, text: str = "hello") -> None:
    (folder / "deep").mkdir()
    (folder / "a.txt").write_text(text)
    (folder / "deep" / "b.bin").write_bytes(bytes(range(256)))


def leftovers(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*.tmp")]


class TestKeys:
    def test_golden(self) -> None:
        value = {"size": [0.08, 0.1, 1], "name": "mug", "größe": None, "deep": {"b": True, "a": 1e-9}}
        assert store.key(value) == "5da61f63e861251c1016d276"

    @given(st.dictionaries(st.text(), JSON, max_size=6), st.randoms())
    def test_order_of_fields_does_not_matter(self, value: dict[str, Any], rng: random.Random) -> None:
        items = list(value.items())
        rng.shuffle(items)
        assert store.canonical_json(dict(items)) == store.canonical_json(value)
        assert store.key(dict(items)) == store.key(value)

    @given(JSON)
    def test_canonical_json_says_the_same_and_is_stable(self, value: Any) -> None:
        text = store.canonical_json(value)
        assert json.loads(text) == value
        assert store.canonical_json(json.loads(text)) == text

    @given(JSON, JSON)
    def test_different_values_have_different_keys(self, a: Any, b: Any) -> None:
        assert (store.key(a) == store.key(b)) == (store.canonical_json(a) == store.canonical_json(b))

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
    def test_what_is_not_finite_has_no_key(self, value: Any) -> None:
        with pytest.raises(ValueError, match="JSON compliant"):
            store.key(value)

    def test_the_code_digest_follows_the_code(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(tmp_path))
        digests = []
        for name, text in (("digest_one", "x = 1"), ("digest_two", "x = 2")):
            (tmp_path / f"{name}.py").write_text(text)
            digests.append(store.code_digest(__import__(name)))
        assert len(set(digests)) == 2


class TestEntries:
    def test_put_builds_once_and_get_finds_it(self, tmp_path: Path) -> None:
        entries, built = Store(tmp_path / "s"), []

        def build(place: Path) -> None:
            fill(place)
            built.append(place)

        assert entries.get("k") is None
        for _ in range(3):
            folder = entries.put("k", build)
        assert len(built) == 1
        assert entries.get("k") == folder
        assert (folder / "deep" / "b.bin").read_bytes() == bytes(range(256))
        assert not leftovers(tmp_path)

    @pytest.mark.parametrize(
        ("name", "harm"),
        [
            ("changed byte", lambda f: (f / "deep" / "b.bin").write_bytes(b"\1" + bytes(range(1, 256)))),
            ("truncated", lambda f: (f / "a.txt").write_bytes(b"")),
            ("missing", lambda f: (f / "a.txt").unlink()),
            ("surplus", lambda f: (f / "deep" / "c").touch()),
            ("no manifest", lambda f: (f / store.MANIFEST).unlink()),
            ("torn manifest", lambda f: (f / store.MANIFEST).write_text('{"a.txt": "12')),
            ("manifest of another kind", lambda f: (f / store.MANIFEST).write_text("[]")),
            ("manifest is binary", lambda f: (f / store.MANIFEST).write_bytes(b"\xff\xfe\0")),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_damage_is_seen_and_mended(self, tmp_path: Path, name: str, harm: Any) -> None:
        entries = Store(tmp_path)
        folder = entries.put("k", fill)
        harm(folder)
        assert store.damage(folder), name
        assert entries.get("k") is None
        assert entries.put("k", fill) == folder
        assert store.damage(folder) == []
        assert (folder / "a.txt").read_text() == "hello"
        assert not leftovers(tmp_path)

    @pytest.mark.parametrize("kind", ["file", "folder", "same bytes", "manifest", "entry", "nowhere", "pipe"])
    def test_a_link_is_damage_and_is_not_followed(self, tmp_path: Path, kind: str) -> None:
        entries, outside = Store(tmp_path / "s"), tmp_path / "outside"
        folder = entries.put("k", fill)
        shutil.copytree(folder, outside)
        if kind == "entry":
            shutil.rmtree(folder)
            folder.symlink_to(outside)
        elif kind == "pipe":
            os.mkfifo(folder / "pipe")
        else:
            name = {"same bytes": "a.txt", "manifest": store.MANIFEST}.get(kind, "new")
            (folder / name).unlink(missing_ok=True)
            target = {"folder": "deep", "nowhere": "absent", "manifest": store.MANIFEST}.get(kind, "a.txt")
            (folder / name).symlink_to(outside / target)
        assert ("no file" if kind == "pipe" else "is a symbolic link") in store.damage(folder)[0]
        assert entries.get("k") is None
        assert entries.copy_to("k", Store(tmp_path / "there")) is None
        with pytest.raises(StoreError, match="cannot be kept"):
            store.copy_files(folder, tmp_path / "copy")
        with pytest.raises(StoreError, match="cannot be kept"):
            store.write_manifest(folder)
        assert not store.damage(entries.put("k", fill))
        assert not store.damage(outside)
        assert not leftovers(tmp_path)

    def test_a_link_to_nowhere_in_place_of_an_entry_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "k").symlink_to(tmp_path / "absent")
        assert not store.damage(Store(tmp_path).put("k", fill))

    def test_a_failed_build_leaves_nothing_and_its_error_passes(self, tmp_path: Path) -> None:
        def fail(folder: Path) -> None:
            fill(folder)
            raise KeyError("why")

        with pytest.raises(KeyError, match="why"):
            Store(tmp_path).put("k", fail)
        assert list(tmp_path.iterdir()) == []

    def test_what_the_network_says_is_no_fault_of_the_disk(self, tmp_path: Path) -> None:
        def fail(folder: Path) -> None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

        with pytest.raises(ConnectionRefusedError):
            Store(tmp_path).put("k", fail)

    def test_copies_are_whole_and_damaged_sources_are_not_copied(self, tmp_path: Path) -> None:
        here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
        here.put("k", fill)
        copy = here.copy_to("k", there)
        assert copy is not None
        assert store.damage(copy) == []
        (here.folder("k") / "a.txt").write_text("evil")
        assert here.copy_to("k", there) == copy  # whole already
        (copy / "a.txt").unlink()
        assert here.copy_to("k", there) is None  # neither is whole
        assert there.get("k") is None

    def test_put_keeps_what_another_process_published_meanwhile(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between "not there" and "is something in the way?" another process may finish: its entry must stay in place."""
        entries, other = Store(tmp_path), Store(tmp_path)
        real, seen = store.damage, []

        def late(folder: Path) -> list[str]:
            if not seen:
                seen.append(folder)
                found = real(folder)
                if folder.exists():
                    shutil.rmtree(folder)
                other.put("k", fill)
                seen.append((folder / "a.txt").stat().st_ino)
                return found
            return real(folder)

        entries.put("k", fill)
        (entries.folder("k") / "a.txt").unlink()
        monkeypatch.setattr(store, "damage", late)
        entries.put("k", lambda folder: fill(folder, "second"))
        assert (entries.folder("k") / "a.txt").stat().st_ino == seen[1]
        assert not leftovers(tmp_path)


class TestDisk:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    @pytest.mark.parametrize("step", ["build", "fsync", "rename"])
    def test_a_full_disk_is_named_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        if step == "fsync":
            monkeypatch.setattr(os, "fsync", full)
        if step == "rename":
            monkeypatch.setattr(Path, "rename", full)
        with pytest.raises(StoreError, match=r"disk is full: '.*/k' was not written.*run the same command again"):
            Store(tmp_path).put("k", lambda folder: full() if step == "build" else fill(folder))
        monkeypatch.undo()
        assert list(tmp_path.iterdir()) == []
        assert Store(tmp_path).put("k", fill).is_dir()

    def test_a_full_disk_keeps_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "index.json"
        store.write_file(path, "old")

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="disk is full"):
            store.write_file(path, "new")
        assert path.read_text() == "old"
        assert [item.name for item in tmp_path.iterdir()] == ["index.json"]

    def test_a_read_only_folder_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", denied)
        with pytest.raises(StoreError, match=r"/k' cannot be written \(Permission denied\)\. Choose another folder"):
            Store(tmp_path).put("k", fill)

    def test_a_file_in_the_way_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="could not be written"):
            Store(tmp_path / "file" / "store").put("k", fill)
        with pytest.raises(StoreError, match="could not be written"):
            store.write_file(tmp_path / "absent" / "index.json", "x")


class TestSweep:
    def test_only_what_dead_processes_left_goes(self, tmp_path: Path) -> None:
        dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
        gone = [f".k.{int(dead.stdout)}-0123abcd.tmp", f".library.json.{int(dead.stdout)}-0123abcd.tmp"]
        kept = [f".k.{os.getpid()}-0123abcd.tmp", ".mine.tmp", ".k.12-x.tmp", "k.tmp", "k", ".hidden"]
        for index, name in enumerate(gone + kept):
            if index == 1:
                (tmp_path / name).touch()
            else:
                (tmp_path / name).mkdir()
                (tmp_path / name / "file").touch()
        store.sweep(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
        store.sweep(tmp_path / "absent")


WRITER = """
    import sys
    from pathlib import Path
    from worldgen.store import Store

    def build(folder):
        for part in range(30):
            (folder / f"{part}.bin").write_bytes(bytes([part]) * 20_000)

    entries, turn = Store(Path(sys.argv[1])), 0
    print("go", flush=True)
    while True:
        entries.put("k", build)
        (entries.folder("k") / "7.bin").write_bytes(b"damaged")  # so that the next put has to mend it
        entries.put(f"k{turn}", build)
        turn += 1
"""


def test_a_killed_writer_never_leaves_a_torn_entry(tmp_path: Path) -> None:
    rng = random.Random(1)
    whole = {f"{part}.bin": bytes([part]) * 20_000 for part in range(30)}
    for _ in range(12):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout
            assert child.stdout.readline() == b"go\n"
            time.sleep(rng.uniform(0, 0.05))
            child.send_signal(signal.SIGKILL)
        entries = Store(tmp_path)
        for folder in tmp_path.iterdir():
            if folder.name.startswith("."):
                continue
            if found := entries.get(folder.name):
                served = {file.name: file.read_bytes() for file in found.iterdir() if file.name != store.MANIFEST}
                assert served == whole
            else:
                assert folder.name == "k"  # the one that is damaged on purpose
    store.sweep(tmp_path)
    assert not leftovers(tmp_path)
    mended = Store(tmp_path).put("k", fill)
    assert store.damage(mended) == []


def _put_many(root: Path, start: Any, failures: Any) -> None:
    entries = Store(root)
    start.wait()
    for turn in range(150):
        try:
            folder = entries.put(f"{turn}", fill)
            (folder / "a.txt").read_text()  # what put returned must stay there
        except (OSError, StoreError) as error:
            failures.put(f"{turn}: {error!r}")


def test_two_processes_put_the_same_keys_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, failures = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_put_many, args=(tmp_path, start, failures)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    assert failures.empty(), failures.get()
    assert all(not store.damage(tmp_path / f"{turn}") for turn in range(150))
    assert not leftovers(tmp_path)

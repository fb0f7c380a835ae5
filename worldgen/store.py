"""Content-addressed store: a key in, a verified folder out. Knows bytes, not what they mean.

An entry is a folder named by its key with a `manifest.json` of the SHA-256 of every file. It appears by one rename, so it is
whole or absent, whoever is killed; it is verified on read, and a damaged one is rebuilt.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import StoreError

MANIFEST = "manifest.json"
_KEY_LENGTH = 24


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key(value: Any) -> str:
    """Return the store key of JSON-like inputs: the start of the SHA-256 of their canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:_KEY_LENGTH]


@cache
def code_digest(*modules: ModuleType) -> str:
    """Return a digest of the source files of modules, packages with all their files: the code version inside a key."""
    digest = hashlib.sha256()
    for module in modules:
        if not getattr(module, "__file__", None):
            raise StoreError(
                f"Module '{module.__name__}' has no source file: what it makes cannot be told apart by version."
            )
        source = Path(str(module.__file__))
        files = sorted(source.parent.rglob("*.py")) if source.name == "__init__.py" else [source]
        for file in files:
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file so that it is the old or the new one after a kill, never a torn one.

    Raises:
        StoreError: When the disk is full or the folder cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = _beside(path)
    try:
        with _reported(path):
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish(folder: Path, build: Callable[[Path], None], *, sync: bool = True) -> Path:
    """Build a folder beside its place and move it there in one step; an existing one is kept.

    Args:
        folder: Where it shall be.
        build: Fills the empty temporary folder it is given.
        sync: Whether to force it to the disk before it appears. A copy does without: what a power cut tears is found on read
            and copied again.

    Raises:
        StoreError: When the disk is full or the folder cannot be written. Whatever else `build` raises passes through.
    """
    temporary = _beside(folder)
    try:
        with _reported(folder):
            temporary.mkdir(parents=True)
        with _reported(folder, _DISK):
            build(temporary)
        with _reported(folder):
            if sync:
                _sync(temporary)
            try:
                temporary.rename(folder)
            except OSError as error:  # another process may have been first with the same content
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_DISK = (*_FULL, *_DENIED, errno.EIO)
"""What a disk, and not a network or a damaged input, says."""


@contextlib.contextmanager
def _reported(path: Path, only: tuple[int, ...] | None = None) -> Iterator[None]:
    """Turn an OSError, or those of some numbers only, into a StoreError about a path."""
    try:
        yield
    except OSError as error:
        if only and error.errno not in only:
            raise
        raise StoreError(_reason(path, error)) from error


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _reason(path: Path, error: OSError) -> str:
    if error.errno in _FULL:
        return (
            f"The disk is full: '{path}' was not written. Free some space and run the same command again; it resumes."
        )
    if error.errno in _DENIED:
        return f"'{path}' cannot be written ({error.strerror}). Choose another folder or change its permissions."
    return f"'{path}' could not be written: {error.strerror or error}."


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """A folder of entries by key."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: str) -> Path:
        """Return where the entry of a key is, or would be."""
        return self.root / key

    def get(self, key: str) -> Path | None:
        """Return the folder of an entry whose bytes are as written, else None."""
        folder = self.folder(key)
        return folder if folder.is_dir() and not damage(folder) else None

    def put(self, key: str, build: Callable[[Path], None]) -> Path:
        """Return the entry of a key, building it when it is missing or damaged."""
        if found := self._whole(key):
            return found

        def build_with_manifest(temporary: Path) -> None:
            build(temporary)
            write_manifest(temporary)

        return publish(self.folder(key), build_with_manifest)

    def copy_to(self, key: str, target: Store) -> Path | None:
        """Return the entry of a key in another store, copying it there when it is missing; None when this store lacks it too."""
        if found := target._whole(key):
            return found
        if (source := self.get(key)) is None:
            return None
        return publish(target.folder(key), lambda folder: copy_files(source, folder, manifest=True), sync=False)

    def _whole(self, key: str) -> Path | None:
        """Return an entry as `get` does; a damaged one is moved out of the way."""
        folder = self.folder(key)
        if (folder.exists() or folder.is_symlink()) and damage(folder):
            _discard(folder)
        return folder if folder.is_dir() else None


def copy_files(source: Path, folder: Path, *, manifest: bool = False) -> None:
    """Copy all files of an entry, with or without its manifest.

    Raises:
        StoreError: When it holds a symbolic link or anything else that is neither file nor folder.
    """
    _require_plain(source)
    for path in sorted(source.rglob("*")):
        if path.is_file() and (manifest or path.name != MANIFEST):
            place = folder / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place, follow_symlinks=False)


def write_manifest(folder: Path) -> None:
    """Write the digests of all files below a folder into its manifest.

    Raises:
        StoreError: When it holds a symbolic link or anything else that is neither file nor folder.
    """
    _require_plain(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    digests = {path.relative_to(folder).as_posix(): file_digest(path) for path in files}
    (folder / MANIFEST).write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def damage(folder: Path, *, surplus_counts: bool = True) -> list[str]:
    """Return what is wrong with an entry: each missing, changed or (if it counts) surplus file, each link."""
    if odd := _odd(folder):  # nothing is read then: a link may lead anywhere, a pipe has no end
        return odd
    try:
        digests = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
        missing = [f"{name} is missing" for name in digests if name not in present]
        surplus = [f"{name} does not belong here" for name in sorted(present - set(digests))]
        changed = [
            f"{name} was changed"
            for name in sorted(present & set(digests))
            if file_digest(folder / name) != digests[name]
        ]
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        return [f"{MANIFEST} cannot be read ({error})"]
    return missing + (surplus if surplus_counts else []) + changed


def _odd(folder: Path) -> list[str]:
    """Return what in an entry is neither a file nor a folder of its own."""
    if folder.is_symlink():
        return [f"{folder.name} is a symbolic link"]
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found.append(f"{path.relative_to(folder).as_posix()} is a symbolic link")
        elif not path.is_file() and not path.is_dir():
            found.append(f"{path.relative_to(folder).as_posix()} is no file")
    return found


def _require_plain(folder: Path) -> None:
    if odd := _odd(folder):
        raise StoreError(f"'{folder}' cannot be kept: {odd[0]}. Put the file itself there.")


def _discard(folder: Path) -> None:
    """Move a damaged entry out of the way in one step, then delete it; one that was mended meanwhile goes back."""
    grave = _beside(folder)
    with _reported(folder), contextlib.suppress(FileNotFoundError):
        folder.rename(grave)
        if not damage(grave):
            with contextlib.suppress(OSError):
                grave.rename(folder)
    if grave.is_symlink():
        grave.unlink(missing_ok=True)
    shutil.rmtree(grave, ignore_errors=True)


def _beside(path: Path) -> Path:
    """Return a temporary name beside a path that tells whose it is, for `sweep`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")


def sweep(root: Path) -> None:
    """Delete what killed builds left in a folder: temporary entries of processes that are gone."""
    for path in root.glob(".*.tmp"):
        owner = _TEMPORARY.fullmatch(path.name)
        if owner is None or _alive(int(owner[1])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


_TEMPORARY = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}\.tmp")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

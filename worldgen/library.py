"""SceneLibrary: the folder that everything else reads. Knows the contract on disk, not how scenes are made.

    library.json           what was asked for, what came of it (`Index`)
    assets/<key>/          one verified folder an asset or texture (`store.Store`)
    robots/<name>/         a copy of each arm
    scenes/<name>/         scene.xml, scene.json (`SceneRecord`), preview.png, manifest.json
    rejected/<name>.json   why a planned scene is missing (`Rejected`)

Every path inside is relative: the folder can be moved and zipped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import mujoco
from pydantic import Field, ValidationError

from . import safety, store
from .assets import Asset
from .errors import LibraryError, SceneError
from .layout import Pose
from .shapes import Strict
from .spec import SceneSpec
from .wire import SPLITS

FORMAT = 1
INDEX = "library.json"
Format = Annotated[int, Field(ge=1, le=FORMAT)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""Of a scene, also of its folder: never a path to elsewhere."""
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
"""Of an entry in `assets/`."""


class Check(Strict):
    """What one gate found."""

    name: str
    ok: bool
    value: float | None = None
    """None where a measurement differs from run to run: a record holds only what the same inputs give again."""
    limit: float | None = None
    unit: str = ""
    warning: bool = False
    detail: str = ""


class Rejection(Strict):
    """One failed attempt at a scene."""

    attempt: int
    gate: str
    """Name of the gate, or "design", "duplicate", "asset", "layout", "compile", "settle", "crash"."""
    message: str


class SceneRecord(Strict):
    """Everything known of a scene, beside its MJCF."""

    format: Format = FORMAT
    name: Name
    split: str
    family: str
    seed: int
    attempt: int = 0
    spec: SceneSpec
    assets: dict[str, Key]
    """Object name → asset key."""
    textures: dict[str, Key]
    """`table`, `wall`, `floor` → key."""
    poses: dict[str, Pose]
    """Settled pose of every object."""
    checks: tuple[Check, ...]
    rejections: tuple[Rejection, ...] = ()
    """Earlier attempts at this scene."""
    provenance: dict[str, Any]
    """Request, designer and its digests; versions of worldgen, MuJoCo and of the code that built it."""


class Rejected(Strict):
    """Why a planned scene is missing."""

    name: Name
    split: str
    request: str
    rejections: tuple[Rejection, ...]


class Index(Strict):
    """library.json."""

    format: Format = FORMAT
    settings: dict[str, Any]
    """What was asked for; the same settings resume this library."""
    complete: bool = False
    scenes: tuple[Name, ...] = ()
    counts: dict[str, Any] = Field(default_factory=dict)
    """Scenes by split, family and robot; distinct assets; attempts, accepted, rejected by reason."""
    held_out: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Categories, surfaces and rooms that no training scene uses."""
    versions: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """One scene of a library."""

    folder: Path
    record: SceneRecord

    @property
    def name(self) -> str:
        """Name of the scene, also of its folder."""
        return self.record.name

    @property
    def root(self) -> Path:
        """The library's folder."""
        return self.folder.parent.parent

    @property
    def xml(self) -> Path:
        """The MJCF file."""
        return self.folder / "scene.xml"

    @classmethod
    def open(cls, folder: Path) -> Scene:
        """Read a scene folder.

        Raises:
            SceneError: When it holds no scene of this format.
        """
        folder = folder.resolve()  # the library is two folders up, also when called from inside it
        try:
            text = (folder / "scene.json").read_bytes()
        except OSError as error:
            raise SceneError(
                f"'{folder}' is not a scene folder: scene.json cannot be read ({error.strerror})."
            ) from error
        try:
            return cls(folder, SceneRecord.model_validate_json(text))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "scene.json"
            raise SceneError(
                f"'{folder / 'scene.json'}' is damaged or of another format: {where}: {first['msg']}."
            ) from error

    def asset(self, name: str) -> Asset:
        """Return the asset of an object."""
        folder = self.root / "assets" / self.record.assets[name]
        if (folder / "asset.json").exists():
            safety.require_inside(folder / "asset.json", self.root)
        return Asset.load(folder)

    def source(self, *, trusted: bool = False) -> mujoco.MjSpec:
        """Read the scene's MJCF, after looking at the file first, ready to be changed and compiled.

        A scene from disk is compiled once before, in a child with limits of time and memory; the process remembers which files
        it has compiled. A whole manifest spares nothing, for a stranger can write one. The child takes about half a second.

        Args:
            trusted: Whether this process wrote the scene itself, or has compiled it before: no child then.

        Raises:
            SceneError: When it is not safe to open or MuJoCo refuses it.
        """
        safety.require_safe(self.xml, self.root)
        try:
            if not trusted:
                safety.require_compiles(self.xml)
            return mujoco.MjSpec.from_file(str(self.xml))
        except ValueError as error:
            raise SceneError(f"MuJoCo refuses scene '{self.name}': {error}") from error

    def model(self, *, trusted: bool = False) -> mujoco.MjModel:
        """Compile the scene; see `source`."""
        source = self.source(trusted=trusted)
        try:
            return source.compile()
        except ValueError as error:
            raise SceneError(f"MuJoCo refuses scene '{self.name}': {error}") from error


class SceneLibrary:
    """A folder of scenes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.assets = store.Store(root / "assets")

    @classmethod
    def open(cls, root: Path) -> SceneLibrary:
        """Open an existing library.

        Raises:
            LibraryError: When the folder is none, or of a newer format.
        """
        library = cls(root)
        library.index()
        return library

    @classmethod
    def create(cls, root: Path, settings: dict[str, Any]) -> SceneLibrary:
        """Open the library at `root` to go on with it, or make a new one; `count` may differ from what it was.

        Raises:
            LibraryError: When the folder is a file, not empty and no library, made with other settings, or not writable.
        """
        if root.exists() and not root.is_dir():
            raise LibraryError(f"'{root}' is a file. Give a folder for the library.")
        library = cls(root)
        known = (root / INDEX).exists()
        if known:
            _require_same(root, library.index().settings, settings)
        elif root.is_dir() and any(not path.name.startswith(".") for path in root.iterdir()):
            raise LibraryError(f"'{root}' is not empty and holds no library. Give an empty or new folder.")
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not known:  # first of all, so that whoever is killed here can go on
                library.write_index(Index(settings=settings))
            for part in ("assets", "robots", "scenes", "rejected"):
                (root / part).mkdir(exist_ok=True)
        except OSError as error:
            raise LibraryError(
                f"'{root}' cannot be written ({error.strerror}). Choose another folder or change its permissions."
            ) from error
        return library

    def index(self) -> Index:
        """Read library.json.

        Raises:
            LibraryError: When it is missing, damaged or of a newer format.
        """
        path = self.root / INDEX
        if self.root.is_file():
            raise LibraryError(f"'{self.root}' is a file, not a library folder.")
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise LibraryError(
                f"'{self.root}' is not a library: {INDEX} cannot be read ({error.strerror}). Make one with `worldgen make`."
            ) from error
        except (ValueError, RecursionError) as error:
            raise LibraryError(
                f"'{path}' is damaged: {error}. Move the folder away and make it again; the store makes that quick."
            ) from error
        found = value.get("format") if isinstance(value, dict) else None
        if not isinstance(found, int) or found > FORMAT:
            raise LibraryError(
                f"'{path}' has format {found!r}; this version of worldgen reads up to {FORMAT}. Update worldgen."
            )
        try:
            return Index.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise LibraryError(f"'{path}' is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error

    def write_index(self, index: Index) -> None:
        """Write library.json in one step."""
        store.write_file(self.root / INDEX, index.model_dump_json(indent=1) + "\n")

    def scene(self, name: str) -> Scene:
        """Return one scene of the index, by name.

        Raises:
            LibraryError: When the library has no such scene.
        """
        if name not in (known := self.index().scenes):
            shown = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
            raise LibraryError(f"'{self.root}' has no scene '{name}'. Scenes: {shown or 'none'}.")
        return Scene.open(self.root / "scenes" / name)

    def scenes(self, split: str | None = None) -> Iterator[Scene]:
        """Yield the scenes of the index in order, of one split or all."""
        if split is not None and split not in SPLITS:
            raise LibraryError(f"Unknown split '{split}'. Splits: {', '.join(SPLITS)}.")
        for name in self.index().scenes:
            scene = Scene.open(self.root / "scenes" / name)
            if split is None or scene.record.split == split:
                yield scene

    def discard(self, name: str) -> None:
        """Take a damaged scene out of the way: delete it, or move it to `aside/` when it holds files of somebody else's."""
        folder = self.root / "scenes" / name
        if not any("does not belong" in line for line in store.damage(folder)):
            shutil.rmtree(folder, ignore_errors=True)
            return
        place = self.root / "aside" / name
        place.parent.mkdir(exist_ok=True)
        while place.exists():
            place = place.with_name(place.name + "+")
        folder.rename(place)

    def reject(self, rejected: Rejected) -> None:
        """Write down why a planned scene is missing."""
        store.write_file(self.root / "rejected" / f"{rejected.name}.json", rejected.model_dump_json(indent=1) + "\n")

    def rejected(self, name: str) -> Rejected | None:
        """Return why a planned scene is missing, or None when nothing says so."""
        try:
            return Rejected.model_validate_json((self.root / "rejected" / f"{name}.json").read_bytes())
        except (OSError, ValidationError):
            return None


def _require_same(root: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    changed = list(_changes({**old, "count": 0}, {**new, "count": 0}))
    if changed:
        raise LibraryError(
            f"'{root}' was made with other settings: {'; '.join(changed)}. Use the same to go on with it, or another --out."
        )


def _changes(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """Yield what differs between two settings, those within settings by themselves."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            yield from _changes(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name} {_short(new)} instead of {_short(old)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def open_scene(path: Path) -> Scene:
    """Open a scene by its folder or by its scene.xml or scene.json."""
    return Scene.open(path.parent if path.name in ("scene.xml", "scene.json") else path)


def open_scenes(path: Path, split: str | None = None, count: int | None = None) -> list[Scene]:
    """Open the scene at `path`, or up to `count` scenes of the library there.

    Raises:
        LibraryError: When the folder is neither, or the library has no such scene.
    """
    if path.name in ("scene.xml", "scene.json") or (path / "scene.json").exists():
        return [open_scene(path)]
    if count is not None and count < 1:
        raise LibraryError(f"count {count} must be at least 1.")
    found: list[Scene] = []
    for scene in SceneLibrary.open(path).scenes(split):
        if count is not None and len(found) >= count:
            break
        found.append(scene)
    if not found:
        raise LibraryError(f"'{path}' has no scene{f' of split {split!r}' if split else ''} to play.")
    return found

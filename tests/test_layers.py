"""Who may import whom (docs/design.md), read from the source: a lower layer knows nothing of a higher one."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

import worldgen

ROOT = Path(worldgen.__file__).parent
LAYERS: tuple[str, ...] = (
    "errors data store shapes vocabulary language spec phrases wire paint photos making files child deadline",
    "goals mesh mesh_parse mesh_read mesh_solid convex fitting solids layout robots designer enrich footprint generated kinematics pictures robot_import",
    "makers",
    "assets panorama mjcf",
    "library safety camera sim.vetting",
    "sim.control sim.domains sim.lean sim.optics sim.truth sim.rewards sim.stage sim.world sim.grasps sim.motions sim.pushes sim.places sim.handles sim.expert sim.sight",
    "certificate checks render gallery card viewer export urdf schemas importing play",
    "sim.board sim.worker sim.processes sim.front sim.worlds sim.gym sim.envhub",
    "build",
    "workers",
    "pipeline recheck",
    "console",
    "cli",
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names.split()}
FIRST = frozenset(LAYERS[0].split())
SHAPES = {
    "mesh_silhouette": frozenset({"backends.mesh_procedural"}),
    "mesh_shap_e": frozenset({"backends.image_diffusers"}),
    "image_diffusers": frozenset({"backends.judge_openai"}),
}
"""Backends that use another one: what is hollow is a template, pipelines are loaded in one place, and pictures are judged where they are drawn."""
BLANKET = ["build.py", "deadline.py"]
"""May catch any Exception: the batch boundary, and what hands an error from the thread where it was raised to the one that waits."""
OUTSIDE_TORCH = {"torch", "torchvision", "transformers", "diffusers", "accelerate", "trainer"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Yield the absolute names of what a file imports; `lazy` also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["worldgen", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(tree) if lazy else ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            start = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                inner = f"{start}.{alias.name}"
                yield inner if _is_module(inner) else start


def _is_module(name: str) -> bool:
    parts = name.split(".")
    path = ROOT.joinpath(*parts[1:])
    return parts[0] == "worldgen" and (path.with_suffix(".py").is_file() or path.is_dir())


def own(path: Path, *, lazy: bool = True) -> list[str]:
    """Return the modules of worldgen that a file imports, without the package's name."""
    return [name.removeprefix("worldgen.") for name in imports(path, lazy=lazy) if name.startswith("worldgen.")]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layered() -> list[Path]:
    """Return the modules that have a layer: all but the backends and what makes a folder a package."""
    return [path for path in modules() if path.parent in (ROOT, ROOT / "sim") and path.name != "__init__.py"]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_packages_import_nothing() -> None:
    assert all(own(path) == [] for path in (ROOT / "__init__.py", ROOT / "sim" / "__init__.py"))


@pytest.mark.parametrize("path", layered(), ids=relative)
def test_a_module_imports_lower_layers_only(path: Path) -> None:
    assert dotted(path) in LEVEL, f"'{relative(path)}' has no layer yet: add it to LAYERS"
    level = LEVEL[dotted(path)]
    at_start = own(path, lazy=False)
    for name in own(path):
        if name.split(".")[0] == "backends" and (level <= 1 or name in at_start):
            pytest.fail(f"{path.name} imports {name}: backends are named, and imported on use")
        if name.split(".")[0] != "backends":
            assert LEVEL[name] <= level, f"{path.name} imports {name} of a higher layer"


@pytest.mark.parametrize("path", [path for path in modules() if "backends" in path.parts], ids=relative)
def test_a_backend_imports_the_first_layer_and_its_own_package(path: Path) -> None:
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for name in own(path):
        mine = package != "backends" and (name == package or name.startswith(f"{package}."))
        known = FIRST | {"mesh", "mesh_solid"} | SHAPES.get(path.stem, frozenset())
        assert name in known or mine, f"{relative(path)} imports {name}"


def test_no_circles() -> None:
    graph = {dotted(path): {name for name in own(path, lazy=False) if name in LEVEL} for path in layered()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"imports go in a circle: {' -> '.join((*way, name))}"
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_no_trainer_and_no_torch(path: Path) -> None:
    found = {name.split(".")[0] for name in imports(path)}
    assert not found & OUTSIDE_TORCH


def test_blanket_excepts_are_counted() -> None:
    found = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                for kind in kinds:
                    if kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")):
                        reraises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
                        found += [] if reraises else [relative(path)]
    assert found == BLANKET


def test_every_module_says_what_it_knows() -> None:
    for path in modules():
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text or not path.read_text(encoding="utf-8").strip(), f"{relative(path)} has no docstring"


def test_named_backends_exist() -> None:
    from worldgen import designer, makers

    for table in (makers.PLAIN, designer.BACKENDS):
        for target in table.values():
            module, _, attribute = target.partition(":")
            assert importlib.util.find_spec(module), target
            assert attribute
    for module in (*makers.SHARED, *(name for names in makers.PICTURED.values() for name in names)):
        assert importlib.util.find_spec(module), module

"""Who may import whom in the trainer (docs/design.md), read from the source; where torch is, and where it must not be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trainer

ROOT = Path(trainer.__file__).parent
LAYERS: tuple[str, ...] = (
    "errors",
    "limits",
    "records config",
    "metrics lerobot checkpoint folders play pictures sentences sets advantages losses",
    "robomimic",
    "dataset policies.text policies.camera policies.eye",
    "policies.vision",
    "recorder policies.base sight",
    "policies.flow policies.token policies.critic policies.store report report_page fit plot",
    "pretrain demos windows",
    "sft",
    "evaluate rollout",
    "episodes keeper anchor",
    "preflight",
    "rl",
    "cli",
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names.split()}
WITH_TORCH = {
    "windows",
    "anchor",
    "checkpoint",
    "fit",
    "pretrain",
    "sft",
    "evaluate",
    "sight",
    "losses",
    "rollout",
    "episodes",
    "keeper",
    "preflight",
    "rl",
}
"""May import torch, beside all of `policies`."""
LIGHT = (
    "cli",
    "limits",
    "config",
    "records",
    "metrics",
    "folders",
    "dataset",
    "recorder",
    "demos",
    "pictures",
    "sentences",
    "play",
    "report",
    "sets",
    "advantages",
)
"""Work where torch is not installed."""
BLANKET = ["policies/text.py"]
"""May catch any Exception, to raise it as the user's: a library there raises nothing more exact."""


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Yield the absolute names of what a file imports; `lazy` also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["trainer", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(tree) if lazy else ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            start = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                inner = f"{start}.{alias.name}"
                yield inner if is_module(inner) else start


def is_module(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "trainer" and ROOT.joinpath(*parts[1:]).with_suffix(".py").is_file()


def own(path: Path, *, lazy: bool = True) -> list[str]:
    """Return the modules of the trainer that a file imports, without the package's name."""
    return [name.removeprefix("trainer.") for name in imports(path, lazy=lazy) if name.startswith("trainer.")]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def layered() -> list[Path]:
    return [path for path in modules() if path.name != "__init__.py"]


def test_every_layer_is_a_file() -> None:
    assert LEVEL.keys() == {dotted(path) for path in layered()}


def test_packages_import_nothing() -> None:
    assert all(list(imports(path)) == [] for path in modules() if path.name == "__init__.py")


@pytest.mark.parametrize("path", layered(), ids=relative)
def test_a_module_imports_lower_layers_only(path: Path) -> None:
    assert dotted(path) in LEVEL, f"'{relative(path)}' has no layer yet: add it to LAYERS"
    for name in own(path):
        assert LEVEL[name] <= LEVEL[dotted(path)], f"{relative(path)} imports {name} of a higher layer"


def test_no_circles() -> None:
    graph = {dotted(path): set(own(path, lazy=False)) for path in layered()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"imports go in a circle: {' -> '.join((*way, name))}"
        if name not in done:
            for other in graph[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", layered(), ids=relative)
def test_torch_is_imported_where_networks_are(path: Path) -> None:
    found = {name.split(".")[0] for name in imports(path)} & {"torch", "safetensors", "tokenizers", "transformers"}
    assert not found or path.parent.name == "policies" or dotted(path) in WITH_TORCH


def test_nothing_light_reaches_torch() -> None:
    code = f"import sys, importlib\nfor name in {LIGHT}: importlib.import_module('trainer.' + name)\n" + (
        "print(sorted({'torch', 'tokenizers', 'safetensors', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_worldgen_inside_is_imported_by_its_public_names() -> None:
    for path in layered():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("worldgen"):
                assert not [alias.name for alias in node.names if alias.name.startswith("_")], relative(path)


def test_blanket_excepts_are_counted() -> None:
    found = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                if any(kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in kinds):
                    found.append(relative(path))
    assert found == BLANKET


def test_every_module_says_what_it_knows() -> None:
    for path in modules():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{relative(path)} has no docstring"

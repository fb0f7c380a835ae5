"""How well torn meshes become solids again: `python -m benchmarks.solids`. Prints Markdown for docs/assets.md.

Takes procedural objects of known volume, with faces as small as generators make them, tears them as generated meshes are torn, closes them with
`mesh.solidify` and compares: 2 % of the faces removed; and a skin of .6 mm, outside and inside, with pinholes in both.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import tyro

from benchmarks.silhouettes import spec
from worldgen import mesh, mesh_solid
from worldgen.backends import mesh_procedural
from worldgen.mesh_read import Array, Faces, RawMesh
from worldgen.mesh_solid import outside
from worldgen.solids import make_grid

SHAPES = (
    "mug", "bowl", "bottle", "can", "plate", "basket", "teapot", "banana", "duck", "hammer", "scissors", "donut", "star", "car", "apple",
    "spatula", "cupcake", "whisk", "book", "wrench",
)  # fmt: skip
SKIN = 0.0006
"""Thickness of a double wall [m]."""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    shapes: tuple[str, ...] = SHAPES
    faces: int = 20_000
    """About as many does a mesh have before it is torn."""
    seed: int = 0


def main(config: Config) -> None:
    """Print a row for each shape and the least of each column."""
    columns = ("2 % of faces removed", "double wall, pinholes in each", "double wall, holes through both")
    print(f"| shape | {' | '.join(f'{column}: IoU | s | how' for column in columns)} |\n|{'---|' * 10}")
    worst = [1.0] * len(columns)
    for name in config.shapes:
        rng = np.random.default_rng([config.seed, len(name), ord(name[0])])
        vertices, faces = solid_of(name, config.faces)
        cells = []
        for index, torn in enumerate(
            (removed(vertices, faces, 0.02, rng), skin(vertices, faces, rng), skin(vertices, faces, rng, through=True))
        ):
            begun = time.perf_counter()
            made = mesh.solidify(torn)
            spent = time.perf_counter() - begun
            assert mesh.count_open_edges(made.faces) == 0
            share = alike((vertices, faces), (made.vertices, made.faces))
            worst[index] = min(worst[index], share)
            cells.append(f"{share:.3f} | {spent:.1f} | {made.made}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"| **least** | {' | '.join(f'**{share:.3f}** | | ' for share in worst)} |")


def solid_of(name: str, count: int) -> tuple[Array, Faces]:
    """Return the root part of a procedural object, without sealed voids, in faces of about one size."""
    part = mesh_procedural.make(spec(name, 41)).parts[0]
    vertices, faces = outside(part.vertices, part.faces)
    solid = mesh_solid.manifold(vertices, faces)
    area = solid.surface_area()
    return mesh_solid.arrays(solid.refine_to_length(float(np.sqrt(2.3 * area / count)) * 1.4))


def removed(vertices: Array, faces: Faces, share: float, rng: np.random.Generator) -> RawMesh:
    """Return a mesh that lacks a share of its faces."""
    return RawMesh(vertices, faces[rng.uniform(size=len(faces)) >= share])


def skin(vertices: Array, faces: Faces, rng: np.random.Generator, through: bool = False) -> RawMesh:
    """Return a mesh with a second surface within, with pinholes, half a percent of their faces: of each, or through both, with a rim."""
    normal = np.zeros_like(vertices)
    corners = vertices[faces]
    each = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for corner in range(3):
        np.add.at(normal, faces[:, corner], each)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    inner = vertices - SKIN * normal
    if through:
        gone = rng.uniform(size=len(faces)) < 0.005
        outer, rims = faces[~gone], []
        for a, b in ((0, 1), (1, 2), (2, 0)):
            one, two = faces[gone, a], faces[gone, b]
            rims += [
                np.stack([one, two, one + len(vertices)], 1),
                np.stack([two, two + len(vertices), one + len(vertices)], 1),
            ]
        return RawMesh(
            np.concatenate([vertices, inner]), np.concatenate([outer, outer[:, ::-1] + len(vertices), *rims])
        )
    both = np.concatenate([faces, faces[:, ::-1] + len(vertices)])
    return removed(np.concatenate([vertices, inner]), both, 0.005, rng)


def alike(one: tuple[Array, Faces], other: tuple[Array, Faces]) -> float:
    """Return the volume that two solids share over what they have together."""
    grid = make_grid(np.concatenate([one[0], other[0]]))
    first, second = (grid.occupied(*solid) for solid in (one, other))
    return float((first & second).sum() / (first | second).sum())


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

"""Test sets: each has a domain that can be drawn from and takes the scenes that it says."""

from __future__ import annotations

import pytest

from trainer.errors import RunError
from trainer.sets import SETS, chosen, drawn, scenes_of, scenes_of_set
from worldgen.library import Scene, SceneLibrary
from worldgen.sim import domains
from worldgen.sim.domains import Domain
from worldgen.sim.stage import Settings, Stage
from worldgen.sim.world import World
from worldgen.spec import Range
from worldgen.wire import SPLITS


@pytest.fixture(scope="module")
def scene(library: SceneLibrary) -> Scene:
    return next(scene for scene in library.scenes() if scene.record.family == "stack")


@pytest.mark.parametrize("name", SETS)
def test_a_domain_is_valid_and_can_be_played(name: str, scene: Scene) -> None:
    made = chosen(name)
    assert made.split in (*SPLITS, "unseen")
    domain = made.domain()
    assert Domain.model_validate(domain.model_dump()) == domain
    stage = Stage(scene, Settings(domain, views=()), trusted=True)
    try:
        world = World(stage)
        world.reset(2_000_000)
        assert world.end == ""
    finally:
        stage.close()


def test_each_differs_from_training_in_scenes_or_domain() -> None:
    paper = domains.load("paper")
    for made in SETS.values():
        assert made.split != "train" or made.domain() != paper


@pytest.mark.parametrize("trained", ["paper", "full"])
def test_what_looks_another_way_is_outside_of_all_that_was_trained_with(trained: str) -> None:
    known = dict(domains.load(trained).leaves())
    for name, group in (("light", "light."), ("camera", "camera."), ("textures", "texture.")):
        made = {path: value for path, value in chosen(name).domain().leaves() if path.startswith(group)}
        ranges = [(one, known[path]) for path, one in made.items() if isinstance(one, Range) and path in known]
        outside = [one for one, other in ranges if one.low >= other.high or one.high <= other.low]
        paintings = domains.load(trained).texture
        other = chosen(name).domain().texture
        assert outside or (name == "textures" and other.first >= paintings.first + paintings.count)


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(RunError, match=r"no test set 'moon'.*objects, containers"):
        chosen("moon")


def test_scenes(library: SceneLibrary) -> None:
    everything = {scene.name for scene in library.scenes()}
    assert {scene.name for scene in scenes_of(library.root, "all")} == everything
    assert {scene.name for scene in scenes_of(library.root, "train")} == everything
    assert scenes_of(library.root, "unseen") == []
    assert {scene.name for scene in scenes_of_set(library.root, "light")} == everything
    with pytest.raises(RunError, match=r"no scene for the test set 'objects'.*unseen-objects.*--splits"):
        scenes_of_set(library.root, "objects")
    assert {scene.name for scene in scenes_of_set(library.root, "camera", "all")} == everything
    with pytest.raises(RunError, match=r"objects of known.*leave --split train out"):
        scenes_of_set(library.root, "objects", "train")


def test_drawn_scenes_grow_and_hang_on_the_seed_alone(library: SceneLibrary) -> None:
    scenes = list(library.scenes())
    one, two = (drawn(scenes, count, 0) for count in (1, 2))
    assert one == two[:1]
    assert drawn(scenes[::-1], 2, 0) == two
    assert len({drawn(scenes, 1, seed)[0].name for seed in range(20)}) > 1
    assert drawn(scenes, None, 0) == scenes
    with pytest.raises(RunError, match=r"not 1000\. Ask for fewer"):
        drawn(scenes, 1000, 0)

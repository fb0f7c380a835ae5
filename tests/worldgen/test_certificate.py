"""The last gate: an expert has to solve the scene."""

from __future__ import annotations

import pytest

from worldgen import certificate, checks
from worldgen.library import SceneLibrary
from worldgen.sim.expert import Expert
from worldgen.sim.world import World


def test_every_scene_of_a_library_carries_its_certificate(library: SceneLibrary, panda_library: SceneLibrary) -> None:
    for scene in (*library.scenes(), *panda_library.scenes()):
        found = {check.name: check for check in scene.record.checks}
        assert (found["solved"].value or 0) >= 3
        assert 1 < (found["time"].value or 0) < scene.record.spec.task.seconds


def test_it_is_the_same_each_time_and_that_of_the_record(library: SceneLibrary) -> None:
    scene = next(iter(library.scenes()))
    recorded = tuple(check for check in scene.record.checks if check.name in ("solved", "time"))
    assert certificate.certify(scene) == recorded


def test_an_idle_arm_certifies_nothing(library: SceneLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    played = []
    monkeypatch.setattr(Expert, "act", lambda self, count=None: self.world.stage.controller.low[None] * 0 + _OPEN)
    monkeypatch.setattr(World, "reset", _counted(World.reset, played))
    (solved,) = certificate.certify(next(iter(library.scenes())))
    assert not solved.ok
    assert "0 of 2 episodes: time ran out (2 x)" in solved.detail
    assert len(played) == 2  # two failures decide; the rest is not played
    (problem,) = checks.problems([solved])
    assert problem.path == "solved"
    assert problem.fix


_OPEN = [[0.0, 0, 0, 0, 0, 0, 1]] * 4


def _counted(reset, played):  # type: ignore[no-untyped-def]
    def call(self, seed):  # type: ignore[no-untyped-def]
        played.append(seed)
        return reset(self, seed)

    return call


def test_what_went_wrong_is_told(library: SceneLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Expert, "act", lambda self, count=None: _OPEN)
    monkeypatch.setattr(Expert, "trouble", property(lambda self: "the grasp of 'mug' slipped"))
    (solved,) = certificate.certify(next(iter(library.scenes())))
    assert "the grasp of 'mug' slipped (2 x)" in solved.detail

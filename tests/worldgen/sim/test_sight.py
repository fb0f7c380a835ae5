"""Pictures with labels: what is said of a picture is what it shows."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from worldgen.library import SceneLibrary
from worldgen.sim import domains
from worldgen.sim.grasps import PAD, Hand
from worldgen.sim.motions import Motions
from worldgen.sim.optics import seen_at
from worldgen.sim.sight import Scatter
from worldgen.sim.stage import Settings, Stage, View

SIDE = 96


@pytest.fixture(scope="module")
def scatter(library: SceneLibrary) -> Iterator[Scatter]:
    scene = next(scene for scene in library.scenes() if scene.record.family == "pick-and-place")
    stage = Stage(scene, Settings(domains.load("paper"), views=(View("policy", SIDE, SIDE),)), trusted=True)
    yield Scatter(stage)
    stage.close()


def test_the_same_seed_gives_the_same_pictures(scatter: Scatter) -> None:
    one, two = scatter.pictures(5, 3), scatter.pictures(5, 3)
    for before, after in zip(one, two, strict=True):
        assert (before.observation.images["policy"] == after.observation.images["policy"]).all()
        assert all((before.points[name] == after.points[name]).all() for name in before.points)


def test_arm_and_objects_move(scatter: Scatter) -> None:
    many = [sight for seed in range(6) for sight in scatter.pictures(seed, 4)]
    tools = np.array([sight.observation.state[:3] for sight in many])
    assert (np.ptp(tools, axis=0) > [0.05, 0.1, 0.05]).all()
    assert np.ptp([sight.observation.state[6] for sight in many]) > 0.5
    for name in many[0].points:
        assert np.ptp([sight.points[name][:2] for sight in many], axis=0).max() > 0.02


def test_pixels_are_where_an_object_is_drawn(scatter: Scatter) -> None:
    """Each object alone in the picture: its pixels lie around the one that is said to show its middle."""
    stage, checked = scatter.stage, 0
    for seed in range(8):
        sight = scatter.pictures(seed, 1)[0]
        for name, body in stage.free.items():
            only = stage.model.body_rootid[stage.model.geom_bodyid] == body
            shown = stage.lens().geoms(scatter.world.data, "policy", SIDE, SIDE, only)
            rows, columns = np.nonzero(np.isin(shown, np.flatnonzero(only)))
            if len(rows) < 20 or min(rows.min(), columns.min()) == 0 or max(rows.max(), columns.max()) == SIDE - 1:
                continue
            middle = np.array([columns.min() + columns.max() + 1, rows.min() + rows.max() + 1]) / 2 / SIDE
            assert seen_at(sight.camera[None], sight.points[name])[0, 0] == pytest.approx(middle, abs=3.5 / SIDE), name
            checked += 1
    assert checked > 10


def test_the_hand_is_often_where_demonstrations_have_it(scatter: Scatter) -> None:
    """With the hand over the target or the target in it are three frames of five; pictures without them teach nothing of those."""
    over = []
    for seed in range(50):
        for sight in scatter.pictures(seed, 4):
            away = [np.linalg.norm(point[:2] - sight.observation.state[:2]) for point in sight.points.values()]
            over.append(min(away) < 0.03)
    assert 0.5 < np.mean(over) < 0.9


def test_what_is_held_is_between_the_fingers(scatter: Scatter) -> None:
    """Off the table and off all other objects are only things in the hand, and the fingers are about them."""
    stage, held = scatter.stage, 0
    motions = Motions(stage, Hand(stage), list(stage.free))
    for seed in range(120):
        sight = scatter.pictures(seed, 1)[0]
        motions.look(scatter.world.data, scatter.world.target)
        clouds = {name: motions.cloud(name) for name in stage.free}
        name = max(clouds, key=lambda each: float(clouds[each][:, 2].min()))
        rest = max(float(cloud[:, 2].max()) for other, cloud in clouds.items() if other != name)
        if clouds[name][:, 2].min() < rest + 0.002:
            continue  # may stand on another one
        held += 1
        rotation = scatter.world.data.site_xmat[stage.at.tool].reshape(3, 3)
        inside = (clouds[name] - sight.observation.state[:3]) @ rotation
        between = inside[(np.abs(inside[:, 0]) < PAD) & (np.abs(inside[:, 2]) < PAD)]
        wide = sight.observation.state[6] * stage.recipe.gripper.opening
        assert len(between), name
        assert np.ptp(between[:, 1]) == pytest.approx(wide, abs=0.006), name
    assert held > 10


def test_objects_stand_in_and_on_others(scatter: Scatter) -> None:
    motions = Motions(scatter.stage, Hand(scatter.stage), list(scatter.stage.free))
    rng, onto = np.random.default_rng(0), 0
    names = sorted(scatter.stage.free)
    for seed in range(12):
        scatter.pictures(seed, 1)
        data = scatter.world.data
        for name in names:
            scatter._put_onto(name, rng)
            motions.look(data, scatter.world.target)
            cloud = motions.cloud(name)
            others = np.concatenate([motions.cloud(other) for other in scatter.stage.ids if other != name])
            bottom = cloud[:, 2].min()
            near = others[np.linalg.norm(others[:, :2] - data.xpos[scatter.stage.ids[name]][:2], axis=1) < 0.05]
            assert bottom < 0.002 or np.abs(near[:, 2] - bottom).min() < 0.002
            onto += bottom > 0.002
    assert onto > len(names) * 6


def test_things_that_stray_lie_on_the_table_beside_the_others(scatter: Scatter) -> None:
    """On what they stand on, or tipped about an axis of their own: never on a corner."""
    stage, rng = scatter.stage, np.random.default_rng(0)
    motions, fallen, moved = Motions(stage, Hand(stage), list(stage.free)), 0, 0
    for seed in range(20):
        scatter.world.scatter(seed)
        scatter._know_ways()
        for name, body in stage.free.items():
            scatter._look()
            before = scatter.world.data.xpos[body].copy()
            scatter._stray(name, rng)
            scatter._look()
            motions.look(scatter.world.data, scatter.world.target)
            cloud = motions.cloud(name)
            if np.array_equal(scatter.world.data.xpos[body], before):
                continue  # no room
            moved += 1
            assert cloud[:, 2].min() == pytest.approx(0, abs=1e-6)
            middle = (cloud.min(axis=0) + cloud.max(axis=0))[:2] / 2
            others = np.concatenate([motions.cloud(other) for other in stage.ids if other != name])
            room = np.linalg.norm(cloud[:, :2] - middle, axis=1).max()
            assert np.linalg.norm(others[:, :2] - middle, axis=1).min() > room - 1e-9
            if abs(scatter.world.data.xmat[body][8]) < 0.5:
                fallen += 1
                assert scatter.world.data.xmat[body][6:8].round(2).tolist() in ([1, 0], [-1, 0], [0, 1], [0, -1])
                assert scatter._take(name, rng) is None
    assert moved > 20 * len(stage.free) / 2
    assert fallen > moved / 10


def test_pictures_show_what_rolled_away_and_fell_over(scatter: Scatter) -> None:
    """Where a policy errs, things are where no episode begins."""
    begun, shown, fallen, data = list[list[np.ndarray]](), list[list[np.ndarray]](), 0, scatter.world.data
    bodies = list(scatter.stage.free.values())
    for seed in range(60):
        scatter.world.scatter(seed)
        scatter._look()
        begun.append([data.xpos[body][:2].copy() for body in bodies])
        scatter.pictures(seed, 1)
        shown.append([data.xpos[body][:2].copy() for body in bodies])
        fallen += sum(abs(data.xmat[body][8]) < 0.5 for body in bodies)
    low, high = np.min(begun, axis=(0, 1)) - 0.01, np.max(begun, axis=(0, 1)) + 0.01
    beyond, count = ((shown < low) | (shown > high)).any(axis=2).sum(), 60 * len(bodies)
    assert 0.05 < beyond / count < 0.3
    assert 0.01 < fallen / count < 0.2


def test_no_time_passes(scatter: Scatter) -> None:
    scatter.pictures(0, 2)
    assert scatter.world.data.time == 0
    assert not scatter.world.data.warning.number.any()
    assert mujoco.mj_name2id(scatter.stage.model, mujoco.mjtObj.mjOBJ_CAMERA, "policy") >= 0

"""What is to be seen: labels stand where pictures show them, what cannot be seen teaches nothing, who sees all has no loss to lose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from trainer.policies.vision import CORNERS, GRID, HAND, HANDS, MARKS, TARGET, TAUGHT, Seen, known_points
from trainer.sight import Labels, _blobs, in_sight, sight_loss
from worldgen.sim.optics import on_table, seen_at
from worldgen.sim.truth import PRIVILEGED, SIGHT

SLOTS = len(TAUGHT) + 1


def cameras(count: int) -> np.ndarray:
    """Return cameras that look at a table as an arm's usual one does."""
    rng = np.random.default_rng(1)
    eye = rng.uniform([0.6, -0.2, 0.4], [0.9, 0.2, 0.6], (count, 3))
    ahead = np.array([0.15, 0, 0]) - eye
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.concatenate([eye, right, np.cross(right, ahead), np.full((count, 1), 0.75)], axis=1).astype(np.float32)


def labels(count: int = 12) -> Labels:
    rng = np.random.default_rng(0)
    points = rng.uniform([0.1, -0.12, 0.0], [0.3, 0.12, 0.05], (count, 2, 3)).astype(np.float32)
    points[::3, 1] = np.nan
    tool = rng.uniform([0.1, -0.1, 0.05, -0.5, -0.5, -2], [0.3, 0.1, 0.2, 0.5, 0.5, 2], (count, 6))
    return Labels(points, tool.astype(np.float32), cameras(count))


def perfect(true: Labels, moved: np.ndarray | None = None) -> tuple[Seen, torch.Tensor]:
    """Return what a network makes of pictures that sees all there is, and its answer."""
    shift = np.zeros((len(true.tool), 1, 2)) if moved is None else moved[:, None]
    places = torch.zeros(len(true.tool), 1, SLOTS, 2)
    places[:, 0, TAUGHT] = torch.from_numpy(np.nan_to_num(true.places() + shift, nan=0.5).astype(np.float32))
    maps = (_blobs(places) + 1e-12).log()
    corners = torch.from_numpy(on_table(true.camera, np.array(CORNERS) - shift).astype(np.float32))[
        :, None, None
    ].repeat(1, 1, 2, 1, 1)
    seen = Seen(torch.zeros(len(true.tool), 1, 1), maps, corners, places, torch.zeros_like(places))
    return seen, torch.from_numpy(np.nan_to_num(true.points))


def test_a_blob_sums_to_one_and_lies_where_the_place_is() -> None:
    rng = np.random.default_rng(0)
    places = torch.from_numpy(rng.uniform(0.1, 0.9, (50, 2)).astype(np.float32))
    blobs = _blobs(places)
    axis = (torch.arange(GRID) + 0.5) / GRID
    cells = torch.stack([axis.repeat(GRID), axis.repeat_interleave(GRID)], dim=1)
    assert blobs.sum(dim=-1).numpy() == pytest.approx(np.ones(50), abs=1e-5)
    assert (blobs @ cells).numpy() == pytest.approx(places.numpy(), abs=0.2 / GRID)


def test_labels_stand_where_the_camera_sees_them() -> None:
    true = labels()
    places = true.places()
    assert places.shape == (12, len(TAUGHT), 2)
    assert places[1, 0] == pytest.approx(seen_at(true.camera[1:2], true.points[1, 0])[0, 0], abs=1e-6)
    assert places[:, HAND] == pytest.approx(seen_at(true.camera, true.tool[:, None, :3])[:, 0], abs=1e-6)
    assert places[2, HAND + len(HANDS) :] == pytest.approx(seen_at(true.camera[2:3], MARKS)[0], abs=1e-6)
    assert np.isnan(places[::3, 1]).all()
    assert in_sight(places)[:, 0].all()
    assert not in_sight(places)[::3, 1].any()


def test_points_of_the_hand_lie_on_its_axis() -> None:
    true = labels(2)
    true.tool[:, 3:] = [[0, 0, 1.3], [0, 0.5, 0]]  # turned about the vertical, which moves no axis; leaning towards x
    back = np.array([[0, 0, 1], [np.sin(0.5), 0, np.cos(0.5)]])
    for index, height in enumerate(HANDS):
        points = true.tool[:, None, :3] + height * back[:, None]
        assert true.places()[:, HAND + index] == pytest.approx(seen_at(true.camera, points)[:, 0], abs=1e-6)
    known = known_points(torch.from_numpy(true.tool)).numpy()
    assert seen_at(true.camera, known) == pytest.approx(true.places()[:, HAND:], abs=1e-5)


def test_a_privileged_vector_says_what_is_to_be_seen() -> None:
    true = labels(4)
    vector = np.random.default_rng(0).normal(size=(4, PRIVILEGED)).astype(np.float32)
    vector[:, -SIGHT:] = np.concatenate([np.nan_to_num(true.points).reshape(4, 6), true.camera], axis=1)
    state = np.concatenate([true.tool, np.ones((4, 1), np.float32)], axis=1)
    found = Labels.of(vector, state)
    for name in ("points", "tool", "camera"):
        np.testing.assert_array_equal(getattr(found, name), getattr(true, name))


@pytest.mark.parametrize("shifted", [False, True])
def test_nobody_does_better_than_who_sees_all(shifted: bool) -> None:
    true, rng = labels(), np.random.default_rng(5)
    moved = rng.uniform(-0.04, 0.04, (12, 2)) if shifted else None
    seen, answer = perfect(true, moved)
    best, parts = sight_loss(seen, answer, true, moved)
    assert (parts["found"], parts["within 15 mm"]) == (1, 1)
    assert max(parts["median mm"], parts["ground mm"], parts["arm px"], parts["where"]) < 1e-3
    for spoilt in (
        replace(seen, corners=seen.corners + 0.01),
        replace(seen, places=seen.places + 0.01),
        replace(seen, maps=seen.maps.roll(1, dims=-1)),
    ):
        assert float(sight_loss(spoilt, answer, true, moved)[0]) > float(best) + 1e-3
    assert float(sight_loss(seen, answer + 0.01, true, moved)[0]) > float(best) + 1e-3
    if shifted:
        assert float(sight_loss(seen, answer, true)[0]) > float(best) + 1e-3


def test_what_is_out_of_sight_teaches_nothing() -> None:
    true = labels()
    seen, answer = perfect(true)
    away = true.points.copy()
    away[5:, 0] = [0.1, 3.0, 0.0]
    one, _ = sight_loss(seen, answer, replace(true, points=away))
    away[5:, 0] = [0.1, 4.0, 0.1]
    assert float(sight_loss(seen, answer, replace(true, points=away))[0]) == float(one)


def test_a_position_counts_only_where_the_thing_is_looked_at() -> None:
    true = labels()
    seen, answer = perfect(true)
    places = seen.places.clone()
    places[5:, 0, TARGET] += 0.5
    elsewhere = replace(seen, places=places)
    losses = []
    for off in (0.1, 0.2):
        wrong = answer.clone()
        wrong[5:, 0] += off
        losses.append(float(sight_loss(elsewhere, wrong, true)[0]))
    assert losses[0] == losses[1]

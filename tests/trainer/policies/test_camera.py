"""Cameras as tensors: the simulator's own geometry, derivatives against autograd, and the camera that sees points where they are seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from trainer.policies.camera import NUMBERS, Cameras, corrected, turned
from worldgen.sim.optics import on_table, seen_at


def some(count: int, seed: int = 0) -> tuple[Cameras, np.ndarray]:
    """Return cameras that look at a table as an arm's usual one does, also as `optics` has them."""
    rng = np.random.default_rng(seed)
    eye = rng.uniform([0.6, -0.2, 0.4], [0.9, 0.2, 0.6], (count, 3))
    ahead = np.array([0.15, 0, 0]) - eye
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    up, fov = np.cross(right, ahead), rng.uniform(0.6, 0.8, count)
    axes = torch.from_numpy(np.stack([right, up, ahead], axis=1))
    numbers = np.concatenate([eye, right, up, fov[:, None]], axis=1)
    return Cameras(torch.from_numpy(eye), axes, torch.from_numpy(np.tan(fov / 2))), numbers


def points(count: int, each: int = 8) -> torch.Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.uniform([0.0, -0.15, 0.0], [0.3, 0.15, 0.2], (count, each, 3)))


@pytest.fixture(autouse=True)
def _double() -> None:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_as_the_simulator_has_it() -> None:
    cameras, numbers = some(30)
    assert cameras.places(points(30)).numpy() == pytest.approx(seen_at(numbers, points(30).numpy()))
    shown = np.random.default_rng(2).uniform(0.1, 0.9, (30, 5, 2))
    assert cameras.table(torch.from_numpy(shown)).numpy() == pytest.approx(on_table(numbers, shown))


def test_turned() -> None:
    rng = np.random.default_rng(3)
    by, vectors = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    by[0] = 0
    found = turned(torch.from_numpy(by), torch.from_numpy(vectors)).numpy()
    assert found == pytest.approx(Rotation.from_rotvec(by).apply(vectors), abs=1e-6)


def test_slopes_are_derivatives() -> None:
    cameras, _ = some(4)
    places, slopes = cameras.slopes(points(4))
    assert torch.allclose(places, cameras.places(points(4)))
    for number in range(NUMBERS):
        step = torch.zeros(4, NUMBERS)
        step[:, number] = 1e-6
        ahead, behind = (cameras.moved(sign * step).places(points(4)) for sign in (1, -1))
        assert torch.allclose((ahead - behind) / 2e-6, slopes[..., number], atol=1e-5)


class TestCorrected:
    def test_the_camera_is_found(self) -> None:
        cameras, _ = some(20)
        moved = cameras.moved(0.03 * torch.randn(20, NUMBERS, generator=torch.Generator().manual_seed(0)))
        seen = cameras.places(points(20))
        found = corrected(moved, points(20), seen, torch.full((20, 8), 1e3), torch.full((NUMBERS,), 1e-2), steps=6)
        assert torch.allclose(found.eye, cameras.eye, atol=1e-5)
        assert torch.allclose(found.axes, cameras.axes, atol=1e-5)
        assert torch.allclose(found.wide, cameras.wide, atol=1e-5)

    def test_nothing_to_go_by_leaves_what_was_told(self) -> None:
        cameras, _ = some(5)
        found = corrected(cameras, points(5), torch.rand(5, 8, 2), torch.zeros(5, 8), torch.full((NUMBERS,), 30.0))
        assert torch.equal(found.eye, cameras.eye)

    def test_it_weighs_what_is_seen_against_what_is_told(self) -> None:
        """The likeliest camera of a linear Gaussian model is nearer to the truth than either source."""
        torch.manual_seed(0)
        cameras, _ = some(400)
        spread, noise = 0.02, 0.005
        told = cameras.moved(spread * torch.randn(400, NUMBERS))
        seen = cameras.places(points(400)) + noise * torch.randn(400, 8, 2)
        corners = torch.tensor([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]).expand(400, 4, 2)

        def off(trust: float, doubt: float) -> float:
            found = corrected(told, points(400), seen, torch.full((400, 8), trust), torch.full((NUMBERS,), doubt))
            return float((found.table(corners) - cameras.table(corners)).norm(dim=-1).mean())

        best = off(1 / noise, 1 / spread)
        assert best < min(
            off(0.0, 1.0), off(1 / noise, 1e-3), off(0.1 / noise, 1 / spread), off(10 / noise, 1 / spread)
        )

    def test_gradients_flow_to_all_that_it_is_given(self) -> None:
        cameras, _ = some(3)
        seen = (cameras.places(points(3)) + 0.01).requires_grad_()
        trust, doubt = torch.full((3, 8), 50.0, requires_grad=True), torch.full((NUMBERS,), 30.0, requires_grad=True)
        corrected(cameras, points(3), seen, trust, doubt).table(torch.full((3, 1, 2), 0.5)).sum().backward()
        for given in (seen, trust, doubt):
            assert given.grad is not None
            assert given.grad.isfinite().all()
            assert given.grad.abs().sum() > 0

"""The eye."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trainer.config import TrunkSettings
from trainer.policies.eye import Eye

SMALL = TrunkSettings(channels=16, blocks=2, width=32)


@pytest.mark.parametrize("size", [16, 48, 100])
def test_sizes_that_the_grid_does_not_divide_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size {size} px must be a multiple of 32"):
        Eye(size, SMALL)


class TestTakeFrom:
    @pytest.mark.parametrize(("channels", "blocks"), [(16, 2), (32, 2), (16, 5), (48, 3)])
    def test_a_larger_eye_sees_the_same(self, channels: int, blocks: int) -> None:
        torch.manual_seed(0)
        small, large = Eye(64, SMALL), Eye(64, replace(SMALL, channels=channels, blocks=blocks))
        for value in small.parameters():
            value.data += 0.3 * torch.randn_like(value)
        images = torch.randn(3, 3, 64, 64)
        before = large(images)
        large.take_from(small)
        for first, last, other in zip(small(images), large(images), before, strict=True):
            assert torch.allclose(first, last, rtol=1e-3, atol=1e-3 * float(first.detach().std()))
            assert not torch.allclose(first, other, rtol=1e-1)

    def test_copies_come_to_differ_and_what_was_added_learns(self) -> None:
        torch.manual_seed(0)
        small, large = Eye(64, SMALL), Eye(64, replace(SMALL, channels=32, blocks=3))
        large.take_from(small)
        place = large.place.detach()
        assert torch.equal(place[0], place[2]), (
            "a group has four channels, of which the last two are copies of the first two"
        )
        sum(part.square().sum() for part in large(torch.randn(3, 3, 64, 64))).backward()
        assert large.place.grad is not None
        assert not torch.allclose(large.place.grad[0], large.place.grad[2], rtol=1e-2)
        assert large.blocks[2].conv.weight.grad.abs().max() > 0

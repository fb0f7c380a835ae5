"""Frames as a policy learns from them: which count, what follows them, and how their pictures are changed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainer.errors import RunError
from trainer.windows import Windows, augment

from .handmade import frames_of


class TestWindows:
    @given(
        lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
        perturbed=st.lists(st.booleans(), min_size=35, max_size=35),
        success=st.lists(st.booleans(), min_size=5, max_size=5),
        horizon=st.integers(1, 9),
    )
    def test_against_a_loop(self, lengths: list[int], perturbed: list[bool], success: list[bool], horizon: int) -> None:
        data = frames_of(lengths, perturbed, success)
        wanted = []
        for episode, length in enumerate(lengths):
            end = int(data.starts[episode]) + length
            for frame in range(end - length, end):
                if not success[episode] or perturbed[frame]:
                    continue
                ahead = list(range(frame, min(end, frame + horizon)))
                pushed = [step for step in ahead if perturbed[step]]
                wanted.append((frame, ahead[: ahead.index(pushed[0])] if pushed else ahead))
        if not wanted:
            with pytest.raises(RunError, match="no successful, undisturbed frame"):
                Windows.of(data, horizon)
            return
        windows = Windows.of(data, horizon)
        assert windows.frames.tolist() == [frame for frame, _ in wanted]
        actions, valid = windows.actions(np.arange(len(wanted)))
        assert actions.shape == (len(wanted), horizon, 7)
        for row, (_, ahead) in enumerate(wanted):
            assert valid[row].tolist() == [step < len(ahead) for step in range(horizon)]
            assert actions[row, : len(ahead), 0].tolist() == ahead
            assert (actions[row] == actions[row, :, :1]).all()

    def test_rows_may_come_in_any_order_and_again(self) -> None:
        windows = Windows.of(frames_of([4, 3], [False] * 7, [True] * 2), 3)
        rows = np.array([5, 0, 0, 6])
        whole, valid = windows.actions(np.arange(7))
        some, some_valid = windows.actions(rows)
        assert (some == whole[rows]).all()
        assert (some_valid == valid[rows]).all()


def pictures(count: int = 5, cameras: int = 2, size: int = 12) -> Tensor:
    return torch.rand(count, cameras, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestAugment:
    def test_no_change_is_none(self) -> None:
        images = pictures()
        found, moved = augment(images, 0, 0.0, drawn())
        assert torch.equal(found, images)
        assert not moved.any()

    @given(st.integers(0, 99), st.integers(1, 5))
    def test_each_picture_is_moved_by_whole_pixels_of_its_own(self, seed: int, shift: int) -> None:
        images = pictures()
        found, told = augment(images, shift, 0.0, drawn(seed))
        assert found.shape == images.shape
        reach = torch.arange(images.shape[-1])
        moves = []
        for row in range(len(images)):
            fits = [
                (x, y)
                for x in range(-shift, shift + 1)
                for y in range(-shift, shift + 1)
                if torch.equal(found[row], images[row][..., (reach + y).clamp(0, 11), :][..., (reach + x).clamp(0, 11)])
            ]
            assert len(fits) == 1, "all cameras of a row alike, edges repeated"
            assert told[row].tolist() == [-fits[0][0], -fits[0][1]]
            moves += fits
        assert len(moves) == len(images)

    def test_moves_differ_between_pictures_and_fill_their_range(self) -> None:
        images = torch.zeros(400, 1, 3, 9, 9)
        images[..., 4, 4] = 1
        found, _ = augment(images, 2, 0.0, drawn())
        places = Counter(tuple(picture[0, 0].nonzero()[0].tolist()) for picture in found)
        assert set(places) == {(y, x) for y in range(2, 7) for x in range(2, 7)}

    @given(st.integers(0, 99), st.floats(0.01, 1.0))
    def test_colours_stay_in_range_and_are_one_line_a_channel(self, seed: int, colour: float) -> None:
        images = pictures()
        images[:, 1] = images[:, 0]
        found, _ = augment(images, 0, colour, drawn(seed))
        assert found.min() >= -1
        assert found.max() <= 1
        assert torch.equal(found[:, 0], found[:, 1])
        offsets = []
        for row in range(len(images)):
            for channel in range(3):
                x, y = images[row, 0, channel].flatten(), found[row, 0, channel].flatten()
                inside = y.abs() < 1
                if inside.sum() > 20:
                    gain, offset = np.polyfit(x[inside].numpy(), y[inside].numpy(), 1)
                    assert abs(gain - 1) <= colour + 1e-4
                    assert abs(offset) <= colour + 1e-4
                    offsets.append((row, round(float(offset), 3)))
        assert len({row for row, _ in set(offsets)}) == len(set(offsets)), "one brightness a picture"

    def test_the_given_pictures_stay(self) -> None:
        images = pictures()
        before = images.clone()
        augment(images, 3, 0.3, drawn())
        assert torch.equal(images, before)

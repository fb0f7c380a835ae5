"""The trunk: what is padding, hidden or later changes nothing; what is shown does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.policies import vision
from trainer.policies.eye import GRID
from trainer.policies.text import LENGTH
from trainer.policies.vision import Block, Reader, Trunk

from .handmade import SMALL

PIECES = 50


def randomised(net: torch.nn.Module) -> Any:
    """Give everything that starts at zero a value, so that it counts."""
    for value in net.parameters():
        if value.abs().max() == 0:
            torch.nn.init.normal_(value, std=0.3)
    return net.eval()


@pytest.fixture
def trunk() -> Trunk:
    torch.manual_seed(0)
    return randomised(Trunk(2, 32, 7, PIECES, LENGTH, SMALL))


def seen(count: int, cameras: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, cameras, 3, 32, 32, generator=rng) * 2 - 1, torch.randn(count, 7, generator=rng)


def said(*lengths: int) -> Tensor:
    """Return instructions of so many pieces, with padding behind."""
    rng = torch.Generator().manual_seed(len(lengths))
    pieces = torch.randint(1, PIECES, (len(lengths), LENGTH), generator=rng)
    return pieces * (torch.arange(LENGTH) < torch.tensor(lengths)[:, None])


def look(trunk: Trunk, images: Tensor, state: Tensor, pieces: Tensor) -> tuple[Tensor, Tensor]:
    """Return tokens and maps."""
    found = trunk(images, state, 0.1 * state[:, :6], pieces)
    return found.tokens, found.maps


@pytest.mark.parametrize("half", [False, True])
def test_what_is_seen_hangs_on_no_neighbour(trunk: Trunk, monkeypatch: pytest.MonkeyPatch, half: bool) -> None:
    """Else densities would not repeat between acting and learning, whose batches are of other sizes."""
    monkeypatch.setattr(vision, "_HALF", half)
    (images, state), pieces = seen(9), said(5).expand(9, -1)
    _, maps = look(trunk, images, state, pieces)
    for rows in (slice(0, 1), slice(2, 7)):
        assert torch.allclose(maps[rows], look(trunk, images[rows], state[rows], pieces[rows])[1], atol=1e-6)


def test_half_precision_sees_the_same(trunk: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    (images, state), pieces, found = seen(9), said(5).expand(9, -1), []
    for half in (False, True):
        monkeypatch.setattr(vision, "_HALF", half)
        found.append(look(trunk, images, state, pieces)[1])
    assert not torch.equal(*found)
    assert float((found[0] - found[1]).abs().max()) < 0.03 * float(found[0].abs().max())


class TestPadding:
    @pytest.mark.parametrize("length", [0, 1, 5, LENGTH])
    def test_a_longer_neighbour_changes_nothing(self, trunk: Trunk, length: int) -> None:
        images, state = seen(3)
        pieces = said(length, 9, LENGTH)
        memory, maps = look(trunk, images, state, pieces)
        alone, map_alone = look(trunk, images[:1], state[:1], pieces[:1])
        assert torch.allclose(alone[0], memory[0], atol=1e-5)
        assert torch.allclose(map_alone[0], maps[0], atol=1e-5)

    def test_more_room_changes_nothing(self) -> None:
        reader = randomised(Reader(PIECES, LENGTH, SMALL))
        pieces = said(4, 6)
        for short, long in zip(reader(pieces[:, :6]), reader(pieces), strict=True):
            assert torch.allclose(short.float(), long.float())

    def test_nothing_said_is_finite_and_differs_from_something_said(self, trunk: Trunk) -> None:
        images, state = seen(1)
        memory, maps = look(trunk, images, state, said(0))
        assert memory.isfinite().all()
        assert maps.isfinite().all()
        assert not torch.allclose(memory, look(trunk, images, state, said(3))[0], atol=1e-3)

    def test_nobody_at_all(self, trunk: Trunk) -> None:
        images, state = seen(0)
        memory, maps = look(trunk, images, state, said())
        assert (len(memory), len(maps)) == (0, 0)


class TestTrunk:
    def test_shapes(self, trunk: Trunk) -> None:
        memory, maps = look(trunk, *seen(3), said(1, 2, 3))
        assert memory.shape == (3, 2 * (SMALL.slots + 1) + 2, SMALL.width)
        assert maps.shape == (3, 2, SMALL.slots, GRID * GRID)

    def test_many_sentences_about_a_picture_are_as_many_pictures_with_one(self, trunk: Trunk) -> None:
        (images, state), pieces = seen(2), said(2, 5, 7, 3, 1, 4)
        together, maps = look(trunk, images, state, pieces)
        each = [0, 0, 0, 1, 1, 1]
        alone, map_alone = look(trunk, images[each], state[each], pieces)
        assert torch.allclose(together, alone, atol=1e-5)
        assert torch.allclose(maps, map_alone, atol=1e-5)

    def test_rows_are_independent(self, trunk: Trunk) -> None:
        (images, state), pieces = seen(4), said(3, 3, 5, 5)
        together, _ = look(trunk, images, state, pieces)
        order = [2, 0, 3, 1]
        turned, _ = look(trunk, images[order], state[order], pieces[order])
        assert torch.allclose(turned, together[order], atol=1e-5)

    @pytest.mark.parametrize("camera", [0, 1])
    def test_each_camera_has_its_own_maps(self, trunk: Trunk, camera: int) -> None:
        (images, state), pieces = seen(1), said(4)
        other = images.clone()
        other[:, camera] = 0
        (_, before), (_, after) = look(trunk, images, state, pieces), look(trunk, other, state, pieces)
        assert not torch.allclose(before[:, camera], after[:, camera], atol=1e-3)
        assert torch.equal(before[:, 1 - camera], after[:, 1 - camera])

    def test_words_change_where_it_looks(self, trunk: Trunk) -> None:
        images, state = seen(1)
        assert not torch.allclose(
            look(trunk, images, state, said(4))[1], look(trunk, images, state, said(7))[1], atol=1e-3
        )


class TestBlock:
    @pytest.fixture
    def block(self) -> Block:
        torch.manual_seed(1)
        return randomised(Block(32, 2, across=True))

    def tokens(self, count: int = 6, seed: int = 0) -> Tensor:
        return torch.randn(2, count, 32, generator=torch.Generator().manual_seed(seed))

    def test_hidden_tokens_are_not_looked_at(self, block: Block) -> None:
        tokens, hidden = self.tokens(), torch.zeros(2, 6, dtype=torch.bool)
        hidden[0, 2] = hidden[1, 4:] = True
        other = torch.where(hidden[..., None], torch.tensor(9.0), tokens)
        before, after = block(tokens, hidden), block(other, hidden)
        assert torch.allclose(before[~hidden], after[~hidden], atol=1e-6)
        assert not torch.allclose(before, block(tokens), atol=1e-3)

    def test_hidden_memory_is_not_looked_at(self, block: Block) -> None:
        tokens, memory = self.tokens(), self.tokens(5, seed=2)
        hidden = torch.zeros(2, 5, dtype=torch.bool)
        hidden[:, 3:] = True
        other = torch.where(hidden[..., None], torch.tensor(9.0), memory)
        before = block(tokens, None, block.offered(memory), hidden)
        assert torch.allclose(before, block(tokens, None, block.offered(other), hidden), atol=1e-6)
        assert torch.allclose(before, block(tokens, None, block.offered(memory[:, :3])), atol=1e-6)
        assert not torch.allclose(before, block(tokens, None, block.offered(memory)), atol=1e-3)

    def test_all_tokens_are_seen(self, block: Block) -> None:
        tokens = self.tokens()
        other = tokens.clone()
        other[:, -1] = self.tokens(seed=5)[:, -1]
        assert not torch.allclose(block(tokens)[:, 0], block(other)[:, 0], atol=1e-3)

    @pytest.mark.parametrize("rows", [1, 3])
    def test_rows_that_share_a_memory(self, block: Block, rows: int) -> None:
        """As if each had a memory of its own."""
        memory, tokens = self.tokens(5, seed=2), torch.cat([self.tokens(seed=seed) for seed in range(rows)])
        whole = block(tokens, None, block.offered(memory))
        alone = block(tokens, None, block.offered(memory.repeat_interleave(rows, dim=0)))
        assert torch.allclose(whole, alone, atol=1e-6)
        assert not torch.allclose(whole, block(tokens, None, block.offered(memory.flip(0))), atol=1e-3)

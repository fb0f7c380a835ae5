"""The trunk: pictures, words and the arm's state → a few tokens that say where what was named is. Knows no actions, no losses.

Pictures are seen without words, so that many sentences can be asked about one. Words form queries; each query picks a cell of the
picture by one attention map over all of it, looks closely around that, and passes on what it sees there and where on the table that is.
Tokens, not parameters, are the cost on a CPU: the transformer behind sees `slots` of them, not pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TrunkSettings
from .camera import NUMBERS, Cameras, corrected, turned
from .eye import FINE, FINER, GRID, GROUPS, Eye

_NEAR = 1.5
"""How far around the middle of the cell that was picked is looked at, in cells. A mean over all of a map would lie between two candidates."""
_FAR = 1.5
"""No place looked at lies farther along x or y [m]: at first the corners are anywhere, and so would be what they lead to."""
_REACH = 0.1
"""Length that places on the table are counted in [m]."""
_WAVES = 6
"""Sines and cosines that each coordinate of a place is told with; two bare numbers are learned from far more slowly."""
TARGET, OTHER, HAND = 0, 1, 2
"""Slots whose maps are taught: what is to be moved, where it is to go, and from `HAND` on the points of `HANDS` and then of `MARKS`."""
HANDS = (0.0, 0.06, 0.12)
"""Points on the axis of the hand, so far behind the tool's point [m]."""
MARKS = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.12), (0.0, 0.06, 0.02), (0.0, -0.06, 0.02), (0.08, 0.0, 0.02))
"""Points on and in the foot of the arm, in the base frame [m]."""
_FIXED = tuple(range(HAND, HAND + len(HANDS) + len(MARKS)))
"""Slots whose points in space are known without looking: where they are seen tells where the camera is."""
TAUGHT = (TARGET, OTHER, *_FIXED)
CORNERS = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
"""Places in a picture, as shares of its width and height, whose points on the table show how well the camera is known."""
_EYE, _WIDE = (0.745, 0.0, 0.513), 0.364
"""Where an arm's usual camera is [m], and the tangent of half its field of view."""
_AXES = ((0.0, 1.0, 0.0), (-0.69, 0.0, 0.724), (-0.724, 0.0, -0.69))
"""What is right, up and ahead of it."""
_SURE, _NEARLY = 96.0, 30.0
"""One over the standard deviations of where known points are seen [pictures] and of what is told of a camera, at first."""
_ODD = 0.04
"""How far from where it should be a point may be seen before it counts for less, as a share of the picture."""

_ABLE: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
_HALF = bool(_ABLE.get("avx512_bf16") or _ABLE.get("amx_bf16"))
"""Whether this processor multiplies bfloat16 itself. Features of pictures are then made with it, in half the time; where things are told to be
moves by .1 mm in the median. Older versions of torch cannot tell, and then it is not done. Words, tokens and decisions stay in single
precision: densities must repeat."""


@dataclass(frozen=True)
class Seen:
    """What the trunk makes of N observations and K sentences about each."""

    tokens: Tensor
    """(N * K, V * (slots + 1) + 2, W): of each camera the slots and then the view; the state; the words."""
    maps: Tensor
    """(N * K, V, slots, GRID * GRID) logits of each slot's map."""
    corners: Tensor
    """(N * K, V, 2, 4, 2) where `CORNERS` lie on the table, in the base frame [m]: by the camera as told and as corrected."""
    places: Tensor
    """(N * K, V, slots, 2) where in the picture each slot looks, as shares of its width and height."""
    points: Tensor
    """(N * K, V, slots, 2) where what each slot looks at lies on the table, in the base frame [m]."""


class Reader(nn.Module):
    """Pieces of an instruction → tokens and one vector for all of it."""

    def __init__(self, pieces: int, length: int, settings: TrunkSettings) -> None:
        super().__init__()
        self.pieces = nn.Embedding(pieces, settings.width, padding_idx=0)
        self.places = nn.Parameter(0.02 * torch.randn(length, settings.width))
        self.layers = nn.ModuleList([Block(settings.width, settings.heads) for _ in range(settings.text_layers)])
        nn.init.normal_(self.pieces.weight, std=0.3)

    def forward(self, pieces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens (N, L, W), which of them are padding (N, L), and their mean (N, W)."""
        length = max(int((pieces > 0).sum(dim=1).max()), 1) if len(pieces) else 1
        pieces = pieces[:, :length]
        padding = pieces == 0
        padding[:, 0] = False  # an empty instruction is one token
        tokens = self.pieces(pieces) + self.places[:length]
        for layer in self.layers:
            tokens = layer(tokens, padding)
        kept = (~padding).to(tokens.dtype)[..., None]
        return tokens, padding, (tokens * kept).sum(dim=1) / kept.sum(dim=1)


Offered = tuple[Tensor, Tensor]
"""Keys and values (N, heads, M, W / heads)."""


class Block(nn.Module):
    """A transformer layer, normalised first; looks at `memory` too where it has been made for that."""

    def __init__(self, width: int, heads: int, across: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.mix, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        if across:
            self.seek_norm, self.seek = nn.LayerNorm(width), nn.Linear(width, width)
            self.offer, self.found = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.last_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def offered(self, memory: Tensor) -> Offered:
        """Return what this layer finds in a memory (N, M, W): made once, however often it is looked at."""
        key, value = map(self._split, self.offer(memory).chunk(2, dim=-1))
        return key, value

    def forward(
        self,
        tokens: Tensor,
        hidden: Tensor | None = None,
        offered: Offered | None = None,
        hidden_memory: Tensor | None = None,
    ) -> Tensor:
        """Return tokens (R * N, L, W).

        Args:
            tokens: (R * N, L, W): R rows next to each other look at the same memory.
            hidden: (R * N, L) tokens that no token looks at.
            offered: What `offered` makes of a memory (N, M, W).
            hidden_memory: (N, M) tokens of the memory that no token looks at.
        """
        query, key, value = map(self._split, self.mix(self.norm(tokens)).chunk(3, dim=-1))
        mask = None if hidden is None else ~hidden[:, None, None]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        tokens = tokens + self.out(self._join(seen))
        if offered is not None:
            key, value = offered
            mask = None if hidden_memory is None else ~hidden_memory[:, None, None]
            count, (rows, length, width) = len(key), tokens.shape
            query = self.seek(self.seek_norm(tokens)).reshape(count, rows // max(count, 1) * length, width)
            seen = F.scaled_dot_product_attention(self._split(query), key, value, attn_mask=mask)
            tokens = tokens + self.found(self._join(seen)).reshape(rows, length, width)
        out: Tensor = tokens + self.mlp(self.last_norm(tokens))
        return out

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _join(self, heads: Tensor) -> Tensor:
        return heads.transpose(1, 2).flatten(2)


def offers(layers: Iterable[nn.Module], memory: Tensor) -> list[Offered]:
    """Return what each of some blocks finds in a memory (N, M, W)."""
    return [cast(Block, layer).offered(memory) for layer in layers]


class Ground(nn.Module):
    """Where a camera stands: told from the whole picture, then corrected until it sees points where they are seen."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        last = nn.Linear(width, NUMBERS)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.tell = nn.Sequential(nn.Linear(given, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), last)
        self.trust = nn.Parameter(torch.full((len(_FIXED),), math.log(_SURE)))
        self.doubt = nn.Parameter(torch.full((NUMBERS,), math.log(_NEARLY)))
        for name, value in (("eye", _EYE), ("axes", _AXES), ("wide", _WIDE)):
            self.register_buffer(name, torch.tensor(value), persistent=False)
        self.eye: Tensor
        self.axes: Tensor
        self.wide: Tensor

    def forward(self, known: Tensor, points: Tensor, places: Tensor | None) -> tuple[Cameras, Cameras]:
        """Return cameras as told and as corrected.

        Args:
            known: (N, G) what is known of each view.
            points: (N, F, 3) points in the base frame [m].
            places: (N, F, 2) where they are seen. One that should be elsewhere counts for less, one that should be outside for nothing.
                None where that is not known: then nothing is corrected.
        """
        count = len(known)
        usual = Cameras(self.eye.expand(count, 3), self.axes.expand(count, 3, 3), self.wide.expand(count))
        told = usual.moved(_REACH * self.tell(known))
        if places is None:
            return told, told
        due = told.places(points)
        inside = ((due - 0.5).abs() < 0.5).all(dim=-1)
        odd2 = ((due - places) ** 2).sum(dim=-1) / _ODD**2
        trust = self.trust.exp() * inside / (1 + odd2).sqrt()
        return told, corrected(told, points, places, trust, self.doubt.exp())


def known_points(hand: Tensor) -> Tensor:
    """Return the points of `HANDS` and `MARKS` (N, F, 3) [m], given the tool's points and rotation vectors from pointing down (N, 6)."""
    back = turned(hand[:, 3:], hand.new_tensor([0.0, 0.0, 1.0]).expand(len(hand), 3))
    along = hand[:, None, :3] + hand.new_tensor(HANDS)[:, None] * back[:, None]
    return torch.cat([along, hand.new_tensor(MARKS).expand(len(hand), -1, -1)], dim=1)


class Trunk(nn.Module):
    """Pictures, words and state → memory tokens.

    Args:
        cameras: How many pictures.
        size: Width and height of each [px].
        state: Numbers of the state.
        pieces: Size of the vocabulary.
        length: Most pieces of an instruction.
        settings: Sizes.

    Raises:
        ValueError: When sizes do not fit each other.
    """

    def __init__(
        self, cameras: int, size: int, state: int, pieces: int, length: int, settings: TrunkSettings = TrunkSettings()
    ) -> None:
        super().__init__()
        width = settings.width
        _require(settings)
        self.settings = settings
        self.reader = Reader(pieces, length, settings)
        self.eyes = nn.ModuleList([Eye(size, settings) for _ in range(cameras)])
        self.queries = nn.Parameter(0.3 * torch.randn(settings.slots, width))
        self.asks = Block(width, settings.heads, across=True)
        self.seek, self.peer = nn.Linear(width, width), nn.Linear(width, FINE)
        known = width + len(_FIXED) * (2 + 4 * _WAVES) + state
        self.grounds = nn.ModuleList([Ground(known, 2 * width) for _ in range(cameras)])
        told = width + 4 * _WAVES + 4
        self.sees = nn.Sequential(nn.Linear(told, width), nn.GELU(), nn.Linear(width, width))
        self.feels = nn.Sequential(nn.Linear(state, width), nn.GELU(), nn.Linear(width, width))
        self.says = nn.Linear(width, width)
        self.kinds = nn.Parameter(0.02 * torch.randn(cameras * (settings.slots + 1) + 2, width))
        self.layers = nn.ModuleList([Block(width, settings.heads) for _ in range(settings.layers)])
        self.norm = nn.LayerNorm(width)
        coarse, fine = _cells(GRID), _cells(FINER * GRID)
        for name, cells in (("around", coarse), ("close", fine)):
            off = (coarse[:, None] - cells).abs().amax(dim=-1)
            self.register_buffer(name, off < _NEAR / GRID, persistent=False)
        self.register_buffer("cells", fine, persistent=False)
        self.cells: Tensor
        self.around: Tensor
        self.close: Tensor

    def forward(self, images: Tensor, state: Tensor, hand: Tensor, pieces: Tensor) -> Seen:
        """Look at pictures and read.

        Args:
            images: (N, V, 3, S, S) in [-1, 1].
            state: (N, S) normalised.
            hand: (N, 6) the tool's point [m] and its rotation vector from pointing down [rad], in the base frame.
            pieces: (N * K, L) numbers of pieces, 0 for padding: K sentences about each picture, next to each other.
        """
        count, slots = len(state), self.settings.slots
        asked = len(pieces) // max(count, 1)
        tokens, padding, words = self.reader(pieces)
        queries = self.asks(self.queries.expand(len(pieces), -1, -1), None, self.asks.offered(tokens), padding)
        seek, peer = (ask(queries).unflatten(0, (count, asked)).flatten(1, 2) for ask in (self.seek, self.peer))
        state, hand = state.repeat_interleave(asked, dim=0), hand.repeat_interleave(asked, dim=0)
        tool, marks = hand[:, None, :2], known_points(hand)
        usual = images.new_tensor(CORNERS).expand(len(pieces), -1, -1)
        memory, maps, corners, looks, points = [], [], [], [], []
        for index, (eye, ground) in enumerate(zip(self.eyes, self.grounds, strict=True)):
            with torch.autocast("cpu", torch.bfloat16, enabled=_HALF and images.dtype == torch.float32):
                features = eye(images[:, index])
            cells, fine, view = (part.to(images.dtype) for part in features)
            view = view.repeat_interleave(asked, dim=0)
            logits = seek @ cells.transpose(1, 2) / cells.shape[2] ** 0.5
            picked = logits.argmax(dim=-1)
            found = logits.masked_fill(~self.around[picked], -torch.inf).softmax(dim=-1) @ cells
            closely = peer @ fine.transpose(1, 2) / FINE**0.5
            places = closely.masked_fill(~self.close[picked], -torch.inf).softmax(dim=-1) @ self.cells
            logits, found, places = (
                part.unflatten(1, (asked, slots)).flatten(0, 1) for part in (logits, found, places)
            )
            waves = _waves(places)
            fixed = torch.cat([4 * places[:, _FIXED] - 2, waves[:, _FIXED]], dim=-1)
            known = torch.cat([view, fixed.flatten(1), state], dim=1)
            spots = None if index else places[:, _FIXED]  # where marks are seen is taught in the first picture only
            told, camera = ground(known, marks, spots)
            point = camera.table(places).clamp(-_FAR, _FAR)
            where = torch.cat([waves, point / _REACH, (point - tool) / _REACH], dim=-1)
            memory += [self.sees(torch.cat([found, where], dim=-1)) + queries, view[:, None]]
            maps.append(logits)
            corners.append(torch.stack([one.table(usual) for one in (told, camera)], dim=1))
            looks.append(places)
            points.append(point)
        memory += [self.feels(state)[:, None], self.says(words)[:, None]]
        seen = torch.cat(memory, dim=1) + self.kinds
        for layer in self.layers:
            seen = layer(seen)
        return Seen(self.norm(seen), *(torch.stack(parts, dim=1) for parts in (maps, corners, looks, points)))


def _require(settings: TrunkSettings) -> None:
    """Raises ValueError when sizes do not fit each other."""
    for name, value in asdict(settings).items():
        if value < (name not in ("blocks", "layers", "text_layers")):
            raise ValueError(f"trunk.{name} {value} is too small.")
    if settings.channels % GROUPS:
        raise ValueError(f"trunk.channels {settings.channels} must be a multiple of {GROUPS}.")
    if settings.width % settings.heads:
        raise ValueError(f"trunk.width {settings.width} must be a multiple of trunk.heads {settings.heads}.")
    if settings.slots < len(TAUGHT):
        raise ValueError(f"trunk.slots {settings.slots} must be at least {len(TAUGHT)}: so many are taught.")


def _cells(count: int) -> Tensor:
    """Return the middles (count², 2) of the cells of a picture, x and y, row by row, as shares of its width and height."""
    axis = (torch.arange(count) + 0.5) / count
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def _waves(places: Tensor) -> Tensor:
    """Return places (…, 2) in [0, 1] as sines and cosines of half a turn, one, two, four ... (…, 4 * _WAVES)."""
    turns = torch.pi * 2.0 ** torch.arange(_WAVES, dtype=places.dtype)
    phase = (places[..., None] * turns).flatten(-2)
    return torch.cat([phase.sin(), phase.cos()], dim=-1)

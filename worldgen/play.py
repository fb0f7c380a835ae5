"""Scenes in motion: an expert or a random arm plays them, as numbers and as a film. Knows worlds, not policies that learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import numpy as np

from .camera import Image, require_size
from .errors import WorldsError
from .library import Scene
from .render import write_film
from .sim import domains
from .sim.expert import Expert, Noise
from .sim.stage import PART, Settings, Stage
from .sim.vetting import require_whole
from .sim.world import MAX_SEED, World

Policy = Literal["expert", "random"]
MAX_FILMS = 64
"""Episodes side by side in one film: each keeps its scene in memory."""
MAX_NOISE = 0.05
"""Largest standard deviation of mistakes [m]."""
EVERY = 2
"""Of the looks that a world offers, every so many become a picture of a film."""
_EDGE = 3
"""Width of the frame around an episode that is over [px]."""
_SUCCEEDED, _FAILED = (60, 170, 80), (200, 60, 50)
_PAUSE = 12
"""Pictures for which a film shows its end."""


@dataclass(frozen=True)
class Played:
    """What came of one episode."""

    scene: str
    seed: int
    end: str
    seconds: float
    """Time in the world [s]."""
    trouble: str = ""
    """What went wrong, in the expert's words."""


Tell = Callable[[int, int], None]
"""Called with how many episodes are over and how many there are."""


def play(
    scenes: Sequence[Scene],
    *,
    policy: Policy = "expert",
    seed: int = 0,
    episodes: int = 1,
    domain: str | Path = "paper",
    noise: float = 0.0,
    video: Path | None = None,
    size: tuple[int, int] = (320, 240),
    camera: str = "preview",
    progress: Tell | None = None,
) -> list[Played]:
    """Play episodes of scenes and return what came of each; with `video` also film them, side by side.

    Args:
        scenes: To play, in order.
        policy: Who acts.
        seed: Of the first episode of each scene.
        episodes: Of each scene.
        domain: Preset or .json file: what is drawn anew at each reset.
        noise: Standard deviation of mistakes that the expert makes on purpose [m].
        video: .mp4 or .gif to write.
        size: Width and height of one episode in the film [px].
        camera: Camera of the film.
        progress: Told of each episode that is over.

    Raises:
        SceneError: When a scene was changed since it was made, is not safe, or cannot be compiled.
        WorldsError: When a number makes no sense.
        DomainError: When there is no such domain.
        RenderError: When the film cannot be drawn or written.
    """
    _require(seed, episodes, noise, len(scenes) * episodes if video else 0)
    if video:
        require_size(*size)
    settings = Settings(domains.load(domain, deployment=True), views=())
    for scene in scenes:
        require_whole(scene.folder)
    found: list[Played] = []

    def done(played: Played) -> None:
        found.append(played)
        if progress:
            progress(len(found), len(scenes) * episodes)

    def players() -> Iterator[_Player]:
        for scene in scenes:
            stage = Stage(scene, settings)
            yield from (_Player(stage, seed + index, policy, noise) for index in range(episodes))

    if video is None:
        for player in players():
            for _ in player.frames(None):
                pass
            done(player.played())
    else:
        filmed = list(players())
        films = [_film(player, camera, size, done) for player in filmed]
        columns = math.ceil(math.sqrt(len(films)))
        shape = columns * (size[0] + size[0] % 2), math.ceil(len(films) / columns) * (size[1] + size[1] % 2)
        rate = 1 / (EVERY * PART * filmed[0].world.model.opt.timestep)
        write_film(video, shape, _grid(films, columns, size), rate)
    return sorted(found, key=lambda played: (played.scene, played.seed))


def _require(seed: int, episodes: int, noise: float, films: int) -> None:
    """Refuse numbers that make no sense."""
    for name, value, low, high in (
        ("seed", seed, 0, MAX_SEED),
        ("episodes", episodes, 1, 10_000),
        ("noise", noise, 0, MAX_NOISE),
        ("episodes in one film", films, 0, MAX_FILMS),
    ):
        if not low <= value <= high:
            raise WorldsError(f"{name} {value:g} is outside [{low}, {high:g}].")


class _Player:
    """One episode under way."""

    def __init__(self, stage: Stage, seed: int, policy: Policy, noise: float) -> None:
        self.world, self.seed = World(stage), seed
        self.expert = Expert(self.world, Noise(move=noise, turn=4 * noise), seed) if policy == "expert" else None
        self._rng = np.random.default_rng(seed)
        self._drift = np.zeros(7)

    def frames(self, look: Callable[[], Image] | None) -> Iterator[Image]:
        """Play the episode; yield a picture every `EVERY` looks where there is someone to look."""
        world, seen, count = self.world, list[Image](), 0
        world.reset(self.seed)

        def watch() -> None:
            nonlocal count
            if look and count % EVERY == 0:
                seen.append(look())
            count += 1

        while not world.end:
            world.step(self.expert.act() if self.expert else self._wander(), watch)
            yield from seen
            seen.clear()

    def _wander(self) -> np.ndarray:
        """Return random actions that hang together, so that the arm goes somewhere."""
        controller = self.world.stage.controller
        rows = []
        for _ in range(self.world.settings.chunk):
            self._drift = 0.8 * self._drift + self._rng.normal(0, 0.3, 7)
            rows.append(controller.low + (controller.high - controller.low) * (0.5 + 0.5 * np.tanh(self._drift)))
        return np.array(rows)

    def played(self) -> Played:
        """Return what came of it."""
        world = self.world
        seconds = world.elapsed * world.limit * world.stage.controller.period
        trouble = self.expert.trouble if self.expert and world.end != "success" else ""
        return Played(world.stage.scene.name, self.seed, world.end, round(seconds, 2), trouble)


def _film(player: _Player, camera: str, size: tuple[int, int], done: Callable[[Played], None]) -> Iterator[Image]:
    """Yield the pictures of one episode, framed by its outcome at the end."""
    world = player.world
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    for picture in player.frames(lambda: world.picture(camera, *size)):
        yield picture
    done(player.played())
    framed = np.full_like(picture, _SUCCEEDED if world.end == "success" else _FAILED)
    framed[_EDGE:-_EDGE, _EDGE:-_EDGE] = picture[_EDGE:-_EDGE, _EDGE:-_EDGE]
    for _ in range(_PAUSE):
        yield framed


def _grid(films: Sequence[Iterator[Image]], columns: int, size: tuple[int, int]) -> Iterator[Image]:
    """Yield all films side by side; one that is over shows its last picture until the last one is."""
    width, height = size[0] + size[0] % 2, size[1] + size[1] % 2
    rows = math.ceil(len(films) / columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for pictures in zip_longest(*films):
        for index, picture in enumerate(pictures):
            if picture is not None:
                top, left = index // columns * height, index % columns * width
                sheet[top : top + size[1], left : left + size[0]] = picture
        yield sheet.copy()

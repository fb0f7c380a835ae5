"""One process's share of many worlds: their stages, episodes and experts, and the loop that serves them. Knows slots, not who calls.

A slot's result depends on nothing but its start and what was done since, so that a killed worker's slots can be brought back by
doing the same again.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from ..camera import Camera
from ..errors import ActionError, SceneError, WorldgenError
from ..robots import Array
from .board import ENDS, Board, Layout
from .expert import Expert
from .stage import Settings, Stage
from .world import Observation, World

BEAT = 1.0
"""A worker that is busy for longer says so this often [s]."""
Jobs = dict[int, tuple[Any, ...]]
"""Slot → arguments of a command."""
Event = Array | None
"""What was done in an episode: a chunk (n, 7), or None for asking the expert, who remembers that."""


@dataclass(frozen=True)
class Setup:
    """What a worker needs to know."""

    root: Path
    settings: Settings
    layout: Layout
    board: int
    """Descriptor of the shared file."""
    cache: int
    """Scenes that stay compiled."""


@dataclass
class Reply:
    """What came of a command, beside what stands on the board."""

    errors: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Slot → class and message. By name, because some errors cannot be pickled; such a slot has no episode any more."""
    instructions: dict[int, str] = field(default_factory=dict)
    broken: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Slot whose episode has become invalid → what a dump says of it."""

    def add(self, other: Reply) -> None:
        """Take over what another reply says."""
        self.errors |= other.errors
        self.instructions |= other.instructions
        self.broken |= other.broken


class _World(World):
    """A world that can be played without looking: the random numbers of its pictures are drawn, the pictures are not."""

    blind = False

    def observe(self) -> Observation:
        """Return what a policy sees, or nothing."""
        if not self.blind:
            return super().observe()
        episode = self._now()
        for view in self.settings.views:
            blank = np.zeros((view.height, view.width, 3), np.uint8)
            self.stage.randomiser.look(episode.draw, blank, episode.image_rng)
        return Observation({}, np.zeros(0, np.float32), episode.instruction)


@dataclass
class _Place:
    world: _World
    seed: int = 0
    expert: Expert | None = None


class Slots:
    """Worlds in slots, one compiled stage for all that play the same scene.

    Args:
        root: The library.
        settings: How it is played.
        board: Where chunks are read from and results written to.
        cache: Scenes that stay compiled. Those that are being played stay in any case.
    """

    def __init__(self, root: Path, settings: Settings, board: Board, cache: int) -> None:
        self.root, self.settings, self.board, self.cache = root, settings, board, max(cache, 1)
        self._places: dict[int, _Place] = {}
        self._stages: OrderedDict[str, Stage] = OrderedDict()
        self._commands: dict[str, Callable[..., None]] = {
            "reset": self._reset,
            "step": self._step,
            "advise": self._advise,
            "replay": self._replay,
        }

    def run(self, command: str, jobs: Jobs, beat: Callable[[], None] = lambda: None) -> Reply:
        """Do one thing in several slots: "reset" (scene, seed), "step" (actions), "advise" () or "replay" (scene, seed, events).

        An error in one slot leaves the others alone. `beat` is called after each slot.
        """
        reply = Reply()
        # Worlds are looked at after all have moved: drawing one after the other finds its code and data in the processor's caches.
        for work in (self._commands[command], self._look) if command == "step" else (self._commands[command],):
            for slot, arguments in jobs.items():
                if slot in reply.errors:
                    continue
                try:
                    work(slot, reply, *arguments)
                except WorldgenError as error:
                    self._places.pop(slot, None)
                    reply.errors[slot] = type(error).__name__, str(error)
                beat()
        return reply

    def close(self) -> None:
        """Free all scenes."""
        self._places.clear()
        while self._stages:
            self._stages.popitem()[1].close()

    def _reset(self, slot: int, reply: Reply, scene: str, seed: int) -> None:
        observation = self._begin(self._place(slot, scene), seed)
        self._write(slot, observation)
        self.board.reward[slot] = self.board.steps[slot] = self.board.clamped[slot] = 0
        reply.instructions[slot] = observation.instruction
        self._close_round(slot, reply)

    def _step(self, slot: int, reply: Reply, count: int) -> None:
        board = self.board
        done = self._played(slot).world.execute(board.chunks[slot, :count])
        board.reward[slot], board.steps[slot], board.clamped[slot] = done.reward, done.steps, done.clamped
        self._close_round(slot, reply)

    def _look(self, slot: int, reply: Reply, count: int) -> None:
        self._write(slot, self._played(slot).world.observe())

    def _advise(self, slot: int, reply: Reply) -> None:
        self.board.advice[slot] = self._ask(self._played(slot))

    def _replay(self, slot: int, reply: Reply, scene: str, seed: int, events: list[Event]) -> None:
        place = self._place(slot, scene)
        place.world.blind = True
        self._begin(place, seed)
        for event in events:
            if event is None:
                self._ask(place)
            else:
                place.world.step(event)
        place.world.blind = False

    def _begin(self, place: _Place, seed: int) -> Observation:
        observation = place.world.reset(seed)
        place.seed = seed
        if place.expert:
            place.expert.reset(seed)
        return observation

    def _ask(self, place: _Place) -> Array:
        if place.expert is None:
            place.expert = Expert(place.world, seed=place.seed)
        return place.expert.act()

    def _close_round(self, slot: int, reply: Reply) -> None:
        world = self._places[slot].world
        self.board.end[slot] = ENDS.index(world.end)
        if world.end == "invalid":
            reply.broken[slot] = world.summary()

    def _write(self, slot: int, observation: Observation) -> None:
        board, scene = self.board, self._places[slot].world.stage.scene
        if len(observation.state) != board.state.shape[1]:
            raise SceneError(
                f"Scene '{scene.name}' gives states of {len(observation.state)} numbers where others give {board.state.shape[1]}: "
                f"its arm '{scene.record.spec.robot}' has other joints. Play one kind of arm at a time, or without joints."
            )
        board.state[slot] = observation.state
        for camera, image in observation.images.items():
            board.images[camera][slot] = image
        if observation.privileged is not None:
            board.privileged[slot] = observation.privileged

    def _played(self, slot: int) -> _Place:
        if slot not in self._places:
            raise ActionError(f"Slot {slot} has no episode. Reset it first.")
        return self._places[slot]

    def _place(self, slot: int, scene: str) -> _Place:
        """Return a place for a new episode: the old one where the scene is the same, for memory that is warm."""
        place = self._places.pop(slot, None)
        stage = self._stage(scene)
        if place is None or place.world.stage is not stage:
            place = _Place(_World(stage))
        place.world.blind = False
        self._places[slot] = place
        return place

    def _stage(self, name: str) -> Stage:
        if name not in self._stages:
            self._make_room()
            folder = self.root / "scenes" / name
            self._stages[name] = Stage.open(folder, self.settings, trusted=True)  # vetted before it was asked for
        self._stages.move_to_end(name)
        return self._stages[name]

    def _make_room(self) -> None:
        played = {place.world.stage.scene.name for place in self._places.values()}
        for name in [name for name in self._stages if name not in played]:
            if len(self._stages) < self.cache:
                return
            self._stages.pop(name).close()


def serve(pipe: int, parent: int) -> None:
    """Do what comes through a pipe until it closes; the main function of a worker process.

    Args:
        pipe: Descriptor of the connection. First comes a `Setup`, then commands (name, jobs). A command is answered by a `Reply`, or by
            the trace of a bug; None before that means that it is being worked on.
        parent: The process to die with.
    """
    _die_with(parent)
    connection = Connection(pipe)
    setup = connection.recv()
    assert isinstance(setup, Setup)
    try:
        if setup.settings.views:  # whether pictures can be drawn here had better be known at once
            Camera(mujoco.MjModel.from_xml_string("<mujoco/>"), (8, 8)).close()
    except WorldgenError as error:
        connection.send(Reply({-1: (type(error).__name__, str(error))}))
        return
    slots = Slots(setup.root, setup.settings, Board(setup.layout, setup.board), setup.cache)
    os.close(setup.board)
    connection.send(Reply())
    while True:
        try:
            command, jobs = connection.recv()
        except (EOFError, OSError):
            return
        try:
            reply = slots.run(command, jobs, _heart(connection))
        except Exception:
            connection.send(traceback.format_exc())
            raise
        connection.send(reply)


def _heart(connection: Connection) -> Callable[[], None]:
    """Return a function that tells the other side now and then that work goes on."""
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > BEAT:
            connection.send(None)
            last = time.monotonic()

    return beat


def _die_with(parent: int) -> None:
    """End when the parent is gone: a killed one cannot tell, and a fork of it may hold the pipe open."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

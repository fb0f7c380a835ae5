"""Which starts are played, and which episodes count."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from trainer.config import Grpo
from trainer.episodes import SEEDS, Scenes, _require_alike, groups, played
from trainer.errors import RunError
from trainer.play import Course
from trainer.rl import Learner
from worldgen.sim.worlds import Start

from .reach import Reach, config, policy, rollout


class TestGroups:
    def test_only_starts_that_ended_both_ways_count(self) -> None:
        actor, settings = policy(), config(algorithm=Grpo(group=8))
        made = rollout(actor, [Start("a", seed) for seed in range(6) for _ in range(8)], settings)
        judged = Learner(actor, settings).judge(made, 0, torch.Generator())
        assert (judged.weight > 0).any()
        assert (judged.weight == 0).any()
        ends: dict[Start, set[bool]] = {}
        for course in made.courses:
            ends.setdefault(course.start, set()).add(course.end == "success")
        episode = made.decided.episodes()
        for number, course in enumerate(made.courses):
            rows = np.flatnonzero(episode == number)
            wanted = 1 / len(rows) if len(ends[course.start]) > 1 else 0.0
            assert judged.weight[rows].numpy() == pytest.approx(wanted)
            if wanted:
                assert (float(judged.advantages[rows[0]]) > 0) == (course.end == "success")

    def test_as_many_groups_as_are_wanted_and_all_of_them_tell_something(self) -> None:
        """Some starts are always solved, most never: other ones are played instead."""
        settings = config(algorithm=Grpo(group=8, tries=5), episodes=24)
        made, figures = played(policy(), Reach(), Scenes(["a", "b"]), settings, 0)
        ends: dict[Start, list[bool]] = {}
        for course in made.courses:
            ends.setdefault(course.start, []).append(course.end == "success")
        assert len(ends) == figures["groups"] == 3
        assert all(len(set(each)) == 2 and len(each) == 8 for each in ends.values())
        assert figures["groups played"] > 1
        assert np.bincount(groups(made)).tolist() == [8, 8, 8]
        assert len(made) == made.decided.last.size == sum(len(course.moments) for course in made.courses)

    def test_nothing_is_learned_where_no_group_tells_anything(self) -> None:
        actor, settings = policy(), config(algorithm=Grpo(group=2, tries=1), episodes=4)
        made = rollout(actor, [Start("a", seed) for seed in (1, 2, 3, 4)], settings)
        assert "kl" not in Learner(actor, settings).learn(made, 0)

    def test_groups_that_began_otherwise_are_refused(self) -> None:
        made = rollout(policy(), [Start("a", seed) for seed in (1, 1, 2, 2)])
        _require_alike(made, np.array([0, 0, 1, 1]))
        with pytest.raises(RunError, match="did not begin alike"):
            _require_alike(made, np.array([0, 1, 1, 0]))


def test_some_names_are_said_as_words_nobody_knows_and_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    show = Reach._show
    said = "put the red cone on the plate"
    monkeypatch.setattr(Reach, "_show", lambda self, slots: replace(show(self, slots), instruction=[said] * len(slots)))
    actor, scenes = policy(), Scenes(["a", "b"])
    one, again = (played(actor, Reach(), scenes, config(strange=0.5), 0)[0] for _ in range(2))
    told = [course.instruction for course in one.courses]
    assert told == [course.instruction for course in again.courses]
    assert 0.2 < np.mean(["cone" in sentence for sentence in told]) < 0.8
    assert len({sentence for sentence in told if "cone" not in sentence}) > 3
    pieces = actor.words(told)[one.decided.episodes()]
    assert (one.pieces.numpy() == pieces).all(), "what decided is what was said, all through an episode"
    plain, _ = played(actor, Reach(), scenes, config(strange=0.0), 0)
    assert {course.instruction for course in plain.courses} == {said}


def test_starts_are_new_in_each_iteration_and_take_all_scenes() -> None:
    names, settings = [f"{index}" for index in range(10)], config(seed=2)
    scenes = Scenes(names)
    each = [scenes.starts(settings, iteration, 25) for iteration in range(4)]
    seeds = [start.seed for starts in each for start in starts]
    assert len(set(seeds)) == 100
    assert min(seeds) >= SEEDS
    assert all({start.scene for start in starts[:10]} == set(names) for starts in each)
    assert each == [scenes.starts(settings, iteration, 25) for iteration in range(4)]


def test_uncertain_scenes_are_played_oftener_and_none_is_forgotten() -> None:
    scenes, settings = Scenes(["always", "never", "sometimes"], uncertain=True), config()
    for number in range(60):
        for name, won in (("always", True), ("never", False), ("sometimes", number % 2 == 0)):
            scenes.note([Course(0, Start(name, number), 0, end="success" if won else "timeout")])
    assert scenes.played.tolist() == [60, 60, 60]
    drawn = Counter(start.scene for start in scenes.starts(settings, 0, 1000))
    assert drawn["sometimes"] > 3 * max(drawn["always"], drawn["never"])
    assert min(drawn.values()) > 50
    again = Scenes(scenes.names, uncertain=True)
    again.restore(json.loads(json.dumps(scenes.numbers())))
    assert again.starts(settings, 1, 50) == scenes.starts(settings, 1, 50)

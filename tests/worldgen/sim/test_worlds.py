"""Many worlds at once: the same bits wherever they run, whatever dies; errors that arrive; nothing left behind."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from worldgen import child, store
from worldgen.errors import ActionError, LibraryError, RenderError, SceneError, WorldgenError, WorldsError
from worldgen.library import Scene, SceneLibrary
from worldgen.sim import domains, processes, worlds
from worldgen.sim.rewards import Sparse, Staged
from worldgen.sim.stage import Settings, View
from worldgen.sim.truth import Truth
from worldgen.sim.worlds import LocalWorlds, Observations, ProcessWorlds, Start, Transitions

NOWHERE = Settings(domains.Domain(), views=())
"""Nothing drawn, nothing seen: the fastest."""
RICH = Settings(domains.load("paper"), Staged(), (View(), View("robot/wrist", 40, 30)), joints=True, privileged=True)


@dataclass(frozen=True)
class Fault(Sparse):
    """A reward that does harm in the scene with a certain target: in workers, the only way in for a test."""

    target: str = ""
    kind: str = ""
    after: int = 1
    """Calls that go well: one a reset, one a step."""
    once: str = ""
    """File that notes that it has happened; then it does not again."""

    def potential(self, truth: Truth, data: mujoco.MjData) -> float:
        if truth.goals[0].goal.target == self.target and data.time > self.after * 0.2 + 0.5:
            if self.once:
                try:
                    Path(self.once).touch(exist_ok=False)
                except FileExistsError:
                    return 0.0
            if self.kind == "explode":
                data.qvel[:] = 1e9
            elif self.kind == "bug":
                raise ZeroDivisionError("a bug")
            elif self.kind == "hang":
                time.sleep(1000)
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return 0.0


def target(scene: Scene) -> str:
    return scene.record.spec.task.goals[0].target


def chunks(count: int, seed: int, length: int = 4) -> np.ndarray:
    found = np.random.default_rng(seed).uniform(-0.03, 0.03, (count, length, 7))
    found[..., 6] = seed % 2
    return found


def flat(result: Any) -> list[Any]:
    """Return all that a result holds, to be compared."""
    if isinstance(result, Transitions):
        return [*flat(result.observations), result.reward, result.end, result.steps, result.clamped]
    if isinstance(result, Observations):
        return [*result.images.values(), result.state, result.instruction, result.privileged]
    return [result]


def assert_same(ours: list[Any], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs)
    for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        for mine, its in zip(flat(one), flat(other), strict=True):
            assert np.array_equal(mine, its), f"result {index} differs"


def starts(library: SceneLibrary, count: int = 4) -> list[Start]:
    names = library.index().scenes
    return [Start(names[index % 4], 10 + index) for index in range(count)]


def play(
    played: worlds.Worlds, first: list[Start], order: list[int], between: Callable[[int], None] = lambda step: None
) -> list[Any]:
    """Play slots in an order with the same actions each, and return all that came of it, by slot number."""
    back = np.argsort(order)
    found: list[Any] = [_sorted(played.reset([first[slot] for slot in order], order), back)]
    for step in range(5):
        between(step)
        if step == 3:
            actions = played.advise(order)
            found.append(actions[back])
        else:
            actions = chunks(len(order), step, 2 + step % 3)[order]
        found.append(_sorted(played.step(actions, order), back))
    return found


def _sorted(result: Any, back: np.ndarray) -> Any:
    if isinstance(result, Transitions):
        end = [result.end[index] for index in back]
        return Transitions(_sorted(result.observations, back), result.reward[back], end, result.steps[back], result.clamped[back])  # fmt: skip
    images = {name: image[back] for name, image in result.images.items()}
    privileged = None if result.privileged is None else result.privileged[back]
    return Observations(images, result.state[back], [result.instruction[index] for index in back], privileged)


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Return whether a process ends in time; a zombie that nobody waits for counts."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def undisturbed(library: SceneLibrary) -> list[Any]:
    """What `play` gives in this process."""
    with LocalWorlds(library, RICH, 4, trusted=True) as local:
        return play(local, starts(library), [0, 1, 2, 3])


@pytest.fixture(scope="module")
def pair(library: SceneLibrary) -> Iterator[ProcessWorlds]:
    """Four slots in two workers that see; tests leave it usable."""
    with ProcessWorlds(library, RICH, 4, 2, patience=2.0, trusted=True) as played:
        yield played


@pytest.fixture
def local(library: SceneLibrary) -> Iterator[LocalWorlds]:
    with LocalWorlds(library, NOWHERE, 4, trusted=True) as played:
        yield played


class TestSameBits:
    def test_in_two_workers_in_any_order(
        self, library: SceneLibrary, pair: ProcessWorlds, undisturbed: list[Any]
    ) -> None:
        assert_same(play(pair, starts(library), [2, 0, 3, 1]), undisturbed)
        assert_same(play(pair, starts(library), [0, 1, 2, 3]), undisturbed)  # places that have been used

    @pytest.mark.slow
    def test_in_one_worker(self, library: SceneLibrary, undisturbed: list[Any]) -> None:
        with ProcessWorlds(library, RICH, 4, 1, trusted=True) as played:
            assert_same(play(played, starts(library), [3, 1, 0, 2]), undisturbed)

    def test_without_neighbours(self, library: SceneLibrary, pair: ProcessWorlds, undisturbed: list[Any]) -> None:
        alone = pair.reset([starts(library)[2]], [1])
        np.testing.assert_array_equal(alone.images["policy"][0], undisturbed[0].images["policy"][2])
        np.testing.assert_array_equal(alone.state[0], undisturbed[0].state[2])
        pair.reset([Start(starts(library)[2].scene, 77)], [3])  # the same scene, drawn otherwise, in the same worker
        after = pair.step(chunks(4, 0, 2)[2:3], [1])
        np.testing.assert_array_equal(after.observations.images["policy"][0], undisturbed[1].observations.images["policy"][2])  # fmt: skip
        np.testing.assert_array_equal(after.observations.state[0], undisturbed[1].observations.state[2])

    def test_what_is_returned_is_the_callers(self, library: SceneLibrary, pair: ProcessWorlds) -> None:
        before = pair.reset(starts(library))
        kept = [np.copy(array) for array in (before.state, before.images["policy"], before.privileged)]
        first = pair.step(chunks(4, 1))
        reward = first.reward.copy()
        pair.step(chunks(4, 2))
        for array, copy in zip((before.state, before.images["policy"], before.privileged), kept, strict=True):
            np.testing.assert_array_equal(array, copy)
        np.testing.assert_array_equal(first.reward, reward)

    def test_shapes(self, library: SceneLibrary, pair: ProcessWorlds, undisturbed: list[Any]) -> None:
        seen = undisturbed[0]
        assert {name: image.shape for name, image in seen.images.items()} == {
            "policy": (4, 64, 64, 3),
            "robot/wrist": (4, 30, 40, 3),
        }
        assert all(np.ptp(image) > 50 for image in seen.images["policy"])
        assert seen.state.shape == (4, 13)  # seven, and six joints
        assert seen.privileged.shape[0] == 4
        names = library.index().scenes
        for name, text in zip(names, seen.instruction, strict=True):
            task = library.scene(name).record.spec.task
            assert text in (task.instruction, *task.paraphrases)
        assert pair.reset([], []).state.shape == (0, 13)

    @pytest.mark.parametrize("cache", [1, 2])
    def test_with_few_scenes_in_memory(self, library: SceneLibrary, cache: int) -> None:
        names = library.index().scenes
        order = [names[index] for index in (0, 1, 0, 2, 3, 0, 1)]
        settings = replace(RICH, views=(View(),))

        def pictures(size: int) -> list[np.ndarray]:
            with LocalWorlds(library, settings, 2, cache=size, trusted=True) as played:
                found = []
                for index, name in enumerate(order):
                    slot = index % 2
                    found.append(played.reset([Start(name, 3)], [slot]).images["policy"][0])
                    if index:  # the other slot's scene is still there, whatever was closed
                        other = played.step(chunks(1, index), [1 - slot])
                        found.append(other.observations.images["policy"][0])
                    assert len(played._worker._stages) <= max(size, 2)
                return found

        assert_same(pictures(cache), pictures(16))


class TestDeath:
    @pytest.mark.parametrize("when", [2, *(pytest.param(step, marks=pytest.mark.slow) for step in (0, 4))])
    def test_between_calls(self, library: SceneLibrary, pair: ProcessWorlds, undisturbed: list[Any], when: int) -> None:
        def kill(step: int) -> None:
            if step == when:
                os.kill(pair.pids[step % 2] or 0, signal.SIGKILL)

        before = pair.restarts
        assert_same(play(pair, starts(library), [0, 1, 2, 3], kill), undisturbed)
        assert pair.restarts == before + 1

    @pytest.mark.parametrize("sign", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
    def test_during_a_call(
        self, library: SceneLibrary, pair: ProcessWorlds, undisturbed: list[Any], sign: signal.Signals
    ) -> None:
        def strike(step: int) -> None:
            if step == 3:
                pid = pair.pids[1] or 0
                threading.Timer(0.004, lambda: os.kill(pid, sign)).start()

        before = pair.restarts
        assert_same(play(pair, starts(library), [0, 1, 2, 3], strike), undisturbed)
        assert pair.restarts == before + 1
        assert not pair.invalid

    def test_a_hung_worker(self, library: SceneLibrary, pair: ProcessWorlds, undisturbed: list[Any]) -> None:
        def stop(step: int) -> None:
            if step == 2:
                os.kill(pair.pids[0] or 0, signal.SIGSTOP)

        began = time.monotonic()
        assert_same(play(pair, starts(library), [0, 1, 2, 3], stop), undisturbed)
        assert time.monotonic() - began > pair._crew[0].patience

    def test_nothing_is_drawn_while_worlds_are_brought_back(self, library: SceneLibrary) -> None:
        from worldgen.camera import Camera

        with LocalWorlds(library, RICH, 1, trusted=True) as played:
            start = starts(library)[0]
            whole = [played.reset([start]), played.step(chunks(1, 1)), played.advise(), played.step(chunks(1, 2))]
            events = played._seats[0].events[:2]  # type: ignore[union-attr]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Camera, "picture", lambda *_, **__: pytest.fail("drew"))
                assert not played._worker.run("replay", {0: (start.scene, start.seed, events)}).errors
            assert_same([played.step(chunks(1, 2))], whole[3:])

    @pytest.mark.slow
    def test_the_world_that_kills_is_found_and_the_others_go_on(self, library: SceneLibrary, tmp_path: Path) -> None:
        first = starts(library, 6)
        bad = target(library.scene(first[0].scene))
        assert [target(library.scene(start.scene)) == bad for start in first[:4]] == [True, False, False, False]
        actions = [chunks(6, seed) for seed in range(4)]
        with LocalWorlds(library, NOWHERE, 6, trusted=True) as calm:
            calm.reset(first)
            expected = [calm.step(chunk) for chunk in actions]
        settings = replace(NOWHERE, reward=Fault(target=bad, kind="kill", after=4))
        with ProcessWorlds(library, settings, 6, 2, dumps=tmp_path / "dumps", trusted=True) as played:
            played.reset(first)
            found = []
            for chunk in actions:
                live = [slot for slot in range(6) if not played.ends()[slot]]
                found.append((live, played.step(chunk[live], live)))
            assert played.ends() == ["invalid", "", "", "", "invalid", ""]
            assert played.invalid == {first[0].scene: 2}
            for (live, transition), whole in zip(found, expected, strict=True):
                good = [index for index, slot in enumerate(live) if slot not in (0, 4)]
                np.testing.assert_array_equal(
                    transition.observations.state[good], whole.observations.state[[1, 2, 3, 5]]
                )
            dump = json.loads((tmp_path / "dumps" / f"{first[0].scene}-10-1.json").read_text())
            assert "died" in dump["crash"]
            np.testing.assert_array_equal(np.array(dump["actions"][:4]), actions[0][0])

    @pytest.mark.slow
    def test_one_that_kills_once_is_played_again(self, library: SceneLibrary, tmp_path: Path) -> None:
        first = starts(library)
        fault = Fault(target=target(library.scene(first[0].scene)), once=str(tmp_path / "happened"))
        with ProcessWorlds(library, replace(NOWHERE, reward=fault), 4, 1, trusted=True) as played:
            found = [played.reset(first)] + [played.step(chunks(4, seed)) for seed in range(3)]
            assert played.restarts == 1
            assert not played.invalid
        with LocalWorlds(library, NOWHERE, 4, trusted=True) as calm:
            assert_same(found, [calm.reset(first)] + [calm.step(chunks(4, seed)) for seed in range(3)])

    @pytest.mark.slow
    def test_a_bug_shows_its_trace(self, library: SceneLibrary) -> None:
        first = starts(library)
        fault = Fault(target=target(library.scene(first[0].scene)), kind="bug", after=3)
        with ProcessWorlds(library, replace(NOWHERE, reward=fault), 4, 2, trusted=True) as played:
            played.reset(first)
            played.step(chunks(4, 0))
            with pytest.raises(RuntimeError, match=r"(?s)bug.*potential.*ZeroDivisionError"):
                played.step(chunks(4, 1))
            played.reset(first[1:], [1, 2, 3])  # and it is as good as new
            played.step(chunks(3, 0), [1, 2, 3])

    def test_an_interrupted_call_leaves_no_stale_answers(
        self, library: SceneLibrary, pair: ProcessWorlds, undisturbed: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = starts(library)
        pair.reset(first)
        pair.step(chunks(4, 0, 2))

        def interrupt(worker: processes.Worker) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(processes.Worker, "answer", interrupt)
            with pytest.raises(KeyboardInterrupt):
                pair.step(chunks(4, 5)[[0]], [0])
        with pytest.raises(ActionError, match="Slot 0 has no episode"):
            pair.step(chunks(4, 1, 3))
        after = pair.step(chunks(4, 1, 3)[1:], [1, 2, 3])  # slot 2 shared the worker
        np.testing.assert_array_equal(after.observations.state, undisturbed[2].observations.state[1:])
        np.testing.assert_array_equal(
            after.observations.images["policy"], undisturbed[2].observations.images["policy"][1:]
        )

    @pytest.mark.slow
    def test_a_scene_changed_meanwhile_is_named_when_it_cannot_be_brought_back(
        self, library_copy: SceneLibrary
    ) -> None:
        first = starts(library_copy)
        with ProcessWorlds(library_copy, NOWHERE, 4, 2, trusted=True) as played:
            played.reset(first)
            path = library_copy.root / "scenes" / first[0].scene / "scene.xml"
            path.write_text(path.read_text() + "\n")
            os.kill(played.pids[0] or 0, signal.SIGKILL)
            with pytest.raises(SceneError, match=r"scene\.xml was changed"):
                played.step(chunks(4, 0))
            played.step(chunks(3, 0), [1, 2, 3])


@pytest.fixture(params=["local", "processes"])
def either(request: pytest.FixtureRequest, library: SceneLibrary) -> Iterator[worlds.Worlds]:
    if request.param == "processes":
        yield request.getfixturevalue("pair")
    else:
        with LocalWorlds(library, RICH, 4, trusted=True) as played:
            yield played


class TestErrors:
    def test_of_chunks_and_slots(self, library: SceneLibrary, either: worlds.Worlds) -> None:
        either.reset(starts(library))
        wrong = chunks(4, 0)
        wrong[2, 1, 3] = np.nan
        for bad, slots, message in (
            (wrong, None, "slots 2 hold numbers that are not finite"),
            (wrong, [3, 1, 0, 2], "slots 0 hold"),
            (chunks(3, 0), None, r"shape \(4, C, 7\)"),
            (chunks(4, 0, 5), None, "1 <= C <= 4"),
            (chunks(4, 0)[:, :0], None, "1 <= C <= 4"),
            (chunks(4, 0)[..., :6], None, r"got \(4, 4, 6\)"),
            (chunks(2, 0), [0, 0], "not different"),
            (chunks(1, 0), [4], r"\[0, 4\)"),
            (chunks(1, 0), [-1], r"\[0, 4\)"),
        ):
            with pytest.raises(ActionError, match=message):
                either.step(bad, slots)
        either.step(chunks(4, 0))  # nothing has happened

    def test_of_starts(self, library: SceneLibrary, either: worlds.Worlds) -> None:
        good = starts(library)
        with pytest.raises(ActionError, match="3 starts for 4 slots"):
            either.reset(good[:3])
        with pytest.raises(LibraryError, match=r"no scene 'nope'\. Scenes: .*" + good[0].scene):
            either.reset([*good[:3], Start("nope", 0)])
        either.reset(good)
        with pytest.raises(ActionError, match="Seed -1 is no integer"):
            either.reset([good[0], Start(good[1].scene, -1)], [0, 1])
        with pytest.raises(ActionError, match="Slot 1 has no episode"):
            either.step(chunks(4, 0))
        assert either.step(chunks(3, 0), [0, 2, 3]).steps.tolist() == [4, 4, 4]
        either.reset(good)

    def test_of_an_episode_that_is_over(self, library: SceneLibrary, local: LocalWorlds) -> None:
        local.reset(starts(library))
        still = np.zeros((1, 4, 7))
        while not local.ends([1])[0]:
            transition = local.step(still, [1])
        assert transition.end == local.ends([1]) == ["timeout"]
        with pytest.raises(ActionError, match=r"slots 1 are over"):
            local.step(np.zeros((4, 4, 7)))
        with pytest.raises(ActionError, match=r"slots 1 are over"):
            local.advise()
        local.step(np.zeros((3, 4, 7)), [0, 2, 3])
        local.reset([starts(library)[1]], [1])
        local.step(np.zeros((4, 4, 7)))

    def test_before_the_first_episode(self, library: SceneLibrary) -> None:
        with LocalWorlds(library, NOWHERE, 2, trusted=True) as played:
            for call in (lambda: played.step(chunks(2, 0)), played.advise, played.ends):
                with pytest.raises(ActionError, match="Slot 0 has no episode"):
                    call()

    @pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test_of_a_camera_that_is_missing(self, library: SceneLibrary, many: bool) -> None:
        settings = replace(NOWHERE, views=(View("nose"),))
        made = ProcessWorlds(library, settings, 2, 1, trusted=True) if many else LocalWorlds(library, settings, 2)
        with made as played, pytest.raises(RenderError, match=r"no camera 'nose'\. It has: .*policy"):
            played.reset(starts(library, 2))

    def test_of_a_scene_edited_by_hand(self, library_copy: SceneLibrary) -> None:
        first = starts(library_copy)
        path = library_copy.root / "scenes" / first[0].scene / "scene.xml"
        path.write_text(path.read_text() + "\n")
        for trusted in (False, True):
            with LocalWorlds(library_copy, NOWHERE, 4, trusted=trusted) as played:
                with pytest.raises(SceneError, match=f"'{first[0].scene}' is damaged.*scene.xml was changed"):
                    played.reset(first)
                played.reset(first[1:], [1, 2, 3])

    @pytest.mark.parametrize(
        "kind", [kind for kind in WorldgenError.__subclasses__() if kind.__module__ == "worldgen.errors"]
    )
    def test_every_error_survives_the_way_here(self, kind: type[WorldgenError]) -> None:
        error = processes.rebuilt(kind.__name__, "what is wrong")
        assert type(error) is kind
        assert str(error) == "what is wrong"


class TestVetting:
    def test_one_child_for_all_scenes_and_once(self, library: SceneLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []
        run = child.run
        monkeypatch.setattr(child, "run", lambda *args, **limits: calls.append(args[0]) or run(*args, **limits))
        with LocalWorlds(library, NOWHERE, 4) as played:
            played.reset(starts(library)[:3], [0, 1, 2])
            played.reset(starts(library)[:3], [1, 2, 3])
            assert calls == ["worldgen.sim.vetting:compile_files"]
        with LocalWorlds(library, NOWHERE, 4, trusted=True) as played:
            played.reset(starts(library))
            assert len(calls) == 1

    def test_a_scene_that_cannot_be_compiled_is_named(self, library_copy: SceneLibrary) -> None:
        first = starts(library_copy)
        folder = library_copy.root / "scenes" / first[2].scene
        text = (folder / "scene.xml").read_text()
        (folder / "scene.xml").write_text(text.replace("<worldbody>", '<worldbody><body name="table"/>', 1))
        store.write_manifest(folder)
        with LocalWorlds(library_copy, NOWHERE, 4) as played:
            with pytest.raises(SceneError, match=f"MuJoCo refuses scene '{first[2].scene}'"):
                played.reset(first[1:3], [0, 1])
            played.reset(first[:1], [0])


class TestInvalid:
    @pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test_a_scene_that_explodes_is_counted_and_left_out(
        self, library_copy: SceneLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: bool
    ) -> None:
        first = starts(library_copy)
        name = first[1].scene
        folder = library_copy.root / "scenes" / name
        text = (folder / "scene.xml").read_text()
        assert "<option " in text
        (folder / "scene.xml").write_text(text.replace("<option ", '<option gravity="0 0 -1e9" ', 1))
        store.write_manifest(folder)
        monkeypatch.chdir(tmp_path)
        dumps = tmp_path / "a" / "dumps"
        made: ProcessWorlds | LocalWorlds
        if many:
            made = ProcessWorlds(library_copy, RICH, 4, 2, dumps=dumps)
        else:
            made = LocalWorlds(library_copy, RICH, 4, dumps=dumps)
        with made as played:
            for count in (1, 2, 3):
                played.reset([Start(start.scene, start.seed + count - 1) for start in first])
                assert played.ends() == ["", "invalid", "", ""]
                assert played.invalid == {name: count}
            assert played.quarantined == {name}
            assert {path.name for path in dumps.iterdir()} == {
                f"{name}-{10 + count}-{count}.json" for count in (1, 2, 3)
            }
            dump = json.loads((dumps / f"{name}-11-1.json").read_text())
            assert dump["actions"] == []
            assert dump["domain"] == "paper"
            assert len(dump["qpos"]) > 6
            seen = played.reset(first)
            assert played.ends() == ["", "invalid", "", ""]
            assert not seen.images["policy"][1].any()
            assert seen.images["policy"][0].any()
            assert played.invalid == {name: 3}
            with pytest.raises(ActionError, match="slots 1 are over"):
                played.step(chunks(4, 0))
            assert played.step(chunks(3, 0), [0, 2, 3]).end == ["", "", ""]
        if many:
            assert not (tmp_path / "MUJOCO_LOG.TXT").exists()

    def test_a_dump_replays(self, library: SceneLibrary, tmp_path: Path) -> None:
        first = starts(library)
        fault = Fault(target=target(library.scene(first[0].scene)), kind="explode")
        with LocalWorlds(library, replace(NOWHERE, reward=fault), 4, dumps=tmp_path, trusted=True) as played:
            played.reset(first)
            end, seed = "", 0
            while not end:
                transition = played.step(chunks(4, seed))
                end, seed = transition.end[0], seed + 1
                assert transition.end[1:] == ["", "", ""]
            assert end == "invalid"
            assert played.invalid == {first[0].scene: 1}
            assert not played.quarantined
        dump = json.loads(next(tmp_path.iterdir()).read_text())
        actions = np.concatenate([chunks(4, index)[0] for index in range(seed)])
        np.testing.assert_array_equal(np.array(dump["actions"]), actions[: dump["steps"]])
        assert (dump["scene"], dump["seed"]) == (first[0].scene, first[0].seed)


class TestStart:
    def test_no_opengl_is_said_as_it_is(self, library: SceneLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MUJOCO_GL", "disable")
        starting = []
        start = processes.Worker.start
        monkeypatch.setattr(processes.Worker, "start", lambda self: starting.append(self) or start(self))
        with pytest.raises(RenderError, match=r"No picture can be drawn on this machine.*Install"):
            ProcessWorlds(library, RICH, 2, 1, trusted=True)
        assert len(starting) == 1
        assert starting[0].pid is None
        with ProcessWorlds(library, NOWHERE, 1, 1, trusted=True) as played:  # needs none
            played.reset(starts(library)[:1])

    def test_a_worker_that_does_not_start(self, library: SceneLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(WorldsError, match=r"died as it started \(code 1\)"):
            ProcessWorlds(library, NOWHERE, 4, 2)

    def test_limits(self, library: SceneLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for slots, workers, message in ((0, 1, "slots 0"), (4097, 1, "slots 4097"), (1, 0, "workers 0"), (300, 257, "workers 257")):  # fmt: skip
            with pytest.raises(WorldsError, match=message):
                ProcessWorlds(library, NOWHERE, slots, workers)
        with pytest.raises(WorldsError, match="patience 0"):
            ProcessWorlds(library, NOWHERE, 1, 1, patience=0)
        with pytest.raises(WorldsError, match="chunk 0"):
            LocalWorlds(library, replace(NOWHERE, chunk=0), 1)
        with pytest.raises(RenderError, match="5000"):
            LocalWorlds(library, replace(NOWHERE, views=(View(width=5000),)), 1)
        with pytest.raises(LibraryError, match="not a library"):
            LocalWorlds(tmp_path, NOWHERE, 1)
        SceneLibrary.create(tmp_path / "empty", {})
        with pytest.raises(LibraryError, match="no scenes"):
            LocalWorlds(tmp_path / "empty", NOWHERE, 1)
        monkeypatch.setattr(worlds, "_available", lambda: 1000.0)
        with pytest.raises(
            WorldsError, match=r"4096 worlds of 4 scenes in 1 workers need about \d+ MB, but 1000 MB are free"
        ):
            ProcessWorlds(library, NOWHERE, 4096, 1)

    def test_memory_is_known_here(self) -> None:
        assert (worlds._available() or 0) > 100

    def test_a_container_that_may_take_less_than_the_machine_has(self, tmp_path, monkeypatch):
        (tmp_path / "memory.max").write_text("900000000\n")
        (tmp_path / "memory.current").write_text("500000000\n")
        (tmp_path / "memory.stat").write_text("anon 300000000\nfile 90\ninactive_file 20000000\nactive_file 10000000\n")
        monkeypatch.setattr(worlds, "_CONTAINER", tmp_path)
        assert worlds._available() == pytest.approx(430)
        (tmp_path / "memory.max").write_text("max\n")
        assert (worlds._available() or 0) > 430


def _shared_memory() -> set[Path]:
    """Return what lies in shared memory, without the semaphores of whatever runs beside this test."""
    return {path for path in Path("/dev/shm").iterdir() if not path.name.startswith("sem.")}


class TestEnd:
    def test_nothing_is_left(self, library: SceneLibrary) -> None:
        gc.collect()  # what failed in earlier tests is closed when it is found, and may not be found meanwhile
        files, shared = len([*Path("/proc/self/fd").iterdir()]), _shared_memory()
        pids: list[int] = []

        def fail() -> None:
            with ProcessWorlds(library, NOWHERE, 4, 2, trusted=True) as played:
                pids.extend(pid for pid in played.pids if pid)
                played.reset(starts(library))
                for pid in pids:
                    os.kill(pid, signal.SIGINT)  # Ctrl-C is not for them
                played.step(chunks(4, 0))
                assert played.restarts == 0
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert len(pids) == 2
        assert all(gone(pid, 0.1) for pid in pids)
        assert len([*Path("/proc/self/fd").iterdir()]) == files
        assert _shared_memory() == shared

    def test_close_is_enough_once_and_by_itself(self, library: SceneLibrary) -> None:
        played = ProcessWorlds(library, NOWHERE, 2, 1, trusted=True)
        pids = [pid or 0 for pid in played.pids]
        played.close()
        played.close()
        assert all(gone(pid, 0.1) for pid in pids)
        with pytest.raises(WorldsError, match="closed"):
            played.reset(starts(library)[:2])

    def test_what_is_forgotten_ends(self, library: SceneLibrary) -> None:
        played = ProcessWorlds(library, NOWHERE, 1, 1, trusted=True)
        pid = played.pids[0] or 0
        del played
        assert gone(pid)

    @pytest.mark.slow
    def test_workers_die_with_a_killed_parent(self, library: SceneLibrary, tmp_path: Path) -> None:
        """Also with one that was forked meanwhile: the fork holds the pipe open. And no main guard is needed."""
        script = tmp_path / "script.py"
        script.write_text(
            "import os, sys, time\nfrom pathlib import Path\n"
            "from worldgen.sim.domains import Domain\nfrom worldgen.sim.stage import Settings\n"
            "from worldgen.sim.worlds import ProcessWorlds\n"
            f"w = ProcessWorlds(Path({str(library.root)!r}), Settings(Domain(), views=()), 2, 2, trusted=True)\n"
            "fork = os.fork()\n"
            "if not fork:\n    time.sleep(30)\n    os._exit(0)\n"
            "print(fork, *w.pids, flush=True)\ntime.sleep(30)\n"
        )
        parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert parent.stdout
        with parent.stdout:
            fork, *pids = map(int, parent.stdout.readline().split())
            try:
                assert len(pids) == 2
                parent.kill()
                parent.wait()
                assert all(gone(pid) for pid in pids)
            finally:
                os.kill(fork, signal.SIGKILL)

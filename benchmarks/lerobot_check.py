"""Whether LeRobot and the trainer read each other: `python -m benchmarks.lerobot_check --python PYTHON`. Prints Markdown.

PYTHON is an interpreter that has `lerobot` (0.4.4 was tried), in an environment of its own. It opens a dataset that is written
here and tells what it sees; then it writes one, which is read here. Exits 1 when anything differs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from trainer.dataset import read
from trainer.recorder import Writer
from trainer.records import Demonstration, Interface

INTERFACE = Interface(cameras=("policy", "robot/wrist"), size=32)
CAMERAS = {"policy": "observation.images.policy", "robot/wrist": "observation.images.robot.wrist"}
STEPS = (7, 4, 9)
PRIVILEGED = 5
"""Numbers of a frame that only a simulator knows."""

OPEN = """
import importlib.metadata, json, sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("local/check", root=sys.argv[1])
plain = lambda values: np.asarray(values).astype(float).tolist()
frames = []
for index in range(len(dataset)):
    frame = dataset[index]
    frames.append({key: plain(value) for key, value in frame.items() if key != "task"} | {"task": frame["task"]})
stats = {key: {name: plain(value) for name, value in values.items()} for key, values in dataset.meta.stats.items()}
episodes = [{key: row[key] for key in ("length", "scene", "seed")} for row in dataset.meta.episodes]
some = LeRobotDataset("local/check", root=sys.argv[1], episodes=[1], delta_timestamps={"action": [0.0, 0.2]})
seen = {
    "version": importlib.metadata.version("lerobot"), "fps": dataset.fps, "robot": dataset.meta.robot_type,
    "episodes": dataset.num_episodes, "rows": episodes, "frames": frames, "stats": stats,
    "chunk": plain(some[0]["action"]), "some": len(some),
}
with open(sys.argv[2], "w") as file:
    json.dump(seen, file)
"""

CREATE = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

given = np.load(sys.argv[2])
names = ["x", "y", "z", "rx", "ry", "rz", "gripper"]
films = sys.argv[3] == "films"
moves = ["dx", "dy", "dz", "rx", "ry", "rz", "gripper"]
features = {
    "observation.images.top": {"dtype": "video" if films else "image", "shape": (32, 32, 3), "names": ["height", "width", "channels"]},
    "observation.state": {"dtype": "float32", "shape": (7,), "names": names},
    "action": {"dtype": "float32", "shape": (7,), "names": moves},
}
dataset = LeRobotDataset.create("local/made", 10, features, root=sys.argv[1], robot_type="so100", use_videos=films)
for episode in np.unique(given["episode"]):
    for index in np.flatnonzero(given["episode"] == episode):
        frame = {"observation.images.top": given["images"][index], "observation.state": given["state"][index]}
        dataset.add_frame(frame | {"action": given["action"][index], "task": f"task {episode % 2}"})
    dataset.save_episode()
dataset.finalize()
"""

Row = tuple[str, bool]


@dataclass(frozen=True)
class Config:
    """Where LeRobot is."""

    python: Path
    """Interpreter that can import lerobot."""


def main(config: Config) -> None:
    """Check both ways and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        version, rows = written_here(config.python, Path(folder))
        rows += written_there(config.python, Path(folder), "pictures")
        rows += written_there(config.python, Path(folder), "films")
    print(f"| lerobot {version} | same |\n|---|---|")
    for what, same in rows:
        print(f"| {what} | {'yes' if same else '**no**'} |")
    if not all(same for _, same in rows):
        raise SystemExit(1)


def written_here(python: Path, folder: Path) -> tuple[str, list[Row]]:
    """Return LeRobot's version, and whether it sees what is written here, two episodes a file."""
    given = [demonstration(episode, steps) for episode, steps in enumerate(STEPS)]
    with Writer(folder / "ours", INTERFACE, per_file=2, privileged=PRIVILEGED) as writer:
        for each in given:
            writer.add(each)
    script(python, OPEN, folder, folder / "ours", folder / "seen.json")
    seen = json.loads((folder / "seen.json").read_text())
    frames = seen["frames"]

    def column(key: str) -> NDArray[np.float64]:
        return np.array([frame[key] for frame in frames])

    def stacked(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(each, name) for each in given])

    tasks = np.repeat([each.instruction for each in given], STEPS).tolist()
    mean = stacked("action").mean(0)
    rows = [
        ("it opens: frames", len(frames) == sum(STEPS)),
        ("episodes, rate, robot", (seen["episodes"], seen["fps"], seen["robot"]) == (len(STEPS), 5, "widowx")),
        ("lengths, scenes, seeds", seen["rows"] == [origin(*each) for each in enumerate(STEPS)]),
        ("state", np.array_equal(column("observation.state"), stacked("state"))),
        ("action", np.array_equal(column("action"), stacked("action"))),
        ("privileged", np.array_equal(column("privileged"), stacked("privileged"))),
        ("perturbed", np.array_equal(column("perturbed"), stacked("perturbed"))),
        ("success at the end only", np.flatnonzero(column("next.success")).tolist() == [6, 10, 19]),
        ("task", [frame["task"] for frame in frames] == tasks),
        ("one episode alone", seen["some"] == STEPS[1]),
        ("a chunk of two actions", np.array_equal(seen["chunk"], given[1].action[:2])),
        ("statistics of the action", np.allclose(seen["stats"]["action"]["mean"], mean, atol=1e-6)),
    ]
    for camera, key in CAMERAS.items():
        images = np.concatenate([each.images[camera] for each in given])
        same = np.array_equal(np.rint(column(key) * 255), images.transpose(0, 3, 1, 2))
        rows.append((f"pictures of {camera}", same))
        mean = images.mean((0, 1, 2)).reshape(3, 1, 1) / 255
        rows.append((f"statistics of {camera}", np.allclose(seen["stats"][key]["mean"], mean)))
    return seen["version"], rows


def written_there(python: Path, folder: Path, kind: str) -> list[Row]:
    """Return whether what LeRobot writes, with pictures as `pictures` or `films`, is read here."""
    given = [demonstration(episode, steps) for episode, steps in enumerate(STEPS)]
    images = np.concatenate([each.images["policy"] for each in given])
    state = np.concatenate([each.state for each in given])
    action = np.concatenate([each.action for each in given])
    episode = np.repeat(np.arange(len(STEPS)), STEPS)
    np.savez(folder / "given.npz", images=images, state=state, action=action, episode=episode)
    script(python, CREATE, folder, folder / kind, folder / "given.npz", kind)
    found = read(folder / kind)
    top = found.images["top"]
    if kind == "films":  # lossy: a frame is known by its colour
        same = np.allclose(top.mean((1, 2)), images.mean((1, 2)), atol=8)
    else:
        same = np.array_equal(top, images)
    return [
        (f"LeRobot's {kind}: interface", found.interface == Interface("so100", 10.0, ("top",), 32)),
        (f"LeRobot's {kind}: what they show", same),
        (f"LeRobot's {kind}: state", np.array_equal(found.state, state)),
        (f"LeRobot's {kind}: action", np.array_equal(found.action, action)),
        (f"LeRobot's {kind}: episodes", np.array_equal(found.episode, episode)),
        (f"LeRobot's {kind}: instructions", found.instructions == ["task 0", "task 1", "task 0"]),
    ]


def demonstration(episode: int, steps: int) -> Demonstration:
    """Return an episode of noise; each picture has a colour of its own."""
    rng = np.random.default_rng(episode)
    shape = (steps, INTERFACE.size, INTERFACE.size, 3)

    def pictures() -> NDArray[np.uint8]:
        return (rng.integers(0, 240, (steps, 1, 1, 3)) + rng.integers(0, 16, shape)).astype(np.uint8)

    return Demonstration(
        images={camera: pictures() for camera in INTERFACE.cameras},
        state=rng.normal(size=(steps, 7)).astype(np.float32),
        action=rng.normal(size=(steps, 7)).astype(np.float32),
        perturbed=rng.random(steps) < 0.5,
        instruction=f"put cube {episode % 2} on the plate",
        success=True,
        source={"scene": f"scene-{episode}", "seed": episode},
        privileged=rng.normal(size=(steps, PRIVILEGED)).astype(np.float32),
    )


def origin(episode: int, steps: int) -> dict[str, Any]:
    """Return what the row of an episode says."""
    return {"length": steps, "scene": f"scene-{episode}", "seed": episode}


def script(python: Path, code: str, folder: Path, *arguments: Path | str) -> None:
    """Run code in the other interpreter, away from the user's caches and the network."""
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | quiet
    command = [str(python), "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{python} failed:\n{done.stderr[-3000:]}")


if __name__ == "__main__":
    main(tyro.cli(Config))

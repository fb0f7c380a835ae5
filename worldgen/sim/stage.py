"""A compiled scene, ready to be played: everything that worlds of one scene share in one process.

The model is shared too, so a world writes what it has drawn (friction, cameras, light ...) into it before it acts: `World` does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from .. import mjcf, robots
from ..camera import Camera
from ..errors import RenderError, SceneError, WorldsError
from ..goals import ROBOT, GoalCheck
from ..library import Scene
from .control import Controller
from .domains import Domain, Randomiser
from .lean import merge_drawn
from .rewards import Reward, Sparse
from .truth import Truth
from .vetting import require_whole

MAX_CHUNK = 1000
PART = 5
"""Time steps between two looks at the servos: 40 ms."""


@dataclass(frozen=True)
class View:
    """One picture of an observation."""

    camera: str = "policy"
    """Camera of the scene: policy, preview, robot/wrist ..."""
    width: int = 64
    """[px]"""
    height: int = 64
    """[px]"""


@dataclass(frozen=True)
class Settings:
    """How scenes are played; the same for all worlds of a run."""

    domain: Domain
    """What is drawn anew at each reset."""
    reward: Reward = Sparse()  # noqa: RUF009 - frozen
    views: tuple[View, ...] = (View(),)
    """Pictures of an observation; none at all is fastest."""
    joints: bool = False
    """Whether the state also holds the arm's joint positions."""
    privileged: bool = False
    """Whether observations carry the privileged vector, for a critic."""
    chunk: int = 4
    """Most actions that one step takes."""


class Stage:
    """One scene, compiled.

    Raises:
        SceneError: When the scene cannot be compiled, or does not fit its record.
        WorldsError: When the settings make no sense.
    """

    def __init__(self, scene: Scene, settings: Settings, *, trusted: bool = False) -> None:
        mujoco.set_mju_user_warning(_ignore)  # what goes wrong is counted; MuJoCo would write a log where we stand
        if not 1 <= settings.chunk <= MAX_CHUNK:
            raise WorldsError(f"chunk {settings.chunk} is outside [1, {MAX_CHUNK}].")
        self.scene, self.settings = scene, settings
        spec = scene.record.spec
        self.model = _compile(scene, trusted)
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self.model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_SLEEP
        folder = scene.root / "robots" / spec.robot
        self.robot = robots.Robot(robots.read_recipe(folder / "robot.json", spec.robot), folder)
        self.recipe = self.robot.recipe
        self.workspace = mjcf.workspace(self.recipe)
        try:
            self.at = robots.addresses(self.model, self.recipe, ROBOT)
            self.bodies = {item.name: mjcf.body_of(scene.asset(item.name)) for item in spec.objects}
            self.goals = tuple(GoalCheck(goal, self.model) for goal in spec.task.goals)
            self.home = self.model.key("home")
            self.ids = {item.name: self.model.body(item.name).id for item in spec.objects}
        except KeyError as error:
            raise SceneError(f"'{scene.xml}' does not fit its record: {error}.") from error
        self.controller = Controller(self.robot)
        self.steps = round(self.controller.period / self.model.opt.timestep)
        if self.steps % PART or abs(self.steps * self.model.opt.timestep - self.controller.period) > 1e-9:
            raise SceneError(
                f"Scene '{scene.name}': its time step {self.model.opt.timestep:g} s does not divide the control period "
                f"{self.controller.period:g} s into parts of {PART} steps. Make the library again."
            )
        camera = settings.views[0].camera if settings.views else ""
        self.truth = Truth(self.model, self.recipe, self.at, self.goals, spec, camera)
        self.randomiser = Randomiser(settings.domain, self.model, self.recipe)
        self.free = {name: body for name, body in self.ids.items() if self.model.body_dofnum[body] == 6}
        self.watched = np.array([self.free[name] for name in sorted(spec.goal_names()) if name in self.free], int)
        self.body_pos, self.body_quat = self.model.body_pos.copy(), self.model.body_quat.copy()
        self.openings = [
            (joint, max(self.model.jnt_range[joint], key=abs))
            for joint in range(self.model.njnt)
            if self.model.joint(joint).name.split("/")[0] in self.ids and np.ptp(self.model.jnt_range[joint]) > 0
        ]
        """What opens: joint, and its far end [m or rad]."""
        self.active: object = None
        """The world whose draw the model holds."""
        self._lens: Camera | None = None
        self._film: Camera | None = None
        self._painted: dict[str, NDArray[np.uint8]] = {}

    @classmethod
    def open(cls, folder: Path, settings: Settings, *, trusted: bool = False) -> Stage:
        """Compile the scene in a folder, one of many: looked at first, and without a trace in MuJoCo's own cache.

        Raises:
            SceneError: When a file of the scene is not as it was written; also as the class.
        """
        require_whole(folder)
        stage = cls(Scene.open(folder), settings, trusted=trusted)
        mujoco.mj_clearCache(mujoco.mj_getCache())  # else the files of every scene ever played stay in memory
        return stage

    def lens(self) -> Camera:
        """Return the camera that draws this scene, made on first use."""
        if self._lens is None:
            views = self.settings.views or (View(),)
            size = max(view.width for view in views), max(view.height for view in views)
            for view in views:
                require_camera(self.model, view.camera)
            shadows = self.model.vis.quality.shadowsize
            self.model.vis.quality.shadowsize = 0  # these pictures have none, and the map takes 17 MB a scene
            try:
                self._lens = Camera(self.model, size)
            finally:
                self.model.vis.quality.shadowsize = shadows
        return self._lens

    def film(self, camera: str, width: int, height: int) -> Camera:
        """Return the camera that draws for people, made on first use; it may draw larger than observations are."""
        require_camera(self.model, camera)
        had = self._film.size if self._film else (0, 0)
        size = max(had[0], width), max(had[1], height)
        if self._film is None or size != had:
            if self._film:
                self._film.close()
            self._film = Camera(self.model, size)
        return self._film

    def paint(self, textures: dict[str, NDArray[np.uint8]]) -> None:
        """Show these textures, and the scene's own where none is given."""
        changed = [
            name for name in textures.keys() | self._painted.keys() if textures.get(name) is not self._painted.get(name)
        ]
        if not changed:
            return
        lens = self.lens()
        for name in sorted(changed):
            lens.repaint(name, textures.get(name))
            if self._film:  # the lens knows the scene's own; the film may have been made when others were shown
                self._film.repaint(name, np.array(self.model.texture(name).data))
        self._painted = dict(textures)

    def close(self) -> None:
        """Free what the scene holds on the graphics side, and forget the world that acted last."""
        self.active = None
        if self._lens:
            self.paint({})  # a lens that is made later takes what it finds in the model for the scene's own
            self._lens.close()
        if self._film:
            self._film.close()
        self._lens = self._film = None


def _ignore(message: str) -> None:
    pass


def _compile(scene: Scene, trusted: bool) -> mujoco.MjModel:
    """Return the scene as compiled for many small pictures: few draw calls, no anti-aliasing."""
    source = scene.source(trusted=trusted)
    merge_drawn(source)
    source.visual.quality.offsamples = 0
    try:
        return source.compile()
    except ValueError as error:
        raise SceneError(f"MuJoCo refuses scene '{scene.name}': {error}") from error


def require_camera(model: mujoco.MjModel, name: str) -> None:
    """Raise RenderError when a scene has no such camera."""
    if not isinstance(name, str) or mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, name) < 0:
        names = ", ".join(model.camera(index).name for index in range(model.ncam))
        raise RenderError(f"The scene has no camera '{name}'. It has: {names or 'none'}.")

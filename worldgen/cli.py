"""The `worldgen` command: each sub-command is a function here, and does nothing but call the library and print."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from .errors import WorldgenError
from .making import Images, Server, ShapE

Robot = Annotated[str, tyro.conf.arg(metavar="NAME")]


@dataclass(frozen=True)
class Llm:
    """Language model, for `--designer openai`. The key comes from the environment: OPENAI_API_KEY."""

    model: str = ""
    """Model id; empty takes OPENAI_MODEL."""
    base_url: str = ""
    """Any OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama); empty takes OPENAI_BASE_URL, then OpenAI's own."""
    replies: Path | None = None
    """Folder of saved replies: written by `openai`, replayed by `recorded`. Empty takes the store's."""
    max_calls: int | None = None
    """Stop after so many calls."""
    max_tokens: int | None = None
    """Stop after so many tokens, in and out."""
    max_usd: float | None = None
    """Stop at this cost; needs both prices."""
    max_seconds: float | None = None
    """Stop after this wall time [s]."""
    usd_per_million_in: float = 0.0
    """Price of a million input tokens [USD]."""
    usd_per_million_out: float = 0.0
    """Price of a million output tokens [USD]."""


def design(
    request: Positional[str],
    count: int = 1,
    seed: int = 0,
    robot: Robot = "widowx",
    designer: str = "rules",
    photo: Path | None = None,
    llm: Llm = Llm(),
) -> None:
    """Turn a sentence into scene specs, printed as JSON lines.

    Args:
        request: What the robot shall do and where, e.g. "put the red mug on the plate, cluttered kitchen".
        count: How many different scenes.
        seed: Another seed gives other scenes; the same one the same.
        robot: Arm; see `worldgen robots list`.
        designer: rules (offline), openai, recorded, or "module:Class".
        photo: Photo of a real table to rebuild; needs a language model that sees.
        llm: Endpoint and budget.
    """
    from . import pipeline

    settings = pipeline.Settings(
        (request,), count=count, seed=seed, robot=robot, designer=designer, splits=(1, 0, 0, 0, 0), photo=_text(photo)
    )
    for job in pipeline.specs(settings, endpoint=_endpoint(llm), budget=_budget(llm)):
        print(job.model_dump_json())


def make(
    request: Positional[str] = "",
    out: Path = Path("library"),
    count: int = 20,
    seed: int = 0,
    workers: int = max(os.cpu_count() or 1, 1),
    robot: Robot = "widowx",
    tasks: Path | None = None,
    designer: str = "rules",
    assets: str = "procedural",
    splits: tuple[float, float, float, float, float] = (0.8, 0.05, 0.05, 0.05, 0.05),
    photo: Path | None = None,
    panorama: Path | None = None,
    photos: Path | None = None,
    image: Images = Images(),
    shap_e: ShapE = ShapE(),
    server: Server = Server(),
    eyes: str = "",
    any_licence: bool = False,
    store: Path | None = None,
    llm: Llm = Llm(),
) -> None:
    """Make a library of verified scenes from one sentence, or from a file of them. Run it again to resume.

    Exit code 0: every scene is there. 3: fewer than asked for (the table says why). 1: nothing could be made.

    Args:
        request: What the robot shall do and where.
        out: Folder of the library; an unfinished one is finished, a finished one left as it is.
        count: Scenes wanted; raise it later to add more.
        seed: Another seed gives another library; the same one the same bytes.
        workers: Processes.
        robot: Arm; see `worldgen robots list`.
        tasks: Text file with one sentence a line, used in turn instead of a request.
        designer: rules (offline), openai, recorded, or "module:Class".
        assets: Who makes objects, tried in turn with commas between them: procedural; from pictures silhouette, shap-e, or http:URL of a server; or
            "module:function".
        splits: Shares of train, unseen-objects, unseen-categories, unseen-instructions and unseen-backgrounds.
        photo: Photo of a real table to rebuild; needs a language model that sees.
        panorama: Picture of a real room to stand in: twice as wide as high, or six faces of a cube in a column or cross.
        photos: Folder of photos of objects, for makers that work from pictures. Their names say what they show: mug-1.png, red-mug.jpg.
        image: Text-to-image model that draws the pictures where there are no photos.
        shap_e: Settings of --assets shap-e.
        server: Settings of --assets http:URL.
        eyes: Vision model at OPENAI_BASE_URL that looks at each picture and narrows the ranges of density, friction and size in the object's record.
        any_licence: Also make objects whose licence is not known to let models be trained on them.
        store: Folder of everything built before, shared by all libraries; default ~/.cache/worldgen or $WORLDGEN_STORE.
        llm: Endpoint and budget.
    """
    from . import console, data, pipeline

    settings = pipeline.Settings(
        pipeline.sentences(request, tasks),
        count,
        seed,
        robot,
        designer,
        assets,
        splits,
        _text(photo),
        _text(panorama),
        _text(photos),
        image,
        shap_e,
        server,
        eyes,
        any_licence,
    )
    with console.progress(count) as progress:
        report = pipeline.make(
            settings,
            out,
            workers=workers,
            cache_root=store or data.cache_folder(),
            endpoint=_endpoint(llm),
            budget=_budget(llm),
            progress=progress,
        )
    console.show_report(report)
    sys.exit(0 if report.complete else 3 if report.accepted else 1)


def check(library: Positional[Path], workers: int = max(os.cpu_count() or 1, 1)) -> None:
    """Examine every scene of a library anew and print a table. Exit code 1 when a scene fails.

    Args:
        library: Folder of a library, or of one scene.
        workers: Processes.
    """
    from . import console, recheck

    with console.progress(0, "checking") as progress:
        rows = recheck.check(library, workers=workers, progress=progress)
    console.show_checks(rows)
    sys.exit(0 if rows and all(row.ok for row in rows) else 1)


def list_(library: Positional[Path], split: str | None = None) -> None:
    """List the scenes of a library: name, split, task, instruction, objects.

    Args:
        library: Folder of a library.
        split: Only this split.
    """
    from . import console
    from .library import SceneLibrary

    console.show_scenes(SceneLibrary.open(library).scenes(split))


def view(scene: Positional[Path]) -> None:
    """Open a scene in the MuJoCo viewer. Needs a display; without one use `render` or `gallery`.

    Args:
        scene: Folder of a scene, e.g. library/scenes/0007.
    """
    from . import viewer
    from .library import open_scene

    viewer.view(open_scene(scene))


def play(
    path: Positional[Path],
    policy: Literal["expert", "random"] = "expert",
    video: Path | None = None,
    count: int = 16,
    episodes: int = 1,
    seed: int = 0,
    split: str | None = None,
    domain: str = "paper",
    noise: float = 0.0,
    camera: str = "preview",
    size: tuple[int, int] | None = None,
) -> None:
    """Play a scene, or the scenes of a library, print what came of each episode, and film it.

    Args:
        path: Folder of a scene, or of a library.
        policy: expert: scripted, knows where everything is. random: moves the arm about.
        video: .mp4 or .gif to write; the episodes of several scenes side by side.
        count: Scenes of a library to play.
        episodes: Of each scene.
        seed: Of the first episode; another one places things elsewhere.
        split: Only scenes of this split.
        domain: What is drawn anew at each reset: none, paper, full, real, or your own .json (see assets/domains/).
        noise: Mistakes that the expert makes on purpose: standard deviation of each move [m].
        camera: Camera of the film: preview, policy, robot/wrist ...
        size: Width and height of one episode in the film [px]; default 480 x 360 for one episode, 240 x 180 for several.
    """
    from . import console, play
    from .library import open_scenes

    scenes = open_scenes(path, split, count)
    shape = size or ((480, 360) if len(scenes) * episodes == 1 else (240, 180))
    with console.progress(len(scenes) * episodes, "playing") as progress:
        found = play.play(
            scenes, policy=policy, seed=seed, episodes=episodes, domain=domain, noise=noise,
            video=video, size=shape, camera=camera, progress=progress,
        )  # fmt: skip
    console.show_played(found)
    if video:
        print(video)


def render(
    scene: Positional[Path],
    out: Path = Path(),
    camera: Literal["policy", "preview"] = "policy",
    size: tuple[int, int] = (224, 224),
    turntable: Literal["none", "gif", "mp4"] = "none",
    plain: bool = False,
) -> None:
    """Draw a scene: a still, or a turntable around it.

    Args:
        scene: Folder of a scene.
        out: Folder for the picture, or a file name ending in .png, .gif or .mp4.
        camera: policy: what a policy sees. preview: from the side.
        size: Width and height [px].
        turntable: Also go once around the table, as a GIF or MP4.
        plain: Without shadows, as policies are trained.
    """
    from . import render
    from .library import open_scene

    for path in render.write(open_scene(scene), out, camera, size, turntable, shadows=not plain):
        print(path)


def gallery(library: Positional[Path], out: Path | None = None) -> None:
    """Write one self-contained HTML page of all scenes, with filters.

    Args:
        library: Folder of a library.
        out: File to write; default gallery.html inside the library.
    """
    from . import gallery
    from .library import SceneLibrary

    print(gallery.write(SceneLibrary.open(library), out))


def export(scene: Positional[Path], to: Literal["zip", "urdf"] = "zip", out: Path | None = None) -> None:
    """Write a scene for use elsewhere: a zip that plain MuJoCo opens, or its objects as URDF.

    Args:
        scene: Folder of a scene.
        to: zip: MJCF with all it needs. urdf: one folder an object.
        out: File (zip) or folder (urdf) to write; default beside you, named like the scene.
    """
    from . import export
    from .library import open_scene

    print(export.write(open_scene(scene), to, out))


def schema(write: bool = False) -> None:
    """Print the JSON schemas of all records, or write them to schemas/.

    Args:
        write: Write the files instead.
    """
    from . import schemas

    for path_or_text in schemas.write() if write else schemas.texts().values():
        print(path_or_text)


def robots_list() -> None:
    """List the arms that scenes can be made for."""
    from . import console, robots

    console.show_robots([robots.load(name) for name in robots.names()])


def robots_add(name: Positional[str], model: Positional[Path], recipe: Path, replace: bool = False) -> None:
    """Add an arm of your own: an MJCF folder and a recipe. It is driven to 20 poses and refused, with reasons, where that fails.

    Args:
        name: Name to use it by.
        model: The arm's MJCF file; the files that it needs are copied along.
        recipe: robot.json; see `worldgen schema` and assets/robots/.
        replace: Take the place of an arm of that name.
    """
    from . import robot_import

    added = robot_import.add(name, model, recipe, replace=replace)
    print(f"{added.recipe.name}: {added.recipe.title}, in {added.folder}")


def assets_import(
    file: Positional[Path],
    category: str,
    size: tuple[float, ...],
    out: Path = Path("asset"),
    colour: str = "natural",
    material: str = "plastic",
    up: Literal["z", "y"] = "z",
    licence: str = "user-supplied",
    may_train: bool = True,
) -> None:
    """Turn your own mesh (.obj .glb .stl .ply) into a physical asset: cleaned, closed, in metres, weighed, with collision parts.

    Args:
        file: The mesh.
        category: What it is, e.g. mug.
        size: Longest side, or extents along x y z [m].
        out: Folder for the asset.
        colour: Main colour, a word of the vocabulary.
        material: What it is made of; gives density and friction.
        up: Axis of the file that points up.
        licence: Licence of the mesh; goes into its record.
        may_train: Whether that licence allows training other models on it.
    """
    from . import console, importing

    with console.working(
        f"Reading {file.name}, closing it, splitting it into convex parts (seconds, a minute where it is fine or torn) ..."
    ):
        made = importing.import_mesh(file, category, size, out, colour, material, up, licence, may_train)
    console.show_asset(made, out)


def assets_from_image(
    file: Positional[Path],
    category: str,
    height: float,
    out: Path = Path("asset"),
    colour: str = "",
    material: str = "",
    licence: str = "user-supplied",
    may_train: bool = True,
    eyes: str = "",
) -> None:
    """Turn a photo of one object into a physical asset, without any model. Take it level from the front, flat things from above, on a plain
    background that the object has not the colour of.

    Args:
        file: The photo: .png .jpg .webp; one with transparency is cut out already.
        category: What it is, e.g. mug.
        height: Of the thing as it stands or lies [m].
        out: Folder for the asset.
        colour: Main colour, a word of the vocabulary; empty for what the photo shows.
        material: What it is made of; gives density and friction. Empty for the usual one.
        licence: Licence of the photo; goes into the record.
        may_train: Whether that licence allows training models on what is made of it.
        eyes: Vision model at OPENAI_BASE_URL that looks at the photo and narrows the ranges of density and friction in the record.
    """
    from . import console, importing

    with console.working(f"Cutting {category} out of {file.name}, making it solid, splitting it into convex parts ..."):
        made = importing.from_image(file, category, height, out, colour, material, licence, may_train, eyes)
    console.show_asset(made, out)


def _endpoint(llm: Llm) -> Any:
    from .wire import DrafterSettings

    return DrafterSettings(model=llm.model, base_url=llm.base_url, replies=llm.replies)


def _budget(llm: Llm) -> Any:
    from .wire import Budget

    return Budget(
        max_calls=llm.max_calls,
        max_tokens=llm.max_tokens,
        max_usd=llm.max_usd,
        max_seconds=llm.max_seconds,
        usd_per_million_in=llm.usd_per_million_in,
        usd_per_million_out=llm.usd_per_million_out,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def robots() -> None:
    """Arms: `worldgen robots list`, `worldgen robots add`."""


def assets() -> None:
    """Objects: `worldgen assets import`, `worldgen assets from-image`."""


COMMANDS: dict[str, Callable[..., None]] = {
    "make": make,
    "design": design,
    "check": check,
    "list": list_,
    "view": view,
    "play": play,
    "render": render,
    "gallery": gallery,
    "export": export,
    "assets": assets,
    "robots": robots,
    "schema": schema,
}
GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "robots": {"list": robots_list, "add": robots_add},
    "assets": {"import": assets_import, "from-image": assets_from_image},
}


def main() -> None:
    """Run the command line; an error that a user can act on is one line and exit code 1."""
    arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    group = GROUPS.get(arguments[0]) if arguments else None
    try:
        if group is not None:
            tyro.extras.subcommand_cli_from_dict(
                group, prog=f"worldgen {arguments[0]}", args=arguments[1:] or ["--help"]
            )
        else:
            description = "One sentence becomes a library of verified MuJoCo scenes."
            tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="worldgen", description=description, args=arguments or ["--help"]
            )
    except WorldgenError as error:
        sys.exit(f"worldgen: {error}")
    except MemoryError:
        sys.exit("worldgen: out of memory. Use fewer --workers; the same command goes on.")
    except KeyboardInterrupt:
        sys.exit("worldgen: stopped. Run the same command again to go on.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        sys.exit(f"worldgen: {error.strerror or error}{where}. Choose another path or mend this one.")


if __name__ == "__main__":
    main()

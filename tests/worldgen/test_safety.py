"""What a stranger's scene file may not do. Each case is one line of XML in an otherwise ordinary scene."""

from __future__ import annotations

import os
import shutil
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import mujoco
import pytest

from worldgen import safety
from worldgen.errors import SceneError
from worldgen.library import Scene, SceneLibrary

MESH = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


def picture(width: int = 4, height: int = 4) -> bytes:
    """Return a PNG whose header says this size; the pixels are those of 4 x 4."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\x80" * 12) * 4)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A library with one mesh and one texture, and secrets beside it."""
    root = tmp_path / "library"
    for folder in (root / "assets" / "a", root / "scenes" / "0000", tmp_path / "secret"):
        folder.mkdir(parents=True)
    for folder in (root / "assets" / "a", tmp_path / "secret"):
        (folder / "m.obj").write_text(MESH)
        (folder / "t.png").write_bytes(picture())
        (folder / "part.xml").write_text("<mujoco/>")
    return root


def problems(root: Path, text: str | bytes, *, whole: bool = False) -> list[str]:
    file = root / "scenes" / "0000" / "scene.xml"
    if isinstance(text, str):
        text = (text if whole else f'<mujoco><compiler meshdir="../.." texturedir="../.."/>{text}</mujoco>').encode()
    file.write_bytes(text)
    return [str(problem) for problem in safety.problems(file, root)]


FINE = """
    <option timestep="0.005" iterations="100"/>
    <size memory="100M"/>
    <asset>
      <mesh name="inf" file="assets/a/m.obj"/>
      <texture name="t" type="2d" file="assets/a/t.png"/>
      <texture name="box" type="cube" builtin="gradient" rgb1="0 0 0" rgb2="1 1 1" width="256" height="1536"/>
      <hfield name="h" nrow="100" ncol="100" size="1 1 1 1"/>
    </asset>
    <worldbody>
      <body name="nan"><joint name="infinity"/><geom type="mesh" mesh="inf"/></body>
      <replicate count="10" offset="0 0 1"><replicate count="5" offset="0 1 0"><geom size="0.1"/></replicate></replicate>
    </worldbody>
"""


def test_an_honest_scene_passes_and_compiles(root: Path) -> None:
    assert problems(root, FINE) == []
    assert mujoco.MjModel.from_xml_path(str(root / "scenes" / "0000" / "scene.xml")).nbody == 2


def asset(line: str) -> str:
    return f"<asset>{line}</asset>"


def world(line: str) -> str:
    return f"<worldbody>{line}</worldbody>"


BAD: dict[str, tuple[str, str]] = {
    "include absolute": ('<include file="/etc/passwd"/>', "one file"),
    "include relative": ('<include file="../../../secret/part.xml"/>', "one file"),
    "include inside": ('<include file="../../assets/a/part.xml"/>', "one file"),
    "include in another namespace": ('<include xmlns="x" file="/etc/passwd"/>', "namespaces"),
    "model": (asset('<model name="m" file="/etc/passwd"/>'), "one file"),
    "model inside": (asset('<model name="m" file="assets/a/part.xml" content_type="text/xml"/>'), "one file"),
    "attach": (world('<attach model="m" body="b" prefix="p"/>'), "one file"),
    "mesh absolute": (asset('<mesh name="m" file="/etc/passwd"/>'), "no plain relative path"),
    "mesh leaves": (asset('<mesh name="m" file="../secret/m.obj"/>'), "leaves the library"),
    "mesh comes back": (asset('<mesh name="m" file="../secret/../library/../secret/m.obj"/>'), "leaves the library"),
    "mesh with backslashes": (asset('<mesh name="m" file="..\\secret\\m.obj"/>'), "no plain relative path"),
    "mesh from a provider": (asset('<mesh name="m" file="http://host/m.obj"/>'), "no plain relative path"),
    "mesh with a content type": (asset('<mesh name="m" file="/etc/passwd" content_type="model/obj"/>'), "relative"),
    "mesh is missing": (asset('<mesh name="m" file="assets/a/absent.obj"/>'), "does not exist"),
    "mesh is a folder": (asset('<mesh name="m" file="assets/a"/>'), "does not exist"),
    "mesh is empty": (asset('<mesh name="m" file=""/>'), "does not exist"),
    "skin": (asset('<skin name="s" file="../secret/m.obj"/>'), "leaves the library"),
    "skin, deformable": ('<deformable><skin name="s" file="/etc/passwd"/></deformable>', "relative"),
    "hfield": (asset('<hfield name="h" file="../secret/t.png" size="1 1 1 1"/>'), "leaves the library"),
    "flexcomp": (world('<flexcomp name="f" type="mesh" file="../secret/m.obj"/>'), "leaves the library"),
    "default": ('<default><mesh file="/etc/passwd"/></default>', "relative"),
    "texture absolute": (asset('<texture name="t" file="/etc/passwd"/>'), "relative"),
    "texture leaves": (asset('<texture name="t" file="../secret/t.png"/>'), "leaves the library"),
    "texture is no PNG": (asset('<texture name="t" type="2d" file="assets/a/m.obj"/>'), "no readable PNG"),
    "texture says it is one": (
        asset('<texture name="t" file="assets/a/m.obj" content_type="image/png"/>'),
        "no readable PNG",
    ),
    "meshdir absolute": ('<compiler meshdir="/etc"/>' + asset('<mesh name="m" file="passwd"/>'), "given twice"),
    "assetdir beside": ('<compiler assetdir="/etc"/>' + asset('<mesh name="m" file="passwd"/>'), "given twice"),
    "strippath": (
        '<compiler strippath="true"/>' + asset('<mesh name="m" file="assets/a/m.obj"/>'),
        "as they are written",
    ),
    "plugin": (asset('<mesh name="m"><plugin plugin="mujoco.sdf.nut"/></mesh>'), "plugins are not allowed"),
    "extension": ('<extension><plugin plugin="x"/></extension>', "plugins are not allowed"),
    "replicate": (world('<replicate count="1000000"><geom size="1"/></replicate>'), "elements are more"),
    "replicate nested": (
        world('<replicate count="400"><replicate count="400"><geom size="1"/></replicate></replicate>'),
        "elements are more",
    ),
    "replicate, odd number": (world('<replicate count="1e9"><geom size="1"/></replicate>'), "elements are more"),
    "replicate, no number": (world('<replicate count="0x7fffffff"><geom size="1"/></replicate>'), "elements are more"),
    "composite": (world('<body><composite type="cable" count="100000 1 1"/></body>'), "elements are more"),
    "composite, split": (world('<body><composite type="cable" count="100 100 10"/></body>'), "elements are more"),
    "composite with zero": (world('<body><composite type="cable" count="100000 0 1"/></body>'), "elements are more"),
    "composite skin": (world('<body><composite type="x"><skin subgrid="9999"/></composite></body>'), "skin.subgrid"),
    "flexcomp count": (world('<flexcomp name="f" type="grid" count="100 100 1"/>'), "flexcomp.count"),
    "flexcomp cells": (world('<flexcomp name="f" count="6 6 6" cellcount="50 50 50"/>'), "flexcomp.cellcount"),
    "hfield cells": (asset('<hfield name="h" nrow="50000" ncol="50000" size="1 1 1 1"/>'), "hfield.nrow"),
    "texture drawn": (asset('<texture name="t" builtin="flat" width="100000" height="100000"/>'), "texture.width"),
    "texture cube": (asset('<texture name="t" type="cube" builtin="flat" width="20000" height="1"/>'), "texture.width"),
    "texture cubes": (
        asset("".join(f'<texture name="t{i}" builtin="flat" width="4096"/>' for i in range(3))),
        "pixels are more",
    ),
    "texture by default": (
        '<default><texture width="4096"/></default>'
        + asset("".join(f'<texture name="t{i}" type="2d" builtin="flat" height="4096"/>' for i in range(5))),
        "pixels are more",
    ),
    "mesh drawn": (asset('<mesh name="m" builtin="supersphere" params="2000 1 1"/>'), "mesh.params"),
    "mesh drawn, small factor": (asset('<mesh name="m" builtin="supersphere" params="2000 .01 .01"/>'), "mesh.params"),
    "keys": ('<size nkey="100000"/>', "size.nkey"),
    "memory": ('<size memory="99999999999"/>', "size.memory"),
    "memory with unit": ('<size memory="64G"/>', "size.memory"),
    "user data": ('<size nuser_geom="100000000"/>', "size.nuser_geom"),
    "small time step": ('<option timestep="1e-9"/>', "option.timestep"),
    "no time step": ('<option timestep="0"/>', "option.timestep"),
    "iterations": ('<option iterations="1000000000"/>', "option.iterations"),
    "shadow map": ('<visual><quality shadowsize="1000000"/></visual>', "quality.shadowsize"),
    "picture": ('<visual><global offwidth="1000000"/></visual>', "global.offwidth"),
    "camera": (world('<camera resolution="100000 100000"/>'), "camera.resolution"),
    "user sensor": ('<sensor><user name="u" dim="200000000"/></sensor>', "user.dim"),
    "contact sensor": ('<sensor><contact geom1="g" num="1e8"/></sensor>', "contact.num"),
    "activations": ('<actuator><general joint="j" dyntype="user" actdim="2e8"/></actuator>', "general.actdim"),
    "numeric": ('<custom><numeric name="n" size="200000000"/></custom>', "numeric.size"),
    "history of a sensor": ('<sensor><jointpos joint="j" nsample="1e8"/></sensor>', "jointpos.nsample"),
    "history by default": ('<default><dcmotor nsample="1e8"/></default>', "dcmotor.nsample"),
    "many user sensors": ("<sensor>" + '<user dim="1000"/>' * 10_001 + "</sensor>", "numbers in"),
    "many histories": (
        '<default><position nsample="1000"/></default><actuator>' + '<position joint="j"/>' * 10_001 + "</actuator>",
        "numbers in",
    ),
    "copied sensors": (
        world('<replicate count="500"><site name="s"/></replicate>')
        + '<sensor><user objtype="site" objname="s" dim="1000" nsample="1000"/></sensor>',
        "numbers in",
    ),
    "range finders": (
        world('<camera name="c" resolution="2000 2000"/>') + '<sensor><rangefinder camera="c"/></sensor>',
        "numbers in",
    ),
    "user data of all": ('<size nuser_body="1000"/>' + world("<body/>" * 15_000), "numbers in"),
    "many height fields": (asset('<hfield nrow="1024" ncol="1024" size="1 1 1 1"/>' * 300), "numbers in"),
    "many flexcomps": (world('<flexcomp name="f" count="7 7 10" dim="3"/>' * 30), "points of flexible"),
    "three flexcomps": (world('<flexcomp name="f" count="7 7 10" dim="3"/>' * 3), "points of flexible"),
    "flexcomps that do not say": (world('<flexcomp name="f"/>' * 2), "points of flexible"),
    "flexcomp copied": (
        world('<replicate count="10"><flexcomp name="f" count="5 5 5"/></replicate>'),
        "points of flexible",
    ),
    "many composites": (world('<body><composite type="cable" count="200 1 1"/></body>' * 6), "points of flexible"),
    "no such folder before dots": (asset('<mesh name="m" file="nodir/../assets/a/m.obj"/>'), "does not exist"),
    "long name": (asset(f'<mesh name="m" file="{"a" * 300}.obj"/>'), "cannot be looked at"),
    "long name of a texture": (asset(f'<texture name="t" file="{"a" * 300}.png"/>'), "cannot be looked at"),
    "history": ('<actuator><motor nsample="10000000"/></actuator>', "motor.nsample"),
} | {
    f"not finite: {word}": (world(f'<geom size="1" pos="0 {word} 0"/>'), "not finite")
    for word in ("nan", "NaN", "-inf", "+Infinity", "nan(1)", "1e999")
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_stranger_s_scene_is_refused(root: Path, name: str) -> None:
    text, words = BAD[name]
    found = problems(root, text)
    assert any(words in problem for problem in found), found
    with pytest.raises(SceneError, match=r"scene\.xml is not safe to open"):
        safety.require_safe(root / "scenes" / "0000" / "scene.xml", root)


@pytest.mark.parametrize("side", ["file", "fileright", "fileleft", "fileup", "filedown", "filefront", "fileback"])
def test_every_side_of_a_cube_is_looked_at(root: Path, side: str) -> None:
    line = asset(f'<texture name="t" type="cube" {side}="../secret/t.png"/>')
    assert [item.split(":")[0] for item in problems(root, line)] == [f"texture.{side}"]


@pytest.mark.parametrize("key", ["meshdir", "assetdir"])
@pytest.mark.parametrize("value", ["/etc", "..", "../../../secret", "../../assets/../../secret"])
def test_the_folder_of_meshes_must_be_inside(root: Path, key: str, value: str) -> None:
    line = f'<mujoco><compiler {key}="{value}"/><asset><mesh name="m" file="m.obj"/></asset></mujoco>'
    assert problems(root, line, whole=True)


@pytest.mark.parametrize(
    "folders",
    [
        'meshdir="../../assets/a" assetdir="/etc"',
        'meshdir="" assetdir="../../assets/a"',
        'texturedir="../../assets/a" assetdir="../../assets/a"',
    ],
)
def test_folders_that_could_be_read_in_two_ways_are_refused(root: Path, folders: str) -> None:
    line = f'<mujoco><compiler {folders}/><asset><mesh name="m" file="m.obj"/></asset></mujoco>'
    assert "given twice" in " ".join(problems(root, line, whole=True))


def test_assetdir_alone_serves_both(root: Path) -> None:
    files = '<mesh name="m" file="m.obj"/><texture name="t" type="2d" file="t.png"/>'
    line = f'<mujoco><compiler assetdir="../../assets/a"/><asset>{files}</asset></mujoco>'
    assert problems(root, line, whole=True) == []
    assert mujoco.MjModel.from_xml_path(str(root / "scenes" / "0000" / "scene.xml")).nmesh == 1


class TestLinks:
    def test_file(self, root: Path) -> None:
        (root / "assets" / "link.obj").symlink_to(root.parent / "secret" / "m.obj")
        assert "symbolic link" in problems(root, asset('<mesh name="m" file="assets/link.obj"/>'))[0]

    def test_folder(self, root: Path) -> None:
        (root / "assets" / "link").symlink_to(root.parent / "secret")
        assert "symbolic link" in problems(root, asset('<mesh name="m" file="assets/link/m.obj"/>'))[0]

    def test_folder_that_dots_hide(self, root: Path) -> None:
        """The loader follows link/.. to the parent of where the link leads, not to where it lies."""
        (root / "assets" / "link").symlink_to(root.parent / "secret")
        shutil.copy(root / "assets" / "a" / "m.obj", root / "assets" / "m.obj")
        assert "symbolic link" in problems(root, asset('<mesh name="m" file="assets/link/../m.obj"/>'))[0]

    def test_circle(self, root: Path) -> None:
        (root / "assets" / "link.obj").symlink_to(root / "assets" / "link.obj")
        found = problems(root, asset('<mesh name="m" file="assets/link.obj"/>'))
        assert "cannot be looked at" in found[0] or "symbolic link" in found[0]

    def test_meshdir(self, root: Path) -> None:
        (root / "assets" / "link").symlink_to(root.parent / "secret")
        line = '<mujoco><compiler meshdir="../../assets/link"/><asset><mesh name="m" file="m.obj"/></asset></mujoco>'
        assert "symbolic link" in problems(root, line, whole=True)[0]

    def test_the_scene_itself(self, root: Path) -> None:
        outside = root.parent / "secret" / "scene.xml"
        outside.write_text("<mujoco/>")
        (root / "scenes" / "0000" / "scene.xml").symlink_to(outside)
        assert "outside the library" in str(safety.problems(root / "scenes" / "0000" / "scene.xml", root)[0])

    def test_a_library_reached_through_a_link_is_fine(self, root: Path) -> None:
        problems(root, FINE)
        link = root.parent / "link"
        link.symlink_to(root)
        assert safety.problems(link / "scenes" / "0000" / "scene.xml", link) == []

    def test_a_library_reached_by_a_relative_path_is_fine(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        problems(root, FINE)
        monkeypatch.chdir(root.parent)
        assert safety.problems(Path("library/scenes/0000/scene.xml"), Path("library")) == []


class TestFiles:
    @pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (16_000_001, 1), (0, 5)])
    def test_a_picture_that_claims_a_giant_size(self, root: Path, size: tuple[int, int]) -> None:
        (root / "assets" / "a" / "t.png").write_bytes(picture(*size))
        assert "Use a smaller PNG" in problems(root, asset('<texture name="t" type="2d" file="assets/a/t.png"/>'))[0]
        assert problems(root, asset('<hfield name="h" file="assets/a/t.png" size="1 1 1 1"/>'))

    def test_many_pictures(self, root: Path) -> None:
        (root / "assets" / "a" / "t.png").write_bytes(picture(4000, 4000))
        lines = [f'<texture name="t{index}" type="2d" file="assets/a/t.png"/>' for index in range(5)]
        assert problems(root, asset("".join(lines[:4]))) == []
        assert "pixels are more" in problems(root, asset("".join(lines)))[0]

    def test_large_and_many_meshes(self, root: Path) -> None:
        os.truncate(root / "assets" / "a" / "m.obj", safety.MAX_FILE)
        lines = [f'<mesh name="m{index}" file="assets/a/m.obj"/>' for index in range(5)]
        assert problems(root, asset(lines[0])) == []
        assert "bytes are more" in problems(root, asset("".join(lines)))[0]
        os.truncate(root / "assets" / "a" / "m.obj", safety.MAX_FILE + 1)
        assert "Simplify it" in problems(root, asset(lines[0]))[0]

    def test_a_pipe_is_not_waited_for(self, root: Path) -> None:
        os.mkfifo(root / "assets" / "a" / "pipe.obj")
        assert "does not exist" in problems(root, asset('<mesh name="m" file="assets/a/pipe.obj"/>'))[0]
        os.mkfifo(root / "scenes" / "0000" / "pipe.xml")
        assert "no file" in str(safety.problems(root / "scenes" / "0000" / "pipe.xml", root)[0])


class TestFirstCompile:
    def file(self, root: Path, text: str = FINE) -> Path:
        assert problems(root, text) == []
        return root / "scenes" / "0000" / "scene.xml"

    def test_a_child_compiles_each_scene_once(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file, calls, real = self.file(root), [], safety.child.run

        def counted(*args: Any, **limits: Any) -> Any:
            calls.append(args)
            return real(*args, **limits)

        monkeypatch.setattr(safety.child, "run", counted)
        for _ in range(2):
            safety.require_compiles(file)
        assert len(calls) == 1
        (root / "assets" / "a" / "m.obj").write_text(MESH.replace("0 0 1", "0 0 2"))
        safety.require_compiles(file)
        assert len(calls) == 2

    def test_refusal_is_mujoco_s_own_sentence_and_is_not_remembered(self, root: Path) -> None:
        file = self.file(root, world('<geom size="-1"/>'))
        for _ in range(2):
            with pytest.raises(ValueError, match="size 0 must be positive"):
                safety.require_compiles(file)

    @pytest.mark.parametrize(
        ("limit", "value", "words"),
        [
            ("COMPILE_SECONDS", 0.05, "ran past 0.05 s; 0.05 s and"),
            ("COMPILE_MEMORY", 600 << 20, "needed more than 0.586 GiB of memory"),
        ],
    )
    def test_a_scene_that_needs_too_much_is_refused(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, words: str
    ) -> None:
        """The state of the second asks for a GiB at once, which no count in the file forbids."""
        monkeypatch.setattr(safety, limit, value)
        with pytest.raises(SceneError, match=f"MuJoCo's compiler .*{words}.* are allowed"):
            safety.require_compiles(self.file(root, '<size memory="1G"/>'))

    def test_only_what_is_trusted_goes_without(
        self, library_copy: SceneLibrary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene = next(library_copy.scenes())

        def crash(*_: Any, **__: Any) -> Any:
            raise safety.child.ChildError("was ended by SIGSEGV")

        monkeypatch.setattr(safety.child, "run", crash)
        assert scene.model(trusted=True).nkey == 1
        with pytest.raises(SceneError, match="MuJoCo's compiler was ended by SIGSEGV"):
            scene.model()


class TestText:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><mujoco>&b;</mujoco>', "DOCTYPE"),
            ('<!doctype m SYSTEM "/etc/passwd"><mujoco/>', "DOCTYPE"),
            ('<mujoco xmlns="x"><include file="/etc/passwd"/></mujoco>', "namespaces"),
            ('<mujoco xmlns:x="y" x:a="1"/>', "namespaces"),
            ("<mujoco><worldbody>", "not well-formed"),
            ("", "not well-formed"),
            ("<mujoco/>\0<mujoco/>", "not well-formed"),
            ("<mujoco/>" + " " * safety.MAX_XML, "bytes are more"),
            ("<mujoco>" + "<geom/>" * 100_000 + "</mujoco>", "elements are more"),
        ],
    )
    def test_refused(self, root: Path, text: str, words: str) -> None:
        start = time.process_time()
        assert words in " ".join(problems(root, text, whole=True))
        assert time.process_time() - start < 2

    @pytest.mark.parametrize("data", [b"\x80\x81\xff" * 40, "<mujoco/>".encode("utf-16"), bytes(range(256))])
    def test_no_text_at_all(self, root: Path, data: bytes) -> None:
        with pytest.raises(SceneError, match=r"scene\.xml' cannot be read"):
            problems(root, data)

    def test_no_file(self, root: Path) -> None:
        with pytest.raises(SceneError, match="cannot be read"):
            safety.problems(root / "scenes" / "0000" / "absent.xml", root)

    def test_deep_nesting_does_not_overflow(self, root: Path) -> None:
        problems(root, world("<body>" * 9000 + "</body>" * 9000))


class TestLibrary:
    def test_every_scene_of_ours_passes(self, library: SceneLibrary, panda_library: SceneLibrary) -> None:
        for scene in (*library.scenes(), *panda_library.scenes()):
            assert safety.problems(scene.xml, scene.root) == []

    def test_so_does_one_from_a_moved_library(self, library_copy: SceneLibrary, tmp_path: Path) -> None:
        moved = Path(shutil.move(library_copy.root, tmp_path / "elsewhere"))
        scene = next(SceneLibrary.open(moved).scenes())
        assert safety.problems(scene.xml, scene.root) == []
        assert scene.model().nkey == 1

    def test_one_with_a_foreign_file_is_not_compiled(self, library_copy: SceneLibrary, tmp_path: Path) -> None:
        scene = Scene.open(library_copy.root / "scenes" / library_copy.index().scenes[0])
        (tmp_path / "secret.obj").write_text(MESH)
        added = '<asset><mesh name="stolen" file="../secret.obj"/></asset></mujoco>'
        scene.xml.write_text(scene.xml.read_text().replace("</mujoco>", added))
        with pytest.raises(SceneError, match="leaves the library"):
            scene.model()

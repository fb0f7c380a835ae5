"""Domains: what is drawn stays in its range and fills it; what is applied is all that changes, and nothing of it stays."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from worldgen import robots
from worldgen.errors import DomainError
from worldgen.library import Scene, SceneLibrary
from worldgen.sim import domains
from worldgen.sim.domains import Domain, Draw, Randomiser
from worldgen.spec import Range

PRESETS = ("full", "none", "paper", "real")
UNTRACKED = {"cam_poscom0", "light_poscom0"}
"""What `mj_setConst` works out for tracking cameras and lights only; scenes have none."""


@pytest.fixture(scope="module", params=["stack", "open", "panda"])
def scene(request: pytest.FixtureRequest, library: SceneLibrary, panda_library: SceneLibrary) -> Scene:
    """Loose objects; a fixture with a joint; another arm."""
    if request.param == "panda":
        return next(iter(panda_library.scenes()))
    return next(scene for scene in library.scenes() if scene.record.family == request.param)


def randomiser(scene: Scene, domain: Domain | str) -> Randomiser:
    domain = domains.load(domain, deployment=True) if isinstance(domain, str) else domain
    return Randomiser(domain, scene.model(trusted=True), robots.load(scene.record.spec.robot).recipe)


def domain(**parts: Any) -> Domain:
    return Domain.model_validate(parts)


def arrays(model: mujoco.MjModel) -> dict[str, np.ndarray]:
    """Return a copy of every array of a model."""
    found = {}
    for owner, prefix in (
        (model, ""),
        (model.vis.headlight, "vis.headlight."),
        (model.opt, "opt."),
        (model.stat, "stat."),
    ):
        for name in dir(owner):
            value = getattr(owner, name) if not name.startswith("_") else None
            if isinstance(value, np.ndarray | float | int):
                found[prefix + name] = np.array(value)
    assert len(found) > 300
    return found


def differing(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> set[str]:
    return {name for name in one if one[name].tobytes() != other[name].tobytes()}


def text(draw: Draw) -> str:
    """Return everything in a draw, exactly."""
    parts = {name: values.tobytes() for name, values in (*draw.fields.items(), *draw.textures.items())}
    return repr((replace(draw, fields={}, textures={}, joints=np.zeros(0)), draw.joints.tobytes(), parts))


class TestRanges:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_samples_fill_their_ranges_and_never_leave_them(self, scene: Scene, preset: str) -> None:
        made = randomiser(scene, preset)
        rng = np.random.default_rng(0)
        draws = [made.draw(rng).samples for _ in range(80)]
        leaves, default = dict(made.domain.leaves()), dict(Domain().leaves())
        active = {path for path, value in leaves.items() if isinstance(value, Range) and value != default.get(path)}
        assert set(draws[0]) - {"texture.painting"} == active
        for path in active:
            span, values = leaves[path], np.array([np.atleast_1d(draw[path]) for draw in draws])
            assert isinstance(span, Range)
            assert values.min() >= span.low, path
            assert values.max() <= span.high, path
            if values.shape[1]:
                assert (np.ptp(values, axis=0) > 0.8 * (span.high - span.low)).all(), path

    def test_none_draws_nothing(self, scene: Scene) -> None:
        draw = randomiser(scene, "none").draw(np.random.default_rng(0))
        assert (draw.layout, draw.latency, draw.action_noise, draw.noise, draw.blur, draw.exposure) == (
            None,
            0,
            (0, 0),
            0,
            0,
            1,
        )
        assert not draw.samples
        assert not draw.fields
        assert not draw.textures
        assert not draw.joints.any()
        assert len(draw.joints) == len(robots.load(scene.record.spec.robot).recipe.joints)

    def test_paper_is_what_was_published(self) -> None:
        published = domain(
            name="paper",
            objects={"xy": 0.15, "yaw": 3.1416},
            joints={"low": -0.1, "high": 0.1},
            camera={"position": {"low": -0.05, "high": 0.05}},
            light={"ambient": {"low": 0.0, "high": 0.6}},
        )
        assert domains.load("paper") == published

    def test_full_leaves_nothing_out_and_real_is_another_place(self) -> None:
        full, real = (dict(domains.load(name, deployment=True).leaves()) for name in ("full", "real"))
        default = dict(Domain().leaves())
        same = {path for path in default if full[path] == default[path]}
        assert same == {"nudge", "texture.first", "texture.count"}
        for path, value in real.items():
            if isinstance(value, Range) and path.startswith(
                ("camera.", "physics.kp", "physics.mass", "physics.friction")
            ):
                seen = full[path]
                assert isinstance(seen, Range)
                assert abs(np.mean([value.low, value.high]) - np.mean([seen.low, seen.high])) >= 0.5 * (
                    seen.high - seen.low
                ), path
        assert real["texture.repaint"] == 1
        assert real["texture.first"] >= full["texture.first"] + full["texture.count"]  # type: ignore[operator]


class TestDraw:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_a_seed_fixes_it(self, scene: Scene, preset: str) -> None:
        one, other = randomiser(scene, preset), randomiser(scene, preset)
        a, b = np.random.default_rng(3), np.random.default_rng(3)
        first, second = [text(one.draw(a)) for _ in range(3)], []
        for _ in range(3):
            draw = other.draw(b)
            other.apply(draw)  # what the model holds does not matter
            second.append(text(draw))
        assert first == second
        assert preset == "none" or len(set(first)) == 3
        assert a.integers(2**62) == b.integers(2**62)

    @pytest.mark.parametrize("part", ["objects", "joints", "camera", "light", "texture", "physics", "action", "image"])
    def test_a_group_does_not_move_another(self, scene: Scene, part: str) -> None:
        full = domains.load("full")
        without = full.model_copy(update={part: getattr(Domain(), part)})
        whole, partial = (randomiser(scene, value).draw(np.random.default_rng(5)) for value in (full, without))
        gone = {path for path in whole.samples if path.split(".")[0] == part}
        assert gone or part == "objects"
        assert dict(partial.samples) == {path: value for path, value in whole.samples.items() if path not in gone}
        assert part == "objects" or partial.layout == whole.layout

    def test_a_range_does_not_move_another_of_its_group(self, scene: Scene) -> None:
        full = domains.load("full")
        physics = full.physics.model_copy(update={"friction": Range(low=1.0, high=1.0)})
        whole, partial = (
            randomiser(scene, value).draw(np.random.default_rng(5)).samples
            for value in (full, full.model_copy(update={"physics": physics}))
        )
        assert dict(partial) == {path: value for path, value in whole.items() if path != "physics.friction"}


class TestApply:
    def test_paper_changes_camera_and_light_only(self, scene: Scene) -> None:
        made = randomiser(scene, "paper")
        before = arrays(made.model)
        draw = made.draw(np.random.default_rng(1))
        assert draw.layout is not None
        assert set(draw.samples) == {"joints", "camera.position", "light.ambient"}
        assert not differing(before, arrays(made.model))
        made.apply(draw)
        after = arrays(made.model)
        assert (
            {"cam_pos", "vis.headlight.ambient"}
            <= differing(before, after)
            <= {"cam_pos", "vis.headlight.ambient", "light_diffuse"}
        )
        shift = after["cam_pos"] - before["cam_pos"]
        policy = made.model.camera("policy").id
        assert np.allclose(shift[policy], draw.samples["camera.position"])
        assert not np.delete(shift, policy, axis=0).any()

    @pytest.mark.parametrize("preset", PRESETS)
    def test_the_model_depends_on_the_draw_only(self, scene: Scene, preset: str) -> None:
        made = randomiser(scene, preset)
        own = arrays(made.model)
        rng = np.random.default_rng(2)
        a, b = made.draw(rng), made.draw(rng)
        made.apply(a)
        first = arrays(made.model)
        made.apply(b)
        second = arrays(made.model)
        made.apply(a)
        assert not differing(first, arrays(made.model))
        assert differing(own, first) <= set(a.fields)
        assert set(a.fields) - differing(own, first) - differing(own, second) <= {
            "light_diffuse"
        }  # dimmed only where it clips
        made.apply(randomiser(scene, "none").draw(rng))
        assert not differing(own, arrays(made.model))

    def test_what_mujoco_derives_from_masses_is_right(self, scene: Scene) -> None:
        made = randomiser(
            scene, domain(physics={"mass": {"low": 1.5, "high": 2.5}, "inertia": {"low": 0.8, "high": 1.2}})
        )
        before = arrays(made.model)
        made.apply(made.draw(np.random.default_rng(0)))
        applied = arrays(made.model)
        assert {"body_mass", "body_inertia", "body_subtreemass", "dof_invweight0"} <= differing(before, applied)
        mujoco.mj_setConst(made.model, mujoco.MjData(made.model))
        assert differing(applied, arrays(made.model)) <= UNTRACKED

    def test_bodies_stay_possible(self, scene: Scene) -> None:
        extreme = {"mass": {"low": 0.1, "high": 10}, "inertia": {"low": 0.5, "high": 2}}
        made, rng = randomiser(scene, domain(physics=extreme)), np.random.default_rng(0)
        own, names = arrays(made.model), [made.model.body(i).name for i in range(made.model.nbody)]
        things = np.array([name.split("/")[0] in scene.record.poses for name in names])
        massive = things & (own["body_mass"] > 0)
        for _ in range(50):
            draw = made.draw(rng)
            inertia, mass = draw.fields["body_inertia"], draw.fields["body_mass"]
            assert (inertia[massive] > 0).all()
            assert (inertia.sum(axis=1) >= 2 * inertia.max(axis=1) * (1 - 1e-12)).all()
            factor = mass[massive] / own["body_mass"][massive]
            assert ((factor >= 0.1) & (factor <= 10)).all()
            ratio = inertia[massive] / own["body_inertia"][massive] / factor[:, None]
            assert ((ratio >= 0.5 - 1e-9) & (ratio <= 2 + 1e-9)).all()
            assert (mass[~things] == own["body_mass"][~things]).all()
            for root in scene.record.poses:  # the parts of an object are of one kind
                mine = massive & np.array([name.split("/")[0] == root for name in names])
                assert np.ptp((mass / np.maximum(own["body_mass"], 1e-9))[mine]) < 1e-9 if mine.any() else True

    def test_mass_alone_scales_inertia_by_as_much(self, scene: Scene) -> None:
        made = randomiser(scene, domain(physics={"mass": {"low": 2.0, "high": 2.0}}))
        own, draw = arrays(made.model), made.draw(np.random.default_rng(0))
        heavy = draw.fields["body_mass"] != own["body_mass"]
        assert heavy.any()
        assert np.allclose(draw.fields["body_inertia"][heavy], 2 * own["body_inertia"][heavy], rtol=1e-9)
        assert np.allclose(draw.fields["body_inertia"][~heavy], own["body_inertia"][~heavy], rtol=0)

    def test_friction_touches_table_and_objects_within_limits(self, scene: Scene) -> None:
        for factor, limit in ((5.0, 2.0), (0.1, 0.05)):
            made = randomiser(scene, domain(physics={"friction": {"low": factor, "high": factor}}))
            own = made.model.geom_friction.copy()
            after = made.draw(np.random.default_rng(0)).fields["geom_friction"]
            touched = (after != own).any(axis=1)
            solid = {made.model.geom(index).name for index in np.flatnonzero(made.model.geom_contype).tolist()}
            names = {made.model.geom(index).name for index in np.flatnonzero(touched).tolist()}
            assert names == {name for name in solid if not name.startswith("robot/")}
            clipped = np.clip(factor * own[touched, 0], 0.05, 2)
            assert np.allclose(after[touched, 0], clipped)
            assert (after[:, 1:] == own[:, 1:]).all()
            assert (after[touched, 0] == limit).any()

    def test_fingers_have_their_own_friction(self, scene: Scene) -> None:
        made = randomiser(scene, domain(physics={"fingers": {"low": 0.5, "high": 0.5}}))
        own, after = made.model.geom_friction.copy(), made.draw(np.random.default_rng(0)).fields["geom_friction"]
        touched = [made.model.geom(int(index)).name for index in np.flatnonzero((after != own).any(axis=1))]
        assert {"robot/left_pad", "robot/right_pad"} <= set(touched)
        assert all("finger" in name or "pad" in name for name in touched)

    def test_servos_keep_their_form(self, scene: Scene) -> None:
        made = randomiser(scene, domain(physics={"kp": {"low": 0.5, "high": 0.9}, "kv": {"low": 1.1, "high": 1.5}}))
        gain, bias = made.model.actuator_gainprm.copy(), made.model.actuator_biasprm.copy()
        draw = made.draw(np.random.default_rng(0))
        new_gain, new_bias = draw.fields["actuator_gainprm"], draw.fields["actuator_biasprm"]
        assert (new_gain[:, 0] == -new_bias[:, 1]).all()  # a position servo rests where it is asked to be
        assert np.allclose(new_gain[:, 0] / gain[:, 0], draw.samples["physics.kp"])
        damped = bias[:, 2] != 0
        assert np.allclose(
            (new_bias[:, 2] / np.where(damped, bias[:, 2], 1))[damped], np.array(draw.samples["physics.kv"])[damped]
        )
        assert len(gain) == made.model.nu == len(robots.load(scene.record.spec.robot).recipe.joints) + 1

    def test_one_paper_draw_is_applied_in_microseconds(self, scene: Scene) -> None:
        made = randomiser(scene, "paper")
        draw = made.draw(np.random.default_rng(0))
        took = []
        for _ in range(200):
            start = time.perf_counter()
            made.apply(draw)
            took.append(time.perf_counter() - start)
        assert np.median(took) < 30e-6


class TestCameraAndLight:
    @pytest.mark.parametrize("preset", ["paper", "full", "real"])
    def test_light_never_clips(self, scene: Scene, preset: str) -> None:
        made, rng = randomiser(scene, preset), np.random.default_rng(0)
        fill, brightest = made.model.vis.headlight.diffuse, 0.0
        for _ in range(100):
            fields = made.draw(rng).fields
            total = fields["vis.headlight.ambient"] + fields["light_diffuse"].sum(axis=0) + fill
            assert (total <= 1 + 1e-6).all()
            assert (fields["light_diffuse"] > 0).all()
            brightest = max(brightest, float(total.max()))
        assert brightest > 0.9

    def test_ambient_light_is_as_drawn_where_there_is_room(self, scene: Scene) -> None:
        made = randomiser(scene, domain(light={"ambient": {"low": 0.0, "high": 0.1}}))
        draw = made.draw(np.random.default_rng(0))
        assert np.allclose(draw.fields["vis.headlight.ambient"], draw.samples["light.ambient"], atol=1e-6)
        assert (draw.fields["light_diffuse"] == made.model.light_diffuse).all()

    def test_the_key_light_turns_about_what_it_lights(self, scene: Scene) -> None:
        made = randomiser(scene, domain(light={"azimuth": {"low": 90, "high": 90}}))
        fields, key = made.draw(np.random.default_rng(0)).fields, made.model.light("key").id
        own, new = made.model.light_dir[key], fields["light_dir"][key]
        assert np.allclose(new, [-own[1], own[0], own[2]], atol=1e-6)
        back = fields["light_pos"][key] - made.model.stat.center
        assert np.allclose(back / np.linalg.norm(back), -new, atol=1e-5)
        low = randomiser(scene, domain(light={"elevation": {"low": -90, "high": -90}})).draw(np.random.default_rng(0))
        assert np.isclose(-low.fields["light_dir"][key][2], np.sin(np.radians(15)), atol=1e-6)

    def test_cameras_turn_in_their_own_frame(self, scene: Scene) -> None:
        made = randomiser(scene, domain(camera={"rotation": {"low": -0.2, "high": 0.2}, "fov": {"low": 3, "high": 3}}))
        draw = made.draw(np.random.default_rng(0))
        moved = [
            index for index in range(made.model.ncam) if made.model.camera(index).name.startswith(("policy", "robot/"))
        ]
        vectors = np.array(draw.samples["camera.rotation"]).reshape(-1, 3)
        order = [
            made.model.camera("policy").id,
            *(index for index in moved if made.model.camera(index).name != "policy"),
        ]
        for camera, vector in zip(order, vectors, strict=True):
            before, after, turn = np.empty(9), np.empty(9), np.zeros(3)
            quaternion = draw.fields["cam_quat"][camera]
            assert np.isclose(np.linalg.norm(quaternion), 1)
            mujoco.mju_subQuat(turn, quaternion, made.model.cam_quat[camera])  # in the frame of the second
            assert np.allclose(turn, vector, atol=1e-9)
            mujoco.mju_quat2Mat(before, made.model.cam_quat[camera])
            mujoco.mju_quat2Mat(after, quaternion)
            assert not np.allclose(before, after)
        grown = draw.fields["cam_fovy"] - made.model.cam_fovy
        assert np.allclose(grown[moved], 3)
        assert np.count_nonzero(grown) == len(moved) < made.model.ncam

    def test_mounted_cameras_shift_by_a_range_of_their_own(self, scene: Scene) -> None:
        made = randomiser(scene, domain(camera={"mounted": {"low": 0.001, "high": 0.002}}))
        shift = made.draw(np.random.default_rng(0)).fields["cam_pos"] - made.model.cam_pos
        for index in range(made.model.ncam):
            assert shift[index].any() == made.model.camera(index).name.startswith("robot/")

    def test_a_scene_without_the_light_is_refused(self, scene: Scene) -> None:
        spec = mujoco.MjSpec.from_file(str(scene.xml))
        spec.delete(spec.light("key"))
        recipe = robots.load(scene.record.spec.robot).recipe
        with pytest.raises(DomainError, match=r"'paper' does not fit the scene.*key"):
            Randomiser(domains.load("paper"), spec.compile(), recipe)


class TestTextures:
    def test_size_kind_and_share(self, scene: Scene) -> None:
        made, rng = randomiser(scene, "full"), np.random.default_rng(0)
        draws = [made.draw(rng) for _ in range(100)]
        share = np.mean([len(draw.textures) / 3 for draw in draws])
        assert 0.4 < share < 0.6
        for draw in draws:
            for name, image in draw.textures.items():
                texture = made.model.texture(name)
                assert image.shape == (texture.height[0], texture.width[0], 3)
                assert image.dtype == np.uint8
            numbers = draw.samples["texture.painting"]
            assert isinstance(numbers, tuple)
            assert {name for name, number in zip(domains.SURFACES, numbers, strict=True) if number >= 0} == set(
                draw.textures
            )
        assert domains.painting.cache_info().currsize <= 4 * domains.PAINTINGS
        seen = {id(image) for draw in draws for image in draw.textures.values()}
        assert len(seen) <= 2 * domains.PAINTINGS

    def test_tint_darkens_three_materials_only(self, scene: Scene) -> None:
        made = randomiser(scene, domain(texture={"tint": {"low": 0.5, "high": 0.9}}))
        after = made.draw(np.random.default_rng(0)).fields["mat_rgba"]
        changed = np.flatnonzero((after != made.model.mat_rgba).any(axis=1))
        assert {made.model.mat(int(index)).name for index in changed} == set(domains.SURFACES)
        assert (after[:, 3] == made.model.mat_rgba[:, 3]).all()

    def test_real_always_repaints_from_paintings_of_its_own(self, scene: Scene) -> None:
        real, full = randomiser(scene, "real"), randomiser(scene, "full")
        rng = np.random.default_rng(0)
        seen: list[set[float]] = []
        for made in (real, full):
            numbers = [made.draw(rng).samples["texture.painting"] for _ in range(40)]
            seen.append({number for each in numbers for number in np.atleast_1d(each).tolist()})
        assert -1 not in seen[0]
        assert not seen[0] & seen[1]

    def test_paintings_differ_and_are_remembered(self) -> None:
        pictures = [domains.painting(number, 32, 32) for number in range(12)]
        assert len({picture.tobytes() for picture in pictures}) == 12
        assert domains.painting(3, 32, 32) is pictures[3]
        assert not pictures[0].flags.writeable
        assert domains.painting(3, 16, 32).shape == (16, 32, 3)


class TestLook:
    @pytest.fixture
    def made(self, library: SceneLibrary) -> Randomiser:
        return randomiser(next(iter(library.scenes())), "none")

    def test_nothing_to_do_copies_nothing(self, made: Randomiser) -> None:
        image, rng = np.full((8, 8, 3), 100, np.uint8), np.random.default_rng(0)
        assert made.look(made.draw(rng), image, rng) is image

    def test_noise(self, made: Randomiser) -> None:
        draw = replace(made.draw(np.random.default_rng(0)), noise=8.0)
        image = np.full((128, 128, 3), 120, np.uint8)
        seen = made.look(draw, image, np.random.default_rng(1))
        assert seen.dtype == np.uint8
        assert seen.shape == image.shape
        assert abs(seen.astype(float).std() - 8) < 0.2
        assert abs(seen.mean() - 120) < 0.2
        assert (image == 120).all()
        assert (seen == made.look(draw, image, np.random.default_rng(1))).all()
        assert (seen != made.look(draw, image, np.random.default_rng(2))).any()

    @pytest.mark.parametrize(("factor", "mean"), [(0.5, 50), (1.2, 120), (3.0, 255)])
    def test_exposure(self, made: Randomiser, factor: float, mean: float) -> None:
        draw = replace(made.draw(np.random.default_rng(0)), exposure=factor)
        assert (made.look(draw, np.full((8, 8, 3), 100, np.uint8), np.random.default_rng(0)) == mean).all()

    def test_blur_spreads_light_and_keeps_it_and_its_colour(self, made: Randomiser) -> None:
        draw = replace(made.draw(np.random.default_rng(0)), blur=1.0)
        image = np.zeros((21, 21, 3), np.uint8)
        image[10, 10, 0] = 250
        seen = made.look(draw, image, np.random.default_rng(0))
        assert 0 < seen[10, 10, 0] < 60
        assert seen[10, 12, 0] > 0
        assert not seen[..., 1:].any()
        assert abs(int(seen[..., 0].sum()) - 250) < 25


class TestLoad:
    def test_names(self) -> None:
        assert domains.names() == ["full", "none", "paper"]
        assert domains.names(deployment=True) == list(PRESETS)
        assert all(domains.load(name).name == name for name in domains.names())
        assert domains.load("none") == Domain(name="none")

    def test_real_is_for_deployment(self, tmp_path: Path) -> None:
        assert domains.load("real", deployment=True).held_out
        shipped = domains.data.path("assets", "domains", "real.json")
        (tmp_path / "copy.json").write_text(shipped.read_text())
        for name in ("real", shipped, str(tmp_path / "copy.json")):
            with pytest.raises(DomainError, match=r"held out.*full, none, paper"):
                domains.load(name)

    def test_unknown(self) -> None:
        with pytest.raises(
            DomainError, match=r"Unknown domain 'papre'. Did you mean 'paper'\? Valid names: full, none, paper\."
        ):
            domains.load("papre")

    def test_a_file_of_ones_own(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.json"
        file.write_text('{"joints": {"low": -0.2, "high": 0.2}}')
        assert domains.load(file) == domains.load(str(file)) == domain(name="mine", joints={"low": -0.2, "high": 0.2})

    def test_everything_wrong_is_told_at_once(self, tmp_path: Path) -> None:
        file = tmp_path / "bad.json"
        value = {
            "joints": {"low": 0.1, "high": -0.1},
            "image": {"noise": {"low": -1, "high": 2}},
            "physics": {"mass": {"low": 1, "high": 1000}},
            "texture": {"repaint": 2, "count": 1000},
            "objects": {"xy": -0.1},
        }
        file.write_text(json.dumps(value))
        with pytest.raises(DomainError) as caught:
            domains.load(file)
        for words in ("joints: low 0.1 is above high -0.1", "image.noise: [-1, 2]", "physics.mass: [1, 1000]", "allowed [0.1, 10]",
                      "texture.repaint: 2", "texture.count: 1000", "objects.xy: -0.1"):  # fmt: skip
            assert words in str(caught.value)
        wrong, empty = domain(joints={"low": 0.1, "high": -0.1}), mujoco.MjModel.from_xml_string("<mujoco/>")
        with pytest.raises(DomainError, match="joints: low"):
            Randomiser(wrong, empty, robots.load("widowx").recipe)

    @pytest.mark.parametrize(
        ("written", "words"),
        [
            ("{", "cannot be read"),
            ("[]", "no JSON object"),
            ('{"jonts": {}}', "jonts"),
            ('{"joints": {"low": 0}}', "joints.high"),
            ('{"joints": {"low": "x", "high": NaN}}', "joints.low"),
        ],
    )
    def test_unreadable(self, tmp_path: Path, written: str, words: str) -> None:
        file = tmp_path / "bad.json"
        file.write_text(written)
        with pytest.raises(DomainError, match=words):
            domains.load(file)
        with pytest.raises(DomainError, match="cannot be read"):
            domains.load(tmp_path / "missing.json")

    def test_every_path_has_a_rule_and_every_rule_a_path(self) -> None:
        assert {path for path, _ in domains.load("full").leaves()} == set(domains._RULES)

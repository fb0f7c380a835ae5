"""One contract for all makers that work from pictures: the same request gives a valid asset, twice the same, and what fails says so.

Models are tiny and random, made here with `save_pretrained` and loaded by the real code; the server is a loopback one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trimesh

from worldgen import assets, mesh_read, store, vocabulary
from worldgen.assets import Asset
from worldgen.backends import image_diffusers, judge_openai, mesh_procedural, mesh_shap_e
from worldgen.errors import AssetError, MakerError
from worldgen.makers import Makers
from worldgen.making import Images, ShapE
from worldgen.photos import Cutout

from ..llm_server import ChatServer, Reply, chat
from ..test_photos import disc, picture
from ..test_pictures import item, shoot
from .test_mesh_http import Loopback

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def shap_e(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a tiny Shap-E."""
    diffusers, transformers = pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    encoder = transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(
            hidden_size=16, image_size=32, projection_dim=16, intermediate_size=32, num_attention_heads=2,
            num_channels=3, num_hidden_layers=2, patch_size=8,
        )
    )  # fmt: skip
    processor = transformers.CLIPImageProcessorPil(crop_size=32, size=32)
    prior = diffusers.PriorTransformer(
        num_attention_heads=2, attention_head_dim=16, embedding_dim=16, num_embeddings=32, embedding_proj_dim=16,
        time_embed_dim=64, num_layers=1, clip_embed_dim=32, additional_embeddings=0, time_embed_act_fn="gelu",
        norm_in_type="layer", embedding_proj_norm_type="layer", encoder_hid_proj_type=None, added_emb_type=None,
    )  # fmt: skip
    from diffusers.pipelines.shap_e.renderer import ShapERenderer

    renderer = ShapERenderer(
        param_shapes=((8, 93), (8, 8), (8, 8), (8, 8)), d_latent=16, d_hidden=8, n_output=12, background=(0.1, 0.1, 0.1)
    )
    scheduler = diffusers.HeunDiscreteScheduler(
        beta_schedule="exp", num_train_timesteps=64, prediction_type="sample", use_karras_sigmas=True, clip_sample=True,
        clip_sample_range=1.0,
    )  # fmt: skip
    pipe = diffusers.ShapEImg2ImgPipeline(
        prior=prior, image_encoder=encoder, image_processor=processor, shap_e_renderer=renderer, scheduler=scheduler
    )
    root = tmp_path_factory.mktemp("shap-e")
    pipe.save_pretrained(root)
    return root


def tiny_stable_diffusion() -> Any:
    diffusers, transformers = pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(4, 8), layers_per_block=1, sample_size=32, in_channels=4, out_channels=4, cross_attention_dim=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=2, attention_head_dim=2,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=[4, 8], in_channels=3, out_channels=3, latent_channels=4, norm_num_groups=2,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip
    return diffusers, transformers, unet, vae


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a tiny Stable Diffusion, with a tokenizer of its own."""
    diffusers, transformers, unet, vae = tiny_stable_diffusion()
    root = tmp_path_factory.mktemp("painter")
    words = {word: index for index, word in enumerate(["<|startoftext|>", "<|endoftext|>", "a</w>", "b</w>"])}
    import json

    (root / "vocab.json").write_text(json.dumps(words))
    (root / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(root / "vocab.json"), str(root / "merges.txt"), model_max_length=77)
    encoder = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            bos_token_id=0, eos_token_id=1, hidden_size=32, intermediate_size=37, num_attention_heads=4, num_hidden_layers=2,
            pad_token_id=1, vocab_size=len(words),
        )
    )  # fmt: skip
    pipe = diffusers.StableDiffusionPipeline(
        vae=vae, text_encoder=encoder, tokenizer=tokenizer, unet=unet, scheduler=diffusers.DDIMScheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(root / "model")
    return root / "model"


GLB: bytes = trimesh.creation.capsule(0.6, 0.5).export(file_type="glb")


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    loopback = Loopback(lambda method, path, body: (200, GLB) if path == "/generate" else (404, b"{}"))
    yield loopback
    loopback.close()


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    shoot(root / "red-apple.png")
    return root


@pytest.fixture
def ball(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Shap-E's renderer decode to a ball: random weights have no surface."""
    solid = trimesh.creation.icosphere(subdivisions=3)

    shades = torch.tensor([[0.8], [0.1], [0.1]]).expand(3, len(solid.vertices))
    decoded = SimpleNamespace(
        verts=torch.tensor(solid.vertices, dtype=torch.float32),
        faces=torch.tensor(solid.faces),
        vertex_channels=dict(zip("RGB", shades, strict=True)),
    )
    from diffusers.pipelines.shap_e.renderer import ShapERenderer

    monkeypatch.setattr(ShapERenderer, "decode_to_mesh", lambda *_, **__: decoded)


@pytest.fixture(params=["silhouette", "http", "shap-e"])
def makers(request: pytest.FixtureRequest, album: Path) -> Makers:
    if request.param == "http":
        url = request.getfixturevalue("server").url
        return Makers.of(f"http:{url}", photos=album, any_licence=True)
    if request.param == "shap-e":
        request.getfixturevalue("ball")
        return Makers.of(
            "shap-e",
            photos=album,
            shap_e=ShapE(str(request.getfixturevalue("shap_e")), steps=2, grid=8),
            any_licence=True,
        )
    return Makers.of("silhouette", photos=album)


def test_the_same_request_gives_a_valid_asset_twice_the_same(tmp_path: Path, makers: Makers) -> None:
    wanted = item("apple").model_copy(update={"size": (0.06, 0.06, 0.06), "material": "fruit"})
    made: list[Asset] = []
    for name in "ab":
        entries = store.Store(tmp_path / name)
        made.append(assets.make(wanted, entries, makers))
    assert made[0] == made[1]
    asset = made[0]
    assert asset.provenance.backend == makers.chain[0]
    assert "red-apple.png" in asset.provenance.model
    assert max(asset.size) <= 0.0601
    assert min(asset.size) >= 0.3 * 0.06
    assert 0.01 < asset.mass < 0.2
    assert asset.fidelity is not None
    assert asset.fidelity.iou > 0.7
    assert {"top", "bottom", "grasp"} <= set(asset.sites)
    assert asset.provenance.may_train == (makers.chain[0] == "silhouette")


def test_it_fails_clearly_without_a_picture(tmp_path: Path, makers: Makers) -> None:
    with pytest.raises(AssetError, match="has no photo of a red bowl"):
        assets.make(item("bowl"), store.Store(tmp_path), makers)


def test_licences(album: Path) -> None:
    with pytest.raises(
        AssetError, match=r"What http makes here is under 'unknown', .*--server\.licence NAME --server\.may-train True"
    ):
        Makers.of("http:http://127.0.0.1:1", photos=album)
    with pytest.raises(AssetError, match=r"What shap-e makes here is under 'unknown', .*--shap-e\.licence"):
        Makers.of("shap-e", photos=album, shap_e=ShapE("somebody/model"))
    with pytest.raises(AssetError, match=r"What silhouette makes here is under 'unknown', .*--image\.licence"):
        Makers.of("silhouette", images=Images("somebody/model"))
    Makers.of("shap-e", photos=album)
    Makers.of("silhouette", images=Images("black-forest-labs/FLUX.2-klein-4B"))


def test_shap_e_reads_what_the_model_makes(shap_e: Path) -> None:
    """The real path, prior, scheduler and renderer; random weights make no surface."""
    image = picture(128)
    cutout = Cutout(image, disc(image, 45, (64, 64)))
    settings = ShapE(str(shap_e), device="cpu", steps=2, grid=16)
    with pytest.raises(AssetError, match="made no surface"):
        mesh_shap_e.mesh_of(settings, cutout, 0)


def test_shap_e_with_a_surface(shap_e: Path, ball: None) -> None:
    image = picture(128)
    vertices, faces, colours = mesh_shap_e.mesh_of(
        ShapE(str(shap_e), steps=2), Cutout(image, disc(image, 45, (64, 64))), 0
    )
    assert np.abs(np.linalg.norm(vertices, axis=1) - 1).max() < 1e-3
    assert (colours == [231, 89, 89]).all(), "light of .8 and .1, as screens show it"
    assert len(faces) == 1280


def test_pictures_are_drawn_by_the_real_pipeline(painter: Path) -> None:
    settings = Images(str(painter), device="cpu", side=64, steps=2, candidates=2, tries=1)
    made = image_diffusers._drawn(settings, "a b", 3)
    again = image_diffusers._drawn(settings, "a b", 3)
    assert len(made) == 2
    assert made[0].shape == (64, 64, 3)
    assert np.array_equal(made[0], again[0])
    assert not np.array_equal(made[0], made[1])


def test_no_picture_of_noise_is_used(painter: Path) -> None:
    settings = Images(str(painter), device="cpu", side=64, steps=1, candidates=2, tries=2)
    with pytest.raises(
        AssetError, match=r"none of 4 pictures of 'Studio product photo of one red ceramic mug.*will do \(0: "
    ):
        image_diffusers.draw(settings, item(), "corner")


def fake(monkeypatch: pytest.MonkeyPatch, *drawn: Callable[[Any], object]) -> list[int]:
    """Let a model draw these instead; return the seeds that it is asked with."""
    seeds: list[int] = []

    def pictures(settings: Images, text: str, first: int) -> list[Any]:
        seeds.append(first)
        made = []
        for draw in drawn:
            image = picture(200)
            draw(image)
            made.append(image)
        return made

    monkeypatch.setattr(image_diffusers, "_drawn", pictures)
    image_diffusers._tried.cache_clear()
    return seeds


def test_the_first_picture_that_passes_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(
        monkeypatch,
        lambda image: disc(image, 60, (30, 100)),
        lambda image: disc(image, 60, (100, 100)),
        lambda image: None,
    )
    cutout, origin = image_diffusers.draw(Images("m/FLUX.2-klein-4B"), item(), "front")
    assert abs(int(cutout.mask.sum()) - np.pi * 60**2) < 300
    assert (origin.backend, origin.model, origin.licence, origin.may_train) == (
        "diffusers",
        "FLUX.2-klein-4B",
        "Apache-2.0",
        True,
    )
    assert origin.seed % 4 == 1
    assert "red ceramic mug, alone, whole and centred, seen straight from the front" in origin.prompt


def test_a_judge_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = fake(monkeypatch, lambda image: disc(image, 60, (100, 100)))
    verdicts = iter(["it is a bowl", "it is blue", ""])
    monkeypatch.setattr(judge_openai, "judge", lambda *_: next(verdicts))
    for _ in range(2):  # the second maker that asks gets what was drawn for the first
        _, origin = image_diffusers.draw(Images("m", judge="eye"), item(), "corner")
        assert len(seeds) == 3
    assert origin.licence == "unknown"
    image_diffusers._tried.cache_clear()
    monkeypatch.setattr(judge_openai, "judge", lambda *_: "never")
    with pytest.raises(AssetError, match=r"none of 3 pictures .* \(0: never; 4: never; 8: never\)"):
        image_diffusers.draw(Images("m", judge="eye"), item(), "corner")


def test_a_photo_comes_before_a_drawing(monkeypatch: pytest.MonkeyPatch, album: Path, tmp_path: Path) -> None:
    seeds = fake(monkeypatch, lambda image: disc(image, 60, (100, 100)))
    makers = Makers.of("silhouette", photos=album, images=Images("m/FLUX.2-klein-4B"))
    entries = store.Store(tmp_path)
    assert assets.make(item("apple"), entries, makers).provenance.model == "red-apple.png"
    assert not seeds
    drawn = assets.make(item("apple").model_copy(update={"colour": "green"}), entries, makers)
    assert (drawn.provenance.model, drawn.provenance.licence) == ("FLUX.2-klein-4B", "Apache-2.0")
    assert seeds


def test_a_model_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(
        MakerError, match=r"cannot be loaded on cpu: .* Give an id of the hub or a folder of `save_pretrained`"
    ):
        image_diffusers.pipeline(str(tmp_path), "", "cpu")


def test_the_judge_asks_a_vision_model(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [
        chat('{"reason": "it is a bowl", "shows_it": false}'),
        chat('{"reason": "right", "shows_it": true}'),
        Reply(401, {"error": {}}),
    ]
    with ChatServer(*replies) as chat_server:
        monkeypatch.setenv("OPENAI_BASE_URL", chat_server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        assert judge_openai.judge("eye", picture(64), "one red mug") == "judged wrong: it is a bowl"
        assert judge_openai.judge("eye", picture(64), "one red mug") == ""
        content = chat_server.received[0].body["messages"][0]["content"]
        assert "one red mug" in content[0]["text"]
        assert content[1]["image_url"]["url"].startswith("data:image/png;base64,")
        with pytest.raises(MakerError, match="Vision model 'eye' cannot be asked") as caught:
            judge_openai.judge("eye", picture(64), "one red mug")
        assert "sk-secret" not in str(caught.value)


def test_eyes_narrow_ranges_and_never_leave_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Density is narrowed; friction has nothing in common with what is known and stays."""
    said = {
        "reason": "stoneware",
        "density": {"low": 2_500, "high": 9_000},
        "friction": {"low": 3, "high": 4},
    }
    mug = item("mug").model_copy(update={"material": "ceramic"})
    shape = mesh_procedural.make(mug)
    with ChatServer(chat(json.dumps(said))) as chat_server:
        monkeypatch.setenv("OPENAI_BASE_URL", chat_server.url)
        seen = judge_openai.look("eye", shape, mug, picture(64)).priors
    known = vocabulary.materials()["ceramic"]
    assert seen is not None
    assert (seen.density.low, seen.density.high) == (2_500, known.densities.high)
    assert seen.friction == known.frictions
    assert seen.narrowed_by == "eye"
    asked = chat_server.received[0].body["messages"][0]["content"][0]["text"]
    assert "ceramic mug" in asked
    assert f"{known.densities.low:g} to {known.densities.high:g}" in asked


def test_what_eyes_see_is_what_is_weighed(tmp_path: Path) -> None:
    mug = item("mug").model_copy(update={"material": "ceramic"})
    shape = mesh_procedural.make(mug)
    usual = assets.finish(shape, mug, "0" * 16, _folder(tmp_path / "a"))
    assert usual.priors is not None
    assert usual.priors.density == vocabulary.materials()["ceramic"].densities
    heavy = usual.priors.narrowed({"density": (2_600, 2_700), "friction": (0.1, 0.3)}, "eye")
    made = assets.finish(replace(shape, priors=heavy), mug, "0" * 16, _folder(tmp_path / "b"))
    assert made.mass / usual.mass == pytest.approx(2_600 / vocabulary.materials()["ceramic"].density, rel=1e-4)
    assert made.friction == 0.3
    assert Asset.load(tmp_path / "b").priors == heavy


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_mesh_from_a_server_is_read_as_any_file(server: Loopback, tmp_path: Path) -> None:
    (tmp_path / "a.glb").write_bytes(GLB)
    assert len(mesh_read.read(tmp_path / "a.glb").faces) == len(trimesh.creation.capsule(0.6, 0.5).faces)

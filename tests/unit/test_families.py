"""What a weights file is recognised as, by the names and shapes of its tensors."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdcpu.errors import ModelFileError
from sdcpu.families import FAMILIES, PART_FAMILIES, Family, FileRole
from sdcpu.identification import Identified, identify, missing_parts
from sdcpu.models import Defaults, family_defaults
from sdcpu.sampling import SAMPLERS
from sdcpu.tensors import TensorInfo
from sdcpu.weights import WeightsHeader, read_header
from tests.checkpoints import CHECKPOINTS
from tests.sparse_files import Shapes, write_sparse

MODEL, DIFFUSION = FileRole.MODEL, FileRole.DIFFUSION_MODEL
L, G, T5, LLM, VAE = (
    *(FileRole.CLIP_L, FileRole.CLIP_G, FileRole.T5XXL),
    *(FileRole.LLM, FileRole.VAE),
)


def identified(shapes: Shapes, kind: str = "f16") -> Identified:
    tensors = tuple(TensorInfo(name=name, shape=shape, type=kind, size=8) for name, shape in shapes)
    return identify(
        WeightsHeader(path=Path("model.gguf"), format="gguf", metadata={}, tensors=tensors)
    )


def under(prefix: str, shapes: Shapes) -> list[tuple[str, tuple[int, ...]]]:
    return [(prefix + name, shape) for name, shape in shapes]


@pytest.mark.parametrize(
    ("name", "role", "family", "missing"),
    [
        ("sd15", MODEL, "sd1", ()),
        ("sd2", MODEL, "sd2", ()),
        ("sdxl", MODEL, "sdxl", ()),
        ("sd35-medium", DIFFUSION, "sd3", (L, G, T5, VAE)),
        ("flux-schnell", DIFFUSION, "flux", (L, T5, VAE)),
        ("flux-dev", DIFFUSION, "flux", (L, T5, VAE)),
        ("clip-l", L, "text_encoder", ()),
        ("clip-g", G, "text_encoder", ()),
        ("t5-xxl", T5, "text_encoder", ()),
        ("vae", VAE, "vae", ()),
        ("vae16", VAE, "vae", ()),
        ("taesd", FileRole.TINY_DECODER, "tiny_decoder", ()),
        ("taef1", FileRole.TINY_DECODER, "tiny_decoder", ()),
        ("controlnet", FileRole.CONTROL_NET, "control_net", ()),
        ("lora", FileRole.LORA, "lora", ()),
    ],
)
@pytest.mark.parametrize("ending", ["gguf", "safetensors"])
def test_checkpoints_of_true_shape(
    tmp_path: Path, ending: str, name: str, role: FileRole, family: str, missing: tuple[FileRole]
) -> None:
    path = write_sparse(tmp_path / f"misleading-name.{ending}", CHECKPOINTS[name].shapes())
    found = identify(read_header(path))
    assert (found.role, found.family, found.missing) == (role, family, missing)


def test_the_demo_is_a_tiny_unet_without_vae() -> None:
    shapes = [
        ("model.diffusion_model.input_blocks.0.0.weight", (320, 4, 3, 3)),
        (
            "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
            (320, 768),
        ),
        ("model.diffusion_model.output_blocks.7.1.norm.weight", (320,)),
        ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", (49408, 768)),
    ]
    found = identified(shapes)
    assert (found.role, found.family, found.missing) == (MODEL, "sd1_tiny", (VAE,))


BLOCK = "transformer_blocks.0"
UNET = [
    ("input_blocks.0.0.weight", (320, 4, 3, 3)),
    ("middle_block.1.norm.weight", (1280,)),
    ("output_blocks.7.1.norm.weight", (640,)),
]


def attends_to(width: int) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"input_blocks.4.1.{BLOCK}.attn2.to_k.weight", (640, width))]


TELLING = [
    ("joint_blocks.0.x_block.attn.qkv.weight", (4608, 1536), "sd3"),
    (f"{BLOCK}.img_mod.1.weight", (18432, 3072), "qwen_image"),
    ("double_blocks.0.img_attn.qkv.weight", (9216, 3072), "flux"),
    ("double_stream_modulation_img.lin.weight", (18432, 3072), "flux2_klein"),
    ("cap_embedder.0.weight", (2560,), "z_image"),
    ("blocks.0.cross_attn.norm_k.weight", (1536,), "wan21"),
]


@pytest.mark.parametrize(("name", "shape", "family"), TELLING, ids=[t[2] for t in TELLING])
def test_transformers_alone_and_in_a_whole_checkpoint(
    name: str, shape: tuple[int, ...], family: str
) -> None:
    alone = identified([(name, shape)], "q4_k")
    assert (alone.role, alone.family, alone.missing) == (DIFFUSION, family, FAMILIES[family].parts)
    assert alone.description == f"{FAMILIES[family].title}, diffusion model only, q4_k"
    parts = {
        L: "text_encoders.clip_l.transformer.x",
        G: "text_encoders.clip_g.transformer.x",
        T5: "text_encoders.t5xxl.transformer.x",
        LLM: "text_encoders.llm.x",
        VAE: "first_stage_model.x",
    }
    whole = [(f"model.diffusion_model.{name}", shape)]
    assert identified(whole).missing == FAMILIES[family].parts
    for part in FAMILIES[family].parts:
        whole.append((parts[part], (1,)))
        assert part not in identified(whole).missing
    assert (identified(whole).role, identified(whole).missing) == (MODEL, ())


@pytest.mark.parametrize(
    ("shapes", "family"),
    [
        ([*UNET, *attends_to(768)], "sd1"),
        ([*UNET, *attends_to(1024)], "sd2"),
        ([*UNET, *attends_to(2048)], "sdxl"),
        ([UNET[0], UNET[2], *attends_to(768)], "sd1_tiny"),
        ([UNET[0], *attends_to(768)], "sdxs"),
        ([UNET[0], UNET[2], *attends_to(1024)], "sd2"),
        ([UNET[0], UNET[2], *attends_to(2048)], "sdxl"),
        (
            [("double_blocks.0.x", (1,)), ("distilled_guidance_layer.in_proj.weight", (1,))],
            "chroma",
        ),
        (
            [("double_stream_modulation_img.lin.weight", (1,)), ("single_blocks.47.x", (1,))],
            "flux2",
        ),
        ([("double_blocks.0.x", (1,)), ("img_in.weight", (3072, 64))], "flux"),
        ([("double_blocks.0.x", (1,)), ("img_in.weight", (3072, 384))], "flux_fill"),
        (
            [("double_stream_modulation_img.lin.weight", (1,)), ("txt_in.weight", (4096, 12288))],
            "flux2_klein_9b",
        ),
    ],
)
def test_what_is_there_and_what_is_not_decides(shapes: Shapes, family: str) -> None:
    alone = identified(shapes)
    assert (alone.role, alone.family) == (DIFFUSION, family)
    assert identified(under("model.diffusion_model.", shapes)).family == family


@pytest.mark.parametrize(
    ("patch", "more", "family", "missing"),
    [
        ((1536, 16, 1, 2, 2), [], "wan21", (T5, VAE)),
        ((5120, 16, 1, 2, 2), [], "wan21", (T5, VAE)),
        ((3072, 48, 1, 2, 2), [], "wan22_ti2v", (T5, VAE)),
        ((3072 * 48, 1, 2, 2), [], "wan22_ti2v", (T5, VAE)),
        (
            (5120, 36, 1, 2, 2),
            ["img_emb.proj.0.weight"],
            "wan21_i2v",
            (T5, FileRole.CLIP_VISION, VAE),
        ),
        (
            (5120, 36, 1, 2, 2),
            [],
            "wan22_i2v",
            (FileRole.HIGH_NOISE_DIFFUSION_MODEL, T5, VAE),
        ),
    ],
)
def test_wan_is_told_by_its_patch_embedding(
    patch: tuple[int, ...], more: list[str], family: str, missing: tuple[FileRole, ...]
) -> None:
    shapes = [("blocks.0.cross_attn.norm_k.weight", (1536,)), ("patch_embedding.weight", patch)]
    found = identified([*shapes, *((name, (1,)) for name in more)])
    assert (found.family, found.missing) == (family, missing)


@pytest.mark.parametrize(
    ("inputs", "words"), [(9, "for inpainting"), (8, "for edits"), (4, "1.x, f16")]
)
def test_the_channels_of_the_first_layer_tell_the_use(inputs: int, words: str) -> None:
    shapes = [("input_blocks.0.0.weight", (320, inputs, 3, 3)), *UNET[1:], *attends_to(768)]
    assert words in identified(under("model.diffusion_model.", shapes)).description


def test_a_diffusers_folder_is_a_whole_model(tmp_path: Path) -> None:
    unet = [
        ("conv_in.weight", (320, 4, 3, 3)),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", (640, 2048)),
        ("mid_block.resnets.1.norm1.weight", (1280,)),
    ]
    write_sparse(tmp_path / "unet/diffusion_pytorch_model.safetensors", unet)
    text = [("text_model.embeddings.token_embedding.weight", (49408, 768))]
    write_sparse(tmp_path / "text_encoder/model.safetensors", text)
    found = identify(read_header(tmp_path))
    assert (found.role, found.family, found.missing) == (MODEL, "sdxl", (G, VAE))
    vae = [("decoder.conv_in.weight", (512, 4, 3, 3))]
    write_sparse(tmp_path / "vae/diffusion_pytorch_model.safetensors", vae)
    write_sparse(tmp_path / "text_encoder_2/model.safetensors", text)
    assert identify(read_header(tmp_path)).missing == ()


@pytest.mark.parametrize(
    ("shapes", "role", "words"),
    [
        ([("token_embedding.weight", (49408, 1024))], L, "OpenCLIP-H"),
        ([("text_model.embeddings.token_embedding.weight", (49408, 1280))], G, "CLIP-G"),
        (
            [("vision_model.embeddings.patch_embedding.weight", (1,))],
            FileRole.CLIP_VISION,
            "vision",
        ),
        (
            [("enc.blk.0.attn_q.weight", (4096, 4096)), ("token_embd.weight", (256384, 4096))],
            *(T5, "UMT5-XXL"),
        ),
        (
            [("blk.0.attn_q.weight", (4096, 2560)), ("token_embd.weight", (151936, 2560))],
            *(LLM, "width 2560"),
        ),
        (
            [
                ("model.layers.0.self_attn.q_proj.weight", (4096, 3584)),
                ("model.embed_tokens.weight", (152064, 3584)),
                ("visual.blocks.0.attn.qkv.weight", (1,)),
            ],
            *(LLM, "width 3584"),
        ),
        ([("v.blk.0.attn_q.weight", (1280, 1280))], FileRole.LLM_VISION, "vision"),
        ([("v.patch_embd.weight", (1280, 3, 14, 14))], FileRole.LLM_VISION, "vision"),
        ([("decoder.conv_in.weight", (512, 32, 3, 3))], VAE, "32 channels"),
        ([("first_stage_model.decoder.conv_in.weight", (512, 4, 3, 3))], VAE, "4 channels"),
        ([("decoder.conv1.weight", (384, 16, 3, 3, 3))], VAE, "16 channels"),
        ([("decoder.layers.0.weight", (64, 4, 3, 3))], FileRole.TINY_DECODER, "4 channels"),
        ([("decoder.1.weight", (256, 48, 3, 3))], FileRole.TINY_DECODER, "48 channels"),
        (
            [("conv_first.weight", (64, 3, 3, 3)), ("body.0.rdb1.conv1.weight", (32, 64, 3, 3))],
            *(FileRole.UPSCALER, "ESRGAN"),
        ),
        (
            [("model.0.weight", (64, 3, 3, 3)), ("model.1.sub.0.RDB1.conv1.0.weight", (1,))],
            *(FileRole.UPSCALER, "ESRGAN"),
        ),
        ([("control_model.input_hint_block.0.weight", (1,))], FileRole.CONTROL_NET, "ControlNet"),
        ([("lora_unet_x.lora_down.weight", (1,))], FileRole.LORA, "LoRA"),
        ([("double_blocks.0.processor.proj_lora1.down.weight", (1,))], FileRole.LORA, "LoRA"),
        ([("transformer.x.lora_A.weight", (1,))], FileRole.LORA, "LoRA"),
        ([("x.hada_w1_a", (1,))], FileRole.LORA, "LoRA"),
    ],
)
def test_parts_and_helpers(shapes: Shapes, role: FileRole, words: str) -> None:
    found = identified(shapes)
    assert found.role is role
    assert found.family in PART_FAMILIES
    assert words in found.description
    assert found.missing == ()


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([("nerf_final_layer_conv.norm.scale", (1,))], "Chroma Radiance"),
        ([("double_blocks.0.img_mlp.gate_proj.weight", (1,))], "Ovis-Image"),
        ([("layers.0.adaLN_sa_ln.weight", (1,))], "ERNIE-Image"),
        ([("input_blocks.8.0.time_mixer.mix_factor", (1,))], "Stable Video Diffusion"),
        ([("controlnet_cond_embedding.conv_in.weight", (1,))], "diffusers form"),
        ([("single_transformer_blocks.0.attn.to_q.weight", (1,))], "FLUX in diffusers form"),
        ([(f"{BLOCK}.norm1_context.linear.weight", (1,))], "Stable Diffusion 3 in diffusers form"),
        ([("double_blocks.0.x", (1,)), ("img_in.weight", (3072, 128))], "follows a control"),
        (
            [*under("model.diffusion_model.", [*UNET, *attends_to(2048)]), ("edm_mean", (4,))],
            "v2.5",
        ),
        ([*UNET, *attends_to(1280)], "texts of width 1280"),
        (
            [("conv_first.weight", (64, 12, 3, 3)), ("body.0.rdb1.conv1.weight", (32, 64, 3, 3))],
            "does not take 3 colours",
        ),
        ([("decoder.1.weight", (64, 4, 3, 3))], "other names than diffusers gives"),
        ([("token_embedding.weight", (49408, 512))], "width 512"),
        ([("enc.blk.0.attn_q.weight", (1024, 1024))], "another size than XXL"),
        ([("cap_embedder.0.weight", (2304,))], "no model that sdcpu knows"),
        ([("something\x1b[0m", (1,))], "no model that sdcpu knows: 1 tensors"),
    ],
)
def test_what_cannot_be_used_is_named(shapes: Shapes, words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        identified(shapes)
    assert words in caught.value.message
    assert "model.gguf" in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("roles", "text"),
    [([VAE], "VAE"), ([L, VAE], "CLIP-L and VAE"), ([L, G, T5], "CLIP-L, CLIP-G and T5-XXL")],
)
def test_missing_parts_have_names_people_know(roles: list[FileRole], text: str) -> None:
    assert missing_parts(roles) == text


def test_every_role_has_a_name() -> None:
    assert len({role.label for role in FileRole}) == len(FileRole)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_families_are_sound(family: Family) -> None:
    assert FAMILIES[family.name] is family
    assert family.width % family.size_multiple == family.height % family.size_multiple == 0
    assert family.size_multiple % family.latent_scale == 0
    assert family.sampler in SAMPLERS
    assert family.parts
    assert family.guide.endswith(".md")


@pytest.mark.parametrize(
    ("name", "channels", "scale"),
    [
        ("sd1", 4, 8),
        ("sdxl", 4, 8),
        ("sd3", 16, 8),
        ("flux2_klein", 128, 16),
        ("qwen_image", 16, 8),
        ("wan22_ti2v", 48, 16),
    ],
)
def test_latents_are_those_of_the_engine(name: str, channels: int, scale: int) -> None:
    """`get_latent_channel` and `get_scale_factor` of stable-diffusion.cpp."""
    assert (FAMILIES[name].latent_channels, FAMILIES[name].latent_scale) == (channels, scale)


def test_defaults_of_a_family() -> None:
    assert family_defaults("sdxs").steps == 1
    assert family_defaults("z_image").sampler == "euler"
    assert family_defaults("flux_fill").guidance == 30.0
    assert family_defaults("lora") == Defaults()

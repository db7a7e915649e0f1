"""LoRAs: tags in prompts, how tensors are named, and whether they fit a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from sdcpu.errors import InvalidRequestError, ModelFileError
from sdcpu.families import FileRole
from sdcpu.loras.fit import check_lora
from sdcpu.loras.layers import lora_tensor
from sdcpu.loras.origin import origin_of
from sdcpu.loras.tags import take_tags
from sdcpu.recipe import parameters_text
from sdcpu.tensors import TensorInfo
from sdcpu.weights import WeightsHeader
from tests.unit.headers import header, model, sd15

Shapes = Iterable[tuple[str, tuple[int, ...]]]
SDXL = model("sdxl", {FileRole.MODEL: ("sdxl", "q8_0")})
SD2 = model("sd2", {FileRole.MODEL: ("sd2", "q8_0")})
FLUX = model("flux", {FileRole.DIFFUSION_MODEL: ("flux-short", "q8_0")})
SD15 = sd15()


def lora(shapes: Shapes) -> WeightsHeader:
    """The header of a LoRA with these tensors."""
    tensors = tuple(
        TensorInfo(name=name, shape=shape, type="f16", size=2) for name, shape in shapes
    )
    return WeightsHeader(
        path=Path("style.safetensors"), format="safetensors", metadata={}, tensors=tensors
    )


def pair(stem: str, inputs: int, outputs: int, *, rank: int = 4, kernel: int = 0) -> Shapes:
    """Both factors of a layer as kohya's scripts name them, with their alpha."""
    down, up = ((kernel, kernel), (1, 1)) if kernel else ((), ())
    return [
        (f"{stem}.lora_down.weight", (rank, inputs, *down)),
        (f"{stem}.lora_up.weight", (outputs, rank, *up)),
        (f"{stem}.alpha", ()),
    ]


@pytest.mark.parametrize(
    ("prompt", "text", "loras"),
    [
        ("a cat", "a cat", ()),
        ("a cat <lora:ink:0.5>", "a cat", (("ink", 0.5),)),
        ("<lora:ink> a cat", "a cat", (("ink", 1.0),)),
        ("a cat, <lora:ink:-1>, red", "a cat, red", (("ink", -1.0),)),
        ("a cat <lora:ink:.5> in red", "a cat in red", (("ink", 0.5),)),
        ("a<LORA:a b:1><lyco:c:2> cat", "a cat", (("a b", 1.0), ("c", 2.0))),
        ("<lora:C:/my/ink.gguf:0.5>", "", (("C:/my/ink.gguf", 0.5),)),
        ("<lora:owner/name/ink.safetensors:1>", "", (("owner/name/ink.safetensors", 1.0),)),
        ("1 < 2 and a <b>", "1 < 2 and a <b>", ()),
    ],
)
def test_tags_are_taken_out(prompt: str, text: str, loras: object) -> None:
    assert take_tags(prompt) == (text, loras)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a <lora:ink:0.5 cat", "'<lora:ink:0.5 cat' in the prompt is not closed"),
        ("a <lora:ink:strong>", "'<lora:ink:strong>' in the prompt cannot be read"),
        ("a <lora::0.5>", "cannot be read"),
    ],
)
def test_tags_that_cannot_be_read(prompt: str, words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        take_tags(prompt)
    assert words in caught.value.message


def test_other_programs_read_loras_in_the_prompt() -> None:
    recipe = {"prompt": "a cat", "steps": 4, "loras": [["/my/ink.safetensors", 0.5]]}
    assert parameters_text(recipe).startswith("a cat <lora:ink:0.5>\nSteps: 4")


UP, DOWN = (
    "up_blocks.1.attentions.2.transformer_blocks.0.attn1.to_q",
    "input_blocks.1.0.in_layers.2",
)


@pytest.mark.parametrize(
    ("name", "family", "layer", "part", "place"),
    [
        (f"lora_unet_{UP.replace('.', '_')}.lora_down.weight", "sd1", "5_1", "down", 0),
        (f"unet.{UP}.lora.up.weight", "sd1", "5_1", "up", 0),
        (f"unet.{UP.replace('to_q', 'processor.to_q_lora')}.down.weight", "sd1", "5_1", "down", 0),
        (f"diffusion_model.{UP}.lora_B.weight", "sdxl", "5_1", "up", 0),
        (f"lycoris_unet_{UP.replace('.', '_')}.hada_w1_a", "sd1", "5_1", "hada_w1_a", 0),
    ],
)
def test_spellings_of_a_layer_of_a_unet(
    name: str, family: str, layer: str, part: str, place: int
) -> None:
    found = lora_tensor(name, family)
    assert found is not None
    assert found.layer == f"unet:output_blocks_{layer}_transformer_blocks_0_attn1_to_q"
    assert (found.part, found.place) == (part, place)


@pytest.mark.parametrize(
    ("name", "family", "layer", "place"),
    [
        ("lora_unet_input_blocks_1_0_in_layers_2", "sd1", "unet:input_blocks_1_0_in_layers_2", 0),
        ("lora_unet_down_blocks_0_resnets_0_conv1", "sd1", "unet:input_blocks_1_0_in_layers_2", 0),
        ("lora_unet_down_blocks_1_downsamplers_0_conv", "sd1", "unet:input_blocks_6_0_op", 0),
        ("lora_unet_up_blocks_0_upsamplers_0_conv", "sd1", "unet:output_blocks_2_1_conv", 0),
        ("lora_unet_up_blocks_0_upsamplers_0_conv", "sdxl", "unet:output_blocks_2_2_conv", 0),
        ("lora_unet_mid_block_resnets_1_conv2", "sd1", "unet:middle_block_2_out_layers_3", 0),
        ("lora_te1_text_model_encoder_layers_3_mlp_fc1", "sdxl", "text:", 0),
        ("transformer.transformer_blocks.3.attn.add_v_proj", "flux", "unet:double_blocks_3_txt", 2),
        ("single_transformer_blocks.7.proj_mlp", "flux", "unet:single_blocks_7_linear1", 3),
        ("transformer.transformer_blocks.3.attn.to_k", "sd3", "unet:joint_blocks_3_x_block", 1),
        ("diffusion_model.layers.1.attention.to_v", "z_image", "unet:layers_1_attention_qkv", 2),
    ],
)
def test_spellings_of_other_layers(name: str, family: str, layer: str, place: int) -> None:
    found = lora_tensor(f"{name}.lora_A.weight", family)
    assert found is not None
    assert found.layer.startswith(layer)
    assert found.place == place


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("down_blocks.0.attentions.0.proj_in.lora_A.weight", "sd1"),  # nothing says of what
        ("base_model.model.unet.conv_in.lora_A.weight", "sd1"),
        ("lora_unet_input_blocks_0_0.dora_scale", "sd1"),
        ("lora_unet_conv_in.lora_down.weight", "sd1"),
        ("text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight", "sd1"),
    ],
)
def test_names_that_the_engine_passes_over(name: str, family: str) -> None:
    assert lora_tensor(name, family) is None


@pytest.mark.parametrize(
    ("shapes", "title"),
    [
        (pair("lora_unet_x_attn2_to_k", 768, 320), "Stable Diffusion 1.x"),
        (pair("lora_unet_x_attn2_to_v", 1024, 320), "Stable Diffusion 2.x"),
        (pair("lora_unet_x_attn2_to_v", 2048, 640), "Stable Diffusion XL"),
        (pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280, 5120), "Stable Diffusion XL"),
        (pair("lora_unet_single_blocks_3_linear2", 15360, 3072), "FLUX.1"),
        (pair("diffusion_model.joint_blocks.3.x_block.attn.qkv", 1536, 4608), "Stable Diffusion 3"),
        (pair("diffusion_model.blocks.0.cross_attn.q", 1536, 1536), "Wan 2.1"),
        (pair("lora_unet_conv_in", 4, 320, kernel=3), ""),
    ],
)
def test_the_family_that_a_lora_was_made_for(shapes: Shapes, title: str) -> None:
    origin = origin_of(lora(shapes))
    assert origin is not None
    assert origin.title == title


def test_a_model_is_no_lora() -> None:
    assert origin_of(header("sd15")) is None
    with pytest.raises(ModelFileError, match="not a LoRA but a Stable Diffusion 1"):
        check_lora(header("sd15"), *SD15)


ATTENTION = "lora_unet_{}_transformer_blocks_0_attn2_to_{}"
IN_SD15 = pair(ATTENTION.format("down_blocks_0_attentions_0", "k"), 768, 320)


@pytest.mark.parametrize(
    ("shapes", "made"),
    [
        (IN_SD15, SD15),
        (pair("lora_unet_mid_block_attentions_0_proj_in", 1280, 1280, kernel=1), SD15),
        (pair("lora_te_text_model_encoder_layers_11_mlp_fc2", 3072, 768), SD15),
        ([("lora_unet_out_2.diff", (4, 320, 3, 3)), ("lora_unet_out_2.diff_b", (4,))], SD15),
        (
            [
                ("lora_unet_input_blocks_0_0.hada_w1_a", (320, 4)),
                ("lora_unet_input_blocks_0_0.hada_w1_b", (4, 36)),
                ("lora_unet_input_blocks_0_0.hada_w2_a", (320, 4)),
                ("lora_unet_input_blocks_0_0.hada_w2_b", (4, 36)),
                ("lora_unet_input_blocks_0_0.alpha", ()),
            ],
            SD15,
        ),
        (
            [
                ("lora_unet_out_2.lokr_w1", (2, 4)),
                ("lora_unet_out_2.lokr_w2_a", (2, 3)),
                ("lora_unet_out_2.lokr_w2_b", (3, 720)),
            ],
            SD15,
        ),
        (
            [
                ("lora_te_text_model_encoder_layers_1_mlp_fc1.lokr_w1", (4, 4)),
                ("lora_te_text_model_encoder_layers_1_mlp_fc1.lokr_w2", (768, 192)),
            ],
            SD15,
        ),
        (pair("lora_unet_mid_block_attentions_0_proj_in", 1280, 1280), SD2),
        (pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280, 5120), SDXL),
        (
            [
                *pair("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 1280, 1280),
                *pair("lora_te2_text_model_encoder_layers_0_self_attn_k_proj", 1280, 1280),
                *pair("lora_te2_text_model_encoder_layers_0_self_attn_v_proj", 1280, 1280),
            ],
            SDXL,
        ),
        (pair("lora_unet_double_blocks_0_img_attn_qkv", 3072, 9216), FLUX),
        (
            [
                tensor
                for letter in "qkv"
                for tensor in pair(f"transformer.transformer_blocks.0.attn.to_{letter}", 3072, 3072)
            ],
            FLUX,
        ),
    ],
)
def test_loras_that_fit(shapes: Shapes, made: object) -> None:
    assert check_lora(lora(shapes), *made) == ""  # type: ignore[misc]


@pytest.mark.parametrize(
    ("shapes", "made", "words"),
    [
        (IN_SD15, SDXL, "was made for Stable Diffusion 1.x; a-sdxl is Stable Diffusion XL"),
        (pair("lora_unet_x_attn2_to_k", 2048, 640), SD15, "made for Stable Diffusion XL"),
        (pair("lora_unet_single_blocks_3_linear2", 15360, 3072), SD15, "was made for FLUX.1"),
        (
            pair("lora_unet_input_blocks_0_0", 9, 320, kernel=3),
            SD15,
            "lora_unet_input_blocks_0_0.lora_down.weight has 4x9x3x3, and 4x4x3x3 are needed",
        ),
        (
            pair("lora_te_text_model_encoder_layers_11_mlp_fc2", 3072, 1024),
            SD15,
            "mlp_fc2.lora_up.weight has 1024x4, and 768x4 are needed",
        ),
        (
            pair("lora_unet_mid_block_attentions_0_proj_in", 1280, 1280),
            SD15,
            "proj_in.lora_down.weight has 4x1280, and 4x1280x1x1 are needed",
        ),
        (
            [("lora_unet_out_2.diff", (4, 320))],
            SD15,
            "lora_unet_out_2.diff has 1280 values, and 11520 values are needed",
        ),
        (
            [(f"lora_unet_out_2.hada_w{n}_{x}", ()) for n in "12" for x in "ab"],
            SD15,
            "hada_w1_a has 0 values",
        ),
        (
            [
                (f"lora_unet_mid_block_attentions_0_proj_in.hada_w{n}_{x}", (4, 4))
                for n in "12"
                for x in "ab"
            ],
            SD15,
            "has 16 values, and 1638400 values are needed",
        ),
        (
            [
                (f"{ATTENTION.format('down_blocks_0_attentions_0', 'k')}.hada_w{n}_{x}", (4, 4))
                for n in "12"
                for x in "ab"
            ],
            SD15,
            "changes weights of the type q8_0 with lora_unet_down",
        ),
        (
            [
                ("lora_te_text_model_encoder_layers_1_mlp_fc1.lokr_w1", (4, 4)),
                ("lora_te_text_model_encoder_layers_1_mlp_fc1.lokr_w2_a", (768, 4)),
                ("lora_te_text_model_encoder_layers_1_mlp_fc1.lokr_w2_b", (4, 192)),
            ],
            SD15,
            "mlp_fc1.lokr_w2_a, a factor of a factor",
        ),
        (
            [
                ("lora_te_text_model_encoder_layers_1_mlp_fc1.lokr_w1", (4, 4)),
                ("lora_te_text_model_encoder_layers_1_mlp_fc1.lokr_w2", (768, 191)),
            ],
            SD15,
            "lokr_w2 has 3072x764 values in all, and 3072x768 are needed",
        ),
        (
            pair("lora_unet_nowhere_at_all", 4, 4),
            SD15,
            "3 of its 3 tensors belong to no layer of this model, such as lora_unet_nowhere_at_all",
        ),
        (pair("lora_unet_time_embed_0", 320, 1280), SD15, "belong to no layer"),
        ([("lora_te_text_model_final_layer_norm.diff", (768,))], SD15, "belong to no layer"),
        (
            [("lora_unet_input_blocks_0_0.lora_up.weight", (320, 4, 1, 1))],
            SD15,
            "belong to no layer",
        ),
        (
            pair("transformer.transformer_blocks.0.attn.to_q", 3072, 3072),
            FLUX,
            "attn.to_q.lora_up.weight has 3072x4, and 9216x4 are needed",
        ),
        (
            pair("transformer.transformer_blocks.0.attn.to_v", 3072, 3072),
            FLUX,
            "not the parts before it",
        ),
        (
            [
                *pair("transformer.transformer_blocks.0.attn.to_q", 3072, 3072),
                *pair("transformer.transformer_blocks.0.attn.to_k", 3072, 3072),
            ],
            FLUX,
            "has 6144 rows in all, and 9216 are needed",
        ),
    ],
)
def test_loras_that_do_not_fit(shapes: Shapes, made: object, words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        check_lora(lora(shapes), *made)  # type: ignore[misc]
    assert words in caught.value.message
    assert caught.value.hint


def test_a_part_that_is_not_used_is_noted() -> None:
    shapes = [*IN_SD15, ("lora_unet_input_blocks_0_0.dora_scale", (1,))]
    note = check_lora(lora(shapes), *SD15)
    assert note.startswith("1 of the 4 tensors of style.safetensors are not used, such as ")
    assert "lora_unet_input_blocks_0_0.dora_scale" in note


def test_the_family_is_known_before_the_model_is_here() -> None:
    assert check_lora(lora(IN_SD15), SD15[0], {}) == ""
    with pytest.raises(ModelFileError, match="made for"):
        check_lora(lora(IN_SD15), SDXL[0], {})

"""Predicted memory, compared with what the engine itself logged for the same graphs.

The buffers and weights here are the engine's own figures ("compute buffer size", "total params
memory size"); whole processes are compared by scripts/bench memory.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdcpu.buffers import MIB, decoder_bytes, diffusion_buffer
from sdcpu.families import FAMILIES
from sdcpu.memory import Way, is_loaded, main_tensor_type, predict_memory
from sdcpu.registry import FileRole, Model, ModelFile
from sdcpu.tensors import TensorInfo
from sdcpu.weights import WeightsHeader
from tests.checkpoints.writer import TypeName
from tests.unit.headers import header, model, sd15

WAY = Way(width=512, height=512, decoder="tiny")


@pytest.mark.parametrize(
    ("family", "size", "flags", "logged"),
    [
        ("sd1", (256, 256), "", 49.57),
        ("sd1", (384, 384), "", 192.25),
        ("sd1", (512, 512), "", 559.9),
        ("sd1", (512, 768), "", 1220.07),
        ("sd1", (768, 768), "", 2690.33),
        ("sd1", (1024, 1024), "", 8360.93),
        ("sd1", (256, 256), "flash", 30.94),
        ("sd1", (512, 512), "flash", 123.07),
        pytest.param("sd1", (448, 448), "flash", 106.65, id="keys that do not fill a block"),
        pytest.param("sd1", (576, 576), "flash", 257.07, id="a mask larger than the layers"),
        ("sd1", (1024, 1024), "flash", 491.6),
        ("sd1", (512, 512), "flash direct", 105.29),
        ("sd1", (1024, 1024), "flash direct", 420.48),
        ("sd1", (512, 512), "direct", 559.62),
        ("sd1_tiny", (256, 256), "", 45.03),
        ("sd1_tiny", (512, 512), "", 551.61),
        ("sd1_tiny", (512, 512), "flash", 118.07),
        ("sdxs", (512, 512), "", 121.64),
        ("sdxs", (1024, 1024), "", 627.17),
        ("sd2", (512, 512), "", 367.98),
        ("sd2", (768, 768), "", 1718.41),
        ("sd2", (768, 768), "flash", 276.7),
        ("sdxl", (512, 512), "", 132.05),
        ("sdxl", (1024, 1024), "", 830.86),
        ("sdxl", (1024, 1024), "flash", 491.99),
        ("sdxl", (1280, 1280), "", 1832.89),
        ("sd3", (512, 512), "", 181.64),
        ("sd3", (1024, 1024), "", 1834.11),
        ("flux", (512, 512), "", 341.5),
        ("flux", (1024, 1024), "", 2361.25),
        ("flux", (512, 512), "flash", 230.5),
        ("chroma", (512, 512), "", 470.5),
        ("flux2_klein", (1024, 1024), "", 2739.5),
        ("flux2_klein", (512, 512), "flash", 329.0),
        ("z_image", (512, 512), "", 238.26),
        ("z_image", (1024, 1024), "", 2379.51),
        ("qwen_image", (512, 512), "", 196.25),
        ("qwen_image", (1024, 1024), "", 1886.75),
    ],
)
def test_buffer_of_the_diffusion_model(
    family: str, size: tuple[int, int], flags: str, logged: float
) -> None:
    buffer = diffusion_buffer(family).size(
        size[0] * size[1] / 64,
        flash_attention="flash" in flags,
        conv_direct="direct" in flags,
    )
    assert buffer / MIB == pytest.approx(logged, rel=0.08, abs=3)


@pytest.mark.parametrize(
    ("family", "decoder", "direct", "own_file", "logged"),
    [
        ("sd1", "full", False, False, 1664.06),
        ("sd1", "full", True, False, 704.06),
        ("sd1", "tiny", False, True, 480.06),
        ("sd1", "tiny", True, True, 224.06),
        ("sdxl", "full", False, False, 1920.06),
        ("sdxl", "full", True, False, 960.06),
        ("sdxl", "full", True, True, 704.06),
        ("sdxl", "tiny", True, True, 224.06),
        ("sd3", "full", False, False, 1664.25),
        ("qwen_image", "full", False, True, 1874.5),
        ("qwen_image", "tiny", True, True, 704.25),
    ],
)
def test_buffer_of_the_decoder(
    family: str, decoder: str, direct: bool, own_file: bool, logged: float
) -> None:
    per_pixel = decoder_bytes(
        family,
        decoder,  # type: ignore[arg-type]
        conv_direct=direct,
        own_file=own_file,
    )
    assert per_pixel * 512 * 512 / MIB == pytest.approx(logged, rel=0.01)


@pytest.mark.parametrize(
    ("kind", "decoder", "logged"),
    [
        ("q8_0", "tiny", 1562.1),
        ("q4_0", "tiny", 1393.81),
        ("f16", "tiny", 1877.65),
        ("q8_0", "full", 1654.23),
    ],
)
def test_weights_in_memory(kind: TypeName, decoder: str, logged: float) -> None:
    made, headers = sd15(kind)
    way = replace(WAY, decoder=decoder)  # type: ignore[arg-type]
    assert predict_memory(made, way, headers).weights / MIB == pytest.approx(logged, rel=0.001)


def test_an_encoder_is_loaded_only_where_a_picture_is_encoded() -> None:
    made, headers = sd15()
    full = replace(WAY, decoder="full")
    without = predict_memory(made, full, headers)
    with_encoder = predict_memory(made, replace(full, encodes=True), headers)
    assert (with_encoder.weights - without.weights) / MIB == pytest.approx(65.3, rel=0.01)
    assert without.encode == 0
    assert with_encoder.encode > 0


@pytest.mark.parametrize(("side", "tile_size", "mebibytes"), [(256, 0, 97.0), (256, 16, 37.95)])
def test_a_picture_is_encoded_in_tiles_too(side: int, tile_size: int, mebibytes: float) -> None:
    # What the engine logged for Stable Diffusion 1.5's autoencoder with direct convolutions.
    made, headers = sd15()
    way = replace(WAY, decoder="full", encodes=True, width=side, height=side, tile_size=tile_size)
    assert predict_memory(made, way, headers).encode / MIB == pytest.approx(mebibytes, rel=0.01)


def test_a_decoder_of_its_own_takes_the_place_of_the_models() -> None:
    parts: dict[FileRole, tuple[str, TypeName]] = {
        FileRole.MODEL: ("sdxl", "q4_0"),
        FileRole.VAE: ("vae", "f16"),
    }
    way = replace(WAY, decoder="full")
    one = predict_memory(*_swap(model("sdxl", {FileRole.MODEL: ("sdxl", "q4_0")}), way))
    both = predict_memory(*_swap(model("sdxl", parts), way))
    assert both.weights == pytest.approx(one.weights, rel=0.001)
    assert both.decode < one.decode, "the engine does not scale the convolutions of another file"


def _swap(
    made: tuple[Model, dict[ModelFile, WeightsHeader]], way: Way
) -> tuple[Model, Way, dict[ModelFile, WeightsHeader]]:
    return made[0], way, made[1]


@pytest.mark.parametrize(
    ("kind", "shape", "stored", "bytes_in_memory"),
    [
        pytest.param("f16", (320,), 640, 1280, id="vectors become f32"),
        pytest.param("f32", (320, 4, 3, 3), 46080, 23040, id="kernels become f16"),
        pytest.param("q8_0", (320, 64), 21760, 21760, id="matrices stay"),
        pytest.param("f32", (320, 64), 81920, 81920, id="also as f32"),
        pytest.param("bf16", (320, 64), 40960, 40960, id="also as bf16"),
        pytest.param("f8_e4m3", (320, 64), 20480, 40960, id="f8 becomes f16"),
        pytest.param("f64", (320, 64), 163840, 81920, id="f64 becomes f32"),
    ],
)
def test_tensor_types_in_memory(
    kind: str, shape: tuple[int, ...], stored: int, bytes_in_memory: int
) -> None:
    tensor = TensorInfo(name="model.diffusion_model.x.weight", shape=shape, type=kind, size=stored)
    file = ModelFile(role=FileRole.MODEL, path="m")
    made = Model(name="m", summary="", family="sd1", files=(file,))
    known = WeightsHeader(path=Path("m"), format="gguf", metadata={}, tensors=(tensor,))
    assert predict_memory(made, WAY, {file: known}).weights == bytes_in_memory


@pytest.mark.parametrize(
    ("role", "name", "kind", "bytes_in_memory"),
    [
        (FileRole.LLM, "token_embd.weight", "q6_k", 1024 * 256 * 4),
        (FileRole.LLM, "token_embd.weight", "q8_0", 1024 * 256 // 32 * 34),
        (FileRole.LLM, "model.embed_tokens.weight", "bf16", 1024 * 256 * 4),
        (FileRole.LLM, "blk.0.ffn_up.weight", "q6_k", 1024 * 210),
        (FileRole.LLM, "output.weight", "q6_k", 0),
        (FileRole.T5XXL, "shared.weight", "q6_k", 1024 * 256 * 4),
        (FileRole.T5XXL, "encoder.embed_tokens.weight", "f16", 0),
        (FileRole.CLIP_L, "text_model.embeddings.position_embedding.weight", "f16", 1024 * 1024),
        (FileRole.DIFFUSION_MODEL, "model.diffusion_model.pos_embed", "f16", 1024 * 1024),
    ],
)
def test_embeddings_in_memory(role: FileRole, name: str, kind: str, bytes_in_memory: int) -> None:
    sizes = {"q6_k": 1024 * 210, "q8_0": 1024 * 256 // 32 * 34, "bf16": 524288, "f16": 524288}
    tensor = TensorInfo(name=name, shape=(1024, 256), type=kind, size=sizes[kind])
    file = ModelFile(role=role, path="t")
    made = Model(name="m", summary="", family="z_image", files=(file,))
    known = WeightsHeader(path=Path("t"), format="gguf", metadata={}, tensors=(tensor,))
    assert predict_memory(made, WAY, {file: known}).weights == bytes_in_memory


def test_a_control_nets_matrices_become_f32() -> None:
    tensor = TensorInfo(name="x.weight", shape=(64, 64), type="f16", size=8192)
    file = ModelFile(role=FileRole.CONTROL_NET, path="c")
    made = Model(name="m", summary="", family="sd1", files=(file,))
    known = WeightsHeader(path=Path("c"), format="gguf", metadata={}, tensors=(tensor,))
    controlled = replace(WAY, control=True)
    assert predict_memory(made, controlled, {file: known}).weights == 64 * 64 * 4
    assert predict_memory(made, WAY, {file: known}).weights == 0


@pytest.mark.parametrize("name", ["model_ema.decay", "alphas_cumprod", "first_stage_model.x"])
def test_tensors_that_are_not_loaded(name: str) -> None:
    tensor = TensorInfo(name=name, shape=(64, 64), type="f16", size=8192)
    files = tuple(ModelFile(role=r, path=r) for r in (FileRole.MODEL, FileRole.TINY_DECODER))
    made = Model(name="m", summary="", family="sd1", files=files)
    known = WeightsHeader(path=Path("m"), format="gguf", metadata={}, tensors=(tensor,))
    assert predict_memory(made, WAY, {files[0]: known}).weights == 0


@pytest.mark.parametrize(
    ("role", "way", "loaded"),
    [
        (FileRole.MODEL, WAY, True),
        (FileRole.LORA, WAY, True),
        (FileRole.UPSCALER, WAY, False),
        (FileRole.TINY_DECODER, WAY, True),
        (FileRole.TINY_DECODER, replace(WAY, decoder="full"), False),
        (FileRole.TINY_DECODER, replace(WAY, decoder="full", tiny_preview=True), True),
        (FileRole.VAE, WAY, False),
        (FileRole.VAE, replace(WAY, decoder="full"), True),
        (FileRole.LLM_VISION, WAY, False),
        (FileRole.LLM_VISION, replace(WAY, encodes=True), True),
        (FileRole.CONTROL_NET, WAY, False),
        (FileRole.CONTROL_NET, replace(WAY, control=True), True),
    ],
)
def test_files_that_are_loaded(role: FileRole, way: Way, loaded: bool) -> None:
    assert is_loaded(ModelFile(role=role, path="f"), way) is loaded


@pytest.mark.parametrize(
    ("size", "quantize", "low", "high"),
    [
        (1_800_000_000, None, 1.8e9, 1.8e9),
        (None, None, 0, 0),
        pytest.param(2_133_000_000, "q8_0", 1.75e9, 1.85e9, id="1801 MB when it is done"),
        pytest.param(2_133_000_000, "q4_0", 1.55e9, 1.65e9, id="1625 MB when it is done"),
    ],
)
def test_files_that_are_not_here_count_with_their_size(
    size: int | None, quantize: str | None, low: float, high: float
) -> None:
    file = ModelFile(role=FileRole.MODEL, path="m", size=size, quantize=quantize)
    made = Model(name="m", summary="", family="sd1", files=(file,))
    assert low <= predict_memory(made, WAY, {}).weights <= high


def test_weights_that_the_request_brings() -> None:
    made, headers = sd15()
    plain = predict_memory(made, WAY, headers)
    lora = ModelFile(role=FileRole.LORA, path="ink.safetensors", size=123)
    joined = replace(made, files=(*made.files, lora))
    assert predict_memory(joined, WAY, headers).peak == plain.peak + 123


def test_previews_with_the_tiny_decoder_are_decoded_beside_the_steps() -> None:
    made, headers = sd15()
    full = replace(WAY, decoder="full")
    without = predict_memory(made, full, headers)
    shown = predict_memory(made, replace(full, tiny_preview=True), headers)
    assert shown.sample - without.sample == 896 * 512 * 512
    assert shown.weights > without.weights


def test_the_type_of_most_weights() -> None:
    made, headers = sd15("q4_0")
    assert main_tensor_type(headers) == "q4_0"
    assert main_tensor_type({}) == "unknown"
    assert made.files


ways = st.builds(
    Way,
    width=st.integers(1, 32).map(lambda n: n * 64),
    height=st.integers(1, 32).map(lambda n: n * 64),
    decoder=st.sampled_from(("tiny", "full")),
    count=st.integers(1, 1000),
    tile_size=st.sampled_from((0, 32, 64)),
    flash_attention=st.booleans(),
    diffusion_conv_direct=st.booleans(),
    vae_conv_direct=st.booleans(),
    encodes=st.booleans(),
    control=st.booleans(),
    tiny_preview=st.booleans(),
)
families = st.sampled_from((*sorted(FAMILIES), "unheard of"))


@settings(max_examples=40)
@given(way=ways, family=families, side=st.sampled_from(("width", "height")))
def test_a_larger_picture_never_needs_less(way: Way, family: str, side: str) -> None:
    # With flash attention it may: keys that fill the blocks need no mask.
    way = replace(way, flash_attention=False)
    made = replace(sd15()[0], family=family)
    headers = {made.files[0]: header("sd15")}
    small = predict_memory(made, way, headers)
    large = predict_memory(made, replace(way, **{side: 2 * getattr(way, side)}), headers)
    for stage in ("process", "weights", "text", "sample", "decode", "encode"):
        assert 0 <= getattr(small, stage) <= getattr(large, stage)
    assert small.peak <= large.peak


@settings(max_examples=40)
@given(way=ways, family=families)
def test_what_saves_memory_saves_memory(way: Way, family: str) -> None:
    made = replace(sd15()[0], family=family)
    headers = {made.files[0]: header("sd15")}
    large = replace(way, width=1024, height=1024)
    plain = predict_memory(made, replace(large, flash_attention=False, tile_size=0), headers)
    flash = predict_memory(made, replace(large, flash_attention=True, tile_size=0), headers)
    tiled = predict_memory(made, replace(large, flash_attention=False, tile_size=32), headers)
    assert flash.sample <= plain.sample
    assert tiled.decode < plain.decode


@settings(max_examples=40)
@given(way=ways)
def test_the_peak_is_the_largest_stage(way: Way) -> None:
    made, headers = sd15()
    memory = predict_memory(made, way, headers)
    rest = memory.peak - memory.process - memory.weights
    assert rest == max(memory.text, memory.sample, memory.decode, memory.encode)


@pytest.mark.parametrize(
    ("threads", "least", "most"),
    [
        (0, 0, 0),
        pytest.param(2, 27 * MIB, 51 * MIB, id="two threads as measured"),
        pytest.param(16, 200 * MIB, 310 * MIB, id="sixteen threads as measured"),
    ],
)
def test_threads_of_our_kernels_have_work_areas(threads: int, least: int, most: int) -> None:
    sd, headers = sd15()
    plain = predict_memory(sd, WAY, headers)
    ours = predict_memory(sd, replace(WAY, kernel_threads=threads), headers)
    assert least <= ours.process - plain.process <= most


def test_an_embedding_holds_the_table_of_words_in_32_bits() -> None:
    made, headers = sd15()
    embedding = ModelFile(role=FileRole.EMBEDDING, path="ink.safetensors", size=3072)
    tensor = TensorInfo(name="emb", shape=(1, 768), type="f32", size=3072)
    ink = WeightsHeader(path=Path("ink"), format="safetensors", metadata={}, tensors=(tensor,))
    plain = predict_memory(made, WAY, headers)
    joined = predict_memory(
        replace(made, files=(*made.files, embedding)), WAY, {**headers, embedding: ink}
    )
    words = 49_408 * 768
    (table,) = (t for h in headers.values() for t in h.tensors if "token_embedding" in t.name)
    more = 4 * words - table.size + 3072
    assert joined.weights - plain.weights == more
    assert joined.text - plain.text == 4 * words

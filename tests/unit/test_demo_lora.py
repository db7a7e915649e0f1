"""The style that ships with the package, widened: a LoRA that does what the narrow change does."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sdcpu.demo.lora import kohya_name, write_lora
from sdcpu.demo.network import UNET_PREFIX, Layer, unet_layers
from sdcpu.demo.widen import widen, write_safetensors
from sdcpu.families import FileRole
from sdcpu.identification import identify
from sdcpu.weights import read_header

Array = npt.NDArray[np.float32]
RANK = 4
CHANGED = (
    "input_blocks.1.1.transformer_blocks.0.attn1.to_q",
    "input_blocks.3.0.op",
    "input_blocks.4.0.skip_connection",
    "input_blocks.7.1.transformer_blocks.0.attn2.to_k",
    "output_blocks.3.0.in_layers.2",
    "output_blocks.5.2.conv",
    "output_blocks.7.1.proj_in",
    "output_blocks.7.1.transformer_blocks.0.ff.net.0.proj",
)


@pytest.fixture(scope="module")
def layers() -> dict[str, Layer]:
    by_name = {layer.name.removeprefix(UNET_PREFIX): layer for layer in unet_layers()}
    return {name: by_name[name] for name in CHANGED}


@pytest.fixture(scope="module")
def products(layers: dict[str, Layer], style: Path) -> dict[str, Array]:
    stored = tensors_of(style.read_bytes())
    products = {}
    for name, layer in layers.items():
        up, down = (
            stored[f"style.{layer.name}.{half}"] * stored[f"style.{layer.name}.{half}#scale"][0]
            for half in ("up", "down")
        )
        kernel = (layer.kernel, layer.kernel) if layer.kind == "convolution" else ()
        products[name] = (up @ down).reshape(len(up), -1, *kernel)
    return products


@pytest.fixture(scope="module")
def style(layers: dict[str, Layer], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A style of random numbers for a layer of every kind, stored as the real one is but wider."""
    random = np.random.default_rng(1)
    stored: dict[str, npt.NDArray[np.float32]] = {}
    for layer in layers.values():
        inputs, outputs = (sum(n for n, _ in side) for side in (layer.inputs, layer.outputs))
        shapes = {"up": (outputs, RANK), "down": (RANK, inputs * layer.kernel**2)}
        for half, shape in shapes.items():
            whole = random.integers(-127, 128, shape)
            stored[f"style.{layer.name}.{half}"] = whole.astype(np.float32)
            stored[f"style.{layer.name}.{half}#scale"] = np.array([3e-4], np.float32)
    file = tmp_path_factory.mktemp("style") / "style.safetensors"
    with file.open("wb") as stream:
        write_safetensors(stream, stored, {"made": '"by a test"'})
    return file


@pytest.fixture(scope="module")
def lora(style: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("lora") / "lora.safetensors"
    with file.open("wb") as stream:
        write_lora(stream, style)
    return file


def tensors_of(data: bytes) -> dict[str, Array]:
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__")
    tensors = {}
    for name, tensor in header.items():
        start, end = (8 + length + offset for offset in tensor["data_offsets"])
        kind = {"F32": "<f4", "F16": "<f2"}[tensor["dtype"]]
        values = np.frombuffer(data[start:end], kind).astype(np.float32)
        tensors[name] = values.reshape(tensor["shape"])
    return tensors


@pytest.mark.parametrize("name", CHANGED)
def test_both_halves_multiplied_are_the_widened_change(
    name: str, lora: Path, layers: dict[str, Layer], products: dict[str, Array]
) -> None:
    layer = layers[name]
    tensors = tensors_of(lora.read_bytes())
    wide = widen(products[name], layer)
    expected = wide.rows[wide.order].reshape(len(wide.order), -1)
    named = kohya_name(layer.name)
    up, down = tensors[f"{named}.lora_up.weight"], tensors[f"{named}.lora_down.weight"]
    shape = layer.parameters()[f"{layer.name}.weight"]
    ones = (1, 1) if layer.kind == "convolution" else ()
    assert up.shape == (shape[0], RANK, *ones)
    assert down.shape == (RANK, *shape[1:])
    strength = tensors[f"{named}.alpha"] / RANK
    actual = up.reshape(-1, RANK) @ down.reshape(RANK, -1) * strength
    assert np.abs(actual - expected).max() < 2e-3 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("input_blocks.1.1.proj_in", "down_blocks_0_attentions_0_proj_in"),
        ("input_blocks.7.0.in_layers.2", "down_blocks_2_resnets_0_conv1"),
        ("input_blocks.4.0.skip_connection", "down_blocks_1_resnets_0_conv_shortcut"),
        ("input_blocks.6.0.op", "down_blocks_1_downsamplers_0_conv"),
        ("output_blocks.2.1.conv", "up_blocks_0_upsamplers_0_conv"),
        ("output_blocks.5.2.conv", "up_blocks_1_upsamplers_0_conv"),
        ("output_blocks.7.0.out_layers.3", "up_blocks_2_resnets_1_conv2"),
        (
            "output_blocks.4.1.transformer_blocks.0.attn2.to_out.0",
            "up_blocks_1_attentions_1_transformer_blocks_0_attn2_to_out_0",
        ),
    ],
)
def test_layers_have_the_names_that_trainers_give_them(layer: str, name: str) -> None:
    assert kohya_name(UNET_PREFIX + layer) == f"lora_unet_{name}"


def test_a_layer_outside_the_blocks_has_no_name() -> None:
    with pytest.raises(ValueError, match="in no block"):
        kohya_name(f"{UNET_PREFIX}out.2")


def test_the_file_is_recognised_as_a_lora(lora: Path) -> None:
    assert identify(read_header(lora)).role is FileRole.LORA


def test_a_file_is_written_the_same_again(style: Path, lora: Path) -> None:
    again = io.BytesIO()
    write_lora(again, style)
    assert again.getvalue() == lora.read_bytes()

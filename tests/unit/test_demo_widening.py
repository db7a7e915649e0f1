"""The widened demo model computes what the narrow one computes, and the file holds just that."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize, quantize

from sdcpu.demo import KNOWN_WORDS, network, unknown_words
from sdcpu.demo import widen as widening
from sdcpu.demo.checkpoint import read_checkpoint
from sdcpu.demo.network import Layer, Segment, Segments
from sdcpu.demo.widen import copies_of, token_rows, widen
from sdcpu.demo.words import SCENES, SYNONYMS, WORDS
from sdcpu.families import FileRole
from tests.reference_network import Array, ReferenceNetwork
from training.scenes import SCENES as TRAINED_SCENES
from training.vocabulary import BEGIN, END, UNKNOWN, clip_tokens, encode

MIXED: Segments = (Segment(4, 10), Segment(4, 5))
PLAIN: Segments = (Segment(6, 8),)


class WideParameters(Mapping[str, Array]):
    """The full network's parameters, spelled out only while they are used."""

    def __init__(self, narrow: Mapping[str, Array], layers: list[Layer], prefix: str = "") -> None:
        self._narrow, self._prefix = narrow, prefix
        self._layers = {name: layer for layer in layers for name in layer.parameters()}
        self.rows: npt.NDArray[np.intp] | None = None

    def __getitem__(self, name: str) -> Array:
        layer = self._layers[name]
        if not layer.trained:
            is_norm = layer.kind == "norm" and name.endswith("weight")
            return np.full(layer.parameters()[name], float(is_norm), np.float32)
        order = self.rows if layer.name == network.TOKEN_EMBEDDING else None
        wide = widen(self._narrow[self._prefix + name], layer, order)
        return wide.rows[wide.order]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


@pytest.fixture(scope="module")
def checkpoint() -> tuple[dict[str, Array], dict[str, Any]]:
    return read_checkpoint(change="lcm")


def repeated(x: Array, channels: Segments, axis: int = 0) -> Array:
    return np.repeat(x, copies_of(channels), axis)


def relative_difference(first: Array, second: Array) -> float:
    return float(np.abs(first - second).max() / np.abs(second).max())


def random(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def both_networks(
    checkpoint: tuple[dict[str, Array], dict[str, Any]], layers: list[Layer], prefix: str = ""
) -> tuple[ReferenceNetwork, ReferenceNetwork]:
    parameters, notes = checkpoint
    narrow = {name.removeprefix(prefix): value for name, value in parameters.items()}
    wide = WideParameters(parameters, layers, prefix)
    wide.rows = token_rows(notes)
    return (
        ReferenceNetwork(narrow, layers, narrow=True),
        ReferenceNetwork(wide, layers, narrow=False),
    )


@pytest.mark.parametrize(
    "layer",
    [
        Layer(name="x", kind="linear", inputs=MIXED, outputs=PLAIN),
        Layer(name="x", kind="linear", inputs=PLAIN, outputs=MIXED, bias=False),
        Layer(name="x", kind="convolution", inputs=MIXED, outputs=PLAIN, kernel=3),
        Layer(name="x", kind="convolution", inputs=PLAIN, outputs=MIXED, kernel=1, bias=False),
    ],
    ids=["linear", "linear without bias", "convolution", "1x1 convolution without bias"],
)
def test_a_wide_layer_computes_what_the_narrow_one_does(layer: Layer) -> None:
    inputs, outputs = (sum(n for n, _ in side) for side in (layer.inputs, layer.outputs))
    kernel = (layer.kernel, layer.kernel) if layer.kind == "convolution" else ()
    narrow = {"x.weight": random(outputs, inputs, *kernel), "x.bias": random(outputs)}
    if not layer.bias:
        del narrow["x.bias"]
    wide = WideParameters(narrow, [layer])
    assert {name: value.shape for name, value in wide.items()} == layer.parameters()

    def computed(parameters: Mapping[str, Array], x: Array) -> Array:
        net = ReferenceNetwork(parameters, [layer], narrow=True)
        if kernel:
            return net.convolution("x", x)
        return net.linear("x", x.T).T

    x = random(inputs, 5, 7) if kernel else random(inputs, 5)
    expected = repeated(computed(narrow, x), layer.outputs)
    assert relative_difference(computed(wide, repeated(x, layer.inputs)), expected) < 1e-5


@pytest.mark.parametrize(
    "channels",
    [(Segment(64, 5),), (Segment(128, 10), Segment(64, 10)), (Segment(64, 10), Segment(64, 5))],
    ids=["one channel in two halves a group", "five channels a group", "mixed copies"],
)
def test_a_group_norm_over_copies_equals_the_weighted_narrow_one(channels: Segments) -> None:
    layer = Layer(name="x", kind="norm", outputs=channels)
    width = sum(n for n, _ in channels)
    narrow = {"x.weight": random(width), "x.bias": random(width) + 1}
    x = random(width, 3, 4)
    expected = ReferenceNetwork(narrow, [layer], narrow=True).group_norm("x", x)
    wide = ReferenceNetwork(WideParameters(narrow, [layer]), [layer], narrow=False)
    actual = wide.group_norm("x", repeated(x, channels))
    assert relative_difference(actual, repeated(expected, channels)) < 1e-5


def test_attention_with_copied_channels_needs_the_factor_and_has_it() -> None:
    copies = 5
    channels: Segments = (Segment(16, copies),)
    factor = network.attention_factor(copies)
    layers = [
        Layer(name="q", kind="linear", inputs=channels, outputs=channels, factor=factor),
        *(
            Layer(name=name, kind="linear", inputs=channels, outputs=channels)
            for name in ("k", "v", "out")
        ),
    ]
    narrow = {name: random(*_narrow_shape(name, 16)) for layer in layers for name in _names(layer)}
    x = random(6, 16)
    names = ("q", "k", "v", "out")
    expected = ReferenceNetwork(narrow, layers, narrow=True).attention(names, x, x)
    wide_x = repeated(x, channels, axis=1)
    for with_factor in (True, False):
        used = layers if with_factor else [_without_factor(layer) for layer in layers]
        wide = ReferenceNetwork(WideParameters(narrow, used), used, narrow=False)
        actual = wide.attention(names, wide_x, wide_x)
        difference = relative_difference(actual, repeated(expected, channels, axis=1))
        assert difference < 1e-5 if with_factor else difference > 1e-2


def _names(layer: Layer) -> list[str]:
    return [f"{layer.name}.weight", f"{layer.name}.bias"]


def _narrow_shape(name: str, width: int) -> tuple[int, ...]:
    return (width, width) if name.endswith("weight") else (width,)


def _without_factor(layer: Layer) -> Layer:
    return Layer(name=layer.name, kind=layer.kind, inputs=layer.inputs, outputs=layer.outputs)


def test_the_whole_text_encoder_is_widened_without_a_change(
    checkpoint: tuple[dict[str, Array], dict[str, Any]],
) -> None:
    layers = list(network.text_encoder_layers())
    narrow, wide = both_networks(checkpoint, layers)
    notes = checkpoint[1]
    rows = np.array([0, 40, 16, 11, 1, 1])
    tokens = np.array(notes["clip_ids"])[rows]
    expected = repeated(narrow.encode_text(rows), layers[0].outputs, axis=1)
    assert relative_difference(wide.encode_text(tokens), expected) < 1e-5


def test_the_whole_unet_is_widened_without_a_change(
    checkpoint: tuple[dict[str, Array], dict[str, Any]],
) -> None:
    narrow, wide = both_networks(checkpoint, list(network.unet_layers()))
    latent, context = random(4, 8, 8), random(7, 192)
    expected = narrow.predict_noise(latent, 700.0, context)
    actual = wide.predict_noise(latent, 700.0, np.repeat(context, 4, axis=1))
    assert relative_difference(actual, expected) < 1e-4
    assert expected.std() > 0.1


def test_the_whole_autoencoder_is_widened_without_a_change(
    checkpoint: tuple[dict[str, Array], dict[str, Any]],
) -> None:
    narrow, wide = both_networks(checkpoint, list(network.autoencoder_layers()), prefix="tae.")
    picture = np.abs(random(3, 32, 32)) % 1
    latent = narrow.encode_picture(picture)
    assert relative_difference(wide.encode_picture(picture), latent) < 1e-4
    assert relative_difference(wide.decode_latent(latent), narrow.decode_latent(latent)) < 1e-4


@pytest.mark.parametrize(
    ("encoding", "kind"),
    [(widening.Q8_0, GGMLQuantizationType.Q8_0), (widening.Q4_0, GGMLQuantizationType.Q4_0)],
    ids=["q8_0", "q4_0"],
)
def test_blocks_are_encoded_as_the_reference_does(
    encoding: widening.Encoding, kind: GGMLQuantizationType
) -> None:
    rows = random(8, 256)
    rows[0, :32] = 0
    assert (widening.encode(rows, encoding) == quantize(rows, kind)).all()


def test_four_bits_are_for_matrices_that_tell_neither_words_nor_time() -> None:
    layers = {layer.name: layer for layer in network.unet_layers()}
    layers |= {layer.name: layer for layer in network.text_encoder_layers()}

    def chosen(name: str) -> widening.Encoding:
        layer = layers[name]
        shape = layer.parameters()[f"{name}.weight"]
        return widening.encoding_of(shape, layer, widening.Q4_0)

    block = f"{network.UNET_PREFIX}input_blocks.4.1"
    assert chosen(f"{block}.transformer_blocks.0.attn2.to_q") == widening.Q4_0
    assert chosen(f"{block}.proj_in") == widening.F16
    assert chosen(f"{network.UNET_PREFIX}time_embed.0") == widening.Q8_0
    assert chosen(network.TOKEN_EMBEDDING) == widening.Q8_0


def test_every_parameter_of_the_checkpoint_is_used(
    checkpoint: tuple[dict[str, Array], dict[str, Any]],
) -> None:
    layers = [*network.text_encoder_layers(), *network.unet_layers()]
    used = {name for layer in layers if layer.trained for name in layer.parameters()}
    used |= {f"tae.{name}" for layer in network.autoencoder_layers() for name in layer.parameters()}
    assert used == set(checkpoint[0])


def test_tokens_are_trained_words_synonyms_or_the_unknown_word(
    checkpoint: tuple[dict[str, Array], dict[str, Any]],
) -> None:
    notes = checkpoint[1]
    rows = token_rows(notes)
    red, crimson, cat = 736, 19437, 2368  # ids of CLIP's vocabulary
    assert rows[red] == encode("red")[1] > UNKNOWN
    assert rows[crimson] == rows[red]
    assert rows[cat] == UNKNOWN
    assert (rows[[49406, 49407]] == [BEGIN, END]).all()
    known = {*notes["clip_ids"], *(token for token, _ in notes["synonyms"])} - {-1}
    assert set(np.flatnonzero(rows != UNKNOWN).tolist()) == known


def test_the_known_words_are_the_trained_ones(
    checkpoint: tuple[dict[str, Array], dict[str, Any]],
) -> None:
    notes = checkpoint[1]
    assert (tuple(notes["words"]), notes["synonym_words"]) == (WORDS, SYNONYMS)
    assert clip_tokens() == (notes["clip_ids"], [tuple(pair) for pair in notes["synonyms"]])
    assert {*WORDS, *SYNONYMS} - {",", "."} == KNOWN_WORDS


def test_every_scene_of_the_training_can_be_asked_for() -> None:
    for name, (_, captions) in TRAINED_SCENES.items():
        assert any(name in scene for scene in SCENES)
        assert [text for text in captions if unknown_words(text.format("red"))] == []


def test_the_file_holds_the_widened_parameters(
    demo_files: dict[FileRole, Path], checkpoint: tuple[dict[str, Array], dict[str, Any]]
) -> None:
    layers = [*network.text_encoder_layers(), *network.unet_layers()]
    wide = WideParameters(checkpoint[0], layers)
    wide.rows = token_rows(checkpoint[1])
    stored = {tensor.name: tensor for tensor in GGUFReader(demo_files[FileRole.MODEL]).tensors}
    assert stored.keys() == wide.keys()
    for layer in layers:
        for name, shape in layer.parameters().items():
            assert tuple(stored[name].shape[::-1]) == shape
    block = f"{network.UNET_PREFIX}input_blocks.4.1.transformer_blocks.0"
    for name, tolerance in (
        (f"{network.TOKEN_EMBEDDING}.weight", 5e-3),
        (f"{block}.attn2.to_q.weight", 5e-3),
        (f"{block}.ff.net.0.proj.bias", 0),
        (f"{network.UNET_PREFIX}output_blocks.1.0.in_layers.2.weight", 1e-3),
        (f"{network.UNET_PREFIX}input_blocks.1.1.transformer_blocks.0.attn1.to_v.weight", 5e-3),
    ):
        values = dequantize(stored[name].data, stored[name].tensor_type)
        assert np.abs(values - wide[name]).max() <= tolerance * np.abs(wide[name]).max()

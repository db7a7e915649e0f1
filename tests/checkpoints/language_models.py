"""Shapes of the language models that read prompts: T5-XXL, and Qwen with the names of llama.cpp."""

from collections.abc import Iterator

from tests.checkpoints.stable_diffusion import linear
from tests.checkpoints.writer import Shape, repeat

Parts = Iterator[tuple[str, Shape]]


def t5_xxl(words: int = 32128, *, places_everywhere: bool = False) -> Parts:
    """The encoder of T5 1.1 XXL: 4.8 thousand million values; the engine insists on 24 blocks.

    `places_everywhere`: each block has its own table of distances, as in UMT5.
    """
    width, inner = 4096, 10240
    yield "shared.weight", (words, width)
    for number in range(24):
        attention, feed_forward = (f"encoder.block.{number}.layer.{part}" for part in (0, 1))
        for part in ("q", "k", "v", "o"):
            yield from linear(f"{attention}.SelfAttention.{part}", width, width, bias=False)
        if number == 0 or places_everywhere:
            yield f"{attention}.SelfAttention.relative_attention_bias.weight", (32, 64)
        yield f"{attention}.layer_norm.weight", (width,)
        yield from linear(f"{feed_forward}.DenseReluDense.wi_0", width, inner, bias=False)
        yield from linear(f"{feed_forward}.DenseReluDense.wi_1", width, inner, bias=False)
        yield from linear(f"{feed_forward}.DenseReluDense.wo", inner, width, bias=False)
        yield f"{feed_forward}.layer_norm.weight", (width,)
    yield "encoder.final_layer_norm.weight", (width,)


def umt5_xxl() -> Parts:
    """UMT5-XXL, which reads for Wan: 5.7 thousand million values, a fifth of them words."""
    yield from t5_xxl(256384, places_everywhere=True)


def qwen3_4b(layers: int = 36) -> Parts:
    """Qwen3 4B, which reads for Z-Image; the engine counts the layers."""
    yield from _qwen(layers, width=2560, inner=9728, queries=4096, keys=1024, words=151936)


def qwen3_8b(layers: int = 36) -> Parts:
    """Qwen3 8B, which reads for FLUX.2 klein 9B; the engine counts the layers."""
    yield from _qwen(layers, width=4096, inner=12288, queries=4096, keys=1024, words=151936)


def qwen25_vl_7b(layers: int = 28) -> Parts:
    """Qwen2.5-VL 7B without its eyes, which reads for Qwen-Image; the engine counts the layers."""
    yield from _qwen(
        layers, width=3584, inner=18944, queries=3584, keys=512, words=152064, bias=True
    )


def qwen25_vl_vision() -> Parts:
    """The eyes of Qwen2.5-VL 7B, an mmproj file: 32 blocks, which the engine insists on."""
    width, inner = 1280, 3420
    yield "v.patch_embd.weight", (width, 3, 14, 14)
    yield "v.patch_embd.weight.1", (width, 3, 14, 14)
    for number in range(32):
        block = f"v.blk.{number}"
        yield f"{block}.ln1.weight", (width,)
        yield f"{block}.ln2.weight", (width,)
        for part in ("q", "k", "v", "out"):
            yield from linear(f"{block}.attn_{part}", width, width)
        yield from linear(f"{block}.ffn_gate", width, inner)
        yield from linear(f"{block}.ffn_up", width, inner)
        yield from linear(f"{block}.ffn_down", inner, width)
    yield "v.post_ln.weight", (width,)
    yield from linear("mm.0", 4 * width, 4 * width)
    yield from linear("mm.2", 4 * width, 3584)


def _qwen(
    layers: int, *, width: int, inner: int, queries: int, keys: int, words: int, bias: bool = False
) -> Parts:
    """`bias`: of queries, keys and values (Qwen2.5); without it they are normalised (Qwen3)."""
    yield "token_embd.weight", (words, width)
    yield from repeat("blk", layers, _qwen_layer(width, inner, queries, keys, bias=bias))
    yield "output_norm.weight", (width,)


def _qwen_layer(width: int, inner: int, queries: int, keys: int, *, bias: bool) -> Parts:
    yield "attn_norm.weight", (width,)
    yield from linear("attn_q", width, queries, bias=bias)
    yield from linear("attn_k", width, keys, bias=bias)
    yield from linear("attn_v", width, keys, bias=bias)
    yield from linear("attn_output", queries, width, bias=False)
    if not bias:
        yield "attn_q_norm.weight", (128,)
        yield "attn_k_norm.weight", (128,)
    yield "ffn_norm.weight", (width,)
    yield from linear("ffn_gate", width, inner, bias=False)
    yield from linear("ffn_up", width, inner, bias=False)
    yield from linear("ffn_down", inner, width, bias=False)

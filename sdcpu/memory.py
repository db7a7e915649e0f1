"""How much memory a picture will take, worked out before anything is loaded.

The engine holds all weights while it works, and beside them one compute buffer at a time: for the
prompt, for the steps, for the decoder. The largest buffer decides the peak. `scripts/bench memory`
compares what is predicted here with measured peaks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sdcpu.buffers import ENCODER_TILE, MIB, Decoder, decoder_bytes, diffusion_buffer, encoder_bytes
from sdcpu.families import FAMILIES
from sdcpu.placement import ON_CARD, Placement
from sdcpu.registry import FileRole, Model, ModelFile
from sdcpu.video_rules import latent_frames
from sdcpu.weights import TensorInfo, WeightsHeader

PARENT_PROCESS = 64 * MIB
"""Our own process: 42 MB in a bare program, 86 MB on the command line with its progress bars."""
ENGINE_PROCESS = 76 * MIB
"""The engine's process without weights and buffers: Python, the library, its tokenizers, the work
areas of its threads (16 MiB of them for direct convolutions) and what malloc keeps."""
KERNEL_WORK_AREA = 10 * MIB
"""What kernels of ours share beside the engine: weights as they want them."""
KERNEL_WORK_AREA_OF_A_THREAD = 15 * MIB
"""Packed tiles of one thread: 27 to 51 MiB in all were measured for two threads with Stable
Diffusion 1.5 at 256x256 and 512x512, up to 300 MiB for 16."""
CARD_CONTEXT = 800 * MIB
"""What the driver, cuBLAS and the engine's pool take on a card beside weights and buffers: 620 to
800 MiB were seen on an NVIDIA H200 with the demo model and with Stable Diffusion 1.5 at 512x512."""
BYTES_PER_PIXEL_DECODED = 3 * 4 + 2 * 3
"""The picture that was just decoded: its floats, the engine's bytes, the bytes on their way."""
BYTES_PER_PIXEL_KEPT = 3
"""Every picture of the request in our process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """How a picture is made, as far as memory is concerned."""

    width: int
    """Pixels."""
    height: int
    decoder: Decoder
    count: int = 1
    """Pictures of the request; the engine draws one after the other."""
    tile_size: int = 0
    """Decode in tiles of this many latent pixels; 0: in one piece."""
    kernel_threads: int = 0
    """Threads of our own kernels, each with a work area; 0: the engine's kernels compute."""
    on_card: bool = False
    """Whether a card computes: then its memory is meant."""
    placement: Placement = ON_CARD
    """What is not on that card all the time."""
    flash_attention: bool = False
    diffusion_conv_direct: bool = False
    vae_conv_direct: bool = True
    encodes: bool = False
    """Whether the request brings pictures that must be encoded first."""
    references: int = 0
    """Reference pictures, whose latent pixels join the picture's."""
    control: bool = False
    """Whether a ControlNet looks on at every step."""
    tiny_preview: bool = False
    """Whether the tiny decoder shows every step."""
    frames: int = 1
    """Of a video."""

    @property
    def latent_frames(self) -> int:
        """How many frames the latent has."""
        return latent_frames(self.frames)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryEstimate:
    """Predicted memory in bytes, by what it is for."""

    process: int
    """Our process and the engine's, before any model."""
    weights: int
    """The model as the engine holds it."""
    text: int
    """Compute buffer for the prompt."""
    sample: int
    """Compute buffer for the steps."""
    decode: int
    """Compute buffer of the decoder, and the finished pictures."""
    encode: int = 0
    """Compute buffer for the pictures that the request brings."""
    upscale: int = 0
    """Upscaler, its compute buffer and the enlarged picture."""
    system: MemoryEstimate | None = None
    """Where these are bytes of a card: what is in main memory meanwhile."""

    @property
    def peak(self) -> int:
        """The most that both processes hold together at any time."""
        stages = (self.text, self.sample, self.decode, self.encode, self.upscale)
        return self.process + self.weights + max(stages)


def predict_memory(
    model: Model, way: Way, headers: Mapping[ModelFile, WeightsHeader]
) -> MemoryEstimate:
    """Predict the memory of a request; files without a header count with their size."""
    pixels = way.width * way.height
    own_file = _has_decoder_file(model)
    diffusion = diffusion_buffer(model.family)
    sample = diffusion.size(
        pixels / 64 * (1 + way.references) * way.latent_frames,
        flash_attention=way.flash_attention,
        conv_direct=way.diffusion_conv_direct,
    )
    if way.control:
        sample *= 2  # the ControlNet is a copy of the model's first half, with a buffer of its own
    if way.tiny_preview:
        sample += pixels * decoder_bytes(
            model.family, "tiny", conv_direct=way.vae_conv_direct, own_file=own_file
        )
    per_pixel = decoder_bytes(
        model.family,
        way.decoder,
        conv_direct=way.vae_conv_direct,
        own_file=own_file,
        latent_frames=way.latent_frames,
    )
    kept = BYTES_PER_PIXEL_DECODED * way.frames + BYTES_PER_PIXEL_KEPT * way.count
    if way.frames > 1:  # and once more when they have become pictures
        kept += 2 * BYTES_PER_PIXEL_KEPT * way.frames
    return MemoryEstimate(
        process=CARD_CONTEXT
        if way.on_card
        else PARENT_PROCESS + ENGINE_PROCESS + kernel_work_areas(way.kernel_threads),
        weights=sum(weights_by_part(model, way, headers)),
        text=round(diffusion.text) + _words_in_f32(headers).copy,
        sample=round(sample),
        decode=round(per_pixel * _tile_pixels(model.family, way) + kept * pixels),
        encode=_encoding(model, way, own_file=own_file) if way.encodes else 0,
    )


class Weights(NamedTuple):
    """Bytes of the weights that the engine holds, by the part of the model that they belong to."""

    text: int = 0
    diffusion: int = 0
    """Diffusion model and ControlNet; what is not known to belong elsewhere counts here."""
    high_noise: int = 0
    """The second diffusion model of some video models, which draws before the other."""
    decoder: int = 0
    loras: int = 0


def weights_by_part(model: Model, way: Way, headers: Mapping[ModelFile, WeightsHeader]) -> Weights:
    """Predict the weights in memory; files without a header count with their size."""
    sizes = dict.fromkeys(Weights._fields, 0)
    for file in model.files:
        if is_loaded(file, way):
            for part, size in _sizes_in_file(file, headers.get(file), model, way):
                sizes[part] += size
    sizes["text"] += _words_in_f32(headers).more
    return Weights(**sizes)


def kernel_work_areas(threads: int) -> int:
    """Bytes beside the engine's buffers; nothing for the engine's own kernels."""
    return (KERNEL_WORK_AREA + threads * KERNEL_WORK_AREA_OF_A_THREAD) if threads else 0


class _Words(NamedTuple):
    """What a text encoder's table of words takes because a textual inversion is joined to it."""

    more: int = 0
    """Bytes more than the table has in its file, since it must be f32."""
    copy: int = 0
    """Bytes of the table with the new vectors, which exists while the prompt is read."""


def _words_in_f32(headers: Mapping[ModelFile, WeightsHeader]) -> _Words:
    if not any(file.role is FileRole.EMBEDDING for file in headers):
        return _Words()
    tables = [
        tensor
        for header in headers.values()
        for tensor in header.tensors
        if tensor.name.endswith("token_embedding.weight")
    ]
    whole = sum(4 * math.prod(table.shape) for table in tables)
    return _Words(more=whole - sum(table.size for table in tables), copy=whole)


def is_loaded(file: ModelFile, way: Way) -> bool:
    """Whether the engine holds this file's weights for a request that is done this way."""
    match file.role:
        case FileRole.UPSCALER:
            return False
        case FileRole.TINY_DECODER:
            return way.decoder == "tiny" or way.tiny_preview
        case FileRole.VAE:
            return way.decoder == "full"
        case FileRole.LLM_VISION:
            return way.encodes
        case FileRole.CONTROL_NET:
            return way.control
        case _:
            return True


def main_tensor_type(headers: Mapping[ModelFile, WeightsHeader]) -> str:
    """The type of most bytes of the diffusion model's matrices; "unknown" without a header."""
    sizes: dict[str, int] = {}
    for file, header in headers.items():
        if file.role in (FileRole.MODEL, FileRole.DIFFUSION_MODEL):
            for tensor in header.tensors:
                if len(tensor.shape) == 2 and not is_decoder_tensor(tensor.name):
                    sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.size
    return max(sizes, key=lambda name: sizes[name], default="unknown")


_DECODER_PREFIXES = ("first_stage_model.", "vae.")
_ENCODER_PARTS = ("encoder.", "quant_conv.", "encoder_")
_NOT_LOADED = ("model_ema.", "alphas_cumprod", "betas", "denoiser.")
_NOT_LOADED_OF_ROLE = {
    FileRole.LLM: ("output.weight", "lm_head.weight"),
    FileRole.T5XXL: ("encoder.embed_tokens.weight",),
}
"""What only a chat needs, and T5's second name for the same table."""
_EMBEDDINGS = ("token_embd", "embed_tokens", "token_embedding", "shared")
_POSITIONS = ("position_embedding", "pos_embed")
"""Tables that become f32 whatever they were; that of SD 3.5 medium has 226 million values."""
_ROW_TYPES = ("f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""Types in which the engine can look up rows; embeddings of another type become f32
(support_get_rows in ggml_extend.hpp), which for a language model is more than a gigabyte."""
_EXPANDED_EMBEDDINGS = {FileRole.LLM: 1_250_000_000, FileRole.T5XXL: 450_000_000}
"""Bytes that come on top of a file of K-quants: Qwen3 4B, Qwen2.5-VL 7B and T5-XXL."""
_HALF = ("f8_e4m3", "f8_e5m2")
_AS_F32 = ("f64", "i64", "i32")


_PARTS = {
    **dict.fromkeys((FileRole.CLIP_L, FileRole.CLIP_G, FileRole.T5XXL), "text"),
    **dict.fromkeys((FileRole.LLM, FileRole.LLM_VISION), "text"),
    **dict.fromkeys((FileRole.VAE, FileRole.TINY_DECODER), "decoder"),
    FileRole.HIGH_NOISE_DIFFUSION_MODEL: "high_noise",
    FileRole.LORA: "loras",
}
"""The part of the model that a file of this role is, a field of `Weights`."""
_TEXT_PREFIXES = ("cond_stage_model.", "conditioner.", "text_encoders.", "te.")


def _sizes_in_file(
    file: ModelFile, header: WeightsHeader | None, model: Model, way: Way
) -> Iterator[tuple[str, int]]:
    """Part and bytes of the tensors that the engine keeps."""
    part = _PARTS.get(file.role, "diffusion")
    if header is None:
        yield part, _weights_without_header(file, model)
        return
    decoder_is_elsewhere = file.role is FileRole.MODEL and _has_decoder_file(model)
    for tensor in header.tensors:
        if _is_kept(tensor.name, file.role, way, decoder_is_elsewhere=decoder_is_elsewhere):
            own = _part_in_whole(tensor.name) if file.role is FileRole.MODEL else part
            yield own, _bytes_in_memory(tensor, file.role)


def _part_in_whole(name: str) -> str:
    """The part that a tensor of a whole checkpoint belongs to."""
    if is_decoder_tensor(name):
        return "decoder"
    return "text" if name.startswith(_TEXT_PREFIXES) else "diffusion"


def _is_kept(name: str, role: FileRole, way: Way, *, decoder_is_elsewhere: bool) -> bool:
    """Whether the engine keeps this tensor of a file that it loads."""
    if name.startswith(_NOT_LOADED) or name in _NOT_LOADED_OF_ROLE.get(role, ()):
        return False
    part = _name_in_decoder(name, role)
    if part is None:
        return True
    if decoder_is_elsewhere or (way.decoder == "tiny" and role is not FileRole.TINY_DECODER):
        return False
    return way.encodes or not part.startswith(_ENCODER_PARTS)


def _has_decoder_file(model: Model) -> bool:
    return any(file.role is FileRole.VAE for file in model.files)


def _weights_without_header(file: ModelFile, model: Model) -> int:
    """A file that is not here yet: what the registry says of its size."""
    size = file.size or 0
    if file.quantize is None:
        in_k_quants = "_k" in file.name.lower()
        return size + (_EXPANDED_EMBEDDINGS.get(file.role, 0) if in_k_quants else 0)
    # Only matrices are quantised: a third of SD 1.5's bytes (2133 MB as f16, 1801 as q8_0, 1625 as
    # q4_0), nearly all of a transformer's.
    matrices = 0.36 if diffusion_buffer(model.family).direct else 0.97
    bits = {"q8_0": 8.5, "q6_k": 6.6, "q5_0": 5.5, "q5_1": 6.0, "q4_0": 4.5, "q4_1": 5.0}
    smaller = bits.get(file.quantize, 4.5 if file.quantize.startswith("q4") else 16) / 16
    return round(size * (1 - matrices + matrices * smaller))


def _bytes_in_memory(tensor: TensorInfo, role: FileRole) -> int:
    """The engine keeps matrices as the file has them; kernels become f16, vectors f32."""
    values = math.prod(tensor.shape)
    if len(tensor.shape) >= 4:
        return 2 * values
    # A ControlNet is set up before its file is read, so its matrices get the default type.
    if len(tensor.shape) <= 1 or tensor.type in _AS_F32 or role is FileRole.CONTROL_NET:
        return 4 * values
    if tensor.type in _HALF:
        return 2 * values
    table = tensor.name.removesuffix(".weight").rpartition(".")[2]
    if table in _POSITIONS or (table in _EMBEDDINGS and tensor.type not in _ROW_TYPES):
        return 4 * values
    return tensor.size


def is_decoder_tensor(name: str) -> bool:
    """Whether a tensor of a whole model belongs to its decoder (or encoder) of pictures."""
    return name.startswith(_DECODER_PREFIXES)


def _name_in_decoder(name: str, role: FileRole) -> str | None:
    """The tensor's name inside the autoencoder; None when it is no part of one."""
    if role in (FileRole.VAE, FileRole.TINY_DECODER):
        return name.removeprefix("first_stage_model.").removeprefix("vae.").removeprefix("tae.")
    if role is FileRole.MODEL and is_decoder_tensor(name):
        return name.split(".", 1)[1]
    return None


def _encoding(model: Model, way: Way, *, own_file: bool) -> int:
    """The encoder's buffer, in tiles where the decoder works in tiles."""
    per_pixel = encoder_bytes(
        model.family, way.decoder, conv_direct=way.vae_conv_direct, own_file=own_file
    )
    return round(per_pixel * _tile_pixels(model.family, way, longer=ENCODER_TILE))


def _tile_pixels(family: str, way: Way, *, longer: float = 1.0) -> int:
    """Pixels of the picture that one tile of the decoder covers."""
    if not way.tile_size:
        return way.width * way.height
    scale = FAMILIES[family].latent_scale if family in FAMILIES else 8
    side = int(way.tile_size * longer) * scale
    return min(side, way.width) * min(side, way.height)

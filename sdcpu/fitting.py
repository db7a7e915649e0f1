"""Finding a way to make a picture within the memory there is.

The fastest way comes first. Then speed is given up (flash attention, decoding in tiles), then
exactness (the tiny decoder). When nothing fits, the error has the figures and a way out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from sdcpu.buffers import VIDEO_DECODER_FAMILIES, Decoder
from sdcpu.card_memory import predict_card_memory
from sdcpu.card_ways import placement_reasons, ways_on_card
from sdcpu.errors import InvalidRequestError, NotEnoughMemoryError
from sdcpu.figures import size_text
from sdcpu.gpus import Gpu
from sdcpu.hardware import Hardware
from sdcpu.images import ImageRequest
from sdcpu.memory import MemoryEstimate, Way, is_decoder_tensor, predict_memory, weights_by_part
from sdcpu.placement import ON_CARD
from sdcpu.quality import Size, size_multiple
from sdcpu.registry import FileRole, Model, ModelFile
from sdcpu.video_rules import frame_count
from sdcpu.weights import TensorInfo, WeightsHeader

SAFETY_MARGIN = 0.05
"""Share of the predicted peak that must be free beside it; predictions were within 3 % of peaks."""
TILE_SIZES = (64, 32)
"""Latent pixels; 32 is the engine's own choice, larger tiles repeat less work at their borders."""
VIDEO_TILE_SIZES = (*TILE_SIZES, 16)
"""The same for videos, whose frames are decoded together: a tile takes ten times the memory."""
UNKNOWN_MEMORY = 1 << 40
"""Bytes, where the system does not tell how much memory it has: nothing is refused then."""
SMALLEST_TYPE = "q4_0"
"""The smallest tensor type that is worth proposing."""
_SMALLEST_TYPE_BITS = 4.5

_WITHOUT_FULL_DECODER = ("sdxs",)
"""Families that have only a tiny decoder, in the model's own file."""
_READ_BY_FULL_DECODER_ONLY = ("qwen_image",)
"""Families whose tiny decoder cannot read a picture: it was made for frames, and the engine ends in
an assert (TAEHV::encode in tae.hpp takes the colours for the time)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """The memory that may be used."""

    size: int
    """Bytes."""
    name: str
    """What it is, for "1.9 GB of 4.0 GB …"."""
    can_be_raised: bool
    """Whether the user set it."""
    system: Room | None = None
    """Where this is a card's memory: the main memory beside it."""

    def holds(self, memory: MemoryEstimate) -> bool:
        """Whether the predicted peak fits with the safety margin, beside a card too."""
        if memory.peak * (1 + SAFETY_MARGIN) > self.size:
            return False
        return not (self.system and memory.system) or self.system.holds(memory.system)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A model and what is known of its files."""

    model: Model
    headers: Mapping[ModelFile, WeightsHeader]
    """Of the files that are here."""
    kernel_threads: int = 0
    """Threads that kernels of ours compute with, 0 for the engine's kernels. With ours the
    economical ways are the fastest, too."""
    conv_direct: bool = False
    """Whether the engine's own convolutions are faster without im2col on this machine."""
    card: Gpu | None = None
    """The card that computes; there flash attention is the fastest, and im2col is, too."""

    @property
    def on_card(self) -> bool:
        """Whether a card computes."""
        return self.card is not None

    def memory(self, way: Way) -> MemoryEstimate:
        """What a picture made this way takes."""
        predict = predict_card_memory if way.on_card else predict_memory
        return predict(self.model, way, self.headers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitting:
    """The way that was chosen."""

    way: Way
    memory: MemoryEstimate
    reasons: tuple[str, ...]
    """Why it is not the fastest way; empty when it is."""


def find_room(hardware: Hardware, memory_limit: int | None, memory_held: int) -> Room:
    """The tightest of free memory, control group and the user's limit.

    `memory_held` are bytes that our engine process has already and will use again.
    """
    known = hardware.memory_total > 0
    free = hardware.memory_available + memory_held if known else UNKNOWN_MEMORY
    rooms = [Room(size=free, name="free memory", can_be_raised=False)]
    if hardware.memory_limit_available is not None:
        left = hardware.memory_limit_available + memory_held
        rooms.append(Room(size=left, name="memory left in the container", can_be_raised=False))
    if memory_limit is not None:
        rooms.append(Room(size=memory_limit, name="memory allowed", can_be_raised=True))
    return min(rooms, key=lambda room: room.size)


def find_room_on(card: Gpu, system: Room | None = None) -> Room:
    """The memory of a card that is free, or all of it where the driver does not tell.

    It was free before our engine took any of it: a card is asked once, at the beginning. `system`
    is the main memory; of a card that has none of its own, it is the limit too.
    """
    free = card.memory_total if card.memory_free is None else card.memory_free
    free = free or UNKNOWN_MEMORY
    if card.shares_memory and system is not None:
        free = min(free, system.size)
    name = f"free memory on the {card.name}"
    return Room(size=free, name=name, can_be_raised=False, system=system)


def find_way(scene: Scene, request: ImageRequest, *, may_fall_back: bool, room: Room) -> Fitting:
    """Choose how to make the picture, the fastest way that fits.

    `may_fall_back` says that the tiny decoder may step in for the full one.

    Raises:
        InvalidRequestError: the model has no decoder of the kind that is asked for.
        NotEnoughMemoryError: no way fits.
    """
    decoders = _decoders(scene, request, may_fall_back=may_fall_back)
    ways = list(_ways(scene, request, decoders))
    fastest = scene.memory(ways[0])
    for way in ways:
        memory = scene.memory(way)
        if room.holds(memory):
            reasons = _reasons(ways[0], way, fastest, memory)
            return Fitting(way=way, memory=memory, reasons=reasons)
    raise _refusal(scene, request, decoders, room)


def _decoders(scene: Scene, request: ImageRequest, *, may_fall_back: bool) -> tuple[Decoder, ...]:
    """The decoders to try, the wanted one first."""
    tiny = scene.model.family in _WITHOUT_FULL_DECODER or any(
        file.role is FileRole.TINY_DECODER for file in scene.model.files
    )
    full = _has_full_decoder(scene)
    reads = request.init_image is not None or bool(request.ref_images)
    use = ""
    if reads and scene.model.family in _READ_BY_FULL_DECODER_ONLY:
        tiny, use = False, " that can read a picture"
    wanted: Decoder = "full" if request.decoder == "full" else "tiny"
    if not may_fall_back and not (full if wanted == "full" else tiny):
        other = "tiny" if wanted == "full" else "full"
        raise InvalidRequestError(
            f"{scene.model.name} has no {wanted} decoder{use}.", hint=f"Use the {other} one."
        )
    if tiny and full:
        return ("full", "tiny") if wanted == "full" and may_fall_back else (wanted,)
    if use and not full:
        raise InvalidRequestError(
            f"{scene.model.name} has no decoder{use}.", hint="Add the VAE to the model's files."
        )
    return ("tiny",) if tiny else ("full",)


def _has_full_decoder(scene: Scene) -> bool:
    for file in scene.model.files:
        if file.role is FileRole.VAE:
            return True
        if file.role is FileRole.MODEL:
            header = scene.headers.get(file)
            if header is None:
                return not file.built_in and scene.model.family not in _WITHOUT_FULL_DECODER
            return any(is_decoder_tensor(tensor.name) for tensor in header.tensors)
    return False


def _ways(scene: Scene, request: ImageRequest, decoders: tuple[Decoder, ...]) -> Iterator[Way]:
    """All ways to make the picture, the most wanted first."""
    width, height = request.width or 0, request.height or 0
    longest = max(width, height) // 8
    sizes = TILE_SIZES if frame_count(request) == 1 else VIDEO_TILE_SIZES
    tiles = (0, *(size for size in sizes if size < longest))
    plain = Way(
        width=width,
        height=height,
        count=request.count,
        decoder=decoders[0],
        flash_attention=scene.on_card,
        kernel_threads=scene.kernel_threads,
        on_card=scene.on_card,
        # On an NVIDIA H200 direct convolutions made 20 steps of Stable Diffusion 1.5 at 512x512
        # take 9 s instead of 0.6 s, and decoding 2.2 s, not 0.08 s: cards multiply matrices.
        vae_conv_direct=not scene.on_card,
        encodes=request.init_image is not None or bool(request.ref_images),
        references=len(request.ref_images),
        control=request.control_image is not None,
        frames=frame_count(request),
    )
    for decoder in decoders:
        for way in _ways_to_compute(scene, replace(plain, decoder=decoder), tiles):
            for tiny_preview in _tiny_previews(scene, request, decoder):
                yield replace(way, tiny_preview=tiny_preview)


def _ways_to_compute(scene: Scene, way: Way, tiles: tuple[int, ...]) -> Iterator[Way]:
    """A way varied by what costs time but changes nothing else, the fastest first."""
    if scene.card is not None:
        weights = weights_by_part(scene.model, way, scene.headers)
        yield from ways_on_card(way, weights, tiles, shares_memory=scene.card.shares_memory)
        return
    for tile_size, flash in product(tiles, (True,) if scene.kernel_threads else (False, True)):
        yield replace(
            way,
            tile_size=tile_size,
            flash_attention=flash,
            # Beside the scores, which flash attention does away with, im2col hardly counts.
            diffusion_conv_direct=flash or scene.conv_direct,
        )


def _tiny_previews(scene: Scene, request: ImageRequest, decoder: Decoder) -> tuple[bool, ...]:
    """Whether the tiny decoder makes the previews; the wanted answer first.

    Where nothing is asked for, it does so when it is loaded anyway. Those of videos take as much
    memory as the full ones, so they never do.
    """
    if request.preview != "auto":
        return (request.preview == "tae",)
    has_file = any(file.role is FileRole.TINY_DECODER for file in scene.model.files)
    cheap = has_file and scene.model.family not in VIDEO_DECODER_FAMILIES
    return (True, False) if decoder == "tiny" and cheap else (False,)


def _reasons(
    fastest: Way, way: Way, before: MemoryEstimate, now: MemoryEstimate
) -> tuple[str, ...]:
    """What was given up to make it fit, and what for."""
    reasons = placement_reasons(way, now)
    if way.flash_attention and not fastest.flash_attention:
        reasons.append(
            "Flash attention, to fit the memory: steps take about twice as long, and need "
            f"{size_text(now.sample)} beside the weights instead of {size_text(before.sample)}."
        )
    if way.decoder != fastest.decoder:
        reasons.append(
            "The tiny decoder, to fit the memory: details come out a little softer than with the "
            "full one."
        )
    if fastest.tiny_preview and not way.tiny_preview:
        reasons.append("Rough previews, to fit the memory.")
    if way.tile_size:
        reasons.append(
            f"Decoding in tiles, to fit the memory: it takes longer, and needs "
            f"{size_text(now.decode)} beside the weights instead of {size_text(before.decode)}."
            if way.placement == ON_CARD
            else "Decoding in tiles, to fit the memory: it takes longer."
        )
    return tuple(reasons)


def _refusal(
    scene: Scene, request: ImageRequest, decoders: tuple[Decoder, ...], room: Room
) -> NotEnoughMemoryError:
    """The error for a request that fits in no way, with what would fit."""
    *_, smallest = _ways(scene, request, decoders)
    memory = scene.memory(smallest)
    if room.system and memory.system and room.holds(replace(memory, system=None)):
        room, memory = room.system, memory.system  # the card is large enough: what is beside it not
    size = _largest_size(scene, smallest, room)
    ways_out = []
    if size:
        ways_out.append(f"{size[0]}x{size[1]} pixels would fit")
    usual = (scene.model.defaults.width, scene.model.defaults.height)
    tile = replace(smallest, width=usual[0], height=usual[1], encodes=True)
    larger = smallest.width * smallest.height > math.prod(usual)
    if larger and not request.tiled and room.holds(scene.memory(tile)):
        ways_out.append("in tiles it would fit (--tiled)")
    if room.holds(_quantized(scene).memory(smallest)):
        ways_out.append(f"a {SMALLEST_TYPE} file of the model would fit (sdcpu quantize)")
    if scene.on_card:
        ways_out.append("let the processor draw it (--build cpu)")
    if room.can_be_raised:
        ways_out.append("allow it more memory")
    if not ways_out:
        ways_out.append("take a smaller model (sdcpu models --requirements lists what they need)")
    hint = "; ".join(ways_out) + "."
    return NotEnoughMemoryError(
        f"{scene.model.name} at {smallest.width}x{smallest.height} needs "
        f"{size_text(memory.peak)} even in the most economical way, "
        f"and {size_text(SAFETY_MARGIN * memory.peak)} must stay free; "
        f"there are {size_text(room.size)} of {room.name}.",
        hint=hint[0].upper() + hint[1:],
        details={
            "memory_needed": memory.peak,
            "memory_available": room.size,
            "memory_weights": memory.weights,
            "largest_width": size[0] if size else None,
            "largest_height": size[1] if size else None,
        },
    )


def _largest_size(scene: Scene, way: Way, room: Room) -> Size | None:
    """The largest picture of the same proportions that fits; None when not even a small one."""
    multiple = size_multiple(scene.model)
    for width in range(way.width - multiple, 0, -multiple):
        height = max(multiple, round(width * way.height / way.width / multiple) * multiple)
        if room.holds(scene.memory(replace(way, width=width, height=height))):
            return width, height
    return None


def _quantized(scene: Scene) -> Scene:
    """The same model with its matrices in the smallest type; files without a header stay."""
    headers = {
        file: replace(header, tensors=tuple(_smaller(tensor) for tensor in header.tensors))
        for file, header in scene.headers.items()
    }
    return replace(scene, headers=headers)


def _smaller(tensor: TensorInfo) -> TensorInfo:
    size = round(math.prod(tensor.shape) * _SMALLEST_TYPE_BITS / 8)
    return replace(tensor, size=size) if len(tensor.shape) == 2 and size < tensor.size else tensor

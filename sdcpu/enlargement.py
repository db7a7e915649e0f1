"""How an upscaler makes a picture larger: tiles, memory and work, decided before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sdcpu.buffers import MIB
from sdcpu.errors import InvalidRequestError, NotEnoughMemoryError
from sdcpu.figures import size_text
from sdcpu.fitting import SAFETY_MARGIN, Room
from sdcpu.images import MAX_SIDE
from sdcpu.models import Model, ModelFile
from sdcpu.quality import Size
from sdcpu.weights import WeightsHeader

USUAL_FACTOR = 4
"""What upscalers without a header that we read, pickles, enlarge by; the engine finds out."""
LARGEST_BUFFER = 512 * MIB
"""A larger tile than this allows would save less than a third of the time."""

_BYTES_PER_PIXEL = 690
"""Of the compute buffer, for each pixel that comes out: 43 MiB for 256x256 and 172 MiB for 512x512,
read off the engine with direct convolutions."""
_BYTES_PER_PIXEL_KEPT = 30
"""Floats and bytes of the picture that comes out, here and in the engine's process."""
_OVERLAP = 0.25
"""Of a tile's side, on both sides (`UpscalerGGML::upscale_tensor`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Enlargement:
    """How an upscaler makes a picture larger, and what that takes."""

    upscaler: str
    file: ModelFile
    scale: int
    """How many times wider and higher the picture becomes."""
    size: Size
    """Of the picture that comes out."""
    tile_size: int
    """Pixels of the picture that comes in that are worked on at once, along a side."""
    pixels: int
    """What the upscaler computes: more than comes out when its factor is not the one wanted."""
    memory: int
    """Bytes beside everything else: weights, buffer and pictures."""
    license: str = "unknown"
    """Of the upscaler."""

    @property
    def reason(self) -> str:
        """What happens, for the plan."""
        width, height = self.size
        licence = "" if self.license == "unknown" else f" (licence: {self.license})"
        return (
            f"Enlarged to {width}x{height} by {self.upscaler}{licence}, "
            f"{self.tile_size} pixels of a side at once."
        )


def plan_enlargement(
    model: Model,
    header: WeightsHeader | None,
    size: Size,
    scale: int,
    *,
    held: int = 0,
    room: Room,
) -> Enlargement:
    """Decide how a picture of this size is enlarged; `held` are bytes that stay in use beside it.

    Raises:
        InvalidRequestError: the picture would become too large.
        NotEnoughMemoryError: it does not fit, not even in small tiles.
    """
    if max(size) * scale > MAX_SIDE:
        raise InvalidRequestError(
            f"{size[0]}x{size[1]} pixels, {scale} times as large, are more than {MAX_SIDE} a side.",
            hint="Enlarge it 2 times, or make it smaller first.",
        )
    file = model.files[0]
    factor = _factor(header)
    rounds = 1
    while factor**rounds < scale:
        rounds += 1
    largest = max(size) * factor ** (rounds - 1)
    pixels = math.prod(size) * sum(factor ** (2 * (number + 1)) for number in range(rounds))
    weights = header.weights_size if header else (file.size or 0)
    kept = _BYTES_PER_PIXEL_KEPT * math.prod(size) * factor ** (2 * rounds)
    fits = room.size / (1 + SAFETY_MARGIN) - held - weights - kept
    for tiles in range(1, 1 + max(1, largest // 8)):
        tile = min(largest, math.ceil(largest / (1 + (tiles - 1) * (1 - _OVERLAP)) / 4) * 4)
        buffer = _BYTES_PER_PIXEL * tile**2 * factor**2
        if buffer <= min(fits, LARGEST_BUFFER):
            return Enlargement(
                upscaler=model.name,
                file=file,
                scale=scale,
                size=(size[0] * scale, size[1] * scale),
                tile_size=tile,
                pixels=pixels,
                memory=round(weights + kept + buffer),
                license=model.license,
            )
    needed = round(held + weights + kept + buffer)
    raise NotEnoughMemoryError(
        f"Enlarging {size[0]}x{size[1]} pixels {scale} times needs {size_text(needed)}; "
        f"there are {size_text(room.size)} of {room.name}.",
        hint="Enlarge it 2 times, or a smaller picture.",
        details={"memory_needed": needed, "memory_available": room.size},
    )


def _factor(header: WeightsHeader | None) -> int:
    """How much larger the network makes a picture, as the engine reads it off the names (ESRGAN).

    Raises:
        InvalidRequestError: it leaves the size as it is.
    """
    if header is None:
        return USUAL_FACTOR
    names = {tensor.name for tensor in header.tensors}
    if names & {"conv_up2.weight", "model.10.weight"}:
        return 4
    if names & {"conv_up1.weight", "model.7.weight"}:
        return 2
    raise InvalidRequestError(
        f"{header.path} is an upscaler that leaves pictures as large as they are.",
        hint="Give one that enlarges 2 or 4 times.",
    )

"""The ways to draw on a card, the least slow first: what is done when it is too small.

How much time each costs is worked out from sizes: weights to copy, bytes of weights that read the
prompt, pixels to decode. A ControlNet is never left to the processor, where it would compute at
every step: then the processor had better draw the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from sdcpu.figures import size_text
from sdcpu.memory import MemoryEstimate, Way, Weights
from sdcpu.placement import ON_CARD, Placement

COPIED_PER_SECOND = 6e9
"""Bytes to a card with PCIe 3.0, out of memory that is not pinned; newer ones are faster."""
PROCESSOR_SPEED = 200e9
"""Operations a second of a processor with a few cores."""
CARD_SPEED = 10e12
"""The same of a card, a slow one."""
READING_WORK = 300
"""Operations for each byte of a text encoder: two for each value and word, of 77 to 512 words."""
DECODING_WORK = {"full": 9.5e6, "tiny": 1e6}
"""Operations for each pixel: the full decoder of Stable Diffusion has 2.5e12 for 512x512."""
TILES_OVERLAP = 0.3
"""Share of the pixels that are decoded twice in tiles."""


def ways_on_card(
    way: Way, weights: Weights, tile_sizes: Sequence[int], *, shares_memory: bool
) -> list[Way]:
    """Vary a way by what is not on the card and by tiles; the one that costs the least time first.

    `shares_memory` says that the card's memory is the processor's: then nothing can be spared.
    """
    choices = (False, True)
    placements = [
        Placement(text_on_processor=text, decoder_on_processor=decoder, offloaded=offloaded)
        for offloaded, text, decoder in product(choices, repeat=3)
    ]
    ways = [
        replace(
            way,
            placement=placement,
            tile_size=tile_size,
            vae_conv_direct=placement.decoder_on_processor,
            kernel_threads=way.kernel_threads if placement.uses_processor else 0,
        )
        for placement in ([ON_CARD] if shares_memory else placements)
        for tile_size in tile_sizes
    ]
    return sorted(ways, key=lambda way: lost_seconds(way, weights))


def lost_seconds(way: Way, weights: Weights) -> float:
    """Roughly how much longer a picture takes than with everything on the card, in seconds.

    >>> half = Way(width=512, height=512, decoder="full", placement=Placement(offloaded=True))
    >>> round(lost_seconds(half, Weights(text=0, diffusion=6_000_000_000, decoder=0)), 1)
    1.0
    """
    where = way.placement
    decoding = way.width * way.height * way.frames * DECODING_WORK[way.decoder]
    lost = decoding * TILES_OVERLAP / CARD_SPEED if way.tile_size else 0.0
    if where.decoder_on_processor:
        lost = decoding * (1 + TILES_OVERLAP * bool(way.tile_size)) / PROCESSOR_SPEED
    if where.text_on_processor:
        lost += weights.text * READING_WORK / PROCESSOR_SPEED
    if where.offloaded:
        copied = weights.diffusion + weights.high_noise
        copied += 0 if where.text_on_processor else weights.text
        copied += 0 if where.decoder_on_processor else weights.decoder
        lost += copied / COPIED_PER_SECOND
    return lost


def placement_reasons(way: Way, memory: MemoryEstimate) -> list[str]:
    """Say what is not on the card, and what it costs."""
    where = way.placement
    reasons = []
    if where.offloaded and memory.system:
        reasons.append(
            f"The weights wait in main memory ({size_text(memory.system.weights)}), to fit the "
            "card's: each part of the model is copied for its turn, once for a picture."
        )
    if where.text_on_processor:
        reasons.append("The processor reads the prompt, to fit the card's memory.")
    if where.decoder_on_processor:
        reasons.append(
            "The processor decodes the picture, to fit the card's memory: that takes longer."
        )
    return reasons

"""How much a picture takes of a card's memory, and of main memory beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sdcpu.buffers import MIB
from sdcpu.memory import (
    CARD_CONTEXT,
    ENGINE_PROCESS,
    PARENT_PROCESS,
    MemoryEstimate,
    Way,
    kernel_work_areas,
    predict_memory,
    weights_by_part,
)
from sdcpu.registry import Model, ModelFile
from sdcpu.weights import WeightsHeader

DRIVER_PROCESS = 500 * MIB
"""An allowance for what a card's driver and its libraries take of main memory; what it was when a
build was proved is in its record."""


def predict_card_memory(
    model: Model, way: Way, headers: Mapping[ModelFile, WeightsHeader]
) -> MemoryEstimate:
    """Predict the memory of a request on a card; `system` says what main memory holds beside it.

    Offloaded weights are on the card only while their part computes: the engine copies them before
    its first graph and frees them with its buffer (offload_all_params and free_compute_buffer in
    ggml_extend.hpp), once for each picture. LoRAs are never offloaded.
    """
    where = way.placement
    whole = predict_memory(model, way, headers)
    weights = weights_by_part(model, way, headers)
    reads, decodes = not where.text_on_processor, not where.decoder_on_processor
    diffusion = weights.diffusion + weights.high_noise
    parts = (reads * weights.text, diffusion, decodes * weights.decoder)
    beside = weights.text + weights.decoder + diffusion - sum(parts)
    card = replace(
        whole,
        process=CARD_CONTEXT,
        weights=weights.loras + sum(parts),
        text=reads * whole.text,
        decode=decodes * whole.decode,
        encode=decodes * whole.encode,
    )
    if where.offloaded:
        text, _, decoder = parts
        card = replace(
            card,
            weights=weights.loras,
            text=card.text + text,
            # The model for strong noise is freed before the other begins.
            sample=card.sample + max(weights.diffusion, weights.high_noise),
            decode=card.decode + decoder,
            encode=card.encode + decoder if card.encode else 0,
        )
        beside += sum(parts)
    system = MemoryEstimate(
        process=PARENT_PROCESS
        + ENGINE_PROCESS
        + DRIVER_PROCESS
        + kernel_work_areas(way.kernel_threads),
        weights=beside,
        text=whole.text - card.text if not reads else 0,
        sample=0,
        decode=whole.decode if not decodes else 0,
        encode=whole.encode if not decodes else 0,
    )
    return replace(card, system=system)

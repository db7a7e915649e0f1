"""What a LoRA that is applied at run time costs, against the same weights merged into the model.

A merged LoRA changes numbers and no shapes, so a model with it takes as long as the model alone:
that is what the pictures with the LoRA are compared with, drawn in turn by the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from demo_engine import DemoEngine, Picture

from sdcpu.demo.network import Layer, full_width, unet_layers
from sdcpu.protocol import LoraFile

MOST_TIMES = 1.3
"""How many times as long as merged a picture may take."""
LORA_WEIGHT = 0.3
"""How strongly the LoRA is applied; the made one leaves little of the picture at 1."""


def main() -> int:
    """Print the table; 1 when our kernels take longer than they may."""
    parser = argparse.ArgumentParser(prog="scripts/bench lora", description=__doc__)
    add = parser.add_argument
    add("--pictures", type=int, default=5, help="of each kind, in turn: %(default)s")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add("--rank", type=int, default=32, help="of the made LoRA: %(default)s")
    add("--size", type=int, default=128, help="width and height: %(default)s")
    add("--steps", type=int, default=4)
    add("--kernels", default="auto", help="or off, avx2, avx512, bf16, int8; several with commas")
    add("--model", type=Path, help="a model file instead of the demo model; needs --lora")
    add("--tiny-decoder", type=Path, help="its tiny decoder")
    add("--lora", type=Path, help="a LoRA file instead of a made one")
    wanted = parser.parse_args()
    if wanted.model and not wanted.lora:
        parser.error("--model needs --lora: only the demo model's layers are known here")
    with tempfile.TemporaryDirectory() as folder:
        lora = wanted.lora or Path(folder) / "lora.safetensors"
        if not wanted.lora:
            write_lora(lora, rank=wanted.rank)
        print(
            f"{'':<8} {'merged':>8} {'run time':>9} {'ratio':>6} {'processor':>10}"
            f" {'a step':>8} {'before':>7}"
        )
        ratios = [compare(wanted, kernels, lora) for kernels in wanted.kernels.split(",")]
    print(
        "seconds of a picture, medians; processor: the ratio of processor time; then the seconds"
        f" more for a step,\nand before the first one; aim: at most {MOST_TIMES} times as long"
    )
    return int(max(ratios) > MOST_TIMES)


def compare(wanted: argparse.Namespace, kernels: str, lora: Path) -> float:
    """Draw by turns without and with the LoRA; print the medians, return their ratio."""
    files = {"model": wanted.model, "tiny_decoder": wanted.tiny_decoder} if wanted.model else None
    loras = {"merged": (), "run time": (LoraFile(path=str(lora), weight=LORA_WEIGHT),)}
    pictures: dict[str, list[Picture]] = {way: [] for way in loras}
    with DemoEngine(kernels, threads=wanted.threads, files=files) as engine:
        for number in range(wanted.pictures + 1):
            for way in loras if number % 2 else reversed(loras):
                picture = engine.draw(
                    seed=number,
                    width=wanted.size,
                    height=wanted.size,
                    steps=wanted.steps,
                    loras=loras[way],
                )
                if number:  # the first of each kind reads files and makes buffers
                    pictures[way].append(picture)
        name = engine.kernels
    merged, applied = (
        {
            "seconds": statistics.median(picture.seconds for picture in drawn),
            "processor": statistics.median(picture.processor_seconds for picture in drawn),
            "sample": statistics.median(picture.stages["sample"] for picture in drawn),
            "text": statistics.median(picture.stages["text"] for picture in drawn),
        }
        for drawn in pictures.values()
    )
    ratio = applied["seconds"] / merged["seconds"]
    print(
        f"{name:<8} {merged['seconds']:8.3f} {applied['seconds']:9.3f} {ratio:6.2f}"
        f" {applied['processor'] / merged['processor']:10.2f}"
        f" {(applied['sample'] - merged['sample']) / wanted.steps:+8.3f}"
        f" {applied['text'] - merged['text']:+7.3f}",
        flush=True,
    )
    return ratio


def write_lora(file: Path, *, rank: int) -> None:
    """Write a LoRA of small random numbers for every layer of the demo model's U-Net, in f16."""
    random = np.random.default_rng(1)
    header: dict[str, object] = {}
    parts: list[bytes] = []
    end = 0
    for name, shape in lora_shapes(rank):
        values = random.standard_normal(shape, np.float32) * 0.3 / np.sqrt(np.prod(shape[1:]))
        data = values.astype("<f2").tobytes()
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
        parts.append(data)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def lora_shapes(rank: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of both halves for each layer; the engine skips those of the time."""
    for layer in unet_layers():
        if layer.kind in ("linear", "convolution") and "time_embed" not in layer.name:
            yield f"{layer.name}.lora_down.weight", _narrowed(layer, rank)
            ones = (1, 1) if layer.kind == "convolution" else ()
            yield f"{layer.name}.lora_up.weight", (full_width(layer.outputs), rank, *ones)


def _narrowed(layer: Layer, rank: int) -> tuple[int, ...]:
    """The layer's shape with so few outputs."""
    return (rank, *layer.parameters()[f"{layer.name}.weight"][1:])


if __name__ == "__main__":
    sys.exit(main())

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
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sdcpu.demo import demo_files
from sdcpu.demo.network import Layer, full_width, unet_layers
from sdcpu.process import EngineProcess
from sdcpu.protocol import Finished, Generate, GenerateSettings, Load, LoadSettings, LoraFile
from sdcpu.settings import child_environment, load_settings

MOST_TIMES = 1.3
"""How many times as long as merged a picture may take with our kernels."""


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
        print(f"{'':<8} {'merged':>8} {'run time':>9} {'ratio':>6}  {'a step':>8} {'text':>6}")
        ratios = [compare(wanted, kernels, lora) for kernels in wanted.kernels.split(",")]
    print(f"seconds of a picture, medians; aim: at most {MOST_TIMES} times as long")
    return int(min(ratios) > MOST_TIMES)


def compare(wanted: argparse.Namespace, kernels: str, lora: Path) -> float:
    """Draw by turns without and with the LoRA; print the medians, return their ratio."""
    files = (
        {"model": wanted.model, "tiny_decoder": wanted.tiny_decoder}
        if wanted.model
        else {str(role): path for role, path in demo_files(load_settings().cache_folder).items()}
    )
    environment = child_environment(SDCPU_ACCEL=kernels)
    with EngineProcess(environment=environment, silence_timeout=3600) as engine:
        running = engine.start().kernels
        direct = running != "off"
        settings = LoadSettings(
            files={role: str(path) for role, path in files.items() if path},
            threads=wanted.threads,
            flash_attention=direct,
            diffusion_conv_direct=direct,
            vae_conv_direct=direct,
        )
        for _ in engine.run(Load(settings=settings)):
            pass
        loras = {"merged": (), "run time": (LoraFile(path=str(lora), weight=0.3),)}
        pictures: dict[str, list[tuple[float, dict[str, float]]]] = {way: [] for way in loras}
        for number in range(wanted.pictures + 1):
            for way in loras if number % 2 else reversed(loras):
                measured = draw(engine, wanted, number, loras[way])
                if number:  # the first of each kind reads files and makes buffers
                    pictures[way].append(measured)
    seconds = {way: statistics.median(time for time, _ in drawn) for way, drawn in pictures.items()}
    ratio = seconds["run time"] / seconds["merged"]
    stages = {
        name: [
            statistics.median(stage.get(name, 0.0) for _, stage in pictures[way]) for way in loras
        ]
        for name in ("sample", "text")
    }
    step = (stages["sample"][1] - stages["sample"][0]) / wanted.steps
    text = stages["text"][1] - stages["text"][0]
    print(
        f"{running:<8} {seconds['merged']:8.3f} {seconds['run time']:9.3f} {ratio:6.2f}"
        f"  {step:+8.3f} {text:+6.3f}",
        flush=True,
    )
    return ratio


def draw(
    engine: EngineProcess, wanted: argparse.Namespace, seed: int, loras: tuple[LoraFile, ...]
) -> tuple[float, dict[str, float]]:
    """Seconds of a picture, and of its stages."""
    settings = GenerateSettings(
        prompt="a red circle on a blue background",
        width=wanted.size,
        height=wanted.size,
        steps=wanted.steps,
        cfg_scale=1.0,
        guidance=3.5,
        sampler="lcm",
        scheduler="lcm",
        seed=seed,
        loras=loras,
    )
    stages: dict[str, float] = {}
    begin = time.perf_counter()
    for message in engine.run(Generate(settings=settings)):
        if isinstance(message, Finished):
            stages = message.stage_seconds
    return time.perf_counter() - begin, stages


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

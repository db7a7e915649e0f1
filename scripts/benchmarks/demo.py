"""Whether the models that ship with the package draw what is asked for, counted.

Prompts are combinations of colour, shape and background that were never trained, drawn by the
engine. Then: how a picture to begin with is kept, how a mask is kept to, and how seeds differ.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from demo_engine import DemoEngine
from PIL import Image

from sdcpu.demo import demo_files
from sdcpu.demo.files import DEMO_FILES
from sdcpu.families import FileRole
from sdcpu.protocol import Pixels
from sdcpu.quantization import quantize
from sdcpu.settings import load_settings

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.pictures import psnr
from training.judging import held_out_pictures, pair_pictures, score_pairs, score_single
from training.pictures import Picture, plain_caption

MODELS: dict[str, dict[str, Any]] = {
    "demo": {"steps": 4, "cfg_scale": 1.0, "sampler": "lcm", "scheduler": "lcm"},
    "demo-base": {"steps": 20, "cfg_scale": 4.0, "sampler": "euler", "scheduler": "discrete"},
}
AIMS = {"demo": 0.90, "demo-base": 0.95}
"""The least share of pictures for each of colour, background, shape and place."""
MEASURED = ("colour", "background", "shape", "place")
BEGINNING = "a red circle on a blue background"
CHANGED = "a yellow star on a black background"
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
LEAST_KEPT = 25.0
"""Decibels outside a mask: what encoding and decoding a picture leaves of it."""
MOST_ALIKE = 35.0
"""Decibels between pictures of two seeds."""


def main() -> int:
    """Print the tables; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench demo", description=__doc__)
    add = parser.add_argument
    add("--prompts", type=int, default=40, help="with one object; a fourth as many with two")
    add("--models", default="demo,demo-base")
    add("--types", default="q8_0,q4_0", help="of the weights: %(default)s")
    add("--size", type=int, default=256)
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add("--kernels", default="auto")
    add("--sheet", type=Path, help="a folder for all pictures of each row, as one")
    wanted = parser.parse_args()
    columns = [*MEASURED, "all", "two objects"]
    print(f"{'':<16}" + "".join(f"{column:>12}" for column in columns) + "     seconds")
    met = []
    with tempfile.TemporaryDirectory() as folder:
        for model in wanted.models.split(","):
            for tensor_type in wanted.types.split(","):
                with engine_of(model, tensor_type, Path(folder), wanted) as engine:
                    met.append(judge(engine, model, tensor_type, wanted))
                    if tensor_type == "q8_0":
                        met.append(follow(engine, model, wanted.size))
    return int(not all(met))


def engine_of(model: str, tensor_type: str, folder: Path, wanted: argparse.Namespace) -> DemoEngine:
    """A process with the model, its weights in this type."""
    made = model if tensor_type == "q8_0" else f"{model}-{tensor_type}"
    if made in {name for file in DEMO_FILES for name in file.models}:
        files = demo_files(load_settings().cache_folder, made)
    else:
        files = demo_files(load_settings().cache_folder, model)
        smaller = folder / f"{model}-{tensor_type}.gguf"
        quantize(files[FileRole.MODEL], smaller, tensor_type)
        files |= {FileRole.MODEL: smaller}
    return DemoEngine(wanted.kernels, threads=wanted.threads, files=files, decode_only=False)


def judge(engine: DemoEngine, model: str, tensor_type: str, wanted: argparse.Namespace) -> bool:
    """Draw the held-out prompts and print a line; whether the aims are met."""
    asked = held_out_pictures(wanted.prompts)
    pairs = pair_pictures(max(1, wanted.prompts // 4))
    singles, seconds = draw_all(engine, model, asked, wanted.size)
    both, _ = draw_all(engine, model, pairs, wanted.size)
    if wanted.sheet:
        save_sheet([*singles, *both], wanted.sheet / f"{model}-{tensor_type}.png")
    scores = score_single(values_of(singles), asked) | score_pairs(values_of(both), pairs)
    shares = [scores[name] for name in (*MEASURED, "all", "pair_all")]
    cells = "".join(f"{100 * share:>10.1f} %" for share in shares)
    print(f"{model + ' ' + tensor_type:<16}{cells}{seconds:12.2f}", flush=True)
    return all(scores[name] >= AIMS[model] for name in MEASURED)


def draw_all(
    engine: DemoEngine, model: str, asked: Sequence[Picture], size: int
) -> tuple[list[Image.Image], float]:
    """A picture of each, every one with a seed of its own; and the median seconds of one."""
    drawn = [
        engine.draw(plain_caption(each), seed=seed, width=size, height=size, **MODELS[model])
        for seed, each in enumerate(asked)
    ]
    return [each.image for each in drawn], float(np.median([each.seconds for each in drawn]))


def follow(engine: DemoEngine, model: str, size: int) -> bool:
    """Measure pictures to begin with, a mask and seeds; whether they do what they should."""

    def draw(prompt: str, seed: int, **more: Any) -> Image.Image:
        options = {"width": size, "height": size, **MODELS[model], **more}
        return engine.draw(prompt, seed=seed, **options).image

    pictures = [draw(BEGINNING, seed) for seed in range(4)]
    alike = max(psnr(*pair) for pair in combinations(pictures, 2))
    begin = pixels_of(pictures[0])
    kept = [
        psnr(pictures[0], draw(CHANGED, 5, init_image=begin, strength=strength))
        for strength in STRENGTHS
    ]
    mask = Image.new("L", (size, size))
    mask.paste(255, (size // 2, 0, size, size))
    painted = draw(CHANGED, 5, init_image=begin, mask_image=pixels_of(mask), strength=1.0)
    margin = size // 8  # a latent pixel is 8 pixels wide, and the decoder looks further
    left = (0, 0, size // 2 - margin, size)
    right = (size // 2 + margin, 0, size, size)
    outside = psnr(pictures[0].crop(left), painted.crop(left))
    inside = psnr(pictures[0].crop(right), painted.crop(right))
    strengths = ", ".join(
        f"{strength:g}: {each:.1f}" for strength, each in zip(STRENGTHS, kept, strict=True)
    )
    print(
        f"  decibels to the picture it began with, by strength: {strengths}\n"
        f"  outside the mask {outside:.1f}, inside {inside:.1f}; "
        f"pictures of two seeds at most {alike:.1f}",
        flush=True,
    )
    # Strengths that come to the same number of the few steps draw the same picture.
    falling = all(weak >= strong for weak, strong in pairwise(kept)) and kept[0] > kept[-1] + 1
    return falling and outside > max(LEAST_KEPT, inside) and alike < MOST_ALIKE


def pixels_of(image: Image.Image) -> Pixels:
    """A picture as the engine takes it."""
    channels = len(image.getbands())
    return Pixels(width=image.width, height=image.height, channels=channels, data=image.tobytes())


def values_of(images: Sequence[Image.Image]) -> Any:
    """Pictures as numbers from 0 to 1, shape (pictures, 3, height, width)."""
    stacked = np.stack([np.asarray(image.convert("RGB"), np.float32) for image in images])
    return stacked.transpose(0, 3, 1, 2) / 255


def save_sheet(images: Sequence[Image.Image], file: Path, *, columns: int = 10) -> None:
    """Save pictures, at half their size, as rows of one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    side = images[0].width // 2
    sheet = Image.new("RGB", (columns * side, -(-len(images) // columns) * side))
    for number, image in enumerate(images):
        place = (number % columns * side, number // columns * side)
        sheet.paste(image.resize((side, side)), place)
    sheet.save(file)


if __name__ == "__main__":
    sys.exit(main())

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
from typing import Any, NamedTuple

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

from tests.pictures import Described, describe, psnr
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
BEGUN = 4
"""Pictures to begin with."""
STRENGTHS = (0.1, 0.25, 0.5, 0.75, 1.0)
LEAST_KEPT = 25.0
"""Decibels outside a mask: what encoding and decoding a picture leaves of it."""
MOST_ALIKE = 35.0
"""Decibels between pictures of two seeds."""


def main() -> int:
    """Print the tables; 1 when an aim is missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench demo", description=__doc__)
    add = parser.add_argument
    add(
        "--prompts",
        type=int,
        default=40,
        help="with one object, a fourth as many with two; 0 for none",
    )
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
    ships = made in {name for file in DEMO_FILES for name in file.models}
    files = demo_files(load_settings().cache_folder, made if ships else model)
    if not ships:
        smaller = folder / f"{model}-{tensor_type}.gguf"
        quantize(files[FileRole.MODEL], smaller, tensor_type)
        files |= {FileRole.MODEL: smaller}
    named = {role.value: path for role, path in files.items()}
    return DemoEngine(wanted.kernels, threads=wanted.threads, files=named, decode_only=False)


def judge(engine: DemoEngine, model: str, tensor_type: str, wanted: argparse.Namespace) -> bool:
    """Draw the held-out prompts and print a line; whether the aims are met."""
    if not wanted.prompts:
        return True
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

    def follow_up(prompt: str, **more: Any) -> list[Image.Image]:
        return [
            draw(prompt, BEGUN + seed, init_image=pixels_of(image), **more)
            for seed, image in enumerate(begun)
        ]

    begun = [draw(BEGINNING, seed) for seed in range(BEGUN)]
    alike = max(psnr(*pair) for pair in combinations(begun, 2))
    again, changed = (
        [Followed.of(begun, follow_up(prompt, strength=strength)) for strength in STRENGTHS]
        for prompt in (BEGINNING, CHANGED)
    )
    mask = Image.new("L", (size, size))
    mask.paste(255, (size // 2, 0, size, size))
    painted = follow_up(CHANGED, mask_image=pixels_of(mask), strength=1.0)
    margin = size // 8  # a latent pixel is 8 pixels wide, and the decoder looks further
    outside, inside = (
        Followed.of([image.crop(area) for image in begun], [image.crop(area) for image in painted])
        for area in (
            (0, 0, size // 2 - margin, size),
            (size // 2 + margin, 0, size, size),
        )
    )
    steps = [steps_drawn(MODELS[model]["steps"], strength) for strength in STRENGTHS]
    rows = {
        "strength": [f"{strength:g}" for strength in STRENGTHS],
        "steps drawn": [str(count) for count in steps],
        "same prompt, decibels": [f"{each.kept:.1f}" for each in again],
        f"another is seen, of {BEGUN}": [str(each.as_asked) for each in changed],
    }
    for name, cells in rows.items():
        print(f"  {name:<28}" + "".join(f"{cell:>8}" for cell in cells))
    print(
        f"  outside a mask {outside.kept:.1f} decibels, inside {inside.kept:.1f}, and there as"
        f" asked for {inside.on_ground} of {BEGUN}; two seeds' pictures at most {alike:.1f}",
        flush=True,
    )
    falling = all(
        weak.kept > strong.kept if drawn < more else weak == strong
        for (weak, strong), (drawn, more) in zip(pairwise(again), pairwise(steps), strict=True)
    )
    return (
        falling
        and changed[-1].as_asked == inside.on_ground == BEGUN
        and outside.kept > max(LEAST_KEPT, inside.kept)
        and alike < MOST_ALIKE
    )


def steps_drawn(steps: int, strength: float) -> int:
    """How many of the steps the engine draws of a picture that begins with another.

    It leaves out as many as the rest of the strength is worth, but counts the steps' ends, so one
    more is drawn (`t_enc` in its stable-diffusion.cpp). With 4 steps 0.75 is as much as 1.

    >>> [steps_drawn(4, strength) for strength in (0.1, 0.25, 0.5, 0.75, 1.0)]
    [1, 2, 3, 4, 4]
    """
    return min(steps, int(steps * strength) + 1)


class Followed(NamedTuple):
    """How pictures relate to those they began with."""

    kept: float
    """Decibels, the mean."""
    as_asked: int
    """How many show colours and shape of `CHANGED`."""
    on_ground: int
    """How many have its background."""

    @classmethod
    def of(cls, begun: Sequence[Image.Image], drawn: Sequence[Image.Image]) -> Followed:
        """Compare each picture with its beginning and with what was asked for."""
        shown = [describe(image) for image in drawn]
        wanted = Described("black", "yellow", "star")
        return cls(
            float(np.mean([psnr(*pair) for pair in zip(begun, drawn, strict=True)])),
            sum(each == wanted for each in shown),
            sum(each.background == wanted.background for each in shown),
        )


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

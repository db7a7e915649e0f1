"""One picture of the demo model for each feature, on one sheet: docs/features.png.

`python -m tests.feature_sheet` draws it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from sdcpu.events import Preview
from sdcpu.generator import ImageGenerator
from sdcpu.templates import expand_prompt
from tests.features import ROOT
from tests.upscalers import write_upscaler

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SHEET = ROOT / "docs" / "features.png"
CELL, LABEL, COLUMNS = 160, 18, 8
"""Pixels, and pictures in a row."""
CIRCLE = "a red circle on a blue background"


def pictures(folder: Path) -> Iterator[tuple[str, Picture]]:
    """A feature's name and what it draws, one after the other."""
    with ImageGenerator("demo", offline=True) as demo:

        def drawn(prompt: str, **request: object) -> Picture:
            return demo.generate(prompt, **{"seed": 3, **request}).image

        circle = drawn(CIRCLE)
        half = Image.new("L", circle.size, 0)
        half.paste(255, (0, 0, circle.width // 2, circle.height))
        upscaler = write_upscaler(folder / "upscaler.safetensors")
        yield "text to picture", circle
        yield "another seed", drawn(CIRCLE, seed=4)
        yield (
            "img2img, strength 0.5",
            drawn("a green circle on a blue background", init_image=circle, strength=0.5),
        )
        yield (
            "inpainting, left half",
            drawn(
                "a yellow star on a green background",
                init_image=circle,
                mask_image=half,
                strength=1.0,
            ),
        )
        yield "outpainting, left 128", drawn(CIRCLE, init_image=circle, extension=(128, 0, 0, 64))
        yield (
            "fit: pad",
            drawn(
                CIRCLE,
                init_image=circle.crop((0, 64, 256, 192)),
                width=256,
                height=256,
                fit="pad",
                strength=0.3,
            ),
        )
        yield (
            "LoRA demo-outline",
            drawn("a star on a white background", loras=(("demo-outline", 1.0),)),
        )
        yield (
            "the same at 0.5",
            drawn("a star on a white background", loras=(("demo-outline", 0.5),)),
        )
        yield (
            "noise levels 14.6,2.9,0.9,0",
            drawn(CIRCLE, sampler="euler", sigmas=(14.6, 2.9, 0.9, 0.0)),
        )
        frieze = drawn("mountains at sunset", seamless="x", width=256, height=128)
        twice = Image.new("RGB", (512, 128))
        twice.paste(frieze, (0, 0))
        twice.paste(frieze, (256, 0))
        yield "seamless x, laid twice", twice
        yield "hires 1.5", drawn(CIRCLE, hires=1.5)
        yield "in tiles, 384x384", drawn("a forest", width=384, height=384, tiled=True)
        yield "upscale 4", drawn(CIRCLE, upscale=4, upscaler=upscaler)
        yield "style night", drawn("a lighthouse by the sea", styles=("night",))
        for number, prompt in enumerate(expand_prompt("a {purple|orange} heart"), 1):
            yield f"{{purple|orange}}, {number}", drawn(f"{prompt} on a white background")
        looks = [
            event
            for event in demo.stream(CIRCLE, seed=3, preview="tae")
            if isinstance(event, Preview)
        ]
        yield f"preview of step {looks[0].step}", looks[0].image
    with ImageGenerator("demo-base", offline=True) as base:
        for text in ("", "red"):
            made = base.generate(
                "two stars on a white background",
                negative_prompt=text,
                seed=2,
                sampler="euler_a",
                cache="off",
            )
            yield f"negative: {text}" if text else "demo-base, no negative", made.image
        cached = base.generate(
            "two stars on a white background", seed=2, sampler="euler_a", cache="ucache"
        )
        yield "the same, step cache", cached.image


def main() -> None:
    """Draw the sheet."""
    with tempfile.TemporaryDirectory() as folder:
        named = list(pictures(Path(folder)))
    rows = -(-len(named) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL, rows * (CELL + LABEL)), "white")
    pencil, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (name, picture) in enumerate(named):
        x, y = number % COLUMNS * CELL, number // COLUMNS * (CELL + LABEL)
        pencil.text((x + 4, y + 2), name, "black", font)
        picture.thumbnail((CELL - 8, CELL - 8))
        sheet.paste(picture, (x + 4, y + LABEL))
    sheet.save(SHEET, optimize=True)


if __name__ == "__main__":
    main()

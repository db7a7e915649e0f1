"""A picture, or its plan, in one call: the engine is started for it and ended again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdcpu.generator import ImageGenerator
from sdcpu.images import GeneratedImage
from sdcpu.plan import EnginePlan


def generate(prompt: str, model: str | Path | None = None, **request: Any) -> GeneratedImage:
    """Make one picture and end the engine again; the keywords are those of `ImageRequest`.

    For several pictures keep an `ImageGenerator`: the model is then loaded once.

    >>> picture = generate("a blue square on a white background", model="demo", seed=3)
    >>> picture.width, picture.height
    (256, 256)
    """
    with ImageGenerator(model) as generator:
        return generator.generate(prompt, **request)


def make_plan(model: str | Path | None = None, **request: Any) -> EnginePlan:
    """Say how a picture would be made; downloads and loads nothing.

    >>> make_plan("demo", width=256, height=256).request.width
    256
    """
    with ImageGenerator(model) as generator:
        return generator.plan(**request)

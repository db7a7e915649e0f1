"""A request is checked before anything is loaded."""

import math
from typing import Any

import pytest

from sdcpu.errors import InvalidRequestError
from sdcpu.images import ImageRequest

BAD_VALUES: list[tuple[str, Any]] = [
    ("width", 7),
    ("width", -512),
    ("width", 512.0),
    ("width", "512"),
    ("height", 100_000),
    ("steps", 0),
    ("steps", -4),
    ("steps", True),
    ("steps", 1001),
    ("cfg_scale", math.nan),
    ("cfg_scale", -1),
    ("cfg_scale", math.inf),
    ("guidance", math.nan),
    ("seed", -1),
    ("seed", 2**63),
    ("seed", 1.5),
    ("count", 0),
    ("count", 1001),
    ("strength", math.nan),
    ("strength", 1.01),
    ("strength", -0.01),
    ("control_strength", 11),
    ("clip_skip", 0),
    ("sampler", "magic"),
    ("scheduler", "magic"),
    ("quality", "perfect"),
    ("eta", 1.5),
    ("cache", "yes"),
    ("upscale", 3),
    ("hires", 1),
    ("hires", math.nan),
    ("hires_strength", 0.5),
    ("hires_steps", 4),
    ("upscaler", "realesrgan-x4plus"),
    ("seamless", "z"),
    ("sigmas", (1.0,)),
    ("sigmas", (3.0, 1.0)),
    ("sigmas", (1.0, 3.0, 0.0)),
    ("sigmas", (math.inf, 1.0, 0.0)),
    ("sigmas", ("3", "0")),
    ("decoder", "half"),
    ("preview", "yes"),
    ("prompt", "a\0b"),
    ("prompt", "x" * 20_001),
    ("prompt", "\ud800"),
    ("prompt", 3),
    ("negative_prompt", "\0"),
    ("mask_image", "mask.png"),
    ("loras", (("a", math.nan),)),
    ("loras", (("a", 100),)),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_value_that_cannot_be_right(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ImageRequest(**{"prompt": "a cat", name: value})
    assert caught.value.message
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "prompt", ["", "🎈 a balloon", "ein Bär", "日本", "word " * 4000, "line\nbreak", '"; rm -rf /']
)
def test_any_text_is_a_prompt(prompt: str) -> None:
    assert ImageRequest(prompt=prompt).prompt == prompt

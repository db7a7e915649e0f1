"""Filling the native structs, and refusing what native code would die of."""

import ctypes
from dataclasses import replace

import pytest

from sdcpu.errors import InvalidRequestError, ModelFileError
from sdcpu.native import check_request, existing_file, fill
from sdcpu.native_videos import check_video_request
from sdcpu.protocol import GenerateSettings, LoadSettings, Pixels, VideoSettings

REQUEST = GenerateSettings(
    prompt="a cat",
    width=64,
    height=64,
    steps=1,
    cfg_scale=1.0,
    guidance=0.0,
    sampler="lcm",
    scheduler="lcm",
    seed=1,
)
DECODER = LoadSettings(files={}, threads=1)
WHOLE = LoadSettings(files={}, threads=1, decode_only=False)


def pixels(channels: int) -> Pixels:
    return Pixels(width=1, height=1, channels=channels, data=bytes(channels))


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("name", ctypes.c_char_p))


def test_fields_are_filled_by_name() -> None:
    point = Point()
    fill(point, x=3, name=b"here")
    assert (point.x, point.name) == (3, b"here")


def test_a_misspelt_field_is_an_error() -> None:
    with pytest.raises(AttributeError, match="Point has no field 'nam'"):
        fill(Point(), nam=b"here")


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a cat",
        "(a cat:1.5)",
        "(a cat:-1)",
        "(a:0)",
        "(a:.5)",
        "(a:5.)",
        "(a:1.2.3)",  # read as 1.2
        "smile :.)",  # no bracket is open: not a weight
        "(a:b)",
        "(a: .)",
        "(:" * 100,
        "\u732b (\U0001f408:1.1)",
    ],
)
def test_prompts_that_native_code_can_read(prompt: str) -> None:
    check_request(replace(REQUEST, prompt=prompt), DECODER)


@pytest.mark.parametrize("weight", [".", "..", "+.", "-...", "9" * 60, "." + "0" * 60 + "1"])
@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_weights_that_would_end_the_process_are_refused(field: str, weight: str) -> None:
    text = f"a ((cat) on a (mat:{weight})"
    with pytest.raises(InvalidRequestError, match="is not a number"):
        check_request(replace(REQUEST, **{field: text}), DECODER)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init_image": pixels(4)}, "three channels"),
        ({"control_image": pixels(1)}, "three channels"),
        ({"ref_images": (pixels(3), pixels(4))}, "three channels"),
        ({"init_image": pixels(3), "mask_image": pixels(3)}, "one channel"),
        ({"sampler": "best"}, "There is no sampler 'best'"),
        ({"scheduler": ""}, "There is no scheduler ''"),
        ({"preview": "vae"}, "There is no preview 'vae'"),
        ({"scheduler": "gits", "steps": 1}, "gits needs two steps"),
    ],
)
def test_what_would_be_a_fault_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        check_request(replace(REQUEST, **changes), WHOLE)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["init_image", "ref_images"])
def test_pictures_need_the_encoder(field: str) -> None:
    picture = pixels(3) if field == "init_image" else (pixels(3),)
    request = replace(REQUEST, **{field: picture})  # type: ignore[arg-type]
    check_request(request, WHOLE)
    with pytest.raises(InvalidRequestError, match="without its encoder"):
        check_request(request, DECODER)


def test_files_must_be_files(tmp_path: object) -> None:
    with pytest.raises(ModelFileError, match="is not there or not a file"):
        existing_file(str(tmp_path))


VIDEO = VideoSettings(picture=REQUEST, frames=5)


@pytest.mark.parametrize(
    ("changed", "loaded", "said"),
    [
        ({"frames": 4}, DECODER, "4 frames"),
        ({"frames": -3}, DECODER, "-3 frames"),
        ({"end_image": pixels(4)}, WHOLE, "three channels"),
        ({"end_image": pixels(3)}, DECODER, "without its encoder"),
        ({"high_noise_steps": 1}, DECODER, "leave none"),
        ({"picture": replace(REQUEST, sampler="none")}, DECODER, "no sampler"),
    ],
)
def test_videos_that_would_end_the_process_are_refused(
    changed: dict[str, object], loaded: LoadSettings, said: str
) -> None:
    check_video_request(VIDEO, loaded)
    with pytest.raises(InvalidRequestError, match=said):
        check_video_request(replace(VIDEO, **changed), loaded)  # type: ignore[arg-type]

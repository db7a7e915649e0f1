"""Requests for videos, and videos as files."""

import json
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdcpu import video_files
from sdcpu.errors import InvalidRequestError
from sdcpu.jobs import request_fields
from sdcpu.video_files import (
    check_video_output,
    first_frame,
    read_video_recipe,
    save_video,
    usual_ending,
)
from sdcpu.videos import GeneratedVideo, VideoRequest, video_request_of
from tests.video_models import colours_of, frames_of

COLOURS = ((250, 10, 10), (10, 240, 10), (10, 10, 250))
RECIPE = {"recipe_version": 1, "prompt": "wäves 🌊 " + "long " * 200, "seed": 7, "frames": 3}


def frames(width: int = 32, height: int = 16) -> tuple[Image.Image, ...]:
    return tuple(Image.new("RGB", (width, height), colour) for colour in COLOURS)


WRONG = [
    ({"frames": 0}, "number of frames is 0"),
    ({"frames": 1.5}, "a whole number"),
    ({"fps": 0}, "frames per second is 0"),
    ({"fps": 500}, "to 120"),
    ({"flow_shift": -1}, "flow shift"),
    ({"high_noise_steps": -1}, "high-noise steps"),
    ({"high_noise_cfg_scale": 101}, "high-noise cfg scale"),
    ({"count": 2}, "One video is made at a time"),
    ({"init_image": "a.png", "mask_image": "b.png"}, "with a mask"),
    ({"control_image": "a.png"}, "with a control picture"),
    ({"ref_images": ("a.png",)}, "with reference pictures"),
    ({"init_image": "a.png", "extension": (8, 0, 0, 0)}, "with an extension"),
    ({"seamless": "x"}, "with seamless edges"),
    ({"upscale": 2}, "with an upscaler"),
    ({"hires": 2.0}, "with a second pass"),
    ({"tiled": True}, "with tiles"),
    ({"embeddings": ("a.safetensors",)}, "with textual inversions"),
    ({"init_image": "a.png", "fit": "pad"}, "cannot be padded"),
    ({"steps": 0}, "steps is 0"),
    ({"length": 3}, "VideoRequest"),
]


@pytest.mark.parametrize(("values", "said"), WRONG)
def test_requests_that_cannot_be(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        video_request_of("waves", values)
    assert said in f"{error.value.message} {error.value.hint}"


def test_a_recipe_asks_for_the_same_video() -> None:
    recipe = {"prompt": "waves", "frames": 9, "fps": 8, "flow_shift": 3.0, "model": "wan"}
    request = VideoRequest(**request_fields(recipe, VideoRequest))
    assert request == VideoRequest(prompt="waves", frames=9, fps=8, flow_shift=3.0)
    assert "frames" not in request_fields(recipe), "a picture has none"


def test_what_a_video_tells_of_itself() -> None:
    request = VideoRequest(prompt="waves")
    video = GeneratedVideo(
        frames=frames(), fps=12.0, request=request, model="wan", seed=7, seconds=1.0
    )
    assert (video.width, video.height, video.duration) == (32, 16, 0.25)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.webp", "a.gif", "A.GIF", "frames"])
def test_frames_come_back_in_order_with_the_recipe(name: str, tmp_path: Path) -> None:
    path = save_video(frames(), 8, tmp_path / name, RECIPE)
    seen = colours_of(path)
    assert len(seen) == len(COLOURS)
    for colour, wanted in zip(seen, COLOURS, strict=True):
        assert max(abs(a - b) for a, b in zip(colour, wanted, strict=True)) <= 15
    assert read_video_recipe(path / "frame-0002.png" if path.is_dir() else path) == RECIPE
    assert [file.name for file in tmp_path.iterdir()] == [name], "nothing is left beside it"


@pytest.mark.parametrize(("name", "fps"), [("a.gif", 16), ("a.webp", 24), ("a.gif", 100)])
def test_animations_last_as_long_as_they_should(name: str, fps: int, tmp_path: Path) -> None:
    many = [Image.new("RGB", (8, 8), (5 * index, 0, 255 - 5 * index)) for index in range(48)]
    save_video(many, fps, tmp_path / name, None)
    with Image.open(tmp_path / name) as image:
        shown = 0
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            shown += image.info["duration"]
    assert abs(shown - 48_000 / fps) <= 10


def test_containers_know_the_speed(tmp_path: Path) -> None:
    import av

    for name in ("a.mp4", "a.webm"):
        save_video(frames(), 12.5, tmp_path / name, None)
        with av.open(str(tmp_path / name)) as container:
            assert float(container.streams.video[0].average_rate or 0) == 12.5


def test_odd_sides_lose_a_row_in_containers_only(tmp_path: Path) -> None:
    for name, size in (("a.mp4", (32, 16)), ("a.webp", (33, 17))):
        save_video(frames(33, 17), 8, tmp_path / name, None)
        assert next(frames_of(tmp_path / name)).size == size


def test_a_video_of_one_frame(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.gif", "a.webp"):
        assert len(colours_of(save_video(frames()[:1], 8, tmp_path / name, RECIPE))) == 1


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usual_ending() == ".mp4"
    find = util.find_spec
    monkeypatch.setattr(video_files, "find_spec", lambda name: None if name == "av" else find(name))
    assert usual_ending() == ".webp"
    (tmp_path / "b.mp4").touch()
    for refused in (
        lambda: check_video_output(tmp_path / "a.mp4"),
        lambda: read_video_recipe(tmp_path / "b.mp4"),
    ):
        with pytest.raises(InvalidRequestError, match="PyAV") as error:
            refused()
        assert 'pip install "sdcpu[video]"' in error.value.hint
    save_video(frames(), 8, tmp_path / "a.gif", None)


def test_what_is_there_stays(tmp_path: Path) -> None:
    for name in ("a.gif", "frames"):
        save_video(frames(), 8, tmp_path / name, RECIPE)
        with pytest.raises(InvalidRequestError, match=r"already\."):
            check_video_output(tmp_path / name, overwrite=False)
        save_video(frames(), 8, tmp_path / name, None)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_the_first_frame(name: str, tmp_path: Path) -> None:
    path = save_video(frames(), 8, tmp_path / name, None)
    shown = first_frame(path)
    assert shown.size == (32, 16)
    colour = shown.getpixel((16, 8))
    assert isinstance(colour, tuple)
    assert colour[0] > 230 > 30 > max(colour[1:])


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_files_without_a_recipe(name: str, tmp_path: Path) -> None:
    save_video(frames(), 8, tmp_path / name, None)
    with pytest.raises(InvalidRequestError, match="no recipe"):
        read_video_recipe(tmp_path / name)
    (tmp_path / name).write_bytes(b"no video")
    with pytest.raises(InvalidRequestError, match="can be read"):
        read_video_recipe(tmp_path / name)


def test_a_comment_of_another_program(tmp_path: Path) -> None:
    frames()[0].save(tmp_path / "a.gif", comment=json.dumps(["made elsewhere"]).encode())
    with pytest.raises(InvalidRequestError, match="no recipe"):
        read_video_recipe(tmp_path / "a.gif")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InvalidRequestError, match="No space left"):
        save_video(frames(), 8, tmp_path / "a.gif", None)
    assert list(tmp_path.iterdir()) == []

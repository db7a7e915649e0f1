"""Drawing on another machine: an sdcpu server, or a service with OpenAI's images API."""

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from sdcpu.cli.generate import generate as command
from sdcpu.errors import (
    CancelledError,
    EngineCrashedError,
    InvalidRequestError,
    NotEnoughMemoryError,
    RemoteError,
    UnknownModelError,
)
from sdcpu.events import Preview, Progress
from sdcpu.generator import ImageGenerator
from sdcpu.images import GeneratedImage
from sdcpu.job_queue import JobQueue, JobState
from sdcpu.remote import RemoteGenerator, RemotePlan, sdcpu_server
from sdcpu.remote.connection import Address
from sdcpu.server.access import Access
from sdcpu.settings import load_settings
from tests.fake_generators import Studio, settings_in
from tests.image_service import KEY, ImageService, png
from tests.serving import serving

TOKEN = "only-for-tests"


@pytest.fixture
def url(queue: JobQueue) -> Iterator[str]:
    with serving(queue, access=Access(token=TOKEN)) as url:
        yield url


@pytest.fixture
def generator(url: str) -> Iterator[RemoteGenerator]:
    with RemoteGenerator(url, model="demo", token=TOKEN) as generator:
        yield generator


@pytest.mark.parametrize(
    ("written", "text", "warned"),
    [
        ("studio.local:7860", "http://studio.local:7860", True),
        ("http://localhost:7860/", "http://localhost:7860", False),
        ("https://images.example/v1/", "https://images.example/v1", False),
        ("http://[::1]:80", "http://[::1]:80", False),
        ("http://127.0.0.1.evil.example", "http://127.0.0.1.evil.example", True),
    ],
)
def test_an_address_says_whether_others_can_read_what_goes_there(
    written: str, text: str, warned: bool
) -> None:
    address = Address.read(written)
    assert address.text == text
    assert bool(address.warning) == warned


@pytest.mark.parametrize(
    "written", ["", "ftp://x", "http://", "http://u:p@x", "http://x/?key=1", "http://x:port", "a b"]
)
def test_what_is_no_address_is_refused_before_anything_is_sent(written: str) -> None:
    with pytest.raises(InvalidRequestError):
        RemoteGenerator(written)


def test_pictures_come_with_what_made_them(generator: RemoteGenerator) -> None:
    first, second = generator.generate_many("a red circle", count=2, seed=7, width=32, height=48)
    assert (first.seed, second.seed) == (7, 8)
    assert first.image.size == (32, 48)
    assert first.model == "demo"
    assert first.request.prompt == "a red circle"
    assert first.recipe["seed"] == 7


def test_events_come_as_they_do_here(generator: RemoteGenerator, url: str, studio: Studio) -> None:
    studio.seconds_each = 0.1
    events = list(generator.stream("a red circle", seed=1, steps=3, preview="proj"))
    plan = events[0]
    assert isinstance(plan, RemotePlan)
    assert (plan.address, plan.model) == (url, "demo")
    assert isinstance(events[-1], GeneratedImage)
    steps = [event.step for event in events if isinstance(event, Progress)]
    assert steps
    assert max(steps) <= 3
    assert all(event.image.size == (8, 8) for event in events if isinstance(event, Preview))


def test_a_plan_draws_nothing(generator: RemoteGenerator, studio: Studio) -> None:
    assert generator.plan("a red circle", width=64, height=64).model == "demo"
    assert not studio.drawn


def test_pictures_of_a_request_are_brought_without_what_a_camera_wrote(
    generator: RemoteGenerator, queue: JobQueue, tmp_path: Path
) -> None:
    start = tmp_path / "start.jpg"
    exif = Image.Exif()
    exif[0x010F] = "A camera of mine"
    Image.new("RGB", (64, 64), "blue").save(start, exif=exif)
    generator.generate("a red circle", init_image=start, strength=0.5)
    (uploaded,) = (queue.folder / "uploads").glob("*.png")
    assert b"camera of mine" not in uploaded.read_bytes()
    with Image.open(uploaded) as picture:
        assert picture.size == (64, 64)


def test_errors_of_the_server_are_the_errors_that_they_are_here(
    generator: RemoteGenerator, url: str
) -> None:
    with pytest.raises(EngineCrashedError):
        generator.generate("crash")
    with (
        RemoteGenerator(url, model="no-such-model", token=TOKEN) as other,
        pytest.raises(UnknownModelError),
    ):
        other.generate("a red circle")


def test_without_the_token_the_server_refuses(url: str) -> None:
    with (
        RemoteGenerator(url, settings=load_settings({})) as generator,
        pytest.raises(RemoteError) as caught,
    ):
        generator.generate("a red circle")
    assert "SDCPU_REMOTE_TOKEN" in caught.value.hint


def test_leaving_early_cancels_the_job(
    generator: RemoteGenerator, queue: JobQueue, studio: Studio
) -> None:
    events = generator.stream("wait for it")
    next(events)
    assert studio.drawing.wait(10)
    events.close()
    (job,) = queue.jobs()
    assert queue.wait(job.id, timeout=10).state is JobState.CANCELLED


def test_cancel_ends_it_from_another_thread(generator: RemoteGenerator, studio: Studio) -> None:
    def cancel() -> None:
        assert studio.drawing.wait(10)
        generator.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(CancelledError):
        generator.generate("wait for it")
    thread.join()


def test_a_connection_that_is_lost_costs_no_picture(
    tmp_path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes away while it draws, and comes back at the same place."""
    monkeypatch.setattr(sdcpu_server, "SECONDS_BETWEEN_LOOKS", 0.02)
    pictures: list[GeneratedImage] = []
    settings = settings_in(tmp_path / "settings")
    with JobQueue(tmp_path / "queue", settings=settings, make_generator=studio) as queue:
        with serving(queue) as url:
            port = int(url.rpartition(":")[2])
            generator = RemoteGenerator(url, model="demo")
            thread = threading.Thread(
                target=lambda: pictures.append(generator.generate("wait for it", seed=3))
            )
            thread.start()
            assert studio.drawing.wait(10)
        studio.released.set()
        with serving(queue, port=port):
            thread.join(20)
            generator.close()
    assert [picture.seed for picture in pictures] == [3]
    assert studio.drawn == [("wait for it", 3)]


def test_nobody_there_is_said_with_the_address() -> None:
    with RemoteGenerator("http://127.0.0.1:9") as generator, pytest.raises(RemoteError) as caught:
        generator.generate("a red circle")
    assert "127.0.0.1:9" in caught.value.message


def test_offline_means_that_nothing_is_sent() -> None:
    settings = replace(load_settings({}), offline=True)
    with pytest.raises(InvalidRequestError, match="network"):
        RemoteGenerator("http://127.0.0.1:9", settings=settings)


def test_a_service_with_openai_s_api_draws_with_the_key_of_the_user() -> None:
    with (
        ImageService() as service,
        RemoteGenerator(service.url, model="painter-1", token=KEY) as generator,
    ):
        first, second = generator.generate_many(
            "a red circle", count=2, width=1024, height=1024, quality="best"
        )
    assert first.image.size == (16, 16)
    assert (first.index, second.index) == (0, 1)
    assert first.recipe["revised_prompt"] == "a redder circle"
    asked = service.asked[-1]
    assert asked.path == "/v1/images/generations"
    assert json.loads(asked.body) == {
        "model": "painter-1",
        "prompt": "a red circle",
        "n": 2,
        "size": "1024x1024",
        "quality": "high",
    }


def test_the_key_goes_to_the_service_alone() -> None:
    with (
        ImageService(by_address=True) as service,
        RemoteGenerator(f"{service.url}/v1", model="painter-1", token=KEY) as generator,
    ):
        assert generator.generate("a red circle").image.size == (16, 16)
    assert [(asked.path, asked.authorization) for asked in service.asked] == [
        ("/v1/images/generations", f"Bearer {KEY}"),
        ("/kept/1.png", None),
    ]


def test_masks_reach_a_service_as_it_takes_them() -> None:
    picture, mask = Image.new("RGB", (8, 8), "blue"), Image.new("L", (8, 8))
    mask.paste(255, (0, 0, 4, 8))
    with (
        ImageService() as service,
        RemoteGenerator(f"{service.url}/v1", model="painter-1", token=KEY) as generator,
    ):
        generator.generate("a red circle", init_image=picture, mask_image=mask)
    (asked,) = service.asked
    assert asked.path == "/v1/images/edits"
    start = asked.body.index(b"\x89PNG", asked.body.index(b'name="mask"'))
    with Image.open(io.BytesIO(asked.body[start:])) as sent:
        opacity = sent.getchannel("A")
        assert (opacity.getpixel((0, 0)), opacity.getpixel((7, 0))) == (0, 255)


@pytest.mark.parametrize(
    ("request_", "model"),
    [
        ({"steps": 4}, "painter-1"),
        ({"loras": (("ink", 1.0),)}, "painter-1"),
        ({"width": 512}, "painter-1"),
        ({}, None),
    ],
)
def test_what_a_service_has_no_word_for_is_refused_before_it_is_asked(
    request_: dict[str, Any], model: str | None
) -> None:
    with (
        ImageService() as service,
        RemoteGenerator(f"{service.url}/v1", model=model, token=KEY) as generator,
        pytest.raises(InvalidRequestError),
    ):
        generator.generate("a red circle", **request_)
    assert not service.asked


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>"),
        (200, b"{}"),
        (200, b'{"data": [{"b64_json": "!"}]}'),
        (200, b'{"data": [{"b64_json": "aGVsbG8="}]}'),
        (200, b'{"data": [7]}'),
        (302, b""),
        (429, b'{"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}'),
        (500, b"oh no"),
    ],
)
def test_a_strange_answer_is_an_error_of_ours(answer: tuple[int, bytes]) -> None:
    with (
        ImageService(answers=[answer]) as service,
        RemoteGenerator(f"{service.url}/v1", model="painter-1", token=KEY) as generator,
        pytest.raises(RemoteError),
    ):
        generator.generate("a red circle")


def test_the_command_says_where_the_words_go(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDCPU_REMOTE_TOKEN", TOKEN)
    target = tmp_path / "circle.png"
    arguments = ["a red circle", "-m", "demo", "--remote", url, "-q", "-o", str(target)]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.stdout == f"{target}\n"
    assert f"leave this machine: {url}" in result.stderr
    assert target.read_bytes().startswith(png()[:8])


def test_if_needed_draws_here_where_it_can(
    monkeypatch: pytest.MonkeyPatch, url: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDCPU_REMOTE_TOKEN", TOKEN)
    arguments = ["a red circle", "--remote", url, "--if-needed", "-o", str(tmp_path / "a.png")]
    # A size that the fake generator of the server draws, and this machine is told to be too small.
    too_small = [*arguments, "-m", "demo", "--memory-limit", "100 MB"]
    result = CliRunner().invoke(command, too_small, catch_exceptions=False)
    assert "This machine cannot draw it" in result.stderr
    assert "leave this machine" in result.stderr
    planned = []

    def plan(self: ImageGenerator, prompt: str = "", **request: Any) -> None:
        planned.append(prompt)

    def stream(self: ImageGenerator, prompt: str, **request: Any) -> Iterator[Any]:
        raise NotEnoughMemoryError("drawn here")
        yield

    monkeypatch.setattr(ImageGenerator, "plan", plan)
    monkeypatch.setattr(ImageGenerator, "stream", stream)
    with pytest.raises(NotEnoughMemoryError, match="drawn here"):
        CliRunner().invoke(command, [*arguments, "--force", "-m", "demo"], catch_exceptions=False)
    assert planned == ["a red circle"]


@pytest.mark.parametrize("more", [["--threads", "2"], ["--build", "cpu"]])
def test_options_of_this_machine_mean_nothing_elsewhere(more: list[str]) -> None:
    arguments = ["a red circle", "--remote", "http://127.0.0.1:9", *more]
    assert CliRunner().invoke(command, arguments).exit_code == 2

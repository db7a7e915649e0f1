"""OpenAI's images API, with OpenAI's own client."""

import base64
import io
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from PIL import Image

from sdcpu.job_queue import JobQueue, JobState
from sdcpu.recipe import read_recipe
from sdcpu.server.access import Access
from sdcpu.server.openai_requests import ImagesOrder, order_of, takes_references
from tests.fake_generators import Studio
from tests.serving import serving

SECONDS = 60
TOKEN = "correct horse battery"


@pytest.fixture
def address(queue: JobQueue) -> Iterator[str]:
    with serving(queue, access=Access(token=TOKEN)) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{address}/v1", api_key=TOKEN, timeout=SECONDS, max_retries=0) as client:
        yield client


def opened(picture: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.b64_json)))


def last_request(queue: JobQueue) -> dict[str, Any]:
    return dict(queue.jobs(limit=1)[0].request)


def test_pictures_from_a_prompt(client: OpenAI, queue: JobQueue) -> None:
    answer = client.images.generate(
        prompt="a red circle", n=2, size="64x32", quality="low", extra_body={"seed": 7}
    )
    assert answer.data is not None
    assert [opened(each).size for each in answer.data] == [(64, 32), (64, 32)]
    assert [each.model_extra for each in answer.data] == [{"seed": 7}, {"seed": 8}]
    assert (answer.size, answer.quality, answer.output_format) == ("64x32", "low", "png")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 0
    assert last_request(queue) == {
        "prompt": "a red circle",
        "count": 2,
        "width": 64,
        "height": 32,
        "quality": "draft",
        "seed": 7,
    }
    assert queue.jobs(limit=1)[0].client == "openai"


@pytest.mark.parametrize("asked", ["gpt-image-2", "dall-e-3", "chatgpt-image-latest"])
def test_the_usual_model_draws_in_place_of_theirs(
    client: OpenAI, queue: JobQueue, asked: str
) -> None:
    answer = client.images.generate(prompt="a", model=asked, response_format="b64_json")
    assert answer.model_extra is not None
    assert answer.model_extra["model"] == "demo"
    assert answer.model_extra["notes"] == [f"{asked} is not here: demo drew in its place."]
    assert queue.jobs(limit=1)[0].model is None


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_formats(client: OpenAI, kind: Any) -> None:
    answer = client.images.generate(prompt="a", output_format=kind, output_compression=50)
    assert answer.data is not None
    with opened(answer.data[0]) as image:
        assert image.format == kind.upper()
    assert answer.output_format == kind


def test_pictures_as_addresses(client: OpenAI, tmp_path: Any) -> None:
    answer = client.images.generate(
        prompt="a red circle", response_format="url", output_format="webp"
    )
    assert answer.data is not None
    address = answer.data[0].url
    assert address is not None
    assert answer.data[0].b64_json is None
    fetched = httpx2.get(address, timeout=SECONDS, headers={"authorization": f"Bearer {TOKEN}"})
    path = tmp_path / "fetched.webp"
    path.write_bytes(fetched.content)
    assert read_recipe(path)["prompt"] == "a red circle"
    old = client.images.generate(prompt="a", model="dall-e-2")
    assert old.data is not None
    assert old.data[0].url is not None


def test_partial_pictures(client: OpenAI, studio: Studio) -> None:
    studio.seconds_each = 0.1
    events = list(
        client.images.generate(
            prompt="a", stream=True, partial_images=2, extra_body={"steps": 6, "seed": 1}
        )
    )
    kinds = [event.type for event in events]
    assert kinds[-1] == "image_generation.completed"
    partial = [event for event in events if event.type == "image_generation.partial_image"]
    assert 1 <= len(partial) <= 2
    assert [event.partial_image_index for event in partial] == list(range(len(partial)))
    assert opened(partial[0]).size == (8, 8)
    assert opened(events[-1]).size == (64, 64)


def test_a_stream_without_partial_pictures(client: OpenAI, queue: JobQueue) -> None:
    (event,) = client.images.generate(prompt="a", stream=True)
    assert event.type == "image_generation.completed"
    assert "preview" not in last_request(queue)


def test_models(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "demo" in names
    assert "sd-turbo" not in names, "it is not here"
    assert client.models.retrieve("demo").owned_by == "sdcpu"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("sd-turbo/none")


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({"size": "large"}, "size"),
        ({"size": "1x1"}, "size"),
        ({"size": "99999x8"}, "size"),
        ({"n": 11}, "n"),
        ({"quality": "perfect"}, "quality"),
        ({"background": "transparent"}, "background"),
        ({"output_format": "svg"}, "output_format"),
        ({"partial_images": 4}, "partial_images"),
        ({"extra_body": {"unknown": 1}}, "unknown"),
        ({"extra_body": {"steps": 0}}, "steps"),
        ({"prompt": 1}, "prompt"),
    ],
)
def test_what_cannot_be_is_a_bad_request(
    client: OpenAI, values: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(**({"prompt": "a"} | values))
    assert refused.value.param == parameter
    assert refused.value.type == "invalid_request_error"


def test_errors_are_the_exceptions_of_the_client(client: OpenAI, queue: JobQueue) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").images.generate(prompt="a")
    with pytest.raises(openai.BadRequestError, match="PNG"):
        client.images.edit(image=b"no picture", prompt="a")
    with pytest.raises(openai.BadRequestError, match="form"):
        client.post("/images/edits", body={"prompt": "a"}, cast_to=object)
    with pytest.raises(openai.InternalServerError, match="cannot be drawn") as failed:
        client.with_options(max_retries=5).images.generate(prompt="refuse")
    assert failed.value.code == "generation"
    assert len(queue.jobs()) == 1, "it was not tried again"
    with pytest.raises(openai.APIError, match="cannot be drawn"):
        list(client.images.generate(prompt="refuse", stream=True))


def test_who_cancels_is_told(client: OpenAI, queue: JobQueue, studio: Studio) -> None:
    threading.Thread(target=lambda: studio.drawing.wait(SECONDS) and queue.interrupt()).start()
    with pytest.raises(openai.ConflictError):
        client.images.generate(prompt="wait for it")


def test_a_client_that_leaves_cancels_its_job(
    client: OpenAI, queue: JobQueue, studio: Studio
) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=2).images.generate(prompt="wait for it")
    (job,) = queue.jobs()
    assert queue.wait(job.id, SECONDS).state is JobState.CANCELLED
    stream = client.images.generate(prompt="wait once more", stream=True)
    stream.close()
    job = queue.jobs(limit=1)[0]
    assert queue.wait(job.id, SECONDS).state is JobState.CANCELLED


def test_values_in_a_form() -> None:
    form = {"prompt": ["a"], "styles[]": ["x", "y"], "loras": ['[["z", 0.5]]'], "n": ["2"]}
    order = ImagesOrder.model_validate(order_of(form))
    assert order.values() == {
        "prompt": "a",
        "styles": ["x", "y"],
        "loras": [["z", 0.5]],
        "count": 2,
    }


def test_which_models_edit(queue: JobQueue) -> None:
    from sdcpu.registry import load_registry

    registry = load_registry(None)
    assert takes_references("flux2-klein-4b", queue.settings, registry)
    assert not takes_references("sd-turbo", queue.settings, registry)
    assert not takes_references(None, queue.settings, registry)
    assert not takes_references("/some/file.gguf", queue.settings, registry)

"""Edits and variations in OpenAI's images API, with OpenAI's own client."""

import base64

import openai
import pytest
from openai import OpenAI
from PIL import Image

from sdcpu.job_queue import JobQueue
from tests.server.test_openai import address, client, last_request
from tests.server.test_uploads import encoded, picture

__all__ = ["address", "client"]


def masked() -> Image.Image:
    image = picture().convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    return image


def test_an_edit_with_a_mask(client: OpenAI, queue: JobQueue) -> None:
    answer = client.images.edit(
        image=("picture.png", encoded(picture())),
        mask=("mask.png", encoded(masked())),
        prompt="a red circle",
        n=2,
        size="auto",
        extra_body={"seed": 3, "loras": []},
    )
    assert answer.data is not None
    assert len(answer.data) == 2
    request = last_request(queue)
    assert request["init_image"].startswith("upload:")
    assert request["mask_image"].startswith("upload:")
    assert request["init_image"] != request["mask_image"]
    assert (request["strength"], request["seed"], request["count"]) == (1.0, 3, 2)
    assert "width" not in request


def test_a_transparent_picture_is_its_own_mask(client: OpenAI, queue: JobQueue) -> None:
    client.images.edit(image=encoded(masked()), prompt="a", extra_body={"strength": 0.5})
    request = last_request(queue)
    assert request["init_image"] == request["mask_image"]
    assert request["strength"] == 0.5
    client.images.edit(image=encoded(picture().convert("RGBA")), prompt="a")
    assert "mask_image" not in last_request(queue)


def test_several_pictures_need_a_model_that_edits(
    client: OpenAI, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [encoded(picture()), encoded(picture())]
    with pytest.raises(openai.BadRequestError, match="one picture") as refused:
        client.images.edit(image=pictures, prompt="a")
    assert refused.value.param == "image"
    monkeypatch.setattr("sdcpu.server.openai_drawing.takes_references", lambda *_: True)
    client.images.edit(image=pictures, prompt="a")
    assert len(last_request(queue)["ref_images"]) == 2


def test_an_edit_as_a_stream(client: OpenAI) -> None:
    (event,) = client.images.edit(image=encoded(picture()), prompt="a", stream=True)
    assert event.type == "image_edit.completed"


def test_variations(client: OpenAI, queue: JobQueue) -> None:
    first = client.images.generate(prompt="a red circle", extra_body={"seed": 1})
    assert first.data is not None
    drawn = base64.b64decode(str(first.data[0].b64_json))
    with pytest.warns(
        DeprecationWarning, match="deprecated"
    ):  # OpenAI's own server has none any more
        answer = client.images.create_variation(image=drawn, n=2, response_format="b64_json")
    assert answer.data is not None
    assert len(answer.data) == 2
    assert last_request(queue)["prompt"] == "a red circle"
    assert last_request(queue)["strength"] == 0.6

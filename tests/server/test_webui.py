"""AUTOMATIC1111's API, spoken by its clients: `webuiapi`, and plain requests for the rest."""

import base64
import io
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import webuiapi
from PIL import Image, PngImagePlugin

from sdcpu.job_queue import JobQueue, JobState
from sdcpu.sampling import SAMPLERS, SCHEDULERS
from sdcpu.server.access import Access
from sdcpu.server.webui_names import SAMPLER_NAMES, SCHEDULER_NAMES
from tests.fake_generators import Studio
from tests.serving import serving

TOKEN = "only-for-tests"


@pytest.fixture
def api(client: httpx2.Client) -> webuiapi.WebUIApi:
    return webuiapi.WebUIApi(baseurl=f"{str(client.base_url).rstrip('/')}/sdapi/v1")


def base64_of(picture: Image.Image) -> str:
    written = io.BytesIO()
    picture.save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def last_request(queue: JobQueue) -> dict[str, Any]:
    return dict(queue.jobs(limit=1)[0].request)


def test_every_sampler_and_scheduler_has_a_name_of_theirs() -> None:
    assert tuple(SAMPLER_NAMES) == SAMPLERS
    assert tuple(SCHEDULER_NAMES) == SCHEDULERS


def test_pictures_from_a_prompt(api: webuiapi.WebUIApi, queue: JobQueue) -> None:
    result = api.txt2img(
        prompt="a red circle", seed=7, batch_size=2, steps=4, cfg_scale=1.5, width=64, height=96
    )
    assert [picture.size for picture in result.images] == [(64, 96), (64, 96)]
    assert result.info["all_seeds"] == [7, 8]
    assert "Steps: 4" in result.info["infotexts"][0]
    assert "Steps: 4" in result.images[0].text["parameters"]
    asked = last_request(queue)
    assert (asked["sampler"], asked["count"], asked["steps"]) == ("euler_a", 2, 4)
    assert "scheduler" not in asked
    assert "eta" not in asked
    assert queue.jobs()[0].client == "webui"


@pytest.mark.parametrize(
    ("sampler", "scheduler", "ours"),
    [
        ("DPM++ 2M Karras", "Automatic", ("dpm++2m", "karras")),
        ("DPM++ 2M", "SGM Uniform", ("dpm++2m", "sgm_uniform")),
        ("LCM", "automatic", ("lcm", None)),
        ("euler", "align_your_steps", ("euler", "ays")),
    ],
)
def test_names_of_theirs_are_understood(
    api: webuiapi.WebUIApi,
    queue: JobQueue,
    sampler: str,
    scheduler: str,
    ours: tuple[str, str | None],
) -> None:
    api.txt2img(prompt="a red circle", sampler_name=sampler, scheduler=scheduler)
    asked = last_request(queue)
    assert (asked.get("sampler"), asked.get("scheduler")) == ours


def test_every_sampler_that_is_listed_is_taken(api: webuiapi.WebUIApi) -> None:
    for name in api.util_get_sampler_names():
        api.txt2img(prompt="a red circle", sampler_name=name, steps=1)
    for name in api.util_get_scheduler_names():
        api.txt2img(prompt="a red circle", scheduler=name, steps=2)


def test_a_second_pass(api: webuiapi.WebUIApi, queue: JobQueue) -> None:
    api.txt2img(
        prompt="a red circle",
        width=64,
        height=64,
        enable_hr=True,
        hr_scale=1.5,
        hr_second_pass_steps=3,
        denoising_strength=0.4,
    )
    asked = last_request(queue)
    assert (asked["hires"], asked["hires_strength"], asked["hires_steps"]) == (1.5, 0.4, 3)
    assert "upscaler" not in asked


def test_pictures_from_a_picture(api: webuiapi.WebUIApi, queue: JobQueue) -> None:
    picture = Image.new("RGB", (64, 64), "blue")
    result = api.img2img(
        images=[picture], prompt="a red circle", denoising_strength=0.5, width=64, height=64
    )
    assert result.image.size == (64, 64)
    asked = last_request(queue)
    assert asked["init_image"].startswith("upload:")
    assert asked["strength"] == 0.5


@pytest.mark.parametrize(("inverted", "left"), [(0, 255), (1, 0)])
def test_a_mask_may_be_the_other_way_round(
    api: webuiapi.WebUIApi, queue: JobQueue, client: httpx2.Client, inverted: int, left: int
) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    api.img2img(
        images=[Image.new("RGB", (64, 64), "blue")],
        mask_image=mask,
        inpainting_mask_invert=inverted,
        prompt="a red circle",
        width=64,
        height=64,
    )
    kept = last_request(queue)["mask_image"].removeprefix("upload:")
    with Image.open(io.BytesIO(client.get(f"/api/v1/uploads/{kept}").content)) as seen:
        assert seen.getpixel((0, 0)) == left


def test_a_control_net_unit(api: webuiapi.WebUIApi, queue: JobQueue) -> None:
    unit = webuiapi.ControlNetUnit(
        image=Image.new("RGB", (64, 64), "white"), module="canny", model="None", weight=0.7
    )
    # What draws here is no Stable Diffusion with a ControlNet: that it is asked for, is enough.
    with pytest.raises(RuntimeError, match="ControlNet"):
        api.txt2img(prompt="a red circle", controlnet_units=[unit])
    assert api.controlnet_module_list() == ["none", "canny"]
    assert api.controlnet_model_list()
    assert api.controlnet_version() == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"restore_faces": True}, "restore_faces"),
        ({"subseed_strength": 0.5}, "seed"),
        ({"sampler_name": "DPM fast"}, "DPM fast"),
        ({"script_name": "x/y plot"}, "x/y plot"),
        ({"alwayson_scripts": {"ADetailer": {"args": [True]}}}, "ADetailer"),
        ({"override_settings": {"sd_model_checkpoint": "no-such-model"}}, "no-such-model"),
        ({"prompt": "refuse"}, ""),
        ({"steps": 999}, ""),
    ],
)
def test_what_cannot_be_had_is_refused_in_words(
    api: webuiapi.WebUIApi, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(RuntimeError) as caught:
        api.txt2img(**{"prompt": "a red circle"} | asked)
    status, body = caught.value.args
    assert 400 <= status < 500 or asked.get("prompt") == "refuse"
    assert said in json.loads(body)["detail"]


def test_the_model_can_be_chosen(api: webuiapi.WebUIApi, queue: JobQueue) -> None:
    assert "demo" in api.util_get_model_names()
    api.util_set_model("demo-base", find_closest=False)
    assert api.util_get_current_model() == "demo-base"
    api.txt2img(prompt="a red circle")
    assert queue.jobs()[0].model == "demo-base"
    api.txt2img(prompt="a red circle", override_settings={"sd_model_checkpoint": "demo"})
    assert queue.jobs()[0].model == "demo"


def test_interrupting_gives_what_is_finished(
    api: webuiapi.WebUIApi, queue: JobQueue, studio: Studio
) -> None:
    results: list[Any] = []
    thread = threading.Thread(
        target=lambda: results.append(api.txt2img(prompt="wait for it", steps=2))
    )
    thread.start()
    assert studio.drawing.wait(10)
    other = webuiapi.WebUIApi(baseurl=api.baseurl)
    assert other.get_progress()["state"]["job_count"] == 1
    assert other.get_progress()["progress"] > 0
    other.interrupt()
    thread.join(10)
    assert results[0].images == []
    assert queue.jobs()[0].state is JobState.CANCELLED
    assert other.get_progress()["progress"] == 0.0


def test_a_client_that_goes_away_is_drawn_for_no_longer(
    client: httpx2.Client, queue: JobQueue, studio: Studio
) -> None:
    body = json.dumps({"prompt": "wait for it"})
    head = f"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: {client.base_url.host}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    port = client.base_url.port
    assert port is not None
    with socket.create_connection((client.base_url.host, port)) as connection:
        connection.sendall((head + body).encode())
        assert studio.drawing.wait(20)
    (job,) = queue.jobs()
    assert queue.wait(job.id, timeout=10).state is JobState.CANCELLED


def test_a_picture_is_made_larger_without_a_model(api: webuiapi.WebUIApi) -> None:
    picture = Image.new("RGB", (20, 10), "blue")
    assert api.extra_single_image(picture, upscaling_resize=3).image.size == (60, 30)
    to_size = api.extra_single_image(
        picture, resize_mode=1, upscaling_resize_w=50, upscaling_resize_h=50, upscaling_crop=True
    )
    assert to_size.image.size == (50, 50)
    both = api.extra_batch_images([picture, picture], upscaling_resize=2)
    assert [each.size for each in both.images] == [(40, 20), (40, 20)]


def test_settings_in_a_picture_are_read(api: webuiapi.WebUIApi) -> None:
    ours = api.txt2img(prompt="a red circle", seed=7).image
    assert "Seed: 7" in api.png_info(ours).info
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a cat\nSteps: 20, Seed: 3")
    written = io.BytesIO()
    Image.new("RGB", (8, 8)).save(written, "PNG", pnginfo=text)
    assert api.png_info(Image.open(written)).info == "a cat\nSteps: 20, Seed: 3"
    assert api.png_info(Image.new("RGB", (8, 8))).info == ""


def test_lists_are_in_their_form(api: webuiapi.WebUIApi) -> None:
    assert {each["name"] for each in api.get_upscalers()} >= {"None", "Lanczos"}
    assert all({"title", "model_name", "filename"} <= set(each) for each in api.get_sd_models())
    assert {"name", "prompt", "negative_prompt"} <= set(api.get_prompt_styles()[0])
    assert all({"name", "alias", "path"} <= set(each) for each in api.get_loras())
    for empty in (
        api.get_hypernetworks(),
        api.get_face_restorers(),
        api.get_realesrgan_models(),
        api.get_latent_upscale_modes(),
        api.get_sd_vae(),
    ):
        assert empty == []
    assert api.get_memory()["ram"]["total"] > 0
    assert api.get_cmd_flags() == {}
    assert api.refresh_checkpoints() == {}
    assert api.get_embeddings()["loaded"] == {}


@pytest.mark.parametrize("broken", ["no base64 !", "aGVsbG8=", ""])
def test_what_is_no_picture_is_refused(client: httpx2.Client, broken: str) -> None:
    for path, body in (
        ("img2img", {"init_images": [broken]}),
        ("extra-single-image", {"image": broken}),
        ("png-info", {"image": broken}),
    ):
        answer = client.post(f"/sdapi/v1/{path}", json=body)
        assert 400 <= answer.status_code < 500, path
        assert answer.json()["detail"]


@pytest.fixture
def guarded(queue: JobQueue) -> Iterator[str]:
    with serving(queue, access=Access(token=TOKEN)) as url:
        yield url


def test_the_token_is_their_password(guarded: str, tmp_path: Path) -> None:
    place = f"{guarded}/sdapi/v1"
    allowed = webuiapi.WebUIApi(baseurl=place, username="anyone", password=TOKEN)
    assert allowed.txt2img(prompt="a red circle").image.size[0] > 0
    with pytest.raises(RuntimeError) as caught:
        webuiapi.WebUIApi(baseurl=place).txt2img(prompt="a red circle")
    assert caught.value.args[0] == 401

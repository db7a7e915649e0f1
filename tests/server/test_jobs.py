"""Our REST: jobs from their submission to their pictures."""

import io
import json
import time
from dataclasses import fields
from typing import Any, get_args

import httpx2
import pytest
from PIL import Image

from sdcpu.errors import InvalidRequestError
from sdcpu.images import ImageRequest
from sdcpu.job_queue import Job as QueueJob
from sdcpu.job_queue import JobProgress, JobQueue, JobResult, JobState
from sdcpu.server import schemas
from sdcpu.videos import VideoRequest
from tests.fake_generators import Studio

SECONDS = 20


def submit(client: httpx2.Client, **request: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/jobs", json={"request": {"prompt": "a red circle"} | request})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def finished(client: httpx2.Client, job: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        job = client.get(f"/api/v1/jobs/{job['id']}").json()
        if job["state"] in ("done", "failed", "cancelled"):
            return job
        time.sleep(0.01)
    raise AssertionError(f"still {job['state']}")


def error_code(answer: httpx2.Response) -> str:
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "hint"}
    assert error["message"]
    code: str = error["code"]
    return code


def test_a_job_from_beginning_to_end(client: httpx2.Client) -> None:
    job = submit(client, seed=7, count=2, width=32, height=48)
    assert job["client"] == "rest"
    done = finished(client, job)
    assert done["state"] == "done"
    assert [result["seed"] for result in done["results"]] == [7, 8]
    for index in range(2):
        answer = client.get(f"/api/v1/jobs/{job['id']}/results/{index}")
        assert answer.headers["content-type"] == "image/png"
        assert "immutable" in answer.headers["cache-control"]
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert picture.size == (32, 48)
            assert "sdcpu" in picture.info
    small = client.get(f"/api/v1/jobs/{job['id']}/results/0/thumbnail")
    with Image.open(io.BytesIO(small.content)) as picture:
        assert picture.format == "WEBP"
    assert client.get("/api/v1/jobs").json()["jobs"][0]["id"] == job["id"]
    assert client.get("/api/v1/jobs", params={"state": "queued"}).json()["jobs"] == []
    assert client.delete(f"/api/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/api/v1/jobs/{job['id']}").status_code == 404
    assert client.get(f"/api/v1/jobs/{job['id']}/results/0").status_code == 404


def test_jobs_that_wait(client: httpx2.Client, studio: Studio) -> None:
    running = submit(client, prompt="wait for it")
    assert studio.drawing.wait(SECONDS)
    first, second = submit(client), submit(client)
    assert (first["state"], second["position"]) == ("queued", 1)
    moved = client.patch(f"/api/v1/jobs/{second['id']}", json={"priority": 5})
    assert moved.json()["priority"] == 5
    cancelled = client.post(f"/api/v1/jobs/{first['id']}/cancel").json()
    assert cancelled["state"] == "cancelled"
    again = client.post(f"/api/v1/jobs/{first['id']}/retry")
    assert (again.status_code, again.json()["retry_of"]) == (202, first["id"])
    assert client.post(f"/api/v1/jobs/{second['id']}/retry").status_code == 409
    assert client.patch(f"/api/v1/jobs/{first['id']}", json={"priority": 1}).status_code == 409
    assert client.post(f"/api/v1/jobs/{running['id']}/cancel").status_code == 200
    assert finished(client, running)["state"] == "cancelled"
    assert finished(client, second)["state"] == "done"


def test_the_same_key_is_the_same_job(client: httpx2.Client) -> None:
    body = {"request": {"prompt": "a red circle"}}
    headers = {"Idempotency-Key": "order 1"}
    first = client.post("/api/v1/jobs", json=body, headers=headers).json()
    second = client.post("/api/v1/jobs", json=body, headers=headers).json()
    third = client.post("/api/v1/jobs", json=body | {"key": "order 1"}).json()
    assert first["id"] == second["id"] == third["id"]


def test_previews(client: httpx2.Client, studio: Studio) -> None:
    studio.seconds_each = 0.1
    job = submit(client, preview="auto", steps=3)
    deadline = time.monotonic() + SECONDS
    while (answer := client.get(f"/api/v1/jobs/{job['id']}/preview")).status_code == 404:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (8, 8)
    finished(client, job)


def test_a_full_queue_says_when_to_come_again(client: httpx2.Client, queue: JobQueue) -> None:
    submit(client, prompt="wait for it")
    while queue.jobs(states=(JobState.QUEUED,)):
        time.sleep(0.01)
    for _ in range(queue.limits.most_waiting):
        queue.submit({"prompt": "a red circle"})
    answer = client.post("/api/v1/jobs", json={"request": {"prompt": "a red circle"}})
    assert (answer.status_code, error_code(answer)) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1


NONSENSE: list[tuple[Any, int]] = [
    ({}, 422),
    ([], 422),
    (None, 422),
    ("text", 422),
    ({"request": {}}, 422),
    ({"request": {"prompt": 1}}, 422),
    ({"request": {"prompt": "a"}, "kind": "sculpture"}, 422),
    ({"request": {"prompt": "a"}, "kind": {"a": 1}}, 422),
    ({"request": {"prompt": "a"}, "priority": 11}, 422),
    ({"request": {"prompt": "a", "steps": "4"}}, 422),
    ({"request": {"prompt": "a", "steps": 4.5}}, 422),
    ({"request": {"prompt": "a", "steps": True}}, 422),
    ({"request": {"prompt": "a", "width": 2**70}}, 422),
    ({"request": {"prompt": "a", "unknown": 1}}, 422),
    ({"request": {"prompt": "a", "\ud800": 1}}, 422),
    ({"request": {"prompt": "a\ud800"}}, 422),
    ({"request": {"prompt": "a\0"}}, 422),
    ({"request": {"prompt": "a", "strength": 0.5}}, 422),
    ({"request": {"prompt": "a", "loras": [["x"]]}}, 422),
    ({"request": {"prompt": "a", "sigmas": [1, 2]}}, 422),
    ({"request": {"prompt": "a", "sampler": "none"}}, 422),
]


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/plan"])
def test_nonsense_is_refused_in_one_form(shared: httpx2.Client, path: str) -> None:
    headers = {"content-type": "application/json"}
    for body, expected in NONSENSE:
        answer = shared.post(path, content=json.dumps(body), headers=headers)
        assert answer.status_code == expected, (body, answer.text)
        assert error_code(answer) == "invalid_request"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"request": {"prompt": "a", "strength": NaN}}',
        b'{"request": {"prompt": "a", "seed": ' + b"9" * 5000 + b"}}",
    ],
)
def test_what_is_no_json_is_refused(shared: httpx2.Client, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = shared.post("/api/v1/jobs", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    error_code(answer)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/jobs/none", 404),
        ("GET", "/api/v1/jobs/%00", 404),
        ("GET", "/api/v1/jobs/..%2f..", 404),
        ("GET", "/api/v1/jobs/" + "x" * 300, 404),
        ("POST", "/api/v1/jobs/none/cancel", 404),
        ("POST", "/api/v1/jobs/none/retry", 404),
        ("DELETE", "/api/v1/jobs/none", 404),
        ("GET", "/api/v1/jobs/none/results/0", 404),
        ("GET", "/api/v1/jobs/none/results/x", 404),
        ("GET", "/api/v1/jobs/none/results/" + "9" * 30, 404),
        ("GET", "/api/v1/jobs/none/results/-1", 404),
        ("GET", "/api/v1/jobs/none/preview", 404),
        ("GET", "/api/v1/jobs/none/events", 404),
        ("GET", "/api/v1/jobs?before=none", 404),
        ("GET", "/api/v1/jobs?limit=0", 422),
        ("GET", "/api/v1/jobs?state=strange", 422),
        ("PUT", "/api/v1/jobs", 405),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api", 404),
    ],
)
def test_what_is_not_there(shared: httpx2.Client, method: str, path: str, expected: int) -> None:
    answer = shared.request(method, path)
    assert answer.status_code == expected, answer.text
    error_code(answer)


def test_lists(shared: httpx2.Client) -> None:
    for name in ("models", "loras", "upscalers", "styles", "samplers", "schedulers"):
        listed = shared.get(f"/api/v1/{name}").json()
        assert listed, name
        assert all(entry["name"] and entry["summary"] for entry in listed), name
    demo = next(each for each in shared.get("/api/v1/models").json() if each["name"] == "demo")
    assert demo["here"] is True
    assert demo["defaults"]["width"] == 256
    about = shared.get("/api/v1/about").json()
    assert about["default_model"] == "demo"
    assert about["downloads_allowed"] is False
    assert schemas.About.model_validate(about)


def test_a_plan(shared: httpx2.Client) -> None:
    answer = shared.post("/api/v1/plan", json={"request": {"prompt": "a red circle"}})
    assert answer.status_code == 200
    assert {"seconds_expected", "memory_needed", "download_bytes"} <= set(answer.json())


@pytest.mark.parametrize(
    ("schema", "kind"),
    [(schemas.PictureRequest, ImageRequest), (schemas.VideoRequest, VideoRequest)],
)
def test_the_document_knows_the_fields_of_a_request(
    schema: type[schemas.PictureRequest], kind: type[ImageRequest]
) -> None:
    own = {field.name: field.default for field in fields(kind)}
    told = {name: field.default for name, field in schema.model_fields.items()}
    assert set(own) == set(told)
    for name in own.keys() - {"prompt"}:
        default = told[name]
        assert own[name] == (tuple(default) if isinstance(default, list) else default), name


def bounds(schema: type[schemas.PictureRequest]) -> list[tuple[str, float]]:
    """Field and the first number that is too small, or too large, by its schema."""
    found = []
    for name, field in schema.model_fields.items():
        inner = [field.annotation, *get_args(field.annotation)]
        marks = [mark for part in inner for mark in getattr(part, "__metadata__", ())]
        for mark in [*field.metadata, *marks]:
            for each in getattr(mark, "metadata", [mark]):
                whole = int in (
                    field.annotation,
                    *get_args(field.annotation),
                    *[getattr(part, "__origin__", None) for part in inner],
                )
                step = 1 if whole else 0.01
                if getattr(each, "ge", None) is not None:
                    found.append((name, each.ge - step))
                if getattr(each, "le", None) is not None:
                    found.append((name, each.le + step))
    return found


@pytest.mark.parametrize(("name", "value"), bounds(schemas.VideoRequest))
def test_the_document_has_the_bounds_of_a_request(name: str, value: float) -> None:
    values: dict[str, Any] = {"prompt": "a"}
    kind = ImageRequest if name in {field.name for field in fields(ImageRequest)} else VideoRequest
    with pytest.raises(InvalidRequestError, match=str(value)):
        kind(**{**values, name: value})


def test_the_document_has_bounds_at_all() -> None:
    assert len(bounds(schemas.VideoRequest)) > 30


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        (schemas.Job, QueueJob),
        (schemas.Progress, JobProgress),
        (schemas.Result, JobResult),
    ],
)
def test_the_document_knows_the_fields_of_a_job(schema: Any, kind: Any) -> None:
    assert list(schema.model_fields) == [field.name for field in fields(kind)]

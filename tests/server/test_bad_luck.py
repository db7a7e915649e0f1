"""A server on a full disk, with files missing, too many callers, and requests made to break it."""

import base64
import errno
import io
import logging
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from PIL import Image

from sdcpu.errors import SdcpuError
from sdcpu.job_queue import JobQueue, JobState
from sdcpu.job_queue.desk import Desk
from sdcpu.server.limits import ServerLimits
from tests.fake_generators import Studio, settings_in
from tests.serving import serving

SECONDS = 20


def png() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(written, "PNG")
    return written.getvalue()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be written into the folder of uploads."""
    opened = Path.open

    def refused(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "w" in mode and self.suffix == ".coming":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(self, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)


@pytest.mark.usefixtures("full_disk")
def test_a_picture_that_finds_no_room_is_told_to_come_again(client: httpx2.Client) -> None:
    as_body = client.post("/api/v1/uploads", content=png(), headers={"content-type": "image/png"})
    in_json = client.post(
        "/sdapi/v1/img2img",
        json={"prompt": "a cat", "init_images": [base64.b64encode(png()).decode()]},
    )
    in_form = client.post(
        "/v1/images/edits", data={"prompt": "a cat"}, files={"image": ("a.png", png(), "image/png")}
    )
    for answer in (as_body, in_json, in_form):
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "60"
        assert "No space left" in answer.text


def test_a_full_disk_is_told_without_its_folder_logged_once_and_over(
    client: httpx2.Client,
    queue: JobQueue,
    studio: Studio,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    usage = shutil.disk_usage(queue.folder)
    free = iter(range(5_000_000, 90_000_000, 1_000_000))
    looks: list[int] = []

    def nearly_full(_: Path) -> Any:
        looks.append(next(free))
        return usage._replace(free=looks[-1])

    held = queue.submit({"prompt": "wait"})
    assert studio.drawing.wait(SECONDS)
    waiting = client.post("/api/v1/jobs", json={"request": {"prompt": "a cat"}}).json()
    with caplog.at_level(logging.WARNING, "sdcpu"), monkeypatch.context() as full:
        full.setattr("sdcpu.job_queue.folder.shutil.disk_usage", nearly_full)
        studio.released.set()
        queue.wait(held.id, SECONDS)
        refused = client.post("/api/v1/jobs", json={"request": {"prompt": "a dog"}})
        assert refused.status_code == 503
        until(lambda: len(looks) > 3)
        told = client.get("/api/v1/about").json()["statistics"]["problems"]
        full.undo()
        assert queue.wait(waiting["id"], SECONDS).state is JobState.DONE
    assert len(told) == 1
    assert "nearly full" in told[0]
    for text in (refused.text, told[0]):
        assert str(queue.folder.parent) not in text
    assert client.get("/api/v1/about").json()["statistics"]["problems"] == []
    logged = [record.getMessage() for record in caplog.records]
    assert len([each for each in logged if "nearly full" in each]) == 1
    assert str(queue.folder) in logged[0]
    assert "The queue goes on." in logged


def test_a_mistake_of_ours_does_not_end_the_thread_that_draws(
    queue: JobQueue, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Desk.take
    mistakes = iter([True])

    def mistaken(self: Desk, timeout: float | None) -> Any:
        found = take(self, timeout)
        if found is None and next(mistakes, False):
            raise ValueError("a damaged row")
        return found

    queue.wait(queue.submit({"prompt": "a cat"}).id, SECONDS)
    monkeypatch.setattr(Desk, "take", mistaken)
    monkeypatch.setattr(queue._threads[0].warm, "seconds_to_idle", lambda: 0.05)
    queue.wait(queue.submit({"prompt": "a dog"}).id, SECONDS)
    until(lambda: next(mistakes, False) is False)
    assert queue.wait(queue.submit({"prompt": "a bird"}).id, SECONDS).state is JobState.DONE
    assert [prompt for prompt, _ in studio.drawn] == ["a cat", "a dog", "a bird"]


@pytest.mark.parametrize("query", ["", "?format=webp", "/thumbnail"])
def test_a_picture_deleted_by_hand_is_not_here(
    client: httpx2.Client, queue: JobQueue, query: str
) -> None:
    job = queue.wait(queue.submit({"prompt": "a cat"}).id, SECONDS)
    queue.result_path(job.id, 0).unlink()
    assert client.get(f"/api/v1/jobs/{job.id}/results/0{query}").status_code == 404


def test_a_video_deleted_by_hand_is_not_here(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "0.mp4"
    monkeypatch.setattr("sdcpu.server.job_routes.result_file", lambda *_: (gone, "video/mp4"))
    assert client.get("/api/v1/jobs/a/results/0").status_code == 404


def test_a_pipe_in_an_allowed_folder_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with JobQueue(
        tmp_path / "queue",
        settings=settings_in(tmp_path / "settings"),
        make_generator=Studio(),
        allowed_folders=[tmp_path],
    ) as queue:
        for request, model in (
            ({"init_image": str(pipe)}, None),
            ({"embeddings": [str(pipe)]}, None),
            ({}, str(pipe)),
        ):
            with pytest.raises(SdcpuError):
                queue.submit({"prompt": "a cat"} | request, model=model)


def test_clients_see_no_folder_of_this_machine(client: httpx2.Client, queue: JobQueue) -> None:
    upload = client.post("/api/v1/uploads", content=png(), headers={"content-type": "image/png"})
    order = {"request": {"prompt": "a cat", "init_image": f"upload:{upload.json()['id']}"}}
    planned = client.post("/api/v1/plan", json=order)
    job = client.post("/api/v1/jobs", json=order).json()
    queue.wait(job["id"], SECONDS)
    done = client.get(f"/api/v1/jobs/{job['id']}")
    for answer in (planned, done):
        assert answer.status_code == 200
        assert answer.json().get("plan", answer.json())
        for folder in (str(queue.folder), "site-packages", str(Path.home())):
            assert folder not in answer.text
    assert done.json()["request"] == order["request"]


@pytest.mark.parametrize("field", ["override_settings", "alwayson_scripts"])
def test_what_is_nested_without_end_is_refused(client: httpx2.Client, field: str) -> None:
    nested = '{"a":' * 500 + "1" + "}" * 500
    answer = client.post(
        "/sdapi/v1/txt2img",
        content=f'{{"prompt": "a cat", "{field}": {nested}}}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422, answer.text


def test_control_characters_in_an_address_do_not_reach_the_log(
    client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sdcpu.server"):
        client.get("/%1b[2J%0d%0aforged%00")
        until(lambda: "forged" in caplog.text)
    (line,) = [record.getMessage() for record in caplog.records if "forged" in record.getMessage()]
    assert line.isprintable()


def test_more_connections_than_can_be_served_are_closed(queue: JobQueue) -> None:
    with serving(queue, limits=ServerLimits(most_requests=5)) as url:
        place = urlsplit(url)
        assert place.hostname
        assert place.port
        address = (place.hostname, place.port)
        with httpx2.Client(base_url=url, timeout=SECONDS) as early:
            assert early.get("/api/v1/jobs").status_code == 200
            idle = [socket.create_connection(address, timeout=SECONDS) for _ in range(30)]
            try:
                idle[-1].settimeout(SECONDS / 4)  # who says nothing has longer
                assert idle[-1].recv(1) == b""
                assert early.get("/api/v1/jobs").status_code == 200
            finally:
                for connection in idle:
                    connection.close()


def until(condition: Any) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_text_that_is_none_ends_a_socket_and_no_more(
    client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(client) as connection:
        connection.sendall(
            b"GET /api/v1/socket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 101")
        connection.sendall(b"\x81\x82\0\0\0\0\xff\xfe")
        while connection.recv(65536):
            pass
    assert client.get("/api/v1/jobs").status_code == 200
    assert not [record for record in caplog.records if record.exc_info]


def test_an_upload_cut_off_by_the_end_is_no_mistake(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sdcpu.server.running._LEAVE_SECONDS", 0.2)
    with serving(queue) as url, httpx2.Client(base_url=url, timeout=SECONDS) as client:
        connection = connected(client)
        connection.sendall(
            b"POST /api/v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
            b"Content-Length: 1000\r\n\r\nabc"
        )
        until(lambda: list((queue.folder / "uploads").glob("*.coming")))
    connection.close()
    assert not [record for record in caplog.records if record.exc_info]
    assert list((queue.folder / "uploads").iterdir()) == []


def connected(client: httpx2.Client) -> socket.socket:
    place = urlsplit(str(client.base_url))
    assert place.hostname
    assert place.port
    return socket.create_connection((place.hostname, place.port), timeout=SECONDS)

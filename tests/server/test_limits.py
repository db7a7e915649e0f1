"""How much a client may bring, and how slowly."""

import logging
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest

from sdcpu.job_queue import JobQueue
from sdcpu.server.access import Access
from sdcpu.server.limits import ServerLimits
from tests.fake_generators import Studio
from tests.serving import serving

LITTLE = ServerLimits(
    most_json_bytes=1000, most_upload_bytes=1000, header_seconds=0.3, body_seconds=0.5
)
LIMIT = 1000


@pytest.fixture
def url(queue: JobQueue) -> Iterator[str]:
    with serving(queue, limits=LITTLE) as url:
        yield url


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def everything(connection: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def head(path: str, *lines: str) -> bytes:
    start = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    return "\r\n".join([*start, *lines, "", ""]).encode()


def test_a_body_that_says_it_is_too_large_is_not_read(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(head("/api/v1/jobs", "Content-Length: 1000000000"))
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"too_large"' in answer


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/plan", "/api/v1/uploads"])
def test_a_body_that_turns_out_too_large_is_cut_off(url: str, path: str) -> None:
    with connected(url) as connection:
        connection.sendall(
            head(path, "Transfer-Encoding: chunked").replace(b"application/json", b"image/png")
        )
        part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        try:
            for _ in range(20):
                connection.sendall(part)
        except OSError:  # the server hung up meanwhile
            pass
        try:
            answer = everything(connection)
        except OSError:
            return
    assert answer.startswith(b"HTTP/1.1 413"), answer[:100]


def test_headers_that_come_slowly_are_not_waited_for(url: str) -> None:
    with connected(url) as connection:
        began = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX")
        assert everything(connection) == b""
        assert time.monotonic() - began < 10


def test_a_connection_that_says_nothing_is_closed(url: str) -> None:
    with connected(url) as connection:
        assert everything(connection) == b""


def test_a_body_that_comes_slowly_is_not_waited_for(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(head("/api/v1/jobs", "Content-Length: 100") + b"{")
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"too_slow" in answer


def test_a_body_that_nobody_reads_is_not_waited_for(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(head("/api/v1/nothing", "Content-Length: 900") + b"x")
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")
        began = time.monotonic()
        ended = False
        while not ended and time.monotonic() - began < 20:
            time.sleep(0.05)
            try:
                connection.sendall(b"x")
            except OSError:
                ended = True
    assert ended


def test_a_long_stream_is_not_slow(queue: JobQueue, url: str, studio: Studio) -> None:
    job = queue.submit({"prompt": "wait for it"})
    path = f"{url}/api/v1/jobs/{job.id}/events"
    with httpx2.stream("GET", path, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        time.sleep(0.8)  # longer than headers and bodies may take
        studio.released.set()
        assert "event: done" in list(lines)


def test_a_crowd_is_sent_away(queue: JobQueue) -> None:
    limits = ServerLimits(most_requests=1)
    with (
        serving(queue, limits=limits) as url,
        httpx2.stream("GET", f"{url}/api/v1/events", timeout=60),
    ):
        answer = httpx2.get(f"{url}/api/v1/about", timeout=60)
    assert answer.status_code == 503


def test_nothing_secret_is_logged(queue: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
    token = "correct-horse-battery"
    caplog.set_level(logging.DEBUG)
    with serving(queue, access=Access(token=token)) as url, httpx2.Client(base_url=url) as client:
        client.get("/", params={"token": token})
        client.get("/", params={"token": "wrong-horse"})
        client.get("/api/v1/about", headers={"authorization": f"Bearer {token}"})
        client.post("/api/v1/jobs", json={"request": {"prompt": "a private thing"}})
    ours = [record for record in caplog.records if record.name.startswith(("sdcpu", "uvicorn"))]
    assert any("/api/v1/about 200" in record.getMessage() for record in ours)
    said = "\n".join(record.getMessage() for record in ours)
    for secret in (token, "wrong-horse", "private"):
        assert secret not in said


def test_a_mistake_of_ours_is_told_in_the_same_form(
    client: httpx2.Client, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def statistics() -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(queue, "statistics", statistics)
    answer = client.get("/api/v1/about")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "secret detail" not in answer.text

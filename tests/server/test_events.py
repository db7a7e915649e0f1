"""What happens, as clients hear it: server-sent events and sockets."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from sdcpu.job_queue import Announcements, JobQueue
from sdcpu.server import streams as streams_module
from sdcpu.server.access import Access
from sdcpu.server.limits import ServerLimits
from sdcpu.server.streams import Streams
from tests.fake_generators import Studio
from tests.serving import serving

SECONDS = 20


def events(
    client: httpx2.Client, path: str, headers: dict[str, str] | None = None
) -> Iterator[tuple[str, int, Any]]:
    """Kind, number and data of each event, until the stream ends."""
    with client.stream("GET", path, headers=headers, timeout=SECONDS) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "data" in fields:
                yield fields["event"], int(fields["id"]), json.loads(fields["data"])
                fields = {}


def test_events_of_a_job(client: httpx2.Client, queue: JobQueue, studio: Studio) -> None:
    job = queue.submit({"prompt": "wait for it", "steps": 2})
    assert studio.drawing.wait(SECONDS)
    heard = []
    for kind, number, data in events(client, f"/api/v1/jobs/{job.id}/events"):
        heard.append((kind, number))
        assert data["id"] == job.id
        studio.released.set()
    kinds = [kind for kind, _ in heard]
    assert kinds[0] == "state"
    assert kinds[-1] == "done"
    assert {"progress", "result"} <= set(kinds)
    numbers = [number for _, number in heard]
    assert numbers == sorted(numbers)


def test_what_was_missed_is_told(client: httpx2.Client, queue: JobQueue, studio: Studio) -> None:
    job = queue.submit({"prompt": "wait for it"})
    assert studio.drawing.wait(SECONDS)
    stream = events(client, "/api/v1/events")
    kind, number, data = next(stream)
    assert (kind, [each["id"] for each in data["jobs"]]) == ("state", [job.id])
    stream.close()  # type: ignore[attr-defined]
    studio.released.set()
    queue.wait(job.id, SECONDS)
    again = events(client, "/api/v1/events", {"Last-Event-ID": str(number)})
    kinds = []
    for kind, later, _ in again:
        assert later >= number
        kinds.append(kind)
        if kind == "state":
            break
    assert kinds[-2:] == ["done", "state"]
    assert "result" in kinds


def test_a_job_that_has_ended_sends_browsers_away(client: httpx2.Client, queue: JobQueue) -> None:
    job = queue.submit({"prompt": "a red circle"})
    queue.wait(job.id, SECONDS)
    ((kind, number, data),) = events(client, f"/api/v1/jobs/{job.id}/events")
    assert (kind, data["state"]) == ("state", "done")
    path, heard = f"/api/v1/jobs/{job.id}/events", {"Last-Event-ID": str(number)}
    assert client.get(path, headers=heard).status_code == 204
    for strange in ("-1", "x", "9" * 100):
        assert client.get(path, headers={"Last-Event-ID": strange}).status_code in (200, 204)


def test_a_client_that_goes_away_leaves_nothing(client: httpx2.Client, queue: JobQueue) -> None:
    before = len(queue.announcements._listeners)
    for _ in range(5):
        stream = events(client, "/api/v1/events")
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + SECONDS
    while len(queue.announcements._listeners) > before and time.monotonic() < deadline:
        queue.submit({"prompt": "a red circle"})
        time.sleep(0.02)
    assert len(queue.announcements._listeners) == before


def test_streams_are_limited_and_end_with_the_server(queue: JobQueue) -> None:
    with httpx2.Client() as client:
        with serving(queue, limits=ServerLimits(most_streams=1)) as url:
            stream = events(client, f"{url}/api/v1/events")
            next(stream)
            refused = client.get(f"{url}/api/v1/events")
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
        assert list(stream) == []


@pytest.fixture
def address(queue: JobQueue) -> Iterator[str]:
    with serving(queue) as url:
        yield url.replace("http", "ws") + "/api/v1/socket"


def heard(socket: ClientConnection) -> Any:
    return json.loads(socket.recv(timeout=SECONDS))


def test_a_socket_tells_and_cancels(address: str, queue: JobQueue, studio: Studio) -> None:
    job = queue.submit({"prompt": "wait for it"})
    assert studio.drawing.wait(SECONDS)
    with connect(f"{address}?job={job.id}") as socket:
        state = heard(socket)
        assert (state["kind"], state["job"]) == ("state", job.id)
        for nonsense in ("{", "[]", '{"cancel": "none"}', "[" * 10_000):
            socket.send(nonsense)
            assert heard(socket)["error"]["message"]
        socket.send(json.dumps({"cancel": job.id}))
        while (message := heard(socket))["kind"] != "cancelled":
            assert set(message) == {"number", "job", "kind", "data"}
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=SECONDS)


def test_a_socket_for_all_jobs(address: str, queue: JobQueue) -> None:
    with connect(address) as socket:
        assert heard(socket)["kind"] == "state"
        job = queue.submit({"prompt": "a red circle"})
        while (message := heard(socket))["kind"] != "done":
            assert message["job"] == job.id


def test_sockets_are_guarded(
    address: str, queue: JobQueue, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = {"origin": "http://evil.example"}
    with pytest.raises(InvalidStatus) as refused, connect(address, additional_headers=elsewhere):
        pass
    assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as refused, connect(f"{address}?job=none"):
        pass
    assert refused.value.response.status_code == 404
    with serving(queue, access=Access(token="correct horse battery")) as url:
        guarded = url.replace("http", "ws") + "/api/v1/socket"
        with pytest.raises(InvalidStatus) as refused, connect(guarded):
            pass
        assert refused.value.response.status_code == 401
        token = {"authorization": "Bearer correct horse battery"}
        with connect(guarded, additional_headers=token) as socket:
            assert heard(socket)["kind"] == "state"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_stream_that_was_too_slow_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdcpu.job_queue.announcements.MOST_PENDING", 5)
    monkeypatch.setattr(streams_module, "GLANCE_SECONDS", 0.01)

    async def follow() -> list[int]:
        announcements = Announcements()
        streams = Streams(announcements, most=2)
        streams.start()
        following = streams.follow(None, None)
        assert await anext(following) is None
        for number in range(50):
            announcements.publish(f"job {number}", "queued", {})
        numbers = []
        async for announcement in following:
            if announcement is not None:
                numbers.append(announcement.number)
            if len(numbers) == 50:
                break
        await following.aclose()
        streams.close()
        return numbers

    assert asyncio.run(follow()) == list(range(1, 51))

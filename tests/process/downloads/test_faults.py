"""Downloads from a hub that misbehaves: what is survived, and what is said of the rest."""

from __future__ import annotations

import errno
import logging
import shutil
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sdcpu.downloads import Patience, locate_files, transfer
from sdcpu.errors import (
    ChecksumError,
    DownloadError,
    GatedModelError,
    NotEnoughDiskError,
    SdcpuError,
)
from sdcpu.settings import Settings
from tests.hub import HubServer
from tests.process.downloads.conftest import (
    DATA,
    HASTY,
    PATH,
    QUICK,
    content,
    download,
    leftovers,
    model_of,
    one_file,
    settings_below,
)

SIZE = len(DATA)
Faults = list[dict[str, Any]]


def body(kind: str, after: int | None = 0, times: int | None = 1) -> dict[str, Any]:
    return {"kind": kind, "after": after, "times": times}


def status(number: int, method: str = "HEAD", times: int | None = None, **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    values = {"kind": "status", "method": method, "status": number, "times": times}
    return values | {"headers": names}


def patience_for(faults: Faults) -> Patience:
    return HASTY if any(fault["kind"] == "hang" for fault in faults) else QUICK


class Passing(NamedTuple):
    faults: Faults
    sent: int | None = SIZE
    """Bytes of the file that the hub sends in all; None where it cannot know."""


PASSING = {
    "cut": Passing([body("cut", 100_000)]),
    "cut before the first byte": Passing([body("cut")]),
    "cut six times": Passing([body("cut", 50_000, 6)]),
    "reset": Passing([body("reset", 200_000)], None),
    "announces too little": Passing([body("short", 100_000)]),
    "always announces too little": Passing([body("short", 100_000, None)]),
    "silent in the middle": Passing([body("hang", 100_000)]),
    "silent at the beginning": Passing([body("hang", None)]),
    "ignores a range": Passing([body("cut", 100_000), body("ignore_range")], SIZE + 100_000),
    "sends a wrong range": Passing([body("cut", 100_000), body("wrong_range")], None),
    "416": Passing([body("cut", 100_000), status(416, "GET", 1) | {"skip": 1}], SIZE + 100_000),
    "500 twice": Passing([status(500, "GET", 2)]),
    "500 three times at first": Passing([status(500, "HEAD", 3)]),
    "502": Passing([status(502, "HEAD", 1)]),
    "503": Passing([status(503, "HEAD", 1)]),
    "504": Passing([status(504, "GET", 1)]),
    "408": Passing([status(408, "HEAD", 1)]),
    "429": Passing([status(429, "GET", 2, Retry_After="0")]),
}


@pytest.mark.parametrize("case", PASSING.values(), ids=PASSING)
def test_a_download_survives(case: Passing, hub: HubServer, settings: Settings) -> None:
    for fault in case.faults:
        hub.fault(**fault)
    model = model_of(one_file())
    download(model, settings, patience=patience_for(case.faults))
    assert content(model, settings) == [DATA]
    assert leftovers(settings) == []
    if case.sent is not None:
        assert sum(request.sent for request in hub.downloads(PATH)) == case.sent


def test_retry_after_is_obeyed(hub: HubServer, settings: Settings) -> None:
    hub.fault("status", status=429, headers={"Retry-After": "1"})
    started = time.monotonic()
    download(model_of(one_file()), settings)
    assert 1.0 <= time.monotonic() - started < 5.0


class Failing(NamedTuple):
    faults: Faults
    error: type[SdcpuError]
    words: tuple[str, ...]
    """In the message or the hint."""
    requests: int | None = None
    """How many requests the hub sees; None where it is not the point."""


AGAIN = "goes on where it stopped"

FAILING = {
    "401": Failing([status(401)], DownloadError, ("login", "401", "HF_TOKEN"), 1),
    "403": Failing([status(403)], DownloadError, ("forbids", "403", "token"), 1),
    "403 for the bytes": Failing([status(403, "GET")], DownloadError, ("forbids", "403"), 2),
    "404": Failing([status(404)], DownloadError, ("has no file model.gguf", "renamed"), 1),
    "416": Failing([status(416, "GET")], DownloadError, ("416", "from the beginning")),
    "429": Failing([status(429, Retry_After="0")], DownloadError, ("limits", "429", "Wait"), 4),
    "429 for an hour": Failing(
        [status(429, Retry_After="3600")], DownloadError, ("429", "wait 3600 seconds"), 1
    ),
    "429 until a date": Failing(
        [status(429, Retry_After="Fri, 31 Dec 2150 23:59:59 GMT")], DownloadError, ("429",), 1
    ),
    "429 by the rate limit": Failing(
        [status(429, ratelimit='"api";r=0;t=299')], DownloadError, ("wait 299 seconds",), 1
    ),
    "500": Failing([status(500)], DownloadError, ("problem of its own (500)", AGAIN), 4),
    "503 for the bytes": Failing([status(503, "GET")], DownloadError, ("(503)", AGAIN), 5),
    "507": Failing([status(507)], DownloadError, ("problem of its own (507)", AGAIN), 1),
    "418": Failing(
        [status(418, X_HF_Warning="teapot; short and stout")], DownloadError, ("status 418",), 1
    ),
    "silent": Failing([body("hang", None, None)], DownloadError, ("did not answer in time", AGAIN)),
    "cut": Failing([body("cut", 0, None)], DownloadError, ("broke", "network", AGAIN)),
    "starts over, never ends": Failing(
        [body("starts_over", 90_000, None)], DownloadError, ("broke", AGAIN), 1 + 2 * 4
    ),
    "more than announced": Failing([body("long", 0, None)], DownloadError, ("more", "announced")),
    "a login page": Failing(
        [{"kind": "stranger", "method": "HEAD", "times": None}],
        DownloadError,
        ("does not answer as a model hub", "HF_ENDPOINT"),
        1,
    ),
    "wrong bytes": Failing(
        [body("wrong_bytes", 0, None)], ChecksumError, ("expected sha256", "got", "deleted")
    ),
}


@pytest.mark.parametrize("case", FAILING.values(), ids=FAILING)
def test_a_download_fails_in_words(
    case: Failing,
    hub: HubServer,
    settings: Settings,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for fault in case.faults:
        hub.fault(**fault)
    model = model_of(one_file())
    with pytest.raises(DownloadError) as caught:
        download(model, settings, patience=patience_for(case.faults))
    assert type(caught.value) is case.error
    said = f"{caught.value.message} {caught.value.hint}"
    assert [word for word in case.words if word not in said] == []
    assert "signature" not in said
    assert caught.value.details["file"] == PATH
    assert content(model, settings) == []
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    if case.requests is not None:
        assert len(hub.requests) == case.requests
    hub.clear_faults()
    download(model, settings)
    assert content(model, settings) == [DATA]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ({"repository": "nobody/nothing"}, ("no repository nobody/nothing", "private")),
        ({"path": "other.gguf"}, ("owner/name has no file other.gguf", "renamed")),
        ({"revision": "v9"}, ("owner/name has no revision 'v9'",)),
        ({"repository": "a--b/c"}, ("a--b/c", "owner/name")),
    ],
)
def test_what_the_hub_does_not_have(
    file: dict[str, str], words: tuple[str, ...], settings: Settings
) -> None:
    with pytest.raises(DownloadError) as caught:
        download(model_of(one_file(**file)), settings)
    said = f"{caught.value.message} {caught.value.hint}"
    assert [word for word in words if word not in said] == []


def closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://hub.invalid", ("hub.invalid cannot be looked up", "connected")),
        (closed_port(), ("Nothing answers at 127.0.0.1", "network")),
        ("ftp://127.0.0.1", ("cannot be used", "HF_ENDPOINT")),
        ("http://127.0.0.1:port", ("cannot be used", "HF_ENDPOINT")),
    ],
)
def test_a_hub_that_cannot_be_reached(
    endpoint: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    started = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        download(model_of(one_file()), settings_below(tmp_path, endpoint))
    said = f"{caught.value.message} {caught.value.hint}"
    assert [word for word in words if word not in said] == []
    assert time.monotonic() - started < 3.0


@pytest.mark.parametrize(
    ("token", "accepted", "words"),
    [
        (None, True, ("gated", "https://huggingface.co/owner/name", "hf auth login", "HF_TOKEN")),
        ("hf_the_right_one", False, ("not been let in", "https://huggingface.co/owner/name")),
        ("hf_a_wrong_one", True, ("gated", "hf auth login")),
        ("hf_the_right_one", True, None),
    ],
)
def test_a_gated_file(
    token: str | None,
    accepted: bool,
    words: tuple[str, ...] | None,
    hub: HubServer,
    tmp_path: Path,
) -> None:
    hub.accepted = accepted
    hub.add_file("owner/name", "gated.gguf", DATA, gated=True)
    model = model_of(one_file("gated.gguf", gated=True))
    settings = settings_below(tmp_path, hub.endpoint, hub_token=token)
    if words is None:
        download(model, settings)
        assert content(model, settings) == [DATA]
        return
    with pytest.raises(GatedModelError) as caught:
        download(model, settings)
    said = f"{caught.value.message} {caught.value.hint}"
    assert [word for word in words if word not in said] == []
    assert (token or "hf_") not in f"{said} {caught.value.details}"


def test_a_closed_door_shows_before_anything_is_downloaded(
    hub: HubServer, settings: Settings
) -> None:
    hub.add_file("owner/name", "gated.gguf", DATA, gated=True)
    with pytest.raises(GatedModelError):
        download(model_of(one_file(), one_file("gated.gguf")), settings)
    assert hub.downloads() == []


@pytest.mark.parametrize("given", [True, False])
def test_the_token_goes_to_the_hub_and_nowhere_else(
    given: bool,
    hub: HubServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Given by the settings, or found where `hf auth login` leaves it."""
    if not given:
        (tmp_path / "token").write_text(hub.token)
    settings = settings_below(tmp_path, hub.endpoint, hub_token=hub.token if given else None)
    hub.fault("cut", after=100_000)
    hub.fault("status", status=500)
    with caplog.at_level(logging.DEBUG):
        download(model_of(one_file()), settings)
    at_store = [request.token for request in hub.requests if request.path.startswith("/store/")]
    at_hub = [request.token for request in hub.requests if request.path.startswith("/owner/")]
    assert (set(at_hub), set(at_store)) == ({hub.token}, {None})
    out, err = capfd.readouterr()
    assert hub.token not in caplog.text + out + err


def leave_free(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(10**12, 10**12 - count, count)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)


def test_the_disk_is_measured_for_all_files_before_the_first_byte(
    hub: HubServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quantize(source: Path, target: Path, tensor_type: str) -> None:
        target.write_bytes(source.read_bytes())

    hub.add_file("owner/name", "second.gguf", DATA[::-1])
    model = model_of(one_file(), one_file("second.gguf", quantize="q8_0"))
    needed = round(2 * SIZE + 0.85 * SIZE)
    room = needed + 64 * 1024 * 1024
    leave_free(room - 1, monkeypatch)
    with pytest.raises(NotEnoughDiskError) as caught:
        download(model, settings, quantize)
    assert "needs 1.2 MB" in caught.value.message
    assert f"{(room - 1) / 1e6:.1f} MB are free" in caught.value.message
    assert caught.value.details["needed"] == needed
    assert hub.downloads() == []
    leave_free(room, monkeypatch)
    download(model, settings, quantize)
    assert len(hub.downloads()) == 2
    leave_free(0, monkeypatch)
    assert download(model, settings, quantize) == []


def test_what_has_arrived_is_not_asked_for_again_of_the_disk(
    hub: HubServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fault("cut", after=300_000)
    hub.fault("cut", times=None)
    with pytest.raises(DownloadError):
        download(model_of(one_file()), settings)
    hub.clear_faults()
    leave_free(SIZE - 300_000 + 64 * 1024 * 1024, monkeypatch)
    download(model_of(one_file()), settings)


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.ENOSPC, NotEnoughDiskError, ("became full", AGAIN)),
        (errno.EIO, DownloadError, ("could not be written", "rights")),
    ],
)
def test_a_disk_that_fails_in_the_middle(
    number: int,
    error: type[DownloadError],
    words: tuple[str, ...],
    hub: HubServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append = transfer._PartialFile.append

    def full(partial: transfer._PartialFile, chunk: bytes) -> None:
        if partial.size > 200_000:
            raise OSError(number, "as the disk says")
        append(partial, chunk)

    with monkeypatch.context() as patched:
        patched.setattr(transfer._PartialFile, "append", full)
        with pytest.raises(DownloadError) as caught:
            download(model_of(one_file()), settings)
    assert type(caught.value) is error
    said = f"{caught.value.message} {caught.value.hint}"
    assert [word for word in words if word not in said] == []
    hub.requests.clear()
    download(model_of(one_file()), settings)
    assert content(model_of(one_file()), settings) == [DATA]
    assert sum(request.sent for request in hub.downloads()) < SIZE - 200_000


def test_a_cache_that_cannot_be_written(tmp_path: Path, hub: HubServer) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings = settings_below(tmp_path, hub.endpoint, hub_cache=tmp_path / "file" / "hub")
    with pytest.raises(DownloadError, match="could not be written"):
        download(model_of(one_file()), settings)


def test_another_file_than_the_pinned_one_is_not_even_downloaded(
    hub: HubServer, settings: Settings
) -> None:
    with pytest.raises(ChecksumError) as caught:
        download(model_of(one_file(sha256="0" * 64)), settings)
    assert "0" * 64 in caught.value.message
    assert hub.files["owner/name", PATH].etag in caught.value.message
    assert "models.toml" in caught.value.hint
    assert hub.downloads() == []


@pytest.mark.parametrize("pinned", [True, False])
def test_a_wrong_file_is_deleted(pinned: bool, hub: HubServer, settings: Settings) -> None:
    """Pinned by the registry, where the hub has no checksum; else by the hub's own checksum."""
    wrong = "1" * 64
    hub.add_file("owner/name", PATH, DATA, lfs=not pinned, announced_sha256=wrong)
    model = model_of(one_file(sha256=wrong if pinned else None))
    with pytest.raises(ChecksumError) as caught:
        download(model, settings)
    assert (caught.value.details["expected"], caught.value.details["file"]) == (wrong, PATH)
    assert str(caught.value.details["got"]) in caught.value.message
    assert "deleted" in caught.value.message
    assert content(model, settings) == []
    assert leftovers(settings) == []
    assert not any(path.is_file() for path in Path(settings.hub_cache or "").rglob("blobs/*"))


def test_a_file_that_was_damaged_on_the_disk_is_deleted(hub: HubServer, settings: Settings) -> None:
    model = model_of(one_file())
    download(model, settings)
    (path,) = locate_files(model, settings).values()
    assert path
    path.write_bytes(DATA[:-1] + b"!")
    with pytest.raises(ChecksumError, match=r"model\.gguf is not the file it should be"):
        download(model, settings)
    assert content(model, settings) == []
    download(model, settings)
    assert content(model, settings) == [DATA]
    assert len(hub.downloads()) == 2


def test_what_an_earlier_run_left_damaged_is_replaced(hub: HubServer, settings: Settings) -> None:
    hub.fault("cut", after=300_000)
    hub.fault("cut", times=None)
    with pytest.raises(DownloadError):
        download(model_of(one_file()), settings)
    hub.clear_faults()
    (partial,) = leftovers(settings)
    partial.write_bytes(bytes(300_000))
    download(model_of(one_file()), settings)
    assert content(model_of(one_file()), settings) == [DATA]


@pytest.mark.parametrize("size", [SIZE + 5000, SIZE - 5000])
def test_a_hub_that_is_wrong_about_the_size(size: int, hub: HubServer, settings: Settings) -> None:
    hub.add_file("owner/name", PATH, DATA, announced_size=size)
    with pytest.raises(DownloadError, match=r"model\.gguf"):
        download(model_of(one_file()), settings)
    assert content(model_of(one_file()), settings) == []


def test_a_plain_file_is_resumed_and_verified(hub: HubServer, settings: Settings) -> None:
    address = hub.add_plain("releases/upscaler.pth", DATA)
    sha256 = hub.add_file("owner/name", "same", DATA)
    file = one_file("upscaler.pth", repository=None, url=address, sha256=sha256)
    hub.fault("cut", path="upscaler.pth", after=100_000, skip=1)
    hub.fault("cut", path="upscaler.pth", times=None, skip=1)
    with pytest.raises(DownloadError, match=r"upscaler\.pth"):
        download(model_of(file), settings)
    hub.clear_faults()
    hub.requests.clear()
    download(model_of(file), settings)
    assert content(model_of(file), settings) == [DATA]
    path = locate_files(model_of(file), settings)[file]
    assert path is not None
    assert path.name == "upscaler.pth"
    assert path.is_relative_to(settings.cache_folder)
    assert [(request.start, request.token) for request in hub.requests[1:]] == [(100_000, None)]
    assert download(model_of(file), settings) == []


@pytest.mark.parametrize(
    ("faults", "more", "error", "words"),
    [
        ([], {"sha256": "2" * 64}, ChecksumError, ("upscaler.pth", "2" * 64, "deleted")),
        ([status(404, "GET")], {}, DownloadError, ("127.0.0.1 has no such file", "entry")),
        ([status(403, "GET")], {}, DownloadError, ("forbids", "403")),
        ([status(503, "GET")], {}, DownloadError, ("problem of its own (503)", AGAIN)),
        ([body("hang", None, None)], {}, DownloadError, ("did not answer in time", AGAIN)),
    ],
)
def test_a_plain_file_that_fails(
    faults: Faults,
    more: dict[str, str],
    error: type[DownloadError],
    words: tuple[str, ...],
    hub: HubServer,
    settings: Settings,
) -> None:
    address = hub.add_plain("upscaler.pth", DATA)
    file = one_file("upscaler.pth", repository=None, url=address, **more)
    for fault in faults:
        hub.fault(**fault)
    with pytest.raises(DownloadError) as caught:
        download(model_of(file), settings, patience=patience_for(faults))
    assert type(caught.value) is error
    said = f"{caught.value.message} {caught.value.hint}"
    assert [word for word in words if word not in said] == []
    assert content(model_of(file), settings) == []


def test_patience_has_an_end_that_can_be_chosen(hub: HubServer, settings: Settings) -> None:
    hub.fault("status", method="HEAD", times=None)
    with pytest.raises(DownloadError):
        download(model_of(one_file()), settings, patience=Patience(attempts=2, first_wait=0.01))
    assert len(hub.requests) == 2
    assert QUICK.attempts == Patience().attempts

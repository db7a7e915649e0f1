"""Downloads that are broken off, by the network, by a signal or by the one who waits."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sdcpu.downloads import Patience, download_model
from sdcpu.errors import DownloadError
from sdcpu.settings import Settings
from tests.hub import HubServer
from tests.process.downloads.conftest import (
    DATA,
    PATH,
    content,
    download,
    leftovers,
    model_of,
    one_file,
)

SIZE = len(DATA)
MODEL = model_of(one_file())


def downloading(settings: Settings, endpoint: str) -> subprocess.Popen[str]:
    """A process that downloads the model; its lines say how far it is."""
    folder = settings.cache_folder.parent
    program = [sys.executable, "-W", "error", "-m", "tests.process.downloads.program"]
    return subprocess.Popen(
        [*program, str(folder), endpoint],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def wait_until_bytes_come(process: subprocess.Popen[str], count: int) -> None:
    assert process.stdout
    for line in process.stdout:
        if int(line.split()[0]) >= count:
            return
    assert process.stderr
    raise AssertionError(f"the download ended: {process.stderr.read()}")


def our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sdcpu download"]


def test_after_a_break_only_the_missing_bytes_are_sent(hub: HubServer, settings: Settings) -> None:
    hub.fault("cut", after=150_000)
    hub.fault("cut", times=None)
    with pytest.raises(DownloadError):
        download(MODEL, settings)
    (partial,) = leftovers(settings)
    assert partial.read_bytes() == DATA[:150_000]
    hub.clear_faults()
    hub.requests.clear()
    events = download(MODEL, settings)
    assert content(MODEL, settings) == [DATA]
    assert [(each.start, each.sent) for each in hub.downloads()] == [(150_000, SIZE - 150_000)]
    assert events[-1].done == SIZE
    assert leftovers(settings) == []


def test_a_killed_download_goes_on(hub: HubServer, settings: Settings) -> None:
    hub.fault("hang", after=200_000)
    with downloading(settings, hub.endpoint) as process:
        wait_until_bytes_come(process, 200_000)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert [partial.stat().st_size for partial in leftovers(settings)] == [200_000]
    download(MODEL, settings)
    assert content(MODEL, settings) == [DATA]
    assert [(each.start, each.sent) for each in hub.downloads()] == [
        (None, 200_000),
        (200_000, SIZE - 200_000),
    ]
    assert leftovers(settings) == []


def test_two_processes_share_one_download(hub: HubServer, settings: Settings) -> None:
    hub.fault("pause", after=200_000)
    with downloading(settings, hub.endpoint) as first:
        wait_until_bytes_come(first, 200_000)
        with downloading(settings, hub.endpoint) as second:
            wait_until_bytes_come(second, 200_000)  # which the first has received
            hub.go_on()
            told = [process.communicate(timeout=30) for process in (first, second)]
    assert [err for _, err in told] == ["", ""]
    ends = [out.splitlines()[-2:] for out, _ in told]
    assert ends == [[f"{SIZE} {SIZE}", "finished"]] * 2
    assert [each.sent for each in hub.downloads()] == [SIZE]
    assert content(MODEL, settings) == [DATA]


def test_the_second_process_takes_over_when_the_first_dies(
    hub: HubServer, settings: Settings
) -> None:
    hub.fault("hang", after=200_000)
    with downloading(settings, hub.endpoint) as first:
        wait_until_bytes_come(first, 200_000)
        with downloading(settings, hub.endpoint) as second:
            wait_until_bytes_come(second, 200_000)
            first.kill()
            out, err = second.communicate(timeout=30)
    assert (out.splitlines()[-1], err) == ("finished", "")
    assert [each.sent for each in hub.downloads()] == [200_000, SIZE - 200_000]


@pytest.mark.parametrize("fault", ["slow", "hang"])
def test_leaving_early_stops_the_download_and_keeps_what_came(
    fault: str, hub: HubServer, settings: Settings
) -> None:
    if fault == "slow":
        hub.fault("slow", seconds=0.1)
    else:
        hub.fault("hang", after=100_000)
    events = download_model(MODEL, settings, patience=Patience(timeout=20.0))
    for event in events:
        if event.done >= 90_000:
            break
    started = time.monotonic()
    events.close()
    assert time.monotonic() - started < 2.0
    assert our_threads() == []
    (partial,) = leftovers(settings)
    kept = partial.stat().st_size
    assert 90_000 <= kept < SIZE
    hub.clear_faults()
    download(MODEL, settings)
    assert content(MODEL, settings) == [DATA]
    assert hub.downloads(PATH)[-1].start == kept


def test_leaving_while_another_process_downloads(hub: HubServer, settings: Settings) -> None:
    hub.fault("hang", after=100_000)
    with downloading(settings, hub.endpoint) as other:
        wait_until_bytes_come(other, 100_000)
        events = download_model(MODEL, settings, patience=Patience(timeout=20.0))
        assert any(event.done == 100_000 for event in events)
        started = time.monotonic()
        events.close()
        assert time.monotonic() - started < 2.0
        assert our_threads() == []
        other.kill()


def test_leaving_before_the_hub_has_answered(hub: HubServer, settings: Settings) -> None:
    """The thread cannot be woken then; it ends with its time-out, and does nothing more."""
    hub.fault("status", method="HEAD", status=503, times=None)
    events = download_model(MODEL, settings, patience=Patience(first_wait=8.0))
    next(events)
    started = time.monotonic()
    events.close()
    assert time.monotonic() - started < 2.0
    assert our_threads() == []
    assert len(hub.requests) == 1

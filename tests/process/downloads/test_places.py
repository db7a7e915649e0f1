"""Downloads when all goes well: where they end, what they cost, what they tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from sdcpu.downloads import download_model, locate_files
from sdcpu.errors import DownloadError, ModelNotDownloadedError
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
    settings_below,
)


def test_a_download_lies_where_the_hub_client_looks(
    hub: HubServer, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.add_file("owner/name", "parts/small.json", b"{}", lfs=False)
    model = model_of(one_file(), one_file("parts/small.json"))
    assert set(locate_files(model, settings).values()) == {None}
    last = {event.file: event for event in download(model, settings)}
    assert content(model, settings) == [DATA, b"{}"]
    ends = {name: (event.done, event.total) for name, event in last.items()}
    assert ends == {PATH: (len(DATA), len(DATA)), "parts/small.json": (2, 2)}
    for file, path in locate_files(model, settings).items():
        found = huggingface_hub.hf_hub_download(
            "owner/name", file.path, cache_dir=settings.hub_cache, local_files_only=True
        )
        assert found == str(path)
    scanned = huggingface_hub.scan_cache_dir(settings.hub_cache)
    assert (len(scanned.warnings), scanned.size_on_disk) == (0, len(DATA) + 2)
    assert leftovers(settings) == []
    assert capfd.readouterr() == ("", "")


def test_what_is_here_costs_no_request_and_no_event(hub: HubServer, settings: Settings) -> None:
    model = model_of(one_file())
    download(model, settings)
    hub.requests.clear()
    assert download(model, settings) == []
    assert hub.requests == []


def test_what_the_hub_client_downloaded_is_used_and_hashed_once(
    hub: HubServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    huggingface_hub.hf_hub_download(
        "owner/name", PATH, cache_dir=settings.hub_cache, endpoint=hub.endpoint
    )
    hub.requests.clear()
    model = model_of(one_file())
    assert content(model, settings) == [DATA]
    assert [event.done for event in download(model, settings)][-1] == len(DATA)
    assert download(model, settings) == []
    assert hub.requests == []


def test_the_pinned_version_is_used_wherever_a_branch_points(
    hub: HubServer, settings: Settings
) -> None:
    download(model_of(one_file()), settings)
    old, new = hub.files["owner/name", PATH].etag, hub.add_file("owner/name", PATH, b"newer")
    assert content(model_of(one_file(sha256=new)), settings) == []
    (Path(settings.hub_cache or "") / "models--owner--name/refs/main").write_text("f" * 40)
    assert content(model_of(one_file(sha256=old)), settings) == [DATA]


def test_a_branch_that_moved_on_does_not_hide_what_is_here(
    hub: HubServer, settings: Settings
) -> None:
    download(model_of(one_file()), settings)
    (Path(settings.hub_cache or "") / "models--owner--name/refs/main").write_text("f" * 40)
    hub.requests.clear()
    assert download(model_of(one_file()), settings) == []
    assert content(model_of(one_file()), settings) == [DATA]
    assert content(model_of(one_file(revision="e" * 40)), settings) == []
    assert hub.requests == []


def test_a_finished_blob_without_its_link_is_only_linked(
    hub: HubServer, settings: Settings
) -> None:
    model = model_of(one_file())
    download(model, settings)
    (path,) = locate_files(model, settings).values()
    assert path
    path.unlink()
    hub.requests.clear()
    download(model, settings)
    assert content(model, settings) == [DATA]
    assert [request.method for request in hub.requests] == ["HEAD"]


def test_without_symbolic_links_the_file_itself_is_moved(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> None:
        raise OSError("A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", forbidden)
    model = model_of(one_file())
    download(model, settings)
    assert content(model, settings) == [DATA]
    assert download(model, settings) == []


def test_the_hub_is_asked_nothing_else(
    hub: HubServer, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not even what huggingface_hub asks its own hub once a day, for its user agent."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "harnesses.json"))
    monkeypatch.setattr(huggingface_hub.utils._detect_agent, "_registry", None)
    download(model_of(one_file()), settings)
    assert [(request.method, request.status) for request in hub.requests] == [
        ("HEAD", 302),
        ("GET", 302),
        ("GET", 200),
    ]


def test_the_hub_client_speaks_again_afterwards(hub: HubServer, settings: Settings) -> None:
    def voice() -> tuple[int, bool, bool]:
        return (
            huggingface_hub.logging.get_verbosity(),
            constants.HF_HUB_DISABLE_XET,
            constants.HF_HUB_DISABLE_TELEMETRY,
        )

    before = voice()
    hub.fault("status", status=404)
    with pytest.raises(DownloadError):
        download(model_of(one_file()), settings)
    assert voice() == before


def test_progress_tells_speed_and_time_left(hub: HubServer, settings: Settings) -> None:
    hub.fault("slow", seconds=0.03)
    events = download(model_of(one_file()), settings)
    halfway = [event for event in events if 0 < event.done < event.total]
    assert len(halfway) >= 3
    assert all(event.bytes_per_second > 10_000 for event in halfway)
    assert all(event.seconds_left and 0 < event.seconds_left < 30 for event in halfway)
    assert [event.done for event in events] == sorted(event.done for event in events)


def test_offline_names_what_is_missing_and_asks_nobody(
    hub: HubServer, settings: Settings, tmp_path: Path
) -> None:
    download(model_of(one_file()), settings)
    hub.requests.clear()
    offline = settings_below(tmp_path, hub.endpoint, offline=True)
    assert download(model_of(one_file()), offline) == []
    model = model_of(one_file(), one_file("big.gguf", size=2_023_745_376), one_file("other.gguf"))
    with pytest.raises(ModelNotDownloadedError) as caught:
        download(model, offline)
    assert "big.gguf (2.0 GB), other.gguf (size unknown)" in caught.value.message
    assert PATH not in caught.value.message
    assert "sdcpu pull tested" in caught.value.hint
    assert hub.requests == []


def test_the_hub_clients_own_offline_switch_is_obeyed(
    hub: HubServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotDownloadedError, match=r"model\.gguf is not here"):
        download(model_of(one_file()), settings)
    assert hub.requests == []


def test_files_from_disk_are_left_alone(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "mine.gguf").write_bytes(b"mine")
    here = one_file(repository=None, local_path=tmp_path / "mine.gguf")
    gone = one_file(repository=None, local_path=tmp_path / "gone.gguf")
    built_in = one_file(repository=None, built_in=True)
    model = model_of(here, gone, built_in)
    assert list(download_model(model, settings)) == []
    assert locate_files(model, settings) == {
        here: tmp_path / "mine.gguf",
        gone: None,
        built_in: None,
    }

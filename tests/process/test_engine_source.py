"""Fetching the engine's source from a server on loopback, and what can go wrong with it."""

import hashlib
from pathlib import Path

import pytest

from sdcpu.builds import source
from sdcpu.errors import ChecksumError, DownloadError
from sdcpu.settings import Settings, load_settings
from tests.hub import HubServer

ARCHIVE = b"the archive"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(source, "ARCHIVE_SIZE", len(ARCHIVE))
    monkeypatch.setattr(source, "ARCHIVE_SHA256", hashlib.sha256(ARCHIVE).hexdigest())
    return load_settings({"SDCPU_CACHE": str(tmp_path), "SDCPU_CONFIG": "/nowhere.toml"})


def fetch(settings: Settings, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    url = f"{hub.endpoint}/owner/name/resolve/main/{source.ARCHIVE}"
    monkeypatch.setattr(source, "ARCHIVE_URL", url)
    return [event.done for event in source.fetch_source(settings)]


def test_it_is_fetched_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer() as hub:
        hub.add_file("owner/name", source.ARCHIVE, ARCHIVE)
        assert fetch(settings, hub, monkeypatch)[-1] == len(ARCHIVE)
        assert source.archive_path(settings).read_bytes() == ARCHIVE
        assert fetch(settings, hub, monkeypatch) == []


def test_another_file_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer() as hub:
        hub.add_file("owner/name", source.ARCHIVE, b"another file")
        with pytest.raises(ChecksumError):
            fetch(settings, hub, monkeypatch)
    assert list(source.archive_path(settings).parent.iterdir()) == []


def test_a_server_that_has_no_such_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        HubServer() as hub,
        pytest.raises(DownloadError, match="could not be downloaded") as caught,
    ):
        fetch(settings, hub, monkeypatch)
    assert "--source" in caught.value.hint


def test_offline_it_must_be_brought(settings: Settings) -> None:
    from dataclasses import replace

    with pytest.raises(DownloadError, match="may not be used") as caught:
        list(source.fetch_source(replace(settings, offline=True)))
    assert source.ARCHIVE_SHA256 not in caught.value.message
    assert "--source" in caught.value.hint

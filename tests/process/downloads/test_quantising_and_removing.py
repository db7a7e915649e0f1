"""What is made of downloads, and how they go away again."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.utils import WeakFileLock

from sdcpu.downloads import download_model, locate_files, remove_model
from sdcpu.errors import CancelledError, DownloadError, ModelError
from sdcpu.settings import Settings
from tests.hub import HubServer
from tests.process.downloads.conftest import (
    DATA,
    content,
    download,
    leftovers,
    model_of,
    one_file,
    settings_below,
)

BIG = DATA[::-1] + b"big"
SMALL = BIG[::2]
FILE = one_file("big-f16.gguf", quantize="q8_0")


@pytest.fixture(autouse=True)
def big_file(hub: HubServer) -> None:
    hub.add_file("owner/name", "big-f16.gguf", BIG)


def halve(source: Path, target: Path, tensor_type: str) -> None:
    """Quantise, as far as these tests care."""
    assert tensor_type == "q8_0"
    target.write_bytes(source.read_bytes()[::2])


def files_below(folder: Path | None) -> list[str]:
    return sorted(path.name for path in (folder or Path()).rglob("*") if not path.is_dir())


@pytest.mark.parametrize("keep", [False, True])
def test_the_quantised_file_takes_the_place_of_the_original(
    keep: bool, hub: HubServer, tmp_path: Path
) -> None:
    settings = settings_below(tmp_path, hub.endpoint, keep_original=keep)
    model = model_of(FILE, one_file())
    events = download(model, settings, halve)
    path = locate_files(model, settings)[FILE]
    assert path is not None
    assert path.name == "big-f16-q8_0.gguf"
    assert path.is_relative_to(settings.cache_folder)
    assert content(model, settings) == [SMALL, DATA]
    assert (events[-1].file, events[-1].done) == (path.name, len(SMALL))
    assert ("big-f16.gguf" in files_below(settings.hub_cache)) == keep
    assert leftovers(settings) == []
    hub.requests.clear()
    assert download(model, settings, halve) == []
    assert hub.requests == []


def test_quantising_needs_no_network(hub: HubServer, settings: Settings, tmp_path: Path) -> None:
    download(model_of(FILE), settings)
    assert locate_files(model_of(FILE), settings) == {FILE: None}
    offline = settings_below(tmp_path, hub.endpoint, offline=True)
    hub.requests.clear()
    download(model_of(FILE), offline, halve)
    assert content(model_of(FILE), offline) == [SMALL]
    assert hub.requests == []


@pytest.mark.parametrize("error", [CancelledError("by the user"), KeyboardInterrupt(), None])
def test_a_quantisation_that_fails_leaves_the_original(
    error: BaseException | None, settings: Settings
) -> None:
    def fail(source: Path, target: Path, tensor_type: str) -> None:
        if error:
            target.write_bytes(b"half of it")
            raise error

    with pytest.raises(type(error) if error else DownloadError):
        download(model_of(FILE), settings, fail)
    assert locate_files(model_of(FILE), settings) == {FILE: None}
    assert leftovers(settings) == []
    download(model_of(FILE), settings, halve)
    assert content(model_of(FILE), settings) == [SMALL]


def test_what_another_process_has_quantised_meanwhile_is_not_downloaded_again(
    hub: HubServer, settings: Settings, tmp_path: Path
) -> None:
    etag = hub.files["owner/name", "big-f16.gguf"].etag
    elsewhere = settings_below(tmp_path / "elsewhere", hub.endpoint)
    lock = Path(settings.hub_cache or "") / ".locks/models--owner--name" / f"{etag}.lock"
    lock.parent.mkdir(parents=True)
    download(model_of(FILE), elsewhere, halve)
    hub.requests.clear()
    with WeakFileLock(lock):
        events = download_model(model_of(FILE), settings, halve)
        while not hub.requests:
            next(events)
        shutil.copytree(elsewhere.cache_folder, settings.cache_folder)
    assert [event.file for event in events][-1] == "big-f16-q8_0.gguf"
    assert content(model_of(FILE), settings) == [SMALL]
    assert hub.downloads() == []


def test_another_pinned_version_is_quantised_again(hub: HubServer, settings: Settings) -> None:
    download(model_of(FILE), settings, halve)
    newer = b"another version" * 1000
    sha256 = hub.add_file("owner/name", "big-f16.gguf", newer)
    pinned = one_file("big-f16.gguf", quantize="q8_0", sha256=sha256)
    assert locate_files(model_of(pinned), settings) == {pinned: None}
    download(model_of(pinned), settings, halve)
    assert content(model_of(pinned), settings) == [newer[::2]]


def test_a_quantised_file_that_was_cut_does_not_count(settings: Settings) -> None:
    download(model_of(FILE), settings, halve)
    path = locate_files(model_of(FILE), settings)[FILE]
    assert path
    path.write_bytes(SMALL[:-1])
    assert locate_files(model_of(FILE), settings) == {FILE: None}


def test_equal_names_from_other_repositories_do_not_collide(
    hub: HubServer, settings: Settings
) -> None:
    hub.add_file("other/name", "big-f16.gguf", DATA)
    model = model_of(FILE, one_file("big-f16.gguf", repository="other/name", quantize="q8_0"))
    download(model, settings, halve)
    assert content(model, settings) == [SMALL, DATA[::2]]


def test_removing_frees_everything(hub: HubServer, settings: Settings) -> None:
    address = hub.add_plain("upscaler.pth", DATA)
    plain = one_file("upscaler.pth", repository=None, url=address)
    model = model_of(FILE, one_file(), plain)
    download(model, settings, halve)
    freed = remove_model(model, settings)
    assert 2 * len(DATA) + len(SMALL) <= freed < 2 * len(DATA) + len(SMALL) + 1000
    assert set(locate_files(model, settings).values()) == {None}
    assert [name for name in files_below(settings.hub_cache) if not name.endswith(".lock")] == []
    assert files_below(settings.cache_folder) == []
    assert remove_model(model, settings) == 0


def test_removing_an_unfinished_download(hub: HubServer, settings: Settings) -> None:
    address = hub.add_plain("upscaler.pth", DATA)
    plain = one_file("upscaler.pth", repository=None, url=address)
    for model in (model_of(one_file()), model_of(plain)):
        hub.fault("cut", after=100_000, skip=1 if plain in model.files else 0)
        hub.fault("cut", times=None, skip=1 if plain in model.files else 0)
        with pytest.raises(DownloadError):
            download(model, settings)
        hub.clear_faults()
        assert len(leftovers(settings)) == 1
        assert remove_model(model, settings) == 100_000
        assert leftovers(settings) == []


def test_what_others_need_stays(settings: Settings) -> None:
    shared = one_file()
    model = model_of(FILE, shared)
    download(model, settings, halve)
    assert remove_model(model, settings, keep={shared, FILE}) == 0
    freed = remove_model(model, settings, keep={shared})
    assert len(SMALL) <= freed < len(SMALL) + 1000
    assert content(model, settings) == [DATA]


def test_another_model_may_need_only_the_original_or_only_the_quantised(
    hub: HubServer, tmp_path: Path
) -> None:
    settings = settings_below(tmp_path, hub.endpoint, keep_original=True)
    original = one_file("big-f16.gguf")
    for kept, left in ((original, [BIG]), (FILE, [SMALL, BIG])):
        download(model_of(FILE), settings, halve)
        remove_model(model_of(FILE), settings, keep={kept})
        assert content(model_of(FILE, original), settings) == left


def test_other_files_of_the_repository_stay(hub: HubServer, settings: Settings) -> None:
    hub.add_file("owner/name", "second.gguf", DATA[::-1])
    hub.add_file("owner/name", "same-bytes.gguf", DATA)
    kept = model_of(one_file("second.gguf"), one_file("same-bytes.gguf"))
    download(model_of(one_file(), *kept.files), settings)
    assert remove_model(model_of(one_file()), settings) == 0, "the blob has another user"
    assert content(kept, settings) == [DATA[::-1], DATA]
    assert huggingface_hub.scan_cache_dir(settings.hub_cache).warnings == []


def test_files_from_disk_are_never_deleted(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "mine.gguf").write_bytes(b"mine")
    model = model_of(one_file(repository=None, local_path=tmp_path / "mine.gguf"))
    assert remove_model(model, settings) == 0
    assert (tmp_path / "mine.gguf").read_bytes() == b"mine"


def test_a_damaged_cache_is_named(settings: Settings) -> None:
    model = model_of(one_file())
    download(model, settings)
    folder = Path(settings.hub_cache or "") / "models--owner--name"
    (folder / "snapshots" / "a file").write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        remove_model(model, settings)
    assert "damaged" in caught.value.message
    assert str(folder) in caught.value.hint


def test_leaving_early_while_downloading_does_not_quantise(settings: Settings) -> None:
    events = download_model(model_of(FILE), settings, halve)
    next(events)
    events.close()
    assert locate_files(model_of(FILE), settings) == {FILE: None}

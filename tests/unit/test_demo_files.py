"""The demo model's files in the cache: right, made once, made again when damaged, removed."""

import errno
import hashlib
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.demo import demo_files, files, ready_demo_files, remove_demo_files, unknown_words
from sdcpu.demo.files import DEMO_FILES, DemoFile
from sdcpu.demo.widen import Writable
from sdcpu.errors import ChecksumError, ModelFileError, NotEnoughDiskError, SdcpuError
from sdcpu.families import FileRole

CONTENT = b"a small stand-in for the weights"
DiskUsage = namedtuple("DiskUsage", "total used free")


class StandIn:
    """A demo file of a few bytes that counts how often it is made."""

    def __init__(self) -> None:
        self.made = 0
        self.fail_with: OSError | None = None
        self.content = CONTENT

    def write(self, file: Writable) -> None:
        self.made += 1
        file.write(self.content[:8])
        if self.fail_with:
            raise self.fail_with
        file.write(self.content[8:])


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    file = DemoFile(
        role=FileRole.MODEL,
        name="model.gguf",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        models=("demo",),
        write=made.write,
    )
    monkeypatch.setattr(files, "DEMO_FILES", (file,))
    return made


def test_the_widened_files_are_the_pinned_ones(demo_files: dict[FileRole, Path]) -> None:
    assert demo_files.keys() == {FileRole.MODEL, FileRole.TINY_DECODER}
    for file in (file for file in DEMO_FILES if "demo" in file.models):
        with demo_files[file.role].open("rb") as stream:
            assert hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
        assert demo_files[file.role].stat().st_size == file.size


def test_files_are_made_once(stand_in: StandIn, tmp_path: Path) -> None:
    assert not ready_demo_files(tmp_path)
    path = demo_files(tmp_path)[FileRole.MODEL]
    assert path.read_bytes() == CONTENT
    assert ready_demo_files(tmp_path)
    assert demo_files(tmp_path) == {FileRole.MODEL: path}
    assert stand_in.made == 1


def _truncate(path: Path) -> None:
    path.write_bytes(CONTENT[:10])


def _flip(path: Path) -> None:
    path.write_bytes(CONTENT[:-1] + b"!")
    os.utime(path, ns=(0, 0))


def _delete(path: Path) -> None:
    path.unlink()


def _spoil_mark(path: Path) -> None:
    path.write_bytes(CONTENT[:-1] + b"!")
    path.with_name(f"{path.name}.checked").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize("damage", [_truncate, _flip, _delete, _spoil_mark])
def test_a_damaged_file_is_made_again(
    stand_in: StandIn, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = demo_files(tmp_path)[FileRole.MODEL]
    damage(path)
    assert not ready_demo_files(tmp_path)
    assert demo_files(tmp_path)[FileRole.MODEL].read_bytes() == CONTENT
    assert stand_in.made == 2


def test_a_right_file_without_its_mark_is_kept(stand_in: StandIn, tmp_path: Path) -> None:
    path = demo_files(tmp_path)[FileRole.MODEL]
    path.with_name(f"{path.name}.checked").unlink()
    demo_files(tmp_path)
    assert stand_in.made == 1
    assert ready_demo_files(tmp_path)


def test_what_a_killed_process_left_behind_does_no_harm(stand_in: StandIn, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "model.gguf.part").write_bytes(b"half a file")
    assert demo_files(tmp_path)[FileRole.MODEL].read_bytes() == CONTENT
    assert not list((tmp_path / "demo").glob("*.part"))


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, NotEnoughDiskError), (errno.EIO, ModelFileError)],
)
def test_a_failed_write_is_our_error_and_leaves_nothing(
    stand_in: StandIn, tmp_path: Path, number: int, expected: type[SdcpuError]
) -> None:
    stand_in.fail_with = OSError(number, os.strerror(number))
    with pytest.raises(expected, match="demo"):
        demo_files(tmp_path)
    assert list((tmp_path / "demo").iterdir()) == []


def test_too_small_a_disk_is_noticed_before_writing(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(100, 90, 10))
    with pytest.raises(NotEnoughDiskError, match=r"0 MB are free") as caught:
        demo_files(tmp_path)
    assert caught.value.details["free"] == 10
    assert stand_in.made == 0


def test_a_cache_folder_that_cannot_be_one_is_our_error(stand_in: StandIn, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    with pytest.raises(ModelFileError, match="cannot be used") as caught:
        demo_files(in_the_way)
    assert "SDCPU_CACHE" in caught.value.hint
    assert stand_in.made == 0


def test_a_wrong_result_is_refused_and_not_kept(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.content = CONTENT.upper()
    with pytest.raises(ChecksumError, match="did not come out"):
        demo_files(tmp_path)
    assert list((tmp_path / "demo").iterdir()) == []


@pytest.mark.parametrize("model", ["demo-q4_0", "demo-base", "demo-base-q4_0", "demo-outline"])
def test_the_other_models_are_the_pinned_ones_too(model: str) -> None:
    file = next(file for file in DEMO_FILES if file.models == (model,))
    hashing = _Hashing()
    file.write(hashing)
    assert (hashing.size, hashing.digest.hexdigest()) == (file.size, file.sha256)


class _Hashing:
    """Keeps nothing of what is written but its size and checksum."""

    def __init__(self) -> None:
        self.size, self.digest = 0, hashlib.sha256()

    def write(self, data: bytes, /) -> None:
        self.size += len(data)
        self.digest.update(data)


def test_a_file_of_two_models_goes_with_the_last_of_them(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = files.DEMO_FILES[0]
    base = replace(file, name="base.gguf", models=("demo-base",))
    decoder = replace(
        file, role=FileRole.TINY_DECODER, name="decoder", models=("demo", "demo-base")
    )
    monkeypatch.setattr(files, "DEMO_FILES", (file, base, decoder))
    demo_files(tmp_path)
    demo_files(tmp_path, "demo-base")
    assert stand_in.made == 3
    assert remove_demo_files(tmp_path, "demo") > len(CONTENT)
    assert ready_demo_files(tmp_path).keys() == {"base.gguf", "decoder"}
    remove_demo_files(tmp_path, "demo-base")
    assert not (tmp_path / "demo").exists()


def test_a_shared_file_does_not_stay_for_a_model_that_needs_it_not(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = files.DEMO_FILES[0]
    style = replace(file, role=FileRole.LORA, name="style", models=("demo-style",))
    shared = ("demo", "demo-base")
    decoder = replace(file, role=FileRole.TINY_DECODER, name="decoder", models=shared)
    monkeypatch.setattr(files, "DEMO_FILES", (file, style, decoder))
    demo_files(tmp_path)
    demo_files(tmp_path, "demo-style")
    remove_demo_files(tmp_path, "demo")
    assert ready_demo_files(tmp_path).keys() == {"style"}


def test_removing_frees_what_was_made(stand_in: StandIn, tmp_path: Path) -> None:
    demo_files(tmp_path)
    marks = sum(path.stat().st_size for path in (tmp_path / "demo").glob("*.checked"))
    assert remove_demo_files(tmp_path) == len(CONTENT) + marks
    assert not (tmp_path / "demo").exists()
    assert remove_demo_files(tmp_path) == 0
    demo_files(tmp_path)
    assert stand_in.made == 2


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("a red circle on a blue background", ()),
        ("A RED Circle, on the left.", ()),
        ("a fluffy cat and a fluffy dog", ("fluffy", "cat", "dog")),
        ("", ()),
        ("ein grüner Kreis 🙂 x2", ("ein", "grüner", "kreis", "x2")),
    ],
)
def test_unknown_words_are_named_once_in_order(prompt: str, unknown: tuple[str, ...]) -> None:
    assert unknown_words(prompt) == unknown

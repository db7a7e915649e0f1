"""Hashing files, and remembering that they were hashed."""

import hashlib
import os
from pathlib import Path

import pytest

from sdcpu.downloads.checksums import VerifiedFiles, is_sha256, sha256_of

SHA256 = hashlib.sha256(b"content").hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def test_a_file_is_hashed_in_pieces(tmp_path: Path) -> None:
    data = bytes(2_500_000)
    (tmp_path / "large").write_bytes(data)
    pieces: list[int] = []
    assert sha256_of(tmp_path / "large", pieces.append) == hashlib.sha256(data).hexdigest()
    assert len(pieces) == 3
    assert sum(pieces) == len(data)


@pytest.mark.parametrize(
    ("text", "is_one"), [(SHA256, True), (SHA256.upper(), False), (SHA256[1:], False), ("", False)]
)
def test_a_sha256_is_recognised(text: str, is_one: bool) -> None:
    assert is_sha256(text) == is_one


def test_a_verified_file_is_remembered_by_the_next_start(tmp_path: Path, file: Path) -> None:
    assert VerifiedFiles(tmp_path / "state").sha256(file) is None
    VerifiedFiles(tmp_path / "state").remember(file, SHA256)
    assert VerifiedFiles(tmp_path / "state").sha256(file) == SHA256
    (tmp_path / "link").symlink_to(file)
    assert VerifiedFiles(tmp_path / "state").sha256(tmp_path / "link") == SHA256
    VerifiedFiles(tmp_path / "state").forget(file)
    assert VerifiedFiles(tmp_path / "state").sha256(file) is None


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_changed_file_is_not_the_verified_one(change: str, tmp_path: Path, file: Path) -> None:
    verified = VerifiedFiles(tmp_path)
    verified.remember(file, SHA256)
    state = file.stat()
    if change == "size":
        file.write_bytes(b"more content")
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    else:
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000))
    assert verified.sha256(file) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"%s": 1}', '{"%s": {}}', "\0\0"])
def test_a_damaged_record_is_replaced(text: str, tmp_path: Path, file: Path) -> None:
    (tmp_path / "verified.json").write_text(text.replace("%s", str(file)))
    verified = VerifiedFiles(tmp_path)
    assert verified.sha256(file) is None
    verified.remember(file, SHA256)
    assert verified.sha256(file) == SHA256


def test_a_folder_that_cannot_be_written_only_costs_time(file: Path) -> None:
    verified = VerifiedFiles(file / "below a file")
    verified.remember(file, SHA256)
    assert verified.sha256(file) is None

"""Files are written in one piece or not at all."""

import os
from pathlib import Path

import pytest

from sdcpu.whole_file import written_whole


@pytest.mark.parametrize("trouble", [OSError(28, "full"), KeyboardInterrupt(), ValueError()])
def test_what_was_there_stays_when_writing_fails(tmp_path: Path, trouble: BaseException) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"old")

    def write_half() -> None:
        with written_whole(path) as file:
            file.write(b"half")
            raise trouble

    with pytest.raises(type(trouble)):
        write_half()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"note": b"old"}


@pytest.mark.parametrize("hard_links", [True, False])
def test_what_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    def unsupported(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not hard_links:
        monkeypatch.setattr(os, "link", unsupported)
    path = tmp_path / "note"
    with written_whole(path, overwrite=False) as file:
        file.write(b"first")
    with pytest.raises(FileExistsError), written_whole(path, overwrite=False) as file:
        file.write(b"second")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"note": b"first"}


def test_a_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    with written_whole(tmp_path / "ours"):
        pass
    (tmp_path / "plain").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode

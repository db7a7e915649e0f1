"""How things are printed."""

import json

import pytest

from sdcpu.cli import output
from sdcpu.errors import DownloadError


def test_an_error_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_error("The disk\n is full.", "Free 2 GB.")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "sdcpu: The disk is full.\n  Free 2 GB.\n"


def test_an_error_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_error_json(DownloadError("No.", hint="Later.", details={"status": 503}))
    assert json.loads(capsys.readouterr().out) == {
        "error": {
            "code": "download",
            "message": "No.",
            "hint": "Later.",
            "details": {"status": 503},
        }
    }


def test_a_table_in_a_pipe_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("NAME", "WHAT"), [("a", "x" * 300), ("long name", "y")])
    assert capsys.readouterr().out.splitlines() == [
        "NAME       WHAT",
        "a          " + "x" * 300,
        "long name  y",
    ]


def test_fields_name_a_repeated_name_once(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_fields([("file", "one"), ("file", "two"), ("size", "3")])
    assert capsys.readouterr().out == "file  one\n      two\nsize  3\n"

"""The bar on a terminal, the lines in a pipe."""

import io
import sys
import time

import pytest

from sdcpu.cli import progress
from sdcpu.events import DownloadProgress, Progress

EVENTS = (
    DownloadProgress(file="a/model.gguf", done=0, total=2_000_000_000),
    DownloadProgress(
        file="a/model.gguf",
        done=500_000_000,
        total=2_000_000_000,
        bytes_per_second=10_000_000,
        seconds_left=150,
    ),
    DownloadProgress(file="model-q8_0.gguf", done=0, total=0),
    Progress(stage="load", step=1, steps=688),
    Progress(stage="text"),
    Progress(stage="sample", step=0, steps=4, seconds_left=130),
    Progress(stage="sample", step=1, steps=4, seconds_left=100),
    Progress(stage="decode", seconds_left=0.4),
)


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def become_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make standard error a terminal; no fixture, because pytest exchanges it after the setup."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.open_display() as display:
        for event in EVENTS:
            display.show(event)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "downloading a/model.gguf: 0 bytes of 2.0 GB",
        "preparing model-q8_0.gguf",
        "loading the model",
        "reading the prompt",
        "drawing, step 1 of 4, about 2 min 10 s left",
        "decoding, under 1 s left",
    ]


def test_long_stages_are_told_of_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress.open_display() as display:
        for step in range(4):
            display.show(Progress(stage="sample", step=step, steps=4))
            now += 20
    assert capsys.readouterr().err.splitlines() == [
        "drawing, step 1 of 4",
        "drawing, step 3 of 4",
    ]


def test_several_pictures_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.open_display() as display:
        for picture in (1, 2):
            display.show(Progress(stage="sample", steps=4, picture=picture, pictures=2))
    assert capsys.readouterr().err.splitlines() == [
        "picture 1 of 2: drawing, step 1 of 4",
        "picture 2 of 2: drawing, step 1 of 4",
    ]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.open_display(quiet=True) as display:
        for event in EVENTS:
            display.show(event)
    assert capsys.readouterr() == ("", "")


def test_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = become_terminal(monkeypatch)
    with progress.open_display() as display:
        for event in EVENTS:
            display.show(event)
            assert isinstance(display, progress._BarDisplay)
            display._bar.refresh()
    shown = terminal.getvalue()
    for text in (
        "downloading model.gguf",
        "500 MB of 2.0 GB, 10.0 MB/s, about 2 min 30 s left",
        "loading the model",
        "drawing, step 2 of 4",
        "about 1 min 40 s left",
        "almost done",
    ):
        assert text in shown
    assert shown.rstrip().endswith("\x1b[2K"), "the bar is gone in the end"
    assert "\x1b[?25h" in shown, "the cursor is shown again"


def test_results_go_past_the_bar_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = become_terminal(monkeypatch)
    with progress.open_display() as display:
        display.show(EVENTS[0])
        with display.aside():
            sys.stdout.write("picture.png\n")
    assert capsys.readouterr().out == "picture.png\n"
    assert "downloading" in terminal.getvalue()
    assert "picture.png" not in terminal.getvalue()

"""`sdcpu show` in terminals of several kinds, which answer what they are asked."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from sdcpu.recipe import save_picture
from sdcpu.video_files import save_video

ASKS_WHAT_IT_IS = b"\x1b[c"
ASKS_FOR_KITTY = re.compile(rb"\x1b_Gi=(\d+),[^\x1b]*a=q[^\x1b]*\x1b\\")


def says_nothing(_asked: bytes) -> bytes:
    """A terminal that draws characters only, and answers nothing."""
    return b""


def knows_sixels(asked: bytes) -> bytes:
    """As iTerm2, WezTerm, foot and xterm answer."""
    return b"\x1b[?62;4;22c" if ASKS_WHAT_IT_IS in asked else b""


def knows_kitty(asked: bytes) -> bytes:
    """As kitty answers, which has no sixels."""
    question = ASKS_FOR_KITTY.search(asked)
    if question:
        return b"\x1b_Gi=" + question[1] + b";OK\x1b\\"
    return b"\x1b[?62;c" if ASKS_WHAT_IT_IS in asked else b""


def shown_in(
    terminal: Callable[[bytes], bytes],
    folder: Path,
    *arguments: str,
    size: tuple[int, int, int, int] = (24, 80, 800, 480),
) -> bytes:
    """What `sdcpu show` writes to a terminal of so many rows, columns and pixels."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", *size))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment |= {"SDCPU_CONFIG": str(folder / "none"), "SDCPU_MODELS": str(folder / "none")}
    environment |= {"COLUMNS": "80", "LINES": "24"}
    environment.pop("NO_COLOR", None)
    program = subprocess.Popen(
        [sys.executable, "-m", "sdcpu", "show", *arguments],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = unanswered = b""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([ours], [], [], 0.2)[0]:
            if program.poll() is not None:
                break
            continue
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not part:
            break
        written += part
        unanswered += part
        if answer := terminal(unanswered):
            os.write(ours, answer)
            unanswered = b""
    os.close(ours)
    assert program.wait(timeout=30) == 0, written[-2000:]
    return written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image = Image.new("RGB", (64, 64), "red")
    save_picture(image, tmp_path / "cat.png", {"prompt": "a red cat", "seed": 7})
    return tmp_path


@pytest.mark.parametrize(
    ("terminal", "mark", "absent"),
    [
        (says_nothing, "▀".encode(), b"\x1bP"),
        (knows_sixels, b"\x1bP", "▀".encode()),
        (knows_kitty, "\U0010eeee".encode(), "▀".encode()),
    ],
)
def test_the_picture_is_drawn_as_the_terminal_can(
    terminal: Callable[[bytes], bytes], mark: bytes, absent: bytes, folder: Path
) -> None:
    written = shown_in(terminal, folder, "cat.png")
    assert mark in written
    assert absent not in written
    assert b"a red cat" in written.rpartition(mark)[2], "the recipe stands below"


def test_a_video_shows_its_first_frame(folder: Path) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("lime", "blue")]
    save_video(frames, 8, folder / "cat.mp4", {"prompt": "a green cat", "recipe_version": 1})
    written = shown_in(says_nothing, folder, "cat.mp4")
    red, green, blue = map(int, re.findall(rb"38;2;(\d+);(\d+);(\d+)", written)[0])
    assert green > 200 > 50 > max(red, blue)
    assert b"a green cat" in written


def test_a_terminal_that_does_not_tell_its_size(folder: Path) -> None:
    assert "▀".encode() in shown_in(knows_sixels, folder, "cat.png", size=(0, 0, 0, 0))


def test_programs_get_no_picture(folder: Path) -> None:
    written = shown_in(says_nothing, folder, "cat.png", "--json")
    assert b"a red cat" in written
    assert b"\x1b" not in written


def test_a_pipe_gets_no_picture(folder: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "sdcpu", "show", "cat.png"],
        cwd=folder,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert b"a red cat" in result.stdout
    assert b"\x1b" not in result.stdout
    assert not result.stderr

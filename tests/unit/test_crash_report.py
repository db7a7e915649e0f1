"""What a dead engine process is said to have died of."""

import signal

import pytest

from sdcpu.crash_report import LAST_LINES, crash_report
from tests.engines import ASSERT, BAD_ALLOC


@pytest.mark.parametrize(
    ("returncode", "log", "cause", "words"),
    [
        (-signal.SIGKILL, [], "out of memory", "ran out of memory"),
        (-signal.SIGSEGV, ["last"], "native fault", "SIGSEGV"),
        (-signal.SIGABRT, [ASSERT, "Aborted"], "assert", "GGML_ASSERT(a->ne[0] == b->ne[0])"),
        (-signal.SIGABRT, ["GGML_ASSERT(ctx->mem_buffer != NULL)"], "out of memory", "mem_buffer"),
        (-signal.SIGABRT, BAD_ALLOC.splitlines(), "out of memory", "std::bad_alloc"),
        (-signal.SIGABRT, ["  what():  stof"], "native error", "stof"),
        (
            -signal.SIGABRT,
            ["malloc(): unsorted double linked list corrupted"],
            "native fault",
            "SIGABRT: malloc(): unsorted double linked list corrupted.",
        ),
        (-signal.SIGABRT, ["free(): invalid pointer"], "native fault", "invalid pointer"),
        (-signal.SIGABRT, ["corrupted size vs. prev_size"], "native fault", "prev_size"),
        (-signal.SIGABRT, ["nothing to see"], "native error", "without a word"),
        (-signal.SIGILL, [], "wrong build", "another kind of processor"),
        (-signal.SIGBUS, [], "model file", "shrank"),
        (-signal.SIGTERM, [], "signal", "SIGTERM"),
        (-60, [], "signal", "signal 60"),
        (3, ["the last line"], "exit", "exit code 3: the last line"),
        (0, [], "exit", "exit code 0."),
    ],
)
def test_causes(returncode: int, log: list[str], cause: str, words: str) -> None:
    error = crash_report(returncode, log)
    assert error.details["cause"] == cause
    assert words in error.message
    assert error.hint
    assert error.details["returncode"] == returncode


def test_our_own_kill_is_not_taken_for_a_lack_of_memory() -> None:
    error = crash_report(-signal.SIGKILL, [], fault="said nothing for 600 s")
    assert error.details["cause"] == "hang"
    assert error.message == "The engine's process said nothing for 600 s, so it was ended."


def test_the_last_lines_are_in_the_report() -> None:
    error = crash_report(-signal.SIGSEGV, [f"line {number}" for number in range(100)])
    lines = str(error.details["log"]).splitlines()
    assert len(lines) == LAST_LINES
    assert lines[-1] == "line 99"

"""What the end of the engine's process means: its cause and what to do, from its last words."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from sdcpu.binding import BINDING, BINDING_VERSION
from sdcpu.errors import Detail, EngineCrashedError

LAST_LINES = 30
"""How many of the last native lines a report carries."""

_LESS_MEMORY = (
    "Close other programs, or choose a smaller model, a smaller quantisation or a smaller picture."
)
_REPORT = "The next call starts a new process. If it happens again, report it with this log."

_SOURCE_FOLDER = re.compile(r"^/\S*/")
"""Where the file of a native assert was compiled, which tells nobody anything."""

_LINES = {
    "bad_alloc": ("out of memory", _LESS_MEMORY),
    "mem_buffer != NULL": ("out of memory", _LESS_MEMORY),
    "insufficient memory": ("out of memory", _LESS_MEMORY),
    "GGML_ASSERT": ("assert", _REPORT),
    "GGML_ABORT": ("assert", _REPORT),
    "what():": ("native error", _REPORT),
    "terminate called": ("native error", _REPORT),
    # What glibc says of a heap that something has written into.
    "malloc()": ("native fault", _REPORT),
    "free()": ("native fault", _REPORT),
    "corrupted": ("native fault", _REPORT),
}
"""What native code prints before abort(): cause and hint."""

_SIGNALS = {
    "SIGKILL": ("out of memory", "most likely the system ran out of memory", _LESS_MEMORY),
    "SIGSEGV": ("native fault", "the native code read or wrote where it must not", _REPORT),
    "SIGABRT": ("native error", "the native code gave up without a word", _REPORT),
    "SIGBUS": (
        "model file",
        "a model file shrank while it was read, or the disk failed",
        "Check the model's files: remove the model and get it again.",
    ),
    "SIGILL": (
        "wrong build",
        "the engine's library was built for another kind of processor",
        "Build it on this machine: "
        f"pip install --force-reinstall --no-cache-dir {BINDING}=={BINDING_VERSION}",
    ),
}
"""By signal: cause, what that means, hint."""


def crash_report(returncode: int, log: Sequence[str], *, fault: str = "") -> EngineCrashedError:
    """Build the error for a process that ended without being asked to.

    `returncode` is as subprocess has it: minus the signal's number, or the exit code. `fault` is
    what it did, where that was the reason for us to kill it.

    >>> crash_report(-9, []).details["signal"]
    'SIGKILL'
    """
    details: dict[str, Detail] = {"returncode": returncode, "log": "\n".join(log[-LAST_LINES:])}
    if fault:
        return EngineCrashedError(
            f"The engine's process {fault}, so it was ended.",
            hint=_REPORT,
            details={"cause": "hang", **details},
        )
    if returncode >= 0:
        return EngineCrashedError(
            f"The engine's process ended with exit code {returncode}"
            + (f": {log[-1]}" if log else "."),
            hint=_REPORT,
            details={"cause": "exit", **details},
        )
    name = _signal_name(-returncode)
    cause, meaning, hint = _SIGNALS.get(name, ("signal", "something ended it", _REPORT))
    if name == "SIGABRT":
        cause, meaning, hint = _last_words(log) or (cause, meaning, hint)
    return EngineCrashedError(
        f"The engine's process died of {name}: {meaning}.",
        hint=hint,
        details={"cause": cause, "signal": name, **details},
    )


def _last_words(log: Sequence[str]) -> tuple[str, str, str] | None:
    """Why native code called abort(): the cause, the line that says it, a hint."""
    for words, (cause, hint) in _LINES.items():
        for line in reversed(log):
            if words in line:
                return cause, _SOURCE_FOLDER.sub("", line).rstrip("."), hint
    return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

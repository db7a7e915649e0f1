"""What is remembered of an installed build: how it was made, and what its proofs showed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sdcpu.figures import size_text
from sdcpu.whole_file import written_whole

FILE_NAME = "build.json"
FORMAT = 1

Verdict = Literal["faster", "slower", "fails"]
"""Of a proof, beside the library of the installed package. A build for cards that is slower is used
when it is asked for by name; one that fails is not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What was seen when the build drew the demo picture on this machine."""

    verdict: Verdict
    reason: str
    """One sentence."""
    device: str = ""
    """What computed, such as "NVIDIA H200"."""
    driver: str = ""
    """The driver's version: with another one the proof counts no more."""
    library: str = ""
    """What the library was (`library_mark`)."""
    decibels: float | None = None
    """How alike its picture and the processor's are; None where they are equal, or it drew none."""
    seconds: float | None = None
    """For one step of the larger picture."""
    cpu_seconds: float | None = None
    """The same on the processor."""
    memory: int | None = None
    """Bytes of main memory that the engine's process took."""
    device_memory: int | None = None
    """Bytes taken on the card; None where the driver does not tell."""

    @property
    def facts(self) -> str:
        """All that was seen, in sentences.

        >>> Proof(verdict="slower", reason="It is slower.", device="A card", decibels=46.5).facts
        "It is slower. On A card. Its picture and the processor's are 46.5 dB alike."
        """
        facts = [self.reason]
        if self.device:
            driver = f", driver {self.driver}" if self.driver else ""
            facts.append(f"On {self.device}{driver}.")
        if self.decibels is not None:
            facts.append(f"Its picture and the processor's are {self.decibels:g} dB alike.")
        if self.memory is not None:
            facts.append(f"Its process took {size_text(self.memory)}.")
        if self.device_memory is not None:
            facts.append(f"There was {size_text(self.device_memory)} less memory free there.")
        return " ".join(facts)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRecord:
    """How a build was made, and its last proof on each card."""

    binding_version: str
    library: str
    """The library's file name, beside the record."""
    options: tuple[str, ...] = ()
    """Of CMake."""
    processor: str = ""
    """For which it was compiled."""
    features: tuple[str, ...] = ()
    """Instruction sets of that processor, in the kernel's words: it may use any of them."""
    seconds: float = 0.0
    """That it took to compile."""
    proofs: dict[str, Proof] = field(default_factory=dict)
    """The last one for each card, by the card's name for the driver (`device_name`)."""


def library_mark(library: Path) -> str:
    """Size and time of a library: they change when it does.

    >>> library_mark(Path("/nowhere"))
    ''
    """
    try:
        status = library.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def read_record(folder: Path) -> BuildRecord | None:
    """The record in a build's folder; None where there is none that can be read."""
    try:
        values = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            return None
        proofs = {name: Proof(**proof) for name, proof in values.pop("proofs", {}).items()}
        for name in ("options", "features"):
            values[name] = tuple(values.get(name, ()))
        return BuildRecord(**values, proofs=proofs)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_record(folder: Path, record: BuildRecord) -> None:
    """Write the record; OSError where the folder cannot be written."""
    values: dict[str, Any] = {"format": FORMAT, **dataclasses.asdict(record)}
    with written_whole(folder / FILE_NAME) as file:
        file.write(json.dumps(values, indent=1).encode())

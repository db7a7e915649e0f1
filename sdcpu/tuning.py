"""What computes fastest on this machine, measured by `sdcpu bench` and kept in a small file.

It holds for the circumstances it was measured in: another processor or number of cores, other
kernels or another engine have a place of their own, so an old answer never misleads. A file that
cannot be read counts as empty.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sdcpu.accel import library_path
from sdcpu.builds import Build
from sdcpu.errors import SettingsError
from sdcpu.hardware import Hardware
from sdcpu.kernels import CHOICES, OFF
from sdcpu.whole_file import written_whole

FILE_NAME = "tuning.json"
FORMAT = 1
MAX_MACHINES = 8
"""Circumstances that are remembered; the oldest go first. A home folder may serve many machines."""
MAX_THREADS = 1024
"""As in `sdcpu.settings`."""
MAX_FILE_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """A way to compute, and what it took."""

    kernels: str
    """Ours, a name of `sdcpu.kernels.CHOICES`; or "off"."""
    threads: int
    diffusion_conv_direct: bool = True
    """Convolutions of the diffusion model without im2col; our kernels know only these."""
    seconds: float = 0.0
    """For the picture that was drawn to measure."""
    picture: str = ""
    """What that picture was, such as "512x512 of demo in 2 steps"."""

    @property
    def title(self) -> str:
        """What computes, for people.

        >>> Tuning(kernels="int8", threads=2).title
        'int8 kernels with 2 threads'
        """
        kernels = "the engine's own" if self.kernels == OFF else self.kernels
        direct = " and direct convolutions" * (self.kernels == OFF and self.diffusion_conv_direct)
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{kernels} kernels with {threads}{direct}"


class Tunings:
    """The file with what was measured.

    >>> from pathlib import Path
    >>> Tunings(Path("/nowhere")).find("some machine") is None
    True
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE_NAME

    def find(self, circumstances: str) -> Tuning | None:
        """What was fastest in these circumstances; None when that was never measured."""
        return self._read().get(circumstances)

    def remember(self, circumstances: str, tuning: Tuning) -> None:
        """Keep what was fastest in these circumstances.

        Raises:
            SettingsError: the file cannot be written.
        """
        known = self._read()
        known.pop(circumstances, None)
        known[circumstances] = tuning
        newest = dict(list(known.items())[-MAX_MACHINES:])
        machines = {key: dataclasses.asdict(each) for key, each in newest.items()}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.file) as stream:
                stream.write(
                    json.dumps({"format": FORMAT, "machines": machines}, indent=1).encode()
                )
        except OSError as error:
            raise SettingsError(
                f"What was measured cannot be kept in {self.file}: {error.strerror or error}",
                hint="Name a folder that can be written: SDCPU_STATE.",
            ) from error

    def forget(self) -> bool:
        """Remove the file; whether there was one.

        Raises:
            SettingsError: it cannot be removed.
        """
        try:
            self.file.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise SettingsError(
                f"{self.file} cannot be removed: {error.strerror or error}"
            ) from error
        return True

    def _read(self) -> dict[str, Tuning]:
        try:
            if self.file.stat().st_size > MAX_FILE_BYTES:
                return {}
            written = json.loads(self.file.read_text(encoding="utf-8"))
            if written["format"] != FORMAT:
                return {}
            return {str(key): _checked(value) for key, value in written["machines"].items()}
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return {}


def circumstances_of(hardware: Hardware, build: Build) -> str:
    """All that decides which way is fastest, in one text: processor, cores, kernels and engine."""
    cores = f"{hardware.usable_cores} of {hardware.physical_cores} cores"
    threads = f"{len(hardware.usable_cpus)} of {hardware.logical_cores} threads"
    quota = f", quota {hardware.cpu_quota:g}" if hardware.cpu_quota else ""
    engine = f"{build.name} {build.version} {_identity(build.library, whole=False)}"
    kernels = library_path()
    ours = _identity(kernels, whole=True) if kernels else "none"
    return f"{hardware.cpu_name}, {cores}, {threads}{quota} | engine {engine} | kernels {ours}"


@cache
def _identity(file: Path, *, whole: bool) -> str:
    """A file's length, and the checksum of all of it where that is asked for; "?": not there.

    Ours is short and changes without changing its length. The engine's library is long.
    """
    try:
        return f"{zlib.crc32(file.read_bytes()):08x}" if whole else str(file.stat().st_size)
    except OSError:
        return "?"


def _checked(value: dict[str, Any]) -> Tuning:
    """One entry of the file; raises when anything in it is not as we write it."""
    tuning = Tuning(**value)
    for field in dataclasses.fields(tuning):
        if type(getattr(tuning, field.name)).__name__ != field.type:
            raise TypeError(field.name)
    if tuning.kernels not in CHOICES or not 1 <= tuning.threads <= MAX_THREADS:
        raise ValueError("no way that we know")
    return tuning

"""What NVIDIA's driver said before: asking it all anew takes up to 0.3 s, most of it in cuInit().

It counts while the kernel's module, the cards and what a program may see of them are the same. The
free memory and the version are asked each time (NVML); with another version, everything is.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdcpu.whole_file import written_whole

FILE_NAME = "cards.json"
FORMAT = 1


class RememberedCards:
    """The last answer of CUDA's driver, in a file of a folder; `root` is where the system's are.

    >>> RememberedCards(Path("/nowhere")).answer({}) is None
    True
    """

    def __init__(self, folder: Path, root: Path = Path("/")) -> None:
        self.file = folder / FILE_NAME
        self._root = root

    def answer(self, environment: Mapping[str, str]) -> dict[str, Any] | None:
        """What the driver said when all was as it is now; None where that is not known."""
        key = self._circumstances(environment)
        try:
            written = json.loads(self.file.read_text(encoding="utf-8"))
            if key and written["format"] == FORMAT and written["circumstances"] == key:
                return dict(written["answer"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            pass
        return None

    def remember(self, answer: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        """Keep an answer that names cards; where it cannot be written, nothing is kept."""
        key = self._circumstances(environment)
        if not key or not answer.get("devices") or answer.get("problem"):
            return
        text = json.dumps({"format": FORMAT, "circumstances": key, "answer": answer}, indent=1)
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.file) as stream:
                stream.write(text.encode())

    def _circumstances(self, environment: Mapping[str, str]) -> str:
        """Version of the kernel's module, cards, devices and the variable that hides some.

        "" where the system does not tell (Windows, WSL).
        """
        driver = self._root / "proc/driver/nvidia"
        try:
            version = (driver / "version").read_text(encoding="utf-8", errors="replace")
            slots = sorted(path.name for path in (driver / "gpus").iterdir())
            devices = sorted(path.name for path in (self._root / "dev").glob("nvidia[0-9]*"))
        except OSError:
            return ""
        seen = environment.get("CUDA_VISIBLE_DEVICES", "all")
        return "\n".join((version.strip(), *slots, *devices, seen))

"""Builds of the engine for cards that are not there, and what goes wrong with them.

The "library" of such a build is a text file that says what the engine does (`BEHAVIOURS`). As a
program, `python tests/fake_cards.py` is the engine's process for it, and for any other library
that of `tests.engines.FakeEngine`, which stands for the processor.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sdcpu.binding import BINDING_VERSION
from sdcpu.builds.records import BuildRecord, Proof, Verdict, library_mark, write_record
from sdcpu.errors import ModelLoadError
from sdcpu.gpus import Driver, Gpu
from sdcpu.protocol import Drawn, FromEngine, GenerateSettings, LoadSettings, Pixels, Started
from sdcpu.settings import Settings
from sdcpu.worker import Emit, serve
from tests.engines import FakeEngine

BEHAVIOURS = ("good", "slow", "crawls", "dies", "dies later", "full", "blind", "black", "wrong")
COMMAND = (sys.executable, str(Path(__file__).resolve()))
"""The program of an `EngineProcess`."""

CARD = Gpu(
    api="cuda",
    index=0,
    name="NVIDIA Test",
    kind="discrete",
    memory_total=8 << 30,
    memory_free=7 << 30,
    capability="8.6",
    driver="580.1",
)
DRIVER = Driver(api="cuda", devices=(CARD,), version="580.1", installed=True)


def install_card_build(
    settings: Settings,
    behaviour: str = "good",
    verdict: Verdict | None = "faster",
    devices: Sequence[int] = (0,),
) -> Path:
    """Put a build "cuda" that behaves so into its folder, proved on these devices.

    `verdict` None: it was never proved.
    """
    assert behaviour in BEHAVIOURS
    folder = settings.builds_folder / "cuda"
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libstable-diffusion.so"
    library.write_text(behaviour)
    record = BuildRecord(binding_version=BINDING_VERSION, library=library.name)
    if verdict is not None:
        proof = Proof(
            verdict=verdict,
            reason="It takes 1 s for a step.",
            driver=CARD.driver,
            library=library_mark(library),
        )
        record = replace(record, proofs={str(device): proof for device in devices})
    write_record(folder, record)
    return library


class CardEngine(FakeEngine):
    """A `FakeEngine` on a card."""

    def __init__(self, emit: Emit) -> None:
        library = Path(os.environ.get("STABLE_DIFFUSION_CPP_LIB", ""))
        said = library.read_text() if library.parent.name == "cuda" else ""
        self._behaviour = said if said in BEHAVIOURS else ""
        self._tell = emit
        super().__init__(self._changed)

    def started(self) -> Started:
        cards = () if self._behaviour in ("", "blind") else (CARD.name,)
        return replace(super().started(), devices=cards)

    def load(self, settings: LoadSettings) -> dict[str, float]:
        if self._behaviour == "full":
            raise ModelLoadError("The engine could not load it: CUDA out of memory")
        return super().load(settings)

    def generate(self, settings: GenerateSettings) -> dict[str, float]:
        if self._behaviour == "dies":
            os.abort()
        seconds = super().generate(settings)
        if self._behaviour == "crawls":
            return seconds | {"sample": 1000.0}
        return seconds | {"sample": 0.01} if self._behaviour not in ("", "slow") else seconds

    def _changed(self, message: FromEngine) -> None:
        """Pictures with an edge in them, else not even a good one would pass."""
        if isinstance(message, Drawn):
            if message.index and self._behaviour == "dies later":
                os.abort()
            half = len(message.pixels.data) // 2
            data = bytes(half) + message.pixels.data[half:]
            if self._behaviour == "black":
                data = bytes(2 * half)
            elif self._behaviour == "wrong":
                data = bytes(255 - value for value in data)
            pixels = message.pixels
            size = {"width": pixels.width, "height": pixels.height}
            message = replace(message, pixels=Pixels(channels=3, data=data, **size))
        self._tell(message)


if __name__ == "__main__":
    serve(CardEngine)

"""What this machine measured before, kept in a small file, and the time it lets us expect.

Every stage has curves: seconds over the amount of work, one for each set of circumstances that
change the speed. Another processor, build or number of threads has curves of its own, so an old
number never misleads. A file that cannot be read counts as empty; one that cannot be written is
left alone.
"""

from __future__ import annotations

import contextlib
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdcpu.whole_file import written_whole

FILE_NAME = "measurements.json"
FORMAT = 1
MAX_CURVES = 256
"""Curves kept; the ones that were not touched for the longest time go first."""
MAX_POINTS = 8
"""Amounts of work kept for each curve."""
MAX_SAMPLES = 5
"""Latest seconds kept for each amount; their median counts, so one disturbed run does little."""
MAX_FILE_BYTES = 4 * 1024 * 1024

_EXPONENTS = {"load": 1.0, "text": 0.0, "sample": 1.15, "decode": 1.0, "upscale": 1.0}
"""How seconds grow with the amount of work when only another amount was measured: convolutions
grow with the pixels, attention with their square; 1.15 suits pictures of 256 to 1024 pixels."""

_Curves = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """All that decides how long a request takes."""

    machine: str
    """Processor, engine build and kernels in one text."""
    threads: int
    family: str = ""
    """"" for an upscaler alone."""
    tensor_type: str = ""
    """The type of most of the weights, such as "q8_0"."""
    weights: int = 0
    """Bytes to load."""
    width: int = 0
    """Pixels that the engine draws."""
    height: int = 0
    passes: int = 0
    """Evaluations of the diffusion model for one picture; 0 where none is drawn the usual way."""
    count: int = 1
    """Pictures."""
    loras: int = 0
    """LoRAs that are applied at every step."""
    control: bool = False
    """Whether a ControlNet looks on at every step."""
    references: int = 0
    """Reference pictures of an editing model."""
    cache: str = "off"
    """Step cache, which leaves some of the passes out."""
    flash_attention: bool = False
    diffusion_conv_direct: bool = False
    vae_conv_direct: bool = False
    decoder: str = "full"
    tile_size: int = 0
    tiny_preview: bool = False
    """Whether every step is decoded to be looked at."""
    upscaler: str = ""
    """What makes the picture larger after it was drawn: upscaler and second pass."""
    upscaled_pixels: int = 0
    """Pixels that it computes for one picture."""
    frames: int = 1
    """Of a video."""


class Measurements:
    """Seconds that this machine needed before.

    >>> from pathlib import Path
    >>> Measurements(Path("/nowhere")).file.name
    'measurements.json'
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE_NAME
        self._curves = _read(self.file)

    def stages(self, conditions: Conditions) -> dict[str, float]:
        """Seconds that each stage of the request will take; a stage is missing while unknown."""
        expected = {}
        for stage, (key, amount, units) in _work(conditions).items():
            seconds = self._expected(stage, key, amount)
            if seconds is not None:
                expected[stage] = seconds * units
        return expected

    def estimate(self, conditions: Conditions) -> float | None:
        """Seconds that the request will take, loading included.

        None while sampling or decoding was never measured.
        """
        stages = self.stages(conditions)
        needed = _work(conditions).keys() - {"load", "text"}
        return sum(stages.values()) if needed <= stages.keys() else None

    def times(self, conditions: Conditions) -> int:
        """How many requests of this amount of work were measured; at most `MAX_SAMPLES`."""
        key, amount, _ = _work(conditions).get("sample", ("", 0, 0))
        return len(self._curves.get(key, {}).get(str(amount), ()))

    def record(self, conditions: Conditions, stage_seconds: Mapping[str, float]) -> None:
        """Remember what a finished request took; stages that took no time are left out."""
        # Another process may have written since: what it measured is kept.
        self._curves = _read(self.file) or self._curves
        for stage, (key, amount, units) in _work(conditions).items():
            seconds = stage_seconds.get(stage, 0.0)
            if seconds > 0 and math.isfinite(seconds):
                points = self._curves.pop(key, {})
                samples = points.pop(str(amount), [])
                points[str(amount)] = [*samples, seconds / units][-MAX_SAMPLES:]
                self._curves[key] = dict(list(points.items())[-MAX_POINTS:])
        self._curves = dict(list(self._curves.items())[-MAX_CURVES:])
        _write(self.file, self._curves)

    def _expected(self, stage: str, key: str, amount: int) -> float | None:
        """Seconds for one unit of this stage's work."""
        points = {int(size): statistics.median(s) for size, s in self._curves.get(key, {}).items()}
        if not points:
            return None
        nearest = min(points, key=lambda size: abs(math.log(size / amount)))
        exponent = _EXPONENTS[stage]
        others = [size for size in points if size != nearest]
        if others and exponent and nearest != amount:
            # Two sizes tell how the seconds grow; noise must not turn that upside down.
            other = max(others, key=lambda size: abs(math.log(size / nearest)))
            slope = math.log(points[other] / points[nearest]) / math.log(other / nearest)
            exponent = min(2.0, max(0.5, slope))
        return float(points[nearest] * (amount / nearest) ** exponent)


def format_duration(seconds: float) -> str:
    """The time for a person, no more exact than an estimate deserves.

    >>> format_duration(131.7)
    'about 2 min 10 s'
    >>> format_duration(4.2), format_duration(38), format_duration(3700)
    ('about 4 s', 'about 40 s', 'about 1 h')
    """
    if seconds < 1:
        return "under 1 s"
    if seconds < 20:
        return f"about {round(seconds)} s"
    if seconds < 57.5:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 595:
        minutes, rest = divmod(10 * round(seconds / 10), 60)
        return f"about {minutes} min" + (f" {rest} s" if rest else "")
    if seconds < 3570:
        return f"about {round(seconds / 60)} min"
    hours, minutes = divmod(10 * round(seconds / 600), 60)
    return f"about {hours} h" + (f" {minutes} min" if minutes else "")


def _work(conditions: Conditions) -> dict[str, tuple[str, int, int]]:
    """For each stage: its curve's key, the amount of work, and how many units the stage has."""
    speed = f"{conditions.machine} | {conditions.threads} threads"
    model = f"{speed} | {conditions.family} {conditions.tensor_type}"
    pixels = conditions.width * conditions.height * conditions.frames
    sample = (
        f"flash {conditions.flash_attention:d} direct {conditions.diffusion_conv_direct:d} "
        f"loras {conditions.loras} control {conditions.control:d} refs {conditions.references}"
        f"{' previews' if conditions.tiny_preview else ''}"
    )
    if conditions.cache != "off":
        sample += f" cache {conditions.cache}"
    decode = (
        f"{conditions.decoder} direct {conditions.vae_conv_direct:d} tile {conditions.tile_size}"
    )
    pictures = max(1, conditions.count)
    enlarging = f"upscale | {model if conditions.family else speed} | {conditions.upscaler}"
    upscale = {"upscale": (enlarging, conditions.upscaled_pixels, pictures)}
    if not conditions.passes:
        return upscale
    return (upscale if conditions.upscaler else {}) | {
        "load": (f"load | {speed}", max(1, conditions.weights), 1),
        "text": (f"text | {model}", 1, pictures),
        "sample": (f"sample | {model} | {sample}", pixels, pictures * max(1, conditions.passes)),
        "decode": (f"decode | {speed} | {conditions.family} | {decode}", pixels, pictures),
    }


def _read(file: Path) -> _Curves:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            return {}
        return _checked(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return {}


def _checked(written: dict[str, object]) -> _Curves:
    """The curves of a file; raises when anything in it is not as we write it."""
    if written["format"] != FORMAT:
        return {}
    curves: _Curves = {}
    for key, points in written["curves"].items():  # type: ignore[attr-defined]
        curves[str(key)] = {
            str(int(amount)): [_seconds(value) for value in samples]
            for amount, samples in points.items()
            if int(amount) > 0 and samples
        }
    return curves


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError("not a time")
    return float(value)


def _write(file: Path, curves: _Curves) -> None:
    """Write the file; where that cannot be done, times are not remembered, and nothing else."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as stream:
            stream.write(json.dumps({"format": FORMAT, "curves": curves}, indent=1).encode())

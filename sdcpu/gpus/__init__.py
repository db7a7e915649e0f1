"""Graphics cards and what their drivers say of them: facts, found without starting anything heavy.

Each driver is asked by a program of its own (`sdcpu.gpus.probe`), all at the same time, so that a
broken one can neither end nor hold up ours.
"""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sdcpu.gpus.remembered import RememberedCards
from sdcpu.settings import child_environment

Api = Literal["cuda", "vulkan", "rocm", "sycl", "metal"]
"""Ways to compute on a card; builds of the engine have the same names."""
APIS: tuple[Api, ...] = ("cuda", "vulkan", "rocm", "sycl")
"""Those that this system can have."""
if platform.system() == "Darwin":
    APIS = ("metal", "vulkan")

PROBE_SECONDS = 5.0
"""How long a driver may take to answer: 0.1 s is usual; a card that slept needs a second or two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One device as one driver sees it."""

    api: Api
    index: int
    """Its number for this driver, counted from 0: what --device takes."""
    name: str
    kind: str
    """"discrete", "integrated", "virtual", "software" or "other"."""
    memory_total: int
    """Bytes of its own memory, or of the processor's that it may use."""
    memory_free: int | None = None
    """Bytes that nobody uses now; None where the driver does not tell."""
    capability: str = ""
    """CUDA's compute capability, such as "9.0"; AMD's name for it, such as "gfx1030"."""
    driver: str = ""
    """The driver's version in its own words; a build is proved again when it changes."""

    @property
    def is_card(self) -> bool:
        """Whether it is more than a program that plays a card."""
        return self.kind != "software"

    @property
    def shares_memory(self) -> bool:
        """Whether its memory is the processor's."""
        return self.kind in ("integrated", "software")


@dataclass(frozen=True, kw_only=True, slots=True)
class Driver:
    """What one driver said."""

    api: Api
    devices: tuple[Gpu, ...] = ()
    version: str = ""
    library: str = ""
    """The path of its library; "" where unknown."""
    installed: bool = False
    """Whether there is such a driver at all."""
    problem: str = ""
    """Why it cannot be used although it is installed."""


def detect_gpus(
    apis: Sequence[Api] = APIS,
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = PROBE_SECONDS,
    remembered: RememberedCards | None = None,
) -> tuple[Driver, ...]:
    """Ask drivers for their devices; whatever goes wrong becomes a problem of that driver.

    `remembered` holds what CUDA's driver said before, which saves most of its time.

    >>> {driver.api for driver in detect_gpus()} == set(APIS)
    True
    """
    probe = Path(__file__).with_name("probe.py")
    # The order of the slots: numbers stay the same, and other programs count so, too.
    variables = {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        **(child_environment() if environment is None else environment),
    }
    before = remembered.answer(variables) if remembered and "cuda" in apis else None
    programs = [
        subprocess.Popen(
            # -I -S: nothing but Python's own library, which is quick.
            (
                *(sys.executable, "-I", "-S", str(probe), api),
                *([json.dumps(before)] if before and api == "cuda" else []),
            ),
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for api in apis
    ]
    deadline = time.monotonic() + timeout
    # What has answered while another did not still has to be read.
    answers = [_answer(program, max(0.5, deadline - time.monotonic())) for program in programs]
    for api, answer in zip(apis, answers, strict=True):
        if remembered and api == "cuda" and isinstance(answer, dict) and answer != before:
            remembered.remember(answer, variables)
    return tuple(_driver(api, answer) for api, answer in zip(apis, answers, strict=True))


def cards(drivers: Sequence[Driver], api: str) -> tuple[Gpu, ...]:
    """The devices of one driver.

    >>> cards(detect_gpus(()), "cuda")
    ()
    """
    return tuple(gpu for driver in drivers if driver.api == api for gpu in driver.devices)


def _answer(program: subprocess.Popen[bytes], timeout: float) -> dict[str, Any] | str:
    """What the program was told by its driver, or what went wrong."""
    try:
        said, complaints = program.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        program.kill()
        program.communicate()
        return "it does not answer"
    lines = said.decode(errors="replace").splitlines()
    answer = next((_parsed(line) for line in reversed(lines) if line.startswith("{")), None)
    if program.returncode or answer is None:
        last = complaints.decode(errors="replace").strip().splitlines()[-1:]
        ended = f"asking it ended the program that asked ({_ending(program.returncode)})"
        return ": ".join([ended, *last])
    return answer


def _ending(returncode: int) -> str:
    """How a program ended: its signal's name, or its exit code."""
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"exit code {returncode}"


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _driver(api: Api, answer: dict[str, Any] | str) -> Driver:
    if isinstance(answer, str):
        return Driver(api=api, installed=True, problem=answer)
    if not answer:
        return Driver(api=api)
    version = str(answer.get("driver", ""))
    devices = tuple(
        Gpu(
            api=api,
            index=index,
            name=device["name"],
            kind=device["kind"],
            memory_total=device["memory_total"],
            memory_free=device.get("memory_free"),
            capability=device.get("capability", ""),
            driver=device.get("driver", version),
        )
        for index, device in enumerate(answer.get("devices", ()))
    )
    return Driver(
        api=api,
        devices=devices,
        version=version,
        library=answer.get("library", ""),
        installed=True,
        problem=answer.get("problem", ""),
    )

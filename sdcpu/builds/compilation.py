"""Compiling a build of the engine into our own folder: whole, or not at all.

Everything happens in a temporary folder beside the builds. What is finished takes the place of the
build of the same name in one step; what fails or is interrupted is removed. The log stays.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sdcpu.binding import BINDING_VERSION
from sdcpu.builds.recipes import COMMON_OPTIONS, Recipe
from sdcpu.builds.records import BuildRecord, write_record
from sdcpu.builds.source import unpack_source
from sdcpu.builds.tools import Tools, find_tools
from sdcpu.errors import BuildError
from sdcpu.gpus import Driver, cards
from sdcpu.hardware import Hardware
from sdcpu.settings import Settings, child_environment

UNFINISHED = ".unfinished-"
"""How the names of temporary folders begin."""
MEMORY_PER_JOB = 1_500_000_000
"""Bytes that a compiler takes at its peak; the largest files of CUDA need that much."""
_LINES_SHOWN = 6
_NINJA_COUNTER = re.compile(r"^\[(\d+)/(\d+)\] (?!Re-)")
_INSTRUCTIONS = re.compile(
    r"sse|ssse|avx|fma|f16c|bmi|amx|gfni|vaes|vpclmul|asimd|sve|i8mm|bf16|sme(?!p)"
)
"""Names of instruction sets that a compiler uses, among all that the kernel says of a processor."""
_COMPLAINT = re.compile(
    r"\berror\b|fatal|undefined reference|cannot find|No such file|not found|Killed", re.IGNORECASE
)
_WARNING = re.compile(r"\bwarning:|^CMake Warning|^-- ", re.IGNORECASE)
"""What CMake merely tells or compilers merely warn of, whatever words are in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompileProgress:
    """How far the compilation is."""

    build: str
    stage: str
    """"unpack", "configure" or "compile"."""
    done: int = 0
    """Files that are compiled."""
    total: int = 0
    """All of them; 0 while unknown."""


def compile_build(
    recipe: Recipe,
    source: Path,
    settings: Settings,
    hardware: Hardware,
    drivers: Sequence[Driver] = (),
    *,
    jobs: int | None = None,
) -> Iterator[CompileProgress]:
    """Compile the engine's source for a recipe and install it under the builds' folder.

    `jobs` is how many compilers run at once; None: as many as cores and memory allow. Leaving the
    iterator early ends the compilers and removes what they made.

    Raises:
        BuildError: a tool is missing, or compiling failed; the details have the log's useful lines.
    """
    environment = child_environment()
    tools = find_tools(recipe, environment)
    root = settings.builds_folder
    log_path = root / f"{recipe.name}.log"
    begun = time.monotonic()
    try:
        root.mkdir(parents=True, exist_ok=True)
        remove_unfinished(root)
        with (
            tempfile.TemporaryDirectory(dir=root, prefix=f"{UNFINISHED}{os.getpid()}-") as name,
            log_path.open("w", encoding="utf-8") as log,
        ):
            folder = Path(name)
            yield CompileProgress(build=recipe.name, stage="unpack")
            engine = unpack_source(source, folder / "source")
            yield CompileProgress(build=recipe.name, stage="configure")
            options = cmake_options(recipe, tools, drivers)
            for command in (
                _configure(tools, engine, folder / "made", options),
                _compile(tools, folder / "made", jobs or suitable_jobs(hardware)),
            ):
                for line in _run(command, environment, log, recipe.name):
                    counter = _NINJA_COUNTER.match(line)
                    if counter:
                        done, total = int(counter[1]), int(counter[2])
                        yield CompileProgress(
                            build=recipe.name, stage="compile", done=done, total=total
                        )
            record = BuildRecord(
                binding_version=BINDING_VERSION,
                library="",
                options=options,
                processor=hardware.cpu_name,
                features=tuple(sorted(filter(_INSTRUCTIONS.match, hardware.cpu_features))),
                seconds=round(time.monotonic() - begun, 1),
            )
            _keep(folder, root / recipe.name, record)
    except OSError as error:
        raise BuildError(
            f"The {recipe.name} build cannot be made: {error}",
            hint=f"Its folder is {root}; SDCPU_BUILDS names another one.",
        ) from error


def cmake_options(recipe: Recipe, tools: Tools, drivers: Sequence[Driver]) -> tuple[str, ...]:
    """The options of CMake for a recipe on a machine with these drivers.

    >>> from sdcpu.builds.recipes import RECIPES
    >>> [option for option in cmake_options(RECIPES["cuda"], Tools(), ()) if "CUDA" in option]
    ['-DSD_CUDA=ON', '-DCMAKE_CUDA_ARCHITECTURES=all-major', '-DGGML_CUDA_NO_VMM=ON']
    """
    options = [*COMMON_OPTIONS, *recipe.options, *tools.options]
    if recipe.name == "cuda":
        options += _cuda_options(drivers)
    elif recipe.name == "rocm":
        options += _rocm_options(drivers)
    return tuple(options)


def suitable_jobs(hardware: Hardware) -> int:
    """How many compilers to run at once: one for each core, as far as the memory goes."""
    cores = len(hardware.usable_cpus)
    if hardware.cpu_quota is not None:
        cores = min(cores, round(hardware.cpu_quota))
    memory = hardware.memory_limit_available or hardware.memory_available
    return max(1, min(cores, memory // MEMORY_PER_JOB) if memory else cores)


def remove_unfinished(root: Path) -> None:
    """Remove what compilations left that were killed; those that go on are left alone."""
    import psutil

    for folder in root.glob(f"{UNFINISHED}*"):
        number = folder.name.removeprefix(UNFINISHED).partition("-")[0]
        if not number.isdigit() or not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _cuda_options(drivers: Sequence[Driver]) -> list[str]:
    """For the cards that are here; machine code for others would take many times as long."""
    driver = next((driver for driver in drivers if driver.api == "cuda"), None)
    capabilities = sorted({card.capability.replace(".", "") for card in cards(drivers, "cuda")})
    architectures = ";".join(f"{number}-real" for number in capabilities) or "all-major"
    options = [f"-DCMAKE_CUDA_ARCHITECTURES={architectures}"]
    if driver is not None and driver.library:
        # The driver's own library: toolkits without its stub exist.
        options.append(f"-DCUDA_cuda_driver_LIBRARY={driver.library}")
    else:
        options.append("-DGGML_CUDA_NO_VMM=ON")
    return options


def _rocm_options(drivers: Sequence[Driver]) -> list[str]:
    """For the cards that are here, as `_cuda_options`; without any, CMake decides."""
    kinds = sorted({card.capability for card in cards(drivers, "rocm") if card.capability})
    return [f"-DGPU_TARGETS={';'.join(kinds)}"] if kinds else []


def _configure(tools: Tools, engine: Path, folder: Path, options: Sequence[str]) -> list[str]:
    places = ["-G", "Ninja", "-S", str(engine), "-B", str(folder)]
    ninja = f"-DCMAKE_MAKE_PROGRAM={tools.programs['ninja']}"
    return [tools.programs["cmake"], *places, ninja, *options]


def _compile(tools: Tools, folder: Path, jobs: int) -> list[str]:
    target = ["--target", "stable-diffusion", "--parallel", str(jobs)]
    return [tools.programs["cmake"], "--build", str(folder), *target]


def _run(
    command: Sequence[str], environment: Mapping[str, str], log: IO[str], build: str
) -> Iterator[str]:
    """Run a command and yield the lines that it prints; they go into the log, too."""
    log.write(f"$ {' '.join(command)}\n")
    log.flush()
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        for line in process.stdout or ():
            log.write(line)
            yield line.rstrip()
        code = process.wait()
    finally:
        _end(process)
    if code:
        log.flush()
        lines = useful_lines(Path(log.name).read_text(encoding="utf-8", errors="replace"))
        raise BuildError(
            f"The {build} build could not be compiled: "
            f"{lines[0] if lines else f'{command[0]} ended with {code}'}",
            hint=f"All of it is in {log.name}",
            details={"log": "\n".join(lines)},
        )


def useful_lines(log: str) -> list[str]:
    r"""The first lines of a log that say what went wrong; its last ones where none does.

    >>> useful_lines("[1/9] Building\nx.cu:3: error: no such thing\nninja: build stopped")
    ['x.cu:3: error: no such thing']
    >>> useful_lines("-- Warning: ccache not found\nCMake Error at x:2 (message):\n  No toolkit")
    ['CMake Error at x:2: No toolkit']
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    # CMake names the place in one line and says what is wrong in the next.
    lines = "\n".join(lines).replace(" (message):\n", ": ").splitlines()
    complaints = [
        line
        for line in lines
        if _COMPLAINT.search(line) and not _WARNING.search(line) and not line.startswith("$")
    ]
    return complaints[:_LINES_SHOWN] or lines[-_LINES_SHOWN:]


def _end(process: subprocess.Popen[str]) -> None:
    """End a command and the compilers that it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()


def _keep(folder: Path, target: Path, record: BuildRecord) -> None:
    """Put the finished library with its record in its place."""
    from dataclasses import replace

    names = ("libstable-diffusion.so", "libstable-diffusion.dylib", "stable-diffusion.dll")
    made = next(
        (folder / "made" / "bin" / n for n in names if (folder / "made/bin" / n).is_file()), None
    )
    if made is None:
        raise BuildError(f"The {target.name} build has no library, although it was compiled.")
    finished = folder / "finished"
    finished.mkdir()
    made.replace(finished / made.name)
    write_record(finished, replace(record, library=made.name))
    if target.exists():
        target.replace(folder / "replaced")
    finished.replace(target)

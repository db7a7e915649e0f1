"""`sdcpu doctor`: whether this installation is sound, and what this machine is."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from sdcpu.cli.options import json_option
from sdcpu.cli.output import print_json, print_result
from sdcpu.errors import SdcpuError
from sdcpu.figures import size_text

SHOWN_FEATURES = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16"),
    *("asimd", "asimddp", "i8mm", "bf16"),
)
"""Instruction sets that change how fast pictures are drawn; the others would only be noise."""


_WAYS = {"inside": "in the engine", "interposed": "interposed"}
"""How our kernels came to compute for the engine, for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    text: str
    problem: bool = False


@click.command(short_help="Check this installation and this machine.")
@json_option
@click.option(
    "--cmake-args",
    is_flag=True,
    help="Only print the CMAKE_ARGS that compile our CPU kernels into the engine.",
)
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, cmake_args: bool) -> None:
    """Check this installation and this machine: a good beginning of a bug report.

    The engine is started once; nothing is downloaded. The exit code is 1 when something is wrong.
    """
    if cmake_args:
        from sdcpu.accel import cmake_arguments

        print_result(cmake_arguments())
        return
    findings = []
    for check in (_versions, _machine, _cards, _settings, _models, _engine):
        for finding in _findings(check):
            findings.append(finding)
            if not as_json:
                mark = click.style("wrong", fg="red") if finding.problem else "ok   "
                print_result(f"{mark}  {finding.name:<10}  {finding.text}")
    if as_json:
        print_json(findings)
    if any(finding.problem for finding in findings):
        ctx.exit(1)


def _findings(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a check finds; an error of ours ends it and is a finding too."""
    try:
        yield from check()
    except SdcpuError as error:
        name = check.__name__.removeprefix("_")
        yield Finding(name=name, text=f"{error.message} {error.hint}".strip(), problem=True)


def _versions() -> Iterator[Finding]:
    from sdcpu import __version__

    yield Finding(
        name="versions",
        text=f"sdcpu {__version__}, Python {platform.python_version()}, {platform.platform()}",
    )


def _machine() -> Iterator[Finding]:
    from sdcpu.hardware import detect_hardware

    machine = detect_hardware()
    features = ", ".join(name for name in SHOWN_FEATURES if name in machine.cpu_features)
    quota = f", {machine.cpu_quota:g} allowed" if machine.cpu_quota else ""
    yield Finding(
        name="processor",
        text=f"{machine.cpu_name}, {machine.physical_cores} cores, {machine.usable_cores} usable"
        f"{quota}; {features or 'no special instructions known'}",
    )
    limit = f", limited to {size_text(machine.memory_limit)}" if machine.memory_limit else ""
    yield Finding(
        name="memory",
        text=f"{size_text(machine.memory_available)} free of {size_text(machine.memory_total)}"
        f"{limit}",
    )


_CAPABILITY = {"cuda": "compute capability "}
"""What is said before a card's capability."""


def _cards() -> Iterator[Finding]:
    from sdcpu.gpus import APIS, detect_gpus

    found = False
    for driver in detect_gpus():
        name = driver.api
        if driver.problem:
            yield Finding(name=name, text=f"its driver cannot be used: {driver.problem}")
        for card in driver.devices:
            found = True
            said = f"{_CAPABILITY.get(name, '')}{card.capability}"
            kind = f", {said}" if card.capability else ""
            free = "" if card.memory_free is None else f", {size_text(card.memory_free)} free"
            yield Finding(
                name=name,
                text=f"{card.index}: {card.name}, {card.kind}, {size_text(card.memory_total)}"
                f"{free}{kind}"
                f"{f', driver {card.driver}' if card.driver else ''}",
            )
    if not found:
        yield Finding(name="cards", text=f"none that {', '.join(APIS)} know")


def _settings() -> Iterator[Finding]:
    from sdcpu.settings import load_settings

    settings = load_settings()
    for name, file in (("settings", settings.config_file), ("own models", settings.models_file)):
        there = "" if file.is_file() else " (not there, and need not be)"
        yield Finding(name=name, text=f"{file}{there}")
    yield _folder("own files", settings.cache_folder)
    yield _folder("state", settings.state_folder)
    if settings.hub_cache:
        yield _folder("hub cache", settings.hub_cache)
    if settings.offline:
        yield Finding(name="network", text="not used: offline")


def _folder(name: str, folder: Path) -> Finding:
    """Whether a folder, or the nearest one above it that exists, can be written."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror or error}"
        return Finding(name=name, text=text, problem=True)
    return Finding(name=name, text=f"{folder}, {size_text(free)} free")


def _models() -> Iterator[Finding]:
    from sdcpu.catalog import Catalog
    from sdcpu.settings import load_settings

    settings = load_settings()
    catalog = Catalog(settings)
    known = catalog.registry.models.values()
    here = [model.name for model in known if catalog.is_here(model)]
    own = sum(model.source == "user" for model in known)
    text = f"{len(known)} known ({own} of your own), here: {', '.join(here) or 'none'}"
    yield Finding(name="models", text=text)


def _engine() -> Iterator[Finding]:
    from sdcpu.accel import are_kernels_there
    from sdcpu.engine_choice import EngineChoice
    from sdcpu.hardware import detect_hardware
    from sdcpu.kernels import choose_kernels
    from sdcpu.process import EngineProcess
    from sdcpu.settings import child_environment, load_settings
    from sdcpu.tuning import Tunings, circumstances_of

    settings = load_settings()
    hardware = detect_hardware()
    engines = EngineChoice(settings)
    build = engines.build()
    yield Finding(name="engine", text=f"{build.name}: {build.title}, {build.version}")
    if build.note:
        yield Finding(name="engine", text=build.note)
    built = are_kernels_there(build.library)
    tuning = Tunings(settings.state_folder).find(circumstances_of(hardware, build))
    kernels = choose_kernels(
        settings.accel,
        hardware.cpu_features,
        built=built,
        measured=tuning.kernels if tuning else None,
    )
    accel = "off" if build.is_gpu else kernels.name
    environment = child_environment(SDCPU_ACCEL=accel, **engines.environment(build))
    with EngineProcess(library=build.library, environment=environment) as process:
        started = process.start()
    known = [text for text in (started.version, started.commit) if text != "unknown"]
    yield Finding(name="engine", text=" ".join(["starts", *known]))
    yield Finding(name="engine", text=f"compiled for {_features(started.system_info)}")
    if started.devices:
        yield Finding(name="engine", text=f"computes on {started.devices[0]}")
    elif build.is_gpu:
        yield Finding(name="engine", text="finds no card to compute on", problem=True)
    cancels = "within a step" if started.cancels_in_place else "by ending its process"
    yield Finding(name="engine", text=f"cancels {cancels}")
    way = f", {_WAYS[started.kernels_way]}" if started.kernels_way else ""
    if started.kernels == kernels.name:
        yield Finding(name="kernels", text=f"{started.kernels}{way}: {kernels.reason}")
    else:
        yield Finding(name="kernels", text=f"{started.kernels}{way}, not {kernels.name}")
    measured = "nothing yet: sdcpu bench finds out what is fastest here"
    if tuning is not None:
        measured = f"{tuning.title}: {tuning.seconds:.1f} s for {tuning.picture}"
    yield Finding(name="measured", text=measured)
    for note in started.notes:
        yield Finding(name="engine", text=note)
    if not built:
        text = "can be compiled into the engine: `sdcpu doctor --cmake-args` begins it (README.md)"
        yield Finding(name="kernels", text=text)


def _features(system_info: str) -> str:
    """What the engine was compiled for, of a text like "AVX2 = 1 | NEON = 0 |"."""
    facts = (fact.partition(" = ") for fact in system_info.split("|"))
    return ", ".join(name.strip() for name, _, value in facts if value.strip() == "1") or "?"

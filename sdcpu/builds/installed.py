"""The builds of the engine on this machine: which there are, and whether they can be used.

The build "cpu" comes with the installed stable-diffusion-cpp-python package, and is found without
importing that package, because importing it loads the library. Others are compiled by sdcpu into a
folder of its own; one is used from the time on when it has drawn the demo picture as it should.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sdcpu.binding import BINDING, BINDING_MODULE, BINDING_VERSION
from sdcpu.builds.compiled_for import compiled_for
from sdcpu.builds.recipes import CPU, RECIPES, find_recipe
from sdcpu.builds.records import BuildRecord, Proof, library_mark, read_record
from sdcpu.errors import BuildNotInstalledError, BuildUnusableError
from sdcpu.gpus import Driver
from sdcpu.hardware import detect_hardware
from sdcpu.settings import Settings, child_environment, engine_library

AUTOMATIC = "auto"
"""The build's name when the choice is left to us."""

_LIBRARY_NAMES = {
    "win32": ("stable-diffusion.dll", "libstable-diffusion.dll"),
    "darwin": ("libstable-diffusion.so", "libstable-diffusion.dylib"),
}
"""As the binding itself looks for them, by platform."""
_SEEN_BY_DRIVER = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
"""Variables that the drivers heed themselves, so that whoever asks them sees these cards only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """One build of the engine."""

    name: str
    """Stable name for options, such as "cpu"."""
    title: str
    """What it is, for people."""
    library: Path
    """The shared library; the child process loads it."""
    version: str
    """The binding's version."""
    usable: bool
    problem: str = ""
    """Why it cannot be used, a plain sentence; "" when it can."""
    hint: str = ""
    """What to do about that."""
    proof: Proof | None = None
    """What its last proof showed; None where there was none, and for the package's own library."""
    note: str = ""
    """Of the package's library: why the one that was compiled here does not stand in for it."""

    @property
    def is_gpu(self) -> bool:
        """Whether it computes on a card."""
        return self.name != CPU

    @property
    def is_faster(self) -> bool:
        """Whether it was seen to be faster than the processor."""
        return self.proof is not None and self.proof.verdict == "faster"


def list_builds(settings: Settings) -> tuple[Build, ...]:
    """All installed builds, usable or not, best first.

    >>> from sdcpu.settings import load_settings
    >>> "cpu" in [build.name for build in list_builds(load_settings())]
    True
    """
    own = {name: build for name in RECIPES if (build := own_build(name, settings)) is not None}
    package = _package_folder()
    cpu = own.pop(CPU, None)
    if package is not None:
        cpu = _faster_cpu_build(cpu, _package_build(package))
    faster = sorted(own.values(), key=lambda build: not (build.usable and build.is_faster))
    ahead = [build for build in faster if build.usable and build.is_faster]
    behind = [build for build in faster if build not in ahead]
    return (*ahead, *([] if cpu is None else [cpu]), *behind)


def _faster_cpu_build(own: Build | None, packaged: Build) -> Build:
    """The one that was compiled here where it was proved faster, or is the only one that runs."""
    if own is None:
        return packaged
    if own.usable and (own.is_faster or not packaged.usable):
        return own
    why = own.problem or (own.proof.reason if own.proof else "")
    why = why[:1].lower() + why[1:]
    return replace(packaged, note=f"The one that was compiled here is not used: {why}")


def find_build(name: str, settings: Settings, drivers: Sequence[Driver] | None = None) -> Build:
    """The build of this name; "auto" takes the fastest usable one.

    With `drivers` the builds for cards that are not here, or whose driver has changed since they
    were proved, count as unusable.

    Raises:
        BuildNotInstalledError: there is no such build here.
        BuildUnusableError: it is here and cannot be used; the message says why.

    >>> from sdcpu.settings import load_settings
    >>> find_build("cpu", load_settings()).name
    'cpu'
    """
    builds = list_builds(settings)
    if not builds:
        raise BuildNotInstalledError(
            f"The engine ({BINDING} {BINDING_VERSION}) is not installed.",
            hint=f"Install it: pip install {BINDING}=={BINDING_VERSION}",
        )
    if name == AUTOMATIC:
        wanted = [build for build in builds if build.is_faster or not build.is_gpu]
    else:
        wanted = [build for build in builds if build.name == name]
    if not wanted:
        installed = ", ".join(build.name for build in builds)
        hint = f"Installed: {installed}."
        if name in RECIPES:
            hint += f" 'sdcpu builds install {name}' would make it."
        raise BuildNotInstalledError(f"There is no engine build {name!r} here.", hint=hint)
    problems = [_problem(build, drivers, settings.device) for build in wanted]
    for build, (problem, _) in zip(wanted, problems, strict=True):
        if not problem:
            return build
    problem, hint = problems[0]
    raise BuildUnusableError(
        f"The engine build {wanted[0].name!r} cannot be used: {problem}", hint=hint
    )


def library_to_load() -> Path | None:
    """The library that the binding will load in this process; None where there is no binding.

    >>> library_to_load() is not None
    True
    """
    package = _package_folder()
    return engine_library() or (None if package is None else _library_in(package))


def own_build(name: str, settings: Settings) -> Build | None:
    """The build of this name that was compiled here; None where there is none."""
    folder = settings.builds_folder / name
    record = read_record(folder)
    if record is None:
        return None
    library = folder / record.library
    proof = record.proofs.get(device_name(name, settings.device))
    problem, hint = _problem_of_record(name, record, library, proof, settings.device)
    return Build(
        name=name,
        title=find_recipe(name).title,
        library=library,
        version=record.binding_version,
        usable=not problem,
        problem=problem,
        hint=hint,
        proof=proof,
    )


def remove_build(name: str, settings: Settings) -> int:
    """Delete a build that was compiled here, with its log; return the bytes freed.

    Raises:
        BuildNotInstalledError: there is none.
    """
    folder = settings.builds_folder / name
    if name not in RECIPES or not folder.is_dir():
        raise BuildNotInstalledError(
            f"There is no engine build {name!r} that was compiled here.",
            hint="sdcpu builds lists them.",
        )
    freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    (settings.builds_folder / f"{name}.log").unlink(missing_ok=True)
    return freed


def device_environment(build: Build, device: int) -> dict[str, str]:
    """Environment variables by which the engine's process sees one card only."""
    recipe = RECIPES.get(build.name)
    if recipe is None or not recipe.device_variable:
        return {}
    variables = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return {recipe.device_variable: device_name(build.name, device), **variables}


def device_name(name: str, device: int) -> str:
    """What the driver calls the card that a build computes on; "" for the processor.

    Where the user has hidden cards, ours are numbered among those that can be seen.

    >>> device_name("vulkan", 1)
    '1'
    """
    recipe = RECIPES.get(name)
    if recipe is None or not recipe.is_gpu:
        return ""
    if name == "sycl":
        return f"level_zero:{device}"
    variable = recipe.device_variable
    seen = child_environment().get(variable, "").split(",") if variable in _SEEN_BY_DRIVER else []
    return seen[device].strip() if device < len(seen) and seen[device].strip() else str(device)


def _problem(build: Build, drivers: Sequence[Driver] | None, device: int) -> tuple[str, str]:
    """Why a build cannot be used now, and what to do; "" when it can."""
    fine = build.problem, build.hint
    driver = next((driver for driver in drivers or () if driver.api == build.name), None)
    if driver is None or (build.problem and build.proof is not None):
        return fine
    if not driver.devices:
        reason = f"there is no card for it: {driver.problem or 'none was found'}."
        return reason, "sdcpu doctor says what the drivers tell."
    if device >= len(driver.devices):
        known = ", ".join(f"{card.index} ({card.name})" for card in driver.devices)
        return f"there is no device {device} for it.", f"There are: {known}."
    if build.proof is not None and driver.devices[device].driver != build.proof.driver:
        reason = f"the driver has changed since it was proved ({driver.devices[device].driver})."
        return reason, _prove_hint(build.name, device)
    return fine


def _problem_of_record(
    name: str, record: BuildRecord, library: Path, proof: Proof | None, device: int
) -> tuple[str, str]:
    """What is wrong with a build that was compiled here, and what to do about it."""
    if problem := _problem_of_library(record, library):
        return problem, f"Make it again: sdcpu builds install {name}"
    if proof is None:
        problem = "it has not drawn a picture yet."
        if record.proofs:
            problem = f"it has not drawn a picture on device {device} yet."
    elif proof.library != library_mark(library):
        problem = "its library has changed since it was proved."
    elif proof.verdict == "fails":
        problem = proof.reason
    return problem, _prove_hint(name, device) if problem else ""


def _prove_hint(name: str, device: int) -> str:
    return f"Prove it: sdcpu builds prove {name}" + (f" --device {device}" if device else "")


def _problem_of_library(record: BuildRecord, library: Path) -> str:
    if record.binding_version != BINDING_VERSION:
        return f"it is of the engine {record.binding_version}, not {BINDING_VERSION}."
    if not library.is_file():
        return f"its library {library} is missing."
    return _problem_of_processor({*record.features, *compiled_for(library)})


def _problem_of_processor(features: Collection[str]) -> str:
    """What this processor lacks of the instruction sets that a library may use; "" for nothing."""
    here = detect_hardware().cpu_features
    lacking = sorted(set(features) - here) if here else []
    return f"this processor lacks what it was compiled for: {', '.join(lacking)}." * bool(lacking)


def _package_folder() -> Path | None:
    """Where the binding is installed; nothing of it is executed."""
    try:
        found = importlib.util.find_spec(BINDING_MODULE)
    except (ImportError, ValueError):
        return None
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def _library_in(package: Path) -> Path:
    names = _LIBRARY_NAMES.get(sys.platform, ("libstable-diffusion.so",))
    candidates = [package / "lib" / name for name in names]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _package_build(package: Path) -> Build:
    from importlib import metadata

    library = _library_in(package)
    try:
        version = metadata.version(BINDING)
    except metadata.PackageNotFoundError:
        version = "unknown"
    if version != BINDING_VERSION:
        problem = f"{BINDING} {version} is installed; sdcpu works with {BINDING_VERSION} only."
    elif not library.is_file():
        problem = f"its library {library} is missing."
    else:
        # Copied from another machine, or in a container on an older one.
        problem = _problem_of_processor(compiled_for(library))
    return Build(
        name=CPU,
        title="The processor, any maker",
        library=library,
        version=version,
        usable=not problem,
        problem=problem,
        hint="Make one for this machine: sdcpu builds install cpu; or install it again: "
        f"pip install --force-reinstall --no-cache-dir {BINDING}=={BINDING_VERSION}",
    )

"""Proving a build of the engine: it draws the demo picture, and must do it right and fast.

The picture is compared with the one that the processor draws; a larger one shows the speed. What
goes wrong, a crash included, ends up in the proof, not in an error. A program that plays a card
takes minutes for what a card does in a moment: it draws small pictures first, and larger ones as
long as it is the faster one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sdcpu.accel import are_kernels_there
from sdcpu.builds import Build, find_build
from sdcpu.builds.installed import device_environment, device_name, own_build
from sdcpu.builds.recipes import CPU
from sdcpu.builds.records import Proof, library_mark, read_record, write_record
from sdcpu.catalog import Catalog
from sdcpu.engine_choice import EngineChoice, check_devices
from sdcpu.errors import (
    BuildError,
    BuildNotInstalledError,
    BuildUnusableError,
    InvalidRequestError,
    SdcpuError,
)
from sdcpu.gpus import APIS, Driver, Gpu, cards, detect_gpus
from sdcpu.gpus.faults import known_fault
from sdcpu.hardware import detect_hardware, process_memory
from sdcpu.images import ImageRequest
from sdcpu.jobs import engine_job, engine_load
from sdcpu.measurements import Measurements
from sdcpu.plan import make_plan
from sdcpu.process import SILENCE_SECONDS, EngineProcess
from sdcpu.protocol import Drawn, Finished, Generate, Load, Pixels
from sdcpu.settings import Settings, child_environment
from sdcpu.start_pictures import StartPictures

SAME_PICTURE = 30.0
"""Decibels that the pictures must be alike. Cards compute with 16 bits where the processor has 32;
a picture that shows something else is below 20."""
ONE_COLOUR = 2.0
"""Levels of 256 that a picture's values vary by at least: NaN comes out as one colour."""
MODEL = "demo"
_PROMPT = "a red circle on a blue background"
_SEED = 7
_SHARE_FASTER = 0.95
"""Of the processor's time: a build that is not clearly faster is no gain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """What a build has to draw."""

    picture: Mapping[str, int]
    """Of the request for the picture that is compared."""
    timed: Mapping[str, int]
    """Of the request whose steps are timed: width, height and steps."""
    silence: float
    """Seconds that the engine may say nothing, as for `EngineProcess`."""


_CARD_TASK = _Task(
    picture={},
    # Enough work for a card to show what it can.
    timed={"width": 256, "height": 256, "steps": 2},
    silence=SILENCE_SECONDS,
)
_SOFTWARE_TASKS = tuple(
    # The compiler of Mesa's software driver takes minutes for some shaders, the first time.
    _Task(picture=size, timed=size, silence=3600.0)
    for size in ({"width": edge, "height": edge, "steps": 1} for edge in (64, 128, 256))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Showing:
    """What a build showed."""

    picture: Pixels
    seconds: float
    """For one step of the large picture."""
    device: str
    memory: int
    device_memory: int | None


def prove_build(name: str, settings: Settings) -> Proof:
    """Let the build that was compiled here draw, judge it, and keep the proof beside it.

    Raises:
        BuildNotInstalledError: there is no such build.
        BuildUnusableError: no card can be seen now, which says nothing of the build: what was
            proved before stays.
        InvalidRequestError: there is no card of the number in the settings.
        OSError: the proof cannot be written.
    """
    folder = settings.builds_folder / name
    build, record = own_build(name, settings), read_record(folder)
    if build is None or record is None:
        raise BuildNotInstalledError(
            f"There is no engine build {name!r} that was compiled here.",
            hint=f"Make it: sdcpu builds install {name}",
        )
    drivers = detect_gpus([api for api in APIS if api == name])
    card = _card(build, drivers, settings)
    proof = _judge(build, card, settings)
    proof = replace(
        proof,
        driver=card.driver if card else "",
        device=proof.device or (card.name if card else detect_hardware().cpu_name),
        library=library_mark(build.library),
    )
    proofs = {**record.proofs, device_name(name, settings.device): proof}
    write_record(folder, replace(record, proofs=proofs))
    return proof


def prove_with_new_driver(engines: EngineChoice, settings: Settings) -> str:
    """Prove the build again whose driver has changed; what to tell about that, "" where none has.

    It takes some seconds, once for each driver.
    """
    build = engines.build_of_another_driver()
    if build is None:
        return ""
    try:
        found: str = prove_build(build.name, settings).verdict
    except (SdcpuError, OSError) as error:
        found = str(error)
    return f"The driver has changed, so the {build.name} build was proved again: {found}."


def _card(build: Build, drivers: Sequence[Driver], settings: Settings) -> Gpu | None:
    there = cards(drivers, build.name)
    if not there and drivers:
        problem = drivers[0].problem or "none was found"
        raise BuildUnusableError(
            f"There is no card to prove the {build.name} build on: {problem}.",
            hint="sdcpu doctor says what the drivers tell.",
        )
    if there and settings.device >= len(there):
        raise InvalidRequestError(
            f"There is no device {settings.device} for the {build.name} build.",
            hint=f"There are: {', '.join(f'{gpu.index} ({gpu.name})' for gpu in there)}.",
        )
    return there[settings.device] if there else None


def _judge(build: Build, card: Gpu | None, settings: Settings) -> Proof:
    """The judgement on what it draws: the first that is not good, or the last."""
    if card is not None and (fault := known_fault(card)):
        return Proof(verdict="fails", reason=fault)
    reference = _reference(build, settings)
    if reference is None:
        return _judge_alone(build, settings)
    tasks = (_CARD_TASK,) if card is None or card.is_card else _SOFTWARE_TASKS
    for task in tasks:
        proof = _judge_task(task, build, reference, card, settings)
        if proof.verdict != "faster":
            break
    return proof


def _judge_task(
    task: _Task, build: Build, reference: Build, card: Gpu | None, settings: Settings
) -> Proof:
    measure = _show(task, reference, None, settings)
    try:
        shown = _show(task, build, card, settings)
    except BuildUnusableError:
        raise
    except SdcpuError as error:
        return Proof(verdict="fails", reason=error.message, cpu_seconds=measure.seconds)
    decibels = alikeness(shown.picture, measure.picture)
    proof = Proof(
        verdict="faster",
        reason="",
        device=shown.device,
        decibels=None if math.isinf(decibels) else round(decibels, 1),
        seconds=shown.seconds,
        cpu_seconds=measure.seconds,
        memory=shown.memory,
        device_memory=shown.device_memory,
    )
    size = f"{task.timed['width']}x{task.timed['height']}"
    other = "the processor" if build.is_gpu else "the installed library"
    times = f"{shown.seconds:.3g} s for a step at {size}, {other} {measure.seconds:.3g} s"
    if is_one_colour(shown.picture):
        return replace(proof, verdict="fails", reason="Its picture has one colour only.")
    if decibels < SAME_PICTURE:
        reason = f"Its picture is not the processor's: {decibels:.0f} dB alike."
        return replace(proof, verdict="fails", reason=reason)
    if shown.seconds > _SHARE_FASTER * measure.seconds:
        return replace(proof, verdict="slower", reason=f"It is not faster: it takes {times}.")
    return replace(proof, reason=f"It takes {times}.")


def _reference(build: Build, settings: Settings) -> Build | None:
    """What a build is compared with; None where no other one runs here."""
    if build.is_gpu:
        return find_build(CPU, settings)
    try:
        return find_build(CPU, replace(settings, builds_folder=settings.builds_folder / "none"))
    except BuildError:
        return None


def _judge_alone(build: Build, settings: Settings) -> Proof:
    """Judge a build for the processor without another one to compare it with."""
    try:
        shown = _show(_CARD_TASK, build, None, settings)
    except SdcpuError as error:
        return Proof(verdict="fails", reason=error.message)
    proof = Proof(
        verdict="faster",
        reason=f"It is the only one that runs here: it takes {shown.seconds:.3g} s for a step.",
        device=shown.device,
        seconds=shown.seconds,
        memory=shown.memory,
    )
    if is_one_colour(shown.picture):
        return replace(proof, verdict="fails", reason="Its picture has one colour only.")
    return proof


def _show(task: _Task, build: Build, card: Gpu | None, settings: Settings) -> _Showing:
    catalog = Catalog(settings)
    model = catalog.find(MODEL)
    for _ in catalog.fetch(model, _never_quantize):
        pass
    located = catalog.locate(model)
    picture_plan, timed_plan = (
        make_plan(
            model,
            ImageRequest(prompt=_PROMPT, seed=_SEED, **size),  # type: ignore[arg-type]
            detect_hardware(),
            build,
            headers=catalog.headers(model),
            measurements=Measurements(settings.state_folder),
            threads=settings.threads,
            accel=settings.accel,
            kernels_built=are_kernels_there(build.library),
            card=card,
        )
        for size in (task.picture, task.timed)
    )
    device = device_environment(build, settings.device) if build.is_gpu else {}
    environment = child_environment(SDCPU_ACCEL=picture_plan.kernels, **device)
    with EngineProcess(
        library=build.library, environment=environment, silence_timeout=task.silence
    ) as process:
        started = process.start()
        check_devices(build, started)
        for _ in process.run(Load(settings=engine_load(picture_plan, located))):
            pass
        alone = StartPictures()
        picture, _ = _draw(process, Generate(settings=engine_job(picture_plan, located, alone)))
        job = Generate(settings=engine_job(timed_plan, located, alone))
        # The first one compiles and warms up what the second one uses.
        times = [_draw(process, job)[1]["sample"] for _ in range(2)]
        return _Showing(
            picture=picture,
            seconds=min(times) / task.timed["steps"],
            device=started.devices[0] if build.is_gpu else detect_hardware().cpu_name,
            memory=process_memory(process.pid),
            device_memory=_taken(card),
        )


def _draw(process: EngineProcess, job: Generate) -> tuple[Pixels, Mapping[str, float]]:
    """The picture and the seconds of its stages."""
    picture, seconds = None, {}
    for answer in process.run(job):
        if isinstance(answer, Drawn):
            picture = answer.pixels
        elif isinstance(answer, Finished):
            seconds = answer.stage_seconds
    assert picture is not None  # noqa: S101 - the engine answers with a picture or an error
    return picture, seconds


def _taken(card: Gpu | None) -> int | None:
    """Bytes on the card that were free before and are not now, whoever took them.

    None where other programs gave more back meanwhile than this one took.
    """
    if card is None or card.memory_free is None:
        return None
    now = cards(detect_gpus([card.api]), card.api)
    free = now[card.index].memory_free if card.index < len(now) else None
    taken = 0 if free is None else card.memory_free - free
    return taken if taken > 0 else None


def alikeness(first: Pixels, second: Pixels) -> float:
    """How alike two pictures are, in decibels (PSNR): infinite when equal, 0 when not comparable.

    >>> alikeness(grey := Pixels(width=1, height=1, channels=3, data=bytes(3)), grey)
    inf
    """
    if len(first.data) != len(second.data):
        return 0.0
    import numpy as np

    one, other = (
        np.frombuffer(picture.data, np.uint8).astype(float) for picture in (first, second)
    )
    error = float(np.mean((one - other) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def is_one_colour(picture: Pixels) -> bool:
    """Whether all pixels have nearly the same colour.

    >>> is_one_colour(Pixels(width=2, height=1, channels=3, data=bytes(6)))
    True
    """
    import numpy as np

    values = np.frombuffer(picture.data, np.uint8).reshape(-1, picture.channels).astype(float)
    return bool(values.std(axis=0).max() < ONE_COLOUR)


def _never_quantize(_source: object, _target: object, _tensor_type: str) -> None:
    raise AssertionError("the demo model is as it ships")

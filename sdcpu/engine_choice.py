"""Which build of the engine draws, and on which card: chosen once, and again when a card fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sdcpu.build_choice import faster_plan
from sdcpu.builds import AUTOMATIC, Build, find_build, list_builds
from sdcpu.builds.installed import device_environment
from sdcpu.builds.recipes import CPU
from sdcpu.errors import BuildError, BuildUnusableError, InvalidRequestError, NotEnoughMemoryError
from sdcpu.gpus import APIS, Driver, Gpu, cards, detect_gpus
from sdcpu.gpus.remembered import RememberedCards
from sdcpu.plan import EnginePlan, with_reason
from sdcpu.protocol import Started
from sdcpu.settings import Settings


class EngineChoice:
    """The build to use, by the settings and what was seen on this machine.

    Drivers are asked only where a build for cards is installed, and once.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._drivers: Sequence[Driver] | None = None
        self._given_up = False

    @property
    def asked_for(self) -> bool:
        """Whether the user named the build."""
        return self._settings.build != AUTOMATIC

    def build(self) -> Build:
        """The build to use now.

        Raises:
            BuildNotInstalledError: there is none of the name that was asked for.
            BuildUnusableError: it cannot be used, or no build was proved on the card that was asked
                for; the message says why.
            InvalidRequestError: there is no card of the number that was asked for.
        """
        if self._given_up:
            return find_build(CPU, self._settings)
        build = find_build(self._settings.build, self._settings, self._asked_drivers())
        if self._settings.device and not self.asked_for and not build.is_gpu:
            self._check_device_asked_for()
        return build

    def plan(self, decide: Callable[[Build], EnginePlan], loaded: Path | None = None) -> EnginePlan:
        """The plan with the build that is the fastest for it; `decide` makes one with a build.

        `loaded` is the library of the engine that runs already.

        Raises:
            NotEnoughMemoryError: it fits in no way, or not with the build that was asked for.
            SdcpuError: what `build` and `decide` raise.
        """
        build = self.build()
        if not build.is_gpu or self.asked_for:
            return decide(build)
        try:
            plan = decide(build)
        except NotEnoughMemoryError as error:
            reason = "The processor draws, because the card's memory is too small: "
            return with_reason(decide(find_build(CPU, self._settings)), reason + error.message)
        if self._settings.device:  # whoever names a card wants it
            return plan
        try:
            return faster_plan(plan, decide(find_build(CPU, self._settings)), loaded)
        except (BuildError, NotEnoughMemoryError):
            return plan

    def card(self, build: Build) -> Gpu | None:
        """The card that a build computes on; None for the processor.

        Raises:
            InvalidRequestError: there is no card of the number that was asked for.
        """
        if not build.is_gpu:
            return None
        there = cards(self._asked_drivers(), build.name)
        for gpu in there:
            if gpu.index == self._settings.device:
                return gpu
        known = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in there)
        raise InvalidRequestError(
            f"There is no device {self._settings.device} for the {build.name} build.",
            hint=f"There are: {known}." if known else "No card was found.",
        )

    def devices(self) -> tuple[int, ...]:
        """Numbers of all cards that the build to use may compute on; none for the processor.

        Raises:
            BuildError: as `build`.
        """
        build = self.build()
        if not build.is_gpu:
            return ()
        return tuple(
            gpu.index
            for gpu in cards(self._asked_drivers(), build.name)
            if self._is_proved_on(gpu, build)
        )

    def environment(self, build: Build) -> dict[str, str]:
        """What the engine's process must be told, beside our own environment."""
        return device_environment(build, self._settings.device) if build.is_gpu else {}

    def build_of_another_driver(self) -> Build | None:
        """The build that would be used, had its card the driver that it was proved with."""
        if self._given_up or self._settings.build == CPU:
            return None
        for build in list_builds(self._settings):
            there = cards(self._asked_drivers(), build.name)
            if (
                self._settings.build in (AUTOMATIC, build.name)
                and build.usable
                and build.proof is not None
                and self._settings.device < len(there)
                and there[self._settings.device].driver != build.proof.driver
            ):
                return build
        return None

    def give_up_cards(self) -> None:
        """Use the processor from now on."""
        self._given_up = True

    def _is_proved_on(self, gpu: Gpu, build: Build) -> bool:
        settings = replace(self._settings, device=gpu.index)
        try:
            found = find_build(build.name, settings, self._asked_drivers())
        except BuildError:
            return False
        return found.is_faster or self.asked_for

    def _check_device_asked_for(self) -> None:
        """Who names a card is told when it cannot be had; the processor would surprise."""
        for build in list_builds(self._settings):
            if build.is_gpu and cards(self._asked_drivers(), build.name):
                self.card(build)
                if build.proof is None:
                    find_build(build.name, self._settings, self._asked_drivers())

    def _asked_drivers(self) -> Sequence[Driver]:
        if self._drivers is None:
            installed = {build.name for build in list_builds(self._settings)}
            self._drivers = detect_gpus(
                [api for api in APIS if api in installed],
                remembered=RememberedCards(self._settings.state_folder),
            )
        return self._drivers


def devices_to_prove(name: str, settings: Settings) -> tuple[int, ...]:
    """Numbers of the cards that a build of this name is to be proved on: all, unless one is named.

    Without a card it is the first device, which may be a program that plays one, or the processor.
    """
    if settings.device:
        return (settings.device,)
    there = cards(detect_gpus([api for api in APIS if api == name]), name)
    return tuple(gpu.index for gpu in there if gpu.is_card) or (0,)


def check_devices(build: Build, started: Started) -> None:
    """Make sure that a build for cards found one: without, it would compute on the processor.

    Raises:
        BuildUnusableError: it found none.
    """
    if build.is_gpu and not started.devices:
        raise BuildUnusableError(
            f"The engine build {build.name!r} finds no card to compute on.",
            hint="sdcpu doctor says what the drivers tell.",
        )

"""Measuring a machine with a faked engine in real processes: what is kept, and who uses it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sdcpu import engine_run
from sdcpu.accel import library_path
from sdcpu.errors import ModelNotDownloadedError
from sdcpu.generator import ImageGenerator
from sdcpu.hardware import detect_hardware
from sdcpu.kernels import usable_kernels
from sdcpu.process import EngineProcess
from sdcpu.settings import Settings, load_settings
from sdcpu.trials import SIDES, Trial, TrialResult, find_fastest, threads_to_try
from sdcpu.tuning import Tunings
from tests.engines import command


@pytest.fixture
def settings(tmp_path: Path, demo_folder: Path) -> Settings:
    """A machine with the demo model, whose user has chosen kernels and threads."""
    empty = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    return replace(
        empty,
        cache_folder=demo_folder,
        state_folder=tmp_path / "state",
        hub_cache=tmp_path / "hub",
        threads=7,
        accel="off",
    )


@pytest.fixture(autouse=True)
def _fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = partial(EngineProcess, command=command())
    monkeypatch.setattr(engine_run, "EngineProcess", fake)


def test_what_is_found_is_kept_and_used(settings: Settings) -> None:
    *trials, result = find_fastest(settings=settings)
    assert isinstance(result, TrialResult)
    assert all(isinstance(trial, Trial) and trial.seconds > 0 for trial in trials)
    hardware = detect_hardware()
    usable = usable_kernels(hardware.cpu_features, built=library_path() is not None)
    assert {way.kernels for way in result.seconds} == set(usable or ["off"])
    assert {way.threads for way in result.seconds} == set(threads_to_try(hardware))
    assert result.side == SIDES[-1]
    assert f"{result.side}x{result.side} with demo" in result.best.picture
    assert not result.left_out

    open_settings = replace(settings, threads=None, accel="auto")
    with ImageGenerator("demo", settings=open_settings) as generator:
        plan = generator.plan()
    assert (plan.kernels, plan.threads) == (result.best.kernels, result.best.threads)
    assert sum("sdcpu bench measured" in reason for reason in plan.reasons) == 2
    with ImageGenerator("demo", settings=settings) as generator:
        plan = generator.plan()
    assert (plan.kernels, plan.threads) == ("off", 7)
    Tunings(settings.state_folder).forget()
    with ImageGenerator("demo", settings=open_settings) as generator:
        assert not any("sdcpu bench" in reason for reason in generator.plan().reasons)


def test_without_time_to_compare_nothing_is_kept(settings: Settings) -> None:
    *_, result = find_fastest(settings=settings, budget=0.001)
    assert isinstance(result, TrialResult)
    assert len(result.seconds) == 1
    assert result.conclusive == (not result.left_out)
    assert Tunings(settings.state_folder).forget() == result.conclusive


def test_a_model_that_is_not_here_is_not_downloaded(settings: Settings) -> None:
    with pytest.raises(ModelNotDownloadedError):
        list(find_fastest("sd-turbo", settings=settings))


def test_breaking_off_keeps_nothing(settings: Settings) -> None:
    for event in find_fastest(settings=settings):
        assert isinstance(event, Trial)
        break
    assert not Tunings(settings.state_folder).forget()

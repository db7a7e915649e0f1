"""The profile that `SDCPU_ACCEL_PROFILE` asks for."""

import os
from pathlib import Path

import pytest

from sdcpu.accel import library_path
from sdcpu.families import FileRole
from sdcpu.process import EngineProcess
from sdcpu.protocol import Generate, GenerateSettings, Load, LoadSettings

pytestmark = pytest.mark.skipif(
    library_path() is None, reason="the native library was not built: no C++ compiler, or not Linux"
)


def _printed(files: dict[FileRole, Path], **environment: str) -> list[str]:
    """What the engine's process printed about a small picture."""
    load = LoadSettings(files={role.value: str(path) for role, path in files.items()}, threads=1)
    settings = GenerateSettings(
        prompt="a red circle",
        width=64,
        height=64,
        steps=2,
        cfg_scale=1.0,
        guidance=3.5,
        sampler="lcm",
        scheduler="lcm",
        seed=3,
    )
    engine = EngineProcess(environment={**os.environ, **environment}, log_lines=10_000)
    with engine:
        if engine.start().kernels == "off":
            pytest.skip("no kernels of ours run here")
        for message in (Load(settings=load), Generate(settings=settings)):
            for _ in engine.run(message):
                pass
    return [line for line in engine.recent_log if "GFLOP/s" in line]


def test_each_stage_has_its_own_profile(demo_files: dict[FileRole, Path]) -> None:
    lines = _printed(demo_files, SDCPU_ACCEL_PROFILE="1")
    titles = [line.split()[2] for line in lines if line.startswith("profile of ")]
    assert titles == ["text:", "sample:", "decode:"]
    assert any("MUL_MAT/" in line for line in lines)


def test_nobody_who_does_not_ask_gets_one(demo_files: dict[FileRole, Path]) -> None:
    assert not _printed(demo_files)

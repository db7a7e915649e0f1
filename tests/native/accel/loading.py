"""How the engine is told to load a model for kernels of ours, or for its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sdcpu.families import FileRole
from sdcpu.protocol import LoadSettings


def load_settings(files: Mapping[FileRole, Path], kernels: str, threads: int) -> LoadSettings:
    """The flags that go with our kernels, and none of them where `kernels` is "off"."""
    direct = kernels != "off"
    return LoadSettings(
        files={role.value: str(path) for role, path in files.items()},
        threads=threads,
        flash_attention=direct,
        diffusion_conv_direct=direct,
        vae_conv_direct=direct,
    )

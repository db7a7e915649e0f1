"""A hub on loopback with one file, and settings whose folders are empty."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from sdcpu.downloads import Patience, Quantizer, download_model, locate_files
from sdcpu.events import DownloadProgress
from sdcpu.families import FileRole
from sdcpu.models import Model, ModelFile
from sdcpu.settings import Settings
from tests.hub import HubServer

PATH = "model.gguf"
DATA = bytes(range(256)) * 1600
"""400 KiB: many pieces, quickly sent."""
QUICK = Patience(first_wait=0.01, timeout=10.0, longest_wait=2.0)
"""Without waiting between attempts; an answer may take its time, also on a busy machine."""
HASTY = Patience(first_wait=0.01, timeout=0.2, longest_wait=2.0)
"""For a hub that falls silent."""


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Any name but loopback's fails to be looked up, and no login of this machine is found."""
    look_up = socket.getaddrinfo

    def only_here(host: Any, *more: Any, **named: Any) -> Any:
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    monkeypatch.setenv("NO_PROXY", "*")
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield
    huggingface_hub.close_session()


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_file("owner/name", PATH, DATA)
        yield server


@pytest.fixture
def settings(tmp_path: Path, hub: HubServer) -> Settings:
    return settings_below(tmp_path, hub.endpoint)


def settings_below(folder: Path, endpoint: str | None, **more: Any) -> Settings:
    """Settings whose folders all lie in one."""
    values: dict[str, Any] = {
        "cache_folder": folder / "cache",
        "state_folder": folder / "state",
        "builds_folder": folder / "builds",
        "config_file": folder / "config.toml",
        "models_file": folder / "models.toml",
        "hub_cache": folder / "hub",
        "hub_endpoint": endpoint,
    }
    return Settings(**(values | more))


def one_file(path: str = PATH, **more: Any) -> ModelFile:
    values: dict[str, Any] = {"role": FileRole.MODEL, "repository": "owner/name", "path": path}
    return ModelFile(**(values | more))


def model_of(*files: ModelFile) -> Model:
    return Model(name="tested", summary="", family="sd1", files=files)


def download(
    model: Model,
    settings: Settings,
    quantize: Quantizer | None = None,
    *,
    patience: Patience = QUICK,
) -> list[DownloadProgress]:
    """Download all of a model at once."""
    return list(download_model(model, settings, quantize, patience=patience))


def content(model: Model, settings: Settings) -> list[bytes]:
    """What those files hold that are here."""
    paths = locate_files(model, settings).values()
    return [path.read_bytes() for path in paths if path is not None]


def leftovers(settings: Settings) -> list[Path]:
    """What unfinished downloads and quantisations have left."""
    found = settings.cache_folder.parent.rglob("*")
    return [path for path in found if path.suffix == ".incomplete" or "unfinished" in path.name]

"""Folders, the configuration file and the environment: the only reader of os.environ.

An option of a call wins over the environment, the environment over the configuration file:

    default_model = "sd15-q4"      # SDCPU_MODEL
    threads = 4                    # SDCPU_THREADS
    memory_limit = "4 GiB"         # SDCPU_MEMORY_LIMIT
    build = "cpu"                  # SDCPU_BUILD
    accel = "auto"                 # SDCPU_ACCEL
    offline = true                 # SDCPU_OFFLINE, HF_HUB_OFFLINE
    keep_original = false          # SDCPU_KEEP_ORIGINAL: keep what was quantised here
    cache_folder = "/big/sdcpu"    # SDCPU_CACHE: what sdcpu makes itself
    device = 1                     # SDCPU_DEVICE: which of several cards
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdcpu.errors import SettingsError

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off", ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What this user and this machine want, before any option of a call."""

    cache_folder: Path
    """What sdcpu makes itself: the widened demo model, quantised models, plain downloads."""
    state_folder: Path
    """What sdcpu remembers: measurements, verified files."""
    builds_folder: Path
    """Builds of the engine that were compiled here."""
    config_file: Path
    models_file: Path
    """The user's own models.toml."""
    default_model: str | None = None
    threads: int | None = None
    memory_limit: int | None = None
    """Bytes that parent and child may use together."""
    build: str = "auto"
    device: int = 0
    """Which of several cards, counted from 0 in the order of their slots."""
    accel: str = "auto"
    offline: bool = False
    keep_original: bool = False
    """Keep a downloaded file after it was quantised here."""
    hub_cache: Path | None = None
    """The hub client's cache; None: where huggingface_hub has it."""
    hub_endpoint: str | None = None
    hub_token: str | None = None
    remote_token: str | None = None
    """For the server that `--remote` names: its token, or the key of a service."""
    server_token: str | None = None
    """What clients of `sdcpu serve` and `sdcpu mcp` have to know (SDCPU_TOKEN)."""

    @property
    def server_folder(self) -> Path:
        """The queue of `sdcpu serve` and its pictures."""
        return self.state_folder / "server"

    @property
    def wildcards_folder(self) -> Path:
        """The user's wildcard files."""
        return self.config_file.with_name("wildcards")

    @property
    def styles_file(self) -> Path:
        """The user's own styles.toml."""
        return self.config_file.with_name("styles.toml")

    def __repr__(self) -> str:
        """As a dataclass's, without the tokens: a representation ends up in logs."""
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name in self.__slots__
            if not name.endswith("_token")
        )
        return f"Settings({', '.join(shown)})"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration file and the environment.

    Raises:
        SettingsError: the file or a variable cannot be used; the message names it.

    >>> load_settings({"SDCPU_THREADS": "2", "SDCPU_CONFIG": "/nowhere.toml"}).threads
    2
    """
    from platformdirs import user_cache_path, user_config_path, user_data_path, user_state_path

    variables = os.environ if environ is None else environ
    config_file = Path(variables.get("SDCPU_CONFIG") or user_config_path("sdcpu") / "config.toml")
    values = _read_config(config_file)
    _read_environment(values, variables)
    cache = Path(values.pop("cache_folder", None) or user_cache_path("sdcpu")).expanduser()
    return Settings(
        cache_folder=cache,
        state_folder=Path(variables.get("SDCPU_STATE") or user_state_path("sdcpu")),
        builds_folder=Path(variables.get("SDCPU_BUILDS") or user_data_path("sdcpu") / "builds"),
        config_file=config_file,
        models_file=Path(variables.get("SDCPU_MODELS") or config_file.with_name("models.toml")),
        hub_cache=_hub_cache(variables),
        hub_endpoint=variables.get("HF_ENDPOINT") or None,
        hub_token=variables.get("HF_TOKEN") or None,
        remote_token=variables.get("SDCPU_REMOTE_TOKEN") or None,
        server_token=variables.get("SDCPU_TOKEN") or None,
        **values,
    )


def child_environment(**extra: str) -> dict[str, str]:
    """The environment for a child process: ours, with `extra` on top."""
    return {**os.environ, **extra}


def engine_library() -> Path | None:
    """The library that the engine's process was told to load; None: the binding's own."""
    named = os.environ.get("STABLE_DIFFUSION_CPP_LIB")
    return Path(named) if named else None


def parse_size(text: str) -> int:
    """Bytes of a size such as "4 GiB", "800MB" or "2g".

    Units of 1000 (kB, MB, GB, TB) and of 1024 (KiB, MiB, GiB, TiB); a single letter means 1024.

    Raises:
        SettingsError: it is not a size.

    >>> parse_size("1.5 GiB")
    1610612736
    >>> parse_size("800 MB")
    800000000
    """
    match = _SIZE.fullmatch(text)
    if not match:
        raise SettingsError(f"{text!r} is not a size.", hint='Write it like "4 GiB" or "800 MB".')
    number, prefix, binary = match.groups()
    decimal = not binary and text.strip()[-1:].lower() == "b"
    return int(float(number) * (1000 if decimal else 1024) ** " kmgt".index(prefix.lower() or " "))


def _flag(text: str) -> bool:
    if text.strip().lower() not in _YES | _NO:
        raise ValueError("write 1 or 0")
    return text.strip().lower() in _YES


def _threads(value: object) -> int:
    number = int(str(value))
    if not 1 <= number <= 1024:
        raise ValueError("write a number from 1 to 1024")
    return number


def _device(value: object) -> int:
    number = int(str(value))
    if not 0 <= number < 64:
        raise ValueError("write a number from 0 to 63")
    return number


def _memory(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else parse_size(str(value))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("write a text")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("write true or false")
    return value


_FROM_CONFIG: dict[str, Callable[[Any], object]] = {
    "default_model": _text,
    "threads": _threads,
    "memory_limit": _memory,
    "build": _text,
    "device": _device,
    "accel": _text,
    "offline": _boolean,
    "keep_original": _boolean,
    "cache_folder": _text,
}

_FROM_ENVIRONMENT: dict[str, tuple[str, Callable[[str], object]]] = {
    "SDCPU_MODEL": ("default_model", _text),
    "SDCPU_THREADS": ("threads", _threads),
    "SDCPU_MEMORY_LIMIT": ("memory_limit", _memory),
    "SDCPU_BUILD": ("build", _text),
    "SDCPU_DEVICE": ("device", _device),
    "SDCPU_ACCEL": ("accel", _text),
    "HF_HUB_OFFLINE": ("offline", _flag),
    "SDCPU_OFFLINE": ("offline", _flag),
    "SDCPU_KEEP_ORIGINAL": ("keep_original", _flag),
    "SDCPU_CACHE": ("cache_folder", _text),
}


def overridden(
    settings: Settings, *, memory_limit: int | str | None = None, **values: Any
) -> Settings:
    """The settings with what is given in their place; None leaves a setting as it is.

    >>> overridden(load_settings({}), threads=3, memory_limit="1 GiB").memory_limit
    1073741824
    """
    limit = parse_size(memory_limit) if isinstance(memory_limit, str) else memory_limit
    values["memory_limit"] = limit
    return replace(settings, **{k: value for k, value in values.items() if value is not None})


def _read_config(path: Path) -> dict[str, Any]:
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"The configuration file {path} cannot be read: {error}",
            hint="Correct it, or rename it to start without one.",
        ) from error
    values = {}
    for key, value in written.items():
        if key not in _FROM_CONFIG:
            known = ", ".join(sorted(_FROM_CONFIG))
            raise SettingsError(
                f"The configuration file {path} has an unknown key {key!r}.",
                hint=f"Known: {known}.",
            )
        values[key] = _converted(_FROM_CONFIG[key], value, f"{key!r} in {path}")
    return values


def _read_environment(values: dict[str, Any], variables: Mapping[str, str]) -> None:
    for variable, (key, convert) in _FROM_ENVIRONMENT.items():
        if variables.get(variable):
            values[key] = _converted(
                convert, variables[variable], f"The environment variable {variable}"
            )


def _converted(convert: Callable[[Any], object], value: object, where: str) -> object:
    try:
        return convert(value)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error.message}", hint=error.hint) from error
    except ValueError as error:
        raise SettingsError(f"{where} is {value!r}.", hint=f"Please {error}.") from error


def _hub_cache(variables: Mapping[str, str]) -> Path | None:
    """Where the hub client keeps its files, by its own variables (huggingface_hub/constants.py)."""
    if variables.get("HF_HUB_CACHE"):
        return Path(variables["HF_HUB_CACHE"]).expanduser()
    return Path(variables["HF_HOME"]).expanduser() / "hub" if variables.get("HF_HOME") else None

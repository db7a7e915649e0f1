"""The binding's ctypes layer, imported; the one place that knows how it can fail."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
from typing import Any

from sdcpu.binding import BINDING, BINDING_VERSION
from sdcpu.errors import BuildUnusableError, InvalidRequestError
from sdcpu.native import function_of


def import_binding() -> Any:
    """Import the binding's ctypes layer; our door must be loaded before it.

    Raises:
        BuildUnusableError: it is missing, of another version, or its library does not load.
    """
    try:
        version = importlib.metadata.version(BINDING)
        if version != BINDING_VERSION:
            raise BuildUnusableError(
                f"{BINDING} {version} is installed; sdcpu knows version {BINDING_VERSION} only.",
                hint=f"pip install {BINDING}=={BINDING_VERSION}",
            )
        return importlib.import_module("stable_diffusion_cpp.stable_diffusion_cpp")
    except importlib.metadata.PackageNotFoundError as error:
        raise BuildUnusableError(
            f"{BINDING} is not installed.", hint=f"pip install {BINDING}=={BINDING_VERSION}"
        ) from error
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise BuildUnusableError(
            f"The engine's library cannot be used: {error}",
            hint=f"Build it anew: pip install --force-reinstall {BINDING}=={BINDING_VERSION}",
        ) from error


def tensor_type_of(native: Any, name: str) -> int:
    """The engine's number of a tensor type; InvalidRequestError for a name it does not know."""
    number: int = function_of(native, "str_to_sd_type", ctypes.c_int, ctypes.c_char_p)(
        name.encode()
    )
    if number == native.GGMLType.SD_TYPE_COUNT:
        raise InvalidRequestError(
            f"There is no tensor type {name!r}.",
            hint="Choose one such as q8_0, q5_0, q4_0, q4_K, f16 or bf16.",
        )
    return number

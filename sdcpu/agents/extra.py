"""What needs the packages of the extra `sdcpu[agents]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sdcpu.errors import SettingsError


@contextmanager
def extra_needed() -> Iterator[None]:
    """While modules are imported that need the extra.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sdcpu"):
            raise
        raise SettingsError(
            f"The package {error.name} is not installed, which tools for agents need.",
            hint='Install it: pip install "sdcpu[agents]"',
        ) from error

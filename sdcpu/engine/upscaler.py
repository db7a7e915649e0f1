"""An ESRGAN upscaler in the engine, for one picture."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Self

from sdcpu.native import copy_pixels, existing_file, image_of
from sdcpu.protocol import Pixels, Upscale


class Upscaler:
    """What `new_upscaler_ctx` loads, freed again at the end of a `with` block."""

    def __init__(self, native: Any, message: Upscale) -> None:
        """Load the file; `factor` is 0 where the engine could not."""
        self._native = native
        on_processor_only = False
        self._context = native.new_upscaler_ctx(
            existing_file(message.file),
            on_processor_only,
            message.conv_direct,
            message.threads,
            message.tile_size,
        )
        self.factor: int = native.get_upscale_factor(self._context) if self._context else 0
        """How many times wider and higher a picture becomes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._context:
            context, self._context = self._context, None
            self._native.free_upscaler_ctx(context)

    def enlarge(self, pixels: Pixels, free: Callable[[Any], None]) -> Pixels | None:
        """The picture `factor` times as wide and high; None when the engine gave up."""
        image = image_of(self._native, pixels)
        result = self._native.upscale(self._context, image, self.factor)
        if not result.data:
            return None
        try:
            return copy_pixels(result)
        finally:
            free(ctypes.cast(result.data, ctypes.c_void_p))

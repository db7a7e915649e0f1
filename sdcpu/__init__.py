"""Pictures from text on an ordinary computer: quantised models, little memory, no graphics card.

>>> import sdcpu
>>> picture = sdcpu.generate("a red circle on a blue background", model="demo", seed=7)
>>> picture.width
256
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdcpu.errors import (
        BuildError,
        BuildNotInstalledError,
        BuildUnusableError,
        CancelledError,
        ChecksumError,
        DownloadError,
        EngineBusyError,
        EngineCrashedError,
        EngineError,
        GatedModelError,
        GenerationError,
        InvalidRequestError,
        JobConflictError,
        JobNotFoundError,
        JobQueueError,
        ModelError,
        ModelFileError,
        ModelLoadError,
        ModelNotDownloadedError,
        NotEnoughDiskError,
        NotEnoughMemoryError,
        QueueClosedError,
        QueueFolderError,
        QueueFullError,
        RegistryError,
        RemoteError,
        RequestTooLargeError,
        SdcpuError,
        SettingsError,
        UnknownModelError,
    )
    from sdcpu.events import DownloadProgress, Preview, Progress
    from sdcpu.generator import ImageGenerator
    from sdcpu.images import GeneratedImage, ImageRequest
    from sdcpu.one_call import generate, make_plan
    from sdcpu.plan import EnginePlan
    from sdcpu.remote import RemoteGenerator, RemotePlan
    from sdcpu.series import stream_series
    from sdcpu.settings import Settings, load_settings
    from sdcpu.styles import Style, load_styles
    from sdcpu.templates import expand_prompt
    from sdcpu.upscaler import UpscaledImage, UpscalePlan, Upscaler, upscale
    from sdcpu.videos import GeneratedVideo, VideoRequest

__version__ = "0.1.0"

__all__ = [
    "BuildError",
    "BuildNotInstalledError",
    "BuildUnusableError",
    "CancelledError",
    "ChecksumError",
    "DownloadError",
    "DownloadProgress",
    "EngineBusyError",
    "EngineCrashedError",
    "EngineError",
    "EnginePlan",
    "GatedModelError",
    "GeneratedImage",
    "GeneratedVideo",
    "GenerationError",
    "ImageGenerator",
    "ImageRequest",
    "InvalidRequestError",
    "JobConflictError",
    "JobNotFoundError",
    "JobQueueError",
    "ModelError",
    "ModelFileError",
    "ModelLoadError",
    "ModelNotDownloadedError",
    "NotEnoughDiskError",
    "NotEnoughMemoryError",
    "Preview",
    "Progress",
    "QueueClosedError",
    "QueueFolderError",
    "QueueFullError",
    "RegistryError",
    "RemoteError",
    "RemoteGenerator",
    "RemotePlan",
    "RequestTooLargeError",
    "SdcpuError",
    "Settings",
    "SettingsError",
    "Style",
    "UnknownModelError",
    "UpscalePlan",
    "UpscaledImage",
    "Upscaler",
    "VideoRequest",
    "__version__",
    "expand_prompt",
    "generate",
    "load_settings",
    "load_styles",
    "make_plan",
    "stream_series",
    "upscale",
]

_MODULES = (
    *("errors", "events", "images", "videos", "settings", "templates", "styles"),
    *("generator", "one_call", "series", "upscaler", "remote"),
)
"""Where the public names are, cheapest first: importing sdcpu itself imports none of them."""


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name in __all__:
        for module in map(import_module, (f"sdcpu.{module}" for module in _MODULES)):
            if name in vars(module):
                return vars(module)[name]
    raise AttributeError(f"module 'sdcpu' has no attribute {name!r}")

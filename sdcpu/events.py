"""What long work tells while it goes on: small frozen values, yielded in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

Stage = Literal["download", "load", "text", "sample", "decode", "upscale"]
"""The stages of a picture, in the order in which they come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadProgress:
    """How far the download of one file is."""

    file: str
    """The file's path in its repository."""
    done: int
    """Bytes that are here."""
    total: int
    """Bytes of the whole file; 0 while unknown."""
    bytes_per_second: float = 0.0
    """Speed over the last few seconds."""
    seconds_left: float | None = None
    """Estimated seconds to the end of this file; None while unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the picture is."""

    stage: Stage
    """What is being done."""
    step: int = 0
    """Finished steps of this stage; 0 when the stage begins."""
    steps: int = 0
    """All steps of this stage; 0 where the stage has none."""
    picture: int = 1
    """Which picture of the request, counted from 1."""
    pictures: int = 1
    """How many pictures the request asks for."""
    seconds_left: float | None = None
    """Estimated seconds until the last picture is done; None while unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """The unfinished picture."""

    image: Image
    """A Pillow image, smaller than the result where the preview is a projection of the latent."""
    step: int
    """The step after which it was taken, counted from 1."""

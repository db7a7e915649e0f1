"""What video is asked for (`VideoRequest`) and what comes out (`GeneratedVideo`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdcpu.errors import InvalidRequestError
from sdcpu.images import ImageRequest, check_number, checked_request

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdcpu.images import ImageSource

MAX_FRAMES = 1001
"""A minute at 16 frames a second; models were trained for five seconds."""
MAX_FRAMES_PER_SECOND = 120

_ONLY_FOR_PICTURES = {
    "mask_image": "a mask",
    "control_image": "a control picture",
    "ref_images": "reference pictures",
    "extension": "an extension",
    "upscale": "an upscaler",
    "hires": "a second pass",
    "tiled": "tiles",
    "embeddings": "textual inversions",
    "control_net": "a ControlNet",
    "seamless": "seamless edges",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoRequest(ImageRequest):
    """What video is wanted: what a picture's request has, and how many frames. None: as it suits.

    `init_image` is the first frame. A mask, a control picture, reference pictures and more than
    one video belong to no such request.

    Raises:
        InvalidRequestError: a value that cannot be right, named in the message.

    >>> VideoRequest(prompt="waves", frames=33, fps=16).frames
    33
    """

    frames: int | None = None
    """1 to 1001; rounded to what the family can do, and the rounding is said."""
    fps: float | None = None
    """Frames shown in a second, above 0 to 120; the model draws the same frames for any."""
    end_image: ImageSource | None = None
    """The last frame, for models that can be told it."""
    flow_shift: float | None = None
    """How much of the steps goes to strong noise, 0 to 100; more for larger videos."""
    high_noise_steps: int | None = None
    """Steps of the model for strong noise, where there are two (Wan 2.2 A14B); 0 to 999.

    None: it draws until the noise is weak enough for the other one.
    """
    high_noise_cfg_scale: float | None = None
    """As `cfg_scale`, for that model; None: the same."""

    def __post_init__(self) -> None:
        ImageRequest.__post_init__(self)
        check_number("number of frames", self.frames, 1, MAX_FRAMES, whole=True)
        check_number("frames per second", self.fps, 0.1, MAX_FRAMES_PER_SECOND)
        check_number("flow shift", self.flow_shift, 0, 100)
        check_number("high-noise steps", self.high_noise_steps, 0, 999, whole=True)
        check_number("high-noise cfg scale", self.high_noise_cfg_scale, 0, 100)
        for each in fields(self):
            what = _ONLY_FOR_PICTURES.get(each.name)
            if what and getattr(self, each.name) != each.default:
                raise InvalidRequestError(f"A video cannot be made with {what}.")
        if self.fit == "pad":
            raise InvalidRequestError(
                "A first frame cannot be padded: nothing paints the rest.",
                hint='Take fit="crop" or fit="fit".',
            )
        if self.count != 1:
            raise InvalidRequestError(
                f"One video is made at a time, not {self.count}.",
                hint="Ask again with another seed.",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedVideo:
    """A finished video and how it was made."""

    frames: tuple[Image, ...]
    """The frames in their order, Pillow images."""
    fps: float
    """Frames shown in a second."""
    request: VideoRequest
    """The request with every value filled in: asking for it again gives the same video."""
    model: str
    seed: int
    seconds: float
    """From the beginning of this request to the last frame."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What is written into the file: plain values."""

    @property
    def width(self) -> int:
        """Pixels."""
        return self.frames[0].width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.frames[0].height

    @property
    def duration(self) -> float:
        """Seconds it lasts."""
        return len(self.frames) / self.fps

    def save(self, path: str | Path, *, with_recipe: bool = True, overwrite: bool = True) -> Path:
        """Write the video as its name ends: .mp4, .webm, .webp, .gif; a folder gets every frame.

        Raises:
            InvalidRequestError: another ending, a file that exists and must not be overwritten,
                one that cannot be written, or MP4 and WebM without the extra "video".

        >>> video.save("waves.webp")  # doctest: +SKIP
        PosixPath('waves.webp')
        """
        from sdcpu.video_files import save_video

        recipe = self.recipe if with_recipe else None
        return save_video(self.frames, self.fps, Path(path), recipe, overwrite=overwrite)


def video_request_of(prompt: str, options: Mapping[str, Any]) -> VideoRequest:
    """The request with these values.

    Raises:
        InvalidRequestError: a value that no request has, or that cannot be right.

    >>> video_request_of("waves", {"frames": 17}).frames
    17
    """
    return checked_request(VideoRequest, prompt, options)

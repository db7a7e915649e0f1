"""The messages between our process and the engine's process, and how they are framed.

A frame is a length (4 bytes, little-endian), that many bytes of JSON, then the message's binary
parts. In the JSON a message is an object with its class name as "$type"; a bytes value is
{"$bytes": length} there, and its bytes follow the JSON in the order in which they are met. Pixels
travel like this, unencoded.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Literal

from sdcpu.errors import Detail
from sdcpu.placement import ON_CARD, Placement

_LENGTH = struct.Struct("<I")
MAX_HEADER_BYTES = 64 * 1024 * 1024
"""A longer JSON part means that the stream is not ours."""
MAX_PART_BYTES = 1024 * 1024 * 1024
"""A longer binary part means the same; 8192 x 8192 pixels in RGBA are a quarter of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """A picture as the engine has it: 8 bits a channel, rows from the top, no padding."""

    width: int
    height: int
    channels: int
    """1 (mask), 3 (RGB) or 4 (RGBA)."""
    data: bytes
    """width * height * channels bytes."""

    def __post_init__(self) -> None:
        if len(self.data) != self.width * self.height * self.channels:
            raise ValueError(
                f"{len(self.data)} bytes are no picture of "
                f"{self.width} x {self.height} x {self.channels}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraFile:
    """A LoRA to apply."""

    path: str
    weight: float
    tensors: int = 0
    """How many it has, to tell whether all were used; 0: unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadSettings:
    """What the engine must know to load a model; with equal settings the loaded model stays."""

    files: dict[str, str]
    """Paths by role; the roles are the names of `sdcpu.registry.FileRole`."""
    threads: int
    flash_attention: bool = False
    """Attention of the diffusion model without the matrix of scores in memory."""
    diffusion_conv_direct: bool = False
    """Convolutions of the diffusion model without im2col."""
    vae_conv_direct: bool = False
    """Convolutions of the decoder without im2col."""
    decode_only: bool = True
    """Leave the encoder out; False where the request starts from a picture."""
    tiny_decoder_for_preview_only: bool = False
    """Keep the full decoder for the result when a tiny one is loaded for previews."""
    prediction: str | None = None
    """A name of `sdcpu.sampling.PREDICTIONS`; None: the engine reads it off the file."""
    embeddings: dict[str, str] = field(default_factory=dict)
    """Paths of textual inversions by the words of prompts that stand for them."""
    seamless_horizontally: bool = False
    seamless_vertically: bool = False
    placement: Placement = ON_CARD
    """Without effect where no card computes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateSettings:
    """One request with every choice made: nothing is left to the engine's defaults."""

    prompt: str
    negative_prompt: str = ""
    width: int
    height: int
    steps: int
    cfg_scale: float
    guidance: float
    """Distilled guidance (FLUX); without effect elsewhere."""
    sampler: str
    """A name of `sdcpu.sampling.SAMPLERS`."""
    scheduler: str
    """A name of `sdcpu.sampling.SCHEDULERS`."""
    seed: int
    """Of the first picture; the following count up. 0 to 2**63 - 1."""
    count: int = 1
    flow_shift: float | None = None
    sigmas: tuple[float, ...] = ()
    """Noise levels in place of the scheduler's; empty: the scheduler's."""
    eta: float | None = None
    """None: as it suits the sampler."""
    cache: str = "off"
    """A value of `sdcpu.sampling.Cache` but "auto"."""
    clip_skip: int = -1
    """-1: as the family wants."""
    strength: float = 0.75
    init_image: Pixels | None = None
    mask_image: Pixels | None = None
    control_image: Pixels | None = None
    control_strength: float = 0.9
    control_canny: bool = False
    """Find the edges of the control picture first."""
    ref_images: tuple[Pixels, ...] = ()
    loras: tuple[LoraFile, ...] = ()
    tile_size: int = 0
    """Decode in tiles of this many latent pixels; 0: in one piece."""
    preview: Literal["none", "proj", "tae"] = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSettings:
    """One request for a video with every choice made."""

    picture: GenerateSettings
    """What a video has in common with a picture; its init image is the first frame."""
    frames: int
    """A multiple of 4, and one."""
    end_image: Pixels | None = None
    """The last frame."""
    high_noise_steps: int = -1
    """Steps of the model for strong noise; -1: until the noise is below `high_noise_until`."""
    high_noise_cfg_scale: float = 1.0
    high_noise_until: float = 0.875


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """Load a model; whatever was loaded with other settings is freed first."""

    settings: LoadSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Generate:
    """Make pictures with the loaded model."""

    settings: GenerateSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Upscale:
    """Make a picture larger with an upscaler, which is loaded beside the model and freed again."""

    file: str
    picture: Pixels
    """RGB."""
    scale: int
    """At least so many times wider and higher: an upscaler of less works several times."""
    threads: int
    tile_size: int
    """Pixels of the picture that are enlarged at once, along a side."""
    conv_direct: bool = True
    """Convolutions without im2col."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateVideo:
    """Make a video with the loaded model."""

    settings: VideoSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantize:
    """Write a model file again with its large tensors in another type."""

    source: str
    target: str
    tensor_type: str
    """"f32", "f16", "bf16", "q8_0", "q4_0", … as GGUF names them, in lower case."""

    @property
    def unfinished(self) -> str:
        """Where the file is written until it is whole; it takes the target's name at the end."""
        return f"{self.target}.part"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancel:
    """Stop the picture that is being made; the model stays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """End the process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The process is there and the engine's library is loaded."""

    version: str
    """The engine's version, or the binding's where the build did not note it."""
    commit: str
    system_info: str
    """The CPU features the library was compiled for, in the engine's words."""
    cancels_in_place: bool
    """Whether Cancel can stop a step halfway and keep the model."""
    kernels: str = "off"
    """Which of our kernels compute: a name of `sdcpu.kernels.CHOICES`."""
    kernels_way: Literal["", "interposed", "inside"] = ""
    """How our native code came before the engine's: see `sdcpu.accel`."""
    devices: tuple[str, ...] = ()
    """Cards that the engine can compute on, without the processor; it takes the first."""
    notes: tuple[str, ...] = ()
    """What a person should know about this engine process, one sentence each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """A line that the native code logged."""

    level: Literal["debug", "info", "warning", "error"]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """A stage began, or a step of it ended."""

    stage: Literal["load", "text", "sample", "decode", "upscale"]
    step: int = 0
    steps: int = 0
    picture: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Previewed:
    """A look at the unfinished picture."""

    step: int
    pixels: Pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """The model is loaded."""

    seconds: float
    """0.0 when it was there already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A finished picture."""

    index: int
    """Counted from 0."""
    seed: int
    pixels: Pixels
    notes: tuple[str, ...] = ()
    """What a person should know about it, one sentence each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Upscaled:
    """A picture made larger."""

    pixels: Pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameDrawn:
    """A frame of a finished video; they come in their order."""

    index: int
    """Counted from 0."""
    frames: int
    """How many there are."""
    pixels: Pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The message that was sent last is done."""

    stage_seconds: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The message that was sent last could not be done; an error of ours, see `sdcpu.errors`."""

    code: str
    message: str
    hint: str = ""
    details: dict[str, Detail] = field(default_factory=dict)


Work = Load | Generate | GenerateVideo | Upscale | Quantize
"""What the engine is given to do, one at a time; it answers each with Finished or Failed."""
ToEngine = Work | Cancel | Stop
Made = Drawn | FrameDrawn | Upscaled
FromEngine = Started | Logged | Reached | Previewed | Loaded | Made | Finished | Failed

_CLASSES: dict[str, Callable[..., object]] = {
    kind.__name__: kind
    for kind in (
        *(Pixels, LoraFile, Placement, LoadSettings, GenerateSettings, VideoSettings),
        *(Load, Generate, GenerateVideo, Upscale, Quantize, Cancel, Stop),
        *(Started, Logged, Reached, Previewed, Loaded, Drawn, FrameDrawn, Upscaled),
        *(Finished, Failed),
    )
}


class FramingError(Exception):
    """What was read is not a message of ours."""


def write_message(stream: IO[bytes], message: ToEngine | FromEngine) -> None:
    """Write one frame and flush it; raises what the stream raises when the other side is gone."""
    parts: list[bytes] = []
    header = json.dumps(_plain(message, parts), separators=(",", ":")).encode()
    stream.write(_LENGTH.pack(len(header)) + header)
    for part in parts:
        stream.write(part)
    stream.flush()


def read_message(stream: IO[bytes]) -> ToEngine | FromEngine | None:
    """Read one frame; None at the end of the stream, also when it ends inside a frame.

    Raises:
        FramingError: the bytes are not a frame.
    """
    prefix = stream.read(_LENGTH.size)
    if len(prefix) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(prefix)
    if length > MAX_HEADER_BYTES:
        raise FramingError(f"a message of {length} bytes")
    header = stream.read(length)
    if len(header) < length:
        return None
    try:
        message = _message(json.loads(header), stream)
    except EOFError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FramingError(f"an unreadable message: {error}") from error
    if not isinstance(message, ToEngine | FromEngine):
        raise FramingError(f"not a message: {header[:80]!r}")
    return message


def _plain(value: object, parts: list[bytes]) -> object:
    """The JSON form of a value; its bytes are appended to `parts`."""
    if isinstance(value, bytes):
        parts.append(value)
        return {"$bytes": len(value)}
    if dataclasses.is_dataclass(value):
        fields = {f.name: _plain(getattr(value, f.name), parts) for f in dataclasses.fields(value)}
        return {"$type": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [_plain(item, parts) for item in value]
    if isinstance(value, dict) and any(key.startswith("$") for key in value):
        raise ValueError("a key that begins with $ has a meaning of its own in a message")
    return value


def _message(value: object, stream: IO[bytes]) -> object:
    """The value that `_plain` wrote; lists come back as tuples."""
    if isinstance(value, list):
        return tuple(_message(item, stream) for item in value)
    if not isinstance(value, dict):
        return value
    if "$bytes" in value:
        return _exactly(stream, int(value["$bytes"]))
    fields = {name: _message(item, stream) for name, item in value.items() if name != "$type"}
    return _CLASSES[value["$type"]](**fields) if "$type" in value else fields


def _exactly(stream: IO[bytes], length: int) -> bytes:
    if not 0 <= length <= MAX_PART_BYTES:
        raise ValueError(f"a part of {length} bytes")
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data

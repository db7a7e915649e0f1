"""What is asked for (`ImageRequest`) and what comes out (`GeneratedImage`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from sdcpu.errors import InvalidRequestError
from sdcpu.loras.tags import NamedLora
from sdcpu.sampling import SAMPLERS, SCHEDULERS, Cache, Seamless, check_sigmas

if TYPE_CHECKING:
    from PIL.Image import Image

    ImageSource = str | Path | Image
    """A path to a picture, or a Pillow image."""

Quality = Literal["draft", "balanced", "best"]
Decoder = Literal["auto", "tiny", "full"]
PreviewKind = Literal["none", "proj", "tae", "auto"]
Fit = Literal["fit", "crop", "pad"]
ControlStep = Literal["none", "canny"]
Extension = tuple[int, int, int, int]
"""Pixels at the left, top, right and bottom."""

MAX_SIDE = 8192
"""Pixels; a larger picture would not fit any memory we know of."""
MAX_PROMPT_CHARACTERS = 20_000
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRequest:
    """What picture is wanted. None means: as it suits the model.

    Raises:
        InvalidRequestError: a value that cannot be right, named in the message.

    >>> ImageRequest(prompt="a lighthouse", width=512, height=512, steps=4).steps
    4
    """

    prompt: str
    negative_prompt: str = ""
    """What the picture should not show; works only where cfg_scale is above 1."""
    styles: tuple[str, ...] = ()
    """Names of `sdcpu.styles`, whose words are put around both."""
    width: int | None = None
    """Pixels; rounded to what the family can do, and the rounding is said."""
    height: int | None = None
    steps: int | None = None
    """Sampling steps, 1 to 1000."""
    cfg_scale: float | None = None
    """How strongly the prompt is followed, 0 to 100.

    1 turns the negative prompt off and halves the time.
    """
    guidance: float | None = None
    """Distilled guidance of FLUX models, 0 to 100."""
    sampler: str | None = None
    scheduler: str | None = None
    seed: int | None = None
    """0 to 2**63 - 1; None: a random one, told in the result."""
    count: int = 1
    """Pictures, 1 to 1000; their seeds count up."""
    quality: Quality | None = None
    """A preset of steps, size and decoder; values given beside it win."""
    init_image: ImageSource | None = None
    """Start from this picture (img2img)."""
    mask_image: ImageSource | None = None
    """Paint only where this picture is white, or transparent (inpainting).

    Where it is black, the init image's pixels stay exactly as they are.
    """
    strength: float | None = None
    """How far to go from the init image, 0 (keep it) to 1 (ignore it).

    None: 1 where only a part is painted over an extension, else 0.75.
    """
    extension: Extension = (0, 0, 0, 0)
    """Pixels to add to the init image at the left, top, right and bottom (outpainting)."""
    fit: Fit | None = None
    """How a picture of other proportions than width and height is used.

    "fit": the whole of it, and the result takes its proportions; "crop": its middle; "pad": the
    whole of it, and the rest is painted. None: "fit" where width or height is open, else "crop".
    """
    control_image: ImageSource | None = None
    """What a ControlNet looks at."""
    control_net: str | None = None
    """A known ControlNet, a file, or "owner/repository/file" on the hub; None: the model's own."""
    control_step: ControlStep = "none"
    """What is done to the control picture first: "canny" finds the edges of a photograph."""
    control_strength: float = 0.9
    """0 to 10."""
    ref_images: tuple[ImageSource, ...] = ()
    """Reference pictures of editing models."""
    loras: tuple[NamedLora, ...] = ()
    """LoRAs and their weights, -10 to 10: names, paths, or "owner/repository/file" on the hub.

    "lcm" is the one that makes few steps enough; see `sdcpu.adapters`.
    """
    embeddings: tuple[str | Path, ...] = ()
    """Files with textual inversions, or folders of them; each acts where the prompt names it."""
    clip_skip: int | None = None
    """Layers of the text encoder to leave out from the end, 1 to 12."""
    sigmas: tuple[float, ...] = ()
    """Noise levels to go down through, ending with 0; they take the place of the scheduler."""
    eta: float | None = None
    """How much fresh noise the sampler adds, 0 to 1, where it can (`sampling.ETA_SAMPLERS`)."""
    cache: Cache = "auto"
    """What may stand in for some of the steps."""
    seamless: Seamless = "none"
    """Edges that are to fit together, for patterns: "x" is left to right, "y" top to bottom."""
    hires: float | None = None
    """Draw the picture again, so many times as wide and high (1.1 to 4), from its first self."""
    hires_strength: float | None = None
    """How far the second pass goes from the first, 0 to 1."""
    hires_steps: int | None = None
    """Steps of the second pass."""
    tiled: bool = False
    """Draw again in overlapping tiles, of which only one has to fit the memory.

    Without `hires`, up to the width and height that are asked for; from `init_image`, where given.
    """
    upscale: int | None = None
    """Make the finished picture 2 or 4 times as wide and high with an upscaler."""
    upscaler: str | Path | None = None
    """A known upscaler or an ESRGAN file; None: the one for photographs.

    With `hires` it also enlarges the picture before it is drawn again, in place of Lanczos.
    """
    decoder: Decoder = "auto"
    """"tiny" is fast and small, "full" is exact, "auto" takes what the plan finds right."""
    preview: PreviewKind = "none"
    """Pictures on the way: "proj" is rough and free, "tae" decodes with the tiny decoder.

    "auto" is "tae" where the tiny decoder makes the result too and the memory allows it.
    """

    def __post_init__(self) -> None:
        _check_text("prompt", self.prompt)
        _check_text("negative prompt", self.negative_prompt)
        if not isinstance(self.styles, tuple | list):
            raise InvalidRequestError(f"The styles are {self.styles!r}; they must be a tuple.")
        for style in self.styles:
            _check_text("name of a style", style)
        check_number("width", self.width, 8, MAX_SIDE, whole=True)
        check_number("height", self.height, 8, MAX_SIDE, whole=True)
        check_number("steps", self.steps, 1, 1000, whole=True)
        check_number("cfg scale", self.cfg_scale, 0, 100)
        check_number("guidance", self.guidance, 0, 100)
        check_number("seed", self.seed, 0, MAX_SEED, whole=True)
        check_number("count", self.count, 1, 1000, whole=True)
        check_number("strength", self.strength, 0, 1)
        check_number("control strength", self.control_strength, 0, 10)
        check_number("clip skip", self.clip_skip, 1, 12, whole=True)
        _check_choice("sampler", self.sampler, SAMPLERS)
        _check_choice("scheduler", self.scheduler, SCHEDULERS)
        _check_choice("quality", self.quality, get_args(Quality))
        check_number("eta", self.eta, 0, 1)
        _check_choice("step cache", self.cache, get_args(Cache))
        _check_choice("seamless", self.seamless, get_args(Seamless))
        check_sigmas(self.sigmas)
        if self.sigmas and self.steps not in (None, len(self.sigmas) - 1):
            raise InvalidRequestError(
                f"{len(self.sigmas)} noise levels are {len(self.sigmas) - 1} steps, "
                f"not {self.steps}.",
                hint="Leave the steps out.",
            )
        check_number("hires factor", self.hires, 1.1, 4)
        check_number("hires strength", self.hires_strength, 0, 1)
        check_number("hires steps", self.hires_steps, 1, 1000, whole=True)
        _check_choice("upscale factor", self.upscale, (2, 4))
        _check_choice("decoder", self.decoder, get_args(Decoder))
        _check_choice("preview", self.preview, get_args(PreviewKind))
        _check_choice("fit", self.fit, get_args(Fit))
        if self.control_net is not None:
            _check_text("ControlNet's name", self.control_net)
        _check_choice("control step", self.control_step, get_args(ControlStep))
        for place in self.embeddings:
            _check_text("path of an embedding", str(place))
        for path, weight in self.loras:
            _check_text("LoRA name", path)
            check_number(f"weight of LoRA {path}", weight, -10, 10)
        _check_extension(self.extension)
        _check_company(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedImage:
    """A finished picture and how it was made."""

    image: Image
    """The picture, a Pillow image."""
    request: ImageRequest
    """The request with every value filled in: asking for it again gives the same picture."""
    model: str
    seed: int
    index: int = 0
    """Which picture of the request, counted from 0."""
    seconds: float
    """From the beginning of this request to this picture."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What is written into the file: plain values, see `sdcpu.recipe`."""
    notes: tuple[str, ...] = ()
    """What only showed while it was drawn, one sentence each."""

    @property
    def width(self) -> int:
        """Pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.image.height

    def save(self, path: str | Path, *, with_recipe: bool = True, overwrite: bool = True) -> Path:
        """Write the picture as PNG, JPEG or WebP, by the name's ending, in one piece or not at all.

        Raises:
            InvalidRequestError: the ending is none of these, the file exists and must not be
                overwritten, or it cannot be written.

        >>> image.save("lighthouse.png")  # doctest: +SKIP
        PosixPath('lighthouse.png')
        """
        from sdcpu.recipe import save_picture

        return save_picture(
            self.image, Path(path), self.recipe if with_recipe else None, overwrite=overwrite
        )


Request = TypeVar("Request", bound=ImageRequest)


def request_of(prompt: str, options: Mapping[str, Any]) -> ImageRequest:
    """The request with these values.

    Raises:
        InvalidRequestError: a value that no request has, or that cannot be right.

    >>> request_of("a lighthouse", {"width": 512}).width
    512
    """
    return checked_request(ImageRequest, prompt, options)


def checked_request(kind: type[Request], prompt: str, options: Mapping[str, Any]) -> Request:
    """A request of a kind; InvalidRequestError for values that it does not have."""
    try:
        return kind(prompt=prompt, **options)
    except TypeError as error:
        raise InvalidRequestError(
            f"A request has no such value: {error}.",
            hint=f"help(sdcpu.{kind.__name__}) lists what can be asked for.",
        ) from error


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise InvalidRequestError(f"The {name} must be text, not {type(text).__name__}.")
    if "\0" in text:
        raise InvalidRequestError(f"The {name} contains a NUL character.", hint="Remove it.")
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise InvalidRequestError(
            f"The {name} has {len(text)} characters; at most {MAX_PROMPT_CHARACTERS} are taken.",
            hint="Shorten it: models read about 75 words at a time.",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"The {name} is not valid Unicode: {error.reason}.") from error


def check_number(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Make sure that a value is None or a number within bounds; InvalidRequestError names it."""
    if value is None:
        return
    right_kind = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right_kind or not low <= value <= high:  # type: ignore[operator]
        kind = "a whole number" if whole else "a number"
        raise InvalidRequestError(
            f"The {name} is {value!r}; it must be {kind} from {low} to {high}."
        )


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value is not None and value not in choices:
        raise InvalidRequestError(
            f"There is no {name} {value!r}.",
            hint=f"Choose one of: {', '.join(map(str, choices))}.",
        )


def _check_extension(extension: object) -> None:
    sides = extension if isinstance(extension, tuple) else ()
    if len(sides) != 4 or not all(type(side) is int and 0 <= side <= MAX_SIDE for side in sides):
        raise InvalidRequestError(
            f"The extension is {extension!r}; it must be four whole numbers from 0 to {MAX_SIDE}: "
            "pixels at the left, top, right and bottom."
        )


def _check_company(request: ImageRequest) -> None:
    """Refuse what means nothing without a picture beside it."""
    if request.init_image is None:
        for name, given in (
            ("mask", request.mask_image is not None),
            ("strength", request.strength is not None),
            ("extension", any(request.extension)),
        ):
            if given:
                article = "An" if name == "extension" else "A"
                raise InvalidRequestError(
                    f"{article} {name} needs a picture to paint on.",
                    hint="Give the picture too: --init FILE.",
                )
    if request.hires is None and (request.hires_strength, request.hires_steps) != (None, None):
        raise InvalidRequestError(
            "There is no second pass to give strength or steps to.", hint="Add --hires 1.5 or 2."
        )
    if request.upscaler is not None and (request.upscale, request.hires) == (None, None):
        raise InvalidRequestError(
            "An upscaler has nothing to do.", hint="Say how much larger: --upscale 2 or 4."
        )
    if request.control_image is None and request.control_step != "none":
        raise InvalidRequestError(
            "There is no control picture to find edges in.", hint="Give one: --control FILE."
        )
    if request.control_image is None and request.control_net is not None:
        raise InvalidRequestError(
            "A ControlNet needs a picture to follow.", hint="Give one: --control FILE."
        )

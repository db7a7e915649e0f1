"""A plan turned into messages for the engine, and the engine's pixels into finished pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdcpu.enlargement import Enlargement
from sdcpu.errors import InvalidRequestError
from sdcpu.events import Preview, Progress
from sdcpu.families import FAMILIES, FileRole
from sdcpu.images import GeneratedImage, ImageRequest
from sdcpu.inputs import pixels_of, read_alpha, read_picture
from sdcpu.models import Model, ModelFile
from sdcpu.protocol import (
    GenerateSettings,
    LoadSettings,
    LoraFile,
    Pixels,
    Previewed,
    Reached,
    Upscale,
)
from sdcpu.quality import USUAL_STRENGTH, Size
from sdcpu.second_pass import SecondPass
from sdcpu.start_pictures import StartPictures, check_pictures, reference_name
from sdcpu.stopwatch import Stopwatch
from sdcpu.weights import read_header

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdcpu.images import ImageSource
    from sdcpu.plan import EnginePlan

RECIPE_VERSION = 1
"""Of the JSON in pictures; a higher one may hold what we do not know."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_NOT_IN_RECIPES = {
    "count",
    "styles",
    "preview",
    "mask_image",
    "init_image",
    "control_image",
    "ref_images",
    "end_image",
}


def engine_load(plan: EnginePlan, located: Mapping[ModelFile, Path | None]) -> LoadSettings:
    """What the engine must load for a plan; every file of it must be on disk."""
    request = plan.request
    tiny_preview = request.preview == "tae"
    wanted = {
        file: path
        for file, path in located.items()
        if path is not None
        and file.role not in (FileRole.LORA, FileRole.EMBEDDING, FileRole.UPSCALER)
        and (file.role is not FileRole.TINY_DECODER or plan.decoder == "tiny" or tiny_preview)
        and (file.role is not FileRole.CONTROL_NET or request.control_image is not None)
    }
    return LoadSettings(
        files={str(file.role): str(path) for file, path in wanted.items()},
        embeddings={
            path.stem: str(path)
            for file, path in located.items()
            if file.role is FileRole.EMBEDDING and path is not None
        },
        threads=plan.threads,
        flash_attention=plan.flash_attention,
        diffusion_conv_direct=plan.diffusion_conv_direct,
        vae_conv_direct=plan.vae_conv_direct,
        decode_only=request.init_image is None
        and not request.ref_images
        and plan.second_pass is None,
        seamless_horizontally=request.seamless in ("x", "both"),
        seamless_vertically=request.seamless in ("y", "both"),
        tiny_decoder_for_preview_only=tiny_preview and plan.decoder == "full",
        placement=plan.placement,
    )


def check_inputs(request: ImageRequest, model: Model) -> None:
    """Make sure that a model has a use for what a request brings along, and that it can be read.

    Raises:
        InvalidRequestError: a picture cannot be read, or the model has no use for it.
    """
    roles = {file.role for file in model.files}
    check_needs(request, model)
    if request.control_image is not None and FileRole.CONTROL_NET not in roles:
        raise InvalidRequestError(
            f"{model.name} has no ControlNet, so it cannot follow a control picture.",
            hint="Name one, such as --control-net controlnet-canny, or leave the picture out.",
        )
    if request.preview == "tae" and FileRole.TINY_DECODER not in roles:
        raise InvalidRequestError(
            f"{model.name} has no tiny decoder for previews.", hint='Use preview "proj".'
        )
    check_pictures(request)


def check_needs(request: ImageRequest, model: Model) -> None:
    """Make sure that a request brings along what a model cannot draw without.

    Raises:
        InvalidRequestError: the picture to fill or its mask is missing.
    """
    family = FAMILIES.get(model.family)
    if family is None or not family.needs_mask:
        return
    if request.init_image is None or request.mask_image is None:
        raise InvalidRequestError(
            f"{model.name} fills what is masked in a picture; it needs the picture and the mask.",
            hint="Give both: --init PICTURE --mask MASK (white is filled).",
        )


def check_threads(threads: int | None) -> None:
    """Make sure that a number of threads can be.

    Raises:
        InvalidRequestError: it cannot.
    """
    if threads is not None and not 1 <= threads <= 1024:
        raise InvalidRequestError(f"{threads} threads cannot be; give a number from 1 to 1024.")


def engine_job(
    plan: EnginePlan, located: Mapping[ModelFile, Path | None], pictures: StartPictures
) -> GenerateSettings:
    """Turn a plan, whose request has every value and a seed, into the engine's settings.

    `pictures` are the ones that the request brought along, laid out as the plan says.

    Raises:
        InvalidRequestError: a picture of the request cannot be read.
    """
    request = plan.request
    return GenerateSettings(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=_given(request.width),
        height=_given(request.height),
        steps=_given(request.steps),
        cfg_scale=_given(request.cfg_scale),
        guidance=_given(request.guidance),
        sampler=_given(request.sampler),
        scheduler=_given(request.scheduler),
        seed=_given(request.seed),
        count=request.count,
        flow_shift=plan.model.defaults.flow_shift,
        sigmas=request.sigmas,
        eta=request.eta,
        cache=request.cache,
        clip_skip=-1 if request.clip_skip is None else request.clip_skip,
        strength=USUAL_STRENGTH if request.strength is None else request.strength,
        init_image=_pixels(pictures.init),
        mask_image=_pixels(pictures.mask),
        control_image=_pixels(pictures.control),
        control_strength=request.control_strength,
        control_canny=request.control_step == "canny",
        ref_images=tuple(
            pixels_of(read_picture(image, reference_name(number)))
            for number, image in enumerate(request.ref_images, 1)
        ),
        loras=tuple(_loras(located)),
        tile_size=plan.tile_size,
        preview="proj" if request.preview == "auto" else request.preview,
    )


def finished_picture(
    plan: EnginePlan,
    pictures: StartPictures,
    pixels: Pixels,
    *,
    index: int,
    seed: int,
    seconds: float,
    notes: tuple[str, ...] = (),
) -> GeneratedImage:
    """Wrap the engine's pixels, cut as the plan says, or enlarged to the size asked for."""
    image = picture(pixels)
    if plan.canvas is not None:
        image = plan.canvas.finished(image, pictures.init, pictures.mask)
    width, height = plan.upscale_to or image.size
    if plan.upscale_to:
        from PIL.Image import Resampling

        image = image.resize(plan.upscale_to, Resampling.LANCZOS)
    request = replace(plan.request, width=width, height=height, seed=seed, count=1)
    return GeneratedImage(
        image=image,
        request=request,
        model=plan.model.name,
        seed=seed,
        index=index,
        seconds=seconds,
        recipe=recipe_of(request, plan),
        notes=tuple(note for note in notes if not _is_announced(note, plan)),
    )


def _is_announced(note: str, plan: EnginePlan) -> bool:
    """Whether the plan said so already, perhaps with another example."""
    beginning = note.partition(", such as ")[0]
    return any(reason.startswith(beginning) for reason in plan.surprises)


def progress_event(reached: Reached, watch: Stopwatch, pictures: int) -> Progress:
    """How far the picture is, as the library tells it."""
    seconds_left = watch.reached(reached.stage, reached.step, reached.steps, reached.picture)
    return Progress(
        stage=reached.stage,
        step=reached.step,
        steps=reached.steps,
        picture=reached.picture,
        pictures=pictures,
        seconds_left=seconds_left,
    )


def preview_picture(message: Previewed) -> Preview:
    """Wrap a preview."""
    return Preview(image=picture(message.pixels), step=message.step)


def picture(pixels: Pixels) -> Image:
    """Turn pixels into a Pillow image."""
    from PIL.Image import frombytes

    return frombytes(_MODES[pixels.channels], (pixels.width, pixels.height), pixels.data)


def upscale_job(
    plan: EnginePlan,
    enlargement: Enlargement,
    located: Mapping[ModelFile, Path | None],
    image: Image,
) -> Upscale:
    """What the upscaler must do to a picture."""
    return Upscale(
        file=str(located[enlargement.file]),
        picture=pixels_of(image),
        scale=enlargement.scale,
        threads=plan.threads,
        tile_size=enlargement.tile_size,
    )


def tile_job(job: GenerateSettings, second: SecondPass, tile: Image) -> GenerateSettings:
    """Draw a tile of a picture again, as the whole was drawn."""
    return replace(
        job,
        width=tile.width,
        height=tile.height,
        steps=second.asked_steps,
        sigmas=(),
        strength=second.asked_strength,
        init_image=pixels_of(tile),
        mask_image=None,
        control_image=None,
        preview="none",
    )


def enlarged_picture(pixels: Pixels, size: Size, source: ImageSource | None = None) -> Image:
    """The upscaler's pixels in the size that was asked for, with the transparency of the source."""
    from PIL.Image import Resampling

    image = resized(picture(pixels), size)
    alpha = None if source is None else read_alpha(source)
    if alpha is not None:
        image.putalpha(alpha.resize(size, Resampling.LANCZOS))
    return image


def resized(image: Image, size: Size) -> Image:
    """The picture in another size, as it is where it has that; a copy in any case."""
    from PIL.Image import Resampling

    return image.copy() if image.size == size else image.resize(size, Resampling.LANCZOS)


def recipe_of(request: ImageRequest, plan: EnginePlan) -> dict[str, Any]:
    """List what is needed to make the picture again, as plain values.

    Pictures that the request brought along are named by their paths, where they came from files.
    """
    from sdcpu import __version__

    recipe = {
        field.name: _listed(getattr(request, field.name))
        for field in fields(request)
        if field.name not in _NOT_IN_RECIPES and getattr(request, field.name) is not None
    }
    for name in ("init_image", "mask_image", "control_image", "end_image"):
        source = getattr(request, name, None)
        if isinstance(source, str | Path):
            recipe[name] = str(Path(source).absolute())
    if request.upscaler is not None:
        second = plan.second_pass and plan.second_pass.enlargement
        recipe["upscaler"] = _given(plan.enlargement or second).upscaler
    paths = [image for image in request.ref_images if isinstance(image, str | Path)]
    if len(paths) == len(request.ref_images):
        recipe["ref_images"] = [str(Path(path).absolute()) for path in paths]
    recipe["embeddings"] = [str(Path(path).absolute()) for path in request.embeddings]
    return recipe | {
        "decoder": plan.decoder,
        "model": plan.model.name,
        "engine": plan.build.version,
        "version": __version__,
        "recipe_version": RECIPE_VERSION,
    }


def request_fields(
    recipe: Mapping[str, Any], kind: type[ImageRequest] = ImageRequest
) -> dict[str, Any]:
    """The keywords of a kind of request in a recipe, to ask for the same picture or video again.

    Raises:
        InvalidRequestError: the recipe was written by a later version, or has no prompt.
    """
    version = recipe.get("recipe_version", 0)
    if not isinstance(version, int) or version > RECIPE_VERSION:
        raise InvalidRequestError(
            "The recipe was written by a later version of sdcpu.", hint="Update sdcpu."
        )
    if not isinstance(recipe.get("prompt"), str):
        raise InvalidRequestError("The recipe has no prompt.")
    names = {field.name for field in fields(kind)}
    found = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in recipe.items()
        if name in names
    }
    if "loras" in found:
        try:
            found["loras"] = tuple((str(path), float(weight)) for path, weight in found["loras"])
        except (TypeError, ValueError) as error:
            raise InvalidRequestError("The LoRAs in the recipe cannot be read.") from error
    return found


def _listed(value: object) -> object:
    """The value as JSON will give it back."""
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _given(value: Any) -> Any:
    """A value that the plan has filled in."""
    assert value is not None, "the plan fills in every value"  # noqa: S101 - a promise of ours
    return value


def _pixels(image: Image | None) -> Pixels | None:
    return None if image is None else pixels_of(image)


def _loras(located: Mapping[ModelFile, Path | None]) -> Iterator[LoraFile]:
    for file, path in located.items():
        if file.role is FileRole.LORA and path is not None:
            tensors = len(read_header(path).tensors)
            yield LoraFile(path=str(path), weight=file.weight, tensors=tensors)

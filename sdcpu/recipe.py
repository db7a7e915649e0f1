"""How a picture was made, written into its file and read back.

A recipe is a dict of plain values. It is stored twice: as the text that AUTOMATIC1111 and the
programs after it write ("parameters"), for other programs, and as JSON ("sdcpu"), for
`sdcpu generate --from`. PNG carries both as text chunks; JPEG and WebP carry them in the EXIF user
comment, the JSON after the text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from sdcpu.errors import InvalidRequestError
from sdcpu.loras.tags import tag_of
from sdcpu.whole_file import written_whole

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""What a picture can be saved as, by the ending of its name."""

_EXIF_FOLDER = 0x8769
_USER_COMMENT = 0x9286
_UNICODE_PREFIX = b"UNICODE\0"
_JSON_MARK = "\nsdcpu: "
MAX_RECIPE_BYTES = 1_000_000
"""A longer text in a picture is not ours."""


def save_picture(
    image: Image, path: Path, recipe: Mapping[str, Any] | None, *, overwrite: bool = True
) -> Path:
    """Write a picture with its recipe, in one piece or not at all.

    Raises:
        InvalidRequestError: an unknown ending, a file that is there and must stay, or a folder
            that cannot be written.
    """
    picture_format = check_output(path, overwrite=overwrite)
    options: dict[str, Any] = {"quality": 95} if picture_format != "PNG" else {}
    if recipe is not None:
        options |= recipe_options(recipe, picture_format)
    try:
        with written_whole(path, overwrite=overwrite) as file:
            image.save(file, picture_format, **options)
    except OSError as error:
        raise InvalidRequestError(
            f"The picture cannot be written to {path}: {error.strerror or error}.",
            hint="Choose another place with -o.",
        ) from error
    return path


def check_output(path: Path, *, overwrite: bool = True) -> str:
    """The format for a file name, after checking that the picture could be written there.

    Raises:
        InvalidRequestError: as `save_picture`.

    >>> check_output(Path("lighthouse.png"))
    'PNG'
    """
    if path.suffix.lower() not in FORMATS:
        raise InvalidRequestError(
            f"{path.name!r} does not say what kind of picture it should be.",
            hint="End the name in .png, .jpg or .webp.",
        )
    try:
        in_the_way = path.is_dir() or (path.exists() and not overwrite)
    except OSError as error:  # a name that is too long, or a folder that may not be looked into
        raise InvalidRequestError(f"{path} cannot be written: {error.strerror}.") from error
    if in_the_way:
        raise InvalidRequestError(
            f"{path} exists already.", hint="Choose another name, or allow it with --force."
        )
    if not path.parent.is_dir():
        raise InvalidRequestError(
            f"There is no folder {path.parent}.", hint="Create it, or choose another place with -o."
        )
    if not os.access(path.parent, os.W_OK):
        raise InvalidRequestError(
            f"The folder {path.parent} cannot be written.", hint="Choose another place with -o."
        )
    return FORMATS[path.suffix.lower()]


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The recipe in a picture that sdcpu saved.

    Raises:
        InvalidRequestError: it is not a picture, or carries no recipe of ours.
    """
    text, written = _stored_texts(Path(path))
    if not written:
        other = " It carries settings of another program: " + text if text else ""
        raise InvalidRequestError(
            f"{path} carries no recipe of sdcpu.{other}",
            hint="Only pictures saved by sdcpu, and not edited since, can be made again.",
        )
    try:
        recipe = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The recipe in {path} is damaged.") from error
    if not isinstance(recipe, dict):
        raise InvalidRequestError(f"The recipe in {path} is damaged.")
    return recipe


def parameters_text(recipe: Mapping[str, Any]) -> str:
    """The recipe as AUTOMATIC1111 writes it: prompt, negative prompt, then a line of settings.

    LoRAs stand in the prompt, by the names of their files.

    >>> recipe = {"prompt": "a cat", "steps": 4, "sampler": "lcm", "cfg_scale": 1.0, "seed": 7}
    >>> print(parameters_text(recipe | {"width": 512, "height": 512}))
    a cat
    Steps: 4, Sampler: lcm, CFG scale: 1, Seed: 7, Size: 512x512
    """
    tags = (tag_of(PurePath(name).stem, weight) for name, weight in recipe.get("loras", ()))
    lines = [" ".join([str(recipe.get("prompt", "")), *tags])]
    if recipe.get("negative_prompt"):
        lines.append(f"Negative prompt: {recipe['negative_prompt']}")
    settings = {
        "Steps": recipe.get("steps"),
        "Sampler": recipe.get("sampler"),
        "Schedule type": recipe.get("scheduler"),
        "CFG scale": recipe.get("cfg_scale"),
        "Seed": recipe.get("seed"),
        "Size": f"{recipe.get('width')}x{recipe.get('height')}",
        "Model": recipe.get("model"),
        "Denoising strength": recipe.get("strength") if recipe.get("init_image") else None,
        "Clip skip": recipe.get("clip_skip"),
        "Version": f"sdcpu {recipe['version']}" if recipe.get("version") else None,
    }
    numbers = ((name, value) for name, value in settings.items() if value is not None)
    return (
        "\n".join(lines)
        + "\n"
        + ", ".join(
            f"{name}: {value:g}" if isinstance(value, float) else f"{name}: {value}"
            for name, value in numbers
        )
    )


def recipe_options(recipe: Mapping[str, Any], picture_format: str) -> dict[str, Any]:
    """What Pillow's save() needs to store the recipe."""
    text, written = parameters_text(recipe), json.dumps(recipe, ensure_ascii=False)
    if picture_format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        chunks = PngInfo()
        chunks.add_itxt("parameters", text)
        chunks.add_itxt("sdcpu", written)
        return {"pnginfo": chunks}
    from PIL.Image import Exif

    exif = Exif()
    comment = _UNICODE_PREFIX + (text + _JSON_MARK + written).encode("utf-16-be")
    exif[_EXIF_FOLDER] = {_USER_COMMENT: comment}
    if len(comment) > 60_000:  # an EXIF block ends at 65,533 bytes
        raise InvalidRequestError(
            "The prompt is too long to be stored in this kind of picture.", hint="Save it as .png."
        )
    return {"exif": exif.tobytes()}


def _stored_texts(path: Path) -> tuple[str, str]:
    """The A1111 text and the JSON in a picture; empty where there is none."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.load()  # text chunks may stand behind the pixels
            info = getattr(image, "text", {})
            comment = image.getexif().get_ifd(_EXIF_FOLDER).get(_USER_COMMENT, b"")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InvalidRequestError(f"{path} is not a picture that can be read: {error}.") from error
    except Image.DecompressionBombError as error:
        raise InvalidRequestError(f"{path} is too large a picture: {error}.") from error
    if info:
        return str(info.get("parameters", "")), str(info.get("sdcpu", ""))[:MAX_RECIPE_BYTES]
    if not isinstance(comment, bytes) or not comment.startswith(_UNICODE_PREFIX):
        return "", ""
    text = comment[len(_UNICODE_PREFIX) :].decode("utf-16-be", errors="replace")
    shown, _, written = text.partition(_JSON_MARK)
    return shown, written

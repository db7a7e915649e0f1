"""The folder that an agent's pictures go to, and the only one that it may read from."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdcpu.errors import InvalidRequestError
from sdcpu.picture_names import unused_path

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP")
"""What is read: what Pillow knows besides is seldom a picture, and often a way to attack."""
MAX_BASE64_CHARACTERS = 40_000_000
"""30 MB of picture."""
MAX_PIXELS = 50_000_000
"""A larger picture is refused before it is decoded: it would take more than 150 MB."""
PREVIEW_SIDE = 512
"""Pixels, of the longer side."""


class PictureFolder:
    """A folder, made where it is not there; nothing outside it is opened or written.

    Raises:
        InvalidRequestError: it cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidRequestError(
                f"The folder {self.path} cannot be made: {error.strerror or error}.",
                hint="Choose another place.",
            ) from error

    def keep(self, picture: Any, stem: str) -> Path:
        """Save a `GeneratedImage` or `UpscaledImage` as PNG under a name that is not taken.

        Raises:
            InvalidRequestError: the folder cannot be written.
        """
        path = unused_path(self.path, stem, ".png")
        picture.save(path, overwrite=False)
        return path

    def find(self, name: str) -> Path:
        """A picture in the folder, by its path in it or its whole path.

        Raises:
            InvalidRequestError: it lies elsewhere, also by way of a link, or is no picture.
        """
        try:
            path = (self.path / name).resolve()
            is_there = path.is_file()
        except (OSError, ValueError, RuntimeError):  # a NUL, links in a circle, a name too long
            path, is_there = self.path, False
        if not path.is_relative_to(self.path.resolve()):
            raise InvalidRequestError(
                f"{name[:200]!r} is outside of the folder {self.path}.",
                hint="Give a picture inside it, or the picture itself in base64.",
            )
        if not is_there:
            raise InvalidRequestError(
                f"There is no picture {name[:200]!r} in {self.path}.",
                hint="The paths of finished pictures are in the answers of the tools.",
            )
        with _opened(path, name[:200]):
            return path


def decode(text: str) -> Image:
    """A picture in base64, bare or as a data address.

    Raises:
        InvalidRequestError: it is no base64, no picture of a known kind, or too large.
    """
    if len(text) > MAX_BASE64_CHARACTERS:
        raise InvalidRequestError(
            f"The picture has {len(text):,} characters; at most {MAX_BASE64_CHARACTERS:,} are "
            "taken.",
            hint="Make it smaller, or name a file in the folder.",
        )
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(
            f"The picture is no base64: {error}.", hint="Encode the bytes of a PNG or JPEG file."
        ) from error
    image = _opened(io.BytesIO(content), "The picture in base64")
    try:
        image.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidRequestError(f"The picture in base64 is damaged: {error}.") from error
    return image


def preview_bytes(image: Image) -> bytes:
    """The picture as JPEG, at most `PREVIEW_SIDE` wide and high."""
    from PIL.Image import Resampling

    smaller = image.convert("RGB")
    smaller.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Resampling.LANCZOS)
    content = io.BytesIO()
    smaller.save(content, "JPEG", quality=88)
    return content.getvalue()


def _opened(source: Path | io.BytesIO, name: str) -> Image:
    """A picture of a known kind and bearable size, whose pixels are not decoded yet."""
    from PIL import Image as Images

    try:
        image = Images.open(source, formats=FORMATS)
    except (OSError, ValueError, SyntaxError, Images.DecompressionBombError) as error:
        raise InvalidRequestError(
            f"{name} is no picture that can be read.", hint="Give a PNG, JPEG or WebP picture."
        ) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise InvalidRequestError(
            f"{name} has {image.width}x{image.height} pixels; at most "
            f"{MAX_PIXELS // 1_000_000} million are taken.",
            hint="Make it smaller first.",
        )
    return image

"""Pictures on their way to a server and back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from sdcpu.errors import RemoteError
from sdcpu.inputs import MAX_INPUT_PIXELS, read_alpha, read_mask, read_picture

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdcpu.images import ImageSource


def picture_bytes(source: ImageSource, what: str) -> bytes:
    """A picture as a plain PNG: turned as it is meant to be seen, and nothing else in it.

    What a camera wrote into a file, such as a place, stays here.

    Raises:
        InvalidRequestError: it cannot be read.
    """
    picture = read_picture(source, what)
    opacity = read_alpha(source)
    if opacity is not None:
        picture.putalpha(opacity)
    return _png(picture)


def transparent_where_painted(picture: ImageSource, mask: ImageSource) -> bytes:
    """A mask as OpenAI's API takes it: the picture, transparent where it is to be painted.

    Raises:
        InvalidRequestError: one cannot be read, or they differ in size.
    """
    from PIL import ImageOps

    painted = read_picture(picture, "init image")
    painted.putalpha(ImageOps.invert(read_mask(mask, painted.size)))
    return _png(painted)


def opened_picture(content: bytes) -> Image:
    """The picture that a server sent.

    Raises:
        RemoteError: it is none.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as picture:
            if picture.width * picture.height > MAX_INPUT_PIXELS:
                raise RemoteError(
                    f"The server sent a picture of {picture.width}x{picture.height} pixels."
                )
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RemoteError(f"The server sent something that is no picture: {error}.") from error


def _png(picture: Image) -> bytes:
    written = io.BytesIO()
    picture.save(written, "PNG", compress_level=1)
    return written.getvalue()

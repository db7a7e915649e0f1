"""The pictures that a request brings along, read and brought to the size that is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdcpu.errors import InvalidRequestError
from sdcpu.protocol import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdcpu.images import ImageSource

MAX_INPUT_PIXELS = 100_000_000
"""A larger picture is refused before it is decoded: it would need more than 300 MB."""


def read_picture(
    source: ImageSource, what: str, *, size: tuple[int, int] | None = None, mask: bool = False
) -> Pixels:
    """Read a picture the way the engine takes it.

    The camera's rotation is applied. With a size, the picture is scaled to cover it and its middle
    is kept. A mask becomes one channel: white is where to paint; of a picture with transparency,
    the transparent part is where to paint.

    Raises:
        InvalidRequestError: it cannot be read, or is too large; the message says which.
    """
    from PIL import ImageOps

    image = ImageOps.exif_transpose(_opened(source, what))
    image = _mask(image) if mask else _on_white(image)
    if size is not None and image.size != size:
        image = ImageOps.fit(image, size)
    return Pixels(
        width=image.width,
        height=image.height,
        channels=len(image.getbands()),
        data=image.tobytes(),
    )


def _opened(source: ImageSource, what: str) -> Image:
    from PIL import Image

    if isinstance(source, Image.Image):
        return _checked(source, what)
    try:
        with Image.open(source) as image:
            return _checked(image, what)
    except FileNotFoundError as error:
        raise InvalidRequestError(f"There is no file {source} to use as {what}.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, InvalidRequestError):
            raise
        raise InvalidRequestError(
            f"{source} cannot be used as {what}: {error}.",
            hint="Give an undamaged PNG, JPEG or WebP picture.",
        ) from error


def _checked(image: Image, what: str) -> Image:
    """The picture, decoded; its size is checked before."""
    if image.width * image.height > MAX_INPUT_PIXELS:
        raise InvalidRequestError(
            f"The {what} has {image.width}x{image.height} pixels; "
            f"at most {MAX_INPUT_PIXELS // 1_000_000} million are taken.",
            hint="Make it smaller first.",
        )
    image.load()
    return image


def _on_white(image: Image) -> Image:
    """RGB; what is transparent becomes white, as on a page."""
    from PIL import Image as Images

    if not image.has_transparency_data:
        return image.convert("RGB")
    above = image.convert("RGBA")
    return Images.alpha_composite(Images.new("RGBA", image.size, "white"), above).convert("RGB")


def _mask(image: Image) -> Image:
    from PIL import ImageOps

    if image.has_transparency_data:
        return ImageOps.invert(image.convert("RGBA").getchannel("A"))
    return image.convert("L")

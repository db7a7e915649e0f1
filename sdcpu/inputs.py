"""The pictures that a request brings along, read as they are meant to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sdcpu.errors import InvalidRequestError
from sdcpu.protocol import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdcpu.images import ImageSource

MASK = "mask"
MAX_INPUT_PIXELS = 100_000_000
"""A larger picture is refused before it is decoded: it would need more than 300 MB."""
_ORIENTATION = 0x0112
"""The EXIF tag of the camera's rotation."""


def read_picture(source: ImageSource, what: str) -> Image:
    """Read a picture in RGB, as it is meant to be seen.

    The camera's rotation is applied; what is transparent becomes white, as on a page.

    Raises:
        InvalidRequestError: it cannot be read, or is too large; the message says which.
    """
    from PIL import ImageOps

    return _on_white(ImageOps.exif_transpose(_opened(source, what)))


def read_mask(source: ImageSource, size: tuple[int, int]) -> Image:
    """Read a mask for a picture of this width and height, in one channel: white is where to paint.

    Of a picture with transparency, the transparent part is where to paint.

    Raises:
        InvalidRequestError: it cannot be read, or has another size.
    """
    from PIL import ImageOps

    mask = _mask(ImageOps.exif_transpose(_opened(source, MASK)))
    if mask.size != size:
        raise InvalidRequestError(
            f"The mask has {mask.width}x{mask.height} pixels, the picture {size[0]}x{size[1]}.",
            hint="Make the mask as large as the picture.",
        )
    return mask


def picture_size(source: ImageSource, what: str) -> tuple[int, int]:
    """Width and height of a picture as it is meant to be seen; its pixels are not decoded.

    Raises:
        InvalidRequestError: it cannot be read, or is too large.
    """
    from PIL import Image

    if isinstance(source, Image.Image):
        return _seen_size(source)
    with _translated(source, what), Image.open(source) as image:
        _check_size(image, what)
        return _seen_size(image)


def pixels_of(image: Image) -> Pixels:
    """Turn a picture into what the engine takes."""
    return Pixels(
        width=image.width,
        height=image.height,
        channels=len(image.getbands()),
        data=image.tobytes(),
    )


def read_alpha(source: ImageSource) -> Image | None:
    """How opaque each pixel of a picture is, one channel; None where it is all opaque."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(_opened(source, "picture"))
    return image.convert("RGBA").getchannel("A") if image.has_transparency_data else None


def _opened(source: ImageSource, what: str) -> Image:
    from PIL import Image

    if isinstance(source, Image.Image):
        return _decoded(source, what)
    with _translated(source, what), Image.open(source) as image:
        return _decoded(image, what)


@contextmanager
def _translated(source: ImageSource, what: str) -> Iterator[None]:
    """Turn what Pillow raises into an error of ours."""
    from PIL import Image

    try:
        yield
    except InvalidRequestError:
        raise
    except FileNotFoundError as error:
        raise InvalidRequestError(f"There is no file {source} to use as {what}.") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidRequestError(
            f"{source} cannot be used as {what}: {error}.",
            hint="Give an undamaged PNG, JPEG or WebP picture.",
        ) from error


def _decoded(image: Image, what: str) -> Image:
    _check_size(image, what)
    image.load()
    return image


def _check_size(image: Image, what: str) -> None:
    if image.width * image.height > MAX_INPUT_PIXELS:
        raise InvalidRequestError(
            f"The {what} has {image.width}x{image.height} pixels; "
            f"at most {MAX_INPUT_PIXELS // 1_000_000} million are taken.",
            hint="Make it smaller first.",
        )


def _seen_size(image: Image) -> tuple[int, int]:
    """The size after the camera's rotation: half of its eight values change the sides."""
    turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if turned else image.size


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
        opaque = image.convert("RGBA").getchannel("A")
        if opaque.getextrema() != (255, 255):  # programs and browsers save black and white so, too
            return ImageOps.invert(opaque)
    return image.convert("L")

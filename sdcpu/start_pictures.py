"""The pictures that a request starts from or follows, laid out on what the engine draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdcpu.canvas import Canvas, Size
from sdcpu.images import ImageRequest
from sdcpu.inputs import picture_size, read_mask, read_picture

if TYPE_CHECKING:
    from PIL.Image import Image

INIT, CONTROL, END = "init image", "control picture", "last frame"
"""What the pictures of a request are called in messages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StartPictures:
    """Pillow pictures of the size that the engine draws; None where there is none."""

    init: Image | None = None
    mask: Image | None = None
    """One channel; white is where to paint."""
    control: Image | None = None


def start_size(request: ImageRequest) -> Size | None:
    """The size of the picture that decides the layout: the init image, else the control picture.

    Raises:
        InvalidRequestError: it cannot be read, or is too large.
    """
    if request.init_image is not None:
        return picture_size(request.init_image, INIT)
    if request.control_image is not None:
        return picture_size(request.control_image, CONTROL)
    return None


def lay_out(request: ImageRequest, canvas: Canvas | None) -> StartPictures:
    """Read the pictures of a request and put them in their places.

    Raises:
        InvalidRequestError: one cannot be read, or the mask has not the picture's size.
    """
    if canvas is None:
        return StartPictures()
    init = mask = control = None
    if request.init_image is not None:
        picture = read_picture(request.init_image, INIT)
        if request.mask_image is not None:
            mask = read_mask(request.mask_image, picture.size)
        if mask is not None or any(request.extension):
            mask = canvas.lay_mask(mask)
        init = canvas.lay(picture)
    if request.control_image is not None:
        control = _laid_control(read_picture(request.control_image, CONTROL), request, canvas)
    return StartPictures(init=init, mask=mask, control=control)


def reference_name(number: int) -> str:
    """What a reference picture is called in messages, counted from 1."""
    return f"reference picture {number}"


def check_pictures(request: ImageRequest) -> None:
    """Make sure that every picture of a request can be read, and that the mask fits.

    Raises:
        InvalidRequestError: one cannot, or it does not.
    """
    for number, reference in enumerate(request.ref_images, 1):
        read_picture(reference, reference_name(number))
    if request.control_image is not None:
        read_picture(request.control_image, CONTROL)
    end = getattr(request, "end_image", None)
    if end is not None:
        read_picture(end, END)
    if request.init_image is not None:
        size = read_picture(request.init_image, INIT).size
        if request.mask_image is not None:
            read_mask(request.mask_image, size)


def _laid_control(picture: Image, request: ImageRequest, canvas: Canvas) -> Image:
    """The control picture where the init image lies, or over everything when it differs in size."""
    from PIL import ImageOps

    if request.init_image is None or picture.size == picture_size(request.init_image, INIT):
        return canvas.lay(picture)
    return ImageOps.fit(picture, canvas.drawn)

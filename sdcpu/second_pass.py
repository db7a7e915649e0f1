"""Drawing a picture again, larger: at once (hires fix), or in overlapping tiles.

A model draws well at the size it was trained for. A larger picture is drawn at that size first,
enlarged, and then drawn again from there with little strength, which fills in detail and keeps the
composition. In tiles, only one tile has to fit the memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sdcpu.enlargement import Enlargement
from sdcpu.errors import InvalidRequestError, NotEnoughMemoryError
from sdcpu.figures import size_text
from sdcpu.fitting import Fitting, Room, Scene, find_way
from sdcpu.images import MAX_SIDE, ImageRequest
from sdcpu.models import Model
from sdcpu.quality import Size, rounded_size

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdcpu.canvas import Box

STRENGTH, STRENGTH_OF_TILES = 0.5, 0.3
"""How far the second pass goes from the enlarged picture: each tile sees only a part of it and
would, with more, draw the whole prompt into it."""
OVERLAP = 1 / 6
"""Of a tile's side, at least: there tiles fade into each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondPass:
    """How a picture is drawn again."""

    size: Size
    """Of the picture that comes out."""
    tile: Size
    """Of what is drawn at once: the whole picture, or a part of it."""
    strength: float
    steps: int
    """Really done for each tile."""
    alone: bool = False
    """Whether there is no first pass: the picture was brought along."""
    enlargement: Enlargement | None = None
    """The upscaler that makes it larger before; None: it is resampled (Lanczos)."""

    @property
    def pixels(self) -> int:
        """Of all tiles together."""
        return self.tiles * math.prod(self.tile)

    @property
    def work(self) -> str:
        """What the time for a pixel depends on, beside the model."""
        return f"second pass {_text(self.tile)} {self.steps}"

    def scale_from(self, size: Size) -> int:
        """How much an upscaler must enlarge the first picture, at least: 2 or 4 times."""
        return 2 if self.size[0] <= 2 * size[0] else 4

    def noted_in(self, request: ImageRequest) -> ImageRequest:
        """The request with what was decided, so that it gives the same picture anywhere."""
        tiled = self.tile != self.size or request.tiled
        if self.alone:
            return replace(request, tiled=tiled)
        return replace(request, tiled=tiled, hires_strength=self.strength, hires_steps=self.steps)

    @property
    def asked_steps(self) -> int:
        """Of a whole picture, of which the last ones are done."""
        return max(self.steps, round(self.steps / self.strength))

    @property
    def asked_strength(self) -> float:
        """What makes the engine do so many of them: it rounds down, then does one more."""
        return (self.steps - 0.5) / self.asked_steps

    @property
    def rows(self) -> tuple[tuple[Box, ...], ...]:
        """The tiles by row, from the top; together they cover the picture."""
        width, height = self.tile
        return tuple(
            tuple((x, y, x + width, y + height) for x in _starts(self.size[0], width))
            for y in _starts(self.size[1], height)
        )

    @property
    def tiles(self) -> int:
        """How many there are."""
        return sum(map(len, self.rows))

    def join_tile(self, row: Image, tile: Image, left: int) -> None:
        """Lay a tile into its row; it fades in over the one before it."""
        fade = _fade(left, self.size[0], self.tile[0])
        row.paste(tile, (left, 0), _mask(fade, (len(fade), 1), tile.size))

    def join_row(self, picture: Image, row: Image, top: int) -> None:
        """Lay a row into the picture; it fades in over the one above."""
        fade = _fade(top, self.size[1], self.tile[1])
        picture.paste(row, (0, top), _mask(fade, (1, len(fade)), row.size))


def first_request(request: ImageRequest, model: Model) -> ImageRequest:
    """The request with the size of its first pass, and the factor of the second in its place.

    Raises:
        InvalidRequestError: something in it is lost when a picture is drawn again.
    """
    if request.hires is None and not request.tiled:
        return request
    what = "--hires" if request.hires is not None else "--tiled"
    for name, given in (
        ("a mask", request.mask_image is not None),
        ("an extension", any(request.extension)),
        ("reference pictures", bool(request.ref_images)),
        ("seamless edges", request.seamless != "none" and request.tiled),
    ):
        if given:
            raise InvalidRequestError(
                f"{what} draws the picture again, and {name} would be lost.",
                hint=f"Draw first without {what}, and enlarge the result with sdcpu upscale.",
            )
    if request.hires is not None:
        return request
    if request.init_image is not None:
        strength = STRENGTH_OF_TILES if request.strength is None else request.strength
        return replace(request, strength=strength)
    usual = (model.defaults.width, model.defaults.height)
    asked = (request.width or usual[0], request.height or usual[1])
    share = math.sqrt(math.prod(usual) / math.prod(asked))
    if share >= 1:
        raise InvalidRequestError(
            f"{asked[0]}x{asked[1]} pixels need no tiles: {model.name} draws them at once.",
            hint="Ask for a larger picture, or leave --tiled out.",
        )
    first = rounded_size((round(asked[0] * share), round(asked[1] * share)), model)
    return replace(request, width=first[0], height=first[1], hires=max(asked) / max(first))


def find_ways(
    scene: Scene, request: ImageRequest, finished: Size, *, may_fall_back: bool, room: Room
) -> tuple[Fitting, SecondPass | None, tuple[str, ...]]:
    """Choose how to draw, as `find_way` does, for both passes; with the reasons of the second.

    `request` is filled; `finished` is the size of the first pass's picture.

    Raises:
        InvalidRequestError: the result would be too large.
        NotEnoughMemoryError: it fits in no way, not even in tiles.
    """
    if request.hires is None and not request.tiled:
        return find_way(scene, request, may_fall_back=may_fall_back, room=room), None, ()
    alone = request.hires is None
    factor = request.hires or 1
    drawn = (request.width or 0, request.height or 0)
    asked = drawn if alone else (round(finished[0] * factor), round(finished[1] * factor))
    if max(asked) > MAX_SIDE:
        raise InvalidRequestError(
            f"The result would have {_text(asked)} pixels; at most {MAX_SIDE} along a side.",
            hint="Give a smaller --hires, or a smaller first picture.",
        )
    size = rounded_size(asked, scene.model)
    reason = ""
    if not request.tiled:
        try:
            fitting = find_way(scene, _at(request, size), may_fall_back=may_fall_back, room=room)
        except NotEnoughMemoryError as error:
            needed = error.details.get("memory_needed")
            if not isinstance(needed, int):
                raise
            reason = f", because {_text(size)} at once would need {size_text(needed)}"
        else:
            second = _pass(request, size, size)
            return fitting, second, (_reason(second, asked, reason, drawn=drawn),)
    defaults = scene.model.defaults
    usual = rounded_size((defaults.width, defaults.height), scene.model)
    tile = (min(usual[0], size[0]), min(usual[1], size[1]))
    second = _pass(request, size, tile, alone=alone)
    largest = tile if alone else (max(tile[0], drawn[0]), max(tile[1], drawn[1]))
    fitting = find_way(scene, _at(request, largest), may_fall_back=may_fall_back, room=room)
    return fitting, second, (_reason(second, asked, reason, drawn=drawn),)


def _pass(request: ImageRequest, size: Size, tile: Size, *, alone: bool = False) -> SecondPass:
    strength = request.strength if alone else request.hires_strength
    if strength is None:
        strength = STRENGTH if tile == size else STRENGTH_OF_TILES
    strength = max(strength, 0.01)
    steps = request.hires_steps or max(2, round((request.steps or 1) * strength))
    return SecondPass(size=size, tile=tile, strength=strength, steps=steps, alone=alone)


def _at(request: ImageRequest, size: Size) -> ImageRequest:
    """The request of a second pass of this size, as far as memory is concerned."""
    start = request.init_image or "the picture of the first pass"
    return replace(request, width=size[0], height=size[1], init_image=start)


def _reason(second: SecondPass, asked: Size, why_tiles: str, *, drawn: Size) -> str:
    rounded = f" instead of {_text(asked)}" if asked != second.size else ""
    tiles = ""
    if second.tile != second.size:
        tiles = f", in {second.tiles} tiles of {_text(second.tile)}{why_tiles}"
    begin = "Enlarged" if second.alone else f"Drawn at {_text(drawn)}, enlarged"
    return (
        f"{begin} to {_text(second.size)}{rounded} and drawn again from there{tiles}: "
        f"{second.steps} steps, strength {second.strength:g}."
    )


def _starts(side: int, tile: int) -> tuple[int, ...]:
    """Where tiles begin along a side, evenly spread."""
    if tile >= side:
        return (0,)
    overlap = math.ceil(tile * OVERLAP)
    count = math.ceil((side - overlap) / (tile - overlap))
    return tuple(round(number * (side - tile) / (count - 1)) for number in range(count))


def _fade(start: int, side: int, tile: int) -> list[float]:
    """How much of a tile that begins here is seen at each pixel: it rises over the overlap."""
    before = [other for other in _starts(side, tile) if other < start]
    overlap = before[-1] + tile - start if before else 0
    return [min(1.0, (pixel + 1) / (overlap + 1)) for pixel in range(tile)]


def _mask(fade: list[float], line: Size, size: Size) -> Image:
    """A line of weights, repeated to a size, as Pillow takes it."""
    from PIL import Image as Images

    weights = bytes(round(255 * weight) for weight in fade)
    return Images.frombytes("L", line, weights).resize(size, Images.Resampling.NEAREST)


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"

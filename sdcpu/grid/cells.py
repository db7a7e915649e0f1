"""Which pictures a grid has, and drawing them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdcpu.batch.fields import MODEL
from sdcpu.errors import InvalidRequestError
from sdcpu.events import Progress
from sdcpu.generator import Event, ImageGenerator
from sdcpu.grid.axes import Axis, parse_axis
from sdcpu.images import GeneratedImage, request_of
from sdcpu.series import stream_series
from sdcpu.templates import Choice, parse_template

MAX_CELLS = 400
_SEED_BITS = 32
"""As many as the engine's noise takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One picture of a grid."""

    row: int
    column: int
    model: str | None
    request: dict[str, Any] = field(hash=False)
    """Keywords of `ImageRequest`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The pictures of a grid and what stands beside them."""

    columns: tuple[str, ...]
    """Labels; an only one is empty where nothing differs along this side."""
    rows: tuple[str, ...]
    cells: tuple[Cell, ...]
    """Row by row."""


def make_grid(
    prompt: str,
    *,
    x: str | Axis | None = None,
    y: str | Axis | None = None,
    model: str | None = None,
    wildcards: Sequence[Path] | None = None,
    **request: Any,
) -> Grid:
    """Say which pictures a grid has: `x` differs along its columns, `y` along its rows.

    Alternatives in the prompt, such as {red|green}, take the sides that are free. All pictures
    have the same seed unless it is an axis; further keywords are those of `ImageRequest`.

    Raises:
        InvalidRequestError: nothing differs or too much, or a request that cannot be right.

    >>> grid = make_grid("a {red|green} circle", x="steps=2,4")
    >>> grid.columns, grid.rows, grid.cells[3].request["prompt"]
    (('steps 2', 'steps 4'), ('red', 'green'), 'a green circle')
    """
    if request.get("count", 1) != 1:
        raise InvalidRequestError(
            "A grid has one picture in each place.", hint="Let seeds differ: --y seed=1,2,3"
        )
    template = parse_template(prompt, wildcards=wildcards)
    across = _side(parse_axis(x) if isinstance(x, str) else x)
    down = _side(parse_axis(y) if isinstance(y, str) else y)
    for choice in template.choices:
        if across is None:
            across = _Side(choice=choice)
        elif down is None:
            down = _Side(choice=choice)
        else:
            raise InvalidRequestError(
                "More than two things differ, and a grid has two sides.",
                hint="Leave an axis or some of the alternatives out.",
            )
    columns, rows = across or _Side(), down or _Side()
    number = len(columns.labels) * len(rows.labels)
    if not 2 <= number <= MAX_CELLS:
        raise InvalidRequestError(
            f"The grid has {number} pictures; it must have from 2 to {MAX_CELLS}.",
            hint="Say what differs: --x steps=2,4,8, or {red|green} in the prompt.",
        )
    request = {"seed": secrets.randbits(_SEED_BITS), **request, "count": 1}
    cells = []
    for row in range(len(rows.labels)):
        for column in range(len(columns.labels)):
            chosen = {columns.choice: column, rows.choice: row}
            words = [
                part if isinstance(part, str) else part.text(chosen[part])
                for part in template.parts
            ]
            own: dict[str, Any] = {MODEL: model, **request, "prompt": "".join(words)}
            own = rows.applied(columns.applied(own, column), row)
            own_model = own.pop(MODEL)
            request_of(**_split(own))
            cells.append(Cell(row=row, column=column, model=own_model, request=own))
    return Grid(columns=columns.labels, rows=rows.labels, cells=tuple(cells))


def stream_grid(
    grid: Grid, open_generator: Callable[[str | None], ImageGenerator] = ImageGenerator
) -> Generator[Event, None, None]:
    """Draw the pictures of a grid, those of one model one after the other.

    The index of a picture is its place among the cells. `open_generator` makes the generator for
    the name of a model.

    >>> grid = make_grid("a {red|green} circle", model="demo", steps=1)
    >>> pictures = [event for event in stream_grid(grid) if isinstance(event, GeneratedImage)]
    >>> [picture.index for picture in pictures]
    [0, 1]
    """
    before = 0
    for model in dict.fromkeys(cell.model for cell in grid.cells):
        places = [place for place, cell in enumerate(grid.cells) if cell.model == model]
        requests = [grid.cells[place].request for place in places]
        with (
            open_generator(model) as generator,
            closing(stream_series(generator, requests)) as events,
        ):
            for event in events:
                if isinstance(event, GeneratedImage):
                    yield replace(event, index=places[event.index])
                elif isinstance(event, Progress):
                    picture = before + event.picture
                    yield replace(event, picture=picture, pictures=len(grid.cells))
                else:
                    yield event
        before += len(places)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Side:
    """What differs along a side: an axis, alternatives of the prompt, or nothing."""

    axis: Axis | None = None
    choice: Choice | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        if self.axis is not None:
            return self.axis.labels
        if self.choice is not None:
            return tuple(self.choice.text(number) for number in range(self.choice.count))
        return ("",)

    def applied(self, request: dict[str, Any], number: int) -> dict[str, Any]:
        return request if self.axis is None else self.axis.applied(request, number)


def _side(axis: Axis | None) -> _Side | None:
    return None if axis is None else _Side(axis=axis)


def _split(request: dict[str, Any]) -> dict[str, Any]:
    options = {name: value for name, value in request.items() if name != "prompt"}
    return {"prompt": request["prompt"], "options": options}

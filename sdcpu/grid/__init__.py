"""Pictures side by side that differ in one or two things, in one labelled picture.

`make_grid` says which pictures there are, `stream_grid` draws them, `grid_picture` puts them
together.
"""

from sdcpu.grid.axes import Axis, parse_axis
from sdcpu.grid.cells import Cell, Grid, make_grid, stream_grid
from sdcpu.grid.sheet import grid_picture, small_copy

__all__ = [
    "Axis",
    "Cell",
    "Grid",
    "grid_picture",
    "make_grid",
    "parse_axis",
    "small_copy",
    "stream_grid",
]

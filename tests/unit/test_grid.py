"""Grids: what differs along which side, what cannot, and what the sheet looks like."""

import pytest
from PIL import Image

from sdcpu.errors import InvalidRequestError
from sdcpu.grid import Grid, grid_picture, make_grid, parse_axis, small_copy


def test_axes_are_fields_and_alternatives() -> None:
    grid = make_grid("a {red|green} cat", x="steps=2,4,8", seed=5, width=64)
    assert grid.columns == ("steps 2", "steps 4", "steps 8")
    assert grid.rows == ("red", "green")
    assert [(cell.row, cell.column) for cell in grid.cells] == [
        (row, column) for row in (0, 1) for column in (0, 1, 2)
    ]
    assert grid.cells[4].request == {
        "prompt": "a green cat",
        "steps": 4,
        "seed": 5,
        "width": 64,
        "count": 1,
    }


def test_alternatives_take_both_sides() -> None:
    grid = make_grid("a {red|green} {cat|{small|big} dog}")
    assert grid.columns == ("red", "green")
    assert grid.rows == ("cat", "small dog", "big dog")
    assert [cell.request["prompt"] for cell in grid.cells][-1] == "a green big dog"
    assert len({cell.request["seed"] for cell in grid.cells}) == 1


def test_words_models_and_weights_differ() -> None:
    grid = make_grid("a red cat, reddish", x="words=red,green", y="model=demo,demo-base")
    assert [cell.request["prompt"] for cell in grid.cells[:2]] == [
        "a red cat, reddish",
        "a green cat, greendish",
    ]
    assert [cell.model for cell in grid.cells] == ["demo", "demo", "demo-base", "demo-base"]
    assert all("model" not in cell.request for cell in grid.cells)
    grid = make_grid("a cat", y="lora_weight=0.5,1", loras=(("ink", 1.0), ("wash", 1.0)))
    assert (grid.columns, grid.rows) == (("",), ("LoRA weight 0.5", "LoRA weight 1"))
    assert grid.cells[0].request["loras"] == (("ink", 0.5), ("wash", 0.5))
    grid = make_grid("a cat", x='prompt="a dog, sitting",a cow', y="styles=anime,night")
    assert grid.cells[2].request["prompt"] == "a dog, sitting"
    assert grid.cells[2].request["styles"] == ("night",)


@pytest.mark.parametrize(
    ("prompt", "axes", "message"),
    [
        ("a cat", {}, "The grid has 1 pictures"),
        ("a cat", {"x": "steps=4"}, "The grid has 1 pictures"),
        ("a cat", {"x": "seed=" + ",".join("123456789" * 5), "y": "steps=" + ",".join("12345" * 3)},
         "The grid has 675 pictures"),
        ("a cat", {"x": "seed=" + ",".join("1" * 101)}, "101 values"),
        ("a {b|c} {d|e}", {"x": "steps=1,2"}, "More than two things"),
        ("a cat", {"x": "stps=1,2"}, "no field 'stps'"),
        ("a cat", {"x": "steps"}, "no values"),
        ("a cat", {"x": "steps="}, "no values"),
        ("a cat", {"x": "steps=1,,2"}, "an empty one"),
        ("a cat", {"x": "steps=1,two"}, "whole number"),
        ("a cat", {"x": "steps=1,0"}, "whole number from 1"),
        ("a cat", {"x": "count=1,2"}, "cannot differ"),
        ("a cat", {"x": "words=dog,cow"}, "no 'dog'"),
        ("a cat", {"x": "lora_weight=0,1"}, "no LoRA"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(prompt: str, axes: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        make_grid(prompt, **axes)  # type: ignore[arg-type]


def test_one_picture_stands_in_each_place() -> None:
    with pytest.raises(InvalidRequestError, match="one picture in each place"):
        make_grid("a {red|green} cat", count=2)


def test_an_axis_is_read() -> None:
    assert parse_axis(" seed = 1, 2").values == ("1", "2")
    assert parse_axis('words=a "b" c,"d, e"').values == ('a "b" c', "d, e")


COLOURS = ("red", "green", "blue", "yellow", "black", "purple")


@pytest.fixture
def grid() -> Grid:
    long = "a very long text that has to be wrapped into several lines " * 3
    return make_grid("a {red|green|" + long + "} cat", y="steps=1,2")


def test_a_sheet_has_every_picture_in_its_place(grid: Grid) -> None:
    pictures = {place: Image.new("RGB", (100, 60), colour) for place, colour in enumerate(COLOURS)}
    sheet = grid_picture(grid, pictures)
    counted = {colour: count for count, colour in sheet.getcolors(1_000_000) or ()}
    solid = {Image.new("RGB", (1, 1), colour).getpixel((0, 0)) for colour in COLOURS}
    assert {colour for colour, count in counted.items() if count >= 5990} - {
        (255, 255, 255)
    } == solid
    ((red, green, blue), (yellow, black, purple)) = [
        [place_of(sheet, colour) for colour in row] for row in (COLOURS[:3], COLOURS[3:])
    ]
    assert red[0] < green[0] < blue[0]
    assert red[1] == green[1] == blue[1] < yellow[1] == black[1] == purple[1]
    assert red[0] > 30, "room for the labels"
    assert green[1] > 11 * 4, "room for a wrapped label"
    assert sheet.height < 400


def place_of(sheet: Image.Image, colour: str) -> tuple[int, int]:
    """The left upper corner of a picture in one colour, which no letter has as a block."""
    wanted = Image.new("RGB", (20, 20), colour)
    for y in range(sheet.height - 20):
        for x in range(sheet.width - 20):
            if sheet.getpixel((x, y)) == wanted.getpixel((0, 0)):
                block = sheet.crop((x, y, x + 20, y + 20))
                if block.tobytes() == wanted.tobytes():
                    return x, y
    raise AssertionError(colour)


def test_pictures_may_be_missing_or_of_other_sizes(grid: Grid) -> None:
    pictures = {0: Image.new("RGBA", (200, 50), "red"), 4: Image.new("L", (50, 200))}
    sheet = grid_picture(grid, pictures)
    assert sheet.mode == "RGB"
    assert sheet.width > 3 * 200
    assert sheet.height > 2 * 200


def test_large_pictures_are_made_smaller() -> None:
    image = Image.new("RGB", (1000, 2000))
    copy = small_copy(image, 400)
    assert copy.width * copy.height * 400 <= 40_000_000
    assert abs(copy.height / copy.width - 2) < 0.02
    assert small_copy(image, 2) is image

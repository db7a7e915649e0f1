"""Batch files: what a line means, and which lines cannot be."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdcpu.batch import BatchLine, BrokenLine, read_requests
from sdcpu.batch.contents import inspect_lines
from sdcpu.batch.fields import NAMES
from sdcpu.batch.line_pictures import targets
from sdcpu.catalog import Catalog
from sdcpu.errors import InvalidRequestError
from sdcpu.settings import load_settings
from sdcpu.styles import load_styles

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path: Path, **options: Any) -> list[BatchLine | BrokenLine]:
    return list(read_requests(path, wildcards=[], styles=load_styles(), **options))


def fields(path: Path, **options: Any) -> list[tuple[int, dict[str, Any]]]:
    lines = read(path, **options)
    assert all(isinstance(line, BatchLine) for line in lines), lines
    return [(line.number, dict(line.fields)) for line in lines if isinstance(line, BatchLine)]


def test_text_has_a_prompt_a_line(write: Write) -> None:
    path = write("a.txt", '\ufeffa cat\r\n\r\n# not this\r\n  a dog, "sitting" \r\na bird')
    assert fields(path, defaults={"steps": 4}) == [
        (1, {"prompt": "a cat", "steps": 4}),
        (4, {"prompt": 'a dog, "sitting"', "steps": 4}),
        (5, {"prompt": "a bird", "steps": 4}),
    ]


def test_a_table_names_fields(write: Write) -> None:
    path = write(
        "a.csv",
        "prompt,seed,cfg_scale,styles,loras,model,output\n"
        '"a cat, sitting",3,,anime; night,ink.gguf:0.5;wash.gguf,demo,cat.png\n'
        ",,,,,,\n"
        '"a dog\nin two lines",,1.5\n',
    )
    lines = read(path, defaults={"seed": 9, "steps": 2}, model="sd-turbo")
    first, second = lines
    assert isinstance(first, BatchLine)
    assert isinstance(second, BatchLine)
    assert (first.number, first.model, first.output) == (2, "demo", "cat.png")
    assert first.fields == {
        "prompt": "a cat, sitting",
        "seed": 3,
        "steps": 2,
        "styles": ("anime", "night"),
        "loras": (("ink.gguf", 0.5), ("wash.gguf", 1.0)),
    }
    assert (second.number, second.model, second.output) == (5, "sd-turbo", None)
    assert second.fields["cfg_scale"] == 1.5
    assert second.fields["seed"] == 9


def test_a_cell_may_hold_several_numbers(write: Write, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "start.png")
    path = write(
        "a.csv",
        "prompt,sigmas,extension,init_image,seamless\na cat,14.6; 2;0,8;0;0;16,start.png,x\n",
    )
    ((_, values),) = fields(path)
    assert values["sigmas"] == (14.6, 2.0, 0.0)
    assert values["extension"] == (8, 0, 0, 16)
    assert values["seamless"] == "x"


def test_json_lines_are_objects(write: Write, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "start.png")
    objects = [
        {"prompt": "a cat", "steps": 4, "init_image": "start.png", "loras": [["x.gguf", 1]]},
        {"prompt": "a dog", "seed": None, "ref_images": ["start.png"], "styles": ["anime"]},
    ]
    path = write("a.jsonl", "\n\n".join(map(json.dumps, objects)))
    start = tmp_path / "start.png"
    assert fields(path) == [
        (1, {"prompt": "a cat", "steps": 4, "init_image": start, "loras": (("x.gguf", 1.0),)}),
        (3, {"prompt": "a dog", "ref_images": (start,), "styles": ("anime",)}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "a {red|green cat", "never closed"),
        ("a.txt", "an __animal__", "no wildcard file"),
        ("a.txt", "x" * 20_001, "20001 characters"),
        ("a.txt", "{a|b|c|d|e|f|g|h|i|j}" * 4, "10,000 pictures"),
        ("a.csv", "prompt,steps\na cat,four", "field steps is 'four'; it must be a whole number"),
        ("a.csv", "prompt,steps\na cat,0", "steps is 0; it must be a whole number from 1 to 1000"),
        ("a.csv", "prompt,width\na cat,9999999", "width"),
        ("a.csv", "prompt,steps\na cat,4,5", "3 cells and the header 2"),
        ("a.csv", "prompt,steps\n,4", "no prompt"),
        ("a.csv", "prompt,init_image\na cat,none.png", "There is no picture"),
        ("a.csv", "prompt,styles\na cat,animal", "no style 'animal'"),
        ("a.csv", "prompt,output\na cat,../cat.png", "outside the output folder"),
        ("a.csv", "prompt,output\na cat,/tmp/cat.png", "outside the output folder"),
        ("a.csv", "prompt,output\na cat,cat.gif", "what kind of picture"),
        ("a.jsonl", '{"prompt": "a cat"', "no JSON"),
        ("a.jsonl", '["a cat"]', "no object"),
        ("a.jsonl", '{"prompt": 3}', "field prompt is 3; it must be text"),
        ("a.jsonl", '{"prompt": "a cat", "steps": "4"}', "steps is '4'; it must be a whole"),
        ("a.jsonl", '{"prompt": "a cat", "count": true}', "count is True"),
        ("a.jsonl", '{"prompt": "a cat", "styles": "anime"}', "it must be a list of texts"),
        ("a.jsonl", '{"prompt": "a cat", "loras": ["x"]}', "pairs of names and weights"),
        ("a.jsonl", '{"prompt": "a cat", "sampler": {}}', "sampler is {}; it must be text"),
        ("a.jsonl", '{"prompt": "a cat", "sigmas": ["x", 0]}', "noise levels"),
        ("a.csv", "prompt,extension\na cat,1;2", "exten"),
        ("a.jsonl", '{"prompt": "a cat", "cfg": 3}', "no field 'cfg'"),
        ("a.jsonl", "[" * 100_000, "no JSON"),
    ],
)
def test_a_broken_line_is_named_and_the_others_are_read(
    name: str, content: str, message: str, write: Write
) -> None:
    lines = read(write(name, content))
    broken = lines[-1]
    assert isinstance(broken, BrokenLine)
    assert message in broken.message
    assert broken.number == content.count("\n") + 1
    after = "\n" + ('{"prompt": "a dog"}' if name == "a.jsonl" else "a dog") + "\n"
    *_, last = read(write(name, content + after))
    assert isinstance(last, BatchLine)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "prompt,stps\na cat,4", "no field 'stps'"),
        ("a.csv", "prompt,prompt\na cat,4", "every field once"),
        ("a.csv", "seed\n3", "prompt among them"),
        ("a.csv", 'prompt\n"a cat', "Line 2 .* is no CSV"),
        ("a.json", "[]", "one piece of JSON"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0", "cannot be read"),
        ("a.txt", b"prompt\0prompt", "is no text file"),
        ("a.txt", b"x" * 1_000_001, "is no text file"),
    ],
)
def test_a_file_that_is_no_batch_is_refused(
    name: str, content: str | bytes, message: str, write: Write
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        read(write(name, content))


def test_a_folder_or_nothing_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(InvalidRequestError, match="cannot be read"):
            read(path)
    assert read_requests(tmp_path) is not None


def test_a_wrong_column_is_set_right(write: Write) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        read(write("a.csv", "prompt,negative\na cat,blur"))
    assert "Did you mean negative_prompt" in raised.value.hint
    assert all(name in raised.value.hint for name in NAMES)


def test_a_long_file_takes_little_memory(write: Write) -> None:
    path = write("long.txt", "".join(f"a red circle, number {n}\n" for n in range(20_000)))
    tracemalloc.start()
    lines = read_requests(path, wildcards=[], styles=load_styles())
    contents = inspect_lines(lines, Catalog(load_settings({})), None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (contents.lines, contents.pictures) == (20_000, 20_000)
    assert peak < 2_000_000


def test_what_a_file_holds_is_counted_and_its_faults_are_named(write: Write) -> None:
    path = write(
        "a.csv",
        "prompt,model,output,count\n"
        "a {red|blue} cat,demo,,2\n"
        "a cat,,cat.png,\n"
        "a dog,,./cat.png,\n"
        "a cow,nosuch,,\n" + "a hen,,,0\n" * 30,
    )
    contents = inspect_lines(read_requests(path), Catalog(load_settings({})), None)
    assert (contents.lines, contents.pictures) == (2, 5)
    assert contents.models == {"demo": 1, None: 1}
    assert contents.broken_count == 32
    assert len(contents.broken) == 20
    assert "that of line 3 too" in contents.broken[0].message
    assert "no model named 'nosuch'" in contents.broken[1].message
    assert contents.left_out == {4}


def test_names_of_pictures() -> None:
    folder = Path("out")

    def names(**line: Any) -> list[str]:
        return [str(path) for path in targets(BatchLine(number=7, **line), folder)]

    assert names(fields={"prompt": "A cat!"}) == ["out/0007-a-cat.png"]
    assert names(fields={"prompt": "a cat", "count": 2}) == [
        "out/0007-a-cat-1.png",
        "out/0007-a-cat-2.png",
    ]
    assert names(fields={"prompt": "a {big|small} cat"}, output="cats/a.webp") == [
        "out/cats/a-1.webp",
        "out/cats/a-2.webp",
    ]


def test_the_digest_tells_lines_apart() -> None:
    line = BatchLine(number=1, fields={"prompt": "a cat", "seed": 1})
    same = BatchLine(number=9, fields={"seed": 1, "prompt": "a cat"})
    other = BatchLine(number=1, fields={"prompt": "a cat", "seed": 2})
    assert line.digest == same.digest
    assert len({line.digest, other.digest, BatchLine(number=1, fields={"prompt": ""}).digest}) == 3

"""Many pictures with the demo model: each shows what its words ask for."""

import json
from pathlib import Path

import pytest
from PIL import Image

import sdcpu
from sdcpu.batch import Batch, LineDone
from sdcpu.cli.commands import run
from sdcpu.recipe import read_recipe
from tests.pictures import describe


@pytest.fixture(autouse=True)
def _nothing_but_the_demo_model(
    demo_folder: object, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDCPU_CACHE", str(demo_folder))
    monkeypatch.setenv("SDCPU_STATE", str(tmp_path_factory.mktemp("state")))


@pytest.mark.proves("alternatives in prompts", "sd1_tiny")
def test_alternatives_show_in_the_pictures() -> None:
    prompts = sdcpu.expand_prompt("a {red|green} circle on a {white|black} background")
    requests = [{"prompt": prompt, "width": 128, "height": 128, "seed": 3} for prompt in prompts]
    with sdcpu.ImageGenerator("demo", offline=True) as generator:
        events = list(sdcpu.stream_series(generator, requests))
    pictures = [event for event in events if isinstance(event, sdcpu.GeneratedImage)]
    assert [describe(picture.image)[:2] for picture in pictures] == [
        ("white", "red"),
        ("black", "red"),
        ("white", "green"),
        ("black", "green"),
    ]
    assert [picture.index for picture in pictures] == [0, 1, 2, 3]
    progress = [event for event in events if isinstance(event, sdcpu.Progress)]
    assert {event.pictures for event in progress} == {4}
    assert [event.picture for event in progress] == sorted(event.picture for event in progress)
    assert {event.picture for event in progress if event.stage == "load"} == {1}


@pytest.mark.proves("styles", "sd1_tiny")
def test_a_style_shows_and_is_repeated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = '[on-blue]\nprompt = "{prompt} on a blue background"\n[on-white]\nprompt = "on white"\n'
    (tmp_path / "styles.toml").write_text(own, encoding="utf-8")
    monkeypatch.setenv("SDCPU_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.chdir(tmp_path)
    size = ["-W", "128", "-H", "128", "--seed", "3"]

    def draw(*arguments: str) -> Image.Image:
        assert run(["generate", *arguments]) == 0
        with Image.open(arguments[-1]) as picture:
            return picture.convert("RGB")

    first = draw("a red circle", "--style", "on-blue", "-m", "demo", *size, "-o", "first.png")
    again = draw("--from", "first.png", "-o", "again.png")
    other = draw("--from", "first.png", "--style", "on-white", "-o", "other.png")
    assert describe(first) == ("blue", "red", "circle")
    assert again.tobytes() == first.tobytes()
    assert describe(other)[:2] == ("white", "red")
    recipe = read_recipe("first.png")
    assert recipe["prompt"] == "a red circle on a blue background"
    assert (recipe["styles_applied"], recipe["words"]["prompt"]) == (["on-blue"], "a red circle")
    assert read_recipe("other.png")["prompt"] == "a red circle, on white"


@pytest.mark.proves("grid", "sd1_tiny")
def test_a_grid_shows_its_pictures_where_they_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    prompt = "a {red|green} circle on a white background"
    axes = ["--y", "words=white,black", "-m", "demo", "-W", "128", "-H", "128", "--seed", "3"]
    assert run(["grid", prompt, *axes, "-o", "grid.png"]) == 0
    names = ["grid-1.png", "grid-2.png", "grid-3.png", "grid-4.png", "grid.png"]
    assert capsys.readouterr().out.splitlines() == names
    with Image.open("grid.png") as sheet:
        right, lower = sheet.width - 128 - 8, sheet.height - 128 - 8
        corners = [(x, y) for y in (lower - 136, lower) for x in (right - 136, right)]
        shown = [describe(sheet.crop((x, y, x + 128, y + 128)))[:2] for x, y in corners]
    assert shown == [("white", "red"), ("white", "green"), ("black", "red"), ("black", "green")]
    assert read_recipe("grid-4.png")["prompt"] == "a green circle on a black background"


@pytest.mark.proves("batch", "sd1_tiny")
def test_a_batch_draws_its_lines_with_any_number_of_workers(tmp_path: Path) -> None:
    lines = [
        {"prompt": "a {red|green} circle on a white background", "seed": 3},
        {"prompt": "a yellow star on a black background", "seed": 3, "output": "star.webp"},
    ]
    path = tmp_path / "lines.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    size = {"width": 128, "height": 128}
    batch = Batch(path, tmp_path, model="demo", defaults=size, workers=2, threads=2)
    drawn = {event.line.number: event for event in batch.draw() if isinstance(event, LineDone)}
    shown = []
    for file in (*drawn[1].files, *drawn[2].files):
        with Image.open(file) as picture:
            shown.append(describe(picture)[:2])
    assert shown == [("white", "red"), ("white", "green"), ("black", "yellow")]
    with sdcpu.ImageGenerator("demo", threads=2) as generator:
        alone = generator.generate("a red circle on a white background", seed=3, **size)
    with Image.open(drawn[1].files[0]) as picture:
        assert picture.tobytes() == alone.image.tobytes()

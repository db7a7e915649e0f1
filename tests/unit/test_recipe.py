"""Pictures carry their recipe, and are written in one piece or not at all."""

import json
from pathlib import Path

import pytest
from PIL import Image

from sdcpu.errors import InvalidRequestError
from sdcpu.recipe import read_recipe, save_picture

RECIPE = {
    "prompt": 'a "red" circle, 🎈 日本',
    "negative_prompt": "blue",
    "steps": 4,
    "cfg_scale": 1.0,
    "seed": 2**63 - 1,
    "width": 16,
    "height": 8,
    "sampler": "lcm",
    "model": "demo",
}
PICTURE = Image.new("RGB", (16, 8), "red")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".JPEG", ".webp"])
def test_a_recipe_comes_back(tmp_path: Path, ending: str) -> None:
    path = save_picture(PICTURE, tmp_path / f"picture{ending}", RECIPE)
    assert read_recipe(path) == RECIPE
    with Image.open(path) as image:
        assert image.size == (16, 8)


def test_other_programs_find_the_text_they_know(tmp_path: Path) -> None:
    path = save_picture(PICTURE, tmp_path / "picture.png", RECIPE)
    with Image.open(path) as image:
        lines = image.info["parameters"].split("\n")
    assert lines[0] == RECIPE["prompt"]
    assert lines[1] == "Negative prompt: blue"
    assert "Steps: 4, Sampler: lcm, CFG scale: 1, Seed: 9223372036854775807" in lines[2]


def test_a_picture_without_recipe_says_so(tmp_path: Path) -> None:
    path = save_picture(PICTURE, tmp_path / "plain.png", None)
    with pytest.raises(InvalidRequestError, match="carries no recipe"):
        read_recipe(path)


@pytest.mark.parametrize("damage", ["{", "[1]", "null"])
def test_a_damaged_recipe_says_so(tmp_path: Path, damage: str) -> None:
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    chunks.add_text("sdcpu", damage)
    PICTURE.save(tmp_path / "damaged.png", pnginfo=chunks)
    with pytest.raises(InvalidRequestError, match="damaged"):
        read_recipe(tmp_path / "damaged.png")


def test_what_is_no_picture_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "missing.png", "."):
        with pytest.raises(InvalidRequestError, match="not a picture"):
            read_recipe(tmp_path / name)


def test_a_file_is_not_replaced_unless_allowed(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"mine")
    with pytest.raises(InvalidRequestError, match="exists already"):
        save_picture(PICTURE, path, RECIPE, overwrite=False)
    assert path.read_bytes() == b"mine"
    save_picture(PICTURE, path, RECIPE)
    assert read_recipe(path) == RECIPE


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("picture.gif", "what kind of picture"),
        ("picture", "what kind of picture"),
        ("no/folder/picture.png", "no folder"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        save_picture(PICTURE, tmp_path / name, RECIPE)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InvalidRequestError, match="No space left"):
        save_picture(PICTURE, tmp_path / "picture.png", RECIPE)
    assert list(tmp_path.iterdir()) == []


def test_a_prompt_too_long_for_jpeg_says_what_to_do(tmp_path: Path) -> None:
    recipe = {**RECIPE, "prompt": "word " * 10_000}
    with pytest.raises(InvalidRequestError) as caught:
        save_picture(PICTURE, tmp_path / "picture.jpg", recipe)
    assert ".png" in caught.value.hint
    path = save_picture(PICTURE, tmp_path / "picture.png", recipe)
    assert json.dumps(read_recipe(path)) == json.dumps(recipe)

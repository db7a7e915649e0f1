"""Pictures that a request brings along, as the engine gets them."""

from pathlib import Path

import pytest
from PIL import Image

from sdcpu import inputs
from sdcpu.errors import InvalidRequestError
from sdcpu.images import ImageRequest
from sdcpu.inputs import picture_size, pixels_of, read_mask, read_picture
from sdcpu.jobs import check_needs
from sdcpu.registry import load_registry


def test_the_rotation_of_a_camera_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg", "init image").size == (10, 20)
    assert picture_size(tmp_path / "turned.jpg", "init image") == (10, 20)


def test_transparency_is_white_in_a_picture_and_paint_in_a_mask() -> None:
    picture = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    picture.putpixel((0, 0), (9, 9, 9, 0))
    assert pixels_of(read_picture(picture, "init image")).data == b"\xff\xff\xff\x00\x00\x00"
    assert pixels_of(read_mask(picture, (2, 1))).data == b"\xff\x00"


def test_a_mask_that_could_be_transparent_and_is_not_is_black_and_white() -> None:
    black_and_white = Image.new("RGBA", (2, 1), "black")
    black_and_white.putpixel((1, 0), (255, 255, 255, 255))
    assert list(read_mask(black_and_white, (2, 1)).tobytes()) == [0, 255]


def test_a_mask_is_as_large_as_the_picture() -> None:
    with pytest.raises(InvalidRequestError, match="2x1 pixels, the picture 4x2"):
        read_mask(Image.new("L", (2, 1)), (4, 2))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.png", None, "There is no file"),
        ("text.png", b"hello", "cannot be used as init image"),
        ("empty.png", b"", "cannot be used as init image"),
        ("cut.png", "cut", "cannot be used as init image: .*truncated"),
    ],
)
def test_what_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | str | None, words: str
) -> None:
    path = tmp_path / name
    if content == "cut":
        Image.effect_noise((99, 99), 50).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=words):
        read_picture(path, "init image")
    if content != "cut":
        with pytest.raises(InvalidRequestError, match=words):
            picture_size(path, "init image")


def test_a_huge_picture_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_INPUT_PIXELS", 99)
    with pytest.raises(InvalidRequestError, match="10x10"):
        read_picture(Image.new("L", (10, 10)), "mask")


@pytest.mark.parametrize("given", [{}, {"init_image": "a.png"}])
def test_a_model_that_fills_needs_a_picture_and_a_mask(given: dict[str, str]) -> None:
    fill = load_registry(None).find("flux1-fill-dev")
    with pytest.raises(InvalidRequestError) as caught:
        check_needs(ImageRequest(prompt="a cat", **given), fill)  # type: ignore[arg-type]
    assert "flux1-fill-dev" in caught.value.message
    assert "--mask" in caught.value.hint
    check_needs(ImageRequest(prompt="a cat", init_image="a.png", mask_image="b.png"), fill)
    check_needs(ImageRequest(prompt="a cat"), load_registry(None).find("flux1-dev"))

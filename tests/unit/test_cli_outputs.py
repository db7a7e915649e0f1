"""Names of pictures, and the checks before any work."""

from pathlib import Path

import pytest
from PIL import Image

from sdcpu.cli.outputs import Outputs, check_file
from sdcpu.errors import InvalidRequestError
from sdcpu.images import GeneratedImage, ImageRequest
from sdcpu.picture_names import slug

FILE = Path(__file__)


def picture(prompt: str = "a red circle", seed: int = 7, index: int = 0) -> GeneratedImage:
    return GeneratedImage(
        image=Image.new("RGB", (8, 8)),
        request=ImageRequest(prompt=prompt, seed=seed),
        model="demo",
        seed=seed,
        index=index,
        seconds=1.0,
        recipe={"prompt": prompt},
    )


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A red circle, on a *blue* background!", "a-red-circle-on-a-blue-background"),
        ("  -rf  ../../etc/passwd", "rf-etc-passwd"),
        ("日本語 の 絵", "日本語-の-絵"),
        ("🙂🙂", "picture"),
        ("", "picture"),
        ("word " * 100, "word-word-word-word-word-word-word-word-word-word-word-word"),
        ("x" * 300, "x" * 60),
        ("日" * 100, "日" * 53),
    ],
)
def test_slug(prompt: str, expected: str) -> None:
    assert slug(prompt) == expected
    assert len(slug(prompt).encode()) < 200


def test_a_name_from_the_prompt_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = Outputs(None, count=1, force=False)
    saved = [str(outputs.save(picture())) for _ in range(3)]
    assert saved == ["a-red-circle-7.png", "a-red-circle-7-2.png", "a-red-circle-7-3.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(saved)


def test_a_folder_gets_names_from_the_prompt(tmp_path: Path) -> None:
    saved = Outputs(tmp_path, count=1, force=False).save(picture())
    assert saved == tmp_path / "a-red-circle-7.png"


def test_several_pictures_are_numbered(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "cat.jpg", count=3, force=False)
    saved = [outputs.save(picture(index=index)).name for index in range(3)]
    assert saved == ["cat-1.jpg", "cat-2.jpg", "cat-3.jpg"]


def test_any_of_several_that_exists_is_noticed_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "cat-3.png").touch()
    with pytest.raises(InvalidRequestError, match=r"cat-3\.png exists"):
        Outputs(tmp_path / "cat.png", count=3, force=False)
    Outputs(tmp_path / "cat.png", count=2, force=False)


def test_force_overwrites(tmp_path: Path) -> None:
    target = tmp_path / "cat.png"
    target.write_text("old")
    saved = Outputs(target, count=1, force=True).save(picture())
    with Image.open(saved) as image:
        assert image.size == (8, 8)


def test_what_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "cat.png"
    outputs = Outputs(target, count=1, force=False)
    target.write_text("somebody else's")
    with pytest.raises(InvalidRequestError, match="exists"):
        outputs.save(picture())
    assert target.read_text() == "somebody else's"
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (FILE.parent / "missing" / "cat.png", "no folder"),
        (FILE / "cat.png", "no folder"),
        (Path("/proc/cat.png"), "cannot be written"),
        (FILE.parent / "cat.txt", "what kind of picture"),
        (FILE.parent / "cat", "what kind of picture"),
        (FILE.parent / "cat.gguf", "what kind of picture"),
    ],
)
def test_impossible_places(target: Path, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        Outputs(target, count=1, force=False)


def test_other_files_are_checked_too(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    check_file(report, force=False)
    report.touch()
    with pytest.raises(InvalidRequestError, match="exists"):
        check_file(report, force=False)
    check_file(report, force=True)
    with pytest.raises(InvalidRequestError, match="exists"):
        check_file(tmp_path, force=True)
    with pytest.raises(InvalidRequestError, match="no folder"):
        check_file(tmp_path / "missing" / "report.json", force=False)

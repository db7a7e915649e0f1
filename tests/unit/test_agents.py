"""What agents may name, and what they are told."""

import base64
import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from sdcpu.agents import PictureFolder, Studio, Waiting
from sdcpu.agents.known_models import known_models
from sdcpu.agents.mcp_access import OneToken, accepted_headers
from sdcpu.agents.picture_folder import PREVIEW_SIDE, decode, preview_bytes
from sdcpu.agents.progress_line import WHOLE, ProgressLine
from sdcpu.cli.commands import run
from sdcpu.errors import InvalidRequestError, SettingsError, UnknownModelError
from sdcpu.events import DownloadProgress, Progress
from sdcpu.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    variables = {"SDCPU_CONFIG": str(tmp_path / "config.toml"), "SDCPU_CACHE": str(tmp_path)}
    return load_settings({**variables, "SDCPU_STATE": str(tmp_path / "state")})


@pytest.fixture
def folder(tmp_path: Path) -> PictureFolder:
    made = PictureFolder(tmp_path / "of agents" / "pictures")
    Image.new("RGB", (8, 8), "red").save(made.path / "red.png")
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "of agents" / "blue.png")
    return made


def encoded(image: Image.Image, kind: str = "PNG") -> str:
    content = io.BytesIO()
    image.save(content, kind)
    return base64.b64encode(content.getvalue()).decode()


@pytest.mark.parametrize(
    "name", ["red.png", "./red.png", "{folder}/red.png", "../pictures/red.png"]
)
def test_pictures_in_the_folder_are_found(folder: PictureFolder, name: str) -> None:
    assert folder.find(name.format(folder=folder.path)) == (folder.path / "red.png").resolve()


@pytest.mark.parametrize(
    "name",
    ["../blue.png", "{outside}/blue.png", "link.png", "linked/blue.png", "a\0b", "/", "x" * 999],
)
def test_nothing_outside_of_the_folder_is_opened(folder: PictureFolder, name: str) -> None:
    outside = folder.path.parent
    (folder.path / "link.png").symlink_to(outside / "blue.png")
    (folder.path / "linked").symlink_to(outside)
    with pytest.raises(InvalidRequestError, match=r"outside of the folder|There is no picture"):
        folder.find(name.format(outside=outside))


def test_what_is_not_there_is_said_in_the_same_words(folder: PictureFolder) -> None:
    """An agent cannot find out which files there are elsewhere."""
    messages = []
    for name in ("../blue.png", "../nothing.png"):
        with pytest.raises(InvalidRequestError) as raised:
            folder.find(name)
        messages.append(raised.value.message.replace(name, ""))
    assert messages[0] == messages[1]


def test_other_files_are_no_pictures(folder: PictureFolder) -> None:
    (folder.path / "notes.png").write_text("%!PS-Adobe-3.0 EPSF-3.0", encoding="utf-8")
    Image.new("RGB", (8, 8)).save(folder.path / "odd.png", "TIFF")
    for name in ("notes.png", "odd.png"):
        with pytest.raises(InvalidRequestError, match="is no picture that can be read"):
            folder.find(name)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("before", ["", "data:image/x;base64,"])
def test_pictures_in_base64(kind: str, before: str) -> None:
    image = decode(before + encoded(Image.new("RGB", (8, 9), "red"), kind))
    assert image.size == (8, 9)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not base64!", "is no base64"),
        (base64.b64encode(b"GIF89a").decode(), "is no picture"),
        (encoded(Image.effect_noise((64, 64), 90))[:400], "is damaged"),
        (encoded(Image.new("RGB", (8, 8)), "TIFF"), "is no picture"),
        (encoded(Image.new("1", (10_000, 6_000))), "10000x6000 pixels"),
    ],
)
def test_what_is_no_picture_in_base64(text: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError, match=problem):
        decode(text)


def test_previews_are_small() -> None:
    with Image.open(io.BytesIO(preview_bytes(Image.new("RGBA", (2048, 1024))))) as preview:
        assert preview.size == (PREVIEW_SIDE, PREVIEW_SIDE // 2)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequestError, match="cannot be made"):
        PictureFolder(tmp_path / "file" / "pictures")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "owner/name/file.gguf", "nothing", "taesd", "../demo"]
)
def test_models_are_known_by_name_only(settings: Settings, name: str) -> None:
    with Studio(settings=settings) as studio, pytest.raises(UnknownModelError) as raised:
        studio.draw("a cat", model=name)
    assert "list_models" in raised.value.hint


def test_the_users_own_choice_may_be_a_file_and_must_be_known(settings: Settings) -> None:
    with pytest.raises(UnknownModelError):
        Studio(settings=settings, model="no-such-model")
    with Studio(settings=settings, model="qwen-image-edit") as studio:
        assert studio.edits_by_prompt(None)
        assert not studio.edits_by_prompt("demo")
    with Studio(settings=settings) as studio:
        assert not studio.edits_by_prompt(None)


@pytest.mark.parametrize("name", ["/etc/passwd", "owner/name/file", "x.safetensors"])
def test_loras_in_the_prompt_are_known_by_name_only(settings: Settings, name: str) -> None:
    with Studio(settings=settings) as studio, pytest.raises(InvalidRequestError, match="no LoRA"):
        studio.draw(f"a cat <lora:{name}:1>")


@pytest.mark.parametrize(("allow", "offline"), [(False, True), (True, False)])
def test_nothing_is_downloaded_unless_allowed(
    settings: Settings, allow: bool, offline: bool
) -> None:
    with Studio(settings=settings, allow_downloads=allow) as studio:
        assert studio.settings.offline is offline


def test_models_are_described(settings: Settings) -> None:
    models = {model.name: model for model in known_models(settings)}
    assert (models["demo"].here, models["demo"].fits_memory) == (True, True)
    assert not models["sd-turbo"].here
    assert models["sd-turbo"].download_bytes > 1_000_000_000
    assert models["qwen-image-edit"].edits_by_prompt
    assert models["flux1-fill-dev"].needs_picture
    assert {model.here for model in known_models(settings, only_here=True)} == {True}


def test_progress_only_grows_and_goes_on_with_the_clock() -> None:
    now = 0.0
    line = ProgressLine(clock=lambda: now)
    line.hear(Waiting(before=2))
    told = [line.now()]
    assert told[0][1] == "waiting for 2 other pictures"
    line.hear(DownloadProgress(file="a.gguf", done=0, total=1000, seconds_left=90.0))
    for second in (1.0, 30.0, 60.0):
        now = second
        told.append(line.now())
    assert told[-1][1] == "downloading a.gguf, 0 bytes of 1.0 kB, about 30 s left"
    line.hear(Progress(stage="load", step=7, steps=600, seconds_left=None))
    told.append(line.now())
    assert told[-1][1] == "loading the model"
    line.hear(Progress(stage="sample", step=1, steps=4, seconds_left=0.0))
    told.append(line.now())
    numbers = [number for number, _ in told]
    assert numbers == sorted(set(numbers))
    assert numbers[1] < 5
    assert numbers[0] >= 0
    assert numbers[-1] < WHOLE


def test_headers_that_are_let_in() -> None:
    here = accepted_headers("127.0.0.1", 7870)
    assert "localhost:7870" in here.allowed_hosts
    assert here.allowed_origins[0] == "http://127.0.0.1:7870"
    assert not [host for host in here.allowed_hosts if host.endswith("*")]
    assert "studio.example:7870" in accepted_headers("studio.example", 7870).allowed_hosts


async def _verified(right: str, shown: str) -> bool:
    return await OneToken(right).verify_token(shown) is not None


def test_the_token_must_be_right() -> None:
    import asyncio

    assert asyncio.run(_verified("secret", "secret"))
    assert not asyncio.run(_verified("secret", "secreT"))
    assert not asyncio.run(_verified("secret", "ä"))


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sdcpu.agents

    for name in [name for name in sys.modules if name.startswith("sdcpu.agents.mcp_")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "mcp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(SettingsError) as raised:
        sdcpu.agents.make_server  # noqa: B018
    assert 'pip install "sdcpu[agents]"' in raised.value.hint
    assert run(["mcp"]) == 1
    assert 'pip install "sdcpu[agents]"' in capsys.readouterr().err


def test_options_of_http_need_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mcp", "--host", "0.0.0.0"]) == 2
    assert "--http" in capsys.readouterr().err

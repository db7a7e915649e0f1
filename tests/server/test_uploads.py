"""Pictures that clients bring."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from sdcpu.job_queue import JobQueue
from sdcpu.recipe import save_picture
from sdcpu.server import picture_decoder
from sdcpu.server.answers import Problem
from sdcpu.server.limits import ServerLimits
from sdcpu.server.uploads import Uploads
from tests.fake_generators import Studio


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def picture(width: int = 6, height: int = 4) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert("RGB")


def bring(client: httpx2.Client, data: bytes, kind: str = "image/png") -> httpx2.Response:
    return client.post("/api/v1/uploads", content=data, headers={"content-type": kind})


def test_an_uploaded_picture_is_drawn_from(client: httpx2.Client, studio: Studio) -> None:
    for answer in (
        bring(client, encoded(picture(), "WEBP"), "image/webp"),
        client.post("/api/v1/uploads", files={"file": ("a.jpg", encoded(picture(), "JPEG"))}),
        bring(client, encoded(picture()), "application/octet-stream"),
    ):
        assert answer.status_code == 201, answer.text
        taken = answer.json()
        assert (taken["width"], taken["height"]) == (6, 4)
    kept = client.get(f"/api/v1/uploads/{taken['id']}")
    with Image.open(io.BytesIO(kept.content)) as image:
        assert (image.format, image.size, image.info) == ("PNG", (6, 4), {})
        assert image.tobytes() == picture().tobytes()
    order = {"request": {"prompt": "a", "init_image": f"upload:{taken['id']}"}}
    assert client.post("/api/v1/jobs", json=order).status_code == 202


BROKEN = {
    "empty": b"",
    "text": b"hello",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "gif": encoded(picture(), "GIF"),
    "bmp": encoded(picture(), "BMP"),
    "tiff": encoded(picture(), "TIFF"),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "half a png": encoded(picture(60, 40))[:80],
    "half a jpeg": encoded(picture(60, 40), "JPEG")[:300],
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_picture_is_refused(
    name: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], unconfined: None
) -> None:
    (tmp_path / "source").write_bytes(BROKEN[name])
    arguments = [str(tmp_path / "source"), str(tmp_path / "target"), "10000", "10", "10000"]
    assert picture_decoder.main(arguments) == 0
    assert json.loads(capfdbinary.readouterr().out)["error"]
    assert not (tmp_path / "target").exists()


@pytest.fixture
def unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder runs inside the tests, which have no limits."""
    monkeypatch.setattr(picture_decoder, "confine", lambda *_: None)


def test_a_broken_picture_is_told_of(shared: httpx2.Client) -> None:
    answer = bring(shared, BROKEN["half a png"])
    assert answer.status_code == 415, answer.text
    error = answer.json()["error"]
    assert error["code"] == "unusable_picture"
    assert "/" not in error["message"], "a path of the server"


def test_other_bodies_are_refused(shared: httpx2.Client) -> None:
    png = encoded(picture())
    assert bring(shared, png, "text/plain").status_code == 415
    assert shared.post("/api/v1/uploads", content=png).status_code == 415
    assert shared.post("/api/v1/uploads", files={"other": png}).status_code == 422
    assert shared.post("/api/v1/uploads", files=[("file", png), ("file", png)]).status_code == 400
    assert bring(shared, png, "multipart/form-data").status_code == 400
    assert bring(shared, png, "multipart/form-data; boundary=x").status_code in (400, 422)
    for strange in ("none", "..%2f..%2fqueue", "x" * 100, "%00"):
        assert shared.get(f"/api/v1/uploads/{strange}").status_code == 404


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says it is so large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(data or bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def test_bombs_do_not_go_off(shared: httpx2.Client) -> None:
    answer = bring(shared, bomb(30_000, 30_000))
    assert answer.status_code == 415
    assert "pixels" in answer.json()["error"]["message"]


@pytest.mark.parametrize("size", [(1, 200_000), (101, 100), (2**31 - 1, 2**31 - 1)])
def test_too_large_pictures_are_not_decoded(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises((ValueError, Image.DecompressionBombError), match="pixels"):
        decoded(tmp_path, bomb(*size))


def test_a_decoder_that_wants_too_much_ends_alone(tmp_path: Path) -> None:
    little = ServerLimits(upload_memory=150 * 1024 * 1024, most_upload_pixels=10**8)
    uploads = Uploads(tmp_path, little)
    data = bomb(9_000, 9_000, bytes(27_001 * 100))
    with pytest.raises(Problem, match="memory") as refused:
        uploads.take_bytes(data)
    assert refused.value.status == 415
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set there")
def test_the_decoder_is_confined() -> None:
    program = (
        "import resource\n"
        "from sdcpu.server.picture_decoder import confine\n"
        "confine(3, 10**10)\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_AS))\n"
    )
    told = subprocess.run([sys.executable, "-c", program], timeout=60, check=True, stdout=-1)
    assert told.stdout.decode().strip() == "(3, 4) (10000000000, 10000000000)"


def test_secrets_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDCPU_TOKEN", "correct horse battery")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen: dict[str, str] = {}

    def run(*_: Any, env: dict[str, str], **__: Any) -> Any:
        seen.update(env)
        raise subprocess.TimeoutExpired("decoder", 1)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(Problem, match="too long"):
        Uploads(tmp_path, ServerLimits()).take_bytes(b"x")
    assert "PATH" in seen
    assert not {"SDCPU_TOKEN", "HF_TOKEN"} & set(seen)


def decoded(tmp_path: Path, data: bytes) -> tuple[Image.Image, dict[str, Any]]:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    report = picture_decoder.decode(source, target, 10_000)
    with Image.open(target) as image:
        image.load()
        return image, report


def test_a_picture_is_kept_as_it_is_meant_to_be_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image, report = decoded(tmp_path, encoded(picture(), "JPEG", exif=exif))
    assert (image.size, report["width"], report["height"]) == ((4, 6), 4, 6)
    assert not image.getexif()


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("1", "L"), ("L", "L"), ("LA", "RGBA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA")],
)
def test_kinds_of_pixels(tmp_path: Path, mode: str, kept: str) -> None:
    image, _ = decoded(tmp_path, encoded(picture().convert(mode)))
    assert image.mode == kept


def test_16_bits_become_8(tmp_path: Path) -> None:
    deep = Image.new("I;16", (2, 2), 128 * 256)
    image, _ = decoded(tmp_path, encoded(deep))
    assert (image.mode, image.getpixel((0, 0))) == ("L", 128)


def test_transparency_of_a_palette_stays(tmp_path: Path) -> None:
    image, _ = decoded(tmp_path, encoded(picture().convert("P"), transparency=0))
    assert image.mode == "RGBA"


def test_the_recipe_of_a_picture_is_told(tmp_path: Path, shared: httpx2.Client) -> None:
    path = tmp_path / "ours.png"
    save_picture(picture(), path, {"prompt": "a red circle", "seed": 7})
    told = bring(shared, path.read_bytes()).json()
    assert told["recipe"]["seed"] == 7
    assert told["parameters"].startswith("a red circle")


def test_the_oldest_go_and_those_in_use_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use: list[str] = []
    uploads = Uploads(tmp_path, ServerLimits(most_uploads=2), in_use=lambda: in_use)

    def decode(_: Uploads, __: Path, target: Path) -> dict[str, Any]:
        target.write_bytes(b"")
        return {"width": 1, "height": 1}

    monkeypatch.setattr(Uploads, "_decode", decode)
    ids = [uploads.take_bytes(b"").id]
    in_use.append(ids[0])
    ids += [uploads.take_bytes(b"").id for _ in range(3)]
    assert [uploads.path(each) is not None for each in ids] == [True, False, False, True]


def test_what_was_left_half_done_is_cleared(tmp_path: Path, queue: JobQueue) -> None:
    uploads = Uploads(tmp_path, ServerLimits())
    uploads.new_file().write_bytes(b"half")
    kept = uploads.take_bytes(encoded(picture()))
    uploads.clear_unfinished()
    assert [path.stem for path in (tmp_path / "uploads").iterdir()] == [kept.id]


def test_the_decoder_speaks_json(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(encoded(picture()))
    command = [sys.executable, "-m", "sdcpu.server.picture_decoder", str(source)]
    command += [str(tmp_path / "b.png"), "1000", "10", str(2**31)]
    run = subprocess.run(command, capture_output=True, check=True, timeout=60, env=dict(os.environ))
    assert json.loads(run.stdout)["width"] == 6

"""What a request cannot reach: files of the machine, and the network."""

from pathlib import Path
from typing import Any

import httpx2
import pytest


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("home") / "secret.png"
    path.write_bytes(b"correct horse battery")
    return path


PICTURES = ("init_image", "control_image", "end_image")


def orders(name: str) -> list[dict[str, Any]]:
    """Requests that name a file in every place where one can be named."""
    drawn: dict[str, Any] = {"prompt": "a red circle"}
    return [
        *({"request": drawn | {field: name}} for field in PICTURES[:2]),
        {"request": drawn | {"init_image": name, "mask_image": name}},
        {"request": drawn | {"ref_images": [name]}},
        {"request": drawn | {"loras": [[name, 1.0]]}},
        {"request": drawn | {"prompt": f"a red circle <lora:{name}:1>"}},
        {"request": drawn | {"embeddings": [name]}},
        {"request": drawn | {"control_net": name, "control_image": name}},
        {"request": drawn | {"upscale": 2, "upscaler": name}},
        {"request": drawn, "model": name},
        {"kind": "upscale", "request": {"image": name, "factor": 2}},
        {"kind": "video", "request": drawn | {"end_image": name}},
    ]


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/plan"])
def test_no_file_is_opened_by_its_path(
    shared: httpx2.Client, secret: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    read = Path.open

    def noted(self: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(str(self))
        return read(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", noted)
    for name in (str(secret), f"../../../../../..{secret}", f"upload:../../../../..{secret}"):
        for order in orders(name):
            answer = shared.post(path, json=order)
            assert answer.status_code in (403, 404, 422), (order, answer.text)
            assert "correct horse" not in answer.text
    assert [name for name in opened if "secret" in name] == []


@pytest.mark.parametrize(
    "name",
    [
        "result:none/0",
        "result:../0",
        "result:none",
        "upload:none",
        "upload:",
        "http://127.0.0.1:9/a.png",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
    ],
)
def test_a_picture_is_one_that_the_server_has(shared: httpx2.Client, name: str) -> None:
    order = {"request": {"prompt": "a", "init_image": name}}
    answer = shared.post("/api/v1/jobs", json=order)
    assert answer.status_code in (404, 422), answer.text


@pytest.mark.parametrize(
    "name", ["sd-turbo", "sd-turbo:q8_0", "owner/name", "owner/name/file.gguf"]
)
def test_no_model_is_downloaded_for_a_request(shared: httpx2.Client, name: str) -> None:
    answer = shared.post("/api/v1/jobs", json={"model": name, "request": {"prompt": "a"}})
    assert answer.status_code in (403, 422), answer.text
    openai = shared.post("/v1/images/generations", json={"model": name, "prompt": "a"})
    assert openai.status_code in (400, 403, 404), openai.text

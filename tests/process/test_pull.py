"""`sdcpu pull` of a model of several parts in several quantisations, from a hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdcpu.cli.commands import run
from tests.hub import HubServer
from tests.sparse_files import write_sparse

SIZES = {"q8_0": 40_000_000_000, "q4_0": 20_000_000_000, "q2_k": 10_000_000}
"""Bytes, as the registry says; the files on the hub are small."""
HEAD = """
[large]
summary = "A model of several parts"
family = "flux"
license = "Its own"
uses = ["reader"]

[reader]
summary = "A text encoder"
kind = "part"
family = "text_encoder"
license = "MIT"
"""
FILE = """
[[{entry}.files]]
role = "{role}"
quantization = "{label}"
repository = "owner/{entry}"
path = "{role}-{label}.gguf"
size_about = {size}
sha256 = "hub"
gated = {gated}
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with the parts, and settings that know them."""
    text = HEAD
    with HubServer() as server:
        for label, size in SIZES.items():
            shapes = [(f"{label}.weight", (64, 64))]
            weights = write_sparse(tmp_path / f"{label}.gguf", shapes).read_bytes()
            for entry, role in (("large", "diffusion_model"), ("reader", "t5xxl")):
                gated = "true" if entry == "large" else "false"
                bytes_of = size if entry == "large" else 1_000_000
                text += FILE.format(entry=entry, role=role, label=label, size=bytes_of, gated=gated)
                server.add_file(f"owner/{entry}", f"{role}-{label}.gguf", weights)
        (tmp_path / "models.toml").write_text(text)
        variables = {
            "SDCPU_CONFIG": tmp_path / "config.toml",
            "SDCPU_CACHE": tmp_path / "cache",
            "SDCPU_STATE": tmp_path / "state",
            "SDCPU_MEMORY_LIMIT": "4 GB",
            "HF_HOME": tmp_path / "hub",
            "HF_ENDPOINT": server.endpoint,
            "NO_PROXY": "*",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        yield server


def fetched(hub: HubServer) -> set[str]:
    """The files of which something was asked for."""
    return {request.path.rpartition("/")[2] for request in hub.requests if request.sent}


def test_the_parts_in_the_quantisation_that_fits(
    hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pull", "large"]) == 0
    said = capsys.readouterr()
    assert fetched(hub) == {"diffusion_model-q2_k.gguf", "t5xxl-q2_k.gguf"}
    assert "large:q2_k: 11.0 MB to download (licence: Its own, to be accepted at " in said.err
    assert "https://huggingface.co/owner/large)" in said.err
    assert "of 4.0 GB memory for 1024x1024" in said.err
    assert "the largest that fits 4.0 GB of memory; another way: -m large:q8_0" in said.err
    assert said.out.count("q2_k.gguf\n") == 2

    hub.requests.clear()
    assert run(["pull", "large"]) == 0
    assert not fetched(hub), "it is here"
    assert run(["models", "--here"]) == 0
    assert "\nlarge " in capsys.readouterr().out


def test_another_by_its_name_and_removing_them_one_by_one(
    hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("large:q4_0", "large:q2_k"):
        assert run(["pull", name]) == 0
    assert "large:q4_0 at 1024x1024 needs" in capsys.readouterr().err, "too large, and said so"
    assert fetched(hub) == {
        f"{r}-{q}.gguf" for r in ("diffusion_model", "t5xxl") for q in ("q4_0", "q2_k")
    }
    assert run(["remove", "large:q4_0"]) == 0
    assert run(["models", "--here"]) == 0
    assert "\nlarge " in capsys.readouterr().out
    assert run(["remove", "large"]) == 0
    assert run(["models", "--here"]) == 0
    assert "\nlarge " not in capsys.readouterr().out

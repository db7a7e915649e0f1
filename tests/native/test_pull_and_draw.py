"""The whole way: a file on a hub is downloaded, verified, quantised by the engine, drawn with."""

from dataclasses import replace
from pathlib import Path

import pytest

import sdcpu
from sdcpu.errors import ModelNotDownloadedError
from sdcpu.families import FileRole
from sdcpu.generator import ImageGenerator
from sdcpu.settings import load_settings
from sdcpu.weights import read_header
from tests.hub import HubServer
from tests.pictures import describe

ENTRY = """
[shapes]
summary = "The demo model, as if it came from a hub"
family = "sd1_tiny"
license = "MIT"
defaults = { width = 128, height = 128, steps = 4, cfg_scale = 1.0, sampler = "lcm" }

[[shapes.files]]
role = "model"
repository = "owner/shapes"
path = "shapes-q8_0.gguf"
sha256 = "hub"
quantize = "q4_0"

[[shapes.files]]
role = "tiny_decoder"
repository = "owner/shapes"
path = "taesd.safetensors"
sha256 = "hub"
"""


def test_a_model_from_the_hub_is_quantised_and_draws(
    tmp_path: Path, demo_files: dict[FileRole, Path]
) -> None:
    (tmp_path / "models.toml").write_text(ENTRY)
    settings = replace(
        load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")}),
        cache_folder=tmp_path / "cache",
        state_folder=tmp_path / "state",
        hub_cache=tmp_path / "hub",
        models_file=tmp_path / "models.toml",
    )
    with (
        ImageGenerator("shapes", offline=True, settings=settings) as generator,
        pytest.raises(ModelNotDownloadedError, match="shapes-q8_0"),
    ):
        generator.generate("a red circle on a blue background")

    with HubServer() as hub:
        hub.add_file("owner/shapes", "shapes-q8_0.gguf", demo_files[FileRole.MODEL].read_bytes())
        taesd = demo_files[FileRole.TINY_DECODER].read_bytes()
        hub.add_file("owner/shapes", "taesd.safetensors", taesd)
        online = replace(settings, hub_endpoint=hub.endpoint)
        with ImageGenerator("shapes", settings=online) as generator:
            events = list(generator.stream("a red square on a white background", seed=4))
    downloaded = {e.file for e in events if isinstance(e, sdcpu.DownloadProgress)}
    assert {"shapes-q8_0.gguf", "taesd.safetensors"} <= downloaded
    picture = events[-1]
    assert isinstance(picture, sdcpu.GeneratedImage)
    assert describe(picture.image) == ("white", "red", "square")

    kept = list((tmp_path / "cache").rglob("*.gguf"))
    assert len(kept) == 1
    assert "q4_0" in {tensor.type for tensor in read_header(kept[0]).tensors}
    assert not list((tmp_path / "hub").rglob("*.gguf")), "the original goes when it is quantised"

    with ImageGenerator("shapes", offline=True, settings=settings) as generator:
        again = generator.generate("a red square on a white background", seed=4)
    assert again.image.tobytes() == picture.image.tobytes()

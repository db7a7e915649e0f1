"""Textual inversions through the real engine: a made word means what another one means."""

from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.generator import ImageGenerator
from sdcpu.jobs import request_fields
from sdcpu.settings import load_settings
from tests.made_adapters import write_embedding
from tests.pictures import describe, psnr

SIZE = {"seed": 3, "width": 128, "height": 128}


@pytest.mark.proves("textual inversion", "sd1_tiny")
def test_a_made_word_draws_what_its_vector_means(demo_folder: Path, tmp_path: Path) -> None:
    write_embedding(tmp_path / "flurb.safetensors", "red")
    write_embedding(tmp_path / "grimp.safetensors", "green", kind="f2")
    settings = replace(
        load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")}),
        cache_folder=demo_folder,
        state_folder=tmp_path / "state",
        offline=True,
    )
    files = (tmp_path / "flurb.safetensors", tmp_path / "grimp.safetensors")
    with ImageGenerator("demo", settings=settings) as generator:

        def drawn(colour: str, ground: str = "white", **more: object):  # type: ignore[no-untyped-def]
            prompt = f"a {colour} circle on a {ground} background"
            return generator.generate(prompt, **SIZE, **more)

        red, without = drawn("red"), drawn("flurb")
        flurb = drawn("flurb", embeddings=files)
        again = generator.generate(**request_fields(flurb.recipe))  # before others are loaded
        grimp = drawn("Grimp", embeddings=(tmp_path,))
        both = drawn("flurb", "grimp", embeddings=files)
    assert describe(flurb.image) == ("white", "red", "circle")
    assert describe(grimp.image) == ("white", "green", "circle")
    assert describe(both.image) == ("green", "red", "circle")
    assert psnr(flurb.image, red.image) > 40 > psnr(without.image, red.image) + 10
    assert again.image.tobytes() == flurb.image.tobytes()
    assert flurb.recipe["embeddings"] == [str(files[0])]

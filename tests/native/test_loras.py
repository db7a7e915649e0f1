"""LoRAs through the real engine: what they do to a picture, on quantised and on f16 models."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdcpu.errors import GenerationError, ModelFileError, ModelNotDownloadedError
from sdcpu.families import FileRole
from sdcpu.generator import ImageGenerator
from sdcpu.images import GeneratedImage
from sdcpu.jobs import request_fields
from sdcpu.loras.fit import check_lora
from sdcpu.plan import EnginePlan
from sdcpu.process import EngineProcess
from sdcpu.protocol import Drawn, Generate, GenerateSettings, Load, LoadSettings, LoraFile
from sdcpu.quantization import quantize
from sdcpu.registry import load_registry
from sdcpu.settings import Settings, load_settings
from sdcpu.weights import read_header
from tests.checkpoints import CHECKPOINTS
from tests.hub import HubServer
from tests.made_adapters import (
    Spelling,
    write_lcm_lora,
    write_lora_of_every_layer,
    write_recolouring_lora,
)
from tests.pictures import describe, psnr
from tests.sparse_files import write_sparse

PROMPT = "a red circle on a white background"
SIZE = {"seed": 3, "width": 128, "height": 128}
SMALL = {"seed": 3, "width": 64, "height": 64, "steps": 2}
"""Enough to tell equal pictures from others."""
OWN = """
[fast]
summary = "Makes demo-base draw in 4 steps"
kind = "lora"
family = "sd1_tiny"
license = "MIT"
defaults = {{ steps = 4, cfg_scale = 1.0, sampler = "lcm", scheduler = "lcm" }}

[[fast.files]]
role = "lora"
local_path = "{folder}/lcm.safetensors"

[demo-f16]
summary = "The demo model in f16"
family = "sd1_tiny"
license = "MIT"
uses = ["decoder"]
defaults = {{ steps = 4, cfg_scale = 1.0, sampler = "lcm", scheduler = "lcm" }}

[[demo-f16.files]]
role = "model"
local_path = "{folder}/demo-f16.gguf"

[decoder]
summary = "The demo model's decoder"
kind = "tiny_decoder"
family = "tiny_decoder"
license = "MIT"

[[decoder.files]]
role = "tiny_decoder"
local_path = "{decoder}"
"""


@pytest.fixture(scope="module")
def settings(
    demo_folder: Path, demo_files: dict[FileRole, Path], tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """A user with LoRAs: `green` in their folder, `fast` in their models.toml."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "loras").mkdir()
    write_recolouring_lora(folder / "loras" / "green.safetensors")
    write_lcm_lora(folder / "lcm.safetensors")
    decoder = demo_files[FileRole.TINY_DECODER]
    (folder / "models.toml").write_text(OWN.format(folder=folder, decoder=decoder))
    return replace(
        load_settings({"SDCPU_CONFIG": str(folder / "config.toml")}),
        cache_folder=demo_folder,
        state_folder=folder / "state",
        hub_cache=folder / "hub",
        offline=True,
    )


@pytest.fixture(scope="module")
def demo(settings: Settings) -> Iterator[ImageGenerator]:
    with ImageGenerator("demo", settings=settings) as generator:
        yield generator


@pytest.fixture(scope="module")
def small_green(demo: ImageGenerator) -> GeneratedImage:
    return demo.generate(PROMPT, loras=[("green", 1)], **SMALL)


def greenness(picture: GeneratedImage) -> float:
    """How much greener than red the middle of a picture is, -255 to 255."""
    middle = picture.image.convert("RGB").crop((48, 48, 80, 80))
    red, green, _ = np.asarray(middle, float).mean((0, 1))
    return float(green - red)


def check_recolouring(generator: ImageGenerator) -> GeneratedImage:
    """A red circle, with the LoRA at 0, 0.5 and 1; returns the last."""
    plain = generator.generate(PROMPT, **SIZE)
    unchanged, half, green = (
        generator.generate(PROMPT, loras=[("green", weight)], **SIZE) for weight in (0, 0.5, 1)
    )
    assert describe(plain.image) == ("white", "red", "circle")
    assert describe(green.image) == ("white", "green", "circle")
    assert unchanged.image.tobytes() == plain.image.tobytes()
    assert greenness(plain) + 50 < greenness(half) < greenness(green) - 50
    return green


def test_a_lora_on_a_quantised_model(demo: ImageGenerator) -> None:
    check_recolouring(demo)


@pytest.mark.proves("LoRA", "sd1_tiny")
def test_a_lora_on_an_f16_model(
    settings: Settings, demo_files: dict[FileRole, Path], tmp_path: Path
) -> None:
    target = settings.models_file.parent / "demo-f16.gguf"
    quantize(demo_files[FileRole.MODEL], target, "f16")
    write_recolouring_lora(tmp_path / "loha.safetensors", spelling="loha")
    with ImageGenerator("demo-f16", settings=settings) as generator:
        green = check_recolouring(generator)
        loha = generator.generate(PROMPT, loras=[(str(tmp_path / "loha.safetensors"), 1)], **SIZE)
    target.unlink()
    assert psnr(loha.image, green.image) > 40
    assert loha.notes == ()


@pytest.mark.parametrize("spelling", ["diffusers", "peft", "lokr"])
def test_other_spellings_do_the_same(
    demo: ImageGenerator, small_green: GeneratedImage, tmp_path: Path, spelling: Spelling
) -> None:
    write_recolouring_lora(tmp_path / "same.safetensors", spelling=spelling)
    other = demo.generate(PROMPT, loras=[(str(tmp_path / "same.safetensors"), 1)], **SMALL)
    assert psnr(other.image, small_green.image) > 45
    assert other.notes == ()


def test_tensors_that_were_not_used_are_noted(
    demo: ImageGenerator, demo_files: dict[FileRole, Path], tmp_path: Path
) -> None:
    path = tmp_path / "partly.safetensors"
    write_recolouring_lora(path, foreign=3)
    plan, *_, drawn = demo.stream(PROMPT, loras=[(str(path), 1)], **SMALL)
    total = len(read_header(path).tensors)
    note = f"3 of the {total} tensors of partly.safetensors are not used, such as "
    assert isinstance(plan, EnginePlan)
    assert isinstance(drawn, GeneratedImage)
    assert plan.surprises[0].startswith(f"{note}lora_unet_nowhere_0.lora_up.weight")
    assert drawn.notes == ()  # said before
    (told,) = drawn_by_engine(demo_files, LoraFile(path=str(path), weight=1, tensors=total))
    assert told.notes[0].startswith(f"{note}model.diffusion_model.nowhere.")


def test_a_lora_that_the_engine_hardly_uses_is_an_error(
    demo_files: dict[FileRole, Path], tmp_path: Path
) -> None:
    path = tmp_path / "hardly.safetensors"
    write_recolouring_lora(path, foreign=50)
    total = len(read_header(path).tensors)
    with pytest.raises(GenerationError, match=rf"50 of the {total} tensors .*nowhere"):
        drawn_by_engine(demo_files, LoraFile(path=str(path), weight=1, tensors=total))


@pytest.mark.parametrize("separator", ["_", "."])
def test_the_engine_uses_what_the_header_promises(
    demo_files: dict[FileRole, Path], tmp_path: Path, separator: str
) -> None:
    path = tmp_path / "all.safetensors"
    write_lora_of_every_layer(path, separator)
    lora, model = read_header(path), load_registry(None).find("demo")
    headers = {model.files[0]: read_header(demo_files[FileRole.MODEL])}
    promised = check_lora(lora, model, headers).partition(", such as ")[0]
    assert promised.startswith("4 of the 446 tensors")  # the layers of the time
    (told,) = drawn_by_engine(demo_files, LoraFile(path=str(path), weight=1, tensors=446))
    assert told.notes[0].partition(", such as ")[0] == promised


def drawn_by_engine(files: dict[FileRole, Path], lora: LoraFile) -> list[Drawn]:
    """What the engine tells of a picture with a LoRA that nobody looked at before."""
    load = LoadSettings(files={str(role): str(path) for role, path in files.items()}, threads=2)
    job = GenerateSettings(
        prompt=PROMPT,
        width=64,
        height=64,
        steps=1,
        cfg_scale=1.0,
        guidance=3.5,
        sampler="lcm",
        scheduler="lcm",
        seed=3,
        loras=(lora,),
    )
    with EngineProcess(environment=os.environ) as engine:
        messages = (Load(settings=load), Generate(settings=job))
        events = [event for message in messages for event in engine.run(message)]
    return [event for event in events if isinstance(event, Drawn)]


def test_several_loras_add_up(demo: ImageGenerator, settings: Settings, tmp_path: Path) -> None:
    source = settings.models_file.parent / "loras" / "green.safetensors"
    (tmp_path / "copy.safetensors").write_bytes(source.read_bytes())
    halves = [("green", 0.5), (str(tmp_path / "copy.safetensors"), 0.5)]
    whole, both, one = (
        demo.generate(PROMPT, loras=loras, **SIZE).image
        for loras in ([("green", 1)], halves, halves[:1])
    )
    assert psnr(both, whole) > 40 > psnr(one, whole) + 5


def test_a_tag_in_the_prompt_is_the_same_and_the_recipe_repeats_it(
    demo: ImageGenerator, tmp_path: Path
) -> None:
    tagged = demo.generate(f"<lora:green:0.8> {PROMPT}", **SMALL)
    named = demo.generate(PROMPT, loras=[("green", 0.8)], **SMALL)
    assert tagged.image.tobytes() == named.image.tobytes()
    assert (tagged.request.prompt, tagged.recipe["loras"]) == (PROMPT, [["green", 0.8]])
    again = demo.generate(**request_fields(tagged.recipe))
    assert again.image.tobytes() == tagged.image.tobytes()


@pytest.mark.proves("LCM-LoRA", "sd1_tiny")
def test_an_lcm_lora_makes_four_steps_enough(settings: Settings, demo: ImageGenerator) -> None:
    wanted = demo.generate(PROMPT, **SIZE).image
    with ImageGenerator("demo-base", settings=settings) as base:
        plan, *_, fast = base.stream(PROMPT, loras=[("lcm", 1)], **SIZE)
        slow = base.generate(PROMPT, steps=4, cfg_scale=1.0, sampler="lcm", **SIZE).image
    assert isinstance(fast, GeneratedImage)
    assert isinstance(plan, EnginePlan)
    assert (fast.request.steps, fast.request.loras) == (4, (("fast", 1),))
    assert "fast wants 4 steps, cfg 1, sampler lcm, scheduler lcm." in plan.surprises
    assert psnr(fast.image, wanted) > 40 > psnr(slow, wanted) + 10


def test_a_lora_from_the_hub_is_planned_downloaded_and_kept(
    settings: Settings, small_green: GeneratedImage, tmp_path: Path
) -> None:
    name = "owner/style/green.safetensors"
    settings = replace(settings, hub_cache=tmp_path)
    with (
        ImageGenerator("demo", settings=settings) as generator,
        pytest.raises(ModelNotDownloadedError, match=r"green\.safetensors") as caught,
    ):
        generator.generate(PROMPT, loras=[(name, 1)], **SMALL)
    assert caught.value.hint == f"With a network: sdcpu pull {name}"
    data = (settings.models_file.parent / "loras" / "green.safetensors").read_bytes()
    with HubServer() as hub:
        hub.add_file("owner/style", "green.safetensors", data)
        online = replace(settings, hub_endpoint=hub.endpoint, offline=False)
        with ImageGenerator("demo", settings=online) as generator:
            *events, drawn = generator.stream(PROMPT, loras=[(name, 1)], **SMALL)
    plans = [event for event in events if isinstance(event, EnginePlan)]
    assert len(plans) == 2
    assert 13e6 < plans[1].memory.weights - plans[0].memory.weights < 16e6
    assert isinstance(drawn, GeneratedImage)
    with ImageGenerator("demo", settings=settings) as generator:
        again = generator.generate(PROMPT, loras=[(name, 1)], **SMALL)
    same = small_green.image.tobytes()
    assert drawn.image.tobytes() == again.image.tobytes() == same


def test_a_lora_of_another_size_is_refused_before_loading(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_sparse(tmp_path / "sd15.safetensors", CHECKPOINTS["lora"].shapes())
    with ImageGenerator("demo", settings=settings) as generator:
        with pytest.raises(ModelFileError, match=r"lora_unet_\w+\.lora_\w+\.weight has"):
            generator.generate(PROMPT, loras=[(str(path), 1)], **SMALL)
        assert generator.engine_pid is None

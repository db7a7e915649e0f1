"""LoRAs of a request: found by name, by path or on the hub, and joined to a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.adapters import Adapted, Adapters
from sdcpu.catalog import Catalog
from sdcpu.errors import InvalidRequestError, ModelFileError, SdcpuError, UnknownModelError
from sdcpu.families import FileRole
from sdcpu.images import ImageRequest
from sdcpu.settings import load_settings
from tests.checkpoints import CHECKPOINTS
from tests.sparse_files import write_sparse

LORA = CHECKPOINTS["lora"].shapes
OWN = """
[ink]
summary = "Like drawn with ink"
kind = "lora"
family = "sd1"
license = "private"
defaults = {{ steps = 6, clip_skip = 2 }}

[[ink.files]]
role = "lora"
local_path = "{}"
weight = 0.5
"""


@pytest.fixture
def adapters(tmp_path: Path) -> Adapters:
    """A user's folder with LoRAs of theirs, and one in their models.toml."""
    (tmp_path / "loras" / "old").mkdir(parents=True)
    for path in ("ink-file.safetensors", "loras/Oil.safetensors", "loras/old/chalk.safetensors"):
        write_sparse(tmp_path / path, LORA())
    (tmp_path / "loras" / "notes.txt").write_text("mine")
    (tmp_path / "models.toml").write_text(OWN.format(tmp_path / "ink-file.safetensors"))
    settings = replace(
        load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")}),
        cache_folder=tmp_path / "cache",
        hub_cache=tmp_path / "hub",
    )
    return Adapters(Catalog(settings), settings)


def joined(
    adapters: Adapters, *loras: tuple[str, float], model: str = "sd15-q8_0", **more: object
) -> Adapted:
    """A model with these LoRAs."""
    request = ImageRequest(**{"prompt": "a cat", "loras": loras, **more})  # type: ignore[arg-type]
    return adapters.join(adapters._catalog.find(model), request)


def weights(adapted: Adapted) -> dict[str, float]:
    """Names of LoRA files and how strongly they are applied."""
    return {f.name: f.weight for f in adapted.model.files if f.role is FileRole.LORA}


def test_nothing_is_added_without_a_lora(adapters: Adapters) -> None:
    adapted = joined(adapters)
    assert adapted.model == adapters._catalog.find("sd15-q8_0")
    assert adapted.notes == ()


def test_loras_from_everywhere_with_their_weights(adapters: Adapters, tmp_path: Path) -> None:
    other = write_sparse(tmp_path / "other.safetensors", LORA())
    on_hub = "owner/name/some/pencil.safetensors"
    adapted = joined(
        adapters, ("INK", 0.8), ("Oil", 1), ("chalk", -2), (str(other), 0.3), (on_hub, 1)
    )
    assert weights(adapted) == {
        "ink-file.safetensors": 0.4,
        "Oil.safetensors": 1,
        "chalk.safetensors": -2,
        "other.safetensors": 0.3,
        "pencil.safetensors": 1,
    }
    assert adapted.request.loras == (
        *(("ink", 0.8), ("Oil", 1), ("chalk", -2), (str(other), 0.3), (on_hub, 1)),
    )
    assert adapted.additions[-1].files[0].repository == "owner/name"
    assert adapted.model.name == "sd15-q8_0"
    assert "ink: private" in adapted.model.license


def test_tags_in_the_prompt_come_after_the_others(adapters: Adapters) -> None:
    adapted = joined(adapters, ("Oil", 1), prompt="a <lora:ink:0.5> cat <lora:Oil:0.2>")
    assert adapted.request.prompt == "a cat"
    assert adapted.request.loras == (("Oil", 0.2), ("ink", 0.5))
    with pytest.raises(InvalidRequestError, match="weight of LoRA ink is 99"):
        joined(adapters, prompt="a <lora:ink:99>")
    with pytest.raises(InvalidRequestError, match="negative prompt names a LoRA"):
        joined(adapters, negative_prompt="<lora:ink:1>")


def test_a_path_is_made_absolute(
    adapters: Adapters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    adapted = joined(adapters, ("ink-file.safetensors", 1))
    assert adapted.request.loras == ((str(tmp_path / "ink-file.safetensors"), 1),)


def test_the_last_weight_counts_and_zero_leaves_it_out(adapters: Adapters) -> None:
    adapted = joined(adapters, ("Oil", 1), ("chalk", 1), ("Oil", 0.2), ("chalk", 0))
    assert weights(adapted) == {"Oil.safetensors": 0.2}
    assert adapted.request.loras == (("Oil", 0.2), ("chalk", 0))


def test_a_lora_may_want_steps_of_its_own(adapters: Adapters) -> None:
    adapted = joined(adapters, ("ink", 1))
    assert (adapted.model.defaults.steps, adapted.model.defaults.clip_skip) == (6, 2)
    assert adapted.model.defaults.cfg_scale == 7
    assert adapted.notes == ("ink wants 6 steps.",)
    assert joined(adapters, ("ink", 1), steps=9).notes == ()


def test_lcm_is_the_lora_of_the_family(adapters: Adapters) -> None:
    adapted = joined(adapters, ("lcm", 1))
    assert adapted.request.loras == (("lcm-lora-sdv1-5", 1),)
    defaults = adapted.model.defaults
    assert (defaults.steps, defaults.cfg_scale, defaults.sampler) == (4, 1, "lcm")
    assert adapted.notes == ("lcm-lora-sdv1-5 wants 4 steps, cfg 1, sampler lcm, scheduler lcm.",)
    assert joined(adapters, ("lcm", 1), model="sdxl-base").request.loras == (("lcm-lora-sdxl", 1),)


def test_lcm_is_not_added_to_a_model_of_few_steps(adapters: Adapters) -> None:
    adapted = joined(adapters, ("lcm", 1), model="lcm-dreamshaper-v7")
    assert (weights(adapted), adapted.request.loras) == ({}, ())
    assert adapted.notes == ("lcm-dreamshaper-v7 draws in 4 steps without an LCM-LoRA.",)


def test_a_lora_that_the_model_has_is_not_applied_twice(adapters: Adapters) -> None:
    adapted = joined(adapters, ("lcm-lora-sdv1-5", 0.5), model="sd15-q8_0-lcm")
    assert list(weights(adapted).values()) == [1]
    assert "not applied twice" in adapted.notes[0]


@pytest.mark.parametrize(
    ("name", "error", "words", "hint"),
    [
        ("inc", UnknownModelError, "no LoRA named 'inc'", "Did you mean ink?"),
        ("sd-turbo", InvalidRequestError, "sd-turbo is not a LoRA", "-m sd-turbo"),
        ("no/such/file.gguf/at.all", ModelFileError, "leads outside", ""),
        ("./style.safetensors", ModelFileError, "no file './style.safetensors'", "path"),
        ("owner/name/style.pt", ModelFileError, "pickled", "safetensors"),
        ("owner/name", UnknownModelError, "name a file in it", "owner/name/"),
        ("", UnknownModelError, "no LoRA named ''", "lists"),
        ("a\0b", SdcpuError, "NUL", ""),
    ],
)
def test_names_that_nothing_answers_to(
    adapters: Adapters, name: str, error: type[SdcpuError], words: str, hint: str
) -> None:
    if words == "leads outside":
        name = "owner/name/../style.gguf"
    with pytest.raises(error) as caught:
        joined(adapters, (name, 1))
    assert words in caught.value.message
    assert hint in caught.value.hint


def test_two_files_of_one_name_must_be_told_apart(adapters: Adapters, tmp_path: Path) -> None:
    write_sparse(tmp_path / "loras" / "chalk.safetensors", LORA())
    with pytest.raises(InvalidRequestError, match=r"chalk may be .* or "):
        joined(adapters, ("chalk", 1))


def test_no_lcm_lora_for_a_family() -> None:
    settings = load_settings({"SDCPU_CONFIG": "/nowhere/config.toml"})
    adapters = Adapters(Catalog(settings), settings)
    with pytest.raises(InvalidRequestError, match=r"No LCM-LoRA is known for Stable Diffusion 2"):
        adapters.find_lora("lcm", "sd2")


def test_the_list_has_known_ones_and_the_users(adapters: Adapters) -> None:
    names = [lora.name for lora in adapters.known_loras()]
    assert {"lcm-lora-sdv1-5", "lcm-lora-sdxl"} <= set(names[:-3])
    assert names[-3:] == ["ink", "Oil", "chalk"]


def test_what_a_lora_of_the_users_is_for(
    adapters: Adapters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loras" / "bad.gguf").touch()
    model = write_sparse(tmp_path / "model.gguf", CHECKPOINTS["taesd"].shapes())
    write_sparse(tmp_path / "demo", CHECKPOINTS["lora"].shapes())
    said = {name: adapters.described(name) for name in ("Oil", "ink-file.safetensors", "bad")}
    assert [lora.summary if lora else "" for lora in said.values()] == [
        "A LoRA for Stable Diffusion 1.x",
        "A LoRA for Stable Diffusion 1.x",
        f"{tmp_path}/loras/bad.gguf is empty.",
    ]
    assert [adapters.described(name) for name in (str(model), "demo", "nothing")] == [None] * 3


def test_a_lora_is_checked_when_the_model_is_here(adapters: Adapters, tmp_path: Path) -> None:
    model = str(write_sparse(tmp_path / "sdxl.safetensors", CHECKPOINTS["sdxl"].shapes()))
    with pytest.raises(ModelFileError, match="was made for Stable Diffusion 1"):
        joined(adapters, ("Oil", 1), model=model)


CONTROL_NET = CHECKPOINTS["controlnet"].shapes


def test_a_control_net_takes_the_place_of_the_models_own(
    adapters: Adapters, tmp_path: Path
) -> None:
    file = write_sparse(tmp_path / "edges.safetensors", CONTROL_NET())
    for name, path in (
        ("controlnet-canny", "control_v11p_sd15_canny_fp16.safetensors"),
        (str(file), "edges.safetensors"),
        ("owner/name/some/depth.safetensors", "some/depth.safetensors"),
    ):
        adapted = joined(adapters, control_net=name, control_image="a.png")
        (found,) = (f for f in adapted.model.files if f.role is FileRole.CONTROL_NET)
        assert found.path == path
        assert [addition.files[0] for addition in adapted.additions] == [found]
    own = replace(adapters._catalog.find("sd15-q8_0"), files=adapted.model.files)
    request = ImageRequest(prompt="", control_net=str(file), control_image="a.png")
    (found,) = (f for f in adapters.join(own, request).model.files if f.role == "control_net")
    assert found.path == "edges.safetensors"


@pytest.mark.parametrize(
    ("name", "model", "error", "words"),
    [
        ("no-such-net", "sd15-q8_0", UnknownModelError, "no ControlNet 'no-such-net'"),
        ("~nobody-here", "sd15-q8_0", UnknownModelError, "no ControlNet '~nobody-here'"),
        ("n" * 5000, "sd15-q8_0", UnknownModelError, "no ControlNet 'nnn"),
        ("sd-turbo", "sd15-q8_0", InvalidRequestError, "sd-turbo is not a ControlNet"),
        ("edges.safetensors", "sd-turbo", ModelFileError, "was made for Stable Diffusion 1"),
        ("edges.safetensors", "flux1-schnell", ModelFileError, "FLUX"),
        ("ink-file.safetensors", "sd15-q8_0", ModelFileError, "is not a ControlNet but a LoRA"),
    ],
)
def test_a_control_net_that_does_not_fit(
    adapters: Adapters,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    model: str,
    error: type[SdcpuError],
    words: str,
) -> None:
    write_sparse(tmp_path / "edges.safetensors", CONTROL_NET())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        joined(adapters, model=model, control_net=name, control_image="a.png")

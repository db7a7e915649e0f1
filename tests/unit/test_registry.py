"""models.toml: ours is sound, the user's is merged over it, and every mistake is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sdcpu import models_file
from sdcpu.demo.files import DEMO_FILES
from sdcpu.errors import RegistryError, UnknownModelError
from sdcpu.families import FAMILIES, FileRole
from sdcpu.identification import missing_parts
from sdcpu.models import Model, ModelFile
from sdcpu.registry import Registry, load_registry
from tests.bad_registries import BAD_REGISTRIES, GOOD_REGISTRY

REGISTRY = load_registry(None)
MODELS = list(REGISTRY.models.values())


def loaded(folder: Path, text: str) -> Registry:
    file = folder / "models.toml"
    file.write_text(text, encoding="utf-8")
    return load_registry(file)


@pytest.mark.parametrize(
    "names",
    [
        ("demo", "lcm-dreamshaper-v7", "lcm-dreamshaper-v7-q4_0"),
        ("sd15-q4_0", "sd15-q8_0", "sd15-q4_0-lcm", "sd15-q8_0-lcm", "lcm-lora-sdv1-5"),
        ("sdxs-512", "sdxs-09", "sd-turbo", "sd35-medium"),
        ("sdxl-base", "sdxl-turbo", "sdxl-lightning", "ssd-1b", "segmind-vega"),
        ("flux1-schnell", "flux1-dev", "flux1-kontext-dev", "flux1-fill-dev", "chroma1-hd"),
        ("flux2-klein-4b", "flux2-klein-base-4b", "flux2-klein-9b", "z-image-turbo", "z-image"),
        ("qwen-image", "qwen-image-edit", "qwen-image-edit-2509"),
        ("wan21-t2v-1_3b", "wan21-i2v-14b", "wan22-ti2v-5b", "wan22-t2v-a14b", "wan22-i2v-a14b"),
        ("taesd", "taesdxl", "taesd3", "taef1", "taef2", "taew2_1", "taew2_2"),
        ("realesrgan-x4plus", "realesrgan-x4plus-anime", "controlnet-canny"),
    ],
)
def test_what_people_ask_for_is_known(names: tuple[str, ...]) -> None:
    assert set(names) <= REGISTRY.models.keys()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_each_of_our_models_is_complete(model: Model) -> None:
    assert model.source == "sdcpu"
    assert model.summary[0].isupper()
    assert not model.summary.endswith(".")
    assert "\n" not in model.summary
    assert len(model.summary) < 100
    assert not model.gated, "an open mirror is chosen where there is one"
    for file in model.files:
        assert file.size
        assert file.license
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.sha256 or file.repository or file.built_in or "madebyollin" in str(file.url)
        if file.name.endswith((".pth", ".pt", ".ckpt", ".bin")):
            assert file.sha256, "a pickle must be pinned"


@pytest.mark.parametrize(
    "model", [m for m in MODELS if m.kind in ("image", "video")], ids=lambda model: model.name
)
def test_each_of_our_models_has_all_its_parts(model: Model) -> None:
    roles = {file.role for file in model.files}
    family = FAMILIES[model.family]
    in_file = {FileRole.CLIP_L, FileRole.CLIP_G, FileRole.VAE, FileRole.TINY_DECODER}
    if model.family == "sd3":
        in_file = {FileRole.VAE}
    if FileRole.MODEL in roles:
        needed = set(family.parts) - in_file
    else:
        needed = {FileRole.DIFFUSION_MODEL, *family.parts}
    assert needed <= roles, missing_parts(sorted(needed - roles))
    if family.tiny_decoder:
        assert FileRole.TINY_DECODER in roles
    assert model.defaults.width % family.size_multiple == 0 or model.built_in
    assert model.defaults.height % family.size_multiple == 0 or model.built_in


def test_every_family_that_is_no_variation_has_a_model() -> None:
    without = {"flux2"}  # its language model has 24 thousand million values
    assert {m.family for m in MODELS if m.kind in ("image", "video")} == FAMILIES.keys() - without


def test_the_same_file_is_described_the_same_everywhere() -> None:
    seen: dict[tuple[str | None, ...], ModelFile] = {}
    for model in MODELS:
        for file in model.files:
            place = (file.repository, file.url, file.path, file.quantize, file.revision)
            assert seen.setdefault(place, file) == file
    assert len(seen) > 30


def test_tiny_decoders_of_the_families_are_entries() -> None:
    for family in FAMILIES.values():
        if family.tiny_decoder:
            (file,) = REGISTRY.find(family.tiny_decoder).files
            assert file.role is FileRole.TINY_DECODER


def test_the_first_recommendation_is_for_small_machines() -> None:
    ranked = sorted(
        (m for m in MODELS if m.recommended_rank), key=lambda m: m.recommended_rank or 0
    )
    assert ranked[0].name == "lcm-dreamshaper-v7"
    assert ranked[0].download_size < 2.1e9
    assert len({model.recommended_rank for model in ranked}) == len(ranked)


@pytest.mark.parametrize(
    "name", ["demo", "demo-q4_0", "demo-base", "demo-base-q4_0", "demo-outline"]
)
def test_the_demo_is_the_one_that_is_made(name: str) -> None:
    demo = REGISTRY.find(name)
    assert demo.built_in
    assert demo.download_size == 0
    assert {(f.role, f.name, f.size) for f in demo.files} == {
        (f.role, f.name, f.size) for f in DEMO_FILES if name in f.models
    }


def test_the_demo_needs_four_steps_and_what_it_was_distilled_from_twenty() -> None:
    demo, base = REGISTRY.find("demo"), REGISTRY.find("demo-base")
    assert (base.defaults.width, base.defaults.steps, base.defaults.cfg_scale) == (256, 20, 4.0)
    assert (demo.defaults.width, demo.defaults.height) == (256, 256)
    assert (demo.defaults.steps, demo.defaults.cfg_scale, demo.defaults.sampler) == (4, 1.0, "lcm")


@pytest.mark.parametrize("name", ["demo", "demo-base"])
def test_four_bits_change_nothing_but_the_file(name: str) -> None:
    whole, coarse = REGISTRY.find(name), REGISTRY.find(f"{name}-q4_0")
    assert (coarse.family, coarse.defaults, coarse.draft, coarse.best) == (
        whole.family,
        whole.defaults,
        whole.draft,
        whole.best,
    )
    assert (coarse.files[0].size or 0) < (whole.files[0].size or 0)


def test_quantising_here_is_part_of_the_file() -> None:
    assert REGISTRY.find("lcm-dreamshaper-v7").files[0].quantize == "q8_0"
    assert REGISTRY.find("lcm-dreamshaper-v7-q4_0").files[0].quantize == "q4_0"


def test_parts_that_are_used_keep_their_own_licence() -> None:
    by_role = {file.role: file for file in REGISTRY.find("flux1-dev").files}
    assert by_role[FileRole.DIFFUSION_MODEL].license == "FLUX.1 dev Non-Commercial"
    assert by_role[FileRole.CLIP_L].license == "MIT"
    assert by_role[FileRole.TINY_DECODER] == REGISTRY.find("taef1").files[0]


def test_only_pinned_upscalers_may_be_pickles() -> None:
    pinned = REGISTRY.pickle_sha256s()
    for name in ("realesrgan-x4plus", "realesrgan-x4plus-anime"):
        assert REGISTRY.find(name).files[0].sha256 in pinned
    assert None not in pinned


@pytest.mark.parametrize("name", ["sd-turbo", "SD-Turbo", "SD-TURBO"])
def test_capitals_do_not_matter(name: str) -> None:
    assert REGISTRY.find(name).name == "sd-turbo"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sd-turbi", "sd-turbo"),
        ("lcm-dreamshaper", "lcm-dreamshaper-v7"),
        ("flux", "flux1-schnell"),
        ("zimage-turbo", "z-image-turbo"),
        ("sd15", "sd15-q8_0"),
    ],
)
def test_close_matches_are_named(name: str, meant: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        REGISTRY.find(name)
    assert repr(name) in caught.value.message
    assert meant in caught.value.hint


@pytest.mark.parametrize("name", ["", "xqzw", "\0", "m" * 10_000])
def test_nonsense_is_unknown_without_guesses(name: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        REGISTRY.find(name)
    assert "Did you mean" not in caught.value.hint
    assert len(caught.value.message) < 200


def test_a_missing_file_of_the_user_is_no_error(tmp_path: Path) -> None:
    assert load_registry(tmp_path / "models.toml").models == REGISTRY.models


def test_a_new_name_adds_a_model(tmp_path: Path) -> None:
    model = loaded(tmp_path, GOOD_REGISTRY).find("m")
    assert model.source == "user"
    assert model.kind == "image"
    assert model.defaults.width == 512
    (file,) = model.files
    assert (file.repository, file.path, file.sha256, file.revision) == (
        "a/b",
        "c.gguf",
        None,
        "main",
    )
    assert file.license == "MIT"


def test_a_known_name_changes_only_the_keys_it_gives(tmp_path: Path) -> None:
    ours = REGISTRY.find("sd-turbo")
    registry = loaded(tmp_path, "[sd-turbo]\ndefaults = { steps = 1 }\nbest = { cfg_scale = 2 }\n")
    theirs = registry.find("sd-turbo")
    assert theirs.source == "user"
    assert theirs.files == ours.files
    assert theirs.summary == ours.summary
    assert theirs.defaults.steps == 1
    assert theirs.defaults.scheduler == ours.defaults.scheduler
    assert theirs.best == {**ours.best, "cfg_scale": 2}
    assert theirs.draft == ours.draft
    assert registry.find("demo") == REGISTRY.find("demo")


def test_lists_are_replaced(tmp_path: Path) -> None:
    registry = loaded(tmp_path, '[sd-turbo]\nuses = []\n[taesd]\nlicense = "mine"\n')
    assert [file.role for file in registry.find("sd-turbo").files] == [FileRole.MODEL]
    used = registry.find("sd15-q8_0").files[1]
    assert (used.path, used.license) == ("diffusion_pytorch_model.safetensors", "mine")


def test_a_user_may_name_files_on_this_disk(tmp_path: Path) -> None:
    entry = '[m]\nsummary = "s"\nfamily = "sd1"\nlicense = "MIT"\n'
    files = 'files = [{ role = "model", local_path = "a/b.gguf" }]\n'
    (file,) = loaded(tmp_path, entry + files).find("m").files
    assert file.local_path == tmp_path / "a" / "b.gguf"
    assert file.path == "b.gguf"
    assert loaded(tmp_path, entry + files).find("m").download_size == 0


def test_a_gated_file_gates_the_model_and_those_that_use_it(tmp_path: Path) -> None:
    user = '[n]\nsummary = "s"\nfamily = "sd1"\nlicense = "MIT"\nuses = ["m"]\n'
    registry = loaded(tmp_path, user + GOOD_REGISTRY + "gated = true\n")
    assert registry.find("m").gated
    assert registry.find("n").gated
    assert not registry.find("sd-turbo").gated


def test_several_loras_are_allowed(tmp_path: Path) -> None:
    lora = '[[m.files]]\nrole = "lora"\nurl = "https://a.b/{}"\nsha256 = "unknown"\nweight = 0.5\n'
    model = loaded(tmp_path, GOOD_REGISTRY + lora.format("x") + lora.format("y")).find("m")
    assert [(file.name, file.weight) for file in model.files[1:]] == [("x", 0.5), ("y", 0.5)]


@pytest.mark.parametrize(
    ("text", "words"),
    [case[1:] for case in BAD_REGISTRIES],
    ids=[case[0] for case in BAD_REGISTRIES],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(RegistryError) as caught:
        loaded(tmp_path, text)
    for word in (str(tmp_path / "models.toml"), *words):
        assert word in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 1000


def test_a_folder_in_its_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read: Is a directory"):
        load_registry(tmp_path)


def test_a_mistake_in_an_override_is_named_as_the_users(tmp_path: Path) -> None:
    with pytest.raises(RegistryError) as caught:
        loaded(tmp_path, '[sd-turbo]\nfamily = "sd9"\n')
    assert f"{tmp_path / 'models.toml'}, entry sd-turbo, key family" in caught.value.message
    assert caught.value.details["key"] == "family"


@pytest.fixture
def package_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where the package pretends to be installed."""
    folder = tmp_path / "sdcpu"
    folder.mkdir()
    monkeypatch.setattr(models_file, "__file__", str(folder / "models_file.py"))
    return folder


@pytest.mark.parametrize("place", ["models.toml", "../models.toml"])
def test_our_file_is_found_in_the_package_and_beside_it(package_folder: Path, place: str) -> None:
    (package_folder / place).write_text(GOOD_REGISTRY)
    assert models_file.shipped_models_file().samefile(package_folder / place)
    assert load_registry(None).find("m").source == "sdcpu"


def test_the_packages_own_file_is_preferred(package_folder: Path) -> None:
    (package_folder / "models.toml").write_text(GOOD_REGISTRY)
    (package_folder / "../models.toml").write_text("")
    assert load_registry(None).models.keys() == {"m"}


def test_without_our_file_sdcpu_must_be_installed_again(package_folder: Path) -> None:
    with pytest.raises(RegistryError, match="missing from sdcpu"):
        load_registry(None)
    assert not list(package_folder.iterdir())

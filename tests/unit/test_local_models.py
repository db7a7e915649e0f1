"""What `-m` may be: a known name, a file or folder on this disk, a file on the hub."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sdcpu.errors import ModelFileError, UnknownModelError
from sdcpu.families import FileRole
from sdcpu.local_models import complete_model, resolve_model
from sdcpu.models import ModelFile
from sdcpu.registry import Registry, load_registry
from tests.checkpoints import CHECKPOINTS
from tests.sparse_files import Shapes, write_sparse

REGISTRY = load_registry(None)
UNET = "model.diffusion_model."
SD1 = [
    (f"{UNET}input_blocks.0.0.weight", (320, 4, 3, 3)),
    (f"{UNET}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", (640, 768)),
    (f"{UNET}middle_block.1.norm.weight", (1280,)),
    ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", (49408, 768)),
    ("first_stage_model.decoder.conv_in.weight", (512, 4, 3, 3)),
]


def written(folder: Path, name: str, shapes: Shapes) -> str:
    return str(write_sparse(folder / name, shapes))


@pytest.mark.parametrize("text", ["sd-turbo", "SD-Turbo", "taesd"])
def test_known_names(text: str) -> None:
    assert resolve_model(text, REGISTRY) == REGISTRY.find(text)


def test_a_known_name_wins_over_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "sd-turbo", SD1)
    monkeypatch.chdir(tmp_path)
    assert resolve_model("sd-turbo", REGISTRY).source == "sdcpu"
    assert resolve_model("./sd-turbo", REGISTRY).source == "file"


@pytest.mark.parametrize("name", ["model.gguf", "model.safetensors", "no-ending", "wrong.ckpt"])
def test_a_whole_checkpoint(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, CHECKPOINTS["sd15"].shapes())
    model = resolve_model(path, REGISTRY)
    assert (model.name, model.family, model.kind, model.source) == (path, "sd1", "image", "file")
    assert model.summary == "Stable Diffusion 1.x, f16"
    assert (model.defaults.steps, model.defaults.cfg_scale, model.defaults.width) == (20, 7.0, 512)
    (file,) = model.files
    assert (file.role, file.local_path, file.name) == (FileRole.MODEL, Path(path), name)
    assert file.size == Path(path).stat().st_size
    assert model.download_size == 0


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "model.gguf", SD1)
    monkeypatch.chdir(tmp_path)
    assert resolve_model("model.gguf", REGISTRY).files[0].local_path == tmp_path / "model.gguf"


def test_a_path_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "model.gguf", SD1)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_model("~/model.gguf", REGISTRY).family == "sd1"


@pytest.mark.parametrize(
    ("name", "shapes", "steps", "cfg", "sampler", "note"),
    [
        ("dreamshaper-8LCM.gguf", [], 4, 1.0, "lcm", '"lcm"'),
        ("any-Turbo.gguf", [], 4, 1.0, "euler_a", '"turbo"'),
        ("x-lightning.gguf", [], 4, 1.0, "euler_a", '"lightning"'),
        (
            "plain.gguf",
            [(f"{UNET}time_embedding.cond_proj.weight", (320, 256))],
            4,
            1.0,
            "lcm",
            "lat",
        ),
        ("plain.gguf", [], 20, 7.0, "euler_a", ""),
    ],
)
def test_models_of_few_steps_are_told_by_a_tensor_or_the_name(
    tmp_path: Path, name: str, shapes: Shapes, steps: int, cfg: float, sampler: str, note: str
) -> None:
    model = resolve_model(written(tmp_path, name, [*SD1, *shapes]), REGISTRY)
    defaults = model.defaults
    assert (defaults.steps, defaults.cfg_scale, defaults.sampler) == (steps, cfg, sampler)
    assert note in model.notes


def test_a_diffusion_model_borrows_the_parts_it_lacks(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.gguf", CHECKPOINTS["flux-short"].shapes())
    model = resolve_model(path, REGISTRY)
    assert [file.role for file in model.files] == [
        *(FileRole.DIFFUSION_MODEL, FileRole.CLIP_L, FileRole.T5XXL, FileRole.VAE)
    ]
    known = {file.role: file for file in REGISTRY.find("flux1-schnell").files}
    assert all(file == known[file.role] for file in model.files[1:])
    assert "CLIP-L is taken from flux1-schnell" in model.notes
    assert model.download_size == sum(file.size or 0 for file in model.files[1:])
    assert model.defaults.steps == 4
    dev = written(tmp_path, "dev.gguf", CHECKPOINTS["flux-dev"].shapes())
    assert resolve_model(dev, REGISTRY).defaults.steps == 20


def test_without_a_known_lender_the_missing_parts_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.gguf", CHECKPOINTS["flux-short"].shapes())
    with pytest.raises(ModelFileError) as caught:
        resolve_model(path, Registry(models={}))
    assert "lacks CLIP-L, T5-XXL and VAE" in caught.value.message
    assert caught.value.details["missing"] == "clip_l, t5xxl, vae"
    assert "models.toml" in caught.value.hint
    assert "docs/flux.md" in caught.value.hint


def test_one_half_of_a_model_of_two_is_not_completed_with_any_other(tmp_path: Path) -> None:
    shapes = [
        ("blocks.0.cross_attn.norm_k.weight", (5120,)),
        ("patch_embedding.weight", (5120, 36, 1, 2, 2)),
    ]
    with pytest.raises(ModelFileError) as caught:
        resolve_model(written(tmp_path, "half.gguf", shapes), REGISTRY)
    assert "Wan 2.2 I2V A14B" in caught.value.message
    assert "lacks high-noise diffusion model." in caught.value.message
    assert "docs/wan.md" in caught.value.hint


@pytest.mark.parametrize(
    ("width", "role", "lender"),
    [(768, FileRole.TINY_DECODER, "taesd"), (2048, FileRole.VAE, "sdxl-vae-fp16-fix")],
)
def test_a_missing_vae_is_borrowed_or_a_tiny_decoder_serves(
    tmp_path: Path, width: int, role: FileRole, lender: str
) -> None:
    shapes = [(name, (640, width) if "attn2" in name else shape) for name, shape in SD1[:-1]]
    shapes.append(("conditioner.embedders.1.model.x", (1,)))
    model = resolve_model(written(tmp_path, "mine.gguf", shapes), REGISTRY)
    assert model.files[1:] == REGISTRY.find(lender).files
    assert model.files[1].role is role


def test_the_widened_demo_file_borrows_a_tiny_decoder(tmp_path: Path) -> None:
    shapes = [*SD1[:2], SD1[3], (f"{UNET}output_blocks.7.1.norm.weight", (320,))]
    model = resolve_model(written(tmp_path, "demo.gguf", shapes), REGISTRY)
    assert model.family == "sd1_tiny"
    assert model.files[1:] == REGISTRY.find("taesd").files


def test_a_unet_alone_is_refused_because_the_engine_cannot_take_it(tmp_path: Path) -> None:
    shapes = [(name.removeprefix(UNET), shape) for name, shape in SD1[:3]]
    with pytest.raises(ModelFileError) as caught:
        resolve_model(written(tmp_path, "unet.safetensors", shapes), REGISTRY)
    assert "holds only the UNet of Stable Diffusion 1.x" in caught.value.message
    assert "CLIP-L and VAE" in caught.value.message


@pytest.mark.parametrize("here", [True, False])
def test_a_tiny_decoder_that_is_here_is_added(tmp_path: Path, here: bool) -> None:
    asked: list[ModelFile] = []

    def is_here(file: ModelFile) -> bool:
        asked.append(file)
        return here

    model = resolve_model(written(tmp_path, "mine.gguf", SD1), REGISTRY, is_here)
    taesd = REGISTRY.find("taesd").files
    assert asked == list(taesd)
    assert model.files[1:] == (taesd if here else ())


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("lora", "is a LoRA", "--lora"),
        ("controlnet", "is a ControlNet", "--control"),
        ("vae", "is a VAE for latents of 4 channels", "whole checkpoint"),
        ("taesd", "is a tiny decoder", "whole checkpoint"),
        ("clip-l", "is a text encoder CLIP-L", "whole checkpoint"),
    ],
)
def test_files_that_do_not_draw_by_themselves(
    tmp_path: Path, name: str, words: str, hint: str
) -> None:
    path = written(tmp_path, "x.gguf", CHECKPOINTS[name].shapes())
    with pytest.raises(ModelFileError) as caught:
        resolve_model(path, REGISTRY)
    assert words in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("sd-turbi", UnknownModelError, "no model named"),
        ("", UnknownModelError, "no model named"),
        ("nul\0byte", UnknownModelError, "no model named"),
        ("missing.gguf", ModelFileError, "missing.gguf does not exist"),
        ("missing.ckpt", ModelFileError, "does not exist"),
        ("./owner/name", ModelFileError, "does not exist"),
        ("/no/such/file.gguf", ModelFileError, "does not exist"),
        ("~/no/such/file.gguf", ModelFileError, "does not exist"),
        ("~nobody-here/file.gguf", ModelFileError, "does not exist"),
        ("..\\model.gguf", ModelFileError, "does not exist"),
        ("owner/name", UnknownModelError, "name a file in it"),
        ("owner/name/model.ckpt", ModelFileError, "pickled checkpoint"),
        ("owner/name/model.BIN", ModelFileError, "pickled checkpoint"),
        ("owner/name/../../x.gguf", ModelFileError, "leads outside"),
    ],
)
def test_nothing_answers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    error: type[Exception],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        resolve_model(text, REGISTRY)
    assert words in str(caught.value)
    assert getattr(caught.value, "hint", "")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(3))
    with pytest.raises(ModelFileError, match="is damaged"):
        resolve_model(str(path), REGISTRY)


def test_a_diffusers_folder(tmp_path: Path) -> None:
    unet = [
        ("conv_in.weight", (320, 4, 3, 3)),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", (320, 768)),
        ("mid_block.resnets.1.norm1.weight", (1280,)),
    ]
    folder = tmp_path / "tiny-sd-turbo"
    written(folder, "unet/diffusion_pytorch_model.safetensors", unet)
    written(folder, "vae/diffusion_pytorch_model.safetensors", [("decoder.conv_in.weight", (9, 4))])
    written(folder, "text_encoder/model.safetensors", [("text_model.x", (2,))])
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    model = resolve_model(str(folder), REGISTRY)
    (file,) = model.files
    assert (model.family, file.role, file.local_path) == ("sd1", FileRole.MODEL, folder)
    assert file.size == 2 * (320 * 36 + 320 * 768 + 1280 + 36 + 2)
    assert model.defaults.steps == 4


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ('{"_class_name": "FluxPipeline"}', "holds a 'FluxPipeline'"),
        ("{", "is a folder"),
        ("[]", "is a folder"),
        (None, "is a folder"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, index: str | None, words: str) -> None:
    if index:
        (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(ModelFileError) as caught:
        resolve_model(str(tmp_path), REGISTRY)
    assert words in caught.value.message


def test_a_folder_in_pieces_is_refused(tmp_path: Path) -> None:
    unet = tmp_path / "unet"
    written(unet, "diffusion_pytorch_model-1.safetensors", [("a", (2,))])
    index = {"weight_map": {"a": "diffusion_pytorch_model-1.safetensors"}}
    (unet / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFileError, match="cut into several files"):
        resolve_model(str(tmp_path), REGISTRY)


def test_a_file_on_the_hub_is_identified_when_it_is_here(tmp_path: Path) -> None:
    text = "someone/some-model/sub/folder/flux-q4.gguf"
    model = resolve_model(text, REGISTRY)
    assert (model.name, model.family, model.source, model.license) == (text, "", "hub", "unknown")
    (file,) = model.files
    assert (file.repository, file.path) == ("someone/some-model", "sub/folder/flux-q4.gguf")
    assert (file.size, file.sha256, file.local_path) == (None, None, None)
    assert "https://huggingface.co/someone/some-model" in model.notes

    path = write_sparse(tmp_path / "blob", CHECKPOINTS["flux-short"].shapes())
    whole = complete_model(model, path, REGISTRY)
    assert (whole.name, whole.family, whole.source) == (text, "flux", "hub")
    assert whole.files[0] == replace(file, role=FileRole.DIFFUSION_MODEL)
    assert len(whole.files) == 4


def test_a_file_on_the_hub_that_is_known_keeps_its_pin() -> None:
    known = REGISTRY.find("lcm-dreamshaper-v7").files[0]
    model = resolve_model(f"{known.repository}/{known.path}", REGISTRY)
    assert model.files == (replace(known, quantize=None),)
    assert model.license == "MIT"


def test_a_file_on_the_hub_may_turn_out_to_be_no_model(tmp_path: Path) -> None:
    model = resolve_model("a/b/c.safetensors", REGISTRY)
    path = write_sparse(tmp_path / "blob", CHECKPOINTS["vae"].shapes())
    with pytest.raises(ModelFileError, match="does not draw by itself"):
        complete_model(model, path, REGISTRY)


def test_a_local_folder_of_the_owners_name_means_a_local_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError, match="does not exist"):
        resolve_model("models/sd/x.gguf", REGISTRY)

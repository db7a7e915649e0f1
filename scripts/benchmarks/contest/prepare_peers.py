"""Write the engine's checkpoint in the peers' formats: `prepare_peers.py GGUF TAESD FOLDER`.

The numbers are the f16 numbers of the GGUF file; diffusers' own converters give them its names.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from transformers import CLIPTextConfig, CLIPTextModel

Tensors = Mapping[str, torch.Tensor]


def main() -> None:
    """Write what diffusers loads, then what OpenVINO loads."""
    checkpoint, tiny_decoder, folder = map(Path, sys.argv[1:])
    with torch.inference_mode():
        for name, module in _modules(_read_gguf(checkpoint), tiny_decoder):
            module.half().save_pretrained(folder / name)
            _convert(module.float().eval(), folder / "openvino" / f"{name}.xml")


def _read_gguf(path: Path) -> dict[str, torch.Tensor]:
    from gguf import GGUFReader

    return {
        tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in GGUFReader(path).tensors
    }


def _modules(tensors: Tensors, tiny_decoder: Path) -> Any:
    """Each network of Stable Diffusion 1.5 with its weights, by the name of its folder."""
    from safetensors.torch import load_file

    unet = UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8, norm_num_groups=32
    )
    yield "unet", _filled(unet, convert_ldm_unet_checkpoint(dict(tensors), unet.config))
    text = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=768, intermediate_size=3072, num_attention_heads=12, hidden_act="quick_gelu"
        )
    )
    yield "text_encoder", _filled(text, convert_ldm_clip_checkpoint(dict(tensors)))
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
    )
    yield "vae", _filled(vae, convert_ldm_vae_checkpoint(dict(tensors), vae.config))
    yield "taesd", _filled(AutoencoderTiny(), load_file(tiny_decoder))


def _filled(module: Any, tensors: Tensors) -> Any:
    """The module with these weights, every one of them used and every parameter given."""
    wanted = module.state_dict()
    prefix = "text_model."  # transformers had it up to version 4
    if not any(name.startswith(prefix) for name in wanted):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    module.load_state_dict({name: tensors[name].reshape(wanted[name].shape) for name in wanted})
    unused = tensors.keys() - wanted.keys()
    if unused:
        sys.exit(f"{type(module).__name__} has no place for {', '.join(sorted(unused)[:5])}")
    return module


class _Decoder(torch.nn.Module):  # type: ignore[misc]  # unknown to mypy
    """The half of an autoencoder that makes pictures."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latent: torch.Tensor) -> Any:
        return self.autoencoder.decode(latent, return_dict=False)[0]


class _Plain(torch.nn.Module):  # type: ignore[misc]  # unknown to mypy
    """A network that returns its first result."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.network(*inputs, return_dict=False)[0]


def _convert(module: Any, file: Path) -> None:
    """Write OpenVINO's format, weights in f16, sizes left open."""
    import openvino

    latent, text = torch.zeros(1, 4, 32, 32), torch.zeros(1, 77, 768)
    network: torch.nn.Module
    examples: tuple[torch.Tensor, ...]
    match file.stem:
        case "unet":
            network, examples = _Plain(module), (latent, torch.tensor(999.0), text)
        case "text_encoder":
            network, examples = _Plain(module), (torch.zeros(1, 77, dtype=torch.int64),)
        case _:
            network, examples = _Decoder(module), (latent,)
    openvino.save_model(openvino.convert_model(network, example_input=examples), file)


if __name__ == "__main__":
    main()

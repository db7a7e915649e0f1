"""PyTorch as a contestant, with the networks of diffusers: one job in one process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from contest.job import Job, read_job
from contest.peer_picture import Array, run_job

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class TorchNetworks:
    """The networks as diffusers loads them, with channels last: convolutions like that best."""

    def __init__(self, job: Job) -> None:
        from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
        from transformers import CLIPTextModel

        self._type = TYPES[job.precision]
        folder = Path(job.folder)
        decoder = AutoencoderKL if job.kind == "full" else AutoencoderTiny
        name = "vae" if job.kind == "full" else "taesd"
        self._text = self._load(CLIPTextModel, folder / "text_encoder")
        self._unet = self._load(UNet2DConditionModel, folder / "unet")
        self._decoder = self._load(decoder, folder / name)

    def encode(self, tokens: npt.NDArray[np.int64]) -> Array:
        """See `Networks`."""
        return _array(self._text(torch.from_numpy(tokens))[0])

    def predict(self, latent: Array, time: float, context: Array) -> Array:
        """See `Networks`."""
        return _array(self._unet(self._tensor(latent), time, self._tensor(context)).sample)

    def decode(self, latent: Array) -> Array:
        """See `Networks`."""
        return _array(self._decoder.decode(self._tensor(latent)).sample)

    def _load(self, kind: Any, folder: Path) -> Any:
        module = kind.from_pretrained(folder, dtype=self._type).eval()
        return module.to(memory_format=torch.channels_last)

    def _tensor(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(array).to(self._type)


def _array(tensor: torch.Tensor) -> Array:
    array: Array = tensor.float().contiguous().numpy()
    return array


def main() -> None:
    """Do the job and tell the figures."""
    job = read_job()
    torch.set_num_threads(job.threads)
    capability = torch.backends.cpu.get_cpu_capability()
    if job.avx2 and capability != "AVX2":
        sys.exit(f"torch computes with {capability}, not with AVX2")
    with torch.inference_mode():
        run_job(job, TorchNetworks(job))


if __name__ == "__main__":
    main()

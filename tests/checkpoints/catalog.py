"""The checkpoints that can be made, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.checkpoints import stable_diffusion as sd
from tests.checkpoints import transformers as dit
from tests.checkpoints.writer import Shapes, under


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint: what it stands for and its tensors."""

    title: str
    shapes: Callable[[], Shapes]


def _text_encoder(width: int, layers: int, *, projection: bool = False) -> Shapes:
    return under("text_model.", sd.clip_text(width, layers, projection=projection))


CHECKPOINTS = {
    "sd15": Checkpoint("Stable Diffusion 1.5, whole", sd.sd15),
    "sd2": Checkpoint("Stable Diffusion 2 and SD-Turbo, whole", sd.sd2),
    "sdxl": Checkpoint("SDXL, whole", sd.sdxl),
    "sd35-medium": Checkpoint("Stable Diffusion 3.5 medium, diffusion model", dit.sd35_medium),
    "flux-schnell": Checkpoint("FLUX.1 schnell, diffusion model", dit.flux),
    "flux-dev": Checkpoint("FLUX.1 dev, diffusion model", partial(dit.flux, guidance=True)),
    "flux-short": Checkpoint("FLUX.1 schnell, one block of each kind", partial(dit.flux, 1, 1)),
    "clip-l": Checkpoint("CLIP-L text encoder", partial(_text_encoder, 768, 12)),
    "clip-g": Checkpoint(
        "OpenCLIP-bigG text encoder", partial(_text_encoder, 1280, 32, projection=True)
    ),
    "t5-xxl": Checkpoint("T5-XXL text encoder", dit.t5_xxl),
    "vae": Checkpoint("Autoencoder with 4 latent channels", sd.autoencoder),
    "vae16": Checkpoint(
        "Autoencoder of SD 3 and FLUX.1", partial(sd.autoencoder, 16, quant_conv=False)
    ),
    "taesd": Checkpoint("TAESD, 4 latent channels", sd.tiny_autoencoder),
    "taef1": Checkpoint("TAEF1 and TAESD3, 16 latent channels", partial(sd.tiny_autoencoder, 16)),
    "controlnet": Checkpoint("ControlNet for Stable Diffusion 1.5", sd.control_net),
    "lora": Checkpoint("LoRA of rank 16 for Stable Diffusion 1.5", sd.lora),
}

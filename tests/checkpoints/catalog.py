"""The checkpoints that can be made, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.checkpoints import language_models as lm
from tests.checkpoints import other_decoders
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
    "flux-three": Checkpoint("FLUX.1 schnell, 1 + 2 blocks of 19 + 38", partial(dit.flux, 1, 2)),
    "z-image": Checkpoint("Z-Image, diffusion model", dit.z_image),
    "qwen-image": Checkpoint("Qwen-Image, diffusion model", dit.qwen_image),
    "qwen-image-short": Checkpoint("Qwen-Image, 3 blocks of 60", partial(dit.qwen_image, 3)),
    "wan2.1": Checkpoint("Wan 2.1 T2V 1.3B, diffusion model", dit.wan),
    "clip-l": Checkpoint("CLIP-L text encoder", partial(_text_encoder, 768, 12)),
    "clip-g": Checkpoint(
        "OpenCLIP-bigG text encoder", partial(_text_encoder, 1280, 32, projection=True)
    ),
    "t5-xxl": Checkpoint("T5-XXL text encoder", lm.t5_xxl),
    "qwen3-4b": Checkpoint("Qwen3 4B, the text encoder of Z-Image", lm.qwen3_4b),
    "qwen3-4b-short": Checkpoint("Qwen3 4B, 4 layers of 36", partial(lm.qwen3_4b, 4)),
    "qwen2.5-vl-7b": Checkpoint("Qwen2.5-VL 7B, that of Qwen-Image", lm.qwen25_vl_7b),
    "qwen2.5-vl-7b-short": Checkpoint("Qwen2.5-VL 7B, 2 layers of 28", partial(lm.qwen25_vl_7b, 2)),
    "vae": Checkpoint("Autoencoder with 4 latent channels", sd.autoencoder),
    "vae16": Checkpoint(
        "Autoencoder of SD 3 and FLUX.1", partial(sd.autoencoder, 16, quant_conv=False)
    ),
    "vae-wan": Checkpoint("Autoencoder of Wan 2.1 and Qwen-Image", other_decoders.wan_autoencoder),
    "taesd": Checkpoint("TAESD, 4 latent channels", sd.tiny_autoencoder),
    "taef1": Checkpoint("TAEF1 and TAESD3, 16 latent channels", partial(sd.tiny_autoencoder, 16)),
    "esrgan": Checkpoint("Real-ESRGAN, 4 times larger", other_decoders.esrgan),
    "esrgan-anime": Checkpoint(
        "Real-ESRGAN for drawings, 6 blocks of 23", partial(other_decoders.esrgan, 6)
    ),
    "controlnet": Checkpoint("ControlNet for Stable Diffusion 1.5", sd.control_net),
    "lora": Checkpoint("LoRA of rank 16 for Stable Diffusion 1.5", sd.lora),
}

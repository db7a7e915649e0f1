"""The checkpoints that can be made, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.checkpoints import language_models as lm
from tests.checkpoints import other_decoders, small_unets, video
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
    "ssd-1b": Checkpoint("SSD-1B, whole", small_unets.ssd_1b),
    "vega": Checkpoint("Segmind Vega, whole", small_unets.vega),
    "sd1-tiny": Checkpoint("Stable Diffusion 1 with a tiny U-Net", small_unets.sd1_tiny),
    "sd2-tiny": Checkpoint("Stable Diffusion 2 with a tiny U-Net", small_unets.sd2_tiny),
    "sdxs-512": Checkpoint("SDXS-512-DreamShaper, whole", small_unets.sdxs_512),
    "sdxs-09": Checkpoint("SDXS-512-0.9, whole", small_unets.sdxs_09),
    "sd35-medium": Checkpoint("Stable Diffusion 3.5 medium, diffusion model", dit.sd35_medium),
    "flux-schnell": Checkpoint("FLUX.1 schnell, diffusion model", dit.flux),
    "flux-dev": Checkpoint("FLUX.1 dev, diffusion model", partial(dit.flux, guidance=True)),
    "flux-short": Checkpoint("FLUX.1 schnell, one block of each kind", partial(dit.flux, 1, 1)),
    "flux-three": Checkpoint("FLUX.1 schnell, 1 + 2 blocks of 19 + 38", partial(dit.flux, 1, 2)),
    "flux-fill-short": Checkpoint(
        "FLUX.1 Fill, one block of each kind", partial(dit.flux, 1, 1, guidance=True, inputs=384)
    ),
    "flux-dev-short": Checkpoint(
        "FLUX.1 dev and Kontext, one block of each kind", partial(dit.flux, 1, 1, guidance=True)
    ),
    "chroma": Checkpoint("Chroma, diffusion model", dit.chroma),
    "chroma-short": Checkpoint("Chroma, one block of each kind", partial(dit.chroma, 1, 1)),
    "klein-4b": Checkpoint("FLUX.2 klein 4B, diffusion model", dit.flux2_klein),
    "klein-4b-short": Checkpoint(
        "FLUX.2 klein 4B, one block of each kind", partial(dit.flux2_klein, 1, 1)
    ),
    "klein-9b-short": Checkpoint(
        "FLUX.2 klein 9B, one block of each kind",
        partial(dit.flux2_klein, 1, 1, width=4096, text=12288),
    ),
    "z-image": Checkpoint("Z-Image, diffusion model", dit.z_image),
    "qwen-image": Checkpoint("Qwen-Image, diffusion model", dit.qwen_image),
    "qwen-image-short": Checkpoint("Qwen-Image, 3 blocks of 60", partial(dit.qwen_image, 3)),
    "wan2.1": Checkpoint("Wan 2.1 T2V 1.3B, diffusion model", dit.wan),
    "wan2.1-i2v": Checkpoint(
        "Wan 2.1 I2V in the size of 1.3B", partial(dit.wan, inputs=36, looks=True)
    ),
    "wan2.2-ti2v": Checkpoint(
        "Wan 2.2 TI2V 5B, diffusion model", partial(dit.wan, 3072, 14336, 48, 48)
    ),
    "clip-l": Checkpoint("CLIP-L text encoder", partial(_text_encoder, 768, 12)),
    "clip-g": Checkpoint(
        "OpenCLIP-bigG text encoder", partial(_text_encoder, 1280, 32, projection=True)
    ),
    "t5-xxl": Checkpoint("T5-XXL text encoder", lm.t5_xxl),
    "umt5-xxl": Checkpoint("UMT5-XXL text encoder of Wan", lm.umt5_xxl),
    "clip-vision-h": Checkpoint("CLIP ViT-H/14 of Wan 2.1 I2V", video.clip_vision_h),
    "qwen3-4b": Checkpoint("Qwen3 4B, the text encoder of Z-Image", lm.qwen3_4b),
    "qwen3-4b-short": Checkpoint("Qwen3 4B, 4 layers of 36", partial(lm.qwen3_4b, 4)),
    "qwen3-4b-30": Checkpoint(
        "Qwen3 4B, 30 layers of 36, for FLUX.2 klein", partial(lm.qwen3_4b, 30)
    ),
    "qwen3-8b-30": Checkpoint(
        "Qwen3 8B, 30 layers of 36, for FLUX.2 klein 9B", partial(lm.qwen3_8b, 30)
    ),
    "qwen2.5-vl-7b": Checkpoint("Qwen2.5-VL 7B, that of Qwen-Image", lm.qwen25_vl_7b),
    "qwen2.5-vl-7b-short": Checkpoint("Qwen2.5-VL 7B, 2 layers of 28", partial(lm.qwen25_vl_7b, 2)),
    "qwen2.5-vl-vision": Checkpoint("The eyes of Qwen2.5-VL 7B", lm.qwen25_vl_vision),
    "vae": Checkpoint("Autoencoder with 4 latent channels", sd.autoencoder),
    "vae16": Checkpoint(
        "Autoencoder of SD 3 and FLUX.1", partial(sd.autoencoder, 16, quant_conv=False)
    ),
    "vae32": Checkpoint("Autoencoder of FLUX.2", partial(sd.autoencoder, 32)),
    "vae-wan": Checkpoint("Autoencoder of Wan 2.1 and Qwen-Image", other_decoders.wan_autoencoder),
    "vae-wan2.2": Checkpoint("Autoencoder of Wan 2.2 TI2V", video.wan22_autoencoder),
    "taesd": Checkpoint("TAESD, 4 latent channels", sd.tiny_autoencoder),
    "taef1": Checkpoint("TAEF1 and TAESD3, 16 latent channels", partial(sd.tiny_autoencoder, 16)),
    "taef2": Checkpoint("TAEF2, 32 latent channels", partial(sd.tiny_autoencoder, 32, pools=True)),
    "taew2.1": Checkpoint("TAEHV of Wan 2.1 and Qwen-Image", video.tiny_video_autoencoder),
    "taew2.2": Checkpoint(
        "TAEHV of Wan 2.2 TI2V", partial(video.tiny_video_autoencoder, 48, patch=2)
    ),
    "esrgan": Checkpoint("Real-ESRGAN, 4 times larger", other_decoders.esrgan),
    "esrgan-anime": Checkpoint(
        "Real-ESRGAN for drawings, 6 blocks of 23", partial(other_decoders.esrgan, 6)
    ),
    "controlnet": Checkpoint("ControlNet for Stable Diffusion 1.5", sd.control_net),
    "lora": Checkpoint("LoRA of rank 16 for Stable Diffusion 1.5", sd.lora),
}

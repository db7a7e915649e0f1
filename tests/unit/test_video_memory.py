"""Memory predicted for Wan 2.1 T2V 1.3B and Wan 2.2 TI2V 5B, beside what the engine logs."""

import pytest

from sdcpu.buffers import MIB, Decoder, decoder_bytes, diffusion_buffer
from sdcpu.families import FAMILIES
from sdcpu.video_rules import latent_frames

SAMPLE = [
    # family, width, height, frames, flash attention, MiB
    ("wan21", 128, 128, 5, True, 10.1),
    ("wan21", 256, 256, 5, True, 26.63),
    ("wan21", 256, 256, 17, True, 64.31),
    ("wan21", 480, 320, 17, True, 145.36),
    ("wan21", 480, 320, 33, True, 349.27),
    ("wan21", 832, 480, 33, True, 1815.25),
    ("wan21", 832, 480, 81, True, 8904.85),
    ("wan21", 256, 256, 5, False, 31.63),
    ("wan21", 256, 256, 17, False, 118.06),
    ("wan21", 480, 320, 17, False, 507.54),
    ("wan21", 480, 320, 33, False, 1503.63),
    ("wan22_ti2v", 256, 256, 17, True, 34.0),
    ("wan22_ti2v", 480, 320, 33, True, 144.05),
    ("wan22_ti2v", 832, 480, 33, True, 328.35),
]


@pytest.mark.parametrize(("family", "width", "height", "frames", "flash", "mebibytes"), SAMPLE)
def test_the_buffer_of_the_steps(
    family: str, width: int, height: int, frames: int, flash: bool, mebibytes: float
) -> None:
    latent = width * height / 64 * latent_frames(frames)
    size = diffusion_buffer(family).size(latent, flash_attention=flash, conv_direct=flash)
    assert size / MIB == pytest.approx(mebibytes, rel=0.06 if family == "wan21" else 0.11)


DECODE = [
    # family, decoder, side, frames, MiB
    ("wan21", "full", 64, 1, 30.29),
    ("wan21", "full", 64, 5, 126.28),
    ("wan21", "full", 64, 9, 179.54),
    ("wan21", "full", 64, 13, 196.05),
    ("wan21", "full", 64, 17, 196.06),
    ("wan21", "full", 128, 5, 503.97),
    ("wan21", "full", 128, 9, 717.0),
    ("wan21", "tiny", 64, 1, 11.0),
    ("wan21", "tiny", 64, 9, 33.01),
    ("wan21", "tiny", 64, 17, 55.02),
    ("wan22_ti2v", "full", 64, 1, 39.78),
    ("wan22_ti2v", "full", 64, 9, 195.69),
    ("wan22_ti2v", "full", 64, 17, 203.57),
    ("wan22_ti2v", "full", 128, 5, 595.56),
]


@pytest.mark.parametrize(("family", "decoder", "side", "frames", "mebibytes"), DECODE)
def test_the_buffer_of_the_decoder(
    family: str, decoder: Decoder, side: int, frames: int, mebibytes: float
) -> None:
    per_pixel = decoder_bytes(
        family, decoder, conv_direct=True, own_file=True, latent_frames=latent_frames(frames)
    )
    assert per_pixel * side**2 / MIB == pytest.approx(mebibytes, rel=0.01)


def test_wider_models_take_more() -> None:
    latent = 480 * 320 / 64 * 5
    sizes = [
        diffusion_buffer(name).size(latent, flash_attention=False, conv_direct=False)
        for name in ("wan22_ti2v", "wan21", "wan22_t2v")
    ]
    assert sizes == sorted(sizes), "TI2V sees 16x16 pixels as one"
    assert {name for name in FAMILIES if FAMILIES[name].video} <= {
        "wan21",
        "wan21_i2v",
        "wan22_t2v",
        "wan22_i2v",
        "wan22_ti2v",
    }

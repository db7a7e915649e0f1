"""Memory predicted for Wan 2.1 T2V 1.3B, beside the buffers that the engine logs."""

import pytest

from sdcpu.buffers import MIB, decoder_bytes, diffusion_buffer
from sdcpu.families import FAMILIES
from sdcpu.video_rules import latent_frames

SAMPLE = [
    # width, height, frames, flash attention, MiB
    (128, 128, 5, True, 10.1),
    (256, 256, 5, True, 26.63),
    (256, 256, 17, True, 64.31),
    (480, 320, 17, True, 145.36),
    (480, 320, 33, True, 349.27),
    (832, 480, 33, True, 1815.25),
    (832, 480, 81, True, 8904.85),
    (256, 256, 5, False, 31.63),
    (256, 256, 17, False, 118.06),
    (480, 320, 17, False, 507.54),
    (480, 320, 33, False, 1503.63),
]


@pytest.mark.parametrize(("width", "height", "frames", "flash", "mebibytes"), SAMPLE)
def test_the_buffer_of_the_steps(
    width: int, height: int, frames: int, flash: bool, mebibytes: float
) -> None:
    latent = width * height / 64 * latent_frames(frames)
    size = diffusion_buffer("wan21").size(latent, flash_attention=flash, conv_direct=flash)
    assert size / MIB == pytest.approx(mebibytes, rel=0.06)


DECODE = [
    # side, frames, MiB
    (64, 1, 30.29),
    (64, 5, 126.28),
    (64, 9, 179.54),
    (64, 13, 196.05),
    (64, 17, 196.06),
    (128, 5, 503.97),
    (128, 9, 717.0),
]


@pytest.mark.parametrize(("side", "frames", "mebibytes"), DECODE)
def test_the_buffer_of_the_decoder(side: int, frames: int, mebibytes: float) -> None:
    per_pixel = decoder_bytes(
        "wan21", "full", conv_direct=True, own_file=True, latent_frames=latent_frames(frames)
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

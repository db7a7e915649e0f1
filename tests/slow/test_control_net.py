"""A ControlNet of true shape beside Stable Diffusion 1.5 of true shape, in the real engine."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sdcpu.generator import ImageGenerator
from tests.checkpoints import CHECKPOINTS, write_checkpoint
from tests.pictures import draw_shape

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.proves("ControlNet", "sd1")
def test_the_control_picture_leads_as_strongly_as_it_should(tmp_path: Path) -> None:
    model, control_net = tmp_path / "sd15.gguf", tmp_path / "control.safetensors"
    write_checkpoint(model, CHECKPOINTS["sd15"].shapes(), "q8_0")
    write_checkpoint(control_net, CHECKPOINTS["controlnet"].shapes(), "f16")
    edges = draw_shape("star", "white", "black", 128)

    with ImageGenerator(model, offline=True) as generator:

        def drawn(**request: object) -> npt.NDArray[np.float64]:
            made = generator.generate(
                "a star", width=128, height=128, steps=2, cfg_scale=1.0, seed=1, **request
            )
            return np.asarray(made.image.convert("RGB"), float)

        alone = drawn()
        led = {
            strength: drawn(
                control_image=edges,
                control_net=str(control_net),
                control_step="canny",
                control_strength=strength,
            )
            for strength in (0.0, 0.5, 1.0)
        }
    assert np.array_equal(led[0.0], alone)
    half, whole = (float(np.abs(led[strength] - alone).mean()) for strength in (0.5, 1.0))
    assert whole > half > 1

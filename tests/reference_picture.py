"""A picture of the demo model without the engine: the narrow networks in numpy, 4 steps, cfg 1."""

import numpy as np
from PIL import Image

from sdcpu.demo.checkpoint import read_checkpoint
from sdcpu.demo.network import autoencoder_layers, text_encoder_layers, unet_layers
from tests.reference_network import Array, ReferenceNetwork
from training.vocabulary import encode

_TIMES = 1000
_TRAINED_STEPS = 50
"""Latent-consistency models were distilled on 50 of the 1000 time steps."""


def draw(prompt: str, seed: int, *, size: int = 128, steps: int = 4) -> Image.Image:
    """What the engine draws for the same request with the sampler and scheduler "lcm"."""
    parameters, _ = read_checkpoint(change="lcm")
    model_layers = [*text_encoder_layers(), *unet_layers()]
    model = ReferenceNetwork(parameters, model_layers, narrow=True)
    decoder = ReferenceNetwork(
        {name.removeprefix("tae."): value for name, value in parameters.items()},
        autoencoder_layers(),
        narrow=True,
    )
    context = model.encode_text(np.array(encode(prompt)))
    times = [
        (_TRAINED_STEPS - step * _TRAINED_STEPS // steps) * _TIMES // _TRAINED_STEPS - 1
        for step in range(steps)
    ]
    spreads = [*noise_spreads()[times], np.float32(0)]
    noise = TorchNoise(seed)
    shape = (4, size // 8, size // 8)
    latent = noise.normal(shape) * spreads[0]
    for time, spread, next_spread in zip(times, spreads, spreads[1:], strict=False):
        scaled = latent / np.sqrt(1 + spread**2)
        latent = latent - spread * model.predict_noise(scaled, time, context)
        if next_spread > 0:
            latent = latent + next_spread * noise.normal(shape)
    picture = decoder.decode_latent(latent).clip(0, 1).transpose(1, 2, 0)
    return Image.fromarray(np.round(picture * 255).astype(np.uint8))


def noise_spreads() -> Array:
    """How much noise there is at each time step, relative to the picture (Stable Diffusion 1)."""
    noise_added = np.linspace(0.00085**0.5, 0.012**0.5, _TIMES) ** 2
    kept = np.cumprod(1 - noise_added)
    return np.sqrt((1 - kept) / kept).astype(np.float32)


class TorchNoise:
    """The normal values that torch draws on a CPU, and the engine with its "cpu" generator."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.RandomState(seed)

    def normal(self, shape: tuple[int, ...]) -> Array:
        """Values in the order of memory; their number must be a multiple of 16."""
        bits = self._bits.randint(0, 2**32, int(np.prod(shape)), np.uint32)
        uniform = ((bits & 0xFFFFFF) / np.float32(2**24)).astype(np.float32).reshape(-1, 2, 8)
        radius = np.sqrt(-2 * np.log(1 - uniform[:, 0]))
        angle = np.float32(2 * np.pi) * uniform[:, 1]
        pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        return pairs.reshape(shape).astype(np.float32)

"""Shapes of what ends in pixels beside the Stable Diffusion family: Wan's autoencoder, ESRGAN."""

from collections.abc import Iterator

from tests.checkpoints.stable_diffusion import convolution
from tests.checkpoints.writer import Shape, repeat, under

Parts = Iterator[tuple[str, Shape]]

_WIDTHS = (96, 192, 384, 384)
"""Of Wan 2.1, from the pixels on."""
_LATENT = 16


def wan_autoencoder() -> Parts:
    """The autoencoder of Wan 2.1 and Qwen-Image: convolutions over time, height and width."""
    yield from under("encoder.", _encoder())
    yield from under("decoder.", _decoder())
    yield from time_convolution("conv1", 2 * _LATENT, 2 * _LATENT, 1)
    yield from time_convolution("conv2", _LATENT, _LATENT, 1)


def _encoder() -> Parts:
    yield from time_convolution("conv1", 3, _WIDTHS[0])
    inputs, number = _WIDTHS[0], 0
    for level, width in enumerate(_WIDTHS):
        for _ in range(2):
            yield from residual(f"downsamples.{number}", inputs, width)
            inputs = width
            number += 1
        if level < 3:
            yield from convolution(f"downsamples.{number}.resample.1", width, width)
            if level > 0:
                yield from time_convolution(
                    f"downsamples.{number}.time_conv", width, width, (3, 1, 1)
                )
            number += 1
    yield from middle(inputs)
    yield "head.0.gamma", (inputs, 1, 1, 1)
    yield from time_convolution("head.2", inputs, 2 * _LATENT)


def _decoder() -> Parts:
    inputs, number = _WIDTHS[-1], 0
    yield from time_convolution("conv1", _LATENT, inputs)
    yield from middle(inputs)
    for level, width in enumerate(reversed(_WIDTHS)):
        for _ in range(3):
            yield from residual(f"upsamples.{number}", inputs, width)
            inputs = width
            number += 1
        if level < 3:
            yield from convolution(f"upsamples.{number}.resample.1", width, width // 2)
            if level < 2:
                yield from time_convolution(
                    f"upsamples.{number}.time_conv", width, 2 * width, (3, 1, 1)
                )
            inputs = width // 2
            number += 1
    yield "head.0.gamma", (inputs, 1, 1, 1)
    yield from time_convolution("head.2", inputs, 3)


def middle(width: int) -> Parts:
    """What stands between the two halves of either way."""
    yield from residual("middle.0", width, width)
    yield "middle.1.norm.gamma", (width, 1, 1)
    yield from convolution("middle.1.to_qkv", width, 3 * width, 1)
    yield from convolution("middle.1.proj", width, width, 1)
    yield from residual("middle.2", width, width)


def residual(name: str, inputs: int, outputs: int) -> Parts:
    """Two convolutions, and a way around them."""
    yield f"{name}.residual.0.gamma", (inputs, 1, 1, 1)
    yield from time_convolution(f"{name}.residual.2", inputs, outputs)
    yield f"{name}.residual.3.gamma", (outputs, 1, 1, 1)
    yield from time_convolution(f"{name}.residual.6", outputs, outputs)
    if inputs != outputs:
        yield from time_convolution(f"{name}.shortcut", inputs, outputs, 1)


def time_convolution(
    name: str, inputs: int, outputs: int, kernel: int | tuple[int, int, int] = 3
) -> Parts:
    """A convolution over time, height and width."""
    sides = (kernel,) * 3 if isinstance(kernel, int) else kernel
    yield f"{name}.weight", (outputs, inputs, *sides)
    yield f"{name}.bias", (outputs,)


def esrgan(blocks: int = 23) -> Parts:
    """Real-ESRGAN, 4 times larger: 23 blocks, 6 for drawings; the engine counts them."""
    yield from convolution("conv_first", 3, 64)
    yield from repeat("body", blocks, _dense_blocks())
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        yield from convolution(name, 64, 64)
    yield from convolution("conv_last", 64, 3)


def _dense_blocks() -> Parts:
    for block in ("rdb1", "rdb2", "rdb3"):
        for number in range(1, 6):
            outputs = 64 if number == 5 else 32
            yield from convolution(f"{block}.conv{number}", 32 + 32 * number, outputs)

"""Shapes of Wan's other parts: models that look at pictures, Wan 2.2's autoencoder, tiny ones."""

from collections.abc import Iterator

from tests.checkpoints.other_decoders import middle, residual, time_convolution
from tests.checkpoints.stable_diffusion import clip_layer, convolution, linear, norm
from tests.checkpoints.writer import Shape, repeat, under

Parts = Iterator[tuple[str, Shape]]


def clip_vision_h() -> Parts:
    """CLIP ViT-H/14, which looks at the first picture for Wan 2.1 I2V."""
    width = 1280
    yield "vision_model.embeddings.patch_embedding.weight", (width, 3, 14, 14)
    yield "vision_model.embeddings.class_embedding", (width,)
    yield "vision_model.embeddings.position_embedding.weight", (257, width)
    yield from norm("vision_model.pre_layrnorm", width)
    yield from repeat("vision_model.encoder.layers", 32, clip_layer(width))
    yield from norm("vision_model.post_layernorm", width)
    yield "visual_projection.weight", (1024, width)


def wan22_autoencoder() -> Parts:
    """The autoencoder of Wan 2.2 TI2V: 16 times smaller, 48 channels, four pixels in one."""
    yield from under("encoder.", _encoder())
    yield from under("decoder.", _decoder())
    yield from time_convolution("conv1", 96, 96, 1)
    yield from time_convolution("conv2", 48, 48, 1)


def _encoder() -> Parts:
    inputs = 160
    yield from time_convolution("conv1", 12, inputs)
    for level, width in enumerate((160, 320, 640, 640)):
        block = f"downsamples.{level}.downsamples"
        for number in range(2):
            yield from residual(f"{block}.{number}", inputs, width)
            inputs = width
        if level < 3:
            yield from convolution(f"{block}.2.resample.1", width, width)
        if level in (1, 2):
            yield from time_convolution(f"{block}.2.time_conv", width, width, (3, 1, 1))
    yield from middle(inputs)
    yield "head.0.gamma", (inputs, 1, 1, 1)
    yield from time_convolution("head.2", inputs, 96)


def _decoder() -> Parts:
    inputs = 1024
    yield from time_convolution("conv1", 48, inputs)
    yield from middle(inputs)
    for level, width in enumerate((1024, 1024, 512, 256)):
        block = f"upsamples.{level}.upsamples"
        for number in range(3):
            yield from residual(f"{block}.{number}", inputs, width)
            inputs = width
        if level < 3:
            yield from convolution(f"{block}.3.resample.1", width, width)
        if level in (0, 1):
            yield from time_convolution(f"{block}.3.time_conv", width, 2 * width, (3, 1, 1))
    yield "head.0.gamma", (inputs, 1, 1, 1)
    yield from time_convolution("head.2", inputs, 12)


def tiny_video_autoencoder(latent: int = 16, patch: int = 1) -> Parts:
    """TAEHV: taew2_1 for Wan 2.1 and Qwen-Image; 48 channels and patches of 2 for Wan 2.2 TI2V."""
    pixels = 3 * patch * patch
    yield from convolution("encoder.0", pixels, 64)
    for stage, stride in enumerate((2, 2, 1)):
        first = 2 + 5 * stage
        yield from convolution(f"encoder.{first}.conv", 64 * stride, 64, 1, bias=False)
        yield from convolution(f"encoder.{first + 1}", 64, 64, bias=False)
        for number in range(first + 2, first + 5):
            yield from _memory_block(f"encoder.{number}", 64)
    yield from convolution("encoder.17", 64, latent)
    widths = (256, 128, 64, 64)
    yield from convolution("decoder.1", latent, widths[0])
    for stage, stride in enumerate((1, 2, 2)):
        first, width = 3 + 6 * stage, widths[stage]
        for number in range(first, first + 3):
            yield from _memory_block(f"decoder.{number}", width)
        yield from convolution(f"decoder.{first + 4}.conv", width, width * stride, 1, bias=False)
        yield from convolution(f"decoder.{first + 5}", width, widths[stage + 1], bias=False)
    yield from convolution("decoder.22", 64, pixels)


def _memory_block(name: str, width: int) -> Parts:
    """It sees the frame before, too."""
    yield from convolution(f"{name}.conv.0", 2 * width, width)
    yield from convolution(f"{name}.conv.2", width, width)
    yield from convolution(f"{name}.conv.4", width, width)


def wan_picture_embedding(width: int) -> Parts:
    """What Wan 2.1 I2V makes of CLIP's view of the first picture."""
    yield from norm("img_emb.proj.0", 1280)
    yield from linear("img_emb.proj.1", 1280, 1280)
    yield from linear("img_emb.proj.3", 1280, width)
    yield from norm("img_emb.proj.4", width)

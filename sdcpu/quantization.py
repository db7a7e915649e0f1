"""Writing a model file again with its large tensors in a smaller type."""

from __future__ import annotations

from pathlib import Path

from sdcpu.builds import find_build
from sdcpu.builds.recipes import CPU
from sdcpu.errors import InvalidRequestError
from sdcpu.process import EngineProcess
from sdcpu.protocol import Quantize
from sdcpu.settings import Settings, child_environment, load_settings
from sdcpu.weights import read_header

TENSOR_TYPES = (
    *("f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0"),
    *("q4_k", "q4_1", "q4_0", "q3_k", "q2_k"),
)
"""What tensors can be written as, largest first; the names are those of GGUF."""


def quantize(
    source: Path, target: Path, tensor_type: str, *, settings: Settings | None = None
) -> None:
    """Write the model file `source` to `target`, a GGUF file, in one piece or not at all.

    Convolution kernels stay in f16 whatever the type: the engine has no smaller ones.

    Raises:
        InvalidRequestError: the type is unknown, or the target does not end in .gguf.
        ModelFileError: the source is no model file that can be read.
        EngineError: the engine cannot convert it, or cannot write the target.

    >>> quantize(Path("model.safetensors"), Path("model-q8_0.gguf"), "q8_0")  # doctest: +SKIP
    """
    if tensor_type not in TENSOR_TYPES:
        raise InvalidRequestError(
            f"There is no tensor type {tensor_type!r}.",
            hint=f"Choose one of: {', '.join(TENSOR_TYPES)}.",
        )
    if target.suffix.lower() != ".gguf":
        raise InvalidRequestError(
            f"{target.name!r} does not end in .gguf.", hint="GGUF is what is written."
        )
    read_header(source)
    settings = settings or load_settings()
    build = find_build(CPU, settings)
    message = Quantize(
        source=str(source.absolute()), target=str(target.absolute()), tensor_type=tensor_type
    )
    with EngineProcess(library=build.library, environment=child_environment()) as process:
        for _ in process.run(message):
            pass

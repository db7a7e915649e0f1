"""The demo model with outliers: a few channels of every transformer block 300 times as large.

What a norm scales up, the layers behind it scale down: the model does what it did, but sums and
quantises as models with outlier channels do (SD3.5, FLUX and T5 have such).
"""

from pathlib import Path

import gguf
import numpy as np

FACTOR = 300.0
CHANNELS = (3, 70, 171, 300)
BLOCK = ".transformer_blocks.0."
READERS = {
    "norm1": ("attn1.to_q", "attn1.to_k", "attn1.to_v"),
    "norm2": ("attn2.to_q",),
    "norm3": ("ff.net.0.proj",),
}
"""Which layers read the result of a norm."""


def write_outliers(source: Path, target: Path, kind: str) -> None:
    """Copy a GGUF file of the U-Net's family; the layers behind the norms become `kind`.

    Args:
        kind: "F16", which keeps what the model does, or "Q8_0", where a weight that is 300 times
            smaller than those beside it is lost.
    """
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "")
    quantisation = gguf.GGMLQuantizationType[kind]
    for tensor in reader.tensors:
        _, _, after = tensor.name.partition(BLOCK)
        layer = after.removesuffix(".weight").removesuffix(".bias")
        if layer in READERS:
            scaled = np.array(tensor.data, np.float32)
            scaled[list(CHANNELS)] *= FACTOR
            writer.add_tensor(tensor.name, scaled)
        elif after.endswith(".weight") and any(layer in layers for layers in READERS.values()):
            weights = gguf.dequantize(tensor.data, tensor.tensor_type)
            weights[:, list(CHANNELS)] /= FACTOR
            raw = gguf.quantize(weights, quantisation)
            writer.add_tensor(tensor.name, raw, raw_dtype=quantisation)
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

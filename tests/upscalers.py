"""ESRGAN files whose weights make a function that is known: what comes out can be checked."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

FEATURES, GROWTH = 64, 32
Weights = dict[str, npt.NDArray[np.float32]]


def write_upscaler(path: Path, *, factor: int = 4, negative: bool = False) -> Path:
    """Write a network with one block that repeats every pixel, or its complement."""
    weights: Weights = {}
    _pass_on(weights, "conv_first", FEATURES, 3)
    for block in ("rdb1", "rdb2", "rdb3"):
        for number in range(1, 6):
            outputs = FEATURES if number == 5 else GROWTH
            inputs = FEATURES + (number - 1) * GROWTH
            _nothing(weights, f"body.0.{block}.conv{number}", outputs, inputs)
    _nothing(weights, "conv_body", FEATURES, FEATURES)
    for name in ("conv_up1", "conv_up2")[: {1: 0, 2: 1, 4: 2}[factor]]:
        _pass_on(weights, name, FEATURES, FEATURES)
    _pass_on(weights, "conv_hr", FEATURES, FEATURES)
    _pass_on(weights, "conv_last", 3, FEATURES)
    if negative:
        weights["conv_last.weight"] *= -1
        weights["conv_last.bias"] += 1
    save_file(weights, path)
    return path


def _nothing(weights: Weights, name: str, outputs: int, inputs: int) -> None:
    weights[f"{name}.weight"] = np.zeros((outputs, inputs, 3, 3), np.float32)
    weights[f"{name}.bias"] = np.zeros(outputs, np.float32)


def _pass_on(weights: Weights, name: str, outputs: int, inputs: int) -> None:
    """The first three channels as they are; nothing is negative, so no activation changes them."""
    _nothing(weights, name, outputs, inputs)
    for channel in range(3):
        weights[f"{name}.weight"][channel, channel, 1, 1] = 1

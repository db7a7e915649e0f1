"""What the engine's log says of LoRAs, when a picture is done."""

from __future__ import annotations

import pytest

from sdcpu.engine.loras import AppliedLoras
from sdcpu.errors import GenerationError
from sdcpu.protocol import LoraFile

INK = LoraFile(path="/my/ink.safetensors", weight=0.5, tensors=10)


def applied(*lines: str, lora: LoraFile = INK) -> AppliedLoras:
    """After these lines were heard."""
    watch = AppliedLoras((lora,))
    for line in lines:
        watch.heard(line)
    return watch


def counted(used: int, total: int, only: str = "Only ") -> str:
    """The engine's sum for one network of the model."""
    return f"{only}({used} / {total}) LoRA tensors have been applied, lora_file_path = {INK.path}"


def unused(name: str) -> str:
    return f"unused lora tensor |lora.model.diffusion_model.{name}|"


@pytest.mark.parametrize(
    "lines",
    [
        [counted(10, 10, "")],
        [counted(6, 6, ""), counted(4, 4, "")],
        [unused("x.lokr_w2_a"), counted(9, 10)],
        [unused("y.text_model.encoder.layers.11.mlp.fc1.weight.lora_up"), counted(9, 10)],
    ],
)
def test_all_was_used(lines: list[str]) -> None:
    assert applied(*lines).notes() == ()


def test_a_part_was_not_used() -> None:
    (note,) = applied(unused("x.alpha"), unused("y.alpha"), counted(8, 10)).notes()
    assert note == (
        "2 of the 10 tensors of ink.safetensors are not used, such as "
        "model.diffusion_model.x.alpha."
    )


def test_tensors_of_no_network_are_in_no_count() -> None:
    (note,) = applied(counted(6, 6, "")).notes()
    assert note == "4 of the 10 tensors of ink.safetensors are not used."


@pytest.mark.parametrize("lines", [[], [unused("x.alpha"), counted(4, 10)]])
def test_less_than_half_is_an_error(lines: list[str]) -> None:
    with pytest.raises(GenerationError, match=r"\d+ of the 10 tensors of ink.safetensors"):
        applied(*lines).notes()


def test_nothing_is_expected_of_a_lora_without_weight_or_count() -> None:
    for lora in (LoraFile(path="a", weight=0, tensors=9), LoraFile(path="a", weight=1)):
        assert applied(lora=lora).notes() == ()

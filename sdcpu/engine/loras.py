"""What became of the LoRAs of a picture, as the engine logs it when the picture is done."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from sdcpu.errors import GenerationError
from sdcpu.protocol import LoraFile

LEAST_SHARE = 0.5
"""Share of a LoRA's tensors that must have changed something, as in `sdcpu.loras.fit`."""

_UNUSED = re.compile(r"unused lora tensor \|lora\.(.*)\|")
_APPLIED = re.compile(
    r"(?:Only )?\((\d+) / (\d+)\) LoRA tensors have been applied, lora_file_path = (.*)"
)
_FINE = re.compile(r".*\.lokr_w2_a|.*\.text_model\.encoder\.layers\.\d+\..*")
"""Tensors that are rightly in no count: a part of a LoKr that is applied under another name
(`get_out_diff` of lora.hpp), and layers of a text encoder that the clip skip leaves out."""


class AppliedLoras:
    """Counts the tensors of each LoRA that changed a layer.

    A LoRA is loaded once for every network of the model; tensors whose names tell of none are in
    no count, so what the file holds is compared with the sum.
    """

    def __init__(self, loras: tuple[LoraFile, ...] = ()) -> None:
        self._loras = loras
        self._applied: dict[str, int] = defaultdict(int)
        self._unused: dict[str, list[str]] = defaultdict(list)
        self._named: list[str] = []

    def heard(self, said: str) -> None:
        """Take notice of a line of the log."""
        unused = _UNUSED.fullmatch(said)
        if unused:
            self._named.append(unused[1])
            return
        counted = _APPLIED.fullmatch(said)
        if counted:
            path = counted[3]
            unused_names = [name for name in self._named if not _FINE.fullmatch(name)]
            self._applied[path] += int(counted[1]) + len(self._named) - len(unused_names)
            self._unused[path] += unused_names
            self._named.clear()

    def notes(self) -> tuple[str, ...]:
        """Say of each LoRA that was used in part how much of it was not.

        Raises:
            GenerationError: less than half of one was used, so the picture is not what was meant.
        """
        said = []
        for lora in self._loras:
            missing = lora.tensors - self._applied[lora.path]
            if not lora.weight or missing <= 0:
                continue
            example = self._unused[lora.path][:1]
            such_as = f", such as {example[0]}" if example else ""
            text = f"{missing} of the {lora.tensors} tensors of {Path(lora.path).name} are not used"
            if self._applied[lora.path] < LEAST_SHARE * lora.tensors:
                raise GenerationError(
                    f"The LoRA does not fit the model: {text}{such_as}.",
                    hint="It was made for another model, or names its tensors in a way that the "
                    "engine does not know.",
                    details={"path": lora.path},
                )
            said.append(f"{text}{such_as}.")
        return tuple(said)

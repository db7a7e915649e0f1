"""A training loop with a time budget that can be killed at any moment and goes on where it was."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_SAVE_EVERY = 45.0
"""Seconds."""
_LOG_EVERY = 50
"""Steps."""


class Stage:
    """Trains the parameters of a module until its seconds are used up.

    The learning rate warms up over `warm_up` steps and falls along a cosine; steps whose gradients
    are not finite are left out; a running average of the parameters, of which `kept` stays at every
    step, is what `finish` leaves.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        folder: Path,
        seconds: float,
        *,
        rate: float,
        warm_up: int = 200,
        kept: float = 0.998,
    ) -> None:
        self.name, self.module, self.folder = name, module, folder
        self.seconds, self.rate, self.warm_up, self.kept = seconds, rate, warm_up, kept
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        cuda = self.parameters[0].is_cuda
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=cuda
        )
        self.average = [p.detach().clone() for p in self.parameters]
        self.step = self.skipped = self._skipped_in_a_row = 0
        self._used, self._smooth, self._samples = 0.0, math.nan, 0
        self._load()
        self.start()

    def start(self) -> None:
        """Count time from now on: after what had to be prepared."""
        self._start = self._saved = self._logged = time.monotonic()

    @property
    def state_file(self) -> Path:
        """Everything needed to go on."""
        return self.folder / f"{self.name}.pt"

    @property
    def used(self) -> float:
        """Seconds trained so far."""
        return self._used + time.monotonic() - self._start

    @property
    def fraction(self) -> float:
        """How much of the time is over, from 0 to 1."""
        return min(1.0, self.used / self.seconds)

    def running(self) -> bool:
        """Say whether there is time left; saves now and then."""
        if time.monotonic() - self._saved > _SAVE_EVERY:
            self.save()
        return self.used < self.seconds

    def update(self, loss: Tensor, samples: int) -> None:
        """One step down the gradient of a loss over so many pictures."""
        warm = min(1.0, (self.step + 1) / self.warm_up)
        rate = self.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.fraction)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.step += 1
        self._samples += samples
        if not math.isfinite(norm.item()):
            self._skip()
            return
        self._skipped_in_a_row = 0
        self.optimizer.step()
        keep = min(self.kept, (1 + self.step) / (10 + self.step))
        current = [p.detach() for p in self.parameters]
        torch._foreach_lerp_(self.average, current, 1 - keep)
        if self.step % 10 == 0:
            value = loss.item()
            old = self._smooth
            self._smooth = value if math.isnan(old) else 0.9 * old + 0.1 * value
        if self.step % _LOG_EVERY == 0:
            now = time.monotonic()
            speed = self._samples / (now - self._logged)
            self._logged, self._samples = now, 0
            self.note(loss=self._smooth, rate=rate, samples_per_second=speed)

    def _skip(self) -> None:
        """Leave a step out; when nothing else happens any more, go back to the average."""
        self.skipped += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row == 20:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, self.average)
            self.optimizer.state.clear()

    def note(self, **values: float | str) -> None:
        """Add a line to the record."""
        rounded = {
            key: float(f"{value:.4g}") if isinstance(value, float) else value
            for key, value in values.items()
        }
        entry = {"stage": self.name, "step": self.step, "seconds": round(self.used, 1), **rounded}
        if self.skipped:
            entry["skipped"] = self.skipped
        line = json.dumps(entry)
        print(line, flush=True)
        with (self.folder / "record.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def save(self) -> None:
        """Write everything needed to go on; what was there before stays until that is done."""
        self._saved = time.monotonic()
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "used": self.used,
        }
        _save(state, self.state_file)
        with self.averaged():
            _save(self.module.state_dict(), self.folder / f"{self.name}-average.pt")

    def averaged(self) -> _Averaged:
        """A context in which the module holds the averaged parameters."""
        return _Averaged(self.parameters, self.average)

    def finish(self) -> None:
        """Leave the averaged parameters in the module, and in the file that says it is done."""
        self.save()
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.average)
        _save(self.module.state_dict(), done_file(self.folder, self.name))

    def _load(self) -> None:
        if not self.state_file.exists():
            return
        device = self.parameters[0].device
        state: dict[str, Any] = torch.load(self.state_file, map_location=device)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step, self._used = state["average"], state["step"], state["used"]


class _Averaged:
    def __init__(self, parameters: list[nn.Parameter], average: list[Tensor]) -> None:
        self._parameters, self._average = parameters, average

    def __enter__(self) -> None:
        self._own = [p.detach().clone() for p in self._parameters]
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self._average)

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, self._own)


def done_file(folder: Path, name: str) -> Path:
    """What a stage leaves when it is done."""
    return folder / f"{name}-done.pt"


def load_done(module: nn.Module, folder: Path, name: str, *, wait: bool = True) -> None:
    """Load what a stage left; waits for it, so that the next stage can prepare meanwhile."""
    file = done_file(folder, name)
    while wait and not file.exists():
        time.sleep(0.5)
    device = next(module.parameters()).device
    module.load_state_dict(torch.load(file, map_location=device))


def _save(state: Any, file: Path) -> None:
    part = file.with_name(f"{file.name}.part")
    torch.save(state, part)
    part.replace(file)

"""What an agent is told of a finished picture."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from sdcpu.images import GeneratedImage
from sdcpu.upscaler import UpscaledImage


class MadePicture(BaseModel):
    """A finished picture."""

    path: str = Field(description="Where it was saved, as PNG.")
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    model: str = Field(description="The model or upscaler that made it.")
    seed: int | None = Field(description="Asking again with it gives the same picture.")
    seconds: float = Field(description="That it took.")
    notes: list[str] = Field(description="What is worth knowing about it.")

    @property
    def words(self) -> str:
        """The same in a sentence."""
        by = self.model if self.seed is None else f"{self.model}, seed {self.seed}"
        size = f"{self.width}x{self.height} pixels"
        return " ".join([f"Saved as {self.path} ({size}, {by}, {self.seconds} s).", *self.notes])


def facts_of(made: GeneratedImage | UpscaledImage, path: Path) -> MadePicture:
    """What is told of a picture that was saved at a path."""
    if isinstance(made, GeneratedImage):
        model, seed, notes = made.model, made.seed, list(made.notes)
    else:
        model, seed, notes = made.upscaler, None, []
    return MadePicture(
        path=str(path),
        width=made.width,
        height=made.height,
        model=model,
        seed=seed,
        seconds=round(made.seconds, 2),
        notes=notes,
    )

"""Training pictures without end: thought up by worker processes, drawn on the training device."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training.networks import Autoencoder
from training.pictures import caption, parts_of, random_picture
from training.raster import Parts, draw, sort_parts
from training.vocabulary import END, LENGTH, UNKNOWN, encode

Size = tuple[int, int]
"""Height and width in pixels."""
SIZES: dict[Size, float] = {
    (256, 256): 0.66,
    (128, 128): 0.20,
    (384, 384): 0.05,
    (256, 384): 0.03,
    (384, 256): 0.03,
    (512, 512): 0.03,
}
"""How often each size is trained."""
_CAPTIONS = 2
"""Ways to say what a picture shows that are kept with it."""


class Drawn(NamedTuple):
    """Pictures to be drawn, and their captions."""

    size: Size
    parts: Parts
    captions: np.ndarray
    """Rows of the token table, shape (pictures, `_CAPTIONS`, 77), u8."""


def pictures_at(size: Size, count: int) -> int:
    """How many pictures of a size take the room of `count` at 256x256."""
    return max(1, round(count * 65536 / (size[0] * size[1])))


class PictureStream(IterableDataset[Drawn]):
    """Batches of new pictures, each batch of one size."""

    def __init__(self, count: int, sizes: dict[Size, float], seed: int) -> None:
        self.count, self.sizes, self.seed = count, sizes, seed

    def __iter__(self) -> Iterator[Drawn]:
        worker = get_worker_info()
        rng = random.Random(f"{self.seed} {worker.id if worker else 0}")
        while True:
            (size,) = rng.choices(list(self.sizes), list(self.sizes.values()))
            yield think_up(rng, size, pictures_at(size, self.count))


def think_up(rng: random.Random, size: Size, count: int) -> Drawn:
    """Pictures of one size and captions for them."""
    height, width = size
    shape = width / min(size), height / min(size)
    pictures = [random_picture(rng, shape) for _ in range(count)]
    captions = [
        [_with_unknown_words(encode(caption(picture, rng)), rng) for _ in range(_CAPTIONS)]
        for picture in pictures
    ]
    parts = sort_parts([parts_of(picture, rng) for picture in pictures])
    return Drawn(size, parts, np.array(captions, np.uint8))


def _with_unknown_words(rows: list[int], rng: random.Random) -> list[int]:
    """Put unknown words into some captions, so that they do no harm."""
    if rng.random() > 0.1:
        return rows
    for _ in range(rng.randint(1, 3)):
        rows.insert(rng.choice((1, rows.index(END), rng.randint(1, rows.index(END)))), UNKNOWN)
    return rows[:LENGTH]


def stream(
    count: int, device: torch.device, sizes: dict[Size, float] | None = None
) -> Iterator[Drawn]:
    """New pictures without end; on a CUDA machine two processes think them up."""
    dataset = PictureStream(count, sizes or SIZES, random.randrange(1 << 30))
    if device.type == "cpu":
        return iter(dataset)
    loader = DataLoader(
        dataset, batch_size=None, num_workers=2, prefetch_factor=4, collate_fn=_as_it_is
    )
    return iter(loader)


def _as_it_is(drawn: Drawn) -> Drawn:
    return drawn


def drawn_pictures(drawn: Drawn, device: torch.device, *, outlines: bool = False) -> Tensor:
    """Draw, shape (pictures, 3, height, width)."""
    pictures = draw(drawn.parts, *drawn.size, xp=torch, device=device, outlines=outlines)
    return pictures.to(memory_format=torch.channels_last)


class LatentPool:
    """The newest pictures as latents, each used a few times before it is replaced."""

    def __init__(
        self,
        autoencoder: Autoencoder,
        device: torch.device,
        batch: int,
        *,
        sizes: dict[Size, float] | None = None,
    ) -> None:
        self.autoencoder, self.device = autoencoder, device
        self.batch, self.sizes = batch, sizes or SIZES
        drawn_at_once = 512 if device.type == "cuda" else batch
        self._steps_until_old = 4 * drawn_at_once / batch
        self._steps = 0.0
        self._stream = stream(drawn_at_once, device, self.sizes)
        self._kept: dict[Size, tuple[Tensor, Tensor]] = {}
        self._added = dict.fromkeys(self.sizes, 0)
        while any(self._added[size] < pictures_at(size, batch) for size in self.sizes):
            self._refill()

    @torch.no_grad()
    def _refill(self) -> None:
        """Draw and encode pictures in place of the oldest."""
        drawn = next(self._stream)
        height, width = drawn.size
        pictures = drawn_pictures(drawn, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, self.device.type == "cuda"):
            latents = self.autoencoder.encode(pictures).float()
        captions = torch.from_numpy(drawn.captions).to(self.device)
        room = 64 * pictures_at(drawn.size, self.batch)
        if drawn.size not in self._kept:
            self._kept[drawn.size] = (
                torch.zeros(room, 4, height // 8, width // 8, device=self.device),
                torch.zeros(room, _CAPTIONS, LENGTH, dtype=torch.uint8, device=self.device),
            )
        start = self._added[drawn.size] % room
        places = torch.arange(start, start + len(latents), device=self.device) % room
        kept_latents, kept_captions = self._kept[drawn.size]
        kept_latents[places], kept_captions[places] = latents, captions
        self._added[drawn.size] += len(latents)

    def sample(self, drop: float) -> tuple[Size, Tensor, Tensor]:
        """A batch of one size: latents, captions as rows; `drop` of the captions are empty.

        On the average every picture is used four times.
        """
        self._steps += 1
        if self._steps > self._steps_until_old:
            self._steps -= self._steps_until_old
            self._refill()
        (size,) = random.choices(list(self.sizes), list(self.sizes.values()))
        latents, captions = self._kept[size]
        count = pictures_at(size, self.batch)
        filled = min(self._added[size], len(latents))
        chosen = torch.randint(filled, (count,), device=self.device)
        which = torch.randint(_CAPTIONS, (count,), device=self.device)
        rows = captions[chosen, which].long()
        dropped = torch.rand(count, 1, device=self.device) < drop
        return size, latents[chosen], torch.where(dropped, empty_prompt(self.device), rows)


def empty_prompt(device: torch.device) -> Tensor:
    """The rows of a prompt without words, shape (1, 77)."""
    return torch.tensor([encode("")], device=device)

"""The pictures of one line of a batch: which are there, what is left to ask for, where they go."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdcpu.batch.events import LineDone
from sdcpu.batch.journal import Journal
from sdcpu.batch.lines import BatchLine
from sdcpu.errors import InvalidRequestError
from sdcpu.images import GeneratedImage
from sdcpu.picture_names import numbered, slug
from sdcpu.recipe import read_recipe


class LinePictures:
    """What is left to do of a line, and what is done.

    Raises:
        InvalidRequestError: a file is in the way that may not be replaced.
    """

    def __init__(
        self,
        line: BatchLine,
        folder: Path,
        journal: Journal,
        *,
        made: set[Path],
        resume: bool,
        force: bool,
    ) -> None:
        """`made` are pictures of this run; with `resume` those of earlier ones count too."""
        self.line = line
        self.files = targets(line, folder)
        self._journal, self._made, self._force = journal, made, force
        self._began = time.monotonic()
        self._count = _count(line)
        named = line.fields.get("seed")
        self._seed: int = journal.seed_of(line.number) if named is None else named
        self._done = 0
        while self._done < len(self.files) and (
            self.files[self._done] in made or (resume and _is_of(self.files[self._done], line))
        ):
            self._done += 1
        for file in self.files[self._done :]:
            if file.exists() and not force:
                raise InvalidRequestError(
                    f"{file} exists already.", hint="Move it away, or allow it with --force."
                )
        self._saved = self._done

    def requests(self) -> list[dict[str, Any]]:
        """A request for each prompt, without the pictures that are there."""
        requests = []
        for number, prompt in enumerate(self.line.prompts):
            there = min(self._count, max(0, self._done - number * self._count))
            if there < self._count:
                own = {"prompt": prompt, "seed": self._seed + there, "count": self._count - there}
                requests.append({**self.line.fields, **own})
        return requests

    def single_requests(self) -> list[dict[str, Any]]:
        """The same with a request for each picture."""
        return [
            {**request, "seed": request["seed"] + index, "count": 1}
            for request in self.requests()
            for index in range(request["count"])
        ]

    def save(self, index: int, picture: GeneratedImage) -> None:
        """Write a picture; they are counted from 0, beginning with the first that was missing."""
        file = self.files[self._done + index]
        file.parent.mkdir(parents=True, exist_ok=True)
        recipe = {**picture.recipe, "batch_line": self.line.digest}
        replace(picture, recipe=recipe).save(file, overwrite=self._force)
        self._made.add(file)
        self._saved += 1

    @property
    def are_complete(self) -> bool:
        """Whether all are on the disk."""
        return self._saved == len(self.files)

    def note(self) -> LineDone:
        """Note in the journal that all of them are on the disk."""
        seeds = [self._seed + index % self._count for index in range(len(self.files))]
        seconds = time.monotonic() - self._began
        self._journal.note_pictures(self.line, self.files, seeds=seeds, seconds=seconds)
        return LineDone(
            line=self.line, files=tuple(self.files), seeds=tuple(seeds), seconds=seconds
        )


def targets(line: BatchLine, folder: Path) -> list[Path]:
    """The files that a line's pictures go to, in the order in which they are drawn.

    >>> line = BatchLine(number=3, fields={"prompt": "a {red|blue} star"})
    >>> [path.name for path in targets(line, Path("pictures"))]
    ['0003-a-red-star-1.png', '0003-a-blue-star-2.png']
    """
    count, total = _count(line), line.pictures
    if line.output is not None:
        return [numbered(folder / line.output, index, total) for index in range(total)]
    stems = [f"{line.number:04d}-{slug(prompt)}" for prompt in line.prompts]
    return [numbered(folder / f"{stems[n // count]}.png", n, total) for n in range(total)]


def _count(line: BatchLine) -> int:
    return int(line.fields.get("count", 1))


def _is_of(file: Path, line: BatchLine) -> bool:
    """Whether a file is this line's picture, from a run that was killed before it was noted."""
    if not file.is_file():
        return False
    try:
        return read_recipe(file).get("batch_line") == line.digest
    except InvalidRequestError:
        return False

"""Reading a batch file line by line, so that its length does not matter."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from sdcpu.batch.fields import (
    MODEL,
    OUTPUT,
    check_names,
    files_named,
    values_of_cells,
    values_of_object,
)
from sdcpu.errors import InvalidRequestError
from sdcpu.images import request_of
from sdcpu.recipe import FORMATS
from sdcpu.styles import Style, apply_styles
from sdcpu.templates import MAX_PROMPTS, expand_prompt, parse_template

MAX_LINE_CHARACTERS = 1_000_000
"""A longer line is no request; reading on would fill the memory."""


@dataclass(frozen=True, kw_only=True)
class BatchLine:
    """One request of a batch file, with the defaults filled in."""

    number: int
    """Of the line in the file, counted from 1; of a row of several lines, the last one's."""
    fields: Mapping[str, Any] = field(hash=False)
    """Keywords of `ImageRequest`; the prompt may still have alternatives."""
    model: str | None = None
    output: str | None = None
    """The name of its picture, relative to the output folder."""
    wildcards: Sequence[Path] | None = field(default=None, repr=False)
    sample: int | None = None

    @cached_property
    def prompts(self) -> list[str]:
        """What its prompt stands for."""
        return expand_prompt(
            self.fields["prompt"],
            wildcards=self.wildcards,
            sample=self.sample,
            seed=self.fields.get("seed"),
        )

    @property
    def pictures(self) -> int:
        """How many it becomes."""
        return len(self.prompts) * int(self.fields.get("count", 1))

    @cached_property
    def digest(self) -> str:
        """A short text that changes when anything in the line does."""
        content = [sorted(self.fields.items()), self.model, self.output, self.sample]
        written = json.dumps(content, default=str).encode()
        return hashlib.sha256(written).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenLine:
    """A line that is no request, and why."""

    number: int
    message: str
    hint: str = ""


def read_requests(
    path: str | Path,
    *,
    defaults: Mapping[str, Any] | None = None,
    model: str | None = None,
    wildcards: Sequence[Path] | None = None,
    sample: int | None = None,
    styles: Mapping[str, Style] | None = None,
) -> Iterator[BatchLine | BrokenLine]:
    r"""Read the requests of a file one by one.

    A .csv file has a header of fields, a .jsonl file an object a line; any other file is text with
    a prompt a line. Empty lines, and in text lines that begin with #, are passed over. `defaults`
    are keywords of `ImageRequest` for lines that do not say otherwise.

    Raises:
        InvalidRequestError: the file cannot be read, is no text, or has a column that is unknown.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "prompts.txt"
    >>> _ = path.write_text("a red circle\na blue star\n")
    >>> [line.fields["prompt"] for line in read_requests(path)]
    ['a red circle', 'a blue star']
    """
    path = Path(path)
    for number, values in _values(path):
        if isinstance(values, InvalidRequestError):
            yield BrokenLine(number=number, message=values.message, hint=values.hint)
            continue
        output = values.pop(OUTPUT, None)
        line = BatchLine(
            number=number,
            model=values.pop(MODEL, None) or model,
            output=output,
            fields={**(defaults or {}), **values},
            wildcards=wildcards,
            sample=sample,
        )
        try:
            _check(line, styles)
        except InvalidRequestError as error:
            yield BrokenLine(number=number, message=error.message, hint=error.hint)
        else:
            yield line


def _check(line: BatchLine, styles: Mapping[str, Style] | None) -> None:
    """Make sure that a line can be drawn, as far as it shows without its model."""
    if not isinstance(line.fields.get("prompt"), str):
        raise InvalidRequestError("It has no prompt.", hint="Give it one, in the field prompt.")
    template = parse_template(line.fields["prompt"], wildcards=line.wildcards)
    if line.sample is None and template.count > MAX_PROMPTS:
        line.prompts  # noqa: B018 - raises, and says what to do
    options = {name: value for name, value in line.fields.items() if name != "prompt"}
    request = request_of(template.text(0), options)
    if styles is not None:
        apply_styles(request, styles)
    for file in files_named(line.fields):
        if not file.is_file():
            raise InvalidRequestError(
                f"There is no picture {file}.",
                hint="Correct its path, which counts from the folder of the batch file.",
            )
    if line.output is not None:
        _check_output(line.output)


def _check_output(name: str) -> None:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise InvalidRequestError(
            f"The output {name!r} is outside the output folder.", hint="Give a name, and -o DIR."
        )
    if path.suffix.lower() not in FORMATS:
        raise InvalidRequestError(
            f"The output {name!r} does not say what kind of picture it should be.",
            hint="End the name in .png, .jpg or .webp.",
        )


_Values = tuple[int, dict[str, Any] | InvalidRequestError]
"""The number of a line, and its fields or what is wrong with it."""


def _values(path: Path) -> Iterator[_Values]:
    """The fields of each line as they are written, or what is wrong with it."""
    readers = {".csv": _csv_values, ".jsonl": _json_values, ".ndjson": _json_values}
    kind = path.suffix.lower()
    if kind == ".json":
        raise InvalidRequestError(
            f"{path} is one piece of JSON.", hint="Write one object a line, and name it .jsonl."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="" if kind == ".csv" else None) as file:
            yield from readers.get(kind, _text_values)(file, path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidRequestError(
            f"The batch file {path} cannot be read: {reason}.",
            hint="Give a text file in UTF-8: prompts, .csv or .jsonl.",
        ) from error


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    while line := file.readline(MAX_LINE_CHARACTERS):
        if len(line) == MAX_LINE_CHARACTERS or "\0" in line:
            raise InvalidRequestError(
                f"{path} is no text file.", hint="Give prompts, .csv or .jsonl, in UTF-8."
            )
        yield line


def _text_values(file: TextIO, path: Path) -> Iterator[_Values]:
    for number, line in enumerate(_lines(file, path), 1):
        prompt = line.strip()
        if prompt and not prompt.startswith("#"):
            yield number, {"prompt": prompt}


def _json_values(file: TextIO, path: Path) -> Iterator[_Values]:
    for number, line in enumerate(_lines(file, path), 1):
        if not line.strip():
            continue
        try:
            written = json.loads(line)
            if not isinstance(written, dict):
                raise InvalidRequestError(
                    "It is no object of JSON.", hint='Write it like {"prompt": "a cat"}.'
                )
            check_names(written)
            yield number, values_of_object(written, path.parent)
        except InvalidRequestError as error:
            yield number, error
        except (ValueError, RecursionError) as error:
            yield number, InvalidRequestError(f"It is no JSON: {error}.")


def _csv_values(file: TextIO, path: Path) -> Iterator[_Values]:
    rows = csv.reader(_lines(file, path), strict=True)
    header = [name.strip() for name in next(rows, [])]
    if not header:
        return
    check_names(header)
    if len(set(header)) < len(header) or "prompt" not in header:
        raise InvalidRequestError(
            f"The header of {path} must name every field once, and prompt among them.",
            hint="The first line names the fields, such as: prompt,seed,steps",
        )
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:  # what follows cannot be told apart any more
            raise InvalidRequestError(
                f"Line {rows.line_num} of {path} is no CSV: {error}.",
                hint="Close every quotation mark.",
            ) from error
        if row is None:
            return
        if not any(cell.strip() for cell in row):
            continue
        try:
            yield rows.line_num, values_of_cells(_cells(header, row), path.parent)
        except InvalidRequestError as error:
            yield rows.line_num, error


def _cells(header: Sequence[str], row: Iterable[str]) -> dict[str, str]:
    cells = list(row)
    if len(cells) > len(header):
        raise InvalidRequestError(
            f"It has {len(cells)} cells and the header {len(header)}.",
            hint='Put quotation marks around a cell with commas: "a cat, sitting".',
        )
    return dict(zip(header, cells, strict=False))

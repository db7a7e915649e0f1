"""The fields that a line of a batch file may have, and their values as the file writes them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sdcpu.errors import InvalidRequestError
from sdcpu.images import ImageRequest

MODEL, OUTPUT = "model", "output"
"""What a line may say besides the request: which model draws, and the name of the picture."""

_NOT_OF_A_LINE = {"preview"}


def kinds_of(request: type[ImageRequest]) -> dict[str, str]:
    """The fields of a kind of request and their types, as they are written."""
    return {field.name: str(field.type).removesuffix(" | None") for field in fields(request)}


KINDS = {name: kind for name, kind in kinds_of(ImageRequest).items() if name not in _NOT_OF_A_LINE}
"""The same, as a line of a batch file may have them."""

NAMES = (*KINDS, MODEL, OUTPUT)

_MEANT = {"negative": "negative_prompt", "cfg": "cfg_scale", "n": "count", "style": "styles"}
_MEANT |= {"init": "init_image", "mask": "mask_image", "control": "control_image"}
_MEANT |= {"ref": "ref_images", "lora": "loras", "text": "prompt", "file": "output"}


def check_names(names: Iterable[str], known: Collection[str] = NAMES) -> None:
    """Make sure that these are names of fields.

    Raises:
        InvalidRequestError: one is not; the hint says what may have been meant.
    """
    for name in names:
        if name not in known:
            close = [meant for word, meant in _MEANT.items() if word == name.lower()]
            close = [meant for meant in close if meant in known]
            close += difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.6)
            meant = f"Did you mean {' or '.join(dict.fromkeys(close))}? " if close else ""
            raise InvalidRequestError(
                f"There is no field {name!r}.", hint=f"{meant}Fields: {', '.join(known)}."
            )


def values_of_cells(cells: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """The values of a row of a table; empty cells are left out, relative paths count from a folder.

    Where a field has several values, they stand in one cell with semicolons between them.

    Raises:
        InvalidRequestError: a cell that cannot be read; the message names the field.

    >>> values_of_cells({"prompt": "a cat", "steps": "4", "seed": ""}, Path())
    {'prompt': 'a cat', 'steps': 4}
    """
    values = {}
    for name, cell in cells.items():
        if not cell.strip():
            continue
        try:
            values[name] = _of_cell(KINDS.get(name, "str"), cell, folder)
        except ValueError as error:
            raise InvalidRequestError(f"The field {name} is {cell!r}; {error}.") from error
    return values


def values_of_object(
    written: Mapping[str, Any], folder: Path, kinds: Mapping[str, str] = KINDS
) -> dict[str, Any]:
    """The values of an object of JSON; nulls are left out, relative paths count from a folder.

    Raises:
        InvalidRequestError: a value of a kind that the field does not have.

    >>> values_of_object({"prompt": "a cat", "loras": [["ink.gguf", 0.5]], "seed": None}, Path())
    {'prompt': 'a cat', 'loras': (('ink.gguf', 0.5),)}
    """
    values = {}
    for name, value in written.items():
        if value is None:
            continue
        try:
            values[name] = _value(kinds.get(name, "str"), value, folder)
        except (ValueError, TypeError) as error:
            raise InvalidRequestError(f"The field {name} is {value!r}; {error}.") from error
    return values


def files_named(values: Mapping[str, Any]) -> list[Path]:
    """The pictures that a line brings along."""
    named: list[Path] = []
    for name, value in values.items():
        kind = KINDS.get(name, "")
        if "ImageSource" in kind:
            many = value if isinstance(value, tuple) else (value,)
            named += [each for each in many if isinstance(each, Path)]
    return named


def _of_cell(kind: str, cell: str, folder: Path) -> Any:
    """A value of a kind, which is a type as `ImageRequest` writes it."""
    if each := _kind_of_each(kind):
        parts = (part.strip() for part in cell.split(";"))
        return tuple(_of_cell(each, part, folder) for part in parts if part)
    return _FROM_TEXT.get(each or kind, _text)(cell.strip(), folder)


def _value(kind: str, value: Any, folder: Path) -> Any:
    """The same of a value of JSON."""
    if each := _kind_of_each(kind):
        what = f"a list of {_PLURALS.get(each, 'texts')}"
        return tuple(_value(each, part, folder) for part in _as(list, value, what))
    if kind == "bool":
        return _as(bool, value, "true or false")
    if kind in _NUMBERS:
        return value  # the request itself checks numbers
    if kind == "NamedLora":
        name, weight = _as(list, value, "pairs of names and weights: ['ink.safetensors', 0.8]")
        return _named(_as(str, name, "a list of pairs"), folder), float(weight)
    return _FROM_TEXT.get(kind, _text)(_as(str, value, "text"), folder)


def _kind_of_each(kind: str) -> str:
    """The kind of what a field has several of; empty for a single value."""
    if kind == "Extension":
        return "int"
    return kind[len("tuple[") : -len(", ...]")] if kind.startswith("tuple[") else ""


def _as(wanted: type, value: Any, what: str) -> Any:
    if not isinstance(value, wanted):
        raise TypeError(f"it must be {what}")
    return value


def _text(text: str, _folder: Path) -> str:
    return text


def _whole(text: str, _folder: Path) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("it must be a whole number") from None


def _number(text: str, _folder: Path) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("it must be a number") from None


def _truth(text: str, _folder: Path) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("it must be true or false")
    return text.lower() == "true"


def _path(text: str, folder: Path) -> Path:
    return folder / text


def _named(text: str, folder: Path) -> str:
    """A file beside the batch file, or a name that means something elsewhere."""
    beside = folder / text
    return str(beside) if beside.is_file() else text


def _lora(text: str, folder: Path) -> tuple[str, float]:
    name, _, weight = text.rpartition(":")
    try:
        return _named(name, folder), float(weight)
    except ValueError:  # what follows the colon, if there is one, belongs to the name
        return _named(text, folder), 1.0


_NUMBERS = {"int", "float"}
_PLURALS = {"NamedLora": "pairs of names and weights", "int": "numbers", "float": "numbers"}
_FROM_TEXT: dict[str, Callable[[str, Path], Any]] = {
    "int": _whole,
    "float": _number,
    "bool": _truth,
    "ImageSource": _path,
    "str | Path": _named,
    "NamedLora": _lora,
}
"""How a single value is read, by the type of its field; others are text."""

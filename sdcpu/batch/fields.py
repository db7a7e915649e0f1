"""The fields that a line of a batch file may have, and their values as the file writes them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sdcpu.errors import InvalidRequestError
from sdcpu.images import ImageRequest

MODEL, OUTPUT = "model", "output"
"""What a line may say besides the request: which model draws, and the name of the picture."""

_NOT_OF_A_LINE = {"preview"}
KINDS = {
    field.name: str(field.type).removesuffix(" | None")
    for field in fields(ImageRequest)
    if field.name not in _NOT_OF_A_LINE
}
"""The fields of a request and their types, as they are written."""

NAMES = (*KINDS, MODEL, OUTPUT)

_MEANT = {"negative": "negative_prompt", "cfg": "cfg_scale", "n": "count", "style": "styles"}
_MEANT |= {"init": "init_image", "mask": "mask_image", "control": "control_image"}
_MEANT |= {"ref": "ref_images", "lora": "loras", "text": "prompt", "file": "output"}


def check_names(names: Iterable[str]) -> None:
    """Make sure that these are names of fields.

    Raises:
        InvalidRequestError: one is not; the hint says what may have been meant.
    """
    for name in names:
        if name not in NAMES:
            close = [_MEANT[name.lower()]] if name.lower() in _MEANT else []
            close += difflib.get_close_matches(name.lower(), NAMES, n=2, cutoff=0.6)
            meant = f"Did you mean {' or '.join(dict.fromkeys(close))}? " if close else ""
            raise InvalidRequestError(
                f"There is no field {name!r}.", hint=f"{meant}Fields: {', '.join(NAMES)}."
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
        read = FROM_TEXT.get(KINDS.get(name, "str"), _text)
        try:
            values[name] = read(cell, folder)
        except ValueError as error:
            raise InvalidRequestError(f"The field {name} is {cell!r}; {error}.") from error
    return values


def values_of_object(written: Mapping[str, Any], folder: Path) -> dict[str, Any]:
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
            values[name] = _value(KINDS.get(name, "str"), value, folder)
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


def _value(kind: str, value: Any, folder: Path) -> Any:
    if kind == "ImageSource":
        return _path(_as(str, value, "a path"), folder)
    if kind in {"tuple[ImageSource, ...]", "tuple[str, ...]"}:
        what = "a list of texts" if kind == "tuple[str, ...]" else "a list of paths"
        texts = (_as(str, each, what) for each in _as(list, value, what))
        return tuple(texts if what == "a list of texts" else (_path(t, folder) for t in texts))
    if kind == _LORAS:
        pairs = 'a list of files and weights: [["ink.safetensors", 0.8]]'
        return tuple(
            (_named(_as(str, name, pairs), folder), float(weight))
            for name, weight in (_as(list, each, pairs) for each in _as(list, value, pairs))
        )
    if kind in {"str", "str | Path"}:
        text = _as(str, value, "text")
        return text if kind == "str" else _named(text, folder)
    return (
        tuple(value) if isinstance(value, list) else value
    )  # numbers and choices: the request itself checks them


def _as(wanted: type, value: Any, what: str) -> Any:
    if not isinstance(value, wanted):
        raise TypeError(f"it must be {what}")
    return value


def _text(cell: str, _folder: Path) -> str:
    return cell.strip()


def _whole(cell: str, _folder: Path) -> int:
    try:
        return int(cell)
    except ValueError:
        raise ValueError("it must be a whole number") from None


def _number(cell: str, _folder: Path) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError("it must be a number") from None


def _truth(cell: str, _folder: Path) -> bool:
    if cell.strip().lower() not in {"true", "false"}:
        raise ValueError("it must be true or false")
    return cell.strip().lower() == "true"


def _path(text: str, folder: Path) -> Path:
    return folder / text.strip()


def _named(text: str, folder: Path) -> str:
    """A file beside the batch file, or a name that means something elsewhere."""
    beside = folder / text.strip()
    return str(beside) if beside.is_file() else text.strip()


def _several(cell: str, _folder: Path) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def _numbers(cell: str, folder: Path) -> tuple[float, ...]:
    return tuple(_number(part, folder) for part in _several(cell, folder))


def _whole_numbers(cell: str, folder: Path) -> tuple[int, ...]:
    return tuple(_whole(part, folder) for part in _several(cell, folder))


def _paths(cell: str, folder: Path) -> tuple[Path, ...]:
    return tuple(_path(part, folder) for part in _several(cell, folder))


def _loras(cell: str, folder: Path) -> tuple[tuple[str, float], ...]:
    loras = []
    for part in _several(cell, folder):
        name, _, weight = part.rpartition(":")
        try:
            loras.append((_named(name, folder), float(weight)))
        except ValueError:  # what follows the colon, if there is one, belongs to the name
            loras.append((_named(part, folder), 1.0))
    return tuple(loras)


_LORAS = "tuple[NamedLora, ...]"
FROM_TEXT: dict[str, Callable[[str, Path], Any]] = {
    "int": _whole,
    "float": _number,
    "bool": _truth,
    "ImageSource": _path,
    "str | Path": _named,
    "tuple[str, ...]": _several,
    "tuple[ImageSource, ...]": _paths,
    "tuple[float, ...]": _numbers,
    "Extension": _whole_numbers,
    _LORAS: _loras,
}
"""How a cell is read, by the type of its field; others are text."""

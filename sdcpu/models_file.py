"""models.toml: how it is found, merged, checked and turned into models."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from sdcpu.errors import InvalidRequestError, RegistryError
from sdcpu.families import FAMILIES, PART_FAMILIES, FileRole
from sdcpu.images import ImageRequest
from sdcpu.models import Defaults, Model, ModelFile, ModelKind, family_defaults, in_variants
from sdcpu.tensors import GGUF_TYPES

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_QUANTIZATION = re.compile(r"[a-z]{1,3}[0-9]{1,2}[a-z0-9_]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_SIZE = 2**50
CHECKED_BY_HUB = "hub"
"""As sha256: nobody recorded it; the hub's own checksum of the file is checked."""
UNCHECKED = "unknown"
"""As sha256 of a file at a plain address: nobody recorded it; only the header is checked."""

_ENTRY_KEYS = {
    "summary": str,
    "kind": str,
    "family": str,
    "license": str,
    "gated": bool,
    "uses": list,
    "files": list,
    "defaults": dict,
    "draft": dict,
    "best": dict,
    "recommended_rank": int,
    "notes": str,
}
_FILE_KEYS = {
    "role": str,
    "repository": str,
    "path": str,
    "revision": str,
    "url": str,
    "local_path": str,
    "built_in": bool,
    "size": int,
    "size_about": int,
    "sha256": str,
    "license": str,
    "gated": bool,
    "quantization": str,
    "quantize": str,
    "weight": float,
}
_DEFAULTS_KEYS = frozenset(field.name for field in fields(Defaults))
_PRESET_KEYS = _DEFAULTS_KEYS | {"decoder"}
_TYPE_NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
_TYPE_NAMES |= {list: "a list", dict: "a table"}


def read_models(models_file: Path | None) -> dict[str, Model]:
    """Read our models.toml, merge the user's over it, and build every model.

    Raises:
        RegistryError: see `sdcpu.registry.load_registry`.
    """
    ours = shipped_models_file()
    entries = {
        name: _Entry(_Place(file=ours, entry=name), table, "sdcpu")
        for name, table in _read_tables(ours).items()
    }
    if models_file is not None:
        for name, table in _read_tables(models_file, may_be_missing=True).items():
            place = _Place(file=models_file, entry=name)
            known = entries[name].table if name in entries else {}
            entries[name] = _Entry(place, _merged(known, table), "user")
    return {name: _model(name, entries) for name in entries}


def shipped_models_file() -> Path:
    """Where our own models.toml is: inside the installed package, or beside it in the source.

    An editable installation has a copy too, as old as itself: the code's own folder decides.

    Raises:
        RegistryError: it is in neither place.
    """
    here = Path(__file__).parent
    for candidate in (here / "models.toml", here.parent / "models.toml"):
        if candidate.is_file():
            return candidate
    raise RegistryError("models.toml is missing from sdcpu.", hint="Install sdcpu again.")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where in which file something is, for messages."""

    file: Path
    entry: str
    part: str = ""

    def inside(self, part: str) -> _Place:
        return replace(self, part=f"{self.part}.{part}" if self.part else part)

    def error(self, problem: str, key: str = "") -> RegistryError:
        where = ".".join(word for word in (self.part, key) if word)
        named = f", key {where}" if where else ""
        return RegistryError(
            f"{self.file}, entry {self.entry}{named}: {problem}",
            hint="Correct the file, or move it away to do without it.",
            details={"path": str(self.file), "entry": self.entry, "key": where},
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    place: _Place
    table: Mapping[str, Any]
    source: Literal["sdcpu", "user"]


def _read_tables(file: Path, *, may_be_missing: bool = False) -> dict[str, dict[str, Any]]:
    """The entries of a models.toml; their keys and types are right, values are not yet checked."""
    try:
        with file.open("rb") as stream:
            content = tomllib.load(stream)
    except (OSError, ValueError, RecursionError) as error:
        if may_be_missing and isinstance(error, FileNotFoundError):
            return {}
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise RegistryError(
            f"{file} cannot be read: {reason}.",
            hint="Correct the file, or move it away to do without it.",
            details={"path": str(file)},
        ) from error
    for name, table in content.items():
        place = _Place(file=file, entry=name)
        if not _NAME.fullmatch(name):
            raise place.error("a name has only a-z, 0-9, dots, dashes and underscores.")
        if not isinstance(table, dict):
            raise place.error(f"it must be a table, [{name}], with keys of its own.")
        _check_keys(place, table, _ENTRY_KEYS)
        for number, part in enumerate(table.get("files", []), start=1):
            inside = place.inside(f"files[{number}]")
            if not isinstance(part, dict):
                raise inside.error("it must be a table.")
            _check_keys(inside, part, _FILE_KEYS)
    return content


def _check_keys(place: _Place, table: Mapping[str, Any], known: Mapping[str, type]) -> None:
    for key, value in table.items():
        if key not in known:
            raise place.error(f"there is no such key; known are {', '.join(known)}.", key)
        wanted = known[key]
        right = isinstance(value, int | float if wanted is float else wanted)
        if not right or (isinstance(value, bool) and wanted is not bool):
            raise place.error(f"it must be {_TYPE_NAMES[wanted]}, not {_shown(value)}.", key)


def _shown(value: object) -> str:
    """A value for a message, cut where long; a hexadecimal number can be too long for repr."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:79]}…"


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Their keys over ours; tables such as defaults are merged key by key, lists are replaced."""
    merged = dict(ours)
    for key, value in theirs.items():
        old = merged.get(key)
        both = isinstance(value, dict) and isinstance(old, dict)
        merged[key] = {**old, **value} if both and old else value
    return merged


def _model(name: str, entries: Mapping[str, _Entry]) -> Model:
    place, table = entries[name].place, entries[name].table
    for key in ("summary", "family", "license"):
        if not table.get(key):
            raise place.error("it is missing.", key)
    family = _choice(place, table, "family", [*FAMILIES, *PART_FAMILIES])
    files = (*_own_files(place, table), *_used_files(name, entries))
    if not files:
        raise place.error("it is missing: a model needs files of its own or of others.", "files")
    rank = table.get("recommended_rank")
    if rank is not None and not 1 <= rank <= 1000:
        raise place.error(f"it must be from 1 to 1000, not {_shown(rank)}.", "recommended_rank")
    model = Model(
        name=name,
        summary=table["summary"],
        kind=_choice(place, table, "kind", get_args(ModelKind), "image"),
        family=family,
        license=table["license"],
        gated=table.get("gated", False) or any(file.gated for file in files),
        files=files,
        defaults=_defaults(place, family, table.get("defaults", {})),
        draft=_preset(place, "draft", table.get("draft", {})),
        best=_preset(place, "best", table.get("best", {})),
        source=entries[name].source,
        recommended_rank=rank,
        notes=table.get("notes", ""),
    )
    return in_variants(model)


def _choice(
    place: _Place,
    table: Mapping[str, Any],
    key: str,
    choices: Iterable[str],
    default: str | None = None,
) -> Any:
    value = table.get(key, default)
    known = list(choices)
    if value not in known:
        raise place.error(f"there is no {_shown(value)}; choose one of {', '.join(known)}.", key)
    return value


def _own_files(place: _Place, table: Mapping[str, Any]) -> tuple[ModelFile, ...]:
    files = tuple(
        _file(place.inside(f"files[{number}]"), part, table)
        for number, part in enumerate(table.get("files", []), start=1)
    )
    for file in files:
        others = [other for other in files if other.role is file.role]
        labels = {other.quantization for other in others}
        alternatives = len(labels) == len(others) and "" not in labels
        if file.role is not FileRole.LORA and len(others) > 1 and not alternatives:
            problem = (
                f"two files have the role {file.role}; of alternatives each has a quantization"
            )
            raise place.error(f"{problem} of its own.", "files")
    return files


def _used_files(name: str, entries: Mapping[str, _Entry]) -> tuple[ModelFile, ...]:
    """The files of the entries that this one uses; those may not use others in turn."""
    place, table = entries[name].place, entries[name].table
    files: list[ModelFile] = []
    for used in table.get("uses", []):
        if not isinstance(used, str) or used not in entries or used == name:
            raise place.error(f"there is no other entry {_shown(used)}.", "uses")
        other = entries[used]
        if other.table.get("uses"):
            raise place.error(f"{used} uses other entries itself.", "uses")
        files += _own_files(other.place, other.table)
    return tuple(files)


def _file(place: _Place, part: Mapping[str, Any], entry: Mapping[str, Any]) -> ModelFile:
    if "role" not in part:
        raise place.error("it is missing.", "role")
    role = FileRole(_choice(place, part, "role", list(FileRole)))
    sources = [key for key in ("repository", "url", "local_path", "built_in") if part.get(key)]
    if len(sources) != 1:
        raise place.error("a file has one of repository, url, local_path and built_in.")
    if "repository" in part and not _REPOSITORY.fullmatch(part["repository"]):
        raise place.error(f'it is "owner/name", not {_shown(part["repository"])}.', "repository")
    url = part.get("url")
    if url is not None and not re.fullmatch(r"https://[^/\s]+/\S+", url):
        raise place.error(f"it must be an https address, not {_shown(url)}.", "url")
    local = _local_path(place, part)
    path = part.get("path") or (url.rpartition("/")[2] if url else local.name if local else "")
    size, approximate = _size(place, part)
    return ModelFile(
        role=role,
        repository=part.get("repository"),
        path=_safe_path(place, path),
        size=size,
        size_is_approximate=approximate,
        sha256=_sha256(place, part, on_hub=sources == ["repository"]),
        revision=part.get("revision", "main"),
        url=url,
        license=part.get("license") or entry.get("license"),
        gated=part.get("gated", False),
        quantization=_quantization(place, part),
        quantize=_quantize(place, part),
        weight=_weight(place, part),
        built_in=part.get("built_in", False),
        local_path=local,
    )


def _local_path(place: _Place, part: Mapping[str, Any]) -> Path | None:
    """A file on this disk; a relative path counts from the folder of its models.toml."""
    if "local_path" not in part:
        return None
    try:
        return place.file.parent / Path(part["local_path"]).expanduser()
    except RuntimeError as error:
        raise place.error(f"{error}", "local_path") from error


def _safe_path(place: _Place, path: str) -> str:
    if not path:
        raise place.error("it is missing.", "path")
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or re.search(r"[\\\x00-\x1f:]", path):
        raise place.error(f"it must stay inside the repository, not {_shown(path)}.", "path")
    return path


def _size(place: _Place, part: Mapping[str, Any]) -> tuple[int | None, bool]:
    if "size" in part and "size_about" in part:
        raise place.error("give size or size_about, not both.", "size")
    for key in ("size", "size_about"):
        if not 0 < part.get(key, 1) <= _MAX_SIZE:
            raise place.error(f"it is {_shown(part[key])} bytes; a file has 1 to 2**50.", key)
    return part.get("size", part.get("size_about")), "size_about" in part


def _sha256(place: _Place, part: Mapping[str, Any], *, on_hub: bool) -> str | None:
    """The pinned hash; what comes over the network must have one or say that it has none."""
    value = part.get("sha256")
    nobody_knows = CHECKED_BY_HUB if on_hub else UNCHECKED
    if value == nobody_knows or (value is None and not (on_hub or "url" in part)):
        return None
    if value is None or not _SHA256.fullmatch(value.lower()):
        problem = (
            "it is missing" if value is None else f"{_shown(value)} is not 64 hexadecimal digits"
        )
        raise place.error(f'{problem}; write "{nobody_knows}" when nobody knows it.', "sha256")
    return str(value).lower()


def _quantization(place: _Place, part: Mapping[str, Any]) -> str:
    label = str(part.get("quantization", ""))
    if label and not _QUANTIZATION.fullmatch(label):
        raise place.error(f'it is a name such as "q4_k", not {_shown(label)}.', "quantization")
    return label


def _quantize(place: _Place, part: Mapping[str, Any]) -> str | None:
    types = [kind.name for kind in GGUF_TYPES.values()]
    return _choice(place, part, "quantize", types) if "quantize" in part else None


def _weight(place: _Place, part: Mapping[str, Any]) -> float:
    weight = part.get("weight", 1.0)
    if not -10 <= weight <= 10:
        raise place.error(f"it must be from -10 to 10, not {_shown(weight)}.", "weight")
    return float(weight)


def _defaults(place: _Place, family: str, table: Mapping[str, Any]) -> Defaults:
    _check_values(place.inside("defaults"), table, _DEFAULTS_KEYS)
    return replace(family_defaults(family), **table)


def _preset(place: _Place, name: str, table: Mapping[str, Any]) -> dict[str, object]:
    _check_values(place.inside(name), table, _PRESET_KEYS)
    return dict(table)


def _check_values(place: _Place, table: Mapping[str, Any], known: frozenset[str]) -> None:
    """Hold values to what a request may ask for."""
    for key, value in table.items():
        if key not in known:
            raise place.error(f"there is no such key; known are {', '.join(sorted(known))}.", key)
        if isinstance(value, int) and abs(value) > _MAX_SIZE:
            raise place.error("it is far too large a number.", key)
        try:
            if key == "flow_shift":
                ImageRequest(prompt="", guidance=value)  # the same limits: 0 to 100
            else:
                ImageRequest(prompt="", **{key: value})
        except InvalidRequestError as error:
            reason = f"{error.message} {error.hint}".strip()
            raise place.error(f"{_shown(value)} cannot be: {reason}", key) from error

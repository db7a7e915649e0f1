"""Weights files: what their headers say, checked in Python before native code sees the file."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sdcpu.errors import ModelFileError
from sdcpu.gguf_file import MAGIC, read_gguf
from sdcpu.safetensors_file import looks_like_safetensors, read_safetensors
from sdcpu.tensors import DamagedFileError, TensorInfo, UnknownTypeError

__all__ = [
    "DIFFUSERS_PARTS",
    "TensorInfo",
    "WeightsHeader",
    "allowed_pickle",
    "is_pickle",
    "read_header",
    "read_shards",
]

DIFFUSERS_PARTS = {
    "unet.": "unet/diffusion_pytorch_model.safetensors",
    "vae.": "vae/diffusion_pytorch_model.safetensors",
    "te.": "text_encoder/model.safetensors",
    "te.1.": "text_encoder_2/model.safetensors",
}
"""The files of a diffusers folder that the engine reads, by the prefix it puts before their names
(init_from_diffusers_file in stable-diffusion.cpp's model.cpp)."""

_AGAIN = "The download or copy may have broken off: get the file again."
_KINDS = "Give a GGUF or safetensors file."
_PICKLE_MAGICS = (b"PK\x03\x04", b"PK\x05\x06", *(bytes((0x80, n)) for n in range(2, 6)))
"""How torch.save() begins its files: as a zip archive, before 2020 as a bare pickle."""
_OTHER_KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights", "Fetch it: git lfs pull."),
    (b"<", "a web page, not a model", "Download the file itself, not the page about it."),
    (b"\x89PNG", "a picture", _KINDS),
    (b"\xff\xd8\xff", "a picture", _KINDS),
    (b"lmgg", "of an old GGML format", "Get the same model as GGUF."),
    (b"tjgg", "of an old GGML format", "Get the same model as GGUF."),
    (b"FUGG", "a GGUF file for machines of the other byte order", "Get the little-endian file."),
)
_LONGEST_MESSAGE = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsHeader:
    """What a weights file says about itself; every offset and size in it was checked."""

    path: Path
    """The file, or the diffusers folder."""
    format: Literal["gguf", "safetensors"]
    metadata: Mapping[str, object]
    """Texts and numbers; arrays of more than 1,024 elements are left out."""
    tensors: tuple[TensorInfo, ...]

    @property
    def weights_size(self) -> int:
        """Bytes of all tensors as they are stored."""
        return sum(tensor.size for tensor in self.tensors)


def read_header(path: Path) -> WeightsHeader:
    """Read and check the header of a GGUF or safetensors file, or of a diffusers folder's files.

    The content decides, not the name. A damaged file is found within milliseconds: no count in it
    is believed before the file's size allows it. A diffusers folder is read as the engine reads it:
    one header, the names of each part behind its prefix (`DIFFUSERS_PARTS`).

    Raises:
        ModelFileError: the file is missing, unreadable, damaged, a pickle or something else.

    >>> header = read_header(Path("sd15-q8_0.gguf"))  # doctest: +SKIP
    >>> header.weights_size  # doctest: +SKIP
    1758494720
    """
    if _is_diffusers_folder(path):
        return _read_diffusers_folder(path)
    size = _size_of_regular_file(path)
    try:
        with path.open("rb") as file:
            beginning = file.read(32)
            file.seek(0)
            if beginning.startswith(MAGIC):
                metadata, tensors = read_gguf(file, size)
                kind: Literal["gguf", "safetensors"] = "gguf"
            elif looks_like_safetensors(beginning):
                metadata, tensors = read_safetensors(file, size)
                kind = "safetensors"
            else:
                raise _refusal(path, beginning)
    except DamagedFileError as error:
        raise _error(path, f"is damaged: {error}.", _AGAIN) from error
    except UnknownTypeError as error:
        hint = "Get the model as f16 or with other quantisation."
        raise _error(path, f"cannot be used: {error}.", hint) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not tensors:
        raise _error(path, "has no tensors in it.", _AGAIN)
    return WeightsHeader(path=path, format=kind, metadata=metadata, tensors=tensors)


def read_shards(index: Path) -> WeightsHeader:
    """Read and check a model that is cut into several safetensors files, by their index file.

    Raises:
        ModelFileError: the index or one of the files is missing or damaged, or they disagree.

    >>> read_shards(Path("unet/diffusion_pytorch_model.safetensors.index.json"))  # doctest: +SKIP
    """
    size = _size_of_regular_file(index)
    if size > 32 * 1024 * 1024:
        raise _error(index, f"is damaged: an index of {size} bytes.", _AGAIN)
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
        files = {str(name): str(file) for name, file in weight_map.items()}
    except OSError as error:
        raise _unreadable(index, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _error(index, "is damaged: it has no table of tensors and files.", _AGAIN) from error
    tensors: list[TensorInfo] = []
    for file in sorted(set(files.values())):
        if Path(file).name != file or file in ("", ".."):
            raise _error(index, f"leads outside its folder: {file}.", "Do not use this model.")
        for tensor in read_header(index.parent / file).tensors:
            if files.pop(tensor.name, None) != file:
                raise _error(index, f"and {file} disagree about tensor {tensor.name}.", _AGAIN)
            tensors.append(tensor)
    if files:
        raise _error(index, f"names a tensor that is in no file: {next(iter(files))}.", _AGAIN)
    return WeightsHeader(path=index, format="safetensors", metadata={}, tensors=tuple(tensors))


def is_pickle(path: Path) -> bool:
    """Whether the file is a pickled checkpoint by its content; opening one can run any program.

    Raises:
        ModelFileError: the file is missing or cannot be read.
    """
    _size_of_regular_file(path)
    try:
        with path.open("rb") as file:
            return _begins_like_pickle(file.read(4))
    except OSError as error:
        raise _unreadable(path, error) from error


def allowed_pickle(path: Path, sha256s: Collection[str]) -> bool:
    """Whether the file is a pickle that somebody vouched for: its sha256 is one of these.

    Raises:
        ModelFileError: the file is missing or cannot be read.
    """
    if not is_pickle(path):
        return False
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error
    return digest in {sha256.lower() for sha256 in sha256s}


def _begins_like_pickle(beginning: bytes) -> bool:
    return beginning.startswith(_PICKLE_MAGICS)


def _is_diffusers_folder(path: Path) -> bool:
    try:
        return (path / "unet").is_dir()
    except OSError:
        return False


def _read_diffusers_folder(folder: Path) -> WeightsHeader:
    tensors: list[TensorInfo] = []
    for prefix, file in DIFFUSERS_PARTS.items():
        part = folder / file
        if part.exists():
            tensors += (
                replace(t, name=t.name if t.name.startswith(prefix) else prefix + t.name)
                for t in read_header(part).tensors
            )
        elif prefix == "unet.":
            raise _no_single_file(part)
    return WeightsHeader(path=folder, format="safetensors", metadata={}, tensors=tuple(tensors))


def _no_single_file(part: Path) -> ModelFileError:
    hint = f"The engine needs one file {part.name} in {part.parent}; or give a GGUF file."
    index = part.with_name(f"{part.name}.index.json")
    if index.exists():
        read_shards(index)
        return _error(part.parent, "holds a model cut into several files.", hint)
    others = sorted(file.name for file in part.parent.iterdir() if file.is_file())
    found = f"; it has {', '.join(others[:5])}" if others else ""
    return _error(part.parent, f"lacks {part.name}{found}.", hint)


def _size_of_regular_file(path: Path) -> int:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise _error(path, "does not exist.", "Check the path.") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise _error(
            path,
            "is a folder and no diffusers model.",
            "Give a file, or a folder with unet/ in it.",
        )
    if not stat.S_ISREG(status.st_mode):
        raise _error(path, "is not an ordinary file but a pipe, a socket or a device.", _KINDS)
    if status.st_size == 0:
        raise _error(path, "is empty.", _AGAIN)
    return status.st_size


def _refusal(path: Path, beginning: bytes) -> ModelFileError:
    """The error for a file that is neither GGUF nor safetensors."""
    if _begins_like_pickle(beginning):
        return _error(
            path,
            "is a pickled checkpoint; opening one can run any program.",
            "Get the same model as safetensors or GGUF.",
        )
    if len(beginning) < 32:
        return _error(path, f"is damaged: it has only {len(beginning)} bytes.", _AGAIN)
    for magic, what, hint in _OTHER_KINDS:
        if beginning.lstrip().startswith(magic):
            return _error(path, f"is {what}.", hint)
    return _error(path, "is neither a GGUF nor a safetensors file.", _KINDS)


def _unreadable(path: Path, error: OSError | ValueError) -> ModelFileError:
    if not isinstance(error, OSError):
        return _error(path, f"is no possible file name: {error}.", "Check the path.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return _error(path, "may not be read by you.", "Ask its owner for permission to read it.")
    return _error(path, f"cannot be read: {error.strerror or error}.", "Check the path and disk.")


def _error(path: Path, problem: str, hint: str) -> ModelFileError:
    """The error about a file; names from inside it are shown without control characters."""
    message = f"{path} {problem}"
    shown = "".join(letter if letter.isprintable() else "?" for letter in message)
    if len(shown) > _LONGEST_MESSAGE:
        shown = f"{shown[: _LONGEST_MESSAGE - 1]}…"
    return ModelFileError(shown, hint=hint, details={"path": str(path)})

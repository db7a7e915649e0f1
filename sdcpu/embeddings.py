"""Textual inversions: small files that give a word of the prompt a meaning of their own.

The word is the file's name. The engine puts the file's vectors where the word stands in the prompt.
It takes them for 32-bit numbers whatever they are, and looks for the word inside other words too:
both are seen to here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpu.errors import InvalidRequestError, ModelFileError
from sdcpu.families import FAMILIES
from sdcpu.weights import WeightsHeader, read_header
from sdcpu.whole_file import written_whole

if TYPE_CHECKING:
    from sdcpu.tensors import TensorInfo

ENDINGS = (".safetensors", ".gguf")
MOST_VECTORS = 75
"""Tokens that a CLIP text encoder reads at once, beside its begin and its end."""

_WIDTHS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 1280: "Stable Diffusion XL"}
"""What a text encoder of this width belongs to."""
_WIDTH_OF_FAMILY = {"sd1": 768, "sd1_tiny": 768, "sdxs": 768, "sd2": 1024}
_NAME = re.compile(r"\w[^\s()\[\]<>{}:,|\\]*")
"""What the engine reads as one word: brackets, colons and commas have meanings in prompts."""
_BYTES = {"f32": 4, "f16": 2, "bf16": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding:
    """A textual inversion that a prompt may name."""

    path: Path

    @property
    def name(self) -> str:
        """The word that stands for it."""
        return self.path.stem


def embeddings_in(place: Path) -> list[Embedding]:
    """A file, or all files of a folder and of the folders inside it.

    Raises:
        ModelFileError: there is nothing, or it is a kind of file that is refused.
    """
    if place.is_dir():
        paths = (path for path in sorted(place.rglob("*")) if path.is_file())
        return [Embedding(path=path) for path in paths if path.suffix.lower() in ENDINGS]
    if not place.is_file():
        raise ModelFileError(
            f"There is no file or folder {str(place)!r} with embeddings.", hint="Check the path."
        )
    read_header(place)
    return [Embedding(path=place.absolute())]


def used_in(embeddings: Iterable[Embedding], prompts: Sequence[str]) -> list[Embedding]:
    """Those whose names stand in the prompts, in the order given; of equal names the first.

    Raises:
        InvalidRequestError: a name cannot be a word of a prompt, or would also replace a part of
            another word.

    >>> ink, oil = Embedding(path=Path("ink.gguf")), Embedding(path=Path("oil.gguf"))
    >>> [found.name for found in used_in([ink, oil], ["a cat in INK", ""])]
    ['ink']
    """
    used: dict[str, Embedding] = {}
    text = "\n".join(" ".join(prompt.split()) for prompt in prompts).lower()
    for embedding in embeddings:
        name = embedding.name.lower()
        if name not in used and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
            used[name] = embedding
    for name, embedding in used.items():
        _check_name(embedding, name, text)
    return list(used.values())


def check_embedding(header: WeightsHeader, family: str) -> int:
    """Make sure that an embedding suits a family of models; return its number of vectors.

    Raises:
        InvalidRequestError: models of this family take none.
        ModelFileError: it is none, or was made for another family.
    """
    title = FAMILIES[family].title if family in FAMILIES else "this model"
    if family == "sdxl":
        raise InvalidRequestError(
            f"Embeddings cannot be used with {title}: the engine mixes up the vectors of its two "
            "text encoders.",
            hint="Leave the embedding out, or use a LoRA.",
        )
    if family not in _WIDTH_OF_FAMILY:
        raise InvalidRequestError(
            f"{title} takes no embeddings.",
            hint="Models of Stable Diffusion 1.x and 2.x do. Leave it out, or use a LoRA.",
        )
    tensor = _vectors(header)
    width = tensor.shape[-1]
    if width != _WIDTH_OF_FAMILY[family]:
        made_for = _WIDTHS.get(width, "another kind of model")
        raise _error(
            header,
            f"was made for {made_for}: its tensor {tensor.name} has vectors of {width} numbers, "
            f"and {title} needs {_WIDTH_OF_FAMILY[family]}.",
            f"Take an embedding that was made for {title}.",
        )
    return tensor.shape[0] if len(tensor.shape) > 1 else 1


def prepared(header: WeightsHeader, folder: Path) -> Path:
    """The file as the engine needs it: one tensor of 32-bit numbers; made in `folder` if it is not.

    Raises:
        ModelFileError: its numbers are of another type, or the folder cannot be written.
    """
    tensor = _vectors(header)
    if tensor.type == "f32" and len(header.tensors) == 1:
        return header.path
    if header.format != "safetensors" or tensor.type not in _BYTES:
        raise _error(
            header,
            f"holds numbers of the type {tensor.type}, which the engine cannot use here.",
            "Get it as safetensors in f32 or f16.",
        )
    data = _as_f32(header.path, tensor)
    shape = tensor.shape if len(tensor.shape) == 2 else (1, tensor.shape[-1])
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, len(data)]}
    text = json.dumps({"emb_params": entry}).encode()
    content = len(text).to_bytes(8, "little") + text + data
    target = folder / hashlib.sha256(content).hexdigest()[:16] / f"{header.path.stem}.safetensors"
    if not target.is_file():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(target) as file:
                file.write(content)
        except OSError as error:
            raise ModelFileError(
                f"{target} cannot be written: {error.strerror or error}.",
                hint="Set SDCPU_CACHE to a folder that you may write to.",
            ) from error
    return target


def _check_name(embedding: Embedding, name: str, text: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"The name {embedding.name!r} of an embedding cannot be a word of a prompt.",
            hint="Rename the file: without spaces, brackets, colons and commas.",
        )
    inside = re.search(
        rf"[\w-]*(?:(?<=[\w-]){re.escape(name)}|{re.escape(name)}(?=[\w-]))[\w-]*", text
    )
    if inside:
        raise InvalidRequestError(
            f"The embedding {embedding.name} would also replace a part of the word {inside[0]!r}.",
            hint="Rename its file to something that is in no other word of the prompt.",
        )


def _vectors(header: WeightsHeader) -> TensorInfo:
    """The one tensor with vectors as wide as a text encoder."""
    found = [
        tensor
        for tensor in header.tensors
        if len(tensor.shape) in (1, 2) and tensor.shape[-1] in _WIDTHS
    ]
    if len(found) != 1:
        both = {tensor.shape[-1] for tensor in found} == {768, 1280}
        what = "was made for Stable Diffusion XL" if both else "is no embedding"
        names = ", ".join(tensor.name[:40] for tensor in header.tensors[:3])
        raise _error(
            header,
            f"{what}: it has {len(header.tensors)} tensors such as {names}.",
            "Give a textual inversion for Stable Diffusion 1.x or 2.x.",
        )
    vectors = found[0].shape[0] if len(found[0].shape) == 2 else 1
    if not 1 <= vectors <= MOST_VECTORS:
        raise _error(
            header,
            f"has {vectors} vectors; a text encoder reads {MOST_VECTORS} at once.",
            "Give a textual inversion.",
        )
    return found[0]


def _as_f32(path: Path, tensor: TensorInfo) -> bytes:
    """The tensor's values from a safetensors file whose header was checked."""
    import numpy as np

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        begin, end = json.loads(file.read(length))[tensor.name]["data_offsets"]
        file.seek(8 + length + begin)
        data = file.read(end - begin)
    if tensor.type == "bf16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).tobytes()
    return np.frombuffer(data, f"<f{_BYTES[tensor.type]}").astype("<f4").tobytes()


def _error(header: WeightsHeader, problem: str, hint: str) -> ModelFileError:
    message = f"The embedding {header.path} {problem}"
    shown = "".join(letter if letter.isprintable() else "?" for letter in message)
    return ModelFileError(shown, hint=hint, details={"path": str(header.path)})

"""Textual inversions: which a prompt names, which fit a model, how the engine gets them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdcpu.adapters import Adapters
from sdcpu.catalog import Catalog
from sdcpu.embeddings import Embedding, check_embedding, embeddings_in, prepared, used_in
from sdcpu.errors import InvalidRequestError, ModelFileError
from sdcpu.families import FileRole
from sdcpu.images import ImageRequest
from sdcpu.settings import load_settings
from sdcpu.tensors import TensorInfo
from sdcpu.weights import WeightsHeader, read_header
from tests.made_adapters import write_safetensors

INK, PAPER = Embedding(path=Path("ink.safetensors")), Embedding(path=Path("old-Paper.gguf"))


@pytest.mark.parametrize(
    ("prompts", "names"),
    [
        (("a cat in ink", ""), ["ink"]),
        (("a cat", "INK,(old-paper:1.2)"), ["ink", "old-Paper"]),
        (("inks and think of old paper", ""), []),
        (("ink-blue", ""), []),
    ],
)
def test_embeddings_that_prompts_name(prompts: tuple[str, str], names: list[str]) -> None:
    assert [found.name for found in used_in([INK, PAPER], prompts)] == names


def test_the_first_of_equal_names_is_taken() -> None:
    other = Embedding(path=Path("folder/ink.gguf"))
    assert used_in([other, INK], ("ink",)) == [other]


@pytest.mark.parametrize(
    ("name", "prompt", "words"),
    [
        ("ink", "ink to think of", "a part of the word 'think'"),
        ("ink", "ink, ink-blue", "a part of the word 'ink-blue'"),
        ("a", "a cat", "a part of the word 'cat'"),
        ("old paper", "on old paper", "cannot be a word"),
        ("(ink", "a (ink blot)", "cannot be a word"),
    ],
)
def test_names_that_the_engine_would_mistake(name: str, prompt: str, words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        used_in([Embedding(path=Path(f"{name}.safetensors"))], (prompt,))
    assert words in caught.value.message
    assert "Rename" in caught.value.hint


def header(*tensors: tuple[str, tuple[int, ...]], kind: str = "f32") -> WeightsHeader:
    """The header of an embedding with these tensors."""
    infos = tuple(TensorInfo(name=n, shape=s, type=kind, size=4) for n, s in tensors)
    return WeightsHeader(path=Path("ink.gguf"), format="gguf", metadata={}, tensors=infos)


@pytest.mark.parametrize(
    ("shape", "family", "vectors"),
    [((768,), "sd1", 1), ((8, 768), "sd1_tiny", 8), ((2, 1024), "sd2", 2)],
)
def test_vectors_of_an_embedding(shape: tuple[int, ...], family: str, vectors: int) -> None:
    assert check_embedding(header(("<ink>", shape)), family) == vectors


@pytest.mark.parametrize(
    ("tensors", "family", "words"),
    [
        ([("emb", (2, 1024))], "sd1", "made for Stable Diffusion 2.x: its tensor emb has vectors"),
        ([("emb", (2, 768))], "sd2", "made for Stable Diffusion 1.x"),
        ([("clip_l", (2, 768)), ("clip_g", (2, 1280))], "sd1", "made for Stable Diffusion XL"),
        ([("a.weight", (2, 5)), ("b.weight", (5,))], "sd1", "is no embedding: it has 2 tensors"),
        ([("a", (768,)), ("b", (768,))], "sd1", "is no embedding"),
        ([("emb", (76, 768))], "sd1", "has 76 vectors"),
        ([("emb", (0, 768))], "sd1", "has 0 vectors"),
        ([("emb", (2, 768))], "sdxl", "mixes up"),
        ([("emb", (2, 768))], "flux", "FLUX.1 takes no embeddings"),
    ],
)
def test_embeddings_that_do_not_fit(
    tensors: list[tuple[str, tuple[int, ...]]], family: str, words: str
) -> None:
    with pytest.raises((ModelFileError, InvalidRequestError)) as caught:
        check_embedding(header(*tensors), family)
    assert words in caught.value.message


VALUES = np.linspace(-1, 1, 2 * 768, dtype=np.float32).reshape(2, 768)


def test_a_file_in_f32_is_used_as_it_is(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "ink.safetensors", {"emb": VALUES})
    path = tmp_path / "ink.safetensors"
    assert prepared(read_header(path), tmp_path / "cache") == path


@pytest.mark.parametrize("more", [{}, {"other": np.zeros(3, np.float32)}])
def test_a_file_in_f16_is_written_again_in_f32(tmp_path: Path, more: dict[str, object]) -> None:
    path = tmp_path / "ink.safetensors"
    write_safetensors(path, {**more, "emb": VALUES}, kind="f2")  # type: ignore[dict-item]
    made = prepared(read_header(path), tmp_path / "cache")
    assert made.name == "ink.safetensors"
    (tensor,) = read_header(made).tensors
    assert (tensor.shape, tensor.type) == ((2, 768), "f32")
    values = np.frombuffer(made.read_bytes()[-VALUES.nbytes :], "<f4").reshape(2, 768)
    assert np.array_equal(values, VALUES.astype("<f2"))
    written = made.stat().st_mtime_ns
    assert prepared(read_header(path), tmp_path / "cache").stat().st_mtime_ns == written


def test_bfloat16_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ink.safetensors"
    write_safetensors(path, {"emb": VALUES}, kind="f2")
    data = path.read_bytes().replace(b'"F16"', b'"BF16"', 1)
    length = int.from_bytes(data[:8], "little")
    path.write_bytes((length + 1).to_bytes(8, "little") + data[8:])
    made = prepared(read_header(path), tmp_path)
    values = np.frombuffer(made.read_bytes()[-VALUES.nbytes :], "<u4")
    assert np.array_equal(values >> 16, VALUES.astype("<f2").view("<u2").ravel())


def test_other_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="type q8_0"):
        prepared(header(("emb", (2, 768)), kind="q8_0"), tmp_path)


def test_a_folder_of_embeddings(tmp_path: Path) -> None:
    for name in ("b/ink.safetensors", "paper.gguf", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [found.name for found in embeddings_in(tmp_path)] == ["ink", "paper"]


@pytest.mark.parametrize(("content", "words"), [(None, "no file or folder"), (b"", "is empty")])
def test_places_without_embeddings(tmp_path: Path, content: bytes | None, words: str) -> None:
    place = tmp_path / "ink.safetensors"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(ModelFileError, match=words):
        embeddings_in(place)


@pytest.fixture
def adapters(tmp_path: Path) -> Adapters:
    """A user with one embedding in their folder."""
    (tmp_path / "embeddings").mkdir()
    write_safetensors(tmp_path / "embeddings" / "ink.safetensors", {"emb": VALUES})
    settings = load_settings({"SDCPU_CONFIG": str(tmp_path / "config.toml")})
    settings = replace(settings, cache_folder=tmp_path / "cache")
    return Adapters(Catalog(settings), settings)


def test_the_users_embeddings_join_where_they_are_named(adapters: Adapters, tmp_path: Path) -> None:
    model = adapters._catalog.find("sd15-q8_0")
    adapted = adapters.join(model, ImageRequest(prompt="a cat in ink"))
    (file,) = (file for file in adapted.model.files if file.role is FileRole.EMBEDDING)
    assert file.local_path == tmp_path / "embeddings" / "ink.safetensors"
    assert adapted.request.embeddings == (file.local_path,)
    assert adapters.join(model, ImageRequest(prompt="a cat")).model == model


def test_a_named_embedding_that_does_nothing_is_noted(adapters: Adapters, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "oil.safetensors", {"emb": VALUES})
    request = ImageRequest(prompt="a cat", embeddings=(tmp_path / "oil.safetensors",))
    adapted = adapters.join(adapters._catalog.find("sd15-q8_0"), request)
    assert adapted.notes == ("The embedding oil changes nothing: the prompt does not name it.",)
    folder = replace(request, embeddings=(tmp_path / "embeddings",))
    assert adapters.join(adapters._catalog.find("sd15-q8_0"), folder).notes == ()


def test_the_users_own_is_left_out_where_the_model_takes_none(adapters: Adapters) -> None:
    model = adapters._catalog.find("sdxl-base")
    adapted = adapters.join(model, ImageRequest(prompt="a cat in ink"))
    assert adapted.model == model
    assert "ink.safetensors of your folder is not used" in adapted.notes[0]

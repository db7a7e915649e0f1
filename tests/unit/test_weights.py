"""Headers of weights files: what is read, what is refused, and that nothing else can happen."""

from __future__ import annotations

import os
import pickle
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sdcpu.errors import ModelFileError
from sdcpu.tensors import GGUF_TYPES
from sdcpu.weights import allowed_pickle, is_pickle, read_header, read_shards
from tests.bad_files import (
    BAD_FILES,
    Maker,
    described,
    entry,
    gguf,
    safetensors,
    tensor,
    text,
    unreadable,
)

LONGEST = 1.0
"""Seconds that refusing a file may take on a busy machine; it is milliseconds on a quiet one."""


@pytest.mark.parametrize(
    ("make", "words"), [case[1:] for case in BAD_FILES], ids=[c[0] for c in BAD_FILES]
)
def test_bad_files_are_refused_with_a_reason(tmp_path: Path, make: Maker, words: str) -> None:
    path = tmp_path / "model"
    make(path)
    began = time.perf_counter()
    with pytest.raises(ModelFileError) as caught:
        read_header(path)
    assert time.perf_counter() - began < LONGEST
    assert words in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    unreadable(tmp_path / "model")
    with pytest.raises(ModelFileError, match="may not be read by you"):
        read_header(tmp_path / "model")


def test_permission_denied_while_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    path.write_bytes(gguf(tensor()))

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    for function in (read_header, is_pickle):
        with pytest.raises(ModelFileError, match="may not be read by you"):
            function(path)


@pytest.mark.parametrize("name", ["nul\0byte", "long" * 2000])
def test_impossible_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFileError):
        read_header(tmp_path / name)


def test_control_characters_of_a_file_do_not_reach_the_message(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(gguf(tensor("\x1b[31mred\n"), tensor("\x1b[31mred\n", offset=64)))
    with pytest.raises(ModelFileError) as caught:
        read_header(path)
    assert caught.value.message.isprintable()


def test_tensor_types_are_those_of_the_gguf_package() -> None:
    ours = {number: (kind.block_values, kind.block_bytes) for number, kind in GGUF_TYPES.items()}
    theirs = {kind.value: GGML_QUANT_SIZES[kind] for kind in GGMLQuantizationType}
    assert ours.pop(9) == (32, 36)  # q8_1: the package has an older size; no file has it
    assert ours == {number: theirs[number] for number in ours}
    assert {GGMLQuantizationType(n).name.lower() for n in GGUF_TYPES} == {
        k.name for k in GGUF_TYPES.values()
    }


def test_a_file_of_the_gguf_package_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "sd1")
    writer.add_uint32("answer", 42)
    writer.add_array("few", [1, 2, 3])
    writer.add_array("many", [f"word{n}" for n in range(5000)])
    writer.add_array("many.numbers", list(range(5000)))
    writer.add_tensor("half", np.zeros((3, 5), np.float16))
    writer.add_tensor("kernel", np.zeros((4, 3, 2, 2), np.float32))
    writer.add_tensor("quantised", np.zeros((7, 34), np.uint8), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    header = read_header(path)

    assert header.format == "gguf"
    assert header.path == path
    assert {tensor.name: (tensor.shape, tensor.type, tensor.size) for tensor in header.tensors} == {
        "half": ((3, 5), "f16", 30),
        "kernel": ((4, 3, 2, 2), "f32", 192),
        "quantised": ((7, 32), "q8_0", 238),
    }
    assert header.weights_size == 30 + 192 + 238
    assert header.metadata == {"general.architecture": "sd1", "answer": 42, "few": (1, 2, 3)}


def test_five_dimensions_gaps_and_large_alignment_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "model"
    alignment = entry("general.alignment", 4, (4096).to_bytes(4, "little"))
    tensors = (tensor("a", (2, 2, 1, 16, 2)), tensor("b", (2,), offset=8192))
    head = gguf(*tensors, entries=[alignment], data=0)
    path.write_bytes(head + bytes(4096 - len(head) + 8192 + 4))
    assert [info.shape for info in read_header(path).tensors] == [(2, 16, 1, 2, 2), (2,)]


def test_texts_that_are_no_utf8_are_allowed_among_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(gguf(tensor(), entries=[entry("k", 8, text(b"\xff"))]))
    assert read_header(path).metadata == {"k": "\ufffd"}


def gguf_example() -> bytes:
    entries = [entry("general.name", 8, text("x")), entry("n", 4, bytes(4))]
    return gguf(tensor("a", (32, 2)), tensor("b", (8,), offset=128), entries=entries, data=160)


def safetensors_example() -> bytes:
    second = {"b": {"dtype": "F32", "shape": [1, 1], "data_offsets": [4, 8]}}
    return safetensors({"__metadata__": {"k": "v"}} | described() | second, 8)


changes = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8)


@pytest.mark.parametrize(
    "example", [gguf_example(), safetensors_example()], ids=["gguf", "safetensors"]
)
@given(changes=changes, cut=st.one_of(st.none(), st.integers(0, 400)))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_corrupted_file_is_read_or_refused_and_nothing_else(
    tmp_path: Path, example: bytes, changes: list[tuple[int, int]], cut: int | None
) -> None:
    data = bytearray(example)
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "model"
    path.write_bytes(data[:cut])
    began = time.perf_counter()
    try:
        header = read_header(path)
    except ModelFileError:
        pass
    else:
        assert 0 < header.weights_size <= len(data)
    assert time.perf_counter() - began < LONGEST


@given(changes=changes)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_read_is_what_the_gguf_package_reads(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(gguf_example())
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "model"
    path.write_bytes(data)
    try:
        ours = read_header(path).tensors
    except ModelFileError:
        return
    theirs = GGUFReader(path).tensors
    assert [(info.name, info.shape[::-1], info.size) for info in ours] == [
        (info.name, tuple(info.shape), info.n_bytes) for info in theirs
    ]


def test_a_file_of_the_safetensors_package_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    arrays: dict[str, npt.NDArray[Any]] = {
        "half": np.zeros((3, 5), np.float16),
        "scalar": np.ones((), np.float32),
        "ids": np.zeros((1, 77), np.int64),
        "nothing": np.zeros((0, 4), np.float32),
    }
    save_file(arrays, path, metadata={"made": "here"})
    header = read_header(path)
    assert header.format == "safetensors"
    assert header.metadata == {"made": "here"}
    assert {tensor.name: (tensor.shape, tensor.type) for tensor in header.tensors} == {
        "half": ((3, 5), "f16"),
        "scalar": ((), "f32"),
        "ids": ((1, 77), "i64"),
        "nothing": ((0, 4), "f32"),
    }
    assert header.weights_size == 30 + 4 + 616


@given(changes=changes)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_the_safetensors_package_refuses_is_refused(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(safetensors_example())
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "model"
    path.write_bytes(data)
    try:
        ours = {info.name: list(info.shape) for info in read_header(path).tensors}
    except ModelFileError:
        return
    try:
        with safe_open(path, "numpy") as file:
            theirs = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        pytest.fail(f"only we read it: {error}")
    assert ours == theirs


def write_folder(folder: Path) -> None:
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        name = "model" if part.startswith("text") else "diffusion_pytorch_model"
        (folder / part).mkdir(parents=True)
        (folder / part / f"{name}.safetensors").write_bytes(safetensors(described()))


def test_a_diffusers_folder_is_one_header_with_the_engines_prefixes(tmp_path: Path) -> None:
    write_folder(tmp_path / "model")
    header = read_header(tmp_path / "model")
    assert [tensor.name for tensor in header.tensors] == ["unet.a", "vae.a", "te.a", "te.1.a"]
    assert header.weights_size == 16


def test_a_damaged_part_of_a_diffusers_folder_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "model")
    part = tmp_path / "model" / "vae" / "diffusion_pytorch_model.safetensors"
    part.write_bytes(safetensors(described(), 3))
    with pytest.raises(ModelFileError, match=r"vae/diffusion_pytorch_model\S* is damaged"):
        read_header(tmp_path / "model")


def write_shards(folder: Path) -> Path:
    (folder / "one.safetensors").write_bytes(safetensors(described()))
    (folder / "two.safetensors").write_bytes(safetensors({"b": described()["a"]}))
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}')
    return index


def test_shards_are_one_header(tmp_path: Path) -> None:
    header = read_shards(write_shards(tmp_path))
    assert [tensor.name for tensor in header.tensors] == ["a", "b"]
    assert header.weights_size == 8


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("", "is empty"),
        ("{", "no table of tensors"),
        ("[]", "no table of tensors"),
        ('{"weight_map": [1]}', "no table of tensors"),
        ('{"weight_map": {"a": "../one.safetensors"}}', "leads outside its folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "leads outside its folder"),
        ('{"weight_map": {"a": "three.safetensors"}}', "does not exist"),
        ('{"weight_map": {"b": "one.safetensors"}}', "disagree about tensor a"),
        ('{"weight_map": {"a": "one.safetensors", "c": "two.safetensors"}}', "disagree"),
        ('{"weight_map": {"a": "one.safetensors", "c": "one.safetensors"}}', "in no file: c"),
    ],
)
def test_bad_indexes_are_refused(tmp_path: Path, index: str, words: str) -> None:
    path = write_shards(tmp_path)
    path.write_text(index)
    with pytest.raises(ModelFileError) as caught:
        read_shards(path)
    assert words in caught.value.message


def test_only_pinned_pickles_are_allowed(tmp_path: Path) -> None:
    path, other = tmp_path / "model.pth", tmp_path / "model.gguf"
    path.write_bytes(pickle.dumps({"a": 1}))
    other.write_bytes(gguf_example())
    pinned = sha256(path.read_bytes()).hexdigest()
    assert is_pickle(path)
    assert not is_pickle(other)
    assert allowed_pickle(path, {pinned.upper()})
    assert not allowed_pickle(path, {"0" * 64})
    assert not allowed_pickle(other, {sha256(other.read_bytes()).hexdigest()})


def test_a_missing_pickle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        allowed_pickle(tmp_path / "model.pth", {"0" * 64})

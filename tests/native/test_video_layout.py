"""The binding's struct for videos is where the library looks for it."""

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from sdcpu.engine.library import import_binding
from sdcpu.errors import BuildUnusableError
from sdcpu.native_videos import check_video_layout


@pytest.fixture(scope="module")
def native() -> Any:
    return import_binding()


def test_the_struct_fits(native: Any) -> None:
    check_video_layout(native)


def changed(native: Any, fields: list[tuple[str, Any]]) -> Any:
    """The binding with other fields in that struct."""
    struct = type("sd_vid_gen_params_t", (ctypes.Structure,), {"_fields_": fields})
    return SimpleNamespace(_lib=native._lib, sd_vid_gen_params_t=struct)


def test_a_struct_of_another_size_is_noticed(native: Any) -> None:
    fields = native.sd_vid_gen_params_t._fields_
    with pytest.raises(BuildUnusableError, match="bytes there"):
        check_video_layout(changed(native, fields[:-1]))


@pytest.mark.parametrize("name", ["height", "moe_boundary", "video_frames"])
def test_fields_in_another_order_are_noticed(name: str, native: Any) -> None:
    fields = list(native.sd_vid_gen_params_t._fields_)
    at = next(index for index, field in enumerate(fields) if field[0] == name)
    fields[at], fields[at + 1] = fields[at + 1], fields[at]
    with pytest.raises(BuildUnusableError, match=r"in its place|bytes there"):
        check_video_layout(changed(native, fields))

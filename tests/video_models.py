"""Video models of files that hold nothing, for a faked engine; and what a finished video shows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from PIL import Image

from tests.sparse_files import write_sparse

_TENSORS = [("blocks.0.cross_attn.norm_k.weight", (64, 64))]
_ENTRY = """
[{name}]
summary = "For tests"
kind = "video"
family = "{family}"
license = "MIT"
defaults = {{ width = 64, height = 32, steps = 3, cfg_scale = 1.0, flow_shift = 3.0 }}
draft = {{ width = 32, height = 16, steps = 2 }}
"""
_FILE = """
[[{name}.files]]
role = "{role}"
local_path = "{path}"
"""
FAMILIES = {"t2v": "wan21", "i2v": "wan21_i2v", "ti2v": "wan22_ti2v", "two": "wan22_t2v"}
"""Families by the names of the models."""


def write_video_models(folder: Path) -> Path:
    """Write models.toml with a model of each family, and their files."""
    path = write_sparse(folder / "wan.gguf", _TENSORS)
    text = ""
    for name, family in FAMILIES.items():
        text += _ENTRY.format(name=name, family=family)
        roles = ["diffusion_model", "t5xxl", "vae"]
        roles += ["high_noise_diffusion_model"] if name == "two" else []
        text += "".join(_FILE.format(name=name, role=role, path=path) for role in roles)
    models = folder / "models.toml"
    models.write_text(text, encoding="utf-8")
    return models


def colours_of(path: Path) -> list[tuple[int, ...]]:
    """The colour in the middle of every frame of a video or folder, as players see them."""
    return [
        frame.getpixel((frame.width // 2, frame.height // 2))  # type: ignore[misc]
        for frame in frames_of(path)
    ]


def frames_of(path: Path) -> Iterator[Image.Image]:
    """The frames of a video file, or of a folder with one file for each."""
    if path.is_dir():
        for name in sorted(path.iterdir()):
            with Image.open(name) as image:
                yield image.convert("RGB")
    elif path.suffix in (".mp4", ".webm"):
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                picture: Any = frame
                yield picture.to_image()
    else:
        with Image.open(path) as image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                yield image.convert("RGB")

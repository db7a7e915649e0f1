"""Every family from its entry in models.toml to a picture, with made checkpoints of true shape.

An entry keeps all it says, but its files are made ones on this disk: names and shapes of tensors
are true, the weights random, and blocks that the engine counts are fewer. So a picture proves that
registry, plan, loading and sampling fit together, and tells what memory they take.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdcpu.families import FAMILIES
from sdcpu.generator import Event, ImageGenerator
from sdcpu.images import GeneratedImage
from sdcpu.memory import PARENT_PROCESS
from sdcpu.plan import EnginePlan
from sdcpu.registry import load_registry
from sdcpu.settings import Settings, load_settings
from sdcpu.videos import GeneratedVideo
from tests.checkpoints import CHECKPOINTS, write_checkpoint
from tests.checkpoints.writer import TypeName

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 128
"""Pixels of the pictures."""
STEPS = 2
FRAMES = 5
"""Of a video."""
_PROMPT = "a red circle on a blue background"
Parts = Mapping[str, tuple[str, TypeName]]
"""Checkpoint and type for each role."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wiring:
    """A model of a family, and what stands for its files."""

    model: str
    """Its name in models.toml, or a new one."""
    parts: Parts = field(hash=False)
    family: str = ""
    """Of a new one."""
    needs: tuple[str, ...] = ()
    """Pictures that it cannot draw without: names of `ImageRequest`."""
    decoders: tuple[str, ...] = ("tiny", "full")
    """Those that it has."""
    taken_for: str = ""
    """The family that its files are taken for by themselves, where it is another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """What came of it."""

    pictures: tuple[Image, ...]
    """By the tiny decoder, by the full one, as far as the family has them."""
    plans: tuple[EnginePlan, ...]
    seconds: float
    """For all of them, with loading."""
    peak: int
    """Bytes: the most that the engine's process ever had, and ours."""

    @property
    def predicted(self) -> int:
        """Bytes at the peak that the plans predicted."""
        return max(plan.memory_needed for plan in self.plans)


_CLIP: Parts = {"clip_l": ("clip-l", "f16")}
_T5: Parts = {"t5xxl": ("t5-xxl", "q4_0")}
_FULL_4: Parts = {"vae": ("vae", "f16")}
_TINY_4: Parts = {"tiny_decoder": ("taesd", "f16")}
_BOTH_16: Parts = {"vae": ("vae16", "f16"), "tiny_decoder": ("taef1", "f16")}
_BOTH_FLUX2: Parts = {"vae": ("vae32", "f16"), "tiny_decoder": ("taef2", "f16")}
_BOTH_WAN: Parts = {"vae": ("vae-wan", "f16"), "tiny_decoder": ("taew2.1", "f16")}
_WAN: Parts = {"t5xxl": ("umt5-xxl", "q4_0"), **_BOTH_WAN}
_FLUX1: Parts = {**_CLIP, **_T5, **_BOTH_16}


def _whole(name: str, kind: TypeName = "q8_0", more: Parts = _TINY_4) -> Parts:
    return {"model": (name, kind), **more}


def _transformer(name: str, kind: TypeName, more: Parts) -> Parts:
    return {"diffusion_model": (name, kind), **more}


WIRINGS = {
    wiring.model: wiring
    for wiring in (
        Wiring(model="sd15-q8_0", parts=_whole("sd15")),
        Wiring(model="tiny-sd", family="sd1_tiny", parts=_whole("sd1-tiny")),
        Wiring(model="sdxs-512", parts=_whole("sdxs-512", "f16", {}), decoders=("tiny",)),
        Wiring(model="sdxs-09", parts=_whole("sdxs-09", "f16", {}), decoders=("tiny",)),
        Wiring(model="sd-turbo", parts=_whole("sd2")),
        Wiring(model="bk-sdm-v2-tiny", family="sd2", parts=_whole("sd2-tiny")),
        Wiring(model="sdxl-base", parts=_whole("sdxl", "q4_0", {**_FULL_4, **_TINY_4})),
        Wiring(model="ssd-1b", parts=_whole("ssd-1b", "q4_0", {**_FULL_4, **_TINY_4})),
        Wiring(model="segmind-vega", parts=_whole("vega", "q4_0", {**_FULL_4, **_TINY_4})),
        Wiring(
            model="sd35-medium",
            parts=_transformer("sd35-medium", "q4_0", {**_FLUX1, "clip_g": ("clip-g", "q8_0")}),
        ),
        Wiring(model="flux1-schnell", parts=_transformer("flux-short", "q4_0", _FLUX1)),
        Wiring(model="flux1-dev", parts=_transformer("flux-dev-short", "q4_0", _FLUX1)),
        Wiring(
            model="flux1-kontext-dev",
            parts=_transformer("flux-dev-short", "q4_0", _FLUX1),
            needs=("ref_images",),
        ),
        Wiring(
            model="flux1-fill-dev",
            parts=_transformer("flux-fill-short", "q4_0", _FLUX1),
            needs=("init_image", "mask_image"),
        ),
        Wiring(model="chroma1-hd", parts=_transformer("chroma-short", "q4_0", {**_T5, **_BOTH_16})),
        Wiring(
            model="flux2-klein-4b",
            parts=_transformer(
                "klein-4b-short", "q4_0", {"llm": ("qwen3-4b-30", "q4_0"), **_BOTH_FLUX2}
            ),
        ),
        Wiring(
            model="flux2-klein-9b",
            parts=_transformer(
                "klein-9b-short", "q4_0", {"llm": ("qwen3-8b-30", "q4_0"), **_BOTH_FLUX2}
            ),
            needs=("ref_images",),
        ),
        Wiring(
            model="z-image-turbo",
            parts=_transformer("z-image", "q4_0", {"llm": ("qwen3-4b-short", "q4_0"), **_BOTH_16}),
        ),
        Wiring(
            model="qwen-image",
            parts=_transformer(
                "qwen-image-short", "q4_0", {"llm": ("qwen2.5-vl-7b-short", "q4_0"), **_BOTH_WAN}
            ),
        ),
        Wiring(
            model="qwen-image-edit-2509",
            parts=_transformer(
                "qwen-image-short",
                "q4_0",
                {
                    "llm": ("qwen2.5-vl-7b-short", "q4_0"),
                    "llm_vision": ("qwen2.5-vl-vision", "q8_0"),
                    **_BOTH_WAN,
                },
            ),
            needs=("ref_images",),
            decoders=("full",),
        ),
        Wiring(model="wan21-t2v-1_3b", parts=_transformer("wan2.1", "q4_0", _WAN)),
        Wiring(
            model="wan21-i2v-14b",
            parts=_transformer(
                "wan2.1-i2v", "q4_0", {"clip_vision": ("clip-vision-h", "f16"), **_WAN}
            ),
            needs=("init_image",),
        ),
        Wiring(
            model="wan22-t2v-a14b",
            parts={
                "diffusion_model": ("wan2.1", "q4_0"),
                "high_noise_diffusion_model": ("wan2.1", "q4_0"),
                **_WAN,
            },
            taken_for="wan21",
        ),
        Wiring(
            model="wan22-ti2v-5b",
            parts=_transformer(
                "wan2.2-ti2v",
                "q2_K",
                {"t5xxl": ("umt5-xxl", "q4_0"), "tiny_decoder": ("taew2.2", "f16")},
            ),
            needs=("init_image",),
            decoders=("tiny",),
        ),
    )
}
"""By model."""


def draw(wiring: Wiring, folder: Path) -> Drawing:
    """Draw a small picture with each decoder of a model; checkpoints are made below the folder.

    Raises:
        SdcpuError: anything on the way.
    """
    pictures, plans = [], []
    started = time.perf_counter()
    with ImageGenerator(wiring.model, settings=_settings(wiring, folder)) as generator:
        for decoder in wiring.decoders:
            for event in _events(generator, wiring, decoder):
                match event:
                    case EnginePlan():
                        plans.append(event)
                    case GeneratedImage(image=image):
                        pictures.append(image)
                    case GeneratedVideo(frames=frames):
                        pictures += frames
        peak = _peak(generator.engine_pid)
    return Drawing(
        pictures=tuple(pictures),
        plans=tuple(plans),
        seconds=time.perf_counter() - started,
        peak=peak + PARENT_PROCESS,
    )


def family_of(wiring: Wiring) -> str:
    """The family that a wiring proves."""
    return wiring.family or load_registry(None).find(wiring.model).family


def tidy(folder: Path, left: Iterable[Wiring]) -> None:
    """Delete the checkpoints that none of the wirings which are left needs: all take 30 GB."""
    needed = {_path(folder, *part) for wiring in left for part in wiring.parts.values()}
    for path in folder.glob("*.gguf"):
        if path not in needed:
            path.unlink()


def _settings(wiring: Wiring, folder: Path) -> Settings:
    """Settings that know the model, with files of ours in place of its own."""
    lines = [f"[{wiring.model}]", "uses = []"]
    if wiring.family:
        lines += ['summary = "For tests"', 'license = "MIT"', f'family = "{wiring.family}"']
    for role, (name, kind) in wiring.parts.items():
        path = _made(folder, name, kind)
        lines += ["", f"[[{wiring.model}.files]]", f'role = "{role}"', f'local_path = "{path}"']
    models = folder / f"{wiring.model}.toml"
    models.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return replace(
        load_settings(),
        models_file=models,
        offline=True,
        cache_folder=folder / "cache",
        state_folder=folder / "state",
    )


def _made(folder: Path, name: str, kind: TypeName) -> Path:
    path = _path(folder, name, kind)
    if not path.exists():
        unfinished = path.with_stem(f"{path.stem}.unfinished")
        write_checkpoint(unfinished, CHECKPOINTS[name].shapes(), kind)
        unfinished.replace(path)
    return path


def _path(folder: Path, name: str, kind: TypeName) -> Path:
    return folder / f"{name}-{kind}.gguf"


def _events(generator: ImageGenerator, wiring: Wiring, decoder: str) -> Iterator[Event]:
    request = {"width": SIDE, "height": SIDE, "steps": STEPS, "seed": 7, "decoder": decoder}
    request |= _inputs(wiring)
    if FAMILIES[family_of(wiring)].video:
        once = {"cfg_scale": 1.0}  # UMT5 reads 512 tokens, whatever the prompt: that takes minutes
        return generator.stream_video(_PROMPT, frames=FRAMES, **request, **once)
    return generator.stream(_PROMPT, **request)


def _inputs(wiring: Wiring) -> dict[str, Any]:
    """The pictures that it needs, half black and half white."""
    from PIL import Image

    picture = Image.new("RGB", (SIDE, SIDE), "white")
    picture.paste("black", (0, 0, SIDE // 2, SIDE))
    return {name: (picture,) if name == "ref_images" else picture for name in wiring.needs}


def _peak(pid: int | None) -> int:
    """The most resident memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024

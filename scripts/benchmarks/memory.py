"""Predicted and measured peak memory, parent and engine together, for every kind of picture.

Each case runs in a fresh process, one at a time, with one step: the peak does not depend on more.
What was measured is kept beside the checkpoints, so a broken-off run goes on where it stopped. The
checkpoints are made: true names, shapes and types, and zeros for weights that take no disk space.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from sdcpu.buffers import Decoder  # noqa: E402 - the checkpoints are no part of the package
from sdcpu.memory import Way, predict_memory  # noqa: E402
from sdcpu.process import EngineProcess  # noqa: E402
from sdcpu.protocol import (  # noqa: E402
    Drawn,
    Generate,
    GenerateSettings,
    Load,
    LoadSettings,
    LoraFile,
    Pixels,
)
from sdcpu.registry import FileRole, Model, ModelFile  # noqa: E402
from sdcpu.settings import child_environment  # noqa: E402
from sdcpu.weights import read_header  # noqa: E402
from tests.checkpoints import (  # noqa: E402
    CHECKPOINTS,
    write_checkpoint,
    write_hollow_checkpoint,
)
from tests.checkpoints.writer import TypeName  # noqa: E402

LIMIT = 0.15
"""The share by which a prediction may be off."""
MB = 1e6
THREADS = len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One picture to predict and to measure."""

    model: str
    """A key of `MODELS`."""
    type: str = "q8_0"
    """The tensors' type; the demo model has its own."""
    width: int = 512
    height: int = 512
    decoder: Decoder = "tiny"
    tile_size: int = 0
    flash_attention: bool = False
    im2col: bool = False
    """Decode without direct convolutions."""
    init_image: bool = False
    lora: bool = False
    control: bool = False
    count: int = 1
    kernels: bool = False
    """Compute with our kernels, in the way that suits them, as sdcpu does where it can."""

    @property
    def name(self) -> str:
        """Short, unique, for people and as a key of the results."""
        words = [
            "tiled" if self.tile_size else "",
            "flash" if self.flash_attention else "",
            "im2col" if self.im2col else "",
            "init" if self.init_image else "",
            "lora" if self.lora else "",
            "control" if self.control else "",
            f"count={self.count}" if self.count > 1 else "",
            "kernels" if self.kernels else "",
        ]
        size = f"{self.width}x{self.height}"
        return " ".join(filter(None, [self.model, self.type, size, self.decoder, *words]))

    @property
    def way(self) -> Way:
        """The case as the prediction sees it."""
        return Way(
            width=self.width,
            height=self.height,
            count=self.count,
            decoder=self.decoder,
            tile_size=self.tile_size,
            kernel_threads=THREADS if self.kernels else 0,
            flash_attention=self.flash_attention or self.kernels,
            diffusion_conv_direct=self.flash_attention or self.kernels,
            vae_conv_direct=not self.im2col,
            encodes=self.init_image,
            control=self.control,
        )


def _square(model: str, tensor_type: str, side: int, decoder: Decoder = "tiny") -> Case:
    return Case(model=model, type=tensor_type, width=side, height=side, decoder=decoder)


MODELS: dict[str, tuple[str, dict[str, str]]] = {
    "demo": ("sd1_tiny", {}),
    "sd15": ("sd1", {"model": "sd15", "tiny_decoder": "taesd"}),
    "sd2": ("sd2", {"model": "sd2", "tiny_decoder": "taesd"}),
    "sdxl": ("sdxl", {"model": "sdxl", "tiny_decoder": "taesd"}),
    "sd35": (
        "sd3",
        {
            "diffusion_model": "sd35-medium",
            "clip_l": "clip-l",
            "clip_g": "clip-g",
            "vae": "vae16",
            "tiny_decoder": "taef1",
        },
    ),
    "flux-short": (
        "flux",
        {
            "diffusion_model": "flux-short",
            "clip_l": "clip-l",
            "t5xxl": "t5-xxl",
            "vae": "vae16",
            "tiny_decoder": "taef1",
        },
    ),
}
"""Family, and the checkpoint for each role; one block of FLUX is enough, they share one buffer."""

_WITH_KERNELS = (
    _square("demo", "q8_0", 128),
    _square("sd15", "q8_0", 256),
    _square("sd15", "q4_0", 256, "full"),
    _square("sd15", "q8_0", 512),
    _square("sd15", "q4_0", 512),
    _square("sd15", "f16", 512),
    replace(_square("sd15", "q8_0", 512, "full"), tile_size=32),
    _square("sd15", "q8_0", 512, "full"),
    _square("sd2", "q8_0", 512),
    _square("sdxl", "q4_0", 512),
    Case(model="sd15", type="q8_0", width=512, height=768),
    _square("sd15", "q8_0", 768),
)

CASES = (
    *(replace(case, kernels=True) for case in _WITH_KERNELS),
    *(_square("demo", "q8_0", side) for side in (64, 128, 256)),
    *(_square("sd15", kind, 256) for kind in ("q8_0", "q4_0", "f16")),
    _square("sd15", "q8_0", 256, "full"),
    replace(_square("sd15", "q8_0", 256), init_image=True, decoder="full"),
    replace(_square("sd15", "q8_0", 256), lora=True),
    replace(_square("sd15", "q4_0", 256), control=True),
    replace(_square("sd15", "q4_0", 256), flash_attention=True),
    replace(_square("sd15", "q4_0", 256, "full"), im2col=True),
    _square("sd2", "q8_0", 256),
    _square("sdxl", "q4_0", 256),
    _square("sd35", "q8_0", 256),
    _square("sd15", "q8_0", 384),
    Case(model="sd15", type="q4_0", width=256, height=384),
    replace(_square("sd15", "f16", 256), count=3),
    _square("sd15", "f16", 384, "full"),
    replace(_square("sd15", "q4_0", 384, "full"), tile_size=32),
    *(_square("sd15", kind, 512) for kind in ("q8_0", "q4_0", "f16")),
    _square("sdxl", "q4_0", 512),
    replace(_square("sdxl", "q4_0", 512, "full"), tile_size=32),
    _square("sd2", "q8_0", 512),
    replace(_square("sd15", "f16", 512), im2col=True),
    replace(_square("sd15", "q8_0", 512), flash_attention=True),
    replace(_square("sd15", "q4_0", 512), flash_attention=True),
    replace(_square("sdxl", "q4_0", 512), flash_attention=True),
    _square("flux-short", "q4_0", 512),
    _square("sd35", "q8_0", 512),
    _square("sd2", "q8_0", 384, "full"),
    Case(model="sd15", type="q4_0", width=512, height=768),
    Case(model="sd15", type="q4_0", width=512, height=768, flash_attention=True),
    _square("sd15", "q4_0", 768),
)
"""The quick ones first."""


def files_of(case: Case, folder: Path) -> dict[str, Path]:
    """The case's files by role; the missing ones are made."""
    if case.model == "demo":
        from sdcpu.demo import demo_files

        return {str(role): path for role, path in demo_files(folder).items()}
    parts = dict(MODELS[case.model][1])
    if case.decoder == "full":
        del parts["tiny_decoder"]
    if case.decoder == "tiny":
        parts.pop("vae", None)
    if case.lora:
        parts["lora"] = "lora"
    if case.control:
        parts["control_net"] = "controlnet"
    return {role: _checkpoint(name, role, case.type, folder) for role, name in parts.items()}


def _checkpoint(name: str, role: str, tensor_type: str, folder: Path) -> Path:
    """A checkpoint's file; where there is none, one whose weights are a hole in the file."""
    small = role in ("vae", "tiny_decoder", "lora", "control_net") or name == "clip-l"
    kind: TypeName = "f16" if small else tensor_type  # type: ignore[assignment]
    path = folder / f"{name}-{kind}.{'safetensors' if small else 'gguf'}"
    if path.exists():
        return path
    if not small:
        path = path.with_stem(f"{path.stem}-hollow")
    if not path.exists():
        print(f"making {path.name} …", file=sys.stderr)
        unfinished = path.with_stem(f"{path.stem}.unfinished")
        write = write_checkpoint if small else write_hollow_checkpoint
        write(unfinished, CHECKPOINTS[name].shapes(), kind)
        unfinished.replace(path)
    return path


def predicted(case: Case, files: dict[str, Path]) -> int:
    """Bytes at the predicted peak."""
    parts = tuple(
        ModelFile(role=FileRole(role), path=path.name, local_path=path)
        for role, path in files.items()
    )
    model = Model(name=case.model, summary="", family=MODELS[case.model][0], files=parts)
    headers = {part: read_header(files[part.role]) for part in parts}
    return predict_memory(model, case.way, headers).peak


def measure(case: Case, files: dict[str, Path]) -> dict[str, int]:
    """Draw the picture and read the peaks of both processes from /proc."""
    from PIL import Image

    paths = {role: str(path) for role, path in files.items() if role != "lora"}
    way = case.way
    load = LoadSettings(
        files=paths,
        threads=THREADS,
        flash_attention=way.flash_attention,
        diffusion_conv_direct=way.diffusion_conv_direct,
        vae_conv_direct=way.vae_conv_direct,
        decode_only=not way.encodes,
    )
    pixels = Pixels(
        width=case.width, height=case.height, channels=3, data=bytes(3 * case.width * case.height)
    )
    generate = GenerateSettings(
        prompt="a red circle on a blue background",
        width=case.width,
        height=case.height,
        steps=1,
        cfg_scale=1.0,
        guidance=3.5,
        sampler="euler",
        scheduler="discrete",
        seed=1,
        count=case.count,
        strength=1.0,
        init_image=pixels if case.init_image else None,
        control_image=pixels if case.control else None,
        loras=(LoraFile(path=str(files["lora"]), weight=1.0),) if case.lora else (),
        tile_size=case.tile_size,
    )
    pictures = []
    environment = child_environment(SDCPU_ACCEL="auto" if case.kernels else "off")
    with EngineProcess(environment=environment, silence_timeout=3600) as engine:
        if (engine.start().kernels == "off") is case.kernels:
            raise SystemExit(f"{case.name}: our kernels do not run here")
        for message in (Load(settings=load), Generate(settings=generate)):
            for answer in engine.run(message):
                if isinstance(answer, Drawn):
                    size = (answer.pixels.width, answer.pixels.height)
                    pictures.append(Image.frombytes("RGB", size, answer.pixels.data))
        return {"engine": _peak(engine.pid), "parent": _peak(os.getpid())}


def _peak(pid: int | None) -> int:
    """The most resident memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def results(cases: list[Case], folder: Path, file: Path) -> Iterator[tuple[Case, int, int]]:
    """Each case with its predicted and its measured bytes; measures what was not yet."""
    known: dict[str, dict[str, int]] = json.loads(file.read_text()) if file.exists() else {}
    for case in cases:
        files = files_of(case, folder)
        if case.name not in known:
            command = [sys.executable, __file__, "--folder", str(folder), "--measure", case.name]
            child = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            known[case.name] = json.loads(child.stdout)
            file.write_text(json.dumps(known, indent=1))
        yield case, predicted(case, files), sum(known[case.name].values())


def main() -> int:
    """Print the table; 1 when a prediction is off by more than the limit."""
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdcpu-checkpoints"
    parser.add_argument(
        "--folder", type=Path, default=cache, help="of the checkpoints: %(default)s"
    )
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--again", action="store_true", help="measure what was measured before")
    parser.add_argument("--list", action="store_true", help="list the cases and stop")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.measure:
        case = next(case for case in CASES if case.name == arguments.measure)
        print(json.dumps(measure(case, files_of(case, folder))))
        return 0
    cases = [case for case in CASES if arguments.only in case.name]
    if arguments.list:
        print(*(case.name for case in cases), sep="\n")
        return 0
    file = folder / "memory.json"
    if arguments.again:
        file.unlink(missing_ok=True)
    print(f"{'':<38} {'predicted':>10} {'measured':>10} {'error':>8}   (MB, parent and engine)")
    worst = 0.0
    for case, prediction, measured in results(cases, folder, file):
        error = prediction / measured - 1
        worst = max(worst, abs(error))
        figures = f"{prediction / MB:10.0f} {measured / MB:10.0f} {error:+8.1%}"
        print(f"{case.name:<38} {figures}", flush=True)
    print(f"{len(cases)} cases; the worst is off by {worst:.1%}, {LIMIT:.0%} are allowed")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

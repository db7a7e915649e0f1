"""Run the stages one after the other, or one of them."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from training import autoencoder, denoiser, distillation, layers, style
from training.autoencoder import train_autoencoder
from training.data import drawn_pictures, stream
from training.denoiser import load_base, train_denoiser, trained_autoencoder
from training.distillation import add_distilled, train_distilled
from training.evaluation import evaluate
from training.export import export, export_style
from training.networks import Denoiser
from training.sampling import decode, sample
from training.sheet import PROMPTS, save_sheet
from training.stage import done_file, load_done
from training.style import add_style, train_style

Train = Callable[[Path, torch.device, float, int], None]
STAGES: dict[str, tuple[Train, float, int]] = {
    autoencoder.NAME: (train_autoencoder, 60.0, 64),
    denoiser.NAME: (train_denoiser, 360.0, 256),
    distillation.NAME: (train_distilled, 60.0, 128),
    style.NAME: (train_style, 60.0, 4),
}
"""How each stage is trained, its minutes on two processor cores, its pictures in a step."""


def main(arguments: list[str] | None = None) -> int:
    """Train, export, draw sheets: see `--help`."""
    options = _parser().parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    device = torch.device(options.device)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    if device.type == "cuda" and not options.plain:
        layers.fuse()
    if options.what == "all":
        return _all(options)
    if options.what in STAGES:
        train, minutes, batch = STAGES[options.what]
        seconds = 60 * _of_stage(options.minutes, options.what, minutes)
        train(options.folder, device, seconds, int(_of_stage(options.batch, options.what, batch)))
    elif options.what == "sheets":
        draw_sheets(options.folder, device, options.size)
    elif options.what == "evaluate":
        evaluate_all(options.folder, device, options.prompts)
    else:
        style_file = options.out.with_name("outline.safetensors")
        print(f"{options.out}: {export(options.folder, options.out) / 1e6:.2f} MB")
        print(f"{style_file}: {export_style(options.folder, style_file) / 1e6:.2f} MB")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train-demo", description=main.__doc__)
    parser.add_argument("what", choices=["all", *STAGES, "sheets", "evaluate", "export"])
    parser.add_argument(
        "--folder", type=Path, default=Path("build/demo"), help="where state is kept"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", nargs="*", default=[], metavar="STAGE=MINUTES")
    parser.add_argument("--batch", nargs="*", default=[], metavar="STAGE=PICTURES")
    parser.add_argument("--plain", action="store_true", help="compile nothing")
    parser.add_argument("--size", type=int, default=256, help="of the pictures on the sheets")
    parser.add_argument("--prompts", type=int, default=320, help="of the evaluation")
    parser.add_argument("--out", type=Path, default=Path("sdcpu/demo/demo.safetensors"))
    return parser


def _of_stage(given: list[str], stage: str, otherwise: float) -> float:
    return float(dict(pair.split("=") for pair in given).get(stage, otherwise))


def _all(options: argparse.Namespace) -> int:
    """All stages; with CUDA each begins to compile while those it needs are still training."""
    names = list(STAGES)
    command = [sys.executable, str(Path(sys.argv[0]).resolve())]
    passed = [
        *("--folder", str(options.folder), "--device", options.device),
        *("--minutes", *options.minutes, "--batch", *options.batch),
        *(["--plain"] if options.plain else []),
    ]
    running: dict[str, subprocess.Popen[bytes]] = {}

    def begin(name: str) -> None:
        if name not in running and not done_file(options.folder, name).exists():
            running[name] = subprocess.Popen([*command, name, *passed])

    for number, name in enumerate(names):
        begin(name)
        if options.device != "cpu":
            for following in names[number + 1 : number + 2]:
                begin(following)
        if name in running and running[name].wait() != 0:
            for process in running.values():
                process.terminate()
            return 1
    draw_sheets(options.folder, torch.device(options.device), options.size)
    return 0


def draw_sheets(folder: Path, device: torch.device, size: int) -> None:
    """One sheet for all that is trained: the autoencoder, the base, four steps, the style."""
    coder = trained_autoencoder(folder, device)
    with torch.no_grad():
        shown = drawn_pictures(next(stream(12, device, {(size, size): 1.0})), device)[:12]
        save_sheet(
            torch.cat([shown, decode(coder, coder.encode(shown))]), folder / "autoencoder.png"
        )
    for name, model in _trained(folder, device):
        lcm = name == distillation.NAME
        latents = sample(
            model,
            list(PROMPTS),
            steps=4 if lcm else 20,
            guidance=1.0 if lcm else 4.0,
            lcm=lcm,
            size=(size, size),
        )
        save_sheet(decode(coder, latents), folder / f"{name}-{size}.png")


def evaluate_all(folder: Path, device: torch.device, prompts: int) -> None:
    """Measure base and distilled model on held-out prompts at several sizes; print and record."""
    coder = trained_autoencoder(folder, device)
    for name, model in _trained(folder, device):
        if name == style.NAME:
            continue
        ways = (
            ((4, 1.0), (8, 1.0)) if name == distillation.NAME else ((20, 3.0), (20, 5.0), (20, 7.0))
        )
        for size in (256, 128, 384):
            for steps, guidance in ways if size == 256 else ways[:1]:
                scores = evaluate(
                    model,
                    coder,
                    prompts if size == 256 else prompts // 4,
                    prompts // 2 if size == 256 else prompts // 8,
                    steps=steps,
                    guidance=guidance,
                    lcm=name == distillation.NAME,
                    size=(size, size),
                )
                line = {
                    "evaluated": name,
                    "size": size,
                    "steps": steps,
                    "guidance": guidance,
                    **scores,
                }
                print(json.dumps(line), flush=True)
                with (folder / "record.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


def _trained(folder: Path, device: torch.device) -> Iterator[tuple[str, Denoiser]]:
    """What is done so far: the base, four steps, the style."""
    kinds = {denoiser.NAME: None, distillation.NAME: add_distilled, style.NAME: add_style}
    for name, add in kinds.items():
        if not done_file(folder, name).exists():
            continue
        model = Denoiser().to(device)
        changes = add(model) if add else None
        load_base(model, folder)
        if changes is not None:
            load_done(changes, folder, name)
        yield name, model

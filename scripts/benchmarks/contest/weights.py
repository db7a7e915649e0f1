"""The files of the contest: one set of random weights in every format, made where it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from contest.contestants import Contestant, Surroundings
from contest.job import SEED, STEPS

TINY_DECODER = "taesd-f16.safetensors"
_PEERS_DONE = "peers-are-complete"


def engine_files(folder: Path, weights: str, *, tiny: bool) -> dict[str, str]:
    """The engine's files by role, made when they are missing."""
    files = {"model": _made(folder / f"sd15-{weights}.gguf", "sd15", weights)}
    if tiny:
        files["tiny_decoder"] = _made(folder / TINY_DECODER, "taesd", "f16")
    return {role: str(path) for role, path in files.items()}


def prepare_peers(folder: Path, around: Surroundings) -> None:
    """Write the peers' formats from the engine's f16 file, once; takes some minutes."""
    done = folder / _PEERS_DONE
    if done.exists():
        return
    files = engine_files(folder, "f16", tiny=True)
    print("writing the same weights for the peers …", file=sys.stderr)
    command = [around.peers_python, "-m", "contest.prepare_peers"]
    subprocess.run(
        [*command, files["model"], files["tiny_decoder"], str(folder)],
        env=around.environment(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    done.touch()


def write_noise(file: Path, width: int, height: int) -> None:
    """The normal values that the engine draws for each step of the picture, as an array's file."""
    import numpy as np

    from tests.reference_picture import TorchNoise

    source = TorchNoise(SEED)
    shape = (1, 4, height // 8, width // 8)
    np.save(file, np.concatenate([source.normal(shape) for _ in range(STEPS)]))


def read_once(folder: Path, contestants: list[Contestant], weights: str) -> None:
    """Bring every file into the system's cache, so that a cold start waits for no disk."""
    for contestant in contestants:
        files = [folder / TINY_DECODER]
        if contestant.kind == "engine":
            files += [folder / f"sd15-{contestant.weights or weights}.gguf"]
        elif contestant.kind == "openvino":
            files += (folder / "openvino").glob("*.bin")
        else:
            files += folder.glob("*/*.safetensors")
        for file in files:
            with file.open("rb") as stream:
                while stream.read(1 << 24):
                    pass


def _made(path: Path, name: str, kind: str) -> Path:
    from tests.checkpoints import CHECKPOINTS, write_checkpoint

    if not path.exists():
        print(f"making {path.name} …", file=sys.stderr)
        unfinished = path.with_stem(f"{path.stem}.unfinished")
        write_checkpoint(unfinished, CHECKPOINTS[name].shapes(), kind)  # type: ignore[arg-type]
        unfinished.replace(path)
    return path

"""What sdcpu adds to the time of a picture, compared with calling the binding directly.

Two processes are warm at the same time, sdcpu's engine and a plain program around the binding, with
the same model, settings and seeds. They draw in turn, so that what else the machine does hits both.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from typing import IO, cast

from sdcpu import ImageGenerator
from sdcpu.catalog import Catalog
from sdcpu.jobs import engine_job, engine_load
from sdcpu.sampling import SAMPLERS, SCHEDULERS
from sdcpu.settings import load_settings
from sdcpu.start_pictures import StartPictures

MOST_PERCENT = 2.0
PROMPT = "a red circle on a blue background"

DIRECT = """
import ctypes, hashlib, json, sys, time
import stable_diffusion_cpp.stable_diffusion_cpp as native
wanted = json.loads(sys.argv[1])
libc = ctypes.CDLL(None)
libc.free.argtypes = [ctypes.c_void_p]
quiet = native.sd_log_callback(lambda level, text, data: None)
native.sd_set_log_callback(quiet, None)
still = native.sd_progress_callback(lambda step, steps, seconds, data: None)
native.sd_set_progress_callback(still, None)
context = native.sd_ctx_params_t()
native._lib.sd_ctx_params_init(ctypes.byref(context))
for name, value in wanted["context"].items():
    setattr(context, name, value.encode() if isinstance(value, str) else value)
loaded = native.new_sd_ctx(ctypes.byref(context))
assert loaded
print("ready", flush=True)
for line in sys.stdin:
    begin = time.perf_counter()
    picture = native.sd_img_gen_params_t()
    native._lib.sd_img_gen_params_init(ctypes.byref(picture))
    for name, value in wanted["picture"].items():
        setattr(picture, name, value.encode() if isinstance(value, str) else value)
    for name, value in wanted["sampling"].items():
        setattr(picture.sample_params, name, value)
    picture.sample_params.guidance.txt_cfg = wanted["cfg_scale"]
    picture.seed = int(line)
    result = native.generate_image(loaded, ctypes.byref(picture))
    image = result[0]
    data = ctypes.string_at(image.data, image.width * image.height * image.channel)
    libc.free(image.data)
    libc.free(result)
    print(time.perf_counter() - begin, hashlib.sha256(data).hexdigest(), flush=True)
"""
"""The same calls without sdcpu: the least that a program must do."""


def main() -> int:
    """Print both times and their difference; 1 when it is above the limit."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", default="demo")
    arguments.add_argument("--pictures", type=int, default=12)
    arguments.add_argument("--threads", type=int)
    arguments.add_argument("--size", type=int, default=128)
    arguments.add_argument("--steps", type=int, default=4)
    wanted = arguments.parse_args()
    request = {"width": wanted.size, "height": wanted.size, "steps": wanted.steps}
    with ImageGenerator(wanted.model, threads=wanted.threads, accel="off") as generator:
        ours(generator, 0, request)
        with direct(generator, request) as program:
            theirs(program, 0)
            rows = []
            for seed in range(1, wanted.pictures + 1):
                # Whoever comes second in a pair may find a warmer or hotter machine.
                if seed % 2:
                    mine, my_pixels = ours(generator, seed, request)
                    other, other_pixels = theirs(program, seed)
                else:
                    other, other_pixels = theirs(program, seed)
                    mine, my_pixels = ours(generator, seed, request)
                if my_pixels != other_pixels:
                    sys.exit("They did not draw the same.")
                rows.append((mine, other))
                print(f"{seed:3}  sdcpu {mine:8.3f} s   binding {other:8.3f} s", flush=True)
    mine, other = (statistics.median(column) for column in zip(*rows, strict=True))
    percent = statistics.median((a - b) / b * 100 for a, b in rows)
    print(
        f"median: sdcpu {mine:.3f} s, binding {other:.3f} s; median difference of the pairs "
        f"{percent:+.2f} % ({(mine - other) * 1000:+.1f} ms between the medians)"
    )
    return 0 if percent < MOST_PERCENT else 1


def ours(generator: ImageGenerator, seed: int, request: dict[str, int]) -> tuple[float, str]:
    """Seconds of one picture with everything that `generate` does, and the picture's hash."""
    begin = time.perf_counter()
    picture = generator.generate(PROMPT, seed=seed, **request)
    seconds = time.perf_counter() - begin
    return seconds, hashlib.sha256(picture.image.tobytes()).hexdigest()


def direct(generator: ImageGenerator, request: dict[str, int]) -> subprocess.Popen[str]:
    """The plain program, with the model loaded as sdcpu's plan has it."""
    plan = generator.plan(PROMPT, seed=0, **request)
    located = Catalog(load_settings()).locate(plan.model)
    load, job = engine_load(plan, located), engine_job(plan, located, StartPictures())
    fields = {"model": "model_path", "vae": "vae_path", "tiny_decoder": "taesd_path"}
    settings = {
        "context": {
            **{fields[role]: path for role, path in load.files.items()},
            "n_threads": load.threads,
            "rng_type": 2,
            "sampler_rng_type": 2,
            "lora_apply_mode": 2,
            "free_params_immediately": False,
            "vae_decode_only": load.decode_only,
            "diffusion_flash_attn": load.flash_attention,
            "diffusion_conv_direct": load.diffusion_conv_direct,
            "vae_conv_direct": load.vae_conv_direct,
        },
        "picture": {
            "prompt": job.prompt,
            "width": job.width,
            "height": job.height,
            "clip_skip": job.clip_skip,
        },
        "sampling": {
            "sample_steps": job.steps,
            "sample_method": SAMPLERS.index(job.sampler),
            "scheduler": SCHEDULERS.index(job.scheduler),
        },
        "cfg_scale": job.cfg_scale,
    }
    program = subprocess.Popen(
        [sys.executable, "-c", DIRECT, json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "STABLE_DIFFUSION_CPP_LIB": str(plan.build.library)},
    )
    while (line := read_line(program)) != "ready\n":
        if not line:
            sys.exit("The plain program could not load the model.")
    return program


def theirs(program: subprocess.Popen[str], seed: int) -> tuple[float, str]:
    """Seconds of one picture in the plain program, and the picture's hash."""
    stream = cast("IO[str]", program.stdin)
    stream.write(f"{seed}\n")
    stream.flush()
    seconds, pixels = read_line(program).split()
    return float(seconds), pixels


def read_line(program: subprocess.Popen[str]) -> str:
    """What the plain program says next."""
    return cast("IO[str]", program.stdout).readline()


if __name__ == "__main__":
    sys.exit(main())

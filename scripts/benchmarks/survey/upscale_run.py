"""The engine's upscaler: enlarge one picture, tell the seconds and the pixels, end."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
import time

from sdcpu.accel import load_door

FACTOR = 4


def main() -> None:
    """Do the job that the command line describes; print seconds and, below, the channels."""
    job = json.loads(sys.argv[1])
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # native code prints
    os.environ["STABLE_DIFFUSION_CPP_LIB"] = job["library"]
    door = load_door()
    native = importlib.import_module("stable_diffusion_cpp.stable_diffusion_cpp")
    tile = max(job["width"], job["height"])
    offload, direct = False, True
    upscaler = native.new_upscaler_ctx(
        os.fsencode(job["file"]), offload, direct, job["threads"], tile
    )
    if not upscaler:
        sys.exit("the upscaler could not be loaded")
    channels = 3
    size = job["width"] * job["height"] * channels
    data = (ctypes.c_uint8 * size)(*(number % 251 for number in range(size)))
    picture = native.sd_image_t(
        width=job["width"],
        height=job["height"],
        channel=channels,
        data=ctypes.cast(data, ctypes.POINTER(ctypes.c_uint8)),
    )
    start = time.perf_counter()
    larger = native.upscale(upscaler, picture, FACTOR)
    seconds = time.perf_counter() - start
    if door is not None:
        door.print_profile("upscale")
    if not larger.data:
        sys.exit("the upscaler gave up")
    output.write(json.dumps({"upscale": seconds}).encode() + b"\n")
    output.write(ctypes.string_at(larger.data, larger.width * larger.height * channels))


if __name__ == "__main__":
    main()

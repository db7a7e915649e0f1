"""The engine makes a video in one step: tell the seconds of its stages and the pixels, end."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from typing import Any

from contest.job import SEED

from sdcpu.accel import Door, load_door
from sdcpu.engine.library import import_binding
from sdcpu.native import context_parameters, fill, function_of
from sdcpu.protocol import LoadSettings

ENDS = {
    "get_learned_condition completed": "text",
    "sampling completed": "sample",
    "decode_first_stage completed": "decode",
}
"""What the engine logs when a stage has ended."""


class Stages:
    """Seconds of the stages, as the engine's log ends them."""

    def __init__(self, door: Door | None) -> None:
        self.seconds: dict[str, float] = {}
        self._door = door
        self._since = time.perf_counter()

    def begin(self) -> None:
        """What was done until now belongs to no stage."""
        self._since = time.perf_counter()

    def logged(self, _level: int, text: bytes, _data: object) -> None:
        """Called for every line."""
        line = text.decode(errors="replace")
        for words, stage in ENDS.items():
            if words in line:
                self.seconds[stage] = time.perf_counter() - self._since
                if self._door is not None:
                    self._door.print_profile(stage)
                self._since = time.perf_counter()


def main() -> None:
    """Do the job that the command line describes; print seconds and, below, channels of frames."""
    job = json.loads(sys.argv[1])
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # native code prints
    os.environ["STABLE_DIFFUSION_CPP_LIB"] = job["library"]
    stages = Stages(load_door())
    native = import_binding()
    callback = native.sd_log_callback(stages.logged)
    native.sd_set_log_callback(callback, None)
    settings = LoadSettings(**job["load"])
    context = native.new_sd_ctx(ctypes.byref(context_parameters(native, settings)))
    if not context:
        sys.exit("the model could not be loaded")
    count = ctypes.c_int()
    stages.begin()
    wanted = _video(native, job)
    frames = native.generate_video(context, ctypes.byref(wanted), ctypes.byref(count))
    if not frames:
        sys.exit("the engine made no video")
    output.write(json.dumps(stages.seconds).encode() + b"\n")
    for frame in frames[: count.value]:
        output.write(ctypes.string_at(frame.data, frame.width * frame.height * frame.channel))


def _video(native: Any, job: dict[str, Any]) -> Any:
    """sd_vid_gen_params_t."""
    parameters = native.sd_vid_gen_params_t()
    pointer = ctypes.POINTER(native.sd_vid_gen_params_t)
    function_of(native, "sd_vid_gen_params_init", None, pointer)(ctypes.byref(parameters))
    fill(
        parameters,
        prompt=job["prompt"].encode(),
        width=job["width"],
        height=job["height"],
        video_frames=job["frames"],
        seed=SEED,
    )
    fill(parameters.sample_params, sample_steps=1)
    fill(parameters.sample_params.guidance, txt_cfg=job["cfg_scale"])
    return parameters


if __name__ == "__main__":
    main()

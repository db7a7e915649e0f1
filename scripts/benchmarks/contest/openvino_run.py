"""OpenVINO as a contestant: one job in one process, without PyTorch in it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino

from contest.job import Job, read_job
from contest.peer_picture import Array, run_job

_LATENT_CHANNELS, _TEXT_SHAPE = 4, (1, 77, 768)


class OpenvinoNetworks:
    """The converted networks, compiled for one size: OpenVINO is fastest so."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._core = openvino.Core()
        latent = (1, _LATENT_CHANNELS, job.height // 8, job.width // 8)
        self._text = self._compile("text_encoder", [_TEXT_SHAPE[:2]])
        self._unet = self._compile("unet", [latent, (), _TEXT_SHAPE])
        self._decoder = self._compile("vae" if job.kind == "full" else "taesd", [latent])

    def encode(self, tokens: npt.NDArray[np.int64]) -> Array:
        """See `Networks`."""
        return self._infer(self._text, tokens)

    def predict(self, latent: Array, time: float, context: Array) -> Array:
        """See `Networks`."""
        return self._infer(self._unet, latent, np.array(time, np.float32), context)

    def decode(self, latent: Array) -> Array:
        """See `Networks`."""
        return self._infer(self._decoder, latent)

    def _compile(self, name: str, shapes: list[tuple[int, ...]]) -> openvino.InferRequest:
        model = self._core.read_model(Path(self._job.folder) / "openvino" / f"{name}.xml")
        model.reshape(dict(enumerate(map(openvino.PartialShape, shapes))))
        compiled = self._core.compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": self._job.precision,
                "INFERENCE_NUM_THREADS": self._job.threads,
            },
        )
        if self._job.avx2:
            _check_avx2(compiled)
        return compiled.create_infer_request()

    def _infer(self, request: openvino.InferRequest, *inputs: npt.NDArray[np.generic]) -> Array:
        result: Array = request.infer(dict(enumerate(inputs)), share_inputs=True)[0]
        return result


def _check_avx2(compiled: openvino.CompiledModel) -> None:
    """End the process when a primitive names a larger instruction set."""
    for node in compiled.get_runtime_model().get_ordered_ops():
        primitive = str(node.get_rt_info()["primitiveType"].astype(str))
        if "avx512" in primitive or "amx" in primitive:
            sys.exit(f"OpenVINO chose {primitive}, not AVX2")


def main() -> None:
    """Do the job and tell the figures."""
    job = read_job()
    run_job(job, OpenvinoNetworks(job))


if __name__ == "__main__":
    main()

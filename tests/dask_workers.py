"""A Dask cluster for tests: real programs, one scheduler and some workers with a faked engine.

As a module that a worker loads before its first task (`--preload`), it takes the engine's place and
writes down every picture that this worker finished: `NUMBER LINE` in the file that SDCPU_TEST_DRAWN
names.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from distributed import Client

from sdcpu import engine_run
from sdcpu.batch import cluster_drawing
from sdcpu.batch.cluster_drawing import PictureOrder
from sdcpu.images import GeneratedImage
from sdcpu.process import EngineProcess
from tests.engines import command

_PROGRAM = (sys.executable, "-m", "distributed.cli.dask_worker")
SECONDS = 0.1
"""That a picture takes at least, so that something is under way when a worker is killed."""
_draw = cluster_drawing._drawn


def dask_setup(_worker: object) -> None:
    """What a worker calls when it has loaded this module."""
    if "SDCPU_TEST_DRAWN" in os.environ:
        vars(engine_run)["EngineProcess"] = partial(EngineProcess, command=command())
        cluster_drawing._drawn = _draw_and_note


def _draw_and_note(order: PictureOrder) -> GeneratedImage:
    time.sleep(SECONDS)
    picture = _draw(order)
    with Path(os.environ["SDCPU_TEST_DRAWN"]).open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {order.line}\n")
    return picture


class DaskCluster:
    """A scheduler and its workers."""

    def __init__(self, address: str, workers: list[subprocess.Popen[bytes]]) -> None:
        self.address = address
        self.workers = workers

    def kill(self, number: int) -> None:
        """End a worker at once."""
        self.workers[number].send_signal(signal.SIGKILL)
        self.workers[number].wait(10)


@contextmanager
def dask_cluster(
    folder: Path, workers: int, environment: dict[str, str], *, worker: list[str] | None = None
) -> Iterator[DaskCluster]:
    """A cluster on this machine, until the block is left; `worker` begins its workers' command."""
    file = folder / "scheduler.json"
    dask = worker or [*_PROGRAM, "--preload", "tests.dask_workers"]
    with ExitStack() as stack:
        scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
        _started(
            stack,
            [*scheduler, "--port", "0", "--host", "127.0.0.1", "--scheduler-file", str(file)],
            environment,
            folder / "scheduler.log",
        )
        options = ["--scheduler-file", str(file), "--nthreads", "1", "--no-nanny"]
        options += ["--no-dashboard"]
        options += ["--local-directory", str(folder), "--memory-limit", "6 GB"]
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline, (folder / "scheduler.log").read_text()
            time.sleep(0.05)
        started = [
            _started(stack, [*dask, *options], environment, folder / f"worker-{number}.log")
            for number in range(workers)
        ]
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield DaskCluster(str(file), started)


def _started(
    stack: ExitStack, program: list[str], environment: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    output = stack.enter_context(log.open("wb"))
    process = subprocess.Popen(
        program, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )
    stack.callback(process.wait, 20)
    stack.callback(process.kill)
    return process

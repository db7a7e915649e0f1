"""Requests of all kinds against a running server, made from its own OpenAPI document."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sdcpu.job_queue import JobQueue
from sdcpu.server.limits import ServerLimits
from tests.fake_generators import Studio, settings_in
from tests.serving import serving

CHECKS = (
    *("not_a_server_error", "status_code_conformance"),
    *("content_type_conformance", "response_schema_conformance"),
)
"""What every answer is held to. That nonsense is refused, and all else is taken, cannot be told
from the document: what goes together with what stands in `ImageRequest`."""
ENDLESS = ("all_events",)
"""Operations whose answer does not end."""
REQUEST_SECONDS = 20


@contextmanager
def fuzzed_server(folder: Path) -> Iterator[tuple[str, JobQueue]]:
    """The address of a server that draws with a fake generator, and its queue."""
    limits = replace(ServerLimits(), wait_seconds=5)
    with (
        JobQueue(
            folder / "queue", settings=settings_in(folder / "settings"), make_generator=Studio()
        ) as queue,
        serving(queue, limits=limits) as url,
    ):
        yield url, queue


def fuzz(url: str, folder: Path, *, examples: int, seconds: int, phases: str, seed: int) -> str:
    """Send requests; the report, whose end says what was found.

    Raises:
        AssertionError: an answer that is not in the document, or an error of the server's.
    """
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    command += ["--checks", ",".join(CHECKS), "--phases", phases, "--seed", str(seed)]
    command += ["--max-examples", str(examples), "--max-time", str(seconds)]
    command += ["--request-timeout", str(REQUEST_SECONDS), "--suppress-health-check", "all"]
    command += ["--warnings", "off", "--no-color", "--mode", "all"]
    for name in ENDLESS:
        command += ["--exclude-operation-id", name]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    return run.stdout

"""No request makes the server fail, or answer what its document does not say."""

from pathlib import Path

import pytest

from sdcpu.job_queue import JobState
from tests.fuzzing import fuzz, fuzzed_server


def check(folder: Path, examples: int, seconds: int, phases: str) -> None:
    with fuzzed_server(folder) as (url, queue):
        report = fuzz(url, folder, examples=examples, seconds=seconds, phases=phases, seed=20261120)
        assert "generated" in report
        assert queue.jobs(), "nothing came as far as the queue"
        queue.submit({"prompt": "a red circle"})
        unfinished = queue.jobs(states=(JobState.QUEUED, JobState.RUNNING), limit=10_000)
        for job in unfinished:
            assert queue.wait(job.id, 60).state.is_final


def test_the_server_for_a_moment(tmp_path: Path) -> None:
    check(tmp_path, examples=2, seconds=12, phases="examples,fuzzing")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_server_at_length(tmp_path: Path) -> None:
    check(tmp_path, examples=200, seconds=600, phases="examples,coverage,fuzzing,stateful")

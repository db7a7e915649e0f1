"""A server over a queue that draws with a fake generator."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from sdcpu.job_queue import JobQueue
from tests.fake_generators import Studio, settings_in
from tests.serving import serving

SECONDS = 60
"""What a client waits for; the machine may be busy."""


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def queue(tmp_path: Path, studio: Studio) -> Iterator[JobQueue]:
    with JobQueue(
        tmp_path / "queue", settings=settings_in(tmp_path / "settings"), make_generator=studio
    ) as queue:
        yield queue


@pytest.fixture
def client(queue: JobQueue) -> Iterator[httpx2.Client]:
    """A client of a server on loopback, without a token."""
    with serving(queue) as url, httpx2.Client(base_url=url, timeout=SECONDS) as client:
        yield client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of a server that tests share which need nothing of their own."""
    folder = tmp_path_factory.mktemp("shared")
    with (
        JobQueue(
            folder / "queue", settings=settings_in(folder / "settings"), make_generator=Studio()
        ) as queue,
        serving(queue) as url,
        httpx2.Client(base_url=url, timeout=SECONDS) as client,
    ):
        yield client

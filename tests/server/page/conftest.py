"""A browser that looks at the page of a server over a queue with a fake generator."""

from collections.abc import Iterator

import pytest

from sdcpu.job_queue import JobQueue
from tests.browser import Chromium, Visits, chromium
from tests.serving import serving


@pytest.fixture(scope="package")
def browser() -> Iterator[Chromium]:
    """A real browser; not for longer, because its event loop would be in the way of others."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visits(browser: Chromium, queue: JobQueue) -> Iterator[Visits]:
    """Pages of a server on loopback, without a token; none may have had a problem."""
    with serving(queue) as url:
        visits = Visits(browser, url)
        yield visits
        visits.close()
    assert visits.problems == []

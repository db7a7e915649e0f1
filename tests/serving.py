"""A real server on a free port of this machine, for tests of clients."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sdcpu.job_queue import JobQueue
from sdcpu.server.access import Access
from sdcpu.server.app import create_app
from sdcpu.server.limits import ServerLimits
from sdcpu.server.running import Server, bind

START_SECONDS = 20


@contextmanager
def serving(
    queue: JobQueue,
    *,
    access: Access | None = None,
    limits: ServerLimits | None = None,
    port: int = 0,
) -> Iterator[str]:
    """Serve a queue, which is already entered; the address, without a slash at the end."""
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    listener = bind("127.0.0.1", port)
    server = Server(create_app(queue, access=access, limits=limits), listener)
    thread = threading.Thread(target=server.run_until_stopped, name="server")
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert server.started
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.stop()
        thread.join(START_SECONDS)
        assert not thread.is_alive()

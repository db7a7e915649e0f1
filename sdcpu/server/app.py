"""The application: every route over one queue, behind the gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from sdcpu import __version__
from sdcpu.job_queue import JobQueue, JobState
from sdcpu.server import (
    event_routes,
    job_routes,
    model_routes,
    openai_routes,
    upload_routes,
    webui_lists,
    webui_routes,
)
from sdcpu.server.access import Access
from sdcpu.server.answers import answer_errors
from sdcpu.server.gate import Gate
from sdcpu.server.limits import ServerLimits
from sdcpu.server.streams import Streams
from sdcpu.server.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Collection

PAGE = Path(__file__).with_name("page")
"""The files of the page, as a browser gets them."""
_DESCRIPTION = """Pictures from text, drawn by this machine one after the other.

Submit a job, watch it (`/api/v1/events`), fetch its pictures.
Every answer of 400 and above is `{"error": {"code", "message", "hint"}}`."""


def create_app(
    queue: JobQueue, *, access: Access | None = None, limits: ServerLimits | None = None
) -> FastAPI:
    """The application over a queue, which the caller starts and stops.

    Without `access`, whoever reaches the server may use it.
    """
    limits = limits or ServerLimits()
    streams = Streams(queue.announcements, limits.most_streams)
    uploads = Uploads(queue.folder, limits, in_use=lambda: _uploads_in_use(queue))

    @asynccontextmanager
    async def alive(_: FastAPI) -> AsyncIterator[None]:
        uploads.clear_unfinished()
        streams.start()
        try:
            yield
        finally:
            streams.close()

    app = FastAPI(
        title="sdcpu",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=alive,
        docs_url=None,  # both of FastAPI's would load their scripts from elsewhere
        redoc_url=None,
    )
    app.state.queue = queue
    app.state.limits = limits
    app.state.streams = streams
    app.state.uploads = uploads
    answer_errors(app)
    for routes in (job_routes, event_routes, model_routes, upload_routes, openai_routes):
        app.include_router(routes.router)
    for router in (webui_routes.router, webui_lists.router, webui_lists.control_net_router):
        app.include_router(router)
    app.add_middleware(Gate, access=access or Access(token=None), limits=limits)
    if PAGE.is_dir():
        app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    return app


def _uploads_in_use(queue: JobQueue) -> Collection[str]:
    """Ids of the uploads that a job still needs."""
    unfinished = queue.jobs(states=(JobState.QUEUED, JobState.RUNNING), limit=10_000)
    named = (
        name
        for job in unfinished
        for value in job.request.values()
        for name in (value if isinstance(value, list | tuple) else [value])
    )
    return {
        name.removeprefix("upload:")
        for name in named
        if isinstance(name, str) and name.startswith("upload:")
    }

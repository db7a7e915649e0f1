"""What an application holds, as its routes ask for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from sdcpu.job_queue import JobQueue
from sdcpu.server.limits import ServerLimits
from sdcpu.server.streams import Streams
from sdcpu.server.uploads import Uploads


def _queue(connection: HTTPConnection) -> JobQueue:
    queue: JobQueue = connection.app.state.queue
    return queue


def _limits(connection: HTTPConnection) -> ServerLimits:
    limits: ServerLimits = connection.app.state.limits
    return limits


def _streams(connection: HTTPConnection) -> Streams:
    streams: Streams = connection.app.state.streams
    return streams


def _uploads(connection: HTTPConnection) -> Uploads:
    uploads: Uploads = connection.app.state.uploads
    return uploads


Queue = Annotated[JobQueue, Depends(_queue)]
Limits = Annotated[ServerLimits, Depends(_limits)]
OpenStreams = Annotated[Streams, Depends(_streams)]
KeptUploads = Annotated[Uploads, Depends(_uploads)]

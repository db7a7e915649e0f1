"""Drawing on another sdcpu server: a job there, followed from here."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdcpu.errors import CancelledError, RemoteError, SdcpuError, error_from_code
from sdcpu.events import DownloadProgress, Preview, Progress
from sdcpu.images import GeneratedImage, ImageRequest
from sdcpu.jobs import request_fields
from sdcpu.remote.connection import Connection, number_of
from sdcpu.remote.pictures import opened_picture, picture_bytes
from sdcpu.remote.plans import RemotePlan

if TYPE_CHECKING:
    from sdcpu.images import ImageSource

RemoteEvent = RemotePlan | DownloadProgress | Progress | Preview | GeneratedImage
SECONDS_WITHOUT_SERVER = 120.0
"""How long a job is looked for while its server does not answer: long enough to start it again."""
SECONDS_BETWEEN_LOOKS = 1.0
JOBS = "/api/v1/jobs"
_DEFAULTS = ImageRequest(prompt="")


class SdcpuServer:
    """Draws with the jobs of one server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._job: str | None = None
        self._cancelled = threading.Event()

    def plan(self, model: str | None, request: ImageRequest) -> RemotePlan:
        """What the server says about how it would draw; nothing is drawn."""
        order = self._order(model, request)
        return _plan(self._connection, self._connection.json("POST", "/api/v1/plan", json=order))

    def draw(self, model: str | None, request: ImageRequest) -> Generator[RemoteEvent, None, None]:
        """Put a job into the server's queue and tell what happens; leaving early cancels it."""
        self._cancelled.clear()
        job = self._connection.json("POST", JOBS, json=self._order(model, request))
        self._job = str(job["id"])
        ended = False
        try:
            if self._cancelled.is_set():  # while the server had not yet said what the job is called
                raise CancelledError("The picture was cancelled.")
            yield from self._followed(self._job, request)
            ended = True
        finally:
            if not ended:
                self.cancel()
            self._job = None

    def cancel(self) -> None:
        """Cancel the job, where there is one; a server that is gone has none any more."""
        self._cancelled.set()
        if self._job is not None:
            try:
                self._connection.json("POST", f"{JOBS}/{self._job}/cancel")
            except SdcpuError:
                return

    def _order(self, model: str | None, request: ImageRequest) -> dict[str, Any]:
        values = {}
        for field in fields(ImageRequest):
            value = getattr(request, field.name)
            if value != getattr(_DEFAULTS, field.name) or field.name == "prompt":
                values[field.name] = self._sent(field.name, value)
        return {"model": model, "request": values}

    def _sent(self, name: str, value: Any) -> Any:
        """A value as the server takes it; pictures are brought there first."""
        if name in ("init_image", "mask_image", "control_image"):
            return self._uploaded(value, name)
        if name == "ref_images":
            return [self._uploaded(each, "reference picture") for each in value]
        if isinstance(value, tuple):
            return [self._sent("", each) for each in value]
        return str(value) if isinstance(value, Path) else value

    def _uploaded(self, source: ImageSource, what: str) -> str:
        kept = self._connection.json(
            "POST",
            "/api/v1/uploads",
            content=picture_bytes(source, what.replace("_", " ")),
            headers={"Content-Type": "image/png"},
        )
        return f"upload:{kept['id']}"

    def _followed(self, job_id: str, request: ImageRequest) -> Iterator[RemoteEvent]:
        """What happens to a job, to its last picture; a connection that is lost is made again."""
        story = _Story(self._connection, job_id, request)
        heard_at = time.monotonic()
        while not story.ended:
            try:
                for kind, job in self._announced(job_id):
                    heard_at = time.monotonic()
                    yield from story.go_on(kind, job)
            except RemoteError:
                if time.monotonic() - heard_at > SECONDS_WITHOUT_SERVER:
                    raise
            if not story.ended:
                time.sleep(SECONDS_BETWEEN_LOOKS)

    def _announced(self, job_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with self._connection.stream("GET", f"{JOBS}/{job_id}/events") as response:
            kind = ""
            for line in response.iter_lines():
                name, _, value = line.partition(":")
                if name == "event":
                    kind = value.strip()
                elif name == "data":
                    yield kind, json.loads(value)


class _Story:
    """What was told of one job, so that nothing is told twice."""

    def __init__(self, connection: Connection, job_id: str, request: ImageRequest) -> None:
        self._connection = connection
        self._path = f"{JOBS}/{job_id}"
        self._request = request
        self._planned = False
        self._pictures = 0
        self.ended = False

    def go_on(self, kind: str, job: Mapping[str, Any]) -> Iterator[RemoteEvent]:
        """The events in an announcement, whose data is the job as it is now."""
        if not self._planned and job.get("plan"):
            self._planned = True
            yield _plan(self._connection, job["plan"])
        if progress := job.get("progress"):
            yield self._progress(progress)
            if kind == "preview":
                yield from self._preview(progress)
        for result in job["results"][self._pictures :]:
            yield self._picture(result, job)
            self._pictures += 1
        state = job["state"]
        if state == "done":
            self.ended = True
        elif state == "failed":
            error = job["error"]
            raise error_from_code(error["code"], error["message"], hint=error["hint"])
        elif state == "cancelled" or kind == "deleted":
            raise CancelledError("The job was cancelled on the server.")

    def _progress(self, told: Mapping[str, Any]) -> Progress | DownloadProgress:
        left = number_of(told, "seconds_left")
        done, total = int(told["done"]), int(told["total"])
        if told["stage"] == "download":
            return DownloadProgress(
                file="a model of the server", done=done, total=total, seconds_left=left
            )
        return Progress(
            stage=told["stage"],
            step=done,
            steps=total,
            picture=int(told["picture"]) + 1,
            pictures=self._request.count,
            seconds_left=left,
        )

    def _preview(self, told: Mapping[str, Any]) -> Iterator[Preview]:
        try:
            content = self._connection.bytes("GET", f"{self._path}/preview")
        except SdcpuError:  # replaced by the result at this moment
            return
        yield Preview(image=opened_picture(content), step=max(1, int(told["done"])))

    def _picture(self, result: Mapping[str, Any], job: Mapping[str, Any]) -> GeneratedImage:
        content = self._connection.bytes("GET", f"{self._path}/results/{result['index']}")
        recipe = dict(result["recipe"])
        return GeneratedImage(
            image=opened_picture(content),
            request=ImageRequest(**request_fields(recipe)) if recipe else self._request,
            model=str(recipe.get("model") or job["model"]),
            seed=int(result["seed"] or 0),
            index=int(result["index"]),
            seconds=float(result["seconds"]),
            recipe=recipe,
            notes=tuple(map(str, job["notes"])),
        )


def _plan(connection: Connection, told: Mapping[str, Any]) -> RemotePlan:
    model = told.get("model")
    return RemotePlan(
        address=connection.address.text,
        model=model.get("name") if isinstance(model, dict) else None,
        warning=connection.address.warning,
        reasons=tuple(map(str, told.get("reasons") or ())),
        seconds_expected=number_of(told, "seconds_expected"),
    )

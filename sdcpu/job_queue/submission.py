"""Taking a request into the queue: as a job that waits, or one that is answered at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sdcpu.errors import InvalidRequestError, JobConflictError
from sdcpu.images import check_number
from sdcpu.job_queue.discretion import Discretion
from sdcpu.job_queue.folder import QueueFolder, translated
from sdcpu.job_queue.intake import Checked, Intake, PathOf
from sdcpu.job_queue.job import HIGHEST_PRIORITY, LOWEST_PRIORITY, Job, JobKind, JobState
from sdcpu.job_queue.ledger import Ledger
from sdcpu.job_queue.pictures import copied, copy_pictures

_ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_ID_LENGTH = 16
"""80 bits: nobody guesses one."""
_RANDOM_SEED_BITS = 32
"""As many as the engine's noise takes."""
_MOST_CHARACTERS = 200
"""Of a key, or of a client's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What came in, before it is checked."""

    request: Mapping[str, Any]
    path_of: PathOf
    """The files of the pictures that it brings along."""
    model: str | None
    kind: JobKind
    priority: int
    client: str
    key: str | None
    retry_of: str | None = None


class Submissions:
    """Makes jobs of what comes in; any thread may use it."""

    def __init__(
        self,
        ledger: Ledger,
        folder: QueueFolder,
        intake: Intake,
        discretion: Discretion,
        clock: Callable[[], float],
    ) -> None:
        self._ledger, self._folder, self._intake, self._clock = ledger, folder, intake, clock
        self._discretion = discretion

    def take(self, submission: Submission) -> Job:
        """Check a request and keep it as a job; `JobQueue.submit` says what is raised."""
        check_priority(submission.priority)
        _check_text("client", submission.client)
        if submission.key is not None:
            _check_text("key", submission.key)
        if earlier := self._same_as_before(submission):
            return earlier
        self._ledger.check_room()
        self._folder.check_space()
        checked = self._intake.checked(
            submission.kind, submission.model, submission.request, submission.path_of
        )
        job = self._new_job(submission, checked)
        try:
            return self._added(job, checked)
        except BaseException as error:
            self._folder.remove_job(job.id)
            if isinstance(error, JobConflictError):  # the same key came twice at once
                earlier = self._same_as_before(submission)
                if earlier is not None:
                    return earlier
            raise

    def _same_as_before(self, submission: Submission) -> Job | None:
        """The job that came with this key before; JobConflictError where it was another request."""
        earlier = None if submission.key is None else self._ledger.find_key(submission.key)
        if earlier is None:
            return None
        asked = submission.kind, submission.model, dict(submission.request)
        if asked != (earlier.kind, earlier.model, earlier.request):
            raise JobConflictError(
                "The key came with another request before.", hint="Give each request its own key."
            )
        return earlier

    def _new_job(self, submission: Submission, checked: Checked) -> Job:
        plan = checked.plan_json
        return Job(
            id="".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH)),
            kind=submission.kind,
            model=submission.model,
            request=dict(submission.request),
            priority=submission.priority,
            client=submission.client,
            key=submission.key,
            state=JobState.QUEUED,
            position=None,
            created=self._clock(),
            started=None,
            finished=None,
            attempts=0,
            plan=None if plan is None else self._discretion.plan(plan),
            progress=None,
            results=(),
            error=None,
            notes=(),
            from_cache=False,
            retry_of=submission.retry_of,
        )

    def _added(self, job: Job, checked: Checked) -> Job:
        copy_pictures(checked.pictures, lambda place: self._folder.input(job.id, place))
        seed = checked.values.get("seed")
        seed = secrets.randbits(_RANDOM_SEED_BITS) if seed is None else seed
        source = None if checked.key is None else self._ledger.cached(checked.key)
        if source is not None:
            job = self._answered(job, source) or job
        return self._ledger.add(job, group=checked.group, seed=seed)

    def _answered(self, job: Job, source: Job) -> Job | None:
        """The job as done with the results of an identical one; None where they have gone."""
        for result in source.results:
            path = self._folder.job(job.id) / result.file
            with translated(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    copied(self._folder.job(source.id) / result.file, path)
                except FileNotFoundError:  # deleted at this moment
                    return None
        now = self._clock()
        return replace(
            job,
            state=JobState.DONE,
            started=now,
            finished=now,
            results=source.results,
            from_cache=True,
        )


def check_priority(priority: object) -> None:
    """Make sure that a priority can be.

    Raises:
        InvalidRequestError: it is not a whole number from -10 to 10.
    """
    if priority is None:
        raise InvalidRequestError("The priority is missing.")
    check_number("priority", priority, LOWEST_PRIORITY, HIGHEST_PRIORITY, whole=True)


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS or not text.isprintable():
        raise InvalidRequestError(
            f"The {what} must be text of at most {_MOST_CHARACTERS} printable characters."
        )

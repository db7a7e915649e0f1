"""What happens in a queue, told to whoever listens; who listens slowly holds nobody up."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

AnnouncementKind = Literal[
    "queued",
    "moved",
    "started",
    "plan",
    "progress",
    "preview",
    "result",
    "done",
    "failed",
    "cancelled",
    "deleted",
]
PASSING = frozenset({"moved", "progress", "preview"})
"""Kinds of which only the latest of a job matters: a later one takes the place of an earlier."""
KEPT = 1000
"""Announcements kept for those who come back."""
MOST_PENDING = 2000
"""Announcements that a listener may leave lying before its subscription ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Announcement:
    """Something that happened to a job."""

    number: int
    """Counts up through all announcements of a queue."""
    job: str
    """The job's id."""
    kind: AnnouncementKind
    data: Mapping[str, Any]
    """The job as `to_json` tells it, at that moment."""


class Subscription:
    """What one listener has not heard yet; a context manager that ends it.

    >>> announcements = Announcements()
    >>> with announcements.subscribe() as listener:
    ...     _ = announcements.publish("a1", "queued", {"id": "a1"})
    ...     listener.get(timeout=1).kind
    'queued'
    """

    def __init__(self, owner: Announcements, job: str | None) -> None:
        self._owner = owner
        self._job = job
        self._pending: OrderedDict[object, Announcement] = OrderedDict()
        self._news = threading.Condition()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether nothing more will come: it was closed, the queue was, or it listened too slowly.

        A listener that was too slow misses nothing when it subscribes again after the number that
        it heard last.
        """
        return self._closed

    def close(self) -> None:
        """End it; a `get` that waits returns None."""
        self._owner.forget(self)
        with self._news:
            self._closed = True
            self._news.notify_all()

    def get(self, timeout: float | None = None) -> Announcement | None:
        """The next announcement; None when there was none for `timeout` seconds, or none will come.

        Of kinds that pass (`PASSING`), only the latest of a job is kept; no other is left out.
        """
        with self._news:
            self._news.wait_for(lambda: self._pending or self._closed, timeout)
            return self._pending.popitem(last=False)[1] if self._pending else None

    def put(self, announcement: Announcement) -> bool:
        """Take an announcement without waiting; whether the listener keeps up."""
        if self._job not in (None, announcement.job):
            return True
        with self._news:
            if self._closed:
                return False
            _remember(self._pending, announcement)
            if len(self._pending) > MOST_PENDING:
                self._closed = True
            self._news.notify_all()
            return not self._closed


class Announcements:
    """Tells every listener what happens; any thread may use it."""

    def __init__(self, first: int = 1) -> None:
        """Number the announcements from `first`, so that a queue that comes back goes on higher."""
        self._lock = threading.Lock()
        self._number = first - 1
        self._kept: OrderedDict[object, Announcement] = OrderedDict()
        self._listeners: list[Subscription] = []
        self._closed = False

    @property
    def latest(self) -> int:
        """The number of the last announcement."""
        return self._number

    def publish(self, job: str, kind: AnnouncementKind, data: Mapping[str, Any]) -> Announcement:
        """Tell what happened to a job; waits for nobody."""
        with self._lock:
            self._number += 1
            announcement = Announcement(number=self._number, job=job, kind=kind, data=data)
            _remember(self._kept, announcement)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            self._listeners = [each for each in self._listeners if each.put(announcement)]
        return announcement

    def subscribe(self, job: str | None = None, after: int | None = None) -> Subscription:
        """Listen to one job, or to all.

        `after` is the number that was heard last, so that what was announced meanwhile comes first,
        as far as it is kept; None: from now on.
        """
        subscription = Subscription(self, job)
        with self._lock:
            if after is not None:
                for announcement in self._kept.values():
                    if announcement.number > after:
                        subscription.put(announcement)
            if not self._closed:
                self._listeners.append(subscription)
        if self._closed:
            subscription.close()
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Tell a listener nothing more."""
        with self._lock:
            self._listeners = [each for each in self._listeners if each is not subscription]

    def close(self) -> None:
        """End every subscription, after what it has not heard yet."""
        with self._lock:
            self._closed, listeners = True, list(self._listeners)
        for subscription in listeners:
            subscription.close()


def _remember(place: OrderedDict[object, Announcement], announcement: Announcement) -> None:
    """Add an announcement; one that it makes stale goes."""
    passing = announcement.kind in PASSING
    name = (announcement.job, announcement.kind) if passing else announcement.number
    place.pop(name, None)
    place[name] = announcement

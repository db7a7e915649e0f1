"""Announcements: bounded for every listener, and nothing that ends a job is ever left out."""

import threading
import time

import pytest

from sdcpu.job_queue import announcements as module
from sdcpu.job_queue.announcements import Announcement, AnnouncementKind, Announcements


def kinds(heard: list[Announcement]) -> list[tuple[str, str]]:
    return [(each.job, each.kind) for each in heard]


def everything(listener: module.Subscription) -> list[Announcement]:
    heard = []
    while (announcement := listener.get(timeout=0)) is not None:
        heard.append(announcement)
    return heard


def test_numbers_count_up_and_every_listener_hears_all() -> None:
    announcements = Announcements(first=10)
    with announcements.subscribe() as one, announcements.subscribe() as other:
        for kind in ("queued", "started", "done"):
            announcements.publish("a", kind, {})
        assert [each.number for each in everything(one)] == [10, 11, 12]
        assert kinds(everything(other)) == [("a", "queued"), ("a", "started"), ("a", "done")]


def test_a_listener_hears_of_its_job_only() -> None:
    announcements = Announcements()
    with announcements.subscribe(job="b") as listener:
        announcements.publish("a", "queued", {})
        announcements.publish("b", "queued", {})
        assert kinds(everything(listener)) == [("b", "queued")]


def test_who_is_slow_gets_the_latest_progress_and_every_end() -> None:
    announcements = Announcements()
    with announcements.subscribe() as slow:
        announcements.publish("a", "started", {})
        for step in range(5000):
            announcements.publish("a", "progress", {"step": step})
            announcements.publish("a", "preview", {"step": step})
        announcements.publish("a", "done", {})
        heard = everything(slow)
    assert kinds(heard) == [("a", "started"), ("a", "progress"), ("a", "preview"), ("a", "done")]
    assert heard[1].data == {"step": 4999}
    assert [each.number for each in heard] == sorted(each.number for each in heard)


def test_who_never_listens_is_given_up_and_can_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_PENDING", 3)
    announcements = Announcements()
    listener = announcements.subscribe()
    for number in range(6):
        announcements.publish(str(number), "done", {})
    assert listener.closed
    heard = everything(listener)
    assert len(heard) == 4
    with announcements.subscribe(after=heard[-1].number) as again:
        assert kinds(everything(again)) == [("4", "done"), ("5", "done")]


def test_what_was_missed_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    announcements = Announcements()
    sent: list[AnnouncementKind] = ["queued", "started", "progress", "progress", "result", "done"]
    numbers = [announcements.publish("a", kind, {}).number for kind in sent]
    with announcements.subscribe(after=numbers[0]) as listener:
        announcements.publish("b", "queued", {})
        heard = everything(listener)
    assert [each.number for each in heard] == [*numbers[3:], announcements.latest]


def test_a_listener_that_waits_is_woken_by_news_and_by_the_end() -> None:
    announcements = Announcements()
    listener = announcements.subscribe()
    threading.Timer(0.02, announcements.publish, ("a", "queued", {})).start()
    assert listener.get(timeout=5) is not None
    threading.Timer(0.02, announcements.close).start()
    began = time.monotonic()
    assert listener.get(timeout=5) is None
    assert time.monotonic() - began < 4
    assert announcements.subscribe().closed


def test_many_tell_many(monkeypatch: pytest.MonkeyPatch) -> None:
    announcements = Announcements()
    listeners = [announcements.subscribe() for _ in range(4)]
    heard: list[list[int]] = [[] for _ in listeners]

    def tell(name: str) -> None:
        for _ in range(100):
            announcements.publish(name, "queued", {})

    def listen(index: int) -> None:
        while (announcement := listeners[index].get()) is not None:
            heard[index].append(announcement.number)

    threads = [threading.Thread(target=listen, args=(index,)) for index in range(4)]
    tellers = [threading.Thread(target=tell, args=(str(index),)) for index in range(4)]
    for thread in threads + tellers:
        thread.start()
    for teller in tellers:
        teller.join()
    announcements.close()
    for thread in threads:
        thread.join(5)
    assert heard == [list(range(1, 401))] * 4

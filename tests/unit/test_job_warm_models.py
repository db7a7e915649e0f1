"""Models that stay loaded: which give way, and when."""

from dataclasses import replace

import pytest

from sdcpu.hardware import detect_hardware
from sdcpu.job_queue.warm_models import WarmModels
from tests.fake_generators import FakeGenerator, Studio

GB = 1_000_000_000


class Machine:
    """A clock, and memory of which every loaded model takes 2 GB."""

    def __init__(self, *, free: int = 8 * GB, **options: object) -> None:
        self.now = 0.0
        self.total = free
        self.studio = Studio()
        self.warm = WarmModels(
            keep_alive_seconds=float(str(options.get("keep_alive", 300))),
            memory_limit=None if "limit" not in options else int(str(options["limit"])),
            clock=lambda: self.now,
            hardware=lambda: replace(
                detect_hardware(),
                memory_available=self.total - 2 * GB * len(self.studio.loaded),
                memory_limit_available=None,
            ),
            memory_of=lambda pid: 0 if pid is None else 2 * GB,
        )

    def use(self, group: str) -> FakeGenerator:
        maker = self.warm.take(group, lambda: self.studio(group))
        assert isinstance(maker, FakeGenerator)
        maker.engine_pid = 1
        self.now += 1
        self.warm.give_back(group)
        return maker


def test_the_same_generator_is_used_again() -> None:
    machine = Machine()
    assert machine.use("a") is machine.use("a")
    assert machine.warm.groups() == ["a"]
    assert machine.warm.memory() == 2 * GB


def test_what_idles_too_long_is_closed() -> None:
    machine = Machine(keep_alive=10)
    machine.use("a")
    machine.now += 4
    machine.use("b")
    assert machine.warm.seconds_to_idle() == 5
    machine.now += 5
    machine.warm.close_idle(used="a")
    assert machine.warm.groups() == ["a", "b"]
    machine.warm.close_idle()
    assert machine.studio.loaded == ["b"]
    assert [each["idle_seconds"] for each in machine.warm.report()] == [5]


def test_nothing_stays_where_nothing_may() -> None:
    machine = Machine(keep_alive=0)
    machine.use("a")
    assert machine.studio.loaded == []
    assert machine.warm.seconds_to_idle() is None


def test_what_may_stay_for_ever_does() -> None:
    machine = Machine(keep_alive="inf")
    machine.use("a")
    machine.now += 1e9
    machine.warm.close_idle()
    assert machine.warm.seconds_to_idle() is None
    assert machine.studio.loaded == ["a"]


@pytest.mark.parametrize(
    ("needed", "left"), [(1 * GB, ["a", "b", "c"]), (3 * GB, ["b", "c"]), (7 * GB, [])]
)
def test_those_unused_for_the_longest_time_give_way(needed: int, left: list[str]) -> None:
    machine = Machine()
    for group in ("a", "b", "c"):
        machine.use(group)
    machine.warm.make_room("new", needed)
    assert machine.studio.loaded == left


def test_a_model_does_not_give_way_to_itself() -> None:
    machine = Machine()
    for group in ("a", "b", "c"):
        machine.use(group)
    machine.warm.make_room("a", 7 * GB)
    assert machine.studio.loaded == ["a"]


def test_the_users_limit_is_for_all_together() -> None:
    machine = Machine(free=100 * GB, limit=5 * GB)
    machine.use("a")
    machine.use("b")
    machine.warm.make_room("new", 2 * GB)
    assert machine.studio.loaded == ["b"]


def test_on_a_card_all_others_give_way() -> None:
    machine = Machine(free=100 * GB)
    machine.use("a")
    machine.use("b")
    machine.warm.make_room("b", GB, on_card=True)
    assert machine.studio.loaded == ["b"]

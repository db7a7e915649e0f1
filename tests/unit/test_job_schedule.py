"""Which job is next: priority, then what is loaded, then age; and nobody waits for ever."""

from hypothesis import given
from hypothesis import strategies as st

from sdcpu.job_queue.schedule import (
    MOST_OVERTAKINGS,
    Waiting,
    drawing_order,
    next_job,
    overtaken_by,
)


def jobs(*said: tuple[int, str]) -> list[Waiting]:
    return [
        Waiting(id=str(number), priority=priority, group=group)
        for number, (priority, group) in enumerate(said)
    ]


def test_nothing_waits() -> None:
    assert next_job([], {"a"}) is None
    assert drawing_order([], ()) == []


def test_priority_comes_before_what_is_loaded() -> None:
    assert drawing_order(jobs((0, "a"), (1, "b"), (0, "a")), {"a"}) == ["1", "0", "2"]


def test_the_loaded_model_is_used_before_another_is_loaded() -> None:
    assert drawing_order(jobs((0, "b"), (0, "a"), (0, "a")), {"a"}) == ["1", "2", "0"]


def test_without_anything_loaded_the_oldest_is_first() -> None:
    assert drawing_order(jobs((0, "b"), (0, "a"), (0, "b")), ()) == ["0", "2", "1"]


def test_the_unfairness_is_bounded() -> None:
    waiting = jobs((0, "b"), *[(0, "a")] * 20)
    assert drawing_order(waiting, {"a"}).index("0") == MOST_OVERTAKINGS


def test_only_equals_are_overtaken() -> None:
    waiting = jobs((0, "b"), (-1, "b"), (0, "a"))
    assert [job.id for job in overtaken_by(waiting[2], waiting)] == ["0"]


@given(
    st.lists(st.tuples(st.integers(-2, 2), st.sampled_from("abc")), max_size=30),
    st.sets(st.sampled_from("abc")),
)
def test_everybody_has_a_turn_and_few_go_before(
    said: list[tuple[int, str]], loaded: set[str]
) -> None:
    waiting = jobs(*said)
    order = drawing_order(waiting, loaded)
    assert sorted(order) == sorted(job.id for job in waiting)
    place = {job_id: number for number, job_id in enumerate(order)}
    for job in waiting:
        passed = [
            other
            for other in waiting
            if int(other.id) > int(job.id)
            and other.priority == job.priority
            and place[other.id] < place[job.id]
        ]
        # Of several that were overtaken as often as may be, the oldest goes first.
        assert len(passed) <= MOST_OVERTAKINGS
        assert not any(
            other.priority < job.priority and place[other.id] < place[job.id] for other in waiting
        )

"""Offsets of the partitions that are held: what is stored, and what is committed with it."""

from __future__ import annotations

from confluent_kafka import TopicPartition

from eventstream.consumer.offsets import TELL_PROGRESS_SECONDS, Offsets
from eventstream.kafka_gap import Progress

FINISHED = Progress("a Redis", 2)


def told(places: list[TopicPartition]) -> list[tuple[int, int, str | None]]:
    return [(place.partition, place.offset, place.metadata) for place in places]


def begun(committed: Progress | None = None) -> Offsets:
    offsets = Offsets("t")
    offsets.begin({0: (3, committed)})
    return offsets


def test_a_partition_is_safe_up_to_where_it_begins_and_then_to_what_is_stored() -> None:
    offsets = begun()

    places = offsets.to_store({(0, 1): 5}, {0: 1})

    assert offsets.positions() == {0: 3}
    offsets.stored(places)
    assert offsets.positions() == {0: 5}
    offsets.begin({0: (3, None)})
    assert offsets.positions() == {0: 5}, "one look too many moves nothing back"


def test_nothing_is_stored_of_an_assignment_that_is_over() -> None:
    offsets = begun()

    assert offsets.to_store({(0, 1): 5}, {0: 2}) == []
    assert offsets.to_store({(0, 1): 5}, {}) == []


def test_what_is_acknowledged_waits_until_it_is_known_where_its_partition_begins() -> None:
    offsets = Offsets("t")

    assert offsets.unknown([0]) == [0]
    assert offsets.to_store({(0, 1): 5}, {0: 1}) == []
    offsets.begin({0: (3, FINISHED)})

    assert offsets.unknown([0]) == []
    assert told(offsets.to_store({}, {0: 1})) == [(0, 5, FINISHED.pack())]
    assert offsets.to_store({}, {0: 1}) == []


def test_progress_is_told_now_and_then_and_of_another_redis_at_once() -> None:
    offsets = begun()

    assert offsets.to_tell(1.0) == []
    offsets.carry({0: FINISHED, 7: FINISHED})

    assert told(offsets.to_tell(1.0)) == [(0, 3, FINISHED.pack())]
    offsets.carry({0: Progress("a Redis", 3), 7: FINISHED})
    assert offsets.to_tell(1.0 + TELL_PROGRESS_SECONDS / 2) == []
    another = Progress("another Redis", 0)
    offsets.carry({0: another, 7: another})
    assert told(offsets.to_tell(1.0 + TELL_PROGRESS_SECONDS / 2)) == [(0, 3, another.pack())]


def test_of_a_partition_that_is_let_go_nothing_is_known() -> None:
    offsets = begun(FINISHED)

    offsets.forget([0, 1])

    assert (offsets.positions(), offsets.carried(), offsets.unknown([0])) == ({}, {}, [0])

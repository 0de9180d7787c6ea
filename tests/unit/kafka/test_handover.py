"""Between the polling thread and the loop: bounded, in order, nothing acknowledged too early."""

from __future__ import annotations

import asyncio

from eventstream.consumer.handover import MAX_BATCH_BYTES, Handover, Polled
from eventstream.events import KafkaSource
from eventstream.kafka.records import SourceRecord


def polled(offset: int, partition: int = 0, assignment: int = 1, size: int = 1) -> Polled:
    source = KafkaSource(topic="t", partition=partition, offset=offset)
    return Polled(SourceRecord(source, b"x" * size), assignment)


def offsets(batch: list[Polled]) -> list[int]:
    return [each.record.source.offset for each in batch]


def a_handover(capacity: int = 10) -> Handover:
    return Handover(asyncio.get_running_loop(), capacity)


async def test_what_gathers_while_a_batch_is_in_hand_is_the_next_batch() -> None:
    handover = a_handover()
    handover.offer([polled(0)])
    first = await handover.take()
    handover.offer([polled(1)])
    handover.offer([polled(2), polled(3)])

    handover.acknowledge(first)

    assert offsets(await handover.take()) == [1, 2, 3]


async def test_a_batch_is_at_most_the_capacity() -> None:
    handover = a_handover(capacity=2)
    handover.offer([polled(offset) for offset in range(5)])

    assert offsets(await handover.take()) == [0, 1]
    assert handover.room() == 0


async def test_a_batch_is_bounded_in_bytes_and_holds_at_least_one_record() -> None:
    handover = a_handover()
    handover.offer([polled(0, size=MAX_BATCH_BYTES + 1), polled(1), polled(2)])

    assert handover.room() == 0
    assert offsets(await handover.take()) == [0]
    assert handover.room() == 8
    assert offsets(await handover.take()) == [1, 2]


async def test_the_thread_is_told_when_there_is_room_again() -> None:
    handover = a_handover(capacity=1)
    handover.offer([polled(0)])
    assert handover.wait_for_room(0) is False

    waiting = asyncio.create_task(asyncio.to_thread(handover.wait_for_room, 30))
    await handover.take()

    assert await waiting is True


async def test_offsets_are_the_next_ones_to_read_once_acknowledged() -> None:
    handover = a_handover()
    handover.offer([polled(4), polled(5), polled(7, partition=1, assignment=2)])
    batch = await handover.take()
    assert handover.acknowledged() == {}

    handover.acknowledge(batch)

    assert handover.acknowledged() == {(0, 1): 6, (1, 2): 8}
    assert handover.acknowledged() == {}


async def test_what_others_will_read_is_withdrawn() -> None:
    handover = a_handover()
    handover.offer([polled(0), polled(1, partition=1), polled(2)])

    handover.withdraw([0])

    assert offsets(await handover.take()) == [1]
    handover.offer([polled(3)])
    handover.withdraw()
    assert handover.room() == 10


async def test_a_rebalance_waits_for_the_batch_in_hand() -> None:
    handover = a_handover()
    handover.offer([polled(0)])
    batch = await handover.take()
    assert handover.wait_until_done([1], 0) is True
    assert handover.wait_until_done([0], 0) is False

    waiting = asyncio.create_task(asyncio.to_thread(handover.wait_until_done, [0], 30))
    handover.acknowledge(batch)

    assert await waiting is True


async def test_a_closed_handover_gives_nothing_more() -> None:
    handover = a_handover()
    taking = asyncio.create_task(handover.take())
    await asyncio.sleep(0)

    handover.close()

    assert await taking == []
    handover.offer([polled(0)])
    assert await handover.take() == []

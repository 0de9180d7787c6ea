"""A results Redis that lost its data: the consumers notice, say what is gone, and it comes back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from structlog.testing import capture_logs

from eventstream import kafka_gap
from eventstream.claims import Answered
from eventstream.consumer.gaps import GapWatch
from eventstream.consumer.offsets import Offsets
from eventstream.errors import StoreUnavailable
from eventstream.events import Result
from eventstream.kafka.topics import plans_for
from eventstream.kafka_gap import Gap, Progress
from eventstream.keys import queue_for
from tests.kafka.harness import Stream, a_text, metric, until
from tests.kafka.test_faults import moved
from tests.support.redis_server import RedisServer


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may empty."""
    with RedisServer(tmp_path, search=False) as server:
        yield server


@asynccontextmanager
async def on(stream: Stream, server: RedisServer) -> AsyncIterator[Stream]:
    changes: dict[str, Any] = {
        "celery_result_backend": server.url(2),
        "redis_timeout_seconds": 1.0,
    }
    async with moved(stream, stream.settings.model_copy(update=changes)) as here:
        yield here


async def answer(stream: Stream, most: int) -> int:
    """Does a worker's part for up to `most` events."""
    queue = queue_for(stream.name, "kafka")
    claim = await stream.tools.inbox.claim(queue, "a-worker", most)
    await stream.tools.inbox.finish(
        [
            Answered(
                held,
                Result(
                    response="fine",
                    task_type=held.event.task_type,
                    model="test/model",
                    processing_time=0.1,
                    from_cache=False,
                ),
                "model",
            )
            for held in claim.fresh
        ]
    )
    return len(claim.fresh)


async def gaps_of(stream: Stream) -> tuple[Gap, ...]:
    # The test's connection finds out for itself that Redis was away for a moment.
    with contextlib.suppress(StoreUnavailable):
        return await kafka_gap.read(stream.tools.redis, stream.tools.keys, [stream.name])
    return ()


def empty(server: RedisServer) -> None:
    """Restart it without its data."""
    server.kill()
    server.start()


async def told(stream: Stream) -> dict[int, Progress]:
    """Partition -> what the group has committed with its offset."""
    found = await stream.carried()
    return {number: progress for number, progress in found.items() if progress is not None}


async def marked(stream: Stream) -> None:
    """Wait until every partition with records has the mark of this Redis committed."""

    async def all_of_them() -> bool:
        used = {number for number, offset in (await stream.committed()).items() if offset}
        return bool(used) and used <= (await told(stream)).keys()

    await until(all_of_them, "the mark is committed")


async def finished_up_to(stream: Stream, records: int) -> None:
    """Wait until the group has committed that so many records are finished."""

    async def enough() -> bool:
        return sum(each.finished for each in (await told(stream)).values()) >= records

    await until(enough, f"{records} records are known as finished")


async def gap_stated(stream: Stream) -> dict[int, tuple[int, int]]:
    """The gap by partition, as soon as one is stated."""
    gaps: tuple[Gap, ...] = await until(lambda: gaps_of(stream), "a gap is stated")
    return {gap.partition: (gap.first, gap.end) for gap in gaps}


async def test_what_was_unfinished_is_stated_and_replayed(
    stream: Stream, own_redis: RedisServer
) -> None:
    async with on(stream, own_redis) as here, here.consumed():
        await here.produce(*(a_text(f"done {n}", event_id=f"d-{n}") for n in range(40)), key=b"k")
        await here.accepted(40)
        assert await answer(here, 100) == 40
        await finished_up_to(here, 40)
        await here.produce(*(a_text(f"open {n}", event_id=f"o-{n}") for n in range(30)), key=b"k")
        await here.accepted(70)
        [partition] = [number for number, at in (await here.committed()).items() if at]
        with capture_logs() as lines:
            empty(own_redis)
            stated = await gap_stated(here)
        assert stated == {partition: (40, 70)}
        [line] = [line for line in lines if line["event"] == "results_lost"]
        assert (line["first_offset"], line["last_offset"], line["records"]) == (40, 69, 30)
        assert "registry_restored" in [each["event"] for each in lines]
        labels = here.labels | {"partition": str(partition)}
        await until(lambda: metric("eventstream_kafka_gap_records", **labels) == 30, "the metric")

        since = line["way_out"].split("--since ")[1].split()[0]
        ran = await here.command("replay", "--topic", here.topic, "--since", since, "--json")
        assert ran.json()["accepted"] == 30
        assert ran.json()["gaps_closed"] == 1
        assert await gaps_of(here) == ()
        await until(lambda: metric("eventstream_kafka_gap_records", **labels) == 0, "it is closed")
        assert await answer(here, 100) == 30
        await finished_up_to(here, 70)


async def test_a_consumer_that_went_down_with_redis_states_the_gap_when_it_is_back(
    stream: Stream, own_redis: RedisServer
) -> None:
    async with on(stream, own_redis) as here:
        async with here.consumed():
            await here.produce(*(a_text(f"open {n}") for n in range(20)), key=b"k")
            await here.accepted(20)
            assert await answer(here, 5) == 5
            await here.committed_all(20)
            await marked(here)
        empty(own_redis)
        await here.tools.redis.connection_pool.disconnect()  # closed by the server in any case
        await here.registry.write({here.name: here.spec})

        async with here.consumed():
            assert list((await gap_stated(here)).values()) == [(0, 20)]
            await here.produce(*(a_text(f"new {n}") for n in range(5)), key=b"k")
            await here.accepted(5)
        # What is stated once is not stated anew by the next one once it has been read again.
        ran = await here.command("replay", "--topic", here.topic, "--since", "1h", "--json")
        assert (ran.json()["accepted"], ran.json()["duplicates"]) == (20, 5)
        async with here.consumed():
            await here.produce(a_text("one more"), key=b"k")
            await here.accepted(26)
            await here.committed_all(26)
            assert await gaps_of(here) == ()


async def test_what_was_lost_twice_is_stated_from_the_first_loss_on(
    stream: Stream, own_redis: RedisServer
) -> None:
    async with on(stream, own_redis) as here, here.consumed():
        await here.produce(*(a_text(f"open {n}") for n in range(20)), key=b"k")
        await here.accepted(20)
        await marked(here)
        empty(own_redis)
        assert list((await gap_stated(here)).values()) == [(0, 20)]
        await here.produce(*(a_text(f"more {n}") for n in range(10)), key=b"k")
        await here.accepted(10)
        assert await answer(here, 100) == 10
        await here.committed_all(30)

        empty(own_redis)

        assert list((await gap_stated(here)).values()) == [(0, 30)]


async def test_an_event_that_was_put_back_counts_from_where_it_stood_first(
    stream: Stream, own_redis: RedisServer
) -> None:
    async with on(stream, own_redis) as here, here.consumed():
        await here.produce(a_text("first"), key=b"k")
        await here.accepted(1)
        claim = await here.tools.inbox.claim(queue_for(here.name, "kafka"), "a-worker", 10)
        await here.tools.inbox.put_back("a-worker", [held.wait(600) for held in claim.fresh])
        await here.produce(*(a_text(f"later {n}") for n in range(10)), key=b"k")
        await here.accepted(11)
        assert await answer(here, 100) == 10
        await here.committed_all(11)
        await marked(here)
        await here.produce(a_text("last"), key=b"k")
        await here.accepted(12)
        await here.committed_all(12)

        empty(own_redis)

        assert list((await gap_stated(here)).values()) == [(0, 12)]


async def test_an_emptied_redis_with_nothing_unfinished_leaves_no_gap(
    stream: Stream, own_redis: RedisServer
) -> None:
    async with on(stream, own_redis) as here, here.consumed():
        await here.produce(*(a_text(f"done {n}") for n in range(10)), key=b"k")
        await here.accepted(10)
        assert await answer(here, 100) == 10
        await finished_up_to(here, 10)
        before = {each.mark for each in (await told(here)).values()}
        empty(own_redis)

        async def another_mark() -> bool:
            return {each.mark for each in (await told(here)).values()}.isdisjoint(before)

        await until(another_mark, "the new mark is committed")
        assert await gaps_of(here) == ()


@pytest.mark.parametrize(
    ("position", "taken", "end"),
    [(3, {}, 3), (5, {}, 5), (5, {0: 8}, 8)],
    ids=["committed", "accepted", "in hand"],
)
async def test_what_was_taken_before_the_first_look_is_in_the_gap(
    stream: Stream, position: int, taken: dict[int, int], end: int
) -> None:
    await stream.tools.admin.ensure_topics(plans_for(stream.spec))
    offsets = Offsets(stream.topic)
    offsets.begin({0: (3, Progress("another Redis", 2))})
    offsets.stored([TopicPartition(stream.topic, 0, position)])
    watch = GapWatch(
        stream.name,
        stream.topic,
        offsets,
        lambda: taken,
        redis=stream.tools.redis,
        keys=stream.tools.keys,
        settings=stream.settings,
    )

    await watch.look()

    [gap] = await gaps_of(stream)
    assert (gap.first, gap.end) == (2, end)
    watch.forget()


async def test_a_gap_that_retention_has_cut_is_closed_by_what_is_left(stream: Stream) -> None:
    since = datetime.now(UTC)
    await stream.produce(*(a_text(f"open {n}") for n in range(20)), key=b"k")
    ends = await stream.tools.admin.end_offsets(stream.topic, [0, 1, 2])
    [partition] = [number for number, end in ends.items() if end == 20]
    gaps = kafka_gap.between(stream.name, stream.topic, {partition: (0, 20)}, {partition: 0.0})
    await kafka_gap.state(stream.tools.redis, stream.tools.keys, stream.name, gaps)
    await stream.delete_records(partition, before=12)

    ran = await stream.command(
        "replay", "--topic", stream.topic, "--since", since.isoformat(), "--json"
    )

    assert (ran.json()["accepted"], ran.json()["gaps_closed"]) == (8, 1)
    assert await gaps_of(stream) == ()


async def test_a_gap_that_was_read_from_its_middle_stays_open(stream: Stream) -> None:
    await stream.produce(*(a_text(f"open {n}") for n in range(5)), key=b"k")
    since = datetime.now(UTC) + timedelta(milliseconds=2)
    await until(lambda: datetime.now(UTC) > since, "some milliseconds")
    await stream.produce(*(a_text(f"later {n}") for n in range(5)), key=b"k")
    ends = await stream.tools.admin.end_offsets(stream.topic, [0, 1, 2])
    [partition] = [number for number, end in ends.items() if end == 10]
    gaps = kafka_gap.between(stream.name, stream.topic, {partition: (2, 10)}, {partition: 0.0})
    await kafka_gap.state(stream.tools.redis, stream.tools.keys, stream.name, gaps)

    ran = await stream.command(
        "replay", "--topic", stream.topic, "--since", since.isoformat(), "--json"
    )

    assert (ran.json()["accepted"], ran.json()["gaps_closed"]) == (5, 0)
    assert await gaps_of(stream) == tuple(gaps)

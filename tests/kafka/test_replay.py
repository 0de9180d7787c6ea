"""`eventstream replay`: reading a topic again after the results Redis lost its data."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from confluent_kafka import Producer

from eventstream.events import State
from eventstream.kafka.config import producer_config, reader_config
from eventstream.kafka.ranges import RangeReader
from eventstream.kafka.records import SourceRecord
from eventstream.kafka.topics import plans_for
from eventstream.spec import Model
from eventstream.tasks import end
from tests.kafka.harness import DEADLINE_SECONDS, Stream, a_text, until
from tests.support.redis_server import free_port


async def test_what_redis_lost_is_accepted_again_and_the_rest_is_known(stream: Stream) -> None:
    began = datetime.now(UTC)
    async with stream.consumed():
        await stream.produce(*(a_text(f"text {n}", event_id=f"e-{n}") for n in range(40)))
        await stream.produce(b"not json")
        await stream.accepted(40)
        await stream.committed_all(41)
    for number in range(15):
        await stream.tools.inbox.cancel(f"e-{number}")
        await stream.tools.inbox.cancel(f"e-{number}")
    committed = await stream.committed()

    ran = await stream.command(
        "replay", "--topic", stream.topic, "--since", began.isoformat(), "--json"
    )

    counts = ran.json()
    assert (counts["accepted"], counts["duplicates"], counts["refused"]) == (15, 25, 1)
    assert counts["read"] == counts["total"] == 41
    status = await stream.tools.results.status("e-0")
    assert status is not None
    assert status.status is State.PENDING
    assert await stream.committed() == committed


async def test_a_change_of_the_spec_makes_no_record_conflict_with_itself(stream: Stream) -> None:
    began = datetime.now(UTC)
    async with stream.consumed():
        await stream.produce(a_text("lovely"), a_text("late", event_id="order-7"))
        await stream.accepted(2)
    changed = stream.spec.model_copy(update={"model": Model(temperature=0.2, max_tokens=50)})
    await stream.registry.write({stream.name: changed})

    ran = await stream.command(
        "replay", "--topic", stream.topic, "--since", began.isoformat(), "--json"
    )

    counts = ran.json()
    assert (counts["accepted"], counts["duplicates"], counts["conflicts"]) == (0, 2, 0)


async def test_records_before_the_time_are_left_alone(stream: Stream) -> None:
    await stream.produce(a_text("old", event_id="old"))
    since = datetime.now(UTC) + timedelta(milliseconds=1)  # Kafka's times are milliseconds
    await until(lambda: datetime.now(UTC) > since, "the next millisecond")
    await stream.produce(a_text("new", event_id="new"))

    ran = await stream.command("replay", "--topic", stream.topic, "--since", since.isoformat())

    assert ran.code == 0
    assert "1 records read" in ran.out
    assert await stream.tools.results.status("old") is None
    assert await stream.tools.results.status("new") is not None


async def test_records_of_a_producer_that_is_ahead_are_read_again_by_their_own_time(
    stream: Stream,
) -> None:
    await stream.tools.admin.ensure_topics(plans_for(stream.spec))
    ahead = datetime.now(UTC) + timedelta(minutes=30)  # a broker takes up to an hour
    producer = Producer(producer_config(stream.settings))
    for name, moment in (("now", datetime.now(UTC)), ("ahead", ahead)):
        producer.produce(
            stream.topic, a_text(name, event_id=name), timestamp=int(moment.timestamp() * 1000)
        )
    await asyncio.to_thread(producer.flush)

    ran = await stream.command(
        "replay", "--topic", stream.topic, "--since", ahead.isoformat(timespec="seconds")
    )

    assert (ran.code, "1 records read" in ran.out) == (0, True)
    assert await stream.tools.results.status("ahead") is not None
    assert await stream.tools.results.status("now") is None


async def test_a_topic_that_is_written_to_with_old_times_has_an_end_for_its_reader(
    stream: Stream,
) -> None:
    await stream.produce(b"first")
    producer = Producer(producer_config(stream.settings) | {"linger.ms": 0})
    read: list[SourceRecord] = []

    async def write_without_end() -> None:
        while True:
            producer.produce(stream.topic, b"more", timestamp=1_000_000_000_000)
            producer.poll(0)
            await asyncio.sleep(0.01)

    async def much() -> bool:
        ends = await stream.tools.admin.end_offsets(stream.topic, [0, 1, 2])
        return sum(ends.values()) > 100

    writing = asyncio.create_task(write_without_end())
    try:
        await until(much, "records are written all the time")
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            RangeReader(reader_config(stream.settings), stream.topic) as reader,
        ):
            async for batch in reader.read(await reader.whole()):
                read += batch
    finally:
        await end(writing)
        await asyncio.to_thread(producer.flush)

    assert b"first" in [record.value for record in read]


async def test_a_time_before_1970_is_the_beginning(stream: Stream) -> None:
    """Kafka's clients read a negative timestamp as a place: -1 is the end."""
    await stream.produce(a_text("old", event_id="old"))
    since = "1969-12-31T23:59:59.999Z"

    ran = await stream.command("replay", "--topic", stream.topic, "--since", since)

    assert (ran.code, "1 records read" in ran.out) == (0, True)


async def test_a_kafka_that_is_away_is_named_by_its_own_setting(stream: Stream) -> None:
    away = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}

    ran = await stream.command("replay", "--topic", stream.topic, "--since", "1h", **away)

    assert ran.code == 3
    assert ran.err.endswith("KAFKA_BOOTSTRAP_SERVERS names it\n")
    assert "REDIS_URL" not in ran.err


async def test_mistakes_are_answered_with_a_sentence(stream: Stream) -> None:
    no_topic = await stream.command("replay", "--topic", "nosuch", "--since", "1h")
    no_time = await stream.command("replay", "--topic", stream.topic, "--since", "yesterday")

    assert (no_topic.code, stream.topic in no_topic.err) == (1, True)
    assert (no_time.code, "15m" in no_time.err) == (2, True)

"""Producing and topics, on Apache Kafka."""

from __future__ import annotations

import asyncio

import pytest

from eventstream.kafka.config import producer_config, reader_config
from eventstream.kafka.errors import KafkaUnavailable, RecordTooLarge, TopicMissing, TopicRefused
from eventstream.kafka.producer import AsyncProducer
from eventstream.kafka.ranges import RangeReader
from eventstream.kafka.records import SourceRecord
from eventstream.kafka.topics import TopicPlan
from tests.kafka.harness import Stream, until


async def everything(stream: Stream) -> list[SourceRecord]:
    async with RangeReader(reader_config(stream.settings), stream.topic) as reader:
        return [record async for batch in reader.read(await reader.whole()) for record in batch]


async def test_a_produced_record_is_there_as_it_was(stream: Stream) -> None:
    await stream.tools.admin.ensure_topics([TopicPlan(stream.topic, 3, 1)])

    await stream.producer.produce(stream.topic, b"\xff", b"\x00", (("h", None), ("h", b"2")))

    [record] = await everything(stream)
    assert (record.value, record.key) == (b"\xff", b"\x00")
    assert record.headers == (("h", None), ("h", b"2"))


async def test_more_records_than_may_be_in_flight_wait_their_turn(stream: Stream) -> None:
    await stream.tools.admin.ensure_topics([TopicPlan(stream.topic, 1, 1)])
    producer = AsyncProducer(producer_config(stream.settings), max_in_flight=3)

    await asyncio.gather(*(producer.produce(stream.topic, b"%d" % n) for n in range(50)))
    await producer.aclose()

    assert [record.value for record in await everything(stream)] == [b"%d" % n for n in range(50)]


async def test_flush_waits_for_what_was_produced(stream: Stream) -> None:
    await stream.tools.admin.ensure_topics([TopicPlan(stream.topic, 1, 1)])
    producing = asyncio.create_task(stream.producer.produce(stream.topic, b"x"))
    await asyncio.sleep(0)

    await stream.producer.flush()

    assert producing.done()
    assert len(await everything(stream)) == 1


async def test_a_record_beyond_the_topics_limit_is_said_to_be_too_large(stream: Stream) -> None:
    small = TopicPlan(stream.topic, 1, 1, settings={"max.message.bytes": "1000"})
    await stream.tools.admin.ensure_topics([small])

    with pytest.raises(RecordTooLarge, match=stream.topic):
        await stream.producer.produce(stream.topic, b"x" * 5000)

    await stream.producer.produce(stream.topic, b"fits")


async def test_without_a_broker_a_record_is_not_acknowledged(stream: Stream) -> None:
    nowhere = stream.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    producer = AsyncProducer(producer_config(nowhere) | {"delivery.timeout.ms": 300})

    with pytest.raises(KafkaUnavailable, match="did not acknowledge"):
        await producer.produce("anything", b"x")

    await producer.aclose()
    with pytest.raises(KafkaUnavailable, match="closed"):
        await producer.produce("anything", b"x")


async def test_a_closing_producer_gives_up_what_nobody_acknowledges(stream: Stream) -> None:
    nowhere = stream.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    producer = AsyncProducer(producer_config(nowhere))
    producing = asyncio.create_task(producer.produce("anything", b"x"))
    await asyncio.sleep(0)

    await producer.aclose(timeout_seconds=0.1)

    with pytest.raises(KafkaUnavailable):
        await producing


async def test_missing_topics_are_created_once(stream: Stream) -> None:
    plan = TopicPlan(stream.topic, 5, 1)

    assert await stream.tools.admin.ensure_topics([plan]) == [stream.topic]
    assert await stream.tools.admin.ensure_topics([plan]) == []
    assert (await stream.tools.admin.topics())[stream.topic] == 5


async def test_a_topic_that_can_not_be_created_says_the_way_out(stream: Stream) -> None:
    with pytest.raises(TopicRefused, match=r"create it with 3 partitions.*replicationFactor"):
        await stream.tools.admin.ensure_topics([TopicPlan(stream.topic, 3, 7)])


async def test_a_topic_created_anew_has_another_id(stream: Stream) -> None:
    admin = stream.tools.admin
    assert await admin.topic_id(stream.topic) is None
    await admin.ensure_topics([TopicPlan(stream.topic, 1, 1)])
    # A broker hears of a new topic a moment after it was made.
    before = await until(lambda: admin.topic_id(stream.topic), "the topic has an id")

    await stream.delete_topic()
    await admin.ensure_topics([TopicPlan(stream.topic, 1, 1)])

    assert await until(lambda: admin.topic_id(stream.topic), "the new one has an id") != before


async def test_a_topic_that_is_not_there_can_not_be_read(stream: Stream) -> None:
    with pytest.raises(TopicMissing, match=stream.topic):
        await everything(stream)

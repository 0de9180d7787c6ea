"""The consumer's promise: every good record in the inbox, every bad one a dead letter."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from structlog.testing import capture_logs
from structlog.typing import EventDict

from eventstream.consumer import poller
from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.errors import Reason
from eventstream.events import State
from eventstream.incoming import default_event_id
from eventstream.kafka.config import producer_config
from eventstream.kafka.topics import TopicPlan, plans_for
from eventstream.keys import queue_for
from eventstream.spec import Source, StreamSpec, Task
from tests.kafka.harness import Stream, a_text, metric, until
from tests.support.events import an_answer
from tests.support.redis_server import free_port


async def test_a_record_becomes_an_event_with_its_bytes_and_key(stream: Stream) -> None:
    value = a_text("Lovely!", event_id="r-1", metadata={"shop": "Lima"})

    async with stream.consumed():
        await stream.produce(value, key=b"customer-7")
        await stream.accepted(1)

    status = await stream.tools.results.status("r-1")
    assert status is not None
    assert status.status is State.PENDING
    claim = await stream.tools.inbox.claim(queue_for(stream.name, "kafka"), "worker", 10)
    [held] = claim.fresh
    assert (held.event.text, held.event.metadata) == ("Lovely!", {"shop": "Lima"})
    assert (held.raw, held.key) == (value, b"customer-7")


async def test_offsets_are_committed_when_the_consumer_stops(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(*(a_text(f"text {number}") for number in range(30)))
        await stream.accepted(30)

    assert sum((await stream.committed()).values()) == 30
    async with stream.consumed():
        await stream.produce(a_text("one more"))
        counters = await stream.accepted(31)
    assert counters.duplicates == 0


async def test_bad_records_are_dead_lettered_and_the_good_ones_around_them_accepted(
    stream: Stream,
) -> None:
    bad = {
        Reason.INVALID_JSON: b'{"text": "cut of',
        Reason.NOT_AN_OBJECT: b'["text"]',
        Reason.NOT_UTF8: b'{"text": "caf\xe9"}',
        Reason.NULL_VALUE: None,
        Reason.MISSING_TEXT: b'{"event_id": "no-text"}',
        Reason.INVALID_FIELD: b'{"text": "x", "metadata": 7}',
        Reason.UNKNOWN_TASK_TYPE: a_text("x", task_type="telepathy"),
        Reason.TOO_LARGE: a_text("x" * 5000),
    }
    values: list[bytes | None] = [a_text("first")]
    for number, value in enumerate(bad.values()):
        values += [value, a_text(f"good {number}")]

    async with stream.consumed(kafka_max_message_bytes=4000):
        await stream.produce(*values, key=b"k", headers=(("trace", b"\x00\xff"),))
        letters = await stream.dead_letters(len(bad))
        counters = await stream.accepted(1 + len(bad))

    assert {letter.reason: letter.value for letter in letters} == bad
    for letter in letters:
        assert letter.key == b"k"
        assert letter.headers == (("trace", b"\x00\xff"),)
        assert letter.error
        assert letter.source is not None
        assert letter.source.topic == stream.topic
    assert counters.dead_lettered == len(bad)
    assert sum((await stream.committed()).values()) == len(values)


async def test_a_dead_letter_names_the_place_where_the_record_stood(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(a_text("good"), b"bad", a_text("good again"), key=b"one-partition")
        [letter] = await stream.dead_letters(1)

    assert letter.source is not None
    assert letter.source.offset == 1
    assert letter.event_id == default_event_id(letter.source)


async def test_an_id_used_for_other_content_is_a_conflict(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(
            a_text("one", event_id="a"),
            a_text("one", event_id="a"),
            a_text("two", event_id="a"),
            key=b"in-order",
        )
        [letter] = await stream.dead_letters(1)
        counters = await stream.counters()

    assert (letter.reason, letter.value) == ("id_conflict", a_text("two", event_id="a"))
    assert (counters.duplicates, counters.conflicts) == (1, 1)


async def test_another_programs_key_stops_no_partition(stream: Stream) -> None:
    await stream.tools.redis.set(stream.tools.keys.task_meta("b"), "mine")
    async with stream.consumed():
        await stream.produce(
            *(a_text(name, event_id=name) for name in ("a", "b", "c")), key=b"in-order"
        )
        [letter] = await stream.dead_letters(1)
        await stream.accepted(2)

    assert (letter.reason, letter.event_id) == ("id_conflict", "b")
    assert letter.error is not None
    assert "another program" in letter.error


async def test_a_dead_letter_that_its_topic_does_not_take_keeps_all_but_the_value(
    stream: Stream,
) -> None:
    small = TopicPlan(stream.dead_letter_topic, 1, 1, settings={"max.message.bytes": "2000"})
    await stream.tools.admin.ensure_topics([small])

    async with stream.consumed():
        await stream.produce(b"x" * 5000, a_text("good"))
        await stream.accepted(1)
        [letter] = await stream.dead_letters(1)

    assert letter.reason == "invalid_json"
    assert (letter.value, letter.value_left_out_bytes) == (None, 5000)


async def test_lag_is_what_lies_in_kafka_and_in_no_inbox(stream: Stream) -> None:
    await stream.produce(*(a_text(f"text {number}") for number in range(12)), key=b"same")

    async with stream.consumed():
        await stream.accepted(12)

        async def up_to_date() -> bool:
            figures = (await stream.lag()).values()
            return len(figures) == 3 and sum(figure.position for figure in figures) == 12

        await until(up_to_date, "positions published")
        figures = await stream.lag()

    assert {name.split(":")[0] for name in figures} == {stream.topic}
    assert sum(figure.end for figure in figures.values()) == 12
    assert [figure.lag for figure in figures.values()] == [0, 0, 0]


async def test_a_full_inbox_pauses_the_partitions_and_a_drained_one_resumes_them(
    stream: Stream,
) -> None:
    await stream.produce(*(a_text(f"text {number}") for number in range(300)))
    queue = queue_for(stream.name, "kafka")

    async with stream.consumed(kafka_max_backlog=10, kafka_max_poll_records=5):
        await until(lambda: paused(stream) == 3, "partitions paused")
        assert (await stream.counters()).accepted <= 15

        async def drained() -> bool:
            claim = await stream.tools.inbox.claim(queue, "worker", 100)
            await stream.tools.inbox.finish([an_answer(held) for held in claim.fresh])
            return (await stream.counters()).answered == 300

        async def lag_of_all_partitions() -> int:
            figures = (await stream.lag()).values()
            return len(figures) == 3 and sum(figure.lag for figure in figures)

        lag = await until(lag_of_all_partitions, "lag while paused")
        assert lag >= 300 - 15
        assert metric("eventstream_kafka_records_consumed_total", **stream.labels) < 100
        await until(drained, "all 300 answered")
        await until(lambda: paused(stream) == 0, "partitions resumed")
        counters = await stream.counters()

    assert (counters.accepted, counters.duplicates) == (300, 0)


def paused(stream: Stream) -> float:
    return metric("eventstream_kafka_paused_partitions", stream=stream.name)


@dataclass
class HeldUp:
    """A consumer whose inbox is full, before a partition with 300 records."""

    stream: Stream
    partition: int

    @property
    def position(self) -> int:
        return int(metric("eventstream_kafka_records_consumed_total", **self.stream.labels))

    async def goes_on(self) -> None:
        """The inbox is emptied until the last record was read."""
        await until(self._read_all, "the last record is read")

    async def _read_all(self) -> bool:
        inbox = self.stream.tools.inbox
        claim = await inbox.claim(queue_for(self.stream.name, "kafka"), "worker", 100)
        await inbox.finish([an_answer(held) for held in claim.fresh])
        return (await self.stream.committed())[self.partition] == 300


@asynccontextmanager
async def held_up(stream: Stream) -> AsyncIterator[HeldUp]:
    await stream.produce(*(a_text(f"text {number}") for number in range(300)), key=b"same")
    ends = await stream.tools.admin.end_offsets(stream.topic, [0, 1, 2])
    [partition] = [number for number, end in ends.items() if end == 300]
    async with stream.consumed(kafka_max_backlog=10, kafka_max_poll_records=5):
        await until(lambda: paused(stream) == 3, "partitions paused")
        yield HeldUp(stream, partition)


def said_gone(lines: Sequence[EventDict]) -> list[tuple[int, int, int]]:
    """Partition, first and last offset of each `kafka_records_gone`."""
    return [
        (line["partition"], line["first_offset"], line["last_offset"])
        for line in lines
        if line["event"] == "kafka_records_gone"
    ]


async def test_what_retention_deletes_while_the_consumer_is_held_up_is_named(
    stream: Stream,
) -> None:
    with capture_logs() as lines:
        async with held_up(stream) as consumer:
            position = consumer.position
            await stream.delete_records(consumer.partition, before=200)
            await consumer.goes_on()
            counters = await stream.counters()

    assert said_gone(lines) == [(consumer.partition, position, 199)]
    assert (counters.accepted, counters.duplicates) == (position + 100, 0)


async def test_what_retention_deleted_is_named_though_the_broker_answers_late(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AnswersLate(Consumer):
        refused = 0

        def get_watermark_offsets(self, place: TopicPartition, *more: Any) -> tuple[int, int]:
            low, high = super().get_watermark_offsets(place, *more)
            if low and not AnswersLate.refused:
                AnswersLate.refused += 1
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            return low, high

    monkeypatch.setattr(poller, "Consumer", AnswersLate)
    with capture_logs() as lines:
        async with held_up(stream) as consumer:
            position = consumer.position
            await stream.delete_records(consumer.partition, before=200)
            await consumer.goes_on()

    assert AnswersLate.refused == 1
    assert said_gone(lines) == [(consumer.partition, position, 199)]
    assert "consumer_begins_again" not in [line["event"] for line in lines]


async def test_what_retention_deletes_after_it_was_read_is_not_named(stream: Stream) -> None:
    with capture_logs() as lines:
        async with held_up(stream) as consumer:
            await stream.delete_records(consumer.partition, before=consumer.position)
            await consumer.goes_on()
            counters = await stream.counters()

    assert said_gone(lines) == []
    assert counters.accepted == 300


async def test_markers_of_transactions_are_no_records_that_are_gone(stream: Stream) -> None:
    await stream.tools.admin.ensure_topics(plans_for(stream.spec))
    with capture_logs() as lines:
        async with stream.consumed():
            await asyncio.to_thread(write_in_transactions, stream, 20)
            await stream.accepted(20)

    assert said_gone(lines) == []


def write_in_transactions(stream: Stream, records: int) -> None:
    """Each record is a transaction of its own: a marker stands behind it."""
    producer = Producer(producer_config(stream.settings) | {"transactional.id": stream.topic})
    producer.init_transactions(30)
    for number in range(records):
        producer.begin_transaction()
        producer.produce(stream.topic, a_text(f"text {number}"), partition=0)
        producer.commit_transaction(30)


async def test_streams_come_and_go_while_the_consumer_runs(stream: Stream) -> None:
    added = StreamSpec(source=Source(topic=f"{stream.topic}.more", partitions=1))

    async with stream.consumed():
        await stream.registry.write({"tickets": added})
        tickets = replace(stream, name="tickets", spec=added)
        await tickets.produce(a_text("printer on fire"))
        await tickets.accepted(1)

        await stream.registry.delete("tickets")
        await tickets.left_group()
        await tickets.produce(a_text("nobody listens"))
        await stream.produce(a_text("still read"))
        await stream.accepted(1)

    assert (await tickets.counters()).accepted == 1


async def test_a_changed_stream_is_answered_by_its_new_spec(stream: Stream) -> None:
    changed = stream.spec.model_copy(update={"task": Task(type="poetry", prompt="Rhyme: {text}")})

    async with stream.consumed():
        await stream.produce(a_text("roses", task_type="poetry"))
        await stream.dead_letters(1)
        await stream.registry.write({stream.name: changed})

        async def understood() -> bool:
            await stream.produce(a_text("violets", task_type="poetry"))
            return (await stream.counters()).accepted > 0

        await until(understood, "the new task type is known")


async def test_missing_topics_are_created_as_the_stream_says(stream: Stream) -> None:
    async with stream.consumed():
        await stream.topics_there()
        topics = await stream.tools.admin.topics()

    assert topics[stream.topic] == 3
    assert topics[stream.dead_letter_topic] == 1


async def test_a_topic_created_anew_is_read_from_its_beginning(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(*(a_text(f"text {number}") for number in range(5)), key=b"same")
        await stream.accepted(5)

        # As many again: the group's offset of the old topic is the end of the new one.
        await stream.delete_topic()
        await stream.produce(*(a_text(f"after {number}") for number in range(5)), key=b"same")

        counters = await stream.accepted(10)

    assert counters.duplicates == 0


async def test_a_process_exposes_its_metrics_and_ends_in_good_order(stream: Stream) -> None:
    port = free_port()
    process = await stream.consumer_process(METRICS_PORT=str(port))
    await stream.produce(a_text("one"))
    await stream.accepted(1)

    async with httpx.AsyncClient() as client:
        page = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    process.send_signal(signal.SIGTERM)

    assert await process.wait() == 0
    consumed = f'records_consumed_total{{stream="reviews",topic="{stream.topic}"}} 1.0'
    assert f"eventstream_kafka_{consumed}" in page
    assert sum((await stream.committed()).values()) == 1
    assert await stream.holders() == []


async def test_a_metrics_port_in_use_is_said_in_a_sentence(stream: Stream) -> None:
    taken = (stream.settings.kafka_bootstrap_servers or "").split(":")[1]

    ran = await stream.command("consumer", METRICS_PORT=taken)

    assert (ran.code, "METRICS_PORT" in ran.err) == (2, True)


NO_UTF8 = """
import sys
from kafka import KafkaProducer

class Name(str):
    def encode(self, *_):
        return b"\\xff\\xfe"

producer = KafkaProducer(bootstrap_servers=sys.argv[1])
for value in sys.argv[3:]:
    producer.send(sys.argv[2], value.encode(), headers=[(Name("x"), b"1")], partition=0)
producer.close()
"""
"""Writes records with a header name as a producer in another language may write it. It is a program
of its own: its client library warns while it is imported."""


async def test_a_record_whose_headers_cannot_be_read_is_read_without_them(
    stream: Stream, kafka: ApacheKafka
) -> None:
    await stream.tools.admin.ensure_topics(plans_for(stream.spec))
    # So many that Python has made the call a fast one.
    odd = [a_text(f"odd {number}").decode() for number in range(50)]
    arguments = (kafka.bootstrap_servers, stream.topic, *odd, "bad")
    writing = await asyncio.create_subprocess_exec(sys.executable, "-c", NO_UTF8, *arguments)
    assert await asyncio.wait_for(writing.wait(), 60) == 0

    async with stream.consumed():
        await stream.produce(a_text("good"))
        await stream.accepted(51)
        [letter] = await stream.dead_letters(1)
        await stream.committed_all(52)

    assert (letter.value, letter.headers) == (b"bad", ())

"""What goes away comes back: Redis, the broker, a consumer. Nothing is lost and nothing skipped."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from structlog.testing import capture_logs

from eventstream.claims import Acceptance, Arrival
from eventstream.consumer.poller import Poller
from eventstream.consumer.service import consumer_tools
from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.inbox import Inbox
from eventstream.kafka.config import producer_config
from eventstream.kafka.producer import AsyncProducer
from eventstream.kafka.topics import TopicPlan
from eventstream.registry import Registry
from eventstream.settings import Settings
from tests.kafka.harness import Stream, a_text, metric, new_broker, until
from tests.support.redis_server import RedisServer


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may stop; it keeps its data."""
    with RedisServer(tmp_path, appendonly=True, search=False) as server:
        yield server


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[ApacheKafka]:
    """A broker that a test may stop; it keeps its log."""
    broker = new_broker(tmp_path / "kafka")
    broker.start()
    yield broker
    broker.kill()


@asynccontextmanager
async def moved(stream: Stream, settings: Settings) -> AsyncIterator[Stream]:
    """The same stream on other servers."""
    producer = AsyncProducer(producer_config(settings))
    async with consumer_tools(settings) as tools:
        registry = Registry(tools.redis, tools.keys, max_age_seconds=0)
        await registry.write({stream.name: stream.spec})
        yield Stream(stream.name, stream.spec, tools, registry, producer)
        await producer.aclose()


async def test_redis_goes_away_and_comes_back(stream: Stream, own_redis: RedisServer) -> None:
    settings = stream.settings.model_copy(
        update={
            "celery_result_backend": own_redis.url(2),
            "kafka_max_poll_records": 10,
            "redis_timeout_seconds": 1.0,
        }
    )
    async with moved(stream, settings) as here:
        await here.produce(*(a_text(f"before {number}") for number in range(20)))
        async with here.consumed():
            await here.accepted(20)
            await here.committed_all(20)

            before = tries()
            own_redis.kill()
            await here.produce(*(a_text(f"meanwhile {number}") for number in range(50)))
            await until(lambda: tries() > before, "the consumer waits for Redis")
            assert await here.holders() == [3]
            assert sum((await here.committed()).values()) == 20

            own_redis.start()
            counters = await here.accepted(70)
            await here.committed_all(70)

    assert counters.accepted == 70


async def test_a_redis_that_is_away_does_not_cost_the_place_in_the_group(
    stream: Stream, own_redis: RedisServer
) -> None:
    """A rebalance while the batch in hand can't be accepted goes through, and nothing is lost."""
    settings = stream.settings.model_copy(
        update={"celery_result_backend": own_redis.url(2), "redis_timeout_seconds": 1.0}
    )
    async with moved(stream, settings) as here, here.consumed():
        await here.produce(*(a_text(f"before {number}") for number in range(30)))
        await here.accepted(30)
        before = tries()
        own_redis.kill()
        await here.produce(*(a_text(f"meanwhile {number}") for number in range(30)))
        await until(lambda: tries() > before, "the consumer waits for Redis")

        async with here.consumed():
            # It knows its streams from the registry, so it joins as soon as Redis is back.
            own_redis.start()
            await until(lambda: shared(here), "both hold partitions")
            await here.committed_all(60)
            counters = await here.counters()

    assert counters.accepted - counters.duplicates == 60


def tries(what: str = "accepting events") -> float:
    """How often this process had to try again."""
    return metric("eventstream_store_unavailable_total", call=what)


async def shared(stream: Stream) -> bool:
    """Two consumers hold partitions of the stream."""
    return await stream.holders() == [1, 2]


async def test_the_broker_is_killed_and_comes_back(stream: Stream, own_kafka: ApacheKafka) -> None:
    settings = stream.settings.model_copy(
        update={"kafka_bootstrap_servers": own_kafka.bootstrap_servers}
    )
    async with moved(stream, settings) as here, here.consumed():
        await here.produce(*(a_text(f"before {number}") for number in range(20)))
        await here.accepted(20)
        await here.committed_all(20)

        own_kafka.kill()
        await asyncio.to_thread(own_kafka.start)
        await here.produce(*(a_text(f"after {number}") for number in range(20)))
        await here.accepted(40)
        await here.committed_all(40)


async def test_a_consumer_that_starts_before_its_broker_waits_for_it(
    stream: Stream, own_kafka: ApacheKafka
) -> None:
    own_kafka.kill()
    settings = stream.settings.model_copy(
        update={"kafka_bootstrap_servers": own_kafka.bootstrap_servers}
    )
    async with moved(stream, settings) as here, here.consumed():
        await asyncio.to_thread(own_kafka.start)
        await here.produce(a_text("at last"))
        await here.accepted(1)


async def test_a_consumer_stops_in_good_order_while_its_broker_is_away(
    stream: Stream, own_kafka: ApacheKafka
) -> None:
    settings = stream.settings.model_copy(
        update={"kafka_bootstrap_servers": own_kafka.bootstrap_servers}
    )
    async with moved(stream, settings) as here:
        async with here.consumed():
            await here.produce(a_text("one"))
            await here.accepted(1)
            own_kafka.kill()
        # The block's end has waited for the consumer's end.
        assert (await here.counters()).accepted == 1


async def test_a_client_that_fails_while_it_closes_is_made_anew(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of its close() comes an error that is no exception, and the process looks well."""
    failed: list[str] = []

    def fails_once(name: str) -> None:
        works = getattr(Poller, name)

        def method(poller: Poller, consumer: Consumer, *arguments: object) -> object:
            if name in failed or not poller.offsets.positions():
                return works(poller, consumer, *arguments)
            failed.append(name)
            consumer.store_offsets(offsets=[TopicPartition("not of ours", 0, 1)])
            raise AssertionError("the client has stored it")

        monkeypatch.setattr(Poller, name, method)

    async with stream.consumed():
        await stream.produce(a_text("before"))
        await stream.committed_all(1)
        fails_once("_finish")
        fails_once("_turn")
        await stream.produce(a_text("after"))
        await stream.accepted(2)

    assert failed == ["_turn", "_finish"]


async def test_a_dead_letter_topic_that_takes_nothing_holds_the_stream_and_skips_nothing(
    stream: Stream,
) -> None:
    # A dead letter's headers alone are longer.
    unwritable = TopicPlan(stream.dead_letter_topic, 1, 1, settings={"max.message.bytes": "100"})
    await stream.tools.admin.ensure_topics([unwritable])
    before = tries("writing dead letters")

    async with stream.consumed():
        await stream.produce(a_text("good"), b"bad", a_text("good again"), key=b"in-order")
        await stream.accepted(2)
        await until(lambda: tries("writing dead letters") > before, "the consumer waits")
        assert sum((await stream.committed()).values()) == 0

        await stream.set_topic(stream.dead_letter_topic, "max.message.bytes", "1000000")
        await stream.committed_all(3)
        counters = await stream.counters()
        letters = await stream.dead_letters(1)

    assert (counters.accepted, counters.duplicates) == (2, 0)
    # A value that is shorter than the header that says it is left out is never left out.
    assert [letter.value for letter in letters] == [b"bad"]


class Gated(Inbox):
    """Answers the first batch with records of all three partitions only once its gate is open."""

    reached: asyncio.Event
    gate: asyncio.Event

    async def accept(self, arrivals: Sequence[Arrival]) -> list[Acceptance]:
        answers = await super().accept(arrivals)
        places = {each.event.source.partition for each in arrivals if each.event.source}
        if places == {0, 1, 2}:
            self.reached.set()
            await self.gate.wait()
        return answers


async def test_a_batch_that_ends_after_its_partition_went_elsewhere_moves_no_offset(
    stream: Stream,
) -> None:
    tools = stream.tools
    late = Gated(tools.redis, tools.keys, result_ttl_seconds=60, lease_seconds=30)
    late.reached, late.gate = asyncio.Event(), asyncio.Event()
    slow = replace(stream, tools=replace(tools, inbox=late))
    produced = 0

    async def reached() -> bool:
        nonlocal produced
        await asyncio.gather(
            *(stream.produce(a_text(f"{produced} {n}"), key=b"%d" % n) for n in range(30))
        )
        produced += 30
        return late.reached.is_set()

    with capture_logs() as lines:
        async with slow.consumed():
            await until(reached, "a batch of all partitions is in hand")
            async with stream.consumed():
                await until(lambda: shared(stream), "both hold partitions")
                late.gate.set()
                await stream.committed_all(produced)
        counters = await stream.counters()

    assert counters.accepted - counters.duplicates == produced
    assert counters.duplicates > 0
    assert "consumer_begins_again" not in [line["event"] for line in lines]


class NeverAnswers(Inbox):
    """Accepts, and dies before anybody hears of it."""

    async def accept(self, arrivals: Sequence[Arrival]) -> list[Acceptance]:
        answers = await super().accept(arrivals)
        await asyncio.Event().wait()
        return answers


async def test_what_was_accepted_and_not_committed_is_read_again_as_duplicates(
    stream: Stream,
) -> None:
    tools = stream.tools
    dying = replace(
        stream,
        tools=replace(
            tools,
            inbox=NeverAnswers(tools.redis, tools.keys, result_ttl_seconds=60, lease_seconds=30),
        ),
    )
    await stream.produce(*(a_text(f"text {number}") for number in range(20)))

    async with dying.consumed():
        first = await stream.accepted(1)
    assert sum((await stream.committed()).values()) == 0

    async with stream.consumed():
        await stream.committed_all(20)
    counters = await stream.counters()
    assert counters.duplicates == first.accepted
    assert counters.accepted - counters.duplicates == 20


async def test_two_consumers_share_the_partitions_and_lose_nothing(stream: Stream) -> None:
    async def keep_producing(stop: asyncio.Event) -> int:
        produced = 0
        while not stop.is_set():
            await stream.produce(*(a_text(f"text {produced + n}") for n in range(50)))
            produced += 50
            # Nobody answers here: at full speed the inbox is full before both have partitions.
            await asyncio.sleep(0.1)
        return produced

    enough = asyncio.Event()
    async with stream.consumed():
        producing = asyncio.create_task(keep_producing(enough))
        await stream.accepted(100)
        async with stream.consumed():
            await until(lambda: shared(stream), "both hold partitions")
            before = (await stream.counters()).accepted
            await stream.accepted(before + 500)
        await stream.accepted((await stream.counters()).accepted + 100)
        enough.set()
        produced = await producing
        counters = await stream.accepted(produced)

    assert counters.accepted - counters.duplicates == produced
    assert sum((await stream.committed()).values()) == produced


async def test_a_killed_consumer_process_loses_nothing(stream: Stream) -> None:
    await stream.produce(*(a_text(f"text {number}") for number in range(3000)))
    first = await stream.consumer_process(KAFKA_MAX_POLL_RECORDS="50")
    await stream.accepted(1)
    first.kill()
    await first.wait()

    second = await stream.consumer_process()
    counters = await stream.accepted(3000)
    await stream.committed_all(3000)
    second.send_signal(signal.SIGTERM)

    assert await second.wait() == 0
    assert counters.accepted - counters.duplicates == 3000
    assert await stream.holders() == []

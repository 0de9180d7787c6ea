"""The consumer on the demo broker, which forgets everything when it restarts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.kafka.harness import Stream, a_text, until
from tests.support.redis_server import free_port

from eventstream.consumer.service import consumer_tools
from eventstream.embedded.process import LocalProcess
from eventstream.embedded.tansu import demo_broker, find_broker
from eventstream.kafka.config import producer_config
from eventstream.kafka.errors import KafkaUnavailable
from eventstream.kafka.producer import AsyncProducer
from eventstream.registry import Registry
from eventstream.settings import Settings
from eventstream.spec import Source, StreamSpec


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def broker(tmp_path: Path, port: int) -> Iterator[LocalProcess]:
    process = LocalProcess(demo_broker(find_broker(), port), tmp_path / "broker.log")
    process.start()
    yield process
    process.kill()


@asynccontextmanager
async def a_producer(settings: Settings) -> AsyncIterator[AsyncProducer]:
    producer = AsyncProducer(producer_config(settings))
    yield producer
    await producer.aclose()


@pytest.fixture
async def stream(
    broker: LocalProcess, port: int, state_url: str, broker_url: str, prefix: str
) -> AsyncIterator[Stream]:
    settings = Settings(
        kafka_bootstrap_servers=f"127.0.0.1:{port}",
        celery_result_backend=state_url,
        celery_broker_url=broker_url,
        eventstream_prefix=prefix,
    )
    spec = StreamSpec(source=Source(topic="reviews.raw"))
    async with consumer_tools(settings) as tools, a_producer(settings) as producer:
        registry = Registry(tools.redis, tools.keys, max_age_seconds=0)
        await registry.write({"reviews": spec})
        yield Stream("reviews", spec, tools, registry, producer)


async def test_good_and_bad_records(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(a_text("one"), b"not json", a_text("two"))
        counters = await stream.accepted(2)
        [letter] = await stream.dead_letters(1)

    assert counters.accepted == 2
    assert (letter.reason, letter.value) == ("invalid_json", b"not json")


async def test_lag_is_published(stream: Stream) -> None:
    async with stream.consumed():
        await stream.produce(a_text("one"))
        await stream.accepted(1)

        async def published() -> bool:
            figures = (await stream.lag()).values()
            return len(figures) == 3 and sum(figure.position for figure in figures) == 1

        await until(published, "positions published")
        assert {figure.lag for figure in (await stream.lag()).values()} == {0}


async def test_a_restarted_demo_broker_is_read_from_its_new_beginning(
    stream: Stream, broker: LocalProcess
) -> None:
    async with stream.consumed():
        await stream.produce(*(a_text(f"before {number}") for number in range(20)))
        await stream.accepted(20)

        broker.kill()
        broker.start()
        # The consumer has found out when it has made the topics again.
        await stream.topics_there()
        async with a_producer(stream.settings) as fresh:
            anew = replace(stream, producer=fresh)
            await anew.produce(*(a_text(f"after {number}") for number in range(5)))
            await anew.accepted(25)


async def test_a_producer_survives_a_broker_that_forgot_it(
    stream: Stream, broker: LocalProcess
) -> None:
    config = producer_config(stream.settings) | {"delivery.timeout.ms": 1500}
    producer = AsyncProducer(config)
    here = replace(stream, producer=producer)
    await here.produce(*(a_text(f"before {number}") for number in range(5)))
    broker.kill()
    broker.start()

    async def works() -> bool:
        with contextlib.suppress(KafkaUnavailable):
            await here.produce(a_text("after"))
            return True
        return False

    await until(works, "a record is acknowledged again")
    await producer.aclose()

"""Apache Kafka itself: one broker for the run, and a stream with topics of its own a test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from eventstream.consumer.service import consumer_tools
from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.kafka.config import producer_config
from eventstream.kafka.producer import AsyncProducer
from eventstream.registry import Registry
from eventstream.settings import Settings
from eventstream.spec import Source, StreamSpec
from tests.kafka.harness import Stream, new_broker


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """The broker that most tests share. A test that stops one takes one of its own."""
    broker = new_broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def settings(kafka: ApacheKafka, state_url: str, broker_url: str, prefix: str) -> Settings:
    """A consumer's settings under a prefix that no other test has."""
    return Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        celery_result_backend=state_url,
        celery_broker_url=broker_url,
        eventstream_prefix=prefix,
    )


@pytest.fixture
async def stream(settings: Settings) -> AsyncIterator[Stream]:
    """The registered stream `reviews`, whose topics nobody has made yet."""
    topic = f"reviews-{uuid.uuid4().hex[:10]}"
    spec = StreamSpec(source=Source(topic=topic, partitions=3, consumer_group=topic))
    producer = AsyncProducer(producer_config(settings))
    async with consumer_tools(settings) as tools:
        registry = Registry(tools.redis, tools.keys, max_age_seconds=0)
        await registry.write({"reviews": spec})
        yield Stream("reviews", spec, tools, registry, producer)
        await producer.aclose()

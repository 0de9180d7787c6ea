"""What a broker goes on answering: records too large together, topics that are gone, too few
replicas. Nothing is lost for it, nothing said wrongly, and other topics go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from eventstream.cli.texts import Text
from eventstream.cli.transports import KafkaTransport
from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.events import KafkaMessage
from eventstream.kafka.config import producer_config, reader_config
from eventstream.kafka.errors import KafkaUnavailable, RecordTooLarge
from eventstream.kafka.producer import AsyncProducer
from eventstream.kafka.ranges import RangeReader
from eventstream.kafka.topics import TopicPlan
from tests.kafka.harness import DEADLINE_SECONDS, Stream, new_broker, until


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A broker that makes no topic by itself."""
    folder = tmp_path_factory.mktemp("kafka")
    broker = new_broker(folder)
    with (folder / "server.properties").open("a", encoding="utf-8") as properties:
        properties.write("auto.create.topics.enable=false\n")
    broker.start()
    yield broker
    broker.stop()


SMALL = {"max.message.bytes": "4000"}


async def values(stream: Stream, topic: str) -> list[bytes | None]:
    async with RangeReader(reader_config(stream.settings), topic) as reader:
        return [
            record.value async for batch in reader.read(await reader.whole()) for record in batch
        ]


async def test_records_that_are_too_large_only_together_are_all_written(stream: Stream) -> None:
    """librdkafka sends them as one, and the broker refuses it as one."""
    await stream.tools.admin.ensure_topics([TopicPlan(stream.topic, 1, 1, settings=SMALL)])
    fit = [b"%02d" % number + b"x" * 1000 for number in range(50)]

    outcomes = await asyncio.gather(
        *(stream.producer.produce(stream.topic, value) for value in [*fit, b"y" * 5000]),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [type(None)] * 50 + [RecordTooLarge]
    written = await values(stream, stream.topic)
    assert sorted(value or b"" for value in written) == fit


async def test_texts_that_are_too_large_only_together_are_all_sent(stream: Stream) -> None:
    await stream.tools.admin.ensure_topics([TopicPlan(stream.topic, 1, 1, settings=SMALL)])
    transport = KafkaTransport(stream.settings, stream.topic, stream.spec)
    texts = [Text(line, KafkaMessage(text="x" * 1000)) for line in range(1, 21)]
    texts.append(Text(21, KafkaMessage(text="y" * 5000)))

    [receipts] = await asyncio.to_thread(lambda: list(transport.send(texts)))

    assert [receipt.line for receipt in receipts if receipt.task_id] == list(range(1, 21))
    assert receipts[-1].reason == "too_large"
    assert len(await values(stream, stream.topic)) == 20


async def test_a_topic_that_is_gone_is_named_and_taken_again_when_it_is_back(
    stream: Stream,
) -> None:
    await stream.tools.admin.ensure_topics([TopicPlan(stream.topic, 1, 1)])
    await stream.producer.produce(stream.topic, b"before")
    await stream.delete_topic()

    async def is_told() -> bool:
        with pytest.raises(KafkaUnavailable) as refusal:
            await stream.producer.produce(stream.topic, b"meanwhile")
        return "the topic is missing" in str(refusal.value)

    # What librdkafka had begun to send just then, it says other things of.
    await until(is_told, "the topic is said to be missing")
    await stream.tools.admin.ensure_topics([TopicPlan(stream.topic, 1, 1)])
    # The client of before would go on saying so: it takes no time to tell the two apart.
    async with asyncio.timeout(DEADLINE_SECONDS):
        await stream.producer.produce(stream.topic, b"after")
    assert await values(stream, stream.topic) == [b"after"]


async def test_a_topic_that_takes_nothing_takes_no_other_topics_records_along(
    stream: Stream,
) -> None:
    """The client is replaced for it, but what it has on its way may still arrive."""
    await stream.tools.admin.ensure_topics([TopicPlan(stream.topic, 1, 1)])
    await stream.producer.produce(stream.topic, b"known")
    # It waits for company far longer than the client waits for a topic to appear.
    config = producer_config(stream.settings)
    waiting = {"linger.ms": 8000, "topic.metadata.propagation.max.ms": 1000}
    producer = AsyncProducer(config | waiting | {"delivery.timeout.ms": 60_000})
    other = asyncio.create_task(producer.produce(stream.topic, b"in time"))

    with pytest.raises(KafkaUnavailable, match="the topic is missing"):
        await producer.produce(f"{stream.topic}-missing", b"never")
    assert not other.done()
    await other
    await producer.aclose()

    assert await values(stream, stream.topic) == [b"known", b"in time"]

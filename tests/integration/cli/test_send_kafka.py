"""`eventstream send --kafka`: records that a consumer understands, on the stream's topic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import orjson
import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from eventstream import kafka_lag
from eventstream.claims import Arrival
from eventstream.embedded.process import LocalProcess
from eventstream.embedded.tansu import demo_broker, find_broker
from eventstream.events import KafkaSource
from eventstream.inbox import Inbox
from eventstream.incoming import event_from_kafka
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis
from eventstream.registry import Registry
from eventstream.spec import Source, StreamSpec, Task
from tests.integration.cli.api_process import ApiProcess
from tests.integration.cli.command_line import run_meanwhile as run
from tests.support.events import an_answer
from tests.support.redis_server import free_port

TellPosition = Callable[[int], Awaitable[None]]
REVIEWS = StreamSpec(source=Source(topic="reviews.raw"), task=Task(type="summarization"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo broker with one topic; nothing about delivery is proven here."""
    port = free_port()
    process = LocalProcess(
        demo_broker(find_broker(), port), tmp_path_factory.mktemp("broker") / "log"
    )
    process.start()
    address = f"127.0.0.1:{port}"
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic("reviews.raw", num_partitions=1)])["reviews.raw"].result()
    yield address
    process.stop()


@pytest.fixture
def env(env: dict[str, str], broker: str) -> dict[str, str]:
    return {**env, "KAFKA_BOOTSTRAP_SERVERS": broker}


@pytest.fixture
def reader(broker: str) -> Iterator[Consumer]:
    """Reads what is written to the topic from now on."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "readers-of-the-test",
            "session.timeout.ms": 6000,
            "enable.auto.commit": False,
        }
    )
    partition = consumer.list_topics("reviews.raw", timeout=10).topics["reviews.raw"]
    assert list(partition.partitions) == [0]
    _, end = consumer.get_watermark_offsets(TopicPartition("reviews.raw", 0), timeout=10)
    consumer.assign([TopicPartition("reviews.raw", 0, end)])
    yield consumer
    consumer.close()


@pytest.fixture
def lag(redis_client: AsyncRedis, keys: Keys) -> TellPosition:
    """Says, as the consumer does, up to where the partition has been taken."""

    async def tell(position: int) -> None:
        figures = kafka_lag.lags({0: position}, {0: position}, time.time())
        await kafka_lag.publish(redis_client, keys, "reviews", "reviews.raw", figures)

    return tell


async def next_record(reader: Consumer) -> Message:
    record = await asyncio.to_thread(reader.poll, 30)
    assert record is not None
    assert record.error() is None
    return record


async def test_a_line_becomes_a_record_keyed_by_its_id(
    env: dict[str, str], registry: Registry, reader: Consumer
) -> None:
    await registry.write({"reviews": REVIEWS})

    ended = await run(
        *("send", "--kafka", "--stream", "reviews", "--format", "jsonl", "--id-field", "order"),
        stdin='{"order": 17, "text": "Late again", "metadata": {"shop": "Lugo"}, "noise": 1}\n',
        env=env,
    )

    record = await next_record(reader)
    assert (ended.code, ended.out) == (0, "17\n")
    assert record.key() == b"17"
    assert orjson.loads(record.value() or b"") == {
        "text": "Late again",
        "event_id": "17",
        "metadata": {"shop": "Lugo"},
    }


async def test_texts_without_an_id_get_one_and_the_asked_task_type(
    env: dict[str, str], registry: Registry, reader: Consumer
) -> None:
    await registry.write({"reviews": REVIEWS})

    ended = await run(
        *("send", "--kafka", "--stream", "reviews", "--task-type", "sentiment", "--json"),
        stdin="good\n",
        env=env,
    )

    value = orjson.loads((await next_record(reader)).value() or b"")
    assert value == {
        "text": "good",
        "event_id": ended.json["task_id"],
        "task_type": "sentiment",
    }


async def test_waiting_for_the_answer_of_a_record(
    env: dict[str, str], registry: Registry, reader: Consumer, inbox: Inbox, lag: TellPosition
) -> None:
    await registry.write({"reviews": REVIEWS})

    async def consume_and_work() -> None:
        record = await next_record(reader)
        source = KafkaSource(topic="reviews.raw", partition=0, offset=record.offset() or 0)
        event = event_from_kafka(record.value(), source, "reviews", REVIEWS, 1_000_000)
        await inbox.accept([Arrival(event)])
        await lag(source.offset + 1)
        for held in (await inbox.claim("reviews", "worker-of-the-test", 1)).fresh:
            await inbox.finish([an_answer(held, "short")])

    with ApiProcess(env) as api:
        ended, _ = await asyncio.gather(
            run(
                *("send", "--kafka", "--stream", "reviews", "--wait", "--url", api.url),
                stdin="A long text\n",
                env=env,
            ),
            consume_and_work(),
        )

    assert ended.code == 0
    assert ended.out.endswith("  short\n")


async def test_a_task_type_that_the_stream_does_not_know_is_refused_before_anything_is_sent(
    env: dict[str, str], registry: Registry, reader: Consumer
) -> None:
    await registry.write({"reviews": REVIEWS})
    command = ("send", "--kafka", "--stream", "reviews", "--format", "jsonl")
    lines = '{"text": "a", "task_type": "astrology"}\n{"text": "b"}\n'

    for_all = await run(*command, "--task-type", "astrology", stdin=lines, env=env)
    for_one = await run(*command, stdin=lines, env=env)

    assert for_all.code == 2
    assert for_all.err.startswith("eventstream: --task-type: 'astrology' is not one of ")
    assert for_one.code == 1
    assert for_one.err.startswith("line 1: task_type: 'astrology' is not one of ")
    assert orjson.loads((await next_record(reader)).value() or b"")["text"] == "b"


async def test_a_deleted_default_stream_takes_no_texts(
    env: dict[str, str], registry: Registry
) -> None:
    await registry.write({"default": REVIEWS})
    await registry.delete("default")

    ended = await run("send", "--kafka", stdin="text\n", env=env)

    assert ended.code == 2
    assert "there is no stream 'default'" in ended.err


async def test_a_topic_that_is_not_there_is_named(env: dict[str, str], registry: Registry) -> None:
    await registry.write({"tickets": StreamSpec(source=Source(topic="tickets.raw"))})

    ended = await run("send", "--kafka", "--stream", "tickets", stdin="text\n", env=env)

    assert ended.code == 2
    assert "there is no topic 'tickets.raw'" in ended.err


async def test_a_stream_without_a_topic_takes_http_only(
    env: dict[str, str], registry: Registry
) -> None:
    await registry.write({"notes": StreamSpec()})

    ended = await run("send", "--kafka", "--stream", "notes", stdin="text\n", env=env)

    assert ended.code == 2
    assert "'notes' takes texts through HTTP only. Leave out --kafka" in ended.err


async def test_a_stream_that_does_not_exist(env: dict[str, str]) -> None:
    ended = await run("send", "--kafka", "--stream", "nowhere", stdin="text\n", env=env)

    assert ended.code == 2
    assert "there is no stream 'nowhere'. Known: default" in ended.err


async def test_a_broker_that_is_away(env: dict[str, str], registry: Registry) -> None:
    await registry.write({"reviews": REVIEWS})
    away = {**env, "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}

    ended = await run("send", "--kafka", "--stream", "reviews", stdin="text\n", env=away)

    assert ended.code == 3
    assert "did not take the texts" in ended.err
    assert "KAFKA_BOOTSTRAP_SERVERS" in ended.err


async def test_without_brokers_the_setting_is_named() -> None:
    ended = await run("send", "--kafka", stdin="text\n")

    assert ended.code == 2
    assert ended.err.startswith("eventstream: KAFKA_BOOTSTRAP_SERVERS: is not set")

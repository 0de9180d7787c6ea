"""Lag as Apache Kafka itself tells it, for streams whose consumers are all gone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kubernetes.aio import client
from structlog.testing import capture_logs

from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.kafka_lag import PartitionLag, publish
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from eventstream_operator.cluster import Cluster
from eventstream_operator.observe.kafka_lag import BrokerLags, GroupTopic, KafkaUnavailable
from eventstream_operator.observe.observation import KafkaBacklog
from eventstream_operator.observe.observer import Observer
from eventstream_operator.world import World
from tests.kafka.harness import new_broker
from tests.support.clock import Clock
from tests.support.redis_server import free_port


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    broker = new_broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def lags(kafka: ApacheKafka) -> Iterator[BrokerLags]:
    asked = BrokerLags(Settings(kafka_bootstrap_servers=kafka.bootstrap_servers))
    yield asked
    asked.close()


def a_topic(kafka: ApacheKafka, name: str, *, partitions: int, records: int) -> None:
    bootstrap: dict[str, str | int | float | bool] = {"bootstrap.servers": kafka.bootstrap_servers}
    admin = AdminClient(bootstrap)
    for made in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        made.result(20)
    producer = Producer(bootstrap)
    for number in range(records):
        producer.produce(name, b"{}", partition=number % partitions)
    assert producer.flush(20) == 0


async def test_lag_is_what_the_group_has_not_committed(
    kafka: ApacheKafka, lags: BrokerLags
) -> None:
    a_topic(kafka, "raw", partitions=3, records=30)
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "reviews"})
    consumer.commit(offsets=[TopicPartition("raw", 0, 4)], asynchronous=False)
    consumer.close()
    wanted = {
        "reviews": GroupTopic("reviews", "raw", 3),
        # Never read anything: all of it waits.
        "new": GroupTopic("new", "raw", 3),
        # Its topic is made by its first consumer.
        "newest": GroupTopic("newest", "not-there", 5),
    }
    assert await lags.read(wanted) == {
        "reviews": KafkaBacklog(lag=26, partitions=3),
        "new": KafkaBacklog(lag=30, partitions=3),
        "newest": KafkaBacklog(lag=0, partitions=5),
    }


async def test_many_streams_take_turns(kafka: ApacheKafka, lags: BrokerLags) -> None:
    wanted = {f"s{number}": GroupTopic("group", "nowhere", 1) for number in range(70)}
    first, second = await lags.read(wanted), await lags.read(wanted)
    assert len(first) == len(second) == 50
    assert first.keys() | second.keys() == wanted.keys()


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ("list_offsets", KafkaError.LEADER_NOT_AVAILABLE),
        ("list_consumer_group_offsets", KafkaError.GROUP_AUTHORIZATION_FAILED),
    ],
)
async def test_a_stream_that_kafka_says_nothing_of_leaves_the_others_theirs(
    kafka: ApacheKafka,
    lags: BrokerLags,
    monkeypatch: pytest.MonkeyPatch,
    question: str,
    error: int,
) -> None:
    good, bad = f"good-{error}", f"bad-{error}"
    a_topic(kafka, good, partitions=2, records=6)
    a_topic(kafka, bad, partitions=2, records=8)
    wanted = {name: GroupTopic(name, name, 2) for name in (good, bad)}
    ask = getattr(lags._admin, question)
    refused: Future[Any] = Future()
    refused.set_exception(KafkaException(KafkaError(error)))

    def answers(*args: Any, **options: Any) -> dict[Any, Future[Any]]:
        """Kafka's own, but for what is asked of `bad`."""
        return {
            asked: refused if getattr(asked, "topic", asked) == bad else answer
            for asked, answer in ask(*args, **options).items()
        }

    with capture_logs() as lines:
        with monkeypatch.context() as patch:
            patch.setattr(lags._admin, question, answers)
            for _ in range(2):
                assert await lags.read(wanted) == {good: KafkaBacklog(lag=6, partitions=2)}
            # Where none can be told of, it may as well be the broker.
            with pytest.raises(KafkaUnavailable):
                await lags.read({bad: wanted[bad]})
        assert (await lags.read(wanted))[bad] == KafkaBacklog(lag=8, partitions=2)

    assert [(line["event"], line["stream"]) for line in lines] == [
        ("signal_missing", bad),
        ("signal_back", bad),
    ]


def an_answer(value: Any) -> Future[Any]:
    answer: Future[Any] = Future()
    answer.set_result(value)
    return answer


NO_OFFSET = SimpleNamespace(offset=-1001)


async def test_a_partition_that_nobody_tells_of_is_no_partition_without_lag(
    kafka: ApacheKafka, lags: BrokerLags, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its leader has just gone librdkafka may know neither error nor offset."""
    a_topic(kafka, "half", partitions=2, records=6)
    a_topic(kafka, "whole", partitions=1, records=5)
    wanted = {name: GroupTopic(name, name, 1) for name in ("half", "whole")}
    ask = lags._admin.list_offsets

    def silent(*args: Any, **options: Any) -> dict[Any, Future[Any]]:
        return {
            asked: an_answer(NO_OFFSET) if (asked.topic, asked.partition) == ("half", 1) else answer
            for asked, answer in ask(*args, **options).items()
        }

    monkeypatch.setattr(lags._admin, "list_offsets", silent)

    assert await lags.read(wanted) == {"whole": KafkaBacklog(lag=5, partitions=1)}
    # How many there are is known all the same.
    assert lags.partitions("half") == 2


async def test_a_partition_without_a_leader_is_not_asked_about_and_not_known(
    kafka: ApacheKafka, lags: BrokerLags, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_topic(kafka, "headless", partitions=2, records=6)
    a_topic(kafka, "led", partitions=1, records=5)
    wanted = {name: GroupTopic(name, name, 1) for name in ("headless", "led")}
    describe, ask = lags._admin.describe_topics, lags._admin.list_offsets
    asked_about: list[tuple[str, int]] = []

    def described(*args: Any, **options: Any) -> dict[str, Future[Any]]:
        found = describe(*args, **options)
        found["headless"].result(20).partitions[1].leader = None
        return found

    def offsets(asked: dict[TopicPartition, Any], **options: Any) -> dict[Any, Future[Any]]:
        asked_about.extend((each.topic, each.partition) for each in asked)
        return ask(asked, **options)

    monkeypatch.setattr(lags._admin, "describe_topics", described)
    monkeypatch.setattr(lags._admin, "list_offsets", offsets)

    assert await lags.read(wanted) == {"led": KafkaBacklog(lag=5, partitions=1)}
    assert ("headless", 0) in asked_about
    assert ("headless", 1) not in asked_about


async def test_an_offset_that_can_not_be_read_is_not_one_that_was_never_committed(
    kafka: ApacheKafka, lags: BrokerLags, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_topic(kafka, "unstable", partitions=2, records=6)
    a_topic(kafka, "stable", partitions=1, records=5)
    wanted = {name: GroupTopic(name, name, 1) for name in ("unstable", "stable")}
    ask = lags._admin.list_consumer_group_offsets

    def place(number: int, offset: int, error: KafkaError | None) -> Any:
        return SimpleNamespace(topic="unstable", partition=number, offset=offset, error=error)

    def answers(*args: Any, **options: Any) -> dict[str, Future[Any]]:
        found = ask(*args, **options)
        if "unstable" in found:
            error = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)
            places = [place(0, 3, None), place(1, -1001, error)]
            return {"unstable": an_answer(SimpleNamespace(topic_partitions=places))}
        return found

    monkeypatch.setattr(lags._admin, "list_consumer_group_offsets", answers)

    assert await lags.read(wanted) == {"stable": KafkaBacklog(lag=5, partitions=1)}


async def test_a_topic_that_may_not_be_described_is_not_one_that_is_not_there(
    kafka: ApacheKafka, lags: BrokerLags, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_topic(kafka, "open", partitions=1, records=5)
    wanted = {name: GroupTopic(name, name, 1) for name in ("secret", "open")}
    describe = lags._admin.describe_topics
    refused: Future[Any] = Future()
    refused.set_exception(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))

    def described(*args: Any, **options: Any) -> dict[str, Future[Any]]:
        return describe(*args, **options) | {"secret": refused}

    monkeypatch.setattr(lags._admin, "describe_topics", described)

    assert await lags.read(wanted) == {"open": KafkaBacklog(lag=5, partitions=1)}


async def test_a_restarted_operator_takes_no_part_of_a_topic_for_the_whole(
    kafka: ApacheKafka, redis_client: AsyncRedis, keys: Keys, prefix: str
) -> None:
    a_topic(kafka, "wide", partitions=4, records=8)
    spec = StreamSpec.model_validate({"source": {"topic": "wide", "partitions": 1}})
    nowhere = client.Configuration(host=f"http://127.0.0.1:{free_port()}")
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers, eventstream_prefix=prefix)

    clock = Clock()

    async def seen_with(partitions: int, *, seconds_ago: int = 0) -> KafkaBacklog | None:
        seconds, _ = await redis_client.time()
        figure = PartitionLag(lag=0, end=2, position=2, measured_at=seconds - seconds_ago)
        told = dict.fromkeys(range(partitions), figure)
        await publish(redis_client, keys, "reviews", "wide", told)
        await observer.refresh({"reviews": spec})
        lag = observer.observe("reviews").kafka
        return lag.value if lag else None

    async with Cluster(nowhere, "ai", timeout_seconds=1) as cluster:
        observer = Observer(
            settings,
            state=redis_client,
            cache=redis_client,
            cluster=cluster,
            world=World(),
            labels="",
            clock=clock,
        )
        # Redis lost its data just before: the other consumers have not published anew.
        assert await seen_with(1) == KafkaBacklog(lag=8, partitions=4)
        assert await seen_with(4) == KafkaBacklog(lag=0, partitions=4)
        # Its word of that time is none of now, though consumers are late.
        clock.now += 60
        assert await seen_with(4, seconds_ago=10) == KafkaBacklog(lag=0, partitions=4)
        # What it said of that topic is nothing that it says of another one.
        other = StreamSpec.model_validate({"source": {"topic": "other", "partitions": 1}})
        await observer.refresh({"reviews": other})
        assert observer.observe("reviews").kafka is None
        observer.close()


async def test_a_broker_that_is_away_is_an_error_that_says_so() -> None:
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    lags = BrokerLags(settings)
    with pytest.raises(KafkaUnavailable, match="can't be asked for lag"):
        await lags.read({"reviews": GroupTopic("reviews", "raw", 3)})
    lags.close()

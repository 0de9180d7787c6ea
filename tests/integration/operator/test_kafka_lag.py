"""Lag as Apache Kafka itself tells it, for streams whose consumers are all gone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from structlog.testing import capture_logs

from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.settings import Settings
from eventstream_operator.observe.kafka_lag import BrokerLags, GroupTopic, KafkaUnavailable
from eventstream_operator.observe.observation import KafkaBacklog
from tests.kafka.harness import new_broker
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


async def test_a_broker_that_is_away_is_an_error_that_says_so() -> None:
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    lags = BrokerLags(settings)
    with pytest.raises(KafkaUnavailable, match="can't be asked for lag"):
        await lags.read({"reviews": GroupTopic("reviews", "raw", 3)})
    lags.close()

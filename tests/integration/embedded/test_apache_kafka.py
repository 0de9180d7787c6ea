"""The embedded Apache Kafka: starts, keeps its log through a kill, stops."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.embedded.jars import default_cache_dir


def two_free_ports() -> tuple[int, int]:
    with ExitStack() as both:
        probes = [both.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        first, second = (int(probe.getsockname()[1]) for probe in probes)
        return first, second


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[ApacheKafka]:
    port, controller_port = two_free_ports()
    broker = ApacheKafka(tmp_path / "kafka", port, controller_port, cache_dir=default_cache_dir())
    broker.start()
    yield broker
    broker.stop()


def test_a_record_outlives_a_kill(kafka: ApacheKafka) -> None:
    address = kafka.bootstrap_servers
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    admin.create_topics([NewTopic("reviews", num_partitions=1)])["reviews"].result()
    producer = Producer({"bootstrap.servers": address, "acks": "all", "log_level": 0})
    producer.produce("reviews", value=b"lovely")
    assert producer.flush(30) == 0
    kafka.kill()
    kafka.start()
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "readers",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe(["reviews"])
    record = consumer.poll(60)
    consumer.close()
    assert record is not None
    assert record.value() == b"lovely"

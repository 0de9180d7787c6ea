"""The demo broker takes records and gives them back, and forgets them when it restarts."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from eventstream.embedded.process import LocalProcess
from eventstream.embedded.tansu import demo_broker, find_broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[LocalProcess, str]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    process = LocalProcess(demo_broker(find_broker(), port), tmp_path / "broker.log")
    process.start()
    yield process, f"127.0.0.1:{port}"
    process.stop()


def test_a_record_goes_in_and_comes_out(broker: tuple[LocalProcess, str]) -> None:
    _, address = broker
    admin = AdminClient({"bootstrap.servers": address})
    for created in admin.create_topics([NewTopic("reviews", num_partitions=3)]).values():
        created.result()
    producer = Producer({"bootstrap.servers": address})
    producer.produce("reviews", value=b"lovely", key=b"1")
    assert producer.flush(20) == 0
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "readers",
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
        }
    )
    consumer.subscribe(["reviews"])
    record = consumer.poll(30)
    consumer.close()
    assert record is not None
    assert record.value() == b"lovely"


def test_a_restart_forgets_the_topics(broker: tuple[LocalProcess, str]) -> None:
    process, address = broker
    admin = AdminClient({"bootstrap.servers": address})
    for created in admin.create_topics([NewTopic("reviews", num_partitions=3)]).values():
        created.result()
    process.kill()
    process.start()
    fresh = AdminClient({"bootstrap.servers": address, "log_level": 0})
    assert fresh.list_topics(timeout=10).topics == {}

"""Apache Kafka for the run, and a deployment of its own a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstream.embedded.apache_kafka import ApacheKafka
from tests.e2e.services import Deployment
from tests.kafka.harness import new_broker


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    broker = new_broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(tmp_path) as deployment:
        yield deployment

"""What the fault tests break: a bare deployment a test, or one whole installation a module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.services import Deployment
from tests.faults.bench import Bench
from tests.faults.installation import Installation
from tests.faults.provider import Provider
from tests.support.proxied_kafka import ProxiedKafka


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedKafka]:
    """The broker of all fault tests: each leaves it running, with its link mended."""
    with ProxiedKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def bench(tmp_path: Path, provider: Provider) -> Iterator[Bench]:
    environment = {"WORKER_CONCURRENCY": "2", "WORKER_LEASE_SECONDS": "2"}
    with Deployment(tmp_path, **environment, **provider.environment) as deployment:
        bench = Bench(deployment)
        yield bench
        asyncio.run(bench.aclose())


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, kafka: ProxiedKafka
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with Provider() as provider, Installation(folder, kafka, provider) as installation:
        yield installation


@pytest.fixture
def site(installation: Installation) -> Iterator[Installation]:
    """The module's installation, mended after each test."""
    yield installation
    installation.mend()

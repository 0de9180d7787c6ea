"""A deployment of real processes to break, and what a test asks of it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import kafka
from tests.e2e.services import Deployment
from tests.faults.bench import Bench
from tests.faults.provider import Provider

__all__ = ["kafka"]


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

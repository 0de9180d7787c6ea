"""Clusters for the tests below, from `harness`; a namespace and an operator for each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.harness import plugin
from tests.cluster.harness.cluster import Cluster
from tests.cluster.operator_runner import Namespace, Operator, installed


def pytest_configure(config: pytest.Config) -> None:
    plugin.register(config)


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[Namespace]:
    with installed(control_plane, f"t-{uuid.uuid4().hex[:8]}") as made:
        yield made


@pytest.fixture
def operator(namespace: Namespace, cache_url: str, prefix: str, tmp_path: Path) -> Operator:
    """Not started yet."""
    return Operator(namespace, cache_url, prefix, tmp_path / "operator.log")

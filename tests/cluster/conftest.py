"""Clusters for the tests below, from `harness`."""

from __future__ import annotations

import pytest

from tests.cluster.harness import plugin


def pytest_configure(config: pytest.Config) -> None:
    plugin.register(config)

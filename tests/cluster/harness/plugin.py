"""pytest fixtures: `control_plane` and `node`, one cluster of each tier a test session.

A conftest whose tests want one registers this module:

    def pytest_configure(config: pytest.Config) -> None:
        plugin.register(config)

Tests share a cluster, so each works in a namespace of its own and leaves the nodes as they were.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.cluster.harness.binaries import binaries_dir, default_cache_dir, ensure_binaries
from tests.cluster.harness.cluster import Cluster, Tier
from tests.cluster.harness.errors import HarnessError

_FIXTURES = {"control_plane": Tier.CONTROL_PLANE, "node": Tier.NODE}


def register(config: pytest.Config) -> None:
    """Makes the fixtures known to the whole session, once, whoever asks first."""
    if not config.pluginmanager.has_plugin(__name__):
        config.pluginmanager.register(sys.modules[__name__], __name__)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Cluster]:
    """A real API server, controllers and scheduler, with one simulated node."""
    yield from _cluster(Tier.CONTROL_PLANE)


@pytest.fixture(scope="session")
def node() -> Iterator[Cluster]:
    """A real node that runs containers, with its control plane."""
    yield from _cluster(Tier.NODE)


def _cluster(tier: Tier) -> Iterator[Cluster]:
    cache = default_cache_dir()
    cluster = Cluster.start(tier, cache / "clusters", binaries_dir(cache))
    try:
        yield cluster
    finally:
        cluster.stop()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds the programs before the first test: no test's time limit is meant for that."""
    wanted = any(
        not _FIXTURES.keys().isdisjoint(getattr(item, "fixturenames", ())) for item in session.items
    )
    if not wanted or session.config.option.collectonly:
        return
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")

    def progress(line: str) -> None:
        reporter.write_line(f"cluster: {line}", flush=True)

    try:
        ensure_binaries(default_cache_dir(), progress)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows the ends of the cluster's logs with a test that failed."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if name in _FIXTURES:
                report.sections.append((f"logs of the cluster `{name}`", value.log_tails()))
    return report

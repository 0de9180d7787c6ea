"""helm and promtool for the tests of the chart, and the API server of `tests.cluster`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.helm import CHART, Chart
from tests.cluster.harness import plugin
from tests.cluster.harness.binaries import binaries_dir, default_cache_dir, ensure_binaries
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.layout import find_program
from tests.cluster.harness.packages import CHECK_PACKAGES, install_missing


def pytest_configure(config: pytest.Config) -> None:
    plugin.register(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Gets the programs before the first test: no test's time limit is meant for that."""
    wanted: set[str] = set()
    for item in session.items:
        wanted |= set(getattr(item, "fixturenames", ()))
    if session.config.option.collectonly:
        return
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    try:
        if "chart" in wanted:
            ensure_binaries(default_cache_dir(), lambda line: reporter.write_line(f"chart: {line}"))
        if "promtool" in wanted:
            install_missing(CHECK_PACKAGES, lambda line: reporter.write_line(f"chart: {line}"))
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart, to be rendered by helm."""
    return Chart(binaries_dir(default_cache_dir()) / "helm", CHART)


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own checker of rules."""
    found = find_program("promtool")
    assert found is not None
    return str(found)

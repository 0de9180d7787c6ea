"""Dashboards and alerts on a system that has been under load: every query brings living series.

Prometheus has scraped by the chart's PodMonitor since before the load.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chart.promql import catalogue
from tests.cluster.harness.api import wait_until
from tests.cluster_e2e.installation import NAMESPACE, SCALED_SECONDS
from tests.cluster_e2e.monitoring import selectors
from tests.cluster_e2e.prometheus import Prometheus

pytestmark = pytest.mark.timeout(300)

MOVED_BY_TROUBLE = {
    "eventstream_cache_errors",
    "eventstream_cache_single_flight",
    "eventstream_events_given_back",
    "eventstream_events_redelivered",
    "eventstream_events_refused",
    "eventstream_kafka_gap_records",
    "eventstream_kafka_paused_partitions",
    "eventstream_model_retries",
    "eventstream_operator_status_refused",
    "eventstream_store_unavailable",
}
"""Metrics that need a crash, a part that is away or refuses, an overload or a race: nothing here is
sure to move them."""
MOVED_BY_LEARNING = {
    "eventstream_cache_advice_drawn_timestamp_seconds",
    "eventstream_cache_advice_hit_ratio",
    "eventstream_cache_advice_saved_microdollars",
    "eventstream_cache_advice_wrong_hit_ratio",
    "eventstream_cache_check_cost_microdollars",
    "eventstream_cache_evidence_pairs",
    "eventstream_cache_opened_hits",
    "eventstream_cache_opened_kinds",
}
"""Metrics of what the cache learns: from hits that are drawn by chance, and with `bounded`."""


@pytest.fixture(scope="module", autouse=True)
def _taken_away(prometheus: Prometheus) -> Iterator[None]:
    """The tests after these have no use for it."""
    yield
    prometheus.stop()


def test_every_pod_with_metrics_is_scraped(
    prometheus: Prometheus,
) -> None:
    # A pod that is just starting or leaving is unknown or down for a moment.
    wait_until(
        lambda: {target["health"] for target in prometheus.targets()} == {"up"},
        "targets that all answer",
        SCALED_SECONDS,
    )
    targets = prometheus.targets()

    found = {target["labels"]["component"] for target in targets}
    assert found == {"api", "worker", "consumer", "operator"}
    assert {target["labels"]["namespace"] for target in targets} == {NAMESPACE}


def test_every_panel_shows_something(prometheus: Prometheus) -> None:
    assert prometheus.queries
    assert prometheus.lifeless(prometheus.queries) == []


def test_every_series_that_is_read_is_there(prometheus: Prometheus) -> None:
    panels = [query.expression for query in prometheus.queries]
    read = set().union(*map(selectors, [*panels, *prometheus.alerts.values()]))

    assert read
    assert prometheus.unseen(read) == []


def test_every_alert_is_evaluated_and_those_that_should_be_were_on(prometheus: Prometheus) -> None:
    rules = prometheus.rules()

    assert rules.keys() == prometheus.alerts.keys()
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules.values()} == {("ok", "")}
    # The load had few hits, and ran into limits. An alert is pending before it fires.
    seen = 'ALERTS{{alertname="{}",alertstate="pending"{}}}'
    assert (
        prometheus.unseen(
            [
                seen.format("EventStreamHitRateLow", ',stream="default"'),
                seen.format("EventStreamProviderThrottling", ',name="compatible:busy-1"'),
            ]
        )
        == []
    )


def test_every_metric_of_the_catalogue_moves(prometheus: Prometheus) -> None:
    names = prometheus.names()

    silent = {family for family, series in catalogue().items() if not series.keys() & names}
    assert silent - MOVED_BY_TROUBLE - MOVED_BY_LEARNING == set()

"""A Prometheus beside the installation, told what to scrape by what the chart renders."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import yaml

from tests.cluster_e2e.installation import HERE, NAMESPACE, RELEASE, Installation
from tests.cluster_e2e.monitoring import (
    Object,
    Query,
    dashboards,
    panel_queries,
    scrape_configuration,
    seconds_of,
)
from tests.images.prometheus_image import prometheus_reference

ADDRESS: Final = "http://prometheus:9090"
DISCOVERY: Final = "http://127.0.0.1:8081/"
SWITCHES: Final = (
    "monitoring.podMonitor.enabled=true",
    "monitoring.prometheusRule.enabled=true",
    "monitoring.dashboards.enabled=true",
)
_RANGE_SECONDS: Final = 3600


class Prometheus:
    """Scrapes from `start` on; asked through the client's pod."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        rendered = installation.template(*SWITCHES)
        [monitor] = [each for each in rendered if each["kind"] == "PodMonitor"]
        [rules] = [each for each in rendered if each["kind"] == "PrometheusRule"]
        self._scrapes = scrape_configuration(monitor, NAMESPACE, DISCOVERY)
        self._rules: Object = rules["spec"]
        [boards] = [
            each
            for each in rendered
            if each["kind"] == "ConfigMap" and "grafana_dashboard" in each["metadata"]["labels"]
        ]
        interval = seconds_of(self._scrapes["scrape_interval"])
        self.queries: list[Query] = [
            query for board in dashboards(boards) for query in panel_queries(board, interval)
        ]
        self.alerts: dict[str, str] = {
            rule["alert"]: rule["expr"]
            for group in self._rules["groups"]
            for rule in group["rules"]
        }

    def start(self) -> None:
        """Returns when it is ready."""
        interval = self._scrapes["scrape_interval"]
        configuration = {
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": ["/etc/prometheus/rules.yml"],
            "scrape_configs": [self._scrapes],
        }
        files = {"prometheus.yml": configuration, "rules.yml": self._rules}
        config_map = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "prometheus"},
            "data": {name: yaml.safe_dump(content) for name, content in files.items()}
            | {"discovery.py": (HERE / "discovery.py").read_text()},
        }
        self._installation.kubectl("apply", "-f", "-", stdin=json.dumps(config_map))
        manifest = (HERE / "prometheus.yaml").read_text()
        for placeholder, image in (
            ("PROMETHEUS_IMAGE", prometheus_reference()),
            ("OPERATOR_IMAGE", self._installation.image(f"{RELEASE}-operator")),
        ):
            manifest = manifest.replace(placeholder, image)
        self._installation.kubectl("apply", "-f", "-", stdin=manifest)
        self._installation.wait_ready("prometheus")

    def stop(self) -> None:
        """Takes it away with all that it has seen."""
        kinds = "deployment,service,configmap,serviceaccount,role,rolebinding"
        self._installation.kubectl("delete", kinds, "prometheus")

    def lifeless(self, queries: Sequence[Query]) -> list[str]:
        """The queries that bring no series with a number in it, as a panel would ask them."""
        now = time.time()
        asked = [_instant(q) if q.instant else _range(q, now) for q in queries]
        answers = self.ask(asked)
        return [
            f"{query.where}: {query.expression}"
            for query, series in zip(queries, answers, strict=True)
            if not any(map(_has_numbers, series["result"]))
        ]

    def unseen(self, selectors: Iterable[str]) -> list[str]:
        """The selectors that no series of the last hour matches."""
        wanted = sorted(selectors)
        start = time.time() - _RANGE_SECONDS
        found = self.ask(
            [("/api/v1/series", {"match[]": each, "start": f"{start:.0f}"}) for each in wanted]
        )
        return [each for each, series in zip(wanted, found, strict=True) if not series]

    def holds(self, comparison: str) -> bool:
        """Whether any series satisfies a comparison now."""
        [found] = self.ask([("/api/v1/query", {"query": comparison})])
        return bool(found["result"])

    def names(self) -> set[str]:
        """The name of every series that was seen."""
        [names] = self.ask([("/api/v1/label/__name__/values", {})])
        return set(names)

    def targets(self) -> list[Object]:
        """What is scraped."""
        [targets] = self.ask([("/api/v1/targets", {"state": "active"})])
        active: list[Object] = targets["activeTargets"]
        return active

    def rules(self) -> dict[str, Object]:
        """Alert -> how its evaluation goes, and its state."""
        [found] = self.ask([("/api/v1/rules", {})])
        return {rule["name"]: rule for group in found["groups"] for rule in group["rules"]}

    def ask(self, requests: Sequence[tuple[str, Mapping[str, str]]]) -> list[Any]:
        """The `data` of the answers to these paths and parameters, all in one go."""
        urls = [f"{ADDRESS}{path}?{urlencode(parameters)}" for path, parameters in requests]
        return [answer["data"] for answer in self._installation.fetch(*urls)]


def _instant(query: Query) -> tuple[str, dict[str, str]]:
    return "/api/v1/query", {"query": query.expression}


def _range(query: Query, now: float) -> tuple[str, dict[str, str]]:
    start, end = f"{now - _RANGE_SECONDS:.0f}", f"{now:.0f}"
    parameters = {"query": query.expression, "start": start, "end": end, "step": "15"}
    return "/api/v1/query_range", parameters


def _has_numbers(series: Mapping[str, Any]) -> bool:
    samples = series.get("values") or [series["value"]]
    return any(math.isfinite(float(value)) for _, value in samples)

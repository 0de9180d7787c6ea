"""What is asked of Prometheus by alerts and dashboards, and what the processes expose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml
from prometheus_client import REGISTRY

import eventstream.metrics  # noqa: F401 -- registers the catalogue
from tests.chart.helm import CHART, ROOT
from tests.chart.scripts import load

ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
METRIC = re.compile(r"\b(?:eventstream|gen_ai_client)_[a-z_]+\b")
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


def catalogue() -> dict[str, dict[str, set[str]]]:
    """Every metric that the processes declare -> the names of its series -> their labels."""
    operator = load(ROOT / "operator" / "eventstream_operator" / "metrics.py")
    found: dict[str, dict[str, set[str]]] = {}
    for registry in (REGISTRY, operator.REGISTRY):
        for collector in list(registry._collector_to_names):
            kind = getattr(collector, "_type", None)
            if kind in ENDINGS and METRIC.fullmatch(collector._name):
                labels = set(collector._labelnames)
                found[collector._name] = {
                    f"{collector._name}{ending}": labels for ending in ENDINGS[kind]
                }
    return found


def series() -> dict[str, set[str]]:
    """Name of every series -> its labels."""
    return {name: labels for metric in catalogue().values() for name, labels in metric.items()}


def expressions() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of every alert and panel."""
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]

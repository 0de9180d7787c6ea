"""Dashboards and alerts: names that exist, rules that fire when they should, runbooks to read."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

import eventstream.metrics  # noqa: F401 -- registers the catalogue
from eventstream.errors import Reason
from tests.chart.helm import CHART, ROOT, Chart
from tests.chart.scripts import load

ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
METRIC = re.compile(r"\b(?:eventstream|gen_ai_client)_[a-z_]+\b")
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


def catalogue() -> dict[str, set[str]]:
    """Name of every series -> its labels, from what the processes declare."""
    operator = load(ROOT / "operator" / "eventstream_operator" / "metrics.py")
    found = {}
    for registry in (REGISTRY, operator.REGISTRY):
        for collector in list(registry._collector_to_names):
            kind = getattr(collector, "_type", None)
            if kind in ENDINGS:
                for ending in ENDINGS[kind]:
                    found[f"{collector._name}{ending}"] = set(collector._labelnames)
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of every alert and panel."""
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_only_metrics_of_the_catalogue_are_used(where: str, expression: str) -> None:
    known = catalogue()
    without_labels = re.sub(r"by \([^)]*\)|\{[^}]*\}", "", expression)
    used = set(METRIC.findall(without_labels))

    assert used, where
    assert used <= known.keys(), where


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_only_labels_of_the_metric_are_selected_by(where: str, expression: str) -> None:
    known = catalogue()
    for name, selectors in re.findall(r"\b([a-z_]+)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)(?:=~|!=|=)", selectors):
            assert label in known[name], (where, name, label)


def test_the_operators_names_are_listed_where_they_are_used() -> None:
    listed = set(re.findall(r"^#   (eventstream_operator_\w+)", ALERTS.read_text(), re.MULTILINE))

    used = {
        name
        for _, expression in expressions()
        for name in METRIC.findall(expression)
        if name.startswith("eventstream_operator_")
    }
    assert listed == used


def test_prometheus_accepts_the_rules(promtool: str) -> None:
    done = subprocess.run([promtool, "check", "rules", ALERTS], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 rules found" in done.stdout


def test_alerts_fire_when_they_should_and_only_then(promtool: str) -> None:
    cases = Path(__file__).with_name("alerts_test.yaml")

    done = subprocess.run([promtool, "test", "rules", cases], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_and_a_runbook() -> None:
    rules = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
    cases = (Path(__file__).with_name("alerts_test.yaml")).read_text(encoding="utf-8")
    runbooks = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")

    assert len(rules) == 6
    for rule in rules:
        name = rule["alert"]
        assert f"alertname: {name}" in cases
        assert f"\n## {name}\n" in runbooks
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"


def test_reasons_in_the_runbooks_are_those_that_events_fail_with() -> None:
    text = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    table = text.partition("| Reason | Do |")[2].partition("\n\n")[0]

    named = re.findall(r"`([a-z_]+)`(?=[^|]*\|[^|]*\|\n)", table + "\n")
    assert len(named) >= 8
    assert set(named) <= {reason.value for reason in Reason}


def test_switches_render_what_the_prometheus_operator_and_grafana_take(chart: Chart) -> None:
    assert not chart.render().of("PodMonitor", "PrometheusRule")
    values = {
        name: {"enabled": True} for name in ("podMonitor", "prometheusRule", "dashboards")
    } | {"labels": {"release": "prometheus"}}
    objects = chart.render({"monitoring": values})

    [monitor] = objects.of("PodMonitor")
    [rule] = objects.of("PrometheusRule")
    dashboards = objects.one("ConfigMap", "ai-dashboards")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    assert dashboards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboards["data"]["overview.json"])["uid"] == "ai-eventstream-overview"
    in_file = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
    rendered = rule["spec"]["groups"][0]["rules"]
    assert [each["expr"] for each in rendered] == [each["expr"] for each in in_file]
    assert rendered[0]["annotations"]["runbook_url"].startswith("https://")


def test_the_pod_monitor_finds_every_pod_that_has_metrics(chart: Chart) -> None:
    objects = chart.render({"monitoring": {"podMonitor": {"enabled": True}}, "flower": {}})
    [monitor] = objects.of("PodMonitor")
    selector = monitor["spec"]["selector"]
    [expression] = selector["matchExpressions"]

    def found(labels: dict[str, str]) -> bool:
        return (
            selector["matchLabels"].items() <= labels.items()
            and labels[expression["key"]] in expression["values"]
        )

    for name, pod in objects.pods().items():
        ports = [
            port["name"]
            for container in pod["spec"]["containers"]
            for port in container.get("ports", [])
        ]
        assert found(pod["metadata"]["labels"]) is ("metrics" in ports), name

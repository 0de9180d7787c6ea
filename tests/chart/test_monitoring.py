"""Dashboards and alerts: names that exist, rules that fire when they should, runbooks to read."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from eventstream.errors import Reason
from tests.chart.helm import ROOT, Chart
from tests.chart.promql import ALERTS, METRIC, expressions, series


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_only_metrics_of_the_catalogue_are_used(where: str, expression: str) -> None:
    known = series()
    without_labels = re.sub(r"by \([^)]*\)|\{[^}]*\}", "", expression)
    used = set(METRIC.findall(without_labels))

    assert used, where
    assert used <= known.keys(), where


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_only_labels_of_the_metric_are_selected_by(where: str, expression: str) -> None:
    known = series()
    for name, selectors in re.findall(r"\b([a-z_]+)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)(?:=~|!=|=)", selectors):
            assert label in known[name], (where, name, label)


@pytest.mark.parametrize(
    "package",
    ["services/eventstream", "operator/eventstream_operator"],
    ids=["services", "operator"],
)
def test_every_metric_of_the_catalogue_is_used(package: str) -> None:
    catalogue = ROOT / package / "metrics.py"
    declared = {
        statement.targets[0].id
        for statement in ast.parse(catalogue.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Call)
    }
    others = [each for each in catalogue.parent.rglob("*.py") if each != catalogue]
    used = {
        word
        for each in others
        for word in re.findall(r"\b[A-Z][A-Z_]+\b", each.read_text(encoding="utf-8"))
    }

    assert declared
    assert declared <= used


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

"""What the chart renders for monitoring, as Prometheus and Grafana would take it.

The Prometheus operator turns a PodMonitor into a scrape configuration and a PrometheusRule into a
file of rules; Grafana fills in a dashboard's variables and asks for a range. Here the same is done
to what `helm template` renders. Nothing in this module asks a cluster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

# A name that the project's processes expose, and the labels that are asked for.
_SELECTOR = re.compile(r"\b(?:eventstream|gen_ai_client)_[a-z_]+\b(?:\{[^}]*\})?")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring) \([^)]*\)")


@dataclass(frozen=True)
class Query:
    """One query of a panel, with nothing left to fill in."""

    where: str
    expression: str
    instant: bool


def scrape_configuration(monitor: Mapping[str, Any], namespace: str, discovery: str) -> Object:
    """A scrape configuration, as the Prometheus operator makes it of a PodMonitor in a namespace.

    https://github.com/prometheus-operator/prometheus-operator, generatePodMonitorConfig: pods of
    the monitor's own namespace, kept by the selector and the port's name, labelled with where they
    are; then the monitor's own relabelings. The pods are found by `discovery.py` at `discovery`.
    """
    spec = monitor["spec"]
    [endpoint] = spec["podMetricsEndpoints"]
    known = {"port", "path", "interval", "relabelings"}
    assert endpoint.keys() <= known, f"not translated: {sorted(endpoint.keys() - known)}"
    name = f"{namespace}/{monitor['metadata']['name']}"
    return {
        "job_name": f"podMonitor/{name}/0",
        "scrape_interval": endpoint["interval"],
        "metrics_path": endpoint["path"],
        "http_sd_configs": [{"url": discovery, "refresh_interval": "5s"}],
        "relabel_configs": [
            {
                "action": "drop",
                "source_labels": ["__meta_kubernetes_pod_phase"],
                "regex": "(Failed|Succeeded)",
            },
            *_kept(spec["selector"]),
            {
                "action": "keep",
                "source_labels": ["__meta_kubernetes_pod_container_port_name"],
                "regex": endpoint["port"],
            },
            *(
                {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": target}
                for source, target in (
                    ("namespace", "namespace"),
                    ("pod_container_name", "container"),
                    ("pod_name", "pod"),
                )
            ),
            {"target_label": "job", "replacement": name},
            {"target_label": "endpoint", "replacement": endpoint["port"]},
            *map(_relabeling, endpoint.get("relabelings", ())),
        ],
    }


def _kept(selector: Mapping[str, Any]) -> Iterator[Object]:
    """A pod is kept when each of its labels is there and has one of the values."""
    wanted = {label: [value] for label, value in selector["matchLabels"].items()}
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In", f"not translated: {expression}"
        wanted[expression["key"]] = expression["values"]
    for label, values in wanted.items():
        safe = re.sub(r"[^a-zA-Z0-9_]", "_", label)
        yield {
            "action": "keep",
            "source_labels": [
                f"__meta_kubernetes_pod_label_{safe}",
                f"__meta_kubernetes_pod_labelpresent_{safe}",
            ],
            "regex": f"({'|'.join(map(re.escape, values))});true",
        }


def _relabeling(written: Mapping[str, Any]) -> Object:
    """The resource writes `sourceLabels` where Prometheus' own file has `source_labels`."""
    return {re.sub(r"[A-Z]", lambda m: f"_{m[0].lower()}", key): v for key, v in written.items()}


def panel_queries(dashboard: Mapping[str, Any], scrape_seconds: float) -> list[Query]:
    """Every query of a dashboard, with its variables at "All".

    Grafana's $__rate_interval is at least four times the interval of the scrapes.
    https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
    """
    values = {"$__rate_interval": f"{4 * scrape_seconds:.0f}s"}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "datasource":
            values[f"${variable['name']}"] = variable["allValue"]
    found = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in values.items():
                expression = expression.replace(name, value)
            where = f"{dashboard['title']}: {panel['title']} {target['refId']}"
            assert "$" not in expression, f"{where}: a variable is left in {expression}"
            found.append(Query(where, expression, bool(target.get("instant"))))
    return found


def selectors(expression: str) -> set[str]:
    """The series that an expression reads, each as a selector without its range."""
    return set(_SELECTOR.findall(_GROUPING.sub("", expression)))


def dashboards(config_map: Mapping[str, Any]) -> list[Object]:
    """The dashboards in the chart's ConfigMap."""
    return [json.loads(text) for text in config_map["data"].values()]


def seconds_of(duration: str) -> float:
    """`15s` -> 15. Raises ValueError for what is no duration of this form."""
    found = re.fullmatch(r"(\d+)(s|m)", duration)
    if found is None:
        raise ValueError(f"{duration!r} is not a duration such as 15s or 1m")
    return float(found[1]) * {"s": 1, "m": 60}[found[2]]

"""Who reaches whom, read out of the rendered NetworkPolicies as a cluster would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.chart.helm import EVERYTHING, Chart, Objects

OTHER_NAMESPACE = {"kubernetes.io/metadata.name": "elsewhere"}


@dataclass(frozen=True)
class Peer:
    """One end of a connection."""

    labels: Mapping[str, str]
    namespace: Mapping[str, str] | None = None
    """Labels of its namespace; None: the release's own."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Its named ports."""


OUTSIDE = Peer({}, {})
"""An address that is no pod: a provider, a store of one's own, the API server."""
STRANGER = Peer({"app": "stranger"}, OTHER_NAMESPACE)
NEIGHBOUR = Peer({"app": "neighbour"})


def pod(objects: Objects, component: str) -> Peer:
    """The pod of a component."""
    for template in objects.pods().values():
        labels = template["metadata"]["labels"]
        if labels["app.kubernetes.io/component"] == component:
            ports = {
                port["name"]: port["containerPort"]
                for container in template["spec"]["containers"]
                for port in container.get("ports", [])
            }
            return Peer(labels, ports=ports)
    raise AssertionError(component)


def reaches(objects: Objects, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether the policies let a connection through at both ends."""
    return _allowed(objects, source, target, target, "egress", port, protocol) and _allowed(
        objects, target, source, target, "ingress", port, protocol
    )


def _allowed(
    objects: Objects,
    subject: Peer,
    other: Peer,
    target: Peer,
    way: str,
    port: int,
    protocol: str,
) -> bool:
    if subject.namespace is not None:
        return True  # The release's policies are about its own namespace.
    about = [
        policy["spec"]
        for policy in objects.of("NetworkPolicy")
        if _selects(policy["spec"]["podSelector"], subject.labels)
        and way.capitalize() in policy["spec"]["policyTypes"]
    ]
    if not about:
        return True
    peers = "to" if way == "egress" else "from"
    return any(
        _matches_peer(rule.get(peers), other) and _matches_port(rule, target, port, protocol)
        for spec in about
        for rule in spec[way]
    )


def _matches_peer(peers: list[dict[str, Any]] | None, other: Peer) -> bool:
    if not peers:
        return True
    for peer in peers:
        if "ipBlock" in peer:
            continue
        in_namespace = (
            other.namespace is None
            if "namespaceSelector" not in peer
            else other is not OUTSIDE and _selects(peer["namespaceSelector"], other.namespace or {})
        )
        if in_namespace and _selects(peer.get("podSelector", {}), other.labels):
            return True
    return False


def _matches_port(rule: Mapping[str, Any], target: Peer, port: int, protocol: str) -> bool:
    return not rule.get("ports") or any(
        protocol == each["protocol"] and port in (each["port"], target.ports.get(each["port"]))
        for each in rule["ports"]
    )


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert not selector.keys() - {"matchLabels"}
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


@pytest.fixture(scope="module")
def objects(chart: Chart) -> Objects:
    """All that the chart can install, with its built-in servers."""
    return chart.render(EVERYTHING)


@pytest.mark.parametrize("component", ["api", "worker", "consumer", "operator"])
def test_services_reach_the_stores_that_they_need(objects: Objects, component: str) -> None:
    source = pod(objects, component)

    for store, port in (("redis-cache", 6379), ("redis-state", 6379), ("kafka", 9092)):
        assert reaches(objects, source, pod(objects, store), port)
    assert reaches(objects, source, OUTSIDE, 53, "UDP")


def test_the_workers_of_any_stream_have_the_same_rights(objects: Objects) -> None:
    labels = {**pod(objects, "worker").labels, "ai-eventstream.io/stream": "reviews"}
    other_stream = Peer(labels)

    assert reaches(objects, other_stream, pod(objects, "redis-state"), 6379)
    assert not reaches(objects, NEIGHBOUR, other_stream, 5000)


def test_models_are_reached_by_workers_and_the_api_server_by_the_operator(
    objects: Objects,
) -> None:
    assert reaches(objects, pod(objects, "worker"), OUTSIDE, 443)
    assert reaches(objects, pod(objects, "operator"), OUTSIDE, 443)
    assert not reaches(objects, pod(objects, "api"), OUTSIDE, 443)
    assert not reaches(objects, pod(objects, "consumer"), OUTSIDE, 443)


@pytest.mark.parametrize("stranger", [STRANGER, NEIGHBOUR, OUTSIDE])
def test_redis_is_closed_to_everybody_else(objects: Objects, stranger: Peer) -> None:
    for store in ("redis-cache", "redis-state"):
        assert not reaches(objects, stranger, pod(objects, store), 6379)


def test_the_stores_call_nobody(objects: Objects) -> None:
    for store in ("redis-cache", "redis-state", "kafka"):
        for port in (53, 443, 6379):
            assert not reaches(objects, pod(objects, store), OUTSIDE, port)


def test_the_api_is_open_inside_the_cluster_on_its_port_alone(objects: Objects) -> None:
    assert reaches(objects, STRANGER, pod(objects, "api"), 8000)
    assert not reaches(objects, STRANGER, pod(objects, "api"), 22)


def test_the_api_can_be_opened_to_some_only(chart: Chart) -> None:
    ours = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}}
    objects = chart.render({"networkPolicies": {"apiFrom": [ours]}})

    assert reaches(objects, STRANGER, pod(objects, "api"), 8000)
    assert reaches(objects, pod(objects, "test"), pod(objects, "api"), 8000)
    assert not reaches(objects, NEIGHBOUR, pod(objects, "api"), 8000)


def test_kafka_can_be_opened_to_some_only(chart: Chart) -> None:
    ours = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}}
    objects = chart.render({"networkPolicies": {"kafkaFrom": [ours]}})

    assert reaches(objects, STRANGER, pod(objects, "kafka"), 9092)
    assert reaches(objects, pod(objects, "consumer"), pod(objects, "kafka"), 9092)
    assert not reaches(objects, NEIGHBOUR, pod(objects, "kafka"), 9092)


def test_metrics_are_read_from_inside_the_cluster_only(objects: Objects) -> None:
    for component, port in (
        ("api", 9090),
        ("worker", 9090),
        ("consumer", 9090),
        ("operator", 8080),
    ):
        assert reaches(objects, STRANGER, pod(objects, component), port)
        assert not reaches(objects, OUTSIDE, pod(objects, component), port)


def test_nobody_reaches_redisinsight(objects: Objects) -> None:
    assert not reaches(objects, NEIGHBOUR, pod(objects, "redisinsight"), 5540)


def test_servers_of_your_own_are_reached_wherever_they_are(chart: Chart) -> None:
    objects = chart.render({"redis": {"state": {"url": "redis://10.0.0.7:7000/2"}}})

    for component in ("api", "worker", "consumer", "operator"):
        assert reaches(objects, pod(objects, component), OUTSIDE, 7000)


def test_other_ports_of_the_api_server_and_of_dns_can_be_named(chart: Chart) -> None:
    """MicroK8s' API server is on 16443; policies see the port of the pod behind DNS' Service."""
    ports = {"apiServerPorts": [16443], "dnsPorts": [53, 5353]}
    objects = chart.render({"networkPolicies": ports})

    operator = pod(objects, "operator")
    assert reaches(objects, operator, OUTSIDE, 16443)
    assert not reaches(objects, operator, OUTSIDE, 6443)
    for protocol in ("UDP", "TCP"):
        assert reaches(objects, pod(objects, "api"), OUTSIDE, 5353, protocol)
        assert reaches(objects, operator, OUTSIDE, 5353, protocol)
    assert not reaches(objects, pod(objects, "api"), OUTSIDE, 16443)


def test_the_switch_takes_them_all_away(chart: Chart) -> None:
    assert not chart.render({"networkPolicies": {"enabled": False}}).of("NetworkPolicy")

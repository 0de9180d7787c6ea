"""Least privilege: containers, tokens, roles, and where secrets may stand."""

from __future__ import annotations

import json
import re

import pytest

from tests.chart.helm import EVERYTHING, Chart, Objects, Refused, is_hook

WITH_A_TOKEN = {"Deployment/ai-operator", "Job/ai-crd-upgrade"}
SECRET_VARIABLE = re.compile(r"(_KEYS?|_TOKEN|_PASSWORD|_AUTH)$")


@pytest.fixture(scope="module")
def everything(chart: Chart) -> Objects:
    """All that the chart can install, hooks included."""
    return chart.render(EVERYTHING)


def test_every_container_is_hardened(everything: Objects) -> None:
    assert len(everything.pods()) == 11
    for name, pod in everything.pods().items():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}, name


def test_every_lasting_container_is_probed(everything: Objects) -> None:
    for each in everything.of("Deployment", "StatefulSet"):
        for container in each["spec"]["template"]["spec"]["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                assert probe in container, (each["metadata"]["name"], probe)


def test_only_who_talks_to_the_api_server_has_a_token(everything: Objects) -> None:
    for name, pod in everything.pods().items():
        assert pod["spec"]["automountServiceAccountToken"] is (name in WITH_A_TOKEN), name
        assert pod["spec"]["enableServiceLinks"] is False, name
    for account in everything.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_every_lasting_pod_has_a_service_account_of_its_own(everything: Objects) -> None:
    accounts = {
        name: pod["spec"]["serviceAccountName"]
        for name, pod in everything.pods().items()
        if name != "Pod/ai-test"
    }

    assert len(set(accounts.values())) == len(accounts)
    assert {("ServiceAccount", account) for account in accounts.values()} <= everything.names


def test_roles_have_no_wildcard_and_never_reach_a_secret(everything: Objects) -> None:
    roles = everything.of("Role", "ClusterRole")
    assert len(roles) == 2
    for role in roles:
        for rule in role["rules"]:
            words = rule["apiGroups"] + rule["resources"] + rule["verbs"]
            assert "*" not in "".join(words)
            assert not {"secrets", "serviceaccounts/token", "pods/exec"} & set(rule["resources"])
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_only_the_hook_reaches_beyond_its_namespace_and_only_to_one_object(chart: Chart) -> None:
    of_the_cluster = chart.render().of("ClusterRole", "ClusterRoleBinding")
    assert all(is_hook(each) for each in of_the_cluster)

    [role] = chart.render().of("ClusterRole")
    assert role["rules"] == [
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "resourceNames": ["eventstreams.ai-eventstream.io"],
            "verbs": ["get", "patch"],
        }
    ]
    without = chart.render({"crds": {"upgrade": False}})
    assert not without.of("Job", "ClusterRole", "ClusterRoleBinding")


def test_secrets_come_by_reference_only(everything: Objects) -> None:
    references = 0
    for name, pod in everything.pods().items():
        for container in pod["spec"]["containers"]:
            argv = json.dumps([container.get("command"), container.get("args")])
            assert "://" not in argv.replace("http://127.0.0.1:5540", ""), name
            for variable in container.get("env", []):
                # API_AUTH says whether keys are asked for; it is none.
                if SECRET_VARIABLE.search(variable["name"]) and variable["name"] != "API_AUTH":
                    references += 1
                    assert "secretKeyRef" in variable["valueFrom"], (name, variable["name"])
    assert references >= 8
    assert not everything.of("Secret")


def test_config_maps_hold_nothing_that_looks_like_a_secret(everything: Objects) -> None:
    for each in everything.of("ConfigMap"):
        for key in each["data"]:
            assert not SECRET_VARIABLE.search(key), each["metadata"]["name"]
    settings = everything.one("ConfigMap", "ai-settings")["data"]
    assert not [name for name in settings if name.endswith("_URL")]


def test_with_keys_the_api_asks_for_them_and_without_it_stays_inside(chart: Chart) -> None:
    closed = chart.render({"api": {"keys": {"existingSecret": "api-keys"}}})
    environment = closed.environment("Deployment", "ai-api")
    assert environment["API_AUTH"] == "keys"
    assert environment["API_KEYS"] == {"secretKeyRef": {"name": "api-keys", "key": "API_KEYS"}}

    opened = chart.render()
    assert opened.environment("Deployment", "ai-api")["API_AUTH"] == "none"
    assert {service["spec"]["type"] for service in opened.of("Service")} == {"ClusterIP"}
    assert not opened.of("Ingress")


def test_the_ingress_refuses_to_open_without_keys(chart: Chart) -> None:
    with pytest.raises(Refused, match=r"no API key is set(.|\n)*--set api\.keys\.existingSecret"):
        chart.render({"ingress": {"enabled": True}})


def test_flower_refuses_to_start_without_a_log_in(chart: Chart) -> None:
    with pytest.raises(Refused, match=r"log-in only(.|\n)*--set flower\.existingSecret"):
        chart.render({"flower": {"enabled": True}})


def test_redisinsight_is_reached_by_port_forward_only(everything: Objects) -> None:
    environment = everything.environment("Deployment", "ai-redisinsight")

    assert environment["RI_APP_HOST"] == "127.0.0.1"
    assert ("Service", "ai-redisinsight") not in everything.names


def test_metrics_ports_are_in_no_service_and_no_ingress(everything: Objects) -> None:
    for service in everything.of("Service"):
        for port in service["spec"]["ports"]:
            assert port["targetPort"] != "metrics"
            assert port["port"] not in (9090, 8080)

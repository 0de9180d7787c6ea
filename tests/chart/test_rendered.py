"""What an install consists of, and what the switches change."""

from __future__ import annotations

import math
from typing import Any

import pytest

from eventstream.spec import StreamSpec, default_stream
from eventstream.stream_files import EventStreamResource
from eventstream_operator.resources.deployments import build_deployment
from tests.chart.helm import EVERYTHING, ROOT, Chart, Objects, Refused, is_hook

SCALED_BY_THE_OPERATOR = {"ai-api", "ai-worker", "ai-consumer"}


def test_with_no_values_set_the_whole_system_is_installed(chart: Chart) -> None:
    names = chart.render().names

    assert {name for kind, name in names if kind == "Deployment"} == {
        "ai-api",
        "ai-worker",
        "ai-consumer",
        "ai-operator",
    }
    assert {name for kind, name in names if kind == "StatefulSet"} == {
        "ai-redis-cache",
        "ai-redis-state",
        "ai-kafka",
    }
    assert ("EventStream", "default") in names
    assert ("Pod", "ai-test") in names


def test_the_default_stream_has_the_documented_topics_and_triggers(chart: Chart) -> None:
    stream = chart.render().one("EventStream", "default")

    spec = EventStreamResource.model_validate(stream).spec
    assert not is_hook(stream)
    assert spec.source == default_stream().source
    assert spec.sink == default_stream().sink
    assert spec.dead_letter_topic == "datos_crudos.dlq"
    assert spec.scaling.workers.queue_length == 100
    assert spec.scaling.api is not None
    assert spec.scaling.api.cpu_percent == 80
    assert spec.cache.min_hit_rate_percent == 50


def test_replicas_belong_to_the_operator_where_it_scales(chart: Chart) -> None:
    for each in chart.render(EVERYTHING).of("Deployment", "StatefulSet"):
        scaled = each["metadata"]["name"] in SCALED_BY_THE_OPERATOR
        assert ("replicas" in each["spec"]) is not scaled, each["metadata"]["name"]


def test_the_operator_finds_pod_templates_and_the_apis_owner(chart: Chart) -> None:
    objects = chart.render()

    for role in ("worker", "consumer"):
        metadata = objects.one("Deployment", f"ai-{role}")["metadata"]
        assert metadata["labels"]["ai-eventstream.io/template"] == role
        assert metadata["labels"]["ai-eventstream.io/stream"] == "default"
        pod = objects.pods()[f"Deployment/ai-{role}"]
        assert [container["name"] for container in pod["spec"]["containers"]] == [role]
        assert pod["metadata"]["labels"]["ai-eventstream.io/stream"] == "default"
    api = objects.one("Deployment", "ai-api")["metadata"]
    assert api["annotations"]["ai-eventstream.io/scaled-by"] == "default"


def test_the_operator_is_one_and_goes_before_the_next_comes(chart: Chart) -> None:
    objects = chart.render()

    operator = objects.one("Deployment", "ai-operator")["spec"]
    assert operator["replicas"] == 1
    assert operator["strategy"] == {"type": "Recreate"}
    environment = objects.environment("Deployment", "ai-operator")
    assert environment["WATCH_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    labels = dict(pair.split("=") for pair in environment["WATCH_SELECTOR"].split(","))
    for name in ("ai-api", "ai-worker", "ai-consumer"):
        deployment = objects.one("Deployment", name)["metadata"]["labels"]
        assert labels.items() <= deployment.items()
        assert labels.items() <= objects.pods()[f"Deployment/{name}"]["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("values", "gone", "variable", "address"),
    [
        (
            {"redis": {"cache": {"url": "redis://mine:6379/0"}}},
            "ai-redis-cache",
            "REDIS_URL",
            "redis://mine:6379/0",
        ),
        (
            {"redis": {"state": {"url": "rediss://mine:6380/2?ssl_cert_reqs=required"}}},
            "ai-redis-state",
            "CELERY_BROKER_URL",
            "rediss://mine:6380/1?ssl_cert_reqs=required",
        ),
        (
            {"redis": {"state": {"url": "sentinel://a:26379,b:26379/mymaster/2"}}},
            "ai-redis-state",
            "CELERY_BROKER_URL",
            "sentinel://a:26379,b:26379/mymaster/1",
        ),
        (
            {"redis": {"state": {"existingSecret": "state"}}},
            "ai-redis-state",
            "CELERY_RESULT_BACKEND",
            {"secretKeyRef": {"name": "state", "key": "url"}},
        ),
        (
            {"kafka": {"bootstrapServers": "kafka-0:9092"}},
            "ai-kafka",
            "KAFKA_BOOTSTRAP_SERVERS",
            "kafka-0:9092",
        ),
    ],
)
def test_naming_a_server_of_your_own_switches_the_built_in_one_off(
    chart: Chart, values: dict[str, Any], gone: str, variable: str, address: object
) -> None:
    objects = chart.render(values)

    assert gone not in {name for _, name in objects.names}
    for name in ("ai-api", "ai-worker", "ai-consumer", "ai-operator"):
        assert objects.environment("Deployment", name)[variable] == address


def test_the_built_in_servers_are_found_by_name(chart: Chart) -> None:
    environment = chart.render().environment("Deployment", "ai-worker")

    assert environment["REDIS_URL"] == "redis://ai-redis-cache.ai.svc:6379/0"
    assert environment["CELERY_BROKER_URL"] == "redis://ai-redis-state.ai.svc:6379/1"
    assert environment["CELERY_RESULT_BACKEND"] == "redis://ai-redis-state.ai.svc:6379/2"
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == "ai-kafka.ai.svc:9092"


def test_without_kafka_events_come_in_through_http_only(chart: Chart) -> None:
    objects = chart.render({"kafka": {"enabled": False}})

    assert not [name for _, name in objects.names if "kafka" in name or "consumer" in name]
    assert "source" not in objects.one("EventStream", "default")["spec"]
    [test] = objects.pods()["Pod/ai-test"]["spec"]["containers"]
    assert "--kafka" not in test["command"][-1]


def test_volumes_are_of_the_default_class_and_can_be_left_out(chart: Chart) -> None:
    for each in chart.render().of("StatefulSet"):
        [claim] = each["spec"]["volumeClaimTemplates"]
        assert "storageClassName" not in claim["spec"]

    for each in chart.render({"persistence": {"enabled": False}}).of("StatefulSet"):
        assert "volumeClaimTemplates" not in each["spec"]


def option(container: dict[str, Any], name: str) -> str:
    """What follows `name` among a container's arguments."""
    arguments: list[str] = container["args"]
    return arguments[arguments.index(name) + 1]


def test_the_cache_evicts_and_the_inbox_does_not(chart: Chart) -> None:
    pods = chart.render().pods()

    [cache] = pods["StatefulSet/ai-redis-cache"]["spec"]["containers"]
    [state] = pods["StatefulSet/ai-redis-state"]["spec"]["containers"]
    assert option(cache, "--maxmemory-policy") == "allkeys-lfu"
    assert option(state, "--maxmemory-policy") == "noeviction"
    # Only the image's own entry point loads the search module.
    assert "command" not in cache


def test_redis_refuses_or_evicts_before_the_kernel_kills_it(chart: Chart) -> None:
    """A rewrite of its log may need as much again."""
    pods = chart.render().pods()
    for name in ("ai-redis-cache", "ai-redis-state"):
        [server] = pods[f"StatefulSet/{name}"]["spec"]["containers"]
        limit = {"1Gi": 2**30, "2Gi": 2**31}[server["resources"]["limits"]["memory"]]
        held = {"512mb": 2**29, "900mb": 900 * 2**20}[option(server, "--maxmemory")]
        assert 2 * held <= limit


def test_a_larger_redis_is_two_values(chart: Chart) -> None:
    larger = {"maxMemory": "4gb", "resources": {"limits": {"memory": "8Gi"}}}
    pods = chart.render({"redis": {"state": larger}}).pods()

    [state] = pods["StatefulSet/ai-redis-state"]["spec"]["containers"]
    assert option(state, "--maxmemory") == "4gb"


def test_a_changed_setting_rolls_the_pods_that_read_it(chart: Chart) -> None:
    def checksums(values: dict[str, Any]) -> dict[str, str]:
        pods = chart.render(values).pods()
        return {
            name: pods[f"Deployment/{name}"]["metadata"]["annotations"]["checksum/settings"]
            for name in ("ai-api", "ai-worker", "ai-consumer", "ai-operator")
        }

    before = checksums({})
    after = checksums({"settings": {"LOG_LEVEL": "DEBUG"}})

    assert all(before[name] != after[name] for name in before)


def test_large_numbers_stay_numbers(chart: Chart) -> None:
    settings = {"API_MAX_BODY_BYTES": 4_000_000, "SEMANTIC_SIMILARITY_THRESHOLD": 0.85}
    held = chart.render({"settings": settings}).one("ConfigMap", "ai-settings")["data"]

    assert held["API_MAX_BODY_BYTES"] == "4000000"
    assert held["SEMANTIC_SIMILARITY_THRESHOLD"] == "0.85"


def test_one_value_names_the_registry_of_the_images(chart: Chart) -> None:
    values = {"images": {"registry": "registry.example.com/team", "tag": "1.2.3"}}
    pods = chart.render(values).pods()

    images = {name: pod["spec"]["containers"][0]["image"] for name, pod in pods.items()}
    assert images["Deployment/ai-api"] == "registry.example.com/team/api:1.2.3"
    assert images["Deployment/ai-worker"] == "registry.example.com/team/worker:1.2.3"
    assert images["Deployment/ai-consumer"] == "registry.example.com/team/worker:1.2.3"
    assert images["Deployment/ai-operator"] == "registry.example.com/team/operator:1.2.3"
    assert images["Job/ai-crd-upgrade"] == "registry.example.com/team/operator:1.2.3"


def test_pod_settings_reach_every_pod_and_a_components_own_rule_over_them(chart: Chart) -> None:
    values = {
        "images": {"pullSecrets": [{"name": "pull"}]},
        "pods": {
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "priorityClassName": "high",
            "labels": {"team": "texts"},
            "annotations": {"note": "ours"},
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        },
        "worker": {"pod": {"nodeSelector": {"disk": "none"}}},
    }
    objects = chart.render({**EVERYTHING, **values})

    for name, pod in objects.pods().items():
        expected = "none" if name == "Deployment/ai-worker" else "ssd"
        assert pod["spec"]["nodeSelector"] == {"disk": expected}, name
        assert pod["spec"]["priorityClassName"] == "high"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "pull"}]
        assert pod["metadata"]["labels"]["team"] == "texts"
    for name in ("ai-api", "ai-worker", "ai-consumer", "ai-operator"):
        assert objects.environment("Deployment", name)["HTTPS_PROXY"] == "http://proxy:3128"


def container(objects: Objects, name: str) -> dict[str, Any]:
    """The one container of `Kind/name`."""
    [found] = objects.pods()[name]["spec"]["containers"]
    return dict(found)


def test_a_components_own_variable_or_volume_takes_the_place_of_that_of_all_pods(
    chart: Chart,
) -> None:
    """A name that stands twice is taken by helm, and refused when the operator applies the copy."""
    ours = {"name": "ca", "configMap": {"name": "ours"}}
    values = {
        "pods": {
            "extraEnv": [
                {"name": "LOG_LEVEL", "value": "INFO"},
                {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
            ],
            "extraVolumes": [{"name": "ca", "configMap": {"name": "all"}}],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        },
        "worker": {
            "pod": {
                "extraEnv": [{"name": "LOG_LEVEL", "value": "DEBUG"}],
                "extraVolumes": [ours],
                "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
            }
        },
    }
    objects = chart.render(values)

    worker = container(objects, "Deployment/ai-worker")
    added = [one for one in worker["env"] if one["name"] in ("LOG_LEVEL", "HTTPS_PROXY")]
    assert added == [
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
        {"name": "LOG_LEVEL", "value": "DEBUG"},
    ]
    volumes = objects.pods()["Deployment/ai-worker"]["spec"]["volumes"]
    assert [one for one in volumes if one["name"] == "ca"] == [ours]
    mounts = [one for one in worker["volumeMounts"] if one["mountPath"] == "/ca"]
    assert mounts == [{"name": "ca", "mountPath": "/ca", "readOnly": True}]
    assert objects.environment("Deployment", "ai-consumer")["LOG_LEVEL"] == "INFO"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"pods": {"extraEnv": [{"name": "REDIS_URL", "value": "redis://mine:6379/0"}]}},
            "pods.extraEnv or api.pod.extraEnv names REDIS_URL",
        ),
        (
            {
                "kafka": {"existingSecret": "kafka"},
                "consumer": {"pod": {"extraEnv": [{"name": "KAFKA_SASL_PASSWORD", "value": "x"}]}},
            },
            "pods.extraEnv or consumer.pod.extraEnv names KAFKA_SASL_PASSWORD",
        ),
        (
            {"worker": {"pod": {"extraEnv": [{"name": "WORKER_STREAMS", "value": "reviews"}]}}},
            "pods.extraEnv or worker.pod.extraEnv names WORKER_STREAMS",
        ),
        (
            {"operator": {"pod": {"extraEnv": [{"name": "METRICS_PORT", "value": "1"}]}}},
            "pods.extraEnv or operator.pod.extraEnv names METRICS_PORT",
        ),
    ],
)
def test_a_variable_that_the_chart_sets_itself_is_refused_by_name(
    chart: Chart, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused) as refusal:
        chart.render(values)

    assert said in str(refusal.value)


def test_a_certificate_of_your_own_reaches_everything_that_speaks_to_your_stores(
    chart: Chart,
) -> None:
    variable = {"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}
    volume = {"name": "ca", "configMap": {"name": "ca"}}
    mount = {"name": "ca", "mountPath": "/ca", "readOnly": True}
    pods = {"extraEnv": [variable], "extraVolumes": [volume], "extraVolumeMounts": [mount]}
    objects = chart.render({**EVERYTHING, "pods": pods})

    speaking = [
        name
        for name in objects.pods()
        if "REDIS_URL" in {one["name"] for one in container(objects, name).get("env", ())}
    ]
    assert {"Deployment/ai-worker", "Deployment/ai-flower", "Pod/ai-test"} <= set(speaking)
    for name in speaking:
        own = container(objects, name)
        assert variable in own["env"], name
        assert mount in own["volumeMounts"], name
        assert volume in objects.pods()[name]["spec"]["volumes"], name


def test_a_variable_that_the_chart_leaves_alone_may_come_from_anywhere(chart: Chart) -> None:
    key = {"name": "OPENAI_API_KEY", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "k"}}}
    objects = chart.render({"worker": {"pod": {"extraEnv": [key]}}})

    assert objects.environment("Deployment", "ai-worker")["OPENAI_API_KEY"] == key["valueFrom"]


def test_pods_are_spread_over_nodes_unless_told_otherwise(chart: Chart) -> None:
    spread = chart.render().pods()["Deployment/ai-worker"]["spec"]["topologySpreadConstraints"]
    assert spread[0]["topologyKey"] == "kubernetes.io/hostname"

    none = chart.render({"pods": {"topologySpreadConstraints": []}}).pods()["Deployment/ai-worker"]
    assert "topologySpreadConstraints" not in none["spec"]


def test_a_worker_has_the_time_that_it_was_promised(chart: Chart) -> None:
    objects = chart.render({"worker": {"shutdownSeconds": 90}})

    assert objects.environment("Deployment", "ai-worker")["WORKER_SHUTDOWN_SECONDS"] == "90"
    pod = objects.pods()["Deployment/ai-worker"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > 90 + 5


def test_the_stream_says_how_large_its_workers_are(chart: Chart) -> None:
    resources = {"requests": {"cpu": "2", "memory": "1Gi"}}
    spec = {
        "scaling": {"workers": {"concurrency": 8, "resources": resources}},
        "model": {"apiKeyFrom": {"secret": "openai", "key": "token"}},
    }
    objects = chart.render({"defaultStream": {"spec": spec}})

    [worker] = objects.pods()["Deployment/ai-worker"]["spec"]["containers"]
    environment = objects.environment("Deployment", "ai-worker")
    assert worker["resources"] == resources
    assert environment["WORKER_CONCURRENCY"] == "8"
    assert environment["EVENTSTREAM_STREAM_API_KEY"] == {
        "secretKeyRef": {"name": "openai", "key": "token"}
    }


def test_streams_that_name_no_resources_get_those_of_the_values(chart: Chart) -> None:
    """And not those of `default`, which are in the pod template that theirs are made from."""
    large = {"requests": {"cpu": "2", "memory": "16Gi"}}
    values = {
        "defaultStream": {"spec": {"scaling": {"workers": {"resources": large}}}},
        "worker": {"resources": {"requests": {"cpu": "300m", "memory": "512Mi"}}},
    }
    template = chart.render(values).one("Deployment", "ai-worker")

    def resources(**workers: Any) -> dict[str, Any]:
        body = build_deployment(
            template,
            role="worker",
            stream="reviews",
            stream_uid="u",
            spec=StreamSpec.model_validate({"scaling": {"workers": workers}}),
        )
        found: dict[str, Any] = body["spec"]["template"]["spec"]["containers"][0]["resources"]
        return found

    assert template["spec"]["template"]["spec"]["containers"][0]["resources"] == large
    assert resources() == {
        "requests": {"cpu": "300m", "memory": "512Mi"},
        "limits": {"memory": "1536Mi"},
    }
    assert resources(resources={"requests": {"cpu": "1"}}) == {"requests": {"cpu": "1"}}


def test_a_second_release_in_another_namespace_shares_nothing_of_the_cluster(chart: Chart) -> None:
    def of_the_cluster(namespace: str) -> set[tuple[str, str]]:
        objects = chart.render(release="ai", namespace=namespace)
        return {name for name in objects.names if name[0].startswith("Cluster")}

    assert of_the_cluster("one")
    assert not of_the_cluster("one") & of_the_cluster("two")


def test_every_selector_finds_its_own_pods_and_no_others(chart: Chart) -> None:
    objects = chart.render(EVERYTHING)
    pods = {name: pod["metadata"]["labels"].items() for name, pod in objects.pods().items()}

    for each in objects.of("Deployment", "StatefulSet"):
        selector = each["spec"]["selector"]["matchLabels"].items()
        found = [name for name, labels in pods.items() if selector <= labels]
        assert found == [f"{each['kind']}/{each['metadata']['name']}"]
    for service in objects.of("Service"):
        selector = service["spec"]["selector"].items()
        assert len([1 for labels in pods.values() if selector <= labels]) == 1
    for budget in objects.of("PodDisruptionBudget"):
        selector = budget["spec"]["selector"]["matchLabels"].items()
        assert len([1 for labels in pods.values() if selector <= labels]) == 1


def may_be_away(budget: str | int, pods: int) -> int:
    """How many of so many pods a budget lets be away, as Kubernetes counts them."""
    if isinstance(budget, int):
        return budget
    return math.ceil(int(budget.removesuffix("%")) * pods / 100)


def budgets(objects: Objects) -> dict[str, str | int]:
    """Name -> how many pods may be away."""
    return {
        each["metadata"]["name"]: each["spec"]["maxUnavailable"]
        for each in objects.of("PodDisruptionBudget")
    }


def test_one_stream_whose_pods_do_not_come_up_holds_up_no_drain(chart: Chart) -> None:
    """Workers, and consumers, of all streams share a budget: one that is broken must leave some."""
    found = budgets(chart.render())
    for name in ("ai-worker", "ai-consumer"):
        budget = found[name]
        for pods in range(2, 50):
            assert may_be_away(budget, pods) > 1, (name, pods)
        for pods in range(3, 50):
            assert may_be_away(budget, pods) < pods, "a drain must not take all of them at once"
        # A single one may go as well, or its node could never be drained.
        assert may_be_away(budget, 1) == 1


def test_of_everything_else_one_pod_goes_at_a_time(chart: Chart) -> None:
    others = {
        name: budget
        for name, budget in budgets(chart.render()).items()
        if name not in ("ai-worker", "ai-consumer")
    }

    assert others == dict.fromkeys(
        ("ai-api", "ai-operator", "ai-redis-cache", "ai-redis-state", "ai-kafka"), 1
    )


@pytest.mark.parametrize("share", [1, "25%"])
def test_how_many_workers_and_consumers_a_drain_may_take_is_yours_to_say(
    chart: Chart, share: str | int
) -> None:
    found = budgets(chart.render({"podDisruptionBudgets": {"maxUnavailable": share}}))

    assert found["ai-worker"] == found["ai-consumer"] == share
    assert found["ai-api"] == 1


def test_the_page_about_kubernetes_states_the_operators_role(chart: Chart) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    [row] = [line for line in page.splitlines() if line.startswith("| Its Role |")]

    for rule in chart.render().one("Role", "ai-operator")["rules"]:
        for resource in rule["resources"]:
            assert resource.partition("/")[0] in row
        for name in rule.get("resourceNames", []):
            assert f"`{name}`" in row

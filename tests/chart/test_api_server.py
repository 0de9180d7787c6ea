"""What a real API server says to the chart, the resource definition and its upgrade."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from eventstream.crd import custom_resource_definition
from eventstream.inbox import Inbox
from eventstream.keys import RESERVED_STREAM_NAMES
from eventstream.spec import StreamSpec
from eventstream_operator.resources.deployments import build_deployment
from tests.chart.helm import CHART, EVERYTHING, ROOT, Chart, Objects, is_hook
from tests.chart.scripts import load
from tests.cluster.harness.cluster import Cluster, client_environment
from tests.cluster.harness.errors import CommandFailed
from tests.cluster.operator_runner import Namespace, Operator, wait_for, wait_in_line

CRD = CHART / "crds" / "eventstreams.yaml"
CRD_NAME = "eventstreams.ai-eventstream.io"
# Kinds of an operator that this cluster does not have.
FOREIGN = ("PodMonitor", "PrometheusRule")


@pytest.fixture(scope="module")
def cluster(control_plane: Cluster) -> Cluster:
    """A cluster that knows EventStreams."""
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    control_plane.wait_established(CRD_NAME)
    return control_plane


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"chart-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def stream(spec: dict[str, Any], name: str = "tried") -> str:
    """An EventStream as kubectl takes it."""
    return json.dumps(
        {
            "apiVersion": "ai-eventstream.io/v1alpha1",
            "kind": "EventStream",
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def as_list(objects: Objects) -> str:
    """Objects as one document for kubectl, without what this cluster can't know."""
    items = [each for each in objects if each["kind"] not in FOREIGN]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def test_the_api_server_takes_every_object_strictly(
    cluster: Cluster, chart: Chart, namespace: str
) -> None:
    objects = chart.render(EVERYTHING, namespace=namespace)

    said = cluster.kubectl(
        *("apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-"),
        stdin=as_list(objects),
    )

    taken = [each for each in objects if each["kind"] not in FOREIGN]
    assert said.count("(server dry run)") == len(taken)


def test_the_copy_for_another_stream_is_applied_where_a_variable_is_overridden(
    cluster: Cluster, chart: Chart, namespace: str
) -> None:
    """A name that stands twice passes a create and is refused in an apply."""
    values = {
        "pods": {"extraEnv": [{"name": "LOG_LEVEL", "value": "INFO"}]},
        "worker": {"pod": {"extraEnv": [{"name": "LOG_LEVEL", "value": "DEBUG"}]}},
    }
    template = chart.render(values, namespace=namespace).one("Deployment", "ai-worker")
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(template))
    held = json.loads(cluster.kubectl("get", "deploy", "ai-worker", "-n", namespace, "-o", "json"))

    copied = build_deployment(
        held, role="worker", stream="reviews", stream_uid="u", spec=StreamSpec()
    )
    cluster.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=json.dumps(copied))


@pytest.mark.parametrize("path", sorted((ROOT / "k8s" / "examples").glob("*.yaml")), ids=str)
def test_the_examples_are_accepted(cluster: Cluster, namespace: str, path: Path) -> None:
    cluster.kubectl("apply", "--validate=strict", "-n", namespace, "-f", str(path))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"scaling": {"workers": {"min": 5, "max": 2}}}, "min must not be above max"),
        ({"scaling": {"workers": {"min": 11}}}, "min must not be above max"),
        ({"scaling": {"api": {"min": 11}}}, "min must not be above max"),
        ({"source": {"topic": "a"}, "sink": {"topic": "a"}}, "must be different topics"),
        ({"source": {"topic": "a"}, "deadLetter": {"topic": "a"}}, "must be different topics"),
        ({"sink": {"topic": "a"}, "deadLetter": {"topic": "a"}}, "must be different topics"),
        ({"source": {"topic": "a"}, "sink": {"topic": "a.dlq"}}, "name another, or set deadLetter"),
        ({"source": {"topic": ".."}}, "Kafka has no topic of this name"),
        ({"source": {"topic": "a" * 246}}, "longer than a topic's name may be: set deadLetter"),
        ({"task": {"type": "triage"}}, "a type of your own needs a prompt"),
        ({"task": {"type": "triage", "prompt": ""}}, "a type of your own needs a prompt"),
        ({"task": {"labels": ["yes", "no", "Yes"]}}, "every label must be named once"),
        ({"model": {"provider": "compatible", "name": "m"}}, "needs baseUrl and name"),
        ({"model": {"apiKeyFrom": {"secret": "s"}}}, "name either secret and key, or env"),
        ({"model": {"apiKeyFrom": {}}}, "name either secret and key, or env"),
        (
            {"model": {"apiKeyFrom": {"secret": "s", "key": "k", "env": "E"}}},
            "name either secret and key, or env",
        ),
        ({"limits": {"budget": {"usd": 0}}}, "should be greater than 0"),
        ({"cache": {"policy": "wild"}}, 'Unsupported value: "wild"'),
        ({"scaling": {"workers": {"maximum": 3}}}, 'unknown field "spec.scaling.workers.maximum"'),
        (
            {"scaling": {"workers": {"resources": {"requests": {"cpu": "two"}}}}},
            "spec.scaling.workers.resources.requests.cpu",
        ),
    ],
)
def test_a_wrong_spec_is_refused_with_a_sentence(
    cluster: Cluster, namespace: str, spec: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CommandFailed) as refusal:
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=stream(spec))

    assert sentence in refusal.value.output


def test_a_name_that_could_be_no_label_is_refused(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(CommandFailed, match="at most 63 characters"):
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=stream({}, "a.b"))


@pytest.mark.parametrize("name", RESERVED_STREAM_NAMES)
def test_a_name_that_is_a_redis_key_is_refused(cluster: Cluster, namespace: str, name: str) -> None:
    with pytest.raises(CommandFailed, match="these are Redis"):
        cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=stream({}, name))


def test_an_upgrade_takes_no_stream_of_such_a_name_away(cluster: Cluster, namespace: str) -> None:
    earlier = custom_resource_definition()
    [version] = earlier["spec"]["versions"]
    rules = version["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]
    rules[:] = [rule for rule in rules if "reserved" not in rule["message"]]
    here = ("-n", namespace)
    apply = ("apply", "--server-side", "--force-conflicts", "-f")

    cluster.kubectl(*apply, "-", stdin=json.dumps(earlier))
    wait_for("earlier definition", lambda: created(cluster, namespace, "workers"))
    cluster.kubectl(*apply, str(CRD))
    wait_for("definition of now", lambda: not created(cluster, namespace, "streams"))

    status = json.dumps({"status": {"phase": "Running"}})
    cluster.kubectl(
        *("patch", "es", "workers", *here, "--subresource=status", "--type=merge", "-p", status)
    )
    spec = json.dumps({"spec": {"task": {"type": "summarization"}}})
    cluster.kubectl("patch", "es", "workers", *here, "--type=merge", "-p", spec)


def created(cluster: Cluster, namespace: str, name: str) -> bool:
    """Whether the API server would take a stream of this name; it is created."""
    cluster.kubectl("delete", "es", name, "-n", namespace, "--ignore-not-found")
    try:
        cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=stream({}, name))
    except CommandFailed:
        return False
    return True


def test_an_empty_spec_is_filled_in_and_the_list_shows_the_status(
    cluster: Cluster, namespace: str
) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=stream({}))
    status = {
        "phase": "Running",
        "backlog": 840,
        "lag": 198,
        "reason": "ScaledOut",
        "hitRate": "61 %",
        "workers": {"ready": 3, "desired": 6, "summary": "3/6"},
        "memory": {"samples": [[1.5, 2]]},
    }
    patch = json.dumps({"status": status})
    cluster.kubectl(
        *("patch", "es", "tried", "-n", namespace, "--subresource=status", "--type=merge"),
        *("-p", patch),
    )

    stored = json.loads(cluster.kubectl("get", "es", "tried", "-n", namespace, "-o", "json"))
    shown = cluster.kubectl("get", "eventstreams", "-n", namespace).splitlines()

    assert stored["spec"]["scaling"]["workers"]["queueLength"] == 100
    assert stored["spec"]["cache"]["policy"] == "guarded"
    assert stored["status"]["memory"] == {"samples": [[1.5, 2]]}
    assert " ".join(shown[0].split()) == "NAME PHASE BACKLOG LAG WORKERS HIT RATE REASON AGE"
    assert " ".join(shown[1].split()).startswith("tried Running 840 198 3/6 61 % ScaledOut ")
    assert "tried" in cluster.kubectl("get", "all", "-n", namespace)


def test_without_a_storage_class_the_install_says_so_and_with_one_it_goes_on(
    cluster: Cluster, namespace: str
) -> None:
    install = ("install", "ai", str(CHART), "-n", namespace, "--dry-run=server", "--skip-crds")
    with pytest.raises(CommandFailed) as refusal:
        cluster.helm(*install)
    assert "no default StorageClass" in refusal.value.output
    assert "--set persistence.enabled=false" in refusal.value.output

    for way_out in ("persistence.enabled=false", "persistence.storageClass=fast"):
        assert "NOTES:" in cluster.helm(*install, "--set", way_out)
    a_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "standard",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "example.com/none",
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(a_class))
    try:
        assert "helm test ai" in cluster.helm(*install)
    finally:
        cluster.kubectl("delete", "storageclass", "standard")


def test_a_named_secret_that_is_not_there_is_said_before_anything_is_installed(
    cluster: Cluster, namespace: str
) -> None:
    install = ("install", "ai", str(CHART), "-n", namespace, "--dry-run=server", "--skip-crds")
    keys = ("--set", "persistence.enabled=false", "--set", "models.existingSecret=model-keys")
    with pytest.raises(CommandFailed) as refusal:
        cluster.helm(*install, *keys)
    assert f"no Secret model-keys in namespace {namespace}" in refusal.value.output
    assert "models.existingSecret" in refusal.value.output
    assert "kubectl create secret generic model-keys" in refusal.value.output

    secret = ("create", "secret", "generic", "model-keys", "-n", namespace)
    cluster.kubectl(*secret, "--from-literal=OPENAI_KEY=mistyped")
    with pytest.raises(CommandFailed, match="has none of these keys: OPENAI_API_KEY"):
        cluster.helm(*install, *keys)

    cluster.kubectl("delete", "secret", "model-keys", "-n", namespace)
    cluster.kubectl(*secret, "--from-literal=OPENAI_API_KEY=right")
    assert "whose key is in Secret model-keys" in cluster.helm(*install, *keys)


def test_install_scale_upgrade_roll_back_and_uninstall(cluster: Cluster, namespace: str) -> None:
    def replicas() -> str:
        path = "jsonpath={.spec.replicas}"
        return cluster.kubectl("get", "deploy", "ai-worker", "-n", namespace, "-o", path)

    def release(*arguments: str) -> None:
        common = ("-n", namespace, "--set", "persistence.enabled=false")
        cluster.helm(*arguments, *common, "--set", "crds.upgrade=false")

    release("install", "ai", str(CHART))
    with pytest.raises(CommandFailed, match=f"Release ai serves namespace {namespace} already"):
        release("install", "second", str(CHART))
    cluster.kubectl("scale", "deploy/ai-worker", "--replicas=10", "-n", namespace)

    release("upgrade", "ai", str(CHART), "--set", "settings.LOG_LEVEL=DEBUG")
    assert replicas() == "10"
    cluster.helm("rollback", "ai", "1", "-n", namespace)
    assert replicas() == "10"

    uid = cluster.kubectl("get", "es", "default", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
    assert uid
    cluster.helm("uninstall", "ai", "-n", namespace)
    assert "default" not in cluster.kubectl("get", "es", "-n", namespace)
    release("install", "other", str(CHART))
    assert "other-worker" in cluster.kubectl("get", "deploy", "-n", namespace)
    cluster.helm("uninstall", "other", "-n", namespace)
    assert CRD_NAME in cluster.kubectl("get", "crd", CRD_NAME)


class Watched:
    """What a watch of one Deployment sees, from its start on."""

    def __init__(self, cluster: Cluster, namespace: str, deployment: str, log: Path) -> None:
        path = "jsonpath={.metadata.generation} {.spec.replicas}{'\\n'}"
        watch = ("get", "deploy", deployment, "-n", namespace, "-w", "-o", path)
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [cluster.layout.program("kubectl"), *watch],
                env=client_environment(cluster.layout),
                stdout=output,
            )

    def __enter__(self) -> Watched:
        wait_for("first look", lambda: bool(self.seen))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    @property
    def seen(self) -> list[tuple[int, int]]:
        """(generation, replicas), each time that the Deployment changed."""
        # kubectl may be in the middle of a line.
        text = self._log.read_text()
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


async def test_an_upgrade_and_a_rollback_keep_the_ten_that_the_operator_set(
    cluster: Cluster, namespace: str, cache_url: str, prefix: str, inbox: Inbox, tmp_path: Path
) -> None:
    common = ("-n", namespace, "--set", "persistence.enabled=false", "--set", "crds.upgrade=false")
    passes = "eventstream_operator_pass_seconds_count"
    cluster.helm("install", "ai", str(CHART), *common)
    await wait_in_line(inbox, "default", 5_000)
    place = Namespace(cluster, namespace)
    with Operator(place, cache_url, prefix, tmp_path / "operator.log") as operator:
        wait_for("ten workers", lambda: place.replicas("ai-worker") == 10)
        scaled = operator.metric("eventstream_operator_scaled_total")
        with Watched(cluster, namespace, "ai-worker", tmp_path / "watch.log") as watched:
            begun, _ = watched.seen[0]
            cluster.helm(
                *("upgrade", "ai", str(CHART), *common, "--set", "settings.LOG_LEVEL=DEBUG")
            )
            wait_for("roll-out of the upgrade", lambda: watched.seen[-1][0] > begun)
            upgraded, _ = watched.seen[-1]
            cluster.helm("rollback", "ai", "1", "-n", namespace)
            wait_for("roll-out of the rollback", lambda: watched.seen[-1][0] > upgraded)
            # Two more passes, that had every occasion to do something.
            done = operator.metric(passes)
            wait_for("passes", lambda: operator.metric(passes) >= done + 2)
            assert {replicas for _, replicas in watched.seen} == {10}
        # Nobody had to put right what an upgrade had changed.
        assert operator.metric("eventstream_operator_scaled_total") == scaled


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    """The script that the pre-upgrade Job runs."""
    return load(CHART / "files" / "apply_crd.py")


def api_as_the_hook(
    cluster: Cluster, chart: Chart, namespace: str, hook: ModuleType, folder: Path
) -> Any:
    """The API server as the Job sees it: with the token of the chart's own service account."""
    needed = [
        each
        for each in chart.render(namespace=namespace)
        if is_hook(each) and each["kind"] in ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")
    ]
    cluster.kubectl(*("apply", "-n", namespace, "-f", "-"), stdin=as_list(Objects(needed)))
    token = cluster.kubectl("create", "token", "ai-crd-upgrade", "-n", namespace).strip()
    config = yaml.safe_load(cluster.kubectl("config", "view", "--raw", "-o", "yaml"))
    authority = config["clusters"][0]["cluster"]
    file = folder / "ca.crt"
    if "certificate-authority-data" in authority:
        file.write_bytes(base64.b64decode(authority["certificate-authority-data"]))
    else:
        file.write_bytes(Path(authority["certificate-authority"]).read_bytes())
    address = urlsplit(cluster.api_url)
    return hook.Cluster(address.hostname, address.port, str(file), token)


def test_the_hook_applies_a_newer_definition_and_leaves_a_newer_one_alone(
    cluster: Cluster, chart: Chart, namespace: str, hook: ModuleType, tmp_path: Path
) -> None:
    api = api_as_the_hook(cluster, chart, namespace, hook, tmp_path)
    ours = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    newer = copy.deepcopy(ours)
    newer["metadata"]["annotations"]["ai-eventstream.io/version"] = "0.10.0"
    schema = newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["properties"]["note"] = {"type": "string", "maxLength": 100}

    try:
        code, said = hook.apply(api, yaml.safe_dump(newer))
        assert (code, said) == (0, f"{CRD_NAME} is now of release 0.10.0")
        explained = cluster.kubectl("get", "crd", CRD_NAME, "-o", "json")
        assert '"note"' in explained

        code, said = hook.apply(api, CRD.read_text(encoding="utf-8"))
        assert code == 0
        assert "newer than 0.1.0: left alone" in said
        assert '"note"' in cluster.kubectl("get", "crd", CRD_NAME, "-o", "json")
    finally:
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
        for kind in ("clusterrole", "clusterrolebinding"):
            cluster.kubectl("delete", kind, f"ai-crd-upgrade-{namespace}")


def test_the_hook_may_touch_nothing_else(
    cluster: Cluster, chart: Chart, namespace: str, hook: ModuleType, tmp_path: Path
) -> None:
    api = api_as_the_hook(cluster, chart, namespace, hook, tmp_path)
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    assert api.ask("GET", f"{crds}/{CRD_NAME}")[0] == 200
    for path in (crds, f"{crds}/other.example.com", f"/api/v1/namespaces/{namespace}/secrets"):
        assert api.ask("GET", path)[0] == 403
    for kind in ("clusterrole", "clusterrolebinding"):
        cluster.kubectl("delete", kind, f"ai-crd-upgrade-{namespace}")


@pytest.mark.parametrize(
    ("older", "newer"), [("0.9.0", "0.10.0"), ("", "0.1.0"), ("1.0.0", "1.0.1"), ("0.9", "0.9.1")]
)
def test_releases_are_compared_as_numbers(hook: ModuleType, older: str, newer: str) -> None:
    assert hook.version_of(older) < hook.version_of(newer)


def test_the_operators_role_allows_what_it_needs_and_no_more(
    cluster: Cluster, chart: Chart, namespace: str
) -> None:
    wanted = ("ServiceAccount", "Role", "RoleBinding")
    objects = chart.render(namespace=namespace)
    roles = [each for each in objects.of(*wanted) if not is_hook(each)]
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=as_list(Objects(roles)))
    account = f"system:serviceaccount:{namespace}:ai-operator"

    def may(verb: str, resource: str, where: str = namespace) -> bool:
        resource, _, subresource = resource.partition("/")
        question = ["auth", "can-i", verb, resource, "-n", where, "--as", account]
        question += [f"--subresource={subresource}"] if subresource else []
        try:
            return cluster.kubectl(*question).strip() == "yes"
        except CommandFailed as refusal:
            return refusal.output.strip().startswith("yes")

    assert may("patch", "eventstreams.ai-eventstream.io/status")
    assert may("patch", "deployments.apps/scale")
    assert may("patch", "pods")
    assert not may("get", "secrets")
    assert not may("patch", "eventstreams.ai-eventstream.io")
    assert not may("delete", "pods")
    assert not may("list", "deployments.apps", "default")

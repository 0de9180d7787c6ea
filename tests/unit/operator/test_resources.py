"""What a stream's Deployment takes from the chart's, and what is its own."""

from __future__ import annotations

import copy
import json
from typing import Any
from unittest.mock import Mock

import pytest

from eventstream.llm.providers import STREAM_KEY_VARIABLE as WORKERS_VARIABLE
from eventstream.spec import StreamSpec
from eventstream_operator.act.deployments import StreamDeployments
from eventstream_operator.resources.deployments import STREAM_KEY_VARIABLE, build_deployment
from eventstream_operator.resources.names import APPLIED, RESOURCES, Role, deployment_name

SELECTOR = {
    "app.kubernetes.io/name": "ai-eventstream",
    "app.kubernetes.io/component": "worker",
    "ai-eventstream.io/stream": "default",
}
TEMPLATE: dict[str, Any] = {
    "metadata": {
        "name": "ai-worker",
        "uid": "u1",
        "resourceVersion": "7",
        "labels": SELECTOR
        | {"ai-eventstream.io/template": "worker", "app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "ai"},
    },
    "spec": {
        "replicas": 5,
        "revisionHistoryLimit": 3,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "selector": {"matchLabels": SELECTOR},
        "template": {
            "metadata": {
                "labels": SELECTOR | {"team": "blue"},
                "annotations": {"checksum/settings": "abc"},
            },
            "spec": {
                "topologySpreadConstraints": [
                    {"topologyKey": "zone", "labelSelector": {"matchLabels": SELECTOR}}
                ],
                "containers": [
                    {"name": "mesh", "image": "mesh:1"},
                    {
                        "name": "worker",
                        "image": "worker:1",
                        "env": [
                            {"name": "WORKER_STREAMS", "value": "default"},
                            {"name": "LOG_LEVEL", "value": "INFO"},
                        ],
                        "resources": {"requests": {"cpu": "250m"}},
                    },
                ],
            },
        },
    },
}


def built(
    role: Role = "worker", *, template: dict[str, Any] = TEMPLATE, **spec: Any
) -> dict[str, Any]:
    return build_deployment(
        template,
        role=role,
        stream="reviews",
        stream_uid="u-reviews",
        spec=StreamSpec.model_validate(spec),
    )


def worker_of(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["spec"]["template"]["spec"]["containers"][1]
    return found


def variable(body: dict[str, Any], name: str) -> dict[str, Any] | None:
    return next((one for one in worker_of(body)["env"] if one["name"] == name), None)


def test_replicas_are_never_part_of_it() -> None:
    assert "replicas" not in built()["spec"]


def test_it_belongs_to_the_stream_and_holds_up_no_deletion() -> None:
    [owner] = built()["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "ai-eventstream.io/v1alpha1",
        "kind": "EventStream",
        "name": "reviews",
        "uid": "u-reviews",
        "controller": True,
        "blockOwnerDeletion": False,
    }


def test_its_selector_finds_no_pod_of_another_stream() -> None:
    body = built()
    selector = body["spec"]["selector"]["matchLabels"]
    labels = body["spec"]["template"]["metadata"]["labels"]
    assert selector["ai-eventstream.io/stream"] == "reviews"
    assert selector.items() <= labels.items()
    assert not SELECTOR.items() <= labels.items()
    [spread] = body["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"] == {"matchLabels": selector}


def test_what_is_helms_stays_helms() -> None:
    body = built()
    assert body["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "eventstream-operator"
    assert "ai-eventstream.io/template" not in body["metadata"]["labels"]
    assert body["metadata"]["annotations"].keys() == {APPLIED}


def test_the_rest_is_the_charts() -> None:
    body = built()
    assert body["spec"]["strategy"] == TEMPLATE["spec"]["strategy"]
    assert body["spec"]["template"]["metadata"]["labels"]["team"] == "blue"
    assert body["spec"]["template"]["metadata"]["annotations"] == {"checksum/settings": "abc"}
    assert variable(body, "LOG_LEVEL") == {"name": "LOG_LEVEL", "value": "INFO"}
    assert worker_of(body)["image"] == "worker:1"


@pytest.mark.parametrize(
    ("story", "spec", "name", "expected"),
    [
        ("the stream's name", {}, "WORKER_STREAMS", {"value": "reviews"}),
        ("the documented concurrency", {}, "WORKER_CONCURRENCY", {"value": "4"}),
        (
            "its own concurrency",
            {"scaling": {"workers": {"concurrency": 9}}},
            "WORKER_CONCURRENCY",
            {"value": "9"},
        ),
        (
            "a key out of a Secret, which the operator never reads",
            {"model": {"apiKeyFrom": {"secret": "openai", "key": "api-key"}}},
            STREAM_KEY_VARIABLE,
            {"valueFrom": {"secretKeyRef": {"name": "openai", "key": "api-key"}}},
        ),
    ],
)
def test_variables(story: str, spec: dict[str, Any], name: str, expected: dict[str, Any]) -> None:
    assert variable(built(**spec), name) == {"name": name} | expected, story


def with_env(*variables: dict[str, Any]) -> dict[str, Any]:
    """The template, with these variables behind its own."""
    template = copy.deepcopy(TEMPLATE)
    template["spec"]["template"]["spec"]["containers"][1]["env"] += variables
    return template


def test_a_name_that_the_template_holds_twice_is_applied_once_as_its_process_sees_it() -> None:
    """The API server takes such a Deployment, and refuses to apply it."""
    template = with_env(
        {"name": "HOME", "value": "/tmp"}, {"name": "LOG_LEVEL", "value": "$(HOME)"}
    )

    environment = worker_of(built(template=template))["env"]

    assert environment[:2] == [
        {"name": "HOME", "value": "/tmp"},
        {"name": "LOG_LEVEL", "value": "$(HOME)"},
    ]
    assert [one["name"] for one in environment[2:]] == ["WORKER_STREAMS", "WORKER_CONCURRENCY"]


def test_a_key_out_of_a_variable_needs_nothing() -> None:
    body = built(model={"apiKeyFrom": {"env": "MY_KEY"}})
    assert variable(body, STREAM_KEY_VARIABLE) is None


def test_the_key_of_the_charts_own_stream_is_nobody_elses() -> None:
    """A Secret of `default` that is gone would keep every other stream's pods from starting."""
    reference = {"secretKeyRef": {"name": "of-default", "key": "api-key"}}
    template = with_env({"name": STREAM_KEY_VARIABLE, "valueFrom": reference})

    assert variable(built(template=template), STREAM_KEY_VARIABLE) is None


def test_the_workers_look_for_the_key_under_that_name() -> None:
    assert STREAM_KEY_VARIABLE == WORKERS_VARIABLE


def test_resources_are_the_specs_where_it_has_some() -> None:
    own = {"requests": {"cpu": "2"}}
    assert worker_of(built())["resources"] == {"requests": {"cpu": "250m"}}
    assert worker_of(built(scaling={"workers": {"resources": own}}))["resources"] == own


def test_resources_for_those_without_any_are_the_charts_and_not_its_own_streams() -> None:
    template = copy.deepcopy(TEMPLATE)
    template["metadata"]["annotations"][RESOURCES] = '{"requests": {"cpu": "100m"}}'
    own = {"requests": {"cpu": "2"}}

    without = built(template=template)
    assert worker_of(without)["resources"] == {"requests": {"cpu": "100m"}}
    assert without["metadata"]["annotations"].keys() == {APPLIED}
    with_some = built(template=template, scaling={"workers": {"resources": own}})
    assert worker_of(with_some)["resources"] == own


def test_an_annotation_that_changed_reaches_what_was_built_before() -> None:
    """No generation counts it."""
    template = copy.deepcopy(TEMPLATE)
    stream = {"metadata": {"name": "reviews", "uid": "u", "generation": 1}}
    deployments = StreamDeployments(Mock(), Mock())
    for cpu in ("100m", "2"):
        template["metadata"]["annotations"][RESOURCES] = json.dumps({"requests": {"cpu": cpu}})
        body = deployments._build(template, "worker", stream, StreamSpec())
        assert worker_of(body)["resources"] == {"requests": {"cpu": cpu}}


def test_a_consumer_takes_no_key_and_no_resources_of_workers() -> None:
    template = copy.deepcopy(TEMPLATE)
    template["spec"]["template"]["spec"]["containers"][1]["name"] = "consumer"
    spec = StreamSpec.model_validate(
        {
            "model": {"apiKeyFrom": {"secret": "openai", "key": "api-key"}},
            "scaling": {"workers": {"resources": {"requests": {"cpu": "2"}}}},
        }
    )
    body = build_deployment(template, role="consumer", stream="reviews", stream_uid="u", spec=spec)
    names = [one["name"] for one in worker_of(body)["env"]]
    assert names == ["LOG_LEVEL", "WORKER_STREAMS"]
    assert worker_of(body)["resources"] == {"requests": {"cpu": "250m"}}


def test_the_digest_says_whether_anything_changed() -> None:
    def digest(body: dict[str, Any]) -> str:
        found: str = body["metadata"]["annotations"][APPLIED]
        return found

    assert digest(built()) == digest(built())
    assert digest(built()) != digest(built(scaling={"workers": {"concurrency": 9}}))
    # Bounds are no part of a pod: changing them rolls nothing.
    assert digest(built()) == digest(built(scaling={"workers": {"max": 9}}))


@pytest.mark.parametrize("stream", ["reviews", "a" * 63, "a" * 62 + "b"])
def test_a_pods_name_is_never_cut(stream: str) -> None:
    name = deployment_name("ai-eventstream-worker", stream)
    assert len(f"{name}-0123456789-01234") <= 63
    assert not name.endswith("-")


def test_long_names_that_begin_alike_differ() -> None:
    one, other = (deployment_name("ai-worker", "a" * 60 + end) for end in ("x", "y"))
    assert one != other

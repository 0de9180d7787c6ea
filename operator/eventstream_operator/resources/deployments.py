"""A stream's Deployment: the chart's pod template plus what is the stream's own.

The template is the Deployment of the stream `default` as it stands in the cluster: images,
security, scheduling, probes and extra settings have that one source, so a `helm upgrade` rolls
every stream. There is never a `replicas` here: that belongs to the scale subresource alone.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from eventstream.spec import API_VERSION, KIND, StreamSpec
from eventstream_operator.resources.names import (
    APPLIED,
    INSTANCE,
    MANAGED_BY,
    OPERATOR,
    RESOURCES,
    ROLE,
    STREAM,
    TEMPLATE,
    Role,
    deployment_name,
)

Object = dict[str, Any]

STREAM_KEY_VARIABLE: Final = "EVENTSTREAM_STREAM_API_KEY"
"""Where the services look for the key of a stream that names a Secret."""

_COPIED: Final = (
    "strategy",
    "minReadySeconds",
    "revisionHistoryLimit",
    "progressDeadlineSeconds",
)


def build_deployment(
    template: Mapping[str, Any],
    *,
    role: Role,
    stream: str,
    stream_uid: str,
    spec: StreamSpec,
) -> Object:
    """The Deployment of `stream` for `role`, to be applied under the operator's field manager.

    `template` is the chart's Deployment for that role as the API server holds it.
    """
    pod = copy.deepcopy(dict(template["spec"]["template"]))
    own_labels = {STREAM: stream, ROLE: role}
    selector = {
        key: value
        for key, value in template["spec"]["selector"]["matchLabels"].items()
        if key != TEMPLATE
    } | own_labels
    pod_labels = dict(pod.get("metadata", {}).get("labels") or {})
    pod_labels.pop(TEMPLATE, None)
    pod["metadata"] = {"labels": pod_labels | selector}
    annotations = template["spec"]["template"].get("metadata", {}).get("annotations")
    if annotations:
        pod["metadata"]["annotations"] = dict(annotations)
    container = main_container(pod, role)
    # The template's key is that of the stream `default`, and nobody else's.
    charts = [one for one in container.get("env") or () if one["name"] != STREAM_KEY_VARIABLE]
    container["env"] = _last_of_each_name([*charts, *_variables(role, stream, spec)])
    resources = _resources(role, template, spec)
    if resources is not None:
        container["resources"] = resources
    for constraint in pod["spec"].get("topologySpreadConstraints") or ():
        # Else a stream's pods would be spread together with those of every other stream.
        constraint["labelSelector"] = {"matchLabels": selector}
    template_labels = dict(template["metadata"].get("labels") or {})
    labels = {
        key: value for key, value in template_labels.items() if key in selector or key == INSTANCE
    }
    body: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": deployment_name(template["metadata"]["name"], stream),
            "labels": labels | own_labels | {MANAGED_BY: OPERATOR},
            "annotations": {},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": stream,
                    "uid": stream_uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {key: template["spec"][key] for key in _COPIED if key in template["spec"]}
        | {"selector": {"matchLabels": selector}, "template": pod},
    }
    body["metadata"]["annotations"][APPLIED] = digest_of(body)
    return body


def main_container(pod: Mapping[str, Any], role: Role) -> Object:
    """The container called as the role is, else the first: sidecars may be injected anywhere."""
    containers: list[Object] = pod["spec"]["containers"]
    return next((one for one in containers if one["name"] == role), containers[0])


def digest_of(body: Mapping[str, Any]) -> str:
    """A short digest of an object as JSON."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def _variables(role: Role, stream: str, spec: StreamSpec) -> list[Object]:
    variables: list[Object] = [{"name": "WORKER_STREAMS", "value": stream}]
    if role == "consumer":
        return variables
    variables.append({"name": "WORKER_CONCURRENCY", "value": str(spec.scaling.workers.concurrency)})
    source = spec.model.api_key_from
    if source is not None and source.secret is not None:
        reference = {"name": source.secret, "key": source.key}
        variables.append({"name": STREAM_KEY_VARIABLE, "valueFrom": {"secretKeyRef": reference}})
    return variables


def _resources(role: Role, template: Mapping[str, Any], spec: StreamSpec) -> Object | None:
    """What the container gets in place of the template's, which may be those of `default` alone."""
    if role == "worker" and spec.scaling.workers.resources is not None:
        return spec.scaling.workers.resources
    written = (template["metadata"].get("annotations") or {}).get(RESOURCES)
    if written is None:
        return None
    found: Object = json.loads(written)
    return found


def _last_of_each_name(variables: Iterable[Object]) -> list[Object]:
    """What a process sees of them: a Deployment may hold a name twice, and can't be applied so."""
    kept: dict[str, Object] = {}
    for variable in variables:
        # Taken out first: it stands where the last one stood, behind those that it may refer to.
        kept.pop(variable["name"], None)
        kept[variable["name"]] = variable
    return list(kept.values())

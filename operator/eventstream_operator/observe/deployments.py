"""Deployments and pods: which are whose, how many are ready, and who else scales them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from eventstream.keys import DEFAULT_STREAM
from eventstream_operator.observe.observation import Conflicts, Replicas
from eventstream_operator.resources.names import ROLE, SCALED_BY, STREAM, TEMPLATE, Role
from eventstream_operator.world import Object, World, annotations_of, labels_of, name_of

_COMING_UP: Final = ("ContainerCreating", "PodInitializing")


@dataclass(frozen=True, slots=True)
class Deployments:
    """The Deployments of the installation, sorted out."""

    templates: Mapping[Role, Object]
    """The chart's, which are those of the stream `default` too."""
    made: Mapping[tuple[str, Role], Object]
    """(stream, role) -> what the operator made for it."""
    api: Object | None
    """The one that names its owner."""

    def of(self, stream: str, role: Role) -> Object | None:
        """A stream's Deployment."""
        if stream == DEFAULT_STREAM:
            return self.templates.get(role)
        return self.made.get((stream, role))


def sort_out(world: World) -> Deployments:
    """What each Deployment is, by its labels."""
    templates: dict[Role, Object] = {}
    made: dict[tuple[str, Role], Object] = {}
    api = None
    for deployment in world.deployments:
        labels = labels_of(deployment)
        if SCALED_BY in annotations_of(deployment):
            api = deployment
        template = _role(labels.get(TEMPLATE))
        role = _role(labels.get(ROLE))
        if template is not None:
            templates[template] = deployment
        elif role is not None and STREAM in labels:
            made[labels[STREAM], role] = deployment
    return Deployments(templates, made, api)


def replicas_of(deployment: Object) -> Replicas:
    """How many pods it asks for, and how many are ready."""
    return Replicas(
        desired=int(deployment["spec"].get("replicas", 1)),
        ready=int((deployment.get("status") or {}).get("readyReplicas") or 0),
    )


def pods_trouble(deployment: Object, pods: Iterable[Object]) -> str:
    """Why a pod of it can't come up, the first reason found, as Kubernetes words it; or ''."""
    for pod in sorted(pods, key=name_of):
        if belongs_to(pod, deployment) and (trouble := _trouble(pod)):
            return trouble
    return ""


def _trouble(pod: Object) -> str:
    status = pod.get("status") or {}
    for one in status.get("conditions") or ():
        if one["type"] == "PodScheduled" and one.get("reason") == "Unschedulable":
            return f"Unschedulable: {_one_line(one.get('message'))}"
    for container in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason", "") not in ("", *_COMING_UP):
            return f"{waiting['reason']}: {_one_line(waiting.get('message'))}"
    return ""


def _one_line(message: str | None) -> str:
    return " ".join((message or "Kubernetes says no more").split())[:300].rstrip(".")


def autoscaled(autoscalers: Iterable[Object]) -> dict[str, str]:
    """Deployment name -> who else scales it, as `Kind/name`.

    KEDA works through an autoscaler that its ScaledObject owns: then that is named.
    """
    found = {}
    for autoscaler in autoscalers:
        target = autoscaler["spec"]["scaleTargetRef"]
        if target.get("kind") != "Deployment":
            continue
        owners = autoscaler["metadata"].get("ownerReferences") or ()
        keda = next((one["name"] for one in owners if one["kind"] == "ScaledObject"), None)
        found[target["name"]] = (
            f"ScaledObject/{keda}" if keda else f"HorizontalPodAutoscaler/{name_of(autoscaler)}"
        )
    return found


def conflicts_of(stream: str, deployments: Deployments, scaled: Mapping[str, str]) -> Conflicts:
    """Who else decides about this stream's Deployments."""

    def other(deployment: Object | None) -> str | None:
        return scaled.get(name_of(deployment)) if deployment is not None else None

    api = deployments.api
    return Conflicts(
        workers_scaled_by=other(deployments.of(stream, "worker")),
        consumers_scaled_by=other(deployments.of(stream, "consumer")),
        api_scaled_by=other(api),
        api_owner=annotations_of(api)[SCALED_BY] or None if api is not None else None,
    )


def belongs_to(pod: Object, deployment: Object) -> bool:
    """Whether the Deployment's selector finds the pod."""
    labels = labels_of(pod)
    wanted = deployment["spec"]["selector"].get("matchLabels") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod is ready and stays."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def streams_of_pods(pods: Iterable[Object]) -> dict[str, str]:
    """Pod name -> the stream that its label names."""
    return {name_of(pod): labels_of(pod)[STREAM] for pod in pods if STREAM in labels_of(pod)}


def _role(text: str | None) -> Role | None:
    return "worker" if text == "worker" else "consumer" if text == "consumer" else None

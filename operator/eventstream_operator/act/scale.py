"""Replicas: only through the scale subresource, only from the state that was decided on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from eventstream.heartbeat import WorkerHeartbeat
from eventstream_operator.cluster import DEPLOYMENTS, PODS, Cluster, ClusterError
from eventstream_operator.observe.deployments import belongs_to, replicas_of
from eventstream_operator.observe.heartbeats import is_idle, pod_of
from eventstream_operator.resources.names import DELETION_COST
from eventstream_operator.world import Object, annotations_of, name_of, uid_of

LEAVES_FIRST: Final = "-100"


async def scale(cluster: Cluster, deployment: Object, replicas: int) -> bool:
    """Set replicas, unless the Deployment has changed since it was looked at.

    False: it has; the next pass decides anew. Raises ClusterError for anything else, unless it was
    done all the same.
    """
    patch = {
        "metadata": {"resourceVersion": deployment["metadata"]["resourceVersion"]},
        "spec": {"replicas": replicas},
    }
    try:
        await cluster.merge(DEPLOYMENTS, name_of(deployment), patch, subresource="scale")
    except ClusterError as error:
        if error.status in (404, 409):
            return False
        if not error.perhaps_done:
            raise
        done = await _has(cluster, deployment, replicas)
        if not done:
            # An answer was the end of it; without one it may still be carried out.
            error.perhaps_done = done is None or error.status == 0
            raise
    return True


async def _has(cluster: Cluster, deployment: Object, replicas: int) -> bool | None:
    """Whether it has so many; None: that could not be looked up."""
    try:
        found = await cluster.get(DEPLOYMENTS, name_of(deployment))
    except ClusterError:
        return None
    return uid_of(found) == uid_of(deployment) and replicas_of(found).desired == replicas


def deletion_costs(
    deployment: Object,
    pods: Iterable[Object],
    heartbeats: Sequence[WorkerHeartbeat],
    leaving: int,
) -> dict[str, str | None]:
    """Pod name -> its new deletion cost (None: none), where that changes.

    As many pods as are to leave are named to leave first: idle ones, then those that have not
    said anything yet (they are starting), never one that says it works. Whoever was named before
    and works now loses the mark: it would be taken for idle.
    """
    idle = {pod_of(beat): is_idle(beat) for beat in heartbeats}
    ours = sorted((pod for pod in pods if belongs_to(pod, deployment)), key=name_of)
    marked = {name_of(pod) for pod in ours if annotations_of(pod).get(DELETION_COST)}
    candidates = [name_of(pod) for pod in ours if idle.get(name_of(pod), True)]
    # Those that carry the mark already come first: so few patches are needed.
    candidates.sort(key=lambda name: (name not in idle, name not in marked))
    chosen = set(candidates[:leaving])
    changes: dict[str, str | None] = dict.fromkeys(chosen - marked, LEAVES_FIRST)
    changes |= dict.fromkeys(marked - chosen)
    return changes


async def mark_idle(cluster: Cluster, changes: Mapping[str, str | None]) -> None:
    """Write deletion costs; a pod that is gone needs none. Raises ClusterError."""
    for name, cost in changes.items():
        patch: dict[str, Any] = {"metadata": {"annotations": {DELETION_COST: cost}}}
        try:
            await cluster.merge(PODS, name, patch)
        except ClusterError as error:
            if error.status != 404:
                raise

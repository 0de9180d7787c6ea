"""kopf's part: watching. What it sees goes into the `World`, and wakes the loop.

No handler changes anything, so kopf puts no finalizer, annotation or timer on anybody's objects,
and deleting an EventStream never waits for this process. Deciding and acting is the loop's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import kopf

from eventstream_operator.settings import OperatorSettings
from eventstream_operator.world import Copies, Object, World, name_of, uid_of


class Backoffs:
    """Seconds between attempts, without end: a watch that gave up would end the process."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2, 3)
        # Above this a watch would come back long after the API server has.
        yield from itertools.repeat(5)


def build_registry(world: World, wake: Callable[[], None]) -> kopf.OperatorRegistry:
    """Handlers that keep `world` as the cluster is, and call `wake` on what a pass should see."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    for resource, copies, told in (
        (("ai-eventstream.io", "v1alpha1", "eventstreams"), world.streams, _spec_of_stream),
        (("apps", "v1", "deployments"), world.deployments, _replicas_of_deployment),
        (("", "v1", "pods"), world.pods, _nothing),
        (("autoscaling", "v2", "horizontalpodautoscalers"), world.autoscalers, _target),
    ):
        kopf.on.event(*resource, id=resource[-1], registry=registry)(_keep(copies, told, wake))
    return registry


def build_settings(settings: OperatorSettings) -> kopf.OperatorSettings:
    """kopf's settings, each of which somebody has waited for once."""
    configured = kopf.OperatorSettings()
    # With a namespaced Role, looking for namespaces and CRDs would only be refused, again and
    # again, before the first watch begins.
    configured.scanning.disabled = True
    configured.peering.standalone = True
    configured.posting.enabled = False
    configured.networking.error_backoffs = Backoffs()
    configured.networking.request_timeout = settings.api_timeout_seconds
    configured.networking.connect_timeout = settings.api_timeout_seconds
    # Bookmarks come about once a minute: a connection without one is dead.
    configured.watching.server_timeout = 300
    configured.watching.inactivity_timeout = 90.0
    ours = settings.watch_selector
    configured.watching.label_selectors["apps", "v1", "deployments"] = ours
    configured.watching.label_selectors["", "v1", "pods"] = ours
    return configured


def _keep(
    copies: Copies, told: Callable[[Object], object], wake: Callable[[], None]
) -> Callable[..., Any]:
    async def keep(type: str | None, body: kopf.Body, **_: Any) -> None:
        plain = dict(body)
        before = copies.get(name_of(plain))
        changed = copies.drop(plain) if type == "DELETED" else copies.put(plain)
        after = copies.get(name_of(plain))
        # What the operator wrote itself (a status) comes back too, and needs no pass.
        if changed and (before is None or after is None or told(before) != told(after)):
            wake()

    return keep


def _spec_of_stream(stream: Object) -> object:
    # One that was made anew begins to count again, and kopf may tell of it before it tells of the
    # old one's end.
    return uid_of(stream), stream["metadata"].get("generation")


def _replicas_of_deployment(deployment: Object) -> object:
    status = deployment.get("status") or {}
    return deployment["metadata"].get("generation"), status.get("readyReplicas")


def _target(autoscaler: Object) -> object:
    return autoscaler["spec"].get("scaleTargetRef")


def _nothing(_: Object) -> object:
    return None


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

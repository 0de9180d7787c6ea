"""A loop that is stepped, over a Redis of its own and a namespace that refuses some writes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes.aio import client

from eventstream.claims import Arrival
from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis
from eventstream_operator.cluster import DEPLOYMENTS, EVENTS, LEASES, STREAMS, Cluster, ClusterError
from eventstream_operator.loop import Loop
from eventstream_operator.metrics import REGISTRY
from eventstream_operator.world import Copies, Object, World
from tests.support.clock import Clock
from tests.support.events import an_event
from tests.support.redis_server import free_port

DRAIN_SECONDS = 60
STEP_SECONDS = 2


class RefusingCluster(Cluster):
    """A namespace that refuses some writes; what it takes is seen at once, as by a watch."""

    def __init__(self, world: World, streams: list[dict[str, Any]], clock: Clock) -> None:
        nowhere = client.Configuration(host=f"http://127.0.0.1:{free_port()}")
        super().__init__(nowhere, "ai", timeout_seconds=1, clock=clock)
        self.refused: dict[str, int] = {}
        """Resource and subresource, or the name of an object -> status of the refusal."""
        self.failing: dict[str, int] = {}
        """The same, of writes that the API server fails at; 0: it does not answer in time."""
        self.unanswered: set[str] = set()
        """Names of objects of which a write is carried out and no answer comes."""
        self.unreadable: set[str] = set()
        self.odd: dict[str, dict[str, Any]] = {}
        """Name of an object that is applied -> what the answer has in place of what is right."""
        self.applied: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.unseen: dict[str, Object] = {}
        """Name of a stream or Deployment -> the one that has it by now, of which no watch has told
        yet."""
        self.lists_are_late = True
        """Whether no list tells of those either."""
        self.asked: list[str] = []
        """What was asked for, in order: verb and resource."""
        self.lease: dict[str, Any] | None = None
        self.out_of_reach = False
        self._world = world
        self._lists = {
            STREAMS: streams,
            DEPLOYMENTS: [
                a_deployment("worker", replicas=1),
                a_deployment("consumer", replicas=0),
            ],
        }
        self._version = 1

    @property
    def silent_seconds(self) -> float:
        return 0.0

    def replicas(self, role: str) -> int:
        """Of the Deployment of that role."""
        deployment = self._newest(DEPLOYMENTS, role)
        assert deployment is not None
        return int(deployment["spec"]["replicas"])

    def _copies(self, resource: str) -> Copies:
        return self._world.deployments if resource == DEPLOYMENTS else self._world.streams

    def _newest(self, resource: str, name: str) -> Object | None:
        return self.unseen.get(name) or self._copies(resource).get(name)

    async def list(self, resource: str, *, labels: str | None = None) -> dict[str, Any]:
        self.asked.append(f"list {resource}")
        self._reachable = True
        items = self._lists.get(resource, [])
        if not self.lists_are_late:
            items = [dict(self.unseen.get(item["metadata"]["name"], item)) for item in items]
        return {"metadata": {"resourceVersion": "1"}, "items": items}

    async def get(self, resource: str, name: str) -> dict[str, Any]:
        found = self.lease if resource == LEASES else self._newest(resource, name)
        if found is None:
            raise ClusterError(404, f"there is no {name}")
        if name in self.unreadable:
            raise ClusterError(0, "no answer in time", perhaps_done=True)
        return dict(found)

    async def create(self, resource: str, body: dict[str, Any]) -> dict[str, Any]:
        if resource == EVENTS:
            self.events.append(body)
        made = body | {"metadata": {**body["metadata"], "uid": "made", "resourceVersion": "1"}}
        if resource == LEASES:
            self.lease = made
        return made

    async def replace(self, resource: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.out_of_reach:
            raise ClusterError(0, "the API server can't be reached")
        assert self.lease is not None
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ClusterError(409, "the Lease has been modified")
        self.write_lease(body["spec"])
        if name in self.unanswered:
            raise ClusterError(0, "no answer in time", perhaps_done=True)
        return self.lease

    def write_lease(self, changes: dict[str, Any]) -> None:
        """As anybody may."""
        assert self.lease is not None
        self._version += 1
        metadata = {**self.lease["metadata"], "resourceVersion": str(self._version)}
        self.lease = {"metadata": metadata, "spec": {**self.lease["spec"], **changes}}

    async def apply(self, resource: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        await self._refuse(resource, name)
        made = a_deployment(name, replicas=1)
        made["metadata"] |= body["metadata"]
        made["spec"] |= body["spec"]
        self.applied[name] = made
        return made | self.odd.get(name, {})

    async def delete(self, resource: str, name: str, *, uid: str) -> None:
        await self._refuse(resource, name)
        self.deleted.append(name)

    async def _refuse(self, resource: str, name: str, subresource: str = "") -> None:
        key = f"{resource}/{subresource}"
        refusal = self.refused.get(name, self.refused.get(key))
        if refusal is not None:
            raise ClusterError(refusal, f"{name}/{subresource} is refused")
        failure = self.failing.get(name, self.failing.get(key))
        if failure is not None:
            error = ClusterError(failure, f"{name}/{subresource} fails", perhaps_done=True)
            await self._unable(error, "PATCH", resource, f"{name}/{subresource}")
            raise error

    async def merge(
        self, resource: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> dict[str, Any]:
        self.asked.append(f"merge {resource}")
        await self._refuse(resource, name, subresource)
        known = self._newest(resource, name)
        assert known is not None
        version = known["metadata"]["resourceVersion"]
        if body.get("metadata", {}).get("resourceVersion", version) != version:
            raise ClusterError(409, f"{name} has been modified")
        self._version = max(self._version, int(version)) + 1
        metadata = {**known["metadata"], "resourceVersion": str(self._version)}
        written = {**known, **body, "metadata": metadata}
        if resource == DEPLOYMENTS:
            written["spec"] = {**known["spec"], **body["spec"]}
        if name in self.unseen:
            self.unseen[name] = written
        else:
            self._copies(resource).put(written)
        if name in self.unanswered:
            raise ClusterError(0, "no answer in time", perhaps_done=True)
        return written


def a_deployment(role: str, *, replicas: int) -> dict[str, Any]:
    """The chart's, which is that of the stream `default`."""
    return {
        "metadata": {
            "name": role,
            "uid": role,
            "resourceVersion": "1",
            "labels": {"ai-eventstream.io/template": role},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": role}},
            "template": {"metadata": {}, "spec": {"containers": [{"name": role}]}},
        },
        "status": {"readyReplicas": replicas},
    }


def a_stream(name: str = "default", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": name, "generation": 1, "resourceVersion": "1"}
    scaling = {"workers": {"drainSeconds": DRAIN_SECONDS, "queueLength": 100, "max": 20}}
    return {"metadata": metadata, "spec": {"scaling": scaling, **spec}}


@dataclass
class Scene:
    """A loop that is stepped, over a Redis of its own."""

    cluster: RefusingCluster
    world: World
    state: AsyncRedis
    loop: Loop
    clock: Clock

    async def fill(self, count: int) -> None:
        inbox = Inbox(self.state, Keys(), result_ttl_seconds=60, lease_seconds=30)
        await inbox.accept([Arrival(an_event(uuid.uuid4().hex)) for _ in range(count)])

    def told(self, stream: str, condition: str = "Degraded") -> tuple[str, str]:
        """Status and reason of one of its conditions."""
        status = self.world.streams.get(stream)["status"]  # type: ignore[index]
        [one] = [one for one in status["conditions"] if one["type"] == condition]
        return one["status"], one["reason"]

    async def workers_after_passes(self, seconds: float) -> list[int]:
        """How many were asked for after each pass."""
        seen = []
        for _ in range(int(seconds / STEP_SECONDS)):
            await self.loop.pass_or_hold()
            seen.append(self.cluster.replicas("worker"))
            self.clock.now += STEP_SECONDS
        return seen


def made_anew(name: str = "default") -> dict[str, Any]:
    """The stream of that name after `kubectl replace --force`."""
    stream = a_stream(name)
    stream["metadata"] |= {"uid": "another", "resourceVersion": "1000000"}
    return stream


def changed(body: Object) -> dict[str, Any]:
    """The same object after somebody wrote something that the operator does not look at."""
    version = str(int(body["metadata"]["resourceVersion"]) + 100_000)
    return {**body, "metadata": {**body["metadata"], "resourceVersion": version}}


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"eventstream_operator_{name}", labels)

"""What the loop remembers when the API server takes one write and not the next."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from kubernetes.aio import client
from structlog.testing import capture_logs

from eventstream.claims import Arrival
from eventstream.inbox import Inbox
from eventstream.kafka_lag import PartitionLag, publish
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis, connect
from eventstream.registry import Registry
from eventstream.settings import Settings
from eventstream_operator.act.actor import Actor
from eventstream_operator.act.lease import Lease
from eventstream_operator.act.registry import StreamRegistry
from eventstream_operator.cluster import DEPLOYMENTS, EVENTS, LEASES, STREAMS, Cluster, ClusterError
from eventstream_operator.loop import Loop
from eventstream_operator.metrics import REGISTRY
from eventstream_operator.observe.observer import Observer
from eventstream_operator.settings import OperatorSettings
from eventstream_operator.world import World
from tests.support.events import an_event
from tests.support.redis_server import RedisServer, free_port

DRAIN_SECONDS = 60
STEP_SECONDS = 2


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class RefusingCluster(Cluster):
    """A namespace that refuses some writes; what it takes is seen at once, as by a watch."""

    def __init__(self, world: World, streams: list[dict[str, Any]]) -> None:
        nowhere = client.Configuration(host=f"http://127.0.0.1:{free_port()}")
        super().__init__(nowhere, "ai", timeout_seconds=1)
        self.refused: dict[str, int] = {}
        """Resource and subresource, or the name of an object -> status of the refusal."""
        self.unanswered: set[str] = set()
        """Names of objects of which a write is carried out and no answer comes."""
        self.unreadable: set[str] = set()
        self.odd: dict[str, dict[str, Any]] = {}
        """Name of an object that is applied -> what the answer has in place of what is right."""
        self.applied: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.unseen: dict[str, dict[str, Any]] = {}
        """Name of a stream -> the one that has it by now, of which no watch has told yet."""
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
        deployment = self._world.deployments.get(role)
        assert deployment is not None
        return int(deployment["spec"]["replicas"])

    async def list(self, resource: str, *, labels: str | None = None) -> dict[str, Any]:
        items = self._lists.get(resource, [])
        return {"metadata": {"resourceVersion": "1"}, "items": items}

    async def get(self, resource: str, name: str) -> dict[str, Any]:
        found = self._world.deployments.get(name) if resource == DEPLOYMENTS else self.lease
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
        made = a_deployment(name, replicas=1)
        made["metadata"] |= body["metadata"]
        made["spec"] |= body["spec"]
        self.applied[name] = made
        return made | self.odd.get(name, {})

    async def merge(
        self, resource: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> dict[str, Any]:
        refusal = self.refused.get(name, self.refused.get(f"{resource}/{subresource}"))
        if refusal is not None:
            raise ClusterError(refusal, f"{name}/{subresource} is refused")
        copies = self._world.deployments if resource == DEPLOYMENTS else self._world.streams
        known = self.unseen.get(name) if resource == STREAMS else copies.get(name)
        known = known or copies.get(name)
        assert known is not None
        version = known["metadata"]["resourceVersion"]
        if body.get("metadata", {}).get("resourceVersion", version) != version:
            raise ClusterError(409, f"{name} has been modified")
        self._version = max(self._version, int(version)) + 1
        metadata = {**known["metadata"], "resourceVersion": str(self._version)}
        written = {**known, **body, "metadata": metadata}
        if resource == DEPLOYMENTS:
            written["spec"] = {**known["spec"], **body["spec"]}
        copies.put(written)
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


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def streams() -> list[dict[str, Any]]:
    """Tests that want others parametrize it."""
    return [a_stream()]


@pytest.fixture
async def scene(own_redis: RedisServer, streams: list[dict[str, Any]]) -> AsyncIterator[Scene]:
    world, clock = World(), Clock()
    settings = OperatorSettings(watch_namespace="ai", operator_identity="operator-0")
    state = connect(own_redis.url(2), timeout_seconds=5)
    cluster = RefusingCluster(world, streams)
    async with cluster:
        observer = Observer(
            Settings(),
            state=state,
            cache=state,
            cluster=cluster,
            world=world,
            labels="",
            clock=clock,
        )
        actor = Actor(
            cluster,
            world,
            status_seconds=settings.status_seconds,
            interval_seconds=settings.interval_seconds,
            clock=clock,
            unix_clock=clock,
        )
        lease = Lease(
            cluster,
            name="lease",
            identity="operator-0",
            seconds=15,
            clock=clock,
            unix_clock=clock,
        )
        loop = Loop(
            settings,
            cluster=cluster,
            world=world,
            observer=observer,
            actor=actor,
            lease=lease,
            registry=StreamRegistry(state, Keys(), clock=clock),
            clock=clock,
            unix_clock=clock,
        )
        yield Scene(cluster, world, state, loop, clock)
    await state.aclose()


async def test_a_step_is_remembered_though_no_status_can_be_written(scene: Scene) -> None:
    await scene.fill(150)
    scene.cluster.refused[f"{STREAMS}/status"] = 403

    seen = await scene.workers_after_passes(2 * DRAIN_SECONDS)

    passes = DRAIN_SECONDS // STEP_SECONDS
    assert seen == [2] * passes + [3] * passes


@pytest.mark.parametrize("readable", [True, False])
async def test_a_step_that_was_made_without_an_answer_is_made_once(
    scene: Scene, readable: bool
) -> None:
    await scene.fill(150)
    scene.cluster.unanswered.add("worker")
    if not readable:
        scene.cluster.unreadable.add("worker")
    seen = await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.unanswered.clear()
    scene.cluster.unreadable.clear()

    seen += await scene.workers_after_passes(2 * DRAIN_SECONDS - STEP_SECONDS)

    passes = DRAIN_SECONDS // STEP_SECONDS
    assert seen == [2] * passes + [3] * passes
    # Where it could be read that it was made, it is told as any other.
    steps = [event["message"].partition(". ")[0] for event in scene.cluster.events]
    assert [step for step in steps if step.startswith("workers: ")] == (
        ["workers: 1 -> 2", "workers: 2 -> 3"] if readable else ["workers: 2 -> 3"]
    )


async def test_a_step_that_was_not_sent_is_made_in_the_next_pass(scene: Scene) -> None:
    await scene.fill(150)
    scene.cluster.refused["worker"] = 0
    assert await scene.workers_after_passes(STEP_SECONDS) == [1]
    scene.cluster.refused.clear()
    assert await scene.workers_after_passes(STEP_SECONDS) == [2]


async def test_a_lease_renewed_without_an_answer_costs_no_memory(scene: Scene) -> None:
    await scene.fill(150)
    # So that only this process remembers its step.
    scene.cluster.refused[f"{STREAMS}/status"] = 403
    assert await scene.workers_after_passes(STEP_SECONDS) == [2]
    scene.cluster.unanswered.add("lease")
    await scene.workers_after_passes(6 * STEP_SECONDS)
    scene.cluster.unanswered.clear()

    assert await scene.workers_after_passes(6 * STEP_SECONDS) == [2] * 6


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"eventstream_operator_{name}", labels)


async def test_an_operator_that_lost_the_lease_shows_no_old_figures(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    assert shown("leading") == 1
    assert shown("replicas_wanted", stream="default", role="workers") == 1
    scene.cluster.write_lease({"holderIdentity": "another"})

    await scene.workers_after_passes(6 * STEP_SECONDS)

    assert shown("leading") == 0
    assert shown("replicas_wanted", stream="default", role="workers") is None
    assert shown("condition", stream="default", type="Ready") is None
    assert shown("signal_age_seconds", signal="redis") is None


async def test_ages_grow_in_sight_while_no_pass_can_begin(scene: Scene) -> None:
    await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.out_of_reach = True

    await scene.workers_after_passes(60)

    assert shown("leading") == 0
    age = shown("signal_age_seconds", signal="redis")
    assert age is not None
    assert age > 50


async def test_a_stream_that_an_api_server_does_not_know_for_a_moment_is_not_deleted(
    scene: Scene,
) -> None:
    await scene.fill(150)
    scene.cluster.refused[f"{STREAMS}/status"] = 404
    await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.refused.clear()

    await scene.workers_after_passes(STEP_SECONDS)

    assert scene.told("default") == ("False", "AllSignals")
    assert (await Registry(scene.state, Keys()).all()).keys() == {"default"}


def made_anew(name: str = "default") -> dict[str, Any]:
    """The stream of that name after `kubectl replace --force`."""
    stream = a_stream(name)
    stream["metadata"] |= {"uid": "another", "resourceVersion": "1000000"}
    return stream


async def look_up(scene: Scene, *, misses: int) -> None:
    await cast(
        Awaitable[int], scene.state.hincrby(Keys().counters("default"), "source:model", misses)
    )


async def test_a_stream_made_anew_between_two_passes_begins_anew(scene: Scene) -> None:
    await scene.fill(150)
    await scene.workers_after_passes(STEP_SECONDS)
    await look_up(scene, misses=300)
    await scene.workers_after_passes(STEP_SECONDS)
    assert scene.told("default", "ReviewThreshold") == ("True", "HitRateLow")
    scene.world.streams.put(made_anew())

    assert await scene.workers_after_passes(STEP_SECONDS) == [3]

    # Nor what was counted of the old one: windows, and the series that it had.
    assert scene.told("default", "ReviewThreshold") == ("False", "TooFewLookUps")
    told = shown("scaled_total", stream="default", role="workers", direction="out")
    assert told == 1
    assert len(scene.world.streams.get("default")["status"]["history"]) == 1  # type: ignore[index]


async def test_a_stream_made_anew_within_a_pass_does_not_get_the_old_ones_status(
    scene: Scene,
) -> None:
    await scene.fill(150)
    await scene.workers_after_passes(STEP_SECONDS)
    scene.cluster.unseen["default"] = made_anew()

    with capture_logs() as lines:
        # Long enough for figures to be due.
        await scene.workers_after_passes(40)

    old = scene.world.streams.get("default")
    assert old is not None
    assert old["metadata"]["uid"] == "default"
    assert [line["event"] for line in lines if line["log_level"] != "info"] == []
    scene.world.streams.put(scene.cluster.unseen.pop("default"))
    assert await scene.workers_after_passes(STEP_SECONDS) == [3]


READS_KAFKA = a_stream(source={"topic": "raw", "partitions": 1})


@pytest.mark.parametrize("streams", [[READS_KAFKA]])
@pytest.mark.parametrize("refusal", [403, 409])
async def test_the_workers_step_is_remembered_though_the_consumers_is_refused(
    scene: Scene, refusal: int
) -> None:
    await scene.fill(150)
    seconds, _ = await scene.state.time()
    figure = PartitionLag(lag=0, end=0, position=0, measured_at=seconds)
    await publish(scene.state, Keys(), "default", "raw", {0: figure})
    scene.cluster.refused["consumer"] = refusal

    assert await scene.workers_after_passes(10) == [2] * 5

    # What was refused is tried until it succeeds.
    assert scene.cluster.replicas("consumer") == 0
    scene.cluster.refused.clear()
    await scene.workers_after_passes(STEP_SECONDS)
    assert scene.cluster.replicas("consumer") == 1


@pytest.mark.parametrize("streams", [[a_stream("reviews"), a_stream(), a_stream("tickets")]])
@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"spec": None}, id="when its Deployment is made"),
        pytest.param({"status": {"readyReplicas": "many"}}, id="when it is decided about"),
    ],
)
async def test_a_defect_that_one_stream_meets_stops_no_other(
    scene: Scene, odd: dict[str, Any]
) -> None:
    await scene.fill(150)
    scene.cluster.odd["worker-reviews"] = odd

    with capture_logs() as lines:
        seen = await scene.workers_after_passes(3 * STEP_SECONDS)

    assert seen == [2, 2, 2]
    assert scene.told("default") == scene.told("tickets") == ("False", "AllSignals")
    # Told once, where people look, with the stack in the log.
    assert scene.told("reviews") == ("True", "OperatorFailed")
    assert scene.told("reviews", "Ready") == ("False", "OperatorFailed")
    assert [event["reason"] for event in scene.cluster.events].count("OperatorFailed") == 1
    failures = [line for line in lines if line["event"] == "stream_failed"]
    assert [(line["stream"], bool(line["exc_info"])) for line in failures] == [("reviews", True)]

    scene.cluster.odd.clear()
    whole = {**scene.cluster.applied["worker-reviews"], "status": {"readyReplicas": 1}}
    whole["metadata"] = {**whole["metadata"], "resourceVersion": "2"}
    scene.world.deployments.put(whole)
    await scene.workers_after_passes(STEP_SECONDS)
    assert scene.told("reviews") == ("False", "AllSignals")


@pytest.mark.parametrize("streams", [[a_stream("reviews"), a_stream()]])
async def test_a_failure_that_can_not_be_told_stops_no_other_stream_either(scene: Scene) -> None:
    await scene.fill(150)
    scene.cluster.odd["worker-reviews"] = {"spec": None}
    scene.cluster.refused["reviews"] = 403

    assert await scene.workers_after_passes(2 * STEP_SECONDS) == [2, 2]

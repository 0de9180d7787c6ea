"""The operator against a real control plane with simulated nodes, and a real Redis."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Literal

import pytest

from eventstream.heartbeat import Heartbeats, WorkerHeartbeat
from eventstream.inbox import Inbox
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis, connect
from eventstream.registry import Registry
from eventstream.settings import Settings
from eventstream_operator.__main__ import run_operator
from eventstream_operator.settings import OperatorSettings
from tests.cluster.operator_runner import (
    Namespace,
    Operator,
    stream,
    wait_for,
    wait_in_line,
    workers,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.timeout(300)

PASSES = "eventstream_operator_pass_seconds_count"
PASS_SECONDS = "eventstream_operator_pass_seconds_sum"


def pods_of(namespace: Namespace, name: str) -> list[dict[str, Any]]:
    """The pods of a stream's workers that stay."""
    pods = namespace.list("pods", "-l", f"ai-eventstream.io/stream={name}")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def a_heartbeat(pod: dict[str, Any], *, held: int) -> WorkerHeartbeat:
    """What a worker in that pod would say of itself."""
    return WorkerHeartbeat(
        name=f"eventstream-1@{pod['metadata']['name']}",
        pid=1,
        started_at=0,
        beat_at=0,
        concurrency=4,
        queues=[],
        registered_tasks=[],
        stats={"held": held, "busy_seconds": 0, "slots": 32},
    )


async def test_a_backlog_brings_workers(
    namespace: Namespace, operator: Operator, inbox: Inbox
) -> None:
    namespace.apply(stream("default", **workers(min=1, max=8)))
    with operator:
        wait_for("status", lambda: namespace.status("default").get("phase") == "Running")
        await wait_in_line(inbox, "default", 500)
        wait_for("second worker", lambda: namespace.replicas("ai-worker") > 1)
        status = wait_for(
            "sentence", lambda: (s := namespace.status("default")).get("backlog") == 500 and s
        )
        assert "backlog 500" in status["decision"]
        assert status["workers"]["desired"] > 1
        assert [one["decision"] for one in status["history"]][-1] == status["decision"]
        reasons = [one["reason"] for one in namespace.list("events")]
        assert "ScaledOut" in reasons
        assert operator.stop() == 0


async def test_it_goes_back_to_the_minimum(
    namespace: Namespace,
    cache_url: str,
    inbox: Inbox,
    keys: Keys,
    redis_client: AsyncRedis,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a clock that runs five times as fast: a window of a minute is over in twelve seconds."""
    monkeypatch.setenv("KUBECONFIG", str(namespace.cluster.kubeconfig))
    namespace.apply(stream("reviews", **workers(min=1, max=8)))
    await wait_in_line(inbox, "reviews", 900)
    stop = asyncio.Event()
    running = asyncio.create_task(
        run_operator(
            OperatorSettings(
                watch_namespace=namespace.name,
                kubeconfig=str(namespace.cluster.kubeconfig),
                interval_seconds=0.4,
                lease_seconds=6,
                metrics_host="127.0.0.1",
                metrics_port=0,
            ),
            Settings(redis_url=cache_url, eventstream_prefix=prefix),
            stop=stop,
            clock=lambda: time.monotonic() * 5,
        )
    )
    name = "ai-worker-reviews"
    # 900 events want nine: it doubles up to the maximum.
    await asyncio.to_thread(
        wait_for,
        "eight ready workers",
        lambda: namespace.get("deployment", name).get("status", {}).get("readyReplicas") == 8,
    )
    pods = await asyncio.to_thread(pods_of, namespace, "reviews")
    # The newest is at work: the others are to leave, although they came before it.
    busy = max(
        pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"])
    )
    for pod in pods:
        await Heartbeats(redis_client, keys).beat(a_heartbeat(pod, held=3 * (pod is busy)), 600)
    await redis_client.delete(keys.inbox("reviews"))
    await asyncio.to_thread(wait_for, "minimum", lambda: namespace.replicas(name) == 1, 90)
    [left] = await asyncio.to_thread(
        wait_for, "last pod", lambda: len(p := pods_of(namespace, "reviews")) == 1 and p
    )
    assert left["metadata"]["name"] == busy["metadata"]["name"]
    stop.set()
    await running
    status = await asyncio.to_thread(namespace.status, "reviews")
    reasons = {one["reason"] for one in await asyncio.to_thread(namespace.list, "events")}
    assert {"ScaledOut", "ScaledIn"} <= reasons
    assert status["workers"]["desired"] == 1


def events_about(namespace: Namespace, name: str) -> list[dict[str, Any]]:
    """The Kubernetes events about a stream."""
    return namespace.list("events", "--field-selector", f"involvedObject.name={name}")


def ready_and_told(namespace: Namespace, name: str) -> list[dict[str, Any]]:
    """All events about a stream, once its pods are ready and that has been told."""

    def look() -> list[dict[str, Any]] | Literal[False]:
        told = events_about(namespace, name)
        return "PodsReady" in {one["reason"] for one in told} and told

    return wait_for(f"ready pods of {name}", look)


async def test_a_new_stream_that_is_well_begins_without_a_warning(
    namespace: Namespace, operator: Operator
) -> None:
    with operator:
        # One of them has a source: how much waits in Kafka takes longer to know than pods do.
        namespace.apply(
            stream("reviews", **workers(min=1, max=3)),
            stream("letters", source={"topic": "letters.raw"}, **workers(min=1, max=3)),
        )
        for name in ("reviews", "letters"):
            told = ready_and_told(namespace, name)
            assert [one["message"] for one in told if one["type"] == "Warning"] == []
        degraded = namespace.condition("letters", "Degraded")
        assert (degraded["status"], degraded["reason"]) == ("False", "Starting")
        assert "the Kafka lag (missing)" in degraded["message"]
        assert namespace.condition("reviews", "Degraded")["reason"] == "AllSignals"
        # The restarted one finds them as they are, and has nothing to say.
        before = len(events_about(namespace, "reviews"))
    with operator:
        assert len(events_about(namespace, "reviews")) == before


async def test_a_stream_owns_what_is_made_for_it(
    namespace: Namespace, operator: Operator, registry: Registry
) -> None:
    reviews = stream(
        "reviews",
        source={"topic": "reviews.raw"},
        model={"apiKeyFrom": {"secret": "openai", "key": "api-key"}},
        **workers(min=1, max=3, concurrency=2),
    )
    namespace.apply(reviews)
    with operator:
        made = wait_for("workers", lambda: namespace.get("deployment", "ai-worker-reviews"))
        wait_for("consumers", lambda: namespace.get("deployment", "ai-consumer-reviews"))
        [owner] = made["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("EventStream", "reviews")
        [container] = made["spec"]["template"]["spec"]["containers"]
        variables = {one["name"]: one for one in container["env"]}
        assert variables["WORKER_STREAMS"]["value"] == "reviews"
        assert variables["WORKER_CONCURRENCY"]["value"] == "2"
        assert variables["EVENTSTREAM_STREAM_API_KEY"]["valueFrom"]["secretKeyRef"] == {
            "name": "openai",
            "key": "api-key",
        }
        assert (await registry.all()).keys() == {"reviews"}

        # Without a source it needs no consumer.
        namespace.kubectl("patch", "es/reviews", "--type=merge", "-p", '{"spec":{"source":null}}')
        wait_for("end of it", lambda: not namespace.get("deployment", "ai-consumer-reviews"))

        # A change of the template, as `helm upgrade` makes it, rolls every stream.
        namespace.kubectl("set", "image", "deployment/ai-worker", "worker=localhost/none:2")
        wait_for(
            "new image", lambda: "none:2" in str(namespace.get("deployment", "ai-worker-reviews"))
        )


async def test_a_stream_deleted_while_nobody_looks_is_gone(
    namespace: Namespace, operator: Operator, registry: Registry
) -> None:
    namespace.apply(stream("reviews"), stream("tickets"))
    with operator:
        wait_for("workers", lambda: namespace.get("deployment", "ai-worker-reviews"))
        wait_for("workers", lambda: namespace.get("deployment", "ai-worker-tickets"))
    namespace.kubectl("delete", "es/reviews")
    wait_for("end of what it owned", lambda: not namespace.get("deployment", "ai-worker-reviews"))
    assert (await registry.all()).keys() == {"reviews", "tickets"}
    with operator:
        assert namespace.get("deployment", "ai-worker-tickets")
    assert (await registry.all()).keys() == {"tickets"}


async def test_recommend_only_says_and_paused_freezes(
    namespace: Namespace, operator: Operator, inbox: Inbox
) -> None:
    recommend = workers(min=1, max=8)
    recommend["scaling"]["mode"] = "Recommend"
    paused = workers(min=1, max=8)
    paused["scaling"]["mode"] = "Paused"
    namespace.apply(stream("default", **recommend), stream("calm", **paused))
    await wait_in_line(inbox, "default", 800)
    await wait_in_line(inbox, "calm", 800)
    with operator:
        status = wait_for(
            "recommendation",
            lambda: (s := namespace.status("default")).get("reason") == "Recommended" and s,
        )
        assert status["workers"]["wanted"] > 1
        calm = wait_for(
            "pause", lambda: (s := namespace.status("calm")).get("phase") == "Paused" and s
        )
        assert calm["backlog"] == 800
        assert namespace.replicas("ai-worker") == 1
        assert namespace.replicas("ai-worker-calm") == 1
        assert operator.metric("eventstream_operator_scaled_total") == 0


async def test_what_another_autoscaler_holds_is_left_alone(
    namespace: Namespace, operator: Operator, inbox: Inbox
) -> None:
    namespace.apply(
        stream("default", **workers(min=1, max=8)),
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "mine"},
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": "ai-worker",
                },
                "maxReplicas": 3,
            },
        },
    )
    await wait_in_line(inbox, "default", 800)
    with operator:
        conflict = wait_for(
            "conflict",
            lambda: (c := namespace.condition("default", "Conflict")).get("status") == "True" and c,
        )
        assert "HorizontalPodAutoscaler/mine" in conflict["message"]
        assert operator.metric("eventstream_operator_scaled_total") == 0
        # Once it is gone, the stream is scaled again.
        namespace.kubectl("delete", "hpa/mine")
        wait_for("second worker", lambda: namespace.replicas("ai-worker") > 1)


async def test_an_api_server_away_brings_no_jump(
    namespace: Namespace, operator: Operator, inbox: Inbox, redis_client: AsyncRedis, keys: Keys
) -> None:
    namespace.apply(stream("reviews", **workers(min=1, max=4)), stream("tickets"))
    await wait_in_line(inbox, "reviews", 900)
    with operator:
        wait_for("four workers", lambda: namespace.replicas("ai-worker-reviews") == 4)
        namespace.cluster.stop_api_server()
        try:
            wait_for("word of it", lambda: "can't be reached" in operator.logged())
            await redis_client.delete(keys.inbox("reviews"))
        finally:
            namespace.cluster.start_api_server()
        wait_for("going on", lambda: "going_on" in operator.logged())
        # Deleted and made while watches were on their way back: both are seen.
        namespace.kubectl("delete", "es/tickets")
        namespace.apply(stream("letters"))
        wait_for("new stream", lambda: namespace.get("deployment", "ai-worker-letters"))
        wait_for("look at it", lambda: namespace.status("reviews").get("backlog") == 0)
        assert namespace.replicas("ai-worker-reviews") == 4
        assert operator.process is not None
        assert operator.process.poll() is None


async def test_redis_away_holds_and_says_so(
    namespace: Namespace, prefix: str, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path, appendonly=True)
    server.start()
    client = connect(server.url(2), timeout_seconds=5)
    keys = Keys(prefix)
    inbox = Inbox(client, keys, result_ttl_seconds=3600, lease_seconds=30)
    await wait_in_line(inbox, "default", 900)
    namespace.apply(stream("default", **workers(min=1, max=4)))
    operator = Operator(namespace, server.url(0), prefix, tmp_path / "operator.log")
    try:
        with operator:
            wait_for("four workers", lambda: namespace.replicas("ai-worker") == 4)
            server.kill()
            degraded = wait_for(
                "word of it",
                lambda: (
                    (c := namespace.condition("default", "Degraded")).get("status") == "True" and c
                ),
                60,
            )
            assert "inbox" in degraded["message"]
            assert namespace.replicas("ai-worker") == 4
            server.start()
            wait_for(
                "recovery",
                lambda: namespace.condition("default", "Degraded").get("status") == "False",
            )
            assert namespace.replicas("ai-worker") == 4
    finally:
        await client.aclose()
        server.stop()


async def test_a_second_operator_waits_until_the_first_is_gone(
    namespace: Namespace, operator: Operator, cache_url: str, prefix: str, tmp_path: Path
) -> None:
    namespace.apply(stream("reviews"))
    variables = {"OPERATOR_IDENTITY": "operator-1", "LEASE_SECONDS": "4"}
    second = Operator(namespace, cache_url, prefix, tmp_path / "second.log", variables)
    operator.variables["LEASE_SECONDS"] = "4"
    with operator:
        wait_for("workers", lambda: namespace.get("deployment", "ai-worker-reviews"))
        with second:
            wait_for("word of it", lambda: "another_operator_is_at_work" in second.logged())
            assert second.metric("eventstream_operator_leading") == 0
            operator.kill()
            wait_for("turn of the second", lambda: second.metric("eventstream_operator_leading"))
            namespace.apply(stream("tickets"))
            wait_for("its work", lambda: namespace.get("deployment", "ai-worker-tickets"))


async def test_a_missing_definition_ends_the_start_with_a_sentence(
    namespace: Namespace, operator: Operator
) -> None:
    cluster = namespace.cluster
    cluster.kubectl("delete", "crd", "eventstreams.ai-eventstream.io", "--wait")
    operator.start()
    assert operator.process is not None
    status = await asyncio.to_thread(operator.process.wait, 30)
    assert status == 2
    assert "does not know the kind EventStream" in operator.logged()
    assert "Traceback" not in operator.logged()


@pytest.mark.timeout(600)
async def test_a_pass_over_two_hundred_streams_asks_for_nothing(
    namespace: Namespace, operator: Operator, inbox: Inbox
) -> None:
    names = [f"s{number:03}" for number in range(200)]
    namespace.apply(*(stream(name, **workers(min=1, max=3)) for name in names))
    operator.variables["STATUS_SECONDS"] = "600"
    requests = "eventstream_operator_api_requests_total"
    with operator:
        wait_for(
            "ready workers of all streams",
            lambda: (
                sum(
                    (one.get("status", {}).get("workers") or {}).get("ready") == 1
                    for one in namespace.list("es")
                )
                == 200
            ),
            300,
        )
        before, passes = operator.metric(requests), operator.metric(PASSES)
        seconds = operator.metric(PASS_SECONDS)
        wait_for("five passes", lambda: operator.metric(PASSES) >= passes + 5)
        mean = (operator.metric(PASS_SECONDS) - seconds) / (operator.metric(PASSES) - passes)
        print(f"a pass over 200 streams took {mean:.2f} s in the mean")
        # Renewing the Lease, and no more than a few late words about pods.
        assert operator.metric(requests) - before <= 20
        await wait_in_line(inbox, "s100", 500)
        wait_for("second worker of one", lambda: namespace.replicas("ai-worker-s100") > 1)


async def test_a_spec_that_only_a_person_can_mend_is_answered(
    namespace: Namespace, operator: Operator
) -> None:
    """The API server can't see everything: whether a schema for answers is one, for instance."""
    namespace.apply(stream("broken", task={"outputSchema": {"type": "nonsense"}}), stream("well"))
    with operator:
        degraded = wait_for("word of it", lambda: namespace.condition("broken", "Degraded"))
        assert degraded["reason"] == "InvalidSpec"
        assert "is not a JSON Schema" in degraded["message"]
        wait_for("the other one", lambda: namespace.status("well")["phase"] == "Running")
        namespace.kubectl(
            *("patch", "es/broken", "--type=merge"), "-p", '{"spec":{"task":{"outputSchema":null}}}'
        )
        wait_for("mended", lambda: namespace.get("deployment", "ai-worker-broken"))


async def test_the_api_belongs_to_one_stream_and_holds_without_figures(
    namespace: Namespace, operator: Operator
) -> None:
    def scaling_the_api() -> dict[str, Any]:
        spec = workers(min=1, max=3)
        spec["scaling"]["api"] = {"min": 1, "max": 4}
        return spec

    namespace.apply(stream("default", **scaling_the_api()), stream("stranger", **scaling_the_api()))
    with operator:
        # There is no metrics API in this cluster: at first that is waited for.
        degraded = wait_for(
            "missing figures",
            lambda: (c := namespace.condition("default", "Degraded")) and "CPU" in str(c) and c,
        )
        assert (degraded["status"], degraded["reason"]) == ("False", "Starting")
        wait_for(
            "word to the stranger",
            lambda: namespace.condition("stranger", "Conflict").get("status") == "True",
        )
        assert namespace.replicas("ai-api") == 1

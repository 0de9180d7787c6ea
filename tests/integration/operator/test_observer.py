"""All signals together: what is known, how old it is, and what an absent source does to it."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis
from kubernetes.aio import client
from structlog.testing import capture_logs

from eventstream.cache.keys import CacheKeys
from eventstream.cache.published import PublishedAdvice
from eventstream.claims import Arrival
from eventstream.heartbeat import Heartbeats, WorkerHeartbeat
from eventstream.inbox import Inbox
from eventstream.kafka_lag import PartitionLag, publish
from eventstream.keys import Keys
from eventstream.redis_client import connect
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from eventstream_operator.cluster import Cluster
from eventstream_operator.decide import Decision, Memory, decide
from eventstream_operator.observe.background import Background
from eventstream_operator.observe.observation import Measured, Replicas
from eventstream_operator.observe.observer import Observer
from eventstream_operator.world import World
from tests.support.clock import Clock
from tests.support.events import an_event
from tests.support.redis_server import RedisServer, free_port

REVIEWS = StreamSpec.model_validate({"source": {"topic": "reviews.raw", "partitions": 1}})


@dataclass
class Scene:
    """An observer whose clock stands still, over a Redis of its own."""

    redis: RedisServer
    observer: Observer
    clock: Clock

    async def fill(self, stream: str, count: int) -> None:
        state = connect(self.redis.url(2), timeout_seconds=5)
        inbox = Inbox(state, Keys(), result_ttl_seconds=60, lease_seconds=30)
        events = [an_event(uuid.uuid4().hex, stream=stream) for _ in range(count)]
        await inbox.accept([Arrival(event) for event in events])
        await state.aclose()

    async def publish_lag(
        self, stream: str, topic: str, lag: int, at: float, *, partitions: int = 1
    ) -> None:
        state = connect(self.redis.url(2), timeout_seconds=5)
        figure = PartitionLag(lag=lag, end=lag, position=0, measured_at=at)
        await publish(state, Keys(), stream, topic, dict.fromkeys(range(partitions), figure))
        await state.aclose()

    async def lose_lags(self, stream: str) -> None:
        state = connect(self.redis.url(2), timeout_seconds=5)
        await state.delete(Keys().kafka_lag(stream))
        await state.aclose()


def a_deployment(name: str, *, desired: int, ready: int, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "resourceVersion": "1",
            "labels": {f"ai-eventstream.io/{key}": value for key, value in labels.items()},
        },
        "spec": {"replicas": desired, "selector": {"matchLabels": {"app": name}}},
        "status": {"readyReplicas": ready},
    }


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, appendonly=True) as server:
        yield server


@pytest.fixture
async def scene(own_redis: RedisServer) -> AsyncIterator[Scene]:
    world, clock = World(), Clock()
    world.deployments.put(a_deployment("ai-worker", desired=3, ready=2, template="worker"))
    world.deployments.put(
        a_deployment("ai-worker-reviews", desired=5, ready=4, stream="reviews", role="worker")
    )
    state = connect(own_redis.url(2), timeout_seconds=5)
    nowhere = client.Configuration(host=f"http://127.0.0.1:{free_port()}")
    async with Cluster(nowhere, "ai", timeout_seconds=1, clock=clock) as cluster:
        yield Scene(
            own_redis,
            Observer(
                Settings(),
                state=state,
                cache=state,
                cluster=cluster,
                world=world,
                labels="",
                clock=clock,
            ),
            clock,
        )
    await state.aclose()


async def test_advice_is_seen_with_the_age_that_its_worker_gave_it(scene: Scene) -> None:
    state = connect(scene.redis.url(2), timeout_seconds=5)
    note = PublishedAdvice(line="c: bounded 2 % would answer 44 %", drawn_at=time.time() - 300)
    await state.set(CacheKeys("").advice("reviews"), note.encode())
    await state.aclose()
    [cache] = [one for one in scene.observer.background if one.signal == "cache"]

    await scene.observer.refresh({"default": StreamSpec(), "reviews": REVIEWS})
    assert scene.observer.observe("reviews").advice is None
    await cache.refresh()

    advice = scene.observer.observe("reviews").advice
    assert advice is not None
    assert advice.value == note.line
    assert advice.age_seconds == pytest.approx(300, abs=30)
    assert scene.observer.observe("default").advice is None


async def test_each_stream_is_seen_with_its_own_deployment(scene: Scene) -> None:
    await scene.fill("default", 3)
    await scene.fill("reviews", 7)
    await scene.observer.refresh({"default": StreamSpec(), "reviews": REVIEWS})
    default, reviews = scene.observer.observe("default"), scene.observer.observe("reviews")
    assert default.inbox is not None
    assert reviews.inbox is not None
    assert (default.inbox.value.queued, reviews.inbox.value.queued) == (3, 7)
    assert default.workers is not None
    assert reviews.workers is not None
    assert (default.workers.value.desired, reviews.workers.value.ready) == (3, 4)
    # A stream without a source has no consumers to look for; one with a source misses them.
    assert (default.kafka, default.consumers, reviews.consumers) == (None, None, None)


async def test_a_redis_that_is_away_only_ages_what_it_said(scene: Scene) -> None:
    await scene.fill("reviews", 7)
    specs = {"reviews": REVIEWS}
    await scene.observer.refresh(specs)
    scene.redis.kill()
    scene.clock.now += 40
    await scene.observer.refresh(specs)
    inbox = scene.observer.observe("reviews").inbox
    assert inbox is not None
    assert (inbox.value.queued, inbox.age_seconds) == (7, 40)
    scene.redis.start()
    await scene.observer.refresh(specs)
    inbox = scene.observer.observe("reviews").inbox
    assert inbox is not None
    assert (inbox.value.queued, inbox.age_seconds) == (7, 0)


async def test_a_heartbeat_that_says_nonsense_leaves_other_streams_theirs(scene: Scene) -> None:
    state = connect(scene.redis.url(2), timeout_seconds=5)
    for stream, busy in (("reviews", "all day"), ("default", 4)):
        beat = WorkerHeartbeat(
            name=f"w@{stream}",
            pid=1,
            started_at=0,
            beat_at=0,
            concurrency=4,
            queues=[stream],
            registered_tasks=[],
            stats={"busy_seconds": busy},
        )
        await Heartbeats(state, Keys()).beat(beat, 60)
    await state.aclose()
    specs = {"reviews": REVIEWS, "default": StreamSpec()}

    with capture_logs() as lines:
        for _ in range(2):
            await scene.observer.refresh(specs)

    assert scene.observer.observe("reviews").worker_time is None
    assert scene.observer.observe("default").worker_time is not None
    assert [(line["event"], line["stream"]) for line in lines if "stream" in line] == [
        ("stream_not_observed", "reviews")
    ]


async def test_a_reading_that_nobody_thought_of_only_ages_what_was_read() -> None:
    readings: list[int] = [7]
    clock = Clock()

    async def read() -> int:
        return readings.pop()

    signal = Background("odd", read, every_seconds=1, clock=clock)
    await signal.refresh()
    clock.now += 30
    with capture_logs() as lines:
        for _ in range(2):
            await signal.refresh()
    assert (signal.value, signal.age_seconds) == (7, 30)
    assert [(line["event"], line["signal"]) for line in lines] == [("signal_missing", "odd")]


async def test_a_redis_that_was_never_there_leaves_signals_missing(scene: Scene) -> None:
    scene.redis.kill()
    await scene.observer.refresh({"reviews": REVIEWS})
    seen = scene.observer.observe("reviews")
    assert (seen.inbox, seen.counts, seen.worker_time, seen.kafka) == (None, None, None, None)


async def test_consumers_figures_bring_their_age_along(
    scene: Scene, unix_now: Callable[[], float]
) -> None:
    await scene.publish_lag("reviews", "reviews.raw", 12, unix_now() - 100)
    await scene.observer.refresh({"reviews": REVIEWS})
    kafka = scene.observer.observe("reviews").kafka
    assert kafka is not None
    assert kafka.value.lag == 12
    assert kafka.age_seconds >= 100


async def test_a_lag_that_lost_partitions_is_not_known_until_all_are_there_again(
    scene: Scene, unix_now: Callable[[], float]
) -> None:
    async def seen_with(partitions: int, spec: StreamSpec) -> int | None:
        await scene.lose_lags("reviews")
        assert spec.source is not None
        await scene.publish_lag("reviews", spec.source.topic, 5, unix_now(), partitions=partitions)
        await scene.observer.refresh({"reviews": spec})
        kafka = scene.observer.observe("reviews").kafka
        return kafka.value.partitions if kafka else None

    # Spec or broker say of one at least; the topic was there before and has twelve.
    assert await seen_with(12, REVIEWS) == 12
    # Redis lost its data: the consumers publish one after another.
    assert await seen_with(4, REVIEWS) is None
    assert await seen_with(12, REVIEWS) == 12
    # Another topic, and another stream of that name, may have fewer.
    other = StreamSpec.model_validate({"source": {"topic": "other.raw", "partitions": 1}})
    assert await seen_with(4, other) == 4
    scene.observer.forget("reviews")
    assert await seen_with(2, other) == 2


async def test_what_consumers_moved_since_they_measured_is_counted_once(
    scene: Scene, unix_now: Callable[[], float]
) -> None:
    async def one_pass(memory: Memory) -> Decision:
        await scene.observer.refresh({"reviews": REVIEWS})
        # There is no API server in this scene.
        seen = replace(scene.observer.observe("reviews"), workers=Measured(Replicas(5, 5)))
        scene.clock.now += 2
        return decide(REVIEWS, seen, memory, scene.clock.now - 2)

    before = None
    for _ in range(5):
        await scene.publish_lag("reviews", "reviews.raw", 600, unix_now())
        before = await one_pass(before.memory if before else Memory(started_at=0))
    assert before is not None
    # All of it goes into the inbox; the consumers' next figure is not there yet.
    await scene.fill("reviews", 600)
    await scene.publish_lag("reviews", "reviews.raw", 600, unix_now() - 3)
    after = await one_pass(before.memory)
    assert before.figures.backlog == 600
    assert after.figures.backlog == pytest.approx(600, abs=30)


@pytest.fixture
def unix_now(own_redis: RedisServer) -> Callable[[], float]:
    """Redis' own clock."""

    def read() -> float:
        with redis.Redis(port=own_redis.port) as asked:
            seconds, _ = asked.time()
            return float(seconds)

    return read

"""All signals of all streams, put together into Observations.

The state Redis is read in the pass; what is slower (broker, CPU, the cache's own figures) is read
beside it; the cluster is known from watches. A source that fails leaves its last value with a
growing age, and the decision holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from redis.asyncio import RedisCluster

from eventstream.consumer_groups import group_sharers
from eventstream.heartbeat import WorkerHeartbeat
from eventstream.keys import Keys
from eventstream.redis_client import AsyncRedis
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from eventstream_operator.cluster import Cluster
from eventstream_operator.metrics import SIGNAL_AGE
from eventstream_operator.observe.background import Background
from eventstream_operator.observe.backlog import counts_of
from eventstream_operator.observe.cache import CacheReader, CacheReading
from eventstream_operator.observe.cpu import PodCpu, cpu_use, read_cpu
from eventstream_operator.observe.deployments import (
    Deployments,
    autoscaled,
    conflicts_of,
    pods_trouble,
    replicas_of,
    sort_out,
    streams_of_pods,
)
from eventstream_operator.observe.heartbeats import by_stream
from eventstream_operator.observe.kafka_lag import (
    FRESH_SECONDS,
    BrokerLags,
    GroupTopic,
    PartitionsSeen,
    consumers_figure,
)
from eventstream_operator.observe.observation import (
    CpuUse,
    KafkaBacklog,
    Measured,
    Observation,
    Replicas,
)
from eventstream_operator.observe.state import State, StateReader
from eventstream_operator.observe.stream_signals import StreamSignals
from eventstream_operator.resources.names import Role
from eventstream_operator.world import Object, World

T = TypeVar("T")

BROKER_SECONDS: Final = 5.0
CPU_SECONDS: Final = 10.0
CACHE_SECONDS: Final = 15.0
FIRST_LOOK_SECONDS: Final = 1.5
"""How long a pass waits for slow signals of a stream that it sees for the first time."""


class Observer:
    """Made once; `refresh` in every pass, then `observe` for each stream."""

    def __init__(
        self,
        settings: Settings,
        *,
        state: AsyncRedis,
        cache: AsyncRedis | RedisCluster,
        cluster: Cluster,
        world: World,
        labels: str,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._world = world
        self._cluster = cluster
        self._clock = clock
        self._unix_clock = unix_clock
        self._specs: Mapping[str, StreamSpec] = {}
        self._signals = StreamSignals(clock)
        reader = StateReader(state, Keys(settings.eventstream_prefix))

        async def read_state() -> State:
            return await reader.read(
                tuple(self._specs), unix_now=unix_clock(), buckets=self._signals.models.buckets()
            )

        cache_reader = CacheReader(cache, settings.eventstream_prefix, unix_clock=unix_clock)

        async def read_cache() -> Mapping[str, CacheReading]:
            return await cache_reader.read(self._specs)

        async def cpu() -> Mapping[str, PodCpu]:
            wanted = any(spec.scaling.api for spec in self._specs.values())
            return await read_cpu(cluster, labels) if wanted else {}

        self._looked_at: set[str] = set()
        self._looks: set[asyncio.Task[None]] = set()
        self._state = Background("redis", read_state, every_seconds=0, clock=clock)
        self._cache = Background("cache", read_cache, every_seconds=CACHE_SECONDS, clock=clock)
        self._cpu = Background("cpu", cpu, every_seconds=CPU_SECONDS, clock=clock)
        self._broker = BrokerLags(settings) if settings.kafka_bootstrap_servers else None
        self._lags: dict[str, tuple[GroupTopic, float, KafkaBacklog]] = {}
        self._partitions = PartitionsSeen()
        self._kafka = Background(
            "kafka", self._read_broker, every_seconds=BROKER_SECONDS, clock=clock
        )
        self.deployments = sort_out(world)
        self.heartbeats: Mapping[str, list[WorkerHeartbeat]] = {}
        self._scaled: Mapping[str, str] = {}
        self._group_sharers: Mapping[str, tuple[str, ...]] = {}

    @property
    def background(self) -> tuple[Background[Any], ...]:
        """What is to run beside the passes."""
        slow: tuple[Background[Any], ...] = (self._cache, self._cpu)
        return (*slow, self._kafka) if self._broker else slow

    def close(self) -> None:
        """Let go of the broker."""
        if self._broker is not None:
            self._broker.close()

    async def refresh(self, specs: Mapping[str, StreamSpec]) -> None:
        """Begin a pass over these streams: read the state, look at the cluster."""
        self._specs = specs
        before = self._state.value
        await self._state.refresh()
        if specs.keys() - self._looked_at:
            await self._first_look()
        self._looked_at = set(specs)
        self.deployments = sort_out(self._world)
        self._scaled = autoscaled(self._world.autoscalers)
        self._group_sharers = group_sharers(specs)
        state = self._state.value
        if state is not None and state is not before:
            self.heartbeats = by_stream(state.heartbeats, specs, streams_of_pods(self._world.pods))
            self._signals.update(specs, state, self.heartbeats, self._cache.value or {})
            for stream, spec in specs.items():
                if spec.source is not None and stream in state.streams:
                    self._partitions.look(stream, spec.source.topic, state.streams[stream].lags)
        self.show_ages()

    def show_ages(self) -> None:
        """Put the ages of all signals where they are measured, also in a pass that can't begin."""
        for source in (self._state, *self.background):
            SIGNAL_AGE.labels(source.signal).set(source.age_seconds)
        SIGNAL_AGE.labels("cluster").set(self._cluster.silent_seconds)

    async def _first_look(self) -> None:
        """Ask now instead of at the next turn: a new stream should not begin with missing signals.

        What takes longer goes on beside the pass.
        """
        slow: list[Background[Any]] = [self._cpu, *([self._kafka] if self._broker else [])]
        looks = {asyncio.create_task(signal.refresh()) for signal in slow}
        self._looks |= looks
        for look in looks:
            look.add_done_callback(self._looks.discard)
        await asyncio.wait(looks, timeout=FIRST_LOOK_SECONDS)

    def observe(self, stream: str) -> Observation:
        """What this pass knows of one stream."""
        spec = self._specs[stream]
        state = self._state.value.streams.get(stream) if self._state.value else None
        signals = self._signals
        deployments = self.deployments
        conflicts = replace(
            conflicts_of(stream, deployments, self._scaled),
            group_shared_with=self._group_sharers.get(stream, ()),
        )
        owns_api = conflicts.api_owner == stream and spec.scaling.api is not None
        budget = signals.budget.get(stream)
        return Observation(
            stream=stream,
            inbox=self._of_state(state.inbox if state else None),
            kafka=self._kafka_backlog(stream, spec),
            counts=self._of_state(counts_of(state.counters) if state else None),
            worker_time=self._of_state(signals.worker_time.get(stream)),
            workers=self._replicas(deployments.of(stream, "worker")),
            consumers=self._replicas(deployments.of(stream, "consumer")) if spec.source else None,
            api=self._replicas(deployments.api) if owns_api else None,
            api_cpu=self._api_cpu(deployments) if owns_api else None,
            cache=self._of_state(signals.cache.get(stream)),
            advice=self._advice(stream),
            provider=self._of_state(signals.provider.get(stream)),
            budget=self._of_state(budget),
            conflicts=conflicts,
        )

    def deployment(self, stream: str, role: Role) -> Object | None:
        """A stream's Deployment, as this pass knows it."""
        return self.deployments.of(stream, role)

    def forget(self, stream: str) -> None:
        """The stream is gone."""
        self._signals.forget(stream)
        self._looked_at.discard(stream)
        self._lags.pop(stream, None)
        self._partitions.forget(stream)

    def _of_state(self, value: T | None) -> Measured[T] | None:
        return None if value is None else Measured(value, self._state.age_seconds)

    def _advice(self, stream: str) -> Measured[str] | None:
        reading = self._cache.value.get(stream) if self._cache.value else None
        if reading is None or reading.advice is None:
            return None
        # By the time it was drawn, not read: workers may have been away since.
        age = max(0.0, self._unix_clock() - reading.advice.drawn_at)
        return Measured(reading.advice.line, age)

    def _replicas(self, deployment: Object | None) -> Measured[Replicas] | None:
        if deployment is None:
            return None
        replicas = replicas_of(deployment)
        if replicas.ready < replicas.desired:
            trouble = pods_trouble(deployment, self._world.pods)
            replicas = replace(replicas, trouble=trouble)
        return Measured(replicas, self._cluster.silent_seconds)

    def _api_cpu(self, deployments: Deployments) -> Measured[CpuUse] | None:
        if deployments.api is None or self._cpu.value is None:
            return None
        found = cpu_use(deployments.api, self._world.pods, self._cpu.value)
        if found is None:
            return None
        use, measured_at = found
        # The kubelet measured some time before it was asked; both ages count.
        before = max(0.0, self._unix_clock() - self._cpu.age_seconds - measured_at)
        return Measured(use, self._cpu.age_seconds + before)

    def _kafka_backlog(self, stream: str, spec: StreamSpec) -> Measured[KafkaBacklog] | None:
        if spec.source is None:
            return None
        ours = self._consumers_figure(stream, spec)
        broker = self._broker_figure(stream, spec)
        if ours is None:
            return broker
        if broker is None or ours.age_seconds <= max(FRESH_SECONDS, broker.age_seconds):
            return ours
        return broker

    def _consumers_figure(self, stream: str, spec: StreamSpec) -> Measured[KafkaBacklog] | None:
        state = self._state.value
        if spec.source is None or state is None or stream not in state.streams:
            return None
        topic = spec.source.topic
        told = self._broker.partitions(topic) if self._broker else None
        partitions = max(told or spec.source.partitions, self._partitions.of(stream, topic))
        figure = consumers_figure(state.streams[stream].lags, topic, partitions, state.unix_now)
        if figure is None:
            return None
        return Measured(figure.value, figure.age_seconds + self._state.age_seconds)

    def _broker_figure(self, stream: str, spec: StreamSpec) -> Measured[KafkaBacklog] | None:
        known = self._lags.get(stream)
        # What was said of another topic or group says nothing of this one.
        if known is None or known[0] != _group_topic(stream, spec):
            return None
        return Measured(known[2], self._clock() - known[1])

    async def _read_broker(self) -> None:
        assert self._broker is not None
        wanted = {}
        for stream, spec in self._specs.items():
            asked = _group_topic(stream, spec)
            if asked is None:
                continue
            figure = self._consumers_figure(stream, spec)
            if (
                figure is None
                or figure.age_seconds > FRESH_SECONDS
                # Once of every topic: consumers that publish anew, one after another, show only
                # some of its partitions, and this process may have seen no more yet.
                or self._broker.partitions(asked.topic) is None
            ):
                wanted[stream] = asked
        began = self._clock()
        for stream, backlog in (await self._broker.read(wanted)).items():
            self._lags[stream] = (wanted[stream], began, backlog)


def _group_topic(stream: str, spec: StreamSpec) -> GroupTopic | None:
    if spec.source is None:
        return None
    group = spec.consumer_group(stream) or stream
    return GroupTopic(group, spec.source.topic, spec.source.partitions)

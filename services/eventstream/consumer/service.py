"""The consumer process: one StreamConsumer for every stream that has a source, as they come and go.

Follows the registry. An error that nobody foresaw ends the process: whoever runs it starts it
again, and no event is lost by that.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from prometheus_client import start_http_server

from eventstream import garbage
from eventstream.consumer.stream import StreamConsumer, Tools
from eventstream.errors import ConfigurationError, StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.kafka.backoff import Backoff, wait_or_stop
from eventstream.kafka.config import admin_config, describe, producer_config
from eventstream.kafka.producer import AsyncProducer
from eventstream.kafka.topics import KafkaAdmin
from eventstream.keys import Keys
from eventstream.logs import get_logger
from eventstream.redis_client import connect
from eventstream.registry import Registry
from eventstream.results import Results
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from eventstream.wakeup import WakeUps

log = get_logger(__name__)

FOLLOW_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Running:
    consumer: StreamConsumer
    stop: asyncio.Event
    task: asyncio.Task[None]


class ConsumerService:
    """Keeps a consumer running for each stream of the registry that has a source.

    `only`: the streams to serve; empty means all of them.
    """

    def __init__(
        self,
        tools: Tools,
        registry: Registry,
        *,
        only: tuple[str, ...] = (),
        follow_seconds: float = FOLLOW_SECONDS,
    ) -> None:
        self._tools = tools
        self._registry = registry
        self._only = only
        self._follow_seconds = follow_seconds
        self._running: dict[str, _Running] = {}
        self._missing: frozenset[str] = frozenset()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; raises what ended a stream's consumer unexpectedly."""
        backoff = Backoff(0.5, 15.0)
        try:
            while not stop.is_set():
                try:
                    await self._follow(await self._wanted())
                    backoff.reset()
                    seconds = self._follow_seconds
                except StoreUnavailable as error:
                    # Only before the first look: the registry remembers what it has seen.
                    seconds = backoff.next_seconds()
                    log.warning(
                        "waiting_for_streams",
                        problem=str(error),
                        next_try_seconds=round(seconds, 1),
                    )
                await wait_or_stop(stop, seconds)
                self._raise_what_failed()
        finally:
            await self._end(list(self._running))

    async def _wanted(self) -> dict[str, StreamSpec]:
        streams = await self._registry.all()
        if not streams:
            await self._registry.ensure_default(self._tools.settings)
            streams = await self._registry.all()
        missing = frozenset(self._only) - streams.keys()
        if missing and missing != self._missing:
            log.warning("streams_not_registered", streams=sorted(missing))
        self._missing = missing
        return {
            name: spec
            for name, spec in streams.items()
            if spec.source is not None and (not self._only or name in self._only)
        }

    async def _follow(self, wanted: dict[str, StreamSpec]) -> None:
        await self._end(
            [
                name
                for name, running in self._running.items()
                if name not in wanted or not running.consumer.adopt(wanted[name])
            ]
        )
        for name, spec in wanted.items():
            if name not in self._running:
                consumer = StreamConsumer(name, spec, self._tools, self._registry)
                stop = asyncio.Event()
                task = asyncio.create_task(consumer.run(stop), name=f"consume {name}")
                self._running[name] = _Running(consumer, stop, task)
                log.info("stream_started", stream=name, topic=spec.source and spec.source.topic)

    async def _end(self, names: list[str]) -> None:
        ending = {name: self._running.pop(name) for name in names}
        for running in ending.values():
            running.stop.set()
        ends = await asyncio.gather(
            *(each.task for each in ending.values()), return_exceptions=True
        )
        for name, end in zip(ending, ends, strict=True):
            if isinstance(end, Exception):
                log.error("stream_failed", stream=name, exc_info=end)
            else:
                log.info("stream_stopped", stream=name)

    def _raise_what_failed(self) -> None:
        for running in self._running.values():
            if running.task.done():
                running.task.result()


@asynccontextmanager
async def consumer_tools(settings: Settings) -> AsyncIterator[Tools]:
    """The connections of a consumer, closed at the end. Raises ConfigurationError."""
    keys = Keys(settings.eventstream_prefix)
    admin = KafkaAdmin(admin_config(settings), describe(settings))
    producer = AsyncProducer(producer_config(settings))
    redis = connect(settings.state_url, timeout_seconds=settings.redis_timeout_seconds)
    wake_ups = WakeUps(settings)
    try:
        yield Tools(
            settings=settings,
            redis=redis,
            keys=keys,
            inbox=Inbox(
                redis,
                keys,
                result_ttl_seconds=settings.result_ttl_seconds,
                lease_seconds=settings.worker_lease_seconds,
            ),
            results=Results(redis, keys),
            admin=admin,
            producer=producer,
            wake_ups=wake_ups,
            now=lambda: datetime.now(UTC),
        )
    finally:
        await producer.aclose()
        await admin.aclose()
        await asyncio.to_thread(wake_ups.close)
        await redis.aclose()


async def run_consumer(settings: Settings) -> None:
    """Run the consumer until SIGTERM or SIGINT. Raises ConfigurationError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with consumer_tools(settings) as tools:
        _expose_metrics(settings)
        log.info("consumer_started", broker=describe(settings))
        service = ConsumerService(
            tools, Registry(tools.redis, tools.keys), only=settings.worker_streams
        )
        garbage.settle()
        await service.run(stop)
    log.info("consumer_stopped")


def _expose_metrics(settings: Settings) -> None:
    if not settings.metrics_port:
        return
    try:
        start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        raise ConfigurationError(
            "METRICS_PORT",
            f"{settings.metrics_host}:{settings.metrics_port} can't be used ({error.strerror})",
            "Choose a free port, or 0 for none",
        ) from error

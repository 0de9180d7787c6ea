"""One stream's life: topics there, thread polling, intake working, lag published; and again.

Begins anew by itself when the topic was deleted and created again (a demo broker that restarted
holds nothing of what it had), or when librdkafka gives up. Ends when it is told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from confluent_kafka import KafkaException

from eventstream import kafka_lag as lag
from eventstream.consumer.backlog import Backlog
from eventstream.consumer.gaps import GapWatch
from eventstream.consumer.handover import Handover
from eventstream.consumer.intake import Intake
from eventstream.consumer.poller import Poller
from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.kafka.backoff import Backoff, wait_or_stop
from eventstream.kafka.config import consumer_config
from eventstream.kafka.errors import KafkaUnavailable, reason_of
from eventstream.kafka.producer import AsyncProducer
from eventstream.kafka.topics import KafkaAdmin, plans_for
from eventstream.keys import Keys, queue_for
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis
from eventstream.registry import Registry
from eventstream.results import Results
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from eventstream.tasks import end
from eventstream.wakeup import WakeUps

WATCH_SECONDS: Final = 1.0
LONG_SECONDS: Final = 60.0
"""What has worked for so long was no failed try."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all streams of a process share. `now` is the wall clock, in UTC."""

    settings: Settings
    redis: AsyncRedis
    keys: Keys
    inbox: Inbox
    results: Results
    admin: KafkaAdmin
    producer: AsyncProducer
    wake_ups: WakeUps
    now: Callable[[], datetime]


class StreamConsumer:
    """Consumes the source of one stream; the spec must have one."""

    def __init__(self, stream: str, spec: StreamSpec, tools: Tools, registry: Registry) -> None:
        assert spec.source is not None, "only streams with a source are consumed"
        self._stream = stream
        self._spec = spec
        self._topic = spec.source.topic
        self._tools = tools
        self._registry = registry
        self._intake: Intake | None = None
        self._log = get_logger(__name__).bind(stream=stream, topic=self._topic)

    def adopt(self, spec: StreamSpec) -> bool:
        """Go on with a changed spec; False: its topics are others, make a new consumer."""
        if spec.source != self._spec.source or plans_for(spec) != plans_for(self._spec):
            return False
        self._spec = spec
        if self._intake is not None:
            self._intake.spec = spec
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; then the batch in hand is finished and the group left."""
        clock = asyncio.get_running_loop().time
        backoff = Backoff(0.5, 30.0)
        before: str | None = None
        while True:
            topic_id = await self._prepare(stop)
            if topic_id is None:
                return
            began = clock()
            why = await self._consume(stop, topic_id, anew=before not in (None, topic_id))
            if why is None:
                return
            before = topic_id
            if clock() - began > LONG_SECONDS:
                backoff.reset()
            seconds = backoff.next_seconds()
            self._log.warning("consumer_begins_again", why=why, next_try_seconds=round(seconds, 1))
            await wait_or_stop(stop, seconds)

    async def _prepare(self, stop: asyncio.Event) -> str | None:
        """Have the topics; returns Kafka's id of the source topic, None when stopped before."""
        admin = self._tools.admin
        backoff = Backoff(0.5, 30.0)
        while await admin.wait_for_broker(stop):
            try:
                await admin.ensure_topics(plans_for(self._spec))
                topic_id = await admin.topic_id(self._topic)
                if topic_id is not None:
                    return topic_id
                problem = f"topic {self._topic!r} is being created"
            except KafkaUnavailable as error:
                problem = str(error)
            seconds = backoff.next_seconds()
            self._log.warning(
                "waiting_for_topics", problem=problem, next_try_seconds=round(seconds, 1)
            )
            await wait_or_stop(stop, seconds)
        return None

    async def _consume(self, stop: asyncio.Event, topic_id: str, *, anew: bool) -> str | None:
        """Run thread, intake and watch; returns why to begin again, None when stopped.

        `anew`: the topic is not the one that was consumed before.
        """
        loop = asyncio.get_running_loop()
        settings = self._tools.settings
        handover = Handover(loop, settings.kafka_max_poll_records)
        thread_ended: asyncio.Future[Exception | None] = loop.create_future()
        poller = Poller(
            self._stream,
            self._topic,
            consumer_config(settings, self._spec.consumer_group(self._stream) or self._stream),
            handover,
            on_end=lambda error: _tell(loop, thread_ended, error),
            from_beginning=anew,
        )
        intake = self._intake = self._new_intake(handover)
        poller.start()
        working = asyncio.create_task(intake.run(stop))
        watching = asyncio.create_task(self._watch(poller, topic_id, intake))
        stopping = asyncio.create_task(stop.wait())
        any_end: set[asyncio.Future[Any]] = {working, watching, stopping, thread_ended}
        try:
            await asyncio.wait(any_end, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching_ended = watching.done()
            await end(stopping, watching)
            poller.stop()
            handover.close()
            # The thread waits for the batch in hand, as long as it may; what is left then, others
            # read again.
            await asyncio.shield(asyncio.to_thread(poller.join))
            await end(working)
        if not working.cancelled():
            working.result()
        if watching_ended:
            return watching.result()
        error = await thread_ended
        if isinstance(error, KafkaException):
            return reason_of(error)
        if error is not None:
            raise error
        return None

    async def _is_there(self) -> bool:
        return await self._registry.get_to_accept(self._stream) is not None

    def _new_intake(self, handover: Handover) -> Intake:
        tools = self._tools
        return Intake(
            self._stream,
            self._spec,
            handover,
            is_there=self._is_there,
            inbox=tools.inbox,
            results=tools.results,
            backlog=Backlog(
                tools.inbox,
                self._stream,
                [queue_for(self._stream, "kafka")],
                tools.settings.kafka_max_backlog,
            ),
            producer=tools.producer,
            wake_ups=tools.wake_ups,
            max_bytes=tools.settings.kafka_max_message_bytes,
            now=tools.now,
        )

    async def _watch(self, poller: Poller, topic_id: str, intake: Intake) -> str:
        """Publish the lag every second; returns why the consumer has to begin again."""
        gaps = GapWatch(
            self._stream,
            self._topic,
            poller.offsets,
            lambda: intake.taken,
            redis=self._tools.redis,
            keys=self._tools.keys,
            settings=self._tools.settings,
        )
        backoff = Backoff(WATCH_SECONDS, 15.0)
        published: set[int] = set()
        try:
            while True:
                try:
                    if await self._tools.admin.topic_id(self._topic) != topic_id:
                        return "the topic is not the one it was: deleted, or the broker's data lost"
                    published = await self._publish_lag(poller, published)
                    await gaps.look()
                except StoreUnavailable as error:
                    seconds = backoff.next_seconds()
                    self._log.warning(
                        "lag_unknown", problem=str(error), next_try_seconds=round(seconds, 1)
                    )
                    await asyncio.sleep(seconds)
                else:
                    if backoff.tries:
                        self._log.info("lag_known")
                        backoff.reset()
                    await asyncio.sleep(WATCH_SECONDS)
        finally:
            lag.forget(self._stream, self._topic, published)
            gaps.forget()

    async def _publish_lag(self, poller: Poller, published: set[int]) -> set[int]:
        positions = poller.offsets.positions()
        ends = await self._tools.admin.end_offsets(self._topic, list(positions))
        measured = lag.lags(positions, ends, self._tools.now().timestamp())
        lag.forget(self._stream, self._topic, published - measured.keys())
        await lag.publish(self._tools.redis, self._tools.keys, self._stream, self._topic, measured)
        return set(measured)


def _tell(
    loop: asyncio.AbstractEventLoop,
    ended: asyncio.Future[Exception | None],
    error: Exception | None,
) -> None:
    def settle() -> None:
        if not ended.done():
            ended.set_result(error)

    loop.call_soon_threadsafe(settle)

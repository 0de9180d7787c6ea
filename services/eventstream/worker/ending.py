"""How an event's work ends: published where that is due, then finished in the inbox, or put back.

While Redis is away an answer waits in memory; while Kafka is, it waits in the inbox with its event,
and holds up nobody. Neither way is the model asked again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol, TypeVar

from eventstream.batching import Batcher
from eventstream.claims import Answered, Failed, Held, Unreadable, Wait
from eventstream.errors import StoreUnavailable
from eventstream.events import Event, Failure
from eventstream.inbox import Inbox
from eventstream.keys import stream_of
from eventstream.logs import get_logger
from eventstream.metrics import (
    EVENT_SECONDS_TO_RESULT,
    EVENTS_DEFERRED,
    EVENTS_FAILED,
    EVENTS_FINISHED,
    PROCESSING_SECONDS,
    STORE_UNAVAILABLE,
)
from eventstream.pipeline import Deferral, Ending
from eventstream.worker.kept import pack

log = get_logger(__name__)

Told = TypeVar("Told")

MOST_AT_ONCE: Final = 256
LONGEST_BACK_OFF_SECONDS: Final = 2.0
PUBLISH_AGAIN_SECONDS: Final = 10.0
"""How long an ending waits in the inbox that Kafka did not take."""
PUBLISH_SECONDS: Final = 2.0
"""How long a publication may hold its slot while nothing is known to be wrong, and Kafka quick.
What is given up then may still arrive: the sink is at least once."""
PATIENT_PUBLISH_SECONDS: Final = 20.0
"""Longer than Kafka's client tries by itself: what it never reports may hold up nobody for good."""
PATIENCE: Final = 3.0
"""So many times longer than the last publications took the next may take: a Kafka that is slow is
waited for, or each answer would be given up, and written once more, for as long as it is."""
FORGETTING: Final = 0.9
"""By this factor at most a publication shortens what the last ones are said to have taken."""
LOOK_FOR_KAFKA_SECONDS: Final = 2.0
"""So long after a failure nobody tries; then one does, for all of its stream."""
NEWER_SCHEMA_WAIT_SECONDS: Final = 5.0


class Aftermath(Protocol):
    """What must be acknowledged elsewhere before an event may leave the inbox."""

    async def publish(self, held: Held, ending: Answered | Failed) -> None:
        """To the sink or the dead-letter topic; raises StoreUnavailable to be tried again."""
        ...

    async def is_due(self, held: Held, ending: Answered | Failed) -> bool:
        """Whether `publish` has anything to do for this ending."""
        ...


class Endings:
    """Ends events for one process. `finished` counts those that ended here."""

    def __init__(
        self,
        inbox: Inbox,
        aftermath: Aftermath,
        *,
        consumer: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        timeout: Callable[[float], AbstractAsyncContextManager[object]] = asyncio.timeout,
    ) -> None:
        self._inbox = inbox
        self._aftermath = aftermath
        self._consumer = consumer
        self._clock = clock
        self._wall_clock = wall_clock
        self._timeout = timeout
        self._finish = Batcher(inbox.finish, max_items=MOST_AT_ONCE)
        self._wait: Batcher[Wait, bool] = Batcher(self._put_back_all, max_items=MOST_AT_ONCE)
        self._kafka_away_until: dict[str, float] = {}
        self._publish_took: dict[str, float] = {}
        self.finished = 0

    async def end(self, held: Held, ending: Ending) -> None:
        """Return when the event is finished, or back in the inbox."""
        if isinstance(ending, Deferral):
            await self._put_back(
                held.wait(ending.wait_seconds, why=ending.why, detail=ending.message)
            )
            EVENTS_DEFERRED.labels(held.event.stream, ending.why).inc()
            log.info(
                "event_deferred",
                event_id=held.event.id,
                stream=held.event.stream,
                why=ending.why,
                wait_seconds=round(ending.wait_seconds, 1),
                detail=ending.message,
            )
        elif await self._published(held, ending):
            if await self.persist(lambda: self._finish.submit(ending)):
                self._observe([(held, ending)])
        else:
            await self._put_back(
                held.wait(
                    PUBLISH_AGAIN_SECONDS,
                    pack(ending),
                    why="kafka",
                    detail="it has ended; Kafka has not taken its record yet",
                )
            )
            EVENTS_DEFERRED.labels(held.event.stream, "kafka").inc()

    async def is_only_stored(self, held: Held, ending: Ending) -> bool:
        """Whether nothing has to happen with this ending but to be stored."""
        if isinstance(ending, Deferral):
            return False
        try:
            return not await self._aftermath.is_due(held, ending)
        except StoreUnavailable:
            return False  # Not known: `end` finds out, and has the patience for it.

    async def store_all(self, ended: Sequence[tuple[Held, Answered | Failed]]) -> None:
        """Finish many events in one step, of which `is_only_stored` is true."""
        finished = await self.persist(lambda: self._inbox.finish([end for _, end in ended]))
        self._observe([each for each, now in zip(ended, finished, strict=True) if now])

    async def end_unreadable(self, entry: Unreadable) -> None:
        """Leave what a newer worker wrote to one; fail what nobody can read."""
        if entry.newer:
            await self._put_back(
                Wait(entry.queue, entry.entry, entry.event_id, NEWER_SCHEMA_WAIT_SECONDS)
            )
            return
        log.error("entry_unreadable", event_id=entry.event_id, error=str(entry.refusal))
        failed = Failed(
            queue=entry.queue,
            entry=entry.entry,
            event_id=entry.event_id,
            stream=stream_of(entry.queue),
            acceptance=entry.acceptance,
            failure=Failure(reason=entry.refusal.reason, message=str(entry.refusal)),
        )
        await self.persist(lambda: self._finish.submit(failed))

    async def persist(
        self, exchange: Callable[[], Awaitable[Told]], what: Literal["finish", "history"] = "finish"
    ) -> Told:
        """What `exchange` returns, as soon as Redis is there: what ends an event waits for it."""
        back_off = 0.05
        while True:
            try:
                return await exchange()
            except StoreUnavailable as error:
                STORE_UNAVAILABLE.labels(what).inc()
                log.warning(f"{what}_failed", error=str(error))
                await asyncio.sleep(back_off)
                back_off = min(back_off * 2, LONGEST_BACK_OFF_SECONDS)

    async def _put_back(self, wait: Wait) -> None:
        await self.persist(lambda: self._wait.submit(wait))

    async def _put_back_all(self, waits: list[Wait]) -> list[bool | StoreUnavailable]:
        return await self._inbox.put_back(self._consumer, waits)

    async def _published(self, held: Held, ending: Answered | Failed) -> bool:
        """Whether what has to be published was.

        A client of Kafka takes its time to find out that the brokers are away, and a slot with it:
        so after a failure one event at a time does, and the others of its stream need not.
        """
        if held.event.source is None:
            await self._aftermath.publish(held, ending)
            return True
        stream = held.event.stream
        away_until = self._kafka_away_until.get(stream)
        if away_until is not None:
            if self._clock() < away_until:
                return False
            self._kafka_away_until[stream] = math.inf
        try:
            # The one that looks for Kafka has all the patience of its client.
            seconds = self._patience(stream) if away_until is None else PATIENT_PUBLISH_SECONDS
            began = self._clock()
            async with self._timeout(seconds):
                await self._aftermath.publish(held, ending)
        except (StoreUnavailable, TimeoutError) as error:
            why = str(error) or f"no acknowledgement within {seconds:g} s"
            log.warning("publish_failed", event_id=held.event.id, stream=stream, error=why)
            self._kafka_away_until[stream] = self._clock() + LOOK_FOR_KAFKA_SECONDS
            return False
        except BaseException:
            if away_until is not None:
                self._kafka_away_until[stream] = away_until  # Somebody else has to find out.
            raise
        before = self._publish_took.get(stream, 0.0)
        self._publish_took[stream] = max(self._clock() - began, before * FORGETTING)
        if self._kafka_away_until.pop(stream, None) is not None:
            log.info("kafka_takes_answers_again", stream=stream)
        return True

    def _patience(self, stream: str) -> float:
        """Seconds that a publication may take while nothing is known to be wrong."""
        took = self._publish_took.get(stream, 0.0)
        return min(max(took * PATIENCE, PUBLISH_SECONDS), PATIENT_PUBLISH_SECONDS)

    def _observe(self, ended: Sequence[tuple[Held, Answered | Failed]]) -> None:
        now = self._wall_clock()
        self.finished += len(ended)
        waited: dict[tuple[str, str], list[float]] = defaultdict(list)
        worked: dict[tuple[str, str], list[float]] = defaultdict(list)
        counts: Counter[tuple[str, str, str, str]] = Counter()
        for held, ending in ended:
            event = held.event
            waited[event.stream, event.via].append(max(0.0, now - held.accepted_at_ms / 1000))
            if isinstance(ending, Answered):
                counts[event.stream, event.task_type, "answered", ending.source] += 1
                worked[event.stream, ending.source].append(ending.result.processing_time)
            else:
                counts[event.stream, event.task_type, "failed", "none"] += 1
                self._say_failed(event, ending)
        for labels, seconds in waited.items():
            EVENT_SECONDS_TO_RESULT.labels(*labels).observe_all(seconds)
        for labels, seconds in worked.items():
            PROCESSING_SECONDS.labels(*labels).observe_all(seconds)
        for finished, count in counts.items():
            EVENTS_FINISHED.labels(*finished).inc(count)
        if logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
            for held, ending in ended:
                if isinstance(ending, Answered):
                    log.debug(
                        "event_answered",
                        event_id=held.event.id,
                        stream=held.event.stream,
                        source=ending.source,
                    )

    def _say_failed(self, event: Event, failed: Failed) -> None:
        EVENTS_FAILED.labels(event.stream, failed.failure.reason.value).inc()
        log.warning(
            "event_failed",
            event_id=event.id,
            stream=event.stream,
            reason=failed.failure.reason.value,
            error=failed.failure.message,
        )

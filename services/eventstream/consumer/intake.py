"""The loop's side of one stream: a batch to inbox and dead-letter topic, then acknowledged.

A batch is acknowledged when every good record is in the inbox and every bad one in the dead-letter
topic. What does not work is tried again without end, with waits: nothing is skipped. Only the batch
of a stream that was deleted meanwhile is left as it is, for whoever reads the topic next. It calls
no Kafka consumer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from eventstream.claims import Acceptance, Arrival, Outcome
from eventstream.consumer.backlog import Backlog
from eventstream.consumer.handover import Handover, Polled
from eventstream.consumer.parsing import Refused, conflicts, parse
from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.kafka.backoff import Backoff, wait_or_stop
from eventstream.kafka.errors import KafkaUnavailable, RecordTooLarge
from eventstream.kafka.producer import AsyncProducer
from eventstream.logs import get_logger
from eventstream.metrics import (
    EVENTS_ACCEPTED,
    EVENTS_DUPLICATE,
    EVENTS_REFUSED,
    KAFKA_BATCH_SIZE,
    KAFKA_PRODUCED,
    STORE_UNAVAILABLE,
)
from eventstream.results import Results
from eventstream.spec import StreamSpec
from eventstream.wakeup import WakeUps

T = TypeVar("T")

LOOK_AGAIN_SECONDS: Final = 1.0


class _StreamGone(Exception):
    """The stream was deleted while its batch was in hand."""


class Intake:
    """Takes batches until the handover is closed. `spec` may be exchanged between two batches.

    `is_there` says whether the stream exists, as of seconds ago, or raises StoreUnavailable: a
    consumer that was held up (stopped, or without its Redis) may wake up in another world, and what
    it accepts into a stream that is long gone is answered by nobody.
    """

    def __init__(
        self,
        stream: str,
        spec: StreamSpec,
        handover: Handover,
        *,
        is_there: Callable[[], Awaitable[bool]],
        inbox: Inbox,
        results: Results,
        backlog: Backlog,
        producer: AsyncProducer,
        wake_ups: WakeUps,
        max_bytes: int,
        now: Callable[[], datetime],
    ) -> None:
        self.spec = spec
        self.taken: dict[int, int] = {}
        """Partition -> the offset behind what was taken in hand, accepted or not."""
        self._stream = stream
        self._handover = handover
        self._is_there = is_there
        self._inbox = inbox
        self._results = results
        self._backlog = backlog
        self._producer = producer
        self._wake_ups = wake_ups
        self._max_bytes = max_bytes
        self._now = now
        self._log = get_logger(__name__).bind(stream=stream)

    async def run(self, stop: asyncio.Event) -> None:
        """Until the handover is closed. `stop` only shortens waits for room in the inbox."""
        while True:
            await self._backlog.wait_for_room(stop)
            batch = await self._handover.take()
            if not batch:
                return
            try:
                await self._process(batch, stop)
            except _StreamGone:
                self._handover.acknowledge([])  # nothing of it, and the thread waits no longer
                return
            self._handover.acknowledge(batch)

    async def _process(self, batch: Sequence[Polled], stop: asyncio.Event) -> None:
        KAFKA_BATCH_SIZE.labels(self._stream).observe(len(batch))
        sources = [polled.record.source for polled in batch]
        self.taken |= {source.partition: source.offset + 1 for source in sources}
        parsed = parse(
            [polled.record for polled in batch],
            self._stream,
            self.spec,
            max_bytes=self._max_bytes,
            now=self._now(),
        )
        acceptances = await self._accept(parsed.arrivals, stop)
        refused = [*parsed.refused, *conflicts(parsed, acceptances, self._stream, self._now())]
        if refused:
            await self._dead_letter(refused)

    async def _accept(self, arrivals: Sequence[Arrival], stop: asyncio.Event) -> list[Acceptance]:
        if not arrivals:
            return []

        async def accept() -> list[Acceptance]:
            while not await self._is_there():
                # Who follows the registry stops this consumer soon, or the stream comes back.
                if await wait_or_stop(stop, LOOK_AGAIN_SECONDS):
                    raise _StreamGone
            return await self._inbox.accept(arrivals)

        acceptances = await self._until_it_works("accepting events", accept)
        self._wake_ups.send({each.queue for each in acceptances if each.wake})
        self._backlog.add(len(arrivals))
        by_outcome = [each.outcome for each in acceptances]
        duplicates = by_outcome.count(Outcome.DUPLICATE)
        EVENTS_ACCEPTED.labels(self._stream, "kafka").inc(
            len(by_outcome) - by_outcome.count(Outcome.CONFLICT)
        )
        EVENTS_DUPLICATE.labels(self._stream, "kafka").inc(duplicates)
        return acceptances

    async def _dead_letter(self, refused: Sequence[Refused]) -> None:
        topic = self.spec.dead_letter_topic
        assert topic is not None, "a stream with a source has a dead-letter topic"
        waiting = list(refused)

        async def produce_waiting() -> None:
            # What was acknowledged in an earlier try is not written again.
            outcomes = await asyncio.gather(
                *(self._produce(topic, each) for each in waiting), return_exceptions=True
            )
            pairs = list(zip(waiting, outcomes, strict=True))
            waiting[:] = [each for each, outcome in pairs if outcome is not None]
            for _, outcome in pairs:
                if outcome is not None:
                    raise outcome

        await self._until_it_works("writing dead letters", produce_waiting)
        for each in refused:
            EVENTS_REFUSED.labels(self._stream, "kafka", each.reason.value).inc()
            self._log.warning(
                "dead_lettered",
                event_id=each.event_id,
                reason=each.reason.value,
                topic=each.record.source.topic,
                partition=each.record.source.partition,
                offset=each.record.source.offset,
            )
        KAFKA_PRODUCED.labels(topic, "dead_letter").inc(len(refused))
        await self._until_it_works(
            "counting dead letters",
            lambda: self._results.add_to_counter(self._stream, "dead_lettered", len(refused)),
        )

    async def _produce(self, topic: str, refused: Refused) -> None:
        letter = refused.letter
        try:
            await self._producer.produce(topic, letter.value, letter.key, letter.headers)
        except RecordTooLarge as error:
            # Trying again would stop the stream for good. The coordinates say where the bytes are.
            await self._produce_without_value(topic, refused, error)

    async def _produce_without_value(
        self, topic: str, refused: Refused, too_large: RecordTooLarge
    ) -> None:
        shorter = refused.letter.without_value()
        way_out = f"raise max.message.bytes of {topic}"
        try:
            if shorter is None:
                raise too_large
            await self._producer.produce(topic, None, shorter.key, shorter.headers)
        except RecordTooLarge as error:
            raise KafkaUnavailable(
                f"topic {topic!r} does not even take a dead letter's headers: {way_out}"
            ) from error
        self._log.error(
            "dead_letter_without_value",
            event_id=refused.event_id,
            size_bytes=len(refused.letter.value or b""),
            source=refused.record.source.model_dump(),
            way_out=way_out,
        )

    async def _until_it_works(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        backoff = Backoff()
        while True:
            try:
                result = await attempt()
            except StoreUnavailable as error:
                STORE_UNAVAILABLE.labels(what).inc()
                seconds = backoff.next_seconds()
                self._log.warning(
                    "consumer_waits",
                    doing=what,
                    problem=str(error),
                    next_try_seconds=round(seconds, 1),
                )
                # Not the stop event: a stopping consumer finishes its batch if it can.
                await asyncio.sleep(seconds)
            else:
                if backoff.tries:
                    self._log.info("consumer_goes_on", doing=what)
                return result

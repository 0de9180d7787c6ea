"""What follows an ending: the sink for answers, the dead-letter topic for failures.

Both only for events that came from Kafka, and both acknowledged before the event leaves the inbox:
a crash in between publishes again (at least once, keyed by event id), it never loses. Answers of
HTTP events are read where they were asked for; a broker that is away must not hold them up.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from eventstream.claims import Answered, Failed, Held
from eventstream.kafka import dead_letters
from eventstream.kafka.errors import KafkaUnavailable, RecordTooLarge
from eventstream.kafka.records import Headers
from eventstream.keys import dead_letter_topic
from eventstream.logs import get_logger
from eventstream.metrics import KAFKA_PRODUCED
from eventstream.registry import Registry
from eventstream.results import Results

log = get_logger(__name__)


class Producer(Protocol):
    """An acknowledged write: what the worker needs of a Kafka producer."""

    async def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Returns when the brokers acknowledged; raises StoreUnavailable, RecordTooLarge."""
        ...


class KafkaAftermath:
    """Publishes endings of Kafka events. `producer` None: no Kafka is configured."""

    def __init__(
        self,
        producer: Producer | None,
        registry: Registry,
        results: Results,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._producer = producer
        self._registry = registry
        self._results = results
        self._now = now

    async def is_due(self, held: Held, ending: Answered | Failed) -> bool:
        """Whether this ending has a topic to go to."""
        event = held.event
        if self._producer is None or event.source is None:
            return False
        if isinstance(ending, Failed):
            return True
        spec = await self._registry.get(event.stream)
        return spec is not None and spec.sink is not None

    async def publish(self, held: Held, ending: Answered | Failed) -> None:
        """Write an answer to the stream's sink, a failure to its dead-letter topic.

        Raises StoreUnavailable when Kafka did not acknowledge: to be tried again.
        """
        event = held.event
        if self._producer is None or event.source is None:
            return
        spec = await self._registry.get(event.stream)
        if isinstance(ending, Failed):
            # A deleted stream's events still have a place to go.
            last = spec or await self._registry.last(event.stream)
            topic = (last.dead_letter_topic if last else None) or dead_letter_topic(
                event.source.topic
            )
            await self._dead_letter(self._producer, topic, held, ending)
        elif spec is not None and spec.sink is not None:
            await self._sink(self._producer, spec.sink.topic, held, ending)

    async def _sink(self, producer: Producer, topic: str, held: Held, ending: Answered) -> None:
        event_id = held.event.id
        try:
            await producer.produce(topic, ending.result.to_json(), key=event_id.encode())
        except RecordTooLarge as error:
            # No later try would end otherwise; the answer can be read by its id all the same.
            log.error("result_too_large_for_sink", event_id=event_id, topic=topic, error=str(error))
        else:
            KAFKA_PRODUCED.labels(topic, "sink").inc()

    async def _dead_letter(
        self, producer: Producer, topic: str, held: Held, ending: Failed
    ) -> None:
        letter = dead_letters.from_failure(
            held.event, held.raw, held.key, ending.failure, self._now()
        )
        try:
            await producer.produce(topic, letter.value, key=letter.key, headers=letter.headers)
        except RecordTooLarge as error:
            await self._without_value(producer, topic, letter, error)
        KAFKA_PRODUCED.labels(topic, "dead_letter").inc()
        await self._results.add_to_counter(held.event.stream, "dead_lettered")

    async def _without_value(
        self,
        producer: Producer,
        topic: str,
        letter: dead_letters.Record,
        too_large: RecordTooLarge,
    ) -> None:
        shorter = letter.without_value()
        try:
            if shorter is None:
                raise too_large
            await producer.produce(topic, None, key=shorter.key, headers=shorter.headers)
        except RecordTooLarge as error:
            # The topic takes not even the coordinates: somebody must raise its max.message.bytes.
            raise KafkaUnavailable(str(error)) from error

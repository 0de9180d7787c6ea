"""Topics: wait for a broker, create what is missing where that is allowed, find what changed.

Waiting has no end but the stop event: a consumer that starts before its broker is normal. A topic
that is there is left alone, whatever its partitions and settings.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewTopic,
    OffsetSpec,
)

from eventstream.kafka.backoff import Backoff, wait_or_stop
from eventstream.kafka.config import Config
from eventstream.kafka.errors import KafkaUnavailable, TopicRefused, kafka_error, reason_of
from eventstream.logs import get_logger
from eventstream.spec import StreamSpec

log = get_logger(__name__)

REQUEST_TIMEOUT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 1.0
DEAD_LETTER_SETTINGS: Final = {
    # Untouched bytes and our headers must fit where the source topic was allowed large records.
    "max.message.bytes": str(16 * 1024 * 1024),
    # Somebody has to come and look: a week, Kafka's default, is short for that.
    "retention.ms": str(30 * 24 * 3600 * 1000),
}
_FORBIDDEN: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.POLICY_VIOLATION,
)
_ANSWERS_ABOUT_THE_REQUEST: Final = (
    *_FORBIDDEN,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.INVALID_CONFIG,
    KafkaError.TOPIC_EXCEPTION,
)


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as it would be created."""

    name: str
    partitions: int
    replication_factor: int
    settings: Mapping[str, str] = field(default_factory=dict)


def plans_for(spec: StreamSpec) -> tuple[TopicPlan, ...]:
    """The topics of a stream: source and sink as `spec.source` says, dead letters in one partition.

    One partition keeps dead letters in the order in which they failed; they are few, or something
    else is wrong. Without a source, only a sink is planned, with Kafka's own defaults for it.
    """
    partitions = spec.source.partitions if spec.source else -1
    replication = spec.source.replication_factor if spec.source else -1
    plans = []
    if spec.source:
        plans.append(TopicPlan(spec.source.topic, partitions, replication))
    if spec.dead_letter_topic:
        plans.append(
            TopicPlan(spec.dead_letter_topic, 1, replication, settings=DEAD_LETTER_SETTINGS)
        )
    if spec.sink:
        plans.append(TopicPlan(spec.sink.topic, partitions, replication))
    return tuple(plans)


class KafkaAdmin:
    """The few questions that services ask a broker, without blocking their loop."""

    def __init__(self, config: Config, where: str) -> None:
        """`where` is what log lines call the broker (see `config.describe`)."""
        self.where = where
        self._trouble = ""
        self._under_way: set[concurrent.futures.Future[Any]] = set()
        self._client = AdminClient(config | {"error_cb": self._remember})

    async def wait_for_broker(self, stop: asyncio.Event, backoff: Backoff | None = None) -> bool:
        """Return True as soon as a broker answers; False when `stop` was set before that.

        Says what it waits for, at each try, with waits that grow to half a minute.
        """
        backoff = backoff or Backoff(0.5, 30.0)
        while not stop.is_set():
            try:
                await self.topics()
            except KafkaUnavailable as error:
                seconds = backoff.next_seconds()
                log.warning(
                    "waiting_for_kafka",
                    broker=self.where,
                    problem=str(error),
                    next_try_seconds=round(seconds, 1),
                )
                await wait_or_stop(stop, seconds)
            else:
                if backoff.tries:
                    log.info("kafka_answers", broker=self.where)
                return True
        return False

    async def topics(self) -> dict[str, int]:
        """Topics that there are: name -> partitions. Raises KafkaUnavailable."""
        try:
            metadata = await asyncio.to_thread(
                self._client.list_topics, timeout=REQUEST_TIMEOUT_SECONDS
            )
        except KafkaException as error:
            raise self._unavailable("reading topics", error) from error
        return {name: len(topic.partitions) for name, topic in metadata.topics.items()}

    async def ensure_topics(self, plans: Sequence[TopicPlan]) -> list[str]:
        """Create the topics of `plans` that are missing; returns the names of those created.

        Raises TopicRefused where one may not be created, KafkaUnavailable without a broker.
        """
        there = await self.topics()
        missing = [plan for plan in plans if plan.name not in there]
        if not missing:
            return []
        futures = self._client.create_topics(
            [
                NewTopic(
                    plan.name,
                    plan.partitions,
                    plan.replication_factor,
                    config=dict(plan.settings),
                )
                for plan in missing
            ],
            request_timeout=REQUEST_TIMEOUT_SECONDS,
        )
        created = []
        for plan in missing:
            try:
                await self._answer(futures[plan.name])
            except KafkaException as error:
                code = kafka_error(error).code()
                if code == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue
                if code in _ANSWERS_ABOUT_THE_REQUEST:
                    raise _refused(plan, error) from error
                raise self._unavailable(f"creating topic {plan.name!r}", error) from error
            created.append(plan.name)
        if created:
            log.info("topics_created", topics=created)
        return created

    async def delete_topics(self, names: Sequence[str]) -> list[str]:
        """Delete the topics that are there, with all that is in them; returns their names.

        One that may not be deleted is said in the log and stays. Raises KafkaUnavailable without a
        broker.
        """
        there = await self.topics()
        wanted = [name for name in names if name in there]
        if not wanted:
            return []
        futures = self._client.delete_topics(wanted, request_timeout=REQUEST_TIMEOUT_SECONDS)
        deleted = []
        for name in wanted:
            try:
                await self._answer(futures[name])
            except KafkaException as error:
                code = kafka_error(error).code()
                if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue  # Somebody else was faster.
                if code in (*_FORBIDDEN, KafkaError.TOPIC_DELETION_DISABLED):
                    log.error("topic_not_deleted", topic=name, problem=reason_of(error))
                    continue
                raise self._unavailable(f"deleting topic {name!r}", error) from error
            deleted.append(name)
        return deleted

    async def end_offsets(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Partition -> the offset that the next record will get. Raises KafkaUnavailable."""
        if not partitions:
            return {}
        end = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(topic, number): end for number in partitions}
        futures = self._client.list_offsets(wanted, request_timeout=REQUEST_TIMEOUT_SECONDS)
        try:
            return {
                partition.partition: (await self._answer(future)).offset
                for partition, future in futures.items()
            }
        except KafkaException as error:
            raise self._unavailable(f"reading the end of {topic!r}", error) from error

    async def topic_id(self, topic: str) -> str | None:
        """Kafka's own id of the topic; None when there is no such topic.

        A topic that was deleted and created again has another one. Raises KafkaUnavailable.
        """
        futures = self._client.describe_topics(
            TopicCollection([topic]), request_timeout=REQUEST_TIMEOUT_SECONDS
        )
        try:
            description = await self._answer(futures[topic])
        except KafkaException as error:
            if kafka_error(error).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise self._unavailable(f"describing topic {topic!r}", error) from error
        return str(description.topic_id)

    async def aclose(self) -> None:
        """Wait a moment for requests whose asker is gone, so that none is cut off half-way."""
        await asyncio.to_thread(concurrent.futures.wait, self._under_way, CLOSE_SECONDS)

    async def _answer(self, future: concurrent.futures.Future[Any]) -> Any:
        self._under_way = {each for each in self._under_way if not each.done()} | {future}
        return await asyncio.wrap_future(future)

    def _remember(self, error: KafkaError) -> None:
        self._trouble = reason_of(error)

    def _unavailable(self, what: str, error: KafkaException) -> KafkaUnavailable:
        # Serves error_cb: why a connection failed is said there, not in the time-out.
        self._client.poll(0)
        trouble, self._trouble = self._trouble, ""
        return KafkaUnavailable(
            f"Kafka at {self.where} did not answer while {what}: {trouble or reason_of(error)}"
        )


def _refused(plan: TopicPlan, error: KafkaException) -> TopicRefused:
    create = f"create it with {plan.partitions} partitions"
    if kafka_error(error).code() in _FORBIDDEN:
        way_out = f"{create}, or allow this client to create topics"
    else:
        way_out = f"{create}, or change the stream's partitions and replicationFactor"
    return TopicRefused(
        f"topic {plan.name!r} is missing and could not be created ({reason_of(error)}): {way_out}"
    )

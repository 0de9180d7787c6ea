"""Kafka lag: the consumers' own figures while they are fresh, the broker's otherwise.

The consumers' figures count what is in no inbox yet. The broker's (end of the partition less the
committed offset) lag behind them by a second of auto-commit, but are there when no consumer is: a
stream whose consumers are all gone still shows what waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from pydantic import ValidationError

from eventstream.errors import EventStreamError
from eventstream.kafka.config import admin_config
from eventstream.kafka_lag import PartitionLag
from eventstream.settings import Settings
from eventstream_operator.observe.observation import KafkaBacklog, Measured

FRESH_SECONDS: Final = 8.0
"""Consumers write once a second; after this long without, the broker is asked."""
_BROKER_SECONDS: Final = 5.0
_MOST_GROUPS: Final = 50
"""Asked for in one go; the rest has its turn in the next."""


class KafkaUnavailable(EventStreamError):
    """The broker did not answer."""


@dataclass(frozen=True, slots=True)
class GroupTopic:
    """What to ask a broker for."""

    group: str
    topic: str
    partitions: int
    """By the spec; where the topic does not exist yet."""


def read_figures(stored: Mapping[bytes, bytes]) -> dict[str, PartitionLag]:
    """A `kafka_lag:{stream}` hash; figures of a newer schema are left out."""
    found = {}
    for name, packed in stored.items():
        try:
            found[name.decode()] = PartitionLag.model_validate_json(packed)
        except ValidationError:
            continue
    return found


def consumers_figure(
    figures: Mapping[str, PartitionLag], topic: str, partitions: int, unix_now: float
) -> Measured[KafkaBacklog] | None:
    """The sum over the topic's partitions, as old as the oldest of them.

    None unless there is a figure for each of `partitions`: a partition that no consumer holds may
    hide any amount.
    """
    ours = _of_topic(figures, topic)
    if not ours or len(ours) < partitions:
        return None
    age = max(0.0, max(unix_now - figure.measured_at for figure in ours))
    return Measured(KafkaBacklog(sum(figure.lag for figure in ours), len(ours)), age)


class PartitionsSeen:
    """The most partitions that consumers ever told of, a stream.

    A topic never gets fewer; consumers that publish anew, one after another, show fewer at first.
    """

    def __init__(self) -> None:
        self._most: dict[str, tuple[str, int]] = {}

    def of(self, stream: str, topic: str) -> int:
        """How many its topic has at least."""
        known, most = self._most.get(stream, ("", 0))
        return most if known == topic else 0

    def look(self, stream: str, topic: str, figures: Mapping[str, PartitionLag]) -> None:
        """Take in a reading; what was seen of another topic is forgotten."""
        most = max(self.of(stream, topic), len(_of_topic(figures, topic)))
        self._most[stream] = (topic, most)

    def forget(self, stream: str) -> None:
        """The stream is gone."""
        self._most.pop(stream, None)


def _of_topic(figures: Mapping[str, PartitionLag], topic: str) -> list[PartitionLag]:
    return [figure for name, figure in figures.items() if name.rpartition(":")[0] == topic]


class BrokerLags:
    """Asks the broker, in one thread of its own. Raises KafkaUnavailable."""

    def __init__(self, settings: Settings) -> None:
        self._admin = AdminClient(admin_config(settings))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-lag")
        self._turn = 0

    async def read(self, wanted: Mapping[str, GroupTopic]) -> dict[str, KafkaBacklog]:
        """Stream -> backlog, for at most 50 of the streams in `wanted`, in turns."""
        names = sorted(wanted)
        start = self._turn % len(names) if names else 0
        chosen = (names[start:] + names[:start])[:_MOST_GROUPS]
        self._turn = start + len(chosen)
        asked = {name: wanted[name] for name in chosen}
        loop = asyncio.get_running_loop()
        try:
            # The thread's own calls have time-outs; this one is for a library that forgets its.
            return await asyncio.wait_for(
                loop.run_in_executor(self._thread, self._ask, asked), 4 * _BROKER_SECONDS
            )
        except (KafkaException, TimeoutError) as error:
            raise KafkaUnavailable(f"the broker can't be asked for lag: {error}") from error

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self, wanted: Mapping[str, GroupTopic]) -> dict[str, KafkaBacklog]:
        if not wanted:
            return {}
        topics = self._admin.list_topics(timeout=_BROKER_SECONDS).topics
        partitions = {
            each.topic: [
                TopicPartition(each.topic, number) for number in topics[each.topic].partitions
            ]
            for each in wanted.values()
            if each.topic in topics
        }
        every = [partition for found in partitions.values() for partition in found]
        ends = self._offsets(every, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        starts = self._offsets(every, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        committed = {
            name: self._admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(each.group, partitions[each.topic])],
                request_timeout=_BROKER_SECONDS,
            )[each.group]
            for name, each in wanted.items()
            if partitions.get(each.topic)
        }
        backlogs = {}
        for name, each in wanted.items():
            if name not in committed:
                # Nothing can wait in a topic that is not there yet.
                backlogs[name] = KafkaBacklog(0, each.partitions)
                continue
            answer = committed[name].result(_BROKER_SECONDS)
            lag = 0
            for place in answer.topic_partitions:
                at = (place.topic, place.partition)
                # Nothing committed yet (or expired): a consumer begins at the first record.
                begin = place.offset if place.offset >= 0 else starts.get(at, 0)
                lag += max(0, ends.get(at, 0) - max(begin, starts.get(at, 0)))
            backlogs[name] = KafkaBacklog(lag, len(partitions[each.topic]))
        return backlogs

    def _offsets(
        self, partitions: list[TopicPartition], which: OffsetSpec
    ) -> dict[tuple[str, int], int]:
        if not partitions:
            return {}
        answers: Mapping[Any, Future[Any]] = self._admin.list_offsets(
            dict.fromkeys(partitions, which), request_timeout=_BROKER_SECONDS
        )
        return {
            (partition.topic, partition.partition): answer.result(_BROKER_SECONDS).offset
            for partition, answer in answers.items()
        }

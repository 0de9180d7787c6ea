"""Kafka lag: the consumers' own figures while they are fresh, the broker's otherwise.

The consumers' figures count what is in no inbox yet. The broker's (end of the partition less the
committed offset) lag behind them by a second of auto-commit, but are there when no consumer is: a
stream whose consumers are all gone still shows what waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    OffsetSpec,
    TopicDescription,
)

from eventstream.errors import EventStreamError
from eventstream.kafka.config import admin_config
from eventstream.kafka_lag import PartitionLag
from eventstream.logs import get_logger
from eventstream.settings import Settings
from eventstream_operator.observe.observation import KafkaBacklog, Measured

log = get_logger(__name__)

_Offsets = Mapping[tuple[str, int], Future[Any]]
"""(topic, partition) -> the answer that has its offset."""

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
    # A clock that is ahead tells as little as one that is behind: else a figure from the future
    # would be fresh long after its consumer has died.
    age = max(abs(unix_now - figure.measured_at) for figure in ours)
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


@dataclass(frozen=True, slots=True)
class _Answers:
    """What became of one question about several streams."""

    backlogs: dict[str, KafkaBacklog] = field(default_factory=dict)
    problems: dict[str, KafkaException | TimeoutError] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    """Of each topic, also where its offsets are not known."""


class BrokerLags:
    """Asks the broker, in one thread of its own. Raises KafkaUnavailable."""

    def __init__(self, settings: Settings) -> None:
        self._admin = AdminClient(admin_config(settings))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-lag")
        self._turn = 0
        self._failing: set[str] = set()
        self._partitions: dict[str, int] = {}

    def partitions(self, topic: str) -> int | None:
        """How many the topic had when the broker last told of it; 0: it did not, or there was none.

        None: it was not asked yet.
        """
        return self._partitions.get(topic)

    async def read(self, wanted: Mapping[str, GroupTopic]) -> dict[str, KafkaBacklog]:
        """Stream -> backlog, for at most 50 of the streams in `wanted`, in turns.

        One whose topic or group can't be told of is left out, and logged once.
        """
        names = sorted(wanted)
        start = self._turn % len(names) if names else 0
        chosen = (names[start:] + names[:start])[:_MOST_GROUPS]
        self._turn = start + len(chosen)
        asked = {name: wanted[name] for name in chosen}
        loop = asyncio.get_running_loop()
        try:
            # The thread's own calls have time-outs; this one is for a library that forgets its.
            answers = await asyncio.wait_for(
                loop.run_in_executor(self._thread, self._ask, asked), 4 * _BROKER_SECONDS
            )
        except (KafkaException, TimeoutError) as error:
            raise KafkaUnavailable(f"the broker can't be asked for lag: {error}") from error
        self._partitions |= answers.partitions
        for each in asked.values():
            self._partitions.setdefault(each.topic, 0)
        if answers.problems and not answers.backlogs:
            problem = next(iter(answers.problems.values()))
            raise KafkaUnavailable(f"the broker can't be asked for lag: {problem}") from problem
        self._log(wanted, answers)
        return answers.backlogs

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _log(self, wanted: Mapping[str, GroupTopic], answers: _Answers) -> None:
        for stream, problem in answers.problems.items():
            if stream not in self._failing:
                log.warning("signal_missing", signal="kafka", stream=stream, problem=str(problem))
        for stream in self._failing & answers.backlogs.keys():
            log.info("signal_back", signal="kafka", stream=stream)
        asked_for = self._failing & wanted.keys()
        self._failing = (asked_for | answers.problems.keys()) - answers.backlogs.keys()

    def _ask(self, wanted: Mapping[str, GroupTopic]) -> _Answers:
        answers = _Answers()
        if not wanted:
            return answers
        topics = self._topics(wanted, answers)
        # Without a leader nobody answers, and all others would wait for that.
        every = [
            TopicPartition(topic, partition.id)
            for topic, described in topics.items()
            for partition in described.partitions
            if partition.leader is not None
        ]
        ends = self._offsets(every, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        starts = self._offsets(every, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        committed = {
            name: self._committed(each.group, topics[each.topic])
            for name, each in wanted.items()
            if each.topic in topics
        }
        for name, offsets in committed.items():
            try:
                answers.backlogs[name] = _backlog(offsets, starts, ends)
            except (KafkaException, TimeoutError) as problem:
                # A partition without a leader, a group that may not be described: one stream's.
                answers.problems[name] = problem
        return answers

    def _topics(
        self, wanted: Mapping[str, GroupTopic], answers: _Answers
    ) -> dict[str, TopicDescription]:
        """The topics that are there. What there is to say of the others goes into `answers`."""
        names = list(dict.fromkeys(each.topic for each in wanted.values()))
        asked: Mapping[str, Future[TopicDescription]] = self._admin.describe_topics(
            TopicCollection(names), request_timeout=_BROKER_SECONDS
        )
        found = {}
        for name, each in wanted.items():
            try:
                found[each.topic] = asked[each.topic].result(2 * _BROKER_SECONDS)
                answers.partitions[each.topic] = len(found[each.topic].partitions)
            except TimeoutError as problem:
                answers.problems[name] = problem
            except KafkaException as problem:
                if problem.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    answers.problems[name] = problem
                    continue
                # Nothing can wait in a topic that is not there yet.
                answers.backlogs[name] = KafkaBacklog(0, each.partitions)
                answers.partitions[each.topic] = 0
        return found

    def _committed(self, group: str, topic: TopicDescription) -> Future[Any]:
        places = [TopicPartition(topic.name, partition.id) for partition in topic.partitions]
        answers: Mapping[str, Future[Any]] = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, places)], request_timeout=_BROKER_SECONDS
        )
        return answers[group]

    def _offsets(self, partitions: list[TopicPartition], which: OffsetSpec) -> _Offsets:
        if not partitions:
            return {}
        answers: Mapping[Any, Future[Any]] = self._admin.list_offsets(
            dict.fromkeys(partitions, which), request_timeout=_BROKER_SECONDS
        )
        return {
            (partition.topic, partition.partition): answer for partition, answer in answers.items()
        }


def _backlog(committed: Future[Any], starts: _Offsets, ends: _Offsets) -> KafkaBacklog:
    """Of one stream. Raises KafkaException or TimeoutError where any partition is not known: what
    the others hold would pass for all there is."""
    places = committed.result(_BROKER_SECONDS).topic_partitions
    lag = 0
    for place in places:
        if place.error is not None:
            raise KafkaException(place.error)
        start, end = _offset(starts, place), _offset(ends, place)
        # Nothing committed yet (or expired): a consumer begins at the first record.
        begin = place.offset if place.offset >= 0 else start
        lag += max(0, end - max(begin, start))
    return KafkaBacklog(lag, len(places))


def _offset(offsets: _Offsets, place: TopicPartition) -> int:
    answer = offsets.get((place.topic, place.partition))
    offset = -1 if answer is None else int(answer.result(_BROKER_SECONDS).offset)
    if offset < 0:
        reason = f"no leader tells of partition {place.partition} of {place.topic!r}"
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, reason))
    return offset

"""What became of records that were written to Kafka, before the API is asked about their events.

An event's id does not say which record it was: where two texts share one, the second is refused,
and the API knows the first one's answer. So records are told apart by where they stand. The
consumer publishes up to where it has taken each partition; what it refused of that stands in the
dead-letter topic, with its place in the source.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from eventstream import kafka_lag
from eventstream.cli.common import open_state
from eventstream.cli.transports import Place
from eventstream.kafka.config import reader_config
from eventstream.kafka.dead_letters import parse
from eventstream.kafka.errors import TopicMissing
from eventstream.kafka.ranges import Range, RangeReader
from eventstream.settings import Settings
from eventstream.spec import StreamSpec

CONSUMER_SECONDS: Final = 60.0
"""How long a consumer may take nothing of the partitions that were written to."""
LOOK_SECONDS: Final = 0.5

Offsets = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record became a dead letter."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """Of the records that were asked about: what was refused, and what no consumer has taken.

    The API knows the events of all others.
    """

    refused: Mapping[Place, Refusal] = field(default_factory=dict)
    not_taken: frozenset[Place] = frozenset()


async def dead_letter_ends(settings: Settings, topic: str) -> Offsets:
    """Partition -> where the dead-letter topic ends now; none where it is not there yet.

    Raises KafkaUnavailable.
    """
    with contextlib.suppress(TopicMissing):
        async with RangeReader(reader_config(settings), topic) as reader:
            return {number: each.end for number, each in (await reader.whole()).items()}
    return {}


async def wait_until_taken(
    settings: Settings,
    stream: str,
    spec: StreamSpec,
    places: Iterable[Place],
    since: Offsets,
    patience_seconds: float = CONSUMER_SECONDS,
) -> Arrived:
    """Waits until consumers have taken all `places` of the source topic, or nothing for so long.

    `since`: what `dead_letter_ends` said before the records were written. Raises KafkaUnavailable,
    StoreUnavailable.
    """
    assert spec.source is not None
    topic = spec.source.topic
    asked = frozenset(places)
    not_taken = await _wait(settings, stream, topic, asked, patience_seconds)
    refused: dict[Place, Refusal] = {}
    with contextlib.suppress(TopicMissing):
        async with RangeReader(reader_config(settings), spec.dead_letter_topic or "") as reader:
            ranges = {
                number: Range(max(each.first, since.get(number, each.first)), each.end)
                for number, each in (await reader.whole()).items()
            }
            async for records in reader.read(ranges):
                for letter in map(parse, records):
                    if letter.source is None or letter.source.topic != topic:
                        continue
                    place = Place(letter.source.partition, letter.source.offset)
                    if place in asked:
                        refused[place] = Refusal(letter.reason, letter.error)
    return Arrived(refused, not_taken - refused.keys())


async def _wait(
    settings: Settings, stream: str, topic: str, places: frozenset[Place], patience_seconds: float
) -> frozenset[Place]:
    """The places that were not taken before patience ended."""
    before: dict[int, int] = {}
    moved_at = time.monotonic()
    async with open_state(settings) as state:
        while True:
            figures = await kafka_lag.read(state.redis, state.keys, stream)
            taken = {
                number: figure.position
                for number in {place.partition for place in places}
                if (figure := figures.get(f"{topic}:{number}")) is not None
            }
            left = frozenset(each for each in places if each.offset >= taken.get(each.partition, 0))
            if taken != before:
                before, moved_at = taken, time.monotonic()
            if not left or time.monotonic() - moved_at >= patience_seconds:
                return left
            await asyncio.sleep(LOOK_SECONDS)

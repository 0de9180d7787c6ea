"""Reading a topic again from a time on, straight into the inbox.

For a results Redis that lost its data. The group's offsets stay where they are. An event whose id
is known is a duplicate and is not answered twice; one that was finished longer ago than the results
live is answered again. Bad records are counted only: they are in the dead-letter topic already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from eventstream import kafka_gap
from eventstream.claims import Outcome
from eventstream.consumer.backlog import Backlog
from eventstream.consumer.parsing import parse
from eventstream.consumer.stream import Tools
from eventstream.kafka.config import reader_config
from eventstream.kafka.ranges import Range, RangeReader
from eventstream.keys import queue_for
from eventstream.spec import StreamSpec


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """How far a replay is. `total` is what the topic's offsets promise; gaps make it less."""

    total: int
    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    refused: int = 0
    gaps_closed: int = 0
    """Gaps, as a lost results Redis left them, that were read again from end to end."""


async def read_again(
    tools: Tools,
    stream: str,
    spec: StreamSpec,
    since: datetime,
    on_progress: Callable[[ReadAgain], None],
) -> ReadAgain:
    """Accept everything of the stream's source topic from `since` on; returns the counts.

    Raises StoreUnavailable where it must stop; it is safe to be run again from the same time.
    """
    assert spec.source is not None, "only streams with a source can be read again"
    settings = tools.settings
    backlog = Backlog(tools.inbox, stream, [queue_for(stream, "kafka")], settings.kafka_max_backlog)
    never = asyncio.Event()
    async with RangeReader(reader_config(settings), spec.source.topic) as reader:
        ranges = await reader.since(max(0, int(since.timestamp() * 1000)))
        left = await reader.whole()
        done = ReadAgain(total=sum(each.end - each.first for each in ranges.values()))
        on_progress(done)
        async for records in reader.read(ranges):
            await backlog.wait_for_room(never)
            parsed = parse(
                records,
                stream,
                spec,
                max_bytes=settings.kafka_max_message_bytes,
                now=tools.now(),
            )
            acceptances = await tools.inbox.accept(parsed.arrivals)
            backlog.add(len(acceptances))
            tools.wake_ups.send({each.queue for each in acceptances if each.wake})
            outcomes = [each.outcome for each in acceptances]
            done = replace(
                done,
                read=done.read + len(records),
                accepted=done.accepted + outcomes.count(Outcome.ACCEPTED),
                duplicates=done.duplicates + outcomes.count(Outcome.DUPLICATE),
                conflicts=done.conflicts + outcomes.count(Outcome.CONFLICT),
                refused=done.refused + len(parsed.refused),
            )
            on_progress(done)
    closed = await _close_gaps(tools, stream, spec.source.topic, ranges, left)
    return replace(done, gaps_closed=closed)


async def _close_gaps(
    tools: Tools,
    stream: str,
    topic: str,
    ranges: Mapping[int, Range],
    left: Mapping[int, Range],
) -> int:
    """`ranges` is what was read of `left`: what retention has deleted, nobody can read again."""
    read = [
        gap
        for gap in await kafka_gap.read(tools.redis, tools.keys, [stream])
        if gap.topic == topic
        and (place := ranges.get(gap.partition)) is not None
        and (whole := left.get(gap.partition)) is not None
        and place.first <= max(gap.first, whole.first)
        and gap.end <= place.end
    ]
    await kafka_gap.close(tools.redis, tools.keys, read)
    return len(read)

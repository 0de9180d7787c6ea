"""Backlog and counters: what waits in a stream's inboxes, and what came and went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventstream.keys import Keys
from eventstream.results import StreamCounters
from eventstream_operator.observe.observation import EventCounts, InboxDepth


def add_queue(pipe: Any, keys: Keys, queue: str, group: str) -> None:
    """Ask, on a pipeline, for the five replies that `depth_of` takes for each queue."""
    pipe.xlen(keys.inbox(queue))
    pipe.xpending(keys.inbox(queue), group)
    pipe.zcard(keys.deferred(queue))
    pipe.xrange(keys.inbox(queue), count=1)
    pipe.zrange(keys.again(queue), 0, 0, withscores=True)


def depth_of(queues: Sequence[Sequence[Any]], unix_now: float) -> InboxDepth:
    """The replies of a stream's queues, summed; `unix_now` is Redis' clock, in seconds."""
    queued = in_flight = deferred = 0
    oldest_waiting = oldest = unix_now
    for length, pending, put_back, first, again in queues:
        held = 0 if isinstance(pending, Exception) else int(pending["pending"])
        queued += max(0, length - held)
        in_flight += held
        deferred += put_back
        if first:
            oldest_waiting = min(oldest_waiting, int(first[0][0].split(b"-")[0]) / 1000)
        # The API takes out, every second, what is finished.
        if again and (length or put_back):
            oldest = min(oldest, again[0][1] / 1000)
    return InboxDepth(
        queued=queued,
        in_flight=in_flight,
        deferred=deferred,
        oldest_age_seconds=max(0.0, unix_now - oldest_waiting),
        oldest_unfinished_seconds=max(0.0, unix_now - min(oldest, oldest_waiting)),
    )


def counts_of(counters: StreamCounters) -> EventCounts:
    """Accepted without duplicates, and finished either way."""
    return EventCounts(
        accepted=counters.accepted - counters.duplicates,
        finished=counters.answered + counters.failed,
    )

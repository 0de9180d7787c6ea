"""What waits, as the API last saw it: refreshed in the background, read without waiting.

`POST /process` needs three things on its hot path that must never cost a round trip: the streams
that exist, whether the backlog is full, and how long an answer will take. The gauges of the queues
are set on the same pass. This module decides nothing about workers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from eventstream.claims import Depth
from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.keys import queues_of
from eventstream.logs import get_logger
from eventstream.metrics import DEFERRED_EVENTS, OLDEST_EVENT_SECONDS, QUEUE_LENGTH
from eventstream.registry import Registry
from eventstream.results import Results, StreamCounters
from eventstream.spec import StreamSpec

log = get_logger(__name__)

REFRESH_SECONDS: Final = 1.0
RATE_WINDOW_SECONDS: Final = 30.0
UNKNOWN_WORK_SECONDS: Final = 2.0
"""What an answer is said to take while none has been given yet."""


class BacklogWatch:
    """Streams, depths and rates, at most about `REFRESH_SECONDS` old; `clock` is monotonic."""

    def __init__(
        self,
        inbox: Inbox,
        results: Results,
        registry: Registry,
        *,
        max_backlog: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._results = results
        self._registry = registry
        self._max_backlog = max_backlog
        self._clock = clock
        self._accepted_since = 0
        self._unfinished = 0
        self._waiting: dict[str, int] = {}
        self._work_seconds: dict[str, float] = {}
        self._finished: dict[str, deque[tuple[float, int]]] = {}
        self._shown: set[tuple[str, str]] = set()
        self._streams: Mapping[str, StreamSpec] = {}

    @property
    def streams(self) -> Mapping[str, StreamSpec]:
        """The streams that existed at the last pass."""
        return self._streams

    async def find_stream(self, name: str) -> StreamSpec | None:
        """A stream's spec, to accept events by; what is not known, or not lately, is asked for.

        Raises StoreUnavailable.
        """
        return await self._registry.get_to_accept(name)

    def note_accepted(self, events: int) -> None:
        """Count what was accepted since the last pass, so that a burst can't overshoot."""
        self._accepted_since += events

    @property
    def full(self) -> bool:
        """Whether no more events should be taken (API_MAX_BACKLOG)."""
        return self._unfinished + self._accepted_since >= self._max_backlog

    def estimated_seconds(self, stream: str) -> float:
        """When an event accepted now may be answered.

        mean work on one event + events in front / events finished a second over the last 30 s;
        without a rate only the first part, 2 s while no event of the stream was answered yet.
        """
        seconds = self._work_seconds.get(stream, UNKNOWN_WORK_SECONDS)
        rate = self._rate(stream)
        if rate:
            seconds += self._waiting.get(stream, 0) / rate
        return round(seconds, 2)

    def _rate(self, stream: str) -> float:
        samples = self._finished.get(stream)
        if not samples or len(samples) < 2:
            return 0.0
        (first_at, first), (last_at, last) = samples[0], samples[-1]
        # A counter that went back was lost with its Redis.
        return max(0, last - first) / (last_at - first_at) if last_at > first_at else 0.0

    async def refresh(self) -> None:
        """One pass. Raises StoreUnavailable; what was known before stays."""
        streams = await self._registry.all()
        self._streams = streams
        queues = {(stream, queue) for stream in streams for queue in queues_of(stream)}
        accepted_before = self._accepted_since
        depths = await self._inbox.depth([queue for _, queue in queues])
        counters = await self._results.counters(list(streams))
        self._unfinished = sum(depth.unfinished for depth in depths.values())
        self._accepted_since -= accepted_before
        self._waiting = {
            stream: sum(depths[queue].unfinished for queue in queues_of(stream))
            for stream in streams
        }
        self._note_rates(counters)
        self._show(queues, depths)

    def _note_rates(self, counters: Mapping[str, StreamCounters]) -> None:
        now = self._clock()
        self._finished = {stream: self._finished.get(stream, deque()) for stream in counters}
        for stream, counted in counters.items():
            samples = self._finished[stream]
            samples.append((now, counted.answered + counted.failed))
            while now - samples[0][0] > RATE_WINDOW_SECONDS:
                samples.popleft()
            if counted.answered:
                self._work_seconds[stream] = counted.processing_us / counted.answered / 1_000_000

    def _show(self, queues: set[tuple[str, str]], depths: Mapping[str, Depth]) -> None:
        for stream, queue in queues:
            QUEUE_LENGTH.labels(stream, queue).set(depths[queue].length)
            DEFERRED_EVENTS.labels(stream, queue).set(depths[queue].deferred)
            OLDEST_EVENT_SECONDS.labels(stream, queue).set(depths[queue].oldest_age_seconds)
        for stream, queue in self._shown - queues:
            QUEUE_LENGTH.remove(stream, queue)
            DEFERRED_EVENTS.remove(stream, queue)
            OLDEST_EVENT_SECONDS.remove(stream, queue)
        self._shown = queues

    async def run(self, interval_seconds: float = REFRESH_SECONDS) -> None:
        """Refresh until cancelled; an absent Redis is said once, and once when it is back."""
        away = False
        while True:
            try:
                await self.refresh()
            except StoreUnavailable as error:
                if not away:
                    log.warning("backlog_unknown", problem=str(error))
                away = True
            except Exception as error:  # what is known stays in use; look again
                log.error("backlog_unreadable", exc_info=error)
            else:
                if away:
                    log.info("backlog_known_again")
                away = False
            await asyncio.sleep(interval_seconds)

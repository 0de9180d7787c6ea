"""Back-pressure: hold the intake while a stream's inbox is full, instead of filling Redis.

Counts what we accepted ourselves between two looks, so a fast topic can't run past the limit, and
looks again after a second, because others fill and empty the same inbox.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.kafka.backoff import wait_or_stop
from eventstream.logs import get_logger

LOOK_EVERY_SECONDS: Final = 1.0
LOOK_WHILE_FULL_SECONDS: Final = 0.25


class Backlog:
    """Full above `most` unfinished events; open again at half of it."""

    def __init__(
        self,
        inbox: Inbox,
        stream: str,
        queues: Sequence[str],
        most: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._queues = queues
        self._most = most
        self._clock = clock
        self._log = get_logger(__name__).bind(stream=stream)
        self._length = 0
        self._looked_at = float("-inf")

    def add(self, events: int) -> None:
        """So many were accepted just now."""
        self._length += events

    async def wait_for_room(self, stop: asyncio.Event) -> None:
        """Return when the inbox may take more, or `stop` is set."""
        if self._length <= self._most and self._clock() - self._looked_at < LOOK_EVERY_SECONDS:
            return
        if await self._look() <= self._most:
            return
        self._log.warning("inbox_full", unfinished=self._length, limit=self._most)
        while await self._look() > self._most // 2:
            if await wait_or_stop(stop, LOOK_WHILE_FULL_SECONDS):
                return
        self._log.info("inbox_drained", unfinished=self._length)

    async def _look(self) -> int:
        try:
            depths = await self._inbox.depth(self._queues)
        except StoreUnavailable:
            # Accepting will meet the same trouble, and waits for Redis there.
            self._length = 0
            return 0
        self._length = sum(depth.unfinished for depth in depths.values())
        self._looked_at = self._clock()
        return self._length

"""Suspects: events whose process let its lease end, and which may be what ended it.

Whether one waits, and the next one to take over. How they are run is the drain's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from eventstream.claims import Failed, Held
from eventstream.errors import Reason
from eventstream.inbox import Inbox
from eventstream.logs import get_logger
from eventstream.metrics import EVENTS_REDELIVERED
from eventstream.worker.ending import Endings

log = get_logger(__name__)

SUSPECT_LOOK_SECONDS: Final = 1.0


def renewed_within(lease_seconds: float) -> float:
    """Seconds in which those who hold events have renewed them, once Redis is back."""
    return lease_seconds / 3


class Suspects:
    """Looked for on behalf of one process. `wait` and `take` raise StoreUnavailable."""

    def __init__(
        self,
        inbox: Inbox,
        endings: Endings,
        *,
        consumer: str,
        queues: Callable[[], Sequence[str]],
        lease_seconds: float,
        takes_over_from: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._endings = endings
        self._consumer = consumer
        self._queues = queues
        self._lease_seconds = lease_seconds
        self._takes_over_from = takes_over_from
        self._clock = clock
        self._looked_for_predecessors: set[str] = set()
        self._looked_at = float("-inf")

    def hold_off(self) -> None:
        """Leases go on ending while Redis is away. Who holds them renews them first."""
        self._looked_at = self._clock() + renewed_within(self._lease_seconds)

    async def wait(self) -> bool:
        """Whether an event waits that an earlier process let go of; looked at once a second."""
        now = self._clock()
        if now - self._looked_at < SUSPECT_LOOK_SECONDS or now < self._takes_over_from():
            return False
        self._looked_at = now
        queues = self._queues()
        if any(queue not in self._looked_for_predecessors for queue in queues):
            return True
        for queue in queues:
            if await self._waits_in(queue):
                return True
        return False

    def may_have_predecessor(self, queue: str) -> bool:
        """Whether a predecessor in this process's slot may have left events of a queue."""
        return queue not in self._looked_for_predecessors

    def has_no_predecessor(self, queue: str) -> None:
        """What a predecessor left of a queue has been run."""
        self._looked_for_predecessors.add(queue)

    async def take(self, queue: str, *, own: bool) -> Held | None:
        """The next one of a queue, if any; `own`: of those that stand under this process's name."""
        claim = await self._inbox.claim(
            queue, self._consumer, 0, suspects="own" if own else "take", begins=False
        )
        for entry in claim.unreadable:
            await self._endings.end_unreadable(entry)
        return claim.suspects[0] if claim.suspects else None

    def tell_of(self, held: Held) -> None:
        """Say, and count, that an event was taken over."""
        EVENTS_REDELIVERED.labels(held.event.stream).inc()
        log.warning(
            "event_redelivered",
            event_id=held.event.id,
            stream=held.event.stream,
            deliveries=held.deliveries,
        )

    async def delivered_too_often(self, held: Held) -> Failed:
        """Its end, with who had it; waits for a Redis that is away.

        Given up, the event would be held by nobody who works on it until its lease ends.
        """
        history = await self._endings.persist(lambda: self._inbox.history(held.event.id), "history")
        return held.failed(
            Reason.DELIVERED_TOO_OFTEN,
            f"delivered {held.deliveries - 1} times and never finished:"
            " it may be what ends its process",
            history,
        )

    async def _waits_in(self, queue: str) -> bool:
        claim = await self._inbox.claim(queue, self._consumer, 0, suspects="peek", begins=False)
        return claim.suspect_waits

"""Successors: the processes that a drain wakes for what it does not take, or leaves behind.

Which wake-ups a run has answered, and where the next one is wanted. How one is sent is not known
here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.logs import get_logger
from eventstream.metrics import STORE_UNAVAILABLE

log = get_logger(__name__)


class Successors:
    """Woken by one process, of which each run answers the wake-up it began with."""

    def __init__(
        self,
        inbox: Inbox,
        *,
        queues: Callable[[], Sequence[str]],
        wake: Callable[[Sequence[str]], None],
        clock: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._queues = queues
        self._wake = wake
        self._clock = clock
        self._began = clock()
        self._answered: set[str] = set()

    def begin(self) -> None:
        """A run begins: it has answered nothing yet."""
        self._began = self._clock()
        self._answered.clear()

    def is_first_claim(self, queue: str) -> bool:
        """Whether the run's next claim from a queue answers the wake-up that is under way."""
        return queue not in self._answered

    def claimed(self, queue: str, *, wanted: bool) -> None:
        """A claim was made; `wanted`: more waits than it took, and nobody is on the way."""
        self._answered.add(queue)
        if wanted:
            self._wake([queue])

    async def leave_to_one(self) -> None:
        """Wake one process, unless it is on its way: it looks into all queues."""
        await self._leave(self._queues())

    async def leave_to_all(self) -> None:
        """Wake one process a queue: what was in hand here is work for more than one."""
        await asyncio.gather(*(self._leave([queue]) for queue in self._queues()))

    async def _leave(self, queues: Sequence[str]) -> None:
        try:
            for queue in queues:
                # Where the run never claimed, one that is older may be the very one that began it:
                # then nobody would come.
                counts = None if queue in self._answered else self._clock() - self._began
                if await self._inbox.wants_a_wake_up(queue, within_seconds=counts):
                    self._wake([queue])
                    return
        except StoreUnavailable as error:
            # Made good like a lost one: the parent of an idle process looks for itself.
            STORE_UNAVAILABLE.labels("wake").inc()
            log.warning("wake_up_not_sent", error=str(error))

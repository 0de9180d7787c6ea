"""What a deleted stream leaves behind: once its last event is finished, what its spec says goes.

Level-based, as everything about streams: a worker looks at the tombstones, does what is due and
marks them settled; one that is killed half-way leaves it to the next. Finishing the events that
still wait is not done here but by every worker's drain, which serves the queues of tombstones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.kafka.errors import Unconfirmed
from eventstream.keys import queues_of
from eventstream.logs import get_logger
from eventstream.registry import SETTLING_SECONDS, RegisteredStream, Registry

log = get_logger(__name__)

QUIET_SECONDS: Final = 60.0
"""Until nobody accepts events of the stream any more: pods that stop, readers that know it yet."""

TRY_AGAIN_SECONDS: Final = 60.0
"""A try costs its time-outs, and the drain waits for it."""

REMOVAL_SECONDS: Final = SETTLING_SECONDS - 15.0
"""What is not begun by then is not begun: Kafka takes its time for what it was told."""


class Answers(Protocol):
    """What is needed of the semantic cache."""

    async def clear(self, task_type: str | None = None, stream: str | None = None) -> int:
        """Remove a stream's answers. Raises StoreUnavailable."""
        ...


class Topics(Protocol):
    """What is needed of Kafka."""

    async def delete_topics(self, names: list[str]) -> list[str]:
        """Delete those that are there; returns their names. Raises StoreUnavailable."""
        ...

    async def aclose(self) -> None:
        """End the client."""
        ...


class Leavings:
    """Settles deleted streams.

    `kafka` makes a client when one is needed for the first time, which is rare; it is kept, because
    each is several threads, and an old one's stay until the garbage collector comes by. None: no
    Kafka is configured. `store_seconds` is the clock that tombstones go by (Redis' own), `clock` is
    monotonic.
    """

    def __init__(
        self,
        registry: Registry,
        inbox: Inbox,
        answers: Answers,
        kafka: Callable[[], Topics] | None,
        *,
        store_seconds: Callable[[], Awaitable[float]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._inbox = inbox
        self._answers = answers
        self._kafka = kafka
        self._topics: Topics | None = None
        self._store_seconds = store_seconds or registry.store_seconds
        self._clock = clock
        self._failing = False
        self._not_before: dict[str, float] = {}

    async def settle(self) -> None:
        """Do what is due; what can't be done now is tried again by a call a minute later."""
        try:
            tombstones = await self._registry.tombstones()
            now = await self._store_seconds() if tombstones else 0.0
            for name, tombstone in tombstones.items():
                if (
                    is_due(tombstone, now)
                    and self._clock() >= self._not_before.get(name, float("-inf"))
                    and await self._is_empty(name)
                ):
                    await self._try(name, tombstone)
            self._failing = False
        except StoreUnavailable as error:
            if not self._failing:
                log.warning("deleted_stream_not_settled", problem=str(error))
            self._failing = True

    async def aclose(self) -> None:
        """End what was made."""
        if self._topics is not None:
            await self._topics.aclose()

    async def _try(self, name: str, tombstone: RegisteredStream) -> None:
        """Settle one, or put it off: the others do not wait for it.

        What is known of it may be seconds old, and somebody may write the stream anew at any
        moment: so it is asked for first, and nobody does before it is settled or given up.
        """
        ends_at = self._clock() + REMOVAL_SECONDS
        try:
            begun = await self._registry.begin_settling(name, tombstone)
            if begun is None:
                return
            ours, named = begun
            try:
                async with asyncio.timeout(REMOVAL_SECONDS):
                    await self._remove(name, ours, named, ends_at)
            except StoreUnavailable as error:
                if not isinstance(error, Unconfirmed):  # else it may happen yet
                    await self._registry.give_up_settling(name, ours)
                raise
            if await self._registry.settle(name, ours):
                log.info("stream_settled", stream=name)
            self._not_before.pop(name, None)
        except (StoreUnavailable, TimeoutError) as error:
            if name not in self._not_before:
                problem = str(error) or f"it takes more than {REMOVAL_SECONDS:g} s"
                log.warning("deleted_stream_not_settled", stream=name, problem=problem)
            self._not_before[name] = self._clock() + TRY_AGAIN_SECONDS

    async def _is_empty(self, name: str) -> bool:
        depths = await self._inbox.depth(queues_of(name))
        return not any(depth.unfinished for depth in depths.values())

    async def _remove(
        self, name: str, tombstone: RegisteredStream, named: set[str], ends_at: float
    ) -> None:
        if tombstone.spec.on_delete.cached_answers == "Delete":
            removed = await self._answers.clear(stream=name)
            log.info("cached_answers_deleted", stream=name, answers=removed)
        if tombstone.topics_to_delete and self._kafka is not None:
            # Those last known, too: a stream that can't be read any more keeps its topics.
            others = await self._registry.all()
            kept = named.union(*(spec.topics for spec in others.values()))
            wanted = [topic for topic in tombstone.topics_to_delete if topic not in kept]
            self._topics = self._topics or self._kafka()
            if self._clock() >= ends_at:  # A process that was stopped hears of it too late.
                raise TimeoutError
            deleted = await self._topics.delete_topics(wanted)
            log.info("topics_deleted", stream=name, topics=deleted)


def is_due(tombstone: RegisteredStream, store_now: float) -> bool:
    """Whether nobody accepts events of the stream any more, at `store_now` of Redis' clock.

    A clock that went back far (another server took over) is not waited for.
    """
    return abs(store_now - tombstone.deleted_at) >= QUIET_SECONDS


async def take_up_again(registry: Registry, inbox: Inbox) -> None:
    """Un-settle what holds events all the same. Raises StoreUnavailable.

    However long one waits, an event may still come into a settled stream: from a process that was
    stopped between looking at the streams and accepting. Nobody would serve its queue.
    """
    settled = await registry.settled()
    queues = {queue: name for name in settled for queue in queues_of(name)}
    depths = await inbox.depth(list(queues)) if queues else {}
    for name in {queues[queue] for queue, depth in depths.items() if depth.unfinished}:
        if await registry.unsettle(name, settled[name]):
            log.warning("settled_stream_has_events", stream=name)

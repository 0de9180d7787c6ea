"""What a deleted stream leaves behind: once its last event is finished, what its spec says goes.

Level-based, as everything about streams: a worker looks at the tombstones, does what is due and
marks them settled; one that is killed half-way leaves it to the next. Finishing the events that
still wait is not done here but by every worker's drain, which serves the queues of tombstones.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from eventstream.errors import StoreUnavailable
from eventstream.inbox import Inbox
from eventstream.keys import queues_of
from eventstream.logs import get_logger
from eventstream.registry import RegisteredStream, Registry

log = get_logger(__name__)

QUIET_SECONDS: Final = 60.0
"""Until nobody accepts events of the stream any more: pods that stop, readers that know it yet."""

TRY_AGAIN_SECONDS: Final = 60.0
"""A try costs its time-outs, and the drain waits for it."""


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
        """Settle one, or put it off: the others do not wait for it."""
        try:
            if not await self._is_still(name, tombstone):
                return
            await self._remove(name, tombstone)
            if await self._registry.settle(name, tombstone):
                log.info("stream_settled", stream=name)
            self._not_before.pop(name, None)
        except StoreUnavailable as error:
            if name not in self._not_before:
                log.warning("deleted_stream_not_settled", stream=name, problem=str(error))
            self._not_before[name] = self._clock() + TRY_AGAIN_SECONDS

    async def _is_empty(self, name: str) -> bool:
        depths = await self._inbox.depth(queues_of(name))
        return not any(depth.unfinished for depth in depths.values())

    async def _is_still(self, name: str, tombstone: RegisteredStream) -> bool:
        """Whether the stream is the deleted one now: the look that found it may be seconds old."""
        self._registry.look_again()
        return (await self._registry.tombstones()).get(name) == tombstone

    async def _remove(self, name: str, tombstone: RegisteredStream) -> None:
        what = tombstone.spec.on_delete
        if what.cached_answers == "Delete":
            removed = await self._answers.clear(stream=name)
            log.info("cached_answers_deleted", stream=name, answers=removed)
        if what.topics == "Delete" and self._kafka is not None:
            # Answers take their time to go, and topics are gone for good.
            if not await self._is_still(name, tombstone):
                return
            if unknown := await self._registry.unknown():
                raise StoreUnavailable(
                    f"{', '.join(sorted(unknown))} can't be read, and its topics may be the same"
                )
            others = await self._registry.all()
            kept = {topic for spec in others.values() for topic in spec.topics}
            wanted = [topic for topic in tombstone.spec.topics if topic not in kept]
            self._topics = self._topics or self._kafka()
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

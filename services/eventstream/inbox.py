"""The inbox: accepted events in Redis Streams, one stream a queue, one consumer group.

An event lives here from acceptance until it is finished. Workers *claim* events under a lease that
they renew; what a dead worker held is taken over when its lease ends, whatever Celery's visibility
timeout says. Every step is one atomic script (`lua/`), so there is no state in between to be lost
in. The inbox does not know what an event means, who wakes the workers, or Kafka.

Data, all on the results Redis: `inbox:{queue}` (stream: id, event, acceptance, raw?,
key?, ending?), `task_meta:{id}` (hash), `result:{id}` (string), `deferred:{queue}` +
`deferred_entries:{queue}` (what waits for a provider, a budget or Kafka), `counters:{stream}`, and
the channel `finished`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final, Literal, cast

from redis.commands.core import AsyncScript

from eventstream import inbox_endings, lua
from eventstream.claims import (
    Acceptance,
    Answered,
    Arrival,
    Cancellation,
    Claim,
    Depth,
    Failed,
    Outcome,
    Wait,
    key_is_foreign,
)
from eventstream.errors import Reason, StoreUnavailable
from eventstream.events import Failure
from eventstream.inbox_entries import read_entries
from eventstream.keys import INBOX_GROUP, Keys, queue_for
from eventstream.logs import get_logger
from eventstream.redis_client import AsyncRedis, own_reply, reading_or_writing

log = get_logger(__name__)

MAX_DETAIL_CHARS: Final = 300
"""Of why an event waits: as many may wait as the inbox holds."""
WAKE_TTL_MS: Final = 10_000
"""How long a wake-up counts as under way; a lost one is made good by the workers' own look."""
LONGEST_WAIT_SECONDS: Final = 300.0
"""A deferred event is looked at again after so long at most; as in lua/common.lua."""


class Inbox:
    """Accept, claim, finish. All methods raise StoreUnavailable when Redis does not play along."""

    def __init__(
        self, redis: AsyncRedis, keys: Keys, *, result_ttl_seconds: int, lease_seconds: float
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl_seconds = result_ttl_seconds
        self._lease_ms = int(lease_seconds * 1000)
        self._foreign: set[str] = set()  # queues with another program's key, by the last claim

        def also_when_full(name: str) -> AsyncScript:
            return redis.register_script(lua.ALSO_WHEN_FULL + lua.source(name))

        self._accept = redis.register_script(lua.source("accept"))
        self._oldest_open = redis.register_script(lua.source("oldest_open"))
        self._claim = also_when_full("claim")
        self._finish = also_when_full("finish")
        self._put_back = also_when_full("put_back")
        self._renew = also_when_full("renew")
        self._cancel = also_when_full("cancel")
        self._tidy = also_when_full("tidy")
        self._wake = also_when_full("wake")

    # -- transports ------------------------------------------------------------------------

    async def accept(self, arrivals: Sequence[Arrival]) -> list[Acceptance]:
        """Make a batch durable; one answer an arrival, in order.

        After StoreUnavailable all, some or none of it may be in: handing it in again is safe, the
        same id with the same content is a duplicate.
        """
        acceptances: list[Acceptance] = []
        for answer in await self.accept_each(arrivals):
            if isinstance(answer, StoreUnavailable):
                raise answer
            acceptances.append(answer)
        return acceptances

    async def accept_each(self, arrivals: Sequence[Arrival]) -> list[Acceptance | StoreUnavailable]:
        """The same for events of many streams: StoreUnavailable in the place of an answer says
        that another program's key stands where the inbox of that one would, which is not in.
        """
        if not arrivals:
            return []
        keys: list[str] = []
        # One for all: an id is accepted once a batch at most.
        arguments: list[Any] = [WAKE_TTL_MS, secrets.token_urlsafe(9)]
        queues: list[str] = []
        for arrival in arrivals:
            event = arrival.event
            queue = queue_for(event.stream, event.via)
            queues.append(queue)
            keys += [
                self._keys.task_meta(event.id),
                self._keys.inbox(queue),
                self._keys.counters(event.stream),
                self._keys.wake(queue),
                self._keys.result(event.id),
            ]
            arguments += [
                event.id,
                event.digests,
                event.stream,
                queue,
                event.task_type,
                event.via,
                event.to_json(),
                arrival.raw or b"",
                arrival.key or b"",
            ]
        async with reading_or_writing("accepting events"):
            answers, wanted = await self._accept(keys=keys, args=arguments)
        wakes = set(wanted)
        return [
            key_is_foreign(self._keys.inbox(queue))
            if answer == b"no_inbox"
            else _acceptance(arrival.event.id, answer.decode(), queue, position in wakes)
            for position, (arrival, queue, answer) in enumerate(
                zip(arrivals, queues, answers, strict=True), start=1
            )
        ]

    async def cancel(self, event_id: str) -> Cancellation:
        """Cancel an unfinished event (it ends as FAILURE, reason `cancelled`), or forget one."""
        return await self._cancel_or_forget(event_id, "any")

    async def forget_failure(self, event_id: str) -> Cancellation:
        """Forget an event that has failed; one that is unfinished or answered is left alone."""
        return await self._cancel_or_forget(event_id, "failed")

    async def _cancel_or_forget(
        self, event_id: str, what: Literal["any", "failed"]
    ) -> Cancellation:
        failure = Failure(reason=Reason.CANCELLED, message="cancelled by its owner")
        async with reading_or_writing("cancelling an event"):
            answer = await self._cancel(
                keys=[
                    self._keys.task_meta(event_id),
                    self._keys.result(event_id),
                    self._keys.finished_channel,
                ],
                args=[
                    INBOX_GROUP,
                    event_id,
                    failure.model_dump_json(),
                    self._ttl_seconds,
                    self._keys.inbox(""),
                    self._keys.deferred(""),
                    self._keys.deferred_entries(""),
                    self._keys.counters(""),
                    what,
                    self._keys.again(""),
                ],
            )
        return Cancellation(answer.decode())

    async def depth(self, queues: Sequence[str]) -> dict[str, Depth]:
        """How full the named queues are; another program's key holds nothing."""
        async with reading_or_writing("reading queue lengths"):
            pipe = self._redis.pipeline(transaction=False)
            for queue in queues:
                pipe.xlen(self._keys.inbox(queue))
                pipe.xpending(self._keys.inbox(queue), INBOX_GROUP)
                pipe.zcard(self._keys.deferred(queue))
            pipe.time()
            replies: list[Any] = [
                # An inbox that nobody has claimed from yet has no group: nothing is pending there.
                None if "NOGROUP" in str(reply) else own_reply(reply)
                for reply in await pipe.execute(raise_on_error=False)
            ]
            ends = await self._oldest_open(
                keys=[
                    key(queue) for queue in queues for key in (self._keys.inbox, self._keys.again)
                ],
                args=[self._keys.task_meta("")],
            )
        seconds, microseconds = replies[-1]
        now_ms = seconds * 1000 + microseconds // 1000
        depths: dict[str, Depth] = {}
        for index, queue in enumerate(queues):
            length, pending, deferred = replies[index * 3 : index * 3 + 3]
            in_flight = int(pending["pending"]) if pending else 0
            oldest = own_reply(ends[index * 2 + 1]) if length or deferred else None
            oldest_ms = int(oldest.split(b"-")[0]) if oldest else now_ms
            depths[queue] = Depth(
                queued=max(0, (length or 0) - in_flight),
                in_flight=in_flight,
                deferred=deferred or 0,
                oldest_age_seconds=max(0, now_ms - oldest_ms) / 1000,
            )
        return depths

    # -- workers ---------------------------------------------------------------------------

    async def claim(
        self,
        queue: str,
        consumer: str,
        most: int,
        *,
        suspects: Literal["none", "peek", "take", "own"] = "none",
        begins: bool = True,
    ) -> Claim:
        """Take up to `most` waiting events of `queue`, or some MB of them, under a lease.

        `begins`: the first claim of a drain, which answers the wake-up that is under way.

        `suspects`: events whose lease has ended are left alone (`none`), looked for (`peek`), or
        one of them is taken (`take`); `own` takes one that a dead predecessor of the same consumer
        name left, before its lease ends.

        Nothing while one of the queue's keys is another program's: that is told, once.
        """
        async with reading_or_writing("claiming events"):
            fresh, suspicious, suspect_waits, wake, *foreign = await self._claim(
                keys=[
                    self._keys.inbox(queue),
                    self._keys.deferred(queue),
                    self._keys.deferred_entries(queue),
                    self._keys.wake(queue),
                    self._keys.again(queue),
                ],
                args=[
                    INBOX_GROUP,
                    consumer,
                    most,
                    self._lease_ms,
                    suspects,
                    self._keys.task_meta(""),
                    int(begins),
                    WAKE_TTL_MS,
                ],
            )
        self._tell_foreign(queue, foreign)
        taken, unreadable = read_entries(queue, fresh)
        suspects_taken, others_unreadable = read_entries(queue, suspicious)
        return Claim(
            fresh=tuple(taken),
            suspects=tuple(suspects_taken),
            unreadable=(*unreadable, *others_unreadable),
            suspect_waits=bool(suspect_waits),
            wake=bool(wake),
        )

    def _tell_foreign(self, queue: str, keys: Sequence[bytes]) -> None:
        if keys and queue not in self._foreign:
            problem = str(key_is_foreign(keys[0].decode()))
            log.warning("queue_not_claimed", queue=queue, problem=problem)
        if keys:
            self._foreign.add(queue)
        else:
            self._foreign.discard(queue)

    async def finish(self, endings: Sequence[Answered | Failed]) -> list[bool]:
        """Finish a batch in one step. False: that event was finished before, or its id was accepted
        anew since; it is not counted.
        """
        if not endings:
            return []
        keys = [self._keys.finished_channel]
        arguments: list[Any] = [INBOX_GROUP, self._ttl_seconds]
        for ending in endings:
            keys += inbox_endings.keys_of(self._keys, ending)
            arguments += inbox_endings.arguments_of(ending)
        async with reading_or_writing("finishing events"):
            answers = await self._finish(keys=keys, args=arguments)
        return [bool(answer) for answer in answers]

    async def renew(self, queue: str, consumer: str, entries: Sequence[str]) -> set[str]:
        """Renew the leases of `entries`; returns those that are not ours any more."""
        if not entries:
            return set()
        async with reading_or_writing("renewing leases"):
            lost = await self._renew(
                keys=[self._keys.inbox(queue)], args=[INBOX_GROUP, consumer, *entries]
            )
        return {entry.decode() for entry in lost}

    async def put_back(self, consumer: str, waits: Sequence[Wait]) -> list[bool | StoreUnavailable]:
        """Let go of held events. False: `consumer` did not hold that one any more; left alone.

        StoreUnavailable: another program's key is in the way of that one, which stays held.
        """
        if not waits:
            return []
        keys: list[str] = []
        arguments: list[Any] = [INBOX_GROUP, consumer]
        for queue, entry, event_id, wait_seconds, ending, why, detail in waits:
            keys += [
                self._keys.inbox(queue),
                self._keys.deferred(queue),
                self._keys.deferred_entries(queue),
                self._keys.task_meta(event_id),
                self._keys.again(queue),
            ]
            wait_ms = round(wait_seconds * 1000)
            arguments += [entry, event_id, wait_ms, ending, why, detail[:MAX_DETAIL_CHARS]]
        async with reading_or_writing("putting events back"):
            answers = await self._put_back(keys=keys, args=arguments)
        return [
            key_is_foreign(answer.decode()) if isinstance(answer, bytes) else bool(answer)
            for answer in answers
        ]

    async def needs_a_worker(self, queue: str) -> bool:
        """Whether `queue` has something to do for a worker: waiting, due again, or lease ended."""
        async with reading_or_writing("looking for waiting events"):
            pipe = self._redis.pipeline(transaction=False)
            pipe.xlen(self._keys.inbox(queue))
            pipe.xpending(self._keys.inbox(queue), INBOX_GROUP)
            pipe.xpending_range(
                self._keys.inbox(queue), INBOX_GROUP, "-", "+", 1, idle=self._lease_ms
            )
            pipe.zrange(self._keys.deferred(queue), 0, 0, withscores=True)
            pipe.zrange(self._keys.deferred(queue), -1, -1, withscores=True)
            pipe.hlen(self._keys.deferred_entries(queue))
            pipe.zcard(self._keys.again(queue))
            pipe.time()
            replies = await pipe.execute(raise_on_error=False)
        length, pending, late, *deferred, entries, again, time = replies
        if any(isinstance(reply, Exception) for reply in (length, *deferred, entries, again, time)):
            # Another program's key among them: no worker could claim anything.
            return False
        now_ms = time[0] * 1000 + time[1] // 1000
        for scored in deferred:
            # One that is too far off is due, too: claim.lua says why.
            if scored:
                wait_ms = scored[0][1] - now_ms
                if not 0 < wait_ms <= LONGEST_WAIT_SECONDS * 1000:
                    return True
        if isinstance(pending, Exception):
            return bool(length)
        return bool(length > int(pending["pending"]) or late)

    async def wants_a_wake_up(self, queue: str, *, within_seconds: float | None = None) -> bool:
        """Whether `queue` needs a worker and no wake-up is under way; then the caller's one is.

        One that is under way for longer than `within_seconds` counts for nothing.
        """
        if not await self.needs_a_worker(queue):
            return False
        async with reading_or_writing("waking a worker"):
            # What comes between these two steps wakes for itself.
            within_ms = WAKE_TTL_MS if within_seconds is None else int(within_seconds * 1000)
            return bool(
                await self._wake(keys=[self._keys.wake(queue)], args=[WAKE_TTL_MS, within_ms])
            )

    async def tidy(self, queue: str, idle_seconds: float) -> int:
        """Forget consumers that hold nothing and were not seen for `idle_seconds`; how many."""
        async with reading_or_writing("tidying an inbox"):
            return int(
                await self._tidy(
                    keys=[self._keys.inbox(queue)],
                    args=[INBOX_GROUP, int(idle_seconds * 1000)],
                )
            )

    async def history(self, event_id: str) -> tuple[str, ...]:
        """Who took the event and when (milliseconds of Redis' clock), oldest first."""
        async with reading_or_writing("reading an event's history"):
            meta = cast(
                dict[bytes, bytes], await self._redis.hgetall(self._keys.task_meta(event_id))
            )
        deliveries = sorted(
            (int(field.split(b":")[1]), value.decode())
            for field, value in meta.items()
            if field.startswith(b"delivery:")
        )
        return tuple(f"delivery {number}: {who}" for number, who in deliveries)


def _acceptance(event_id: str, answer: str, queue: str, wake: bool) -> Acceptance:
    foreign = answer == "foreign"
    return Acceptance(
        event_id, Outcome.CONFLICT if foreign else Outcome(answer), queue, wake, foreign
    )

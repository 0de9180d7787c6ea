"""What a stream has used on a UTC day, and its budget.

Before a call its largest possible cost is set aside, after it the real cost takes that place, each
in one atomic script: so a budget is never overspent by more than an estimate was wrong. What a
process that died had set aside lapses by itself. What Redis could not be told is told again before
the process sets more aside; until then the estimate stands for it.

A call is counted once, however often it is told: each has a name, and Redis keeps the names of a
process's calls until that says, with what it tells next, that no copy can come any more: it heard
the answer to the only one, or that was COPIES_SECONDS ago.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

from redis.exceptions import NoScriptError

from eventstream.errors import StoreUnavailable
from eventstream.keys import Keys
from eventstream.llm.cost import Tokens
from eventstream.llm.lua import script
from eventstream.redis_client import AsyncRedis, reading_or_writing

KEEP_SECONDS: Final = 40 * 86_400
"""How long a day's figures stay: a month and some days, for whoever reads bills."""

HOLD_SECONDS: Final = 600
"""Longer than any event's deadline."""

TOLD_SECONDS: Final = 3 * 86_400
"""How long names stay that their process tells nothing more about: over a weekend without work."""

COPIES_SECONDS: Final = 3600
"""So long a command may be on its way that was given up, and told again."""

_TOLD_AT_ONCE: Final = 100


class BudgetState(IntEnum):
    """The answer to a wish to spend."""

    HELD = 0
    IN_FLIGHT = 1
    """Enough is left, but calls under way may need it: soon known."""
    SPENT = 2


@dataclass(frozen=True)
class Hold:
    """One call, named by `member`, and the money set aside for it, if there is a budget."""

    stream: str
    day: str
    member: str
    set_aside: bool = True


@dataclass(frozen=True)
class Usage:
    """What a stream used on one day."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_microdollars: int = 0
    held_microdollars: int = 0
    """Set aside for calls under way."""


@dataclass
class _Call:
    """What is not known to be told."""

    keys: list[str]
    args: list[str | int]
    under_way: bool = False
    given_up: bool = False
    """A copy of it may be on its way still."""


class Spending:
    """Usage and budgets in Redis. Methods raise StoreUnavailable."""

    def __init__(
        self,
        redis: AsyncRedis,
        keys: Keys,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._now = now
        self._monotonic = monotonic
        self._hold = script(redis, "hold_budget")
        self._record = script(redis, "record_usage")
        self._untold: dict[str, _Call] = {}
        self._telling_again = asyncio.Lock()
        self._failed_tellings = 0
        self._told_key = keys.usage_told(uuid.uuid4().hex)
        self._heard: dict[str, float] = {}
        """Told calls, whose names Redis keeps, and from when on it need not."""

    def today(self) -> str:
        """The UTC day, as it stands in keys."""
        return self._now().strftime("%Y-%m-%d")

    async def hold(
        self, stream: str, budget_microdollars: int, estimate_microdollars: int
    ) -> Hold | BudgetState:
        """Set an estimate aside, or say why not (IN_FLIGHT or SPENT)."""
        await self._tell_again()
        day = self.today()
        name = uuid.uuid4().hex
        hold = Hold(stream, day, f"{name}:{estimate_microdollars}")
        try:
            async with reading_or_writing("holding a budget"):
                state = BudgetState(
                    await self._hold(
                        keys=[self._keys.usage(stream, day), self._keys.usage_held(stream, day)],
                        args=[
                            budget_microdollars,
                            estimate_microdollars,
                            name,
                            HOLD_SECONDS * 1000,
                            KEEP_SECONDS * 1000,
                        ],
                    )
                )
        except (StoreUnavailable, asyncio.CancelledError):
            # It may be set aside all the same, for a call that will not be made.
            self._untold[hold.member] = self._used(hold, calls=0, tokens=Tokens(), cost=0)
            raise
        return hold if state is BudgetState.HELD else state

    def no_hold(self, stream: str) -> Hold:
        """For a call without a budget: only its usage is recorded."""
        return Hold(stream, self.today(), uuid.uuid4().hex, set_aside=False)

    async def record(self, hold: Hold, *, calls: int, tokens: Tokens, cost: int | None) -> None:
        """Count what was used (`cost` in micro-dollars) and let go of what was set aside.

        Where that fails, or is cancelled, it is told again before the next `hold`, with what is
        told next, or by `aclose`, however much later that is, and counted once.
        """
        name = hold.member
        self._untold[name] = self._used(hold, calls=calls, tokens=tokens, cost=cost)
        if self._telling_again.locked() or len(self._left()) == 1:
            await self._tell([name])
            return
        # The rest of an outage goes along with one, not with everybody, and costs no wait of its
        # own: the answer that was paid for is not given out yet.
        async with self._telling_again:
            if name not in self._untold:
                return  # another task told it, while this one waited for its turn
            rest = [other for other in self._left() if other != name]
            await self._tell([name, *rest[:_TOLD_AT_ONCE]])

    def _used(self, hold: Hold, *, calls: int, tokens: Tokens, cost: int | None) -> _Call:
        keys = [
            self._keys.usage(hold.stream, hold.day),
            self._keys.usage_held(hold.stream, hold.day),
            self._told_key,
        ]
        args: list[str | int] = [
            hold.member,
            calls,
            tokens.prompt,
            tokens.completion,
            cost or 0,
            KEEP_SECONDS * 1000,
            TOLD_SECONDS * 1000,
        ]
        return _Call(keys, args)

    def _left(self) -> list[str]:
        """What nobody is just telling."""
        return [name for name, call in self._untold.items() if not call.under_way]

    async def _tell(self, names: Sequence[str]) -> None:
        """Tell calls in one go. What Redis does not take stays untold; raises the first one's."""
        calls = {name: self._untold[name] for name in names}
        done_with = [name for name in self._done_with() if name not in calls]
        for call in calls.values():
            call.under_way = True
        try:
            async with reading_or_writing("recording a model call"):
                replies = await self._replies(list(calls.values()), done_with)
                now = self._monotonic()
                for (name, call), reply in zip(calls.items(), replies, strict=True):
                    if isinstance(reply, Exception):
                        continue
                    self._untold.pop(name, None)
                    self._heard[name] = now + COPIES_SECONDS if call.given_up else now
                if isinstance(replies[0], Exception):
                    raise replies[0]
            for name in done_with:
                self._heard.pop(name, None)
        except StoreUnavailable:
            self._failed_tellings += 1
            raise
        finally:
            for call in calls.values():
                call.under_way, call.given_up = False, True

    async def _replies(self, calls: list[_Call], done_with: list[str]) -> list[object]:
        first, *rest = calls
        more = [*first.args, *done_with]
        if not rest:
            return [await self._record(keys=first.keys, args=more)]
        pipe = self._redis.pipeline(transaction=False)
        for call, args in [(first, more), *((call, call.args) for call in rest)]:
            # Not `self._record(..., client=pipe)`: redis-py asks first whether the server has the
            # script, a round trip of its own, and keeps the connection where that is not answered.
            pipe.evalsha(self._record.sha, len(call.keys), *call.keys, *args)
        replies: list[object] = await pipe.execute(raise_on_error=False)
        if isinstance(replies[0], NoScriptError):
            # A server that was started anew: the rest goes along another time.
            replies[0] = await self._record(keys=first.keys, args=more)
        return replies

    def _done_with(self) -> list[str]:
        now = self._monotonic()
        return [name for name, until in self._heard.items() if until <= now]

    async def _tell_again(self) -> None:
        if not self._left() and not self._telling_again.locked():
            return
        failed_before = self._failed_tellings
        async with self._telling_again:
            while left := self._left():
                if self._failed_tellings != failed_before:
                    # Each in turn would wait for a server that hangs, until its call's time is up.
                    raise StoreUnavailable("Redis could not be told of earlier model calls")
                await self._tell(left[:_TOLD_AT_ONCE])

    async def aclose(self) -> None:
        """Tell what is not told yet, if Redis is there: the next process does not know of it."""
        with suppress(StoreUnavailable):
            await self._tell_again()
            if not self._heard:
                return
            async with reading_or_writing("ending the record of model calls"):
                pipe = self._redis.pipeline(transaction=False)
                if done_with := self._done_with():
                    pipe.srem(self._told_key, *done_with)
                # What was told again may still be on its way, too.
                pipe.pexpire(self._told_key, COPIES_SECONDS * 1000)
                await pipe.execute()

    async def release(self, hold: Hold) -> None:
        """Let go of what was set aside for a call that was not made."""
        if hold.set_aside:
            await self.record(hold, calls=0, tokens=Tokens(), cost=0)

    async def usage(self, stream: str, day: str) -> Usage:
        """What a stream used on a UTC day (YYYY-MM-DD)."""
        async with reading_or_writing("reading the usage"):
            stored = await self._redis.hgetall(self._keys.usage(stream, day))
        return Usage(
            **{
                name.decode() if isinstance(name, bytes) else name: int(value)
                for name, value in stored.items()
            }
        )

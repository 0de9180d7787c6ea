"""What a stream has used on a UTC day, and its budget.

Before a call its largest possible cost is set aside, after it the real cost takes that place, each
in one atomic script: so a budget is never overspent by more than an estimate was wrong. What a
process that died had set aside lapses by itself. What Redis could not be told is told again before
the process sets more aside; until then the estimate stands for it.

A call is counted once, however often it is told: each has a name, and Redis keeps the names of a
process's calls until that knows that they were heard, which it says with what it tells next.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

from eventstream.errors import StoreUnavailable
from eventstream.keys import Keys
from eventstream.llm.cost import Tokens
from eventstream.llm.lua import script
from eventstream.redis_client import AsyncRedis, reading_or_writing

KEEP_SECONDS: Final = 40 * 86_400
"""How long a day's figures stay: a month and some days, for whoever reads bills."""

HOLD_SECONDS: Final = 600
"""Longer than any event's deadline."""


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


class Spending:
    """Usage and budgets in Redis. Methods raise StoreUnavailable."""

    def __init__(
        self,
        redis: AsyncRedis,
        keys: Keys,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._now = now
        self._hold = script(redis, "hold_budget")
        self._record = script(redis, "record_usage")
        self._untold: list[tuple[list[str], list[str | int]]] = []
        self._told_key = keys.usage_told(uuid.uuid4().hex)
        self._heard: set[str] = set()

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
            self._untold.append(self._used(hold, calls=0, tokens=Tokens(), cost=0))
            raise
        return hold if state is BudgetState.HELD else state

    def no_hold(self, stream: str) -> Hold:
        """For a call without a budget: only its usage is recorded."""
        return Hold(stream, self.today(), uuid.uuid4().hex, set_aside=False)

    async def record(self, hold: Hold, *, calls: int, tokens: Tokens, cost: int | None) -> None:
        """Count what was used (`cost` in micro-dollars) and let go of what was set aside.

        Where that fails, or is cancelled, it is told again before the next `hold`, or after what is
        told next, or by `aclose`, however much later that is, and counted once.
        """
        used = self._used(hold, calls=calls, tokens=tokens, cost=cost)
        try:
            await self._tell(*used)
        except (StoreUnavailable, asyncio.CancelledError):
            self._untold.append(used)
            raise
        self._heard.add(hold.member)
        with suppress(StoreUnavailable):
            await self._tell_again()

    def _used(
        self, hold: Hold, *, calls: int, tokens: Tokens, cost: int | None
    ) -> tuple[list[str], list[str | int]]:
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
        ]
        return keys, args

    async def _tell(self, keys: list[str], args: list[str | int]) -> None:
        heard = self._heard - {args[0]}
        async with reading_or_writing("recording a model call"):
            await self._record(keys=keys, args=[*args, *heard])
        self._heard -= heard

    async def _tell_again(self) -> None:
        # Their names stay: what was told before may still be on its way, and arrive after this.
        while self._untold:
            untold = self._untold[-1]
            await self._tell(*untold)
            if untold in self._untold:  # another task may have told it meanwhile
                self._untold.remove(untold)

    async def aclose(self) -> None:
        """Tell what is not told yet, if Redis is there: the next process does not know of it."""
        with suppress(StoreUnavailable):
            await self._tell_again()
            if self._heard:
                async with reading_or_writing("ending the record of model calls"):
                    await self._redis.delete(self._told_key)

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

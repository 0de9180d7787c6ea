"""Requests and tokens a minute, shared by all workers.

One atomic script decides (scripts/reserve.lua says how), by Redis' own clock, so workers need not
agree on the time. What a call may use is reserved before it and replaced by what it used after it.
A provider's 429 freezes the bucket for everyone until its Retry-After. Without a configured limit
the provider's own headers rule. This module waits for nothing: it says how long to wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from eventstream.keys import Keys
from eventstream.llm.lua import script
from eventstream.redis_client import AsyncRedis, reading_or_writing
from eventstream.settings import Settings
from eventstream.spec import StreamSpec

Shortage = Literal["requests", "tokens", "frozen"]

_NOT_SAID: Final = ("", "", "")


@dataclass(frozen=True)
class Limit:
    """What may be asked of one model of one account. None: no limit of ours."""

    requests: int | None = None
    requests_period_seconds: float = 60.0
    tokens: int | None = None
    tokens_period_seconds: float = 60.0


def limit_of(spec: StreamSpec, settings: Settings) -> Limit:
    """The stream's limits, else RATE_LIMIT_CALLS in RATE_LIMIT_PERIOD."""
    if spec.limits.requests_per_minute is not None:
        requests: int | None = spec.limits.requests_per_minute
        period_seconds = 60.0
    else:
        requests, period_seconds = settings.rate_limit_calls, float(settings.rate_limit_period)
    return Limit(requests, period_seconds, spec.limits.tokens_per_minute)


@dataclass(frozen=True)
class Reservation:
    """A part of the limit that one call may use now."""

    bucket: str
    tokens: int
    request_slot: str = ""
    token_slot: str = ""


@dataclass(frozen=True)
class Refused:
    """Not now. Where a limit is configured the holder's place in line is kept meanwhile."""

    wait_seconds: float
    shortage: Shortage
    why: str = ""
    """Why the bucket is frozen."""


@dataclass(frozen=True)
class Quantity:
    """What a provider said about one of its limits."""

    limit: int
    remaining: int
    reset_seconds: float
    """Until `remaining` is `limit` again."""


@dataclass(frozen=True)
class Advertised:
    """A provider's `x-ratelimit-*` headers, as far as it sent them."""

    requests: Quantity | None = None
    tokens: Quantity | None = None


@dataclass(frozen=True)
class Freeze:
    """Nobody may call for a while."""

    seconds: float
    why: str


class Limiter:
    """The shared buckets.

    `now_milliseconds` replaces Redis' clock, for tests that can't wait for a window to pass.
    Methods raise StoreUnavailable.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        keys: Keys,
        *,
        now_milliseconds: Callable[[], int] | None = None,
    ) -> None:
        self._keys = keys
        self._now_milliseconds = now_milliseconds
        self._reserve = script(redis, "reserve")
        self._settle = script(redis, "settle")
        self._leave = script(redis, "leave")

    async def reserve(
        self, bucket: str, limit: Limit, *, tokens: int, holder: str
    ) -> Reservation | Refused:
        """Take one request and `tokens`, or a place in line under the name `holder`.

        More tokens than the whole limit count as the whole limit: such a call runs alone.
        """
        if limit.tokens is not None:
            tokens = min(tokens, limit.tokens)
        async with reading_or_writing("reserving a model call"):
            admitted, wait_ms, shortage, why, request_slot, token_slot = await self._reserve(
                keys=[self._keys.limit(bucket), self._place(bucket, holder)],
                args=[
                    limit.requests or 0,
                    round(limit.requests_period_seconds * 1000),
                    limit.tokens or 0,
                    round(limit.tokens_period_seconds * 1000),
                    tokens,
                    self._now(),
                ],
            )
        if admitted:
            return Reservation(bucket, tokens, request_slot.decode(), token_slot.decode())
        return Refused(wait_ms / 1000, shortage.decode(), why.decode())

    async def settle(
        self,
        reservation: Reservation,
        *,
        tokens: int,
        made: bool = True,
        said: Advertised | None = None,
        freeze: Freeze | None = None,
    ) -> None:
        """Replace what was reserved by what was used; `made` is False if no request was counted."""
        said = said or Advertised()
        async with reading_or_writing("settling a model call"):
            await self._settle(
                keys=[self._keys.limit(reservation.bucket)],
                args=[
                    reservation.request_slot,
                    0 if made else -1,
                    reservation.token_slot,
                    tokens - reservation.tokens,
                    math.ceil(freeze.seconds * 1000) if freeze else 0,
                    freeze.why if freeze else "",
                    *_quantity(said.requests),
                    *_quantity(said.tokens),
                    self._now(),
                ],
            )

    async def leave(self, bucket: str, holder: str) -> None:
        """Give back a place in line."""
        async with reading_or_writing("leaving the line for a model call"):
            await self._leave(keys=[self._keys.limit(bucket), self._place(bucket, holder)])

    def _place(self, bucket: str, holder: str) -> str:
        return self._keys.limit(f"{bucket}:place:{holder}")

    def _now(self) -> int | str:
        return "" if self._now_milliseconds is None else self._now_milliseconds()


def _quantity(quantity: Quantity | None) -> tuple[int | str, int | str, int | str]:
    if quantity is None:
        return _NOT_SAID
    return quantity.limit, quantity.remaining, math.ceil(quantity.reset_seconds * 1000)

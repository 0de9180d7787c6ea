"""How long an event waits for a provider that does not answer, or refuses the key.

It is deferred again and again, by whichever process has it; only after PATIENCE_SECONDS, counted
from its own first failed call, it fails. Redis remembers when that was, by its own clock. That may
leap (another server takes over): so it must have been deferred LEAST_DEFERRALS times since, too.
"""

from __future__ import annotations

import math
from typing import Final

from eventstream.errors import Reason
from eventstream.keys import Keys
from eventstream.llm.call_spec import CallSpec
from eventstream.llm.contract import CallDeferred, CallFailed
from eventstream.llm.lua import script
from eventstream.redis_client import AsyncRedis, reading_or_writing

PATIENCE_SECONDS: Final = 900.0
LEAST_DEFERRALS: Final = 5
"""In PATIENCE_SECONDS twelve of the longest have room (a spent account's), so time decides."""


class Patience:
    """Who waits since when. Methods raise StoreUnavailable."""

    def __init__(self, redis: AsyncRedis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._first_failure = script(redis, "first_failure")

    async def deferral(
        self,
        spec: CallSpec,
        wait_seconds: float,
        history: list[str],
        *,
        refused: bool,
        called: bool,
    ) -> CallDeferred | CallFailed:
        """What to raise: CallDeferred while there is patience, then CallFailed.

        `refused`: the key is, or its account is spent; else the provider does not answer. Patience
        begins with a call of its own: who was only held back by others' has not `called`.
        """
        waited, deferrals = await self._waited(spec, begin=called)
        what = "refuses the key or its account is spent" if refused else "does not answer"
        if waited > PATIENCE_SECONDS and deferrals >= LEAST_DEFERRALS:
            await self._forget(spec)
            return CallFailed(
                Reason.PROVIDER_AUTH if refused else Reason.PROVIDER_UNAVAILABLE,
                f"{spec.who} {what}, and the event has waited for it {waited / 60:.0f} minutes",
                tuple(history),
            )
        return CallDeferred(wait_seconds, "provider", f"{spec.who} {what}")

    async def _waited(self, spec: CallSpec, *, begin: bool) -> tuple[float, float]:
        """Seconds since the first failure, and how often the event was deferred since then."""
        if not spec.patient:
            return 0.0, 0
        async with reading_or_writing("remembering a provider's failure"):
            waited_ms, deferrals = await self._first_failure(
                keys=self._waiting(spec),
                args=[math.ceil(4 * PATIENCE_SECONDS * 1000) if begin else 0],
            )
        return int(waited_ms) / 1000, deferrals if deferrals >= 0 else math.inf

    async def _forget(self, spec: CallSpec) -> None:
        # An event that is replayed keeps its id, and has all its patience again.
        async with reading_or_writing("forgetting a provider's failure"):
            await self._redis.delete(*self._waiting(spec))

    def _waiting(self, spec: CallSpec) -> list[str]:
        return [self._keys.limit(f"{what}:{spec.holder}") for what in ("waiting", "deferrals")]

"""How long an event waits for a provider that does not answer, or refuses the key.

It is deferred again and again, by whichever process has it; only after PATIENCE_SECONDS, counted
from its own first failed call, it fails. Redis sums the time up by its own clock, which may leap
(another server takes over): between two looks MOST_BETWEEN_LOOKS_SECONDS count at most.
An event that is looked at less often, since many others wait, fails at its eighth look.
"""

from __future__ import annotations

from typing import Final

from eventstream.errors import Reason
from eventstream.keys import Keys
from eventstream.llm.call_spec import CallSpec
from eventstream.llm.contract import CallDeferred, CallFailed
from eventstream.llm.lua import script
from eventstream.redis_client import AsyncRedis, reading_or_writing

PATIENCE_SECONDS: Final = 900.0
MOST_BETWEEN_LOOKS_SECONDS: Final = 150.0
"""Twice the longest that an event is deferred for: a spent account's minute, and its spread."""
FORGOTTEN_SECONDS: Final = 2 * PATIENCE_SECONDS
"""A failure so long after the last one is another outage's."""


class Patience:
    """Who waits since when. Methods raise StoreUnavailable."""

    def __init__(self, redis: AsyncRedis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._script = script(redis, "waited")

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
        waited = await self._waited(spec, begin=called)
        what = "refuses the key or its account is spent" if refused else "does not answer"
        if waited > PATIENCE_SECONDS:
            await self._forget(spec)
            return CallFailed(
                Reason.PROVIDER_AUTH if refused else Reason.PROVIDER_UNAVAILABLE,
                f"{spec.who} {what}, and the event has waited for it {waited / 60:.0f} minutes",
                tuple(history),
            )
        return CallDeferred(wait_seconds, "provider", f"{spec.who} {what}")

    async def _waited(self, spec: CallSpec, *, begin: bool) -> float:
        """Seconds since the first failure."""
        if not spec.patient:
            return 0.0
        async with reading_or_writing("remembering a provider's failure"):
            waited_ms = await self._script(
                keys=self._waiting(spec),
                args=[
                    round(FORGOTTEN_SECONDS * 1000),
                    round(MOST_BETWEEN_LOOKS_SECONDS * 1000),
                    int(begin),
                ],
            )
        return int(waited_ms) / 1000

    async def _forget(self, spec: CallSpec) -> None:
        # An event that is replayed keeps its id, and has all its patience again.
        async with reading_or_writing("forgetting a provider's failure"):
            await self._redis.delete(*self._waiting(spec))

    def _waiting(self, spec: CallSpec) -> list[str]:
        return [self._keys.limit(f"{what}:{spec.holder}") for what in ("waiting", "looked")]

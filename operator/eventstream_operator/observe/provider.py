"""What the provider lets through, in the provider's own word: the buckets that workers share.

A bucket's name holds a digest of the account's key, which the operator has no right to know. The
workers' heartbeats say which buckets a stream uses; what was said last counts for a stream that has
no worker just now. Until any worker has said it, only the configured limits and the stream's own
use are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eventstream.heartbeat import ModelInUse, WorkerHeartbeat
from eventstream.limit_buckets import BucketState, Use
from eventstream.spec import Limits
from eventstream_operator.observe.observation import (
    Allowance,
    FreezeCause,
    Frozen,
    InboxDepth,
    ProviderUse,
)
from eventstream_operator.observe.usage import DayUsage, LastMinute, Window

REFUSAL_LINGERS_SECONDS: Final = 30.0
"""A refused key is tried again every 15 s, a spent account every minute: between two attempts, and
until one is answered, it is still refused."""

_CAUSES: Final[Mapping[str, FreezeCause]] = {
    "key_refused": "key_refused",
    "quota_exhausted": "account_spent",
}
"""By why a bucket is frozen, as the services' `ErrorKind` has it; anything else is a 429."""


class ModelsInUse:
    """Which models each stream's workers may ask."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[ModelInUse, bool], ...]] = {}

    def hear(self, heartbeats: Mapping[str, Sequence[WorkerHeartbeat]]) -> None:
        """Take in what a pass's heartbeats say, a stream.

        Workers of two versions, or with an old and a new key, may say different things during a
        roll-out: then all of it is in use.
        """
        for stream, beats in heartbeats.items():
            said = [beat.models[stream] for beat in beats if stream in beat.models]
            if not said:
                continue
            found: dict[str, tuple[ModelInUse, bool]] = {}
            for models in said:
                for place, model in enumerate(models):
                    _, own = found.get(model.bucket, (model, False))
                    found[model.bucket] = (model, own or place == 0)
            self._known[stream] = tuple(found.values())

    def of(self, stream: str) -> tuple[tuple[ModelInUse, bool], ...] | None:
        """Each model, and whether it is the stream's own; None: no worker has said it yet."""
        return self._known.get(stream)

    def buckets(self) -> tuple[str, ...]:
        """The buckets of all streams, each once."""
        every = (model.bucket for models in self._known.values() for model, _ in models)
        return tuple(dict.fromkeys(every))

    def forget(self, stream: str) -> None:
        """The stream is gone."""
        self._known.pop(stream, None)


@dataclass(frozen=True, slots=True)
class _Refusal:
    model: str
    cause: FreezeCause
    until: float
    answered: int
    """Calls that had been answered when it was seen last."""


class ProviderView:
    """One stream's: counters become figures of the last minute."""

    def __init__(self) -> None:
        self._minute = LastMinute()
        self._throttled: dict[str, Window] = {}
        self._refusal: _Refusal | None = None

    def look(
        self,
        now: float,
        limits: Limits,
        usage: DayUsage,
        inbox: InboxDepth,
        models: Iterable[tuple[ModelInUse, BucketState, bool]] | None,
        *,
        budget_spent: bool,
    ) -> ProviderUse:
        """What holds at `now` (monotonic); `models`: each with whether it is the stream's own."""
        calls, tokens = self._minute.add(now, usage)
        if models is None:
            return ProviderUse(
                requests_per_minute=_configured(limits.requests_per_minute, calls),
                tokens_per_minute=_configured(limits.tokens_per_minute, tokens),
                calls=calls,
                # Put back for a limit, for the budget, or because the provider is away.
                put_back=0 if budget_spent else inbox.deferred,
            )
        listed = list(models)
        states = [state for _, state, _ in listed]
        return ProviderUse(
            requests_per_minute=_tightest((state.requests for state in states), calls),
            tokens_per_minute=_tightest((state.tokens for state in states), tokens),
            calls=calls,
            throttled=sum(self._held_back(now, model, state) for model, state, _ in listed),
            frozen=self._frozen(now, listed),
        )

    def _held_back(self, now: float, model: ModelInUse, state: BucketState) -> int:
        known = self._throttled.get(model.bucket)
        if known is None:
            known = self._throttled[model.bucket] = Window()
            if state.throttled and state.throttled_seconds_ago < Window.SECONDS:
                # How many there were in the last minute is not known at the first look; that
                # there were any is.
                known.add(now, state.throttled - 1)
        return known.add(now, state.throttled)

    def _frozen(
        self, now: float, models: Sequence[tuple[ModelInUse, BucketState, bool]]
    ) -> Frozen | None:
        answered = self._minute.calls
        frozen = [(model, state, own) for model, state, own in models if state.frozen_seconds > 0]
        if not frozen:
            last = self._refusal
            if last is None or answered > last.answered:
                self._refusal = None
                return None
            if now - last.until > REFUSAL_LINGERS_SECONDS:
                self._refusal = None
                return None
            return Frozen(last.model, last.cause, 0.0)
        # With an old and a new key in use, the stream goes on as long as one of them does.
        all_of_its_own = all(state.frozen_seconds > 0 for _, state, own in models if own)
        frozen.sort(key=lambda each: (not each[2], -each[1].frozen_seconds))
        model, state, _ = frozen[0]
        cause = _CAUSES.get(state.frozen_why, "rate_limited")
        if cause != "rate_limited" and all_of_its_own:
            self._refusal = _Refusal(model.name, cause, now + state.frozen_seconds, answered)
        return Frozen(model.name, cause, state.frozen_seconds, everything=all_of_its_own)


def _configured(limit: int | None, used: int) -> Allowance | None:
    return Allowance(limit, used) if limit else None


def _tightest(uses: Iterable[Use | None], own: int) -> Allowance | None:
    """Of the buckets of a stream's models the one that is used up most."""
    known = [use for use in uses if use is not None]
    if not known:
        return None
    use = max(known, key=lambda each: each.used / each.limit if each.limit else 1.0)
    return Allowance(
        limit=use.limit,
        used=use.used,
        # The day's usage also holds embeddings, which have a bucket of their own.
        own=own if use.said_by_provider else min(own, use.used),
        per_second=use.per_second,
        said_by_provider=use.said_by_provider,
    )
